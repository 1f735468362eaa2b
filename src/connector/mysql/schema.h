/* What the files of the schema share: schema.c (stages), schema_tables.c (what each table lacks), schema_run.c (sessions and
 * statements), schema_objects.c (routines, views, events). */
#ifndef MF_CONNECTOR_MYSQL_SCHEMA_H
#define MF_CONNECTOR_MYSQL_SCHEMA_H

#include "connector/mysql/mysql_room.h"
#include "connector/mysql/schema_mend.h"

struct my_stmt {
    const char *sql;
    const char *locked; /* the same, writers kept out: for an index that cannot be built beside them. NULL: none */
};

/* One object's statements, run in order in one session. */
struct my_work {
    const char *schema; /* the session's default database; NULL: none */
    char label[300];    /* "table shop.orders" */
    size_t n;
    struct my_stmt *stmts;
    bool optional; /* a statement that the server refuses for what the objects or the rows are is told and left out */
};

struct my_schema_run {
    struct my_db *db, *src;
    const struct mf_schema_job *job;
    struct mf_findings *findings; /* NULL: a plan, which has none */
    struct mf_buf *plan;          /* not NULL: statements are appended, nothing is done */
    MYSQL *source, *target;       /* sessions of the calling thread */
    struct my_mend mend;
    char **collations; /* of the target, sorted */
    size_t ncollations;
    struct my_charset { /* of the source */
        char name[65], collation[65];
    } * charsets;
    size_t ncharsets;
    struct mf_arena arena;
    struct my_work *work;
    size_t nwork, cap;
    pthread_mutex_t lock; /* guards findings and next while workers run */
    size_t next;
};

/* ---- schema_run.c ---- */

/* A session that makes objects: foreign keys are not looked at, TIMESTAMP columns get nothing they do not say. */
int my_schema_session(struct my_db *db, MYSQL **ret, struct mf_error *err);
int my_schema_collations(struct my_schema_run *r, struct mf_error *err);
/* Adds an object without statements to the list. NULL: MFBIG. */
struct my_work *my_work_add(struct my_schema_run *r, const char *schema, const char *label, struct mf_error *err);
/* Adds a statement to it; the buffer is copied and emptied. */
int my_work_put(struct my_schema_run *r, struct my_work *w, struct mf_buf *sql, const char *lock_clause,
                struct mf_error *err);
/* Runs the list (or appends it to the plan) in as many sessions, and empties it. */
int my_work_run(struct my_schema_run *r, int jobs, struct mf_error *err);
/* One statement now (or into the plan). */
int my_schema_exec(struct my_schema_run *r, MYSQL *c, const char *label, const char *sql, struct mf_error *err);
void my_schema_tell(struct my_schema_run *r, enum mf_severity severity, const char *code, const char *object,
                    const char *remedy, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The text of SHOW CREATE …, in the arena; *ret NULL when there is no such object (or no text may be seen). */
int my_show_create(MYSQL *c, const char *what, const char *schema, const char *name, unsigned column,
                   struct mf_arena *arena, const char **ret, struct mf_error *err);

/* ---- schema_tables.c: each adds the statements that a table lacks to the list ---- */

int my_tables_create(struct my_schema_run *r, struct mf_error *err);
int my_tables_keys(struct my_schema_run *r, struct mf_error *err);
int my_tables_indexes(struct my_schema_run *r, struct mf_error *err);
int my_tables_foreign(struct my_schema_run *r, struct mf_error *err);
/* The tables of the target have the source's columns. */
int my_tables_check(struct my_schema_run *r, struct mf_error *err);

/* ---- schema_add.c ---- */

/* See mf_target_ops.schema_add_column. */
int my_schema_add_here(struct my_schema_run *r, const struct mf_table *t, const struct mf_column *col,
                       struct mf_error *err);

/* ---- schema_objects.c ---- */

int my_objects_make(struct my_schema_run *r, struct mf_error *err);

/* ---- schema_accounts.c: those with rights on what migrates, if the job asks for them ---- */

int my_schema_accounts(struct my_schema_run *r, struct mf_error *err);

/* ---- schema_triggers.c ---- */

/* Remembers the triggers that the tables have on the source, in place of those learnt before; with a plan, shows them. What stands on the
 * target is taken down first, within the bounds of o; NULL: those of making a schema. */
int my_schema_triggers(struct my_schema_run *r, const char *migration, const struct mf_catalog *tables,
                       const struct mf_gate_options *o, struct mf_error *err);

#endif
