/* A text that stands for a value of another type, in the canonical spelling of that type (model/type.h).
 *
 * Some types are a text on the other side, because it has none for them: a document, a moment with microseconds. What midflight writes there is canonical. What an
 * application writes there is spelled as its language does: {"k": 1}, 2026-11-28T01:02:03Z. It means the same, and is read so wherever the two sides are compared or
 * the text is written back. Pure; any thread. */
#ifndef MF_MODEL_RESPELL_H
#define MF_MODEL_RESPELL_H

#include "base/error.h"
#include "model/type.h"
#include "model/value.h"

/* Whether texts of t have more than one spelling that is read. */
bool mf_respells(const struct mf_type *t);
/* *v anew where it is one of those, in the arena; otherwise it stays, for whoever writes it to refuse. -1: no memory. */
int mf_respell(const struct mf_type *t, struct mf_arena *arena, struct mf_value *v, struct mf_error *err);

#endif
