/* Between propose.c and propose_serve.c. */
#ifndef MF_MAP_PROPOSE_INTERNAL_H
#define MF_MAP_PROPOSE_INTERNAL_H

#include "base/buf.h"
#include "map/propose.h"

/* A statement with its columns found. */
struct mf_want {
    uint16_t nequal, nthen;
    uint16_t equal[MF_ACCESS_MOST];
    struct {
        uint16_t column;
        bool descending, ordered; /* ordered: else compared by < or >, and either way round will do */
    } then[MF_ACCESS_MOST + 1];
    int64_t calls;
};

static inline bool mf_among(const uint16_t *list, uint16_t n, uint16_t column)
{
    for (uint16_t i = 0; i < n; i++) {
        if (list[i] == column) {
            return true;
        }
    }
    return false;
}

static inline bool mf_want_usable(const struct mf_schema_column *c)
{
    return !c->generated && c->type.kind != MF_KIND_JSON;
}

/* False: it names something that the table has not, or that no key can have. */
bool mf_want_resolve(const struct mf_schema_table *t, const struct mf_asked *asked, struct mf_want *ret);
void mf_want_put(struct mf_buf *b, const struct mf_schema_table *t, const struct mf_want *q);

/* False: its key has no room. */
bool mf_draft_add(struct mf_proposed *d, uint16_t column, bool descending, bool asked);
/* Whether q's order is that of d's clustering from the at-th on; where that ends it is made longer. Undefined when not. */
bool mf_draft_order(struct mf_proposed *d, uint16_t at, const struct mf_want *q);
/* A table by d's key answers q; d's clustering may grow for it. key: of the source's table. */
bool mf_draft_serve(const struct mf_schema_index *key, struct mf_proposed *d, const struct mf_want *q);

#endif
