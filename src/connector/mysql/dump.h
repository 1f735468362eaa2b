/*
 * A connection as a replica: the server sends its log, event by event, as it was written.
 *
 * libmariadb keeps the session and its TLS; the commands of the replication protocol go out through its table of methods and packets come in with
 * mysql_net_read_packet, all of it public. Its own replication calls are not used: they hand out events taken apart and
 * hold back what a position is made of. "Replication Protocol" in the source documentation of MySQL, "Replication
 * Protocol" in MariaDB's knowledge base.
 *
 * What must hold: a replica of the same number as another is thrown out by the server, or throws that one out: an outage of
 * somebody's replication. So ours is looked for among those that are taken, and is the same at every start of one stream, so that a session
 * of ours that is dead already, and that the server does not know to be, is the one that is thrown out.
 *
 * As a semi-synchronous replica it also writes to the socket, from the thread that reads: that one waits on the socket and on an eventfd at once, so an answer
 * goes out as soon as there is one, and no lock is needed. The answer goes past the library's buffer, in which the event lies that is being read.
 *
 * One thread a connection, but my_dump_wake.
 */
#ifndef MF_CONNECTOR_MYSQL_DUMP_H
#define MF_CONNECTOR_MYSQL_DUMP_H

#include "connector/mysql/connect.h"
#include "connector/mysql/gtid.h"

struct my_dump;

/* Where to begin. */
struct my_dump_start {
    const struct my_gtid_set *set; /* everything but these transactions; NULL: from a place in a file */
    const char *file;
    uint64_t offset; /* of an event; 4 is the first */
    bool to_end;     /* only what is there now: then the end is told instead of waiting */
    bool waits;      /* as a semi-synchronous replica: commits wait for my_dump_reply */
};

/* role is one of a few fixed words ("stream", "scout"): each has its own replica number. */
int my_dump_open(struct my_db *db, const struct mf_pipe_id *pipe, const char *role, const struct my_dump_start *start,
                 struct my_dump **ret, struct mf_error *err);
void my_dump_close(struct my_dump *d); /* NULL is allowed */

/* One event, header and checksum included, good until the next call; *ret NULL when none came within timeout_ms, or at the end
 * (*ret_end; only with to_end). MF_FATAL code MFSLOT when the server does not have its log from that place on any more. */
int my_dump_next(struct my_dump *d, int timeout_ms, const void **ret, size_t *ret_n, bool *ret_end,
                 struct mf_error *err);

/* ---- as a semi-synchronous replica ---- */
/* Before each event the server sends two more bytes: a mark, and whether somebody waits for the end of the last one. */
bool my_dump_wanted(const struct my_dump *d);
/* Whoever waits for this place of the log, or one before it, waits no longer. On the dump's own thread: it reads and writes one TLS session. */
int my_dump_reply(struct my_dump *d, const char *file, uint64_t offset, struct mf_error *err);
/* Any thread: my_dump_next returns at once. */
void my_dump_wake(struct my_dump *d);
bool my_dump_woken(struct my_dump *d); /* since it was last asked */
unsigned long my_dump_session(const struct my_dump *d);

/* The row that says where the server's log ends (file, offset, databases in it, databases left out of it), whatever the version calls it; none
 * where there is no log. The caller frees *ret. */
int my_log_status(MYSQL *c, const struct my_db *db, MYSQL_RES **ret, struct mf_error *err);
/* Where the server's log ends now. MF_FATAL code MFLOG when it keeps none. */
int my_log_end(MYSQL *c, const struct my_db *db, char *file, size_t n, uint64_t *ret_offset, struct mf_error *err);

#endif
