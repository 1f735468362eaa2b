/* What event.c and entry.c share: fields of documents that somebody else made. */
#ifndef MF_CONNECTOR_MONGODB_EVENT_INTERNAL_H
#define MF_CONNECTOR_MONGODB_EVENT_INTERNAL_H

#include "connector/mongodb/event.h"

/* Always -1: MF_FATAL, code MFEVENT. */
int mongo_event_bad(struct mf_error *err, const char *what, const char *field);
/* A text without NUL that fits into out. */
bool mongo_event_text(const bson_iter_t *it, char *out, size_t n);
/* A document, as bson_t (NULL: not wanted) and as a value (NULL: not wanted), views both. */
bool mongo_event_document(const bson_iter_t *it, bson_t *view, struct mf_value *ret);
uint64_t mongo_event_time(const bson_iter_t *it); /* 0: none */
int64_t mongo_event_wall(const bson_iter_t *it);  /* 0: none */

#endif
