/* A stream that commits wait for: our walsender is a synchronous standby (standby.h).
 *
 * What it is told is one position, as written, flushed and applied alike, so that a COMMIT waits for the target whatever its synchronous_commit says of a standby
 * (remote_write, on, remote_apply). The slot takes the flushed position for acknowledged, too: while commits wait, the source keeps its log up to what the target has, not
 * up to what is in the spool; and what is confirmed must be durable here (mf_connector.confirms_acknowledge). */
#include "connector/postgres/stream.h"

#include "connector/postgres/standby.h"

#include <stdio.h>
#include <unistd.h>

int pg_stream_confirm(struct mf_stream *base, const struct mf_position *upto, struct mf_error *err)
{
    struct pg_stream *st = (struct pg_stream *)base;
    if (!st->waits || upto->order <= st->confirmed) {
        return 0;
    }
    st->confirmed = upto->order;
    return pg_stream_send_status(st, err);
}

void pg_stream_wake(struct mf_stream *base)
{
    uint64_t one = 1;
    struct pg_stream *st = (struct pg_stream *)base;
    if (st->wake >= 0 && write(st->wake, &one, sizeof one) < 0) {
        return; /* it is awake */
    }
}

int pg_stream_leave(struct mf_stream *base, struct mf_error *err)
{
    struct pg_stream *st = (struct pg_stream *)base;
    char said[300] = "";
    if (!st->waits || pg_waits_end(base->db, &st->pipe, said, sizeof said, err) < 0) {
        return st->waits ? -1 : 0;
    }
    return said[0] ? mf_fail(err, MF_FATAL, "MFCHANGED", "%s", said) : 0;
}
