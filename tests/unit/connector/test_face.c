/* The face, with a server in memory of each kind behind it: what is shown, how it is turned back, what is refused, what is renamed. */
#include "mf_test.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/face/face.h"
#include "connector/memory/memory.h"

struct two {
    struct mf_mem_server *server[2];
    struct mf_db *real[2], *db[2];
    struct mf_pipe_id pipe;
    struct mf_catalog tables[2];
    struct mf_error err;
};

static const struct mf_mem_column columns[] = {
    {.name = "id", .in_key = true}, {.name = "w", .text = true, .in_key = true}, {.name = "v", .text = true}};

/* A plain source and a target of the other kind, each with its own default schema. */
static int setup(void **state)
{
    struct two *t = calloc(1, sizeof *t);
    *state = t;
    static const char *const names[] = {"face-source", "face-target"}, *const urls[] = {"mem://face-source",
                                                                                        "memx://face-target"};
    for (int i = 0; i < 2; i++) {
        struct mf_db_options o = {.url = urls[i], .side = (enum mf_side)i};
        t->server[i] = mf_mem_server_new(names[i]);
        mf_mem_knobs(t->server[i])->other = i == 1;
        mf_mem_knobs(t->server[i])->default_schema = i ? "main" : "public";
        assert_mf_ok(mf_connector_for_url(urls[i], &t->err)->open(&o, &t->real[i], &t->err), &t->err);
        assert_mf_ok(mf_face_open(t->real[i], i ? t->db[0] : NULL, &t->db[i], &t->err), &t->err);
    }
    mf_strlcpy(t->pipe.migration, "m", sizeof t->pipe.migration);
    assert_mf_ok(mf_mem_create_table(t->server[0], "public", "t", columns, 3, &t->err), &t->err);
    return 0;
}

static int teardown(void **state)
{
    struct two *t = *state;
    for (int i = 0; i < 2; i++) {
        mf_catalog_free(&t->tables[i]);
        t->db[i]->connector->close(t->db[i]);
        mf_mem_server_free(t->server[i]);
    }
    free(t);
    return 0;
}

static struct mf_value text(const char *s)
{
    return s ? (struct mf_value){MF_TEXT, (uint32_t)strlen(s), s} : (struct mf_value){.kind = MF_NULL};
}

static void write_row(struct two *t, int side, const char *schema, const char *id, const char *w, const char *v)
{
    struct mf_value values[] = {text(id), text(w), text(v)};
    struct mf_mem_txn *x = mf_mem_begin(t->server[side]);
    assert_mf_ok(mf_mem_insert(x, schema, "t", &(struct mf_row){.n = 3, .values = values}, &t->err), &t->err);
    assert_mf_ok(mf_mem_commit(x, NULL, &t->err), &t->err);
}

static const struct mf_table *table(struct two *t, int side)
{
    static const char *const include[] = {"public.*"};
    struct mf_filter f = {.include = include, .ninclude = 1};
    mf_catalog_free(&t->tables[side]);
    assert_mf_ok(t->db[side]->connector->source->catalog(t->db[side], &f, &t->tables[side], &t->err), &t->err);
    return mf_catalog_find(&t->tables[side], "public", "t");
}

static void make_schema(struct two *t)
{
    table(t, 0);
    for (int stage = 0; stage < 3; stage++) {
        struct mf_schema_job job = {.stage = (enum mf_schema_stage)stage, .tables = &t->tables[0], .jobs = 1};
        assert_mf_ok(t->db[1]->connector->target->schema_apply(t->db[1], t->db[0], &job, NULL, &t->err), &t->err);
    }
    assert_mf_ok(t->db[1]->connector->target->prepare(t->db[1], &t->pipe, &t->err), &t->err);
}

static size_t count(struct two *t, int side, const char *schema)
{
    struct mf_mem_txn *x = mf_mem_begin(t->server[side]);
    size_t n = mf_mem_count(x, schema, "t");
    mf_mem_abort(x);
    return n;
}

/* ---- shapes and names ---- */

static void both_sides_look_alike(void **state)
{
    struct two *t = *state;
    make_schema(t);
    assert_true(mf_mem_table_exists(t->server[1], "main", "t"));
    const struct mf_table *a = table(t, 0), *b = table(t, 1);
    assert_non_null(b); /* main is shown as public, and the filter means what is shown */
    assert_int_equal(mf_table_shape(a), mf_table_shape(b));
    for (uint16_t i = 0; i < a->ncolumns; i++) {
        assert_string_equal(a->columns[i].type, b->columns[i].type);
        assert_in_range(a->columns[i].type_id, 1, MF_TYPE_OF_ENGINE - 1);
        assert_int_not_equal(a->columns[i].foreign->own_type_id, b->columns[i].foreign->own_type_id);
    }
    assert_int_not_equal(a->columns[0].type_id, a->columns[1].type_id);
}

static void a_name_that_is_taken_is_a_blocker(void **state)
{
    struct two *t = *state;
    assert_mf_ok(mf_mem_create_table(t->server[0], "main", "x", columns, 3, &t->err), &t->err);
    struct mf_findings *f = mf_findings_new();
    assert_mf_ok(t->db[1]->connector->target->check(t->db[1], t->db[0], NULL, f, &t->err), &t->err);
    assert_int_equal(mf_findings_blockers(f), 1);
    assert_string_equal(mf_findings_at(f, 0)->object, "main.x");
    mf_findings_free(f);
    struct mf_catalog all = {0};
    assert_mf_ok(t->db[0]->connector->source->catalog(t->db[0], NULL, &all, &t->err), &t->err);
    struct mf_schema_job job = {.stage = MF_SCHEMA_BEFORE_ROWS, .tables = &all, .jobs = 1};
    assert_mf_fails(t->db[1]->connector->target->schema_apply(t->db[1], t->db[0], &job, NULL, &t->err), &t->err,
                    MF_FATAL, "main.x has no name on the other side");
    mf_catalog_free(&all);
}

static void a_table_that_no_face_has_shown_is_not_guessed(void **state)
{
    struct two *t = *state;
    make_schema(t);
    struct mf_catalog own = {0};
    assert_mf_ok(t->real[0]->connector->source->catalog(t->real[0], NULL, &own, &t->err), &t->err);
    assert_mf_fails(t->db[1]->connector->target->table_finish(t->db[1], &own.tables[0], &t->err), &t->err, MF_FATAL,
                    "not one that this database has shown");
    mf_catalog_free(&own);
}

/* ---- copying ---- */

struct copying {
    struct two *t;
    struct mf_loader *l;
    int refused, together;
    char why[1024];
};

static int copy_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct copying *c = ctx;
    const struct mf_target_ops *tgt = c->t->db[1]->connector->target;
    struct mf_row alone[] = {*row};
    if (tgt->load_rows(c->l, alone, 1, err) == 0) {
        c->together++;
        return 0;
    }
    assert_int_equal(err->cls, MF_ROW);
    mf_error_clear(err);
    assert_int_equal(tgt->load_row(c->l, row, err), -1);
    assert_int_equal(err->cls, MF_ROW);
    mf_strlcpy(c->why, err->text, sizeof c->why);
    c->refused++;
    return 0;
}

static int copy_chunk(void *ctx, const struct mf_chunk *k, struct mf_error *err)
{
    struct copying *c = ctx;
    struct two *t = c->t;
    const struct mf_source_ops *src = t->db[0]->connector->source;
    const struct mf_target_ops *tgt = t->db[1]->connector->target;
    struct mf_chunk_done done = {.table_id = k->table_id, .ordinal = k->ordinal, .schema = "public", .table = "t"};
    struct mf_reader *r;
    assert_mf_ok(src->reader_open(t->db[0], NULL, &r, err), err);
    assert_mf_ok(tgt->load_begin(c->l, mf_catalog_find(&t->tables[1], "public", "t"),
                                 mf_catalog_find(&t->tables[0], "public", "t"), 1, err),
                 err);
    assert_mf_ok(src->chunk_rows(r, mf_catalog_find(&t->tables[0], "public", "t"), k, copy_row, c, &done.after, err),
                 err);
    assert_mf_ok(tgt->load_commit(c->l, &done, err), err);
    src->reader_close(r);
    return 0;
}

static int see_done(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)err;
    assert_string_equal(d->schema, "public");
    ++*(int *)ctx;
    return 0;
}

static void rows_are_copied_but_for_those_there_is_no_room_for(void **state)
{
    struct two *t = *state;
    make_schema(t);
    struct copying c = {.t = t};
    struct mf_reader *r;
    int chunks = 0;
    for (int i = 0; i < 12; i++) {
        char id[8], v[16];
        snprintf(id, sizeof id, "%d", i - 3);
        snprintf(v, sizeof v, i == 5 ? "not!" : "v%d", i);
        write_row(t, 0, "public", id, i == 8 ? "key!" : "k", i == 2 ? NULL : v);
    }
    table(t, 1);
    assert_mf_ok(t->db[1]->connector->target->loader_open(t->db[1], &t->pipe, &c.l, &t->err), &t->err);
    assert_mf_ok(t->db[0]->connector->source->reader_open(t->db[0], NULL, &r, &t->err), &t->err);
    assert_mf_ok(t->db[0]->connector->source->chunk_plan(r, table(t, 0), 3, 1 << 20, copy_chunk, &c, &t->err), &t->err);
    assert_int_equal(c.refused, 2);
    assert_int_equal(c.together, 10);
    assert_non_null(strstr(c.why, "column \"w\""));
    assert_int_equal(count(t, 1, "main"), 10);
    assert_mf_ok(t->db[1]->connector->target->chunks_done(t->db[1], &t->pipe, see_done, &chunks, &t->err), &t->err);
    assert_int_equal(chunks, 4);
    assert_mf_fails(t->db[1]->connector->target->load_data(c.l, "", 1, &t->err), &t->err, MF_FATAL, "wire bytes");
    t->db[0]->connector->source->reader_close(r);
    t->db[1]->connector->target->loader_close(c.l);
}

/* ---- reading on the other side of a bound ---- */

static int add_digest(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    (void)key, (void)err;
    *(uint64_t *)ctx += d->lane1;
    return 0;
}

static int next_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)row, (void)err;
    ++*(int *)ctx;
    return 0;
}

static void a_bound_that_is_no_key_here_opens_the_range_for_digests_only(void **state)
{
    struct two *t = *state;
    make_schema(t);
    write_row(t, 1, "main", "1", "a", "x");
    write_row(t, 1, "main", "2", "b", "y");
    const struct mf_table *b = table(t, 1);
    const struct mf_source_ops *src = t->db[1]->connector->source;
    struct mf_reader *r;
    struct mf_digest all, some;
    uint64_t sum = 0;
    int rows = 0;
    struct mf_position after;
    struct mf_chunk *c = calloc(1, sizeof *c);
    assert_mf_ok(src->reader_open(t->db[1], NULL, &r, &t->err), &t->err);
    assert_mf_ok(src->digest(r, b, c, &all, &t->err), &t->err);
    assert_int_equal(all.rows, 2);
    c->has_lower = true;
    mf_strlcpy(c->lower, "t1:2t1:b", sizeof c->lower); /* a canonical bound: id 2, w b */
    assert_mf_ok(src->digest(r, b, c, &some, &t->err), &t->err);
    assert_int_equal(some.rows, 1);
    assert_mf_ok(src->digest_rows(r, b, c, add_digest, &sum, &t->err), &t->err);
    assert_int_equal(sum, some.lane1);
    mf_strlcpy(c->lower, "t1:2t2:b!", sizeof c->lower);
    assert_mf_ok(src->digest(r, b, c, &some, &t->err), &t->err);
    assert_int_equal(some.rows, 2);
    assert_mf_fails(src->chunk_rows(r, b, c, next_row, &rows, &after, &t->err), &t->err, MF_FATAL, "is no key");
    assert_int_equal(rows, 0); /* what would be copied twice */
    static const char *const bad[] = {"", "t1:2", "t1:2t9:b", "t1:2t1:bx", "q1:2t1:b", "t1:2b1:zz", "t:2t1:b"};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        mf_strlcpy(c->lower, bad[i], sizeof c->lower);
        assert_mf_fails(src->digest(r, b, c, &some, &t->err), &t->err, MF_FATAL, "does not fit the key");
    }
    src->reader_close(r);
    free(c);
}

static void keys_that_there_cannot_be_find_nothing(void **state)
{
    struct two *t = *state;
    make_schema(t);
    write_row(t, 1, "main", "1", "a", "x");
    struct mf_value k[2][3] = {{text("1"), text("a!"), {.kind = MF_UNCHANGED}},
                               {text("1"), text("a"), {.kind = MF_UNCHANGED}}};
    struct mf_row keys[2] = {{.n = 3, .values = k[0]}, {.n = 3, .values = k[1]}};
    struct mf_position after;
    struct mf_reader *r;
    int rows = 0;
    const struct mf_source_ops *src = t->db[1]->connector->source;
    assert_mf_ok(src->reader_open(t->db[1], NULL, &r, &t->err), &t->err);
    assert_mf_ok(src->read_rows(r, table(t, 1), keys, 2, next_row, &rows, &after, &t->err), &t->err);
    assert_int_equal(rows, 1);
    src->reader_close(r);
}

/* ---- windows ---- */

struct window {
    struct mf_rowchange change, *list[1];
    struct mf_batch_table table;
    struct mf_batch batch;
};

static struct mf_batch *one(struct window *w, const struct mf_table *t, enum mf_rowop op, struct mf_value *old_row,
                            struct mf_value *new_row)
{
    *w = (struct window){.change = {.op = op, .count = 1}, .table = {.table = t}};
    w->list[0] = &w->change;
    if (old_row) {
        w->change.old_row = (struct mf_row){.n = 3, .values = old_row};
    }
    if (new_row) {
        w->change.new_row = (struct mf_row){.n = 3, .values = new_row};
    }
    if (op == MF_ROW_DELETE) {
        w->table.ndeletes = 1;
        w->table.deletes = w->list;
    } else if (op == MF_ROW_INSERT) {
        w->table.ninserts = 1;
        w->table.inserts = w->list;
    } else {
        w->table.nupdates = 1;
        w->table.updates = w->list;
    }
    w->batch = (struct mf_batch){.ntables = 1, .tables = &w->table, .rows = 1};
    return &w->batch;
}

static int keep_entry(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    struct mf_buf *b = ctx;
    mf_buf_printf(b, "%s.%s %s\n", q->schema, q->table, q->key);
    return 0;
}

static void a_refused_row_of_a_window_goes_to_quarantine_under_its_canonical_key(void **state)
{
    struct two *t = *state;
    make_schema(t);
    write_row(t, 1, "main", "1", "a", "x");
    const struct mf_table *b = table(t, 1);
    const struct mf_target_ops *tgt = t->db[1]->connector->target;
    struct mf_applier *a;
    struct mf_position at = {.order = 5, .token = "5"};
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, 1 << 20);
    struct mf_window_result result = {.arena = &arena};
    struct mf_value old_row[3] = {text("1"), text("a"), {.kind = MF_UNCHANGED}},
                    bad[3] = {text("1"), text("a"), text("no!")};
    struct window w;
    assert_mf_ok(tgt->applier_open(t->db[1], &t->pipe, &a, &t->err), &t->err);
    struct mf_window_mode fast = {0}, careful = {.careful = true, .keep_rejected = true};
    assert_mf_ok(tgt->window_begin(a, &at, &fast, &t->err), &t->err);
    assert_mf_fails(tgt->window_batch(a, one(&w, b, MF_ROW_UPDATE, old_row, bad), &result, &t->err), &t->err, MF_ROW,
                    "column \"v\"");
    tgt->window_abort(a);
    assert_mf_ok(tgt->window_begin(a, &at, &careful, &t->err), &t->err);
    assert_mf_ok(tgt->window_batch(a, one(&w, b, MF_ROW_UPDATE, old_row, bad), &result, &t->err), &t->err);
    assert_mf_ok(tgt->window_commit(a, &t->err), &t->err);
    assert_int_equal(result.quarantined, 1);
    assert_int_equal(count(t, 1, "main"), 0); /* the old version would pass for a good one */
    MF_CLEANUP_BUF struct mf_buf said = {.max = 1000};
    assert_mf_ok(tgt->quarantine_list(t->db[1], &t->pipe, keep_entry, &said, &t->err), &t->err);
    assert_string_equal(mf_buf_str(&said), "public.t id=1, w=a\n");
    at.order = 6;
    assert_mf_ok(tgt->window_begin(a, &at, &careful, &t->err), &t->err);
    assert_mf_ok(tgt->window_batch(a, one(&w, b, MF_ROW_DELETE, old_row, NULL), &result, &t->err), &t->err);
    assert_mf_ok(tgt->window_commit(a, &t->err), &t->err);
    mf_buf_reset(&said);
    assert_mf_ok(tgt->quarantine_list(t->db[1], &t->pipe, keep_entry, &said, &t->err), &t->err);
    assert_string_equal(mf_buf_str(&said), "");
    tgt->applier_close(a);
}

static void rows_that_are_missing_are_told_in_the_callers_words(void **state)
{
    struct two *t = *state;
    make_schema(t);
    const struct mf_table *b = table(t, 1);
    const struct mf_target_ops *tgt = t->db[1]->connector->target;
    struct mf_applier *a;
    struct mf_position at = {.order = 5, .token = "5"};
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, 1 << 20);
    struct mf_window_result result = {.arena = &arena};
    struct mf_value key[3] = {text("-7"), text("abc"), {.kind = MF_UNCHANGED}};
    struct window w;
    assert_mf_ok(tgt->applier_open(t->db[1], &t->pipe, &a, &t->err), &t->err);
    struct mf_window_mode fuzzy = {.fuzzy = true};
    assert_mf_ok(tgt->window_begin(a, &at, &fuzzy, &t->err), &t->err);
    assert_mf_ok(tgt->window_batch(a, one(&w, b, MF_ROW_UPDATE, key, key), &result, &t->err), &t->err);
    assert_mf_ok(tgt->window_commit(a, &t->err), &t->err);
    assert_int_equal(result.nmissing, 1);
    assert_ptr_equal(result.missing[0].table, b);
    assert_true(mf_value_equal(&result.missing[0].key.values[0], &key[0]));
    assert_true(mf_value_equal(&result.missing[0].key.values[1], &key[1]));
    assert_int_equal(result.missing[0].key.values[2].kind, MF_UNCHANGED);
    struct mf_value whole[3] = {text("-7"), text("abc"), text("v")},
                    none[3] = {text("1"), text("x!"), {.kind = MF_UNCHANGED}};
    struct mf_row rows = {.n = 3, .values = whole}, gone = {.n = 3, .values = none};
    assert_mf_ok(tgt->repair_rows(a, b, &rows, 1, &gone, 1, 1, &t->err), &t->err);
    assert_int_equal(count(t, 1, "main"), 1);
    whole[2] = text("!");
    assert_mf_fails(tgt->repair_rows(a, b, &rows, 1, NULL, 0, 1, &t->err), &t->err, MF_ROW, "column \"v\"");
    tgt->applier_close(a);
}

/* ---- the stream ---- */

static void what_leaves_the_other_kind_is_canonical_or_refused(void **state)
{
    struct two *t = *state;
    make_schema(t);
    struct mf_position start;
    struct mf_stream *st;
    struct mf_item item;
    const struct mf_source_ops *src = t->db[1]->connector->source;
    table(t, 1);
    assert_mf_ok(src->stream_prepare(t->db[1], &t->pipe, &t->tables[1], &start, &t->err), &t->err);
    write_row(t, 1, "main", "5", "a", "good");
    write_row(t, 1, "main", "6", "b", "bad!");
    assert_mf_ok(src->heartbeat(t->db[1], &t->pipe, "end", NULL, &t->err), &t->err);
    assert_mf_ok(src->stream_open(t->db[1], &t->pipe, &start, false, &st, &t->err), &t->err);
    int changes = 0, books = 0;
    for (;;) {
        assert_mf_ok(src->stream_next(st, 0, &item, &t->err), &t->err);
        if (item.kind == MF_ITEM_NONE) {
            break;
        }
        if (item.kind == MF_ITEM_RELATION && mf_streq(item.table->name, "t")) {
            assert_string_equal(item.table->schema, "public");
            assert_int_equal(mf_table_shape(item.table), mf_table_shape(mf_catalog_find(&t->tables[1], "public", "t")));
        }
        if (item.kind == MF_ITEM_CHANGE && mf_streq(item.change.table->schema, "midflight")) {
            books += item.change.new_row.values[0].len == 1; /* as it is: "m" */
        } else if (item.kind == MF_ITEM_CHANGE) {
            const struct mf_value *v = item.change.new_row.values;
            assert_true(v[0].kind == MF_TEXT && v[0].len == 1 && *v[0].data == (changes ? '6' : '5'));
            assert_int_equal(v[2].kind, changes ? MF_REFUSED : MF_TEXT);
            if (!changes) {
                assert_memory_equal(v[2].data, "good", 4);
            }
            changes++;
        }
    }
    assert_int_equal(changes, 2);
    assert_true(books > 0);
    src->stream_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_sides_look_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_taken_is_a_blocker, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_that_no_face_has_shown_is_not_guessed, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_copied_but_for_those_there_is_no_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bound_that_is_no_key_here_opens_the_range_for_digests_only, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_there_cannot_be_find_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_row_of_a_window_goes_to_quarantine_under_its_canonical_key, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(rows_that_are_missing_are_told_in_the_callers_words, setup, teardown),
        cmocka_unit_test_setup_teardown(what_leaves_the_other_kind_is_canonical_or_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
