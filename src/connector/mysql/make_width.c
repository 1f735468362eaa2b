/*
 * How much room columns get: see make_width.h.
 *
 * An index that must see whole values (unique, or of a foreign key) shares its bytes among its texts: each gets what it asked for where that is less than an equal
 * share, and what it leaves goes to the others. A column of several gets the least of them. What is too wide for a row then becomes a text outside it, the
 * widest first; and if that is not enough, the indexed ones are halved, the widest first.
 */
#include "connector/mysql/make_width.h"

#include "base/str.h"

#include <string.h>

#define ROW_BYTES  65000 /* 65,535, and room for what the server adds */
#define UTF8_BYTES 4
#define OUTSIDE    12 /* bytes in the row of a text outside it */
#define MAX_CHARS  16383
#define MAX_PREFIX 255 /* of a text that no index needs whole: what tells most values apart */
#define MAX_PARTS  64

bool my_make_enum_fits(const struct mf_type *t)
{
    for (uint16_t i = 0; i < t->nlabels; i++) {
        size_t n = strlen(t->labels[i]);
        if (n == 0 || n > 255 || t->labels[i][n - 1] == ' ') { /* "" is an error there, and blanks at an end are cut */
            return false;
        }
    }
    return t->nlabels > 0;
}

bool my_make_bits_fit(const struct mf_type *t)
{
    return t->fixed && t->length > 0 && t->length <= 64;
}

/* Bytes of a column whose type says them. */
static uint32_t own_bytes(const struct mf_type *t)
{
    switch (t->kind) {
    case MF_KIND_BOOL:
        return 1;
    case MF_KIND_INT:
        return t->bits / 8u;
    case MF_KIND_FLOAT:
        return t->bits == 32 ? 4 : 8;
    case MF_KIND_DECIMAL:
        return 30; /* of the widest */
    case MF_KIND_DATE:
        return 3;
    case MF_KIND_TIME:
        return 6;
    case MF_KIND_UUID:
        return 36;
    default:
        return 8;
    }
}

static void classify(const struct mf_schema_column *c, struct my_width *w)
{
    *w = (struct my_width){.unit = MY_WIDTH_OWN};
    switch (c->type.kind) {
    case MF_KIND_TEXT:
        w->n = c->type.length <= MAX_CHARS ? c->type.length : 0;
        w->unit = MY_WIDTH_CHARS;
        break;
    case MF_KIND_BYTES:
        w->n = c->type.length;
        w->unit = MY_WIDTH_BYTES;
        break;
    case MF_KIND_OPAQUE:
        w->unit = MY_WIDTH_CHARS;
        break;
    case MF_KIND_ENUM:
        w->unit = my_make_enum_fits(&c->type) ? MY_WIDTH_OWN : MY_WIDTH_CHARS;
        break;
    case MF_KIND_BITS:
        w->unit = my_make_bits_fit(&c->type) ? MY_WIDTH_OWN : MY_WIDTH_CHARS;
        w->n = w->unit == MY_WIDTH_CHARS && c->type.length <= MAX_CHARS ? c->type.length : 0;
        break;
    default:
        break;
    }
}

static uint32_t unit_bytes(const struct my_width *w)
{
    return w->unit == MY_WIDTH_CHARS ? UTF8_BYTES : 1;
}

static bool is_wide(const struct my_width *w)
{
    return w->unit != MY_WIDTH_OWN;
}

/* The bytes that each text of a list of columns may have of an index; `want`: what it would take (UINT32_MAX: all it can get). */
static void share(uint32_t budget, const uint32_t *want, uint32_t *got, size_t n)
{
    size_t open = n;
    bool settled[MAX_PARTS] = {false};
    for (bool again = true; again && open;) {
        again = false;
        for (size_t i = 0; i < n; i++) {
            if (!settled[i] && want[i] <= budget / open) {
                got[i] = want[i];
                budget -= want[i];
                settled[i] = again = true;
                if (--open == 0) {
                    return;
                }
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        got[i] = settled[i] ? got[i] : (uint32_t)(budget / open);
    }
}

struct wide_list {
    uint16_t at[MAX_PARTS];
    uint32_t want[MAX_PARTS], got[MAX_PARTS];
    size_t n;
    uint32_t fixed;
};

static void add_column(struct wide_list *l, const struct mf_schema_table *t, const struct my_width *w, uint16_t column)
{
    if (!is_wide(&w[column])) {
        l->fixed += own_bytes(&t->columns[column].type);
    } else if (l->n < MAX_PARTS) {
        l->at[l->n] = column;
        l->want[l->n++] = w[column].n ? w[column].n * unit_bytes(&w[column]) : UINT32_MAX;
    }
}

static void narrow(struct wide_list *l, uint32_t index_bytes, struct my_width *w)
{
    share(index_bytes > l->fixed ? index_bytes - l->fixed : l->n, l->want, l->got, l->n);
    for (size_t i = 0; i < l->n; i++) {
        struct my_width *x = &w[l->at[i]];
        uint32_t n = l->got[i] / unit_bytes(x);
        n = n ? n : 1;
        x->whole = true;
        if (x->n == 0 || n < x->n) {
            x->n = n;
            x->cut = true;
        }
    }
}

static void narrow_for_indexes(const struct mf_schema_table *t, uint32_t index_bytes, struct my_width *w)
{
    for (size_t i = 0; i < t->nindexes; i++) {
        struct wide_list l = {0};
        for (uint16_t k = 0; k < t->indexes[i].n && t->indexes[i].unique; k++) {
            add_column(&l, t, w, t->indexes[i].columns[k].column);
        }
        narrow(&l, index_bytes, w);
    }
    for (size_t i = 0; i < t->nforeign; i++) {
        struct wide_list l = {0};
        for (uint16_t k = 0; k < t->foreign[i].n; k++) {
            add_column(&l, t, w, t->foreign[i].columns[k]);
        }
        narrow(&l, index_bytes, w);
    }
}

static uint32_t row_bytes(const struct mf_schema_column *c, const struct my_width *w)
{
    if (c->generated) {
        return 0;
    }
    if (!is_wide(w)) {
        return c->type.kind == MF_KIND_JSON ? OUTSIDE : own_bytes(&c->type) + 1;
    }
    return w->n ? w->n * unit_bytes(w) + 3 : OUTSIDE;
}

static void fit_row(const struct mf_schema_table *t, struct my_width *w)
{
    for (;;) {
        uint64_t sum = 0;
        int widest = -1, indexed = -1;
        for (uint16_t i = 0; i < t->ncolumns; i++) {
            uint32_t bytes = row_bytes(&t->columns[i], &w[i]);
            int *of = w[i].whole ? &indexed : &widest;
            sum += bytes;
            if (is_wide(&w[i]) && w[i].n > 1 && bytes > OUTSIDE &&
                (*of < 0 || bytes > row_bytes(&t->columns[*of], &w[*of]))) {
                *of = i;
            }
        }
        if (sum <= ROW_BYTES || (widest < 0 && indexed < 0)) {
            return;
        }
        if (widest >= 0) {
            w[widest].n = 0;
        } else {
            w[indexed].n /= 2;
            w[indexed].cut = true;
        }
    }
}

void my_make_widths(const struct mf_schema_table *t, uint32_t index_bytes, struct my_width *out)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        classify(&t->columns[i], &out[i]);
    }
    narrow_for_indexes(t, index_bytes, out);
    fit_row(t, out);
}

uint32_t my_make_prefix(const struct mf_schema_table *t, const struct my_width *w, const struct mf_schema_index *x,
                        uint16_t part, uint32_t index_bytes)
{
    struct wide_list l = {0};
    const struct my_width *of = &w[x->columns[part].column];
    uint32_t asked = x->columns[part].prefix;
    if (!is_wide(of)) {
        return 0;
    }
    for (uint16_t k = 0; k < x->n; k++) {
        add_column(&l, t, w, x->columns[k].column);
    }
    for (size_t i = 0; i < l.n; i++) {
        uint32_t most = MAX_PREFIX * unit_bytes(&w[l.at[i]]);
        l.want[i] = l.want[i] == UINT32_MAX ? most : l.want[i];
    }
    share(index_bytes > l.fixed ? index_bytes - l.fixed : l.n, l.want, l.got, l.n);
    for (size_t i = 0; i < l.n; i++) {
        if (l.at[i] == x->columns[part].column) {
            uint32_t n = l.got[i] / unit_bytes(of);
            n = n ? n : 1;
            n = asked && asked < n ? asked : n;
            return of->n && n >= of->n ? 0 : n;
        }
    }
    return 0;
}
