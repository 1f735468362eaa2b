/* Opening both sides. Their tables of operations are those of what is behind, with the ones that get a database or a table of it turned (ends.c, norm.c). */
#include "connector/shred/internal.h"

#include "base/mem.h"

#include <stdlib.h>

static void close_shown(struct mf_db *db)
{
    struct docs_db *s = docs_of(db);
    if (s) {
        s->own->connector->close(s->own);
        free((void *)s->schema);
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
static const char *default_schema(struct mf_db *own, struct mf_db *source)
{
    struct mf_db *here = mf_db_behind(own), *there = mf_db_behind(source);
    const char *is = here->connector->canon ? here->connector->canon->default_schema(here) : NULL;
    const char *shown = is && there && there->connector->canon ? there->connector->canon->default_schema(there) : NULL;
    return shown ? shown : is ? is : "";
}

int mf_shred_open(struct mf_db *own, const struct mf_shred *map, struct mf_db *source, bool keep_old,
                  struct mf_db **ret, struct mf_error *err)
{
    if (!own->connector->describe) {
        own->connector->close(own);
        return mf_fail(err, MF_FATAL, "MFBUG", "documents are made of what is behind a face");
    }
    struct docs_db *s = show(own, map);
    s->schema = mf_xstrdup(default_schema(own, source));
    s->keep_old = keep_old;
    s->connector.shows_newer = true;     /* the stream reads documents after their COMMIT */
    s->connector.reads_unordered = true; /* its chunks are cut by its own tables' keys */
    s->connector.describe = NULL;
    docs_fill_ops(s);
    *ret = &s->base;
    return 0;
}

int mf_norm_open(struct mf_db *own, const struct mf_shred *map, struct mf_db **ret, struct mf_error *err)
{
    (void)err;
    struct docs_db *s = show(own, map);
    s->connector.commits_can_wait = own->connector->commits_can_wait;
    docs_norm_ops(s);
    *ret = &s->base;
    return 0;
}
