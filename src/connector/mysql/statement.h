/*
 * What a statement in the log means to a stream of rows: where a transaction begins and ends, and which tables are from there on
 * something else than they were. Pure; fuzzed (tests/fuzz/fuzz_statement.c).
 *
 * It is no parser: it reads the words that decide and leaves the rest. So it errs to one side only. A statement it does not
 * know, a name it cannot be sure of (one that is not ASCII, in a character set that is not known), is told as one that may
 * have changed the shape of EVERY table; to look at a catalogue once more costs little, to read rows with the wrong eyes costs the data.
 */
#ifndef MF_CONNECTOR_MYSQL_STATEMENT_H
#define MF_CONNECTOR_MYSQL_STATEMENT_H

#include "connector/mysql/sqltoken.h"

enum my_statement_kind {
    MY_ST_NOTHING, /* rights, views, routines: no table's rows or shape */
    MY_ST_BEGIN,
    MY_ST_COMMIT,
    MY_ST_ROLLBACK,
    MY_ST_SAVEPOINT,   /* id: its name */
    MY_ST_ROLLBACK_TO, /* the same */
    MY_ST_XA_START,    /* id: see my_xa_id */
    MY_ST_XA_END,
    MY_ST_XA_COMMIT,
    MY_ST_XA_ROLLBACK,
    MY_ST_DDL,
    MY_ST_ROWS, /* it changes rows itself, and no row events tell which */
};

enum my_effect {
    MY_FX_SHAPE,   /* the table may have other columns or another key now */
    MY_FX_THERE,   /* CREATE TABLE IF NOT EXISTS: nothing, where it is there */
    MY_FX_MADE,    /* it is a new table; if there was one of this name, it is not that one */
    MY_FX_GONE,    /* it is not there any more, under this name at least */
    MY_FX_EMPTIED, /* TRUNCATE */
    MY_FX_ROWS,    /* rows of it came or went and no event tells which */
    /* ALTER TABLE: values of a column in rows that are there may be other ones, and no event tells. Told besides MY_FX_SHAPE. */
    MY_FX_COLUMN_GONE,  /* `column` is not there any more, under this name at least */
    MY_FX_COLUMN_MADE,  /* and made anew, by `def`: what stands behind its name */
    MY_FX_COLUMN_TEXTS, /* every text is in another character set */
};

struct my_touched {
    enum my_effect effect;
    char schema[MY_TOKEN]; /* "" every one */
    char table[MY_TOKEN];  /* "" every one of the schema */
    const char *column;    /* "": any, since its name cannot be told */
    const char *def;
    size_t ndef;
};
typedef void my_touched_sink(void *ctx, const struct my_touched *t);

struct my_statement {
    enum my_statement_kind kind;
    char id[MY_TOKEN];
};

struct my_sql {
    const char *text;
    size_t len;
    const char *schema; /* the session's default database */
    bool exact;         /* names that are not ASCII are UTF-8, and as the catalogue has them */
};

/* emit hears of each table touched, in the statement's order; a table may be named twice. */
void my_statement_read(const struct my_sql *sql, struct my_statement *ret, my_touched_sink *emit, void *ctx);

/* The id of an XA transaction in one form, "hex of gtrid,hex of bqual,format", from how statements and events write it: X'61',X'',1 or
 * 'a','',1 or 'a'. False when it is none. */
bool my_xa_id(const char *text, size_t n, char *ret, size_t size);

#endif
