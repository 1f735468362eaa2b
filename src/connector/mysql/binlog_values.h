/*
 * One column's value in a row of the binlog, made the text that coltype.h describes. Pure.
 *
 * How a column is read is settled once, when its type is held against the table map; a value is then one call. Strings
 * whose bytes need no change are views into the event, all else is in the arena.
 */
#ifndef MF_CONNECTOR_MYSQL_BINLOG_VALUES_H
#define MF_CONNECTOR_MYSQL_BINLOG_VALUES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "connector/mysql/charset.h"
#include "connector/mysql/coltype.h"
#include "model/value.h"

/* The servers' numbers of field types. */
enum my_field {
    MY_FIELD_TINY = 1,
    MY_FIELD_SHORT = 2,
    MY_FIELD_LONG = 3,
    MY_FIELD_FLOAT = 4,
    MY_FIELD_DOUBLE = 5,
    MY_FIELD_TIMESTAMP = 7,
    MY_FIELD_LONGLONG = 8,
    MY_FIELD_INT24 = 9,
    MY_FIELD_DATE = 10,
    MY_FIELD_TIME = 11,
    MY_FIELD_DATETIME = 12,
    MY_FIELD_YEAR = 13,
    MY_FIELD_NEWDATE = 14,
    MY_FIELD_VARCHAR = 15,
    MY_FIELD_BIT = 16,
    MY_FIELD_TIMESTAMP2 = 17,
    MY_FIELD_DATETIME2 = 18,
    MY_FIELD_TIME2 = 19,
    MY_FIELD_BLOB_COMPRESSED = 140,
    MY_FIELD_VARCHAR_COMPRESSED = 141,
    MY_FIELD_VECTOR = 242,
    MY_FIELD_JSON = 245,
    MY_FIELD_NEWDECIMAL = 246,
    MY_FIELD_ENUM = 247,
    MY_FIELD_SET = 248,
    MY_FIELD_TINY_BLOB = 249,
    MY_FIELD_BLOB = 252,
    MY_FIELD_VAR_STRING = 253,
    MY_FIELD_STRING = 254,
    MY_FIELD_GEOMETRY = 255,
};

struct my_value_out {
    struct mf_arena *arena;
    struct mf_buf *json; /* scratch for a document's text */
    bool as_57;          /* in documents: as MySQL 5.7 prints them */
    struct mf_error *err;
};

struct my_col;
/* -1: the cursor has failed (the row ends early), or err says what is wrong. */
typedef int my_value_reader(const struct my_col *c, struct mf_cursor *in, const struct my_value_out *out,
                            struct mf_value *ret);

struct my_col {
    my_value_reader *read;
    uint8_t field;  /* enum my_field; STRING taken apart */
    uint8_t width;  /* of an integer, or of the length before the bytes; of a BIT, ENUM, SET the bytes */
    uint32_t bytes; /* the most that a string of this column has */
    struct my_type type;
    struct my_charset *charset; /* NULL: the bytes are as they travel */
};

/* The readers, one a form of row bytes. */
my_value_reader my_value_int, my_value_decimal, my_value_real, my_value_bit, my_value_year, my_value_date,
    my_value_old_time, my_value_time, my_value_old_datetime, my_value_datetime, my_value_old_timestamp,
    my_value_timestamp, my_value_text, my_value_char, my_value_bytes, my_value_binary, my_value_address,
    my_value_compressed, my_value_json, my_value_enum, my_value_set;

/* How many bytes of metadata a field type has in a table map; -1 when it is no type that can be there. */
int my_field_meta_len(uint8_t field);

/* Settles how a column is read. MFSHAPE when the type does not fit what the map says of it, and for what cannot be read at all. */
int my_col_settle(struct my_col *c, uint8_t field, const uint8_t *meta, const struct my_type *type,
                  struct my_charsets *charsets, struct mf_error *err);

#endif
