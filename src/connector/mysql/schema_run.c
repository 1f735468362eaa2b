/* Sessions that make objects, statements run in many of them at once, and what becomes of an error. */
#include "connector/mysql/schema.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRIES        20 /* of a statement that lost a lock, or met rows that were only there for a moment */
#define LOCK_WAIT_S  10 /* while an ALTER waits for a table, those who come later wait behind it */
#define MAX_JOBS     32
#define MAX_WARNINGS 20 /* told of one statement */

/* Numbers of newer servers than the library's header. */
#define ONLINE_LOG_TOO_BIG        1799
#define FK_INCOMPATIBLE_COLUMNS   3780
#define FK_NO_UNIQUE_INDEX_PARENT 6125

int my_schema_session(struct my_db *db, MYSQL **ret, struct mf_error *err)
{
    struct mf_error ignored = {0};
    MY_CLEANUP_CONN MYSQL *c = NULL;
    if (my_connect(db, "schema", &c, err) < 0 ||
        my_execf(c, err, "SET SESSION foreign_key_checks = 0, SESSION lock_wait_timeout = %d", LOCK_WAIT_S) < 0) {
        return -1;
    }
    /* Neither is everybody's to set. The first: a column that says nothing gets nothing, and not the clock of every change. What
     * a server did all the same is found by my_tables_check. The second: what the source's server let pass. */
    my_exec(c, &ignored, "SET SESSION explicit_defaults_for_timestamp = 1");
    my_exec(c, &ignored, "SET SESSION innodb_strict_mode = 0");
    *ret = MF_STEAL(c);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

int my_schema_collations(struct my_schema_run *r, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    if (my_query(r->target, &q, err, "SELECT COLLATION_NAME FROM information_schema.COLLATIONS") < 0) {
        return -1;
    }
    r->collations = mf_xcalloc(mysql_num_rows(q) + 1, sizeof(char *));
    for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
        r->collations[r->ncollations++] = mf_xstrdup(row[0] ? row[0] : "");
    }
    qsort(r->collations, r->ncollations, sizeof(char *), by_name);
    MY_CLEANUP_RESULT MYSQL_RES *sets = NULL;
    if (my_query(r->source, &sets, err,
                 "SELECT CHARACTER_SET_NAME, DEFAULT_COLLATE_NAME FROM information_schema.CHARACTER_SETS") < 0) {
        return -1;
    }
    r->charsets = mf_xcalloc(mysql_num_rows(sets) + 1, sizeof *r->charsets);
    for (MYSQL_ROW row; (row = mysql_fetch_row(sets));) {
        struct my_charset *s = &r->charsets[r->ncharsets++];
        mf_strlcpy(s->name, row[0] ? row[0] : "", sizeof s->name);
        mf_strlcpy(s->collation, row[1] ? row[1] : "", sizeof s->collation);
    }
    return 0;
}

void my_schema_tell(struct my_schema_run *r, enum mf_severity severity, const char *code, const char *object,
                    const char *remedy, const char *fmt, ...)
{
    if (!r->findings) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *reason = mf_xvasprintf(fmt, ap);
    va_end(ap);
    MF_LOCK_SCOPE(&r->lock);
    mf_findings_add(r->findings, severity, MF_TARGET, code, object, remedy, "%s", reason);
}

int my_show_create(MYSQL *c, const char *what, const char *schema, const char *name, unsigned column,
                   struct mf_arena *arena, const char **ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 4096};
    *ret = NULL;
    mf_buf_printf(&sql, "SHOW CREATE %s ", what);
    my_put_name(&sql, schema, name);
    if (my_query(c, &q, err, mf_buf_str(&sql)) < 0) {
        return my_is_error(err, ER_NO_SUCH_TABLE) || my_is_error(err, ER_BAD_DB_ERROR) ? 0 : -1;
    }
    MYSQL_ROW row = mysql_fetch_row(q);
    if (row && column < mysql_num_fields(q) && row[column]) {
        *ret = mf_strdup_a(arena, row[column]);
        return *ret ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", arena->max_bytes);
    }
    return 0;
}

/* ---- the list ---- */

static int too_big(const struct my_schema_run *r, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the schema is larger than %zu bytes", r->arena.max_bytes);
}

struct my_work *my_work_add(struct my_schema_run *r, const char *schema, const char *label, struct mf_error *err)
{
    if (r->nwork == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->work = mf_xreallocarray(r->work, r->cap, sizeof *r->work);
    }
    struct my_work *w = &r->work[r->nwork];
    *w = (struct my_work){.schema = mf_strdup_a(&r->arena, schema)};
    snprintf(w->label, sizeof w->label, "%s", label);
    if (!w->schema) {
        too_big(r, err);
        return NULL;
    }
    r->nwork++;
    return w;
}

int my_work_put(struct my_schema_run *r, struct my_work *w, struct mf_buf *sql, const char *lock_clause,
                struct mf_error *err)
{
    struct my_stmt *all = mf_alloc_array(&r->arena, w->n + 1, sizeof *all);
    struct my_stmt s = {0};
    if (all && mf_buf_ok(sql)) {
        s.sql = mf_strdup_a(&r->arena, mf_buf_str(sql));
        s.locked = lock_clause ? mf_printf_a(&r->arena, "%s%s", mf_buf_str(sql), lock_clause) : NULL;
    }
    mf_buf_reset(sql);
    if (!s.sql || (lock_clause && !s.locked)) {
        return too_big(r, err);
    }
    if (w->n) {
        memcpy(all, w->stmts, w->n * sizeof *all);
    }
    all[w->n] = s;
    w->stmts = all;
    w->n++;
    return 0;
}

/* ---- running ---- */

/* Deprecated spellings, and how it builds an index, are the server's own affair. */
static bool is_chatter(int64_t number)
{
    static const int64_t numbers[] = {124, 1287, 1681, 1831, 3135, 3719, 3778};
    for (size_t i = 0; i < MF_ARRAY_LEN(numbers); i++) {
        if (numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static int tell_warnings(struct my_schema_run *r, MYSQL *c, const char *label, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *q = NULL;
    if (mysql_warning_count(c) == 0) {
        return 0;
    }
    if (my_queryf(c, &q, err, "SHOW WARNINGS LIMIT %d", MAX_WARNINGS) < 0) {
        return -1;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(q));) {
        if (!is_chatter(my_get_i64(row, 1))) {
            my_schema_tell(r, MF_NOTE, "schema-warning", label, "", "the server remarked: %s (%s)", row[2], row[1]);
        }
    }
    return 0;
}

static void into_plan(struct my_schema_run *r, const char *schema, const char *sql)
{
    if (schema) {
        mf_buf_puts(r->plan, "USE ");
        my_put_ident(r->plan, schema);
        mf_buf_puts(r->plan, ";\n");
    }
    mf_buf_puts(r->plan, sql);
    mf_buf_puts(r->plan, ";\n");
}

int my_schema_exec(struct my_schema_run *r, MYSQL *c, const char *label, const char *sql, struct mf_error *err)
{
    if (r->plan) {
        into_plan(r, NULL, sql);
        return 0;
    }
    if (MF_FAULT(err, "mysql.schema_entry") || my_exec(c, err, sql) < 0) {
        mf_error_prefix(err, "making %s on the target", label);
        return -1;
    }
    return tell_warnings(r, c, label, err);
}

/* Rows pass through a table while an index is built beside them: two of a window may hold one value for a moment. */
static bool is_passing(const struct mf_error *err)
{
    return my_is_error(err, ONLINE_LOG_TOO_BIG) || my_is_error(err, ER_DUP_ENTRY) ||
           my_is_error(err, ER_DUP_ENTRY_WITH_KEY_NAME);
}

static int run_stmt(struct my_schema_run *r, MYSQL *c, const struct my_work *w, const struct my_stmt *s,
                    struct mf_error *err)
{
    bool locked = false;
    for (int i = 1;; i++) {
        mf_error_clear(err);
        if (my_schema_exec(r, c, w->label, locked ? s->locked : s->sql, err) == 0) {
            return 0;
        }
        bool lost = mysql_errno(c) >= 2000;
        if (lost || i >= TRIES) {
            break;
        }
        if (!locked && s->locked && is_passing(err)) {
            locked = true;
        } else if (err->cls != MF_RETRY) {
            break;
        }
    }
    if (is_passing(err)) {
        err->cls = MF_FATAL;
        mf_hint(err, "the target refuses rows that the source allows: compare the collations of both; run `midflight "
                     "verify` to see "
                     "whether the rows are the same");
    }
    return -1;
}

/* For what the objects or the rows are; not for what the account may not, or the server has no room for. */
static bool is_refusal(const struct mf_error *err)
{
    static const unsigned numbers[] = {ER_CANT_CREATE_TABLE,     ER_DUP_ENTRY,
                                       ER_TOO_LONG_KEY,          ER_BLOB_KEY_WITHOUT_LENGTH,
                                       ER_CANNOT_ADD_FOREIGN,    ER_DUP_ENTRY_WITH_KEY_NAME,
                                       ER_TOO_MANY_KEYS,         ER_FK_NO_INDEX_PARENT,
                                       ER_DUP_CONSTRAINT_NAME,   ER_INDEX_COLUMN_TOO_LONG,
                                       FK_INCOMPATIBLE_COLUMNS,  ER_FK_INCORRECT_OPTION,
                                       FK_NO_UNIQUE_INDEX_PARENT};
    for (size_t i = 0; i < MF_ARRAY_LEN(numbers); i++) {
        if (my_is_error(err, numbers[i])) {
            return true;
        }
    }
    return false;
}

static int run_work(struct my_schema_run *r, MYSQL *c, const struct my_work *w, struct mf_error *err)
{
    if (w->schema && mysql_select_db(c, w->schema) != 0) {
        return my_fail(c, err);
    }
    for (size_t i = 0; i < w->n; i++) {
        if (run_stmt(r, c, w, &w->stmts[i], err) == 0) {
            continue;
        }
        if (!w->optional || !is_refusal(err)) {
            return -1;
        }
        my_schema_tell(r, MF_WARNING, "schema-left-out", w->label, w->stmts[i].sql, "the target refused it: %s",
                       err->text);
        mf_error_clear(err);
    }
    return 0;
}

struct worker {
    struct my_schema_run *r;
    pthread_t thread;
    int rc;
    struct mf_error err;
};

static const struct my_work *take(struct my_schema_run *r)
{
    MF_LOCK_SCOPE(&r->lock);
    return r->next < r->nwork ? &r->work[r->next++] : NULL;
}

static void give_up(struct my_schema_run *r)
{
    MF_LOCK_SCOPE(&r->lock);
    r->next = r->nwork;
}

static void *work(void *ctx)
{
    struct worker *k = ctx;
    MY_CLEANUP_CONN MYSQL *c = NULL;
    const struct my_work *w;
    mysql_thread_init();
    k->rc = my_schema_session(k->r->db, &c, &k->err);
    while (k->rc == 0 && (w = take(k->r))) {
        k->rc = run_work(k->r, c, w, &k->err);
    }
    if (k->rc < 0) {
        give_up(k->r);
    }
    my_finish(MF_STEAL(c));
    mysql_thread_end();
    return NULL;
}

int my_work_run(struct my_schema_run *r, int jobs, struct mf_error *err)
{
    struct worker workers[MAX_JOBS] = {0};
    size_t n = jobs > MAX_JOBS ? MAX_JOBS : (size_t)jobs, started = 0;
    int rc = 0;
    for (size_t i = 0; r->plan && i < r->nwork; i++) {
        for (size_t k = 0; k < r->work[i].n; k++) {
            into_plan(r, k ? NULL : r->work[i].schema, r->work[i].stmts[k].sql);
        }
    }
    r->next = 0;
    if (r->plan) {
        r->nwork = 0;
        return 0;
    }
    if (n > r->nwork) {
        n = r->nwork;
    }
    for (; started < n; started++) {
        workers[started].r = r;
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0) {
            break;
        }
    }
    if (n && !started) {
        rc = mf_fail(err, MF_RETRY, "MFTHREAD", "cannot start a thread");
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].rc < 0 && rc == 0) {
            *err = workers[i].err;
            rc = -1;
        }
    }
    r->nwork = 0;
    return rc;
}
