/* The types of a document map's columns: their words, and their values between BSON and the model's canonical form (model/type.h). Pure; any thread. */
#ifndef MF_BSON_TYPES_H
#define MF_BSON_TYPES_H

#include "bson/elem.h"

#include "base/arena.h"
#include "model/type.h"
#include "model/value.h"

enum doc_type {
    DOC_INT32,
    DOC_INT64,
    DOC_INT, /* either of the two; int32 where it fits */
    DOC_DOUBLE,
    DOC_DECIMAL,
    DOC_STRING,
    DOC_BOOL,
    DOC_DATE,
    DOC_OBJECTID, /* hex or, model.kind BYTES, binary */
    DOC_UUID,
    DOC_UUID_LEGACY,
    DOC_BINARY,
    DOC_TIMESTAMP,
    DOC_JSON,
    DOC_ID, /* any _id as its text */
};

struct shred_type {
    enum doc_type type;
    struct mf_type model;
};

/* NULL, or why not: static. as: "hex", "binary" or NULL. */
const char *shred_type_parse(const char *text, const char *as, struct shred_type *ret);

enum shred_fit {
    SHRED_FITS,
    SHRED_WRONG, /* another type of BSON's */
    SHRED_RANGE, /* a value that the column has no room for */
    SHRED_FULL,  /* the arena is */
};
enum shred_how {
    SHRED_EXACT,   /* this type of BSON's and no other */
    SHRED_NUMBERS, /* numbers by their value, as MongoDB itself tells ids apart */
    SHRED_COERCE,  /* the same value in whatever type */
};

/* A value of BSON's as a canonical one, a view of e or in the arena. why: static, of WRONG and RANGE. Not for null, unless the type is json. */
enum shred_fit shred_from_bson(const struct shred_type *t, struct mf_arena *arena, const struct elem *e,
                               enum shred_how how, struct mf_value *ret, const char **ret_why);
/* Back: an element of that key behind b. NULL, or why it is none (static); what was written then is nothing. */
const char *shred_to_bson(const struct shred_type *t, const struct mf_value *v, const char *key, size_t nkey,
                          struct mf_buf *b);
/* A value that is written in the map, in its canonical form, in the arena. NULL, or why not. */
const char *shred_fallback(const struct shred_type *t, struct mf_arena *arena, const char *text, struct mf_value *ret);

/* ---- numbers (number.c) ---- */

#define MF_ID_TOO_LONG  "it is longer than 64 KB, which no key of a table is"
#define SHRED_TEXT_MOST ((size_t)256 << 20) /* bytes of the longest JSON that a document of 16 MB becomes, and more */
#define NUMBER_ROOM     64
/* A double of all its digits, or Decimal128, as a decimal "-DIGITSe-5" without a point; false: NaN or an infinity. ret has room for NUMBER_EXACT bytes. */
#define NUMBER_EXACT 800
bool number_of_double(double v, char *ret);
bool number_of_decimal(const bson_decimal128_t *d, char *ret);
/* Of a number element, its value by number: into text, which has room for NUMBER_EXACT. NULL, or the canonical word of what is none ("NaN", "Infinity", "-Infinity"). */
const char *number_of(const struct elem *e, char *text);
bool number_is(uint8_t type); /* int32, int64, double, decimal128 */
/* The Decimal128 / double / int64 that is exactly this. */
bool number_to_decimal(const char *text, size_t n, bson_decimal128_t *ret);
bool number_to_double(const char *text, size_t n, double *ret);
bool number_to_int(const char *text, size_t n, int64_t *ret);
/* The value as int32, int64, double or decimal128, the first that holds it; its type, or 0: none does. */
uint8_t number_put(struct mf_buf *b, const char *text, size_t n);
/* "NaN", "Infinity", "-Infinity" as a double; 0: it is none of them. */
uint8_t number_put_word(struct mf_buf *b, const char *word, size_t n);
#define NUMBER_NAN INT64_C(0x7ff8000000000000) /* the one for all */

/* ---- instants (types.c) ---- */
/* "2026-11-28 01:02:03.5"; false: no year from 1 to 9999. out has room for 32. */
bool shred_instant_put(int64_t ms, char *out, size_t *ret_n);

/* ---- texts of ids (id.c) ---- */
/* Appends it; NULL, or why it can be none (static). */
const char *id_put(struct mf_buf *b, const struct elem *e);
/* Back, as an element of that key. NULL, or why it is none of ours. */
const char *id_parse(const char *text, size_t n, const char *key, size_t nkey, struct mf_buf *b);

/* ---- extended JSON (json.c, json_read.c) ---- */
/* Canonical extended JSON of a value; its keys are not in order yet. most: relaxed, for people, and it stops when so many bytes are there; 0: canonical. */
void json_put_value(struct mf_buf *b, const struct elem *e, size_t most);
/* An element made of it. NULL, or why it is none. */
const char *json_read(const char *text, size_t n, const char *key, size_t nkey, struct mf_buf *b);
/* The string at *p, with its quotes, behind ret; *p is behind it then. NULL, or why it is none. */
const char *json_read_string(const char **p, const char *end, struct mf_buf *ret);

/* uuid: 36 characters and a NUL. */
void uuid_put(char *out, const uint8_t *p);
bool uuid_read(const char *s, size_t n, uint8_t *ret);
void hex_put(char *out, const uint8_t *p, size_t n);
bool hex_read(const char *s, size_t n, uint8_t *ret); /* n digits, lower case */
void base64_put(struct mf_buf *b, const uint8_t *p, size_t n);
bool base64_read(struct mf_buf *b, const char *s,
                 size_t n); /* whole, with its padding, and nothing that is no base64 of ours */

#endif
