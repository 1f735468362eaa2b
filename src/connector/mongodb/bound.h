/* Ranges of `_id`: bounds of chunks as texts, and what finds the documents between two of them. Pure.
 *
 * The server orders ids of all types: MinKey, null, numbers, strings, documents, arrays, binary, ObjectIds, booleans, dates, timestamps, regular
 * expressions, (DBPointer, code,) MaxKey. But `{_id: {$gte: x}}` finds those alone that are of x's own place in this order ("type bracketing"), and of numbers not
 * NaN, which comes before the others. So a range that goes over several places is said as $or: from the lower bound to the end of its place, the types in between,
 * and what is before the upper bound in its place. Each of these is a range of the _id index. $expr compares across types, but only 5.0 finds
 * that in the index; min and max are for the servers among themselves; and what speaks the protocol and is not MongoDB knows neither.
 * https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/ */
#ifndef MF_CONNECTOR_MONGODB_BOUND_H
#define MF_CONNECTOR_MONGODB_BOUND_H

#include "connector/types.h"

#include <bson/bson.h>

/* Who is asked. */
enum mongo_speaks {
    MONGO_GENUINE, /* ids of any type may be bounds */
    MONGO_FERRET,  /* knows fewer types and no NaN: a connection that says one is closed */
    MONGO_OTHER, /* only of numbers, strings and ObjectIds is it known that it compares them in the order it sorts by */
};

/* The place of a type in the order; -1: no id has it. */
int mongo_bracket(bson_type_t type);
/* The id as the text of a bound; false: it makes none (too long, of a type with few values, or the text would be read as something else). */
bool mongo_bound_put(enum mongo_speaks who, const bson_iter_t *id, char out[MF_CHUNK_BOUND]);
/* Back: a document whose only field is the id. MF_FATAL MFCHUNK: it is no bound of ours. */
int mongo_bound_get(const char *text, bson_t *ret, struct mf_error *err);
/* The filter that finds the chunk's documents, appended to ret as its fields (none: all documents). */
int mongo_range_filter(enum mongo_speaks who, const struct mf_chunk *c, bson_t *ret, struct mf_error *err);

#endif
