#ifndef MF_MAP_INTERNAL_H
#define MF_MAP_INTERNAL_H

#include "map/map.h"

#include <pthread.h>
#include <stdatomic.h>

/* One relation version that was resolved. */
struct map_version {
    const struct mf_table *seen; /* copied */
    struct mf_map_rel rel;
    struct map_version *next;
};

struct map_table {
    const struct mf_table *origin;  /* as planned; replaced by accept */
    const struct mf_table *replica; /* NULL: none of that name */
    struct map_version *versions;
};

struct mf_map {
    enum mf_on_ddl on_ddl; /* constant */
    _Atomic uint64_t edition;
    pthread_mutex_t mu;    /* guards everything below */
    struct mf_arena arena; /* owns all shapes; nothing is freed before the map is */
    struct map_table *tables;
    size_t n, cap;
};

struct map_table *mf_map_find(struct mf_map *m, const struct mf_table *t);
/* The planned table that has this id in the origin, under whatever name now. */
struct map_table *mf_map_by_id(struct mf_map *m, uint32_t id);
bool mf_map_same_shape(const struct mf_table *a, const struct mf_table *b);
/* The planned shape computes this column, so it does not travel. */
bool mf_map_computed(const struct mf_table *planned, const struct mf_column *c);

#endif
