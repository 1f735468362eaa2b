/*
 * What InnoDB does by itself to rows that refer to others, done in words: a cascade is not in the log, and our sessions do not check
 * foreign keys, whose rows may not all be here yet.
 *
 * Where rows further away depend on them, they are read first (and locked), a piece at a time, and changed by their own keys. Where none do, one
 * statement does it all. A row that has what it is to get is not read: it could be equal to what is looked for for ever ('a' that becomes 'A').
 * Rows refer by the origin's equality: by the collation where it is the origin's too, by bytes elsewhere (mf_column.by_bytes). The target has the index that a foreign key needs from the beginning (schema_tables.c).
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define AT_ONCE 2000 /* rows read before they are changed */
#define VALUES  200  /* of one statement */

static int no_value(struct my_applier *a, const struct my_shape *s, const char *why, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFVALUE", "a value that rows of %s.%s refer to cannot be written: %s", s->table->schema,
            s->table->name, why);
    return my_wire_fail(a, err);
}

static int put_value(struct my_applier *a, const struct my_shape *s, uint16_t column, const struct mf_value *v,
                     struct mf_error *err)
{
    const char *why = my_put_stored(&a->sql, &s->columns[column].type, v);
    return why ? no_value(a, s, why, err) : 0;
}

/* `column`, an expression for this one, has the value. */
static int put_equal(struct my_applier *a, const struct my_shape *s, uint16_t column, const char *name, bool exactly,
                     const struct mf_value *v, struct mf_error *err)
{
    const char *why = NULL;
    if (!exactly || v->kind == MF_NULL) {
        mf_buf_printf(&a->sql, "%s = ", name);
        return put_value(a, s, column, v, err);
    }
    why = my_put_exactly(&a->sql, &s->columns[column].type, name, v);
    return why ? no_value(a, s, why, err) : 0;
}

/* (a = 1 AND b = 2) OR (…), or a IN (1, 2) */
static int put_where(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                     const struct mf_row *was, size_t nwas, struct mf_error *err)
{
    const struct mf_column *c = s->table->columns;
    bool list = n == 1 && my_in_list_ok(&s->columns[columns[0]].type) && !c[columns[0]].by_bytes;
    if (list) {
        my_put_ident(&a->sql, c[columns[0]].name);
        mf_buf_puts(&a->sql, " IN (");
    }
    for (size_t i = 0; i < nwas; i++) {
        mf_buf_puts(&a->sql, list ? (i ? "," : "") : i ? " OR (" : "(");
        for (uint16_t k = 0; k < n; k++) {
            MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
            my_put_ident(&name, c[columns[k]].name);
            mf_buf_puts(&a->sql, k ? " AND " : "");
            if ((list ? put_value(a, s, columns[k], &was[i].values[k], err)
                      : put_equal(a, s, columns[k], mf_buf_str(&name), c[columns[k]].by_bytes, &was[i].values[k],
                                  err)) < 0) {
                return -1;
            }
        }
        mf_buf_puts(&a->sql, list ? "" : ")");
    }
    mf_buf_puts(&a->sql, list ? ")" : "");
    return 0;
}

/* DELETE FROM t, or UPDATE t SET a = …: columns whose time the server would put anew keep theirs, as in a cascade. */
static int put_verb(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                    const struct mf_row *now, struct mf_error *err)
{
    mf_buf_puts(&a->sql, now ? "UPDATE " : "DELETE FROM ");
    my_put_table(&a->sql, s->table);
    const char *sep = " SET ";
    for (uint16_t k = 0; now && k < n; k++) {
        if (now->values[k].kind == MF_UNCHANGED) {
            continue;
        }
        mf_buf_puts(&a->sql, sep);
        sep = ", ";
        my_put_ident(&a->sql, s->table->columns[columns[k]].name);
        mf_buf_puts(&a->sql, " = ");
        if (put_value(a, s, columns[k], &now->values[k], err) < 0) {
            return -1;
        }
    }
    for (uint16_t i = 0; now && i < s->table->ncolumns; i++) {
        if (s->columns[i].on_update && !s->columns[i].skip) {
            mf_buf_puts(&a->sql, ", ");
            my_put_ident(&a->sql, s->table->columns[i].name);
            mf_buf_puts(&a->sql, " = ");
            my_put_ident(&a->sql, s->table->columns[i].name);
        }
    }
    mf_buf_puts(&a->sql, " WHERE ");
    return 0;
}

static int change_all(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                      const struct mf_row *was, size_t nwas, const struct mf_row *now, struct mf_error *err)
{
    struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "cascading into", .shape = s};
    return put_verb(a, s, columns, n, now, err) < 0 || put_where(a, s, columns, n, was, nwas, err) < 0
               ? -1
               : my_wire_end(a, &e, err);
}

/* ---- with their keys ---- */

/* AND NOT all columns that change are, byte for byte, as they are to be. NULL is not equal to what rows are looked for by. */
static int put_unchanged_yet(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                             const struct mf_row *now, struct mf_error *err)
{
    size_t start = a->sql.len;
    for (uint16_t k = 0; k < n; k++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        if (now->values[k].kind == MF_UNCHANGED || now->values[k].kind == MF_NULL) {
            continue;
        }
        my_put_ident(&name, s->table->columns[columns[k]].name);
        mf_buf_puts(&a->sql, a->sql.len == start ? " AND NOT (" : " AND ");
        if (put_equal(a, s, columns[k], mf_buf_str(&name), true, &now->values[k], err) < 0) {
            return -1;
        }
    }
    mf_buf_puts(&a->sql, a->sql.len == start ? "" : ")");
    return 0;
}

static int read_keys(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                     const struct mf_row *was, size_t nwas, const struct mf_row *now, MYSQL_RES **ret,
                     struct mf_error *err)
{
    const struct mf_table *t = s->table;
    size_t start = a->sql.len;
    mf_buf_puts(&a->sql, "SELECT ");
    for (uint16_t k = 0; k < t->nkey; k++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        my_put_ident(&name, t->columns[t->key[k]].name);
        mf_buf_puts(&a->sql, k ? ", " : "");
        my_put_read(&a->sql, &s->columns[t->key[k]].type, mf_buf_str(&name));
    }
    mf_buf_puts(&a->sql, " FROM ");
    my_put_table(&a->sql, t);
    mf_buf_puts(&a->sql, " WHERE ");
    if (put_where(a, s, columns, n, was, nwas, err) < 0 || (now && put_unchanged_yet(a, s, columns, n, now, err) < 0)) {
        return -1;
    }
    mf_buf_printf(&a->sql, " LIMIT %d FOR UPDATE", AT_ONCE);
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_ROW_SQL_MAX};
    mf_buf_append(&sql, a->sql.data + start, a->sql.len - start);
    a->sql.len = start;
    if (!mf_buf_ok(&sql)) {
        mf_fail(err, MF_FATAL, "MFBIG", "a statement is too long");
        return my_wire_fail(a, err);
    }
    return my_query(a->conn, ret, err, mf_buf_str(&sql)) < 0 ? my_wire_fail(a, err) : 0;
}

/* A key as a row, in the arena: values that it does not have are MF_UNCHANGED. */
static int take_key(struct my_applier *a, const struct my_shape *s, MYSQL_ROW row, const unsigned long *lengths,
                    struct mf_row *ret, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    struct mf_value *v = mf_alloc_array(&a->scratch, t->ncolumns + 1u, sizeof *v);
    for (uint16_t i = 0; v && i < t->ncolumns; i++) {
        v[i] = (struct mf_value){.kind = MF_UNCHANGED};
    }
    for (uint16_t k = 0; v && k < t->nkey; k++) {
        uint16_t c = t->key[k];
        const char *data = row[k] ? mf_memdup_a(&a->scratch, row[k], lengths[k]) : NULL;
        v[c] = (struct mf_value){.kind = my_type_is_binary(&s->columns[c].type) ? MF_BINARY : MF_TEXT,
                                 .len = (uint32_t)lengths[k],
                                 .data = data};
        v = data ? v : NULL;
    }
    if (!v) {
        mf_fail(err, MF_FATAL, "MFMEM", "rows of a cascade into %s.%s are too large", t->schema, t->name);
        return my_wire_fail(a, err);
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = v};
    return 0;
}

static int update_keys(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                       const struct mf_row *now, const struct mf_row *const *keys, size_t nkeys, struct mf_error *err)
{
    struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "cascading into", .shape = s};
    for (size_t first = 0; first < nkeys;) {
        if (put_verb(a, s, columns, n, now, err) < 0 || my_put_where_keys(a, s, keys, nkeys, &first, err) < 0 ||
            my_wire_end(a, &e, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int change_by_key(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                         const struct mf_row *was, size_t nwas, const struct mf_row *now, mf_row_sink *emit, void *ctx,
                         bool *ret_more, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_wire_flush(a, err) < 0 || read_keys(a, s, columns, n, was, nwas, now, &r, err) < 0) {
        return -1;
    }
    size_t found = (size_t)mysql_num_rows(r), at = 0;
    struct mf_row *rows = mf_alloc_array(&a->scratch, found + 1, sizeof *rows);
    const struct mf_row **keys = mf_alloc_array(&a->scratch, found + 1, sizeof *keys);
    if (!rows || !keys) {
        mf_fail(err, MF_FATAL, "MFMEM", "rows of a cascade are too many");
        return my_wire_fail(a, err);
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r)); at++) {
        keys[at] = &rows[at];
        if (take_key(a, s, row, mysql_fetch_lengths(r), &rows[at], err) < 0) {
            return -1;
        }
    }
    if ((now ? update_keys(a, s, columns, n, now, keys, at, err) : my_delete_rows(a, s, keys, at, true, err)) < 0) {
        return -1;
    }
    *ret_more = at == AT_ONCE;
    for (size_t i = 0; i < at; i++) {
        if (emit(ctx, &rows[i], err) < 0) {
            return -1;
        }
    }
    return my_wire_flush(a, err);
}

/* ---- keys that are taken ---- */

/* Of the row that is looked at; an alias for it would need a database to be selected. */
static void put_old(struct mf_buf *b, const struct mf_table *t, uint16_t column)
{
    my_put_table(b, t);
    mf_buf_putc(b, '.');
    my_put_ident(b, t->columns[column].name);
}

static void put_taken(struct mf_buf *b, const struct mf_table *t, uint16_t column)
{
    mf_buf_puts(b, "n.");
    my_put_ident(b, t->columns[column].name);
}

/* n.a = 1 AND n.b = t.b: the key that a row gets. */
static int put_new_key(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                       const struct mf_row *now, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    for (uint16_t k = 0; k < t->nkey; k++) {
        uint16_t at = 0;
        while (at < n && (columns[at] != t->key[k] || now->values[at].kind == MF_UNCHANGED)) {
            at++;
        }
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1024};
        put_taken(&name, t, t->key[k]);
        mf_buf_puts(&a->sql, k ? " AND " : "");
        if (at == n) {
            mf_buf_printf(&a->sql, "%s = ", mf_buf_str(&name));
            put_old(&a->sql, t, t->key[k]);
            continue;
        }
        if (put_equal(a, s, columns[at], mf_buf_str(&name), t->columns[columns[at]].by_bytes, &now->values[at], err) <
            0) {
            return -1;
        }
    }
    return 0;
}

/* Before the consistency point a row may have been copied under the key that a cascade gave it, and stand here under its old one too: that one goes.
 * (Under a key that the collation takes as equal it is one row.) The table is one of those that are compared afterwards. */
static int clear_taken(struct my_applier *a, const struct my_shape *s, const uint16_t *columns, uint16_t n,
                       const struct mf_row *was, const struct mf_row *now, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    struct my_expect e = {.kind = MY_EXPECT_WRITTEN, .doing = "cascading into", .shape = s};
    bool moves = false;
    for (uint16_t k = 0; k < n; k++) {
        moves = moves || (t->columns[columns[k]].in_key && now->values[k].kind != MF_UNCHANGED);
    }
    if (!a->mode.fuzzy || !moves) {
        return 0;
    }
    mf_buf_puts(&a->sql, "DELETE ");
    my_put_table(&a->sql, t);
    mf_buf_puts(&a->sql, " FROM ");
    my_put_table(&a->sql, t);
    mf_buf_puts(&a->sql, " JOIN ");
    my_put_table(&a->sql, t);
    mf_buf_puts(&a->sql, " n ON ");
    if (put_new_key(a, s, columns, n, now, err) < 0) {
        return -1;
    }
    mf_buf_puts(&a->sql, " WHERE NOT (");
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(&a->sql, k ? " AND " : "");
        put_taken(&a->sql, t, t->key[k]);
        mf_buf_puts(&a->sql, " = ");
        put_old(&a->sql, t, t->key[k]);
    }
    mf_buf_putc(&a->sql, ')');
    for (uint16_t k = 0; k < n; k++) {
        MF_CLEANUP_BUF struct mf_buf name = {.max = 2048};
        put_old(&name, t, columns[k]);
        mf_buf_puts(&a->sql, " AND ");
        if (put_equal(a, s, columns[k], mf_buf_str(&name), t->columns[columns[k]].by_bytes, &was->values[k], err) < 0) {
            return -1;
        }
    }
    return my_wire_end(a, &e, err);
}

int my_window_cascade(struct mf_applier *base, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                      const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp, mf_row_sink *emit,
                      void *ctx, bool *ret_more, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    struct my_shape *s;
    (void)stamp; /* a window is one transaction */
    *ret_more = false;
    if (a->failed.cls != MF_OK) {
        return my_wire_failed(a, err);
    }
    mf_arena_reset(&a->scratch);
    if (my_shape_for(a, t, &s, err) < 0) {
        return -1;
    }
    if (now && clear_taken(a, s, columns, n, was, now, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < nwas; i += VALUES) {
        size_t some = nwas - i < VALUES ? nwas - i : VALUES;
        bool more = false;
        if ((emit ? change_by_key(a, s, columns, n, was + i, some, now, emit, ctx, &more, err)
                  : change_all(a, s, columns, n, was + i, some, now, err)) < 0) {
            return -1;
        }
        *ret_more = *ret_more || more;
    }
    return my_wire_flush(a, err);
}
