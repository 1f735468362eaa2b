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

static void say_global(struct my_check *k, enum mf_severity severity, const char *code, const char *privilege,
                       const char *why)
{
    char remedy[500];
    snprintf(remedy, sizeof remedy, "GRANT %s ON *.* TO %s;", privilege, k->account);
    my_check_say(k, severity, code, k->db->facts.user, remedy, "the account has not %s: %s", privilege, why);
}

static void check_global(struct my_check *k)
{
    bool super = has(k, "SUPER");
    /* MariaDB calls the second BINLOG MONITOR since 10.5 and shows it so. */
    bool monitor = super || has(k, "REPLICATION CLIENT") || has(k, "BINLOG MONITOR");
    if (!has(k, "REPLICATION SLAVE")) {
        say_global(k, MF_BLOCKER, "account-replication-slave", "REPLICATION SLAVE", "it may not read the binary log");
    }
    if (!monitor) {
        say_global(k, MF_BLOCKER, "account-replication-client", "REPLICATION CLIENT",
                   "it may not ask where the binary log stands");
    }
    if (k->db->mariadb && k->db->version >= 100500 && !super && !has(k, "SLAVE MONITOR") &&
        !has(k, "REPLICA MONITOR")) {
        say_global(k, MF_BLOCKER, "account-slave-monitor", "SLAVE MONITOR",
                   "it may not ask whether the server is a replica, which must be known before writers are held");
    }
    if (!has(k, "PROCESS")) {
        say_global(k, MF_WARNING, "account-process", "PROCESS",
                   "it does not see other sessions: neither how loaded the server is, nor whom a cutover waits for");
    }
    if (k->side == MF_SOURCE && !k->db->mariadb && k->db->version >= 80000 && !has(k, "XA_RECOVER_ADMIN")) {
        say_global(
            k, MF_WARNING, "account-xa-recover", "XA_RECOVER_ADMIN",
            "XA transactions that are prepared when the stream begins, or a new table is taken in, are not waited "
            "for, and one that is committed afterwards stops the stream or loses its rows of the new table");
    }
    if (k->side == MF_SOURCE && !k->db->mariadb && !has(k, "RELOAD")) {
        say_global(
            k, MF_NOTE, "account-reload", "RELOAD",
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
    if (k->side == MF_TARGET) { /* its tables are to come: rights on the whole database are needed */
        missing(k, on_tables, MF_ARRAY_LEN(on_tables), schema, NULL, &b);
        missing(k, on_target, MF_ARRAY_LEN(on_target), schema, NULL, &b);
        if (b.len) {
            say_place(k, schema, NULL, mf_buf_str(&b), "the source's objects are made, written and gated there");
        }
    } else if (!my_grants_have(&k->grants, "SHOW VIEW", schema, NULL)) {
        char object[300], remedy[600];
        snprintf(object, sizeof object, "database %.200s", schema);
        snprintf(remedy, sizeof remedy, "GRANT SHOW VIEW ON `%.200s`.* TO %s;", schema, k->account);
        my_check_say(k, MF_WARNING, "account-views", object, remedy,
                     "the account has not SHOW VIEW: views, if there are any, are not carried over");
    }
}

/* What one table lacks, into out. */
static void table_lacks(const struct my_check *k, const struct mf_table *t, struct mf_buf *out)
{
    missing(k, on_tables, MF_ARRAY_LEN(on_tables), t->schema, t->name, out);
}

static const char why_tables[] = "rows are read, gated, and written (on the source after a cutover, for the way back)";

/* A few tables are told one by one, more as their database. */
#define FEW 3

static void check_tables_of(struct my_check *k, size_t from, size_t to)
{
    const char *schema = k->tables.tables[from].schema;
    MF_CLEANUP_BUF struct mf_buf all = {.max = 1024};
    size_t lacking = 0;
    missing(k, on_tables, MF_ARRAY_LEN(on_tables), schema, NULL, &all);
    for (size_t i = from; all.len && i < to; i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
        table_lacks(k, &k->tables.tables[i], &b);
        lacking += b.len > 0;
    }
    if (lacking > FEW) {
        say_place(k, schema, NULL, mf_buf_str(&all), why_tables);
        return;
    }
    for (size_t i = from; lacking && i < to; i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
        table_lacks(k, &k->tables.tables[i], &b);
        if (b.len) {
            say_place(k, schema, k->tables.tables[i].name, mf_buf_str(&b), why_tables);
        }
    }
}

/* A server shows nobody what he has no right on: such a table would be left behind without a word. Whoever lists the tables he means needs no
 * more than those. */
static void check_hidden(struct my_check *k, const char *schema)
{
    char object[300], remedy[700];
    if (k->side == MF_TARGET || (k->filter && k->filter->ninclude) ||
        my_grants_have(&k->grants, "SELECT", schema, NULL)) {
        return;
    }
    snprintf(object, sizeof object, "database %.200s", schema);
    snprintf(remedy, sizeof remedy,
             "GRANT SELECT ON `%.200s`.* TO %s; -- or list the tables that are meant (tables.include)", schema,
             k->account);
    my_check_say(
        k, MF_BLOCKER, "account-hidden", object, remedy,
        "the account has rights on single tables only: a table that it has no right on is invisible to it and would be "
        "left behind");
}

static void check_hidden_databases(struct my_check *k)
{
    char remedy[400];
    if (k->side == MF_TARGET || k->db->params.database || (k->filter && k->filter->ninclude) ||
        has(k, "SHOW DATABASES") || has(k, "SELECT")) {
        return;
    }
    snprintf(remedy, sizeof remedy, "GRANT SHOW DATABASES ON *.* TO %s; -- or name the database in the URL",
             k->account);
    my_check_say(k, MF_BLOCKER, "account-hidden", k->db->facts.host, remedy,
                 "the account does not see databases that it has no right on: they would be left behind");
}

/* ---- counters ---- */

struct counted {
    struct my_check *k;
    char schema[256], table[256]; /* the first that lacks something, of the database at hand */
    struct mf_buf lacks;          /* what */
    size_t n;                     /* tables of it */
};

static void say_counters(struct counted *c)
{
    if (c->n > 0) {
        say_place(c->k, c->schema, c->n == 1 ? c->table : NULL, mf_buf_str(&c->lacks),
                  "a rollback raises AUTO_INCREMENT to where the other side has come, which is ALTER TABLE to the "
                  "server");
    }
    c->n = 0;
    mf_buf_reset(&c->lacks);
}

static int look_at_counter(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    static const char *const to_alter[] = {"ALTER", "CREATE", "INSERT"};
    struct counted *c = ctx;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    (void)err;
    if (strcmp(c->schema, s->schema) != 0) {
        say_counters(c);
    }
    missing(c->k, to_alter, MF_ARRAY_LEN(to_alter), s->schema, s->name, &b);
    if (b.len == 0 || !my_check_migrates(c->k, s->schema, s->name)) {
        return 0;
    }
    if (c->n++ == 0) {
        mf_strlcpy(c->schema, s->schema, sizeof c->schema);
        mf_strlcpy(c->table, s->name, sizeof c->table);
        mf_buf_puts(&c->lacks, mf_buf_str(&b));
    }
    return 0;
}

/* The target's tables are made with what this needs. */
static int check_counters(struct my_check *k, struct mf_error *err)
{
    struct counted c = {.k = k, .lacks = {.max = 1024}};
    if (k->side != MF_SOURCE) {
        return 0;
    }
    int rc = my_sequences(&k->db->base, k->filter, look_at_counter, &c, err);
    if (rc == 0) {
        say_counters(&c);
    }
    mf_buf_free(&c.lacks);
    return rc;
}

int my_check_rights(struct my_check *k, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf book = {.max = 1024};
    check_global(k);
    check_hidden_databases(k);
    missing(k, on_book, MF_ARRAY_LEN(on_book), MY_BOOK, NULL, &book);
    if (book.len) {
        say_place(k, MY_BOOK, NULL, mf_buf_str(&book), "it may not keep its bookkeeping there");
    }
    for (size_t i = 0, next; i < k->tables.n; i = next) {
        for (next = i + 1; next < k->tables.n && !is_first(&k->tables, next);) {
            next++;
        }
        check_schema(k, k->tables.tables[i].schema);
        check_hidden(k, k->tables.tables[i].schema);
        if (k->side == MF_SOURCE) {
            check_tables_of(k, i, next);
        }
    }
    return check_counters(k, err);
}
