/*
 * Rows into statements.
 *
 * A statement names the columns it sets and takes many rows. What must be there is proved to have been there by the number of rows
 * the server says it found (CLIENT_FOUND_ROWS), or by locking the keys and counting them first.
 *
 * ON DUPLICATE KEY UPDATE and REPLACE take a duplicate in ANY unique index for the row to write over, which may be another row than
 * ours. So REPLACE is never used, and ON DUPLICATE KEY UPDATE only for rows that are known, and locked, under the PRIMARY KEY: that
 * duplicate is met first, and one in another index then is the error it must be.
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/triggers.h"

#include <string.h>

#define FIRST_ROW_ALIAS 80019 /* VALUES(c) is deprecated from 8.0.20 on, and a note after a write is a refusal */

/* The first row for this table since shapes were read: no trigger may fire for it. */
int my_shape_for(struct my_applier *a, const struct mf_table *t, struct my_shape **ret, struct mf_error *err)
{
    if (my_shape_get(a->db, &a->shapes, t, ret, err) < 0 ||
        (!(*ret)->silent && my_triggers_down(a->db, &a->pipe, t, mysql_thread_id(a->conn), err) < 0)) {
        return my_wire_fail(a, err);
    }
    (*ret)->silent = true;
    return 0;
}

static int bad_value(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint16_t col,
                     const char *why, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 512};
    mf_put_key_text(&key, s->table, row);
    mf_fail(err, MF_ROW, "MFVALUE", "row %s of %s.%s cannot be written: column \"%s\": %s", mf_buf_str(&key),
            s->table->schema, s->table->name, s->table->columns[col].name, why);
    mf_hint(err, "widen the target's column to what the source's is");
    mf_strlcpy(a->bad_column, s->table->columns[col].name, sizeof a->bad_column);
    return my_wire_fail(a, err);
}

/* A value to be stored. */
static int put_new(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint16_t col,
                   struct mf_error *err)
{
    const struct mf_value *v = &row->values[col];
    const char *why = my_inexact(&s->columns[col].type, v);
    if (v->kind == MF_NULL && s->columns[col].null_is_new) {
        why = "it takes no NULL, and the server would put a value of its own there";
    } else if (!why) {
        why = my_put_stored(&a->sql, &s->columns[col].type, v);
    }
    return why ? bad_value(a, s, row, col, why, err) : 0;
}

static int need_key(struct my_applier *a, const struct my_shape *s, struct mf_error *err)
{
    if (s->key_index[0]) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFKEY", "%s.%s of the target has no unique index over the columns that identify a row",
            s->table->schema, s->table->name);
    mf_hint(err, "make the key on the target as it is on the source");
    return my_wire_fail(a, err);
}

/* ---- inserting ---- */

static void put_into(struct my_applier *a, const struct my_shape *s)
{
    const char *sep = "";
    mf_buf_puts(&a->sql, "INSERT INTO ");
    my_put_table(&a->sql, s->table);
    mf_buf_puts(&a->sql, " (");
    for (uint16_t i = 0; i < s->table->ncolumns; i++) {
        if (!s->columns[i].skip) {
            mf_buf_puts(&a->sql, sep);
            my_put_ident(&a->sql, s->table->columns[i].name);
            sep = ",";
        }
    }
    mf_buf_puts(&a->sql, ") VALUES ");
}

static int put_tuple(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, struct mf_error *err)
{
    char sep = '(';
    for (uint16_t i = 0; i < s->table->ncolumns; i++) {
        if (s->columns[i].skip) {
            continue;
        }
        mf_buf_putc(&a->sql, sep);
        sep = ',';
        if (row->values[i].kind == MF_UNCHANGED) {
            return bad_value(a, s, row, i, "its value did not come with the change", err);
        }
        if (put_new(a, s, row, i, err) < 0) {
            return -1;
        }
    }
    mf_buf_puts(&a->sql, sep == '(' ? "()" : ")");
    return 0;
}

/* What was written since `len` is too much for one statement, and goes into the next: false. */
static bool within(struct my_applier *a, size_t from, size_t len, bool alone)
{
    if (alone || (mf_buf_ok(&a->sql) && a->sql.len - from <= my_stmt_bytes(a))) {
        return true;
    }
    a->sql.failed = false;
    a->sql.len = len;
    a->sql.data[len] = 0;
    return false;
}

/* Rows from *first on, as many as go into one statement. */
static int put_tuples(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                      size_t *first, struct mf_error *err)
{
    size_t i = *first, from = a->sql.len;
    for (; i < n && i - *first < MY_STMT_ROWS; i++) {
        size_t len = a->sql.len;
        if (i > *first) {
            mf_buf_putc(&a->sql, ',');
        }
        if (put_tuple(a, s, rows[i], err) < 0) {
            return -1;
        }
        if (!within(a, from, len, i == *first)) {
            break;
        }
    }
    *first = i;
    return 0;
}

int my_insert_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                   struct mf_error *err)
{
    for (size_t first = 0; first < n;) {
        size_t from = first;
        put_into(a, s);
        if (put_tuples(a, s, rows, n, &first, err) < 0) {
            return -1;
        }
        struct my_expect e = {.kind = MY_EXPECT_ROWS, .doing = "inserting into", .shape = s, .want = first - from};
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- finding by key ---- */

static int put_key(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint16_t col,
                   struct mf_error *err)
{
    const struct mf_value *v = &row->values[col];
    const char *why = v->kind == MF_UNCHANGED || v->kind == MF_NULL ? "a key without a value"
                                                                    : my_put_stored(&a->sql, &s->columns[col].type, v);
    return why ? bad_value(a, s, row, col, why, err) : 0;
}

static void put_bytes_of(struct my_applier *a, const struct mf_column *c)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
    my_put_ident(&name, c->name);
    my_put_text_bytes(&a->sql, mf_buf_str(&name));
}

/* a = 1 AND b = 2; where only the bytes tell, those too */
static int put_where_key(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_column *c = &t->columns[t->key[k]];
        const struct mf_value *v = &row->values[t->key[k]];
        mf_buf_puts(&a->sql, k ? " AND " : "");
        my_put_ident(&a->sql, c->name);
        mf_buf_puts(&a->sql, " = ");
        if (put_key(a, s, row, t->key[k], err) < 0) {
            return -1;
        }
        if (c->by_bytes) {
            mf_buf_puts(&a->sql, " AND ");
            put_bytes_of(a, c);
            mf_buf_puts(&a->sql, " = ");
            my_put_bytes(&a->sql, v->data, v->len);
        }
    }
    return 0;
}

/* AND the bytes of a IN (1,2) */
static void put_bytes_in(struct my_applier *a, const struct mf_table *t, const struct mf_row *const *rows, size_t n)
{
    mf_buf_puts(&a->sql, " AND ");
    put_bytes_of(a, &t->columns[t->key[0]]);
    for (size_t i = 0; i < n; i++) {
        const struct mf_value *v = &rows[i]->values[t->key[0]];
        mf_buf_puts(&a->sql, i ? "," : " IN (");
        my_put_bytes(&a->sql, v->data, v->len);
    }
    mf_buf_putc(&a->sql, ')');
}

/* a IN (1,2), or (a = 1 AND b = 2) OR (...): rows from *first on, as many as go into one statement. */
int my_put_where_keys(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                      size_t *first, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    bool list = t->nkey == 1 && my_in_list_ok(&s->columns[t->key[0]].type);
    size_t i = *first, from = a->sql.len, most = list ? MY_KEYS_IN : MY_KEYS_OR;
    if (list) {
        my_put_ident(&a->sql, t->columns[t->key[0]].name);
        mf_buf_puts(&a->sql, " IN (");
    }
    for (; i < n && i - *first < most; i++) {
        size_t len = a->sql.len;
        mf_buf_puts(&a->sql, i > *first ? (list ? "," : ") OR (") : list ? "" : "(");
        if ((list ? put_key(a, s, rows[i], t->key[0], err) : put_where_key(a, s, rows[i], err)) < 0) {
            return -1;
        }
        if (!within(a, from, len, i == *first)) {
            break;
        }
    }
    mf_buf_putc(&a->sql, ')');
    if (list && t->columns[t->key[0]].by_bytes) {
        put_bytes_in(a, t, rows + *first, i - *first);
    }
    *first = i;
    return 0;
}

int my_delete_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *keys, size_t n,
                   bool strict, struct mf_error *err)
{
    if (n > 0 && need_key(a, s, err) < 0) {
        return -1;
    }
    for (size_t first = 0; first < n;) {
        size_t from = first;
        mf_buf_puts(&a->sql, "DELETE FROM ");
        my_put_table(&a->sql, s->table);
        mf_buf_puts(&a->sql, " WHERE ");
        if (my_put_where_keys(a, s, keys, n, &first, err) < 0) {
            return -1;
        }
        struct my_expect e = {.kind = strict ? MY_EXPECT_ROWS : MY_EXPECT_WRITTEN,
                              .doing = "deleting from",
                              .shape = s,
                              .want = first - from};
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_delete_copies(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint32_t count,
                     struct mf_error *err)
{
    struct my_expect e = {
        .kind = count ? MY_EXPECT_ROWS : MY_EXPECT_WRITTEN, .doing = "deleting from", .shape = s, .want = count};
    const char *sep = " WHERE ";
    mf_buf_puts(&a->sql, "DELETE FROM ");
    my_put_table(&a->sql, s->table);
    for (uint16_t i = 0; i < s->table->ncolumns; i++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        if (s->columns[i].skip) {
            continue;
        }
        mf_buf_puts(&a->sql, sep);
        sep = " AND ";
        my_put_ident(&name, s->table->columns[i].name);
        const char *why = my_put_exactly(&a->sql, &s->columns[i].type, mf_buf_str(&name), &row->values[i]);
        if (why) {
            return bad_value(a, s, row, i, why, err);
        }
    }
    if (count) {
        mf_buf_printf(&a->sql, " LIMIT %u", count);
    }
    return my_wire_end(a, &e, err);
}

/* ---- writing over ---- */

int my_update_row(struct my_applier *a, const struct my_shape *s, const struct mf_row *old, const struct mf_row *now,
                  const struct my_expect *e, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    const char *sep = " SET ";
    uint16_t named = 0; /* one column at least must be named */
    while (named + 1 < t->ncolumns && s->columns[named].skip) {
        named++;
    }
    if (need_key(a, s, err) < 0) {
        return -1;
    }
    mf_buf_puts(&a->sql, "UPDATE ");
    my_put_table(&a->sql, t);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        bool kept = now->values[i].kind == MF_UNCHANGED;
        /* The key is set too: another spelling of an equal key must arrive. What is kept must be said to be kept where the server would
         * put the time there. */
        if (s->columns[i].skip || (kept && !s->columns[i].on_update && i != named)) {
            continue;
        }
        mf_buf_puts(&a->sql, sep);
        sep = ", ";
        my_put_ident(&a->sql, t->columns[i].name);
        mf_buf_puts(&a->sql, " = ");
        if (kept) {
            my_put_ident(&a->sql, t->columns[i].name);
        } else if (put_new(a, s, now, i, err) < 0) {
            return -1;
        }
    }
    mf_buf_puts(&a->sql, " WHERE ");
    return put_where_key(a, s, old, err) < 0 ? -1 : my_wire_end(a, e, err);
}

static int lock_keys(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                     struct mf_error *err)
{
    for (size_t first = 0; first < n;) {
        size_t from = first;
        mf_buf_puts(&a->sql, "SELECT COUNT(*) FROM ");
        my_put_table(&a->sql, s->table);
        mf_buf_puts(&a->sql, " FORCE INDEX (PRIMARY) WHERE ");
        if (my_put_where_keys(a, s, rows, n, &first, err) < 0) {
            return -1;
        }
        mf_buf_puts(&a->sql, " FOR UPDATE");
        struct my_expect e = {.kind = MY_EXPECT_COUNT, .doing = "updating", .shape = s, .want = first - from};
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static void put_on_duplicate(struct my_applier *a, const struct my_shape *s)
{
    bool alias = !a->db->mariadb && a->db->version >= FIRST_ROW_ALIAS;
    const char *sep = alias ? " AS mf_new ON DUPLICATE KEY UPDATE " : " ON DUPLICATE KEY UPDATE ";
    for (uint16_t i = 0; i < s->table->ncolumns; i++) {
        if (s->columns[i].skip) {
            continue;
        }
        mf_buf_puts(&a->sql, sep);
        sep = ", ";
        my_put_ident(&a->sql, s->table->columns[i].name);
        mf_buf_puts(&a->sql, alias ? " = mf_new." : " = VALUES(");
        my_put_ident(&a->sql, s->table->columns[i].name);
        mf_buf_puts(&a->sql, alias ? "" : ")");
    }
}

static int update_each(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                       struct mf_error *err)
{
    struct my_expect e = {.kind = MY_EXPECT_ROWS, .doing = "updating", .shape = s, .want = 1};
    for (size_t i = 0; i < n; i++) {
        if (my_update_row(a, s, rows[i], rows[i], &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_overwrite_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                      struct mf_error *err)
{
    if (n < 3 || !s->key_is_primary || s->extra_required) {
        return update_each(a, s, rows, n, err);
    }
    if (lock_keys(a, s, rows, n, err) < 0 ||
        my_wire_flush(a, err) < 0) { /* nothing is written before they are known to be there */
        return -1;
    }
    for (size_t first = 0; first < n;) {
        struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "updating", .shape = s};
        size_t from = first;
        put_into(a, s);
        if (put_tuples(a, s, rows, n, &first, err) < 0) {
            return -1;
        }
        e.want = first - from;
        put_on_duplicate(a, s);
        if (my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* An UPDATE of each, and an INSERT of those that were not found: keeps what only the target has. */
static int put_each(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                    struct mf_error *err)
{
    MF_CLEANUP_FREE bool *found = mf_xcalloc(n + 1, sizeof *found);
    MF_CLEANUP_FREE const struct mf_row **absent = mf_xcalloc(n + 1, sizeof *absent);
    size_t nabsent = 0;
    for (size_t i = 0; i < n; i++) {
        struct my_expect e = {.kind = MY_EXPECT_PERHAPS, .doing = "updating", .shape = s, .found = &found[i]};
        if (my_update_row(a, s, rows[i], rows[i], &e, err) < 0) {
            return -1;
        }
    }
    if (my_wire_flush(a, err) < 0) { /* also: nothing queued points to found after this */
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!found[i]) {
            absent[nabsent++] = rows[i];
        }
    }
    return my_insert_rows(a, s, absent, nabsent, err);
}

int my_put_rows(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                struct mf_error *err)
{
    if (s->extra) {
        return put_each(a, s, rows, n, err);
    }
    return my_delete_rows(a, s, rows, n, false, err) < 0 || my_insert_rows(a, s, rows, n, err) < 0 ? -1 : 0;
}
