/* Two memory servers, an application that writes to the first, and a migration between them that is stepped in a seeded order,
 * loses connections and dies. For the tests of the pipeline and of verify. */
#ifndef MF_TESTS_PIPELINE_WORLD_H
#define MF_TESTS_PIPELINE_WORLD_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "connector/memory/memory.h"
#include "mf_test.h"
#include "pipeline/copy.h"
#include "pipeline/pipe.h"

struct world {
    uint64_t rng, seed;
    struct mf_mem_server *src, *dst;
    struct mf_state *state;
    struct mf_spool_storage *storage;
    struct mf_db *sdb, *tdb;
    struct mf_catalog scat, tcat;
    struct mf_map *map;
    struct mf_pipe *pipe;
    struct mf_copy *copy;
    struct mf_copy_worker *workers[2];
    bool copied, running;
    int trouble; /* one call in so many meets some; 0: none */
    int64_t next_key;
    int spared; /* the application does not write to this table; 0: to all, else its number + 1 */
    struct mf_position last_commit;
    /* what midflight is started with */
    size_t reread_bytes;
    bool keep_rejected, heal;
    int64_t max_quarantined, retry_ms;
    double max_load;
    const struct mf_wait_policy *wait;    /* dual writes */
    const struct mf_connector *connector; /* of the source; NULL: memory's own */
};

static inline uint32_t world_random(struct world *w, uint32_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (uint32_t)((w->rng >> 11) % n);
}

static inline struct mf_value world_text(const char *s)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s};
}

static enum mf_mem_fate world_hook(void *ctx, struct mf_mem_server *s, const char *op)
{
    struct world *w = ctx;
    (void)s;
    (void)op;
    if (!w->running || !w->trouble || world_random(w, (uint32_t)w->trouble)) {
        return MF_MEM_GO;
    }
    static const enum mf_mem_fate fates[] = {MF_MEM_LOST_BEFORE, MF_MEM_LOST_AFTER, MF_MEM_CRASH_BEFORE,
                                             MF_MEM_CRASH_AFTER};
    return fates[world_random(w, 4)];
}

static const struct mf_mem_column world_item[] = {{.name = "id", .in_key = true},
                                                  {.name = "name", .text = true, .unique = true},
                                                  {.name = "qty"},
                                                  {.name = "body", .text = true, .toast = true}};
static const struct mf_mem_column world_log[] = {{.name = "what", .text = true}, {.name = "n"}};
static const struct mf_mem_column world_pair[] = {
    {.name = "a", .text = true, .in_key = true}, {.name = "b", .in_key = true}, {.name = "v", .text = true}};

static inline void world_tables(struct mf_mem_server *s, bool unique)
{
    struct mf_error err;
    struct mf_mem_column item[4];
    memcpy(item, world_item, sizeof(item));
    item[1].unique = unique;
    assert_mf_ok(mf_mem_create_table(s, "public", "item", item, 4, &err), &err);
    assert_mf_ok(mf_mem_create_table(s, "public", "log", world_log, 2, &err), &err);
    assert_mf_ok(mf_mem_create_table(s, "public", "pair", world_pair, 3, &err), &err);
}

/* ---- the application ---- */

static inline void world_row(struct world *w, int table, char buf[4][64], struct mf_value v[4], bool same_key)
{
    if (table == 0) {
        if (!same_key) {
            snprintf(buf[0], 64, "%" PRId64, world_random(w, 4) ? w->next_key++ : (int64_t)world_random(w, 30));
        }
        snprintf(buf[1], 64, "n%u", world_random(w, 60));
        snprintf(buf[2], 64, "%u", world_random(w, 1000));
        snprintf(buf[3], 64, "body-%u-%u", world_random(w, 1000), world_random(w, 1000));
    } else if (table == 1) {
        snprintf(buf[0], 64, "w%u", world_random(w, 4));
        snprintf(buf[1], 64, "%u", world_random(w, 3));
    } else {
        if (!same_key) {
            snprintf(buf[0], 64, "k%u", world_random(w, 5));
            snprintf(buf[1], 64, "%u", world_random(w, 8));
        }
        snprintf(buf[2], 64, "%u", world_random(w, 1000));
    }
    for (int i = 0; i < 4; i++) {
        v[i] = world_text(buf[i]);
    }
}

static const char *const world_names[] = {"item", "log", "pair"};
static const uint16_t world_widths[] = {4, 2, 3};

static inline void world_write(struct world *w, struct mf_mem_txn *t)
{
    struct mf_error err;
    char buf[4][64] = {{0}};
    struct mf_value v[4];
    int table = (int)world_random(w, 3);
    table = table + 1 == w->spared ? (table + 1) % 3 : table;
    const char *name = world_names[table];
    struct mf_row row = {.n = world_widths[table], .values = v}, old;
    size_t n = mf_mem_count(t, "public", name);
    uint32_t what = world_random(w, 100);
    if (n == 0 || (what < 45 && n < 60)) {
        world_row(w, table, buf, v, false);
        mf_mem_insert(t, "public", name, &row, &err);
        return;
    }
    if (!mf_mem_row_at(t, "public", name, world_random(w, (uint32_t)n), &old)) {
        return;
    }
    struct mf_value copy[4];
    char data[4][64] = {{0}};
    for (uint16_t i = 0; i < old.n; i++) {
        copy[i] = old.values[i];
        snprintf(data[i], 64, "%.*s", (int)old.values[i].len, old.values[i].data ? old.values[i].data : "");
        copy[i].data = data[i];
        snprintf(buf[i], 64, "%s", data[i]);
    }
    struct mf_row was = {.n = old.n, .values = copy};
    if (what < 85) {
        world_row(w, table, buf, v, what < 70);
        if (table == 0 && world_random(w, 2)) {
            v[3] = (struct mf_value){.kind = MF_UNCHANGED};
        }
        mf_mem_update(t, "public", name, &was, &row, &err);
    } else if (what < 99) {
        mf_mem_delete(t, "public", name, &was, &err);
    } else {
        struct mf_mem_name names[] = {{"public", name}};
        mf_mem_truncate(t, names, 1, &err);
    }
}

static inline void world_app(struct world *w)
{
    struct mf_error err;
    struct mf_mem_txn *t = mf_mem_begin(w->src);
    for (uint32_t i = 0, n = 1 + world_random(w, 6); i < n; i++) {
        world_write(w, t);
    }
    if (world_random(w, 10) == 0) {
        mf_mem_abort(t);
    } else {
        mf_mem_commit(t, &w->last_commit, &err);
    }
}

/* ---- midflight ---- */

static inline int world_open_both(struct world *w, struct mf_error *err)
{
    struct mf_db_options s = {.url = "mem://src", .side = MF_SOURCE}, t = {.url = "mem://dst", .side = MF_TARGET};
    if (mf_connector_memory.open(&s, &w->sdb, err) < 0 || mf_connector_memory.open(&t, &w->tdb, err) < 0) {
        return -1;
    }
    w->sdb->connector = w->connector ? w->connector : w->sdb->connector;
    return 0;
}

static inline int world_start(struct world *w, struct mf_error *err)
{
    struct mf_pipe_id id = {.migration = "m", .direction = MF_FORWARD};
    struct mf_filter all = {0};
    struct mf_position start;
    if (world_open_both(w, err) < 0 || mf_connector_memory.target->prepare(w->sdb, &id, err) < 0 ||
        mf_connector_memory.target->prepare(w->tdb, &id, err) < 0 ||
        mf_connector_memory.source->catalog(w->sdb, &all, &w->scat, err) < 0 ||
        mf_connector_memory.source->catalog(w->tdb, &all, &w->tcat, err) < 0 ||
        mf_connector_memory.source->stream_prepare(w->sdb, &id, &w->scat, &start, err) < 0 ||
        mf_map_new(&w->scat, &w->tcat, MF_DDL_STOP, &w->map, err) < 0) {
        return -1;
    }
    struct mf_pipe_options o = {.id = id,
                                .origin = w->sdb,
                                .replica = w->tdb,
                                .state = w->state,
                                .map = w->map,
                                .storage = w->storage,
                                .start = start,
                                .spool_budget = 1u << 20,
                                .transaction_memory = 1u << 20,
                                .window_bytes = 200 + world_random(w, 2000),
                                .window_changes = 1 + world_random(w, 50),
                                .reread_bytes = w->reread_bytes,
                                .keep_rejected = w->keep_rejected,
                                .heal = w->heal,
                                .retry_ms = w->retry_ms,
                                .wait = w->wait,
                                .max_quarantined = w->max_quarantined};
    struct mf_copy_options c = {.source = w->sdb,
                                .target = w->tdb,
                                .pipe = id,
                                .state = w->state,
                                .map = w->map,
                                .tables = &w->scat,
                                .chunk_rows = 7,
                                .chunk_bytes = 100000,
                                .max_load = w->max_load,
                                .max_quarantined = 100};
    return mf_pipe_open(&o, &w->pipe, err) < 0 || mf_copy_new(&c, &w->copy, err) < 0 ||
                   mf_copy_worker_new(w->copy, &w->workers[0], err) < 0 ||
                   mf_copy_worker_new(w->copy, &w->workers[1], err) < 0
               ? -1
               : 0;
}

static inline void world_stop(struct world *w)
{
    mf_copy_worker_free(w->workers[0]);
    mf_copy_worker_free(w->workers[1]);
    mf_copy_free(w->copy);
    mf_pipe_close(w->pipe);
    mf_map_free(w->map);
    mf_catalog_free(&w->scat);
    mf_catalog_free(&w->tcat);
    if (w->sdb) {
        mf_connector_memory.close(w->sdb);
    }
    if (w->tdb) {
        mf_connector_memory.close(w->tdb);
    }
    w->workers[0] = w->workers[1] = NULL;
    w->copy = NULL;
    w->pipe = NULL;
    w->map = NULL;
    w->sdb = w->tdb = NULL;
    memset(&w->scat, 0, sizeof(w->scat));
    memset(&w->tcat, 0, sizeof(w->tcat));
}

static inline void world_new(struct world *w, uint64_t seed, int trouble)
{
    struct mf_error err;
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->trouble = trouble;
    w->next_key = 100;
    w->max_quarantined = 100;
    w->src = mf_mem_server_new("src");
    w->dst = mf_mem_server_new("dst");
    mf_mem_knobs(w->src)->stream_after = world_random(w, 2) ? 3 : 0;
    mf_mem_knobs(w->src)->wire_rows = world_random(w, 3);
    mf_mem_knobs(w->dst)->late_errors = world_random(w, 2);
    world_tables(w->src, true);
    world_tables(w->dst, false);
    for (int i = 0; i < 20; i++) {
        world_app(w);
    }
    assert_mf_ok(mf_state_open(NULL, &w->state, &err), &err);
    w->storage = mf_spool_memory();
    mf_mem_set_hook(w->src, world_hook, w);
    mf_mem_set_hook(w->dst, world_hook, w);
}

static inline void world_free(struct world *w)
{
    w->running = false;
    world_stop(w);
    mf_state_close(w->state);
    mf_spool_storage_free(w->storage);
    mf_mem_server_free(w->src);
    mf_mem_server_free(w->dst);
}

static inline void world_crash(struct world *w)
{
    w->running = false;
    world_stop(w);
    mf_spool_memory_crash(w->storage);
    mf_mem_disconnect(w->src);
    mf_mem_disconnect(w->dst);
}

/* Starts until it works. */
static inline void world_run(struct world *w)
{
    struct mf_error err = {0};
    for (int i = 0; i < 100; i++) {
        w->running = true;
        if (world_start(w, &err) == 0) {
            return;
        }
        if (err.cls != MF_RETRY && err.cls != MF_CRASH) {
            fail_msg("seed %" PRIu64 ": start: %s [%s]", w->seed, err.text, err.code);
        }
        world_crash(w);
    }
    fail_msg("seed %" PRIu64 ": it never starts: %s", w->seed, err.text);
}

/* One piece of work somewhere. */
static inline void world_step(struct world *w)
{
    struct mf_error err = {0};
    enum mf_step s = MF_STEP_IDLE;
    uint32_t who = world_random(w, 4);
    if (who == 0) {
        s = mf_capture_step(w->pipe->capture, 0, &err);
    } else if (who == 1) {
        s = mf_apply_step(w->pipe->apply, 0, &err);
    } else {
        s = mf_copy_step(w->workers[who - 2], &err);
        w->copied |= s == MF_STEP_DONE;
    }
    if (s != MF_STEP_FAILED) {
        return;
    }
    if (err.cls == MF_CRASH) {
        world_crash(w);
        world_run(w);
    } else if (err.cls != MF_RETRY) {
        fail_msg("seed %" PRIu64 ": step %u: %s [%s] %s", w->seed, who, err.text, err.code, err.hint);
    }
}

#endif
