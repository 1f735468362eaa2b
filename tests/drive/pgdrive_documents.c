/* The commands of pgdrive about documents: the target is shown as the collections of a map (connector/shred), which the environment's MIDFLIGHT_TEST_MAP names as a config
 * file. Documents are extended JSON; in rows a value may be {"doc": "…"}, its bytes, or {"id": "…"}, the text of the document's id. */
#include "pgdrive.h"

#include <bson/bson.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "change/bookkeeping.h"
#include "config/config.h"
#include "connector/face/face.h"
#include "connector/row_digest.h"
#include "connector/shred/shred.h"

static struct mf_shred *map;
static struct mf_config *config;
static struct mf_stream *stream;

static void die(const struct mf_error *err)
{
    fprintf(stderr, "%s: %s\n", err->code, err->text);
    exit(1);
}

struct mf_db *pd_show_documents(struct mf_db *db)
{
    const char *file = getenv("MIDFLIGHT_TEST_MAP");
    struct mf_error err = {0};
    struct mf_db *face = NULL, *shown = NULL;
    if (!file) {
        return db;
    }
    if (mf_config_load(file, &config, &err) < 0 || mf_shred_compile(config->documents, &map, &err) < 0 ||
        mf_face_open(db, NULL, &face, &err) < 0 ||
        mf_shred_open(face, map, NULL, getenv("MIDFLIGHT_TEST_KEEP") != NULL, &shown, &err) < 0) {
        die(&err);
    }
    return shown;
}

void pd_documents_end(struct mf_db *db)
{
    if (stream) {
        db->connector->source->stream_close(stream);
    }
}

/* ---- documents ---- */

static struct mf_value bytes_of(const char *json)
{
    bson_error_t e;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    if (!b) {
        fprintf(stderr, "%s: %s\n", json, e.message);
        abort();
    }
    struct mf_value v = {.kind = MF_BINARY, .len = b->len};
    v.data = mf_memdup_a(&pd_arena, bson_get_data(b), b->len);
    bson_destroy(b);
    return v;
}

bool pd_document_value(const json_t *v, struct mf_value *ret)
{
    struct mf_error err = {0};
    const char *doc = json_string_value(json_object_get(v, "doc")), *id = json_string_value(json_object_get(v, "id"));
    if (!doc && !id) {
        return false;
    }
    struct mf_value bytes = bytes_of(doc ? doc : id);
    if (doc) {
        *ret = bytes;
    } else if (mf_bson_id_of(&pd_arena, &bytes, ret, &err) < 0) {
        die(&err);
    }
    return true;
}

static json_t *json_document(const struct mf_value *v)
{
    bson_t b;
    if (v->kind != MF_BINARY || !bson_init_static(&b, (const uint8_t *)v->data, v->len)) {
        return v->kind == MF_UNCHANGED ? json_null() : json_pack("{s:s%}", "refused", v->data, (size_t)v->len);
    }
    size_t n = 0;
    char *text = bson_as_canonical_extended_json(&b, &n);
    json_t *ret = json_stringn(text, n);
    bson_free(text);
    return ret;
}

static const struct mf_shred_collection *collection(const json_t *o)
{
    return mf_shred_find(map, pd_text(o, "database"), pd_text(o, "collection"));
}

static const struct mf_table *shape(const json_t *o)
{
    return mf_bson_table(&pd_arena, pd_text(o, "database"), pd_text(o, "collection"));
}

/* ---- the schema ---- */

static int do_make(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_db *real = mf_db_behind(db);
    struct mf_findings *found = mf_findings_new();
    struct mf_schema s = {0};
    int rc = 0;
    (void)o, (void)reply;
    mf_arena_init(&s.arena, 64u << 20);
    for (size_t i = 0; rc == 0 && i < mf_shred_count(map); i++) {
        rc = mf_shred_describe(mf_shred_at(map, i), &s, err);
    }
    mf_schema_rename(&s, "", real->connector->canon->default_schema(real));
    for (int stage = MF_SCHEMA_BEFORE_ROWS; rc == 0 && stage <= MF_SCHEMA_AFTER_SYNC; stage++) {
        rc = real->connector->canon->make(real, &s, (enum mf_schema_stage)stage, 1, found, NULL, err);
    }
    mf_schema_free(&s);
    mf_findings_free(found);
    return rc;
}

/* ---- reading ---- */

static int list_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    json_array_append_new(
        ctx, json_pack("[s%, o]", row->values[0].data, (size_t)row->values[0].len, json_document(&row->values[1])));
    return 0;
}

struct reading {
    struct mf_reader *r;
    const struct mf_table *t;
    json_t *rows, *digests;
    size_t chunks;
    struct mf_chunk *list;
};

static int keep_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    struct reading *g = ctx;
    (void)err;
    g->list = mf_xreallocarray(g->list, g->chunks + 1, sizeof *g->list);
    g->list[g->chunks++] = *c;
    return 0;
}

static json_t *json_digest(const struct mf_digest *d)
{
    char text[64];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, d->lane1, d->lane2);
    return json_string(text);
}

static int list_digest(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    (void)err;
    char *id = mf_xmemdup(key->values[0].data, key->values[0].len);
    json_object_set_new(ctx, id, json_digest(d));
    free(id);
    return 0;
}

static int read_all(struct mf_db *db, struct reading *g, const json_t *o, struct mf_error *err)
{
    const struct mf_source_ops *ops = db->connector->source;
    struct mf_position after;
    int64_t rows = json_object_get(o, "rows") ? pd_number(o, "rows") : 1000000;
    int rc = ops->chunk_plan(g->r, g->t, rows, INT64_MAX / 2, keep_chunk, g, err);
    for (size_t i = 0; rc == 0 && i < g->chunks; i++) {
        rc = ops->chunk_rows(g->r, g->t, &g->list[i], list_row, g->rows, &after, err) < 0 ||
                     ops->digest_rows(g->r, g->t, &g->list[i], list_digest, g->digests, err) < 0
                 ? -1
                 : 0;
    }
    return rc;
}

/* All documents, with their digests; or those with these ids. */
static int do_documents(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_source_ops *ops = db->connector->source;
    const json_t *ids = json_object_get(o, "ids");
    struct reading g = {.t = shape(o), .rows = json_array(), .digests = json_object()};
    struct mf_position after;
    json_object_set_new(reply, "documents", g.rows);
    json_object_set_new(reply, "digests", g.digests);
    if (ops->reader_open(db, NULL, &g.r, err) < 0) {
        return -1;
    }
    size_t n = json_array_size(ids);
    struct mf_row *keys = pd_zeroed((n + 1) * sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_pack("[O, {}]", json_array_get(ids, i));
        keys[i] = pd_row_of(row);
        json_decref(row);
    }
    int rc = ids ? ops->read_rows(g.r, g.t, keys, n, list_row, g.rows, &after, err) : read_all(db, &g, o, err);
    json_object_set_new(reply, "chunks", json_integer((json_int_t)g.chunks));
    ops->reader_close(g.r);
    free(g.list);
    return rc;
}

/* The normal form of a document, and the digest that the source's side gives it. */
static int do_normal(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_value doc = bytes_of(pd_text(o, "document")), v[2];
    (void)db;
    if (mf_bson_id_of(&pd_arena, &doc, &v[0], err) < 0 ||
        mf_shred_normal(collection(o), &pd_arena, &doc, &v[1], err) < 0) {
        return -1;
    }
    struct mf_digest d = mf_row_digest(&(struct mf_row){.n = 2, .values = v});
    json_object_set_new(reply, "id", json_stringn(v[0].data, v[0].len));
    json_object_set_new(reply, "document", json_document(&v[1]));
    json_object_set_new(reply, "digest", json_digest(&d));
    return 0;
}

/* ---- the stream of the way back ---- */

static const struct mf_pipe_id back = {.migration = "test", .direction = MF_REVERSE};

static int do_follow(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_catalog c = {0};
    struct mf_position start;
    (void)o, (void)reply;
    int rc = db->connector->source->shapes(db, NULL, &c, err);
    rc = rc < 0 ? -1 : db->connector->source->stream_prepare(db, &back, &c, &start, err);
    rc = rc < 0 ? -1 : db->connector->source->stream_open(db, &back, &start, false, &stream, err);
    mf_catalog_free(&c);
    return rc;
}

static json_t *json_change(const struct mf_item *it)
{
    const struct mf_change *c = &it->change;
    if (it->cannot) {
        return json_pack("[s, s, s, s]", "cannot", it->cannot->code, it->cannot->text, it->cannot->hint);
    }
    if (c->op == MF_TRUNCATE) {
        return json_pack("[s, s]", "truncate", c->table->name);
    }
    const struct mf_row *row = c->op == MF_DELETE ? &c->old_row : &c->new_row;
    return json_pack("[s, s, s%, o]",
                     c->op == MF_DELETE   ? "delete"
                     : c->op == MF_UPDATE ? "update"
                                          : "insert",
                     c->table->name, row->values[0].data, (size_t)row->values[0].len, json_document(&row->values[1]));
}

struct telling {
    json_t *txns, *open; /* open: by the transaction's number */
    bool marked;
};

static void take_change(struct telling *t, const struct mf_item *it)
{
    char txn[32], marker[64];
    snprintf(txn, sizeof txn, "%" PRIu64, it->txn);
    enum mf_book book = mf_bookkeeping(it->change.table);
    if (book == MF_BOOK_HEARTBEAT) {
        t->marked |= mf_book_text(&it->change, "marker", marker, sizeof marker) == 0 && mf_streq(marker, "now");
        return;
    }
    json_t *list = json_object_get(t->open, txn);
    if (!list) {
        list = json_array();
        json_object_set_new(t->open, txn, list);
    }
    json_array_append_new(list, book == MF_BOOK_CHECKPOINT ? json_pack("[s]", "checkpoint") : json_change(it));
}

/* What the stream has up to now, as a list of transactions. */
static int do_told(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_source_ops *ops = db->connector->source;
    struct telling t = {.txns = json_array(), .open = json_object()};
    bool done = false;
    (void)o;
    json_object_set_new(reply, "transactions", t.txns);
    int rc = ops->heartbeat(db, &back, "now", NULL, err);
    for (int idle = 0; rc == 0 && !done && idle < 600;) {
        struct mf_item it;
        char txn[32];
        rc = ops->stream_next(stream, 100, &it, err);
        idle += rc == 0 && it.kind == MF_ITEM_NONE;
        snprintf(txn, sizeof txn, "%" PRIu64, it.txn);
        if (rc == 0 && it.kind == MF_ITEM_CHANGE) {
            take_change(&t, &it);
        } else if (rc == 0 && it.kind == MF_ITEM_ABORT && it.txn == it.subtxn) {
            json_object_del(t.open, txn);
        } else if (rc == 0 && it.kind == MF_ITEM_COMMIT) {
            if (json_object_get(t.open, txn)) {
                json_array_append(t.txns, json_object_get(t.open, txn));
                json_object_del(t.open, txn);
            }
            done = t.marked;
        }
    }
    json_decref(t.open);
    return rc == 0 && !done ? mf_fail(err, MF_FATAL, "MFTEST", "the marker did not come") : rc;
}

void pd_document_command(struct mf_db *db, const char *op, const json_t *o, json_t *reply, int *ret_rc,
                         struct mf_error *err)
{
    static const struct {
        const char *op;
        int (*run)(struct mf_db *db, const json_t *o, json_t *reply, struct mf_error *err);
    } commands[] = {
        {"make", do_make}, {"documents", do_documents}, {"normal", do_normal}, {"follow", do_follow}, {"told", do_told},
    };
    for (size_t i = 0; map && i < MF_ARRAY_LEN(commands); i++) {
        if (mf_streq(op, commands[i].op)) {
            mf_error_clear(err);
            *ret_rc = commands[i].run(db, o, reply, err);
        }
    }
}
