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
        if (my_stream_ddl(st, e, err) < 0) {
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
        return my_stream_not_that_table(rel, err);
    }
    if (rel->state == MY_REL_UNKNOWN) {
        my_stream_put_aside(st, rel, e);
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
