/*
 * A reader's session, and the piece of work it is at: see reader.h.
 *
 * The table's definition is held by opening it (`LIMIT 0`) in the transaction: from there to its end no ALTER, TRUNCATE or DROP
 * gets through, so what the catalogue then says is what the rows are read by. A definition newer than the transaction's view is
 * refused by the server (ER_TABLE_DEF_CHANGED). In a snapshot the table is let go by rolling back to a savepoint, so
 * that a schema change waits for one query of ours at most, not for the snapshot.
 */
#include "connector/mysql/reader.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_LOCK_S  10 /* for a table's metadata lock: a reader's is weak, but it queues behind a strong one */
#define SHAPE_MEMORY ((size_t)16 << 20)
#define BATCH_MAX    MY_SQL_MAX

int my_reader_open(struct mf_db *base, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err)
{
    struct my_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = base;
    r->db = my_db_of(base);
    mf_buf_init(&r->batch, BATCH_MAX);
    mf_buf_init(&r->kept, BATCH_MAX);
    mf_arena_init(&r->arena, SHAPE_MEMORY);
    /* The pool inside is what changes, under its lock; what the snapshot shows does not. */
    struct my_snapshot *s = (struct my_snapshot *)(uintptr_t)snapshot;
    if (s && my_snapshot_take(s, &r->conn, err) < 0) {
        my_reader_close(&r->base);
        return -1;
    }
    r->snapshot = s;
    *ret = &r->base;
    return 0;
}

void my_reader_close(struct mf_reader *base)
{
    if (!base) {
        return;
    }
    struct my_reader *r = my_reader_of(base);
    my_work_abort(r);
    if (r->snapshot) {
        my_snapshot_give(r->snapshot, r->conn, !r->lost);
    } else {
        my_finish(r->conn);
    }
    mf_buf_free(&r->batch);
    mf_buf_free(&r->kept);
    mf_arena_free(&r->arena);
    free(r->forms);
    free(r);
}

/* ---- what its errors mean ---- */

static int shape_gone(const struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    char text[sizeof err->text], label[300];
    mf_strlcpy(text, err->text, sizeof text);
    mf_fail(err, MF_FATAL, "MFSHAPE", "table %s of the %s is no longer as it was when the migration was planned: %s",
            mf_table_label(t, label, sizeof label), r->db->base.side == MF_SOURCE ? "source" : "target", text);
    mf_hint(err, "undo the schema change, or cancel and begin again with the new schema");
    return -1;
}

static int rewritten(const struct mf_table *t, struct mf_error *err)
{
    char label[300];
    return mf_fail(err, MF_RETRY, "MFREWRITTEN",
                   "table %s was made, altered or truncated after the snapshot was taken: it cannot be read as of then",
                   mf_table_label(t, label, sizeof label));
}

int my_read_failed(struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    char label[300];
    mf_table_label(t, label, sizeof label);
    if (my_is_error(err, ER_NO_SUCH_TABLE) || my_is_error(err, ER_BAD_FIELD_ERROR) ||
        my_is_error(err, ER_BAD_DB_ERROR)) {
        return shape_gone(r, t, err);
    }
    if (my_is_error(err, ER_TABLE_DEF_CHANGED)) {
        return rewritten(t, err);
    }
    if (my_is_error(err, ER_KEY_DOES_NOT_EXISTS)) {
        r->index = (struct my_index){0}; /* dropped or renamed since it was looked up */
        err->cls = MF_RETRY;
    } else if (my_is_error(err, ER_LOCK_WAIT_TIMEOUT)) {
        mf_hint(err,
                "a schema change of %s is under way or waits for a transaction that has used it: see SHOW PROCESSLIST",
                label);
    } else if (my_is_error(err, ER_TABLEACCESS_DENIED_ERROR) || my_is_error(err, ER_COLUMNACCESS_DENIED_ERROR) ||
               my_is_error(err, ER_DBACCESS_DENIED_ERROR)) {
        mf_hint(err, "GRANT SELECT ON %s TO the migration's account", label);
    }
    mf_error_prefix(err, "reading table %s", label);
    return -1;
}

static int shape_differs(const struct my_reader *r, const struct mf_table *t, struct mf_error *err, const char *column,
                         const char *what)
{
    mf_fail(err, MF_FATAL, "", "column %s %s", column, what);
    return shape_gone(r, t, err);
}

/* ---- shape ---- */

static int compare_column(const struct my_reader *r, const struct mf_table *t, const struct mf_column *was,
                          const struct mf_column *is, struct mf_error *err)
{
    if (was->type_id != is->type_id || was->type_mod != is->type_mod) {
        char what[200];
        snprintf(what, sizeof what, "has another type: %.60s (was: %.60s)", is->type ? is->type : "unknown",
                 was->type ? was->type : "unknown");
        return shape_differs(r, t, err, was->name, what);
    }
    if (was->generated != is->generated) {
        return shape_differs(r, t, err, was->name, is->generated ? "is generated now" : "is no longer generated");
    }
    return 0;
}

static int compare_order(const struct my_reader *r, const struct mf_table *t, const struct mf_table *live,
                         struct mf_error *err)
{
    for (uint16_t i = 0; i < t->ncolumns || i < live->ncolumns; i++) {
        if (i >= t->ncolumns) {
            return shape_differs(r, t, err, live->columns[i].name, "was added");
        }
        if (i >= live->ncolumns || strcmp(t->columns[i].name, live->columns[i].name) != 0) {
            return shape_differs(r, t, err, t->columns[i].name, "was renamed, moved or dropped");
        }
    }
    return 0;
}

/* Fills r->types from the table as it is here: t's own words for its types may be missing. */
static int compare(struct my_reader *r, const struct mf_table *t, enum my_shape_check check, struct mf_error *err)
{
    const struct mf_table *live = r->live;
    r->types = mf_alloc_array(&r->arena, t->ncolumns + 1u, sizeof *r->types);
    if (!r->types) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    if (check == MY_SHAPE_EXACT && compare_order(r, t, live, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        int at = i < live->ncolumns && strcmp(t->columns[i].name, live->columns[i].name) == 0
                     ? i
                     : mf_table_column(live, t->columns[i].name);
        if (at < 0) {
            return shape_differs(r, t, err, t->columns[i].name, "was renamed or dropped");
        }
        if ((check != MY_SHAPE_ANY && compare_column(r, t, &t->columns[i], &live->columns[at], err) < 0) ||
            my_type_parse(live->columns[at].type, &r->arena, &r->types[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* As InnoDB spells a name, for LIKE; what it has tables of its own for may be anything. False when that was needed. */
static bool put_spelt(struct mf_buf *b, const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        if (*p >= 0x80) {
            return false;
        }
        if (isalnum(*p) || *p == '$') {
            mf_buf_putc(b, (char)*p);
        } else {
            mf_buf_printf(b, *p == '_' ? "\\\\_" : "@%04x", *p);
        }
    }
    return true;
}

/* See note_tables in snapshot.c. */
static int check_truncated(struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192}, name = {.max = 2048};
    int64_t n = 0;
    if (!r->snapshot || r->snapshot->newest_table == 0) {
        return 0;
    }
    bool plain = put_spelt(&name, t->schema) && (mf_buf_putc(&name, '/'), put_spelt(&name, t->name));
    mf_buf_printf(
        &b, "SELECT COUNT(*) FROM information_schema.innodb_sys_tables WHERE table_id > %llu AND (name LIKE '%s%s'",
        (unsigned long long)r->snapshot->newest_table, mf_buf_str(&name), plain ? "" : "%");
    mf_buf_printf(&b, " OR name LIKE '%s#P#%%')", mf_buf_str(&name)); /* a partition */
    if (!mf_buf_ok(&b) || my_query_i64(r->conn, &n, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    return n > 0 ? rewritten(t, err) : 0;
}

static int look(struct my_reader *r, const struct mf_table *t, enum my_shape_check check, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT 1 FROM ");
    my_put_table(&b, t);
    mf_buf_puts(&b, " LIMIT 0");
    mf_arena_reset(&r->arena);
    r->live = NULL;
    if (my_exec_buf(r->conn, err, &b) < 0 ||
        my_catalog_table(r->conn, r->db, t->schema, t->name, &r->arena, &r->live, err) < 0) {
        return my_read_failed(r, t, err);
    }
    if (!r->live) {
        mf_fail(err, MF_FATAL, "", "it is not there any more");
        return shape_gone(r, t, err);
    }
    return check_truncated(r, t, err) < 0 ? -1 : compare(r, t, check, err);
}

/* ---- one piece of work ---- */

static int begin(struct my_reader *r, struct mf_error *err)
{
    if (r->snapshot) {
        return r->lost ? mf_fail(err, MF_RETRY, "MFSNAP", "the session that saw the snapshot on %s was lost",
                                 r->db->facts.host)
                       : my_exec(r->conn, err, "SAVEPOINT midflight_work");
    }
    if (!r->conn && (my_connect(r->db, "reader", &r->conn, err) < 0 ||
                     my_execf(r->conn, err, "SET SESSION lock_wait_timeout = %d", READ_LOCK_S) < 0)) {
        my_finish(r->conn);
        r->conn = NULL;
        return -1;
    }
    return my_exec(r->conn, err, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
}

/* The view stands already: what is committed later is not in it, and the position is no later than it must be. */
static int find_position(struct my_reader *r, struct mf_error *err)
{
    if (r->snapshot && !mf_position_none(&r->snapshot->base.position)) {
        r->after = r->snapshot->base.position;
        return 0;
    }
    return my_position_seen(r->conn, r->db, &r->after, err);
}

int my_work_begin(struct my_reader *r, const struct mf_table *t, enum my_shape_check check, bool with_position,
                  struct mf_error *err)
{
    my_work_abort(r); /* what a caller left unfinished */
    if (begin(r, err) < 0) {
        r->working = true;
        my_work_abort(r);
        mf_error_prefix(err, "beginning to read table %s.%s", t->schema, t->name);
        return -1;
    }
    r->working = true;
    if ((with_position && find_position(r, err) < 0) || look(r, t, check, err) < 0) {
        my_work_abort(r);
        return -1;
    }
    return 0;
}

static int end(struct my_reader *r, struct mf_error *err)
{
    r->working = false;
    r->reading = false;
    return my_exec(r->conn, err, r->snapshot ? "ROLLBACK TO SAVEPOINT midflight_work" : "COMMIT");
}

int my_work_end(struct my_reader *r, struct mf_error *err)
{
    if (end(r, err) == 0) {
        return 0;
    }
    r->working = true;
    my_work_abort(r);
    return -1;
}

/* Rows that nobody wants any more: the server is told, so that what has to be read to the end is little. */
static void drop_rows(struct my_reader *r)
{
    struct mf_error ignored = {0};
    if (!r->rows) {
        return;
    }
    if (mysql_errno(r->conn) == 0) {
        MY_LEASE(r->db, l);
        if (my_lease(r->db, &l.conn, &ignored) == 0) {
            my_execf(l.conn, &ignored, "KILL QUERY %lu", mysql_thread_id(r->conn));
        }
    }
    mysql_free_result(r->rows); /* reads them */
    r->rows = NULL;
}

void my_work_abort(struct my_reader *r)
{
    struct mf_error ignored = {0};
    if (!r->working) {
        return;
    }
    drop_rows(r);
    r->reading = false;
    r->working = false;
    if (r->snapshot) {
        r->lost = r->lost || !r->conn || end(r, &ignored) < 0;
        return;
    }
    if (r->conn && my_exec(r->conn, &ignored, "ROLLBACK") < 0) {
        my_finish(r->conn);
        r->conn = NULL;
    }
}

/* ---- pieces of statements ---- */

/* The unique index that has the key's columns in its order. */
static int look_up_index(struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192}, columns = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(&columns, k ? "," : "");
        my_put_ident(&columns, t->columns[t->key[k]].name);
    }
    mf_buf_puts(&b, "SELECT index_name, GROUP_CONCAT(CONCAT('`', REPLACE(column_name, '`', '``'), '`')"
                    " ORDER BY seq_in_index SEPARATOR ','), SUM(sub_part IS NOT NULL)"
                    " FROM information_schema.statistics WHERE non_unique = 0 AND table_schema = ");
    my_put_literal(&b, t->schema);
    mf_buf_puts(&b, " AND table_name = ");
    my_put_literal(&b, t->name);
    mf_buf_puts(&b, " GROUP BY index_name ORDER BY index_name <> 'PRIMARY', index_name");
    if (!mf_buf_ok(&b) || my_query(r->conn, &res, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    r->index.name[0] = 0;
    r->index.prefix = false;
    for (MYSQL_ROW row; (row = mysql_fetch_row(res));) {
        if (row[0] && row[1] && strcmp(row[1], mf_buf_str(&columns)) == 0 &&
            mf_strlcpy(r->index.name, row[0], sizeof r->index.name)) {
            r->index.prefix = my_get_i64(row, 2) != 0;
            return 0;
        }
    }
    r->index.name[0] = 0;
    return 0;
}

int my_find_index(struct my_reader *r, const struct mf_table *t, struct mf_error *err)
{
    struct my_index *x = &r->index;
    uint64_t shape = mf_table_shape(r->live);
    if (x->shape == shape && mf_streq(x->schema, t->schema) && mf_streq(x->table, t->name)) {
        return 0;
    }
    x->shape = 0;
    if (t->nkey == 0) {
        x->name[0] = 0;
    } else if (look_up_index(r, t, err) < 0) {
        return -1;
    }
    x->shape = shape;
    mf_strlcpy(x->schema, t->schema, sizeof x->schema);
    mf_strlcpy(x->table, t->name, sizeof x->table);
    return 0;
}

int my_put_indexed(struct my_reader *r, struct mf_buf *b, const struct mf_table *t, struct mf_error *err)
{
    if (my_find_index(r, t, err) < 0) {
        return -1;
    }
    mf_buf_puts(b, " FROM ");
    my_put_table(b, t);
    /* Another index that begins with a column of the key would give the rows in another order, one by one. */
    if (r->index.name[0]) {
        mf_buf_puts(b, " FORCE INDEX (");
        my_put_ident(b, r->index.name);
        mf_buf_puts(b, ")");
    }
    return 0;
}

int my_put_from(struct my_reader *r, struct mf_buf *b, const struct mf_table *t, const struct mf_chunk *c,
                struct mf_error *err)
{
    bool ranged = c->has_lower || c->has_upper;
    if (t->nkey > 0 && my_find_index(r, t, err) < 0) {
        return -1;
    }
    /* A whole table in the order it is stored in, in which it is written again fastest; an index that has all its columns would do, too. */
    if (ranged || (t->nkey > 0 && strcmp(r->index.name, "PRIMARY") == 0)) {
        return my_put_indexed(r, b, t, err) < 0 ? -1 : my_put_range(b, t, r->types, c, err);
    }
    mf_buf_puts(b, " FROM ");
    my_put_table(b, t);
    return 0;
}

int my_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    return my_work_begin(r, t, MY_SHAPE_EXACT, false, err) < 0 ? -1 : my_work_end(r, err);
}
