/* Canonical dates and times (model/type.h) taken apart: their spelling, and whether a calendar has them. Pure; any thread. */
#ifndef MF_MODEL_MOMENT_H
#define MF_MODEL_MOMENT_H

#include "model/type.h"

struct mf_moment {
    bool negative; /* TIME */
    bool bc;       /* " BC" behind it */
    uint32_t year, month, day, hour, minute, second;
    unsigned nfrac; /* digits of the fraction, at most 6; the last is not a zero */
};

/* kind: DATE, TIME, DATETIME or INSTANT. Years have four to seven digits, the hours of a TIME two to four, everything else two. False for another
 * spelling; whatever numbers stand in it are taken. */
bool mf_moment_scan(enum mf_kind kind, const char *s, size_t n, struct mf_moment *ret);
/* A day there is (by the calendar of today, whatever the year), and a time of day before 24:00. */
bool mf_moment_is_real(enum mf_kind kind, const struct mf_moment *m);
/* Of a canonical INSTANT, or a DATETIME taken as one: microseconds since 1970; "infinity" and "-infinity" are the ends of what there is. False: it is no moment. */
bool mf_moment_us(const char *s, size_t n, int64_t *ret);
/* What s has without the zeros at the end of a fraction, and without a point with nothing behind it. */
size_t mf_moment_cut(const char *s, size_t n);

#endif
