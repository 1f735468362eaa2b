/* midflight, one step at a time: the order of things that src/migration keeps with threads, with the same stages and the same state.
 *
 * Everything in `struct engine` is a process's memory and is lost in a crash; what survives is the world's: servers, state, spool. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/face/face.h"
#include "connector/view/view.h"

/* ---- opening ---- */

bool engine_writes_on_target(struct engine *e)
{
    char writer[16] = "source";
    bool found = false;
    mf_state_get(e->w->state, "writer", writer, sizeof writer, &found, NULL);
    return found && mf_streq(writer, "target");
}

struct mf_pipe *engine_live(struct engine *e)
{
    return e->pipe[engine_writes_on_target(e) ? MF_REVERSE : MF_FORWARD];
}

static int read_tables(struct engine *e, enum mf_side side, struct mf_error *err)
{
    struct mf_catalog fresh = {0};
    if (e->db[side]->connector->source->catalog(e->db[side], NULL, &fresh, err) < 0) {
        return -1;
    }
    mf_catalog_free(&e->tables[side]);
    e->tables[side] = fresh;
    return 0;
}

static const char *start_key(enum mf_direction d)
{
    return d == MF_FORWARD ? "start.forward" : "start.reverse";
}

static int open_pipe(struct engine *e, enum mf_direction d, struct mf_error *err)
{
    int from = d == MF_FORWARD ? MF_SOURCE : MF_TARGET;
    bool found;
    if (e->pipe[d]) {
        return 0;
    }
    if ((!e->tables[0].tables && read_tables(e, MF_SOURCE, err) < 0) || read_tables(e, MF_TARGET, err) < 0) {
        return -1;
    }
    if (!e->map[d] && mf_map_new(&e->tables[from], &e->tables[!from], MF_DDL_STOP, &e->map[d], err) < 0) {
        return -1;
    }
    struct mf_pipe_options o = {.id = e->id[d],
                                .origin = e->db[from],
                                .replica = e->db[!from],
                                .state = e->w->state,
                                .map = e->map[d],
                                .by_pass = d == MF_REVERSE && e->w->silent,
                                .storage = e->w->storage[d],
                                .spool_budget = e->w->spool_budget,
                                .spool_segment = 1u << 20,
                                .dir = e->w->large ? "/tmp" : NULL, /* of transactions that spill, in unlinked files */
                                .transaction_memory = e->w->transaction_memory,
                                .reread_bytes = e->w->reread_bytes,
                                .keep_rejected = e->w->heal || e->w->refusals || e->w->mapped,
                                .heal = e->w->heal,
                                .window_bytes = 1u << 20,
                                .window_changes = 1 + sim_below(e->w, sim_chance(e->w, 500) ? 8 : 60),
                                .max_quarantined = 1000,
                                .retry_ms = 1000};
    if (mf_state_position(e->w->state, start_key(d), &o.start, &found, err) < 0) {
        return -1;
    }
    if (mf_pipe_open(&o, &e->pipe[d], err) < 0) {
        return -1;
    }
    if (d == MF_FORWARD && e->phase < CATCH_UP) {
        struct mf_position before_all = {.order = 1};
        mf_apply_set_barrier(e->pipe[d]->apply, &before_all);
    }
    return 0;
}

/* The view takes the database over, also when it fails. */
static int open_view(struct engine *e, struct mf_error *err)
{
    struct mf_db *own = e->db[MF_SOURCE];
    e->db[MF_SOURCE] = NULL;
    return mf_view_open(own, e->w->config->map, NULL, &e->db[MF_SOURCE], err);
}

static int open_all(struct engine *e, struct mf_error *err)
{
    struct world *w = e->w;
    for (int side = 0; side < 2; side++) {
        char url[64];
        const struct mf_mem_knobs *k = mf_mem_knobs(w->server[side]);
        snprintf(url, sizeof url, "%s://%s",
                 k->other     ? "memx"
                 : k->stamped ? "mems"
                              : "mem",
                 mf_mem_name(w->server[side]));
        struct mf_db_options o = {.url = url, .side = (enum mf_side)side};
        if (mf_connector_memory.open(&o, &e->db[side], err) < 0 ||
            (w->faces && mf_face_open(e->db[side], side ? e->db[0] : NULL, &e->db[side], err) < 0) ||
            (w->mapped && side == MF_SOURCE && open_view(e, err) < 0)) {
            return -1;
        }
        if (w->mapped && side == MF_TARGET) {
            mf_face_apart(e->db[side]); /* as mf_connector_open does */
        }
    }
    e->phase = (enum phase)mf_state_int(w->state, "sim.phase", PREPARE);
    if (e->phase > SCHEMA && e->phase < ENDING && open_pipe(e, MF_FORWARD, err) < 0) {
        return -1;
    }
    if (e->phase == SYNCED && (!w->stamped || w->silent) && !w->mapped &&
        (open_pipe(e, MF_REVERSE, err) < 0 || engine_resume(e, err) < 0)) {
        return -1;
    }
    engine_flag(e);
    return 0;
}

int engine_open(struct world *w, struct engine **ret, struct mf_error *err)
{
    struct engine *e = mf_xcalloc(1, sizeof *e);
    e->w = w;
    for (int d = 0; d < 2; d++) {
        e->id[d] = (struct mf_pipe_id){.migration = "sim", .direction = (enum mf_direction)d};
    }
    e->config.cutover.lock_ms = 100;
    e->config.cutover.prepare_ms = 600000;
    e->config.cutover.long_transactions = (enum mf_long_policy)sim_below(w, 3);
    if (open_all(e, err) < 0) {
        engine_free(e);
        return -1;
    }
    *ret = e;
    return 0;
}

void engine_close_copy(struct engine *e)
{
    for (int i = 0; i < 2; i++) {
        mf_copy_worker_free(e->copiers[i]);
        e->copiers[i] = NULL;
        e->copied[i] = false;
    }
    mf_copy_free(e->copy);
    e->copy = NULL;
}

void engine_close_verify(struct engine *e)
{
    mf_verify_free(e->verify);
    e->verify = NULL;
    e->verified[0] = e->verified[1] = false;
}

void engine_close_pipes(struct engine *e)
{
    mf_pipe_close(e->pipe[0]);
    mf_pipe_close(e->pipe[1]);
    e->pipe[0] = e->pipe[1] = NULL;
}

void engine_free(struct engine *e)
{
    if (!e) {
        return;
    }
    engine_close_copy(e);
    if (e->verify) {
        engine_close_verify(e);
    }
    engine_stop_pass(e);
    mf_cutover_free(e->cutover);
    engine_close_pipes(e);
    for (int i = 0; i < 2; i++) {
        mf_map_free(e->map[i]);
        mf_catalog_free(&e->tables[i]);
        if (e->db[i]) {
            e->db[i]->connector->close(e->db[i]);
        }
    }
    free(e);
}

/* ---- phases: 0 goes on, 1 waits, -1 failed ---- */

int engine_enter(struct engine *e, enum phase p, struct mf_error *err)
{
    if (mf_state_set_int(e->w->state, "sim.phase", p, err) < 0) {
        return -1;
    }
    e->phase = p;
    world_say(e->w, "phase %d", p);
    return 0;
}

static int count_table(void *ctx, const struct mf_table_state *t)
{
    (void)t;
    ++*(int *)ctx;
    return 0;
}

static int remember_tables(struct engine *e, struct mf_error *err)
{
    int known = 0;
    if (mf_state_tables(e->w->state, count_table, &known, err) < 0 || known) {
        return known ? 0 : -1;
    }
    for (size_t i = 0; i < e->tables[0].n; i++) {
        const struct mf_table *t = &e->tables[0].tables[i];
        struct mf_table_state s = {.table_id = t->id, .shape = mf_table_shape(t), .note = "waiting"};
        mf_strlcpy(s.schema, t->schema, sizeof s.schema);
        mf_strlcpy(s.name, t->name, sizeof s.name);
        if (mf_state_table_put(e->w->state, &s, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int prepare_stream(struct engine *e, enum mf_direction d, struct mf_error *err)
{
    int from = d == MF_FORWARD ? MF_SOURCE : MF_TARGET;
    struct mf_position start;
    bool found = false;
    if (mf_state_position(e->w->state, start_key(d), &start, &found, err) < 0) {
        return -1;
    }
    if (found) {
        return 0;
    }
    int64_t clock = 0;
    if (e->db[from]->connector->source->clock(e->db[from], &clock, NULL, err) < 0 ||
        mf_state_set_int(e->w->state, mf_stamp_key(d), mf_stamp_believed(clock, mf_wall_us()), err) < 0 ||
        e->db[from]->connector->source->stream_prepare(e->db[from], &e->id[d], &e->tables[from], &start, err) < 0) {
        return -1;
    }
    return mf_state_set_position(e->w->state, start_key(d), &start, err);
}

static int prepare(struct engine *e, struct mf_error *err)
{
    if (read_tables(e, MF_SOURCE, err) < 0) {
        return -1;
    }
    for (int side = 0; side < 2; side++) {
        if (e->db[side]->connector->target->prepare(e->db[side], &e->id[0], err) < 0) {
            return -1;
        }
    }
    return remember_tables(e, err) < 0 || prepare_stream(e, MF_FORWARD, err) < 0 ? -1 : 0;
}

static int schema(struct engine *e, enum mf_schema_stage stage, struct mf_error *err)
{
    struct mf_schema_job job = {.stage = stage, .tables = &e->tables[0], .jobs = 1};
    if (!e->tables[0].tables && read_tables(e, MF_SOURCE, err) < 0) {
        return -1;
    }
    return e->db[1]->connector->target->schema_apply(e->db[1], e->db[0], &job, NULL, err);
}

static int copy(struct engine *e, struct mf_error *err)
{
    if (open_pipe(e, MF_FORWARD, err) < 0) {
        return -1;
    }
    if (!e->copy) {
        struct mf_copy_options o = {.source = e->db[0],
                                    .target = e->db[1],
                                    .pipe = e->id[0],
                                    .state = e->w->state,
                                    .map = e->map[0],
                                    .tables = &e->tables[0],
                                    .chunk_rows = 1 + sim_below(e->w, 6),
                                    .chunk_bytes = 1 << 20,
                                    .keep_rejected = e->w->refusals || e->w->mapped,
                                    .max_quarantined = 1000,
                                    .stamp = mf_state_int(e->w->state, mf_stamp_key(MF_FORWARD), 0)};
        if (mf_copy_new(&o, &e->copy, err) < 0) {
            return -1;
        }
        for (int i = 0; i < 2; i++) {
            if (mf_copy_worker_new(e->copy, &e->copiers[i], err) < 0) {
                engine_close_copy(e);
                return -1;
            }
        }
    }
    if (!e->copied[0] || !e->copied[1]) {
        return 1;
    }
    engine_close_copy(e);
    return 0;
}

static int catch_up(struct engine *e, struct mf_error *err)
{
    struct mf_apply *apply = e->pipe[0]->apply;
    char raised[8];
    bool found = false;
    struct mf_position now, none = {0};
    if (mf_state_get(e->w->state, "raised", raised, sizeof raised, &found, err) < 0) {
        return -1;
    }
    if (!found &&
        (e->db[0]->connector->source->position(e->db[0], &now, err) < 0 ||
         mf_apply_raise_consistency(apply, &now, err) < 0 || mf_state_set(e->w->state, "raised", "1", err) < 0)) {
        return -1;
    }
    mf_apply_set_barrier(apply, &none);
    if (mf_apply_consistent(apply)) {
        check_consistent_now(e->w);
        return 0;
    }
    mf_apply_want_checkpoint(apply);
    return 1;
}

static int indexes(struct engine *e, struct mf_error *err)
{
    struct mf_apply *apply = e->pipe[0]->apply;
    struct mf_position at, none = {0};
    mf_apply_position(apply, &at);
    mf_apply_set_barrier(apply, &at);
    if (!mf_apply_at_barrier(apply)) {
        return e->db[0]->connector->source->heartbeat(e->db[0], &e->id[0], NULL, NULL, err) < 0 ? -1 : 1;
    }
    int rc = schema(e, MF_SCHEMA_AFTER_SYNC, err);
    mf_apply_set_barrier(apply, &none);
    return rc;
}

static int reverse(struct engine *e, struct mf_error *err)
{
    if ((e->w->stamped && !e->w->silent) || e->w->mapped) {
        return 0; /* what is written there does not go back */
    }
    if (read_tables(e, MF_TARGET, err) < 0 || (!e->w->silent && prepare_stream(e, MF_REVERSE, err) < 0) ||
        open_pipe(e, MF_REVERSE, err) < 0) {
        return -1;
    }
    return engine_resume(e, err);
}

int engine_next_phase(struct engine *e, struct mf_error *err)
{
    int rc = 0;
    switch (e->phase) {
    case PREPARE:
        rc = prepare(e, err);
        break;
    case SCHEMA:
        rc = schema(e, MF_SCHEMA_BEFORE_ROWS, err);
        break;
    case COPY:
        rc = copy(e, err);
        break;
    case KEYS:
        rc = schema(e, MF_SCHEMA_KEYS, err);
        break;
    case CATCH_UP:
        rc = catch_up(e, err);
        break;
    case INDEXES:
        rc = indexes(e, err);
        break;
    case REVERSE:
        rc = reverse(e, err);
        break;
    case SYNCED:
    case ENDING:
        return 0;
    }
    return rc == 0 ? engine_enter(e, (enum phase)(e->phase + 1), err) : rc;
}

/* ---- steps ---- */

static bool copier(struct engine *e, int i, struct mf_error *err)
{
    if (!e->copiers[i] || e->copied[i]) {
        return true;
    }
    enum mf_step s = mf_copy_step(e->copiers[i], err);
    e->copied[i] = s == MF_STEP_DONE;
    return s != MF_STEP_FAILED;
}

static bool verifier(struct engine *e, int i, struct mf_error *err)
{
    if (e->pass && !engine_pass_step(e, i, err)) {
        return false;
    }
    if (!e->verify || e->verified[i]) {
        return true;
    }
    enum mf_step s = mf_verify_step(e->verify, i, err);
    e->verified[i] = s == MF_STEP_DONE;
    return s != MF_STEP_FAILED;
}

static bool capture(struct engine *e, int d, struct mf_error *err)
{
    /* The direction at rest lets go of its stream, and takes it up again soon; at a cutover both are wanted. */
    if (e->pipe[d] && e->pipe[d]->by_pass) {
        return true;
    }
    if (e->pipe[d] && sim_chance(e->w, 50)) {
        mf_capture_hold(e->pipe[d]->capture, e->pipe[d] != engine_live(e) && !e->cutover && sim_chance(e->w, 100));
    }
    return !e->pipe[d] || mf_capture_step(e->pipe[d]->capture, 0, err) != MF_STEP_FAILED;
}

static bool apply(struct engine *e, int d, struct mf_error *err)
{
    if (!e->pipe[d]) {
        return true;
    }
    enum mf_step s = mf_apply_step(e->pipe[d]->apply, 0, err);
    check_stamp(e->w, mf_apply_stamp(e->pipe[d]->apply));
    return s != MF_STEP_FAILED;
}

static bool beat(struct engine *e, struct mf_error *err)
{
    for (int d = 0; d < 2; d++) {
        if (e->pipe[d] && !e->pipe[d]->by_pass && sim_chance(e->w, 100)) {
            struct mf_db *db = e->pipe[d]->origin;
            if (db->connector->source->heartbeat(db, &e->id[d], NULL, NULL, err) < 0) {
                return false;
            }
        }
    }
    return true;
}

static void tell_where(struct engine *e)
{
    for (int d = 0; d < 2; d++) {
        if (e->pipe[d]) {
            struct mf_capture_stats c;
            struct mf_apply_stats a;
            struct mf_spool_stats s;
            mf_pipe_stats(e->pipe[d], &c, &a, &s);
            world_say(e->w,
                      "pipe %d: received %llu durable %llu acknowledged %llu applied %llu consistent %d reread %llu", d,
                      (unsigned long long)c.received.order, (unsigned long long)c.durable.order,
                      (unsigned long long)c.acknowledged.order, (unsigned long long)a.applied.order,
                      mf_apply_consistent(e->pipe[d]->apply), (unsigned long long)a.reread);
        }
    }
}

bool engine_step(struct engine *e, struct mf_error *err)
{
    if (e->w->verbose && e->w->steps % 2000 == 0) {
        tell_where(e);
    }
    unsigned sum = 0, at = 0;
    for (int i = 0; i < SIM_PARTS; i++) {
        sum += e->w->weights[i];
    }
    unsigned pick = sim_below(e->w, sum);
    while (pick >= e->w->weights[at]) {
        pick -= e->w->weights[at++];
    }
    switch (at) {
    case 0:
    case 1:
        return capture(e, (int)at, err);
    case 2:
    case 3:
        return apply(e, (int)at - 2, err);
    case 4:
    case 5:
        return copier(e, (int)at - 4, err);
    case 6:
    case 7:
        return verifier(e, (int)at - 6, err);
    case 8:
        return beat(e, err);
    default:
        return engine_control(e, err) == 0;
    }
}
