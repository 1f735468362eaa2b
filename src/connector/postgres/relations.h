/* The tables a pgoutput stream has described so far, by their oid. Part of the decoder: one thread. */
#ifndef MF_CONNECTOR_POSTGRES_RELATIONS_H
#define MF_CONNECTOR_POSTGRES_RELATIONS_H

#include "base/buf.h"
#include "connector/postgres/decode.h"

#define PG_MAX_COLUMNS 1664 /* the server's own bound on what one row may have */

struct pg_relation {
    uint32_t id; /* 0: an empty slot */
    struct mf_arena arena;
    struct mf_table *table;
    uint64_t shape;
};

struct pg_relations {
    struct pg_relation *slots; /* open addressing; never more than two thirds full */
    size_t n, cap;
    struct pg_relation *last; /* the one found last: changes come in runs */
    pg_key_lookup *lookup;
    void *ctx;
};

void pg_relations_init(struct pg_relations *r, pg_key_lookup *lookup, void *ctx);
void pg_relations_free(struct pg_relations *r);
struct pg_relation *pg_relations_find(struct pg_relations *r, uint32_t id); /* NULL: not described */
/* A Relation message from after its transaction number. *ret_news: it was not known, or had another shape. The table
 * lives until the same relation is described differently. */
int pg_relations_decode(struct pg_relations *r, struct mf_cursor *in, const struct mf_table **ret, bool *ret_news,
                        struct mf_error *err);

#endif
