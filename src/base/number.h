/*
 * Numbers as text, the same in every locale: the shortest decimals of floating point numbers, and decimals of any length that are looked
 * at without ever being a double. Pure; any thread.
 */
#ifndef MF_BASE_NUMBER_H
#define MF_BASE_NUMBER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define MF_NUMBER_TEXT 48 /* room that is enough for mf_put_double and mf_put_float */

/* The shortest decimal that reads back as v: "0.1", "1e15", "-2.5e-17", with an exponent from 1e15 up and below 1e-15; "-0"; "NaN", "Infinity",
 * "-Infinity". No NUL is put; returns the length. A float's is that of its own 32 bits: "0.1", not "0.10000000149011612". */
size_t mf_put_double(char *out, double v);
size_t mf_put_float(char *out, float v);

/* Reads the whole text (of at most 500 bytes), those words too, to the nearest. False when it is none of them, or is past the largest. */
bool mf_get_double(const char *s, size_t n, double *ret);
bool mf_get_float(const char *s, size_t n, float *ret);

/* A decimal: a view of its text. */
struct mf_number {
    bool negative, zero; /* "-0": both */
    bool has_exponent;
    int point;          /* the value is 0.DIGITS times 10^point; 0 for zero */
    size_t nsig;        /* significant digits: without leading and trailing zeros; 0 for zero */
    const char *digits; /* the first of them; a point may stand among them */
};

#define MF_EXPONENT_MAX 1000000 /* far past any type of any database */

/* [+-]digits[.digits][e[+-]digits], nothing else (".5" and "5." are numbers). False when it is not that, or its exponent or its length is past
 * MF_EXPONENT_MAX. */
bool mf_number_scan(const char *s, size_t n, struct mf_number *ret);
/* The same value. */
bool mf_number_equal(const struct mf_number *a, const struct mf_number *b);
/* One text for each value: digits and a point where the point would stand from -5 to 21 places behind the first digit ("0.000001",
 * "100000000000000000000"), else "1.5e-7", "1e21". Zero is "0", whatever its sign. */
void mf_number_put(struct mf_buf *b, const struct mf_number *v);
/* Without an exponent, however long that is: the caller has looked at point and nsig. */
void mf_number_put_plain(struct mf_buf *b, const struct mf_number *v);
/* With one, always. Not for zero. */
void mf_number_put_exponent(struct mf_buf *b, const struct mf_number *v);
/* A double's shortest decimal is this very value: reading it as a double loses nothing. */
bool mf_number_is_double(const char *s, size_t n);

#endif
