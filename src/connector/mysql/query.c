/* Statements, results and errors: see connect.h. */
#include "connector/mysql/connect.h"

#include "base/mem.h"
#include "base/str.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

#define SERVER_FILE_WRITE 3 /* EE_WRITE and EE_DISKFULL of the server's my_sys: no header of a client names them */
#define SERVER_FILE_FULL  20

/* MySQL's numbers, of the server and of the client library; what is not here by its SQLSTATE's class. Numbers that the header of the library does not name
 * are newer servers'. */
static const struct {
    unsigned number;
    enum mf_errclass cls;
} classes[] = {
    {CR_SERVER_GONE_ERROR, MF_RETRY},
    {CR_SERVER_LOST, MF_RETRY},
    {CR_CONN_HOST_ERROR, MF_RETRY},
    {CR_CONNECTION_ERROR, MF_RETRY},
    {CR_UNKNOWN_HOST, MF_RETRY},
    {CR_IPSOCK_ERROR, MF_RETRY},
    {CR_SERVER_HANDSHAKE_ERR, MF_RETRY},
    {CR_SERVER_LOST_EXTENDED, MF_RETRY},
    {CR_SSL_CONNECTION_ERROR,
     MF_RETRY}, /* what a lost connection is called under TLS; in connecting see fail_connect */
    {ER_LOCK_WAIT_TIMEOUT, MF_RETRY},
    {ER_LOCK_DEADLOCK, MF_RETRY},
    {ER_LOCK_OR_ACTIVE_TRANSACTION, MF_RETRY},
    {ER_QUERY_INTERRUPTED, MF_RETRY},
    {ER_STATEMENT_TIMEOUT, MF_RETRY}, /* MariaDB's; 3024 is MySQL's */
    {3024, MF_RETRY},
    {ER_SERVER_SHUTDOWN, MF_RETRY},
    {ER_CON_COUNT_ERROR, MF_RETRY},
    {ER_TOO_MANY_USER_CONNECTIONS, MF_RETRY},
    {ER_USER_LIMIT_REACHED, MF_RETRY},
    {SERVER_FILE_WRITE, MF_RETRY}, /* a file of the server's could not be written: its disk is full */
    {SERVER_FILE_FULL, MF_RETRY},
    {ER_DISK_FULL, MF_RETRY},
    {ER_ERROR_ON_WRITE, MF_RETRY},
    {ER_RECORD_FILE_FULL, MF_RETRY},
    {ER_OUT_OF_RESOURCES, MF_RETRY},
    {ER_NET_READ_ERROR, MF_RETRY},
    {ER_NET_READ_INTERRUPTED, MF_RETRY},
    {ER_NET_ERROR_ON_WRITE, MF_RETRY},
    {ER_NET_WRITE_INTERRUPTED, MF_RETRY},
    {ER_ABORTING_CONNECTION, MF_RETRY},
    {ER_NEW_ABORTING_CONNECTION, MF_RETRY},
    {ER_CONNECTION_KILLED, MF_RETRY},
    {ER_DUP_ENTRY, MF_CONFLICT},
    {ER_DUP_ENTRY_WITH_KEY_NAME, MF_CONFLICT},
    {ER_DATA_TOO_LONG, MF_ROW},
    {ER_BAD_NULL_ERROR, MF_ROW},
    {ER_WARN_DATA_OUT_OF_RANGE, MF_ROW},
    {ER_TRUNCATED_WRONG_VALUE, MF_ROW},
    {ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, MF_ROW},
    {WARN_DATA_TRUNCATED, MF_ROW},
    {ER_NO_DEFAULT_FOR_FIELD, MF_ROW},
    {ER_DIVISION_BY_ZERO, MF_ROW},
    {ER_DATA_OUT_OF_RANGE, MF_ROW},
    {ER_CANT_CREATE_GEOMETRY_OBJECT, MF_ROW},
    {ER_TOO_BIG_ROWSIZE, MF_ROW},
    {ER_ROW_IS_REFERENCED_2, MF_ROW},
    {ER_NO_REFERENCED_ROW_2, MF_ROW},
    {ER_INVALID_CHARACTER_STRING, MF_ROW},
    {ER_CONSTRAINT_FAILED, MF_ROW}, /* MariaDB: CHECK */
    {3140, MF_ROW},                 /* invalid JSON text */
    {3141, MF_ROW},                 /* the same, in CAST */
    {3819, MF_ROW},                 /* CHECK */
    {3854, MF_ROW},                 /* cannot convert string from … to … */
    {ER_SIGNAL_EXCEPTION, MF_ROW},  /* SIGNAL in a trigger */
};

enum mf_errclass my_errclass(unsigned number)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(classes); i++) {
        if (classes[i].number == number) {
            return classes[i].cls;
        }
    }
    return MF_FATAL;
}

int my_fail_with(const struct my_db *db, unsigned number, const char *message, struct mf_error *err)
{
    char code[16];
    snprintf(code, sizeof code, "%u", number);
    return mf_fail(err, my_errclass(number), code, "%s at %s: %s (%u)", db && db->mariadb ? "MariaDB" : "MySQL",
                   db ? db->facts.host : "?", message && *message ? message : "the connection to the server was lost",
                   number);
}

/* ":3307", "" for the usual port and for a socket. */
static const char *port_text(unsigned port, char out[16])
{
    out[0] = '\0';
    if (port && port != 3306) {
        snprintf(out, 16, ":%u", port);
    }
    return out;
}

int my_fail(MYSQL *c, struct mf_error *err)
{
    unsigned number = c ? mysql_errno(c) : CR_SERVER_LOST;
    char code[16];
    snprintf(code, sizeof code, "%u", number);
    const char *message = c ? mysql_error(c) : "";
    const char *host = c && mysql_get_host_info(c) ? mysql_get_host_info(c) : "?";
    char port[16];
    mf_fail(err, my_errclass(number), code, "MySQL at %.*s%s: %s (%u, SQLSTATE %s)", (int)strcspn(host, " "), host,
            port_text(c ? c->port : 0, port), *message ? message : "the connection to the server was lost", number,
            c ? mysql_sqlstate(c) : "08S01");
    return -1;
}

bool my_is_error(const struct mf_error *err, unsigned number)
{
    char code[16];
    snprintf(code, sizeof code, "%u", number);
    return strcmp(err->code, code) == 0;
}

/* ---- statements ---- */

/* Sends a text and reads the answer of its first statement whole. */
static int run(MYSQL *c, const char *sql, size_t n, MYSQL_RES **ret, struct mf_error *err)
{
    *ret = NULL;
    if (mysql_real_query(c, sql, n) != 0) {
        return my_fail(c, err);
    }
    MYSQL_RES *r = mysql_store_result(c);
    if (!r && mysql_field_count(c) > 0) {
        return my_fail(c, err);
    }
    *ret = r;
    return 0;
}

int my_query(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *sql)
{
    return run(c, sql, strlen(sql), ret, err);
}

int my_query_last(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *sql)
{
    if (run(c, sql, strlen(sql), ret, err) < 0) {
        return -1;
    }
    while (mysql_more_results(c)) {
        mysql_free_result(*ret);
        *ret = NULL;
        if (mysql_next_result(c) != 0 || (!(*ret = mysql_store_result(c)) && mysql_field_count(c) > 0)) {
            return my_fail(c, err);
        }
    }
    return 0;
}

int my_queryf(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *sql = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return my_query(c, ret, err, sql);
}

int my_exec(MYSQL *c, struct mf_error *err, const char *sql)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    return my_query(c, &r, err, sql);
}

int my_execf(MYSQL *c, struct mf_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *sql = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return my_exec(c, err, sql);
}

int my_exec_buf(MYSQL *c, struct mf_error *err, struct mf_buf *sql)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (!mf_buf_ok(sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", sql->max);
    }
    return run(c, mf_buf_str(sql), sql->len, &r, err);
}

int my_query_text(MYSQL *c, char *out, size_t n, struct mf_error *err, const char *sql)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err, sql) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row) {
        return mf_fail(err, MF_FATAL, "MFNOROW", "no row came from: %.200s", sql);
    }
    mf_strlcpy(out, row[0] ? row[0] : "", n);
    return 0;
}

int my_query_i64(MYSQL *c, int64_t *ret, struct mf_error *err, const char *sql)
{
    char text[32];
    if (my_query_text(c, text, sizeof text, err, sql) < 0) {
        return -1;
    }
    *ret = 0;
    mf_parse_i64(text, ret);
    return 0;
}

int64_t my_get_i64(MYSQL_ROW row, unsigned col)
{
    int64_t v = 0;
    if (row[col]) {
        mf_parse_i64(row[col], &v);
    }
    return v;
}

/* ---- making statements ---- */

void my_put_ident(struct mf_buf *b, const char *name)
{
    mf_buf_putc(b, '`');
    for (; *name; name++) {
        if (*name == '`') {
            mf_buf_putc(b, '`');
        }
        mf_buf_putc(b, *name);
    }
    mf_buf_putc(b, '`');
}

void my_put_name(struct mf_buf *b, const char *schema, const char *name)
{
    my_put_ident(b, schema);
    mf_buf_putc(b, '.');
    my_put_ident(b, name);
}

/* Bytes that mean something inside quotes. Every other byte of UTF-8 stands for itself: the session is utf8mb4, in which no quote or backslash hides
 * inside a character. */
static const char *escaped(char c)
{
    switch (c) {
    case 0:
        return "\\0";
    case '\'':
        return "\\'";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case 26:
        return "\\Z";
    default:
        return NULL;
    }
}

void my_put_literal_n(struct mf_buf *b, const char *text, size_t n)
{
    size_t from = 0;
    mf_buf_putc(b, '\'');
    for (size_t i = 0; i < n; i++) {
        const char *e = escaped(text[i]);
        if (e) {
            mf_buf_append(b, text + from, i - from);
            mf_buf_append(b, e, 2);
            from = i + 1;
        }
    }
    mf_buf_append(b, text + from, n - from);
    mf_buf_putc(b, '\'');
}

void my_put_literal(struct mf_buf *b, const char *text)
{
    my_put_literal_n(b, text, strlen(text));
}

void my_put_hex(struct mf_buf *b, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t *p = bytes;
    mf_buf_puts(b, "x'");
    if (mf_buf_reserve(b, 2 * n + 1) < 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        b->data[b->len++] = digits[p[i] >> 4];
        b->data[b->len++] = digits[p[i] & 15];
    }
    b->data[b->len] = 0;
    mf_buf_putc(b, '\'');
}

#define HEX_MAX 256u

void my_put_bytes(struct mf_buf *b, const void *bytes, size_t n)
{
    if (n <= HEX_MAX) {
        my_put_hex(b, bytes, n);
        return;
    }
    mf_buf_puts(b, "_binary ");
    my_put_literal_n(b, bytes, n);
}

void my_put_value(struct mf_buf *b, const struct mf_value *v)
{
    switch (v->kind) {
    case MF_TEXT:
        my_put_literal_n(b, v->data, v->len);
        break;
    case MF_BINARY:
        my_put_hex(b, v->data, v->len);
        break;
    case MF_NULL:
    case MF_UNCHANGED:
    case MF_REFUSED: /* no row with one comes here */
        mf_buf_puts(b, "NULL");
        break;
    }
}
