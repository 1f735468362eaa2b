/*
 * AUTO_INCREMENT counters, which are the sequences of this engine: a table's counter is one of the table's name, whose last value is the one before
 * the counter's next.
 *
 * They are not in the stream: rows that come with their values push the target's counters, but what was given out and never committed, or
 * deleted since, does not. So they are read and set once, at the cutover, while nobody writes; and only those that stand lower
 * there are set, since each costs an ALTER TABLE.
 *
 * That ALTER changes nothing but a number, in place. It still waits for every transaction that has used the table, and who comes later waits behind it: so it
 * gives up soon. It is written to the binary log, as replicas of the target need the counter too.
 */
#include "connector/mysql/mysql_room.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/infoschema.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_S 2

struct reading {
    MYSQL *c;
    const struct my_db *db;
    const struct mf_filter *filter;
    mf_sequence_sink *emit;
    void *ctx;
};

static int emit_counter(const struct reading *g, MYSQL_ROW row, const char *column, struct mf_error *err)
{
    uint64_t next;
    struct mf_sequence s = {.increment = 1, .cache = 1, .min = 1, .max = INT64_MAX, .is_called = true};
    if (!mf_parse_u64(row[2], &next) || next > INT64_MAX) {
        return mf_fail(err, MF_FATAL, "MFSEQ",
                       "the AUTO_INCREMENT of table %s.%s is %s: counters past 2^63 are not supported", row[0], row[1],
                       row[2]);
    }
    s.last_value = (int64_t)next - 1;
    if (!mf_strlcpy(s.schema, row[0], sizeof s.schema) || !mf_strlcpy(s.name, row[1], sizeof s.name) ||
        !mf_strlcpy(s.table, row[1], sizeof s.table) || !mf_strlcpy(s.column, column, sizeof s.column)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the name of table %s.%s is too long", row[0], row[1]);
    }
    return g->emit(g->ctx, &s, err);
}

static const char plain_fmt[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE %s"
    " AND TABLE_TYPE = 'BASE TABLE' AND AUTO_INCREMENT IS NOT NULL";
/* A join of the two would be looked up anew for each table there. */
static const char columns_fmt[] = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS"
                                  " WHERE %s AND EXTRA LIKE '%%auto_increment%%'";
/* Here a counter that was never used is NULL, as one that is not there. */
static const char dictionary_fmt[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(t.AUTO_INCREMENT, 1), c.COLUMN_NAME FROM information_schema.COLUMNS c"
    " JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) WHERE %s"
    " AND t.TABLE_TYPE = 'BASE TABLE' AND c.EXTRA LIKE '%%auto_increment%%'";

/* The column of a table among the rows of columns_fmt, which are nearly in the same order; "" when the table was altered in between. */
static const char *column_of(MYSQL_RES *columns, MYSQL_ROW table)
{
    for (int pass = 0; pass < 2; pass++) {
        for (MYSQL_ROW row; (row = mysql_fetch_row(columns));) {
            if (row[0] && row[1] && row[2] && strcmp(row[1], table[1]) == 0 && strcmp(row[0], table[0]) == 0) {
                return row[2];
            }
        }
        mysql_data_seek(columns, 0);
    }
    return "";
}

static int read_schema(void *ctx, const char *schema, const char *where, struct mf_error *err)
{
    const struct reading *g = ctx;
    bool dictionary = my_has_dictionary(g->db);
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL, *columns = NULL;
    MYSQL_ROW row;
    if (!dictionary) {
        mf_buf_printf(&sql, columns_fmt, where);
        if (my_ask(g->c, &columns, err, &sql) < 0) {
            return -1;
        }
        mf_buf_reset(&sql);
    }
    mf_buf_printf(&sql, dictionary ? dictionary_fmt : plain_fmt, where);
    if (my_ask(g->c, &r, err, &sql) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        bool other = schema && row[0] && strcmp(schema, row[0]) != 0;
        if (other || !row[0] || !row[1] || !row[2] || !mf_filter_match(g->filter, row[0], row[1])) {
            continue;
        }
        if (emit_counter(g, row, dictionary ? (row[3] ? row[3] : "") : column_of(columns, row), err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_sequences(struct mf_db *base, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                 struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    struct reading g = {.c = l.conn, .db = l.db, .filter = filter, .emit = emit, .ctx = ctx};
    int rc = my_ask_begin(l.conn, l.db, err) < 0 ? -1 : my_each_schema(l.conn, l.db, read_schema, &g, err);
    my_ask_end(l.conn);
    if (rc < 0) {
        mf_error_prefix(err, "reading AUTO_INCREMENT counters");
    }
    return rc;
}

/* ---- setting them ---- */

struct counters {
    struct mf_sequence *at;
    size_t n, cap;
};

static int keep(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    struct counters *c = ctx;
    (void)err;
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->at = mf_xreallocarray(c->at, c->cap, sizeof *c->at);
    }
    c->at[c->n++] = *s;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct mf_sequence *x = a, *y = b;
    int d = strcmp(x->schema, y->schema);
    return d ? d : strcmp(x->name, y->name);
}

/* What it gives out next, or less where that is past the largest number. */
static uint64_t next_of(const struct mf_sequence *s)
{
    uint64_t step = s->is_called && s->increment > 0 ? (uint64_t)s->increment : 0;
    return (uint64_t)s->last_value + step;
}

static int set(MYSQL *c, const struct mf_sequence *counter, uint64_t next, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "ALTER TABLE ");
    my_put_name(&sql, counter->schema, counter->name);
    mf_buf_printf(&sql, " AUTO_INCREMENT = %" PRIu64, next);
    if (my_exec_buf(c, err, &sql) < 0) {
        mf_error_prefix(err, "raising the AUTO_INCREMENT of table %s.%s", counter->schema, counter->name);
        if (err->cls == MF_RETRY) {
            mf_hint(err, "a transaction that is open has used the table: end it, then try again");
        }
        return -1;
    }
    return 0;
}

/* Ours, by its table: of this kind that is a sequence's name too; another kind tells it of a sequence that is one column's. NULL: a table that is not here
 * (excluded, or dropped here), has no counter, or counts in another column. Numbers below zero and such as run downwards are nothing to count from. */
static const struct mf_sequence *counter_for(const struct counters *have, const struct mf_sequence *s)
{
    struct mf_sequence key = *s;
    if (*s->table) {
        mf_strlcpy(key.name, s->table, sizeof key.name);
    }
    const struct mf_sequence *h = have->n ? bsearch(&key, have->at, have->n, sizeof key, compare) : NULL;
    bool other = h && *s->column && *h->column && strcmp(s->column, h->column) != 0;
    return !h || other || s->last_value < 0 || s->increment < 0 ? NULL : h;
}

static int set_lower_ones(MYSQL *c, const struct mf_sequence *seqs, size_t n, const struct counters *have,
                          struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct mf_sequence *h = counter_for(have, &seqs[i]);
        if (h && next_of(h) < next_of(&seqs[i]) && set(c, h, next_of(&seqs[i]), err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_sequences_set(struct mf_db *base, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    struct counters have = {0};
    if (n == 0) {
        return 0;
    }
    if (my_sequences(base, NULL, keep, &have, err) < 0) {
        free(have.at);
        return -1;
    }
    if (have.n) {
        qsort(have.at, have.n, sizeof *have.at, compare);
    }
    struct mf_error ignored = {0};
    int rc = my_lease(l.db, &l.conn, err) < 0 || my_execf(l.conn, err, "SET SESSION lock_wait_timeout = %d", LOCK_S) < 0
                 ? -1
                 : set_lower_ones(l.conn, seqs, n, &have, err);
    if (l.conn) {
        my_exec(l.conn, &ignored, "SET SESSION lock_wait_timeout = DEFAULT");
    }
    free(have.at);
    return rc;
}
