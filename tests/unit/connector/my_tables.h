/* The tables that tests/data/mysql/record.py makes, as the decoder is told of them. */
#ifndef MF_TESTS_UNIT_CONNECTOR_MY_TABLES_H
#define MF_TESTS_UNIT_CONNECTOR_MY_TABLES_H

#include "base/cleanup.h"
#include "connector/mysql/coltype.h"

#include <stdio.h>

#define NUM(b)                                                                                                         \
    {                                                                                                                  \
        .base = MY_##b                                                                                                 \
    }
#define UNSIGNED(b)                                                                                                    \
    {                                                                                                                  \
        .base = MY_##b, .is_unsigned = true                                                                            \
    }
#define DECIMAL(p, s)                                                                                                  \
    {                                                                                                                  \
        .base = MY_DECIMAL, .precision = (p), .scale = (s)                                                             \
    }
#define BITS(n)                                                                                                        \
    {                                                                                                                  \
        .base = MY_BIT, .length = (n)                                                                                  \
    }
#define TIMED(b, s)                                                                                                    \
    {                                                                                                                  \
        .base = MY_##b, .scale = (s)                                                                                   \
    }
#define CHARS(b, n, cs)                                                                                                \
    {                                                                                                                  \
        .base = MY_##b, .length = (n), .charset = cs                                                                   \
    }
#define BYTES(b, n)                                                                                                    \
    {                                                                                                                  \
        .base = MY_##b, .length = (n)                                                                                  \
    }
#define MEMBERS(b, n, list, cs)                                                                                        \
    {                                                                                                                  \
        .base = MY_##b, .nmembers = (n), .members = (list), .charset = cs                                              \
    }

static const char *enum3[] = {"a", "b c", "\u00e9"}, *set3[] = {"x", "y", "z"};
static const char *enum300[300], *set40[40];
static char member_text[340][8];

static const struct my_type types_types[] = {
    NUM(INT),
    NUM(TINYINT),
    UNSIGNED(TINYINT),
    NUM(SMALLINT),
    UNSIGNED(SMALLINT),
    NUM(MEDIUMINT),
    UNSIGNED(MEDIUMINT),
    NUM(INT),
    UNSIGNED(INT),
    NUM(BIGINT),
    UNSIGNED(BIGINT),
    DECIMAL(10, 2),
    DECIMAL(65, 30),
    DECIMAL(5, 5),
    DECIMAL(20, 0),
    NUM(FLOAT),
    NUM(DOUBLE),
    BITS(1),
    BITS(9),
    BITS(64),
    NUM(YEAR),
    NUM(DATE),
    TIMED(TIME, 0),
    TIMED(TIME, 3),
    TIMED(TIME, 6),
    TIMED(DATETIME, 0),
    TIMED(DATETIME, 1),
    TIMED(DATETIME, 6),
    TIMED(TIMESTAMP, 0),
    TIMED(TIMESTAMP, 4),
    CHARS(CHAR, 10, "utf8mb4"),
    CHARS(CHAR, 100, "utf8mb4"),
    CHARS(CHAR, 5, "latin1"),
    CHARS(VARCHAR, 20, "utf8mb4"),
    CHARS(VARCHAR, 300, "latin1"),
    CHARS(TEXT, 255, "utf8mb4"),
    CHARS(TEXT, 16777215, "latin1"),
    BYTES(BINARY, 8),
    BYTES(VARBINARY, 20),
    BYTES(BLOB, 255),
    BYTES(BLOB, 4294967295),
    MEMBERS(ENUM, 3, enum3, "utf8mb4"),
    MEMBERS(ENUM, 300, enum300, "latin1"),
    MEMBERS(SET, 3, set3, "utf8mb4"),
    MEMBERS(SET, 40, set40, "latin1"),
    NUM(GEOMETRY),
};
static const struct my_type types_doubles[] = {NUM(INT), NUM(DOUBLE), NUM(FLOAT)};
static const struct my_type types_documents[] = {NUM(INT), NUM(JSON)};
static const struct my_type types_images[] = {NUM(INT), NUM(INT), BYTES(BLOB, 65535), CHARS(VARCHAR, 10, "latin1"),
                                              CHARS(TEXT, 65535, "utf8mb4")};
static const struct my_type types_patches[] = {NUM(INT), NUM(JSON), NUM(JSON), CHARS(VARCHAR, 10, "utf8mb4")};
static const struct my_type types_packed[] = {NUM(INT), CHARS(TEXT, 65535, "utf8mb4")};
static const struct my_type types_addresses[] = {NUM(INT), NUM(UUID), NUM(INET6), NUM(INET4)};
static const struct my_type types_old_times[] = {NUM(INT), NUM(TIME), NUM(DATETIME), NUM(TIMESTAMP)};
static const struct my_type types_columns[] = {NUM(INT),
                                               CHARS(VARCHAR, 2000, "latin1"),
                                               CHARS(VARCHAR, 254, "latin1"),
                                               CHARS(VARCHAR, 255, "latin1"),
                                               BYTES(VARBINARY, 300),
                                               BYTES(BLOB, 16777215),
                                               CHARS(TEXT, 65535, "utf8mb4"),
                                               CHARS(TEXT, 255, "utf8mb4")};
static const struct my_type types_one[] = {NUM(INT)};

static const struct {
    const char *table;
    const struct my_type *types;
    uint16_t n;
} tables[] = {
    {"types", types_types, MF_ARRAY_LEN(types_types)},
    {"doubles", types_doubles, 3},
    {"documents", types_documents, 2},
    {"images", types_images, MF_ARRAY_LEN(types_images)},
    {"patches", types_patches, 4},
    {"packed", types_packed, 2},
    {"addresses", types_addresses, 4},
    {"old_times", types_old_times, 4},
    {"columns", types_columns, MF_ARRAY_LEN(types_columns)},
    {"xa_t", types_one, 1},
    {"myisam_t", types_one, 1},
};

static int make_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < 340; i++) {
        snprintf(member_text[i], sizeof(member_text[i]), i < 300 ? "m%zu" : "s%zu", i < 300 ? i + 1 : i - 299);
        (i < 300 ? enum300 : set40)[i < 300 ? i : i - 300] = member_text[i];
    }
    return 0;
}

#endif
