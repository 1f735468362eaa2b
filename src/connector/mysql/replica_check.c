/* Whether the target can be made a replica of the source: what the servers refuse, and what they would do in silence. See check.h. */
#include "connector/mysql/check.h"
#include "connector/mysql/replica.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct pair {
    struct my_check source, target;
};

/* Release series in their order; a replica may be of the same as its source, or of the next. */
static int series(int version)
{
    static const int firsts[] = {50700, 80000, 80400, 90000};
    int n = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(firsts); i++) {
        n = version >= firsts[i] ? (int)i + 1 : n;
    }
    return n;
}

static void check_engines(struct pair *p)
{
    const struct my_db *s = p->source.db, *t = p->target.db;
    if (s->mariadb || t->mariadb) {
        my_check_say(&p->target, MF_BLOCKER, "native-engine", t->facts.host, "set mode: stream",
                     "mode: native is for MySQL into MySQL, and this is %s into %s", s->facts.engine, t->facts.engine);
        return;
    }
    int from = series(s->version), to = series(t->version);
    if (to != from && to != from + 1) {
        my_check_say(&p->target, MF_BLOCKER, "native-version", t->facts.host,
                     "set mode: stream, or go by way of the series between",
                     "a replica may be of its source's release series or of the next: %s cannot follow %s",
                     t->facts.version, s->facts.version);
    } else if (to == from && t->version < s->version) {
        my_check_say(&p->target, MF_WARNING, "native-older", t->facts.host,
                     "use a server of the source's release or a later one",
                     "a replica that is older (%s) than its source (%s) may not know what it is sent", t->facts.version,
                     s->facts.version);
    }
}

static void check_gtids(struct my_check *k)
{
    if (!k->db->gtid || strcasecmp(my_check_var(k, "enforce_gtid_consistency"), "ON") != 0) {
        my_check_say(
            k, MF_BLOCKER, "native-gtid", "gtid_mode",
            "set enforce_gtid_consistency = ON, then gtid_mode step by step to ON (OFF_PERMISSIVE, ON_PERMISSIVE, ON)",
            "gtid_mode is %s and enforce_gtid_consistency %s: a replica by position in GTIDs needs both ON",
            my_check_var(k, "gtid_mode"), my_check_var(k, "enforce_gtid_consistency"));
    }
}

/* What the target's server does with what it is sent. */
static void check_applier(struct my_check *k)
{
    bool logs = my_check_on(k, "log_slave_updates") || my_check_on(k, "log_replica_updates");
    if (!logs) {
        my_check_say(
            k, MF_BLOCKER, "native-log-updates", "log_slave_updates",
            "[mysqld] log_slave_updates = ON -- in the configuration; then restart the server",
            "the target does not log what it replicates: its log would have a gap, and the way back needs it whole");
    }
    const char *skip = my_check_var(k, "slave_skip_errors"), *mode = my_check_var(k, "slave_exec_mode");
    if (*skip && strcasecmp(skip, "OFF") != 0) {
        my_check_say(k, MF_BLOCKER, "native-skips-errors", "slave_skip_errors",
                     "take slave_skip_errors out of the target's configuration and restart the server",
                     "slave_skip_errors is %s: a change that fails would be left out and nobody told", skip);
    }
    if (strcasecmp(mode, "IDEMPOTENT") == 0) {
        my_check_say(k, MF_BLOCKER, "native-skips-errors", "slave_exec_mode", "SET GLOBAL slave_exec_mode = 'STRICT';",
                     "slave_exec_mode is IDEMPOTENT: a change that does not find its row would pass for done");
    }
    int64_t workers = my_check_number(k, "slave_parallel_workers");
    workers = workers ? workers : my_check_number(k, "replica_parallel_workers");
    bool ordered = my_check_on(k, "slave_preserve_commit_order") || my_check_on(k, "replica_preserve_commit_order");
    if (workers > 1 && !ordered) {
        my_check_say(k, MF_BLOCKER, "native-commit-order", "slave_preserve_commit_order",
                     "STOP SLAVE; SET GLOBAL slave_parallel_type = 'LOGICAL_CLOCK', GLOBAL slave_preserve_commit_order "
                     "= ON; -- or "
                     "slave_parallel_workers = 0",
                     "%lld appliers commit in any order: the target would show states that the source never had",
                     (long long)workers);
    }
    if (!my_check_on(k, "relay_log_recovery")) {
        my_check_say(
            k, MF_WARNING, "native-relay-log", "relay_log_recovery",
            "[mysqld] relay_log_recovery = ON, skip_slave_start = ON -- in the target's configuration; then restart it",
            "relay_log_recovery is OFF: a target that is restarted goes on by itself with what it had fetched, without "
            "the filter that keeps database " MY_BOOK " and other tables out, until midflight looks at it again");
    }
}

static void check_ids(struct pair *p)
{
    int64_t s = my_check_number(&p->source, "server_id"), t = my_check_number(&p->target, "server_id");
    if (s == t) {
        my_check_say(&p->target, MF_BLOCKER, "native-server-id", "server_id",
                     "SET GLOBAL server_id = …; -- any number that no server of the source's topology has; and in the "
                     "configuration",
                     "both servers have server_id %lld: the source gives no log to a server of its own number",
                     (long long)s);
    }
}

static void check_address(struct pair *p)
{
    const struct my_db *s = p->source.db;
    if (s->params.socket && !s->login.host) {
        my_check_say(&p->source, MF_BLOCKER, "native-address", "native.host",
                     "native.host: the source's address as the target's machine reaches it",
                     "the source is reached by a socket, which the target's server cannot use");
    }
}

/* ---- rights ---- */

static bool may(const struct my_check *k, const char *privilege)
{
    return my_grants_have(&k->grants, "SUPER", NULL, NULL) ||
           (k->db->version >= 80000 && my_grants_have(&k->grants, privilege, NULL, NULL));
}

static void need(struct my_check *k, const char *privilege, const char *why)
{
    char remedy[400];
    if (may(k, privilege)) {
        return;
    }
    const char *grant = k->db->version >= 80000 ? privilege : "SUPER";
    snprintf(remedy, sizeof remedy, "GRANT %s ON *.* TO %s;", grant, k->account);
    my_check_say(k, MF_BLOCKER, "native-rights", k->db->facts.user, remedy, "the account has not %s: %s", grant, why);
}

static void check_native_rights(struct pair *p)
{
    char remedy[400];
    need(&p->source, "SYSTEM_VARIABLES_ADMIN",
         "the gate's triggers cannot be kept out of the source's log (sql_log_bin)");
    need(&p->target, "REPLICATION_SLAVE_ADMIN", "replication cannot be set up on the target");
    need(&p->target, "SYSTEM_VARIABLES_ADMIN", "the target cannot be told which transactions it has (gtid_purged)");
    if (!my_grants_have(&p->target.grants, "RELOAD", NULL, NULL)) {
        snprintf(remedy, sizeof remedy, "GRANT RELOAD ON *.* TO %s;", p->target.account);
        my_check_say(&p->target, MF_BLOCKER, "native-rights", p->target.db->facts.user, remedy,
                     "the account has not RELOAD: replication cannot be ended on the target (RESET SLAVE)");
    }
}

/* ---- histories ---- */

static int follows_already(struct my_check *k, bool *ret_ours, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_FREE char *from = NULL;
    struct mf_pipe_id id = {.direction = MF_FORWARD};
    struct mf_error refused = {0};
    MYSQL_ROW row = NULL;
    if (k->db->migration) {
        mf_strlcpy(id.migration, k->db->migration, sizeof id.migration);
        if (my_replica_setting(k->c, &id, MY_REPLICA_FROM, &from, err) < 0) {
            return -1;
        }
    }
    *ret_ours = from != NULL;
    if (my_replica_shown(k->c, k->db, &r, &row, &refused) < 0 || !row || from) {
        return 0; /* a right that is missing is told elsewhere */
    }
    my_check_say(k, MF_BLOCKER, "native-replica", k->db->facts.host, "STOP SLAVE; RESET SLAVE ALL; -- on the target",
                 "the target is a replica of %s already", my_replica_column(r, row, "Master_Host"));
    return 0;
}

static int global(struct my_check *k, const char *sql, char *out, size_t n, struct mf_error *err)
{
    return my_query_text(k->c, out, n, err, sql);
}

/* In the source's GTIDs: those of the target's server. In the target's: those of others that the source has not. */
static int check_histories(struct pair *p, struct mf_error *err)
{
    char source[16384], own[80], mixed[300], more[300], there[64];
    MF_CLEANUP_BUF struct mf_buf a = {.max = 65536}, b = {.max = 65536};
    if (global(&p->source, "SELECT @@GLOBAL.gtid_executed", source, sizeof source, err) < 0 ||
        global(&p->target, "SELECT CONCAT(@@GLOBAL.server_uuid, ':1-9223372036854775806')", own, sizeof own, err) < 0 ||
        global(&p->target, "SELECT LEFT(@@GLOBAL.gtid_executed, 60)", there, sizeof there, err) < 0) {
        return -1;
    }
    mf_buf_puts(&a, "SELECT LEFT(GTID_SUBTRACT(");
    my_put_literal(&a, source);
    mf_buf_puts(&a, ", GTID_SUBTRACT(");
    my_put_literal(&a, source);
    mf_buf_printf(&a, ", '%s')), 200)", own);
    mf_buf_puts(&b, "SELECT LEFT(GTID_SUBTRACT(@@GLOBAL.gtid_executed, ");
    MF_CLEANUP_BUF struct mf_buf known = {.max = 65536};
    mf_buf_printf(&known, "%s%s%s", source, source[0] ? "," : "", own);
    my_put_literal(&b, mf_buf_str(&known));
    mf_buf_puts(&b, "), 200)");
    if (global(&p->target, mf_buf_str(&a), mixed, sizeof mixed, err) < 0 ||
        global(&p->target, mf_buf_str(&b), more, sizeof more, err) < 0) {
        return -1;
    }
    if (*mixed) {
        my_check_say(
            &p->target, MF_BLOCKER, "native-history", p->target.db->facts.host,
            "make the target anew (another server_uuid)",
            "the source has transactions that were written on the target's server (%s): one of both followed the other "
            "before, and they would not be sent",
            mixed);
    }
    bool old = p->target.db->version < 80000;
    if (*more && !old) {
        my_check_say(&p->target, MF_BLOCKER, "native-history", p->target.db->facts.host,
                     "RESET MASTER; -- on the target: its binary logs go",
                     "the target has transactions of other servers (%s): it would take what has their numbers for done",
                     more);
    }
    if (old && *there) {
        my_check_say(&p->target, MF_WARNING, "native-reset-master", p->target.db->facts.host, "",
                     "the target is MySQL 5.7, which takes the source's history only in place of its own: midflight "
                     "does RESET MASTER "
                     "there, and the target's binary logs of before go");
    }
    return 0;
}

static int check_followers(struct my_check *k, struct mf_error *err)
{
    int64_t n = 0;
    struct mf_error refused = {0};
    (void)err;
    if (k->db->version < 80000 &&
        my_query_i64(k->c, &n, &refused,
                     "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'") == 0 &&
        n > 0) {
        my_check_say(k, MF_BLOCKER, "native-followers", k->db->facts.host,
                     "detach the target's own replicas; attach them when it has been promoted",
                     "%lld servers read the target's log, and RESET MASTER takes it from under them", (long long)n);
    }
    return 0;
}

static int check(struct pair *p, struct mf_error *err)
{
    bool ours = false;
    check_engines(p);
    if (p->source.db->mariadb || p->target.db->mariadb) {
        return 0;
    }
    check_gtids(&p->source);
    check_gtids(&p->target);
    check_applier(&p->target);
    check_ids(p);
    check_address(p);
    check_native_rights(p);
    if (follows_already(&p->target, &ours, err) < 0) {
        return -1;
    }
    return ours ? 0 : check_histories(p, err) < 0 || check_followers(&p->target, err) < 0 ? -1 : 0;
}

int my_replication_check(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter,
                         struct mf_findings *out, struct mf_error *err)
{
    struct pair p = {0};
    if (source->connector != target->connector) {
        mf_findings_add(out, MF_BLOCKER, MF_TARGET, "native-engine", "mode", "set mode: stream",
                        "mode: native is for MySQL into MySQL");
        return 0;
    }
    int rc = my_check_open(&p.target, my_db_of(target), filter, out, err);
    rc = rc == 0 ? my_check_open(&p.source, my_db_of(source), filter, out, err) : rc;
    rc = rc == 0 ? check(&p, err) : rc;
    my_check_close(&p.source);
    my_check_close(&p.target);
    return rc;
}
