/* Tables: their shapes, and what tests do to them from outside. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/memory/dialect.h"
#include "connector/memory/stamped.h"

struct mem_table *mem_table_find(const struct mf_mem_server *s, const char *schema, const char *name)
{
    for (size_t i = 0; i < s->ntables; i++) {
        struct mem_table *t = s->tables[i];
        if (!t->dropped && strcmp(t->shape->table.name, name) == 0 && strcmp(t->shape->table.schema, schema) == 0) {
            return t;
        }
    }
    return NULL;
}

struct mem_table *mem_table_need(const struct mf_mem_server *s, const char *schema, const char *name,
                                 struct mf_error *err)
{
    struct mem_table *t = mem_table_find(s, schema, name);
    if (!t) {
        mf_fail(err, MF_FATAL, "42P01", "table %s.%s does not exist on %s", schema, name, s->name);
    }
    return t;
}

/* Shapes are small and bounded by MEM_MAX_TABLES and DDL of tests: out of memory is the end. */
static void *need(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

struct mem_shape *mem_shape_new(struct mf_mem_server *s, uint32_t id, const char *schema, const char *name,
                                const struct mf_mem_column *columns, size_t n)
{
    struct mf_arena *a = &s->arena;
    struct mem_shape *h = need(mf_alloc0(a, sizeof *h));
    struct mf_table *t = &h->table;
    t->id = id;
    t->schema = need(mf_strdup_a(a, schema));
    t->name = need(mf_strdup_a(a, name));
    t->ncolumns = (uint16_t)n;
    t->columns = need(mf_alloc_array(a, n, sizeof *t->columns));
    t->key = need(mf_alloc_array(a, n, sizeof *t->key));
    t->rows_estimate = t->bytes = -1;
    h->seeds = need(mf_alloc_array(a, n, sizeof *h->seeds));
    h->toast = need(mf_alloc_array(a, n, sizeof *h->toast));
    h->text = need(mf_alloc_array(a, n, sizeof *h->text));
    h->unique = -1;
    h->other = s->knobs.other && strcmp(schema, "midflight") != 0;
    for (uint16_t i = 0; i < n; i++) {
        const struct mf_mem_column *c = &columns[i];
        t->columns[i] = (struct mf_column){.name = need(mf_strdup_a(a, c->name)),
                                           .type = h->other  ? (c->text ? "string" : "number")
                                                   : c->text ? "text"
                                                             : "bigint",
                                           .type_id = (c->text ? 25u : 20u) + h->other,
                                           .type_mod = -1,
                                           .in_key = c->in_key,
                                           .not_null = c->in_key};
        if (c->in_key) {
            t->key[t->nkey++] = i;
        }
        if (c->unique) {
            h->unique = i;
        }
        h->seeds[i] = XXH64(c->name, strlen(c->name), 3);
        h->toast[i] = c->toast;
        h->text[i] = c->text;
    }
    t->identity = t->nkey ? MF_IDENTITY_KEY : MF_IDENTITY_FULL;
    return h;
}

void mem_shape_columns(const struct mem_table *t, struct mf_mem_column *ret)
{
    const struct mem_shape *h = t->shape;
    for (uint16_t i = 0; i < h->table.ncolumns; i++) {
        ret[i] = (struct mf_mem_column){.name = h->table.columns[i].name,
                                        .text = h->text[i],
                                        .in_key = h->table.columns[i].in_key,
                                        .toast = h->toast[i],
                                        .unique = h->unique == i,
                                        .max_len = t->max_len[i]};
    }
}

struct mem_table *mem_table_add(struct mf_mem_server *s, const char *schema, const char *name,
                                const struct mf_mem_column *columns, size_t n)
{
    if (s->ntables == MEM_MAX_EVER) {
        abort();
    }
    struct mem_table *t = mf_xcalloc(1, sizeof *t);
    t->shape = mem_shape_new(s, s->next_id++, schema, name, columns, n);
    t->max_len = mf_xcalloc(n + 1, sizeof *t->max_len);
    for (size_t i = 0; i < n; i++) {
        t->max_len[i] = columns[i].max_len;
    }
    t->rows = mem_rows_new();
    t->book = strcmp(schema, "midflight") == 0;
    t->has_key = t->has_unique = true;
    t->name_hash = XXH64(name, strlen(name), XXH64(schema, strlen(schema), 5));
    s->tables[s->ntables++] = t;
    return t;
}

int mf_mem_create_table(struct mf_mem_server *s, const char *schema, const char *name,
                        const struct mf_mem_column *columns, size_t n, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_table_find(s, schema, name)) {
        return mf_fail(err, MF_FATAL, "42P07", "table %s.%s exists already", schema, name);
    }
    mem_table_add(s, schema, name, columns, n);
    return 0;
}

int mf_mem_drop_table(struct mf_mem_server *s, const char *schema, const char *name, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_need(s, schema, name, err);
    if (!t) {
        return -1;
    }
    t->dropped = true;
    return 0;
}

int mf_mem_add_column(struct mf_mem_server *s, const char *schema, const char *name, const struct mf_mem_column *c,
                      struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_need(s, schema, name, err);
    if (!t) {
        return -1;
    }
    for (size_t i = 0; i < s->nlocks; i++) {
        if (s->locks[i].table == t) {
            return mf_fail(err, MF_RETRY, "55P03", "table %s.%s is written by another transaction", schema, name);
        }
    }
    size_t n = t->shape->table.ncolumns;
    MF_CLEANUP_FREE struct mf_mem_column *columns = mf_xcalloc(n + 1, sizeof *columns);
    mem_shape_columns(t, columns);
    columns[n] = *c;
    t->shape = mem_shape_new(s, t->shape->table.id, schema, name, columns, n + 1);
    t->max_len = mf_xreallocarray(t->max_len, n + 2, sizeof *t->max_len);
    t->max_len[n] = c->max_len;
    struct mem_rows *rows = mem_rows_new();
    MF_CLEANUP_FREE struct mf_value *v = mf_xcalloc(n + 1, sizeof *v);
    for (size_t i = 0; i < t->rows->n; i++) {
        memcpy(v, t->rows->rows[i]->v, n * sizeof *v);
        mem_rows_add(rows, mem_row_new(t->shape, v));
    }
    mem_rows_unref(t->rows);
    t->rows = rows;
    return 0;
}

void mf_mem_set_max_len(struct mf_mem_server *s, const char *schema, const char *name, const char *column, uint32_t max)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_find(s, schema, name);
    int at = t ? mem_column_at(&t->shape->table, column) : -1;
    if (at >= 0) {
        t->max_len[at] = max;
    }
}

int mf_mem_table_rows(struct mf_mem_server *s, const char *schema, const char *name, mf_row_sink *emit, void *ctx)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_find(s, schema, name);
    if (!t) {
        return -1;
    }
    for (size_t i = 0; i < t->rows->n; i++) {
        MF_CLEANUP_FREE char *text = NULL;
        MF_CLEANUP_FREE struct mf_value *v = mem_row_said(t->shape, t->rows->rows[i]->v, true, &text);
        struct mf_row row = {.n = t->rows->rows[i]->n, .values = v};
        struct mf_error err = {0};
        if (emit(ctx, &row, &err) < 0) {
            return -1;
        }
    }
    return 0;
}

bool mf_mem_table_exists(struct mf_mem_server *s, const char *schema, const char *name)
{
    MEM_LOCKED;
    return mem_table_find(s, schema, name) != NULL;
}

uint64_t mf_mem_table_digest(struct mf_mem_server *s, const char *schema, const char *name)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_find(s, schema, name);
    return t ? mem_mix(t->rows->sum + t->name_hash) : 0;
}

uint64_t mf_mem_digest(struct mf_mem_server *s)
{
    MEM_LOCKED;
    uint64_t sum = 0;
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mem_table *t = s->tables[i];
        if (!t->dropped && !t->book) {
            sum += mem_mix(t->rows->sum + t->name_hash);
        }
    }
    return sum;
}

static void tell_row(const struct mem_row *r, FILE *out)
{
    fputs(" (", out);
    for (uint16_t c = 0; r && c < r->n; c++) {
        fprintf(out, "%s%.*s", c ? ", " : "", r->v[c].kind == MF_NULL ? 4 : (int)r->v[c].len,
                r->v[c].kind == MF_NULL ? "NULL" : r->v[c].data);
    }
    fputs(")", out);
}

void mf_mem_tell(struct mf_mem_server *s, uint64_t xid, FILE *out)
{
    MEM_LOCKED;
    static const char *const ops[] = {"", "insert", "update", "delete", "truncate"};
    for (size_t i = 0; i < s->nlog; i++) {
        const struct mem_log *l = &s->log[i];
        if (l->xid != xid) {
            continue;
        }
        if (!l->change) {
            fprintf(out, "      %s %llu\n", l->kind == MEM_LOG_COMMIT ? "commit" : "abort", (unsigned long long)l->lsn);
            continue;
        }
        fprintf(out, "      %s %s", ops[l->change->op], l->change->table->shape->table.name);
        tell_row(l->change->old_row, out);
        tell_row(l->change->new_row, out);
        fputc('\n', out);
    }
}

void mf_mem_dump(struct mf_mem_server *s, FILE *out)
{
    MEM_LOCKED;
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mem_table *t = s->tables[i];
        if (t->dropped) {
            continue;
        }
        fprintf(out, "  %s %s.%s%s%s\n", s->name, t->shape->table.schema, t->shape->table.name,
                t->has_key ? "" : " (no key yet)", t->has_unique ? "" : " (no unique yet)");
        for (size_t k = 0; k < t->rows->n; k++) {
            fputs("   ", out);
            tell_row(t->rows->rows[k], out);
            fputc('\n', out);
        }
    }
}

static struct mf_value corrupted(const struct mem_shape *s, uint16_t c, const char *plain, char *said)
{
    struct mf_value v = {.kind = MF_TEXT, .len = (uint32_t)strlen(plain), .data = plain};
    if (s->other) {
        v.len = (uint32_t)mem_say(s->text[c], &v, said);
        v.data = said;
    }
    return v;
}

bool mf_mem_corrupt(struct mf_mem_server *s, const char *schema, const char *name, unsigned which, int what)
{
    MEM_LOCKED;
    struct mem_table *t = mem_table_find(s, schema, name);
    if (!t || t->rows->n == 0 || s->open) {
        return false;
    }
    mem_rows_own(&t->rows);
    size_t at = which % t->rows->n;
    struct mem_row *old = t->rows->rows[at];
    MF_CLEANUP_FREE struct mf_value *v = mf_xcalloc(old->n, sizeof *v);
    memcpy(v, old->v, old->n * sizeof *v);
    uint16_t c = (uint16_t)(old->n - 1);
    char said[32];
    bool keyed = t->shape->table.identity == MF_IDENTITY_KEY;
    if (what == 1) {
        mem_rows_remove(t->rows, at);
    } else if (what == 2 && !keyed) {
        mem_rows_add(t->rows, mem_row_ref(old));
    } else if (what == 2) {
        const char *ghost = t->shape->text[t->shape->table.key[0]] ? "zzz-ghost" : "999999";
        v[t->shape->table.key[0]] = corrupted(t->shape, t->shape->table.key[0], ghost, said);
        if (t->shape->unique >= 0) {
            v[t->shape->unique] = (struct mf_value){.kind = MF_NULL};
        }
        mem_rows_add(t->rows, mem_row_new(t->shape, v));
    } else {
        while (c > 0 && (t->shape->table.columns[c].in_key || t->shape->unique == c)) {
            c--;
        }
        if (t->shape->table.columns[c].in_key || t->shape->unique == c) {
            return false;
        }
        const char *wrong = t->shape->text[c] ? "flipped" : "424242";
        v[c] = corrupted(t->shape, c, wrong, said);
        mem_rows_replace(t->rows, at, mem_row_new(t->shape, v));
    }
    if (mem_keeps_last(s)) {
        mem_stamped_take(s, t);
    }
    return true;
}
