/*
 * Rows of the log as changes.
 *
 * The log has whole rows (binlog_row_image FULL), others only what identifies a row and what changed. Downstream one kind of table always
 * looks the same: of an old row only the key, and only when it changed; the whole of it where the table has no key, or where whoever reads asks for it. What the new row
 * leaves out is filled from the old one, where that has it.
 */
#include "connector/mysql/stream.h"

#include <string.h>

static int lacks(const struct my_rel *rel, const char *what, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFIMAGE", "%s of table %s.%s in the log lacks columns: the server leaves them out", what,
            rel->schema, rel->name);
    mf_hint(err, "SET GLOBAL binlog_row_image = 'FULL' (sessions that are open keep what they had), then cancel and "
                 "begin the migration again");
    return -1;
}

static bool has_key(const struct mf_table *t, const struct mf_row *row)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (row->values[t->key[k]].kind == MF_UNCHANGED) {
            return false;
        }
    }
    return true;
}

static bool same_key(const struct mf_table *t, const struct mf_row *a, const struct mf_row *b)
{
    for (uint16_t k = 0; k < t->nkey; k++) {
        if (!mf_value_equal(&a->values[t->key[k]], &b->values[t->key[k]])) {
            return false;
        }
    }
    return true;
}

static void only_key(const struct mf_table *t, struct mf_row *row)
{
    for (uint16_t i = 0; i < row->n; i++) {
        if (!t->columns[i].in_key) {
            row->values[i] = (struct mf_value){.kind = MF_UNCHANGED};
        }
    }
}

/* The columns that travel, in their places. */
static struct mf_row pick(const struct my_rel *rel, const struct mf_row *logged, struct mf_value *values)
{
    for (uint16_t i = 0; i < rel->table->ncolumns; i++) {
        values[i] = logged->values[rel->from[i]];
    }
    return (struct mf_row){.n = rel->table->ncolumns, .values = values};
}

static int finish_old(const struct my_rel *rel, bool wanted_whole, struct mf_change *c, struct mf_error *err)
{
    const struct mf_table *t = rel->table;
    if (t->identity == MF_IDENTITY_FULL) {
        c->has_old = true;
        return mf_row_whole(&c->old_row) ? 0 : lacks(rel, "an old row", err);
    }
    if (!has_key(t, &c->old_row)) {
        return lacks(rel, "the key of an old row", err);
    }
    c->has_old = wanted_whole || c->op == MF_DELETE || !same_key(t, &c->old_row, &c->new_row);
    if (c->has_old && !wanted_whole) {
        only_key(t, &c->old_row);
    }
    return 0;
}

static int make_change(struct my_stream *st, const struct mf_row *old, const struct mf_row *new, struct mf_change *c,
                       struct mf_error *err)
{
    struct my_rel *rel = st->rows;
    c->table = rel->table;
    c->op = st->rows_kind == MY_ROWS_INSERT ? MF_INSERT : st->rows_kind == MY_ROWS_UPDATE ? MF_UPDATE : MF_DELETE;
    c->cascades = st->rows_cascade && c->op != MF_INSERT;
    if (c->op != MF_INSERT) {
        c->old_row = pick(rel, old, st->old_values);
    }
    if (c->op != MF_DELETE) {
        c->new_row = pick(rel, new, st->new_values);
    }
    if (c->op == MF_INSERT) {
        return mf_row_whole(&c->new_row) ? 0 : lacks(rel, "a new row", err);
    }
    for (uint16_t i = 0; c->op == MF_UPDATE && i < c->new_row.n; i++) {
        if (c->new_row.values[i].kind == MF_UNCHANGED) {
            c->new_row.values[i] = c->old_row.values[i];
        }
    }
    return finish_old(rel, st->base.old_whole, c, err);
}

int my_stream_row(struct my_stream *st, struct mf_item *ret, bool *ret_got, struct mf_error *err)
{
    struct mf_row old = {0}, new = {0};
    bool partial = false, more = false;
    mf_arena_reset(&st->arena);
    if (my_rows_next(st->log, &st->arena, &old, &new, &partial, &more, err) < 0) {
        mf_error_prefix(err, "a row of table %s.%s", st->rows->schema, st->rows->name);
        return -1;
    }
    *ret_got = more;
    if (!more) {
        st->rows = NULL;
        return 0;
    }
    if (partial) { /* what looks unchanged has changed: only the changes to a document are told, and not the document */
        return lacks(st->rows, "the old row of a changed JSON document", err);
    }
    *ret = (struct mf_item){.kind = MF_ITEM_CHANGE, .txn = st->x.id, .subtxn = st->x.sub};
    return make_change(st, &old, &new, &ret->change, err);
}
