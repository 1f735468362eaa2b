/* What statements of the log do to the tables of the stream: their shapes, their rows, what stands behind their names. */
#include "connector/mysql/stream.h"

#include <string.h>

struct touching {
    struct my_stream *st;
    const struct my_event *e;
    enum my_statement_kind kind;
    bool dry; /* only look for a table that is emptied */
    struct my_rel *emptied;
    int rc;
    struct mf_error *err;
};

static int rows_unseen(const struct touching *t, const struct my_rel *rel)
{
    char shown[MY_WHY];
    my_shown(t->e->query.text, t->e->query.len, shown);
    if (t->kind == MY_ST_ROWS) {
        mf_fail(t->err, MF_FATAL, "MFFORMAT",
                "the log has a statement instead of the rows it changed, and it may have changed table %s.%s: %s",
                rel->schema, rel->name, shown);
        mf_hint(t->err, "some session writes with binlog_format STATEMENT or MIXED: SET GLOBAL binlog_format = 'ROW', "
                        "end that session, then cancel and begin the migration again");
    } else {
        mf_fail(t->err, MF_FATAL, "MFDDL",
                "rows of table %s.%s came or went by a statement that the log tells no rows of: %s", rel->schema,
                rel->name, shown);
        mf_hint(t->err, "cancel and begin the migration again");
    }
    return -1;
}

/* Another table has the name, or none. Going there it is one whose rows are in no copy. On the way back the name is what counts: all values of the table may be other ones,
 * of which the numbers of its columns tell (moved.h), and what is written to it from here on is followed. */
static void another_table(struct touching *t, struct my_rel *rel)
{
    struct my_stream *st = t->st;
    char shown[MY_WHY];
    if (st->rels.pipe.direction == MF_FORWARD) {
        my_rel_gone(rel, t->e->query.text, t->e->query.len);
        return;
    }
    my_shown(t->e->query.text, t->e->query.len, shown);
    my_rel_forget(rel, t->e->query.text, t->e->query.len);
    my_moves_all(&st->moves, rel, shown);
}

static int touch_one(struct touching *t, struct my_rel *rel, const struct my_touched *x)
{
    struct my_stream *st = t->st;
    if (st->x.skip || my_rel_before(rel, &st->x.gtid, &st->place)) {
        return 0;
    }
    if (st->x.brought && x->effect >= MY_FX_EMPTIED) {
        return 0;
    }
    switch (x->effect) {
    case MY_FX_SHAPE:
        my_rel_forget(rel, t->e->query.text, t->e->query.len);
        st->x.changed_tables = true;
        return 0;
    case MY_FX_MADE:
    case MY_FX_GONE:
        another_table(t, rel);
        st->x.changed_tables = true;
        return 0;
    case MY_FX_EMPTIED:
        t->emptied = rel;
        return 0;
    case MY_FX_ROWS:
        return rows_unseen(t, rel);
    case MY_FX_COLUMN_GONE:
    case MY_FX_COLUMN_MADE:
    case MY_FX_COLUMN_TEXTS:
        my_moves_note(&st->moves, rel, x, t->e);
        return 0;
    case MY_FX_THERE: /* and if it is not, the table that it makes is another one */
        return 0;
    }
    return 0;
}

/* A statement that changes rows of another table of the same database may reach ours through a trigger. */
static bool concerns(const struct touching *t, const struct my_touched *x, const struct my_rel *rel)
{
    const struct my_relations *r = &t->st->rels;
    bool ours = my_relations_same(r, rel->schema, MY_BOOK);
    if (t->kind == MY_ST_ROWS) {
        return !ours && (!x->schema[0] || my_relations_same(r, x->schema, rel->schema));
    }
    return (!x->schema[0] || my_relations_same(r, x->schema, rel->schema)) &&
           (!x->table[0] || my_relations_same(r, x->table, rel->name));
}

static void touched(void *ctx, const struct my_touched *x)
{
    struct touching *t = ctx;
    const struct my_relations *r = &t->st->rels;
    if (t->dry && x->effect != MY_FX_EMPTIED) {
        return;
    }
    if (x->schema[0] && x->table[0] && t->kind != MY_ST_ROWS) {
        struct my_rel *rel = my_relations_find(r, x->schema, x->table);
        if (rel && t->rc == 0) {
            t->rc = touch_one(t, rel, x);
        }
        return;
    }
    bool all = !x->schema[0] && x->effect == MY_FX_SHAPE;
    for (size_t i = 0; i < r->n && t->rc == 0; i++) {
        bool dirty = r->rels[i]->dirty;
        if (concerns(t, x, r->rels[i])) {
            t->rc = touch_one(t, r->rels[i], x);
        }
        if (all) { /* one note for all of them */
            r->rels[i]->dirty = dirty;
        }
    }
    if (all) {
        t->st->x.changed_all = true;
        my_shown(t->e->query.text, t->e->query.len, t->st->changed_by);
    }
}

void my_stream_put_aside(struct my_stream *st, struct my_rel *rel, const struct my_event *e)
{
    st->learning = rel;
    st->learnt = false;
    st->waiting = *e;
}

int my_stream_not_that_table(const struct my_rel *rel, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL",
            "table %s.%s was dropped, renamed or made anew, and rows of what has its name now are in the log: %s",
            rel->schema, rel->name, rel->why);
    mf_hint(err, "it is another table to midflight: cancel and begin the migration again");
    return -1;
}

static int emptied(struct my_stream *st, struct my_rel *rel, const struct my_event *e, struct mf_error *err)
{
    if (rel->state == MY_REL_GONE) {
        return my_stream_not_that_table(rel, err);
    }
    if (rel->state == MY_REL_UNKNOWN) {
        my_stream_put_aside(st, rel, e);
        return 0;
    }
    struct mf_item item = {.kind = MF_ITEM_CHANGE, .txn = st->x.id, .subtxn = st->x.sub};
    my_stream_lead(st, rel);
    st->emptied = rel->table;
    item.change = (struct mf_change){
        .op = MF_TRUNCATE, .table = rel->table, .ntruncated = 1, .truncated = &st->emptied, .truncate_restart = true};
    my_stream_put(st, &item);
    return 0;
}

int my_stream_ddl(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    struct my_statement s;
    struct touching t = {.st = st, .e = e, .dry = true, .err = err};
    my_relations_statement(&st->rels, e, &s, touched, &t);
    if (t.emptied && !(e->query.error && t.emptied->state == MY_REL_GONE)) {
        if (emptied(st, t.emptied, e, err) < 0) {
            return -1;
        }
        if (st->learning) {
            return 0;
        }
    }
    t = (struct touching){.st = st, .e = e, .kind = s.kind, .err = err};
    my_relations_statement(&st->rels, e, &s, touched, &t);
    return t.rc;
}
