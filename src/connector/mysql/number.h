/* A decimal number as text, looked at without ever being a double; number_text.h writes them. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_NUMBER_H
#define MF_CONNECTOR_MYSQL_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#define MY_NUMBER_DIGITS 17 /* no double needs more to be told from every other */

struct my_number {
    bool negative, zero;
    bool has_exponent;
    int point;                         /* the value is 0.DIGITS times 10^point */
    int nsig;                          /* significant digits: without leading and trailing zeros */
    int nfrac;                         /* digits behind the point that are not trailing zeros, the exponent applied */
    char digits[MY_NUMBER_DIGITS + 1]; /* the first of the significant digits */
};

/* [+-]digits[.digits][e[+-]digits], nothing else. False when it is not that. */
bool my_number_scan(const char *s, size_t n, struct my_number *ret);

/* The text of the double that this number is read as (my_put_double) is this very number: nothing was lost. *ret_value is the double. */
bool my_number_is_double(const char *s, size_t n, double *ret_value);

#endif
