/* Applying windows.
 *
 * Fuzzy (before the consistency point): the rows may be of any moment after the stream's start. A row that is there is written over, one that is
 * missing is made, and an update that is not whole and finds nothing is reported, to be read again from the source. So is one that
 * changes the key and is not whole, whatever it finds: the row under the old key may be a later one, whose columns must not travel to the new
 * key.
 *
 * Strict: each change must find its row. What does not was written by somebody else, and is mended and told when the mode says so. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "connector/memory/stamped.h"

int mem_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    MEM_LOCKED;
    if (mem_enter_db(db, "target.applier_open", NULL, err)) {
        return -1;
    }
    const struct mem_shadow *other = &mem_server(db)->shadow;
    if (other->txn && other->window && mem_pipe_equal(&other->pipe, pipe) &&
        !mem_broken(mem_server(db), "two-appliers")) {
        return mf_fail(err, MF_RETRY, "MFTWICE", "another session applies this stream to %s", mem_server(db)->name);
    }
    struct mem_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->conn = mem_connect(mem_server(db));
    a->pipe = *pipe;
    *ret = &a->base;
    return 0;
}

void mem_window_abort(struct mf_applier *base)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    mem_txn_abort(a->txn);
    a->txn = NULL;
    mem_pending_drop(&a->pending);
    mem_writes_lose(&a->writes, a->conn.server);
    a->open = false;
    a->failed = false;
}

void mem_applier_close(struct mf_applier *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    mem_window_abort(base);
    free(((struct mem_applier *)base)->pending.q);
    free(((struct mem_applier *)base)->writes.list);
    free(base);
}

/* For the breaks that take the checkpoint out of the window's transaction. */
static int commit_now(struct mem_applier *a, struct mf_error *err)
{
    struct mf_mem_txn *t = a->txn;
    a->txn = mem_txn_begin(a->conn.server, true);
    return mem_txn_commit(t, NULL, err);
}

int mem_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                     struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    if (mem_enter(&a->conn, "target.window_begin", NULL, err)) {
        return -1;
    }
    mem_window_abort(base);
    a->mode = *mode;
    a->checkpoint = *checkpoint;
    if (mem_keeps_last(a->conn.server)) {
        a->open = true;
        return mode->fuzzy ? 0 : mf_fail(err, MF_FATAL, "MFCALL", "a strict window where nothing is read");
    }
    a->txn = mem_txn_begin(a->conn.server, true);
    if (mem_broken(a->conn.server, "checkpoint-after")) {
        return 0;
    }
    if (mem_broken(a->conn.server, "checkpoint-before") &&
        (mem_book_checkpoint(a->txn, &a->pipe, checkpoint, err) || commit_now(a, err))) {
        return -1;
    }
    return mem_book_checkpoint(a->txn, &a->pipe, checkpoint, err);
}

/* ---- one change ---- */

void mem_step_project(const struct mem_step *s, const struct mf_row *row, struct mf_value *ret)
{
    const struct mf_table *to = &s->table->shape->table;
    for (uint16_t i = 0; i < to->ncolumns; i++) {
        int at = mem_column_at(s->shape, to->columns[i].name);
        ret[i] = at < 0 || at >= row->n ? (struct mf_value){.kind = MF_UNCHANGED} : row->values[at];
    }
}

static bool whole(const struct mem_step *s)
{
    for (uint16_t i = 0; i < s->table->shape->table.ncolumns; i++) {
        if (s->new_row[i].kind == MF_UNCHANGED &&
            mem_column_at(s->shape, s->table->shape->table.columns[i].name) >= 0) {
            return false;
        }
    }
    return true;
}

/* Columns that only this side has start as NULL. */
void mem_step_fill(struct mem_step *s)
{
    for (uint16_t i = 0; i < s->table->shape->table.ncolumns; i++) {
        if (s->new_row[i].kind == MF_UNCHANGED) {
            s->new_row[i] = (struct mf_value){.kind = MF_NULL};
        }
    }
}

size_t mem_step_find(const struct mem_step *s, const struct mf_value *row)
{
    const struct mem_rows *r = mem_txn_rows(s->a->txn, s->table);
    return s->shape->identity == MF_IDENTITY_FULL ? mem_rows_by_all(r, s->table->shape, row)
                                                  : mem_rows_by_key(r, s->table->shape, row);
}

static int not_found(const struct mem_step *s, const struct mf_value *row, const char *what, struct mf_error *err)
{
    const struct mf_table *t = &s->table->shape->table;
    const struct mf_value *k = &row[t->nkey ? t->key[0] : 0];
    return mf_fail(err, s->a->mode.careful ? MF_FATAL : MF_CONFLICT, "MFDIVERGED",
                   "%s of a row that %s.%s on %s does not have: %.*s", what, t->schema, t->name,
                   s->a->conn.server->name, k->kind == MF_NULL ? 0 : (int)k->len, k->data);
}

/* True: told, to be mended. */
static bool apart(const struct mem_step *s, const struct mf_value *row, const char *what)
{
    const struct mf_table *t = &s->table->shape->table;
    const struct mf_value *k = &row[t->nkey ? t->key[0] : 0];
    char key[64];
    if (!s->a->mode.heal || !s->result) {
        return false;
    }
    snprintf(key, sizeof key, "%s=%.*s", t->columns[t->nkey ? t->key[0] : 0].name,
             k->kind == MF_NULL ? 0 : (int)(k->len < 40 ? k->len : 40), k->kind == MF_NULL ? "" : k->data);
    mf_result_diverged(s->result, s->shape, what, key);
    return true;
}

int mem_report_missing(struct mem_step *s, const struct mf_row *new_row, struct mf_error *err)
{
    return mem_broken(s->a->conn.server, "skip-reread") ? 0 : mf_result_missing(s->result, s->shape, new_row, err);
}

static int put(struct mem_step *s, struct mf_error *err)
{
    size_t at = mem_step_find(s, s->new_row);
    if (at != SIZE_MAX) {
        return mem_txn_update(s->a->txn, s->table, at, s->new_row, err);
    }
    mem_step_fill(s);
    return mem_txn_insert(s->a->txn, s->table, s->new_row, err);
}

static int update_fuzzy(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    bool moves = mem_compare_key(s->table->shape, s->old_row, s->new_row) != 0;
    if (moves) {
        size_t at = mem_step_find(s, s->old_row);
        if (at != SIZE_MAX && mem_broken(s->a->conn.server, "move-as-found") &&
            mem_step_find(s, s->new_row) == SIZE_MAX) {
            return mem_txn_update(s->a->txn, s->table, at, s->new_row, err);
        }
        if (at != SIZE_MAX && mem_txn_delete(s->a->txn, s->table, at, err)) {
            return -1;
        }
        return whole(s) ? put(s, err) : mem_report_missing(s, &c->new_row, err);
    }
    if (mem_step_find(s, s->new_row) == SIZE_MAX && !whole(s)) {
        return mem_report_missing(s, &c->new_row, err);
    }
    return put(s, err);
}

static int delete_one(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    size_t at = mem_step_find(s, s->old_row);
    if (at == SIZE_MAX) {
        bool fuzzy = s->a->mode.fuzzy && s->shape->identity == MF_IDENTITY_KEY;
        return fuzzy || (s->a->mode.careful && mem_kept(s, &c->old_row)) ||
                       apart(s, s->old_row, "a delete found no row")
                   ? 0
                   : not_found(s, s->old_row, "delete", err);
    }
    return mem_txn_delete(s->a->txn, s->table, at, err);
}

/* The row under the key that is wanted was made by somebody else: it goes. */
static int make_way(struct mem_step *s, const char *what, struct mf_error *err)
{
    size_t at = s->shape->identity == MF_IDENTITY_KEY ? mem_step_find(s, s->new_row) : SIZE_MAX;
    if (at == SIZE_MAX || !s->a->mode.careful) {
        return 0;
    }
    return apart(s, s->new_row, what) ? mem_txn_delete(s->a->txn, s->table, at, err)
                                      : mf_fail(err, MF_FATAL, "MFDIVERGED", "%s: %s.%s on %s", what, s->shape->schema,
                                                s->shape->name, s->a->conn.server->name);
}

#define STAYS 1 /* in quarantine */

static int update_missing(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    const struct mf_row *old = c->op == MF_ROW_REPLACE ? &c->new_row : &c->old_row;
    if (s->a->mode.careful && mem_kept(s, old)) {
        if (whole(s)) { /* it comes back */
            return put(s, err);
        }
        mem_rename_kept(s, old, &c->new_row);
        return STAYS;
    }
    if (!apart(s, s->old_row, "an update found no row")) {
        return not_found(s, s->old_row, "update", err);
    }
    if (s->shape->identity == MF_IDENTITY_FULL) {
        for (uint16_t i = 0; i < s->table->shape->table.ncolumns; i++) {
            s->new_row[i] = s->new_row[i].kind == MF_UNCHANGED ? s->old_row[i] : s->new_row[i];
        }
        return mem_txn_insert(s->a->txn, s->table, s->new_row, err);
    }
    return whole(s) ? put(s, err) : mem_report_missing(s, &c->new_row, err);
}

static int update_one(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    bool fuzzy = s->a->mode.fuzzy && s->shape->identity == MF_IDENTITY_KEY;
    if (c->op == MF_ROW_REPLACE) {
        memcpy(s->old_row, s->new_row, sizeof s->old_row);
    }
    if (fuzzy) {
        return update_fuzzy(s, c, err);
    }
    bool moves = s->shape->identity == MF_IDENTITY_KEY && mem_compare_key(s->table->shape, s->old_row, s->new_row) != 0;
    if (moves && make_way(s, "an update found its new key taken", err)) {
        return -1;
    }
    size_t at = mem_step_find(s, s->old_row);
    if (at == SIZE_MAX) {
        return update_missing(s, c, err);
    }
    return mem_txn_update(s->a->txn, s->table, at, s->new_row, err);
}

static int insert_one(struct mem_step *s, struct mf_error *err)
{
    if (s->a->mode.fuzzy && s->shape->identity == MF_IDENTITY_KEY) {
        return put(s, err);
    }
    if (make_way(s, "an insert found its key taken", err)) {
        return -1;
    }
    mem_step_fill(s);
    return mem_txn_insert(s->a->txn, s->table, s->new_row, err);
}

/* A row with a value that there is not, as if the server had said so. */
static bool refused(const struct mf_row *row, struct mf_error *err)
{
    int at = mf_row_refused(row);
    return at >= 0 && mf_fail(err, MF_ROW, "MFVALUE", "%.*s", (int)row->values[at].len, row->values[at].data) < 0;
}

static int one(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err)
{
    if (c->op == MF_ROW_DELETE || c->op == MF_ROW_UPDATE) {
        mem_step_project(s, &c->old_row, s->old_row);
    }
    if (c->op != MF_ROW_DELETE) {
        mem_step_project(s, &c->new_row, s->new_row);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        int rc = c->op != MF_ROW_DELETE && refused(&c->new_row, err) ? -1
                 : c->op == MF_ROW_DELETE                            ? delete_one(s, c, err)
                 : c->op == MF_ROW_INSERT                            ? insert_one(s, err)
                                                                     : update_one(s, c, err);
        if (rc == STAYS) {
            continue;
        }
        if (rc == 0) {
            if (s->result) {
                s->result->rows++;
            }
            mem_unquarantine(s, c->op == MF_ROW_DELETE || c->op == MF_ROW_UPDATE ? &c->old_row : NULL);
            mem_unquarantine(s, c->op == MF_ROW_DELETE ? NULL : &c->new_row);
            continue;
        }
        if (err->cls == MF_ROW && s->a->mode.careful && s->a->mode.keep_rejected && s->result) {
            struct mf_error why = *err;
            why.cls = strcmp(why.code, "23505") == 0 ? MF_CONFLICT : MF_ROW;
            if (mf_result_later(s->result, &s->a->mode, &why)) {
                continue;
            }
            mem_quarantine(s, c, err);
            if (!s->a->mode.refused_stays && mem_leave_out(s, c, err)) {
                return -1;
            }
            continue;
        }
        if (err->cls == MF_ROW && !s->a->mode.careful) {
            err->cls = strcmp(err->code, "23505") == 0 ? MF_CONFLICT : MF_ROW;
        } else if (err->cls == MF_RETRY && strcmp(err->code, "55P03") == 0) {
            snprintf(err->code, sizeof err->code, "40P01");
        }
        return -1;
    }
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

static int truncate_tables(struct mem_applier *a, const struct mf_change *c, struct mf_error *err)
{
    struct mem_table *tables[MEM_MAX_TABLES];
    if (mem_broken(a->conn.server, "no-truncate")) {
        return 0;
    }
    size_t n = c->ntruncated ? c->ntruncated : 1;
    for (size_t i = 0; i < n; i++) {
        const struct mf_table *t = c->ntruncated ? c->truncated[i] : c->table;
        tables[i] = mem_table_need(a->conn.server, t->schema, t->name, err);
        if (!tables[i]) {
            return -1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        mem_unquarantine_table(a, &tables[i]->shape->table);
    }
    return mem_txn_truncate(a->txn, tables, n, err);
}

static int batch(struct mem_applier *a, const struct mf_batch *b, struct mf_window_result *result, struct mf_error *err)
{
    if (b->truncate) {
        return truncate_tables(a, b->truncate, err);
    }
    MF_CLEANUP_FREE struct mem_step *s = mf_xcalloc(1, sizeof *s);
    for (size_t i = 0; i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        *s = (struct mem_step){.a = a, .shape = t->table, .result = result};
        s->table = mem_table_need(a->conn.server, t->table->schema, t->table->name, err);
        if (!s->table) {
            return -1;
        }
        if (!s->table->has_key && t->table->identity == MF_IDENTITY_KEY) {
            return mf_fail(err, MF_FATAL, "42P10", "%s.%s has no key yet to find rows by", t->table->schema,
                           t->table->name);
        }
        if (group(s, t->deletes, t->ndeletes, err) || group(s, t->updates, t->nupdates, err) ||
            group(s, t->inserts, t->ninserts, err)) {
            return -1;
        }
    }
    return 0;
}

int mem_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                     struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    if (mem_enter(&a->conn, "target.window_batch", NULL, err)) {
        return -1;
    }
    if (!a->txn && !a->open) {
        return mf_fail(err, MF_FATAL, "MFCALL", "window_batch outside a window");
    }
    if (a->failed) {
        return 0;
    }
    struct mf_error e = {0};
    if ((a->open ? mem_stamped_batch(a, b, result, &e) : batch(a, b, result, &e)) == 0) {
        return 0;
    }
    if (a->conn.server->knobs.late_errors && !a->mode.careful) {
        a->failed = true;
        a->late = e;
        return 0;
    }
    if (err) {
        *err = e;
    }
    return -1;
}

int mem_window_commit(struct mf_applier *base, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_applier *a = (struct mem_applier *)base;
    bool after;
    if (mem_enter(&a->conn, "target.window_commit", &after, err)) {
        if (a->txn && !a->failed) {
            mem_shadow_take(a->conn.server, &a->txn, &a->pending, &a->pipe, NULL);
        }
        return -1;
    }
    if (!a->txn && !a->open) {
        return mf_fail(err, MF_FATAL, "MFCALL", "window_commit outside a window");
    }
    if (a->failed) {
        if (err) {
            *err = a->late;
        }
        return -1;
    }
    if (a->open) {
        return mem_stamped_commit(a, after, err);
    }
    struct mf_mem_txn *t = a->txn;
    a->txn = NULL;
    if (mem_txn_commit(t, NULL, err)) {
        return -1;
    }
    mem_pending_commit(&a->pending, a->conn.server, &a->pipe);
    if (!after && mem_broken(a->conn.server, "checkpoint-after")) {
        a->txn = mem_txn_begin(a->conn.server, true);
        if (mem_enter(&a->conn, "target.window_commit", NULL, err) ||
            mem_book_checkpoint(a->txn, &a->pipe, &a->checkpoint, err) || commit_now(a, err)) {
            return -1;
        }
        mem_window_abort(base);
    }
    return after ? mem_lost(&a->conn, "target.window_commit", err) : 0;
}
