/* The server itself: its log, its settings, the network. See check.h. */
#include "connector/mysql/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/dump.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_S              86400
#define LONG_TRANSACTION_S 60

/* ---- opening ---- */

static int read_grants(struct my_check *k, struct mf_error *err)
{
    char roles[4096] = "NONE";
    struct mf_error none = {0};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    if (!k->db->mariadb && k->db->version >= 80000) {
        my_query_text(k->c, roles, sizeof roles, &none, "SELECT CURRENT_ROLE()");
    }
    mf_buf_puts(&sql, "SHOW GRANTS");
    if (strcmp(roles, "NONE") != 0) {
        mf_buf_printf(&sql, " FOR CURRENT_USER() USING %s", roles);
    }
    if (my_query(k->c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        if (row[0] && my_grants_add(&k->grants, row[0], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static void read_account(struct my_check *k)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = sizeof k->account - 1};
    char user[128];
    mf_strlcpy(user, k->db->facts.user, sizeof user);
    char *at = strrchr(user, '@');
    if (at) {
        *at = 0;
    }
    my_put_ident(&b, user);
    mf_buf_putc(&b, '@');
    my_put_ident(&b, at ? at + 1 : "%");
    mf_strlcpy(k->account, mf_buf_str(&b), sizeof k->account);
}

int my_check_open(struct my_check *k, struct my_db *db, const struct mf_filter *filter, struct mf_findings *out,
                  struct mf_error *err)
{
    *k = (struct my_check){.db = db, .filter = filter, .out = out, .side = db->base.side};
    my_grants_init(&k->grants);
    read_account(k);
    if (my_connect(db, "check", &k->c, err) < 0) {
        return -1;
    }
    my_set_timeout(k->c, db->statement_timeout_ms);
    return my_query(k->c, &k->vars, err, "SHOW GLOBAL VARIABLES") < 0 || read_grants(k, err) < 0 ? -1 : 0;
}

void my_check_close(struct my_check *k)
{
    if (k->vars) {
        mysql_free_result(k->vars);
    }
    my_finish(k->c);
    my_grants_free(&k->grants);
    mf_catalog_free(&k->tables);
    *k = (struct my_check){0};
}

const char *my_check_var(const struct my_check *k, const char *name)
{
    mysql_data_seek(k->vars, 0);
    for (MYSQL_ROW row; (row = mysql_fetch_row(k->vars));) {
        if (strcasecmp(row[0], name) == 0) {
            return row[1] ? row[1] : "";
        }
    }
    return "";
}

bool my_check_on(const struct my_check *k, const char *name)
{
    const char *v = my_check_var(k, name);
    return strcasecmp(v, "ON") == 0 || strcmp(v, "1") == 0;
}

int64_t my_check_number(const struct my_check *k, const char *name)
{
    int64_t n = 0;
    char text[32];
    mf_strlcpy(text, my_check_var(k, name), sizeof text);
    text[strcspn(text, ".")] = 0; /* MariaDB has days with a fraction */
    mf_parse_i64(text, &n);
    return n;
}

void my_check_say(struct my_check *k, enum mf_severity severity, const char *code, const char *object,
                  const char *remedy, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *reason = mf_xvasprintf(fmt, ap);
    va_end(ap);
    mf_findings_add(k->out, severity, k->side, code, object, remedy, "%s", reason);
}

/* ---- the log ---- */

static void check_log(struct my_check *k)
{
    const char *format = my_check_var(k, "binlog_format"), *image = my_check_var(k, "binlog_row_image");
    if (!my_check_on(k, "log_bin")) {
        my_check_say(k, MF_BLOCKER, "log-bin", "log_bin",
                     "[mysqld] log_bin = binlog, server_id = 1 -- in the configuration; then restart the server",
                     "the server writes no binary log: changes cannot be streamed");
        return;
    }
    if (strcasecmp(format, "ROW") != 0) {
        my_check_say(
            k, MF_BLOCKER, "binlog-format", "binlog_format",
            "SET GLOBAL binlog_format = 'ROW'; -- and in the configuration; then have applications connect anew, "
            "sessions keep what they began with",
            "binlog_format is %s: the log has statements, not the rows they changed", format);
    }
    if (*image && strcasecmp(image, "FULL") != 0) {
        my_check_say(k, MF_WARNING, "binlog-row-image", "binlog_row_image",
                     "SET GLOBAL binlog_row_image = 'FULL'; -- sessions that are open keep what they began with",
                     "binlog_row_image is %s: an INSERT that leaves columns to their defaults stops the stream, and "
                     "updates that "
                     "come before their row is copied are read again from the source",
                     image);
    }
    if (my_check_number(k, "server_id") == 0) {
        my_check_say(k, MF_BLOCKER, "server-id", "server_id", "SET GLOBAL server_id = 1; -- and in the configuration",
                     "server_id is 0: the server gives its log to nobody");
    }
    if (!k->db->gtid) {
        my_check_say(
            k, MF_WARNING, "gtid-mode", "gtid_mode",
            "set enforce_gtid_consistency = ON, then gtid_mode step by step to ON (OFF_PERMISSIVE, ON_PERMISSIVE, ON)",
            "gtid_mode is %s: positions are places in this server's files, so that a stream cannot go on at another "
            "server after a failover",
            my_check_var(k, "gtid_mode"));
    }
}

/* How long the log is kept; a stream that stopped for longer cannot go on. */
static void check_expiry(struct my_check *k)
{
    const char *seconds = my_check_var(k, "binlog_expire_logs_seconds");
    int64_t keeps = *seconds ? my_check_number(k, "binlog_expire_logs_seconds") : 0;
    if (keeps == 0) {
        keeps = my_check_number(k, "expire_logs_days") * DAY_S;
    }
    if (keeps > 0 && keeps < DAY_S) {
        my_check_say(k, MF_WARNING, "binlog-expiry", *seconds ? "binlog_expire_logs_seconds" : "expire_logs_days",
                     *seconds ? "SET GLOBAL binlog_expire_logs_seconds = 604800; -- and in the configuration"
                              : "SET GLOBAL expire_logs_days = 7; -- and in the configuration",
                     "the log is kept for %lld minutes: a migration stopped for longer than that cannot be resumed",
                     (long long)keeps / 60);
    }
}

/* Databases that are left out of the log are not streamed. Needs REPLICATION CLIENT; its lack is told by check_rights.c. */
static int check_filters(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error refused = {0};
    if (my_log_status(k->c, k->db, &r, &refused) < 0) {
        if (my_is_error(&refused, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            return 0;
        }
        *err = refused;
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (row && ((row[2] && *row[2]) || (row[3] && *row[3]))) {
        my_check_say(k, MF_BLOCKER, "binlog-filter", row[2] && *row[2] ? "binlog_do_db" : "binlog_ignore_db",
                     "take binlog_do_db and binlog_ignore_db out of the configuration and restart the server",
                     "the log leaves databases out (%s): their changes, and midflight's own, would be lost",
                     row[2] && *row[2] ? row[2] : row[3]);
    }
    return 0;
}

/* The server's history must fit into a position. */
static int check_position(struct my_check *k, struct mf_error *err)
{
    struct mf_position at;
    struct mf_error why = {0};
    if (!k->db->gtid || my_position_seen(k->c, k->db, &at, &why) == 0) {
        return 0;
    }
    if (strcmp(why.code, "MFGTID") != 0) {
        *err = why;
        return -1;
    }
    if (why.cls == MF_RETRY) {
        return 0;
    }
    my_check_say(k, MF_BLOCKER, "gtid-set", "gtid_executed", why.hint, "%s", why.text);
    return 0;
}

/* ---- the server ---- */

static int check_replica(struct my_check *k, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error refused = {0};
    bool newer = !k->db->mariadb && k->db->version >= 80022;
    const char *sql = k->db->mariadb ? "SHOW ALL SLAVES STATUS" : newer ? "SHOW REPLICA STATUS" : "SHOW SLAVE STATUS";
    if (my_query(k->c, &r, &refused, sql) < 0) {
        if (my_is_error(&refused, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            return 0;
        }
        *err = refused;
        return -1;
    }
    *ret = mysql_num_rows(r) > 0;
    if (!*ret) {
        return 0;
    }
    bool logs = my_check_on(k, "log_slave_updates") || my_check_on(k, "log_replica_updates");
    if (!logs) {
        my_check_say(
            k, MF_BLOCKER, "log-slave-updates", "log_slave_updates",
            "[mysqld] log_slave_updates = ON -- in the configuration; then restart; or give the primary's address",
            "the server is a replica and does not log what it replicates: nearly no change would be streamed");
    } else {
        my_check_say(
            k, MF_WARNING, "replica", k->db->facts.host, "give the address of the primary",
            "the server is a replica: midflight writes its bookkeeping here, and a cutover cannot hold the writers of "
            "the primary");
    }
    return 0;
}

/* The gate is a row lock, which only sessions of this server meet. */
static void check_cluster(struct my_check *k)
{
    static const char why[] = "other members of its cluster may take writes, which meet no gate here: one that is "
                              "committed there during a cutover would be lost. No such cluster has been tried";
    if (my_check_on(k, "wsrep_on")) {
        my_check_say(
            k, MF_BLOCKER, "several-writers", "wsrep_on",
            "use a server that is no member of a cluster, such as an ordinary replica of it that is made the primary",
            why);
    } else if (*my_check_var(k, "group_replication_group_name") &&
               !my_check_on(k, "group_replication_single_primary_mode")) {
        my_check_say(k, MF_BLOCKER, "several-writers", "group_replication_single_primary_mode",
                     "SELECT group_replication_switch_to_single_primary_mode(); -- and give the primary's address",
                     why);
    }
}

static void check_read_only(struct my_check *k)
{
    bool super_too = my_check_on(k, "super_read_only");
    if (super_too || my_check_on(k, "read_only")) {
        my_check_say(k, MF_BLOCKER, "read-only", super_too ? "super_read_only" : "read_only",
                     super_too ? "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF;"
                               : "SET GLOBAL read_only = OFF;",
                     "the server takes no writes: midflight writes its bookkeeping where the rows are");
    }
}

static void check_network(struct my_check *k)
{
    const struct my_params *p = &k->db->params;
    bool local = p->socket || strcmp(p->host, "localhost") == 0 || mf_starts_with(p->host, "127.") ||
                 strcmp(p->host, "::1") == 0;
    if (local) {
        return;
    }
    if (!mysql_get_ssl_cipher(k->c)) {
        my_check_say(k, MF_WARNING, "tls", k->db->facts.host, "add ssl-mode=verify-identity (and ssl-ca) to the URL",
                     "rows and passwords cross the network in the clear");
    } else if (p->ssl_mode < MY_SSL_VERIFY_IDENTITY) {
        my_check_say(
            k, MF_WARNING, "tls-unverified", k->db->facts.host, "add ssl-mode=verify-identity (and ssl-ca) to the URL",
            "the connection is encrypted, but nobody looks whose certificate it is: whoever can stand in between can "
            "answer for the server");
    }
}

/* ---- what goes on ---- */

static int check_activity(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error refused = {0};
    if (my_queryf(
            k->c, &r, &refused,
            "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.INNODB_TRX"
            " WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_started < NOW() - INTERVAL %d SECOND"
            " ORDER BY trx_started LIMIT 20",
            LONG_TRANSACTION_S) < 0) {
        if (my_is_error(&refused, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
            return 0;
        }
        *err = refused;
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        char object[80], remedy[80];
        snprintf(object, sizeof object, "session %.40s", row[0]);
        snprintf(remedy, sizeof remedy, "KILL %.40s;", row[0]);
        my_check_say(k, MF_WARNING, "long-transaction", object, remedy,
                     "its transaction has been open for %s s: the gate and a cutover wait until it has ended", row[1]);
    }
    return 0;
}

int my_check_server(struct my_check *k, struct mf_error *err)
{
    bool replica = false;
    check_log(k);
    check_expiry(k);
    check_cluster(k);
    check_read_only(k);
    check_network(k);
    return check_position(k, err) < 0 || check_filters(k, err) < 0 || check_replica(k, &replica, err) < 0 ||
                   my_check_history(k, replica, err) < 0 || check_activity(k, err) < 0
               ? -1
               : 0;
}
