/*
 * A schema of another kind of database, made here in three stages.
 *
 *   BEFORE_ROWS  schemas; tables without any index, so that rows come fast
 *   KEYS         of each table the primary key, or else the unique index rows are found by
 *   AFTER_SYNC   all other indexes, many at once; what an enumeration allows; foreign keys
 *
 * Each statement is made from the difference to what is here and runs in a transaction of its own, so a stage that was cut short is simply run again. What
 * is there already is left as it is, whoever made it.
 *
 * Constraints that rows do not meet are made NOT VALID and told: the rows are the source's, and it lives with them.
 */
#include "connector/postgres/make.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)256 << 20)

void pg_make_tell(struct pg_make_run *m, enum mf_severity severity, const char *code, const struct mf_schema_table *t,
                  const char *remedy, const char *fmt, ...)
{
    if (!m->out) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *reason = mf_xvasprintf(fmt, ap);
    va_end(ap);
    MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
    mf_findings_add(m->out, severity, MF_TARGET, code, object, remedy, "%s", reason);
}

/* ---- statements ---- */

static int too_big(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", ARENA_MAX);
}

int pg_make_add(struct pg_make_run *m, const char *type, const struct mf_schema_table *t, const char *name,
                struct mf_buf *sql, struct mf_error *err)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->list = mf_xreallocarray(m->list, m->cap, sizeof *m->list);
    }
    char *text = mf_buf_ok(sql) ? mf_memdup_a(&m->arena, mf_buf_str(sql), sql->len) : NULL;
    const char *kept = mf_strdup_a(&m->arena, name);
    if (!text || !kept) {
        return too_big(err);
    }
    m->list[m->n++] = (struct pg_entry){
        .type = type, .name = kept, .schema = t ? t->schema : "-", .owner = "-", .sql = {text, sql->len}};
    mf_buf_reset(sql);
    return 0;
}

static void into_plan(struct pg_make_run *m)
{
    for (size_t i = 0; i < m->n; i++) {
        mf_buf_append(m->plan, m->list[i].sql.p, m->list[i].sql.n);
        mf_buf_puts(m->plan, ";\n");
    }
    m->n = 0;
}

int pg_make_flush(struct pg_make_run *m, bool parallel, struct mf_error *err)
{
    int rc = 0;
    if (m->plan) {
        into_plan(m);
        return 0;
    }
    if (parallel) {
        MF_CLEANUP_FREE const struct pg_entry **work = mf_xcalloc(m->n + 1, sizeof *work);
        for (size_t i = 0; i < m->n; i++) {
            work[i] = &m->list[i];
        }
        rc = pg_schema_parallel(&m->run, work, m->n, err);
    } else {
        for (size_t i = 0; i < m->n && rc == 0; i++) {
            rc = pg_schema_entry(&m->run, m->c, &m->list[i], err);
        }
    }
    m->n = 0;
    return rc;
}

/* For what the rows are (23), or what the objects are (42): not for what the role may not. */
static bool is_refusal(const struct mf_error *err)
{
    return (mf_starts_with(err->code, "23") || mf_starts_with(err->code, "42")) && !pg_is_sqlstate(err, "42501");
}

int pg_make_try(struct pg_make_run *m, const char *otherwise, bool *ret_refused, struct mf_error *err)
{
    *ret_refused = false;
    if (m->plan) {
        into_plan(m);
        return 0;
    }
    struct pg_entry e = m->list[--m->n];
    if (pg_schema_entry(&m->run, m->c, &e, err) == 0) {
        return 0;
    }
    if (PQstatus(m->c) != CONNECTION_OK || !is_refusal(err)) {
        return -1;
    }
    *ret_refused = true;
    if (!otherwise) {
        return 0;
    }
    struct mf_error again = {0};
    e.sql = (struct pg_piece){otherwise, strlen(otherwise)};
    if (pg_schema_entry(&m->run, m->c, &e, &again) < 0) {
        *err = again;
        return -1;
    }
    return 0;
}

/* ---- what is here ---- */

static int read_there(struct pg_make_run *m, struct mf_error *err)
{
    if (pg_query(m->c, &m->relations, err,
                 "SELECT n.nspname, c.relname, coalesce(t.relname, ''), coalesce(i.indisprimary, false)"
                 " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                 " LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid"
                 " LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid WHERE " PG_USER_NAMESPACE
                 " ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"") < 0) {
        return -1;
    }
    return pg_query(m->c, &m->constraints, err,
                    "SELECT n.nspname, c.relname, k.conname FROM pg_catalog.pg_constraint k"
                    " JOIN pg_catalog.pg_class c ON c.oid = k.conrelid"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " PG_USER_NAMESPACE
                    " ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\", k.conname COLLATE \"C\"");
}

/* The row whose first n columns are these; -1: none. */
static int find(const PGresult *r, const char *const *key, int n)
{
    int low = 0, high = PQntuples(r);
    while (low < high) {
        int mid = low + (high - low) / 2, d = 0;
        for (int k = 0; k < n && d == 0; k++) {
            d = strcmp(PQgetvalue(r, mid, k), key[k]);
        }
        if (d == 0) {
            return mid;
        }
        if (d < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return -1;
}

static int find_relation(const struct pg_make_run *m, const char *schema, const char *name)
{
    const char *const key[] = {schema, name};
    return find(m->relations, key, 2);
}

bool pg_make_table_there(const struct pg_make_run *m, const char *schema, const char *name)
{
    return find_relation(m, schema, name) >= 0;
}

bool pg_make_has_primary(const struct pg_make_run *m, const struct mf_schema_table *t)
{
    for (int i = 0; i < PQntuples(m->relations); i++) {
        if (pg_get_bool(m->relations, i, 3) && mf_streq(PQgetvalue(m->relations, i, 2), t->name) &&
            mf_streq(PQgetvalue(m->relations, i, 0), t->schema)) {
            return true;
        }
    }
    return false;
}

bool pg_make_constraint_there(const struct pg_make_run *m, const struct mf_schema_table *t, const char *name)
{
    const char *const key[] = {t->schema, t->name, name};
    return find(m->constraints, key, 3) >= 0;
}

/* Another object of this run, or to come, has it. */
static bool is_taken(const struct pg_make_run *m, const struct mf_schema_table *t, const char *name)
{
    if (mf_schema_find(m->schema, t->schema, name)) {
        return true;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (mf_streq(m->list[i].name, name) && mf_streq(m->list[i].schema, t->schema)) {
            return true;
        }
    }
    return false;
}

int pg_make_index_name(struct pg_make_run *m, const struct mf_schema_table *t, const char *name,
                       char out[static MF_SCHEMA_NAME], bool *ret_there, struct mf_error *err)
{
    char names[2][MF_SCHEMA_NAME];
    *ret_there = false;
    for (int i = 0; i < 2; i++) {
        mf_schema_name(t->name, name, i, names[i]);
        int at = find_relation(m, t->schema, names[i]);
        if (at >= 0 && mf_streq(PQgetvalue(m->relations, at, 2), t->name)) {
            mf_strlcpy(out, names[i], MF_SCHEMA_NAME);
            *ret_there = true;
            return 0;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (find_relation(m, t->schema, names[i]) < 0 && !is_taken(m, t, names[i])) {
            mf_strlcpy(out, names[i], MF_SCHEMA_NAME);
            return 0;
        }
    }
    mf_fail(err, MF_FATAL, "MFDDL", "index %s of table %s.%s cannot be made: other objects are named %s and %s", name,
            t->schema, t->name, names[0], names[1]);
    mf_hint(err, "rename them on the target");
    return -1;
}

/* ---- stages ---- */

static int stage(struct pg_make_run *m, struct mf_error *err)
{
    switch (m->job.stage) {
    case MF_SCHEMA_BEFORE_ROWS:
        if (m->out) {
            mf_conversion_tell(&m->run.db->base, m->schema, m->out);
        }
        if (pg_make_tables(m, err) < 0 || pg_make_flush(m, false, err) < 0) {
            return -1;
        }
        return m->plan ? 0 : pg_make_check_tables(m, err);
    case MF_SCHEMA_KEYS:
        return pg_make_keys(m, true, err) < 0 ? -1 : pg_make_flush(m, true, err);
    case MF_SCHEMA_AFTER_SYNC:
        return pg_make_keys(m, false, err) < 0 || pg_make_flush(m, true, err) < 0 || pg_make_checks(m, err) < 0 ||
                       pg_make_foreign(m, err) < 0
                   ? -1
                   : 0;
    }
    return 0;
}

int pg_make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage at, int jobs,
            struct mf_findings *out, struct mf_buf *plan, struct mf_error *err)
{
    struct pg_make_run m = {.job = {.stage = at, .jobs = jobs}, .schema = schema, .out = out, .plan = plan};
    struct mf_findings *unused = out ? NULL : mf_findings_new();
    m.run = (struct pg_schema_run){.db = pg_db_of(db), .job = &m.job, .findings = out ? out : unused};
    pthread_mutex_init(&m.run.lock, NULL);
    mf_arena_init(&m.arena, ARENA_MAX);
    int rc = pg_schema_session(&m.run, &m.c, err) < 0 || read_there(&m, err) < 0 ? -1 : stage(&m, err);
    PQclear(m.relations);
    PQclear(m.constraints);
    pg_finish(m.c);
    free(m.list);
    mf_arena_free(&m.arena);
    pthread_mutex_destroy(&m.run.lock);
    mf_findings_free(unused);
    if (rc == 0 && plan && !mf_buf_ok(plan)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema is too big to be shown");
    }
    return rc;
}
