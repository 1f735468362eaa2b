/* See dump.h. */
#include "connector/mysql/dump.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/mysql_room.h"

#include <errmsg.h>
#include <errno.h>
/* The library's TLS object, which holds OpenSSL's: its header wants these two first, and is no strict C. */
#define HAVE_TLS
typedef unsigned char uchar;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <ma_pvio.h>
#pragma GCC diagnostic pop
#include <mysqld_error.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEARTBEAT_S   10
#define SILENCE_US    (30 * MF_US_PER_SEC) /* three heartbeats that did not come */
#define READ_MS       30000                /* between two pieces of one event */
#define DUMP_GTID     30                   /* COM_BINLOG_DUMP_GTID, which libmariadb has no name for */
#define NON_BLOCK     1
#define ID_TRIES      16
#define REPLICA_ERROR 1236 /* what a server says when it cannot send its log */
#define SAME_ID       4052 /* MariaDB: another replica has our number */
#define SEMI_MARK     0xef

struct my_dump {
    struct my_db *db;
    MYSQL *conn;
    uint32_t server_id;
    char name[60]; /* what the server shows for us among its replicas */
    bool to_end;
    bool openssl; /* the library's TLS is OpenSSL's */
    int64_t heard_us;
    bool waits, wanted;
    int wake; /* an eventfd; -1: nobody wakes */
    atomic_bool woken;
};

/* ---- who we are ---- */

/* Streams that another replica of the same number has thrown out, of this process: the next one takes another number. */
static atomic_uint clashes;

static uint64_t hash(const char *a, const char *b, unsigned number)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: the same in every process */
    for (const char *p = a; *p; p++) {
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    }
    for (const char *p = b; *p; p++) {
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    }
    for (int i = 0; i < 4; i++) {
        h = (h ^ (number >> (8 * i) & 255)) * UINT64_C(0x100000001b3);
    }
    return h ^ h >> 29;
}

/* Numbers that people give are small ones, addresses at most. */
static uint32_t candidate(const struct my_dump *d, unsigned number)
{
    return (uint32_t)hash(d->name, "id", number) | UINT32_C(0x40000000);
}

static const char *hosts_sql(const struct my_db *db)
{
    return !db->mariadb && db->version >= 80400 ? "SHOW REPLICAS" : "SHOW SLAVE HOSTS";
}

/* Somebody else's: a session of ours goes by our own name. */
static bool taken(MYSQL_RES *hosts, const struct my_dump *d, uint32_t id)
{
    MYSQL_ROW row;
    if (hosts) {
        mysql_data_seek(hosts, 0);
    }
    while (hosts && (row = mysql_fetch_row(hosts))) {
        uint64_t other = 0;
        if (row[0] && mf_parse_u64(row[0], &other) && other == id && !mf_streq(row[1] ? row[1] : "", d->name)) {
            return true;
        }
    }
    return false;
}

/* MariaDB shows the other replicas, and writes our name among them, for REPLICATION MASTER ADMIN, which the log itself does not need. Without it a number
 * that is another's is found out by being thrown out, and the next one is tried. */
static bool not_shown(const struct my_dump *d, const struct mf_error *err)
{
    return d->db->mariadb && my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR);
}

static int choose_id(struct my_dump *d, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *hosts = NULL;
    int64_t own = 0;
    if (my_query_i64(d->conn, &own, err, "SELECT @@global.server_id") < 0 ||
        (my_query(d->conn, &hosts, err, hosts_sql(d->db)) < 0 && !not_shown(d, err))) {
        return -1;
    }
    unsigned first = atomic_load(&clashes);
    for (unsigned i = 0; i < ID_TRIES; i++) {
        uint32_t id = candidate(d, first + i);
        if ((int64_t)id != own && !taken(hosts, d, id)) {
            d->server_id = id;
            return 0;
        }
    }
    return mf_fail(err, MF_FATAL, "MFREPLICA", "no replica number is free at %s", d->db->facts.host);
}

/* ---- opening ---- */

/* The session's variables are how a replica says what it understands; a server ignores those it does not know. */
static int introduce(struct my_dump *d, const struct my_dump_start *start, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 64u << 10};
    uint64_t a = hash(d->name, "uuid", d->server_id), z = hash(d->name, "more", d->server_id);
    mf_buf_printf(&b,
                  "SET @master_binlog_checksum = @@global.binlog_checksum,"
                  " @source_binlog_checksum = @@global.binlog_checksum,"
                  " @master_heartbeat_period = %lld, @source_heartbeat_period = %lld",
                  HEARTBEAT_S * 1000000000LL, HEARTBEAT_S * 1000000000LL);
    if (!d->db->mariadb) {
        char uuid[40];
        snprintf(uuid, sizeof uuid, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                 (unsigned)(a & 0xfff), (unsigned)(z >> 52), (unsigned long long)(z & UINT64_C(0xffffffffffff)));
        mf_buf_printf(&b, ", @slave_uuid = '%s', @replica_uuid = '%s'", uuid, uuid);
    } else {
        mf_buf_puts(&b, ", @mariadb_slave_capability = 4, @slave_gtid_ignore_duplicates = 0");
        if (start->set) {
            mf_buf_puts(&b, ", @slave_gtid_strict_mode = 1, @slave_connect_state = '");
            my_gtid_set_print(start->set, &b);
            mf_buf_putc(&b, '\'');
        }
    }
    if (start->waits) {
        mf_buf_puts(&b, ", @rpl_semi_sync_slave = 1, @rpl_semi_sync_replica = 1");
    }
    return my_exec_buf(d->conn, err, &b);
}

static void put_u16(struct mf_buf *b, uint16_t v)
{
    char p[2];
    mf_put_u16le(p, v);
    mf_buf_append(b, p, sizeof p);
}

static void put_u32(struct mf_buf *b, uint32_t v)
{
    char p[4];
    mf_put_u32le(p, v);
    mf_buf_append(b, p, sizeof p);
}

static void put_u64(struct mf_buf *b, uint64_t v)
{
    char p[8];
    mf_put_u64le(p, v);
    mf_buf_append(b, p, sizeof p);
}

/* no_answer: what comes back is the log itself. */
static int command(struct my_dump *d, int what, const struct mf_buf *b, bool no_answer, struct mf_error *err)
{
    if (!mf_buf_ok(b)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the position to begin at is longer than the protocol can say");
    }
    if (d->conn->methods->db_command(d->conn, (enum enum_server_command)what, mf_buf_str(b), b->len, no_answer, NULL)) {
        return my_fail(d->conn, err);
    }
    return 0;
}

/* So that SHOW SLAVE HOSTS names us. */
static int enlist(struct my_dump *d, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 256};
    put_u32(&b, d->server_id);
    mf_buf_put_u8(&b, (uint8_t)strlen(d->name));
    mf_buf_puts(&b, d->name);
    mf_buf_put_u8(&b, 0); /* user */
    mf_buf_put_u8(&b, 0); /* password */
    put_u16(&b, 0);       /* port */
    put_u32(&b, 0);       /* rank */
    put_u32(&b, 0);       /* the source's number */
    return command(d, COM_REGISTER_SLAVE, &b, false, err) == 0 || not_shown(d, err) ? 0 : -1;
}

static int ask(struct my_dump *d, const struct my_dump_start *start, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 16u << 20}, set = {.max = 15u << 20};
    uint16_t flags = start->to_end ? NON_BLOCK : 0;
    if (start->set && !d->db->mariadb) {
        my_gtid_set_encode(start->set, &set);
        put_u16(&b, flags);
        put_u32(&b, d->server_id);
        put_u32(&b, 0); /* no file */
        put_u64(&b, 4);
        put_u32(&b, (uint32_t)set.len);
        mf_buf_append(&b, set.data, set.len);
        b.failed |= set.failed;
        return command(d, DUMP_GTID, &b, true, err);
    }
    if (start->offset > UINT32_MAX) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a replica cannot begin behind the first 4 GB of a log file: %s:%llu",
                       start->file, (unsigned long long)start->offset);
    }
    put_u32(&b, start->set ? 4 : (uint32_t)start->offset);
    put_u16(&b, flags);
    put_u32(&b, d->server_id);
    mf_buf_puts(&b, start->set ? "" : start->file);
    return command(d, COM_BINLOG_DUMP, &b, true, err);
}

int my_dump_open(struct my_db *db, const struct mf_pipe_id *pipe, const char *role, const struct my_dump_start *start,
                 struct my_dump **ret, struct mf_error *err)
{
    char what[96];
    struct my_dump *d = mf_xcalloc(1, sizeof *d);
    d->db = db;
    d->to_end = start->to_end;
    d->waits = start->waits;
    d->wake = start->waits ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    snprintf(d->name, sizeof d->name, "%s %s", pipe->migration, my_direction(pipe->direction));
    if (strcmp(role, "stream") != 0) {
        size_t n = strlen(d->name);
        snprintf(d->name + n, sizeof d->name - n, " %s", role);
    }
    snprintf(what, sizeof what, "%s %s", role, d->name);
    if (MF_FAULT(err, "mysql.dump") || my_connect(db, what, &d->conn, err) < 0 || choose_id(d, err) < 0 ||
        introduce(d, start, err) < 0 || enlist(d, err) < 0 || ask(d, start, err) < 0) {
        if (my_is_error(err, 1227) || my_is_error(err, 1045)) {
            mf_hint(err, "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the account of the URL");
        }
        my_dump_close(d);
        return -1;
    }
    my_set_timeout(d->conn, READ_MS);
    const char *library = NULL;
    d->openssl =
        mariadb_get_infov(d->conn, MARIADB_TLS_LIBRARY, &library) == 0 && library && mf_starts_with(library, "OpenSSL");
    if (d->waits && d->conn->net.pvio->ctls && !d->openssl) {
        my_dump_close(d);
        return mf_fail(err, MF_FATAL, "MFUNSUP",
                       "the client library's TLS is not OpenSSL's: commits cannot wait for us");
    }
    d->heard_us = mf_now_us();
    *ret = d;
    return 0;
}

void my_dump_close(struct my_dump *d)
{
    if (d) {
        my_finish(d->conn);
        if (d->wake >= 0) {
            close(d->wake);
        }
        free(d);
    }
}

/* ---- reading ---- */

/* Bytes that have left the socket and wait in the library: its read-ahead, and what TLS has decrypted already. */
static bool buffered(const struct my_dump *d)
{
    const struct st_ma_pvio *p = d->conn->net.pvio;
    if (p->cache && p->cache + p->cache_size > p->cache_pos) {
        return true;
    }
    return d->openssl && p->ctls && p->ctls->ssl && SSL_pending(p->ctls->ssl) > 0;
}

static int wait_for_bytes(struct my_dump *d, int timeout_ms, bool *ret_some, struct mf_error *err)
{
    *ret_some = true;
    if (!d->conn->net.pvio) {
        return my_fail(d->conn, err);
    }
    if (buffered(d)) {
        return 0;
    }
    struct pollfd p[2] = {{.fd = (int)mysql_get_socket(d->conn), .events = POLLIN}, {.fd = d->wake, .events = POLLIN}};
    int n = poll(p, d->wake >= 0 ? 2 : 1, timeout_ms);
    if (n > 0 && p[1].revents) {
        uint64_t times;
        n -= read(d->wake, &times, sizeof times) > 0;
    }
    if (n < 0 && errno != EINTR) {
        return mf_fail(err, MF_RETRY, "08006", "waiting for the log of %s: %s", d->db->facts.host, strerror(errno));
    }
    *ret_some = n > 0;
    if (n <= 0 && mf_now_us() - d->heard_us > SILENCE_US) {
        return mf_fail(err, MF_RETRY, "08006",
                       "nothing has come from %s for half a minute, not even a heartbeat: the connection is dead",
                       d->db->facts.host);
    }
    return 0;
}

/* The server will not send its log: why, and what that means. */
static int refused(struct my_dump *d, struct mf_error *err)
{
    char why[512];
    mf_strlcpy(why, mysql_error(d->conn), sizeof why);
    if (strstr(why, "same server_uuid/server_id") || strstr(why, "same server_id")) {
        atomic_fetch_add(&clashes, 1);
        mf_fail(err, MF_RETRY, "1236",
                "another replica of %s has the number %u that this stream had, and the server threw us out: %s",
                d->db->facts.host, d->server_id, why);
        mf_hint(err, "the next try takes another number; if it comes again, see whether midflight runs twice");
        return -1;
    }
    if (strstr(why, "max_allowed_packet")) {
        mf_fail(err, MF_FATAL, "MFBIG", "an event in the log of %s is larger than 1 GB: %s", d->db->facts.host, why);
        mf_hint(err, "cancel and begin the migration again behind it");
        return -1;
    }
    mf_fail(err, MF_FATAL, "MFSLOT",
            "%s does not have its log from the position on that the stream needs: changes since are lost to it: %s",
            d->db->facts.host, why);
    mf_hint(err, "cancel and begin the migration again; let the server keep its log longer "
                 "(binlog_expire_logs_seconds or expire_logs_days) than a standstill can take");
    return -1;
}

static int read_failed(struct my_dump *d, struct mf_error *err)
{
    unsigned number = mysql_errno(d->conn);
    if (number == REPLICA_ERROR || number == SAME_ID) {
        return refused(d, err);
    }
    if (number == CR_NET_PACKET_TOO_LARGE) {
        return mf_fail(err, MF_FATAL, "MFBIG", "an event in the log of %s is larger than 1 GB", d->db->facts.host);
    }
    my_fail(d->conn, err);
    if (number == 0 || (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) || number >= 5000) { /* the library's own */
        err->cls = MF_RETRY;
    }
    mf_error_prefix(err, "reading the log");
    return -1;
}

int my_dump_next(struct my_dump *d, int timeout_ms, const void **ret, size_t *ret_n, bool *ret_end,
                 struct mf_error *err)
{
    bool some = false;
    *ret = NULL;
    *ret_end = false;
    if (wait_for_bytes(d, timeout_ms, &some, err) < 0) {
        return -1;
    }
    if (!some) {
        return 0;
    }
    unsigned long n = mysql_net_read_packet(d->conn);
    if (n >= UINT32_MAX) { /* the library's mark of an error, as wide as it may be */
        return read_failed(d, err);
    }
    d->heard_us = mf_now_us();
    const uint8_t *p = d->conn->net.read_pos;
    if (n >= 1 && p[0] == 0xfe && n < 9) {
        if (d->to_end) {
            *ret_end = true;
            return 0;
        }
        return mf_fail(err, MF_RETRY, "08006", "%s ended the stream of its log (it is shutting down)",
                       d->db->facts.host);
    }
    if (n < 1 || p[0] != 0) {
        return mf_fail(err, MF_FATAL, "MFPROTO", "an unknown packet of %lu bytes in the log of %s", n,
                       d->db->facts.host);
    }
    size_t head = 1;
    if (d->waits) {
        if (n < 3 || p[1] != SEMI_MARK) {
            mf_fail(err, MF_RETRY, "MFALONE", "%s does not treat us as a semi-synchronous replica", d->db->facts.host);
            mf_hint(err, "see whether its semi-synchronous plug-in was taken out");
            return -1;
        }
        d->wanted = p[2] & 1;
        head = 3;
    }
    *ret = p + head;
    *ret_n = n - head;
    return 0;
}

/* ---- as a semi-synchronous replica ---- */

bool my_dump_wanted(const struct my_dump *d)
{
    return d->wanted;
}

unsigned long my_dump_session(const struct my_dump *d)
{
    return mysql_thread_id(d->conn);
}

void my_dump_wake(struct my_dump *d)
{
    uint64_t one = 1;
    atomic_store(&d->woken, true);
    if (d->wake >= 0 && write(d->wake, &one, sizeof one) < 0) {
        return; /* full: it is awake */
    }
}

bool my_dump_woken(struct my_dump *d)
{
    return atomic_load(&d->woken) && atomic_exchange(&d->woken, false);
}

static ssize_t send_some(struct my_dump *d, const uint8_t *p, size_t n)
{
    struct st_ma_pvio *v = d->conn->net.pvio;
    if (v->ctls) {
        int sent = SSL_write(v->ctls->ssl, p, (int)n);
        int why = sent > 0 ? 0 : SSL_get_error(v->ctls->ssl, sent);
        errno = why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
        return sent > 0 ? sent : -1;
    }
    return send((int)mysql_get_socket(d->conn), p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int my_dump_reply(struct my_dump *d, const char *file, uint64_t offset, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    size_t n = 9 + strlen(file), at = 0;
    int64_t until = mf_now_us() + SILENCE_US;
    put_u32(&b, (uint32_t)n); /* three bytes of length, and the packet's number: 0 */
    mf_buf_put_u8(&b, SEMI_MARK);
    put_u64(&b, offset);
    mf_buf_puts(&b, file);
    while (mf_buf_ok(&b) && at < b.len && d->conn->net.pvio && mf_now_us() < until) {
        ssize_t sent = send_some(d, (const uint8_t *)b.data + at, b.len - at);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            break;
        }
        if (sent < 0) {
            struct pollfd p = {.fd = (int)mysql_get_socket(d->conn), .events = POLLOUT};
            poll(&p, 1, 10);
        }
        at += sent > 0 ? (size_t)sent : 0;
    }
    if (!mf_buf_ok(&b) || at < b.len) {
        return mf_fail(err, MF_RETRY, "08006", "the connection to %s broke: it could not be told what the target holds",
                       d->db->facts.host);
    }
    return 0;
}

int my_log_status(MYSQL *c, const struct my_db *db, MYSQL_RES **ret, struct mf_error *err)
{
    bool renamed = !db->mariadb && db->version >= 80400;
    if (my_query(c, ret, err, renamed ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS") == 0) {
        return 0;
    }
    if (my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
        mf_hint(err, "GRANT REPLICATION CLIENT ON *.* (MariaDB: BINLOG MONITOR) TO the account of the URL");
    }
    return -1;
}

int my_log_end(MYSQL *c, const struct my_db *db, char *file, size_t n, uint64_t *ret_offset, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_log_status(c, db, &r, err) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row || !row[0] || !row[1] || !mf_strlcpy(file, row[0], n) || !mf_parse_u64(row[1], ret_offset)) {
        mf_fail(err, MF_FATAL, "MFLOG", "%s keeps no binary log, so its changes cannot be followed", db->facts.host);
        mf_hint(err, "set log_bin and binlog_format = ROW and start the server again");
        return -1;
    }
    return 0;
}
