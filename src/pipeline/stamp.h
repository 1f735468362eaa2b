/* Stamps, for targets that keep the last write: microseconds that grow over a stream's changes. See docs/internals/stamps.md. */
#ifndef MF_PIPELINE_STAMP_H
#define MF_PIPELINE_STAMP_H

#include "change/change.h"
#include "connector/types.h"
#include "state/state.h"

/* State key: the stamp of the position where the stream begins, with which all rows are loaded. Set once, before the stream is made, from the origin's
 * clock. */
const char *mf_stamp_key(enum mf_direction d);

/* The greatest that no change still to come may have: at first that of the beginning. */
int64_t mf_stamp_floor(struct mf_state *s, enum mf_direction d);
/* From the next time on that the right to write comes to the origin of this direction, its changes have greater stamps than this. For a turn of the stream: what
 * was written on the other side meanwhile has that side's time. Called while the origin may not write. Only grows. */
int mf_stamp_raise(struct mf_state *s, enum mf_direction d, int64_t stamp, struct mf_error *err);

/* What the origin's stream tells of a transaction is not always the same (mf_connector.retells): a stamp is given only below one that the state has, and a new process
 * begins there. So none is given twice, whatever a crash took from the spool. */
int64_t mf_stamp_reserved(struct mf_state *s, enum mf_direction d); /* 0: none is */
int mf_stamp_reserve(struct mf_state *s, enum mf_direction d, int64_t upto, struct mf_error *err);

/* What the origin says the time is, where that is at most a minute after `met_us`, this machine's clock; else `met_us`. Before 1970: 0. */
int64_t mf_stamp_believed(int64_t says_us, int64_t met_us);
/* The latest time of this machine's clock by which a commit was judged; 0: none was. */
int64_t mf_stamp_met(struct mf_state *s, enum mf_direction d);
/* The time of a commit that capture meets now. *met_us is what mf_stamp_met says, kept by the caller from one call to the next; it only grows, and is in the
 * state before anything is judged by it: so a commit that is judged again, after a crash, gets no earlier time, wherever this machine's clock stands then. */
int mf_stamp_time(struct mf_state *s, enum mf_direction d, int64_t says_us, int64_t *met_us, int64_t *ret,
                  struct mf_error *err);

/* Of the first change of a transaction that was committed at `commit_us` (mf_stamp_time) and comes after the position with the stamp `after`. */
int mf_stamp_next(int64_t after, int64_t commit_us, int64_t *ret, struct mf_error *err);

#endif
