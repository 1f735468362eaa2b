/*
 * Which transactions of the target's log its own replication has brought from the source (mode: native): the stream back is not told of their rows.
 * They are known by the server that wrote them first, which a GTID names: what the target wrote itself, for its own clients or for us, has
 * its own. Statements that change tables count all the same, or the stream would not know the tables of what follows.
 */
#include "connector/mysql/replica.h"
#include "connector/mysql/stream.h"

#include <stdio.h>

/* Servers met for the first time: while the target follows, whatever it did not write itself came from the source (which may have failed over
 * to another server meanwhile). Afterwards they are the target's own, which may fail over too. */
static int meet(struct my_stream *st, const struct my_gtid *g, struct mf_error *err)
{
    MF_CLEANUP_FREE char *from = NULL;
    MY_LEASE(st->db, l);
    if (my_lease(l.db, &l.conn, err) < 0 || my_replica_setting(l.conn, &st->pipe, MY_REPLICA_FROM, &from, err) < 0) {
        return -1;
    }
    my_gtid_set_add(from ? st->brought : st->others, g, NULL);
    return 0;
}

int my_stream_who_wrote(struct my_stream *st, struct my_txn *x, struct mf_error *err)
{
    if (!st->brought) {
        return 0;
    }
    if (!st->others) {
        char own[sizeof st->db->facts.system_id + 8];
        snprintf(own, sizeof own, "%s:1", st->db->facts.system_id);
        st->others = my_gtid_set_new(false);
        if (my_gtid_set_parse(st->others, own, err) < 0) {
            return -1;
        }
    }
    if (!my_gtid_set_knows(st->others, &x->gtid) && !my_gtid_set_knows(st->brought, &x->gtid) &&
        meet(st, &x->gtid, err) < 0) {
        return -1;
    }
    x->brought = my_gtid_set_knows(st->brought, &x->gtid);
    return 0;
}
