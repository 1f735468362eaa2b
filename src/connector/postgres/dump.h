/*
 * The source's schema as pg_dump writes it, taken apart.
 *
 * pg_dump --schema-only --verbose puts a comment before every object with its number, the catalogue's oids, its type and its
 * owner. The text is lexed as SQL, so that nothing inside a string, a function body or a quoted name can pass for such a
 * comment, and cut there. That gives statements which we run ourselves: each object in a transaction of its own, with
 * its SQLSTATE when it fails, in the stage it belongs to, in parallel where that is safe. (pg_restore would do the same
 * with less knowledge: no stage between "tables" and "everything else", and errors only as text.)
 */
#ifndef MF_CONNECTOR_POSTGRES_DUMP_H
#define MF_CONNECTOR_POSTGRES_DUMP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct pg_piece { /* a run of bytes of the dump */
    const char *p;
    size_t n;
};

struct pg_entry {
    int id;                                   /* pg_dump's number */
    uint32_t class_id, oid;                   /* of the source's catalogue; 0 for comments and privileges */
    const char *type, *name, *schema, *owner; /* "TABLE"; "-" where there is none */
    struct pg_piece sql;                      /* what makes it */
    struct pg_piece set;                      /* "SET default_… = …;" that holds from this entry on; may be empty */
    struct pg_piece own;                      /* "ALTER … OWNER TO …;"; may be empty */
    bool post; /* belongs after the rows: indexes, constraints, triggers, … and their comments */
};

struct pg_dump {
    struct mf_buf text;
    struct mf_arena arena;
    struct pg_piece preamble; /* settings for every session that runs entries */
    struct pg_entry *entries;
    size_t n;
};

/* The length of the first statement with its semicolon (all that is left when there is none). Pure. */
size_t pg_sql_statement(const char *sql, size_t n);
/* Takes d->text apart. Pure. */
int pg_dump_split(struct pg_dump *d, struct mf_error *err);
void pg_dump_free(struct pg_dump *d); /* NULL is allowed */

#endif
