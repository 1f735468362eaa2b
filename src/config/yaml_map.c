/*
 * `map:` a list of query tables, each a record of keys. A record is read by a table of its fields, so that an unknown key, a key given twice and a value of
 * the wrong form are told in one way, with the line and the nearest name. What the names mean is held against the source's catalogue by connector/view.
 */
#include "config/yaml.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAP_BYTES ((size_t)64 << 20)
#define MAP_MOST  1000 /* entries, and items of a list in one */

/* One item of a list at its place in an array of so many. */
typedef int take_item(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                      struct mf_error *err);

struct field {
    const char *name;
    enum { TEXT, FLAG, ONE_OR_MANY, LIST } form;
    size_t offset, count_offset; /* count_offset: of lists, which are an array and its length */
    size_t item_size;
    take_item *item;
    const char *wants; /* of lists */
};

static int no_memory(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err)
{
    return yaml_fail_at(w, n, err, "map", "it is too large");
}

/* A text with its variables replaced. */
static int take_text(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, const char **ret,
                     struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    MF_CLEANUP_FREE char *value = NULL;
    if (!text || yaml_is_null(n)) {
        return yaml_fail_at(w, n, err, key, text ? "it has no value" : "it takes a text");
    }
    if (mf_config_expand(text, false, &value, err) < 0) {
        mf_error_prefix(err, "%s:%zu: %s", w->path, n->start_mark.line + 1, key);
        return -1;
    }
    if (strlen(value) > MF_CONFIG_VALUE_MAX) {
        return yaml_fail_at(w, n, err, key, "it is too long");
    }
    *ret = mf_strdup_a(a, value);
    return *ret ? 0 : no_memory(w, n, err);
}

static int take_name(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                     struct mf_error *err)
{
    const char *name = NULL;
    if (take_text(w, a, key, n, &name, err) < 0) {
        return -1;
    }
    if (!name[0]) {
        return yaml_fail_at(w, n, err, key, "a name is empty");
    }
    *(const char **)at = name;
    return 0;
}

static int take_flag(struct yaml_walk *w, const char *key, const yaml_node_t *n, bool *ret, struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    bool yes = text && (strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0);
    bool no = text && (strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0 || strcasecmp(text, "off") == 0);
    if (!yes && !no) {
        return yaml_fail_at(w, n, err, key, "it takes true or false");
    }
    *ret = yes;
    return 0;
}

/* ---- records ---- */

static const struct field *find_field(const struct field *fields, size_t n, const char *name, const char **ret_near)
{
    size_t best = 3;
    *ret_near = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = mf_edit_distance(name, fields[i].name);
        if (d == 0) {
            return &fields[i];
        }
        if (d < best) {
            best = d;
            *ret_near = fields[i].name;
        }
    }
    return NULL;
}

static int unknown(struct yaml_walk *w, const yaml_node_t *k, const char *where, const char *name, const char *near,
                   struct mf_error *err)
{
    char what[300];
    if (!name || strlen(name) >= MF_CONFIG_KEY_MAX || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.")]) {
        return yaml_fail_at(w, k, err, where, "a key that is no name");
    }
    snprintf(what, sizeof what, near ? "unknown key \"%s\"; did you mean \"%s\"?" : "unknown key \"%s\"", name, near);
    return yaml_fail_at(w, k, err, where, what);
}

static int take_list(struct yaml_walk *w, struct mf_arena *a, const char *key, const struct field *f,
                     const yaml_node_t *n, char *record, struct mf_error *err)
{
    bool alone = f->form == ONE_OR_MANY && n->type == YAML_SCALAR_NODE;
    if (n->type != YAML_SEQUENCE_NODE && !alone) {
        return yaml_fail_at(w, n, err, key, f->wants);
    }
    size_t count = alone ? 1 : (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (count == 0 || count > MAP_MOST) {
        return yaml_fail_at(w, n, err, key, count ? "the list is too long" : "the list is empty");
    }
    char *items = mf_alloc_array(a, count, f->item_size);
    if (!items) {
        return no_memory(w, n, err);
    }
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = alone ? n : yaml_document_get_node(w->doc, n->data.sequence.items.start[i]);
        if (!item || f->item(w, a, key, item, items + i * f->item_size, err) < 0) {
            return item ? -1 : yaml_fail_at(w, n, err, key, "it cannot be read");
        }
    }
    memcpy(record + f->offset, &(void *){items}, sizeof(void *));
    memcpy(record + f->count_offset, &count, sizeof count);
    return 0;
}

static int take_field(struct yaml_walk *w, struct mf_arena *a, const char *key, const struct field *f,
                      const yaml_node_t *n, char *record, struct mf_error *err)
{
    const char *text;
    switch (f->form) {
    case TEXT:
        if (take_text(w, a, key, n, &text, err) < 0) {
            return -1;
        }
        memcpy(record + f->offset, &text, sizeof text);
        return 0;
    case FLAG:
        return take_flag(w, key, n, (bool *)(record + f->offset), err);
    case ONE_OR_MANY:
    case LIST:
        break;
    }
    return take_list(w, a, key, f, n, record, err);
}

static int take_record(struct yaml_walk *w, struct mf_arena *a, const char *where, const struct field *fields, size_t n,
                       const yaml_node_t *node, void *record, struct mf_error *err)
{
    uint64_t given = 0;
    char key[MF_CONFIG_KEY_MAX * 3];
    if (node->type != YAML_MAPPING_NODE) {
        return yaml_fail_at(w, node, err, where, "each item is made of keys and values");
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key), *v = yaml_document_get_node(w->doc, p->value);
        const char *name = k ? yaml_scalar(k) : NULL, *near = NULL;
        const struct field *f = name ? find_field(fields, n, name, &near) : NULL;
        if (!f || !v) {
            return unknown(w, k ? k : node, where, name, near, err);
        }
        snprintf(key, sizeof key, "%s.%s", where, f->name);
        if (given & (UINT64_C(1) << (f - fields))) {
            return yaml_fail_at(w, k, err, key, "it is given twice");
        }
        given |= UINT64_C(1) << (f - fields);
        if (take_field(w, a, key, f, v, record, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the items of an entry ---- */

/* "placed_at", "placed_at desc" */
static int take_order(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                      struct mf_error *err)
{
    const char *text = NULL;
    struct mf_query_order *o = at;
    if (take_text(w, a, key, n, &text, err) < 0) {
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
    return !o->name ? no_memory(w, n, err) : len ? 0 : yaml_fail_at(w, n, err, key, "a name is empty");
}

struct written_column {
    const char *name, *as, *value, *expr, *from, *type;
    size_t nby;
    const char *const *by;
    bool is_static;
};

#define COLUMN(field) offsetof(struct written_column, field)
static const struct field column_fields[] = {
    {"name", TEXT, COLUMN(name), 0, 0, NULL, NULL},
    {"as", TEXT, COLUMN(as), 0, 0, NULL, NULL},
    {"value", TEXT, COLUMN(value), 0, 0, NULL, NULL},
    {"expr", TEXT, COLUMN(expr), 0, 0, NULL, NULL},
    {"from", TEXT, COLUMN(from), 0, 0, NULL, NULL},
    {"by", ONE_OR_MANY, COLUMN(by), COLUMN(nby), sizeof(char *), take_name, "it takes a column, or a list of them"},
    {"type", TEXT, COLUMN(type), 0, 0, NULL, NULL},
    {"static", FLAG, COLUMN(is_static), 0, 0, NULL, NULL},
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
    return out->parent && out->of ? 0 : no_memory(w, n, err);
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
        return x ? yaml_fail_at(w, n, err, key, why.text) : no_memory(w, n, err);
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
        if (take_name(w, a, key, n, &c.name, err) < 0) {
            return -1;
        }
        out->every = mf_streq(c.name, "*");
        out->name = out->of = c.name;
        return 0;
    }
    if (take_record(w, a, key, column_fields, MF_ARRAY_LEN(column_fields), n, &c, err) < 0) {
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
static const struct field table_fields[] = {
    {"table", TEXT, ENTRY(table), 0, 0, NULL, NULL},
    {"to", TEXT, ENTRY(to), 0, 0, NULL, NULL},
    {"partition", ONE_OR_MANY, ENTRY(partition), ENTRY(npartition), sizeof(char *), take_name,
     "it takes a list of columns"},
    {"clustering", ONE_OR_MANY, ENTRY(clustering), ENTRY(nclustering), sizeof(struct mf_query_order), take_order,
     "it takes a list of columns, each with \"desc\" after it where it is"},
    {"columns", LIST, ENTRY(columns), ENTRY(ncolumns), sizeof(struct mf_query_column), take_column,
     "it takes a list of columns"},
    {"drop", ONE_OR_MANY, ENTRY(drop), ENTRY(ndrop), sizeof(char *), take_name, "it takes a list of columns"},
    {"ttl", TEXT, ENTRY(ttl), 0, 0, NULL, NULL},
};

static int take_entry(struct yaml_walk *w, struct mf_arena *a, const yaml_node_t *n, struct mf_query_table *ret,
                      struct mf_error *err)
{
    struct mf_query_table e = {.line = n->start_mark.line + 1};
    if (take_record(w, a, "map", table_fields, MF_ARRAY_LEN(table_fields), n, &e, err) < 0) {
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

int yaml_take_map(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, struct mf_error *err)
{
    size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (count == 0 || count > MAP_MOST) {
        return yaml_fail_at(w, n, err, o->key, count ? "the list is too long" : "the list is empty");
    }
    struct mf_query_map *m = mf_xcalloc(1, sizeof *m);
    mf_arena_init(&m->arena, MAP_BYTES);
    m->tables = mf_alloc_array(&m->arena, count, sizeof *m->tables);
    m->path = mf_strdup_a(&m->arena, w->path);
    int rc = m->tables && m->path ? 0 : no_memory(w, n, err);
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
