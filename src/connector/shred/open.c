/* Opening both sides. Their tables of operations are those of what is behind, with the ones that get a database or a table of it turned (ends.c, norm.c). */
#include "connector/shred/internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>

static void close_shown(struct mf_db *db)
{
    struct docs_db *s = docs_of(db);
    if (s) {
        s->own->connector->close(s->own);
        free(s->schema);
        free(s->own_schema);
        free(s);
    }
}

static int facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err)
{
    struct mf_db *own = docs_of(db)->own;
    return own->connector->facts(own, ret, err);
}

static struct mf_db *behind(struct mf_db *db)
{
    return docs_of(db)->own;
}

static struct docs_db *show(struct mf_db *own, const struct mf_shred *map)
{
    struct docs_db *s = mf_xcalloc(1, sizeof *s);
    s->own = own;
    s->map = map;
    s->connector = *own->connector;
    s->source = *own->connector->source;
    s->target = *own->connector->target;
    s->traffic = *own->connector->traffic;
    s->connector.wire = NULL;
    s->connector.commits_can_wait = false;
    s->connector.close = close_shown;
    s->connector.facts = facts;
    s->connector.source = &s->source;
    s->connector.target = &s->target;
    s->connector.traffic = &s->traffic;
    s->connector.behind = behind;
    s->base = (struct mf_db){.connector = &s->connector, .side = own->side};
    return s;
}

/* A face shows the target's default schema as the source's. */
static void take_schemas(struct docs_db *s, struct mf_db *source)
{
    struct mf_db *here = mf_db_behind(s->own), *there = mf_db_behind(source);
    const char *is = here->connector->canon ? here->connector->canon->default_schema(here) : NULL;
    const char *shown = is && there && there->connector->canon ? there->connector->canon->default_schema(there) : NULL;
    s->own_schema = mf_xstrdup(is ? is : "");
    s->schema = mf_xstrdup(shown ? shown : s->own_schema);
}

struct named {
    const struct mf_shred_collection *of;
    const struct mf_table *table;
};

/* The next table of the map in that schema; *i and *t: where to look from. */
static bool next_in(const struct mf_shred *map, const char *schema, size_t *i, uint16_t *t, struct named *ret)
{
    for (; *i < mf_shred_count(map); ++*i, *t = 0) {
        ret->of = mf_shred_at(map, *i);
        while (*t < ret->of->ntables) {
            ret->table = ret->of->tables[(*t)++].table;
            if (mf_streq(ret->table->schema, schema)) {
                return true;
            }
        }
    }
    return false;
}

/* One that is named with the schema and one that is named without may be the same: the map alone cannot tell. */
static int check_twice(const struct docs_db *s, struct mf_error *err)
{
    struct named a, b;
    size_t i = 0;
    for (uint16_t t = 0; *s->own_schema && next_in(s->map, s->own_schema, &i, &t, &a);) {
        size_t k = 0;
        for (uint16_t u = 0; next_in(s->map, "", &k, &u, &b);) {
            if (mf_streq(a.table->name, b.table->name)) {
                return mf_fail(err, MF_USAGE, "MFMAP",
                               "table %s.%s is made twice by the map: of %s.%s, and without its schema of %s.%s",
                               s->own_schema, a.table->name, a.of->database, a.of->collection, b.of->database,
                               b.of->collection);
            }
        }
    }
    return 0;
}

int mf_shred_open(struct mf_db *own, const struct mf_shred *map, struct mf_db *source, bool keep_old,
                  struct mf_db **ret, struct mf_error *err)
{
    if (!own->connector->describe) {
        own->connector->close(own);
        return mf_fail(err, MF_FATAL, "MFBUG", "documents are made of what is behind a face");
    }
    struct docs_db *s = show(own, map);
    take_schemas(s, source);
    s->keep_old = keep_old;
    if (check_twice(s, err) < 0) {
        close_shown(&s->base);
        return -1;
    }
    s->connector.shows_newer = true;     /* the stream reads documents after their COMMIT */
    s->connector.reads_unordered = true; /* its chunks are cut by its own tables' keys */
    s->connector.describe = NULL;
    docs_fill_ops(s);
    *ret = &s->base;
    return 0;
}

/* A name that is not there would migrate nothing, and nobody would be told. Those of other databases are looked for by whoever names them (tables.include). */
static int check_there(const struct docs_db *s, struct mf_error *err)
{
    static const struct mf_filter everything;
    struct mf_db *real = mf_db_behind(s->own);
    const char *database = real->connector->canon->default_schema(real);
    struct mf_catalog all = {0};
    int rc = s->own->connector->source->shapes(s->own, &everything, &all, err);
    for (size_t i = 0; rc == 0 && i < mf_shred_count(s->map); i++) {
        const struct mf_shred_collection *c = mf_shred_at(s->map, i);
        if (!mf_streq(c->database, database) || mf_catalog_find(&all, c->database, c->collection)) {
            continue;
        }
        MF_CLEANUP_FREE char *name = mf_xasprintf("%s.%s", c->database, c->collection);
        char label[300];
        const struct mf_table *near = mf_catalog_nearest(&all, name);
        rc = mf_fail(err, MF_USAGE, "MFMAP", "the map has a collection %s, which is not on the source%s%s%s", name,
                     near ? "; did you mean " : "", near ? mf_table_label(near, label, sizeof label) : "",
                     near ? "?" : "");
        mf_hint(err, "mend its name, or take it out of the map; one that is still to come must be made first "
                     "(db.createCollection). A migration that had it already: end it, with midflight cancel, or after "
                     "a cutover with midflight complete");
    }
    mf_catalog_free(&all);
    return rc;
}

int mf_norm_open(struct mf_db *own, const struct mf_shred *map, bool to_end, struct mf_db **ret, struct mf_error *err)
{
    struct docs_db *s = show(own, map);
    s->connector.commits_can_wait = own->connector->commits_can_wait;
    docs_norm_ops(s);
    if (!to_end && check_there(s, err) < 0) {
        close_shown(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}
