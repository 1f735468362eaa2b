/* The byte form of a change:
 *
 *   head    1 byte: op in the low 3 bits, 0x08 has_old, 0x10 cascade (truncate: the word; else mf_change.cascades), 0x20 restart
 *   rel     varint
 *   rows    insert: new; delete: old; update: old (when has_old), new
 *   row     varint number of columns, then for each value one varint len << 2 | kind and len bytes (none for
 *           NULL and UNCHANGED, whose len is 0): a short value costs one byte over its text
 *   truncate: varint number of tables, then their rels (rel again first)
 *
 * Encoding asks for the worst case once and then writes without checks; decoding checks every length against what is
 * left and every row against the table's number of columns. Both are pure. */
#include "change/codec.h"

#include "change/varint.h"

#include <string.h>

#define HEAD_OP      0x07
#define HEAD_OLD     0x08
#define HEAD_CASCADE 0x10
#define HEAD_RESTART 0x20
#define HEAD_KNOWN   (HEAD_OP | HEAD_OLD | HEAD_CASCADE | HEAD_RESTART)

#define MAX_TRUNCATED 65535

static int too_big(struct mf_error *err, const struct mf_change *c)
{
    char label[256];
    return mf_fail(err, MF_FATAL, "MFCODEC", "a change of %s cannot be stored: too many columns or a value over 1 GB",
                   c->table ? mf_table_label(c->table, label, sizeof(label)) : "a table");
}

static bool row_size(const struct mf_row *row, size_t *sum)
{
    if (row->n > MF_MAX_COLUMNS) {
        return false;
    }
    size_t n = 5;
    for (uint16_t i = 0; i < row->n; i++) {
        if (row->values[i].kind == MF_TEXT || row->values[i].kind == MF_BINARY) {
            if (row->values[i].len > MF_MAX_VALUE) {
                return false;
            }
            n += row->values[i].len;
        }
        n += 5;
    }
    *sum += n;
    return true;
}

static uint8_t *write_row(uint8_t *p, const struct mf_row *row)
{
    p = mf_varint_write(p, row->n);
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        uint32_t len = v->kind == MF_TEXT || v->kind == MF_BINARY ? v->len : 0;
        p = mf_varint_write(p, (uint64_t)len << 2 | v->kind);
        if (len) {
            memcpy(p, v->data, len);
            p += len;
        }
    }
    return p;
}

static int out_full(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFCODEC", "a change is larger than the memory set aside for one");
}

static int encode_truncate(struct mf_buf *out, const struct mf_change *c, struct mf_error *err)
{
    if (c->ntruncated == 0) {
        return mf_fail(err, MF_FATAL, "MFCODEC", "a truncate names no table");
    }
    if (mf_buf_reserve(out, 16 + (size_t)c->ntruncated * 5) < 0) {
        return out_full(err);
    }
    uint8_t *p = (uint8_t *)out->data + out->len;
    *p++ = (uint8_t)(MF_TRUNCATE | (c->truncate_cascade ? HEAD_CASCADE : 0) | (c->truncate_restart ? HEAD_RESTART : 0));
    p = mf_varint_write(p, c->rel);
    p = mf_varint_write(p, c->ntruncated);
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        p = mf_varint_write(p, c->truncated_rels[i]);
    }
    out->len = (size_t)(p - (uint8_t *)out->data);
    out->data[out->len] = '\0';
    return 0;
}

int mf_encode_change(struct mf_buf *out, const struct mf_change *c, struct mf_error *err)
{
    if (c->op == MF_TRUNCATE) {
        return encode_truncate(out, c, err);
    }
    if (c->op != MF_INSERT && c->op != MF_UPDATE && c->op != MF_DELETE) {
        return mf_fail(err, MF_FATAL, "MFCODEC", "a change has the unknown operation %d", (int)c->op);
    }
    bool old = c->op == MF_DELETE || (c->op == MF_UPDATE && c->has_old);
    bool new = c->op != MF_DELETE;
    size_t size = 16;
    if ((old && !row_size(&c->old_row, &size)) || (new && !row_size(&c->new_row, &size))) {
        return too_big(err, c);
    }
    if (mf_buf_reserve(out, size) < 0) {
        return out_full(err);
    }
    uint8_t *p = (uint8_t *)out->data + out->len;
    *p++ = (uint8_t)(c->op | (old ? HEAD_OLD : 0) | (c->cascades ? HEAD_CASCADE : 0));
    p = mf_varint_write(p, c->rel);
    if (old) {
        p = write_row(p, &c->old_row);
    }
    if (new) {
        p = write_row(p, &c->new_row);
    }
    out->len = (size_t)(p - (uint8_t *)out->data);
    out->data[out->len] = '\0';
    return 0;
}

static int damaged(struct mf_error *err, const char *what)
{
    return mf_fail(err, MF_FATAL, "MFCODEC", "an encoded change is damaged: %s", what);
}

static int read_row(struct mf_arena *arena, const uint8_t **pp, const uint8_t *end, const struct mf_table *t,
                    struct mf_row *ret, struct mf_error *err)
{
    const uint8_t *p = *pp;
    uint64_t n;
    if (!mf_varint_read(&p, end, &n) || n != t->ncolumns) {
        return damaged(err, "a row has another number of columns than its table");
    }
    struct mf_value *values = mf_alloc(arena, n * sizeof(*values));
    if (!values) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a row does not fit into the memory set aside for it");
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t head;
        if (!mf_varint_read(&p, end, &head)) {
            return damaged(err, "a value is cut off");
        }
        uint64_t len = head >> 2;
        enum mf_value_kind kind = (enum mf_value_kind)(head & 3);
        if (len > (uint64_t)(end - p) || len > MF_MAX_VALUE || (len && kind < MF_TEXT)) {
            return damaged(err, "a value's length is impossible");
        }
        values[i] = (struct mf_value){.kind = kind, .len = (uint32_t)len, .data = (const char *)p};
        p += len;
    }
    *ret = (struct mf_row){.n = (uint16_t)n, .values = values};
    *pp = p;
    return 0;
}

static int decode_truncate(struct mf_arena *arena, const uint8_t **pp, const uint8_t *end, mf_rel_lookup lookup,
                           void *ctx, struct mf_change *c, struct mf_error *err)
{
    const uint8_t *p = *pp;
    uint64_t n;
    if (!mf_varint_read(&p, end, &n) || n == 0 || n > MAX_TRUNCATED || n > (uint64_t)(end - p)) {
        return damaged(err, "a truncate's number of tables is impossible");
    }
    c->truncated = mf_alloc_array(arena, n, sizeof(struct mf_table *));
    c->truncated_rels = mf_alloc_array(arena, n, sizeof(uint32_t));
    if (!c->truncated || !c->truncated_rels) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a truncate does not fit into the memory set aside for it");
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t rel;
        if (!mf_varint_read(&p, end, &rel) || rel > UINT32_MAX) {
            return damaged(err, "a truncate is cut off");
        }
        c->truncated_rels[i] = (uint32_t)rel;
        c->truncated[i] = lookup(ctx, (uint32_t)rel);
        if (!c->truncated[i]) {
            return damaged(err, "it names a relation that was never described");
        }
    }
    c->ntruncated = (uint16_t)n;
    *pp = p;
    return 0;
}

int mf_decode_change(struct mf_arena *arena, const void *data, size_t len, mf_rel_lookup lookup, void *ctx,
                     struct mf_change *ret_change, size_t *ret_used, struct mf_error *err)
{
    const uint8_t *p = data, *end = p + len;
    if (len == 0) {
        return damaged(err, "it is empty");
    }
    uint8_t head = *p++;
    struct mf_change c = {.op = (enum mf_op)(head & HEAD_OP), .has_old = (head & HEAD_OLD) != 0};
    uint64_t rel;
    if ((head & ~HEAD_KNOWN) || c.op < MF_INSERT || c.op > MF_TRUNCATE) {
        return damaged(err, "its first byte is unknown");
    }
    if (!mf_varint_read(&p, end, &rel) || rel > UINT32_MAX) {
        return damaged(err, "its relation number is cut off");
    }
    c.rel = (uint32_t)rel;
    c.table = lookup(ctx, c.rel);
    if (!c.table) {
        return damaged(err, "it names a relation that was never described");
    }
    if ((c.op == MF_INSERT && c.has_old) || (c.op == MF_DELETE && !c.has_old) || (c.op == MF_TRUNCATE && c.has_old)) {
        return damaged(err, "its first byte is unknown");
    }
    c.cascades = c.op != MF_TRUNCATE && (head & HEAD_CASCADE);
    if (c.op == MF_TRUNCATE) {
        c.truncate_cascade = (head & HEAD_CASCADE) != 0;
        c.truncate_restart = (head & HEAD_RESTART) != 0;
        if (decode_truncate(arena, &p, end, lookup, ctx, &c, err) < 0) {
            return -1;
        }
    }
    if (c.has_old && read_row(arena, &p, end, c.table, &c.old_row, err) < 0) {
        return -1;
    }
    if ((c.op == MF_INSERT || c.op == MF_UPDATE) && read_row(arena, &p, end, c.table, &c.new_row, err) < 0) {
        return -1;
    }
    *ret_change = c;
    *ret_used = (size_t)(p - (const uint8_t *)data);
    return 0;
}
