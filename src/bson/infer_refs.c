/* Values that may be ids of other documents: a sample of each path's, and whether they are found where its name or its type says. */
#include "bson/infer_internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define REFS_MOST 1000 /* candidates that are asked about */

static bool may_refer(uint8_t t)
{
    return t == BSON_TYPE_OID || t == BSON_TYPE_UTF8 || t == BSON_TYPE_INT32 || t == BSON_TYPE_INT64 ||
           t == BSON_TYPE_BINARY;
}

/* A reservoir: each value of all has the same chance to be in it. The dice are always the same. */
static void put(struct infer_refs *r, const struct infer_ref *one)
{
    r->seen++;
    for (unsigned i = 0; i < r->n; i++) {
        if (r->all[i].type == one->type && r->all[i].len == one->len &&
            memcmp(r->all[i].bytes, one->bytes, one->len) == 0) {
            return;
        }
    }
    if (r->n < MF_INFER_REFS) {
        r->all[r->n++] = *one;
        return;
    }
    r->dice = r->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t at = (r->dice >> 33) % r->seen;
    if (at < MF_INFER_REFS) {
        r->all[at] = *one;
    }
}

void infer_refs_add(struct infer_refs **r, const struct elem *e)
{
    if (!may_refer(e->type) || e->len > MF_INFER_REF) {
        return;
    }
    *r = *r ? *r : mf_xcalloc(1, sizeof **r);
    if ((*r)->n == MF_INFER_REFS && (*r)->seen > 1000 &&
        (*r)->seen % 16) { /* thinned out: it costs as much as all the rest */
        (*r)->seen++;
        return;
    }
    struct infer_ref one = {.type = e->type, .len = (uint8_t)e->len};
    memcpy(one.bytes, e->value, e->len);
    put(*r, &one);
}

void infer_refs_merge(struct infer_refs **into, const struct infer_refs *from)
{
    if (!from) {
        return;
    }
    *into = *into ? *into : mf_xcalloc(1, sizeof **into);
    for (unsigned i = 0; i < from->n; i++) {
        put(*into, &from->all[i]);
    }
    (*into)->seen += from->seen - from->n;
}

/* ---- names ---- */

/* Letters and digits in lower case, without an ending that says "id", "ids", "ref". */
static void stem(const char *name, size_t n, char out[static 64])
{
    size_t k = 0;
    for (size_t i = 0; i < n && k < 63; i++) {
        if (isalnum((unsigned char)name[i])) {
            out[k++] = (char)tolower((unsigned char)name[i]);
        }
    }
    out[k] = '\0';
    static const char *const ends[] = {"ids", "id", "refs", "ref", "oid"};
    for (size_t i = 0; i < MF_ARRAY_LEN(ends); i++) {
        size_t e = strlen(ends[i]);
        if (k > e && mf_ends_with(out, ends[i])) {
            out[k - e] = '\0';
            return;
        }
    }
}

/* "user" of "users", "category" of "categories", "box" of "boxes". */
static bool is_plural(const char *one, const char *many)
{
    size_t n = strlen(one), m = strlen(many);
    if (mf_streq(one, many)) {
        return true;
    }
    if (strncmp(one, many, n) == 0) {
        return mf_streq(many + n, "s") || mf_streq(many + n, "es");
    }
    return n > 1 && one[n - 1] == 'y' && m == n + 2 && strncmp(one, many, n - 1) == 0 && mf_streq(many + n - 1, "ies");
}

/* The name of the field whose values these are. */
static const struct mf_infer_path *named(const struct mf_infer_path *p)
{
    while (p->above && p->kind != MF_INFER_FIELD) {
        p = p->above;
    }
    return p;
}

static bool names(const struct mf_infer_path *p, const struct mf_infer_collection *c)
{
    char one[64], many[64], above[64];
    const struct mf_infer_path *of = named(p);
    if (!of->name) {
        return false;
    }
    stem(of->name, of->nname, one);
    stem(c->name, strlen(c->name), many);
    if (one[0] && is_plural(one, many)) {
        return true;
    }
    /* user: {_id: …}, user: {id: …} */
    const struct mf_infer_path *owner = of->above ? named(of->above) : NULL;
    if (owner && owner->name && (mf_streq(of->name, "_id") || mf_streq(of->name, "id"))) {
        stem(owner->name, owner->nname, above);
        return above[0] && is_plural(above, many);
    }
    return false;
}

/* ---- candidates ---- */

struct refer {
    const struct mf_infer *f;
    const struct mf_infer_collection *from;
    mf_infer_find *find;
    void *ctx;
    struct mf_infer_references *ret;
    size_t asked;
    struct mf_error *err;
};

static const struct mf_infer_path *id_of(const struct mf_infer_collection *c)
{
    for (uint32_t i = 0; i < c->root->nfields; i++) {
        if (mf_streq(c->root->fields[i]->name, "_id")) {
            return c->root->fields[i];
        }
    }
    return NULL;
}

/* Of its types one that the ids have too. */
static bool same_types(const struct mf_infer_path *p, const struct mf_infer_path *id, bool telling)
{
    const uint8_t types[] = {BSON_TYPE_OID, BSON_TYPE_UTF8, BSON_TYPE_BINARY};
    bool numbers = p->numbers.ints && (id->numbers.ints || id->numbers.whole);
    if (telling) {
        return (p->types[BSON_TYPE_OID] && id->types[BSON_TYPE_OID]) ||
               (p->types[BSON_TYPE_BINARY] && id->types[BSON_TYPE_BINARY]);
    }
    for (size_t i = 0; i < sizeof types; i++) {
        if (p->types[types[i]] && id->types[types[i]]) {
            return true;
        }
    }
    return numbers;
}

static int ask(struct refer *r, const struct mf_infer_path *p, const struct mf_infer_collection *c, bool is_named,
               struct mf_infer_reference *ret)
{
    struct mf_value ids[MF_INFER_REFS] = {0};
    struct mf_buf bytes[MF_INFER_REFS];
    size_t found = 0;
    unsigned n = p->refs->n;
    for (unsigned i = 0; i < n; i++) {
        bytes[i] = (struct mf_buf){.max = 128};
        size_t at = elem_put_begin(&bytes[i]);
        elem_put_key(&bytes[i], p->refs->all[i].type, "_id", 3);
        mf_buf_append(&bytes[i], p->refs->all[i].bytes, p->refs->all[i].len);
        elem_put_end(&bytes[i], at);
        ids[i] = (struct mf_value){MF_BINARY, (uint32_t)bytes[i].len, bytes[i].data};
    }
    int rc = r->find(r->ctx, c->database, c->name, ids, n, &found, r->err);
    for (unsigned i = 0; i < n; i++) {
        mf_buf_free(&bytes[i]);
    }
    *ret = (struct mf_infer_reference){
        .from = r->from, .to = c, .path = p, .looked = n, .orphans = n - found, .named = is_named};
    return rc;
}

/* The collection where most of the sample is found; of those that are as good, the one the name says. */
static int look(struct refer *r, const struct mf_infer_path *p)
{
    struct mf_infer_reference best = {0}, one;
    for (size_t i = 0; i < r->f->n && r->asked < REFS_MOST; i++) {
        const struct mf_infer_collection *c = r->f->collections[i];
        const struct mf_infer_path *id = id_of(c);
        bool is_named = names(p, c);
        if (!id || !same_types(p, id, !is_named)) {
            continue;
        }
        r->asked++;
        if (ask(r, p, c, is_named, &one) < 0) {
            return -1;
        }
        if (one.orphans < one.looked &&
            (!best.looked || one.orphans < best.orphans || (one.orphans == best.orphans && is_named && !best.named))) {
            best = one;
        }
    }
    if (best.looked) {
        r->ret->all = mf_xreallocarray(r->ret->all, r->ret->n + 1, sizeof best);
        r->ret->all[r->ret->n++] = best;
    }
    return 0;
}

static int walk(struct refer *r, const struct mf_infer_path *p)
{
    bool own_id = p->above && !p->above->above && mf_streq(p->name, "_id");
    int rc = p->refs && p->refs->n && !own_id ? look(r, p) : 0;
    for (uint32_t i = 0; rc == 0 && i < p->nfields; i++) {
        rc = walk(r, p->fields[i]);
    }
    rc = rc == 0 && p->element ? walk(r, p->element) : rc;
    return rc == 0 && p->any ? walk(r, p->any) : rc;
}

int mf_infer_refer(const struct mf_infer *f, mf_infer_find *find, void *ctx, struct mf_infer_references *ret,
                   struct mf_error *err)
{
    struct mf_infer_references found = {0};
    struct refer r = {.f = f, .find = find, .ctx = ctx, .ret = &found, .err = err};
    for (size_t i = 0; i < f->n; i++) {
        r.from = f->collections[i];
        if (walk(&r, r.from->root) < 0) {
            mf_infer_references_free(&found);
            return -1;
        }
    }
    *ret = found;
    return 0;
}

void mf_infer_references_free(struct mf_infer_references *r)
{
    free(r->all);
    *r = (struct mf_infer_references){0};
}
