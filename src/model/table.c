#include "model/table.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "model/query_map.h"

#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

#define TYPE_TEXT_MAX ((size_t)1 << 20)

/* Each part is hashed with its length before it, so that no two lists of parts give the same bytes. */
static void hash_bytes(XXH3_state_t *h, const void *p, size_t n)
{
    unsigned char len[8];
    mf_put_u64le(len, n);
    XXH3_64bits_update(h, len, sizeof(len));
    XXH3_64bits_update(h, p, n);
}

static void hash_number(XXH3_state_t *h, uint64_t v)
{
    unsigned char b[8];
    mf_put_u64le(b, v);
    XXH3_64bits_update(h, b, sizeof(b));
}

uint64_t mf_table_shape(const struct mf_table *t)
{
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_column *c = &t->columns[i];
        if (c->generated) {
            continue;
        }
        hash_bytes(&h, c->name, strlen(c->name));
        hash_number(&h, c->type_id);
        hash_number(&h, (uint64_t)(int64_t)c->type_mod);
    }
    /* The key goes in by name: a generated column before it must not shift it. */
    hash_number(&h, t->identity);
    for (uint16_t i = 0; i < t->nkey; i++) {
        const char *name = t->columns[t->key[i]].name;
        hash_bytes(&h, name, strlen(name));
    }
    return XXH3_64bits_digest(&h);
}

uint64_t mf_table_catalog_shape(const struct mf_table *t)
{
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_number(&h, mf_table_shape(t));
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        hash_number(&h, (uint64_t)t->columns[i].number);
    }
    return XXH3_64bits_digest(&h);
}

static const struct mf_foreign *copy_foreign(struct mf_arena *arena, const struct mf_foreign *src)
{
    struct mf_foreign *f = mf_alloc(arena, sizeof(*f));
    const struct mf_type *t = mf_type_copy(arena, &src->type);
    if (!f || !t) {
        return NULL;
    }
    *f = *src;
    f->type = *t;
    f->own_type = src->own_type ? mf_strdup_a(arena, src->own_type) : NULL;
    return f->own_type || !src->own_type ? f : NULL;
}

static bool copy_column(struct mf_arena *arena, struct mf_column *dst, const struct mf_column *src)
{
    *dst = *src;
    dst->name = mf_strdup_a(arena, src->name);
    dst->type = src->type ? mf_strdup_a(arena, src->type) : NULL;
    dst->foreign = src->foreign ? copy_foreign(arena, src->foreign) : NULL;
    return dst->name && (dst->type || !src->type) && (dst->foreign || !src->foreign);
}

static uint64_t type_hash(const struct mf_type *t)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = TYPE_TEXT_MAX};
    struct mf_type plain = *t;
    plain.nlabels = 0;
    mf_type_put(&text, &plain);
    return XXH3_64bits(mf_buf_str(&text), text.len);
}

bool mf_column_show(struct mf_arena *arena, struct mf_column *c, const struct mf_type *t)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = TYPE_TEXT_MAX};
    struct mf_foreign *f = mf_alloc0(arena, sizeof *f);
    const struct mf_type *copy = mf_type_copy(arena, t);
    mf_type_put(&text, t);
    const char *shown = mf_strdup_a(arena, mf_buf_str(&text));
    if (!f || !copy || !shown) {
        return false;
    }
    uint64_t h = type_hash(t);
    *f = c->foreign ? *c->foreign
                    : (struct mf_foreign){.own_type = c->type,
                                          .own_type_id = c->type_id,
                                          .own_type_mod = c->type_mod,
                                          .own_element_id = c->element_id,
                                          .own_element_mod = c->element_mod};
    f->type = *copy;
    c->foreign = f;
    c->type = shown;
    c->type_id = 1 + (uint32_t)(h % (MF_TYPE_OF_ENGINE - 1));
    c->type_mod = (int32_t)(h >> 33);
    c->element_id = 0;
    c->element_mod = 0;
    return true;
}

static const char **copy_names(struct mf_arena *arena, const char **names, uint16_t n)
{
    const char **c = mf_alloc_array(arena, n, sizeof(*c));
    for (uint16_t i = 0; c && i < n; i++) {
        if (!(c[i] = mf_strdup_a(arena, names[i]))) {
            return NULL;
        }
    }
    return c;
}

static bool copy_cascades(struct mf_arena *arena, struct mf_table *dst, const struct mf_table *src)
{
    dst->cascades = mf_alloc_array(arena, src->ncascades, sizeof(*dst->cascades));
    for (uint16_t i = 0; dst->cascades && i < src->ncascades; i++) {
        struct mf_cascade *d = &dst->cascades[i];
        *d = src->cascades[i];
        d->schema = mf_strdup_a(arena, src->cascades[i].schema);
        d->table = mf_strdup_a(arena, src->cascades[i].table);
        d->from = copy_names(arena, src->cascades[i].from, d->n);
        d->to = copy_names(arena, src->cascades[i].to, d->n);
        if (!d->schema || !d->table || !d->from || !d->to) {
            return false;
        }
    }
    return dst->cascades != NULL;
}

struct mf_table *mf_table_copy(struct mf_arena *arena, const struct mf_table *t)
{
    struct mf_table *c = mf_alloc(arena, sizeof(*c));
    if (!c) {
        return NULL;
    }
    *c = *t;
    c->schema = mf_strdup_a(arena, t->schema);
    c->name = mf_strdup_a(arena, t->name);
    c->columns = mf_alloc_array(arena, t->ncolumns, sizeof(*c->columns));
    c->key = mf_alloc_array(arena, t->nkey, sizeof(*c->key));
    if (!c->schema || !c->name || !c->columns || !c->key || (t->ncascades && !copy_cascades(arena, c, t))) {
        return NULL;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!copy_column(arena, &c->columns[i], &t->columns[i])) {
            return NULL;
        }
    }
    if (t->nkey) {
        memcpy(c->key, t->key, t->nkey * sizeof(*c->key));
    }
    return t->made && !(c->made = mf_made_copy(arena, t->made)) ? NULL : c;
}

const char *mf_table_label(const struct mf_table *t, char *out, size_t n)
{
    snprintf(out, n, "%s.%s", t->schema, t->name);
    return out;
}

const struct mf_table *mf_catalog_find(const struct mf_catalog *c, const char *schema, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (mf_streq(c->tables[i].name, name) && mf_streq(c->tables[i].schema, schema)) {
            return &c->tables[i];
        }
    }
    return NULL;
}

const struct mf_table *mf_catalog_nearest(const struct mf_catalog *c, const char *written)
{
    const struct mf_table *best = NULL;
    const char *dot = strchr(written, '.'), *name = dot ? dot + 1 : written;
    size_t least = strlen(name) / 3 < 3 ? 4 : strlen(name) / 3 + 1;
    for (size_t i = 0; i < c->n; i++) {
        char label[300];
        const struct mf_table *t = &c->tables[i];
        size_t whole = dot ? mf_edit_distance(written, mf_table_label(t, label, sizeof label)) : SIZE_MAX;
        size_t alone = mf_edit_distance(name, t->name);
        alone += dot && alone < SIZE_MAX ? 2 : 0; /* of two of a name, the one whose schema is like it too */
        size_t d = whole < alone ? whole : alone;
        if (d < least) {
            least = d;
            best = t;
        }
    }
    return best;
}

const struct mf_table *mf_catalog_by_id(const struct mf_catalog *c, uint32_t id)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->tables[i].id == id) {
            return &c->tables[i];
        }
    }
    return NULL;
}

bool mf_catalog_first_of_schema(const struct mf_catalog *c, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (mf_streq(c->tables[k].schema, c->tables[i].schema)) {
            return false;
        }
    }
    return true;
}

int mf_table_column(const struct mf_table *t, const char *name)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (strcmp(t->columns[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

void mf_catalog_free(struct mf_catalog *c)
{
    if (c) {
        mf_arena_free(&c->arena);
        c->tables = NULL;
        c->n = 0;
    }
}
