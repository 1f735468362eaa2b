/* A place in a source's history of commits.
 *
 * `order` is comparable between positions of one source (PostgreSQL: the LSN; an engine whose positions
 * are not numbers keeps its own growing number). `token` is the source's own word for the same place (an LSN,
 * a GTID set, a resume token): what it is asked to resume from and what a person is shown. A position names
 * the END of a commit, so "the target is at P" means every transaction with position <= P is in it and none after.
 */
#ifndef MF_MODEL_POSITION_H
#define MF_MODEL_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#define MF_POSITION_TOKEN 512 /* GTID sets of servers with a long history are long */

struct mf_position {
    uint64_t order; /* 0: no position */
    char token[MF_POSITION_TOKEN];
};

static inline bool mf_position_none(const struct mf_position *p)
{
    return p->order == 0;
}

/* True when everything up to `wanted` is contained in `have`. */
static inline bool mf_position_reached(const struct mf_position *have, const struct mf_position *wanted)
{
    return have->order >= wanted->order;
}

#endif
