/*
 * A spool whose bytes are anybody's: refused with an error, or opened, read and written on, never read outside.
 *
 * The first byte of the input chooses: even, the rest is a segment as it is (checksums nearly never match, which tries
 * recovery); odd, the rest is blocks, each two bytes of length and its records, for which headers with right checksums
 * are made (which tries what reads the records). Seeds of both are in the corpus.
 */
#include "fuzz.h"

#include "spool/format.h"
#include "spool/storage.h"

#include <string.h>

static void append(struct mf_spool_storage *st, uint64_t *off, const struct iovec *iov, int n)
{
    struct mf_error err = {0};
    MF_FUZZ_CHECK(st->ops->append(st, *off, iov, n, &err) == 0);
    for (int i = 0; i < n; i++) {
        *off += iov[i].iov_len;
    }
}

static void fill(struct mf_spool_storage *st, const uint8_t *data, size_t size)
{
    struct mf_error err = {0};
    uint64_t off = 0;
    bool blocks = data[0] & 1;
    data++;
    size--;
    MF_FUZZ_CHECK(st->ops->create(st, 0, &err) == 0);
    if (!blocks) {
        struct iovec all = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        append(st, &off, &all, 1);
        return;
    }
    while (size >= 2) {
        size_t n = (size_t)data[0] | (size_t)data[1] << 8;
        data += 2;
        size -= 2;
        n = n < size ? n : size;
        uint8_t head[MF_BLOCK_HEADER];
        struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof(head)},
                               {.iov_base = (void *)(uintptr_t)data, .iov_len = n}};
        struct mf_block_head h = {.offset = off, .stored = (uint32_t)n, .raw = (uint32_t)n};
        mf_block_head_pack(head, &h, iov + 1, 1);
        append(st, &off, iov, 2);
        data += n;
        size -= n;
    }
}

/* Everything there is. Positions of commits are those of their begins. */
static int read_all(struct mf_spool *s, const struct mf_position *after, uint64_t *ret_last)
{
    struct mf_spool_reader *r;
    struct mf_record rec;
    struct mf_error err = {0};
    uint64_t open = 0;
    int rc = 0;
    if (mf_spool_reader_open(s, after, &r, &err) < 0) {
        MF_FUZZ_CHECK(err.text[0]);
        return -1;
    }
    for (;;) {
        rc = mf_spool_read(r, 0, &rec, &err);
        if (rc < 0 || rec.kind == MF_RECORD_NONE) {
            break;
        }
        if (rec.kind == MF_RECORD_BEGIN) {
            open = rec.position.order;
        }
        if (rec.kind == MF_RECORD_CHANGE) {
            MF_FUZZ_CHECK(rec.change.table != NULL);
        }
        if (rec.kind == MF_RECORD_COMMIT) {
            MF_FUZZ_CHECK(rec.position.order == open);
        }
        *ret_last = rec.position.order;
    }
    MF_FUZZ_CHECK(rc == 0 || err.text[0]);
    if (rc == 0) {
        MF_FUZZ_CHECK(mf_spool_rewind(r, after, &err) == 0 || err.text[0]);
        mf_spool_read(r, 0, &rec, &err);
    }
    mf_spool_reader_close(r);
    return rc;
}

/* What was opened takes another transaction, which is found after a restart. */
static void write_on(struct mf_spool_storage *st, struct mf_spool *s, const struct mf_position *tail)
{
    struct mf_error err = {0};
    struct mf_position p, none = {0};
    struct mf_txn_head h = {.txn = 1, .position = {.order = tail->order + 1, .token = "next"}};
    uint64_t last = 0;
    if (tail->order == UINT64_MAX) {
        return;
    }
    MF_FUZZ_CHECK(mf_spool_begin(s, &h, &err) == 0 && mf_spool_end(s, &err) == 0);
    MF_FUZZ_CHECK(mf_spool_sync(s, &p, &err) == 0 && p.order == tail->order + 1);
    struct mf_spool *again;
    MF_FUZZ_CHECK(mf_spool_open(st, 0, &again, &err) == 0);
    mf_spool_tail(again, &p);
    MF_FUZZ_CHECK(p.order == tail->order + 1);
    if (read_all(again, &none, &last) == 0) {
        MF_FUZZ_CHECK(last == p.order);
    }
    mf_spool_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_error err = {0};
    struct mf_spool *s;
    struct mf_position tail, none = {0};
    uint64_t last = 0;
    if (size < 1) {
        return 0;
    }
    struct mf_spool_storage *st = mf_spool_memory();
    fill(st, data, size);
    if (mf_spool_open(st, 0, &s, &err) < 0) {
        MF_FUZZ_CHECK(err.text[0]);
    } else {
        mf_spool_tail(s, &tail);
        read_all(s, &none, &last);
        write_on(st, s, &tail);
        mf_spool_close(s);
    }
    mf_spool_storage_free(st);
    return 0;
}
