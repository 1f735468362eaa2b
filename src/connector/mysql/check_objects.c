/* The tables that migrate and what hangs on them. See check.h. */
#include "connector/mysql/cascades.h"
#include "connector/mysql/check.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool my_check_schemas(const struct my_check *k, struct mf_buf *out)
{
    bool any = false;
    for (size_t i = 0; i < k->tables.n; i++) {
        const char *schema = k->tables.tables[i].schema;
        if (i == 0 || strcmp(k->tables.tables[i - 1].schema, schema) != 0) {
            mf_buf_puts(out, any ? ", " : "");
            my_put_literal(out, schema);
            any = true;
        }
    }
    return any;
}

int my_check_ask(struct my_check *k, MYSQL_RES **ret, struct mf_error *err, const char *fmt)
{
    MF_CLEANUP_BUF struct mf_buf schemas = {.max = 1u << 20}, sql = {.max = MY_SQL_MAX};
    *ret = NULL;
    if (!my_check_schemas(k, &schemas)) {
        return 0;
    }
    for (const char *place; (place = strstr(fmt, "%s")); fmt = place + 2) {
        mf_buf_append(&sql, fmt, (size_t)(place - fmt));
        mf_buf_puts(&sql, mf_buf_str(&schemas));
    }
    mf_buf_puts(&sql, fmt);
    if (!mf_buf_ok(&schemas) || !mf_buf_ok(&sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "there are too many databases to look at");
    }
    return my_query(k->c, ret, err, mf_buf_str(&sql));
}

const struct mf_table *my_check_migrates(const struct my_check *k, const char *schema, const char *name)
{
    return schema && name ? mf_catalog_find(&k->tables, schema, name) : NULL;
}

static void label_of(const char *schema, const char *name, char *out, size_t n)
{
    snprintf(out, n, "table %.140s.%.140s", schema, name);
}

/* ---- keys and columns ---- */

static void check_columns(struct my_check *k, const struct mf_table *t)
{
    MF_CLEANUP_BUF struct mf_buf generated = {.max = 4096}, spatial = {.max = 4096}, remedy = {.max = 1024};
    char object[300];
    label_of(t->schema, t->name, object, sizeof object);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        struct my_type type;
        struct mf_error ignored = {0};
        if (t->columns[i].generated) {
            mf_buf_printf(&generated, "%s%s", generated.len ? ", " : "", t->columns[i].name);
        }
        if (t->columns[i].type && my_type_parse(t->columns[i].type, NULL, &type, &ignored) == 0 &&
            type.base == MY_GEOMETRY) {
            mf_buf_printf(&spatial, "%s%s", spatial.len ? ", " : "", t->columns[i].name);
        }
    }
    if (t->identity == MF_IDENTITY_FULL) {
        mf_buf_puts(&remedy, "ALTER TABLE ");
        my_put_table(&remedy, t);
        mf_buf_puts(&remedy, " ADD PRIMARY KEY (…);");
        my_check_say(
            k, MF_WARNING, "no-key", object, mf_buf_str(&remedy),
            "no primary key and no other usable unique index (not null, on whole columns): it is copied from one "
            "snapshot, and rows are found by all their columns, which is slow");
    }
    if (generated.len) {
        my_check_say(k, MF_NOTE, "generated-column", object, "", "%s: not copied, the target computes it anew",
                     mf_buf_str(&generated));
    }
    if (spatial.len) {
        my_check_say(
            k, MF_NOTE, "spatial", object, "",
            "%s: passes as the bytes it is stored in; what a reference system means may differ between versions",
            mf_buf_str(&spatial));
    }
}

/* A TIMESTAMP is another text in another time zone, and what is kept of it is what the session had that wrote the row: ours have UTC. Nothing compares it, since
 * it does not travel. Of a column that is made when it is read, nothing is kept. */
static int check_clocks(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(
            k, &r, err,
            "SELECT DISTINCT g.TABLE_SCHEMA, g.TABLE_NAME, g.COLUMN_NAME, t.COLUMN_NAME FROM "
            "information_schema.COLUMNS g"
            " JOIN information_schema.COLUMNS t ON t.TABLE_SCHEMA = g.TABLE_SCHEMA AND t.TABLE_NAME = g.TABLE_NAME"
            " LEFT JOIN information_schema.STATISTICS s ON s.TABLE_SCHEMA IN (%s) AND s.TABLE_SCHEMA = g.TABLE_SCHEMA"
            " AND s.TABLE_NAME = g.TABLE_NAME AND s.COLUMN_NAME = g.COLUMN_NAME"
            " WHERE g.TABLE_SCHEMA IN (%s) AND t.TABLE_SCHEMA IN (%s) AND g.GENERATION_EXPRESSION <> '' AND "
            "t.DATA_TYPE = 'timestamp'"
            " AND LOCATE(CONCAT('`', t.COLUMN_NAME, '`'), g.GENERATION_EXPRESSION) > 0"
            " AND (g.EXTRA NOT LIKE '%VIRTUAL%' OR s.INDEX_NAME IS NOT NULL)") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        char object[400];
        if (my_check_migrates(k, row[0], row[1])) {
            snprintf(object, sizeof object, "column %.120s.%.120s.%.120s", row[0], row[1], row[2]);
            my_check_say(
                k, MF_WARNING, "generated-clock", object,
                "if sessions of the application have another time zone than UTC: make it an ordinary column, "
                "or compute it of a DATETIME",
                "it is computed of the TIMESTAMP \"%s\" in the time zone of whoever writes the row, which is UTC "
                "for midflight: on the target it may be another, and verify does not compare it",
                row[3]);
        }
    }
    return 0;
}

/* ---- what the server itself cannot open ---- */

/* A table whose definition is damaged is not in information_schema.TABLES, so nobody would miss it. */
static int check_unreadable(struct my_check *k, const char *schema, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, "SHOW TABLE STATUS FROM ");
    my_put_ident(&sql, schema);
    mf_buf_puts(&sql, " WHERE Engine IS NULL AND Comment NOT IN ('', 'VIEW')");
    if (my_query(k->c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        const char *why = "?";
        char object[300];
        for (unsigned i = 0; i < mysql_num_fields(r); i++) { /* MariaDB has columns after it */
            why = strcmp(mysql_fetch_field_direct(r, i)->name, "Comment") == 0 && row[i] ? row[i] : why;
        }
        bool view = mf_starts_with(why, "View ");
        if (!mf_filter_match(k->filter, schema, row[0])) {
            continue;
        }
        snprintf(object, sizeof object, "%s %.140s.%.140s", view ? "view" : "table", schema, row[0]);
        my_check_say(
            k, view ? MF_WARNING : MF_BLOCKER, view ? "view-broken" : "table-unreadable", object,
            view ? "drop it or make it anew on the source" : "repair it or restore it from a backup, or exclude it",
            view ? "it is not carried over: %s" : "the server cannot open it, so that it would be left behind: %s",
            why);
    }
    return 0;
}

/* ---- engines ---- */

static int check_engines(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(
            k, &r, err,
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_TYPE, CREATE_OPTIONS FROM information_schema.TABLES"
            " WHERE TABLE_TYPE <> 'VIEW' AND TABLE_SCHEMA IN (%s) ORDER BY 1, 2") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        char object[300];
        MF_CLEANUP_BUF struct mf_buf remedy = {.max = 1024};
        label_of(row[0], row[1], object, sizeof object);
        if (!mf_filter_match(k->filter, row[0], row[1])) {
            continue;
        }
        if (strcmp(row[3], "SYSTEM VERSIONED") == 0) {
            my_check_say(k, MF_BLOCKER, "system-versioned", object, "exclude it and move it by other means",
                         "a table that keeps its own history: what was is not in the log as rows, so it would be lost");
        } else if (strcmp(row[3], "SEQUENCE") == 0) {
            my_check_say(k, MF_WARNING, "sequence", object, "make it on the target by hand, beyond what is in use",
                         "a sequence: it is not migrated");
        } else if (my_check_migrates(k, row[0], row[1]) && strcasecmp(row[2] ? row[2] : "", "InnoDB") != 0) {
            mf_buf_puts(&remedy, "ALTER TABLE ");
            my_put_name(&remedy, row[0], row[1]);
            mf_buf_puts(&remedy, " ENGINE = InnoDB;");
            my_check_say(k, MF_BLOCKER, "engine", object, mf_buf_str(&remedy),
                         "its engine is %s: it has no transactions, so no snapshot of it fits the log",
                         row[2] ? row[2] : "?");
        } else if (my_check_migrates(k, row[0], row[1]) && row[4] && strstr(row[4], "partitioned")) {
            my_check_say(
                k, MF_NOTE, "partitions", object, "",
                "partitioned: it is made with the source's partitions of that moment, and later changes of them are "
                "not carried over");
        }
    }
    return 0;
}

/* ---- foreign keys and triggers ---- */

static int check_foreign(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_exec(k->c, err, "SET SESSION group_concat_max_len = 65536") < 0 ||
        my_check_ask(
            k, &r, err,
            "SELECT r.CONSTRAINT_SCHEMA, r.TABLE_NAME, r.CONSTRAINT_NAME, r.DELETE_RULE, r.UPDATE_RULE,"
            " r.UNIQUE_CONSTRAINT_SCHEMA, r.REFERENCED_TABLE_NAME,"
            " (SELECT GROUP_CONCAT(REFERENCED_COLUMN_NAME SEPARATOR '" MY_NAMES_APART
            "') FROM information_schema.KEY_COLUMN_USAGE k"
            " WHERE k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.TABLE_SCHEMA = r.CONSTRAINT_SCHEMA"
            " AND k.TABLE_NAME = r.TABLE_NAME AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME)"
            " FROM information_schema.REFERENTIAL_CONSTRAINTS r WHERE r.CONSTRAINT_SCHEMA IN (%s) ORDER BY 1, 2, 3") <
            0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        char object[400];
        MF_CLEANUP_BUF struct mf_buf remedy = {.max = 2048};
        if (!my_check_migrates(k, row[0], row[1])) {
            continue;
        }
        snprintf(object, sizeof object, "foreign key %.90s of %.120s.%.120s", row[2], row[0], row[1]);
        if (!my_check_migrates(k, row[5], row[6])) {
            my_check_say(k, MF_WARNING, "foreign-key-outside", object, "include the table it refers to",
                         "it refers to %s.%s, which does not migrate: it is made only if the target has that table",
                         row[5], row[6]);
        }
        const struct mf_table *to = my_check_migrates(k, row[5], row[6]);
        if (!my_rule_acts(row[3]) && !my_rule_acts(row[4])) {
            continue;
        }
        if (to && my_refers_to_key(to, row[7] ? row[7] : "")) {
            my_check_say(
                k, MF_NOTE, "cascade", object, "",
                "ON DELETE %s ON UPDATE %s: rows that the server changes by itself are not in the log; they are "
                "changed on the target when the change that caused it comes",
                row[3], row[4]);
            continue;
        }
        mf_buf_puts(&remedy, "ALTER TABLE ");
        my_put_name(&remedy, row[0], row[1]);
        mf_buf_puts(&remedy, " DROP FOREIGN KEY ");
        my_put_ident(&remedy, row[2]);
        mf_buf_puts(&remedy,
                    "; -- and add it again without ON DELETE and ON UPDATE; the application then changes those rows");
        my_check_say(k, MF_BLOCKER, "cascade", object, mf_buf_str(&remedy),
                     "ON DELETE %s ON UPDATE %s: rows that the server changes by itself are not in the log, and %s",
                     row[3], row[4],
                     to ? "it refers to columns that are not of the key, whose values the log need not have"
                        : "the table it refers to does not migrate: nothing tells when");
    }
    return 0;
}

static void check_definer(struct my_check *k, const char *object, const char *definer)
{
    char remedy[700];
    if (k->side != MF_SOURCE || my_check_may_define(k) || strcmp(definer, k->db->facts.user) == 0) {
        return;
    }
    snprintf(remedy, sizeof remedy, "GRANT %s ON *.* TO %s; -- or move with the account %.200s",
             my_check_definer_right(k), k->account, definer);
    my_check_say(
        k, MF_BLOCKER, "trigger-definer", object, remedy,
        "its definer is %s: it is taken down after a cutover, and for a rollback this account could not put it back",
        definer);
}

typedef void trigger_finding(struct my_check *k, const char *object, MYSQL_ROW row);

/* Of the tables that migrate: schema, table, name, timing, event, definer. */
static int each_trigger(struct my_check *k, trigger_finding *say, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(
            k, &r, err,
            "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, DEFINER"
            " FROM information_schema.TRIGGERS WHERE TRIGGER_NAME NOT LIKE 'midflight%'"
            " AND EVENT_OBJECT_SCHEMA IN (%s) ORDER BY 1, 2, 3") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        char object[400];
        if (my_check_migrates(k, row[0], row[1])) {
            snprintf(object, sizeof object, "trigger %.90s on %.120s.%.120s", row[2], row[0], row[1]);
            say(k, object, row);
        }
    }
    return 0;
}

static void say_own(struct my_check *k, const char *object, MYSQL_ROW row)
{
    bool ours = my_check_may_define(k) || strcmp(row[5] ? row[5] : "", k->db->facts.user) == 0;
    my_check_say(
        k, MF_WARNING, "trigger-target", object, "DROP TRIGGER …; -- on the target, if it is not meant to stay",
        "%s %s, the target's own: it is taken down before rows are written, and made again in a cutover's pause, "
        "unless the source has one of its name, or by a cancel%s",
        row[3], row[4], ours ? "" : "; its definer becomes this account, which may not say another");
}

int my_check_own_triggers(struct my_check *k, struct mf_error *err)
{
    return each_trigger(k, say_own, err);
}

static void say_trigger(struct my_check *k, const char *object, MYSQL_ROW row)
{
    my_check_say(k, MF_NOTE, "trigger", object, "",
                 "%s %s: it stands only on the side that takes the application's writes; it is made on the target in "
                 "a cutover's pause, and taken down on the source until a rollback or the end",
                 row[3], row[4]);
    check_definer(k, object, row[5] ? row[5] : "");
}

/* A name is kept in a field that counts bytes, where the server counts characters. */
#define NAME_BYTES (sizeof((struct mf_chunk_done *)0)->table - 1)

static void say_name(struct my_check *k, const struct mf_table *t, const char *code, const char *why)
{
    MF_CLEANUP_BUF struct mf_buf object = {.max = 1024}, remedy = {.max = 2048};
    mf_buf_printf(&object, "table %s.%s", t->schema, t->name);
    mf_buf_puts(&remedy, "RENAME TABLE ");
    my_put_name(&remedy, t->schema, t->name);
    mf_buf_puts(&remedy, " TO …; -- or exclude it");
    my_check_say(k, MF_BLOCKER, code, mf_buf_str(&object), mf_buf_str(&remedy), "%s", why);
}

/* Told by everything that has `database.table` for its name: the state, the log, the configuration. */
static bool another_reads_the_same(const struct mf_catalog *c, const struct mf_table *t)
{
    size_t n = strlen(t->schema);
    if (!strchr(t->name, '.')) {
        return false;
    }
    for (size_t i = 0; i < c->n; i++) {
        const struct mf_table *o = &c->tables[i];
        size_t m = strlen(o->schema);
        if (m > n && strncmp(o->schema, t->schema, n) == 0 && o->schema[n] == '.' &&
            strncmp(o->schema + n + 1, t->name, m - n - 1) == 0 && t->name[m - n - 1] == '.' &&
            strcmp(t->name + (m - n), o->name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_table_names(struct my_check *k)
{
    for (size_t i = 0; i < k->tables.n; i++) {
        const struct mf_table *t = &k->tables.tables[i];
        if (strlen(t->schema) > NAME_BYTES || strlen(t->name) > NAME_BYTES) {
            say_name(k, t, "name-length", "its name, or its database's, is longer than 127 bytes of UTF-8");
        }
        if (another_reads_the_same(&k->tables, t)) {
            say_name(k, t, "name-ambiguous", "there is a dot in its name, and another database's table reads the same");
        }
    }
}

int my_check_tables(struct my_check *k, struct mf_error *err)
{
    check_table_names(k);
    for (size_t i = 0; i < k->tables.n; i++) {
        check_columns(k, &k->tables.tables[i]);
    }
    for (size_t i = 0; i < k->tables.n; i++) {
        const char *schema = k->tables.tables[i].schema;
        if ((i == 0 || strcmp(k->tables.tables[i - 1].schema, schema) != 0) && check_unreadable(k, schema, err) < 0) {
            return -1;
        }
    }
    return check_engines(k, err) < 0 || check_foreign(k, err) < 0 || check_clocks(k, err) < 0 ||
                   each_trigger(k, say_trigger, err) < 0
               ? -1
               : 0;
}

/* ---- what is carried over in another form ---- */

int my_check_others(struct my_check *k, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(k, &r, err,
                     "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'"
                     " AND EVENT_SCHEMA IN (%s) ORDER BY 1, 2") < 0) {
        return -1;
    }
    for (MYSQL_ROW row; r && (row = mysql_fetch_row(r));) {
        char object[300];
        MF_CLEANUP_BUF struct mf_buf remedy = {.max = 1024};
        snprintf(object, sizeof object, "event %.120s.%.120s", row[0], row[1]);
        mf_buf_puts(&remedy, "ALTER EVENT ");
        my_put_name(&remedy, row[0], row[1]);
        mf_buf_puts(&remedy, " DISABLE; -- on the source before the cutover, and ENABLE on the target after it");
        my_check_say(
            k, MF_WARNING, "event", object, mf_buf_str(&remedy),
            "it is made disabled on the target, and goes on running on the source, where its writes are refused after "
            "the cutover");
    }
    return 0;
}
