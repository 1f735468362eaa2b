/* What a cutover left behind, read from where the truth is: the epoch rows of both databases. And the small helpers. */
#include "cutover/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define WAIT_MS   10000 /* the least that a table's lock is waited for while gates are put up */
#define SETTLE_MS 2000

const char *mf_cutover_side(const struct mf_db *db)
{
    return db->side == MF_SOURCE ? "source" : "target";
}

void mf_cutover_direction(const struct mf_cutover *c, char *out, size_t n)
{
    snprintf(out, n, "%s -> %s", mf_cutover_side(c->o.from), mf_cutover_side(c->o.to));
}

struct mf_gate_options mf_cutover_gate(const struct mf_cutover_options *o)
{
    const struct mf_config *config = o->config;
    int64_t wait = 4 * o->max_pause_ms > WAIT_MS ? 4 * o->max_pause_ms : WAIT_MS;
    return (struct mf_gate_options){
        .lock_ms = (int)config->cutover.lock_ms,
        .total_ms = (int)(wait < config->cutover.prepare_ms ? wait : config->cutover.prepare_ms),
        .max_wait_ms = (int)o->max_pause_ms,
        .long_transactions = config->cutover.long_transactions == MF_POLICY_END       ? MF_LONG_END
                             : config->cutover.long_transactions == MF_POLICY_ABANDON ? MF_LONG_ABANDON
                                                                                      : MF_LONG_WAIT,
        .stop = o->stop,
        .stop_ctx = o->ctx,
    };
}

int mf_cutover_ungate(const struct mf_cutover_options *o, struct mf_db *db, struct mf_error *err)
{
    struct mf_gate_options g = {.lock_ms = 100, .total_ms = 1000, .long_transactions = MF_LONG_WAIT};
    int rc = db->connector->traffic->gate_remove(db, &o->id, &g, err);
    if (rc < 0 && err->cls == MF_CRASH) {
        return -1;
    }
    if (rc < 0) {
        mf_error_prefix(err, "the gates of the %s stay, open, until the next cutover, start or cancel",
                        mf_cutover_side(db));
    }
    mf_state_set_int(o->state, "gates_left", rc < 0, NULL);
    return rc;
}

bool mf_cutover_arrived(struct mf_pipe *pipe, const struct mf_position *p)
{
    struct mf_position at;
    mf_apply_position(pipe->apply, &at);
    if (mf_position_reached(&at, p)) {
        return true;
    }
    mf_apply_want_checkpoint(pipe->apply);
    return false;
}

/* In the pause a hook has what is left of it. */
static int64_t hook_within_ms(const struct mf_cutover *c)
{
    int64_t left = (c->deadline_us - mf_now_us()) / 1000, allowed = c->o.config->hooks.timeout_ms;
    if (!c->hold) {
        return 0;
    }
    return left < 1 ? 1 : allowed > 0 && allowed < left ? allowed : left;
}

int mf_cutover_hook(struct mf_cutover *c, const char *name, bool back, struct mf_error *err)
{
    if (!name || !c->o.run_hook) {
        return 0;
    }
    char from[32], to[32], epoch[48], pause[48];
    snprintf(from, sizeof from, "MIDFLIGHT_FROM=%s", mf_cutover_side(back ? c->o.to : c->o.from));
    snprintf(to, sizeof to, "MIDFLIGHT_TO=%s", mf_cutover_side(back ? c->o.from : c->o.to));
    snprintf(epoch, sizeof epoch, "MIDFLIGHT_EPOCH=%" PRIu64, c->epoch.epoch - (back && c->epoch.epoch ? 1 : 0));
    snprintf(pause, sizeof pause, "MIDFLIGHT_MAX_PAUSE_MS=%" PRId64, c->o.max_pause_ms);
    const char *const facts[] = {from, to, epoch, pause, NULL};
    return c->o.run_hook(c->o.ctx, name, facts, hook_within_ms(c), err);
}

/* Everything status says about a cutover, at once. A pause of -1 is not known. */
static int record(const struct mf_cutover_options *o, const char *writer, int64_t pause_us, bool moved,
                  struct mf_error *err)
{
    char cutovers[32], pause[32], at[32], window[32];
    snprintf(cutovers, sizeof cutovers, "%" PRId64, mf_state_int(o->state, "cutovers", 0) + (moved ? 1 : 0));
    snprintf(pause, sizeof pause, "%" PRId64, pause_us < 0 ? 0 : pause_us);
    snprintf(at, sizeof at, "%" PRId64, mf_wall_us());
    snprintf(window, sizeof window, "%" PRId64, o->config->rollback_window_ms);
    const struct mf_fact facts[] = {
        {"writer", writer}, {"cutovers", cutovers},         {"pause_us", pause},
        {"moved_us", at},   {"rollback_window_ms", window},
    };
    return mf_state_set_all(o->state, facts, moved ? MF_ARRAY_LEN(facts) : 1, err);
}

int mf_cutover_record(struct mf_cutover *c, struct mf_error *err)
{
    return c->o.dry_run ? 0 : record(&c->o, mf_cutover_side(c->o.to), c->pause_us, true, err);
}

/* ---- after a start, or when a decision's outcome is not known ---- */

/* The last cutover or rollback that was begun, as the journal has it. */
struct attempt {
    char to[16];
    bool unfinished, hook_ran;
    int64_t held_wall_us;
};

static int read_attempt(void *ctx, int64_t wall_us, const char *step, const char *detail)
{
    struct attempt *a = ctx;
    if (detail && strstr(detail, "(dry run)")) {
        return 0;
    }
    if (strcmp(step, "abandoned") == 0 || strcmp(step, "done") == 0) {
        a->unfinished = a->hook_ran = false;
        return 0;
    }
    if (strcmp(step, "guards") == 0) {
        *a = (struct attempt){0};
    }
    if (detail && strstr(detail, "-> ")) {
        mf_strlcpy(a->to, strstr(detail, "-> ") + 3, sizeof a->to);
    }
    a->unfinished = true;
    a->hook_ran = a->hook_ran || strcmp(step, "hook_ran") == 0;
    a->held_wall_us = strcmp(step, "hold") == 0 ? wall_us : a->held_wall_us;
    return 0;
}

/* A decision stands in the database that lost the right to write; the winner may not know yet. */
static int finish(const struct mf_cutover_options *o, struct mf_db *winner, const struct mf_epoch *decided,
                  const struct mf_epoch *known, struct mf_error *err)
{
    if (known->epoch >= decided->epoch) {
        return 0;
    }
    if (o->promote && o->promote(o->ctx, err) < 0) {
        return -1;
    }
    struct mf_epoch e = *decided;
    e.open = true;
    mf_log(MF_WARN, "cutover", "finishing a cutover that was decided: the %s takes writes from epoch %" PRIu64,
           mf_cutover_side(winner), e.epoch);
    return winner->connector->traffic->epoch_write(winner, &o->id, &e, err);
}

/* The side that lost the right to write and does not know it any more: a standby took over that had not the decision, or it was restored. */
static int close_again(const struct mf_cutover_options *o, struct mf_db *loser, const struct mf_epoch *decided,
                       const struct mf_epoch *known, struct mf_error *err)
{
    if (known->epoch >= decided->epoch || !known->open || mf_state_int(o->state, "cutovers", 0) == 0) {
        return 0;
    }
    struct mf_epoch e = *decided;
    e.open = false;
    mf_log(MF_ERROR, "cutover",
           "the %s has forgotten that it may not be written to (it knows epoch %" PRIu64 ", the last one is %" PRIu64
           "): it is closed again; compare both sides, writes it took meanwhile are not on the other one",
           mf_cutover_side(loser), known->epoch, decided->epoch);
    return loser->connector->traffic->epoch_write(loser, &o->id, &e, err);
}

/* It was not decided: the server let go of the hold when the session died. Applications that a hook has moved come back, and gates that were
 * put up for a first cutover come down. */
static int undo(const struct mf_cutover_options *o, struct mf_db *source, struct mf_db *target, const struct attempt *a,
                uint64_t epoch, struct mf_error *err)
{
    bool to_target = strcmp(a->to, "target") == 0;
    struct mf_cutover c = {.o = *o, .epoch.epoch = epoch + 1};
    struct mf_error e = {0};
    c.o.from = to_target ? source : target;
    c.o.to = to_target ? target : source;
    if (a->unfinished && a->hook_ran && mf_cutover_hook(&c, to_target ? "on_rollback" : "on_cutover", true, &e) < 0) {
        mf_log_error("cutover", &e);
    }
    if (epoch == 0 && mf_cutover_ungate(o, source, &e) < 0) {
        if (e.cls == MF_CRASH) {
            *err = e;
            return -1;
        }
        mf_log_error_at(MF_WARN, "cutover", &e);
    }
    return a->unfinished ? mf_journal_add(o->state, "cutover", "abandoned", "undone after a restart", err) : 0;
}

/* What the databases say, for status. Only a change of sides is a cutover: a freeze and its end are not. */
static int repair(const struct mf_cutover_options *o, const char *writer, const struct attempt *a, struct mf_error *err)
{
    char known[16] = "source";
    bool found = false;
    if (mf_state_get(o->state, "writer", known, sizeof known, &found, err) < 0) {
        return -1;
    }
    if (strcmp(known, writer) == 0) {
        return 0;
    }
    bool moved = strcmp(known, "none") != 0 && strcmp(writer, "none") != 0;
    int64_t pause_us = a->held_wall_us ? mf_wall_us() - a->held_wall_us : -1;
    if (record(o, writer, pause_us, moved, err) < 0) {
        return -1;
    }
    return moved ? mf_journal_add(o->state, "cutover", "done", "finished after a restart", err) : 0;
}

int mf_cutover_epochs(struct mf_db *source, struct mf_db *target, const struct mf_pipe_id *id, int settle_ms,
                      struct mf_epoch *ret_source, struct mf_epoch *ret_target, struct mf_error *err)
{
    return source->connector->traffic->settle(source, id, settle_ms, err) < 0 ||
                   target->connector->traffic->settle(target, id, settle_ms, err) < 0 ||
                   source->connector->traffic->epoch_read(source, id, ret_source, err) < 0 ||
                   target->connector->traffic->epoch_read(target, id, ret_target, err) < 0
               ? -1
               : 0;
}

int mf_cutover_resume(const struct mf_cutover_options *o, enum mf_writer *ret, struct mf_error *err)
{
    static const char *const names[] = {"source", "target", "none"};
    struct mf_db *source = o->from->side == MF_SOURCE ? o->from : o->to;
    struct mf_db *target = o->from->side == MF_SOURCE ? o->to : o->from;
    struct mf_epoch es = {0}, et = {0};
    struct attempt a = {0};
    if (mf_cutover_epochs(source, target, &o->id, SETTLE_MS, &es, &et, err) < 0 ||
        mf_journal_list(o->state, "cutover", read_attempt, &a, err) < 0) {
        return -1;
    }
    const struct mf_epoch *last = es.epoch >= et.epoch ? &es : &et;
    enum mf_writer writer = MF_WRITER_SOURCE;
    if (last->epoch > 0 && strcmp(last->writer, "target") == 0) {
        writer = MF_WRITER_TARGET;
        if (finish(o, target, last, &et, err) < 0 || close_again(o, source, last, &es, err) < 0) {
            return -1;
        }
    } else if (last->epoch > 0 && strcmp(last->writer, "none") == 0) {
        writer = MF_WRITER_NONE;
    } else if (last->epoch > 0 &&
               (finish(o, source, last, &es, err) < 0 || close_again(o, target, last, &et, err) < 0)) {
        return -1;
    }
    bool lost = a.unfinished && writer != MF_WRITER_NONE && strcmp(a.to, names[writer]) != 0;
    bool left = last->epoch == 0 && mf_state_int(o->state, "gates_left", 0) == 1;
    if ((lost || left) && undo(o, source, target, &a, last->epoch, err) < 0) {
        return -1;
    }
    if (repair(o, names[writer], &a, err) < 0) {
        return -1;
    }
    *ret = writer;
    return 0;
}

void mf_cutover_reference(FILE *out)
{
    fputs("# Cutover: the state machine\n\nGenerated from the table in src/cutover/cutover.c by `midflight reference "
          "cutover`; "
          "a rollback walks the same rows with the sides swapped.\n\n```\n",
          out);
    for (size_t i = 0; i < mf_cutover_nrows; i++) {
        fprintf(out, "%s%s", i ? " -> " : "", mf_cutover_rows[i].name);
    }
    fputs("\n```\n\n| step | holds when it is over | way back | in a dry run |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < mf_cutover_nrows; i++) {
        const struct mf_cutover_row *r = &mf_cutover_rows[i];
        fprintf(out, "| `%s` | %s | %s | %s |\n", r->name, r->sentence, r->way_back, r->in_dry_run ? "yes" : "no");
    }
}
