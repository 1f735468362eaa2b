/* Checks of columns and of what is in them. Rows are looked at in samples, so that a check costs a busy source little: the first and the last
 * rows of a table's primary key, each read with a bound in time. See check_upgrade.h. */
#include "connector/mysql/check_upgrade.h"
#include "connector/mysql/upgrade.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SAMPLE    1000 /* rows from either end */
#define SAMPLE_MS 500
#define TOTAL_MS  20000 /* of all tables together; the rest is not sampled */

/* ---- ENUM and SET ---- */

#define MEMBER_CHARS 255

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static size_t longest_member(struct my_upgrade *u, const char *type)
{
    struct my_type t;
    struct mf_error unknown = {0}; /* told by whoever reads the catalogue */
    size_t longest = 0;
    mf_arena_reset(&u->arena);
    if (my_type_parse(type, &u->arena, &t, &unknown) < 0 || (t.base != MY_ENUM && t.base != MY_SET)) {
        return 0;
    }
    for (uint16_t i = 0; t.members && i < t.nmembers; i++) {
        size_t n = characters(t.members[i]);
        longest = n > longest ? n : longest;
    }
    return longest;
}

int my_look_members(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    const struct mf_catalog *all = &u->target->tables;
    (void)err;
    for (size_t i = 0; i < all->n; i++) {
        const struct mf_table *t = &all->tables[i];
        for (uint16_t c = 0; c < t->ncolumns; c++) {
            size_t n = t->columns[c].type ? longest_member(u, t->columns[c].type) : 0;
            char value[32];
            snprintf(value, sizeof value, "%zu", n);
            if (n > MEMBER_CHARS) {
                my_upgrade_tell(u, row, &(struct my_thing){t->schema, t->name, t->columns[c].name, value});
            }
        }
    }
    return 0;
}

/* ---- indexes ---- */

#define OLD_FORMAT_BYTES 767 /* of a column, where the row format is not DYNAMIC or COMPRESSED */

static int look_keys(struct my_upgrade *u, const struct my_upgrade_row *row, const char *schema, const char *table,
                     struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 8192};
    mf_buf_puts(&sql, "SELECT s.INDEX_NAME, CONCAT(s.COLUMN_NAME, ' takes ', IFNULL(s.SUB_PART *"
                      " (c.CHARACTER_OCTET_LENGTH DIV c.CHARACTER_MAXIMUM_LENGTH), c.CHARACTER_OCTET_LENGTH), ' bytes')"
                      " FROM information_schema.STATISTICS s JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA ="
                      " s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME"
                      " WHERE s.TABLE_SCHEMA = ");
    my_put_literal(&sql, schema);
    mf_buf_puts(&sql, " AND s.TABLE_NAME = ");
    my_put_literal(&sql, table);
    mf_buf_puts(&sql, " AND c.TABLE_SCHEMA = ");
    my_put_literal(&sql, schema);
    mf_buf_puts(&sql, " AND c.TABLE_NAME = ");
    my_put_literal(&sql, table);
    mf_buf_printf(&sql,
                  " AND s.INDEX_TYPE = 'BTREE' AND IFNULL(s.SUB_PART * (c.CHARACTER_OCTET_LENGTH DIV"
                  " c.CHARACTER_MAXIMUM_LENGTH), c.CHARACTER_OCTET_LENGTH) > %d",
                  OLD_FORMAT_BYTES);
    if (my_query(u->source->c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (MYSQL_ROW x; (x = mysql_fetch_row(r));) {
        my_upgrade_tell(u, row, &(struct my_thing){schema, table, x[0], x[1]});
    }
    return 0;
}

/* A row format that the table says itself is said again on the target; one it only happens to have is not. */
int my_look_indexes(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(u->source, &r, err,
                     "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (%s)"
                     " AND (CREATE_OPTIONS LIKE '%row_format=COMPACT%' OR CREATE_OPTIONS LIKE"
                     " '%row_format=REDUNDANT%')") < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        if (my_check_migrates(u->source, x[0], x[1]) && look_keys(u, row, x[0], x[1], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- generated columns ---- */

static int look_generated(struct my_upgrade *u, const struct my_upgrade_row *row, bool casts, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_check_ask(u->source, &r, err,
                     "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, GENERATION_EXPRESSION FROM"
                     " information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s) AND GENERATION_EXPRESSION <> ''") < 0) {
        return -1;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        struct my_scan scan;
        my_scan_text(x[3], strlen(x[3]), true, &scan);
        if ((casts ? scan.casts : scan.removed[0] != 0) && my_check_migrates(u->source, x[0], x[1])) {
            my_upgrade_tell(u, row, &(struct my_thing){x[0], x[1], x[2], scan.removed});
        }
    }
    return 0;
}

int my_look_generated(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    return look_generated(u, row, false, err);
}

int my_look_generated_casts(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    return look_generated(u, row, true, err);
}

/* ---- samples ---- */

/* What is asked of a sample. */
struct look {
    bool (*is_one)(const struct my_type *t);                /* columns of these types */
    void (*of_row)(struct mf_buf *sql, const char *column); /* instead of the column's value; NULL: that */
    void (*of_all)(struct mf_buf *sql, const char *column); /* of these */
    bool counts;                                            /* the answer is a number of rows */
};

/* (SELECT `a`, `b` FROM t ORDER BY key LIMIT n) UNION (… DESC …), with the key, so that a row that is in both counts once. A table without a key is read from where
 * the server begins. */
static void put_sample(const struct mf_table *t, const uint16_t *columns, size_t n, const struct look *l,
                       struct mf_buf *sql)
{
    for (int end = 0; end < (t->nkey ? 2 : 1); end++) {
        mf_buf_puts(sql, end ? " UNION (SELECT " : "(SELECT ");
        for (uint16_t k = 0; k < t->nkey; k++) {
            my_put_ident(sql, t->columns[t->key[k]].name);
            mf_buf_printf(sql, " AS `midflight key %u`, ", k);
        }
        for (size_t i = 0; i < n; i++) {
            mf_buf_puts(sql, i ? ", " : "");
            if (l->of_row) {
                l->of_row(sql, t->columns[columns[i]].name);
                mf_buf_puts(sql, " AS ");
            }
            my_put_ident(sql, t->columns[columns[i]].name);
        }
        mf_buf_puts(sql, " FROM ");
        my_put_table(sql, t);
        for (uint16_t k = 0; k < t->nkey; k++) {
            mf_buf_puts(sql, k ? ", " : " ORDER BY ");
            my_put_ident(sql, t->columns[t->key[k]].name);
            mf_buf_puts(sql, end ? " DESC" : "");
        }
        mf_buf_printf(sql, " LIMIT %d)", SAMPLE);
    }
}

/* Asks for one row about a sample of these columns. *ret NULL when it took too long. */
static int ask_sample(struct my_upgrade *u, const struct mf_table *t, const uint16_t *columns, size_t n,
                      const struct look *l, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    struct mf_error refused = {0};
    mf_buf_printf(&sql, "SELECT /*+ MAX_EXECUTION_TIME(%d) */ ", SAMPLE_MS);
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(&sql, i ? ", " : "");
        l->of_all(&sql, t->columns[columns[i]].name);
    }
    mf_buf_puts(&sql, " FROM (");
    put_sample(t, columns, n, l, &sql);
    mf_buf_puts(&sql, ") sample");
    *ret = NULL;
    if (mf_buf_ok(&sql) && my_query(u->source->c, ret, &refused, mf_buf_str(&sql)) < 0 &&
        mysql_errno(u->source->c) >= 2000) {
        *err = refused;
        return -1;
    }
    return 0;
}

#define COLUMNS 64 /* of one table looked at */

/* Calls ask_sample for the columns of these types of every table, and tells those whose answer is not empty and not "0". */
static int look_samples(struct my_upgrade *u, const struct my_upgrade_row *row, const struct look *l,
                        struct mf_error *err)
{
    const struct mf_catalog *all = &u->target->tables;
    int64_t until = mf_now_us() + TOTAL_MS * MF_US_PER_MS;
    for (size_t i = 0; i < all->n && mf_now_us() < until; i++) {
        const struct mf_table *t = &all->tables[i];
        MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
        uint16_t columns[COLUMNS];
        size_t n = 0;
        for (uint16_t c = 0; c < t->ncolumns && n < COLUMNS; c++) {
            struct my_type type;
            struct mf_error unknown = {0};
            if (t->columns[c].type && my_type_parse(t->columns[c].type, NULL, &type, &unknown) == 0 &&
                l->is_one(&type)) {
                columns[n++] = c;
            }
        }
        if (n && ask_sample(u, t, columns, n, l, &r, err) < 0) {
            return -1;
        }
        MYSQL_ROW x = r ? mysql_fetch_row(r) : NULL;
        for (size_t c = 0; x && c < n; c++) {
            char value[300];
            int put = snprintf(value, sizeof value, "%.200s", x[c] ? x[c] : "");
            if (l->counts) {
                snprintf(value + put, sizeof value - (size_t)put, " in the first and last %d rows", SAMPLE);
            }
            if (x[c] && *x[c] && strcmp(x[c], "0") != 0) {
                my_upgrade_tell(u, row, &(struct my_thing){t->schema, t->name, t->columns[columns[c]].name, value});
            }
        }
    }
    return 0;
}

static bool is_date(const struct my_type *t)
{
    return t->base == MY_DATE || t->base == MY_DATETIME || t->base == MY_TIMESTAMP;
}

static void put_zero_dates(struct mf_buf *sql, const char *column)
{
    mf_buf_puts(sql, "SUM(MONTH(");
    my_put_ident(sql, column);
    mf_buf_puts(sql, ") = 0 OR DAYOFMONTH(");
    my_put_ident(sql, column);
    mf_buf_puts(sql, ") = 0)");
}

int my_look_zero_dates(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    static const struct look zeros = {is_date, NULL, put_zero_dates, .counts = true};
    return look_samples(u, row, &zeros, err);
}

static bool is_json(const struct my_type *t)
{
    return t->base == MY_JSON;
}

/* Such a value is no text to the server, and comes back as one from what it prints. Asked of each row: in a UNION 5.7 forgets that the column is JSON. */
static void put_is_another(struct mf_buf *sql, const char *column)
{
    mf_buf_puts(sql, "NOT (");
    my_put_ident(sql, column);
    mf_buf_puts(sql, " <=> CAST(CAST(");
    my_put_ident(sql, column);
    mf_buf_puts(sql, " AS CHAR) AS JSON))");
}

static void put_sum(struct mf_buf *sql, const char *column)
{
    mf_buf_puts(sql, "SUM(");
    my_put_ident(sql, column);
    mf_buf_puts(sql, ")");
}

int my_look_json_values(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    static const struct look values = {is_json, put_is_another, put_sum, .counts = true};
    return look_samples(u, row, &values, err);
}

static bool is_spatial(const struct my_type *t)
{
    return t->base == MY_GEOMETRY;
}

static void put_srids(struct mf_buf *sql, const char *column)
{
    mf_buf_puts(sql, "GROUP_CONCAT(DISTINCT NULLIF(ST_SRID(");
    my_put_ident(sql, column);
    mf_buf_puts(sql, "), 0) SEPARATOR ', ')");
}

int my_look_srids(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    static const struct look srids = {is_spatial, NULL, put_srids};
    return look_samples(u, row, &srids, err);
}
