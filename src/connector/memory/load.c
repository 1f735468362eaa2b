/* Loading chunks: one transaction each, with its record. */
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/defaults.h"
#include "connector/memory/applier.h"
#include "connector/memory/stamped.h"

struct mem_loader {
    struct mf_loader base;
    struct mem_conn conn;
    struct mf_pipe_id pipe;
    struct mf_mem_txn *txn;
    struct mem_table *table;
    struct mf_arena arena; /* the source's shape while a chunk is loaded */
    const struct mf_table *shape;
    struct mf_buf wire;
    bool by_wire;
    int64_t stamp;
    bool open; /* where the last write is kept: in a chunk */
    struct mem_writes writes;
    struct mem_pending pending;
    struct mem_applier applier; /* of the chunk, where one was asked for: its transaction is the chunk's */
};

/* ---- quarantine rows that wait for their transaction ---- */

static const char *copy_string(const char *s)
{
    return s ? mf_xstrdup(s) : NULL;
}

void mem_quarantined_free(struct mf_quarantined *q)
{
    free((void *)q->key);
    free((void *)q->column);
    free((void *)q->reason);
    free((void *)q->row);
}

void mem_pending_add(struct mem_pending *p, const struct mf_quarantined *q)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 4;
        p->q = mf_xreallocarray(p->q, p->cap, sizeof *p->q);
    }
    struct mf_quarantined *to = &p->q[p->n++];
    *to = *q;
    to->key = copy_string(q->key);
    to->column = copy_string(q->column);
    to->reason = copy_string(q->reason);
    to->row = copy_string(q->row);
}

/* What is in quarantine under this key (NULL: of the whole table). */
static void forget(struct mf_mem_server *s, const struct mf_pipe_id *pipe, const struct mf_quarantined *q)
{
    size_t n = 0;
    for (size_t i = 0; i < s->nquarantined; i++) {
        struct mem_quarantined *x = &s->quarantined[i];
        if (mem_pipe_equal(&x->pipe, pipe) && mf_streq(x->q.table, q->table) && mf_streq(x->q.schema, q->schema) &&
            (!q->key || mf_streq(x->q.key, q->key))) {
            mem_quarantined_free(&x->q);
        } else {
            s->quarantined[n++] = *x;
        }
    }
    s->nquarantined = n;
}

void mem_pending_commit(struct mem_pending *p, struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    for (size_t i = 0; i < p->n; i++) {
        if (!p->q[i].row || (p->q[i].key && p->q[i].key[0])) { /* rows without a key are no one's successors */
            forget(s, pipe, &p->q[i]);
        }
        if (!p->q[i].row) { /* it only leaves */
            mem_quarantined_free(&p->q[i]);
            continue;
        }
        if (s->nquarantined == s->quarantined_cap) {
            s->quarantined_cap = s->quarantined_cap ? s->quarantined_cap * 2 : 8;
            s->quarantined = mf_xreallocarray(s->quarantined, s->quarantined_cap, sizeof *s->quarantined);
        }
        struct mem_quarantined *to = &s->quarantined[s->nquarantined++];
        to->pipe = *pipe;
        to->q = p->q[i];
        to->q.id = ++s->next_quarantine;
    }
    p->n = 0;
}

void mem_pending_drop(struct mem_pending *p)
{
    for (size_t i = 0; i < p->n; i++) {
        mem_quarantined_free(&p->q[i]);
    }
    p->n = 0;
}

/* ---- the loader ---- */

int mem_loader_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "target.loader_open", NULL, err)) {
        return -1;
    }
    struct mem_loader *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    l->conn = mem_connect(mem_server(db));
    l->pipe = *pipe;
    mf_buf_init(&l->wire, 64u << 20);
    mf_arena_init(&l->arena, 1u << 20);
    *ret = &l->base;
    return 0;
}

void mem_load_abort(struct mf_loader *base)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    mem_txn_abort(l->txn);
    l->txn = l->applier.txn = NULL;
    mem_pending_drop(&l->applier.pending);
    mem_writes_lose(&l->writes, l->conn.server);
    l->open = false;
    mem_pending_drop(&l->pending);
    mf_buf_reset(&l->wire);
}

void mem_loader_close(struct mf_loader *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    mem_load_abort(base);
    mf_buf_free(&l->wire);
    mf_arena_free(&l->arena);
    free(l->pending.q);
    free(l->applier.pending.q);
    free(l->writes.list);
    free(l);
}

int mem_load_begin(struct mf_loader *base, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                   struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (mem_enter(&l->conn, "target.load_begin", NULL, err)) {
        return -1;
    }
    struct mem_table *m = mem_table_need(l->conn.server, t->schema, t->name, err);
    if (!m) {
        return -1;
    }
    mem_load_abort(base);
    mf_arena_reset(&l->arena);
    l->shape = mf_table_copy(&l->arena, source_shape);
    l->table = m;
    l->by_wire = false;
    l->stamp = stamp + (mem_broken(l->conn.server, "load-late") ? 1000000 : 0);
    l->open = mem_keeps_last(l->conn.server);
    if (l->open) {
        return 0;
    }
    l->txn = mem_txn_begin(l->conn.server, true);
    return mem_txn_lock_table(l->txn, m, err);
}

static int usable(struct mem_loader *l, const char *op, struct mf_error *err)
{
    if (mem_enter(&l->conn, op, NULL, err)) {
        return -1;
    }
    return l->txn || l->open ? 0 : mf_fail(err, MF_FATAL, "MFCALL", "%s outside a chunk", op);
}

int mem_load_data(struct mf_loader *base, const void *data, size_t len, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (usable(l, "target.load_data", err)) {
        return -1;
    }
    l->by_wire = true;
    return mf_buf_append(&l->wire, data, len) ? mf_fail(err, MF_FATAL, "MFMEM", "chunk too large") : 0;
}

static int insert_row(struct mem_loader *l, const struct mf_value *values, struct mf_error *err)
{
    struct mf_value v[MF_MEM_MAX_COLUMNS];
    const struct mf_table *to = &l->table->shape->table;
    for (uint16_t i = 0; i < to->ncolumns; i++) {
        int at = mem_column_at(l->shape, to->columns[i].name);
        v[i] = at < 0 ? (struct mf_value){.kind = MF_NULL} : values[at];
        v[i].kind = l->open && v[i].kind == MF_NULL ? MF_UNCHANGED : v[i].kind;
    }
    if (l->open) {
        mem_writes_add(&l->writes, l->table, MEM_PUT, v, l->stamp);
        return 0;
    }
    return mem_txn_insert(l->txn, l->table, v, err);
}

int mem_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (usable(l, "target.load_row", err)) {
        return -1;
    }
    return insert_row(l, row->values, err);
}

int mem_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (usable(l, "target.load_rows", err)) {
        return -1;
    }
    size_t keep = l->txn ? l->txn->nchanges : 0;
    for (size_t i = 0; i < n; i++) {
        if (insert_row(l, rows[i].values, err)) {
            if (l->txn && !l->txn->dead) {
                mem_txn_rollback_to(l->txn, keep);
            }
            return -1;
        }
    }
    return 0;
}

int mem_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (usable(l, "target.load_quarantine", err)) {
        return -1;
    }
    mem_pending_add(&l->pending, q);
    return 0;
}

int mem_load_applier(struct mf_loader *base, struct mf_applier **ret, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    if (usable(l, "target.load_applier", err)) {
        return -1;
    }
    if (l->open) {
        return mf_default_load_applier(base, ret, err);
    }
    struct mem_pending pending = l->applier.pending;
    l->applier = (struct mem_applier){
        .base = {.db = base->db}, .conn = l->conn, .pipe = l->pipe, .txn = l->txn, .pending = pending};
    *ret = &l->applier.base;
    return 0;
}

/* What the applier put aside goes with the rest. */
static void take_pending(struct mem_loader *l)
{
    struct mem_pending *p = &l->applier.pending;
    for (size_t i = 0; i < p->n; i++) {
        mem_pending_add(&l->pending, &p->q[i]);
    }
    mem_pending_drop(p);
    l->applier.txn = NULL;
}

static int load_wire(struct mem_loader *l, struct mf_error *err)
{
    struct mf_cursor in;
    mf_cursor_init(&in, l->wire.data, l->wire.len);
    for (;;) {
        if (mf_cursor_left(&in) == 1 && *in.p == 0xff) {
            return 0;
        }
        struct mf_value v[MF_MEM_MAX_COLUMNS];
        for (uint16_t i = 0; i < l->shape->ncolumns; i++) {
            uint64_t n = mf_read_varint(&in);
            v[i] = (struct mf_value){.kind = n ? MF_TEXT : MF_NULL};
            if (n) {
                v[i].len = (uint32_t)(n - 1);
                v[i].data = mf_read_bytes(&in, n - 1);
            }
        }
        if (in.failed) {
            return mf_fail(err, MF_FATAL, "22P04", "unexpected end of the data for %s.%s", l->shape->schema,
                           l->shape->name);
        }
        if (insert_row(l, v, err)) {
            return -1;
        }
    }
}

void mem_chunk_record_add(struct mf_mem_server *s, const struct mf_pipe_id *pipe, const struct mf_chunk_done *done)
{
    if (s->nchunks == s->chunks_cap) {
        s->chunks_cap = s->chunks_cap ? s->chunks_cap * 2 : 16;
        s->chunks = mf_xreallocarray(s->chunks, s->chunks_cap, sizeof *s->chunks);
    }
    s->chunks[s->nchunks++] = (struct mem_chunk_record){.pipe = *pipe, .done = *done};
}

static bool recorded(const struct mem_loader *l, const struct mf_chunk_done *done)
{
    const struct mf_mem_server *s = l->conn.server;
    for (size_t i = 0; i < s->nchunks; i++) {
        const struct mem_chunk_record *c = &s->chunks[i];
        if (mem_pipe_equal(&c->pipe, &l->pipe) && c->done.table_id == done->table_id &&
            c->done.ordinal == done->ordinal) {
            return true;
        }
    }
    return false;
}

int mem_load_commit(struct mf_loader *base, const struct mf_chunk_done *done, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_loader *l = (struct mem_loader *)base;
    struct mf_mem_server *s = l->conn.server;
    bool after;
    take_pending(l);
    if (mem_enter(&l->conn, "target.load_commit", &after, err)) {
        struct mf_error ignored;
        if (l->open && l->by_wire) {
            load_wire(l, &ignored);
        }
        if (l->txn && !l->txn->dead && (!l->by_wire || load_wire(l, &ignored) == 0) && !recorded(l, done)) {
            mem_shadow_take(s, &l->txn, &l->pending, &l->pipe, done);
        }
        return -1;
    }
    if (!l->txn && !l->open) {
        return mf_fail(err, MF_FATAL, "MFCALL", "target.load_commit outside a chunk");
    }
    if (l->by_wire && load_wire(l, err)) {
        return -1;
    }
    if (recorded(l, done)) { /* an earlier try was committed, and its answer was lost */
        mem_load_abort(base);
        return 0;
    }
    if (s->shadow.txn && !s->shadow.window && s->shadow.done.table_id == done->table_id &&
        s->shadow.done.ordinal == done->ordinal) {
        return mf_fail(err, MF_RETRY, "55P03", "another session is about to commit this chunk");
    }
    struct mf_mem_txn *t = l->txn;
    l->txn = NULL;
    mem_writes_do(&l->writes, s);
    l->open = false;
    if (t && mem_txn_commit(t, NULL, err)) {
        return -1;
    }
    mem_chunk_record_add(s, &l->pipe, done);
    mem_pending_commit(&l->pending, s, &l->pipe);
    mf_buf_reset(&l->wire);
    return after ? mem_lost(&l->conn, "target.load_commit", err) : 0;
}
