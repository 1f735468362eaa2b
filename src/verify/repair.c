/* Repair: the origin's rows over the replica's that differ, in a way that cannot put something older over something newer.
 *
 * Apply is brought to stand exactly at a position P again, with an exact snapshot of the origin at P. The rows are read in that
 * snapshot and written through apply's own connection while it stands there: the replica is as of P but for the rows that
 * differ, and after it they are as of P too. Then apply goes on with what came after P. What was written while nobody
 * looked (between the comparison and now) is in P and cannot be lost; what comes after P is applied on top. */
#include "verify/repair_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE     500
#define ROWS_MEMORY ((size_t)1 << 30)
#define HOLD_US     (5 * MF_US_PER_SEC) /* apply is held no longer than this at a time */

/* ---- apply's side ---- */

static int write_rows(void *ctx, struct mf_applier *a, struct mf_error *err)
{
    struct vf_repair *p = ctx;
    if (MF_FAULT(err, "verify.repair")) {
        return -1;
    }
    return p->v->o.pipe->replica->connector->target->repair_rows(a, vf_repair_table(p)->rt, p->whole.rows, p->whole.n,
                                                                 p->gone, p->ngone, mf_apply_stamp(p->v->o.pipe->apply),
                                                                 err);
}

/* ---- what to write: keyed ---- */

static int read_keyed(struct vf_repair *p, struct mf_error *err)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_row *keys = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*keys));
    struct mf_position ignored;
    size_t n = 0, most = p->single ? 1 : AT_ONCE;
    p->single -= p->single > 0;
    p->whole = (struct vf_rows){.arena = &p->arena, .cap = AT_ONCE};
    p->whole.rows = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*p->whole.rows));
    p->gone = mf_alloc_array(&p->arena, AT_ONCE, sizeof(*p->gone));
    p->ngone = 0;
    if (!keys || !p->whole.rows || !p->gone) {
        return mf_fail(err, MF_FATAL, "MFMEM", "rows to repair are too large");
    }
    for (; p->next && n < most; p->next = p->next->next) {
        size_t j = 0;
        while (j < n && !vf_same_key(t->ot, &keys[j], &p->next->key)) {
            j++;
        }
        if (j == n) {
            keys[n++] = p->next->key;
        }
    }
    p->asked = n;
    if (p->v->o.pipe->origin->connector->source->read_rows(p->o, t->ot, keys, n, vf_take_row, &p->whole, &ignored,
                                                           err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!vf_find_row(t->ot, &p->whole, &keys[i])) {
            p->gone[p->ngone++] = keys[i];
        }
    }
    return 0;
}

/* ---- stages ---- */

static void forget_fates(struct vf_repair *p)
{
    free(p->fates);
    p->fates = NULL;
    p->careful = false;
}

/* Leaves the round. What has not been written is done again in the next one. */
static enum mf_step end(struct vf_repair *p, bool ok)
{
    struct mf_verify *v = p->v;
    if (p->submitted) {
        mf_apply_withdraw(v->o.pipe->apply, &p->job);
        p->submitted = false;
    }
    forget_fates(p);
    if (!ok) {
        p->next = p->batch ? p->batch : p->next;
        if (p->batch_full) {
            vf_repair_table(p)->keyless_differs = true;
        }
    }
    p->batch = NULL;
    p->batch_full = false;
    if (p->o) {
        v->o.pipe->origin->connector->source->reader_close(p->o);
        p->o = NULL;
    }
    vf_release_apply(v);
    vf_round_close(v);
    mf_arena_reset(&p->arena);
    p->stage = ok ? RP_END : RP_START;
    return ok ? MF_STEP_DONE : MF_STEP_FAILED;
}

static enum mf_step read_next(struct vf_repair *p, struct mf_error *err)
{
    struct mf_verify *v = p->v;
    while (p->table < v->ntables && !p->next && !(vf_repair_table(p)->keyless_differs)) {
        p->table++;
        p->next = p->table < v->ntables ? v->tables[p->table].faults : NULL;
    }
    if (p->table == v->ntables) {
        return vf_repair_again(p) ? MF_STEP_MORE : end(p, true);
    }
    if (mf_now_us() - p->since_us > HOLD_US) {
        end(p, true);
        p->stage = RP_START; /* let apply breathe */
        return MF_STEP_MORE;
    }
    mf_arena_reset(&p->arena);
    bool keyed = p->next != NULL;
    p->batch = p->next;
    p->batch_full = !keyed;
    if ((keyed ? read_keyed(p, err) : vf_repair_read_full(p, err)) < 0) {
        mf_error_prefix(err, "repairing table %s.%s", vf_repair_table(p)->named->schema,
                        vf_repair_table(p)->named->name);
        return end(p, false);
    }
    if (!keyed) {
        vf_repair_table(p)->keyless_differs = false;
    }
    p->stage = RP_WRITING;
    if (p->turn != VF_ALL) {
        vf_repair_carefully(p);
        return MF_STEP_MORE;
    }
    p->job = (struct mf_apply_job){.run = write_rows, .ctx = p};
    p->submitted = true;
    mf_apply_submit(v->o.pipe->apply, &p->job);
    return MF_STEP_MORE;
}

/* A table without a key, whole: the origin in the snapshot, the replica as it stands at the same position. */
static int same_digest(struct vf_repair *p, struct mf_reader *now, bool *ret, struct mf_error *err)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_db *o = p->v->o.pipe->origin, *r = p->v->o.pipe->replica;
    MF_CLEANUP_FREE struct mf_chunk *all = mf_xcalloc(1, sizeof(*all));
    struct mf_digest a = {0}, b = {0};
    if (o->connector->source->digest(p->o, t->ot, all, &a, err) < 0 ||
        r->connector->source->digest(now, t->rt, all, &b, err) < 0) {
        return -1;
    }
    *ret = mf_digest_equal(&a, &b);
    return 0;
}

/* The row was taken, and what the replica shows of it differs only in columns of its own types, whose texts it alone can read: '{a, "b"}' was written, and is
 * told as '{a,b}'. Then it has the row, and no pass can make it more equal. */
static bool same_as_read(const struct vf_table *t, const struct mf_row *have, const struct mf_row *written)
{
    for (uint16_t i = 0; i < have->n; i++) {
        const struct mf_foreign *is = t->rt->columns[i].foreign, *from = t->ot->columns[i].foreign;
        bool its_own = is && from && is->type.kind == MF_KIND_OPAQUE && from->type.kind == MF_KIND_TEXT &&
                       have->values[i].kind == MF_TEXT && written->values[i].kind == MF_TEXT;
        if (!its_own && !mf_value_equal(&have->values[i], &written->values[i])) {
            return false;
        }
    }
    return have->n == written->n;
}

/* How many of the batch's rows the replica shows as they were written; those that went count. ret_same: and as it reads what was written. */
static int good_of_keyed(struct vf_repair *p, struct mf_reader *now, int64_t *ret_good, int64_t *ret_same,
                         struct mf_error *err)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_db *r = p->v->o.pipe->replica;
    struct mf_position ignored;
    struct vf_rows have = {.arena = &p->arena, .cap = p->whole.n + 1};
    have.rows = mf_alloc_array(&p->arena, have.cap, sizeof(*have.rows));
    if (!have.rows) {
        return mf_fail(err, MF_FATAL, "MFMEM", "rows to repair are too large");
    }
    if (p->whole.n &&
        r->connector->source->read_rows(now, t->rt, p->whole.rows, p->whole.n, vf_take_row, &have, &ignored, err) < 0) {
        return -1;
    }
    *ret_good = (int64_t)p->ngone;
    for (size_t i = 0; i < p->whole.n; i++) {
        const struct mf_row *row = vf_find_row(t->rt, &have, &p->whole.rows[i]);
        bool good = row && vf_same_row(row, &p->whole.rows[i]);
        *ret_good += good;
        if (good || !p->v->o.pass || (p->fates && p->fates[i] != VF_WRITTEN)) {
            continue; /* what was refused stays as it was */
        }
        if (row && same_as_read(t, row, &p->whole.rows[i])) {
            ++*ret_same;
        } else {
            vf_repair_left(p, &p->whole.rows[i], NULL);
        }
    }
    return 0;
}

/* What was written counts as repaired when the replica shows it. */
static int check(struct vf_repair *p, int64_t *ret_good, int64_t *ret_same, struct mf_error *err)
{
    struct vf_table *t = vf_repair_table(p);
    struct mf_db *r = p->v->o.pipe->replica;
    struct mf_reader *now = NULL;
    bool same = false;
    if (r->connector->source->reader_open(r, NULL, &now, err) < 0) {
        return -1;
    }
    bool full = t->ot->identity == MF_IDENTITY_FULL;
    int rc = full ? same_digest(p, now, &same, err) : good_of_keyed(p, now, ret_good, ret_same, err);
    r->connector->source->reader_close(now);
    if (full) {
        *ret_good = same ? t->differing - t->repaired : 0;
    }
    return rc;
}

static int note(struct vf_repair *p, struct mf_error *err)
{
    struct mf_verify *v = p->v;
    struct vf_table *t = vf_repair_table(p);
    char label[300], key[VF_KEY_TEXT];
    int64_t good = 0, same = 0;
    if (check(p, &good, &same, err) < 0) {
        return -1;
    }
    mf_table_label(t->named, label, sizeof(label));
    for (size_t i = 0; !v->o.pass && i < p->whole.n + p->ngone; i++) {
        const struct mf_row *row = i < p->whole.n ? &p->whole.rows[i] : &p->gone[i - p->whole.n];
        if (mf_state_verify_difference(v->o.state, v->run, label, vf_key_text(t->ot, row, key, sizeof(key)), "repaired",
                                       NULL, err) < 0) {
            return -1;
        }
    }
    pthread_mutex_lock(&v->mu);
    t->differing -= same;
    v->stats.rows_differing -= same;
    t->repaired += good;
    if (t->repaired > t->differing) {
        t->repaired = t->differing;
    }
    v->stats.rows_repaired += good;
    pthread_mutex_unlock(&v->mu);
    return vf_table_record(v, t, true, err);
}

static enum mf_step next_batch(struct vf_repair *p)
{
    forget_fates(p);
    p->batch = NULL;
    p->batch_full = false;
    p->stage = RP_READ;
    return MF_STEP_MORE;
}

/* What the target refuses stays a difference; the others of its batch are given one by one. Told once a table. */
static enum mf_step refused(struct vf_repair *p)
{
    bool alone = p->batch_full || p->asked <= 1;
    if (p->v->o.pass && !p->batch_full && !p->careful) {
        vf_repair_carefully(p);
        return MF_STEP_MORE;
    }
    if (alone && p->v->o.pass && !p->batch_full) {
        vf_repair_left(p, p->whole.n ? p->whole.rows : p->gone, p->job.err.text);
    }
    if (!alone) {
        p->single = p->asked;
        p->next = p->batch;
    } else if (p->told_of != p->table + 1) {
        const struct mf_table *t = vf_repair_table(p)->named;
        p->told_of = p->table + 1;
        mf_log(MF_WARN, "verify", "table %s.%s has rows that cannot be repaired, the first: %s", t->schema, t->name,
               p->job.err.text);
    }
    return next_batch(p);
}

static enum mf_step writing(struct vf_repair *p, struct mf_error *err)
{
    if (!mf_apply_job_done(p->v->o.pipe->apply, &p->job)) {
        return MF_STEP_IDLE;
    }
    p->submitted = false;
    if (p->job.rc < 0 && (p->job.err.cls == MF_ROW || p->job.err.cls == MF_CONFLICT)) {
        return refused(p);
    }
    if (p->job.rc < 0) {
        *err = p->job.err;
        mf_error_prefix(err, "repairing table %s.%s", vf_repair_table(p)->named->schema,
                        vf_repair_table(p)->named->name);
        return end(p, false);
    }
    if (note(p, err) < 0) {
        return end(p, false);
    }
    if (p->careful) {
        vf_repair_sort(p);
    }
    return next_batch(p);
}

/* Without a position: the origin's rows are read as they stand when they are written. What is written is never older than what was there. */
static enum mf_step begin_as_it_stands(struct vf_repair *p, struct mf_error *err)
{
    struct mf_verify *v = p->v;
    struct mf_db *o = v->o.pipe->origin;
    if (vf_round_side(v, VF_ORIGIN, err) < 0 || o->connector->source->reader_open(o, v->origin, &p->o, err) < 0) {
        end(p, false);
        return MF_STEP_FAILED;
    }
    p->since_us = mf_now_us();
    p->stage = RP_READ;
    return MF_STEP_MORE;
}

enum mf_step vf_repair_step(struct mf_verify *v, struct mf_error *err)
{
    struct vf_repair *p = v->repair;
    if (!p) {
        p = v->repair = mf_xcalloc(1, sizeof(*p));
        p->v = v;
        mf_arena_init(&p->arena, ROWS_MEMORY);
        p->next = v->ntables ? v->tables[0].faults : NULL;
    }
    struct mf_db *o = v->o.pipe->origin;
    enum mf_step step;
    bool at = false;
    switch (p->stage) {
    case RP_START: /* the round's state belongs to this worker: all comparing is over */
        if (!mf_apply_consistent(v->o.pipe->apply)) {
            return MF_STEP_IDLE;
        }
        if (v->o.pass || (v->o.writers_held && o->connector->reads_unordered)) {
            return begin_as_it_stands(p, err);
        }
        step = vf_round_fresh(v, &p->fresh, err);
        if (step != MF_STEP_MORE) {
            return step;
        }
        if (vf_round_open(v, true, err) < 0) {
            return MF_STEP_FAILED;
        }
        p->since_us = mf_now_us();
        p->stage = RP_WAIT;
        return MF_STEP_MORE;
    case RP_WAIT:
        if (vf_round_poll(v, &at, err) < 0) {
            p->stage = RP_START;
            return MF_STEP_FAILED;
        }
        if (!at) {
            p->stage = v->round_state == VF_NO_ROUND ? RP_START : RP_WAIT;
            return MF_STEP_IDLE;
        }
        if (!mf_apply_consistent(v->o.pipe->apply)) {
            end(p, true); /* apply read rows again on its way to P, which are newer than P: not now */
            p->stage = RP_START;
            return MF_STEP_IDLE;
        }
        p->since_us = mf_now_us();
        if (o->connector->source->reader_open(o, v->origin, &p->o, err) < 0) {
            return end(p, false);
        }
        p->stage = RP_READ;
        return MF_STEP_MORE;
    case RP_READ:
        return read_next(p, err);
    case RP_WRITING:
        return writing(p, err);
    case RP_END:
        return MF_STEP_DONE;
    }
    return MF_STEP_DONE;
}

void vf_repair_free(struct mf_verify *v)
{
    struct vf_repair *p = v->repair;
    if (!p) {
        return;
    }
    end(p, false);
    mf_arena_free(&p->arena);
    free(p);
    v->repair = NULL;
}
