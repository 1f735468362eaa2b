/* Children and parents in the stream: which transactions changed what of them, and the parents that a change's row is to have.
 *
 * Changes come before their transaction's COMMIT, and look-ups see what is committed. So for each open transaction it is remembered which parents it changed
 * and whether anything was looked up for it; what is done about the first at its COMMIT is in remake.c. A commit that changed parents makes every
 * look-up before it outdated: for transactions that are committed, its own remaking makes up; those that are still open (a server that streams large ones early)
 * inherit its notes, and make up for it at their own COMMIT.
 *
 * Memory: the notes of one transaction are bounded; one with more is taken to have changed all parents of the family. */
#include "connector/view/stream.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define NOTES_BYTES   ((size_t)16 << 20) /* of one transaction */
#define CACHE_BYTES   ((size_t)16 << 20)
#define CACHE_CHAINS  8192
#define FAMILIES_MOST 1000

/* ---- families ---- */

static struct mf_table *reading(struct mf_arena *arena, const struct mf_table *shown, uint16_t parent)
{
    const struct mf_made *made = shown->made;
    const struct mf_made_parent *p = &made->parents[parent];
    struct mf_table *t = mf_table_copy(arena, made->base);
    uint16_t *key = mf_alloc_array(arena, p->table->nkey + 1u, sizeof *key);
    if (!t || !key) {
        return NULL;
    }
    t->ncolumns = 0;
    for (uint16_t i = 0; i < made->base->ncolumns; i++) {
        if (made->base->columns[i].in_key || view_tells_place(shown, made, i)) {
            t->columns[t->ncolumns] = t->columns[i];
            t->columns[t->ncolumns++].in_key = false;
        }
    }
    for (uint16_t k = 0; k < p->table->nkey; k++) {
        key[k] = (uint16_t)mf_table_column(t, made->base->columns[p->by[k]].name);
        t->columns[key[k]].in_key = true;
    }
    t->key = key;
    t->nkey = p->table->nkey;
    t->identity = MF_IDENTITY_KEY;
    return t;
}

static int add_families(struct view_stream *st, const struct mf_table *shown, uint16_t entry, struct mf_error *err)
{
    st->first[entry] = (uint16_t)st->nfamilies;
    for (uint16_t p = 0; p < shown->made->nparents; p++) {
        struct mf_table *reads = reading(&st->families_arena, shown, p);
        if (!reads || st->nfamilies == FAMILIES_MOST) {
            return view_no_memory(err, "the map's tables are too large");
        }
        st->families[st->nfamilies++] = (struct view_family){
            .entry = entry, .parent = p, .made = shown->made, .table = shown->made->parents[p].table, .reads = reads};
    }
    return 0;
}

int view_families_make(struct view_stream *st, struct mf_error *err)
{
    const struct view_db *v = view_of(st->base.db);
    struct mf_arena *arena = &st->families_arena;
    const struct view_compile c = {.map = v->map, .all = &st->catalog, .arena = arena};
    mf_arena_init(arena, VIEW_TABLE_BYTES);
    mf_arena_init(&st->cache_arena, CACHE_BYTES);
    if (!mf_query_map_parents(v->map)) {
        return 0;
    }
    st->families = mf_alloc_array(arena, FAMILIES_MOST, sizeof *st->families);
    st->first = mf_alloc_array(arena, v->map->n + 1, sizeof *st->first);
    st->cache = mf_xcalloc(CACHE_CHAINS, sizeof(struct view_cached *));
    if (!st->families || !st->first) {
        return view_no_memory(err, "the map's tables are too large");
    }
    for (size_t e = 0; e < v->map->n; e++) {
        for (size_t i = 0; i < st->catalog.n; i++) {
            struct mf_table shown;
            if (view_entry_of(&v->map->tables[e], &st->catalog.tables[i]) &&
                (view_compile_entry(&c, &v->map->tables[e], &st->catalog.tables[i], &shown, err) < 0 ||
                 add_families(st, &shown, (uint16_t)e, err) < 0)) {
                return -1;
            }
        }
    }
    return 0;
}

void view_families_free(struct view_stream *st)
{
    for (struct view_txn *t; (t = st->txns);) {
        st->txns = t->next;
        view_txn_free(t);
    }
    if (st->look.reader) {
        st->look.reader->db->connector->source->reader_close(st->look.reader);
    }
    free(st->cache);
    mf_arena_free(&st->cache_arena);
    mf_arena_free(&st->families_arena);
}

int view_roles_of(const struct view_stream *st, const struct mf_table *t, struct view_relation *r, struct mf_error *err)
{
    r->roles = mf_alloc_array(&r->arena, st->nfamilies + 1, sizeof *r->roles);
    for (size_t i = 0; r->roles && i < st->nfamilies; i++) {
        const struct mf_table *is = st->families[i].table;
        if (!mf_streq(is->name, t->name) || !mf_streq(is->schema, t->schema)) {
            continue;
        }
        struct view_role *role = &r->roles[r->nroles++];
        role->family = (uint16_t)i;
        role->key = mf_alloc_array(&r->arena, is->nkey + 1u, sizeof *role->key);
        role->shown = mf_alloc_array(&r->arena, is->ncolumns + 1u, sizeof *role->shown);
        if (!role->key || !role->shown) {
            return view_no_memory(err, "the shape of a table is too large");
        }
        for (uint16_t c = 0; c < is->ncolumns; c++) {
            int at = mf_table_column(t, is->columns[c].name);
            if (at < 0) {
                return mf_fail(err, MF_FATAL, "MFSHAPE", "it has no column \"%s\"", is->columns[c].name);
            }
            role->shown[c] = (uint16_t)at;
        }
        for (uint16_t k = 0; k < is->nkey; k++) {
            role->key[k] = role->shown[is->key[k]];
        }
    }
    return r->roles ? 0 : view_no_memory(err, "the shape of a table is too large");
}

/* ---- transactions ---- */

void view_txn_free(struct view_txn *t)
{
    if (t) {
        mf_arena_free(&t->arena);
        free(t->all);
        free(t->of);
        free(t->chains);
        free(t);
    }
}

static struct view_txn *txn_of(struct view_stream *st, uint64_t id)
{
    for (struct view_txn *t = st->txns; t; t = t->next) {
        if (t->id == id) {
            return t;
        }
    }
    struct view_txn *t = mf_xcalloc(1, sizeof *t);
    t->id = id;
    t->all = mf_xcalloc(st->nfamilies + 1, sizeof *t->all);
    t->of = mf_xcalloc(st->nfamilies + 1, sizeof(struct view_note *));
    mf_arena_init(&t->arena, NOTES_BYTES);
    t->next = st->txns;
    st->txns = t;
    return t;
}

struct view_txn *view_txn_take(struct view_stream *st, uint64_t id)
{
    for (struct view_txn **at = &st->txns; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct view_txn *t = *at;
            *at = t->next;
            return t;
        }
    }
    return NULL;
}

void view_note_children(struct view_stream *st, uint64_t txn)
{
    txn_of(st, txn)->children = true;
}

/* Beyond what may be kept it is all of them. */
static void note(const struct view_stream *st, struct view_txn *t, uint16_t family, const struct mf_row *key)
{
    const struct mf_table *is = st->families[family].table;
    t->any = true;
    if (t->all[family]) {
        return;
    }
    if (!t->chains) {
        t->chains = mf_xcalloc(VIEW_NOTE_CHAINS, sizeof(struct view_note *));
    }
    struct view_note **chain = &t->chains[(view_key_hash(is, key) + family) % VIEW_NOTE_CHAINS];
    for (const struct view_note *n = *chain; n; n = n->chain) {
        if (n->family == family && view_same_key(is, &n->key, key)) {
            return;
        }
    }
    struct view_note *n = mf_alloc0(&t->arena, sizeof *n);
    if (!n || mf_row_copy(&t->arena, &n->key, key) < 0) {
        t->all[family] = true;
        t->of[family] = NULL;
        return;
    }
    n->family = family;
    n->next = t->of[family];
    n->chain = *chain;
    t->of[family] = *chain = n;
}

/* ---- changes of parents ---- */

static int note_row(struct view_stream *st, struct view_txn *t, const struct view_role *role, const struct mf_row *row,
                    const struct mf_row *old, struct mf_error *err)
{
    const struct mf_table *is = st->families[role->family].table;
    struct mf_value *v = mf_alloc_array(&st->item, is->ncolumns + 1u, sizeof *v);
    if (!v) {
        return view_no_memory(err, "a row is too large");
    }
    for (uint16_t i = 0; i < is->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < is->nkey; k++) {
        const struct mf_value *x = &row->values[role->key[k]];
        v[is->key[k]] = x->kind == MF_UNCHANGED && old ? old->values[role->key[k]] : *x;
        if (v[is->key[k]].kind != MF_TEXT && v[is->key[k]].kind != MF_BINARY) {
            return 0; /* no row can refer to it */
        }
    }
    note(st, t, role->family, &(struct mf_row){.n = is->ncolumns, .values = v});
    return 0;
}

/* Whether an update changes something that is shown, or may. Without an old row the key is what it was. */
static bool touches(const struct view_stream *st, const struct view_role *role, const struct mf_change *c)
{
    const struct mf_table *is = st->families[role->family].table;
    for (uint16_t i = 0; i < is->ncolumns; i++) {
        const struct mf_value *now = &c->new_row.values[role->shown[i]];
        if (now->kind == MF_UNCHANGED) {
            continue;
        }
        if (c->has_old ? !mf_value_equal(now, &c->old_row.values[role->shown[i]]) : !is->columns[i].in_key) {
            return true;
        }
    }
    return false;
}

int view_note_change(struct view_stream *st, const struct view_relation *r, const struct mf_item *own,
                     struct mf_error *err)
{
    const struct mf_change *c = &own->change;
    for (uint16_t i = 0; i < r->nroles; i++) {
        const struct view_role *role = &r->roles[i];
        if (c->op == MF_UPDATE && !touches(st, role, c)) {
            continue;
        }
        struct view_txn *t = txn_of(st, own->txn);
        if (c->op == MF_TRUNCATE) {
            t->any = t->all[role->family] = true;
            t->of[role->family] = NULL;
            continue;
        }
        if ((c->op != MF_DELETE && note_row(st, t, role, &c->new_row, c->has_old ? &c->old_row : NULL, err) < 0) ||
            (c->op != MF_INSERT && c->has_old && note_row(st, t, role, &c->old_row, NULL, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* ---- looking up ---- */

struct view_cached {
    uint16_t family;
    bool gone;
    struct mf_row key, row; /* row.n == 0: there is none */
    struct view_cached *next;
};

static struct view_cached **cached_at(struct view_stream *st, uint16_t family, const struct mf_row *key)
{
    const struct mf_table *is = st->families[family].table;
    return &st->cache[(view_key_hash(is, key) * 31 + family) % CACHE_CHAINS];
}

static struct view_cached *cached(struct view_stream *st, uint16_t family, const struct mf_row *key)
{
    struct view_cached *c = *cached_at(st, family, key);
    while (c && (c->gone || c->family != family || !view_same_key(st->families[family].table, &c->key, key))) {
        c = c->next;
    }
    return c;
}

static void forget_all(struct view_stream *st)
{
    memset(st->cache, 0, CACHE_CHAINS * sizeof(struct view_cached *));
    mf_arena_reset(&st->cache_arena);
}

static void keep(struct view_stream *st, uint16_t family, const struct mf_row *key, const struct mf_row *row)
{
    for (int tries = 0; tries < 2; tries++) {
        struct view_cached *c = mf_alloc0(&st->cache_arena, sizeof *c);
        if (c && mf_row_copy(&st->cache_arena, &c->key, key) == 0 &&
            (row->n == 0 || mf_row_copy(&st->cache_arena, &c->row, row) == 0)) {
            struct view_cached **at = cached_at(st, family, key);
            c->family = family;
            c->next = *at;
            *at = c;
            return;
        }
        forget_all(st);
    }
}

void view_parents_changed(struct view_stream *st, const struct view_txn *t)
{
    for (uint16_t f = 0; f < st->nfamilies; f++) {
        if (t->all[f]) {
            forget_all(st);
        }
        for (const struct view_note *n = t->of[f]; n; n = n->next) {
            struct view_cached *c = cached(st, f, &n->key);
            if (c) {
                c->gone = true;
            }
        }
        for (struct view_txn *open = st->txns; open; open = open->next) {
            if (!open->looked) {
                continue;
            }
            open->any |= t->any;
            open->all[f] |= t->all[f];
            for (const struct view_note *n = t->of[f]; n && !open->all[f]; n = n->next) {
                note(st, open, f, &n->key);
            }
            open->of[f] = open->all[f] ? NULL : open->of[f];
        }
    }
}

int view_stream_reader(struct view_stream *st, struct mf_error *err)
{
    const struct view_db *v = view_of(st->base.db);
    return st->look.reader ? 0 : view_own(v)->reader_open(v->own, NULL, &st->look.reader, err);
}

/* A table that was changed since the stream was opened: opened again, the stream knows it as it is, or says what does not fit. */
int view_look_failed(const struct view_stream *st, struct mf_error *err)
{
    if (mf_streq(err->code, "MFSHAPE") && st->looked) {
        err->cls = MF_RETRY;
    }
    return -1;
}

static int completed(struct mf_arena *arena, const struct mf_change *c, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, c->new_row.n + 1u, sizeof *v);
    if (!v) {
        return view_no_memory(err, "a row is too large");
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED && c->has_old ? c->old_row.values[i] : c->new_row.values[i];
    }
    *ret = (struct mf_row){.n = c->new_row.n, .values = v};
    return 0;
}

/* From what is known; *ret_all false: not all of them are. */
static int from_cache(struct view_stream *st, const struct mf_made *made, uint16_t first, const struct mf_row *base,
                      struct mf_row *keys, struct mf_row *ret, bool *ret_all, struct mf_error *err)
{
    *ret_all = true;
    for (uint16_t p = 0; p < made->nparents; p++) {
        bool any = false;
        if (view_parent_key(&st->item, made, p, base, &keys[p], &any, err) < 0) {
            return -1;
        }
        keys[p].n = any ? keys[p].n : 0;
        const struct view_cached *c = any ? cached(st, (uint16_t)(first + p), &keys[p]) : NULL;
        ret[p] = (struct mf_row){0};
        *ret_all &= !any || c;
        if (c && c->row.n && mf_row_copy(&st->item, &ret[p], &c->row) < 0) {
            return view_no_memory(err, "a row is too large");
        }
    }
    return 0;
}

int view_stream_parents(struct view_stream *st, const struct view_relation *r, uint16_t k, const struct mf_item *own,
                        struct mf_row **ret, struct mf_error *err)
{
    const struct mf_made *made = r->shown[k].made;
    uint16_t first = st->first[r->entry[k]];
    struct mf_row base, *keys = mf_alloc_array(&st->item, made->nparents, sizeof *keys);
    struct mf_row *rows = mf_alloc_array(&st->item, made->nparents, sizeof *rows);
    bool all = false;
    if (!keys || !rows) {
        return view_no_memory(err, "a row is too large");
    }
    txn_of(st, own->txn)->looked = true;
    if (completed(&st->item, &own->change, &base, err) < 0 ||
        from_cache(st, made, first, &base, keys, rows, &all, err) < 0) {
        return -1;
    }
    if (!all) {
        if (view_stream_reader(st, err) < 0 ||
            view_parents_read(&st->look, &st->item, made, &base, 1, &rows, err) < 0) {
            return view_look_failed(st, err);
        }
        st->looked = true;
        for (uint16_t p = 0; p < made->nparents; p++) {
            if (keys[p].n && !cached(st, (uint16_t)(first + p), &keys[p])) {
                keep(st, (uint16_t)(first + p), &keys[p], &rows[p]);
            }
        }
    }
    *ret = rows;
    return 0;
}
