/* Between the files of a proposal. */
#ifndef MF_BSON_PROPOSE_INTERNAL_H
#define MF_BSON_PROPOSE_INTERNAL_H

#include "bson/propose.h"

#include "model/doc_map.h"

struct prop_column {
    const struct mf_infer_path *of;
    const char *name;    /* NULL: only `present` */
    const char *type;    /* NULL: only `present` */
    const char *present; /* NULL: none */
    enum mf_doc_rule missing, null, wrong;
    const char *why;     /* what the type has to do with what was seen; NULL: nothing */
    const char *refused; /* what was seen and no column of the target takes; NULL: nothing */
};

struct prop_table {
    struct prop_table *above;
    const struct mf_infer_path *of;   /* the array, the object; of a collection: its root */
    const struct mf_infer_path *base; /* what the columns' paths begin at: the element, the value, the document */
    enum mf_doc_kind kind;
    const char *to, *position, *key, *key_type;
    size_t nparent;
    const char **parent; /* NULL: as they are by themselves */
    const char **parent_names;
    enum mf_doc_rule missing;
    size_t ncolumns, cap;
    struct prop_column *columns;
    struct prop_table *tables, *next, *last; /* the first of its own, the next of the same above */
    size_t ntables;
    int64_t room; /* characters that may still stand in the row itself */
    const char *why;
};

struct prop_note {
    const struct mf_infer_collection *of;
    const char *text;
    struct prop_note *next;
};

struct prop_collection {
    const struct mf_infer_collection *of;
    struct prop_table *root;
    size_t ntables;
    const char *rest; /* NULL: none */
};

struct mf_doc_proposal {
    struct mf_arena arena;
    const struct mf_infer *infer;
    const struct mf_infer_references *references;
    struct mf_map_target target;
    size_t n;
    struct prop_collection *collections;
    struct prop_note *notes, **last_note;
    size_t nnotes;
    const struct mf_infer_collection *current; /* that is being built */
    bool full;                                 /* the arena is */
};

/* ---- propose_type.c ---- */

enum prop_shape { PROP_COLUMN, PROP_OBJECT, PROP_ARRAY, PROP_MAP };
struct prop_choice {
    enum prop_shape shape;
    const char *type; /* of a column */
    bool coerce, json;
    const char *why; /* NULL */
};
/* What a path becomes; room: characters left in the row. */
struct prop_choice prop_choose(struct mf_doc_proposal *p, const struct mf_infer_path *of, int64_t *room);
/* The type of an `_id` that is no sub-document of columns. */
struct prop_choice prop_choose_id(struct mf_doc_proposal *p, const struct mf_infer_path *of);
/* What the target takes in no column, of what was seen at the path (json: and below it); NULL: nothing. */
const char *prop_refused(struct mf_doc_proposal *p, const struct mf_infer_path *of, bool json);
bool prop_is_composite_id(const struct mf_infer_collection *c, const struct mf_infer_path *id);
/* A length with room to grow: 10, 20, 50, …; 0: past 4,000 there is no bound worth the name. */
unsigned prop_length(uint64_t seen);

/* ---- propose_names.c ---- */

/* A name that no column of the table has, of the path from the table's base on. */
const char *prop_column_name(struct mf_doc_proposal *p, const struct prop_table *t, const char *before,
                             const struct mf_infer_path *of);
const char *prop_unique_column(struct mf_doc_proposal *p, const struct prop_table *t, const char *wanted);
const char *prop_table_name(struct mf_doc_proposal *p, const struct prop_table *above, const struct mf_infer_path *of,
                            const struct mf_infer_collection *c);
/* Once all columns have their names: position, key, the parent's key. */
void prop_key_names(struct mf_doc_proposal *p, struct prop_table *t);
void prop_note(struct mf_doc_proposal *p, const struct mf_infer_collection *c, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *prop_text(struct mf_doc_proposal *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
