/* Types of users: what is in system_schema.types, and a type of CQL made of it when a column's type names one. */
#include "connector/cassandra/catalog.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 4096

struct reading {
    struct mf_arena *arena;
    struct cass_udts *udts; /* all: on the heap while it grows */
};

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the catalogue's types need too much memory");
}

/* A list<text>, each with a NUL behind it. */
static int take_texts(struct mf_arena *arena, struct cql_bytes cell, const char *const **ret, uint32_t *ret_n,
                      struct mf_error *err)
{
    struct mf_cursor r;
    mf_cursor_init(&r, cell.p, cell.n > 0 ? (size_t)cell.n : 0);
    uint32_t n = cell.n > 0 ? mf_read_u32be(&r) : 0;
    const char **texts = n <= FIELDS_MAX ? mf_alloc_array(arena, n + 1, sizeof *texts) : NULL;
    for (uint32_t i = 0; texts && i < n; i++) {
        uint32_t len = mf_read_u32be(&r);
        const char *p = mf_read_bytes(&r, len);
        if (!p || !(texts[i] = mf_memdup_a(arena, p, len))) {
            return p ? too_big(err) : mf_fail(err, MF_FATAL, "MFPROTO", "a type's fields cannot be read");
        }
    }
    if (!texts) {
        return too_big(err);
    }
    *ret = texts;
    *ret_n = n;
    return 0;
}

static int take_type(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct reading *r = ctx;
    struct cass_udts *u = r->udts;
    uint32_t ntypes = 0;
    if (u->n == u->cap) {
        u->cap = u->cap ? 2 * u->cap : 16;
        u->all = mf_xreallocarray(u->all, u->cap, sizeof *u->all);
    }
    struct cass_udt *t = &u->all[u->n];
    *t = (struct cass_udt){.keyspace = cass_look_text(r->arena, cells[0]), .name = cass_look_text(r->arena, cells[1])};
    if (!t->keyspace || !t->name) {
        return too_big(err);
    }
    if (take_texts(r->arena, cells[2], &t->fields, &t->n, err) < 0 ||
        take_texts(r->arena, cells[3], &t->types, &ntypes, err) < 0) {
        return -1;
    }
    if (t->n != ntypes) {
        return mf_fail(err, MF_FATAL, "MFPROTO", "type %s.%s has not one type for each field", t->keyspace, t->name);
    }
    u->n += !cass_is_system(t->keyspace);
    return 0;
}

static bool may_name_one(const struct mf_catalog *tables)
{
    for (size_t i = 0; i < tables->n; i++) {
        for (uint16_t k = 0; k < tables->tables[i].ncolumns; k++) {
            const char *type = tables->tables[i].columns[k].type;
            if (type && strchr(type, '<')) {
                return true;
            }
        }
    }
    return false;
}

int cass_udts_read(struct mf_cql *c, const struct mf_catalog *tables, struct mf_arena *arena, struct cass_udts *ret,
                   struct mf_error *err)
{
    struct cass_udts u = {0};
    struct reading r = {.arena = arena, .udts = &u};
    if (tables && !may_name_one(tables)) {
        *ret = u;
        return 0;
    }
    int rc = cass_look(c, "SELECT keyspace_name, type_name, field_names, field_types FROM system_schema.types", 4, 0,
                       take_type, &r, err);
    struct cass_udt *kept = rc == 0 ? mf_alloc_array(arena, u.n + 1, sizeof *kept) : NULL;
    if (kept && u.n) {
        memcpy(kept, u.all, u.n * sizeof *kept);
    }
    free(u.all);
    if (!kept) {
        return rc < 0 ? -1 : too_big(err);
    }
    *ret = (struct cass_udts){.all = kept, .n = u.n};
    return 0;
}

static const struct cass_udt *find(const struct cass_udt_scope *s, const char *name)
{
    for (size_t i = 0; i < s->udts->n; i++) {
        if (mf_streq(s->udts->all[i].keyspace, s->keyspace) && mf_streq(s->udts->all[i].name, name)) {
            return &s->udts->all[i];
        }
    }
    return NULL;
}

const struct cql_type *cass_udt_find(void *ctx, const char *name)
{
    struct cass_udt_scope *s = ctx;
    struct mf_error ignored = {0};
    const struct cass_udt *is = find(s, name);
    struct cql_type *t = is && s->depth < CQL_TYPE_DEPTH ? mf_alloc0(s->arena, sizeof *t) : NULL;
    const struct cql_type **sub = t ? mf_alloc_array(s->arena, is->n + 1u, sizeof *sub) : NULL;
    if (!sub) {
        return NULL;
    }
    s->depth++;
    for (uint32_t i = 0; i < is->n; i++) {
        if (cql_type_parse(is->types[i], strlen(is->types[i]), cass_udt_find, s, s->arena, &sub[i], &ignored) < 0) {
            s->depth--;
            return NULL;
        }
    }
    s->depth--;
    *t = (struct cql_type){
        .kind = CQL_K_UDT, .nsub = is->n, .sub = sub, .fields = is->fields, .keyspace = is->keyspace, .name = is->name};
    return t;
}
