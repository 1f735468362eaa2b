/* What the tests share. */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "change/bookkeeping.h"
#include "connector/face/face.h"

static int number;

static const char *const names[] = {"t", "u", "w", "two"};

void conf_tables(enum mf_side side)
{
    F->create_table(side, "t",
                    (struct conf_column[]){{.name = "id", .key = true},
                                           {.name = "a", .text = true},
                                           {.name = "big", .text = true, .toast = true}},
                    3);
    F->create_table(
        side, "u", (struct conf_column[]){{.name = "id", .key = true}, {.name = "v", .text = true, .unique = true}}, 2);
    F->create_table(side, "w", (struct conf_column[]){{.name = "a"}, {.name = "b", .text = true}}, 2);
    F->create_table(side, "two",
                    (struct conf_column[]){{.name = "k1", .key = true},
                                           {.name = "k2", .text = true, .key = true},
                                           {.name = "n", .text = true}},
                    3);
}

int conf_setup(void **state)
{
    struct conf *C = mf_xcalloc(1, sizeof *C);
    *state = C;
    number++;
    for (int side = 0; side < 2; side++) {
        struct mf_db_options o = {.url = F->url[side], .side = (enum mf_side)side, .connect_timeout_s = 60};
        const struct mf_connector *connector = mf_connector_for_url(F->url[side], &C->err);
        assert_non_null(connector);
        OK(connector->open(&o, &C->db[side], &C->err));
        if (F->faces) {
            OK(mf_face_open(C->db[side], side == MF_SOURCE ? NULL : C->db[MF_SOURCE], &C->db[side], &C->err));
        }
        for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
            F->drop_table((enum mf_side)side, names[i]);
        }
    }
    snprintf(C->forward.migration, sizeof C->forward.migration, "conf_%d", number);
    C->forward.direction = MF_FORWARD;
    C->reverse = C->forward;
    C->reverse.direction = MF_REVERSE;
    C->src = C->db[0]->connector->source;
    C->tgt = C->db[MF_TARGET]->connector->target;
    C->traffic = C->db[0]->connector->traffic;
    conf_tables(MF_SOURCE);
    OK(C->db[MF_SOURCE]->connector->target->prepare(C->db[MF_SOURCE], &C->forward, &C->err));
    OK(C->tgt->prepare(C->db[MF_TARGET], &C->forward, &C->err));
    return 0;
}

int conf_teardown(void **state)
{
    struct conf *C = *state;
    for (int side = 0; side < 2; side++) {
        OK(C->db[side]->connector->traffic->cleanup(C->db[side], &C->forward, &C->err));
        OK(C->db[side]->connector->traffic->cleanup(C->db[side], &C->forward, &C->err)); /* idempotent */
        assert_int_equal(F->residue((enum mf_side)side), 0);
        C->db[side]->connector->close(C->db[side]);
    }
    mf_catalog_free(&C->tables);
    mf_catalog_free(&C->there);
    free(C);
    return 0;
}

const struct mf_table *conf_table(struct conf *C, const char *name)
{
    if (!C->tables.tables) {
        OK(C->src->catalog(C->db[MF_SOURCE], NULL, &C->tables, &C->err));
    }
    const struct mf_table *t = mf_catalog_find(&C->tables, F->schema, name);
    assert_non_null(t);
    return t;
}

const struct mf_table *conf_there(struct conf *C, const char *name)
{
    if (!C->there.tables) {
        OK(C->src->catalog(C->db[MF_TARGET], NULL, &C->there, &C->err));
    }
    const struct mf_table *t = mf_catalog_find(&C->there, F->schema, name);
    assert_non_null(t);
    return t;
}

void conf_schema(struct conf *C)
{
    struct mf_table some[MF_ARRAY_LEN(names)]; /* not what a sequence is in one engine */
    struct mf_catalog ours = {.tables = some};
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        if (!F->needs_keys || conf_table(C, names[i])->nkey) {
            some[ours.n++] = *conf_table(C, names[i]);
        }
    }
    struct mf_findings *f = mf_findings_new();
    for (int stage = MF_SCHEMA_BEFORE_ROWS; stage <= MF_SCHEMA_AFTER_SYNC; stage++) {
        struct mf_schema_job job = {.stage = (enum mf_schema_stage)stage, .tables = &ours, .jobs = 2};
        OK(C->tgt->schema_apply(C->db[MF_TARGET], C->db[MF_SOURCE], &job, f, &C->err));
    }
    mf_findings_free(f);
}

void conf_write(enum mf_side side, const char *table, size_t n, const char *const *values)
{
    bool waits = false;
    struct conf_tx *t = F->begin(side);
    assert_int_equal(F->insert(t, table, n, values, &waits), 0);
    assert_int_equal(F->commit(t), 0);
}

void conf_expect(enum mf_side side, const char *table, const char *rows)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    F->dump(side, table, &b);
    assert_string_equal(mf_buf_str(&b), rows);
}

const char *conf_big(char with)
{
    static char text[4][20001];
    static int next;
    char *s = text[next++ % 4];
    uint32_t x = (uint32_t)with * 2654435761u + 1;
    for (int i = 0; i < 20000; i++) {
        x = x * 1664525u + 1013904223u;
        s[i] = (char)('a' + (x >> 24) % 26);
    }
    s[0] = with;
    s[20000] = 0;
    return s;
}

/* ---- streams ---- */

struct line {
    uint64_t txn, subtxn;
    char *text;
};

static void value_text(struct mf_buf *b, const struct mf_value *v)
{
    if (v->kind == MF_UNCHANGED) {
        mf_buf_putc(b, '.');
    } else if (v->kind == MF_NULL) {
        mf_buf_puts(b, "\\N");
    } else if (v->len > 40) {
        mf_buf_printf(b, "[%u]", v->len);
    } else {
        mf_buf_append(b, v->data, v->len);
    }
}

static void row_text(struct mf_buf *b, const struct mf_row *r)
{
    for (uint16_t i = 0; i < r->n; i++) {
        if (i) {
            mf_buf_putc(b, '|');
        }
        value_text(b, &r->values[i]);
    }
}

static char *change_text(const struct mf_change *c, char *marker, size_t n)
{
    struct mf_buf b = {.max = 1 << 20};
    enum mf_book book = mf_bookkeeping(c->table);
    if (book == MF_BOOK_HEARTBEAT) {
        if (mf_book_text(c, "marker", marker, n)) {
            marker[0] = 0;
        }
        return NULL;
    }
    if (book != MF_BOOK_NONE) {
        if (book == MF_BOOK_CHECKPOINT || book == MF_BOOK_EPOCH) {
            mf_buf_puts(&b, book == MF_BOOK_EPOCH ? "epoch\n" : "checkpoint\n");
            return mf_buf_steal(&b, NULL);
        }
        return NULL;
    }
    mf_buf_printf(&b, "%c %s ", "?IUDT"[c->op], c -> table -> name);
    if (c->op == MF_TRUNCATE) {
        mf_buf_reset(&b);
        mf_buf_puts(&b, "T ");
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            mf_buf_printf(&b, "%s%s", i ? "," : "", c->truncated[i]->name);
        }
    } else if (c->op == MF_DELETE) {
        row_text(&b, &c->old_row);
    } else {
        if (c->has_old) {
            mf_buf_putc(&b, '(');
            row_text(&b, &c->old_row);
            mf_buf_puts(&b, ") ");
        }
        row_text(&b, &c->new_row);
    }
    mf_buf_putc(&b, '\n');
    return mf_buf_steal(&b, NULL);
}

void conf_stream_open(struct conf *C, struct conf_stream *s, const struct mf_pipe_id *pipe, enum mf_side side,
                      const struct mf_position *from)
{
    memset(s, 0, sizeof *s);
    s->C = C;
    mf_buf_init(&s->text, 1 << 22);
    OK(C->src->stream_open(C->db[side], pipe, from, false, &s->st, &C->err));
}

void conf_stream_close(struct conf_stream *s)
{
    s->C->src->stream_close(s->st);
    mf_buf_free(&s->text);
}

void conf_stream_until(struct conf_stream *s, const char *marker)
{
    struct conf *C = s->C;
    static struct line lines[4096];
    size_t n = 0;
    uint64_t in = 0;
    char seen[128] = "";
    uint64_t marked = 0;
    for (int idle = 0; idle < 3000;) {
        struct mf_item it;
        OK(C->src->stream_next(s->st, 10, &it, &C->err));
        if (it.kind == MF_ITEM_NONE) {
            idle++;
        } else if (it.kind == MF_ITEM_BEGIN) {
            s->interleaved += in != 0 && in != it.txn;
            in = it.txn;
        } else if (it.kind == MF_ITEM_CHANGE) {
            assert_non_null(it.change.table);
            char *text = change_text(&it.change, seen, sizeof seen);
            if (text) {
                assert_true(n < MF_ARRAY_LEN(lines));
                lines[n++] = (struct line){it.txn, it.subtxn, text};
            } else if (mf_streq(seen, marker)) {
                marked = it.txn;
            }
        } else if (it.kind == MF_ITEM_ABORT) {
            s->aborts++;
            for (size_t i = 0; i < n; i++) {
                if (lines[i].txn == it.txn && (it.subtxn == it.txn || lines[i].subtxn == it.subtxn)) {
                    free(MF_STEAL(lines[i].text));
                }
            }
        } else if (it.kind == MF_ITEM_PROGRESS) {
            assert_true(it.position.order >= s->last.order);
            s->last = it.position;
        } else if (it.kind == MF_ITEM_COMMIT) {
            assert_true(it.position.order > s->last.order);
            assert_true(it.commit_time_us > 0);
            s->last = it.position;
            in = 0;
            bool any = false;
            for (size_t i = 0; i < n; i++) {
                if (lines[i].text && lines[i].txn == it.txn) {
                    mf_buf_puts(&s->text, lines[i].text);
                    free(MF_STEAL(lines[i].text));
                    any = true;
                }
            }
            if (any) {
                mf_buf_puts(&s->text, "C\n");
            }
            if (marked && marked == it.txn) {
                for (size_t i = 0; i < n; i++) {
                    free(MF_STEAL(lines[i].text));
                }
                return;
            }
        }
    }
    fail_msg("marker %s did not come", marker);
}

void conf_stream_expect(struct conf_stream *s, const char *text)
{
    assert_string_equal(mf_buf_str(&s->text), text);
    mf_buf_reset(&s->text);
}

/* ---- batches ---- */

void conf_batch_start(struct conf_batch *b, const struct mf_table *t)
{
    memset(b, 0, sizeof *b);
    b->table = (struct mf_batch_table){
        .table = t, .rel = 1, .deletes = b->lists[0], .updates = b->lists[1], .inserts = b->lists[2]};
    b->batch = (struct mf_batch){.ntables = 1, .tables = &b->table};
}

static struct mf_row row_of(struct mf_value *to, const struct mf_table *t, const char *const *text)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        to[i] = !text[i]                 ? (struct mf_value){.kind = MF_NULL}
                : mf_streq(text[i], ".") ? (struct mf_value){.kind = MF_UNCHANGED}
                                         : (struct mf_value){MF_TEXT, (uint32_t)strlen(text[i]), text[i]};
    }
    return (struct mf_row){.n = t->ncolumns, .values = to};
}

void conf_batch_add(struct conf_batch *b, enum mf_rowop op, const char *const *old_row, const char *const *new_row)
{
    struct mf_rowchange *c = &b->changes[b->n];
    *c = (struct mf_rowchange){.op = op, .count = 1};
    if (old_row) {
        c->old_row = row_of(b->values[b->n * 2], b->table.table, old_row);
    }
    if (new_row) {
        c->new_row = row_of(b->values[b->n * 2 + 1], b->table.table, new_row);
    }
    b->n++;
    b->batch.rows++;
    if (op == MF_ROW_DELETE) {
        b->table.deletes[b->table.ndeletes++] = c;
    } else if (op == MF_ROW_INSERT) {
        b->table.inserts[b->table.ninserts++] = c;
    } else {
        b->table.updates[b->table.nupdates++] = c;
    }
}

int conf_take_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    assert_string_equal(q->table, "u");
    assert_non_null(strstr(q->key, "3"));
    assert_true(q->reason[0] != 0 && q->code[0] != 0);
    *(int64_t *)ctx = q->id;
    return 0;
}
