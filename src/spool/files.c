/* The spool's storage in files: DIR/<start offset in hex>.mfs, one a segment.
 *
 * Descriptors: the last segment's stays open for writing, and one more for where the reader is, so that a spool of
 * thousands of segments needs two. Nothing is trusted to be durable before fdatasync, or to have a name before its
 * directory was synced. A sync that failed is final: the kernel forgets which pages it could not write, so a second try
 * would succeed without them. What was not durable is cut off then, and the next run goes on from there. */
#include "spool/files.h"

#include "base/fault.h"
#include "base/mem.h"
#include "spool/spill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one segment's file ---- */

static void name_of(uint64_t start, char out[32])
{
    snprintf(out, 32, "%016" PRIx64 ".mfs", start);
}

static int segment_error(struct files *f, uint64_t start, int errnum, const char *doing, struct mf_error *err)
{
    char path[512], name[32];
    name_of(start, name);
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return mf_disk_error(err, errnum, doing, path);
}

static void close_fd(struct file_segment *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

/* Opens a segment for reading (the last one for writing too). Lock held. */
static int open_segment(struct files *f, size_t i, struct mf_error *err)
{
    struct file_segment *s = &f->segs[i];
    char name[32];
    if (s->fd >= 0) {
        return 0;
    }
    name_of(s->start, name);
    s->fd = openat(f->dirfd, name, (i + 1 == f->n ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    return s->fd < 0 ? segment_error(f, s->start, errno, "cannot open the spool's segment", err) : 0;
}

static struct file_segment *add_segment(struct files *f, uint64_t start, uint64_t size, int fd)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 16;
        f->segs = mf_xreallocarray(f->segs, f->cap, sizeof(*f->segs));
    }
    f->segs[f->n++] = (struct file_segment){.start = start, .size = size, .synced = size, .fd = fd};
    return &f->segs[f->n - 1];
}

/* ---- operations ---- */

static int files_list(struct mf_spool_storage *st, struct mf_segment **ret, size_t *ret_n, struct mf_error *err)
{
    (void)err;
    struct files *f = (struct files *)st;
    MF_LOCK_SCOPE(&f->lock);
    *ret_n = f->n;
    if (f->n) {
        *ret = mf_xcalloc(f->n, sizeof(**ret));
        for (size_t i = 0; i < f->n; i++) {
            (*ret)[i] = (struct mf_segment){.start = f->segs[i].start, .size = f->segs[i].size};
        }
    }
    return 0;
}

/* Makes the last segment durable. Lock not held: only the writer's thread changes it. */
static int sync_last(struct files *f, struct mf_error *err)
{
    struct file_segment s;
    {
        MF_LOCK_SCOPE(&f->lock);
        if (f->n == 0) {
            return 0;
        }
        if (open_segment(f, f->n - 1, err) < 0) {
            return -1;
        }
        s = f->segs[f->n - 1];
    }
    if (s.leftover && ftruncate(s.fd, (off_t)s.size) < 0) {
        return segment_error(f, s.start, errno, "cannot cut what a failed write left in", err);
    }
    if (fdatasync(s.fd) < 0) {
        int errnum = errno;
        if (ftruncate(s.fd, (off_t)s.synced) < 0) {
            errnum = errno;
        }
        segment_error(f, s.start, errnum, "cannot make durable", err);
        err->cls = MF_FATAL;
        return -1;
    }
    MF_LOCK_SCOPE(&f->lock);
    f->segs[f->n - 1].synced = s.size;
    f->segs[f->n - 1].leftover = false;
    return 0;
}

static int files_sync(struct mf_spool_storage *st, struct mf_error *err)
{
    struct files *f = (struct files *)st;
    if (sync_last(f, err) < 0) {
        return -1;
    }
    return MF_FAULT(err, "spool.synced");
}

static int sync_dir(struct files *f, struct mf_error *err)
{
    return fsync(f->dirfd) < 0 ? mf_disk_error(err, errno, "cannot make durable the directory", f->dir) : 0;
}

static int files_create(struct mf_spool_storage *st, uint64_t start, struct mf_error *err)
{
    struct files *f = (struct files *)st;
    char name[32];
    pthread_mutex_lock(&f->lock);
    bool exists = f->n && f->segs[f->n - 1].start == start; /* from a try that failed after this */
    pthread_mutex_unlock(&f->lock);
    if (exists) {
        return sync_dir(f, err);
    }
    if (sync_last(f, err) < 0) {
        return -1;
    }
    name_of(start, name);
    int fd = openat(f->dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return segment_error(f, start, errno, "cannot make the spool's segment", err);
    }
    {
        MF_LOCK_SCOPE(&f->lock);
        if (f->n && f->n - 1 != f->reading) {
            close_fd(&f->segs[f->n - 1]);
        }
        add_segment(f, start, 0, fd);
    }
    return sync_dir(f, err);
}

/* Drops the first done bytes of an iovec; returns how many of its parts are left, moved to the front. */
static int skip_written(struct iovec *iov, int n, size_t done)
{
    int i = 0;
    for (; i < n && done >= iov[i].iov_len; i++) {
        done -= iov[i].iov_len;
    }
    for (int k = i; k < n; k++) {
        iov[k - i] = iov[k];
    }
    if (i < n) {
        iov[0].iov_base = (char *)iov[0].iov_base + done;
        iov[0].iov_len -= done;
    }
    return n - i;
}

static int files_append(struct mf_spool_storage *st, uint64_t offset, const struct iovec *iov, int n,
                        struct mf_error *err)
{
    struct files *f = (struct files *)st;
    struct iovec left[4];
    int fd;
    uint64_t start, at;
    if (MF_FAULT(err, "spool.append")) {
        return -1;
    }
    {
        MF_LOCK_SCOPE(&f->lock);
        if (open_segment(f, f->n - 1, err) < 0) {
            return -1;
        }
        fd = f->segs[f->n - 1].fd;
        start = f->segs[f->n - 1].start;
    }
    memcpy(left, iov, (size_t)n * sizeof(*iov));
    for (at = offset - start; n > 0;) {
        ssize_t done = pwritev(fd, left, n, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            int errnum = done < 0 ? errno : ENOSPC;
            MF_LOCK_SCOPE(&f->lock);
            struct file_segment *s = &f->segs[f->n - 1];
            s->leftover = ftruncate(fd, (off_t)s->size) < 0;
            return segment_error(f, start, errnum, "cannot write to the spool's segment", err);
        }
        at += (uint64_t)done;
        n = skip_written(left, n, (size_t)done);
    }
    MF_LOCK_SCOPE(&f->lock);
    f->segs[f->n - 1].size = at;
    return 0;
}

static int files_read(struct mf_spool_storage *st, uint64_t offset, void *buf, size_t len, size_t *ret_len,
                      struct mf_error *err)
{
    struct files *f = (struct files *)st;
    MF_LOCK_SCOPE(&f->lock);
    size_t i = f->n;
    while (i > 0 && f->segs[i - 1].start > offset) {
        i--;
    }
    *ret_len = 0;
    if (i-- == 0 || offset - f->segs[i].start >= f->segs[i].size) {
        return 0;
    }
    if (open_segment(f, i, err) < 0) {
        return -1;
    }
    if (f->reading != i) {
        if (f->reading < f->n && f->reading + 1 != f->n) {
            close_fd(&f->segs[f->reading]);
        }
        f->reading = i;
    }
    uint64_t at = offset - f->segs[i].start, left = f->segs[i].size - at;
    ssize_t got;
    do {
        got = pread(f->segs[i].fd, buf, len < left ? len : (size_t)left, (off_t)at);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return segment_error(f, f->segs[i].start, errno, "cannot read the spool's segment", err);
    }
    *ret_len = (size_t)got;
    return 0;
}

static int files_truncate(struct mf_spool_storage *st, uint64_t offset, struct mf_error *err)
{
    struct files *f = (struct files *)st;
    bool removed = false;
    if (MF_FAULT(err, "spool.truncate")) {
        return -1;
    }
    pthread_mutex_lock(&f->lock);
    int rc = 0;
    while (rc == 0 && f->n && f->segs[f->n - 1].start >= offset) {
        char name[32];
        name_of(f->segs[f->n - 1].start, name);
        if (unlinkat(f->dirfd, name, 0) < 0 && errno != ENOENT) {
            rc = segment_error(f, f->segs[f->n - 1].start, errno, "cannot remove the spool's segment", err);
            break;
        }
        close_fd(&f->segs[--f->n]);
        removed = true;
    }
    if (rc == 0 && f->n) {
        /* It may have been opened for reading only, when it was not the last. */
        struct file_segment *s = &f->segs[f->n - 1];
        uint64_t size = offset - s->start;
        if (removed) {
            close_fd(s);
        }
        rc = open_segment(f, f->n - 1, err);
        if (rc == 0 && size < s->size && ftruncate(s->fd, (off_t)size) < 0) {
            rc = segment_error(f, s->start, errno, "cannot cut the spool's segment", err);
        }
        if (rc == 0 && size < s->size) {
            s->size = size;
            s->synced = s->synced < size ? s->synced : size;
        }
    }
    pthread_mutex_unlock(&f->lock);
    /* A segment of the same name may be made next, and the old one must not come back after a power failure. */
    return rc == 0 && removed ? sync_dir(f, err) : rc;
}

static int files_remove(struct mf_spool_storage *st, uint64_t start, struct mf_error *err)
{
    struct files *f = (struct files *)st;
    char name[32];
    MF_LOCK_SCOPE(&f->lock);
    if (f->n < 2 || f->segs[0].start != start) {
        return mf_fail(err, MF_FATAL, "MFSPOOL", "the spool has no old segment %016" PRIx64 " to remove", start);
    }
    name_of(start, name);
    if (unlinkat(f->dirfd, name, 0) < 0 && errno != ENOENT) {
        return segment_error(f, start, errno, "cannot remove the spool's segment", err);
    }
    close_fd(&f->segs[0]);
    f->n--;
    memmove(f->segs, f->segs + 1, f->n * sizeof(*f->segs));
    f->reading = f->reading == 0 || f->reading == SIZE_MAX ? SIZE_MAX : f->reading - 1;
    return 0;
}

static void files_where(struct mf_spool_storage *st, uint64_t offset, char *out, size_t n)
{
    struct files *f = (struct files *)st;
    char name[32];
    MF_LOCK_SCOPE(&f->lock);
    size_t i = 0;
    while (i + 1 < f->n && f->segs[i + 1].start <= offset) {
        i++;
    }
    uint64_t start = f->n ? f->segs[i].start : 0;
    name_of(start, name);
    snprintf(out, n, "segment %s/%s, byte %" PRIu64, f->dir, name, offset - start);
}

static void files_free(struct mf_spool_storage *st)
{
    struct files *f = (struct files *)st;
    for (size_t i = 0; i < f->n; i++) {
        close_fd(&f->segs[i]);
    }
    if (f->dirfd >= 0) {
        close(f->dirfd); /* and the lock on it */
    }
    pthread_mutex_destroy(&f->lock);
    free(f->segs);
    free(f->dir);
    free(f);
}

static const struct mf_spool_storage_ops files_ops = {
    .free = files_free,
    .list = files_list,
    .create = files_create,
    .append = files_append,
    .sync = files_sync,
    .read = files_read,
    .truncate = files_truncate,
    .remove = files_remove,
    .where = files_where,
};

/* ---- opening ---- */

static int by_start(const void *a, const void *b)
{
    const struct file_segment *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Takes DIR/<16 hex digits>.mfs; other names are not ours. */
static int take_entry(struct files *f, const char *name, struct mf_error *err)
{
    char *end, want[32];
    struct stat sb;
    uint64_t start = strtoull(name, &end, 16);
    name_of(start, want);
    if (strcmp(name, want) != 0) {
        return 0;
    }
    if (fstatat(f->dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(sb.st_mode)) {
        return segment_error(f, start, errno ? errno : EINVAL, "cannot look at the spool's segment", err);
    }
    add_segment(f, start, (uint64_t)sb.st_size, -1);
    return 0;
}

static int scan_dir(struct files *f, struct mf_error *err)
{
    int fd = dup(f->dirfd);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        mf_disk_error(err, errno, "cannot read the directory", f->dir);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        rc = take_entry(f, e->d_name, err);
    }
    closedir(d);
    if (rc == 0 && f->n) {
        qsort(f->segs, f->n, sizeof(*f->segs), by_start);
    }
    return rc;
}

/* The directory's own name must be durable before anything in it is promised: also when an earlier run made it and died. */
static int sync_parent(struct files *f, struct mf_error *err)
{
    MF_CLEANUP_FREE char *copy = mf_xstrdup(f->dir);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        int errnum = errno;
        if (fd >= 0) {
            close(fd);
        }
        return mf_disk_error(err, errnum, "cannot make durable the directory that holds", f->dir);
    }
    close(fd);
    return 0;
}

static int open_dir(struct files *f, struct mf_error *err)
{
    if (mkdir(f->dir, 0700) < 0 && errno != EEXIST) {
        return mf_disk_error(err, errno, "cannot make the spool's directory", f->dir);
    }
    if (sync_parent(f, err) < 0) {
        return -1;
    }
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dirfd < 0) {
        return mf_disk_error(err, errno, "cannot open the spool's directory", f->dir);
    }
    if (flock(f->dirfd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK) {
            mf_fail(err, MF_FATAL, "MFSPOOL", "the spool in %s is in use by another process", f->dir);
            mf_hint(err, "Another `midflight run` of this migration is at work; stop it first");
            return -1;
        }
        return mf_disk_error(err, errno, "cannot lock the spool's directory", f->dir);
    }
    return scan_dir(f, err);
}

struct mf_spool_storage *mf_spool_files(const char *dir, size_t segment_bytes, struct mf_error *err)
{
    struct files *f = mf_xcalloc(1, sizeof(*f));
    f->st = (struct mf_spool_storage){
        .ops = &files_ops,
        .segment_bytes = segment_bytes ? segment_bytes : (size_t)64 << 20,
        .segment_min = (size_t)64 << 10,
        .block_bytes = (size_t)256 << 10,
        .compress = true,
    };
    f->dir = mf_xstrdup(dir);
    f->dirfd = -1;
    f->reading = SIZE_MAX;
    pthread_mutex_init(&f->lock, NULL);
    if (open_dir(f, err) < 0) {
        files_free(&f->st);
        return NULL;
    }
    return &f->st;
}
