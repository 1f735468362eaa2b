/* Answers as callers get them: see cql.h. Each is one frame's bytes, an arena with what was parsed of them, and a row's cells. */
#include "connector/cassandra/cql_net.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX (64u << 20)

struct cql_reply *cql_reply_new(void)
{
    struct cql_reply *r = mf_xcalloc(1, sizeof(*r));
    mf_arena_init(&r->arena, ARENA_MAX);
    return r;
}

void mf_cql_answer_free(struct mf_cql_answer *a)
{
    struct cql_reply *r = (struct cql_reply *)a;
    if (r) {
        mf_arena_free(&r->arena);
        free(r->body);
        free(r->warnings);
        free(r);
    }
}

static int take_rows(struct cql_reply *r, struct mf_error *err)
{
    struct cql_rows *rows = &r->answer.rows;
    size_t n = rows->columns.n > 0 ? (size_t)rows->columns.n : 1;
    r->cells = mf_alloc_array(&r->arena, n, sizeof(*r->cells));
    if (!r->cells) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for an answer of %zu columns", n);
    }
    r->pub.columns = &rows->columns;
    r->pub.nrows = (size_t)rows->nrows;
    r->pub.paging_state = rows->columns.paging_state;
    return 0;
}

static void take_warnings(struct cql_reply *r)
{
    struct mf_buf b;
    mf_buf_init(&b, 4096);
    for (size_t i = 0; i < r->answer.nwarnings; i++) {
        mf_buf_printf(&b, "%s%s", i ? "; " : "", r->answer.warnings[i]);
    }
    r->warnings = b.len > 0 ? mf_buf_steal(&b, NULL) : NULL;
    r->pub.warnings = r->warnings;
    mf_buf_free(&b);
}

int cql_reply_read(struct cql_reply *r, const struct cql_frame *f, struct mf_error *err)
{
    r->body = malloc(f->len + 1);
    if (!r->body) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for an answer of %zu bytes", f->len);
    }
    memcpy(r->body, f->body, f->len);
    struct cql_frame own = *f;
    own.body = r->body;
    if (cql_answer_read(&own, &r->arena, &r->answer, err) < 0) {
        return -1;
    }
    if (r->answer.trace) {
        memcpy(r->pub.trace_id, r->answer.trace, sizeof(r->pub.trace_id));
    }
    take_warnings(r);
    bool result = r->answer.opcode == CQL_RESULT;
    r->pub.schema_changed = result && r->answer.result == CQL_SCHEMA_CHANGE;
    return result && r->answer.result == CQL_ROWS ? take_rows(r, err) : 0;
}

int mf_cql_next(struct mf_cql_answer *a, const struct cql_bytes **ret, struct mf_error *err)
{
    struct cql_reply *r = (struct cql_reply *)a;
    if (!a->columns) {
        return 0;
    }
    int rc = cql_rows_next(&r->answer.rows, r->cells, r->answer.rows.columns.n, err);
    if (rc == 1) {
        *ret = r->cells;
    }
    return rc;
}
