/*
 * JSON documents in one spelling, so that equal documents are equal texts.
 *
 * No white space; keys in the order of their bytes; a number by its value alone (1, 1.0 and 10e-1 are "1", and -0 is "0": mf_number_put
 * in base/number.h); strings in UTF-8 with no more escapes than JSON asks for. Two documents that differ only in what is said above are
 * one and the same here, as they are to both engines that take JSON apart.
 *
 * It is no parser into values: numbers keep all their digits, which a parser that makes doubles of them would lose. Pure; any thread.
 */
#ifndef MF_MODEL_JSON_H
#define MF_MODEL_JSON_H

#include "base/buf.h"
#include "base/number.h"

#define MF_JSON_DEPTH 100 /* brackets within brackets; what the narrowest engine has room for */

/* How an engine wants a number written, appended to b; or why it has none that is equal: static text. */
typedef const char *mf_json_number(struct mf_buf *b, const struct mf_number *v);

/* Appends the document. number NULL: canonical numbers. Returns NULL, or why there is no such text: static. What is appended then means
 * nothing. The text is at most eight times as long as the document, and the document at most 1 GiB. */
const char *mf_json_put(struct mf_buf *b, const char *text, size_t n, mf_json_number *number);

#endif
