/* Windows, repairs and refused rows of a database that keeps the last write: what is asked of one in connector.h, in its shortest form. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "connector/memory/stamped.h"

static int refused(const struct mem_step *s, const struct mf_row *row, struct mf_error *err)
{
    int bad = mf_row_refused(row);
    if (bad >= 0) {
        return mf_fail(err, MF_ROW, "MFVALUE", "%.*s", (int)row->values[bad].len, row->values[bad].data);
    }
    for (uint16_t i = 0; i < s->table->shape->table.ncolumns; i++) {
        const struct mf_value *v = &s->new_row[i];
        if (s->table->max_len[i] && mf_value_has_bytes(v) && v->len > s->table->max_len[i]) {
            return mf_fail(err, MF_ROW, "22001", "value too long for column %s of %s",
                           s->table->shape->table.columns[i].name, s->table->shape->table.name);
        }
    }
    return 0;
}

/* A column that only this side has is nobody's to write. */
static void put(struct mem_step *s, bool nulls, int64_t stamp)
{
    for (uint16_t i = 0; i < s->table->shape->table.ncolumns && !nulls; i++) {
        if (s->new_row[i].kind == MF_NULL) {
            s->new_row[i].kind = MF_UNCHANGED;
        }
    }
    mem_writes_add(&s->a->writes, s->table, MEM_PUT, s->new_row, stamp);
}

static void gone(struct mem_step *s, const struct mf_value *row, int64_t stamp)
{
    stamp -= mem_broken(s->a->conn.server, "delete-early") ? 1000000 : 0;
    mem_writes_add(&s->a->writes, s->table, MEM_GONE, row, stamp);
}

/* Not its own, but one for all of the window: a break. */
static int64_t stamp_of(const struct mem_step *s, const struct mf_rowchange *c)
{
    return mem_broken(s->a->conn.server, "stamp-of-window") ? s->a->mode.stamp : c->stamp;
}

static int update(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    bool moves = c->op == MF_ROW_UPDATE && mem_compare_key(s->table->shape, s->old_row, s->new_row) != 0;
    if (moves) {
        gone(s, s->old_row, stamp_of(s, c));
        if (!mf_row_whole(&c->new_row)) {
            return mem_report_missing(s, &c->new_row, err);
        }
    }
    put(s, !mem_broken(s->a->conn.server, "null-nothing"), stamp_of(s, c));
    return 0;
}

static int change(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    if (c->op == MF_ROW_DELETE || c->op == MF_ROW_UPDATE) {
        mem_step_project(s, &c->old_row, s->old_row);
    }
    if (c->op == MF_ROW_DELETE) {
        gone(s, s->old_row, stamp_of(s, c));
        return 0;
    }
    mem_step_project(s, &c->new_row, s->new_row);
    if (refused(s, &c->new_row, err) < 0) {
        return -1;
    }
    if (c->op == MF_ROW_INSERT) {
        put(s, !c->plain && !mem_broken(s->a->conn.server, "insert-plain"), stamp_of(s, c));
        return 0;
    }
    return update(s, c, err);
}

/* A row that is refused is not in the target: its old version goes too. */
static int one(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    if (change(s, c, err) < 0) {
        if (err->cls != MF_ROW || !s->a->mode.careful || !s->a->mode.keep_rejected) {
            return -1;
        }
        mem_quarantine(s, c, err);
        if (c->op == MF_ROW_UPDATE) {
            gone(s, s->old_row, c->stamp);
        }
        gone(s, s->new_row, c->stamp);
        return 0;
    }
    s->result->rows++;
    mem_unquarantine(s, c->op == MF_ROW_DELETE || c->op == MF_ROW_UPDATE ? &c->old_row : NULL);
    mem_unquarantine(s, c->op == MF_ROW_DELETE ? NULL : &c->new_row);
    return 0;
}

static int group(struct mem_step *s, struct mf_rowchange *const *list, size_t n, struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (one(s, list[i], err)) {
            return -1;
        }
    }
    return 0;
}

static int truncated(struct mem_applier *a, const struct mf_change *c, struct mf_error *err)
{
    for (size_t i = 0; i < c->ntruncated && !mem_broken(a->conn.server, "no-truncate"); i++) {
        struct mem_table *t = mem_table_need(a->conn.server, c->truncated[i]->schema, c->truncated[i]->name, err);
        if (!t) {
            return -1;
        }
        mem_unquarantine_table(a, &t->shape->table);
        mem_writes_add(&a->writes, t, MEM_EMPTY, NULL, c->stamp);
    }
    return 0;
}

int mem_stamped_batch(struct mem_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err)
{
    if (b->truncate) {
        return truncated(a, b->truncate, err);
    }
    MF_CLEANUP_FREE struct mem_step *s = mf_xcalloc(1, sizeof *s);
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        *s = (struct mem_step){.a = a, .shape = t->table, .result = result};
        s->table = mem_table_need(a->conn.server, t->table->schema, t->table->name, err);
        if (!s->table) {
            return -1;
        }
        if (t->table->identity == MF_IDENTITY_FULL) {
            return mf_fail(err, MF_FATAL, "MFUNSUP", "%s.%s has no key", t->table->schema, t->table->name);
        }
        if (group(s, t->deletes, t->ndeletes, err) || group(s, t->updates, t->nupdates, err) ||
            group(s, t->inserts, t->ninserts, err)) {
            return -1;
        }
    }
    mem_writes_begin(&a->writes, a->conn.server);
    return 0;
}

static int write_checkpoint(struct mem_applier *a, struct mf_error *err)
{
    struct mf_mem_txn *t = mem_txn_begin(a->conn.server, true);
    if (mem_book_checkpoint(t, &a->pipe, &a->checkpoint, err)) {
        mem_txn_abort(t);
        return -1;
    }
    return mem_txn_commit(t, NULL, err);
}

int mem_stamped_commit(struct mem_applier *a, bool after, struct mf_error *err)
{
    bool early = mem_broken(a->conn.server, "rows-after");
    if (early && write_checkpoint(a, err)) {
        return -1;
    }
    if (early && after) {
        return mem_lost(&a->conn, "target.window_commit", err);
    }
    mem_writes_do(&a->writes, a->conn.server);
    mem_pending_commit(&a->pending, a->conn.server, &a->pipe);
    a->open = false;
    if (!early && write_checkpoint(a, err)) {
        return -1;
    }
    return after ? mem_lost(&a->conn, "target.window_commit", err) : 0;
}

int mem_stamped_repair(struct mem_step *s, const struct mf_row *rows, size_t n, const struct mf_row *none, size_t nnone,
                       int64_t stamp, struct mf_error *err)
{
    for (size_t i = 0; i < nnone; i++) {
        mem_unquarantine(s, &none[i]);
        mem_step_project(s, &none[i], s->old_row);
        gone(s, s->old_row, stamp);
    }
    for (size_t i = 0; i < n; i++) {
        mem_unquarantine(s, &rows[i]);
        mem_step_project(s, &rows[i], s->new_row);
        if (refused(s, &rows[i], err) < 0) {
            return -1;
        }
        put(s, true, stamp);
    }
    return 0;
}
