/*
 * The diffs of a partial JSON update, put to the document they were made from.
 *
 * Only containers on the way to a change are taken apart into nodes; all else stays where it is in the old document or in the
 * diffs, and is printed from there. What a diff expects and does not find is an error: the document is then not the one that
 * the source had.
 */
#include "base/arena.h"
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/jsonb.h"

#include <string.h>

enum { DIFF_REPLACE, DIFF_INSERT, DIFF_REMOVE };

#define MAX_LEGS 128

struct item;
struct node {
    struct my_json raw;
    bool open; /* taken apart: raw is not used any more */
    bool object;
    struct item *items;
    size_t n, cap;
};

struct item {
    const char *key; /* of an object */
    size_t key_len;
    struct node *node;
};

/* One step of a path: a member, or a place in an array, counted from its end when `last`. */
struct leg {
    const char *key; /* NULL: a place */
    size_t key_len;
    uint32_t index;
    bool last;
};

struct patch {
    struct mf_arena arena;
    struct node *root;
    struct mf_error *err;
};

static int no_room(struct patch *p)
{
    return mf_fail(p->err, MF_FATAL, "MFBIG", "a JSON document is larger than there is room for");
}

static int does_not_apply(struct patch *p)
{
    return my_json_bad(p->err, "a change to it does not fit what it was");
}

static struct node *new_node(struct patch *p, const struct my_json *raw)
{
    struct node *n = mf_alloc0(&p->arena, sizeof(*n));
    if (!n) {
        no_room(p);
        return NULL;
    }
    n->raw = *raw;
    return n;
}

/* ---- paths: $, .member, ."member", [7], [last], [last-1] ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_hex4(struct mf_cursor *in, uint32_t *ret)
{
    const char *p = mf_read_bytes(in, 4);
    *ret = 0;
    for (int i = 0; p && i < 4; i++) {
        int v = hex_value(p[i]);
        if (v < 0) {
            return false;
        }
        *ret = *ret << 4 | (uint32_t)v;
    }
    return p != NULL;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

/* What follows a backslash. */
static bool read_escape(struct mf_cursor *in, char *out, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = (char)mf_read_u8(in);
    if (c != 'u') {
        const char *at = c ? strchr(from, c) : NULL;
        if (!at) {
            return false;
        }
        out[(*len)++] = to[at - from];
        return true;
    }
    uint32_t v, low;
    if (!read_hex4(in, &v)) {
        return false;
    }
    if (v >= 0xd800 && v < 0xdc00) {
        const char *second = mf_read_bytes(in, 2);
        if (!second || second[0] != '\\' || second[1] != 'u' || !read_hex4(in, &low) || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        v = 0x10000 + ((v - 0xd800) << 10 | (low - 0xdc00));
    }
    *len += put_utf8(out + *len, v);
    return true;
}

/* Up to the closing quote. The text never grows. */
static bool read_quoted(struct patch *p, struct mf_cursor *in, struct leg *ret)
{
    size_t len = 0;
    char *out = mf_alloc(&p->arena, mf_cursor_left(in));
    while (out && mf_cursor_left(in)) {
        char c = (char)mf_read_u8(in);
        if (c == '"') {
            ret->key = out;
            ret->key_len = len;
            return true;
        }
        if (c != '\\') {
            out[len++] = c;
        } else if (!read_escape(in, out, &len)) {
            return false;
        }
    }
    return false;
}

static bool read_member(struct patch *p, struct mf_cursor *in, struct leg *ret)
{
    if (mf_cursor_left(in) && *in->p == '"') {
        mf_read_u8(in);
        return read_quoted(p, in, ret);
    }
    const uint8_t *from = in->p;
    while (in->p < in->end && *in->p != '.' && *in->p != '[') {
        in->p++;
    }
    ret->key = (const char *)from;
    ret->key_len = (size_t)(in->p - from);
    return ret->key_len > 0;
}

static bool read_index(struct mf_cursor *in, uint32_t *ret)
{
    uint64_t v = 0;
    const uint8_t *from = in->p;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9' && v <= UINT32_MAX) {
        v = v * 10 + (*in->p++ - (uint8_t)'0');
    }
    *ret = (uint32_t)v;
    return in->p > from && v <= UINT32_MAX;
}

static bool read_place(struct mf_cursor *in, struct leg *ret)
{
    if (mf_cursor_left(in) >= 4 && memcmp(in->p, "last", 4) == 0) {
        ret->last = true;
        in->p += 4;
        if (mf_cursor_left(in) && *in->p == '-') {
            in->p++;
            if (!read_index(in, &ret->index)) {
                return false;
            }
        }
    } else if (!read_index(in, &ret->index)) {
        return false;
    }
    return mf_read_u8(in) == ']';
}

static int read_path(struct patch *p, const void *text, size_t n, struct leg *legs, size_t *ret_n)
{
    struct mf_cursor in;
    size_t count = 0;
    mf_cursor_init(&in, text, n);
    bool good = mf_read_u8(&in) == '$';
    while (good && mf_cursor_left(&in)) {
        uint8_t kind = mf_read_u8(&in);
        if (count == MAX_LEGS) {
            return my_json_bad(p->err, "a path is too long");
        }
        struct leg *leg = &legs[count++];
        *leg = (struct leg){0};
        good = kind == '.' ? read_member(p, &in, leg) : kind == '[' && read_place(&in, leg);
    }
    *ret_n = count;
    return good && !in.failed ? 0 : my_json_bad(p->err, "a path that is none");
}

/* ---- nodes ---- */

static int reserve_items(struct patch *p, struct node *n, size_t cap)
{
    struct item *items = mf_alloc_array(&p->arena, cap, sizeof(*items));
    if (!items) {
        return no_room(p);
    }
    if (n->n) {
        memcpy(items, n->items, n->n * sizeof(*items));
    }
    n->items = items;
    n->cap = cap;
    return 0;
}

/* Takes a container apart, once. What is none stays as it is. */
static int open_node(struct patch *p, struct node *n)
{
    struct my_json_box b;
    if (n->open || !my_json_is_box(&n->raw)) {
        return 0;
    }
    if (my_json_box(&n->raw, &b, p->err) < 0 || reserve_items(p, n, (size_t)b.n + 1) < 0) {
        return -1;
    }
    n->open = true;
    n->object = b.object;
    for (uint32_t i = 0; i < b.n; i++) {
        struct item *it = &n->items[i];
        struct my_json raw;
        if ((b.object && my_json_key(&b, i, &it->key, &it->key_len, p->err) < 0) ||
            my_json_item(&b, i, &raw, p->err) < 0 || !(it->node = new_node(p, &raw))) {
            return -1;
        }
        n->n++;
    }
    return 0;
}

/* Keys are ordered by their length, then their bytes, as the server keeps them. */
static int compare_key(const struct item *it, const struct leg *leg)
{
    if (it->key_len != leg->key_len) {
        return it->key_len < leg->key_len ? -1 : 1;
    }
    return memcmp(it->key, leg->key, leg->key_len);
}

/* Where the leg leads in an opened container: the item, or with *ret_found false the place where it would be. */
static size_t find_item(const struct node *n, const struct leg *leg, bool *ret_found)
{
    size_t at;
    *ret_found = false;
    if (leg->key) {
        for (at = 0; n->object && at < n->n; at++) {
            int order = compare_key(&n->items[at], leg);
            if (order >= 0) {
                *ret_found = order == 0;
                break;
            }
        }
        return at;
    }
    if (n->object) {
        return 0;
    }
    if (leg->last) {
        *ret_found = leg->index < n->n;
        return *ret_found ? n->n - 1 - leg->index : 0;
    }
    *ret_found = leg->index < n->n;
    return *ret_found ? leg->index : n->n;
}

/* What is no array counts as an array of itself alone. */
static bool is_itself(const struct node *n, const struct leg *leg)
{
    return !leg->key && leg->index == 0 && !(n->open && !n->object);
}

static int seek(struct patch *p, const struct leg *legs, size_t n, struct node **ret)
{
    struct node *at = p->root;
    for (size_t i = 0; i < n; i++) {
        bool found;
        if (open_node(p, at) < 0) {
            return -1;
        }
        if (is_itself(at, &legs[i])) {
            continue;
        }
        size_t where = at->open ? find_item(at, &legs[i], &found) : 0;
        if (!at->open || !found) {
            return does_not_apply(p);
        }
        at = at->items[where].node;
    }
    *ret = at;
    return open_node(p, at);
}

static int insert(struct patch *p, struct node *parent, const struct leg *leg, const struct my_json *raw)
{
    bool found;
    if (!parent->open || parent->object != (leg->key != NULL)) {
        return does_not_apply(p);
    }
    size_t at = find_item(parent, leg, &found);
    if (found && leg->key) {
        return does_not_apply(p);
    }
    if (parent->n == parent->cap && reserve_items(p, parent, parent->cap * 2) < 0) {
        return -1;
    }
    memmove(&parent->items[at + 1], &parent->items[at], (parent->n - at) * sizeof(*parent->items));
    parent->items[at] = (struct item){leg->key, leg->key_len, new_node(p, raw)};
    parent->n++;
    return parent->items[at].node ? 0 : -1;
}

static int take_out(struct patch *p, struct node *parent, const struct leg *leg)
{
    bool found;
    if (!parent->open) {
        return does_not_apply(p);
    }
    size_t at = find_item(parent, leg, &found);
    if (!found) {
        return does_not_apply(p);
    }
    parent->n--;
    memmove(&parent->items[at], &parent->items[at + 1], (parent->n - at) * sizeof(*parent->items));
    return 0;
}

/* ---- diffs ---- */

static const void *read_sized(struct mf_cursor *in, size_t *ret_n)
{
    uint64_t n = my_read_lenenc(in);
    if (n > mf_cursor_left(in)) {
        in->failed = true;
        return NULL;
    }
    *ret_n = (size_t)n;
    return mf_read_bytes(in, *ret_n);
}

static int apply_one(struct patch *p, struct mf_cursor *in)
{
    struct leg legs[MAX_LEGS];
    struct node *node;
    size_t nlegs = 0, npath = 0, nvalue = 0;
    uint8_t what = mf_read_u8(in);
    const void *path = read_sized(in, &npath), *value = what == DIFF_REMOVE ? NULL : read_sized(in, &nvalue);
    if (in->failed || what > DIFF_REMOVE) {
        return my_json_bad(p->err, "a change of unknown form");
    }
    struct my_json raw = {0};
    if (value) {
        struct my_json_source *source = mf_alloc0(&p->arena, sizeof(*source));
        if (!source) {
            return no_room(p);
        }
        if (my_json_open(&raw, source, value, nvalue, p->err) < 0) {
            return -1;
        }
    }
    if (read_path(p, path, npath, legs, &nlegs) < 0) {
        return -1;
    }
    if (what == DIFF_REPLACE) {
        if (seek(p, legs, nlegs, &node) < 0) {
            return -1;
        }
        *node = (struct node){.raw = raw};
        return 0;
    }
    if (nlegs == 0) {
        return does_not_apply(p);
    }
    if (seek(p, legs, nlegs - 1, &node) < 0) {
        return -1;
    }
    return what == DIFF_INSERT ? insert(p, node, &legs[nlegs - 1], &raw) : take_out(p, node, &legs[nlegs - 1]);
}

static int put_node(struct mf_buf *out, const struct node *n, unsigned depth, struct mf_error *err)
{
    if (!n->open) {
        return my_json_put(out, &n->raw, depth, err);
    }
    if (depth >= MY_JSON_DEPTH) {
        return my_json_bad(err, "it is nested too deeply");
    }
    mf_buf_putc(out, n->object ? '{' : '[');
    for (size_t i = 0; i < n->n; i++) {
        if (i) {
            mf_buf_append(out, ", ", 2);
        }
        if (n->object) {
            my_json_put_string(out, n->items[i].key, n->items[i].key_len);
            mf_buf_append(out, ": ", 2);
        }
        if (put_node(out, n->items[i].node, depth + 1, err) < 0) {
            return -1;
        }
    }
    mf_buf_putc(out, n->object ? '}' : ']');
    return my_json_room(out, err);
}

int my_json_patch(struct mf_buf *out, const void *base, size_t nbase, const void *diffs, size_t ndiffs,
                  struct mf_error *err)
{
    struct patch p = {.err = err};
    struct my_json_source source = {0};
    struct my_json raw;
    struct mf_cursor in;
    if (ndiffs == 0) {
        return my_json_text(out, base, nbase, err);
    }
    if (my_json_open(&raw, &source, base, nbase, err) < 0) {
        return -1;
    }
    /* The smallest item has three bytes and becomes a node and an item. */
    mf_arena_init(&p.arena, ((size_t)1 << 20) + 64 * (nbase + ndiffs));
    mf_cursor_init(&in, diffs, ndiffs);
    int rc = (p.root = new_node(&p, &raw)) ? 0 : -1;
    while (rc == 0 && mf_cursor_left(&in)) {
        rc = apply_one(&p, &in);
    }
    if (rc == 0) {
        rc = put_node(out, p.root, 0, err);
    }
    mf_arena_free(&p.arena);
    return rc;
}
