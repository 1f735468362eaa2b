/* Statements held against a table's columns, and against the key of a table that is proposed. See propose.h. */
#include "map/propose_internal.h"

#include "base/str.h"

#include <inttypes.h>
#include <string.h>

static int find_column(const struct mf_schema_table *t, const struct mf_access_name *name)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (mf_access_is(name, t->columns[i].name)) {
            return i;
        }
    }
    return -1;
}

static void add_then(struct mf_want *q, int column, bool descending, bool ordered)
{
    for (uint16_t i = 0; i < q->nthen; i++) {
        if (q->then[i].column == column) {
            q->then[i].ordered |= ordered;
            q->then[i].descending |= descending;
            return;
        }
    }
    q->then[q->nthen].column = (uint16_t)column;
    q->then[q->nthen].descending = descending;
    q->then[q->nthen++].ordered = ordered;
}

bool mf_want_resolve(const struct mf_schema_table *t, const struct mf_asked *asked, struct mf_want *ret)
{
    const struct mf_access *a = &asked->access;
    *ret = (struct mf_want){.calls = asked->calls};
    for (uint16_t i = 0; i < a->nequal; i++) {
        int c = find_column(t, &a->equal[i]);
        if (c < 0 || !mf_want_usable(&t->columns[c])) {
            return false;
        }
        ret->equal[ret->nequal++] = (uint16_t)c;
    }
    int range = a->nrange ? find_column(t, &a->range[0]) : -1;
    if (range >= 0 && mf_want_usable(&t->columns[range]) && !mf_among(ret->equal, ret->nequal, (uint16_t)range)) {
        add_then(ret, range, false, false);
    }
    for (uint16_t i = 0; i < a->norder; i++) {
        int c = find_column(t, &a->order[i].name);
        if (c < 0 || !mf_want_usable(&t->columns[c])) {
            break; /* an expression, or the name of one: the order ends here for us */
        }
        if (!mf_among(ret->equal, ret->nequal, (uint16_t)c)) {
            add_then(ret, c, a->order[i].descending, true);
        }
    }
    return true;
}

static bool has_all(const struct mf_want *q, const uint16_t *columns, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        if (!mf_among(q->equal, q->nequal, columns[i])) {
            return false;
        }
    }
    return true;
}

static bool has_key(const struct mf_schema_index *key, const struct mf_want *q)
{
    for (uint16_t i = 0; i < key->n; i++) {
        if (!mf_among(q->equal, q->nequal, key->columns[i].column)) {
            return false;
        }
    }
    return true;
}

bool mf_draft_add(struct mf_proposed *d, uint16_t column, bool descending, bool asked)
{
    if (d->npartition + d->nclustering >= MF_PROPOSE_KEY) {
        return false;
    }
    d->clustering[d->nclustering].column = column;
    d->clustering[d->nclustering].descending = descending;
    d->clustering[d->nclustering++].asked = asked;
    return true;
}

/* Behind the clustering columns that are compared: those in an order that is its own or the other way round, as far as they go; then they are added. */
bool mf_draft_order(struct mf_proposed *d, uint16_t at, const struct mf_want *q)
{
    bool known = false, reversed = false;
    for (uint16_t i = 0; i < q->nthen; i++, at++) {
        if (at == d->nclustering) {
            if (!mf_draft_add(d, q->then[i].column, q->then[i].descending != reversed, true)) {
                return false;
            }
            continue;
        }
        if (d->clustering[at].column != q->then[i].column) {
            return false;
        }
        bool turned = d->clustering[at].descending != q->then[i].descending;
        if (q->then[i].ordered && known && turned != reversed) {
            return false;
        }
        reversed = q->then[i].ordered ? turned : reversed;
        known |= q->then[i].ordered;
    }
    return true;
}

/* A table by d's key answers it; d's clustering may grow for it. */
bool mf_draft_serve(const struct mf_schema_index *key, struct mf_proposed *d, const struct mf_want *q)
{
    if (!has_all(q, d->partition, d->npartition)) {
        return false;
    }
    if (has_key(key, q)) {
        return true;
    }
    struct mf_proposed tried = *d;
    uint16_t at = 0, left = 0;
    while (at < tried.nclustering && mf_among(q->equal, q->nequal, tried.clustering[at].column)) {
        at++;
    }
    for (uint16_t i = 0; i < q->nequal; i++) {
        bool met = mf_among(d->partition, d->npartition, q->equal[i]);
        for (uint16_t k = 0; k < at && !met; k++) {
            met = d->clustering[k].column == q->equal[i];
        }
        if (!met) {
            left++;
            if (at + left <= tried.nclustering || !mf_draft_add(&tried, q->equal[i], false, true)) {
                return false;
            }
        }
    }
    if (!mf_draft_order(&tried, (uint16_t)(at + left), q)) {
        return false;
    }
    *d = tried;
    return true;
}

void mf_want_put(struct mf_buf *b, const struct mf_schema_table *t, const struct mf_want *q)
{
    mf_buf_printf(b, "%" PRId64 " %s: WHERE ", q->calls, q->calls == 1 ? "call" : "calls");
    for (uint16_t i = 0; i < q->nequal; i++) {
        mf_buf_printf(b, "%s%s = ?", i ? " AND " : "", t->columns[q->equal[i]].name);
    }
    for (uint16_t i = 0, n = 0; i < q->nthen; i++) {
        if (q->then[i].ordered) {
            mf_buf_printf(b, "%s%s%s", n++ ? ", " : " ORDER BY ", t->columns[q->then[i].column].name,
                          q->then[i].descending ? " DESC" : "");
        } else {
            mf_buf_printf(b, " AND %s < ?", t->columns[q->then[i].column].name);
        }
    }
}
