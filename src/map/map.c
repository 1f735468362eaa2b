/* The map: tables by name, and for every relation version seen a projection that is made once and never changes. */
#include "map/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAP_MEMORY ((size_t)1 << 30)

struct map_table *mf_map_find(struct mf_map *m, const struct mf_table *t)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct mf_table *o = m->tables[i].origin;
        if (strcmp(o->name, t->name) == 0 && strcmp(o->schema, t->schema) == 0) {
            return &m->tables[i];
        }
    }
    return NULL;
}

struct map_table *mf_map_by_id(struct mf_map *m, uint32_t id)
{
    for (size_t i = 0; id && i < m->n; i++) {
        if (m->tables[i].origin->id == id) {
            return &m->tables[i];
        }
    }
    return NULL;
}

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "the table map has outgrown its memory");
}

/* A key names one row of the origin by the origin's rule of equality. Where the replica goes by the same rule, what is equal to it there is that row,
 * however it is spelled. Where it goes by another, only the bytes tell: a row with others that is equal to the replica is another row. */
static struct mf_table *replica_of(struct mf_arena *arena, const struct mf_table *origin,
                                   const struct mf_table *replica)
{
    struct mf_table *t = mf_table_copy(arena, replica);
    for (uint16_t i = 0; t && i < t->ncolumns; i++) {
        int at = mf_table_column(origin, t->columns[i].name);
        uint64_t rule = at < 0 ? 0 : origin->columns[at].equality;
        t->columns[i].by_bytes = t->columns[i].equality && t->columns[i].equality != rule;
    }
    return t;
}

static int add_table(struct mf_map *m, const struct mf_table *origin, const struct mf_table *replica,
                     struct mf_error *err)
{
    const struct mf_table *o = mf_table_copy(&m->arena, origin);
    const struct mf_table *r = replica ? replica_of(&m->arena, origin, replica) : NULL;
    if (!o || (replica && !r)) {
        return no_memory(err);
    }
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->tables = mf_xreallocarray(m->tables, m->cap, sizeof(*m->tables));
    }
    m->tables[m->n++] = (struct map_table){.origin = o, .replica = r};
    return 0;
}

int mf_map_new(const struct mf_catalog *origin, const struct mf_catalog *replica, enum mf_on_ddl on_ddl,
               struct mf_map **ret, struct mf_error *err)
{
    struct mf_map *m = mf_xcalloc(1, sizeof(*m));
    m->on_ddl = on_ddl;
    mf_arena_init(&m->arena, MAP_MEMORY);
    pthread_mutex_init(&m->mu, NULL);
    for (size_t i = 0; i < origin->n; i++) {
        const struct mf_table *o = &origin->tables[i];
        if (add_table(m, o, mf_catalog_find(replica, o->schema, o->name), err) < 0) {
            mf_map_free(m);
            return -1;
        }
    }
    *ret = m;
    return 0;
}

void mf_map_free(struct mf_map *m)
{
    if (!m) {
        return;
    }
    pthread_mutex_destroy(&m->mu);
    mf_arena_free(&m->arena);
    free(m->tables);
    free(m);
}

enum mf_on_ddl mf_map_policy(const struct mf_map *m)
{
    return m->on_ddl;
}

const struct mf_table *mf_map_target(struct mf_map *m, const struct mf_table *origin)
{
    pthread_mutex_lock(&m->mu);
    struct map_table *t = mf_map_find(m, origin);
    const struct mf_table *r = t ? t->replica : NULL;
    pthread_mutex_unlock(&m->mu);
    return r;
}

const struct mf_table *mf_map_origin(struct mf_map *m, const struct mf_table *like)
{
    pthread_mutex_lock(&m->mu);
    struct map_table *t = mf_map_find(m, like);
    const struct mf_table *o = t ? t->origin : NULL;
    pthread_mutex_unlock(&m->mu);
    return o;
}

int mf_map_accept(struct mf_map *m, const struct mf_table *seen, const struct mf_table *replica, struct mf_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&m->mu);
    struct map_table *t = mf_map_find(m, seen);
    if (!t) {
        rc = add_table(m, seen, replica, err);
    } else {
        struct mf_table now =
            *seen; /* what refers to it was read with the other tables, which are not looked at here */
        now.cascades = t->origin->cascades;
        now.ncascades = t->origin->ncascades;
        const struct mf_table *o = mf_table_copy(&m->arena, &now);
        const struct mf_table *r = replica_of(&m->arena, seen, replica);
        if (o && r) {
            t->origin = o;
            t->replica = r;
            t->versions = NULL; /* resolved ones stay valid for who holds them; the arena keeps them */
        } else {
            rc = no_memory(err);
        }
    }
    pthread_mutex_unlock(&m->mu);
    return rc;
}

int mf_map_cascades(struct mf_map *m, const struct mf_catalog *origin, struct mf_error *err)
{
    int rc = 0;
    bool changed = false;
    pthread_mutex_lock(&m->mu);
    for (size_t i = 0; rc == 0 && i < origin->n; i++) {
        struct map_table *t = mf_map_find(m, &origin->tables[i]);
        if (!t || mf_table_same_cascades(t->origin, &origin->tables[i])) {
            continue;
        }
        struct mf_table now = *t->origin;
        now.cascades = origin->tables[i].cascades;
        now.ncascades = origin->tables[i].ncascades;
        const struct mf_table *o = mf_table_copy(&m->arena, &now);
        if (!o) {
            rc = no_memory(err);
            break;
        }
        t->origin = o;
        t->versions = NULL;
        changed = true;
    }
    if (changed) {
        m->edition++;
    }
    pthread_mutex_unlock(&m->mu);
    return rc;
}

uint64_t mf_map_edition(const struct mf_map *m)
{
    return m->edition;
}

/* ---- resolving a version ---- */

/* True when every key column of `key_of` is among the columns of t; then they become its key, in that order. */
static bool take_key(struct mf_table *t, const struct mf_table *key_of)
{
    if (key_of->identity != MF_IDENTITY_KEY) {
        return false;
    }
    uint16_t n = 0;
    for (uint16_t i = 0; i < key_of->nkey; i++) {
        int at = mf_table_column(t, key_of->columns[key_of->key[i]].name);
        if (at < 0) {
            return false;
        }
        t->key[n++] = (uint16_t)at;
    }
    t->nkey = n;
    return n > 0;
}

static bool same_key_set(const struct mf_table *a, const struct mf_table *b)
{
    if (a->identity != b->identity || a->nkey != b->nkey) {
        return false;
    }
    for (uint16_t i = 0; i < a->nkey; i++) {
        int at = mf_table_column(b, a->columns[a->key[i]].name);
        bool found = false;
        for (uint16_t k = 0; k < b->nkey && !found; k++) {
            found = b->key[k] == at;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* Rows are found by what the stream sends. A table with a key whose stream carries whole old rows (REPLICA IDENTITY
 * FULL) is still found by its key: those columns are in the old row too. */
static void choose_key(struct mf_table *t, const struct mf_table *seen, const struct map_table *mt)
{
    t->identity = MF_IDENTITY_KEY;
    bool keyed;
    if (seen->identity == MF_IDENTITY_KEY) {
        keyed = (same_key_set(seen, mt->replica) && take_key(t, mt->replica)) || take_key(t, seen);
    } else {
        keyed = mt->origin->identity == MF_IDENTITY_KEY && take_key(t, mt->replica);
    }
    if (!keyed) {
        t->identity = MF_IDENTITY_FULL;
        t->nkey = 0;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        t->columns[i].in_key = false;
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        t->columns[t->key[i]].in_key = true;
    }
}

static struct map_version *make_version(struct mf_map *m, const struct map_table *mt, const struct mf_table *seen)
{
    struct map_version *v = mf_alloc0(&m->arena, sizeof(*v));
    struct mf_table *t = mf_alloc0(&m->arena, sizeof(*t));
    uint16_t *from = mf_alloc_array(&m->arena, seen->ncolumns ? seen->ncolumns : 1, sizeof(*from));
    if (!v || !t || !from || !(v->seen = mf_table_copy(&m->arena, seen))) {
        return NULL;
    }
    *t = *mt->replica;
    t->columns = mf_alloc_array(&m->arena, seen->ncolumns ? seen->ncolumns : 1, sizeof(*t->columns));
    t->key = mf_alloc_array(&m->arena, seen->ncolumns ? seen->ncolumns : 1, sizeof(*t->key));
    if (!t->columns || !t->key) {
        return NULL;
    }
    t->ncolumns = t->nkey = 0;
    t->cascades = mt->origin->cascades; /* what its server did */
    t->ncascades = mt->origin->ncascades;
    for (uint16_t i = 0; i < seen->ncolumns; i++) {
        int at = mf_table_column(mt->replica, seen->columns[i].name);
        if (at < 0 || mt->replica->columns[at].generated || mf_map_computed(mt->origin, &seen->columns[i])) {
            continue;
        }
        from[t->ncolumns] = i;
        t->columns[t->ncolumns++] = mt->replica->columns[at];
    }
    choose_key(t, seen, mt);
    v->rel = (struct mf_map_rel){.table = t,
                                 .seen_columns = seen->ncolumns,
                                 .straight = t->ncolumns == seen->ncolumns,
                                 .full = seen->identity == MF_IDENTITY_FULL,
                                 .from = from};
    return v;
}

int mf_map_resolve(struct mf_map *m, const struct mf_table *seen, const struct mf_map_rel **ret, struct mf_error *err)
{
    int rc = 0;
    const struct mf_map_rel *rel = NULL;
    pthread_mutex_lock(&m->mu);
    struct map_table *mt = mf_map_find(m, seen);
    if (mt && mt->replica) {
        struct map_version *v = mt->versions;
        while (v && !mf_map_same_shape(v->seen, seen)) {
            v = v->next;
        }
        if (!v && (v = make_version(m, mt, seen))) {
            v->next = mt->versions;
            mt->versions = v;
        }
        rel = v ? &v->rel : NULL;
        rc = v ? 0 : no_memory(err);
    }
    pthread_mutex_unlock(&m->mu);
    if (rc == 0) {
        *ret = rel;
    }
    return rc;
}
