/* The fixture of PostgreSQL: SQL through libpq, as an application writes. Databases are given by URL and emptied. */
#include "conformance.h"

#include <libpq-fe.h>

#include "base/mem.h"
#include "base/str.h"

struct conf_tx {
    PGconn *c;
};

static struct conf_fixture fixture;
static PGconn *admin[2];

static PGconn *connect_to(enum mf_side side)
{
    PGconn *c = PQconnectdb(fixture.url[side]);
    if (PQstatus(c) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(c));
    }
    PQclear(PQexec(c, "SET client_min_messages = error; SET lock_timeout = '300ms'; SET statement_timeout = '60s'"));
    return c;
}

static void sql(enum mf_side side, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void sql(enum mf_side side, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    if (!admin[side]) {
        admin[side] = connect_to(side);
    }
    PGresult *r = PQexec(admin[side], text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", text, PQerrorMessage(admin[side]));
    }
    PQclear(r);
    free(text);
}

static void create_table(enum mf_side side, const char *table, const struct conf_column *c, size_t n)
{
    struct mf_buf b = {.max = 1 << 16};
    const char *comma = "";
    mf_buf_printf(&b, "CREATE TABLE public.%s (", table);
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(&b, "%s%s %s%s", i ? ", " : "", c[i].name, c[i].text ? "text" : "bigint",
                      c[i].unique ? " UNIQUE" : "");
    }
    for (size_t i = 0; i < n; i++) {
        if (c[i].key) {
            mf_buf_printf(&b, "%s%s", *comma ? comma : ", PRIMARY KEY (", c[i].name);
            comma = ", ";
        }
    }
    mf_buf_puts(&b, *comma ? "))" : ")");
    sql(side, "%s", mf_buf_str(&b));
    mf_buf_free(&b);
    for (size_t i = 0; i < n; i++) {
        if (c[i].toast) {
            sql(side, "ALTER TABLE public.%s ALTER COLUMN %s SET STORAGE EXTERNAL", table, c[i].name);
        }
    }
}

static void add_column(enum mf_side side, const char *table, const char *column)
{
    sql(side, "ALTER TABLE public.%s ADD COLUMN %s text", table, column);
}

static void drop_table(enum mf_side side, const char *table)
{
    sql(side, "DROP TABLE IF EXISTS public.%s CASCADE", table);
}

static void narrow(enum mf_side side, const char *table, const char *column, int max_len)
{
    sql(side, "ALTER TABLE public.%s ALTER COLUMN %s TYPE varchar(%d)", table, column, max_len);
}

static struct conf_tx *begin(enum mf_side side)
{
    struct conf_tx *t = mf_xcalloc(1, sizeof *t);
    t->c = connect_to(side);
    PQclear(PQexec(t->c, "BEGIN"));
    return t;
}

static void end(struct conf_tx *t)
{
    PQfinish(t->c);
    free(t);
}

static int run(struct conf_tx *t, const char *text, int n, const char *const *values, bool *waits)
{
    PGresult *r = PQexecParams(t->c, text, n, NULL, values, NULL, NULL, 0);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (waits) {
        *waits = !ok && (mf_streq(state, "55P03") || mf_streq(state, "57014"));
    }
    PQclear(r);
    if (!ok) {
        end(t);
    }
    return ok ? 0 : -1;
}

static int insert(struct conf_tx *t, const char *table, size_t n, const char *const *values, bool *waits)
{
    char text[256];
    static const char *const params[] = {"$1", "$1,$2", "$1,$2,$3", "$1,$2,$3,$4"};
    snprintf(text, sizeof text, "INSERT INTO public.%s VALUES (%s)", table, params[n - 1]);
    return run(t, text, (int)n, values, waits);
}

static int update(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                  const char *value)
{
    char text[256];
    snprintf(text, sizeof text, "UPDATE public.%s SET %s = $1 WHERE %s = $2", table, column, where);
    return run(t, text, 2, V(value, is), NULL);
}

static int remove_rows(struct conf_tx *t, const char *table, const char *where, const char *is)
{
    char text[256];
    snprintf(text, sizeof text, "DELETE FROM public.%s WHERE %s = $1", table, where);
    return run(t, text, 1, V(is), NULL);
}

static int truncate_tables(struct conf_tx *t, const char *a, const char *b)
{
    char text[256];
    snprintf(text, sizeof text, "TRUNCATE public.%s%s%s", a, b ? ", public." : "", b ? b : "");
    return run(t, text, 0, NULL, NULL);
}

static void savepoint(struct conf_tx *t)
{
    PQclear(PQexec(t->c, "SAVEPOINT s"));
}

static void rollback_to(struct conf_tx *t)
{
    PQclear(PQexec(t->c, "ROLLBACK TO s"));
}

static int commit(struct conf_tx *t)
{
    PGresult *r = PQexec(t->c, "COMMIT");
    int rc = PQresultStatus(r) == PGRES_COMMAND_OK ? 0 : -1;
    PQclear(r);
    end(t);
    return rc;
}

static void abort_tx(struct conf_tx *t)
{
    PQclear(PQexec(t->c, "ROLLBACK"));
    end(t);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dump(enum mf_side side, const char *table, struct mf_buf *out)
{
    char text[128], *lines[512];
    snprintf(text, sizeof text, "SELECT * FROM public.%s", table);
    PGresult *r = PQexec(admin[side], text);
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        fail_msg("%s", PQerrorMessage(admin[side]));
    }
    int n = PQntuples(r);
    for (int i = 0; i < n; i++) {
        struct mf_buf b = {.max = 1 << 16};
        for (int c = 0; c < PQnfields(r); c++) {
            const char *v = PQgetvalue(r, i, c);
            mf_buf_puts(&b, c ? "|" : "");
            if (PQgetisnull(r, i, c)) {
                mf_buf_puts(&b, "\\N");
            } else if (strlen(v) > 40) {
                mf_buf_printf(&b, "[%zu]", strlen(v));
            } else {
                mf_buf_puts(&b, v);
            }
        }
        lines[i] = mf_buf_steal(&b, NULL);
    }
    PQclear(r);
    qsort(lines, (size_t)n, sizeof lines[0], compare);
    for (int i = 0; i < n; i++) {
        mf_buf_printf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
}

static void stream_large(enum mf_side side, bool on)
{
    sql(side, "ALTER SYSTEM SET logical_decoding_work_mem = '%s'", on ? "64kB" : "64MB");
    sql(side, "SELECT pg_reload_conf()");
}

static size_t residue(enum mf_side side)
{
    PGresult *r =
        PQexec(admin[side], "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())"
                            " + (SELECT count(*) FROM pg_publication)"
                            " + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'midflight%')"
                            " + (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"
                            " + (SELECT count(*) FROM pg_event_trigger)");
    size_t n = PQresultStatus(r) == PGRES_TUPLES_OK ? strtoul(PQgetvalue(r, 0, 0), NULL, 10) : 999;
    PQclear(r);
    return n;
}

static void nextval(enum mf_side side, const char *sequence, int times)
{
    sql(side, "CREATE SEQUENCE IF NOT EXISTS public.%s", sequence);
    while (times-- > 0) {
        sql(side, "SELECT nextval('public.%s')", sequence);
    }
}

const struct conf_fixture *conf_postgres(const char *source_url, const char *target_url)
{
    fixture = (struct conf_fixture){.name = "postgres",
                                    .schema = "public",
                                    .truncates_together = true,
                                    .create_table = create_table,
                                    .add_column = add_column,
                                    .drop_table = drop_table,
                                    .narrow = narrow,
                                    .begin = begin,
                                    .insert = insert,
                                    .update = update,
                                    .remove = remove_rows,
                                    .truncate = truncate_tables,
                                    .savepoint = savepoint,
                                    .rollback_to = rollback_to,
                                    .commit = commit,
                                    .abort = abort_tx,
                                    .dump = dump,
                                    .stream_large = stream_large,
                                    .residue = residue,
                                    .nextval = nextval};
    mf_strlcpy(fixture.url[MF_SOURCE], source_url, sizeof fixture.url[MF_SOURCE]);
    mf_strlcpy(fixture.url[MF_TARGET], target_url, sizeof fixture.url[MF_TARGET]);
    return &fixture;
}
