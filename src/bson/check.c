/*
 * Checking a document: once, whole, before anything else looks at it.
 *
 * It goes level by level without recursion: when a (sub-)document is entered, all its elements are looked at and those that hold others are only measured; then they are
 * entered in turn. What is open stands on a stack of MF_DOC_DEPTH places, so that no nesting takes more. Keys of one document are compared by a hash
 * first, in a table where there are many, so that a document of a million fields takes no million times a million.
 */
#include "bson/elem.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/shred.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct level {
    const uint8_t *p, *end;
    const char *key; /* of what is entered */
};

struct check {
    const char *why;
    const char *key; /* where */
    struct level levels[MF_DOC_DEPTH + 1];
    unsigned depth;
};

static bool bad(struct check *c, const char *why)
{
    c->why = why;
    return false;
}

/* n bytes of a length from outside, of which `least` is the smallest. */
static bool sized(const uint8_t *p, size_t left, int32_t least, size_t more, size_t *ret)
{
    int32_t n = left >= 4 ? elem_int32(p) : -1;
    *ret = more + (size_t)n;
    return n >= least && *ret <= left;
}

static bool check_text(struct check *c, const uint8_t *p, size_t left, size_t *ret)
{
    if (!sized(p, left, 1, 4, ret) || p[*ret - 1]) {
        return bad(c, "its length is wrong");
    }
    return mf_utf8_valid(p + 4, *ret - 5) || bad(c, "it is not UTF-8");
}

static bool check_frame(struct check *c, const uint8_t *p, size_t left, size_t *ret)
{
    return (sized(p, left, 5, 0, ret) && !p[*ret - 1]) || bad(c, "its length is wrong");
}

static bool check_cstring(struct check *c, const uint8_t *p, size_t left, size_t *ret)
{
    const uint8_t *nul = left ? memchr(p, 0, left) : NULL;
    if (!nul) {
        return bad(c, "it has no end");
    }
    *ret = (size_t)(nul - p) + 1;
    return mf_utf8_valid(p, *ret - 1) || bad(c, "it is not UTF-8");
}

static bool check_binary(struct check *c, const uint8_t *p, size_t left, size_t *ret)
{
    if (!sized(p, left, 0, 5, ret)) {
        return bad(c, "its length is wrong");
    }
    int32_t n = elem_int32(p);
    return p[4] != BSON_SUBTYPE_BINARY_DEPRECATED || (n >= 4 && elem_int32(p + 5) == n - 4) ||
           bad(c, "the length within is wrong");
}

/* Code with its scope: a length, a text, a document. */
static bool check_scope(struct check *c, const uint8_t *p, size_t left, size_t *ret)
{
    size_t text, scope;
    if (!sized(p, left, 14, 0, ret)) {
        return bad(c, "its length is wrong");
    }
    if (!check_text(c, p + 4, *ret - 4, &text) || !check_frame(c, p + 4 + text, *ret - 4 - text, &scope)) {
        return false;
    }
    return 4 + text + scope == *ret || bad(c, "its length is wrong");
}

static bool check_value(struct check *c, uint8_t type, const uint8_t *p, size_t left, size_t *ret)
{
    size_t more;
    switch (type) {
    case BSON_TYPE_UNDEFINED:
    case BSON_TYPE_NULL:
    case BSON_TYPE_MINKEY:
    case BSON_TYPE_MAXKEY:
        *ret = 0;
        break;
    case BSON_TYPE_BOOL:
        *ret = 1;
        if (left && *p > 1) {
            return bad(c, "it is neither true nor false");
        }
        break;
    case BSON_TYPE_INT32:
        *ret = 4;
        break;
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DATE_TIME:
    case BSON_TYPE_TIMESTAMP:
    case BSON_TYPE_INT64:
        *ret = 8;
        break;
    case BSON_TYPE_OID:
        *ret = 12;
        break;
    case BSON_TYPE_DECIMAL128:
        *ret = 16;
        break;
    case BSON_TYPE_UTF8:
    case BSON_TYPE_CODE:
    case BSON_TYPE_SYMBOL:
        return check_text(c, p, left, ret);
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return check_frame(c, p, left, ret);
    case BSON_TYPE_BINARY:
        return check_binary(c, p, left, ret);
    case BSON_TYPE_REGEX:
        if (!check_cstring(c, p, left, &more) || !check_cstring(c, p + more, left - more, ret)) {
            return false;
        }
        *ret += more;
        return true;
    case BSON_TYPE_DBPOINTER:
        if (!check_text(c, p, left, ret)) {
            return false;
        }
        *ret += 12;
        break;
    case BSON_TYPE_CODEWSCOPE:
        return check_scope(c, p, left, ret);
    default:
        return bad(c, "it is of a type that BSON has not");
    }
    return *ret <= left || bad(c, "it is cut off");
}

/* ---- keys ---- */

#define FEW 16 /* keys are compared one with another up to so many */

struct key {
    uint64_t hash;
    const char *name;
};

/* All keys of one document, of which there are n, in a table. */
static bool check_many(struct check *c, const uint8_t *document, size_t n)
{
    size_t size = 64;
    while (size < 2 * n) {
        size *= 2;
    }
    MF_CLEANUP_FREE struct key *table = calloc(size, sizeof *table);
    struct elem_walk w;
    struct elem e;
    if (!table) {
        return bad(c, "out of memory");
    }
    elem_begin(&w, document);
    while (elem_next(&w, &e)) {
        uint64_t h = XXH3_64bits(e.key, e.nkey);
        size_t at = h & (size - 1);
        for (; table[at].name; at = (at + 1) & (size - 1)) {
            if (table[at].hash == h && strcmp(table[at].name, e.key) == 0) {
                c->key = e.key;
                return bad(c, "the key is there twice");
            }
        }
        table[at] = (struct key){h, e.key};
    }
    return true;
}

/* Everything of one document but what its sub-documents hold. ret_nested: it has some. */
static bool check_document(struct check *c, const uint8_t *document, size_t len, bool keyed, bool *ret_nested)
{
    struct key few[FEW];
    const uint8_t *p = document + 4, *end = document + len - 1;
    size_t n = 0, size;
    *ret_nested = false;
    while (p < end) {
        uint8_t type = *p++;
        const uint8_t *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
        if (!nul || !type) {
            return bad(c, type ? "a key has no end" : "it ends before its length");
        }
        struct key k = {.name = (const char *)p};
        size_t nkey = (size_t)(nul - p);
        if (!mf_utf8_valid(p, nkey)) {
            return bad(c, "a key is not UTF-8");
        }
        c->key = k.name;
        p = nul + 1;
        if (!check_value(c, type, p, (size_t)(end - p), &size)) {
            return false;
        }
        p += size;
        *ret_nested =
            *ret_nested || type == BSON_TYPE_DOCUMENT || type == BSON_TYPE_ARRAY || type == BSON_TYPE_CODEWSCOPE;
        if (keyed && n < FEW) {
            k.hash = XXH3_64bits(k.name, nkey);
            for (size_t i = 0; i < n; i++) {
                if (few[i].hash == k.hash && strcmp(few[i].name, k.name) == 0) {
                    return bad(c, "the key is there twice");
                }
            }
            few[n] = k;
        }
        n++;
    }
    c->key = NULL;
    return !keyed || n <= FEW || check_many(c, document, n);
}

/* The document that an element holds; NULL: it holds none. */
static const uint8_t *held(const struct elem *e)
{
    return e->type == BSON_TYPE_DOCUMENT || e->type == BSON_TYPE_ARRAY ? e->value
           : e->type == BSON_TYPE_CODEWSCOPE                           ? e->value + 8 + elem_int32(e->value + 4)
                                                                       : NULL;
}

static bool enter(struct check *c, const uint8_t *document, size_t len, const char *key, bool keyed)
{
    bool nested;
    if (c->depth > MF_DOC_DEPTH) {
        c->key = key;
        return bad(c, "it is nested too deeply");
    }
    c->levels[c->depth].key = key;
    c->depth++;
    if (!check_document(c, document, len, keyed, &nested)) {
        return false;
    }
    struct level *l = &c->levels[c->depth - 1];
    l->p = nested ? document + 4 : document + len - 1;
    l->end = document + len - 1;
    return true;
}

static bool check_all(struct check *c, const uint8_t *p, size_t n)
{
    size_t len;
    if (!check_frame(c, p, n, &len) || len != n) {
        return bad(c, "its length is wrong");
    }
    if (!enter(c, p, n, NULL, true)) {
        return false;
    }
    while (c->depth) {
        struct level *l = &c->levels[c->depth - 1];
        struct elem_walk w = {l->p, l->end};
        struct elem e;
        if (!elem_next(&w, &e)) {
            c->depth--;
            continue;
        }
        l->p = w.p;
        const uint8_t *inner = held(&e);
        if (inner && !enter(c, inner, (size_t)elem_int32(inner), e.key, e.type != BSON_TYPE_ARRAY)) {
            return false;
        }
    }
    return true;
}

int elem_check(const void *p, size_t n, const char **ret_why, char ret_where[static ELEM_WHERE])
{
    struct check c = {0};
    if (n <= MF_DOC_BYTES && check_all(&c, p, n)) {
        return 0;
    }
    MF_CLEANUP_BUF struct mf_buf where = {.max = ELEM_WHERE - 1};
    for (unsigned i = 1; i < c.depth; i++) {
        mf_buf_puts(&where, i > 1 ? "." : "");
        mf_buf_puts(&where, c.levels[i].key);
    }
    if (c.key && mf_utf8_valid(c.key, strlen(c.key))) {
        mf_buf_puts(&where, c.depth > 1 ? "." : "");
        mf_buf_puts(&where, c.key);
    }
    mf_strlcpy(ret_where, mf_buf_str(&where), ELEM_WHERE);
    *ret_why = c.why ? c.why : "it is too large";
    return -1;
}
