/*
 * The schema in three stages, from one dump of the source.
 *
 *   BEFORE_ROWS  all that pg_dump puts before the data: schemas, types, functions, tables, views.
 *   KEYS         of what it puts after: the one unique index of each table by which replay finds rows.
 *   AFTER_SYNC   the rest: constraints and indexes in parallel, then the attaching of partitions' indexes, then foreign keys
 *                in parallel, then everything else in pg_dump's order, then materialised views are filled.
 *
 * Each object is made in a transaction of its own and one that is there already is left, so a stage that was cut short
 * is simply run again. The dump is written by the first stage and kept, so that the stages fit together even
 * if the source's schema changes in between.
 */
#include "connector/postgres/schema.h"
#include "connector/postgres/truncate.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/config_table.h"
#include "connector/postgres/pg_program.h"
#include "connector/postgres/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void finish(struct pg_schema_run *r)
{
    for (size_t i = 0; i < r->nroles; i++) {
        free(r->roles[i].name);
        free(r->roles[i].first);
    }
    free(r->roles);
    free(r->keys);
    pg_dump_free(&r->dump);
    pthread_mutex_destroy(&r->lock);
}

static char *dump_path(const char *dir, bool addition)
{
    return mf_xasprintf("%s/%s.sql", dir, addition ? "schema-added" : "schema");
}

void pg_dump_forget(const struct pg_db *db)
{
    for (int addition = 0; db->state_dir && addition < 2; addition++) {
        MF_CLEANUP_FREE char *file = dump_path(db->state_dir, addition);
        remove(file);
    }
}

/* The dump's file: kept in the state directory, or a temporary one for this call alone. */
static int open_dump(struct pg_schema_run *r, bool keep, struct mf_error *err)
{
    bool lasting = keep && r->db->state_dir;
    char dir[] = "/tmp/midflight-schema-XXXXXX";
    if (!lasting && !mkdtemp(dir)) {
        return mf_fail(err, MF_FATAL, "MFFILE", "cannot make a directory in /tmp");
    }
    MF_CLEANUP_FREE char *file = dump_path(lasting ? r->db->state_dir : dir, r->job->addition);
    struct stat st;
    bool fresh = !lasting || r->job->stage == MF_SCHEMA_BEFORE_ROWS || stat(file, &st) < 0;
    int rc = fresh ? pg_dump_write(r->src, r->db, r->job, file, err) : 0;
    rc = rc == 0 ? pg_dump_read(file, &r->dump, err) : rc;
    if (!lasting) {
        remove(file);
        remove(dir);
    }
    return rc;
}

static bool is_key(const struct pg_schema_run *r, const struct pg_entry *e)
{
    bool index = mf_streq(e->type, "INDEX"), constraint = mf_streq(e->type, "CONSTRAINT");
    for (size_t i = 0; (index || constraint) && i < r->nkeys; i++) {
        if (e->oid == (constraint ? r->keys[i].constraint : r->keys[i].index) && e->oid) {
            return true;
        }
    }
    return false;
}

static bool wanted(const struct pg_schema_run *r, const struct pg_entry *e)
{
    if (mf_starts_with(e->type, "PUBLICATION") || mf_starts_with(e->type, "SUBSCRIPTION") ||
        mf_starts_with(e->type, "DATABASE") ||
        (mf_streq(e->type, "TRIGGER") &&
         (strstr(e->name, " midflight_gate_") || strstr(e->name, " " PG_TRUNCATE_TRIGGER))) ||
        e->sql.n + e->own.n == 0) {
        return false;
    }
    /* A partition that comes later has its rows and indexes before it is attached: attaching makes those it lacks, under names of its own. */
    bool late = e->post || (r->job->addition && mf_streq(e->type, "TABLE ATTACH"));
    switch (r->job->stage) {
    case MF_SCHEMA_BEFORE_ROWS:
        return !late;
    case MF_SCHEMA_KEYS:
        return is_key(r, e);
    case MF_SCHEMA_AFTER_SYNC:
        return late && !is_key(r, e);
    }
    return false;
}

/* The stage's entries of these types (NULL: of all others than those named so far). */
static size_t choose(const struct pg_schema_run *r, const char *const *types, bool others, const struct pg_entry **out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->dump.n; i++) {
        const struct pg_entry *e = &r->dump.entries[i];
        bool named = false;
        for (size_t k = 0; types[k]; k++) {
            named = named || mf_streq(e->type, types[k]);
        }
        if (named != others && wanted(r, e)) {
            out[n++] = e;
        }
    }
    return n;
}

static int in_order(struct pg_schema_run *r, PGconn *c, const struct pg_entry **list, size_t n, struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (pg_schema_entry(r, c, list[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static const char *const none[] = {NULL};
static const char *const built[] = {"INDEX", "CONSTRAINT", "CHECK CONSTRAINT", NULL};
static const char *const partitions[] = {"TABLE ATTACH", NULL};
static const char *const attached[] = {"INDEX ATTACH", NULL};
static const char *const foreign[] = {"FK CONSTRAINT", NULL};
static const char *const heavy[] = {"INDEX",         "CONSTRAINT", "CHECK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH",
                                    "FK CONSTRAINT", NULL};

/* Tables were analyzed when their rows were there. What indexes on expressions and extended statistics need is gathered now. */
static int analyze(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_query(c, &q, err,
                 "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
                 " ON n.oid = c.relnamespace WHERE c.oid IN (SELECT indrelid FROM pg_catalog.pg_index"
                 " WHERE indexprs IS NOT NULL UNION SELECT stxrelid FROM pg_catalog.pg_statistic_ext)") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(q); i++) {
        const struct mf_table *t = mf_catalog_find(r->job->tables, PQgetvalue(q, i, 0), PQgetvalue(q, i, 1));
        MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
        mf_buf_puts(&sql, "ANALYZE ");
        if (t) {
            pg_put_table(&sql, t);
        }
        if (t && pg_exec(c, err, mf_buf_str(&sql)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int after_sync(struct pg_schema_run *r, PGconn *c, const struct pg_entry **list, struct mf_error *err)
{
    const struct pg_entry **later = mf_xcalloc(r->dump.n + 1, sizeof(struct pg_entry *));
    r->later = later;
    r->nlater = 0;
    int rc = pg_schema_parallel(r, list, choose(r, built, false, list), err);
    rc = rc == 0 ? in_order(r, c, list, choose(r, partitions, false, list), err) : rc;
    rc = rc == 0 ? in_order(r, c, list, choose(r, attached, false, list), err) : rc;
    rc = rc == 0 ? pg_schema_parallel(r, list, choose(r, foreign, false, list), err) : rc;
    rc = rc == 0 ? in_order(r, c, list, choose(r, heavy, true, list), err) : rc;
    r->later = NULL;
    rc = rc == 0 ? in_order(r, c, later, r->nlater, err) : rc;
    free(later);
    rc = rc == 0 ? analyze(r, c, err) : rc;
    return rc == 0 && !r->job->addition ? pg_schema_refresh(r, c, err) : rc;
}

static int stage(struct pg_schema_run *r, PGconn *c, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct pg_entry **list = mf_xcalloc(r->dump.n + 1, sizeof(*list));
    int rc = 0;
    switch (r->job->stage) {
    case MF_SCHEMA_BEFORE_ROWS:
        rc = r->job->addition ? pg_schema_namespaces(r, c, err) : 0;
        rc = rc == 0 ? in_order(r, c, list, choose(r, none, true, list), err) : rc;
        rc = rc == 0 ? pg_schema_check_tables(r, c, err) : rc;
        rc = rc == 0 ? pg_config_empty(c, r->job->tables, err) : rc;
        break;
    case MF_SCHEMA_KEYS:
        rc = pg_schema_parallel(r, list, choose(r, none, true, list), err);
        break;
    case MF_SCHEMA_AFTER_SYNC:
        rc = after_sync(r, c, list, err);
        break;
    }
    return rc == 0 ? pg_schema_identities(r, c, err) : rc;
}

int pg_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                    struct mf_error *err)
{
    struct pg_schema_run r = {.db = pg_db_of(db), .src = pg_db_of(src), .job = job, .findings = out};
    PG_CLEANUP_CONN PGconn *c = NULL;
    pthread_mutex_init(&r.lock, NULL);
    int rc = open_dump(&r, true, err);
    rc = rc == 0 ? pg_schema_keys(&r, err) : rc;
    rc = rc == 0 ? pg_schema_roles(&r, err) : rc;
    rc = rc == 0 ? pg_schema_session(&r, &c, err) : rc;
    rc = rc == 0 ? stage(&r, c, err) : rc;
    if (rc == 0) {
        pg_schema_tell_roles(&r);
        if (job->stage == MF_SCHEMA_AFTER_SYNC) {
            pg_dump_forget(r.db); /* user mappings may have passwords in it */
        }
    }
    finish(&r);
    return rc;
}

int pg_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                   struct mf_error *err)
{
    struct pg_schema_run r = {.db = pg_db_of(db), .src = pg_db_of(src), .job = job};
    pthread_mutex_init(&r.lock, NULL);
    int rc = open_dump(&r, false, err);
    rc = rc == 0 ? pg_schema_keys(&r, err) : rc;
    for (size_t i = 0; rc == 0 && i < r.dump.n; i++) {
        const struct pg_entry *e = &r.dump.entries[i];
        if (!wanted(&r, e)) {
            continue;
        }
        mf_buf_append(out, e->sql.p, e->sql.n);
        mf_buf_puts(out, e->sql.n ? "\n" : "");
        if (e->own.n) {
            mf_buf_append(out, e->own.p, e->own.n);
            mf_buf_puts(out, "\n");
        }
    }
    finish(&r);
    if (rc == 0 && !mf_buf_ok(out)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is too big to be shown");
    }
    return rc;
}
