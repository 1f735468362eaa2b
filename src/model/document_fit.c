/* Documents held to their type: see document.h. One walk through both together. A set is written as it comes; where its members do not come in order they are
 * put in order when it ends, as the members of an object are in json.c. */
#include "model/document.h"

#include "base/cleanup.h"
#include "model/canon.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)1 << 30)
#define SCRATCH_MORE ((size_t)1 << 18) /* digits of a number that had an exponent */

static const char no_json[] = "it is no document";
static const char another[] = "a value in it is of another kind than the type has there";
static const char no_room[] = "it needs too much memory";

struct member {
    size_t from, to; /* in fitting.out */
    const char *text;
};

struct fitting {
    struct mf_document in;
    struct mf_buf *out;
    struct mf_buf scratch; /* a scalar's text, looked at and forgotten */
    struct mf_buf swap;
    unsigned depth;
};

static const char *fit(struct fitting *f, const struct mf_type *t);

/* A scalar stays as it is written, once it is known to be one. */
static const char *fit_scalar(struct fitting *f, const struct mf_type *t)
{
    const char *from = f->in.p;
    mf_buf_reset(&f->scratch);
    const char *why = mf_document_scalar(&f->in, t, &f->scratch);
    mf_buf_append(f->out, from, (size_t)(f->in.p - from));
    return why;
}

static int by_text(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t nx = x->to - x->from, ny = y->to - y->from;
    int d = memcmp(x->text, y->text, nx < ny ? nx : ny);
    return d ? d : (nx > ny) - (nx < ny);
}

static const char *in_order(struct fitting *f, size_t from, struct mf_buf *members)
{
    struct member *m = (struct member *)(void *)members->data;
    size_t n = members->len / sizeof *m;
    if (n == 0) {
        return NULL;
    }
    mf_buf_reset(&f->swap);
    mf_buf_append(&f->swap, f->out->data + from, f->out->len - from);
    if (!mf_buf_ok(&f->swap) || !mf_buf_ok(members)) {
        return no_room;
    }
    for (size_t i = 0; i < n; i++) {
        m[i].text = f->swap.data + (m[i].from - from);
    }
    qsort(m, n, sizeof *m, by_text);
    f->out->len = from;
    for (size_t i = 0; i < n; i++) {
        if (i && by_text(&m[i - 1], &m[i]) == 0) {
            return "it has a member twice, and a set has it once";
        }
        mf_buf_puts(f->out, i ? "," : "");
        mf_buf_append(f->out, m[i].text, m[i].to - m[i].from);
    }
    return NULL;
}

/* A list, or a set. */
static const char *fit_list(struct fitting *f, const struct mf_type *t)
{
    MF_CLEANUP_BUF struct mf_buf members = {.max = DOCUMENT_MAX};
    if (!mf_document_take(&f->in, '[')) {
        return another;
    }
    mf_buf_putc(f->out, '[');
    size_t from = f->out->len;
    for (size_t n = 0; !mf_document_take(&f->in, ']'); n++) {
        if (n && !mf_document_take(&f->in, ',')) {
            return no_json;
        }
        mf_buf_puts(f->out, n ? "," : "");
        struct member m = {.from = f->out->len};
        const char *why = fit(f, &t->parts[0]);
        if (why || !mf_buf_ok(f->out)) {
            return why ? why : no_room;
        }
        m.to = f->out->len;
        if (t->shape == MF_SHAPE_SET) {
            mf_buf_append(&members, &m, sizeof m);
        }
    }
    const char *why = in_order(f, from, &members);
    mf_buf_putc(f->out, ']');
    return why;
}

static const char *fit_map(struct fitting *f, const struct mf_type *t)
{
    if (!mf_document_take(&f->in, '{')) {
        return another;
    }
    mf_buf_putc(f->out, '{');
    for (size_t n = 0; !mf_document_take(&f->in, '}'); n++) {
        if (n && !mf_document_take(&f->in, ',')) {
            return no_json;
        }
        const char *from = f->in.p;
        mf_buf_reset(&f->scratch);
        const char *why = mf_document_key(&f->in, &t->parts[0], &f->scratch);
        mf_buf_puts(f->out, n ? "," : "");
        mf_buf_append(f->out, from, (size_t)(f->in.p - from));
        why = why ? why : mf_document_take(&f->in, ':') ? NULL : no_json;
        mf_buf_putc(f->out, ':');
        why = why ? why : fit(f, &t->parts[1]);
        if (why || !mf_buf_ok(f->out)) {
            return why ? why : no_room;
        }
    }
    mf_buf_putc(f->out, '}');
    return NULL;
}

static const struct mf_type *field_of(const struct mf_type *t, const struct mf_buf *name)
{
    for (uint16_t i = 0; i < t->nparts; i++) {
        if (strlen(t->labels[i]) == name->len && memcmp(t->labels[i], mf_buf_str(name), name->len) == 0) {
            return &t->parts[i];
        }
    }
    return NULL;
}

/* A value in a record whose fields are not known: only that its own records have no nulls can be seen to. */
static const char *fit_any(struct fitting *f)
{
    static const struct mf_type unknown = {.kind = MF_KIND_JSON, .shape = MF_SHAPE_RECORD};
    const char *from = f->in.p;
    if (mf_document_next(&f->in) == '{') {
        return fit(f, &unknown);
    }
    if (!mf_document_take(&f->in, '[')) {
        const char *why = mf_document_skip(&f->in) ? NULL : no_json;
        mf_buf_append(f->out, from, (size_t)(f->in.p - from));
        return why;
    }
    mf_buf_putc(f->out, '[');
    for (size_t n = 0; !mf_document_take(&f->in, ']'); n++) {
        if (n && !mf_document_take(&f->in, ',')) {
            return no_json;
        }
        mf_buf_puts(f->out, n ? "," : "");
        const char *why = mf_document_next(&f->in) == 'n' ? "it has a null in a list" : fit_any(f);
        if (why) {
            return why;
        }
    }
    mf_buf_putc(f->out, ']');
    return NULL;
}

static const char *fit_record(struct fitting *f, const struct mf_type *t)
{
    bool any = false;
    if (!mf_document_take(&f->in, '{')) {
        return another;
    }
    mf_buf_putc(f->out, '{');
    for (size_t n = 0; !mf_document_take(&f->in, '}'); n++) {
        const char *from;
        if (n && !mf_document_take(&f->in, ',')) {
            return no_json;
        }
        from = f->in.p;
        mf_buf_reset(&f->scratch);
        if (!mf_document_string(&f->in, &f->scratch) || !mf_document_take(&f->in, ':')) {
            return no_json;
        }
        const struct mf_type *part = field_of(t, &f->scratch);
        if (!part && t->nparts) {
            return "it has a field that the type has not";
        }
        if (mf_document_next(&f->in) == 'n') {
            if (!mf_document_skip(&f->in)) {
                return no_json;
            }
            continue;
        }
        mf_buf_puts(f->out, any ? "," : "");
        mf_buf_append(f->out, from, (size_t)(f->in.p - from));
        any = true;
        const char *why = part ? fit(f, part) : fit_any(f);
        if (why || !mf_buf_ok(f->out)) {
            return why ? why : no_room;
        }
    }
    mf_buf_putc(f->out, '}');
    return NULL;
}

static const char *fit(struct fitting *f, const struct mf_type *t)
{
    const char *why;
    if (f->depth == MF_JSON_DEPTH) {
        return "it is nested too deep";
    }
    f->depth++;
    switch (t->shape) {
    case MF_SHAPE_NONE:
        why = fit_scalar(f, t);
        break;
    case MF_SHAPE_LIST:
    case MF_SHAPE_SET:
        why = fit_list(f, t);
        break;
    case MF_SHAPE_MAP:
        why = fit_map(f, t);
        break;
    case MF_SHAPE_RECORD:
        why = fit_record(f, t);
        break;
    default:
        why = another;
        break;
    }
    f->depth--;
    return why;
}

int mf_document_fit(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = DOCUMENT_MAX};
    struct fitting f = {.out = &out,
                        .scratch = {.max = in->len + SCRATCH_MORE},
                        .swap = {.max = DOCUMENT_MAX},
                        .in = {.p = in->data, .end = in->data + in->len}};
    const char *why = in->kind == MF_TEXT ? fit(&f, t) : no_json;
    mf_buf_free(&f.scratch);
    mf_buf_free(&f.swap);
    if (!why && (f.in.p != f.in.end || !mf_buf_ok(&out))) {
        why = mf_buf_ok(&out) ? no_json : no_room;
    }
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    if (out.len == in->len && memcmp(out.data, in->data, out.len) == 0) {
        *ret = *in;
        return 0;
    }
    return mf_canon_text(arena, out.data, out.len, ret, err);
}

int mf_document_canon(const struct mf_type *t, struct mf_arena *arena, const char *text, size_t n, struct mf_value *ret,
                      struct mf_error *err)
{
    const struct mf_value given = {.kind = MF_TEXT, .len = (uint32_t)n, .data = text};
    struct mf_value json;
    return mf_canon_json(t, arena, &given, NULL, &json, err) < 0 ? -1 : mf_document_fit(t, arena, &json, ret, err);
}
