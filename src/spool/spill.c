#include "spool/spill.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mf_disk_error(struct mf_error *err, int errnum, const char *doing, const char *path)
{
    char text[128];
    const char *why = strerror_r(errnum, text, sizeof(text));
    if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG) {
        mf_fail(err, MF_RETRY, "MFDISK", "%s %s: %s. Nothing is lost: the source keeps what is not taken", doing, path,
                why);
        mf_hint(err,
                "Make room on the disk that holds %s; it goes on by itself then. Until it does, the source's log "
                "grows",
                path);
        return -1;
    }
    mf_fail(err, MF_FATAL, "MFDISK", "%s %s: %s", doing, path, why);
    mf_hint(err, errnum == EACCES || errnum == EROFS || errnum == EPERM
                     ? "Give the user that runs midflight the right to write there"
                     : "Look at the disk (dmesg, smartctl), then run again: it goes on from what is durable");
    return -1;
}

int mf_spill_make(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
        char *path = mf_xasprintf("%s/spill-XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0) {
            unlink(path);
        }
        free(path);
    }
    return fd < 0 ? -errno : fd;
}

void mf_spill_close(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

int mf_spill_put(int fd, uint64_t at, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(at + done));
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int mf_spill_get(int fd, uint64_t at, void *out, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, (char *)out + done, len - done, (off_t)(at + done));
        if (n == 0) {
            return -1;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int mf_spill_open(const char *dir, struct mf_error *err)
{
    int fd = mf_spill_make(dir);
    return fd < 0 ? mf_disk_error(err, -fd, "cannot make a temporary file in", dir) : fd;
}

int mf_spill_write(int fd, const char *dir, uint64_t at, const void *data, size_t len, struct mf_error *err)
{
    int rc = MF_FAULT(err, "spool.spill")
    ? -1 : mf_spill_put(fd, at, data, len);
    return rc > 0 ? mf_disk_error(err, rc, "cannot write a large transaction to a temporary file in", dir) : rc;
}

int mf_spill_read(int fd, uint64_t at, void *out, size_t len, struct mf_error *err)
{
    int rc = mf_spill_get(fd, at, out, len);
    if (rc < 0) {
        return mf_fail(err, MF_RETRY, "MFSPILL", "the temporary file of a large transaction ends too early");
    }
    if (rc > 0) {
        char text[128];
        return mf_fail(err, MF_RETRY, "MFSPILL", "cannot read back a large transaction: %s",
                       strerror_r(rc, text, sizeof(text)));
    }
    return 0;
}
