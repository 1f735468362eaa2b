/* The slow way of the loader, and what is done to a table as a whole. */
#include "connector/postgres/load.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <string.h>

/* True when every value of the source's column fits the target's, of one built-in type, without rounding or cutting. */
static bool modifier_fits(uint32_t type, int32_t target, int32_t source)
{
    if (target < 0 || target == source) {
        return true;
    }
    if (source < 0) {
        return false;
    }
    switch (type) {
    case PG_NUMERIC: /* a whole part that is too long is refused by the server; decimals are rounded */
        return ((target - 4) & 0x7ff) >= ((source - 4) & 0x7ff) && ((target - 4) & 0x7ff) < 1024 &&
               ((source - 4) & 0x7ff) < 1024;
    case PG_VARCHAR:
    case PG_TIME:
    case PG_TIMETZ:
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
        return target > source;
    default:
        return false;
    }
}

const char *pg_narrower(const struct mf_table *target, const struct mf_table *source)
{
    for (uint16_t i = 0; i < source->ncolumns; i++) {
        const struct mf_column *s = &source->columns[i];
        int at = s->generated ? -1 : mf_table_column(target, s->name);
        if (at < 0) {
            continue; /* a missing column is the server's to refuse */
        }
        const struct mf_column *t = &target->columns[at];
        bool known = s->element_id && t->element_id;
        bool ours = s->type_id < PG_FIRST_USER_OID || t->type_id < PG_FIRST_USER_OID;
        if ((ours && s->type_id != t->type_id) || !modifier_fits(t->type_id, t->type_mod, s->type_mod)) {
            return s->name;
        }
        ours = known && (s->element_id < PG_FIRST_USER_OID || t->element_id < PG_FIRST_USER_OID);
        if (ours && (s->element_id != t->element_id || !modifier_fits(t->element_id, t->element_mod, s->element_mod))) {
            return s->name; /* a domain, or an array, of something narrower */
        }
    }
    return NULL;
}

static int go_slow(struct pg_loader *l, struct mf_error *err)
{
    struct pg_expect ok = {.kind = PG_EXPECT_OK, .doing = "beginning a chunk"};
    if (l->state == PG_LOAD_SLOW) {
        return 0;
    }
    if (l->state != PG_LOAD_BEGUN) {
        return mf_fail(err, MF_FATAL, "MFBUG", "rows and wire bytes in one chunk");
    }
    if (!l->slow) {
        struct pg_applier *a = mf_xcalloc(1, sizeof(*a));
        a->base.db = l->base.db;
        a->db = l->db;
        a->pipe = l->pipe;
        a->plain = true;
        mf_buf_init(&a->params, PG_PARAMS_MAX);
        mf_arena_init(&a->scratch, SIZE_MAX / 2);
        mf_arena_init(&a->keep, PG_MISSING_BYTES);
        l->slow = a;
    }
    if ((!l->slow->conn || l->slow->big || l->slow->nstmts > PG_STMTS_MAX) && pg_applier_connect(l->slow, err) < 0) {
        return -1;
    }
    pg_wire_forgive(l->slow);
    l->slow->in_window = true;
    l->slow->marked = false;
    l->state = PG_LOAD_SLOW;
    return pg_wire_sql(l->slow, "BEGIN", &ok, err);
}

/* All of them with one statement, the same for one row as for a thousand, or none. */
static int insert(struct pg_loader *l, const struct mf_row **rows, size_t n, struct mf_error *err)
{
    struct pg_attempt t = {.kind = PG_STMT_INSERT, .nows = rows, .n = n};
    struct mf_error refusal = {0};
    enum pg_outcome outcome;
    if (go_slow(l, err) < 0 || pg_shape_for(l->slow, l->table, &t.s, err) < 0 ||
        pg_attempt(l->slow, &t, &outcome, &refusal, err) < 0) {
        return -1;
    }
    if (outcome == PG_DONE) {
        return 0;
    }
    *err = refusal;
    err->cls = MF_ROW;
    if (l->slow->bad_column[0] && !strstr(err->text, l->slow->bad_column)) {
        mf_error_prefix(err, "column \"%s\"", l->slow->bad_column);
    }
    return -1;
}

int pg_load_row(struct mf_loader *base, const struct mf_row *row, struct mf_error *err)
{
    return insert(pg_loader_of(base), &row, 1, err);
}

int pg_load_rows(struct mf_loader *base, const struct mf_row *rows, size_t n, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct mf_row **list = mf_xcalloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        list[i] = &rows[i];
    }
    return n == 0 ? 0 : insert(pg_loader_of(base), list, n, err);
}

int pg_load_applier(struct mf_loader *base, struct mf_applier **ret, struct mf_error *err)
{
    struct pg_loader *l = pg_loader_of(base);
    if (go_slow(l, err) < 0) {
        return -1;
    }
    *ret = &l->slow->base; /* its mode is strict: what a chunk brings is new */
    return 0;
}

int pg_load_quarantine(struct mf_loader *base, const struct mf_quarantined *q, struct mf_error *err)
{
    struct pg_loader *l = pg_loader_of(base);
    struct pg_expect ok = {.kind = PG_EXPECT_OK, .doing = "writing to the quarantine"};
    MF_CLEANUP_BUF struct mf_buf sql = {.max = (size_t)1 << 30};
    if (go_slow(l, err) < 0) {
        return -1;
    }
    pg_put_quarantine_insert(&sql, &l->pipe, q);
    if (!mf_buf_ok(&sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a refused row is too big for the quarantine");
    }
    return pg_wire_sql(l->slow, mf_buf_str(&sql), &ok, err) < 0 || pg_wire_sync(l->slow, err) < 0 ? -1 : 0;
}

/* ---- a table as a whole ---- */

/* In one transaction. Emptied without TRUNCATE where foreign keys refer to the table: our sessions do not fire their triggers. */
static int empty(PGconn *c, const struct mf_pipe_id *pipe, const struct mf_table *t, const char *verb,
                 struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    const char *book[] = {"chunk", "quarantine"};
    mf_buf_printf(&sql, "BEGIN; %s ", verb);
    pg_put_table(&sql, t);
    for (size_t i = 0; i < MF_ARRAY_LEN(book); i++) {
        mf_buf_printf(&sql, "; DELETE FROM midflight.%s WHERE migration = ", book[i]);
        pg_put_literal(&sql, pipe->migration);
        mf_buf_puts(&sql, " AND direction = ");
        pg_put_literal(&sql, pg_direction(pipe->direction));
        mf_buf_puts(&sql, " AND schema_name = ");
        pg_put_literal(&sql, t->schema);
        mf_buf_puts(&sql, " AND table_name = ");
        pg_put_literal(&sql, t->name);
    }
    mf_buf_puts(&sql, "; COMMIT");
    return pg_exec(c, err, mf_buf_str(&sql));
}

int pg_table_reset(struct mf_db *mdb, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    if (pg_connect(pg_db_of(mdb), "reset", 0, &c, err) < 0 || pg_writer_session(pg_db_of(mdb), c, pipe, err) < 0) {
        return -1;
    }
    int rc = empty(c, pipe, t, "TRUNCATE", err);
    if (rc < 0 && pg_is_sqlstate(err, "0A000")) {
        pg_exec(c, NULL, "ROLLBACK");
        rc = empty(c, pipe, t, "DELETE FROM ONLY", err);
    }
    if (rc < 0) {
        mf_error_prefix(err, "emptying %s.%s", t->schema, t->name);
    }
    return rc;
}

int pg_table_finish(struct mf_db *mdb, const struct mf_table *t, struct mf_error *err)
{
    PG_CLEANUP_CONN PGconn *c = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    if (pg_connect(pg_db_of(mdb), "analyze", 0, &c, err) < 0) {
        return -1;
    }
    mf_buf_puts(&sql, "ANALYZE ");
    pg_put_table(&sql, t);
    return pg_exec(c, err, mf_buf_str(&sql));
}
