/* Indexes and foreign keys of the tables that migrate, in the model's terms. Lists of columns come as names with a byte 1 behind each. */
#include "connector/postgres/model.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEY 64 /* columns of an index; the server's own bound is 32 */

/* The next name of a list, copied to out; false at its end. */
static bool next_name(const char **p, char *out, size_t n)
{
    const char *end = strchr(*p, 1);
    size_t len = end ? (size_t)(end - *p) : 0;
    if (!end || len >= n) {
        return false;
    }
    memcpy(out, *p, len);
    out[len] = 0;
    *p = end + 1;
    return true;
}

/* The ordinals of the columns that a list names, at most MAX_KEY; 0 when one of them is not (any more) a column of the table. */
static uint16_t columns_of(const struct mf_table *own, const char *list, uint16_t out[static MAX_KEY])
{
    char name[256];
    uint16_t n = 0;
    while (n < MAX_KEY && next_name(&list, name, sizeof name)) {
        int at = mf_table_column(own, name);
        if (at < 0) {
            return 0;
        }
        out[n++] = (uint16_t)at;
    }
    return *list ? 0 : n;
}

/* ---- indexes ---- */

enum { I_TABLE, I_NAME, I_METHOD, I_UNIQUE, I_PRIMARY, I_WHY, I_NULLS_EQUAL, I_COLUMNS, I_OPTIONS, I_TEXT };

static const char indexes_fmt[] =
    "SELECT i.indrelid, ic.relname, am.amname, i.indisunique, i.indisprimary,"
    " CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype = 'x')"
    "   THEN 'an exclusion constraint' WHEN i.indexprs IS NOT NULL THEN 'an index on an expression'"
    "  WHEN i.indpred IS NOT NULL THEN 'a partial index' WHEN am.amname NOT IN ('btree', 'hash')"
    "   THEN 'an index of kind ' || am.amname WHEN NOT i.indimmediate THEN 'deferrable' ELSE '' END,"
    " %s, (SELECT pg_catalog.string_agg(a.attname || E'\\x01', '' ORDER BY u.ord)"
    "  FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, ord)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum WHERE u.ord <= %s),"
    " pg_catalog.array_to_string(i.indoption::int2[], ' '), pg_catalog.pg_get_indexdef(i.indexrelid)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid"
    " JOIN pg_catalog.pg_am am ON am.oid = ic.relam WHERE i.indrelid IN (%s) AND i.indisvalid"
    " ORDER BY i.indrelid, i.indisprimary DESC, ic.relname";

static void take_index(struct pg_describing *d, const PGresult *r, int row, const struct mf_table *own,
                       struct mf_schema_table *t, bool *has_key)
{
    uint16_t at[MAX_KEY];
    const char *list = PQgetvalue(r, row, I_COLUMNS), *why = PQgetvalue(r, row, I_WHY);
    bool deferrable = mf_streq(why, "deferrable");
    uint16_t n = columns_of(own, list, at);
    if (n == 0 || (*why && !deferrable)) {
        mf_schema_leave(&d->b, *why ? why : "an index on columns that do not migrate", PQgetvalue(r, row, I_TEXT),
                        "index %s of table %s.%s", PQgetvalue(r, row, I_NAME), t->schema, t->name);
        return;
    }
    if (deferrable) {
        mf_schema_leave(
            &d->b, "checked at the end of a transaction here (DEFERRABLE); it is made as one that is checked at once",
            PQgetvalue(r, row, I_TEXT), "constraint %s of table %s.%s", PQgetvalue(r, row, I_NAME), t->schema, t->name);
    }
    struct mf_schema_index_column *columns = mf_schema_array(&d->b, n, sizeof *columns);
    const char *options = PQgetvalue(r, row, I_OPTIONS);
    for (uint16_t i = 0; columns && i < n; i++) {
        char *end;
        long option = strtol(options, &end, 10);
        options = end;
        columns[i] = (struct mf_schema_index_column){.column = at[i], .descending = option & 1};
    }
    struct mf_schema_index *x = &t->indexes[t->nindexes];
    *x = (struct mf_schema_index){.name = mf_schema_keep(&d->b, PQgetvalue(r, row, I_NAME)),
                                  .unique = pg_get_bool(r, row, I_UNIQUE),
                                  .primary = pg_get_bool(r, row, I_PRIMARY),
                                  .nulls_equal = pg_get_bool(r, row, I_NULLS_EQUAL),
                                  .n = n,
                                  .columns = columns};
    if (columns) {
        x->is_key = !*has_key && !deferrable && mf_schema_is_key(own, x);
        *has_key = *has_key || x->is_key;
        t->nindexes++;
    }
}

int pg_describe_indexes(struct pg_describing *d, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    int version = PQserverVersion(d->c);
    if (pg_queryf(d->c, &r, err, indexes_fmt, version >= 150000 ? "i.indnullsnotdistinct" : "false",
                  version >= 110000 ? "i.indnkeyatts" : "i.indnatts", d->oids) < 0) {
        return -1;
    }
    for (int i = 0, next; i < PQntuples(r) && !d->b.full; i = next) {
        uint32_t oid = pg_get_oid(r, i, I_TABLE);
        int64_t at = pg_described_table(d, oid);
        bool has_key = false;
        for (next = i; next < PQntuples(r) && pg_get_oid(r, next, I_TABLE) == oid;) {
            next++;
        }
        struct mf_schema_table *t = at < 0 ? NULL : &d->b.schema->tables[at];
        if (!t || !(t->indexes = mf_schema_array(&d->b, (size_t)(next - i), sizeof *t->indexes))) {
            continue;
        }
        for (int k = i; k < next; k++) {
            take_index(d, r, k, &d->b.own->tables[at], t, &has_key);
        }
    }
    return 0;
}

/* ---- foreign keys ---- */

enum { F_TABLE, F_NAME, F_SCHEMA, F_REFERS, F_COLUMNS, F_THEIRS, F_ON_DELETE, F_ON_UPDATE, F_TEXT };

static const char names_of[] = "(SELECT pg_catalog.string_agg(a.attname || E'\\x01', '' ORDER BY u.ord)"
                               " FROM pg_catalog.unnest(%s) WITH ORDINALITY AS u(attnum, ord)"
                               " JOIN pg_catalog.pg_attribute a ON a.attrelid = %s AND a.attnum = u.attnum)";

static enum mf_fk_action action_of(const char *letter)
{
    switch (*letter) {
    case 'r':
        return MF_FK_RESTRICT;
    case 'c':
        return MF_FK_CASCADE;
    case 'n':
        return MF_FK_SET_NULL;
    case 'd':
        return MF_FK_SET_DEFAULT;
    default:
        return MF_FK_NO_ACTION;
    }
}

static void take_foreign(struct pg_describing *d, const PGresult *r, int row, const struct mf_table *own,
                         struct mf_schema_table *t)
{
    uint16_t at[MAX_KEY];
    char name[256];
    uint16_t n = columns_of(own, PQgetvalue(r, row, F_COLUMNS), at), k = 0;
    const char **theirs = mf_schema_array(&d->b, n, sizeof *theirs);
    uint16_t *ours = mf_schema_array(&d->b, n, sizeof *ours);
    if (!theirs || !ours) {
        return;
    }
    for (const char *list = PQgetvalue(r, row, F_THEIRS); k < n && next_name(&list, name, sizeof name); k++) {
        theirs[k] = mf_schema_keep(&d->b, name);
        ours[k] = at[k];
    }
    if (n == 0 || k < n) {
        mf_schema_leave(&d->b, "a foreign key on columns that do not migrate", PQgetvalue(r, row, F_TEXT),
                        "foreign key %s of table %s.%s", PQgetvalue(r, row, F_NAME), t->schema, t->name);
        return;
    }
    t->foreign[t->nforeign++] =
        (struct mf_schema_foreign){.name = mf_schema_keep(&d->b, PQgetvalue(r, row, F_NAME)),
                                   .ref_schema = mf_schema_keep(&d->b, PQgetvalue(r, row, F_SCHEMA)),
                                   .ref_table = mf_schema_keep(&d->b, PQgetvalue(r, row, F_REFERS)),
                                   .n = n,
                                   .columns = ours,
                                   .ref_columns = theirs,
                                   .on_delete = action_of(PQgetvalue(r, row, F_ON_DELETE)),
                                   .on_update = action_of(PQgetvalue(r, row, F_ON_UPDATE))};
}

int pg_describe_foreign(struct pg_describing *d, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = PG_SQL_MAX};
    mf_buf_puts(&sql, "SELECT k.conrelid, k.conname, n.nspname, c.relname, ");
    mf_buf_printf(&sql, names_of, "k.conkey", "k.conrelid");
    mf_buf_puts(&sql, ", ");
    mf_buf_printf(&sql, names_of, "k.confkey", "k.confrelid");
    mf_buf_printf(&sql,
                  ", k.confdeltype, k.confupdtype, pg_catalog.pg_get_constraintdef(k.oid)"
                  " FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.confrelid"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                  " WHERE k.contype = 'f' AND k.conrelid IN (%s) ORDER BY k.conrelid, k.conname",
                  d->oids);
    if (!pg_sql(&sql, err) || pg_query(d->c, &r, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    for (int i = 0, next; i < PQntuples(r) && !d->b.full; i = next) {
        uint32_t oid = pg_get_oid(r, i, F_TABLE);
        int64_t at = pg_described_table(d, oid);
        for (next = i; next < PQntuples(r) && pg_get_oid(r, next, F_TABLE) == oid;) {
            next++;
        }
        struct mf_schema_table *t = at < 0 ? NULL : &d->b.schema->tables[at];
        if (!t || !(t->foreign = mf_schema_array(&d->b, (size_t)(next - i), sizeof *t->foreign))) {
            continue;
        }
        for (int k = i; k < next; k++) {
            take_foreign(d, r, k, &d->b.own->tables[at], t);
        }
    }
    return 0;
}
