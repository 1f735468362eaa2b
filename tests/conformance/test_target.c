/* Schema, windows, repair, quarantine. */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/str.h"

struct target {
    struct mf_applier *a;
    struct mf_arena arena;
    struct mf_window_result result;
    struct conf_batch b;
    uint64_t at;
};

static void open_target(struct conf *C, struct target *t)
{
    memset(t, 0, sizeof *t);
    conf_schema(C);
    mf_arena_init(&t->arena, 1 << 20);
    t->result.arena = &t->arena;
    t->at = 1000;
    OK(C->tgt->applier_open(C->db[MF_TARGET], &C->forward, &t->a, &C->err));
}

static void close_target(struct conf *C, struct target *t)
{
    C->tgt->applier_close(t->a);
    mf_arena_free(&t->arena);
}

static struct mf_position at(uint64_t order)
{
    struct mf_position p = {.order = order};
    snprintf(p.token, sizeof p.token, "0/%llX", (unsigned long long)order);
    return p;
}

static uint64_t checkpoint(struct conf *C)
{
    struct mf_position p = {0};
    OK(C->tgt->checkpoint(C->db[MF_TARGET], &C->forward, &p, &C->err));
    return p.order;
}

/* One window with the batch built so far. Errors of any step end it. */
static int window(struct conf *C, struct target *t, const struct mf_window_mode *mode)
{
    struct mf_position p = at(++t->at);
    t->result.nmissing = 0;
    t->result.cap = 0;
    t->result.quarantined = t->result.diverged = t->result.ntold = 0;
    int rc = C->tgt->window_begin(t->a, &p, mode, &C->err);
    if (rc == 0) {
        rc = C->tgt->window_batch(t->a, &t->b.batch, &t->result, &C->err);
    }
    if (rc == 0) {
        rc = C->tgt->window_commit(t->a, &C->err);
    }
    if (rc) {
        struct mf_error keep = C->err;
        C->tgt->window_abort(t->a);
        C->err = keep;
        t->at--;
    }
    return rc;
}

static const struct mf_window_mode strict = {0}, fuzzy = {.fuzzy = true}, careful = {.careful = true},
                                   keep = {.careful = true, .keep_rejected = true},
                                   heal = {.careful = true, .heal = true};

static void schema_stages_can_be_repeated(void **state)
{
    struct conf *C = *state;
    conf_schema(C);
    conf_schema(C);
    WRITE(MF_TARGET, "u", "1", "a");
    bool waits;
    struct conf_tx *x = F->begin(MF_TARGET);
    assert_int_equal(F->insert(x, "u", 2, V("2", "a"), &waits), -1); /* the unique constraint stands */
}

static void a_window_is_one_transaction_with_its_checkpoint(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    assert_int_equal(checkpoint(C), 0);
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("1", "one", "b1"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("2", "two", NULL));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("3", "", "b3"));
    OK(window(C, &t, &strict));
    assert_int_equal(checkpoint(C), 1001);
    conf_expect(MF_TARGET, "t", "1|one|b1\n2|two|\\N\n3||b3\n");
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_DELETE, V("1", ".", "."), NULL);
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("2", ".", "."), V("2", "zwei", "."));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("3", ".", "."), V("33", NULL, "."));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("1", "again", "b"));
    OK(window(C, &t, &strict));
    conf_expect(MF_TARGET, "t", "1|again|b\n2|zwei|\\N\n33|\\N|b3\n");
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_REPLACE, NULL, V("2", "whole", "new"));
    OK(window(C, &t, &strict));
    conf_expect(MF_TARGET, "t", "1|again|b\n2|whole|new\n33|\\N|b3\n");
    struct mf_position p = at(5000);
    OK(C->tgt->window_begin(t.a, &p, &strict, &C->err));
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_DELETE, V("1", ".", "."), NULL);
    OK(C->tgt->window_batch(t.a, &t.b.batch, &t.result, &C->err));
    C->tgt->window_abort(t.a);
    assert_int_equal(checkpoint(C), 1003);
    conf_expect(MF_TARGET, "t", "1|again|b\n2|whole|new\n33|\\N|b3\n");
    close_target(C, &t);
}

static void an_applier_that_is_closed_leaves_nothing(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    struct mf_position p = at(5000);
    OK(C->tgt->window_begin(t.a, &p, &strict, &C->err));
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("1", "x", NULL));
    OK(C->tgt->window_batch(t.a, &t.b.batch, &t.result, &C->err));
    close_target(C, &t);
    assert_int_equal(checkpoint(C), 0);
    conf_expect(MF_TARGET, "t", "");
}

static void strictly_every_change_must_find_its_row(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "t", "5", "there", NULL);
    for (int i = 0; i < 4; i++) {
        const struct mf_window_mode *modes[] = {&strict, &careful};
        for (int m = 0; m < 2; m++) {
            conf_batch_start(&t.b, conf_there(C, "t"));
            if (i == 0) {
                conf_batch_add(&t.b, MF_ROW_DELETE, V("1", ".", "."), NULL);
            } else if (i == 1) {
                conf_batch_add(&t.b, MF_ROW_UPDATE, V("1", ".", "."), V("1", "x", "."));
            } else if (i == 2) {
                conf_batch_add(&t.b, MF_ROW_REPLACE, NULL, V("1", "x", "y"));
            } else {
                conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("5", "x", "y"));
            }
            assert_int_equal(window(C, &t, modes[m]), -1);
            if (i == 3 && m == 0) {
                assert_true(C->err.cls == MF_CONFLICT || C->err.cls == MF_ROW);
            } else if (m == 0) {
                assert_int_equal(C->err.cls, MF_CONFLICT);
            } else {
                assert_int_equal(C->err.cls, MF_FATAL);
                assert_string_equal(C->err.code, "MFDIVERGED");
            }
        }
    }
    conf_expect(MF_TARGET, "t", "5|there|\\N\n");
    assert_int_equal(checkpoint(C), 0);
    close_target(C, &t);
}

static void fuzzily_rows_may_be_there_or_not(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "t", "1", "old", "kept");
    WRITE(MF_TARGET, "t", "2", "old", "b");
    WRITE(MF_TARGET, "t", "8", "old", "b");
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_DELETE, V("7", ".", "."), NULL);
    conf_batch_add(&t.b, MF_ROW_DELETE, V("8", ".", "."), NULL);
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("1", ".", "."), V("1", "new", "."));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("4", ".", "."), V("4", "whole", NULL));
    conf_batch_add(&t.b, MF_ROW_REPLACE, NULL, V("5", "replaced", "r"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("2", "over", "it"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("6", "fresh", "f"));
    OK(window(C, &t, &fuzzy));
    assert_int_equal(t.result.nmissing, 0);
    conf_expect(MF_TARGET, "t", "1|new|kept\n2|over|it\n4|whole|\\N\n5|replaced|r\n6|fresh|f\n");
    close_target(C, &t);
}

static bool missing(const struct target *t, const char *id)
{
    for (size_t i = 0; i < t->result.nmissing; i++) {
        const struct mf_value *v = &t->result.missing[i].key.values[0];
        if (v->len == strlen(id) && memcmp(v->data, id, v->len) == 0) {
            return true;
        }
    }
    return false;
}

/* One change, in a window of its own; it must be told as diverged (or not) and reported as missing (or not). */
static void healed(struct conf *C, struct target *t, const char *table, enum mf_rowop op, const char *const *old_row,
                   const char *const *new_row, const char *what, size_t nmissing)
{
    conf_batch_start(&t->b, conf_there(C, table));
    conf_batch_add(&t->b, op, old_row, new_row);
    OK(window(C, t, &heal));
    assert_int_equal(t->result.diverged, what != NULL);
    assert_int_equal(t->result.ntold, what != NULL);
    if (what) {
        assert_string_equal(t->result.told[0].what, what);
        assert_string_equal(t->result.told[0].table->name, table);
    }
    assert_int_equal(t->result.nmissing, nmissing);
}

static void what_somebody_else_wrote_is_mended_and_told(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "t", "5", "theirs", NULL);
    WRITE(MF_TARGET, "t", "6", "ours", "kept");
    WRITE(MF_TARGET, "t", "7", "theirs", NULL);
    static const char gone[] = "a delete found no row", none[] = "an update found no row";
    healed(C, &t, "t", MF_ROW_DELETE, V("1", ".", "."), NULL, gone, 0);
    healed(C, &t, "t", MF_ROW_UPDATE, V("2", ".", "."), V("2", "whole", "w"), none, 0);
    healed(C, &t, "t", MF_ROW_REPLACE, NULL, V("3", "whole", "w"), none, 0);
    healed(C, &t, "t", MF_ROW_UPDATE, V("4", ".", "."), V("4", "part", "."), none, 1);
    healed(C, &t, "t", MF_ROW_INSERT, NULL, V("5", "ours", "o"), "an insert found its key taken", 0);
    healed(C, &t, "t", MF_ROW_UPDATE, V("6", ".", "."), V("7", "ours", "."), "an update found its new key taken", 0);
    healed(C, &t, "t", MF_ROW_UPDATE, V("7", ".", "."), V("8", "ours", "."), NULL, 0);
    conf_expect(MF_TARGET, "t", "2|whole|w\n3|whole|w\n5|ours|o\n8|ours|kept\n");
    healed(C, &t, "w", MF_ROW_DELETE, V("1", "x"), NULL, gone, 0);
    healed(C, &t, "w", MF_ROW_INSERT, NULL, V("2", "y"), NULL, 0);
    conf_expect(MF_TARGET, "w", "2|y\n");
    close_target(C, &t);
}

/* The row under the old key may be a later one: its columns must not travel to the new key. */
static void fuzzily_what_cannot_be_built_is_reported(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "t", "2", "later row", "later value");
    conf_batch_start(&t.b, conf_there(C, "t"));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("1", ".", "."), V("1", "a", "."));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("2", ".", "."), V("22", "a", "."));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("3", ".", "."), V("33", "a", "."));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("4", ".", "."), V("44", "a", "whole"));
    OK(window(C, &t, &fuzzy));
    assert_int_equal(t.result.nmissing, 3);
    assert_true(missing(&t, "1") && missing(&t, "22") && missing(&t, "33"));
    assert_string_equal(t.result.missing[0].table->name, "t");
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    F->dump(MF_TARGET, "t", &b);
    assert_null(strstr(mf_buf_str(&b), "later value\n22")); /* never under the new key with the old one's value */
    assert_null(strstr(mf_buf_str(&b), "22|a|later value"));
    assert_non_null(strstr(mf_buf_str(&b), "44|a|whole\n"));
    close_target(C, &t);
}

static void a_unique_conflict_is_told_from_a_bad_row(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "u", "1", "a");
    WRITE(MF_TARGET, "u", "2", "b");
    conf_batch_start(&t.b, conf_there(C, "u"));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("1", "."), V("1", "b"));
    conf_batch_add(&t.b, MF_ROW_UPDATE, V("2", "."), V("2", "a"));
    assert_int_equal(window(C, &t, &strict), -1);
    assert_int_equal(C->err.cls, MF_CONFLICT);
    conf_expect(MF_TARGET, "u", "1|a\n2|b\n");
    F->narrow(MF_TARGET, "u", "v", 5);
    conf_batch_start(&t.b, conf_there(C, "u"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("3", "much too long"));
    assert_int_equal(window(C, &t, &strict), -1);
    assert_int_equal(C->err.cls, MF_ROW);
    close_target(C, &t);
}

static void carefully_a_bad_row_goes_to_quarantine(void **state)
{
    struct conf *C = *state;
    struct target t;
    int64_t id = 0;
    open_target(C, &t);
    F->narrow(MF_TARGET, "u", "v", 5);
    conf_batch_start(&t.b, conf_there(C, "u"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("3", "much too long"));
    assert_int_equal(window(C, &t, &careful), -1);
    assert_int_equal(C->err.cls, MF_ROW);
    OK(window(C, &t, &keep));
    assert_int_equal(t.result.quarantined, 1);
    conf_expect(MF_TARGET, "u", "");
    OK(C->tgt->quarantine_list(C->db[MF_TARGET], &C->forward, conf_take_quarantined, &id, &C->err));
    assert_true(id > 0);
    OK(C->tgt->quarantine_drop(C->db[MF_TARGET], &C->forward, id, &C->err));
    id = 0;
    OK(C->tgt->quarantine_list(C->db[MF_TARGET], &C->forward, conf_take_quarantined, &id, &C->err));
    assert_int_equal(id, 0);
    close_target(C, &t);
}

static void rows_without_a_key_are_counted(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    conf_batch_start(&t.b, conf_there(C, "w"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("1", NULL));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("2", "b"));
    t.b.changes[0].count = 3;
    OK(window(C, &t, &strict));
    conf_expect(MF_TARGET, "w", "1|\\N\n1|\\N\n1|\\N\n2|b\n");
    conf_batch_start(&t.b, conf_there(C, "w"));
    conf_batch_add(&t.b, MF_ROW_DELETE, V("1", NULL), NULL);
    t.b.changes[0].count = 2;
    OK(window(C, &t, &strict));
    conf_expect(MF_TARGET, "w", "1|\\N\n2|b\n");
    assert_int_equal(window(C, &t, &strict), -1); /* two more are not there */
    assert_int_equal(C->err.cls, MF_CONFLICT);
    conf_expect(MF_TARGET, "w", "1|\\N\n2|b\n");
    close_target(C, &t);
}

static void tables_are_truncated_together(void **state)
{
    struct conf *C = *state;
    struct target t;
    open_target(C, &t);
    WRITE(MF_TARGET, "t", "1", "a", "b");
    WRITE(MF_TARGET, "w", "1", "a");
    const struct mf_table *tables[] = {conf_there(C, "t"), conf_there(C, "w")};
    uint32_t rels[] = {1, 2};
    struct mf_change c = {
        .op = MF_TRUNCATE, .table = tables[0], .ntruncated = 2, .truncated = tables, .truncated_rels = rels};
    t.b.batch = (struct mf_batch){.truncate = &c};
    OK(window(C, &t, &strict));
    conf_expect(MF_TARGET, "t", "");
    conf_expect(MF_TARGET, "w", "");
    close_target(C, &t);
}

static void repair_writes_over_and_is_known_as_ours(void **state)
{
    struct conf *C = *state;
    struct target t;
    struct mf_position start;
    open_target(C, &t);
    struct mf_catalog there = {0};
    OK(C->src->catalog(C->db[MF_TARGET], NULL, &there, &C->err));
    OK(C->src->stream_prepare(C->db[MF_TARGET], &C->reverse, &there, &start, &C->err));
    WRITE(MF_TARGET, "u", "1", "wrong");
    WRITE(MF_TARGET, "u", "2", "extra");
    conf_batch_start(&t.b, conf_there(C, "u"));
    conf_batch_add(&t.b, MF_ROW_INSERT, NULL, V("9", "z"));
    OK(window(C, &t, &strict));
    uint64_t before = checkpoint(C);
    struct mf_value a[2] = {{MF_TEXT, 1, "1"}, {MF_TEXT, 5, "right"}},
                    b[2] = {{MF_TEXT, 1, "3"}, {MF_TEXT, 7, "missing"}},
                    g[2] = {{MF_TEXT, 1, "2"}, {.kind = MF_UNCHANGED}};
    struct mf_row rows[2] = {{2, a}, {2, b}}, gone[1] = {{2, g}};
    OK(C->tgt->repair_rows(t.a, conf_there(C, "u"), rows, 2, gone, 1, 1, &C->err));
    conf_expect(MF_TARGET, "u", "1|right\n3|missing\n9|z\n");
    assert_int_equal(checkpoint(C), before);
    OK(C->src->heartbeat(C->db[MF_TARGET], &C->reverse, "end", NULL, &C->err));
    struct conf_stream s;
    conf_stream_open(C, &s, &C->reverse, MF_TARGET, &start);
    conf_stream_until(&s, "end");
    const char *text = mf_buf_str(&s.text);
    const char *app = "I u 1|wrong\nC\nI u 2|extra\nC\n";
    assert_memory_equal(text, app, strlen(app));
    const char *window_mark = strstr(text, "checkpoint\nI u 9|z\nC\n");
    assert_non_null(window_mark); /* its first change */
    const char *repair = strstr(window_mark + 1, "checkpoint\n");
    assert_non_null(repair);
    assert_non_null(strstr(repair, "3|missing"));
    conf_stream_close(&s);
    mf_catalog_free(&there);
    close_target(C, &t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_target_tests[] = {
    T(schema_stages_can_be_repeated),
    T(a_window_is_one_transaction_with_its_checkpoint),
    T(an_applier_that_is_closed_leaves_nothing),
    T(strictly_every_change_must_find_its_row),
    T(what_somebody_else_wrote_is_mended_and_told),
    T(fuzzily_rows_may_be_there_or_not),
    T(fuzzily_what_cannot_be_built_is_reported),
    T(a_unique_conflict_is_told_from_a_bad_row),
    T(carefully_a_bad_row_goes_to_quarantine),
    T(rows_without_a_key_are_counted),
    T(tables_are_truncated_together),
    T(repair_writes_over_and_is_known_as_ours),
};
const size_t conf_target_count = sizeof conf_target_tests / sizeof conf_target_tests[0];
