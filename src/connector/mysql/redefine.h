/*
 * Whether an ALTER TABLE may have changed values of a column in rows that are there: the log tells of no row then. Pure; fuzzed
 * (tests/fuzz/fuzz_my_statement.c).
 *
 * Errs to one side: what cannot be told may have.
 */
#ifndef MF_CONNECTOR_MYSQL_REDEFINE_H
#define MF_CONNECTOR_MYSQL_REDEFINE_H

#include "model/table.h"

#include <stdbool.h>
#include <stddef.h>

/* def: what stands behind the column's name in MODIFY or CHANGE. strict: the session's sql_mode makes the server refuse what does not fit (it
 * still rounds, and cuts blanks off). */
bool my_redefined_keeps(const struct mf_column *was, const char *def, size_t n, bool strict);

#endif
