/*
 * Sessions that prepare and explain, and what stands in for literals. See check_queries.h.
 *
 * Nothing of the user's is executed: a statement is prepared and thrown away, or given to EXPLAIN. Planning itself may read rows by a key and work out a subquery that depends
 * on nothing, so it happens in a read-only transaction that is rolled back, within a time the server keeps, and never where a function is called that is
 * not known to be harmless. A statement that writes cannot be explained in a read-only transaction: those of one table and without
 * subqueries alone are, in a transaction that is rolled back.
 */
#include "connector/mysql/check_queries.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MS     10000 /* beyond the bound the server keeps */
#define VIEW_DEPTH    8
#define STAND_INS_MAX ((size_t)16 << 20)
#define VALUE_MAX     256 /* a longer value is no stand-in */

/* ---- sessions ---- */

static int open_session(struct my_queries *q, struct my_check *k, MYSQL **ret, struct mf_error *err)
{
    MY_CLEANUP_CONN MYSQL *c = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    if (my_connect(k->db, "queries", &c, err) < 0) {
        return -1;
    }
    my_set_timeout(c, (int)q->o->timeout_ms + ANSWER_MS);
    /* As applications' sessions are, but: a function's name and its bracket have a blank between them in the texts, and we escape. */
    mf_buf_puts(&sql,
                "SET SESSION sql_mode = REPLACE(CONCAT('IGNORE_SPACE,', @@GLOBAL.sql_mode), 'NO_BACKSLASH_ESCAPES',"
                " 'IGNORE_SPACE'), SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1");
    if (k->db->mariadb) {
        mf_buf_printf(&sql, ", SESSION max_statement_time = %g", (double)q->o->timeout_ms / 1000);
    } else {
        mf_buf_printf(&sql, ", SESSION max_execution_time = %d", (int)q->o->timeout_ms);
    }
    if (my_exec_buf(c, err, &sql) < 0) {
        return -1;
    }
    *ret = MF_STEAL(c);
    return 0;
}

int my_queries_open(struct my_queries *q, struct mf_error *err)
{
    mf_arena_init(&q->arena, STAND_INS_MAX);
    return open_session(q, q->source, &q->s, err) < 0 || open_session(q, q->target, &q->t, err) < 0 ||
                   my_check_ask(q->source, &q->views, err,
                                "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS"
                                " WHERE TABLE_SCHEMA IN (%s)") < 0
               ? -1
               : 0;
}

void my_queries_close(struct my_queries *q)
{
    my_finish(q->s);
    my_finish(q->t);
    if (q->views) {
        mysql_free_result(q->views);
    }
    mf_arena_free(&q->arena);
}

/* ---- what a statement names ---- */

static const char *view_text(const struct my_queries *q, const char *name)
{
    if (!q->views) {
        return NULL;
    }
    mysql_data_seek(q->views, 0);
    for (MYSQL_ROW x; (x = mysql_fetch_row(q->views));) {
        if (strcmp(x[0], q->schema) == 0 && strcasecmp(x[1], name) == 0) {
            return x[2] && *x[2] ? x[2] : "unknown(";
        }
    }
    return NULL;
}

struct naming {
    struct my_queries *q;
    int depth;
};

static void take_name(void *ctx, const char *name)
{
    struct naming *n = ctx;
    struct my_queries *q = n->q;
    const struct mf_table *t = mf_catalog_find(&q->target->tables, q->schema, name);
    const char *text = t ? NULL : view_text(q, name);
    char called[80];
    if (t && q->ntables < MY_QUERY_TABLES) {
        q->tables[q->ntables++] = t;
    }
    if (!text) {
        return;
    }
    struct naming deeper = {q, n->depth + 1};
    q->unsafe =
        q->unsafe || n->depth >= VIEW_DEPTH || my_query_calls_unknown(text, strlen(text), true, called, sizeof called);
    if (!q->unsafe) {
        my_query_names(text, strlen(text), take_name, &deeper);
    }
}

void my_queries_set(struct my_queries *q, const char *schema, const char *text)
{
    struct naming n = {q, 0};
    char called[80];
    q->schema = schema;
    q->ntables = 0;
    q->unsafe = my_query_calls_unknown(text, strlen(text), false, called, sizeof called);
    my_query_names(text, strlen(text), take_name, &n);
}

/* ---- stand-ins ---- */

struct my_known {
    struct my_known *next;
    const struct mf_table *table;
    int column;
    const char *literal;
};

static bool is_number(const struct my_type *t)
{
    return t->base <= MY_DOUBLE || t->base == MY_YEAR;
}

static bool is_text(const struct my_type *t)
{
    return t->base == MY_CHAR || t->base == MY_VARCHAR || t->base == MY_TEXT || t->base == MY_ENUM || t->base == MY_SET;
}

static bool is_time(const struct my_type *t)
{
    return t->base >= MY_DATE && t->base <= MY_TIMESTAMP;
}

/* A value of that column: of the table's first row, so that a plan is one that occurs. */
static void read_value(struct my_queries *q, const struct mf_table *t, int column, const struct my_type *type,
                       struct mf_buf *out)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    struct mf_error ignored = {0};
    mf_buf_puts(&sql, "SELECT ");
    my_put_ident(&sql, t->columns[column].name);
    mf_buf_puts(&sql, " FROM ");
    my_put_table(&sql, t);
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(&sql, k ? ", " : " ORDER BY ");
        my_put_ident(&sql, t->columns[t->key[k]].name);
    }
    mf_buf_puts(&sql, " LIMIT 1");
    MYSQL_ROW x = my_query(q->source->c, &r, &ignored, mf_buf_str(&sql)) == 0 && r ? mysql_fetch_row(r) : NULL;
    const char *value = x ? x[0] : NULL;
    if (value && strlen(value) > VALUE_MAX) {
        value = NULL;
    }
    if (is_number(type)) {
        mf_buf_puts(out, value && *value ? value : "1");
    } else if (is_time(type)) {
        my_put_literal(out, value ? value : type->base == MY_TIME ? "00:00:00" : "2020-01-01");
    } else {
        my_put_literal(out, value && is_text(type) ? value : "1");
    }
}

static const char *literal_of(struct my_queries *q, const struct mf_table *t, int column)
{
    struct my_type type;
    struct mf_error ignored = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4 * VALUE_MAX};
    for (struct my_known *k = q->known; k; k = k->next) {
        if (k->table == t && k->column == column) {
            return k->literal;
        }
    }
    const char *text = t->columns[column].type;
    if (!text || my_type_parse(text, NULL, &type, &ignored) < 0) {
        return "'1'";
    }
    read_value(q, t, column, &type, &b);
    struct my_known *k = mf_alloc(&q->arena, sizeof *k);
    char *literal = k && mf_buf_ok(&b) ? mf_strdup_a(&q->arena, mf_buf_str(&b)) : NULL;
    if (!literal) {
        return "'1'";
    }
    *k = (struct my_known){q->known, t, column, literal};
    q->known = k;
    return literal;
}

/* A table is called by its own name or by another that only the statement knows, so whichever has such a column is meant. */
static void give(void *ctx, const char *table, const char *column, struct mf_buf *out)
{
    struct my_queries *q = ctx;
    const struct mf_table *best = NULL;
    int at = -1;
    for (size_t i = 0; *column && i < q->ntables; i++) {
        int c = mf_table_column(q->tables[i], column);
        if (c >= 0 && (!best || strcasecmp(q->tables[i]->name, table) == 0)) {
            best = q->tables[i];
            at = c;
        }
    }
    mf_buf_puts(out, best ? literal_of(q, best, at) : "'1'");
}

/* ---- plans ---- */

static const char *named(MYSQL_RES *r, MYSQL_ROW x, const char *name)
{
    for (unsigned i = 0; i < mysql_num_fields(r); i++) {
        if (strcasecmp(mysql_fetch_field_direct(r, i)->name, name) == 0) {
            return x[i] ? x[i] : "";
        }
    }
    return "";
}

static void read_plan(MYSQL_RES *r, struct my_plan *ret)
{
    ret->n = 0;
    for (MYSQL_ROW x; r && ret->n < MY_PLAN_STEPS && (x = mysql_fetch_row(r));) {
        struct my_plan_step *s = &ret->steps[ret->n++];
        const char *filtered = named(r, x, "filtered");
        int64_t id = 0;
        mf_parse_i64(named(r, x, "id"), &id);
        *s = (struct my_plan_step){.id = (int)id, .filtered = *filtered ? strtod(filtered, NULL) : 100};
        mf_strlcpy(s->table, named(r, x, "table"), sizeof s->table);
        mf_strlcpy(s->type, named(r, x, "type"), sizeof s->type);
        mf_strlcpy(s->key, named(r, x, "key"), sizeof s->key);
        mf_parse_i64(named(r, x, "rows"), &s->rows);
    }
}

static int explain(MYSQL *c, bool reads, const struct mf_buf *sql, struct my_plan *plan, bool *ret,
                   struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct mf_error refused = {0};
    if (my_exec(c, err, reads ? "START TRANSACTION READ ONLY" : "START TRANSACTION") < 0) {
        return -1;
    }
    *ret = my_query(c, &r, &refused, mf_buf_str(sql)) == 0;
    if (!*ret && mysql_errno(c) >= 2000) {
        *err = refused;
        return -1;
    }
    read_plan(r, plan);
    return my_exec(c, err, "ROLLBACK");
}

int my_queries_explain(struct my_queries *q, const char *text, enum my_query_plan *ret_kind, struct my_plan *before,
                       struct my_plan *after, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 1u << 20};
    *ret = false;
    mf_buf_puts(&sql, "EXPLAIN");
    *ret_kind = my_query_literals(text, strlen(text), give, q, &sql);
    if (*ret_kind == MY_PLAN_NONE || !mf_buf_ok(&sql)) {
        return 0;
    }
    bool reads = *ret_kind == MY_PLAN_READ;
    if (explain(q->s, reads, &sql, before, ret, err) < 0) {
        return -1;
    }
    return *ret ? explain(q->t, reads, &sql, after, ret, err) : 0;
}
