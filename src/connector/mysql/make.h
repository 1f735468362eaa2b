/* Making a schema that another kind of database described: what make*.c share. Statements are run as those of schema.h. */
#ifndef MF_CONNECTOR_MYSQL_MAKE_H
#define MF_CONNECTOR_MYSQL_MAKE_H

#include "connector/mysql/make_width.h"
#include "connector/mysql/model.h"
#include "connector/mysql/schema.h"
#include "connector/mysql/schema_split.h"

struct my_make_run {
    struct my_schema_run run;
    struct mf_schema_job job; /* run.job */
    const struct mf_schema *schema;
    uint32_t index_bytes;
};

/* A table, and what the target has of it. */
struct my_made {
    const struct mf_schema_table *t;
    struct my_width *widths;
    struct my_create here; /* no items when it is not there */
    bool there;
    int counter;   /* the column that counts here; -1: none */
    int counts_by; /* the index it needs from the start, where that is not a key; -1: none */
    char label[300];
};

int my_make_look(struct my_make_run *m, const struct mf_schema_table *t, struct my_made *ret, struct mf_error *err);
/* The name of an index here: its own, unless another of the table has that (without case), or the server keeps it to itself. */
void my_make_index_name(const struct mf_schema_table *t, const struct mf_schema_index *x,
                        char out[static MF_SCHEMA_NAME]);

/* make_type.c */
const char *my_make_collation(const struct my_db *db);
uint32_t my_make_index_bytes(struct my_db *db, MYSQL *c, struct mf_error *err); /* 0: err */
void my_put_type(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                 struct mf_buf *type, struct mf_buf *loss);
/* A default, as what follows the word DEFAULT; false: it is not made, and why says why. Nothing and true: there is none. */
bool my_put_default(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                    struct mf_arena *arena, struct mf_buf *b, struct mf_buf *why);

/* make_table.c: each adds the statements that are lacking */
int my_make_tables(struct my_make_run *m, struct mf_error *err);
int my_make_check_tables(struct my_make_run *m, struct mf_error *err);
/* make_index.c */
/* "(`a`, `b`(20) DESC)"; false: a column of it cannot be in an index, and why says why. */
bool my_put_index_columns(const struct my_make_run *m, const struct my_made *made, const struct mf_schema_index *x,
                          struct mf_buf *sql, const char **ret_why);
int my_make_keys(struct my_make_run *m, struct mf_error *err);
int my_make_indexes(struct my_make_run *m, struct mf_error *err);
int my_make_foreign(struct my_make_run *m, struct mf_error *err);

#endif
