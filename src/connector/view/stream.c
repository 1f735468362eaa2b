/* The change stream: what it tells of a table that has query tables is told of those, one after the other.
 *
 * The rows of a relation version are as wide as that version, so the map is held against each version anew (compile.c), with the key that the catalogue says the table
 * has: a stream that carries whole old rows tells of none. A version that the map does not fit any more ends the stream before anything is lost
 * of it: MFSHAPE.
 *
 * Where query tables have columns of parents, changes of these are the business of family.c and remake.c. */
#include "connector/view/stream.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define MAX_SHAPES  200000u /* tables one stream has told of */
#define SHAPE_BYTES ((size_t)64 << 20)
#define UNSEEN_US   (2 * MF_US_PER_MS) /* between two looks at whether a commit is shown */
#define NOTHING_MAX 1000               /* items in a row that are nobody's, before the caller hears that nothing came */

static struct view_stream *stream_of(struct mf_stream *st)
{
    return (struct view_stream *)st;
}

static const struct mf_source_ops *own_ops(const struct view_stream *st)
{
    return st->own->db->connector->source;
}

static int read_catalog(struct view_stream *st, struct mf_error *err)
{
    static const struct mf_filter all;
    const struct view_db *v = view_of(st->base.db);
    struct mf_catalog c = {0};
    if (view_own(v)->shapes(v->own, &all, &c, err) < 0) {
        return -1;
    }
    mf_catalog_free(&st->catalog);
    st->catalog = c;
    return 0;
}

int view_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                     struct mf_stream **ret, struct mf_error *err)
{
    const struct view_db *v = view_of(db);
    struct view_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = db;
    mf_arena_init(&st->item, VIEW_ROW_BYTES);
    if (read_catalog(st, err) < 0) {
        view_stream_close(&st->base);
        return -1;
    }
    if (view_families_make(st, err) < 0) {
        mf_error_prefix(err, "the source was changed");
        view_stream_close(&st->base);
        return -1;
    }
    if (view_own(v)->stream_open(v->own, pipe, from, commits_wait, &st->own, err) < 0) {
        view_stream_close(&st->base);
        return -1;
    }
    st->own->old_whole = true;
    *ret = &st->base;
    return 0;
}

static void relation_free(struct view_relation *r)
{
    if (r) {
        mf_arena_free(&r->arena);
        free(r);
    }
}

void view_stream_close(struct mf_stream *base)
{
    struct view_stream *st = stream_of(base);
    if (!st) {
        return;
    }
    if (st->own) {
        own_ops(st)->stream_close(st->own);
    }
    for (size_t i = 0; i < st->rels.cap; i++) {
        relation_free(st->rels.slots[i].p);
    }
    mf_by_id_free(&st->rels);
    view_remake_free(st->remake);
    view_families_free(st);
    free(st->items);
    mf_catalog_free(&st->catalog);
    mf_arena_free(&st->item);
    free(st);
}

int view_stream_ack(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err)
{
    return own_ops(stream_of(st))->stream_ack(stream_of(st)->own, durable, err);
}

int view_stream_confirm(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err)
{
    return own_ops(stream_of(st))->stream_confirm(stream_of(st)->own, upto, err);
}

void view_stream_wake(struct mf_stream *st)
{
    own_ops(stream_of(st))->stream_wake(stream_of(st)->own);
}

int view_stream_leave(struct mf_stream *st, struct mf_error *err)
{
    return own_ops(stream_of(st))->stream_leave(stream_of(st)->own, err);
}

/* ---- relations ---- */

/* The catalogue's table, if it explains every column of the stream's. */
static const struct mf_table *explained(const struct view_stream *st, const struct mf_table *t)
{
    const struct mf_table *known = mf_catalog_find(&st->catalog, t->schema, t->name);
    for (uint16_t i = 0; known && i < t->ncolumns; i++) {
        known = mf_table_column(known, t->columns[i].name) >= 0 ? known : NULL;
    }
    return known;
}

static int does_not_fit(const struct mf_table *t, struct mf_error *err)
{
    struct mf_error why = *err;
    mf_fail(err, MF_FATAL, "MFSHAPE",
            "table %s.%s was changed on the source, and its query tables cannot be made of it any more: %s; nothing is "
            "lost, the source keeps its changes from there on",
            t->schema, t->name, why.text);
    mf_hint(err, "give the table back what the map needs of it and start midflight again; or midflight cancel, change "
                 "the map, and begin anew");
    return -1;
}

/* The stream's table with the key that the catalogue says it has. */
static struct mf_table *with_key(struct mf_arena *arena, const struct mf_table *t, const struct mf_table *known,
                                 struct mf_error *err)
{
    struct mf_table *base = mf_table_copy(arena, t);
    uint16_t *key = mf_alloc_array(arena, known ? known->nkey + 1u : 1, sizeof *key);
    if (!base || !key) {
        view_no_memory(err, "the shape of a table is too large");
        return NULL;
    }
    for (uint16_t i = 0; i < base->ncolumns; i++) {
        base->columns[i].in_key = false;
    }
    for (uint16_t k = 0; known && k < known->nkey; k++) {
        const char *name = known->columns[known->key[k]].name;
        int at = mf_table_column(base, name);
        if (at < 0) {
            mf_fail(err, MF_FATAL, "MFSHAPE", "it has no column \"%s\", which its key has", name);
            return NULL;
        }
        key[k] = (uint16_t)at;
        base->columns[at].in_key = true;
    }
    base->key = key;
    base->nkey = known ? known->nkey : 0;
    base->identity = known ? known->identity : MF_IDENTITY_FULL;
    base->ncascades = 0;
    return base;
}

static int compile(struct view_stream *st, struct view_relation *r, const struct mf_table *t, struct mf_error *err)
{
    const struct view_db *v = view_of(st->base.db);
    const struct view_compile c = {
        .map = v->map, .all = &st->catalog, .arena = &r->arena, .whole = true, .from = v->from, .to = v->to};
    if (!explained(st, t) && read_catalog(st, err) < 0) {
        return -1;
    }
    struct mf_table *base = with_key(&r->arena, t, mf_catalog_find(&st->catalog, t->schema, t->name), err);
    r->shown = mf_alloc_array(&r->arena, v->map->n + 1, sizeof *r->shown);
    r->entry = mf_alloc_array(&r->arena, v->map->n + 1, sizeof *r->entry);
    if (!base || !r->shown || !r->entry) {
        return base ? view_no_memory(err, "the shape of a table is too large") : does_not_fit(t, err);
    }
    for (size_t i = 0; i < v->map->n; i++) {
        struct mf_table *shown = mf_alloc0(&r->arena, sizeof *shown);
        if (!view_entry_of(&v->map->tables[i], t)) {
            continue;
        }
        if (!shown) {
            return view_no_memory(err, "the shape of a table is too large");
        }
        if (view_compile_entry(&c, &v->map->tables[i], base, shown, err) < 0) {
            return does_not_fit(t, err);
        }
        const struct mf_made *made = shown->made;
        shown->made = NULL;
        if (view_rows_of(&r->arena, shown, made, &r->shown[r->n], err) < 0) {
            return -1;
        }
        r->child |= made->nparents > 0;
        r->entry[r->n++] = (uint16_t)i;
    }
    return 0;
}

static int learn(struct view_stream *st, const struct mf_table *t, struct view_relation **ret, struct mf_error *err)
{
    const struct view_db *v = view_of(st->base.db);
    if (st->rels.n >= MAX_SHAPES) {
        return view_no_memory(err, "the stream tells of too many tables");
    }
    struct view_relation *r = mf_xcalloc(1, sizeof *r);
    mf_arena_init(&r->arena, SHAPE_BYTES);
    for (size_t i = 0; i < v->map->n && r->how != VIEW_SHOWN; i++) {
        r->how = view_entry_of(&v->map->tables[i], t) ? VIEW_SHOWN : VIEW_PASSES;
    }
    if (r->how == VIEW_PASSES && v->map->only && !view_is_book(t->schema)) {
        r->how = VIEW_LEFT_OUT;
    }
    if (r->how == VIEW_SHOWN && compile(st, r, t, err) < 0) {
        relation_free(r);
        return -1;
    }
    if (!view_is_book(t->schema) && view_roles_of(st, t, r, err) < 0) {
        relation_free(r);
        return does_not_fit(t, err);
    }
    relation_free(mf_by_id_put(&st->rels, t->id, r));
    *ret = r;
    return 0;
}

static int find(struct view_stream *st, const struct mf_table *t, struct view_relation **ret, struct mf_error *err)
{
    *ret = mf_by_id_find(&st->rels, t->id);
    return *ret ? 0 : learn(st, t, ret, err);
}

int view_base_relation(struct view_stream *st, const struct mf_table *base, struct view_relation **ret,
                       struct mf_error *err)
{
    const struct mf_table *known = mf_catalog_find(&st->catalog, base->schema, base->name);
    *ret = mf_by_id_find(&st->rels, base->id);
    if (*ret) {
        return 0;
    }
    return known ? learn(st, known, ret, err)
                 : mf_fail(err, MF_RETRY, "MFSHAPE", "table %s.%s is not there any more", base->schema, base->name);
}

/* ---- items ---- */

struct mf_item *view_add_item(struct view_stream *st, const struct mf_item *like)
{
    if (st->nitems == st->items_cap) {
        st->items_cap = st->items_cap ? st->items_cap * 2 : 16;
        st->items = mf_xreallocarray(st->items, st->items_cap, sizeof *st->items);
    }
    st->items[st->nitems] = *like;
    return &st->items[st->nitems++];
}

static int show_relation(struct view_stream *st, const struct mf_item *own, struct mf_error *err)
{
    struct view_relation *r;
    if (learn(st, own->table, &r, err) < 0) {
        return -1;
    }
    if (r->how == VIEW_PASSES) {
        view_add_item(st, own);
    }
    for (uint16_t i = 0; i < r->n; i++) {
        view_add_item(st, own)->table = r->shown[i].t;
    }
    return 0;
}

/* What it is to families. */
static int note(struct view_stream *st, const struct view_relation *r, const struct mf_item *own, struct mf_error *err)
{
    if (r->child) {
        view_note_children(st, own->txn);
    }
    return view_note_change(st, r, own, err);
}

static int show_truncate(struct view_stream *st, const struct mf_item *own, struct mf_error *err)
{
    const struct view_db *v = view_of(st->base.db);
    const struct mf_change *c = &own->change;
    size_t most = c->ntruncated + v->map->n + 1, n = 0;
    const struct mf_table **tables = mf_alloc_array(&st->item, most, sizeof(struct mf_table *));
    uint32_t *rels = mf_alloc_array(&st->item, most, sizeof *rels);
    if (!tables || !rels || most > UINT16_MAX) {
        return view_no_memory(err, "a TRUNCATE names too many tables");
    }
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        struct view_relation *r;
        if (find(st, c->truncated[i], &r, err) < 0 || note(st, r, own, err) < 0) {
            return -1;
        }
        if (r->how == VIEW_PASSES) {
            tables[n++] = c->truncated[i];
        }
        for (uint16_t k = 0; k < r->n && n < most; k++) {
            tables[n++] = r->shown[k].t;
        }
    }
    if (n) {
        struct mf_change *out = &view_add_item(st, own)->change;
        out->truncated = tables;
        out->truncated_rels = rels;
        out->ntruncated = (uint16_t)n;
        out->table = tables[0];
    }
    return 0;
}

/* Old rows were asked for whole for others' sake: where the key says which row it is, and is the same, nobody needs one. */
static void pass(struct view_stream *st, const struct mf_item *own)
{
    struct mf_change *c = &view_add_item(st, own)->change;
    if (c->op == MF_UPDATE && c->has_old && c->table->identity == MF_IDENTITY_KEY &&
        view_same_key(c->table, &c->old_row, &c->new_row)) {
        c->has_old = false;
    }
}

static int show_change(struct view_stream *st, const struct mf_item *own, struct mf_error *err)
{
    struct view_relation *r;
    if (own->change.op == MF_TRUNCATE) {
        return show_truncate(st, own, err);
    }
    if (find(st, own->change.table, &r, err) < 0 || note(st, r, own, err) < 0) {
        return -1;
    }
    if (r->how == VIEW_PASSES) {
        pass(st, own);
    }
    for (uint16_t i = 0; i < r->n; i++) {
        struct mf_change c;
        struct mf_row *parents = NULL;
        int n = 0;
        if ((view_wants_parents(&r->shown[i], &own->change) && view_stream_parents(st, r, i, own, &parents, err) < 0) ||
            view_change(&r->shown[i], &st->item, &own->change, parents, &c, &n, err) < 0) {
            return -1;
        }
        if (n) {
            view_add_item(st, own)->change = c;
        }
    }
    return 0;
}

static int show(struct view_stream *st, const struct mf_item *own, struct mf_error *err)
{
    if (own->kind == MF_ITEM_RELATION) {
        return show_relation(st, own, err);
    }
    if (own->kind == MF_ITEM_CHANGE) {
        return show_change(st, own, err);
    }
    if (own->kind == MF_ITEM_COMMIT) {
        view_commit(st, own);
        return 0;
    }
    if (own->kind == MF_ITEM_ABORT && own->subtxn == own->txn) {
        view_txn_free(view_txn_take(st, own->txn));
    }
    view_add_item(st, own);
    return 0;
}

/* Of what is held back, or else of what comes. *ret_none: nothing came, for now. */
static int fill(struct view_stream *st, int timeout_ms, bool *ret_none, struct mf_error *err)
{
    struct mf_item own = {0};
    *ret_none = false;
    if (st->remake) {
        int rc = view_remake_step(st, ret_none, err);
        if (rc == 0 && *ret_none && timeout_ms > 0) {
            mf_sleep_us(UNSEEN_US);
        }
        return rc;
    }
    return own_ops(st)->stream_next(st->own, timeout_ms, &own, err) < 0 ? -1 : show(st, &own, err);
}

int view_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct view_stream *st = stream_of(base);
    bool none = false;
    for (int nothing = 0; st->at == st->nitems; nothing++) {
        st->at = st->nitems = 0;
        mf_arena_reset(&st->item);
        if (nothing == NOTHING_MAX || none) {
            *ret = (struct mf_item){.kind = MF_ITEM_NONE};
            return 0;
        }
        if (fill(st, timeout_ms, &none, err) < 0) {
            st->nitems = 0;
            return -1;
        }
    }
    *ret = st->items[st->at++];
    return 0;
}
