/*
 * An id as text: what names a document everywhere.
 *
 *     5, 0.5, NaN, -Infinity                 a number by its value alone, whatever type it has: exactly, in as many digits as that takes
 *     "abc", true, null                      a string as JSON
 *     ObjectId("24 digits"), UUID("…"), Binary(0,"base64"), Date(milliseconds), Timestamp(seconds,increment)
 *     Document {"a":5,"b":[null]}            with the same forms within
 *
 * Two ids have one text exactly where MongoDB takes them for the same id: it tells numbers apart by value and documents also by the order of their fields. What
 * MongoDB takes for no id (an array, a regular expression), and what nobody should, has none.
 */
#include "bson/types.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "bson/shred.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_string(struct mf_buf *b, const char *s, size_t n)
{
    mf_buf_putc(b, '"');
    mf_json_escape(b, s, n);
    mf_buf_putc(b, '"');
}

static const char *put_number(struct mf_buf *b, const struct elem *e)
{
    char text[NUMBER_EXACT];
    struct mf_number v;
    const char *word = number_of(e, text);
    if (word) {
        mf_buf_puts(b, word);
        return NULL;
    }
    if (!mf_number_scan(text, strlen(text), &v)) {
        return "its number cannot be told";
    }
    v.negative = v.negative && !v.zero;
    mf_number_put(b, &v);
    return NULL;
}

static void put_binary(struct mf_buf *b, const struct elem *e)
{
    char text[40];
    uint8_t subtype;
    uint32_t n;
    const uint8_t *p = elem_binary(e, &subtype, &n);
    if (subtype == BSON_SUBTYPE_UUID && n == 16) {
        uuid_put(text, p);
        mf_buf_printf(b, "UUID(\"%s\")", text);
        return;
    }
    mf_buf_printf(b, "Binary(%u,\"", subtype);
    base64_put(b, p, n);
    mf_buf_puts(b, "\")");
}

static const char *put_within(struct mf_buf *b, const struct elem *e, bool within);

static const char *put_document(struct mf_buf *b, const struct elem *document)
{
    bool array = document->type == BSON_TYPE_ARRAY;
    struct elem_walk w;
    struct elem e;
    mf_buf_puts(b, array ? "[" : "Document {");
    elem_begin(&w, document->value);
    for (bool first = true; elem_next(&w, &e); first = false) {
        mf_buf_puts(b, first ? "" : ",");
        if (!array) {
            put_string(b, e.key, e.nkey);
            mf_buf_putc(b, ':');
        }
        const char *why = put_within(b, &e, true);
        if (why) {
            return why;
        }
    }
    mf_buf_putc(b, array ? ']' : '}');
    return NULL;
}

static const char *put_within(struct mf_buf *b, const struct elem *e, bool within)
{
    char hex[25];
    uint32_t n;
    if (number_is(e->type)) {
        return put_number(b, e);
    }
    switch (e->type) {
    case BSON_TYPE_UTF8: {
        const char *s = elem_text(e, &n);
        put_string(b, s, n);
        return NULL;
    }
    case BSON_TYPE_OID:
        hex_put(hex, e->value, 12);
        mf_buf_printf(b, "ObjectId(\"%s\")", hex);
        return NULL;
    case BSON_TYPE_BINARY:
        put_binary(b, e);
        return NULL;
    case BSON_TYPE_BOOL:
        mf_buf_puts(b, e->value[0] ? "true" : "false");
        return NULL;
    case BSON_TYPE_NULL:
        mf_buf_puts(b, "null");
        return NULL;
    case BSON_TYPE_DATE_TIME:
        mf_buf_printf(b, "Date(%" PRId64 ")", elem_int64(e->value));
        return NULL;
    case BSON_TYPE_TIMESTAMP:
        mf_buf_printf(b, "Timestamp(%" PRIu32 ",%" PRIu32 ")", (uint32_t)elem_int32(e->value + 4),
                      (uint32_t)elem_int32(e->value));
        return NULL;
    case BSON_TYPE_DOCUMENT:
        return put_document(b, e);
    case BSON_TYPE_ARRAY:
        return within ? put_document(b, e) : "an array is no _id";
    default:
        return "no _id is of such a type";
    }
}

const char *id_put(struct mf_buf *b, const struct elem *e)
{
    return put_within(b, e, false);
}

/* ---- back ---- */

struct parse {
    const char *p, *end;
    struct mf_buf *b;
    unsigned depth;
};

static uint8_t take(struct parse *s);

static bool literal(struct parse *s, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0) {
        return false;
    }
    s->p += n;
    return true;
}

static bool whole(struct parse *s, int64_t *ret)
{
    const char *from = s->p;
    while (s->p < s->end && ((*s->p >= '0' && *s->p <= '9') || (*s->p == '-' && s->p == from))) {
        s->p++;
    }
    return number_to_int(from, (size_t)(s->p - from), ret);
}

/* What stands between quotes, without an escape. */
static bool quoted(struct parse *s, const char **ret, size_t *ret_n)
{
    const char *from = s->p + 1,
               *to = s->p < s->end && *s->p == '"' ? memchr(from, '"', (size_t)(s->end - from)) : NULL;
    if (!to) {
        return false;
    }
    *ret = from;
    *ret_n = (size_t)(to - from);
    s->p = to + 1;
    return true;
}

static uint8_t take_string(struct parse *s)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = SHRED_TEXT_MOST};
    if (json_read_string(&s->p, s->end, &text)) {
        return 0;
    }
    elem_put_text(s->b, mf_buf_str(&text), text.len);
    return BSON_TYPE_UTF8;
}

static bool take_member(struct parse *s, const char *key, size_t n)
{
    size_t at = s->b->len;
    elem_put_key(s->b, BSON_TYPE_NULL, key, n);
    uint8_t type = take(s);
    if (type && mf_buf_ok(s->b)) {
        s->b->data[at] = (char)type;
    }
    return type != 0;
}

static bool take_field(struct parse *s)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = SHRED_TEXT_MOST};
    return !json_read_string(&s->p, s->end, &key) && strlen(mf_buf_str(&key)) == key.len && literal(s, ":") &&
           take_member(s, mf_buf_str(&key), key.len);
}

static uint8_t take_document(struct parse *s, bool array)
{
    const char *close = array ? "]" : "}";
    char key[12];
    size_t at = elem_put_begin(s->b);
    uint32_t i = 0;
    for (bool more = !literal(s, close); more; more = literal(s, ",")) {
        int n = snprintf(key, sizeof key, "%" PRIu32, i++);
        if (!(array ? take_member(s, key, (size_t)n) : take_field(s))) {
            return 0;
        }
    }
    if (i && !literal(s, close)) {
        return 0;
    }
    elem_put_end(s->b, at);
    return array ? BSON_TYPE_ARRAY : BSON_TYPE_DOCUMENT;
}

static uint8_t take_binary(struct parse *s)
{
    MF_CLEANUP_BUF struct mf_buf bytes = {.max = SHRED_TEXT_MOST};
    const char *text;
    size_t n;
    int64_t subtype;
    if (!whole(s, &subtype) || subtype < 0 || subtype > 255 || !literal(s, ",") || !quoted(s, &text, &n) ||
        !base64_read(&bytes, text, n) || !literal(s, ")")) {
        return 0;
    }
    elem_put_binary(s->b, (uint8_t)subtype, mf_buf_str(&bytes), bytes.len);
    return BSON_TYPE_BINARY;
}

static uint8_t take_called(struct parse *s)
{
    const char *text;
    uint8_t bytes[16];
    size_t n;
    int64_t v, i;
    if (literal(s, "ObjectId(")) {
        if (!quoted(s, &text, &n) || n != 24 || !hex_read(text, n, bytes) || !literal(s, ")")) {
            return 0;
        }
        mf_buf_append(s->b, bytes, 12);
        return BSON_TYPE_OID;
    }
    if (literal(s, "UUID(")) {
        if (!quoted(s, &text, &n) || !uuid_read(text, n, bytes) || !literal(s, ")")) {
            return 0;
        }
        elem_put_binary(s->b, BSON_SUBTYPE_UUID, bytes, 16);
        return BSON_TYPE_BINARY;
    }
    if (literal(s, "Date(")) {
        if (!whole(s, &v) || !literal(s, ")")) {
            return 0;
        }
        elem_put_int64(s->b, v);
        return BSON_TYPE_DATE_TIME;
    }
    if (literal(s, "Timestamp(")) {
        if (!whole(s, &v) || !literal(s, ",") || !whole(s, &i) || !literal(s, ")") || v < 0 || i < 0 ||
            v > UINT32_MAX || i > UINT32_MAX) {
            return 0;
        }
        elem_put_int32(s->b, (int32_t)(uint32_t)i);
        elem_put_int32(s->b, (int32_t)(uint32_t)v);
        return BSON_TYPE_TIMESTAMP;
    }
    return literal(s, "Binary(") ? take_binary(s) : 0;
}

static uint8_t take_plain(struct parse *s)
{
    if (literal(s, "null")) {
        return BSON_TYPE_NULL;
    }
    bool yes = literal(s, "true");
    if (yes || literal(s, "false")) {
        mf_buf_putc(s->b, yes);
        return BSON_TYPE_BOOL;
    }
    const char *from = s->p;
    while (s->p < s->end && *s->p && strchr("+-.0123456789eINafinty", *s->p)) {
        s->p++;
    }
    uint8_t type = number_put_word(s->b, from, (size_t)(s->p - from));
    return type ? type : number_put(s->b, from, (size_t)(s->p - from));
}

static uint8_t take(struct parse *s)
{
    uint8_t type = 0;
    if (s->p == s->end || s->depth > MF_DOC_DEPTH) {
        return 0;
    }
    s->depth++;
    if (*s->p == '"') {
        type = take_string(s);
    } else if (literal(s, "Document {")) {
        type = take_document(s, false);
    } else if (*s->p == '[' && s->depth > 1) {
        s->p++;
        type = take_document(s, true);
    } else {
        type = strchr("OUDTB", *s->p) && *s->p ? take_called(s) : take_plain(s);
    }
    s->depth--;
    return type;
}

const char *id_parse(const char *text, size_t n, const char *key, size_t nkey, struct mf_buf *b)
{
    MF_CLEANUP_BUF struct mf_buf again = {.max = SHRED_TEXT_MOST};
    struct parse s = {.p = text, .end = text + n, .b = b};
    size_t at = b->len;
    if (!take_member(&s, key, nkey) || s.p != s.end || !mf_buf_ok(b)) {
        return "it is no text of an _id";
    }
    /* Whatever else the reading let through: only the text that it would be written as is an id's. */
    struct elem e = {.type = (uint8_t)b->data[at], .value = (const uint8_t *)b->data + at + nkey + 2};
    e.len = (uint32_t)(b->len - at - nkey - 2);
    return id_put(&again, &e) || again.len != n || memcmp(mf_buf_str(&again), text, n) != 0 ? "it is no text of an _id"
                                                                                            : NULL;
}
