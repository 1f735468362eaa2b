/*
 * A table of the target as the apply stage writes it: what the catalogue says about each column, and the statements
 * prepared for it on one connection.
 */
#ifndef MF_CONNECTOR_POSTGRES_SHAPE_H
#define MF_CONNECTOR_POSTGRES_SHAPE_H

#include "connector/postgres/postgres.h"
#include "connector/postgres/send.h"

struct pg_shape_column {
    uint32_t base_type; /* domains looked through */
    int32_t typmod;     /* of the column, or of the domain */
    struct pg_made made;
    const char *cast;   /* the base type's name without modifier, qualified: what follows `::` */
    const char *equals; /* the equality operator, as SQL */
    enum pg_send send;
    bool skip;   /* generated: never written */
    bool always; /* GENERATED ALWAYS AS IDENTITY: no UPDATE may set it */
};

/* The statements a table is written with. "Strict" ones undo the transaction on the server when they change another
 * number of rows than the last parameter says. */
enum pg_stmt_kind {
    PG_STMT_INSERT,       /* whole new rows that must not exist */
    PG_STMT_UPSERT,       /* whole new rows over whatever is there */
    PG_STMT_UPDATE,       /* strict */
    PG_STMT_UPDATE_FOUND, /* returns which of its rows it found, by ordinal from 1 */
    PG_STMT_DELETE,       /* strict */
    PG_STMT_UPDATE_COUNTED, /* strict, by its command tag, which must be read before a COMMIT is sent: cheaper for many rows */
    PG_STMT_DELETE_COUNTED,
    PG_STMT_DELETE_LOOSE,  /* what is there of them */
    PG_STMT_DELETE_COPIES, /* strict; identity FULL: so many copies of each row */
    PG_STMT_PURGE_COPIES,  /* as before, but what is there of them */
    PG_STMT_CASCADE,       /* by columns that refer to other rows: apply_cascade.c */
};

struct pg_stmt {
    struct pg_stmt *next;
    enum pg_stmt_kind kind;
    bool moves_key;      /* update: the key is written too */
    uint8_t *unchanged;  /* update: a bit for each column that keeps its value */
    char name[16];       /* on the server */
    char *sql;           /* until it is known to be prepared */
    bool sent, prepared; /* Parse is on its way; the server has said yes */
};

struct pg_shape {
    struct pg_shape *next;
    uint64_t hash;
    const struct mf_table *table;    /* a copy of ours */
    struct pg_shape_column *columns; /* one for each of table->columns */
    bool partitioned;                /* the target's table is a partitioned root: ONLY would find nothing */
    bool quiet;                      /* no trigger or rule can fire on it with session_replication_role = replica */
    struct pg_stmt *stmts;
    size_t nstmts;
    struct mf_arena arena;
};

/* Reads the target's catalogue on a leased connection. MF_FATAL code MFSHAPE when table or columns are not there. */
int pg_shape_load(struct pg_db *db, const struct mf_table *t, struct pg_shape **ret, struct mf_error *err);
void pg_shape_free(struct pg_shape *s); /* NULL is allowed */

/* The one in the list for this shape, loaded when it is new (then at the head of the list). */
int pg_shape_get(struct pg_db *db, struct pg_shape **list, const struct mf_table *t, struct pg_shape **ret,
                 struct mf_error *err);

/* `"s"."t"`, with ONLY before it unless it is partitioned. */
void pg_put_only(struct mf_buf *b, const struct pg_shape *s);

/* A parameter that is an array: a column's values, from the old rows (keys) or the new ones. */
struct pg_param {
    uint16_t col;
    bool old;
};
/* The array parameters of a statement in order; out has room for 2 * ncolumns. Returns how many. The COPIES ones have after
 * them the counts (int8[]), and strict ones last the number of rows expected (int8). */
size_t pg_stmt_params(const struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key, const uint8_t *unchanged,
                      struct pg_param *out);
/* The statement sets a column that no UPDATE may set: rows are taken out and put back instead. An UPSERT is then to be sent as
 * DELETE_LOOSE and INSERT. */
bool pg_stmt_rewrites(const struct pg_shape *s, const struct pg_param *p, size_t n, bool by_key);
/* `unnest($1::text[], …) WITH ORDINALITY AS v(p1, …, ord)` */
void pg_put_param_rows(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t n, bool counts);
/* `v.p3::numeric`: parameter i (from 0) as a value of its column's base type. */
void pg_put_param(struct mf_buf *b, const struct pg_shape *s, const struct pg_param *p, size_t i);
/* The statement's text, appended. */
int pg_stmt_sql(const struct pg_shape *s, enum pg_stmt_kind kind, bool moves_key, const uint8_t *unchanged,
                struct mf_buf *b, struct mf_error *err);

/* The statement itself fails when it changes another number of rows than it was given. */
static inline bool pg_stmt_strict(enum pg_stmt_kind k)
{
    return k == PG_STMT_UPDATE || k == PG_STMT_DELETE || k == PG_STMT_DELETE_COPIES;
}

static inline bool pg_bit(const uint8_t *bits, uint16_t i)
{
    return bits && (bits[i / 8] >> (i % 8) & 1);
}

#endif
