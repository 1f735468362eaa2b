/* Asks a server whether it understands a statement: it prepares it and throws it away. Nothing is executed. A statement that cannot be
 * prepared (CREATE PROCEDURE) is parsed all the same before the server says so. */
#ifndef MF_CONNECTOR_MYSQL_SYNTAX_H
#define MF_CONNECTOR_MYSQL_SYNTAX_H

#include "connector/mysql/connect.h"

enum my_understood {
    MY_UNDERSTOOD,
    MY_NOT_PARSED,   /* a syntax error, or a function it does not have */
    MY_NOT_RESOLVED, /* it parses, and names something that is not there, or may not be used */
};

/* -1 only when the server was lost. ret_why: what it said, when it was not understood. The statement is in the session's sql_mode and
 * database. */
int my_understands(MYSQL *c, const char *sql, size_t n, enum my_understood *ret, struct mf_error *ret_why,
                   struct mf_error *err);

#endif
