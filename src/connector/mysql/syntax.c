/* See syntax.h. */
#include "connector/mysql/syntax.h"

#include <errmsg.h>
#include <mysqld_error.h>

static enum my_understood meaning(unsigned number)
{
    switch (number) {
    case ER_PARSE_ERROR:
    case ER_SYNTAX_ERROR:
    case ER_SP_DOES_NOT_EXIST: /* a function */
    case ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT:
    case ER_WRONG_PARAMETERS_TO_NATIVE_FCT:
    case ER_UNKNOWN_SYSTEM_VARIABLE:
        return MY_NOT_PARSED;
    case ER_UNSUPPORTED_PS:
        return MY_UNDERSTOOD;
    default:
        return MY_NOT_RESOLVED;
    }
}

int my_understands(MYSQL *c, const char *sql, size_t n, enum my_understood *ret, struct mf_error *ret_why,
                   struct mf_error *err)
{
    *ret_why = (struct mf_error){0};
    *ret = MY_UNDERSTOOD;
    MYSQL_STMT *s = mysql_stmt_init(c);
    if (!s) {
        return my_fail(c, err);
    }
    int rc = 0;
    if (mysql_stmt_prepare(s, sql, n) != 0) {
        unsigned number = mysql_stmt_errno(s);
        my_fail_with(NULL, number, mysql_stmt_error(s), ret_why);
        if (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) {
            *err = *ret_why;
            rc = -1;
        }
        *ret = meaning(number);
    }
    mysql_stmt_close(s);
    return rc;
}
