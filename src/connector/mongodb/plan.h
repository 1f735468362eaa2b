/* Cutting a collection into chunks. */
#ifndef MF_CONNECTOR_MONGODB_PLAN_H
#define MF_CONNECTOR_MONGODB_PLAN_H

#include "connector/mongodb/mongo_room.h"

#define MONGO_CHUNKS_MAX 100000

/* Which of `ids`, in order, that come are bounds of `chunks` chunks: true for the i-th (from 0). Pure. */
bool mongo_is_bound(uint64_t i, uint64_t ids, uint64_t chunks);

#endif
