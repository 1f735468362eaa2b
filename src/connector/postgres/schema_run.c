/* Running entries of the dump: one session, one entry, many at once; and what becomes of an error. */
#include "connector/postgres/schema.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define TRIES    20 /* of a statement that lost a deadlock or a lock */
#define MAX_JOBS 64

void pg_schema_label(const struct pg_entry *e, char *out, size_t n)
{
    bool schema = !mf_streq(e->schema, "-");
    snprintf(out, n, "%s %s%s%s", e->type, schema ? e->schema : "", schema ? "." : "", e->name);
}

static int exec_piece(PGconn *c, struct pg_piece p, struct mf_error *err)
{
    MF_CLEANUP_FREE char *sql = mf_xmemdup(p.p, p.n);
    return p.n ? pg_exec(c, err, sql) : 0;
}

/* Statement by statement; -1 with the first error, the others are run all the same. */
static int exec_each(PGconn *c, struct pg_piece p, struct mf_error *err)
{
    int rc = 0;
    for (size_t at = 0; at < p.n;) {
        struct mf_error one = {0};
        size_t n = pg_sql_statement(p.p + at, p.n - at);
        if (exec_piece(c, (struct pg_piece){p.p + at, n}, &one) < 0 && rc == 0) {
            *err = one;
            rc = -1;
        }
        at += n;
    }
    return rc;
}

int pg_schema_session(struct pg_schema_run *r, PGconn **ret, struct mf_error *err)
{
    struct mf_error ignored = {0};
    PG_CLEANUP_CONN PGconn *c = NULL;
    if (pg_connect(r->db, "schema", 0, &c, err) < 0) {
        return -1;
    }
    /* A newer pg_dump sets what an older server does not know: those are ignored. */
    exec_each(c, r->dump.preamble, &ignored);
    if (pg_exec(c, err,
                "SELECT pg_catalog.set_config('check_function_bodies', 'off', false);"
                "SELECT pg_catalog.set_config('maintenance_work_mem', '256MB', false) FROM pg_catalog.pg_settings"
                " WHERE name = 'maintenance_work_mem' AND setting::bigint < 262144") < 0) {
        return -1;
    }
    *ret = MF_STEAL(c);
    return 0;
}

/* ---- owners ---- */

int pg_schema_roles(struct pg_schema_run *r, struct mf_error *err)
{
    PG_LEASE(r->db, l);
    PG_CLEANUP_RESULT PGresult *q = NULL;
    if (pg_lease(l.db, &l.conn, err) < 0 ||
        pg_query(l.conn, &q, err, "SELECT rolname, pg_catalog.pg_has_role(oid, 'USAGE') FROM pg_catalog.pg_roles") <
            0) {
        return -1;
    }
    r->nroles = (size_t)PQntuples(q);
    r->roles = mf_xcalloc(r->nroles + 1, sizeof(*r->roles));
    for (size_t i = 0; i < r->nroles; i++) {
        r->roles[i].name = mf_xstrdup(PQgetvalue(q, (int)i, 0));
        r->roles[i].exists = true;
        r->roles[i].ours = pg_get_bool(q, (int)i, 1);
    }
    return 0;
}

static struct pg_role *role_of(struct pg_schema_run *r, const char *name)
{
    for (size_t i = 0; i < r->nroles; i++) {
        if (mf_streq(r->roles[i].name, name)) {
            return &r->roles[i];
        }
    }
    r->roles = mf_xrealloc(r->roles, (r->nroles + 1) * sizeof(*r->roles));
    r->roles[r->nroles] = (struct pg_role){.name = mf_xstrdup(name)};
    return &r->roles[r->nroles++];
}

void pg_schema_tell_roles(struct pg_schema_run *r)
{
    for (size_t i = 0; i < r->nroles; i++) {
        const struct pg_role *o = &r->roles[i];
        MF_CLEANUP_FREE char *object = mf_xasprintf("role %s", o->name);
        if (o->lacking) {
            MF_CLEANUP_FREE char *remedy =
                mf_xasprintf("CREATE ROLE \"%s\"; then REASSIGN or ALTER … OWNER TO", o->name);
            mf_findings_add(
                r->findings, MF_WARNING, MF_TARGET, "schema-role-missing", object, remedy,
                "%zu objects should belong to it (%s among them) and belong to %s: the target has no such role",
                o->lacking, o->first, r->db->facts.user);
        } else if (o->kept) {
            MF_CLEANUP_FREE char *remedy = mf_xasprintf("GRANT \"%s\" TO \"%s\"", o->name, r->db->facts.user);
            mf_findings_add(r->findings, MF_WARNING, MF_TARGET, "schema-owner", object, remedy,
                            "%zu objects should belong to it (%s among them) and belong to %s, which is not a member",
                            o->kept, o->first, r->db->facts.user);
        }
    }
}

/* Ownership is given only to roles whose rights we have: otherwise we could not go on writing the table. */
static int give_owner(struct pg_schema_run *r, PGconn *c, const struct pg_entry *e)
{
    struct mf_error err = {0};
    char label[256];
    pg_schema_label(e, label, sizeof(label));
    pthread_mutex_lock(&r->lock);
    struct pg_role *o = role_of(r, e->owner);
    bool ours = o->ours;
    pthread_mutex_unlock(&r->lock);
    if (ours && exec_piece(c, e->own, &err) == 0) {
        return 0;
    }
    pthread_mutex_lock(&r->lock);
    o = role_of(r, e->owner);
    o->first = o->first ? o->first : mf_xstrdup(label);
    if (ours) {
        mf_findings_add(r->findings, MF_WARNING, MF_TARGET, "schema-owner", label, "",
                        "it could not be given to %s: %s", e->owner, err.text);
    } else if (o->exists) {
        o->kept++;
    } else {
        o->lacking++;
    }
    pthread_mutex_unlock(&r->lock);
    return 0;
}

/* ---- errors ---- */

static bool code_in(const struct mf_error *err, const char *const *codes)
{
    for (; *codes; codes++) {
        if (mf_streq(err->code, *codes)) {
            return true;
        }
    }
    return false;
}

/* It is there already: made by a stage that was cut short, or before midflight came. */
static bool exists_already(const struct mf_error *err)
{
    static const char *const codes[] = {"42P07", "42710", "42723", "42P06", "42P16", "42701", NULL};
    static const char *const if_said[] = {"42809", "55000", "42P17", NULL};
    return code_in(err, codes) || (code_in(err, if_said) && strstr(err->text, " already "));
}

static bool is_lacking(const struct mf_error *err)
{
    static const char *const codes[] = {"42P01", "42704", "42883", "42703", "3F000", NULL};
    return code_in(err, codes);
}

static bool dispensable(const struct pg_entry *e)
{
    static const char *const types[] = {"COMMENT",       "ACL",         "SECURITY LABEL",
                                        "EVENT TRIGGER", "DEFAULT ACL", "USER MAPPING"};
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (mf_streq(e->type, types[i])) {
            return true;
        }
    }
    return false;
}

static bool depends_on_tables(const struct pg_entry *e)
{
    static const char *const types[] = {"VIEW",     "MATERIALIZED VIEW", "RULE",    "FK CONSTRAINT",
                                        "INDEX",    "TRIGGER",           "POLICY",  "STATISTICS",
                                        "FUNCTION", "PROCEDURE",         "DEFAULT", "SEQUENCE OWNED BY"};
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (mf_streq(e->type, types[i])) {
            return true;
        }
    }
    return false;
}

static void tell(struct pg_schema_run *r, enum mf_severity severity, const char *code, const struct pg_entry *e,
                 const struct mf_error *err)
{
    char label[256];
    pg_schema_label(e, label, sizeof(label));
    pthread_mutex_lock(&r->lock);
    mf_findings_add(r->findings, severity, MF_TARGET, code, label, err->hint, "left out: %s", err->text);
    pthread_mutex_unlock(&r->lock);
}

/* What a failed entry means: 0 it may be left, 1 it may be tried again, -1 the stage fails. */
static int judge(struct pg_schema_run *r, PGconn *c, const struct pg_entry *e, struct mf_error *err)
{
    char label[256];
    bool filtered = r->job->filter && (r->job->filter->ninclude || r->job->filter->nexclude);
    if (PQstatus(c) != CONNECTION_OK) {
        return -1;
    }
    if (exists_already(err)) {
        return 0;
    }
    if (err->cls == MF_RETRY) {
        return 1;
    }
    if (dispensable(e)) {
        bool extension = mf_streq(e->type, "COMMENT") && mf_starts_with(e->name, "EXTENSION ");
        tell(r, extension ? MF_NOTE : MF_WARNING, "schema-left-out", e, err);
        return 0;
    }
    /* A value that an index has no room for: the source's had, where it is of another kind. Only of a key rows cannot be without. */
    if (pg_is_sqlstate(err, "54000") && r->job->stage == MF_SCHEMA_AFTER_SYNC &&
        (mf_streq(e->type, "INDEX") || mf_streq(e->type, "CONSTRAINT"))) {
        tell(r, MF_WARNING, "schema-left-out", e, err);
        return 0;
    }
    if (is_lacking(err) && r->later) {
        err->cls = MF_CONFLICT;
        return -1;
    }
    if (is_lacking(err) && filtered && depends_on_tables(e)) {
        tell(r, MF_WARNING, "schema-left-out", e, err);
        return 0;
    }
    pg_schema_label(e, label, sizeof(label));
    mf_error_prefix(err, "making %s on the target", label);
    return -1;
}

int pg_schema_entry(struct pg_schema_run *r, PGconn *c, const struct pg_entry *e, struct mf_error *err)
{
    struct mf_error ignored = {0};
    bool each = mf_streq(e->type, "ACL") || mf_streq(e->type, "DEFAULT ACL");
    bool left_out = false;
    if (MF_FAULT(err, "postgres.schema_entry")) {
        return -1;
    }
    exec_each(c, e->set, &ignored);
    for (int attempt = 0; e->sql.n; attempt++) {
        if ((each ? exec_each(c, e->sql, err) : exec_piece(c, e->sql, err)) == 0) {
            break;
        }
        int verdict = judge(r, c, e, err);
        if (verdict < 0 || (verdict > 0 && attempt == TRIES)) {
            return -1;
        }
        if (verdict == 0) {
            left_out = !exists_already(err);
            break;
        }
        mf_sleep_us(50 * MF_US_PER_MS * (attempt + 1));
    }
    return e->own.n && !left_out ? give_owner(r, c, e) : 0;
}

/* ---- many at once ---- */

static const struct pg_entry *take(struct pg_schema_run *r)
{
    MF_LOCK_SCOPE(&r->lock);
    return r->failed || r->next == r->nwork ? NULL : r->work[r->next++];
}

static void *worker(void *arg)
{
    struct pg_schema_run *r = arg;
    PG_CLEANUP_CONN PGconn *c = NULL;
    struct mf_error err = {0};
    int rc = pg_schema_session(r, &c, &err);
    const struct pg_entry *e;
    while (rc == 0 && (e = take(r))) {
        rc = pg_schema_entry(r, c, e, &err);
        if (rc < 0 && err.cls == MF_CONFLICT && r->later) {
            MF_LOCK_SCOPE(&r->lock);
            r->later[r->nlater++] = e;
            rc = 0;
        }
    }
    if (rc < 0) {
        MF_LOCK_SCOPE(&r->lock);
        if (!r->failed) {
            r->err = err;
            r->failed = true;
        }
    }
    return NULL;
}

int pg_schema_parallel(struct pg_schema_run *r, const struct pg_entry **work, size_t n, struct mf_error *err)
{
    pthread_t threads[MAX_JOBS];
    size_t jobs = r->job->jobs < 1 ? 1 : (size_t)r->job->jobs, started = 0;
    jobs = jobs > MAX_JOBS ? MAX_JOBS : jobs;
    jobs = jobs > n ? n : jobs;
    r->work = work;
    r->nwork = n;
    r->next = 0;
    r->failed = false;
    while (started < jobs && pthread_create(&threads[started], NULL, worker, r) == 0) {
        started++;
    }
    if (started == 0 && n > 0) {
        worker(r); /* no threads to be had: this one does it */
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    if (r->failed) {
        *err = r->err;
        return -1;
    }
    return 0;
}
