/*
 * Connections to a MySQL or MariaDB server, and the few calls everything else in this folder is made of.
 *
 * Every session is set up so that a value has ONE text and is taken exactly or not at all: utf8mb4, UTC, strict SQL mode
 * whatever the server's default, zero dates and zero auto-increments as they are, backslash escapes on, notes counted as
 * warnings, no autocommit surprises. Names are always qualified by their database.
 *
 * Threads: a my_db may be used from any thread; a MYSQL belongs to the thread that took it.
 */
#ifndef MF_CONNECTOR_MYSQL_CONNECT_H
#define MF_CONNECTOR_MYSQL_CONNECT_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "connector/connector.h"
#include "connector/mysql/put.h"

#include <mysql.h>
#include <pthread.h>
#include <stdarg.h>

#define MY_IDLE_MAX 4
#define MY_SQL_MAX  (64u << 20) /* the longest statement we ever make; max_allowed_packet bounds it further */
#define MY_NAME     65          /* an identifier of 64 characters; up to 256 bytes where it is not ASCII */
#define MY_BOOK     "midflight" /* the database that holds our bookkeeping */

/* What the URL says: mysql://user:password@host:port/database?ssl-mode=…&ssl-ca=…&socket=… (also mariadb://). */
struct my_params {
    char *host, *user, *password, *database, *socket; /* NULL: not said. The password is never printed */
    unsigned port;
    enum { MY_SSL_PREFERRED, MY_SSL_DISABLED, MY_SSL_REQUIRED, MY_SSL_VERIFY_CA, MY_SSL_VERIFY_IDENTITY } ssl_mode;
    char *ssl_ca, *ssl_cert, *ssl_key;
};

/* mode: native: how the target's server logs in at the source. NULL, 0: as we do. The password is never printed. */
struct my_replica_login {
    char *host, *user, *password, *ca;
    unsigned port;
};

struct my_db {
    struct mf_db base;
    struct my_params params;
    bool native; /* the target follows, or may, by the servers' own replication */
    struct my_replica_login login;
    pthread_mutex_t replica_lock; /* held by whoever starts, stops or ends it; guards replica_over */
    bool replica_over;            /* it is being ended, or has been */
    char *state_dir, *migration;  /* as in mf_db_options */
    int connect_timeout_s, statement_timeout_ms;
    struct mf_db_facts facts; /* as of open; system_id is compared on every later connection */
    int version;              /* 50719, 80015; MariaDB: 101119 */
    bool mariadb;
    bool gtid;             /* transactions have GTIDs: positions are GTID sets; else file and offset */
    bool lower_case_names; /* lower_case_table_names is not 0: names compare without case */
    bool short_reals;      /* a DOUBLE in an expression loses digits as a text: see digest.c */
    int64_t max_packet;    /* of the server, bytes */
    pthread_mutex_t lock;  /* guards the ones below */
    MYSQL *idle[MY_IDLE_MAX];
    size_t nidle;
    int64_t hurry_until_us; /* 0: nobody is in a hurry */
    pthread_t hurried;      /* the thread that is */
    uint64_t
        tables_added; /* grows with stream_add_tables (also read without the lock); a stream that sees it grow reads its tables again */
    uint64_t
        triggers_raised; /* grows with my_triggers_up (atomic): what a session knows of tables before is of before */
    struct mf_position acked[2];     /* by direction: what streams of this process were told is durable */
    uint64_t looked;                 /* unlogged.h: of the last catalogue whose tables were all as remembered */
    uint64_t suspect, suspect_order; /* of one with others, and the order of the log when it was seen first; 0: none */
};

static inline struct my_db *my_db_of(struct mf_db *db)
{
    return (struct my_db *)db;
}

/* ---- connections ---- */

/* Opens a session set up as the note above says, shown in the server's list by its attribute program_name
 * "midflight <what>"; no statement timeout. MF_RETRY when the server cannot be reached, MF_FATAL when it refuses us or is
 * another server than at open (code MFSERVER). Blocks at most the connect timeout. */
int my_connect(struct my_db *db, const char *what, MYSQL **ret, struct mf_error *err);
static inline void my_finish(MYSQL *c) /* NULL is fine */
{
    if (c) {
        mysql_close(c);
    }
}

/* A session from a small pool with db->statement_timeout_ms (or what is left of my_hurry's), for short work. Give it back in
 * whatever state: it is rolled back, or closed when broken. */
int my_lease(struct my_db *db, MYSQL **ret, struct mf_error *err);
void my_return(struct my_db *db, MYSQL *c);
void my_hurry(struct mf_db *db, int within_ms);
/* A server that ended a session while it lay idle has said so: its end-of-file waits to be read. Does not block. */
bool my_ended(MYSQL *c);

/* How long an answer is waited for on this session before it counts as lost (MF_RETRY); 0: keepalives alone decide. */
void my_set_timeout(MYSQL *c, int ms);

/* ---- queries: -1 and err on anything but success ---- */

int my_exec(MYSQL *c, struct mf_error *err, const char *sql);
int my_execf(MYSQL *c, struct mf_error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int my_exec_buf(MYSQL *c, struct mf_error *err, struct mf_buf *sql); /* MFBIG when the statement outgrew its buffer */
/* The whole result in memory; for catalogues. The caller frees *ret. A statement without rows: *ret is NULL. */
int my_query(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *sql);
/* Several statements in one packet; the answer of the last. The first that fails is the error, and none after it is run. */
int my_query_last(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *sql);
int my_queryf(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* One row of one column into out ("" for null); no row: MF_FATAL code MFNOROW. */
int my_query_text(MYSQL *c, char *out, size_t n, struct mf_error *err, const char *sql);
/* The same; 0 for null. */
int my_query_i64(MYSQL *c, int64_t *ret, struct mf_error *err, const char *sql);

/* ---- errors: always return -1. The server's number, SQLSTATE and message are kept: code is the number as text ("1062") ---- */

enum mf_errclass my_errclass(unsigned number);
int my_fail(MYSQL *c, struct mf_error *err);
/* From a number and a message of the server's that did not come as an error of this session (a warning, a packet). */
int my_fail_with(const struct my_db *db, unsigned number, const char *message, struct mf_error *err);
bool my_is_error(const struct mf_error *err, unsigned number);

/* ---- results ---- */

static inline const char *my_get(MYSQL_ROW row, unsigned col) /* NULL for null */
{
    return row[col];
}
int64_t my_get_i64(MYSQL_ROW row, unsigned col); /* 0 for null */

static inline void my_result_free_p(MYSQL_RES **r)
{
    if (*r) {
        mysql_free_result(*r);
    }
}
static inline void my_finish_p(MYSQL **c)
{
    my_finish(*c);
}
#define MY_CLEANUP_RESULT MF_CLEANUP(my_result_free_p)
#define MY_CLEANUP_CONN   MF_CLEANUP(my_finish_p)

/* A leased session for the length of a scope: `MY_LEASE(db, l); if (my_lease(l.db, &l.conn, err) < 0) ...` */
struct my_leased {
    struct my_db *db;
    MYSQL *conn;
};
static inline void my_leased_return_p(struct my_leased *l)
{
    if (l->conn) {
        my_return(l->db, l->conn);
    }
}
#define MY_LEASE(db_, name) struct my_leased name MF_CLEANUP(my_leased_return_p) = {.db = (db_)}

/* ---- opening: the connector's row ---- */

int my_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err);
void my_close(struct mf_db *db);
int my_facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err);

#endif
