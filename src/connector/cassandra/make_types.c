/*
 * The types of users that the columns of a schema are asked to be. One that is there is looked at and used; one that is not is made, where the source says what its
 * fields are: of a record there, each in the type that a column of it would get. Of a document nobody knows its fields before its rows are read.
 */
#include "connector/cassandra/make.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "connector/cassandra/cass.h"

#include <string.h>

#define TYPES_BYTES ((size_t)64 << 20)
#define CQL_MAX     ((size_t)1 << 20)

struct typing {
    struct mf_cql *c;
    struct mf_arena *arena;
    struct cass_udts udts;
    struct mf_buf *plan;
    bool only_look;
    const struct mf_schema_table *t; /* whose column it is */
    const struct mf_schema_column *column;
    struct mf_error *err;
};

static int cannot(struct typing *g, const char *todo, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int cannot(struct typing *g, const char *todo, const char *fmt, ...)
{
    MF_CLEANUP_BUF struct mf_buf why = {.max = 1024};
    va_list ap;
    va_start(ap, fmt);
    mf_buf_vprintf(&why, fmt, ap);
    va_end(ap);
    mf_fail(g->err, MF_FATAL, "MFDDL", "column \"%s\" of table %s.%s cannot be a %s: %s", g->column->name, g->t->schema,
            g->t->name, g->column->wanted_type, mf_buf_str(&why));
    mf_hint(g->err, "%s", todo);
    return -1;
}

/* ---- one that is not there ---- */

static int put_field(struct typing *g, const char *name, const struct mf_type *t, struct mf_buf *cql)
{
    if (t->shape == MF_SHAPE_NONE) {
        mf_buf_puts(cql, cass_type_for(t));
        return 0;
    }
    if (t->shape != MF_SHAPE_LIST) {
        return cannot(g, "make both types in the keyspace yourself", "field \"%s\" is a record in a record", name);
    }
    mf_buf_puts(cql, "frozen<list<");
    int rc = put_field(g, name, &t->parts[0], cql);
    mf_buf_puts(cql, ">>");
    return rc;
}

static bool remember(struct typing *g, const char *name)
{
    struct cass_udt *all = mf_alloc_array(g->arena, g->udts.n + 1, sizeof *all);
    if (!all) {
        return false;
    }
    if (g->udts.n) {
        memcpy(all, g->udts.all, g->udts.n * sizeof *all);
    }
    all[g->udts.n] = (struct cass_udt){.keyspace = g->t->schema, .name = name}; /* its fields are those of our making */
    g->udts.all = all;
    g->udts.n++;
    return true;
}

static int make_one(struct typing *g, const char *name, const struct mf_type *t)
{
    MF_CLEANUP_BUF struct mf_buf cql = {.max = CQL_MAX};
    if (t->nparts == 0) {
        return cannot(g, "make the type in the keyspace (CREATE TYPE), with the fields that the documents have",
                      "there is no type %s in keyspace %s, and the source does not say which fields it has", name,
                      g->t->schema);
    }
    mf_buf_puts(&cql, "CREATE TYPE IF NOT EXISTS ");
    cass_put_name(&cql, g->t->schema, name);
    for (uint16_t i = 0; i < t->nparts; i++) {
        mf_buf_puts(&cql, i ? ", " : " (");
        cass_put_ident(&cql, t->labels[i]);
        mf_buf_putc(&cql, ' ');
        if (put_field(g, t->labels[i], &t->parts[i], &cql) < 0) {
            return -1;
        }
    }
    mf_buf_putc(&cql, ')');
    if (!mf_buf_ok(&cql) || (!g->only_look && !remember(g, name))) {
        return mf_fail(g->err, MF_FATAL, "MFBIG", "the statement for type %s is too long", name);
    }
    if (g->only_look) {
        return 0;
    }
    if (g->plan) {
        mf_buf_printf(g->plan, "%s;\n\n", mf_buf_str(&cql));
        return 0;
    }
    if (MF_FAULT(g->err, "cassandra.schema_entry") ||
        mf_cql_schema(g->c, mf_buf_str(&cql), CASS_AGREE_MS, g->err) < 0) {
        mf_error_prefix(g->err, "making type %s.%s", g->t->schema, name);
        return -1;
    }
    return 0;
}

/* ---- one that is ---- */

/* In a document whose fields only the target knows, a set's order and a map's nulls are not seen to before rows are compared. */
static bool has_set_or_map(const struct mf_type *t)
{
    bool has = t->shape == MF_SHAPE_SET || t->shape == MF_SHAPE_MAP;
    for (uint16_t i = 0; !has && i < t->nparts; i++) {
        has = has_set_or_map(&t->parts[i]);
    }
    return has;
}

static int use_one(struct typing *g, const struct cass_udt *is, const struct mf_type *t)
{
    struct cass_udt_scope scope = {.udts = &g->udts, .keyspace = g->t->schema, .arena = g->arena};
    const struct cql_type *cql = cass_udt_find(&scope, is->name);
    struct mf_type here;
    if (is->n == 0) {
        return 0; /* made just now */
    }
    if (!cql || !cass_document_type(cql, g->arena, 0, &here)) {
        return cannot(g, "ask for another type in the map, or for none",
                      "type %s has fields that are not supported: counter, inet, duration, tuple, vector", is->name);
    }
    if (t->nparts == 0 && has_set_or_map(&here)) {
        return cannot(g, "give the type lists in their place, or ask for text in the map",
                      "type %s has a set or a map in it, which is supported for records of the source only, not for "
                      "documents",
                      is->name);
    }
    if (!mf_type_takes(&here, t)) {
        return cannot(g, "give the type the fields of the record on the source, in types that hold them",
                      "type %s has not the fields of the record on the source, or has them in types that do not hold "
                      "them",
                      is->name);
    }
    return 0;
}

/* ---- all ---- */

static int each(struct typing *g, const struct cql_type *cql, const struct mf_type *t)
{
    if (cql->kind != CQL_K_UDT) {
        for (uint32_t i = 0; i < cql->nsub && i < t->nparts; i++) {
            if (each(g, cql->sub[i], &t->parts[i]) < 0) {
                return -1;
            }
        }
        return 0;
    }
    for (size_t i = 0; i < g->udts.n; i++) {
        if (mf_streq(g->udts.all[i].keyspace, g->t->schema) && mf_streq(g->udts.all[i].name, cql->name)) {
            return use_one(g, &g->udts.all[i], t);
        }
    }
    return make_one(g, cql->name, t);
}

static bool any_wanted(const struct mf_schema *s)
{
    for (size_t i = 0; i < s->ntables; i++) {
        for (uint16_t k = 0; k < s->tables[i].ncolumns; k++) {
            if (s->tables[i].columns[k].wanted_type && s->tables[i].columns[k].type.shape != MF_SHAPE_NONE) {
                return true;
            }
        }
    }
    return false;
}

int cass_make_types(struct mf_cql *c, const struct mf_schema *s, bool only_look, struct mf_buf *plan,
                    struct mf_error *err)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct typing g = {.c = c, .arena = &arena, .plan = plan, .only_look = only_look, .err = err};
    mf_arena_init(&arena, TYPES_BYTES);
    if (!any_wanted(s)) {
        return 0;
    }
    if (cass_udts_read(c, NULL, &arena, &g.udts, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < s->ntables; i++) {
        g.t = &s->tables[i];
        for (uint16_t k = 0; k < g.t->ncolumns; k++) {
            const struct cql_type *cql;
            g.column = &g.t->columns[k];
            const char *words = g.column->wanted_type;
            if (words && g.column->type.shape != MF_SHAPE_NONE &&
                (cql_type_parse(words, strlen(words), cass_any_udt, &arena, &arena, &cql, err) < 0 ||
                 each(&g, cql, &g.column->type) < 0)) {
                return -1;
            }
        }
    }
    return 0;
}
