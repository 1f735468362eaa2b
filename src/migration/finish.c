/* complete and cancel: the end, with neither database keeping anything of ours. */
#include "migration/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define SETTLE_MS 10000

/* Who may write is asked of the databases: the state may be behind them (a process that died after a decision), or be a new one
 * (--force). The higher epoch is the last decision; a freeze stands in the database whose writes it stopped. Both 0: nothing
 * was decided, or an end has removed it already. */
static int writes_where(struct mf_migration *m, bool *ret_target, bool *ret_known, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_epoch s = {0}, t = {0};
    if (mf_cutover_epochs(m->source, m->target, &id, SETTLE_MS, &s, &t, err) < 0) {
        return -1;
    }
    const struct mf_epoch *last = s.epoch >= t.epoch ? &s : &t;
    *ret_known = last->epoch > 0;
    *ret_target =
        strcmp(last->writer, "none") == 0 ? last == &t : last->epoch > 0 && strcmp(last->writer, "target") == 0;
    return 0;
}

static const char *word_of(enum mf_request_kind kind)
{
    return kind == MF_REQ_COMPLETE ? "complete" : "cancel";
}

int mf_end_begun(struct mf_migration *m, enum mf_request_kind *ret, struct mf_error *err)
{
    char word[16] = "";
    if (mf_state_get(m->state, "ending", word, sizeof word, &m->ending, err) < 0) {
        return -1;
    }
    *ret = strcmp(word, "complete") == 0 ? MF_REQ_COMPLETE : MF_REQ_CANCEL;
    return 0;
}

bool mf_has_ended(const struct mf_migration *m)
{
    return strcmp(m->step, "completed") == 0 || strcmp(m->step, "cancelled") == 0;
}

static int may_end(struct mf_migration *m, const struct mf_request *r, struct mf_error *err)
{
    bool on_target = false, known = false;
    enum mf_request_kind begun = r->kind;
    if (m->ending && mf_end_begun(m, &begun, err) < 0) {
        return -1;
    }
    if (mf_has_ended(m)) {
        return mf_fail(err, MF_ABANDONED, "MFPHASE", "this migration has ended already (%s)", m->step);
    }
    if (begun != r->kind) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "%s has begun to clean up already", word_of(begun));
        mf_hint(err, "Run midflight %s again: it goes on from there.", word_of(begun));
        return -1;
    }
    if (writes_where(m, &on_target, &known, err) < 0) {
        return -1;
    }
    if (m->ending && !known) {
        return 0; /* it goes on: where it began, the databases said so */
    }
    if (r->kind == MF_REQ_COMPLETE && !on_target) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "writes are on the source: there is nothing to complete");
        mf_hint(err, "Run midflight cutover first, or midflight cancel to give up.");
        return -1;
    }
    if (r->kind == MF_REQ_CANCEL && on_target) {
        mf_fail(err, MF_ABANDONED, "MFPHASE", "writes are on the target: cancelling would leave the source behind");
        mf_hint(err, r->force ? "Run midflight complete --force to stay there; without the state directory there is no "
                                "way back."
                              : "Run midflight rollback first, or midflight complete to stay.");
        return -1;
    }
    return 0;
}

static int clean(struct mf_db *db, const struct mf_pipe_id *id, struct mf_error *err)
{
    if (db->connector->traffic->cleanup(db, id, err) < 0) {
        mf_error_prefix(err, "cleaning up the %s", db->side == MF_SOURCE ? "source" : "target");
        return -1;
    }
    return 0;
}

/* The hook may refuse; after that the end is recorded, and every later start goes on with it. */
static int begin_end(struct mf_migration *m, const struct mf_request *r, struct mf_error *err)
{
    bool complete = r->kind == MF_REQ_COMPLETE;
    if (m->ending) {
        return 0;
    }
    if ((complete && mf_run_hook(m, "on_complete", NULL, err) < 0) ||
        mf_journal_add(m->state, "migration", word_of(r->kind), "streams stop, both databases are cleaned up", err) <
            0 ||
        mf_state_set(m->state, "ending", word_of(r->kind), err) < 0) {
        return -1;
    }
    m->ending = true;
    return 0;
}

int mf_do_end(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    bool complete = r->kind == MF_REQ_COMPLETE;
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    if (may_end(m, r, err) < 0 || begin_end(m, r, err) < 0) {
        return -1;
    }
    mf_stop_streams(m);
    if (m->target->connector->replication->detach(m->target, &id, err) < 0) {
        mf_error_prefix(err, "ending the target's replication");
        return -1;
    }
    if (clean(m->source, &id, err) < 0 || clean(m->target, &id, err) < 0 ||
        mf_phase_enter(m, complete ? "completed" : "cancelled", err) < 0) {
        err->cls =
            err->cls == MF_ABANDONED ? MF_FATAL : err->cls; /* a part is cleaned up: it is not as it was before */
        mf_hint(err, "Run midflight %s again when the database can be reached: it goes on from here.",
                word_of(r->kind));
        return -1;
    }
    mf_state_set(m->state, "failed", "0", NULL); /* whatever ended the run before: this is the end */
    mf_state_set(m->state, "last_error", "", NULL);
    *reply = json_pack("{s:s}", "phase", complete ? "completed" : "cancelled");
    return 0;
}

enum mf_step mf_end_step(struct mf_migration *m, struct mf_error *err)
{
    struct mf_request r = {0};
    json_t *reply = NULL;
    if (mf_end_begun(m, &r.kind, err) < 0) {
        return MF_STEP_FAILED;
    }
    mf_log(MF_INFO, "migration", "going on with %s, which had begun to clean up", word_of(r.kind));
    if (mf_do_end(m, &r, &reply, err) < 0) {
        return MF_STEP_FAILED;
    }
    json_decref(reply);
    return MF_STEP_DONE;
}

int mf_migration_offline(const struct mf_config *config, const struct mf_request *r, json_t **ret_reply,
                         struct mf_error *err)
{
    struct mf_migration *m = NULL;
    if (mf_migration_open_as(config, r, &m, err) < 0) {
        return -1;
    }
    int rc = r->kind == MF_REQ_COMPLETE || r->kind == MF_REQ_CANCEL
                 ? mf_do_end(m, r, ret_reply, err)
                 : mf_fail(err, MF_USAGE, "MFNORUN", "no run of this migration is alive");
    mf_migration_free(m);
    return rc;
}
