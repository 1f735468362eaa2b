/*
 * What is written in SQL and kept on the server: routines, triggers, events and views. Each is given to the target to be parsed, by preparing the
 * statement that would make it (syntax.h): the target itself is the judge of its words and grammar, in the SQL mode the object would be
 * made with. What it parses and refuses only when it runs, or does in another way, is looked for in the text (upgrade.h).
 */
#include "connector/mysql/check_upgrade.h"
#include "connector/mysql/schema.h"
#include "connector/mysql/schema_mend.h"
#include "connector/mysql/syntax.h"
#include "connector/mysql/upgrade.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* ---- names ---- */

/* The words that matter for this pair, for IN (…); false when there is none. */
static bool put_words(const struct my_upgrade *u, struct mf_buf *out)
{
    int since, until;
    const char *word;
    for (size_t i = 0; (word = my_reserved_word(i, &since, &until)); i++) {
        if (my_reserved_since(word, u->source->db->version, u->target->db->version)) {
            mf_buf_printf(out, "%s'%s'", out->len ? ", " : "", word);
        }
    }
    return out->len > 0;
}

/* Rows of database, object (for the filter), name, what it is. {W}: the words. */
static const char names_sql[] =
    "SELECT SCHEMA_NAME, '', SCHEMA_NAME, CONCAT('database ', SCHEMA_NAME) FROM information_schema.SCHEMATA"
    " WHERE SCHEMA_NAME IN (%s) AND UPPER(SCHEMA_NAME) IN ({W}) UNION ALL"
    " SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_NAME, CONCAT(IF(TABLE_TYPE = 'VIEW', 'view ', 'table '), TABLE_SCHEMA, "
    "'.',"
    " TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (%s) AND UPPER(TABLE_NAME) IN ({W}) UNION ALL"
    " SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, CONCAT('column ', TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME)"
    " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s) AND UPPER(COLUMN_NAME) IN ({W}) UNION ALL"
    " SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, CONCAT('index ', INDEX_NAME, ' of ', TABLE_SCHEMA, '.',"
    " TABLE_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA IN (%s) AND UPPER(INDEX_NAME) IN ({W})"
    " UNION ALL SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_NAME, CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, "
    "'.',"
    " ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN (%s) AND UPPER(ROUTINE_NAME) IN ({W})"
    " UNION ALL SELECT SPECIFIC_SCHEMA, SPECIFIC_NAME, PARAMETER_NAME, CONCAT('parameter ', PARAMETER_NAME, ' of ',"
    " LOWER(ROUTINE_TYPE), ' ', SPECIFIC_SCHEMA, '.', SPECIFIC_NAME) FROM information_schema.PARAMETERS"
    " WHERE SPECIFIC_SCHEMA IN (%s) AND UPPER(PARAMETER_NAME) IN ({W}) UNION ALL"
    " SELECT TRIGGER_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME, CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME)"
    " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN (%s) AND UPPER(TRIGGER_NAME) IN ({W}) UNION ALL"
    " SELECT EVENT_SCHEMA, EVENT_NAME, EVENT_NAME, CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME)"
    " FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN (%s) AND UPPER(EVENT_NAME) IN ({W})";

int my_look_names(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf words = {.max = 4096}, sql = {.max = 65536};
    if (!put_words(u, &words)) {
        return 0;
    }
    const char *p = names_sql;
    for (const char *at; (at = strstr(p, "{W}")); p = at + 3) {
        mf_buf_append(&sql, p, (size_t)(at - p));
        mf_buf_puts(&sql, mf_buf_str(&words));
    }
    mf_buf_puts(&sql, p);
    if (my_check_ask(u->source, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        struct my_upgrade_row one = *row;
        if (*x[1] && !mf_filter_match(u->source->filter, x[0], x[1])) {
            continue;
        }
        one.since = my_reserved_since(x[2], u->source->db->version, u->target->db->version);
        my_upgrade_tell(u, &one, &(struct my_thing){x[0], x[1], x[2], x[3]});
    }
    return 0;
}

/* ---- objects ---- */

static const struct kind {
    const char *what, *label;
    unsigned text;    /* column of SHOW CREATE */
    const char *list; /* database, name, SQL modes, the table of a trigger */
} kinds[] = {
    {"PROCEDURE", "procedure", 2,
     "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, SQL_MODE, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE ="
     " 'PROCEDURE' AND ROUTINE_SCHEMA IN (%s) ORDER BY 1, 2"},
    {"FUNCTION", "function", 2,
     "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, SQL_MODE, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE ="
     " 'FUNCTION' AND ROUTINE_SCHEMA IN (%s) ORDER BY 1, 2"},
    {"TRIGGER", "trigger", 2,
     "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, SQL_MODE, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS"
     " WHERE TRIGGER_NAME NOT LIKE 'midflight%' AND TRIGGER_SCHEMA IN (%s) ORDER BY 1, 2"},
    {"EVENT", "event", 3,
     "SELECT EVENT_SCHEMA, EVENT_NAME, SQL_MODE, NULL FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN (%s)"
     " ORDER BY 1, 2"},
    {"VIEW", "view", 1,
     "SELECT TABLE_SCHEMA, TABLE_NAME, '', NULL FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN (%s) ORDER BY 1, "
     "2"},
};

struct object {
    const struct kind *kind;
    struct my_thing thing;
    const char *text, *modes;
};

static const struct my_upgrade_row refused = {
    "object-refused",
    0,
    MF_WARNING,
    "{name} {schema}.{table}",
    "the target does not understand it: {value}",
    "change it on the source to what both versions understand; else it is left out of the target",
    .look = NULL};
static const struct my_upgrade_row order_removed = {
    "group-by-order",
    80013,
    MF_WARNING,
    "{name} {schema}.{table}",
    "it has GROUP BY … ASC or DESC, which the target does not understand",
    "say ORDER BY after GROUP BY, which 5.7 takes too",
    .look = NULL};
static const struct my_upgrade_row order_implied = {
    "group-by-unordered",
    80011,
    MF_NOTE,
    "{name} {schema}.{table}",
    "it has GROUP BY without ORDER BY: 5.7 gave the groups in order, the target gives them in any",
    "say ORDER BY where the order matters",
    .look = NULL};
static const struct my_upgrade_row function_removed = {"removed-function",
                                                       80011,
                                                       MF_WARNING,
                                                       "{name} {schema}.{table}",
                                                       "it calls functions that the target does not have: {value}",
                                                       "call what both have, where there is one (in brackets)",
                                                       .look = NULL};
static const struct my_upgrade_row mode_removed = {
    "object-sql-mode",
    80011,
    MF_NOTE,
    "{name} {schema}.{table}",
    "it was made under the SQL modes {value}, which the target does not have: it is made without them",
    "",
    .look = NULL};

static void tell(struct my_upgrade *u, const struct my_upgrade_row *row, const struct my_thing *x)
{
    if (my_upgrade_applies(row, u->source->db->version, u->target->db->version)) {
        u->told = 0;
        my_upgrade_tell(u, row, x);
    }
}

/* NO_AUTO_CREATE_USER alone is 5.7's default and says something about GRANT only. */
static void look_at_modes(struct my_upgrade *u, const struct object *o, struct mf_buf *kept)
{
    char gone[300];
    struct my_mend mend = {.mariadb = u->target->db->mariadb, .version = u->target->db->version};
    my_mend_modes(&mend, o->modes, kept, gone, sizeof gone);
    struct my_thing x = o->thing;
    x.value = gone;
    if (gone[0] && strcmp(gone, "NO_AUTO_CREATE_USER") != 0) {
        tell(u, &mode_removed, &x);
    }
}

static int look_at_text(struct my_upgrade *u, const struct object *o, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf modes = {.max = 4096}, sql = {.max = 8192};
    struct my_thing x = o->thing;
    struct my_scan scan;
    struct mf_error why;
    enum my_understood understood;
    look_at_modes(u, o, &modes);
    my_scan_text(o->text, strlen(o->text), !strstr(o->modes, "NO_BACKSLASH_ESCAPES"), &scan);
    x.value = scan.removed;
    if (scan.removed[0]) {
        tell(u, &function_removed, &x);
    }
    if (scan.group_order) {
        tell(u, &order_removed, &x);
    } else if (scan.group_alone) {
        tell(u, &order_implied, &x);
    }
    mf_buf_puts(&sql, "SET SESSION sql_mode = ");
    my_put_literal(&sql, mf_buf_str(&modes));
    if (my_exec_buf(u->target->c, err, &sql) < 0 ||
        my_understands(u->target->c, o->text, strlen(o->text), &understood, &why, err) < 0) {
        return -1;
    }
    x.value = why.text;
    if (understood == MY_NOT_PARSED && !scan.group_order && !scan.removed[0]) {
        tell(u, &refused, &x);
    }
    return 0;
}

/* Its text, NULL when it may not be read or cannot be made (a view on a table that is gone: check_objects.c). */
static int read_text(struct my_upgrade *u, struct object *o, struct mf_error *err)
{
    struct mf_error no = {0};
    mf_arena_reset(&u->arena);
    if (my_show_create(u->source->c, o->kind->what, o->thing.schema, o->thing.table, o->kind->text, &u->arena, &o->text,
                       &no) < 0 &&
        mysql_errno(u->source->c) >= 2000) {
        *err = no;
        return -1;
    }
    return 0;
}

static int look_at_kind(struct my_upgrade *u, const struct kind *kind, size_t *unread, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(u->source, &r, err, kind->list) < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        struct object o = {kind, {x[0], x[1], kind->label, NULL}, NULL, x[2] ? x[2] : ""};
        if (!mf_filter_match(u->source->filter, x[0], x[3] ? x[3] : x[1])) {
            continue;
        }
        if (read_text(u, &o, err) < 0 || (o.text && look_at_text(u, &o, err) < 0)) {
            return -1;
        }
        *unread += !o.text && kind->text == 2 && !x[3];
    }
    return 0;
}

static void tell_unread(struct my_upgrade *u, size_t n)
{
    struct my_check *s = u->source;
    char remedy[500];
    bool newer = s->db->version >= 80000;
    snprintf(remedy, sizeof remedy, "GRANT SELECT ON %s TO %s;", newer ? "*.*" : "mysql.proc", s->account);
    my_check_say(s, MF_WARNING, "account-routines", s->db->facts.user, remedy,
                 "the account may not read the text of %zu routines: they are neither looked at nor carried over", n);
}

int my_upgrade_code(struct my_upgrade *u, struct mf_error *err)
{
    size_t unread = 0;
    char mode[2048];
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    /* A routine's name is completed by the default database before the routine is parsed, and the source's may not exist here yet. */
    if (mysql_select_db(u->target->c, "information_schema") != 0) {
        return my_fail(u->target->c, err);
    }
    if (my_query_text(u->target->c, mode, sizeof mode, err, "SELECT @@SESSION.sql_mode") < 0) {
        return -1;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(kinds); i++) {
        if (look_at_kind(u, &kinds[i], &unread, err) < 0) {
            return -1;
        }
    }
    if (unread) {
        tell_unread(u, unread);
    }
    mf_buf_puts(&sql, "SET SESSION sql_mode = ");
    my_put_literal(&sql, mode);
    return my_exec_buf(u->target->c, err, &sql);
}
