/* Catalogue, snapshots, chunks, digests. */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/str.h"

struct collected {
    size_t n;
    struct mf_chunk chunks[64];
    size_t rows;
    char *lines[256];
    size_t digests;
    uint64_t lane1;
};

static int collect_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    struct collected *k = ctx;
    assert_true(k->n < MF_ARRAY_LEN(k->chunks));
    k->chunks[k->n++] = *c;
    return 0;
}

static int collect_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    struct collected *k = ctx;
    struct mf_buf b = {.max = 1 << 16};
    for (uint16_t i = 0; i < row->n; i++) {
        mf_buf_puts(&b, i ? "|" : "");
        mf_buf_append(&b, row->values[i].kind == MF_NULL ? "\\N" : row->values[i].data,
                      row->values[i].kind == MF_NULL ? 2 : row->values[i].len);
    }
    assert_true(k->rows < MF_ARRAY_LEN(k->lines));
    k->lines[k->rows++] = mf_buf_steal(&b, NULL);
    return 0;
}

static int collect_digest(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    (void)err;
    struct collected *k = ctx;
    assert_int_equal(d->rows, 1);
    (void)key;
    k->digests++;
    k->lane1 += d->lane1;
    return 0;
}

static void forget(struct collected *k)
{
    for (size_t i = 0; i < k->rows; i++) {
        free(k->lines[i]);
    }
    free(k);
}

static void fill(enum mf_side side, int from, int to)
{
    struct conf_tx *x = F->begin(side);
    for (int i = from; i < to; i++) {
        char id[16], text[16];
        snprintf(id, sizeof id, "%d", i);
        snprintf(text, sizeof text, "row %d", i);
        assert_int_equal(F->insert(x, "t", 3, V(id, text, NULL), NULL), 0);
        assert_int_equal(F->insert(x, "two", 3, V(id, i % 2 ? "b" : "a", text), NULL), 0);
        assert_int_equal(F->insert(x, "w", 2, V("7", i % 2 ? "odd" : "even"), NULL), 0);
    }
    F->commit(x);
}

static void the_catalogue_knows_columns_and_keys(void **state)
{
    struct conf *C = *state;
    const struct mf_table *t = conf_table(C, "two");
    assert_int_equal(t->identity, MF_IDENTITY_KEY);
    assert_int_equal(t->ncolumns, 3);
    assert_int_equal(t->nkey, 2);
    assert_int_equal(t->key[0], 0);
    assert_int_equal(t->key[1], 1);
    assert_string_equal(t->columns[2].name, "n");
    assert_true(t->columns[0].in_key && t->columns[1].in_key && !t->columns[2].in_key);
    assert_int_equal(conf_table(C, "w")->identity, MF_IDENTITY_FULL);
    assert_null(mf_catalog_find(&C->tables, "midflight", "checkpoint"));
    char all_t[64], two[64];
    snprintf(all_t, sizeof all_t, "%s.t*", F->schema);
    snprintf(two, sizeof two, "%s.two", F->schema);
    const char *only[] = {all_t}, *without[] = {two};
    struct mf_filter f = {.include = only, .ninclude = 1, .exclude = without, .nexclude = 1};
    struct mf_catalog some = {0};
    OK(C->src->catalog(C->db[MF_SOURCE], &f, &some, &C->err));
    assert_non_null(mf_catalog_find(&some, F->schema, "t"));
    assert_null(mf_catalog_find(&some, F->schema, "two"));
    assert_null(mf_catalog_find(&some, F->schema, "u"));
    mf_catalog_free(&some);
}

static void chunks_cover_a_table_once(void **state)
{
    struct conf *C = *state;
    static const char *const tables[] = {"t", "two", "w", "u"};
    fill(MF_SOURCE, -10, 40);
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        const struct mf_table *t = conf_table(C, tables[i]);
        struct collected *k = calloc(1, sizeof *k);
        struct mf_snapshot *s;
        struct mf_reader *r;
        OK(C->src->snapshot_open(C->db[MF_SOURCE], &C->forward, 1, &s, &C->err));
        OK(C->src->reader_open(C->db[MF_SOURCE], s, &r, &C->err));
        OK(C->src->chunk_plan(r, t, 7, 1 << 30, collect_chunk, k, &C->err));
        assert_true(k->n >= 1);
        assert_false(k->chunks[0].has_lower);
        assert_false(k->chunks[k->n - 1].has_upper);
        for (size_t c = 0; c < k->n; c++) {
            struct mf_position after = {0};
            assert_int_equal(k->chunks[c].ordinal, c);
            assert_int_equal(k->chunks[c].table_id, t->id);
            OK(C->src->chunk_rows(r, t, &k->chunks[c], collect_row, k, &after, &C->err));
        }
        assert_int_equal(k->rows, mf_streq(tables[i], "u") ? 0 : 50);
        for (size_t a = 0; !mf_streq(tables[i], "w") && a < k->rows; a++) {
            for (size_t b = a + 1; b < k->rows; b++) {
                assert_string_not_equal(k->lines[a], k->lines[b]);
            }
        }
        C->src->reader_close(r);
        C->src->snapshot_close(s);
        forget(k);
    }
}

struct loading {
    struct conf *C;
    struct mf_loader *l;
};

static int load_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    const struct loading *d = ctx;
    return d->C->tgt->load_row(d->l, row, err);
}

static int load_chunk(struct conf *C, struct mf_reader *r, struct mf_loader *l, const struct mf_table *t,
                      const struct mf_chunk *c)
{
    const void *data;
    size_t len;
    struct mf_chunk_done done = {.table_id = t->id, .ordinal = c->ordinal};
    snprintf(done.schema, sizeof done.schema, "%s", t->schema);
    snprintf(done.table, sizeof done.table, "%s", t->name);
    if (F->faces) { /* nobody reads the wire of another kind */
        OK(C->tgt->load_begin(l, conf_there(C, t->name), t, 1, &C->err));
        int refused = C->src->chunk_rows(r, t, c, load_row, &(struct loading){C, l}, &done.after, &C->err);
        return refused ? refused : C->tgt->load_commit(l, &done, &C->err);
    }
    OK(C->src->chunk_open(r, t, c, &C->err));
    OK(C->tgt->load_begin(l, conf_there(C, t->name), t, 1, &C->err));
    int rc = 0;
    for (;;) {
        OK(C->src->chunk_read(r, &data, &len, &C->err));
        if (!len) {
            break;
        }
        rc = rc == 0 ? C->tgt->load_data(l, data, len, &C->err)
                     : rc; /* it may say now what another says at the commit */
    }
    OK(C->src->chunk_close(r, &done.after, &done.rows, &C->err));
    assert_true(done.after.order > 0);
    return rc == 0 ? C->tgt->load_commit(l, &done, &C->err) : rc;
}

static int count_done(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)err;
    assert_true(d->after.order > 0);
    assert_true(d->after.token[0] != 0);
    ++*(int *)ctx;
    return 0;
}

static void rows_pass_from_reader_to_loader(void **state)
{
    struct conf *C = *state;
    static const char *const tables[] = {"t", "two", "w", "u"};
    fill(MF_SOURCE, 0, 25);
    WRITE(MF_SOURCE, "u", "1", "tab\there \\N \"quoted\" \xc3\xa9");
    WRITE(MF_SOURCE, "u", "2", NULL);
    WRITE(MF_SOURCE, "u", "3", "");
    conf_schema(C);
    struct mf_reader *r;
    struct mf_loader *l;
    OK(C->src->reader_open(C->db[MF_SOURCE], NULL, &r, &C->err));
    OK(C->tgt->loader_open(C->db[MF_TARGET], &C->forward, &l, &C->err));
    int chunks = 0, done = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        const struct mf_table *t = conf_table(C, tables[i]);
        struct collected *k = calloc(1, sizeof *k);
        if (t->identity == MF_IDENTITY_KEY) {
            OK(C->src->chunk_plan(r, t, 10, 1 << 30, collect_chunk, k, &C->err));
        } else {
            k->n = 1; /* without a snapshot: the whole table */
            k->chunks[0].table_id = t->id;
        }
        for (size_t c = 0; c < k->n; c++, chunks++) {
            OK(load_chunk(C, r, l, t, &k->chunks[c]));
        }
        (void)load_chunk(C, r, l, t, &k->chunks[0]); /* its record is there already: refused or left, never twice */
        C->tgt->load_abort(l);
        struct mf_buf a = {.max = 1 << 20}, b = {.max = 1 << 20};
        F->dump(MF_SOURCE, tables[i], &a);
        F->dump(MF_TARGET, tables[i], &b);
        assert_string_equal(mf_buf_str(&a), mf_buf_str(&b));
        mf_buf_free(&a);
        mf_buf_free(&b);
        forget(k);
    }
    OK(C->tgt->chunks_done(C->db[MF_TARGET], &C->forward, count_done, &done, &C->err));
    assert_int_equal(done, chunks);
    C->src->reader_close(r);
    C->tgt->loader_close(l);
}

static void a_snapshot_is_exact_at_its_position(void **state)
{
    struct conf *C = *state;
    struct mf_position start;
    conf_table(C, "t");
    OK(C->src->stream_prepare(C->db[MF_SOURCE], &C->forward, &C->tables, &start, &C->err));
    WRITE(MF_SOURCE, "u", "1", "before");
    struct conf_tx *open = F->begin(MF_SOURCE);
    assert_int_equal(F->insert(open, "u", 2, V("2", "in flight"), NULL), 0);
    struct mf_snapshot *s;
    struct mf_reader *r;
    if (strcmp(F->name, "memory") != 0) { /* a server may wait for transactions in flight before it gives one */
        F->commit(open);
        open = NULL;
    }
    OK(C->src->snapshot_open(C->db[MF_SOURCE], &C->forward, 1, &s, &C->err));
    assert_true(s->position.order > start.order);
    if (open) {
        F->commit(open);
    }
    WRITE(MF_SOURCE, "u", "3", "after");
    OK(C->src->reader_open(C->db[MF_SOURCE], s, &r, &C->err));
    struct collected *k = calloc(1, sizeof *k);
    struct mf_chunk all = {.table_id = conf_table(C, "u")->id};
    struct mf_position after;
    OK(C->src->chunk_rows(r, conf_table(C, "u"), &all, collect_row, k, &after, &C->err));
    size_t seen = k->rows;
    assert_int_equal(seen, strcmp(F->name, "memory") == 0 ? 1 : 2);
    assert_string_equal(k->lines[0], "1|before");
    /* What the stream has after the position is exactly what the snapshot has not. */
    struct conf_stream st;
    OK(C->src->heartbeat(C->db[MF_SOURCE], &C->forward, "end", NULL, &C->err));
    conf_stream_open(C, &st, &C->forward, MF_SOURCE, &s->position);
    conf_stream_until(&st, "end");
    conf_stream_expect(&st, seen == 1 ? "I u 2|in flight\nC\nI u 3|after\nC\n" : "I u 3|after\nC\n");
    conf_stream_close(&st);
    C->src->reader_close(r);
    C->src->snapshot_close(s);
    forget(k);
}

static void a_changed_shape_is_refused(void **state)
{
    struct conf *C = *state;
    const struct mf_table *t = conf_table(C, "u");
    struct mf_chunk all = {.table_id = t->id};
    struct mf_reader *r;
    F->add_column(MF_SOURCE, "u", "extra");
    OK(C->src->reader_open(C->db[MF_SOURCE], NULL, &r, &C->err));
    assert_int_equal(C->src->chunk_open(r, t, &all, &C->err), -1);
    assert_string_equal(C->err.code, "MFSHAPE");
    C->src->reader_close(r);
}

static void rows_are_read_by_key(void **state)
{
    struct conf *C = *state;
    fill(MF_SOURCE, 0, 10);
    const struct mf_table *t = conf_table(C, "two");
    struct mf_value v[3][3];
    static const char *const keys[3][2] = {{"3", "b"}, {"3", "a"}, {"4", "a"}};
    struct mf_row rows[3];
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < 2; c++) {
            v[i][c] = (struct mf_value){MF_TEXT, (uint32_t)strlen(keys[i][c]), keys[i][c]};
        }
        v[i][2] = (struct mf_value){.kind = MF_UNCHANGED};
        rows[i] = (struct mf_row){.n = 3, .values = v[i]};
    }
    struct mf_reader *r;
    struct mf_position after = {0};
    struct collected *k = calloc(1, sizeof *k);
    OK(C->src->reader_open(C->db[MF_SOURCE], NULL, &r, &C->err));
    OK(C->src->read_rows(r, t, rows, 3, collect_row, k, &after, &C->err));
    assert_true(after.order > 0);
    assert_int_equal(k->rows, 2);
    bool swapped = strcmp(k->lines[0], "3|b|row 3") != 0;
    assert_string_equal(k->lines[swapped], "3|b|row 3");
    assert_string_equal(k->lines[!swapped], "4|a|row 4");
    C->src->reader_close(r);
    forget(k);
}

static struct mf_digest digest(struct conf *C, enum mf_side side, const char *table, const struct mf_chunk *c)
{
    struct mf_reader *r;
    struct mf_digest d = {0};
    struct mf_catalog own = {0}; /* t is the table of the database that is read */
    OK(C->src->catalog(C->db[side], NULL, &own, &C->err));
    const struct mf_table *t = mf_catalog_find(&own, F->schema, table);
    assert_non_null(t);
    struct mf_chunk all = {.table_id = t->id};
    OK(C->src->reader_open(C->db[side], NULL, &r, &C->err));
    OK(C->src->digest(r, t, c ? c : &all, &d, &C->err));
    C->src->reader_close(r);
    mf_catalog_free(&own);
    return d;
}

static bool equal(struct mf_digest a, struct mf_digest b)
{
    return a.rows == b.rows && a.lane1 == b.lane1 && a.lane2 == b.lane2;
}

static void digests_are_equal_exactly_when_the_rows_are(void **state)
{
    struct conf *C = *state;
    static const char *const tables[] = {"t", "two", "w"};
    conf_schema(C);
    fill(MF_SOURCE, 0, 20);
    fill(MF_TARGET, 10, 20); /* another order of insertion */
    fill(MF_TARGET, 0, 10);
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        struct mf_digest a = digest(C, MF_SOURCE, tables[i], NULL);
        assert_int_equal(a.rows, 20);
        assert_true(equal(a, digest(C, MF_TARGET, tables[i], NULL)));
    }
    struct conf_tx *x = F->begin(MF_TARGET);
    assert_int_equal(F->update(x, "t", "id", "7", "big", ""), 0); /* NULL and empty are not the same */
    assert_int_equal(F->remove(x, "two", "n", "row 7"), 0);
    F->commit(x);
    WRITE(MF_TARGET, "w", "7", "odd"); /* one more of an equal row */
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        assert_false(equal(digest(C, MF_SOURCE, tables[i], NULL), digest(C, MF_TARGET, tables[i], NULL)));
    }
}

static void digests_of_chunks_split_down_to_the_rows(void **state)
{
    struct conf *C = *state;
    const struct mf_table *t = conf_table(C, "two");
    struct collected *k = calloc(1, sizeof *k), *parts = calloc(1, sizeof *parts);
    conf_schema(C);
    fill(MF_SOURCE, 0, 20);
    fill(MF_TARGET, 0, 20);
    struct mf_reader *r;
    OK(C->src->reader_open(C->db[MF_SOURCE], NULL, &r, &C->err));
    OK(C->src->chunk_plan(r, t, 8, 1 << 30, collect_chunk, k, &C->err));
    uint64_t rows = 0;
    for (size_t i = 0; i < k->n; i++) {
        struct mf_digest whole = digest(C, MF_SOURCE, "two", &k->chunks[i]), sum = {0};
        assert_true(equal(whole, digest(C, MF_TARGET, "two", &k->chunks[i])));
        rows += whole.rows;
        parts->n = parts->digests = 0;
        parts->lane1 = 0;
        OK(C->src->chunk_split(r, t, &k->chunks[i], 3, collect_chunk, parts, &C->err));
        assert_true(whole.rows < 2 || parts->n > 1);
        for (size_t p = 0; p < parts->n; p++) {
            struct mf_digest d = digest(C, MF_TARGET, "two", &parts->chunks[p]);
            sum.rows += d.rows;
            sum.lane1 += d.lane1;
            sum.lane2 += d.lane2;
        }
        assert_true(equal(whole, sum));
        OK(C->src->digest_rows(r, t, &k->chunks[i], collect_digest, parts, &C->err));
        assert_int_equal(parts->digests, whole.rows);
    }
    assert_int_equal(rows, 20);
    C->src->reader_close(r);
    forget(k);
    forget(parts);
}

static int take_sequence(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    (void)err;
    if (mf_streq(s->name, "conf_seq")) {
        *(struct mf_sequence *)ctx = *s;
    }
    return 0;
}

static void sequences_are_read_and_set(void **state)
{
    struct conf *C = *state;
    struct mf_sequence s = {0}, t = {0};
    F->nextval(MF_SOURCE, "conf_seq", 5);
    F->nextval(MF_TARGET, "conf_seq", 1);
    OK(C->src->sequences(C->db[MF_SOURCE], NULL, take_sequence, &s, &C->err));
    assert_true(s.last_value >= 5 && s.is_called);
    OK(C->tgt->sequences_set(C->db[MF_TARGET], &s, 1, &C->err));
    OK(C->src->sequences(C->db[MF_TARGET], NULL, take_sequence, &t, &C->err));
    assert_int_equal(t.last_value, s.last_value);
    assert_true(t.is_called);
}

#define T(f) cmocka_unit_test_setup_teardown(f, conf_setup, conf_teardown)
const struct CMUnitTest conf_read_tests[] = {
    T(the_catalogue_knows_columns_and_keys),
    T(chunks_cover_a_table_once),
    T(rows_pass_from_reader_to_loader),
    T(a_snapshot_is_exact_at_its_position),
    T(a_changed_shape_is_refused),
    T(rows_are_read_by_key),
    T(digests_are_equal_exactly_when_the_rows_are),
    T(digests_of_chunks_split_down_to_the_rows),
    T(sequences_are_read_and_set),
};
const size_t conf_read_count = sizeof conf_read_tests / sizeof conf_read_tests[0];
