/* What an engine must know to stand opposite another kind of database: its types and values in the terms of model/type.h, its schema in those of
 * model/schema.h. Used only by connector/face, which shows such a database to everything above as if both sides were of one kind. */
#ifndef MF_CONNECTOR_CANON_H
#define MF_CONNECTOR_CANON_H

#include "connector/types.h"
#include "model/schema.h"
#include "model/type.h"

struct mf_canon_ops {
    /* The model's types of all columns of a catalogue of ours: ret[i][k] is that of column k of table i. In the arena. What is not known better
     * is OPAQUE, never an error. (PostgreSQL asks its catalogue for what user types are made of.) */
    int (*types)(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                 struct mf_error *err);
    /* Of one column of the stream that no catalogue has (any more), by its type_id and type_mod alone. Labels are in neither: such a column is TEXT,
     * or OPAQUE. */
    void (*type_of)(const struct mf_column *own, struct mf_type *ret);

    /* A value of a column of type t (as `types` said) from our own form to the canonical one, and back. Not for NULL and UNCHANGED. The result is a view of
     * `in`, static, or in the arena. Pure; any thread. MF_ROW (code MFVALUE): what the value is and why the other form has no room for it;
     * out-of-memory is MF_FATAL MFMEM. From_canon gets values of whatever kind mf_type_takes lets into t, and refuses what is no canonical value of t, what
     * the server would round, cut or pad in a column of t, and what it would read something else into. What the server itself refuses, and what
     * only the column's own type tells (FLOAT(7,3), a character set), may be left to the applier. */
    int (*to_canon)(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err);
    int (*from_canon)(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                      struct mf_error *err);

    /* A value of a type that is OPAQUE and has a shape, in our own form, as a document of it (model/document.h): any JSON that means it, in whatever order.
     * Pure; any thread. Errors as those of to_canon. */
    mf_to_document *document;
    /* The words that a column of ours is asked for with: where they mean a collection, whose values elsewhere are documents, ret is its type (a JSON with a
     * shape, in the arena) and ret_text the words to make it with. ret->shape is MF_SHAPE_NONE where they mean anything else. Pure. MF_USAGE MFTYPE: they mean
     * nothing, or a collection of what has no document. */
    int (*type_named)(const char *text, struct mf_arena *arena, struct mf_type *ret, const char **ret_text,
                      struct mf_error *err);

    /* As a target, rows end by themselves where an entry of the map says so (mf_query_table.ttl): it finds the entry by the table's name. */
    bool rows_end;

    /* Bounds of chunks as values of the key's columns, in our own form (that of rows), and back; not of chunks by heap. Key columns only: ret has
     * t->nkey values in key order, in the arena. Where an index goes by something else than the value (ENUM and SET by number) the bound has that,
     * and the row has the label, so that each side cuts in its own order. MF_FATAL MFCHUNK for a bound that is not one of ours; bound_put the
     * same for a value that no key has (NULL, a label that is none) and when the bound is longer than a chunk has room for.
     *
     * A bound of one side may have no form on the other: a label or a text that does not exist there (MF_ROW of from_canon), or one that is too
     * long (MFCHUNK). No row has it as its key there, but where it would stand among them is not known: the caller leaves that end of the chunk open.
     * Where the sides' orders differ, a chunk means other rows on each: digests differ then, and rows are compared by their keys. */
    int (*bound_get)(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                     struct mf_error *err);
    int (*bound_put)(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err);

    /* The tables (of this database, as its catalogue gives them) in the model's terms. */
    int (*describe)(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err);
    /* One stage of making that schema here, in our own names: as mf_target_ops.schema_apply, and restartable like it. plan not NULL: the statements
     * are appended to it and nothing is done. What cannot be made as it was is told to the findings (NULL with a plan), with the remedy. */
    int (*make)(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
                struct mf_findings *out, struct mf_buf *plan, struct mf_error *err);
    /* As mf_target_ops.schema_add_column. */
    int (*add_column)(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      int64_t stamp, struct mf_error *err);
    /* The type that a column of the model's type gets here, as our own text ("varchar(20) CHARACTER SET utf8mb4"), and what is lost in it, if anything, as a
     * clause for a finding ("values longer than 65535 bytes are refused"; "" where nothing is). For check and plan. */
    void (*type_here)(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      struct mf_buf *ret_type, struct mf_buf *ret_loss);
    bool no_collations; /* texts are compared by their bytes, and nothing can be asked for instead */
    /* The schema that names without one would mean: the URL's database, "public". NULL: none. */
    const char *(*default_schema)(struct mf_db *db);
};

#endif
