#include "connector/lease.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define RENEW_US (1 * MF_US_PER_SEC)
#define RETRY_US (250 * MF_US_PER_MS)

static int take(struct mf_lease *l, bool renew, char *ret_who, size_t n, struct mf_error *err)
{
    int64_t asked = mf_lease_us();
    if (l->how->take(l, renew, ret_who, n, err) < 0) {
        return -1;
    }
    if (!ret_who[0]) {
        MF_LOCK_SCOPE(&l->lock);
        l->good_until_us = asked + MF_LEASE_S * MF_US_PER_SEC;
    }
    return 0;
}

static void *renew(void *arg)
{
    struct mf_lease *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->end && !l->lost) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += RENEW_US / MF_US_PER_SEC;
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
        if (l->end) {
            break;
        }
        pthread_mutex_unlock(&l->lock);
        char who[160] = "";
        struct mf_error err = {0};
        int rc = take(l, true, who, sizeof who, &err);
        pthread_mutex_lock(&l->lock);
        l->lost = (rc == 0 && who[0]) || mf_lease_us() > l->good_until_us;
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void free_lease(struct mf_lease *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct mf_lease *new_lease(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_lease_how *how)
{
    struct mf_lease *l = mf_xcalloc(1, sizeof *l);
    unsigned char random[16] = {0};
    char host[64] = "?";
    l->base.db = db;
    l->how = how;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    mf_strlcpy(l->migration, pipe->migration, sizeof l->migration);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        int64_t now = mf_wall_us();
        memcpy(random, &now, sizeof now);
    }
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(l->holder + 2 * i, 3, "%02x", random[i]);
    }
    gethostname(host, sizeof host - 1);
    snprintf(l->host, sizeof l->host, "process %d on %s", (int)getpid(), host);
    return l;
}

static int twice(const struct mf_lease *l, const char *who, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFTWICE", "another midflight runs this migration (%s) %s %s: %s", l->migration,
            l->how->into, l->how->host(l->base.db), who);
    mf_hint(err, "one run at a time: use the commands of that one, or stop it first; what one that was killed "
                 "left ends by itself within " MF_LEASE_TEXT " s");
    return -1;
}

/* 0: we have it. */
static int wait_for_it(struct mf_lease *l, int wait_ms, struct mf_error *err)
{
    int64_t until = mf_now_us() + wait_ms * MF_US_PER_MS;
    for (;;) {
        char who[160] = "";
        int rc = take(l, false, who, sizeof who, err);
        if (rc < 0) {
            rc = l->how->mend ? l->how->mend(l, err) : 0;
            if (rc <= 0) {
                return -1;
            }
        } else if (!who[0]) {
            return 0;
        } else if (mf_now_us() >= until) {
            return twice(l, who, err);
        }
        mf_sleep_us(RETRY_US);
    }
}

int mf_lease_take(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_lease_how *how, int wait_ms,
                  struct mf_run_lock **ret, struct mf_error *err)
{
    struct mf_lease *l = new_lease(db, pipe, how);
    if (wait_for_it(l, wait_ms, err) < 0 || MF_FAULT(err, how->fault)) {
        free_lease(l);
        return -1;
    }
    if (pthread_create(&l->thread, NULL, renew, l) != 0) {
        free_lease(l);
        return mf_fail(err, MF_FATAL, "MFOS", "a thread could not be started");
    }
    *ret = &l->base;
    return 0;
}

int mf_lease_check(struct mf_run_lock *base, struct mf_error *err)
{
    struct mf_lease *l = (struct mf_lease *)base;
    if (!l) {
        return mf_fail(err, MF_RETRY, "MFLOST", "the right to run this migration is not held");
    }
    MF_LOCK_SCOPE(&l->lock);
    if (!l->lost && mf_lease_us() <= l->good_until_us) {
        return 0;
    }
    return mf_fail(err, MF_RETRY, "MFLOST",
                   "the right to run this migration could not be renewed in %s %s within " MF_LEASE_TEXT " s",
                   l->how->where, l->how->host(base->db));
}

void mf_lease_release(struct mf_run_lock *base)
{
    struct mf_lease *l = (struct mf_lease *)base;
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->end = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    l->how->drop(l);
    free_lease(l);
}
