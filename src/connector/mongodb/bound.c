/* Ranges of `_id`: see bound.h. */
#include "connector/mongodb/bound.h"

#include "base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NUMBERS 2

/* Every type there is, in the order of the server. */
static const struct {
    int code; /* what $type calls it */
    int bracket;
    unsigned known; /* by whom, one bit each */
} types[] = {
    {-1, 0, 1 << MONGO_GENUINE | 1 << MONGO_OTHER},
    {6, 1, 1 << MONGO_GENUINE}, /* undefined */
    {10, 1, 7},
    {1, NUMBERS, 7},
    {16, NUMBERS, 7},
    {18, NUMBERS, 7},
    {19, NUMBERS, 1 << MONGO_GENUINE | 1 << MONGO_OTHER},
    {2, 3, 7},
    {14, 3, 1 << MONGO_GENUINE}, /* symbol */
    {3, 4, 7},
    {4, 5, 1 << MONGO_GENUINE}, /* array */
    {5, 6, 7},
    {7, 7, 7},
    {8, 8, 7},
    {9, 9, 7},
    {17, 10, 7},
    {11, 11, 1 << MONGO_GENUINE}, /* regular expression */
    {12, 12, 1 << MONGO_GENUINE}, /* DBPointer */
    {13, 13, 1 << MONGO_GENUINE}, /* code */
    {15, 14, 1 << MONGO_GENUINE}, /* code with a scope */
    {127, 15, 1 << MONGO_GENUINE | 1 << MONGO_OTHER},
};

int mongo_bracket(bson_type_t type)
{
    int code = type == BSON_TYPE_MINKEY ? -1 : (int)type;
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (types[i].code == code) {
            return types[i].bracket;
        }
    }
    return -1;
}

/* ---- texts ---- */

static bool bounds(enum mongo_speaks who, const bson_iter_t *id)
{
    switch (bson_iter_type(id)) {
    case BSON_TYPE_DOUBLE:
        return isfinite(bson_iter_double(id));
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_UTF8:
    case BSON_TYPE_OID:
        return true;
    case BSON_TYPE_DECIMAL128: {
        bson_decimal128_t d;
        char text[BSON_DECIMAL128_STRING];
        bson_iter_decimal128(id, &d);
        bson_decimal128_to_string(&d, text);
        return !strpbrk(text, "Nn"); /* NaN, Infinity */
    }
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_BINARY:
    case BSON_TYPE_DATE_TIME:
    case BSON_TYPE_TIMESTAMP:
        return who != MONGO_OTHER;
    default:
        return false;
    }
}

bool mongo_bound_put(enum mongo_speaks who, const bson_iter_t *id, char out[MF_CHUNK_BOUND])
{
    bson_t document = BSON_INITIALIZER, back;
    struct mf_error ignored = {0};
    bool fits = false;
    size_t n = 0;
    if (bounds(who, id) && bson_append_iter(&document, "_id", 3, id)) {
        char *text = bson_as_canonical_extended_json(&document, &n);
        fits = text && n < MF_CHUNK_BOUND;
        if (fits) {
            memcpy(out, text, n + 1);
        }
        bson_free(text);
        fits = fits && mongo_bound_get(out, &back, &ignored) == 0;
        if (fits) {
            fits = bson_equal(&document, &back);
            bson_destroy(&back);
        }
    }
    bson_destroy(&document);
    return fits;
}

int mongo_bound_get(const char *text, bson_t *ret, struct mf_error *err)
{
    bson_error_t e = {0};
    bson_iter_t id;
    bson_t b;
    if (bson_init_from_json(&b, text, -1, &e)) {
        if (bson_iter_init_find(&id, &b, "_id") && bson_count_keys(&b) == 1 &&
            mongo_bracket(bson_iter_type(&id)) >= 0) {
            bson_copy_to(&b, ret);
            bson_destroy(&b);
            return 0;
        }
        bson_destroy(&b);
    }
    return mf_fail(err, MF_FATAL, "MFCHUNK", "\"%.100s\" is no _id: it is no bound of a chunk here", text);
}

/* ---- filters ---- */

/* {_id: {$gte: lower, $lt: upper}}, either may be NULL. */
static void put_range(enum mongo_speaks who, const bson_iter_t *lower, const bson_iter_t *upper, bson_t *ret)
{
    bson_t range;
    bson_append_document_begin(ret, "_id", 3, &range);
    if (lower) {
        bson_append_iter(&range, "$gte", 4, lower);
    }
    if (upper) {
        bson_append_iter(&range, "$lt", 3, upper);
    }
    if (who == MONGO_OTHER && lower && mongo_bracket(bson_iter_type(lower)) == NUMBERS) {
        bson_append_double(&range, "$ne", 3, (double)NAN); /* others may take it for the greatest of numbers */
    }
    bson_append_document_end(ret, &range);
}

/* The types behind `after` and before `before`; false: there are none. */
static bool put_types(enum mongo_speaks who, int after, int before, bson_t *ret)
{
    bson_t what, list;
    char at[16];
    unsigned n = 0;
    bson_append_document_begin(ret, "_id", 3, &what);
    bson_append_array_begin(&what, "$type", 5, &list);
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (types[i].bracket > after && types[i].bracket < before && types[i].known & 1u << who) {
            snprintf(at, sizeof at, "%u", n++);
            bson_append_int32(&list, at, -1, types[i].code);
        }
    }
    bson_append_array_end(&what, &list);
    bson_append_document_end(ret, &what);
    return n > 0;
}

struct alternatives {
    bson_t *list;
    unsigned n;
};

static void add(struct alternatives *a, const bson_t *one)
{
    char at[16];
    snprintf(at, sizeof at, "%u", a->n++);
    bson_append_document(a->list, at, -1, one);
}

static void add_range(struct alternatives *a, enum mongo_speaks who, const bson_iter_t *lower, const bson_iter_t *upper)
{
    bson_t one = BSON_INITIALIZER;
    put_range(who, lower, upper, &one);
    add(a, &one);
    bson_destroy(&one);
}

static void put_several(enum mongo_speaks who, const bson_iter_t *lower, const bson_iter_t *upper, bson_t *ret)
{
    bson_t list, one = BSON_INITIALIZER;
    struct alternatives a = {.list = &list};
    int after = lower ? mongo_bracket(bson_iter_type(lower)) : -1;
    int before = upper ? mongo_bracket(bson_iter_type(upper)) : 16;
    bson_append_array_begin(ret, "$or", 3, &list);
    if (lower) {
        add_range(&a, who, lower, NULL);
    }
    if (put_types(who, after, before, &one)) {
        add(&a, &one);
    }
    if (upper && before == NUMBERS && who != MONGO_FERRET) {
        bson_reinit(&one);
        bson_append_double(&one, "_id", 3, (double)NAN);
        add(&a, &one);
    }
    if (upper) {
        add_range(&a, who, NULL, upper);
    }
    bson_append_array_end(ret, &list);
    bson_destroy(&one);
}

static int put_filter(enum mongo_speaks who, const bson_t *lower, const bson_t *upper, bson_t *ret,
                      struct mf_error *err)
{
    bson_iter_t from, to;
    bool has_from = lower && bson_iter_init_find(&from, lower, "_id");
    bool has_to = upper && bson_iter_init_find(&to, upper, "_id");
    if (has_from && has_to) {
        int after = mongo_bracket(bson_iter_type(&from)), before = mongo_bracket(bson_iter_type(&to));
        if (after > before) {
            return mf_fail(err, MF_FATAL, "MFCHUNK", "the bounds of a chunk are the wrong way round");
        }
        if (after == before) {
            put_range(who, &from, &to, ret);
            return 0;
        }
    }
    if (has_from || has_to) {
        put_several(who, has_from ? &from : NULL, has_to ? &to : NULL, ret);
    }
    return 0;
}

int mongo_range_filter(enum mongo_speaks who, const struct mf_chunk *c, bson_t *ret, struct mf_error *err)
{
    bson_t lower = BSON_INITIALIZER, upper = BSON_INITIALIZER;
    int rc = c->has_lower ? mongo_bound_get(c->lower, &lower, err) : 0;
    rc = rc == 0 && c->has_upper ? mongo_bound_get(c->upper, &upper, err) : rc;
    rc = rc < 0 ? -1 : put_filter(who, c->has_lower ? &lower : NULL, c->has_upper ? &upper : NULL, ret, err);
    bson_destroy(&lower);
    bson_destroy(&upper);
    return rc;
}
