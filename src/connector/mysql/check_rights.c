/* What the account may do. One finding for each place where something is missing, with the GRANT that gives it. */
#include "connector/mysql/check.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* Both sides are read, written and streamed: the target's changes go back. */
static const char *const on_tables[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER"};
static const char *const on_target[] = {"CREATE",     "ALTER",       "DROP",           "INDEX",
                                        "REFERENCES", "CREATE VIEW", "CREATE ROUTINE", "EVENT"};
static const char *const on_book[] = {"CREATE", "DROP", "ALTER", "INDEX", "SELECT", "INSERT", "UPDATE", "DELETE"};

static void put_missing(struct mf_buf *b, const char *privilege)
{
    mf_buf_printf(b, "%s%s", b->len ? ", " : "", privilege);
}

static void missing(const struct my_check *k, const char *const *wanted, size_t n, const char *schema,
                    const char *table, struct mf_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (!my_grants_have(&k->grants, wanted[i], schema, table)) {
            put_missing(out, wanted[i]);
        }
    }
}

/* ---- on the server ---- */

static bool has(const struct my_check *k, const char *privilege)
{
    return my_grants_have(&k->grants, privilege, NULL, NULL);
}

static void say_global(struct my_check *k, enum mf_severity severity, const char *privilege, const char *why)
{
    char remedy[500];
    snprintf(remedy, sizeof remedy, "GRANT %s ON *.* TO %s;", privilege, k->account);
    my_check_say(k, severity, "account-global", k->db->facts.user, remedy, "the account has not %s: %s", privilege,
                 why);
}

static void check_global(struct my_check *k)
{
    bool super = has(k, "SUPER");
    /* MariaDB calls the second BINLOG MONITOR since 10.5 and shows it so. */
    bool monitor = super || has(k, "REPLICATION CLIENT") || has(k, "BINLOG MONITOR");
    if (!has(k, "REPLICATION SLAVE")) {
        say_global(k, MF_BLOCKER, "REPLICATION SLAVE", "it may not read the binary log");
    }
    if (!monitor) {
        say_global(k, MF_BLOCKER, "REPLICATION CLIENT", "it may not ask where the binary log stands");
    }
    if (!has(k, "PROCESS")) {
        say_global(k, MF_WARNING, "PROCESS",
                   "it does not see other sessions: neither how loaded the server is, nor whom a cutover waits for");
    }
    if (k->side == MF_SOURCE && !k->db->mariadb && !has(k, "RELOAD")) {
        say_global(
            k, MF_NOTE, "RELOAD",
            "on a server that never pauses writing, an exact snapshot needs FLUSH TABLES WITH READ LOCK for a moment");
    }
    /* A trigger is the gate; with a log, only an administrator may make one unless the server trusts its makers. */
    if (!super && my_check_on(k, "log_bin") && !my_check_on(k, "log_bin_trust_function_creators")) {
        my_check_say(
            k, MF_BLOCKER, "trust-function-creators", "log_bin_trust_function_creators",
            "SET GLOBAL log_bin_trust_function_creators = 1; -- and in the configuration",
            "the account has not SUPER, and without it the server lets nobody make triggers, of which the gate is made "
            "that holds writers at a cutover");
    }
}

/* ---- on databases and tables ---- */

static void say_place(struct my_check *k, const char *schema, const char *table, const char *what, const char *why)
{
    MF_CLEANUP_BUF struct mf_buf remedy = {.max = 2048}, object = {.max = 512};
    mf_buf_printf(&remedy, "GRANT %s ON ", what);
    my_put_ident(&remedy, schema);
    mf_buf_putc(&remedy, '.');
    if (table) {
        my_put_ident(&remedy, table);
    } else {
        mf_buf_putc(&remedy, '*');
    }
    mf_buf_printf(&remedy, " TO %s;", k->account);
    mf_buf_printf(&object, "%s %s%s%s", table ? "table" : "database", schema, table ? "." : "", table ? table : "");
    my_check_say(k, MF_BLOCKER, "account-rights", mf_buf_str(&object), mf_buf_str(&remedy),
                 "the account has not %s: %s", what, why);
}

static bool is_first(const struct mf_catalog *t, size_t i)
{
    return i == 0 || strcmp(t->tables[i - 1].schema, t->tables[i].schema) != 0;
}

static void check_schema(struct my_check *k, const char *schema)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    if (k->side == MF_TARGET) {
        missing(k, on_target, MF_ARRAY_LEN(on_target), schema, NULL, &b);
    } else if (!my_grants_have(&k->grants, "SHOW VIEW", schema, NULL)) {
        char object[300], remedy[600];
        snprintf(object, sizeof object, "database %.200s", schema);
        snprintf(remedy, sizeof remedy, "GRANT SHOW VIEW ON `%.200s`.* TO %s;", schema, k->account);
        my_check_say(k, MF_WARNING, "account-views", object, remedy,
                     "the account has not SHOW VIEW: views are not carried over");
    }
    if (b.len) {
        say_place(k, schema, NULL, mf_buf_str(&b), "it may not make what the source has there");
    }
}

/* The rights of one table. On a target it is to come: rights on the whole database are needed. */
static bool check_table(struct my_check *k, const struct mf_table *t, bool whole)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    missing(k, on_tables, MF_ARRAY_LEN(on_tables), t->schema, whole ? NULL : t->name, &b);
    if (b.len) {
        say_place(k, t->schema, whole ? NULL : t->name, mf_buf_str(&b),
                  "rows are read, gated, and written (on the source after a cutover, for the way back)");
    }
    return b.len == 0;
}

static bool rights_on_all(const struct my_check *k, const char *schema)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    missing(k, on_tables, MF_ARRAY_LEN(on_tables), schema, NULL, &b);
    return b.len == 0;
}

#define MAX_TABLES_TOLD 20

int my_check_rights(struct my_check *k, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf book = {.max = 1024};
    size_t told = 0;
    (void)err;
    check_global(k);
    missing(k, on_book, MF_ARRAY_LEN(on_book), MY_BOOK, NULL, &book);
    if (book.len) {
        say_place(k, MY_BOOK, NULL, mf_buf_str(&book), "it may not keep its bookkeeping there");
    }
    for (size_t i = 0; i < k->tables.n; i++) {
        const struct mf_table *t = &k->tables.tables[i];
        bool first = is_first(&k->tables, i);
        if (first) {
            check_schema(k, t->schema);
        }
        if (k->side == MF_TARGET) {
            told += first && !check_table(k, t, true);
        } else if (told < MAX_TABLES_TOLD && !rights_on_all(k, t->schema)) {
            told += !check_table(k, t, false);
        }
    }
    return 0;
}
