/* Decoding the log into a change stream, as a server does that reorders transactions into commit order.
 *
 * The decoder walks the log from its beginning each time it is opened: what committed at or before the starting point is thrown away when
 * its commit is met. A transaction larger than stream_after is sent piece by piece before its end; then aborts of it must be told. What the
 * slot has confirmed is never sent again, whatever the client asks for: acknowledging too early loses rows here, as it does there. */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "connector/memory/internal.h"

struct pending { /* a transaction whose end was not met yet */
    uint64_t xid;
    bool streamed;
    size_t n, cap, sent;
    size_t *records; /* in the log; SIZE_MAX: undone by a subtransaction's abort */
};

struct mem_stream {
    struct mf_stream base;
    struct mem_conn conn;
    struct mf_pipe_id pipe;
    struct mf_arena arena;
    uint64_t from, progress, sent;
    size_t at; /* next record of the log */
    size_t npending, pending_cap;
    struct pending *pending;
    size_t nseen, seen_cap;
    const struct mem_shape **seen; /* shapes announced on this stream */
    /* being sent */
    struct pending *piece;
    bool begun, ends;
    uint64_t commit_lsn;
    int64_t commit_time;
    bool commits_wait;
};

int mem_stream_prepare(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                       struct mf_position *ret_start, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "source.stream_prepare", &after, err)) {
        return -1;
    }
    struct mem_slot *slot = mem_slot_find(s, pipe);
    uint64_t since = slot ? s->lsn : 0;
    if (!slot) {
        if (s->nslots == sizeof s->slots / sizeof s->slots[0]) {
            return mf_fail(err, MF_FATAL, "53400", "all replication slots of %s are in use", s->name);
        }
        slot = &s->slots[s->nslots++];
        *slot = (struct mem_slot){.pipe = *pipe, .confirmed = s->lsn};
    }
    mem_slot_add_tables(s, slot, tables, since);
    if (after) {
        return mem_lost_db(db, "source.stream_prepare", err);
    }
    *ret_start = mem_position(slot->confirmed);
    return 0;
}

int mem_stream_add_tables(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.stream_add_tables", NULL, err)) {
        return -1;
    }
    struct mem_slot *slot = mem_slot_find(mem_server(db), pipe);
    if (!slot) {
        return mf_fail(err, MF_FATAL, "42704", "stream of %s is not prepared", pipe->migration);
    }
    mem_slot_add_tables(mem_server(db), slot, tables, mem_server(db)->lsn);
    return 0;
}

int mem_stream_drop(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "source.stream_drop", NULL, err)) {
        return -1;
    }
    struct mem_slot *slot = mem_slot_find(s, pipe);
    if (slot && slot->active) {
        return mf_fail(err, MF_RETRY, "55006", "stream of %s is in use", pipe->migration);
    }
    if (slot) {
        *slot = s->slots[--s->nslots];
    }
    return 0;
}

static struct mem_slot *slot_usable(struct mem_stream *st, struct mf_error *err)
{
    struct mem_slot *slot = mem_slot_find(st->conn.server, &st->pipe);
    if (!slot || slot->lost) {
        mf_fail(err, MF_FATAL, "MFSLOT", "the stream of %s on %s is lost: changes are missing from here on",
                st->pipe.migration, st->conn.server->name);
        mf_hint(err, "start the migration again from the copy");
        return NULL;
    }
    return slot;
}

int mem_stream_open(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                    struct mf_stream **ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "source.stream_open", NULL, err)) {
        return -1;
    }
    struct mem_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = db;
    st->conn = mem_connect(mem_server(db));
    st->pipe = *pipe;
    mf_arena_init(&st->arena, 16u << 20);
    struct mem_slot *slot = slot_usable(st, err);
    if (!slot || slot->active) {
        free(st);
        return slot ? mf_fail(err, MF_RETRY, "55006", "stream of %s is in use", pipe->migration) : -1;
    }
    if (from->order && slot->confirmed > from->order) {
        free(st);
        return mf_fail(err, MF_FATAL, "MFSLOT",
                       "the slot of %s has been acknowledged up to %llu, but changes are needed from %llu on",
                       pipe->migration, (unsigned long long)slot->confirmed, (unsigned long long)from->order);
    }
    slot->active = true;
    st->commits_wait = commits_wait;
    slot->confirmed = from->order ? from->order : slot->confirmed; /* as a real one's first status message does */
    st->from = slot->confirmed;
    st->sent = st->progress = st->from;
    *ret = &st->base;
    return 0;
}

void mem_stream_close(struct mf_stream *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    struct mem_stream *st = (struct mem_stream *)base;
    struct mem_slot *slot = mem_slot_find(st->conn.server, &st->pipe);
    if (slot && st->conn.generation == st->conn.server->generation) {
        slot->active = false;
    }
    for (size_t i = 0; i < st->npending; i++) {
        free(st->pending[i].records);
    }
    free(st->pending);
    free((void *)st->seen);
    mf_arena_free(&st->arena);
    free(st);
}

/* ---- what is waiting ---- */

static struct pending *pending_find(struct mem_stream *st, uint64_t xid)
{
    for (size_t i = 0; i < st->npending; i++) {
        if (st->pending[i].xid == xid) {
            return &st->pending[i];
        }
    }
    return NULL;
}

static void pending_drop(struct mem_stream *st, struct pending *p)
{
    free(p->records);
    *p = st->pending[--st->npending];
}

static struct pending *pending_add(struct mem_stream *st, uint64_t xid, size_t record)
{
    struct pending *p = pending_find(st, xid);
    if (!p) {
        if (st->npending == st->pending_cap) {
            st->pending_cap = st->pending_cap ? st->pending_cap * 2 : 8;
            st->pending = mf_xreallocarray(st->pending, st->pending_cap, sizeof *st->pending);
        }
        p = &st->pending[st->npending++];
        *p = (struct pending){.xid = xid};
    }
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 8;
        p->records = mf_xreallocarray(p->records, p->cap, sizeof *p->records);
    }
    p->records[p->n++] = record;
    return p;
}

static bool published(const struct mem_slot *slot, const struct mem_log *l, bool hidden)
{
    const struct mem_change *c = l->change;
    if (c->op != MF_TRUNCATE && c->table->book && !(hidden && strcmp(c->table->shape->table.name, "epoch") == 0)) {
        /* Chunk records and the like never come here: they are not tables of this server. */
        return true;
    }
    for (size_t i = 0; i < slot->ntables; i++) {
        for (uint16_t k = 0; k < c->ntruncated; k++) {
            if (slot->tables[i].table == c->truncated[k]) {
                return true;
            }
        }
        if (slot->tables[i].table == c->table && l->lsn > slot->tables[i].since) {
            return true;
        }
    }
    return false;
}

/* ---- items ---- */

/* A table of the stream whose shape this stream has not told yet. */
static bool announce(struct mem_stream *st, const struct mem_shape *shape, struct mf_item *ret)
{
    for (size_t i = 0; i < st->nseen; i++) {
        if (st->seen[i] == shape) {
            return false;
        }
    }
    if (st->nseen == st->seen_cap) {
        st->seen_cap = st->seen_cap ? st->seen_cap * 2 : 8;
        st->seen = mf_xreallocarray((void *)st->seen, st->seen_cap, sizeof(struct mem_shape *));
    }
    st->seen[st->nseen++] = shape;
    *ret = (struct mf_item){.kind = MF_ITEM_RELATION, .table = &shape->table};
    return true;
}

static struct mf_value *values_copy(struct mem_stream *st, const struct mem_row *r)
{
    struct mf_value *v = mf_alloc_array(&st->arena, r->n, sizeof *v);
    if (!v) {
        abort();
    }
    memcpy(v, r->v, r->n * sizeof *v);
    return v;
}

static bool same_value(const struct mf_value *a, const struct mf_value *b)
{
    return a->kind == b->kind && a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void item_change(struct mem_stream *st, const struct mem_change *c, struct mf_change *out)
{
    const struct mem_shape *h = c->shape;
    bool full = h->table.identity == MF_IDENTITY_FULL ||
                mem_slot_old_whole(mem_slot_find(st->conn.server, &st->pipe), c->table);
    *out = (struct mf_change){.op = c->op, .table = &h->table};
    if (c->op == MF_TRUNCATE) {
        out->truncated = mf_alloc_array(&st->arena, c->ntruncated, sizeof(struct mf_table *));
        out->truncated_rels = mf_alloc_array(&st->arena, c->ntruncated, sizeof *out->truncated_rels);
        out->ntruncated = c->ntruncated;
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            out->truncated[i] = &c->truncated[i]->shape->table;
        }
        return;
    }
    if (c->new_row) {
        struct mf_value *v = values_copy(st, c->new_row);
        bool whole = c->op != MF_UPDATE || st->conn.server->knobs.newer;
        for (uint16_t i = 0; !whole && i < c->new_row->n; i++) {
            if (h->toast[i] && v[i].kind != MF_NULL && same_value(&v[i], &c->old_row->v[i])) {
                v[i] = (struct mf_value){.kind = mem_broken(st->conn.server, "toast-null") ? MF_NULL : MF_UNCHANGED};
            }
        }
        out->new_row = (struct mf_row){.n = c->new_row->n, .values = v};
    }
    bool key_changed = c->op == MF_UPDATE && !full && mem_compare_key(h, c->old_row->v, c->new_row->v) != 0;
    if (c->op == MF_DELETE || key_changed || (full && c->old_row)) {
        struct mf_value *v = values_copy(st, c->old_row);
        for (uint16_t i = 0; !full && i < c->old_row->n; i++) {
            if (!h->table.columns[i].in_key) {
                v[i] = (struct mf_value){.kind = MF_UNCHANGED};
            }
        }
        out->has_old = true;
        out->old_row = (struct mf_row){.n = c->old_row->n, .values = v};
    }
}

/* The next item of the piece being sent; false when it is over. */
static bool piece_next(struct mem_stream *st, struct mf_item *ret)
{
    struct pending *p = st->piece;
    struct mf_mem_server *s = st->conn.server;
    if (!st->begun) {
        st->begun = true;
        *ret = (struct mf_item){.kind = MF_ITEM_BEGIN, .txn = p->xid, .subtxn = p->xid};
        return true;
    }
    while (p->sent < p->n) {
        size_t at = p->records[p->sent];
        const struct mem_log *l = at == SIZE_MAX ? NULL : &s->log[at];
        if (!l) {
            p->sent++;
            continue;
        }
        for (uint16_t i = 0; i < l->change->ntruncated; i++) {
            if (announce(st, l->change->truncated[i]->shape, ret)) {
                return true;
            }
        }
        if (announce(st, l->change->shape, ret)) {
            return true;
        }
        p->sent++;
        *ret = (struct mf_item){.kind = MF_ITEM_CHANGE, .txn = p->xid, .subtxn = l->subxid};
        item_change(st, l->change, &ret->change);
        return true;
    }
    uint64_t xid = p->xid;
    st->piece = NULL;
    if (!st->ends) {
        p->streamed = true;
        return false;
    }
    pending_drop(st, p);
    st->sent = st->progress = st->commit_lsn;
    *ret = (struct mf_item){.kind = MF_ITEM_COMMIT,
                            .txn = xid,
                            .subtxn = xid,
                            .position = mem_position(st->commit_lsn),
                            .commit_time_us = st->commit_time};
    return true;
}

static void piece_start(struct mem_stream *st, struct pending *p, const struct mem_log *commit)
{
    st->piece = p;
    st->begun = false;
    st->ends = commit != NULL;
    st->commit_lsn = commit ? commit->lsn : 0;
    st->commit_time = commit ? commit->time_us : 0;
}

static bool undo_sub(struct mem_stream *st, struct pending *p, uint64_t subxid)
{
    const struct mf_mem_server *s = st->conn.server;
    bool sent = false;
    for (size_t i = 0; i < p->n; i++) {
        if (p->records[i] != SIZE_MAX && s->log[p->records[i]].subxid == subxid) {
            sent = sent || i < p->sent;
            p->records[i] = SIZE_MAX;
        }
    }
    return sent;
}

/* Takes one record of the log. True when there is an item. */
static bool take(struct mem_stream *st, const struct mem_slot *slot, size_t at, struct mf_item *ret)
{
    const struct mf_mem_server *s = st->conn.server;
    const struct mem_log *l = &s->log[at];
    struct pending *p = pending_find(st, l->xid);
    switch (l->kind) {
    case MEM_LOG_CHANGE:
        if (published(slot, l, mem_broken(s, "epoch-hidden"))) {
            p = pending_add(st, l->xid, at);
            if (s->knobs.stream_after && p->n - p->sent > s->knobs.stream_after && l->lsn > st->from) {
                piece_start(st, p, NULL);
            }
        }
        return false;
    case MEM_LOG_ABORT_SUB:
        if (p && undo_sub(st, p, l->subxid) && !mem_broken(s, "lost-abort")) {
            *ret = (struct mf_item){.kind = MF_ITEM_ABORT, .txn = l->xid, .subtxn = l->subxid};
            return true;
        }
        return false;
    case MEM_LOG_ABORT:
        if (p) {
            bool tell = p->sent > 0;
            pending_drop(st, p);
            if (tell) {
                *ret = (struct mf_item){.kind = MF_ITEM_ABORT, .txn = l->xid, .subtxn = l->xid};
                return true;
            }
        }
        return false;
    case MEM_LOG_COMMIT:
        if (p && l->lsn <= st->from) {
            pending_drop(st, p);
        } else if (p) {
            piece_start(st, p, l);
        }
        return false;
    }
    return false;
}

int mem_stream_next(struct mf_stream *base, int timeout_ms, struct mf_item *ret, struct mf_error *err)
{
    (void)timeout_ms; /* with one thread nothing can arrive while we wait */
    MEM_LOCKED;
    struct mem_stream *st = (struct mem_stream *)base;
    if (mem_enter(&st->conn, "source.stream_next", NULL, err)) {
        return -1;
    }
    struct mem_slot *slot = slot_usable(st, err);
    if (!slot) {
        return -1;
    }
    mf_arena_reset(&st->arena);
    const struct mf_mem_server *s = st->conn.server;
    for (;;) {
        if (st->piece && piece_next(st, ret)) {
            if (mem_broken(s, "ack-early") && ret->kind == MF_ITEM_COMMIT) {
                slot->confirmed = st->sent;
            }
            return 0;
        }
        if (st->at == s->nlog) {
            break;
        }
        if (take(st, slot, st->at++, ret)) {
            return 0;
        }
    }
    if (s->lsn > st->progress) {
        st->sent = st->progress = s->lsn;
        *ret = (struct mf_item){
            .kind = MF_ITEM_PROGRESS, .position = mem_position(s->lsn), .reply_wanted = s->lsn % 3 == 0};
        return 0;
    }
    *ret = (struct mf_item){.kind = MF_ITEM_NONE};
    return 0;
}

int mem_stream_ack(struct mf_stream *base, const struct mf_position *durable, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_stream *st = (struct mem_stream *)base;
    bool after;
    if (mem_enter(&st->conn, "source.stream_ack", &after, err)) {
        return -1;
    }
    struct mem_slot *slot = slot_usable(st, err);
    if (!slot) {
        return -1;
    }
    if (durable->order > st->sent) {
        mem_violate(st->conn.server, "acknowledged %s, sent only up to %llx", durable->token,
                    (unsigned long long)st->sent);
    }
    if (durable->order > slot->confirmed && !mem_broken(st->conn.server, "skip-ack")) {
        slot->confirmed = durable->order;
    }
    return after ? mem_lost(&st->conn, "source.stream_ack", err) : 0;
}

/* Nobody waits here; what would have been answered is remembered, for tests to hold against the target. */
int mem_stream_confirm(struct mf_stream *base, const struct mf_position *upto, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_stream *st = (struct mem_stream *)base;
    bool after;
    if (mem_enter(&st->conn, "source.stream_confirm", &after, err)) {
        return -1;
    }
    if (!st->commits_wait || upto->order > st->sent) {
        mem_violate(st->conn.server, "confirmed %s to a stream nobody waits for, or before it was sent", upto->token);
    }
    uint64_t *answered = &st->conn.server->answered;
    *answered = upto->order > *answered ? upto->order : *answered;
    return after ? mem_lost(&st->conn, "source.stream_confirm", err) : 0;
}
