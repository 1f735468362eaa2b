/* Rows and versions of tables: immutable once shared, counted by references. */
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "connector/memory/dialect.h"

uint64_t mem_mix(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static uint64_t value_hash(const struct mf_value *v, uint64_t seed)
{
    return v->kind == MF_NULL ? 0 : XXH64(v->data, v->len, seed);
}

/* Of what it is for the plain kind. *ret_apart: the other kind has no such value. */
static uint64_t plain_hash(const struct mem_shape *s, uint16_t c, const struct mf_value *v, bool *ret_apart)
{
    struct mf_value plain = *v;
    MF_CLEANUP_FREE char *text = NULL;
    if (s->other && v->kind == MF_TEXT) {
        text = mf_xmalloc(v->len + 1u);
        plain.len = (uint32_t)mem_unsay(s->text[c], v, text);
        plain.data = text;
    }
    *ret_apart |= mem_unknown_text(&plain);
    return value_hash(&plain, s->seeds[c]);
}

struct mem_row *mem_row_new(const struct mem_shape *shape, const struct mf_value *values)
{
    uint16_t n = shape->table.ncolumns;
    size_t bytes = 0;
    for (uint16_t i = 0; i < n; i++) {
        bytes += values[i].kind == MF_NULL ? 0 : values[i].len;
    }
    struct mem_row *r = mf_xmalloc(sizeof *r + n * sizeof r->v[0] + bytes);
    char *at = (char *)&r->v[n];
    r->refs = 1;
    r->n = n;
    r->hash = 0;
    r->apart = false;
    for (uint16_t i = 0; i < n; i++) {
        r->v[i] = (struct mf_value){.kind = values[i].kind};
        if (values[i].kind != MF_NULL) {
            r->v[i].len = values[i].len;
            r->v[i].data = at;
            if (values[i].len) {
                memcpy(at, values[i].data, values[i].len);
            }
            at += values[i].len;
        }
        r->hash += plain_hash(shape, i, &r->v[i], &r->apart);
    }
    return r;
}

struct mem_row *mem_row_ref(struct mem_row *r)
{
    if (r) {
        r->refs++;
    }
    return r;
}

void mem_row_unref(struct mem_row *r)
{
    if (r && --r->refs == 0) {
        free(r);
    }
}

uint64_t mem_row_hash(const struct mem_row *r, const struct mem_shape *shape, const struct mf_table *t)
{
    if (t->ncolumns == shape->table.ncolumns) {
        return mem_mix(r->hash);
    }
    uint64_t sum = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        int at = mem_column_at(&shape->table, t->columns[i].name);
        if (at >= 0) {
            bool apart = false;
            sum += plain_hash(shape, (uint16_t)at, &r->v[at], &apart);
        }
    }
    return mem_mix(sum);
}

/* What it is in the sum of its table. */
static uint64_t share(const struct mem_row *r)
{
    return r->apart ? 0 : mem_mix(r->hash);
}

struct mem_rows *mem_rows_new(void)
{
    struct mem_rows *r = mf_xcalloc(1, sizeof *r);
    r->refs = 1;
    return r;
}

struct mem_rows *mem_rows_ref(struct mem_rows *r)
{
    r->refs++;
    return r;
}

void mem_rows_unref(struct mem_rows *r)
{
    if (!r || --r->refs > 0) {
        return;
    }
    mem_rows_clear(r);
    free(r->rows);
    free(r);
}

void mem_rows_own(struct mem_rows **slot)
{
    struct mem_rows *from = *slot;
    if (from->refs == 1) {
        return;
    }
    struct mem_rows *r = mem_rows_new();
    r->n = from->n;
    r->cap = from->n + 4;
    r->sum = from->sum;
    r->rows = mf_xcalloc(r->cap, sizeof(struct mem_row *));
    for (size_t i = 0; i < r->n; i++) {
        r->rows[i] = mem_row_ref(from->rows[i]);
    }
    from->refs--;
    *slot = r;
}

void mem_rows_add(struct mem_rows *r, struct mem_row *row)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 8;
        r->rows = mf_xreallocarray(r->rows, r->cap, sizeof(struct mem_row *));
    }
    r->rows[r->n++] = row;
    r->sum += share(row);
}

void mem_rows_remove(struct mem_rows *r, size_t i)
{
    r->sum -= share(r->rows[i]);
    mem_row_unref(r->rows[i]);
    memmove(&r->rows[i], &r->rows[i + 1], (r->n - i - 1) * sizeof(struct mem_row *));
    r->n--;
}

void mem_rows_replace(struct mem_rows *r, size_t i, struct mem_row *row)
{
    r->sum += share(row) - share(r->rows[i]);
    mem_row_unref(r->rows[i]);
    r->rows[i] = row;
}

void mem_rows_clear(struct mem_rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        mem_row_unref(r->rows[i]);
    }
    r->n = 0;
    r->sum = 0;
}

static bool same(const struct mf_value *a, const struct mf_value *b)
{
    return a->kind == b->kind && a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

size_t mem_rows_by_key(const struct mem_rows *r, const struct mem_shape *s, const struct mf_value *key)
{
    for (size_t i = 0; i < r->n; i++) {
        bool equal = true;
        for (uint16_t k = 0; equal && k < s->table.nkey; k++) {
            equal = same(&r->rows[i]->v[s->table.key[k]], &key[s->table.key[k]]);
        }
        if (equal) {
            return i;
        }
    }
    return SIZE_MAX;
}

size_t mem_rows_by_all(const struct mem_rows *r, const struct mem_shape *s, const struct mf_value *all)
{
    for (size_t i = 0; i < r->n; i++) {
        bool equal = true;
        for (uint16_t k = 0; equal && k < s->table.ncolumns; k++) {
            equal = same(&r->rows[i]->v[k], &all[k]);
        }
        if (equal) {
            return i;
        }
    }
    return SIZE_MAX;
}

size_t mem_rows_by_ref(const struct mem_rows *r, const struct mem_row *row)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->rows[i] == row) {
            return i;
        }
    }
    return SIZE_MAX;
}

static int64_t number(const struct mf_value *v)
{
    char text[32] = {0};
    memcpy(text, v->data, v->len < sizeof text - 1 ? v->len : sizeof text - 1);
    return strtoll(text[0] == '#' ? text + 1 : text, NULL, 10);
}

int mem_compare(bool text, const struct mf_value *a, const struct mf_value *b)
{
    if (!text) {
        int64_t x = number(a), y = number(b);
        return x < y ? -1 : x > y;
    }
    uint32_t n = a->len < b->len ? a->len : b->len;
    int c = n ? memcmp(a->data, b->data, n) : 0;
    return c ? c : (a->len < b->len ? -1 : a->len > b->len);
}

int mem_compare_key(const struct mem_shape *s, const struct mf_value *a, const struct mf_value *b)
{
    for (uint16_t k = 0; k < s->table.nkey; k++) {
        uint16_t c = s->table.key[k];
        int d = mem_compare(s->text[c], &a[c], &b[c]);
        if (d) {
            return d;
        }
    }
    return 0;
}

uint64_t mem_key_hash(const struct mem_shape *s, const struct mf_value *v)
{
    uint64_t h = 1;
    for (uint16_t k = 0; k < s->table.nkey; k++) {
        h = mem_mix(h + value_hash(&v[s->table.key[k]], k + 7));
    }
    return h | 1;
}
