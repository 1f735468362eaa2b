/* Operations on the database: most are those of what is behind, given it; in some, collections are turned into their tables. */
#include "connector/defaults.h"
#include "connector/passing.h"
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"

#define OWN       struct mf_db *own = docs_of(db)->own
#define SOURCE_OP own->connector->source
#define TARGET_OP own->connector->target
#define GATE_OP   own->connector->traffic

/* ---- as a source ---- */

static int catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return docs_catalog_read(docs_of(db), DOCS_CATALOG, filter, ret, err);
}

static int shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return docs_catalog_read(docs_of(db), DOCS_SHAPES, filter, ret, err);
}

static int what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                       struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct docs_reals r = {0};
    const char *missing = NULL;
    bool there = false;
    if (docs_reals_read(s, DOCS_SHAPES, &r, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < r.n; i++) {
        bool is = mf_streq(r.of[i].of->collection, t->name) && mf_streq(r.of[i].of->database, t->schema);
        missing = is ? r.of[i].missing : missing;
        there |= is && r.of[i].there;
    }
    *ret_dropped = false;
    snprintf(ret, n,
             missing ? "has lost its table %.100s"
             : there ? "had a table that was dropped and made again"
                     : "is not in the map any more",
             missing);
    docs_reals_free(&r);
    return 0;
}

/* Every operation that gets a catalogue of collections. */
#define WITH_TABLES(call)                                                                                              \
    struct mf_catalog real = {0};                                                                                      \
    OWN;                                                                                                               \
    if (tables && docs_catalog_own(docs_of(db), tables, &real, err) < 0) {                                             \
        return -1;                                                                                                     \
    }                                                                                                                  \
    const struct mf_catalog *turned = tables ? &real : NULL;                                                           \
    int rc = call;                                                                                                     \
    mf_catalog_free(&real);                                                                                            \
    return rc

static int stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err)
{
    WITH_TABLES(SOURCE_OP->stream_prepare(own, pipe, turned, ret_start, err));
}

static int stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                             struct mf_error *err)
{
    WITH_TABLES(SOURCE_OP->stream_add_tables(own, pipe, turned, err));
}

/* ---- as a target ---- */

static int check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                        struct mf_error *err)
{
    OWN;
    return TARGET_OP->check(own, src, filter, out, err);
}

/* The source describes the tables of its collections (norm.c). */
static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    OWN;
    return TARGET_OP->schema_apply(own, src, job, out, err);
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    OWN;
    return TARGET_OP->schema_plan(own, src, job, out, err);
}

/* Only a table without a key, or one that is taken in while the migration runs, is begun again: no collection is either. */
static int table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    (void)db, (void)pipe;
    return mf_fail(err, MF_FATAL, "MFUNSUP", "the copy of %s.%s cannot be begun again", t->schema, t->name);
}

static int references_whole(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err)
{
    WITH_TABLES(TARGET_OP->references_whole(own, turned, err));
}

static int triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                          const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                          struct mf_error *err)
{
    WITH_TABLES(TARGET_OP->triggers_learn(own, src, pipe, turned, o, out, err));
}

/* ---- who may write ---- */

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    WITH_TABLES(GATE_OP->gate_install(own, pipe, turned, o, err));
}

/* ---- the tables: what is not named here works on objects that know their own database (snapshots, holds, run locks) ---- */

static void fill_source(struct mf_source_ops *s)
{
    s->catalog = catalog;
    s->shapes = shapes;
    s->what_became = what_became;
    s->stream_prepare = stream_prepare;
    s->stream_add_tables = stream_add_tables;
    s->stream_open = docs_stream_open;
    s->stream_next = docs_stream_next;
    s->stream_ack = docs_stream_ack;
    s->stream_close = docs_stream_close;
    s->stream_confirm = mf_default_stream_confirm;
    s->stream_wake = docs_stream_wake;
    s->stream_leave = docs_stream_leave;
    s->commits_wait = mf_default_commits_wait;
    s->check_waiting = mf_default_check_waiting;
    s->reader_open = docs_reader_open;
    s->reader_close = docs_reader_close;
    s->shape_same = docs_shape_same;
    s->chunk_plan = docs_chunk_plan;
    s->chunk_open = docs_chunk_open;
    s->chunk_read = docs_chunk_read;
    s->chunk_close = docs_chunk_close;
    s->chunk_rows = docs_chunk_rows;
    s->read_rows = docs_read_rows;
    s->digest = docs_digest;
    s->digest_rows = docs_digest_rows;
    s->parts = docs_parts_of;
    s->chunk_split = docs_chunk_split;
    s->sequences = mf_default_sequences; /* its keys come from the documents */
}

static void fill_target(struct mf_target_ops *t)
{
    t->check = check_target;
    t->schema_apply = schema_apply;
    t->schema_plan = schema_plan;
    t->schema_add_column = mf_default_schema_add_column; /* a collection's columns never change */
    t->loader_open = docs_loader_open;
    t->loader_close = docs_loader_close;
    t->load_begin = docs_load_begin;
    t->load_data = docs_load_data;
    t->load_row = docs_load_row;
    t->load_rows = docs_load_rows;
    t->load_applier = mf_default_load_applier;
    t->load_quarantine = docs_load_quarantine;
    t->load_commit = docs_load_commit;
    t->load_abort = docs_load_abort;
    t->table_reset = table_reset;
    t->table_finish = docs_table_finish;
    t->applier_open = docs_applier_open;
    t->applier_close = docs_applier_close;
    t->window_begin = docs_window_begin;
    t->window_batch = docs_window_batch;
    t->window_cascade = mf_default_window_cascade;
    t->window_mark = t->window_settle = t->window_back = mf_default_window_mark;
    t->quarantine_put = mf_default_quarantine_put;
    t->quarantine_clear = mf_default_quarantine_clear;
    t->window_commit = docs_window_commit;
    t->window_abort = docs_window_abort;
    t->repair_rows = docs_repair_rows;
    t->sequences_set = mf_default_sequences_set;
    t->sequences_follow = mf_default_sequences_follow;
    t->references_whole = references_whole;
    t->triggers_learn = triggers_learn;
}

void docs_fill_ops(struct docs_db *s)
{
    mf_pass_ops(&s->source, &s->target, &s->traffic);
    fill_source(&s->source);
    fill_target(&s->target);
    s->traffic.gate_install = gate_install;
}
