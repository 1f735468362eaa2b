/*
 * On a terminal the log is written into a pipe. The `painter` thread is the only one that writes to the terminal: it
 * takes the progress line away, prints what came through the pipe, and puts the line back. The `watcher` thread asks the
 * migration for its status and makes the line. They are two, because asking may wait for a thread that is writing to the
 * log: were it the painter that waited, a full pipe would hold both for ever.
 */
#include "cli/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_MAX_BYTES   512
#define TERMINAL_TICK_MS 500
#define LOG_TICK_MS      10000

struct mf_progress {
    bool terminal;
    int log_pipe[2]; /* -1 unless terminal */
    int wake[2];     /* closed at its write end to end the watcher */
    enum mf_log_level level;
    pthread_t painter, watcher;
    bool painting, watching;
    struct mf_migration *migration;
    pthread_mutex_t lock; /* guards line */
    char line[LINE_MAX_BYTES];
};

static enum mf_log_level level_of(const struct mf_config *c)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        if (mf_streq(c->log.level, names[i])) {
            return (enum mf_log_level)i;
        }
    }
    return MF_INFO;
}

bool mf_progress_for_people(const struct mf_config *c)
{
    return mf_streq(c->log.format, "text") || (mf_streq(c->log.format, "auto") && isatty(STDERR_FILENO));
}

static void put(const char *s, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, s, n);
        if (done < 0 && errno != EINTR) {
            return; /* the terminal is gone; there is nobody to tell */
        }
        s += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
}

/* Cuts to the terminal's width: a line that wraps could not be taken back. Counts characters, keeps them whole. */
static size_t fit(const char *line)
{
    struct winsize w = {0};
    size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1U : 79;
    size_t i = 0;
    for (size_t shown = 0; line[i]; i++) {
        if (((unsigned char)line[i] & 0xc0) != 0x80 && shown++ == columns) {
            break;
        }
    }
    return i;
}

/* A job in the background must not write over what is typed in front of it: it has its log lines and no more. */
static bool in_front(void)
{
    return tcgetpgrp(STDERR_FILENO) == getpgrp();
}

static void draw(struct mf_progress *p)
{
    char line[LINE_MAX_BYTES];
    if (!in_front()) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    memcpy(line, p->line, sizeof(line));
    pthread_mutex_unlock(&p->lock);
    put("\r\033[K", 4);
    put(line, fit(line));
}

static void *paint(void *arg)
{
    struct mf_progress *p = arg;
    char text[4096];
    for (;;) {
        struct pollfd fd = {.fd = p->log_pipe[0], .events = POLLIN};
        int n = poll(&fd, 1, TERMINAL_TICK_MS);
        if (n > 0) {
            ssize_t got = read(fd.fd, text, sizeof(text));
            if (got == 0) {
                break;
            }
            if (in_front()) {
                put("\r\033[K", 4);
            }
            put(text, got > 0 ? (size_t)got : 0);
            if (got > 0 && text[got - 1] != '\n') {
                continue; /* the rest of the log line comes next */
            }
        }
        draw(p);
    }
    if (in_front()) {
        draw(p);
        put("\n", 1);
    }
    return NULL;
}

static void *watch(void *arg)
{
    struct mf_progress *p = arg;
    char last[LINE_MAX_BYTES] = "";
    struct pollfd fd = {.fd = p->wake[0], .events = POLLIN};
    do {
        char line[LINE_MAX_BYTES];
        json_t *status = mf_migration_status(p->migration);
        if (!status) {
            continue;
        }
        mf_status_line(status, line, sizeof(line), p->terminal ? 20 : 0);
        json_decref(status);
        if (p->terminal) {
            pthread_mutex_lock(&p->lock);
            memcpy(p->line, line, sizeof(line));
            pthread_mutex_unlock(&p->lock);
        } else if (!mf_streq(line, last)) {
            mf_log(MF_INFO, "progress", "%s", line);
            memcpy(last, line, sizeof(last));
        }
    } while (poll(&fd, 1, p->terminal ? TERMINAL_TICK_MS : LOG_TICK_MS) == 0);
    return NULL;
}

int mf_progress_new(const struct mf_config *c, struct mf_progress **ret, struct mf_error *err)
{
    struct mf_progress *p = mf_xcalloc(1, sizeof(*p));
    enum mf_log_format format = mf_progress_for_people(c) ? MF_LOG_TEXT : MF_LOG_JSON;
    p->level = level_of(c);
    p->terminal = format == MF_LOG_TEXT && isatty(STDERR_FILENO);
    p->log_pipe[0] = p->log_pipe[1] = p->wake[0] = p->wake[1] = -1;
    pthread_mutex_init(&p->lock, NULL);
    if (pipe2(p->wake, O_CLOEXEC) < 0 || (p->terminal && pipe2(p->log_pipe, O_CLOEXEC) < 0)) {
        mf_progress_free(p);
        return mf_fail(err, MF_FATAL, "MFOS", "cannot make a pipe: %s", strerror(errno));
    }
    mf_log_setup(format, p->level, p->terminal ? p->log_pipe[1] : STDERR_FILENO);
    if (p->terminal) {
        p->painting = pthread_create(&p->painter, NULL, paint, p) == 0;
        if (!p->painting) { /* without it nothing would read the pipe */
            mf_log_setup(format, p->level, STDERR_FILENO);
        }
    }
    *ret = p;
    return 0;
}

void mf_progress_watch(struct mf_progress *p, struct mf_migration *m)
{
    p->migration = m;
    p->watching = pthread_create(&p->watcher, NULL, watch, p) == 0;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void mf_progress_free(struct mf_progress *p)
{
    if (!p) {
        return;
    }
    close_fd(p->wake[1]);
    if (p->watching) {
        pthread_join(p->watcher, NULL);
    }
    if (p->terminal) {
        mf_log_setup(MF_LOG_TEXT, p->level, STDERR_FILENO);
    }
    close_fd(p->log_pipe[1]);
    if (p->painting) {
        pthread_join(p->painter, NULL);
    }
    close_fd(p->log_pipe[0]);
    close_fd(p->wake[0]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
