/* Applying windows: rows in canonical form into the real applier.
 *
 * A row that has no form here fails the window as a row that the server refused would, and so is found the careful way; there its value is
 * MF_REFUSED and the real applier does with the row what it does with a refused one. What it reports comes back under the tables and
 * keys of the caller. */
#include "connector/face/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define BATCH_BYTES ((size_t)16 << 30) /* a window's own bound is far below */

/* A shape that was written through, for as long as the applier lives: the real applier may speak of it later. */
struct face_written {
    struct face_written *next;
    const struct mf_table *shown, *own; /* copies */
    const struct mf_table *caller;      /* as it was given last */
};

static struct face_applier *applier_of(struct mf_applier *a)
{
    return (struct face_applier *)a;
}

static const struct mf_target_ops *own_ops(const struct face_applier *a)
{
    return a->own->db->connector->target;
}

struct face_applier *face_applier_of(struct mf_db *db, struct mf_applier *own)
{
    struct face_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->own = own;
    mf_arena_init(&a->tables, FACE_TABLE_BYTES);
    mf_arena_init(&a->batch, BATCH_BYTES);
    return a;
}

void face_applier_free(struct face_applier *a)
{
    if (a) {
        mf_arena_free(&a->tables);
        mf_arena_free(&a->batch);
        free(a);
    }
}

int face_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    struct mf_applier *real = NULL;
    if (own->connector->target->applier_open(own, pipe, &real, err) < 0) {
        return -1;
    }
    *ret = &face_applier_of(db, real)->base;
    return 0;
}

void face_applier_close(struct mf_applier *base)
{
    struct face_applier *a = applier_of(base);
    if (a) {
        own_ops(a)->applier_close(a->own);
        face_applier_free(a);
    }
}

/* ---- tables ---- */

static bool same_column(const struct mf_column *a, const struct mf_column *b)
{
    return a->type_id == b->type_id && a->type_mod == b->type_mod && a->in_key == b->in_key &&
           a->generated == b->generated && a->by_bytes == b->by_bytes && strcmp(a->name, b->name) == 0 &&
           mf_streq(a->type, b->type) &&
           (!a->foreign || !b->foreign ||
            (a->foreign->own_type_id == b->foreign->own_type_id &&
             a->foreign->own_type_mod == b->foreign->own_type_mod &&
             mf_streq(a->foreign->own_type, b->foreign->own_type)));
}

static bool same_table(const struct mf_table *a, const struct mf_table *b)
{
    bool same = a->ncolumns == b->ncolumns && a->nkey == b->nkey && a->identity == b->identity &&
                strcmp(a->name, b->name) == 0 && strcmp(a->schema, b->schema) == 0 &&
                (a->nkey == 0 || memcmp(a->key, b->key, sizeof *a->key * a->nkey) == 0);
    for (uint16_t i = 0; same && i < a->ncolumns; i++) {
        same = same_column(&a->columns[i], &b->columns[i]);
    }
    return same;
}

static struct face_written *write_through(struct face_applier *a, const struct mf_table *shown, struct mf_error *err)
{
    for (struct face_written *w = a->written; w; w = w->next) {
        if (same_table(w->shown, shown)) {
            w->caller = shown;
            return w;
        }
    }
    struct face_written *w = mf_alloc0(&a->tables, sizeof *w);
    if (!w || !(w->shown = mf_table_copy(&a->tables, shown))) {
        face_no_memory(err, "the shapes of tables are too large");
        return NULL;
    }
    if (!(w->own = face_table_own(face_of(a->base.db), &a->tables, shown, err))) {
        return NULL;
    }
    w->caller = shown;
    w->next = a->written;
    return a->written = w;
}

const struct mf_table *face_written_own(struct face_applier *a, const struct mf_table *shown, struct mf_error *err)
{
    const struct face_written *w = write_through(a, shown, err);
    return w ? w->own : NULL;
}

/* The one that the real applier speaks of, perhaps by a copy. */
static const struct face_written *spoken_of(const struct face_applier *a, const struct mf_table *own)
{
    for (const struct face_written *w = a->written; w; w = w->next) {
        if (w->own == own || same_table(w->own, own)) {
            return w;
        }
    }
    return NULL;
}

/* ---- a batch ---- */

static int too_large(struct mf_error *err)
{
    return face_no_memory(err, "a batch of changes is larger than the memory for translating it");
}

/* Of an old row with a key only the key means anything. */
static int key_only(struct face_applier *a, const struct mf_table *t, const struct mf_row *in, struct mf_row *ret,
                    struct mf_error *err)
{
    *ret = *in;
    if (t->identity == MF_IDENTITY_FULL) {
        return 0;
    }
    ret->values = mf_alloc_array(&a->batch, in->n + 1u, sizeof *ret->values);
    if (!ret->values) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < in->n; i++) {
        bool key = i < t->ncolumns && t->columns[i].in_key;
        ret->values[i] = key ? in->values[i] : (struct mf_value){.kind = MF_UNCHANGED};
    }
    return 0;
}

static int take_row(struct face_applier *a, const struct mf_table *t, bool refuse, const struct mf_row *in,
                    struct mf_row *ret, struct mf_error *err)
{
    return face_row_own(face_of(a->base.db), t, &a->batch, refuse, in, ret, err) < 0 ||
                   face_name_row(t, &a->batch, in, ret, err) < 0
               ? -1
               : 0;
}

static int take_change(struct face_applier *a, const struct mf_table *t, const struct mf_rowchange *in,
                       struct mf_rowchange *ret, struct mf_error *err)
{
    struct mf_row key;
    *ret = *in;
    if ((in->op == MF_ROW_DELETE || in->op == MF_ROW_UPDATE) &&
        (key_only(a, t, &in->old_row, &key, err) < 0 || take_row(a, t, a->careful, &key, &ret->old_row, err) < 0)) {
        return -1;
    }
    return in->op == MF_ROW_DELETE ? 0 : take_row(a, t, a->careful, &in->new_row, &ret->new_row, err);
}

static int take_list(struct face_applier *a, const struct mf_table *t, struct mf_rowchange *const *in, size_t n,
                     struct mf_rowchange ***ret, struct mf_error *err)
{
    struct mf_rowchange **list = mf_alloc_array(&a->batch, n + 1, sizeof(struct mf_rowchange *));
    struct mf_rowchange *changes = mf_alloc_array(&a->batch, n + 1, sizeof *changes);
    if (!list || !changes) {
        return too_large(err);
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = &changes[i];
        if (take_change(a, t, in[i], &changes[i], err) < 0) {
            return -1;
        }
    }
    *ret = list;
    return 0;
}

static int take_table(struct face_applier *a, const struct mf_batch_table *in, struct mf_batch_table *ret,
                      struct mf_error *err)
{
    const struct face_written *w = write_through(a, in->table, err);
    if (!w) {
        return -1;
    }
    *ret = *in;
    ret->table = w->own;
    return take_list(a, in->table, in->deletes, in->ndeletes, &ret->deletes, err) < 0 ||
                   take_list(a, in->table, in->updates, in->nupdates, &ret->updates, err) < 0 ||
                   take_list(a, in->table, in->inserts, in->ninserts, &ret->inserts, err) < 0
               ? -1
               : 0;
}

static int take_truncate(struct face_applier *a, const struct mf_change *in, struct mf_batch *ret, struct mf_error *err)
{
    struct mf_change *c = mf_alloc(&a->batch, sizeof *c);
    const struct mf_table **tables = mf_alloc_array(&a->batch, in->ntruncated + 1u, sizeof(struct mf_table *));
    if (!c || !tables) {
        return too_large(err);
    }
    *c = *in;
    c->truncated = tables;
    for (uint16_t i = 0; i < in->ntruncated; i++) {
        const struct face_written *w = write_through(a, in->truncated[i], err);
        if (!w) {
            return -1;
        }
        tables[i] = w->own;
    }
    const struct face_written *first = write_through(a, in->table, err);
    if (!first) {
        return -1;
    }
    c->table = first->own;
    ret->truncate = c;
    return 0;
}

static int take_batch(struct face_applier *a, const struct mf_batch *in, struct mf_batch *ret, struct mf_error *err)
{
    *ret = *in;
    ret->tables = mf_alloc_array(&a->batch, in->ntables + 1, sizeof *ret->tables);
    if (!ret->tables) {
        return too_large(err);
    }
    if (in->truncate && take_truncate(a, in->truncate, ret, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < in->ntables; i++) {
        if (take_table(a, &in->tables[i], &ret->tables[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what the real applier reports ---- */

/* False: there is no room for it, and the caller goes through the window again. */
static bool give_missing(const struct face_applier *a, struct mf_missing *m)
{
    const struct face_written *w = spoken_of(a, m->table);
    struct mf_row key;
    struct mf_error ignored;
    if (!w || face_row_shown(face_of(a->base.db), w->shown, a->result->arena, &m->key, &key, &ignored) < 0) {
        return false;
    }
    for (uint16_t i = 0; i < key.n; i++) { /* a translation may be a view of what is not the caller's */
        if (mf_value_has_bytes(&key.values[i])) {
            key.values[i].data = mf_memdup_a(a->result->arena, key.values[i].data, key.values[i].len);
            if (!key.values[i].data) {
                return false;
            }
        }
    }
    *m = (struct mf_missing){.table = w->caller, .key = key};
    return true;
}

static void give_result(struct face_applier *a)
{
    struct mf_window_result *r = a->result;
    for (; r && a->missing_done < r->nmissing; a->missing_done++) {
        if (!give_missing(a, &r->missing[a->missing_done])) {
            r->missing_lost = true;
            r->nmissing = a->missing_done;
        }
    }
    for (; r && a->told_done < r->ntold; a->told_done++) {
        const struct face_written *w = spoken_of(a, r->told[a->told_done].table);
        if (w) {
            r->told[a->told_done].table = w->caller;
        }
    }
}

/* ---- windows ---- */

int face_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    a->careful = mode->careful;
    a->result = NULL;
    return own_ops(a)->window_begin(a->own, checkpoint, mode, err);
}

int face_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    struct mf_batch own;
    mf_arena_reset(&a->batch);
    if (result && a->result != result) {
        a->result = result;
        a->missing_done = result->nmissing;
        a->told_done = result->ntold;
    }
    if (take_batch(a, b, &own, err) < 0 || own_ops(a)->window_batch(a->own, &own, result, err) < 0) {
        return -1;
    }
    give_result(a);
    return 0;
}

int face_window_mark(struct mf_applier *base, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    return own_ops(a)->window_mark(a->own, err);
}

int face_window_settle(struct mf_applier *base, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    return own_ops(a)->window_settle(a->own, err);
}

int face_window_back(struct mf_applier *base, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    return own_ops(a)->window_back(a->own, err);
}

int face_quarantine_put(struct mf_applier *base, const struct mf_table *t, const struct mf_row *key,
                        const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    struct mf_table own = *t;
    own.schema = face_own_schema(face_of(base->db), t->schema);
    return own_ops(a)->quarantine_put(a->own, &own, key, q, result, err);
}

int face_quarantine_clear(struct mf_applier *base, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                          uint64_t *ret_had, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    struct mf_table own = *t;
    own.schema = face_own_schema(face_of(base->db), t->schema);
    return own_ops(a)->quarantine_clear(a->own, &own, keys, n, ret_had, err);
}

int face_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    if (own_ops(a)->window_commit(a->own, err) < 0) {
        return -1;
    }
    give_result(a);
    return 0;
}

void face_window_abort(struct mf_applier *base)
{
    struct face_applier *a = applier_of(base);
    a->result = NULL;
    own_ops(a)->window_abort(a->own);
}

int face_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    struct face_applier *a = applier_of(base);
    struct mf_row key;
    mf_arena_reset(&a->batch);
    const struct face_written *w = write_through(a, t, err);
    struct mf_row *rows = mf_alloc_array(&a->batch, nwhole + 1, sizeof *rows);
    struct mf_row *none = mf_alloc_array(&a->batch, ngone + 1, sizeof *none);
    size_t n = 0;
    if (!w || !rows || !none) {
        return w ? too_large(err) : -1;
    }
    for (size_t i = 0; i < nwhole; i++) {
        if (take_row(a, t, false, &whole[i], &rows[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < ngone; i++) {
        if (key_only(a, t, &gone[i], &key, err) < 0 || take_row(a, t, true, &key, &none[n], err) < 0) {
            return -1;
        }
        n += mf_row_refused(&none[n]) < 0; /* what there cannot be here is not here */
    }
    return own_ops(a)->repair_rows(a->own, w->own, rows, nwhole, none, n, stamp, err);
}
