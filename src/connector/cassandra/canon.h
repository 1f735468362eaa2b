/* This engine in the model's terms (connector/canon.h): canon.c has the table of operations, canon_types.c the types both ways, canon_values.c the
 * values, canon_bound.c the bounds of chunks. All but cass_canon_types is pure.
 *
 * The own form of a value, that of this connector's rows: MF_TEXT as cqlvalue.h has it, but a blob is MF_BINARY, its bytes. */
#ifndef MF_CONNECTOR_CASSANDRA_CANON_H
#define MF_CONNECTOR_CASSANDRA_CANON_H

#include "connector/canon.h"
#include "connector/cassandra/cqlvalue.h"

extern const struct mf_canon_ops cass_canon_ops;

/* mf_type.form: one of the first, and flags. */
enum cass_form {
    CASS_FORM_PLAIN,
    CASS_FORM_VARINT,   /* DECIMAL without a fraction */
    CASS_FORM_ASCII,    /* TEXT */
    CASS_FORM_TIMEUUID, /* UUID of version 1 */
    CASS_FORM_COUNTER,  /* INT that is added to, never set */
    CASS_FORM_INET,     /* OPAQUE, with a spelling of the server's own */
    CASS_FORM_DURATION,
    CASS_FORM_MASK = 0x3f,
    CASS_FORM_KEY = 0x40,   /* the column is part of the key */
    CASS_FORM_ALONE = 0x80, /* and the whole partition key: it may not be empty */
};

#define CASS_KEY_BYTES 65535 /* of a part of a key, and of a whole partition key */

/* ---- types ---- */

/* Of a CQL type's text that has no parts. What only this engine has (collections, UDTs, tuples, vectors, durations, addresses) is OPAQUE. */
void cass_canon_type(const char *cql, struct mf_type *ret);
/* The same of a kind; false: nobody else has it. */
bool cass_kind_type(enum cql_kind kind, struct mf_type *ret);
/* ret is what cass_canon_type says; true: and a JSON with a shape where it is a frozen collection or type of a user's, all of whose parts others know, in
 * the arena. lookup, ctx: of cql_type_parse. */
bool cass_canon_column(const char *cql, cql_udt_lookup *lookup, void *ctx, struct mf_arena *arena, struct mf_type *ret);
/* A cql_udt_lookup with an arena as its context: whatever the name, a type without fields. */
const struct cql_type *cass_any_udt(void *ctx, const char *name);
bool cass_is_collection(const struct cql_type *t); /* a list, set, map, or type of a user's */
/* false: it has parts that are no documents elsewhere, or the arena is full. */
bool cass_document_type(const struct cql_type *t, struct mf_arena *arena, unsigned depth, struct mf_type *ret);
int cass_type_named(const char *text, struct mf_arena *arena, struct mf_type *ret, const char **ret_text,
                    struct mf_error *err);
/* The number and modifier a column of that type has in a catalogue: the same in every process. */
void cass_type_number(const char *cql, uint32_t *ret_id, int32_t *ret_mod);
/* The CQL type that a column of the model's type gets when nothing else is asked for. Static. */
const char *cass_type_for(const struct mf_type *t);
/* Whether a column of the CQL type may hold what a column of type t has: each value exactly or refused. For what the config asks for, and tables that are
 * there already. */
bool cass_type_fits(const char *cql, const struct mf_type *t);
/* Whether it is one of the types that values are written to. If not, ret_near is the one whose name is most like it, or NULL. Static. */
bool cass_type_known(const char *cql, const char **ret_near);
/* What a column of type t loses in a column of the CQL type, as clauses for a finding; nothing where nothing is. key: it is of the key. */
void cass_type_loss(const char *cql, const struct mf_type *t, bool key, struct mf_buf *ret);

int cass_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                     struct mf_error *err);
void cass_type_of(const struct mf_column *own, struct mf_type *ret);

/* ---- values ---- */

int cass_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                  struct mf_error *err);
int cass_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err);
/* Of types with a shape: what the two above call. */
int cass_document_to(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                     struct mf_error *err);
int cass_document_from(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                       struct mf_error *err);
/* What no value by itself tells of a row in the own form that is to be written: NULL in the key, a partition key of more than CASS_KEY_BYTES, a row of more
 * than max_bytes (0: no bound). MF_ROW MFVALUE. */
int cass_row_fits(const struct mf_table *own, const struct mf_row *row, uint64_t max_bytes, struct mf_error *err);

int cass_bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                   struct mf_error *err);
int cass_bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err);

/* ---- names ---- */

/* "name", with quotes doubled: the name as it is, whatever its case, and no word of CQL. */
void cass_put_ident(struct mf_buf *b, const char *name);
/* "keyspace"."table" */
void cass_put_name(struct mf_buf *b, const char *keyspace, const char *table);
/* 'text', with quotes doubled. */
void cass_put_literal(struct mf_buf *b, const char *text);

/* ---- the schema: see make.h ---- */

int cass_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err);
int cass_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
              struct mf_findings *out, struct mf_buf *plan, struct mf_error *err);
int cass_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                         int64_t stamp, struct mf_error *err);
void cass_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                    struct mf_buf *ret_type, struct mf_buf *ret_loss);
const char *cass_default_schema(struct mf_db *db);

#endif
