/*
 * The source's semi-synchronous mode: what it is set to, whether commits wait for us at this moment, and how to leave without making them wait for
 * nobody.
 *
 * MariaDB has it built in and waits for one replica, whichever answers first; MySQL has a plug-in, and a number of replicas to wait for. The variables
 * have "master" in their names, from MySQL 8.0.26 on "source".
 *
 * Leaving. With rpl_semi_sync_master_wait_no_slave, its default, the server goes on waiting when its last replica has gone: every commit, until the first has
 * waited for rpl_semi_sync_master_timeout. What ends that at once is a commit that has waited for a very short timeout. So one block, which the server carries out to its end
 * whatever becomes of us, ends our session, lets the waiting ones go, makes such a commit of our own, and puts both settings back.
 */
#include "connector/mysql/check.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MS     2000
#define LEAVE_MS      5000
#define LONG_ENOUGH_S 60 /* with on_sick_target: wait */

struct semisync {
    bool there, enabled, on, after_sync, wait_no_replica, counts;
    int64_t timeout_ms, replicas_waited_for, clients, not_waited, times_off;
    const char *word; /* "master" or "source" in the names of its variables */
};

/* "rpl_semi_sync_master_x" is x. */
static const char *own_name(struct semisync *s, const char *name)
{
    static const char *const words[] = {"master", "source"};
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        char prefix[32];
        int n = snprintf(prefix, sizeof prefix, "rpl_semi_sync_%s_", words[i]);
        if (strncasecmp(name, prefix, (size_t)n) == 0) {
            s->word = words[i];
            return name + n;
        }
    }
    return "";
}

static bool is_on(const char *v)
{
    return strcasecmp(v, "ON") == 0 || strcmp(v, "1") == 0;
}

static void take(struct semisync *s, const char *name, const char *v)
{
    int64_t n = 0;
    name = own_name(s, name);
    mf_parse_i64(v, &n);
    if (strcasecmp(name, "enabled") == 0) {
        s->there = true;
        s->enabled = is_on(v);
    } else if (strcasecmp(name, "wait_point") == 0) {
        s->after_sync = strcasecmp(v, "AFTER_SYNC") == 0;
    } else if (strcasecmp(name, "timeout") == 0) {
        s->timeout_ms = n;
    } else if (strcasecmp(name, "wait_no_slave") == 0 || strcasecmp(name, "wait_no_replica") == 0) {
        s->wait_no_replica = is_on(v);
    } else if (strcasecmp(name, "wait_for_slave_count") == 0 || strcasecmp(name, "wait_for_replica_count") == 0) {
        s->replicas_waited_for = n;
        s->counts = true;
    } else if (strcasecmp(name, "status") == 0) {
        s->on = is_on(v);
    } else if (strcasecmp(name, "clients") == 0) {
        s->clients = n;
    } else if (strcasecmp(name, "no_tx") == 0) {
        s->not_waited = n;
    } else if (strcasecmp(name, "no_times") == 0) {
        s->times_off = n;
    }
}

static int look(MYSQL *c, struct semisync *ret, struct mf_error *err)
{
    static const char *const asked[] = {"SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync%'",
                                        "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync%'"};
    *ret = (struct semisync){.replicas_waited_for = 1, .word = "master"};
    for (size_t i = 0; i < MF_ARRAY_LEN(asked); i++) {
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        if (my_query(c, &r, err, asked[i]) < 0) {
            return -1;
        }
        for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
            take(ret, row[0] ? row[0] : "", row[1] ? row[1] : "");
        }
    }
    return 0;
}

/* ---- at this moment ---- */

static void say_why_not(const struct semisync *s, struct mf_commit_wait *ret)
{
    char *why = ret->why;
    size_t n = sizeof ret->why;
    if (!s->there) {
        snprintf(why, n, "it has no semi-synchronous replication");
    } else if (!s->enabled) {
        snprintf(why, n, "rpl_semi_sync_%s_enabled is OFF", s->word);
    } else if (!s->after_sync) {
        snprintf(why, n, "rpl_semi_sync_%s_wait_point is not AFTER_SYNC: others see rows before we have them", s->word);
    } else if (s->clients == 0 && !s->wait_no_replica) {
        /* MariaDB's count is one too small after a replica was refused or killed while it connected; it decides only here. */
        snprintf(why, n, "it does not count this stream among its semi-synchronous replicas");
    } else if (s->clients > s->replicas_waited_for) {
        snprintf(why, n,
                 "it has %" PRId64 " semi-synchronous replicas and waits for %" PRId64 " of them, whichever that is",
                 s->clients, s->replicas_waited_for);
    } else if (!s->on) {
        snprintf(why, n, "it gave up waiting (rpl_semi_sync_%s_timeout is %" PRId64 " ms)", s->word, s->timeout_ms);
    }
}

int my_commits_wait(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret, struct mf_error *err)
{
    struct semisync s;
    struct mf_commit_wait w = {0};
    (void)pipe;
    MY_LEASE(my_db_of(base), l);
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    my_set_timeout(l.conn, ANSWER_MS);
    if (look(l.conn, &s, err) < 0 || my_position_seen(l.conn, l.db, &w.at, err) < 0) {
        mf_error_prefix(err, "asking whether commits wait for us");
        return -1;
    }
    say_why_not(&s, &w);
    w.waits = !w.why[0];
    w.timeout_ms = s.timeout_ms;
    w.lapses = (uint64_t)s.not_waited + (uint64_t)s.times_off;
    *ret = w;
    return 0;
}

/* ---- leaving ---- */

static const char block[] =
    "BEGIN NOT ATOMIC"
    " DECLARE waited INT DEFAULT @@GLOBAL.rpl_semi_sync_master_wait_no_slave;"
    " DECLARE ms BIGINT DEFAULT @@GLOBAL.rpl_semi_sync_master_timeout;"
    " DECLARE n INT DEFAULT 0;"
    " DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;"
    " SET GLOBAL rpl_semi_sync_master_wait_no_slave = OFF;"
    " KILL %lu;"
    " WHILE n < 200 AND EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %lu) DO"
    "  DO SLEEP(0.01); SET n = n + 1;"
    " END WHILE;"
    " IF waited THEN"
    "  IF (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
    "      WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS') = 0 THEN"
    "   SET GLOBAL rpl_semi_sync_master_timeout = 1;"
    "   SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON;"
    "   INSERT INTO midflight.heartbeat (migration, side, marker, beat)"
    "    VALUES ('', CONCAT('v', CONNECTION_ID()), NULL, 0);"
    "   DELETE FROM midflight.heartbeat WHERE migration = '' AND side = CONCAT('v', CONNECTION_ID());"
    "   SET GLOBAL rpl_semi_sync_master_timeout = ms;"
    "  ELSE"
    "   SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON;"
    "  END IF;"
    " END IF;"
    "END";

int my_semisync_leave(struct my_db *db, unsigned long session, struct mf_error *err)
{
    MY_LEASE(db, l);
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    my_set_timeout(l.conn, LEAVE_MS);
    int rc = db->mariadb ? my_execf(l.conn, err, block, session, session) : my_execf(l.conn, err, "KILL %lu", session);
    if (rc < 0) {
        mf_error_prefix(err, "leaving %s, whose commits waited for us", db->facts.host);
    }
    return rc;
}

/* ---- check ---- */

struct asked {
    struct my_check *k;
    const struct mf_wait_policy *p;
    struct semisync s;
    bool connected; /* one of the replicas is our own stream */
};

static void check_mode(struct asked *a)
{
    struct my_check *k = a->k;
    const struct semisync *s = &a->s;
    char remedy[200];
    if (!s->there) {
        my_check_say(k, MF_BLOCKER, "semi-sync", "rpl_semi_sync_master",
                     "INSTALL PLUGIN rpl_semi_sync_master SONAME 'semisync_master.so'; -- MariaDB has it built in",
                     "the server has no semi-synchronous replication, which dual_writes needs");
        return;
    }
    if (!s->enabled) {
        snprintf(remedy, sizeof remedy, "SET GLOBAL rpl_semi_sync_%s_enabled = ON; -- and in the configuration",
                 s->word);
        my_check_say(k, MF_BLOCKER, "semi-sync", "rpl_semi_sync_master_enabled", remedy,
                     "semi-synchronous replication is off: no commit would wait for the target");
    }
    if (!s->after_sync) {
        snprintf(remedy, sizeof remedy,
                 "SET GLOBAL rpl_semi_sync_%s_wait_point = 'AFTER_SYNC'; -- and in the configuration", s->word);
        my_check_say(k, MF_BLOCKER, "semi-sync-wait-point", "rpl_semi_sync_master_wait_point", remedy,
                     "the server waits after it has committed: other sessions would see rows that the target does not "
                     "have, and lose them with the source");
    }
}

static void check_timeout(struct asked *a)
{
    const struct semisync *s = &a->s;
    int64_t least = a->p->degrade ? 2 * a->p->after_ms : LONG_ENOUGH_S * 1000;
    char remedy[200];
    if (s->timeout_ms < least) {
        snprintf(remedy, sizeof remedy,
                 "SET GLOBAL rpl_semi_sync_%s_timeout = %" PRId64 "; -- and in the configuration", s->word, least);
        my_check_say(a->k, MF_WARNING, "semi-sync-timeout", "rpl_semi_sync_master_timeout", remedy,
                     a->p->degrade ? "it is %" PRId64 " ms: the server may let commits go before on_sick_target does"
                                   : "it is %" PRId64
                                     " ms: the server lets commits go after that, whatever on_sick_target says",
                     s->timeout_ms);
    }
    if (a->p->degrade == s->wait_no_replica) {
        snprintf(remedy, sizeof remedy, "SET GLOBAL rpl_semi_sync_%s_wait_no_slave = %s; -- and in the configuration",
                 s->word, a->p->degrade ? "OFF" : "ON");
        my_check_say(a->k, MF_WARNING, "semi-sync-no-replica", "rpl_semi_sync_master_wait_no_slave", remedy,
                     a->p->degrade ? "it is ON: when midflight is killed, commits wait for up to %" PRId64 " ms, once"
                                   : "it is OFF: when midflight is killed, commits go on without the target before "
                                     "rpl_semi_sync_master_timeout (%" PRId64 " ms) is over",
                     s->timeout_ms);
    }
}

static void check_others(struct asked *a)
{
    int64_t others = a->s.clients - a->connected;
    if (others > 0 && others >= a->s.replicas_waited_for) {
        my_check_say(a->k, MF_BLOCKER, "semi-sync-replicas", "Rpl_semi_sync_master_clients",
                     a->s.counts ? "let the server wait for all of them and midflight "
                                   "(rpl_semi_sync_master_wait_for_slave_count), or take "
                                   "semi-sync off those replicas"
                                 : "SET GLOBAL rpl_semi_sync_slave_enabled = OFF; STOP SLAVE IO_THREAD; START SLAVE "
                                   "IO_THREAD; -- on those replicas",
                     "%" PRId64
                     " other semi-synchronous replica%s may answer the server in midflight's place, so that a "
                     "commit would not wait for the target",
                     others, others == 1 ? "" : "s");
    }
    if (a->s.replicas_waited_for > others + 1) {
        my_check_say(a->k, MF_WARNING, "semi-sync-replicas", "rpl_semi_sync_master_wait_for_slave_count",
                     "lower it, or connect the replicas",
                     "the server waits for %" PRId64 " replicas, and with midflight there are %" PRId64
                     ": every commit would wait for the timeout",
                     a->s.replicas_waited_for, others + 1);
    }
}

/* What the log has and a crash takes back is on the target, and then not on the source. */
static void check_log_safe(struct my_check *k)
{
    if (!my_check_is_durable(k)) {
        my_check_say(
            k, MF_WARNING, "source-durability", "sync_binlog",
            "SET GLOBAL sync_binlog = 1; SET GLOBAL innodb_flush_log_at_trx_commit = 1;",
            "after a crash of its machine the source may lack transactions that the target has, and the stream "
            "cannot go on");
    }
}

static int our_stream(struct asked *a, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    char name[60];
    bool renamed = !a->k->db->mariadb && a->k->db->version >= 80400;
    snprintf(name, sizeof name, "%s %s", pipe->migration, my_direction(pipe->direction));
    if (my_query(a->k->c, &r, err, renamed ? "SHOW REPLICAS" : "SHOW SLAVE HOSTS") < 0) {
        mf_error_clear(err); /* check_rights.c tells what the account lacks */
        return 0;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        a->connected |= a->s.clients > 0 && row[1] && strcmp(row[1], name) == 0;
    }
    return 0;
}

int my_check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                     struct mf_findings *out, struct mf_error *err)
{
    struct my_check k = {0};
    struct asked a = {.k = &k, .p = p};
    int rc = my_check_open(&k, my_db_of(db), NULL, out, err);
    rc = rc == 0 ? look(k.c, &a.s, err) : rc;
    rc = rc == 0 ? our_stream(&a, pipe, err) : rc;
    if (rc == 0) {
        check_mode(&a);
        if (a.s.there) {
            check_timeout(&a);
            check_others(&a);
        }
        check_log_safe(&k);
    }
    my_check_close(&k);
    return rc;
}

int my_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err)
{
    struct my_check k = {0};
    int rc = my_check_open(&k, my_db_of(db), NULL, out, err);
    if (rc == 0) {
        int64_t flush = my_check_number(&k, "innodb_flush_log_at_trx_commit");
        if (flush != 1 && !(flush == 3 && k.db->mariadb)) {
            my_check_say(&k, MF_BLOCKER, "target-durability", "innodb_flush_log_at_trx_commit",
                         "SET GLOBAL innodb_flush_log_at_trx_commit = 1; -- and in the configuration",
                         "it is %" PRId64
                         ": a commit that has returned may be lost in a crash, and dual_writes promises "
                         "that it is not",
                         flush);
        }
        if (my_check_on(&k, "log_bin") && my_check_number(&k, "sync_binlog") != 1) {
            my_check_say(&k, MF_BLOCKER, "target-durability", "sync_binlog",
                         "SET GLOBAL sync_binlog = 1; -- and in the configuration",
                         "it is %" PRId64 ": a crash may take transactions back that are not in the log, and "
                         "dual_writes promises that it does not",
                         my_check_number(&k, "sync_binlog"));
        }
    }
    my_check_close(&k);
    return rc;
}
