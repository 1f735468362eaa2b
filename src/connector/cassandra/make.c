/*
 * A schema of another kind of database, made here. All of it is made before the rows: what other engines make later (keys, indexes, foreign keys) is the table
 * itself here or is not at all, which is told.
 *
 * One statement at a time, each followed by the agreement of all nodes: statements that change the schema at the same moment on two nodes make two tables of one
 * name. A stage that was cut short is run again: a table that is there is looked at and left as it is. The keyspace is its owner's to make, since nobody else knows
 * how many copies there should be and where.
 */
#include "connector/cassandra/make.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/cass.h"
#include "connector/cassandra/catalog.h"
#include "connector/conversion.h"
#include "model/schema_build.h"

#include <string.h>

struct making {
    struct cass_db *db;
    const struct mf_schema *schema;
    struct mf_catalog here;
    struct mf_buf *plan;
};

/* ---- keyspaces ---- */

static int exists(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    (void)cells, (void)err;
    *(bool *)ctx = true;
    return 0;
}

int cass_keyspace_there(struct mf_cql *c, const char *keyspace, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 4096};
    bool there = false;
    mf_buf_puts(&q, "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ");
    cass_put_literal(&q, keyspace);
    if (cass_look_buf(c, &q, 1, 0, exists, &there, err)) {
        return -1;
    }
    *ret = there;
    return 0;
}

static int need_keyspace(struct making *m, const char *keyspace, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf remedy = {.max = 1024};
    bool there = false;
    if (cass_keyspace_there(m->db->cql, keyspace, &there, err) < 0) {
        return -1;
    }
    if (there) {
        return 0;
    }
    cass_put_keyspace_remedy(m->db->cql, keyspace, &remedy);
    if (m->plan) {
        mf_buf_printf(m->plan, "-- the keyspace is not there yet; make it as it is to be, for instance:\n-- %s\n",
                      mf_buf_str(&remedy));
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFKEYSPACE", "there is no keyspace %s in the target", keyspace);
    mf_hint(err, "%s", mf_buf_str(&remedy));
    return -1;
}

static int need_keyspaces(struct making *m, struct mf_error *err)
{
    const struct mf_schema *s = m->schema;
    for (size_t i = 0; i < s->ntables; i++) {
        bool done = cass_name_wrong(s->tables[i].schema) != NULL; /* the table's own error tells that */
        for (size_t k = 0; k < i && !done; k++) {
            done = mf_streq(s->tables[k].schema, s->tables[i].schema);
        }
        if (!done && need_keyspace(m, s->tables[i].schema, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- tables ---- */

/* only_look: whether it can be. */
static int make_table(struct making *m, const struct mf_schema_table *t, bool only_look, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf cql = {.max = (size_t)1 << 20};
    const struct mf_table *here = mf_catalog_find(&m->here, t->schema, t->name);
    if (cass_put_table(t, &cql, err) < 0) {
        return -1;
    }
    if (here || only_look) {
        return here ? cass_table_usable(t, here, err) : 0;
    }
    if (m->plan) {
        mf_buf_printf(m->plan, "%s;\n\n", mf_buf_str(&cql));
        return 0;
    }
    if (MF_FAULT(err, "cassandra.schema_entry") ||
        mf_cql_schema(m->db->cql, mf_buf_str(&cql), CASS_AGREE_MS, err) < 0) {
        mf_error_prefix(err, "making table %s.%s", t->schema, t->name);
        return -1;
    }
    return 0;
}

static int make_tables(struct making *m, struct mf_error *err)
{
    static const struct mf_filter all;
    if (need_keyspaces(m, err) < 0 || cass_make_types(m->db->cql, m->schema, true, NULL, err) < 0 ||
        cass_catalog_read(m->db->cql, &all, false, &m->here, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < 2 * m->schema->ntables; i++) { /* none is made where one cannot be */
        bool only_look = i < m->schema->ntables;
        if (i == m->schema->ntables && cass_make_types(m->db->cql, m->schema, false, m->plan, err) < 0) {
            return -1;
        }
        if (make_table(m, &m->schema->tables[i % m->schema->ntables], only_look, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Of all together: one that somebody else made meanwhile is seen here. */
static int check_tables(struct making *m, struct mf_error *err)
{
    mf_catalog_free(&m->here);
    m->here = (struct mf_catalog){0};
    if (mf_cql_agree(m->db->cql, CASS_AGREE_MS, err) < 0 ||
        cass_catalog_read(m->db->cql, NULL, false, &m->here, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < m->schema->ntables; i++) {
        const struct mf_schema_table *t = &m->schema->tables[i];
        const struct mf_table *here = mf_catalog_find(&m->here, t->schema, t->name);
        if (!here) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "table %s.%s is not on the target", t->schema, t->name);
        }
        if (cass_table_usable(t, here, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int cass_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
              struct mf_findings *out, struct mf_buf *plan, struct mf_error *err)
{
    struct making m = {.db = cass_db_of(db), .schema = schema, .plan = plan};
    (void)jobs;
    if (stage == MF_SCHEMA_AFTER_SYNC && out) {
        cass_tell_indexes(schema, out);
    }
    if (stage != MF_SCHEMA_BEFORE_ROWS) {
        return 0;
    }
    if (out) {
        mf_conversion_tell(db, schema, out);
        cass_tell_columns(schema, out);
    }
    int rc = make_tables(&m, err);
    rc = rc == 0 && !plan ? check_tables(&m, err) : rc;
    mf_catalog_free(&m.here);
    if (rc == 0 && plan && !mf_buf_ok(plan)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is too big to be shown");
    }
    return rc;
}

/* ---- a column that comes later ---- */

int cass_make_add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                         int64_t stamp, struct mf_error *err)
{
    (void)stamp; /* nothing is written to the rows that are there */
    struct cass_db *d = cass_db_of(db);
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    MF_CLEANUP_BUF struct mf_buf cql = {.max = 1u << 16};
    struct mf_table *here = NULL;
    mf_arena_init(&arena, (size_t)16 << 20);
    if (mf_conversion_carriable(t, c, err) < 0 || cass_table_read(d->cql, t->schema, t->name, &arena, &here, err) < 0) {
        return -1;
    }
    int at = mf_table_column(here, c->name);
    if (at >= 0) {
        return cass_type_fits(here->columns[at].type, &c->type)
                   ? 0
                   : mf_conversion_refuse(t, c, "the target has a column of that name with another type", err);
    }
    if (c->defaulted == MF_DEFAULT_VALUE) {
        return mf_conversion_refuse(
            t, c, "its default gave every row that was there a value, and Cassandra has no defaults", err);
    }
    mf_buf_puts(&cql, "ALTER TABLE ");
    cass_put_name(&cql, t->schema, t->name);
    mf_buf_puts(&cql, " ADD ");
    cass_put_ident(&cql, c->name);
    mf_buf_printf(&cql, " %s", cass_column_type(c));
    if (!mf_buf_ok(&cql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the statement that adds column \"%s\" is too long", c->name);
    }
    if (mf_cql_schema(d->cql, mf_buf_str(&cql), CASS_AGREE_MS, err) < 0) {
        mf_error_prefix(err, "adding column \"%s\" to %s.%s", c->name, t->schema, t->name);
        return -1;
    }
    return 0;
}

void cass_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                    struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    (void)db;
    const char *type = cass_column_type(c);
    mf_buf_puts(ret_type, type);
    cass_type_loss(type, &c->type, cass_in_key(t, c->name), ret_loss);
}
