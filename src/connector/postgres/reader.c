/* See reader.h. */
#include "connector/postgres/reader.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_LOCK_MS 10000 /* a reader's lock is weak, but it queues behind a strong one */

int pg_reader_open(struct mf_db *base, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err)
{
    struct pg_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = base;
    r->db = pg_db_of(base);
    r->snapshot = (const struct pg_snapshot *)snapshot;
    mf_buf_init(&r->batch, (size_t)64 << 20);
    /* One session of ours is one process of theirs: how many work at once is the caller's choice. */
    if (pg_connect(r->db, "reader", 0, &r->conn, err) < 0 || pg_set_timeouts(r->conn, 0, READ_LOCK_MS, err) < 0 ||
        pg_exec(r->conn, err, "SET max_parallel_workers_per_gather = 0") < 0) {
        pg_reader_close(&r->base);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

void pg_reader_close(struct mf_reader *base)
{
    if (base) {
        struct pg_reader *r = pg_reader_of(base);
        PQfreemem(r->row);
        pg_wide_forget(&r->wide);
        pg_key_forget(&r->key);
        PQfinish(r->conn);
        mf_buf_free(&r->batch);
        free(r);
    }
}

/* ---- one piece of work ---- */

static int import_snapshot(struct pg_reader *r, struct mf_error *err)
{
    if (r->in_snapshot) {
        return 0;
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    mf_buf_puts(&b, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_put_literal(&b, r->snapshot->name);
    if (pg_exec(r->conn, err, mf_buf_str(&b)) < 0) {
        mf_error_prefix(err, "using a snapshot");
        err->cls = MF_RETRY; /* its session has ended: another one can be taken */
        struct mf_error ignored = {0};
        pg_exec(r->conn, &ignored, "ROLLBACK");
        return -1;
    }
    r->in_snapshot = true;
    return 0;
}

/* On both sides a table has the same name. */
static const char *side_of(const struct pg_reader *r)
{
    return r->db->base.side == MF_SOURCE ? "source" : "target";
}

int pg_read_failed(const struct pg_reader *r, const struct mf_table *t, struct mf_error *err)
{
    char label[256];
    mf_table_label(t, label, sizeof label);
    if (pg_is_sqlstate(err, "42P01") || pg_is_sqlstate(err, "42703") || pg_is_sqlstate(err, "3F000")) {
        char text[sizeof err->text];
        mf_strlcpy(text, err->text, sizeof text);
        mf_fail(err, MF_FATAL, "MFSHAPE",
                "table %s of the %s is no longer as it was when the migration was planned: %s", label, side_of(r),
                text);
        mf_hint(err, "undo the schema change, or cancel and begin again with the new schema");
        return -1;
    }
    if (pg_is_sqlstate(err, "42501")) {
        mf_hint(err, "GRANT SELECT ON %s TO the migration's role; for row security: ALTER ROLE … BYPASSRLS", label);
    }
    mf_error_prefix(err, "reading table %s", label);
    return -1;
}

static int shape_differs(const struct pg_reader *r, const struct mf_table *t, struct mf_error *err, const char *fmt,
                         const char *a, const char *b)
{
    char label[256], what[512];
    /* fmt is one of the constants below. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(what, sizeof what, fmt, a, b);
#pragma GCC diagnostic pop
    mf_fail(err, MF_FATAL, "MFSHAPE", "table %s of the %s is no longer as it was when the migration was planned: %s",
            mf_table_label(t, label, sizeof label), side_of(r), what);
    mf_hint(err, "undo the schema change, or cancel and begin again with the new schema");
    return -1;
}

/* The column found in row i of res against c. */
static int compare_column(const struct pg_reader *r, const struct mf_table *t, const struct mf_column *c,
                          const PGresult *res, int i, struct mf_error *err)
{
    if (pg_get_oid(res, i, 5) != c->type_id || (int32_t)pg_get_i64(res, i, 6) != c->type_mod) {
        return shape_differs(r, t, err, "column %s has another type (was: %s)", c->name, c->type ? c->type : "unknown");
    }
    if (pg_get_bool(res, i, 7) != c->generated) {
        return shape_differs(r, t, err, "column %s is%s generated", c->name, c->generated ? " no longer" : " now");
    }
    return 0;
}

/* All columns of the table, in res from row 0 on, against t's. */
static int compare_exactly(const struct pg_reader *r, const struct mf_table *t, const PGresult *res,
                           struct mf_error *err)
{
    int rows = PQntuples(res);
    for (int i = 0; i < rows || i < t->ncolumns; i++) {
        const char *found = i < rows && !PQgetisnull(res, i, 4) ? PQgetvalue(res, i, 4) : NULL;
        if (i >= t->ncolumns) {
            return found ? shape_differs(r, t, err, "column %s was added%s", found, "") : 0;
        }
        const struct mf_column *c = &t->columns[i];
        if (!found || strcmp(found, c->name) != 0) {
            return shape_differs(r, t, err, "column %s was renamed or dropped (now: %s)", c->name,
                                 found ? found : "nothing");
        }
        if (compare_column(r, t, c, res, i, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* t's columns, in any order, among the table's. */
static int compare_named(const struct pg_reader *r, const struct mf_table *t, const PGresult *res, struct mf_error *err)
{
    int rows = PQntuples(res);
    for (int k = 0, i = 0; k < t->ncolumns; k++) {
        const struct mf_column *c = &t->columns[k];
        int tries = 0;
        for (; tries < rows && strcmp(PQgetvalue(res, i, 4), c->name) != 0; tries++) { /* mostly they are in order */
            i = (i + 1) % rows;
        }
        if (tries == rows) {
            return shape_differs(r, t, err, "column %s was renamed or dropped%s", c->name, "");
        }
        if (compare_column(r, t, c, res, i, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int compare_columns(const struct pg_reader *r, const struct mf_table *t, const PGresult *res,
                           enum pg_shape_check check, struct mf_error *err)
{
    if (t->id != pg_get_oid(res, 0, 1)) {
        return shape_differs(r, t, err, "it was dropped and made again%s%s", "", "");
    }
    return check == PG_SHAPE_EXACT ? compare_exactly(r, t, res, err) : compare_named(r, t, res, err);
}

#define TOAST_BYTES "CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) ELSE 0 END"

/* Each row: position, oid, file as of the snapshot, file now, and one column. */
static void put_look(struct pg_reader *r, struct mf_buf *b, const struct mf_table *t, enum pg_shape_check check)
{
    bool strict = check != PG_SHAPE_ANY;
    mf_buf_printf(
        b,
        "SELECT pg_current_wal_insert_lsn(), c.oid, c.relfilenode, pg_relation_filenode(c.oid)%s FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace %s WHERE c.relname = ",
        !strict ? ""
        : PQserverVersion(r->conn) >= 120000
            ? ", a.attname, a.atttypid, a.atttypmod, a.attgenerated <> '', " TOAST_BYTES
            : ", a.attname, a.atttypid, a.atttypmod, false, " TOAST_BYTES,
        strict ? "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped" : "");
    pg_put_literal(b, t->name);
    mf_buf_puts(b, " AND n.nspname = ");
    pg_put_literal(b, t->schema);
    mf_buf_puts(b, strict ? " ORDER BY a.attnum" : "");
}

static int look(struct pg_reader *r, const struct mf_table *t, const PGresult *res, enum pg_shape_check check,
                struct mf_error *err)
{
    bool strict = check != PG_SHAPE_ANY;
    char label[256];
    uint64_t lsn;
    mf_table_label(t, label, sizeof label);
    if (PQntuples(res) == 0 || pg_get_oid(res, 0, 2) != pg_get_oid(res, 0, 3)) {
        return mf_fail(
            err, MF_RETRY, "MFREWRITTEN",
            "table %s was made, truncated or rewritten after the snapshot was taken: it cannot be read as of then",
            label);
    }
    if (!strict && t->id != pg_get_oid(res, 0, 1)) {
        return shape_differs(r, t, err, "it was dropped and made again%s%s", "", "");
    }
    if (strict && compare_columns(r, t, res, check, err) < 0) {
        return -1;
    }
    r->toast_bytes = strict ? pg_get_i64(res, 0, 8) : 0;
    if (r->snapshot && !mf_position_none(&r->snapshot->base.position)) {
        r->after = r->snapshot->base.position;
    } else if (!pg_parse_lsn(PQgetvalue(res, 0, 0), &lsn)) {
        return mf_fail(err, MF_FATAL, "MFPOS", "the server gave no position in its log");
    } else {
        pg_position(lsn, &r->after);
    }
    return 0;
}

int pg_work_begin(struct pg_reader *r, const struct mf_table *t, enum pg_shape_check check, bool by_key,
                  struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    PG_CLEANUP_RESULT PGresult *res = NULL;
    if (r->snapshot && import_snapshot(r, err) < 0) {
        return -1;
    }
    /* LOCK comes before the first query, which is what takes the snapshot of a transaction of our own. */
    mf_buf_puts(&b, r->snapshot ? "SAVEPOINT work; " : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ");
    mf_buf_puts(&b, "LOCK TABLE ONLY ");
    pg_put_table(&b, t);
    mf_buf_puts(&b, " IN ACCESS SHARE MODE; ");
    if (by_key) {
        mf_buf_puts(&b, "SET LOCAL enable_seqscan = off; ");
    }
    put_look(r, &b, t, check);
    if (!pg_sql(&b, err)) {
        return -1;
    }
    if (pg_query(r->conn, &res, err, mf_buf_str(&b)) < 0) {
        pg_work_abort(r);
        return pg_read_failed(r, t, err);
    }
    if (look(r, t, res, check, err) < 0) {
        pg_work_abort(r);
        return -1;
    }
    return 0;
}

int pg_work_end(struct pg_reader *r, struct mf_error *err)
{
    return pg_exec(r->conn, err, r->snapshot ? "ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work" : "COMMIT");
}

/* With synchronous_commit off a commit is shown before it is in the log on disk, and a crash takes it back: what was read of it would stay on
 * the other side for ever. So the log is on disk up to where it was read before anybody makes use of it; a commit of ours sees to it. */
int pg_work_end_durable(struct pg_reader *r, struct mf_error *err)
{
    char text[64];
    uint64_t flushed;
    if (r->snapshot) {
        return pg_work_end(r, err);
    }
    if (pg_query_text(r->conn, text, sizeof text, err, "COMMIT; SELECT pg_catalog.pg_current_wal_flush_lsn()") < 0) {
        return -1;
    }
    if (pg_parse_lsn(text, &flushed) && flushed >= r->after.order) {
        return 0;
    }
    return pg_exec(r->conn, err,
                   "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_catalog.txid_current(); COMMIT");
}

void pg_work_abort(struct pg_reader *r)
{
    struct mf_error ignored = {0};
    PGTransactionStatusType st = PQtransactionStatus(r->conn);
    if (st == PQTRANS_ACTIVE) {
        /* A query whose rows nobody wants any more. */
        PGcancel *cancel = PQgetCancel(r->conn);
        char message[64];
        if (cancel) {
            PQcancel(cancel, message, sizeof message);
            PQfreeCancel(cancel);
        }
        pg_drain(r->conn, &ignored);
        st = PQtransactionStatus(r->conn);
    }
    if (r->snapshot && (st == PQTRANS_INERROR || st == PQTRANS_INTRANS) &&
        pg_exec(r->conn, &ignored, "ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work") == 0) {
        return;
    }
    r->in_snapshot = false;
    if (st == PQTRANS_INERROR || st == PQTRANS_INTRANS) {
        pg_exec(r->conn, &ignored, "ROLLBACK");
    }
}

/* ---- pieces of statements ---- */

void pg_put_columns(struct mf_buf *b, const struct mf_table *t)
{
    bool first = true;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            mf_buf_puts(b, first ? "" : ", ");
            pg_put_ident(b, t->columns[i].name);
            first = false;
        }
    }
}

void pg_put_key(struct mf_buf *b, const struct mf_table *t)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        mf_buf_puts(b, i ? ", " : "");
        pg_put_ident(b, t->columns[t->key[i]].name);
    }
}

int pg_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct pg_reader *r = pg_reader_of(base);
    return pg_work_begin(r, t, PG_SHAPE_EXACT, false, err) < 0 ? -1 : pg_work_end(r, err);
}
