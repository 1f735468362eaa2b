/* Reading: chunks whose bounds are canonical, rows whose values are. */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static const struct mf_source_ops *own_ops(const struct face_reader *r)
{
    return r->own->db->connector->source;
}

static struct face_reader *reader_of(struct mf_reader *r)
{
    return (struct face_reader *)r;
}

/* The real table for the operation that begins. */
static const struct mf_table *begin(struct face_reader *r, const struct mf_table *shown, struct mf_error *err)
{
    mf_arena_reset(&r->tables);
    mf_arena_reset(&r->row);
    return face_table_own(face_of(r->base.db), &r->tables, shown, err);
}

/* ---- snapshots are the real database's: nothing of them is shown ---- */

int face_snapshot_open(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                       struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return own->connector->source->snapshot_open(own, pipe, readers, ret, err);
}

int face_snapshot_now(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    return own->connector->source->snapshot_now(own, readers, ret, err);
}

void face_snapshot_close(struct mf_snapshot *s)
{
    if (s) {
        s->db->connector->source->snapshot_close(s);
    }
}

int face_reader_open(struct mf_db *db, const struct mf_snapshot *s, struct mf_reader **ret, struct mf_error *err)
{
    struct mf_db *own = face_of(db)->own;
    struct face_reader *r = mf_xcalloc(1, sizeof *r);
    r->base.db = db;
    mf_arena_init(&r->tables, FACE_SHAPE_BYTES);
    mf_arena_init(&r->row, FACE_ROW_BYTES);
    if (own->connector->source->reader_open(own, s, &r->own, err) < 0) {
        free(r);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

void face_reader_close(struct mf_reader *base)
{
    struct face_reader *r = reader_of(base);
    if (r) {
        own_ops(r)->reader_close(r->own);
        mf_arena_free(&r->tables);
        mf_arena_free(&r->row);
        free(r);
    }
}

int face_shape_same(struct mf_reader *base, const struct mf_table *t, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    const struct mf_table *own = begin(r, t, err);
    return own ? own_ops(r)->shape_same(r->own, own, err) : -1;
}

/* ---- chunks ---- */

/* The bounds are no values of the key: they pass as they are, and only this very database reads them. */
static bool opaque(const struct face_reader *r, const struct mf_chunk *c)
{
    return c->by_heap || r->own->db->connector->reads_unordered;
}

static int side_own(struct face_reader *r, const struct mf_table *shown, const struct mf_table *own, const char *bound,
                    bool exact, char *ret, bool *ret_has, struct mf_error *err)
{
    bool fits = true;
    if (face_bound_own(face_of(r->base.db), shown, own, bound, ret, &fits, err) < 0) {
        return -1;
    }
    if (!fits && exact) {
        return mf_fail(err, MF_FATAL, "MFCHUNK", "chunk bound \"%.100s\" is no key of %s.%s", bound, own->schema,
                       own->name);
    }
    *ret_has = fits;
    return 0;
}

int face_chunk_own(struct face_reader *r, const struct mf_table *shown, const struct mf_table *own,
                   const struct mf_chunk *c, bool exact, struct mf_chunk *ret, struct mf_error *err)
{
    *ret = *c;
    if (opaque(r, c) || face_is_book(shown->schema)) {
        return 0;
    }
    return (c->has_lower && side_own(r, shown, own, c->lower, exact, ret->lower, &ret->has_lower, err) < 0) ||
                   (c->has_upper && side_own(r, shown, own, c->upper, exact, ret->upper, &ret->has_upper, err) < 0)
               ? -1
               : 0;
}

/* Chunks on their way out. One whose upper bound has no canonical form is joined with the next. */
struct joining {
    struct face_reader *r;
    const struct mf_table *shown, *own;
    mf_chunk_sink *emit;
    void *ctx;
    struct mf_chunk c;
    uint32_t ordinal;
    bool open;                    /* c has been begun */
    const struct mf_chunk *whole; /* what is split: its bounds stay as they are written. NULL */
};

static int take_chunk(void *ctx, const struct mf_chunk *own, struct mf_error *err)
{
    struct joining *j = ctx;
    const struct face_db *f = face_of(j->r->base.db);
    bool fits = true, as_it_is = opaque(j->r, own);
    if (!j->open) {
        bool first = j->ordinal == 0;
        j->c.table_id = j->shown->id;
        j->c.by_heap = own->by_heap;
        j->c.rows_estimate = 0;
        j->c.has_lower = own->has_lower;
        if (as_it_is) {
            mf_strlcpy(j->c.lower, own->lower, sizeof j->c.lower);
        } else if (first && own->has_lower && j->whole) {
            mf_strlcpy(j->c.lower, j->whole->lower, sizeof j->c.lower);
        } else if (!first) { /* where the one before ended */
            mf_strlcpy(j->c.lower, j->c.upper, sizeof j->c.lower);
        }
        j->open = true;
    }
    j->c.rows_estimate += own->rows_estimate > 0 ? own->rows_estimate : 0;
    j->c.has_upper = own->has_upper;
    j->c.upper[0] = '\0';
    if (own->has_upper && as_it_is) {
        mf_strlcpy(j->c.upper, own->upper, sizeof j->c.upper);
    } else if (own->has_upper && face_bound_shown(f, j->shown, j->own, own->upper, j->c.upper, &fits, err) < 0) {
        return -1;
    }
    if (!fits) {
        return 0;
    }
    j->c.ordinal = j->ordinal++;
    j->open = false;
    return j->emit(j->ctx, &j->c, err);
}

/* What is split ends where it ended, whatever that is called here. */
static int last_chunk(struct joining *j, struct mf_error *err)
{
    if (!j->open) {
        return 0;
    }
    j->c.ordinal = j->ordinal++;
    j->c.has_upper = j->whole && j->whole->has_upper;
    mf_strlcpy(j->c.upper, j->c.has_upper ? j->whole->upper : "", sizeof j->c.upper);
    return j->emit(j->ctx, &j->c, err);
}

int face_chunk_plan(struct mf_reader *base, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                    mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    const struct mf_table *own = begin(r, t, err);
    if (!own) {
        return -1;
    }
    MF_CLEANUP_FREE struct joining *j = mf_xcalloc(1, sizeof *j);
    *j = (struct joining){.r = r, .shown = t, .own = own, .emit = emit, .ctx = ctx};
    if (own_ops(r)->chunk_plan(r->own, own, target_rows, target_bytes, take_chunk, j, err) < 0) {
        return -1;
    }
    return last_chunk(j, err);
}

int face_chunk_split(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, int n,
                     mf_chunk_sink *emit, void *ctx, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    const struct mf_table *own = begin(r, t, err);
    MF_CLEANUP_FREE struct mf_chunk *whole = mf_xcalloc(1, sizeof *whole);
    MF_CLEANUP_FREE struct joining *j = mf_xcalloc(1, sizeof *j);
    if (!own || face_chunk_own(r, t, own, c, true, whole, err) < 0) {
        return -1;
    }
    *j = (struct joining){.r = r, .shown = t, .own = own, .emit = emit, .ctx = ctx, .whole = c};
    if (own_ops(r)->chunk_split(r->own, own, whole, n, take_chunk, j, err) < 0) {
        return -1;
    }
    return last_chunk(j, err);
}

/* As wire bytes of the real database, which nobody can read: how fast it gives them is all that is asked (plan). */
int face_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    const struct mf_table *own = begin(r, t, err);
    MF_CLEANUP_FREE struct mf_chunk *k = mf_xcalloc(1, sizeof *k);
    return own && face_chunk_own(r, t, own, c, true, k, err) == 0 ? own_ops(r)->chunk_open(r->own, own, k, err) : -1;
}

int face_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    return own_ops(r)->chunk_read(r->own, ret_data, ret_len, err);
}

int face_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    return own_ops(r)->chunk_close(r->own, ret_after, ret_rows, err);
}

/* ---- rows ---- */

struct showing {
    struct face_reader *r;
    const struct mf_table *shown;
    mf_row_sink *emit;
    void *ctx;
};

static int show_row(void *ctx, const struct mf_row *own, struct mf_error *err)
{
    struct showing *s = ctx;
    struct mf_row row;
    mf_arena_reset(&s->r->row);
    return face_row_shown(face_of(s->r->base.db), s->shown, &s->r->row, own, &row, err) < 0
               ? -1
               : s->emit(s->ctx, &row, err);
}

int face_chunk_each(struct face_reader *r, const struct mf_table *t, const struct mf_chunk *c, bool exact,
                    mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    const struct mf_table *own = begin(r, t, err);
    MF_CLEANUP_FREE struct mf_chunk *k = mf_xcalloc(1, sizeof *k);
    struct showing s = {.r = r, .shown = t, .emit = emit, .ctx = ctx};
    if (!own || face_chunk_own(r, t, own, c, exact, k, err) < 0) {
        return -1;
    }
    return own_ops(r)->chunk_rows(r->own, own, k, show_row, &s, ret_after, err);
}

int face_chunk_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                    void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    return face_chunk_each(reader_of(base), t, c, true, emit, ctx, ret_after, err);
}

int face_read_rows(struct mf_reader *base, const struct mf_table *t, const struct mf_row *keys, size_t n,
                   mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err)
{
    struct face_reader *r = reader_of(base);
    const struct mf_table *own = begin(r, t, err);
    MF_CLEANUP_ARENA struct mf_arena arena;
    struct showing s = {.r = r, .shown = t, .emit = emit, .ctx = ctx};
    size_t found = 0;
    mf_arena_init(&arena, FACE_ROW_BYTES);
    struct mf_row *here = mf_alloc_array(&arena, n + 1, sizeof *here);
    if (!own || !here) {
        return own ? face_no_memory(err, "there are too many keys") : -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (face_row_own(face_of(r->base.db), t, &arena, true, &keys[i], &here[found], err) < 0) {
            return -1;
        }
        bool none = false; /* a value that is no value here is no row's key */
        for (uint16_t k = 0; k < t->nkey; k++) {
            none |= here[found].values[t->key[k]].kind == MF_REFUSED;
        }
        found += !none;
    }
    return own_ops(r)->read_rows(r->own, own, here, found, show_row, &s, ret_after, err);
}
