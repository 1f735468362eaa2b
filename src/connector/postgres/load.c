/*
 * The loader: chunks of the copy.
 *
 * The fast way feeds the source's COPY bytes to COPY FROM STDIN unread. The slow way inserts values behind a savepoint, many rows
 * with one statement (load_rows) or one (load_row), on a connection of its own: for what comes from another kind of database, for chunks in
 * which a row was refused, and for tables whose target columns are narrower than the source's, where COPY would round or cut without a word.
 *
 * The record of the chunk is in the transaction of its rows, under a primary key: a chunk whose commit was not heard of and
 * that is loaded again is refused by the record and not by chance. synchronous_commit stays what the server says: a
 * chunk told as done stays done when the target's server dies a moment later, while we live on and believe it.
 */
#include "connector/postgres/load.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/wire.h"

#include <inttypes.h>
#include <string.h>

#define COPY_PIECE (64u << 10) /* libpq's buffer holds one piece more than the socket took */

int pg_loader_open(struct mf_db *mdb, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    struct pg_loader *l = mf_xcalloc(1, sizeof(*l));
    l->base.db = mdb;
    l->db = pg_db_of(mdb);
    l->pipe = *pipe;
    mf_arena_init(&l->arena, 64u << 20);
    if (pg_connect(l->db, "load", 0, &l->conn, err) < 0 || pg_writer_session(l->db, l->conn, pipe, err) < 0) {
        pg_loader_close(&l->base);
        return -1;
    }
    *ret = &l->base;
    return 0;
}

void pg_loader_close(struct mf_loader *base)
{
    if (!base) {
        return;
    }
    struct pg_loader *l = pg_loader_of(base);
    pg_finish(l->conn);
    if (l->slow) {
        pg_applier_close(&l->slow->base);
    }
    mf_arena_free(&l->arena);
    free(l);
}

/* The source's columns under the target's name. */
static int take_tables(struct pg_loader *l, const struct mf_table *t, const struct mf_table *shape,
                       struct mf_error *err)
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

/* A "char" above 127 has another text since 15: by COPY's text it would become a backslash on one before, in silence. */
static const char *char_by_text(const struct mf_table *source)
{
    for (uint16_t i = 0; i < source->ncolumns; i++) {
        if (source->columns[i].type_id == PG_CHAR && !source->columns[i].generated) {
            return source->columns[i].name;
        }
    }
    return NULL;
}

int pg_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                  struct mf_error *err)
{
    (void)stamp; /* nothing else writes here meanwhile */
    struct pg_loader *l = pg_loader_of(base);
    if (l->state != PG_LOAD_IDLE) {
        pg_load_abort(base);
    }
    if (take_tables(l, t, source_shape, err) < 0) {
        return -1;
    }
    l->binary = pg_table_binary_ok(source_shape);
    l->narrow = pg_narrower(t, source_shape);
    if (!l->narrow && !l->binary) {
        l->narrow = char_by_text(source_shape);
    }
    l->copied = -1;
    l->state = PG_LOAD_BEGUN;
    return MF_FAULT(err, "postgres.load_begin");
}

static int start_copy(struct pg_loader *l, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    bool any = false;
    mf_buf_puts(&sql, "BEGIN; COPY ");
    pg_put_table(&sql, l->table);
    mf_buf_puts(&sql, " (");
    for (uint16_t i = 0; i < l->table->ncolumns; i++) {
        if (!l->table->columns[i].generated) {
            mf_buf_puts(&sql, any ? ", " : "");
            pg_put_ident(&sql, l->table->columns[i].name);
            any = true;
        }
    }
    mf_buf_printf(&sql, ") FROM STDIN (FORMAT %s)", l->binary ? "binary" : "text");
    if (!any) { /* a table of no columns: () is no list */
        mf_buf_reset(&sql);
        mf_buf_puts(&sql, "BEGIN; COPY ");
        pg_put_table(&sql, l->table);
        mf_buf_printf(&sql, " FROM STDIN (FORMAT %s)", l->binary ? "binary" : "text");
    }
    if (!pg_sql(&sql, err)) {
        return -1;
    }
    PG_CLEANUP_RESULT PGresult *r = PQexec(l->conn, mf_buf_str(&sql));
    if (PQresultStatus(r) != PGRES_COPY_IN) {
        pg_fail_result(l->conn, r, err);
        mf_error_prefix(err, "loading %s.%s", l->table->schema, l->table->name);
        return -1;
    }
    l->state = PG_LOAD_COPYING;
    return 0;
}

int pg_load_data(struct mf_loader *base, const void *data, size_t len, struct mf_error *err)
{
    struct pg_loader *l = pg_loader_of(base);
    if (l->state == PG_LOAD_BEGUN) {
        if (l->narrow) {
            return mf_fail(err, MF_ROW, "MFNARROW",
                           "%s.%s: the target's column \"%s\" may be too narrow; its rows are looked at one by one",
                           l->table->schema, l->table->name, l->narrow);
        }
        if (start_copy(l, err) < 0) {
            return -1;
        }
    }
    if (l->state != PG_LOAD_COPYING) {
        return mf_fail(err, MF_FATAL, "MFBUG", "rows and wire bytes in one chunk");
    }
    for (size_t at = 0; at < len; at += COPY_PIECE) {
        size_t n = len - at < COPY_PIECE ? len - at : COPY_PIECE;
        if (PQputCopyData(l->conn, (const char *)data + at, (int)n) != 1) {
            pg_fail_conn(l->conn, err);
            struct mf_error said = {0};
            if (pg_drain(l->conn, &said) < 0 && said.cls != MF_RETRY) {
                *err = said; /* the server's reason, when it gave one */
            }
            return -1;
        }
    }
    return MF_FAULT(err, "postgres.load_data");
}

static int end_copy(struct pg_loader *l, struct mf_error *err)
{
    int sent = PQputCopyEnd(l->conn, NULL);
    l->state = PG_LOAD_LOADED;
    PGresult *r;
    int rc = 0;
    while ((r = PQgetResult(l->conn))) {
        if (PQresultStatus(r) == PGRES_COMMAND_OK) {
            l->copied = strtoll(PQcmdTuples(r), NULL, 10);
        } else if (rc == 0) {
            rc = pg_fail_result(l->conn, r, err);
        }
        bool stuck = PQstatus(l->conn) == CONNECTION_BAD;
        PQclear(r);
        if (stuck) {
            break;
        }
    }
    if (rc == 0 && (sent != 1 || l->copied < 0)) {
        rc = pg_fail_conn(l->conn, err);
    }
    if (rc < 0) {
        mf_error_prefix(err, "loading %s.%s", l->table->schema, l->table->name);
    }
    return rc;
}

static void put_record(struct mf_buf *b, const struct pg_loader *l, const struct mf_chunk_done *d)
{
    const char *texts[] = {l->pipe.migration, pg_direction(l->pipe.direction), d->schema, d->table, d->after.token};
    mf_buf_puts(b, "INSERT INTO midflight.chunk (table_id, ordinal, rows, bytes, after_order, whole_table, migration,"
                   " direction, schema_name, table_name, after_token) VALUES (");
    mf_buf_printf(b, "%" PRIu32 ", %" PRIu32 ", %" PRId64 ", %" PRId64 ", %" PRIu64 ", %s", d->table_id, d->ordinal,
                  d->rows, d->bytes, d->after.order, d->whole_table_snapshot ? "true" : "false");
    for (size_t i = 0; i < MF_ARRAY_LEN(texts); i++) {
        mf_buf_puts(b, ", ");
        pg_put_literal(b, texts[i]);
    }
    mf_buf_putc(b, ')');
}

static int commit(struct pg_loader *l, const struct mf_chunk_done *d, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    if (l->state == PG_LOAD_SLOW) {
        struct pg_expect ok = {.kind = PG_EXPECT_OK, .doing = "recording a chunk"};
        struct pg_expect done = {.kind = PG_EXPECT_COMMIT, .doing = "committing a chunk"};
        put_record(&sql, l, d);
        return pg_wire_sql(l->slow, mf_buf_str(&sql), &ok, err) < 0 || pg_wire_sql(l->slow, "COMMIT", &done, err) < 0 ||
                       pg_wire_sync(l->slow, err) < 0
                   ? -1
                   : 0;
    }
    if (l->state == PG_LOAD_BEGUN) { /* nothing came */
        mf_buf_puts(&sql, "BEGIN; ");
    }
    put_record(&sql, l, d);
    mf_buf_puts(&sql, "; COMMIT");
    return pg_exec(l->conn, err, mf_buf_str(&sql));
}

int pg_load_commit(struct mf_loader *base, const struct mf_chunk_done *d, struct mf_error *err)
{
    struct pg_loader *l = pg_loader_of(base);
    int rc = l->state == PG_LOAD_COPYING ? end_copy(l, err) : 0;
    if (rc == 0 && l->copied >= 0 && d->rows >= 0 && l->copied != d->rows) {
        rc = mf_fail(err, MF_RETRY, "MFCOUNT", "%s.%s: %" PRId64 " rows were read and %" PRId64 " were loaded",
                     l->table->schema, l->table->name, d->rows, l->copied);
    }
    if (rc == 0 && MF_FAULT(err, "postgres.load_commit")) {
        rc = -1;
    }
    if (rc == 0 && commit(l, d, err) < 0) {
        /* The record is there: this chunk was committed by an earlier try whose answer was lost. */
        bool again = mf_streq(err->code, "23505") && strstr(err->text, "chunk_pkey");
        rc = again ? 0 : -1;
        if (again) {
            pg_load_abort(base);
        }
    }
    if (rc < 0) {
        struct mf_error kept = *err;
        pg_load_abort(base);
        *err = kept;
        return -1;
    }
    l->state = PG_LOAD_IDLE;
    if (l->slow) {
        l->slow->in_window = false;
    }
    return MF_FAULT(err, "postgres.load_committed");
}

void pg_load_abort(struct mf_loader *base)
{
    struct pg_loader *l = pg_loader_of(base);
    struct mf_error ignored = {0};
    if (!l) {
        return;
    }
    if (l->state == PG_LOAD_COPYING && PQstatus(l->conn) == CONNECTION_OK &&
        PQputCopyEnd(l->conn, "midflight gave this chunk up") == 1) {
        pg_drain(l->conn, &ignored);
    }
    if (PQstatus(l->conn) == CONNECTION_OK && PQtransactionStatus(l->conn) != PQTRANS_IDLE) {
        pg_exec(l->conn, &ignored, "ROLLBACK");
    }
    if (l->slow) {
        pg_window_abort(&l->slow->base);
    }
    l->state = PG_LOAD_IDLE;
}
