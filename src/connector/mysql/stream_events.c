/* What each event of the log means to the stream: see stream.h. */
#include "connector/mysql/stream.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

/* ---- transactions ---- */

/* One that is there already is skipped: a server sends what is missing and what it was asked for again, but what it thinks is missing is its own affair. In
 * MariaDB numbers of one domain grow; where they do not (gtid_strict_mode off), "contained" means nothing, and nothing may be skipped for it. */
static int identify(struct my_stream *st, struct my_txn *x, struct mf_error *err)
{
    size_t i = 0;
    x->id = my_place_order(&st->place);
    x->at = st->came_at;
    x->skip = st->done ? my_gtid_set_has(st->done, &x->gtid) : x->at < st->opened;
    x->again = x->skip && my_again_has(st->again, st->nagain, &x->gtid, x->at, &i);
    if (x->again) {
        x->skip = false;
        st->again[i] = st->again[--st->nagain];
    }
    if (!st->done) {
        return 0;
    }
    if (x->gtid.anonymous) {
        mf_fail(err, MF_FATAL, "MFGTID", "a transaction in the log of %s has no GTID: gtid_mode was switched off",
                st->db->facts.host);
        mf_hint(err, "set gtid_mode = ON again and begin the migration anew");
        return -1;
    }
    if (st->db->mariadb && my_gtid_set_has(st->seen, &x->gtid)) {
        mf_fail(err, MF_FATAL, "MFGTID", "GTID %u-%u-%llu comes after a higher number of its domain", x->gtid.domain,
                x->gtid.server, (unsigned long long)x->gtid.number);
        mf_hint(err, "several servers write in one replication domain: give each its own gtid_domain_id, or SET GLOBAL "
                     "gtid_strict_mode = ON; then cancel and begin the migration again");
        return -1;
    }
    my_gtid_set_last(st->seen, x->gtid.domain, &x->before);
    if (!st->db->mariadb && !x->skip && !x->again) {
        x->id = my_gtid_set_count(st->done) + 1; /* what my_visible is asked about */
    }
    return 0;
}

static int begin(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    if (st->x.open) {
        return mf_fail(err, MF_FATAL, "MFBINLOG", "a transaction in the log has no end (%s, before %llu)",
                       st->place.file, (unsigned long long)st->place.offset);
    }
    struct my_txn x = {.open = true,
                       .gtid = e->gtid,
                       .time_us = e->timestamp * MF_US_PER_SEC,
                       .start = st->place,
                       .commit_us = e->commit_us,
                       .sum = st->next_sum};
    x.grouped = e->gtid.mariadb && !e->gtid.standalone;
    if (identify(st, &x, err) < 0 || my_stream_who_wrote(st, &x, err) < 0) {
        return -1;
    }
    x.sub = x.id;
    st->x = x;
    my_savepoints_clear(&st->savepoints);
    my_moves_clear(&st->moves);
    st->nmaps = 0;
    if (st->rels.tables_added != __atomic_load_n(&st->db->tables_added, __ATOMIC_ACQUIRE)) {
        MY_LEASE(st->db, l);
        return my_lease(l.db, &l.conn, err) < 0 ? -1 : my_relations_read(&st->rels, l.conn, err);
    }
    return 0;
}

/* What tables are from here on, before anything behind it is handed out. */
static int remember(struct my_stream *st, bool all, struct mf_error *err)
{
    struct mf_position here;
    if (my_stream_alone(st, "a table is changed", err) < 0) {
        return -1;
    }
    MY_LEASE(st->db, l);
    if (my_stream_here(st, &here, err) < 0 || my_lease(l.db, &l.conn, err) < 0 ||
        my_moves_write(&st->moves, &st->rels, l.conn, here.order, err) < 0 ||
        (all && my_version_all(&st->rels, l.conn, here.order, st->changed_by, err) < 0)) {
        return -1;
    }
    for (size_t i = 0; i < st->rels.n; i++) {
        struct my_rel *rel = st->rels.rels[i];
        if (rel->dirty || (all && rel->state == MY_REL_UNKNOWN)) {
            rel->version = here.order;
        }
        if (rel->dirty && my_version_write(&st->rels, l.conn, rel, err) < 0) {
            return -1;
        }
        rel->dirty = false;
    }
    return 0;
}

int my_stream_commit(struct my_stream *st, struct mf_error *err)
{
    struct my_txn x = st->x;
    if (my_stream_count(st, err) < 0) {
        return -1;
    }
    if (x.changed_tables && remember(st, x.changed_all, err) < 0) {
        return -1;
    }
    st->x = (struct my_txn){0};
    my_savepoints_clear(&st->savepoints);
    if (!x.begun) {
        return my_stream_progress(st, err);
    }
    struct mf_item item = {.kind = MF_ITEM_COMMIT,
                           .txn = x.id,
                           .shown = x.shown,
                           .commit_time_us = x.commit_us ? (int64_t)x.commit_us : x.time_us};
    if (my_stream_here(st, &item.position, err) < 0) {
        return -1;
    }
    st->told = item.position;
    my_stream_put(st, &item);
    return 0;
}

/* A new file in the middle of a transaction: the server went down and never finished it. */
static void cut_off(struct my_stream *st)
{
    if (st->x.open && st->x.begun) {
        my_stream_put(st, &(struct mf_item){.kind = MF_ITEM_ABORT, .txn = st->x.id, .subtxn = st->x.id});
    }
    st->x = (struct my_txn){0};
    st->nmaps = 0;
}

static int rolled_back(struct my_stream *st, struct mf_error *err)
{
    if (st->x.begun) {
        my_stream_put(st, &(struct mf_item){.kind = MF_ITEM_ABORT, .txn = st->x.id, .subtxn = st->x.id});
        st->x.begun = false;
    }
    return my_stream_commit(st, err);
}

/* ---- savepoints: going back is only told where a table that cannot roll back was written in between ---- */

static int savepoint(struct my_stream *st, const char *name, bool back, struct mf_error *err)
{
    uint64_t sub = st->next_sub + 1, undo = 0;
    if (st->x.skip) {
        return 0;
    }
    if (!back) {
        my_savepoint_set(&st->savepoints, name, sub);
    } else if (my_savepoint_back(&st->savepoints, name, sub, &undo, err) < 0) {
        return -1;
    } else {
        st->undo = undo;
        st->undo_end = sub;
    }
    st->next_sub = st->x.sub = sub;
    return 0;
}

/* ---- statements ---- */

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

static void put_aside(struct my_stream *st, struct my_rel *rel, const struct my_event *e)
{
    st->learning = rel;
    st->learnt = false;
    st->waiting = *e;
}

static int not_that_table(const struct my_rel *rel, struct mf_error *err)
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
        return not_that_table(rel, err);
    }
    if (rel->state == MY_REL_UNKNOWN) {
        put_aside(st, rel, e);
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

/* A change of tables. */
static int ddl(struct my_stream *st, const struct my_event *e, struct mf_error *err)
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

static void ignore(void *ctx, const struct my_touched *t)
{
    (void)ctx, (void)t;
}

static int query(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    struct my_statement s;
    my_relations_statement(&st->rels, e, &s, ignore, NULL);
    if (!st->x.open) { /* a log of before GTIDs: the statement is its own transaction, or begins one */
        struct my_event none = {.kind = MY_EV_GTID, .timestamp = e->timestamp, .gtid = {.anonymous = true}};
        if (begin(st, &none, err) < 0) {
            return -1;
        }
    }
    switch (s.kind) {
    case MY_ST_BEGIN:
    case MY_ST_XA_START:
        st->x.grouped = true;
        return 0;
    case MY_ST_COMMIT:
        return my_stream_commit(st, err);
    case MY_ST_ROLLBACK:
        return rolled_back(st, err);
    case MY_ST_SAVEPOINT:
    case MY_ST_ROLLBACK_TO:
        return savepoint(st, s.id, s.kind == MY_ST_ROLLBACK_TO, err);
    case MY_ST_XA_COMMIT:
        return my_xa_end(st, s.id, true, err);
    case MY_ST_XA_ROLLBACK:
        return my_xa_end(st, s.id, false, err);
    case MY_ST_XA_END:
    case MY_ST_NOTHING:
        break;
    case MY_ST_DDL:
    case MY_ST_ROWS:
        if (ddl(st, e, err) < 0) {
            return -1;
        }
        if (st->learning) {
            return 0;
        }
        break;
    }
    return st->x.grouped ? 0 : my_stream_commit(st, err);
}

/* ---- rows ---- */

static void remember_map(struct my_stream *st, uint64_t id, struct my_rel *rel)
{
    if (st->nmaps == st->maps_cap) {
        st->maps_cap = st->maps_cap ? st->maps_cap * 2 : 16;
        st->maps = mf_xreallocarray(st->maps, st->maps_cap, sizeof *st->maps);
    }
    st->maps[st->nmaps].id = id;
    st->maps[st->nmaps++].rel = rel;
}

static int table_map(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    struct my_rel *rel = my_relations_find(&st->rels, e->map.schema, e->map.table);
    if (!rel || st->x.skip || st->x.brought || my_rel_before(rel, &st->x.gtid, &st->place)) {
        remember_map(st, e->map.id, NULL);
        return 0;
    }
    if (rel->state == MY_REL_GONE) {
        return not_that_table(rel, err);
    }
    if (rel->state == MY_REL_UNKNOWN) {
        put_aside(st, rel, e);
        return 0;
    }
    if (my_rel_fit(rel, st->log, &e->map, err) < 0) {
        return -1;
    }
    remember_map(st, e->map.id, rel);
    return 0;
}

static int rows(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    size_t i = 0;
    while (i < st->nmaps && st->maps[i].id != e->rows.table_id) {
        i++;
    }
    struct my_rel *rel = i < st->nmaps ? st->maps[i].rel : NULL;
    if (i == st->nmaps && e->rows.table_id != UINT64_C(0xffffff)) { /* that one is a server's mark for "no more" */
        return mf_fail(err, MF_FATAL, "MFBINLOG", "rows in the log without their table's description");
    }
    if (e->rows.statement_end) {
        st->nmaps = 0;
    }
    if (!rel) {
        return 0;
    }
    if (!st->x.open) {
        return mf_fail(err, MF_FATAL, "MFBINLOG", "rows of table %s.%s in the log outside a transaction", rel->schema,
                       rel->name);
    }
    my_stream_lead(st, rel);
    st->rows = rel;
    st->rows_kind = e->rows.kind;
    st->rows_cascade = !e->rows.no_foreign_keys;
    st->old_values = mf_xreallocarray(st->old_values, rel->table->ncolumns + 1u, sizeof *st->old_values);
    st->new_values = mf_xreallocarray(st->new_values, rel->table->ncolumns + 1u, sizeof *st->new_values);
    return 0;
}

/* LOAD DATA as a statement: 6–8, 12, 17 and 18 are the server's numbers; what else comes with statements says nothing by itself. */
static int statement_format(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    bool load = (e->type >= 6 && e->type <= 8) || e->type == 12 || e->type == 17 || e->type == 18;
    if (!load) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFFORMAT", "the log of %s has LOAD DATA as a statement instead of the rows it made",
            st->db->facts.host);
    mf_hint(err, "some session writes with binlog_format STATEMENT: SET GLOBAL binlog_format = 'ROW', end that "
                 "session, then cancel and begin the migration again");
    return -1;
}

static int incident(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFINCIDENT", "%s has lost changes before it wrote them to its log (%s, before %llu): %s",
            st->db->facts.host, st->place.file, (unsigned long long)st->place.offset, e->incident.message);
    mf_hint(err, "cancel and begin the migration again");
    return -1;
}

int my_stream_event(struct my_stream *st, const struct my_event *e, struct mf_error *err)
{
    switch (e->kind) {
    case MY_EV_GTID:
        return begin(st, e, err);
    case MY_EV_QUERY:
        return query(st, e, err);
    case MY_EV_XID:
        return st->x.open ? my_stream_commit(st, err) : 0;
    case MY_EV_XA_PREPARE:
        return my_xa_prepared(st, e, err);
    case MY_EV_TABLE_MAP:
        return table_map(st, e, err);
    case MY_EV_ROWS:
        return rows(st, e, err);
    case MY_EV_PAYLOAD:
        st->in_payload = true;
        return 0;
    case MY_EV_INCIDENT:
        return incident(st, e, err);
    case MY_EV_INTVAR_OR_LIKE:
        return statement_format(st, e, err);
    case MY_EV_FORMAT:
        if (!e->artificial && e->next_position != 0) {
            cut_off(st);
        }
        return my_stream_progress(st, err);
    case MY_EV_OTHER:
    case MY_EV_ROTATE:
    case MY_EV_STOP:
    case MY_EV_HEARTBEAT:
        return my_stream_progress(st, err);
    }
    return 0;
}
