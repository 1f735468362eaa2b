/*
 * Objects whose keys are data: `settings: {"theme": …, "lang": …}` has two fields, `scores: {"4711": …, "4712": …}` has one column of values and a key.
 *
 * Which it is shows in how often a key comes back. While documents are read an object is folded when it has many keys of which few are in each
 * document (so that their number stays small), at the end also one with fewer. Values of unlike types need more of that: a wide document of few fields each is no map. Folding puts all that was seen of the fields into one path; it is not undone.
 */
#include "bson/infer_internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define FOLD_MANY  64   /* fields, of like values, from which on an object is folded while it is read */
#define FOLD_MORE  400  /* the same whatever the values are */
#define FOLD_FEW   8    /* at the end */
#define FOLD_PART  0.4  /* of the objects have a field, on average: fewer is data */
#define FOLD_RARE  0.05 /* the same, of unlike values */
#define FOLD_NAMES 3    /* keys that all look like data */

enum like { LIKE_NONE, LIKE_NUMBER, LIKE_TEXT, LIKE_DOCUMENT, LIKE_ARRAY, LIKE_OTHER };

/* What kind of values are there, as one bit each. */
static unsigned likes(const struct mf_infer_path *p)
{
    unsigned bits = 0;
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        if (!p->types[t] || t == BSON_TYPE_NULL) {
            continue;
        }
        bits |= t == BSON_TYPE_INT32 || t == BSON_TYPE_INT64 || t == BSON_TYPE_DOUBLE || t == BSON_TYPE_DECIMAL128
                    ? 1U << LIKE_NUMBER
                : t == BSON_TYPE_UTF8     ? 1U << LIKE_TEXT
                : t == BSON_TYPE_DOCUMENT ? 1U << LIKE_DOCUMENT
                : t == BSON_TYPE_ARRAY    ? 1U << LIKE_ARRAY
                                          : 1U << (LIKE_OTHER + t);
    }
    return bits;
}

static bool is_data(const char *s, uint32_t n)
{
    size_t digits = strspn(s, "0123456789-_.:/TZ"), hex = strspn(s, "0123456789abcdefABCDEF-");
    bool number = false;
    for (uint32_t i = 0; i < n; i++) {
        number = number || (s[i] >= '0' && s[i] <= '9');
    }
    return (number && digits == n) || (number && hex == n && n >= 16) || memchr(s, '@', n);
}

bool infer_folds(const struct mf_infer_path *p, bool last)
{
    uint64_t objects = p->types[BSON_TYPE_DOCUMENT], there = 0;
    unsigned bits = 0;
    bool data = true;
    if (!p->above || (mf_streq(p->name, "_id") && !p->above->above) || p->any || p->nfields < FOLD_NAMES ||
        (!last && p->nfields < FOLD_MANY)) {
        return false;
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        there += p->fields[i]->there;
        bits |= likes(p->fields[i]);
        data = data && is_data(p->fields[i]->name, p->fields[i]->nname);
    }
    bool alike = (bits & (bits - 1)) == 0;
    bool rare = (double)there < FOLD_PART * (double)p->nfields * (double)objects;
    bool rarer = (double)there < FOLD_RARE * (double)p->nfields * (double)objects;
    return (data && (alike || p->nfields >= FOLD_MANY)) || (rare && alike && p->nfields >= FOLD_FEW) ||
           (rarer && p->nfields >= FOLD_MANY) || (rare && p->nfields >= FOLD_MORE);
}

void infer_fold(struct mf_infer *f, struct mf_infer_path *p)
{
    struct mf_infer_path **fields = p->fields;
    uint32_t n = p->nfields;
    p->fields = NULL;
    p->nfields = p->cap = 0;
    free(p->index);
    p->index = NULL;
    p->nindex = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct mf_infer_path *one = fields[i];
        if (!p->any) { /* the first becomes it, so that no place is needed; its own values are not told apart by document any more */
            p->any = infer_path_new(f, p, MF_INFER_ANY, NULL, 0);
        }
        infer_key_add(f, p->any, one->name, one->nname);
        infer_path_merge(f, p->any, one);
        infer_path_free(f, one);
    }
    free(fields);
}

static void widest(struct mf_infer_path *p, struct mf_infer_path **best)
{
    bool may = p->above && !(mf_streq(p->name, "_id") && !p->above->above) && p->nfields > 1;
    if (may && (!*best || p->nfields > (*best)->nfields)) {
        *best = p;
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        widest(p->fields[i], best);
    }
    if (p->element) {
        widest(p->element, best);
    }
    if (p->any) {
        widest(p->any, best);
    }
}

void infer_fold_widest(struct mf_infer *f)
{
    struct mf_infer_path *best = NULL;
    for (size_t i = 0; i < f->n; i++) {
        widest(f->collections[i]->root, &best);
    }
    if (best) {
        infer_fold(f, best);
    }
}

void infer_fold_all(struct mf_infer *f, struct mf_infer_path *p)
{
    for (uint32_t i = 0; i < p->nfields; i++) {
        infer_fold_all(f, p->fields[i]);
    }
    if (p->element) {
        infer_fold_all(f, p->element);
    }
    if (p->any) {
        infer_fold_all(f, p->any);
    }
    if (infer_folds(p, true)) {
        infer_fold(f, p);
    }
}
