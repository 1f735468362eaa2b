/* Dates, times and timestamps as cqlvalue.h writes them, and as canonical ones. Pure. */
#ifndef MF_CONNECTOR_CASSANDRA_CANON_MOMENT_H
#define MF_CONNECTOR_CASSANDRA_CANON_MOMENT_H

#include "model/moment.h"

#define CASS_MOMENT_TEXT 64

/* kind: DATE, TIME, INSTANT. NULL and the text (no NUL is put), or why there is none. */
const char *cass_moment_to_canon(enum mf_kind kind, const char *s, size_t n, char out[static CASS_MOMENT_TEXT],
                                 size_t *ret_n);
const char *cass_moment_from_canon(enum mf_kind kind, const char *s, size_t n, char out[static CASS_MOMENT_TEXT],
                                   size_t *ret_n);

#endif
