/*
 * Canonical values (model/type.h): made of what engines print, and checked before an engine takes them.
 *
 * A server that is given a value in a spelling that is not the canonical one may read something else into it: a date in words, a number with
 * blanks around it, a label by its number. So what is no canonical value of the column's type is refused here, before any server sees
 * it, and what a server would only cut or round is refused with it. Pure; any thread.
 */
#ifndef MF_MODEL_CANON_H
#define MF_MODEL_CANON_H

#include "base/error.h"
#include "model/json.h"
#include "model/moment.h"
#include "model/value.h"

/* MF_ROW, code MFVALUE: what the value is, of which type, and why there is no room for it in the other form. Returns -1. */
int mf_canon_refuse(const struct mf_type *t, const struct mf_value *v, const char *why, struct mf_error *err);
int mf_canon_no_memory(struct mf_error *err); /* MF_FATAL, code MFMEM */

/* Why v is no canonical value of t, or one that t has no room for: static text. NULL: it is one. Of dates and times only the spelling and the
 * digits of the fraction are looked at ("infinity" is another spelling), of JSON nothing. */
const char *mf_canon_wrong(const struct mf_type *t, const struct mf_value *v);

/* From what an engine prints. The result is a view of `in`, or in the arena. */
/* A decimal without exponent, whatever zeros it has. False when it is none; *ret is untouched then. NULL data: no memory. */
bool mf_canon_decimal(struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret);
/* bits: 32 or 64. The same. */
bool mf_canon_float(struct mf_arena *arena, unsigned bits, const struct mf_value *in, struct mf_value *ret);
/* A document in one spelling. number: as mf_json_put. */
int mf_canon_json(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, mf_json_number *number,
                  struct mf_value *ret, struct mf_error *err);
/* n bytes in the arena as a value. */
int mf_canon_text(struct mf_arena *arena, const char *s, size_t n, struct mf_value *ret, struct mf_error *err);

bool mf_canon_is(const struct mf_value *v, const char *text);

#endif
