/* Chunks, rows by key, and digests. */
#include <string.h>

#include "base/mem.h"
#include "connector/memory/read.h"

/* ---- chunks ---- */

int mem_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    if (mem_enter(&r->conn, "source.chunk_open", NULL, err) || mem_look(r, t, &h, err) ||
        mem_same_shape(h.shape, t, true, err)) {
        return -1;
    }
    mem_chunk_end(r);
    if (mem_rows_of(r, &h, c, &r->rows, &r->nrows, err)) {
        return -1;
    }
    for (size_t i = 0; i < r->nrows; i++) {
        mem_row_ref(r->rows[i]);
    }
    r->chunk_shape = h.shape;
    r->shape = *t; /* the caller's table outlives the chunk */
    r->open = true;
    r->ended = false;
    return 0;
}

int mem_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    if (mem_enter(&r->conn, "source.chunk_read", NULL, err)) {
        return -1;
    }
    if (!r->open) {
        return mf_fail(err, MF_FATAL, "MFCALL", "chunk_read without a chunk");
    }
    mf_buf_reset(&r->wire);
    size_t piece = r->conn.server->knobs.wire_rows;
    for (size_t n = 0; r->at < r->nrows && (piece == 0 || n < piece); n++, r->at++) {
        struct mf_value v[MF_MEM_MAX_COLUMNS];
        mem_project(r->chunk_shape, r->rows[r->at]->v, &r->shape, v);
        for (uint16_t i = 0; i < r->shape.ncolumns; i++) {
            mf_buf_put_varint(&r->wire, v[i].kind == MF_NULL ? 0 : (uint64_t)v[i].len + 1);
            mf_buf_append(&r->wire, v[i].data, v[i].kind == MF_NULL ? 0 : v[i].len);
        }
    }
    if (r->wire.len == 0 && !r->ended) {
        r->ended = true;
        mf_buf_put_u8(&r->wire, 0xff);
    }
    *ret_data = r->wire.data;
    *ret_len = r->wire.len;
    return 0;
}

int mem_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    int64_t rows = (int64_t)r->nrows;
    mem_chunk_end(r);
    if (mem_enter(&r->conn, "source.chunk_close", NULL, err)) {
        return -1;
    }
    *ret_after = mem_position(mem_broken(r->conn.server, "no-consistency-point") ? 1 : r->conn.server->lsn);
    *ret_rows = rows;
    return 0;
}

int mem_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                   void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    MF_CLEANUP_FREE struct mem_row **rows = NULL;
    size_t n;
    if (mem_enter(&r->conn, "source.chunk_rows", NULL, err) || mem_look(r, t, &h, err) ||
        mem_same_shape(h.shape, t, false, err) || mem_rows_of(r, &h, c, &rows, &n, err)) {
        return -1;
    }
    struct mem_rows *keep = mem_rows_ref(h.rows);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct mf_value v[MF_MEM_MAX_COLUMNS];
        mem_project(h.shape, rows[i]->v, t, v);
        rc = emit(ctx, &(struct mf_row){.n = t->ncolumns, .values = v}, err) < 0 ? -1 : 0;
    }
    mem_rows_unref(keep);
    if (rc == 0 && ret_after) {
        *ret_after = mem_position(r->conn.server->lsn);
    }
    return rc;
}

/* The key asked by is another than the server's own: every row is looked at. */
static int read_by_others(const struct held_table *h, const struct mf_table *t, const struct mf_row *keys, size_t n,
                          mf_row_sink *emit, void *ctx, struct mf_error *err)
{
    for (size_t r = 0; r < h->rows->n; r++) {
        struct mf_value v[MF_MEM_MAX_COLUMNS];
        mem_project(h->shape, h->rows->rows[r]->v, t, v);
        for (size_t i = 0; i < n; i++) {
            bool is = true;
            for (uint16_t k = 0; k < t->nkey; k++) {
                is = is && mf_value_equal(&v[t->key[k]], &keys[i].values[t->key[k]]);
            }
            if (is && emit(ctx, &(struct mf_row){.n = t->ncolumns, .values = v}, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static bool own_key(const struct held_table *h, const struct mf_table *t)
{
    bool own = t->nkey == h->shape->table.nkey;
    for (uint16_t k = 0; k < t->nkey && own; k++) {
        int at = mem_column_at(&h->shape->table, t->columns[t->key[k]].name);
        own = at >= 0 && h->shape->table.columns[at].in_key;
    }
    return own;
}

int mem_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                  mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    if (mem_enter(&r->conn, "source.read_rows", NULL, err) || mem_look(r, t, &h, err)) {
        return -1;
    }
    struct mem_rows *keep = mem_rows_ref(h.rows);
    struct mf_position after = mem_position(r->conn.server->lsn);
    bool own = own_key(&h, t);
    int rc = own ? 0 : read_by_others(&h, t, keys, n, emit, ctx, err);
    for (size_t i = 0; rc == 0 && own && i < n; i++) {
        struct mf_value v[MF_MEM_MAX_COLUMNS], key[MF_MEM_MAX_COLUMNS] = {0};
        for (uint16_t k = 0; k < t->nkey; k++) {
            uint16_t col = keys[i].n == t->ncolumns ? t->key[k] : k;
            int at = mem_column_at(&h.shape->table, t->columns[t->key[k]].name);
            if (at < 0) {
                mem_rows_unref(keep);
                return mf_fail(err, MF_FATAL, "MFSHAPE", "%s.%s has no column %s", t->schema, t->name,
                               t->columns[t->key[k]].name);
            }
            key[at] = keys[i].values[col];
        }
        size_t at = mem_rows_by_key(keep, h.shape, key);
        if (at != SIZE_MAX) {
            mem_project(h.shape, keep->rows[at]->v, t, v);
            rc = emit(ctx, &(struct mf_row){.n = t->ncolumns, .values = v}, err) < 0 ? -1 : 0;
        }
    }
    mem_rows_unref(keep);
    if (rc == 0 && ret_after) {
        *ret_after = after;
    }
    return rc;
}

/* ---- digests ---- */

static struct mf_digest digest_of(uint64_t hash)
{
    return (struct mf_digest){.rows = 1, .lane1 = hash, .lane2 = mem_mix(hash + 99)};
}

int mem_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
               struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    MF_CLEANUP_FREE struct mem_row **rows = NULL;
    size_t n;
    if (mem_enter(&r->conn, "source.digest", NULL, err) || mem_look(r, t, &h, err) ||
        mem_rows_of(r, &h, c, &rows, &n, err)) {
        return -1;
    }
    struct mf_digest sum = {0};
    for (size_t i = 0; i < n; i++) {
        struct mf_digest d =
            digest_of(mem_broken(r->conn.server, "digest-blind") ? 1 : mem_row_hash(rows[i], h.shape, t));
        sum.rows++;
        sum.lane1 += d.lane1;
        sum.lane2 += d.lane2;
    }
    *ret = sum;
    return 0;
}

int mem_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                    void *ctx, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_reader *r = (struct mem_reader *)base;
    struct held_table h;
    MF_CLEANUP_FREE struct mem_row **rows = NULL;
    size_t n;
    if (mem_enter(&r->conn, "source.digest_rows", NULL, err) || mem_look(r, t, &h, err) ||
        mem_rows_of(r, &h, c, &rows, &n, err)) {
        return -1;
    }
    struct mem_rows *keep = mem_rows_ref(h.rows);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct mf_value v[MF_MEM_MAX_COLUMNS];
        struct mf_digest d =
            digest_of(mem_broken(r->conn.server, "digest-rows-blind") ? 1 : mem_row_hash(rows[i], h.shape, t));
        mem_project(h.shape, rows[i]->v, t, v);
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            if (!t->columns[k].in_key) {
                v[k] = (struct mf_value){.kind = MF_UNCHANGED};
            }
        }
        struct mf_row key = {.n = t->nkey ? t->ncolumns : 0, .values = v};
        rc = emit(ctx, &key, &d, err) < 0 ? -1 : 0;
    }
    mem_rows_unref(keep);
    return rc;
}
