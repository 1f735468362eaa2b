/* The bounds of chunks in canonical form: the values of the key, one after the other, each as `t5:hello` or, where it is bytes (or has a NUL byte in
 * it), as hexadecimal digits with b or n for the t. What one engine cuts by, the other reads as a key of its own. */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define BOUND_BYTES (1u << 20)

static void put_part(struct mf_buf *b, const struct mf_value *v)
{
    static const char hex[] = "0123456789abcdef";
    bool plain = v->kind == MF_TEXT && !memchr(v->data, '\0', v->len);
    mf_buf_printf(b, "%c%u:", plain ? 't' : v->kind == MF_TEXT ? 'n' : 'b', v->len);
    for (uint32_t i = 0; !plain && i < v->len; i++) {
        mf_buf_putc(b, hex[(uint8_t)v->data[i] >> 4]);
        mf_buf_putc(b, hex[v->data[i] & 15]);
    }
    if (plain) {
        mf_buf_append(b, v->data, v->len);
    }
}

/* The key as a row as wide as the table. `values` are in key order. */
static struct mf_value *widen(struct mf_arena *arena, const struct mf_table *t, const struct mf_value *values)
{
    struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *v);
    for (uint16_t i = 0; v && i < t->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; v && k < t->nkey; k++) {
        v[t->key[k]] = values[k];
    }
    return v;
}

int face_bound_shown(const struct face_db *f, const struct mf_table *shown, const struct mf_table *own,
                     const char *bound, char *ret, bool *ret_fits, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MF_CHUNK_BOUND - 1};
    MF_CLEANUP_ARENA struct mf_arena arena;
    struct mf_row key = {0}, row = {0}, canonical = {0};
    mf_arena_init(&arena, BOUND_BYTES);
    *ret_fits = true;
    if (f->canon->bound_get(own, bound, &arena, &key, err) < 0) {
        return -1;
    }
    row = (struct mf_row){.n = own->ncolumns, .values = widen(&arena, own, key.values)};
    if (!row.values) {
        return face_no_memory(err, "the bound of a chunk is too large");
    }
    if (face_row_shown(f, shown, &arena, &row, &canonical, err) < 0) {
        return -1;
    }
    for (uint16_t k = 0; k < own->nkey; k++) {
        const struct mf_value *v = &canonical.values[own->key[k]];
        if (v->kind != MF_TEXT && v->kind != MF_BINARY) {
            *ret_fits = false;
            return 0;
        }
        put_part(&text, v);
    }
    *ret_fits = mf_buf_ok(&text);
    mf_strlcpy(ret, mf_buf_str(&text), MF_CHUNK_BOUND);
    return 0;
}

static int not_a_bound(const char *bound, const struct mf_table *t, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCHUNK", "chunk bound \"%.100s\" does not fit the key of %s.%s", bound, t->schema,
                   t->name);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* *at moves past the part. False: it is none. */
static bool get_part(const char **at, struct mf_arena *arena, struct mf_value *ret)
{
    char form = **at, *end = NULL;
    unsigned long len = form && isdigit((unsigned char)(*at)[1]) ? strtoul(*at + 1, &end, 10) : 0;
    size_t bytes = form == 't' ? len : len * 2;
    if (!end || *end != ':' || (form != 't' && form != 'n' && form != 'b') || len > MF_CHUNK_BOUND ||
        strlen(end + 1) < bytes) {
        return false;
    }
    char *v = mf_memdup_a(arena, end + 1, len);
    for (unsigned long i = 0; v && form != 't' && i < len; i++) {
        int hi = digit(end[1 + 2 * i]), lo = digit(end[2 + 2 * i]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        v[i] = (char)(hi << 4 | lo);
    }
    *ret = (struct mf_value){.kind = form == 'b' ? MF_BINARY : MF_TEXT, .len = (uint32_t)len, .data = v};
    *at = end + 1 + bytes;
    return v != NULL;
}

int face_bound_own(const struct face_db *f, const struct mf_table *shown, const struct mf_table *own, const char *bound,
                   char *ret, bool *ret_fits, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MF_CHUNK_BOUND - 1};
    MF_CLEANUP_ARENA struct mf_arena arena;
    mf_arena_init(&arena, BOUND_BYTES);
    struct mf_value *canonical = mf_alloc_array(&arena, shown->nkey + 1u, sizeof *canonical);
    struct mf_value *values = mf_alloc_array(&arena, shown->nkey + 1u, sizeof *values);
    const char *at = bound;
    *ret_fits = true;
    if (!canonical || !values) {
        return face_no_memory(err, "the bound of a chunk is too large");
    }
    for (uint16_t k = 0; k < shown->nkey; k++) {
        const struct mf_column *c = &shown->columns[shown->key[k]];
        if (!get_part(&at, &arena, &canonical[k])) {
            return not_a_bound(bound, shown, err);
        }
        if (face_value_own(f, c->foreign ? &c->foreign->type : NULL, c->name, &arena, true, &canonical[k], &values[k],
                           err) < 0) {
            return -1;
        }
        *ret_fits &= values[k].kind != MF_REFUSED;
    }
    if (*at) {
        return not_a_bound(bound, shown, err);
    }
    struct mf_row key = {.n = shown->nkey, .values = values};
    if (*ret_fits && f->canon->bound_put(own, &key, &text, err) < 0) {
        if (!mf_streq(err->code, "MFCHUNK")) {
            return -1;
        }
        *ret_fits = false; /* too long, here */
    }
    mf_strlcpy(ret, mf_buf_str(&text), MF_CHUNK_BOUND);
    return 0;
}
