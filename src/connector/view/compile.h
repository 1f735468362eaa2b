/* An entry of the map being held against the catalogue: shared by compile.c and columns.c. */
#ifndef MF_CONNECTOR_VIEW_COMPILE_H
#define MF_CONNECTOR_VIEW_COMPILE_H

#include "connector/view/internal.h"

struct view_entry {
    const struct view_compile *c;
    const struct mf_query_table *q;
    const struct mf_table *base;
    struct mf_table *t;          /* what is shown */
    struct mf_made_column *made; /* one for each column of t */
    struct mf_made_parent *parents;
    uint16_t nparents;
    const char *label; /* of the base */
    struct mf_error *err;
};

/* at 0: the entry's own line. */
#define REFUSE(e, at, ...) view_fail((e)->c->map, (at) ? (at) : (e)->q->line, (e)->err, __VA_ARGS__)

int view_entry_full(const struct view_entry *e);
/* end.c: when rows end, if the entry says so. */
int view_add_end(struct view_entry *e, struct mf_made *made);
/* collect.c: the column just added, if a collection of the target's is asked for it: shown as that, and how its values are made of those of `is`. */
int view_add_collection(struct view_entry *e, const struct mf_query_column *q, const struct mf_column *is);
int view_no_column(const struct view_entry *e, size_t line, const struct mf_table *t, const char *name);
/* All columns of the query table, and the parents they come from. every: those of the base that are not named otherwise, too. */
int view_add_columns(struct view_entry *e, bool every);

#endif
