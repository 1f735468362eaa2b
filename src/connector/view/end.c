/* Rows that end: an entry of the map says by `ttl` which column of the query table has the moment.
 *
 * From that moment on a row is no row of the query table, whatever the source still has: reads leave it out, so that a copy does not bring it and verify does not miss it. The target is told the column by the
 * map, and lets the row end by itself. When a row's end is near, the sides may not agree for a moment whether it is over: whoever asks for rows by their keys, which is how verify looks twice, is made to wait
 * until no clock doubts it. */
#include "connector/view/compile.h"

#include "base/clock.h"
#include "base/str.h"
#include "model/moment.h"

#define DOUBT_US (3 * MF_US_PER_SEC) /* around a row's end: a second of rounding, and what clocks differ by */

/* ---- compiling ---- */

static const char *why_not(const struct view_entry *e, const struct mf_made_column *c, const struct mf_column *col)
{
    enum mf_kind kind = col->foreign ? col->foreign->type.kind : MF_KIND_OPAQUE;
    if (!e->c->to || !e->c->to->rows_end) {
        return "the target has no rows that end by themselves";
    }
    if (c->kind != MF_MADE_COLUMN || c->is_static) {
        return "it must be a column of the source's table, and one of each row";
    }
    if (kind == MF_KIND_INT || kind == MF_KIND_DECIMAL) {
        return "it is a number: seconds would begin anew with every retry; it must be a time stamp";
    }
    return kind == MF_KIND_INSTANT || kind == MF_KIND_DATETIME ? NULL : "it is no time stamp";
}

int view_add_end(struct view_entry *e, struct mf_made *made)
{
    int at = mf_table_column(e->t, e->q->ttl);
    if (at < 0) {
        return view_no_column(e, 0, e->t, e->q->ttl);
    }
    const char *why = why_not(e, &e->made[at], &e->t->columns[at]);
    if (why) {
        return REFUSE(e, 0, "column \"%s\" cannot say when rows of table %s end: %s", e->q->ttl, e->q->to, why);
    }
    for (uint16_t i = 0; i < e->t->ncolumns; i++) {
        if (e->made[i].kind == MF_MADE_PARENT || e->made[i].is_static) {
            return REFUSE(e, 0, "rows of table %s cannot end: column \"%s\" is %s, and does not end with its row",
                          e->q->to, e->made[i].name, e->made[i].is_static ? "static" : "another table's");
        }
    }
    made->ends = true;
    made->ends_at = (uint16_t)at;
    return 0;
}

/* ---- rows ---- */

/* The moment; INT64_MAX: never, or it is none, which the target refuses. */
static int64_t end_of(const struct mf_made *made, const struct mf_row *base)
{
    const struct mf_value *v = &base->values[made->columns[made->ends_at].of];
    int64_t end = INT64_MAX;
    return v->kind == MF_TEXT && mf_moment_us(v->data, v->len, &end) ? end : INT64_MAX;
}

bool view_ended(const struct mf_made *made, const struct mf_row *base)
{
    return made->ends && end_of(made, base) <= mf_wall_us();
}

bool view_ended_surely(const struct mf_made *made, const struct mf_row *base, int64_t *waited_us)
{
    if (!made->ends) {
        return false;
    }
    int64_t end = end_of(made, base), now = mf_wall_us();
    if (end > now + DOUBT_US) {
        return false;
    }
    int64_t wait = end > now - DOUBT_US ? end + DOUBT_US - now : 0;
    if (*waited_us + wait > VIEW_WAIT_US) {
        return end <= now;
    }
    if (wait > 0) {
        mf_sleep_us(wait);
        *waited_us += wait;
    }
    return true;
}
