/* What the files that read migration.yaml share. */
#ifndef MF_CONFIG_YAML_H
#define MF_CONFIG_YAML_H

#include "config/option.h"

#include <yaml.h>

struct yaml_walk {
    yaml_document_t *doc;
    struct mf_config *config;
    const char *path, *base;
    size_t *seen;   /* by option: the line it was given on, 0 not yet */
    unsigned depth; /* of records within records */
};

/* MF_USAGE with file and line: "KEY: WHAT". Returns -1. */
int yaml_fail_at(struct yaml_walk *w, const yaml_node_t *n, struct mf_error *err, const char *key, const char *what);
/* The node's text, or NULL when it is not a scalar or holds a NUL byte. */
const char *yaml_scalar(const yaml_node_t *n);
bool yaml_is_null(const yaml_node_t *n);

/* ---- yaml_map.c, yaml_doc_map.c ---- */
/* `map:`, a list of query tables or of collections. */
int yaml_take_map(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, struct mf_error *err);
int yaml_take_documents(struct yaml_walk *w, const struct mf_option *o, const yaml_node_t *n, size_t count,
                        struct mf_error *err);

#endif
