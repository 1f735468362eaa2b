/* Describing a schema: what every engine's describe needs. Errors of memory are kept until the end: `full` is set once, and everything after it is harmless. */
#ifndef MF_MODEL_SCHEMA_BUILD_H
#define MF_MODEL_SCHEMA_BUILD_H

#include "base/error.h"
#include "model/schema.h"
#include "model/table.h"

#define MF_SCHEMA_BYTES ((size_t)256 << 20)

struct mf_schema_build {
    struct mf_schema *schema; /* tables[i] is own->tables[i] */
    const struct mf_catalog *own;
    size_t left_cap;
    bool full; /* the arena is */
};

/* The tables with their columns: names, types (types[i][k]), whether they are NULL and generated. The rest is left to be filled. */
void mf_schema_begin(struct mf_schema_build *b, struct mf_schema *s, const struct mf_catalog *own,
                     struct mf_type *const *types);
/* 0, or MF_FATAL MFBIG where it did not fit. */
int mf_schema_end(const struct mf_schema_build *b, struct mf_error *err);

/* A copy in the arena; NULL for NULL; "" when it is full. */
const char *mf_schema_keep(struct mf_schema_build *b, const char *text);
void *mf_schema_array(struct mf_schema_build *b, size_t n, size_t size); /* zeros; NULL when it is full */
void mf_schema_leave(struct mf_schema_build *b, const char *why, const char *text, const char *object_fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Rows are found by it: unique, and on the columns of the catalogue's key in its order, whole. */
bool mf_schema_is_key(const struct mf_table *own, const struct mf_schema_index *x);

#endif
