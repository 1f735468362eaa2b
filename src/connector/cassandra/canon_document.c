/*
 * Collections and types of users as documents (model/document.h), and back.
 *
 * Only frozen ones, here and wherever one is made: a frozen value is written and read whole, so what stands there is what was written with one stamp, an
 * empty one is not NULL, and to write it again makes no tombstone. The elements of others each have a stamp of their own.
 *
 * The own form is CQL's text (cqlvalue.h): [1, 2], {'a', 'b'}, {'a': 1}, {street: 'x', number: 5}. */
#include "connector/cassandra/canon.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/cassandra/cqlvalue_internal.h"
#include "model/canon.h"
#include "model/document.h"

#include <string.h>

#define DOCUMENT_MAX ((size_t)1 << 30)

/* ---- types ---- */

/* A leaf whose text is its canonical one both ways. */
static bool leaf_type(enum cql_kind kind, struct mf_type *ret)
{
    return kind != CQL_K_COUNTER && kind != CQL_K_INET && kind != CQL_K_DURATION && kind != CQL_K_CUSTOM &&
           cass_kind_type(kind, ret);
}

bool cass_document_type(const struct cql_type *t, struct mf_arena *arena, unsigned depth, struct mf_type *ret)
{
    enum mf_shape shape = t->kind == CQL_K_LIST  ? MF_SHAPE_LIST
                          : t->kind == CQL_K_SET ? MF_SHAPE_SET
                          : t->kind == CQL_K_MAP ? MF_SHAPE_MAP
                          : t->kind == CQL_K_UDT ? MF_SHAPE_RECORD
                                                 : MF_SHAPE_NONE;
    if (shape == MF_SHAPE_NONE) {
        return leaf_type(t->kind, ret);
    }
    struct mf_type *parts = mf_alloc_array(arena, t->nsub, sizeof *parts);
    bool ok = parts && depth < MF_SHAPE_DEPTH && t->nsub < UINT16_MAX;
    for (uint32_t i = 0; ok && i < t->nsub; i++) {
        ok = cass_document_type(t->sub[i], arena, depth + 1, &parts[i]);
    }
    if (!ok || (shape == MF_SHAPE_MAP && parts[0].shape != MF_SHAPE_NONE)) {
        return false;
    }
    *ret = (struct mf_type){
        .kind = MF_KIND_JSON, .shape = shape, .nparts = t->nsub ? (uint16_t)t->nsub : 0, .parts = parts};
    if (shape == MF_SHAPE_RECORD) {
        ret->nlabels = ret->nparts;
        ret->labels = t->fields;
    }
    return true;
}

bool cass_is_collection(const struct cql_type *t)
{
    return t->kind == CQL_K_LIST || t->kind == CQL_K_SET || t->kind == CQL_K_MAP || t->kind == CQL_K_UDT;
}

const struct cql_type *cass_any_udt(void *ctx, const char *name)
{
    struct mf_arena *arena = ctx;
    struct cql_type *t = mf_alloc0(arena, sizeof *t);
    if (!t) {
        return NULL;
    }
    *t = (struct cql_type){.kind = CQL_K_UDT, .keyspace = "", .name = mf_strdup_a(arena, name)};
    return t->name ? t : NULL;
}

static int no_type(const char *text, const char *why, struct mf_error *err)
{
    return mf_fail(err, MF_USAGE, "MFTYPE", "\"%.200s\" %s", text, why);
}

int cass_type_named(const char *text, struct mf_arena *arena, struct mf_type *ret, const char **ret_text,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf words = {.max = 1u << 16};
    const struct cql_type *parsed;
    enum cql_kind plain;
    struct mf_type made = {.kind = MF_KIND_OPAQUE};
    const char *kept = text;
    if (cql_kind_of_name(text, strlen(text), &plain)) {
        *ret = made;
        *ret_text = text;
        return 0;
    }
    if (cql_type_parse(text, strlen(text), cass_any_udt, arena, arena, &parsed, err) < 0) {
        return err->cls == MF_FATAL && mf_streq(err->code, "MFTYPE") ? no_type(text, "is no type of Cassandra", err)
                                                                     : -1;
    }
    if (cass_is_collection(parsed)) {
        struct cql_type frozen = *parsed;
        frozen.frozen = true;
        if (!cass_document_type(parsed, arena, 0, &made)) {
            return no_type(text,
                           "has parts that are not supported there: counter, inet, duration, tuple, vector, or a "
                           "collection as the key of a map",
                           err);
        }
        cql_type_put(&words, &frozen);
        kept = mf_strdup_a(arena, mf_buf_str(&words));
    }
    if (!kept || !mf_buf_ok(&words)) {
        return mf_canon_no_memory(err);
    }
    *ret = made;
    *ret_text = kept;
    return 0;
}

bool cass_canon_column(const char *cql, cql_udt_lookup *lookup, void *ctx, struct mf_arena *arena, struct mf_type *ret)
{
    struct mf_error ignored = {0};
    const struct cql_type *t;
    cass_canon_type(cql, ret);
    if (ret->kind != MF_KIND_OPAQUE || !strchr(cql, '<') ||
        cql_type_parse(cql, strlen(cql), lookup, ctx, arena, &t, &ignored) < 0 || !t->frozen ||
        !cass_is_collection(t)) {
        return false;
    }
    return cass_document_type(t, arena, 0, ret);
}

/* ---- from ---- */

struct writing {
    struct mf_document in;
    struct mf_arena *arena;
    struct mf_buf *out;
    struct mf_buf text; /* of a scalar */
    struct mf_error *err;
};

static bool is_quoted(const struct mf_type *t)
{
    return t->kind == MF_KIND_TEXT || t->kind == MF_KIND_DATE || t->kind == MF_KIND_TIME || t->kind == MF_KIND_INSTANT;
}

static int put_own(struct writing *w, const struct mf_type *t)
{
    const struct mf_value canon = {.kind = MF_TEXT, .len = (uint32_t)w->text.len, .data = mf_buf_str(&w->text)};
    struct mf_value own = canon;
    if (t->kind != MF_KIND_BYTES && cass_from_canon(t, w->arena, &canon, &own, w->err) < 0) {
        return -1;
    }
    mf_buf_puts(w->out, is_quoted(t) ? "'" : "");
    for (uint32_t i = 0; i < own.len; i++) {
        mf_buf_puts(w->out, is_quoted(t) && own.data[i] == '\'' ? "'" : "");
        mf_buf_putc(w->out, own.data[i]);
    }
    mf_buf_puts(w->out, is_quoted(t) ? "'" : "");
    return 0;
}

static int write_value(struct writing *w, const struct mf_type *t);

/* What stands here was held to its type already. */
static int broken(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBUG", "a document is not of the type that it was held to");
}

static int write_scalar(struct writing *w, const struct mf_type *t, bool key)
{
    mf_buf_reset(&w->text);
    const char *why = key ? mf_document_key(&w->in, t, &w->text) : mf_document_scalar(&w->in, t, &w->text);
    return why ? broken(w->err) : put_own(w, t);
}

static int write_members(struct writing *w, const struct mf_type *t)
{
    bool map = t->shape == MF_SHAPE_MAP, list = t->shape == MF_SHAPE_LIST;
    char close = map ? '}' : ']';
    w->in.p++;
    mf_buf_putc(w->out, list ? '[' : '{');
    for (size_t n = 0; !mf_document_take(&w->in, close); n++) {
        if (n && !mf_document_take(&w->in, ',')) {
            return broken(w->err);
        }
        mf_buf_puts(w->out, n ? ", " : "");
        if (map && write_scalar(w, &t->parts[0], true) < 0) {
            return -1;
        }
        if (map && !mf_document_take(&w->in, ':')) {
            return broken(w->err);
        }
        mf_buf_puts(w->out, map ? ": " : "");
        if (write_value(w, &t->parts[t->nparts - 1]) < 0) {
            return -1;
        }
    }
    mf_buf_putc(w->out, list ? ']' : '}');
    return 0;
}

/* The fields are in the order of their names there, and in that of the type here. */
static int write_record(struct writing *w, const struct mf_type *t)
{
    const char **at = mf_alloc_array(w->arena, t->nparts, sizeof *at);
    bool first = true;
    if (!at) {
        return mf_canon_no_memory(w->err);
    }
    w->in.p++;
    while (!mf_document_take(&w->in, '}')) {
        uint16_t i = 0;
        mf_buf_reset(&w->text);
        mf_document_take(&w->in, ',');
        if (!mf_document_string(&w->in, &w->text) || !mf_document_take(&w->in, ':')) {
            return broken(w->err);
        }
        while (i < t->nparts && !mf_streq(t->labels[i], mf_buf_str(&w->text))) {
            i++;
        }
        if (i == t->nparts) {
            return broken(w->err);
        }
        at[i] = w->in.p;
        if (!mf_document_skip(&w->in)) {
            return broken(w->err);
        }
    }
    const char *end = w->in.p;
    mf_buf_putc(w->out, '{');
    for (uint16_t i = 0; i < t->nparts; i++) {
        if (at[i]) {
            mf_buf_puts(w->out, first ? "" : ", ");
            cql_name_put(w->out, t->labels[i]);
            mf_buf_puts(w->out, ": ");
            first = false;
            w->in.p = at[i];
            if (write_value(w, &t->parts[i]) < 0) {
                return -1;
            }
        }
    }
    mf_buf_putc(w->out, '}');
    w->in.p = end;
    return 0;
}

static int write_value(struct writing *w, const struct mf_type *t)
{
    return t->shape == MF_SHAPE_NONE     ? write_scalar(w, t, false)
           : t->shape == MF_SHAPE_RECORD ? write_record(w, t)
                                         : write_members(w, t);
}

int cass_document_from(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                       struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = DOCUMENT_MAX};
    struct mf_value fitted;
    if (mf_document_fit(t, arena, in, &fitted, err) < 0) {
        return -1;
    }
    if (!mf_value_equal(in, &fitted)) {
        return mf_canon_refuse(t, in, "it is not in the canonical spelling", err);
    }
    struct writing w = {.in = {.p = in->data, .end = in->data + in->len},
                        .arena = arena,
                        .out = &out,
                        .text = {.max = DOCUMENT_MAX},
                        .err = err};
    int rc = write_value(&w, t);
    mf_buf_free(&w.text);
    if (rc < 0) {
        return -1;
    }
    return mf_buf_ok(&out) ? mf_canon_text(arena, out.data, out.len, ret, err) : mf_canon_no_memory(err);
}

/* ---- to ---- */

struct reading {
    const char *p, *end;
    struct mf_arena *arena;
    struct mf_buf *out;
    struct mf_buf text;
    struct mf_error *err;
};

static bool take(struct reading *r, const char *s)
{
    size_t n = strlen(s);
    while (r->p < r->end && *r->p == ' ') {
        r->p++;
    }
    bool is = (size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0;
    r->p += is ? n : 0;
    return is;
}

/* Up to the closing quote, which is past. */
static bool take_quoted(struct reading *r, char quote)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == quote && (r->p + 1 == r->end || r->p[1] != quote)) {
            r->p++;
            return true;
        }
        r->p += *r->p == quote;
        mf_buf_putc(&r->text, *r->p);
    }
    return false;
}

static int no_value(struct reading *r)
{
    return mf_fail(r->err, MF_ROW, "MFVALUE", "a collection is not in this database's own form");
}

static int read_scalar(struct reading *r, const struct mf_type *t, bool key)
{
    mf_buf_reset(&r->text);
    if (take(r, "'")) {
        if (!take_quoted(r, '\'')) {
            return no_value(r);
        }
    } else {
        while (r->p < r->end && !strchr(",:]} ", *r->p) && *r->p) {
            mf_buf_putc(&r->text, *r->p++);
        }
    }
    const struct mf_value own = {.kind = MF_TEXT, .len = (uint32_t)r->text.len, .data = mf_buf_str(&r->text)};
    struct mf_value canon = own;
    if (t->kind != MF_KIND_BYTES && cass_to_canon(t, r->arena, &own, &canon, r->err) < 0) {
        return -1;
    }
    if (key) {
        mf_document_put_key(r->out, t, &canon);
    } else {
        mf_document_put(r->out, t, &canon);
    }
    return 0;
}

/* The field whose name comes next, which is written. NULL: the type has none such. */
static const struct mf_type *read_field(struct reading *r, const struct mf_type *t)
{
    mf_buf_reset(&r->text);
    if (take(r, "\"")) {
        if (!take_quoted(r, '"')) {
            return NULL;
        }
    } else {
        while (r->p < r->end && *r->p != ':' && *r->p != ' ') {
            mf_buf_putc(&r->text, *r->p++);
        }
    }
    for (uint16_t i = 0; i < t->nparts; i++) {
        if (mf_streq(t->labels[i], mf_buf_str(&r->text))) {
            mf_buf_putc(r->out, '"');
            mf_json_escape(r->out, t->labels[i], strlen(t->labels[i]));
            mf_buf_putc(r->out, '"');
            return &t->parts[i];
        }
    }
    return NULL;
}

static int read_value(struct reading *r, const struct mf_type *t)
{
    bool list = t->shape == MF_SHAPE_LIST, brackets = list || t->shape == MF_SHAPE_SET;
    if (take(r, "null")) {
        mf_buf_puts(r->out, "null");
        return 0;
    }
    if (t->shape == MF_SHAPE_NONE) {
        return read_scalar(r, t, false);
    }
    if (!take(r, list ? "[" : "{")) {
        return no_value(r);
    }
    mf_buf_putc(r->out, brackets ? '[' : '{');
    for (size_t n = 0; !take(r, list ? "]" : "}"); n++) {
        const struct mf_type *part = &t->parts[t->shape == MF_SHAPE_MAP];
        if ((n && !take(r, ",")) || r->p == r->end) {
            return no_value(r);
        }
        mf_buf_puts(r->out, n ? "," : "");
        if (t->shape == MF_SHAPE_MAP && read_scalar(r, &t->parts[0], true) < 0) {
            return -1;
        }
        if (t->shape == MF_SHAPE_RECORD && !(part = read_field(r, t))) {
            return no_value(r);
        }
        if (!brackets && !take(r, ":")) {
            return no_value(r);
        }
        mf_buf_puts(r->out, brackets ? "" : ":");
        if (read_value(r, part) < 0) {
            return -1;
        }
    }
    mf_buf_putc(r->out, brackets ? ']' : '}');
    return 0;
}

int cass_document_to(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                     struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = DOCUMENT_MAX};
    struct reading r = {.p = in->data,
                        .end = in->data + in->len,
                        .arena = arena,
                        .out = &out,
                        .text = {.max = DOCUMENT_MAX},
                        .err = err};
    int rc = read_value(&r, t);
    rc = rc == 0 && r.p != r.end ? no_value(&r) : rc;
    mf_buf_free(&r.text);
    if (rc < 0) {
        return -1;
    }
    const char *kept = mf_buf_ok(&out) ? mf_memdup_a(arena, mf_buf_str(&out), out.len) : NULL; /* ret is a view of it */
    return kept ? mf_document_canon(t, arena, kept, out.len, ret, err) : mf_canon_no_memory(err);
}
