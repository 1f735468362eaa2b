/*
 * The change stream: START_REPLICATION on a logical slot with pgoutput ("Streaming Replication Protocol" and "Logical
 * Streaming Replication Parameters" in PostgreSQL's manual).
 *
 * What must hold: the server hears only positions that midflight has made durable, as written, flushed and applied
 * alike (while commits wait for it, only what is confirmed: stream_wait.c); it hears from us well within its wal_sender_timeout, whether or not there is anything new, because
 * every call of next and of ack sends a status when one is due. (While capture may not read, with a full spool, it
 * must keep calling ack.) And nothing before `from` is handed out as committed: the server skips those transactions by
 * itself, but a large one can have been streamed in pieces before its commit; then its commit becomes an abort.
 *
 * PROGRESS comes from the server's keepalives: their position says that every commit before it has been sent. It is
 * never told to run backwards: a walsender begins reading at the slot's restart position, behind what is confirmed.
 */
#include "connector/postgres/stream.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/standby.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PG_EPOCH_US INT64_C(946684800000000)
#define NEAR_US     1000  /* round trip */
#define WINDOW      49152 /* above half of the first one, 64 kB: a sender may wait for that much room */

/* ---- keys from the catalogue ---- */

static int reread(void *ctx, struct mf_error *err)
{
    struct pg_stream *st = ctx;
    struct mf_catalog fresh = {0};
    if (pg_catalog_read(st->base.db, NULL, &fresh, err) < 0) {
        return -1;
    }
    mf_catalog_free(&st->catalog);
    st->catalog = fresh;
    return 0;
}

/* While commits wait, the one that made the table may do so still: it is shown to nobody, and its locks are held. Looked up without. */
static void key_of(void *ctx, const struct mf_table *t, const char *const **ret_names, size_t *ret_n)
{
    struct pg_stream *st = ctx;
    *ret_n = 0;
    if (strcmp(t->schema, "midflight") == 0) {
        return;
    }
    const struct mf_table *known = mf_catalog_by_id(&st->catalog, t->id);
    if (!known && st->waits) {
        st->alone = true;
    } else if (!known) {
        struct mf_error ignored = {0}; /* without it the stream's own flags are believed */
        if (reread(st, &ignored) == 0) {
            known = mf_catalog_by_id(&st->catalog, t->id);
        }
    }
    for (uint16_t i = 0; known && i < known->nkey; i++) {
        st->key_names[(*ret_n)++] = known->columns[known->key[i]].name;
    }
    *ret_names = st->key_names;
}

/* ---- opening ---- */

static int read_timeout(struct pg_stream *st, PGconn *c, struct mf_error *err)
{
    char ms[32];
    if (pg_query_text(c, ms, sizeof ms, err,
                      "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'") < 0) {
        return -1;
    }
    int64_t timeout = strtoll(ms, NULL, 10) * MF_US_PER_MS;
    st->status_every_us = 10 * MF_US_PER_SEC;
    if (timeout > 0 && timeout / 3 < st->status_every_us) {
        st->status_every_us = timeout / 3;
    }
    return 0;
}

/* A server whose log ends before what it has already sent is not the one that sent it: a standby that was behind, or a copy of before. */
static bool ends_before(PGconn *c, uint64_t from, struct mf_error *err)
{
    char text[64];
    uint64_t end;
    if (pg_query_text(c, text, sizeof text, err, "SELECT pg_catalog.pg_current_wal_insert_lsn()") < 0) {
        return true;
    }
    if (!pg_parse_lsn(text, &end) || end >= from) {
        return false;
    }
    struct mf_position have;
    pg_position(from, &have);
    mf_fail(err, MF_FATAL, "MFSLOT",
            "the server's log ends at %s, and changes up to %s have been read from it: it is a standby that took over "
            "without them, or a copy of an earlier moment",
            text, have.token);
    mf_hint(err, "what is lost there is on the other side already: cancel and begin the migration again");
    return true;
}

static int check_slot(struct pg_stream *st, PGconn *c, struct mf_error *err)
{
    struct pg_slot slot;
    if (pg_slot_read(c, st->slot, &slot, err) < 0) {
        return -1;
    }
    if (!slot.exists || slot.lost) {
        return pg_slot_fail(st->slot, slot.exists ? slot.why : "it does not exist", err);
    }
    if (st->from == 0) {
        st->from = slot.confirmed;
    }
    if (slot.confirmed > st->from) {
        struct mf_position have, need;
        pg_position(slot.confirmed, &have);
        pg_position(st->from, &need);
        mf_fail(err, MF_FATAL, "MFSLOT",
                "replication slot \"%s\" has been acknowledged up to %s, but changes are needed from %s on: those "
                "between are "
                "not sent again",
                st->slot, have.token, need.token);
        mf_hint(err, "the spool that held them is gone, or something else has read from the slot; cancel and begin the "
                     "migration again");
        return -1;
    }
    if (ends_before(c, st->from, err)) {
        return -1;
    }
    st->durable = st->told = st->from;
    return pg_slot_free(c, st->slot, 10000, err);
}

static int start_replication(struct pg_stream *st, struct mf_error *err)
{
    bool pieces = PQserverVersion(st->conn) >= 140000;
    struct mf_position from;
    pg_position(st->from, &from);
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    mf_buf_printf(&b, "START_REPLICATION SLOT \"%s\" LOGICAL %s (proto_version '%d', %spublication_names '\"%s\"')",
                  st->slot, from.token, pieces ? 2 : 1, pieces ? "streaming 'on', " : "", st->slot);
    PG_CLEANUP_RESULT PGresult *r = PQexec(st->conn, mf_buf_str(&b));
    if (PQresultStatus(r) == PGRES_COPY_BOTH) {
        return 0;
    }
    pg_fail_result(st->conn, r, err);
    if (pg_slot_lost_error(err)) {
        char why[sizeof err->text];
        snprintf(why, sizeof why, "%s", err->text);
        return pg_slot_fail(st->slot, why, err);
    }
    mf_error_prefix(err, "starting the change stream from slot \"%s\"", st->slot);
    return -1;
}

/* A walsender sends each message by itself. While the receiver's window is open every one becomes a segment of its own, with all that costs; while
 * it is closed they are appended to what waits to be sent, and the walsender gets through twice as many. Capture lets them come together
 * (pipeline/capture.c), and a small window is closed by then. The window alone, not the buffer behind it: a buffer smaller than a window
 * that was already offered drops what is on its way. Only near the server: far from it a small window would be what limits the stream. */
static void narrow_window(PGconn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    int bytes = WINDOW;
    if (getsockopt(PQsocket(c), IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_rtt < NEAR_US) {
        setsockopt(PQsocket(c), IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes, sizeof bytes);
    }
}

/* Nobody answers whoever waits; the name may stand there from a stream that broke. What fails here is said by what failed first. */
static void give_up(struct pg_stream *st)
{
    char said[300];
    struct mf_error ignored = {0};
    pg_waits_end(st->base.db, &st->pipe, said, sizeof said, &ignored);
}

int pg_stream_open(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                   struct mf_stream **ret, struct mf_error *err)
{
    struct pg_db *db = pg_db_of(base);
    struct pg_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = base;
    st->from = from ? from->order : 0;
    st->key_names = mf_xcalloc(UINT16_MAX, sizeof *st->key_names);
    pg_pipe_name(pipe, st->slot);
    st->pipe = *pipe;
    st->waits = commits_wait;
    st->wake = commits_wait ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    st->truncates = (struct pg_truncates){.catalog = &st->catalog, .reread = reread, .ctx = st};
    char name[PG_STANDBY_NAME];
    pg_standby_name(pipe, name);
    PG_LEASE(db, control);
    if (pg_lease(db, &control.conn, err) < 0 || read_timeout(st, control.conn, err) < 0 ||
        check_slot(st, control.conn, err) < 0 || pg_catalog_read(base, NULL, &st->catalog, err) < 0 ||
        pg_connect(db, name + sizeof "midflight", PG_CONN_REPLICATION, &st->conn, err) < 0 ||
        start_replication(st, err) < 0 || (commits_wait && pg_standby_begin(db, pipe, err) < 0)) {
        if (commits_wait) {
            give_up(st);
        }
        pg_stream_close(&st->base);
        return -1;
    }
    narrow_window(st->conn);
    st->decoder = pg_decoder_new(key_of, st);
    *ret = &st->base;
    return 0;
}

void pg_stream_close(struct mf_stream *base)
{
    if (!base) {
        return;
    }
    struct pg_stream *st = (struct pg_stream *)base;
    PQfreemem(st->message);
    PQfinish(st->conn);
    if (st->wake >= 0) {
        close(st->wake);
    }
    pg_decoder_free(st->decoder);
    mf_catalog_free(&st->catalog);
    free(st->truncates.tables);
    free(st->key_names);
    free(st);
}

/* ---- status ---- */

int pg_stream_send_status(struct pg_stream *st, struct mf_error *err)
{
    char m[34];
    int64_t now = mf_now_us();
    uint64_t upto = st->waits ? st->confirmed : st->durable;
    m[0] = 'r';
    mf_put_u64be(m + 1, upto);  /* written */
    mf_put_u64be(m + 9, upto);  /* flushed */
    mf_put_u64be(m + 17, upto); /* applied */
    mf_put_u64be(m + 25, (uint64_t)(mf_wall_us() - PG_EPOCH_US));
    m[33] = 0; /* no reply wanted */
    if (PQputCopyData(st->conn, m, sizeof m) != 1 || PQflush(st->conn) != 0) {
        pg_fail_conn(st->conn, err);
        mf_error_prefix(err, "acknowledging the change stream");
        return -1;
    }
    st->status_due_us = now + st->status_every_us;
    return 0;
}

int pg_stream_ack(struct mf_stream *base, const struct mf_position *durable, struct mf_error *err)
{
    struct pg_stream *st = (struct pg_stream *)base;
    if (MF_FAULT(err, "postgres.stream_ack")) {
        return -1;
    }
    if (durable->order > st->durable) {
        st->durable = durable->order;
        if (!st->waits) {
            return pg_stream_send_status(st, err);
        }
    }
    return mf_now_us() >= st->status_due_us ? pg_stream_send_status(st, err) : 0;
}

/* ---- messages ---- */

/* The server ended the stream: its error, or a shutdown. */
static int stream_ended(struct pg_stream *st, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = PQgetResult(st->conn);
    if (PQresultStatus(r) == PGRES_FATAL_ERROR) {
        pg_fail_result(st->conn, r, err);
        if (pg_slot_lost_error(err)) {
            char why[sizeof err->text];
            snprintf(why, sizeof why, "%s", err->text);
            return pg_slot_fail(st->slot, why, err);
        }
        /* Another process of ours may hold the slot, or an administrator ended us: try again, bounded by the caller. */
        if (err->cls == MF_ROW) {
            err->cls = MF_FATAL;
        }
        mf_error_prefix(err, "the change stream");
        return -1;
    }
    return mf_fail(err, MF_RETRY, "08006", "the server ended the change stream (it is shutting down)");
}

/* XLogData: 'w', start, end, time, then a message of the plugin. */
static int take_data(struct pg_stream *st, int len, struct mf_item *ret, struct mf_error *err)
{
    pg_decoder_keep_old(st->decoder, st->base.old_whole);
    if (pg_decode(st->decoder, st->message + 25, (size_t)len - 25, ret, err) < 0 ||
        pg_truncate_item(&st->truncates, st->pipe.migration, ret, err) < 0) {
        struct mf_position at;
        pg_position(mf_get_u64be(st->message + 1), &at);
        mf_error_prefix(err, "at %s of slot \"%s\"", at.token, st->slot);
        return -1;
    }
    if (st->alone) {
        return mf_fail(err, MF_RETRY, "MFALONE",
                       "commits on %s cannot wait while the definition of a new table is read there",
                       pg_db_of(st->base.db)->facts.host);
    }
    if (ret->kind != MF_ITEM_COMMIT) {
        return 0;
    }
    if (ret->position.order <= st->from) {
        ret->kind = MF_ITEM_ABORT; /* we have it already */
        ret->subtxn = ret->txn;
        return 0;
    }
    pg_position(ret->position.order, &ret->position);
    st->told = ret->position.order > st->told ? ret->position.order : st->told;
    return 0;
}

/* Keepalive: 'k', end, time, reply wanted. */
static int take_keepalive(struct pg_stream *st, struct mf_item *ret, struct mf_error *err)
{
    uint64_t end = mf_get_u64be(st->message + 1);
    bool reply = st->message[17];
    *ret = (struct mf_item){.kind = MF_ITEM_NONE};
    if (end > st->told && !pg_decoder_in_transaction(st->decoder)) {
        st->told = end;
        ret->kind = MF_ITEM_PROGRESS;
        ret->reply_wanted = reply;
        ret->commit_time_us = (int64_t)mf_get_u64be(st->message + 9) + PG_EPOCH_US;
        pg_position(end, &ret->position);
    }
    return reply ? pg_stream_send_status(st, err) : 0;
}

static int wait_for_more(struct pg_stream *st, int64_t until_us, bool *ret_timeout, struct mf_error *err)
{
    int64_t now = mf_now_us();
    int64_t wake = st->status_due_us < until_us ? st->status_due_us : until_us;
    int ms = wake > now ? (int)((wake - now + 999) / 1000) : 0;
    struct pollfd p[] = {{.fd = PQsocket(st->conn), .events = POLLIN}, {.fd = st->wake, .events = POLLIN}};
    int n = poll(p, MF_ARRAY_LEN(p), ms); /* a negative descriptor is none */
    if (n < 0 && errno != EINTR) {
        return mf_fail(err, MF_RETRY, "08006", "waiting for the change stream: %s", strerror(errno));
    }
    if (n > 0 && p[0].revents && !PQconsumeInput(st->conn)) {
        return pg_fail_conn(st->conn, err);
    }
    bool woken = n > 0 && p[1].revents;
    if (woken) {
        uint64_t times;
        woken = read(st->wake, &times, sizeof times) > 0;
    }
    now = mf_now_us();
    *ret_timeout = woken || (n == 0 && now >= until_us);
    return now >= st->status_due_us ? pg_stream_send_status(st, err) : 0;
}

/* Looking at the clock for every row would cost more than decoding it. */
static int status_if_due(struct pg_stream *st, struct mf_error *err)
{
    if (++st->unchecked < 256) {
        return 0;
    }
    st->unchecked = 0;
    return mf_now_us() >= st->status_due_us ? pg_stream_send_status(st, err) : 0;
}

int pg_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    struct pg_stream *st = (struct pg_stream *)base;
    int64_t until = 0;
    bool timeout = false;
    if (MF_FAULT(err, "postgres.stream_next")) {
        return -1;
    }
    for (;;) {
        PQfreemem(st->message);
        st->message = NULL;
        int len = PQgetCopyData(st->conn, &st->message, 1);
        if (len == -1) {
            return stream_ended(st, err);
        }
        if (len == -2) {
            return pg_fail_conn(st->conn, err);
        }
        if (len == 0) {
            if (timeout) {
                *ret = (struct mf_item){.kind = MF_ITEM_NONE};
                return 0;
            }
            if (until == 0) {
                until = mf_now_us() + timeout_ms * MF_US_PER_MS;
            }
            if (wait_for_more(st, until, &timeout, err) < 0) {
                return -1;
            }
            continue;
        }
        struct mf_item item = {.kind = MF_ITEM_NONE};
        if (len >= 25 && st->message[0] == 'w') {
            if (take_data(st, len, &item, err) < 0 || status_if_due(st, err) < 0) {
                return -1;
            }
        } else if (len == 18 && st->message[0] == 'k') {
            if (take_keepalive(st, &item, err) < 0) {
                return -1;
            }
        } else {
            return mf_fail(err, MF_FATAL, "MFPROTO", "an unknown message of %d bytes in the change stream", len);
        }
        if (item.kind != MF_ITEM_NONE) {
            *ret = item;
            return 0;
        }
    }
}
