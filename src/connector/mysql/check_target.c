/* Findings about this server as the target of that source: what it cannot hold, what it would do in another way, what is there
 * already. */
#include "connector/mysql/check.h"
#include "connector/mysql/schema_mend.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct both {
    struct my_check *target;
    struct my_check source; /* its tables are lent by the target's */
};

/* ---- the servers ---- */

static void check_versions(struct both *b)
{
    struct my_check *k = b->target;
    const struct my_db *s = b->source.db, *t = k->db;
    if (strcmp(s->facts.system_id, t->facts.system_id) == 0) {
        my_check_say(
            k, MF_BLOCKER, "same-server", t->facts.host, "give another server as the target",
            "source and target are one server: databases keep their names, so each would be copied over itself");
    }
    if (s->mariadb != t->mariadb) {
        my_check_say(k, MF_WARNING, "other-engine", t->facts.host, "rehearse the migration on a copy first",
                     "from %s %s to %s %s: types, collations and functions of one may be missing in the other",
                     s->facts.engine, s->facts.version, t->facts.engine, t->facts.version);
    } /* a downgrade is told by whoever asks */
    if (s->params.database && t->params.database && strcmp(s->params.database, t->params.database) != 0) {
        my_check_say(k, MF_BLOCKER, "database-name", t->params.database, "name the same database in both URLs, or none",
                     "databases keep their names: the source's %s cannot become %s", s->params.database,
                     t->params.database);
    }
}

static void check_names(struct both *b)
{
    struct my_check *k = b->target;
    bool mixed = false;
    const char *there = my_check_var(&b->source, "lower_case_table_names"),
               *here = my_check_var(k, "lower_case_table_names");
    if (strcmp(there, here) == 0) {
        return;
    }
    for (size_t i = 0; i < k->tables.n; i++) {
        const struct mf_table *t = &k->tables.tables[i];
        for (const char *p = t->schema; *p; p++) {
            mixed = mixed || (*p >= 'A' && *p <= 'Z');
        }
        for (const char *p = t->name; *p; p++) {
            mixed = mixed || (*p >= 'A' && *p <= 'Z');
        }
    }
    my_check_say(k, mixed ? MF_BLOCKER : MF_WARNING, "lower-case-names", "lower_case_table_names",
                 "make the target anew with the source's lower_case_table_names",
                 "it is %s on the source and %s here: %s", there, here,
                 mixed ? "names with capital letters would be other names"
                       : "statements may find other tables than before");
}

static void check_packet(struct both *b)
{
    if (b->target->db->max_packet < b->source.db->max_packet) {
        char remedy[120];
        snprintf(remedy, sizeof remedy, "SET GLOBAL max_allowed_packet = %" PRId64 "; -- and in the configuration",
                 b->source.db->max_packet);
        my_check_say(b->target, MF_WARNING, "max-allowed-packet", "max_allowed_packet", remedy,
                     "it is %" PRId64 " bytes, the source's is %" PRId64 ": a row that is larger cannot be written",
                     b->target->db->max_packet, b->source.db->max_packet);
    }
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The same modes in whatever order. */
static bool same_modes(const char *a, const char *b)
{
    char copy[2][2048], *words[2][64];
    size_t n[2] = {0};
    for (int i = 0; i < 2; i++) {
        char *rest = copy[i], *word;
        mf_strlcpy(copy[i], i ? b : a, sizeof copy[i]);
        while ((word = strsep(&rest, ",")) && n[i] < MF_ARRAY_LEN(words[i])) {
            words[i][n[i]++] = word;
        }
        qsort(words[i], n[i], sizeof(char *), compare_words);
    }
    for (size_t i = 0; n[0] == n[1] && i < n[0]; i++) {
        if (strcmp(words[0][i], words[1][i]) != 0) {
            return false;
        }
    }
    return n[0] == n[1];
}

static void check_modes(struct both *b)
{
    struct my_check *k = b->target;
    const char *there = my_check_var(&b->source, "sql_mode"), *here = my_check_var(k, "sql_mode");
    struct my_mend mend = {.mariadb = k->db->mariadb, .version = k->db->version};
    MF_CLEANUP_BUF struct mf_buf known = {.max = 4096}; /* what the target has never heard of cannot be set there */
    char unknown[300];
    my_mend_modes(&mend, there, &known, unknown, sizeof unknown);
    if (!same_modes(mf_buf_str(&known), here)) {
        my_check_say(
            k, MF_WARNING, "sql-mode", "sql_mode", "set the mode that applications are meant to meet",
            "it is '%s' here and '%s' on the source: what applications write may be taken or refused in another way",
            here, there);
    }
    if (my_check_on(&b->source, "explicit_defaults_for_timestamp") !=
        my_check_on(k, "explicit_defaults_for_timestamp")) {
        my_check_say(k, MF_NOTE, "timestamp-defaults", "explicit_defaults_for_timestamp", "",
                     "it differs from the source's: tables that applications make later get other defaults");
    }
    const char *zones[] = {my_check_var(&b->source, "time_zone"), my_check_var(k, "time_zone"),
                           my_check_var(&b->source, "system_time_zone"), my_check_var(k, "system_time_zone")};
    bool system = strcmp(zones[0], "SYSTEM") == 0 && strcmp(zones[1], "SYSTEM") == 0;
    if (strcmp(zones[0], zones[1]) != 0 || (system && strcmp(zones[2], zones[3]) != 0)) {
        my_check_say(k, MF_WARNING, "time-zone", "time_zone", "SET GLOBAL time_zone = …; -- as on the source",
                     "it is %s (%s) here and %s (%s) on the source: the same moment reads as another time", zones[1],
                     zones[3], zones[0], zones[2]);
    }
}

/* Named time zones work only once their tables are filled. */
static int check_zones(struct both *b, struct mf_error *err)
{
    static const char ask[] = "SELECT CONVERT_TZ('2026-01-01 00:00:00', 'UTC', 'Europe/Berlin') IS NOT NULL";
    int64_t there = 0, here = 0;
    if (my_query_i64(b->source.c, &there, err, ask) < 0 || my_query_i64(b->target->c, &here, err, ask) < 0) {
        return -1;
    }
    if (there && !here) {
        my_check_say(
            b->target, MF_WARNING, "time-zone-tables", "mysql.time_zone_name",
            "mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql -u root mysql",
            "the source knows time zones by name and this server does not: SET time_zone and CONVERT_TZ with a name "
            "fail or give NULL");
    }
    return 0;
}

/* ---- collations ---- */

static bool is_named(MYSQL_RES *r, const char *name)
{
    mysql_data_seek(r, 0);
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        if (row[0] && strcasecmp(row[0], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_there(MYSQL_RES *r, const char *name)
{
    char other[80];
    return is_named(r, name) || (my_collation_other(name, other, sizeof other) && is_named(r, other));
}

static int check_collations(struct both *b, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *used = NULL, *have = NULL;
    MF_CLEANUP_BUF struct mf_buf schemas = {.max = 1u << 20}, sql = {.max = MY_SQL_MAX};
    if (!my_check_schemas(b->target, &schemas)) {
        return 0;
    }
    mf_buf_printf(
        &sql,
        "SELECT COLLATION_NAME, MIN(CONCAT('column ', TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME)), COUNT(*)"
        " FROM information_schema.COLUMNS WHERE COLLATION_NAME IS NOT NULL AND TABLE_SCHEMA IN (%s)"
        " GROUP BY COLLATION_NAME UNION ALL"
        " SELECT DEFAULT_COLLATION_NAME, MIN(CONCAT('database ', SCHEMA_NAME)), COUNT(*)"
        " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN (%s) GROUP BY DEFAULT_COLLATION_NAME",
        mf_buf_str(&schemas), mf_buf_str(&schemas));
    if (!mf_buf_ok(&sql) || my_query(b->source.c, &used, err, mf_buf_str(&sql)) < 0 ||
        my_query(b->target->c, &have, err, "SELECT COLLATION_NAME FROM information_schema.COLLATIONS") < 0) {
        return mf_buf_ok(&sql) ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "there are too many databases to look at");
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(used));) {
        if (row[0] && !is_there(have, row[0])) {
            my_check_say(
                b->target, MF_BLOCKER, "collation", row[1],
                "change it on the source to a collation that both have (ALTER TABLE … CONVERT TO CHARACTER SET … "
                "COLLATE …)",
                "its collation %s is not known here (%s in all): rows would be compared, and keys be equal, in "
                "another way",
                row[0], row[2]);
        }
    }
    return 0;
}

static bool same_collation(const char *a, const char *b)
{
    char other[80];
    return strcasecmp(a, b) == 0 || (my_collation_other(a, other, sizeof other) && strcasecmp(other, b) == 0);
}

/* source and here: SCHEMA_NAME, DEFAULT_COLLATION_NAME, DEFAULT_CHARACTER_SET_NAME of one database. */
static void say_default(struct both *b, MYSQL_ROW source, MYSQL_ROW here)
{
    MF_CLEANUP_BUF struct mf_buf object = {.max = 400}, remedy = {.max = 1024};
    mf_buf_printf(&object, "database %s", here[0]);
    mf_buf_puts(&remedy, "ALTER DATABASE ");
    my_put_ident(&remedy, here[0]);
    mf_buf_printf(&remedy, " CHARACTER SET %s COLLATE %s; -- on the target, before the run", source[2], source[1]);
    my_check_say(b->target, MF_WARNING, "database-default", mf_buf_str(&object), mf_buf_str(&remedy),
                 "its default is %s here and %s on the source: parameters and variables of routines and triggers, and "
                 "tables made later, get the other one; they compare differently, fail (1267), or lose characters",
                 here[1], source[1]);
}

/* Routines and triggers take parameters and variables without a character set of their own from their database. */
static int check_databases(struct both *b, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *there = NULL, *here = NULL;
    MF_CLEANUP_BUF struct mf_buf schemas = {.max = 1u << 20}, sql = {.max = MY_SQL_MAX};
    if (!my_check_schemas(b->target, &schemas)) {
        return 0;
    }
    mf_buf_printf(&sql,
                  "SELECT SCHEMA_NAME, DEFAULT_COLLATION_NAME, DEFAULT_CHARACTER_SET_NAME"
                  " FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN (%s)",
                  mf_buf_str(&schemas));
    if (!mf_buf_ok(&sql) || my_query(b->source.c, &there, err, mf_buf_str(&sql)) < 0 ||
        my_query(b->target->c, &here, err, mf_buf_str(&sql)) < 0) {
        return mf_buf_ok(&sql) ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "there are too many databases to look at");
    }
    for (MYSQL_ROW t; (t = mysql_fetch_row(here));) {
        mysql_data_seek(there, 0);
        for (MYSQL_ROW s; (s = mysql_fetch_row(there));) {
            if (strcmp(s[0], t[0]) == 0 && !same_collation(s[1], t[1])) {
                say_default(b, s, t);
            }
        }
    }
    return 0;
}

/* ---- what is there already ---- */

/* This migration has been begun here: rows are to be expected. */
static int begun(struct my_check *k, bool *ret, struct mf_error *err)
{
    bool exists = false;
    int64_t n = 0;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    *ret = false;
    if (!k->db->migration) {
        return 0;
    }
    if (my_book_exists(k->c, &exists, err) < 0) {
        return -1;
    }
    if (!exists) {
        return 0;
    }
    mf_buf_puts(&sql, "SELECT EXISTS (SELECT * FROM midflight.chunk WHERE migration = ");
    my_put_literal(&sql, k->db->migration);
    mf_buf_puts(&sql, ") OR EXISTS (SELECT * FROM midflight.checkpoint WHERE migration = ");
    my_put_literal(&sql, k->db->migration);
    mf_buf_puts(&sql, ")");
    if (my_query_i64(k->c, &n, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    *ret = n != 0;
    return 0;
}

static int has_rows(struct my_check *k, const struct mf_table *t, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    int64_t n = 0;
    mf_buf_puts(&sql, "SELECT EXISTS (SELECT * FROM ");
    my_put_table(&sql, t);
    mf_buf_puts(&sql, ")");
    if (my_query_i64(k->c, &n, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    *ret = n != 0;
    return 0;
}

static int check_existing(struct my_check *k, const struct mf_table *t, struct mf_error *err)
{
    char object[300];
    bool rows = false;
    MF_CLEANUP_BUF struct mf_buf remedy = {.max = 1024};
    snprintf(object, sizeof object, "table %.140s.%.140s", t->schema, t->name);
    if (has_rows(k, t, &rows, err) < 0) {
        return -1;
    }
    if (rows) {
        mf_buf_puts(&remedy, "SET foreign_key_checks = 0; TRUNCATE TABLE ");
        my_put_table(&remedy, t);
        mf_buf_puts(&remedy, "; SET foreign_key_checks = 1; -- on the target, or exclude the table");
        my_check_say(k, MF_BLOCKER, "target-rows", object, mf_buf_str(&remedy),
                     "the target's table has rows already; the source's would be mixed with them");
    } else {
        my_check_say(k, MF_NOTE, "target-table", object, "drop it to have it made as the source's",
                     "it is there already and is used as it is");
    }
    return 0;
}

#define LOOKED_INTO 2000 /* tables whether they have rows; a target with more of ours is no accident */

int my_check_contents(struct my_check *k, struct mf_error *err)
{
    struct mf_catalog here = {0};
    bool resumed = false;
    size_t others = 0;
    if (begun(k, &resumed, err) < 0 || my_catalog_read(&k->db->base, NULL, &here, err) < 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < here.n; i++) {
        const struct mf_table *t = &here.tables[i];
        if (!mf_catalog_find(&k->tables, t->schema, t->name)) {
            others++;
        } else if (!resumed && i < LOOKED_INTO) {
            rc = check_existing(k, t, err);
        }
    }
    mf_catalog_free(&here);
    rc = rc == 0 && !resumed ? my_check_own_triggers(k, err) : rc;
    if (rc == 0 && others) {
        my_check_say(k, MF_NOTE, "target-not-empty", k->db->facts.host, "",
                     "%zu tables that do not come from the source are there; they are left alone", others);
    }
    return rc;
}

/* ---- all ---- */

static int check(struct both *b, const struct mf_filter *filter, struct mf_error *err)
{
    struct my_check *k = b->target;
    if (my_catalog_read(&b->source.db->base, filter, &k->tables, err) < 0) {
        return -1;
    }
    b->source.tables = k->tables;
    check_versions(b);
    check_names(b);
    check_packet(b);
    check_modes(b);
    return my_check_server(k, err) < 0 || my_check_rights(k, err) < 0 || check_zones(b, err) < 0 ||
                   check_collations(b, err) < 0 || check_databases(b, err) < 0 || my_check_contents(k, err) < 0 ||
                   my_check_upgrade(&b->source, k, err) < 0
               ? -1
               : 0;
}

int my_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                    struct mf_error *err)
{
    struct my_check k = {0};
    struct both b = {.target = &k};
    if (src->connector != db->connector) {
        return my_check_other(db, src, filter, out, err);
    }
    int rc = my_check_open(&k, my_db_of(db), filter, out, err);
    rc = rc == 0 ? my_check_open(&b.source, my_db_of(src), filter, out, err) : rc;
    rc = rc == 0 ? check(&b, filter, err) : rc;
    b.source.tables = (struct mf_catalog){0};
    my_check_close(&b.source);
    my_check_close(&k);
    return rc;
}
