/* A row as the values of a statement. Every statement has its row's stamp as USING TIMESTAMP, so that twice is once and whatever order is the same. */
#include "connector/cassandra/cass.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SQL_MAX ((size_t)1 << 20)

/* Columns that the source computes are not there. */
static uint16_t written(const struct mf_table *t)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        n += !t->columns[i].generated;
    }
    return n;
}

static void put_insert(struct mf_buf *b, const struct mf_table *t, bool ends)
{
    const char *between = " (";
    mf_buf_puts(b, "INSERT INTO ");
    cass_put_name(b, t->schema, t->name);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].generated) {
            mf_buf_puts(b, between);
            cass_put_ident(b, t->columns[i].name);
            between = ", ";
        }
    }
    mf_buf_puts(b, ") VALUES (");
    for (uint16_t i = 0, n = written(t); i < n; i++) {
        mf_buf_puts(b, i ? ", ?" : "?");
    }
    mf_buf_puts(b, ends ? ") USING TIMESTAMP ? AND TTL ?" : ") USING TIMESTAMP ?");
}

static void put_remove(struct mf_buf *b, const struct mf_table *t)
{
    mf_buf_puts(b, "DELETE FROM ");
    cass_put_name(b, t->schema, t->name);
    mf_buf_puts(b, " USING TIMESTAMP ? WHERE ");
    for (uint16_t k = 0; k < t->nkey; k++) {
        mf_buf_puts(b, k ? " AND " : "");
        cass_put_ident(b, t->columns[t->key[k]].name);
        mf_buf_puts(b, " = ?");
    }
}

int cass_statements(struct cass_db *db, const struct mf_table *t, struct cass_statements *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf insert = {.max = SQL_MAX}, remove = {.max = SQL_MAX};
    struct cass_statements s = {.table = t, .ends_at = cass_ends_at(db, t)};
    put_insert(&insert, t, s.ends_at >= 0);
    put_remove(&remove, t);
    if (t->nkey == 0) {
        return mf_fail(err, MF_FATAL, "MFNOKEY", "table %s.%s has no key, and a Cassandra table has one", t->schema,
                       t->name);
    }
    if (!mf_buf_ok(&insert) || !mf_buf_ok(&remove)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "table %s.%s has too many columns for one statement", t->schema,
                       t->name);
    }
    if (mf_cql_prepare(db->cql, mf_buf_str(&insert), &s.insert, err) < 0 ||
        mf_cql_prepare(db->cql, mf_buf_str(&remove), &s.remove, err) < 0) {
        mf_error_prefix(err, "table %s.%s", t->schema, t->name);
        return -1;
    }
    *ret = s;
    return 0;
}

static int put_value(const struct mf_column *c, const struct cql_type *type, const struct mf_value *v,
                     enum cass_nulls nulls, struct mf_buf *out, struct mf_error *err)
{
    switch (v->kind) {
    case MF_UNCHANGED:
        return cql_put_unset(out);
    case MF_NULL:
        return nulls == CASS_NULLS_WRITTEN ? cql_put_null(out) : cql_put_unset(out);
    case MF_BINARY:
        return cql_put_bytes(out, v->data, v->len);
    case MF_REFUSED:
        return mf_fail(err, MF_ROW, "MFVALUE", "%.*s", (int)v->len, v->data);
    case MF_TEXT:
        break;
    }
    if (cql_value_put(type, v->data, v->len, out, err) < 0) {
        mf_error_prefix(err, "column %s", c->name);
        return -1;
    }
    return 0;
}

static int put_stamp(struct mf_buf *out, int64_t stamp)
{
    uint8_t bytes[8];
    mf_put_u64be(bytes, (uint64_t)stamp);
    return cql_put_bytes(out, bytes, sizeof bytes);
}

/* For ever is 0 there. Who calls has looked whether it is over: what has ended since has a second. */
static int put_end(struct cass_db *db, const struct cass_statements *s, const struct mf_row *row, struct mf_buf *out,
                   struct mf_error *err)
{
    int32_t seconds = 0;
    uint8_t bytes[4];
    if (cass_row_ends(db, s, row, &seconds, err) < 0) {
        return -1;
    }
    mf_put_u32be(bytes, seconds < 0 ? 1 : (uint32_t)seconds);
    cql_put_bytes(out, bytes, sizeof bytes);
    return 0;
}

static int bound(const struct mf_table *t, struct mf_buf *out, size_t from, uint16_t n, struct cql_values *ret,
                 struct mf_error *err)
{
    if (!mf_buf_ok(out)) {
        return mf_fail(err, MF_ROW, "MFVALUE", "a row of table %s.%s has more than %zu bytes", t->schema, t->name,
                       out->max);
    }
    *ret = (struct cql_values){(const uint8_t *)out->data + from, out->len - from, n};
    return 0;
}

static int refuse(struct mf_buf *out, size_t from)
{
    out->len = from;
    out->failed = false;
    return -1;
}

int cass_bind_insert(struct cass_db *db, const struct cass_statements *s, const struct mf_row *keys,
                     const struct mf_row *row, enum cass_nulls nulls, int64_t stamp, struct mf_buf *out,
                     struct cql_values *ret, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    const struct cql_columns *params = mf_cql_prepared_params(s->insert);
    size_t from = out->len;
    uint16_t n = 0, nvalues = (uint16_t)(written(t) + 1 + (s->ends_at >= 0));
    if (params->n != nvalues || row->n < t->ncolumns) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s has other columns than it had", t->schema, t->name);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].generated) {
            continue;
        }
        const struct mf_value *v = t->columns[i].in_key ? &keys->values[i] : &row->values[i];
        if (t->columns[i].in_key && !mf_value_has_bytes(v)) {
            mf_fail(err, MF_ROW, "MFVALUE", "column %s is NULL and part of the key", t->columns[i].name);
            return refuse(out, from);
        }
        if (put_value(&t->columns[i], params->columns[n++].type, v, nulls, out, err) < 0 && mf_buf_ok(out)) {
            return refuse(out, from);
        }
    }
    put_stamp(out, stamp);
    if ((s->ends_at >= 0 && put_end(db, s, row, out, err) < 0) || cass_row_fits(t, row, db->row_max, err) < 0 ||
        bound(t, out, from, nvalues, ret, err) < 0) {
        return refuse(out, from);
    }
    return 0;
}

int cass_bind_remove(const struct cass_statements *s, const struct mf_row *keys, int64_t stamp, struct mf_buf *out,
                     struct cql_values *ret, struct mf_error *err)
{
    const struct mf_table *t = s->table;
    const struct cql_columns *params = mf_cql_prepared_params(s->remove);
    size_t from = out->len;
    if (params->n != t->nkey + 1) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s has another key than it had", t->schema, t->name);
    }
    put_stamp(out, stamp);
    for (uint16_t k = 0; k < t->nkey; k++) {
        const struct mf_value *v = &keys->values[t->key[k]];
        if (!mf_value_has_bytes(v)) {
            mf_fail(err, MF_ROW, "MFVALUE", "column %s is NULL and part of the key", t->columns[t->key[k]].name);
            return refuse(out, from);
        }
        if (put_value(&t->columns[t->key[k]], params->columns[k + 1].type, v, CASS_NULLS_LEFT, out, err) < 0 &&
            mf_buf_ok(out)) {
            return refuse(out, from);
        }
    }
    return bound(t, out, from, (uint16_t)(t->nkey + 1), ret, err) < 0 ? refuse(out, from) : 0;
}
