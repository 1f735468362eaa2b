/* What is proposed for what was inferred, as text. */
#ifndef MF_TESTS_UNIT_BSON_PROPOSE_TEXT_H
#define MF_TESTS_UNIT_BSON_PROPOSE_TEXT_H

#include "mf_test.h"

#include "base/cleanup.h"
#include "bson/propose.h"

/* A whole configuration; the caller frees. target: NULL: any. */
static inline char *propose(struct mf_infer *f, const struct mf_map_target *target)
{
    struct mf_doc_proposal *p;
    struct mf_error err;
    struct mf_buf b = {.max = MF_PROPOSE_BYTES};
    mf_infer_finish(f);
    assert_mf_ok(mf_doc_propose(f, NULL, target, &p, &err), &err);
    mf_buf_puts(&b, "map:\n");
    mf_doc_proposal_put_yaml(&b, p);
    mf_doc_proposal_free(p);
    assert_true(mf_buf_ok(&b));
    return mf_buf_steal(&b, NULL);
}

#endif
