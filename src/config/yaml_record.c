/*
 * Records of keys and values, read by a table of their fields: an unknown key, a key given twice and a value of the
 * wrong form are told in one way, with the line and the nearest name.
 */
#include "config/yaml_record.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int yaml_no_memory(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err)
{
    return yaml_fail_at(w, n, err, "map", "it is too large");
}

/*
 * Variables of the environment have no place in a record: what becomes of the rows must not change with who started
 * the program, and messages show these texts, as they show no secret.
 */
static int no_variables(struct yaml_walk *w, const char *key, const yaml_node_t *n, char *text, struct mf_error *err)
{
    char *to = text;
    for (const char *p = text; *p;) {
        if (strncmp(p, "${", 2) == 0) {
            return yaml_fail_at(w, n, err, key,
                                "a variable of the environment is not replaced here; $${ stands for ${");
        }
        bool escaped = strncmp(p, "$${", 3) == 0;
        p += escaped;
        *to++ = *p++;
        if (escaped) {
            *to++ = *p++;
        }
    }
    *to = '\0';
    return 0;
}

int yaml_take_text(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, const char **ret,
                   struct mf_error *err)
{
    const char *text = yaml_scalar(n);
    if (!text || yaml_is_null(n)) {
        return yaml_fail_at(w, n, err, key, text ? "it has no value" : "it takes a text");
    }
    if (strlen(text) > MF_CONFIG_VALUE_MAX) {
        return yaml_fail_at(w, n, err, key, "it is too long");
    }
    char *own = mf_strdup_a(a, text);
    if (!own) {
        return yaml_no_memory(w, n, err);
    }
    *ret = own;
    return no_variables(w, key, n, own, err);
}

int yaml_take_name(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                   struct mf_error *err)
{
    const char *name = NULL;
    if (yaml_take_text(w, a, key, n, &name, err) < 0) {
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

static const struct yaml_field *find_field(const struct yaml_field *fields, size_t n, const char *name,
                                           const char **ret_near)
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

static int take_list(struct yaml_walk *w, struct mf_arena *a, const char *key, const struct yaml_field *f,
                     const yaml_node_t *n, char *record, struct mf_error *err)
{
    bool alone = f->form == YAML_ONE_OR_MANY && n->type == YAML_SCALAR_NODE;
    if (n->type != YAML_SEQUENCE_NODE && !alone) {
        return yaml_fail_at(w, n, err, key, f->wants);
    }
    size_t count = alone ? 1 : (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (count == 0 || count > YAML_MAP_MOST) {
        return yaml_fail_at(w, n, err, key, count ? "the list is too long" : "the list is empty");
    }
    char *items = mf_alloc_array(a, count, f->item_size);
    if (!items) {
        return yaml_no_memory(w, n, err);
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

static int take_field(struct yaml_walk *w, struct mf_arena *a, const char *key, const struct yaml_field *f,
                      const yaml_node_t *n, char *record, struct mf_error *err)
{
    const char *text;
    switch (f->form) {
    case YAML_TEXT:
        if (yaml_take_text(w, a, key, n, &text, err) < 0) {
            return -1;
        }
        memcpy(record + f->offset, &text, sizeof text);
        return 0;
    case YAML_FLAG:
        return take_flag(w, key, n, (bool *)(record + f->offset), err);
    case YAML_ITEM:
        return f->item(w, a, key, n, record + f->offset, err);
    case YAML_ONE_OR_MANY:
    case YAML_LIST:
        break;
    }
    return take_list(w, a, key, f, n, record, err);
}

int yaml_take_record(struct yaml_walk *w, struct mf_arena *a, const char *where, const struct yaml_field *fields,
                     size_t n, const yaml_node_t *node, void *record, struct mf_error *err)
{
    uint64_t given = 0;
    char key[MF_CONFIG_KEY_MAX * 3];
    if (node->type != YAML_MAPPING_NODE) {
        return yaml_fail_at(w, node, err, where, "each item is made of keys and values");
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(w->doc, p->key), *v = yaml_document_get_node(w->doc, p->value);
        const char *name = k ? yaml_scalar(k) : NULL, *near = NULL;
        const struct yaml_field *f = name ? find_field(fields, n, name, &near) : NULL;
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
