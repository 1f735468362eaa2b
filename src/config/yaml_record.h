/* Records of keys and values in migration.yaml, for what is a list of them (`map:`). */
#ifndef MF_CONFIG_YAML_RECORD_H
#define MF_CONFIG_YAML_RECORD_H

#include "base/arena.h"
#include "config/yaml.h"

#define YAML_MAP_BYTES ((size_t)64 << 20)
#define YAML_MAP_MOST  1000 /* entries, and items of a list in one */

/* One item at its place: of a list, in an array of so many; of a field that is an item, in the record. */
typedef int yaml_take_item(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                           struct mf_error *err);

struct yaml_field {
    const char *name;
    enum { YAML_TEXT, YAML_FLAG, YAML_ITEM, YAML_ONE_OR_MANY, YAML_LIST } form;
    size_t offset, count_offset; /* count_offset: of lists, which are an array and its length */
    size_t item_size;
    yaml_take_item *item;
    const char *wants; /* of lists */
};

int yaml_no_memory(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err);
/* A text as it is written, but for $${, which stands for ${; a variable of the environment is refused. */
int yaml_take_text(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, const char **ret,
                   struct mf_error *err);
/* The same, not empty: a yaml_take_item whose place is a const char *. */
int yaml_take_name(struct yaml_walk *w, struct mf_arena *a, const char *key, const yaml_node_t *n, void *at,
                   struct mf_error *err);
/* where: what the record is, for messages. */
int yaml_take_record(struct yaml_walk *w, struct mf_arena *a, const char *where, const struct yaml_field *fields,
                     size_t n, const yaml_node_t *node, void *record, struct mf_error *err);

#endif
