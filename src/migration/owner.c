/* Whose the migration is, and that one process at a time runs it.
 *
 * What was acknowledged to the source is kept in the spool of one state directory, and which chunk is which in its state alone: a
 * second directory that took the migration over would begin tables again that the application writes to. So both databases
 * name the directory a migration belongs to, by a token that was made with its state, and every start asks them before it does
 * anything else. The run lock, held in the target for the life of the process, excludes what the token cannot: two processes
 * with copies of one directory. The walsender of a slot is ended (connector/postgres/slot.c) only by who holds it. */
#include "migration/internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define TOKEN        32 /* hexadecimal digits */
#define LOCK_WAIT_MS 10000
#define RETAKE_US    1000000

/* "token host path": made once with the state; where it is may change, when the directory is moved. */
static int own_words(struct mf_migration *m, struct mf_error *err)
{
    char token[TOKEN + 1] = "", host[256] = "?", path[PATH_MAX];
    unsigned char random[TOKEN / 2];
    bool found = false;
    if (mf_state_get(m->state, "owner", token, sizeof token, &found, err) < 0) {
        return -1;
    }
    if (!found) {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
            return mf_fail(err, MF_FATAL, "MFOS", "the system gives no random numbers");
        }
        for (size_t i = 0; i < sizeof random; i++) {
            snprintf(token + 2 * i, 3, "%02x", random[i]);
        }
        if (mf_state_set(m->state, "owner", token, err) < 0) {
            return -1;
        }
    }
    gethostname(host, sizeof host - 1);
    snprintf(m->owner, sizeof m->owner, "%s %s %s", token, host,
             realpath(m->config->state_dir, path) ? path : m->config->state_dir);
    return 0;
}

static int not_ours(const struct mf_migration *m, const struct mf_db *db, const char *theirs, struct mf_error *err)
{
    const char *host = theirs + strcspn(theirs, " "), *mine = m->owner + strcspn(m->owner, " ");
    const char *path = *host ? host + 1 + strcspn(host + 1, " ") : host;
    const char *side = db->side == MF_SOURCE ? "source" : "target";
    if (strcmp(host, mine) == 0) {
        mf_fail(err, MF_FATAL, "MFTWICE",
                "this migration (%s) was begun from the state directory%s, but what that directory remembered of it is "
                "gone: state.db was removed or damaged (asked: the %s)",
                m->config->migration, path, side);
        mf_hint(
            err,
            "Put the directory back from a copy, with its spool and state.db-wal. If there is none: midflight cancel "
            "--force (complete --force when the target takes the writes) cleans both databases up, then begin again "
            "with an empty directory.");
        return -1;
    }
    mf_fail(err, MF_FATAL, "MFTWICE",
            "this migration (%s) belongs to the state directory%s on host %.*s (asked: the %s); nothing was done",
            m->config->migration, path, (int)strcspn(host + (*host != 0), " "), host + (*host != 0), side);
    mf_hint(
        err,
        "Run it from that directory, or bring the whole directory here, spool included. If it is lost for good: "
        "midflight "
        "cancel --force (complete --force when the target takes the writes) cleans both databases up from here, then "
        "begin again. For another migration of the same databases choose another name (migration:).");
    return -1;
}

static int ask(struct mf_migration *m, struct mf_db *db, bool claim, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    char theirs[MF_OWNER_MAX];
    if (db->connector->traffic->owner(db, &id, claim ? m->owner : NULL, theirs, sizeof theirs, err) < 0) {
        mf_error_prefix(err, "asking the %s whose migration this is", db->side == MF_SOURCE ? "source" : "target");
        return -1;
    }
    return !theirs[0] || strncmp(theirs, m->owner, TOKEN + 1) == 0 ? 0 : not_ours(m, db, theirs, err);
}

static int take_lock(struct mf_migration *m, int wait_ms, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    return m->target->connector->traffic->run_lock(m->target, &id, wait_ms, &m->run_lock, err);
}

/* What a run that was killed left behind makes the source's commits wait for nobody. When it cannot be put back the streams go on
 * from here all the same, and answer. */
static void end_waits(struct mf_migration *m)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, MF_FORWARD);
    struct mf_error err = {0};
    char said[300] = "";
    if (m->source->connector->source->waits_end(m->source, &id, said, sizeof said, &err) < 0) {
        mf_log_error_at(MF_WARN, "dual-writes", &err);
    } else if (said[0]) {
        mf_log(MF_WARN, "dual-writes", "%s", said);
    }
}

int mf_own_begin(struct mf_migration *m, bool force, struct mf_error *err)
{
    if (own_words(m, err) < 0 || (!force && (ask(m, m->source, false, err) < 0 || ask(m, m->target, false, err) < 0))) {
        return -1;
    }
    if (take_lock(m, LOCK_WAIT_MS, err) < 0) {
        return -1;
    }
    end_waits(m); /* before anything is committed there that would wait as well */
    return 0;
}

int mf_own_claim(struct mf_migration *m, struct mf_error *err)
{
    return ask(m, m->source, true, err) < 0 || ask(m, m->target, true, err) < 0 ? -1 : 0;
}

/* A session that was lost is replaced. Another process may hold the lock for as long as a dying session may take; what holds it longer
 * is another run. */
int mf_own_keep(struct mf_migration *m, struct mf_error *err)
{
    struct mf_error e = {0};
    int64_t now = mf_now_us();
    const struct mf_traffic_ops *traffic = m->target->connector->traffic;
    if (m->lock_lost_us == 0) {
        if (traffic->run_lock_check(m->run_lock, &e) == 0) {
            return 0;
        }
        mf_error_prefix(&e, "the session that keeps other runs away was lost and is opened again");
        mf_log_error_at(MF_WARN, "run", &e);
        m->lock_lost_us = now;
        m->lock_next_us = 0;
    }
    if (now < m->lock_next_us) {
        return 0;
    }
    traffic->run_lock_release(m->run_lock);
    m->run_lock = NULL;
    if (take_lock(m, 0, &e) == 0) {
        m->lock_lost_us = 0;
        return 0;
    }
    m->lock_next_us = mf_now_us() + RETAKE_US;
    bool twice = strcmp(e.code, "MFTWICE") == 0;
    int64_t bound_ms = twice && m->config->retry_ms > LOCK_WAIT_MS ? LOCK_WAIT_MS : m->config->retry_ms;
    if (now - m->lock_lost_us > bound_ms * 1000 || (e.cls != MF_RETRY && !twice)) {
        *err = e;
        err->cls = MF_FATAL;
        return -1;
    }
    return 0;
}

void mf_own_end(struct mf_migration *m)
{
    if (m->run_lock) {
        if (m->config->dual_writes == MF_DUAL_WRITES_ON) {
            end_waits(m); /* a stream that broke could not leave */
        }
        m->target->connector->traffic->run_lock_release(m->run_lock);
        m->run_lock = NULL;
    }
}
