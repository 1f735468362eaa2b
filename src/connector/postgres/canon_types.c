/*
 * Types in the model's terms.
 *
 * The server's own types are known by oid (canon.c). What users made is looked up: a domain is what it is made of, an enum its labels in their
 * order, citext a text. Everything else (arrays, ranges, composites, types of extensions) is OPAQUE: its text travels, and only this server
 * can say whether another text is the same value. Of arrays and composites it is told what they are made of (canon_document.c).
 */
#include "connector/postgres/canon.h"

#include "base/mem.h"
#include "connector/postgres/postgres.h"

#include <stdlib.h>
#include <string.h>

#define OIDS_MAX ((size_t)8 << 20) /* the list of types that is sent */

struct user_type {
    uint32_t oid;
    struct mf_type type; /* of its values, with the modifier of a domain */
    uint32_t made_oid;   /* under domains */
    int32_t made_mod;    /* -1: the column's own modifier counts */
};

struct user_types {
    struct user_type *all; /* sorted by oid */
    size_t n;
};

/* Of `which`: what each is made of under domains, whether that is an enum or citext. Arrays stay what they are. */
static const char types_sql[] = "WITH RECURSIVE " PG_MADE_CTE("SELECT pg_catalog.unnest($1::oid[])") //
    " SELECT m.typ, m.at, m.mod, t.typtype = 'e', p.proname = 'citextin'"
    " FROM made m JOIN pg_catalog.pg_type t ON t.oid = m.at LEFT JOIN pg_catalog.pg_proc p ON p.oid = t.typinput"
    " WHERE NOT m.arr ORDER BY m.typ";

static const char labels_sql[] = "SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = ANY "
                                 "($1::oid[]) ORDER BY enumtypid, enumsortorder";

static int compare_types(const void *a, const void *b)
{
    const struct user_type *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

static const struct user_type *find(const struct user_types *u, uint32_t oid)
{
    struct user_type key = {.oid = oid};
    return u->n ? bsearch(&key, u->all, u->n, sizeof key, compare_types) : NULL;
}

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the types of the tables' columns need too much memory");
}

static int compare_oids(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* "{1,2}": the types of the catalogue's columns that are not the server's own. False when there are none. */
static bool list_types(const struct mf_catalog *own, struct mf_buf *b)
{
    size_t n = 0, cap = 0;
    MF_CLEANUP_FREE uint32_t *oids = NULL;
    for (size_t i = 0; i < own->n; i++) {
        for (uint16_t k = 0; k < own->tables[i].ncolumns; k++) {
            uint32_t oid = own->tables[i].columns[k].type_id;
            if (oid < PG_FIRST_USER_OID) {
                continue;
            }
            if (n == cap) {
                cap = cap ? 2 * cap : 64;
                oids = mf_xreallocarray(oids, cap, sizeof *oids);
            }
            oids[n++] = oid;
        }
    }
    if (n == 0) {
        return false;
    }
    qsort(oids, n, sizeof *oids, compare_oids);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || oids[i] != oids[i - 1]) {
            mf_buf_printf(b, "%c%u", i ? ',' : '{', oids[i]);
        }
    }
    mf_buf_putc(b, '}');
    return true;
}

/* The labels of the enum whose rows begin at `row`, which moves past them. */
static const char **take_labels(const PGresult *r, int *row, struct mf_arena *arena, uint16_t *ret_n)
{
    uint32_t oid = pg_get_oid(r, *row, 0);
    int from = *row;
    while (*row < PQntuples(r) && pg_get_oid(r, *row, 0) == oid) {
        ++*row;
    }
    size_t n = (size_t)(*row - from);
    const char **labels = n <= UINT16_MAX ? mf_alloc_array(arena, n, sizeof *labels) : NULL;
    for (size_t i = 0; labels && i < n; i++) {
        labels[i] = mf_strdup_a(arena, PQgetvalue(r, from + (int)i, 1));
        if (!labels[i]) {
            return NULL;
        }
    }
    *ret_n = (uint16_t)n;
    return labels;
}

static int read_labels(PGconn *c, struct user_types *u, struct mf_arena *arena, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf list = {.max = OIDS_MAX};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    for (size_t i = 0; i < u->n; i++) {
        if (u->all[i].type.kind == MF_KIND_ENUM) {
            mf_buf_printf(&list, "%c%u", list.len ? ',' : '{', u->all[i].made_oid);
        }
    }
    if (list.len == 0) {
        return 0;
    }
    mf_buf_putc(&list, '}');
    const char *values[] = {pg_sql(&list, err)};
    if (!values[0] || pg_query_params(c, &r, err, labels_sql, 1, values) < 0) {
        return -1;
    }
    for (int row = 0; row < PQntuples(r);) {
        uint32_t oid = pg_get_oid(r, row, 0);
        uint16_t n = 0;
        const char **labels = take_labels(r, &row, arena, &n);
        if (!labels) {
            return too_big(err);
        }
        for (size_t i = 0; i < u->n; i++) {
            if (u->all[i].made_oid == oid) {
                u->all[i].type.labels = labels;
                u->all[i].type.nlabels = n;
            }
        }
    }
    return 0;
}

static int read_types(PGconn *c, const char *list, struct user_types *u, struct mf_arena *arena, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    const char *values[] = {list};
    if (pg_query_params(c, &r, err, types_sql, 1, values) < 0) {
        return -1;
    }
    u->all = mf_xcalloc((size_t)PQntuples(r) + 1, sizeof *u->all);
    for (int i = 0; i < PQntuples(r); i++) {
        struct user_type *t = &u->all[u->n++];
        t->oid = pg_get_oid(r, i, 0);
        t->made_oid = pg_get_oid(r, i, 1);
        t->made_mod = (int32_t)pg_get_i64(r, i, 2);
        bool is_enum = pg_get_bool(r, i, 3), is_citext = pg_get_bool(r, i, 4);
        t->type.kind = is_enum ? MF_KIND_ENUM : is_citext ? MF_KIND_TEXT : MF_KIND_OPAQUE;
    }
    return read_labels(c, u, arena, err);
}

static void type_of(const struct user_types *u, const struct mf_column *c, struct mf_type *ret)
{
    const struct user_type *t = find(u, c->type_id);
    if (!t) {
        pg_type_of(c, ret);
    } else if (t->made_oid < PG_FIRST_USER_OID) {
        pg_type_of_oid(t->made_oid, t->made_mod >= 0 ? t->made_mod : c->type_mod, ret);
    } else {
        *ret = t->type;
    }
}

static struct mf_type **all_types(const struct user_types *u, const struct mf_catalog *own, struct mf_arena *arena)
{
    struct mf_type **ret = mf_alloc_array(arena, own->n, sizeof *ret);
    for (size_t i = 0; ret && i < own->n; i++) {
        const struct mf_table *t = &own->tables[i];
        ret[i] = mf_alloc_array(arena, t->ncolumns, sizeof **ret);
        if (!ret[i]) {
            return NULL;
        }
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            type_of(u, &t->columns[k], &ret[i][k]);
        }
    }
    return ret;
}

int pg_canon_types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                   struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf list = {.max = OIDS_MAX};
    struct user_types u = {0};
    int rc = 0;
    if (list_types(own, &list)) {
        PG_LEASE(pg_db_of(db), l);
        const char *types = pg_sql(&list, err);
        rc = types && pg_lease(l.db, &l.conn, err) == 0 ? read_types(l.conn, types, &u, arena, err) : -1;
    }
    if (rc == 0) {
        *ret = all_types(&u, own, arena);
        rc = *ret ? pg_canon_shapes(db, own, arena, *ret, err) : too_big(err);
    }
    if (rc < 0) {
        mf_error_prefix(err, "reading the types of the tables' columns");
    }
    free(u.all);
    return rc;
}
