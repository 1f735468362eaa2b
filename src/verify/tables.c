/* The tables of a verification: their plans, how far each is, and what of them is in quarantine. */
#include "verify/internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED             5 /* tables in a hint */
#define CHUNK_BYTES       ((int64_t)256 << 20)
#define QUARANTINE_MAX    100000
#define FEW_DELETES       100         /* fewer are nobody's mistake */
#define PLAN_SALT_FORWARD 0xA5000000u /* plans are kept beside the copy's, under an id no table has */
#define PLAN_SALT_REVERSE 0x5A000000u

const char *vf_key_text(const struct mf_table *t, const struct mf_row *row, char *out, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20};
    out[0] = '\0';
    if (t->nkey) {
        mf_put_key_text(&key, t, row);
        mf_key_short(mf_buf_str(&key), out, n);
    }
    return out;
}

static void forget_chunks(struct vf_table *t)
{
    for (uint32_t i = 0; i < t->nchunks; i++) {
        free(t->chunks[i].lower);
        free(t->chunks[i].upper);
    }
    t->nchunks = t->next = 0;
}

void vf_table_free(struct vf_table *t)
{
    forget_chunks(t);
    free(t->chunks);
    for (size_t i = 0; i < t->nquarantined; i++) {
        free(t->quarantined[i]);
    }
    free(t->quarantined);
    free(t->quarantined_seen);
    free(t->quarantined_id);
}

void vf_chunk_of(const struct vf_table *t, const struct vf_chunk *k, struct mf_chunk *ret)
{
    memset(ret, 0, offsetof(struct mf_chunk, lower));
    ret->table_id = t->named->id;
    ret->ordinal = k->ordinal;
    ret->rows_estimate = k->rows_estimate;
    ret->has_lower = k->lower != NULL;
    ret->has_upper = k->upper != NULL;
    mf_strlcpy(ret->lower, k->lower ? k->lower : "", sizeof(ret->lower));
    mf_strlcpy(ret->upper, k->upper ? k->upper : "", sizeof(ret->upper));
}

/* ---- plans ---- */

static int take_chunk(void *ctx, const struct mf_chunk *k, struct mf_error *err)
{
    (void)err;
    struct vf_table *t = ctx;
    if ((t->nchunks & (t->nchunks - 1)) == 0) {
        t->chunks = mf_xreallocarray(t->chunks, t->nchunks ? t->nchunks * 2u : 1u, sizeof(*t->chunks));
    }
    t->chunks[t->nchunks] = (struct vf_chunk){.ordinal = t->nchunks,
                                              .rows_estimate = k->rows_estimate,
                                              .lower = k->has_lower ? mf_xstrdup(k->lower) : NULL,
                                              .upper = k->has_upper ? mf_xstrdup(k->upper) : NULL};
    t->nchunks++;
    return 0;
}

static uint32_t plan_id(const struct mf_verify *v, const struct vf_table *t)
{
    return t->named->id ^ (v->o.pipe->id.direction == MF_FORWARD ? PLAN_SALT_FORWARD : PLAN_SALT_REVERSE);
}

static int store_plan(struct mf_verify *v, struct vf_table *t, struct mf_error *err)
{
    struct mf_chunk *k = mf_xcalloc(1, sizeof(*k));
    /* A plan is of a table and a direction, progress is of a run: what any run has counted in the old plan goes with it. */
    int rc = mf_state_verify_plan_begin(v->o.state, plan_id(v, t), t->named->schema, t->named->name, err);
    for (uint32_t i = 0; rc == 0 && i < t->nchunks; i++) {
        vf_chunk_of(t, &t->chunks[i], k);
        k->table_id = plan_id(v, t);
        rc = mf_state_chunk_put(v->o.state, k, err);
    }
    free(k);
    return rc < 0 ? -1 : mf_state_chunks_end(v->o.state, err);
}

/* A table without a key is one range: nothing else names the same rows on both sides. */
int vf_table_cut(struct mf_verify *v, struct vf_table *t, enum vf_side side, struct mf_reader *r, struct mf_error *err)
{
    struct mf_db *db = side == VF_ORIGIN ? v->o.pipe->origin : v->o.pipe->replica;
    const struct mf_table *here = side == VF_ORIGIN ? t->ot : t->rt;
    forget_chunks(t);
    if (t->ot->identity == MF_IDENTITY_FULL) {
        static const struct mf_chunk whole;
        return take_chunk(t, &whole, err);
    }
    if (db->connector->source->chunk_plan(r, here, v->o.chunk_rows, CHUNK_BYTES, take_chunk, t, err) < 0) {
        mf_error_prefix(err, "planning the verification of table %s.%s", t->named->schema, t->named->name);
        return -1;
    }
    return 0;
}

/* Only columns that both sides have are compared. One that was added to the origin and of which the stream has not told yet,
 * because no row was written since, would not be missed. */
int vf_table_shape(struct mf_verify *v, struct mf_reader *origin, const struct vf_table *t, struct mf_error *err)
{
    const struct mf_table *o = mf_map_origin(v->o.map, t->named);
    if (!o || mf_map_policy(v->o.map) == MF_DDL_IGNORE ||
        v->o.pipe->origin->connector->source->shape_same(origin, o, err) == 0) {
        return 0;
    }
    mf_error_prefix(err, "the sides cannot be equal");
    if (mf_map_policy(v->o.map) == MF_DDL_ADDITIVE) {
        mf_hint(err, "an added column is carried over with the next row that is written to %s.%s: verify again then",
                o->schema, o->name);
    }
    return -1;
}

/* What was counted of it so far is counted anew. Under the lock. */
static void forget_counts(struct mf_verify *v, struct vf_table *t)
{
    v->stats.rows_compared -= t->rows;
    v->stats.rows_differing -= t->differing;
    v->stats.rows_quarantined -= t->differing_quarantined;
    t->rows = t->differing = t->differing_quarantined = t->on_replica = t->extra = 0;
    vf_parts_forget(t);
}

int vf_table_again(struct mf_verify *v, struct vf_table *t, struct mf_error *err)
{
    char label[300];
    pthread_mutex_lock(&v->mu);
    forget_counts(v, t);
    t->faults = t->later = NULL; /* the memory goes with the verification */
    t->nfaults = 0;
    t->keyless_differs = false;
    for (size_t i = 0; i < t->nquarantined; i++) {
        t->quarantined_seen[i] = false;
    }
    pthread_mutex_unlock(&v->mu);
    return v->o.pass ? 0
                     : mf_state_verify_forget(v->o.state, v->run, mf_table_label(t->named, label, sizeof(label)), err);
}

/* The worker owns the table meanwhile (VF_PLANNING). */
int vf_table_plan(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, struct mf_error *err)
{
    if (vf_table_shape(v, s->o, t, err) < 0) {
        return -1;
    }
    forget_chunks(t); /* of a try that failed */
    if (t->resume && mf_state_chunks(v->o.state, plan_id(v, t), take_chunk, t, err) < 0) {
        return -1;
    }
    if (t->nchunks < t->resume || t->nchunks == 0) { /* the plan is gone: from the beginning */
        t->resume = 0;
        pthread_mutex_lock(&v->mu);
        forget_counts(v, t);
        pthread_mutex_unlock(&v->mu);
        if (vf_table_cut(v, t, VF_ORIGIN, s->o, err) < 0 || store_plan(v, t, err) < 0) {
            return -1;
        }
    }
    for (uint32_t i = 0; i < t->resume; i++) {
        t->chunks[i].taken = t->chunks[i].done = true;
    }
    t->next = t->prefix = t->resume;
    return 0;
}

int vf_table_record(struct mf_verify *v, struct vf_table *t, bool finished, struct mf_error *err)
{
    pthread_mutex_lock(&v->mu);
    struct mf_verify_table r = {.rows = t->rows,
                                .differing = t->differing - t->repaired,
                                .finished = finished,
                                .chunks_done = (int32_t)t->prefix};
    pthread_mutex_unlock(&v->mu);
    mf_strlcpy(r.schema, t->named->schema, sizeof(r.schema));
    mf_strlcpy(r.name, t->named->name, sizeof(r.name));
    return v->o.pass ? 0 : mf_state_verify_put(v->o.state, v->run, &r, err);
}

/* ---- quarantine ---- */

static int take_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    struct mf_verify *v = ctx;
    char key[VF_KEY_TEXT];
    mf_key_short(q->key ? q->key : "", key, sizeof key);
    for (size_t i = 0; i < v->ntables; i++) {
        struct vf_table *t = &v->tables[i];
        if (strcmp(t->named->name, q->table) != 0 || strcmp(t->named->schema, q->schema) != 0) {
            continue;
        }
        if (t->nquarantined >= QUARANTINE_MAX) {
            return mf_fail(err, MF_FATAL, "MFQUAR", "more than %d rows of table %s.%s are in quarantine",
                           QUARANTINE_MAX, q->schema, q->table);
        }
        if ((t->nquarantined & (t->nquarantined - 1)) == 0) {
            size_t n = t->nquarantined ? t->nquarantined * 2 : 1;
            t->quarantined = mf_xreallocarray(t->quarantined, n, sizeof(*t->quarantined));
            t->quarantined_seen = mf_xreallocarray(t->quarantined_seen, n, sizeof(*t->quarantined_seen));
            t->quarantined_id = mf_xreallocarray(t->quarantined_id, n, sizeof(*t->quarantined_id));
        }
        t->quarantined[t->nquarantined] = mf_xstrdup(key);
        t->quarantined_id[t->nquarantined] = q->id;
        t->quarantined_seen[t->nquarantined++] = false;
        return 0;
    }
    return 0;
}

int vf_table_quarantine(struct mf_verify *v, struct vf_table *t, int64_t *ret_found, struct mf_error *err)
{
    int64_t found = 0;
    for (size_t i = 0; i < t->nquarantined; i++) {
        if (t->quarantined_seen[i]) {
            continue;
        }
        t->quarantined_seen[i] = true;
        if (v->o.pass) { /* both sides are the same there: the row that was refused is no more */
            struct mf_db *r = v->o.pipe->replica;
            if (r->connector->target->quarantine_drop(r, &v->o.pipe->id, t->quarantined_id[i], err) < 0) {
                return -1;
            }
            continue;
        }
        found++;
        if (vf_difference(v, t, NULL, t->quarantined[i], "quarantined", NULL, err) < 0) {
            return -1;
        }
    }
    *ret_found = found;
    return 0;
}

/* A table that was emptied, or filled again from elsewhere, looks as if the application had deleted its rows. */
static int not_emptied(struct mf_verify *v, struct vf_table *t, struct mf_error *err)
{
    char label[300];
    pthread_mutex_lock(&v->mu);
    int64_t rows = t->on_replica, gone = t->extra;
    pthread_mutex_unlock(&v->mu);
    bool bound = v->o.pass && v->o.max_deletes > 0 && v->o.max_deletes < 100;
    if (!bound || gone < FEW_DELETES || (double)gone * 100 <= (double)rows * v->o.max_deletes) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFEMPTIED",
            "table %s: %" PRId64 " of the source's %" PRId64
            " rows are not on the target, and a pass deletes no more than %d %% (reverse.max_deletes): nothing was "
            "written",
            mf_table_label(t->named, label, sizeof(label)), gone, rows, v->o.max_deletes);
    mf_hint(err,
            "If the table was emptied by mistake, put its rows back on the target. If they are to go on the source "
            "too, raise reverse.max_deletes (100: no bound) and start midflight again");
    return -1;
}

/* Documents are read from the row of the document itself on: rows of its other tables that belong to none are seen by their foreign keys alone. The first is
 * told of. */
static int no_strays(struct mf_verify *v, struct vf_table *t, int64_t *ret_found, struct mf_error *err)
{
    struct mf_db *sides[] = {v->o.pipe->origin, v->o.pipe->replica};
    struct mf_error why = {0};
    bool looked_for = vf_documents(v) && !v->o.writers_held;
    for (size_t i = 0; i < MF_ARRAY_LEN(sides) && looked_for; i++) {
        struct mf_table *mine = sides[i] == v->o.pipe->origin ? t->ot : t->rt;
        const struct mf_catalog one = {.tables = mine, .n = 1};
        if (sides[i]->connector->target->references_whole(sides[i], &one, &why) == 0) {
            continue;
        }
        if (why.cls != MF_ABANDONED) {
            *err = why;
            return -1;
        }
        ++*ret_found;
        if (vf_difference(v, t, NULL, why.text, "extra", NULL, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int vf_table_finish(struct mf_verify *v, struct vf_table *t, struct mf_error *err)
{
    int64_t found = 0, strays = 0;
    if (not_emptied(v, t, err) < 0 || no_strays(v, t, &strays, err) < 0) {
        return -1;
    }
    int rc = vf_table_quarantine(v, t, &found, err);
    pthread_mutex_lock(&v->mu);
    t->differing += found + strays;
    v->stats.rows_quarantined_equal += found;
    pthread_mutex_unlock(&v->mu);
    rc = rc < 0 ? -1 : vf_table_record(v, t, true, err);
    pthread_mutex_lock(&v->mu);
    t->state = rc < 0 ? VF_COMPARE : VF_FINISHED;
    if (rc == 0) {
        v->nfinished++;
        v->stats.tables_equal += t->differing == 0;
        v->stats.tables_differing += t->differing != 0;
    }
    pthread_mutex_unlock(&v->mu);
    return rc;
}

/* ---- at the start ---- */

static bool wanted(const struct mf_verify *v, const struct mf_table *t)
{
    char label[300];
    return !v->o.table || strcmp(mf_table_label(t, label, sizeof(label)), v->o.table) == 0;
}

static int take_table(struct mf_verify *v, const struct mf_table *named, bool resumed, struct mf_error *err)
{
    struct vf_table *t = &v->tables[v->ntables];
    struct mf_verify_table was;
    bool found = false;
    char label[300];
    t->named = named;
    if (mf_map_pair(v->o.map, &v->arena, named, &t->ot, &t->rt, err) < 0 ||
        (resumed && mf_state_verify_get(v->o.state, v->run, named->schema, named->name, &was, &found, err) < 0)) {
        return -1;
    }
    v->ntables++;
    if (!found ||
        (v->o.repair && was.differing)) { /* which rows differ was known to the process that died: looked for again */
        return 0;
    }
    if (mf_state_verify_listed(v->o.state, v->run, mf_table_label(named, label, sizeof(label)), "quarantined",
                               &t->differing_quarantined, err) < 0) {
        return -1;
    }
    t->rows = was.rows;
    t->differing = was.differing;
    t->resume = (uint32_t)was.chunks_done;
    v->stats.rows_compared += was.rows;
    v->stats.rows_differing += was.differing;
    v->stats.rows_quarantined += t->differing_quarantined;
    if (was.finished) {
        t->state = VF_FINISHED;
        v->nfinished++;
        v->stats.tables_equal += was.differing == 0;
        v->stats.tables_differing += was.differing != 0;
    }
    return 0;
}

static int no_such_table(const struct mf_verify *v, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf some = {.max = 4096};
    char label[300];
    const struct mf_catalog *all = v->o.tables;
    const struct mf_table *near = mf_catalog_nearest(all, v->o.table);
    const char *side = v->o.pipe->id.direction == MF_FORWARD ? "source" : "target";
    mf_fail(err, MF_USAGE, "MFTABLE", "no table %s is part of this migration", v->o.table);
    if (near) {
        mf_hint(err, "did you mean %s? Tables are named as on the %s", mf_table_label(near, label, sizeof label), side);
        return -1;
    }
    for (size_t i = 0; i < all->n && i < NAMED; i++) {
        mf_buf_printf(&some, "%s%s", i ? ", " : "", mf_table_label(&all->tables[i], label, sizeof label));
    }
    mf_hint(err, "name it as on the %s, schema.table: %s%s", side, mf_buf_str(&some), all->n > NAMED ? ", …" : "");
    return -1;
}

int vf_tables_load(struct mf_verify *v, struct mf_error *err)
{
    char what[512];
    bool resumed = false;
    snprintf(what, sizeof(what), "%s %s sample=%g%s", v->o.pipe->id.direction == MF_FORWARD ? "forward" : "reverse",
             v->o.table ? v->o.table : "*", v->o.sample, v->o.repair ? " repair" : "");
    bool any = !v->o.table;
    for (size_t i = 0; i < v->o.tables->n && !any; i++) {
        any = wanted(v, &v->o.tables->tables[i]);
    }
    if (!any) { /* before there is a verification that never was */
        return no_such_table(v, err);
    }
    if (!v->o.pass && mf_state_verify_begin(v->o.state, what, v->o.not_before_us, &v->run, &resumed, err) < 0) {
        return -1;
    }
    v->tables = mf_xcalloc(v->o.tables->n + 1, sizeof(*v->tables));
    for (size_t i = 0; i < v->o.tables->n; i++) {
        const struct mf_table *t = &v->o.tables->tables[i];
        if (wanted(v, t) && take_table(v, t, resumed, err) < 0) {
            return -1;
        }
    }
    v->stats.tables = (int32_t)v->ntables;
    v->stats.tables_left = (int32_t)(v->ntables - v->nfinished);
    struct mf_db *r = v->o.pipe->replica;
    return r->connector->target->quarantine_list(r, &v->o.pipe->id, take_quarantined, v, err);
}
