/* mode: native. Rows come with the pipe, as in any migration; once everything is in step the stream gives way to the servers' own replication, and
 * comes back when writes are on the target (or when the mode is changed back). In between the forward pipe is one by_server, and everything
 * above it is as it was.
 *
 * What the state says (key "native") and what is true while it says so:
 *   -          the stream carries the changes
 *   attaching  the stream is closed for good. The target stands at its own checkpoint; it may follow by itself already
 *   attached   the target follows by itself; nothing of the forward stream is kept
 *   over       it follows nobody. The stream goes on from the checkpoint that detach wrote
 * Each word is written before what it allows is begun, and each step may be done again from its beginning. */
#include "migration/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"

#define KEY "native"

static const char *const words[] = {"", "attaching", "attached", "over"};

enum mf_native mf_native_at(struct mf_state *state)
{
    char word[16] = "";
    bool found = false;
    mf_state_get(state, KEY, word, sizeof word, &found, NULL);
    for (int i = 0; found && i < (int)MF_ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    return MF_NATIVE_NOT;
}

static int record(struct mf_migration *m, enum mf_native at, const char *sentence, struct mf_error *err)
{
    return mf_journal_add(m->state, "native", words[at], sentence, err) < 0 ||
                   mf_state_set(m->state, KEY, words[at], err) < 0
               ? -1
               : 0;
}

int mf_native_check(const struct mf_config *c, struct mf_db *source, struct mf_db *target,
                    const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    return c->mode == MF_MODE_NATIVE ? target->connector->replication->check(target, source, filter, out, err) : 0;
}

const struct mf_replication_options *mf_native_options(const struct mf_config *c, struct mf_replication_options *o)
{
    *o = (struct mf_replication_options){.host = c->native.host,
                                         .port = (int)c->native.port,
                                         .user = c->native.user,
                                         .password = c->native.password,
                                         .ca = c->native.ca};
    return c->mode == MF_MODE_NATIVE ? o : NULL;
}

/* ---- giving way ---- */

static void close_forward(struct mf_migration *m)
{
    pthread_mutex_lock(&m->lock);
    struct mf_pipe *forward = m->forward;
    m->forward = NULL;
    m->forward_runs = false;
    pthread_mutex_unlock(&m->lock);
    mf_pipe_close(forward);
}

static int clear_spool(struct mf_migration *m, struct mf_error *err)
{
    char dir[4096];
    mf_spool_dir(m, MF_FORWARD, dir, sizeof dir);
    struct mf_spool_storage *st = mf_spool_files(dir, (size_t)m->config->spool.segment_bytes, err);
    if (!st) {
        return -1;
    }
    int rc = mf_spool_clear(st, err);
    mf_spool_storage_free(st);
    return rc < 0 ? -1 : mf_state_set_int(m->state, mf_spool_used_key(MF_FORWARD), 0, err);
}

/* A row that the target has not, its server would stop for at the next change of it. */
static int nothing_kept_out(struct mf_migration *m, struct mf_error *err)
{
    int64_t rows = 0;
    if (mf_quarantine_count(m, MF_FORWARD, &rows, err) < 0) {
        return -1;
    }
    if (rows > 0) {
        mf_fail(
            err, MF_FATAL, "MFQUAR",
            "%lld rows are in quarantine: the target's own replication would stop at the next change of one of them",
            (long long)rows);
        mf_hint(err, "see midflight quarantine list and mend them, or set mode: stream; then start midflight again");
        return -1;
    }
    return 0;
}

/* Apply comes to a stand at the end of a transaction; where it stands is in the target. */
static int give_way(struct mf_migration *m, struct mf_error *err)
{
    if (MF_FAULT(err, "native.begin") || mf_hold_still(m, m->forward, err) < 0) {
        mf_let_go(m, m->forward);
        return -1;
    }
    m->standing = false;
    if (nothing_kept_out(m, err) < 0 ||
        record(m, MF_NATIVE_ATTACHING, "the stream ends here, the servers' own replication takes over", err) < 0) {
        mf_let_go(m, m->forward);
        return -1;
    }
    close_forward(m);
    return MF_FAULT(err, "native.closed")
    ? -1 : 0;
}

static int attach_work(struct mf_migration *m, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_replication_job job = {.tables = &m->source_tables,
                                     .only_these = m->filter.ninclude > 0 || m->filter.nexclude > 0};
    if (m->target->connector->target->checkpoint(m->target, &id, &job.from, err) < 0) {
        return -1;
    }
    if (mf_position_none(&job.from)) {
        return mf_fail(err, MF_FATAL, "MFREPLICA", "the target has no checkpoint to follow the source from");
    }
    if (m->target->connector->replication->attach(m->target, m->source, &id, &job, err) < 0) {
        mf_error_prefix(err, "making the target follow the source");
        return -1;
    }
    mf_log(MF_INFO, "native", "the target follows the source by itself from %.200s", job.from.token);
    return MF_FAULT(err, "native.attached")
    ? -1 : 0;
}

enum mf_step mf_native_begin(struct mf_migration *m, struct mf_error *err)
{
    if (mf_native_at(m->state) == MF_NATIVE_NOT && give_way(m, err) < 0) {
        return MF_STEP_FAILED;
    }
    if (mf_native_at(m->state) != MF_NATIVE_ATTACHING) {
        return MF_STEP_MORE;
    }
    enum mf_step step = mf_job_step(m, attach_work, err);
    if (step == MF_STEP_MORE &&
        (clear_spool(m, err) < 0 || record(m, MF_NATIVE_ATTACHED, "the target follows by itself", err) < 0)) {
        return MF_STEP_FAILED;
    }
    return step;
}

/* ---- coming back ---- */

int mf_native_promote(void *ctx, struct mf_error *err)
{
    struct mf_migration *m = ctx;
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    enum mf_native at = mf_native_at(m->state);
    if (at != MF_NATIVE_ATTACHED && at != MF_NATIVE_ATTACHING) {
        return 0;
    }
    return MF_FAULT(err, "native.promote")
    || m->target->connector->replication->detach(m->target, &id, err) < 0 ? -1 : 0;
}

/* Where the stream goes on. It will not see the decision that came before: who may write is noted for it. */
static int stream_from_here(struct mf_migration *m, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_position at = {0};
    return m->target->connector->target->checkpoint(m->target, &id, &at, err) < 0 || clear_spool(m, err) < 0 ||
                   m->source->connector->source->stream_skip(m->source, &id, &at, err) < 0 ||
                   (mf_writes_on_target(m) && mf_state_epoch_add(m->state, MF_FORWARD, &at, "target", err) < 0) ||
                   mf_state_set_position(m->state, "start.forward", &at, err) < 0
               ? -1
               : record(m, MF_NATIVE_OVER, "the stream goes on from where the target stood", err);
}

int mf_native_settle(struct mf_migration *m, struct mf_error *err)
{
    enum mf_native at = mf_native_at(m->state);
    bool given_up = m->config->mode != MF_MODE_NATIVE;
    if (at == MF_NATIVE_NOT && !given_up && mf_phase_past_native(m)) {
        mf_fail(err, MF_USAGE, "MFMODE", "this migration was begun with mode: stream and is past where native begins");
        mf_hint(err, "set mode: stream and go on; or cancel and begin anew");
        return -1;
    }
    if ((at != MF_NATIVE_ATTACHED && at != MF_NATIVE_ATTACHING) || (!given_up && !mf_writes_on_target(m))) {
        return 0;
    }
    mf_job_wait(m);
    close_forward(m);
    if (mf_native_promote(m, err) < 0 || MF_FAULT(err, "native.promoted") || stream_from_here(m, err) < 0) {
        return -1;
    }
    mf_log(MF_INFO, "native", "the target follows nobody by itself any more; midflight's stream goes on from there");
    return 0;
}
