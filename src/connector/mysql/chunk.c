/*
 * Reading a chunk as the wire form (wire.h): rows stream from the server (never a whole result in memory) and are gathered
 * into pieces of some 100 kB, cut at row ends.
 */
#include "connector/mysql/reader.h"

#include "base/fault.h"
#include "base/mem.h"
#include "connector/mysql/wire.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES (96u << 10)
#define KEEP_BYTES   (1u << 20) /* a buffer that a large row has made larger goes with it */

static void learn_forms(struct my_reader *r, const struct mf_table *t)
{
    free(r->forms);
    r->forms = mf_xcalloc(t->ncolumns + 1u, 1);
    r->ncolumns = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            r->forms[r->ncolumns++] = (uint8_t)my_form_of(&r->types[i]);
        }
    }
}

static int start(struct my_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MY_SQL_MAX};
    learn_forms(r, t);
    mf_buf_puts(&b, "SELECT ");
    my_put_columns(r, &b, t);
    if (my_put_from(r, &b, t, c, err) < 0) {
        return -1;
    }
    return my_rows_start(r, &b, err) < 0 ? my_read_failed(r, t, err) : 0;
}

int my_chunk_open(struct mf_reader *base, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    if (MF_FAULT(err, "mysql.chunk_open") || my_work_begin(r, t, MY_SHAPE_EXACT, true, err) < 0) {
        return -1;
    }
    if (start(r, t, c, err) < 0) {
        my_work_abort(r);
        return -1;
    }
    r->t = t;
    r->reading = true;
    r->nrows = 0;
    mf_buf_reset(&r->batch);
    mf_buf_reset(&r->kept);
    return 0;
}

static void put_row(struct mf_buf *b, const struct my_reader *r, MYSQL_ROW row, const unsigned long *lengths)
{
    mf_buf_append(b, b->len ? ",(" : "(", b->len ? 2 : 1);
    for (unsigned i = 0; i < r->ncolumns; i++) {
        if (i) {
            mf_buf_putc(b, ',');
        }
        my_put_wire_value(b, r->forms[i], row[i], lengths[i]);
    }
    mf_buf_putc(b, ')');
}

/* Behind what is gathered, or by itself for the next piece where a large row would make this one much larger. */
static int take_row(struct my_reader *r, MYSQL_ROW row, const unsigned long *lengths, struct mf_error *err)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < r->ncolumns; i++) {
        bytes += lengths[i];
    }
    struct mf_buf *to = r->batch.len && bytes >= GATHER_BYTES ? &r->kept : &r->batch;
    put_row(to, r, row, lengths);
    r->nrows++;
    if (mf_buf_ok(to)) {
        return 0;
    }
    /* Not fatal: one by one the rows may pass, or this one is kept aside. */
    return mf_fail(err, MF_ROW, "MFBIG", "a row of table %s.%s is longer than %zu bytes as a statement", r->t->schema,
                   r->t->name, to->max);
}

static int gather(struct my_reader *r, struct mf_error *err)
{
    MYSQL_ROW row;
    unsigned long *lengths;
    while (r->rows && r->batch.len < GATHER_BYTES && !r->kept.len) {
        if (my_rows_fetch(r, &row, &lengths, err) < 0) {
            return my_read_failed(r, r->t, err);
        }
        if (row && (my_row_whole(r, row, r->t, err) < 0 || take_row(r, row, lengths, err) < 0)) {
            return -1;
        }
    }
    return 0;
}

static void empty(struct mf_buf *b)
{
    if (b->cap > KEEP_BYTES) {
        mf_buf_free(b);
    } else {
        mf_buf_reset(b);
    }
}

int my_chunk_read(struct mf_reader *base, const void **ret_data, size_t *ret_len, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    if (!r->reading) {
        return mf_fail(err, MF_FATAL, "MFCALL", "a chunk is read that was not opened, or whose reading has failed");
    }
    empty(&r->batch);
    if (r->kept.len) {
        struct mf_buf spent = r->batch;
        r->batch = r->kept;
        r->kept = spent;
    }
    if (MF_FAULT(err, "mysql.chunk_read") || (!r->batch.len && gather(r, err) < 0)) {
        my_work_abort(r);
        return -1;
    }
    *ret_data = mf_buf_str(&r->batch);
    *ret_len = r->batch.len;
    return 0;
}

int my_chunk_close(struct mf_reader *base, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err)
{
    struct my_reader *r = my_reader_of(base);
    if (!r->reading) {
        return mf_fail(err, MF_FATAL, "MFCALL", "a chunk is ended that was not opened, or whose reading has failed");
    }
    *ret_after = r->after;
    *ret_rows = r->rows || r->kept.len ? -1 : r->nrows;
    if (r->rows) { /* the caller has had enough of it */
        my_work_abort(r);
        return 0;
    }
    return my_work_end(r, err);
}
