/* Operations that are those of what is behind, as it is: nothing in them is of a table. More of the kind, by name, are in ends.c. */
#include "connector/view/internal.h"

static const struct mf_source_ops *ops(const struct mf_db *own)
{
    return own->connector->source;
}

int view_statements(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err)
{
    struct mf_db *own = view_of(db)->own;
    return ops(own)->statements(own, most, emit, ctx, err);
}

/* Of a table of the source: one that is behind. */
int view_key_sizes(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret, struct mf_error *err)
{
    struct mf_db *own = view_of(db)->own;
    return ops(own)->key_sizes(own, job, ret, err);
}
