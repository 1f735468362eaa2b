/* This engine in the model's terms (connector/canon.h): canon.c has the table of operations and the server's own types, canon_types.c those of
 * users, canon_values.c the values, canon_bound.c the bounds of chunks. All but pg_canon_types is pure. */
#ifndef MF_CONNECTOR_POSTGRES_CANON_H
#define MF_CONNECTOR_POSTGRES_CANON_H

#include "connector/canon.h"

extern const struct mf_canon_ops pg_canon_ops;

/* mf_type.form */
enum pg_form {
    PG_FORM_PLAIN,
    PG_FORM_CHAR, /* "char": one byte; the server cuts what is longer */
    PG_FORM_NAME, /* name: 63 bytes; the server cuts what is longer */
    PG_FORM_JSON, /* json: the text as it was given; plain is jsonb */
};

int pg_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                   struct mf_error *err);
void pg_type_of(const struct mf_column *own, struct mf_type *ret);
/* The same of one of the server's own types by its oid; false and OPAQUE when it is none that the model knows. */
bool pg_type_of_oid(uint32_t oid, int32_t mod, struct mf_type *ret);

int pg_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err);
int pg_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err);
/* canon_document.c */
int pg_document(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err);
/* The shapes of what pg_canon_types has found to be OPAQUE. */
int pg_canon_shapes(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type **types,
                    struct mf_error *err);
int pg_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                 struct mf_error *err);
int pg_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err);

/* the schema: see model.h */
int pg_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err);
int pg_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
            struct mf_findings *out, struct mf_buf *plan, struct mf_error *err);
int pg_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       int64_t stamp, struct mf_error *err);
void pg_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                  struct mf_buf *ret_type, struct mf_buf *ret_loss);
const char *pg_default_schema(struct mf_db *db);

#endif
