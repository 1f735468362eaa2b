/*
 * Whether commits wait for our stream at this moment.
 *
 * What the settings say is not enough. A session shows a reload before it works: that COMMIT waits at all is for the checkpointer to
 * say, which may be busy, and no view tells; and each walsender counts by the settings it has read itself. So after every reload a COMMIT of our own is seen waiting
 * (wait_event SyncRep, looked for by the server itself, which is quick enough to catch it), and the walsenders' priorities must be those that the setting gives them.
 * A reload is noticed by the time of the last one, in one session that is kept for that: what was switched off and on again between two questions is proven anew.
 */
#include "connector/postgres/standby.h"

#include "base/clock.h"
#include "base/str.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 2000
#define SPIN_MS   300
#define GRACE_US  (100 * MF_US_PER_MS) /* of the COMMIT that was seen, before it is let go */

struct asked {
    struct pg_standby_setting s;
    char name[PG_STANDBY_NAME], loaded[64], commit[16];
    struct mf_position at;
    PGresult *walsenders;
};

static void asked_free_p(struct asked *a)
{
    pg_standby_setting_free_p(&a->s);
    PQclear(a->walsenders);
}

static int read_position(PGconn *c, struct mf_position *ret, char *ret_loaded, size_t n, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    uint64_t lsn;
    if (pg_query(c, &r, err, "SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_conf_load_time()::text") <
        0) {
        return -1;
    }
    if (!pg_parse_lsn(PQgetvalue(r, 0, 0), &lsn)) {
        return mf_fail(err, MF_FATAL, "MFPOS", "the server answered \"%s\" for a position in its log",
                       PQgetvalue(r, 0, 0));
    }
    pg_position(lsn, ret);
    mf_strlcpy(ret_loaded, PQgetvalue(r, 0, 1), n);
    return 0;
}

/* The others' columns are null for a role that may not see them. */
static int read_all(PGconn *c, const struct mf_pipe_id *pipe, struct asked *ret, struct mf_error *err)
{
    char slot[PG_SLOT_NAME];
    const char *const values[] = {slot};
    pg_pipe_name(pipe, slot);
    pg_standby_name(pipe, ret->name);
    return pg_standby_read(c, &ret->s, err) < 0 ||
                   pg_query_params(c, &ret->walsenders, err,
                                   "SELECT r.application_name, r.state, r.sync_state, r.sync_priority, s.slot_name IS "
                                   "NOT NULL FROM pg_catalog.pg_stat_replication r LEFT JOIN "
                                   "pg_catalog.pg_replication_slots s ON s.active_pid = r.pid AND s.slot_name = $1",
                                   1, values) < 0 ||
                   pg_query_text(c, ret->commit, sizeof ret->commit, err,
                                 "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'") <
                       0 ||
                   read_position(c, &ret->at, ret->loaded, sizeof ret->loaded, err) < 0
               ? -1
               : 0;
}

/* ---- what they say ---- */

struct seen {
    bool here;     /* our walsender is there */
    bool settling; /* one does not count by the settings yet, or ours has not caught up */
    int others;    /* who are waited for, too */
};

static void say_not_named(const struct asked *a, char *why, size_t n)
{
    char statement[200];
    if (!a->s.parsed || !pg_standby_names_all(&a->s.names)) {
        snprintf(why, n, "synchronous_standby_names ('%.60s') lets others answer in midflight's place", a->s.text);
        return;
    }
    pg_standby_statement(&a->s, a->name, true, statement, sizeof statement);
    snprintf(why, n, "midflight is not in synchronous_standby_names%s: %s",
             a->s.may ? "" : ", and its role may not put it there", statement);
}

/* One row of pg_stat_replication. */
static void look_at(const struct asked *a, int row, struct seen *seen)
{
    const PGresult *r = a->walsenders;
    bool ours = pg_get_bool(r, row, 4);
    seen->here |= ours;
    if (PQgetisnull(r, row, 0) || PQgetisnull(r, row, 3)) {
        return;
    }
    int64_t priority = pg_get_i64(r, row, 3);
    int named = pg_standby_names_priority(&a->s.names, PQgetvalue(r, row, 0));
    seen->others += !ours && (named > 0 || priority > 0);
    seen->settling |= priority != named;
    if (ours) {
        const char *count = PQgetvalue(r, row, 2);
        seen->settling |=
            !mf_streq(PQgetvalue(r, row, 1), "streaming") || (!mf_streq(count, "sync") && !mf_streq(count, "quorum"));
    }
}

/* False: not, and why says so, or it will be known in a moment ("" then). */
static bool all_wait(const struct asked *a, char *why, size_t n)
{
    struct seen seen = {0};
    mf_strlcpy(why, "", n);
    if (!a->s.parsed || pg_standby_names_priority(&a->s.names, a->name) == 0) {
        say_not_named(a, why, n);
        return false;
    }
    for (int i = 0; i < PQntuples(a->walsenders); i++) {
        look_at(a, i, &seen);
    }
    int named = pg_standby_names_others(&a->s.names, a->name);
    if (named >= a->s.names.num || seen.others >= a->s.names.num) {
        snprintf(why, n, "synchronous_standby_names ('%.60s') lets others answer in midflight's place", a->s.text);
    }
    return !*why && seen.here && !seen.settling;
}

/* ---- a COMMIT that is seen waiting ---- */

static const char spin[] =
    "DO $$ DECLARE t timestamptz := clock_timestamp(); s boolean; BEGIN LOOP"
    " SELECT a.wait_event = 'SyncRep' INTO s FROM pg_catalog.pg_stat_get_activity(%s) a;"
    " EXIT WHEN s OR clock_timestamp() > t + interval '%d ms'; END LOOP;"
    " PERFORM pg_catalog.set_config('midflight.waited', coalesce(s, false)::text, false); END $$";

/* The server goes on committing when nobody listens any more: it is told to, since with a target that is stopped it would wait with every other. */
static void let_go(PGconn *c)
{
    int64_t until = mf_now_us() + GRACE_US;
    struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
    char message[64];
    while (PQconsumeInput(c) && PQisBusy(c) && mf_now_us() < until) {
        poll(&p, 1, 10);
    }
    if (PQstatus(c) == CONNECTION_OK && PQisBusy(c)) {
        PGcancel *cancel = PQgetCancel(c);
        if (cancel) {
            PQcancel(cancel, message, sizeof message);
            PQfreeCancel(cancel);
        }
    }
}

static int see_one_wait(struct pg_db *db, bool *ret, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    char pid[32], sql[512], seen[16];
    if (pg_connect(db, "whether commits wait", 0, &c, err) < 0 ||
        pg_query_text(c, pid, sizeof pid, err, "SELECT pg_catalog.pg_backend_pid()") < 0) {
        return -1;
    }
    snprintf(sql, sizeof sql, spin, pid, SPIN_MS);
    if (!PQsendQuery(db->asker, sql)) {
        return pg_fail_conn(db->asker, err);
    }
    if (!PQsendQuery(c, "BEGIN; SET LOCAL synchronous_commit = on;"
                        " SELECT pg_catalog.pg_logical_emit_message(true, 'midflight', ''); COMMIT")) {
        struct mf_error ignored = {0};
        pg_drain(db->asker, &ignored);
        return pg_fail_conn(c, err);
    }
    int rc = pg_drain(db->asker, err);
    let_go(c);
    if (rc < 0 || pg_query_text(db->asker, seen, sizeof seen, err,
                                "SELECT pg_catalog.current_setting('midflight.waited', true)") < 0) {
        return -1;
    }
    *ret = mf_streq(seen, "true");
    return 0;
}

/* ---- asking ---- */

static int open_asker(struct pg_db *db, struct mf_error *err)
{
    if (db->asker && PQstatus(db->asker) == CONNECTION_OK && PQtransactionStatus(db->asker) == PQTRANS_IDLE) {
        return 0;
    }
    PQfinish(db->asker);
    db->asker = NULL;
    db->loaded[0] = '\0'; /* what was reloaded meanwhile it does not know */
    return pg_connect(db, "ask", pg_local(db), &db->asker, err) < 0 || pg_set_timeouts(db->asker, ANSWER_MS, 0, err) < 0
               ? -1
               : 0;
}

static int ask(struct pg_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret, struct mf_error *err)
{
    MF_CLEANUP(asked_free_p) struct asked a = {0};
    struct mf_commit_wait w = {0};
    if (open_asker(db, err) < 0 || read_all(db->asker, pipe, &a, err) < 0) {
        return -1;
    }
    if (!mf_streq(a.loaded, db->loaded)) {
        mf_strlcpy(db->loaded, a.loaded, sizeof db->loaded);
        db->reloads++;
        db->wait_seen = false;
    }
    w.waits = all_wait(&a, w.why, sizeof w.why);
    w.at = a.at;
    if (w.waits && !db->wait_seen) {
        /* What was answered before it was seen may not have waited: the position is one from after it. */
        if (see_one_wait(db, &db->wait_seen, err) < 0 ||
            read_position(db->asker, &w.at, a.loaded, sizeof a.loaded, err) < 0) {
            return -1;
        }
        w.waits = db->wait_seen && mf_streq(a.loaded, db->loaded);
    }
    w.lapses = db->reloads;
    if (mf_streq(a.commit, "off") || mf_streq(a.commit, "local")) {
        snprintf(w.note, sizeof w.note,
                 "for transactions that ask for it (SET LOCAL synchronous_commit = remote_apply): the default is %s",
                 a.commit);
    }
    pg_standby_statement(&a.s, a.name, false, w.release, sizeof w.release);
    *ret = w;
    return 0;
}

int pg_commits_wait(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret, struct mf_error *err)
{
    struct pg_db *db = pg_db_of(base);
    MF_LOCK_SCOPE(&db->asking);
    if (ask(db, pipe, ret, err) < 0) {
        mf_error_prefix(err, "asking whether commits wait for us");
        return -1;
    }
    return 0;
}
