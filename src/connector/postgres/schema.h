/* Making the schema, shared by the files schema*.c. */
#ifndef MF_CONNECTOR_POSTGRES_SCHEMA_H
#define MF_CONNECTOR_POSTGRES_SCHEMA_H

#include "connector/postgres/dump.h"
#include "connector/postgres/postgres.h"

struct pg_key_index {           /* the index by which replay finds a table's rows, on the source */
    uint32_t index, constraint; /* constraint 0: none */
    int64_t bytes;              /* of the table */
};

struct pg_role {
    char *name;
    bool exists, ours;    /* ours: we have its rights */
    size_t kept, lacking; /* objects that stay ours though they should be its; because it is missing */
    char *first;
};

struct pg_schema_run {
    struct pg_db *db, *src;
    const struct mf_schema_job *job;
    struct pg_dump dump;
    struct pg_key_index *keys;
    size_t nkeys;

    pthread_mutex_t lock; /* guards the rest: workers share it */
    struct mf_findings *findings;
    struct pg_role *roles;
    size_t nroles;
    const struct pg_entry **work; /* a parallel group */
    size_t nwork, next;
    const struct pg_entry **later; /* of the group: needs something that is not there yet */
    size_t nlater;
    bool failed;
    struct mf_error err;
};

/* schema_run.c: one session, one entry, many at once */
int pg_schema_session(struct pg_schema_run *r, PGconn **ret, struct mf_error *err);
/* MF_CONFLICT: something it needs is not there. */
int pg_schema_entry(struct pg_schema_run *r, PGconn *c, const struct pg_entry *e, struct mf_error *err);
int pg_schema_parallel(struct pg_schema_run *r, const struct pg_entry **work, size_t n, struct mf_error *err);
int pg_schema_roles(struct pg_schema_run *r, struct mf_error *err);
void pg_schema_tell_roles(struct pg_schema_run *r);
void pg_schema_label(const struct pg_entry *e, char *out, size_t n);

/* schema_fix.c: what the dump does not do */
int pg_schema_keys(struct pg_schema_run *r, struct mf_error *err);
int pg_schema_check_tables(struct pg_schema_run *r, PGconn *c, struct mf_error *err);
int pg_schema_identities(struct pg_schema_run *r, PGconn *c, struct mf_error *err);
int pg_schema_refresh(struct pg_schema_run *r, PGconn *c, struct mf_error *err);

/* schema_add.c: what is added while the migration runs */
int pg_schema_namespaces(struct pg_schema_run *r, PGconn *c, struct mf_error *err); /* of the job's tables */

/* Removes what was kept of the source's schema in the state directory. */
void pg_dump_forget(const struct pg_db *db);

#endif
