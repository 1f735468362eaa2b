/* Columns that are a collection on the target, because the map asks for one: list<int>, set<text>, map<text, int>, a type of the user's.
 *
 * Both engines tell such values as documents (model/document.h). What the source has is JSON already; or an array or a record of its own, which its engine tells as
 * JSON; or a SET, whose labels are a set. It is held to the type that is asked for here, where the row is made: so the copy, the stream and verify all see the one
 * document that the target gives back, and a value that is none (a NULL among the elements, a member twice) is refused with its row. */
#include "connector/view/compile.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/canon.h"
#include "model/document.h"

#include <string.h>

#define LABELS_MAX ((size_t)1 << 20)

/* ---- compiling ---- */

/* An array's type says nothing of its dimensions: lists within lists are made of the one element. */
static bool elements_fit(const struct mf_type *to, const struct mf_type *from)
{
    while ((to->shape == MF_SHAPE_LIST || to->shape == MF_SHAPE_SET) && from->shape == MF_SHAPE_NONE) {
        to = &to->parts[0];
    }
    const struct mf_type x = {.kind = MF_KIND_JSON, .shape = MF_SHAPE_LIST, .nparts = 1, .parts = to},
                         y = {.kind = MF_KIND_JSON, .shape = MF_SHAPE_LIST, .nparts = 1, .parts = from};
    return mf_type_takes(&x, &y) || mf_type_takes(&y, &x);
}

static bool fits(const struct mf_type *to, const struct mf_type *from)
{
    bool listed = to->shape == MF_SHAPE_LIST || to->shape == MF_SHAPE_SET;
    if (from->kind == MF_KIND_JSON) {
        return true;
    }
    if (from->kind == MF_KIND_SET) {
        return listed && to->parts[0].kind == MF_KIND_TEXT;
    }
    if (from->kind != MF_KIND_OPAQUE || from->shape == MF_SHAPE_NONE) {
        return false;
    }
    return from->shape == MF_SHAPE_LIST ? listed && elements_fit(&to->parts[0], &from->parts[0])
                                        : from->shape == to->shape && to->nparts == 0;
}

/* Fields are known where the source has them; else the target's type alone says which there are. */
static struct mf_type known(const struct mf_type *to, const struct mf_type *from, struct mf_arena *arena)
{
    struct mf_type t = *to;
    if (to->shape == MF_SHAPE_RECORD && to->nparts == 0 && from->shape == MF_SHAPE_RECORD) {
        t.nparts = from->nparts;
        t.parts = from->parts;
        t.nlabels = from->nlabels;
        t.labels = from->labels;
    } else if (to->nparts == 1 && from->nparts == 1 && from->shape == MF_SHAPE_LIST) {
        struct mf_type *part = mf_alloc(arena, sizeof *part);
        if (part) {
            *part = known(&to->parts[0], &from->parts[0], arena);
            t.parts = part;
        }
    }
    return t;
}

int view_add_collection(struct view_entry *e, const struct mf_query_column *q, const struct mf_column *is)
{
    struct mf_type asked = {.kind = MF_KIND_OPAQUE};
    const char *words = q->type;
    struct mf_made_column *made = &e->made[e->t->ncolumns - 1];
    if (!e->c->to || !is->foreign) {
        return 0;
    }
    if (e->c->to->type_named(q->type, e->c->arena, &asked, &words, e->err) < 0) {
        struct mf_error why = *e->err;
        return why.cls == MF_USAGE ? REFUSE(e, q->line, "column \"%s\": %s", q->name, why.text) : -1;
    }
    if (!asked.shape) {
        return 0;
    }
    const struct mf_type *from = &is->foreign->type;
    if (!fits(&asked, from)) {
        MF_CLEANUP_BUF struct mf_buf type = {.max = 4096};
        mf_type_put(&type, from);
        return REFUSE(e, q->line,
                      "column \"%s\" cannot be a %s: on the source it is a %s; an array, a document or a record of the "
                      "same elements can",
                      q->name, q->type, is->foreign->own_type ? is->foreign->own_type : mf_buf_str(&type));
    }
    asked = known(&asked, from, e->c->arena);
    made->from = mf_type_copy(e->c->arena, from);
    made->shape = mf_type_copy(e->c->arena, &asked);
    made->wanted_type = words;
    made->document = e->c->from ? e->c->from->document : NULL;
    return made->from && made->shape && mf_column_show(e->c->arena, &e->t->columns[e->t->ncolumns - 1], made->shape)
               ? 0
               : view_entry_full(e);
}

/* ---- values ---- */

static int too_large(struct mf_error *err)
{
    return view_no_memory(err, "a row of a query table is larger than the memory for making it");
}

/* "a,b": no label has a comma in it. */
static int of_labels(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = LABELS_MAX};
    const char *s = in->data, *end = in->data + in->len;
    mf_buf_putc(&b, '[');
    while (s < end) {
        const char *comma = memchr(s, ',', (size_t)(end - s)), *to = comma ? comma : end;
        mf_buf_puts(&b, s == in->data ? "\"" : ",\"");
        mf_json_escape(&b, s, (size_t)(to - s));
        mf_buf_putc(&b, '"');
        s = comma ? comma + 1 : end;
    }
    mf_buf_putc(&b, ']');
    return mf_buf_ok(&b) ? mf_canon_text(arena, b.data, b.len, ret, err) : too_large(err);
}

static int to_document(const struct mf_made_column *c, struct mf_arena *arena, const struct mf_value *in,
                       struct mf_value *ret, struct mf_error *err)
{
    struct mf_value json = *in;
    if (c->from->kind == MF_KIND_JSON) {
        return mf_document_fit(c->shape, arena, in, ret, err);
    }
    if (c->from->kind == MF_KIND_SET) {
        return of_labels(arena, in, &json, err) < 0 ? -1 : mf_document_fit(c->shape, arena, &json, ret, err);
    }
    return c->document(c->from, arena, in, &json, err) < 0
               ? -1
               : mf_document_canon(c->shape, arena, json.data, json.len, ret, err);
}

int view_collected(const struct mf_made_column *c, struct mf_arena *arena, struct mf_value *v, struct mf_error *err)
{
    struct mf_error why;
    struct mf_value made;
    if (v->kind != MF_TEXT) {
        return 0;
    }
    mf_error_clear(&why);
    if (to_document(c, arena, v, &made, &why) == 0) {
        *v = made;
        return 0;
    }
    if (why.cls != MF_ROW) {
        *err = why;
        return -1;
    }
    const char *text = mf_strdup_a(arena, why.text);
    if (!text) {
        return too_large(err);
    }
    *v = (struct mf_value){.kind = MF_REFUSED, .len = (uint32_t)strlen(text), .data = text};
    return 0;
}
