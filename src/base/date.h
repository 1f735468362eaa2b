/* Days of the Gregorian calendar, before its time too, with a year 0 before the year 1. Pure; any thread. */
#ifndef MF_BASE_DATE_H
#define MF_BASE_DATE_H

#include <stdint.h>

struct mf_date {
    int64_t year;
    unsigned month, day; /* from 1 on */
};

/* Days since 1970-01-01, and back. Of years whose days fit int64_t. A day that its month has not is one of the next month. */
int64_t mf_date_number(struct mf_date d);
struct mf_date mf_date_of(int64_t number);
/* How many days a month has; month is from 1 to 12. */
unsigned mf_date_month_days(int64_t year, unsigned month);

#endif
