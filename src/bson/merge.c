/*
 * A wanted normal form put into a document as it is.
 *
 * Three documents are walked together: the one that is there, its normal form, and the one that is wanted. Wherever the last two are the same bytes, what is there means what
 * is wanted, and stays as it is, to the byte: also a field that is missing where the normal form has a default. Elsewhere a sub-document or a list is gone into, so that
 * ignored fields in it stay, and a value is replaced. Where the map refuses what is there, it has no normal form, and everything but what is ignored is replaced.
 */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct merge {
    struct mf_arena *arena;
    struct mf_buf *b;
    bool full;
};

/* The elements of a document, to be found by name. */
struct fields {
    size_t n;
    struct elem *e;
    const struct elem **sorted; /* NULL: few, or an array */
    size_t hint;
};

#define FEW 12

static int compare_keys(const struct elem *a, const char *key, uint32_t n)
{
    int d = memcmp(a->key, key, a->nkey < n ? a->nkey : n);
    return d ? d : (a->nkey > n) - (a->nkey < n);
}

static int compare_elems(const void *a, const void *b)
{
    const struct elem *x = *(const struct elem *const *)a, *y = *(const struct elem *const *)b;
    return compare_keys(x, y->key, y->nkey);
}

/* document NULL: none. */
static void load(struct merge *m, const uint8_t *document, bool keyed, struct fields *ret)
{
    struct elem_walk w;
    struct elem e;
    *ret = (struct fields){0};
    if (!document) {
        return;
    }
    elem_begin(&w, document);
    while (elem_next(&w, &e)) {
        ret->n++;
    }
    ret->e = mf_alloc_array(m->arena, ret->n + 1, sizeof *ret->e);
    ret->sorted = keyed && ret->n > FEW ? mf_alloc_array(m->arena, ret->n, sizeof(struct elem *)) : NULL;
    if (!ret->e || (keyed && ret->n > FEW && !ret->sorted)) {
        m->full = true;
        ret->n = 0;
        return;
    }
    elem_begin(&w, document);
    for (size_t i = 0; elem_next(&w, &ret->e[i]); i++) {
        if (ret->sorted) {
            ret->sorted[i] = &ret->e[i];
        }
    }
    if (ret->sorted) {
        qsort(ret->sorted, ret->n, sizeof *ret->sorted, compare_elems);
    }
}

static const struct elem *find(struct fields *f, const char *key, uint32_t n)
{
    if (f->hint < f->n && compare_keys(&f->e[f->hint], key, n) == 0) {
        return &f->e[f->hint++];
    }
    for (size_t i = 0; !f->sorted && i < f->n; i++) {
        if (compare_keys(&f->e[i], key, n) == 0) {
            f->hint = i + 1;
            return &f->e[i];
        }
    }
    for (size_t low = 0, high = f->sorted ? f->n : 0; low < high;) {
        size_t middle = (low + high) / 2;
        int d = compare_keys(f->sorted[middle], key, n);
        if (d == 0) {
            f->hint = (size_t)(f->sorted[middle] - f->e) + 1;
            return f->sorted[middle];
        }
        if (d > 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static bool same(const struct elem *normal, const struct elem *wanted)
{
    return normal && wanted ? elem_same(normal, wanted) : normal == wanted;
}

static const uint8_t *document_in(const struct elem *e)
{
    return e && e->type == BSON_TYPE_DOCUMENT ? e->value : NULL;
}

static bool is_plain(const struct plan_node *n)
{
    return !n->column && !n->list && !n->ignored;
}

static void merge_fields(struct merge *m, const struct plan_node *n, const uint8_t *there, const uint8_t *normal,
                         const uint8_t *wanted);
static void merge_array(struct merge *m, const struct plan_node *element, const struct elem *there,
                        const struct elem *normal, const struct elem *wanted);
static void merge_map(struct merge *m, const struct plan_node *element, const struct elem *there,
                      const struct elem *normal, const struct elem *wanted);

/* A value that is wanted, where another is: under the key that is there. */
static void merge_value(struct merge *m, const struct plan_node *n, const struct elem *there, const struct elem *normal,
                        const struct elem *wanted)
{
    const struct plan_list *l = n ? n->list : NULL;
    if (same(normal, wanted)) {
        elem_put(m->b, there->key, there->nkey, there);
    } else if (n && (is_plain(n) || (l && l->kind == MF_DOC_ONE && is_plain(l->element))) && document_in(there) &&
               document_in(wanted)) {
        elem_put_key(m->b, BSON_TYPE_DOCUMENT, there->key, there->nkey);
        merge_fields(m, l ? l->element : n, there->value, document_in(normal), wanted->value);
    } else if (l && l->kind == MF_DOC_ONE) {
        merge_value(m, l->element, there, normal, wanted);
    } else if (l && l->kind == MF_DOC_ARRAY && there->type == BSON_TYPE_ARRAY && wanted->type == BSON_TYPE_ARRAY) {
        merge_array(m, l->element, there, normal, wanted);
    } else if (l && l->kind == MF_DOC_MAP && document_in(there) && document_in(wanted)) {
        merge_map(m, l->element, there, normal, wanted);
    } else {
        elem_put(m->b, there->key, there->nkey, wanted);
    }
}

/* What is there and not wanted: it goes, but for what the map ignores in it. */
static void merge_gone(struct merge *m, const struct plan_node *n, const struct elem *there, const struct elem *normal)
{
    size_t before = m->b->len;
    if (!n || !is_plain(n) || n->told || !document_in(there)) {
        return;
    }
    elem_put_key(m->b, BSON_TYPE_DOCUMENT, there->key, there->nkey);
    size_t at = m->b->len;
    merge_fields(m, n, there->value, document_in(normal), NULL);
    if (m->b->len == at + 5) {
        elem_cut(m->b, before);
    }
}

/* wanted NULL: nothing of it. */
static void merge_fields(struct merge *m, const struct plan_node *n, const uint8_t *there, const uint8_t *normal,
                         const uint8_t *wanted)
{
    struct fields t, in_normal, in_wanted;
    uint16_t hint = 0;
    size_t at = elem_put_begin(m->b);
    load(m, there, true, &t);
    load(m, normal, true, &in_normal);
    load(m, wanted, true, &in_wanted);
    for (size_t i = 0; i < t.n; i++) {
        const struct elem *e = &t.e[i];
        int k = plan_child(n, e->key, e->nkey, &hint);
        const struct plan_node *child = k < 0 ? NULL : n->children[k];
        const struct elem *have = find(&in_normal, e->key, e->nkey), *want = find(&in_wanted, e->key, e->nkey);
        /* Without a normal form that nothing is wanted does not mean that what is there means nothing; and where nothing of the document is wanted, what means nothing in it
         * must not keep it. */
        if ((child && child->ignored) || (normal && wanted && (child || n->open) && same(have, want))) {
            elem_put(m->b, e->key, e->nkey, e);
        } else if (want) {
            merge_value(m, child, e, have, want);
        } else {
            merge_gone(m, child, e, have);
        }
    }
    for (size_t i = 0; i < in_wanted.n; i++) {
        const struct elem *e = &in_wanted.e[i], *have = find(&in_normal, e->key, e->nkey);
        if (!find(&t, e->key, e->nkey) && !same(have, e)) {
            elem_put(m->b, e->key, e->nkey, e);
        }
    }
    elem_put_end(m->b, at);
}

/* Of each wanted element the one that is there. Without a normal form only the place says it, where as many are wanted. NULL: no memory. */
static const uint32_t *which(struct merge *m, const struct fields *there, const struct fields *normal,
                             const struct fields *wanted)
{
    uint32_t *of = mf_alloc_array(m->arena, wanted->n + 1, sizeof *of);
    if (of && normal->n == there->n) {
        of = pair_elements(m->arena, normal->e, (uint32_t)normal->n, wanted->e, (uint32_t)wanted->n, of) ? of : NULL;
    } else if (of) {
        for (size_t i = 0; i < wanted->n; i++) {
            of[i] = there->n == wanted->n ? (uint32_t)i : PAIR_NONE;
        }
    }
    m->full = m->full || !of;
    return of;
}

static void merge_array(struct merge *m, const struct plan_node *element, const struct elem *there,
                        const struct elem *normal, const struct elem *wanted)
{
    struct fields t, in_normal = {0}, in_wanted;
    char key[24];
    elem_put_key(m->b, BSON_TYPE_ARRAY, there->key, there->nkey);
    size_t at = elem_put_begin(m->b);
    load(m, there->value, false, &t);
    load(m, normal && normal->type == BSON_TYPE_ARRAY ? normal->value : NULL, false, &in_normal);
    load(m, wanted->value, false, &in_wanted);
    const uint32_t *of = which(m, &t, &in_normal, &in_wanted);
    for (size_t i = 0; of && i < in_wanted.n; i++) {
        int n = snprintf(key, sizeof key, "%zu", i);
        if (of[i] == PAIR_NONE) {
            elem_put(m->b, key, (size_t)n, &in_wanted.e[i]);
            continue;
        }
        struct elem e = t.e[of[i]];
        e.key = key;
        e.nkey = (uint32_t)n;
        merge_value(m, element, &e, in_normal.n == t.n ? &in_normal.e[of[i]] : NULL, &in_wanted.e[i]);
    }
    elem_put_end(m->b, at);
}

static void merge_map(struct merge *m, const struct plan_node *element, const struct elem *there,
                      const struct elem *normal, const struct elem *wanted)
{
    struct fields t, in_normal, in_wanted;
    elem_put_key(m->b, BSON_TYPE_DOCUMENT, there->key, there->nkey);
    size_t at = elem_put_begin(m->b);
    load(m, there->value, true, &t);
    load(m, document_in(normal), true, &in_normal);
    load(m, wanted->value, true, &in_wanted);
    for (size_t i = 0; i < t.n; i++) {
        const struct elem *e = &t.e[i], *want = find(&in_wanted, e->key, e->nkey);
        if (want) {
            merge_value(m, element, e, find(&in_normal, e->key, e->nkey), want);
        }
    }
    for (size_t i = 0; i < in_wanted.n; i++) {
        const struct elem *e = &in_wanted.e[i];
        if (!find(&t, e->key, e->nkey)) {
            elem_put(m->b, e->key, e->nkey, e);
        }
    }
    elem_put_end(m->b, at);
}

int mf_shred_merge(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *there,
                   const struct mf_value *wanted, struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    struct merge m = {.arena = arena, .b = &b};
    struct mf_error why = {0};
    struct mf_value normal = {.kind = MF_NULL};
    if (shred_not_document(err, wanted) < 0) {
        return -1;
    }
    if (shred_not_document(&why, there) < 0) {
        *ret = *wanted;
        return 0;
    }
    if (mf_shred_normal(c, arena, there, &normal, &why) < 0) {
        if (why.cls != MF_ROW) {
            return mf_fail(err, why.cls, why.code, "%s", why.text);
        }
        normal = (struct mf_value){.kind = MF_NULL};
    }
    if (mf_value_equal(&normal, wanted)) {
        *ret = *there;
        return 0;
    }
    merge_fields(&m, c->plan->root, (const uint8_t *)there->data,
                 normal.kind == MF_NULL ? NULL : (const uint8_t *)normal.data, (const uint8_t *)wanted->data);
    char *copy = mf_buf_ok(&b) && !m.full ? mf_memdup_a(arena, b.data, b.len) : NULL;
    if (!mf_buf_ok(&b)) {
        return mf_fail(err, MF_ROW, "MFDOC", "with what the map ignores the document is larger than %zu bytes",
                       MF_DOC_BYTES);
    }
    if (!copy) {
        return shred_no_memory(err);
    }
    *ret = (struct mf_value){MF_BINARY, (uint32_t)b.len, copy};
    return 0;
}
