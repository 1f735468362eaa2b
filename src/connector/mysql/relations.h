/*
 * The tables a stream hands out, and how their rows are read.
 *
 * The log tells of a row as values without names, sign or character set; the catalogue tells those, but of now, not of the place where the
 * row was written. So a shape is taken from the catalogue together with the log's end at that moment (under the table's
 * metadata lock, which no schema change of the table passes), and it holds for a row before that end only if no statement in between touched the table:
 * the stream looks ahead (scout.h). From there on every statement in the log that may touch the table makes its shape unknown
 * again. Nothing is guessed: a table map that does not fit, or a change ahead, stops the stream.
 *
 * What is known is remembered (versions.h), so that a later stream knows it too.
 *
 * A table that was dropped, or renamed away, stays gone: what has its name afterwards is another table.
 */
#ifndef MF_CONNECTOR_MYSQL_RELATIONS_H
#define MF_CONNECTOR_MYSQL_RELATIONS_H

#include "connector/mysql/binlog.h"
#include "connector/mysql/connect.h"
#include "connector/mysql/gtid.h"
#include "connector/mysql/place.h"
#include "connector/mysql/statement.h"

#define MY_WHY 300 /* of a statement that is shown */

struct my_since;

/* A table's columns in the log. */
struct my_logged {
    uint16_t n;
    struct my_type *types;
    const char **names; /* "": any */
    uint16_t *from;     /* column i that travels is column from[i] of these */
};

struct my_rel {
    char *schema, *name;
    const struct my_since *since; /* what is contained there is not the stream's business; NULL: nothing is */
    enum { MY_REL_UNKNOWN, MY_REL_KNOWN, MY_REL_GONE } state;
    char why[MY_WHY]; /* the statement that made it unknown or gone */
    bool announced;
    bool hidden;      /* it may have columns that no catalogue tells */
    bool dirty;       /* its state is not remembered yet */
    uint64_t version; /* the order from which on it is what it is; 0: nothing is remembered */
    /* known */
    struct mf_arena arena;
    struct mf_table *whole; /* with all columns, as they are in the log */
    struct mf_table *table; /* as handed out: without columns that the server computes, unless they are of the key */
    struct my_logged plain, full; /* without and with columns that are hidden (hidden.c) */
    const uint16_t *from;         /* of the one that the last table map has */
};

struct my_relations {
    struct my_db *db;
    struct mf_pipe_id pipe;
    struct my_rel **rels;
    size_t n, cap;
    struct my_rel **slots; /* open addressing by name */
    size_t nslots;
    struct my_since *sinces;
    const struct my_since *settled; /* what is contained there was seen by every reader of rows */
    uint64_t tables_added;          /* as of the list */
};

/* Reads what is published. Also again, when tables were added: those that are there stay as they are. */
int my_relations_read(struct my_relations *r, MYSQL *c, struct mf_error *err);
void my_relations_free(struct my_relations *r); /* an all-zero one is fine */
struct my_rel *my_relations_find(const struct my_relations *r, const char *schema, const char *name);
/* They mean the same database, or the same table. */
bool my_relations_same(const struct my_relations *r, const char *a, const char *b);

bool my_since_has(const struct my_since *s, const struct my_gtid *g, const struct my_place *at);
/* Is a transaction of before the table was published. */
bool my_rel_before(const struct my_rel *rel, const struct my_gtid *g, const struct my_place *at);

/* The shape now, and the log's end that it belongs to. When the table is not there: it is gone. */
int my_rel_learn(struct my_relations *r, struct my_rel *rel, struct my_place *ret_end, struct mf_error *err);
/* The whole table, allocated in rel's arena, becomes its shape. */
int my_rel_take(struct my_rel *rel, struct mf_table *whole, struct mf_error *err);
/* Holds the shape against a table map and tells the decoder. MFDDL when it does not fit. */
int my_rel_fit(struct my_rel *rel, struct my_binlog *log, const struct my_table_map *map, struct mf_error *err);
/* A statement touched it: it may have another shape, or it is another table. To be remembered (dirty). */
void my_rel_forget(struct my_rel *rel, const char *statement, size_t n);
void my_rel_gone(struct my_rel *rel, const char *statement, size_t n);

/* What a statement of the log says: see statement.h. */
void my_relations_statement(const struct my_relations *r, const struct my_event *e, struct my_statement *ret,
                            my_touched_sink *emit, void *ctx);

/* A statement as it is shown in a message: one line, cut. */
void my_shown(const char *statement, size_t n, char out[static MY_WHY]);

/* "`db`.`table`" taken apart. */
bool my_object_name(const char *object, char *schema, char *table, size_t n);

#endif
