/* Rows of several tables, all of them or none (window_mark, window_settle, window_back), entries of what is no table here, and chunks that bring
 * both (load_applier). */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/str.h"

struct together {
    struct mf_applier *a;
    struct conf_batch b[3];
    struct mf_batch_table tables[3];
    struct mf_batch batch;
};

/* A row of t, of u and of two, under one number. */
static void give(struct conf *C, struct together *t, const char *id, const char *v)
{
    static const char *const names[] = {"t", "u", "two"};
    const char *const *rows[] = {V(id, v, NULL), V(id, v), V(id, "k", v)};
    for (size_t i = 0; i < 3; i++) {
        conf_batch_start(&t->b[i], conf_there(C, names[i]));
        conf_batch_add(&t->b[i], MF_ROW_INSERT, NULL, rows[i]);
        t->tables[i] = t->b[i].table;
    }
    t->batch = (struct mf_batch){.ntables = 3, .tables = t->tables, .rows = 3};
}

static int put(struct conf *C, struct together *t, const char *id, const char *v)
{
    give(C, t, id, v);
    OK(C->tgt->window_mark(t->a, &C->err));
    return C->tgt->window_batch(t->a, &t->batch, NULL, &C->err) < 0 || C->tgt->window_settle(t->a, &C->err) < 0 ? -1
                                                                                                                : 0;
}

static void refused(struct conf *C, struct together *t, const char *id, const char *v)
{
    assert_int_equal(put(C, t, id, v), -1);
    assert_true(C->err.cls == MF_ROW || C->err.cls == MF_CONFLICT);
    mf_error_clear(&C->err);
    OK(C->tgt->window_back(t->a, &C->err));
}

/* ---- the quarantine of what is no table ---- */

static struct mf_column columns[] = {{.name = "_id", .type = "text", .in_key = true},
                                     {.name = "document", .type = "bytes"}};
static uint16_t key_columns[] = {0};
static const struct mf_table people = {
    .schema = "shop", .name = "people", .ncolumns = 2, .nkey = 1, .columns = columns, .key = key_columns};

static void put_aside(struct conf *C, struct together *t, const char *id, struct mf_window_result *result)
{
    struct mf_value v[] = {{MF_TEXT, (uint32_t)strlen(id), id}, {.kind = MF_UNCHANGED}};
    struct mf_row key = {.n = 2, .values = v};
    struct mf_quarantined q = {.column = "v", .reason = "too \"long\"", .code = "22001", .row = "{\"a\": 1}"};
    q.position.order = 7;
    OK(C->tgt->quarantine_put(t->a, &people, &key, &q, result, &C->err));
}

static uint64_t clear(struct conf *C, struct together *t, const char *id)
{
    uint64_t had = 99;
    struct mf_value v[] = {{MF_TEXT, (uint32_t)strlen(id), id}, {.kind = MF_UNCHANGED}};
    struct mf_row key = {.n = 2, .values = v};
    const struct mf_row *keys[] = {&key};
    OK(C->tgt->quarantine_clear(t->a, &people, keys, 1, &had, &C->err));
    return had;
}

static int list(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    assert_string_equal(q->table, "people");
    assert_string_equal(q->schema, "shop");
    assert_string_equal(q->reason, "too \"long\"");
    mf_buf_printf(ctx, "%s;", q->key);
    return 0;
}

static void expect_entries(struct conf *C, const char *text)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    OK(C->tgt->quarantine_list(C->db[MF_TARGET], &C->forward, list, &b, &C->err));
    assert_string_equal(mf_buf_str(&b), text);
}

/* ---- windows ---- */

static void begin(struct conf *C, struct together *t, uint64_t order)
{
    const struct mf_window_mode fuzzy = {.fuzzy = true};
    struct mf_position p = {.order = order};
    snprintf(p.token, sizeof p.token, "0/%llX", (unsigned long long)order);
    OK(C->tgt->window_begin(t->a, &p, &fuzzy, &C->err));
}

static void rows_of_a_window_that_belong_together_are_taken_back_together(void **state)
{
    struct conf *C = *state;
    struct together t = {0};
    struct mf_window_result result = {0};
    conf_schema(C);
    F->narrow(MF_TARGET, "u", "v", 5);
    OK(C->tgt->applier_open(C->db[MF_TARGET], &C->forward, &t.a, &C->err));
    begin(C, &t, 1001);
    assert_int_equal(put(C, &t, "1", "one"), 0);
    refused(C, &t, "2", "too long");
    put_aside(C, &t, "\"2\"", &result);
    assert_int_equal(result.quarantined, 1);
    refused(C, &t, "3", "one"); /* another's */
    put_aside(C, &t, "\"3\"", &result);
    put_aside(C, &t, "\"3\"", &result);
    assert_int_equal(result.quarantined, 2);
    assert_int_equal(result.refused, 3);
    assert_int_equal(put(C, &t, "4", "four"), 0);
    assert_int_equal(put(C, &t, "1", "uno"), 0); /* over what the window wrote itself */
    OK(C->tgt->window_mark(t.a, &C->err));
    give(C, &t, "5", "five");
    OK(C->tgt->window_batch(t.a, &t.batch, NULL, &C->err));
    put_aside(C, &t, "\"5\"", NULL);
    clear(C, &t, "\"2\"");
    OK(C->tgt->window_back(t.a, &C->err)); /* nobody has refused anything */
    expect_entries(C, "");
    OK(C->tgt->window_commit(t.a, &C->err));
    conf_expect(MF_TARGET, "t", "1|uno|\\N\n4|four|\\N\n");
    conf_expect(MF_TARGET, "u", "1|uno\n4|four\n");
    conf_expect(MF_TARGET, "two", "1|k|uno\n4|k|four\n");
    expect_entries(C, "_id=\"2\";_id=\"3\";");
    begin(C, &t, 1002);
    put_aside(C, &t, "\"4\"", NULL);
    assert_int_equal(clear(C, &t, "\"2\""), 1);
    assert_int_equal(clear(C, &t, "\"2\""), 0);
    assert_int_equal(clear(C, &t, "\"4\""), 1);
    OK(C->tgt->window_commit(t.a, &C->err));
    expect_entries(C, "_id=\"3\";");
    begin(C, &t, 1003);
    assert_int_equal(put(C, &t, "6", "six"), 0);
    clear(C, &t, "\"3\"");
    C->tgt->window_abort(t.a);
    expect_entries(C, "_id=\"3\";");
    conf_expect(MF_TARGET, "u", "1|uno\n4|four\n");
    begin(C, &t, 1003);
    put_aside(C, &t, "\"7\"", NULL);
    OK(C->tgt->quarantine_clear(t.a, &people, NULL, 0, NULL, &C->err));
    OK(C->tgt->window_commit(t.a, &C->err));
    expect_entries(C, "");
    C->tgt->applier_close(t.a);
}

/* ---- chunks ---- */

static void a_chunk_may_bring_rows_of_several_tables(void **state)
{
    struct conf *C = *state;
    struct together t = {0};
    struct mf_loader *l;
    conf_schema(C);
    F->narrow(MF_TARGET, "u", "v", 5);
    const struct mf_table *root = conf_there(C, "t");
    OK(C->tgt->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    for (uint32_t chunk = 0; chunk < 3; chunk++) {
        const char *ids[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9"};
        OK(C->tgt->load_begin(l, root, root, 1, &C->err));
        OK(C->tgt->load_applier(l, &t.a, &C->err));
        assert_int_equal(put(C, &t, ids[chunk * 3], ids[chunk * 3]), 0);
        refused(C, &t, ids[chunk * 3 + 1], "too long");
        put_aside(C, &t, ids[chunk * 3 + 1], NULL);
        refused(C, &t, ids[chunk * 3], "again"); /* what a chunk brings is new */
        assert_int_equal(put(C, &t, ids[chunk * 3 + 2], NULL), 0);
        struct mf_chunk_done done = {.table_id = root->id, .ordinal = chunk, .table = "people", .rows = 2};
        mf_strlcpy(done.schema, "shop", sizeof done.schema);
        done.after = (struct mf_position){.order = 77, .token = "0/4D"};
        if (chunk == 1) {
            C->tgt->load_abort(l);
        } else {
            OK(C->tgt->load_commit(l, &done, &C->err));
        }
    }
    C->tgt->loader_close(l);
    conf_expect(MF_TARGET, "t", "1|1|\\N\n3|\\N|\\N\n7|7|\\N\n9|\\N|\\N\n");
    conf_expect(MF_TARGET, "u", "1|1\n3|\\N\n7|7\n9|\\N\n");
    conf_expect(MF_TARGET, "two", "1|k|1\n3|k|\\N\n7|k|7\n9|k|\\N\n");
    expect_entries(C, "_id=2;_id=8;");
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_together_tests[] = {
    T(rows_of_a_window_that_belong_together_are_taken_back_together),
    T(a_chunk_may_bring_rows_of_several_tables),
};
const size_t conf_together_count = sizeof conf_together_tests / sizeof conf_together_tests[0];
