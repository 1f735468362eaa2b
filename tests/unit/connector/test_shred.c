/* Documents above tables in memory: whatever happens to documents, in whatever windows and with whatever call failing, the tables hold the rows of the documents there are. */
#include "mf_test.h"

#include <bson/bson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"
#include "connector/connector.h"
#include "connector/face/face.h"
#include "connector/memory/memory.h"
#include "connector/row_digest.h"
#include "connector/shred/shred.h"

#define MAP                                                                                                            \
    "source: mem://docs\ntarget: mem://rows\n"                                                                         \
    "map:\n"                                                                                                           \
    "  - collection: shop.users\n"                                                                                     \
    "    to: users\n"                                                                                                  \
    "    columns: [{path: _id, column: id, type: int}, {path: name, type: string(20)}]\n"                              \
    "    tables:\n"                                                                                                    \
    "      - path: tags\n"                                                                                             \
    "        to: tags\n"                                                                                               \
    "        missing: empty\n"                                                                                         \
    "        columns: [{path: t, type: string(9)}]\n"                                                                  \
    "        tables: [{path: n, to: numbers, missing: empty, columns: [{path: '.', column: n, type: int}]}]\n"

static const struct mf_mem_column users[] = {{.name = "id", .in_key = true}, {.name = "name", .text = true}},
                                  tags[] = {{.name = "users_id", .in_key = true},
                                            {.name = "position", .in_key = true},
                                            {.name = "t", .text = true}},
                                  numbers[] = {{.name = "users_id", .in_key = true},
                                               {.name = "tags_position", .in_key = true},
                                               {.name = "position", .in_key = true},
                                               {.name = "n"}};
static const char *const names[] = {"users", "tags", "numbers"};

struct shown {
    struct mf_mem_server *server;
    struct mf_config *config;
    struct mf_db *db;
    struct mf_pipe_id pipe;
    struct mf_applier *applier;
    struct mf_arena arena;
    const struct mf_table *table;
    uint64_t order;
    struct mf_error err;
};

static struct shown *open_shown(const char *name)
{
    struct shown *s = calloc(1, sizeof *s);
    struct mf_db *own = NULL, *face = NULL;
    MF_CLEANUP_FREE char *url = mf_xasprintf("mem://%s", name);
    struct mf_db_options o = {.url = url, .side = MF_TARGET};
    s->server = mf_mem_server_new(name);
    mf_mem_knobs(s->server)->default_schema = "public";
    mf_arena_init(&s->arena, (size_t)1 << 30);
    mf_strlcpy(s->pipe.migration, "m", sizeof s->pipe.migration);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "users", users, 2, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "tags", tags, 3, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "numbers", numbers, 4, &s->err), &s->err);
    assert_mf_ok(mf_config_parse(MAP, strlen(MAP), "m.yaml", NULL, &s->config, &s->err), &s->err);
    assert_mf_ok(mf_config_finish(s->config, &s->err), &s->err);
    const struct mf_connector *c = mf_connector_for_url(url, &s->err);
    assert_mf_ok(c->open(&o, &own, &s->err), &s->err);
    assert_mf_ok(mf_face_open(own, NULL, &face, &s->err), &s->err);
    assert_mf_ok(mf_shred_open(face, s->config->shred, NULL, false, &s->db, &s->err), &s->err);
    assert_mf_ok(s->db->connector->target->prepare(s->db, &s->pipe, &s->err), &s->err);
    s->table = mf_bson_table(&s->arena, "shop", "users");
    return s;
}

static void close_shown(struct shown *s)
{
    s->db->connector->target->applier_close(s->applier);
    s->db->connector->close(s->db);
    mf_config_free(s->config);
    mf_arena_free(&s->arena);
    mf_mem_server_free(s->server);
    free(s);
}

static int setup(void **state)
{
    *state = open_shown("rows");
    return 0;
}

static int teardown(void **state)
{
    close_shown(*state);
    return 0;
}

/* ---- documents ---- */

static struct mf_row document(struct shown *s, const char *json)
{
    struct mf_value *v = mf_alloc_array(&s->arena, 2, sizeof *v);
    bson_error_t e;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    if (!b) {
        fail_msg("%s: %s", json, e.message);
    }
    v[1] =
        (struct mf_value){.kind = MF_BINARY, .len = b->len, .data = mf_memdup_a(&s->arena, bson_get_data(b), b->len)};
    bson_destroy(b);
    assert_mf_ok(mf_bson_id_of(&s->arena, &v[1], &v[0], &s->err), &s->err);
    return (struct mf_row){.n = 2, .values = v};
}

static uint32_t chance(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

static struct mf_row any_document(struct shown *s, uint32_t *seed, unsigned id)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    mf_buf_printf(&b, "{\"_id\": %u, \"name\": \"n%u\", \"tags\": [", id, chance(seed, 3));
    for (uint32_t i = 0, n = chance(seed, 4); i < n; i++) {
        mf_buf_printf(&b, "%s{\"t\": \"%c\", \"n\": [", i ? "," : "", "abc"[chance(seed, 3)]);
        for (uint32_t k = 0, m = chance(seed, 4); k < m; k++) {
            mf_buf_printf(&b, "%s%u", k ? "," : "", chance(seed, 3));
        }
        mf_buf_puts(&b, "]}");
    }
    mf_buf_puts(&b, "]}");
    return document(s, mf_buf_str(&b));
}

/* ---- windows ---- */

#define MOST 16
struct change {
    enum mf_rowop op;
    struct mf_row row;
};

static int batch(struct shown *s, const struct change *list, size_t n)
{
    struct mf_rowchange c[MOST], *lists[3][MOST];
    struct mf_batch_table t = {.table = s->table, .deletes = lists[0], .updates = lists[1], .inserts = lists[2]};
    struct mf_batch b = {.ntables = 1, .tables = &t, .rows = n};
    for (size_t i = 0; i < n; i++) {
        bool gone = list[i].op == MF_ROW_DELETE, comes = list[i].op == MF_ROW_INSERT;
        c[i] = (struct mf_rowchange){.op = list[i].op, .count = 1};
        *(gone ? &c[i].old_row : &c[i].new_row) = list[i].row;
        lists[gone ? 0 : comes ? 2 : 1][gone ? t.ndeletes++ : comes ? t.ninserts++ : t.nupdates++] = &c[i];
    }
    return s->db->connector->target->window_batch(s->applier, &b, NULL, &s->err);
}

/* Each change in a batch of its own, or all of them in one. */
static int window(struct shown *s, const struct change *list, size_t n, bool apart, const struct mf_window_mode *mode)
{
    const struct mf_target_ops *ops = s->db->connector->target;
    struct mf_position at = {.order = ++s->order};
    int rc = s->applier ? 0 : ops->applier_open(s->db, &s->pipe, &s->applier, &s->err);
    rc = rc < 0 ? -1 : ops->window_begin(s->applier, &at, mode, &s->err);
    for (size_t i = 0; rc == 0 && i < (apart ? n : 1); i++) {
        rc = batch(s, apart ? list + i : list, apart ? 1 : n);
    }
    rc = rc < 0 ? -1 : ops->window_commit(s->applier, &s->err);
    if (rc < 0 && s->applier) {
        ops->window_abort(s->applier);
    }
    return rc;
}

static uint64_t digest(struct mf_mem_server *m)
{
    uint64_t h = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(names); i++) {
        h = h * 31 + mf_mem_table_digest(m, "public", names[i]);
    }
    return h;
}

static void load(struct shown *s, const struct mf_row *rows, size_t n)
{
    const struct mf_target_ops *ops = s->db->connector->target;
    struct mf_chunk_done done = {.table_id = 1, .schema = "shop", .table = "users", .rows = (int64_t)n};
    struct mf_loader *l = NULL;
    assert_mf_ok(ops->loader_open(s->db, &s->pipe, &l, &s->err), &s->err);
    assert_mf_ok(ops->load_begin(l, s->table, s->table, 1, &s->err), &s->err);
    assert_mf_ok(ops->load_rows(l, rows, n, &s->err), &s->err);
    assert_mf_ok(ops->load_commit(l, &done, &s->err), &s->err);
    ops->loader_close(l);
}

static const struct mf_window_mode strict = {0}, careful = {.careful = true}, fuzzy = {.fuzzy = true};

/* Some changes of documents that are there, or not; what there is afterwards is in now. */
static size_t some_changes(struct shown *s, uint32_t *seed, struct mf_row *now, bool *there, bool often,
                           struct change *ret)
{
    size_t n = 0, most = 1 + chance(seed, MOST - 1);
    uint32_t touched = 0;
    while (n < most) {
        uint32_t id = chance(seed, 12);
        if (!often && touched & 1u << id) {
            most--;
            continue;
        }
        touched |= 1u << id;
        bool goes = there[id] && chance(seed, 3) == 0;
        ret[n].op = goes ? MF_ROW_DELETE : there[id] ? MF_ROW_REPLACE : MF_ROW_INSERT;
        now[id] = goes ? now[id] : any_document(s, seed, id);
        ret[n++].row = now[id];
        there[id] = !goes;
    }
    return n;
}

static void random_edits_give_the_rows_of_a_fresh_load(void **state)
{
    struct shown *s = *state;
    const struct mf_window_mode *modes[] = {&strict, &careful, &fuzzy};
    for (uint32_t seed = 1; seed <= 60; seed++) {
        struct mf_row now[12] = {0}, kept[12];
        bool there[12] = {0};
        uint32_t r = seed;
        size_t n = 0;
        if (seed > 1) {
            teardown(state);
            setup(state);
            s = *state;
        }
        for (int step = 0; step < 12; step++) {
            struct change list[MOST];
            const struct mf_window_mode *mode = modes[chance(&r, 3)];
            bool apart = mode->careful || chance(&r, 2);
            size_t k = some_changes(s, &r, now, there, apart, list);
            assert_mf_ok(window(s, list, k, apart, mode), &s->err);
        }
        for (size_t i = 0; i < 12; i++) {
            if (there[i]) {
                kept[n++] = now[i];
            }
        }
        struct shown *fresh = open_shown("fresh");
        load(fresh, kept, n);
        if (digest(s->server) != digest(fresh->server)) {
            mf_mem_dump(s->server, stderr);
            mf_mem_dump(fresh->server, stderr);
            fail_msg("seed %u", seed);
        }
        close_shown(fresh);
    }
}

/* ---- a call that fails ---- */

struct failing {
    int at, calls;
};

static enum mf_mem_fate fail_one(void *ctx, struct mf_mem_server *m, const char *op)
{
    struct failing *f = ctx;
    (void)m, (void)op;
    return ++f->calls == f->at ? MF_MEM_LOST_BEFORE : MF_MEM_GO;
}

static void whatever_call_fails_a_window_is_there_whole_or_not_at_all(void **state)
{
    struct shown *s = *state;
    struct mf_row before[] = {document(s, "{\"_id\": 1, \"name\": \"a\", \"tags\": [{\"t\": \"x\", \"n\": [1, 2]}]}"),
                              document(s, "{\"_id\": 2, \"name\": \"b\", \"tags\": [{\"t\": \"y\"}]}")};
    struct change list[] = {
        {MF_ROW_REPLACE, document(s, "{\"_id\": 1, \"name\": \"c\", \"tags\": [{\"t\": \"z\", \"n\": [2]}]}")},
        {MF_ROW_DELETE, before[1]},
        {MF_ROW_INSERT, document(s, "{\"_id\": 3, \"name\": \"d\", \"tags\": []}")}};
    load(s, before, 2);
    uint64_t old = digest(s->server);
    for (int at = 1, done = 0; !done && at < 200; at++) {
        struct failing f = {.at = at};
        mf_mem_set_hook(s->server, fail_one, &f);
        done = window(s, list, 3, true, &careful) == 0;
        mf_mem_set_hook(s->server, NULL, NULL);
        if (!done) {
            assert_true(digest(s->server) == old);
            s->db->connector->target->applier_close(s->applier);
            s->applier = NULL;
        }
        assert_true(done || at < 199);
    }
    assert_true(digest(s->server) != old);
}

/* ---- what is refused ---- */

static int list_entry(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    mf_buf_printf(ctx, "%s.%s %s %s;", q->schema, q->table, q->key, q->row);
    return 0;
}

static void a_refused_document_is_in_quarantine_whole(void **state)
{
    struct shown *s = *state;
    const struct mf_window_mode keep = {.careful = true, .keep_rejected = true};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct change good = {MF_ROW_INSERT, document(s, "{\"_id\": 1, \"name\": \"a\", \"tags\": [{\"t\": \"x\"}]}")},
                  bad = {MF_ROW_REPLACE, document(s, "{\"_id\": 1, \"name\": 7, \"tags\": [{\"t\": \"y\"}]}")};
    uint64_t none = digest(s->server);
    assert_mf_ok(window(s, &good, 1, false, &strict), &s->err);
    assert_mf_fails(window(s, &bad, 1, false, &strict), &s->err, MF_ROW, "name");
    assert_mf_ok(window(s, &bad, 1, true, &keep), &s->err);
    assert_true(digest(s->server) == none);
    assert_mf_ok(s->db->connector->target->quarantine_list(s->db, &s->pipe, list_entry, &b, &s->err), &s->err);
    assert_non_null(strstr(mf_buf_str(&b), "shop.users _id=1 {"));
    assert_non_null(strstr(mf_buf_str(&b), "\"y\""));
    good.op = MF_ROW_REPLACE;
    assert_mf_ok(window(s, &good, 1, false, &strict), &s->err); /* not there, but in quarantine */
    mf_buf_reset(&b);
    assert_mf_ok(s->db->connector->target->quarantine_list(s->db, &s->pipe, list_entry, &b, &s->err), &s->err);
    assert_string_equal(mf_buf_str(&b), "");
}

/* ---- both sides are compared by the normal form ---- */

static int put_digest(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    (void)err;
    mf_buf_printf(ctx, "%.*s %016llx;", (int)key->values[0].len, key->values[0].data, (unsigned long long)d->lane1);
    return 0;
}

struct digesting {
    struct mf_db *db;
    struct mf_reader *r;
    const struct mf_table *t;
    struct mf_buf *out;
};

static int digest_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    struct digesting *d = ctx;
    return d->db->connector->source->digest_rows(d->r, d->t, c, put_digest, d->out, err);
}

static void digests(struct shown *s, struct mf_db *db, const struct mf_table *t, struct mf_buf *out)
{
    struct digesting d = {.db = db, .t = t, .out = out};
    assert_mf_ok(db->connector->source->reader_open(db, NULL, &d.r, &s->err), &s->err);
    assert_mf_ok(db->connector->source->chunk_plan(d.r, t, 1000, 1 << 20, digest_chunk, &d, &s->err), &s->err);
    db->connector->source->reader_close(d.r);
}

static void both_sides_are_compared_by_the_normal_form(void **state)
{
    static const struct mf_mem_column columns[] = {{.name = "_id", .text = true, .in_key = true},
                                                   {.name = "document", .text = true}};
    struct shown *s = *state;
    struct mf_mem_server *m = mf_mem_server_new("docs");
    struct mf_db_options o = {.url = "mem://docs", .side = MF_SOURCE};
    struct mf_db *own = NULL, *face = NULL, *norm = NULL;
    struct mf_catalog c = {0};
    MF_CLEANUP_BUF struct mf_buf here = {.max = 4096}, there = {.max = 4096};
    /* Another order of fields and widths of numbers, on the source; the same rows. */
    struct mf_row docs[] = {
        document(s, "{\"tags\": [{\"n\": [{\"$numberLong\": \"5\"}], \"t\": \"x\"}], \"name\": \"a\", \"_id\": "
                    "{\"$numberLong\": \"1\"}}"),
        document(s, "{\"_id\": 2, \"name\": \"b\"}"), document(s, "{\"_id\": 3, \"name\": {}}")};
    load(s, docs, 2);
    assert_mf_ok(mf_mem_create_table(m, "shop", "users", columns, 2, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(m, "shop", "others", columns, 2, &s->err), &s->err);
    struct mf_mem_txn *x = mf_mem_begin(m);
    for (size_t i = 0; i < 3; i++) {
        assert_mf_ok(mf_mem_insert(x, "shop", "users", &docs[i], &s->err), &s->err);
    }
    assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
    assert_mf_ok(mf_connector_for_url(o.url, &s->err)->open(&o, &own, &s->err), &s->err);
    assert_mf_ok(mf_face_open(own, NULL, &face, &s->err), &s->err);
    assert_mf_ok(mf_norm_open(face, s->config->shred, false, &norm, &s->err), &s->err);
    assert_mf_ok(norm->connector->source->catalog(norm, NULL, &c, &s->err), &s->err);
    assert_int_equal(c.n, 1); /* what the map does not have does not migrate */
    digests(s, norm, &c.tables[0], &there);
    digests(s, s->db, s->table, &here);
    assert_int_equal(strncmp(mf_buf_str(&there), mf_buf_str(&here), here.len), 0);
    assert_non_null(strstr(mf_buf_str(&there) + here.len, "3 ")); /* refused: it differs until it is not */
    struct mf_schema d = {0};
    assert_mf_ok(norm->connector->describe(norm, &c, &d, &s->err), &s->err);
    assert_int_equal(d.ntables, 3);
    mf_schema_free(&d);
    mf_catalog_free(&c);
    norm->connector->close(norm);
    mf_mem_server_free(m);
}

static void a_map_of_collections_is_for_documents(void **state)
{
    struct shown *s = *state;
    struct mf_db_options o = {.url = "mem://docs", .side = MF_SOURCE, .shred = s->config->shred};
    struct mf_db *db = NULL;
    assert_mf_fails(mf_connector_open(&o, "mem://docs", "memx://rows", NULL, &db, &s->err), &s->err, MF_USAGE,
                    "the map is one of collections");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(random_edits_give_the_rows_of_a_fresh_load), T(whatever_call_fails_a_window_is_there_whole_or_not_at_all),
        T(a_refused_document_is_in_quarantine_whole),  T(both_sides_are_compared_by_the_normal_form),
        T(a_map_of_collections_is_for_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
