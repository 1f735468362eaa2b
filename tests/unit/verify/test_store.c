/* The join store against a plain model: in memory and in its file, with voided attempts, with a disk that is full, lies or ends. */
#include "mf_test.h"
#include "verify/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

#define KEYS 3000

struct seen {
    int n[KEYS];        /* times it was told unmatched */
    int64_t count[256]; /* counted, by lane1 */
    uint64_t rows[2];
    struct vf_store *s;
};

static uint64_t rng;

static unsigned chance(unsigned n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned)((rng >> 11) % n);
}

static struct vf_store *store(const char *dir, uint64_t memory, uint64_t disk, bool counted)
{
    struct vf_store_options o = {.dir = dir, .memory = memory, .disk = disk, .jobs = 2, .counted = counted};
    return vf_store_new(&o);
}

static int add(struct vf_writer *w, unsigned key, uint64_t value, struct mf_error *err)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "key-%u%.*s", key, (int)(key % 30), "------------------------------");
    struct mf_digest d = {.rows = 1, .lane1 = value, .lane2 = value * 7};
    return vf_writer_add(w, &d, text, (size_t)n, err);
}

static int see(void *ctx, const struct vf_unmatched *u, struct mf_error *err)
{
    (void)err;
    struct seen *n = ctx;
    if (u->count) {
        n->count[u->digest.lane1] += u->count;
        return 0;
    }
    char text[64];
    memcpy(text, u->key, u->len);
    text[u->len] = '\0';
    n->n[atoi(text + 4)]++;
    return 0;
}

static int join_all(struct vf_store *s, struct seen *ret, struct mf_error *err)
{
    memset(ret, 0, sizeof(*ret));
    if (vf_store_seal(s, err) < 0) {
        return -1;
    }
    for (uint32_t i = 0; i < vf_store_pieces(s); i++) {
        struct vf_joined j;
        if (vf_store_join(s, i, see, ret, &j, err) < 0) {
            return -1;
        }
        ret->rows[0] += j.rows[0];
        ret->rows[1] += j.rows[1];
    }
    return 0;
}

/* Some keys on both sides, some altered, some of one alone; in many attempts, of which some fail and are made again with other values. */
static void test_it_agrees_with_a_model(void **st)
{
    (void)st;
    static const uint64_t memories[] = {1u << 30, 200000, 30000, 1};
    for (unsigned round = 0; round < 40; round++) {
        struct mf_error err = {0};
        uint64_t is[2][KEYS] = {{0}};
        struct vf_store *s = store("/tmp", memories[round % 4], 1u << 30, false);
        struct vf_writer w[2] = {{0}};
        uint64_t rows[2] = {0};
        rng = round + 1;
        for (unsigned k = 0; k < KEYS; k++) {
            unsigned what = chance(20);
            is[0][k] = what == 0 ? 0 : 1 + k;
            is[1][k] = what == 1 ? 0 : what == 2 ? 999999 : 1 + k;
        }
        for (int side = 0; side < 2; side++) {
            for (unsigned from = 0, upto; from < KEYS; from = upto) {
                upto = from + 1 + chance(300);
                upto = upto > KEYS ? KEYS : upto;
                bool fails = chance(4) == 0;
                vf_writer_begin(&w[side], s, (enum vf_side)side);
                for (unsigned k = from; k < upto; k++) {
                    if (fails ? chance(2) : is[side][k] != 0) {
                        assert_mf_ok(add(&w[side], k, fails ? 5 : is[side][k], &err), &err);
                    }
                }
                assert_mf_ok(vf_writer_end(&w[side], !fails, &err), &err);
                upto = fails ? from : upto;
            }
        }
        struct seen n;
        assert_mf_ok(join_all(s, &n, &err), &err);
        for (unsigned k = 0; k < KEYS; k++) {
            if (n.n[k] != (is[0][k] != is[1][k])) {
                fail_msg("round %u: key %u is %llu and %llu, told %d times", round, k, (unsigned long long)is[0][k],
                         (unsigned long long)is[1][k], n.n[k]);
            }
            rows[0] += is[0][k] != 0;
            rows[1] += is[1][k] != 0;
        }
        assert_int_equal(n.rows[0], rows[0]);
        assert_int_equal(n.rows[1], rows[1]);
        assert_true((vf_store_file(s) >= 0) == (memories[round % 4] < (1u << 30)));
        vf_writer_free(&w[0]);
        vf_writer_free(&w[1]);
        vf_store_free(s);
    }
}

/* A key that a side has twice is no match, whatever its digests are. */
static void test_a_key_that_is_there_twice_is_told(void **st)
{
    (void)st;
    struct mf_error err = {0};
    struct vf_writer w = {0};
    struct vf_store *s = store(NULL, 1u << 20, 0, false);
    static const struct {
        enum vf_side side;
        unsigned key;
        uint64_t value;
    } rows[] = {{VF_ORIGIN, 1, 1},  {VF_ORIGIN, 1, 1},  {VF_REPLICA, 1, 1}, {VF_ORIGIN, 2, 1},  {VF_REPLICA, 2, 1},
                {VF_REPLICA, 2, 2}, {VF_ORIGIN, 3, 1},  {VF_REPLICA, 3, 2}, {VF_REPLICA, 3, 1}, {VF_ORIGIN, 4, 1},
                {VF_REPLICA, 4, 1}, {VF_REPLICA, 5, 1}, {VF_ORIGIN, 6, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        vf_writer_begin(&w, s, rows[i].side);
        assert_mf_ok(add(&w, rows[i].key, rows[i].value, &err), &err);
        assert_mf_ok(vf_writer_end(&w, true, &err), &err);
    }
    struct seen n;
    assert_mf_ok(join_all(s, &n, &err), &err);
    static const int want[] = {0, 1, 1, 1, 0, 1, 1};
    assert_memory_equal(n.n, want, sizeof(want));
    vf_writer_free(&w);
    vf_store_free(s);
}

/* Copies are counted, however many and wherever they are. */
static void test_copies_are_counted(void **st)
{
    (void)st;
    for (unsigned round = 0; round < 6; round++) {
        struct mf_error err = {0};
        int64_t want[256] = {0};
        struct vf_writer w = {0};
        struct vf_store *s = store("/tmp", round % 2 ? 5000 : 1u << 30, 1u << 30, true);
        rng = round + 77;
        for (int side = 0; side < 2; side++) {
            vf_writer_begin(&w, s, (enum vf_side)side);
            for (int i = 0; i < 50000; i++) {
                uint64_t v = round < 2 ? chance(3) : chance(256);
                struct mf_digest d = {.rows = 1, .lane1 = v, .lane2 = v};
                assert_mf_ok(vf_writer_add(&w, &d, NULL, 0, &err), &err);
                want[v] += side ? -1 : 1;
            }
            assert_mf_ok(vf_writer_end(&w, true, &err), &err);
        }
        struct seen n;
        assert_mf_ok(join_all(s, &n, &err), &err);
        assert_memory_equal(n.count, want, sizeof(want));
        assert_int_equal(n.rows[0], 50000);
        vf_writer_free(&w);
        vf_store_free(s);
    }
}

static int fill(struct vf_store *s, struct mf_error *err)
{
    struct vf_writer w = {0};
    int rc = 0;
    vf_writer_begin(&w, s, VF_ORIGIN);
    for (unsigned k = 0; rc == 0 && k < KEYS; k++) {
        rc = add(&w, k, k, err);
    }
    rc = vf_writer_end(&w, rc == 0, err) < 0 ? -1 : rc;
    vf_writer_free(&w);
    return rc;
}

static void test_it_stays_within_its_bounds(void **st)
{
    (void)st;
    struct mf_error err = {0};
    struct vf_store_stats n;
    struct vf_store *s = store("/tmp", 20000, 1u << 30, false);
    assert_mf_ok(fill(s, &err), &err);
    vf_store_stats(s, &n);
    assert_true(n.memory <= 20000 && n.disk > 100000);
    vf_store_free(s);

    s = store("/tmp", 20000, 50000, false);
    assert_int_equal(fill(s, &err), -1);
    assert_string_equal(err.code, "MFDISK");
    assert_int_equal(err.cls, MF_ABANDONED);
    assert_true(strstr(err.text, "verify.disk"));
    vf_store_stats(s, &n);
    assert_true(n.disk <= 50000);
    vf_store_free(s);

    s = store(NULL, 20000, 0, false);
    assert_int_equal(fill(s, &err), -1);
    assert_string_equal(err.code, "MFMEM");
    vf_store_free(s);
}

/* A disk that takes nothing, a directory that is not there, a write that fails once. */
static void test_a_disk_that_fails_is_told(void **st)
{
    (void)st;
    struct mf_error err = {0};
    struct vf_store *s = store("/no/such/place", 20000, 1u << 30, false);
    assert_int_equal(fill(s, &err), -1);
    assert_string_equal(err.code, "MFDISK");
    assert_true(strstr(err.text, "/no/such/place") && err.hint[0]);
    vf_store_free(s);

    s = store("/tmp", 20000, 1u << 30, false);
    assert_mf_ok(mf_fault_arm("verify.spill:3=error", &err), &err);
    assert_int_equal(fill(s, &err), -1);
    mf_fault_arm(NULL, NULL);
    assert_mf_ok(fill(s, &err), &err); /* again: what failed is void */
    struct seen n;
    assert_mf_ok(join_all(s, &n, &err), &err);
    assert_int_equal(n.rows[0], KEYS);
    for (unsigned k = 0; k < KEYS; k++) {
        assert_int_equal(n.n[k], 1);
    }
    vf_store_free(s);
}

/* Every byte that the disk gives back otherwise, and every one that it does not give back, is noticed. */
static void test_a_file_that_lies_is_noticed(void **st)
{
    (void)st;
    for (unsigned round = 0; round < 60; round++) {
        struct mf_error err = {0};
        struct seen n;
        struct vf_store_stats is;
        struct vf_store *s = store("/tmp", 20000, 1u << 30, false);
        rng = round + 1;
        assert_mf_ok(fill(s, &err), &err);
        assert_mf_ok(vf_store_seal(s, &err), &err);
        vf_store_stats(s, &is);
        off_t at = (off_t)chance((unsigned)is.disk);
        if (round % 2) {
            char c;
            assert_int_equal(pread(vf_store_file(s), &c, 1, at), 1);
            c = (char)(c ^ (1 << chance(8)));
            assert_int_equal(pwrite(vf_store_file(s), &c, 1, at), 1);
        } else {
            assert_int_equal(ftruncate(vf_store_file(s), at), 0);
        }
        assert_int_equal(join_all(s, &n, &err), -1);
        assert_string_equal(err.code, "MFSPILL");
        assert_int_equal(err.cls, MF_RETRY);
        vf_store_free(s);
    }
}

static void test_a_key_of_any_length(void **st)
{
    (void)st;
    struct mf_error err = {0};
    struct vf_writer w = {0};
    struct vf_store *s = store("/tmp", 1000, 1u << 30, false);
    char *big = calloc(1, VF_KEY_MAX + 1);
    struct mf_digest d = {.rows = 1, .lane1 = 1, .lane2 = 2};
    static const size_t lengths[] = {1, 65000, 65500, 65536, 70000, VF_KEY_MAX};
    for (int side = 0; side < 2; side++) {
        vf_writer_begin(&w, s, (enum vf_side)side);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            assert_mf_ok(vf_writer_add(&w, &d, big, lengths[i], &err), &err);
        }
        assert_int_equal(vf_writer_add(&w, &d, big, VF_KEY_MAX + 1, &err), -1);
        assert_mf_ok(vf_writer_end(&w, true, &err), &err);
    }
    struct seen n;
    assert_mf_ok(join_all(s, &n, &err), &err);
    assert_int_equal(n.rows[0], 6);
    assert_int_equal(n.n[0], 0);
    vf_writer_free(&w);
    vf_store_free(s);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_agrees_with_a_model),    cmocka_unit_test(test_a_key_that_is_there_twice_is_told),
        cmocka_unit_test(test_copies_are_counted),        cmocka_unit_test(test_it_stays_within_its_bounds),
        cmocka_unit_test(test_a_disk_that_fails_is_told), cmocka_unit_test(test_a_file_that_lies_is_noticed),
        cmocka_unit_test(test_a_key_of_any_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
