/* Documents to rows and back, by a map that was compiled. Pure: any thread may use one struct mf_shred at a time with arenas of its own.
 *
 * The inverse is exact: rebuild(shred(d)) is the normal form of d, shred(rebuild(rows)) is rows, and a document whose normal form would leave something out
 * that no rule of the map says may be left out is refused instead (MF_ROW code MFDOC). See docs/internals/documents.md.
 *
 * BSON: https://bsonspec.org/spec.html. */
#ifndef MF_BSON_SHRED_H
#define MF_BSON_SHRED_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "model/doc_map.h"
#include "model/schema.h"
#include "model/table.h"
#include "model/value.h"

#define MF_DOC_BYTES   ((size_t)16 << 20 | 64 << 10) /* the largest document a server takes, and some */
#define MF_DOC_DEPTH   200
#define MF_ID_BYTES    ((size_t)64 << 10) /* of the text of an id; an index key has at most some kilobytes */
#define MF_DOC_REASONS 50                 /* of one document are named */

struct mf_shred; /* a compiled map; opaque */

/* One table of a collection. tables[0] is the document's own; parents come before their children. */
struct mf_shred_table {
    /* schema, name ("" schema: the target's default), columns with the model's types (mf_column_show'n) and key: what a face shows of such a table. id is
     * made of the names. Rows of it have a value for each column in this order, in canonical form (model/type.h). */
    const struct mf_table *table;
    uint16_t nroot;  /* of the key, the first so many columns are the key of the document */
    uint16_t parent; /* its place in tables; of tables[0]: 0 */
};

struct mf_shred_collection {
    const char *database, *collection;
    uint16_t ntables;
    const struct mf_shred_table *tables;
    const struct shred_plan *plan; /* bson/internal.h */
};

/* MF_USAGE code MFMAP, with the file's line: what the map says that cannot be. m must outlive it. */
int mf_shred_compile(const struct mf_doc_map *m, struct mf_shred **ret, struct mf_error *err);
void mf_shred_free(struct mf_shred *s); /* NULL is allowed */
size_t mf_shred_count(const struct mf_shred *s);
const struct mf_shred_collection *mf_shred_at(const struct mf_shred *s, size_t i);
/* NULL: the map does not have it. */
const struct mf_shred_collection *mf_shred_find(const struct mf_shred *s, const char *database, const char *collection);

/* The tables of a collection with keys, indexes for the parents' keys and foreign keys to the parents, added to ret. */
int mf_shred_describe(const struct mf_shred_collection *c, struct mf_schema *ret, struct mf_error *err);

/* The rows of one document, or of several after each other: of[t] are those of tables[t], children in their parents' order; those of a map in the document's. */
struct mf_shred_rows {
    uint16_t ntables;
    struct mf_shred_list {
        size_t n, cap;
        struct mf_row *rows;
    } * of;
};

/* Rows of the document, in the arena, which need not outlive `bson`. MF_ROW code MFDOC: refused; the text names every path with its value and why (MF_DOC_REASONS of
 * them). MF_FATAL MFMEM. */
int mf_shred_document(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                      struct mf_shred_rows *ret, struct mf_error *err);
/* Of a document that is refused: every reason on a line of its own, MF_DOC_REASONS of them, where the error has room for a few. */
void mf_shred_reasons(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                      struct mf_buf *ret);
/* The other way: the normal form. Rows in any order. MF_ROW code MFDOC where they are no document's: a child without its parent, a gap in positions, a value
 * that its BSON type cannot hold. rows->of[0].n is 1. */
int mf_shred_rebuild(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_shred_rows *rows,
                     struct mf_value *ret, struct mf_error *err);
/* Are columns that say nothing of the document's own (an objectid's time) as shred makes them? MF_ROW code MFDOC: one is not. */
int mf_shred_check_made(const struct mf_shred_collection *c, const struct mf_shred_rows *rows, struct mf_error *err);
/* shred, then rebuild. */
int mf_shred_normal(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *bson,
                    struct mf_value *ret, struct mf_error *err);
/* `wanted` (a normal form) put into `there` (a document as it is): what has the same meaning by the map keeps its bytes and place, what the map does not say (ignore) stays, what is
 * gone goes, what is new comes behind. Afterwards normal(ret) is wanted. A `there` that the map refuses: where normal forms of parts cannot be had, wanted's are taken. */
int mf_shred_merge(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *there,
                   const struct mf_value *wanted, struct mf_value *ret, struct mf_error *err);

/* ---- ids ---- */

/* The id of a document as text: what the collection's row has for its key (bson/id.c says the forms). MF_ROW MFDOC: it has none, none that can be told, or one of more than
 * MF_ID_BYTES. */
int mf_bson_id_of(struct mf_arena *arena, const struct mf_value *bson, struct mf_value *ret, struct mf_error *err);
/* The text as a BSON document {"_id": …}. MF_ROW MFDOC: it is none of ours. */
int mf_bson_id_document(struct mf_arena *arena, const struct mf_value *text, struct mf_value *ret,
                        struct mf_error *err);
/* The values of the document's key in the row of tables[0] (the others MF_UNCHANGED), and the text for a row of tables[t]. MF_ROW: the map's columns have no room for
 * such an id: no row has it. */
int mf_shred_key_row(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *id,
                     struct mf_row *ret, struct mf_error *err);
int mf_shred_row_id(const struct mf_shred_collection *c, struct mf_arena *arena, uint16_t t, const struct mf_row *row,
                    struct mf_value *ret, struct mf_error *err);

/* ---- for people ---- */
/* The paths at which two documents differ, with commas between, of `most` bytes at most: "name, orders.0.total". Nothing where one of them is no document. */
void mf_bson_put_differences(struct mf_buf *b, const struct mf_value *one, const struct mf_value *other, size_t most);
/* Relaxed extended JSON, cut at `most` bytes. */
void mf_bson_put_json(struct mf_buf *b, const struct mf_value *bson, size_t most);

/* The shape that a collection is shown with: columns `_id` (TEXT, the key) and `document` (BYTES). In the arena; NULL: full. */
const struct mf_table *mf_bson_table(struct mf_arena *arena, const char *database, const char *collection);

#endif
