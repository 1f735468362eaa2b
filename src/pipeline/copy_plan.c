/* Which tables, which chunks, and which of them the target has already.
 *
 * The plan is the state's, what is done is the target's (written in the transaction that loaded the chunk). A plan that is
 * gone cannot be matched with chunks that are done: such a table is emptied and begun again. So is a keyless table that is
 * not complete, because its snapshot died with the last run. */
#include "pipeline/copy_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static struct cp_table *by_id(struct mf_copy *c, uint32_t id)
{
    for (size_t i = 0; i < c->ntables; i++) {
        if (c->tables[i].source->id == id) {
            return &c->tables[i];
        }
    }
    return NULL;
}

void mf_copy_forget_plan(struct cp_table *t)
{
    for (uint32_t i = 0; i < t->nchunks; i++) {
        free(t->chunks[i].lower);
        free(t->chunks[i].upper);
    }
    free(t->chunks);
    t->chunks = NULL;
    t->nchunks = t->next = t->done = 0;
}

static int add_chunk(void *ctx, const struct mf_chunk *k, struct mf_error *err)
{
    struct cp_table *t = ctx;
    if (k->ordinal != t->nchunks) {
        return mf_fail(err, MF_FATAL, "MFSTATE", "the chunk plan of table %s.%s has a hole at %u", t->source->schema,
                       t->source->name, t->nchunks);
    }
    if ((t->nchunks & (t->nchunks - 1)) == 0) {
        t->chunks = mf_xreallocarray(t->chunks, t->nchunks ? t->nchunks * 2u : 1u, sizeof(*t->chunks));
    }
    t->chunks[t->nchunks++] = (struct cp_chunk){.ordinal = k->ordinal,
                                                .rows_estimate = k->rows_estimate,
                                                .by_heap = k->by_heap,
                                                .lower = k->has_lower ? mf_xstrdup(k->lower) : NULL,
                                                .upper = k->has_upper ? mf_xstrdup(k->upper) : NULL};
    return 0;
}

/* ---- planning one table ---- */

struct planning {
    struct mf_copy *c;
    struct cp_table *t;
};

static int emit_chunk(void *ctx, const struct mf_chunk *k, struct mf_error *err)
{
    struct planning *p = ctx;
    return add_chunk(p->t, k, err);
}

static int store_plan(struct mf_copy *c, struct cp_table *t, struct mf_error *err)
{
    struct mf_chunk *k = mf_xcalloc(1, sizeof(*k));
    int rc = mf_state_chunks_begin(c->o.state, t->source->id, err);
    for (uint32_t i = 0; rc == 0 && i < t->nchunks; i++) {
        const struct cp_chunk *from = &t->chunks[i];
        k->table_id = t->source->id;
        k->ordinal = from->ordinal;
        k->rows_estimate = from->rows_estimate;
        k->by_heap = from->by_heap;
        k->has_lower = from->lower != NULL;
        k->has_upper = from->upper != NULL;
        mf_strlcpy(k->lower, from->lower ? from->lower : "", sizeof(k->lower));
        mf_strlcpy(k->upper, from->upper ? from->upper : "", sizeof(k->upper));
        rc = mf_state_chunk_put(c->o.state, k, err);
    }
    free(k);
    return rc < 0 ? -1 : mf_state_chunks_end(c->o.state, err);
}

#define CHUNKS_A_JOB   8
#define SMALLEST_CHUNK ((int64_t)4 << 20)

/* Several chunks for each worker, so that none is alone with the last large one, as long as a chunk is worth its commit. */
static int64_t aimed_bytes(const struct mf_copy *c, const struct mf_table *t)
{
    int64_t share = c->o.jobs > 0 ? t->bytes / (c->o.jobs * CHUNKS_A_JOB) : c->o.chunk_bytes;
    share = share < SMALLEST_CHUNK ? SMALLEST_CHUNK : share;
    return share < c->o.chunk_bytes ? share : c->o.chunk_bytes;
}

/* The worker owns the table meanwhile (CP_PLANNING). */
int mf_copy_plan_table(struct mf_copy_worker *w, struct cp_table *t, struct mf_error *err)
{
    struct mf_copy *c = w->c;
    struct mf_reader *r;
    struct planning p = {.c = c, .t = t};
    mf_copy_forget_plan(t);
    if (t->reset) {
        if (c->o.target->connector->target->table_reset(c->o.target, &c->o.pipe, t->target, err) < 0) {
            return -1;
        }
        t->reset = false;
    }
    if (mf_copy_reader(w, t, &r, err) < 0 ||
        c->o.source->connector->source->chunk_plan(r, t->source, c->o.chunk_rows, aimed_bytes(c, t->source), emit_chunk,
                                                   &p, err) < 0) {
        return -1;
    }
    if (t->nchunks == 0) {
        return mf_fail(err, MF_FATAL, "MFBUG", "no chunk was planned for table %s.%s", t->source->schema,
                       t->source->name);
    }
    t->st.chunks_total = (int32_t)t->nchunks;
    t->st.chunks_done = 0;
    t->st.rows_done = 0;
    t->st.exact_at = (struct mf_position){0};
    if (t->exact) {
        t->st.exact_at = w->exact_at;
    }
    t->st.planned = true;
    t->rows = t->bytes = 0;
    return store_plan(c, t, err) < 0 ? -1 : mf_copy_record(c, t, "copying", err);
}

int mf_copy_record(struct mf_copy *c, struct cp_table *t, const char *note, struct mf_error *err)
{
    mf_strlcpy(t->st.note, note, sizeof(t->st.note));
    t->st.rows_done = t->rows;
    t->st.chunks_done = (int32_t)t->done;
    return mf_state_table_put(c->o.state, &t->st, err);
}

/* ---- at the start ---- */

static int by_size(const void *pa, const void *pb)
{
    const struct cp_table *a = pa, *b = pb;
    if (a->exact != b->exact) {
        return a->exact ? -1 : 1;
    }
    if (a->source->bytes != b->source->bytes) {
        return a->source->bytes > b->source->bytes ? -1 : 1;
    }
    return a->source->id < b->source->id ? -1 : a->source->id > b->source->id;
}

static int take_tables(struct mf_copy *c, struct mf_error *err)
{
    c->ntables = c->o.tables->n;
    c->tables = mf_xcalloc(c->ntables + 1, sizeof(*c->tables));
    for (size_t i = 0; i < c->ntables; i++) {
        const struct mf_table *s = &c->o.tables->tables[i];
        struct cp_table *t = &c->tables[i];
        t->source = s;
        t->target = mf_map_target(c->o.map, s);
        t->exact = c->o.snapshot || s->identity == MF_IDENTITY_FULL;
        if (!t->target) {
            mf_fail(err, MF_FATAL, "MFMAP", "the target has no table %s.%s", s->schema, s->name);
            mf_hint(err, "create the schema on the target first, or exclude the table");
            return -1;
        }
        t->st = (struct mf_table_state){.table_id = s->id,
                                        .shape = mf_table_catalog_shape(s),
                                        .rows_total = s->rows_estimate,
                                        .bytes_total = s->bytes,
                                        .note = "waiting"};
        mf_strlcpy(t->st.schema, s->schema, sizeof(t->st.schema));
        mf_strlcpy(t->st.name, s->name, sizeof(t->st.name));
    }
    qsort(c->tables, c->ntables, sizeof(*c->tables), by_size);
    return 0;
}

static int take_state(void *ctx, const struct mf_table_state *st)
{
    struct mf_copy *c = ctx;
    struct cp_table *t = by_id(c, st->table_id);
    if (t && strcmp(t->st.schema, st->schema) == 0 && strcmp(t->st.name, st->name) == 0) {
        t->st.planned = st->planned;
        t->st.exact_at = st->exact_at;
        t->st.chunks_total = st->chunks_total;
        mf_strlcpy(t->st.note, st->note, sizeof(t->st.note));
        if (st->rows_total > 0 && t->st.rows_total < 0) {
            t->st.rows_total = st->rows_total;
        }
    }
    return 0;
}

static int take_plans(struct mf_copy *c, struct mf_error *err)
{
    for (size_t i = 0; i < c->ntables; i++) {
        struct cp_table *t = &c->tables[i];
        if (t->st.planned && mf_state_chunks(c->o.state, t->source->id, add_chunk, t, err) < 0) {
            return -1;
        }
        if (t->nchunks == 0) {
            t->st.planned = false;
        }
    }
    return 0;
}

static int take_done(void *ctx, const struct mf_chunk_done *d, struct mf_error *err)
{
    (void)err;
    struct mf_copy *c = ctx;
    struct cp_table *t = by_id(c, d->table_id);
    if (!t) {
        return 0;
    }
    if (!t->st.planned || d->ordinal >= t->nchunks) {
        t->reset = true;
        return 0;
    }
    /* A chunk of an exact copy must be of the snapshot the plan is of. */
    if (t->exact && (!d->whole_table_snapshot || d->after.order != t->st.exact_at.order)) {
        t->reset = true;
        return 0;
    }
    if (t->chunks[d->ordinal].state != CP_DONE) {
        t->chunks[d->ordinal].state = CP_DONE;
        t->done++;
        t->rows += d->rows > 0 ? d->rows : 0;
        t->bytes += d->bytes;
    }
    if (d->after.order > c->highest.order) {
        c->highest = d->after;
    }
    return 0;
}

static void settle(struct mf_copy *c, struct cp_table *t)
{
    bool whole = t->st.planned && !t->reset && t->done == t->nchunks;
    if (!whole && t->exact && (t->st.planned || t->reset)) {
        t->reset = true; /* its snapshot is gone */
    }
    if (t->reset) {
        mf_copy_forget_plan(t);
        t->st.planned = false;
        t->rows = t->bytes = 0;
    }
    t->state = whole ? CP_FINISH : t->st.planned ? CP_COPY : CP_PLAN;
    if (whole && (strcmp(t->st.note, "copied") == 0 || strcmp(t->st.note, "live") == 0)) {
        t->state = CP_COPIED;
        c->ncopied++;
    }
    c->stats.rows_done += t->rows;
    c->stats.bytes_done += t->bytes;
    c->stats.rows_total += t->st.rows_total > 0 ? t->st.rows_total : 0;
    c->stats.bytes_total += t->st.bytes_total > 0 ? t->st.bytes_total : 0;
}

static int count_one(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)q;
    (void)err;
    ++*(int64_t *)ctx;
    return 0;
}

/* A table is emptied only while nothing has been replayed and nobody was ever let write to the target: later its rows are the
 * application's, and that the plan is gone means that this is not the state the migration was begun with. */
static int may_reset(struct mf_copy *c, const struct cp_table *t, struct mf_error *err)
{
    struct mf_epoch source = {0}, target = {0};
    struct mf_position applied = {0};
    if (c->o.source->connector->traffic->epoch_read(c->o.source, &c->o.pipe, &source, err) < 0 ||
        c->o.target->connector->traffic->epoch_read(c->o.target, &c->o.pipe, &target, err) < 0 ||
        c->o.target->connector->target->checkpoint(c->o.target, &c->o.pipe, &applied, err) < 0) {
        return -1;
    }
    if (source.epoch == 0 && target.epoch == 0 && mf_position_none(&applied)) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFSTATE",
            "table %s.%s would have to be emptied and copied again, but %s: the state in this directory is not that of "
            "this "
            "migration; nothing was emptied",
            t->target->schema, t->target->name,
            source.epoch || target.epoch ? "writes have been moved" : "changes have been replayed on it");
    mf_hint(err, "put the state directory back as it was, spool included; without it: midflight cancel --force "
                 "(complete --force "
                 "when the target takes the writes), then begin again");
    return -1;
}

int mf_copy_load_plan(struct mf_copy *c, struct mf_error *err)
{
    const struct mf_target_ops *ops = c->o.target->connector->target;
    bool asked = false;
    if (take_tables(c, err) < 0 || mf_state_tables(c->o.state, take_state, c, err) < 0 || take_plans(c, err) < 0 ||
        ops->chunks_done(c->o.target, &c->o.pipe, take_done, c, err) < 0 ||
        ops->quarantine_list(c->o.target, &c->o.pipe, count_one, &c->quarantined, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < c->ntables; i++) {
        struct cp_table *t = &c->tables[i];
        settle(c, t);
        if (t->reset && !asked) {
            asked = true; /* true of one table, true of all */
            if (may_reset(c, t, err) < 0) {
                return -1;
            }
        }
        /* One that must be emptied keeps its old plan in the state until it is: if we die before, the next run must empty it too (a
         * chunk of the old plan may still be on its way to a commit). */
        if (!t->st.planned && !t->reset && mf_copy_record(c, t, "waiting", err) < 0) {
            return -1;
        }
    }
    c->stats.tables = (int32_t)c->ntables;
    c->stats.tables_done = (int32_t)c->ncopied;
    return 0;
}
