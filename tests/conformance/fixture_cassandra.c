/*
 * The fixture of a Cassandra keyspace, which is only ever a target: its tables as an administrator sees them. Nothing but what test_stamped.c
 * asks for is here.
 *
 * What Cassandra does in its own way: no column has a length. A value of more than 10 KiB is refused by the server itself
 * (column_value_size_fail_threshold, which the runner sets), with an answer that comes long after the row was sent.
 */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/canon.h"
#include "connector/cassandra/cql.h"

static struct conf_fixture fixture;
static struct mf_cql *admin;

static struct mf_cql_answer *query(const char *text)
{
    struct mf_cql_answer *a = NULL;
    struct mf_error err = {0};
    if (mf_cql_query(admin, text, &a, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return a;
}

static void drop_table(enum mf_side side, const char *table)
{
    struct mf_cql_facts f;
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 10};
    (void)side;
    mf_cql_facts(admin, &f);
    mf_buf_puts(&b, "DROP TABLE IF EXISTS ");
    cass_put_name(&b, f.keyspace, table);
    if (mf_cql_schema(admin, mf_buf_str(&b), 30000, &err) < 0) {
        fail_msg("%s: %s", mf_buf_str(&b), err.text);
    }
}

static void narrow(enum mf_side side, const char *table, const char *column, int max_len)
{
    (void)side, (void)table, (void)column, (void)max_len; /* the server does, see above */
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *row_text(const struct mf_cql_answer *a, const struct cql_bytes *cells)
{
    struct mf_buf b = {.max = 1 << 16};
    struct mf_error err = {0};
    for (int i = 0; i < a->columns->n; i++) {
        MF_CLEANUP_BUF struct mf_buf v = {.max = 1 << 16};
        mf_buf_puts(&b, i ? "|" : "");
        if (cells[i].n < 0) {
            mf_buf_puts(&b, "\\N");
        } else if (cql_value_text(a->columns->columns[i].type, cells[i], &v, &err) < 0) {
            fail_msg("%s", err.text);
        } else if (v.len > 40) {
            mf_buf_printf(&b, "[%zu]", v.len);
        } else {
            mf_buf_puts(&b, mf_buf_str(&v));
        }
    }
    return mf_buf_steal(&b, NULL);
}

/* Columns come with the key first and then by name: so the tests' tables have them. */
static void dump(enum mf_side side, const char *table, struct mf_buf *out)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = 1 << 10};
    struct mf_cql_facts f;
    const struct cql_bytes *cells;
    struct mf_error err = {0};
    char *lines[512];
    size_t n = 0;
    (void)side;
    mf_cql_facts(admin, &f);
    mf_buf_puts(&sql, "SELECT * FROM ");
    cass_put_name(&sql, f.keyspace, table);
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = query(mf_buf_str(&sql));
    while (mf_cql_next(a, &cells, &err) == 1) {
        assert_true(n < MF_ARRAY_LEN(lines));
        lines[n++] = row_text(a, cells);
    }
    qsort(lines, n, sizeof lines[0], compare);
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
}

static size_t residue(enum mf_side side)
{
    (void)side;
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a =
        query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'midflight'");
    return a->nrows;
}

const struct conf_fixture *conf_cassandra(const char *url)
{
    struct mf_cql_options o = {.url = url};
    struct mf_error err = {0};
    if (mf_cql_open(&o, &admin, &err) < 0) {
        fail_msg("%s: %s", url, err.text);
    }
    fixture = (struct conf_fixture){.name = "cassandra",
                                    .needs_keys = true,
                                    .books_stamped = true,
                                    .large_refused = true,
                                    .drop_table = drop_table,
                                    .narrow = narrow,
                                    .dump = dump,
                                    .residue = residue};
    mf_strlcpy(fixture.url[MF_TARGET], url, sizeof fixture.url[MF_TARGET]);
    return &fixture;
}
