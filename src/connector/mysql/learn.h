/* Shared by learn.c and hidden.c. */
#ifndef MF_CONNECTOR_MYSQL_LEARN_H
#define MF_CONNECTOR_MYSQL_LEARN_H

#include "connector/mysql/relations.h"

#define MY_HIDDEN "!hidden!" /* begins the names that such columns get here */

bool my_is_hidden(const struct mf_column *c);
/* Puts the columns that only the server knows where they are in the log. */
int my_add_hidden(const struct my_db *db, MYSQL *c, struct mf_arena *arena, struct mf_table *t, struct mf_error *err);

#endif
