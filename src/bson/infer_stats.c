/* What is kept of one value. */
#include "bson/infer_internal.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "bson/types.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#define DATE_LEAST  INT64_C(-62135596800000) /* 0001-01-01 */
#define DATE_MOST   INT64_C(253402300799999) /* the end of 9999 */
#define TWO_63      9223372036854775808.0
#define DIGITS_MOST 34 /* of a Decimal128 */

unsigned infer_type(uint8_t bson_type)
{
    return bson_type < MF_INFER_MIN ? bson_type : bson_type == BSON_TYPE_MAXKEY ? MF_INFER_MAX : MF_INFER_MIN;
}

const char *mf_infer_type_name(unsigned type)
{
    return elem_type_name(type < MF_INFER_MIN    ? (uint8_t)type
                          : type == MF_INFER_MAX ? (uint8_t)BSON_TYPE_MAXKEY
                                                 : (uint8_t)BSON_TYPE_MINKEY);
}

bool infer_is_scalar(uint8_t t)
{
    return t != BSON_TYPE_DOCUMENT && t != BSON_TYPE_ARRAY && t != BSON_TYPE_NULL && t != BSON_TYPE_UNDEFINED;
}

bool infer_is_single(const struct mf_infer_path *p)
{
    for (; p; p = p->above) {
        if (p->kind != MF_INFER_FIELD) {
            return false;
        }
    }
    return true;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void wider(unsigned *a, unsigned b)
{
    *a = *a > b ? *a : b;
}

/* ---- numbers ---- */

static void add_int(struct mf_infer_numbers *s, int64_t v)
{
    double d = (double)v;
    s->int_min = !s->ints || v < s->int_min ? v : s->int_min;
    s->int_max = !s->ints || v > s->int_max ? v : s->int_max;
    s->ints++;
    s->not_doubles += d >= TWO_63 || (int64_t)d != v;
}

static bool is_whole(double v)
{
    return v >= -TWO_63 && v < TWO_63 && v == floor(v) && !(v == 0 && signbit(v));
}

/* The digits of a double without writing it: m times 2^-k has k digits behind the point where m is odd. */
static void add_double_digits(struct mf_infer_numbers *s, double v)
{
    int e;
    double m = frexp(fabs(v), &e); /* m * 2^e, 0.5 <= m < 1 */
    uint64_t bits = (uint64_t)ldexp(m, 53);
    int behind = bits ? 53 - __builtin_ctzll(bits) - e : 0;
    int before = e > 0 ? (int)(e * 0.30103) + 1 : 0; /* or one more than there are */
    behind = behind > 0 ? behind : 0;
    wider(&s->double_before, (unsigned)before);
    wider(&s->double_behind, (unsigned)behind);
    /* 2^-k has no fewer digits than k times 0.699, the zeros behind the point left out. */
    s->not_decimals += (behind ? before + behind - (e < 0 ? (int)(-e * 0.30102) : 0) : before) > DIGITS_MOST;
}

static void add_double(struct mf_infer_numbers *s, double v)
{
    s->doubles++;
    if (isnan(v)) {
        s->nans++;
        return;
    }
    if (isinf(v)) {
        s->infinities++;
        return;
    }
    bool first = s->doubles == s->nans + s->infinities + 1;
    s->double_min = first || v < s->double_min ? v : s->double_min;
    s->double_max = first || v > s->double_max ? v : s->double_max;
    s->minus_zeros += v == 0 && signbit(v);
    s->whole += is_whole(v);
    add_double_digits(s, v);
}

static void add_decimal(struct mf_infer_numbers *s, const struct elem *e)
{
    char text[NUMBER_EXACT];
    struct mf_number n;
    bson_decimal128_t d = elem_decimal(e->value);
    s->decimals++;
    if (!number_of_decimal(&d, text) || !mf_number_scan(text, strlen(text), &n)) {
        s->odd_decimals++;
        return;
    }
    s->decimal_minus_zeros += n.zero && n.negative;
    if (!n.zero) {
        wider(&s->before, n.point > 0 ? (unsigned)n.point : 0);
        wider(&s->behind, (int)n.nsig > n.point ? (unsigned)((int)n.nsig - n.point) : 0);
    }
}

static void merge_numbers(struct mf_infer_numbers *a, const struct mf_infer_numbers *b)
{
    bool finite_a = a->doubles > a->nans + a->infinities, finite_b = b->doubles > b->nans + b->infinities;
    if (b->ints) {
        a->int_min = !a->ints || b->int_min < a->int_min ? b->int_min : a->int_min;
        a->int_max = !a->ints || b->int_max > a->int_max ? b->int_max : a->int_max;
    }
    if (finite_b) {
        a->double_min = !finite_a || b->double_min < a->double_min ? b->double_min : a->double_min;
        a->double_max = !finite_a || b->double_max > a->double_max ? b->double_max : a->double_max;
    }
    a->ints += b->ints;
    a->doubles += b->doubles;
    a->decimals += b->decimals;
    a->whole += b->whole;
    a->not_doubles += b->not_doubles;
    a->minus_zeros += b->minus_zeros;
    a->nans += b->nans;
    a->infinities += b->infinities;
    a->odd_decimals += b->odd_decimals;
    a->decimal_minus_zeros += b->decimal_minus_zeros;
    a->not_decimals += b->not_decimals;
    wider(&a->before, b->before);
    wider(&a->behind, b->behind);
    wider(&a->double_before, b->double_before);
    wider(&a->double_behind, b->double_behind);
}

/* ---- texts ---- */

static unsigned length_class(uint64_t n) /* exact up to 16, then four classes to a doubling */
{
    if (n < 16) {
        return (unsigned)n;
    }
    unsigned top = 63 - (unsigned)__builtin_clzll(n), c = 16 + (top - 4) * 4 + (unsigned)(n >> (top - 2) & 3);
    return c < MF_INFER_LENGTHS ? c : MF_INFER_LENGTHS - 1;
}

static uint64_t class_end(unsigned c)
{
    if (c < 16) {
        return c;
    }
    unsigned top = (c - 16) / 4 + 4;
    return ((UINT64_C(4) + (c - 16) % 4 + 1) << (top - 2)) - 1;
}

static uint64_t characters(const char *s, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((uint8_t)s[i] & 0xc0) != 0x80;
    }
    return count;
}

static void add_text(struct mf_infer_texts *s, const char *text, uint32_t n)
{
    uint64_t chars = characters(text, n);
    unsigned c = length_class(chars);
    s->chars = max64(s->chars, chars);
    s->bytes = max64(s->bytes, n);
    s->empty += n == 0;
    s->nul += n && memchr(text, 0, n);
    s->lengths[c] += s->lengths[c] < UINT32_MAX;
}

uint64_t mf_infer_chars99(const struct mf_infer_path *p)
{
    uint64_t all = 0, upto = 0;
    for (unsigned c = 0; c < MF_INFER_LENGTHS; c++) {
        all += p->texts.lengths[c];
    }
    for (unsigned c = 0; c < MF_INFER_LENGTHS; c++) {
        upto += p->texts.lengths[c];
        if (upto * 100 >= all * 99) {
            uint64_t end = class_end(c);
            return end < p->texts.chars && c < MF_INFER_LENGTHS - 1 ? end : p->texts.chars;
        }
    }
    return p->texts.chars;
}

static void merge_texts(struct mf_infer_texts *a, const struct mf_infer_texts *b)
{
    a->chars = max64(a->chars, b->chars);
    a->bytes = max64(a->bytes, b->bytes);
    a->empty += b->empty;
    a->nul += b->nul;
    for (unsigned c = 0; c < MF_INFER_LENGTHS; c++) {
        uint64_t sum = (uint64_t)a->lengths[c] + b->lengths[c];
        a->lengths[c] = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
    }
}

/* ---- the others ---- */

static void add_date(struct mf_infer_dates *s, int64_t v, uint64_t before)
{
    s->min = !before || v < s->min ? v : s->min;
    s->max = !before || v > s->max ? v : s->max;
    s->beyond += v < DATE_LEAST || v > DATE_MOST;
}

static void add_binary(struct mf_infer_binaries *s, const struct elem *e)
{
    uint8_t subtype;
    uint32_t n;
    elem_binary(e, &subtype, &n);
    s->subtypes[subtype < 7 ? subtype : 7]++;
    s->bytes = max64(s->bytes, n);
    s->odd_uuids += (subtype == BSON_SUBTYPE_UUID || subtype == BSON_SUBTYPE_UUID_DEPRECATED) && n != 16;
}

static void merge_binaries(struct mf_infer_binaries *a, const struct mf_infer_binaries *b)
{
    for (unsigned i = 0; i < MF_ARRAY_LEN(a->subtypes); i++) {
        a->subtypes[i] += b->subtypes[i];
    }
    a->bytes = max64(a->bytes, b->bytes);
    a->odd_uuids += b->odd_uuids;
}

/* ---- a value ---- */

/* Numbers by their value as far as that is cheap: a whole double is the whole number it is. */
static uint64_t hash_of(const struct elem *e)
{
    int64_t i;
    uint64_t seed = e->type;
    switch (e->type) {
    case BSON_TYPE_INT32:
        i = elem_int32(e->value);
        break;
    case BSON_TYPE_INT64:
        i = elem_int64(e->value);
        break;
    case BSON_TYPE_DOUBLE: {
        double d = elem_double(e->value);
        if (is_whole(d)) {
            i = (int64_t)d;
            break;
        }
        return XXH3_64bits_withSeed(e->value, e->len, seed);
    }
    default:
        return XXH3_64bits_withSeed(e->value, e->len, seed);
    }
    return XXH3_64bits_withSeed(&i, sizeof i, BSON_TYPE_INT64);
}

static void add_sample(struct mf_infer_path *p, const struct elem *e)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 12};
    json_put_value(&b, e, MF_INFER_SAMPLE - 1);
    const char *text = mf_buf_str(&b);
    char one[MF_INFER_SAMPLE];
    size_t n = mf_utf8_cut(text, b.len, MF_INFER_SAMPLE - 1);
    memcpy(one, text, n);
    one[n] = '\0';
    for (unsigned i = 0; i < p->nsamples; i++) {
        if (mf_streq(p->samples[i], one)) {
            return;
        }
    }
    memcpy(p->samples[p->nsamples++], one, sizeof one);
}

static void add_known(struct mf_infer_path *p, const struct elem *e, uint64_t before)
{
    uint32_t n;
    const char *text;
    switch (e->type) {
    case BSON_TYPE_INT32:
        add_int(&p->numbers, elem_int32(e->value));
        break;
    case BSON_TYPE_INT64:
        add_int(&p->numbers, elem_int64(e->value));
        break;
    case BSON_TYPE_DOUBLE:
        add_double(&p->numbers, elem_double(e->value));
        break;
    case BSON_TYPE_DECIMAL128:
        add_decimal(&p->numbers, e);
        break;
    case BSON_TYPE_UTF8:
        text = elem_text(e, &n);
        add_text(&p->texts, text, n);
        break;
    case BSON_TYPE_DATE_TIME:
        add_date(&p->dates, elem_int64(e->value), before);
        break;
    case BSON_TYPE_BINARY:
        add_binary(&p->binaries, e);
        break;
    default:
        break;
    }
}

void infer_stats_add(struct mf_infer *f, struct mf_infer_path *p, const struct elem *e)
{
    uint64_t before = p->types[infer_type(e->type)]++;
    p->there++;
    if (!infer_is_scalar(e->type)) {
        return;
    }
    add_known(p, e, before);
    infer_values_add(f, &p->values, hash_of(e), infer_is_single(p));
    /* Kinds of samples that all look alike are not worth a look at each value. */
    if (p->nsamples < MF_INFER_SAMPLES && p->there < 1000) {
        add_sample(p, e);
    }
    infer_refs_add(&p->refs, e);
}

static void merge_arrays(struct mf_infer_arrays *a, uint64_t na, const struct mf_infer_arrays *b, uint64_t nb)
{
    if (nb) {
        a->min = !na || b->min < a->min ? b->min : a->min;
        a->max = max64(a->max, b->max);
        a->elements += b->elements;
        a->empty += b->empty;
    }
}

static void merge_dates(struct mf_infer_dates *a, uint64_t na, const struct mf_infer_dates *b, uint64_t nb)
{
    if (nb) {
        a->min = !na || b->min < a->min ? b->min : a->min;
        a->max = !na || b->max > a->max ? b->max : a->max;
        a->beyond += b->beyond;
    }
}

void infer_stats_merge(struct mf_infer *f, struct mf_infer_path *into, const struct mf_infer_path *from)
{
    merge_arrays(&into->arrays, into->types[BSON_TYPE_ARRAY], &from->arrays, from->types[BSON_TYPE_ARRAY]);
    merge_dates(&into->dates, into->types[BSON_TYPE_DATE_TIME], &from->dates, from->types[BSON_TYPE_DATE_TIME]);
    merge_numbers(&into->numbers, &from->numbers);
    merge_texts(&into->texts, &from->texts);
    merge_binaries(&into->binaries, &from->binaries);
    into->there += from->there;
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        into->types[t] += from->types[t];
    }
    into->objects.empty += from->objects.empty;
    into->objects.fields = max64(into->objects.fields, from->objects.fields);
    into->id_chars = max64(into->id_chars, from->id_chars);
    into->key_chars = max64(into->key_chars, from->key_chars);
    into->others += from->others;
    infer_values_merge(f, &into->values, from->values, infer_is_single(into));
    infer_values_merge(f, &into->keys, from->keys, false);
    infer_refs_merge(&into->refs, from->refs);
    for (unsigned i = 0; i < from->nsamples && into->nsamples < MF_INFER_SAMPLES; i++) {
        bool known = false;
        for (unsigned k = 0; k < into->nsamples; k++) {
            known = known || mf_streq(into->samples[k], from->samples[i]);
        }
        if (!known) {
            memcpy(into->samples[into->nsamples++], from->samples[i], MF_INFER_SAMPLE);
        }
    }
}

uint64_t mf_infer_distinct(const struct mf_infer_path *p, bool *ret_exact)
{
    return infer_values_count(p->values, ret_exact);
}

uint64_t mf_infer_distinct_keys(const struct mf_infer_path *p)
{
    bool exact;
    return infer_values_count(p->keys, &exact);
}

enum mf_infer_unique mf_infer_unique(const struct mf_infer_path *p)
{
    const struct infer_values *v = p->values;
    if (!v || v->seen == 0 || v->repeats || !infer_is_single(p) || p->types[BSON_TYPE_DOCUMENT] ||
        p->types[BSON_TYPE_ARRAY]) {
        return MF_INFER_REPEATS;
    }
    return v->given_up || v->registers ? MF_INFER_GIVEN_UP : MF_INFER_UNIQUE;
}
