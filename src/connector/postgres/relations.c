/* See relations.h. */
#include "connector/postgres/relations.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define RELATION_BYTES (4u << 20)
#define MAX_RELATIONS  (1u << 22)

void pg_relations_init(struct pg_relations *r, pg_key_lookup *lookup, void *ctx)
{
    *r = (struct pg_relations){.cap = 64, .lookup = lookup, .ctx = ctx};
    r->slots = mf_xcalloc(r->cap, sizeof *r->slots);
}

void pg_relations_free(struct pg_relations *r)
{
    for (size_t i = 0; i < r->cap; i++) {
        mf_arena_free(&r->slots[i].arena);
    }
    free(r->slots);
    r->slots = NULL;
    r->cap = r->n = 0;
}

static size_t slot_of(const struct pg_relations *r, uint32_t id)
{
    size_t i = (size_t)(id * 2654435761u) & (r->cap - 1);
    while (r->slots[i].id != 0 && r->slots[i].id != id) {
        i = (i + 1) & (r->cap - 1);
    }
    return i;
}

struct pg_relation *pg_relations_find(struct pg_relations *r, uint32_t id)
{
    if (r->last && r->last->id == id) {
        return r->last;
    }
    struct pg_relation *rel = &r->slots[slot_of(r, id)];
    if (id == 0 || rel->id != id) {
        return NULL;
    }
    r->last = rel;
    return rel;
}

static void grow(struct pg_relations *r)
{
    struct pg_relations bigger = *r;
    bigger.cap = r->cap * 2;
    bigger.last = NULL;
    bigger.slots = mf_xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < r->cap; i++) {
        if (r->slots[i].id != 0) {
            bigger.slots[slot_of(&bigger, r->slots[i].id)] = r->slots[i];
        }
    }
    free(r->slots);
    *r = bigger;
}

/* ---- keys ---- */

static void set_key_by_flags(struct mf_table *t)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].in_key) {
            t->key[t->nkey++] = i;
        }
    }
    t->identity = t->nkey > 0 ? MF_IDENTITY_KEY : MF_IDENTITY_FULL;
}

/* True, and the key set, when the names are columns of t and are either exactly the flagged ones or t is `full`. */
static bool set_key_by_names(struct mf_table *t, bool full, const char *const *names, size_t n)
{
    size_t flagged = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        flagged += t->columns[i].in_key;
    }
    if (n == 0 || n > t->ncolumns || (!full && n != flagged)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int at = mf_table_column(t, names[i]);
        if (at < 0 || (!full && !t->columns[at].in_key)) {
            return false;
        }
        t->key[i] = (uint16_t)at;
    }
    for (uint16_t i = 0; full && i < t->ncolumns; i++) {
        t->columns[i].in_key = false;
    }
    for (size_t i = 0; i < n; i++) {
        t->columns[t->key[i]].in_key = true;
    }
    t->nkey = (uint16_t)n;
    t->identity = MF_IDENTITY_KEY;
    return true;
}

static void set_key(struct pg_relations *r, struct mf_table *t, bool full)
{
    const char *const *names = NULL;
    size_t n = 0;
    if (r->lookup) {
        r->lookup(r->ctx, t, &names, &n);
    }
    if (set_key_by_names(t, full, names, n)) {
        return;
    }
    if (!full) {
        set_key_by_flags(t);
        return;
    }
    t->identity = MF_IDENTITY_FULL;
    t->nkey = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        t->columns[i].in_key = false;
    }
}

/* ---- the message ---- */

/* An empty namespace stands for pg_catalog. NULL when malformed or too much. */
static struct mf_table *decode_table(struct mf_arena *arena, struct mf_cursor *in, bool *ret_full)
{
    struct mf_table *t = mf_alloc0(arena, sizeof *t);
    uint32_t id = mf_read_u32be(in);
    const char *schema = mf_read_cstr(in), *name = mf_read_cstr(in);
    uint8_t identity = mf_read_u8(in);
    uint16_t n = mf_read_u16be(in);
    if (in->failed || !t || id == 0 || n > PG_MAX_COLUMNS) {
        return NULL;
    }
    t->id = id;
    t->schema = mf_strdup_a(arena, *schema ? schema : "pg_catalog");
    t->name = mf_strdup_a(arena, name);
    t->ncolumns = n;
    t->columns = mf_alloc_array(arena, n ? n : 1, sizeof *t->columns);
    t->key = mf_alloc_array(arena, n ? n : 1, sizeof *t->key);
    t->rows_estimate = t->bytes = -1;
    if (!t->schema || !t->name || !t->columns || !t->key) {
        return NULL;
    }
    for (uint16_t i = 0; i < n; i++) {
        struct mf_column *c = &t->columns[i];
        c->in_key = mf_read_u8(in) & 1;
        const char *column = mf_read_cstr(in);
        c->type_id = mf_read_u32be(in);
        c->type_mod = (int32_t)mf_read_u32be(in);
        c->name = column ? mf_strdup_a(arena, column) : NULL;
        if (!c->name) {
            return NULL;
        }
    }
    *ret_full = identity == 'f';
    return in->failed || mf_cursor_left(in) != 0 ? NULL : t;
}

static bool unchanged(const struct pg_relation *rel, const struct mf_table *t, uint64_t shape)
{
    return rel->id != 0 && rel->shape == shape && strcmp(rel->table->schema, t->schema) == 0 &&
           strcmp(rel->table->name, t->name) == 0;
}

int pg_relations_decode(struct pg_relations *r, struct mf_cursor *in, const struct mf_table **ret, bool *ret_news,
                        struct mf_error *err)
{
    struct mf_arena arena;
    bool full = false;
    mf_arena_init(&arena, RELATION_BYTES);
    struct mf_table *t = decode_table(&arena, in, &full);
    if (!t) {
        mf_arena_free(&arena);
        return mf_fail(err, MF_FATAL, "MFPROTO", "the change stream is not understood: a table's description");
    }
    set_key(r, t, full);
    uint64_t shape = mf_table_shape(t);
    struct pg_relation *rel = &r->slots[slot_of(r, t->id)];
    if (unchanged(rel, t, shape)) {
        mf_arena_free(&arena);
        *ret = rel->table;
        *ret_news = false;
        return 0;
    }
    if (rel->id == 0) {
        if (r->n >= MAX_RELATIONS) {
            mf_arena_free(&arena);
            return mf_fail(err, MF_FATAL, "MFPROTO", "the change stream describes more than %u tables", MAX_RELATIONS);
        }
        if (++r->n * 3 > r->cap * 2) {
            grow(r);
            rel = &r->slots[slot_of(r, t->id)];
        }
    }
    mf_arena_free(&rel->arena);
    *rel = (struct pg_relation){.id = t->id, .arena = arena, .table = t, .shape = shape};
    *ret = t;
    *ret_news = true;
    return 0;
}
