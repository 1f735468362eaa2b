/* See dual.h.
 *
 * Time is measured with marks: the order of a commit and when it came in, or when the first of a few did. When there are too many, neighbours become
 * one: what waits is never taken for younger than it is, and hardly for older.
 *
 * Three things let commits go: the replica has not answered for after_ms (degrade), replay stands still for our own sake (standstill_ms,
 * whatever the policy: a verification must not be an outage), the origin itself, which has a timeout of its own and other reasons. The first ends when the replica
 * is nearly in step, the second with its cause. */
#include "pipeline/dual.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKS     128
#define MARK_US   MF_US_PER_MS
#define CHANGES   16
#define STALE_US  (5 * MF_US_PER_SEC)  /* without an answer from the origin */
#define NEARLY_US (100 * MF_US_PER_MS) /* in step */
#define UNKNOWN   "it is not known yet whether the source's commits wait for the target"

struct mark {
    uint64_t order;
    int64_t us; /* of the first commit it covers */
};

struct mf_dual {
    struct mf_wait_policy p;
    pthread_mutex_t mu; /* guards everything below */
    bool open, letting;
    char letting_why[MF_DUAL_WHY];
    struct mark marks[MARKS];
    size_t nmarks;
    int64_t last_mark_us;
    uint64_t let_go; /* confirmed without being held, up to here */
    /* the origin */
    uint64_t ticket, lapses;
    bool proven;
    char origin_why[MF_DUAL_WHY];
    struct mf_commit_wait answer;
    int64_t answer_us;
    uint64_t proof; /* everything up to here may have been answered without waiting; what came later was not */
    struct mf_dual_status now;
    struct mf_dual_status changes[CHANGES];
    size_t nchanges;
};

const char *mf_dual_word(enum mf_dual_state s)
{
    static const char *const words[] = {"off", "catching_up", "on", "degraded"};
    return words[s];
}

struct mf_dual *mf_dual_new(const struct mf_wait_policy *p)
{
    struct mf_dual *d = mf_xcalloc(1, sizeof(*d));
    d->p = *p;
    pthread_mutex_init(&d->mu, NULL);
    mf_strlcpy(d->now.why, "commits wait when both sides are in step", sizeof(d->now.why));
    d->now.since_us = mf_wall_us();
    return d;
}

void mf_dual_free(struct mf_dual *d)
{
    if (d) {
        pthread_mutex_destroy(&d->mu);
        free(d);
    }
}

/* Lock held, as for all that are static. */
static void note_change(struct mf_dual *d)
{
    if (d->nchanges == CHANGES) { /* nobody looks: the oldest is forgotten */
        memmove(d->changes, d->changes + 1, (CHANGES - 1) * sizeof(d->changes[0]));
        d->nchanges--;
    }
    d->changes[d->nchanges++] = d->now;
}

static void enter(struct mf_dual *d, enum mf_dual_state state, const char *why)
{
    if (d->now.state == state) {
        mf_strlcpy(d->now.why, why, sizeof(d->now.why));
        return;
    }
    d->now.degraded += state == MF_DUAL_DEGRADED;
    d->now.state = state;
    d->now.since_us = mf_wall_us();
    mf_strlcpy(d->now.why, why, sizeof(d->now.why));
    note_change(d);
}

/* What the origin said before does not count any more. */
static void forget_proof(struct mf_dual *d, const char *why)
{
    d->proven = false;
    d->ticket++;
    mf_strlcpy(d->origin_why, why, sizeof(d->origin_why));
}

void mf_dual_opened(struct mf_dual *d)
{
    pthread_mutex_lock(&d->mu);
    d->open = true;
    d->letting = false;
    d->nmarks = 0;
    forget_proof(d, "");
    enter(d, MF_DUAL_CATCHING_UP, UNKNOWN);
    pthread_mutex_unlock(&d->mu);
}

void mf_dual_closed(struct mf_dual *d, enum mf_dual_state state, const char *why)
{
    pthread_mutex_lock(&d->mu);
    d->open = d->letting = false;
    d->nmarks = 0;
    forget_proof(d, "");
    enter(d, state, why);
    pthread_mutex_unlock(&d->mu);
}

void mf_dual_said(struct mf_dual *d, const char *why)
{
    pthread_mutex_lock(&d->mu);
    mf_strlcpy(d->now.why, why, sizeof(d->now.why));
    note_change(d);
    pthread_mutex_unlock(&d->mu);
}

/* Two neighbours become one: as old as the older, up to the younger. */
static void thin_out(struct mf_dual *d)
{
    for (size_t i = 0; i < MARKS / 2; i++) {
        d->marks[i] = (struct mark){.order = d->marks[2 * i + 1].order, .us = d->marks[2 * i].us};
    }
    d->nmarks = MARKS / 2;
}

void mf_dual_received(struct mf_dual *d, uint64_t order, int64_t now_us)
{
    pthread_mutex_lock(&d->mu);
    if (d->nmarks == 0 || now_us - d->last_mark_us >= MARK_US) {
        if (d->nmarks == MARKS) {
            thin_out(d);
        }
        d->marks[d->nmarks++] = (struct mark){.us = now_us};
        d->last_mark_us = now_us;
    }
    d->marks[d->nmarks - 1].order = order;
    pthread_mutex_unlock(&d->mu);
}

static void drop_held(struct mf_dual *d, uint64_t held)
{
    size_t n = 0;
    while (n < d->nmarks && d->marks[n].order <= held) {
        n++;
    }
    d->nmarks -= n;
    memmove(d->marks, d->marks + n, d->nmarks * sizeof(d->marks[0]));
}

static int64_t oldest(const struct mf_dual *d, int64_t now_us)
{
    return d->nmarks ? now_us - d->marks[0].us : 0;
}

static void judge_letting(struct mf_dual *d, const struct mf_held *h, int64_t now_us)
{
    int64_t age = oldest(d, now_us);
    bool standing = h->standing_us && now_us - h->standing_us >= d->p.standstill_ms * MF_US_PER_MS &&
                    age >= d->p.standstill_ms * MF_US_PER_MS;
    bool sick = d->p.degrade && age >= d->p.after_ms * MF_US_PER_MS;
    if (!d->letting && (standing || sick)) {
        d->letting = true;
        if (standing) {
            snprintf(d->letting_why, sizeof(d->letting_why),
                     "replay stands still for midflight's own sake (a verification, a new table) for more than %" PRId64
                     " ms; commits are answered without the target",
                     d->p.standstill_ms);
        } else {
            snprintf(d->letting_why, sizeof(d->letting_why),
                     "the target has not had a commit for more than %" PRId64 " ms; commits are answered without it",
                     d->p.after_ms);
        }
        return;
    }
    bool near = age < NEARLY_US || (h->standing_us == 0 && !d->p.degrade);
    if (d->letting && near && !standing) {
        d->letting = false;
    }
}

static void judge_origin(struct mf_dual *d, int64_t now_us)
{
    int64_t timeout_us = d->answer.timeout_ms * MF_US_PER_MS;
    if (!d->proven) {
        return;
    }
    if (!d->letting && timeout_us > 0 && oldest(d, now_us) >= timeout_us - timeout_us / 10) {
        char why[MF_DUAL_WHY];
        snprintf(why, sizeof(why),
                 "the source waits no longer than %" PRId64 " ms, and the target has not had a commit for that long",
                 d->answer.timeout_ms);
        forget_proof(d, why);
    } else if (now_us - d->answer_us >= STALE_US) {
        forget_proof(d, "");
    }
}

static void judge_state(struct mf_dual *d, const struct mf_held *h)
{
    char why[MF_DUAL_WHY];
    if (d->letting) {
        enter(d, MF_DUAL_DEGRADED, d->letting_why);
    } else if (!d->proven) {
        bool said = d->origin_why[0] != '\0';
        enter(d, said ? MF_DUAL_DEGRADED : MF_DUAL_CATCHING_UP, said ? d->origin_why : UNKNOWN);
    } else if (h->upto.order < d->let_go || h->upto.order < d->proof) {
        enter(d, MF_DUAL_CATCHING_UP,
              "the target does not have everything yet that was committed before commits waited for it");
    } else if (h->refused > 0) {
        snprintf(why, sizeof(why),
                 "the target has refused %" PRIu64
                 " row%s, which only its quarantine holds; commits wait for all others",
                 h->refused, h->refused == 1 ? "" : "s");
        enter(d, MF_DUAL_DEGRADED, why);
    } else {
        enter(d, MF_DUAL_ON, d->answer.note);
    }
}

bool mf_dual_step(struct mf_dual *d, const struct mf_held *h, uint64_t durable, int64_t now_us)
{
    pthread_mutex_lock(&d->mu);
    bool letting = false;
    if (d->open) {
        drop_held(d, h->upto.order);
        judge_letting(d, h, now_us);
        judge_origin(d, now_us);
        letting = d->letting;
        if (letting && durable > d->let_go) {
            d->let_go = durable;
        }
        judge_state(d, h);
    }
    pthread_mutex_unlock(&d->mu);
    return letting;
}

bool mf_dual_letting_go(struct mf_dual *d)
{
    pthread_mutex_lock(&d->mu);
    bool letting = d->letting;
    pthread_mutex_unlock(&d->mu);
    return letting;
}

uint64_t mf_dual_ticket(struct mf_dual *d)
{
    pthread_mutex_lock(&d->mu);
    uint64_t t = d->ticket;
    pthread_mutex_unlock(&d->mu);
    return t;
}

void mf_dual_answer(struct mf_dual *d, uint64_t ticket, const struct mf_commit_wait *w, int64_t now_us)
{
    pthread_mutex_lock(&d->mu);
    if (d->open && ticket == d->ticket) {
        if (!w->waits) {
            char why[MF_DUAL_WHY];
            snprintf(why, sizeof(why), "the source does not make its commits wait: %s", w->why);
            forget_proof(d, w->why[0] ? why : "");
        } else if (!d->proven || w->lapses != d->lapses) {
            d->proven = true;
            d->proof = w->at.order;
        }
        d->lapses = w->lapses;
        d->answer = *w;
        d->answer_us = now_us;
        mf_strlcpy(d->now.release, w->release, sizeof(d->now.release));
    }
    pthread_mutex_unlock(&d->mu);
}

void mf_dual_status(struct mf_dual *d, int64_t now_us, struct mf_dual_status *ret)
{
    pthread_mutex_lock(&d->mu);
    *ret = d->now;
    ret->waiting_us = oldest(d, now_us);
    pthread_mutex_unlock(&d->mu);
}

bool mf_dual_next_change(struct mf_dual *d, struct mf_dual_status *ret)
{
    pthread_mutex_lock(&d->mu);
    bool some = d->nchanges > 0;
    if (some) {
        *ret = d->changes[0];
        d->nchanges--;
        memmove(d->changes, d->changes + 1, d->nchanges * sizeof(d->changes[0]));
    }
    pthread_mutex_unlock(&d->mu);
    return some;
}
