/*
 * A PostgreSQL source, driven by lines of JSON on standard input; each is answered by a line of JSON. For tests only.
 * The target's half has pgdrive.
 *
 * Tables are named "schema.name" and taken from the catalogue read last. A chunk is {"lower", "upper", "heap"}.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/face/face.h"
#include "pgread_json.h"

static struct mf_db *db;
static const struct mf_canon_ops *canon; /* of the real database, when db is a face */
static bool shown;                       /* db is a face */
static const struct mf_source_ops *ops;
static struct mf_pipe_id pipe_id = {.migration = "test"};
static struct mf_catalog catalog;
static struct mf_stream *stream;
static struct mf_snapshot *snapshot;
static struct mf_reader *readers[8], *reader; /* the one that was opened or chosen last */

static const struct mf_table *find_table(const json_t *in, struct mf_error *err)
{
    char label[300];
    for (size_t i = 0; i < catalog.n; i++) {
        if (mf_streq(mf_table_label(&catalog.tables[i], label, sizeof label), pr_text(in, "table"))) {
            return &catalog.tables[i];
        }
    }
    mf_fail(err, MF_USAGE, "MFTEST", "no table %s", pr_text(in, "table"));
    return NULL;
}

/* ---- catalogue, check, the short questions ---- */

static int op_catalog(const json_t *in, json_t *out, struct mf_error *err)
{
    const char *include[64], *exclude[64];
    struct mf_filter f = {.include = include, .exclude = exclude};
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(in, "include"), i, one)
    {
        include[f.ninclude++] = json_string_value(one);
    }
    json_array_foreach(json_object_get(in, "exclude"), i, one)
    {
        exclude[f.nexclude++] = json_string_value(one);
    }
    mf_catalog_free(&catalog);
    int rc = ops->catalog(db, &f, &catalog, err);
    for (i = 0; i < catalog.n; i++) {
        json_array_append_new(list, pr_table_json(&catalog.tables[i]));
    }
    json_object_set_new(out, "tables", list);
    return rc;
}

static int op_check(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in;
    struct mf_findings *f = mf_findings_new();
    json_t *list = json_array();
    int rc = ops->check(db, NULL, f, err);
    for (size_t i = 0; i < mf_findings_count(f); i++) {
        const struct mf_finding *g = mf_findings_at(f, i);
        json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:s, s:s}", "severity", (int)g->severity, "code",
                                              g->code, "object", g->object, "reason", g->reason, "remedy", g->remedy));
    }
    json_object_set_new(out, "findings", list);
    mf_findings_free(f);
    return rc;
}

static int op_heartbeat(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_position p = {0};
    int rc = ops->heartbeat(db, &pipe_id, json_string_value(json_object_get(in, "marker")), &p, err);
    pr_put_position(out, "position", &p);
    return rc;
}

static int op_position(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in;
    struct mf_position p = {0};
    int rc = ops->position(db, &p, err);
    pr_put_position(out, "position", &p);
    return rc;
}

/* Of a table of the last catalogue. */
static int op_became(const json_t *in, json_t *out, struct mf_error *err)
{
    char became[300] = "";
    bool dropped = false;
    const struct mf_table *t = find_table(in, err);
    int rc = t ? ops->what_became(db, t, became, sizeof became, &dropped, err) : -1;
    json_object_set_new(out, "became", json_string(became));
    json_object_set_new(out, "dropped", json_boolean(dropped));
    return rc;
}

static int op_load(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in;
    double load = 0;
    int rc = ops->load(db, &load, err);
    json_object_set_new(out, "load", json_real(load));
    return rc;
}

/* ---- stream ---- */

static int op_prepare(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in;
    struct mf_position p = {0};
    int rc = db->connector->target->prepare(db, &pipe_id, err) || ops->stream_prepare(db, &pipe_id, &catalog, &p, err);
    pr_put_position(out, "position", &p);
    return rc ? -1 : 0;
}

/* The tables of the last catalogue. */
static int op_add_tables(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in, (void)out;
    return ops->stream_add_tables(db, &pipe_id, &catalog, err);
}

static int op_visible(const json_t *in, json_t *out, struct mf_error *err)
{
    uint64_t txn = (uint64_t)pr_number(in, "txn");
    bool seen = false;
    int rc = ops->visible(db, &txn, 1, &seen, err);
    json_object_set_new(out, "visible", json_boolean(seen));
    return rc;
}

static int op_drop(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in, (void)out;
    return ops->stream_drop(db, &pipe_id, err);
}

static int op_stream_open(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out;
    struct mf_position from = {.order = (uint64_t)pr_number(in, "from")};
    mf_strlcpy(from.token, json_object_get(in, "from_token") ? pr_text(in, "from_token") : "", sizeof from.token);
    return ops->stream_open(db, &pipe_id, &from, false, &stream, err);
}

/* Items until the stream has reached `until` or waited `wait_ms`; quiet: only counted. */
static int op_stream_read(const json_t *in, json_t *out, struct mf_error *err)
{
    uint64_t until = (uint64_t)pr_number(in, "until"), reached = 0;
    bool quiet = json_is_true(json_object_get(in, "quiet"));
    int64_t start = mf_now_us(), end = start + pr_number(in, "wait_ms") * MF_US_PER_MS, n = 0, changes = 0;
    json_t *list = json_array();
    int rc = 0;
    while (rc == 0 && reached < until && mf_now_us() < end) {
        struct mf_item item = {0};
        rc = ops->stream_next(stream, 100, &item, err);
        if (rc == 0 && item.kind != MF_ITEM_NONE) {
            n++;
            changes += item.kind == MF_ITEM_CHANGE;
            reached = item.kind == MF_ITEM_COMMIT || item.kind == MF_ITEM_PROGRESS ? item.position.order : reached;
            if (!quiet) {
                json_array_append_new(list, pr_item_json(&item, shown));
            }
        }
    }
    json_object_set_new(out, "items", list);
    json_object_set_new(out, "count", json_integer(n));
    json_object_set_new(out, "changes", json_integer(changes));
    json_object_set_new(out, "reached", json_integer((json_int_t)reached));
    json_object_set_new(out, "us", json_integer(mf_now_us() - start));
    return rc;
}

static int op_stream_ack(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out;
    struct mf_position p = {.order = (uint64_t)pr_number(in, "position")};
    return ops->stream_ack(stream, &p, err);
}

static int op_stream_close(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)in, (void)out, (void)err;
    ops->stream_close(stream);
    stream = NULL;
    return 0;
}

/* ---- readers ---- */

static int op_snapshot(const json_t *in, json_t *out, struct mf_error *err)
{
    ops->snapshot_close(snapshot);
    snapshot = NULL;
    int n = json_object_get(in, "readers") ? (int)pr_number(in, "readers") : 1;
    int rc = json_is_true(json_object_get(in, "now")) ? ops->snapshot_now(db, n, &snapshot, err)
                                                      : ops->snapshot_open(db, &pipe_id, n, &snapshot, err);
    if (rc == 0) {
        pr_put_position(out, "position", &snapshot->position);
    }
    return rc;
}

static int op_reader(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out;
    struct mf_reader **r = &readers[pr_number(in, "number") & 7];
    ops->reader_close(*r);
    reader = *r = NULL;
    int rc = ops->reader_open(db, json_is_true(json_object_get(in, "snapshot")) ? snapshot : NULL, r, err);
    if (rc == 0) {
        reader = *r;
        reader->peer_version = (int)pr_number(in, "peer_version");
        mf_strlcpy(reader->peer_encoding, pr_text(in, "peer_encoding"), sizeof reader->peer_encoding);
    }
    return rc;
}

static int op_choose(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out, (void)err;
    reader = readers[pr_number(in, "number") & 7];
    return 0;
}

static int emit_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    return json_array_append_new(ctx, pr_chunk_json(c));
}

static int op_plan(const json_t *in, json_t *out, struct mf_error *err)
{
    const struct mf_table *t = find_table(in, err);
    json_t *list = json_array();
    json_object_set_new(out, "chunks", list);
    return t ? ops->chunk_plan(reader, t, pr_number(in, "rows"), pr_number(in, "bytes"), emit_chunk, list, err) : -1;
}

static int op_split(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_chunk c;
    const struct mf_table *t = find_table(in, err);
    json_t *list = json_array();
    json_object_set_new(out, "chunks", list);
    if (!t) {
        return -1;
    }
    pr_chunk_of(in, t, &c);
    return ops->chunk_split(reader, t, &c, (int)pr_number(in, "n"), emit_chunk, list, err);
}

static int op_digest(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_chunk c;
    struct mf_digest d = {0};
    const struct mf_table *t = find_table(in, err);
    if (!t) {
        return -1;
    }
    pr_chunk_of(in, t, &c);
    int64_t start = mf_now_us();
    int rc = ops->digest(reader, t, &c, &d, err);
    char lane[32];
    snprintf(lane, sizeof lane, "%016" PRIx64, d.lane1);
    json_object_set_new(out, "rows", json_integer((json_int_t)d.rows));
    json_object_set_new(out, "lane", json_string(lane));
    json_object_set_new(out, "us", json_integer(mf_now_us() - start));
    return rc;
}

static int emit_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    return json_array_append_new(ctx, pr_row_json(row, shown));
}

static int emit_brief(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    return json_array_append_new(ctx, pr_brief_json(row));
}

/* "brief": not the values, but how long they are. */
static int op_rows(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_chunk c;
    struct mf_position after = {0};
    const struct mf_table *t = find_table(in, err);
    json_t *list = json_array();
    json_object_set_new(out, "rows", list);
    if (!t) {
        return -1;
    }
    pr_chunk_of(in, t, &c);
    bool brief = json_is_true(json_object_get(in, "brief"));
    int rc = ops->chunk_rows(reader, t, &c, brief ? emit_brief : emit_row, list, &after, err);
    pr_put_position(out, "after", &after);
    return rc;
}

/* Rows by "keys": for each its values in the key's order. */
static int op_find(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_position after = {0};
    const struct mf_table *t = find_table(in, err);
    const json_t *asked = json_object_get(in, "keys");
    size_t n = json_array_size(asked);
    json_t *list = json_array();
    json_object_set_new(out, "rows", list);
    if (!t) {
        return -1;
    }
    struct mf_row *keys = mf_xcalloc(n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        keys[i] = (struct mf_row){.n = t->ncolumns, .values = mf_xcalloc(t->ncolumns, sizeof *keys[i].values)};
        for (uint16_t k = 0; k < t->nkey; k++) {
            const char *v = json_string_value(json_array_get(json_array_get(asked, i), k));
            keys[i].values[t->key[k]] = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(v), .data = v};
        }
    }
    int rc = ops->read_rows(reader, t, keys, n, emit_row, list, &after, err);
    for (size_t i = 0; i < n; i++) {
        free(keys[i].values);
    }
    free(keys);
    return rc;
}

/* Reads a chunk's bytes into a file (when "file" is given) and counts them. */
static int op_copy(const json_t *in, json_t *out, struct mf_error *err)
{
    struct mf_chunk c;
    struct mf_position after = {0};
    const void *data;
    size_t len = 1;
    int64_t rows = 0, bytes = 0, pieces = 0, start = mf_now_us();
    const struct mf_table *t = find_table(in, err);
    if (!t) {
        return -1;
    }
    pr_chunk_of(in, t, &c);
    FILE *f = json_object_get(in, "file") ? fopen(pr_text(in, "file"), "wb") : NULL;
    int rc = ops->chunk_open(reader, t, &c, err);
    int64_t most =
        json_object_get(in, "pieces") ? pr_number(in, "pieces") : INT64_MAX; /* then the chunk is left as it is */
    while (rc == 0 && pieces < most && (rc = ops->chunk_read(reader, &data, &len, err)) == 0 && len > 0) {
        bytes += (int64_t)len;
        pieces++;
        if (f && fwrite(data, 1, len, f) != len) {
            rc = -1;
        }
    }
    if (rc == 0 && !json_is_true(json_object_get(in, "leave"))) {
        rc = ops->chunk_close(reader, &after, &rows, err);
    }
    if (f) {
        fclose(f);
    }
    pr_put_position(out, "after", &after);
    json_object_set_new(out, "rows", json_integer(rows));
    json_object_set_new(out, "bytes", json_integer(bytes));
    json_object_set_new(out, "pieces", json_integer(pieces));
    json_object_set_new(out, "us", json_integer(mf_now_us() - start));
    return rc;
}

/* "value", canonical, of "column" in the database's own form: what it would be given. */
static int op_own(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = (size_t)64 << 20};
    const struct mf_table *t = find_table(in, err);
    int at = t ? mf_table_column(t, pr_text(in, "column")) : -1;
    if (at < 0 || !shown) {
        return t ? mf_fail(err, MF_USAGE, "MFTEST", "no column %s", pr_text(in, "column")) : -1;
    }
    struct mf_value v, own;
    pr_value_of(json_object_get(in, "value"), &arena, &v);
    int rc = canon->from_canon(&t->columns[at].foreign->type, &arena, &v, &own, err);
    if (rc == 0) {
        json_object_set_new(out, "value", pr_shown_json(&own));
    }
    return rc;
}

/* ---- lines ---- */

static const struct {
    const char *name;
    int (*run)(const json_t *in, json_t *out, struct mf_error *err);
} table_of_ops[] = {
    {"catalog", op_catalog},
    {"check", op_check},
    {"heartbeat", op_heartbeat},
    {"position", op_position},
    {"became", op_became},
    {"load", op_load},
    {"prepare", op_prepare},
    {"add_tables", op_add_tables},
    {"visible", op_visible},
    {"drop", op_drop},
    {"stream_open", op_stream_open},
    {"read", op_stream_read},
    {"stream_ack", op_stream_ack},
    {"stream_close", op_stream_close},
    {"snapshot", op_snapshot},
    {"reader", op_reader},
    {"choose", op_choose},
    {"plan", op_plan},
    {"split", op_split},
    {"digest", op_digest},
    {"rows", op_rows},
    {"find", op_find},
    {"copy", op_copy},
    {"own", op_own},
};

static void answer(const char *line)
{
    struct mf_error err = {0};
    json_t *in = json_loads(line, 0, NULL), *out = json_object();
    int rc = mf_fail(&err, MF_USAGE, "MFTEST", "unknown op");
    for (size_t i = 0; i < sizeof table_of_ops / sizeof table_of_ops[0]; i++) {
        if (mf_streq(table_of_ops[i].name, pr_text(in, "op"))) {
            rc = table_of_ops[i].run(in, out, &err);
        }
    }
    json_object_set_new(out, "ok", json_boolean(rc == 0));
    if (rc != 0) {
        json_object_set_new(out, "class", json_string(mf_errclass_name(err.cls)));
        json_object_set_new(out, "code", json_string(err.code));
        json_object_set_new(out, "text", json_string(err.text));
        json_object_set_new(out, "hint", json_string(err.hint));
    }
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(in);
    json_decref(out);
}

/* pgread MIGRATION URL [target | face] */
int main(int argc, char **argv)
{
    struct mf_error err = {0};
    char *line = NULL;
    size_t cap = 0;
    if (argc < 3) {
        return 2;
    }
    mf_strlcpy(pipe_id.migration, argv[1], sizeof pipe_id.migration);
    bool face = argc > 3 && mf_streq(argv[3], "face");
    struct mf_db_options o = {
        .url = argv[2], .side = argc > 3 && !face ? MF_TARGET : MF_SOURCE, .connect_timeout_s = 60};
    const struct mf_connector *c = mf_connector_for_url(argv[2], &err);
    if (!c || c->open(&o, &db, &err) < 0) {
        fprintf(stderr, "%s: %s (%s)\n", err.code, err.text, err.hint);
        return 1;
    }
    if (face) {
        canon = c->canon;
        shown = true;
        if (mf_face_open(db, NULL, &db, &err) < 0) {
            fprintf(stderr, "%s: %s (%s)\n", err.code, err.text, err.hint);
            return 1;
        }
        c = db->connector;
    }
    ops = c->source;
    while (getline(&line, &cap, stdin) > 0) {
        answer(line);
    }
    ops->stream_close(stream);
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        ops->reader_close(readers[i]);
    }
    ops->snapshot_close(snapshot);
    c->close(db);
    mf_catalog_free(&catalog);
    free(line);
    return 0;
}
