/* Rows of one side on their way to the store: each as its key and its digest. */
#include "verify/join_internal.h"

#include "base/clock.h"

#define LOOK_EVERY 512 /* rows between two looks at whether to stop */

struct reading {
    struct mf_verify *v;
    struct vf_slot *s;
    const struct mf_table *t; /* the origin's: both sides have the same columns in the same order */
    bool stopped;
    unsigned since;
    int64_t rows;
};

int vf_join_encode(const struct mf_table *t, const struct mf_row *key, struct mf_buf *out, struct mf_error *err)
{
    mf_buf_reset(out);
    for (uint16_t k = 0; key->n && k < t->nkey; k++) {
        const struct mf_value *v = &key->values[t->key[k]];
        if (v->kind == MF_UNCHANGED) {
            return mf_fail(err, MF_FATAL, "MFREAD", "a row of %s.%s was given without its key's column %s", t->schema,
                           t->name, t->columns[t->key[k]].name);
        }
        mf_buf_put_u8(out, (uint8_t)v->kind);
        mf_buf_put_bytes(out, v->kind == MF_NULL ? "" : v->data, v->kind == MF_NULL ? 0 : v->len);
    }
    return mf_buf_ok(out) ? 0
                          : mf_fail(err, MF_FATAL, "MFBIG", "a key of %s.%s is longer than %u bytes", t->schema,
                                    t->name, VF_KEY_MAX);
}

static bool stopping(struct mf_verify *v)
{
    pthread_mutex_lock(&v->mu);
    bool stop = v->stop;
    pthread_mutex_unlock(&v->mu);
    return stop;
}

void vf_join_count(struct mf_verify *v, struct vf_slot *s)
{
    pthread_mutex_lock(&v->mu);
    v->stats.rows_read += s->read;
    s->read = 0;
    pthread_mutex_unlock(&v->mu);
}

/* The same rows of both sides, whatever chunk they are in. */
static bool sampled(const struct mf_verify *v, const struct mf_digest *d, const struct mf_buf *key)
{
    return v->o.sample >= 1 || (double)(vf_store_hash(d, key->data, key->len) * UINT64_C(0x9e3779b97f4a7c15)) <
                                   v->o.sample * 18446744073709551615.0;
}

/* Now and then: are the rows still wanted? */
static int look_up(struct reading *g, struct mf_error *err)
{
    const struct mf_table *t = g->t;
    int64_t until = g->v->join->until_us;
    g->since = 0;
    vf_join_count(g->v, g->s);
    if (stopping(g->v)) {
        g->stopped = true;
        return mf_fail(err, MF_ABANDONED, "MFSTOPPED", "the verification is being stopped");
    }
    if (until && mf_now_us() > until) {
        mf_fail(err, MF_ABANDONED, "MFBIG",
                "%s.%s has no key, so replay stands still while it is read, and that takes too long", t->schema,
                t->name);
        mf_hint(err, "Compare the other tables one by one (--table), and this one when nobody writes");
        return -1;
    }
    return 0;
}

static int take_row(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    struct reading *g = ctx;
    if (++g->since == LOOK_EVERY && look_up(g, err) < 0) {
        return -1;
    }
    g->s->read++;
    g->rows++;
    if (vf_join_encode(g->t, key, &g->s->key, err) < 0) {
        return -1;
    }
    return sampled(g->v, d, &g->s->key) ? vf_writer_add(&g->s->writer, d, g->s->key.data, g->s->key.len, err) : 0;
}

int vf_join_read(struct mf_verify *v, struct vf_slot *s, enum vf_side side, const struct mf_chunk *c, bool *ret_whole,
                 struct mf_error *err)
{
    struct vf_table *t = v->join->t;
    struct mf_db *db = side == VF_ORIGIN ? v->o.pipe->origin : v->o.pipe->replica;
    struct reading g = {.v = v, .s = s, .t = t->ot};
    s->key.max = VF_KEY_MAX;
    vf_writer_begin(&s->writer, v->join->store, side);
    struct mf_reader *r = side == VF_ORIGIN ? s->o : s->r;
    int rc = db->connector->source->digest_rows(r, side == VF_ORIGIN ? t->ot : t->rt, c, take_row, &g, err);
    bool whole = rc == 0;
    rc = vf_writer_end(&s->writer, whole, err) < 0 ? -1 : rc;
    rc = rc == 0 ? vf_parts_take(v, t, side, r, err) : rc;
    vf_join_count(v, s);
    if (rc < 0 && g.stopped) {
        *ret_whole = false;
        return 0;
    }
    if (rc == 0 && side == VF_REPLICA) {
        pthread_mutex_lock(&v->mu);
        t->on_replica += g.rows;
        pthread_mutex_unlock(&v->mu);
    }
    *ret_whole = rc == 0;
    return rc;
}
