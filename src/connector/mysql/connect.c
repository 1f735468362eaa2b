/* Opening a database and its sessions: see connect.h. */
#include "connector/mysql/connect.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/url.h"

#include <ma_pvio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* ---- sessions ---- */

static void set_tls(MYSQL *c, const struct my_params *p)
{
    if (p->ssl_mode == MY_SSL_DISABLED) {
        return;
    }
    my_bool enforce = p->ssl_mode >= MY_SSL_REQUIRED, verify = p->ssl_mode >= MY_SSL_VERIFY_CA;
    mysql_ssl_set(c, p->ssl_key, p->ssl_cert, p->ssl_ca, NULL, NULL);
    if (enforce) {
        mysql_optionsv(c, MYSQL_OPT_SSL_ENFORCE, &enforce);
    }
    mysql_optionsv(c, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

/* A dead network is noticed in half a minute, whether we are sending or waiting: a server reads a statement whole before it does anything. */
static void watch_network(MYSQL *c)
{
    static const int on = 1, idle = 10, interval = 5, count = 4;
    static const unsigned unacknowledged_ms = 30000;
    int fd = (int)mysql_get_socket(c);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on,
               sizeof on); /* what follows is not for a Unix socket, which needs none */
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static MYSQL *start(struct my_db *db, const char *what)
{
    const struct my_params *p = &db->params;
    unsigned timeout = (unsigned)db->connect_timeout_s, protocol = MYSQL_PROTOCOL_TCP;
    MYSQL *c = mysql_init(NULL);
    if (!c) {
        return NULL;
    }
    char name[128];
    snprintf(name, sizeof name, "midflight %s", what);
    mysql_optionsv(c, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    mysql_optionsv(c, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_optionsv(c, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", name);
    if (!p->socket) {
        mysql_optionsv(c, MYSQL_OPT_PROTOCOL, &protocol); /* "localhost" is the address too, not another way in */
    }
    set_tls(c, p);
    /* Rows matched, not rows changed: an update that finds its row as it is to be has found it. */
    if (mysql_real_connect(c, p->host, p->user, p->password, NULL, p->port, p->socket,
                           CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS)) {
        watch_network(c);
    }
    return c;
}

/* A server that ends, or ends our session, while TLS is being agreed upon gives the number that a wrong certificate has, with any words of
 * OpenSSL's ("unexpected eof", "data length too long"). What trying again cannot mend is known by its words; callers' tries are bounded. */
static bool tls_is_wrong(const struct my_params *p, const char *message)
{
    bool looked_at =
        p->ssl_mode >= MY_SSL_VERIFY_CA; /* else no certificate is refused: the words are of an earlier look */
    static const char *const never[] = {"ertificate",  "SSL is required",   "does not support",
                                        "unsupported", "ost name",          "wrong version",
                                        "ipher",       "handshake failure", "No such file"};
    for (size_t i = 0; i < MF_ARRAY_LEN(never); i++) {
        if (strstr(message, never[i]) && (looked_at || i > 0)) {
            return true;
        }
    }
    return false;
}

static int fail_connect(MYSQL *c, struct my_db *db, struct mf_error *err)
{
    unsigned number = c ? mysql_errno(c) : 0;
    my_fail_with(db, number, c ? mysql_error(c) : "out of memory", err);
    bool server_said = number >= 1000 && number < 2000;
    if (server_said && err->cls != MF_RETRY) {
        mf_hint(err,
                "check user, password and TLS settings of the URL, and that the account may connect from this host");
    } else if (number == 2026 && tls_is_wrong(&db->params, mysql_error(c))) {
        err->cls = MF_FATAL;
        mf_hint(err, "TLS failed: check ssl-mode and ssl-ca of the URL against what the server offers");
    } else {
        err->cls = MF_RETRY;
        mf_hint(err, "check that the server runs and that host and port of the URL reach it from here");
    }
    return -1;
}

/* One packet, however far away the server is. Its last answer is what the server says it is, the same for every address of it. */
#define SET_UP                                                                                                         \
    "SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION sql_notes = 1,"                  \
    " SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES',"        \
    " SESSION wait_timeout = 86400, SESSION net_write_timeout = 600, SESSION net_read_timeout = 600,"                  \
    " SESSION sql_select_limit = DEFAULT, SESSION sql_big_selects = 1, SESSION sql_safe_updates = 0,"                  \
    " SESSION group_concat_max_len = 1048576, SESSION sql_quote_show_create = 1;"                                      \
    " SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
static const char set_up_mysql[] = SET_UP " SET SESSION max_execution_time = 0; SELECT @@server_uuid";
static const char set_up_mariadb[] = SET_UP " SET SESSION max_statement_time = 0;"
                                            " SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id, ':', @@datadir)";

/* The first session's server is the one; open is alone then. */
static int same_server(struct my_db *db, const char *id, struct mf_error *err)
{
    if (!db->facts.system_id[0]) {
        mf_strlcpy(db->facts.system_id, id, sizeof db->facts.system_id);
    }
    if (strncmp(id, db->facts.system_id, sizeof db->facts.system_id - 1) != 0) {
        mf_fail(err, MF_FATAL, "MFSERVER", "%s answers as another server (%s) than before (%s)", db->facts.host, id,
                db->facts.system_id);
        mf_hint(err, "give the address of one server, not of a load balancer; after a failover start the run again");
        return -1;
    }
    return 0;
}

static int set_up(struct my_db *db, MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query_last(c, &r, err, mariadb_connection(c) ? set_up_mariadb : set_up_mysql) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row || !row[0] || !row[0][0]) {
        return mf_fail(err, MF_FATAL, "MFSERVER", "%s does not say which server it is", db->facts.host);
    }
    return same_server(db, row[0], err);
}

int my_connect(struct my_db *db, const char *what, MYSQL **ret, struct mf_error *err)
{
    if (MF_FAULT(err, "mysql.connect")) {
        return -1;
    }
    MY_CLEANUP_CONN MYSQL *c = start(db, what);
    if (!c || mysql_errno(c) != 0) {
        return fail_connect(c, db, err);
    }
    if (db->params.ssl_mode >= MY_SSL_REQUIRED && !mysql_get_ssl_cipher(c)) {
        mf_fail(err, MF_FATAL, "MFTLS", "the connection to %s is not encrypted, and ssl-mode asks for it",
                db->facts.host);
        return -1;
    }
    if (set_up(db, c, err) < 0) {
        return -1;
    }
    *ret = MF_STEAL(c);
    return 0;
}

void my_set_timeout(MYSQL *c, int ms)
{
    struct timeval t = {.tv_sec = ms > 0 ? ms / 1000 : 0, .tv_usec = ms > 0 ? ms % 1000 * 1000 : 0};
    if (!c->net.pvio) {
        return; /* the session was found broken */
    }
    c->net.pvio->timeout[PVIO_READ_TIMEOUT] = ms > 0 ? ms : -1;
    /* Under TLS the library does not look at its own number, but reads from the socket until something comes. When the socket gives up it waits
     * once more, for as long as the option says, in milliseconds; 0 is for ever. */
    c->options.read_timeout = ms > 0 ? 1 : 0;
    setsockopt((int)mysql_get_socket(c), SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

void my_hurry(struct mf_db *base, int within_ms)
{
    struct my_db *db = my_db_of(base);
    MF_LOCK_SCOPE(&db->lock);
    db->hurry_until_us = within_ms > 0 ? mf_now_us() + within_ms * MF_US_PER_MS : 0;
    db->hurried = pthread_self();
}

/* Lock held. */
static int statement_ms(const struct my_db *db)
{
    if (!db->hurry_until_us || !pthread_equal(db->hurried, pthread_self())) {
        return db->statement_timeout_ms;
    }
    int64_t left = (db->hurry_until_us - mf_now_us()) / MF_US_PER_MS;
    return left < 1 ? 1 : (int)left;
}

bool my_ended(MYSQL *c)
{
    char b;
    ssize_t n = recv((int)mysql_get_socket(c), &b, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0;
}

int my_lease(struct my_db *db, MYSQL **ret, struct mf_error *err)
{
    MYSQL *c = NULL;
    pthread_mutex_lock(&db->lock);
    int timeout_ms = statement_ms(db);
    if (db->nidle > 0) {
        c = db->idle[--db->nidle];
    }
    pthread_mutex_unlock(&db->lock);
    if (c && my_ended(c)) {
        mysql_close(c);
        c = NULL;
    }
    if (!c && my_connect(db, "control", &c, err) < 0) {
        return -1;
    }
    my_set_timeout(c, timeout_ms);
    *ret = c;
    return 0;
}

void my_return(struct my_db *db, MYSQL *c)
{
    struct mf_error ignored = {0};
    bool good = mysql_errno(c) < 2000 && my_exec(c, &ignored, "ROLLBACK") == 0;
    if (good) {
        MF_LOCK_SCOPE(&db->lock);
        if (db->nidle < MY_IDLE_MAX) {
            db->idle[db->nidle++] = c;
            return;
        }
    }
    mysql_close(c);
}

/* ---- opening ---- */

static int read_facts(struct my_db *db, MYSQL *c, struct mf_error *err)
{
    struct mf_db_facts *f = &db->facts;
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    db->mariadb = mariadb_connection(c) != 0;
    db->version = (int)mysql_get_server_version(c);
    if (my_queryf(c, &r, err,
                  "SELECT @@version, CURRENT_USER(), @@character_set_server, @@lower_case_table_names,"
                  " @@max_allowed_packet, CONCAT(-1.2345678901234567e-100 * 1e0) <> '-1.2345678901234567e-100', %s",
                  db->mariadb ? "'ON'" : "@@gtid_mode") < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    if (!row) {
        return my_fail(c, err);
    }
    mf_strlcpy(f->engine, db->mariadb ? "MariaDB" : "MySQL", sizeof f->engine);
    snprintf(f->version, sizeof f->version, "%.*s", (int)strcspn(row[0], "-"), row[0]);
    f->version_num = db->version;
    mf_strlcpy(f->user, row[1] ? row[1] : "", sizeof f->user);
    mf_strlcpy(f->encoding, row[2] ? row[2] : "", sizeof f->encoding);
    mf_strlcpy(f->database, db->params.database ? db->params.database : "", sizeof f->database);
    db->lower_case_names = my_get_i64(row, 3) != 0;
    db->max_packet = my_get_i64(row, 4);
    db->short_reals = my_get_i64(row, 5) != 0;
    db->gtid = mf_streq(row[6] ? row[6] : "", "ON");
    return 0;
}

static char *copy_of(const char *s)
{
    return s ? mf_xstrdup(s) : NULL;
}

static void take_login(struct my_db *db, const struct mf_replication_options *o)
{
    db->native = o != NULL;
    if (o) {
        db->login = (struct my_replica_login){.host = copy_of(o->host),
                                              .user = copy_of(o->user),
                                              .password = copy_of(o->password),
                                              .ca = copy_of(o->ca),
                                              .port = (unsigned)o->port};
    }
}

static void free_login(struct my_replica_login *l)
{
    free(l->host);
    free(l->user);
    free(l->password);
    free(l->ca);
}

int my_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err)
{
    struct my_db *db = mf_xcalloc(1, sizeof *db);
    db->base.connector = &mf_connector_mysql;
    db->base.side = o->side;
    db->state_dir = o->state_dir ? mf_xstrdup(o->state_dir) : NULL;
    db->migration = o->migration ? mf_xstrdup(o->migration) : NULL;
    db->connect_timeout_s = o->connect_timeout_s > 0 ? o->connect_timeout_s : 10;
    db->statement_timeout_ms = o->statement_timeout_ms;
    pthread_mutex_init(&db->lock, NULL);
    pthread_mutex_init(&db->replica_lock, NULL);
    take_login(db, o->replication);
    MY_CLEANUP_CONN MYSQL *c = NULL;
    if (my_url_parse(o->url, &db->params, err) < 0) {
        goto fail;
    }
    if (o->password) {
        free(db->params.password);
        db->params.password = mf_xstrdup(o->password);
    }
    snprintf(db->facts.host, sizeof db->facts.host, "%.100s:%u",
             db->params.socket ? db->params.socket : db->params.host, db->params.port);
    if (my_connect(db, "control", &c, err) < 0 || read_facts(db, c, err) < 0) {
        goto fail;
    }
    if (!db->mariadb && db->version < 50700) {
        mf_fail(err, MF_FATAL, "MFVERSION", "MySQL %s is too old: 5.7 is the first that is supported",
                db->facts.version);
        goto fail;
    }
    my_return(db, MF_STEAL(c));
    *ret = &db->base;
    return 0;
fail:
    my_close(&db->base);
    return -1;
}

void my_close(struct mf_db *base)
{
    if (!base) {
        return;
    }
    struct my_db *db = my_db_of(base);
    for (size_t i = 0; i < db->nidle; i++) {
        mysql_close(db->idle[i]);
    }
    my_params_free(&db->params);
    free(db->state_dir);
    free(db->migration);
    free_login(&db->login);
    pthread_mutex_destroy(&db->replica_lock);
    pthread_mutex_destroy(&db->lock);
    free(db);
}

int my_facts(struct mf_db *base, struct mf_db_facts *ret, struct mf_error *err)
{
    (void)err;
    *ret = my_db_of(base)->facts;
    return 0;
}
