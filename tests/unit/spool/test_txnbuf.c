/* Open transactions: order, aborts of subtransactions, the memory bound, spilling, a full disk. */
#include "mf_test.h"

#include "spool/txnbuf.h"
#include "spool_fixture.h"

#include "base/fault.h"

static int collect(void *ctx, const void *data, size_t len, struct mf_error *err)
{
    (void)err;
    return mf_buf_append(ctx, data, len);
}

static void assert_holds(struct mf_txnbuf *b, const struct mf_buf *want)
{
    struct mf_buf got;
    struct mf_error err = {0};
    mf_buf_init(&got, SIZE_MAX / 2);
    assert_mf_ok(mf_txnbuf_stream(b, collect, &got, &err), &err);
    assert_int_equal(got.len, want->len);
    assert_int_equal(mf_txnbuf_bytes(b), want->len);
    if (got.len) {
        assert_memory_equal(got.data, want->data, got.len);
    }
    mf_buf_free(&got);
}

/* Subtransactions nest: a stack of open ones; a commit of one leaves its id known, an abort takes back from its first
 * change. The model keeps the same bytes in one buffer and the offset at which each subtransaction began. */
struct model {
    struct mf_buf bytes;
    uint64_t changes;
    struct {
        uint64_t id;
        size_t offset;
        uint64_t changes;
        bool used;
    } stack[64];
    int depth;
};

static void model_add(struct model *m, uint64_t *rnd, struct mf_txnbuf *b, uint64_t *next_id)
{
    struct mf_error err = {0};
    static char data[200000]; /* one in a while is larger than a frame */
    size_t most = random_below(rnd, 2) ? 50 : random_below(rnd, 40) ? 5000 : sizeof(data);
    size_t len = 1 + random_below(rnd, most - 1);
    memset(data, (int)('a' + random_below(rnd, 26)), len);
    if (!m->stack[m->depth].used) {
        m->stack[m->depth].used = true;
        m->stack[m->depth].id = (*next_id)++;
        m->stack[m->depth].offset = m->bytes.len;
        m->stack[m->depth].changes = m->changes;
    }
    assert_mf_ok(mf_txnbuf_add(b, m->stack[m->depth].id, data, len, &err), &err);
    mf_buf_append(&m->bytes, data, len);
    m->changes++;
}

static void model_abort(struct model *m, struct mf_txnbuf *b)
{
    struct mf_error err = {0};
    if (m->stack[m->depth].used) {
        assert_mf_ok(mf_txnbuf_abort(b, m->stack[m->depth].id, &err), &err);
        m->bytes.len = m->stack[m->depth].offset;
        m->changes = m->stack[m->depth].changes;
    } else {
        assert_mf_ok(mf_txnbuf_abort(b, 999999999, &err), &err);
    }
    m->stack[m->depth].used = false;
}

static void one_history(uint64_t seed, size_t bound, uint64_t *ret_spilled)
{
    enum { BUFS = 3 };
    uint64_t rnd = seed * 77777 + 5, next_id = 1;
    struct mf_txnpool *p = mf_txnpool_new("/tmp", bound);
    struct mf_txnbuf *b[BUFS];
    struct model m[BUFS] = {0};
    for (int i = 0; i < BUFS; i++) {
        b[i] = mf_txnbuf_new(p);
        mf_buf_init(&m[i].bytes, SIZE_MAX / 2);
    }
    for (int step = 0; step < 300; step++) {
        int i = (int)random_below(&rnd, BUFS);
        uint64_t dice = random_below(&rnd, 100);
        if (dice < 70) {
            model_add(&m[i], &rnd, b[i], &next_id);
        } else if (dice < 82 && m[i].depth < 60) {
            m[i].stack[++m[i].depth].used = false;
        } else if (dice < 92 && m[i].depth > 0) {
            if (random_below(&rnd, 2)) {
                model_abort(&m[i], b[i]);
            }
            m[i].depth--; /* released: its changes are its parent's now, which began before or has none yet */
            if (m[i].stack[m[i].depth + 1].used && !m[i].stack[m[i].depth].used) {
                m[i].stack[m[i].depth] = m[i].stack[m[i].depth + 1];
            }
        } else if (dice < 94) {
            assert_holds(b[i], &m[i].bytes);
            assert_int_equal(mf_txnbuf_changes(b[i]), m[i].changes);
        } else if (dice == 99) {
            mf_txnbuf_reset(b[i]);
            mf_buf_reset(&m[i].bytes);
            m[i].depth = 0;
            m[i].changes = 0;
            m[i].stack[0].used = false;
        }
        assert_true(mf_txnpool_memory(p) <= bound + (256 << 10)); /* the bound and one change */
        *ret_spilled += mf_txnpool_spilled(p) > 0;
    }
    for (int i = 0; i < BUFS; i++) {
        assert_holds(b[i], &m[i].bytes);
        mf_buf_free(&m[i].bytes);
        mf_txnbuf_free(b[i]);
    }
    assert_int_equal(mf_txnpool_memory(p), 0);
    assert_int_equal(mf_txnpool_spilled(p), 0);
    mf_txnpool_free(p);
}

static void test_histories(void **state)
{
    (void)state;
    uint64_t spilled = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        one_history(seed, (size_t)1 << 30, &spilled);
    }
    assert_int_equal(spilled, 0);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        one_history(seed, (size_t)80 << 10, &spilled);
    }
    assert_true(spilled > 1000);
}

/* A change may be larger than a frame, alone or after small ones. */
static void test_changes_larger_than_a_frame(void **state)
{
    (void)state;
    static const size_t sizes[] = {3, 70000, 5, 1 << 20, 65536, 65537, 1, 300000, 300000};
    struct mf_error err = {0};
    struct mf_txnpool *p = mf_txnpool_new(NULL, (size_t)1 << 30);
    struct mf_txnbuf *b = mf_txnbuf_new(p);
    struct mf_buf want;
    mf_buf_init(&want, SIZE_MAX / 2);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *data = malloc(sizes[i]);
        assert_non_null(data);
        memset(data, (int)('a' + i), sizes[i]);
        assert_mf_ok(mf_txnbuf_add(b, 7, data, sizes[i], &err), &err);
        mf_buf_append(&want, data, sizes[i]);
        free(data);
    }
    assert_holds(b, &want);
    mf_buf_free(&want);
    mf_txnbuf_free(b);
    mf_txnpool_free(p);
}

static void test_many_subtransactions(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_txnpool *p = mf_txnpool_new(NULL, (size_t)1 << 30);
    struct mf_txnbuf *b = mf_txnbuf_new(p);
    /* A loop with an exception block: every second one is undone. Quadratic work would take hours. */
    for (uint64_t i = 0; i < 300000; i++) {
        assert_mf_ok(mf_txnbuf_add(b, i + 10, "x", 1, &err), &err);
        if (i % 2) {
            assert_mf_ok(mf_txnbuf_abort(b, i + 10, &err), &err);
        }
    }
    assert_int_equal(mf_txnbuf_changes(b), 150000);
    mf_txnbuf_free(b);
    mf_txnpool_free(p);
}

static void test_no_directory_is_an_error_over_the_bound(void **state)
{
    (void)state;
    struct mf_error err = {0};
    char big[4096] = {0};
    struct mf_txnpool *p = mf_txnpool_new(NULL, 100000);
    struct mf_txnbuf *b = mf_txnbuf_new(p);
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++) {
        rc = mf_txnbuf_add(b, 1, big, sizeof(big), &err);
    }
    assert_int_equal(rc, -1);
    assert_string_equal(err.code, "MFMEM");
    mf_txnbuf_free(b);
    mf_txnpool_free(p);
}

static void test_a_failed_spill_loses_nothing(void **state)
{
    (void)state;
    struct mf_error err = {0};
    char big[4096];
    struct mf_buf want;
    struct mf_txnpool *p = mf_txnpool_new("/tmp", 100000);
    struct mf_txnbuf *b = mf_txnbuf_new(p);
    int failed = 0;
    mf_buf_init(&want, SIZE_MAX / 2);
    assert_mf_ok(mf_fault_arm("spool.spill=error", &err), &err);
    for (int i = 0; i < 200; i++) {
        memset(big, i, sizeof(big));
        while (mf_txnbuf_add(b, 1, big, sizeof(big), &err) < 0) {
            failed++;
        }
        mf_buf_append(&want, big, sizeof(big));
    }
    mf_fault_arm(NULL, &err);
    assert_int_equal(failed, 1);
    assert_true(mf_txnpool_spilled(p) > 0);
    assert_holds(b, &want);
    mf_buf_free(&want);
    mf_txnbuf_free(b);
    mf_txnpool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_changes_larger_than_a_frame),
        cmocka_unit_test(test_many_subtransactions),
        cmocka_unit_test(test_no_directory_is_an_error_over_the_bound),
        cmocka_unit_test(test_a_failed_spill_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
