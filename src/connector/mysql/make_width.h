/* How much room the columns of a table get here: a row has at most 65,535 bytes, an index 3,072 (fewer on small pages), and texts without bound are in neither.
 * Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_MAKE_WIDTH_H
#define MF_CONNECTOR_MYSQL_MAKE_WIDTH_H

#include "model/schema.h"

#define MY_INDEX_BYTES 3072

struct my_width {
    enum { MY_WIDTH_OWN, MY_WIDTH_CHARS, MY_WIDTH_BYTES } unit; /* OWN: its type says; else it is a text or bytes */
    uint32_t n; /* characters or bytes it has room for; 0: without bound, in no index but by its beginning */
    bool whole; /* a unique index or a foreign key needs all of it */
    bool cut;   /* the source's column has room for more */
};

/* out: one for each column of t. Columns that are left out (generated) get nothing. */
void my_make_widths(const struct mf_schema_table *t, uint32_t index_bytes, struct my_width *out);

/* How much of column `part` an index takes, in its unit; 0: all of it. */
uint32_t my_make_prefix(const struct mf_schema_table *t, const struct my_width *w, const struct mf_schema_index *x,
                        uint16_t part, uint32_t index_bytes);

/* Texts that are ENUM and bits that are BIT here. */
bool my_make_enum_fits(const struct mf_type *t);
bool my_make_bits_fit(const struct mf_type *t);

#endif
