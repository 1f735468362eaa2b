/*
 * Looks ahead in the log for statements that touch the tables of a stream, between the stream's own place and the place that a catalogue
 * was read at: see relations.h. By a connection of its own, from where it stopped the last time, and only as far as
 * asked; near the end of the log, where a stream is as a rule, that is next to nothing.
 */
#ifndef MF_CONNECTOR_MYSQL_SCOUT_H
#define MF_CONNECTOR_MYSQL_SCOUT_H

#include "connector/mysql/relations.h"

struct my_scout;

struct my_scout *my_scout_new(struct my_relations *r);
void my_scout_free(struct my_scout *s);
/* Goes on for about timeout_ms. *ret_done: everything between `from` (where the stream is) and `to` is known. */
int my_scout_step(struct my_scout *s, const struct my_place *from, const struct my_place *to, int timeout_ms,
                  bool *ret_done, struct mf_error *err);
/* The first statement behind `from` that touches this table; NULL when there is none in what is known. */
const char *my_scout_found(struct my_scout *s, const struct my_rel *rel, const struct my_place *from);

#endif
