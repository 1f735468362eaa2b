/*
 * The fixture of MySQL and MariaDB: SQL through libmariadb, as an application writes. Both URLs name a database of the same name, and
 * its tables are emptied. The application is the account CONF_APP where that is set (with the URL's password): one that may write rows and
 * nothing else.
 *
 * What MySQL does in its own way: the log has whole rows unless the server is set to less; TRUNCATE is DDL and so a transaction of its
 * own for each table, made here by the administrator; a sequence is a table's AUTO_INCREMENT; there is no limit beyond which
 * a transaction is streamed before its commit, only one beyond which the server keeps it in a file until then.
 */
#include "conformance.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

struct conf_tx {
    MYSQL *c;
    enum mf_side side;
};

static struct conf_fixture fixture;
static struct {
    char user[64], password[128], host[128], database[64];
    unsigned port;
    MYSQL *admin;
} server[2];

static MYSQL *connect_to(enum mf_side side, bool admin)
{
    const char *app = getenv("CONF_APP");
    MYSQL *c = mysql_init(NULL);
    mysql_optionsv(c, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (!mysql_real_connect(c, server[side].host, admin || !app ? server[side].user : app, server[side].password,
                            server[side].database, server[side].port, NULL, CLIENT_FOUND_ROWS) ||
        mysql_query(c, "SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1") != 0) {
        fail_msg("%s: %s", fixture.url[side], mysql_error(c));
    }
    return c;
}

static MYSQL *admin_of(enum mf_side side)
{
    if (!server[side].admin) {
        server[side].admin = connect_to(side, true);
    }
    return server[side].admin;
}

static MYSQL_RES *query(enum mf_side side, const char *text)
{
    MYSQL *c = admin_of(side);
    if (mysql_query(c, text) != 0) {
        fail_msg("%s: %s", text, mysql_error(c));
    }
    return mysql_store_result(c);
}

static void sql(enum mf_side side, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void sql(enum mf_side side, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    MYSQL_RES *r = query(side, text);
    if (r) {
        mysql_free_result(r);
    }
}

static int64_t number(enum mf_side side, const char *text)
{
    int64_t n = -1;
    MYSQL_RES *r = query(side, text);
    MYSQL_ROW row = mysql_fetch_row(r);
    if (row && row[0]) {
        mf_parse_i64(row[0], &n);
    }
    mysql_free_result(r);
    return n;
}

/* ---- tables ---- */

static void create_table(enum mf_side side, const char *table, const struct conf_column *c, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    const char *comma = "";
    mf_buf_printf(&b, "CREATE TABLE %s (", table);
    for (size_t i = 0; i < n; i++) {
        bool indexed = c[i].key || c[i].unique;
        mf_buf_printf(&b, "%s%s %s%s", i ? ", " : "", c[i].name,
                      !c[i].text   ? "bigint"
                      : c[i].toast ? "mediumtext"
                      : indexed    ? "varchar(150) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
                                   : "text",
                      c[i].unique ? " UNIQUE" : "");
    }
    for (size_t i = 0; i < n; i++) {
        if (c[i].key) {
            mf_buf_printf(&b, "%s%s", *comma ? comma : ", PRIMARY KEY (", c[i].name);
            comma = ", ";
        }
    }
    mf_buf_puts(&b, *comma ? "))" : ")");
    sql(side, "%s ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci", mf_buf_str(&b));
}

static void add_column(enum mf_side side, const char *table, const char *column)
{
    sql(side, "ALTER TABLE %s ADD COLUMN %s text", table, column);
}

/* What a test that failed left open would keep its tables from every test after it. */
static void end_sessions(enum mf_side side)
{
    MYSQL_RES *r = query(side, "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()"
                               " AND user <> 'system user' AND command <> 'Daemon'");
    for (MYSQL_ROW row; (row = mysql_fetch_row(r));) {
        char text[64];
        snprintf(text, sizeof text, "KILL %.40s", row[0]);
        mysql_query(admin_of(side), text); /* it may have ended meanwhile */
    }
    mysql_free_result(r);
}

static void drop_table(enum mf_side side, const char *table)
{
    char text[128];
    snprintf(text, sizeof text, "DROP TABLE IF EXISTS %s", table);
    if (mysql_query(admin_of(side), text) != 0 && mysql_errno(admin_of(side)) == ER_LOCK_WAIT_TIMEOUT) {
        end_sessions(side);
    }
    sql(side, "%s", text);
}

static void narrow(enum mf_side side, const char *table, const char *column, int max_len)
{
    sql(side, "ALTER TABLE %s MODIFY %s varchar(%d) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", table, column, max_len);
}

/* ---- transactions ---- */

static struct conf_tx *begin(enum mf_side side)
{
    struct conf_tx *t = mf_xcalloc(1, sizeof *t);
    t->side = side;
    t->c = connect_to(side, false);
    assert_int_equal(mysql_query(t->c, "START TRANSACTION"), 0);
    return t;
}

static void end(struct conf_tx *t)
{
    mysql_close(t->c);
    free(t);
}

static void put(struct mf_buf *b, MYSQL *c, const char *value)
{
    if (!value) {
        mf_buf_puts(b, "NULL");
        return;
    }
    size_t n = strlen(value);
    MF_CLEANUP_FREE char *escaped = mf_xmalloc(2 * n + 1);
    mysql_real_escape_string(c, escaped, value, n);
    mf_buf_printf(b, "'%s'", escaped);
}

static int run(struct conf_tx *t, struct mf_buf *text, bool *waits)
{
    int failed = mysql_real_query(t->c, mf_buf_str(text), text->len);
    unsigned error = mysql_errno(t->c);
    mf_buf_free(text);
    if (waits) {
        *waits = error == ER_LOCK_WAIT_TIMEOUT;
    }
    if (failed) {
        end(t); /* which rolls back */
    }
    return failed ? -1 : 0;
}

static int insert(struct conf_tx *t, const char *table, size_t n, const char *const *values, bool *waits)
{
    struct mf_buf b = {.max = 1 << 20};
    mf_buf_printf(&b, "INSERT INTO %s VALUES (", table);
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(&b, i ? "," : "");
        put(&b, t->c, values[i]);
    }
    mf_buf_puts(&b, ")");
    return run(t, &b, waits);
}

static int update(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                  const char *value)
{
    struct mf_buf b = {.max = 1 << 20};
    mf_buf_printf(&b, "UPDATE %s SET %s = ", table, column);
    put(&b, t->c, value);
    mf_buf_printf(&b, " WHERE %s = ", where);
    put(&b, t->c, is);
    return run(t, &b, NULL);
}

static int remove_rows(struct conf_tx *t, const char *table, const char *where, const char *is)
{
    struct mf_buf b = {.max = 1 << 20};
    mf_buf_printf(&b, "DELETE FROM %s WHERE %s = ", table, where);
    put(&b, t->c, is);
    return run(t, &b, NULL);
}

/* Not part of t, which must have written nothing so far: no statement of this kind is part of a transaction. */
static int truncate_tables(struct conf_tx *t, const char *a, const char *b)
{
    sql(t->side, "TRUNCATE TABLE %s", a);
    if (b) {
        sql(t->side, "TRUNCATE TABLE %s", b);
    }
    return 0;
}

static void savepoint(struct conf_tx *t)
{
    assert_int_equal(mysql_query(t->c, "SAVEPOINT s"), 0);
}

static void rollback_to(struct conf_tx *t)
{
    assert_int_equal(mysql_query(t->c, "ROLLBACK TO SAVEPOINT s"), 0);
}

static int commit(struct conf_tx *t)
{
    int rc = mysql_query(t->c, "COMMIT") == 0 ? 0 : -1;
    end(t);
    return rc;
}

static void abort_tx(struct conf_tx *t)
{
    assert_int_equal(mysql_query(t->c, "ROLLBACK"), 0);
    end(t);
}

/* ---- looking ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dump(enum mf_side side, const char *table, struct mf_buf *out)
{
    char text[128], *lines[512];
    snprintf(text, sizeof text, "SELECT * FROM %s", table);
    MYSQL_RES *r = query(side, text);
    size_t n = mysql_num_rows(r);
    assert_true(n <= MF_ARRAY_LEN(lines));
    for (size_t i = 0; i < n; i++) {
        struct mf_buf b = {.max = 1 << 16};
        MYSQL_ROW row = mysql_fetch_row(r);
        for (unsigned c = 0; c < mysql_num_fields(r); c++) {
            mf_buf_puts(&b, c ? "|" : "");
            if (!row[c]) {
                mf_buf_puts(&b, "\\N");
            } else if (strlen(row[c]) > 40) {
                mf_buf_printf(&b, "[%zu]", strlen(row[c]));
            } else {
                mf_buf_puts(&b, row[c]);
            }
        }
        lines[i] = mf_buf_steal(&b, NULL);
    }
    mysql_free_result(r);
    qsort(lines, n, sizeof lines[0], compare);
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
}

static void stream_large(enum mf_side side, bool on)
{
    sql(side, "SET GLOBAL binlog_cache_size = %d", on ? 4096 : 32768);
}

static size_t residue(enum mf_side side)
{
    return (size_t)number(side,
                          "SELECT (SELECT COUNT(*) FROM information_schema.schemata"
                          " WHERE schema_name LIKE 'midflight%')"
                          " + (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE())");
}

static void nextval(enum mf_side side, const char *sequence, int times)
{
    sql(side, "CREATE TABLE IF NOT EXISTS %s (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY)", sequence);
    while (times-- > 0) {
        sql(side, "INSERT INTO %s VALUES (NULL)", sequence);
    }
}

static void take_url(enum mf_side side, const char *url)
{
    mf_strlcpy(fixture.url[side], url, sizeof fixture.url[side]);
    if (sscanf(url, "mysql://%63[^:]:%127[^@]@%127[^:]:%u/%63[^?]", server[side].user, server[side].password,
               server[side].host, &server[side].port, server[side].database) != 5) {
        fprintf(stderr, "the URL should be mysql://USER:PASSWORD@HOST:PORT/DATABASE\n");
        exit(2);
    }
}

const struct conf_fixture *conf_mysql(const char *source_url, const char *target_url)
{
    fixture = (struct conf_fixture){.name = "mysql",
                                    .create_table = create_table,
                                    .add_column = add_column,
                                    .drop_table = drop_table,
                                    .narrow = narrow,
                                    .begin = begin,
                                    .insert = insert,
                                    .update = update,
                                    .remove = remove_rows,
                                    .truncate = truncate_tables,
                                    .savepoint = savepoint,
                                    .rollback_to = rollback_to,
                                    .commit = commit,
                                    .abort = abort_tx,
                                    .dump = dump,
                                    .stream_large = stream_large,
                                    .residue = residue,
                                    .nextval = nextval};
    take_url(MF_SOURCE, source_url);
    take_url(MF_TARGET, target_url);
    fixture.schema = server[MF_SOURCE].database;
    const char *image = getenv("CONF_ROW_IMAGE");
    fixture.images = !image || strcasecmp(image, "full") == 0 ? CONF_WHOLE : CONF_CHANGED_ONLY;
    return &fixture;
}
