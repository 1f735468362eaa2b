/*
 * The loader: chunks of the copy.
 *
 * The fast way puts the source's rows of VALUES (MY_WIRE) behind an INSERT, unread. The slow way inserts values behind a savepoint, many
 * rows with a statement (load_rows) or one (load_row): for what comes from another kind of database, for chunks in which a row was refused,
 * and for tables whose target columns may cut or round a value without a word. LOAD DATA is not used: LOCAL turns errors into warnings and goes on.
 *
 * The record of the chunk is in the transaction of its rows, under a primary key: a chunk whose commit was not heard of and
 * that is loaded again is refused by the record and not by chance.
 */
#include "connector/mysql/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <string.h>

enum load_state {
    LOAD_IDLE,
    LOAD_BEGUN, /* nothing sent yet */
    LOAD_FAST,  /* in a transaction, bytes pass */
    LOAD_SLOW,  /* in a transaction, rows as values */
};

struct my_loader {
    struct mf_loader base;
    struct my_applier *a; /* its session, and what it makes statements with */
    enum load_state state;
    struct mf_arena arena;        /* of the chunk's table */
    const struct mf_table *table; /* the target's name, the source's columns */
    struct my_shape *shape;
    const char *narrow; /* a column in which a value may change unseen; NULL: none */
};

static struct my_loader *loader_of(struct mf_loader *l)
{
    return (struct my_loader *)l;
}

int my_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    struct my_loader *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    mf_arena_init(&l->arena, 64u << 20);
    l->a = my_applier_new(db, pipe, true);
    if (my_applier_connect(l->a, err) < 0) {
        my_loader_close(&l->base);
        return -1;
    }
    *ret = &l->base;
    return 0;
}

void my_loader_close(struct mf_loader *base)
{
    if (base) {
        struct my_loader *l = loader_of(base);
        my_applier_close(&l->a->base);
        mf_arena_free(&l->arena);
        free(l);
    }
}

/* The source's columns under the target's name. */
static int take_table(struct my_loader *l, const struct mf_table *t, const struct mf_table *shape, struct mf_error *err)
{
    struct mf_table both = *shape;
    both.schema = t->schema;
    both.name = t->name;
    mf_arena_reset(&l->arena);
    l->table = mf_table_copy(&l->arena, &both);
    if (!l->table) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the shape of %s.%s is too big", t->schema, t->name);
    }
    return 0;
}

int my_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                  struct mf_error *err)
{
    (void)stamp; /* nothing else writes here meanwhile */
    struct my_loader *l = loader_of(base);
    if (l->state != LOAD_IDLE) {
        my_load_abort(base);
    }
    if ((!l->a->conn && my_applier_connect(l->a, err) < 0) || take_table(l, t, source_shape, err) < 0) {
        return -1;
    }
    my_wire_reset(l->a);
    my_forget_old_shapes(l->a);
    if (my_shape_for(l->a, l->table, &l->shape, err) < 0) {
        return -1;
    }
    l->narrow = my_shape_narrow(l->shape, l->table);
    l->a->answer = 0; /* counts the rows that bytes bring */
    l->state = LOAD_BEGUN;
    return MF_FAULT(err, "mysql.load_begin");
}

static int start(struct my_loader *l, enum load_state way, struct mf_error *err)
{
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "beginning a chunk"};
    if (l->state == way) {
        return 0;
    }
    if (l->state != LOAD_BEGUN) {
        return mf_fail(err, MF_FATAL, "MFBUG", "rows and wire bytes in one chunk");
    }
    l->state = way;
    l->a->in_window = true;
    return my_wire_sql(l->a, "START TRANSACTION", &ok, err);
}

static void put_insert(struct mf_buf *b, const struct mf_table *t)
{
    const char *sep = " (";
    mf_buf_puts(b, "INSERT INTO ");
    my_put_table(b, t);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            mf_buf_puts(b, sep);
            my_put_ident(b, t->columns[i].name);
            sep = ",";
        }
    }
    mf_buf_puts(b, *sep == ',' ? ") VALUES " : " () VALUES ");
}

/* Sends the INSERT that pieces were gathered in. The server writes its rows while the next are read from the source. */
static int send_gathered(struct my_loader *l, struct mf_error *err)
{
    struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "loading", .shape = l->shape};
    struct my_applier *a = l->a;
    if (a->sql.len == a->start) {
        return 0;
    }
    return my_wire_end(a, &e, err) < 0 ? -1 : my_wire_go(a, err);
}

/* A piece is whole rows with a comma between two of them: what stands behind VALUES. */
int my_load_data(struct mf_loader *base, const void *data, size_t len, struct mf_error *err)
{
    struct my_loader *l = loader_of(base);
    struct my_applier *a = l->a;
    if (l->state == LOAD_BEGUN && l->narrow) {
        return mf_fail(err, MF_ROW, "MFNARROW",
                       "%s.%s: the target's column \"%s\" may be too narrow; its rows are looked at one by one",
                       l->table->schema, l->table->name, l->narrow);
    }
    if (len == 0) {
        return 0;
    }
    if (start(l, LOAD_FAST, err) < 0 ||
        (a->sql.len > a->start && a->sql.len - a->start + len > my_stmt_bytes(a) && send_gathered(l, err) < 0)) {
        return -1;
    }
    if (a->sql.len == a->start) {
        put_insert(&a->sql, l->table);
    } else {
        mf_buf_putc(&a->sql, ',');
    }
    mf_buf_append(&a->sql, data, len);
    return MF_FAULT(err, "mysql.load_data");
}

/* All of them or none. */
static int insert(struct my_loader *l, const struct mf_row *const *rows, size_t n, struct mf_error *err)
{
    struct mf_error refusal = {0};
    enum my_outcome outcome;
    struct my_attempt t = {.s = l->shape, .kind = MY_TRY_INSERT, .nows = rows, .n = n};
    if (start(l, LOAD_SLOW, err) < 0 || my_attempt(l->a, &t, &outcome, &refusal, err) < 0) {
        return -1;
    }
    if (outcome == MY_DONE) {
        return 0;
    }
    *err = refusal;
    err->cls = MF_ROW;
    if (l->a->bad_column[0] && !strstr(err->text, l->a->bad_column)) {
        mf_error_prefix(err, "column \"%s\"", l->a->bad_column);
    }
    return -1;
}

int my_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    return insert(loader_of(base), &row, 1, err);
}

int my_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct mf_row **list = mf_xcalloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i] = &rows[i];
    }
    return n == 0 ? 0 : insert(loader_of(base), list, n, err);
}

int my_load_applier(struct mf_loader *base, struct mf_applier **ret, struct mf_error *err)
{
    struct my_loader *l = loader_of(base);
    if (start(l, LOAD_SLOW, err) < 0) {
        return -1;
    }
    l->a->mode = (struct mf_window_mode){0}; /* what a chunk brings is new */
    l->a->result = NULL;
    *ret = &l->a->base;
    return 0;
}

int my_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    struct my_loader *l = loader_of(base);
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "writing to the quarantine"};
    if (start(l, LOAD_SLOW, err) < 0) {
        return -1;
    }
    my_put_quarantine_insert(&l->a->sql, &l->a->pipe, q);
    return my_wire_end(l->a, &ok, err) < 0 || my_wire_flush(l->a, err) < 0 ? -1 : 0;
}

static void put_record(struct mf_buf *b, const struct mf_pipe_id *pipe, const struct mf_chunk_done *d)
{
    const char *texts[] = {pipe->migration, my_direction(pipe->direction), d->schema, d->table, d->after.token};
    mf_buf_puts(b, "INSERT INTO midflight.chunk (table_id, ordinal, `rows`, bytes, after_order, whole_table, migration,"
                   " direction, schema_name, table_name, after_token) VALUES (");
    mf_buf_printf(b, "%" PRIu32 ", %" PRIu32 ", %" PRId64 ", %" PRId64 ", %" PRIu64 ", %d", d->table_id, d->ordinal,
                  d->rows, d->bytes, d->after.order, d->whole_table_snapshot);
    for (size_t i = 0; i < MF_ARRAY_LEN(texts); i++) {
        mf_buf_puts(b, ", ");
        my_put_literal(b, texts[i]);
    }
    mf_buf_putc(b, ')');
}

static int commit(struct my_loader *l, const struct mf_chunk_done *d, bool *ret_again, struct mf_error *err)
{
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "committing a chunk"};
    struct my_applier *a = l->a;
    if (l->state == LOAD_BEGUN && start(l, LOAD_SLOW, err) < 0) { /* nothing came */
        return -1;
    }
    if (my_wire_flush(a, err) < 0) {
        return -1;
    }
    put_record(&a->sql, &a->pipe, d);
    if (my_wire_end(a, &ok, err) < 0 || my_wire_flush(a, err) < 0) {
        *ret_again = my_is_error(err, ER_DUP_ENTRY);
        return -1;
    }
    return my_wire_sql(a, "COMMIT", &ok, err) < 0 || my_wire_flush(a, err) < 0 ? -1 : 0;
}

int my_load_commit(struct mf_loader *base, const struct mf_chunk_done *d, struct mf_error *err)
{
    struct my_loader *l = loader_of(base);
    bool again = false;
    int rc = 0;
    if (send_gathered(l, err) < 0 || my_wire_flush(l->a, err) < 0) {
        rc = -1;
    } else if (l->state == LOAD_FAST && d->rows >= 0 && l->a->answer != (uint64_t)d->rows) {
        rc = mf_fail(err, MF_RETRY, "MFCOUNT", "%s.%s: %" PRId64 " rows were read and %" PRIu64 " were loaded",
                     l->table->schema, l->table->name, d->rows, l->a->answer);
    }
    if (rc < 0 || MF_FAULT(err, "mysql.load_commit") || commit(l, d, &again, err) < 0) {
        struct mf_error kept = *err;
        my_load_abort(base);
        if (again) { /* the record is there: this chunk was committed by an earlier try whose answer was lost */
            mf_error_clear(err);
            return MF_FAULT(err, "mysql.load_committed");
        }
        *err = kept;
        return -1;
    }
    l->state = LOAD_IDLE;
    l->a->in_window = false;
    return MF_FAULT(err, "mysql.load_committed");
}

void my_load_abort(struct mf_loader *base)
{
    struct my_loader *l = loader_of(base);
    if (l) {
        my_window_abort(&l->a->base);
        l->state = LOAD_IDLE;
    }
}
