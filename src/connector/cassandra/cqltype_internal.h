/* Making types, whatever they are read from. */
#ifndef MF_CONNECTOR_CASSANDRA_CQLTYPE_INTERNAL_H
#define MF_CONNECTOR_CASSANDRA_CQLTYPE_INTERNAL_H

#include "connector/cassandra/cqlvalue.h"

#define CQL_CLASSES "org.apache.cassandra.db.marshal."

/* The bounds of one type that is being read, and where it goes. */
struct cql_making {
    struct mf_arena *arena;
    unsigned depth, parts;
    bool full; /* the arena is */
};

/* One more type within the bounds: NULL when there are too many or they are too deep, or the arena is full. Its depth is left by cql_type_leave. */
struct cql_type *cql_type_enter(struct cql_making *m, enum cql_kind kind, uint32_t nsub);
void cql_type_leave(struct cql_making *m);
/* The array that cql_type_enter made for its parts. */
static inline const struct cql_type **cql_type_subs(struct cql_type *t)
{
    return (const struct cql_type **)(uintptr_t)t->sub;
}

/* As cql_type_of_class, as a part of a larger type; NULL: malformed, or past the bounds. */
const struct cql_type *cql_type_in_class(struct cql_making *m, const char *name, size_t n);

/* A kind that has no parts by its name in CQL ("varchar" is text), or by its class's. False: none. */
bool cql_kind_of_name(const char *name, size_t n, enum cql_kind *ret);
bool cql_kind_of_class(const char *name, size_t n, enum cql_kind *ret);
/* A name as CQL writes it: in double quotes where it needs them. */
void cql_name_put(struct mf_buf *b, const char *name);

#endif
