/*
 * A stream that commits wait for: this one is a semi-synchronous replica.
 *
 * The server asks for replies by place in its log, at the ends of transactions (and, while it does not let commits wait, at any event
 * further on than the last commit). Whoever confirms knows positions. So each place asked for is kept with the order of the transaction that it is the end of, or lies
 * in: when that much is confirmed, so is everything before the place. A reply covers all places before it, so only the last one due is sent, and a list that
 * is full loses nothing: its last entry moves on.
 *
 * What must not be done while commits wait is a commit of the stream's own on that server, on the thread that alone can confirm it; nor waiting for
 * a table's lock, which an ALTER keeps while its commit waits. Both only come up at changes of tables: MFALONE, see connector.h.
 */
#include "connector/mysql/stream.h"

int my_stream_alone(const struct my_stream *st, const char *what, struct mf_error *err)
{
    if (!st->waits) {
        return 0;
    }
    return mf_fail(err, MF_RETRY, "MFALONE", "commits on %s cannot wait while %s", st->db->facts.host, what);
}

static uint64_t order_here(const struct my_stream *st)
{
    return st->done ? my_gtid_set_count(st->done) : my_place_order(&st->place);
}

void my_stream_note_wanted(struct my_stream *st)
{
    if (!st->waits) {
        return;
    }
    if (my_dump_wanted(st->dump)) {
        st->wanted = true;
        st->wanted_at = st->place;
    }
    if (!st->wanted || st->x.open || st->learning || !st->place.file[0]) {
        return;
    }
    st->wanted = false;
    if (st->nwants < MY_WANTED_MAX) {
        st->nwants++;
    }
    st->wants[st->nwants - 1] = (struct my_wanted){.order = order_here(st), .place = st->wanted_at};
}

int my_stream_confirm(struct mf_stream *base, const struct mf_position *upto, struct mf_error *err)
{
    struct my_stream *st = (struct my_stream *)base;
    size_t due = 0;
    while (due < st->nwants && st->wants[due].order <= upto->order) {
        due++;
    }
    if (due == 0) {
        return 0;
    }
    const struct my_place *p = &st->wants[due - 1].place;
    if (my_dump_reply(st->dump, p->file, p->offset, err) < 0) {
        return -1;
    }
    st->nwants -= due;
    memmove(st->wants, st->wants + due, st->nwants * sizeof st->wants[0]);
    return 0;
}

void my_stream_wake(struct mf_stream *base)
{
    my_dump_wake(((struct my_stream *)base)->dump);
}

int my_stream_leave(struct mf_stream *base, struct mf_error *err)
{
    struct my_stream *st = (struct my_stream *)base;
    return st->waits && st->dump ? my_semisync_leave(st->db, my_dump_session(st->dump), err) : 0;
}
