/*
 * The type of a column, taken apart.
 *
 * mf_column.type of this engine is a text: what information_schema calls COLUMN_TYPE, followed for character types by the
 * character set: "varchar(20) charset latin1", "enum('a','b') charset utf8mb4", "int(10) unsigned", "decimal(10,2)",
 * "timestamp(6)", "bit(3)", "json", "point". mf_column.type_id and type_mod are made from it (MY_TYPE_ID), so that two
 * columns with equal ids hold the same values in the same form: what only looks different from server to server (display widths, utf8
 * and utf8mb3, ZEROFILL) is not in it. Ids are small numbers, so that nobody above compares the texts instead. Pure; any thread.
 *
 * The text of a value (mf_value, kind MF_TEXT) is the same whether it was read by a query or decoded from the binlog:
 *   integers        decimal; YEAR four digits; BIT(n) the decimal number
 *   DECIMAL         as the server writes it, with all digits of its scale
 *   FLOAT, DOUBLE   the shortest decimal that reads back as the same DOUBLE (of FLOAT: of its value as a double)
 *   DATE DATETIME   "2026-11-28", "2026-11-28 01:02:03.000100", as many fractional digits as the column has; zero dates too
 *   TIMESTAMP       the same, in UTC
 *   TIME            "-838:59:59", with its fraction
 *   CHAR … TEXT     UTF-8, without the blanks a CHAR is padded with
 *   ENUM, SET       the members' names; ENUM's error value is ""
 *   JSON            the server's text
 *   UUID, INET4, INET6  MariaDB's: its text ("123e4567-e89b-…", "10.0.0.1", "2001:db8::1"); the binlog has their 16, 4 and 16 bytes
 * and kind MF_BINARY, raw bytes: BINARY (padded to its length), VARBINARY, BLOBs, spatial types (SRID and WKB as stored), VECTOR (its
 * FLOATs, four bytes each).
 */
#ifndef MF_CONNECTOR_MYSQL_COLTYPE_H
#define MF_CONNECTOR_MYSQL_COLTYPE_H

#include "base/arena.h"
#include "base/error.h"
#include "model/table.h"

#include <stdbool.h>
#include <stdint.h>

enum my_base {
    MY_TINYINT = 1,
    MY_SMALLINT,
    MY_MEDIUMINT,
    MY_INT,
    MY_BIGINT,
    MY_DECIMAL,
    MY_FLOAT,
    MY_DOUBLE,
    MY_BIT,
    MY_YEAR,
    MY_DATE,
    MY_TIME,
    MY_DATETIME,
    MY_TIMESTAMP,
    MY_CHAR,
    MY_VARCHAR,
    MY_TEXT, /* all four sizes; `length` tells: 255, 65535, 16777215, 4294967295 bytes */
    MY_BINARY,
    MY_VARBINARY,
    MY_BLOB, /* all four sizes */
    MY_ENUM,
    MY_SET,
    MY_JSON,
    MY_GEOMETRY, /* and every spatial subtype */
    MY_UUID,     /* MariaDB's; values are texts */
    MY_INET6,
    MY_INET4,
    MY_VECTOR, /* MySQL 9's; `length` FLOATs at most */
};

struct my_type {
    enum my_base base;
    bool is_unsigned;  /* ZEROFILL is unsigned too */
    bool zerofill;     /* a plain SELECT pads its numbers */
    uint32_t length;   /* characters of CHAR and VARCHAR, bytes of BINARY…BLOB and TEXT, bits of BIT */
    uint8_t precision; /* DECIMAL; FLOAT(M,D) and DOUBLE(M,D): M, and 0 for those without */
    uint8_t scale;     /* DECIMAL, FLOAT(M,D), DOUBLE(M,D); fractional digits of TIME, DATETIME, TIMESTAMP */
    char charset[33]; /* "" for other than character types; "binary" is MY_BINARY… and never here; utf8 is "utf8mb3" */
    uint16_t nmembers;     /* ENUM, SET */
    uint32_t members_hash; /* of their names in order, known without an arena too */
    const char **members;  /* UTF-8, NUL-terminated, in the arena given to the parser */
};

/* MF_FATAL code MFTYPE for a text that is no type, or one that is not known here. arena may be NULL: members are not filled then. */
int my_type_parse(const char *text, struct mf_arena *arena, struct my_type *ret, struct mf_error *err);

/* What mf_column.type_id and type_mod are made of. */
uint32_t my_type_id(const struct my_type *t);
int32_t my_type_mod(const struct my_type *t);

/* Its values travel as MF_BINARY. */
static inline bool my_type_is_binary(const struct my_type *t)
{
    return t->base == MY_BINARY || t->base == MY_VARBINARY || t->base == MY_BLOB || t->base == MY_GEOMETRY ||
           t->base == MY_VECTOR;
}

/* The expression that reads a column so that its text is as the note says; `column` is quoted already. */
struct mf_buf;
void my_put_read(struct mf_buf *b, const struct my_type *t, const char *column);

/* A value as an expression that a column of this type takes, and compares itself with, exactly: numbers (BIT too) are bare, since a
 * quoted one is compared as a DOUBLE and stored in a BIT as its characters; JSON is cast, since a text never equals it. What is no number is
 * quoted: my_inexact has been asked before. Not for MF_UNCHANGED. my_put_value (put.h) is for values whose column is not known. */
struct mf_value;
void my_put_typed(struct mf_buf *b, const struct my_type *t, const struct mf_value *v);

/* Why a column of this type cannot hold the value exactly although the server would only cut or round it, or give a mere note; static
 * text. NULL: it holds it, or the server itself refuses it. */
const char *my_inexact(const struct my_type *t, const struct mf_value *v);

#endif
