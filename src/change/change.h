/* The one change event every source makes and every target takes, and the items a stream hands out. */
#ifndef MF_CHANGE_CHANGE_H
#define MF_CHANGE_CHANGE_H

#include "model/position.h"
#include "model/table.h"
#include "model/value.h"

enum mf_op { MF_INSERT = 1, MF_UPDATE, MF_DELETE, MF_TRUNCATE };

/* A change of one row, or the truncation of one or more tables at once.
 *
 * has_old is always true for a delete. For an update it is true when the source sent the old key (because the key
 * changed) or the whole old row (identity FULL). In an old row that is only a key the other columns are
 * MF_UNCHANGED. In the new row of an update an MF_UNCHANGED column keeps the value it had. */
struct mf_change {
    enum mf_op op;
    uint32_t rel;                 /* number of the relation version in the spool (see mf_spool_relation) */
    const struct mf_table *table; /* its shape; for a truncate the first table */
    bool has_old;
    bool
        cascades; /* update, delete: the server itself did to other tables' rows what table->cascades says, and the stream tells nothing of it */
    struct mf_row old_row;
    struct mf_row new_row;
    uint16_t ntruncated;
    const struct mf_table **truncated;
    uint32_t *truncated_rels;
    bool truncate_cascade, truncate_restart;
    int64_t stamp; /* filled by the spool's reader, see mf_txn_head.stamp; sources leave it 0 */
};

enum mf_item_kind {
    MF_ITEM_NONE,     /* nothing arrived within the timeout */
    MF_ITEM_RELATION, /* `table` is the shape that following changes of table->id have */
    MF_ITEM_BEGIN,    /* transaction `txn` starts (or a further piece of it, when it is streamed before its commit) */
    MF_ITEM_CHANGE,
    MF_ITEM_ABORT,    /* everything of `subtxn` in `txn` is undone; when subtxn == txn, all of it */
    MF_ITEM_COMMIT,   /* transaction `txn` is committed and ends at `position` */
    MF_ITEM_PROGRESS, /* the source has sent all there is up to `position`; `reply_wanted` asks for an acknowledgement */
};

/* One of table->cascades applies to it. */
bool mf_change_cascades(const struct mf_change *c);

/* What mf_source_ops.stream_next gives. Views are valid until the next call on the same stream.
 * Changes of different transactions may be interleaved (txn says whose they are); commits come in commit order. */
struct mf_item {
    enum mf_item_kind kind;
    uint64_t txn, subtxn;
    uint64_t shown; /* COMMIT: what mf_source_ops.visible is asked about it; 0: txn */
    struct mf_position position;
    int64_t commit_time_us; /* wall clock of the source, microseconds since 1970 */
    bool reply_wanted;
    const struct mf_table *table;
    struct mf_change change; /* rel is filled by capture, not by the source */
    /* CHANGE: it cannot be carried on; `change` says only what it was. Whoever has to carry it on fails with this, at the COMMIT; where nobody has to (a write on the
     * wrong side) it counts like any. */
    const struct mf_error *cannot;
};

/* Bookkeeping rows of ours seen in a stream are ordinary changes of tables in schema `midflight`; see
 * change/bookkeeping.h for how they are recognised. */

#endif
