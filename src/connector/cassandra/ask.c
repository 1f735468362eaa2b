/* Statements of ours with their values as texts: the books are small, and a text of each value is what their rows have anyway. */
#include "connector/cassandra/cass.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX ((size_t)64 << 20)

const char *cass_direction(enum mf_direction d)
{
    return d == MF_FORWARD ? "fwd" : "rev";
}

const char *cass_i64(int64_t v, char out[CASS_NUMBER])
{
    snprintf(out, CASS_NUMBER, "%" PRId64, v);
    return out;
}

static int bind(const struct mf_cql_prepared *p, const char *const *args, size_t n, struct mf_buf *b,
                struct mf_error *err)
{
    const struct cql_columns *c = mf_cql_prepared_params(p);
    if ((size_t)c->n != n) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a statement has %d markers for %zu values", c->n, n);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = args[i] ? cql_value_put(c->columns[i].type, args[i], strlen(args[i]), b, err) : cql_put_null(b);
        if (rc < 0 || !mf_buf_ok(b)) {
            return rc < 0 && args[i] ? -1 : mf_fail(err, MF_FATAL, "MFBIG", "the values of a statement are too large");
        }
    }
    return 0;
}

static int bind_one(struct cass_db *db, const char *text, const char *const *args, size_t n, struct mf_buf *b,
                    struct mf_cql_bound *ret, struct mf_error *err)
{
    if (mf_cql_prepare(db->cql, text, &ret->prepared, err) < 0 || bind(ret->prepared, args, n, b, err) < 0) {
        return -1;
    }
    ret->values = (struct cql_values){(const uint8_t *)b->data, b->len, (uint16_t)n};
    return 0;
}

static struct mf_cql_request request(enum cass_how how)
{
    struct mf_cql_request r = {.idempotent = true};
    if (how == CASS_SERIAL) {
        r.consistency = CQL_LOCAL_SERIAL;
    }
    return r;
}

int cass_ask(struct cass_db *db, enum cass_how how, const char *text, const char *const *args, size_t n,
             struct mf_cql_answer **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = VALUES_MAX};
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    struct mf_cql_request r = request(how);
    struct mf_cql_bound bound = {0};
    if (bind_one(db, text, args, n, &b, &bound, err) < 0) {
        return -1;
    }
    r.bound = &bound;
    r.nbound = 1;
    if (mf_cql_call(db->cql, &r, &a, err) < 0) {
        return -1;
    }
    if (ret) {
        *ret = MF_STEAL(a);
    }
    return 0;
}

int cass_each(struct cass_db *db, const char *text, const char *const *args, size_t n, cass_row_fn *row, void *ctx,
              struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = VALUES_MAX};
    struct mf_cql_request r = request(CASS_READ);
    struct mf_cql_bound bound = {0};
    if (bind_one(db, text, args, n, &b, &bound, err) < 0) {
        return -1;
    }
    r.bound = &bound;
    r.nbound = 1;
    return cass_pages(db->cql, &r, text, 0, row, ctx, err);
}

int cass_first(struct mf_cql_answer *a, const struct cql_bytes **ret, struct mf_error *err)
{
    return mf_cql_next(a, ret, err);
}

void cass_cell_text(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i, char *ret, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = VALUES_MAX};
    struct mf_error ignored;
    if (cells[i].n > 0) {
        cql_value_text(a->columns->columns[i].type, cells[i], &b, &ignored);
    }
    mf_strlcpy(ret, mf_buf_str(&b), n);
}

int64_t cass_cell_int(const struct mf_cql_answer *a, const struct cql_bytes *cells, int i)
{
    char text[CASS_NUMBER + 8];
    int64_t v = 0;
    cass_cell_text(a, cells, i, text, sizeof text);
    return mf_parse_i64(text, &v) ? v : 0;
}

bool cass_cell_true(const struct cql_bytes *cells, int i)
{
    return cells[i].n == 1 && cells[i].p[0] != 0;
}

bool cass_no_book(const struct mf_error *err)
{
    return mf_cql_missing(err);
}
