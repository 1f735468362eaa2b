#include "bson/reasons.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/shred.h"
#include "bson/types.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MOST 60
#define PATH_MOST  200
#define ONE_MOST   600 /* bytes of one reason */

void reasons_begin(struct reasons *r, const struct reasons_out *out, struct mf_error *err)
{
    *r = (struct reasons){.err = err};
    if (out) {
        r->out = *out;
    }
}

/* As it is written in the map, where it can be: a.b[3].c, and ["a.b"] for a name with a dot, or none. */
static void put_path(struct mf_buf *b, const struct reasons_at *at, size_t depth)
{
    size_t from = b->len;
    for (size_t i = 0; i < depth; i++) {
        if (b->len - from > PATH_MOST) {
            mf_buf_puts(b, "…");
            return;
        }
        if (!at[i].name) {
            mf_buf_printf(b, "[%zu]", at[i].index);
            continue;
        }
        bool plain = at[i].len && !memchr(at[i].name, '.', at[i].len) && !memchr(at[i].name, '[', at[i].len);
        mf_buf_puts(b, !plain ? "[\"" : i ? "." : "");
        mf_json_escape(b, at[i].name, mf_utf8_cut(at[i].name, at[i].len, PATH_MOST));
        mf_buf_puts(b, plain ? "" : "\"]");
    }
}

void reasons_put_folded(struct mf_buf *b, const struct reasons_at *at, size_t depth)
{
    for (size_t i = 0; i < depth && b->len < PATH_MOST; i++) {
        if (!at[i].name) {
            mf_buf_puts(b, "[]");
            continue;
        }
        bool plain = at[i].len && !memchr(at[i].name, '.', at[i].len);
        mf_buf_puts(b, i ? "." : "");
        if (at[i].data) {
            mf_buf_puts(b, "*");
            continue;
        }
        mf_buf_puts(b, plain ? "" : "\"");
        mf_json_escape(b, at[i].name, mf_utf8_cut(at[i].name, at[i].len, PATH_MOST));
        mf_buf_puts(b, plain ? "" : "\"");
    }
}

void reasons_put_value(struct mf_buf *b, const struct elem *e)
{
    MF_CLEANUP_BUF struct mf_buf value = {.max = 8192};
    json_put_value(&value, e, VALUE_MOST);
    size_t n = mf_utf8_cut(mf_buf_str(&value), value.len, VALUE_MOST);
    mf_buf_append(b, mf_buf_str(&value), n);
    mf_buf_printf(b, "%s (%s)", n < value.len ? "…" : "", elem_type_name(e->type));
}

static void put_reason(struct mf_buf *b, const struct reasons_at *at, size_t depth, const struct elem *e,
                       const char *why)
{
    put_path(b, at, depth);
    if (e) {
        mf_buf_puts(b, ": ");
        reasons_put_value(b, e);
    }
    mf_buf_printf(b, ": %s", why);
}

void reasons_add(struct reasons *r, const struct reasons_at *at, size_t depth, const struct elem *e, const char *why)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = ONE_MOST * 4};
    r->n++;
    if (r->out.each) {
        r->out.each(r->out.ctx, at, depth, e, why);
    }
    if (r->n > MF_DOC_REASONS) {
        r->left++;
        return;
    }
    put_reason(&b, at, depth, e, why);
    const char *text = mf_buf_str(&b);
    size_t n = mf_utf8_cut(text, b.len, ONE_MOST), room = sizeof((struct mf_error *)0)->text - 40;
    if (r->out.all) {
        mf_buf_append(r->out.all, text, n);
        mf_buf_putc(r->out.all, '\n');
    }
    if (!r->err) {
        return;
    }
    if (r->left || r->text + n + 2 > room) {
        r->left++;
        return;
    }
    char *to = r->err->text + r->text;
    int wrote = snprintf(to, sizeof r->err->text - r->text, "%s%.*s", r->text ? "; " : "", (int)n, text);
    r->text += wrote > 0 ? (size_t)wrote : 0;
}

int reasons_end(struct reasons *r)
{
    char text[sizeof r->err->text];
    if (!r->err) {
        return -1;
    }
    mf_strlcpy(text, r->err->text, sizeof text);
    return r->left ? mf_fail(r->err, MF_ROW, "MFDOC", "%s; and %zu more", text, r->left)
                   : mf_fail(r->err, MF_ROW, "MFDOC", "%s", text);
}
