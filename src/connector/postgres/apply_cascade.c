/*
 * What another origin's server did by itself to rows that refer to others (InnoDB's cascades are in no log), done in words: our sessions do not
 * fire foreign keys.
 *
 * Where nothing depends on the rows, one statement by the columns does it and is queued like any other. Where more tables follow, the
 * rows are read and locked first, a piece at a time, and changed by their own keys.
 */
#include "connector/postgres/apply.h"

#include "base/mem.h"

#include <string.h>

#define AT_ONCE 2000 /* rows read before they are changed */

/* One call's work. */
struct work {
    struct pg_applier *a;
    struct pg_shape *s;
    const uint16_t *columns;
    uint16_t n;
    const struct mf_row *was, *now;
    size_t nwas;
    struct pg_param *params; /* the columns as they are; then, with now, those that get another value */
    uint16_t *at;            /* of each the place in was and now */
    size_t nparams;
};

static int lost(struct pg_applier *a, struct mf_error *err)
{
    if (a->failed.cls == MF_OK) {
        a->failed = *err;
    }
    return -1;
}

static int no_memory(struct work *w, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFMEM", "rows of a cascade into %s.%s are too many", w->s->table->schema,
            w->s->table->name);
    return lost(w->a, err);
}

static bool sets(const struct work *w, uint16_t k)
{
    return w->now && w->now->values[k].kind != MF_UNCHANGED;
}

static int list_params(struct work *w, struct mf_error *err)
{
    w->params = mf_alloc_array(&w->a->scratch, 2u * w->n + 1, sizeof *w->params);
    w->at = mf_alloc_array(&w->a->scratch, 2u * w->n + 1, sizeof *w->at);
    if (!w->params || !w->at) {
        return no_memory(w, err);
    }
    for (uint16_t i = 0; i < 2 * w->n; i++) {
        uint16_t k = i % w->n;
        if (i < w->n || sets(w, k)) {
            w->params[w->nparams] = (struct pg_param){.col = w->columns[k], .old = i < w->n};
            w->at[w->nparams++] = k;
        }
    }
    return 0;
}

/* ---- texts ---- */

static void put_column(struct mf_buf *b, const char *alias, const struct work *w, uint16_t column)
{
    mf_buf_printf(b, "%s.", alias);
    pg_put_ident(b, w->s->table->columns[column].name);
}

/* t.a = v.p1 AND t.b = v.p2 */
static void put_found(struct mf_buf *b, const struct work *w)
{
    for (uint16_t k = 0; k < w->n; k++) {
        mf_buf_puts(b, k ? " AND " : "");
        put_column(b, "t", w, w->columns[k]);
        mf_buf_printf(b, " %s ", w->s->columns[w->columns[k]].equals);
        pg_put_param(b, w->s, &w->params[k], k);
    }
}

/* DELETE FROM t USING v WHERE …, or UPDATE t SET a = v.p2 FROM v WHERE … */
static void put_change(struct mf_buf *b, const struct work *w)
{
    mf_buf_puts(b, w->now ? "UPDATE " : "DELETE FROM ");
    pg_put_only(b, w->s);
    mf_buf_puts(b, " AS t");
    for (size_t i = w->n; i < w->nparams; i++) {
        mf_buf_puts(b, i == w->n ? " SET " : ", ");
        pg_put_ident(b, w->s->table->columns[w->params[i].col].name);
        mf_buf_puts(b, " = ");
        pg_put_param(b, w->s, &w->params[i], i);
    }
    mf_buf_puts(b, w->now ? " FROM " : " USING ");
    pg_put_param_rows(b, w->s, w->params, w->nparams, false);
    mf_buf_puts(b, " WHERE ");
    put_found(b, w);
}

/* Their keys. concat() prints as the type's output does; a cast to text of some types does not. */
static void put_look(struct mf_buf *b, const struct work *w)
{
    const struct mf_table *t = w->s->table;
    mf_buf_puts(b, "SELECT ");
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(b, k ? ", pg_catalog.concat(" : "pg_catalog.concat(");
        put_column(b, "t", w, t->key[k]);
        mf_buf_putc(b, ')');
    }
    mf_buf_puts(b, " FROM ");
    pg_put_only(b, w->s);
    mf_buf_puts(b, " AS t WHERE EXISTS (SELECT FROM "); /* two of `was` may be the same: each row once */
    pg_put_param_rows(b, w->s, w->params, w->n, false);
    mf_buf_puts(b, " WHERE ");
    put_found(b, w);
    mf_buf_printf(b, ") LIMIT %d FOR UPDATE OF t", AT_ONCE);
}

/* Before the consistency point a row may have been copied under the key that a cascade gave it, and stand here under its old one too: that one
 * goes. The table is one of those that are compared afterwards. */
static void put_clear(struct mf_buf *b, const struct work *w)
{
    const struct mf_table *t = w->s->table;
    mf_buf_puts(b, "DELETE FROM ");
    pg_put_only(b, w->s);
    mf_buf_puts(b, " AS t USING ");
    pg_put_param_rows(b, w->s, w->params, w->nparams, false);
    mf_buf_puts(b, ", ");
    pg_put_only(b, w->s);
    mf_buf_puts(b, " AS n WHERE ");
    put_found(b, w);
    for (uint16_t k = 0; k < t->nkey; k++) {
        size_t i = w->n;
        while (i < w->nparams && w->params[i].col != t->key[k]) {
            i++;
        }
        mf_buf_puts(b, " AND ");
        put_column(b, "n", w, t->key[k]);
        mf_buf_printf(b, " %s ", w->s->columns[t->key[k]].equals);
        if (i < w->nparams) {
            pg_put_param(b, w->s, &w->params[i], i);
        } else {
            put_column(b, "t", w, t->key[k]);
        }
    }
    mf_buf_puts(b, " AND NOT (");
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(b, k ? " AND " : "");
        put_column(b, "n", w, t->key[k]);
        mf_buf_printf(b, " %s ", w->s->columns[t->key[k]].equals);
        put_column(b, "t", w, t->key[k]);
    }
    mf_buf_putc(b, ')');
}

/* ---- on their way ---- */

static int bad_value(struct work *w, uint16_t column, const char *why, struct mf_error *err)
{
    const struct mf_table *t = w->s->table;
    mf_fail(err, MF_FATAL, "MFVALUE", "a value that rows of %s.%s refer to cannot be written to column \"%s\": %s",
            t->schema, t->name, t->columns[column].name, why);
    mf_hint(err, "widen the target's column to what the source's is");
    return lost(w->a, err);
}

static struct pg_stmt *stmt_for(struct work *w, struct mf_buf *sql)
{
    for (struct pg_stmt *p = w->s->stmts; p; p = p->next) {
        if (p->kind == PG_STMT_CASCADE && strcmp(p->sql, mf_buf_str(sql)) == 0) {
            return p;
        }
    }
    return pg_stmt_new(w->a, w->s, PG_STMT_CASCADE, sql);
}

/* The first n parameters with it. */
static int send_stmt(struct work *w, struct mf_buf *sql, size_t n, enum pg_expect_kind kind, struct mf_error *err)
{
    struct pg_applier *a = w->a;
    struct pg_expect e = {.kind = kind, .doing = "cascading into", .shape = w->s};
    const struct mf_row **rows = mf_alloc_array(&a->scratch, w->nwas + 1, sizeof *rows);
    size_t *offset = mf_alloc_array(&a->scratch, n + 1, sizeof *offset);
    const char **values = mf_alloc_array(&a->scratch, n, sizeof *values);
    int *lengths = mf_alloc_array(&a->scratch, n, sizeof *lengths);
    if (!rows || !offset || !values || !lengths) {
        return no_memory(w, err);
    }
    if (!pg_sql(sql, err)) {
        return lost(a, err);
    }
    mf_buf_reset(&a->params);
    for (size_t i = 0; i < n; i++) {
        const struct pg_shape_column *c = &w->s->columns[w->params[i].col];
        size_t bad, nrows = w->params[i].old ? w->nwas : 1;
        const char *why = NULL;
        for (size_t r = 0; r < nrows; r++) {
            rows[r] = w->params[i].old ? &w->was[r] : w->now;
        }
        offset[i] = a->params.len;
        if (pg_put_array(&a->params, c->send, &c->made, rows, nrows, w->at[i], &bad, &why) < 0) {
            return bad_value(w, w->params[i].col, why ? why : "it is too large", err);
        }
    }
    offset[n] = a->params.len;
    for (size_t i = 0; i < n; i++) {
        values[i] = a->params.data + offset[i];
        lengths[i] = (int)(offset[i + 1] - offset[i]);
    }
    struct pg_stmt *st = stmt_for(w, sql);
    return pg_send_hashing(a, true, err) < 0 || pg_wire_stmt(a, st, (int)n, values, lengths, &e, err) < 0 ||
                   pg_send_hashing(a, false, err) < 0
               ? -1
               : 0;
}

/* ---- with their keys ---- */

/* Rows as wide as the table: values that a key does not have are MF_UNCHANGED. */
int pg_take_keys(struct pg_applier *a, const struct pg_expect *e, const PGresult *r, struct mf_error *err)
{
    const struct mf_table *t = e->shape->table;
    int n = PQntuples(r);
    bool ok = PQnfields(r) == t->nkey;
    a->nfound = 0;
    a->found = mf_alloc_array(&a->scratch, (size_t)n + 1, sizeof *a->found);
    for (int i = 0; ok && a->found && i < n; i++) {
        struct mf_value *v = mf_alloc_array(&a->scratch, t->ncolumns + 1u, sizeof *v);
        for (uint16_t c = 0; v && c < t->ncolumns; c++) {
            v[c] = (struct mf_value){.kind = MF_UNCHANGED};
        }
        for (uint16_t k = 0; v && k < t->nkey; k++) {
            uint32_t len = (uint32_t)PQgetlength(r, i, k);
            const char *data = mf_memdup_a(&a->scratch, PQgetvalue(r, i, k), len);
            v[t->key[k]] = (struct mf_value){.kind = MF_TEXT, .len = len, .data = data};
            v = data ? v : NULL;
        }
        ok = v != NULL;
        a->found[a->nfound++] = (struct mf_row){.n = t->ncolumns, .values = v};
    }
    return ok && a->found
               ? 0
               : mf_fail(err, MF_FATAL, "MFMEM", "rows of a cascade into %s.%s are too many", t->schema, t->name);
}

/* What they become: only the columns that refer. */
static int made_new(struct work *w, struct mf_row *ret, uint8_t **ret_unchanged, bool *ret_moves, struct mf_error *err)
{
    const struct mf_table *t = w->s->table;
    struct mf_value *v = mf_alloc_array(&w->a->scratch, t->ncolumns + 1u, sizeof *v);
    uint8_t *unchanged = mf_alloc_array(&w->a->scratch, (t->ncolumns + 7u) / 8 + 1, 1);
    if (!v || !unchanged) {
        return no_memory(w, err);
    }
    memset(unchanged, 0xff, (t->ncolumns + 7u) / 8);
    *ret_moves = false;
    for (uint16_t c = 0; c < t->ncolumns; c++) {
        v[c] = (struct mf_value){.kind = MF_UNCHANGED};
    }
    for (uint16_t k = 0; k < w->n; k++) {
        uint16_t c = w->columns[k];
        if (sets(w, k)) {
            v[c] = w->now->values[k];
            unchanged[c / 8] &= (uint8_t) ~(1u << (c % 8));
            *ret_moves = *ret_moves || t->columns[c].in_key;
        }
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    *ret_unchanged = unchanged;
    return 0;
}

static int change_found(struct work *w, struct mf_error *err)
{
    struct pg_applier *a = w->a;
    struct mf_row now;
    uint8_t *unchanged = NULL;
    bool moves = false;
    const struct mf_row **olds = mf_alloc_array(&a->scratch, a->nfound + 1, sizeof *olds);
    const struct mf_row **news = mf_alloc_array(&a->scratch, a->nfound + 1, sizeof *news);
    if (!olds || !news) {
        return no_memory(w, err);
    }
    if (w->now && made_new(w, &now, &unchanged, &moves, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->nfound; i++) {
        olds[i] = &a->found[i];
        news[i] = &now;
    }
    struct pg_rows rows = {.olds = olds, .news = w->now ? news : NULL, .n = a->nfound};
    return pg_send_rows(a, w->s, w->now ? PG_STMT_UPDATE : PG_STMT_DELETE, moves, unchanged, &rows, err);
}

static int by_key(struct work *w, mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err)
{
    struct pg_applier *a = w->a;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    put_look(&sql, w);
    a->nfound = 0;
    if (send_stmt(w, &sql, w->n, PG_EXPECT_KEYS, err) < 0 || pg_wire_sync(a, err) < 0 || change_found(w, err) < 0) {
        return -1;
    }
    *ret_more = a->nfound == AT_ONCE;
    for (size_t i = 0; i < a->nfound; i++) {
        if (emit(ctx, &a->found[i], err) < 0) {
            return lost(a, err);
        }
    }
    return 0;
}

/* ---- all of it ---- */

static int do_it(struct work *w, mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err)
{
    struct pg_applier *a = w->a;
    bool moves = false;
    if (list_params(w, err) < 0) {
        return -1;
    }
    for (size_t i = w->n; i < w->nparams; i++) {
        moves = moves || w->s->table->columns[w->params[i].col].in_key;
    }
    if (a->mode.fuzzy && moves) {
        MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
        put_clear(&sql, w);
        if (send_stmt(w, &sql, w->nparams, PG_EXPECT_OK, err) < 0) {
            return -1;
        }
    }
    if (emit) {
        return by_key(w, emit, ctx, ret_more, err);
    }
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    put_change(&sql, w);
    return send_stmt(w, &sql, w->nparams, PG_EXPECT_OK, err);
}

int pg_window_cascade(struct mf_applier *base, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                      const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp, mf_row_sink *emit,
                      void *ctx, bool *ret_more, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    struct work w = {.a = a, .columns = columns, .n = n, .was = was, .nwas = nwas, .now = now};
    (void)stamp; /* a window is one transaction */
    *ret_more = false;
    if (a->failed.cls != MF_OK) {
        return pg_wire_failed(a, err);
    }
    if (nwas == 0 || n == 0) {
        return 0;
    }
    mf_arena_reset(&a->scratch);
    if (pg_shape_for(a, t, &w.s, err) < 0) {
        return -1;
    }
    int rc = do_it(&w, emit, ctx, ret_more, err);
    rc = rc < 0 ? -1 : a->mode.careful ? pg_wire_sync(a, err) : pg_wire_poll(a, err);
    if (rc < 0 && a->mode.careful && err->cls == MF_ROW) {
        err->cls =
            MF_FATAL; /* each row of a batch was tried alone: it is the cascade that the server refuses, and there is no row to leave out */
        a->failed = *err;
    }
    return rc;
}
