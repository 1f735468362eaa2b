/* capture's part of dual writes: the stream is opened so that commits of the origin wait for it, and they are confirmed when the replica holds them.
 *
 * All of it happens on capture's thread, which owns the stream; apply only wakes it (mf_capture_moved). The rules are dual.h's. A
 * stream of the other kind is another stream: it is closed and opened again at the tail.
 *
 * Leaving on purpose (the gate is closed, the run ends, what comes next must be passed without) lets commits go at once. A
 * connection that broke is opened again; until then the origin keeps them waiting as its own settings say. */
#include "pipeline/capture_internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

struct mf_dual *mf_capture_dual(struct mf_capture *c)
{
    return c ? c->dual : NULL;
}

void mf_capture_gate(struct mf_capture *c, bool on)
{
    if (mf_capture_dual(c) && atomic_exchange(&c->gate_wanted, on) != on) {
        mf_capture_moved(c);
    }
}

void mf_capture_moved(struct mf_capture *c)
{
    if (!mf_capture_dual(c)) {
        return;
    }
    atomic_store(&c->moved, true);
    pthread_mutex_lock(&c->mu);
    if (c->awake) {
        c->o.db->connector->source->stream_wake(c->awake);
    }
    pthread_mutex_unlock(&c->mu);
}

void mf_capture_ask(struct mf_capture *c)
{
    struct mf_commit_wait w = {0};
    struct mf_error err = {0};
    if (!c->dual || !c->gate_wanted) {
        return;
    }
    uint64_t ticket = mf_dual_ticket(c->dual);
    if (c->o.db->connector->source->commits_wait(c->o.db, &c->o.pipe, &w, &err) == 0) {
        mf_dual_answer(c->dual, ticket, &w, mf_now_us());
        mf_capture_moved(c);
    } /* no answer for a while is noticed by its age */
}

bool mf_capture_gate_due(const struct mf_capture *c)
{
    return c->dual && c->gate_wanted && !c->alone;
}

static void set_awake(struct mf_capture *c, struct mf_stream *s)
{
    pthread_mutex_lock(&c->mu);
    c->awake = s;
    pthread_mutex_unlock(&c->mu);
}

void mf_capture_gate_opened(struct mf_capture *c, bool gated)
{
    c->gated = gated;
    c->confirmed = (struct mf_position){0};
    if (c->gated) {
        mf_dual_opened(c->dual);
        set_awake(c, c->stream);
    }
}

void mf_capture_gate_closing(struct mf_capture *c, const struct mf_error *err)
{
    struct mf_error left = {0};
    char why[MF_DUAL_WHY];
    if (!c->gated) {
        return;
    }
    bool alone = err && strcmp(err->code, "MFALONE") == 0, on = c->gate_wanted;
    if (err) {
        snprintf(why, sizeof(why), "%s%.250s",
                 alone                  ? "the stream goes on without it for a moment: "
                 : err->cls == MF_RETRY ? "the stream broke: "
                                        : "",
                 err->text);
        mf_dual_closed(c->dual, MF_DUAL_DEGRADED, why);
    } else {
        mf_dual_closed(c->dual, MF_DUAL_OFF, on ? "the stream rests" : "commits wait for the target no longer");
    }
    set_awake(c, NULL);
    /* Else they wait as long as the origin lets them. */
    if ((!err || alone || err->cls != MF_RETRY) && c->o.db->connector->source->stream_leave(c->stream, &left) < 0) {
        mf_dual_said(c->dual, left.text);
    }
    if (alone) {
        c->alone = true;
        c->alone_at = c->now.received.order;
    }
    c->gated = false;
}

int mf_capture_confirm(struct mf_capture *c, struct mf_error *err)
{
    if (c->alone && c->stream && !c->gated && c->now.received.order > c->alone_at) {
        c->alone = false;
    }
    if (!c->gated) {
        return 0;
    }
    struct mf_held h;
    bool acknowledges = c->o.db->connector->confirms_acknowledge;
    atomic_store(&c->moved, false); /* before the look: what moves after it is seen by the next */
    /* Where a confirmation is taken for an acknowledgement the spool is synced while the replica still works on it. */
    if ((acknowledges || mf_dual_letting_go(c->dual)) && mf_capture_sync(c, err) < 0) {
        return -1;
    }
    c->o.held(c->o.held_ctx, &h);
    bool durable = mf_dual_step(c->dual, &h, c->durable.order, mf_now_us());
    const struct mf_position *upto = durable && c->durable.order > h.upto.order ? &c->durable : &h.upto;
    if (upto->order > c->pending.order) {
        upto = &c->pending; /* read again from the tail: the replica is ahead of what has come */
    }
    if (acknowledges && upto->order > c->durable.order) {
        upto = &c->durable;
    }
    if (upto->order <= c->confirmed.order) {
        return 0;
    }
    if (c->o.db->connector->source->stream_confirm(c->stream, upto, err) < 0) {
        return -1;
    }
    c->confirmed = *upto;
    return 0;
}
