/*
 * Rows out of the cluster: by ranges of tokens, many readers side by side, and by key.
 *
 * There are no snapshots: a page shows what its replicas had when it was read. Who compares looks again at what differs (docs/internals/verify.md). Chunks
 * are ranges of tokens, not of keys, and mean nothing to another database: they are by_heap for everybody else.
 */
#include "connector/cassandra/read.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX    ((size_t)1 << 20)
#define STATE_MAX  ((size_t)1 << 20)
#define PAGE_ROWS  2000
#define PAGE_LEAST 10
#define PAGE_BYTES ((size_t)4 << 20) /* a page that had more makes the next ones smaller */
#define KEYS       256               /* looked for at a time */
#define KEYS_BYTES ((size_t)4 << 20)
#define CHUNKS_MAX 4096

struct cass_reader {
    struct mf_reader base;
    struct mf_cql_inbox *inbox;
    struct mf_buf bytes, text, state;
    struct mf_value *values;
    size_t nvalues;
    int page_rows;
};

int cass_reader_open(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret, struct mf_error *err)
{
    (void)snapshot, (void)err;
    struct cass_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    r->inbox = mf_cql_inbox_new(KEYS, KEYS_BYTES);
    mf_buf_init(&r->bytes, (size_t)1 << 30);
    mf_buf_init(&r->text, (size_t)4 << 30);
    mf_buf_init(&r->state, STATE_MAX);
    r->page_rows = PAGE_ROWS;
    *ret = &r->base;
    return 0;
}

void cass_reader_close(struct mf_reader *base)
{
    struct cass_reader *r = (struct cass_reader *)base;
    if (r) {
        mf_cql_inbox_free(r->inbox);
        mf_buf_free(&r->bytes);
        mf_buf_free(&r->text);
        mf_buf_free(&r->state);
        free(r->values);
        free(r);
    }
}

/* ---- chunks ---- */

/* Ranges of the ring, each cut into `parts` of as many tokens. */
static int emit_parts(const struct mf_table *t, const struct mf_cql_range *ranges, size_t n, uint64_t parts,
                      int64_t rows_each, mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    uint32_t ordinal = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t width = (uint64_t)ranges[i].upto - (uint64_t)ranges[i].after;
        for (uint64_t p = 0; p < parts; p++) {
            struct mf_chunk c = {.table_id = t->id, .ordinal = ordinal, .rows_estimate = rows_each, .by_heap = true};
            uint64_t from = width / parts * p, to = p + 1 == parts ? width : width / parts * (p + 1);
            c.has_lower = c.has_upper = true;
            snprintf(c.lower, sizeof c.lower, "%" PRId64, (int64_t)((uint64_t)ranges[i].after + from));
            snprintf(c.upper, sizeof c.upper, "%" PRId64, (int64_t)((uint64_t)ranges[i].after + to));
            if (from == to) {
                continue;
            }
            ordinal++;
            if (emit(ctx, &c, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

int cass_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base->db);
    MF_CLEANUP_FREE struct mf_cql_range *ranges = NULL;
    size_t n = 0;
    (void)target_bytes;
    if (mf_cql_ranges(db->cql, t->schema, &ranges, &n, err) < 0) {
        return -1;
    }
    int64_t rows = t->rows_estimate > 0 ? t->rows_estimate : 0;
    uint64_t wanted = target_rows > 0 ? (uint64_t)(rows / target_rows) + 1 : 1;
    uint64_t parts = n ? (wanted + n - 1) / n : 1;
    parts = n && parts > CHUNKS_MAX / n + 1 ? CHUNKS_MAX / n + 1 : parts;
    return emit_parts(t, ranges, n, parts, n ? rows / (int64_t)(n * parts) : 0, emit, ctx, err);
}

static void put_columns(struct mf_buf *b, const struct mf_table *t)
{
    mf_buf_puts(b, "SELECT ");
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        mf_buf_puts(b, i ? ", " : "");
        cass_put_ident(b, t->columns[i].name);
    }
    mf_buf_puts(b, " FROM ");
    cass_put_name(b, t->schema, t->name);
    mf_buf_puts(b, " WHERE ");
}

static void put_token(struct mf_buf *b, const struct mf_table *t)
{
    mf_buf_puts(b, "token(");
    for (uint16_t k = 0; k < t->npartition; k++) {
        mf_buf_puts(b, k ? ", " : "");
        cass_put_ident(b, t->columns[t->key[k]].name);
    }
    mf_buf_puts(b, ")");
}

static int prepare(struct cass_db *db, const struct mf_buf *sql, const struct mf_table *t,
                   const struct mf_cql_prepared **ret, struct mf_error *err)
{
    if (!mf_buf_ok(sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "table %s.%s has too many columns for one statement", t->schema,
                       t->name);
    }
    return mf_cql_prepare(db->cql, mf_buf_str(sql), ret, err);
}

/* ---- rows out of answers ---- */

static int row_values(struct cass_reader *r, const struct mf_cql_answer *a, const struct cql_bytes *cells,
                      const struct mf_table *t, struct mf_error *err)
{
    mf_buf_reset(&r->text);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct cql_type *type = a->columns->columns[i].type;
        struct mf_value *v = &r->values[i];
        size_t at = r->text.len;
        *v = (struct mf_value){.kind = MF_NULL};
        if (cells[i].n < 0) {
            continue;
        }
        if (type->kind == CQL_K_BLOB) {
            *v = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)cells[i].n, .data = (const char *)cells[i].p};
            continue;
        }
        if (cql_value_text(type, cells[i], &r->text, err) < 0) {
            mf_error_prefix(err, "table %s.%s, column %s", t->schema, t->name, t->columns[i].name);
            err->cls = MF_FATAL;
            return -1;
        }
        /* The place, until the buffer does not move any more. */
        *v = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)(r->text.len - at), .data = NULL};
    }
    size_t at = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (r->values[i].kind == MF_TEXT) {
            r->values[i].data = mf_buf_str(&r->text) + at;
            at += r->values[i].len;
        }
    }
    return 0;
}

static int room(struct cass_reader *r, const struct mf_table *t)
{
    if (t->ncolumns > r->nvalues) {
        r->values = mf_xreallocarray(r->values, t->ncolumns, sizeof *r->values);
        r->nvalues = t->ncolumns;
    }
    return 0;
}

static int emit_rows(struct cass_reader *r, struct mf_cql_answer *a, const struct mf_table *t, mf_row_sink *emit,
                     void *ctx, struct mf_error *err)
{
    const struct cql_bytes *cells;
    size_t bytes = 0, rows = 0;
    int rc;
    while ((rc = mf_cql_next(a, &cells, err)) == 1) {
        if (a->columns->n != t->ncolumns) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s has other columns than it had", t->schema, t->name);
        }
        struct mf_row row = {.n = t->ncolumns, .values = r->values};
        if (row_values(r, a, cells, t, err) < 0 || emit(ctx, &row, err) < 0) {
            return -1;
        }
        bytes += r->text.len;
        rows++;
    }
    if (bytes > PAGE_BYTES && r->page_rows > PAGE_LEAST) {
        r->page_rows = r->page_rows / 2 > PAGE_LEAST ? r->page_rows / 2 : PAGE_LEAST;
    } else if (rows == (size_t)r->page_rows && bytes < PAGE_BYTES / 4 && r->page_rows < PAGE_ROWS) {
        r->page_rows *= 2;
    }
    return rc < 0 ? -1 : 0;
}

/* ---- a range of tokens ---- */

static int put_bound(struct mf_buf *b, const char *text, struct mf_error *err)
{
    int64_t token;
    uint8_t bytes[8];
    if (!mf_parse_i64(text, &token)) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "\"%s\" is no token: it is no bound of a chunk here", text);
    }
    mf_put_u64be(bytes, (uint64_t)token);
    return cql_put_bytes(b, bytes, sizeof bytes);
}

static int64_t start_of(const struct mf_chunk *c)
{
    int64_t token = 0;
    mf_parse_i64(c->upper, &token);
    return token;
}

/* The next page is asked for before this one is gone through. */
static int submit_page(struct cass_reader *r, struct mf_cql_request *q, struct mf_error *err)
{
    q->page_size = r->page_rows;
    q->paging_state = (struct cql_bytes){r->state.len ? (const uint8_t *)r->state.data : NULL, (int32_t)r->state.len};
    int rc = mf_cql_submit(cass_db_of(r->base.db)->cql, r->inbox, q, 0, err);
    return rc > 0 ? mf_fail(err, MF_FATAL, "MFBUG", "a reader has a page on its way already") : rc;
}

static int keep_state(struct cass_reader *r, const struct mf_cql_answer *a, bool *ret_more, struct mf_error *err)
{
    mf_buf_reset(&r->state);
    *ret_more = a->paging_state.p != NULL;
    if (*ret_more && mf_buf_append(&r->state, a->paging_state.p, (size_t)a->paging_state.n) < 0) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a paging state has more than %zu bytes", STATE_MAX);
    }
    return 0;
}

static int pages(struct cass_reader *r, const struct mf_table *t, struct mf_cql_request *q, mf_row_sink *emit,
                 void *ctx, struct mf_error *err)
{
    bool more = true;
    mf_buf_reset(&r->state);
    if (submit_page(r, q, err) < 0) {
        return -1;
    }
    while (more) {
        MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
        if (mf_cql_take(r->inbox, -1, &a) != 0) {
            return mf_fail(err, MF_FATAL, "MFBUG", "an answer is waited for that nobody will give");
        }
        if (a->error) {
            *err = *a->error;
            return -1;
        }
        if (keep_state(r, a, &more, err) < 0 || (more && submit_page(r, q, err) < 0) ||
            emit_rows(r, a, t, emit, ctx, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What is on its way when something fails is not waited for. */
static void forget_answers(struct cass_reader *r)
{
    if (mf_cql_in_flight(r->inbox)) {
        mf_cql_inbox_free(r->inbox);
        r->inbox = mf_cql_inbox_new(KEYS, KEYS_BYTES);
    }
}

int cass_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct cass_reader *r = (struct cass_reader *)base;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = SQL_MAX};
    struct mf_cql_bound bound = {0};
    put_columns(&sql, t);
    put_token(&sql, t);
    mf_buf_puts(&sql, " > ? AND ");
    put_token(&sql, t);
    mf_buf_puts(&sql, " <= ?");
    mf_buf_reset(&r->bytes);
    if (room(r, t) < 0 || prepare(cass_db_of(base->db), &sql, t, &bound.prepared, err) < 0 ||
        put_bound(&r->bytes, c->lower, err) < 0 || put_bound(&r->bytes, c->upper, err) < 0) {
        return -1;
    }
    bound.values = (struct cql_values){(const uint8_t *)r->bytes.data, r->bytes.len, 2};
    struct mf_cql_request q = {.bound = &bound,
                               .nbound = 1,
                               .idempotent = true,
                               .has_token = true,
                               .token = start_of(c),
                               .keyspace = t->schema};
    if (pages(r, t, &q, emit, ctx, err) < 0) {
        forget_answers(r);
        return -1;
    }
    if (ret_after) {
        *ret_after = (struct mf_position){0};
    }
    return 0;
}

/* ---- by key ---- */

struct looking {
    struct cass_reader *r;
    const struct mf_table *t;
    mf_row_sink *emit;
    void *ctx;
};

static int take_found(struct looking *l, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    if (mf_cql_take(l->r->inbox, -1, &a) != 0) {
        return mf_fail(err, MF_FATAL, "MFBUG", "an answer is waited for that nobody will give");
    }
    if (a->error) {
        *err = *a->error;
        return -1;
    }
    return emit_rows(l->r, a, l->t, l->emit, l->ctx, err);
}

/* A key that no row here can have is not looked for. 1: it is bound. */
static int bind_key(struct cass_reader *r, const struct mf_cql_prepared *p, const struct mf_table *t,
                    const struct mf_row *key, struct mf_error *err)
{
    const struct cql_columns *params = mf_cql_prepared_params(p);
    mf_buf_reset(&r->bytes);
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &key->values[t->key[k]];
        if (v->kind == MF_BINARY) {
            cql_put_bytes(&r->bytes, v->data, v->len);
        } else if (v->kind != MF_TEXT) {
            return 0;
        } else if (cql_value_put(params->columns[k].type, v->data, v->len, &r->bytes, err) < 0) {
            if (err->cls != MF_ROW) {
                return -1;
            }
            mf_error_clear(err);
            return 0;
        }
    }
    return mf_buf_ok(&r->bytes)
               ? 1
               : mf_fail(err, MF_FATAL, "MFBIG", "a key of table %s.%s is too large", t->schema, t->name);
}

static int look_for(struct looking *l, const struct mf_cql_prepared *p, const struct mf_row *key, struct mf_error *err)
{
    int rc = bind_key(l->r, p, l->t, key, err);
    if (rc <= 0) {
        return rc;
    }
    struct mf_cql_bound bound = {p, {(const uint8_t *)l->r->bytes.data, l->r->bytes.len, l->t->nkey}};
    struct mf_cql_request q = {.bound = &bound, .nbound = 1, .idempotent = true};
    while ((rc = mf_cql_submit(cass_db_of(l->r->base.db)->cql, l->r->inbox, &q, 0, err)) > 0) {
        if (take_found(l, err) < 0) {
            return -1;
        }
    }
    return rc;
}

int cass_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct cass_reader *r = (struct cass_reader *)base;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = SQL_MAX};
    const struct mf_cql_prepared *p;
    struct looking l = {r, t, emit, ctx};
    put_columns(&sql, t);
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(&sql, k ? " AND " : "");
        cass_put_ident(&sql, t->columns[t->key[k]].name);
        mf_buf_puts(&sql, " = ?");
    }
    int rc = room(r, t) < 0 ? -1 : prepare(cass_db_of(base->db), &sql, t, &p, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = look_for(&l, p, &keys[i], err);
    }
    while (rc == 0 && mf_cql_in_flight(r->inbox)) {
        rc = take_found(&l, err);
    }
    if (rc < 0) {
        forget_answers(r);
        return -1;
    }
    if (ret_after) {
        *ret_after = (struct mf_position){0};
    }
    return 0;
}
