/* What connector/face shows this engine by (canon.h): an id is a text, a document is bytes, and neither is made anything else of. */
#include "connector/mongodb/mongo_room.h"

#include "connector/defaults.h"
#include "model/schema_build.h"

/* Of mf_bson_table: the first column is the id, the second the document. */
static void type_at(uint16_t i, struct mf_type *ret)
{
    *ret = (struct mf_type){.kind = i == 0 ? MF_KIND_TEXT : MF_KIND_BYTES};
}

static int types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                 struct mf_error *err)
{
    struct mf_type **of = mf_alloc_array(arena, own->n + 1, sizeof *of);
    (void)db;
    for (size_t i = 0; of && i < own->n; i++) {
        of[i] = mf_alloc_array(arena, own->tables[i].ncolumns + 1u, sizeof **of);
        for (uint16_t k = 0; of[i] && k < own->tables[i].ncolumns; k++) {
            type_at(k, &of[i][k]);
        }
        of = of[i] ? of : NULL;
    }
    if (!of) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the types of the collections need too much memory");
    }
    *ret = of;
    return 0;
}

static void type_of(const struct mf_column *own, struct mf_type *ret)
{
    type_at(own->in_key ? 0 : 1, ret);
}

static int as_it_is(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err)
{
    (void)t, (void)arena, (void)err;
    *ret = *in;
    return 0;
}

static int bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                     struct mf_error *err)
{
    (void)bound, (void)arena, (void)ret;
    return mf_fail(err, MF_FATAL, "MFCHUNK", "bounds of chunks of %s.%s mean nothing elsewhere", own->schema,
                   own->name);
}

static int bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err)
{
    (void)key, (void)ret;
    return mf_fail(err, MF_FATAL, "MFCHUNK", "%s.%s is not cut by keys of another database", own->schema, own->name);
}

static int describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err)
{
    struct mf_schema schema = {0};
    struct mf_schema_build b;
    struct mf_type **of = NULL;
    mf_arena_init(&schema.arena, MF_SCHEMA_BYTES);
    int rc = types(db, own, &schema.arena, &of, err);
    if (rc == 0) {
        mf_schema_begin(&b, &schema, own, of);
        rc = mf_schema_end(&b, err);
    }
    if (rc < 0) {
        mf_schema_free(&schema);
        return -1;
    }
    *ret = schema;
    return 0;
}

static int no_schema(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFUNSUP", "a MongoDB database has no schema that could be made");
}

static int make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
                struct mf_findings *out, struct mf_buf *plan, struct mf_error *err)
{
    (void)db, (void)schema, (void)stage, (void)jobs, (void)out, (void)plan;
    return no_schema(err);
}

static int add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      int64_t stamp, struct mf_error *err)
{
    (void)db, (void)t, (void)c, (void)stamp;
    return no_schema(err);
}

static void type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    (void)db, (void)t, (void)c, (void)ret_loss;
    mf_buf_puts(ret_type, "field");
}

static const char *default_schema(struct mf_db *db)
{
    const char *database = mongo_db_of(db)->database;
    return database[0] ? database : NULL;
}

const struct mf_canon_ops mongo_canon_ops = {
    .types = types,
    .type_of = type_of,
    .to_canon = as_it_is,
    .from_canon = as_it_is,
    .document = mf_default_document,
    .type_named = mf_default_type_named,
    .bound_get = bound_get,
    .bound_put = bound_put,
    .describe = describe,
    .make = make,
    .add_column = add_column,
    .type_here = type_here,
    .default_schema = default_schema,
};
