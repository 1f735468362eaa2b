/*
 * Accounts: what `accounts: copy` needs on both sides, and whose the source's views, routines, triggers and events become on the target.
 *
 * An object runs with its definer's rights. An account that may not name another definer becomes the definer itself, and with it go the objects when it is
 * dropped after the migration; one that may can name an account that does not exist here. Both are seen by nobody until the object is used.
 */
#include "connector/mysql/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/triggers.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

struct both {
    struct my_check target, source; /* the source has the tables */
};

/* ---- accounts: copy ---- */

static void check_copy(struct both *b)
{
    static const char *const option[] = {"GRANT OPTION"};
    static const char *const gives[] = {
        "SELECT",        "INSERT",     "UPDATE",      "DELETE",    "CREATE",
        "DROP",          "REFERENCES", "INDEX",       "ALTER",     "CREATE TEMPORARY TABLES",
        "LOCK TABLES",   "EXECUTE",    "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
        "ALTER ROUTINE", "EVENT",      "TRIGGER"};
    struct my_check *t = &b->target;
    const struct mf_catalog *tables = &b->source.tables;
    if (!my_grants_have(&b->source.grants, "SELECT", "mysql", NULL)) {
        my_check_say_place(&b->source, MF_BLOCKER, "mysql", NULL, "SELECT", "accounts: copy reads accounts there");
    }
    if (!my_grants_have(&t->grants, "SELECT", "mysql", "user")) {
        my_check_say_place(t, MF_BLOCKER, "mysql", "user", "SELECT",
                           "accounts: copy has to know which accounts are there already");
    }
    if (!my_grants_have(&t->grants, "CREATE USER", NULL, NULL)) {
        my_check_say_place(t, MF_BLOCKER, NULL, NULL, "CREATE USER", "accounts: copy makes accounts");
    }
    for (size_t i = 0; i < tables->n; i++) {
        const char *schema = tables->tables[i].schema;
        MF_CLEANUP_BUF struct mf_buf lacks = {.max = 2048};
        if (!mf_catalog_first_of_schema(tables, i)) {
            continue;
        }
        my_check_missing(t, option, MF_ARRAY_LEN(option), schema, NULL, &lacks);
        bool none = lacks.len > 0;
        my_check_missing(t, gives, MF_ARRAY_LEN(gives), schema, NULL, &lacks);
        if (lacks.len) {
            my_check_say_place(t, none ? MF_BLOCKER : MF_WARNING, schema, NULL, mf_buf_str(&lacks),
                               none ? "accounts: copy gives accounts their rights there"
                                    : "it cannot give these to accounts that have them on the source");
        }
    }
}

/* ---- definers ---- */

/* Rows of kind, definer, database, name, table (of a trigger; else the name). */
static const char list_sql[] =
    "SELECT 'view', DEFINER, TABLE_SCHEMA, TABLE_NAME, TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN"
    " (%s) UNION ALL SELECT 'routine', DEFINER, ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_NAME FROM"
    " information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN (%s) UNION ALL SELECT 'trigger', DEFINER, TRIGGER_SCHEMA,"
    " TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE " MY_TRIGGERS_OF_USERS
    " AND TRIGGER_SCHEMA IN (%s) UNION ALL SELECT 'event', DEFINER, EVENT_SCHEMA, EVENT_NAME, EVENT_NAME FROM"
    " information_schema.EVENTS WHERE EVENT_SCHEMA IN (%s) ORDER BY {O}";

#define NAMED 5 /* objects named in one finding; the rest is counted */

struct group {
    const char *of; /* kind or definer */
    struct mf_buf names;
    size_t n;
};

static void put_name(struct group *g, const char *kind, MYSQL_ROW x)
{
    if (g->n++ < NAMED) {
        mf_buf_printf(&g->names, "%s%s%s%s.%s", g->names.len ? ", " : "", kind, *kind ? " " : "", x[2], x[3]);
    } else if (g->n == NAMED + 1) {
        mf_buf_puts(&g->names, ", …");
    }
}

static int list(struct both *b, const char *order, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    mf_buf_append(&sql, list_sql, strlen(list_sql) - strlen("{O}"));
    mf_buf_puts(&sql, order);
    return my_check_ask(&b->source, ret, err, mf_buf_str(&sql));
}

/* Of somebody else than the target's account, and migrating. */
static bool concerns(const struct both *b, MYSQL_ROW x)
{
    return x[1] && x[2] && x[3] && x[4] && strcmp(x[1], b->target.db->facts.user) != 0 &&
           (strcmp(x[0], "trigger") == 0 ? my_check_migrates(&b->source, x[2], x[4]) != NULL
                                         : mf_filter_match(b->source.filter, x[2], x[4]));
}

static void say_lost(struct both *b, struct group *g)
{
    char object[40], remedy[500];
    if (g->n > 0) {
        snprintf(object, sizeof object, "%ss", g->of);
        snprintf(remedy, sizeof remedy, "GRANT %s ON *.* TO %s;", my_check_definer_right(&b->target),
                 b->target.account);
        my_check_say(&b->target, MF_WARNING, "definer-lost", object, remedy,
                     "%zu have definers that this account may not name: they are made as its own, run with its rights, "
                     "and fail once it is dropped: %s",
                     g->n, mf_buf_str(&g->names));
    }
    g->n = 0;
    mf_buf_reset(&g->names);
}

static int check_lost(struct both *b, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct group g = {.of = "", .names = {.max = 4096}};
    if (list(b, "1, 3, 4", &r, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        if (strcmp(g.of, x[0]) != 0) {
            say_lost(b, &g);
            g.of = x[0];
        }
        if (concerns(b, x)) {
            put_name(&g, "", x);
        }
    }
    say_lost(b, &g);
    mf_buf_free(&g.names);
    return 0;
}

/* 'user'@'host' of user@host. */
static void put_account(struct mf_buf *out, const char *who)
{
    const char *at = strrchr(who, '@');
    MF_CLEANUP_FREE char *user = mf_xasprintf("%.*s", at ? (int)(at - who) : (int)strlen(who), who);
    my_put_literal(out, user);
    mf_buf_putc(out, '@');
    my_put_literal(out, at ? at + 1 : "%");
}

/* *ret_seen false: the account may not look. */
static int exists(struct both *b, const char *who, bool *ret, bool *ret_seen, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "SELECT 1 FROM mysql.user WHERE CONCAT(User, '@', Host) = ");
    my_put_literal(&sql, who);
    *ret_seen = true;
    if (my_query(b->target.c, &r, err, mf_buf_str(&sql)) < 0) {
        *ret_seen = *ret = false;
        return my_is_error(err, ER_TABLEACCESS_DENIED_ERROR) ? (mf_error_clear(err), 0) : -1;
    }
    *ret = mysql_num_rows(r) > 0;
    return 0;
}

/* A trigger whose definer has not TRIGGER on its table refuses every write. Rights by roles are not seen, so an account that has one is passed over. */
static int check_trigger_right(struct both *b, MYSQL_ROW x, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf account = {.max = 1024}, remedy = {.max = 2048};
    struct my_grants grants;
    char object[400];
    bool role = false;
    put_account(&account, x[1]);
    if (my_queryf(b->target.c, &r, err, "SHOW GRANTS FOR %s", mf_buf_str(&account)) < 0) {
        return mysql_errno(b->target.c) >= 2000 ? -1 : (mf_error_clear(err), 0);
    }
    my_grants_init(&grants);
    int rc = 0;
    for (MYSQL_ROW g; rc == 0 && (g = mysql_fetch_row(r));) {
        role = role || !strstr(g[0], " ON ");
        rc = my_grants_add(&grants, g[0], err);
    }
    if (rc == 0 && !role && !my_grants_have(&grants, "TRIGGER", x[2], x[4])) {
        mf_buf_puts(&remedy, "GRANT TRIGGER ON "); /* on the database: the table need not exist yet */
        my_put_ident(&remedy, x[2]);
        mf_buf_printf(&remedy, ".* TO %s;", mf_buf_str(&account));
        snprintf(object, sizeof object, "trigger %.120s.%.120s", x[2], x[3]);
        my_check_say(&b->target, MF_WARNING, "definer-rights", object, mf_buf_str(&remedy),
                     "its definer %s has not TRIGGER on table %s.%s here: writes to the table would fail", x[1], x[2],
                     x[4]);
    }
    my_grants_free(&grants);
    return rc;
}

static void say_missing(struct both *b, struct group *g, bool seen)
{
    MF_CLEANUP_BUF struct mf_buf object = {.max = 1024};
    if (g->n > 0) {
        mf_buf_puts(&object, "account ");
        put_account(&object, g->of);
        MF_CLEANUP_FREE char *look =
            mf_xasprintf("GRANT SELECT ON mysql.user TO %s; -- or make sure of it", b->target.account);
        my_check_say(&b->target, MF_WARNING, seen ? "definer-missing" : "definer-unseen", mf_buf_str(&object),
                     seen ? "make it on the target, with its rights, before the cutover (or accounts: copy)" : look,
                     "the definer of %zu objects %s: using them fails where it is missing: %s", g->n,
                     seen ? "does not exist here" : "may or may not exist here, which this account may not see",
                     mf_buf_str(&g->names));
    }
    g->n = 0;
    mf_buf_reset(&g->names);
}

/* copy: accounts that are missing are made. */
static int check_missing(struct both *b, bool copy, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct group g = {.of = "", .names = {.max = 4096}};
    bool there = false, seen = true;
    int rc = list(b, "2, 1, 3, 4", &r, err);
    for (MYSQL_ROW x; rc == 0 && r && (x = mysql_fetch_row(r));) {
        if (!concerns(b, x)) {
            continue;
        }
        if (strcmp(g.of, x[1]) != 0) {
            say_missing(b, &g, seen);
            g.of = x[1];
            rc = exists(b, x[1], &there, &seen, err);
        }
        if (rc == 0 && !there && !copy) {
            put_name(&g, x[0], x);
        } else if (rc == 0 && there && strcmp(x[0], "trigger") == 0) {
            rc = check_trigger_right(b, x, err);
        }
    }
    if (rc == 0) {
        say_missing(b, &g, seen);
    }
    mf_buf_free(&g.names);
    return rc;
}

/* ---- all ---- */

static int check(struct both *b, bool copy, struct mf_error *err)
{
    struct my_check *s = &b->source;
    if (my_catalog_read(&s->db->base, s->filter, &s->tables, err) < 0) {
        return -1;
    }
    if (copy) {
        check_copy(b);
    }
    return my_check_may_define(&b->target) ? check_missing(b, copy, err) : check_lost(b, err);
}

int my_check_accounts(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                      struct mf_findings *out, struct mf_error *err)
{
    struct both b = {0};
    if (src->connector != db->connector) {
        return 0; /* nothing that has a definer is carried over */
    }
    int rc = my_check_open(&b.target, my_db_of(db), filter, out, err);
    rc = rc == 0 ? my_check_open(&b.source, my_db_of(src), filter, out, err) : rc;
    rc = rc == 0 ? check(&b, copy, err) : rc;
    my_check_close(&b.source);
    my_check_close(&b.target);
    return rc;
}
