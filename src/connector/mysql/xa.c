/*
 * XA transactions. Their rows come when they are prepared, under one GTID; whether they count comes later, under another. So they are handed
 * out as a transaction that stays open, and the commit's own GTID ends it.
 *
 * The position passes the first GTID meanwhile: the order of positions is the number of transactions, and a server counts a prepared one. But its
 * token names those that are prepared (resume.h), and a stream that is opened there gets their rows again, and reads them by what their tables are there:
 * a prepared transaction keeps the engine's lock on its tables, so none was altered since. (5.7 lets them be dropped and renamed when the session is gone;
 * such a table is gone to the stream, too.) What had ended by then is passed over, whose tables may have changed.
 *
 * A commit whose rows are not known stops the stream: rows are not lost in silence. Not so for those that were committed before the first row of
 * the copy was read (`settled`): the copy has them.
 */
#include "connector/mysql/stream.h"

#include "base/mem.h"

#include <string.h>

int my_xa_prepared(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    char id[MY_TOKEN];
    if (e->xa.one_phase) {
        return my_stream_commit(st, err);
    }
    if (!my_xa_id(e->xa.id, strlen(e->xa.id), id, sizeof id)) {
        return mf_fail(err, MF_FATAL, "MFBINLOG", "an XA transaction in the log has no id: %.100s", e->xa.id);
    }
    if (st->nprepared >= MY_XA_MAX) {
        return mf_fail(err, MF_FATAL, "MFXA", "more than %d XA transactions are prepared and not ended", MY_XA_MAX);
    }
    if (!st->prepared) {
        st->prepared = mf_xcalloc(MY_XA_MAX, sizeof *st->prepared);
    }
    if (my_stream_count(st, err) < 0) {
        return -1;
    }
    if (!st->x.skip) {
        struct my_prepared *p = &st->prepared[st->nprepared++];
        *p = (struct my_prepared){.txn = st->x.id, .begun = st->x.begun, .before = st->x.before};
        p->self = st->done ? (struct my_again){.gtid = st->x.gtid} : (struct my_again){.order = st->x.at};
        memcpy(p->id, id, sizeof id);
    }
    st->x = (struct my_txn){0};
    my_savepoints_clear(&st->savepoints);
    return 0;
}

static int unknown(struct my_stream *st, const char *id, struct mf_error *err)
{
    if (st->x.brought || (st->rels.settled && my_since_has(st->rels.settled, &st->x.gtid, &st->place))) {
        return my_stream_commit(st, err);
    }
    mf_fail(err, MF_FATAL, "MFXA",
            "XA transaction %.150s was committed, and it was prepared before the stream began, or together with more "
            "others than a position can name: its rows are not in what was read",
            id);
    mf_hint(err,
            "cancel and begin the migration again; midflight's account needs to see what is prepared (XA RECOVER)");
    return -1;
}

int my_xa_end(struct my_stream *st, const char *id, bool commit, struct mf_error *err)
{
    for (size_t i = 0; !st->x.skip && i < st->nprepared; i++) {
        struct my_prepared p = st->prepared[i];
        if (strcmp(p.id, id) != 0) {
            continue;
        }
        st->prepared[i] = st->prepared[--st->nprepared];
        if (!commit && p.begun) {
            my_stream_put(st, &(struct mf_item){.kind = MF_ITEM_ABORT, .txn = p.txn, .subtxn = p.txn});
        } else if (commit) {
            st->x.shown = st->x.id;
            st->x.id = p.txn;
            st->x.begun = p.begun;
        }
        return my_stream_commit(st, err);
    }
    return commit && !st->x.skip ? unknown(st, id, err) : my_stream_commit(st, err);
}
