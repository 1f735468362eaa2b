/*
 * What is here: see catalog.h.
 *
 * Tables have a UUID, which tells one from another that was made later under its name; its hash is the table's number. How many rows there are nobody knows
 * here; each node estimates the partitions of its own ranges, so all nodes are asked, and a table whose partitions have several rows has more than that.
 */
#include "connector/cassandra/catalog.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/cass.h"

#include <stdlib.h>
#include <string.h>

#define CATALOG_BYTES ((size_t)256 << 20)

bool cass_is_system(const char *keyspace)
{
    return mf_streq(keyspace, "system") || mf_starts_with(keyspace, "system_");
}

static bool is_users(const char *keyspace)
{
    return !cass_is_system(keyspace) && !mf_streq(keyspace, CASS_BOOK);
}

/* ---- reading ---- */

struct table_row {
    const char *keyspace, *name;
    uint32_t id;
};

struct reading {
    struct mf_arena *arena;
    const struct mf_filter *filter;
    struct table_row *tables; /* heap; sorted by id until all are numbered */
    size_t ntables, tables_cap;
    struct cass_column_row *columns; /* heap */
    size_t ncolumns, columns_cap;
};

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the catalogue needs more than %zu bytes", CATALOG_BYTES);
}

static int take_table(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct reading *r = ctx;
    if (r->ntables == r->tables_cap) {
        r->tables_cap = r->tables_cap ? 2 * r->tables_cap : 64;
        r->tables = mf_xreallocarray(r->tables, r->tables_cap, sizeof *r->tables);
    }
    struct table_row *t = &r->tables[r->ntables];
    *t = (struct table_row){.keyspace = cass_look_text(r->arena, cells[0]), .name = cass_look_text(r->arena, cells[1])};
    if (!t->keyspace || !t->name) {
        return too_big(err);
    }
    if (cells[2].n != 16) {
        return mf_fail(err, MF_FATAL, "MFPROTO", "table %s.%s has no id", t->keyspace, t->name);
    }
    t->id = cass_table_id(cells[2].p);
    r->ntables += is_users(t->keyspace);
    return 0;
}

static int take_column(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct reading *r = ctx;
    if (r->ncolumns == r->columns_cap) {
        r->columns_cap = r->columns_cap ? 2 * r->columns_cap : 256;
        r->columns = mf_xreallocarray(r->columns, r->columns_cap, sizeof *r->columns);
    }
    struct cass_column_row *c = &r->columns[r->ncolumns];
    *c = (struct cass_column_row){.keyspace = cass_look_text(r->arena, cells[0]),
                                  .table = cass_look_text(r->arena, cells[1]),
                                  .name = cass_look_text(r->arena, cells[2]),
                                  .kind = cass_look_text(r->arena, cells[3]),
                                  .position = (int)cass_look_number(cells[4]),
                                  .type = cass_look_text(r->arena, cells[5])};
    if (!c->keyspace || !c->table || !c->name || !c->kind || !c->type) {
        return too_big(err);
    }
    r->ncolumns += is_users(c->keyspace);
    return 0;
}

static int compare_columns(const void *a, const void *b)
{
    const struct cass_column_row *x = a, *y = b;
    int d = strcmp(x->keyspace, y->keyspace);
    d = d ? d : strcmp(x->table, y->table);
    return d ? d : strcmp(x->name, y->name);
}

static int compare_tables(const void *a, const void *b)
{
    const struct table_row *x = a, *y = b;
    int d = strcmp(x->keyspace, y->keyspace);
    return d ? d : strcmp(x->name, y->name);
}

static int compare_ids(const void *a, const void *b)
{
    const struct table_row *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : compare_tables(a, b);
}

/* A column that was dropped and is there again. */
static int take_dropped(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct reading *r = ctx;
    struct cass_column_row key = {.keyspace = cass_look_text(r->arena, cells[0]),
                                  .table = cass_look_text(r->arena, cells[1]),
                                  .name = cass_look_text(r->arena, cells[2])};
    if (!key.keyspace || !key.table || !key.name) {
        return too_big(err);
    }
    struct cass_column_row *c =
        r->ncolumns ? bsearch(&key, r->columns, r->ncolumns, sizeof key, compare_columns) : NULL;
    if (c) {
        c->dropped_ms = cass_look_number(cells[3]);
    }
    return 0;
}

/* Ids that chance has made equal are told apart by the tables' names: n² / 2^33. */
static void number_tables(struct reading *r)
{
    qsort(r->tables, r->ntables, sizeof *r->tables, compare_ids);
    for (size_t i = 1; i < r->ntables; i++) {
        if (r->tables[i].id <= r->tables[i - 1].id) {
            r->tables[i].id = r->tables[i - 1].id + 1;
        }
    }
    qsort(r->tables, r->ntables, sizeof *r->tables, compare_tables);
}

/* where: "" or a condition. */
static int read_rows(struct mf_cql *c, struct reading *r, const char *where, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 4096};
    mf_buf_printf(&q, "SELECT keyspace_name, table_name, id FROM system_schema.tables%s", where);
    if (cass_look_buf(c, &q, 3, 0, take_table, r, err)) {
        return -1;
    }
    mf_buf_printf(
        &q, "SELECT keyspace_name, table_name, column_name, kind, position, type FROM system_schema.columns%s", where);
    if (cass_look_buf(c, &q, 6, 0, take_column, r, err)) {
        return -1;
    }
    if (r->ncolumns) {
        qsort(r->columns, r->ncolumns, sizeof *r->columns, compare_columns);
    }
    mf_buf_printf(
        &q, "SELECT keyspace_name, table_name, column_name, dropped_time FROM system_schema.dropped_columns%s", where);
    if (cass_look_buf(c, &q, 4, 0, take_dropped, r, err)) {
        return -1;
    }
    if (r->ntables) {
        number_tables(r);
    }
    return 0;
}

/* Columns follow their tables, both in the order of names; those of views, and of tables made meanwhile, have none. */
static int build(struct reading *r, struct mf_catalog *cat, struct mf_error *err)
{
    size_t at = 0;
    cat->tables = mf_alloc_array(r->arena, r->ntables + 1, sizeof *cat->tables);
    for (size_t i = 0; cat->tables && i < r->ntables; i++) {
        const struct table_row *t = &r->tables[i];
        struct cass_column_row key = {.keyspace = t->keyspace, .table = t->name, .name = ""};
        while (at < r->ncolumns && compare_columns(&r->columns[at], &key) < 0) {
            at++;
        }
        size_t end = at;
        while (end < r->ncolumns && mf_streq(r->columns[end].table, t->name) &&
               mf_streq(r->columns[end].keyspace, t->keyspace)) {
            end++;
        }
        if (end == at || !mf_filter_match(r->filter, t->keyspace, t->name)) {
            continue;
        }
        struct mf_table *made = &cat->tables[cat->n];
        if (!cass_table_build(r->arena, &r->columns[at], end - at, made)) {
            return too_big(err);
        }
        made->id = t->id;
        cat->n++;
    }
    return cat->tables ? 0 : too_big(err);
}

static int read_catalog(struct mf_cql *c, const struct mf_filter *filter, const char *where, struct mf_catalog *ret,
                        struct mf_error *err)
{
    struct mf_catalog cat = {0};
    mf_arena_init(&cat.arena, CATALOG_BYTES);
    struct reading r = {.arena = &cat.arena, .filter = filter};
    int rc = read_rows(c, &r, where, err) < 0 ? -1 : build(&r, &cat, err);
    free(r.tables);
    free(r.columns);
    if (rc < 0) {
        mf_catalog_free(&cat);
        mf_error_prefix(err, "reading the catalogue");
        return -1;
    }
    *ret = cat;
    return 0;
}

int cass_table_read(struct mf_cql *c, const char *keyspace, const char *name, struct mf_arena *arena,
                    struct mf_table **ret, struct mf_error *err)
{
    static const struct mf_filter all;
    MF_CLEANUP_BUF struct mf_buf where = {.max = 4096};
    struct mf_catalog cat = {0};
    mf_buf_puts(&where, " WHERE keyspace_name = ");
    cass_put_literal(&where, keyspace);
    mf_buf_puts(&where, " AND table_name = ");
    cass_put_literal(&where, name);
    if (!mf_buf_ok(&where)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the name of table %.100s is too long", name);
    }
    if (read_catalog(c, &all, mf_buf_str(&where), &cat, err) < 0) {
        return -1;
    }
    struct mf_table *t = cat.n == 1 ? mf_table_copy(arena, &cat.tables[0]) : NULL;
    size_t n = cat.n;
    mf_catalog_free(&cat);
    if (!t) {
        return n ? too_big(err) : mf_fail(err, MF_FATAL, "MFSHAPE", "there is no table %s.%s", keyspace, name);
    }
    *ret = t;
    return 0;
}

int cass_catalog_read(struct mf_cql *c, const struct mf_filter *filter, bool figures, struct mf_catalog *ret,
                      struct mf_error *err)
{
    struct mf_catalog cat = {0};
    if (read_catalog(c, filter, "", &cat, err) < 0) {
        return -1;
    }
    if (figures && cass_figures_read(c, &cat, err) < 0) {
        mf_catalog_free(&cat);
        return -1;
    }
    *ret = cat;
    return 0;
}
