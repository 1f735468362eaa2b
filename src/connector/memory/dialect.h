/* The two kinds of servers: how the other one writes what the plain one does, and both in the model's terms. */
#ifndef MF_CONNECTOR_MEMORY_DIALECT_H
#define MF_CONNECTOR_MEMORY_DIALECT_H

#include "connector/memory/internal.h"

extern const struct mf_canon_ops mem_canon_plain, mem_canon_other;

/* A value that only one of the two has. */
bool mem_unknown_text(const struct mf_value *plain);
/* out has len + 1 bytes. Returns how many were written. */
size_t mem_say(bool text, const struct mf_value *plain, char *out);
size_t mem_unsay(bool text, const struct mf_value *other, char *out);
/* A row as a server of this shape has it, or (back) as an application does. Both to be freed; the values are views of the text, or of `values`. */
struct mf_value *mem_row_said(const struct mem_shape *s, const struct mf_value *values, bool back, char **ret_text);

/* read.c: the next part of a chunk's bound. */
bool mem_bound_part(const char **at, struct mf_value *ret);
/* target.c: the key, or the unique constraint, where it is not there yet. */
int mem_add_constraints(struct mem_table *m, bool unique, struct mf_error *err);

#endif
