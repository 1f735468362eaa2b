/* What a column's default means. Pure; any thread. */
#ifndef MF_CONNECTOR_POSTGRES_DEFAULT_H
#define MF_CONNECTOR_POSTGRES_DEFAULT_H

#include "model/schema.h"

/* Of an expression as pg_get_expr prints it, in a session without a search path. MF_DEFAULT_VALUE: a literal and nothing else, so that asking a
 * server for it gives the same at any time. *ret_counter: the next value of a sequence (MF_DEFAULT_NONE then). */
enum mf_default_kind pg_default_parse(const char *expr, bool *ret_counter);

#endif
