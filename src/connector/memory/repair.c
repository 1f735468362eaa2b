/* What does not come by the stream's own way: rows left out into quarantine, and rows written over whatever is there. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/memory/stamped.h"

/* ---- quarantine ---- */

/* A row that is refused is not in the target: its old version, which would pass for a good one, goes too. */
int mem_leave_out(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    size_t at = c->op == MF_ROW_UPDATE                        ? mem_step_find(s, s->old_row)
                : c->op == MF_ROW_REPLACE || s->a->mode.fuzzy ? mem_step_find(s, s->new_row)
                                                              : SIZE_MAX;
    return at == SIZE_MAX ? 0 : mem_txn_delete(s->a->txn, s->table, at, err);
}

static void clear(struct mem_applier *a, const struct mf_table *t, const char *key)
{
    struct mf_quarantined q = {.key = key};
    if (a->pending.n == 0 && a->conn.server->nquarantined == 0) {
        return;
    }
    snprintf(q.schema, sizeof q.schema, "%s", t->schema);
    snprintf(q.table, sizeof q.table, "%s", t->name);
    mem_pending_add(&a->pending, &q);
}

void mem_unquarantine(struct mem_step *s, const struct mf_row *row)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 1u << 20};
    if (row && s->shape->nkey && (s->a->pending.n || s->a->conn.server->nquarantined)) {
        mf_put_key_text(&key, s->shape, row);
        clear(s->a, s->shape, mf_buf_str(&key));
    }
}

void mem_quarantine(struct mem_step *s, const struct mf_rowchange *c, const struct mf_error *why)
{
    const struct mf_table *t = s->shape;
    MF_CLEANUP_BUF struct mf_buf key = {.max = 1u << 20};
    if (t->nkey) {
        mf_put_key_text(&key, t, c->op == MF_ROW_DELETE ? &c->old_row : &c->new_row);
    }
    struct mf_quarantined q = {.key = mf_buf_str(&key), .reason = why->text, .row = "{}", .position = s->a->checkpoint};
    snprintf(q.schema, sizeof q.schema, "%s", t->schema);
    snprintf(q.table, sizeof q.table, "%s", t->name);
    snprintf(q.code, sizeof q.code, "%s", why->code);
    if (c->op == MF_ROW_UPDATE) {
        mem_unquarantine(s, &c->old_row); /* it may have been there under the key it had */
    }
    mem_pending_add(&s->a->pending, &q);
    mf_result_refused(s->result, t, mf_buf_str(&key), why);
    s->result->quarantined++;
}

static bool is_of(const struct mf_quarantined *q, const struct mf_table *t, const char *key)
{
    return mf_streq(q->table, t->name) && mf_streq(q->schema, t->schema) && (!q->key || mf_streq(q->key, key));
}

/* What is pending counts, the last first. */
static const struct mf_quarantined *find_kept(const struct mem_step *s, const struct mf_row *row)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 1u << 20};
    const struct mem_pending *p = &s->a->pending;
    const struct mf_mem_server *srv = s->a->conn.server;
    if (!s->shape->nkey) {
        return NULL;
    }
    mf_put_key_text(&key, s->shape, row);
    for (size_t i = p->n; i > 0; i--) {
        if (is_of(&p->q[i - 1], s->shape, mf_buf_str(&key))) {
            return p->q[i - 1].row ? &p->q[i - 1] : NULL;
        }
    }
    for (size_t i = 0; i < srv->nquarantined; i++) {
        if (mem_pipe_equal(&srv->quarantined[i].pipe, &s->a->pipe) &&
            is_of(&srv->quarantined[i].q, s->shape, mf_buf_str(&key))) {
            return &srv->quarantined[i].q;
        }
    }
    return NULL;
}

bool mem_kept(const struct mem_step *s, const struct mf_row *row)
{
    return find_kept(s, row) != NULL;
}

void mem_rename_kept(struct mem_step *s, const struct mf_row *from, const struct mf_row *to)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 1u << 20};
    const struct mf_quarantined *is = find_kept(s, from);
    if (is) {
        struct mf_quarantined q = *is;
        MF_CLEANUP_FREE char *reason = mf_xstrdup(is->reason);
        mf_put_key_text(&key, s->shape, to);
        q.key = mf_buf_str(&key);
        q.reason = reason;
        q.column = NULL;
        q.row = "{}";
        mem_unquarantine(s, from);
        mem_pending_add(&s->a->pending, &q);
    }
}

void mem_unquarantine_table(struct mem_applier *a, const struct mf_table *t)
{
    clear(a, t, NULL);
}

/* ---- what belongs together ---- */

static int in_window(struct mem_applier *a, const char *op, struct mf_error *err)
{
    if (mem_enter(&a->conn, op, NULL, err)) {
        return -1;
    }
    return a->txn ? 0 : mf_fail(err, MF_FATAL, "MFCALL", "%s outside a window", op);
}

int mem_window_mark(struct mf_applier *base, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    if (in_window(a, "target.window_mark", err)) {
        return -1;
    }
    if (a->failed) {
        *err = a->late;
        return -1;
    }
    a->mark = a->txn->nchanges;
    a->mark_pending = a->pending.n;
    return 0;
}

int mem_window_settle(struct mf_applier *base, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    if (in_window(a, "target.window_settle", err)) {
        return -1;
    }
    if (a->failed) {
        *err = a->late;
        return -1;
    }
    return 0;
}

int mem_window_back(struct mf_applier *base, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    if (in_window(a, "target.window_back", err)) {
        return -1;
    }
    if (a->txn->dead || (a->failed && a->late.cls != MF_ROW && a->late.cls != MF_CONFLICT)) {
        return mf_fail(err, MF_RETRY, "25P02", "the transaction is over");
    }
    mem_txn_rollback_to(a->txn, a->mark);
    while (a->pending.n > a->mark_pending) {
        mem_quarantined_free(&a->pending.q[--a->pending.n]);
    }
    a->failed = false;
    return 0;
}

int mem_quarantine_put(struct mf_applier *base, const struct mf_table *t, const struct mf_row *key,
                       const struct mf_quarantined *refused, struct mf_window_result *result, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1u << 20};
    struct mem_step s = {.a = a, .shape = t};
    struct mf_quarantined q = *refused;
    struct mf_error why = {.cls = MF_ROW};
    if (in_window(a, "target.quarantine_put", err)) {
        return -1;
    }
    mf_put_key_text(&text, t, key);
    q.key = mf_buf_str(&text);
    snprintf(q.schema, sizeof q.schema, "%s", t->schema);
    snprintf(q.table, sizeof q.table, "%s", t->name);
    bool again = mem_kept(&s, key);
    mem_pending_add(&a->pending, &q);
    mf_strlcpy(why.code, q.code, sizeof why.code);
    mf_strlcpy(why.text, q.reason ? q.reason : "", sizeof why.text);
    mf_result_refused(result, t, q.key, &why);
    if (result && !again) {
        result->quarantined++;
    }
    return 0;
}

int mem_quarantine_clear(struct mf_applier *base, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                         uint64_t *ret_had, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    struct mem_step s = {.a = a, .shape = t};
    if (in_window(a, "target.quarantine_clear", err)) {
        return -1;
    }
    uint64_t had = 0;
    for (size_t i = 0; keys && i < n; i++) {
        had += mem_kept(&s, keys[i]);
        mem_unquarantine(&s, keys[i]);
    }
    if (!keys) {
        mem_unquarantine_table(a, t);
    }
    if (ret_had) {
        *ret_had = had;
    }
    return 0;
}

/* ---- repair ---- */

static int drop_equal(struct mem_step *s, const struct mf_row *row, struct mf_error *err)
{
    mem_unquarantine(s, row);
    mem_step_project(s, row, s->old_row);
    for (size_t at; (at = mem_step_find(s, s->old_row)) != SIZE_MAX;) {
        if (mem_txn_delete(s->a->txn, s->table, at, err)) {
            return -1;
        }
    }
    return 0;
}

static int repair(struct mem_step *s, const struct mf_row *rows, size_t n, const struct mf_row *gone, size_t ngone,
                  struct mf_error *err)
{
    for (size_t i = 0; i < ngone; i++) {
        if (drop_equal(s, &gone[i], err)) {
            return -1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (drop_equal(s, &rows[i], err)) {
            return -1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        mem_step_project(s, &rows[i], s->new_row);
        mem_step_fill(s);
        if (mem_txn_insert(s->a->txn, s->table, s->new_row, err)) {
            return -1;
        }
    }
    return 0;
}

int mem_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *rows, size_t nwhole,
                    const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    bool after;
    if (mem_enter(&a->conn, "target.repair_rows", &after, err)) {
        return -1;
    }
    if (a->txn) {
        return mf_fail(err, MF_FATAL, "MFCALL", "repair_rows inside a window");
    }
    MF_CLEANUP_FREE struct mem_step *s = mf_xcalloc(1, sizeof *s);
    *s = (struct mem_step){.a = a, .shape = t};
    s->table = mem_table_need(a->conn.server, t->schema, t->name, err);
    if (!s->table) {
        return -1;
    }
    if (mem_broken(a->conn.server, "repair-nothing")) {
        return 0;
    }
    if (mem_broken(a->conn.server, "pass-keeps")) { /* rows that are gone are left */
        ngone = 0;
    }
    if (mem_keeps_last(a->conn.server)) {
        if (mem_stamped_repair(s, rows, nwhole, gone, ngone, stamp, err)) {
            mem_window_abort(base);
            return -1;
        }
        mem_writes_do(&a->writes, a->conn.server);
        mem_pending_commit(&a->pending, a->conn.server, &a->pipe);
        return after ? mem_lost(&a->conn, "target.repair_rows", err) : 0;
    }
    a->txn = mem_txn_begin(a->conn.server, true);
    struct mf_mem_txn *txn = a->txn;
    if (mem_book_checkpoint(txn, &a->pipe, NULL, err) || repair(s, rows, nwhole, gone, ngone, err)) {
        mem_window_abort(base);
        return -1;
    }
    a->txn = NULL;
    if (mem_txn_commit(txn, NULL, err)) {
        return -1;
    }
    mem_pending_commit(&a->pending, a->conn.server, &a->pipe);
    return after ? mem_lost(&a->conn, "target.repair_rows", err) : 0;
}
