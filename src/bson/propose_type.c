/* The type of a column by what was seen: the narrowest that has every value exactly, and JSON where none has. */
#include "bson/propose_internal.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/types.h"

#include <inttypes.h>
#include <stdio.h>

#define ROW_LONG 200 /* characters, from which on a text counts for the room in its row */

static const struct prop_choice json_choice = {.shape = PROP_COLUMN, .type = "json", .json = true};

static struct prop_choice json(const char *why)
{
    struct prop_choice c = json_choice;
    c.why = why;
    return c;
}

unsigned prop_length(uint64_t seen)
{
    static const unsigned steps[] = {10, 20, 30, 50, 100, 150, 200, 300, 500, 1000, 2000, 4000};
    for (size_t i = 0; i < MF_ARRAY_LEN(steps); i++) {
        if (steps[i] >= seen + seen / 4) {
            return steps[i];
        }
    }
    return 0;
}

/* The target has a column of this kind with that value. */
static bool has(struct mf_doc_proposal *p, enum mf_kind kind, const char *text, size_t n)
{
    const struct mf_type t = {
        .kind = kind, .bits = kind == MF_KIND_FLOAT ? 64 : 0, .scale = kind == MF_KIND_INSTANT ? 3 : 0};
    const struct mf_value v = {MF_TEXT, (uint32_t)n, text};
    struct mf_error why = {0};
    return !p->target.fits || p->target.fits(p->target.ctx, &t, &p->arena, &v, &why) == 0;
}

static bool has_words(struct mf_doc_proposal *p, enum mf_kind kind, bool nan, bool infinite)
{
    return (!nan || has(p, kind, "NaN", 3)) &&
           (!infinite || (has(p, kind, "Infinity", 8) && has(p, kind, "-Infinity", 9)));
}

static bool has_moment(struct mf_doc_proposal *p, int64_t ms)
{
    char text[32];
    size_t n;
    return shred_instant_put(ms, text, &n) && has(p, MF_KIND_INSTANT, text, n);
}

/* ---- numbers ---- */

static unsigned digits_of(int64_t v)
{
    unsigned n = 1;
    for (; v >= 10 || v <= -10; v /= 10) {
        n++;
    }
    return n;
}

static unsigned most(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static struct prop_choice decimal(struct mf_doc_proposal *p, const struct mf_infer_numbers *s)
{
    bool only = !s->ints && !s->doubles;
    if (s->decimal_minus_zeros || s->minus_zeros || s->nans || s->infinities || s->not_decimals) {
        return json(s->decimal_minus_zeros || s->minus_zeros ? "a zero with a sign, which no decimal has"
                                                             : "doubles that no decimal is exactly");
    }
    unsigned before = s->before, behind = s->behind;
    if (s->doubles) {
        before = most(before, s->double_before);
        behind = most(behind, s->double_behind);
    }
    if (s->ints) {
        before = most(before, most(digits_of(s->int_min), digits_of(s->int_max)));
    }
    struct prop_choice c = {.shape = PROP_COLUMN, .type = "decimal", .coerce = !only};
    if (s->odd_decimals && !has_words(p, MF_KIND_DECIMAL, true, true)) {
        return json("NaN or an infinity, which the target has not in a decimal");
    }
    if (s->odd_decimals) {
        c.why = "NaN or an infinity: MySQL has none in a decimal";
        return c;
    }
    unsigned scale = behind <= 2 ? 2 : behind <= 4 ? 4 : behind <= 8 ? 8 : behind, room = before < 12 ? 12 : before + 3;
    if (room + scale > 65 || scale > 30) {
        c.why = "more digits than MySQL's decimals have";
        return c;
    }
    c.type = prop_text(p, "decimal(%u, %u)", room + scale, scale);
    c.why = prop_text(p, "at most %u digits before the point, %u behind it", before, behind);
    return c;
}

static struct prop_choice number(struct mf_doc_proposal *p, const struct mf_infer_path *of)
{
    const struct mf_infer_numbers *s = &of->numbers;
    struct prop_choice c = {.shape = PROP_COLUMN};
    if (s->decimals) {
        return decimal(p, s);
    }
    if (!s->doubles) {
        c.type = !of->types[BSON_TYPE_INT64] ? "int32" : !of->types[BSON_TYPE_INT32] ? "int64" : "int";
        return c;
    }
    c.type = "double";
    if (!has_words(p, MF_KIND_FLOAT, s->nans > 0, s->infinities > 0)) {
        return json("NaN or an infinity, which the target has not in a double");
    }
    if (!s->ints) {
        c.why = s->whole == s->doubles     ? "whole numbers only: {type: int, wrong: coerce} would do"
                : s->nans || s->infinities ? "NaN or an infinity: MySQL has none in a double"
                                           : NULL;
        return c;
    }
    c.coerce = true;
    if (s->whole == s->doubles) {
        c.type = "int";
        c.why = "the doubles are whole numbers";
        return c;
    }
    if (!s->not_doubles) {
        c.why = "every whole number among them is a double exactly";
        return c;
    }
    return decimal(p, s);
}

/* ---- the others ---- */

static struct prop_choice string(struct mf_doc_proposal *p, const struct mf_infer_path *of, int64_t *room)
{
    struct prop_choice c = {.shape = PROP_COLUMN, .type = "string"};
    if (of->texts.nul && !has(p, MF_KIND_TEXT, "\0", 1) && has(p, MF_KIND_JSON, "\"\\u0000\"", 8)) {
        return json("a NUL, which the target has not in a text");
    }
    unsigned n = prop_length(of->texts.chars);
    if (n > ROW_LONG && *room < (int64_t)n) {
        c.why = "a row has no room for more texts of a bounded length (MySQL: 65,535 bytes)";
        n = 0;
    }
    if (n) {
        *room -= n > ROW_LONG ? (int64_t)n : (int64_t)n / 4;
        c.type = prop_text(p, "string(%u)", n);
    }
    if (of->texts.nul && has(p, MF_KIND_TEXT, "\0", 1)) {
        c.why = prop_text(p, "%" PRIu64 " with a NUL in it: PostgreSQL has none in a text", of->texts.nul);
    }
    return c;
}

/* Here or, in JSON, anywhere below. */
static uint64_t nuls(const struct mf_infer_path *of, bool below)
{
    uint64_t n = of->texts.nul;
    for (uint32_t i = 0; below && i < of->nfields; i++) {
        n += nuls(of->fields[i], true);
    }
    n += below && of->element ? nuls(of->element, true) : 0;
    return n + (below && of->any ? nuls(of->any, true) : 0);
}

const char *prop_refused(struct mf_doc_proposal *p, const struct mf_infer_path *of, bool json)
{
    uint64_t n = nuls(of, json);
    if (n == 0 || (json ? has(p, MF_KIND_JSON, "\"\\u0000\"", 8) : has(p, MF_KIND_TEXT, "\0", 1))) {
        return NULL;
    }
    return prop_text(p, "REFUSED: %" PRIu64 " with a NUL (U+0000) %s: no column of the target takes one", n,
                     json ? "in a text of this JSON" : "in the text");
}

static struct prop_choice binary(struct mf_doc_proposal *p, const struct mf_infer_path *of)
{
    const struct mf_infer_binaries *s = &of->binaries;
    unsigned kinds = 0, which = 0;
    for (unsigned i = 0; i < MF_ARRAY_LEN(s->subtypes); i++) {
        kinds += s->subtypes[i] > 0;
        which = s->subtypes[i] ? i : which;
    }
    struct prop_choice c = {.shape = PROP_COLUMN};
    if (kinds == 1 && (which == BSON_SUBTYPE_UUID || which == BSON_SUBTYPE_UUID_DEPRECATED) && !s->odd_uuids) {
        c.type = which == BSON_SUBTYPE_UUID ? "uuid" : "uuid_legacy";
        return c;
    }
    if (kinds == 1 && which == BSON_SUBTYPE_BINARY) {
        unsigned n = prop_length(s->bytes);
        c.type = n ? prop_text(p, "binary(%u)", n) : "binary";
        return c;
    }
    return json(kinds > 1 ? "binaries of several subtypes" : "a subtype that has no column of its own");
}

static struct prop_choice scalar(struct mf_doc_proposal *p, const struct mf_infer_path *of, unsigned type,
                                 int64_t *room)
{
    struct prop_choice c = {.shape = PROP_COLUMN};
    switch (type) {
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DECIMAL128:
        return number(p, of);
    case BSON_TYPE_UTF8:
        return string(p, of, room);
    case BSON_TYPE_BINARY:
        return binary(p, of);
    case BSON_TYPE_BOOL:
        c.type = "bool";
        return c;
    case BSON_TYPE_OID:
        c.type = "objectid";
        return c;
    case BSON_TYPE_TIMESTAMP:
        c.type = "timestamp";
        return c;
    case BSON_TYPE_DATE_TIME:
        c.type = "date";
        return of->dates.beyond ? json("dates before the year 1 or after 9999, which SQL has not")
               : has_moment(p, of->dates.min) && has_moment(p, of->dates.max) ? c
                                                                              : json("dates that the target has not");
    default:
        return json("a type that SQL has not");
    }
}

/* ---- shapes ---- */

static bool is_number(unsigned t)
{
    return t == BSON_TYPE_INT32 || t == BSON_TYPE_INT64 || t == BSON_TYPE_DOUBLE || t == BSON_TYPE_DECIMAL128;
}

/* Something below that would have to be a table or a column, and can be. */
static bool has_columns(const struct mf_infer_path *below)
{
    if (!below) {
        return false;
    }
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        if (below->types[t] && t != BSON_TYPE_DOCUMENT && t != BSON_TYPE_ARRAY) {
            return true;
        }
    }
    return below->nfields > 0 || has_columns(below->element) || has_columns(below->any);
}

static struct prop_choice array(const struct mf_infer_path *of)
{
    struct prop_choice c = {.shape = PROP_ARRAY};
    if (of->others) {
        return json("more paths than could be told apart");
    }
    return has_columns(of->element) ? c : json("nothing was ever in it");
}

static struct prop_choice object(const struct mf_infer_path *of)
{
    struct prop_choice c = {.shape = of->any ? PROP_MAP : PROP_OBJECT};
    if (of->others) {
        return json("more paths than could be told apart");
    }
    return of->any && !has_columns(of->any) ? json("nothing is in what it has") : c;
}

struct prop_choice prop_choose(struct mf_doc_proposal *p, const struct mf_infer_path *of, int64_t *room)
{
    unsigned kinds = 0, which = 0;
    bool numbers = false;
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        if (!of->types[t] || t == BSON_TYPE_NULL) {
            continue;
        }
        kinds += !(is_number(t) && numbers);
        numbers = numbers || is_number(t);
        which = t;
    }
    if (kinds != 1) {
        return json(kinds ? "several types, which no other column has together" : "only null was seen");
    }
    return which == BSON_TYPE_DOCUMENT ? object(of) : which == BSON_TYPE_ARRAY ? array(of) : scalar(p, of, which, room);
}

/* ---- _id ---- */

static struct prop_choice any_id(struct mf_doc_proposal *p, const struct mf_infer_path *of, const char *why)
{
    uint64_t chars = of->id_chars ? of->id_chars : 100;
    unsigned n = prop_length(chars);
    struct prop_choice c = {.shape = PROP_COLUMN, .why = why};
    c.type = prop_text(p, "id(%u)", n ? n : (unsigned)(chars + chars / 4));
    return c;
}

struct prop_choice prop_choose_id(struct mf_doc_proposal *p, const struct mf_infer_path *of)
{
    int64_t room = INT64_MAX;
    if (!of->there) {
        return any_id(p, of, "no document has one");
    }
    struct prop_choice c = prop_choose(p, of, &room);
    bool whole = of->numbers.doubles == of->numbers.whole && !of->numbers.decimals;
    if (c.json || c.shape != PROP_COLUMN || of->types[BSON_TYPE_NULL] || !whole ||
        (of->types[BSON_TYPE_BINARY] && !of->binaries.subtypes[BSON_SUBTYPE_UUID] &&
         !of->binaries.subtypes[BSON_SUBTYPE_UUID_DEPRECATED])) {
        return any_id(p, of, "ids of several kinds, or of one that no other column has");
    }
    if (of->types[BSON_TYPE_UTF8] && mf_streq(c.type, "string")) {
        c.type = prop_text(p, "string(%u)", (unsigned)(of->texts.chars + of->texts.chars / 4));
    }
    if (of->numbers.ints || of->numbers.doubles) {
        c.type = "int"; /* the next ids may be larger */
    }
    c.coerce = false; /* numbers of ids are taken by their value */
    return c;
}

bool prop_is_composite_id(const struct mf_infer_collection *c, const struct mf_infer_path *id)
{
    bool ok = id && !c->id_orders && id->nfields > 0 && id->nfields <= 8 && !id->any && !id->others &&
              id->types[BSON_TYPE_DOCUMENT] == id->there;
    for (uint32_t i = 0; ok && i < id->nfields; i++) {
        const struct mf_infer_path *f = id->fields[i];
        unsigned kinds = 0;
        for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
            kinds += f->types[t] > 0;
        }
        ok = kinds == 1 && !mf_infer_missing(f) &&
             (f->types[BSON_TYPE_UTF8] || f->types[BSON_TYPE_INT32] || f->types[BSON_TYPE_INT64] ||
              f->types[BSON_TYPE_OID] || f->types[BSON_TYPE_BOOL] ||
              (f->types[BSON_TYPE_DATE_TIME] && !f->dates.beyond) ||
              (f->types[BSON_TYPE_BINARY] && f->binaries.subtypes[BSON_SUBTYPE_UUID] == f->there &&
               !f->binaries.odd_uuids)) &&
             (!f->types[BSON_TYPE_UTF8] || prop_length(f->texts.chars));
    }
    return ok;
}
