/* Rows whose key is no document's id: somebody wrote them here. They have a name of their own in place of one, which says their key and is read back, so that they are
 * compared, told and mended like any other: `row {"id":"abc"}`. No id begins like this (bson/id.c). */
#include "connector/shred/internal.h"

#include "base/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX   "row {"
#define KEY_MAX  ((size_t)1 << 20)
#define HEX_NAME "hex"

static void free_json(json_t **o)
{
    json_decref(*o);
}

static json_t *part_json(const struct mf_value *v)
{
    if (v->kind != MF_BINARY) {
        return json_stringn(v->data, v->len);
    }
    MF_CLEANUP_BUF struct mf_buf hex = {.max = KEY_MAX};
    for (uint32_t i = 0; i < v->len; i++) {
        mf_buf_printf(&hex, "%02x", (unsigned char)v->data[i]);
    }
    return json_pack("{s:s}", HEX_NAME, mf_buf_str(&hex));
}

static int no_name(const struct docs_real *c, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "a key of table %s is too large to be named", c->of->tables[0].table->name);
}

int docs_odd_id(const struct docs_real *c, struct mf_arena *arena, const struct mf_row *root, struct mf_value *ret,
                struct mf_error *err)
{
    const struct mf_table *t = c->of->tables[0].table;
    MF_CLEANUP(free_json) json_t *o = json_object();
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &root->values[t->key[k]];
        if (json_object_set_new(o, t->columns[t->key[k]].name, mf_value_has_bytes(v) ? part_json(v) : json_null()) <
            0) {
            return no_name(c, err);
        }
    }
    MF_CLEANUP_FREE char *json = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    const char *text = json && strlen(json) < KEY_MAX ? mf_printf_a(arena, "row %s", json) : NULL;
    if (!text) {
        return no_name(c, err);
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(text), .data = text};
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool bytes_of(struct mf_arena *arena, const char *hex, struct mf_value *ret)
{
    size_t n = strlen(hex) / 2;
    char *out = mf_alloc(arena, n + 1);
    for (size_t i = 0; out && i < n; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (char)(high << 4 | low);
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)n, .data = out};
    return out != NULL;
}

static bool part_of(struct mf_arena *arena, const json_t *o, struct mf_value *ret)
{
    if (json_is_string(o)) {
        *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)json_string_length(o)};
        ret->data = mf_memdup_a(arena, json_string_value(o), ret->len);
        return ret->data != NULL;
    }
    const char *hex = json_string_value(json_object_get(o, HEX_NAME));
    return hex && bytes_of(arena, hex, ret);
}

static bool is_odd(const struct mf_value *id)
{
    return id->kind == MF_TEXT && id->len > strlen(PREFIX) && memcmp(id->data, PREFIX, strlen(PREFIX)) == 0;
}

/* MF_ROW: nobody gave such a name. */
static int odd_row(const struct docs_real *c, struct mf_arena *arena, const struct mf_value *id, struct mf_row *ret,
                   struct mf_error *err)
{
    const struct mf_table *t = c->of->tables[0].table;
    const size_t skip = strlen("row ");
    MF_CLEANUP(free_json) json_t *o = json_loadb(id->data + skip, id->len - skip, 0, NULL);
    struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof *v);
    if (!v) {
        return docs_no_memory(err, "a key is larger than the memory for it");
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (!part_of(arena, json_object_get(o, t->columns[t->key[k]].name), &v[t->key[k]])) {
            return mf_fail(err, MF_ROW, "MFDOC", "%.*s is no row of table %s", (int)(id->len < 200 ? id->len : 200),
                           id->data, t->name);
        }
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    return 0;
}

int docs_key_row(const struct docs_real *c, struct mf_arena *arena, const struct mf_value *id, struct mf_row *ret,
                 struct mf_error *err)
{
    return is_odd(id) ? odd_row(c, arena, id, ret, err) : mf_shred_key_row(c->of, arena, id, ret, err);
}
