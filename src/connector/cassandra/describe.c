/* What is here in the model's terms: columns and the primary key are all there is. What else a table may have (indexes, views, triggers) is told. */
#include "connector/cassandra/cass.h"
#include "connector/cassandra/catalog.h"
#include "connector/cassandra/make.h"
#include "model/schema_build.h"

#include "base/str.h"

static void take_key(struct mf_schema_build *b, const struct mf_table *own, struct mf_schema_table *t)
{
    struct mf_schema_index_column *columns = mf_schema_array(b, own->nkey, sizeof *columns);
    struct mf_schema_index *x = mf_schema_array(b, 1, sizeof *x);
    if (b->full) {
        return;
    }
    for (uint16_t i = 0; i < own->nkey; i++) {
        columns[i].column = own->key[i];
    }
    *x = (struct mf_schema_index){
        .name = "primary", .unique = true, .primary = true, .is_key = true, .n = own->nkey, .columns = columns};
    t->indexes = x;
    t->nindexes = 1;
    t->npartition = own->npartition;
}

struct leaving {
    struct mf_schema_build *b;
    struct mf_arena *arena;
    const char *what, *why;
};

/* keyspace, table, name of something */
static int leave(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct leaving *l = ctx;
    const char *keyspace = cass_look_text(l->arena, cells[0]), *table = cass_look_text(l->arena, cells[1]),
               *name = cass_look_text(l->arena, cells[2]);
    (void)err;
    if (!keyspace || !table || !name) {
        l->b->full = true;
    } else if (mf_schema_find(l->b->schema, keyspace, table)) {
        mf_schema_leave(l->b, l->why, NULL, "%s %s of table %s.%s", l->what, name, keyspace, table);
    }
    return 0;
}

static int leave_all(struct mf_cql *c, struct mf_schema_build *b, struct mf_error *err)
{
    struct leaving l = {
        .b = b, .arena = &b->schema->arena, .what = "index", .why = "it is an index of Cassandra's own"};
    if (cass_look(c, "SELECT keyspace_name, table_name, index_name FROM system_schema.indexes", 3, 0, leave, &l, err)) {
        return -1;
    }
    l.what = "materialized view";
    l.why = "the server keeps it, and here nobody would";
    if (cass_look(c, "SELECT keyspace_name, base_table_name, view_name FROM system_schema.views", 3, 0, leave, &l,
                  err)) {
        return -1;
    }
    l.what = "trigger";
    l.why = "it is Java";
    return cass_look(c, "SELECT keyspace_name, table_name, trigger_name FROM system_schema.triggers", 3, 0, leave, &l,
                     err)
               ? -1
               : 0;
}

int cass_describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err)
{
    struct mf_schema schema = {0};
    struct mf_schema_build b;
    struct mf_type **types = NULL;
    mf_arena_init(&schema.arena, MF_SCHEMA_BYTES);
    int rc = cass_canon_types(db, own, &schema.arena, &types, err);
    if (rc == 0) {
        mf_schema_begin(&b, &schema, own, types);
        for (size_t i = 0; i < schema.ntables && !b.full; i++) {
            take_key(&b, &own->tables[i], &schema.tables[i]);
        }
        rc = leave_all(cass_db_of(db)->cql, &b, err) < 0 ? -1 : mf_schema_end(&b, err);
    }
    if (rc < 0) {
        mf_error_prefix(err, "reading the schema");
        mf_schema_free(&schema);
        return -1;
    }
    *ret = schema;
    return 0;
}

const char *cass_default_schema(struct mf_db *db)
{
    const char *keyspace = cass_db_of(db)->keyspace;
    return keyspace[0] ? keyspace : NULL;
}
