/*
 * TRUNCATE as the stream tells of it: by the tables that had rows, all of one statement in one. Those that refer to each other can
 * only go together; sequences are left alone, they are set at the cutover.
 *
 * The stream does not name what has no rows in it: a partitioned table, whose foreign key stands in the way although all its
 * partitions are in the list; an unlogged table that refers to one of them. On the origin they were emptied in the same
 * statement, or it would have been refused there. So where the server refuses ours for that reason (0A000), those are added:
 * partitioned tables when all their partitions are in the list, and unlogged ones. What is refused still, because tables that do not
 * migrate refer to them here, is done row by row: foreign keys are not looked at in our sessions.
 */
#include "connector/postgres/apply.h"

#define ROOM (PG_SQL_MAX / 2)

static const char added_sql[] =
    "WITH RECURSIVE down(root, oid) AS ("
    " SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'p'"
    " UNION ALL SELECT d.root, i.inhrelid FROM down d JOIN pg_catalog.pg_inherits i ON i.inhparent = d.oid"
    "), unlogged(oid) AS ("
    " SELECT f.oid FROM unnest(named) AS f(oid)"
    " UNION SELECT c.oid FROM unlogged u JOIN pg_catalog.pg_constraint k ON k.contype = 'f' AND k.confrelid = u.oid"
    "  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relpersistence = 'u' AND c.relkind = 'r'"
    "), whole(oid) AS ("
    " SELECT d.root FROM down d JOIN pg_catalog.pg_class c ON c.oid = d.oid GROUP BY d.root"
    " HAVING bool_and(c.relkind = 'p' OR d.oid = ANY (named)) AND (bool_or(d.oid = ANY (named)) OR EXISTS (SELECT FROM"
    "  pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conrelid = d.root AND k.confrelid = ANY (named)))"
    ") "
    "SELECT coalesce(string_agg(', ' || x.sql, ''), '') INTO added FROM ("
    " SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS sql FROM whole w"
    "  JOIN pg_catalog.pg_class c ON c.oid = w.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " UNION ALL SELECT pg_catalog.format('ONLY %I.%I', n.nspname, c.relname) FROM unlogged u"
    "  JOIN pg_catalog.pg_class c ON c.oid = u.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE u.oid <> ALL (named)) x; ";

/* Lists of the same tables, each as one place of the statement wants them. */
struct lists {
    struct mf_buf names, only, deletes, keys;
};

static void free_lists(struct lists *l)
{
    mf_buf_free(&l->names);
    mf_buf_free(&l->only);
    mf_buf_free(&l->deletes);
    mf_buf_free(&l->keys);
}

static void add_table(struct lists *l, const struct pg_shape *s)
{
    MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
    const char *comma = l->only.len ? ", " : "";
    pg_put_table(&name, s->table);
    mf_buf_puts(&l->names, comma);
    pg_put_literal(&l->names, mf_buf_str(&name));
    mf_buf_puts(&l->only, comma);
    pg_put_only(&l->only, s);
    mf_buf_puts(&l->deletes, "DELETE FROM ");
    pg_put_only(&l->deletes, s);
    mf_buf_puts(&l->deletes, "; ");
    mf_buf_printf(&l->keys, "%s(", comma);
    pg_put_literal(&l->keys, s->table->schema);
    mf_buf_puts(&l->keys, ", ");
    pg_put_literal(&l->keys, s->table->name);
    mf_buf_puts(&l->keys, ")");
}

/* The three ways, each when the server has refused the one before. */
static int put_block(struct mf_buf *sql, const struct lists *l, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf body = {.max = PG_SQL_MAX};
    mf_buf_printf(&body, "DECLARE named oid[] := ARRAY[%s]::regclass[]::oid[]; added text; BEGIN BEGIN TRUNCATE %s; ",
                  mf_buf_str(&l->names), mf_buf_str(&l->only));
    mf_buf_puts(&body, "EXCEPTION WHEN feature_not_supported THEN ");
    mf_buf_puts(&body, added_sql);
    mf_buf_puts(&body, "BEGIN EXECUTE ");
    MF_CLEANUP_BUF struct mf_buf again = {.max = PG_SQL_MAX};
    mf_buf_printf(&again, "TRUNCATE %s", mf_buf_str(&l->only));
    pg_put_literal(&body, mf_buf_str(&again));
    mf_buf_printf(&body, " || added; EXCEPTION WHEN feature_not_supported THEN %sEND; END; END",
                  mf_buf_str(&l->deletes));
    mf_buf_puts(sql, "DO ");
    pg_put_literal(sql, mf_buf_str(&body));
    return pg_sql(&body, err) && pg_sql(sql, err) ? 0 : -1;
}

static int put_unquarantine(struct mf_buf *sql, const struct pg_applier *a, const struct lists *l, struct mf_error *err)
{
    mf_buf_puts(sql, "DELETE FROM midflight.quarantine WHERE migration = ");
    pg_put_literal(sql, a->pipe.migration);
    mf_buf_puts(sql, " AND direction = ");
    pg_put_literal(sql, pg_direction(a->pipe.direction));
    mf_buf_printf(sql, " AND (schema_name, table_name) IN (%s)", mf_buf_str(&l->keys));
    return pg_sql(sql, err) ? 0 : -1;
}

int pg_batch_truncate(struct pg_applier *a, const struct mf_change *c, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX}, clear = {.max = PG_SQL_MAX};
    struct lists l MF_CLEANUP(free_lists) = {{.max = ROOM}, {.max = ROOM}, {.max = ROOM}, {.max = ROOM}};
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "truncating"};
    for (uint16_t i = 0; i < c->ntruncated; i++) {
        struct pg_shape *s;
        if (pg_shape_for(a, c->truncated[i], &s, err) < 0) {
            return -1;
        }
        add_table(&l, s);
        e.shape = s;
    }
    if (c->ntruncated == 0) {
        return 0;
    }
    if (!pg_sql(&l.names, err) || !pg_sql(&l.only, err) || !pg_sql(&l.deletes, err) || !pg_sql(&l.keys, err) ||
        put_block(&sql, &l, err) < 0 || put_unquarantine(&clear, a, &l, err) < 0) {
        a->failed = *err;
        return -1;
    }
    return pg_wire_sql(a, mf_buf_str(&sql), &e, err) < 0 || pg_wire_sql(a, mf_buf_str(&clear), &e, err) < 0 ? -1 : 0;
}
