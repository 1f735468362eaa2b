/*
 * Where a stream goes on, as a position's token says it: what was read, and behind it what is to be sent again although it was read.
 *
 *   "uuid:1-105 xa uuid:100.3 last uuid:105=u1712345678123456.9af01c22.1f2e"
 *   "0-1-105 from 0-1-99 xa 0:100.3 last 0-1-105>0-1-104=s1712345678.9af01c22.1f2e"       MariaDB
 *   "binlog.000003:1234 xa 2:99.401"                                                       places in files
 *
 * xa     transactions that are prepared and not ended, each by how much further on it is than the one before. Their rows were handed out and are nowhere durable until they end, so whoever opens
 *        the stream there needs them again. They count in the position's order, because servers count them.
 * from   MariaDB, which sends everything behind one transaction of each domain: the one before the first of those.
 * last   the mark: a transaction that was read, and what it looked like. A server that went back to an earlier state and wrote on has another one
 *        under that number. MariaDB: with the one before it in its domain, from which it is asked for.
 *
 * The list and the mark are left out when the token would be longer than a position's may be, the mark first. Pure; one thread an object.
 */
#ifndef MF_CONNECTOR_MYSQL_RESUME_H
#define MF_CONNECTOR_MYSQL_RESUME_H

#include "connector/mysql/gtid.h"
#include "connector/mysql/place.h"

/* A transaction by its GTID, or by the order of the place where it begins. */
struct my_again {
    struct my_gtid gtid;
    uint64_t order; /* 0: it has a GTID */
};

/* What a transaction looks like. The sum is of the events' bytes, which no server ever changes in its log; a replica writes events of its own, with another
 * server's tables, images and clocks in them, and what it has in common is a time: that of the first commit, as MySQL 8.0 keeps it, or of the
 * first change in seconds. */
struct my_mark {
    struct my_gtid gtid, before; /* before: MariaDB */
    char unit;     /* 'u': microseconds of the commit; 's': seconds of the first change; 0: nothing is marked */
    uint64_t time; /* 0: not known */
    uint32_t sum;
    uint16_t server; /* a hash of whose log it was read from */
};

/* As it is read. */
struct my_resume {
    struct my_gtid_set *done; /* NULL: a place in a file */
    struct my_place place;
    struct my_gtid_set *from; /* NULL: done */
    struct my_again *xa;
    size_t nxa;
    struct my_mark mark;
};

/* gtid: positions are GTID sets. MF_FATAL code MFGTID for what is no position. *ret is to be freed in any case. */
int my_resume_read(const char *token, bool gtid, bool mariadb, struct my_resume *ret, struct mf_error *err);
void my_resume_free(struct my_resume *r);
/* The position of all that: done's or the place's order. Sorts the list. */
int my_resume_position(struct my_resume *r, struct mf_position *ret, struct mf_error *err);
/* What is before the words, as a server understands it. */
void my_resume_plain(const char *token, char out[static MF_POSITION_TOKEN]);

/* The place where the first of those begins that lie in files: its file has the name that `now` has, with another number. False: there is none. */
bool my_resume_first_place(const struct my_resume *r, const struct my_place *now, struct my_place *ret);
bool my_again_has(const struct my_again *list, size_t n, const struct my_gtid *g, uint64_t order, size_t *ret_at);

/* The transaction is another one than that which was marked under its number. */
bool my_mark_differs(const struct my_mark *a, const struct my_mark *b);

#endif
