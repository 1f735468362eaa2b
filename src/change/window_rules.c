/* How changes of one row collapse, as a table: what the batch does to a key so far, and what comes next. REFUSED ends
 * the batch: either no history of one row can do that (then the target shall judge it, alone), or the three arrays
 * (deletes, then updates, then inserts) could not say it.
 *
 * A key move is a remove of the old key and a put of the new one. See docs/internals/windows.md for the argument that
 * the arrays give the source's end state in every order of these. */
#include "change/window_internal.h"

enum move { PUT, CHANGE, REMOVE };

/* clang-format off */
static const uint8_t strict_rules[][3] = {
    /*                    PUT              CHANGE           REMOVE */
    [MF_KEY_UNTOUCHED] = {MF_KEY_INSERT,  MF_KEY_UPDATE,  MF_KEY_DELETE},
    [MF_KEY_INSERT]    = {MF_KEY_REFUSED, MF_KEY_INSERT,  MF_KEY_NOTHING},
    [MF_KEY_UPDATE]    = {MF_KEY_REFUSED, MF_KEY_UPDATE,  MF_KEY_DELETE},
    [MF_KEY_REPLACE]   = {MF_KEY_REFUSED, MF_KEY_REPLACE, MF_KEY_DELETE},
    [MF_KEY_DELETE]    = {MF_KEY_REPLACE, MF_KEY_REFUSED, MF_KEY_REFUSED},
    [MF_KEY_NOTHING]   = {MF_KEY_INSERT,  MF_KEY_REFUSED, MF_KEY_REFUSED},
};
/* clang-format on */

static enum mf_keystate next_state(const struct mf_window *w, const struct mf_wentry *e, enum move m)
{
    enum mf_keystate s = e ? (enum mf_keystate)e->state : MF_KEY_UNTOUCHED;
    /* Fuzzy: the copy may have brought the row already, so it must be deleted though it was inserted here. */
    if (w->fuzzy && s == MF_KEY_INSERT && m == REMOVE) {
        return MF_KEY_DELETE;
    }
    return (enum mf_keystate)strict_rules[s][m];
}

static int broken(struct mf_error *err, const struct mf_wtable *t, const char *what)
{
    char label[256];
    return mf_fail(err, MF_FATAL, "MFCHANGE", "a change of table %s %s", mf_table_label(t->table, label, sizeof(label)),
                   what);
}

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a window of changes");
}

static bool key_known(const struct mf_wtable *t, const struct mf_row *row)
{
    for (uint16_t i = 0; i < t->table->nkey; i++) {
        if (row->values[t->table->key[i]].kind == MF_UNCHANGED) {
            return false;
        }
    }
    return true;
}

static bool same_key(const struct mf_wtable *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < t->table->nkey; i++) {
        uint16_t k = t->table->key[i];
        if (!mf_value_equal(&a->values[k], &b->values[k])) {
            return false;
        }
    }
    return true;
}

/* Fills what is UNCHANGED in row from another version of the same row, into the scratch row. Returns the row to use. */
static const struct mf_row *completed(struct mf_window *w, const struct mf_row *row, const struct mf_row *from,
                                      struct mf_row *room)
{
    if (mf_row_whole(row)) {
        return row;
    }
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        w->scratch[i] = v->kind == MF_UNCHANGED ? from->values[i] : *v;
    }
    *room = (struct mf_row){.n = row->n, .values = w->scratch};
    return room;
}

/* ---- identity KEY ---- */

/* Brings an entry to its next state with a new row (PUT: whole; CHANGE: perhaps partial). */
static int write_entry(struct mf_window *w, uint32_t table, struct mf_wentry *e, uint32_t hash,
                       const struct mf_row *row, enum mf_keystate next, enum move m)
{
    const struct mf_wtable *t = &w->tables[table];
    bool fresh = !e;
    if (!e) {
        struct mf_row copy;
        if (mf_wcopy_row(w, t, row, m == REMOVE, &copy) < 0 || !(e = mf_wadd_entry(w, table, hash))) {
            return -1;
        }
        e->rc.new_row = copy;
    } else if (m != REMOVE && mf_wmerge_row(w, &e->rc.new_row, row) < 0) {
        return -1;
    }
    e->state = (uint8_t)next;
    e->rc.stamp = w->stamp;
    e->rc.plain = fresh && m == PUT;
    return 0;
}

static int one_key(struct mf_window *w, uint32_t table, const struct mf_row *row, enum move m,
                   enum mf_window_added *ret, struct mf_error *err)
{
    const struct mf_wtable *t = &w->tables[table];
    uint32_t hash = mf_wkey_hash(t, table, row);
    struct mf_wentry *e = mf_wfind(w, table, hash, row);
    enum mf_keystate next = next_state(w, e, m);
    if (next == MF_KEY_REFUSED) {
        *ret = MF_WINDOW_FULL;
        return 0;
    }
    if (write_entry(w, table, e, hash, row, next, m) < 0) {
        return no_memory(err);
    }
    *ret = MF_WINDOW_ADDED;
    return 0;
}

/* A key move said as one: an update whose new key differs. It must be alone in its batch. */
static int lone_move(struct mf_window *w, uint32_t table, const struct mf_row *old, const struct mf_row *row,
                     enum mf_window_added *ret, struct mf_error *err)
{
    if (w->nentries > 0) {
        *ret = MF_WINDOW_FULL;
        return 0;
    }
    const struct mf_wtable *t = &w->tables[table];
    struct mf_row new_row, old_row;
    struct mf_wentry *e;
    if (mf_wcopy_row(w, t, row, false, &new_row) < 0 || mf_wcopy_row(w, t, old, true, &old_row) < 0 ||
        !(e = mf_wadd_entry(w, table, mf_wkey_hash(t, table, row)))) {
        return no_memory(err);
    }
    e->rc.new_row = new_row;
    e->rc.old_row = old_row;
    e->state = MF_KEY_UPDATE;
    e->rc.stamp = w->stamp;
    w->closed = true;
    *ret = MF_WINDOW_ADDED;
    return 0;
}

static int key_move(struct mf_window *w, uint32_t table, const struct mf_row *old, const struct mf_row *row,
                    bool cascades, enum mf_window_added *ret, struct mf_error *err)
{
    const struct mf_wtable *t = &w->tables[table];
    uint32_t old_hash = mf_wkey_hash(t, table, old), hash = mf_wkey_hash(t, table, row);
    struct mf_wentry *from = mf_wfind(w, table, old_hash, old), *to = mf_wfind(w, table, hash, row);
    struct mf_row room;
    if (from) {
        row = completed(w, row, &from->rc.new_row, &room);
    }
    /* In source order a move is best said as one; fuzzily it cannot be: both keys may be there already. */
    if (!mf_row_whole(row) || (w->ordered && !w->fuzzy) || cascades) {
        return lone_move(w, table, old, row, ret, err);
    }
    enum mf_keystate next_from = next_state(w, from, REMOVE), next_to = next_state(w, to, PUT);
    if (next_from == MF_KEY_REFUSED || next_to == MF_KEY_REFUSED) {
        *ret = MF_WINDOW_FULL;
        return 0;
    }
    /* The new row first: its completed values may point into the old key's entry. */
    if (write_entry(w, table, to, hash, row, next_to, PUT) < 0 ||
        write_entry(w, table, from, old_hash, old, next_from, REMOVE) < 0) {
        return no_memory(err);
    }
    *ret = MF_WINDOW_ADDED;
    return 0;
}

static int keyed(struct mf_window *w, uint32_t table, const struct mf_change *c, enum mf_window_added *ret,
                 struct mf_error *err)
{
    const struct mf_wtable *t = &w->tables[table];
    struct mf_row room;
    const struct mf_row *row = &c->new_row;
    if (c->has_old && !key_known(t, &c->old_row)) {
        return broken(err, t, "came without the old key");
    }
    switch (c->op) {
    case MF_INSERT:
        if (!mf_row_whole(row)) {
            return broken(err, t, "is an insert without all columns");
        }
        return one_key(w, table, row, PUT, ret, err);
    case MF_DELETE:
        return one_key(w, table, &c->old_row, REMOVE, ret, err);
    case MF_UPDATE:
    default:
        if (c->has_old) {
            row = completed(w, row, &c->old_row, &room);
        }
        if (!key_known(t, row)) {
            return broken(err, t, "came without its key");
        }
        if (c->has_old && !same_key(t, &c->old_row, row)) {
            return key_move(w, table, &c->old_row, row, mf_change_cascades(c), ret, err);
        }
        return one_key(w, table, row, CHANGE, ret, err);
    }
}

/* ---- identity FULL: how many copies of a row go and come ---- */

static int count_row(struct mf_window *w, uint32_t table, const struct mf_row *row, int by, struct mf_error *err)
{
    uint32_t hash = mf_wkey_hash(&w->tables[table], table, row);
    struct mf_wentry *e = mf_wfind(w, table, hash, row);
    if (!e) {
        struct mf_row copy;
        if (mf_wcopy_row(w, &w->tables[table], row, false, &copy) < 0 || !(e = mf_wadd_entry(w, table, hash))) {
            return no_memory(err);
        }
        e->rc.new_row = copy;
        e->state = MF_KEY_COUNTED;
    }
    e->net += by;
    e->rc.stamp = w->stamp;
    return 0;
}

static int counted(struct mf_window *w, uint32_t table, const struct mf_change *c, enum mf_window_added *ret,
                   struct mf_error *err)
{
    const struct mf_wtable *t = &w->tables[table];
    struct mf_row room;
    const struct mf_row *row = &c->new_row;
    bool old = c->op != MF_INSERT;
    if (old && (!c->has_old || !mf_row_whole(&c->old_row))) {
        return broken(err, t,
                      "came without the whole old row, which a table without a key needs (REPLICA IDENTITY FULL)");
    }
    if (c->op == MF_UPDATE) {
        row = completed(w, row, &c->old_row, &room);
    }
    if (c->op != MF_DELETE && !mf_row_whole(row)) {
        return broken(err, t, "came without all columns");
    }
    if ((old && count_row(w, table, &c->old_row, -1, err) < 0) ||
        (c->op != MF_DELETE && count_row(w, table, row, +1, err) < 0)) {
        return -1;
    }
    *ret = MF_WINDOW_ADDED;
    return 0;
}

int mf_wcollapse(struct mf_window *w, uint32_t table, const struct mf_change *c, enum mf_window_added *ret,
                 struct mf_error *err)
{
    return w->tables[table].full ? counted(w, table, c, ret, err) : keyed(w, table, c, ret, err);
}
