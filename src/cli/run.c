/* run: the migration, its API, its signals and its progress, in one process. */
#include "cli/command.h"

#include "api/api.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/progress.h"
#include "migration/migration.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* The signal thread: the first signal asks the migration to stop, the second ends the process, which is as safe (kill -9
 * is). Signals are blocked in every other thread. */
struct signals {
    pthread_t thread;
    int fd, end[2];
    bool started;
    atomic_bool opening;                    /* nothing has been done yet */
    struct mf_migration *_Atomic migration; /* NULL before it is open and after it has ended */
};

static void *watch_signals(void *arg)
{
    struct signals *s = arg;
    bool asked = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->end[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno == EINTR) {
            continue;
        }
        struct signalfd_siginfo info;
        if (fds[1].revents) {
            return NULL;
        }
        if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
            continue;
        }
        bool opening = atomic_load(&s->opening); /* before the pointer: it is set the other way round */
        struct mf_migration *m = atomic_load(&s->migration);
        if (asked || (!m && !opening)) {
            _exit(MF_EXIT_FAILED);
        }
        asked = true;
        mf_log(MF_INFO, "run", "stopping on signal %u; `midflight run` goes on from here", info.ssi_signo);
        if (!m) {
            _exit(MF_EXIT_OK);
        }
        mf_migration_stop(m);
    }
}

static int signals_start(struct signals *s, struct mf_error *err)
{
    sigset_t set;
    *s = (struct signals){.fd = -1, .end = {-1, -1}, .opening = true};
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    struct sigaction hup;
    if (sigaction(SIGHUP, NULL, &hup) < 0 || hup.sa_handler != SIG_IGN) { /* nohup: it is to outlive its terminal */
        sigaddset(&set, SIGHUP);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (s->fd < 0 || pipe2(s->end, O_CLOEXEC) < 0 /* or what a hook leaves behind keeps it open */ ||
        pthread_create(&s->thread, NULL, watch_signals, s) != 0) {
        return mf_fail(err, MF_FATAL, "MFOS", "cannot watch for signals: %s", strerror(errno));
    }
    s->started = true;
    return 0;
}

static void signals_end(struct signals *s)
{
    if (s->started) {
        close(s->end[1]);
        pthread_join(s->thread, NULL);
        close(s->end[0]);
        close(s->fd);
    }
}

static int until_of(const struct mf_args *a, enum mf_until *ret, struct mf_error *err)
{
    const char *word = mf_arg(a, "until");
    if (!word) {
        *ret = MF_UNTIL_END;
    } else if (mf_streq(word, "copied")) {
        *ret = MF_UNTIL_COPIED;
    } else if (mf_streq(word, "synced")) {
        *ret = MF_UNTIL_SYNCED;
    } else {
        return mf_fail(err, MF_USAGE, "MFUSAGE", "--until is copied or synced, not \"%.40s\"", word);
    }
    return 0;
}

static int make_state_dir(const char *dir, struct mf_error *err)
{
    struct stat st;
    if (mkdir(dir, 0700) == 0 || (errno == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))) {
        return 0;
    }
    mf_fail(err, MF_USAGE, "MFSTATE", "cannot make the state directory %s: %s", dir,
            errno == EEXIST ? "something else has its name" : strerror(errno));
    mf_hint(err, "name another with --state DIR");
    return -1;
}

/* With the migration open: serve and run it to its end. */
static int serve(const struct mf_args *a, const struct mf_config *c, enum mf_until until, struct mf_migration *m,
                 struct mf_progress *progress, struct mf_error *err)
{
    struct mf_api *api = NULL;
    struct mf_api_backend backend;
    mf_api_for_migration(m, &backend);
    if (mf_cli_remember(a, c, err) < 0 || mf_api_start(&backend, c, &api, err) < 0) {
        return -1;
    }
    mf_migration_on_event(m, mf_api_publish, api);
    mf_progress_watch(progress, m);
    int rc = mf_migration_run(m, until, err);
    mf_migration_on_event(m, NULL, NULL);
    mf_api_stop(api);
    return rc;
}

static int run_with(const struct mf_args *a, const struct mf_config *c, enum mf_until until, struct signals *signals,
                    struct mf_error *err)
{
    struct mf_migration *m = NULL;
    struct mf_progress *progress = NULL;
    if (make_state_dir(c->state_dir, err) < 0 || mf_progress_new(c, &progress, err) < 0) {
        return -1;
    }
    int rc = mf_migration_open(c, &m, err);
    atomic_store(&signals->migration, m);
    atomic_store(&signals->opening, false);
    if (rc == 0) {
        rc = serve(a, c, until, m, progress, err);
    }
    mf_progress_free(progress); /* asks m until now */
    atomic_store(&signals->migration, NULL);
    mf_migration_free(m);
    return rc;
}

static int told(const struct mf_args *a, const struct mf_config *c, struct mf_error *err)
{
    mf_cli_blame(c, err);
    if (err->cls == MF_USAGE || mf_progress_for_people(c)) {
        return mf_cli_fail(a, err);
    }
    mf_log_error("run", err);
    return mf_exit_for(err);
}

int mf_cmd_run(const struct mf_args *a)
{
    struct mf_error err = {0};
    struct mf_config *c = NULL;
    struct signals signals;
    enum mf_until until;
    if (until_of(a, &until, &err) < 0 || mf_cli_config(a, &c, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = MF_EXIT_OK;
    if (signals_start(&signals, &err) < 0 || run_with(a, c, until, &signals, &err) < 0) {
        status = told(a, c, &err);
    }
    signals_end(&signals);
    mf_config_free(c);
    return status;
}
