/* Whether the server's log tells one history, in the order in which it came about, and keeps it. See check.h. */
#include "connector/mysql/check.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refused(const struct mf_error *why, struct mf_error *err)
{
    if (my_is_error(why, ER_SPECIFIC_ACCESS_DENIED_ERROR) || my_is_error(why, ER_XAER_RMERR)) {
        return 0; /* told by check_rights.c */
    }
    *err = *why;
    return -1;
}

/* What my_visible is answered with, and positions in files, count transactions in the log's order. */
static void check_order(struct my_check *k)
{
    if (!k->db->mariadb && strcasecmp(my_check_var(k, "binlog_order_commits"), "OFF") == 0) {
        my_check_say(
            k, MF_BLOCKER, "binlog-order-commits", "binlog_order_commits",
            "SET GLOBAL binlog_order_commits = ON; -- and in the configuration",
            "the server commits in another order than its log has: a row that was streamed may not be there to "
            "be read when later ones are");
    }
}

bool my_check_is_durable(const struct my_check *k)
{
    int64_t engine = my_check_number(k, "innodb_flush_log_at_trx_commit");
    return my_check_number(k, "sync_binlog") == 1 && (engine == 1 || (engine == 3 && k->db->mariadb));
}

/* A crash of the machine, not of the server alone. Nothing is lost in silence: the stream, or the spool, finds it out. */
static void check_durable(struct my_check *k)
{
    if (my_check_is_durable(k)) {
        return;
    }
    my_check_say(
        k, MF_WARNING, "durability", "sync_binlog",
        "SET GLOBAL sync_binlog = 1; SET GLOBAL innodb_flush_log_at_trx_commit = 1; -- and in the configuration",
        k->side == MF_SOURCE
            ? "sync_binlog is %lld and innodb_flush_log_at_trx_commit is %lld: a crash of its machine may take "
              "back commits that were read already and are on the target; the stream stops then, and the "
              "migration has to be begun again"
            : "sync_binlog is %lld and innodb_flush_log_at_trx_commit is %lld: a crash of its machine may take "
              "back what was applied and is no more in the spool; the migration has to be begun again then",
        (long long)my_check_number(k, "sync_binlog"), (long long)my_check_number(k, "innodb_flush_log_at_trx_commit"));
}

/* ---- MariaDB: one domain, several servers that write ---- */

/* "0-1-100,0-2-200": of one domain, two servers have written. */
static bool several_write(const char *state)
{
    unsigned long domain = 0, server = 0, last_domain = 0, last_server = 0;
    for (const char *p = state; p && *p; p = strchr(p, ',')) {
        p += strspn(p, ", \n");
        if (sscanf(p, "%lu-%lu-", &domain, &server) != 2) {
            return false;
        }
        if (p != state && domain == last_domain && server != last_server) {
            return true;
        }
        last_domain = domain;
        last_server = server;
    }
    return false;
}

static void check_domains(struct my_check *k, bool replica)
{
    const char *state = my_check_var(k, "gtid_binlog_state");
    if (!k->db->mariadb || my_check_on(k, "gtid_strict_mode") || !(replica || several_write(state))) {
        return;
    }
    my_check_say(
        k, MF_WARNING, "gtid-domain", "gtid_domain_id",
        "SET GLOBAL gtid_domain_id = …; -- another one on each server that takes writes; or SET GLOBAL "
        "gtid_strict_mode = ON; with which replication stops where numbers are out of order",
        "%s, and gtid_strict_mode is OFF: where two servers write in one domain at a time, its numbers come out "
        "of order in the log, which stops the stream (MFGTID), and the migration has to be begun again",
        replica ? "the server is a replica" : "several servers have written in one replication domain");
}

/* ---- what is prepared ---- */

static int check_prepared(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error why = {0};
    if (my_query(k->c, &r, &why, "XA RECOVER") < 0) {
        return refused(&why, err);
    }
    unsigned long long n = mysql_num_rows(r);
    if (n > 0) {
        my_check_say(
            k, MF_WARNING, "xa-prepared", "XA RECOVER",
            "XA COMMIT or XA ROLLBACK those that nobody will end; have few prepared at a time",
            "%llu XA transactions are prepared: the stream's beginning, a new table and a cutover wait for those "
            "that are, half a minute at most, and a position names some sixty at one time",
            n);
    }
    return 0;
}

int my_check_history(struct my_check *k, bool replica, struct mf_error *err)
{
    check_order(k);
    check_durable(k);
    check_domains(k, replica);
    return k->side == MF_SOURCE ? check_prepared(k, err) : 0;
}
