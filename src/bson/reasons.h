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
    bool data; /* the name is a key of a map: data */
};

/* One reason as it is found; e NULL: there is no value. why is static. */
typedef void reasons_each(void *ctx, const struct reasons_at *at, size_t depth, const struct elem *e, const char *why);
/* Where reasons go beside the error. */
struct reasons_out {
    struct mf_buf *all; /* one a line, MF_DOC_REASONS of them; NULL: nobody asks */
    reasons_each *each; /* every one; NULL */
    void *ctx;
};

struct reasons {
    size_t n;
    struct mf_error *err;
    struct reasons_out out;
    size_t text; /* bytes of the error's text */
    size_t left; /* reasons that it has no room for */
};

void reasons_begin(struct reasons *r, const struct reasons_out *out, struct mf_error *err); /* out NULL: no others */
/* e NULL: there is no value. */
void reasons_add(struct reasons *r, const struct reasons_at *at, size_t depth, const struct elem *e, const char *why);
/* The path without places and keys, which are data: "orders[].sku", "settings.*". */
void reasons_put_folded(struct mf_buf *b, const struct reasons_at *at, size_t depth);
/* A value for people, cut. */
void reasons_put_value(struct mf_buf *b, const struct elem *e);
int reasons_end(struct reasons *r); /* -1: the error is MF_ROW MFDOC */

#endif
