/*
 * Columns whose values in rows that are there may have been changed by an ALTER TABLE: no event tells which, and often the shape is
 * afterwards what it was (a column dropped and made again, two that change their names, NULL that may not be any more). The
 * stream notes them in midflight.settings, before the statement is passed; a look at the whole catalogue gives such a column another number
 * (mf_column.number), by which those above see that it is not the one it was.
 */
#ifndef MF_CONNECTOR_MYSQL_MOVED_H
#define MF_CONNECTOR_MYSQL_MOVED_H

#include "connector/mysql/relations.h"

#define MY_MOVED_MAX 4096 /* of one transaction; beyond it, every column of the table */

struct my_moved {
    struct my_rel *rel;
    char *column; /* "": every one */
};

struct my_moves { /* all-zero: none */
    struct my_moved *list;
    size_t n, cap;
    char statement[MY_WHY]; /* the last one */
};

void my_moves_clear(struct my_moves *m);
void my_moves_free(struct my_moves *m);
/* An effect on columns (MY_FX_COLUMN_…) of a table; its shape before is rel's. */
void my_moves_note(struct my_moves *m, struct my_rel *rel, const struct my_touched *x, const struct my_event *e);
/* Every column of a table. */
void my_moves_all(struct my_moves *m, struct my_rel *rel, const char *why);
/* Once for each statement of the log, however often it is read: order is its transaction's. */
int my_moves_write(const struct my_moves *m, const struct my_relations *r, MYSQL *c, uint64_t order,
                   struct mf_error *err);

/* Gives the columns of a catalogue their numbers: how often they were noted. */
int my_moves_number(MYSQL *c, const struct my_db *db, struct mf_catalog *cat, struct mf_error *err);

#endif
