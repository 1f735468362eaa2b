/*
 * A schema of another kind of database, made here in three stages, as schema.c does for its own kind.
 *
 *   BEFORE_ROWS  databases; tables with their primary key and the key rows are found by, since InnoDB keeps rows in the order of the one; and with an index
 *                for the column that counts, which may not be without
 *   KEYS         those keys in tables that were there without them
 *   AFTER_SYNC   all other indexes, of many tables at once; foreign keys
 *
 * Each statement is made from the difference to what is here, so a stage that was cut short is simply run again. What is there already is left as it is,
 * whoever made it. An index or a foreign key that the server refuses is told and left out.
 */
#include "connector/mysql/make.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ARENA_MAX ((size_t)256 << 20)

/* ---- what is here ---- */

static bool is_integer(const struct mf_schema_column *c)
{
    return c->type.kind == MF_KIND_INT && c->not_null && !c->generated;
}

/* The first index of the wanted kind that the column leads; -1: none. */
static int led_by(const struct mf_schema_table *t, uint16_t column, bool key)
{
    for (size_t i = 0; i < t->nindexes; i++) {
        const struct mf_schema_index *x = &t->indexes[i];
        if ((x->primary || x->is_key) == key && x->n && x->columns[0].column == column) {
            return (int)i;
        }
    }
    return -1;
}

/* One column of a table may count, and it must lead an index: one that leads a key is taken first. */
static void find_counter(struct my_made *made)
{
    const struct mf_schema_table *t = made->t;
    made->counter = made->counts_by = -1;
    for (int key = 1; key >= 0 && made->counter < 0; key--) {
        for (uint16_t i = 0; i < t->ncolumns && made->counter < 0; i++) {
            int by = t->columns[i].counter && is_integer(&t->columns[i]) ? led_by(t, i, key) : -1;
            if (by >= 0) {
                made->counter = i;
                made->counts_by = key ? -1 : by;
            }
        }
    }
}

int my_make_look(struct my_make_run *m, const struct mf_schema_table *t, struct my_made *ret, struct mf_error *err)
{
    const char *text = NULL;
    *ret = (struct my_made){.t = t};
    snprintf(ret->label, sizeof ret->label, "table %.140s.%.140s", t->schema, t->name);
    ret->widths = mf_alloc_array(&m->run.arena, (size_t)t->ncolumns + 1, sizeof *ret->widths);
    if (!ret->widths) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", ARENA_MAX);
    }
    my_make_widths(t, m->index_bytes, ret->widths);
    find_counter(ret);
    if (my_show_create(m->run.target, "TABLE", t->schema, t->name, 1, &m->run.arena, &text, err) < 0) {
        return -1;
    }
    if (!text) {
        return 0;
    }
    if (!mf_starts_with(text, "CREATE TABLE ")) {
        return mf_fail(err, MF_FATAL, "MFSHAPE", "%s.%s is no table on the target, but a view or a sequence", t->schema,
                       t->name);
    }
    ret->there = true;
    return my_create_split(text, &m->run.arena, &ret->here, err);
}

void my_make_index_name(const struct mf_schema_table *t, const struct mf_schema_index *x,
                        char out[static MF_SCHEMA_NAME])
{
    size_t n = strlen(x->name);
    bool taken = strcasecmp(x->name, "PRIMARY") == 0 || strcasecmp(x->name, "GEN_CLUST_INDEX") == 0 || n == 0 ||
                 x->name[n - 1] == ' ';
    for (const struct mf_schema_index *other = t->indexes; other < x; other++) {
        taken = taken || strcasecmp(other->name, x->name) == 0;
    }
    mf_schema_name(NULL, x->name, taken, out);
}

/* ---- stages ---- */

static int make_database(struct my_make_run *m, const char *name, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *there = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    char label[300];
    mf_buf_puts(&sql, "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ");
    my_put_literal(&sql, name);
    if (my_query(m->run.target, &there, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    if (mysql_num_rows(there) > 0) {
        return 0;
    }
    mf_buf_reset(&sql);
    mf_buf_puts(&sql, "CREATE DATABASE IF NOT EXISTS ");
    my_put_ident(&sql, name);
    mf_buf_printf(&sql, " CHARACTER SET utf8mb4 COLLATE %s", my_make_collation(m->run.db));
    snprintf(label, sizeof label, "database %.250s", name);
    return my_schema_exec(&m->run, m->run.target, label, mf_buf_str(&sql), err);
}

static int make_databases(struct my_make_run *m, struct mf_error *err)
{
    const struct mf_schema *s = m->schema;
    for (size_t i = 0; i < s->ntables; i++) {
        bool done = false;
        for (size_t k = 0; k < i && !done; k++) {
            done = mf_streq(s->tables[k].schema, s->tables[i].schema);
        }
        if (!done && make_database(m, s->tables[i].schema, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int stage(struct my_make_run *m, struct mf_error *err)
{
    int jobs = m->job.jobs > 0 ? m->job.jobs : 1;
    switch (m->job.stage) {
    case MF_SCHEMA_BEFORE_ROWS:
        if (m->run.findings) {
            mf_conversion_tell(&m->run.db->base, m->schema, m->run.findings);
        }
        if (make_databases(m, err) < 0 || my_make_tables(m, err) < 0 || my_work_run(&m->run, jobs, err) < 0) {
            return -1;
        }
        return m->run.plan ? 0 : my_make_check_tables(m, err);
    case MF_SCHEMA_KEYS:
        return my_make_keys(m, err) < 0 ? -1 : my_work_run(&m->run, jobs, err);
    case MF_SCHEMA_AFTER_SYNC:
        /* One at a time: each also locks the table it refers to. */
        return my_make_indexes(m, err) < 0 || my_work_run(&m->run, jobs, err) < 0 || my_make_foreign(m, err) < 0 ||
                       my_work_run(&m->run, 1, err) < 0
                   ? -1
                   : 0;
    }
    return 0;
}

int my_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage at, int jobs,
            struct mf_findings *out, struct mf_buf *plan, struct mf_error *err)
{
    struct my_make_run m = {.job = {.stage = at, .jobs = jobs}, .schema = schema};
    m.run = (struct my_schema_run){.db = my_db_of(db), .job = &m.job, .findings = out, .plan = plan};
    mf_arena_init(&m.run.arena, ARENA_MAX);
    pthread_mutex_init(&m.run.lock, NULL);
    int rc = my_schema_session(m.run.db, &m.run.target, err);
    if (rc == 0) {
        m.index_bytes = my_make_index_bytes(m.run.db, m.run.target, err);
        rc = m.index_bytes ? stage(&m, err) : -1;
    }
    my_finish(m.run.target);
    free(m.run.work);
    mf_arena_free(&m.run.arena);
    pthread_mutex_destroy(&m.run.lock);
    if (rc == 0 && plan && !mf_buf_ok(plan)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is too big to be shown");
    }
    return rc;
}
