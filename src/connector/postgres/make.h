/* Making a schema that another kind of database described: what make*.c share. Statements are entries as those of a dump (dump.h), and are run as
 * those are (schema_run.c): each in a transaction of its own, what is there already is left. */
#ifndef MF_CONNECTOR_POSTGRES_MAKE_H
#define MF_CONNECTOR_POSTGRES_MAKE_H

#include "connector/postgres/model.h"
#include "connector/postgres/schema.h"

struct pg_make_run {
    struct pg_schema_run run;
    struct mf_schema_job job; /* run.job */
    const struct mf_schema *schema;
    struct mf_findings *out; /* NULL: nothing is told */
    struct mf_buf *plan;     /* not NULL: statements are appended, nothing is done */
    PGconn *c;
    struct mf_arena arena;
    PGresult *relations;   /* schema, name, table that it is an index of ("" none), is its primary key; sorted */
    PGresult *constraints; /* schema, table, name; sorted */
    struct pg_entry *list; /* of the group being collected */
    size_t n, cap;
};

/* make.c */
void pg_make_tell(struct pg_make_run *m, enum mf_severity severity, const char *code, const struct mf_schema_table *t,
                  const char *remedy, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Adds a statement; the buffer is copied and emptied. */
int pg_make_add(struct pg_make_run *m, const char *type, const struct mf_schema_table *t, const char *name,
                struct mf_buf *sql, struct mf_error *err);
/* Runs what was added (or appends it to the plan) and empties the list. */
int pg_make_flush(struct pg_make_run *m, bool parallel, struct mf_error *err);
/* The last one added runs now, and takes `otherwise` (NULL: nothing) when the server refuses it for what the rows or the objects are: then
 * *ret_refused, and err says why. */
int pg_make_try(struct pg_make_run *m, const char *otherwise, bool *ret_refused, struct mf_error *err);
/* The table that the target has under these names: whether it is there. */
bool pg_make_table_there(const struct pg_make_run *m, const char *schema, const char *name);
/* The name that an index of t gets in its schema, and whether it is there already. MFDDL when there is none to be had. */
int pg_make_index_name(struct pg_make_run *m, const struct mf_schema_table *t, const char *name,
                       char out[static MF_SCHEMA_NAME], bool *ret_there, struct mf_error *err);
bool pg_make_has_primary(const struct pg_make_run *m, const struct mf_schema_table *t);
bool pg_make_constraint_there(const struct pg_make_run *m, const struct mf_schema_table *t, const char *name);

/* make_table.c: each adds the statements that are lacking */
int pg_make_tables(struct pg_make_run *m, struct mf_error *err);
int pg_make_check_tables(struct pg_make_run *m, struct mf_error *err);
/* A default of this type, as an expression; false: it is not made, and ret_why says why. */
bool pg_put_default(struct mf_db *db, const struct mf_schema_column *c, const char *type, struct mf_arena *arena,
                    struct mf_buf *b, struct mf_buf *ret_why);
/* make_index.c */
int pg_make_keys(struct pg_make_run *m, bool keys, struct mf_error *err);
int pg_make_checks(struct pg_make_run *m, struct mf_error *err);
int pg_make_foreign(struct pg_make_run *m, struct mf_error *err);

#endif
