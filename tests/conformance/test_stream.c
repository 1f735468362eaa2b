/* Change streams. */
#include "conformance.h"

#include "change/bookkeeping.h"

static struct mf_position prepare(struct conf *C)
{
    struct mf_position start = {0};
    conf_table(C, "t");
    OK(C->src->stream_prepare(C->db[MF_SOURCE], &C->forward, &C->tables, &start, &C->err));
    assert_true(start.order > 0);
    return start;
}

static struct mf_position mark(struct conf *C, const char *marker)
{
    struct mf_position after = {0};
    OK(C->src->heartbeat(C->db[MF_SOURCE], &C->forward, marker, &after, &C->err));
    return after;
}

static void every_kind_of_change(void **state)
{
    struct conf *C = *state;
    WRITE(MF_SOURCE, "t", "9", "before the stream", NULL);
    struct mf_position start = prepare(C);
    const char *big = conf_big('x');
    WRITE(MF_SOURCE, "t", "1", "one", big);
    struct conf_tx *x = F->begin(MF_SOURCE);
    assert_int_equal(F->update(x, "t", "id", "1", "a", "uno"), 0);
    assert_int_equal(F->update(x, "t", "id", "1", "id", "2"), 0);
    assert_int_equal(F->insert(x, "two", 3, V("1", "k", NULL), NULL), 0);
    assert_int_equal(F->update(x, "two", "k1", "1", "n", "n"), 0);
    assert_int_equal(F->update(x, "two", "k1", "1", "k2", "j"), 0);
    assert_int_equal(F->remove(x, "t", "id", "2"), 0);
    assert_int_equal(F->remove(x, "two", "k1", "1"), 0);
    F->commit(x);
    x = F->begin(MF_SOURCE);
    assert_int_equal(F->truncate(x, "t", "u"), 0);
    F->commit(x);
    mark(C, "end");
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    char want[512];
    const char *large = F->images == CONF_WHOLE ? "[20000]" : ".";
    bool all = F->images != CONF_CHANGED_ONLY;
    snprintf(want, sizeof want,
             "I t 1|one|[20000]\nC\n"
             "U t 1|uno|%s\nU t (1|.|.) 2|%s|%s\n"
             "I two 1|k|\\N\nU two 1|k|n\nU two (1|k|.) 1|j|%s\n"
             "D t 2|.|.\nD two 1|j|.\nC\n"
             "%s",
             large, all ? "uno" : ".", large, all ? "n" : ".",
             F->truncates_together ? "T t,u\nC\n" : "T t\nC\nT u\nC\n");
    conf_stream_expect(&s, want);
    conf_stream_close(&s);
}

static void rolled_back_is_not_there(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C);
    struct conf_tx *x = F->begin(MF_SOURCE);
    F->insert(x, "u", 2, V("1", "gone"), NULL);
    F->abort(x);
    x = F->begin(MF_SOURCE);
    F->insert(x, "u", 2, V("2", "kept"), NULL);
    F->savepoint(x);
    F->insert(x, "u", 2, V("3", "gone"), NULL);
    F->rollback_to(x);
    F->insert(x, "u", 2, V("4", "kept too"), NULL);
    F->commit(x);
    mark(C, "end");
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    conf_stream_expect(&s, "I u 2|kept\nI u 4|kept too\nC\n");
    conf_stream_close(&s);
}

static void resumes_from_what_it_is_asked_and_never_before_the_acknowledged(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C), again = {0};
    struct conf_stream s;
    WRITE(MF_SOURCE, "u", "1", "a");
    mark(C, "one");
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "one");
    conf_stream_expect(&s, "I u 1|a\nC\n");
    struct mf_position one = s.last;
    conf_stream_close(&s);
    WRITE(MF_SOURCE, "u", "2", "b");
    mark(C, "two");
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start); /* nothing was acknowledged: all again */
    conf_stream_until(&s, "two");
    conf_stream_expect(&s, "I u 1|a\nC\nI u 2|b\nC\n");
    conf_stream_close(&s);
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &one);
    conf_stream_until(&s, "two");
    conf_stream_expect(&s, "I u 2|b\nC\n");
    OK(C->src->stream_ack(s.st, &s.last, &C->err));
    struct mf_position acked = s.last;
    conf_stream_close(&s);
    for (int i = 0; i < 100 && again.order < acked.order; i++) { /* an acknowledgement may take a moment */
        OK(C->src->stream_prepare(C->db[MF_SOURCE], &C->forward, &C->tables, &again, &C->err));
    }
    assert_true(again.order >= acked.order);
    WRITE(MF_SOURCE, "u", "3", "c");
    mark(C, "three");
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &again);
    conf_stream_until(&s, "three");
    conf_stream_expect(&s, "I u 3|c\nC\n");
    conf_stream_close(&s);
}

static void tables_without_a_key_send_whole_old_rows(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C);
    struct conf_tx *x = F->begin(MF_SOURCE);
    F->insert(x, "w", 2, V("1", "x"), NULL);
    F->insert(x, "w", 2, V("1", "x"), NULL);
    F->commit(x);
    x = F->begin(MF_SOURCE);
    assert_int_equal(F->update(x, "w", "a", "1", "b", "y"), 0);
    F->commit(x);
    x = F->begin(MF_SOURCE);
    assert_int_equal(F->remove(x, "w", "b", "y"), 0);
    F->commit(x);
    mark(C, "end");
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    conf_stream_expect(&s, "I w 1|x\nI w 1|x\nC\nU w (1|x) 1|y\nU w (1|x) 1|y\nC\nD w 1|y\nD w 1|y\nC\n");
    conf_stream_close(&s);
}

static void large_transactions_come_whole_whatever_happens_in_them(void **state)
{
    struct conf *C = *state;
    F->stream_large(MF_SOURCE, true);
    struct mf_position start = prepare(C);
    struct mf_buf want = {.max = 1 << 20};
    struct conf_tx *x = F->begin(MF_SOURCE), *y = F->begin(MF_SOURCE);
    char id[16];
    const char *big = conf_big('q');
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "%d", i);
        F->insert(x, "t", 3, V(id, "x", big), NULL);
        mf_buf_printf(&want, "I t %d|x|[20000]\n", i);
        if (i == 30) {
            F->savepoint(x);
        }
        snprintf(id, sizeof id, "%d", 1000 + i);
        F->insert(y, "t", 3, V(id, "y", big), NULL);
    }
    F->rollback_to(x);
    F->abort(y);
    F->commit(x);
    mark(C, "end");
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    want.len = (size_t)(strstr(want.data, "I t 31|") - want.data);
    want.data[want.len] = 0;
    mf_buf_puts(&want, "C\n");
    conf_stream_expect(&s, mf_buf_str(&want));
    mf_buf_free(&want);
    conf_stream_close(&s);
    F->stream_large(MF_SOURCE, false);
}

static void interleaved_transactions_come_in_commit_order(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C);
    struct conf_tx *x = F->begin(MF_SOURCE), *y = F->begin(MF_SOURCE);
    F->insert(x, "u", 2, V("1", "x"), NULL);
    F->insert(y, "u", 2, V("2", "y"), NULL);
    F->insert(x, "u", 2, V("3", "x too"), NULL);
    F->commit(y);
    F->commit(x);
    mark(C, "end");
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "end");
    conf_stream_expect(&s, "I u 2|y\nC\nI u 1|x\nI u 3|x too\nC\n");
    conf_stream_close(&s);
}

static void a_heartbeat_is_after_what_returned_before_it(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C), before = {0}, now = {0};
    WRITE(MF_SOURCE, "u", "1", "a");
    OK(C->src->position(C->db[MF_SOURCE], &before, &C->err));
    assert_true(before.order > start.order);
    struct mf_position after = mark(C, "m");
    assert_true(after.order > before.order || after.order >= start.order);
    OK(C->src->position(C->db[MF_SOURCE], &now, &C->err));
    assert_true(now.order >= after.order || C->src->position != NULL);
    struct conf_stream s;
    conf_stream_open(C, &s, &C->forward, MF_SOURCE, &start);
    conf_stream_until(&s, "m");
    assert_true(s.last.order >= after.order || s.last.order > before.order);
    for (int i = 0; s.last.order < after.order; i++) { /* the stream reaches what the heartbeat promised */
        struct mf_item it;
        OK(C->src->stream_next(s.st, 10, &it, &C->err));
        if (it.kind == MF_ITEM_PROGRESS || it.kind == MF_ITEM_COMMIT) {
            s.last = it.position;
        }
        assert_true(i < 3000);
    }
    conf_stream_close(&s);
}

static void a_dropped_stream_is_lost_and_says_so(void **state)
{
    struct conf *C = *state;
    struct mf_position start = prepare(C);
    OK(C->src->stream_drop(C->db[MF_SOURCE], &C->forward, &C->err));
    OK(C->src->stream_drop(C->db[MF_SOURCE], &C->forward, &C->err));
    struct mf_stream *st = NULL;
    int rc = C->src->stream_open(C->db[MF_SOURCE], &C->forward, &start, false, &st, &C->err);
    for (int i = 0; rc == 0 && i < 300; i++) {
        struct mf_item it;
        rc = C->src->stream_next(st, 10, &it, &C->err);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(C->err.cls, MF_FATAL);
    assert_string_equal(C->err.code, "MFSLOT");
    assert_true(C->err.hint[0] != 0);
    C->src->stream_close(st);
}

/* Microseconds since 1970, before the commits that come after it. */
static void the_clock_goes_on_with_the_commits(void **state)
{
    struct conf *C = *state;
    struct mf_position start;
    struct mf_item it = {0};
    struct mf_stream *st;
    int64_t before = 0, after = 0, commit = 0;
    OK(C->src->clock(C->db[MF_SOURCE], &before, NULL, &C->err));
    conf_table(C, "t");
    OK(C->src->stream_prepare(C->db[MF_SOURCE], &C->forward, &C->tables, &start, &C->err));
    WRITE(MF_SOURCE, "t", "1", "one", "b");
    OK(C->src->clock(C->db[MF_SOURCE], &after, NULL, &C->err));
    OK(C->src->stream_open(C->db[MF_SOURCE], &C->forward, &start, false, &st, &C->err));
    for (int i = 0; i < 60000 && !commit; i++) {
        OK(C->src->stream_next(st, 100, &it, &C->err));
        commit = it.kind == MF_ITEM_COMMIT ? it.commit_time_us : 0;
    }
    C->src->stream_close(st);
    /* A log may tell the second only, in which the statement began. */
    assert_true(before > 1600000000 * INT64_C(1000000));
    assert_true(commit >= before - 2000000 && commit <= after);
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_stream_tests[] = {
    T(the_clock_goes_on_with_the_commits),
    T(every_kind_of_change),
    T(rolled_back_is_not_there),
    T(resumes_from_what_it_is_asked_and_never_before_the_acknowledged),
    T(tables_without_a_key_send_whole_old_rows),
    T(large_transactions_come_whole_whatever_happens_in_them),
    T(interleaved_transactions_come_in_commit_order),
    T(a_heartbeat_is_after_what_returned_before_it),
    T(a_dropped_stream_is_lost_and_says_so),
};
const size_t conf_stream_count = sizeof conf_stream_tests / sizeof conf_stream_tests[0];
