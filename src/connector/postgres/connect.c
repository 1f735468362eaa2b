/* Opening a database and its connections: see connect.h. */
#include "connector/postgres/connect.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void silent(void *ctx, const PGresult *r)
{
    (void)ctx;
    (void)r;
}

/* ---- parameters ---- */

#define MAX_PARAMS 64
#define GRACE_US   (MF_US_PER_SEC / 2) /* the server's own time-out comes first: its answer says more */
struct params {
    const char *key[MAX_PARAMS + 1], *value[MAX_PARAMS + 1];
    int n;
};

static void set_param(struct params *p, const char *key, const char *value, bool only_default)
{
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->key[i], key) == 0) {
            if (!only_default) {
                p->value[i] = value;
            }
            return;
        }
    }
    if (p->n < MAX_PARAMS) {
        p->key[p->n] = key;
        p->value[p->n++] = value;
    }
}

static bool several_hosts(const struct params *p)
{
    for (int i = 0; i < p->n; i++) {
        if ((strcmp(p->key[i], "host") == 0 || strcmp(p->key[i], "hostaddr") == 0) && strchr(p->value[i], ',')) {
            return true;
        }
    }
    return false;
}

static PGconn *start(struct pg_db *db, const char *name, unsigned flags)
{
    char timeout[16];
    struct params p = {.n = 0};
    for (PQconninfoOption *o = db->params; o->keyword; o++) {
        if (o->val && p.n < MAX_PARAMS) {
            set_param(&p, o->keyword, o->val, false);
        }
    }
    snprintf(timeout, sizeof timeout, "%d", db->connect_timeout_s);
    set_param(&p, "connect_timeout", timeout, true);
    /* A dead network is noticed in half a minute, whether we are sending or waiting. */
    set_param(&p, "keepalives", "1", true);
    set_param(&p, "keepalives_idle", "10", true);
    set_param(&p, "keepalives_interval", "5", true);
    set_param(&p, "keepalives_count", "4", true);
    set_param(&p, "tcp_user_timeout", "30000", true);
    if (several_hosts(&p)) {
        set_param(&p, "target_session_attrs", "read-write", true);
    }
    set_param(&p, "client_encoding", "UTF8", false);
    set_param(&p, "application_name", name, false);
    if (db->password) {
        set_param(&p, "password", db->password, false);
    }
    if (flags & PG_CONN_REPLICATION) {
        set_param(&p, "replication", "database", false);
    }
    p.key[p.n] = p.value[p.n] = NULL;
    return PQconnectdbParams(p.key, p.value, 0);
}

/* What a failed connect was about. libpq has no SQLSTATE for it, so the server's words decide between "again" and
 * "never"; when in doubt, again: the callers' tries are bounded. */
static int fail_connect(PGconn *c, struct mf_error *err)
{
    static const char *const never[] = {
        "password authentication failed", "no password supplied", "no pg_hba.conf entry",      "does not exist",
        "authentication method",          "not permitted",        "permission denied",         "certificate",
        "server does not support SSL",    "must be superuser",    "invalid connection option",
    };
    pg_fail_conn(c, err);
    snprintf(err->code, sizeof err->code, "%s", "08001");
    for (size_t i = 0; i < MF_ARRAY_LEN(never); i++) {
        if (strstr(err->text, never[i])) {
            err->cls = MF_FATAL;
        }
    }
    if (strstr(err->text, "no pg_hba.conf entry for replication")) {
        mf_hint(err,
                "allow the role's replication connections in pg_hba.conf, e.g. `host replication %s 0.0.0.0/0 "
                "scram-sha-256`",
                PQuser(c) ? PQuser(c) : "ROLE");
    } else if (err->cls == MF_FATAL) {
        mf_hint(err, "check user, password, database and TLS settings of the URL, and the server's pg_hba.conf");
    } else {
        mf_hint(err, "check that the server runs and that host and port of the URL reach it from here");
    }
    return -1;
}

/* ---- sessions ---- */

/* What only a superuser may set, or whom it was granted to. */
static void put_if_allowed(struct mf_buf *b, int version, const char *name, const char *value)
{
    mf_buf_puts(b, "CASE WHEN (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)");
    if (version >= 150000) {
        mf_buf_printf(b, " OR pg_catalog.has_parameter_privilege('%s', 'SET')", name);
    }
    mf_buf_printf(b, " THEN pg_catalog.set_config('%s', '%s', false) END", name, value);
}

int pg_hasten_vacuum(PGconn *c, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
    mf_buf_puts(&b, "SELECT ");
    put_if_allowed(&b, PQserverVersion(c), "deadlock_timeout", "100ms");
    return pg_exec(c, err, mf_buf_str(&b));
}

static int set_up(struct pg_db *db, PGconn *c, unsigned flags, struct mf_error *err)
{
    static const char *const settings[][2] = {
        {"DateStyle", "ISO, YMD"},
        {"IntervalStyle", "postgres"},
        {"TimeZone", "UTC"},
        {"extra_float_digits", "3"},
        {"bytea_output", "hex"},
        {"xmloption", "content"},
        {"lc_monetary", "C"},
        {"search_path", "pg_catalog"},
        {"standard_conforming_strings", "on"},
        {"quote_all_identifiers", "off"},
        {"array_nulls", "on"},            /* an unquoted NULL in an array's text is null, not the word */
        {"transform_null_equals", "off"}, /* x = NULL is not x IS NULL */
        {"row_security", "off"},
        {"default_transaction_read_only", "off"},
        {"default_transaction_isolation", "read committed"},
        {"default_transaction_deferrable", "off"},
        {"idle_in_transaction_session_timeout", "0"},
        {"statement_timeout", "0"},
        {"lock_timeout", "0"},
    };
    MF_CLEANUP_BUF struct mf_buf b = {.max = 8192};
    mf_buf_puts(&b, "SELECT ");
    for (size_t i = 0; i < MF_ARRAY_LEN(settings); i++) {
        mf_buf_printf(&b, "pg_catalog.set_config('%s', '%s', false), ", settings[i][0], settings[i][1]);
    }
    int version = PQserverVersion(c);
    /* Where only the server's words tell one failure from another they are read in English. A role that may not set it
     * keeps the server's language, without an error. */
    put_if_allowed(&b, version, "lc_messages", "C");
    mf_buf_puts(&b, ", ");
    if (version >= 110000) {
        mf_buf_puts(&b, "pg_catalog.set_config('jit', 'off', false), ");
    }
    if (version >= 140000) {
        mf_buf_puts(&b, "pg_catalog.set_config('idle_session_timeout', '0', false), ");
    }
    if (version >= 170000) {
        mf_buf_puts(&b, "pg_catalog.set_config('transaction_timeout', '0', false), ");
    }
    if (flags & PG_CONN_LOCAL) {
        mf_buf_puts(&b, "pg_catalog.set_config('synchronous_commit', 'local', false), ");
    }
    const char *encoding = PQparameterStatus(c, "server_encoding");
    if (mf_streq(encoding, "SQL_ASCII")) {
        mf_buf_puts(&b, "pg_catalog.set_config('client_encoding', 'SQL_ASCII', false), ");
    }
    mf_buf_puts(&b, db->system_id_shown && !(flags & PG_CONN_REPLICATION)
                        ? "system_identifier::text FROM pg_catalog.pg_control_system()"
                        : "''");
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(c, &r, err, mf_buf_str(&b)) < 0) {
        mf_error_prefix(err, "setting up a session");
        return -1;
    }
    const char *id = PQgetvalue(r, 0, PQnfields(r) - 1);
    if (db->facts.system_id[0] && *id && strcmp(id, db->facts.system_id) != 0) {
        mf_fail(err, MF_FATAL, "MFSERVER",
                "connections to %s reach different servers: system identifier %s at first, now %s", db->facts.host,
                db->facts.system_id, id);
        mf_hint(err,
                "give the address of one server, not of a load balancer or a pooler; after a rebuild of the server "
                "the migration has to be begun again");
        return -1;
    }
    return 0;
}

int pg_connect(struct pg_db *db, const char *what, unsigned flags, PGconn **ret, struct mf_error *err)
{
    char name[128];
    snprintf(name, sizeof name, "midflight %s", what);
    if (MF_FAULT(err, "postgres.connect")) {
        return -1;
    }
    PG_CLEANUP_CONN PGconn *c = start(db, name, flags);
    if (PQstatus(c) != CONNECTION_OK) {
        return fail_connect(c, err);
    }
    PQsetNoticeReceiver(c, silent, NULL);
    if (set_up(db, c, flags, err) < 0) {
        return -1;
    }
    pg_know_timeouts(c, true, 0, 0);
    *ret = MF_STEAL(c);
    return 0;
}

void pg_hurry(struct mf_db *base, int within_ms)
{
    struct pg_db *db = pg_db_of(base);
    pthread_mutex_lock(&db->lock);
    db->hurry_until_us = within_ms > 0 ? mf_now_us() + within_ms * MF_US_PER_MS : 0;
    db->hurried = pthread_self();
    pthread_mutex_unlock(&db->lock);
}

/* Lock held. ret_until_us: when to stop waiting for an answer, whatever the server does; 0: never. */
static int statement_ms(const struct pg_db *db, int64_t *ret_until_us)
{
    *ret_until_us = 0;
    if (!db->hurry_until_us || !pthread_equal(db->hurried, pthread_self())) {
        return db->statement_timeout_ms;
    }
    *ret_until_us = db->hurry_until_us + GRACE_US;
    int64_t left = (db->hurry_until_us - mf_now_us()) / MF_US_PER_MS;
    return left < 1 ? 1 : (int)left;
}

int pg_lease(struct pg_db *db, PGconn **ret, struct mf_error *err)
{
    PGconn *c = NULL;
    unsigned local = pg_local(db);
    pthread_mutex_lock(&db->lock);
    int64_t until_us;
    int timeout_ms = statement_ms(db, &until_us);
    if (db->nidle > 0) {
        c = db->idle[--db->nidle];
    }
    pthread_mutex_unlock(&db->lock);
    /* One that died while it lay idle has its end-of-file waiting. */
    if (c && (!PQconsumeInput(c) || PQstatus(c) != CONNECTION_OK)) {
        PQfinish(c);
        c = NULL;
    }
    if (!c && pg_connect(db, "control", local, &c, err) < 0) {
        return -1;
    }
    pg_answer_until(c, until_us);
    if (pg_set_timeouts(c, timeout_ms, 0, err) < 0) {
        bool lost = PQstatus(c) != CONNECTION_OK;
        PQfinish(c);
        c = NULL;
        /* Lost just now: once more on a new one. */
        if (!lost || pg_connect(db, "control", local, &c, err) < 0 || pg_set_timeouts(c, timeout_ms, 0, err) < 0) {
            PQfinish(c);
            return -1;
        }
    }
    pg_answer_until(c, until_us);
    *ret = c;
    return 0;
}

void pg_return(struct pg_db *db, PGconn *c)
{
    if (!c) {
        return;
    }
    struct mf_error ignored = {0};
    PGTransactionStatusType st = PQtransactionStatus(c);
    bool good = PQstatus(c) == CONNECTION_OK && (st == PQTRANS_IDLE || st == PQTRANS_INTRANS || st == PQTRANS_INERROR);
    if (good && st != PQTRANS_IDLE) {
        pg_know_timeouts(c, false, 0, 0);
        good = pg_exec(c, &ignored, "ROLLBACK") == 0;
    }
    if (good) {
        pthread_mutex_lock(&db->lock);
        if (db->nidle < PG_IDLE_MAX) {
            db->idle[db->nidle++] = c;
            c = NULL;
        }
        pthread_mutex_unlock(&db->lock);
    }
    PQfinish(c);
}

/* ---- opening ---- */

static int read_system_id(struct pg_db *db, PGconn *c, struct mf_error *err)
{
    char *out = db->facts.system_id;
    struct mf_error denied = {0};
    if (pg_query_text(c, out, sizeof db->facts.system_id, &denied,
                      "SELECT system_identifier::text FROM pg_catalog.pg_control_system()") == 0) {
        db->system_id_shown = true;
        return 0;
    }
    if (PQstatus(c) != CONNECTION_OK) {
        *err = denied;
        return -1;
    }
    /* Managed servers may refuse that function; the replication protocol tells as well. */
    PG_CLEANUP_CONN PGconn *rep = start(db, "midflight identify", PG_CONN_REPLICATION);
    if (PQstatus(rep) == CONNECTION_OK &&
        pg_query_text(rep, out, sizeof db->facts.system_id, &denied, "IDENTIFY_SYSTEM") == 0) {
        return 0;
    }
    return pg_query_text(c, out, sizeof db->facts.system_id, err,
                         "SELECT pg_catalog.concat('database ', oid, ' of ', pg_catalog.inet_server_addr()::text, ':', "
                         "pg_catalog.inet_server_port()) FROM pg_catalog.pg_database "
                         "WHERE datname = pg_catalog.current_database()");
}

static int read_facts(struct pg_db *db, PGconn *c, struct mf_error *err)
{
    struct mf_db_facts *f = &db->facts;
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_query(c, &r, err,
                 "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_database(), session_user, "
                 "pg_catalog.current_setting('server_encoding'), d.oid, "
                 "(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user), pg_catalog.pg_backend_pid() "
                 "FROM pg_catalog.pg_database d WHERE datname = pg_catalog.current_database()") < 0) {
        return -1;
    }
    snprintf(f->engine, sizeof f->engine, "PostgreSQL");
    snprintf(f->version, sizeof f->version, "%.*s", (int)strcspn(PQgetvalue(r, 0, 0), " "), PQgetvalue(r, 0, 0));
    f->version_num = db->version = PQserverVersion(c);
    snprintf(f->database, sizeof f->database, "%s", PQgetvalue(r, 0, 1));
    snprintf(f->user, sizeof f->user, "%s", PQgetvalue(r, 0, 2));
    snprintf(f->encoding, sizeof f->encoding, "%s", PQgetvalue(r, 0, 3));
    snprintf(f->host, sizeof f->host, "%.100s:%.10s", PQhost(c) ? PQhost(c) : "", PQport(c) ? PQport(c) : "");
    db->database_oid = pg_get_oid(r, 0, 4);
    db->superuser = pg_get_bool(r, 0, 5);
    db->sql_ascii = strcmp(f->encoding, "SQL_ASCII") == 0;
    /* The server told its process number in the handshake; a pooler told its own. */
    db->pooler = strtol(PQgetvalue(r, 0, 6), NULL, 10) != PQbackendPID(c);
    return 0;
}

/* Behind a pooler: is one server process shared by two clients at once? Then sessions, snapshots and COPY mean nothing.
 * A second client that holds a transaction gets, in transaction mode, the process the first one has just used. */
static int refuse_transaction_pooler(struct pg_db *db, PGconn *c, struct mf_error *err)
{
    char first[16], second[16];
    PG_CLEANUP_CONN PGconn *other = NULL;
    if (pg_connect(db, "probe", 0, &other, err) < 0 ||
        pg_query_text(c, first, sizeof first, err, "SELECT pg_catalog.pg_backend_pid()") < 0 ||
        pg_exec(other, err, "BEGIN") < 0 ||
        pg_query_text(other, second, sizeof second, err, "SELECT pg_catalog.pg_backend_pid()") < 0 ||
        pg_exec(other, err, "ROLLBACK") < 0) {
        return -1;
    }
    if (strcmp(first, second) != 0) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFPOOLER", "%s is a transaction pooler: two connections were given the same server process",
            db->facts.host);
    mf_hint(err, "give the address of the server itself; replication and snapshots do not pass through a pooler");
    return -1;
}

static int parse_url(struct pg_db *db, const char *url, struct mf_error *err)
{
    char *message = NULL;
    db->params = PQconninfoParse(url, &message);
    if (db->params) {
        return 0;
    }
    /* libpq's words may quote a piece of the URL, and that piece may be the password: only the harmless kind is told. */
    MF_CLEANUP_FREE char *shown = mf_url_redact(url);
    bool harmless = message && mf_starts_with(message, "invalid URI query parameter");
    mf_fail(err, MF_USAGE, "MFURL", "not a PostgreSQL URL: %s%s%.*s", shown, harmless ? ": " : "",
            harmless ? (int)strcspn(message, "\n") : 0, harmless ? message : "");
    mf_hint(err, "write postgresql://USER@HOST:PORT/DATABASE?sslmode=…; percent-encode special characters");
    PQfreemem(message);
    return -1;
}

int pg_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err)
{
    struct pg_db *db = mf_xcalloc(1, sizeof *db);
    db->base.connector = &mf_connector_postgres;
    db->base.side = o->side;
    db->password = o->password ? mf_xstrdup(o->password) : NULL;
    db->state_dir = o->state_dir ? mf_xstrdup(o->state_dir) : NULL;
    db->migration = o->migration ? mf_xstrdup(o->migration) : NULL;
    db->connect_timeout_s = o->connect_timeout_s > 0 ? o->connect_timeout_s : 10;
    db->statement_timeout_ms = o->statement_timeout_ms;
    pthread_mutex_init(&db->lock, NULL);
    pthread_mutex_init(&db->asking, NULL);
    PGconn *c = NULL;
    if (parse_url(db, o->url, err) < 0 || pg_connect(db, "control", pg_local(db), &c, err) < 0) {
        goto fail;
    }
    if (PQserverVersion(c) < 100000) {
        mf_fail(err, MF_FATAL, "MFVERSION", "PostgreSQL %d.%d is too old: 10 is the first that can stream its changes",
                PQserverVersion(c) / 10000, PQserverVersion(c) / 100 % 100);
        goto fail;
    }
    if (read_facts(db, c, err) < 0 || read_system_id(db, c, err) < 0 ||
        (db->pooler && refuse_transaction_pooler(db, c, err) < 0)) {
        goto fail;
    }
    pg_return(db, c);
    *ret = &db->base;
    return 0;
fail:
    PQfinish(c);
    pg_close(&db->base);
    return -1;
}

void pg_close(struct mf_db *base)
{
    if (!base) {
        return;
    }
    struct pg_db *db = pg_db_of(base);
    while (db->nidle > 0) {
        PQfinish(db->idle[--db->nidle]);
    }
    PQfinish(db->asker);
    PQconninfoFree(db->params);
    if (db->password) {
        explicit_bzero(db->password, strlen(db->password));
    }
    free(db->password);
    free(db->state_dir);
    free(db->migration);
    pthread_mutex_destroy(&db->lock);
    pthread_mutex_destroy(&db->asking);
    free(db);
}

int pg_facts(struct mf_db *base, struct mf_db_facts *ret, struct mf_error *err)
{
    (void)err;
    *ret = pg_db_of(base)->facts;
    return 0;
}
