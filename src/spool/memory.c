/* The spool's storage in memory, for the simulation: hundreds of thousands are made a minute, so it holds nothing until
 * something is written. Bytes beyond the last sync are lost by a crash, wholly or but for a torn part. */
#include "spool/storage.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    struct mf_spool_storage st;
    pthread_mutex_t lock; /* guards all below */
    char *data;           /* bytes from segs[0].start (or `base`) on */
    uint64_t base;        /* offset of data[0] */
    size_t len, cap;
    uint64_t synced; /* everything before this offset survives a crash */
    uint64_t *starts;
    size_t n, ncap;
    unsigned fail_in; /* 0: no failure planned; 1: the next operation fails */
};

static int planned_failure(struct memory *m, struct mf_error *err)
{
    if (m->fail_in && --m->fail_in == 0) {
        return mf_fail(err, MF_RETRY, "MFDISK", "cannot write to the spool: simulated failure");
    }
    return 0;
}

static uint64_t end_of(const struct memory *m)
{
    return m->base + m->len;
}

static void memory_free(struct mf_spool_storage *st)
{
    struct memory *m = (struct memory *)st;
    pthread_mutex_destroy(&m->lock);
    free(m->data);
    free(m->starts);
    free(m);
}

static int memory_list(struct mf_spool_storage *st, struct mf_segment **ret, size_t *ret_n, struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    *ret_n = m->n;
    if (m->n == 0) {
        return 0;
    }
    *ret = mf_xcalloc(m->n, sizeof(**ret));
    for (size_t i = 0; i < m->n; i++) {
        uint64_t end = i + 1 < m->n ? m->starts[i + 1] : end_of(m);
        (*ret)[i] = (struct mf_segment){.start = m->starts[i], .size = end - m->starts[i]};
    }
    return 0;
}

static int memory_create(struct mf_spool_storage *st, uint64_t start, struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    m->synced = end_of(m);
    if (m->n && m->starts[m->n - 1] == start) {
        return 0;
    }
    if (m->n == 0) {
        m->base = start;
        m->len = 0;
    }
    if (m->n == m->ncap) {
        m->ncap = m->ncap ? m->ncap * 2 : 2;
        m->starts = mf_xreallocarray(m->starts, m->ncap, sizeof(*m->starts));
    }
    m->starts[m->n++] = start;
    return 0;
}

static int memory_append(struct mf_spool_storage *st, uint64_t offset, const struct iovec *iov, int n,
                         struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    size_t at = (size_t)(offset - m->base), sum = 0;
    for (int i = 0; i < n; i++) {
        sum += iov[i].iov_len;
    }
    if (at + sum > m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 512;
        m->cap = cap > at + sum ? cap : at + sum;
        m->data = mf_xrealloc(m->data, m->cap);
    }
    for (int i = 0; i < n && sum > 0; i++) {
        memcpy(m->data + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    m->len = at;
    return 0;
}

static int memory_sync(struct mf_spool_storage *st, struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    m->synced = end_of(m);
    return 0;
}

static int memory_read(struct mf_spool_storage *st, uint64_t offset, void *buf, size_t len, size_t *ret_len,
                       struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    uint64_t end = end_of(m);
    for (size_t i = 0; i < m->n; i++) {
        if (m->starts[i] > offset) {
            end = m->starts[i];
            break;
        }
    }
    *ret_len = 0;
    if (offset >= m->base && offset < end) {
        *ret_len = len < end - offset ? len : (size_t)(end - offset);
        memcpy(buf, m->data + (offset - m->base), *ret_len);
    }
    return 0;
}

static void cut_bytes(struct memory *m, uint64_t offset)
{
    if (offset < end_of(m)) {
        m->len = offset > m->base ? (size_t)(offset - m->base) : 0;
    }
    if (m->synced > offset) {
        m->synced = offset;
    }
}

static void cut(struct memory *m, uint64_t offset)
{
    cut_bytes(m, offset);
    while (m->n && m->starts[m->n - 1] >= offset) {
        m->n--;
    }
}

static int memory_truncate(struct mf_spool_storage *st, uint64_t offset, struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    cut(m, offset);
    return 0;
}

static int memory_remove(struct mf_spool_storage *st, uint64_t start, struct mf_error *err)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    if (planned_failure(m, err) < 0) {
        return -1;
    }
    if (m->n < 2 || m->starts[0] != start) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "no such segment to remove");
    }
    size_t gone = (size_t)(m->starts[1] - m->base);
    memmove(m->data, m->data + gone, m->len - gone);
    m->len -= gone;
    m->base += gone;
    m->n--;
    memmove(m->starts, m->starts + 1, m->n * sizeof(*m->starts));
    return 0;
}

static void memory_where(struct mf_spool_storage *st, uint64_t offset, char *out, size_t n)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    uint64_t start = m->base;
    for (size_t i = 0; i < m->n && m->starts[i] <= offset; i++) {
        start = m->starts[i];
    }
    snprintf(out, n, "segment %" PRIu64 " of the spool in memory, byte %" PRIu64, start, offset - start);
}

static const struct mf_spool_storage_ops memory_ops = {
    .free = memory_free,
    .list = memory_list,
    .create = memory_create,
    .append = memory_append,
    .sync = memory_sync,
    .read = memory_read,
    .truncate = memory_truncate,
    .remove = memory_remove,
    .where = memory_where,
};

struct mf_spool_storage *mf_spool_memory(void)
{
    struct memory *m = mf_xcalloc(1, sizeof(*m));
    m->st =
        (struct mf_spool_storage){.ops = &memory_ops, .segment_bytes = 8192, .segment_min = 1024, .block_bytes = 1024};
    pthread_mutex_init(&m->lock, NULL);
    return &m->st;
}

void mf_spool_memory_crash(struct mf_spool_storage *st)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    m->fail_in = 0;
    /* A segment that begins where the synced bytes end has nothing durable in it but its name: it is there, and empty. */
    cut_bytes(m, m->synced);
    while (m->n && m->starts[m->n - 1] > m->synced) {
        m->n--;
    }
}

void mf_spool_memory_fail(struct mf_spool_storage *st, unsigned nth)
{
    struct memory *m = (struct memory *)st;
    MF_LOCK_SCOPE(&m->lock);
    m->fail_in = nth;
}
