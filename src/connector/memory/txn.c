/* Transactions: read committed, with row locks that never wait.
 *
 * A transaction holds a list of changes. What it sees of a table is what is committed now with its own changes on top; the locks (on keys
 * and on unique values, old and new) guarantee that the two never contradict each other. Where a real server would make it wait for
 * another transaction, the write fails with 55P03 and the caller comes back later: with one thread nobody else could end the wait.
 *
 * The log is written as the changes are made, so that transactions interleave in it as they do in a real log. */
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "connector/memory/stamped.h"

static struct mem_log *log_add(struct mf_mem_server *s, enum mem_log_kind kind, uint64_t xid, uint64_t subxid)
{
    if (s->nlog == s->log_cap) {
        s->log_cap = s->log_cap ? s->log_cap * 2 : 128;
        s->log = mf_xreallocarray(s->log, s->log_cap, sizeof *s->log);
    }
    s->lsn += 8;
    struct mem_log *l = &s->log[s->nlog++];
    *l = (struct mem_log){.kind = kind, .lsn = s->lsn, .xid = xid, .subxid = subxid, .time_us = mem_clock(s)};
    return l;
}

struct mf_mem_txn *mem_txn_begin(struct mf_mem_server *s, bool ours)
{
    struct mf_mem_txn *t = mf_xcalloc(1, sizeof *t);
    t->server = s;
    t->ours = ours;
    t->generation = s->generation;
    t->xid = t->subxid = ++s->next_xid;
    t->save = SIZE_MAX;
    t->next = s->open;
    s->open = t;
    return t;
}

static void views_drop(struct mf_mem_txn *t)
{
    for (size_t i = 0; i < t->nviews; i++) {
        mem_rows_unref(t->views[i].rows);
        mem_rows_unref(t->views[i].base);
    }
    t->nviews = 0;
}

/* Where the last write wins there are no locks: a write of an older time may have been shown since, and the row is another, or gone. */
static void view_apply_last(struct mem_rows *r, const struct mem_change *c)
{
    size_t at = c->old_row ? mem_rows_by_key(r, c->shape, c->old_row->v) : SIZE_MAX;
    if (at != SIZE_MAX) {
        mem_rows_remove(r, at);
    }
    if (!c->new_row) {
        return;
    }
    at = mem_rows_by_key(r, c->shape, c->new_row->v);
    if (at != SIZE_MAX) {
        mem_rows_replace(r, at, mem_row_ref(c->new_row));
    } else {
        mem_rows_add(r, mem_row_ref(c->new_row));
    }
}

static void view_apply(const struct mf_mem_txn *t, struct mem_rows *r, const struct mem_change *c,
                       const struct mem_table *table)
{
    if (c->op == MF_TRUNCATE) {
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            if (c->truncated[i] == table) {
                mem_rows_clear(r);
            }
        }
        return;
    }
    if (c->table != table) {
        return;
    }
    if (!table->book && mem_keeps_last(t->server)) {
        view_apply_last(r, c);
        return;
    }
    size_t at = c->old_row ? mem_rows_by_ref(r, c->old_row) : SIZE_MAX;
    if (c->op == MF_INSERT) {
        mem_rows_add(r, mem_row_ref(c->new_row));
    } else if (at == SIZE_MAX) {
        abort(); /* the locks did not hold what they promise */
    } else if (c->op == MF_DELETE) {
        mem_rows_remove(r, at);
    } else {
        mem_rows_replace(r, at, mem_row_ref(c->new_row));
    }
}

struct mem_rows *mem_txn_rows(struct mf_mem_txn *t, struct mem_table *table)
{
    struct mem_view *v = NULL;
    for (size_t i = 0; i < t->nviews; i++) {
        if (t->views[i].table == table) {
            v = &t->views[i];
        }
    }
    if (v && v->base == table->rows) {
        return v->rows;
    }
    if (!v) {
        v = &t->views[t->nviews++];
        v->table = table;
    } else {
        mem_rows_unref(v->rows);
        mem_rows_unref(v->base);
    }
    v->base = mem_rows_ref(table->rows);
    v->rows = mem_rows_ref(table->rows);
    mem_rows_own(&v->rows);
    for (size_t i = 0; i < t->nchanges; i++) {
        view_apply(t, v->rows, t->changes[i], table);
    }
    return v->rows;
}

/* ---- locks ---- */

static int lock(struct mf_mem_txn *t, const struct mem_table *table, uint64_t what, struct mf_error *err)
{
    struct mf_mem_server *s = t->server;
    for (size_t i = 0; i < s->nlocks; i++) {
        struct mem_lock *l = &s->locks[i];
        if (l->table == table && l->xid != t->xid && (l->what == what || l->what == 0 || what == 0)) {
            return mf_fail(err, MF_RETRY, "55P03", "row of %s.%s is locked by transaction %llu",
                           table->shape->table.schema, table->shape->table.name, (unsigned long long)l->xid);
        }
    }
    if (s->nlocks == s->locks_cap) {
        s->locks_cap = s->locks_cap ? s->locks_cap * 2 : 64;
        s->locks = mf_xreallocarray(s->locks, s->locks_cap, sizeof *s->locks);
    }
    s->locks[s->nlocks++] = (struct mem_lock){.xid = t->xid, .table = table, .what = what};
    return 0;
}

static void unlock(struct mf_mem_txn *t)
{
    struct mf_mem_server *s = t->server;
    size_t n = 0;
    for (size_t i = 0; i < s->nlocks; i++) {
        if (s->locks[i].xid != t->xid) {
            s->locks[n++] = s->locks[i];
        }
    }
    s->nlocks = n;
}

/* What every writer of a table holds: keeps others from truncating it, and nothing else. */
int mem_txn_lock_table(struct mf_mem_txn *t, const struct mem_table *table, struct mf_error *err)
{
    return lock(t, table, mem_mix(t->xid) | 1, err);
}

static int lock_row(struct mf_mem_txn *t, const struct mem_table *table, const struct mf_value *v, struct mf_error *err)
{
    const struct mem_shape *h = table->shape;
    if (h->table.identity == MF_IDENTITY_FULL) {
        return lock(t, table, 0, err);
    }
    if (lock(t, table, mem_key_hash(h, v), err)) {
        return -1;
    }
    if (h->unique >= 0 && v[h->unique].kind != MF_NULL) {
        return lock(t, table, XXH64(v[h->unique].data, v[h->unique].len, 77) & ~UINT64_C(1), err);
    }
    return 0;
}

/* ---- writing ---- */

static int may_write(struct mf_mem_txn *t, const struct mem_table *table, struct mf_error *err)
{
    struct mf_mem_server *s = t->server;
    if (t->dead) {
        return mf_fail(err, MF_RETRY, "08006", "the transaction was ended by server %s", s->name);
    }
    if (t->ours || table->book) {
        return 0;
    }
    for (size_t i = 0; !t->bypass && i < s->ngates; i++) {
        const struct mem_gate *g = &s->gates[i];
        for (size_t k = 0; k < g->ntables; k++) {
            if (g->tables[k] != table) {
                continue;
            }
            if (s->held && !t->wrote) { /* it is the gate that waits: where none stands, nobody does */
                return mf_fail(err, MF_RETRY, "MFHOLD", "writes on %s wait for a cutover", s->name);
            }
            if (!g->open) {
                return mf_fail(err, MF_FATAL, "MFGATE", "%s.%s may not be written on %s: writes have moved",
                               table->shape->table.schema, table->shape->table.name, s->name);
            }
        }
    }
    return 0;
}

/* May `values` stand beside the rows of r, but for the one at `except`? */
static int constraints(const struct mem_table *table, const struct mem_rows *r, const struct mf_value *values,
                       size_t except, struct mf_error *err)
{
    const struct mem_shape *h = table->shape;
    const char *schema = h->table.schema, *name = h->table.name;
    for (uint16_t c = 0; c < h->table.ncolumns; c++) {
        if (h->table.columns[c].not_null && values[c].kind == MF_NULL) {
            return mf_fail(err, MF_ROW, "23502", "null value in column %s of %s.%s", h->table.columns[c].name, schema,
                           name);
        }
        if (table->max_len[c] && values[c].kind != MF_NULL && values[c].len > table->max_len[c]) {
            return mf_fail(err, MF_ROW, "22001", "value too long for column %s of %s.%s", h->table.columns[c].name,
                           schema, name);
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        if (i == except) {
            continue;
        }
        const struct mf_value *other = r->rows[i]->v;
        if (table->has_key && h->table.identity == MF_IDENTITY_KEY && mem_compare_key(h, other, values) == 0) {
            return mf_fail(err, MF_ROW, "23505", "duplicate key in %s.%s: %.*s", schema, name,
                           (int)values[h->table.key[0]].len, values[h->table.key[0]].data);
        }
        if (table->has_unique && h->unique >= 0 && values[h->unique].kind != MF_NULL &&
            other[h->unique].kind != MF_NULL && mem_compare(true, &values[h->unique], &other[h->unique]) == 0) {
            return mf_fail(err, MF_ROW, "23505", "duplicate value in unique column %s of %s.%s: %.*s",
                           h->table.columns[h->unique].name, schema, name, (int)values[h->unique].len,
                           values[h->unique].data);
        }
    }
    return 0;
}

static void change_add(struct mf_mem_txn *t, struct mem_change *c)
{
    if (t->nchanges == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 8;
        t->changes = mf_xreallocarray(t->changes, t->cap, sizeof(struct mem_change *));
    }
    for (size_t i = 0; i < t->nviews; i++) {
        view_apply(t, t->views[i].rows, c, t->views[i].table);
    }
    t->changes[t->nchanges++] = c;
    t->wrote = true;
    log_add(t->server, MEM_LOG_CHANGE, t->xid, t->subxid)->change = c;
}

static struct mem_change *change_new(enum mf_op op, struct mem_table *table, struct mem_row *old_row,
                                     struct mem_row *new_row)
{
    struct mem_change *c = mf_xcalloc(1, sizeof *c);
    *c = (struct mem_change){
        .op = op, .table = table, .shape = table->shape, .old_row = mem_row_ref(old_row), .new_row = new_row};
    return c;
}

int mem_txn_insert(struct mf_mem_txn *t, struct mem_table *table, const struct mf_value *values, struct mf_error *err)
{
    if (may_write(t, table, err)) {
        return -1;
    }
    struct mem_rows *r = mem_txn_rows(t, table);
    bool full = table->shape->table.identity == MF_IDENTITY_FULL;
    if ((full ? mem_txn_lock_table(t, table, err) : lock_row(t, table, values, err)) ||
        constraints(table, r, values, SIZE_MAX, err)) {
        return -1;
    }
    change_add(t, change_new(MF_INSERT, table, NULL, mem_row_new(table->shape, values)));
    return 0;
}

int mem_txn_update(struct mf_mem_txn *t, struct mem_table *table, size_t at, const struct mf_value *values,
                   struct mf_error *err)
{
    if (may_write(t, table, err)) {
        return -1;
    }
    struct mem_rows *r = mem_txn_rows(t, table);
    struct mem_row *old_row = r->rows[at];
    struct mf_value merged[MF_MEM_MAX_COLUMNS];
    for (uint16_t c = 0; c < table->shape->table.ncolumns; c++) {
        merged[c] = values[c].kind == MF_UNCHANGED ? old_row->v[c] : values[c];
    }
    if (lock_row(t, table, old_row->v, err) || lock_row(t, table, merged, err) ||
        constraints(table, r, merged, at, err)) {
        return -1;
    }
    change_add(t, change_new(MF_UPDATE, table, old_row, mem_row_new(table->shape, merged)));
    return 0;
}

int mem_txn_delete(struct mf_mem_txn *t, struct mem_table *table, size_t at, struct mf_error *err)
{
    if (may_write(t, table, err)) {
        return -1;
    }
    struct mem_row *old_row = mem_txn_rows(t, table)->rows[at];
    if (lock_row(t, table, old_row->v, err)) {
        return -1;
    }
    change_add(t, change_new(MF_DELETE, table, old_row, NULL));
    return 0;
}

int mem_txn_truncate(struct mf_mem_txn *t, struct mem_table **tables, size_t n, struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (may_write(t, tables[i], err) || lock(t, tables[i], 0, err)) {
            return -1;
        }
    }
    struct mem_change *c = change_new(MF_TRUNCATE, tables[0], NULL, NULL);
    c->truncated = mf_xcalloc(n, sizeof(struct mem_table *));
    c->ntruncated = (uint16_t)n;
    memcpy(c->truncated, tables, n * sizeof(struct mem_table *));
    change_add(t, c);
    return 0;
}

/* ---- ends ---- */

static void unlink_txn(struct mf_mem_txn *t)
{
    for (struct mf_mem_txn **at = &t->server->open; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    unlock(t);
}

void mem_txn_kill(struct mf_mem_txn *t)
{
    if (t->dead) {
        return;
    }
    if (t->nchanges) {
        log_add(t->server, MEM_LOG_ABORT, t->xid, t->xid);
    }
    unlink_txn(t);
    views_drop(t);
    t->nchanges = 0;
    t->dead = true;
}

static void txn_free(struct mf_mem_txn *t)
{
    free(t->said);
    free(t->said_text);
    free(t);
}

void mem_txn_abort(struct mf_mem_txn *t)
{
    if (t) {
        mem_txn_kill(t);
        free(t->changes);
        txn_free(t);
    }
}

static void publish(struct mf_mem_server *s, const struct mf_mem_txn *t)
{
    if (s->ncommits == s->commits_cap) {
        s->commits_cap = s->commits_cap ? s->commits_cap * 2 : 64;
        s->commits = mf_xreallocarray(s->commits, s->commits_cap, sizeof *s->commits);
    }
    s->commits[s->ncommits++] = (struct mf_mem_commit){
        .position = mem_position(s->lsn), .digest = mf_mem_digest(s), .xid = t->xid, .ours = t->ours};
    if (s->on_commit) {
        s->on_commit(s->on_commit_ctx, s);
    }
}

/* Gives every table the change is of a view: one truncated, or written before a savepoint that was rolled back to, may have none. */
static void touch(struct mf_mem_txn *t, const struct mem_change *c)
{
    for (uint16_t k = 0; k < c->ntruncated; k++) {
        mem_txn_rows(t, c->truncated[k]);
    }
    if (c->op != MF_TRUNCATE) {
        mem_txn_rows(t, c->table);
    }
}

int mem_txn_commit(struct mf_mem_txn *t, uint64_t *ret_lsn, struct mf_error *err)
{
    struct mf_mem_server *s = t->server;
    if (t->dead) {
        mem_txn_abort(t);
        return mf_fail(err, MF_RETRY, "08006", "the transaction was ended by server %s", s->name);
    }
    if (t->nchanges) {
        for (size_t i = 0; i < t->nchanges; i++) {
            touch(t, t->changes[i]);
        }
        for (size_t i = 0; i < t->nviews; i++) {
            struct mem_table *table = t->views[i].table;
            struct mem_rows *rows = mem_rows_ref(mem_txn_rows(t, table));
            mem_rows_unref(table->rows);
            table->rows = rows;
        }
        if (!t->ours && mem_keeps_last(s)) {
            mem_stamped_app(s, t);
        }
        log_add(s, MEM_LOG_COMMIT, t->xid, t->xid);
        publish(s, t);
    }
    if (ret_lsn) {
        *ret_lsn = s->lsn;
    }
    unlink_txn(t);
    views_drop(t);
    free(t->changes);
    txn_free(t);
    return 0;
}

void mem_txn_rollback_to(struct mf_mem_txn *t, size_t keep)
{
    if (t->nchanges > keep) {
        log_add(t->server, MEM_LOG_ABORT_SUB, t->xid, t->subxid);
    }
    t->nchanges = keep; /* the changes themselves belong to the log */
    t->subxid = ++t->server->next_xid;
    views_drop(t);
}

size_t mem_txns_writing(const struct mf_mem_server *s)
{
    size_t n = 0;
    for (const struct mf_mem_txn *t = s->open; t; t = t->next) {
        n += !t->ours && t->wrote;
    }
    return n;
}
