/*
 * Statements that the source has seen, as its performance_schema keeps them without literals, given to the target: does it parse them, and plan them no worse?
 *
 * A text is first given to the server that it came from. What that one does not take either was cut, or cannot be made a
 * statement again (query_text.h), and says nothing about the target. Plans are compared only when the target has every index: before that every
 * one of them would be worse.
 */
#include "connector/mysql/check_queries.h"
#include "connector/mysql/upgrade.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define WORDS     64  /* of the table of reserved ones */
#define SHOWN     180 /* bytes of a statement's text in a finding */
#define PLAN_TEXT 600

struct tally {
    struct my_queries q;
    bool plans; /* the target has all indexes */
    size_t looked, refused, worse, planned, unclear, unsafe, parsed;
    struct {
        size_t n;
        char example[SHOWN + 8];
    } words[WORDS], unordered;
    bool seen[WORDS]; /* in this statement */
};

/* ---- what may be looked at ---- */

static void say_off(struct my_check *k, const char *object, const char *remedy, const char *why)
{
    my_check_say(k, MF_NOTE, "queries-off", object, remedy, "statements were not looked at: %s", why);
}

static int consumer_is_on(struct my_check *k, bool *ret, struct mf_error *err)
{
    struct mf_error refused = {0};
    char on[16] = "";
    *ret = false;
    if (!my_check_on(k, "performance_schema")) {
        say_off(k, "performance_schema",
                "[mysqld] performance_schema = ON -- in the configuration; then restart the server",
                "performance_schema is off, so the server keeps no list of them");
        return 0;
    }
    if (my_query_text(k->c, on, sizeof on, &refused,
                      "SELECT ENABLED FROM performance_schema.setup_consumers WHERE NAME = 'statements_digest'") < 0) {
        char remedy[400];
        if (mysql_errno(k->c) >= 2000) {
            *err = refused;
            return -1;
        }
        snprintf(remedy, sizeof remedy, "GRANT SELECT ON performance_schema.* TO %s;", k->account);
        say_off(k, k->db->facts.user, remedy, "the account may not read performance_schema");
        return 0;
    }
    *ret = strcmp(on, "YES") == 0;
    if (!*ret) {
        say_off(k, "statements_digest",
                "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'statements_digest';",
                "the server does not keep a list of them");
    }
    return 0;
}

static int count_indexes(struct my_check *k, MYSQL *c, size_t *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct my_check here = *k;
    here.c = c;
    *ret = 0;
    if (my_check_ask(&here, &r, err,
                     "SELECT TABLE_SCHEMA, TABLE_NAME, COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS"
                     " WHERE TABLE_SCHEMA IN (%s) GROUP BY TABLE_SCHEMA, TABLE_NAME ORDER BY NULL") < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        *ret += my_check_migrates(k, x[0], x[1]) ? (size_t)my_get_i64(x, 2) : 0;
    }
    return 0;
}

static int find_indexes(struct tally *t, struct mf_error *err)
{
    size_t there, here;
    struct my_check *k = t->q.target;
    if (count_indexes(k, t->q.source->c, &there, err) < 0 || count_indexes(k, k->c, &here, err) < 0) {
        return -1;
    }
    t->plans = here >= there;
    if (!t->plans) {
        my_check_say(k, MF_NOTE, "queries-no-plans", k->db->facts.host, "run it again when status says synced",
                     "plans were not compared: the target has %zu of the source's %zu indexes", here, there);
    }
    return 0;
}

/* ---- telling ---- */

static void shown(const char *text, char out[SHOWN + 8])
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ') {
        n--;
    }
    bool cut = n > SHOWN;
    n = cut ? SHOWN : n;
    while (cut && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
    }
    snprintf(out, SHOWN + 8, "%.*s%s", (int)n, text, cut ? "…" : "");
}

static void object_of(const char *schema, const char *digest, const char *text, char *out, size_t n)
{
    char s[SHOWN + 8];
    shown(text, s);
    snprintf(out, n, "statement %.8s in %.64s: %s", digest, schema, s);
}

/* Names that a newer server reserves: the texts have every name in backquotes, whether the application wrote them or not. */
static void note_name(void *ctx, const char *name)
{
    struct tally *t = ctx;
    int since, until;
    const char *word;
    for (size_t i = 0; i < WORDS && (word = my_reserved_word(i, &since, &until)); i++) {
        if (strcasecmp(word, name) == 0) {
            int from = my_reserved_since(name, t->q.source->db->version, t->q.target->db->version);
            t->seen[i] = t->seen[i] || (from && from <= t->q.target->db->version);
        }
    }
}

static void note_text(struct tally *t, const char *text)
{
    struct my_scan scan;
    const struct my_db *s = t->q.source->db, *d = t->q.target->db;
    if (s->mariadb || d->mariadb) {
        return;
    }
    memset(t->seen, 0, sizeof t->seen);
    my_query_names(text, strlen(text), note_name, t);
    for (size_t i = 0; i < WORDS; i++) {
        if (t->seen[i] && t->words[i].n++ == 0) {
            shown(text, t->words[i].example);
        }
    }
    my_scan_text(text, strlen(text), true, &scan);
    if (scan.group_alone && s->version < 80000 && d->version >= 80000 && t->unordered.n++ == 0) {
        shown(text, t->unordered.example);
    }
}

static void tell_texts(struct tally *t)
{
    struct my_check *k = t->q.target;
    int since, until;
    const char *word;
    for (size_t i = 0; i < WORDS && (word = my_reserved_word(i, &since, &until)); i++) {
        if (t->words[i].n) {
            my_check_say(
                k, MF_WARNING, "query-reserved-word", word,
                "put backquotes around it in the application, if it has none",
                "%zu statements have a name that is a reserved word here: they fail unless the application puts "
                "it in backquotes, which the source does not tell: %s",
                t->words[i].n, t->words[i].example);
        }
    }
    if (t->unordered.n) {
        my_check_say(
            k, MF_NOTE, "query-group-by", "GROUP BY", "say ORDER BY where the order matters",
            "%zu statements have GROUP BY without ORDER BY: their rows came in order on the source, and come in "
            "any here: %s",
            t->unordered.n, t->unordered.example);
    }
}

static void tell_all(struct tally *t)
{
    tell_texts(t);
    my_check_say(
        t->q.target, MF_NOTE, "queries", "statements", "",
        "%zu of the source's statements were looked at: %zu are not understood here, %zu of %zu plans are worse. "
        "%zu were parsed only, %zu of them because they call functions that may do something; of %zu nothing can "
        "be said: their text was cut, or the source itself does not take it back",
        t->looked, t->refused, t->worse, t->planned, t->parsed + t->unsafe, t->unsafe, t->unclear);
}

/* ---- one statement ---- */

/* The target lacks an object or a right, which others tell of. */
static bool is_missing(const struct mf_error *why)
{
    static const unsigned numbers[] = {ER_NO_SUCH_TABLE,
                                       ER_BAD_DB_ERROR,
                                       ER_NO_DB_ERROR,
                                       ER_UNKNOWN_TABLE,
                                       ER_TABLEACCESS_DENIED_ERROR,
                                       ER_COLUMNACCESS_DENIED_ERROR,
                                       ER_DBACCESS_DENIED_ERROR,
                                       ER_SPECIFIC_ACCESS_DENIED_ERROR,
                                       ER_PROCACCESS_DENIED_ERROR,
                                       ER_VIEW_INVALID};
    for (size_t i = 0; i < MF_ARRAY_LEN(numbers); i++) {
        if (my_is_error(why, numbers[i])) {
            return true;
        }
    }
    return false;
}

static int look_at_plans(struct tally *t, const char *object, const char *text, struct mf_error *err)
{
    enum my_query_plan kind;
    struct my_plan before, after;
    bool explained = false;
    char why[300];
    if (t->q.unsafe) {
        t->unsafe++;
        return 0;
    }
    if (my_queries_explain(&t->q, text, &kind, &before, &after, &explained, err) < 0) {
        return -1;
    }
    t->parsed += !explained;
    t->planned += explained;
    if (explained && my_plan_is_worse(&before, &after, t->q.o->worse, why, sizeof why)) {
        MF_CLEANUP_BUF struct mf_buf there = {.max = PLAN_TEXT}, here = {.max = PLAN_TEXT};
        my_plan_put(&before, &there);
        my_plan_put(&after, &here);
        t->worse++;
        my_check_say(t->q.target, MF_WARNING, "query-plan", object,
                     "ANALYZE TABLE on the target first; then compare with EXPLAIN on both sides",
                     "%s. On the source: %s. Here: %s", why, mf_buf_str(&there), mf_buf_str(&here));
    }
    return 0;
}

/* *ret: both understand it. */
static int look_at_syntax(struct tally *t, const char *object, const char *text, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 1u << 20};
    enum my_understood there, here;
    struct mf_error why_there, why_here;
    *ret = false;
    my_query_markers(text, strlen(text), &sql);
    if (!mf_buf_ok(&sql)) {
        t->unclear++;
        return 0;
    }
    if (my_understands(t->q.s, mf_buf_str(&sql), sql.len, &there, &why_there, err) < 0 ||
        my_understands(t->q.t, mf_buf_str(&sql), sql.len, &here, &why_here, err) < 0) {
        return -1;
    }
    bool refused =
        here == MY_NOT_PARSED || (here == MY_NOT_RESOLVED && there == MY_UNDERSTOOD && !is_missing(&why_here));
    if (there == MY_NOT_RESOLVED && strcmp(why_there.code, why_here.code) == 0) {
        t->parsed++; /* the number of columns was lost, a table is gone */
    } else if (there == MY_NOT_PARSED || (there == MY_NOT_RESOLVED && here != MY_NOT_PARSED)) {
        t->unclear++;
    } else if (refused) {
        t->refused++;
        my_check_say(t->q.target, MF_WARNING, "query-refused", object, "change it to what both versions understand",
                     "%s", why_here.text);
    } else {
        *ret = there == MY_UNDERSTOOD && here == MY_UNDERSTOOD;
        t->parsed += !*ret;
    }
    return 0;
}

static int look_at(struct tally *t, MYSQL_ROW x, size_t cut, struct mf_error *err)
{
    const char *schema = x[0], *digest = x[1] ? x[1] : "", *text = x[2] ? x[2] : "";
    char object[SHOWN + 200];
    bool both = false;
    t->looked++;
    if (strlen(text) >= cut || !*text) {
        t->unclear++;
        return 0;
    }
    if (mysql_select_db(t->q.s, schema) != 0) {
        return my_fail(t->q.s, err);
    }
    if (mysql_select_db(t->q.t, schema) != 0 && /* not made yet */
        (mysql_errno(t->q.t) >= 2000 || mysql_select_db(t->q.t, "information_schema") != 0)) {
        return my_fail(t->q.t, err);
    }
    object_of(schema, digest, text, object, sizeof object);
    note_text(t, text);
    my_queries_set(&t->q, schema, text);
    if (look_at_syntax(t, object, text, &both, err) < 0) {
        return -1;
    }
    if (both && !t->plans) {
        t->parsed++;
        return 0;
    }
    return both ? look_at_plans(t, object, text, err) : 0;
}

/* ---- all ---- */

/* The text of a statement whose digest was full is cut without a sign of it; it is about as long as the bytes that were kept. */
static size_t longest(const struct my_check *k)
{
    int64_t n = my_check_number(k, "performance_schema_max_digest_length"), m = my_check_number(k, "max_digest_length");
    n = n < m || m <= 0 ? n : m;
    return n > 0 ? (size_t)n - (size_t)n / 16 : SIZE_MAX;
}

static int look_at_all(struct tally *t, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    size_t cut = longest(t->q.source);
    mf_buf_printf(&sql,
                  "SELECT SCHEMA_NAME, DIGEST, DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest"
                  " WHERE SCHEMA_NAME IN (%%s) AND DIGEST_TEXT NOT REGEXP '^(EXPLAIN|START|COMMIT|ROLLBACK)( |$)' "
                  "ORDER BY SUM_TIMER_WAIT DESC, DIGEST"
                  " LIMIT %" PRId64,
                  t->q.o->max);
    if (my_check_ask(t->q.source, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        if (x[0] && look_at(t, x, cut, err) < 0) {
            return -1;
        }
    }
    tell_all(t);
    return 0;
}

static int run(struct tally *t, const struct mf_filter *filter, struct mf_error *err)
{
    bool on = false;
    if (my_catalog_read(&t->q.source->db->base, filter, &t->q.target->tables, err) < 0 ||
        consumer_is_on(t->q.source, &on, err) < 0) {
        return -1;
    }
    t->q.source->tables = t->q.target->tables;
    if (!on) {
        return 0;
    }
    return my_queries_open(&t->q, err) < 0 || find_indexes(t, err) < 0 || look_at_all(t, err) < 0 ? -1 : 0;
}

int my_check_queries(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                     const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err)
{
    struct my_check target = {0}, source = {0};
    struct tally *t = mf_xcalloc(1, sizeof *t);
    if (src->connector != db->connector) {
        free(t);
        return mf_fail(err, MF_FATAL, "MFUNSUP", "statements of a %s database say nothing about MySQL",
                       src->connector->name);
    }
    t->q.source = &source;
    t->q.target = &target;
    t->q.o = o;
    int rc = my_check_open(&target, my_db_of(db), filter, out, err);
    rc = rc == 0 ? my_check_open(&source, my_db_of(src), filter, out, err) : rc;
    rc = rc == 0 ? run(t, filter, err) : rc;
    source.tables = (struct mf_catalog){0}; /* lent */
    my_queries_close(&t->q);
    my_check_close(&source);
    my_check_close(&target);
    free(t);
    return rc;
}
