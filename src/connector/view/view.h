/* Query tables shown as the source's tables.
 *
 * A wrapper around the source, above its face (connector/face): where the config's `map:` makes query tables of a table, the catalogue has those in its place, each
 * with an id, columns and a key of its own; its chunks, rows by key, digests and changes are those of the query table, and its schema is described.
 * Everything above sees ordinary tables with ordinary keys, and nothing above knows of any query table. What is shown of one is at every position a
 * function of the rows that the source has then, so that everything which holds of tables holds of it: docs/internals/query-tables.md.
 *
 * Tables that the map does not name pass as they are (or, with map_only, are not there).
 */
#ifndef MF_CONNECTOR_VIEW_VIEW_H
#define MF_CONNECTOR_VIEW_VIEW_H

#include "connector/connector.h"

/* Takes the opened database over, which is behind a face (also on error): closing the view closes it. The map is held against its catalogue: MF_USAGE
 * code MFMAP, with the line, for what does not fit. map lives as long as the view. to: the target's connector, in whose terms types are asked for; NULL: one that keeps
 * no last write and has no types of its own. */
int mf_view_open(struct mf_db *own, const struct mf_query_map *map, const struct mf_connector *to, struct mf_db **ret,
                 struct mf_error *err);

#endif
