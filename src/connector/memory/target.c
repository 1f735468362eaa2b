/* The target's side: schema, chunk records, checkpoint, quarantine; and the connector itself. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/defaults.h"
#include "connector/memory/dialect.h"
#include "connector/memory/stamped.h"

static int check(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                 struct mf_error *err)
{
    (void)src;
    (void)filter;
    (void)out;
    MEM_LOCKED;
    return mem_enter_db(db, "target.check", NULL, err);
}

static int prepare(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    (void)pipe;
    MEM_LOCKED;
    bool after;
    if (mem_enter_db(db, "target.prepare", &after, err) || mem_book_prepare(mem_server(db), err)) {
        return -1;
    }
    return after ? mem_lost_db(db, "target.prepare", err) : 0;
}

/* ---- schema ---- */

static int make_table(struct mf_mem_server *s, const struct mem_table *from, struct mf_error *err)
{
    const struct mf_table *t = &from->shape->table;
    if (mem_table_find(s, t->schema, t->name)) {
        return 0;
    }
    struct mf_mem_column columns[MF_MEM_MAX_COLUMNS];
    mem_shape_columns(from, columns);
    (void)err;
    struct mem_table *m = mem_table_add(s, t->schema, t->name, columns, t->ncolumns);
    m->has_key = t->nkey == 0;
    m->has_unique = from->shape->unique < 0 || mem_broken(s, "unique-early");
    return 0;
}

int mem_add_constraints(struct mem_table *m, bool unique, struct mf_error *err)
{
    if (unique ? m->has_unique : m->has_key) {
        return 0;
    }
    const struct mem_shape *h = m->shape;
    for (size_t i = 0; i < m->rows->n; i++) {
        for (size_t k = i + 1; k < m->rows->n; k++) {
            const struct mf_value *a = m->rows->rows[i]->v, *b = m->rows->rows[k]->v;
            bool twice = unique ? a[h->unique].kind != MF_NULL && b[h->unique].kind != MF_NULL &&
                                      mem_compare(true, &a[h->unique], &b[h->unique]) == 0
                                : mem_compare_key(h, a, b) == 0;
            if (twice) {
                uint16_t c = unique ? (uint16_t)h->unique : h->table.key[0];
                return mf_fail(err, MF_FATAL, "23505", "could not create unique index on %s.%s: %.*s is there twice",
                               h->table.schema, h->table.name, (int)a[c].len, a[c].data);
            }
        }
    }
    if (unique) {
        m->has_unique = true;
    } else {
        m->has_key = true;
    }
    return 0;
}

static int schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err)
{
    (void)out;
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    for (size_t i = 0; i < job->tables->n; i++) {
        const struct mf_table *t = &job->tables->tables[i];
        if (mem_enter_db(db, "target.schema_apply", NULL, err)) {
            return -1;
        }
        const struct mem_table *from = mem_table_need(mem_server(src), t->schema, t->name, err);
        if (!from) {
            return -1;
        }
        if (job->stage == MF_SCHEMA_BEFORE_ROWS) {
            make_table(s, from, err);
            continue;
        }
        struct mem_table *m = mem_table_need(s, t->schema, t->name, err);
        bool unique = job->stage == MF_SCHEMA_AFTER_SYNC;
        if (m && mem_keeps_last(s)) {
            m->has_key |=
                s->knobs.silent && !unique; /* its applications look before they write, one at a time for a key */
            continue;                       /* it cannot forbid what it does not read */
        }
        if (!m || mem_add_constraints(m, unique, err)) {
            return -1;
        }
    }
    return 0;
}

static int schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err)
{
    (void)db;
    (void)src;
    (void)err;
    for (size_t i = 0; i < job->tables->n; i++) {
        mf_buf_printf(out, "CREATE TABLE %s.%s;\n", job->tables->tables[i].schema, job->tables->tables[i].name);
    }
    return 0;
}

static int schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                             int64_t stamp, struct mf_error *err)
{
    (void)src, (void)stamp; /* the rows that are here get a NULL */
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "target.schema_add_column", NULL, err)) {
        return -1;
    }
    const struct mem_table *m = mem_table_find(s, t->schema, t->name);
    if (m && mem_column_at(&m->shape->table, c->name) >= 0) {
        return 0;
    }
    struct mf_mem_column column = {.name = c->name, .text = c->type_id == 25};
    return mf_mem_add_column(s, t->schema, t->name, &column, err);
}

/* ---- copy ---- */

static int chunks_done(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                       struct mf_error *err)
{
    MEM_LOCKED;
    const struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "target.chunks_done", NULL, err)) {
        return -1;
    }
    for (size_t i = 0; i < s->nchunks; i++) {
        if (mem_pipe_equal(&s->chunks[i].pipe, pipe) && emit(ctx, &s->chunks[i].done, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int table_reset(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "target.table_reset", &after, err)) {
        return -1;
    }
    struct mem_table *m = mem_table_need(s, t->schema, t->name, err);
    if (!m) {
        return -1;
    }
    if (mem_keeps_last(s)) {
        mem_stamped_forget(s, m);
    }
    struct mf_mem_txn *txn = mem_txn_begin(s, true);
    if (mem_txn_truncate(txn, &m, 1, err)) {
        mem_txn_abort(txn);
        return -1;
    }
    if (mem_txn_commit(txn, NULL, err)) {
        return -1;
    }
    size_t n = 0;
    for (size_t i = 0; i < s->nchunks; i++) {
        const struct mf_chunk_done *d = &s->chunks[i].done;
        if (!mem_pipe_equal(&s->chunks[i].pipe, pipe) || !mf_streq(d->schema, t->schema) ||
            !mf_streq(d->table, t->name)) {
            s->chunks[n++] = s->chunks[i];
        }
    }
    s->nchunks = n;
    return after ? mem_lost_db(db, "target.table_reset", err) : 0;
}

static int table_finish(struct mf_db *db, const struct mf_table *t, struct mf_error *err)
{
    (void)t;
    MEM_LOCKED;
    return mem_enter_db(db, "target.table_finish", NULL, err);
}

/* ---- positions, sequences, quarantine ---- */

static int checkpoint(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "target.checkpoint", NULL, err)) {
        return -1;
    }
    return mem_book_read_checkpoint(mem_server(db), pipe, ret);
}

static int sequences_set(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "target.sequences_set", &after, err)) {
        return -1;
    }
    for (size_t i = 0; i < n && !mem_broken(s, "no-sequences"); i++) {
        size_t at = 0;
        while (at < s->nsequences &&
               (!mf_streq(s->sequences[at].schema, seqs[i].schema) || !mf_streq(s->sequences[at].name, seqs[i].name))) {
            at++;
        }
        if (at == MF_ARRAY_LEN(s->sequences)) {
            return mf_fail(err, MF_FATAL, "53400", "too many sequences");
        }
        s->sequences[at] = seqs[i];
        s->nsequences += at == s->nsequences;
    }
    return after ? mem_lost_db(db, "target.sequences_set", err) : 0;
}

static int quarantine_list(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                           struct mf_error *err)
{
    MEM_LOCKED;
    const struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "target.quarantine_list", NULL, err)) {
        return -1;
    }
    for (size_t i = 0; i < s->nquarantined; i++) {
        if (mem_pipe_equal(&s->quarantined[i].pipe, pipe) && emit(ctx, &s->quarantined[i].q, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int quarantine_drop(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "target.quarantine_drop", NULL, err)) {
        return -1;
    }
    for (size_t i = 0; i < s->nquarantined; i++) {
        if (mem_pipe_equal(&s->quarantined[i].pipe, pipe) && s->quarantined[i].q.id == id) {
            mem_quarantined_free(&s->quarantined[i].q);
            memmove(&s->quarantined[i], &s->quarantined[i + 1], (s->nquarantined - i - 1) * sizeof s->quarantined[0]);
            s->nquarantined--;
            return 0;
        }
    }
    return mf_fail(err, MF_USAGE, "MFNOROW", "quarantine has no row %lld", (long long)id);
}

const struct mf_target_ops mem_target_ops = {
    .check = check,
    .check_queries = mf_default_check_queries,
    .check_durable = mf_default_check_durable,
    .check_accounts = mf_default_check_accounts,
    .schema_apply = schema_apply,
    .schema_plan = schema_plan,
    .schema_add_column = schema_add_column,
    .loader_open = mem_loader_open,
    .loader_close = mem_loader_close,
    .load_begin = mem_load_begin,
    .load_data = mem_load_data,
    .load_row = mem_load_row,
    .load_rows = mem_load_rows,
    .load_applier = mem_load_applier,
    .load_quarantine = mem_load_quarantine,
    .load_commit = mem_load_commit,
    .load_abort = mem_load_abort,
    .chunks_done = chunks_done,
    .table_reset = table_reset,
    .table_finish = table_finish,
    .prepare = prepare,
    .applier_open = mem_applier_open,
    .applier_close = mem_applier_close,
    .checkpoint = checkpoint,
    .window_begin = mem_window_begin,
    .window_batch = mem_window_batch,
    .window_cascade = mf_default_window_cascade,
    .window_mark = mem_window_mark,
    .window_settle = mem_window_settle,
    .window_back = mem_window_back,
    .quarantine_put = mem_quarantine_put,
    .quarantine_clear = mem_quarantine_clear,
    .window_commit = mem_window_commit,
    .window_abort = mem_window_abort,
    .repair_rows = mem_repair_rows,
    .sequences_set = sequences_set,
    .sequences_follow = mf_default_sequences_follow,
    .references_whole = mf_default_references_whole,
    .triggers_learn = mf_default_triggers_learn,
    .triggers_up = mf_default_triggers_up,
    .quarantine_list = quarantine_list,
    .quarantine_drop = quarantine_drop,
};

/* ---- the connector ---- */

static const struct mf_connector unordered, other_unordered, stamped_unordered, silent,
    newer; /* of servers with that knob */

static int open_db(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err)
{
    MEM_LOCKED;
    bool other = mf_starts_with(o->url, "memx://"), stamped = mf_starts_with(o->url, "mems://");
    const char *name = other || stamped ? o->url + 7 : mf_starts_with(o->url, "mem://") ? o->url + 6 : "";
    struct mf_mem_server *s = mem_server_find(name);
    if (!s || s->knobs.other != other || mem_keeps_last(s) != stamped) {
        return mf_fail(err, MF_FATAL, "08001", "no server \"%s\" lives in this process", name);
    }
    struct mem_conn c = mem_connect(s);
    if (mem_enter(&c, "open", NULL, err)) {
        return -1;
    }
    struct mem_db *db = mf_xcalloc(1, sizeof *db);
    const struct mf_connector *kinds[] = {&mf_connector_memory, &mf_connector_memory_other, &unordered,
                                          &other_unordered};
    const struct mf_connector *lasting[] = {&mf_connector_memory_stamped, &stamped_unordered};
    db->base = (struct mf_db){.connector = s->knobs.silent  ? &silent
                                           : s->knobs.newer ? &newer
                                           : stamped        ? lasting[s->knobs.unordered]
                                                            : kinds[other + 2 * s->knobs.unordered],
                              .side = o->side};
    db->server = s;
    *ret = &db->base;
    return 0;
}

static void close_db(struct mf_db *db)
{
    free(db);
}

static int facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "facts", NULL, err)) {
        return -1;
    }
    struct mf_db_facts f = {.engine = "memory", .version = "1.0", .version_num = 10000, .encoding = "UTF8"};
    const char *name = mem_server(db)->name;
    mf_strlcpy(f.system_id, name, sizeof f.system_id);
    mf_strlcpy(f.database, name, sizeof f.database);
    mf_strlcpy(f.host, "memory", sizeof f.host);
    mf_strlcpy(f.user, "midflight", sizeof f.user);
    *ret = f;
    return 0;
}

static const char *const schemes[] = {"mem", NULL}, *const other_schemes[] = {"memx", NULL},
                         *const stamped_schemes[] = {"mems", NULL};

#define MEM_CONNECTOR                                                                                                  \
    .can_source = true, .can_target = true, .commits_can_wait = true, .order_is_bytes = true, .open = open_db,         \
    .close = close_db, .facts = facts, .source = &mem_source_ops, .target = &mem_target_ops,                           \
    .traffic = &mem_traffic_ops, .replication = &mf_default_replication

#define MEM_PLAIN .name = "memory", .in_memory = true, .schemes = schemes, .wire = "memory", .canon = &mem_canon_plain
#define MEM_OTHER                                                                                                      \
    .name = "memory-other", .in_memory = true, .schemes = other_schemes, .wire = "memory-other",                       \
    .canon = &mem_canon_other
#define MEM_STAMPED                                                                                                    \
    .name = "memory-stamped", .in_memory = true, .schemes = stamped_schemes, .wire = "memory",                         \
    .canon = &mem_canon_plain, .last_write_wins = true

const struct mf_connector mf_connector_memory = {MEM_PLAIN, MEM_CONNECTOR, .streams = true};
const struct mf_connector mf_connector_memory_other = {MEM_OTHER, MEM_CONNECTOR, .streams = true};
const struct mf_connector mf_connector_memory_stamped = {MEM_STAMPED, MEM_CONNECTOR, .streams = true};
static const struct mf_connector unordered = {MEM_PLAIN, MEM_CONNECTOR, .streams = true, .reads_unordered = true};
static const struct mf_connector other_unordered = {MEM_OTHER, MEM_CONNECTOR, .streams = true, .reads_unordered = true};
static const struct mf_connector stamped_unordered = {MEM_STAMPED, MEM_CONNECTOR, .streams = true,
                                                      .reads_unordered = true};
static const struct mf_connector newer = {MEM_PLAIN, MEM_CONNECTOR, .streams = true, .shows_newer = true};
static const struct mf_connector silent = {MEM_STAMPED, MEM_CONNECTOR, .reads_unordered = true, .soft_hold = true};
