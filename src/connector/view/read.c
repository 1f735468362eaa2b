/* Reading: chunks of a query table are chunks of its table, by that one's key; its rows are that one's.
 *
 * By key: the key of a query table says which row of its table it is of. That row is read, made, and given only if it has that very key: one whose other key
 * columns are different now is not there under this key.
 *
 * Columns of parents are read beside, some hundred rows' at a time: in the same snapshot, or, without one, newer than the rows. That is right, too: whatever
 * happens to a parent after the rows were read is told by the stream.
 *
 * Digests are of the rows made (connector/row_digest.h), as those of a face. */
#include "connector/view/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/row_digest.h"

#include <string.h>

#define WAITING_ROWS  300 /* whose parents are looked up together */
#define WAITING_BYTES ((size_t)8 << 20)

struct view_reader {
    struct mf_reader base;
    struct mf_reader *own;
    struct view_look look;          /* of parents: while own gives rows, another session is asked for those */
    struct mf_arena op, row, batch; /* of one operation; of one row; of the rows that wait for their parents */
};

static const struct mf_source_ops *own_ops(const struct view_reader *r)
{
    return r->own->db->connector->source;
}

static struct view_reader *reader_of(struct mf_reader *r)
{
    return (struct view_reader *)r;
}

int view_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err)
{
    struct view_db *v = view_of(db);
    struct view_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    mf_arena_init(&r->op, VIEW_ROW_BYTES);
    mf_arena_init(&r->row, VIEW_ROW_BYTES);
    mf_arena_init(&r->batch, VIEW_ROW_BYTES);
    if (view_own(v)->reader_open(v->own, s, &r->own, err) < 0 ||
        (mf_query_map_parents(v->map) && view_own(v)->reader_open(v->own, s, &r->look.reader, err) < 0)) {
        view_reader_close(&r->base);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

void view_reader_close(struct mf_reader *base)
{
    struct view_reader *r = reader_of(base);
    if (r) {
        const struct mf_source_ops *ops = view_own(view_of(base->db));
        ops->reader_close(r->own);
        ops->reader_close(r->look.reader);
        mf_arena_free(&r->op);
        mf_arena_free(&r->row);
        mf_arena_free(&r->batch);
        free(r);
    }
}

static struct mf_reader *begin(struct view_reader *r)
{
    mf_arena_reset(&r->op);
    mf_arena_reset(&r->row);
    r->own->peer_version = r->base.peer_version;
    mf_strlcpy(r->own->peer_encoding, r->base.peer_encoding, sizeof r->own->peer_encoding);
    return r->own;
}

/* Of a query table: as the catalogue has its table now. What is not of it may change. */
static int made_same(struct view_db *v, const struct mf_table *t, struct mf_error *err)
{
    struct mf_catalog now = {0};
    if (view_catalog_read(v, VIEW_SHAPES, NULL, &now, err) < 0) {
        return -1;
    }
    const struct mf_table *is = mf_catalog_find(&now, t->schema, t->name);
    bool same = is && is->id == t->id && mf_table_shape(is) == mf_table_shape(t);
    mf_catalog_free(&now);
    return same ? 0
                : mf_fail(err, MF_FATAL, "MFSHAPE",
                          "table %s.%s is no longer as it was when the migration was planned: its table on the source "
                          "was changed",
                          t->schema, t->name);
}

int view_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return t->made ? made_same(view_of(base->db), t, err) : own_ops(r)->shape_same(begin(r), t, err);
}

/* ---- chunks: the table's, under the number of what is shown ---- */

struct renumbering {
    const struct mf_table *shown;
    mf_chunk_sink *emit;
    void *ctx;
    struct mf_chunk c;
};

static int renumber(void *ctx, const struct mf_chunk *own, struct mf_error *err)
{
    struct renumbering *n = ctx;
    n->c = *own;
    n->c.table_id = n->shown->id;
    return n->emit(n->ctx, &n->c, err);
}

int view_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct renumbering *n = mf_xcalloc(1, sizeof *n);
    *n = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    return own_ops(r)->chunk_plan(begin(r), view_base(t), target_rows, target_bytes, renumber, n, err);
}

/* The chunk as its table has it. */
static struct mf_chunk *chunk_own(struct view_reader *r, const struct mf_table *t, const struct mf_chunk *c,
                                  struct mf_error *err)
{
    begin(r);
    struct mf_chunk *own = mf_alloc(&r->op, sizeof *own);
    if (!own) {
        view_no_memory(err, "a chunk is too large");
        return NULL;
    }
    *own = *c;
    own->table_id = view_base(t)->id;
    return own;
}

int view_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    MF_CLEANUP_FREE struct renumbering *out = mf_xcalloc(1, sizeof *out);
    *out = (struct renumbering){.shown = t, .emit = emit, .ctx = ctx};
    return own ? own_ops(r)->chunk_split(r->own, view_base(t), own, n, renumber, out, err) : -1;
}

/* As wire bytes, which nobody can read: how fast the database gives them is all that is asked (plan), of tables that are there. */
int view_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    if (t->made) {
        return mf_fail(err, MF_FATAL, "MFUNSUP", "query tables have no wire form");
    }
    return own ? own_ops(r)->chunk_open(r->own, t, own, err) : -1;
}

int view_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return own_ops(r)->chunk_read(r->own, ret_data, ret_len, err);
}

int view_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    return own_ops(r)->chunk_close(r->own, ret_after, ret_rows, err);
}

/* ---- rows ---- */

/* Rows on their way. Those with columns of parents wait until there are enough for one look at these. */
struct making {
    struct view_reader *r;
    struct view_rows rows;
    mf_row_sink *emit;
    void *ctx;
    const struct view_keys *asked; /* only rows with one of these keys; NULL: all */
    struct mf_row *waiting;        /* in the reader's arena for them */
    size_t nwaiting;
    int64_t waited_us; /* asked: for rows that are ending */
};

static int give(struct making *m, const struct mf_row *own, const struct mf_row *parents, struct mf_error *err)
{
    struct mf_row row;
    mf_arena_reset(&m->r->row);
    if (view_row(&m->rows, &m->r->row, own, parents, &row, err) < 0) {
        return -1;
    }
    if (m->asked && !*view_keys_find(m->asked, &row)) {
        return 0; /* it has another key now */
    }
    return m->emit(m->ctx, &row, err);
}

static int give_waiting(struct making *m, struct mf_error *err)
{
    const struct mf_made *made = m->rows.made;
    struct mf_row *parents = NULL;
    if (m->nwaiting == 0) {
        return 0;
    }
    if (view_parents_read(&m->r->look, &m->r->batch, made, m->waiting, m->nwaiting, &parents, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < m->nwaiting; i++) {
        if (give(m, &m->waiting[i], parents + i * made->nparents, err) < 0) {
            return -1;
        }
    }
    m->nwaiting = 0;
    mf_arena_reset(&m->r->batch);
    return 0;
}

static int make_row(void *ctx, const struct mf_row *own, struct mf_error *err)
{
    struct making *m = ctx;
    if (m->asked ? view_ended_surely(m->rows.made, own, &m->waited_us) : view_ended(m->rows.made, own)) {
        return 0;
    }
    if (m->rows.made->nparents == 0) {
        return give(m, own, NULL, err);
    }
    if (mf_row_copy(&m->r->batch, &m->waiting[m->nwaiting], own) < 0) {
        return view_no_memory(err, "a row of a query table is larger than the memory for making it");
    }
    bool full = ++m->nwaiting == WAITING_ROWS || mf_arena_used(&m->r->batch) > WAITING_BYTES;
    return full ? give_waiting(m, err) : 0;
}

static int making_begin(struct making *m, const struct mf_table *t, struct mf_error *err)
{
    mf_arena_reset(&m->r->batch);
    m->r->look.after = (struct mf_position){0};
    m->waiting = mf_alloc_array(&m->r->op, WAITING_ROWS, sizeof *m->waiting);
    return m->waiting ? view_rows_of(&m->r->op, t, t->made, &m->rows, err)
                      : view_no_memory(err, "there are too many rows");
}

/* What was seen of parents was seen, too. */
static int making_end(struct making *m, struct mf_position *after, struct mf_error *err)
{
    if (give_waiting(m, err) < 0) {
        return -1;
    }
    *after = m->r->look.after.order > after->order ? m->r->look.after : *after;
    return 0;
}

int view_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct making m = {.r = r, .emit = emit, .ctx = ctx};
    struct mf_position after = {0};
    const struct mf_chunk *own = chunk_own(r, t, c, err);
    if (!own) {
        return -1;
    }
    if (!t->made) {
        return own_ops(r)->chunk_rows(r->own, t, own, emit, ctx, ret_after, err);
    }
    if (making_begin(&m, t, err) < 0 ||
        own_ops(r)->chunk_rows(r->own, t->made->base, own, make_row, &m, &after, err) < 0 ||
        making_end(&m, &after, err) < 0) {
        return -1;
    }
    *ret_after = after;
    return 0;
}

/* ---- rows by key ---- */

/* The keys of the base for those asked for, each of these once. */
static int take_keys(struct making *m, struct view_keys *asked, size_t n, struct mf_row *ret, size_t *ret_n,
                     struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        bool none = false;
        uint32_t *at = view_keys_find(asked, &asked->rows[i]);
        if (*at) {
            continue; /* once is enough */
        }
        if (view_base_key(&m->rows, &m->r->op, &asked->rows[i], &ret[*ret_n], &none, err) < 0) {
            return -1;
        }
        *at = (uint32_t)i + 1;
        *ret_n += !none;
    }
    return 0;
}

int view_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct view_keys asked, bases;
    struct making m = {.r = r, .emit = emit, .ctx = ctx, .asked = &asked};
    struct mf_position after = {0};
    begin(r);
    if (!t->made) {
        return own_ops(r)->read_rows(r->own, t, keys, n, emit, ctx, ret_after, err);
    }
    struct mf_row *own = mf_alloc_array(&r->op, n + 1, sizeof *own);
    size_t wanted = 0;
    if (!own) {
        return view_no_memory(err, "there are too many keys");
    }
    if (making_begin(&m, t, err) < 0 || view_keys_init(&asked, &r->op, t, keys, n, err) < 0 ||
        take_keys(&m, &asked, n, own, &wanted, err) < 0 ||
        view_keys_init(&bases, &r->op, t->made->base, own, wanted, err) < 0) {
        return -1;
    }
    /* Keys that differ only in columns that are not of the table's own key are of one row of it. */
    wanted = view_keys_once(&bases, own, wanted);
    if (own_ops(r)->read_rows(r->own, t->made->base, own, wanted, make_row, &m, &after, err) < 0 ||
        making_end(&m, &after, err) < 0) {
        return -1;
    }
    *ret_after = after;
    return 0;
}

/* ---- digests ---- */

int view_digest(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    struct mf_digesting g = {.t = t};
    struct mf_position ignored;
    if (!t->made) {
        const struct mf_chunk *own = chunk_own(r, t, c, err);
        return own ? own_ops(r)->digest(r->own, t, own, ret, err) : -1;
    }
    if (view_chunk_rows(base, t, c, mf_digest_row, &g, &ignored, err) < 0) {
        return -1;
    }
    *ret = g.sum;
    return 0;
}

int view_digest_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                     void *ctx, struct mf_error *err)
{
    struct view_reader *r = reader_of(base);
    MF_CLEANUP_FREE struct mf_value *key = mf_xcalloc(t->ncolumns + 1u, sizeof *key);
    struct mf_digesting g = {.t = t, .emit = emit, .ctx = ctx, .key = key};
    struct mf_position ignored;
    if (!t->made) {
        const struct mf_chunk *own = chunk_own(r, t, c, err);
        return own ? own_ops(r)->digest_rows(r->own, t, own, emit, ctx, err) : -1;
    }
    return view_chunk_rows(base, t, c, mf_digest_row, &g, &ignored, err);
}
