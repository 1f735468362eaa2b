/* What the files of the checks share: findings about this deployment as a source. */
#ifndef MF_CONNECTOR_MONGODB_CHECK_H
#define MF_CONNECTOR_MONGODB_CHECK_H

#include "connector/mongodb/catalog.h"

struct mongo_check {
    struct mongo_db *db;
    const struct mf_filter *filter;
    struct mf_findings *out;
    size_t collections; /* that would be migrated */
    int64_t bytes;      /* of them */
};

void mongo_say(struct mongo_check *k, enum mf_severity severity, const char *code, const char *object,
               const char *remedy, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* check_tables.c: collections, and what looks like one; counts them */
int mongo_check_collections(struct mongo_check *k, struct mf_error *err);
/* check_rights.c */
int mongo_check_rights(struct mongo_check *k, struct mf_error *err);
/* By a reply of connectionStatus with privileges: whether the account may do this to any collection of the database. Pure. */
bool mongo_may(const bson_t *status, const char *database, const char *action);

#endif
