/* Operations on the database: most are those of what is behind, given it; in some, tables are turned.
 *
 * As a target it has only what belongs to a migration's source too (bookkeeping, quarantine): rows of query tables do not go back to the tables they were made
 * of, so nobody gets a loader or an applier, and the operations on those stay what is behind's, never called. */
#include "connector/defaults.h"
#include "connector/passing.h"
#include "connector/view/internal.h"

#include "base/mem.h"
#include "base/str.h"

#define OWN       struct mf_db *own = view_of(db)->own
#define SOURCE_OP own->connector->source
#define TARGET_OP own->connector->target
#define GATE_OP   own->connector->traffic

/* ---- as a source ---- */

static int catalog(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return view_catalog_read(view_of(db), VIEW_CATALOG, filter, ret, err);
}

static int shapes(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err)
{
    return view_catalog_read(view_of(db), VIEW_SHAPES, filter, ret, err);
}

/* t may be only what the state remembers of it. While its table is there, a query table is shown; when that one is gone the catalogue does not fit the map,
 * which is said before anybody asks here. */
static int what_became(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                       struct mf_error *err)
{
    OWN;
    if (!(t->id & UINT32_C(0x80000000))) {
        return SOURCE_OP->what_became(own, t, ret, n, ret_dropped, err);
    }
    *ret_dropped = false;
    mf_strlcpy(ret, "is not in the map any more, or its table on the source is another one", n);
    return 0;
}

static int stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err)
{
    OWN;
    struct mf_catalog real = {0};
    if (tables && view_catalog_own(view_of(db), tables, VIEW_WHOLE_SETS | VIEW_PARENTS, &real, err) < 0) {
        return -1;
    }
    int rc = SOURCE_OP->stream_prepare(own, pipe, tables ? &real : NULL, ret_start, err);
    mf_catalog_free(&real);
    return rc;
}

static int stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                             struct mf_error *err)
{
    OWN;
    struct mf_catalog real = {0};
    if (view_catalog_own(view_of(db), tables, VIEW_WHOLE_SETS, &real, err) < 0) {
        return -1;
    }
    int rc = SOURCE_OP->stream_add_tables(own, pipe, &real, err);
    mf_catalog_free(&real);
    return rc;
}

static int snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                         struct mf_error *err)
{
    OWN;
    return SOURCE_OP->snapshot_open(own, pipe, view_sessions(view_of(db), readers), ret, err);
}

static int snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    OWN;
    return SOURCE_OP->snapshot_now(own, view_sessions(view_of(db), readers), ret, err);
}

/* Counters of tables that are there under their own name. Those of the others count on in the source's table alone. */
struct sequences {
    const struct view_db *v;
    mf_sequence_sink *emit;
    void *ctx;
};

static int show_sequence(void *ctx, const struct mf_sequence *q, struct mf_error *err)
{
    const struct sequences *s = ctx;
    const struct mf_table of = {.schema = q->schema, .name = q->table};
    bool hidden = s->v->map->only;
    for (size_t i = 0; q->table[0] && i < s->v->map->n && !hidden; i++) {
        hidden = view_entry_of(&s->v->map->tables[i], &of);
    }
    return hidden ? 0 : s->emit(s->ctx, q, err);
}

static int sequences(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                     struct mf_error *err)
{
    OWN;
    struct sequences s = {.v = view_of(db), .emit = emit, .ctx = ctx};
    return SOURCE_OP->sequences(own, filter, show_sequence, &s, err);
}

/* ---- as far as a source is a target ---- */

static int no_target(struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFONEWAY", "rows of query tables do not go back into the tables they were made of");
    mf_hint(err, "a migration with a map goes one way");
    return -1;
}

static int check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)db, (void)src, (void)filter, (void)out;
    return no_target(err);
}

static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return no_target(err);
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    (void)db, (void)src, (void)job, (void)out;
    return no_target(err);
}

static int schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                             int64_t stamp, struct mf_error *err)
{
    (void)db, (void)src, (void)t, (void)c, (void)stamp;
    return no_target(err);
}

static int loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)ret;
    return no_target(err);
}

static int applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    (void)db, (void)pipe, (void)ret;
    return no_target(err);
}

static int chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                       struct mf_error *err)
{
    (void)db, (void)pipe, (void)emit, (void)ctx;
    return no_target(err);
}

static int table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    (void)db, (void)pipe, (void)t;
    return no_target(err);
}

static int table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    (void)db, (void)t;
    return no_target(err);
}

static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    (void)db, (void)seqs;
    return n ? no_target(err) : 0;
}

static int triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                          const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                          struct mf_error *err)
{
    (void)db, (void)src, (void)pipe, (void)tables, (void)o, (void)out;
    return no_target(err);
}

/* ---- who may write ---- */

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    OWN;
    struct mf_catalog real = {0};
    if (view_catalog_own(view_of(db), tables, 0, &real, err) < 0) {
        return -1;
    }
    int rc = GATE_OP->gate_install(own, pipe, &real, o, err);
    mf_catalog_free(&real);
    return rc;
}

/* ---- the tables: what is not named here works on objects that know their own database (snapshots, holds, run locks) ---- */

static void fill_source(struct mf_source_ops *s)
{
    s->catalog = catalog;
    s->shapes = shapes;
    s->what_became = what_became;
    s->check = view_check;
    s->stream_prepare = stream_prepare;
    s->stream_add_tables = stream_add_tables;
    s->stream_open = view_stream_open;
    s->stream_next = view_stream_next;
    s->stream_ack = view_stream_ack;
    s->stream_close = view_stream_close;
    s->stream_confirm = view_stream_confirm;
    s->stream_wake = view_stream_wake;
    s->stream_leave = view_stream_leave;
    s->snapshot_open = snapshot_open;
    s->snapshot_now = snapshot_now;
    s->reader_open = view_reader_open;
    s->reader_close = view_reader_close;
    s->shape_same = view_shape_same;
    s->chunk_plan = view_chunk_plan;
    s->chunk_open = view_chunk_open;
    s->chunk_read = view_chunk_read;
    s->chunk_close = view_chunk_close;
    s->chunk_rows = view_chunk_rows;
    s->read_rows = view_read_rows;
    s->digest = view_digest;
    s->digest_rows = view_digest_rows;
    s->chunk_split = view_chunk_split;
    s->sequences = sequences;
}

static void fill_target(struct mf_target_ops *t)
{
    t->check = check_target;
    t->schema_apply = schema_apply;
    t->schema_plan = schema_plan;
    t->schema_add_column = schema_add_column;
    t->loader_open = loader_open;
    t->chunks_done = chunks_done;
    t->table_reset = table_reset;
    t->table_finish = table_finish;
    t->applier_open = applier_open;
    t->sequences_set = sequences_set;
    t->sequences_follow = mf_default_sequences_follow;
    t->triggers_learn = triggers_learn;
}

void view_fill_ops(struct view_db *v)
{
    mf_pass_ops(&v->source, &v->target, &v->traffic);
    fill_source(&v->source);
    fill_target(&v->target);
    v->traffic.gate_install = gate_install;
}
