/* The status document: one shape, from a run that is alive or from what it left in the state. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static void put_int(json_t *o, const char *key, int64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static int table_json(void *ctx, const struct mf_table_state *t)
{
    char name[260];
    snprintf(name, sizeof name, "%s.%s", t->schema, t->name);
    return json_array_append_new(ctx,
                                 json_pack("{s:s, s:I, s:I, s:s}", "name", name, "rows_done", (json_int_t)t->rows_done,
                                           "rows_total", (json_int_t)t->rows_total, "state", t->note));
}

static int add_up(void *ctx, const struct mf_table_state *t)
{
    struct mf_copy_stats *s = ctx;
    s->tables++;
    s->rows_done += t->rows_done;
    s->rows_total += t->rows_total > t->rows_done ? t->rows_total : t->rows_done;
    s->bytes_total += t->bytes_total;
    return 0;
}

static json_t *copy_json(struct mf_state *state, struct mf_copy *copy)
{
    struct mf_copy_stats s = {0};
    double rate = 0, eta = 0;
    if (copy) {
        mf_copy_stats(copy, &s);
        double seconds = (double)(mf_now_us() - s.started_us) / 1e6;
        rate = s.started_us && seconds > 0 ? (double)s.rows_this_run / seconds : 0;
        eta = rate > 0 && s.rows_total > s.rows_done ? (double)(s.rows_total - s.rows_done) / rate : 0;
    } else {
        mf_state_tables(state, add_up, &s, NULL);
        s.rows_done = mf_state_int(state, "copied.rows", s.rows_done);
        s.bytes_done = mf_state_int(state, "copied.bytes", 0);
        if (s.bytes_done > 0) { /* it is over: estimates give way to what was copied */
            s.rows_total = s.rows_done;
            s.bytes_total = s.bytes_done;
        }
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:b, s:f}", "rows_done", (json_int_t)s.rows_done, "rows_total",
                     (json_int_t)s.rows_total, "bytes_done", (json_int_t)s.bytes_done, "bytes_total",
                     (json_int_t)s.bytes_total, "rows_per_second", rate, "eta_seconds", eta, "throttled", s.throttled,
                     "load", s.load);
}

static int count_table(void *ctx, const struct mf_table_state *t)
{
    (void)t;
    (*(int64_t *)ctx)++;
    return 0;
}

/* The last one that compared everything, whatever came after it. */
static json_t *last_full_json(struct mf_state *state)
{
    static const char *const directions[] = {"forward", "reverse"};
    struct mf_verify_summary last = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(directions); i++) {
        struct mf_verify_summary s = {0};
        bool found = false;
        if (mf_state_verify_last_full(state, directions[i], &s, NULL, &found, NULL) == 0 && found && s.run > last.run) {
            last = s;
        }
    }
    if (!last.run) {
        return json_null();
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "state", last.differing == 0 ? "equal" : "different",
                     "tables_equal", (json_int_t)last.tables_equal, "tables_differing",
                     (json_int_t)last.tables_differing, "rows_compared", (json_int_t)last.rows, "rows_differing",
                     (json_int_t)last.differing, "finished_at", (double)last.finished_us / 1e6);
}

static json_t *verify_json(struct mf_state *state, struct mf_verify *running)
{
    struct mf_verify_summary last = {.sample = 1};
    int64_t tables = 0, read = 0;
    bool found = false;
    mf_state_verify_last(state, &last, &found, NULL);
    mf_state_tables(state, count_table, &tables, NULL);
    const char *word = running               ? "running"
                       : !found              ? "never"
                       : !last.finished_us   ? "interrupted"
                       : last.differing == 0 ? "equal"
                                             : "different";
    if (running) {
        struct mf_verify_stats s;
        mf_verify_stats(running, &s);
        last.tables_equal = s.tables_equal;
        last.tables_differing = s.tables_differing;
        last.rows = s.rows_compared;
        read = s.rows_read;
        last.differing = s.rows_differing;
        last.finished_us = 0;
    }
    json_t *v = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:s?, s:I, s:o}", "state", word, "tables_equal",
                          (json_int_t)last.tables_equal, "tables_differing", (json_int_t)last.tables_differing,
                          "rows_compared", (json_int_t)last.rows, "rows_differing", (json_int_t)last.differing,
                          "sample", last.sample, "table", last.table[0] ? last.table : NULL, "tables_total",
                          (json_int_t)tables, "last_full", last_full_json(state));
    if (read) {
        json_object_set_new(v, "rows_read", json_integer(read));
    }
    json_object_set_new(v, "finished_at", last.finished_us ? json_real((double)last.finished_us / 1e6) : json_null());
    return v;
}

/* What was seen until then does not count any more. */
static json_t *settled_json(struct mf_state *state, int64_t at_us)
{
    bool proven = true;
    struct mf_error err = {0};
    return json_boolean(at_us == 0 || (mf_state_proven_since(state, at_us, &proven, &err) == 0 && proven));
}

static int64_t diverged_rows(struct mf_state *state)
{
    int64_t rows, at_us;
    mf_state_diverged_summary(state, &rows, &at_us);
    return rows;
}

/* sampled: the position of now is of its origin; right after a move it is still of the other one. */
static json_t *stream_json(struct mf_migration *m, struct mf_pipe *pipe, bool sampled)
{
    struct mf_capture_stats c;
    struct mf_apply_stats a;
    struct mf_spool_stats s;
    mf_pipe_stats(pipe, &c, &a, &s);
    bool by_server = !pipe->capture && !pipe->by_pass;
    uint64_t now = sampled && m->source_now.order > c.received.order ? m->source_now.order : c.received.order;
    uint64_t lag = mf_pipe_behind(pipe, now);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:I, s:f}", "source_position", sampled ? m->source_now.token : c.received.token,
                  "spooled_position", s.durable.token, "applied_position", a.applied.token, "lag_bytes",
                  (json_int_t)lag, "lag_seconds", mf_lag_seconds(m, pipe));
    if (by_server) {
        put_int(o, "lag_transactions", (int64_t)(now > a.reached ? now - a.reached : 0));
    }
    put_int(o, "transactions", (int64_t)a.transactions);
    put_int(o, "changes_captured", (int64_t)c.changes);
    put_int(o, "changes_applied", (int64_t)a.changes);
    put_int(o, "rows_written", (int64_t)a.rows_written);
    put_int(o, "windows", (int64_t)a.windows);
    put_int(o, "careful_windows", (int64_t)a.careful_windows);
    put_int(o, "rows_reread", (int64_t)a.reread);
    put_int(o, "diverged_rows", diverged_rows(m->state));
    put_int(o, "own_dropped", (int64_t)c.own_dropped);
    put_int(o, "wrong_side_writes", (int64_t)c.wrong_side);
    put_int(o, "spool_bytes", (int64_t)s.bytes_on_disk);
    put_int(o, "spool_budget", (int64_t)s.budget_bytes);
    json_object_set_new(o, "stalled_on_budget", json_boolean(c.stalled_on_budget));
    json_object_set_new(o, "changes_per_second", json_real(m->changes_per_second));
    json_object_set_new(o, "apply_latency_seconds", json_real((double)a.latency_us / 1e6));
    return o;
}

/* Nothing streams: the same document, without positions. The lag is known to grow, or not known. */
static json_t *no_stream_json(struct mf_migration *m)
{
    bool ended = m->ending || mf_has_ended(m);
    double lag = ended ? -1 : mf_lag_unheard(m);
    return json_pack("{s:n, s:n, s:n, s:i, s:o, s:f}", "source_position", "spooled_position", "applied_position",
                     "lag_bytes", 0, "lag_seconds", lag < 0 ? json_null() : json_real(lag), "changes_per_second", 0.0);
}

/* Until when the way back was promised; only a cutover begins that time, and only complete ends it. */
static void put_window(json_t *o, struct mf_state *state, bool on_target, int64_t window_ms)
{
    int64_t moved_us = mf_state_int(state, "moved_us", 0), until_us = moved_us + window_ms * 1000;
    bool counts = on_target && moved_us > 0 && mf_state_int(state, "one_way", 0) == 0;
    json_object_set_new(o, "rollback_until", counts ? json_real((double)until_us / 1e6) : json_null());
    json_object_set_new(o, "rollback_window_over", json_boolean(counts && mf_wall_us() > until_us));
}

static json_t *base_status(struct mf_state *state, const char *migration, const char *phase, int64_t window_ms)
{
    char writer[16] = "source", error[1100] = "";
    bool found;
    mf_state_get(state, "writer", writer, sizeof writer, &found, NULL);
    struct mf_reads reads;
    bool frozen = strcmp(writer, "none") == 0;
    if (frozen) { /* it is still the side whose writes count */
        snprintf(writer, sizeof writer, "source");
        mf_state_get(state, "frozen", writer, sizeof writer, &found, NULL);
    }
    mf_state_get(state, "last_error", error, sizeof error, &found, NULL);
    mf_reads_load(state, strcmp(writer, "target") == 0, &reads);
    json_t *tables = json_array();
    mf_state_tables(state, table_json, tables, NULL);
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:o, s:f, s:I, s:I}", "migration", migration, "phase", phase, "writes",
                          writer, "reads_percent", (json_int_t)reads.percent, "tables", tables, "pause_ms",
                          (double)mf_state_int(state, "pause_us", 0) / 1000, "cutovers",
                          (json_int_t)mf_state_int(state, "cutovers", 0), "wrong_side_writes",
                          (json_int_t)mf_state_wrong_side_count(state));
    json_object_set_new(o, "reads", mf_reads_json(&reads));
    enum mf_native native = mf_native_at(state);
    bool by_server = native == MF_NATIVE_ATTACHING || native == MF_NATIVE_ATTACHED;
    json_object_set_new(o, "mode", json_string(by_server ? "native" : "stream"));
    json_object_set_new(o, "last_error", error[0] ? json_string(error) : json_null());
    char unmigrated[16384] = "[]";
    mf_state_get(state, "unmigrated", unmigrated, sizeof unmigrated, &found, NULL);
    json_t *list = json_loads(unmigrated, 0, NULL);
    json_object_set_new(o, "unmigrated_tables", list ? list : json_array());
    json_object_set_new(o, "frozen", json_boolean(frozen));
    int64_t rows, diverged_us;
    mf_state_diverged_summary(state, &rows, &diverged_us);
    json_object_set_new(o, "diverged_settled", settled_json(state, diverged_us));
    json_object_set_new(o, "wrong_side_settled", settled_json(state, mf_state_wrong_side_last(state)));
    put_window(o, state, strcmp(writer, "target") == 0, window_ms);
    return o;
}

/* As flags are answered at this moment, which may be before the control thread has come to tell it. */
static void put_reads(struct mf_migration *m, json_t *o)
{
    struct mf_flags_view v;
    mf_migration_flags(m, &v);
    if (v.writer == MF_FLAGS_UNKNOWN) {
        return;
    }
    json_object_set_new(o, "reads_percent", json_integer(v.percent));
    if (v.lapsed) {
        json_object_set_new(json_object_get(o, "reads"), "taken_back",
                            json_string("their guard has not been looked at in time"));
    }
}

/* The migration's own error, or what a stream is trying again. */
static void put_error(struct mf_migration *m, json_t *o)
{
    struct mf_error e = m->last_error;
    struct mf_pipe *const pipes[] = {m->forward, m->reverse};
    for (size_t i = 0; i < MF_ARRAY_LEN(pipes) && !e.text[0]; i++) {
        if (pipes[i]) {
            mf_pipe_trouble(pipes[i], &e);
        }
    }
    if (e.text[0]) {
        json_object_set_new(o, "last_error", json_string(e.text));
    }
}

/* What keeps the live stream from going on at this moment. */
static void put_trouble(struct mf_pipe *live, json_t *o)
{
    struct mf_error e = {0};
    if (live) {
        mf_pipe_trouble(live, &e);
    }
    json_t *text = e.cls != MF_OK ? json_string(e.text) : NULL;
    json_object_set_new(o, "trouble", text ? text : json_null());
}

json_t *mf_migration_status(struct mf_migration *m)
{
    MF_LOCK_SCOPE(&m->lock);
    json_t *o = base_status(m->state, m->config->migration, mf_phase_of(m), m->config->rollback_window_ms);
    json_object_set_new(o, "running", json_true());
    json_object_set_new(o, "streams_open", json_boolean(m->open));
    if (m->unmigrated) {
        json_object_set(o, "unmigrated_tables", m->unmigrated);
    }
    json_object_set_new(o, "step", json_string(m->step));
    put_error(m, o);
    put_reads(m, o);
    json_object_set_new(o, "copy", copy_json(m->state, m->copy));
    json_object_set_new(o, "verify", verify_json(m->state, m->verify));
    json_object_set_new(o, "quarantine", json_pack("{s:I}", "rows", (json_int_t)m->quarantined));
    struct mf_pipe *live = mf_live_pipe(m);
    put_trouble(live, o);
    if (live) {
        json_object_set_new(o, "stream", stream_json(m, live, m->sampled_pipe == live));
        struct mf_pipe *other = live == m->forward ? m->reverse : m->forward;
        json_object_set_new(o, "other_stream", other ? stream_json(m, other, false) : json_null());
    } else {
        json_object_set_new(o, "stream", no_stream_json(m));
        json_object_set_new(o, "other_stream", json_null());
    }
    json_object_set_new(o, "dual_writes", mf_dual_json(m));
    json_object_set_new(o, "passes", mf_passes_json(m));
    json_object_set_new(o, "cutover_step", m->cutover ? json_string(mf_cutover_at(m->cutover)) : json_null());
    return o;
}

int mf_migration_status_from_state(const char *state_dir, json_t **ret, struct mf_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/state.db", state_dir);
    if (access(path, R_OK) < 0) {
        mf_fail(err, MF_USAGE, "MFNOSTATE", "there is no migration in %s", state_dir);
        mf_hint(err, "Name its state directory with --state, or begin one with midflight run.");
        return -1;
    }
    struct mf_state *state = NULL;
    if (mf_state_open(state_dir, &state, err) < 0) {
        return -1;
    }
    char migration[64] = "";
    bool found;
    struct mf_migration shell = {.state = state};
    mf_state_get(state, "migration", migration, sizeof migration, &found, NULL);
    mf_state_get(state, "step", shell.step, sizeof shell.step, &found, NULL);
    bool ended = mf_has_ended(&shell);
    bool failed = !ended && mf_state_int(state, "failed", 0) == 1;
    json_t *o = base_status(state, migration, failed ? "failed" : mf_phase_of(&shell),
                            mf_state_int(state, "rollback_window_ms", 0));
    json_object_set_new(o, "running", json_false());
    json_object_set_new(o, "streams_open", json_false());
    json_object_set_new(o, "trouble", json_null());
    json_object_set_new(o, "step", json_string(shell.step));
    json_object_set_new(o, "copy", copy_json(state, NULL));
    json_object_set_new(o, "verify", verify_json(state, NULL));
    json_object_set_new(o, "quarantine", json_pack("{s:I}", "rows", (json_int_t)mf_state_int(state, "quarantined", 0)));
    json_object_set_new(o, "stream", no_stream_json(&shell));
    json_object_set_new(o, "other_stream", json_null());
    json_object_set_new(o, "dual_writes", mf_dual_none_json("midflight does not run"));
    json_object_set_new(o, "passes", json_null());
    mf_state_close(state);
    *ret = o;
    return 0;
}
