/* The transactions that are open in the stream: their changes encoded one after the other, rows of our own tables taken
 * out on the way. */
#include "pipeline/capture_internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "change/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REL_MEMORY    ((size_t)64 << 20)
#define KEEP_BUFFER   ((size_t)4 << 20)
#define WRONG_PER_TXN 100 /* rows of one transaction that are told; its others are only counted */

/* ---- relations ---- */

int mf_capture_relation(struct mf_capture *c, const struct mf_table *t, struct cap_rel **ret, struct mf_error *err)
{
    struct mf_arena arena;
    mf_arena_init(&arena, REL_MEMORY);
    struct mf_table *copy = mf_table_copy(&arena, t);
    if (!copy) {
        mf_arena_free(&arena);
        return mf_fail(err, MF_FATAL, "MFMEM", "the shape of table %s.%s is too large", t->schema, t->name);
    }
    struct cap_rel *r = mf_by_id_find(&c->rels, t->id);
    if (!r) {
        r = mf_xcalloc(1, sizeof *r);
        mf_by_id_put(&c->rels, t->id, r);
    } else {
        mf_arena_free(&r->arena);
    }
    *r = (struct cap_rel){.arena = arena, .table = copy, .book = mf_bookkeeping(copy)};
    if (ret) {
        *ret = r;
    }
    return 0;
}

static int find_relation(struct mf_capture *c, const struct mf_table *t, struct cap_rel **ret, struct mf_error *err)
{
    if (c->last_rel && c->last_rel->table->id == t->id) {
        *ret = c->last_rel;
        return 0;
    }
    struct cap_rel *r = mf_by_id_find(&c->rels, t->id);
    if (!r && mf_capture_relation(c, t, &r, err) < 0) {
        return -1;
    }
    *ret = c->last_rel = r;
    return 0;
}

static int number(struct mf_capture *c, struct cap_rel *r, struct mf_error *err)
{
    if (!r->numbered && mf_spool_relation(c->o.spool, r->table, &r->rel, err) < 0) {
        return -1;
    }
    r->numbered = true;
    return 0;
}

/* ---- transactions ---- */

struct cap_txn *mf_capture_begin(struct mf_capture *c, uint64_t txn)
{
    for (struct cap_txn *t = c->open; t; t = t->next) {
        if (t->id == txn) {
            return t;
        }
    }
    struct cap_txn *t = c->spare;
    if (t) {
        c->spare = t->next;
    } else {
        t = mf_xcalloc(1, sizeof(*t));
        t->buf = mf_txnbuf_new(c->pool);
    }
    t->id = txn;
    t->next = c->open;
    c->open = t;
    return t;
}

struct cap_txn *mf_capture_take(struct mf_capture *c, uint64_t txn)
{
    for (struct cap_txn **at = &c->open; *at; at = &(*at)->next) {
        if ((*at)->id == txn) {
            struct cap_txn *t = *at;
            *at = t->next;
            return t;
        }
    }
    return NULL;
}

void mf_capture_put_back(struct mf_capture *c, struct cap_txn *t)
{
    if (!t) {
        return;
    }
    mf_txnbuf_reset(t->buf);
    t->own = t->marks = false;
    t->writer[0] = '\0';
    free(t->cannot);
    t->cannot = NULL;
    t->next = c->spare;
    c->spare = t;
}

void mf_capture_forget(struct mf_capture *c)
{
    while (c->open) {
        mf_capture_put_back(c, mf_capture_take(c, c->open->id));
    }
}

void mf_capture_txn_free(struct mf_capture *c)
{
    mf_capture_forget(c);
    while (c->spare) {
        struct cap_txn *t = c->spare;
        c->spare = t->next;
        mf_txnbuf_free(t->buf);
        free(t);
    }
    mf_txnpool_free(c->pool);
    for (size_t i = 0; i < c->rels.cap; i++) {
        struct cap_rel *r = c->rels.slots[i].p;
        if (r) {
            mf_arena_free(&r->arena);
            free(r);
        }
    }
    mf_by_id_free(&c->rels);
    mf_buf_free(&c->enc);
}

int mf_capture_abort(struct mf_capture *c, const struct mf_item *item, struct mf_error *err)
{
    if (item->subtxn == item->txn) {
        mf_capture_put_back(c, mf_capture_take(c, item->txn));
        return 0;
    }
    for (struct cap_txn *t = c->open; t; t = t->next) {
        if (t->id == item->txn) {
            return mf_txnbuf_abort(t->buf, item->subtxn, err);
        }
    }
    return 0;
}

/* A row of our own tables. Another migration's rows (a database may be the target of one and the source of the next) mean
 * nothing here. What does not say whose it is counts as ours: it is no user's. */
static void bookkeeping(struct mf_capture *c, struct cap_txn *t, const struct cap_rel *r,
                        const struct mf_change *change)
{
    struct mf_change seen = *change;
    seen.table = r->table;
    char migration[64];
    if (mf_book_text(&seen, "migration", migration, sizeof(migration)) == 0 &&
        strcmp(migration, c->o.pipe.migration) != 0) {
        return;
    }
    if (r->book == MF_BOOK_HEARTBEAT) {
        char marker[32];
        t->marks |= mf_book_text(&seen, "marker", marker, sizeof marker) == 0 && strcmp(marker, MF_BEAT_STAMP) == 0;
        return;
    }
    if (r->book == MF_BOOK_EPOCH) {
        char writer[sizeof(t->writer)];
        if (mf_book_text(&seen, "writer", writer, sizeof(writer)) == 0) {
            mf_strlcpy(t->writer, writer, sizeof(t->writer));
        }
        return;
    }
    t->own = true;
    mf_txnbuf_reset(t->buf);
}

/* The tables of a truncate that are users'. */
static int number_truncate(struct mf_capture *c, struct mf_change *change, const struct mf_table **tables,
                           uint32_t *rels, struct mf_error *err)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < change->ntruncated; i++) {
        struct cap_rel *r;
        if (find_relation(c, change->truncated[i], &r, err) < 0) {
            return -1;
        }
        if (r->book != MF_BOOK_NONE) {
            continue;
        }
        if (number(c, r, err) < 0) {
            return -1;
        }
        tables[n] = r->table;
        rels[n++] = r->rel;
    }
    change->truncated = tables;
    change->truncated_rels = rels;
    change->ntruncated = n;
    if (n) {
        change->table = tables[0];
        change->rel = rels[0];
    }
    return 0;
}

static int encode(struct mf_capture *c, struct cap_txn *t, uint64_t subtxn, const struct mf_change *change,
                  struct mf_error *err)
{
    mf_buf_reset(&c->enc);
    if (mf_encode_change(&c->enc, change, err) < 0) {
        return -1;
    }
    c->bytes += c->enc.len;
    int rc = mf_txnbuf_add(t->buf, subtxn, c->enc.data, c->enc.len, err);
    if (c->enc.cap > KEEP_BUFFER) {
        mf_buf_free(&c->enc);
    }
    return rc;
}

static int truncate(struct mf_capture *c, struct cap_txn *t, const struct mf_item *item, struct mf_error *err)
{
    struct mf_change change = item->change;
    const struct mf_table **tables = mf_xcalloc(change.ntruncated + 1u, sizeof(*tables));
    uint32_t *rels = mf_xcalloc(change.ntruncated + 1u, sizeof(*rels));
    int rc = number_truncate(c, &change, tables, rels, err);
    if (rc == 0 && change.ntruncated) {
        rc = encode(c, t, item->subtxn, &change, err);
    }
    free(tables);
    free(rels);
    return rc;
}

int mf_capture_change(struct mf_capture *c, const struct mf_item *item, struct mf_error *err)
{
    struct cap_txn *t = c->open && c->open->id == item->txn ? c->open : mf_capture_begin(c, item->txn);
    if (t->own) {
        return 0;
    }
    if (item->cannot && !t->cannot) {
        t->cannot = mf_xcalloc(1, sizeof *t->cannot);
        *t->cannot = *item->cannot;
    }
    if (item->change.op == MF_TRUNCATE) {
        return truncate(c, t, item, err);
    }
    struct cap_rel *r;
    if (find_relation(c, item->change.table, &r, err) < 0) {
        return -1;
    }
    if (r->book != MF_BOOK_NONE) {
        bookkeeping(c, t, r, &item->change);
        return 0;
    }
    if (number(c, r, err) < 0) {
        return -1;
    }
    struct mf_change change = item->change;
    change.rel = r->rel;
    change.table = r->table;
    return encode(c, t, item->subtxn, &change, err);
}

/* ---- writes on the wrong side ---- */

struct wrong {
    struct mf_capture *c;
    struct mf_arena arena, texts; /* of one change; of all that are told */
    struct mf_told_row rows[WRONG_PER_TXN];
    size_t n;
};

static const struct mf_table *by_number(void *ctx, uint32_t rel)
{
    struct mf_capture *c = ctx;
    for (size_t i = 0; i < c->rels.cap; i++) {
        const struct cap_rel *r = c->rels.slots[i].p;
        if (r && r->numbered && r->rel == rel) {
            return r->table;
        }
    }
    return NULL;
}

static void key_text(const struct mf_change *ch, char *out, size_t n)
{
    const struct mf_row *row = ch->op == MF_DELETE ? &ch->old_row : &ch->new_row;
    size_t at = 0;
    out[0] = '\0';
    for (uint16_t i = 0; i < ch->table->nkey && at + 1 < n && row->n == ch->table->ncolumns; i++) {
        const struct mf_value *v = &row->values[ch->table->key[i]];
        int w =
            snprintf(out + at, n - at, "%s%s=%.*s", i ? ", " : "", ch->table->columns[ch->table->key[i]].name,
                     v->kind == MF_TEXT ? (int)(v->len < 200 ? v->len : 200) : 0, v->kind == MF_TEXT ? v->data : "");
        at += w > 0 ? (size_t)w : 0;
    }
}

static int tell_piece(void *ctx, const void *data, size_t len, struct mf_error *err)
{
    struct wrong *w = ctx;
    const char *p = data;
    while (len && w->n < WRONG_PER_TXN) {
        struct mf_change ch;
        size_t used;
        mf_arena_reset(&w->arena);
        if (mf_decode_change(&w->arena, p, len, by_number, w->c, &ch, &used, err) < 0) {
            return -1;
        }
        char table[280], key[512] = "";
        mf_table_label(ch.table, table, sizeof(table));
        if (ch.op != MF_TRUNCATE) {
            key_text(&ch, key, sizeof(key));
        }
        w->rows[w->n].table = mf_strdup_a(&w->texts, table);
        w->rows[w->n].key = mf_strdup_a(&w->texts, key);
        w->n += w->rows[w->n].table && w->rows[w->n].key;
        p += used;
        len -= used;
    }
    return 0;
}

int mf_capture_wrong_side(struct mf_capture *c, struct cap_txn *t, const struct mf_position *at, struct mf_error *err)
{
    struct wrong w = {.c = c};
    mf_arena_init(&w.arena, (size_t)2 << 30);
    mf_arena_init(&w.texts, (size_t)1 << 20);
    struct mf_error decode = {0};
    if (mf_txnbuf_stream(t->buf, tell_piece, &w, &decode) < 0 && w.n == 0) {
        w.rows[w.n++] = (struct mf_told_row){.table = "?", .key = ""}; /* its shapes have changed since */
    }
    int rc = mf_state_wrong_side(c->o.state, c->o.pipe.direction, at, w.rows, w.n, mf_txnbuf_changes(t->buf), err);
    mf_arena_free(&w.arena);
    mf_arena_free(&w.texts);
    return rc;
}
