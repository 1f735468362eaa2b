/* A JSON document as an expression that makes this very document. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_JSON_PUT_H
#define MF_CONNECTOR_MYSQL_JSON_PUT_H

#include "base/buf.h"

#include <stdbool.h>

/* A text that is no JSON is handed to the server as it is, which refuses it. */
void my_put_json(struct mf_buf *b, const char *text, size_t n);

/* A server's own parser makes this very document of the text. */
bool my_json_plain(const char *text, size_t n);

/* False when a number in it would come out as another one, however it is written. */
bool my_json_kept(const char *text, size_t n);

#endif
