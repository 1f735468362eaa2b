/*
 * Triggers are part of the schema, but are not made with it: they are remembered on the target and made when the application comes
 * (triggers.h). Each with the SQL mode and the character set it was made with on the source, mended for the target as those of routines are.
 */
#include "connector/mysql/schema.h"

#include "base/str.h"
#include "connector/mysql/triggers.h"

#include <stdio.h>
#include <string.h>

static int list(MYSQL *c, const char *schema, MYSQL_RES **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    mf_buf_puts(&b, "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS"
                    " WHERE " MY_TRIGGERS_OF_USERS " AND TRIGGER_SCHEMA = ");
    my_put_literal(&b, schema);
    mf_buf_puts(&b, " ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER");
    return my_query(c, ret, err, mf_buf_str(&b));
}

static void put_settings(struct my_schema_run *r, MYSQL_ROW row, const char *label, struct mf_buf *b)
{
    MF_CLEANUP_BUF struct mf_buf modes = {.max = 4096};
    char told[300];
    my_mend_modes(&r->mend, row[1] ? row[1] : "", &modes, told, sizeof told);
    if (told[0]) {
        my_schema_tell(r, MF_NOTE, "schema-sql-mode", label, "", "its SQL modes %s do not exist on the target", told);
    }
    MF_CLEANUP_BUF struct mf_buf collation = {.max = 256};
    if (row[4]) {
        my_mend_names(&r->mend, (struct my_piece){row[4], strlen(row[4])}, &collation);
    }
    my_put_made_with(b, mf_buf_str(&modes), row[2], row[3], row[4] ? mf_buf_str(&collation) : NULL);
}

/* A definer of somebody else can be said with SUPER only, or what has its place. */
static void tell(struct my_schema_run *r, const char *label, const char *definer)
{
    char account[300];
    const char *at = strrchr(definer, '@'), *user = r->db->facts.user;
    snprintf(account, sizeof account, "%.200s", user);
    if (!at || strcmp(definer, account) == 0) {
        return;
    }
    my_schema_tell(r, MF_NOTE, "schema-definer", label, "",
                   "its definer is %s; where the account %s of the target may not say so, it becomes the definer",
                   definer, account);
}

static int keep(struct my_schema_run *r, const char *migration, const char *schema, MYSQL_ROW of, unsigned place,
                struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096}, settings = {.max = 8192};
    char label[300];
    snprintf(label, sizeof label, "TRIGGER %.130s.%.130s", schema, of[1]);
    mf_buf_puts(&sql, "SHOW CREATE TRIGGER ");
    my_put_name(&sql, schema, of[1]);
    if (my_query(r->source, &q, err, mf_buf_str(&sql)) < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(q);
    if (!row || !row[2]) {
        mf_fail(err, MF_FATAL, "MFTRIGGER", "the account on the source may not read trigger %s.%s", schema, of[1]);
        mf_hint(err, "grant it TRIGGER on the table");
        return -1;
    }
    put_settings(r, row, label, &settings);
    if (r->plan) {
        return my_schema_exec(r, NULL, label, mf_buf_str(&settings), err) < 0 ||
                       my_schema_exec(r, NULL, label, row[2], err) < 0
                   ? -1
                   : 0;
    }
    tell(r, label, of[2] ? of[2] : "");
    const struct my_trigger t = {
        .schema = schema, .table = of[0], .name = of[1], .settings = mf_buf_str(&settings), .text = row[2]};
    return my_trigger_keep(r->target, migration, place, &t, err);
}

int my_schema_triggers(struct my_schema_run *r, const char *migration, const struct mf_catalog *tables,
                       struct mf_error *err)
{
    unsigned place = 0;
    bool book = false;
    if (!r->plan &&
        (my_book_exists(r->target, &book, err) < 0 || (book && my_triggers_forget(r->target, migration, err) < 0))) {
        return -1;
    }
    if (!r->plan && !book) {
        return 0; /* a schema that is made for itself: no cutover will ask */
    }
    for (size_t i = 0; i < tables->n; i++) {
        MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
        const char *schema = tables->tables[i].schema;
        if (!mf_catalog_first_of_schema(tables, i)) {
            continue;
        }
        if (list(r->source, schema, &q, err) < 0) {
            return -1;
        }
        for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
            if (mf_catalog_find(tables, schema, row[0]) && keep(r, migration, schema, row, place++, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}
