/* Rows events: see binlog_internal.h. */
#include "connector/mysql/binlog_internal.h"

#define FLAG_STATEMENT_END   1
#define FLAG_NO_FOREIGN_KEYS 2
#define NO_TABLE             0xffffff /* the id in an event that only ends a statement */
#define PARTIAL_JSON         1

static bool within(uint8_t type, int from, int to)
{
    return type >= from && type <= to;
}

static bool is_packed(uint8_t type)
{
    return within(type, MY_TYPE_MARIA_WRITE_V1_PACKED, MY_TYPE_MARIA_DELETE_V2_PACKED);
}

static bool is_v2(uint8_t type)
{
    return within(type, MY_TYPE_WRITE_V2, MY_TYPE_DELETE_V2) || type == MY_TYPE_PARTIAL_UPDATE ||
           within(type, MY_TYPE_MARIA_WRITE_V2_PACKED, MY_TYPE_MARIA_DELETE_V2_PACKED);
}

bool my_type_is_rows(uint8_t type)
{
    return within(type, MY_TYPE_WRITE_V0, MY_TYPE_DELETE_V1) || is_v2(type) || is_packed(type);
}

/* Each version numbers its three in this order: insert, update, delete. */
static enum my_rows_kind kind_of(uint8_t type)
{
    static const uint8_t first[] = {MY_TYPE_MARIA_WRITE_V2_PACKED, MY_TYPE_MARIA_WRITE_V1_PACKED, MY_TYPE_WRITE_V2,
                                    MY_TYPE_WRITE_V1};
    if (type == MY_TYPE_PARTIAL_UPDATE) {
        return MY_ROWS_UPDATE;
    }
    for (size_t i = 0;; i++) {
        if (type >= first[i]) {
            return (enum my_rows_kind)(type - first[i]);
        }
    }
}

static uint16_t count_bits(const uint8_t *bits, uint16_t n)
{
    uint16_t count = 0;
    for (uint16_t i = 0; i < n; i++) {
        count += my_bit(bits, i);
    }
    return count;
}

/* Table, flags; version 2 has more that nobody needs, with its length, which counts itself. */
static int rows_header(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, uint16_t *ret_flags,
                       struct mf_error *err)
{
    struct mf_cursor fixed;
    if (my_post_header(d, e->type, is_v2(e->type) ? 10 : 8, in, &fixed, err) < 0) {
        return -1;
    }
    e->rows.table_id = my_read_le(&fixed, 6);
    *ret_flags = (uint16_t)my_read_le(&fixed, 2);
    if (is_v2(e->type)) {
        size_t extra = (size_t)my_read_le(&fixed, 2);
        if (extra < 2 || !mf_read_bytes(in, extra - 2)) {
            return my_binlog_bad(err, "rows of which the header ends early");
        }
    }
    return 0;
}

int my_event_rows(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    uint16_t flags;
    if (within(e->type, MY_TYPE_WRITE_V0, MY_TYPE_DELETE_V0)) {
        mf_fail(err, MF_FATAL, "MFBINLOG", "the binary log has rows in the format of MySQL 5.1's first releases");
        mf_hint(err, "the server is older than the versions that are supported");
        return -1;
    }
    if (rows_header(d, in, e, &flags, err) < 0) {
        return -1;
    }
    e->kind = MY_EV_ROWS;
    e->rows.kind = kind_of(e->type);
    e->rows.statement_end = d->statement_ended = flags & FLAG_STATEMENT_END;
    e->rows.no_foreign_keys = flags & FLAG_NO_FOREIGN_KEYS;
    struct my_map *m = my_map_find(d, e->rows.table_id);
    bool live = m && m->statement == d->statement;
    if (!live && e->rows.table_id == NO_TABLE && e->rows.statement_end) {
        e->kind = MY_EV_OTHER;
        return 0;
    }
    if (!live) {
        return my_binlog_bad(err, "rows of a table that was not announced");
    }
    uint64_t n = my_read_lenenc(in);
    if (in->failed || n != m->ncolumns) {
        return my_binlog_bad(err, "rows with another number of columns than their table");
    }
    size_t nbits = (m->ncolumns + 7u) / 8;
    const uint8_t *first = mf_read_bytes(in, nbits);
    const uint8_t *second = e->rows.kind == MY_ROWS_UPDATE ? mf_read_bytes(in, nbits) : first;
    if (!first || !second) {
        return my_binlog_bad(err, "rows of which the header ends early");
    }
    d->rows.map = m;
    d->rows.kind = e->rows.kind;
    d->rows.partial = e->type == MY_TYPE_PARTIAL_UPDATE;
    d->rows.packed = is_packed(e->type);
    d->rows.in = *in;
    d->rows.old_bits = first;
    d->rows.new_bits = second;
    d->rows.nold = count_bits(first, m->ncolumns);
    d->rows.nnew = count_bits(second, m->ncolumns);
    return 0;
}

/* ---- one row ---- */

/* A JSON column of which the new row has only what changed. */
static int read_diffs(struct my_binlog *d, const struct my_slice *base, const struct my_col *c,
                      const struct my_value_out *out, struct mf_value *ret, bool *ret_partial)
{
    size_t n = (size_t)my_read_le(&d->rows.in, c->width);
    const void *p = mf_read_bytes(&d->rows.in, n);
    if (!p) {
        return -1;
    }
    if (!base->p) {
        *ret = (struct mf_value){.kind = MF_UNCHANGED};
        *ret_partial = true;
        return 0;
    }
    mf_buf_reset(out->json);
    if (my_json_patch(out->json, base->p, base->n, p, n, out->err) < 0) {
        return -1;
    }
    char *text = mf_memdup_a(out->arena, mf_buf_str(out->json), out->json->len);
    *ret = (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)out->json->len, .data = text};
    return text ? 0 : mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
}

/* Where the document that was just read is: behind its length. */
static struct my_slice document(const struct my_col *c, const uint8_t *from, const uint8_t *to)
{
    return (struct my_slice){from + c->width, (size_t)(to - from) - c->width};
}

struct image {
    const uint8_t *bits;  /* the columns it has */
    uint16_t n;           /* how many */
    bool old;             /* its documents are what diffs are made from */
    const uint8_t *diffs; /* NULL, or a bit for each JSON column of the table: only what changed is there */
};

static int read_columns(struct my_binlog *d, const struct image *im, const uint8_t *nulls, struct mf_value *values,
                        const struct my_value_out *out, bool *ret_partial)
{
    struct my_map *m = d->rows.map;
    struct mf_cursor *in = &d->rows.in;
    size_t present = 0, json = 0;
    for (uint16_t i = 0; i < m->ncolumns; i++) {
        const struct my_col *c = &m->cols[i];
        bool is_json = m->types[i] == MY_FIELD_JSON;
        bool diffs = is_json && im->diffs && my_bit(im->diffs, json);
        struct my_slice *document_at = is_json && d->rows.partial ? &m->old_json[i] : NULL;
        json += is_json;
        if (document_at && im->old) {
            *document_at = (struct my_slice){0};
        }
        if (!my_bit(im->bits, i)) {
            values[i] = (struct mf_value){.kind = MF_UNCHANGED};
            continue;
        }
        if (my_bit(nulls, present++)) {
            values[i] = (struct mf_value){.kind = MF_NULL};
            continue;
        }
        const uint8_t *from = in->p;
        if ((diffs ? read_diffs(d, document_at, c, out, &values[i], ret_partial) : c->read(c, in, out, &values[i])) <
            0) {
            return in->failed ? my_binlog_bad(out->err, "a row that ends early") : -1;
        }
        if (document_at && im->old) {
            *document_at = document(c, from, in->p);
        }
    }
    return 0;
}

static int read_image(struct my_binlog *d, struct image *im, const struct my_value_out *out, struct mf_row *row,
                      bool *ret_partial)
{
    struct my_map *m = d->rows.map;
    struct mf_cursor *in = &d->rows.in;
    if (d->rows.partial && !im->old) {
        uint64_t options = my_read_lenenc(in);
        if (options & ~(uint64_t)PARTIAL_JSON) {
            return my_binlog_bad(out->err, "a partial update of unknown form");
        }
        im->diffs = options ? mf_read_bytes(in, (m->njson + 7u) / 8) : NULL;
    }
    const uint8_t *nulls = mf_read_bytes(in, (im->n + 7u) / 8);
    if (!nulls) {
        return my_binlog_bad(out->err, "a row that ends early");
    }
    struct mf_value *values = mf_alloc(out->arena, m->ncolumns * sizeof(*values));
    if (!values) {
        return mf_fail(out->err, MF_FATAL, "MFBIG", "a row is larger than there is room for");
    }
    *row = (struct mf_row){.n = m->ncolumns, .values = values};
    return read_columns(d, im, nulls, values, out, ret_partial);
}

/* Rows that have no column at all have no bytes: not even how many there are is told. */
static int nothing_told(struct my_binlog *d, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFBINLOG", "%s.%s: the binary log tells of rows without one column of them",
            d->rows.map->schema, d->rows.map->table);
    mf_hint(err, "set binlog_row_image to FULL at the source, and begin anew");
    return -1;
}

int my_rows_next(struct my_binlog *d, struct mf_arena *arena, struct mf_row *old_row, struct mf_row *new_row,
                 bool *ret_partial, bool *ret_more, struct mf_error *err)
{
    const struct my_value_out out = {.arena = arena, .json = &d->json, .as_57 = d->as_57, .err = err};
    *ret_partial = *ret_more = false;
    if (!d->rows.map || !d->rows.map->cols) {
        return my_binlog_bad(err, "rows of a table whose columns are not known");
    }
    if ((d->rows.kind != MY_ROWS_INSERT && !d->rows.nold) || (d->rows.kind != MY_ROWS_DELETE && !d->rows.nnew)) {
        return nothing_told(d, err);
    }
    if (d->rows.packed) {
        d->rows.packed = false;
        if (my_unpack(d, &d->rows.in, err) < 0) {
            d->rows.map = NULL;
            return -1;
        }
    }
    if (!mf_cursor_left(&d->rows.in)) {
        return 0;
    }
    struct image old = {.bits = d->rows.old_bits, .n = d->rows.nold, .old = true};
    struct image new = {.bits = d->rows.new_bits, .n = d->rows.nnew};
    *old_row = *new_row = (struct mf_row){0};
    if ((d->rows.kind != MY_ROWS_INSERT && read_image(d, &old, &out, old_row, ret_partial) < 0) ||
        (d->rows.kind != MY_ROWS_DELETE && read_image(d, &new, &out, new_row, ret_partial) < 0)) {
        mf_error_prefix(err, "%s.%s", d->rows.map->schema, d->rows.map->table);
        d->rows.map = NULL; /* what follows cannot be found */
        return -1;
    }
    *ret_more = true;
    return 0;
}
