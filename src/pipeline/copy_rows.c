/* A chunk as rows: many at a time, and one by one where the target refused one of the many, so that only this one goes to quarantine.
 *
 * Every row that the source gave is counted once: in done.rows or in quarantined. Nothing waits when a chunk is committed. */
#include "pipeline/copy_internal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define ROW_JSON_MAX ((size_t)64 << 20)
#define KEY_TEXT_MAX ((size_t)16 << 20)
#define BATCH_ROWS   1000u
#define BATCH_BYTES  ((size_t)1 << 20) /* a row that is larger goes alone, and is not copied */
#define VALUE_BYTES  48u               /* what a value takes beside its bytes, at most */

/* Rows that wait to be loaded together. The source's reader gives each only for the time of the call. */
struct batch {
    struct cp_job *j;
    struct mf_arena arena;
    struct mf_row *rows;
    size_t n, bytes;
};

static void row_json(const struct mf_table *t, const struct mf_row *row, struct mf_buf *out)
{
    bool first = true;
    mf_buf_putc(out, '{');
    for (uint16_t i = 0; i < t->ncolumns && i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        if (v->kind == MF_UNCHANGED) {
            continue;
        }
        mf_buf_puts(out, first ? "\"" : ", \"");
        first = false;
        mf_json_escape(out, t->columns[i].name, strlen(t->columns[i].name));
        mf_buf_puts(out, v->kind == MF_NULL ? "\": null" : "\": \"");
        if (v->kind != MF_NULL) {
            mf_json_escape(out, v->data, v->len);
            mf_buf_putc(out, '"');
        }
    }
    mf_buf_putc(out, '}');
}

/* The key as apply will look for it: in the order in which the target has it, where that is the same one (map/map.c). */
static void key_text(const struct cp_job *j, const struct mf_row *row, struct mf_buf *out)
{
    const struct mf_table *s = j->t->source, *t = j->t->target;
    struct mf_table like = *s;
    MF_CLEANUP_FREE uint16_t *key = mf_xcalloc(s->nkey + 1u, sizeof *key);
    bool same = s->nkey == t->nkey;
    for (uint16_t k = 0; same && k < t->nkey; k++) {
        int at = mf_table_column(s, t->columns[t->key[k]].name);
        same = at >= 0 && s->columns[at].in_key;
        key[k] = same ? (uint16_t)at : 0;
    }
    like.key = same ? key : s->key;
    mf_put_key_text(out, &like, row);
}

static int quarantine(struct cp_job *j, const struct mf_row *row, struct mf_error *err)
{
    struct mf_copy *c = j->w->c;
    pthread_mutex_lock(&c->mu);
    int64_t before = c->quarantined;
    pthread_mutex_unlock(&c->mu);
    if (before + j->quarantined >= c->o.max_quarantined) {
        struct mf_error why = *err;
        mf_fail(err, MF_FATAL, "MFQUAR",
                "more than %lld rows would be in quarantine (quarantine.max_rows); the last: %s",
                (long long)c->o.max_quarantined, why.text);
        mf_hint(
            err,
            "raise quarantine.max_rows and start midflight again: while it runs, midflight quarantine list names the "
            "rows, and those mended on the source leave the quarantine when their changes are applied, after the "
            "copy. Or midflight cancel, mend the rows or the target, and begin again");
        return -1;
    }
    MF_CLEANUP_BUF struct mf_buf json = {.max = ROW_JSON_MAX}, key = {.max = KEY_TEXT_MAX};
    key_text(j, row, &key);
    row_json(j->t->source, row, &json);
    struct mf_quarantined q = {.key = mf_buf_str(&key),
                               .column = mf_refused_column(j->t->source, row, err),
                               .reason = err->text,
                               .row = mf_buf_ok(&json) ? mf_buf_str(&json) : "{\"midflight\": \"too large\"}"};
    mf_strlcpy(q.schema, j->t->source->schema, sizeof(q.schema));
    mf_strlcpy(q.table, j->t->source->name, sizeof(q.table));
    mf_strlcpy(q.code, err->code, sizeof(q.code));
    struct mf_error failed;
    if (c->o.target->connector->target->load_quarantine(j->w->loader, &q, &failed) < 0) {
        *err = failed;
        return -1;
    }
    j->quarantined++;
    return 0;
}

static int load_one(struct cp_job *j, const struct mf_row *row, struct mf_error *err)
{
    struct mf_copy *c = j->w->c;
    if (c->o.target->connector->target->load_row(j->w->loader, row, err) == 0) {
        j->done.rows++;
        return 0;
    }
    if (!mf_copy_refused(err)) {
        return -1;
    }
    bool in = false;
    struct mf_error why = *err;
    if (j->uncertain && mf_copy_is_in(j, &in, err) < 0) {
        return -1;
    }
    *err = why;
    return in || !c->o.keep_rejected ? -1 : quarantine(j, row, err);
}

static int load_batch(struct batch *b, struct mf_error *err)
{
    const struct mf_target_ops *dst = b->j->w->c->o.target->connector->target;
    bool together = b->n > 1 && dst->load_rows(b->j->w->loader, b->rows, b->n, err) == 0;
    if (b->n > 1 && !together) {
        if (!mf_copy_refused(err)) {
            return -1;
        }
        mf_error_clear(err); /* what counts is what is said of each row */
    }
    for (size_t i = 0; !together && i < b->n; i++) {
        if (load_one(b->j, &b->rows[i], err) < 0) {
            return -1;
        }
    }
    b->j->done.rows += together ? (int64_t)b->n : 0;
    b->n = b->bytes = 0;
    mf_arena_reset(&b->arena);
    return 0;
}

static int take_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct batch *b = ctx;
    size_t bytes = VALUE_BYTES * (row->n + 2u) + (row->named ? strlen(row->named) : 0);
    for (uint16_t i = 0; i < row->n; i++) {
        b->j->done.bytes += row->values[i].kind == MF_TEXT ? row->values[i].len : 0;
        bytes += mf_value_has_bytes(&row->values[i]) ? row->values[i].len : 0;
    }
    if ((b->n == BATCH_ROWS || b->bytes + bytes > BATCH_BYTES) && load_batch(b, err) < 0) {
        return -1;
    }
    if (bytes > BATCH_BYTES || mf_row_refused(row) >= 0) { /* it is known that it will be refused */
        return load_batch(b, err) < 0 ? -1 : load_one(b->j, row, err);
    }
    if (mf_row_copy(&b->arena, &b->rows[b->n], row) < 0) {
        return mf_fail(err, MF_FATAL, "MFBUG", "rows of a copy are larger than they were taken for");
    }
    b->n++;
    b->bytes += bytes;
    return 0;
}

int mf_copy_rows(struct cp_job *j, struct mf_error *err)
{
    const struct mf_source_ops *src = j->w->c->o.source->connector->source;
    const struct mf_target_ops *dst = j->w->c->o.target->connector->target;
    MF_CLEANUP_FREE struct mf_row *rows = mf_xcalloc(BATCH_ROWS, sizeof *rows);
    struct batch b = {.j = j, .rows = rows};
    j->done.rows = j->done.bytes = j->quarantined = 0;
    mf_arena_init(&b.arena, 2 * BATCH_BYTES);
    int rc = dst->load_begin(j->w->loader, j->t->target, j->t->source, j->w->c->o.stamp, err);
    rc = rc < 0 ? -1 : src->chunk_rows(j->reader, j->t->source, &j->chunk, take_row, &b, &j->done.after, err);
    rc = rc < 0 ? -1 : load_batch(&b, err);
    mf_arena_free(&b.arena);
    return rc;
}
