/* What belongs to the tables that migrate, or stands beside them in their databases, and has no word in the model. */
#include "connector/mysql/model.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/infoschema.h"

#include <string.h>

struct question {
    const char *what, *why;
    const char *sql;    /* name, table that it is of (NULL: none), text */
    const char *column; /* of the database */
    enum { EVERYWHERE, WITH_CHECKS_OF_TABLES, WITH_CHECKS } where;
};

static const struct question questions[] = {
    {"view", "its text is of this engine", "SELECT TABLE_NAME, NULL, VIEW_DEFINITION FROM information_schema.VIEWS",
     "TABLE_SCHEMA", EVERYWHERE},
    {"routine", "its text is of this engine",
     "SELECT ROUTINE_NAME, NULL, ROUTINE_DEFINITION FROM information_schema.ROUTINES", "ROUTINE_SCHEMA", EVERYWHERE},
    {"event", "its text is of this engine", "SELECT EVENT_NAME, NULL, EVENT_DEFINITION FROM information_schema.EVENTS",
     "EVENT_SCHEMA", EVERYWHERE},
    {"trigger", "its text is of this engine",
     "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS", "TRIGGER_SCHEMA",
     EVERYWHERE},
    {"check constraint", "its condition is in this engine's words",
     "SELECT CONSTRAINT_NAME, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS", "CONSTRAINT_SCHEMA",
     WITH_CHECKS_OF_TABLES},
    {"check constraint", "its condition is in this engine's words",
     "SELECT c.CONSTRAINT_NAME, t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c"
     " JOIN information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA"
     " AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME",
     "c.CONSTRAINT_SCHEMA", WITH_CHECKS},
};

static bool asked_here(const struct my_db *db, const struct question *q)
{
    switch (q->where) {
    case EVERYWHERE:
        return true;
    case WITH_CHECKS_OF_TABLES:
        return db->mariadb && db->version >= 100310;
    case WITH_CHECKS:
        return !db->mariadb && db->version >= 80016;
    }
    return false;
}

/* MariaDB's JSON is a text with such a check, which the model's type says. */
static bool is_part_of_type(const struct question *q, const char *text)
{
    return q->where == WITH_CHECKS_OF_TABLES && text && mf_starts_with(text, "json_valid(");
}

static void take(struct my_describing *d, const struct question *q, const char *schema, MYSQL_ROW row)
{
    if (!row[0] || is_part_of_type(q, row[2]) || mf_starts_with(row[0], "midflight_") ||
        (row[1] && !mf_catalog_find(d->b.own, schema, row[1]))) {
        return;
    }
    if (row[1]) {
        mf_schema_leave(&d->b, q->why, row[2], "%s %s of table %s.%s", q->what, row[0], schema, row[1]);
    } else {
        mf_schema_leave(&d->b, q->why, row[2], "%s %s.%s", q->what, schema, row[0]);
    }
}

static int ask(struct my_describing *d, const struct question *q, const char *schema, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_printf(&sql, "%s WHERE %s = ", q->sql, q->column);
    my_put_literal(&sql, schema);
    mf_buf_puts(&sql, " ORDER BY 1");
    if (my_ask(d->c, &r, err, &sql) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(r)) && !d->b.full;) {
        take(d, q, schema, row);
    }
    return 0;
}

int my_describe_left(struct my_describing *d, struct mf_error *err)
{
    const char *last = NULL; /* tables are in order of their databases */
    for (size_t i = 0; i < d->b.own->n; i++) {
        const char *schema = d->b.own->tables[i].schema;
        for (size_t k = 0; k < MF_ARRAY_LEN(questions) && !mf_streq(last, schema); k++) {
            if (asked_here(d->db, &questions[k]) && ask(d, &questions[k], schema, err) < 0) {
                return -1;
            }
        }
        last = schema;
    }
    return 0;
}
