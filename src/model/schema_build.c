#include "model/schema_build.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define LEFT_TEXT 2000 /* bytes of a definition that are kept */

const char *mf_schema_keep(struct mf_schema_build *b, const char *text)
{
    const char *kept = text ? mf_strdup_a(&b->schema->arena, text) : NULL;
    b->full = b->full || (text && !kept);
    return text && !kept ? "" : kept;
}

void *mf_schema_array(struct mf_schema_build *b, size_t n, size_t size)
{
    void *p = mf_alloc_array(&b->schema->arena, n ? n : 1, size);
    b->full = b->full || !p;
    if (p) {
        memset(p, 0, (n ? n : 1) * size);
    }
    return p;
}

void mf_schema_leave(struct mf_schema_build *b, const char *why, const char *text, const char *object_fmt, ...)
{
    struct mf_schema *s = b->schema;
    va_list ap;
    va_start(ap, object_fmt);
    MF_CLEANUP_FREE char *object = mf_xvasprintf(object_fmt, ap);
    va_end(ap);
    if (s->nleft == b->left_cap) { /* what stays behind in the arena is at most as much again */
        size_t cap = b->left_cap ? b->left_cap * 2 : 64;
        struct mf_schema_left *more = mf_schema_array(b, cap, sizeof *more);
        if (!more) {
            return;
        }
        if (s->nleft) {
            memcpy(more, s->left, s->nleft * sizeof *more);
        }
        s->left = more;
        b->left_cap = cap;
    }
    MF_CLEANUP_FREE char *cut = text ? mf_xstrndup(text, mf_utf8_cut(text, strlen(text), LEFT_TEXT)) : NULL;
    s->left[s->nleft++] = (struct mf_schema_left){
        .object = mf_schema_keep(b, object), .why = mf_schema_keep(b, why), .text = mf_schema_keep(b, cut)};
}

void mf_schema_begin(struct mf_schema_build *b, struct mf_schema *s, const struct mf_catalog *own,
                     struct mf_type *const *types)
{
    *b = (struct mf_schema_build){.schema = s, .own = own};
    if (!(s->tables = mf_schema_array(b, own->n, sizeof *s->tables))) {
        return;
    }
    for (; s->ntables < own->n && !b->full; s->ntables++) {
        const struct mf_table *from = &own->tables[s->ntables];
        struct mf_schema_table *t = &s->tables[s->ntables];
        t->schema = mf_schema_keep(b, from->schema);
        t->name = mf_schema_keep(b, from->name);
        t->columns = mf_schema_array(b, from->ncolumns, sizeof *t->columns);
        for (; t->columns && t->ncolumns < from->ncolumns; t->ncolumns++) {
            const struct mf_column *c = &from->columns[t->ncolumns];
            t->columns[t->ncolumns] = (struct mf_schema_column){.name = mf_schema_keep(b, c->name),
                                                                .type = types[s->ntables][t->ncolumns],
                                                                .own_type = mf_schema_keep(b, c->type),
                                                                .not_null = c->not_null,
                                                                .generated = c->generated};
        }
    }
}

int mf_schema_end(const struct mf_schema_build *b, struct mf_error *err)
{
    return b->full ? mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", MF_SCHEMA_BYTES) : 0;
}

bool mf_schema_is_key(const struct mf_table *own, const struct mf_schema_index *x)
{
    if (!x->unique || x->n != own->nkey) {
        return false;
    }
    for (uint16_t i = 0; i < x->n; i++) {
        if (x->columns[i].column != own->key[i] || x->columns[i].prefix) {
            return false;
        }
    }
    return true;
}
