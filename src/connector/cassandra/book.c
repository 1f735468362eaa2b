/*
 * The keyspace `midflight`: what midflight remembers in the cluster. It is replicated as the keyspace that rows go to is: who can read rows can read how
 * far they go.
 *
 * Deletions have timestamps here, too: what was deleted hides what is written later with a smaller one. So the rows of a pipe are in partitions
 * of an `instance`, a number made anew when a migration of this name begins: a cleanup deletes partitions that nobody will ever write to again,
 * and need not know with which timestamps they were written.
 *
 *   checkpoint  written with its position's order as timestamp: an older one that arrives late hides nothing
 *   quarantine  with the stamp of the change that was refused (quarantine.c)
 *   settings, epoch, run_lock   by conditions alone (Paxos), whose order is the servers' own
 */
#include "connector/cassandra/cass.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/replication.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PIPE     "migration text, direction text, instance text, "
#define PIPE_KEY "PRIMARY KEY ((migration, direction, instance)"
#define CHUNK                                                                                                          \
    "table_id bigint, ordinal bigint, schema_name text, table_name text, rows bigint, bytes bigint, "                  \
    "after_order varint, after_token text, whole_table boolean, "
#define LEFT_OUT                                                                                                       \
    "schema_name text, table_name text, id bigint, key text, column_name text, reason text, code text, row text, "     \
    "position_order varint, position_token text, "
#define SETTING "migration text, kind text, object text, value text, "

static const char *const book_ddl[] = {
    "CREATE TABLE IF NOT EXISTS midflight.checkpoint (" PIPE
    "position_order varint, position_token text, written_at timestamp, " PIPE_KEY "))",
    "CREATE TABLE IF NOT EXISTS midflight.chunk (" PIPE CHUNK PIPE_KEY ", table_id, ordinal))",
    "CREATE TABLE IF NOT EXISTS midflight.quarantine (" PIPE LEFT_OUT PIPE_KEY ", schema_name, table_name, id))",
    "CREATE TABLE IF NOT EXISTS midflight.epoch (migration text PRIMARY KEY, epoch bigint, writer text, open boolean)",
    "CREATE TABLE IF NOT EXISTS midflight.run_lock (migration text PRIMARY KEY, holder text, host text)",
    "CREATE TABLE IF NOT EXISTS midflight.settings (" SETTING "PRIMARY KEY (migration, kind, object))",
};

/* The replication of the keyspace that rows go to, as CREATE KEYSPACE takes it. */
static int replication(struct cass_db *db, struct mf_buf *ret, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    const char *args[] = {db->keyspace};
    char text[2048];
    if (cass_ask(db, CASS_READ, "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", args, 1, &a,
                 err) < 0) {
        return -1;
    }
    int rc = cass_first(a, &cells, err);
    if (rc == 0) {
        return mf_fail(err, MF_FATAL, "MFKEYSPACE", "there is no keyspace \"%s\"", db->keyspace);
    }
    if (rc == 1) {
        cass_cell_text(a, cells, 0, text, sizeof text);
        mf_buf_puts(ret, text);
    }
    return rc < 0 ? -1 : 0;
}

/* A keyspace whose copies are more than there are nodes would be made, and could be neither read nor written. */
static int check_reach(struct cass_db *db, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_cql_node *nodes = NULL;
    struct cass_replication r;
    struct mf_cql_facts f;
    size_t n = 0;
    int there = 0;
    mf_cql_facts(db->cql, &f);
    if (cass_replication_read(db->cql, db->keyspace, &r, err) < 0 || mf_cql_nodes(db->cql, &nodes, &n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        there +=
            nodes[i].local || !cass_is_local(f.consistency); /* up or not: that is for the statements to find out */
    }
    int needed = cass_needed(f.consistency, cass_copies(&r, NULL), cass_copies(&r, f.local_dc));
    if (!r.there || there >= needed) {
        return 0;
    }
    mf_fail(err, MF_RETRY, "MFREACH",
            "keyspace %s keeps %d copies of a row, of which %d must answer at %s: there are %d nodes", db->keyspace,
            cass_copies(&r, NULL), needed, cql_consistency_name((uint16_t)f.consistency), there);
    mf_hint(err, "give the keyspace as many copies as there are nodes (ALTER KEYSPACE), or "
                 "ask for another consistency in the target's URL (consistency=…)");
    return -1;
}

static int make_book(struct cass_db *db, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf how = {.max = 4096}, sql = {.max = 8192};
    if (replication(db, &how, err) < 0 || check_reach(db, err) < 0) {
        return -1;
    }
    mf_buf_printf(&sql, "CREATE KEYSPACE IF NOT EXISTS midflight WITH replication = %s", mf_buf_str(&how));
    if (mf_cql_schema(db->cql, mf_buf_str(&sql), CASS_AGREE_MS, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(book_ddl); i++) {
        if (MF_FAULT(err, "cassandra.book") || mf_cql_schema(db->cql, book_ddl[i], CASS_AGREE_MS, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int count(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    (void)a, (void)cells, (void)err;
    (*(size_t *)ctx)++;
    return 0;
}

static int has_book(struct cass_db *db, bool *ret, struct mf_error *err)
{
    size_t tables = 0;
    if (cass_each(db, "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'midflight'", NULL, 0, count,
                  &tables, err) < 0) {
        return -1;
    }
    *ret = tables >= MF_ARRAY_LEN(book_ddl);
    return 0;
}

/* ---- the instance ---- */

int cass_kept(struct cass_db *db, const char *migration, const char *kind, const char *object, char *ret, size_t n,
              struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    const char *args[] = {migration, kind, object};
    ret[0] = '\0';
    if (cass_ask(db, CASS_SERIAL,
                 "SELECT value FROM midflight.settings WHERE migration = ? AND kind = ? AND object = ?", args, 3, &a,
                 err) < 0) {
        return cass_no_book(err) ? (mf_error_clear(err), 0) : -1;
    }
    int rc = cass_first(a, &cells, err);
    if (rc == 1) {
        cass_cell_text(a, cells, 0, ret, n);
    }
    return rc < 0 ? -1 : 0;
}

int cass_scope(struct cass_db *db, const struct mf_pipe_id *pipe, struct cass_scope *ret, bool *ret_there,
               struct mf_error *err)
{
    mf_strlcpy(ret->migration, pipe->migration, sizeof ret->migration);
    pthread_mutex_lock(&db->lock);
    bool known = db->instance[0] && strcmp(db->instance_of, pipe->migration) == 0;
    mf_strlcpy(ret->instance, known ? db->instance : "", sizeof ret->instance);
    pthread_mutex_unlock(&db->lock);
    if (!known && cass_kept(db, pipe->migration, "instance", "", ret->instance, sizeof ret->instance, err) < 0) {
        return -1;
    }
    if (!known && ret->instance[0]) {
        MF_LOCK_SCOPE(&db->lock);
        mf_strlcpy(db->instance, ret->instance, sizeof db->instance);
        mf_strlcpy(db->instance_of, pipe->migration, sizeof db->instance_of);
    }
    ret->args[0] = ret->migration;
    ret->args[1] = cass_direction(pipe->direction);
    ret->args[2] = ret->instance;
    *ret_there = ret->instance[0] != '\0';
    return 0;
}

/* Of two that make one at the same time the first has made it. */
static int make_instance(struct cass_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    char number[CASS_NUMBER];
    struct cass_scope scope;
    bool there = false;
    if (cass_scope(db, pipe, &scope, &there, err) < 0 || there) {
        return there ? 0 : -1;
    }
    if (MF_FAULT(err, "cassandra.instance")) {
        return -1;
    }
    const char *args[] = {pipe->migration, cass_i64(cass_now_us(db), number)};
    return cass_ask(db, CASS_IF,
                    "INSERT INTO midflight.settings (migration, kind, object, value) VALUES (?, 'instance', '', ?)"
                    " IF NOT EXISTS",
                    args, 2, NULL, err);
}

static int cannot_make(struct cass_db *db, struct mf_error *err)
{
    mf_error_prefix(err, "making the bookkeeping keyspace \"midflight\" on %s", db->facts.host);
    if (strcmp(err->code, "0x2100") == 0) {
        mf_hint(err, "GRANT CREATE ON ALL KEYSPACES TO %s; GRANT ALL ON KEYSPACE midflight TO %s", db->facts.user,
                db->facts.user);
    }
    return -1;
}

int cass_book(struct cass_db *db, struct mf_error *err)
{
    bool there = false;
    return has_book(db, &there, err) < 0 || (!there && make_book(db, err) < 0) ? cannot_make(db, err) : 0;
}

int cass_prepare(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    if (cass_book(db, err) < 0) {
        return -1;
    }
    return make_instance(db, pipe, err) < 0 ? cannot_make(db, err) : 0;
}

/* ---- the checkpoint ---- */

static void take_position(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i, struct mf_position *ret)
{
    char order[CASS_NUMBER + 8];
    *ret = (struct mf_position){0};
    cass_cell_text(a, cells, i, order, sizeof order);
    mf_parse_u64(order, &ret->order);
    cass_cell_text(a, cells, i + 1, ret->token, sizeof ret->token);
}

int cass_checkpoint(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    struct cass_scope scope;
    bool there = false;
    if (cass_scope(cass_db_of(base), pipe, &scope, &there, err) < 0) {
        return -1;
    }
    struct mf_position at = {0};
    if (there) {
        if (cass_ask(cass_db_of(base), CASS_READ,
                     "SELECT position_order, position_token FROM midflight.checkpoint WHERE " CASS_SCOPE, scope.args, 3,
                     &a, err) < 0) {
            return -1;
        }
        int rc = cass_first(a, &cells, err);
        if (rc < 0) {
            return -1;
        }
        if (rc == 1) {
            take_position(a, cells, 0, &at);
        }
    }
    *ret = at;
    return 0;
}

int cass_need_scope(struct cass_db *db, const struct mf_pipe_id *pipe, struct cass_scope *ret, struct mf_error *err)
{
    bool there = false;
    if (cass_scope(db, pipe, ret, &there, err) < 0) {
        return -1;
    }
    if (there) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFNOBOOK",
            "the keyspace midflight has nothing of this migration (%s) any more: somebody removed it", pipe->migration);
    mf_hint(err, "it said which rows were left out, and how far the others are: midflight cancel, and begin again");
    return -1;
}

int cass_checkpoint_write(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_position *p,
                          struct mf_error *err)
{
    char order[CASS_NUMBER], stamp[CASS_NUMBER];
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    snprintf(order, sizeof order, "%" PRIu64, p->order);
    cass_i64((int64_t)(p->order & INT64_MAX), stamp);
    const char *args[] = {s.args[0], s.args[1], s.args[2], order, p->token, stamp};
    return cass_ask(db, CASS_WRITE,
                    "INSERT INTO midflight.checkpoint (migration, direction, instance, position_order, position_token)"
                    " VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
                    args, MF_ARRAY_LEN(args), NULL, err);
}

/* ---- chunks ---- */

int cass_chunk_write(struct cass_db *db, const struct mf_pipe_id *pipe, const struct mf_chunk_done *d,
                     struct mf_error *err)
{
    char id[CASS_NUMBER], ordinal[CASS_NUMBER], rows[CASS_NUMBER], bytes[CASS_NUMBER], order[CASS_NUMBER];
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    snprintf(order, sizeof order, "%" PRIu64, d->after.order);
    const char *args[] = {s.args[0],
                          s.args[1],
                          s.args[2],
                          cass_i64(d->table_id, id),
                          cass_i64(d->ordinal, ordinal),
                          d->schema,
                          d->table,
                          cass_i64(d->rows, rows),
                          cass_i64(d->bytes, bytes),
                          order,
                          d->after.token,
                          d->whole_table_snapshot ? "true" : "false"};
    return cass_ask(db, CASS_WRITE,
                    "INSERT INTO midflight.chunk (migration, direction, instance, table_id, ordinal, schema_name,"
                    " table_name, rows, bytes, after_order, after_token, whole_table)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    args, MF_ARRAY_LEN(args), NULL, err);
}

struct chunks {
    mf_chunk_done_sink *emit;
    void *ctx;
};

static int take_chunk(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    struct chunks *c = ctx;
    struct mf_chunk_done d = {.table_id = (uint32_t)cass_cell_int(a, cells, 0),
                              .ordinal = (uint32_t)cass_cell_int(a, cells, 1),
                              .rows = cass_cell_int(a, cells, 4),
                              .bytes = cass_cell_int(a, cells, 5),
                              .whole_table_snapshot = cass_cell_true(cells, 8)};
    cass_cell_text(a, cells, 2, d.schema, sizeof d.schema);
    cass_cell_text(a, cells, 3, d.table, sizeof d.table);
    take_position(a, cells, 6, &d.after);
    return c->emit(c->ctx, &d, err);
}

int cass_chunks_done(struct mf_db *base, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                     struct mf_error *err)
{
    struct chunks c = {emit, ctx};
    struct cass_scope s;
    bool there = false;
    if (cass_scope(cass_db_of(base), pipe, &s, &there, err) < 0 || !there) {
        return there ? -1 : err->cls == MF_OK ? 0 : -1;
    }
    return cass_each(cass_db_of(base),
                     "SELECT table_id, ordinal, schema_name, table_name, rows, bytes, after_order, after_token,"
                     " whole_table FROM midflight.chunk WHERE " CASS_SCOPE,
                     s.args, 3, take_chunk, &c, err);
}

int cass_chunks_forget(struct cass_db *db, const struct mf_pipe_id *pipe, uint32_t table_id, struct mf_error *err)
{
    char id[CASS_NUMBER];
    struct cass_scope s;
    if (cass_need_scope(db, pipe, &s, err) < 0) {
        return -1;
    }
    const char *args[] = {s.args[0], s.args[1], s.args[2], cass_i64(table_id, id)};
    return cass_ask(db, CASS_WRITE, "DELETE FROM midflight.chunk WHERE " CASS_SCOPE " AND table_id = ?", args, 4, NULL,
                    err);
}

/* ---- the end ---- */

static int forget_pipe(struct cass_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    static const char *const deletes[] = {"DELETE FROM midflight.checkpoint WHERE " CASS_SCOPE,
                                          "DELETE FROM midflight.chunk WHERE " CASS_SCOPE,
                                          "DELETE FROM midflight.quarantine WHERE " CASS_SCOPE};
    for (int d = MF_FORWARD; d <= MF_REVERSE; d++) {
        struct mf_pipe_id id = *pipe;
        struct cass_scope s;
        bool there = false;
        id.direction = (enum mf_direction)d;
        if (cass_scope(db, &id, &s, &there, err) < 0) {
            return -1;
        }
        for (size_t i = 0; there && i < MF_ARRAY_LEN(deletes); i++) {
            if (cass_ask(db, CASS_WRITE, deletes[i], s.args, 3, NULL, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int forget_rows(struct cass_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    /* The instance last: until it is gone the rest can be found again. */
    static const char *const deletes[] = {
        "DELETE FROM midflight.epoch WHERE migration = ? IF EXISTS",
        "DELETE FROM midflight.settings WHERE migration = ? AND kind = 'owner' AND object = 'state' IF EXISTS",
        "DELETE FROM midflight.settings WHERE migration = ? AND kind = 'instance' AND object = '' IF EXISTS"};
    const char *args[] = {pipe->migration};
    for (size_t i = 0; i < MF_ARRAY_LEN(deletes); i++) {
        if (cass_ask(db, CASS_IF, deletes[i], args, 1, NULL, err) < 0) {
            return -1;
        }
    }
    MF_LOCK_SCOPE(&db->lock);
    db->instance[0] = '\0';
    return 0;
}

struct others {
    const char *but;
    size_t n;
};

static int count_others(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    struct others *o = ctx;
    char name[64];
    (void)err;
    cass_cell_text(a, cells, 0, name, sizeof name);
    o->n += strcmp(name, o->but) != 0;
    return 0;
}

/* Migrations that have something in the keyspace, or are about to: the right to run is what one takes first. */
static int count_migrations(struct cass_db *db, const struct mf_pipe_id *pipe, size_t *ret, struct mf_error *err)
{
    struct others o = {.but = pipe->migration};
    if (cass_each(db, "SELECT migration FROM midflight.settings", NULL, 0, count_others, &o, err) < 0 ||
        cass_each(db, "SELECT migration FROM midflight.run_lock", NULL, 0, count_others, &o, err) < 0) {
        return -1;
    }
    *ret = o.n;
    return 0;
}

int cass_cleanup(struct mf_db *base, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    size_t others = 0;
    if (forget_pipe(db, pipe, err) < 0 || MF_FAULT(err, "cassandra.cleanup") || forget_rows(db, pipe, err) < 0 ||
        count_migrations(db, pipe, &others, err) < 0) {
        if (!cass_no_book(err)) {
            return -1;
        }
        mf_error_clear(err);
        return 0;
    }
    return others ? 0 : mf_cql_schema(db->cql, "DROP KEYSPACE IF EXISTS midflight", CASS_AGREE_MS, err);
}
