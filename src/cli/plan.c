#include "cli/command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/document.h"
#include "migration/migration.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t wrote = write(fd, p, n);
        if (wrote < 0 && errno != EINTR) {
            return -1;
        }
        p += wrote > 0 ? wrote : 0;
        n -= wrote > 0 ? (size_t)wrote : 0;
    }
    return fsync(fd);
}

/* The map that is proposed; NULL: none is. */
static const char *proposed(const json_t *doc)
{
    const char *map = json_string_value(json_object_get(json_object_get(doc, "modelling"), "map"));
    return map ? map : json_string_value(json_object_get(json_object_get(doc, "documents"), "map"));
}

static int cannot_make(const char *path, int why, struct mf_error *err)
{
    mf_fail(err, MF_USAGE, "MFUSAGE", "--write-map: cannot make the file %s: %s", path, strerror(why));
    if (why == EEXIST) {
        mf_hint(err, "what somebody may have changed is not written over: name another file, or take that one away");
    }
    return -1;
}

/* Before documents are read, which may take long; whether it can be made is only known when it is. */
static int can_make(const char *path, struct mf_error *err)
{
    struct stat is;
    MF_CLEANUP_FREE char *dir = mf_xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (lstat(path, &is) == 0) {
        return cannot_make(path, EEXIST, err);
    }
    if (slash) {
        slash[1] = '\0'; /* which has it be a folder */
    }
    return access(slash ? dir : ".", W_OK | X_OK) < 0 ? cannot_make(path, errno, err) : 0;
}

/* Into a file that is not there yet: what somebody has changed in an older one is not lost. */
static int write_map(const json_t *doc, const char *path, struct mf_error *err)
{
    const char *map = proposed(doc);
    if (!map) {
        return mf_fail(err, MF_USAGE, "MFUSAGE",
                       json_object_get(doc, "modelling") || json_object_get(doc, "documents")
                           ? "--write-map: the configuration has a map already"
                           : "--write-map: no keys are proposed for this target");
    }
    MF_CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return cannot_make(path, errno, err);
    }
    if (write_all(fd, map, strlen(map)) < 0) {
        mf_fail(err, MF_FATAL, "MFIO", "cannot write the file %s: %s", path, strerror(errno));
        unlink(path);
        return -1;
    }
    return 0;
}

/* On a terminal a line that is written over; elsewhere one now and then. */
struct told {
    bool terminal;
    int64_t at; /* microseconds */
};

#define TELL_EVERY_US 10000000

static void tell(void *ctx, int64_t done, int64_t total)
{
    struct told *t = ctx;
    char n[32], all[32];
    int64_t now = mf_now_us();
    if (!t->terminal && now - t->at < TELL_EVERY_US) {
        return;
    }
    t->at = now;
    mf_format_count(done, n, sizeof n);
    fprintf(stderr, "%s%s documents read", t->terminal ? "\r\033[K" : "", n);
    if (total >= 0) {
        fprintf(stderr, " of about %s", mf_format_count(total, all, sizeof all));
    }
    fputs(t->terminal ? "" : "\n", stderr);
}

int mf_cmd_plan(const struct mf_args *a)
{
    struct mf_error err = {0};
    struct mf_config *c = NULL;
    json_t *doc = NULL;
    mf_log_setup(MF_LOG_AUTO, MF_WARN, STDERR_FILENO);
    const char *file = mf_arg(a, "write-map");
    if ((file && can_make(file, &err) < 0) || mf_cli_config(a, &c, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    struct told told = {.terminal = isatty(STDERR_FILENO), .at = mf_now_us()};
    const bool full = mf_arg(a, "full") != NULL;
    const struct mf_plan_options o = {.full = full, .progress = full ? tell : NULL, .ctx = &told};
    int rc = mf_migration_plan(c, &o, &doc, &err);
    if (full && told.terminal) {
        fputs("\r\033[K", stderr);
    }
    int status = MF_EXIT_OK;
    if (rc < 0 || (file && write_map(doc, file, &err) < 0)) {
        mf_cli_blame(c, &err);
        status = rc < 0 ? mf_cli_fail(a, &err) : mf_cli_fail_with(a, &err, doc);
    } else if (mf_arg(a, "json")) {
        mf_print_json(doc);
    }
    if (rc == 0 && !mf_arg(a, "json")) { /* also when the file could not be written: it took long enough to make */
        mf_document_print(doc, 0, stdout);
    }
    json_decref(doc);
    mf_config_free(c);
    return status;
}
