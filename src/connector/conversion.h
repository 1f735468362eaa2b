/* What a migration between two kinds of databases does to a schema, told: for the check, and when the schema is made. What is the same for every engine is
 * here; what only the making engine knows, it tells while it makes (or plans to). */
#ifndef MF_CONNECTOR_CONVERSION_H
#define MF_CONNECTOR_CONVERSION_H

#include "connector/connector.h"

/* The source's schema under the names it will have on the target: its default schema becomes the target's. The target is the engine's own database,
 * behind no face; the source may be what a face or a view shows. Both have mf_canon_ops. */
int mf_conversion_read(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter,
                       struct mf_schema *ret, struct mf_catalog *ret_tables, struct mf_error *err);

/* Findings about columns and about what is left; out is never NULL. */
void mf_conversion_tell(struct mf_db *target, const struct mf_schema *s, struct mf_findings *out);

/* What making that schema would tell, all stages, without making anything. */
int mf_conversion_rehearse(struct mf_db *target, const struct mf_schema *s, struct mf_findings *out,
                           struct mf_error *err);

/* A column that was added on a source of another kind: MF_FATAL MFDDL where the rows that are there cannot be given what theirs got. */
int mf_conversion_carriable(const struct mf_schema_table *t, const struct mf_schema_column *c, struct mf_error *err);
/* That error, with `why`. Returns -1. */
int mf_conversion_refuse(const struct mf_schema_table *t, const struct mf_schema_column *c, const char *why,
                         struct mf_error *err);

#endif
