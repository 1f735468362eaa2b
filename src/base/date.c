#include "base/date.h"

#include <stdbool.h>

#define MARCH_0 719468 /* days from 0000-03-01 to 1970-01-01 */

/* Both count from 1 March of year 0 on: the leap day is a year's last, and 400 years are 146097 days. */
int64_t mf_date_number(struct mf_date d)
{
    int64_t y = d.year - (d.month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year = y - era * 400;
    int64_t in_year = (153 * (int64_t)(d.month > 2 ? d.month - 3 : d.month + 9) + 2) / 5 + d.day - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + in_year - MARCH_0;
}

struct mf_date mf_date_of(int64_t number)
{
    int64_t z = number + MARCH_0;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t in_era = z - era * 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * in_year + 2) / 153; /* 0: March */
    return (struct mf_date){.year = year + era * 400 + (month >= 10),
                            .month = (unsigned)(month < 10 ? month + 3 : month - 9),
                            .day = (unsigned)(in_year - (153 * month + 2) / 5 + 1)};
}

unsigned mf_date_month_days(int64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}
