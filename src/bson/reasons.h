/* Why a document is refused: each as `path: value (type): why`, and how many more there are. */
#ifndef MF_BSON_REASONS_H
#define MF_BSON_REASONS_H

#include "base/error.h"
#include "bson/elem.h"

/* A step of a path: a name, or (NULL) a place in an array. */
struct reasons_at {
    const char *name;
    uint32_t len;
    size_t index;
};

struct reasons {
    size_t n;
    struct mf_error *err;
    struct mf_buf *all; /* one a line, MF_DOC_REASONS of them; NULL: nobody asks */
    size_t text;        /* bytes of the error's text */
    size_t left;        /* reasons that it has no room for */
};

void reasons_begin(struct reasons *r, struct mf_buf *all, struct mf_error *err);
/* e NULL: there is no value. */
void reasons_add(struct reasons *r, const struct reasons_at *at, size_t depth, const struct elem *e, const char *why);
int reasons_end(struct reasons *r); /* -1: the error is MF_ROW MFDOC */

#endif
