/* Documents shown where tables are.
 *
 * Above the connectors a collection is a table of two columns, `_id` (text, the key) and `document` (bson/shred.h, mf_bson_table). Only the target knows the tables that
 * its documents become: above its face stands an mf_db that shows the collections of the map, turns each document into rows of their tables on the way in, and rows into
 * the document's normal form on the way out. On the source's side there is only the normal form: digests are of it, and the schema described is that of the tables.
 *
 * What holds: a document's rows change in one transaction, all of them or none; only rows that differ are written; the digest of a document is that of its normal form
 * on both sides. docs/internals/document-rows.md has the argument. */
#ifndef MF_CONNECTOR_SHRED_SHRED_H
#define MF_CONNECTOR_SHRED_SHRED_H

#include "bson/shred.h"
#include "connector/connector.h"

/* Both take own over (also on error): closing what they give closes it. map lives as long as the database. */

/* own: the face of the target, which has the names of the source (NULL: its own). keep_old: the rows of a document that is refused stay as they were (mf_db_options.refused_stay). */
int mf_shred_open(struct mf_db *own, const struct mf_shred *map, struct mf_db *source, bool keep_old,
                  struct mf_db **ret, struct mf_error *err);
/* own: the face of the source, which has documents. to_end: a collection of the map may be gone (mf_db_options.to_end). */
int mf_norm_open(struct mf_db *own, const struct mf_shred *map, bool to_end, struct mf_db **ret, struct mf_error *err);

#endif
