/* The text of synchronous_standby_names: who is waited for, read and written. Pure. */
#ifndef MF_CONNECTOR_POSTGRES_STANDBY_NAMES_H
#define MF_CONNECTOR_POSTGRES_STANDBY_NAMES_H

#include "base/buf.h"

#include <stdbool.h>

#define PG_STANDBYS_MAX 64
#define PG_STANDBY_NAME 64 /* an application_name with its end */

struct pg_standby_names {
    bool any; /* any `num` of them; else the first `num` that are there */
    int num;
    size_t n;
    char names[PG_STANDBYS_MAX][PG_STANDBY_NAME];
};

/* False when it is not such a text, or longer than this has room for. "" has no names. */
bool pg_standby_names_parse(const char *text, struct pg_standby_names *ret);
void pg_standby_names_put(struct mf_buf *b, const struct pg_standby_names *s);
/* As the server numbers them (SyncRepGetStandbyPriority): 1 is the first, and of `any` all are; 0: it is not among them. Letters' case does not count. */
int pg_standby_names_priority(const struct pg_standby_names *s, const char *name);
/* How many others could answer: every other name is one; "*" is anybody (INT_MAX). */
int pg_standby_names_others(const struct pg_standby_names *s, const char *name);
/* Commits wait for all that are named, so that one more can be added without anybody being able to answer in its place. True of no names. */
bool pg_standby_names_all(const struct pg_standby_names *s);
/* name first, and one more is waited for; false when there is no room. Or without it, and one less. */
bool pg_standby_names_add(struct pg_standby_names *s, const char *name);
void pg_standby_names_remove(struct pg_standby_names *s, const char *name);

#endif
