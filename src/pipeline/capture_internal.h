#ifndef MF_PIPELINE_CAPTURE_INTERNAL_H
#define MF_PIPELINE_CAPTURE_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/by_id.h"
#include "change/bookkeeping.h"
#include "pipeline/capture.h"
#include "spool/txnbuf.h"

#include <pthread.h>
#include <stdatomic.h>

/* The newest shape of one table the stream has announced. */
struct cap_rel {
    struct mf_arena arena; /* owns table */
    struct mf_table *table;
    enum mf_book book;
    bool numbered; /* rel is its number in the spool; asked for at first use */
    uint32_t rel;
};

/* A transaction whose commit has not been seen. */
struct cap_txn {
    uint64_t id;
    struct mf_txnbuf *buf;
    bool own;                /* holds a row only midflight writes in transactions of its own: dropped whole */
    bool marks;              /* a beat that asked to be spooled (MF_BEAT_STAMP), though there is nothing in it */
    char writer[16];         /* of an epoch row of this migration in it; "" none */
    struct mf_error *cannot; /* mf_item.cannot, the first in it; NULL: none. Its own. */
    struct cap_txn *next;
};

struct mf_capture {
    struct mf_capture_options o;
    /* Everything but `stats` belongs to the capture thread. */
    struct mf_stream *stream;
    struct mf_by_id rels; /* struct cap_rel, by table id */
    struct cap_rel *last_rel;
    struct mf_txnpool *pool;
    struct cap_txn *open, *spare;
    struct mf_buf enc;          /* one change */
    struct mf_position tail;    /* last transaction or progress written to the spool */
    int64_t stamp;              /* of the tail */
    int64_t reserved;           /* no greater one was given; the state has it (mf_connector.retells) */
    int64_t met_us;             /* see mf_stamp_time */
    struct mf_position pending; /* everything up to here was seen; behind tail: nothing to say */
    struct mf_position durable, acked;
    bool dirty; /* a transaction was written since the last sync */
    bool reply_wanted;
    bool marked; /* the state knows that the spool holds what the source may forget */
    int64_t acked_us, dirty_since_us;
    size_t bytes;    /* taken in this step */
    char writer[16]; /* who may write after the last commit seen */
    struct mf_capture_stats now;
    atomic_bool held; /* any thread */
    uint32_t flow;    /* messages since flow_since_us, see breathe() */
    int64_t flow_since_us;
    bool busy;
    /* capture_dual.c */
    struct mf_dual *dual;
    struct mf_wait_policy wait;
    atomic_bool gate_wanted, moved;
    bool gated; /* commits wait for the stream that is open */
    bool alone; /* it must first get past alone_at without them (MFALONE) */
    uint64_t alone_at;
    struct mf_position confirmed;
    struct mf_stream *awake; /* the stream while it may be woken; under mu */
    pthread_mutex_t mu;      /* guards stats: a copy of `now` for other threads */
    struct mf_capture_stats stats;
};

/* capture.c */
int mf_capture_sync(struct mf_capture *c, struct mf_error *err); /* everything taken is durable in the spool */

/* capture_dual.c */
bool mf_capture_gate_due(const struct mf_capture *c); /* the stream is to be one that commits wait for */
void mf_capture_gate_opened(struct mf_capture *c, bool gated);
/* After a failure, or when the stream is left on purpose (err NULL). Before it is closed. */
void mf_capture_gate_closing(struct mf_capture *c, const struct mf_error *err);
int mf_capture_confirm(struct mf_capture *c, struct mf_error *err);

/* capture_txn.c: transactions as they come in. */
int mf_capture_change(struct mf_capture *c, const struct mf_item *item, struct mf_error *err);
int mf_capture_relation(struct mf_capture *c, const struct mf_table *t, struct cap_rel **ret, struct mf_error *err);
struct cap_txn *mf_capture_begin(struct mf_capture *c, uint64_t txn);
int mf_capture_abort(struct mf_capture *c, const struct mf_item *item, struct mf_error *err);
struct cap_txn *mf_capture_take(struct mf_capture *c, uint64_t txn); /* out of the open ones; NULL: never begun */
void mf_capture_put_back(struct mf_capture *c, struct cap_txn *t);
void mf_capture_forget(struct mf_capture *c); /* all open transactions: the stream is read again from the tail */
void mf_capture_txn_free(struct mf_capture *c);
/* Records the rows of a transaction the side had no right to make. */
int mf_capture_wrong_side(struct mf_capture *c, struct cap_txn *t, const struct mf_position *at, struct mf_error *err);

#endif
