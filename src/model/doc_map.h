/* Documents as rows, as the user asks for it (`map:` in migration.yaml, entries with `collection`): which tables a collection's documents become, path by path.
 *
 * Not yet held against anything: src/bson compiles it (bson/shred.h). Everything lives in the arena. Lines are those of the file, for messages. */
#ifndef MF_MODEL_DOC_MAP_H
#define MF_MODEL_DOC_MAP_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of fields from the document, or from the element of the table's array or map, down; n 0: it itself ("."). */
struct mf_doc_path {
    size_t n;
    const char *const *names;
};

enum mf_doc_rule {
    MF_DOC_REJECT, /* the document is refused */
    MF_DOC_NULL,
    MF_DOC_DEFAULT, /* the column's `fallback` */
    MF_DOC_COERCE,  /* the same value in another of BSON's types; never an inexact one */
    MF_DOC_EMPTY,   /* of tables: as an array or a map without elements */
    MF_DOC_MISSING, /* of `null`: as if the field were not there */
};

struct mf_doc_column {
    size_t line;
    struct mf_doc_path path;
    const char *name;     /* NULL: the path's names with _ between */
    const char *type;     /* as written: "string(100)"; NULL where `present` */
    const char *as;       /* "hex", "binary": of an objectid; NULL */
    const char *time;     /* of an objectid: a further column with its time; NULL */
    const char *present;  /* the column that says whether the path is there; then there may be no type */
    const char *fallback; /* `default:`; NULL */
    /* missing, wrong, range: REJECT, NULL, DEFAULT, wrong also COERCE; null: REJECT, NULL, DEFAULT, MISSING. Where there is no type, of `present`, which is NULL
     * for a null then: null REJECT, NULL, MISSING. */
    enum mf_doc_rule missing, null, wrong, range;
};

enum mf_doc_kind { MF_DOC_ARRAY, MF_DOC_MAP, MF_DOC_ONE };

struct mf_doc_table {
    size_t line;
    struct mf_doc_path path; /* relative to what the table above is of; of a collection itself: n 0 */
    const char *to;          /* "schema.name", or a name alone */
    enum mf_doc_kind kind;
    const char *position, *key, *key_type; /* NULL: "position"; "key"; "string(255)" */
    size_t nparent;                        /* 0: named by themselves */
    const char *const *parent;
    enum mf_doc_rule missing, null; /* REJECT, EMPTY */
    size_t ncolumns;
    const struct mf_doc_column *columns;
    size_t ntables;
    const struct mf_doc_table *tables;
};

struct mf_doc_collection {
    size_t line;
    const char *database, *collection;
    struct mf_doc_table root;
    size_t nignore;
    const struct mf_doc_path *ignore;
    const char *rest; /* the JSON column for what no path says; NULL: such a document is refused */
};

struct mf_doc_map {
    struct mf_arena arena;
    const char *file; /* it was written in, for messages */
    size_t n;
    const struct mf_doc_collection *collections;
};
void mf_doc_map_free(struct mf_doc_map *m); /* NULL is allowed; frees m too */
/* Of all that it says, whatever line it says it on. */
uint64_t mf_doc_map_hash(const struct mf_doc_map *m);

#endif
