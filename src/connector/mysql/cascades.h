/* Foreign keys by which InnoDB changes rows by itself. Such changes are in no log. */
#ifndef MF_CONNECTOR_MYSQL_CASCADES_H
#define MF_CONNECTOR_MYSQL_CASCADES_H

#include "connector/mysql/connect.h"

/* Fills cascades of the catalogue's tables, in its arena: by foreign keys between two of them that refer to columns of the key. (Others
 * are refused by the check.) */
int my_cascades_read(MYSQL *c, struct mf_catalog *cat, struct mf_error *err);

/* Changes rows: CASCADE, SET NULL. */
bool my_rule_acts(const char *rule);

/* Whether all of t's columns with these names, MY_NAMES_APART between them, are of its key. */
#define MY_NAMES_APART "\x01"
bool my_refers_to_key(const struct mf_table *t, const char *columns);

#endif
