/* Rows that an update could not find and could not make: read again from the origin.
 *
 * Before the consistency point an update may find no row (its key moved while the table was copied), and may not be whole
 * (unchanged large values are not in the stream). The row is then read from the origin as it is now, at some position R, and
 * written over whatever is there; the consistency point moves to R first, because what was read may be newer than
 * everything around it. A row that is not there any more is left out: the stream will delete it, or move it.
 *
 * Which rows those are is known only when the window commits, so a crash between that commit and the writing would lose them:
 * the checkpoint is past the update. Therefore a window that holds such updates is marked in the state (from, to]
 * before it is committed, and unmarked when its rows are written. Finding a mark whose window is in the target, apply
 * goes through that part of the spool again and reads all rows it would have to: writing a row that was not missing as it
 * is at R is as right as writing one that was. The spool keeps that part: it is released only up to checkpoints whose
 * window is unmarked. The same walk serves a window that missed more rows than there is memory to list.
 *
 * Memory: a batch of rows that is too large is read in halves; a single row always goes through. A row that the replica refuses
 * goes to quarantine like any other, in a transaction that writes the checkpoint again where it is. */
#include "pipeline/apply_internal.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_AT_ONCE 500
#define ROWS_MEMORY  ((size_t)64 << 20)

static const char *mark_key(struct mf_apply *a, bool to)
{
    if (a->o.pipe.direction == MF_FORWARD) {
        return to ? "reread.forward.to" : "reread.forward.from";
    }
    return to ? "reread.reverse.to" : "reread.reverse.from";
}

/* `to` last: it is what makes the mark count. */
int mf_apply_mark(struct mf_apply *a, const struct mf_position *from, const struct mf_position *to,
                  struct mf_error *err)
{
    return mf_state_set_position(a->o.state, mark_key(a, false), from, err) < 0 ||
                   mf_state_set_position(a->o.state, mark_key(a, true), to, err) < 0
               ? -1
               : 0;
}

int mf_apply_unmark(struct mf_apply *a, struct mf_error *err)
{
    static const struct mf_position none;
    return mf_state_set_position(a->o.state, mark_key(a, true), &none, err);
}

/* ---- reading and writing ---- */

/* What the replica has come to: its checkpoint, and a stamp after whatever asked for the rows and before any change that is still to be applied. (What is read is
 * newer than all of them up to there: which of those stamps it gets makes no difference in the end.) */
struct place {
    struct mf_position position;
    int64_t stamp;
};

struct rows {
    struct mf_arena *arena;
    struct mf_row *rows;
    size_t n, cap;
};

static int copy_row(struct mf_arena *arena, struct mf_row *out, const struct mf_row *in, struct mf_error *err)
{
    return mf_row_copy(arena, out, in) == 0
               ? 0
               : mf_fail(err, MF_FATAL, "MFMEM", "rows read again from the origin are too large");
}

static int take_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct rows *r = ctx;
    if (r->n == r->cap) {
        return mf_fail(err, MF_FATAL, "MFREAD", "the origin gave more rows than keys were asked for");
    }
    return copy_row(r->arena, &r->rows[r->n], row, err) < 0 ? -1 : (r->n++, 0);
}

static bool same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (!mf_value_equal(&a->values[t->key[k]], &b->values[t->key[k]])) {
            return false;
        }
    }
    return true;
}

/* Each key once: a row may have been missed more than once. Returns how many. */
static size_t unique_keys(const struct mf_table *t, struct mf_row *keys, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < kept && !same_key(t, &keys[j], &keys[i])) {
            j++;
        }
        if (j == kept) {
            keys[kept++] = keys[i];
        }
    }
    return kept;
}

/* Keys of rows of `like` as keys of rows of `t`, which has the same key. Values are shared. */
static struct mf_row *rekey(struct mf_arena *arena, const struct mf_table *like, const struct mf_table *t,
                            const struct mf_row *keys, size_t n)
{
    struct mf_row *out = mf_alloc_array(arena, n, sizeof(*out));
    for (size_t i = 0; out && i < n; i++) {
        struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof(*v));
        if (!v) {
            return NULL;
        }
        for (uint16_t c = 0; c < t->ncolumns; c++) {
            v[c].kind = MF_UNCHANGED;
        }
        for (uint16_t k = 0; k < t->nkey; k++) {
            v[t->key[k]] = keys[i].values[like->key[k]];
        }
        out[i] = (struct mf_row){.n = t->ncolumns, .values = v};
    }
    return out;
}

/* Row by row, so that the one which is refused is known and goes to quarantine. */
static int write_carefully(struct mf_apply *a, const struct mf_table *t, const struct mf_row *rows, size_t n,
                           const struct place *at, struct mf_window_result *result, struct mf_error *err)
{
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    struct mf_window_mode mode = {.fuzzy = true, .careful = true, .keep_rejected = true, .stamp = at->stamp};
    if (ops->window_begin(a->applier, &at->position, &mode, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        struct mf_rowchange change = {.op = MF_ROW_INSERT, .count = 1, .stamp = at->stamp, .new_row = rows[i]},
                            *list[] = {&change};
        struct mf_batch_table bt = {.table = t, .ninserts = 1, .inserts = list};
        struct mf_batch b = {.ntables = 1, .tables = &bt, .rows = 1};
        if (ops->window_batch(a->applier, &b, result, err) < 0) {
            return -1;
        }
    }
    return mf_apply_quarantine_full(a, result->quarantined, err) < 0 ? -1 : ops->window_commit(a->applier, err);
}

static int write_rows(struct mf_apply *a, const struct mf_table *t, const struct rows *rows, const struct place *at,
                      struct mf_error *err)
{
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    struct mf_window_result result = {.arena = rows->arena};
    if (rows->n == 0 || ops->repair_rows(a->applier, t, rows->rows, rows->n, NULL, 0, at->stamp, err) == 0) {
        return 0;
    }
    if (!a->o.keep_rejected || (err->cls != MF_ROW && err->cls != MF_CONFLICT)) {
        return -1;
    }
    if (write_carefully(a, t, rows->rows, rows->n, at, &result, err) < 0) {
        ops->window_abort(a->applier);
        return -1;
    }
    a->quarantined += (int64_t)result.quarantined;
    return 0;
}

static int read_rows(struct mf_apply *a, const struct mf_table *like, const struct mf_row *keys, size_t n,
                     const struct place *at, struct rows *rows, struct mf_error *err)
{
    const struct mf_source_ops *src = a->o.origin->connector->source;
    struct mf_table *ot, *rt;
    struct mf_row *wanted;
    struct mf_position after = {0};
    rows->cap = n;
    rows->rows = mf_alloc_array(rows->arena, n, sizeof(*rows->rows));
    if (mf_map_pair(a->o.map, rows->arena, like, &ot, &rt, err) < 0) {
        return -1;
    }
    if (!rows->rows || !(wanted = rekey(rows->arena, like, ot, keys, n))) {
        return mf_fail(err, MF_FATAL, "MFMEM", "too many rows to read again");
    }
    if ((!a->rows && src->reader_open(a->o.origin, NULL, &a->rows, err) < 0) ||
        src->read_rows(a->rows, ot, wanted, n, take_row, rows, &after, err) < 0 ||
        mf_apply_raise_consistency(a, &after, err) < 0) {
        return -1;
    }
    rows->n = unique_keys(ot, rows->rows, rows->n); /* two spellings of one key find one row twice */
    return write_rows(a, rt, rows, at, err);
}

static size_t rows_memory(const struct mf_apply *a)
{
    return a->o.reread_bytes ? a->o.reread_bytes : ROWS_MEMORY;
}

static int read_and_write(struct mf_apply *a, const struct mf_table *like, struct mf_row *keys, size_t n,
                          const struct place *at, struct mf_error *err)
{
    if (MF_FAULT(err, "apply.reread")) {
        return -1;
    }
    n = unique_keys(like, keys, n);
    struct mf_arena arena;
    mf_arena_init(&arena, n > 1 ? rows_memory(a) : SIZE_MAX / 2);
    struct rows rows = {.arena = &arena};
    int rc = read_rows(a, like, keys, n, at, &rows, err);
    mf_arena_free(&arena);
    if (rc < 0 && n > 1 && strcmp(err->code, "MFMEM") == 0) {
        return read_and_write(a, like, keys, n / 2, at, err) < 0 ||
                       read_and_write(a, like, keys + n / 2, n - n / 2, at, err) < 0
                   ? -1
                   : 0;
    }
    if (rc < 0) {
        mf_error_prefix(err, "reading rows of %s.%s again", like->schema, like->name);
        return -1;
    }
    pthread_mutex_lock(&a->mu);
    a->stats.reread += rows.n;
    pthread_mutex_unlock(&a->mu);
    return 0;
}

/* ---- going through the window again ---- */

struct owed {
    struct mf_arena arena;
    struct place at;
    const struct mf_table *table;
    struct mf_row keys[KEYS_AT_ONCE];
    size_t n;
    struct ap_txns txns; /* that changed them */
};

static int pay(struct mf_apply *a, struct owed *o, struct mf_error *err)
{
    int rc = o->n ? mf_apply_await_visible(a, &o->txns, err) : 0;
    rc = rc == 0 && o->n ? read_and_write(a, o->table, o->keys, o->n, &o->at, err) : rc;
    o->n = o->txns.n = 0;
    mf_arena_reset(&o->arena);
    return rc;
}

static int owe(struct mf_apply *a, struct owed *o, const struct mf_table *t, const struct mf_change *c,
               struct mf_error *err)
{
    bool full = o->n == KEYS_AT_ONCE || mf_arena_used(&o->arena) > rows_memory(a);
    if (o->n && (full || o->table != t) && pay(a, o, err) < 0) {
        return -1;
    }
    struct mf_value *v = mf_alloc_array(&o->arena, t->ncolumns + 1u, sizeof(*v));
    if (!v) {
        return mf_fail(err, MF_FATAL, "MFMEM", "too many rows to read again");
    }
    struct mf_row key = {.n = t->ncolumns, .values = v};
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        v[i].kind = MF_UNCHANGED;
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        uint16_t i = t->key[k];
        bool old = c->new_row.values[i].kind == MF_UNCHANGED && c->has_old;
        v[i] = old ? c->old_row.values[i] : c->new_row.values[i];
    }
    o->table = t;
    return copy_row(&o->arena, &o->keys[o->n], &key, err) < 0 ? -1 : (o->n++, 0);
}

static int owe_change(struct mf_apply *a, struct owed *o, const struct mf_record *rec, const struct mf_txn_head *head,
                      struct mf_error *err)
{
    struct ap_rel *r;
    struct mf_change c;
    if (rec->change.op != MF_UPDATE) {
        return 0;
    }
    enum ap_end end = mf_apply_rel(a, rec->change.rel, rec->change.table, &r, err);
    if (end != AP_OK) {
        return -1;
    }
    if (!r->map || head->position.order <= r->table->exact_at || r->map->table->nkey == 0) {
        return 0;
    }
    mf_arena_reset(&a->arena);
    if (mf_map_project(r->map, &a->arena, &rec->change, &c, err) < 0) {
        return -1;
    }
    if (mf_row_whole(&c.new_row)) {
        return 0;
    }
    if (owe(a, o, r->map->table, &c, err) < 0) {
        return -1;
    }
    mf_apply_txns_add(&o->txns, head->txn);
    return 0;
}

/* *ret_all: the spool had everything up to `to`. The window that is in the target need not be in the spool any more: what a reader sees may
 * not be durable yet, and the crash took it. The source sends it again; until then it is not known which rows are owed. */
static int walk(struct mf_apply *a, struct mf_spool_reader *reader, const struct mf_position *to, struct owed *o,
                bool *ret_all, struct mf_error *err)
{
    struct mf_txn_head head = {0};
    uint64_t seen = 0;
    for (;;) {
        struct mf_record rec = {0};
        if (mf_spool_read(reader, 0, &rec, err) < 0) {
            return -1;
        }
        if (rec.kind == MF_RECORD_BEGIN) {
            head = rec.head;
        }
        if (rec.kind == MF_RECORD_COMMIT) {
            seen = head.position.order;
        } else if (rec.kind == MF_RECORD_PROGRESS) {
            seen = rec.position.order;
        }
        if (rec.kind == MF_RECORD_NONE || (rec.kind == MF_RECORD_BEGIN && head.position.order > to->order)) {
            *ret_all = rec.kind == MF_RECORD_BEGIN || seen >= to->order;
            return pay(a, o, err);
        }
        if (rec.kind == MF_RECORD_CHANGE) {
            o->at.stamp = rec.change.stamp;
            if (owe_change(a, o, &rec, &head, err) < 0) {
                return -1;
            }
        }
    }
}

/* Reads everything again that the windows in (from, to] may have missed. *ret_all as above. */
static int walk_interval(struct mf_apply *a, const struct mf_position *from, const struct mf_position *to,
                         const struct mf_position *at, bool *ret_all, struct mf_error *err)
{
    struct mf_spool_reader *reader = NULL;
    if (mf_spool_reader_open(a->o.spool, from, &reader, err) < 0) {
        mf_error_prefix(err, "reading rows again");
        return -1;
    }
    MF_CLEANUP_FREE struct owed *o = mf_xcalloc(1, sizeof(*o));
    o->at.position = *at;
    mf_arena_init(&o->arena, SIZE_MAX / 2); /* bounded by owe */
    int rc = walk(a, reader, to, o, ret_all, err);
    mf_arena_free(&o->arena);
    mf_apply_txns_free(&o->txns);
    mf_spool_reader_close(reader);
    return rc;
}

int mf_apply_reread(struct mf_apply *a, struct mf_error *err)
{
    const struct mf_window_result *r = &a->result;
    if (r->missing_lost) {
        bool all = false;
        if (walk_interval(a, &a->applied, &a->w.end, &a->w.end, &all, err) < 0) {
            return -1;
        }
        return all ? 0 : mf_fail(err, MF_RETRY, "MFSPOOL", "the window just applied is not whole in the spool");
    }
    if (r->nmissing && mf_apply_await_visible(a, &a->txns, err) < 0) {
        return -1;
    }
    struct place at = {.position = a->w.end, .stamp = a->w.end_stamp};
    MF_CLEANUP_FREE struct mf_row *keys = mf_xcalloc(KEYS_AT_ONCE, sizeof(*keys));
    for (size_t i = 0; i < r->nmissing;) {
        const struct mf_table *t = r->missing[i].table;
        size_t n = 0;
        for (; i < r->nmissing && n < KEYS_AT_ONCE && r->missing[i].table == t; i++) {
            keys[n++] = r->missing[i].key;
        }
        if (read_and_write(a, t, keys, n, &at, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- after a crash ---- */

int mf_apply_recover(struct mf_apply *a, struct mf_error *err)
{
    struct mf_position from = {0}, to = {0};
    bool found = false, all = false;
    if (mf_state_position(a->o.state, mark_key(a, true), &to, &found, err) < 0) {
        return -1;
    }
    if (!found || to.order == 0 || a->applied.order < to.order) {
        mf_spool_want(a->o.spool, false);
        return 0;
    }
    if (mf_state_position(a->o.state, mark_key(a, false), &from, &found, err) < 0 ||
        walk_interval(a, &from, &to, &a->applied, &all, err) < 0) {
        return -1;
    }
    /* Nothing is released before it is known what is owed: what is missing must come although the budget may be used up. */
    mf_spool_want(a->o.spool, !all);
    return all ? mf_apply_unmark(a, err) : 1;
}
