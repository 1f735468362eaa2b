/*
 * Triggers are part of the schema, but are not made with it: they are remembered on the target and made when the application comes
 * (triggers.h), and what the target has of its own is taken down before, so that what stands later is known for what it is. Each with the SQL mode and the character set it was made with on the source, mended for the target as those of routines are.
 */
#include "connector/mysql/schema.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/replica.h"
#include "connector/mysql/triggers.h"

#include <stdio.h>
#include <string.h>

#define CLEAR_LOCK_MS  500
#define CLEAR_TOTAL_MS 30000

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
    return my_trigger_keep(r->target, migration, place, &t, false, err);
}

/* While the servers replicate (mode: native), what is dropped on the source is dropped here, and must be there. */
static int clear(struct my_schema_run *r, const char *migration, const struct mf_catalog *tables,
                 const struct mf_gate_options *o, struct mf_error *err)
{
    static const struct mf_gate_options at_leisure = {
        .lock_ms = CLEAR_LOCK_MS, .total_ms = CLEAR_TOTAL_MS, .long_transactions = MF_LONG_WAIT};
    struct mf_pipe_id id = {.direction = MF_FORWARD};
    MF_CLEANUP_FREE char *follows = NULL;
    mf_strlcpy(id.migration, migration, sizeof id.migration);
    if (my_replica_setting(r->target, &id, MY_REPLICA_FROM, &follows, err) < 0) {
        return -1;
    }
    if (follows) {
        return 0;
    }
    int rc = my_triggers_clear(r->db, migration, tables, o ? o : &at_leisure, err);
    if (rc < 0 && !o && err->cls == MF_ABANDONED) {
        err->cls = MF_RETRY;
    }
    return rc;
}

static int tell_shadowed(struct my_schema_run *r, const char *migration, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    if (my_triggers_remembered(r->target, migration, MY_TRIGGERS_SHADOWED, &q, err) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
        char label[300];
        snprintf(label, sizeof label, "TRIGGER %.130s.%.130s", row[0], row[2]);
        my_schema_tell(r, MF_WARNING, "schema-trigger-replaced", label, "",
                       "the target has another one of this name on %s: the source's is made at the cutover, and a "
                       "cancel before it puts the target's back",
                       row[1]);
    }
    return 0;
}

static int learn(struct my_schema_run *r, const char *migration, const struct mf_catalog *tables, struct mf_error *err)
{
    unsigned place = 0;
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

int my_schema_triggers(struct my_schema_run *r, const char *migration, const struct mf_catalog *tables,
                       const struct mf_gate_options *o, struct mf_error *err)
{
    bool book = false;
    if (r->plan) {
        return learn(r, migration, tables, err);
    }
    if (my_book_exists(r->target, &book, err) < 0) {
        return -1;
    }
    if (!book) {
        return 0; /* a schema that is made for itself: no cutover will ask */
    }
    return clear(r, migration, tables, o, err) < 0 || my_exec(r->target, err, "START TRANSACTION") < 0 ||
                   my_triggers_forget(r->target, migration, false, err) < 0 || learn(r, migration, tables, err) < 0 ||
                   my_exec(r->target, err, "COMMIT") < 0
               ? -1
               : tell_shadowed(r, migration, err);
}
