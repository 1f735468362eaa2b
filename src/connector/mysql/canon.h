/* This engine in the model's terms (connector/canon.h): canon.c has the table of operations and the types, canon_types.c asks the server for what
 * no type tells, canon_values.c the values, canon_bound.c the bounds of chunks. All but my_canon_types is pure. */
#ifndef MF_CONNECTOR_MYSQL_CANON_H
#define MF_CONNECTOR_MYSQL_CANON_H

#include "connector/canon.h"
#include "connector/mysql/coltype.h"

extern const struct mf_canon_ops my_canon_ops;

/* mf_type.form */
enum my_form {
    MY_FORM_PLAIN,
    MY_FORM_YEAR,      /* a number of four digits */
    MY_FORM_INET4,     /* a text that the server spells its own way */
    MY_FORM_INET6,     /* the same */
    MY_FORM_ONE_ZERO,  /* MariaDB's floating point: -0 is stored as 0 */
    MY_FORM_JSON_TEXT, /* MariaDB's JSON: a text that is checked; plain is MySQL's, which is taken apart */
};

int my_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                   struct mf_error *err);
void my_type_of(const struct mf_column *own, struct mf_type *ret);
/* The members become the labels, and live as long as t's do. */
void my_canon_type(const struct my_type *t, struct mf_type *ret);
/* Of a column of a catalogue; what is not known is OPAQUE. -1: the arena is full. */
int my_canon_column(const struct mf_column *own, struct mf_arena *arena, struct mf_type *ret);

int my_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err);
int my_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err);
int my_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                 struct mf_error *err);
int my_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err);

/* the schema: see model.h */
int my_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err);
int my_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
            struct mf_findings *out, struct mf_buf *plan, struct mf_error *err);
int my_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       int64_t stamp, struct mf_error *err);
void my_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                  struct mf_buf *ret_type, struct mf_buf *ret_loss);
const char *my_default_schema(struct mf_db *db);

#endif
