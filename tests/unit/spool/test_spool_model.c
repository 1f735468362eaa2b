/* Random histories of the whole spool in memory against a list: what was ended is read, in order, once; a crash loses
 * what was not synced and nothing else; a failed storage operation loses nothing. */
#include "mf_test.h"

#include "spool/storage.h"
#include "spool_fixture.h"

#define MAX_TXNS 400

struct txn {
    uint64_t order;
    bool progress;
    unsigned changes;
    uint64_t seed;  /* of its first change; the i-th has seed + i */
    uint32_t table; /* number */
    unsigned version;
    size_t size;
};

struct world {
    uint64_t rnd, seed;
    struct mf_spool_storage *st;
    struct mf_spool *s;
    struct mf_spool_reader *r;
    struct txn txns[MAX_TXNS];
    size_t n;       /* written */
    size_t durable; /* of them */
    size_t at;      /* next one the reader gives */
    size_t released;
    uint64_t order;
    bool faults;
    char dir[64]; /* empty: in memory */
    unsigned failures;
};

/* Repeats a call that may fail by the planned fault. */
#define RETRY(w, call)                                                                                                 \
    do {                                                                                                               \
        struct mf_error err_ = {0};                                                                                    \
        int tries_ = 0;                                                                                                \
        if ((w)->faults && !(w)->dir[0] && random_below(&(w)->rnd, 4) == 0) {                                          \
            mf_spool_memory_fail((w)->st, 1 + (unsigned)random_below(&(w)->rnd, 4));                                   \
        }                                                                                                              \
        while ((call) < 0) {                                                                                           \
            if (err_.cls != MF_RETRY || ++tries_ > 3) {                                                                \
                fail_msg("seed %" PRIu64 ": %s", (w)->seed, err_.text);                                                \
            }                                                                                                          \
            (w)->failures++;                                                                                           \
        }                                                                                                              \
        if (!(w)->dir[0]) {                                                                                            \
            mf_spool_memory_fail((w)->st, 0);                                                                          \
        }                                                                                                              \
    } while (0)

static struct mf_position order_of(struct world *w, size_t n)
{
    return n ? position_at(w->txns[n - 1].order) : (struct mf_position){0};
}

/* Grows with the order by more than there are changes in one. */
static int64_t stamp_of(const struct txn *t)
{
    return (int64_t)t->order * 1000 - 7;
}

/* Of the position after the first n. */
static int64_t stamp_after(const struct world *w, size_t n)
{
    while (n && w->txns[n - 1].progress) {
        n--;
    }
    return n ? stamp_of(&w->txns[n - 1]) + (w->txns[n - 1].changes ? w->txns[n - 1].changes : 1) : 0;
}

static void write_changes(struct world *w, const struct txn *t, bool leave_open)
{
    struct test_table table;
    struct mf_buf piece;
    uint32_t rel;
    make_table(&table, t->table, t->version);
    mf_buf_init(&piece, 1 << 24);
    struct mf_txn_head head = {.txn = t->order * 10,
                               .position = position_at(t->order),
                               .changes = t->changes,
                               .commit_time_us = (int64_t)t->order - 50,
                               .stamp = stamp_of(t)};
    bool relation_first = random_below(&w->rnd, 2);
    if (relation_first) {
        RETRY(w, mf_spool_relation(w->s, &table.t, &rel, &err_));
    }
    RETRY(w, mf_spool_begin(w->s, &head, &err_));
    if (!relation_first) {
        RETRY(w, mf_spool_relation(w->s, &table.t, &rel, &err_));
    }
    unsigned stop = leave_open ? (unsigned)random_below(&w->rnd, t->changes + 1) : t->changes;
    for (unsigned i = 0; i < stop; i++) {
        encode_insert(&piece, rel, &table.t, t->seed + i, t->size);
        if (i + 1 == stop || random_below(&w->rnd, 3) == 0) {
            RETRY(w, mf_spool_write(w->s, piece.data, piece.len, &err_));
            mf_buf_reset(&piece);
        }
        if (random_below(&w->rnd, 20) == 0) {
            struct mf_position p;
            RETRY(w, mf_spool_sync(w->s, &p, &err_));
            w->durable = w->n;
            assert_int_equal(p.order, order_of(w, w->n).order);
        }
    }
    mf_buf_free(&piece);
    if (!leave_open) {
        RETRY(w, mf_spool_end(w->s, &err_));
    }
}

static void step_write(struct world *w)
{
    if (w->n == MAX_TXNS) {
        return;
    }
    struct txn *t = &w->txns[w->n];
    w->order += 1 + random_below(&w->rnd, 9);
    *t = (struct txn){.order = w->order, .seed = next_random(&w->rnd) >> 20};
    if (random_below(&w->rnd, 5) == 0) {
        struct mf_position p = position_at(t->order);
        t->progress = true;
        RETRY(w, mf_spool_progress(w->s, &p, &err_));
        w->n++;
        return;
    }
    t->changes = (unsigned)random_below(&w->rnd, random_below(&w->rnd, 6) ? 4 : 60);
    t->table = (uint32_t)random_below(&w->rnd, 5);
    t->version = (unsigned)random_below(&w->rnd, 3);
    t->size = random_below(&w->rnd, random_below(&w->rnd, 8) ? 60 : 3000);
    bool leave_open = random_below(&w->rnd, 8) == 0;
    write_changes(w, t, leave_open);
    w->n += !leave_open;
}

static void check_change(struct world *w, const struct txn *t, unsigned i, const struct mf_record *rec)
{
    struct test_table table;
    struct mf_buf want, got;
    mf_buf_init(&want, 1 << 20);
    mf_buf_init(&got, 1 << 20);
    make_table(&table, t->table, t->version);
    assert_int_equal(rec->kind, MF_RECORD_CHANGE);
    assert_int_equal(rec->change.table->id, table.t.id);
    assert_int_equal(rec->change.stamp, stamp_of(t) + i);
    assert_int_equal(mf_table_shape(rec->change.table), mf_table_shape(&table.t));
    encode_insert(&want, rec->change.rel, &table.t, t->seed + i, t->size);
    struct mf_error err;
    assert_int_equal(mf_encode_change(&got, &rec->change, &err), 0);
    if (want.len != got.len || memcmp(want.data, got.data, got.len) != 0) {
        fail_msg("seed %" PRIu64 ": change %u of transaction %" PRIu64 " differs", w->seed, i, t->order);
    }
    mf_buf_free(&want);
    mf_buf_free(&got);
}

static void step_read(struct world *w)
{
    struct mf_record rec;
    if (random_below(&w->rnd, 2)) {
        RETRY(w, mf_spool_peek(w->r, 0, &rec, &err_));
        assert_int_equal(rec.kind != MF_RECORD_NONE, w->at < w->n);
    }
    RETRY(w, mf_spool_read(w->r, 0, &rec, &err_));
    if (w->at == w->n) {
        assert_int_equal(rec.kind, MF_RECORD_NONE);
        return;
    }
    const struct txn *t = &w->txns[w->at];
    if (rec.position.order != t->order) {
        fail_msg("seed %" PRIu64 ": read %" PRIu64 " instead of %" PRIu64, w->seed, rec.position.order, t->order);
    }
    if (t->progress) {
        assert_int_equal(rec.kind, MF_RECORD_PROGRESS);
        w->at++;
        return;
    }
    assert_int_equal(rec.kind, MF_RECORD_BEGIN);
    assert_int_equal(rec.head.txn, t->order * 10);
    assert_int_equal(rec.head.changes, t->changes);
    assert_int_equal(rec.head.commit_time_us, (int64_t)t->order - 50);
    assert_int_equal(rec.head.stamp, stamp_of(t));
    assert_int_equal(mf_spool_reader_stamp(w->r), stamp_after(w, w->at));
    for (unsigned i = 0; i < t->changes; i++) {
        if (random_below(&w->rnd, 400) == 0) {
            struct mf_position p = order_of(w, w->at);
            RETRY(w, mf_spool_rewind(w->r, &p, &err_));
            return;
        }
        RETRY(w, mf_spool_read(w->r, 0, &rec, &err_));
        check_change(w, t, i, &rec);
    }
    RETRY(w, mf_spool_read(w->r, 0, &rec, &err_));
    assert_int_equal(rec.kind, MF_RECORD_COMMIT);
    assert_int_equal(rec.head.txn, t->order * 10);
    w->at++;
    assert_int_equal(mf_spool_reader_stamp(w->r), stamp_after(w, w->at));
}

static void step_rewind(struct world *w)
{
    w->at = w->released + random_below(&w->rnd, w->at - w->released + 1);
    struct mf_position p = order_of(w, w->at);
    RETRY(w, mf_spool_rewind(w->r, &p, &err_));
}

static void step_release(struct world *w)
{
    w->released += random_below(&w->rnd, w->at - w->released + 1);
    struct mf_position p = order_of(w, w->released);
    RETRY(w, mf_spool_release(w->s, &p, &err_));
}

static void open_spool(struct world *w)
{
    struct mf_position p = order_of(w, w->at);
    /* Budgets make segments of other sizes: the one before an empty last segment may have room again. */
    static const uint64_t budgets[] = {1 << 16, 1 << 12, 0, 1 << 14};
    RETRY(w, mf_spool_open(w->st, budgets[random_below(&w->rnd, 4)], &w->s, &err_));
    RETRY(w, mf_spool_reader_open(w->s, &p, &w->r, &err_));
}

static void open_storage(struct world *w)
{
    struct mf_error err = {0};
    w->st = w->dir[0] ? mf_spool_files(w->dir, 1 << 14, &err) : mf_spool_memory();
    assert_non_null(w->st);
    if (w->dir[0]) {
        w->st->block_bytes = 1 << 11; /* many blocks, and transactions larger than one */
    }
}

static void step_restart(struct world *w)
{
    struct mf_position tail;
    bool crash = random_below(&w->rnd, 2);
    mf_spool_reader_close(w->r);
    mf_spool_close(w->s);
    w->r = NULL;
    w->s = NULL;
    if (crash && !w->dir[0]) {
        mf_spool_memory_crash(w->st);
    } else if (crash) {
        mf_spool_storage_free(w->st);
        open_storage(w);
    }
    open_spool(w);
    mf_spool_tail(w->s, &tail);
    /* Exactly a prefix of what was written, and no less than what was durable. */
    size_t n = w->durable;
    while (n < w->n && order_of(w, n).order < tail.order) {
        n++;
    }
    if (order_of(w, n).order != tail.order) {
        fail_msg("seed %" PRIu64 ": the tail is %" PRIu64 " after a restart", w->seed, tail.order);
    }
    w->n = n;
    w->durable = n;
    w->order = tail.order > w->order ? tail.order : w->order;
    if (w->at > w->n) {
        w->at = w->n;
        struct mf_position p = order_of(w, w->at);
        RETRY(w, mf_spool_rewind(w->r, &p, &err_));
    }
    w->released = w->released > w->at ? w->at : w->released;
}

static void run_history(uint64_t seed, bool faults, const char *dir, unsigned *failures)
{
    struct world *w = mf_xcalloc(1, sizeof(*w));
    w->seed = seed;
    w->rnd = seed * 0x9e3779b97f4a7c15u + 1;
    w->faults = faults;
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    open_storage(w);
    open_spool(w);
    for (int i = 0; i < 150; i++) {
        uint64_t dice = random_below(&w->rnd, 100);
        if (dice < 45) {
            step_write(w);
        } else if (dice < 85) {
            step_read(w);
        } else if (dice < 91) {
            struct mf_position p;
            RETRY(w, mf_spool_sync(w->s, &p, &err_));
            w->durable = w->n;
            assert_int_equal(p.order, order_of(w, w->n).order);
        } else if (dice < 94) {
            step_rewind(w);
        } else if (dice < 97) {
            step_release(w);
        } else {
            step_restart(w);
        }
    }
    while (w->at < w->n) {
        step_read(w);
    }
    *failures += w->failures;
    mf_spool_reader_close(w->r);
    mf_spool_close(w->s);
    mf_spool_storage_free(w->st);
    free(w);
}

static void test_histories(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        run_history(seed, false, "", &failures);
    }
    assert_int_equal(failures, 0);
}

static void test_histories_with_faults(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        run_history(seed, true, "", &failures);
    }
    assert_true(failures > 1000); /* the faults were really there */
}

static void test_histories_in_files(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        char dir[64];
        make_dir(dir, sizeof dir, "spool-model");
        run_history(seed, false, dir, &failures);
        remove_dir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_histories_with_faults),
        cmocka_unit_test(test_histories_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
