/*
 * Documents walked, each value counted at its path.
 *
 * A document is checked whole before (elem_check): what no map takes is a fault and nothing of it is counted, so that what is proposed is proposed for documents that can be taken.
 *
 * A path is a node of a tree. Fields stand in the order they were first seen, and the next field of a document is looked for behind the last one: documents of one
 * program have theirs in one order. A path that finds no place leaves its object as it is folded, or is only counted; the widest object of all is
 * folded before the next document. No object above the one that is walked is ever folded meanwhile, since the walk holds its fields.
 */
#include "bson/infer_internal.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/shred.h"
#include "bson/types.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define INDEXED  8    /* fields, from which on they are found by their hash */
#define TOP_MOST 1000 /* fields of a collection's documents themselves; no table has more */

struct mf_infer *mf_infer_new(const struct mf_infer_options *o)
{
    struct mf_infer *f = mf_xcalloc(1, sizeof *f);
    f->paths_most = o && o->paths ? o->paths : MF_INFER_PATHS;
    f->unique_most = o && o->unique_bytes ? o->unique_bytes : MF_INFER_UNIQUE_BYTES;
    return f;
}

void mf_infer_free(struct mf_infer *f)
{
    for (size_t i = 0; f && i < f->n; i++) {
        infer_path_free(f, f->collections[i]->root);
        free(f->collections[i]->database);
        free(f->collections[i]->name);
        free(f->collections[i]);
    }
    if (f) {
        free(f->collections);
        free(f);
    }
}

struct mf_infer_path *infer_path_new(struct mf_infer *f, struct mf_infer_path *above, enum mf_infer_kind kind,
                                     const char *name, uint32_t n)
{
    struct mf_infer_path *p = mf_xcalloc(1, sizeof *p);
    p->above = above;
    p->kind = kind;
    p->name = kind == MF_INFER_FIELD && above ? mf_xmemdup(name, n) : NULL;
    p->nname = n;
    f->paths++;
    f->made++;
    return p;
}

void infer_path_free(struct mf_infer *f, struct mf_infer_path *p)
{
    if (!p) {
        return;
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        infer_path_free(f, p->fields[i]);
    }
    infer_path_free(f, p->element);
    infer_path_free(f, p->any);
    infer_values_free(f, p->values);
    infer_values_free(f, p->keys);
    free(p->fields);
    free(p->index);
    free(p->refs);
    free(p->name);
    free(p);
    f->paths--;
}

struct mf_infer_collection *mf_infer_collection(struct mf_infer *f, const char *database, const char *collection)
{
    for (size_t i = 0; i < f->n; i++) {
        if (mf_streq(f->collections[i]->name, collection) && mf_streq(f->collections[i]->database, database)) {
            return f->collections[i];
        }
    }
    struct mf_infer_collection *c = mf_xcalloc(1, sizeof *c);
    c->database = mf_xstrdup(database);
    c->name = mf_xstrdup(collection);
    c->root = infer_path_new(f, NULL, MF_INFER_FIELD, NULL, 0);
    f->collections = mf_xreallocarray(f->collections, f->n + 1, sizeof(struct mf_infer_collection *));
    f->collections[f->n++] = c;
    return c;
}

size_t mf_infer_count(const struct mf_infer *f)
{
    return f->n;
}

const struct mf_infer_collection *mf_infer_at(const struct mf_infer *f, size_t i)
{
    return f->collections[i];
}

size_t mf_infer_paths(const struct mf_infer *f)
{
    return f->paths;
}

/* ---- fields ---- */

static bool is_named(const struct mf_infer_path *p, const char *name, uint32_t n)
{
    return p->nname == n && memcmp(p->name, name, n) == 0;
}

static void index_put(struct mf_infer_path *object, uint32_t field)
{
    const struct mf_infer_path *p = object->fields[field];
    uint32_t at = (uint32_t)XXH3_64bits(p->name, p->nname) & (object->nindex - 1);
    while (object->index[at]) {
        at = (at + 1) & (object->nindex - 1);
    }
    object->index[at] = field + 1;
}

static void index_make(struct mf_infer_path *object)
{
    free(object->index);
    object->nindex = object->cap * 2;
    object->index = mf_xcalloc(object->nindex, sizeof *object->index);
    for (uint32_t i = 0; i < object->nfields; i++) {
        index_put(object, i);
    }
}

static int64_t find(const struct mf_infer_path *object, const char *name, uint32_t n)
{
    if (!object->index) {
        for (uint32_t i = 0; i < object->nfields; i++) {
            if (is_named(object->fields[i], name, n)) {
                return i;
            }
        }
        return -1;
    }
    uint32_t at = (uint32_t)XXH3_64bits(name, n) & (object->nindex - 1);
    for (; object->index[at]; at = (at + 1) & (object->nindex - 1)) {
        if (is_named(object->fields[object->index[at] - 1], name, n)) {
            return object->index[at] - 1;
        }
    }
    return -1;
}

static struct mf_infer_path *append(struct mf_infer *f, struct mf_infer_path *object, const char *name, uint32_t n)
{
    struct mf_infer_path *p = infer_path_new(f, object, MF_INFER_FIELD, name, n);
    if (object->nfields == object->cap) {
        object->cap = object->cap ? object->cap * 2 : 4;
        object->fields = mf_xreallocarray(object->fields, object->cap, sizeof(struct mf_infer_path *));
        object->fields[object->nfields++] = p;
        if (object->cap >= 2 * INDEXED) {
            index_make(object);
        }
        return p;
    }
    object->fields[object->nfields++] = p;
    if (object->index) {
        index_put(object, object->nfields - 1);
    }
    return p;
}

static bool is_id(const struct mf_infer_path *p)
{
    return p->above && !p->above->above && mf_streq(p->name, "_id");
}

struct mf_infer_path *infer_field(struct mf_infer *f, struct mf_infer_path *object, const char *name, uint32_t n,
                                  uint32_t *hint)
{
    if (object->any) {
        infer_key_add(f, object->any, name, n);
        return object->any;
    }
    if (*hint < object->nfields && is_named(object->fields[*hint], name, n)) {
        return object->fields[(*hint)++];
    }
    int64_t at = find(object, name, n);
    if (at >= 0) {
        *hint = (uint32_t)at + 1;
        return object->fields[at];
    }
    bool full = f->paths >= f->paths_most;
    bool may_fold = object->above && !is_id(object) && object->nfields > 1;
    if (infer_folds(object, false) || (full && may_fold)) {
        infer_fold(f, object);
        infer_key_add(f, object->any, name, n);
        return object->any;
    }
    if (full || (!object->above && object->nfields >= TOP_MOST)) {
        f->full = f->full || full;
        object->others++;
        return NULL;
    }
    *hint = object->nfields + 1;
    return append(f, object, name, n);
}

void infer_key_add(struct mf_infer *f, struct mf_infer_path *any, const char *name, uint32_t n)
{
    uint64_t chars = 0;
    for (uint32_t i = 0; i < n; i++) {
        chars += ((uint8_t)name[i] & 0xc0) != 0x80;
    }
    any->key_chars = any->key_chars > chars ? any->key_chars : chars;
    infer_values_add(f, &any->keys, XXH3_64bits(name, n), false);
}

/* ---- documents ---- */

struct walk {
    struct mf_infer *f;
    struct mf_infer_collection *c;
};

static void walk_value(const struct walk *w, struct mf_infer_path *p, const struct elem *e, unsigned depth);

static void walk_object(const struct walk *w, struct mf_infer_path *p, const uint8_t *document, unsigned depth)
{
    struct elem_walk at;
    struct elem e;
    uint32_t hint = 0;
    uint64_t n = 0;
    w->c->depth = w->c->depth > depth ? w->c->depth : depth;
    elem_begin(&at, document);
    while (elem_next(&at, &e)) {
        struct mf_infer_path *field = infer_field(w->f, p, e.key, e.nkey, &hint);
        n++;
        if (field) {
            walk_value(w, field, &e, depth);
        }
    }
    p->objects.empty += n == 0;
    p->objects.fields = p->objects.fields > n ? p->objects.fields : n;
}

static void walk_array(const struct walk *w, struct mf_infer_path *p, const uint8_t *array, unsigned depth)
{
    struct mf_infer_arrays *s = &p->arrays;
    struct elem_walk at;
    struct elem e;
    uint64_t n = 0;
    w->c->depth = w->c->depth > depth ? w->c->depth : depth;
    elem_begin(&at, array);
    while (elem_next(&at, &e)) {
        n++;
        if (!p->element && w->f->paths >= w->f->paths_most) {
            w->f->full = true;
            p->others++;
            continue;
        }
        p->element = p->element ? p->element : infer_path_new(w->f, p, MF_INFER_ELEMENT, NULL, 0);
        walk_value(w, p->element, &e, depth);
    }
    s->min = p->types[BSON_TYPE_ARRAY] == 1 || n < s->min ? n : s->min;
    s->max = s->max > n ? s->max : n;
    s->elements += n;
    s->empty += n == 0;
}

static void walk_value(const struct walk *w, struct mf_infer_path *p, const struct elem *e, unsigned depth)
{
    infer_stats_add(w->f, p, e);
    if (e->type == BSON_TYPE_DOCUMENT) {
        walk_object(w, p, e->value, depth + 1);
    } else if (e->type == BSON_TYPE_ARRAY) {
        walk_array(w, p, e->value, depth + 1);
    }
}

static void add_id_order(struct mf_infer_collection *c, const struct elem *id)
{
    struct elem_walk at;
    struct elem e;
    uint64_t order = 1;
    elem_begin(&at, id->value);
    while (elem_next(&at, &e)) {
        order = XXH3_64bits_withSeed(e.key, e.nkey, order) | 1;
    }
    c->id_orders = c->id_orders || (c->id_order && c->id_order != order);
    c->id_order = order;
}

/* How long the text of the `_id` is (mf_bson_id_of). */
static void add_id(struct mf_infer_collection *c, const uint8_t *document)
{
    struct elem_walk at;
    struct elem e;
    elem_begin(&at, document);
    while (elem_next(&at, &e)) {
        if (e.nkey != 3 || memcmp(e.key, "_id", 3) != 0) {
            continue;
        }
        MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
        int64_t field = find(c->root, "_id", 3);
        if (field < 0 || id_put(&b, &e)) {
            return;
        }
        struct mf_infer_path *p = c->root->fields[field];
        uint64_t chars = 0;
        for (size_t i = 0; i < b.len; i++) {
            chars += ((uint8_t)b.data[i] & 0xc0) != 0x80;
        }
        p->id_chars = p->id_chars > chars ? p->id_chars : chars;
        if (e.type == BSON_TYPE_DOCUMENT) {
            add_id_order(c, &e);
        }
        return;
    }
}

/* Positions in arrays are no paths: "orders.3.sku" becomes "orders.[].sku". */
static void fold_where(const char *where, char *out, size_t n)
{
    size_t k = 0;
    while (*where && k + 3 < n) {
        size_t len = strcspn(where, "."), digits = strspn(where, "0123456789");
        if (len && digits == len) {
            out[k++] = '[';
            out[k++] = ']';
        } else {
            size_t cut = len < n - k - 2 ? len : n - k - 2;
            memcpy(out + k, where, cut);
            k += cut;
        }
        where += len;
        if (*where == '.' && k + 1 < n) {
            out[k++] = *where++;
        }
    }
    out[k] = '\0';
}

static void fault_put(struct mf_infer_collection *c, const char *why, const char *where, uint64_t documents)
{
    c->refused += documents;
    for (size_t i = 0; i < c->nfaults; i++) {
        if (mf_streq(c->faults[i].why, why) && mf_streq(c->faults[i].where, where)) {
            c->faults[i].documents += documents;
            return;
        }
    }
    if (c->nfaults < MF_INFER_FAULTS) {
        struct mf_infer_fault *f = &c->faults[c->nfaults++];
        mf_strlcpy(f->why, why, sizeof f->why);
        mf_strlcpy(f->where, where, sizeof f->where);
        f->documents = documents;
    }
}

void mf_infer_add(struct mf_infer *f, struct mf_infer_collection *c, const struct mf_value *bson)
{
    char where[ELEM_WHERE], folded[ELEM_WHERE];
    const char *why;
    const struct walk w = {f, c};
    if (!mf_value_has_bytes(bson) || elem_check(bson->data, bson->len, &why, where) < 0) {
        fold_where(mf_value_has_bytes(bson) ? where : "", folded, sizeof folded);
        fault_put(c, mf_value_has_bytes(bson) ? why : "it is no document", folded, 1);
        return;
    }
    if (f->full && f->made != f->made_then) { /* else there was nothing to fold, and there is nothing new */
        f->made_then = f->made;
        infer_fold_widest(f);
    }
    f->full = false;
    const struct elem e = elem_document(bson->data, bson->len);
    c->documents++;
    c->bytes += bson->len;
    c->largest = c->largest > bson->len ? c->largest : bson->len;
    walk_value(&w, c->root, &e, 0);
    add_id(c, e.value);
}

/* ---- merging ---- */

void infer_path_merge(struct mf_infer *f, struct mf_infer_path *into, const struct mf_infer_path *from)
{
    uint32_t hint = 0;
    infer_stats_merge(f, into, from);
    if (from->any && !into->any) {
        if (into->nfields) {
            infer_fold(f, into);
        } else {
            into->any = infer_path_new(f, into, MF_INFER_ANY, NULL, 0);
        }
    }
    for (uint32_t i = 0; i < from->nfields; i++) {
        const struct mf_infer_path *one = from->fields[i];
        struct mf_infer_path *field = infer_field(f, into, one->name, one->nname, &hint);
        if (field) {
            infer_path_merge(f, field, one);
        }
    }
    if (from->any) {
        infer_path_merge(f, into->any, from->any);
    }
    if (from->element) {
        into->element = into->element ? into->element : infer_path_new(f, into, MF_INFER_ELEMENT, NULL, 0);
        infer_path_merge(f, into->element, from->element);
    }
}

void mf_infer_merge(struct mf_infer *into, const struct mf_infer *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct mf_infer_collection *b = from->collections[i];
        struct mf_infer_collection *a = mf_infer_collection(into, b->database, b->name);
        a->documents += b->documents;
        a->bytes += b->bytes;
        a->largest = a->largest > b->largest ? a->largest : b->largest;
        a->depth = a->depth > b->depth ? a->depth : b->depth;
        for (size_t k = 0; k < b->nfaults; k++) {
            fault_put(a, b->faults[k].why, b->faults[k].where, b->faults[k].documents);
        }
        for (size_t k = 0; k < b->nfaults; k++) {
            a->refused -= b->faults[k].documents; /* counted whole, also those past MF_INFER_FAULTS */
        }
        a->refused += b->refused;
        a->id_orders = a->id_orders || b->id_orders || (a->id_order && b->id_order && a->id_order != b->id_order);
        a->id_order = a->id_order ? a->id_order : b->id_order;
        infer_path_merge(into, a->root, b->root);
    }
}

void mf_infer_finish(struct mf_infer *f)
{
    for (size_t i = 0; i < f->n; i++) {
        infer_fold_all(f, f->collections[i]->root);
    }
}

/* ---- of a path ---- */

uint64_t mf_infer_missing(const struct mf_infer_path *p)
{
    uint64_t objects = p->above ? p->above->types[BSON_TYPE_DOCUMENT] : 0;
    return p->kind == MF_INFER_FIELD && objects > p->there ? objects - p->there : 0;
}

bool mf_infer_odd_name(const struct mf_infer_path *p)
{
    return p->kind == MF_INFER_FIELD && p->above && (!p->nname || p->name[0] == '$' || strchr(p->name, '.'));
}

static bool needs_quotes(const struct mf_infer_path *p)
{
    bool plain = p->nname > 0;
    for (uint32_t i = 0; i < p->nname; i++) {
        unsigned char c = (unsigned char)p->name[i];
        plain = plain && (isalnum(c) || strchr("_-$:", c) || c >= 0x80);
    }
    return !plain;
}

void mf_infer_put_path(struct mf_buf *b, const struct mf_infer_path *p)
{
    if (!p->above) {
        return;
    }
    mf_infer_put_path(b, p->above);
    if (p->kind == MF_INFER_ELEMENT) {
        mf_buf_puts(b, "[]");
        return;
    }
    mf_buf_puts(b, b->len ? "." : "");
    if (p->kind == MF_INFER_ANY) {
        mf_buf_puts(b, "*");
    } else if (needs_quotes(p)) {
        mf_buf_putc(b, '"');
        mf_json_escape(b, p->name, p->nname);
        mf_buf_putc(b, '"');
    } else {
        mf_buf_append(b, p->name, p->nname);
    }
}
