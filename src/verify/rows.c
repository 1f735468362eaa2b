/* Rows by key, on both sides, in the snapshots of one round: what is a difference and what only looked like one. */
#include "verify/internal.h"

#include "base/str.h"
#include "bson/shred.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define AT_ONCE     500
#define ROWS_MEMORY ((size_t)1 << 30)
#define FAULT_BYTES ((size_t)64 << 20)
#define WHERE_MOST  300 /* bytes of the names of what differs */

int vf_copy_row(struct mf_arena *arena, struct mf_row *out, const struct mf_row *in, struct mf_error *err)
{
    return mf_row_copy(arena, out, in) == 0 ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "rows to compare are too large");
}

int vf_take_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct vf_rows *r = ctx;
    if (r->n == r->cap) {
        return mf_fail(err, MF_FATAL, "MFREAD", "more rows were given than keys were asked for");
    }
    return vf_copy_row(r->arena, &r->rows[r->n], row, err) < 0 ? -1 : (r->n++, 0);
}

bool vf_same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (!mf_value_equal(&a->values[t->key[k]], &b->values[t->key[k]])) {
            return false;
        }
    }
    return true;
}

bool vf_same_row(const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < a->n; i++) {
        if (!mf_value_equal(&a->values[i], &b->values[i])) {
            return false;
        }
    }
    return a->n == b->n;
}

const struct mf_row *vf_find_row(const struct mf_table *t, const struct vf_rows *rows, const struct mf_row *key)
{
    for (size_t i = 0; i < rows->n; i++) {
        if (vf_same_key(t, &rows->rows[i], key)) {
            return &rows->rows[i];
        }
    }
    return NULL;
}

/* ---- differences ---- */

static bool in_quarantine(struct vf_table *t, const char *key)
{
    for (size_t i = 0; i < t->nquarantined; i++) {
        if (strcmp(t->quarantined[i], key) == 0) {
            t->quarantined_seen[i] = true;
            return true;
        }
    }
    return false;
}

/* For the repair. What does not fit is left for a second verification. */
static void keep_fault(struct mf_verify *v, struct vf_table *t, const struct mf_row *key)
{
    struct mf_error ignored;
    size_t before = mf_arena_used(&v->arena);
    if (v->fault_bytes > FAULT_BYTES) {
        return;
    }
    struct vf_fault *f = mf_alloc0(&v->arena, sizeof(*f));
    if (f && vf_copy_row(&v->arena, &f->key, key, &ignored) == 0) {
        f->next = t->faults;
        t->faults = f;
        t->nfaults++;
    }
    v->fault_bytes += mf_arena_used(&v->arena) - before;
}

/* The first that is not known to be refused. Under the lock. */
static void name_first(struct mf_verify *v, const struct vf_table *t, const char *key_text, const char *kind)
{
    char label[300];
    if (v->o.pass && !v->stats.first[0] && !mf_streq(kind, "quarantined")) {
        snprintf(v->stats.first, sizeof v->stats.first, "table %.150s, key %.150s, %s",
                 mf_table_label(t->named, label, sizeof label), key_text,
                 mf_streq(kind, "missing") ? "not on the source"
                 : mf_streq(kind, "extra") ? "not on the target"
                                           : "another row on either side");
    }
}

/* key NULL: without one (identity FULL, or known from the quarantine alone). */
int vf_difference(struct mf_verify *v, struct vf_table *t, const struct mf_row *key, const char *key_text,
                  const char *kind, const char *where, struct mf_error *err)
{
    char label[300];
    pthread_mutex_lock(&v->mu);
    t->extra += key && mf_streq(kind, "extra");
    if (key && in_quarantine(t, key_text)) {
        kind = "quarantined";
    }
    name_first(v, t, key_text, kind);
    if (key && v->o.repair) {
        keep_fault(v, t, key);
    }
    v->stats.rows_differing++;
    if (mf_streq(kind, "quarantined")) {
        t->differing_quarantined++;
        v->stats.rows_quarantined++;
    }
    pthread_mutex_unlock(&v->mu);
    return v->o.pass ? 0
                     : mf_state_verify_difference(v->o.state, v->run, mf_table_label(t->named, label, sizeof(label)),
                                                  key_text, kind, where, err);
}

int vf_difference_full(struct mf_verify *v, struct vf_table *t, const struct mf_digest *d, int64_t count,
                       int64_t *ret_differing, struct mf_error *err)
{
    char text[VF_KEY_TEXT];
    int64_t n = count < 0 ? -count : count;
    snprintf(text, sizeof(text), "a row without key, digest %016llx%016llx, %lld copies", (unsigned long long)d->lane1,
             (unsigned long long)d->lane2, (long long)n);
    pthread_mutex_lock(&v->mu);
    t->keyless_differs = true;
    t->extra += count < 0 ? n : 0;
    v->stats.rows_differing += n - 1; /* the difference itself counts one */
    pthread_mutex_unlock(&v->mu);
    *ret_differing += n;
    return vf_difference(v, t, NULL, text, count > 0 ? "missing" : "extra", NULL, err);
}

/* ---- confirming ---- */

uint64_t vf_row_hash(const struct mf_row *row)
{
    uint64_t h = row ? row->n + 1u : 1;
    for (uint16_t i = 0; row && i < row->n; i++) {
        const struct mf_value *x = &row->values[i];
        h = XXH3_64bits_withSeed(x->data, mf_value_has_bytes(x) ? x->len : 0, h * 31 + (uint64_t)x->kind);
    }
    return h ? h : 1;
}

/* The columns that differ; of a document its paths. */
static void put_where(struct mf_buf *b, const struct mf_verify *v, const struct vf_table *t, const struct mf_row *one,
                      const struct mf_row *other)
{
    for (uint16_t i = 0; i < t->ot->ncolumns && i < one->n && i < other->n && b->len < WHERE_MOST; i++) {
        const struct mf_value *x = &one->values[i], *y = &other->values[i];
        if (mf_value_equal(x, y)) {
            continue;
        }
        mf_buf_puts(b, b->len ? ", " : "");
        size_t before = b->len;
        if (vf_documents(v) && x->kind == MF_BINARY && y->kind == MF_BINARY) {
            mf_bson_put_differences(b, x, y, WHERE_MOST);
        }
        if (b->len == before) {
            mf_buf_puts(b, t->ot->columns[i].name);
        }
    }
}

static int judge(struct mf_verify *v, struct vf_table *t, const struct mf_row *key, uint64_t was,
                 const struct mf_row *a, const struct mf_row *b, int64_t *ret_differing, struct mf_error *err)
{
    if (a && b && vf_same_row(a, b)) {
        return 0; /* the two sides order the key differently: it was in another range */
    }
    if (!a && !b && mf_row_refused(key) < 0) {
        return 0; /* the key is spelled in another way where it was found, and that spelling is a candidate of its own; or (joined) it was there
                   * when it was read and is on neither side now */
    }
    bool differs = true;
    if (vf_join_again(v, t, key, a, b, was, &differs, err) < 0) {
        return -1;
    }
    if (!differs) {
        return 0;
    }
    char text[VF_KEY_TEXT];
    struct mf_buf where = {.max = 4096};
    ++*ret_differing;
    if (a && b) {
        put_where(&where, v, t, a, b);
    }
    int rc = vf_difference(v, t, key, vf_key_text(t->ot, key, text, sizeof(text)),
                           !b   ? "missing"
                           : !a ? "extra"
                                : "differs",
                           where.len ? mf_buf_str(&where) : NULL, err);
    mf_buf_free(&where);
    return rc;
}

static int confirm_some(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_row *keys,
                        const uint64_t *was, size_t n, int64_t *ret_differing, struct mf_error *err)
{
    struct mf_arena arena;
    mf_arena_init(&arena, ROWS_MEMORY);
    struct vf_rows a = {.arena = &arena, .cap = n, .rows = mf_alloc_array(&arena, n, sizeof(*a.rows))};
    struct vf_rows b = {.arena = &arena, .cap = n, .rows = mf_alloc_array(&arena, n, sizeof(*b.rows))};
    struct mf_position ignored;
    int rc = -1;
    if (!a.rows || !b.rows) {
        mf_fail(err, MF_FATAL, "MFMEM", "rows to compare are too large");
    } else if (v->o.pipe->origin->connector->source->read_rows(s->o, t->ot, keys, n, vf_take_row, &a, &ignored, err) ==
                   0 &&
               v->o.pipe->replica->connector->source->read_rows(s->r, t->rt, keys, n, vf_take_row, &b, &ignored, err) ==
                   0) {
        rc = 0;
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = judge(v, t, &keys[i], was ? was[i] : 0, vf_find_row(t->ot, &a, &keys[i]), vf_find_row(t->rt, &b, &keys[i]),
                   ret_differing, err);
    }
    mf_arena_free(&arena);
    return rc;
}

int vf_confirm(struct mf_verify *v, struct vf_slot *s, struct vf_table *t, const struct mf_row *keys,
               const uint64_t *was, size_t n, int64_t *ret_differing, struct mf_error *err)
{
    for (size_t i = 0; i < n; i += AT_ONCE) {
        if (confirm_some(v, s, t, keys + i, was ? was + i : NULL, n - i < AT_ONCE ? n - i : AT_ONCE, ret_differing,
                         err) < 0) {
            return -1;
        }
    }
    return 0;
}
