/* Statements, results and errors: see connect.h. */
#include "connector/postgres/connect.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-events.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- errors ---- */

/* Classes and single codes that say what may be done. The longest match wins, so single codes stand first. */
static const struct {
    const char *prefix;
    enum mf_errclass cls;
} classes[] = {
    {"57P01", MF_RETRY}, /* shut down by an administrator */
    {"57P02", MF_RETRY}, /* crash shutdown */
    {"57P03", MF_RETRY}, /* starting up */
    {"57P05", MF_RETRY}, /* idle session timeout */
    {"57014", MF_RETRY}, /* cancelled: a statement timeout */
    {"40001", MF_RETRY}, {"40003", MF_RETRY}, {"40P01", MF_RETRY}, {"25P02", MF_RETRY}, {"25P03", MF_RETRY},
    {"25P04", MF_RETRY}, {"55P03", MF_RETRY}, /* lock not available */
    {"55006", MF_RETRY},                      /* object in use: an old session of ours not gone yet */
    {"58030", MF_RETRY},                      /* I/O error */
    {"54000", MF_ROW},                        /* an index row or a row too big */
    {"44000", MF_ROW},                        /* a view's check option */
    {"P0001", MF_ROW},                        /* RAISE in a trigger or a domain's function */
    {"2200H", MF_FATAL},                      /* a sequence ran out: nobody's row */
    {"22", MF_ROW},      {"23", MF_ROW},      {"08", MF_RETRY},    {"53", MF_RETRY},    {"57P", MF_RETRY},
};

enum mf_errclass pg_errclass(const char *sqlstate)
{
    if (!sqlstate || !*sqlstate) {
        return MF_RETRY; /* libpq made the error itself: the connection */
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(classes); i++) {
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0) {
            return classes[i].cls;
        }
    }
    return MF_FATAL;
}

/* Messages of several lines (DETAIL, CONTEXT of libpq's own) become one. */
static void one_line(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == ' ')) {
        s[--n] = 0;
    }
    for (; *s; s++) {
        if (*s == '\n' || *s == '\t' || *s == '\r') {
            *s = ' ';
        }
    }
}

int pg_fail_conn(PGconn *c, struct mf_error *err)
{
    char text[800];
    const char *message = c ? PQerrorMessage(c) : "out of memory";
    snprintf(text, sizeof text, "%s", *message ? message : "the connection to the server was lost");
    one_line(text);
    const char *host = c && PQhost(c) ? PQhost(c) : "?", *port = c && PQport(c) ? PQport(c) : "?";
    mf_fail(err, MF_RETRY, "08006", "PostgreSQL at %s:%s: %s", host, port, text);
    return -1;
}

int pg_fail_result(PGconn *c, const PGresult *r, struct mf_error *err)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    if (!state) {
        return pg_fail_conn(c, err);
    }
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
    const char *context = PQresultErrorField(r, PG_DIAG_CONTEXT);
    char text[900];
    int n = snprintf(text, sizeof text, "%s %s: %s", severity ? severity : "ERROR", state, message ? message : "");
    if (detail && n < (int)sizeof text) {
        n += snprintf(text + n, sizeof text - (size_t)n, " (%s)", detail);
    }
    /* COPY says here which line and column it was; functions and domains say where they raised. */
    if (context && n < (int)sizeof text) {
        snprintf(text + n, sizeof text - (size_t)n, " [%.300s]", context);
    }
    one_line(text);
    mf_fail(err, pg_errclass(state), state, "%s", text);
    if (hint) {
        mf_hint(err, "%s", hint);
    }
    return -1;
}

/* ---- statements ---- */

static bool succeeded(const PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        return true;
    default:
        return false;
    }
}

/* What a session's time-outs are, kept with the connection: setting them again to what they are would cost every leased connection a
 * round trip. Not known after a rollback, which takes back what was set in the transaction. */
struct timeouts {
    bool known;
    int statement_ms, lock_ms;
    int64_t until_us; /* who leased it is in a hurry until then; 0: not */
};

static int free_timeouts(PGEventId id, void *info, void *unused)
{
    (void)unused;
    if (id == PGEVT_CONNDESTROY) {
        free(PQinstanceData(((PGEventConnDestroy *)info)->conn, free_timeouts));
    }
    return 1;
}

static struct timeouts *timeouts_of(PGconn *c)
{
    struct timeouts *t = PQinstanceData(c, free_timeouts);
    if (!t && PQregisterEventProc(c, free_timeouts, "midflight timeouts", NULL)) {
        t = mf_xcalloc(1, sizeof *t);
        PQsetInstanceData(c, free_timeouts, t);
    }
    return t;
}

/* The server's own time-out says nothing of a server that stands still: its host acknowledges what is sent, and nothing comes. */
static void wait_until(PGconn *c, int64_t until_us)
{
    while (PQisBusy(c)) {
        int64_t left = until_us - mf_now_us();
        struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
        int n = left > 0 ? poll(&p, 1, (int)(left / MF_US_PER_MS) + 1) : 0;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            shutdown(PQsocket(c), SHUT_RDWR); /* libpq then finds it lost */
            return;
        }
        if (!PQconsumeInput(c)) {
            return;
        }
    }
}

/* As PQexec answers: the last result, or the first that is a COPY. */
static PGresult *answer_until(PGconn *c, int sent, int64_t until_us)
{
    PGresult *last = NULL;
    while (sent) {
        wait_until(c, until_us);
        PGresult *r = PQgetResult(c);
        if (!r) {
            break;
        }
        PQclear(last);
        last = r;
        ExecStatusType st = PQresultStatus(r);
        if (st == PGRES_COPY_IN || st == PGRES_COPY_OUT || st == PGRES_COPY_BOTH || PQstatus(c) == CONNECTION_BAD) {
            break;
        }
    }
    return last;
}

void pg_answer_until(PGconn *c, int64_t until_us)
{
    struct timeouts *t = timeouts_of(c);
    if (t) {
        t->until_us = until_us;
    }
}

static int64_t hurried_until(PGconn *c)
{
    const struct timeouts *t = timeouts_of(c);
    return t ? t->until_us : 0;
}

int pg_query(PGconn *c, PGresult **ret, struct mf_error *err, const char *sql)
{
    int64_t until_us = hurried_until(c);
    PGresult *r = until_us ? answer_until(c, PQsendQuery(c, sql), until_us) : PQexec(c, sql);
    if (!succeeded(r)) {
        pg_fail_result(c, r, err);
        PQclear(r);
        return -1;
    }
    *ret = r;
    return 0;
}

int pg_exec(PGconn *c, struct mf_error *err, const char *sql)
{
    PGresult *r = NULL;
    if (pg_query(c, &r, err, sql) < 0) {
        return -1;
    }
    PQclear(r);
    return 0;
}

int pg_execf(PGconn *c, struct mf_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *sql = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return pg_exec(c, err, sql);
}

int pg_queryf(PGconn *c, PGresult **ret, struct mf_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *sql = mf_xvasprintf(fmt, ap);
    va_end(ap);
    return pg_query(c, ret, err, sql);
}

int pg_query_params(PGconn *c, PGresult **ret, struct mf_error *err, const char *sql, int n, const char *const *values)
{
    int64_t until_us = hurried_until(c);
    PGresult *r = until_us ? answer_until(c, PQsendQueryParams(c, sql, n, NULL, values, NULL, NULL, 0), until_us)
                           : PQexecParams(c, sql, n, NULL, values, NULL, NULL, 0);
    if (!succeeded(r)) {
        pg_fail_result(c, r, err);
        PQclear(r);
        return -1;
    }
    *ret = r;
    return 0;
}

int pg_query_text(PGconn *c, char *out, size_t n, struct mf_error *err, const char *sql)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(c, &r, err, sql) < 0) {
        return -1;
    }
    if (PQntuples(r) < 1 || PQnfields(r) < 1) {
        return mf_fail(err, MF_FATAL, "MFNOROW", "the server returned no row for: %.200s", sql);
    }
    snprintf(out, n, "%s", PQgetvalue(r, 0, 0));
    return 0;
}

int pg_drain(PGconn *c, struct mf_error *err)
{
    int rc = 0;
    for (PGresult *r; (r = PQgetResult(c));) {
        if (!succeeded(r) && rc == 0) {
            rc = pg_fail_result(c, r, err);
        }
        ExecStatusType st = PQresultStatus(r);
        PQclear(r);
        if (PQstatus(c) == CONNECTION_BAD || st == PGRES_COPY_IN || st == PGRES_COPY_BOTH) {
            break; /* would be handed out again and again */
        }
    }
    return rc;
}

int pg_set_timeouts(PGconn *c, int statement_ms, int lock_ms, struct mf_error *err)
{
    struct timeouts *t = timeouts_of(c);
    if (t && t->known && t->statement_ms == statement_ms && t->lock_ms == lock_ms) {
        return 0;
    }
    if (t) {
        t->known = false;
    }
    if (pg_execf(c, err,
                 "SELECT pg_catalog.set_config('statement_timeout', '%d', false), "
                 "pg_catalog.set_config('lock_timeout', '%d', false)",
                 statement_ms, lock_ms) < 0) {
        return -1;
    }
    pg_know_timeouts(c, PQtransactionStatus(c) == PQTRANS_IDLE, statement_ms, lock_ms);
    return 0;
}

void pg_know_timeouts(PGconn *c, bool known, int statement_ms, int lock_ms)
{
    struct timeouts *t = timeouts_of(c);
    if (t) {
        *t = (struct timeouts){known, statement_ms, lock_ms, t->until_us};
    }
}

/* ---- making statements ---- */

void pg_put_ident(struct mf_buf *b, const char *name)
{
    mf_buf_putc(b, '"');
    for (const char *s = name; *s; s++) {
        if (*s == '"') {
            mf_buf_putc(b, '"');
        }
        mf_buf_putc(b, *s);
    }
    mf_buf_putc(b, '"');
}

void pg_put_name(struct mf_buf *b, const char *schema, const char *name)
{
    pg_put_ident(b, schema);
    mf_buf_putc(b, '.');
    pg_put_ident(b, name);
}

/* Doubling quotes byte by byte is safe because client_encoding is UTF-8 or the server's own SQL_ASCII: neither has a
 * quote or a backslash as the second byte of a character. */
void pg_put_literal_n(struct mf_buf *b, const char *text, size_t n)
{
    if (memchr(text, '\\', n)) {
        mf_buf_puts(b, " E");
    }
    mf_buf_putc(b, '\'');
    const char *end = text + n;
    for (const char *s = text; s < end;) {
        const char *run = s;
        while (s < end && *s != '\'' && *s != '\\') {
            s++;
        }
        mf_buf_append(b, run, (size_t)(s - run));
        if (s < end) {
            mf_buf_putc(b, *s);
            mf_buf_putc(b, *s++);
        }
    }
    mf_buf_putc(b, '\'');
}

void pg_put_literal(struct mf_buf *b, const char *text)
{
    pg_put_literal_n(b, text, strlen(text));
}

const char *pg_sql(struct mf_buf *b, struct mf_error *err)
{
    if (!mf_buf_ok(b)) {
        mf_fail(err, MF_FATAL, "MFBIG", "a statement would be longer than %zu bytes", b->max);
        return NULL;
    }
    return mf_buf_str(b);
}

/* ---- results and positions ---- */

int64_t pg_get_i64(const PGresult *r, int row, int col)
{
    return strtoll(PQgetvalue(r, row, col), NULL, 10);
}

uint32_t pg_get_oid(const PGresult *r, int row, int col)
{
    return (uint32_t)strtoul(PQgetvalue(r, row, col), NULL, 10);
}

void pg_position(uint64_t lsn, struct mf_position *ret)
{
    ret->order = lsn;
    snprintf(ret->token, sizeof ret->token, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
}

bool pg_parse_lsn(const char *text, uint64_t *ret)
{
    uint32_t hi, lo;
    int end = 0;
    if (!text || sscanf(text, "%8" SCNx32 "/%8" SCNx32 "%n", &hi, &lo, &end) != 2 || text[end]) {
        return false;
    }
    *ret = (uint64_t)hi << 32 | lo;
    return true;
}
