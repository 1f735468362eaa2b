/* Query tables: tables of the target that are no table of the source, but made of the rows of one, because they are to be asked in another way. One table feeds
 * any number of them, each with a key of its own, with some of its columns under other names, with constants and expressions, and with columns of a table it refers to.
 *
 * struct mf_query_map is what the user asked for (`map:` in migration.yaml), not yet held against any catalogue. struct mf_made is what becomes of it: how the
 * rows of one query table are made of those of its source's table. It travels with the table's shape (mf_table.made), so that whoever has the shape
 * can make the rows and needs to ask nobody. See docs/internals/query-tables.md. */
#ifndef MF_MODEL_QUERY_MAP_H
#define MF_MODEL_QUERY_MAP_H

#include "model/expr.h"
#include "model/table.h"
#include "model/value.h"

/* ---- what was asked for ---- */

struct mf_query_column {
    size_t line;
    bool every;        /* "*": all columns of the source's table that are not named otherwise */
    const char *name;  /* of the query table's column */
    const char *of;    /* of the source's; NULL: `value` or `expr` */
    const char *value; /* a constant */
    const struct mf_expr *expr;
    const char *parent; /* the table that `of` is a column of, as it was written; NULL: the source's table itself */
    size_t nby;
    const char *const *by; /* the source's columns that refer to the parent's key */
    const char *type;      /* the target's words for the type it is to get; NULL: what the target gives by itself */
    bool is_static;
};

struct mf_query_order {
    const char *name;
    bool descending;
};

struct mf_query_table {
    size_t line;
    const char *table, *to;       /* as they were written: `schema.name`, or a name alone */
    size_t npartition;            /* 0: the key of the source's table, in its order */
    const char *const *partition; /* names of the query table's columns, here and below */
    size_t nclustering;
    const struct mf_query_order *clustering;
    size_t ncolumns; /* 0: every column of the source's table */
    const struct mf_query_column *columns;
    size_t ndrop;
    const char *const *drop; /* the source's columns that are left out */
    const char *ttl;         /* the query table's column that says when a row ends; NULL: none does */
};

struct mf_query_map {
    struct mf_arena arena;
    const char *path; /* of the file it was written in, for messages */
    size_t n;
    struct mf_query_table *tables;
    bool only; /* tables without an entry do not migrate */
};
void mf_query_map_free(struct mf_query_map *m); /* NULL is allowed; frees m too */
/* The first line with a column of another table; 0: there is none. */
size_t mf_query_map_parents(const struct mf_query_map *m);

/* ---- what is made of it ---- */

enum mf_made_kind {
    MF_MADE_COLUMN,   /* column `of` of the base */
    MF_MADE_CONSTANT, /* `constant` */
    MF_MADE_EXPR,     /* `expr` of the base's row */
    MF_MADE_PARENT,   /* column `of` of parents[parent]; NULL where there is no such row */
};

/* An engine's own value of type t, OPAQUE with a shape, as a document (mf_canon_ops.document). */
typedef int mf_to_document(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                           struct mf_value *ret, struct mf_error *err);

struct mf_made_column {
    const char *name;
    enum mf_made_kind kind;
    uint16_t of, parent; /* of EXPR: its first column */
    struct mf_value constant;
    struct mf_expr expr;     /* its columns by their places in the base */
    const char *wanted_type; /* as in mf_query_column */
    /* It is to be a collection of the target's: values of type `from` as documents of this type (model/document.h). NULL: as they are. */
    const struct mf_type *shape, *from;
    mf_to_document *document; /* where `from` is OPAQUE */
    bool is_static, descending;
};

/* A row that the base's rows refer to: by[i] is the ordinal in the base of what must equal table's i-th key column. */
struct mf_made_parent {
    const struct mf_table *table;
    const uint16_t *by; /* table->nkey of them */
};

struct mf_made {
    const struct mf_table *base; /* with the columns that are used and those of its key */
    uint16_t n;
    const struct mf_made_column *columns;
    uint16_t nparents;
    const struct mf_made_parent *parents;
    uint16_t npartition; /* of the query table's key columns; 0: not said */
    bool ends;           /* rows end at the moment in columns[ends_at]; NULL there: never */
    uint16_t ends_at;
    bool whole_base; /* every column of the source's table was asked for: one that comes later too */
};

/* A deep copy; NULL when the arena is full. */
const struct mf_made *mf_made_copy(struct mf_arena *arena, const struct mf_made *m);
int mf_made_column(const struct mf_made *m, const char *name); /* its place in columns, or -1 */

#endif
