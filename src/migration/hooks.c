/* Hooks: the user's executables, with the facts in their environment. Their output goes where ours goes. */
#include "migration/internal.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

extern char **environ;

static const char *path_of(const struct mf_config *c, const char *name)
{
    const struct {
        const char *name, *path;
    } hooks[] = {
        {"on_before_cutover", c->hooks.on_before_cutover},
        {"on_cutover", c->hooks.on_cutover},
        {"on_rollback", c->hooks.on_rollback},
        {"on_complete", c->hooks.on_complete},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(hooks); i++) {
        if (strcmp(hooks[i].name, name) == 0) {
            return hooks[i].path;
        }
    }
    return NULL;
}

/* Waits at most timeout_ms; then the hook and what it started are killed. */
static int wait_for(pid_t pid, int64_t timeout_ms, int *ret_status)
{
    int64_t until = mf_now_us() + timeout_ms * 1000;
    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid) {
            return 0;
        }
        if ((got < 0 && errno != EINTR) || mf_now_us() > until) {
            kill(-pid, SIGKILL);
            waitpid(pid, ret_status, 0);
            return -1;
        }
        struct timespec t = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
}

/* Three entries; facts->host is "host:port". */
static size_t put_side(char **env, size_t n, const char *side, const struct mf_db_facts *facts)
{
    const char *colon = strrchr(facts->host, ':');
    int host = colon ? (int)(colon - facts->host) : (int)strlen(facts->host);
    env[n++] = mf_xasprintf("MIDFLIGHT_%s_HOST=%.*s", side, host, facts->host);
    env[n++] = mf_xasprintf("MIDFLIGHT_%s_PORT=%s", side, colon ? colon + 1 : "");
    env[n++] = mf_xasprintf("MIDFLIGHT_%s_DATABASE=%s", side, facts->database);
    return n;
}

static char **environment(const struct mf_migration *m, const char *name, const char *const *facts)
{
    size_t n = 0, nfacts = 0;
    while (environ[n]) {
        n++;
    }
    while (facts && facts[nfacts]) {
        nfacts++;
    }
    char **env = mf_xcalloc(n + nfacts + 9, sizeof *env);
    memcpy(env, environ, n * sizeof *env);
    for (size_t i = 0; i < nfacts; i++) {
        env[n++] = mf_xstrdup(facts[i]);
    }
    env[n++] = mf_xasprintf("MIDFLIGHT_HOOK=%s", name);
    env[n++] = mf_xasprintf("MIDFLIGHT_MIGRATION=%s", m->config->migration);
    n = put_side(env, n, "SOURCE", &m->source_facts);
    put_side(env, n, "TARGET", &m->target_facts);
    return env;
}

static void free_environment(char **env)
{
    size_t n = 0;
    while (environ[n]) {
        n++;
    }
    for (char **p = env + n; *p; p++) {
        free(*p);
    }
    free(env);
}

int mf_run_hook(void *ctx, const char *name, const char *const *facts, struct mf_error *err)
{
    return mf_run_hook_within(ctx, name, facts, 0, err);
}

int mf_run_hook_within(void *ctx, const char *name, const char *const *facts, int64_t within_ms, struct mf_error *err)
{
    struct mf_migration *m = ctx;
    int64_t timeout_ms = within_ms > 0 ? within_ms : m->config->hooks.timeout_ms;
    const char *path = path_of(m->config, name);
    if (!path) {
        return 0;
    }
    char **env = environment(m, name, facts);
    posix_spawnattr_t attr;
    posix_spawnattr_init(&attr);
    posix_spawnattr_setpgroup(&attr, 0);
    /* The signals that `run` blocks and ignores are its own affair: a hook begins with none of that. */
    sigset_t blocked, defaults;
    sigemptyset(&blocked);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attr, &blocked);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char *const argv[] = {(char *)path, NULL};
    pid_t pid;
    mf_log(MF_INFO, "hook", "%s: running %s", name, path);
    int rc = posix_spawn(&pid, path, NULL, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    free_environment(env);
    int status = 0;
    if (rc != 0) {
        mf_fail(err, MF_ABANDONED, "MFHOOK", "the hook %s (%s) could not be started: %s", name, path, strerror(rc));
    } else if (wait_for(pid, timeout_ms, &status) < 0) {
        mf_fail(err, MF_ABANDONED, "MFHOOK", "the hook %s (%s) did not end within %lld ms and was killed", name, path,
                (long long)timeout_ms);
    } else if (WIFSIGNALED(status)) {
        mf_fail(err, MF_ABANDONED, "MFHOOK", "the hook %s (%s) was killed by signal %d", name, path, WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        mf_fail(err, MF_ABANDONED, "MFHOOK", "the hook %s (%s) failed with exit %d", name, path, WEXITSTATUS(status));
    } else {
        return 0;
    }
    mf_hint(err, "mend the hook (what it printed is in the output of `midflight run`) and give the command again");
    return -1;
}
