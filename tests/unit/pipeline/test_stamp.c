/* Stamps: the rule by itself; then capture, which gives them, with a source whose clock is set back and a spool that loses what it had not made durable. */
#include "mf_test.h"

#include <string.h>

#include "base/clock.h"
#include "connector/memory/memory.h"
#include "pipeline/capture.h"

static const struct mf_pipe_id id = {.migration = "m", .direction = MF_FORWARD};

static void test_next(void **state)
{
    (void)state;
    struct mf_error err;
    int64_t s;
    assert_mf_ok(mf_stamp_next(100, 500, &s, &err), &err);
    assert_int_equal(s, 500);
    assert_mf_ok(mf_stamp_next(500, 500, &s, &err), &err);
    assert_int_equal(s, 501);
    assert_mf_ok(mf_stamp_next(500, 20, &s, &err), &err); /* its clock was set back */
    assert_int_equal(s, 501);
    assert_mf_ok(mf_stamp_next(500, INT64_MIN, &s, &err), &err);
    assert_int_equal(s, 501);
    assert_mf_ok(mf_stamp_next(500, INT64_MAX, &s, &err), &err); /* no clock says that */
    assert_int_equal(s, 501);
    assert_mf_fails(mf_stamp_next(INT64_MAX - 1, 500, &s, &err), &err, MF_FATAL, "impossible stamp");
    assert_mf_fails(mf_stamp_next(-5, 500, &s, &err), &err, MF_FATAL, "impossible stamp");
    assert_int_equal(s, 501);
}

#define MINUTE (60 * MF_US_PER_SEC)

static void test_a_time_to_come_is_not_believed(void **state)
{
    (void)state;
    struct mf_state *st = NULL;
    struct mf_error err;
    int64_t met = 0, now = mf_wall_us(), at;
    assert_mf_ok(mf_state_open(NULL, &st, &err), &err);
    assert_int_equal(mf_stamp_met(st, MF_FORWARD), 0);
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, now - 5, &met, &at, &err), &err);
    assert_int_equal(at, now - 5);
    assert_true(met >= now && met <= mf_wall_us());
    assert_int_equal(mf_stamp_met(st, MF_FORWARD), met); /* before anything is judged by it */
    int64_t was = met;
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, met + MINUTE, &met, &at, &err), &err); /* clocks may differ by so much */
    assert_int_equal(at, was + MINUTE);
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, now + 100000 * MINUTE, &met, &at, &err), &err);
    assert_int_equal(at, met);
    assert_true(met <= mf_wall_us());
    assert_int_equal(mf_stamp_met(st, MF_REVERSE), 0);
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, INT64_MAX, &met, &at, &err), &err);
    assert_int_equal(at, met);
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, INT64_MIN, &met, &at, &err), &err);
    assert_int_equal(at, 0);
    /* This machine's clock is set back: what it said before goes on to count. */
    met = mf_wall_us() + 100 * MINUTE;
    was = met;
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, was + MINUTE, &met, &at, &err), &err);
    assert_int_equal(at, was + MINUTE);
    assert_mf_ok(mf_stamp_time(st, MF_FORWARD, was + MINUTE + 1, &met, &at, &err), &err);
    assert_int_equal(at, was);
    assert_int_equal(met, was);
    mf_state_close(st);
}

static void test_floor(void **state)
{
    (void)state;
    struct mf_state *st = NULL;
    struct mf_error err;
    assert_mf_ok(mf_state_open(NULL, &st, &err), &err);
    assert_int_equal(mf_stamp_floor(st, MF_FORWARD), 0);
    assert_mf_ok(mf_state_set_int(st, mf_stamp_key(MF_FORWARD), 70, &err), &err);
    assert_int_equal(mf_stamp_floor(st, MF_FORWARD), 70);
    assert_mf_ok(mf_stamp_raise(st, MF_FORWARD, 60, &err), &err);
    assert_int_equal(mf_stamp_floor(st, MF_FORWARD), 70);
    assert_mf_ok(mf_stamp_raise(st, MF_FORWARD, 90, &err), &err);
    assert_mf_ok(mf_stamp_raise(st, MF_FORWARD, 80, &err), &err);
    assert_int_equal(mf_stamp_floor(st, MF_FORWARD), 90);
    assert_int_equal(mf_stamp_floor(st, MF_REVERSE), 0);
    mf_state_close(st);
}

/* ---- capture ---- */

struct run {
    struct mf_mem_server *server;
    struct mf_db *db;
    struct mf_state *state;
    struct mf_spool_storage *storage;
    struct mf_spool *spool;
    struct mf_capture *capture;
    struct mf_position start;
    int64_t begin;
};

static void open_capture(struct run *r)
{
    struct mf_error err;
    assert_mf_ok(mf_spool_open(r->storage, 0, &r->spool, &err), &err);
    struct mf_capture_options o = {.db = r->db,
                                   .pipe = id,
                                   .spool = r->spool,
                                   .state = r->state,
                                   .start = r->start,
                                   .transaction_memory = 1u << 20};
    assert_mf_ok(mf_capture_new(&o, &r->capture, &err), &err);
}

static void close_capture(struct run *r)
{
    mf_capture_free(r->capture);
    mf_spool_close(r->spool);
}

static void begin_run(struct run *r)
{
    static const struct mf_mem_column columns[] = {{.name = "id", .in_key = true}, {.name = "v", .text = true}};
    struct mf_catalog tables = {0};
    struct mf_error err;
    struct mf_db_options o = {.url = "mem://src", .side = MF_SOURCE};
    *r = (struct run){.server = mf_mem_server_new("src"), .storage = mf_spool_memory()};
    assert_mf_ok(mf_mem_create_table(r->server, "public", "t", columns, 2, &err), &err);
    assert_mf_ok(mf_state_open(NULL, &r->state, &err), &err);
    assert_mf_ok(mf_connector_memory.open(&o, &r->db, &err), &err);
    assert_mf_ok(mf_connector_memory.target->prepare(r->db, &id, &err), &err);
    assert_mf_ok(mf_connector_memory.source->catalog(r->db, NULL, &tables, &err), &err);
    assert_mf_ok(mf_connector_memory.source->clock(r->db, &r->begin, NULL, &err), &err);
    assert_mf_ok(mf_state_set_int(r->state, mf_stamp_key(MF_FORWARD), r->begin, &err), &err);
    assert_mf_ok(mf_connector_memory.source->stream_prepare(r->db, &id, &tables, &r->start, &err), &err);
    mf_catalog_free(&tables);
    open_capture(r);
}

static void end_run(struct run *r)
{
    close_capture(r);
    mf_connector_memory.close(r->db);
    mf_state_close(r->state);
    mf_spool_storage_free(r->storage);
    mf_mem_server_free(r->server);
}

static void commit_rows(struct run *r, int from, int n)
{
    struct mf_error err;
    struct mf_mem_txn *t = mf_mem_begin(r->server);
    for (int i = from; i < from + n; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "%d", i);
        struct mf_value v[2] = {{MF_TEXT, (uint32_t)len, key}, {MF_TEXT, 1, "x"}};
        assert_mf_ok(mf_mem_insert(t, "public", "t", &(struct mf_row){2, v}, &err), &err);
    }
    assert_mf_ok(mf_mem_commit(t, NULL, &err), &err);
}

static void capture_all(struct run *r)
{
    struct mf_error err = {0};
    for (int i = 0; i < 200; i++) {
        enum mf_step s = mf_capture_step(r->capture, 0, &err);
        assert_true(s != MF_STEP_FAILED);
    }
}

/* The stamps of all changes, which must grow; how many there are. */
static size_t read_stamps(struct run *r, int64_t *ret, size_t max)
{
    struct mf_spool_reader *reader;
    struct mf_error err;
    struct mf_record rec = {0};
    size_t n = 0;
    int64_t last = r->begin;
    assert_mf_ok(mf_spool_reader_open(r->spool, &r->start, &reader, &err), &err);
    for (;;) {
        assert_mf_ok(mf_spool_read(reader, 0, &rec, &err), &err);
        if (rec.kind == MF_RECORD_NONE) {
            break;
        }
        if (rec.kind == MF_RECORD_CHANGE) {
            assert_true(n < max && rec.change.stamp > last);
            ret[n++] = last = rec.change.stamp;
        } else if (rec.kind == MF_RECORD_COMMIT) {
            assert_true(mf_spool_reader_stamp(reader) > last); /* one is left for what belongs to the position */
            last = mf_spool_reader_stamp(reader);
        }
    }
    mf_spool_reader_close(reader);
    assert_int_equal(last, n ? mf_spool_stamp(r->spool) : last);
    return n;
}

static void test_every_change_grows_when_the_clock_is_set_back(void **state)
{
    (void)state;
    struct run r;
    int64_t s[40];
    struct mf_capture_stats stats;
    begin_run(&r);
    commit_rows(&r, 1, 5);
    mf_mem_knobs(r.server)->clock_us = 9000000;
    commit_rows(&r, 11, 1);
    mf_mem_knobs(r.server)->clock_us = -60000000;
    commit_rows(&r, 21, 10);
    commit_rows(&r, 41, 1);
    capture_all(&r);
    assert_int_equal(read_stamps(&r, s, 40), 17);
    assert_true(s[5] - s[4] > 8000000); /* the time of the commit, where it is later */
    assert_true(s[16] - s[5] < 100);
    mf_capture_stats(r.capture, &stats);
    assert_true(stats.stamp_ahead_us > 60000000);
    mf_mem_knobs(r.server)->clock_us = 20000000;
    commit_rows(&r, 51, 1);
    capture_all(&r);
    mf_capture_stats(r.capture, &stats);
    assert_int_equal(stats.stamp_ahead_us, 0);
    end_run(&r);
}

/* What a crash takes from the spool comes again with the stamps it had, whatever the clock says by then. */
static void test_the_same_after_a_crash(void **state)
{
    (void)state;
    struct run r;
    int64_t before[40], after[40];
    for (int durable = 0; durable < 2; durable++) {
        begin_run(&r);
        commit_rows(&r, 1, 3);
        if (durable) {
            capture_all(&r);
        }
        mf_mem_knobs(r.server)->clock_us = -5000000;
        commit_rows(&r, 11, 4);
        commit_rows(&r, 21, 2);
        capture_all(&r);
        size_t n = read_stamps(&r, before, 40);
        close_capture(&r);
        mf_spool_memory_crash(r.storage);
        mf_mem_knobs(r.server)->clock_us = 5000000;
        open_capture(&r);
        capture_all(&r);
        assert_int_equal(read_stamps(&r, after, 40), n);
        assert_memory_equal(before, after, n * sizeof *before);
        end_run(&r);
    }
}

/* Of a source that may tell of a transaction otherwise the second time: none of its stamps is one that was given, though a transaction has fewer changes. */
static void test_none_given_twice_where_it_is_told_otherwise(void **state)
{
    (void)state;
    struct run r;
    int64_t before[40], after[40];
    begin_run(&r);
    struct mf_connector retelling = *r.db->connector;
    retelling.retells = true;
    r.db->connector = &retelling;
    commit_rows(&r, 1, 9);
    commit_rows(&r, 11, 1);
    capture_all(&r);
    size_t n = read_stamps(&r, before, 40);
    assert_int_equal(n, 10);
    int64_t reserved = mf_stamp_reserved(r.state, MF_FORWARD);
    assert_true(reserved > before[n - 1] && reserved < before[n - 1] + 3000000);
    close_capture(&r);
    mf_spool_memory_crash(r.storage); /* whatever that took */
    open_capture(&r);
    commit_rows(&r, 21, 1);
    capture_all(&r);
    assert_int_equal(read_stamps(&r, after, 40), n + 1);
    assert_true(after[n] > reserved);
    end_run(&r);
}

/* A source that says a time years from now: what comes behind it is not years ahead. And when a crash takes that from the spool, it comes again with stamps that are no
 * smaller, though this machine's clock was set back meanwhile; the state is what tells. */
static void test_a_source_that_lies_about_time(void **state)
{
    (void)state;
    struct run r;
    struct mf_error err;
    struct mf_capture_stats stats;
    int64_t before[40], after[40];
    begin_run(&r);
    mf_mem_knobs(r.server)->by_time = true;
    commit_rows(&r, 1, 2);
    capture_all(&r);
    assert_mf_ok(mf_state_set_int(r.state, "stamp.met.forward", mf_wall_us() + 10 * MINUTE, &err),
                 &err); /* a clock that went ahead, until it is set back */
    close_capture(&r);
    open_capture(&r);
    mf_mem_knobs(r.server)->clock_us = 500000 * MINUTE;
    commit_rows(&r, 11, 3);
    mf_mem_knobs(r.server)->clock_us = 0;
    commit_rows(&r, 21, 2);
    mf_mem_knobs(r.server)->clock_us = 600000 * MINUTE;
    commit_rows(&r, 31, 2);
    capture_all(&r);
    mf_capture_stats(r.capture, &stats);
    assert_true(stats.time_beyond_us > 500000 * MINUTE);
    assert_int_equal(read_stamps(&r, before, 40), 9);
    assert_true(before[1] < mf_wall_us() + MINUTE && before[8] < mf_wall_us() + 11 * MINUTE);
    close_capture(&r);
    mf_spool_memory_crash(r.storage);
    open_capture(&r);
    capture_all(&r);
    assert_int_equal(read_stamps(&r, after, 40), 9);
    for (int i = 0; i < 9; i++) {
        assert_true(after[i] >= before[i]);
    }
    end_run(&r);
}

static void test_the_right_to_write_raises_it(void **state)
{
    (void)state;
    struct run r;
    struct mf_error err;
    int64_t s[10];
    struct mf_epoch there = {.epoch = 1, .writer = "target"}, back = {.epoch = 2, .writer = "source", .open = true};
    const struct mf_traffic_ops *traffic = mf_connector_memory.traffic;
    begin_run(&r);
    commit_rows(&r, 1, 1);
    assert_mf_ok(traffic->epoch_write(r.db, &id, &there, &err), &err);
    capture_all(&r);
    assert_mf_ok(mf_stamp_raise(r.state, MF_FORWARD, r.begin + 77000000, &err), &err);
    assert_mf_ok(traffic->epoch_write(r.db, &id, &back, &err), &err);
    commit_rows(&r, 2, 1);
    capture_all(&r);
    assert_int_equal(read_stamps(&r, s, 10), 2);
    assert_true(s[0] < r.begin + 77000000);
    assert_int_equal(s[1], r.begin + 77000001);
    end_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_a_time_to_come_is_not_believed),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_every_change_grows_when_the_clock_is_set_back),
        cmocka_unit_test(test_the_same_after_a_crash),
        cmocka_unit_test(test_none_given_twice_where_it_is_told_otherwise),
        cmocka_unit_test(test_a_source_that_lies_about_time),
        cmocka_unit_test(test_the_right_to_write_raises_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
