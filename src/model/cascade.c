/* Comparing what servers do by themselves to rows that refer to others (mf_table.cascades). */
#include "model/table.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <string.h>
#include <xxhash.h>

static bool same_cascade(const struct mf_cascade *a, const struct mf_cascade *b)
{
    bool same = a->n == b->n && a->on_delete == b->on_delete && a->on_update == b->on_update &&
                strcmp(a->schema, b->schema) == 0 && strcmp(a->table, b->table) == 0;
    for (uint16_t i = 0; same && i < a->n; i++) {
        same = strcmp(a->from[i], b->from[i]) == 0 && strcmp(a->to[i], b->to[i]) == 0;
    }
    return same;
}

bool mf_table_has_cascade(const struct mf_table *t, const struct mf_cascade *k)
{
    for (uint16_t i = 0; i < t->ncascades; i++) {
        if (same_cascade(&t->cascades[i], k)) {
            return true;
        }
    }
    return false;
}

bool mf_table_same_cascades(const struct mf_table *a, const struct mf_table *b)
{
    bool same = a->ncascades == b->ncascades;
    for (uint16_t i = 0; same && i < a->ncascades; i++) {
        same = mf_table_has_cascade(b, &a->cascades[i]) && mf_table_has_cascade(a, &b->cascades[i]);
    }
    return same;
}

static void put_name(struct mf_buf *b, const char *name)
{
    mf_buf_append(b, name, strlen(name) + 1);
}

static uint64_t hash_of(const struct mf_table *t, const struct mf_cascade *k)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1u << 20};
    put_name(&b, t->schema);
    put_name(&b, t->name);
    put_name(&b, k->schema);
    put_name(&b, k->table);
    for (uint16_t i = 0; i < k->n; i++) {
        put_name(&b, k->from[i]);
        put_name(&b, k->to[i]);
    }
    mf_buf_printf(&b, "%d %d", k->on_delete, k->on_update);
    return XXH3_64bits(b.data, b.len);
}

uint64_t mf_catalog_cascades_hash(const struct mf_catalog *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct mf_table *t = &c->tables[i];
        for (uint16_t j = 0; j < t->ncascades; j++) {
            if (mf_catalog_find(c, t->cascades[j].schema, t->cascades[j].table)) {
                sum += hash_of(t, &t->cascades[j]);
            }
        }
    }
    return sum;
}
