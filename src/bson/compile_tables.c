/* The tables of a map: their columns, their keys, and whose children they are. */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAP_BYTES  ((size_t)64 << 20)
#define TABLES_MAX 1000 /* of one collection */

static size_t count_tables(const struct mf_doc_table *t, unsigned depth)
{
    size_t n = 1;
    for (size_t i = 0; i < t->ntables && n <= TABLES_MAX && depth < PLAN_DEPTH; i++) {
        n += count_tables(&t->tables[i], depth + 1);
    }
    return n;
}

/* "schema.name", or a name alone, which is in the schema of the collection's own table. */
static int name_table(struct compile *c, const struct mf_doc_table *d, const char *to, struct mf_table *t)
{
    const char *dot = strchr(to, '.'), *name = dot ? dot + 1 : to;
    t->schema = dot ? mf_memdup_a(&c->s->arena, to, (size_t)(dot - to)) : c->ntables ? c->tables[0].table->schema : "";
    t->name = name;
    if (!name[0] || strlen(name) > 63 || dot == to) {
        return compile_fail(c, d->line, "\"%.100s\" is no name of a table: say \"to: name\" or \"to: schema.name\"",
                            to);
    }
    return t->schema ? 0 : compile_full(c);
}

/* The table is whole: its key is `key`. */
static int finish(struct compile *c, struct compile_table *t, struct mf_table *out, const uint16_t *key, uint16_t nkey)
{
    struct mf_arena *a = &c->s->arena;
    out->key = mf_alloc_array(a, nkey, sizeof *out->key);
    const char *text = mf_printf_a(a, "%s.%s", out->schema, out->name);
    if (!out->key || !text) {
        return compile_full(c);
    }
    memcpy(out->key, key, nkey * sizeof *key);
    for (uint16_t i = 0; i < nkey; i++) {
        t->columns[key[i]].in_key = true;
        t->columns[key[i]].not_null = true;
    }
    out->id = (uint32_t)XXH3_64bits(text, strlen(text)) | 1;
    out->identity = MF_IDENTITY_KEY;
    out->nkey = nkey;
    out->columns = t->columns;
    out->ncolumns = t->n;
    out->rows_estimate = out->bytes = -1;
    return 0;
}

/* ---- children ---- */

static int check_kind(struct compile *c, const struct mf_doc_table *d, const struct plan_node *n)
{
    if (n == c->plan->root || (d->kind == MF_DOC_ONE && d->path.n == 0)) {
        return compile_fail(c, d->line, "the path of a table leads to an array, a map or a sub-document");
    }
    if (n->list) {
        return compile_fail(c, d->line, "two tables are made of one path");
    }
    if ((d->position && d->kind != MF_DOC_ARRAY) || ((d->key || d->key_type) && d->kind != MF_DOC_MAP)) {
        return compile_fail(c, d->line, "\"position\" goes with kind array, \"key\" and \"key_type\" with kind map");
    }
    if ((d->missing && d->missing != MF_DOC_EMPTY) || (d->null && d->null != MF_DOC_EMPTY) ||
        (d->kind == MF_DOC_ONE && (d->missing || d->null))) {
        return compile_fail(
            c, d->line,
            d->kind == MF_DOC_ONE
                ? "a sub-document with a row of its own may be missing, and has no rules; \"present\" tells null"
                : "rules of a table are reject and empty");
    }
    if (n->told && (d->missing || (d->null && n->null))) {
        return compile_fail(c, d->line,
                            "\"present\" tells what is missing or null, and the table's rule calls it empty");
    }
    if (d->ncolumns == 0 && d->ntables == 0) {
        return compile_fail(c, d->line, "the table has no columns");
    }
    return 0;
}

/* Its place among the elements. */
static int add_own_key(struct compile *c, struct compile_table *t, const struct mf_doc_table *d, struct plan_list *l)
{
    struct shred_type type = {.model = {.kind = MF_KIND_INT, .bits = 32}};
    uint16_t at;
    if (d->kind == MF_DOC_ONE) {
        return 0;
    }
    if (d->kind == MF_DOC_MAP) {
        const char *why = shred_type_parse(d->key_type ? d->key_type : "string(255)", NULL, &type);
        if (why || type.type != DOC_STRING || !type.model.length) {
            return compile_fail(c, d->line, "\"key_type\" is string(n)%s%s", why ? ": " : "", why ? why : "");
        }
        l->key_length = type.model.length;
    }
    const char *name = d->kind == MF_DOC_MAP ? (d->key ? d->key : "key") : d->position ? d->position : "position";
    return compile_add(c, t, d->line, name, &type.model, true, &at);
}

static bool taken(const struct compile_table *t, const char *name)
{
    for (uint16_t i = 0; i < t->n; i++) {
        if (strcasecmp(t->columns[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The places for the parent's key are there; their names are found when all others are known. */
static int name_parent(struct compile *c, struct compile_table *t, const struct mf_doc_table *d, uint16_t parent)
{
    const struct mf_table *up = c->tables[parent].table;
    struct mf_arena *a = &c->s->arena;
    if (d->nparent && d->nparent != up->nkey) {
        return compile_fail(c, d->line, "\"parent\" has %zu names, and the key of table %s %u columns", d->nparent,
                            up->name, up->nkey);
    }
    for (uint16_t i = 0; i < up->nkey; i++) {
        const struct mf_column *of = &up->columns[up->key[i]];
        bool root = i < c->tables[0].nroot;
        const char *name = d->nparent ? d->parent[i] : of->name;
        if (!d->nparent && ((root && parent == 0) || (!root && taken(t, name)))) {
            name = mf_printf_a(a, "%s_%s", up->name, of->name);
        }
        if (!name) {
            return compile_full(c);
        }
        if (!name[0] || strlen(name) > 63 || taken(t, name)) {
            return compile_fail(c, d->line,
                                "a column for the key of table %s cannot be called \"%.100s\": say \"parent: [names]\"",
                                up->name, name);
        }
        t->columns[i] = (struct mf_column){.name = name, .not_null = true};
        if (!mf_column_show(a, &t->columns[i], &of->foreign->type)) {
            return compile_full(c);
        }
    }
    return 0;
}

static int compile_children(struct compile *c, uint16_t parent, struct plan_node *element, const struct mf_doc_table *d,
                            unsigned depth);

static int compile_child(struct compile *c, uint16_t parent, struct plan_node *up, const struct mf_doc_table *d,
                         unsigned depth)
{
    struct mf_arena *a = &c->s->arena;
    uint16_t at = c->ntables, nparent = c->tables[parent].table->nkey;
    struct plan_node *n = compile_node(c, up, &d->path, d->line);
    struct mf_table *out = mf_alloc0(a, sizeof *out);
    struct plan_list *l = mf_alloc0(a, sizeof *l);
    struct compile_table t = {.n = nparent, .cap = (uint16_t)(nparent + 16)};
    t.columns = mf_alloc_array(a, t.cap, sizeof *t.columns);
    if (!n || !out || !l || !t.columns) {
        return n ? compile_full(c) : -1;
    }
    const char *to = d->to ? d->to : compile_joined(c, c->tables[parent].table->name, &d->path);
    if (!to || check_kind(c, d, n) < 0 || name_table(c, d, to, out) < 0) {
        return to ? -1 : compile_full(c);
    }
    for (uint16_t i = 0; i < nparent; i++) {
        t.columns[i].name = "";
    }
    *l = (struct plan_list){.table = at, .kind = d->kind, .nparent = nparent, .missing = d->missing, .null = d->null};
    if (!(l->element = compile_new_node(c, NULL, "", d->line))) {
        return -1;
    }
    l->element->table = at;
    l->element->nested = true;
    n->list = l;
    c->plan->lists[at] = l;
    if (add_own_key(c, &t, d, l) < 0) {
        return -1;
    }
    for (size_t i = 0; i < d->ncolumns; i++) {
        if (compile_column(c, &t, l->element, &d->columns[i]) < 0) {
            return -1;
        }
    }
    uint16_t key[256];
    uint16_t nkey = (uint16_t)(nparent + (d->kind != MF_DOC_ONE));
    for (uint16_t i = 0; i < nkey && i < MF_ARRAY_LEN(key); i++) {
        key[i] = i;
    }
    compile_loosen(&t, l->element, false);
    if (nkey > MF_ARRAY_LEN(key)) {
        return compile_fail(c, d->line, "the key has too many columns");
    }
    if (name_parent(c, &t, d, parent) < 0 || finish(c, &t, out, key, nkey) < 0) {
        return -1;
    }
    c->tables[at] = (struct mf_shred_table){out, c->tables[0].nroot, parent};
    c->ntables++;
    return compile_children(c, at, l->element, d, depth + 1);
}

static int compile_children(struct compile *c, uint16_t parent, struct plan_node *element, const struct mf_doc_table *d,
                            unsigned depth)
{
    if (depth >= PLAN_DEPTH && d->ntables) {
        return compile_fail(c, d->line, "tables within tables are more than %d deep", PLAN_DEPTH);
    }
    for (size_t i = 0; i < d->ntables; i++) {
        if (compile_child(c, parent, element, &d->tables[i], depth) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the document's own table ---- */

static void key_of(const struct plan_node *n, bool *in_key)
{
    if (n->column) {
        in_key[n->column->at] = true;
    }
    for (uint16_t i = 0; i < n->nchildren; i++) {
        key_of(n->children[i], in_key);
    }
}

static int compile_root(struct compile *c)
{
    const struct mf_doc_table *d = &c->of->root;
    struct compile_table t = {0};
    struct mf_table *out = mf_alloc0(&c->s->arena, sizeof *out);
    struct plan_node *root = compile_new_node(c, NULL, "", d->line);
    uint16_t at, nkey = 0, key[64];
    if (!out || !root) {
        return compile_full(c);
    }
    c->plan->root = root;
    c->plan->rest = -1;
    root->nested = true;
    root->open = c->of->rest != NULL;
    if (!d->to && strchr(c->of->collection, '.')) {
        return compile_fail(
            c, d->line,
            "the collection's name has a dot in it, which would part a schema from a table: say \"to: name\"");
    }
    if (name_table(c, d, d->to ? d->to : c->of->collection, out) < 0) {
        return -1;
    }
    for (size_t i = 0; i < d->ncolumns; i++) {
        if (compile_column(c, &t, root, &d->columns[i]) < 0) {
            return -1;
        }
    }
    const struct mf_type json = {.kind = MF_KIND_JSON};
    if (c->of->rest) {
        if (compile_add(c, &t, d->line, c->of->rest, &json, false, &at) < 0) {
            return -1;
        }
        c->plan->rest = at;
    }
    for (uint16_t i = 0; i < root->nchildren; i++) {
        c->plan->id = root->children[i]->in_id ? root->children[i] : c->plan->id;
    }
    MF_CLEANUP_FREE bool *in_key = mf_xcalloc(t.n + 1u, sizeof *in_key);
    if (c->plan->id) {
        key_of(c->plan->id, in_key);
    }
    for (uint16_t i = 0; i < t.n; i++) {
        if (in_key[i] && nkey < MF_ARRAY_LEN(key)) {
            key[nkey++] = i;
        }
    }
    if (nkey == 0 || nkey == MF_ARRAY_LEN(key)) {
        return compile_fail(c, d->line,
                            nkey ? "the key has too many columns" : "no column is made of _id, which is the key");
    }
    compile_loosen(&t, root, false);
    if (finish(c, &t, out, key, nkey) < 0) {
        return -1;
    }
    c->tables[0] = (struct mf_shred_table){out, nkey, 0};
    c->ntables = 1;
    return compile_children(c, 0, root, d, 0);
}

static int compile_ignored(struct compile *c, const struct mf_doc_path *path)
{
    struct plan_node *n = c->plan->root;
    for (size_t i = 0; i < path->n; i++) {
        const struct mf_doc_path one = {1, &path->names[i]};
        n = n->list ? n->list->element : n;
        if (!(n = compile_node(c, n, &one, c->of->line))) {
            return -1;
        }
    }
    if (path->n == 0 || n->nchildren || n->column || n->list || n->in_id) {
        return compile_fail(c, c->of->line, "what is ignored (\"%.60s\") is also mapped, or is all of the document",
                            path->n ? path->names[path->n - 1] : ".");
    }
    n->ignored = true;
    return 0;
}

static int compile_collection(struct compile *c, struct mf_shred_collection *out)
{
    struct mf_arena *a = &c->s->arena;
    size_t n = count_tables(&c->of->root, 0);
    c->plan = mf_alloc0(a, sizeof *c->plan);
    c->tables = mf_alloc_array(a, n, sizeof *c->tables);
    c->ntables = 0;
    if (n > TABLES_MAX) {
        return compile_fail(c, c->of->line, "it has more than %d tables", TABLES_MAX);
    }
    if (!c->plan || !c->tables || !(c->plan->lists = mf_alloc_array(a, n, sizeof(struct plan_list *)))) {
        return compile_full(c);
    }
    if (compile_root(c) < 0) {
        return -1;
    }
    for (size_t i = 0; i < c->of->nignore; i++) {
        if (compile_ignored(c, &c->of->ignore[i]) < 0) {
            return -1;
        }
    }
    if (compile_settle(c, c->plan->root, 0) < 0) {
        return -1;
    }
    *out = (struct mf_shred_collection){c->of->database, c->of->collection, c->ntables, c->tables, c->plan};
    return 0;
}

/* ---- all of them ---- */

static int check_tables(struct compile *c, size_t n)
{
    const struct mf_shred_collection *last = &c->s->collections[n];
    for (uint16_t t = 0; t < last->ntables; t++) {
        const struct mf_table *own = last->tables[t].table;
        for (size_t i = 0; i <= n; i++) {
            const struct mf_shred_collection *other = &c->s->collections[i];
            for (uint16_t k = 0; k < (i < n ? other->ntables : t); k++) {
                if (strcasecmp(other->tables[k].table->name, own->name) == 0 &&
                    strcasecmp(other->tables[k].table->schema, own->schema) == 0) {
                    return compile_fail(c, c->of->line, "table %s is made twice", own->name);
                }
            }
            if (t == 0 && i < n && mf_streq(other->database, last->database) &&
                mf_streq(other->collection, last->collection)) {
                return compile_fail(c, c->of->line, "the collection is there twice");
            }
        }
    }
    return 0;
}

int mf_shred_compile(const struct mf_doc_map *m, struct mf_shred **ret, struct mf_error *err)
{
    struct mf_shred *s = mf_xcalloc(1, sizeof *s);
    struct compile c = {.s = s, .map = m, .err = err};
    mf_arena_init(&s->arena, MAP_BYTES);
    s->collections = mf_alloc_array(&s->arena, m->n + 1, sizeof *s->collections);
    for (size_t i = 0; i < m->n; i++) {
        c.of = &m->collections[i];
        if (!s->collections || compile_collection(&c, &s->collections[i]) < 0 || check_tables(&c, i) < 0) {
            mf_shred_free(s);
            return -1;
        }
        s->n = i + 1;
    }
    *ret = s;
    return 0;
}

void mf_shred_free(struct mf_shred *s)
{
    if (s) {
        mf_arena_free(&s->arena);
        free(s);
    }
}

size_t mf_shred_count(const struct mf_shred *s)
{
    return s->n;
}

const struct mf_shred_collection *mf_shred_at(const struct mf_shred *s, size_t i)
{
    return &s->collections[i];
}

const struct mf_shred_collection *mf_shred_find(const struct mf_shred *s, const char *database, const char *collection)
{
    for (size_t i = 0; i < s->n; i++) {
        if (mf_streq(s->collections[i].database, database) && mf_streq(s->collections[i].collection, collection)) {
            return &s->collections[i];
        }
    }
    return NULL;
}
