/* Random histories through windows onto a simple target, strictly and fuzzily, against the source's own end state.
 *
 * The source is a table with a key, a unique column, one whose value is left out of an update when it did not change
 * (as unchanged TOAST is), and a plain one; beside it a table without a key, which is a bag of rows. The strict target
 * refuses a delete or update that finds nothing, an insert that finds something, and a unique value twice; a refusal
 * of a unique value is a conflict, answered by the same window again in source order, where none may happen. */
#include "mf_test.h"

#include "base/arena.h"
#include "base/mem.h"
#include "change/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS    8
#define BAG     6
#define CHANGES 60

struct row {
    bool there;
    int u, toast, w; /* u 0: NULL */
};

struct db {
    struct row rows[KEYS];
    int bag[BAG]; /* copies of row i */
    bool reread[KEYS];
};

static struct mf_column key_columns[4] = {
    {.name = "id", .in_key = true}, {.name = "u"}, {.name = "toast"}, {.name = "w"}};
static uint16_t key_ordinals[1] = {0};
static struct mf_table keyed = {
    .id = 1, .schema = "s", .name = "keyed", .ncolumns = 4, .nkey = 1, .columns = key_columns, .key = key_ordinals};
static struct mf_table bag = {
    .id = 2, .schema = "s", .name = "bag", .identity = MF_IDENTITY_FULL, .ncolumns = 1, .columns = key_columns + 3};

static uint64_t rnd;

static uint64_t below(uint64_t n)
{
    rnd ^= rnd << 13;
    rnd ^= rnd >> 7;
    rnd ^= rnd << 17;
    return (rnd >> 11) % n;
}

/* ---- the source's changes ---- */

static struct mf_value number(struct mf_arena *a, int v)
{
    char *s = mf_printf_a(a, "%d", v);
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s};
}

static struct mf_row row_of(struct mf_arena *a, int key, const struct row *r)
{
    struct mf_value *v = mf_alloc_array(a, 4, sizeof(*v));
    v[0] = number(a, key);
    v[1] = r->u ? number(a, r->u) : (struct mf_value){.kind = MF_NULL};
    v[2] = number(a, r->toast);
    v[3] = number(a, r->w);
    return (struct mf_row){.n = 4, .values = v};
}

static struct mf_row key_row(struct mf_arena *a, int key)
{
    struct mf_value *v = mf_alloc_array(a, 4, sizeof(*v));
    v[0] = number(a, key);
    v[1] = v[2] = v[3] = (struct mf_value){.kind = MF_UNCHANGED};
    return (struct mf_row){.n = 4, .values = v};
}

static struct mf_row bag_row(struct mf_arena *a, int i)
{
    struct mf_value *v = mf_alloc_array(a, 1, sizeof(*v));
    v[0] = number(a, i);
    return (struct mf_row){.n = 1, .values = v};
}

static int free_unique(const struct db *d, int except)
{
    int u = (int)below(6);
    for (int k = 0; k < KEYS; k++) {
        if (k != except && d->rows[k].there && d->rows[k].u == u) {
            return 0;
        }
    }
    return u;
}

static struct mf_change update_row(struct mf_arena *a, struct db *d, int k)
{
    struct row *r = &d->rows[k];
    int to = below(4) == 0 ? (int)below(KEYS) : k;
    if (d->rows[to].there) {
        to = k;
    }
    bool new_toast = below(3) == 0;
    struct mf_change c = {.op = MF_UPDATE, .table = &keyed, .rel = 1, .has_old = to != k || below(5) == 0};
    c.old_row = key_row(a, k);
    struct row next = {true, below(2) ? r->u : free_unique(d, k), new_toast ? (int)below(1000) : r->toast,
                       (int)below(1000)};
    r->there = false;
    d->rows[to] = next;
    c.new_row = row_of(a, to, &next);
    if (!new_toast) {
        c.new_row.values[2].kind = MF_UNCHANGED;
        if (c.has_old && below(4) == 0) {
            c.old_row.values[2] = number(a, next.toast); /* the source sent the whole old row */
        }
    }
    return c;
}

static struct mf_change change_bag(struct mf_arena *a, struct db *d)
{
    struct mf_change c = {.op = MF_INSERT, .table = &bag, .rel = 2};
    int from = (int)below(BAG), to = (int)below(BAG);
    if (d->bag[from] > 0) {
        c.op = below(2) ? MF_UPDATE : MF_DELETE;
        c.has_old = true;
        c.old_row = bag_row(a, from);
        d->bag[from]--;
    }
    if (c.op != MF_DELETE) {
        c.new_row = bag_row(a, to);
        d->bag[to]++;
    }
    return c;
}

static struct mf_change truncate_both(struct mf_arena *a, struct db *d)
{
    struct mf_change c = {.op = MF_TRUNCATE, .table = &keyed, .rel = 1, .ntruncated = 2};
    c.truncated = mf_alloc_array(a, 2, sizeof(*c.truncated));
    c.truncated_rels = mf_alloc_array(a, 2, sizeof(uint32_t));
    c.truncated[0] = &keyed;
    c.truncated[1] = &bag;
    memset(d, 0, sizeof(*d));
    return c;
}

static struct mf_change random_change(struct mf_arena *a, struct db *d, bool truncates)
{
    if (truncates && below(60) == 0) {
        return truncate_both(a, d);
    }
    if (below(4) == 0) {
        return change_bag(a, d);
    }
    int k = (int)below(KEYS);
    struct row *r = &d->rows[k];
    if (!r->there) {
        *r = (struct row){true, free_unique(d, -1), (int)below(1000), (int)below(1000)};
        return (struct mf_change){.op = MF_INSERT, .table = &keyed, .rel = 1, .new_row = row_of(a, k, r)};
    }
    if (below(3) == 0) {
        r->there = false;
        return (struct mf_change){
            .op = MF_DELETE, .table = &keyed, .rel = 1, .has_old = true, .old_row = key_row(a, k)};
    }
    return update_row(a, d, k);
}

/* ---- the target ---- */

enum applied { APPLIED, CONFLICT, WRONG };

static int value_of(const struct mf_value *v)
{
    char text[16] = {0};
    if (v->kind != MF_TEXT) {
        return 0;
    }
    memcpy(text, v->data, v->len < 15 ? v->len : 15);
    return atoi(text);
}

static struct row read_row(const struct mf_row *m, const struct row *before)
{
    struct row r = {.there = true};
    r.u = m->values[1].kind == MF_UNCHANGED ? before->u : value_of(&m->values[1]);
    r.toast = m->values[2].kind == MF_UNCHANGED ? before->toast : value_of(&m->values[2]);
    r.w = m->values[3].kind == MF_UNCHANGED ? before->w : value_of(&m->values[3]);
    return r;
}

static bool unique_taken(const struct db *t, int k, int u)
{
    for (int i = 0; i < KEYS && u; i++) {
        if (i != k && t->rows[i].there && t->rows[i].u == u) {
            return true;
        }
    }
    return false;
}

static enum applied put(struct db *t, int k, struct row r, bool fuzzy)
{
    if (!fuzzy && unique_taken(t, k, r.u)) {
        return CONFLICT;
    }
    t->rows[k] = r;
    return APPLIED;
}

static enum applied apply_update(struct db *t, const struct mf_rowchange *c, bool fuzzy)
{
    int from = value_of(&c->old_row.values[0]), to = value_of(&c->new_row.values[0]);
    bool found = t->rows[from].there, whole = mf_row_whole(&c->new_row);
    if (c->op == MF_ROW_REPLACE && (!whole || from != to)) {
        return WRONG;
    }
    if (fuzzy && from != to) {
        t->rows[from].there = false;
        t->reread[to] = true;
        return whole ? WRONG : APPLIED;
    }
    if (fuzzy && !found && !whole) {
        t->reread[to] = true;
        return APPLIED;
    }
    if (!fuzzy && (!found || (from != to && t->rows[to].there))) {
        return WRONG;
    }
    struct row r = read_row(&c->new_row, &t->rows[from]);
    t->rows[from].there = from == to && found;
    return put(t, to, r, fuzzy);
}

/* Arrays have no order: no key may be named twice in a batch. */
static bool named_once(const struct mf_batch_table *b)
{
    int named[KEYS] = {0}, most = 0;
    for (size_t i = 0; i < b->ndeletes; i++) {
        named[value_of(&b->deletes[i]->old_row.values[0])]++;
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        int from = value_of(&b->updates[i]->old_row.values[0]), to = value_of(&b->updates[i]->new_row.values[0]);
        named[from]++;
        named[to] += from != to;
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        named[value_of(&b->inserts[i]->new_row.values[0])]++;
    }
    for (int k = 0; k < KEYS; k++) {
        most = named[k] > most ? named[k] : most;
    }
    return most <= 1;
}

static enum applied apply_keyed(struct db *t, const struct mf_batch_table *b, bool fuzzy)
{
    enum applied done;
    if (!named_once(b)) {
        return WRONG;
    }
    for (size_t i = 0; i < b->ndeletes; i++) {
        int k = value_of(&b->deletes[i]->old_row.values[0]);
        if (b->deletes[i]->op != MF_ROW_DELETE || b->deletes[i]->count != 1 || (!t->rows[k].there && !fuzzy)) {
            return WRONG;
        }
        t->rows[k].there = false;
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        if ((done = apply_update(t, b->updates[i], fuzzy)) != APPLIED) {
            return done;
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        const struct mf_rowchange *c = b->inserts[i];
        int k = value_of(&c->new_row.values[0]);
        if (c->op != MF_ROW_INSERT || !mf_row_whole(&c->new_row) || (t->rows[k].there && !fuzzy)) {
            return WRONG;
        }
        if ((done = put(t, k, read_row(&c->new_row, NULL), fuzzy)) != APPLIED) {
            return done;
        }
    }
    return APPLIED;
}

static enum applied apply_bag(struct db *t, const struct mf_batch_table *b)
{
    for (size_t i = 0; i < b->ndeletes; i++) {
        int *copies = &t->bag[value_of(&b->deletes[i]->old_row.values[0])];
        if (*copies < (int)b->deletes[i]->count) {
            return WRONG;
        }
        *copies -= (int)b->deletes[i]->count;
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        t->bag[value_of(&b->inserts[i]->new_row.values[0])] += (int)b->inserts[i]->count;
    }
    return b->nupdates ? WRONG : APPLIED;
}

static enum applied apply_batch(struct db *t, const struct mf_batch *b, bool fuzzy)
{
    if (b->truncate) {
        bool whole = b->ntables == 0 && b->truncate->ntruncated == 2 && b->truncate->truncated[1] == &bag;
        memset(t->rows, 0, sizeof(t->rows));
        memset(t->bag, 0, sizeof(t->bag));
        return whole ? APPLIED : WRONG;
    }
    size_t rows = 0;
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *bt = &b->tables[i];
        enum applied done = bt->table == &keyed ? apply_keyed(t, bt, fuzzy) : apply_bag(t, bt);
        if (done != APPLIED) {
            return done;
        }
        rows += bt->ndeletes + bt->nupdates + bt->ninserts;
    }
    return rows == b->rows ? APPLIED : WRONG;
}

struct tally {
    uint64_t batches, changes, conflicts, rereads;
};

/* All changes as one window: batches until none is left. */
static enum applied apply_window(struct mf_window *w, struct db *t, const struct mf_change *c, size_t n, bool ordered,
                                 bool fuzzy, struct tally *tally)
{
    struct mf_error err = {0};
    size_t held = 0;
    mf_window_reset(w, ordered, fuzzy);
    for (size_t i = 0; i <= n;) {
        enum mf_window_added added = MF_WINDOW_FULL;
        if (i < n) {
            assert_mf_ok(mf_window_add(w, &c[i], &added, &err), &err);
        }
        if (added == MF_WINDOW_ADDED) {
            held++;
            i++;
            continue;
        }
        assert_true(held > 0 || i == n);
        enum applied done = apply_batch(t, mf_window_batch(w), fuzzy);
        if (done != APPLIED) {
            return done;
        }
        tally->batches++;
        mf_window_reset(w, ordered, fuzzy);
        held = 0;
        i += i == n;
    }
    tally->changes += n;
    return APPLIED;
}

static void assert_same(const struct db *source, const struct db *target, uint64_t seed)
{
    for (int k = 0; k < KEYS; k++) {
        const struct row *s = &source->rows[k], *t = &target->rows[k];
        if (s->there != t->there || (s->there && (s->u != t->u || s->toast != t->toast || s->w != t->w))) {
            fail_msg("seed %" PRIu64 ": key %d is (%d: %d %d %d), should be (%d: %d %d %d)", seed, k, t->there, t->u,
                     t->toast, t->w, s->there, s->u, s->toast, s->w);
        }
    }
    if (memcmp(source->bag, target->bag, sizeof(source->bag)) != 0) {
        fail_msg("seed %" PRIu64 ": the table without a key differs", seed);
    }
}

static void strict_history(struct mf_window *w, uint64_t seed, bool always_ordered, struct tally *tally)
{
    struct mf_arena a;
    struct mf_change c[CHANGES];
    struct db source = {0}, target = {0}, before;
    mf_arena_init(&a, 1 << 24);
    rnd = seed * 0x9e3779b97f4a7c15u | 1;
    for (int windows = 0; windows < 4; windows++) {
        size_t n = 1 + below(CHANGES);
        for (size_t i = 0; i < n; i++) {
            c[i] = random_change(&a, &source, true);
        }
        before = target;
        enum applied done = apply_window(w, &target, c, n, always_ordered, false, tally);
        if (done == CONFLICT && !always_ordered) {
            tally->conflicts++;
            target = before;
            done = apply_window(w, &target, c, n, true, false, tally);
        }
        if (done != APPLIED) {
            fail_msg("seed %" PRIu64 ": %s", seed, done == CONFLICT ? "conflict in source order" : "wrong change");
        }
        assert_same(&source, &target, seed);
        mf_arena_reset(&a);
    }
    mf_arena_free(&a);
}

/* The copy gave each row as it was at some moment of the history, before or after any change; the whole is replayed. */
static void fuzzy_history(struct mf_window *w, uint64_t seed, struct tally *tally)
{
    struct mf_arena a;
    struct mf_change c[CHANGES];
    struct db at[CHANGES + 1] = {0}, target = {0};
    mf_arena_init(&a, 1 << 24);
    rnd = seed * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 20; i++) {
        random_change(&a, &at[0], false);
    }
    for (size_t i = 0; i < CHANGES; i++) {
        at[i + 1] = at[i];
        c[i] = random_change(&a, &at[i + 1], false);
    }
    for (int k = 0; k < KEYS; k++) {
        target.rows[k] = at[below(CHANGES + 1)].rows[k];
    }
    memcpy(target.bag, at[0].bag, sizeof(target.bag)); /* keyless tables are copied from an exact snapshot */
    for (size_t i = 0; i < CHANGES;) {
        size_t n = 1 + below(CHANGES - i);
        if (apply_window(w, &target, c + i, n, below(4) == 0, true, tally) != APPLIED) {
            fail_msg("seed %" PRIu64 ": wrong change", seed);
        }
        i += n;
    }
    for (int k = 0; k < KEYS; k++) {
        if (target.reread[k]) {
            target.rows[k] = at[CHANGES].rows[k];
            tally->rereads++;
        }
    }
    assert_same(&at[CHANGES], &target, seed);
    mf_arena_free(&a);
}

static void test_strict(void **state)
{
    (void)state;
    struct tally t = {0};
    struct mf_window *w = mf_window_new(1 << 20);
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        strict_history(w, seed, false, &t);
    }
    mf_window_free(w);
    assert_true(t.changes > t.batches * 3); /* it does collapse */
    assert_true(t.conflicts > 100);         /* and conflicts did happen */
}

static void test_strict_small_batches(void **state)
{
    (void)state;
    struct tally t = {0};
    struct mf_window *w = mf_window_new(2000);
    for (uint64_t seed = 1; seed <= 5000; seed++) {
        strict_history(w, seed, false, &t);
    }
    mf_window_free(w);
    assert_true(t.batches * 10 > t.changes);
}

static void test_ordered(void **state)
{
    (void)state;
    struct tally t = {0};
    struct mf_window *w = mf_window_new(1 << 20);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        strict_history(w, seed, true, &t);
    }
    mf_window_free(w);
    assert_true(t.batches >= t.changes);
}

static void test_fuzzy(void **state)
{
    (void)state;
    struct tally t = {0};
    struct mf_window *w = mf_window_new(1 << 20);
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        fuzzy_history(w, seed, &t);
    }
    mf_window_free(w);
    assert_true(t.rereads > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_strict_small_batches),
        cmocka_unit_test(test_ordered),
        cmocka_unit_test(test_fuzzy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
