/* The words of extended JSON, which the writer and the reader share. */
#ifndef MF_BSON_JSON_H
#define MF_BSON_JSON_H

#include "bson/types.h"

enum json_word {
    JSON_OID,
    JSON_SYMBOL,
    JSON_INT32,
    JSON_INT64,
    JSON_DOUBLE,
    JSON_DECIMAL,
    JSON_BINARY,
    JSON_CODE,
    JSON_SCOPE,
    JSON_TIMESTAMP,
    JSON_REGEX,
    JSON_DBPOINTER,
    JSON_DATE,
    JSON_MINKEY,
    JSON_MAXKEY,
    JSON_UNDEFINED,
    JSON_DOCUMENT,
    JSON_WORDS
};
extern const char *const json_words[JSON_WORDS];
int json_word(const char *key, size_t n); /* -1: none */

#endif
