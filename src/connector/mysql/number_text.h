/* Numbers and times as the servers print them. Pure; no locale is asked. Each writes into `out`, puts no NUL, returns the length. */
#ifndef MF_CONNECTOR_MYSQL_NUMBER_TEXT_H
#define MF_CONNECTOR_MYSQL_NUMBER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MY_NUMBER_TEXT 96 /* room that is enough for each of them */

size_t my_put_u64(char *out, uint64_t v);
size_t my_put_i64(char *out, int64_t v);

/* Bytes of a DECIMAL in a row; 0 when precision and scale are none. */
size_t my_decimal_bytes(unsigned precision, unsigned scale);
/* 0 when the bytes are no number. */
size_t my_put_decimal(char *out, const uint8_t *p, unsigned precision, unsigned scale);

size_t my_put_inet4(char *out, const uint8_t p[4]);
/* The first longest run of zero groups, even of one, is "::"; an IPv4 address in it is written as one. */
size_t my_put_inet6(char *out, const uint8_t p[16]);

struct my_time {
    bool negative;
    unsigned year, month, day, hour, minute, second, micro;
};
size_t my_put_date(char *out, const struct my_time *t);
/* With `digits` of the fraction. */
size_t my_put_clock(char *out, const struct my_time *t, unsigned digits);
size_t my_put_datetime(char *out, const struct my_time *t, unsigned digits);
/* UTC; second 0 with no fraction is the zero timestamp. */
void my_time_of_unix(uint32_t seconds, unsigned micro, struct my_time *ret);

#endif
