/*
 * Routines, views, events. Each is made with the settings it was made with on the source, which are part of what it means: SQL mode, time zone
 * (events), and the character set its literals were written in. One that the target refuses is told, with the server's words, and left out.
 */
#include "connector/mysql/schema.h"

#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define OUR_MODE "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES" /* connect.c */

enum kind { PROCEDURE, FUNCTION, VIEW, EVENT };
static const struct {
    const char *what;
    int text, mode, zone,
        charset; /* columns of SHOW CREATE; -1: it has none. The collation follows the character set */
} kinds[] = {
    [PROCEDURE] = {"PROCEDURE", 2, 1, -1, 3},
    [FUNCTION] = {"FUNCTION", 2, 1, -1, 3},
    [VIEW] = {"VIEW", 1, -1, -1, 2},
    [EVENT] = {"EVENT", 3, 1, 2, 4},
};

struct object {
    enum kind kind;
    const char *schema, *name;
    const char *text, *mode, *zone, *charset, *collation; /* of the source's SHOW CREATE */
    char label[300];
    bool done, told; /* what there is to say about it has been said */
};

struct objects {
    struct object *all;
    size_t n, cap;
    bool again; /* what is left out will be tried, and told, another time */
};

/* ---- reading ---- */

static int take_text(struct my_schema_run *r, MYSQL_ROW row, int column, const char **ret, struct mf_error *err)
{
    *ret = "";
    if (column < 0 || !row[column]) {
        return 0;
    }
    *ret = mf_strdup_a(&r->arena, row[column]);
    return *ret ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", r->arena.max_bytes);
}

static void left_out(struct my_schema_run *r, const struct object *o, const char *why)
{
    my_schema_tell(r, MF_WARNING, "schema-object", o->label, "make it on the target by hand", "it was not made: %s",
                   why);
}

/* *ret_seen false: it may not be read, which is told. */
static int read_object(struct my_schema_run *r, struct object *o, bool again, bool *ret_seen, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_printf(&sql, "SHOW CREATE %s ", kinds[o->kind].what);
    my_put_name(&sql, o->schema, o->name);
    *ret_seen = false;
    if (my_query(r->source, &q, err, mf_buf_str(&sql)) < 0) {
        if (mysql_errno(r->source) >= 2000) {
            return -1;
        }
        if (!again) {
            left_out(r, o, err->text);
        }
        return 0;
    }
    MYSQL_ROW row = mysql_fetch_row(q);
    if (!row || !row[kinds[o->kind].text]) {
        if (!again) {
            left_out(r, o, "the account on the source may not read it");
        }
        return 0;
    }
    *ret_seen = true;
    int charset = kinds[o->kind].charset;
    return take_text(r, row, kinds[o->kind].text, &o->text, err) < 0 ||
                   take_text(r, row, kinds[o->kind].mode, &o->mode, err) < 0 ||
                   take_text(r, row, kinds[o->kind].zone, &o->zone, err) < 0 ||
                   take_text(r, row, charset, &o->charset, err) < 0 ||
                   take_text(r, row, charset + 1, &o->collation, err) < 0
               ? -1
               : 0;
}

static const char *list_sql(enum kind kind)
{
    switch (kind) {
    case PROCEDURE:
        return "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE'"
               " AND ROUTINE_SCHEMA = ";
    case FUNCTION:
        return "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION'"
               " AND ROUTINE_SCHEMA = ";
    case VIEW:
        return "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'VIEW' AND TABLE_SCHEMA = ";
    case EVENT:
        return "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ";
    }
    return "";
}

static int list(MYSQL *c, enum kind kind, const char *schema, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    mf_buf_puts(&sql, list_sql(kind));
    my_put_literal(&sql, schema);
    mf_buf_puts(&sql, " ORDER BY 1");
    return my_query(c, ret, err, mf_buf_str(&sql));
}

static bool is_listed(MYSQL_RES *q, const char *name)
{
    mysql_data_seek(q, 0);
    for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
        if (strcasecmp(row[0], name) == 0) {
            return true;
        }
    }
    return false;
}

static int collect(struct my_schema_run *r, enum kind kind, const char *schema, struct objects *objects,
                   struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *theirs = NULL, *ours = NULL;
    if (list(r->source, kind, schema, &theirs, err) < 0 || list(r->target, kind, schema, &ours, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(theirs));) {
        struct object o = {.kind = kind, .schema = schema};
        bool seen = false;
        if ((r->job->filter && !mf_filter_match(r->job->filter, schema, row[0])) || is_listed(ours, row[0])) {
            continue;
        }
        snprintf(o.label, sizeof o.label, "%s %.130s.%.130s", kinds[kind].what, schema, row[0]);
        if (!(o.name = mf_strdup_a(&r->arena, row[0]))) {
            return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", r->arena.max_bytes);
        }
        if (read_object(r, &o, objects->again, &seen, err) < 0) {
            return -1;
        }
        if (!seen) {
            continue;
        }
        if (objects->n == objects->cap) {
            objects->cap = objects->cap ? objects->cap * 2 : 32;
            objects->all = mf_xreallocarray(objects->all, objects->cap, sizeof o);
        }
        objects->all[objects->n++] = o;
    }
    return 0;
}

/* ---- making ---- */

static void put_settings(struct my_schema_run *r, const struct object *o, struct mf_buf *sql, struct mf_buf *modes)
{
    char told[300];
    my_mend_modes(&r->mend, o->mode, modes, told, sizeof told);
    if (told[0] && !o->told) {
        my_schema_tell(r, MF_NOTE, "schema-sql-mode", o->label, "", "its SQL modes %s do not exist on the target",
                       told);
    }
    mf_buf_puts(sql, "SET SESSION sql_mode = ");
    my_put_literal(sql, kinds[o->kind].mode < 0 ? OUR_MODE : mf_buf_str(modes));
    mf_buf_puts(sql, ", SESSION time_zone = ");
    my_put_literal(sql, *o->zone ? o->zone : "+00:00");
    if (*o->charset && my_said_in_utf8(o->text, o->charset)) {
        mf_buf_printf(sql, ", character_set_client = %s, collation_connection = ", o->charset);
        my_mend_names(&r->mend, (struct my_piece){o->collation, strlen(o->collation)}, sql);
    } else if (*o->charset && !o->told) {
        my_schema_tell(r, MF_WARNING, "schema-charset", o->label, "",
                       "it was written in %s and is made in utf8mb4: its literals have another character set",
                       o->charset);
    }
}

static int put_text(struct my_schema_run *r, const struct object *o, bool definer, struct mf_buf *out,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MY_SQL_MAX};
    bool enabled = false;
    if (o->kind != EVENT) {
        mf_buf_puts(&text, o->text);
    } else if (my_event_disabled(o->text, &text, &enabled, err) < 0) {
        return -1;
    }
    if (enabled && !o->told) {
        MF_CLEANUP_BUF struct mf_buf remedy = {.max = 1024};
        mf_buf_puts(&remedy, "ALTER EVENT ");
        my_put_name(&remedy, o->schema, o->name);
        mf_buf_puts(&remedy, " ENABLE; -- on the target after the cutover, and DISABLE on the source before it");
        my_schema_tell(r, MF_WARNING, "schema-event", o->label, mf_buf_str(&remedy),
                       "it is made disabled: a side that takes no writes must not run it");
    }
    if (definer) {
        mf_buf_append(out, text.data, text.len);
    } else {
        my_without_definer(mf_buf_str(&text), out);
    }
    return 0;
}

static int try_once(struct my_schema_run *r, struct object *o, bool definer, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX}, settings = {.max = 8192}, modes = {.max = 4096};
    if (put_text(r, o, definer, &sql, err) < 0) {
        return -1;
    }
    put_settings(r, o, &settings, &modes);
    o->told = true;
    if (!r->plan && mysql_select_db(r->target, o->schema) != 0) {
        return my_fail(r->target, err);
    }
    if (r->plan) {
        return my_schema_exec(r, NULL, o->label, mf_buf_str(&settings), err) < 0 ||
                       my_schema_exec(r, NULL, o->label, mf_buf_str(&sql), err) < 0
                   ? -1
                   : 0;
    }
    if (my_exec(r->target, err, mf_buf_str(&settings)) < 0) {
        return -1;
    }
    return my_schema_exec(r, r->target, o->label, mf_buf_str(&sql), err);
}

/* -1 only when the server was lost; *ret_made says what became of the object, and err why. */
static int make(struct my_schema_run *r, struct object *o, bool *ret_made, struct mf_error *err)
{
    char account[512];
    int rc = try_once(r, o, true, err);
    if (rc < 0 && my_is_error(err, ER_SPECIFIC_ACCESS_DENIED_ERROR)) {
        my_definer(o->text, account, sizeof account);
        rc = try_once(r, o, false, err);
        if (rc == 0) {
            my_schema_tell(r, MF_WARNING, "schema-definer", o->label, "",
                           "its definer was %s, which only an administrator may say: it belongs to %s now", account,
                           r->db->facts.user);
        }
    }
    *ret_made = o->done = rc == 0;
    struct mf_error why = *err;
    if (!r->plan && mysql_errno(r->target) >= 2000) {
        return -1;
    }
    MF_CLEANUP_FREE char *back =
        mf_xasprintf("SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION sql_mode = '%s'", OUR_MODE);
    if (!r->plan && my_exec(r->target, err, back) < 0) {
        return -1;
    }
    *err = why;
    return 0;
}

/* A view may read another that comes later, so those that fail are tried again as long as any succeeds. */
static int make_all(struct my_schema_run *r, struct objects *objects, enum kind kind, struct mf_error *err)
{
    for (bool progress = true, last = false; progress || !last;) {
        last = !progress;
        progress = false;
        for (size_t i = 0; i < objects->n; i++) {
            struct object *o = &objects->all[i];
            bool made = false;
            if (o->kind != kind || o->done) {
                continue;
            }
            if (make(r, o, &made, err) < 0) {
                return -1;
            }
            progress = progress || made;
            if (!made && last && !objects->again) {
                left_out(r, o, err->text);
            }
        }
    }
    mf_error_clear(err);
    return 0;
}

int my_objects_make(struct my_schema_run *r, bool again, struct mf_error *err)
{
    struct objects objects = {.again = again};
    const struct mf_catalog *t = r->job->tables;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n; i++) {
        for (int kind = PROCEDURE; rc == 0 && kind <= EVENT && mf_catalog_first_of_schema(t, i); kind++) {
            rc = collect(r, (enum kind)kind, t->tables[i].schema, &objects, err);
        }
    }
    for (int kind = PROCEDURE; rc == 0 && kind <= EVENT; kind++) {
        rc = make_all(r, &objects, (enum kind)kind, err);
    }
    free(objects.all);
    return rc;
}
