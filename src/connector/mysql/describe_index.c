/* Indexes and foreign keys of the tables that migrate, in the model's terms. A row of information_schema is one column of one of them; they come in order. */
#include "connector/mysql/model.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

#define MAX_PARTS 64 /* columns of an index or a key: the server's own bound is 16, MariaDB's 32 */

/* ---- indexes ---- */

enum { K_SCHEMA, K_TABLE, K_INDEX, K_NOT_UNIQUE, K_SEQ, K_COLUMN, K_PREFIX, K_TYPE, K_ORDER };

static void more_indexes(struct my_describing *d, struct mf_schema_table *t)
{
    struct mf_schema_index *all = mf_schema_array(&d->b, t->nindexes * 2 + 4, sizeof *all);
    if (all && t->nindexes) {
        memcpy(all, t->indexes, t->nindexes * sizeof *all);
    }
    t->indexes = all ? all : t->indexes;
}

/* Grows by doubling: 4, 4 + 8, … */
static bool is_full_at(size_t n)
{
    size_t cap = 0;
    while (cap < n) {
        cap = cap * 2 + 4;
    }
    return cap == n;
}

static struct mf_schema_index *begin_index(struct my_describing *d, struct mf_schema_table *t, MYSQL_ROW row)
{
    if (is_full_at(t->nindexes)) {
        more_indexes(d, t);
    }
    struct mf_schema_index_column *columns = mf_schema_array(&d->b, MAX_PARTS, sizeof *columns);
    if (d->b.full) {
        return NULL;
    }
    struct mf_schema_index *x = &t->indexes[t->nindexes++];
    *x = (struct mf_schema_index){.name = mf_schema_keep(&d->b, row[K_INDEX]),
                                  .unique = my_get_i64(row, K_NOT_UNIQUE) == 0,
                                  .primary = strcasecmp(row[K_INDEX], "PRIMARY") == 0,
                                  .columns = columns};
    return x;
}

static void take_part(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own, MYSQL_ROW row)
{
    bool special = row[K_TYPE] && (strcmp(row[K_TYPE], "FULLTEXT") == 0 || strcmp(row[K_TYPE], "SPATIAL") == 0 ||
                                   strcmp(row[K_TYPE], "RTREE") == 0);
    int at = row[K_COLUMN] ? mf_table_column(own, row[K_COLUMN]) : -1;
    bool first = my_get_i64(row, K_SEQ) == 1;
    struct mf_schema_index *x = t->nindexes ? &t->indexes[t->nindexes - 1] : NULL;
    if (!row[K_INDEX]) {
        return;
    }
    if (special) {
        if (first) {
            mf_schema_leave(&d->b, "the other side has no such index", row[K_TYPE], "index %s of table %s.%s",
                            row[K_INDEX], t->schema, t->name);
        }
        return;
    }
    if (first || !x || !mf_streq(x->name, row[K_INDEX])) {
        x = begin_index(d, t, row);
    }
    if (x && x->n < MAX_PARTS) { /* a part that is no column is told below, when the index is whole */
        struct mf_schema_index_column *columns = (struct mf_schema_index_column *)(uintptr_t)x->columns;
        columns[x->n++] =
            (struct mf_schema_index_column){.column = at < 0 ? UINT16_MAX : (uint16_t)at,
                                            .prefix = row[K_PREFIX] ? (uint32_t)my_get_i64(row, K_PREFIX) : 0,
                                            .descending = row[K_ORDER] && row[K_ORDER][0] == 'D'};
    }
}

/* Those on expressions are taken out, and the key is found. */
static void settle(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own)
{
    size_t n = 0;
    bool has_key = false;
    for (size_t i = 0; i < t->nindexes; i++) {
        struct mf_schema_index x = t->indexes[i];
        bool plain = true;
        for (uint16_t k = 0; k < x.n; k++) {
            plain = plain && x.columns[k].column != UINT16_MAX;
        }
        if (!plain) {
            mf_schema_leave(&d->b, "it is on an expression", NULL, "index %s of table %s.%s", x.name, t->schema,
                            t->name);
            continue;
        }
        x.is_key = !has_key && mf_schema_is_key(own, &x);
        has_key = has_key || x.is_key;
        t->indexes[n++] = x;
    }
    t->nindexes = n;
}

int my_describe_indexes(struct my_describing *d, struct mf_error *err)
{
    if (my_describe_rows(d,
                         "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART,"
                         " INDEX_TYPE, COLLATION FROM information_schema.STATISTICS",
                         "TABLE_SCHEMA", " ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
                         take_part, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < d->b.own->n; i++) {
        settle(d, &d->b.schema->tables[i], &d->b.own->tables[i]);
    }
    return 0;
}

/* ---- foreign keys ---- */

enum { F_SCHEMA, F_TABLE, F_NAME, F_COLUMN, F_REF_SCHEMA, F_REF_TABLE, F_REF_COLUMN, F_DELETE, F_UPDATE, F_SEQ };

static enum mf_fk_action action_of(const char *words)
{
    static const struct {
        const char *words;
        enum mf_fk_action action;
    } actions[] = {{"RESTRICT", MF_FK_RESTRICT},
                   {"CASCADE", MF_FK_CASCADE},
                   {"SET NULL", MF_FK_SET_NULL},
                   {"SET DEFAULT", MF_FK_SET_DEFAULT}};
    for (size_t i = 0; words && i < MF_ARRAY_LEN(actions); i++) {
        if (strcmp(words, actions[i].words) == 0) {
            return actions[i].action;
        }
    }
    return MF_FK_NO_ACTION;
}

static struct mf_schema_foreign *begin_foreign(struct my_describing *d, struct mf_schema_table *t, MYSQL_ROW row)
{
    if (is_full_at(t->nforeign)) {
        struct mf_schema_foreign *all = mf_schema_array(&d->b, t->nforeign * 2 + 4, sizeof *all);
        if (all && t->nforeign) {
            memcpy(all, t->foreign, t->nforeign * sizeof *all);
        }
        t->foreign = all ? all : t->foreign;
    }
    uint16_t *columns = mf_schema_array(&d->b, MAX_PARTS, sizeof *columns);
    const char **theirs = mf_schema_array(&d->b, MAX_PARTS, sizeof *theirs);
    if (d->b.full) {
        return NULL;
    }
    struct mf_schema_foreign *f = &t->foreign[t->nforeign++];
    *f = (struct mf_schema_foreign){.name = mf_schema_keep(&d->b, row[F_NAME]),
                                    .ref_schema = mf_schema_keep(&d->b, row[F_REF_SCHEMA]),
                                    .ref_table = mf_schema_keep(&d->b, row[F_REF_TABLE]),
                                    .columns = columns,
                                    .ref_columns = theirs,
                                    .on_delete = action_of(row[F_DELETE]),
                                    .on_update = action_of(row[F_UPDATE])};
    return f;
}

static void take_foreign(struct my_describing *d, struct mf_schema_table *t, const struct mf_table *own, MYSQL_ROW row)
{
    int at = row[F_COLUMN] ? mf_table_column(own, row[F_COLUMN]) : -1;
    struct mf_schema_foreign *f = t->nforeign ? &t->foreign[t->nforeign - 1] : NULL;
    if (!row[F_NAME] || !row[F_REF_TABLE] || !row[F_REF_SCHEMA] || !row[F_REF_COLUMN] || at < 0) {
        return;
    }
    if (my_get_i64(row, F_SEQ) == 1 || !f || !mf_streq(f->name, row[F_NAME])) {
        f = begin_foreign(d, t, row);
    }
    if (f && f->n < MAX_PARTS) {
        uint16_t *columns = (uint16_t *)(uintptr_t)f->columns;
        const char **theirs = (const char **)(uintptr_t)f->ref_columns;
        columns[f->n] = (uint16_t)at;
        theirs[f->n++] = mf_schema_keep(&d->b, row[F_REF_COLUMN]);
    }
}

int my_describe_foreign(struct my_describing *d, struct mf_error *err)
{
    return my_describe_rows(d,
                            "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME,"
                            " k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME,"
                            " r.DELETE_RULE, r.UPDATE_RULE, k.ORDINAL_POSITION"
                            " FROM information_schema.KEY_COLUMN_USAGE k"
                            " JOIN information_schema.REFERENTIAL_CONSTRAINTS r"
                            " ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
                            " AND r.TABLE_NAME = k.TABLE_NAME",
                            "k.CONSTRAINT_SCHEMA",
                            " AND k.REFERENCED_TABLE_NAME IS NOT NULL"
                            " ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
                            take_foreign, err);
}
