/*
 * What a stream has read, and what the last of it looked like.
 *
 * A GTID names a transaction only as long as the server that gave it keeps it. One that went back to an earlier state (a crash that lost what was not
 * synced, a restored backup, a virtual machine's snapshot) gives the same numbers to others, and once it has given as many, its set contains all
 * that was read. So a position also has a mark (resume.h), and a stream that is opened there asks for the marked transaction once more and compares.
 *
 * What is lost is the end of a log, and numbers come again from the server that gave them. So the mark is the last transaction that the server we
 * read from wrote itself: what a replica lost of another's it may get from there again, as it was.
 */
#include "connector/mysql/stream.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define HEADER   19
#define CHECKSUM 4

/* ---- where it is ---- */

/* MariaDB sends everything behind one transaction of a domain. */
static struct my_gtid_set *from(const struct my_stream *st)
{
    struct my_gtid_set *s = my_gtid_set_clone(st->seen);
    for (size_t i = 0; i < st->nprepared; i++) {
        const struct my_prepared *p = &st->prepared[i];
        my_gtid_set_lower(s, p->self.gtid.domain, p->before.mariadb ? &p->before : NULL);
    }
    return s;
}

int my_stream_here(const struct my_stream *st, struct mf_position *ret, struct mf_error *err)
{
    struct my_resume r = {.done = st->done, .place = st->place, .mark = st->mark, .nxa = st->nprepared + st->nagain};
    if (r.nxa) {
        r.xa = mf_xcalloc(r.nxa, sizeof *r.xa);
        for (size_t i = 0; i < st->nprepared; i++) {
            r.xa[i] = st->prepared[i].self;
        }
        for (size_t i = 0; i < st->nagain; i++) {
            r.xa[st->nprepared + i] = st->again[i];
        }
        r.from = st->db->mariadb ? from(st) : NULL;
    }
    int rc = my_resume_position(&r, ret, err);
    my_gtid_set_free(r.from);
    free(r.xa);
    return rc;
}

/* ---- what a transaction looks like ---- */

static bool says_when(const struct my_event *e)
{
    return e->kind == MY_EV_TABLE_MAP || e->kind == MY_EV_ROWS;
}

void my_stream_look(struct my_stream *st, const struct my_event *e)
{
    struct my_txn *x = &st->x;
    switch (e->kind) {
    case MY_EV_GTID:
        st->heard = true;
        st->next_sum = 0;
        break;
    case MY_EV_QUERY:
    case MY_EV_XID:
    case MY_EV_XA_PREPARE:
    case MY_EV_TABLE_MAP:
    case MY_EV_ROWS:
    case MY_EV_PAYLOAD:
        break;
    default:
        return;
    }
    if (x->open && x->seconds == 0 && says_when(e)) {
        x->seconds = e->timestamp;
    }
    size_t end = my_binlog_checksums(st->log) ? CHECKSUM : 0;
    if (!st->done || !st->raw || st->nraw < HEADER + end) {
        return;
    }
    const unsigned char *p = st->raw;
    uint32_t sum = (uint32_t)crc32_z(e->kind == MY_EV_GTID ? 0 : x->sum, p, 5); /* when, and what */
    sum = (uint32_t)crc32_z(sum, p + HEADER, st->nraw - HEADER - end);
    *(e->kind == MY_EV_GTID ? &st->next_sum : &x->sum) = sum;
}

static uint16_t whose(const struct my_stream *st)
{
    const char *id = st->db->facts.system_id;
    return (uint16_t)crc32_z(0, (const unsigned char *)id, strlen(id));
}

static struct my_mark looks(const struct my_stream *st)
{
    const struct my_txn *x = &st->x;
    return (struct my_mark){.gtid = x->gtid,
                            .before = x->before,
                            .unit = x->commit_us ? 'u' : 's',
                            .time = x->commit_us ? x->commit_us : x->seconds,
                            .sum = x->sum,
                            .server = whose(st)};
}

static bool own(const struct my_stream *st, const struct my_gtid *g)
{
    return g->mariadb ? g->server == st->own.server : memcmp(g->uuid, st->own.uuid, sizeof g->uuid) == 0;
}

/* ---- what was read ---- */

static int other_history(const struct my_stream *st, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 256};
    my_gtid_print(&st->x.gtid, &name);
    mf_fail(
        err, MF_FATAL, "MFSLOT",
        "transaction %s of %s is another one than that which was read under this number: the server went back to an "
        "earlier state and wrote on from there",
        mf_buf_str(&name), st->db->facts.host);
    mf_hint(err, "what it had written before is on the other side: cancel and begin the migration again");
    return -1;
}

/* Only at its end: one that a crash of the server cut off leaves its GTID to another. */
int my_stream_count(struct my_stream *st, struct mf_error *err)
{
    struct my_txn *x = &st->x;
    if (!st->done || !x->open) {
        return 0;
    }
    struct my_mark m = looks(st);
    if (st->due.unit && my_gtid_same(&st->due.gtid, &x->gtid)) {
        if (my_mark_differs(&st->due, &m)) {
            return other_history(st, err);
        }
        st->due.unit = 0;
    }
    my_gtid_set_add(st->seen, &x->gtid, NULL);
    if (x->skip || x->again) {
        return 0;
    }
    my_gtid_set_add(st->done, &x->gtid, NULL);
    if (!st->due.unit && (own(st, &x->gtid) || !st->mark.unit || !own(st, &st->mark.gtid)) &&
        (!st->db->mariadb || x->before.mariadb)) {
        st->mark = m;
    }
    return 0;
}
