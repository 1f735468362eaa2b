#include "connector/cassandra/look.h"

#include "base/str.h"

#include <string.h>

#define ROWS_AT_ONCE 1000
#define PAGES_MAX    10000000

static int each_row(struct mf_cql_answer *a, cass_row_fn *each, void *ctx, struct mf_error *err)
{
    const struct cql_bytes *cells = NULL;
    int rc;
    while ((rc = mf_cql_next(a, &cells, err)) == 1) {
        int ended = each(ctx, a, cells, err);
        if (ended) {
            return ended;
        }
    }
    return rc;
}

int cass_pages(struct mf_cql *c, const struct mf_cql_request *request, const char *what, int32_t n, cass_row_fn *each,
               void *ctx, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf state = {.max = 1u << 20};
    struct mf_cql_request r = *request;
    r.page_size = ROWS_AT_ONCE;
    for (int page = 0; page < PAGES_MAX; page++) {
        MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
        if (mf_cql_call(c, &r, &a, err) < 0) {
            return -1;
        }
        if (!a->columns || (n && a->columns->n != n)) {
            return mf_fail(err, MF_FATAL, "MFPROTO", "the server answered \"%.100s\" with other columns than asked for",
                           what);
        }
        int rc = each_row(a, each, ctx, err);
        if (rc != 0 || !a->paging_state.p) {
            return rc;
        }
        mf_buf_reset(&state);
        mf_buf_append(&state, a->paging_state.p, a->paging_state.n > 0 ? (size_t)a->paging_state.n : 0);
        if (!mf_buf_ok(&state)) {
            break;
        }
        r.paging_state = (struct cql_bytes){.p = (const uint8_t *)mf_buf_str(&state), .n = (int32_t)state.len};
    }
    return mf_fail(err, MF_FATAL, "MFBIG", "the answer to \"%.100s\" has no end", what);
}

struct looking {
    cass_look_row *each;
    void *ctx;
};

static int cells_alone(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    const struct looking *l = ctx;
    (void)a;
    return l->each ? l->each(l->ctx, cells, err) : 0;
}

int cass_look(struct mf_cql *c, const char *text, int32_t n, uint32_t node, cass_look_row *each, void *ctx,
              struct mf_error *err)
{
    struct looking l = {each, ctx};
    struct mf_cql_request r = {.text = text, .idempotent = true, .node = node, .only_node = node != 0};
    return cass_pages(c, &r, text, n, cells_alone, &l, err);
}

int cass_look_buf(struct mf_cql *c, struct mf_buf *text, int32_t n, uint32_t node, cass_look_row *each, void *ctx,
                  struct mf_error *err)
{
    int rc = mf_buf_ok(text) ? cass_look(c, mf_buf_str(text), n, node, each, ctx, err)
                             : mf_fail(err, MF_FATAL, "MFBIG", "a statement is too long");
    mf_buf_reset(text);
    return rc;
}

const char *cass_look_text(struct mf_arena *arena, struct cql_bytes cell)
{
    size_t n = cell.n > 0 ? (size_t)cell.n : 0;
    char *s = mf_alloc(arena, n + 1);
    if (!s) {
        return NULL;
    }
    if (n) {
        memcpy(s, cell.p, n);
    }
    s[n] = 0;
    return s;
}

bool cass_look_is(struct cql_bytes cell, const char *text)
{
    size_t n = strlen(text);
    return cell.n >= 0 && (size_t)cell.n == n && memcmp(cell.p, text, n) == 0;
}

int64_t cass_look_number(struct cql_bytes cell)
{
    uint64_t v = cell.n > 0 && cell.p[0] & 0x80 ? UINT64_MAX : 0;
    for (int32_t i = 0; i < cell.n && i < 8; i++) {
        v = v << 8 | cell.p[i];
    }
    return (int64_t)v;
}

bool cass_look_true(struct cql_bytes cell)
{
    return cell.n == 1 && cell.p[0] != 0;
}
