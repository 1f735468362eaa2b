/*
 * migration.yaml: libyaml's document tree, walked with the option table in hand. Every error has the file and the line.
 * Nothing is guessed: a key given twice, an unknown one, an empty value and an alias are errors. No value is shown in an
 * error unless its option can hold no secret.
 */
#include "config/yaml.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void at_line(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err)
{
    mf_error_prefix(err, "%s:%zu", w->path, n->start_mark.line + 1);
}

int yaml_fail_at(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err, const char *key, const char *what)
{
    mf_fail(err, MF_USAGE, "MFCONF", "%s%s%s", key, key[0] ? ": " : "", what);
    at_line(w, n, err);
    return -1;
}

const char *yaml_scalar(const yaml_node_t *n)
{
    if (n->type != YAML_SCALAR_NODE || strlen((const char *)n->data.scalar.value) != n->data.scalar.length) {
        return NULL;
    }
    return (const char *)n->data.scalar.value;
}

bool yaml_is_null(const yaml_node_t *n)
{
    const char *s = yaml_scalar(n);
    return s && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (!s[0] || mf_streq(s, "~") || mf_streq(s, "null"));
}

static int take_list(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, struct mf_error *err)
{
    size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (count > MF_CONFIG_LIST_MAX) {
        return yaml_fail_at(w, n, err, o->key, "the list is too long");
    }
    char **items = mf_xcalloc(count + 1, sizeof(char *));
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[i]);
        const char *text = item ? yaml_scalar(item) : NULL;
        if (!text || yaml_is_null(item)) {
            rc = yaml_fail_at(w, item ? item : n, err, o->key, "each item of the list is a text");
        } else if (mf_config_expand(text, false, &items[i], err) < 0) {
            mf_error_prefix(err, "%s", o->key);
            at_line(w, item, err);
            rc = -1;
        }
    }
    if (rc == 0 && mf_option_set_list(w->config, o, (const char *const *)items, count, err) < 0) {
        mf_error_prefix(err, "%s", o->key);
        at_line(w, n, err);
        rc = -1;
    }
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
    free(items);
    return rc;
}

static int take_text(struct yaml_walk *w, const struct mf_option *o, bool from_file, const char *text,
                     struct mf_error *err)
{
    char *value = NULL;
    if (mf_config_expand(text, o->type == MF_OPT_URL && !from_file, &value, err) < 0) {
        return -1;
    }
    if (from_file) {
        char *contents = NULL;
        int rc = mf_config_read_file(value, w->base, &contents, err);
        free(value);
        if (rc < 0) {
            return -1;
        }
        value = contents;
    }
    int rc = mf_option_set(w->config, o, value, text, w->base, err);
    explicit_bzero(value, strlen(value));
    free(value);
    return rc;
}

static int take_value(struct yaml_walk *w, const struct mf_option *o, const char *key, bool from_file,
                      const yaml_node_t *at, const yaml_node_t *n, struct mf_error *err)
{
    char kind[256];
    size_t *seen = &w->seen[o - mf_options];
    if (*seen) {
        mf_fail(err, MF_USAGE, "MFCONF", "%s is given twice, first on line %zu", key, *seen);
        at_line(w, at, err);
        return -1;
    }
    *seen = at->start_mark.line + 1;
    if (o->type == MF_OPT_LIST && n->type == YAML_SEQUENCE_NODE) {
        return take_list(w, o, n, err);
    }
    if (o->type == MF_OPT_MAP && n->type == YAML_SEQUENCE_NODE) {
        return yaml_take_map(w, o, n, err);
    }
    const char *text = yaml_scalar(n);
    if (!text) {
        mf_fail(err, MF_USAGE, "MFCONF", "%s takes %s", key,
                from_file ? "the path of a file" : mf_option_kind(o, kind, sizeof(kind)));
        at_line(w, n, err);
        return -1;
    }
    if (yaml_is_null(n)) {
        return yaml_fail_at(w, n, err, key, "it has no value");
    }
    if (take_text(w, o, from_file, text, err) < 0) {
        mf_error_prefix(err, "%s", key);
        at_line(w, n, err);
        return -1;
    }
    return 0;
}

static int take_mapping(struct yaml_walk *w, const yaml_node_t *map, const char *prefix, struct mf_error *err);

static int take_pair(struct yaml_walk *w, const char *prefix, const yaml_node_t *k, const yaml_node_t *v,
                     struct mf_error *err)
{
    char key[MF_CONFIG_KEY_MAX * 2];
    const char *name = yaml_scalar(k);
    if (!name || strlen(name) >= MF_CONFIG_KEY_MAX) {
        return yaml_fail_at(w, k, err, prefix, "a key that is no name");
    }
    snprintf(key, sizeof(key), "%s%s%s", prefix, prefix[0] ? "." : "", name);
    const struct mf_option *o = mf_option_find(key);
    if (o) {
        return take_value(w, o, key, false, k, v, err);
    }
    o = mf_option_for_file(key);
    if (o) {
        return take_value(w, o, key, true, k, v, err);
    }
    if (!prefix[0] && mf_option_section(key)) {
        if (yaml_is_null(v)) {
            return 0;
        }
        return v->type == YAML_MAPPING_NODE ? take_mapping(w, v, key, err)
                                            : yaml_fail_at(w, v, err, key, "it is a section: it holds keys of its own");
    }
    mf_option_unknown(key, err);
    at_line(w, k, err);
    return -1;
}

/* Sections do not nest, so this is at most two deep, whatever aliases the document has. */
static int take_mapping(struct yaml_walk *w, const yaml_node_t *map, const char *prefix, struct mf_error *err)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key);
        const yaml_node_t *v = yaml_document_get_node(w->doc, p->value);
        if (!k || !v) {
            return yaml_fail_at(w, map, err, prefix, "it cannot be read");
        }
        if (take_pair(w, prefix, k, v, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int fail_yaml(yaml_parser_t *p, const char *path, struct mf_error *err)
{
    /* The problem is libyaml's own sentence; the context too. Neither quotes the document. */
    mf_fail(err, MF_USAGE, "MFCONF", "%s:%zu: this is not YAML: %s", path, p->problem_mark.line + 1,
            p->problem ? p->problem : "it cannot be read");
    return -1;
}

static int parse_document(yaml_parser_t *parser, struct yaml_walk *w, struct mf_error *err)
{
    yaml_document_t doc;
    yaml_document_t more;
    if (!yaml_parser_load(parser, &doc)) {
        return fail_yaml(parser, w->path, err);
    }
    w->doc = &doc;
    int rc = 0;
    yaml_node_t *root = yaml_document_get_root_node(&doc);
    if (!root) {
        rc = mf_fail(err, MF_USAGE, "MFCONF", "%s: it is empty", w->path);
    } else if (root->type != YAML_MAPPING_NODE) {
        rc = yaml_fail_at(w, root, err, "", "a configuration is made of keys and values");
    } else {
        rc = take_mapping(w, root, "", err);
    }
    yaml_document_delete(&doc);
    w->doc = NULL;
    if (rc == 0) {
        if (!yaml_parser_load(parser, &more)) {
            return fail_yaml(parser, w->path, err);
        }
        yaml_node_t *second = yaml_document_get_root_node(&more);
        if (second) {
            rc = yaml_fail_at(w, second, err, "", "a second document begins here; a configuration is one");
        }
        yaml_document_delete(&more);
    }
    return rc;
}

int mf_config_parse(const char *text, size_t len, const char *path, const char *base, struct mf_config **ret,
                    struct mf_error *err)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    struct yaml_walk w = {.config = mf_config_new(), .path = path, .base = base};
    w.seen = mf_xcalloc(mf_option_count, sizeof(*w.seen));
    int rc = parse_document(&parser, &w, err);
    free(w.seen);
    yaml_parser_delete(&parser);
    if (rc < 0) {
        mf_config_free(w.config);
        return -1;
    }
    *ret = w.config;
    return 0;
}
