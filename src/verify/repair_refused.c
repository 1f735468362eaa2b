/* A pass does not stop for a row that the replica refuses.
 *
 * A refusal may be of the moment: the row has a unique value that another one still has on the replica, and that one is carried later, or the two exchange
 * theirs. So the first time the replica's own version goes, which is wrong anyway, and the row is given once more when all others are written. Whoever is
 * refused then goes to quarantine, in a window of its own: that is how connectors write there, and how the change is known for ours. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "verify/repair_internal.h"

#include <stdio.h>
#include <stdlib.h>

static int take_away(void *ctx, struct mf_applier *a, struct mf_error *err)
{
    struct vf_left_out *l = ctx;
    struct mf_apply *apply = l->v->o.pipe->apply;
    return l->v->o.pipe->replica->connector->target->repair_rows(a, l->t->rt, NULL, 0, l->row, 1, mf_apply_stamp(apply),
                                                                 err);
}

static int to_quarantine(void *ctx, struct mf_applier *a, struct mf_error *err)
{
    struct vf_left_out *l = ctx;
    const struct mf_target_ops *ops = l->v->o.pipe->replica->connector->target;
    const struct mf_window_mode mode = {.fuzzy = true, .careful = true, .keep_rejected = true};
    struct mf_arena arena;
    struct mf_position at = {0};
    struct mf_rowchange change = {.op = MF_ROW_INSERT, .count = 1, .new_row = *l->row}, *changes[] = {&change};
    struct mf_batch_table table = {.table = l->t->rt, .ninserts = 1, .inserts = changes};
    struct mf_batch batch = {.ntables = 1, .tables = &table, .rows = 1};
    mf_arena_init(&arena, (size_t)64 << 20);
    struct mf_window_result result = {.arena = &arena};
    mf_apply_position(l->v->o.pipe->apply, &at);
    at.order = at.order ? at.order : 1;
    int rc = ops->window_begin(a, &at, &mode, err) < 0 || ops->window_batch(a, &batch, &result, err) < 0 ||
                     ops->window_commit(a, err) < 0
                 ? -1
                 : 0;
    if (rc < 0) {
        ops->window_abort(a);
    }
    mf_arena_free(&arena);
    return rc;
}

void vf_repair_leave_out(struct vf_repair *p)
{
    struct mf_verify *v = p->v;
    p->left_out = (struct vf_left_out){.v = v, .t = vf_repair_table(p), .row = &p->whole.rows[0], .under_way = true};
    if (p->second && !v->stats.refusal[0]) {
        const struct mf_table *t = vf_repair_table(p)->named;
        MF_LOCK_SCOPE(&v->mu);
        snprintf(v->stats.refusal, sizeof v->stats.refusal, "%s.%s: %.240s", t->schema, t->name, p->job.err.text);
    }
    p->job = (struct mf_apply_job){.run = p->second ? to_quarantine : take_away, .ctx = &p->left_out};
    p->submitted = true;
    mf_apply_submit(v->o.pipe->apply, &p->job);
}

int vf_repair_left_out(struct vf_repair *p, struct mf_error *err)
{
    struct vf_table *t = p->left_out.t;
    p->left_out.under_way = false;
    if (p->job.rc < 0 && (p->job.err.cls == MF_ROW || p->job.err.cls == MF_CONFLICT)) {
        return 0; /* it stays a difference: the pass is not whole, and the next one meets it again */
    }
    if (p->job.rc < 0) {
        *err = p->job.err;
        mf_error_prefix(err, "leaving a row of table %s.%s out", t->named->schema, t->named->name);
        return -1;
    }
    MF_LOCK_SCOPE(&p->v->mu);
    if (p->second) {
        t->refused++;
    } else { /* the fault at hand is the one the batch was of */
        p->batch->next = t->later;
        t->later = p->batch;
    }
    return 0;
}

bool vf_repair_second(struct vf_repair *p)
{
    struct mf_verify *v = p->v;
    bool any = false;
    if (p->second) {
        return false;
    }
    MF_LOCK_SCOPE(&v->mu);
    for (size_t i = 0; i < v->ntables; i++) {
        v->tables[i].faults = v->tables[i].later;
        v->tables[i].later = NULL;
        any = any || v->tables[i].faults;
    }
    p->second = any;
    p->table = 0;
    p->next = any ? v->tables[0].faults : NULL;
    return any;
}
