/*
 * Accounts, where the configuration asks for them (accounts: copy): those that have rights on a database that migrates, with their password as the source keeps
 * it, and with those rights.
 *
 * Only what is missing is made: an account that the target has keeps its password, and gets nothing. Rights on the whole server are not given, but
 * told: on a server with other databases they would reach further than before. No password, not even in its stored form, goes into a plan, a finding or an
 * error: of a refusal the number is kept, not the text.
 */
#include "connector/mysql/schema.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct account {
    char name[400]; /* 'user'@'host' */
    char label[420];
};

/* Those of the servers' own, and ours, are nobody's. */
static const char list_sql[] =
    "SELECT User, Host FROM mysql.user WHERE User <> '' AND Host <> '' AND User NOT IN ('root', 'mysql.sys',"
    " 'mysql.session', 'mysql.infoschema', 'mariadb.sys', 'PUBLIC') ORDER BY 1, 2";

static void take_name(struct account *a, MYSQL_ROW row)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = sizeof a->name};
    my_put_literal(&b, row[0]);
    mf_buf_putc(&b, '@');
    my_put_literal(&b, row[1]);
    mf_strlcpy(a->name, mf_buf_str(&b), sizeof a->name);
    snprintf(a->label, sizeof a->label, "account %s", a->name);
}

static bool is_ours(const struct my_schema_run *r, MYSQL_ROW row)
{
    char who[400];
    snprintf(who, sizeof who, "%s@%s", row[0], row[1]);
    return strcmp(who, r->src->facts.user) == 0 || strcmp(who, r->db->facts.user) == 0;
}

static int there(struct my_schema_run *r, MYSQL_ROW row, bool *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT 1 FROM mysql.user WHERE User = ");
    my_put_literal(&b, row[0]);
    mf_buf_puts(&b, " AND Host = ");
    my_put_literal(&b, row[1]);
    if (my_query(r->target, &q, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    *ret = mysql_num_rows(q) > 0;
    return 0;
}

static bool migrates(const struct my_schema_run *r, const char *schema, size_t n)
{
    for (size_t i = 0; i < r->job->tables->n; i++) {
        const char *name = r->job->tables->tables[i].schema;
        if (strlen(name) == n && strncmp(name, schema, n) == 0) {
            return true;
        }
    }
    return false;
}

/* The database of "GRANT … ON `shop`.* TO …", without the backslashes that keep _ and % from being wildcards, into out; false: on everything, or a line of another
 * form. */
static bool database_of(const char *line, char *out, size_t n)
{
    const char *p = strstr(line, " ON ");
    size_t len = 0;
    if (!p) {
        return false;
    }
    p += 4;
    p += mf_starts_with(p, "PROCEDURE ") ? 10 : mf_starts_with(p, "FUNCTION ") ? 9 : 0;
    if (*p++ != '`') {
        return false;
    }
    for (; *p && *p != '`' && len + 1 < n; p++) {
        p += *p == '\\' && (p[1] == '_' || p[1] == '%');
        out[len++] = *p;
    }
    out[len] = 0;
    return p[0] == '`' && p[1] == '.';
}

/* Whether it is about a database that migrates; *ret_global: rights on the whole server. */
static bool wanted(const struct my_schema_run *r, const char *line, bool *ret_global)
{
    char schema[300];
    if (database_of(line, schema, sizeof schema)) {
        return migrates(r, schema, strlen(schema));
    }
    *ret_global = *ret_global || (strstr(line, " ON *.* ") && !mf_starts_with(line, "GRANT USAGE ON "));
    return false;
}

/* Of a refusal only the number: its text may quote the statement, and with it the stored password. */
static void refused(struct my_schema_run *r, const struct account *a, const char *what, const struct mf_error *err)
{
    my_schema_tell(r, MF_WARNING, "schema-account", a->label, "make it on the target by hand",
                   "the target refused %s (%s)", what, err->code);
}

/* CREATE USER as the source says it. */
static int create(struct my_schema_run *r, const struct account *a, bool *ret_made, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    struct mf_error ignored = {0};
    *ret_made = false;
    if (r->plan) {
        mf_buf_printf(r->plan, "CREATE USER %s; -- with the password that the source has\n", a->name);
        *ret_made = true;
        return 0;
    }
    my_exec(r->source, &ignored, "SET SESSION print_identified_with_as_hex = 1"); /* where there is such a thing */
    if (my_queryf(r->source, &q, err, "SHOW CREATE USER %s", a->name) < 0) {
        if (mysql_errno(r->source) >= 2000) {
            return -1;
        }
        my_schema_tell(r, MF_WARNING, "schema-account", a->label, "make it on the target by hand",
                       "the account on the source may not read it (%s)", err->code);
        mf_error_clear(err);
        return 0;
    }
    MYSQL_ROW row = mysql_fetch_row(q);
    if (row && row[0] && my_exec(r->target, err, row[0]) == 0) {
        *ret_made = true;
        return 0;
    }
    if (mysql_errno(r->target) >= 2000) {
        mf_fail(err, MF_RETRY, "MFGONE", "the target went away while an account was made");
        return -1;
    }
    refused(r, a, "to make it", err);
    mf_error_clear(err);
    return 0;
}

static int grant(struct my_schema_run *r, const struct account *a, MYSQL_RES *grants, struct mf_error *err)
{
    bool global = false;
    mysql_data_seek(grants, 0);
    for (MYSQL_ROW row; (row = mysql_fetch_row(grants));) {
        if (!row[0] || !wanted(r, row[0], &global) || strstr(row[0], " IDENTIFIED ")) {
            continue;
        }
        if (my_schema_exec(r, r->target, a->label, row[0], err) < 0) {
            if (!r->plan && mysql_errno(r->target) >= 2000) {
                return -1;
            }
            char right[600]; /* what stands before the account, and with it before any password */
            const char *end = strstr(row[0], " TO ");
            snprintf(right, sizeof right, "%.*s", end ? (int)(end - row[0]) : 0, row[0]);
            refused(r, a, right, err);
            mf_error_clear(err);
        }
    }
    if (global) {
        my_schema_tell(r, MF_WARNING, "schema-account", a->label, "give them on the target by hand, if they are meant",
                       "its rights on the whole server were not given");
    }
    return 0;
}

static int carry(struct my_schema_run *r, MYSQL_ROW of, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *grants = NULL;
    struct account a;
    bool any = false, global = false, stands = false, made = false;
    take_name(&a, of);
    if (my_queryf(r->source, &grants, err, "SHOW GRANTS FOR %s", a.name) < 0) {
        return mysql_errno(r->source) >= 2000 ? -1 : (mf_error_clear(err), 0); /* a role, or it has gone */
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(grants));) {
        any = (row[0] && wanted(r, row[0], &global)) || any;
    }
    if (!any) {
        return 0;
    }
    if (there(r, of, &stands, err) < 0) {
        return -1;
    }
    if (stands) {
        my_schema_tell(r, MF_NOTE, "schema-account", a.label, "", "the target has it: it was left as it is");
        return 0;
    }
    return create(r, &a, &made, err) < 0 ? -1 : made ? grant(r, &a, grants, err) : 0;
}

int my_schema_accounts(struct my_schema_run *r, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    if (!r->job->accounts) {
        return 0;
    }
    if (my_query(r->source, &q, err, list_sql) < 0) {
        if (mysql_errno(r->source) >= 2000) {
            return -1;
        }
        my_schema_tell(r, MF_WARNING, "schema-account", "accounts", "GRANT SELECT ON mysql.* on the source",
                       "they may not be read: %s", err->text);
        mf_error_clear(err);
        return 0;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
        if (row[0] && row[1] && !is_ours(r, row) && carry(r, row, err) < 0) {
            mf_error_prefix(err, "carrying accounts over");
            return -1;
        }
    }
    return 0;
}
