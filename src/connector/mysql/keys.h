/* Which index of a table is its key. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_KEYS_H
#define MF_CONNECTOR_MYSQL_KEYS_H

#include "connector/mysql/coltype.h"
#include "model/table.h"

/* One column of a unique index, as information_schema.STATISTICS has it. */
struct my_key_part {
    const char *index;  /* "PRIMARY" is the primary key */
    const char *column; /* NULL: an expression */
    unsigned seq;       /* from 1 */
    bool prefix;        /* only the beginning of the column is in the index */
    bool hash;          /* has no order */
};

/* Sets key, nkey, in_key and identity of t, whose columns are known, from the parts of all its unique indexes (they are sorted here). *ret_torn: an
 * index has a column that t has not; t was altered between two looks. -1 only when the arena is full. */
int my_key_choose(struct mf_table *t, struct my_key_part *parts, size_t n, struct mf_arena *arena, bool *ret_torn);

/* mf_column.equality of a column with this collation (NULL: none). Of the same rule in 5.7, 8.0 and MariaDB the same. */
uint64_t my_equality(const struct my_type *t, const char *collation);

#endif
