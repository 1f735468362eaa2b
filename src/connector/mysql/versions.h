/*
 * Shapes remembered: midflight.settings, kind 'shape fwd', object "`db`.`table` ORDER" (or "* ORDER": every table), value what the table is from
 * that position on, up to its next version:
 *   "shape HEX"   known (change/codec.h)
 *   "gone WHY"    dropped or renamed away
 *   "? WHY"       changed, and not looked at since
 *
 * So a stream that is opened again, at whatever position, reads rows of before a change with the shape of before it, also when the catalogue has long
 * another. A version is written before anything behind it is handed out: a stream opened behind a change knows of it.
 */
#ifndef MF_CONNECTOR_MYSQL_VERSIONS_H
#define MF_CONNECTOR_MYSQL_VERSIONS_H

#include "connector/mysql/relations.h"

/* Sets each table to what it is at that order; its version is 0 where nothing is remembered. */
int my_versions_read(struct my_relations *r, MYSQL *c, uint64_t order, struct mf_error *err);
/* What the table is from rel->version on: as it is in rel. */
int my_version_write(const struct my_relations *r, MYSQL *c, const struct my_rel *rel, struct mf_error *err);
/* Every table may be another from that order on. */
int my_version_all(const struct my_relations *r, MYSQL *c, uint64_t order, const char *why, struct mf_error *err);
/* At the stream's making: looks at the tables that nothing is remembered of. What was changed since `from` (the log's end before their
 * start was taken) stays unknown. */
int my_versions_begin(struct my_relations *r, MYSQL *c, const struct my_place *from, uint64_t order,
                      struct mf_error *err);

#endif
