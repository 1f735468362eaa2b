/*
 * The applier's pipeline.
 *
 * Statements are queued and go out together; for each one an expectation waits in a ring for its answer. A small window is one
 * flush and one round trip. For a large one the socket is worked in both directions at once: a server that blocks on
 * writing its answers would never read our statements. libpq's output buffer holds at most one statement more than
 * what the socket took, because after PG_FLUSH_BYTES everything queued is pushed out before more is made.
 */
#include "connector/postgres/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static int fail(struct pg_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK) {
        a->failed = *err;
    }
    return -1;
}

int pg_wire_failed(struct pg_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK) {
        mf_fail(&a->failed, MF_FATAL, "MFBUG", "a failed window has no error");
    }
    *err = a->failed;
    return -1;
}

void pg_wire_forgive(struct pg_applier *a)
{
    mf_error_clear(&a->failed);
}

static int push(struct pg_applier *a, const struct pg_expect *e, struct mf_error *err)
{
    if (a->count == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        struct pg_expect *q = mf_xcalloc(cap, sizeof(*q));
        for (size_t i = 0; i < a->count; i++) {
            q[i] = a->queue[(a->head + i) % a->cap];
        }
        free(a->queue);
        a->queue = q;
        a->cap = cap;
        a->head = 0;
    }
    (void)err;
    a->queue[(a->head + a->count++) % a->cap] = *e;
    return 0;
}

/* A backend that waits for a lock, or whose statement takes long, does not read: the socket is full and stays so. TCP_USER_TIMEOUT takes that
 * for a dead network and would end a session that only waits, and the backend left behind keeps the applier's lock. */
void pg_wire_patient(struct pg_applier *a)
{
    unsigned off = 0;
    setsockopt(PQsocket(a->conn), IPPROTO_TCP, TCP_USER_TIMEOUT, &off, sizeof off); /* a Unix socket has none */
}

/* What takes its place: the other end answers what we send, if only to say that it has no room. Keepalives, which know a dead network while
 * we wait for an answer, rest while there is something to send. */
static bool peer_is_gone(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_last_ack_recv > PG_SILENT_MS &&
           (info.tcpi_unacked > 0 || info.tcpi_probes > 2);
}

/* Waits until the socket can be read, or (writing) written. */
static int wait_socket(struct pg_applier *a, bool writing, struct mf_error *err)
{
    struct pollfd p = {.fd = PQsocket(a->conn), .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
    int n = p.fd < 0 ? -1 : poll(&p, 1, PG_SILENT_MS / 10);
    if (n == 0 && peer_is_gone(p.fd)) {
        mf_fail(err, MF_RETRY, "08006", "the server has answered nothing for %d s", PG_SILENT_MS / 1000);
        return fail(a, err);
    }
    if (n == 0 || (n < 0 && errno == EINTR)) {
        return 0;
    }
    if (n < 0 || ((p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(a->conn))) {
        pg_fail_conn(a->conn, err);
        return fail(a, err);
    }
    return 0;
}

static int flush_out(struct pg_applier *a, struct mf_error *err)
{
    a->unflushed = 0;
    for (;;) {
        int left = PQflush(a->conn);
        if (left < 0) {
            pg_fail_conn(a->conn, err);
            return fail(a, err);
        }
        if (left == 0) {
            return 0;
        }
        if (wait_socket(a, true, err) < 0) {
            return -1;
        }
    }
}

static int queued(struct pg_applier *a, int sent, size_t bytes, const struct pg_expect *e, struct mf_error *err)
{
    if (!sent) {
        pg_fail_conn(a->conn, err);
        return fail(a, err);
    }
    push(a, e, err);
    a->unflushed += bytes + 100;
    return a->unflushed > PG_FLUSH_BYTES ? flush_out(a, err) : 0;
}

int pg_wire_params(struct pg_applier *a, const char *sql, int n, const char *const *values, const struct pg_expect *e,
                   struct mf_error *err)
{
    if (a->failed.cls != MF_OK) {
        return pg_wire_failed(a, err);
    }
    return queued(a, PQsendQueryParams(a->conn, sql, n, NULL, values, NULL, NULL, 1), strlen(sql), e, err);
}

int pg_wire_sql(struct pg_applier *a, const char *sql, const struct pg_expect *e, struct mf_error *err)
{
    return pg_wire_params(a, sql, 0, NULL, e, err);
}

int pg_wire_stmt(struct pg_applier *a, struct pg_stmt *st, int n, const char *const *values, const int *lengths,
                 const struct pg_expect *e, struct mf_error *err)
{
    if (a->failed.cls != MF_OK) {
        return pg_wire_failed(a, err);
    }
    if (!st->sent) {
        struct pg_expect p = {.kind = PG_EXPECT_PREPARED, .doing = e->doing, .shape = e->shape, .stmt = st};
        if (queued(a, PQsendPrepare(a->conn, st->name, st->sql, 0, NULL), strlen(st->sql), &p, err) < 0) {
            return -1;
        }
        st->sent = true;
    }
    MF_CLEANUP_FREE int *formats = mf_xcalloc((size_t)n, sizeof(*formats));
    size_t bytes = 0;
    for (int i = 0; i < n; i++) {
        formats[i] = 1;
        bytes += (size_t)lengths[i];
    }
    return queued(a, PQsendQueryPrepared(a->conn, st->name, n, values, lengths, formats, 1), bytes, e, err);
}

/* ---- answers ---- */

/* An error in words that name the table; conflicts that another order may avoid get their class. */
static void refused(struct pg_applier *a, const struct pg_expect *e, const PGresult *r, struct mf_error *err)
{
    const char *column = PQresultErrorField(r, PG_DIAG_COLUMN_NAME);
    pg_fail_result(a->conn, r, err);
    if (a->failed.cls == MF_OK) {
        mf_strlcpy(a->bad_column, column ? column : "", sizeof(a->bad_column));
    }
    if (e->kind == PG_EXPECT_CHECKPOINT && mf_streq(err->code, "MF001")) {
        mf_fail(err, MF_FATAL, "MFTWICE",
                "the target's checkpoint is already past %s: somebody else applies this stream", a->checkpoint.token);
        mf_hint(err, "stop every other midflight that runs this migration");
        return;
    }
    if (mf_streq(err->code, "MF001") || mf_streq(err->code, "23505") || mf_streq(err->code, "23P01") ||
        mf_streq(err->code, "21000")) {
        err->cls = MF_CONFLICT;
    } else if (mf_streq(err->code, "0A000") && strstr(err->text, "cached plan")) {
        err->cls = MF_RETRY;
    }
    if (e->shape) {
        mf_error_prefix(err, "%s %s.%s", e->doing, e->shape->table->schema, e->shape->table->name);
    } else if (e->doing) {
        mf_error_prefix(err, "%s", e->doing);
    }
}

static int take_found(struct pg_applier *a, const struct pg_expect *e, const PGresult *r, struct mf_error *err)
{
    MF_CLEANUP_FREE bool *found = mf_xcalloc(e->n + 1, sizeof(*found));
    for (int i = 0; i < PQntuples(r); i++) {
        uint64_t ord = mf_get_u64be(PQgetvalue(r, i, 0));
        if (ord >= 1 && ord <= e->n) {
            found[ord] = true;
        }
    }
    for (size_t i = 0; i < e->n; i++) {
        const struct mf_missing *m = &a->partial[e->first + i];
        if (!found[i + 1] && mf_result_missing(a->result, m->table, &m->key, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int take_success(struct pg_applier *a, const struct pg_expect *e, const PGresult *r, struct mf_error *err)
{
    switch (e->kind) {
    case PG_EXPECT_PREPARED:
        e->stmt->prepared = true;
        return 0;
    case PG_EXPECT_CHECKPOINT:
        a->has_quarantine = PQntuples(r) == 1 && PQgetlength(r, 0, 1) == 1 && *PQgetvalue(r, 0, 1);
        return 0;
    case PG_EXPECT_ROWS:
        if (strtoull(PQcmdTuples((PGresult *)r), NULL, 10) != e->want) {
            mf_fail(err, MF_FATAL, "MFDIVERGED", "%s %s.%s changed %s rows instead of %llu", e->doing,
                    e->shape->table->schema, e->shape->table->name, PQcmdTuples((PGresult *)r),
                    (unsigned long long)e->want);
            mf_hint(err, "a trigger or rule of the target that fires ALWAYS or on REPLICA keeps rows away; disable it "
                         "for the time of the migration");
            return -1;
        }
        return 0;
    case PG_EXPECT_CHANGED:
        if (strtoull(PQcmdTuples((PGresult *)r), NULL, 10) != e->want) {
            return mf_fail(err, MF_CONFLICT, "MF001", "%s %s.%s: found %s of the %llu rows to change", e->doing,
                           e->shape->table->schema, e->shape->table->name, PQcmdTuples((PGresult *)r),
                           (unsigned long long)e->want);
        }
        return 0;
    case PG_EXPECT_FOUND:
        return take_found(a, e, r, err);
    case PG_EXPECT_KEYS:
        return pg_take_keys(a, e, r, err);
    case PG_EXPECT_COUNT:
        a->answer = strtoull(PQcmdTuples((PGresult *)r), NULL, 10);
        return 0;
    case PG_EXPECT_COMMIT:
        if (!mf_streq(PQcmdStatus((PGresult *)r), "COMMIT")) {
            return mf_fail(err, MF_CONFLICT, "MFABORT", "the target answered %s to COMMIT", PQcmdStatus((PGresult *)r));
        }
        return 0;
    case PG_EXPECT_OK:
    case PG_EXPECT_SYNC:
        break;
    }
    return 0;
}

static void pop(struct pg_applier *a)
{
    a->head = (a->head + 1) % a->cap;
    a->count--;
    a->answered = false;
}

/* Takes one result that has arrived. Failures are kept; reading goes on to the end of the segment. */
static void take(struct pg_applier *a, PGresult *r)
{
    struct pg_expect *e = &a->queue[a->head];
    struct mf_error err = {0};
    if (!r) {
        if (a->answered) {
            pop(a);
        }
        return;
    }
    switch (PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        while (a->count > 0 && a->queue[a->head].kind != PG_EXPECT_SYNC) {
            pop(a); /* only after an error */
        }
        if (a->count > 0) {
            pop(a);
        }
        break;
    case PGRES_PIPELINE_ABORTED:
        if (e->kind == PG_EXPECT_PREPARED) {
            e->stmt->sent = false;
        }
        a->answered = true;
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        a->answered = true;
        if (a->failed.cls == MF_OK && take_success(a, e, r, &err) < 0) {
            fail(a, &err);
        }
        break;
    default:
        a->answered = true;
        if (e->kind == PG_EXPECT_PREPARED) {
            e->stmt->sent = false;
        }
        refused(a, e, r, &err);
        fail(a, &err);
    }
    PQclear(r);
}

int pg_wire_poll(struct pg_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK && a->count > 0 && !PQconsumeInput(a->conn)) {
        pg_fail_conn(a->conn, err);
        fail(a, err);
    }
    while (a->failed.cls == MF_OK && a->count > 0 && !PQisBusy(a->conn)) {
        take(a, PQgetResult(a->conn));
    }
    return a->failed.cls == MF_OK ? 0 : pg_wire_failed(a, err);
}

int pg_wire_sync(struct pg_applier *a, struct mf_error *err)
{
    struct pg_expect e = {.kind = PG_EXPECT_SYNC};
    if (PQstatus(a->conn) != CONNECTION_OK || !PQpipelineSync(a->conn)) {
        pg_fail_conn(a->conn, err);
        fail(a, err);
        return pg_wire_failed(a, err);
    }
    push(a, &e, err);
    if (flush_out(a, err) < 0) {
        return -1;
    }
    while (a->count > 0) {
        while (PQisBusy(a->conn)) {
            if (wait_socket(a, PQflush(a->conn) == 1, err) < 0) {
                return -1;
            }
        }
        PGresult *r = PQgetResult(a->conn);
        if (PQstatus(a->conn) == CONNECTION_BAD) {
            PQclear(r);
            pg_fail_conn(a->conn, err);
            return fail(a, err);
        }
        take(a, r);
    }
    return a->failed.cls == MF_OK ? 0 : pg_wire_failed(a, err);
}
