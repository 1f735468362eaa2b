/*
 * A table of the target as rows are written to it: what its catalogue says of each column of the rows, and of the index they
 * are found by.
 */
#ifndef MF_CONNECTOR_MYSQL_SHAPE_H
#define MF_CONNECTOR_MYSQL_SHAPE_H

#include "connector/mysql/mysql_room.h"

struct my_shape_column {
    struct my_type type;
    bool skip; /* generated: never written */
    bool
        null_is_new; /* NOT NULL, and the server may put something of its own in the place of a NULL: TIMESTAMP, AUTO_INCREMENT */
    bool on_update; /* ON UPDATE CURRENT_TIMESTAMP: an UPDATE that does not name it changes it */
};

struct my_shape {
    struct my_shape *next;
    uint64_t hash;
    const struct mf_table *table;    /* a copy of ours */
    struct my_shape_column *columns; /* one for each of table->columns */
    char key_index[260];             /* the unique index over exactly the key's columns; "" when there is none */
    bool key_is_primary;
    bool extra;          /* the target has columns that the rows do not */
    bool extra_required; /* and an INSERT must name one of them */
    bool silent;         /* no trigger of a user fires there (triggers.h) */
    struct mf_arena arena;
};

/* Reads the target's catalogue on a leased session. MF_FATAL code MFSHAPE when table or columns are not there, MFENGINE when its
 * engine has no transactions. */
int my_shape_load(struct my_db *db, const struct mf_table *t, struct my_shape **ret, struct mf_error *err);
void my_shape_free(struct my_shape *s); /* NULL is allowed */

/* The one in the list for this table, loaded when it is new (then at the head of the list). */
int my_shape_get(struct my_db *db, struct my_shape **list, const struct mf_table *t, struct my_shape **ret,
                 struct mf_error *err);

/* The first column of `source` whose values the target's may cut or round without a word, unless each is looked at; NULL: none. */
const char *my_shape_narrow(const struct my_shape *s, const struct mf_table *source);

/* ---- literal.c: values as the server reads them ---- */

/* A value for a column of this type, to be stored or compared. NULL, or why there is no such literal (static). */
const char *my_put_stored(struct mf_buf *b, const struct my_type *t, const struct mf_value *v);
/* `column` is exactly this value, byte for byte, NULLs too: for rows without a key. */
const char *my_put_exactly(struct mf_buf *b, const struct my_type *t, const char *column, const struct mf_value *v);
/* The bytes of a column of texts, as a value has them: what stands beside a comparison by its collation, which is for the index. */
void my_put_text_bytes(struct mf_buf *b, const char *column);
/* Constants of this type may stand in a list after IN and be looked up by index, compared as the column is. */
bool my_in_list_ok(const struct my_type *t);

#endif
