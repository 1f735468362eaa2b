/*
 * Connections to a PostgreSQL server, and the few calls everything else in this folder is made of.
 *
 * Every connection is set up so that a value has ONE text: UTF-8 (a server in SQL_ASCII is left alone), ISO dates, UTC,
 * shortest exact floats, hex bytea, a C money locale, an empty search_path (names are always qualified). Nothing a
 * database or a role may have as its default changes what we read or write: time-outs, read-only defaults and row
 * security are set too. Row security is OFF, which makes the server refuse a query that a policy would have filtered,
 * instead of hiding rows from the copy.
 *
 * Threads: a pg_db may be used from any thread; a PGconn belongs to the thread that took it.
 */
#ifndef MF_CONNECTOR_POSTGRES_CONNECT_H
#define MF_CONNECTOR_POSTGRES_CONNECT_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "connector/connector.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>

#define PG_IDLE_MAX 4
#define PG_SQL_MAX  (4u << 20) /* the longest statement we ever make: 1,600 quoted names and then some */

struct pg_db {
    struct mf_db base;
    PQconninfoOption *params; /* of the URL; the password is in here and is never printed */
    char *password;           /* NULL: from the URL or the usual places */
    char *state_dir;          /* NULL: a temporary directory */
    char *migration;          /* whose bookkeeping a check looks at; NULL: none */
    int connect_timeout_s, statement_timeout_ms;
    struct mf_db_facts facts; /* as of open; system_id is compared on every later connection */
    int version;              /* server_version_num at open, e.g. 150020 */
    uint32_t database_oid;
    bool sql_ascii;       /* the server does not know its encoding */
    bool system_id_shown; /* pg_control_system() may be called */
    bool superuser;
    bool pooler;          /* the address answers for another process: a pooler in session mode */
    pthread_mutex_t lock; /* guards the five below */
    PGconn *idle[PG_IDLE_MAX];
    size_t nidle;
    int64_t hurry_until_us; /* 0: nobody is in a hurry */
    pthread_t hurried;      /* the thread that is */
    double load_capacity;   /* see pg_load */
    /* standby_wait.c */
    pthread_mutex_t asking; /* guards what follows */
    PGconn *asker;          /* asks whether commits wait: one session, which sees each reload of the settings */
    char loaded[64];        /* when the last one was */
    uint64_t reloads;
    bool wait_seen; /* since then a COMMIT was seen waiting */
};

static inline struct pg_db *pg_db_of(struct mf_db *db)
{
    return (struct pg_db *)db;
}

/* ---- connections ---- */

#define PG_CONN_REPLICATION 1u /* a walsender (replication=database): simple queries and replication commands only */
/* Commits wait for no standby, which may be ourselves (standby.h): they are on this server's disk when they return, as always. */
#define PG_CONN_LOCAL 2u
/* For bookkeeping: on the source it must not wait for ourselves, on the thread that has to see to it. */
static inline unsigned pg_local(const struct pg_db *db)
{
    return db->base.side == MF_SOURCE ? PG_CONN_LOCAL : 0;
}

/* Opens a connection named "midflight <what>" in the server's lists, set up as the note above says; the caller's
 * statement_timeout is none. MF_RETRY when the server cannot be reached, MF_FATAL when it refuses us or is another server
 * than at open (code MFSERVER). Blocks at most the connect timeout for each host. */
int pg_connect(struct pg_db *db, const char *what, unsigned flags, PGconn **ret, struct mf_error *err);
static inline void pg_finish(PGconn *c)
{
    PQfinish(c); /* NULL is fine */
}

/* A connection from a small pool, with db->statement_timeout_ms (or what is left of pg_hurry's), for short work (catalogue queries, heartbeats).
 * Give it back in whatever state: it is rolled back, or closed when broken or when it kept settings. */
int pg_lease(struct pg_db *db, PGconn **ret, struct mf_error *err);
void pg_return(struct pg_db *db, PGconn *c);
/* What this thread leases from now on has until then to answer; 0 ends it. */
void pg_hurry(struct mf_db *db, int within_ms);

/* 0: none. Asks the server only when the session has others, as far as is known. */
int pg_set_timeouts(PGconn *c, int statement_ms, int lock_ms, struct mf_error *err);
/* No answer is waited for beyond that moment, whatever the server does: the connection is given up then. 0: none. For pg_lease. */
void pg_answer_until(PGconn *c, int64_t until_us);
/* For whoever sets or may have undone them by other means. */
void pg_know_timeouts(PGconn *c, bool known, int statement_ms, int lock_ms);

/* For a session that locks one table after the other: an autovacuum is asked to give way when somebody has waited for deadlock_timeout, which is
 * made short where our role may. Not for sessions that hold locks: they would leave it to others to notice a deadlock. */
int pg_hasten_vacuum(PGconn *c, struct mf_error *err);

/* ---- queries: -1 and err on anything but success. sql is one statement or several (exec) ---- */

int pg_exec(PGconn *c, struct mf_error *err, const char *sql);
int pg_execf(PGconn *c, struct mf_error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rows as text (or nothing, for a command); the caller clears *ret. */
int pg_query(PGconn *c, PGresult **ret, struct mf_error *err, const char *sql);
int pg_queryf(PGconn *c, PGresult **ret, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* $1..$n as text, a NULL pointer for SQL's null. */
int pg_query_params(PGconn *c, PGresult **ret, struct mf_error *err, const char *sql, int n, const char *const *values);
/* One row of one column into out ("" for null); no row: MF_FATAL code MFNOROW. */
int pg_query_text(PGconn *c, char *out, size_t n, struct mf_error *err, const char *sql);
/* Reads off what is left of the connection's results; -1 with the first error among them. */
int pg_drain(PGconn *c, struct mf_error *err);

/* ---- errors: always return -1. The server's severity, SQLSTATE, message, detail and hint are kept ---- */

/* What may be done about an error with this SQLSTATE. */
enum mf_errclass pg_errclass(const char *sqlstate);
int pg_fail_result(PGconn *c, const PGresult *r, struct mf_error *err);
/* For a call that failed without a result (send, get, connect): the connection's own message. */
int pg_fail_conn(PGconn *c, struct mf_error *err);
static inline bool pg_is_sqlstate(const struct mf_error *err, const char *sqlstate)
{
    return __builtin_strcmp(err->code, sqlstate) == 0;
}

/* ---- making statements ---- */

void pg_put_ident(struct mf_buf *b, const char *name);   /* "na""me" */
void pg_put_literal(struct mf_buf *b, const char *text); /* 'te''xt' or E'te\\xt' */
void pg_put_literal_n(struct mf_buf *b, const char *text, size_t n);
void pg_put_name(struct mf_buf *b, const char *schema, const char *name); /* "schema"."name" */
static inline void pg_put_table(struct mf_buf *b, const struct mf_table *t)
{
    pg_put_name(b, t->schema, t->name);
}
/* The statement, or NULL and MF_FATAL when it outgrew its buffer (MFBIG). */
const char *pg_sql(struct mf_buf *b, struct mf_error *err);

/* ---- results ---- */

static inline const char *pg_get(const PGresult *r, int row, int col) /* NULL for null */
{
    return PQgetisnull(r, row, col) ? NULL : PQgetvalue(r, row, col);
}
static inline bool pg_get_bool(const PGresult *r, int row, int col)
{
    return PQgetvalue(r, row, col)[0] == 't';
}
int64_t pg_get_i64(const PGresult *r, int row, int col); /* 0 for null */
uint32_t pg_get_oid(const PGresult *r, int row, int col);

static inline void pg_result_clear_p(PGresult **r)
{
    PQclear(*r);
}
static inline void pg_conn_finish_p(PGconn **c)
{
    PQfinish(*c);
}
#define PG_CLEANUP_RESULT MF_CLEANUP(pg_result_clear_p)
#define PG_CLEANUP_CONN   MF_CLEANUP(pg_conn_finish_p)

/* A leased connection for the length of a scope: `PG_LEASE(db, c); if (pg_lease(db, &c.conn, err) < 0) ...` */
struct pg_leased {
    struct pg_db *db;
    PGconn *conn;
};
static inline void pg_leased_return_p(struct pg_leased *l)
{
    if (l->conn) {
        pg_return(l->db, l->conn);
    }
}
#define PG_LEASE(db_, name) struct pg_leased name MF_CLEANUP(pg_leased_return_p) = {.db = (db_)}

/* ---- positions: an LSN both ways, "16/B374D848" ---- */

void pg_position(uint64_t lsn, struct mf_position *ret);
/* False when it is not an LSN. */
bool pg_parse_lsn(const char *text, uint64_t *ret);

/* ---- opening: the connector's row ---- */

int pg_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err);
void pg_close(struct mf_db *db);
int pg_facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err);

#endif
