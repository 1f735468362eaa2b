/*
 * A target of any connector (that of the URL), and its traffic, driven by lines of JSON on standard input; each is answered by a line of JSON. For
 * tests only.
 *
 * A table is {"schema", "name", "identity": "key"|"full", "columns": [{"name", "type", "type_id", "type_mod", "in_key", "by_bytes"}], "key": [..]}.
 * A value is null, a string (the source's text), {"hex": "00ff"} (raw bytes) or {} (unchanged).
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/connector.h"
#include "connector/face/face.h"
#include "pgdrive.h"

static struct mf_db *db, *other; /* the address's, and what stands opposite */
static struct mf_pipe_id pipe_id = {.migration = "test"};
static struct mf_applier *applier;
static struct mf_loader *loader;
static struct mf_hold *held;
static struct mf_run_lock *run;

static int do_window(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_target_ops *t = db->connector->target;
    struct mf_window_mode mode = {.fuzzy = pd_flag(o, "fuzzy"),
                                  .careful = pd_flag(o, "careful"),
                                  .keep_rejected = pd_flag(o, "keep"),
                                  .heal = pd_flag(o, "heal")};
    struct mf_arena missing = {0};
    mf_arena_init(&missing, 64u << 20);
    struct mf_window_result result = {.arena = &missing};
    struct mf_position at = {0};
    const json_t *batches = json_object_get(o, "batches");
    int repeat = json_object_get(o, "repeat") ? (int)pd_number(o, "repeat") : 1;
    pd_position_of(o, "order", &at);
    const struct mf_batch **made = pd_zeroed((json_array_size(batches) + 1) * sizeof(struct mf_batch *));
    for (size_t i = 0; i < json_array_size(batches); i++) {
        made[i] = pd_batch_of(json_array_get(batches, i));
    }
    int rc = applier ? 0 : t->applier_open(db, &pipe_id, &applier, err);
    int64_t from = mf_now_us();
    for (int k = 0; rc == 0 && k < repeat; k++) {
        at.order += k > 0;
        rc = t->window_begin(applier, &at, &mode, err);
        for (size_t i = 0; rc == 0 && i < json_array_size(batches); i++) {
            rc = t->window_batch(applier, made[i], &result, err);
        }
        rc = rc == 0 ? t->window_commit(applier, err) : rc;
    }
    if (rc < 0 && applier) {
        t->window_abort(applier);
    }
    json_object_set_new(reply, "seconds", json_real((double)(mf_now_us() - from) / 1e6));
    json_t *list = json_array();
    for (size_t i = 0; rc == 0 && i < result.nmissing; i++) {
        json_array_append_new(list, pd_json_row(&result.missing[i].key));
    }
    json_object_set_new(reply, "missing", list);
    json_object_set_new(reply, "rows", json_integer((json_int_t)result.rows));
    json_object_set_new(reply, "quarantined", json_integer((json_int_t)result.quarantined));
    json_object_set_new(reply, "diverged", json_integer((json_int_t)result.diverged));
    mf_arena_free(&missing);
    return rc;
}

static int do_load(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_target_ops *t = db->connector->target;
    struct mf_chunk_done d = {.table_id = (uint32_t)pd_number(o, "table_id"),
                              .ordinal = (uint32_t)pd_number(o, "ordinal"),
                              .rows = json_object_get(o, "nrows") ? pd_number(o, "nrows") : -1};
    const struct mf_table *table = pd_table_of(json_object_get(o, "table"));
    const json_t *shape = json_object_get(o, "source"), *rows = json_object_get(o, "rows");
    const json_t *pieces = json_object_get(o, "data"); /* a string, or several in an array */
    json_t *refused = json_array();
    pd_position_of(o, "after", &d.after);
    mf_strlcpy(d.schema, table->schema, sizeof(d.schema));
    mf_strlcpy(d.table, table->name, sizeof(d.table));
    json_object_set_new(reply, "refused", refused);
    int rc = loader ? 0 : t->loader_open(db, &pipe_id, &loader, err);
    rc = rc == 0 ? t->load_begin(loader, table, shape ? pd_table_of(shape) : table, 1, err) : rc;
    for (size_t i = 0; rc == 0 && i < (json_is_array(pieces) ? json_array_size(pieces) : json_is_string(pieces)); i++) {
        const json_t *piece = json_is_array(pieces) ? json_array_get(pieces, i) : pieces;
        rc = t->load_data(loader, json_string_value(piece), json_string_length(piece), err);
    }
    size_t n = json_array_size(rows), together = 0;
    struct mf_row *many = pd_zeroed((n + 1) * sizeof *many);
    for (size_t i = 0; i < n; i++) {
        many[i] = pd_row_of(json_array_get(rows, i));
    }
    if (rc == 0 && n > 1) { /* as the copy does */
        rc = t->load_rows(loader, many, n, err);
        together = rc == 0 ? n : 0;
        rc = rc < 0 && (err->cls == MF_ROW || err->cls == MF_CONFLICT) ? 0 : rc;
    }
    json_object_set_new(reply, "together", json_integer((json_int_t)together));
    for (size_t i = together; rc == 0 && i < n; i++) {
        rc = t->load_row(loader, &many[i], err);
        if (rc < 0 && err->cls == MF_ROW) {
            struct mf_quarantined q = {.key = "k", .reason = err->text, .row = "{}", .position = d.after};
            mf_strlcpy(q.schema, d.schema, sizeof(q.schema));
            mf_strlcpy(q.table, d.table, sizeof(q.table));
            mf_strlcpy(q.code, err->code, sizeof(q.code));
            json_array_append_new(refused, json_string(err->text));
            rc = t->load_quarantine(loader, &q, err);
        }
    }
    rc = rc == 0 ? t->load_commit(loader, &d, err) : rc;
    if (rc < 0 && loader) {
        t->load_abort(loader);
    }
    return rc;
}

static int do_repair(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_target_ops *t = db->connector->target;
    const json_t *lists[] = {json_object_get(o, "whole"), json_object_get(o, "gone")};
    struct mf_row *rows[2];
    (void)reply;
    for (int k = 0; k < 2; k++) {
        rows[k] = pd_zeroed((json_array_size(lists[k]) + 1) * sizeof(struct mf_row));
        for (size_t i = 0; i < json_array_size(lists[k]); i++) {
            rows[k][i] = pd_row_of(json_array_get(lists[k], i));
        }
    }
    if (!applier && t->applier_open(db, &pipe_id, &applier, err) < 0) {
        return -1;
    }
    return t->repair_rows(applier, pd_table_of(json_object_get(o, "table")), rows[0], json_array_size(lists[0]),
                          rows[1], json_array_size(lists[1]), 1, err);
}

static int do_checkpoint(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_position p = {0};
    (void)o;
    int rc = db->connector->target->checkpoint(db, &pipe_id, &p, err);
    json_object_set_new(reply, "order", json_integer((json_int_t)p.order));
    return rc;
}

static int do_prepare(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)o, (void)reply;
    return db->connector->target->prepare(db, &pipe_id, err);
}

/* ---- traffic ---- */

static struct mf_gate_options gate_options(const json_t *o)
{
    const char *policy = pd_text(o, "long");
    return (struct mf_gate_options){.lock_ms = (int)pd_number(o, "lock_ms"),
                                    .total_ms = (int)pd_number(o, "total_ms"),
                                    .max_wait_ms = (int)pd_number(o, "max_wait_ms"),
                                    .open = !pd_flag(o, "closed"),
                                    .long_transactions = mf_streq(policy, "end")       ? MF_LONG_END
                                                         : mf_streq(policy, "abandon") ? MF_LONG_ABANDON
                                                                                       : MF_LONG_WAIT};
}

static int do_gate(const json_t *o, json_t *reply, struct mf_error *err)
{
    const json_t *tables = json_object_get(o, "tables");
    struct mf_gate_options g = gate_options(o);
    struct mf_catalog c = {.n = json_array_size(tables)};
    (void)reply;
    c.tables = pd_zeroed((c.n + 1) * sizeof(*c.tables));
    for (size_t i = 0; i < c.n; i++) {
        c.tables[i] = *pd_table_of(json_array_get(tables, i));
    }
    if (pd_flag(o, "remove")) {
        return db->connector->traffic->gate_remove(db, &pipe_id, &g, err);
    }
    return db->connector->traffic->gate_install(db, &pipe_id, &c, &g, err);
}

static int do_hold(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_gate_options g = gate_options(o);
    (void)reply;
    return db->connector->traffic->hold(db, &pipe_id, &g, &held, err);
}

static struct mf_epoch epoch_of(const json_t *o)
{
    struct mf_epoch e = {.epoch = (uint64_t)pd_number(o, "epoch"), .open = pd_flag(o, "open")};
    mf_strlcpy(e.writer, pd_text(o, "writer"), sizeof(e.writer));
    return e;
}

static int do_decide(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_epoch e = epoch_of(o);
    struct mf_hold *h = held;
    (void)reply;
    held = NULL;
    return db->connector->traffic->hold_decide(h, &e, err);
}

static int do_release(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)o, (void)reply, (void)err;
    db->connector->traffic->hold_release(held);
    held = NULL;
    return 0;
}

static int do_epoch(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_epoch e = epoch_of(o);
    if (json_object_get(o, "writer") && db->connector->traffic->epoch_write(db, &pipe_id, &e, err) < 0) {
        return -1;
    }
    int rc = db->connector->traffic->epoch_read(db, &pipe_id, &e, err);
    json_object_set_new(reply, "epoch", json_integer((json_int_t)e.epoch));
    json_object_set_new(reply, "writer", json_string(e.writer));
    json_object_set_new(reply, "open", json_boolean(e.open));
    return rc;
}

static int do_settle(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)reply;
    return db->connector->traffic->settle(db, &pipe_id, (int)pd_number(o, "wait_ms"), err);
}

static int do_run_lock(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_traffic_ops *t = db->connector->traffic;
    (void)reply;
    if (pd_flag(o, "check")) {
        return t->run_lock_check(run, err);
    }
    t->run_lock_release(run);
    run = NULL;
    return pd_flag(o, "release") ? 0 : t->run_lock(db, &pipe_id, (int)pd_number(o, "wait_ms"), &run, err);
}

static int do_cleanup(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)o, (void)reply;
    return db->connector->traffic->cleanup(db, &pipe_id, err);
}

/* Every table with its key's columns; figures: with what the server thinks it holds. */
static int do_shapes(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_catalog c = {0};
    json_t *list = json_array();
    bool figures = pd_flag(o, "figures");
    json_object_set_new(reply, "tables", list);
    int64_t from = mf_now_us();
    int rc = (figures ? db->connector->source->catalog : db->connector->source->shapes)(db, NULL, &c, err);
    json_object_set_new(reply, "seconds", json_real((double)(mf_now_us() - from) / 1e6));
    for (size_t i = 0; rc == 0 && i < c.n; i++) {
        const struct mf_table *t = &c.tables[i];
        json_t *columns = json_array(), *key = json_array();
        for (uint16_t k = 0; k < t->ncolumns; k++) {
            json_array_append_new(columns, json_string(t->columns[k].name));
        }
        for (uint16_t k = 0; k < t->nkey; k++) {
            json_array_append_new(key, json_string(t->columns[t->key[k]].name));
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:o, s:o}", "schema", t->schema, "name", t->name, "rows",
                                              (json_int_t)t->rows_estimate, "columns", columns, "key", key));
    }
    mf_catalog_free(&c);
    return rc;
}

static int do_finish(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)reply;
    return db->connector->target->table_finish(db, pd_table_of(json_object_get(o, "table")), err);
}

static int list_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    return json_array_append_new(ctx, json_pack("{s:I, s:s, s:s, s:s, s:s?, s:s, s:s, s:s?}", "id", (json_int_t)q->id,
                                                "schema", q->schema, "table", q->table, "key", q->key, "column",
                                                q->column, "reason", q->reason, "code", q->code, "row", q->row));
}

/* What is in quarantine; drop: the entry of that id leaves it first. */
static int do_quarantine(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_target_ops *t = db->connector->target;
    json_t *list = json_array();
    json_object_set_new(reply, "entries", list);
    if (json_object_get(o, "drop") && t->quarantine_drop(db, &pipe_id, pd_number(o, "drop"), err) < 0) {
        return -1;
    }
    return t->quarantine_list(db, &pipe_id, list_quarantined, list, err);
}

static int do_reset(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)reply;
    return db->connector->target->table_reset(db, &pipe_id, pd_table_of(json_object_get(o, "table")), err);
}

static const struct {
    const char *op;
    int (*run)(const json_t *o, json_t *reply, struct mf_error *err);
} commands[] = {
    {"prepare", do_prepare},   {"window", do_window},         {"load", do_load},
    {"repair", do_repair},     {"checkpoint", do_checkpoint}, {"gate", do_gate},
    {"hold", do_hold},         {"decide", do_decide},         {"release", do_release},
    {"epoch", do_epoch},       {"cleanup", do_cleanup},       {"reset", do_reset},
    {"finish", do_finish},     {"quarantine", do_quarantine}, {"settle", do_settle},
    {"run_lock", do_run_lock}, {"shapes", do_shapes},
};

static void answer(const char *line)
{
    struct mf_error err = {0};
    json_t *reply = json_object(), *o = json_loads(line, JSON_ALLOW_NUL, NULL);
    int rc = mf_fail(&err, MF_USAGE, "MFTEST", "unknown command");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (mf_streq(pd_text(o, "op"), commands[i].op)) {
            rc = commands[i].run(o, reply, &err);
        }
    }
    pd_document_command(db, pd_text(o, "op"), o, reply, &rc, &err);
    pd_schema_command(db, other, pd_text(o, "op"), o, reply, &rc, &err);
    json_object_set_new(reply, "ok", json_boolean(rc == 0));
    if (rc < 0) {
        json_object_set_new(reply, "class", json_string(mf_errclass_name(err.cls)));
        json_object_set_new(reply, "code", json_string(err.code));
        json_object_set_new(reply, "text", json_string(err.text));
        json_object_set_new(reply, "hint", json_string(err.hint));
        if (err.cls == MF_RETRY && applier) { /* as the apply stage does */
            db->connector->target->applier_close(applier);
            applier = NULL;
        }
    }
    json_dumpf(reply, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(reply);
    json_decref(o);
    mf_arena_reset(&pd_arena);
}

static struct mf_db *open_url(const char *url, enum mf_side side, const char *dir)
{
    struct mf_error err = {0};
    struct mf_db *d = NULL;
    struct mf_db_options o = {.url = url, .side = side, .connect_timeout_s = 60, .state_dir = dir};
    const struct mf_connector *c = mf_connector_for_url(url, &err);
    if (!c || c->open(&o, &d, &err) < 0) {
        fprintf(stderr, "%s: %s\n", err.code, err.text);
        exit(1);
    }
    return d;
}

/* Of two kinds: each behind a face, as the migration opens them. */
static void show(void)
{
    struct mf_error err = {0};
    struct mf_db *own = db, *theirs = other;
    bool target = db->side == MF_TARGET;
    if (mf_face_open(target ? theirs : own, NULL, target ? &other : &db, &err) < 0 ||
        mf_face_open(target ? own : theirs, target ? theirs : own, target ? &db : &other, &err) < 0) {
        fprintf(stderr, "%s: %s\n", err.code, err.text);
        exit(1);
    }
}

/* pgdrive SIDE MIGRATION DIRECTION URL [OTHER-URL STATE-DIR] */
int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    if (argc < 5) {
        return 2;
    }
    enum mf_side side = mf_streq(argv[1], "source") ? MF_SOURCE : MF_TARGET;
    mf_strlcpy(pipe_id.migration, argv[2], sizeof(pipe_id.migration));
    pipe_id.direction = mf_streq(argv[3], "reverse") ? MF_REVERSE : MF_FORWARD;
    mf_arena_init(&pd_arena, (size_t)4 << 30);
    db = open_url(argv[4], side, argc > 6 ? argv[6] : NULL);
    other = argc > 5 ? open_url(argv[5], side == MF_SOURCE ? MF_TARGET : MF_SOURCE, argc > 6 ? argv[6] : NULL) : NULL;
    if (other && other->connector != db->connector) {
        show();
    }
    db = pd_show_documents(db);
    while (getline(&line, &cap, stdin) > 0) {
        answer(line);
    }
    const struct mf_target_ops *t = db->connector->target;
    if (held) {
        db->connector->traffic->hold_release(held);
    }
    db->connector->traffic->run_lock_release(run);
    t->applier_close(applier);
    t->loader_close(loader);
    pd_documents_end(db);
    db->connector->close(db);
    if (other) {
        other->connector->close(other);
    }
    mf_arena_free(&pd_arena);
    free(line);
    return 0;
}
