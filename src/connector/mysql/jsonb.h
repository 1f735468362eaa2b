/*
 * The binary form of JSON, taken apart: see my_json_text and my_json_patch in binlog.h. A value is a type and a place in its
 * container; nothing is copied. Format: the grammar in MySQL's documentation of json_binary.h.
 *
 * Containers point at their members by offsets, so hostile bytes could make a member its own parent or share one a million times.
 * Each visit is therefore paid for with the bytes it reads, and no document has more than it is long.
 */
#ifndef MF_CONNECTOR_MYSQL_JSONB_H
#define MF_CONNECTOR_MYSQL_JSONB_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MY_JSON_DEPTH 128 /* the servers stop at 100 */

enum my_json_type {
    MY_JSON_SMALL_OBJECT = 0,
    MY_JSON_LARGE_OBJECT = 1,
    MY_JSON_SMALL_ARRAY = 2,
    MY_JSON_LARGE_ARRAY = 3,
    MY_JSON_LITERAL = 4,
    MY_JSON_INT16 = 5,
    MY_JSON_UINT16 = 6,
    MY_JSON_INT32 = 7,
    MY_JSON_UINT32 = 8,
    MY_JSON_INT64 = 9,
    MY_JSON_UINT64 = 10,
    MY_JSON_DOUBLE = 11,
    MY_JSON_STRING = 12,
    MY_JSON_OPAQUE = 15,
};

struct my_json_source {
    size_t budget; /* bytes of the document that have not been paid for */
    bool as_57;    /* 1 for 1.0, and lines of base64 with an end that is not escaped, as MySQL 5.7 prints them */
};

struct my_json {
    struct my_json_source *source;
    const uint8_t *at; /* behind the type */
    size_t room;       /* bytes up to the end of what holds it */
    uint8_t type;
};

struct my_json_box {
    struct my_json_source *source;
    const uint8_t *at;
    size_t size; /* of the whole container */
    uint32_t n;
    bool object, large;
};

int my_json_bad(struct mf_error *err, const char *what);
int my_json_open(struct my_json *ret, struct my_json_source *source, const void *bytes, size_t n, struct mf_error *err);
static inline bool my_json_is_box(const struct my_json *v)
{
    return v->type <= MY_JSON_LARGE_ARRAY;
}
int my_json_box(const struct my_json *v, struct my_json_box *ret, struct mf_error *err);
int my_json_item(const struct my_json_box *b, uint32_t i, struct my_json *ret, struct mf_error *err);
int my_json_key(const struct my_json_box *b, uint32_t i, const char **ret, size_t *ret_n, struct mf_error *err);
/* my_json_text, also as MySQL 5.7 prints it. */
int my_json_text_as(struct mf_buf *out, const void *bytes, size_t n, bool as_57, struct mf_error *err);
/* Appends the text; depth is that of v. */
int my_json_put(struct mf_buf *out, const struct my_json *v, unsigned depth, struct mf_error *err);
int my_json_put_string(struct mf_buf *out, const char *p, size_t n);
/* MFBIG when an append did not fit. */
int my_json_room(const struct mf_buf *out, struct mf_error *err);

#endif
