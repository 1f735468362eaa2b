/* BSON as bytes: looking at it, checking it, writing it.
 *
 * libbson's own reader checks as it goes and recurses; its writer sorts a regular expression's options and leaves out what it does not know. Here a document is
 * checked once, whole, without recursion, and then read as plain bytes; and what is written is what was given. */
#ifndef MF_BSON_ELEM_H
#define MF_BSON_ELEM_H

#include "base/buf.h"

#include <bson/bson.h>

/* One element: a view of checked bytes. */
struct elem {
    uint8_t type; /* bson_type_t */
    uint32_t nkey, len;
    const char *key;      /* ends with a NUL */
    const uint8_t *value; /* as it stands in BSON, with the lengths in front */
};

struct elem_walk {
    const uint8_t *p, *end;
};

#define ELEM_WHY   120
#define ELEM_WHERE 240

/* Whether the bytes are one document: well-formed, UTF-8, no (sub-)document with a key twice, at most MF_DOC_DEPTH deep. 0, or -1 with why (static) and the path of
 * the element. */
int elem_check(const void *p, size_t n, const char **ret_why, char ret_where[static ELEM_WHERE]);

/* Of checked bytes. A document or an array as it stands: its elements. */
void elem_begin(struct elem_walk *w, const uint8_t *document);
bool elem_next(struct elem_walk *w, struct elem *ret);
/* A checked document as an element without a key. */
struct elem elem_document(const void *p, size_t n);
bool elem_same(const struct elem *a, const struct elem *b); /* type and value */

static inline int32_t elem_int32(const uint8_t *p)
{
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}
static inline int64_t elem_int64(const uint8_t *p)
{
    return (int64_t)((uint64_t)(uint32_t)elem_int32(p) | (uint64_t)(uint32_t)elem_int32(p + 4) << 32);
}
double elem_double(const uint8_t *p);
bson_decimal128_t elem_decimal(const uint8_t *p);
/* Of a string, a symbol, code: its characters. */
static inline const char *elem_text(const struct elem *e, uint32_t *ret_n)
{
    *ret_n = (uint32_t)elem_int32(e->value) - 1;
    return (const char *)e->value + 4;
}
/* Of a binary: its bytes; those of subtype 2 without the length within. */
const uint8_t *elem_binary(const struct elem *e, uint8_t *ret_subtype, uint32_t *ret_n);
/* "string", "int32": for messages. Static. */
const char *elem_type_name(uint8_t type);

/* ---- writing: where memory fails the buffer says so ---- */

size_t elem_put_begin(struct mf_buf *b); /* returns where it began */
void elem_put_end(struct mf_buf *b, size_t at);
void elem_put_key(struct mf_buf *b, uint8_t type, const char *key, size_t n);
void elem_put(struct mf_buf *b, const char *key, size_t n, const struct elem *e); /* under another key */
void elem_put_int32(struct mf_buf *b, int32_t v);
void elem_put_int64(struct mf_buf *b, int64_t v);
void elem_put_double(struct mf_buf *b, double v);
void elem_put_decimal(struct mf_buf *b, const bson_decimal128_t *v);
void elem_put_text(struct mf_buf *b, const char *s, size_t n); /* a string's value */
void elem_put_binary(struct mf_buf *b, uint8_t subtype, const void *p, size_t n);
/* What was written from `at` on is gone. */
void elem_cut(struct mf_buf *b, size_t at);

#endif
