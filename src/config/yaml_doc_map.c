/*
 * `map:` a list of collections, and what tables their documents become (model/doc_map.h). What it says is held together by src/bson, which compiles it; here stands only
 * what can be written.
 */
#include "config/yaml_record.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define TABLES_DEPTH 32 /* tables within tables: an alias may hold itself */

/* ---- paths and words ---- */

static int path_of_list(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n,
                        struct mf_doc_path *ret, struct mf_error *err)
{
    size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    const char **names = mf_alloc_array(a, count + 1, sizeof *names);
    if (!names || count > YAML_MAP_MOST) {
        return yaml_no_memory(w, n, err);
    }
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[i]);
        if (!item || !yaml_scalar(item)) {
            return yaml_fail_at(w, n, err, key, "a path is made of names");
        }
        if (yaml_take_text(w, a, key, item, &names[i], err) < 0) {
            return -1;
        }
    }
    *ret = (struct mf_doc_path){count, names};
    return 0;
}

/* "a.b", ".", or [a, "b.c"] */
static int take_path(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                     struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    if (n->type == YAML_SEQUENCE_NODE) {
        return path_of_list(w, a, key, n, at, err);
    }
    if (text && text[0] && yaml_take_text(w, a, key, n, &text, err) < 0) {
        return -1;
    }
    if (!text || !text[0]) {
        return yaml_fail_at(w, n, err, key, "it takes a path, \"a.b\", or a list of names");
    }
    if (mf_streq(text, ".")) {
        *(struct mf_doc_path *)at = (struct mf_doc_path){0};
        return 0;
    }
    size_t count = 1, i = 0;
    for (const char *p = text; *p; p++) {
        count += *p == '.';
    }
    const char **names = mf_alloc_array(a, count, sizeof *names);
    if (!names) {
        return yaml_no_memory(w, n, err);
    }
    for (const char *p = text; i < count; i++) {
        size_t len = strcspn(p, ".");
        if (len == 0) {
            return yaml_fail_at(w, n, err, key, "a name in it is empty; where that is meant, write a list of names");
        }
        if (!(names[i] = mf_memdup_a(a, p, len))) {
            return yaml_no_memory(w, n, err);
        }
        p += len + 1;
    }
    *(struct mf_doc_path *)at = (struct mf_doc_path){count, names};
    return 0;
}

struct word {
    const char *text;
    int value;
};

static int take_word(struct yaml_walk *w, const char *key, const yaml_node_t *n, const struct word *words,
                     const char *wants, int *ret, struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    for (size_t i = 0; text && words[i].text; i++) {
        if (mf_streq(words[i].text, text)) {
            *ret = words[i].value;
            return 0;
        }
    }
    return yaml_fail_at(w, n, err, key, wants);
}

/* Each rule has its own words. null is a word here, quoted or not. */
static int take_rule(struct yaml_walk *w, const char *key, const yaml_node_t *n, const struct word *words,
                     const char *wants, void *at, struct mf_error *err)
{
    int value;
    if (take_word(w, key, n, words, wants, &value, err) < 0) {
        return -1;
    }
    *(enum mf_doc_rule *)at = (enum mf_doc_rule)value;
    return 0;
}

#define RULE(name, wants, ...)                                                                                         \
    static int name(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,          \
                    struct mf_error *err)                                                                              \
    {                                                                                                                  \
        static const struct word words[] = {__VA_ARGS__, {NULL, 0}};                                                   \
        (void)a;                                                                                                       \
        return take_rule(w, key, n, words, wants, at, err);                                                            \
    }                                                                                                                  \
    _Static_assert(1, "")

RULE(take_missing, "it is reject, null or default", {"reject", MF_DOC_REJECT}, {"null", MF_DOC_NULL},
     {"default", MF_DOC_DEFAULT});
RULE(take_null, "it is reject, null, default or missing", {"reject", MF_DOC_REJECT}, {"null", MF_DOC_NULL},
     {"default", MF_DOC_DEFAULT}, {"missing", MF_DOC_MISSING});
RULE(take_wrong, "it is reject, null, default or coerce", {"reject", MF_DOC_REJECT}, {"null", MF_DOC_NULL},
     {"default", MF_DOC_DEFAULT}, {"coerce", MF_DOC_COERCE});
RULE(take_empty, "it is reject or empty", {"reject", MF_DOC_REJECT}, {"empty", MF_DOC_EMPTY});

static int take_kind(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                     struct mf_error *err)
{
    static const struct word words[] = {{"array", MF_DOC_ARRAY}, {"map", MF_DOC_MAP}, {"one", MF_DOC_ONE}, {NULL, 0}};
    int value;
    (void)a;
    if (take_word(w, key, n, words, "it is array, map or one", &value, err) < 0) {
        return -1;
    }
    *(enum mf_doc_kind *)at = (enum mf_doc_kind)value;
    return 0;
}

/* A value, which may be empty. */
static int take_default(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                        struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    if (!text || yaml_is_null(n)) {
        return yaml_fail_at(w, n, err, key, "it takes a value as text; a rule says null");
    }
    *(const char **)at = mf_strdup_a(a, text);
    return *(const char **)at ? 0 : yaml_no_memory(w, n, err);
}

/* ---- columns and tables ---- */

static bool gives(const yaml_node_t *n, struct yaml_walk *w, const char *key)
{
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
         n->type == YAML_MAPPING_NODE && p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key);
        if (k && mf_streq(yaml_scalar(k), key)) {
            return true;
        }
    }
    return false;
}

#define COLUMN(field) offsetof(struct mf_doc_column, field)
static const struct yaml_field column_fields[] = {
    {"path", YAML_ITEM, COLUMN(path), 0, 0, take_path, NULL},
    {"column", YAML_ITEM, COLUMN(name), 0, 0, yaml_take_name, NULL},
    {"type", YAML_ITEM, COLUMN(type), 0, 0, yaml_take_name, NULL},
    {"as", YAML_ITEM, COLUMN(as), 0, 0, yaml_take_name, NULL},
    {"time", YAML_ITEM, COLUMN(time), 0, 0, yaml_take_name, NULL},
    {"present", YAML_ITEM, COLUMN(present), 0, 0, yaml_take_name, NULL},
    {"default", YAML_ITEM, COLUMN(fallback), 0, 0, take_default, NULL},
    {"missing", YAML_ITEM, COLUMN(missing), 0, 0, take_missing, NULL},
    {"null", YAML_ITEM, COLUMN(null), 0, 0, take_null, NULL},
    {"wrong", YAML_ITEM, COLUMN(wrong), 0, 0, take_wrong, NULL},
    {"range", YAML_ITEM, COLUMN(range), 0, 0, take_missing, NULL},
};

static int take_column(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                       struct mf_error *err)
{
    struct mf_doc_column *c = at;
    *c = (struct mf_doc_column){.line = n->start_mark.line + 1};
    if (yaml_take_record(w, a, key, column_fields, MF_ARRAY_LEN(column_fields), n, c, err) < 0) {
        return -1;
    }
    return gives(n, w, "path") ? 0 : yaml_fail_at(w, n, err, key, "it has no \"path\"");
}

static int take_table(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                      struct mf_error *err);

#define TABLE(field) offsetof(struct mf_doc_table, field)
static const struct yaml_field table_fields[] = {
    {"path", YAML_ITEM, TABLE(path), 0, 0, take_path, NULL},
    {"to", YAML_ITEM, TABLE(to), 0, 0, yaml_take_name, NULL},
    {"kind", YAML_ITEM, TABLE(kind), 0, 0, take_kind, NULL},
    {"position", YAML_ITEM, TABLE(position), 0, 0, yaml_take_name, NULL},
    {"key", YAML_ITEM, TABLE(key), 0, 0, yaml_take_name, NULL},
    {"key_type", YAML_ITEM, TABLE(key_type), 0, 0, yaml_take_name, NULL},
    {"parent", YAML_ONE_OR_MANY, TABLE(parent), TABLE(nparent), sizeof(char *), yaml_take_name,
     "it takes a list of names"},
    {"missing", YAML_ITEM, TABLE(missing), 0, 0, take_empty, NULL},
    {"null", YAML_ITEM, TABLE(null), 0, 0, take_empty, NULL},
    {"columns", YAML_LIST, TABLE(columns), TABLE(ncolumns), sizeof(struct mf_doc_column), take_column,
     "it takes a list of columns"},
    {"tables", YAML_LIST, TABLE(tables), TABLE(ntables), sizeof(struct mf_doc_table), take_table,
     "it takes a list of tables"},
};

static int take_table(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                      struct mf_error *err)
{
    struct mf_doc_table *t = at;
    *t = (struct mf_doc_table){.line = n->start_mark.line + 1};
    if (w->depth >= TABLES_DEPTH) {
        return yaml_fail_at(w, n, err, "map.tables", "there are too many tables within tables");
    }
    w->depth++;
    (void)key;
    int rc = yaml_take_record(w, a, "map.tables", table_fields, MF_ARRAY_LEN(table_fields), n, t, err);
    w->depth--;
    return rc < 0 || gives(n, w, "path") ? rc : yaml_fail_at(w, n, err, "map.tables", "it has no \"path\"");
}

/* ---- collections ---- */

/* "database.collection" */
static int take_collection(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                           struct mf_error *err)
{
    struct mf_doc_collection *c = at;
    const char *text = NULL;
    if (yaml_take_text(w, a, key, n, &text, err) < 0) {
        return -1;
    }
    const char *dot = strchr(text, '.');
    if (!dot || dot == text || !dot[1]) {
        return yaml_fail_at(w, n, err, key, "it takes database.collection");
    }
    c->database = mf_memdup_a(a, text, (size_t)(dot - text));
    c->collection = dot + 1;
    return c->database ? 0 : yaml_no_memory(w, n, err);
}

#define ENTRY(field) offsetof(struct mf_doc_collection, field)
static const struct yaml_field collection_fields[] = {
    {"collection", YAML_ITEM, 0, 0, 0, take_collection, NULL},
    {"to", YAML_ITEM, ENTRY(root.to), 0, 0, yaml_take_name, NULL},
    {"columns", YAML_LIST, ENTRY(root.columns), ENTRY(root.ncolumns), sizeof(struct mf_doc_column), take_column,
     "it takes a list of columns"},
    {"tables", YAML_LIST, ENTRY(root.tables), ENTRY(root.ntables), sizeof(struct mf_doc_table), take_table,
     "it takes a list of tables"},
    {"ignore", YAML_ONE_OR_MANY, ENTRY(ignore), ENTRY(nignore), sizeof(struct mf_doc_path), take_path,
     "it takes a list of paths"},
    {"rest", YAML_ITEM, ENTRY(rest), 0, 0, yaml_take_name, NULL},
};

static int take_entry(struct yaml_walk *w, struct mf_arena *a, const yaml_node_t *n, struct mf_doc_collection *ret,
                      struct mf_error *err)
{
    size_t line = n->start_mark.line + 1;
    *ret = (struct mf_doc_collection){.line = line, .root.line = line};
    return yaml_take_record(w, a, "map", collection_fields, MF_ARRAY_LEN(collection_fields), n, ret, err);
}

int yaml_take_documents(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, size_t count,
                        struct mf_error *err)
{
    struct mf_doc_map *m = mf_xcalloc(1, sizeof *m);
    mf_arena_init(&m->arena, YAML_MAP_BYTES);
    struct mf_doc_collection *all = mf_alloc_array(&m->arena, count, sizeof *all);
    m->file = mf_strdup_a(&m->arena, w->path);
    m->collections = all;
    int rc = all && m->file ? 0 : yaml_no_memory(w, n, err);
    for (; rc == 0 && m->n < count; m->n++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[m->n]);
        rc = item ? take_entry(w, &m->arena, item, &all[m->n], err)
                  : yaml_fail_at(w, n, err, o->key, "it cannot be read");
    }
    if (rc < 0) {
        mf_doc_map_free(m);
        return -1;
    }
    mf_option_free_value(w->config, o);
    w->config->documents = m;
    return 0;
}
