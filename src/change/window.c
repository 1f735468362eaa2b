/* The window's face: which table a change belongs to, whether the batch can take it, and the batch itself. */
#include "change/window_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct mf_window *mf_window_new(size_t max_bytes)
{
    struct mf_window *w = calloc(1, sizeof(*w));
    if (w) {
        w->max_bytes = max_bytes;
        mf_arena_init(&w->arena, SIZE_MAX / 2); /* a change alone always fits; the bound is kept in mf_window_add */
    }
    return w;
}

void mf_window_free(struct mf_window *w)
{
    if (!w) {
        return;
    }
    for (uint32_t i = 0; i < w->nblocks; i++) {
        free(w->blocks[i]);
    }
    free(w->blocks);
    free(w->slots);
    free(w->tables);
    free(w->table_map);
    free(w->scratch);
    mf_arena_free(&w->arena);
    free(w);
}

void mf_window_reset(struct mf_window *w, bool ordered, bool fuzzy)
{
    if (w->nentries) {
        mf_wforget_entries(w);
    }
    if (w->ntables) {
        memset(w->table_map, 0, w->ntable_map * sizeof(*w->table_map));
        w->ntables = 0;
    }
    mf_arena_reset(&w->arena);
    w->batch = (struct mf_batch){0};
    w->closed = w->deletes_only = false;
    w->ordered = ordered;
    w->fuzzy = fuzzy;
}

static bool is_empty(const struct mf_window *w)
{
    return w->nentries == 0 && !w->batch.truncate;
}

/* ---- tables ---- */

static uint32_t map_slot(const struct mf_window *w, uint32_t id)
{
    uint32_t at = (id * 2654435761u) & (w->ntable_map - 1);
    while (w->table_map[at] && w->tables[w->table_map[at] - 1].table->id != id) {
        at = (at + 1) & (w->ntable_map - 1);
    }
    return at;
}

static void add_table(struct mf_window *w, const struct mf_change *c)
{
    if ((w->ntables + 1) * 2 > w->ntable_map) {
        free(w->table_map);
        w->ntable_map = w->ntable_map ? w->ntable_map * 2 : 16;
        w->table_map = mf_xcalloc(w->ntable_map, sizeof(*w->table_map));
        for (uint32_t i = 0; i < w->ntables; i++) {
            w->table_map[map_slot(w, w->tables[i].table->id)] = i + 1;
        }
    }
    if (w->ntables == w->captables) {
        w->captables = w->captables ? w->captables * 2 : 8;
        w->tables = mf_xreallocarray(w->tables, w->captables, sizeof(*w->tables));
    }
    w->tables[w->ntables++] = (struct mf_wtable){
        .table = c->table,
        .alias = c->table,
        .rel = c->rel,
        .full = c->table->identity == MF_IDENTITY_FULL || c->table->nkey == 0,
    };
    w->table_map[map_slot(w, c->table->id)] = w->ntables;
}

/* Whether a change has the shape the batch's rows of its table have. */
static bool same_shape(struct mf_wtable *t, const struct mf_change *c)
{
    if (t->rel != c->rel) {
        return false;
    }
    if (t->table != c->table && t->alias != c->table) {
        if (t->table->ncolumns != c->table->ncolumns || mf_table_shape(t->table) != mf_table_shape(c->table)) {
            return false;
        }
        t->alias = c->table;
    }
    return true;
}

/* The index of the change's table; UINT32_MAX: its shape is another now, so the batch is over. */
static uint32_t find_table(struct mf_window *w, const struct mf_change *c)
{
    if (w->last_table < w->ntables && w->tables[w->last_table].table == c->table &&
        w->tables[w->last_table].rel == c->rel) {
        return w->last_table;
    }
    uint32_t i = w->ntables ? w->table_map[map_slot(w, c->table->id)] : 0;
    if (i == 0) {
        add_table(w, c);
        return w->last_table = w->ntables - 1;
    }
    if (!same_shape(&w->tables[i - 1], c)) {
        return UINT32_MAX;
    }
    return w->last_table = i - 1;
}

/* ---- adding ---- */

static size_t row_bytes(const struct mf_row *row)
{
    size_t n = row->n * sizeof(struct mf_value);
    for (uint16_t i = 0; i < row->n; i++) {
        n += row->values[i].len;
    }
    return n;
}

static int add_truncate(struct mf_window *w, const struct mf_change *c, struct mf_error *err)
{
    struct mf_change *copy = mf_alloc(&w->arena, sizeof(*copy));
    const struct mf_table **tables = mf_alloc_array(&w->arena, c->ntruncated, sizeof(*tables));
    uint32_t *rels = mf_alloc_array(&w->arena, c->ntruncated, sizeof(*rels));
    if (!copy || !tables || !rels) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a window of changes");
    }
    memcpy(tables, c->truncated, c->ntruncated * sizeof(*tables));
    if (c->truncated_rels) {
        memcpy(rels, c->truncated_rels, c->ntruncated * sizeof(*rels));
    }
    *copy = *c;
    copy->truncated = tables;
    copy->truncated_rels = rels;
    w->batch.truncate = copy;
    w->closed = true;
    return 0;
}

static int check_rows(const struct mf_change *c, struct mf_error *err)
{
    bool old = c->op == MF_DELETE || (c->op == MF_UPDATE && c->has_old);
    if (c->op < MF_INSERT || c->op > MF_DELETE || (c->op == MF_DELETE && !c->has_old) ||
        (old && c->old_row.n != c->table->ncolumns) || (c->op != MF_DELETE && c->new_row.n != c->table->ncolumns) ||
        c->table->ncolumns > MF_MAX_COLUMNS) {
        return mf_fail(err, MF_FATAL, "MFCHANGE", "a change of table %s.%s does not fit its shape", c->table->schema,
                       c->table->name);
    }
    return 0;
}

static bool same_value(const struct mf_table *t, const struct mf_change *c, const char *column)
{
    int at = mf_table_column(t, column);
    return at < 0 || c->new_row.values[at].kind == MF_UNCHANGED ||
           mf_value_equal(&c->old_row.values[at], &c->new_row.values[at]);
}

bool mf_change_cascades(const struct mf_change *c)
{
    const struct mf_table *t = c->table;
    bool any = false;
    for (uint16_t i = 0; c->cascades && c->op != MF_INSERT && c->has_old && i < t->ncascades && !any; i++) {
        const struct mf_cascade *k = &t->cascades[i];
        bool moved = false;
        for (uint16_t j = 0; c->op == MF_UPDATE && j < k->n; j++) {
            moved = moved || !same_value(t, c, k->from[j]);
        }
        any = c->op == MF_DELETE ? k->on_delete != MF_CASCADE_NONE : moved && k->on_update != MF_CASCADE_NONE;
    }
    return any;
}

/* Whether a change with, or beside, a cascade may go into this batch. */
static bool apart(const struct mf_window *w, const struct mf_change *c, bool cascades)
{
    bool same = w->deletes_only && c->op == MF_DELETE && w->tables[0].table->id == c->table->id;
    return !is_empty(w) && (cascades || w->deletes_only) && !(same && cascades);
}

static int add_row(struct mf_window *w, uint32_t table, const struct mf_change *c, bool cascades,
                   enum mf_window_added *ret, struct mf_error *err)
{
    int rc = mf_wcollapse(w, table, c, ret, err);
    if (rc == 0 && *ret == MF_WINDOW_ADDED && cascades) {
        w->batch.cascades = true;
        w->deletes_only = c->op == MF_DELETE;
        w->closed = w->closed || c->op != MF_DELETE;
    }
    return rc;
}

int mf_window_add(struct mf_window *w, const struct mf_change *c, enum mf_window_added *ret, struct mf_error *err)
{
    bool empty = is_empty(w), cascades = mf_change_cascades(c);
    w->stamp = c->stamp;
    if (w->closed || apart(w, c, cascades) || (!empty && (w->ordered || c->op == MF_TRUNCATE))) {
        *ret = MF_WINDOW_FULL;
        return 0;
    }
    if (c->op == MF_TRUNCATE) {
        *ret = MF_WINDOW_ADDED;
        return add_truncate(w, c, err);
    }
    if (check_rows(c, err) < 0) {
        return -1;
    }
    if (!empty) {
        size_t need = (c->op != MF_DELETE ? row_bytes(&c->new_row) : 0) + (c->has_old ? row_bytes(&c->old_row) : 0);
        if (mf_wused(w) + need > w->max_bytes) {
            *ret = MF_WINDOW_FULL;
            return 0;
        }
    }
    if (!w->scratch) {
        w->scratch = mf_xmalloc(MF_MAX_COLUMNS * sizeof(*w->scratch));
    }
    uint32_t table = find_table(w, c);
    if (table == UINT32_MAX) {
        *ret = MF_WINDOW_FULL;
        return 0;
    }
    return add_row(w, table, c, cascades, ret, err);
}

/* ---- the batch ---- */

/* What an entry has come to; false: nothing. */
static bool settle(struct mf_wentry *e, enum mf_rowop *ret)
{
    switch ((enum mf_keystate)e->state) {
    case MF_KEY_INSERT:
        *ret = MF_ROW_INSERT;
        return true;
    case MF_KEY_UPDATE:
        *ret = MF_ROW_UPDATE;
        return true;
    case MF_KEY_REPLACE:
        *ret = MF_ROW_REPLACE;
        return true;
    case MF_KEY_DELETE:
        *ret = MF_ROW_DELETE;
        return true;
    case MF_KEY_COUNTED:
        *ret = e->net < 0 ? MF_ROW_DELETE : MF_ROW_INSERT;
        e->rc.count = (uint32_t)(e->net < 0 ? -e->net : e->net);
        return e->net != 0;
    case MF_KEY_UNTOUCHED:
    case MF_KEY_NOTHING:
    case MF_KEY_REFUSED:
        break;
    }
    return false;
}

static size_t *counter(struct mf_wtable *t, enum mf_rowop op)
{
    return op == MF_ROW_DELETE ? &t->ndeletes : op == MF_ROW_INSERT ? &t->ninserts : &t->nupdates;
}

/* Settles all entries and counts them by table and kind. Returns how many there are. */
static size_t settle_all(struct mf_window *w)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < w->ntables; i++) {
        w->tables[i].ndeletes = w->tables[i].nupdates = w->tables[i].ninserts = 0;
    }
    for (uint32_t i = 0; i < w->nentries; i++) {
        struct mf_wentry *e = mf_wentry_at(w, i);
        enum mf_rowop op;
        e->rc.count = 0; /* counts as nothing in the second pass */
        if (e->state != MF_KEY_COUNTED) {
            e->rc.count = 1;
        }
        if (!settle(e, &op)) {
            e->rc.count = 0;
            continue;
        }
        e->rc.op = op;
        if (!e->rc.old_row.values) {
            e->rc.old_row = e->rc.new_row; /* the key is in it */
        }
        ++*counter(&w->tables[e->table], op);
        rows++;
    }
    return rows;
}

static bool room_for_table(struct mf_window *w, const struct mf_wtable *t, struct mf_batch_table *bt)
{
    bt->table = t->table;
    bt->rel = t->rel;
    bt->deletes = mf_alloc(&w->arena, t->ndeletes * sizeof(void *));
    bt->updates = mf_alloc(&w->arena, t->nupdates * sizeof(void *));
    bt->inserts = mf_alloc(&w->arena, t->ninserts * sizeof(void *));
    return bt->deletes && bt->updates && bt->inserts;
}

const struct mf_batch *mf_window_batch(struct mf_window *w)
{
    if (w->batch.truncate || w->nentries == 0) {
        return &w->batch;
    }
    w->batch = (struct mf_batch){.rows = settle_all(w), .cascades = w->batch.cascades};
    struct mf_batch_table *all = mf_alloc_array(&w->arena, w->ntables, sizeof(*all));
    uint32_t *at = mf_alloc_array(&w->arena, w->ntables, sizeof(*at)); /* batch table of each table */
    if (!all || !at) {
        return NULL;
    }
    w->batch.tables = all;
    for (uint32_t i = 0; i < w->ntables; i++) {
        const struct mf_wtable *t = &w->tables[i];
        if (t->ndeletes + t->nupdates + t->ninserts == 0) {
            continue;
        }
        at[i] = (uint32_t)w->batch.ntables;
        if (!room_for_table(w, t, &all[w->batch.ntables++])) {
            return NULL;
        }
    }
    for (uint32_t i = 0; i < w->nentries; i++) {
        struct mf_wentry *e = mf_wentry_at(w, i);
        if (e->rc.count == 0) {
            continue;
        }
        struct mf_batch_table *bt = &all[at[e->table]];
        switch (e->rc.op) {
        case MF_ROW_DELETE:
            bt->deletes[bt->ndeletes++] = &e->rc;
            break;
        case MF_ROW_INSERT:
            bt->inserts[bt->ninserts++] = &e->rc;
            break;
        case MF_ROW_UPDATE:
        case MF_ROW_REPLACE:
            bt->updates[bt->nupdates++] = &e->rc;
            break;
        }
    }
    return &w->batch;
}
