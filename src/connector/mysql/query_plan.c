/* See query_plan.h. Estimates of two servers differ by chance: what is small is never worse. */
#include "connector/mysql/query_plan.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCAN_ROWS  100  /* a table of fewer is scanned rightly */
#define EXTRA_ROWS 1000 /* fewer more than before do not matter */

double my_plan_examines(const struct my_plan *p)
{
    double total = 0, rounds = 1;
    for (size_t i = 0; i < p->n; i++) {
        const struct my_plan_step *s = &p->steps[i];
        if (i > 0 && p->steps[i - 1].id != s->id) {
            rounds = 1;
        }
        total += rounds * (double)s->rows;
        double kept = (double)s->rows * s->filtered / 100;
        rounds *= kept > 1 ? kept : 1;
    }
    return total;
}

static bool scans(const struct my_plan_step *s)
{
    return strcmp(s->type, "ALL") == 0 || strcmp(s->type, "index") == 0;
}

static bool seeks(const struct my_plan_step *s)
{
    return s->type[0] && !scans(s);
}

static const struct my_plan_step *find(const struct my_plan *p, const char *table)
{
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->steps[i].table, table) == 0) {
            return &p->steps[i];
        }
    }
    return NULL;
}

bool my_plan_is_worse(const struct my_plan *before, const struct my_plan *after, double factor, char *why, size_t n)
{
    for (size_t i = 0; i < after->n; i++) {
        const struct my_plan_step *s = &after->steps[i], *was = find(before, s->table);
        if (was && s->table[0] && seeks(was) && scans(s) && s->rows >= SCAN_ROWS && s->rows > was->rows) {
            snprintf(why, n, "%s is read whole (%s) where an index was used (%s)", s->table, s->type, was->type);
            return true;
        }
    }
    double was = my_plan_examines(before), now = my_plan_examines(after);
    if (before->n && after->n && now > was * factor && now - was >= EXTRA_ROWS) {
        snprintf(why, n, "about %.0f rows are examined where it was %.0f", now, was);
        return true;
    }
    return false;
}

void my_plan_put(const struct my_plan *p, struct mf_buf *out)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct my_plan_step *s = &p->steps[i];
        mf_buf_printf(out, "%s%s %s%s%s %" PRId64 " rows", i ? ", " : "", s->table[0] ? s->table : "(no table)",
                      s->type[0] ? s->type : "-", s->key[0] ? " " : "", s->key, s->rows);
    }
}
