/* See decode.h. */
#include "connector/postgres/decode.h"

#include "base/buf.h"
#include "base/mem.h"
#include "connector/postgres/relations.h"

#include <stdlib.h>
#include <string.h>

#define PG_EPOCH_US   INT64_C(946684800000000) /* 2000-01-01 in microseconds since 1970 */
#define MAX_TRUNCATED 65536

struct pg_decoder {
    struct pg_relations rels;
    struct mf_value *old_values, *new_values; /* PG_MAX_COLUMNS each */
    const struct mf_table **truncated;
    size_t truncated_cap;
    bool old_whole; /* as pg_decoder_keep_old was told */
    bool in_txn;    /* between BEGIN and COMMIT */
    bool in_stream; /* between STREAM START and STREAM STOP: messages carry their own transaction's number */
    uint64_t txn;   /* of the top-level transaction being received */
};

struct pg_decoder *pg_decoder_new(pg_key_lookup *lookup, void *ctx)
{
    struct pg_decoder *d = mf_xcalloc(1, sizeof *d);
    pg_relations_init(&d->rels, lookup, ctx);
    d->old_values = mf_xcalloc(PG_MAX_COLUMNS, sizeof *d->old_values);
    d->new_values = mf_xcalloc(PG_MAX_COLUMNS, sizeof *d->new_values);
    return d;
}

void pg_decoder_free(struct pg_decoder *d)
{
    if (d) {
        pg_relations_free(&d->rels);
        free(d->old_values);
        free(d->new_values);
        free(d->truncated);
        free(d);
    }
}

void pg_decoder_keep_old(struct pg_decoder *d, bool whole)
{
    d->old_whole = whole;
}

bool pg_decoder_in_transaction(const struct pg_decoder *d)
{
    return d->in_txn;
}

static int malformed(const char *what, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFPROTO", "the change stream is not understood: %s", what);
    mf_hint(err, "nothing was lost; report this with the server's version");
    return -1;
}

static int need_end(const struct mf_cursor *in, const char *what, struct mf_error *err)
{
    return in->failed || mf_cursor_left(in) != 0 ? malformed(what, err) : 0;
}

/* ---- rows ---- */

/* One tuple into values. `key_only`: what is not a key column was not sent (pgoutput writes null there). */
static int decode_tuple(struct mf_cursor *in, const struct pg_relation *rel, struct mf_value *values, bool key_only,
                        struct mf_row *ret, struct mf_error *err)
{
    const struct mf_table *t = rel->table;
    uint16_t n = mf_read_u16be(in);
    if (in->failed || n != t->ncolumns) {
        return malformed("a row with another number of columns than its table", err);
    }
    for (uint16_t i = 0; i < n; i++) {
        struct mf_value *v = &values[i];
        *v = (struct mf_value){.kind = MF_NULL};
        uint8_t kind = mf_read_u8(in);
        if (kind == 't' || kind == 'b') {
            v->kind = kind == 't' ? MF_TEXT : MF_BINARY;
            v->len = mf_read_u32be(in);
            v->data = mf_read_bytes(in, v->len);
        } else if (kind == 'u') {
            v->kind = MF_UNCHANGED;
        } else if (kind != 'n') {
            return malformed("a column of unknown kind", err);
        }
        if (key_only && !t->columns[i].in_key) {
            *v = (struct mf_value){.kind = MF_UNCHANGED};
        }
    }
    if (in->failed) {
        return malformed("a row that ends early", err);
    }
    *ret = (struct mf_row){.n = n, .values = values};
    return 0;
}

static bool same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        if (!mf_value_equal(&a->values[t->key[i]], &b->values[t->key[i]])) {
            return false;
        }
    }
    return true;
}

/* The old row is whole: a TOASTed column that did not change has its value there. Then, where the table has a key after
 * all, only the key is left of the old row, and not even that when it did not change; unless it is asked for (mf_stream.old_whole). */
static void settle_whole_old_row(const struct mf_table *t, bool kept_whole, struct mf_change *c)
{
    if (c->op == MF_UPDATE) {
        for (uint16_t i = 0; i < t->ncolumns; i++) {
            if (c->new_row.values[i].kind == MF_UNCHANGED) {
                c->new_row.values[i] = c->old_row.values[i];
            }
        }
    }
    if (t->identity != MF_IDENTITY_KEY || kept_whole) {
        return;
    }
    if (c->op == MF_UPDATE && same_key(t, &c->old_row, &c->new_row)) {
        c->has_old = false;
        c->old_row = (struct mf_row){0};
        return;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].in_key) {
            c->old_row.values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        }
    }
}

static int decode_row_change(struct pg_decoder *d, uint8_t kind, struct mf_cursor *in, struct mf_change *c,
                             struct mf_error *err)
{
    struct pg_relation *rel = pg_relations_find(&d->rels, mf_read_u32be(in));
    if (in->failed || !rel) {
        return malformed("a change of a table it has not described", err);
    }
    c->op = kind == 'I' ? MF_INSERT : kind == 'U' ? MF_UPDATE : MF_DELETE;
    c->table = rel->table;
    uint8_t tuple = mf_read_u8(in);
    bool whole_old = tuple == 'O';
    if (kind != 'I' && (tuple == 'K' || tuple == 'O')) {
        c->has_old = true;
        if (tuple == 'K' && rel->table->identity != MF_IDENTITY_KEY) {
            return malformed("a key of a table that has none", err); /* it would match every row */
        }
        if (decode_tuple(in, rel, d->old_values, tuple == 'K', &c->old_row, err) < 0) {
            return -1;
        }
        tuple = kind == 'U' ? mf_read_u8(in) : 'D';
    } else if (kind == 'D') {
        return malformed("a delete without an old row", err);
    }
    if (kind != 'D') {
        if (tuple != 'N') {
            return malformed("a change without its new row", err);
        }
        if (decode_tuple(in, rel, d->new_values, false, &c->new_row, err) < 0) {
            return -1;
        }
    }
    /* Only an update may leave a column out. Anything else that does would be written with a hole in it. */
    if ((kind == 'I' && !mf_row_whole(&c->new_row)) || (whole_old && !mf_row_whole(&c->old_row))) {
        return malformed("a whole row with a column left out", err);
    }
    if (whole_old) {
        settle_whole_old_row(rel->table, d->old_whole, c);
    }
    return need_end(in, "bytes after a row", err);
}

static int decode_truncate(struct pg_decoder *d, struct mf_cursor *in, struct mf_change *c, struct mf_error *err)
{
    uint32_t n = mf_read_u32be(in);
    uint8_t flags = mf_read_u8(in);
    if (in->failed || n == 0 || n > MAX_TRUNCATED || mf_cursor_left(in) != (size_t)n * 4) {
        return malformed("a truncate", err);
    }
    if (n > d->truncated_cap) {
        d->truncated = mf_xreallocarray(d->truncated, n, sizeof(struct mf_table *));
        d->truncated_cap = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pg_relation *rel = pg_relations_find(&d->rels, mf_read_u32be(in));
        if (!rel) {
            return malformed("a truncate of a table it has not described", err);
        }
        d->truncated[i] = rel->table;
    }
    c->op = MF_TRUNCATE;
    c->table = d->truncated[0];
    c->truncated = d->truncated;
    c->ntruncated = (uint16_t)(n > UINT16_MAX ? UINT16_MAX : n);
    if (n > UINT16_MAX) {
        return malformed("a truncate of more than 65535 tables", err);
    }
    c->truncate_cascade = flags & 1;
    c->truncate_restart = flags & 2;
    return 0;
}

/* ---- transactions ---- */

static int decode_begin(struct pg_decoder *d, struct mf_cursor *in, struct mf_item *ret, struct mf_error *err)
{
    mf_read_u64be(in); /* where the commit record begins */
    ret->commit_time_us = (int64_t)(mf_read_u64be(in) + (uint64_t)PG_EPOCH_US);
    ret->txn = ret->subtxn = mf_read_u32be(in);
    ret->kind = MF_ITEM_BEGIN;
    if (d->in_txn || d->in_stream) {
        return malformed("a transaction that begins inside another", err);
    }
    if (need_end(in, "a begin", err) < 0) {
        return -1;
    }
    d->in_txn = true;
    d->txn = ret->txn;
    return 0;
}

/* The fields both kinds of commit end with. */
static int decode_commit_fields(struct mf_cursor *in, struct mf_item *ret, struct mf_error *err)
{
    mf_read_u8(in);
    mf_read_u64be(in); /* where the record begins */
    ret->position.order = mf_read_u64be(in);
    ret->commit_time_us = (int64_t)(mf_read_u64be(in) + (uint64_t)PG_EPOCH_US);
    ret->kind = MF_ITEM_COMMIT;
    return need_end(in, "a commit", err);
}

static int decode_commit(struct pg_decoder *d, struct mf_cursor *in, struct mf_item *ret, struct mf_error *err)
{
    if (!d->in_txn) {
        return malformed("a commit without a begin", err);
    }
    ret->txn = ret->subtxn = d->txn;
    d->in_txn = false;
    return decode_commit_fields(in, ret, err);
}

static int decode_stream(struct pg_decoder *d, uint8_t kind, struct mf_cursor *in, struct mf_item *ret,
                         struct mf_error *err)
{
    if (d->in_txn || d->in_stream != (kind == 'E')) {
        return malformed("pieces of transactions out of order", err);
    }
    switch (kind) {
    case 'S':
        ret->txn = ret->subtxn = d->txn = mf_read_u32be(in);
        mf_read_u8(in); /* first piece or not: the same to us */
        ret->kind = MF_ITEM_BEGIN;
        d->in_stream = true;
        return need_end(in, "a stream start", err);
    case 'E':
        d->in_stream = false;
        return need_end(in, "a stream stop", err);
    case 'c':
        ret->txn = ret->subtxn = mf_read_u32be(in);
        return decode_commit_fields(in, ret, err);
    default:
        ret->txn = mf_read_u32be(in);
        ret->subtxn = mf_read_u32be(in);
        ret->kind = MF_ITEM_ABORT;
        return need_end(in, "a stream abort", err);
    }
}

/* ---- all messages ---- */

static int decode_content(struct pg_decoder *d, uint8_t kind, struct mf_cursor *in, struct mf_item *ret,
                          struct mf_error *err)
{
    ret->txn = ret->subtxn = d->txn;
    if (d->in_stream) {
        ret->subtxn = mf_read_u32be(in);
    }
    if (kind == 'R') {
        bool news = false;
        const struct mf_table *t = NULL;
        if (pg_relations_decode(&d->rels, in, &t, &news, err) < 0) {
            return -1;
        }
        ret->kind = news ? MF_ITEM_RELATION : MF_ITEM_NONE;
        ret->table = t;
        return 0;
    }
    if (!d->in_txn && !d->in_stream) {
        return malformed("a change outside a transaction", err);
    }
    ret->kind = MF_ITEM_CHANGE;
    int rc =
        kind == 'T' ? decode_truncate(d, in, &ret->change, err) : decode_row_change(d, kind, in, &ret->change, err);
    ret->table = ret->change.table;
    return rc;
}

int pg_decode(struct pg_decoder *d, const void *data, size_t len, struct mf_item *ret, struct mf_error *err)
{
    struct mf_cursor in;
    mf_cursor_init(&in, data, len);
    uint8_t kind = mf_read_u8(&in);
    *ret = (struct mf_item){.kind = MF_ITEM_NONE};
    int rc = 0;
    switch (kind) {
    case 'I':
    case 'U':
    case 'D':
    case 'T':
    case 'R':
        rc = decode_content(d, kind, &in, ret, err);
        break;
    case 'B':
        rc = decode_begin(d, &in, ret, err);
        break;
    case 'C':
        rc = decode_commit(d, &in, ret, err);
        break;
    case 'S':
    case 'E':
    case 'c':
    case 'A':
        rc = decode_stream(d, kind, &in, ret, err);
        break;
    case 'O': /* origin */
    case 'Y': /* type name */
    case 'M': /* logical message */
        break;
    default:
        rc = malformed("a message of unknown kind", err);
    }
    if (rc < 0) {
        ret->kind = MF_ITEM_NONE;
    }
    return rc;
}
