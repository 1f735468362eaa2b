/* How a statement finds rows: which table it reads, which columns it compares with values, and in what order it wants the rows. From the text that servers keep in their
 * statistics, without literals ($1, ?), of PostgreSQL and MySQL alike. Pure; fuzzed.
 *
 * It reads SELECTs of one table whose conditions are all to hold (AND). Everything else has no access path of its own that a table with one key could serve, and is
 * none here: joins, subqueries, set operations, OR. What it does not understand inside a condition is taken for a filter and left out. */
#ifndef MF_MAP_ACCESS_H
#define MF_MAP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_ACCESS_NAME 200 /* bytes with the NUL; a longer name is none of ours */
#define MF_ACCESS_MOST 8   /* columns of a kind; a statement with more of them is none */

struct mf_access_name {
    char text[MF_ACCESS_NAME];
    bool quoted; /* its case counts */
};

struct mf_access_order {
    struct mf_access_name name;
    bool descending;
};

struct mf_access {
    struct mf_access_name schema, table; /* schema: "" where it was not written */
    uint16_t nequal, nrange, norder;
    struct mf_access_name equal[MF_ACCESS_MOST]; /* compared with one value, or with each of a list */
    struct mf_access_name range[MF_ACCESS_MOST]; /* <, >, BETWEEN */
    struct mf_access_order order[MF_ACCESS_MOST];
};

/* False: it is no such statement, and *ret is untouched. */
bool mf_access_parse(const char *text, size_t n, struct mf_access *ret);

/* The name, as it was written, means that one. */
bool mf_access_is(const struct mf_access_name *name, const char *own);
bool mf_access_same(const struct mf_access *a, const struct mf_access *b);

#endif
