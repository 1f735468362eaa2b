/* A transaction that changed parents: at its end, the columns of its parents' children are told anew.
 *
 * Its COMMIT is held back until readers see it and all that the stream has told before, so that the children are read as they are then or later. For each
 * child an update of the parents' columns alone is added to the transaction; whatever else is newer in what was read is left to its own change, which
 * is still to come, with a later stamp. A child that went since is not found, and its deletion is later too (docs/internals/query-tables.md).
 *
 * A COMMIT that was handed on is therefore one that readers see, where it changed parents; look-ups need not wait.
 *
 * Memory: children of some parents at a time; where those of one are too many to be listed, and where there are more parents than are remembered, the whole
 * table is read in chunks. */
#include "connector/view/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define UNSEEN_MOST  1024
#define AWAIT_US     (60 * MF_US_PER_SEC)
#define KEYS_AT_ONCE 200
#define CHILD_BYTES  ((size_t)256 << 20) /* of the children that are listed */
#define PLAN_BYTES   ((size_t)256 << 20)
#define PAGE         300 /* children told together */
#define CHUNK_ROWS   20000
#define CHUNK_BYTES  ((int64_t)16 << 20)

struct piece {
    uint32_t ordinal;
    bool by_heap;
    const char *lower, *upper; /* NULL: none */
};

struct view_remake {
    struct mf_item commit;
    struct view_txn *txn; /* NULL: only waiting */
    int64_t since_us;
    bool seen;
    uint16_t family; /* at hand */
    size_t most;     /* keys at once */
    /* The family's: how its children are told. */
    struct mf_arena plan;
    const struct view_rows *shown;
    uint16_t *to; /* column i of what is read is to[i] of the stream's version */
    struct mf_table *scans;
    struct piece *pieces;
    size_t npieces, pieces_cap, piece;
    /* Children that were read. */
    struct mf_arena arena;
    struct mf_row *rows;
    size_t n, cap, next;
};

static int too_many(struct mf_error *err)
{
    return view_no_memory(err, "rows that refer to a changed row are larger than the memory for them");
}

void view_remake_free(struct view_remake *m)
{
    if (m) {
        view_txn_free(m->txn);
        mf_arena_free(&m->plan);
        mf_arena_free(&m->arena);
        free(m->pieces);
        free(m->rows);
        free(m);
    }
}

static void unseen_add(struct view_unseen *u, uint64_t id)
{
    if (u->n == u->cap) {
        u->cap = u->cap ? u->cap * 2 : 64;
        u->ids = mf_xreallocarray(u->ids, u->cap, sizeof *u->ids);
    }
    u->ids[u->n++] = id;
}

void view_commit(struct view_stream *st, const struct mf_item *own)
{
    struct view_unseen *unseen = &view_of(st->base.db)->unseen;
    struct view_txn *t = view_txn_take(st, own->txn);
    if (t && (t->children || t->any)) {
        unseen_add(unseen, own->shown ? own->shown : own->txn);
    }
    if (!t || (!t->any && unseen->n < UNSEEN_MOST)) {
        view_txn_free(t);
        view_add_item(st, own);
        return;
    }
    view_parents_changed(st, t);
    struct view_remake *m = mf_xcalloc(1, sizeof *m);
    m->commit = *own;
    m->txn = t;
    m->since_us = mf_now_us();
    m->most = KEYS_AT_ONCE;
    mf_arena_init(&m->plan, PLAN_BYTES);
    mf_arena_init(&m->arena, CHILD_BYTES);
    st->remake = m;
}

static int await(struct view_stream *st, struct view_remake *m, bool *ret_wait, struct mf_error *err)
{
    struct view_db *v = view_of(st->base.db);
    if (view_own(v)->visible(v->own, v->unseen.ids, v->unseen.n, &m->seen, err) < 0) {
        return -1;
    }
    if (m->seen) {
        v->unseen.n = 0;
        return 0;
    }
    *ret_wait = true;
    if (mf_now_us() - m->since_us > AWAIT_US) {
        mf_fail(err, MF_RETRY, "MFUNSEEN",
                "the source has committed a transaction and does not show it yet; rows that refer to rows it changed "
                "have to be read there");
        mf_hint(err, "Its COMMIT waits inside the server, for a synchronous standby as a rule: look at "
                     "synchronous_standby_names and at the standbys.");
        return -1;
    }
    return 0;
}

/* ---- reading children ---- */

static int take_child(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct view_remake *m = ctx;
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 256;
        m->rows = mf_xreallocarray(m->rows, m->cap, sizeof *m->rows);
    }
    if (mf_row_copy(&m->arena, &m->rows[m->n], row) < 0) {
        return mf_fail(err, MF_ABANDONED, "MFMANY", "there are too many rows to be listed");
    }
    m->n++;
    return 0;
}

static void forget_children(struct view_remake *m)
{
    m->n = m->next = 0;
    mf_arena_reset(&m->arena);
}

/* The keys of some notes as those of children. */
static size_t keys_of(struct view_remake *m, const struct view_family *f, struct mf_row *keys,
                      struct view_note **ret_rest)
{
    struct view_note *note = m->txn->of[m->family];
    size_t n = 0;
    for (; note && n < m->most; note = note->next, n++) {
        struct mf_value *v = mf_alloc_array(&m->arena, f->reads->ncolumns + 1u, sizeof *v);
        if (!v) {
            break;
        }
        for (uint16_t i = 0; i < f->reads->ncolumns; i++) {
            v[i].kind = MF_UNCHANGED;
        }
        for (uint16_t k = 0; k < f->reads->nkey; k++) {
            v[f->reads->key[k]] = note->key.values[f->table->key[k]];
        }
        keys[n] = (struct mf_row){.n = f->reads->ncolumns, .values = v};
    }
    *ret_rest = note;
    return n;
}

static int read_some(struct view_stream *st, struct view_remake *m, const struct view_family *f, struct mf_error *err)
{
    struct mf_row keys[KEYS_AT_ONCE];
    struct mf_position ignored;
    struct view_note *rest = NULL;
    forget_children(m);
    size_t n = keys_of(m, f, keys, &rest);
    if (st->look.reader->db->connector->source->read_rows(st->look.reader, f->reads, keys, n, take_child, m, &ignored,
                                                          err) == 0) {
        m->txn->of[m->family] = rest;
        return 0;
    }
    if (!mf_streq(err->code, "MFMANY")) {
        return view_look_failed(st, err);
    }
    mf_error_clear(err);
    forget_children(m);
    m->most = n / 2;
    if (n <= 1) {
        m->txn->of[m->family] = NULL;
        m->txn->all[m->family] = true;
        m->most = KEYS_AT_ONCE;
    }
    return 0;
}

/* ---- all children: the table's chunks ---- */

static int take_piece(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    struct view_remake *m = ctx;
    if (m->npieces == m->pieces_cap) {
        m->pieces_cap = m->pieces_cap ? m->pieces_cap * 2 : 64;
        m->pieces = mf_xreallocarray(m->pieces, m->pieces_cap, sizeof *m->pieces);
    }
    struct piece *p = &m->pieces[m->npieces++];
    *p = (struct piece){.ordinal = c->ordinal,
                        .by_heap = c->by_heap,
                        .lower = c->has_lower ? mf_strdup_a(&m->plan, c->lower) : NULL,
                        .upper = c->has_upper ? mf_strdup_a(&m->plan, c->upper) : NULL};
    return (c->has_lower && !p->lower) || (c->has_upper && !p->upper) ? too_many(err) : 0;
}

static int plan(struct view_stream *st, struct view_remake *m, const struct view_family *f, struct mf_error *err)
{
    const struct mf_table *base = f->made->base;
    struct mf_table *t = mf_table_copy(&m->plan, f->reads);
    uint16_t *key = mf_alloc_array(&m->plan, base->nkey + 1u, sizeof *key);
    if (!t || !key) {
        return too_many(err);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        t->columns[i].in_key = false;
    }
    for (uint16_t k = 0; k < base->nkey; k++) {
        key[k] = (uint16_t)mf_table_column(t, base->columns[base->key[k]].name);
        t->columns[key[k]].in_key = true;
    }
    t->key = key;
    t->nkey = base->nkey;
    m->scans = t;
    return st->look.reader->db->connector->source->chunk_plan(st->look.reader, t, CHUNK_ROWS, CHUNK_BYTES, take_piece,
                                                              m, err) < 0
               ? view_look_failed(st, err)
               : 0;
}

static int read_piece(struct view_stream *st, struct view_remake *m, const struct view_family *f, struct mf_error *err)
{
    struct mf_position ignored;
    if (!m->scans && plan(st, m, f, err) < 0) {
        return -1;
    }
    forget_children(m);
    if (m->piece == m->npieces) {
        m->txn->all[m->family] = false;
        return 0;
    }
    const struct piece *p = &m->pieces[m->piece++];
    MF_CLEANUP_FREE struct mf_chunk *c = mf_xcalloc(1, sizeof *c);
    *c = (struct mf_chunk){.table_id = m->scans->id,
                           .ordinal = p->ordinal,
                           .by_heap = p->by_heap,
                           .has_lower = p->lower != NULL,
                           .has_upper = p->upper != NULL};
    mf_strlcpy(c->lower, p->lower ? p->lower : "", sizeof c->lower);
    mf_strlcpy(c->upper, p->upper ? p->upper : "", sizeof c->upper);
    return st->look.reader->db->connector->source->chunk_rows(st->look.reader, m->scans, c, take_child, m, &ignored,
                                                              err) < 0
               ? view_look_failed(st, err)
               : 0;
}

/* ---- telling of them ---- */

static int begin_family(struct view_stream *st, struct view_remake *m, const struct view_family *f,
                        struct mf_error *err)
{
    struct view_relation *r = NULL;
    mf_arena_reset(&m->plan);
    m->scans = NULL;
    m->npieces = m->piece = 0;
    m->most = KEYS_AT_ONCE;
    m->to = mf_alloc_array(&m->plan, f->reads->ncolumns + 1u, sizeof *m->to);
    if (!m->to) {
        return too_many(err);
    }
    if (view_base_relation(st, f->made->base, &r, err) < 0) {
        return -1;
    }
    m->shown = NULL;
    for (uint16_t k = 0; k < r->n; k++) {
        m->shown = r->entry[k] == f->entry ? &r->shown[k] : m->shown;
    }
    for (uint16_t i = 0; m->shown && i < f->reads->ncolumns; i++) {
        int at = mf_table_column(m->shown->made->base, f->reads->columns[i].name);
        if (at < 0) {
            return mf_fail(err, MF_RETRY, "MFSHAPE", "table %s.%s was changed", f->reads->schema, f->reads->name);
        }
        m->to[i] = (uint16_t)at;
    }
    return m->shown ? 0 : mf_fail(err, MF_FATAL, "MFBUG", "a query table of %s is not known", f->reads->name);
}

/* Only the key and what is of parents. False: the row has no place there. */
static bool parents_alone(const struct view_rows *r, struct mf_row *row)
{
    for (uint16_t i = 0; i < row->n; i++) {
        if (r->made->columns[r->at[i]].kind != MF_MADE_PARENT && !r->t->columns[i].in_key) {
            row->values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        }
    }
    for (uint16_t k = 0; k < r->t->nkey; k++) {
        if (row->values[r->t->key[k]].kind == MF_REFUSED) {
            return false;
        }
    }
    return true;
}

static int widen(struct view_stream *st, const struct view_remake *m, const struct mf_row *row, struct mf_row *ret,
                 struct mf_error *err)
{
    const struct mf_table *base = m->shown->made->base;
    struct mf_value *v = mf_alloc_array(&st->item, base->ncolumns + 1u, sizeof *v);
    if (!v) {
        return too_many(err);
    }
    for (uint16_t i = 0; i < base->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        v[m->to[i]] = row->values[i];
    }
    *ret = (struct mf_row){.n = base->ncolumns, .values = v};
    return 0;
}

static int give_page(struct view_stream *st, struct view_remake *m, struct mf_error *err)
{
    const struct mf_made *made = m->shown->made;
    struct mf_row wide[PAGE], *parents = NULL;
    size_t n = 0;
    for (; n < PAGE && m->next < m->n; n++) {
        if (widen(st, m, &m->rows[m->next++], &wide[n], err) < 0) {
            return -1;
        }
    }
    if (view_parents_read(&st->look, &st->item, made, wide, n, &parents, err) < 0) {
        return view_look_failed(st, err);
    }
    st->looked = true;
    for (size_t i = 0; i < n; i++) {
        struct mf_row row;
        if (view_row(m->shown, &st->item, &wide[i], parents + i * made->nparents, &row, err) < 0) {
            return -1;
        }
        if (parents_alone(m->shown, &row)) {
            struct mf_item *item = view_add_item(st, &m->commit);
            item->kind = MF_ITEM_CHANGE;
            item->subtxn = item->txn;
            item->change = (struct mf_change){.op = MF_UPDATE, .table = m->shown->t, .new_row = row};
        }
    }
    return 0;
}

/* ---- a step ---- */

static int step_family(struct view_stream *st, struct view_remake *m, struct mf_error *err)
{
    const struct view_family *f = &st->families[m->family];
    if (view_stream_reader(st, err) < 0) {
        return -1;
    }
    if (!m->shown) {
        return begin_family(st, m, f, err);
    }
    if (m->next < m->n) {
        return give_page(st, m, err);
    }
    if (m->txn->of[m->family]) {
        return read_some(st, m, f, err);
    }
    if (m->txn->all[m->family]) {
        return read_piece(st, m, f, err);
    }
    m->shown = NULL;
    m->family++;
    return 0;
}

int view_remake_step(struct view_stream *st, bool *ret_wait, struct mf_error *err)
{
    struct view_remake *m = st->remake;
    *ret_wait = false;
    if (!m->seen) {
        return await(st, m, ret_wait, err);
    }
    while (m->txn && m->family < st->nfamilies && !m->shown && !m->txn->of[m->family] && !m->txn->all[m->family]) {
        m->family++;
    }
    if (m->txn && m->family < st->nfamilies) {
        return MF_FAULT(err, "view.remake")
        ? -1 : step_family(st, m, err);
    }
    view_add_item(st, &m->commit);
    view_remake_free(m);
    st->remake = NULL;
    return 0;
}
