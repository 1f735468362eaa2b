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

static int emit_counter(const struct reading *g, MYSQL_ROW row, struct mf_error *err)
{
    uint64_t next;
    struct mf_sequence s = {.increment = 1, .cache = 1, .min = 1, .max = INT64_MAX, .is_called = true};
    if (!mf_parse_u64(row[2], &next) || next > INT64_MAX) {
        return mf_fail(err, MF_FATAL, "MFSEQ",
                       "the AUTO_INCREMENT of table %s.%s is %s: counters past 2^63 are not supported", row[0], row[1],
                       row[2]);
    }
    s.last_value = (int64_t)next - 1;
    if (!mf_strlcpy(s.schema, row[0], sizeof s.schema) || !mf_strlcpy(s.name, row[1], sizeof s.name)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the name of table %s.%s is too long", row[0], row[1]);
    }
    return g->emit(g->ctx, &s, err);
}

static const char plain_fmt[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE %s"
    " AND TABLE_TYPE = 'BASE TABLE' AND AUTO_INCREMENT IS NOT NULL";
/* Here a counter that was never used is NULL, as one that is not there. */
static const char dictionary_fmt[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(t.AUTO_INCREMENT, 1) FROM information_schema.COLUMNS c"
    " JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) WHERE %s"
    " AND t.TABLE_TYPE = 'BASE TABLE' AND c.EXTRA LIKE '%%auto_increment%%'";

static int read_schema(void *ctx, const char *schema, const char *where, struct mf_error *err)
{
    const struct reading *g = ctx;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    mf_buf_printf(&sql, my_has_dictionary(g->db) ? dictionary_fmt : plain_fmt, where);
    if (my_ask(g->c, &r, err, &sql) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        bool other = schema && row[0] && strcmp(schema, row[0]) != 0;
        if (!other && row[0] && row[1] && row[2] && mf_filter_match(g->filter, row[0], row[1]) &&
            emit_counter(g, row, err) < 0) {
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

static int set(MYSQL *c, const struct mf_sequence *s, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "ALTER TABLE ");
    my_put_name(&sql, s->schema, s->name);
    mf_buf_printf(&sql, " AUTO_INCREMENT = %" PRIu64, (uint64_t)s->last_value + s->is_called);
    if (my_exec_buf(c, err, &sql) < 0) {
        mf_error_prefix(err, "raising the AUTO_INCREMENT of table %s.%s", s->schema, s->name);
        if (err->cls == MF_RETRY) {
            mf_hint(err, "a transaction that is open has used the table: end it, then try again");
        }
        return -1;
    }
    return 0;
}

static int set_lower_ones(MYSQL *c, const struct mf_sequence *seqs, size_t n, const struct counters *have,
                          struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct mf_sequence *s = &seqs[i], *h = have->n ? bsearch(s, have->at, have->n, sizeof *s, compare) : NULL;
        /* A table that is not here (excluded, or dropped here) or has no counter is left. */
        if (h && h->last_value + h->is_called < s->last_value + s->is_called && set(c, s, err) < 0) {
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
