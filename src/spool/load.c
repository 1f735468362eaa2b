/* A block from storage: header, checksum, decompression. Trusts no length: memory grows only by what the segment holds. */
#include "spool/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zstd.h>

/* The largest buffer kept from one block to the next. */
#define KEEP_MAX ((size_t)1 << 20)

int mf_spool_damaged(struct mf_spool_storage *st, uint64_t off, const char *what, struct mf_error *err)
{
    char where[512];
    st->ops->where(st, off, where, sizeof(where));
    mf_fail(err, MF_FATAL, "MFSPOOL", "the spool is damaged in %s: %s", where, what);
    mf_hint(err,
            "Its transactions were acknowledged and the source does not keep them. Put back a good copy of that file "
            "and run again; without one, `midflight cancel` and start the migration anew");
    return -1;
}

static int grow(uint8_t **buf, size_t *cap, size_t n, struct mf_error *err)
{
    if (n <= *cap) {
        return 0;
    }
    uint8_t *p = realloc(*buf, n);
    if (!p) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a spool block of %zu bytes", n);
    }
    *buf = p;
    *cap = n;
    return 0;
}

/* Reads until len bytes, the end of the segment, or an error. */
static int read_full(struct mf_spool_storage *st, uint64_t off, uint8_t *buf, size_t len, size_t *ret_got,
                     struct mf_error *err)
{
    size_t got = 0;
    while (got < len) {
        size_t n;
        if (st->ops->read(st, off + got, buf + got, len - got, &n, err) < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        got += n;
    }
    *ret_got = got;
    return 0;
}

static enum mf_load unpack(struct mf_loaded *l, const struct mf_block_head *h, struct mf_error *err)
{
    if (!(h->flags & MF_BLOCK_ZSTD)) {
        l->raw = l->buf;
        l->len = h->stored;
        return MF_LOAD_OK;
    }
    if (!l->dctx && !(l->dctx = ZSTD_createDCtx())) {
        mf_fail(err, MF_FATAL, "MFMEM", "out of memory for decompression");
        return MF_LOAD_ERROR;
    }
    if (grow(&l->zraw, &l->zraw_cap, h->raw, err) < 0) {
        return MF_LOAD_ERROR;
    }
    size_t n = ZSTD_decompressDCtx(l->dctx, l->zraw, h->raw, l->buf, h->stored);
    l->raw = l->zraw;
    l->len = h->raw;
    return ZSTD_isError(n) || n != h->raw ? MF_LOAD_BAD : MF_LOAD_OK;
}

/* The payload is read in steps, so that a length that lies costs no more memory than the segment has bytes. */
static enum mf_load read_payload(struct mf_spool_storage *st, uint64_t off, size_t len, struct mf_loaded *l,
                                 struct mf_error *err)
{
    const size_t step = (size_t)8 << 20;
    for (size_t have = 0; have < len;) {
        size_t n = len - have < step ? len - have : step + have; /* doubles */
        n = n > len - have ? len - have : n;
        size_t got;
        if (grow(&l->buf, &l->buf_cap, have + n, err) < 0 ||
            read_full(st, off + have, l->buf + have, n, &got, err) < 0) {
            return MF_LOAD_ERROR;
        }
        if (got < n) {
            return MF_LOAD_BAD;
        }
        have += n;
    }
    return MF_LOAD_OK;
}

enum mf_load mf_block_load(struct mf_spool_storage *st, uint64_t off, struct mf_loaded *l, struct mf_error *err)
{
    uint8_t head[MF_BLOCK_HEADER];
    size_t got;
    struct mf_block_head h;
    l->len = 0;
    if (l->buf_cap > KEEP_MAX) { /* one giant change does not stay in memory for ever */
        free(l->buf);
        l->buf = NULL;
        l->buf_cap = 0;
    }
    if (read_full(st, off, head, sizeof(head), &got, err) < 0) {
        return MF_LOAD_ERROR;
    }
    if (got == 0) {
        return MF_LOAD_END;
    }
    if (got < sizeof(head) || !mf_block_head_unpack(head, off, &h)) {
        return MF_LOAD_BAD;
    }
    enum mf_load rc = read_payload(st, off + MF_BLOCK_HEADER, h.stored, l, err);
    if (rc != MF_LOAD_OK) {
        return rc;
    }
    if (!mf_block_sum_ok(head, l->buf, h.stored)) {
        return MF_LOAD_BAD;
    }
    l->next_off = off + MF_BLOCK_HEADER + h.stored;
    l->durable = h.durable;
    return unpack(l, &h, err);
}

void mf_loaded_free(struct mf_loaded *l)
{
    free(l->buf);
    free(l->zraw);
    ZSTD_freeDCtx(l->dctx);
    *l = (struct mf_loaded){0};
}
