/*
 * Rows that were left out, by a number made of their key: the same row is one entry, however often it is refused.
 *
 * An entry has the stamp of the change that was refused, and is forgotten with the stamp of the one that takes the row in, or deletes it, less one: that
 * is enough for every entry before it, since of two that are equal the deletion counts. And the same change may have been taken for good in a try whose
 * refusal came later; then its own entry must not be hidden. So going through a part of the stream again leaves what the last change made of it, as with the
 * rows themselves.
 */
#include "connector/cassandra/cass.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define KEY_MAX ((size_t)16 << 20)

static int64_t number_of(const char *key, size_t n)
{
    return (int64_t)(XXH3_64bits(key, n) >> 1);
}

static int put(struct cass_db *db, const struct cass_scope *s, const struct mf_quarantined *q, const char *row,
               int64_t stamp, struct mf_error *err)
{
    char id[CASS_NUMBER], order[CASS_NUMBER], at[CASS_NUMBER];
    snprintf(order, sizeof order, "%" PRIu64, q->position.order);
    const char *args[] = {s->args[0],
                          s->args[1],
                          s->args[2],
                          q->schema,
                          q->table,
                          cass_i64(number_of(q->key, strlen(q->key)), id),
                          q->key,
                          q->column,
                          q->reason,
                          q->code,
                          row,
                          order,
                          q->position.token,
                          cass_i64(stamp, at)};
    return cass_ask(db, CASS_WRITE,
                    "INSERT INTO midflight.quarantine (migration, direction, instance, schema_name, table_name, id,"
                    " key, column_name, reason, code, row, position_order, position_token)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                    args, MF_ARRAY_LEN(args), NULL, err);
}

/* What was too large for its own table is too large here: then the entry is kept without the row. */
int cass_quarantine_put(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_quarantined *q,
                        int64_t stamp, struct mf_error *err)
{
    static const char without[] = "{\"midflight\": \"too large\"}";
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    pthread_mutex_lock(&db->lock);
    db->kept = true;
    pthread_mutex_unlock(&db->lock);
    bool fits = strlen(q->row) + strlen(q->key) <= db->row_max / 2;
    int rc = put(db, &s, q, fits ? q->row : without, stamp, err);
    if (rc < 0 && fits && err->cls == MF_ROW) {
        mf_error_clear(err);
        rc = put(db, &s, q, without, stamp, err);
    }
    return rc;
}

int cass_quarantine_has(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                        const struct mf_row *row, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_MAX};
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    char id[CASS_NUMBER];
    struct cass_scope s;
    mf_put_key_text(&key, t, row);
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    const char *args[] = {s.args[0], s.args[1], s.args[2],
                          t->schema, t->name,   cass_i64(number_of(mf_buf_str(&key), key.len), id)};
    if (cass_ask(db, CASS_READ,
                 "SELECT id FROM midflight.quarantine WHERE " CASS_SCOPE
                 " AND schema_name = ? AND table_name = ? AND id = ?",
                 args, MF_ARRAY_LEN(args), &a, err) < 0) {
        return -1;
    }
    int rc = cass_first(a, &cells, err);
    *ret = rc == 1;
    return rc < 0 ? -1 : 0;
}

static int forget(struct cass_db *db, const struct cass_scope *s, const char *schema, const char *table, int64_t number,
                  int64_t stamp, struct mf_error *err)
{
    char id[CASS_NUMBER], at[CASS_NUMBER];
    const char *args[] = {cass_i64(stamp, at), s->args[0], s->args[1], s->args[2], schema, table, cass_i64(number, id)};
    return cass_ask(db, CASS_WRITE,
                    "DELETE FROM midflight.quarantine USING TIMESTAMP ? WHERE " CASS_SCOPE
                    " AND schema_name = ? AND table_name = ? AND id = ?",
                    args, MF_ARRAY_LEN(args), NULL, err);
}

int cass_quarantine_forget(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t,
                           const struct mf_row *row, int64_t stamp, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_MAX};
    struct cass_scope s;
    mf_put_key_text(&key, t, row);
    return cass_need_scope(db, pipe, &s, err) < 0 ||
                   forget(db, &s, t->schema, t->name, number_of(mf_buf_str(&key), key.len), stamp - 1, err) < 0
               ? -1
               : 0;
}

int cass_quarantine_forget_table(struct cass_db *db, const struct mf_pipe_id *pipe, const char *schema,
                                 const char *table, int64_t stamp, struct mf_error *err)
{
    char at[CASS_NUMBER];
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    const char *args[] = {cass_i64(stamp - 1, at), s.args[0], s.args[1], s.args[2], schema, table};
    return cass_ask(db, CASS_WRITE,
                    "DELETE FROM midflight.quarantine USING TIMESTAMP ? WHERE " CASS_SCOPE
                    " AND schema_name = ? AND table_name = ?",
                    args, MF_ARRAY_LEN(args), NULL, err);
}

/* ---- reading ---- */

static int some(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    (void)a, (void)cells, (void)err;
    *(bool *)ctx = true;
    return 0;
}

int cass_quarantine_any(struct cass_db *db, const struct mf_pipe_id *pipe, bool *ret, struct mf_error *err)
{
    struct cass_scope s;
    bool there = false, any = false;
    if (cass_scope(db, pipe, &s, &there, err) < 0 ||
        (there && cass_each(db, "SELECT id FROM midflight.quarantine WHERE " CASS_SCOPE " LIMIT 1", s.args, 3, some,
                            &any, err) < 0)) {
        return -1;
    }
    *ret = any;
    return 0;
}

struct listing {
    mf_quarantine_sink *emit;
    void *ctx;
};

static char *text_of(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i)
{
    size_t n = cells[i].n > 0 ? (size_t)cells[i].n : 0;
    char *out = mf_xcalloc(1, n + 1);
    cass_cell_text(a, cells, i, out, n + 1);
    return out;
}

static int take_entry(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    struct listing *l = ctx;
    MF_CLEANUP_FREE char *key = text_of(a, cells, 3), *column = text_of(a, cells, 4), *reason = text_of(a, cells, 5),
                         *row = text_of(a, cells, 7), *order = text_of(a, cells, 8);
    struct mf_quarantined q = {.id = cass_cell_int(a, cells, 2),
                               .key = key,
                               .column = cells[4].n < 0 ? NULL : column,
                               .reason = reason,
                               .row = row};
    cass_cell_text(a, cells, 0, q.schema, sizeof q.schema);
    cass_cell_text(a, cells, 1, q.table, sizeof q.table);
    cass_cell_text(a, cells, 6, q.code, sizeof q.code);
    mf_parse_u64(order, &q.position.order);
    cass_cell_text(a, cells, 9, q.position.token, sizeof q.position.token);
    return l->emit(l->ctx, &q, err);
}

int cass_quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                         struct mf_error *err)
{
    struct listing l = {.emit = emit, .ctx = ctx};
    struct cass_scope s;
    bool there = false;
    if (cass_scope(cass_db_of(db), pipe, &s, &there, err) < 0) {
        return -1;
    }
    return there ? cass_each(cass_db_of(db),
                             "SELECT schema_name, table_name, id, key, column_name, reason, code, row, position_order,"
                             " position_token FROM midflight.quarantine WHERE " CASS_SCOPE,
                             s.args, 3, take_entry, &l, err)
                 : 0;
}

struct wanted {
    int64_t id;
    char schema[128], table[128];
    bool found;
    int64_t stamp;
};

static int look_for(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    struct wanted *w = ctx;
    (void)err;
    if (cass_cell_int(a, cells, 2) == w->id) {
        w->found = true;
        w->stamp = cass_cell_int(a, cells, 3);
        cass_cell_text(a, cells, 0, w->schema, sizeof w->schema);
        cass_cell_text(a, cells, 1, w->table, sizeof w->table);
    }
    return 0;
}

/* With the entry's own stamp: of the two the deletion counts, and nothing later is hidden. */
int cass_quarantine_drop(struct mf_db *base, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    struct wanted w = {.id = id};
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0 ||
        cass_each(db,
                  "SELECT schema_name, table_name, id, writetime(reason) FROM midflight.quarantine WHERE " CASS_SCOPE,
                  s.args, 3, look_for, &w, err) < 0) {
        return -1;
    }
    return w.found ? forget(db, &s, w.schema, w.table, id, w.stamp, err) : 0;
}
