/* What statement.c and statement_alter.c share. */
#ifndef MF_CONNECTOR_MYSQL_STATEMENT_INTERNAL_H
#define MF_CONNECTOR_MYSQL_STATEMENT_INTERNAL_H

#include "connector/mysql/statement.h"

struct my_st_reader {
    struct my_tokens t;
    const struct my_sql *sql;
    my_touched_sink *emit;
    void *ctx;
};

struct my_st_name {
    char schema[MY_TOKEN], table[MY_TOKEN];
    bool sure;
};

void my_st_touch(struct my_st_reader *r, enum my_effect effect, const char *schema, const char *table);
void my_st_touch_all(struct my_st_reader *r, enum my_effect effect);
bool my_st_is_name(const struct my_tokens *t);
/* `db`.`table`, table, .table: reads behind it. False when there is no name here. */
bool my_st_read_name(struct my_st_reader *r, struct my_st_name *ret);
/* A name that may be written in another character set than ours may be any. */
void my_st_touch_name(struct my_st_reader *r, enum my_effect effect, const struct my_st_name *n);
/* Reads a name and tells of it; what is no name may be any table. */
bool my_st_take_name(struct my_st_reader *r, enum my_effect effect);
bool my_st_skip_if_exists(struct my_st_reader *r);
/* MariaDB: WAIT n, NOWAIT behind a table's name. */
void my_st_skip_wait(struct my_st_reader *r);

/* statement_alter.c: what follows ALTER TABLE. */
void my_st_alter_table(struct my_st_reader *r, bool ignore);

#endif
