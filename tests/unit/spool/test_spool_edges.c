/* What a crash or a small budget leaves, that random histories seldom meet. */
#include "mf_test.h"

#include "spool/storage.h"
#include "spool_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

/* The n-th transaction ends at position 10 n and has three inserts of 200 bytes. */
static void write_txns(struct mf_spool *s, uint64_t from, uint64_t to)
{
    struct mf_error err = {0};
    struct test_table table;
    struct mf_position p;
    struct mf_buf b;
    uint32_t rel;
    make_table(&table, 1, 2);
    mf_buf_init(&b, 1 << 20);
    for (uint64_t n = from; n <= to; n++) {
        struct mf_txn_head head = {.txn = n, .position = position_at(n * 10), .changes = 3};
        assert_mf_ok(mf_spool_relation(s, &table.t, &rel, &err), &err);
        assert_mf_ok(mf_spool_begin(s, &head, &err), &err);
        for (unsigned i = 0; i < 3; i++) {
            mf_buf_reset(&b);
            encode_insert(&b, rel, &table.t, n * 100 + i, 200);
            assert_mf_ok(mf_spool_write(s, b.data, b.len, &err), &err);
        }
        assert_mf_ok(mf_spool_end(s, &err), &err);
    }
    assert_mf_ok(mf_spool_sync(s, &p, &err), &err);
    mf_buf_free(&b);
}

struct disk {
    char dir[64];
    struct mf_spool_storage *st;
    struct mf_spool *s;
};

static void open_disk(struct disk *d, size_t segment)
{
    struct mf_error err = {0};
    d->st = mf_spool_files(d->dir, segment, &err);
    if (!d->st) {
        fail_msg("%s", err.text);
    }
    d->st->compress = false;
    d->st->block_bytes = 1 << 11;
    assert_mf_ok(mf_spool_open(d->st, 0, &d->s, &err), &err);
}

static void close_disk(struct disk *d)
{
    mf_spool_close(d->s);
    mf_spool_storage_free(d->st);
}

static uint64_t tail_of(struct mf_spool *s)
{
    struct mf_position p;
    mf_spool_tail(s, &p);
    return p.order / 10;
}

/* What files_create leaves when the process is killed before the segment's first block: an empty last file. */
static void add_empty_segment(const char *dir)
{
    char best[300] = "", path[400];
    struct stat sb;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (strstr(e->d_name, ".mfs") && strcmp(e->d_name, best) > 0) {
            snprintf(best, sizeof(best), "%s", e->d_name);
        }
    }
    assert_int_equal(fstatat(dirfd(d), best, &sb, 0), 0);
    closedir(d);
    snprintf(path, sizeof(path), "%s/%016" PRIx64 ".mfs", dir,
             (uint64_t)strtoull(best, NULL, 16) + (uint64_t)sb.st_size);
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* ... and the segment before has room again, because segments may be larger now. */
static void test_segment_without_its_first_block(void **state)
{
    (void)state;
    struct disk d = {.dir = "/tmp/spool-edges-XXXXXX"};
    assert_non_null(mkdtemp(d.dir));
    open_disk(&d, 1 << 14);
    write_txns(d.s, 1, 40);
    close_disk(&d);
    add_empty_segment(d.dir);
    open_disk(&d, 1 << 20);
    write_txns(d.s, 41, 45);
    close_disk(&d);
    open_disk(&d, 1 << 20);
    assert_int_equal(tail_of(d.s), 45);
    close_disk(&d);
    remove_dir(d.dir);
}

/* A budget bounds the segments too, down to the storage's own minimum. */
static void test_a_budget_is_used_up(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_spool *s;
    struct mf_spool_storage *st = mf_spool_memory();
    assert_mf_ok(mf_spool_open(st, 4000, &s, &err), &err);
    assert_true(mf_spool_has_room(s));
    write_txns(s, 1, 10);
    assert_false(mf_spool_has_room(s));
    mf_spool_want(s, true); /* what the reader waits for must come */
    assert_true(mf_spool_has_room(s));
    mf_spool_want(s, false);
    assert_false(mf_spool_has_room(s));
    struct mf_position p = position_at(90);
    assert_mf_ok(mf_spool_release(s, &p, &err), &err);
    assert_true(mf_spool_has_room(s));
    mf_spool_close(s);
    mf_spool_storage_free(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment_without_its_first_block),
        cmocka_unit_test(test_a_budget_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
