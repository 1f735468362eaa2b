/*
 * The savepoints of the transaction being read. Pure.
 *
 * The log tells where each is set and where one is gone back to, but not where one is released; so what is here may be more than the session has. A
 * name that is set again replaces the old one, as in the server. There is a bound: beyond it the older half is forgotten, which
 * matters only when one of those is gone back to, and the log tells of that only where a table that cannot roll back was written in between.
 */
#ifndef MF_CONNECTOR_MYSQL_SAVEPOINT_H
#define MF_CONNECTOR_MYSQL_SAVEPOINT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MY_SAVEPOINTS_MAX 10000

struct my_savepoint {
    uint32_t hash; /* of the name without case */
    char *name;
    uint64_t sub; /* the first that is undone with it */
};

struct my_savepoints {         /* all-zero: none */
    struct my_savepoint *list; /* in their order */
    size_t n, cap;
    bool forgotten;
};

/* A transaction begins or ends. */
void my_savepoints_clear(struct my_savepoints *s);
void my_savepoints_free(struct my_savepoints *s);
/* What comes from here on is `sub`. */
void my_savepoint_set(struct my_savepoints *s, const char *name, uint64_t sub);
/* *ret: the first sub that is undone; what comes from here on is `sub`. */
int my_savepoint_back(struct my_savepoints *s, const char *name, uint64_t sub, uint64_t *ret, struct mf_error *err);

#endif
