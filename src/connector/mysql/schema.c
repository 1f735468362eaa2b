/*
 * The schema in three stages, from what the source's server itself prints (SHOW CREATE …).
 *
 *   BEFORE_ROWS  databases, and tables with their primary key, or with the unique key rows are found by where there is none: InnoDB
 *                keeps a table's rows in the order of that key, so it must be there before they are.
 *   KEYS         that key in a table that was there without it; for tables without any key their plain indexes, because rows are
 *                looked for by all columns there.
 *   AFTER_SYNC   all other indexes, many tables at once; foreign keys; routines, views, events.
 *
 * Each statement is made from the difference to what the target has, so a stage that was cut short is simply run again, and
 * what somebody made by hand is left. MySQL commits each by itself.
 *
 * Triggers are remembered and made in a cutover (schema_triggers.c, triggers.h). Accounts are carried over where that is asked for
 * (schema_accounts.c). Events are made DISABLEd: on a side that takes no writes they
 * would be refused or, worse, write there. The finding says how to enable them.
 */
#include "connector/mysql/schema.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARENA_MAX (256u << 20)

static int compare(const void *key, const void *at)
{
    return strcasecmp(key, *(char *const *)at);
}

static bool has_collation(void *ctx, const char *name)
{
    const struct my_schema_run *r = ctx;
    return bsearch(name, r->collations, r->ncollations, sizeof(char *), compare) != NULL;
}

static const char *default_collation(void *ctx, const char *charset)
{
    const struct my_schema_run *r = ctx;
    for (size_t i = 0; i < r->ncharsets; i++) {
        if (strcasecmp(r->charsets[i].name, charset) == 0) {
            return r->charsets[i].collation;
        }
    }
    return NULL;
}

static int begin(struct my_schema_run *r, struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job,
                 struct mf_error *err)
{
    r->db = my_db_of(db);
    r->src = my_db_of(src);
    r->job = job;
    r->mend = (struct my_mend){.mariadb = r->db->mariadb,
                               .version = r->db->version,
                               .has_collation = has_collation,
                               .default_collation = default_collation,
                               .ctx = r};
    mf_arena_init(&r->arena, ARENA_MAX);
    pthread_mutex_init(&r->lock, NULL);
    if (my_schema_session(r->src, &r->source, err) < 0 || my_schema_session(r->db, &r->target, err) < 0) {
        return -1;
    }
    return my_schema_collations(r, err);
}

static void finish(struct my_schema_run *r)
{
    my_finish(r->source);
    my_finish(r->target);
    for (size_t i = 0; i < r->ncollations; i++) {
        free(r->collations[i]);
    }
    free(r->collations);
    free(r->charsets);
    free(r->work);
    mf_arena_free(&r->arena);
    pthread_mutex_destroy(&r->lock);
}

static int make_database(struct my_schema_run *r, const char *name, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *there = NULL, *q = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    char label[300];
    mf_buf_puts(&sql, "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA"
                      " WHERE SCHEMA_NAME = ");
    my_put_literal(&sql, name);
    if (my_query(r->target, &there, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    if (mysql_num_rows(there) > 0) {
        return 0;
    }
    if (my_query(r->source, &q, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(q);
    if (!row) {
        return mf_fail(err, MF_FATAL, "MFDDL", "the source has no database %s", name);
    }
    mf_buf_reset(&sql);
    mf_buf_puts(&sql, "CREATE DATABASE IF NOT EXISTS ");
    my_put_ident(&sql, name);
    mf_buf_printf(&sql, " CHARACTER SET %s COLLATE ", row[0]);
    my_mend_names(&r->mend, (struct my_piece){row[1], strlen(row[1])}, &sql);
    snprintf(label, sizeof label, "database %.250s", name);
    return my_schema_exec(r, r->target, label, mf_buf_str(&sql), err);
}

static int make_databases(struct my_schema_run *r, struct mf_error *err)
{
    const struct mf_catalog *t = r->job->tables;
    for (size_t i = 0; i < t->n; i++) {
        if (mf_catalog_first_of_schema(t, i) && make_database(r, t->tables[i].schema, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static const char *migration_of(const struct my_db *db)
{
    return db->migration ? db->migration : "";
}

static int stage(struct my_schema_run *r, struct mf_error *err)
{
    int jobs = r->job->jobs > 0 ? r->job->jobs : 1;
    switch (r->job->stage) {
    case MF_SCHEMA_BEFORE_ROWS:
        if (make_databases(r, err) < 0 || my_tables_create(r, err) < 0 || my_work_run(r, jobs, err) < 0) {
            return -1;
        }
        return r->plan ? 0 : my_tables_check(r, err);
    case MF_SCHEMA_KEYS:
        return my_tables_keys(r, err) < 0 ? -1 : my_work_run(r, jobs, err);
    case MF_SCHEMA_AFTER_SYNC:
        /* One at a time: each also locks the table it refers to. */
        if (my_tables_indexes(r, err) < 0 || my_work_run(r, jobs, err) < 0 || my_tables_foreign(r, err) < 0 ||
            my_work_run(r, 1, err) < 0) {
            return -1;
        }
        if (r->job->addition) {
            return 0; /* a cutover learns of their triggers */
        }
        /* Rights on routines need the routines, and a view that reads a view needs its definer. */
        bool twice = r->job->accounts && !r->plan;
        return my_objects_make(r, twice, err) < 0 || my_schema_accounts(r, err) < 0 ||
                       (twice && my_objects_make(r, false, err) < 0) ||
                       my_schema_triggers(r, migration_of(r->db), r->job->tables, NULL, err) < 0
                   ? -1
                   : 0;
    }
    return 0;
}

int my_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                    struct mf_error *err)
{
    struct my_schema_run r = {.findings = out};
    int rc = begin(&r, db, src, job, err);
    rc = rc == 0 ? stage(&r, err) : rc;
    finish(&r);
    return rc;
}

int my_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                   struct mf_error *err)
{
    struct my_schema_run r = {.plan = out};
    int rc = begin(&r, db, src, job, err);
    rc = rc == 0 ? stage(&r, err) : rc;
    finish(&r);
    if (rc == 0 && !mf_buf_ok(out)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is too big to be shown");
    }
    return rc;
}

int my_triggers_learn(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                      const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                      struct mf_error *err)
{
    struct mf_findings *nobody = out ? NULL : mf_findings_new();
    struct my_schema_run r = {.findings = out ? out : nobody};
    int rc = begin(&r, db, src, NULL, err);
    rc = rc == 0 ? my_schema_triggers(&r, pipe->migration, tables, o, err) : rc;
    finish(&r);
    mf_findings_free(nobody);
    return rc;
}

int my_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                         int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    struct mf_findings *remarks = mf_findings_new();
    struct my_schema_run r = {.findings = remarks};
    int rc = begin(&r, db, src, NULL, err);
    rc = rc == 0 ? my_schema_add_here(&r, t, c, err) : rc;
    finish(&r);
    mf_findings_free(remarks);
    return rc;
}
