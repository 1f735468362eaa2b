/*
 * Tables that were changed by a statement which is not in the log (sql_log_bin = 0): the stream goes on reading their rows with the eyes of
 * before, and where everything fits but the meaning (an ENUM's members in another order, two columns that change places) neither it nor the
 * log can tell.
 *
 * The catalogue can: a table whose shape differs from the remembered one, which the stream has not unlearnt although it is
 * past the moment of an earlier look that saw the difference, was changed behind the log. All of its columns are noted (moved.h),
 * and what is remembered of it does not hold from here on.
 */
#ifndef MF_CONNECTOR_MYSQL_UNLOGGED_H
#define MF_CONNECTOR_MYSQL_UNLOGGED_H

#include "connector/mysql/connect.h"

/* After a look at the shapes of the whole catalogue; does nothing where no stream of this process is read. */
int my_unlogged_note(MYSQL *c, struct my_db *db, const struct mf_catalog *now, struct mf_error *err);

#endif
