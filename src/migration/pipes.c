/* Opening what a migration runs on: catalogues, maps and the two pipes. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct mf_pipe_id mf_migration_pipe_id(const struct mf_migration *m, enum mf_direction d)
{
    struct mf_pipe_id id = {.direction = d};
    snprintf(id.migration, sizeof id.migration, "%s", m->config->migration);
    return id;
}

bool mf_writes_on_target(struct mf_migration *m)
{
    char writer[16] = "source";
    bool found = false;
    mf_state_get(m->state, "writer", writer, sizeof writer, &found, NULL);
    if (found && strcmp(writer, "none") == 0) {
        mf_state_get(m->state, "frozen", writer, sizeof writer, &found, NULL);
    }
    return found && strcmp(writer, "target") == 0;
}

enum mf_way_back mf_way_back_between(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target)
{
    return !source->connector->can_target ? MF_BACK_NEVER
           : target->connector->streams   ? MF_BACK_BY_STREAM
           : c->cutover.one_way           ? MF_BACK_NEVER
                                          : MF_BACK_BY_PASSES;
}

enum mf_way_back mf_way_back(const struct mf_migration *m)
{
    return mf_way_back_between(m->config, m->source, m->target);
}

bool mf_pipes_open(const struct mf_migration *m)
{
    return m->forward && (m->reverse || !mf_turns_round(m));
}

struct mf_pipe *mf_live_pipe(struct mf_migration *m)
{
    return mf_writes_on_target(m) ? m->reverse : m->forward;
}

static int replace_catalog(struct mf_migration *m, struct mf_catalog *into, struct mf_db *db, struct mf_error *err)
{
    struct mf_catalog fresh = {0};
    if (db->connector->source->catalog(db, &m->filter, &fresh, err) < 0) {
        mf_error_prefix(err, "reading the catalogue of the %s", db->side == MF_SOURCE ? "source" : "target");
        return -1;
    }
    if (mf_plan_prune(m, db->side, &fresh, err) < 0) {
        mf_catalog_free(&fresh);
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    mf_catalog_free(into);
    *into = fresh;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* Foreign keys that were changed while no run looked: what they did is not told by the stream, and is done again by what is known now. */
static int look_at_cascades(struct mf_migration *m, const struct mf_catalog *c, const char *key, struct mf_error *err)
{
    uint64_t now = mf_catalog_cascades_hash(c), before = 0;
    bool found = false;
    char text[32];
    if (mf_state_get(m->state, key, text, sizeof text, &found, err) < 0) {
        return -1;
    }
    if (found && sscanf(text, "%" SCNx64, &before) == 1 && before != now && !m->cascades_known) {
        mf_log(
            MF_WARN, "schema",
            "foreign keys by which the server changes rows by itself were added or dropped while midflight was away: "
            "rows they changed may differ. Run midflight verify --repair; no cutover is made before a verification");
        if (mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err) < 0) {
            return -1;
        }
    }
    m->cascades_known = true;
    snprintf(text, sizeof text, "%" PRIx64, now);
    return mf_state_set(m->state, key, text, err);
}

int mf_open_tables(struct mf_migration *m, bool with_target, struct mf_error *err)
{
    bool back = mf_writes_on_target(m);
    if (with_target &&
        mf_documents_kept(m, err) < 0) { /* a table that the map has lost would be missed below, with other words */
        return -1;
    }
    if ((!m->have_tables && replace_catalog(m, &m->source_tables, m->source, err) < 0) ||
        (with_target && replace_catalog(m, &m->target_tables, m->target, err) < 0)) {
        return -1;
    }
    m->have_tables = true;
    if (back) {
        return with_target ? look_at_cascades(m, &m->target_tables, "cascades.target", err) : 0;
    }
    return look_at_cascades(m, &m->source_tables, "cascades.source", err);
}

void mf_spool_dir(const struct mf_migration *m, enum mf_direction d, char *out, size_t n)
{
    snprintf(out, n, "%s/spool-%s", m->config->state_dir, d == MF_FORWARD ? "forward" : "reverse");
}

static int open_pipe(struct mf_migration *m, enum mf_direction d, struct mf_map *map, struct mf_pipe **ret,
                     struct mf_error *err)
{
    const struct mf_config *c = m->config;
    struct mf_wait_policy wait = mf_dual_policy(c);
    char dir[4096];
    bool found = false;
    mf_spool_dir(m, d, dir, sizeof dir);
    struct mf_pipe_options o = {
        .id = mf_migration_pipe_id(m, d),
        .origin = d == MF_FORWARD ? m->source : m->target,
        .replica = d == MF_FORWARD ? m->target : m->source,
        .state = m->state,
        .map = map,
        .by_server = d == MF_FORWARD && mf_native_at(m->state) == MF_NATIVE_ATTACHED,
        .by_pass = d == MF_REVERSE && mf_way_back(m) == MF_BACK_BY_PASSES,
        .dir = dir,
        .spool_budget = (uint64_t)c->spool.budget_bytes,
        .spool_segment = (size_t)c->spool.segment_bytes,
        .transaction_memory = (size_t)c->spool.memory_bytes,
        .window_bytes = (size_t)c->apply.window_bytes,
        .window_changes = (size_t)c->apply.window_changes,
        .keep_rejected = c->quarantine.on_reject == MF_REJECT_KEEP,
        .heal = c->on_divergence == MF_DIVERGENCE_REPAIR,
        .max_quarantined = c->quarantine.max_rows,
        .retry_ms = c->retry_ms,
        .wait = d == MF_FORWARD && c->dual_writes == MF_DUAL_WRITES_ON ? &wait : NULL,
    };
    if (mf_state_position(m->state, d == MF_FORWARD ? "start.forward" : "start.reverse", &o.start, &found, err) < 0) {
        return -1;
    }
    return mf_pipe_open(&o, ret, err);
}

static int open_one(struct mf_migration *m, enum mf_direction d, struct mf_map **map, struct mf_pipe **pipe,
                    struct mf_error *err)
{
    const struct mf_catalog *origin = d == MF_FORWARD ? &m->source_tables : &m->target_tables;
    const struct mf_catalog *replica = d == MF_FORWARD ? &m->target_tables : &m->source_tables;
    struct mf_pipe *opened = NULL;
    if (*pipe) {
        return 0;
    }
    if (!*map && mf_map_new(origin, replica, m->config->on_ddl, map, err) < 0) {
        return -1;
    }
    if (open_pipe(m, d, *map, &opened, err) < 0) {
        return -1;
    }
    if (mf_adopt_begun(m) && mf_writes_on_target(m) == (d == MF_REVERSE)) {
        static const struct mf_position before_all = {.order =
                                                          1}; /* it may come to changes of a table that is not whole */
        mf_apply_set_barrier(opened->apply, &before_all);
    }
    pthread_mutex_lock(&m->lock);
    *pipe = opened;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

int mf_open_forward(struct mf_migration *m, struct mf_error *err)
{
    return mf_documents_kept(m, err) < 0 ? -1 : open_one(m, MF_FORWARD, &m->forward_map, &m->forward, err);
}

int mf_open_reverse(struct mf_migration *m, struct mf_error *err)
{
    return open_one(m, MF_REVERSE, &m->reverse_map, &m->reverse, err);
}

int mf_check_pipes(struct mf_migration *m, struct mf_error *err)
{
    struct mf_pipe *const pipes[] = {m->forward, m->reverse};
    for (size_t i = 0; i < MF_ARRAY_LEN(pipes); i++) {
        if (pipes[i] && mf_pipe_failure(pipes[i], err) < 0) {
            mf_error_prefix(err, "the %s stream", i == 0 ? "forward" : "reverse");
            return -1;
        }
    }
    return 0;
}
