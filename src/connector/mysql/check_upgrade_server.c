/* Checks of the server: variables, modes, accounts. The target runs, so what it has is asked of it, not of a list. See check_upgrade.h. */
#include "connector/mysql/check_upgrade.h"
#include "connector/mysql/schema_mend.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- variables that are gone ---- */

/* With the default they have in 5.7: nobody set what is at its default. */
static const struct {
    const char *name, *init;
} removed[] = {
    {"avoid_temporal_upgrade", "OFF"},
    {"ignore_builtin_innodb", "OFF"},
    {"ignore_db_dirs", ""},
    {"innodb_checksums", "ON"},
    {"innodb_file_format", "Barracuda"},
    {"innodb_file_format_check", "ON"},
    {"innodb_file_format_max", "Barracuda"},
    {"innodb_large_prefix", "ON"},
    {"innodb_locks_unsafe_for_binlog", "OFF"},
    {"innodb_stats_sample_pages", "8"},
    {"innodb_support_xa", "ON"},
    {"innodb_undo_logs", "128"},
    {"internal_tmp_disk_storage_engine", "InnoDB"},
    {"log_bin_use_v1_row_events", "OFF"},
    {"log_builtin_as_identified_by_password", "OFF"},
    {"log_syslog", "OFF"},
    {"log_syslog_facility", "daemon"},
    {"log_syslog_include_pid", "ON"},
    {"log_syslog_tag", ""},
    {"log_warnings", "2"},
    {"max_tmp_tables", "32"},
    {"metadata_locks_cache_size", "1024"},
    {"metadata_locks_hash_instances", "8"},
    {"multi_range_count", "256"},
    {"old_passwords", "0"},
    {"query_cache_limit", "1048576"},
    {"query_cache_min_res_unit", "4096"},
    {"query_cache_type", "OFF"},
    {"query_cache_wlock_invalidate", "OFF"},
    {"secure_auth", "ON"},
    {"show_compatibility_56", "OFF"},
    {"show_old_temporals", "OFF"},
    {"sync_frm", "ON"},
    {"tx_isolation", "REPEATABLE-READ"},
    {"tx_read_only", "OFF"},
};

static bool has_variable(const struct my_check *k, const char *name)
{
    mysql_data_seek(k->vars, 0);
    for (MYSQL_ROW row; (row = mysql_fetch_row(k->vars));) {
        if (strcasecmp(row[0], name) == 0) {
            return true;
        }
    }
    return false;
}

int my_look_removed_variables(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    (void)err;
    for (size_t i = 0; i < MF_ARRAY_LEN(removed); i++) {
        const char *name = removed[i].name, *value = my_check_var(u->source, name);
        struct my_upgrade_row one = *row;
        if (!has_variable(u->source, name) || has_variable(u->target, name) ||
            strcasecmp(value, removed[i].init) == 0) {
            continue;
        }
        if (strcmp(name, "query_cache_type") == 0 && my_check_number(u->source, "query_cache_size") > 0) {
            one.severity = MF_WARNING;
            one.reason =
                "it is {value}, and the target has no query cache: what it answered is computed anew each time";
            one.remedy = "measure with SET GLOBAL query_cache_type = OFF on a replica first";
        }
        my_upgrade_tell(u, &one, &(struct my_thing){.name = name, .value = *value ? value : "''"});
    }
    return 0;
}

/* ---- variables that differ ---- */

enum how { OTHER, FEWER, FIXED /* OTHER, and only a configuration sets it */ };
static const struct {
    const char *name, *before; /* its name in 5.7, NULL: the same */
    enum how how;
    enum mf_severity severity;
    const char *why;
} settings[] = {
    {"character_set_server", NULL, OTHER, MF_NOTE, "databases that applications make get another character set"},
    {"collation_server", NULL, OTHER, MF_NOTE, "databases that applications make compare texts in another way"},
    {"default_authentication_plugin", NULL, FIXED, MF_NOTE,
     "clients of accounts that are made here must know this plug-in"},
    {"innodb_autoinc_lock_mode", NULL, FIXED, MF_NOTE,
     "2: the numbers of one INSERT of many rows need not follow each other"},
    {"transaction_isolation", "tx_isolation", OTHER, MF_WARNING, "transactions see other rows"},
    {"auto_increment_increment", NULL, OTHER, MF_WARNING, "new rows are numbered in another way"},
    {"auto_increment_offset", NULL, OTHER, MF_WARNING, "new rows are numbered in another way"},
    {"div_precision_increment", NULL, OTHER, MF_WARNING, "quotients have another number of digits"},
    {"group_concat_max_len", NULL, FEWER, MF_WARNING, "GROUP_CONCAT cuts sooner"},
    {"innodb_lock_wait_timeout", NULL, FEWER, MF_NOTE, "waiting for a row's lock is given up sooner"},
    {"max_connections", NULL, FEWER, MF_WARNING, "fewer clients may connect"},
    {"wait_timeout", NULL, FEWER, MF_NOTE, "sessions that are idle are ended sooner"},
    {"ft_min_word_len", NULL, FIXED, MF_WARNING, "full-text searches find other words"},
    {"innodb_ft_min_token_size", NULL, FIXED, MF_WARNING, "full-text searches find other words"},
    {"default_week_format", NULL, OTHER, MF_WARNING, "WEEK() counts in another way"},
    {"lc_time_names", NULL, OTHER, MF_WARNING, "names of days and months are in another language"},
    {"innodb_strict_mode", NULL, OTHER, MF_NOTE, "table options are taken or refused in another way"},
};

static void put_setting(size_t i, const char *value, struct mf_buf *out)
{
    bool number = *value && strspn(value, "0123456789") == strlen(value);
    if (settings[i].how == FIXED) {
        mf_buf_printf(out, "[mysqld] %s = %s -- in the configuration, if it matters; then restart the server",
                      settings[i].name, value);
        return;
    }
    mf_buf_printf(out, "SET GLOBAL %s = ", settings[i].name);
    if (number) {
        mf_buf_puts(out, value);
    } else {
        my_put_literal(out, value);
    }
    mf_buf_puts(out, "; -- and in the configuration, if it matters");
}

static void tell_setting(struct my_upgrade *u, const struct my_upgrade_row *row, size_t i, const char *there,
                         const char *here)
{
    struct my_upgrade_row one = *row;
    MF_CLEANUP_BUF struct mf_buf remedy = {.max = 2048};
    char value[600];
    snprintf(value, sizeof value, "it is %.150s here and %.150s on the source: %s", here, there, settings[i].why);
    put_setting(i, there, &remedy);
    one.severity = settings[i].severity;
    one.remedy = strpbrk(mf_buf_str(&remedy), "{}") ? "" : mf_buf_str(&remedy);
    my_upgrade_tell(u, &one, &(struct my_thing){.name = settings[i].name, .value = value});
}

/* A session that says SET NAMES utf8mb4 has another collation than before. */
static int look_default_collation(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    const char *here = my_check_var(u->target, "default_collation_for_utf8mb4");
    if (has_variable(u->source, "default_collation_for_utf8mb4") || !*here || strcmp(here, "utf8mb4_general_ci") == 0) {
        return 0;
    }
    if (my_check_ask(u->source, &r, err,
                     "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s) AND COLLATION_NAME ="
                     " 'utf8mb4_general_ci'") < 0) {
        return -1;
    }
    MYSQL_ROW x = r ? mysql_fetch_row(r) : NULL;
    if (x && x[0] && strcmp(x[0], "0") != 0) {
        struct my_upgrade_row one = *row;
        char value[500];
        snprintf(value, sizeof value,
                 "utf8mb4 without a collation is %.60s here and utf8mb4_general_ci on the source: what applications "
                 "make and "
                 "compare may not fit together with the %s columns that stay utf8mb4_general_ci",
                 here, x[0]);
        one.remedy = "say COLLATE in CREATE TABLE, and SET NAMES utf8mb4 COLLATE utf8mb4_general_ci in sessions";
        my_upgrade_tell(u, &one, &(struct my_thing){.name = "default_collation_for_utf8mb4", .value = value});
    }
    return 0;
}

int my_look_settings(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(settings); i++) {
        const char *name = settings[i].name,
                   *old = has_variable(u->source, name) || !settings[i].before ? name : settings[i].before;
        char there[600], here[600];
        mf_strlcpy(there, my_check_var(u->source, old), sizeof there);
        mf_strlcpy(here, my_check_var(u->target, name), sizeof here);
        bool differs = settings[i].how == FEWER ? my_check_number(u->target, name) < my_check_number(u->source, old)
                                                : strcasecmp(there, here) != 0;
        if (has_variable(u->source, old) && has_variable(u->target, name) && differs) {
            tell_setting(u, row, i, there, here);
        }
    }
    return look_default_collation(u, row, err);
}

/* ---- modes ---- */

/* Of the server; NO_AUTO_CREATE_USER is on by default in 5.7, so that alone it was set by nobody. */
int my_look_modes(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    struct my_mend mend = {.mariadb = u->target->db->mariadb, .version = u->target->db->version};
    MF_CLEANUP_BUF struct mf_buf kept = {.max = 4096};
    char gone[300];
    (void)err;
    my_mend_modes(&mend, my_check_var(u->source, "sql_mode"), &kept, gone, sizeof gone);
    if (gone[0] && strcmp(gone, "NO_AUTO_CREATE_USER") != 0) {
        my_upgrade_tell(u, row, &(struct my_thing){.value = gone});
    }
    return 0;
}

/* ---- accounts ---- */

static bool is_listed(MYSQL_RES *r, const char *name)
{
    mysql_data_seek(r, 0);
    for (MYSQL_ROW x; (x = mysql_fetch_row(r));) {
        if (x[0] && strcmp(x[0], name) == 0) {
            return true;
        }
    }
    return false;
}

/* What there is to say of accounts with this plug-in; NULL: nothing. */
static const char *about(const char *plugin, MYSQL_RES *have, int target)
{
    if (!*plugin) {
        return "they have no plug-in, so nobody can log in with them";
    }
    if (!is_listed(have, plugin)) {
        return "the target does not have this plug-in: nobody could log in with them";
    }
    return strcmp(plugin, "sha256_password") == 0 && target >= 80016
               ? "this plug-in is deprecated: caching_sha2_password has taken its place"
               : NULL;
}

/* Needs SELECT on mysql.user; without it nothing is said, as accounts are not what migrates. */
int my_look_accounts(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *used = NULL, *have = NULL;
    struct mf_error refused = {0};
    if (my_query(u->source->c, &used, &refused,
                 "SELECT plugin, COUNT(*), MIN(CONCAT(user, '@', host)) FROM mysql.user GROUP BY plugin") < 0) {
        *err = refused;
        return mysql_errno(u->source->c) < 2000 ? (mf_error_clear(err), 0) : -1;
    }
    if (my_query(u->target->c, &have, err,
                 "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'AUTHENTICATION'"
                 " AND PLUGIN_STATUS = 'ACTIVE'") < 0) {
        return -1;
    }
    for (MYSQL_ROW x; (x = mysql_fetch_row(used));) {
        const char *plugin = x[0] ? x[0] : "", *why = about(plugin, have, u->target->db->version);
        char name[200], value[600];
        snprintf(name, sizeof name, "plug-in %.100s", *plugin ? plugin : "(none)");
        snprintf(value, sizeof value, "%s accounts (%.200s …): %s", x[1], x[2] ? x[2] : "?", why ? why : "");
        if (why) {
            my_upgrade_tell(u, row, &(struct my_thing){.name = name, .value = value});
        }
    }
    return 0;
}
