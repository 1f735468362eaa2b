/*
 * What an account may do, from the lines of SHOW GRANTS. Pure; one thread.
 *
 * Privileges come as words ("SELECT", "REPLICATION SLAVE"), on everything, on a database (whose name may hold the wildcards % and _)
 * or on one table; WITH GRANT OPTION counts as "GRANT OPTION" there. Privileges on columns and routines, and lines that grant roles, count for nothing here: the caller asks the server to
 * write roles out.
 */
#ifndef MF_CONNECTOR_MYSQL_GRANTS_H
#define MF_CONNECTOR_MYSQL_GRANTS_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct my_grant {
    const char *privileges;     /* ",SELECT,INSERT," or ",ALL," */
    const char *schema, *table; /* NULL: all */
    struct my_grant *next;
};

struct my_grants {
    struct mf_arena arena;
    struct my_grant *first;
};

void my_grants_init(struct my_grants *g);
void my_grants_free(struct my_grants *g);
/* Adds a line; one of another form is passed over. MFBIG when there are too many. */
int my_grants_add(struct my_grants *g, const char *line, struct mf_error *err);
/* schema NULL: on everything. table NULL: on every table of the schema. */
bool my_grants_have(const struct my_grants *g, const char *privilege, const char *schema, const char *table);

#endif
