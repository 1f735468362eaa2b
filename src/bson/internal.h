/* A compiled map. Every path is a node of a tree, so that a document is walked once, and whoever writes it back walks the same tree.
 *
 * A node is one of: a value (`column`), a list of elements (`list`: array, map, or the one row of a sub-document), left out (`ignored`), or a sub-document with
 * `children`. Any but an ignored one may have a column that says whether it is there (`told`). A list's elements have a tree of their own, of its table's columns. */
#ifndef MF_BSON_INTERNAL_H
#define MF_BSON_INTERNAL_H

#include "bson/reasons.h"
#include "bson/shred.h"
#include "bson/types.h"

struct plan_column {
    uint16_t at; /* its ordinal in the table */
    struct shred_type type;
    enum mf_doc_rule missing, null, wrong, range;
    struct mf_value fallback; /* canonical; MF_NULL: none */
    int time;                 /* ordinal of the column with an objectid's time; -1: none */
};

struct plan_node {
    const char *name;
    uint32_t len;
    size_t line;    /* of the map, where it was first spoken of */
    uint16_t table; /* whose columns it is about */
    bool ignored, in_id;
    bool open;   /* what it holds that nobody speaks of goes to `rest` */
    bool told;   /* column `present`: 1, 0 (missing), or NULL (null, where null is MF_DOC_NULL) */
    bool nested; /* an element of a list, or the document: always there */
    uint16_t present;
    enum mf_doc_rule null; /* of `present`: REJECT, MISSING, NULL */
    struct plan_column *column;
    struct plan_list *list;
    uint16_t nchildren, cap;
    struct plan_node **children; /* in the order of the map */
    uint16_t *sorted;            /* their places, by name */
};

struct plan_list {
    uint16_t table;
    enum mf_doc_kind kind;
    uint16_t
        nparent; /* its first columns are the key of its parent's row; the next, but of ONE, is the position or the key */
    uint32_t key_length;
    enum mf_doc_rule missing, null; /* REJECT, EMPTY */
    struct plan_node *element;
};

struct shred_plan {
    struct plan_node *root;
    const struct plan_node *id; /* root's child */
    int rest;                   /* ordinal in tables[0]; -1: none */
    struct plan_list **lists;   /* by table; that of tables[0]: NULL */
};

struct mf_shred {
    struct mf_arena arena;
    size_t n;
    struct mf_shred_collection *collections;
};

#define PLAN_DEPTH 60 /* names within names: with what a JSON column holds it stays under MF_DOC_DEPTH */

/* Its place in n->children; -1: none. *hint: where it is likely, and then where the next one is. */
int plan_child(const struct plan_node *n, const char *name, size_t len, uint16_t *hint);
/* What a missing value stands as, where something else says that it is missing. */
static inline struct mf_value plan_absent(const struct plan_column *c)
{
    return c->missing == MF_DOC_DEFAULT ? c->fallback : (struct mf_value){.kind = MF_NULL};
}

/* ---- pair.c ---- */
#define PAIR_NONE UINT32_MAX
/* ret_of[j]: the element of `have` that want[j] is, as normal forms; PAIR_NONE: none. Each is one at most. m of them; false: no memory. */
bool pair_elements(struct mf_arena *a, const struct elem *have, uint32_t n, const struct elem *want, uint32_t m,
                   uint32_t *ret_of);

/* ---- made.c ---- */
/* The time of an objectid as a column has it, canonical; its length, or 0: it is none. */
size_t made_time(const struct mf_value *v, char text[32]);

/* ---- compile.c, compile_tables.c ---- */
struct compile {
    struct mf_shred *s;
    const struct mf_doc_map *map;
    const struct mf_doc_collection *of;
    struct mf_error *err;
    struct shred_plan *plan;
    struct mf_shred_table *tables;
    uint16_t ntables;
};
/* MF_USAGE MFMAP. Returns -1. */
int compile_fail(const struct compile *c, size_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int compile_full(const struct compile *c);
/* The node of a path from `from` on, made where it is new. NULL: an error. */
struct plan_node *compile_node(struct compile *c, struct plan_node *from, const struct mf_doc_path *path, size_t line);
/* One column of the map at its node: what it makes of the table is put behind `t`. */
struct compile_table {
    struct mf_column *columns;
    uint16_t n, cap;
};
int compile_column(struct compile *c, struct compile_table *t, struct plan_node *element,
                   const struct mf_doc_column *d);
int compile_add(struct compile *c, struct compile_table *t, size_t line, const char *name, const struct mf_type *type,
                bool not_null, uint16_t *ret_at);
/* Where a presence is told above it, a value may be NULL although its own rules never make it so. */
void compile_loosen(struct compile_table *t, const struct plan_node *element, bool below);
struct plan_node *compile_new_node(struct compile *c, struct plan_node *up, const char *name, size_t line);
const char *compile_joined(struct compile *c, const char *before, const struct mf_doc_path *path);
/* After all paths: which children a node has by name, and whether what the map says of it can be. */
int compile_settle(struct compile *c, struct plan_node *n, unsigned depth);

/* ---- shred.c ---- */
/* As mf_shred_document of a checked document. reasons NULL: they are in the error alone. */
int shred_checked(const struct mf_shred_collection *c, struct mf_arena *arena, const struct elem *document,
                  struct mf_shred_rows *ret, const struct reasons_out *reasons, struct mf_error *err);
/* The values of the document's key: from the element `_id` into the row of tables[0]. */
int shred_id(const struct mf_shred_collection *c, struct mf_arena *arena, const struct elem *document,
             struct mf_value *values, struct mf_error *err);

/* ---- rest.c ---- */
/* Of a document at n, what no path speaks of, behind b: a document of the same nesting. False: there is nothing (it is empty). */
bool shred_put_rest(const struct plan_node *n, const uint8_t *document, struct mf_buf *b);

/* ---- rebuild.c ---- */
/* {"_id": …} behind b, of a row of tables[0]. */
int rebuild_id(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *values,
               struct mf_buf *b, struct mf_error *err);

int shred_no_memory(struct mf_error *err);
int shred_not_document(struct mf_error *err,
                       const struct mf_value *bson); /* checks it; MF_ROW MFDOC with what is wrong */

#endif
