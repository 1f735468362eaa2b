/* Rows that the origin's server changed by itself while they were copied (foreign keys that cascade).
 *
 * The stream does not tell of them. Apply does the same when their cause comes (pipeline/apply_cascade.c), and before the consistency point that can
 * miss: a cascade over two tables needs the rows of the first, which may have been copied after they went; one that gives a key another value
 * makes rows of which nothing comes later. Apply puts down which tables that may have happened to. Here they are compared and
 * mended, before anything else is built on them; meanwhile apply stays lenient, since a row that is wrong may be met.
 *
 * A table that was found equal is exact from that position on, and so is what cascades from it. Two looks at all of them in a row without a difference
 * mean that each was exact before the others were looked at last. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define LOOKS 12

/* The n-th of the source's tables that may be wrong; NULL: no more. */
static const struct mf_table *suspect(struct mf_migration *m, size_t *at)
{
    while (*at < m->source_tables.n) {
        const struct mf_table *t = &m->source_tables.tables[(*at)++];
        if (mf_apply_suspected(m->state, t->schema, t->name)) {
            return t;
        }
    }
    return NULL;
}

/* One look at each of them. */
static int look(struct mf_migration *m, int64_t *ret_differing, struct mf_error *err)
{
    const struct mf_table *t;
    *ret_differing = 0;
    for (size_t at = 0; (t = suspect(m, &at));) {
        char name[300];
        json_t *reply = NULL;
        struct mf_request r = {
            .kind = MF_REQ_VERIFY, .table = mf_table_label(t, name, sizeof name) ? name : NULL, .repair = true};
        if (mf_do_verify(m, &r, false, &reply, err) < 0) {
            mf_error_prefix(err, "mending table %s", name);
            return -1;
        }
        *ret_differing += json_integer_value(json_object_get(reply, "rows_differing")) -
                          json_integer_value(json_object_get(reply, "rows_quarantined_equal"));
        json_decref(reply);
    }
    return 0;
}

static int mend(struct mf_migration *m, struct mf_error *err)
{
    int64_t differing, mended = 0;
    int clean = 0;
    for (int i = 0; clean < 2; i++) {
        if (i == LOOKS) {
            mf_fail(err, MF_FATAL, "MFMEND",
                    "rows that cascades changed while they were copied still differ after %d looks", i);
            mf_hint(err,
                    "start midflight again when the source is quieter; the rows are in the last verification's list");
            return -1;
        }
        if (look(m, &differing, err) < 0) {
            return -1;
        }
        mended += differing;
        clean = differing == 0 ? clean + 1 : 0;
    }
    size_t at = 0, tables = 0;
    for (const struct mf_table *t; (t = suspect(m, &at)); tables++) {
        if (mf_apply_unsuspect(m->state, t->schema, t->name, err) < 0) {
            return -1;
        }
    }
    mf_log(MF_INFO, "migration",
           "%zu tables in which foreign keys cascaded while they were copied were compared; %" PRId64
           " rows were mended",
           tables, mended);
    return 0;
}

enum mf_step mf_do_mend(struct mf_migration *m, struct mf_error *err)
{
    struct mf_apply *apply = m->forward->apply;
    struct mf_position none = {0};
    size_t at = 0;
    bool wrong = suspect(m, &at) != NULL;
    mf_apply_set_lenient(apply, wrong);
    mf_apply_set_barrier(apply, &none);
    if (wrong) {
        if (mend(m, err) == 0) {
            return MF_STEP_IDLE;
        }
        if (err->cls == MF_ABANDONED) {
            err->cls = MF_RETRY;
        }
        return m->stop ? MF_STEP_IDLE : MF_STEP_FAILED;
    }
    if (!mf_apply_consistent(apply)) {
        mf_apply_want_checkpoint(apply);
        return MF_STEP_IDLE;
    }
    mf_log(MF_INFO, "apply", "the target is consistent: from here on %s",
           m->target->connector->last_write_wins
               ? "each of its rows goes through the states that the source's had, in order; it is no one commit's state"
               : "it always equals the source as of one commit");
    return MF_STEP_MORE;
}
