/* The source's operations that look at the catalogue: see connector.h. */
#include "connector/cassandra/catalog.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/cass.h"

#include <stdio.h>

int cass_catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return cass_catalog_read(cass_db_of(db)->cql, filter, true, ret, err);
}

int cass_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return cass_catalog_read(cass_db_of(db)->cql, filter, false, ret, err);
}

/* Nothing can be renamed here. */
int cass_what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                     struct mf_error *err)
{
    struct mf_catalog now = {0};
    if (cass_catalog_read(cass_db_of(db)->cql, NULL, false, &now, err) < 0) {
        return -1;
    }
    const struct mf_table *same = mf_catalog_by_id(&now, t->id), *other = mf_catalog_find(&now, t->schema, t->name);
    *ret_dropped = same == NULL;
    if (same) {
        snprintf(ret, n, "is there as %s.%s", same->schema, same->name);
    } else {
        snprintf(ret, n, "%s", other ? "was dropped, and another was made under its name" : "was dropped");
    }
    mf_catalog_free(&now);
    return 0;
}

int cass_shape_same(struct mf_reader *r, const struct mf_table *t, struct mf_error *err)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    struct mf_table *now = NULL;
    mf_arena_init(&arena, (size_t)16 << 20);
    return cass_table_read(cass_db_of(r->db)->cql, t->schema, t->name, &arena, &now, err) < 0
               ? -1
               : cass_shape_agrees(now, t, err);
}
