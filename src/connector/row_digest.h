/* The digest of one row in canonical form: what verify compares where a database is shown (connector/face, connector/view). Two rows have the same one exactly
 * when they have the same values in the same order (but for chance of 2^-128). Any thread. */
#ifndef MF_CONNECTOR_ROW_DIGEST_H
#define MF_CONNECTOR_ROW_DIGEST_H

#include "connector/types.h"

struct mf_digest mf_row_digest(const struct mf_row *row);
/* Of several rows together, whatever their order. */
void mf_digest_add(struct mf_digest *sum, const struct mf_digest *d);
/* Sums up the rows it gets, or, where emit is there, gives each row's with its key. A row sink; key has room for t->ncolumns values. */
struct mf_digesting {
    const struct mf_table *t;
    struct mf_digest sum;
    mf_digest_sink *emit; /* NULL: only the sum is wanted */
    void *ctx;
    struct mf_value *key;
};
int mf_digest_row(void *digesting, const struct mf_row *row, struct mf_error *err);

#endif
