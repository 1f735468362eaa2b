/*
 * Whose a migration is, and the right to run it.
 *
 * A cluster has no locks of sessions. The right to run is a row that ends by itself after LEASE_S, written by conditional statements and
 * renewed by a thread of its own, so that a control thread that is busy does not lose it. Who has not been able to renew it for
 * as long as it lasts has lost it, and is told so. Two that both believe to have it for a moment do no harm to rows: every write has its stamp, and
 * an older checkpoint hides no newer one.
 */
#include "connector/cassandra/cass.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LEASE_S   8 /* a run that was killed keeps the next one away so long: less than that one waits */
#define RENEW_US  (1 * MF_US_PER_SEC)
#define RETRY_US  (250 * MF_US_PER_MS)
#define TRIES     5
#define TEXT(n)   #n
#define NUMBER(n) TEXT(n)

/* ---- owner ---- */

static int write_owner(struct cass_db *db, const char *migration, const char *claim, const char *theirs,
                       struct mf_error *err)
{
    const char *fresh[] = {migration, claim}, *later[] = {claim, migration, theirs};
    return theirs[0] ? cass_ask(db, CASS_IF,
                                "UPDATE midflight.settings SET value = ? WHERE migration = ? AND kind = 'owner' AND"
                                " object = 'state' IF value = ?",
                                later, 3, NULL, err)
                     : cass_ask(db, CASS_IF,
                                "INSERT INTO midflight.settings (migration, kind, object, value)"
                                " VALUES (?, 'owner', 'state', ?) IF NOT EXISTS",
                                fresh, 2, NULL, err);
}

int cass_owner(struct mf_db *base, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
               struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    char theirs[4096];
    for (int i = 0; i < TRIES; i++) {
        if (cass_kept(db, pipe->migration, "owner", "state", theirs, sizeof theirs, err) < 0) {
            return -1;
        }
        size_t word = strcspn(theirs, " ");
        bool ours = claim && strcspn(claim, " ") == word && strncmp(claim, theirs, word) == 0;
        if (!claim || (theirs[0] && !ours) || strcmp(theirs, claim) == 0) {
            mf_strlcpy(ret, theirs, n);
            return 0;
        }
        if (write_owner(db, pipe->migration, claim, theirs, err) < 0) {
            return -1;
        }
    }
    return mf_fail(err, MF_RETRY, "MFTWICE", "the owner of this migration (%s) is being changed by another session",
                   pipe->migration);
}

/* ---- the right to run ---- */

struct cass_run_lock {
    struct mf_run_lock base;
    char migration[41], holder[33], host[128];
    pthread_t thread;     /* renews: nothing else */
    pthread_mutex_t lock; /* guards the rest; changed is signalled when it is to end */
    pthread_cond_t changed;
    bool end, lost;
    int64_t good_until_us; /* our clock: when the row ends by itself, at the earliest */
};

/* *ret_who: who has it instead, "" when we have. */
static int take(struct cass_db *db, struct cass_run_lock *l, bool renew, char *ret_who, size_t n, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    const char *fresh[] = {l->migration, l->holder, l->host}, *again[] = {l->holder, l->host, l->migration, l->holder};
    int64_t asked = mf_lease_us();
    int rc = renew
                 ? cass_ask(db, CASS_IF,
                            "UPDATE midflight.run_lock USING TTL " NUMBER(LEASE_S) " SET holder = ?, host = ?"
                                                                                   " WHERE migration = ? IF holder = ?",
                            again, 4, &a, err)
                 : cass_ask(db, CASS_IF,
                            "INSERT INTO midflight.run_lock (migration, holder, host) VALUES (?, ?, ?) IF NOT EXISTS"
                            " USING TTL " NUMBER(LEASE_S),
                            fresh, 3, &a, err);
    if (rc < 0 || (rc = cass_first(a, &cells, err)) < 0) {
        return -1;
    }
    mf_strlcpy(ret_who, "", n);
    if (rc == 1 && cass_cell_true(cells, 0)) {
        MF_LOCK_SCOPE(&l->lock);
        l->good_until_us = asked + LEASE_S * MF_US_PER_SEC;
        return 0;
    }
    /* An attempt of ours whose answer was lost has put us there: the row's columns follow [applied]. */
    char holder[64] = "", host[128] = "?";
    for (int i = 1; rc == 1 && i < a->columns->n; i++) {
        if (strcmp(a->columns->columns[i].name, "holder") == 0) {
            cass_cell_text(a, cells, i, holder, sizeof holder);
        } else if (strcmp(a->columns->columns[i].name, "host") == 0) {
            cass_cell_text(a, cells, i, host, sizeof host);
        }
    }
    if (strcmp(holder, l->holder) == 0) {
        return renew ? mf_fail(err, MF_RETRY, "MFLOST", "the right to run was not renewed")
                     : take(db, l, true, ret_who, n, err);
    }
    snprintf(ret_who, n, "%s", holder[0] ? host : renew ? "nobody" : "?");
    return 0;
}

static void *renew(void *arg)
{
    struct cass_run_lock *l = arg;
    struct cass_db *db = cass_db_of(l->base.db);
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
        int rc = take(db, l, true, who, sizeof who, &err);
        pthread_mutex_lock(&l->lock);
        l->lost = (rc == 0 && who[0]) || mf_lease_us() > l->good_until_us;
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void free_lock(struct cass_run_lock *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct cass_run_lock *new_lock(struct mf_db *db, const struct mf_pipe_id *pipe)
{
    struct cass_run_lock *l = mf_xcalloc(1, sizeof *l);
    unsigned char random[16] = {0};
    char host[64] = "?";
    l->base.db = db;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    mf_strlcpy(l->migration, pipe->migration, sizeof l->migration);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        memset(random, 0, sizeof random); /* then the process and the time tell it from others */
    }
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(l->holder + 2 * i, 3, "%02x", random[i]);
    }
    gethostname(host, sizeof host - 1);
    snprintf(l->host, sizeof l->host, "process %d on %s", (int)getpid(), host);
    return l;
}

int cass_run_lock(struct mf_db *base, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                  struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    struct cass_run_lock *l = new_lock(base, pipe);
    int64_t until = mf_now_us() + wait_ms * MF_US_PER_MS;
    char who[160] = "";
    for (;;) {
        int rc = take(db, l, false, who, sizeof who, err);
        if (rc < 0 && cass_no_book(err)) {
            mf_error_clear(err);
            /* The first of all asks before anything is made. What a migration that has begun had there is not made anew. */
            rc = cass_book(db, err) == 0 ? 1 : -1;
        }
        if (rc < 0) {
            free_lock(l);
            return -1;
        }
        if (rc == 0 && !who[0]) {
            break;
        }
        if (rc == 0 && mf_now_us() >= until) {
            free_lock(l);
            mf_fail(err, MF_FATAL, "MFTWICE", "another midflight runs this migration (%s) into the cluster of %s: %s",
                    pipe->migration, db->facts.host, who);
            mf_hint(err, "one run at a time: use the commands of that one, or stop it first; what one that was killed "
                         "left ends by itself within " NUMBER(LEASE_S) " s");
            return -1;
        }
        mf_sleep_us(RETRY_US);
    }
    if (MF_FAULT(err, "cassandra.running")) {
        free_lock(l);
        return -1;
    }
    if (pthread_create(&l->thread, NULL, renew, l) != 0) {
        free_lock(l);
        return mf_fail(err, MF_FATAL, "MFOS", "a thread could not be started");
    }
    *ret = &l->base;
    return 0;
}

int cass_run_lock_check(struct mf_run_lock *base, struct mf_error *err)
{
    struct cass_run_lock *l = (struct cass_run_lock *)base;
    if (!l) {
        return mf_fail(err, MF_RETRY, "MFLOST", "the right to run this migration is not held");
    }
    MF_LOCK_SCOPE(&l->lock);
    if (!l->lost && mf_lease_us() <= l->good_until_us) {
        return 0;
    }
    return mf_fail(
        err, MF_RETRY, "MFLOST",
        "the right to run this migration could not be renewed in the cluster of %s within " NUMBER(LEASE_S) " s",
        cass_db_of(base->db)->facts.host);
}

void cass_run_lock_release(struct mf_run_lock *base)
{
    struct cass_run_lock *l = (struct cass_run_lock *)base;
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->end = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    struct mf_error ignored = {0};
    const char *args[] = {l->migration, l->holder};
    cass_ask(cass_db_of(base->db), CASS_IF, "DELETE FROM midflight.run_lock WHERE migration = ? IF holder = ?", args, 2,
             NULL, &ignored); /* or it ends by itself */
    free_lock(l);
}
