/* Loading chunks. */
#include "conformance.h"

#include "base/str.h"

static const struct mf_position at_77 = {.order = 77, .token = "0/4D"};

static void a_refused_row_of_a_chunk_is_left_out(void **state)
{
    struct conf *C = *state;
    struct mf_loader *l;
    int64_t id = 0;
    conf_schema(C);
    const struct mf_table *u = conf_there(C, "u");
    F->narrow(MF_TARGET, "u", "v", 5);
    OK(C->tgt->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    OK(C->tgt->load_begin(l, u, u, 1, &C->err));
    struct mf_value good[2] = {{MF_TEXT, 1, "1"}, {MF_TEXT, 2, "ok"}},
                    bad[2] = {{MF_TEXT, 1, "3"}, {MF_TEXT, 8, "too long"}},
                    last[2] = {{MF_TEXT, 1, "4"}, {.kind = MF_NULL}};
    OK(C->tgt->load_row(l, &(struct mf_row){2, good}, &C->err));
    assert_int_equal(C->tgt->load_row(l, &(struct mf_row){2, bad}, &C->err), -1);
    assert_int_equal(C->err.cls, MF_ROW);
    struct mf_quarantined q = {
        .table = "u", .key = "id=3", .reason = "no", .code = "22001", .row = "{}", .position = at_77};
    mf_strlcpy(q.schema, F->schema, sizeof q.schema);
    OK(C->tgt->load_quarantine(l, &q, &C->err));
    OK(C->tgt->load_row(l, &(struct mf_row){2, last}, &C->err));
    struct mf_chunk_done done = {.table_id = u->id, .table = "u", .rows = 2, .after = at_77};
    mf_strlcpy(done.schema, F->schema, sizeof done.schema);
    OK(C->tgt->load_commit(l, &done, &C->err));
    conf_expect(MF_TARGET, "u", "1|ok\n4|\\N\n");
    OK(C->tgt->quarantine_list(C->db[MF_TARGET], &C->forward, conf_take_quarantined, &id, &C->err));
    assert_true(id > 0);
    C->tgt->loader_close(l);
}

static void rows_of_a_chunk_go_together_or_not_at_all(void **state)
{
    struct conf *C = *state;
    struct mf_loader *l;
    conf_schema(C);
    const struct mf_table *u = conf_there(C, "u");
    F->narrow(MF_TARGET, "u", "v", 5);
    OK(C->tgt->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    OK(C->tgt->load_begin(l, u, u, 1, &C->err));
    struct mf_value v[][2] = {
        {{MF_TEXT, 1, "1"}, {MF_TEXT, 2, "ok"}},        {{MF_TEXT, 1, "2"}, {.kind = MF_NULL}},
        {{MF_TEXT, 1, "3"}, {MF_TEXT, 3, "yes"}},       {{MF_TEXT, 1, "4"}, {MF_TEXT, 8, "too long"}},
        {{MF_TEXT, 1, "1"}, {MF_TEXT, 5, "again"}},     {{MF_TEXT, 1, "5"}, {MF_TEXT, 4, "last"}},
        {{MF_TEXT, 1, "6"}, {MF_REFUSED, 7, "no such"}}};
    struct mf_row first[] = {{2, v[0]}, {2, v[1]}}, narrow[] = {{2, v[2]}, {2, v[3]}}, twice[] = {{2, v[2]}, {2, v[4]}},
                  none[] = {{2, v[2]}, {2, v[6]}}, last[] = {{2, v[2]}, {2, v[5]}};
    const struct mf_row *bad[] = {narrow, twice, none};
    OK(C->tgt->load_rows(l, first, 2, &C->err));
    for (size_t i = 0; i < 3; i++) {
        mf_error_clear(&C->err);
        assert_int_equal(C->tgt->load_rows(l, bad[i], 2, &C->err), -1);
        assert_true(C->err.cls == MF_ROW || C->err.cls == MF_CONFLICT);
    }
    mf_error_clear(&C->err);
    OK(C->tgt->load_rows(l, last, 2, &C->err));
    struct mf_chunk_done done = {.table_id = u->id, .table = "u", .rows = 4, .after = at_77};
    mf_strlcpy(done.schema, F->schema, sizeof done.schema);
    OK(C->tgt->load_commit(l, &done, &C->err));
    conf_expect(MF_TARGET, "u", "1|ok\n2|\\N\n3|yes\n5|last\n");
    C->tgt->loader_close(l);
}

static int count_chunks(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)d;
    (void)err;
    ++*(int *)ctx;
    return 0;
}

static void a_table_can_be_begun_again(void **state)
{
    struct conf *C = *state;
    struct mf_loader *l;
    conf_schema(C);
    const struct mf_table *w = conf_there(C, "w");
    OK(C->tgt->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    struct mf_value v[2] = {{MF_TEXT, 1, "1"}, {MF_TEXT, 2, "ok"}};
    for (uint32_t i = 0; i < 3; i++) {
        OK(C->tgt->load_begin(l, w, w, 1, &C->err));
        OK(C->tgt->load_row(l, &(struct mf_row){2, v}, &C->err));
        struct mf_chunk_done done = {.table_id = w->id, .ordinal = i, .table = "w", .rows = 1, .after = at_77};
        mf_strlcpy(done.schema, F->schema, sizeof done.schema);
        if (i < 2) {
            OK(C->tgt->load_commit(l, &done, &C->err));
        } else {
            C->tgt->load_abort(l);
        }
    }
    C->tgt->loader_close(l);
    conf_expect(MF_TARGET, "w", "1|ok\n1|ok\n");
    int n = 0;
    OK(C->tgt->chunks_done(C->db[MF_TARGET], &C->forward, count_chunks, &n, &C->err));
    assert_int_equal(n, 2);
    OK(C->tgt->table_reset(C->db[MF_TARGET], &C->forward, w, &C->err));
    n = 0;
    OK(C->tgt->chunks_done(C->db[MF_TARGET], &C->forward, count_chunks, &n, &C->err));
    assert_int_equal(n, 0);
    conf_expect(MF_TARGET, "w", "");
    OK(C->tgt->table_finish(C->db[MF_TARGET], w, &C->err));
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_load_tests[] = {
    T(a_refused_row_of_a_chunk_is_left_out),
    T(rows_of_a_chunk_go_together_or_not_at_all),
    T(a_table_can_be_begun_again),
};
const size_t conf_load_count = sizeof conf_load_tests / sizeof conf_load_tests[0];
