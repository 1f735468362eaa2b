/* What the origin's server did by itself to rows that refer to one that went, or whose key changed (mf_table.cascades): its stream does not
 * tell, so it is done here, before the change that caused it, in its window.
 *
 * Why it comes out the same: in the strict phase the replica stands where the origin stood when the server did it, but for what this window has
 * done already, which the origin had done too; the window keeps what comes before the cause and after it apart. Before the consistency point
 * rows may be newer than the change, and a newer row may be hit: that one was written later, so the stream brings it again. Unless it was written
 * by a cascade; or a row in the middle of a chain was copied after it went. Tables to which that can have happened are put
 * down, and mended (migration/mend.c).
 *
 * Depth is what the server itself goes to: InnoDB refuses more than 15 tables in a row. */
#include "pipeline/apply_internal.h"

#include "base/fault.h"

#include <string.h>

#define DEPTH        16
#define ROWS_MEMORY  ((size_t)256 << 20)
#define ROWS_AT_ONCE 4096

/* Rows of one table that went, or whose key changed: keys as they were and, for an update, as they are. */
struct cause {
    const struct mf_table *table;      /* the replica's, with the key */
    const struct mf_cascade *cascades; /* the origin's word */
    uint16_t ncascades;
    const struct mf_row *was, *now; /* now: of one row, NULL for deletes; as wide as table */
    size_t n;
};

struct taking {
    struct mf_arena *arena;
    struct mf_row *rows;
    size_t n, cap;
};

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "the rows that a cascade changes are too many for one window");
}

static int take(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct taking *t = ctx;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct mf_row *more = mf_alloc_array(t->arena, cap, sizeof(*more));
        if (!more) {
            return no_memory(err);
        }
        if (t->n) {
            memcpy(more, t->rows, t->n * sizeof(*more));
        }
        t->rows = more;
        t->cap = cap;
    }
    return mf_row_copy(t->arena, &t->rows[t->n], row) == 0 ? (t->n++, 0) : no_memory(err);
}

/* The values of some columns of a row, as a row of their own. */
static int pick(struct mf_arena *arena, const struct mf_table *t, const struct mf_row *row, const char **names,
                uint16_t n, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, n + 1u, sizeof(*v));
    if (!v) {
        return no_memory(err);
    }
    for (uint16_t k = 0; k < n; k++) {
        int at = mf_table_column(t, names[k]);
        if (at < 0 || row->values[at].kind == MF_UNCHANGED) {
            return mf_fail(err, MF_FATAL, "MFCASCADE",
                           "rows refer to column \"%s\" of table %s.%s, whose value did not come with a change",
                           names[k], t->schema, t->name);
        }
        v[k] = row->values[at];
    }
    *ret = (struct mf_row){.n = n, .values = v};
    return 0;
}

/* The table that is changed and its columns; *ret_table NULL: it does not migrate. */
static int resolve(struct mf_apply *a, const struct mf_cascade *k, struct mf_arena *arena,
                   const struct mf_table **ret_table, uint16_t **ret_columns, struct mf_error *err)
{
    const struct mf_table like = {.schema = k->schema, .name = k->table};
    const struct mf_table *origin = mf_map_origin(a->o.map, &like);
    struct mf_table *t = NULL, *ignored;
    uint16_t *columns = *ret_columns = mf_alloc_array(arena, k->n + 1u, sizeof(*columns));
    if (!columns) {
        return no_memory(err);
    }
    /* With the origin's key: the replica may have got its own only after it was looked at. */
    if (origin && mf_map_target(a->o.map, &like) && mf_map_pair(a->o.map, arena, origin, &ignored, &t, err) < 0) {
        return -1;
    }
    *ret_table = t;
    for (uint16_t i = 0; t && i < k->n; i++) {
        int at = mf_table_column(t, k->to[i]);
        if (at < 0) {
            return mf_fail(err, MF_FATAL, "MFCASCADE",
                           "the replica's table %s.%s has no column \"%s\", by which a foreign key acts", t->schema,
                           t->name, k->to[i]);
        }
        columns[i] = (uint16_t)at;
    }
    return 0;
}

static int spread(struct mf_apply *a, const struct cause *c, int depth, struct mf_error *err);

/* ---- tables that may be wrong afterwards ---- */

static void suspect_key(const char *schema, const char *name, char *out, size_t n)
{
    snprintf(out, n, "suspect.%s.%s", schema, name);
}

bool mf_apply_suspected(struct mf_state *s, const char *schema, const char *name)
{
    char key[300];
    suspect_key(schema, name, key, sizeof(key));
    return mf_state_int(s, key, 0) != 0;
}

int mf_apply_unsuspect(struct mf_state *s, const char *schema, const char *name, struct mf_error *err)
{
    char key[300];
    suspect_key(schema, name, key, sizeof(key));
    return mf_state_set_int(s, key, 0, err);
}

/* It, and all that cascades from it. */
static int suspect(struct mf_apply *a, const char *schema, const char *name, struct mf_error *err)
{
    char key[300];
    const struct mf_table like = {.schema = schema, .name = name}, *origin = mf_map_origin(a->o.map, &like);
    suspect_key(schema, name, key, sizeof(key));
    if (mf_state_int(a->o.state, key, 0) != 0) {
        return 0;
    }
    if (mf_state_set_int(a->o.state, key, 1, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; origin && i < origin->ncascades; i++) {
        if (suspect(a, origin->cascades[i].schema, origin->cascades[i].table, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Before the consistency point: what is deleted or emptied in the first table is deleted for sure, since its rows say themselves what they refer to. Whatever is
 * further away needs rows that may not be here; and a key that is given another value makes rows newer than their last change. */
static int suspect_from(struct mf_apply *a, const struct mf_cascade *k, enum mf_cascade_action action, int depth,
                        struct mf_error *err)
{
    const struct mf_table like = {.schema = k->schema, .name = k->table}, *origin = mf_map_origin(a->o.map, &like);
    if (!a->w.fuzzy || a->w.cascade_at > a->w.consistency) {
        return 0;
    }
    if (action == MF_CASCADE_UPDATE || depth > 0) {
        return suspect(a, k->schema, k->table, err);
    }
    for (uint16_t i = 0; action == MF_CASCADE_DELETE && origin && i < origin->ncascades; i++) {
        if (suspect(a, origin->cascades[i].schema, origin->cascades[i].table, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Whether what happens to rows of t is itself a cause. */
static bool goes_on(const struct mf_table *origin, enum mf_cascade_action action)
{
    bool any = false;
    for (uint16_t i = 0; origin && i < origin->ncascades; i++) {
        const struct mf_cascade *k = &origin->cascades[i];
        any = any || (action == MF_CASCADE_DELETE   ? k->on_delete != MF_CASCADE_NONE
                      : action == MF_CASCADE_UPDATE ? k->on_update != MF_CASCADE_NONE
                                                    : false);
    }
    return any;
}

/* A row of which some columns have got other values. */
static int changed(struct mf_arena *arena, const struct mf_row *row, const uint16_t *columns, uint16_t n,
                   const struct mf_row *now, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, row->n + 1u, sizeof(*v));
    if (!v) {
        return no_memory(err);
    }
    memcpy(v, row->values, row->n * sizeof(*v));
    for (uint16_t k = 0; k < n; k++) {
        v[columns[k]] = now->values[k].kind == MF_UNCHANGED ? v[columns[k]] : now->values[k];
    }
    *ret = (struct mf_row){.n = row->n, .values = v};
    return 0;
}

/* Of rows that were changed: each is a cause of its own where their keys are new. */
static int onward(struct mf_apply *a, const struct mf_table *t, const struct mf_table *origin, const struct taking *got,
                  const uint16_t *columns, uint16_t n, const struct mf_row *now, int depth, struct mf_error *err)
{
    struct cause c = {.table = t, .cascades = origin->cascades, .ncascades = origin->ncascades};
    if (!now) {
        c.was = got->rows;
        c.n = got->n;
        return c.n ? spread(a, &c, depth + 1, err) : 0;
    }
    for (size_t i = 0; i < got->n; i++) {
        struct mf_row after;
        if (changed(got->arena, &got->rows[i], columns, n, now, &after, err) < 0) {
            return -1;
        }
        c.was = &got->rows[i];
        c.now = &after;
        c.n = 1;
        if (spread(a, &c, depth + 1, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int act(struct mf_apply *a, const struct mf_cascade *k, enum mf_cascade_action action, const struct mf_row *was,
               size_t nwas, const struct mf_row *now, struct mf_arena *arena, int depth, struct mf_error *err)
{
    const struct mf_table *t = NULL;
    const struct mf_table like = {.schema = k->schema, .name = k->table};
    const struct mf_table *origin = mf_map_origin(a->o.map, &like);
    uint16_t *columns;
    if (resolve(a, k, arena, &t, &columns, err) < 0) {
        return -1;
    }
    if (!t || a->w.cascade_at <= mf_apply_exact_at(a, k->schema, k->table)) {
        return 0; /* it does not migrate, or was copied after this */
    }
    if (suspect_from(a, k, action, depth, err) < 0) {
        return -1;
    }
    for (bool more = true, further = goes_on(origin, action); more;) {
        struct taking got = {.arena = arena};
        if (MF_FAULT(err, "apply.cascade") ||
            a->o.replica->connector->target->window_cascade(a->applier, t, columns, k->n, was, nwas, now,
                                                            a->w.cascade_stamp, further ? take : NULL, &got, &more,
                                                            err) < 0 ||
            (further && onward(a, t, origin, &got, columns, k->n, now, depth, err) < 0)) {
            return -1;
        }
        more = more && further;
    }
    return 0;
}

static int one_cascade(struct mf_apply *a, const struct cause *c, const struct mf_cascade *k, struct mf_arena *arena,
                       int depth, struct mf_error *err)
{
    enum mf_cascade_action action = c->now ? k->on_update : k->on_delete;
    struct mf_row *was = mf_alloc_array(arena, c->n + 1u, sizeof(*was)), now = {0};
    struct mf_value *nulls = mf_alloc0(arena, sizeof(*nulls) * (k->n + 1u)); /* MF_NULL is 0 */
    if (!was || !nulls) {
        return no_memory(err);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (pick(arena, c->table, &c->was[i], k->from, k->n, &was[i], err) < 0) {
            return -1;
        }
    }
    if (c->now && pick(arena, c->table, c->now, k->from, k->n, &now, err) < 0) {
        return -1;
    }
    bool moved = false;
    for (uint16_t i = 0; c->now && i < k->n; i++) {
        bool same = mf_value_equal(&was[0].values[i], &now.values[i]);
        moved = moved || !same;
        if (same) { /* the other row may spell it in another way, and goes on doing so */
            now.values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        }
    }
    if (action == MF_CASCADE_NONE || (c->now && !moved)) {
        return 0;
    }
    if (action == MF_CASCADE_SET_NULL) {
        now = (struct mf_row){.n = k->n, .values = nulls};
    }
    return act(a, k, action, was, c->n, action == MF_CASCADE_DELETE ? NULL : &now, arena, depth, err);
}

static int spread(struct mf_apply *a, const struct cause *c, int depth, struct mf_error *err)
{
    if (depth >= DEPTH) {
        return mf_fail(err, MF_FATAL, "MFCASCADE", "foreign keys of %s.%s act on more than %d tables in a row",
                       c->table->schema, c->table->name, DEPTH);
    }
    struct mf_arena arena;
    mf_arena_init(&arena, ROWS_MEMORY);
    int rc = 0;
    for (uint16_t i = 0; rc == 0 && i < c->ncascades; i++) {
        rc = one_cascade(a, c, &c->cascades[i], &arena, depth, err);
    }
    mf_arena_free(&arena);
    return rc;
}

/* The new key with what it leaves unchanged taken from the old one. */
static int whole_key(const struct mf_table *t, struct mf_arena *arena, const struct mf_rowchange *c, struct mf_row *ret,
                     struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, t->ncolumns + 1u, sizeof(*v));
    for (uint16_t i = 0; v && i < t->ncolumns; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED ? c->old_row.values[i] : c->new_row.values[i];
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    return v ? 0 : no_memory(err);
}

static int spread_from(struct mf_apply *a, const struct mf_batch_table *b, struct mf_arena *arena, struct mf_error *err)
{
    struct cause c = {.table = b->table, .cascades = b->table->cascades, .ncascades = b->table->ncascades};
    struct mf_row now;
    for (size_t i = 0; i < b->ndeletes; i += c.n) {
        c.n = b->ndeletes - i < ROWS_AT_ONCE ? b->ndeletes - i : ROWS_AT_ONCE;
        struct mf_row *was = mf_alloc_array(arena, c.n, sizeof(*was));
        for (size_t k = 0; was && k < c.n; k++) {
            was[k] = b->deletes[i + k]->old_row;
        }
        c.was = was;
        if (!was || spread(a, &c, 0, err) < 0) {
            return was ? -1 : no_memory(err);
        }
        mf_arena_reset(arena);
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        c.n = 1;
        c.was = &b->updates[i]->old_row;
        c.now = &now;
        if (whole_key(b->table, arena, b->updates[i], &now, err) < 0 || spread(a, &c, 0, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int mf_apply_cascade(struct mf_apply *a, const struct mf_batch *b, struct mf_error *err)
{
    struct mf_arena arena;
    int rc = 0;
    if (!b->cascades) {
        return 0;
    }
    mf_arena_init(&arena, ROWS_MEMORY);
    for (size_t i = 0; rc == 0 && i < b->ntables; i++) {
        rc = spread_from(a, &b->tables[i], &arena, err);
    }
    mf_arena_free(&arena);
    return rc;
}
