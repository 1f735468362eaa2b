/* What the join finds: candidates, and the look at each while apply stands.
 *
 * A row that changed between the reading of the two sides, or that is on one of them only, is a candidate, not a difference. Candidates are
 * kept by key, within a bound; when there are so many, they are looked at before more pieces are joined. The look is exact: apply is brought
 * to stand at a position Q where the origin has a snapshot, and the rows are read by key in that snapshot and in the replica as it stands.
 *
 * Where rows have columns of others, which were looked up when the change came and may be newer than Q (mf_made.nparents), one look is not exact: the change that
 * made them newer is on its way. What differs is looked at again at a later position, where that change has arrived, and only what differs each time is a difference.
 *
 * Where a whole side may be newer than its position (mf_connector.shows_newer) two looks in a row are exact together. At the first, the origin's row is read at some moment not
 * before Q1. Apply stands at Q2 for the second, which is not before that moment. If the stream had no change of this key behind Q1 and up to Q2 (touched.h), the origin's row was the same
 * at Q2 as when it was read, and what the replica has at Q2 must be it: if not, it is a difference, whatever became of the row since. A key that was touched is looked at again, a bounded number
 * of times; then what differs counts as a difference, because nobody can say that it is none. */
#include "verify/join_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"

#define CANDIDATES ((size_t)16 << 20) /* bytes of keys after which they are looked at */
#define CANDIDATES_MAX                                                                                                 \
    ((size_t)1 << 31)   /* those of the pieces that are under way come on top, each no larger than its memory */
#define LOOKS        10 /* beyond the first */
#define LOOKS_NEWER  30 /* the same, where it was changed each time */
#define AT_ONCE      500
#define HOLD_US      (5 * MF_US_PER_SEC) /* apply is held no longer than this at a time */
#define BATCH_MEMORY ((size_t)64 << 20)
#define WHOLE_US     (10 * 60 * MF_US_PER_SEC) /* and for a table without a key no longer than this */

/* ---- pieces ---- */

struct piece {
    struct mf_verify *v;
    struct mf_buf keys;
    int64_t differing; /* counted */
};

static int take_unmatched(void *ctx, const struct vf_unmatched *u, struct mf_error *err)
{
    struct piece *p = ctx;
    if (u->count) {
        return vf_difference_full(p->v, p->v->join->t, &u->digest, u->count, &p->differing, err);
    }
    return mf_buf_put_bytes(&p->keys, u->key, u->len) < 0
               ? mf_fail(err, MF_FATAL, "MFMEM", "no memory for the keys of rows that may differ")
               : 0;
}

bool vf_join_full(const struct vf_join *j)
{
    return j->candidates.len - j->checked >= CANDIDATES;
}

bool vf_join_shows_newer(const struct mf_verify *v)
{
    return v->o.pipe->origin->connector->shows_newer || v->o.pipe->replica->connector->shows_newer;
}

enum verdict { DIFFERS, IS_THE_SAME, LATER };

/* Of a row that is another one on either side at this look. */
static enum verdict verdict(const struct mf_verify *v, const struct vf_table *t, const struct mf_row *key,
                            const struct mf_row *b, uint64_t was)
{
    const struct vf_join *j = v->join;
    if (!j || vf_as_it_stands(v)) {
        return DIFFERS;
    }
    if (!j->touched) { /* parents' columns may be ahead */
        return b && t->ot->made && t->ot->made->nparents && j->looks < LOOKS ? LATER : DIFFERS;
    }
    if (was && !mf_touched_has(j->touched, t->ot, key)) {
        return vf_row_hash(b) == was ? IS_THE_SAME : DIFFERS;
    }
    return j->looks < LOOKS_NEWER ? LATER : DIFFERS;
}

int vf_join_again(struct mf_verify *v, const struct vf_table *t, const struct mf_row *key, const struct mf_row *a,
                  const struct mf_row *b, uint64_t was, bool *ret_differs, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf e = {.max = VF_KEY_MAX + sizeof(uint64_t)};
    enum verdict is = verdict(v, t, key, b, was);
    *ret_differs = is == DIFFERS;
    if (is != LATER) {
        return 0;
    }
    if (vf_join_encode(t->ot, key, &e, err) < 0) {
        return -1;
    }
    mf_buf_put_u64be(&e, vf_row_hash(a));
    if (!mf_buf_ok(&e) || mf_buf_put_bytes(&v->join->ahead, e.data, e.len) < 0) {
        return mf_fail(err, MF_FATAL, "MFMEM", "no memory for the keys of rows that may differ");
    }
    return 0;
}

int vf_join_piece(struct mf_verify *v, uint32_t piece, struct mf_error *err)
{
    struct vf_join *j = v->join;
    struct piece p = {.v = v, .keys = {.max = CANDIDATES_MAX}};
    struct vf_joined n = {0};
    int rc = vf_store_join(j->store, piece, take_unmatched, &p, &n, err);
    pthread_mutex_lock(&v->mu);
    if (rc == 0 && mf_buf_append(&j->candidates, p.keys.data, p.keys.len) < 0) {
        rc = mf_fail(err, MF_FATAL, "MFMEM", "no memory for the keys of rows that may differ");
    }
    j->t->differing += p.differing; /* told of already, whatever became of the piece */
    if (rc == 0) {
        j->t->rows += (int64_t)n.rows[VF_ORIGIN];
        v->stats.rows_compared += (int64_t)n.rows[VF_ORIGIN];
    }
    pthread_mutex_unlock(&v->mu);
    mf_buf_free(&p.keys);
    return rc;
}

/* ---- the look ---- */

/* A key, and where it has been looked at before what was there then. */
static bool decode(const struct mf_table *t, struct mf_arena *arena, const char *data, size_t len, struct mf_row *ret,
                   uint64_t *ret_was)
{
    struct mf_cursor c;
    struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *v);
    mf_cursor_init(&c, data, len);
    for (uint16_t i = 0; v && i < t->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; v && k < t->nkey; k++) {
        size_t n = 0;
        enum mf_value_kind kind = (enum mf_value_kind)mf_read_u8(&c);
        const char *bytes = mf_read_lbytes(&c, &n);
        v[t->key[k]] = (struct mf_value){.kind = kind, .len = (uint32_t)n, .data = bytes};
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    *ret_was = c.p < c.end ? mf_read_u64be(&c) : 0;
    return v && !c.failed;
}

/* The next candidates as rows; *ret_end: where they end. What is too large for one batch is for the next. */
static int next_batch(const struct vf_join *j, struct mf_arena *arena, struct mf_row **ret, uint64_t **ret_was,
                      size_t *ret_n, size_t *ret_end, struct mf_error *err)
{
    struct mf_row *rows = mf_alloc_array(arena, AT_ONCE, sizeof *rows);
    uint64_t *was = mf_alloc_array(arena, AT_ONCE, sizeof *was);
    struct mf_cursor c;
    size_t n = 0;
    mf_cursor_init(&c, j->candidates.data + j->checked, j->candidates.len - j->checked);
    *ret_end = j->checked;
    while (rows && was && n < AT_ONCE && c.p < c.end) {
        size_t len = 0;
        const char *key = mf_read_lbytes(&c, &len);
        if (!key || !decode(j->t->ot, arena, key, len, &rows[n], &was[n])) {
            break;
        }
        n++;
        *ret_end = j->candidates.len - (size_t)(c.end - c.p);
    }
    *ret = rows;
    *ret_was = was;
    *ret_n = n;
    return n ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "keys of rows that may differ are too large");
}

static int look(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    struct vf_join *j = v->join;
    struct mf_arena arena;
    struct mf_row *keys = NULL;
    uint64_t *was = NULL;
    size_t n = 0, end = 0;
    int64_t differing = 0;
    mf_arena_init(&arena, BATCH_MEMORY);
    int rc = MF_FAULT(err, "verify.check")
    || next_batch(j, &arena, &keys, &was, &n, &end, err) < 0 ||
            vf_confirm(v, s, j->t, keys, was, n, &differing, err) < 0
        ? -1
        : 0;
    mf_arena_free(&arena);
    pthread_mutex_lock(&v->mu);
    j->t->differing += differing;
    j->checked = rc == 0 ? end : j->checked;
    pthread_mutex_unlock(&v->mu);
    return rc;
}

/* Leaves the round, and lets apply go on. */
static void let_go(struct mf_verify *v, struct vf_slot *s)
{
    vf_slot_leave(v, s);
    vf_release_apply(v);
    vf_round_close(v);
}

/* To a stand at a snapshot of the origin. MORE: there it is; IDLE: not yet. */
static enum mf_step stand(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    bool at = false;
    if (v->round_state == VF_NO_ROUND && !mf_apply_consistent(v->o.pipe->apply)) {
        return MF_STEP_IDLE;
    }
    if (v->round_state == VF_NO_ROUND && vf_as_it_stands(v)) {
        if (vf_round_side(v, VF_ORIGIN, err) < 0) {
            return MF_STEP_FAILED;
        }
        at = true;
    } else if (v->round_state == VF_NO_ROUND) {
        return vf_round_open(v, true, err) < 0 ? MF_STEP_FAILED : MF_STEP_IDLE;
    } else if (vf_round_poll(v, &at, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (!at) {
        return MF_STEP_IDLE;
    }
    if (!mf_apply_consistent(v->o.pipe->apply)) {
        let_go(v, s); /* rows were read again on the way, which are newer than the position: not now */
        return MF_STEP_IDLE;
    }
    vf_round_stand(v);
    v->join->since_us = mf_now_us();
    return MF_STEP_MORE;
}

enum mf_step vf_join_check(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    struct vf_join *j = v->join;
    if (j->checked == j->candidates.len) {
        bool more = j->ahead.len > 0;
        pthread_mutex_lock(&v->mu);
        struct mf_buf looked_at = j->candidates;
        mf_buf_reset(&looked_at);
        j->candidates = j->ahead;
        j->ahead = looked_at;
        j->looks = more ? j->looks + 1 : 0;
        j->checked = 0;
        pthread_mutex_unlock(&v->mu);
        if (more && j->touched) {
            mf_touched_turn(j->touched);
        }
        let_go(v, s);
        return more ? MF_STEP_MORE : MF_STEP_DONE;
    }
    if (v->round_state != VF_READY) {
        return stand(v, s, err);
    }
    if (mf_now_us() - j->since_us > HOLD_US) {
        let_go(v, s); /* let apply breathe */
        return MF_STEP_MORE;
    }
    if (vf_slot_enter(v, s, err) < 0 || look(v, s, err) < 0) {
        let_go(v, s);
        mf_error_prefix(err, "comparing table %s.%s", j->t->named->schema, j->t->named->name);
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

/* ---- without a key ---- */

/* Nothing can be looked up, so both sides are read at one position: the replica while apply stands there, the origin in its snapshot. */
enum mf_step vf_join_whole(struct mf_verify *v, struct vf_slot *s, struct mf_error *err)
{
    static const struct mf_chunk all;
    struct vf_join *j = v->join;
    bool whole = false;
    if (v->round_state != VF_READY) {
        return stand(v, s, err);
    }
    int rc = vf_slot_enter(v, s, err);
    rc = rc < 0 ? -1 : vf_table_shape(v, s->o, j->t, err);
    j->until_us = vf_as_it_stands(v) ? 0 : mf_now_us() + WHOLE_US;
    rc = rc < 0 ? -1 : vf_join_read(v, s, VF_REPLICA, &all, &whole, err);
    j->until_us = 0;
    vf_release_apply(v);
    if (rc == 0 && whole) {
        rc = vf_join_read(v, s, VF_ORIGIN, &all, &whole, err);
    }
    let_go(v, s);
    if (rc < 0) {
        mf_error_prefix(err, "comparing table %s.%s", j->t->named->schema, j->t->named->name);
        return MF_STEP_FAILED;
    }
    return whole ? MF_STEP_DONE : MF_STEP_MORE;
}
