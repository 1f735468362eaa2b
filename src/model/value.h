/* One column's value as it travels. A value keeps the source engine's own text (or wire bytes) as long as both
 * ends understand it; src/map turns it into the target's form where they differ. Memory belongs to whoever made
 * the row (an arena, a spool record): a value is only a view. */
#ifndef MF_MODEL_VALUE_H
#define MF_MODEL_VALUE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum mf_value_kind {
    MF_NULL,
    MF_UNCHANGED, /* not sent by the source: unchanged TOAST, or a column outside the key in an old key */
    MF_TEXT,      /* the source engine's text form, not NUL-terminated */
    MF_BINARY,    /* the source engine's binary form */
    MF_REFUSED, /* there is no such value where the row goes to: data says why (never empty). Only behind connector/face. A row with one
                 * is refused, as by the server; as a key it is no row's */
};

struct mf_value {
    enum mf_value_kind kind;
    uint32_t len;
    const char *data;
};

struct mf_row {
    uint16_t n; /* one value for each column of the table, in its order */
    struct mf_value *values;
    const char *
        named; /* the row's key as the quarantine has it, where its own values would say it otherwise (connector/face); NULL:
                        * they say it */
};

/* data and len mean something. */
static inline bool mf_value_has_bytes(const struct mf_value *v)
{
    return v->kind != MF_NULL && v->kind != MF_UNCHANGED;
}

/* The ordinal of a value that is MF_REFUSED; -1: none. */
int mf_row_refused(const struct mf_row *row);

/* Same kind and same bytes. */
bool mf_value_equal(const struct mf_value *a, const struct mf_value *b);

/* The row with everything it refers to in the arena. -1: it has no room. */
int mf_row_copy(struct mf_arena *arena, struct mf_row *out, const struct mf_row *in);

/* No column is MF_UNCHANGED: the row can be written from this alone. */
bool mf_row_whole(const struct mf_row *row);

#endif
