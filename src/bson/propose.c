/*
 * From what was seen to tables. A walk over the paths: each becomes a column, columns of what it holds, or a table, and gets the rules that its documents need and no
 * other. What bson/shred.c asks of a map so that it can tell a document back decides which:
 *
 *  - NULL alone cannot be both missing and null: `present`.
 *  - a sub-document of columns is there when one of its fields is: `present` where it was seen without any, or null.
 *  - an array without elements has no rows: `present` where it was seen missing too; it is called empty where it was only ever missing.
 *  - below a sub-document that may be missing every field may be, unless `present` says of the sub-document that it is.
 */
#include "bson/propose_internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "bson/elem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MOST 700   /* of a table; MySQL has 1,017 */
#define INLINE_MOST  200   /* columns that a sub-document may have in its parent's table */
#define ONE_LEAST    8     /* columns of a sub-document that has a table of its own where few documents have it */
#define ONE_PART     0.1   /* few */
#define TABLES_MOST  900   /* of a collection; a map may have 1,000 */
#define TABLES_DEEP  8     /* tables within tables */
#define PATHS_DEEP   40    /* names within names: a map has 60 */
#define ROW_ROOM     12000 /* characters of texts in a row of MySQL, which has 65,535 bytes for all */
#define JSON_DEEP    90    /* what a JSON document holds with room for what values are written as */
#define ODD_TEXT     400   /* of a note that lists paths */

struct build {
    struct mf_doc_proposal *p;
    struct prop_collection *c;
};

static void build_value(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                        unsigned depth);

static struct prop_column *add_column(const struct build *b, struct prop_table *t, const struct mf_infer_path *of)
{
    if (t->ncolumns == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 8;
        struct prop_column *more = mf_alloc_array(&b->p->arena, cap, sizeof *more);
        if (!more) {
            b->p->full = true;
            return NULL;
        }
        if (t->ncolumns) {
            memcpy(more, t->columns, t->ncolumns * sizeof *more);
        }
        t->columns = more;
        t->cap = cap;
    }
    t->columns[t->ncolumns] = (struct prop_column){.of = of};
    return &t->columns[t->ncolumns++];
}

/* ---- columns ---- */

static bool may_miss(const struct mf_infer_path *of, bool absent)
{
    return of->kind == MF_INFER_FIELD && (absent || mf_infer_missing(of) > 0);
}

static void build_column(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                         const struct prop_choice *choice)
{
    bool missing = may_miss(of, absent), null = of->types[BSON_TYPE_NULL] > 0 && !choice->json;
    const char *name = prop_column_name(b->p, t, "", of);
    struct prop_column *c = add_column(b, t, of);
    if (!c) {
        return;
    }
    c->name = name;
    c->type = choice->type;
    c->why = choice->why;
    c->refused = prop_refused(b->p, of, choice->json);
    c->wrong = choice->coerce ? MF_DOC_COERCE : MF_DOC_REJECT;
    c->null = null ? MF_DOC_NULL : MF_DOC_REJECT;
    if (missing && null) {
        c->present = prop_column_name(b->p, t, "has_", of);
    } else if (missing) {
        c->missing = MF_DOC_NULL;
    }
}

static void build_present(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, const char *why)
{
    const char *name = prop_column_name(b->p, t, "has_", of);
    struct prop_column *c = add_column(b, t, of);
    if (c) {
        c->present = name;
        c->null = of->types[BSON_TYPE_NULL] ? MF_DOC_NULL : MF_DOC_REJECT;
        c->why = why;
    }
}

static void build_json(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                       const char *why)
{
    const struct prop_choice json = {.shape = PROP_COLUMN, .type = "json", .json = true, .why = why};
    build_column(b, t, of, absent, &json);
}

/* ---- tables ---- */

static unsigned tables_above(const struct prop_table *t)
{
    unsigned n = 0;
    for (; t; t = t->above) {
        n++;
    }
    return n;
}

/* Columns it would have in one table. */
static size_t leaves(const struct mf_infer_path *of)
{
    size_t n = 0;
    if (of->nfields == 0 || of->types[BSON_TYPE_ARRAY]) {
        return 1;
    }
    for (uint32_t i = 0; i < of->nfields && n <= COLUMNS_MOST; i++) {
        n += leaves(of->fields[i]);
    }
    return n + 1;
}

static struct prop_table *add_table(const struct build *b, struct prop_table *above, const struct mf_infer_path *of,
                                    const struct mf_infer_path *base, enum mf_doc_kind kind)
{
    struct prop_table *t = mf_alloc0(&b->p->arena, sizeof *t);
    if (!t) {
        b->p->full = true;
        return NULL;
    }
    *t = (struct prop_table){.above = above, .of = of, .base = base, .kind = kind, .room = ROW_ROOM};
    t->to = prop_table_name(b->p, above, of, b->c->of);
    b->c->ntables++;
    if (above) {
        *(above->last ? &above->last->next : &above->tables) = t;
        above->last = t;
        above->ntables++;
    }
    return t;
}

static void build_fields(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                         unsigned depth)
{
    for (uint32_t i = 0; i < of->nfields && !b->p->full; i++) {
        build_value(b, t, of->fields[i], absent, depth + 1);
    }
}

static void build_one(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, unsigned depth)
{
    if (of->types[BSON_TYPE_NULL]) {
        build_present(b, t, of, NULL);
    }
    struct prop_table *child = add_table(b, t, of, of, MF_DOC_ONE);
    if (child) {
        child->why = "few documents have it: a row for each that does";
        build_fields(b, child, of, false, depth);
    }
}

static void build_list(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                       bool map, unsigned depth)
{
    const struct mf_infer_path *base = map ? of->any : of->element;
    bool null = of->types[BSON_TYPE_NULL] > 0, missing = may_miss(of, absent);
    bool empty = map ? of->objects.empty > 0 : of->arrays.empty > 0;
    bool told = null || (missing && (empty || absent));
    if (b->c->ntables >= TABLES_MOST || tables_above(t) >= TABLES_DEEP || leaves(base) > COLUMNS_MOST) {
        build_json(b, t, of, absent, "too deep or too wide for tables");
        return;
    }
    if (told) {
        build_present(b, t, of, null ? NULL : "tells a missing one from an empty one");
    }
    struct prop_table *child = add_table(b, t, of, base, map ? MF_DOC_MAP : MF_DOC_ARRAY);
    if (!child) {
        return;
    }
    child->missing = missing && !told ? MF_DOC_EMPTY : MF_DOC_REJECT;
    if (map) {
        unsigned n = prop_length(base->key_chars);
        child->key_type = prop_text(b->p, "string(%u)", n ? n : (unsigned)(base->key_chars + base->key_chars / 4));
        child->why =
            prop_text(b->p, "its keys are data: about %" PRIu64 " different ones", mf_infer_distinct_keys(base));
    }
    build_value(b, child, base, false, depth + 1);
}

static void build_object(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                         unsigned depth)
{
    size_t n = leaves(of);
    const struct mf_infer_path *up = of->above;
    uint64_t there = of->types[BSON_TYPE_DOCUMENT], all = up ? up->types[BSON_TYPE_DOCUMENT] : 0;
    bool rare = (double)there < ONE_PART * (double)all && n > ONE_LEAST;
    if (depth > PATHS_DEEP || n > COLUMNS_MOST) {
        build_json(b, t, of, absent, "too deep or too wide for columns");
        return;
    }
    if (of->kind == MF_INFER_FIELD && (rare || n > INLINE_MOST) && tables_above(t) < TABLES_DEEP &&
        b->c->ntables < TABLES_MOST) {
        build_one(b, t, of, depth);
        return;
    }
    bool null = of->types[BSON_TYPE_NULL] > 0, element = of == t->base;
    bool told = null || (of->objects.empty > 0 && !element);
    if (told) {
        build_present(b, t, of, null ? NULL : "tells a missing one from {}");
    }
    build_fields(b, t, of, !told && may_miss(of, absent), depth);
}

static void build_value(const struct build *b, struct prop_table *t, const struct mf_infer_path *of, bool absent,
                        unsigned depth)
{
    if ((t->ncolumns >= COLUMNS_MOST || t->ntables >= TABLES_MOST / 2) && !t->above) {
        b->c->rest = ""; /* named when all columns are */
        return;
    }
    const struct prop_choice choice = prop_choose(b->p, of, &t->room);
    switch (choice.shape) {
    case PROP_COLUMN:
        build_column(b, t, of, absent, &choice);
        return;
    case PROP_OBJECT:
        build_object(b, t, of, absent, depth);
        return;
    case PROP_ARRAY:
    case PROP_MAP:
        build_list(b, t, of, absent, choice.shape == PROP_MAP, depth);
        return;
    }
}

/* ---- a collection ---- */

static const struct mf_infer_path *find_id(const struct mf_infer_path *root)
{
    for (uint32_t i = 0; i < root->nfields; i++) {
        if (mf_streq(root->fields[i]->name, "_id")) {
            return root->fields[i];
        }
    }
    return NULL;
}

/* Where no document was read: the key all the same. */
static const struct mf_infer_path *unseen_id(const struct build *b)
{
    struct mf_infer_path *p = mf_alloc0(&b->p->arena, sizeof *p);
    char *name = mf_strdup_a(&b->p->arena, "_id");
    if (!p || !name) {
        b->p->full = true;
        return NULL;
    }
    p->above = b->c->of->root;
    p->name = name;
    p->nname = 3;
    return p;
}

static void build_id(const struct build *b, struct prop_table *t, const struct mf_infer_path *id)
{
    id = id ? id : unseen_id(b);
    if (!id) {
        return;
    }
    if (prop_is_composite_id(b->c->of, id)) {
        for (uint32_t i = 0; i < id->nfields; i++) {
            int64_t room = INT64_MAX;
            const struct prop_choice choice = prop_choose(b->p, id->fields[i], &room);
            build_column(b, t, id->fields[i], false, &choice);
        }
        return;
    }
    const struct prop_choice choice = prop_choose_id(b->p, id);
    struct prop_column *c = add_column(b, t, id);
    if (c) {
        c->name = "id";
        c->type = choice.type;
        c->why = choice.why;
        c->refused = prop_refused(b->p, id, false);
    }
}

/* Their paths, one after the other, as many as there is room for; how many there are. */
static size_t odd_names(const struct mf_infer_path *p, struct mf_buf *b)
{
    size_t n = 0;
    if (mf_infer_odd_name(p)) {
        MF_CLEANUP_BUF struct mf_buf path = {.max = 1 << 16};
        mf_infer_put_path(&path, p);
        if (b->len < ODD_TEXT) {
            mf_buf_printf(b, "%s%s", b->len ? ", " : "", mf_buf_str(&path));
        }
        n++;
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        n += odd_names(p->fields[i], b);
    }
    n += p->element ? odd_names(p->element, b) : 0;
    return n + (p->any ? odd_names(p->any, b) : 0);
}

static void note_names(const struct build *b)
{
    MF_CLEANUP_BUF struct mf_buf paths = {.max = ODD_TEXT + (1 << 16)};
    size_t n = odd_names(b->c->of->root, &paths);
    if (n) {
        prop_note(b->p, b->c->of,
                  "%zu names have a dot in them, a $ before them, or are empty, and stand as lists: %s%s", n,
                  mf_buf_str(&paths), paths.len >= ODD_TEXT ? ", …" : "");
    }
}

static void note_documents(const struct build *b)
{
    const struct mf_infer_collection *c = b->c->of;
    for (size_t i = 0; i < c->nfaults; i++) {
        const struct mf_infer_fault *f = &c->faults[i];
        prop_note(b->p, c, "%" PRIu64 " documents that no map takes: %s%s%s", f->documents, f->where,
                  f->where[0] ? ": " : "", f->why);
    }
    if (c->depth > JSON_DEEP) {
        prop_note(b->p, c, "documents nested %u deep: of what becomes JSON 100 levels are taken", c->depth);
    }
    if (c->documents == 0) {
        prop_note(b->p, c, "no document was read: what it will have goes to a column of JSON");
    }
    note_names(b);
}

/* From above: a child's key begins with its parent's. */
static void name_keys(struct mf_doc_proposal *p, struct prop_table *t)
{
    for (struct prop_table *k = t->tables; k && !p->full; k = k->next) {
        prop_key_names(p, k);
        name_keys(p, k);
    }
}

static void build_collection(struct mf_doc_proposal *p, struct prop_collection *c)
{
    const struct build b = {p, c};
    const struct mf_infer_path *root = c->of->root, *id = find_id(root);
    c->root = add_table(&b, NULL, root, root, MF_DOC_ONE);
    if (!c->root) {
        return;
    }
    p->current = c->of;
    note_documents(&b);
    build_id(&b, c->root, id);
    for (uint32_t i = 0; i < root->nfields && !p->full; i++) {
        if (root->fields[i] != id) {
            build_value(&b, c->root, root->fields[i], false, 1);
        }
    }
    name_keys(p, c->root);
    if (c->rest || root->others || c->of->documents == 0) {
        c->rest = prop_unique_column(p, c->root, "rest");
    }
}

int mf_doc_propose(const struct mf_infer *f, const struct mf_infer_references *references,
                   const struct mf_map_target *target, struct mf_doc_proposal **ret, struct mf_error *err)
{
    struct mf_doc_proposal *p = mf_xcalloc(1, sizeof *p);
    mf_arena_init(&p->arena, MF_PROPOSE_BYTES);
    p->infer = f;
    p->references = references;
    p->target = target ? *target : (struct mf_map_target){0};
    p->last_note = &p->notes;
    p->collections = mf_xcalloc(mf_infer_count(f) + 1, sizeof *p->collections);
    for (size_t i = 0; i < mf_infer_count(f) && !p->full; i++) {
        p->collections[p->n].of = mf_infer_at(f, i);
        build_collection(p, &p->collections[p->n++]);
    }
    if (p->full) {
        mf_doc_proposal_free(p);
        return mf_fail(err, MF_FATAL, "MFMEM",
                       "the proposal of a map would be too large: leave collections out (tables.exclude)");
    }
    *ret = p;
    return 0;
}

void mf_doc_proposal_free(struct mf_doc_proposal *p)
{
    if (p) {
        mf_arena_free(&p->arena);
        free(p->collections);
        free(p);
    }
}

void mf_doc_proposal_notes(const struct mf_doc_proposal *p, mf_doc_note *note, void *ctx)
{
    for (const struct prop_note *n = p->notes; n; n = n->next) {
        note(ctx, n->of, n->text);
    }
}
