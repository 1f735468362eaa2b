/*
 * Cutting a large table without reading it: a range that the server estimates to have more rows than a chunk may is halved, at
 * the key of a row near the middle of its keys, until it has not. An estimate is two descents of the index (EXPLAIN), and so are
 * the first key, the last key and the one in the middle; a table of any size takes some ten of them a chunk.
 *
 * The middle is sought in the first column of the key in which first and last row differ, below whatever they have in
 * common. Where none is found (a type without one, or rows crowded together) the rest of that range is walked.
 */
#include "connector/mysql/plan.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define DEEP 200 /* halvings of one range at most; each column gives no more than its bits */

struct pieces {
    size_t n;
    struct {
        const char *p;
        size_t n;
        bool hex; /* in digits: not what it is compared as */
    } v[64];
};

/* Our own bound, taken apart. */
static void take_apart(const struct mf_buf *key, struct pieces *ret)
{
    const char *p = mf_buf_str(key), *end = p + key->len;
    ret->n = 0;
    while (p < end && ret->n < MF_ARRAY_LEN(ret->v)) {
        char *colon;
        size_t n = strtoul(p + (*p == 'x'), &colon, 10);
        ret->v[ret->n].hex = *p == 'x';
        ret->v[ret->n].p = colon + 1;
        ret->v[ret->n++].n = n;
        p = colon + 1 + n;
    }
}

/* ---- questions about a range ---- */

static int put_query(struct my_plan *p, struct mf_buf *b, const struct mf_buf *end, struct mf_error *err)
{
    my_put_key_bounds(b, p->t, p->r->types);
    return my_put_indexed(p->r, b, p->t, err) < 0 || my_plan_put_rest(p, b, end, err) < 0 ? -1 : 0;
}

static int estimate(struct my_plan *p, const struct mf_buf *end, int64_t *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *res = NULL;
    if (p->at.len == 0 && !end && !p->whole->has_lower && !p->whole->has_upper) {
        *ret = p->left; /* the table's own figure; it is not doubled */
        return 0;
    }
    mf_buf_puts(&b, "EXPLAIN SELECT ");
    if (put_query(p, &b, end, err) < 0) {
        return -1;
    }
    if (!mf_buf_ok(&b) || my_query(p->r->conn, &res, err, mf_buf_str(&b)) < 0) {
        return mf_buf_ok(&b) ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "a statement is longer than %zu bytes", b.max);
    }
    MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
    *ret = 0;
    for (unsigned i = 0; row && i < mysql_num_fields(res); i++) {
        if (strcasecmp(mysql_fetch_field_direct(res, i)->name, "rows") == 0) {
            *ret =
                (my_get_i64(row, i) + 1) / 2; /* of all but the smallest ranges InnoDB says twice what it has found */
        }
    }
    return 0;
}

static int end_key(struct my_plan *p, const struct mf_buf *end, bool last, struct mf_buf *ret, bool *ret_found,
                   struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    my_plan_put_select(p, &b);
    if (put_query(p, &b, end, err) < 0) {
        return -1;
    }
    mf_buf_puts(&b, " ORDER BY ");
    for (uint16_t k = 0; k < p->t->nkey; k++) {
        mf_buf_puts(&b, k ? ", " : "");
        my_put_ident(&b, p->t->columns[p->t->key[k]].name);
        mf_buf_puts(&b, last ? " DESC" : "");
    }
    mf_buf_puts(&b, " LIMIT 1");
    return my_plan_key(p, &b, ret, ret_found, err);
}

/* The first row of the range that has what low has in the columns before `col`, and in it no less than mid. */
static int middle_key(struct my_plan *p, const struct mf_buf *end, const struct pieces *low, uint16_t col,
                      const struct mf_buf *mid, struct mf_buf *ret, bool *ret_found, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX}, bound = {.max = MY_KEY_MAX};
    struct mf_table beginning = *p->t; /* the key's columns up to col are a key of their own here */
    beginning.nkey = (uint16_t)(col + 1);
    for (uint16_t k = 0; k < col; k++) {
        my_bound_add(&bound, low->v[k].p, low->v[k].n);
    }
    my_bound_add(&bound, mf_buf_str(mid), mid->len);
    my_plan_put_select(p, &b);
    if (put_query(p, &b, end, err) < 0) {
        return -1;
    }
    mf_buf_puts(&b, " AND ");
    if (my_put_bound(&b, &beginning, p->r->types, mf_buf_str(&bound), bound.len, true, err) < 0) {
        return -1;
    }
    mf_buf_puts(&b, " ORDER BY ");
    my_put_key_names(&b, p->t);
    mf_buf_puts(&b, " LIMIT 1");
    return my_plan_key(p, &b, ret, ret_found, err);
}

static bool any_hex(const struct pieces *p, uint16_t before)
{
    bool hex = false;
    for (uint16_t k = 0; k < before; k++) {
        hex |= p->v[k].hex;
    }
    return hex;
}

/* A row's key about in the middle, behind the first row's. */
static int find_middle(struct my_plan *p, const struct mf_buf *end, struct mf_buf *ret, bool *ret_found,
                       struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf first = {.max = MY_KEY_MAX}, last = {.max = MY_KEY_MAX}, mid = {.max = MY_KEY_MAX};
    struct pieces a, z;
    uint16_t col = 0;
    bool any = false;
    *ret_found = false;
    if (end_key(p, end, false, &first, &any, err) < 0 || (any && end_key(p, end, true, &last, &any, err) < 0)) {
        return -1;
    }
    take_apart(&first, &a);
    take_apart(&last, &z);
    if (!any || a.n != p->t->nkey || z.n != a.n) {
        return 0;
    }
    while (col < a.n && a.v[col].n == z.v[col].n && memcmp(a.v[col].p, z.v[col].p, a.v[col].n) == 0) {
        col++;
    }
    if (col == a.n || z.v[col].hex || any_hex(&a, (uint16_t)(col + 1)) ||
        !my_midpoint(&p->r->types[p->t->key[col]], a.v[col].p, a.v[col].n, z.v[col].p, z.v[col].n, &mid)) {
        return 0;
    }
    if (middle_key(p, end, &a, col, &mid, ret, ret_found, err) < 0) {
        return -1;
    }
    /* At the first row it would cut nothing off. */
    *ret_found = *ret_found && (ret->len != first.len || memcmp(ret->data, first.data, first.len) != 0);
    return 0;
}

/* ---- halving ---- */

static int look(struct my_plan *p, const struct mf_buf *end, int64_t *ret_rows, struct mf_buf *ret_mid, bool *ret_found,
                struct mf_error *err)
{
    *ret_found = false;
    if (my_work_begin(p->r, p->t, MY_SHAPE_ANY, false, err) < 0) {
        return -1;
    }
    if (estimate(p, end, ret_rows, err) < 0 ||
        (*ret_rows > p->step && find_middle(p, end, ret_mid, ret_found, err) < 0)) {
        my_work_abort(p->r);
        return my_read_failed(p->r, p->t, err);
    }
    return my_work_end(p->r, err);
}

/* Ends of ranges, the nearest last; the whole's own end is below them all. */
struct ends {
    struct mf_buf key[DEEP];
    size_t n;
};

static void ends_free_p(struct ends **e)
{
    for (size_t i = 0; *e && i < DEEP; i++) {
        mf_buf_free(&(*e)->key[i]);
    }
    free(*e);
}

int my_plan_halve(struct my_plan *p, struct mf_error *err)
{
    MF_CLEANUP(ends_free_p) struct ends *e = mf_xcalloc(1, sizeof *e);
    MF_CLEANUP_BUF struct mf_buf mid = {.max = MY_KEY_MAX};
    for (bool done = false; !done;) {
        const struct mf_buf *end = e->n ? &e->key[e->n - 1] : NULL;
        int64_t rows = 0;
        bool found;
        if (look(p, end, &rows, &mid, &found, err) < 0) {
            return -1;
        }
        if (found && e->n < DEEP) {
            struct mf_buf *to = &e->key[e->n++];
            to->max = MY_KEY_MAX;
            mf_buf_reset(to);
            mf_buf_append(to, mid.data, mid.len);
            continue;
        }
        if ((rows > p->step ? my_plan_walk(p, end, err) : my_plan_emit(p, end, rows, err)) < 0) {
            return -1;
        }
        done = !end;
        e->n -= end != NULL;
    }
    return 0;
}
