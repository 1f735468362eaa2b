/* A target that keeps the last write (mf_connector.last_write_wins): what connector.h asks of it. Rows are given in every wrong order. */
#include "conformance.h"

#include "base/str.h"

struct stamped {
    struct mf_applier *a;
    struct mf_arena arena;
    struct mf_window_result result;
    struct conf_batch b;
    uint64_t at;
};

static const struct mf_target_ops *ops(const struct conf *C)
{
    return C->db[MF_TARGET]->connector->target;
}

static void open_stamped(struct conf *C, struct stamped *t)
{
    memset(t, 0, sizeof *t);
    conf_schema(C);
    mf_arena_init(&t->arena, 1 << 20);
    t->result.arena = &t->arena;
    t->at = 1000;
    OK(ops(C)->applier_open(C->db[MF_TARGET], &C->forward, &t->a, &C->err));
    conf_batch_start(&t->b, conf_there(C, "t"));
}

static void close_stamped(struct conf *C, struct stamped *t)
{
    ops(C)->applier_close(t->a);
    mf_arena_free(&t->arena);
}

static struct mf_rowchange *add(struct stamped *t, int64_t stamp, enum mf_rowop op, const char *const *old_row,
                                const char *const *new_row)
{
    conf_batch_add(&t->b, op, old_row, new_row);
    t->b.changes[t->b.n - 1].stamp = stamp;
    return &t->b.changes[t->b.n - 1];
}

static struct mf_position place(uint64_t order)
{
    struct mf_position p = {.order = order};
    snprintf(p.token, sizeof p.token, "0/%llX", (unsigned long long)order);
    return p;
}

static void window(struct conf *C, struct stamped *t, bool commits)
{
    struct mf_window_mode mode = {.fuzzy = true, .stamp = 1000000};
    struct mf_position p = place(t->at + 1);
    t->result.nmissing = t->result.cap = 0;
    OK(ops(C)->window_begin(t->a, &p, &mode, &C->err));
    OK(ops(C)->window_batch(t->a, &t->b.batch, &t->result, &C->err));
    if (commits) {
        OK(ops(C)->window_commit(t->a, &C->err));
        t->at++;
    } else {
        ops(C)->window_abort(t->a);
    }
    OK(ops(C)->checkpoint(C->db[MF_TARGET], &C->forward, &p, &C->err));
    assert_int_equal(p.order, t->at == 1000 ? 0 : t->at);
    conf_batch_start(&t->b, conf_there(C, "t"));
}

static void load(struct conf *C, int64_t stamp, const char *id, const char *a, const char *big)
{
    struct mf_loader *l;
    static uint32_t ordinal;
    struct conf_batch b;
    struct mf_chunk_done done = {
        .table_id = conf_table(C, "t")->id, .ordinal = ++ordinal, .schema = "public", .table = "t", .rows = 1};
    conf_batch_start(&b, conf_table(C, "t"));
    conf_batch_add(&b, MF_ROW_INSERT, NULL, V(id, a, big));
    OK(ops(C)->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    OK(ops(C)->load_begin(l, conf_there(C, "t"), conf_table(C, "t"), stamp, &C->err));
    OK(ops(C)->load_row(l, &b.changes[0].new_row, &C->err));
    OK(ops(C)->load_commit(l, &done, &C->err));
    ops(C)->loader_close(l);
}

static void the_later_stamp_stays(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    add(&t, 20, MF_ROW_INSERT, NULL, V("1", "late", "b"));
    add(&t, 20, MF_ROW_UPDATE, V("2", ".", "."), V("2", "of-20", "."));
    window(C, &t, true);
    add(&t, 10, MF_ROW_REPLACE, NULL, V("1", "early", "c"));
    add(&t, 10, MF_ROW_INSERT, NULL, V("2", "of-10", "b2"));
    window(C, &t, true);
    conf_expect(MF_TARGET, "t", "1|late|b\n2|of-20|b2\n"); /* by value, not by row */
    add(&t, 30, MF_ROW_DELETE, V("1", ".", "."), NULL);
    add(&t, 30, MF_ROW_DELETE, V("3", ".", "."), NULL); /* not there: no error */
    window(C, &t, true);
    add(&t, 25, MF_ROW_REPLACE, NULL, V("1", "before-it-went", "x"));
    add(&t, 31, MF_ROW_INSERT, NULL, V("3", "after", NULL));
    window(C, &t, true);
    conf_expect(MF_TARGET, "t", "2|of-20|b2\n3|after|\\N\n");
    close_stamped(C, &t);
}

static void a_null_deletes_a_value_unless_the_insert_is_plain(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    for (int id = 1; id <= 4; id++) {
        char key[2] = {(char)('0' + id), 0};
        load(C, 5, key, "loaded", "b");
    }
    add(&t, 11, MF_ROW_INSERT, NULL, V("1", NULL, "x"))->plain = true;
    add(&t, 12, MF_ROW_INSERT, NULL, V("2", NULL, "x"));
    add(&t, 13, MF_ROW_REPLACE, NULL, V("3", NULL, "x"));
    add(&t, 14, MF_ROW_UPDATE, V("4", ".", "."), V("4", NULL, "."));
    window(C, &t, true);
    conf_expect(MF_TARGET, "t", "1|loaded|x\n2|\\N|x\n3|\\N|x\n4|\\N|b\n");
    close_stamped(C, &t);
}

static void a_load_is_older_than_every_change(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    add(&t, 20, MF_ROW_DELETE, V("1", ".", "."), NULL);
    add(&t, 21, MF_ROW_UPDATE, V("2", ".", "."), V("2", "new", "."));
    add(&t, 22, MF_ROW_INSERT, NULL, V("3", NULL, NULL));
    window(C, &t, true);
    for (int i = 0; i < 2; i++) { /* and again, as after a crash */
        load(C, 5, "1", "old", "b1");
        load(C, 5, "2", "old", "b2");
        load(C, 5, "3", "old", "b3");
    }
    conf_expect(MF_TARGET, "t", "2|new|b2\n3|\\N|\\N\n");
    close_stamped(C, &t);
}

static void a_window_that_was_lost_comes_again(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    for (int i = 0; i < 6; i++) { /* in parts, and the parts again */
        add(&t, 11, MF_ROW_INSERT, NULL, V("1", "a", NULL))->plain = true;
        add(&t, 12, MF_ROW_INSERT, NULL, V("2", "b", "x"))->plain = true;
        window(C, &t, false);
        add(&t, 13, MF_ROW_UPDATE, V("1", ".", "."), V("1", "A", "."));
        add(&t, 14, MF_ROW_DELETE, V("2", ".", "."), NULL);
        window(C, &t, false);
    }
    add(&t, 13, MF_ROW_INSERT, NULL, V("1", "A", NULL));
    add(&t, 14, MF_ROW_DELETE, V("2", ".", "."), NULL);
    window(C, &t, true);
    conf_expect(MF_TARGET, "t", "1|A|\\N\n");
    window(C, &t, true); /* nothing but its checkpoint */
    close_stamped(C, &t);
}

static void a_key_that_changes_is_deleted_and_made_or_reported(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    load(C, 5, "1", "one", "b1");
    load(C, 5, "2", "two", "b2");
    add(&t, 11, MF_ROW_UPDATE, V("1", ".", "."), V("7", "moved", "whole"));
    window(C, &t, true);
    assert_int_equal(t.result.nmissing, 0);
    add(&t, 12, MF_ROW_UPDATE, V("2", ".", "."), V("8", "moved", "."));
    window(C, &t, true);
    assert_int_equal(t.result.nmissing, 1);
    const struct mf_value *key = &t.result.missing[0].key.values[0];
    assert_int_equal(key->len, 1);
    assert_memory_equal(key->data, "8", 1);
    conf_expect(MF_TARGET, "t", "7|moved|whole\n");
    close_stamped(C, &t);
}

static void a_truncate_takes_what_came_before(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    load(C, 5, "1", "one", "b1");
    add(&t, 11, MF_ROW_INSERT, NULL, V("2", "two", "b2"));
    window(C, &t, true);
    const struct mf_table *list[] = {conf_there(C, "t")};
    struct mf_change truncate = {.op = MF_TRUNCATE, .table = list[0], .ntruncated = 1, .truncated = list, .stamp = 20};
    struct mf_window_mode mode = {.fuzzy = true, .stamp = 22};
    struct mf_position p = place(++t.at);
    OK(ops(C)->window_begin(t.a, &p, &mode, &C->err));
    OK(ops(C)->window_batch(t.a, &(struct mf_batch){.truncate = &truncate}, &t.result, &C->err));
    add(&t, 21, MF_ROW_INSERT, NULL, V("3", "three", NULL))->plain = true;
    OK(ops(C)->window_batch(t.a, &t.b.batch, &t.result, &C->err));
    OK(ops(C)->window_commit(t.a, &C->err));
    conf_expect(MF_TARGET, "t", "3|three|\\N\n");
    close_stamped(C, &t);
}

static void a_repair_is_later_than_what_came_and_earlier_than_what_comes(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    struct conf_batch r;
    open_stamped(C, &t);
    add(&t, 11, MF_ROW_INSERT, NULL, V("1", "wrong", "wrong"));
    add(&t, 11, MF_ROW_INSERT, NULL, V("2", "too-much", "b"));
    add(&t, 11, MF_ROW_INSERT, NULL, V("3", "wrong", "b"));
    add(&t, 40, MF_ROW_UPDATE, V("3", ".", "."), V("3", "somebody's, later", "."));
    window(C, &t, true);
    conf_batch_start(&r, conf_there(C, "t"));
    conf_batch_add(&r, MF_ROW_INSERT, NULL, V("1", "right", NULL));
    conf_batch_add(&r, MF_ROW_INSERT, NULL, V("3", "right", "right"));
    conf_batch_add(&r, MF_ROW_DELETE, V("2", ".", "."), NULL);
    struct mf_row whole[] = {r.changes[0].new_row, r.changes[1].new_row};
    OK(ops(C)->repair_rows(t.a, conf_there(C, "t"), whole, 2, &r.changes[2].old_row, 1, 12, &C->err));
    conf_expect(MF_TARGET, "t", "1|right|\\N\n3|somebody's, later|right\n");
    add(&t, 13, MF_ROW_UPDATE, V("1", ".", "."), V("1", "next", "."));
    window(C, &t, true);
    conf_expect(MF_TARGET, "t", "1|next|\\N\n3|somebody's, later|right\n");
    close_stamped(C, &t);
}

static int count_kept(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    assert_string_equal(q->table, "t");
    ++*(int *)ctx;
    return 0;
}

/* However often its window comes again. Its old version is not left in its place. */
static void a_refused_row_is_kept_once(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    struct mf_window_mode mode = {.fuzzy = true, .careful = true, .keep_rejected = true, .stamp = 1000};
    const char *too_long = F->large_refused ? conf_big('l') : "much too long";
    int kept = 0;
    open_stamped(C, &t);
    load(C, 5, "1", "short", "b");
    F->narrow(MF_TARGET, "t", "a", 5);
    for (int i = 0; i < 3; i++) {
        struct mf_position p = place(1001);
        conf_batch_start(&t.b, conf_there(C, "t"));
        add(&t, 11, MF_ROW_UPDATE, V("1", ".", "."), V("1", too_long, "."));
        t.result.quarantined = 0;
        t.result.nmissing = t.result.cap = 0;
        OK(ops(C)->window_begin(t.a, &p, &mode, &C->err));
        OK(ops(C)->window_batch(t.a, &t.b.batch, &t.result, &C->err));
        /* Or, since it is kept already and the stream does not have all of it, to be read again. */
        assert_int_equal(t.result.quarantined + (i ? t.result.nmissing : 0), 1);
        if (i == 0) {
            ops(C)->window_abort(t.a);
        } else {
            OK(ops(C)->window_commit(t.a, &C->err));
        }
    }
    OK(ops(C)->quarantine_list(C->db[MF_TARGET], &C->forward, count_kept, &kept, &C->err));
    assert_int_equal(kept, 1);
    conf_expect(MF_TARGET, "t", "");
    close_stamped(C, &t);
}

struct kept {
    int n;
    int64_t id;
    char key[64], code[16];
};

static int take_kept(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    struct kept *k = ctx;
    (void)err;
    k->n++;
    k->id = q->id;
    snprintf(k->key, sizeof k->key, "%s", q->key);
    snprintf(k->code, sizeof k->code, "%s", q->code);
    assert_true(q->reason[0] != 0);
    return 0;
}

static struct kept kept_of(struct conf *C)
{
    struct kept k = {0};
    OK(ops(C)->quarantine_list(C->db[MF_TARGET], &C->forward, take_kept, &k, &C->err));
    return k;
}

/* What a chunk leaves out is older than every change: the one that mends the row, or deletes it, takes the entry with it, also where it
 * was written first. */
static void what_a_chunk_leaves_out_is_mended_by_a_change(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    struct mf_loader *l;
    struct mf_quarantined q = {.key = "id=1", .reason = "because", .code = "MFVALUE", .row = "{}"};
    struct mf_chunk_done done = {
        .table_id = conf_table(C, "t")->id, .ordinal = 9, .schema = "public", .table = "t", .rows = 0};
    if (!F->books_stamped) {
        return;
    }
    open_stamped(C, &t);
    mf_strlcpy(q.schema, conf_there(C, "t")->schema, sizeof q.schema);
    mf_strlcpy(q.table, "t", sizeof q.table);
    OK(ops(C)->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    for (int i = 0; i < 2; i++) {
        OK(ops(C)->load_begin(l, conf_there(C, "t"), conf_table(C, "t"), 5, &C->err));
        OK(ops(C)->load_quarantine(l, &q, &C->err));
        OK(ops(C)->load_commit(l, &done, &C->err));
        struct kept k = kept_of(C);
        assert_int_equal(k.n, 1 - i); /* the second time it comes too late */
        if (i == 0) {
            assert_string_equal(k.key, "id=1");
            assert_string_equal(k.code, "MFVALUE");
            add(&t, 11, MF_ROW_UPDATE, V("1", ".", "."), V("1", "part", "."));
            window(C, &t, true); /* what the stream knows is not all of it: nothing half is put there */
            assert_int_equal(t.result.nmissing, 1);
            conf_expect(MF_TARGET, "t", "");
            add(&t, 12, MF_ROW_UPDATE, V("1", ".", "."), V("1", "good", "whole"));
            window(C, &t, true);
        }
        assert_int_equal(kept_of(C).n, 0);
    }
    conf_expect(MF_TARGET, "t", "1|good|whole\n");
    ops(C)->loader_close(l);
    close_stamped(C, &t);
}

static int count_chunk(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)err;
    assert_int_equal(d->rows, 1);
    ++*(int *)ctx;
    return 0;
}

static int chunks(struct conf *C)
{
    int n = 0;
    OK(ops(C)->chunks_done(C->db[MF_TARGET], &C->forward, count_chunk, &n, &C->err));
    return n;
}

static void a_table_that_is_begun_again_is_empty(void **state)
{
    struct conf *C = *state;
    conf_schema(C);
    assert_int_equal(chunks(C), 0);
    load(C, 5, "1", "one", "b");
    load(C, 5, "2", "two", "b");
    assert_int_equal(chunks(C), 2);
    struct mf_table t = *conf_there(C, "t");
    t.id = conf_table(C, "t")->id;
    OK(ops(C)->table_reset(C->db[MF_TARGET], &C->forward, &t, &C->err));
    assert_int_equal(chunks(C), 0);
    conf_expect(MF_TARGET, "t", "");
    load(C, 5, "1", "one again", "b");
    assert_int_equal(chunks(C), 1);
    conf_expect(MF_TARGET, "t", "1|one again|b\n");
}

/* A checkpoint that is late is not taken for the last. */
static void the_checkpoint_never_goes_back(void **state)
{
    struct conf *C = *state;
    struct stamped t;
    open_stamped(C, &t);
    window(C, &t, true);
    window(C, &t, true);
    struct mf_window_mode mode = {.fuzzy = true, .stamp = 1000000};
    struct mf_position p = place(1001);
    if (F->books_stamped) {
        assert_int_equal(ops(C)->window_begin(t.a, &p, &mode, &C->err), -1);
        assert_int_equal(C->err.cls, MF_FATAL);
        assert_string_equal(C->err.code, "MFTWICE");
    }
    OK(ops(C)->checkpoint(C->db[MF_TARGET], &C->forward, &p, &C->err));
    assert_int_equal(p.order, 1002);
    assert_string_equal(p.token, place(1002).token);
    close_stamped(C, &t);
    mf_error_clear(&C->err);
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)

const struct CMUnitTest conf_stamped_tests[] = {
    T(the_later_stamp_stays),
    T(a_null_deletes_a_value_unless_the_insert_is_plain),
    T(a_load_is_older_than_every_change),
    T(a_window_that_was_lost_comes_again),
    T(a_key_that_changes_is_deleted_and_made_or_reported),
    T(a_truncate_takes_what_came_before),
    T(a_refused_row_is_kept_once),
    T(what_a_chunk_leaves_out_is_mended_by_a_change),
    T(a_table_that_is_begun_again_is_empty),
    T(the_checkpoint_never_goes_back),
    T(a_repair_is_later_than_what_came_and_earlier_than_what_comes),
};
const size_t conf_stamped_count = sizeof conf_stamped_tests / sizeof conf_stamped_tests[0];
