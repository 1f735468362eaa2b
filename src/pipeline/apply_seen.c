/* Waiting until the origin shows what its stream has told.
 *
 * A commit is in the stream as soon as it is in the origin's log. Readers of the origin see it a moment later, and with a synchronous
 * standby that does not answer, much later: it is committed, and nobody is shown it. Whoever reads the origin in order to make up for a
 * change that cannot be applied would read the row as it was before that change, and the change would be lost. So the
 * transactions in question are waited for first. */
#include "pipeline/apply_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

#define POLL_US  (2 * MF_US_PER_MS)
#define AWAIT_US (2 * MF_US_PER_SEC) /* then the stream's own retries, which look for a stop in between */

void mf_apply_txns_add(struct ap_txns *t, uint64_t id)
{
    if (t->n && t->ids[t->n - 1] == id) {
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->ids = mf_xreallocarray(t->ids, t->cap, sizeof(*t->ids));
    }
    t->ids[t->n++] = id;
}

void mf_apply_txns_free(struct ap_txns *t)
{
    free(t->ids);
    *t = (struct ap_txns){0};
}

static int await(struct mf_apply *a, const struct ap_txns *t, struct mf_error *err)
{
    struct mf_db *origin = a->o.origin;
    int64_t until = mf_now_us() + AWAIT_US;
    for (bool seen = false; t->n && !seen;) {
        if (origin->connector->source->visible(origin, t->ids, t->n, &seen, err) < 0) {
            return -1;
        }
        if (!seen && mf_now_us() > until) {
            mf_fail(err, MF_RETRY, "MFUNSEEN",
                    "the %s has committed a transaction and does not show it yet; its rows have to be read there",
                    origin->side == MF_SOURCE ? "source" : "target");
            mf_hint(err, "Its COMMIT waits inside the server, for a synchronous standby as a rule: look at "
                         "synchronous_standby_names and at the standbys.");
            return -1;
        }
        if (!seen) {
            mf_sleep_us(POLL_US);
        }
    }
    return 0;
}

/* With dual writes the origin shows a commit only when it has been confirmed, and it is confirmed when it is applied: that is for our own sake. */
int mf_apply_await_visible(struct mf_apply *a, const struct ap_txns *t, struct mf_error *err)
{
    mf_apply_standing(a, true);
    int rc = await(a, t, err);
    mf_apply_standing(a, false);
    return rc;
}
