/* The spool in files: power failures at every byte, flipped bits, missing files, full disks, failing calls. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "spool/storage.h"
#include "spool_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct disk {
    char dir[64];
    struct mf_spool_storage *st;
    struct mf_spool *s;
};

static void open_disk(struct disk *d, size_t segment, size_t block, uint64_t budget)
{
    struct mf_error err = {0};
    if (!d->dir[0]) {
        make_dir(d->dir, sizeof(d->dir), "spool-files");
    }
    d->st = mf_spool_files(d->dir, segment, &err);
    if (!d->st) {
        fail_msg("%s", err.text);
    }
    d->st->block_bytes = block ? block : d->st->block_bytes;
    assert_mf_ok(mf_spool_open(d->st, budget, &d->s, &err), &err);
}

static void close_disk(struct disk *d)
{
    mf_spool_close(d->s);
    mf_spool_storage_free(d->st);
    d->s = NULL;
    d->st = NULL;
}

/* The n-th transaction ends at position 10 n and has `changes` inserts of `size` bytes. -1 with err on failure. */
static int write_txn(struct mf_spool *s, uint64_t n, unsigned changes, size_t size, struct mf_error *err)
{
    struct test_table table;
    MF_CLEANUP_BUF struct mf_buf b;
    uint32_t rel;
    make_table(&table, (uint32_t)(n % 3), 2);
    mf_buf_init(&b, SIZE_MAX / 2);
    struct mf_txn_head head = {.txn = n, .position = position_at(n * 10), .changes = changes};
    if (mf_spool_relation(s, &table.t, &rel, err) < 0 || mf_spool_begin(s, &head, err) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < changes; i++) {
        mf_buf_reset(&b);
        encode_insert(&b, rel, &table.t, n * 100 + i, size);
        if (mf_spool_write(s, b.data, b.len, err) < 0) {
            return -1;
        }
    }
    return mf_spool_end(s, err);
}

static void must_write(struct mf_spool *s, uint64_t from, uint64_t to, unsigned changes, size_t size)
{
    struct mf_error err = {0};
    for (uint64_t n = from; n <= to; n++) {
        assert_mf_ok(write_txn(s, n, changes, size, &err), &err);
    }
}

static void must_sync(struct mf_spool *s)
{
    struct mf_error err = {0};
    struct mf_position p;
    assert_mf_ok(mf_spool_sync(s, &p, &err), &err);
}

/* Reads everything after the n-th transaction. Returns the last one's number, or -1 with err. */
static int64_t read_all(struct mf_spool *s, uint64_t after, uint64_t *ret_changes, struct mf_error *err)
{
    struct mf_spool_reader *r;
    struct mf_record rec;
    struct mf_position p = position_at(after * 10);
    int64_t last = (int64_t)after;
    if (mf_spool_reader_open(s, &p, &r, err) < 0) {
        return -1;
    }
    *ret_changes = 0;
    for (;;) {
        if (mf_spool_read(r, 0, &rec, err) < 0) {
            last = -1;
            break;
        }
        if (rec.kind == MF_RECORD_NONE) {
            break;
        }
        if (rec.kind == MF_RECORD_BEGIN) {
            assert_int_equal(rec.head.txn, last + 1);
            last = (int64_t)rec.head.txn;
        }
        *ret_changes += rec.kind == MF_RECORD_CHANGE;
    }
    mf_spool_reader_close(r);
    return last;
}

static uint64_t tail_of(struct mf_spool *s)
{
    struct mf_position p;
    mf_spool_tail(s, &p);
    return p.order / 10;
}

/* ---- damage ---- */

static void last_segment(const char *dir, char *path, size_t n)
{
    char best[300] = "";
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (strstr(e->d_name, ".mfs") && strcmp(e->d_name, best) > 0) {
            snprintf(best, sizeof(best), "%s", e->d_name);
        }
    }
    closedir(d);
    snprintf(path, n, "%s/%s", dir, best);
}

static void first_segment(const char *dir, char *path, size_t n)
{
    snprintf(path, n, "%s/%016x.mfs", dir, 0);
}

static char *slurp(const char *path, size_t *ret_n)
{
    struct stat sb;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &sb) == 0);
    char *p = mf_xmalloc((size_t)sb.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)sb.st_size), sb.st_size);
    close(fd);
    *ret_n = (size_t)sb.st_size;
    return p;
}

static void spew(const char *path, const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

/* Five durable transactions, then five that were never synced (the last large, over several blocks). Power fails with
 * any number of the file's bytes written: what was durable is there, and nothing is half. */
static void test_power_failure_at_every_byte(void **state)
{
    (void)state;
    struct disk d = {0};
    char path[400];
    size_t durable, n;
    struct mf_error err = {0};
    open_disk(&d, 1 << 20, 2048, 0);
    must_write(d.s, 1, 5, 3, 40);
    must_sync(d.s);
    last_segment(d.dir, path, sizeof(path));
    free(slurp(path, &durable));
    d.st->compress = false;
    must_write(d.s, 6, 7, 2, 300);
    must_write(d.s, 8, 9, 2, 1700);
    must_write(d.s, 10, 10, 20, 700);
    must_write(d.s, 11, 11, 1, 1900);
    close_disk(&d);
    char *whole = slurp(path, &n);
    uint64_t seen = 0;
    assert_true(n > durable + 8000);
    for (size_t cut = durable; cut <= n; cut++) {
        uint64_t changes;
        spew(path, whole, cut);
        open_disk(&d, 1 << 20, 2048, 0);
        uint64_t tail = tail_of(d.s);
        assert_in_range(tail, 5, 11);
        assert_true(tail >= seen);
        seen = tail;
        assert_int_equal(read_all(d.s, 0, &changes, &err), tail);
        if (cut % 97 == 0) { /* and it goes on from there */
            must_write(d.s, tail + 1, tail + 3, 4, 900);
            must_sync(d.s);
            assert_int_equal(read_all(d.s, 0, &changes, &err), tail + 3);
            close_disk(&d);
            open_disk(&d, 1 << 20, 2048, 0);
            assert_int_equal(tail_of(d.s), tail + 3);
            assert_int_equal(read_all(d.s, 2, &changes, &err), tail + 3);
        }
        close_disk(&d);
    }
    assert_true(seen >= 10);
    free(whole);
    remove_dir(d.dir);
}

/* Any flipped bit is found. In what a later sync covers it is an error that names the place; in the tail it may be cut. */
static void test_flipped_bits(void **state)
{
    (void)state;
    struct disk d = {0};
    char path[400];
    size_t covered, durable, n;
    struct mf_error err = {0};
    open_disk(&d, 1 << 20, 2048, 0);
    must_write(d.s, 1, 5, 3, 40);
    must_sync(d.s);
    last_segment(d.dir, path, sizeof(path));
    free(slurp(path, &covered));
    must_write(d.s, 6, 10, 3, 40);
    must_sync(d.s);
    free(slurp(path, &durable));
    close_disk(&d);
    char *whole = slurp(path, &n);
    assert_true(covered < n && durable == n);
    for (size_t at = 0; at < n; at++) {
        whole[at] ^= (char)(1 << at % 8);
        spew(path, whole, n);
        whole[at] ^= (char)(1 << at % 8);
        d.st = mf_spool_files(d.dir, 1 << 20, &err);
        assert_non_null(d.st);
        int rc = mf_spool_open(d.st, 0, &d.s, &err);
        if (at < covered) {
            assert_int_equal(rc, -1);
            assert_string_equal(err.code, "MFSPOOL");
            assert_non_null(strstr(err.text, path));
            assert_non_null(strstr(err.text, "byte "));
            assert_true(err.hint[0]);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(tail_of(d.s), 5);
        }
        mf_spool_close(rc == 0 ? d.s : NULL);
        mf_spool_storage_free(d.st);
    }
    free(whole);
    remove_dir(d.dir);
}

static void test_damage_in_an_old_segment_is_found_by_the_reader(void **state)
{
    (void)state;
    struct disk d = {0};
    char path[400];
    size_t n;
    uint64_t changes;
    struct mf_error err = {0};
    open_disk(&d, 1 << 14, 2048, 0);
    must_write(d.s, 1, 200, 3, 200);
    must_sync(d.s);
    assert_true(d.s != NULL);
    close_disk(&d);
    first_segment(d.dir, path, sizeof(path));
    char *whole = slurp(path, &n);
    whole[n / 2] ^= 4;
    spew(path, whole, n);
    open_disk(&d, 1 << 14, 2048, 0);
    assert_int_equal(tail_of(d.s), 200);
    assert_int_equal(read_all(d.s, 0, &changes, &err), -1);
    assert_string_equal(err.code, "MFSPOOL");
    assert_non_null(strstr(err.text, path));
    assert_int_equal(read_all(d.s, 150, &changes, &err), 200); /* one that starts behind it does not mind */
    close_disk(&d);
    free(whole);
    remove_dir(d.dir);
}

static void test_missing_segments(void **state)
{
    (void)state;
    struct disk d = {0};
    char path[400];
    uint64_t changes;
    struct mf_error err = {0};
    open_disk(&d, 1 << 14, 2048, 0);
    must_write(d.s, 1, 200, 3, 200);
    must_sync(d.s);
    close_disk(&d);
    first_segment(d.dir, path, sizeof(path));
    unlink(path);
    open_disk(&d, 1 << 14, 2048, 0);
    assert_int_equal(read_all(d.s, 1, &changes, &err), -1);
    assert_non_null(strstr(err.text, "begins after the position 0/A"));
    assert_int_equal(read_all(d.s, 190, &changes, &err), 200);
    close_disk(&d);
    last_segment(d.dir, path, sizeof(path));
    remove_dir(d.dir);
}

static void test_a_spool_has_one_owner(void **state)
{
    (void)state;
    struct disk d = {0};
    struct mf_error err = {0};
    open_disk(&d, 1 << 20, 0, 0);
    assert_null(mf_spool_files(d.dir, 1 << 20, &err));
    assert_non_null(strstr(err.text, "in use by another process"));
    close_disk(&d);
    remove_dir(d.dir);
}

/* A limit on file size gives short writes and then EFBIG, as a full disk gives ENOSPC. */
static void test_full_disk(void **state)
{
    (void)state;
    struct disk d = {0};
    struct rlimit old, small = {.rlim_cur = 30000};
    struct mf_error err = {0};
    uint64_t changes, n = 1;
    open_disk(&d, 1 << 20, 4096, 0);
    d.st->compress = false;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    while (write_txn(d.s, n, 3, 500, &err) == 0) {
        n++;
        assert_in_range(n, 1, 100);
    }
    assert_string_equal(err.code, "MFDISK");
    assert_int_equal(err.cls, MF_RETRY);
    assert_non_null(strstr(err.hint, "Make room"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_txn(d.s, n, 3, 500, &err), -1);
    }
    assert_int_equal(read_all(d.s, 0, &changes, &err), n - 1);
    setrlimit(RLIMIT_FSIZE, &old);
    must_write(d.s, n, n + 20, 3, 500);
    must_sync(d.s);
    assert_int_equal(read_all(d.s, 0, &changes, &err), n + 20);
    close_disk(&d);
    open_disk(&d, 1 << 20, 4096, 0);
    assert_int_equal(tail_of(d.s), n + 20);
    close_disk(&d);
    remove_dir(d.dir);
}

/* Each fault point fails the 1st, 2nd, n-th time it is met, until one run meets it no more. */
static void sweep(const char *point)
{
    int hits = 0;
    for (int nth = 1;; nth++) {
        struct disk d = {0};
        char spec[64];
        struct mf_error err = {0};
        struct mf_position p;
        uint64_t changes;
        int failures = 0;
        snprintf(spec, sizeof(spec), "%s:%d=error", point, nth);
        open_disk(&d, 1 << 14, 2048, 0);
        d.st->compress = false;
        assert_mf_ok(mf_fault_arm(spec, &err), &err);
        for (uint64_t n = 1; n <= 40;) {
            if (write_txn(d.s, n, n % 7 == 0 ? 30 : 2, 300, &err) < 0) {
                failures++;
                continue;
            }
            while (n % 4 == 0 && mf_spool_sync(d.s, &p, &err) < 0) {
                failures++;
            }
            n++;
        }
        mf_fault_arm(NULL, &err);
        assert_int_equal(read_all(d.s, 0, &changes, &err), 40);
        close_disk(&d);
        open_disk(&d, 1 << 14, 2048, 0);
        assert_int_equal(tail_of(d.s), 40);
        assert_int_equal(read_all(d.s, 0, &changes, &err), 40);
        close_disk(&d);
        remove_dir(d.dir);
        assert_in_range(failures, 0, 1);
        if (failures == 0) {
            break;
        }
        hits++;
    }
    assert_true(hits > 2);
}

static void test_failing_calls(void **state)
{
    (void)state;
    sweep("spool.append");
    sweep("spool.roll");
    sweep("spool.sync");
    sweep("spool.synced");
}

/* A transaction larger than all else, then what is applied is released: the disk is bounded, and room comes back. */
static void test_budget(void **state)
{
    (void)state;
    struct disk d = {0};
    struct mf_error err = {0};
    struct mf_spool_stats stats;
    struct mf_position p;
    uint64_t released = 0, waits = 0, most = 0;
    open_disk(&d, 1 << 20, 4096, 1 << 20);
    d.st->compress = false;
    for (uint64_t n = 1; n <= 2000; n++) {
        while (!mf_spool_has_room(d.s)) {
            assert_true(released < n - 1);
            released += (n - 1 - released + 1) / 2;
            p = position_at(released * 10);
            must_sync(d.s); /* as capture does before it waits */
            assert_mf_ok(mf_spool_release(d.s, &p, &err), &err);
            waits++;
        }
        assert_mf_ok(write_txn(d.s, n, n == 1000 ? 3000 : 4, 1000, &err), &err);
        mf_spool_stats(d.s, &stats);
        most = stats.bytes_on_disk > most && n != 1000 ? stats.bytes_on_disk : most;
    }
    assert_true(waits > 5);
    assert_true(most < (uint64_t)5 << 20); /* the large one is 3 MB; without it it stays near the budget */
    mf_spool_stats(d.s, &stats);
    assert_true(stats.bytes_on_disk < (uint64_t)3 << 19);
    close_disk(&d);
    remove_dir(d.dir);
}

/* ---- two threads ---- */

enum { LIVE_TXNS = 20000 };

static void *write_live(void *arg)
{
    struct disk *d = arg;
    for (uint64_t n = 1; n <= LIVE_TXNS; n++) {
        must_write(d->s, n, n, n % 1000 == 0 ? 200 : 2, 60);
        if (n % 50 == 0) {
            must_sync(d->s);
        }
    }
    return NULL;
}

static void test_reader_beside_the_writer(void **state)
{
    (void)state;
    struct disk d = {0};
    struct mf_error err = {0};
    struct mf_spool_reader *r;
    struct mf_record rec;
    struct mf_position none = {0};
    pthread_t writer;
    open_disk(&d, 1 << 18, 4096, 0);
    assert_mf_ok(mf_spool_reader_open(d.s, &none, &r, &err), &err);
    pthread_create(&writer, NULL, write_live, &d);
    for (uint64_t n = 1; n <= LIVE_TXNS;) {
        assert_mf_ok(mf_spool_read(r, 10000, &rec, &err), &err);
        assert_int_not_equal(rec.kind, MF_RECORD_NONE); /* woken, not timed out */
        if (rec.kind == MF_RECORD_COMMIT) {
            assert_int_equal(rec.head.txn, n);
            if (n % 500 == 0) {
                assert_mf_ok(mf_spool_release(d.s, &rec.position, &err), &err);
            }
            n++;
        }
    }
    pthread_join(writer, NULL);
    mf_spool_reader_close(r);
    close_disk(&d);
    remove_dir(d.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_failure_at_every_byte),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_damage_in_an_old_segment_is_found_by_the_reader),
        cmocka_unit_test(test_missing_segments),
        cmocka_unit_test(test_a_spool_has_one_owner),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_failing_calls),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_reader_beside_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
