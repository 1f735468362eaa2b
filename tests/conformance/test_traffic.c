/* Gates, holds, epochs. */
#include "conformance.h"

#include "base/str.h"

static const struct mf_gate_options open_gate = {.lock_ms = 1000,
                                                 .total_ms = 60000,
                                                 .max_wait_ms = 60000,
                                                 .open = true},
                                    hasty = {.lock_ms = 1000, .total_ms = 60000, .max_wait_ms = 300, .open = true},
                                    closed_gate = {.lock_ms = 1000, .total_ms = 60000, .max_wait_ms = 60000};

static bool may_write(enum mf_side side, const char *id, bool *waits)
{
    struct conf_tx *x = F->begin(side);
    *waits = false;
    if (F->insert(x, "u", 2, V(id, id), waits)) {
        return false;
    }
    return F->commit(x) == 0;
}

static void install(struct conf *C, enum mf_side side, const struct mf_gate_options *o)
{
    struct mf_catalog tables = {0}; /* of that side */
    OK(C->src->catalog(C->db[side], NULL, &tables, &C->err));
    OK(C->traffic->gate_install(C->db[side], &C->forward, &tables, o, &C->err));
    OK(C->traffic->gate_install(C->db[side], &C->forward, &tables, o, &C->err));
    mf_catalog_free(&tables);
}

static struct mf_epoch epoch(struct conf *C, enum mf_side side)
{
    struct mf_epoch e = {0};
    OK(C->traffic->epoch_read(C->db[side], &C->forward, &e, &C->err));
    return e;
}

static void a_closed_gate_stops_applications_and_not_us(void **state)
{
    struct conf *C = *state;
    bool waits;
    conf_schema(C);
    assert_int_equal(epoch(C, MF_TARGET).epoch, 0);
    install(C, MF_TARGET, &closed_gate);
    assert_false(may_write(MF_TARGET, "1", &waits));
    assert_false(waits);
    struct mf_applier *a;
    struct conf_batch b;
    struct mf_position p = {.order = 5, .token = "0/5"};
    struct mf_window_mode strict = {0};
    struct mf_window_result result = {0};
    OK(C->tgt->applier_open(C->db[MF_TARGET], &C->forward, &a, &C->err));
    conf_batch_start(&b, conf_there(C, "u"));
    conf_batch_add(&b, MF_ROW_INSERT, NULL, V("2", "ours"));
    OK(C->tgt->window_begin(a, &p, &strict, &C->err));
    OK(C->tgt->window_batch(a, &b.batch, &result, &C->err));
    OK(C->tgt->window_commit(a, &C->err));
    C->tgt->applier_close(a);
    struct mf_epoch e = {.epoch = 3, .writer = "target", .open = true};
    OK(C->traffic->epoch_write(C->db[MF_TARGET], &C->forward, &e, &C->err));
    assert_true(may_write(MF_TARGET, "3", &waits));
    struct mf_epoch seen = epoch(C, MF_TARGET);
    assert_int_equal(seen.epoch, 3);
    assert_string_equal(seen.writer, "target");
    assert_true(seen.open);
    e = (struct mf_epoch){.epoch = 4, .writer = "source"};
    OK(C->traffic->epoch_write(C->db[MF_TARGET], &C->forward, &e, &C->err));
    assert_false(may_write(MF_TARGET, "4", &waits));
    OK(C->traffic->gate_remove(C->db[MF_TARGET], &C->forward, &closed_gate, &C->err));
    OK(C->traffic->gate_remove(C->db[MF_TARGET], &C->forward, &closed_gate, &C->err));
    assert_true(may_write(MF_TARGET, "5", &waits));
    conf_expect(MF_TARGET, "u", "2|ours\n3|3\n5|5\n");
}

static void a_hold_makes_writers_wait_and_lets_them_go(void **state)
{
    struct conf *C = *state;
    struct mf_hold *h;
    bool waits;
    install(C, MF_SOURCE, &open_gate);
    assert_true(may_write(MF_SOURCE, "1", &waits));
    OK(C->traffic->hold(C->db[MF_SOURCE], &C->forward, &open_gate, &h, &C->err));
    assert_false(may_write(MF_SOURCE, "2", &waits));
    assert_true(waits);
    C->traffic->hold_release(h);
    assert_true(may_write(MF_SOURCE, "3", &waits));
    C->traffic->hold_release(NULL);
    conf_expect(MF_SOURCE, "u", "1|1\n3|3\n");
    assert_int_equal(epoch(C, MF_SOURCE).epoch, 0);
}

static void a_transaction_in_flight_is_waited_for_and_then_the_hold_is_given_up(void **state)
{
    struct conf *C = *state;
    struct mf_hold *h = NULL;
    bool waits;
    install(C, MF_SOURCE, &open_gate);
    struct conf_tx *x = F->begin(MF_SOURCE);
    assert_int_equal(F->insert(x, "u", 2, V("1", "in flight"), NULL), 0);
    assert_int_equal(C->traffic->hold(C->db[MF_SOURCE], &C->forward, &hasty, &h, &C->err), -1);
    assert_int_equal(C->err.cls, MF_ABANDONED);
    assert_true(may_write(MF_SOURCE, "2", &waits)); /* writers go on */
    assert_int_equal(F->commit(x), 0);
    OK(C->traffic->hold(C->db[MF_SOURCE], &C->forward, &open_gate, &h, &C->err));
    C->traffic->hold_release(h);
    conf_expect(MF_SOURCE, "u", "1|in flight\n2|2\n");
}

static void deciding_closes_one_side_in_the_stream_too(void **state)
{
    struct conf *C = *state;
    struct mf_hold *h;
    struct mf_position start;
    bool waits;
    conf_table(C, "u");
    install(C, MF_SOURCE, &open_gate);
    OK(C->src->stream_prepare(C->db[MF_SOURCE], &C->forward, &C->tables, &start, &C->err));
    assert_true(may_write(MF_SOURCE, "1", &waits));
    OK(C->traffic->hold(C->db[MF_SOURCE], &C->forward, &open_gate, &h, &C->err));
    struct mf_epoch e = {.epoch = 7, .writer = "target", .open = false};
    OK(C->traffic->hold_decide(h, &e, &C->err));
    assert_false(may_write(MF_SOURCE, "2", &waits));
    assert_false(waits);
    assert_int_equal(epoch(C, MF_SOURCE).epoch, 7);
    assert_false(epoch(C, MF_SOURCE).open);
    e = (struct mf_epoch){.epoch = 8, .writer = "source", .open = true};
    OK(C->traffic->epoch_write(C->db[MF_SOURCE], &C->forward, &e, &C->err));
    assert_true(may_write(MF_SOURCE, "3", &waits));
    OK(C->src->heartbeat(C->db[MF_SOURCE], &C->forward, "end", NULL, &C->err));
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    conf_stream_expect(&s, "I u 1|1\nC\nepoch\nC\nepoch\nC\nI u 3|3\nC\n");
    conf_stream_close(&s);
}

/* The first to claim a migration keeps it; one process at a time runs it. */
static void a_migration_has_one_owner_and_one_run(void **state)
{
    struct conf *C = *state;
    char who[128];
    struct mf_run_lock *first, *second = NULL;
    OK(C->tgt->prepare(C->db[MF_TARGET], &C->forward, &C->err));
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, NULL, who, sizeof who, &C->err));
    assert_string_equal(who, "");
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, "one here /a b", who, sizeof who, &C->err));
    assert_string_equal(who, "one here /a b");
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, "two here /c", who, sizeof who, &C->err));
    assert_string_equal(who, "one here /a b");
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, "one there /a b", who, sizeof who, &C->err));
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, NULL, who, sizeof who, &C->err));
    assert_string_equal(who, "one there /a b");
    OK(C->traffic->run_lock(C->db[MF_TARGET], &C->forward, 0, &first, &C->err));
    OK(C->traffic->run_lock_check(first, &C->err));
    assert_int_equal(C->traffic->run_lock(C->db[MF_TARGET], &C->forward, 100, &second, &C->err), -1);
    assert_string_equal(C->err.code, "MFTWICE");
    C->traffic->run_lock_release(first);
    OK(C->traffic->run_lock(C->db[MF_TARGET], &C->forward, 60000, &second, &C->err));
    C->traffic->run_lock_release(second);
    C->traffic->run_lock_release(NULL);
    OK(C->traffic->cleanup(C->db[MF_TARGET], &C->forward, &C->err));
    OK(C->traffic->owner(C->db[MF_TARGET], &C->forward, NULL, who, sizeof who, &C->err));
    assert_string_equal(who, "");
}

static void an_epoch_is_never_replaced_by_an_older_one(void **state)
{
    struct conf *C = *state;
    struct mf_hold *h;
    conf_schema(C);
    install(C, MF_SOURCE, &open_gate);
    struct mf_epoch newer = {.epoch = 5, .writer = "source", .open = true}, older = {.epoch = 4, .writer = "target"};
    OK(C->traffic->epoch_write(C->db[MF_SOURCE], &C->forward, &newer, &C->err));
    OK(C->traffic->epoch_write(C->db[MF_SOURCE], &C->forward, &newer, &C->err)); /* the same again is nothing */
    assert_int_equal(C->traffic->epoch_write(C->db[MF_SOURCE], &C->forward, &older, &C->err), -1);
    assert_string_equal(C->err.code, "MFEPOCH");
    OK(C->traffic->hold(C->db[MF_SOURCE], &C->forward, &open_gate, &h, &C->err));
    assert_int_equal(C->traffic->hold_decide(h, &older, &C->err), -1);
    assert_string_equal(C->err.code, "MFEPOCH");
    OK(C->traffic->settle(C->db[MF_SOURCE], &C->forward, 60000, &C->err));
    assert_int_equal(epoch(C, MF_SOURCE).epoch, 5);
    assert_true(epoch(C, MF_SOURCE).open);
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_traffic_tests[] = {
    T(a_closed_gate_stops_applications_and_not_us),
    T(a_hold_makes_writers_wait_and_lets_them_go),
    T(a_transaction_in_flight_is_waited_for_and_then_the_hold_is_given_up),
    T(deciding_closes_one_side_in_the_stream_too),
    T(a_migration_has_one_owner_and_one_run),
    T(an_epoch_is_never_replaced_by_an_older_one),
};
const size_t conf_traffic_count = sizeof conf_traffic_tests / sizeof conf_traffic_tests[0];
