/*
 * `map:` a list of query tables, each a record of keys, or of collections (yaml_doc_map.c). What the names mean is held against the source's catalogue by connector/view.
 */
#include "config/yaml_record.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the items of an entry ---- */

/* "placed_at", "placed_at desc" */
static int take_order(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                      struct mf_error *err)
{
    const char *text = NULL;
    struct mf_query_order *o = at;
    if (yaml_take_text(w, a, key, n, &text, err) < 0) {
        return -1;
    }
    size_t len = strlen(text);
    bool down = len > 5 && strcasecmp(text + len - 5, " desc") == 0,
         up = len > 4 && strcasecmp(text + len - 4, " asc") == 0;
    len -= down ? 5 : up ? 4 : 0;
    while (len && text[len - 1] == ' ') {
        len--;
    }
    *o = (struct mf_query_order){.name = mf_memdup_a(a, text, len), .descending = down};
    return !o->name ? yaml_no_memory(w, n, err) : len ? 0 : yaml_fail_at(w, n, err, key, "a name is empty");
}

struct written_column {
    const char *name, *as, *value, *expr, *from, *type;
    size_t nby;
    const char *const *by;
    bool is_static;
};

#define COLUMN(field) offsetof(struct written_column, field)
static const struct yaml_field column_fields[] = {
    {"name", YAML_TEXT, COLUMN(name), 0, 0, NULL, NULL},
    {"as", YAML_TEXT, COLUMN(as), 0, 0, NULL, NULL},
    {"value", YAML_TEXT, COLUMN(value), 0, 0, NULL, NULL},
    {"expr", YAML_TEXT, COLUMN(expr), 0, 0, NULL, NULL},
    {"from", YAML_TEXT, COLUMN(from), 0, 0, NULL, NULL},
    {"by", YAML_ONE_OR_MANY, COLUMN(by), COLUMN(nby), sizeof(char *), yaml_take_name,
     "it takes a column, or a list of them"},
    {"type", YAML_TEXT, COLUMN(type), 0, 0, NULL, NULL},
    {"static", YAML_FLAG, COLUMN(is_static), 0, 0, NULL, NULL},
};

/* A parent's column: "customers.name" or "public.customers.name". */
static int take_parent(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n,
                       const struct written_column *c, struct mf_query_column *out, struct mf_error *err)
{
    const char *dot = strrchr(c->from, '.');
    if (c->value || c->expr || c->as) {
        return yaml_fail_at(
            w, n, err, key,
            "\"from\" is another table's column, called \"name\" here: neither \"as\" nor \"value\" nor "
            "\"expr\" goes with it");
    }
    if (!dot || dot == c->from || !dot[1] || !c->nby) {
        return yaml_fail_at(w, n, err, key,
                            "another table's column is written {name: x, from: table.column, by: the column that "
                            "refers to it}");
    }
    out->parent = mf_memdup_a(a, c->from, (size_t)(dot - c->from));
    out->of = mf_strdup_a(a, dot + 1);
    out->nby = c->nby;
    out->by = c->by;
    return out->parent && out->of ? 0 : yaml_no_memory(w, n, err);
}

static int take_expr(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n,
                     const struct written_column *c, struct mf_query_column *out, struct mf_error *err)
{
    struct mf_expr *x = mf_alloc(a, sizeof *x);
    struct mf_error why = {0};
    if (c->value || c->as) {
        return yaml_fail_at(w, n, err, key,
                            "\"expr\" is a column called \"name\": neither \"as\" nor \"value\" goes with it");
    }
    if (!x || mf_expr_parse(a, c->expr, x, &why) < 0) {
        return x ? yaml_fail_at(w, n, err, key, why.text) : yaml_no_memory(w, n, err);
    }
    out->expr = x;
    return 0;
}

static int take_column(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                       struct mf_error *err)
{
    struct mf_query_column *out = at;
    struct written_column c = {0};
    *out = (struct mf_query_column){.line = n->start_mark.line + 1};
    if (n->type == YAML_SCALAR_NODE) {
        if (yaml_take_name(w, a, key, n, &c.name, err) < 0) {
            return -1;
        }
        out->every = mf_streq(c.name, "*");
        out->name = out->of = c.name;
        return 0;
    }
    if (yaml_take_record(w, a, key, column_fields, MF_ARRAY_LEN(column_fields), n, &c, err) < 0) {
        return -1;
    }
    if (!c.name || !c.name[0] || (c.as && !c.as[0])) {
        return yaml_fail_at(w, n, err, key, "it has no name");
    }
    if ((c.as && c.value) || (c.nby && !c.from)) {
        return yaml_fail_at(w, n, err, key,
                            c.nby ? "\"by\" goes with \"from\"" : "\"as\" renames a column, and a constant is none");
    }
    out->name = c.as ? c.as : c.name;
    out->of = c.value || c.expr ? NULL : c.name;
    out->value = c.value;
    out->type = c.type;
    out->is_static = c.is_static;
    if (c.expr && take_expr(w, a, key, n, &c, out, err) < 0) {
        return -1;
    }
    return c.from ? take_parent(w, a, key, n, &c, out, err) : 0;
}

/* ---- an entry ---- */

#define ENTRY(field) offsetof(struct mf_query_table, field)
static const struct yaml_field table_fields[] = {
    {"table", YAML_TEXT, ENTRY(table), 0, 0, NULL, NULL},
    {"to", YAML_TEXT, ENTRY(to), 0, 0, NULL, NULL},
    {"partition", YAML_ONE_OR_MANY, ENTRY(partition), ENTRY(npartition), sizeof(char *), yaml_take_name,
     "it takes a list of columns"},
    {"clustering", YAML_ONE_OR_MANY, ENTRY(clustering), ENTRY(nclustering), sizeof(struct mf_query_order), take_order,
     "it takes a list of columns, each with \"desc\" after it where it is"},
    {"columns", YAML_LIST, ENTRY(columns), ENTRY(ncolumns), sizeof(struct mf_query_column), take_column,
     "it takes a list of columns"},
    {"drop", YAML_ONE_OR_MANY, ENTRY(drop), ENTRY(ndrop), sizeof(char *), yaml_take_name, "it takes a list of columns"},
    {"ttl", YAML_TEXT, ENTRY(ttl), 0, 0, NULL, NULL},
};

static int take_entry(struct yaml_walk *w, struct mf_arena *a, const yaml_node_t *n, struct mf_query_table *ret,
                      struct mf_error *err)
{
    struct mf_query_table e = {.line = n->start_mark.line + 1};
    if (yaml_take_record(w, a, "map", table_fields, MF_ARRAY_LEN(table_fields), n, &e, err) < 0) {
        return -1;
    }
    if (!e.table || !e.table[0] || !e.to || !e.to[0]) {
        return yaml_fail_at(w, n, err, "map",
                            e.table ? "it does not say which table it goes \"to\""
                                    : "it does not say of which "
                                      "\"table\" it is made");
    }
    if (e.ttl && !e.ttl[0]) {
        return yaml_fail_at(w, n, err, "map.ttl", "it takes the column that says when a row ends");
    }
    if (e.nclustering && !e.npartition) {
        return yaml_fail_at(w, n, err, "map.clustering", "it needs a \"partition\" before it");
    }
    *ret = e;
    return 0;
}

/* Entries of one map are of one kind, which the key of the first says. */
static bool is_documents(struct yaml_walk *w, const yaml_node_t *item)
{
    if (!item || item->type != YAML_MAPPING_NODE) {
        return false;
    }
    for (const yaml_node_pair_t *p = item->data.mapping.pairs.start; p < item->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key);
        if (k && mf_streq(yaml_scalar(k), "collection")) {
            return true;
        }
    }
    return false;
}

static int take_tables(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, size_t count,
                       struct mf_error *err)
{
    struct mf_query_map *m = mf_xcalloc(1, sizeof *m);
    mf_arena_init(&m->arena, YAML_MAP_BYTES);
    m->tables = mf_alloc_array(&m->arena, count, sizeof *m->tables);
    m->path = mf_strdup_a(&m->arena, w->path);
    int rc = m->tables && m->path ? 0 : yaml_no_memory(w, n, err);
    for (; rc == 0 && m->n < count; m->n++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[m->n]);
        rc = item ? take_entry(w, &m->arena, item, &m->tables[m->n], err)
                  : yaml_fail_at(w, n, err, o->key, "it cannot be read");
    }
    if (rc < 0) {
        mf_query_map_free(m);
        return -1;
    }
    mf_option_free_value(w->config, o);
    *(struct mf_query_map **)((char *)w->config + o->offset) = m;
    return 0;
}

int yaml_take_map(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, struct mf_error *err)
{
    size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (count == 0 || count > YAML_MAP_MOST) {
        return yaml_fail_at(w, n, err, o->key, count ? "the list is too long" : "the list is empty");
    }
    bool documents = is_documents(w, yaml_document_get_node(w->doc, n->data.sequence.items.start[0]));
    for (size_t i = 1; i < count; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[i]);
        if (is_documents(w, item) != documents && item) {
            yaml_fail_at(w, item, err, o->key,
                         "an entry is of a \"collection\" or of a \"table\", and one map has entries of one kind");
            mf_strlcpy(err->code, "MFMAP", sizeof err->code);
            return -1;
        }
    }
    return documents ? yaml_take_documents(w, o, n, count, err) : take_tables(w, o, n, count, err);
}
