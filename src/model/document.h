/*
 * Documents of a shape: lists, sets, maps and records of an engine's own, as JSON that is the same text on both sides.
 *
 * It is canonical JSON (json.h) with these rules:
 *   - a BOOL is true or false, an INT, DECIMAL or FLOAT a number; "NaN", "Infinity", "-Infinity" and "-0" of a FLOAT, which are no numbers in JSON, are
 *     strings; a value of any other kind is a string of its canonical text, bytes "0x…" in lower case; so is every key of a map, but for those of BOOL;
 *   - a set's members are in the order of their texts' bytes, none twice;
 *   - lists, sets and maps have no null in them; a record's field that is null is left out.
 * Whether NULL and an empty one are the same is the engines' matter: here they are not. Pure; any thread.
 */
#ifndef MF_MODEL_DOCUMENT_H
#define MF_MODEL_DOCUMENT_H

#include "base/arena.h"
#include "base/error.h"
#include "model/type.h"
#include "model/value.h"

/* A canonical JSON document as one of t, a type with a shape. MF_ROW MFVALUE: it is none, and why. */
int mf_document_fit(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err);
/* The same of any JSON: out of an engine, in whatever order. Results of both are views of what was given, or in the arena. */
int mf_document_canon(const struct mf_type *t, struct mf_arena *arena, const char *text, size_t n, struct mf_value *ret,
                      struct mf_error *err);

/* ---- writing: a canonical value of t, which has no shape, as it stands in a document ---- */
void mf_document_put(struct mf_buf *b, const struct mf_type *t, const struct mf_value *v);
/* The same as the key of a map. */
void mf_document_put_key(struct mf_buf *b, const struct mf_type *t, const struct mf_value *v);

/* ---- reading canonical JSON ---- */

struct mf_document {
    const char *p, *end;
};
/* What comes next: '{', '[', '"', '0' (a number), 't', 'f', 'n'; another character as it is; '\0' at the end. */
char mf_document_next(const struct mf_document *d);
bool mf_document_take(struct mf_document *d, char c); /* if it comes next */
/* A string, which is appended without quotes and escapes. False: none comes. */
bool mf_document_string(struct mf_document *d, struct mf_buf *plain);
/* Past a value, whatever it is, up to MF_SHAPE_DEPTH brackets deep. False: none comes. */
bool mf_document_skip(struct mf_document *d);
/* A value of t, which has no shape, as its canonical text appended to b (bytes as "0x…"). NULL, or why it is none: static. */
const char *mf_document_scalar(struct mf_document *d, const struct mf_type *t, struct mf_buf *b);
/* The text that a key of a map has. */
const char *mf_document_key(struct mf_document *d, const struct mf_type *t, struct mf_buf *b);

#endif
