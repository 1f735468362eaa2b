/*
 * The key of a table: see keys.h.
 *
 * It is what a row is found by on both sides. The primary key, else the best unique index whose columns are all NOT NULL, whole, and the
 * row's own (what is generated need not be the same on both sides). Best is: fewest columns, then narrowest, then first by name, so that
 * every look chooses the same.
 *
 * Keys are compared by their bytes everywhere above, and the server compares them by a collation, for which 'a' and 'A', or 'a' and 'a ', may be
 * one key. What follows: (1) an UPDATE that only changes the spelling comes from the source as a change of key, and a batch deletes before
 * it inserts, in one transaction, so that the old spelling is gone when the new one comes and neither takes the other for itself; (2) two rows of
 * the source never differ in spelling only, since its own index forbids it; (3) a row asked for by key may come back in another spelling, which is the
 * row under that key now. On a target all of this holds where its column has the source's own collation. Where it has another one that takes texts
 * for equal, rows there are found by bytes (mf_column.by_bytes, docs/internals/keys.md).
 */
#include "connector/mysql/keys.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static bool is_primary(const struct my_key_part *p)
{
    return strcmp(p->index, "PRIMARY") == 0;
}

static int compare_parts(const void *a, const void *b)
{
    const struct my_key_part *x = a, *y = b;
    int d = is_primary(y) - is_primary(x);
    d = d ? d : strcmp(x->index, y->index);
    return d ? d : (x->seq > y->seq) - (x->seq < y->seq);
}

/* Bytes of a column in an index, at most. */
static uint32_t width(const struct mf_column *c)
{
    static const uint32_t widths[] = {
        [MY_TINYINT] = 1,  [MY_SMALLINT] = 2,  [MY_MEDIUMINT] = 3, [MY_INT] = 4,   [MY_BIGINT] = 8,
        [MY_FLOAT] = 4,    [MY_DOUBLE] = 8,    [MY_YEAR] = 1,      [MY_DATE] = 3,  [MY_TIME] = 6,
        [MY_DATETIME] = 8, [MY_TIMESTAMP] = 7, [MY_ENUM] = 2,      [MY_SET] = 8,   [MY_BIT] = 8,
        [MY_DECIMAL] = 30, [MY_UUID] = 16,     [MY_INET6] = 16,    [MY_INET4] = 4,
    };
    struct my_type t;
    if (!c->type || my_type_parse(c->type, NULL, &t, NULL) < 0) {
        return UINT16_MAX;
    }
    if (t.base < sizeof widths / sizeof *widths && widths[t.base]) {
        return widths[t.base];
    }
    uint32_t length = t.length < UINT16_MAX ? t.length : UINT16_MAX;
    return t.charset[0] ? length * 4 : length;
}

/* A run of parts that is one index, held against the table. */
static bool usable(const struct mf_table *t, const struct my_key_part *parts, size_t n, uint32_t *ret_width,
                   bool *ret_torn)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!parts[i].column || parts[i].prefix || (parts[i].hash && !is_primary(parts))) {
            return false;
        }
        int at = mf_table_column(t, parts[i].column);
        if (at < 0) {
            *ret_torn = true;
            return false;
        }
        if (!t->columns[at].not_null || t->columns[at].generated) {
            return false;
        }
        sum += width(&t->columns[at]);
    }
    *ret_width = sum;
    return true;
}

static size_t run_length(const struct my_key_part *parts, size_t n)
{
    size_t run = 1;
    while (run < n && strcmp(parts[run].index, parts[0].index) == 0) {
        run++;
    }
    return run;
}

/* A column without the blanks at its end cannot have two texts that differ in them only: a CHAR, or the members of an ENUM or a SET. */
static bool tells_apart(const struct my_type *t, const char *collation)
{
    return mf_ends_with(collation, "_bin") && ((t->base != MY_VARCHAR && t->base != MY_TEXT) ||
                                               strstr(collation, "_0900_") || strstr(collation, "_nopad_"));
}

uint64_t my_equality(const struct my_type *t, const char *collation)
{
    static const char *const unicode[] = {"utf8mb4_", "utf8mb3_", "utf8_"};
    if (!collation || !*collation || !t->charset[0] || tells_apart(t, collation)) {
        return 0;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(unicode); i++) { /* what both can hold compares in the same way */
        size_t n = strlen(unicode[i]);
        if (strncmp(collation, unicode[i], n) == 0) {
            return XXH3_64bits(collation + n, strlen(collation + n)) | 1;
        }
    }
    return XXH3_64bits(collation, strlen(collation)) | 1;
}

int my_key_choose(struct mf_table *t, struct my_key_part *parts, size_t n, struct mf_arena *arena, bool *ret_torn)
{
    const struct my_key_part *best = NULL;
    size_t best_n = 0, run;
    uint32_t best_width = 0, sum = 0;
    t->identity = MF_IDENTITY_FULL;
    t->nkey = 0;
    qsort(parts, n, sizeof *parts, compare_parts);
    for (size_t i = 0; i < n && !(best && is_primary(best)); i += run) {
        run = run_length(parts + i, n - i);
        if (usable(t, parts + i, run, &sum, ret_torn) &&
            (!best || run < best_n || (run == best_n && sum < best_width))) {
            best = parts + i;
            best_n = run;
            best_width = sum;
        }
    }
    if (!best) {
        return 0;
    }
    t->key = mf_alloc_array(arena, best_n, sizeof *t->key);
    if (!t->key) {
        return -1;
    }
    for (size_t i = 0; i < best_n; i++) {
        int at = mf_table_column(t, best[i].column);
        t->columns[at].in_key = true;
        t->key[t->nkey++] = (uint16_t)at;
    }
    t->identity = MF_IDENTITY_KEY;
    return 0;
}
