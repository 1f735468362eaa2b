/* What apply tells capture, for dual writes: how far the replica is, and whether it stands still for a reason of our own. */
#include "pipeline/apply_internal.h"

#include "base/clock.h"

void mf_apply_how_far(struct mf_apply *a, struct mf_held *ret)
{
    pthread_mutex_lock(&a->mu);
    ret->upto = a->reached.order > a->applied.order ? a->reached : a->applied;
    ret->standing_us = a->standing_us;
    ret->refused = a->refused_rows + (a->refused - a->refused_then);
    pthread_mutex_unlock(&a->mu);
}

uint64_t mf_apply_refused_ticket(struct mf_apply *a)
{
    pthread_mutex_lock(&a->mu);
    uint64_t n = a->refused;
    pthread_mutex_unlock(&a->mu);
    return n;
}

void mf_apply_note_refused(struct mf_apply *a, uint64_t ticket, uint64_t rows)
{
    pthread_mutex_lock(&a->mu);
    a->refused_then = ticket;
    a->refused_rows = rows;
    pthread_mutex_unlock(&a->mu);
}

void mf_apply_moved(struct mf_apply *a)
{
    if (a->o.moved && a->seen_to.order != a->told) {
        a->told = a->seen_to.order;
        a->o.moved(a->o.moved_ctx);
    }
}

void mf_apply_standing(struct mf_apply *a, bool standing)
{
    pthread_mutex_lock(&a->mu);
    if (!standing) {
        a->standing_us = 0;
    } else if (!a->standing_us) {
        a->standing_us = mf_now_us();
    }
    pthread_mutex_unlock(&a->mu);
}
