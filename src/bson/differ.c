/* Where two documents differ: their paths, for people. */
#include "bson/elem.h"
#include "bson/shred.h"

#include "base/buf.h"

#include <string.h>

struct differing {
    struct mf_buf *out;
    size_t begin, most;
    struct mf_buf path;
    bool full;
};

static void tell(struct differing *d)
{
    const char *comma = d->out->len > d->begin ? ", " : "";
    if (d->full) {
        return;
    }
    if (d->out->len - d->begin + d->path.len + 8 > d->most) {
        d->full = true;
        mf_buf_printf(d->out, "%s…", comma);
        return;
    }
    mf_buf_printf(d->out, "%s%s", comma, mf_buf_str(&d->path));
}

/* The element of this key, looked for from where the walk stands: documents of one map have their fields in one order. */
static bool find(const uint8_t *document, struct elem_walk *from, const struct elem *wanted, struct elem *ret)
{
    struct elem_walk w = *from;
    if (elem_next(&w, ret) && ret->nkey == wanted->nkey && memcmp(ret->key, wanted->key, ret->nkey) == 0) {
        *from = w;
        return true;
    }
    elem_begin(&w, document);
    while (elem_next(&w, ret)) {
        if (ret->nkey == wanted->nkey && memcmp(ret->key, wanted->key, ret->nkey) == 0) {
            *from = w;
            return true;
        }
    }
    return false;
}

static size_t enter(struct differing *d, const struct elem *e)
{
    size_t was = d->path.len;
    mf_buf_printf(&d->path, "%s%.*s", was ? "." : "", (int)(e->nkey > 100 ? 100 : e->nkey), e->key);
    return was;
}

static void leave(struct differing *d, size_t was)
{
    d->path.len = was;
    if (d->path.data) {
        d->path.data[was] = '\0';
    }
}

static bool within(const struct elem *e)
{
    return e->type == BSON_TYPE_DOCUMENT || e->type == BSON_TYPE_ARRAY;
}

/* Depth is that of checked documents (MF_DOC_DEPTH). */
static void compare(struct differing *d, const uint8_t *a, const uint8_t *b)
{
    struct elem_walk wa, wb;
    struct elem x, y;
    elem_begin(&wa, a);
    elem_begin(&wb, b);
    while (!d->full && elem_next(&wa, &x)) {
        size_t was = enter(d, &x);
        if (!find(b, &wb, &x, &y)) {
            tell(d);
        } else if (within(&x) && x.type == y.type) {
            compare(d, x.value, y.value);
        } else if (!elem_same(&x, &y)) {
            tell(d);
        }
        leave(d, was);
    }
    elem_begin(&wa, a);
    elem_begin(&wb, b);
    while (!d->full && elem_next(&wb, &y)) {
        if (!find(a, &wa, &y, &x)) {
            size_t was = enter(d, &y);
            tell(d);
            leave(d, was);
        }
    }
}

void mf_bson_put_differences(struct mf_buf *b, const struct mf_value *one, const struct mf_value *other, size_t most)
{
    const char *why;
    char where[ELEM_WHERE];
    struct differing d = {.out = b, .begin = b->len, .most = most, .path = {.max = 4096}};
    if (!mf_value_has_bytes(one) || !mf_value_has_bytes(other) || elem_check(one->data, one->len, &why, where) < 0 ||
        elem_check(other->data, other->len, &why, where) < 0) {
        return;
    }
    compare(&d, (const uint8_t *)one->data, (const uint8_t *)other->data);
    mf_buf_free(&d.path);
}
