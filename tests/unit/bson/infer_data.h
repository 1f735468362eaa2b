/* Documents for tests of inference: written with libbson, given to it, and thrown away. */
#ifndef MF_TESTS_UNIT_BSON_INFER_DATA_H
#define MF_TESTS_UNIT_BSON_INFER_DATA_H

#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/elem.h"
#include "bson/infer.h"

#include <stdlib.h>
#include <string.h>

static inline void add(struct mf_infer *f, const char *collection, bson_t *b)
{
    const struct mf_value v = {MF_BINARY, b->len, (const char *)bson_get_data(b)};
    mf_infer_add(f, mf_infer_collection(f, "shop", collection), &v);
    bson_destroy(b);
}

static inline const struct mf_infer_path *path_of(const struct mf_infer_path *p, const char *path)
{
    struct mf_buf b = {.max = 4096};
    const struct mf_infer_path *found = NULL;
    mf_infer_put_path(&b, p);
    if (mf_streq(mf_buf_str(&b), path)) {
        found = p;
    }
    mf_buf_free(&b);
    for (uint32_t i = 0; !found && i < p->nfields; i++) {
        found = path_of(p->fields[i], path);
    }
    found = !found && p->element ? path_of(p->element, path) : found;
    return !found && p->any ? path_of(p->any, path) : found;
}

/* Fails when it is not there. */
static inline const struct mf_infer_path *at(struct mf_infer *f, const char *collection, const char *path)
{
    const struct mf_infer_path *p = path_of(mf_infer_collection(f, "shop", collection)->root, path);
    if (!p) {
        fail_msg("there is no path %s in %s", path, collection);
        abort();
    }
    return p;
}

#endif
