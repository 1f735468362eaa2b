#include "model/doc_map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void mf_doc_map_free(struct mf_doc_map *m)
{
    if (m) {
        mf_arena_free(&m->arena);
        free(m);
    }
}

/* ---- the hash: each part's after the one before ---- */

static uint64_t number(uint64_t h, uint64_t n)
{
    return XXH3_64bits_withSeed(&n, sizeof n, h);
}

/* One that is not said is another one than an empty one. */
static uint64_t text(uint64_t h, const char *s)
{
    return s ? number(XXH3_64bits_withSeed(s, strlen(s), h), strlen(s)) : number(h, UINT64_MAX);
}

static uint64_t texts(uint64_t h, const char *const *list, size_t n)
{
    h = number(h, n);
    for (size_t i = 0; i < n; i++) {
        h = text(h, list[i]);
    }
    return h;
}

static uint64_t column(uint64_t h, const struct mf_doc_column *c)
{
    const char *const words[] = {c->name, c->type, c->as, c->time, c->present, c->fallback};
    const uint64_t rules[] = {c->missing, c->null, c->wrong, c->range};
    h = texts(h, c->path.names, c->path.n);
    h = texts(h, words, sizeof words / sizeof *words);
    return XXH3_64bits_withSeed(rules, sizeof rules, h);
}

/* Tables within tables are as deep as the file's reader lets them be. */
static uint64_t table(uint64_t h, const struct mf_doc_table *t)
{
    const char *const words[] = {t->to, t->position, t->key, t->key_type};
    const uint64_t rules[] = {t->kind, t->missing, t->null, t->ncolumns, t->ntables};
    h = texts(h, t->path.names, t->path.n);
    h = texts(h, words, sizeof words / sizeof *words);
    h = texts(h, t->parent, t->nparent);
    h = XXH3_64bits_withSeed(rules, sizeof rules, h);
    for (size_t i = 0; i < t->ncolumns; i++) {
        h = column(h, &t->columns[i]);
    }
    for (size_t i = 0; i < t->ntables; i++) {
        h = table(h, &t->tables[i]);
    }
    return h;
}

/* Which collection stands first means nothing. */
uint64_t mf_doc_map_hash(const struct mf_doc_map *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct mf_doc_collection *c = &m->collections[i];
        uint64_t h = text(text(text(0, c->database), c->collection), c->rest);
        h = number(table(h, &c->root), c->nignore);
        for (size_t k = 0; k < c->nignore; k++) {
            h = texts(h, c->ignore[k].names, c->ignore[k].n);
        }
        sum += h;
    }
    return sum;
}
