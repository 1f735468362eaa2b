/* The store of a database that keeps the last write. Each value has its stamp, each row a mark that it is there and the stamp of its last deletion, each
 * table that of its last emptying. The rows others see (mem_table.rows) are made of that after each write. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "connector/memory/stamped.h"

#define LATE_MAX 200 /* writes on their way; more than that are never seen again */

struct cell {
    struct mf_value v; /* bytes owned; NULL: deleted */
    int64_t stamp;     /* 0: never written */
};

struct kept_row {
    struct kept_row *next;
    struct mem_table *table;
    struct mf_value *key; /* as wide as the table; owned */
    int64_t mark, gone;
    struct cell cells[MF_MEM_MAX_COLUMNS];
};

struct mem_stamped {
    uint64_t rng;
    int64_t latest; /* of applications */
    struct kept_row *rows;
    struct mem_writes late;
    size_t nemptied;
    struct {
        const struct mem_table *table;
        int64_t stamp;
    } emptied[MEM_MAX_EVER];
};

static struct mem_stamped *store(struct mf_mem_server *s)
{
    if (!s->stamped) {
        s->stamped = mf_xcalloc(1, sizeof *s->stamped);
        s->stamped->rng = s->knobs.stamped;
    }
    return s->stamped;
}

static unsigned below(struct mem_stamped *k, unsigned n)
{
    k->rng = mem_mix(k->rng + UINT64_C(0x9e3779b97f4a7c15));
    return (unsigned)((k->rng >> 33) % n);
}

/* ---- values that are owned ---- */

static struct mf_value own(const struct mf_value *v)
{
    struct mf_value o = *v;
    if (mf_value_has_bytes(v)) {
        char *bytes = mf_xmalloc(v->len + 1u);
        memcpy(bytes, v->len ? v->data : "", v->len);
        o.data = bytes;
    } else {
        o.data = NULL;
    }
    return o;
}

static void disown(struct mf_value *v)
{
    if (mf_value_has_bytes(v)) {
        free((void *)v->data);
    }
    *v = (struct mf_value){.kind = MF_UNCHANGED};
}

static struct mf_value *own_all(const struct mem_table *t, const struct mf_value *values)
{
    uint16_t n = t->shape->table.ncolumns;
    struct mf_value *o = mf_xcalloc(n, sizeof *o);
    for (uint16_t i = 0; i < n; i++) {
        o[i] = own(&values[i]);
    }
    return o;
}

static void disown_all(const struct mem_table *t, struct mf_value *values)
{
    for (uint16_t i = 0; values && i < t->shape->table.ncolumns; i++) {
        disown(&values[i]);
    }
    free(values);
}

/* ---- what others see ---- */

static int64_t emptied_at(const struct mem_stamped *k, const struct mem_table *t)
{
    for (size_t i = 0; i < k->nemptied; i++) {
        if (k->emptied[i].table == t) {
            return k->emptied[i].stamp;
        }
    }
    return 0;
}

static void show(struct mem_stamped *k, const struct kept_row *r)
{
    struct mem_table *t = r->table;
    int64_t dead = emptied_at(k, t);
    dead = r->gone > dead ? r->gone : dead;
    bool there = r->mark > dead;
    struct mf_value v[MF_MEM_MAX_COLUMNS];
    for (uint16_t i = 0; i < t->shape->table.ncolumns; i++) {
        bool alive = r->cells[i].stamp > dead && r->cells[i].v.kind != MF_NULL;
        v[i] = t->shape->table.columns[i].in_key ? r->key[i]
               : alive                           ? r->cells[i].v
                                                 : (struct mf_value){.kind = MF_NULL};
        there = there || alive;
    }
    mem_rows_own(&t->rows);
    size_t at = mem_rows_by_key(t->rows, t->shape, r->key);
    if (there && at != SIZE_MAX) {
        mem_rows_replace(t->rows, at, mem_row_new(t->shape, v));
    } else if (there) {
        mem_rows_add(t->rows, mem_row_new(t->shape, v));
    } else if (at != SIZE_MAX) {
        mem_rows_remove(t->rows, at);
    }
}

/* ---- writing ---- */

static struct kept_row *row_of(struct mem_stamped *k, struct mem_table *t, const struct mf_value *key)
{
    for (struct kept_row *r = k->rows; r; r = r->next) {
        bool same = r->table == t;
        for (uint16_t i = 0; same && i < t->shape->table.nkey; i++) {
            same = mf_value_equal(&r->key[t->shape->table.key[i]], &key[t->shape->table.key[i]]);
        }
        if (same) {
            return r;
        }
    }
    struct kept_row *r = mf_xcalloc(1, sizeof *r);
    *r = (struct kept_row){.next = k->rows, .table = t, .key = own_all(t, key)};
    return k->rows = r;
}

static void put_cell(struct cell *c, const struct mf_value *v, int64_t stamp)
{
    bool later = stamp > c->stamp;
    if (stamp == c->stamp && c->v.kind != MF_NULL) {
        later = v->kind == MF_NULL || mem_compare(true, v, &c->v) > 0;
    }
    if (later) {
        disown(&c->v);
        *c = (struct cell){.v = own(v), .stamp = stamp};
    }
}

static void empty(struct mem_stamped *k, const struct mem_write *w)
{
    size_t i = 0;
    while (i < k->nemptied && k->emptied[i].table != w->table) {
        i++;
    }
    k->nemptied += i == k->nemptied;
    k->emptied[i].table = w->table;
    k->emptied[i].stamp = w->stamp > k->emptied[i].stamp ? w->stamp : k->emptied[i].stamp;
    for (const struct kept_row *r = k->rows; r; r = r->next) {
        if (r->table == w->table) {
            show(k, r);
        }
    }
}

static void do_one(struct mem_stamped *k, const struct mem_write *w)
{
    if (w->kind == MEM_EMPTY) {
        empty(k, w);
        return;
    }
    struct kept_row *r = row_of(k, w->table, w->values);
    if (w->kind == MEM_GONE) {
        r->gone = w->stamp > r->gone ? w->stamp : r->gone;
    } else {
        r->mark = w->stamp > r->mark ? w->stamp : r->mark;
        for (uint16_t i = 0; i < w->table->shape->table.ncolumns; i++) {
            if (!w->table->shape->table.columns[i].in_key && w->values[i].kind != MF_UNCHANGED) {
                put_cell(&r->cells[i], &w->values[i], w->stamp);
            }
        }
    }
    show(k, r);
}

void mem_writes_add(struct mem_writes *w, struct mem_table *t, int kind, const struct mf_value *values, int64_t stamp)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 16;
        w->list = mf_xreallocarray(w->list, w->cap, sizeof *w->list);
    }
    w->list[w->n++] = (struct mem_write){.table = t, .values = values ? own_all(t, values) : NULL, .stamp = stamp};
    w->list[w->n - 1].kind = (unsigned)kind;
}

/* Takes one out, any. */
static struct mem_write take(struct mem_writes *w, struct mem_stamped *k)
{
    size_t i = below(k, (unsigned)w->n);
    struct mem_write one = w->list[i];
    w->list[i] = w->list[--w->n];
    return one;
}

void mem_writes_do(struct mem_writes *w, struct mf_mem_server *s)
{
    while (w->n) {
        struct mem_write one = take(w, store(s));
        do_one(store(s), &one);
        disown_all(one.table, one.values);
    }
}

void mem_writes_begin(struct mem_writes *w, struct mf_mem_server *s)
{
    struct mem_stamped *k = store(s);
    for (size_t i = 0; i < w->n; i++) {
        if (below(k, 3) == 0) {
            do_one(k, &w->list[below(k, (unsigned)w->n)]);
        }
    }
}

void mem_writes_lose(struct mem_writes *w, struct mf_mem_server *s)
{
    while (w->n) {
        struct mem_stamped *k = store(s);
        struct mem_write one = take(w, k);
        unsigned fate = below(k, 3);
        if (fate == 0) {
            do_one(k, &one);
        } else if (fate == 1 && k->late.n < LATE_MAX) {
            mem_writes_add(&k->late, one.table, (int)one.kind, one.values, one.stamp);
        }
        disown_all(one.table, one.values);
    }
}

void mem_stamped_chance(struct mf_mem_server *s)
{
    struct mem_stamped *k = s->stamped;
    if (k && k->late.n && below(k, 20) == 0) {
        struct mem_write one = take(&k->late, k);
        do_one(k, &one);
        disown_all(one.table, one.values);
    }
}

void mf_mem_late_writes_arrive(struct mf_mem_server *s)
{
    MEM_LOCKED;
    if (s->stamped) {
        mem_writes_do(&s->stamped->late, s);
    }
}

/* ---- applications ---- */

int64_t mem_stamped_latest(const struct mf_mem_server *s)
{
    return s->stamped ? s->stamped->latest : 0;
}

/* Of a row, or of all: nothing there may be newer. */
static bool newer(const struct mem_stamped *k, const struct mem_write *w)
{
    bool any = emptied_at(k, w->table) >= w->stamp;
    for (const struct kept_row *r = k->rows; r; r = r->next) {
        bool meant = r->table == w->table;
        for (uint16_t i = 0; meant && w->values && i < w->table->shape->table.nkey; i++) {
            uint16_t at = w->table->shape->table.key[i];
            meant = mf_value_equal(&r->key[at], &w->values[at]);
        }
        any = any || (meant && (r->mark >= w->stamp || r->gone >= w->stamp));
        for (uint16_t i = 0; meant && i < w->table->shape->table.ncolumns; i++) {
            any = any || r->cells[i].stamp >= w->stamp;
        }
    }
    return any;
}

static void app_write(struct mf_mem_server *s, struct mem_table *t, int kind, const struct mf_value *v)
{
    struct mem_stamped *k = store(s);
    struct mem_writes w = {0};
    mem_writes_add(&w, t, kind, v, ++k->latest);
    if (newer(k, &w.list[0])) {
        mem_violate(s, "what an application writes is taken for older than what was there");
    }
    do_one(k, &w.list[0]);
    disown_all(t, w.list[0].values);
    free(w.list);
}

static void app_change(struct mf_mem_server *s, const struct mem_change *c)
{
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        app_write(s, c->truncated[i], MEM_EMPTY, NULL);
    }
    if (c->op == MF_TRUNCATE) {
        return;
    }
    if (c->old_row && (!c->new_row || mem_compare_key(c->shape, c->old_row->v, c->new_row->v) != 0)) {
        app_write(s, c->table, MEM_GONE, c->old_row->v);
    }
    if (c->new_row) {
        app_write(s, c->table, MEM_PUT, c->new_row->v);
    }
}

void mem_stamped_app(struct mf_mem_server *s, const struct mf_mem_txn *t)
{
    struct mem_stamped *k = store(s);
    int64_t now = mem_clock(s);
    k->latest = now > k->latest ? now : k->latest;
    for (size_t i = 0; i < t->nchanges; i++) {
        app_change(s, t->changes[i]);
    }
}

/* ---- what does not come by writes ---- */

static void free_row(struct kept_row *r)
{
    for (uint16_t i = 0; i < MF_MEM_MAX_COLUMNS; i++) {
        disown(&r->cells[i].v);
    }
    disown_all(r->table, r->key);
    free(r);
}

void mem_stamped_forget(struct mf_mem_server *s, struct mem_table *t)
{
    struct mem_stamped *k = store(s);
    for (struct kept_row **at = &k->rows; *at;) {
        struct kept_row *r = *at;
        if (r->table == t) {
            *at = r->next;
            free_row(r);
        } else {
            at = &r->next;
        }
    }
    for (size_t i = k->late.n; i-- > 0;) {
        if (k->late.list[i].table == t) {
            disown_all(t, k->late.list[i].values);
            k->late.list[i] = k->late.list[--k->late.n];
        }
    }
    mem_rows_own(&t->rows);
    mem_rows_clear(t->rows);
}

void mem_stamped_take(struct mf_mem_server *s, struct mem_table *t)
{
    struct mem_rows *as = mem_rows_ref(t->rows);
    int64_t after = emptied_at(store(s), t) + 1; /* before all that it may be repaired with */
    mem_stamped_forget(s, t);
    struct mem_writes w = {0};
    for (size_t i = 0; i < as->n; i++) {
        mem_writes_add(&w, t, MEM_PUT, as->rows[i]->v, after);
    }
    mem_writes_do(&w, s);
    free(w.list);
    mem_rows_unref(as);
}

void mem_stamped_free(struct mem_stamped *k)
{
    if (!k) {
        return;
    }
    while (k->rows) {
        struct kept_row *r = k->rows;
        k->rows = r->next;
        free_row(r);
    }
    while (k->late.n) {
        k->late.n--;
        disown_all(k->late.list[k->late.n].table, k->late.list[k->late.n].values);
    }
    free(k->late.list);
    free(k);
}
