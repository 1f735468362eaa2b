/* What pgread reads from its lines and writes to them. */
#ifndef MF_TESTS_PGREAD_JSON_H
#define MF_TESTS_PGREAD_JSON_H

#include <jansson.h>

#include "connector/connector.h"

const char *pr_text(const json_t *o, const char *key); /* "" when it is not there */
int64_t pr_number(const json_t *o, const char *key);
void pr_put_position(json_t *o, const char *key, const struct mf_position *p);
json_t *pr_shown_json(const struct mf_value *v); /* of a database behind a face: binary values are told from texts */
json_t *pr_row_json(const struct mf_row *row, bool shown);
/* The key, and of each other value how long it is and its CRC-32. */
json_t *pr_brief_json(const struct mf_row *row);
json_t *pr_chunk_json(const struct mf_chunk *c);
/* "chunk" of a command. */
void pr_chunk_of(const json_t *in, const struct mf_table *t, struct mf_chunk *c);
json_t *pr_item_json(const struct mf_item *item, bool shown);
/* A text, or {"hex": "00ff"}. */
void pr_value_of(const json_t *o, struct mf_arena *arena, struct mf_value *ret);
json_t *pr_table_json(const struct mf_table *t);

#endif
