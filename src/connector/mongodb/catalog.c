/* The catalogue: each collection is a table of two columns (mf_bson_table). */
#include "connector/mongodb/catalog.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATALOG_BYTES ((size_t)256 << 20)
#define DATABASES_MAX 10000
#define WAS_MAX       200000 /* collections that are remembered */

/* A collection that a catalogue gave: under which name, and which it was. */
struct mongo_was {
    uint32_t id;
    uint8_t uuid[16];
};

/* ---- collections ---- */

struct listing {
    const struct mf_filter *filter;
    const char *database;
    mongo_found_fn *found;
    void *ctx;
    char name[MONGO_NAME];
};

static void take_uuid(const bson_t *d, struct mongo_found *f)
{
    bson_iter_t at, uuid;
    const uint8_t *bytes;
    uint32_t n;
    bson_subtype_t subtype;
    if (bson_iter_init(&at, d) && bson_iter_find_descendant(&at, "info.uuid", &uuid) && BSON_ITER_HOLDS_BINARY(&uuid)) {
        bson_iter_binary(&uuid, &subtype, &n, &bytes);
        f->has_uuid = n == sizeof f->uuid;
        memcpy(f->uuid, bytes, f->has_uuid ? sizeof f->uuid : 0);
    }
}

static void take_collection(const bson_t *d, struct mongo_found *f)
{
    char type[32];
    mongo_text(d, "type", type, sizeof type);
    f->kind = strcmp(type, "view") == 0         ? MONGO_IS_VIEW
              : strcmp(type, "timeseries") == 0 ? MONGO_IS_SERIES
                                                : MONGO_IS_TABLE;
    f->capped = mongo_true(d, "options.capped");
    f->collation = mongo_has(d, "options.collation");
    f->images = mongo_true(d, "options.changeStreamPreAndPostImages.enabled");
    f->without_id_index = mongo_has(d, "options.autoIndexId") && !mongo_true(d, "options.autoIndexId");
    take_uuid(d, f);
}

static int one_found(void *ctx, const bson_t *d, struct mf_error *err)
{
    struct listing *l = ctx;
    struct mongo_found f = {.database = l->database, .name = l->name};
    mongo_text(d, "name", l->name, sizeof l->name);
    if (!l->name[0] || mf_starts_with(l->name, "system.") || !mf_filter_match(l->filter, l->database, l->name)) {
        return 0;
    }
    take_collection(d, &f);
    return l->found(l->ctx, &f, err);
}

static int list(struct mongo_db *db, const char *database, const char *name, mongo_each_fn *each, void *ctx,
                struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t filter, cursor;
    BSON_APPEND_INT32(&c, "listCollections", 1);
    if (name) {
        BSON_APPEND_DOCUMENT_BEGIN(&c, "filter", &filter);
        BSON_APPEND_UTF8(&filter, "name", name);
        bson_append_document_end(&c, &filter);
    }
    BSON_APPEND_DOCUMENT_BEGIN(&c, "cursor", &cursor);
    bson_append_document_end(&c, &cursor);
    if (mongo_each(db, MONGO_PRIMARY, database, &c, each, ctx, err) < 0) {
        mf_error_prefix(err, "listing the collections of %s", database);
        return -1;
    }
    return 0;
}

/* ---- databases ---- */

static bool is_servers(const char *database)
{
    return mf_streq(database, "admin") || mf_streq(database, "local") || mf_streq(database, "config") ||
           mf_streq(database, MONGO_BOOK);
}

/* Only the URL's database is meant by a pattern that does not name one. "\1" is no database's name. */
static bool names_database(const struct mf_filter *filter, const char *database, const char *name)
{
    return filter && filter->ninclude && mf_filter_match(filter, database, name) &&
           !mf_filter_match(filter, "\1", name);
}

struct elsewhere {
    struct mongo_db *db;
    const struct mf_filter *filter;
    mongo_found_fn *found;
    void *ctx;
};

static int found_elsewhere(void *ctx, const struct mongo_found *f, struct mf_error *err)
{
    struct elsewhere *e = ctx;
    return names_database(e->filter, f->database, f->name) || !e->db->database[0] ? e->found(e->ctx, f, err) : 0;
}

static int list_elsewhere(struct elsewhere *e, const char *database, struct mf_error *err)
{
    struct listing l = {.filter = e->filter, .database = database, .found = found_elsewhere, .ctx = e};
    return is_servers(database) || mf_streq(database, e->db->database)
               ? 0
               : list(e->db, database, NULL, one_found, &l, err);
}

static int list_databases(struct elsewhere *e, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply;
    char path[40], name[MONGO_NAME];
    BSON_APPEND_INT32(&c, "listDatabases", 1);
    BSON_APPEND_BOOL(&c, "nameOnly", true);
    if (mongo_command(e->db, NULL, MONGO_PRIMARY, "admin", &c, &reply, err) < 0) {
        mf_error_prefix(err, "listing the databases");
        return -1;
    }
    int rc = 0;
    for (int i = 0; rc == 0 && i < DATABASES_MAX; i++) {
        snprintf(path, sizeof path, "databases.%d.name", i);
        if (!mongo_has(&reply, path)) {
            break;
        }
        mongo_text(&reply, path, name, sizeof name);
        rc = list_elsewhere(e, name, err);
    }
    bson_destroy(&reply);
    return rc;
}

int mongo_collections(struct mongo_db *db, const struct mf_filter *filter, mongo_found_fn *found, void *ctx,
                      struct mf_error *err)
{
    struct elsewhere e = {db, filter, found, ctx};
    struct listing l = {.filter = filter, .database = db->database, .found = found, .ctx = ctx};
    bool others = !db->database[0] || (filter && filter->ninclude);
    return (db->database[0] && list(db, db->database, NULL, one_found, &l, err) < 0) ||
                   (others && list_databases(&e, err) < 0)
               ? -1
               : 0;
}

struct looked_up {
    struct mongo_found *ret;
    bool there;
};

static int take_one(void *ctx, const bson_t *d, struct mf_error *err)
{
    struct looked_up *l = ctx;
    char name[MONGO_NAME];
    (void)err;
    mongo_text(d, "name", name, sizeof name);
    if (mf_streq(name, l->ret->name)) {
        take_collection(d, l->ret);
        l->there = true;
    }
    return 0;
}

int mongo_collection(struct mongo_db *db, const char *database, const char *name, struct mongo_found *ret,
                     bool *ret_there, struct mf_error *err)
{
    struct mongo_found f = {.database = database, .name = name};
    struct looked_up l = {.ret = &f};
    if (list(db, database, name, take_one, &l, err) < 0) {
        return -1;
    }
    *ret = f;
    *ret_there = l.there;
    return 0;
}

/* ---- figures ---- */

int mongo_figures(struct mongo_db *db, const char *database, const char *name, int64_t *ret_rows, int64_t *ret_bytes,
                  struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t reply;
    BSON_APPEND_UTF8(&c, "collStats", name);
    *ret_rows = -1;
    *ret_bytes = 0;
    if (mongo_command(db, NULL, MONGO_ANYWHERE, database, &c, &reply, err) < 0) {
        if (err->cls == MF_RETRY) {
            return -1;
        }
        mf_error_clear(err); /* a right that we lack, or a command that is not known: check says so */
        return 0;
    }
    *ret_rows = mongo_int(&reply, "count", -1);
    *ret_bytes = mongo_int(&reply, "size", 0);
    bson_destroy(&reply);
    return 0;
}

/* ---- the catalogue ---- */

static void remember(struct mongo_db *db, uint32_t id, const struct mongo_found *f)
{
    MF_LOCK_SCOPE(&db->lock);
    size_t i = 0;
    while (i < db->nwas && db->was[i].id != id) {
        i++;
    }
    if (i == db->nwas) {
        if (db->nwas == WAS_MAX) {
            return;
        }
        if (db->nwas == db->was_cap) {
            db->was_cap = db->was_cap ? 2 * db->was_cap : 64;
            db->was = mf_xreallocarray(db->was, db->was_cap, sizeof *db->was);
        }
        db->nwas++;
    }
    db->was[i].id = id;
    memcpy(db->was[i].uuid, f->uuid, sizeof f->uuid);
}

struct building {
    struct mongo_db *db;
    struct mf_catalog *cat;
    bool figures;
    size_t cap;
};

static int same_number(const struct mf_table *a, const struct mf_table *b, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFNAMES", "collections %s.%s and %s.%s have names of which we make the same number",
            a->schema, a->name, b->schema, b->name);
    mf_hint(err, "exclude one of them, or rename it");
    return -1;
}

static int add_table(void *ctx, const struct mongo_found *f, struct mf_error *err)
{
    struct building *b = ctx;
    struct mf_catalog *cat = b->cat;
    if (f->kind != MONGO_IS_TABLE) {
        return 0;
    }
    const struct mf_table *t = mf_bson_table(&cat->arena, f->database, f->name);
    if (t && cat->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct mf_table *more = mf_alloc_array(&cat->arena, cap, sizeof *more);
        if (more && cat->n) {
            memcpy(more, cat->tables, cat->n * sizeof *more);
        }
        cat->tables = more;
        b->cap = cap;
    }
    if (!t || !cat->tables) {
        return mf_fail(err, MF_FATAL, "MFBIG", "there are too many collections to remember them all");
    }
    for (size_t i = 0; i < cat->n; i++) {
        if (cat->tables[i].id == t->id) {
            return same_number(&cat->tables[i], t, err);
        }
    }
    struct mf_table *at = &cat->tables[cat->n++];
    *at = *t;
    at->rows_estimate = -1;
    at->bytes = 0;
    if (f->has_uuid) {
        remember(b->db, t->id, f);
    }
    return b->figures ? mongo_figures(b->db, f->database, f->name, &at->rows_estimate, &at->bytes, err) : 0;
}

static int read_catalog(struct mf_db *base, const struct mf_filter *filter, bool figures, struct mf_catalog *ret,
                        struct mf_error *err)
{
    struct mf_catalog cat = {0};
    struct building b = {.db = mongo_db_of(base), .cat = &cat, .figures = figures};
    mf_arena_init(&cat.arena, CATALOG_BYTES);
    if (mongo_collections(b.db, filter, add_table, &b, err) < 0) {
        mf_catalog_free(&cat);
        return -1;
    }
    *ret = cat;
    return 0;
}

int mongo_catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_catalog(db, filter, true, ret, err);
}

int mongo_shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return read_catalog(db, filter, false, ret, err);
}

/* ---- what became of one ---- */

struct searching {
    uint8_t uuid[16];
    char name[MONGO_NAME]; /* "" not found */
};

static int same_uuid(void *ctx, const bson_t *d, struct mf_error *err)
{
    struct searching *s = ctx;
    struct mongo_found f = {0};
    (void)err;
    take_uuid(d, &f);
    if (f.has_uuid && memcmp(f.uuid, s->uuid, sizeof s->uuid) == 0) {
        mongo_text(d, "name", s->name, sizeof s->name);
    }
    return 0;
}

static bool recall(struct mongo_db *db, uint32_t id, uint8_t uuid[16])
{
    MF_LOCK_SCOPE(&db->lock);
    for (size_t i = 0; i < db->nwas; i++) {
        if (db->was[i].id == id) {
            memcpy(uuid, db->was[i].uuid, 16);
            return true;
        }
    }
    return false;
}

int mongo_what_became(struct mf_db *base, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                      struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    struct mongo_found now;
    struct searching s = {.name = ""};
    bool there = false, known = recall(db, t->id, s.uuid);
    if (mongo_collection(db, t->schema, t->name, &now, &there, err) < 0 ||
        (known && list(db, t->schema, NULL, same_uuid, &s, err) < 0)) {
        return -1;
    }
    bool same = there && now.kind == MONGO_IS_TABLE &&
                (!known || !now.has_uuid || memcmp(now.uuid, s.uuid, sizeof s.uuid) == 0);
    *ret_dropped = !same && !s.name[0];
    if (same) {
        snprintf(ret, n, "is there");
    } else if (s.name[0]) {
        snprintf(ret, n, "was renamed to %s.%s", t->schema, s.name);
    } else if (there) {
        snprintf(ret, n, "was dropped, and %s was made under its name",
                 now.kind == MONGO_IS_TABLE ? "another" : "what is no collection");
    } else {
        snprintf(ret, n, "was dropped");
    }
    return 0;
}
