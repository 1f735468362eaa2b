/* Applying windows of documents.
 *
 * The rows that the documents of a batch have are read, compared with those they are to have, and the differences go to the real applier, in the window's transaction. Its
 * windows are fuzzy: whether a document is there as it must be is seen from the rows that were read, since nobody else writes here.
 *
 * A document that is refused fails the window, as a row does, and is found the careful way (careful.c). */
#include "connector/shred/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES ((size_t)1 << 30) /* of the documents that one window remembers */

int docs_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct docs_db *s = docs_of(db);
    struct docs_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->pipe = *pipe;
    a->emptied = mf_xcalloc(mf_shred_count(s->map) + 1, sizeof *a->emptied);
    mf_arena_init(&a->batch, DOCS_ROW_BYTES);
    mf_arena_init(&a->kept, KEPT_BYTES);
    if (docs_target(s)->applier_open(s->own, pipe, &a->own, err) < 0) {
        docs_applier_close(&a->base);
        return -1;
    }
    *ret = &a->base;
    return 0;
}

void docs_applier_close(struct mf_applier *base)
{
    struct docs_applier *a = docs_applier_of(base);
    if (!a) {
        return;
    }
    if (a->own) {
        docs_applier_ops(a)->applier_close(a->own);
    }
    docs_source(docs_of(base->db))->reader_close(a->reader);
    docs_reals_free(&a->reals);
    mf_arena_free(&a->batch);
    mf_arena_free(&a->kept);
    free(a->seen);
    free(a->emptied);
    free(a);
}

/* ---- what is there ---- */

static int of_this_window(struct docs_applier *a, const struct docs_real *c, const struct docs_seen *s,
                          struct docs_change *change, struct mf_error *err)
{
    struct docs_change was;
    if (s->forgotten) {
        mf_fail(err, MF_FATAL, "MFBIG",
                "documents that one transaction of the source changes more than once are larger than %zu GB",
                KEPT_BYTES >> 30);
        return -1;
    }
    if (s->gone) {
        return 0;
    }
    if (docs_change_make(c, &a->batch, change->key, &s->doc, &was, err) < 0) {
        return -1;
    }
    struct mf_shred_rows *rows = mf_alloc(&a->batch, sizeof *rows);
    if (!rows) {
        return docs_no_memory(err, "the rows of documents are larger than the memory for them");
    }
    *rows = was.rows;
    change->was = rows;
    return 0;
}

int docs_look(struct docs_applier *a, const struct docs_real *c, struct docs_change *changes, size_t n,
              struct mf_error *err)
{
    struct docs_db *s = docs_of(a->base.db);
    struct mf_row *keys = mf_alloc_array(&a->batch, n + 1, sizeof *keys);
    struct docs_change **whose = mf_alloc_array(&a->batch, n + 1, sizeof(struct docs_change *));
    struct docs_docs docs;
    size_t asked = 0;
    if (!keys || !whose) {
        return docs_no_memory(err, "there are too many documents");
    }
    for (size_t i = 0; i < n; i++) {
        const struct docs_seen *seen = docs_seen_find(a, c, changes[i].key);
        if (seen && of_this_window(a, c, seen, &changes[i], err) < 0) {
            return -1;
        }
        if (!seen && changes[i].root.n && !docs_seen_emptied(a, c)) {
            whose[asked] = &changes[i];
            keys[asked++] = changes[i].root;
        }
    }
    if (asked == 0) {
        return 0;
    }
    if ((!a->reader && docs_source(s)->reader_open(s->own, NULL, &a->reader, err) < 0) ||
        docs_fetch(a->reader, c, &a->batch, keys, asked, &docs, NULL, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < asked; i++) {
        whose[i]->was = &docs.rows[i];
    }
    return 0;
}

/* ---- what must be there ---- */

static int apart(struct docs_applier *a, const struct mf_table *t, const struct mf_row *key, const char *what,
                 struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 600};
    mf_put_key_text(&text, t, key);
    if (!a->mode.careful) {
        return mf_fail(err, MF_CONFLICT, "MFMISS", "%s: %s.%s, %s", what, t->schema, t->name, mf_buf_str(&text));
    }
    if (a->mode.heal && a->result) {
        mf_result_diverged(a->result, t, what, mf_buf_str(&text));
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFDIVERGED", "%s: %s.%s, document %s; somebody else has written to the target", what,
            t->schema, t->name, mf_buf_str(&text));
    mf_hint(err, "find out who, and keep them away; then set on_divergence: repair and start midflight again: it mends "
                 "such documents as it meets them, and midflight verify --repair mends the rest");
    return -1;
}

int docs_expect(struct docs_applier *a, const struct mf_table *t, const struct docs_told *told,
                const struct docs_change *c, struct mf_error *err)
{
    bool there = docs_is_there(c);
    uint64_t had = 0;
    if (a->mode.fuzzy || told->expects == DOCS_EITHER || (told->expects == DOCS_MUST_BE) == there) {
        return 0;
    }
    if (there) {
        return apart(a, t, told->key, "an insert found its document there", err);
    }
    /* One that is in quarantine is not here. */
    if (docs_applier_ops(a)->quarantine_clear(a->own, t, &told->key, 1, &had, err) < 0) {
        return -1;
    }
    return had ? 0
               : apart(a, t, told->key, told->doc ? "an update found no document" : "a delete found no document", err);
}

int docs_give(struct docs_applier *a, const struct docs_real *c, const struct docs_change *changes, size_t n,
              struct mf_error *err)
{
    struct mf_batch b;
    return docs_diff(c, &a->batch, changes, n, &b, err) < 0 ||
                   (b.ntables && docs_applier_ops(a)->window_batch(a->own, &b, NULL, err) < 0)
               ? -1
               : 0;
}

/* ---- what the batch says ---- */

static bool moves(const struct mf_rowchange *c)
{
    const struct mf_value *id = &c->new_row.values[0];
    return c->op == MF_ROW_UPDATE && id->kind != MF_UNCHANGED && !mf_value_equal(&c->old_row.values[0], id);
}

int docs_tell(const struct docs_applier *a, const struct mf_table *t, const struct mf_rowchange *c,
              struct docs_told ret[static 2], size_t *ret_n, struct mf_error *err)
{
    size_t n = 0;
    bool gone = c->op == MF_ROW_DELETE, same = c->op != MF_ROW_INSERT && !moves(c);
    if (gone || moves(c)) {
        ret[n++] = (struct docs_told){.key = &c->old_row, .expects = DOCS_MUST_BE};
    }
    if (!gone) {
        bool by_old = c->op == MF_ROW_UPDATE && c->new_row.values[0].kind == MF_UNCHANGED;
        ret[n++] = (struct docs_told){.key = by_old ? &c->old_row : &c->new_row,
                                      .doc = &c->new_row.values[1],
                                      .expects = same ? DOCS_MUST_BE : DOCS_MUST_NOT};
    }
    if (!gone && c->new_row.values[1].kind == MF_UNCHANGED) { /* a document comes whole, or is read again */
        n--;
        if (mf_result_missing(a->result, t, ret[n].key, err) < 0) {
            return -1;
        }
    }
    *ret_n = n;
    return 0;
}

/* ---- documents together ---- */

struct group {
    struct docs_applier *a;
    const struct docs_real *c;
    const struct mf_table *t;
    size_t n, bytes;
    struct docs_told told[DOCS_PAGE];
    struct docs_change changes[DOCS_PAGE];
    const struct mf_row *keys[DOCS_PAGE];
    uint64_t ids[DOCS_PAGE][2];
};

static int settle_group(struct group *g, struct mf_error *err)
{
    struct docs_applier *a = g->a;
    if (g->n == 0) {
        return 0;
    }
    if (docs_look(a, g->c, g->changes, g->n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < g->n; i++) {
        if (docs_expect(a, g->t, &g->told[i], &g->changes[i], err) < 0) {
            return -1;
        }
    }
    if (docs_give(a, g->c, g->changes, g->n, err) < 0 || MF_FAULT(err, "shred.apply") ||
        docs_applier_ops(a)->quarantine_clear(a->own, g->t, g->keys, g->n, NULL, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < g->n; i++) {
        if (docs_seen_put(a, g->c, g->told[i].key, g->told[i].doc, err) < 0) {
            return -1;
        }
    }
    if (a->result) {
        a->result->rows += g->n;
    }
    g->n = g->bytes = 0;
    mf_arena_reset(&a->batch);
    return 0;
}

static bool in_group(const struct group *g, const uint64_t id[2])
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->ids[i][0] == id[0] && g->ids[i][1] == id[1]) {
            return true;
        }
    }
    return false;
}

static int refused(const struct mf_table *t, const struct mf_row *key, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 600};
    if (err->cls == MF_ROW) {
        mf_put_key_text(&text, t, key);
        mf_error_prefix(err, "document %s of %s.%s", mf_buf_str(&text), t->schema, t->name);
    }
    return -1;
}

static int add(struct group *g, const struct docs_told *told, struct mf_error *err)
{
    uint64_t id[2];
    docs_seen_id(g->a, g->c, told->key, id);
    if ((g->n == DOCS_PAGE || g->bytes >= DOCS_GIVE_BYTES || in_group(g, id)) && settle_group(g, err) < 0) {
        return -1;
    }
    if (docs_change_make(g->c, &g->a->batch, told->key, told->doc, &g->changes[g->n], err) < 0) {
        return refused(g->t, told->key, err);
    }
    g->told[g->n] = *told;
    g->keys[g->n] = told->key;
    memcpy(g->ids[g->n], id, sizeof id);
    g->bytes += told->doc ? told->doc->len : 0;
    g->n++;
    return 0;
}

static int add_list(struct group *g, struct mf_rowchange *const *list, size_t n, struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct docs_told told[2];
        size_t k = 0;
        if (docs_tell(g->a, g->t, list[i], told, &k, err) < 0) {
            return -1;
        }
        for (size_t j = 0; j < k; j++) {
            if ((g->a->mode.careful ? docs_careful(g->a, g->c, g->t, &told[j], err) : add(g, &told[j], err)) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int one_table(struct docs_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    MF_CLEANUP_FREE struct group *g = mf_xcalloc(1, sizeof *g);
    g->a = a;
    g->t = b->table;
    mf_arena_reset(&a->batch);
    return docs_real_of(docs_of(a->base.db), &a->reals, b->table, &g->c, err) < 0 ||
                   add_list(g, b->deletes, b->ndeletes, err) < 0 || add_list(g, b->updates, b->nupdates, err) < 0 ||
                   add_list(g, b->inserts, b->ninserts, err) < 0
               ? -1
               : settle_group(g, err);
}

/* A collection is emptied: all of its tables are. */
static int empty(struct docs_applier *a, const struct mf_change *c, struct mf_error *err)
{
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        const struct docs_real *is = NULL;
        if (docs_real_of(docs_of(a->base.db), &a->reals, c->truncated[i], &is, err) < 0) {
            return -1;
        }
        MF_CLEANUP_FREE uint32_t *rels = mf_xcalloc(is->of->ntables, sizeof *rels);
        struct mf_change own = {.op = MF_TRUNCATE,
                                .table = is->tables[0],
                                .ntruncated = is->of->ntables,
                                .truncated = is->tables,
                                .truncated_rels = rels};
        struct mf_batch b = {.truncate = &own};
        if (docs_applier_ops(a)->window_batch(a->own, &b, NULL, err) < 0 ||
            docs_applier_ops(a)->quarantine_clear(a->own, c->truncated[i], NULL, 0, NULL, err) < 0) {
            return -1;
        }
        docs_seen_empty(a, is);
    }
    return 0;
}

/* ---- windows ---- */

int docs_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                      struct mf_error *err)
{
    struct docs_applier *a = docs_applier_of(base);
    const struct mf_window_mode own = {.fuzzy = true, .stamp = mode->stamp};
    a->mode = *mode;
    a->checkpoint = *checkpoint;
    a->result = NULL;
    docs_seen_reset(a);
    return docs_applier_ops(a)->window_begin(a->own, checkpoint, &own, err);
}

int docs_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err)
{
    struct docs_applier *a = docs_applier_of(base);
    a->result = result;
    if (b->truncate && empty(a, b->truncate, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < b->ntables; i++) {
        if (one_table(a, &b->tables[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

int docs_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct docs_applier *a = docs_applier_of(base);
    a->result = NULL;
    return docs_applier_ops(a)->window_commit(a->own, err);
}

void docs_window_abort(struct mf_applier *base)
{
    struct docs_applier *a = docs_applier_of(base);
    a->result = NULL;
    docs_applier_ops(a)->window_abort(a->own);
}

/* ---- repair ---- */

static int repair(struct docs_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                  const struct mf_row *gone, size_t ngone, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_rowchange *changes = mf_xcalloc(nwhole + ngone + 1, sizeof *changes);
    MF_CLEANUP_FREE struct mf_rowchange **lists = mf_xcalloc(nwhole + ngone + 1, sizeof(struct mf_rowchange *));
    for (size_t i = 0; i < ngone + nwhole; i++) {
        changes[i] = (struct mf_rowchange){.op = i < ngone ? MF_ROW_DELETE : MF_ROW_INSERT, .count = 1};
        *(i < ngone ? &changes[i].old_row : &changes[i].new_row) = i < ngone ? gone[i] : whole[i - ngone];
        lists[i] = &changes[i];
    }
    struct mf_batch_table bt = {
        .table = t, .ndeletes = ngone, .deletes = lists, .ninserts = nwhole, .inserts = lists + ngone};
    struct mf_batch b = {.ntables = 1, .tables = &bt, .rows = ngone + nwhole};
    return docs_window_batch(&a->base, &b, NULL, err) < 0 ? -1 : docs_window_commit(&a->base, err);
}

/* In a window that writes the checkpoint again where it is. */
int docs_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                     const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    struct docs_applier *a = docs_applier_of(base);
    const struct mf_window_mode fuzzy = {.fuzzy = true, .stamp = stamp};
    struct mf_position at = {0};
    if (docs_target(docs_of(base->db))->checkpoint(a->own->db, &a->pipe, &at, err) < 0 ||
        docs_window_begin(base, &at, &fuzzy, err) < 0) {
        return -1;
    }
    if (repair(a, t, whole, nwhole, gone, ngone, err) == 0) {
        return 0;
    }
    struct mf_error why = *err;
    docs_window_abort(base);
    *err = why;
    return -1;
}
