/* What a column's default means. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_DEFAULT_H
#define MF_CONNECTOR_MYSQL_DEFAULT_H

#include "base/buf.h"
#include "connector/mysql/coltype.h"
#include "model/schema.h"

/* text, extra: COLUMN_DEFAULT and EXTRA of information_schema.COLUMNS (NULL: no default). as_sql: defaults are written as in a statement there, which is
 * MariaDB's way; MySQL gives the bare value. MF_DEFAULT_VALUE: *value has the value as this engine writes it (coltype.h). Only what is known for
 * certain is anything but OTHER. */
enum mf_default_kind my_default_parse(const char *text, const char *extra, const struct my_type *t, bool as_sql,
                                      struct mf_buf *value);

#endif
