/* A process that writes a spool is killed at any moment, again and again, on one directory: what it had synced is there,
 * in order and whole, and the next one goes on from the tail. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "spool/storage.h"
#include "spool_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static char dir[64];

/* Transaction n has n % 40 changes (every 50th: 3,000, several segments) and ends at position n. */
static unsigned changes_of(uint64_t n)
{
    return n % 50 == 0 ? 3000 : (unsigned)(n % 40);
}

static int write_txn(struct mf_spool *s, uint64_t n, struct mf_error *err)
{
    struct test_table table;
    MF_CLEANUP_BUF struct mf_buf b;
    uint32_t rel;
    mf_buf_init(&b, 1 << 20);
    make_table(&table, (uint32_t)(n % 5), (unsigned)(n / 100 % 4));
    struct mf_txn_head head = {.txn = n, .position = position_at(n), .changes = changes_of(n)};
    if (mf_spool_relation(s, &table.t, &rel, err) < 0 || mf_spool_begin(s, &head, err) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < changes_of(n); i++) {
        mf_buf_reset(&b);
        encode_insert(&b, rel, &table.t, n + i, 20 + (n + i) % 100);
        if (mf_spool_write(s, b.data, b.len, err) < 0) {
            return -1;
        }
    }
    return mf_spool_end(s, err);
}

/* The child: goes on from the tail until it is killed; tells the position after each sync. */
static void write_until_killed(int out)
{
    struct mf_error err = {0};
    struct mf_spool *s;
    struct mf_position p;
    struct mf_spool_storage *st = mf_spool_files(dir, 1 << 17, &err);
    if (!st) {
        _exit(2);
    }
    st->block_bytes = 1 << 13;
    if (mf_spool_open(st, 0, &s, &err) < 0) {
        _exit(3);
    }
    mf_spool_tail(s, &p);
    for (uint64_t n = p.order + 1;; n++) {
        if (write_txn(s, n, &err) < 0) {
            _exit(4);
        }
        if (n % 3 == 0 && (mf_spool_sync(s, &p, &err) < 0 || write(out, &p.order, sizeof(p.order)) < 0)) {
            _exit(5);
        }
    }
}

/* Reads the last position told before the pipe ends; kills the child after `tells` of them. */
static uint64_t run_and_kill(unsigned tells, unsigned spin)
{
    int fds[2], status;
    uint64_t last = 0, told;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        write_until_killed(fds[1]);
    }
    close(fds[1]);
    for (unsigned i = 0; read(fds[0], &told, sizeof(told)) == (ssize_t)sizeof(told); i++) {
        last = told;
        if (i == tells) {
            for (volatile unsigned k = 0; k < spin; k++) { /* not always right after a sync */
            }
            kill(child, SIGKILL);
        }
    }
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

/* Everything from 1 to the tail, whole. */
static uint64_t check_all(void)
{
    struct mf_error err = {0};
    struct mf_spool *s;
    struct mf_spool_reader *r;
    struct mf_record rec;
    struct mf_position tail, none = {0};
    uint64_t n = 0;
    unsigned changes = 0;
    struct mf_spool_storage *st = mf_spool_files(dir, 1 << 17, &err);
    assert_non_null(st);
    assert_mf_ok(mf_spool_open(st, 0, &s, &err), &err);
    mf_spool_tail(s, &tail);
    assert_mf_ok(mf_spool_reader_open(s, &none, &r, &err), &err);
    for (;;) {
        assert_mf_ok(mf_spool_read(r, 0, &rec, &err), &err);
        if (rec.kind == MF_RECORD_NONE) {
            break;
        }
        if (rec.kind == MF_RECORD_BEGIN) {
            assert_int_equal(rec.head.txn, ++n);
            changes = 0;
        }
        changes += rec.kind == MF_RECORD_CHANGE;
        if (rec.kind == MF_RECORD_COMMIT) {
            assert_int_equal(changes, changes_of(n));
        }
    }
    assert_int_equal(n, tail.order);
    mf_spool_reader_close(r);
    mf_spool_close(s);
    mf_spool_storage_free(st);
    return n;
}

static void test_killed_again_and_again(void **state)
{
    (void)state;
    uint64_t rnd = 4711, acknowledged = 0;
    make_dir(dir, sizeof(dir), "spool-kill");
    for (int round = 0; round < 30; round++) {
        uint64_t told = run_and_kill((unsigned)random_below(&rnd, 40), (unsigned)random_below(&rnd, 300000));
        acknowledged = told > acknowledged ? told : acknowledged;
        uint64_t tail = check_all();
        if (tail < acknowledged) {
            fail_msg("round %d: the tail is %" PRIu64 ", but %" PRIu64 " was acknowledged", round, tail, acknowledged);
        }
    }
    assert_true(acknowledged > 500);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
