/* A pass does not stop for a row that the replica refuses.
 *
 * A batch in which one is refused is given again row by row, in one window, with what is refused in quarantine: that is how connectors write there, how
 * the change is known for ours, and many refused rows cost one commit. The replica's own version of a refused row stays: it is good, if
 * older.
 *
 * But a refusal may be of the moment: the row has a unique value that another one still has on the replica, and that one is carried later, or the two
 * exchange theirs. Such rows are left as they are at first. When all others are written their own versions go, which are wrong anyway and in
 * each other's way, and when all of those have gone they are given a last time. Entries are replaced in the transactions that try the rows again: no
 * moment is without them. */
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/mem.h"
#include "verify/repair_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int give(struct vf_repair *p, struct mf_applier *a, enum mf_rowop op, const struct mf_row *row,
                struct mf_window_result *result, struct mf_error *err)
{
    const struct mf_target_ops *ops = p->v->o.pipe->replica->connector->target;
    struct mf_rowchange change = {.op = op, .count = 1}, *list[] = {&change};
    struct mf_batch_table table = {.table = vf_repair_table(p)->rt};
    struct mf_batch batch = {.ntables = 1, .tables = &table, .rows = 1};
    bool gone = op == MF_ROW_DELETE;
    *(gone ? &change.old_row : &change.new_row) = *row;
    *(gone ? &table.ndeletes : &table.ninserts) = 1;
    *(gone ? &table.deletes : &table.inserts) = list;
    return ops->window_batch(a, &batch, result, err);
}

static int give_all(struct vf_repair *p, struct mf_applier *a, struct mf_window_result *result, struct mf_error *err)
{
    for (size_t i = 0; i < p->ngone; i++) {
        if (give(p, a, MF_ROW_DELETE, &p->gone[i], result, err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; p->turn == VF_MAKE_WAY && i < p->whole.n; i++) {
        if (give(p, a, MF_ROW_DELETE, &p->whole.rows[i], result, err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < p->whole.n; i++) {
        uint64_t later = result->later, refused = result->refused;
        if (give(p, a, MF_ROW_INSERT, &p->whole.rows[i], result, err) < 0) {
            return -1;
        }
        p->fates[i] = result->later > later ? VF_LATER : result->refused > refused ? VF_REFUSED : VF_WRITTEN;
    }
    return 0;
}

static int carefully(void *ctx, struct mf_applier *a, struct mf_error *err)
{
    struct vf_repair *p = ctx;
    struct mf_apply *apply = p->v->o.pipe->apply;
    const struct mf_target_ops *ops = p->v->o.pipe->replica->connector->target;
    const struct mf_window_mode mode = {.fuzzy = true,
                                        .careful = true,
                                        .keep_rejected = true,
                                        .refused_stays = true,
                                        .conflicts_later = p->turn == VF_ALL};
    struct mf_window_result result = {.arena = &p->arena};
    struct mf_position at = {0};
    mf_apply_position(apply, &at);
    at.order = at.order ? at.order : 1;
    if (MF_FAULT(err, "verify.repair") || ops->window_begin(a, &at, &mode, err) < 0 ||
        give_all(p, a, &result, err) < 0 || mf_apply_quarantine_full(apply, result.quarantined, err) < 0 ||
        ops->window_commit(a, err) < 0) {
        ops->window_abort(a);
        return -1;
    }
    mf_apply_quarantined(apply, result.quarantined);
    snprintf(p->refusal, sizeof p->refusal, "%s", result.refusal);
    return 0;
}

void vf_repair_carefully(struct vf_repair *p)
{
    p->careful = true;
    p->refusal[0] = 0;
    p->fates = mf_xcalloc(p->whole.n + 1, sizeof *p->fates);
    p->job = (struct mf_apply_job){.run = carefully, .ctx = p};
    p->submitted = true;
    mf_apply_submit(p->v->o.pipe->apply, &p->job);
}

void vf_repair_sort(struct vf_repair *p)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_verify *v = p->v;
    MF_LOCK_SCOPE(&v->mu);
    for (struct vf_fault *f = p->batch, *next; f != p->next; f = next) {
        const struct mf_row *row = vf_find_row(t->ot, &p->whole, &f->key);
        enum vf_fate fate = row ? p->fates[row - p->whole.rows] : VF_WRITTEN;
        next = f->next;
        if (fate == VF_LATER || (fate == VF_REFUSED && p->turn == VF_MAKE_WAY)) {
            f->next = t->later;
            t->later = f;
        } else {
            t->refused += fate == VF_REFUSED;
        }
    }
    if (p->turn != VF_MAKE_WAY && !v->stats.refusal[0]) {
        snprintf(v->stats.refusal, sizeof v->stats.refusal, "%s", p->refusal);
    }
}

bool vf_repair_again(struct vf_repair *p)
{
    struct mf_verify *v = p->v;
    bool any = false;
    if (p->turn == VF_LAST) {
        return false;
    }
    MF_LOCK_SCOPE(&v->mu);
    for (size_t i = 0; i < v->ntables; i++) {
        v->tables[i].faults = v->tables[i].later;
        v->tables[i].later = NULL;
        any = any || v->tables[i].faults;
    }
    p->turn++;
    p->table = 0;
    p->single = 0;
    p->next = any ? v->tables[0].faults : NULL;
    return any;
}

void vf_repair_left(struct vf_repair *p, const struct mf_row *row, const char *why)
{
    struct mf_verify *v = p->v;
    struct vf_table *t = vf_repair_table(p);
    char key[VF_KEY_TEXT];
    MF_LOCK_SCOPE(&v->mu);
    if (!v->stats.left[0]) {
        snprintf(v->stats.left, sizeof v->stats.left, "%s.%s (%.100s): %.240s", t->named->schema, t->named->name,
                 vf_key_text(t->ot, row, key, sizeof key), why ? why : "it was written, and does not read as it was");
    }
}
