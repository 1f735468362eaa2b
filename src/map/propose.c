/* See propose.h. A draft's clustering has only what was asked of it while statements are dealt out; the rest of the key comes last. */
#include "map/propose_internal.h"

#include "base/buf.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BYTES_MOST   ((size_t)64 << 20)
#define REASONS_MOST 8 /* of one table; more are counted in its calls alone */

struct work {
    const struct mf_schema *schema;
    const struct mf_asked *asked;
    size_t nasked, room, room_notes;
    struct mf_proposal *p;
    /* of the table at hand */
    const struct mf_schema_table *t;
    const struct mf_schema_index *key;
    size_t first; /* its drafts begin here in p->tables; the first is its own table */
    bool failed;
};

/* ---- small things ---- */

static bool same_set(const uint16_t *a, uint16_t na, const uint16_t *b, uint16_t nb)
{
    bool same = na == nb;
    for (uint16_t i = 0; i < na && same; i++) {
        same = mf_among(b, nb, a[i]);
    }
    return same;
}

/* Are these the first columns of the index? */
static bool index_begins(const struct mf_schema_index *x, const uint16_t *columns, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        if (i >= x->n || !mf_among(columns, n, x->columns[i].column) || x->columns[i].prefix) {
            return false;
        }
    }
    return n > 0;
}

static void put_columns(struct mf_buf *b, const struct mf_schema_table *t, const uint16_t *list, uint16_t n,
                        const char *between)
{
    for (uint16_t i = 0; i < n; i++) {
        mf_buf_printf(b, "%s%s", i ? between : "", t->columns[list[i]].name);
    }
}

static const char *kept(struct work *w, struct mf_buf *b)
{
    const char *text = mf_buf_ok(b) ? mf_strdup_a(&w->p->arena, mf_buf_str(b)) : NULL;
    w->failed |= !text;
    mf_buf_reset(b);
    return text;
}

static void note(struct work *w, struct mf_buf *b)
{
    const char *text = kept(w, b);
    if (text && w->p->nnotes < w->room_notes) {
        w->p->notes[w->p->nnotes++] = text;
    }
}

static void say_why(struct work *w, struct mf_proposed *d, struct mf_buf *b)
{
    const char *text = kept(w, b);
    if (text && d->nreasons < REASONS_MOST) {
        d->reasons[d->nreasons++] = text;
    }
}

static struct mf_proposed *new_draft(struct work *w, const uint16_t *partition, uint16_t n)
{
    struct mf_proposed *d = &w->p->tables[w->p->n];
    if (n > MF_PROPOSE_KEY || w->p->n == w->room || w->p->n - w->first == MF_PROPOSE_MOST) {
        return NULL;
    }
    *d = (struct mf_proposed){.of = w->t, .npartition = n};
    memcpy(d->partition, partition, n * sizeof *partition);
    d->reasons = mf_alloc_array(&w->p->arena, REASONS_MOST, sizeof *d->reasons);
    w->failed |= !d->reasons;
    w->p->n += d->reasons != NULL;
    return d->reasons ? d : NULL;
}

/* ---- statements ---- */

/* The only one of that name, where no schema was written. */
static bool is_of(const struct work *w, const struct mf_access *a, const struct mf_schema_table *t)
{
    if (!mf_access_is(&a->table, t->name) || (a->schema.text[0] && !mf_access_is(&a->schema, t->schema))) {
        return false;
    }
    for (size_t i = 0; i < w->schema->ntables && !a->schema.text[0]; i++) {
        const struct mf_schema_table *other = &w->schema->tables[i];
        if (other != t && mf_access_is(&a->table, other->name)) {
            return false;
        }
    }
    return true;
}

/* The draft that answers it, which may be new; NULL: there is no room for one more. */
static struct mf_proposed *find_draft(struct work *w, const struct mf_want *q)
{
    for (size_t i = w->first; i < w->p->n; i++) {
        if (mf_draft_serve(w->key, &w->p->tables[i], q)) {
            return &w->p->tables[i];
        }
    }
    struct mf_proposed *d = new_draft(w, q->equal, q->nequal);
    if (d && !mf_draft_order(d, 0, q)) {
        w->p->n--;
        d = NULL;
    }
    return d;
}

/* Foreign keys of exactly these columns are a reason too. */
static void say_foreign(struct work *w, struct mf_proposed *d, struct mf_buf *b)
{
    for (size_t i = 0; i < w->t->nforeign; i++) {
        const struct mf_schema_foreign *f = &w->t->foreign[i];
        if (same_set(f->columns, f->n, d->partition, d->npartition)) {
            mf_buf_puts(b, "foreign key (");
            put_columns(b, w->t, f->columns, f->n, ", ");
            mf_buf_printf(b, ") to %s: the rows of one of these lie together", f->ref_table);
            say_why(w, d, b);
        }
    }
}

static void deal_statements(struct work *w, struct mf_buf *b)
{
    int64_t scans = 0, unserved = 0;
    for (size_t i = 0; i < w->nasked && !w->failed; i++) {
        struct mf_want q;
        if (!is_of(w, &w->asked[i].access, w->t) || !mf_want_resolve(w->t, &w->asked[i], &q)) {
            continue;
        }
        size_t before = w->p->n;
        struct mf_proposed *d = q.nequal ? find_draft(w, &q) : NULL;
        scans += q.nequal ? 0 : q.calls;
        unserved += q.nequal && !d ? q.calls : 0;
        if (d) {
            if (w->p->n > before) {
                say_foreign(w, d, b);
            }
            d->calls += q.calls;
            mf_want_put(b, w->t, &q);
            say_why(w, d, b);
        }
    }
    if (scans) {
        mf_buf_printf(b,
                      "%s.%s: %" PRId64
                      " calls compare no column with a value: they read all rows, or many, and no key is made for them",
                      w->t->schema, w->t->name, scans);
        note(w, b);
    }
    if (unserved) {
        mf_buf_printf(b,
                      "%s.%s: %" PRId64
                      " calls are served by no table: there are %d of it already, made for those asked more often",
                      w->t->schema, w->t->name, unserved, MF_PROPOSE_MOST);
        note(w, b);
    }
}

/* ---- the table itself, and by its foreign keys ---- */

static uint16_t key_columns(const struct work *w, uint16_t *out)
{
    uint16_t n = 0;
    for (; n < w->key->n && n < MF_PROPOSE_KEY; n++) {
        out[n] = w->key->columns[n].column;
    }
    return n;
}

/* The longest foreign key that the key begins with. */
static const struct mf_schema_foreign *parent_of(const struct work *w)
{
    const struct mf_schema_foreign *best = NULL;
    for (size_t i = 0; i < w->t->nforeign; i++) {
        const struct mf_schema_foreign *f = &w->t->foreign[i];
        if (f->n < w->key->n && index_begins(w->key, f->columns, f->n) && (!best || f->n > best->n)) {
            best = f;
        }
    }
    return best;
}

/* So many columns at the key's beginning are compared most often, without all the others. 0: none. */
static uint16_t asked_part(const struct work *w, struct mf_want *ret)
{
    for (size_t i = 0; i < w->nasked; i++) { /* most calls first */
        if (is_of(w, &w->asked[i].access, w->t) && mf_want_resolve(w->t, &w->asked[i], ret) &&
            ret->nequal < w->key->n && index_begins(w->key, ret->equal, ret->nequal)) {
            return ret->nequal;
        }
    }
    return 0;
}

static void draft_own(struct work *w, struct mf_buf *b)
{
    uint16_t columns[MF_PROPOSE_KEY], n = key_columns(w, columns);
    const struct mf_schema_foreign *parent = parent_of(w);
    struct mf_want q;
    uint16_t part = parent ? parent->n : asked_part(w, &q);
    struct mf_proposed *d = new_draft(w, columns, part ? part : n);
    if (!d) {
        return;
    }
    if (parent) {
        mf_buf_printf(b, "its key begins with the foreign key to %s: the rows of one of these lie together",
                      parent->ref_table);
    } else if (part) {
        mf_buf_puts(b, "statements compare the beginning of its key alone");
    } else {
        mf_buf_puts(b, "a row is found by its whole key (");
        put_columns(b, w->t, columns, n, ", ");
        mf_buf_puts(b, ")");
    }
    say_why(w, d, b);
}

static const struct mf_schema_index *index_of(const struct work *w, const struct mf_schema_foreign *f)
{
    for (size_t i = 0; i < w->t->nindexes; i++) {
        if (&w->t->indexes[i] != w->key && index_begins(&w->t->indexes[i], f->columns, f->n)) {
            return &w->t->indexes[i];
        }
    }
    return NULL;
}

static void draft_foreign(struct work *w, struct mf_buf *b)
{
    for (size_t i = 0; i < w->t->nforeign && !w->failed; i++) {
        const struct mf_schema_foreign *f = &w->t->foreign[i];
        const struct mf_schema_index *x = index_of(w, f);
        bool there = false;
        for (size_t k = w->first; k < w->p->n; k++) {
            const struct mf_proposed *d = &w->p->tables[k];
            there |= same_set(f->columns, f->n, d->partition, d->npartition);
        }
        for (uint16_t k = 0; k < f->n; k++) {
            there |= !mf_want_usable(&w->t->columns[f->columns[k]]);
        }
        struct mf_proposed *d = x && !there ? new_draft(w, f->columns, f->n) : NULL;
        if (d) {
            say_foreign(w, d, b);
            mf_buf_printf(b, "index %s begins with them", x->name);
            say_why(w, d, b);
        }
    }
}

/* ---- the end ---- */

static bool name_taken(const struct work *w, const struct mf_proposed *d, const char *name)
{
    for (size_t i = 0; i < w->schema->ntables; i++) {
        if (strcasecmp(w->schema->tables[i].name, name) == 0) {
            return true;
        }
    }
    for (const struct mf_proposed *o = w->p->tables; o < d; o++) {
        if (o->to && strcasecmp(o->to, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* lines_by_order_id, of letters, digits and _; where that is taken or too long, with a number. */
static const char *choose_name(struct work *w, const struct mf_proposed *d, struct mf_buf *b)
{
    mf_buf_printf(b, "%s_by_", d->of->name);
    put_columns(b, d->of, d->partition, d->npartition, "_");
    for (size_t i = 0; i < b->len; i++) {
        b->data[i] = is_plain(b->data[i]) ? b->data[i] : '_';
    }
    char name[MF_PROPOSE_NAME + 8];
    for (int i = 1; i < 1000; i++) {
        char number[8] = "";
        if (i > 1) {
            snprintf(number, sizeof number, "_%d", i);
        }
        size_t fits = mf_utf8_cut(mf_buf_str(b), b->len, MF_PROPOSE_NAME - strlen(number));
        snprintf(name, sizeof name, "%.*s%s", (int)fits, mf_buf_str(b), number);
        if (!name_taken(w, d, name)) {
            break;
        }
    }
    mf_buf_reset(b);
    mf_buf_puts(b, name);
    return kept(w, b);
}

/* The rest of the key, and a name. */
static void finish(struct work *w, struct mf_buf *b)
{
    size_t n = w->first;
    for (size_t i = w->first; i < w->p->n; i++) {
        struct mf_proposed *d = &w->p->tables[i];
        bool fits = true;
        for (uint16_t k = 0; k < w->key->n && fits; k++) {
            uint16_t column = w->key->columns[k].column;
            bool there = mf_among(d->partition, d->npartition, column);
            for (uint16_t c = 0; c < d->nclustering && !there; c++) {
                there = d->clustering[c].column == column;
            }
            fits = there || mf_draft_add(d, column, false, false);
        }
        if (fits) {
            w->p->tables[n] = *d;
            w->p->tables[n].to = i == w->first ? w->t->name : choose_name(w, &w->p->tables[n], b);
            n++;
        }
    }
    w->p->n = n;
}

static void propose_table(struct work *w, struct mf_buf *b)
{
    w->key = NULL;
    for (size_t i = 0; i < w->t->nindexes; i++) {
        const struct mf_schema_index *x = &w->t->indexes[i];
        w->key = x->is_key || (x->primary && !w->key) ? x : w->key;
    }
    if (!w->key || w->key->n > MF_PROPOSE_KEY) {
        mf_buf_printf(b, "%s.%s: %s", w->t->schema, w->t->name,
                      w->key ? "its key has too many columns" : "it has no key, and a table there must have one");
        note(w, b);
        return;
    }
    w->first = w->p->n;
    draft_own(w, b);
    draft_foreign(w, b);
    deal_statements(w, b);
    finish(w, b);
}

int mf_propose(const struct mf_schema *schema, const struct mf_asked *asked, size_t nasked, struct mf_proposal *ret,
               struct mf_error *err)
{
    struct mf_proposal p = {.n = 0};
    struct mf_buf b = {.max = 1 << 16};
    struct work w = {.schema = schema, .asked = asked, .nasked = nasked, .p = &p};
    w.room = schema->ntables * MF_PROPOSE_MOST;
    w.room_notes = schema->ntables * 3;
    mf_arena_init(&p.arena, BYTES_MOST);
    p.tables = mf_alloc_array(&p.arena, w.room + 1, sizeof *p.tables);
    p.notes = mf_alloc_array(&p.arena, w.room_notes + 1, sizeof *p.notes);
    w.failed = !p.tables || !p.notes;
    for (size_t i = 0; i < schema->ntables && !w.failed; i++) {
        w.t = &schema->tables[i];
        propose_table(&w, &b);
    }
    mf_buf_free(&b);
    if (w.failed) {
        mf_proposal_free(&p);
        return mf_fail(err, MF_FATAL, "MFMEM",
                       "the proposal of a map would be too large: leave tables out (tables.exclude)");
    }
    *ret = p;
    return 0;
}

void mf_proposal_free(struct mf_proposal *p)
{
    mf_arena_free(&p->arena);
    *p = (struct mf_proposal){.n = 0};
}

static bool is_moment(const struct mf_schema_column *c)
{
    return c->type.kind == MF_KIND_DATE || c->type.kind == MF_KIND_DATETIME || c->type.kind == MF_KIND_INSTANT;
}

int mf_proposed_moment(const struct mf_proposed *p)
{
    for (uint16_t i = 0; i < p->npartition; i++) {
        if (is_moment(&p->of->columns[p->partition[i]])) {
            return -1; /* it ends with its day */
        }
    }
    for (uint16_t i = 0; i < p->nclustering; i++) {
        if (is_moment(&p->of->columns[p->clustering[i].column])) {
            return p->clustering[i].column;
        }
    }
    for (uint16_t i = 0; i < p->of->ncolumns; i++) {
        if (is_moment(&p->of->columns[i]) && p->of->columns[i].not_null) {
            return i;
        }
    }
    return -1;
}
