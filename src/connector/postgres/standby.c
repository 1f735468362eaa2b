/* See standby.h: the setting, changed and put back. */
#include "connector/postgres/standby.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAKEN_UP_MS 5000 /* a reload, until a session shows it */
#define POLL_US     (5 * MF_US_PER_MS)

void pg_standby_name(const struct mf_pipe_id *pipe, char ret[PG_STANDBY_NAME])
{
    snprintf(ret, PG_STANDBY_NAME, "midflight %s stream %s", pipe->migration, pg_direction(pipe->direction));
}

int pg_standby_read(PGconn *c, struct pg_standby_setting *ret, struct mf_error *err)
{
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT setting, coalesce(sourcefile LIKE '%postgresql.auto.conf', false),"
                    " source = 'default' OR (sourcefile IS NOT NULL AND sourcefile NOT LIKE '%postgresql.auto.conf'),"
                    " ((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)");
    if (PQserverVersion(c) >= 150000) {
        mf_buf_puts(&b, " OR pg_catalog.has_parameter_privilege('synchronous_standby_names', 'ALTER SYSTEM')");
    }
    /* What is said on the server's command line comes before ALTER SYSTEM. */
    mf_buf_puts(&b, ") AND pg_catalog.has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE')"
                    " AND source <> 'command line'"
                    " FROM pg_catalog.pg_settings WHERE name = 'synchronous_standby_names'");
    if (pg_query(c, &r, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    if (PQntuples(r) != 1) {
        return mf_fail(err, MF_FATAL, "MFNOROW", "the server has no synchronous_standby_names");
    }
    ret->text = mf_xstrdup(PQgetvalue(r, 0, 0));
    ret->parsed = pg_standby_names_parse(ret->text, &ret->names);
    ret->may = pg_get_bool(r, 0, 3);
    mf_strlcpy(ret->from, pg_get_bool(r, 0, 1) ? "auto" : pg_get_bool(r, 0, 2) ? "file" : "?", sizeof ret->from);
    return 0;
}

/* NULL: as if ALTER SYSTEM had never been said. */
static int change(PGconn *c, const char *value, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "ALTER SYSTEM ");
    if (value) {
        mf_buf_puts(&b, "SET synchronous_standby_names = ");
        pg_put_literal(&b, value);
    } else {
        mf_buf_puts(&b, "RESET synchronous_standby_names");
    }
    return !pg_sql(&b, err) || pg_exec(c, err, mf_buf_str(&b)) < 0 || MF_FAULT(err, "postgres.standby_changed")
    || pg_exec(c, err, "SELECT pg_catalog.pg_reload_conf()") < 0 ? -1 : 0;
}

/* Until this session shows it; *ret: it does. */
static int taken_up(PGconn *c, const char *value, bool *ret, struct mf_error *err)
{
    int64_t until = mf_now_us() + TAKEN_UP_MS * MF_US_PER_MS;
    for (;;) {
        PG_CLEANUP_RESULT PGresult *r = NULL;
        if (pg_query(c, &r, err, "SELECT pg_catalog.current_setting('synchronous_standby_names')") < 0) {
            return -1;
        }
        *ret = strcmp(PQgetvalue(r, 0, 0), value) == 0;
        if (*ret || mf_now_us() > until) {
            return 0;
        }
        mf_sleep_us(POLL_US);
    }
}

/* ---- what we remember ---- */

struct memory {
    bool there;
    char *was, *from, *set;
};

static void memory_free_p(struct memory *m)
{
    free(m->was);
    free(m->from);
    free(m->set);
}

static int remember(PGconn *c, const struct mf_pipe_id *pipe, const struct pg_standby_setting *s, const char *set,
                    struct mf_error *err)
{
    const char *const rows[][2] = {{"was", s->text}, {"from", s->from}, {"set", set}};
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    mf_buf_puts(&b, "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ");
    for (size_t i = 0; i < MF_ARRAY_LEN(rows); i++) {
        mf_buf_puts(&b, i ? ", (" : "(");
        pg_put_literal(&b, pipe->migration);
        mf_buf_printf(&b, ", 'standby names', '%s', ", rows[i][0]);
        pg_put_literal(&b, rows[i][1]);
        mf_buf_putc(&b, ')');
    }
    mf_buf_puts(&b, " ON CONFLICT (migration, kind, object) DO UPDATE SET value = EXCLUDED.value");
    return !pg_sql(&b, err) ? -1 : pg_exec(c, err, mf_buf_str(&b));
}

static int recall(PGconn *c, const struct mf_pipe_id *pipe, struct memory *ret, struct mf_error *err)
{
    const char *const values[] = {pipe->migration};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    bool exists = false;
    if (pg_book_exists(c, &exists, err) < 0 ||
        (exists && pg_query_params(c, &r, err,
                                   "SELECT object, value FROM midflight.settings WHERE migration = $1"
                                   " AND kind = 'standby names' AND object IN ('was', 'from', 'set') ORDER BY object",
                                   1, values) < 0)) {
        return -1;
    }
    ret->there = exists && PQntuples(r) == 3;
    if (ret->there) {
        ret->from = mf_xstrdup(PQgetvalue(r, 0, 1));
        ret->set = mf_xstrdup(PQgetvalue(r, 1, 1));
        ret->was = mf_xstrdup(PQgetvalue(r, 2, 1));
    }
    return 0;
}

static int forget(PGconn *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    const char *const values[] = {pipe->migration};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    return pg_query_params(c, &r, err, "DELETE FROM midflight.settings WHERE migration = $1 AND kind = 'standby names'",
                           1, values);
}

/* ---- putting back ---- */

/* As it was, and from where it came. */
static int put_back(PGconn *c, const struct memory *m, struct mf_error *err)
{
    bool same = false;
    if (mf_streq(m->from, "auto")) {
        return change(c, m->was, err) < 0 || taken_up(c, m->was, &same, err) < 0 ? -1 : 0;
    }
    if (change(c, NULL, err) < 0 || taken_up(c, m->was, &same, err) < 0) {
        return -1;
    }
    /* Where it came from was not shown to us: it was ALTER SYSTEM's after all. */
    return same || !mf_streq(m->from, "?") ? 0 : change(c, m->was, err);
}

/* Somebody has changed it since, and our name is in there still: nobody answers to it any more. */
static int take_out(PGconn *c, struct pg_standby_setting *now, const char *name, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    bool same;
    pg_standby_names_remove(&now->names, name);
    pg_standby_names_put(&b, &now->names);
    const char *value = pg_sql(&b, err);
    return !value || change(c, value, err) < 0 || taken_up(c, value, &same, err) < 0 ? -1 : 0;
}

static int end(PGconn *c, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err)
{
    char name[PG_STANDBY_NAME];
    MF_CLEANUP(memory_free_p) struct memory m = {0};
    MF_CLEANUP(pg_standby_setting_free_p) struct pg_standby_setting now = {0};
    mf_strlcpy(ret_said, "", n);
    if (recall(c, pipe, &m, err) < 0) {
        return -1;
    }
    if (!m.there) {
        return 0;
    }
    if (pg_standby_read(c, &now, err) < 0) {
        return -1;
    }
    pg_standby_name(pipe, name);
    /* As it was: the run before ours may have died before the server was told of what it had written. */
    if (strcmp(now.text, m.set) == 0 || strcmp(now.text, m.was) == 0) {
        if (put_back(c, &m, err) < 0) {
            return -1;
        }
    } else if (now.parsed && pg_standby_names_priority(&now.names, name) > 0 &&
               pg_standby_names_others(&now.names, name) < PG_STANDBYS_MAX) {
        snprintf(ret_said, n,
                 "synchronous_standby_names was changed meanwhile, to %.150s: midflight takes its own name out and "
                 "leaves the rest as it is",
                 now.text);
        if (take_out(c, &now, name, err) < 0) {
            return -1;
        }
    } else {
        snprintf(ret_said, n, "synchronous_standby_names was changed meanwhile, to '%.150s', and is left as it is",
                 now.text);
    }
    return MF_FAULT(err, "postgres.standby_restored")
    ? -1 : forget(c, pipe, err);
}

int pg_waits_end(struct mf_db *base, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err)
{
    PG_LEASE(pg_db_of(base), l);
    if (pg_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (end(l.conn, pipe, ret_said, n, err) < 0) {
        mf_error_prefix(err, "taking midflight out of synchronous_standby_names, without which commits on %s wait",
                        l.db->facts.host);
        mf_hint(err, "as a superuser: ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();");
        return -1;
    }
    return 0;
}

/* ---- beginning ---- */

static int name_us(PGconn *c, const struct mf_pipe_id *pipe, const struct pg_standby_setting *s, const char *name,
                   struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX};
    struct pg_standby_names with = s->names;
    char said[8];
    bool same = false;
    if (!pg_standby_names_add(&with, name)) {
        return 0;
    }
    pg_standby_names_put(&b, &with);
    const char *value = pg_sql(&b, err);
    if (!value || remember(c, pipe, s, value, err) < 0 || MF_FAULT(err, "postgres.standby_remembered") ||
        change(c, value, err) < 0 || taken_up(c, value, &same, err) < 0) {
        return -1;
    }
    return same ? 0 : end(c, pipe, said, sizeof said, err); /* the command line comes before it */
}

int pg_standby_begin(struct pg_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    char name[PG_STANDBY_NAME];
    PG_LEASE(db, l);
    MF_CLEANUP(pg_standby_setting_free_p) struct pg_standby_setting s = {0};
    pg_standby_name(pipe, name);
    if (pg_lease(db, &l.conn, err) < 0 || pg_standby_read(l.conn, &s, err) < 0) {
        return -1;
    }
    bool there = s.parsed && pg_standby_names_priority(&s.names, name) > 0;
    if (there || !s.may || !s.parsed || !pg_standby_names_all(&s.names)) {
        return 0;
    }
    if (name_us(l.conn, pipe, &s, name, err) < 0) {
        mf_error_prefix(err, "naming the stream in synchronous_standby_names");
        return -1;
    }
    return 0;
}

void pg_standby_statement(const struct pg_standby_setting *s, const char *name, bool with, char *ret, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = PG_SQL_MAX}, q = {.max = PG_SQL_MAX};
    struct pg_standby_names names = s->names;
    pg_standby_names_remove(&names, name);
    if (with) {
        pg_standby_names_add(&names, name);
    }
    pg_standby_names_put(&b, &names);
    pg_put_literal(&q, mf_buf_str(&b));
    bool reset = !with && names.n == 0;
    snprintf(ret, n, "ALTER SYSTEM %s synchronous_standby_names%s%s; SELECT pg_reload_conf();", reset ? "RESET" : "SET",
             reset ? "" : " = ", reset ? "" : mf_buf_str(&q));
}
