/* Opening a view. Its tables of operations are those of what is behind, with the ones that get a database or a table of it turned (ends.c). */
#include "connector/view/internal.h"

#include "base/mem.h"

#include <stdlib.h>

static void close_view(struct mf_db *db)
{
    struct view_db *v = view_of(db);
    if (v) {
        free(v->unseen.ids);
        v->own->connector->close(v->own);
        free(v);
    }
}

static int facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err)
{
    struct mf_db *own = view_of(db)->own;
    return own->connector->facts(own, ret, err);
}

static struct mf_db *behind(struct mf_db *db)
{
    return view_of(db)->own;
}

/* What is looked up is newer than the position it is told at, which only a target that keeps the last write gets over. */
static int parents_go(const struct mf_query_map *map, bool last_write_wins, struct mf_error *err)
{
    size_t line = mf_query_map_parents(map);
    return !line || last_write_wins
               ? 0
               : view_fail(map, line, err,
                           "a column of another table can be kept right only on a target that keeps the last write of "
                           "each value (Cassandra)");
}

int mf_view_open(struct mf_db *own, const struct mf_query_map *map, const struct mf_connector *to, struct mf_db **ret,
                 struct mf_error *err)
{
    struct view_db *v = mf_xcalloc(1, sizeof *v);
    struct mf_catalog shown = {0};
    v->own = own;
    v->map = map;
    v->from = mf_db_behind(own)->connector->canon;
    v->to = to ? to->canon : NULL;
    v->connector = *own->connector;
    v->source = *own->connector->source;
    v->target = *own->connector->target;
    v->traffic = *own->connector->traffic;
    view_fill_ops(v);
    v->connector.can_target = false; /* rows of query tables do not go back */
    v->connector.wire = NULL;
    v->connector.retells = mf_query_map_parents(map) != 0;
    v->connector.close = close_view;
    v->connector.facts = facts;
    v->connector.source = &v->source;
    v->connector.target = &v->target;
    v->connector.traffic = &v->traffic;
    v->connector.behind = behind;
    v->connector.describe = view_describe;
    v->base = (struct mf_db){.connector = &v->connector, .side = own->side};
    if (!own->connector->describe) {
        close_view(&v->base);
        return mf_fail(err, MF_FATAL, "MFBUG", "query tables are shown of what is behind a face");
    }
    if (parents_go(map, to && to->last_write_wins, err) < 0 ||
        view_catalog_read(v, VIEW_SHAPES, NULL, &shown, err) < 0) {
        close_view(&v->base);
        return -1;
    }
    mf_catalog_free(&shown);
    *ret = &v->base;
    return 0;
}
