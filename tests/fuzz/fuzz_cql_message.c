/*
 * Answers from a Cassandra that lies: opcode, version and flags, and a body. Each is read or refused within memory that is bounded; what came out may be
 * looked at to its end: every row, and every value as text by the type that the answer says it has.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/cassandra/message.h"

#include <string.h>

static void walk_columns(const struct cql_columns *c)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 20};
    for (int32_t i = 0; c->columns && i < c->n && mf_buf_ok(&text); i++) {
        MF_FUZZ_CHECK(strlen(c->columns[i].name) < 65536 && strlen(c->columns[i].keyspace) < 65536);
        cql_type_put(&text, c->columns[i].type);
    }
}

static void walk_rows(struct cql_rows *r)
{
    struct mf_error err = {0};
    struct cql_bytes *cells = calloc((size_t)r->columns.n + 1, sizeof(*cells));
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 20};
    int32_t rows = 0;
    int rc;
    MF_FUZZ_CHECK(cells);
    while ((rc = cql_rows_next(r, cells, r->columns.n, &err)) == 1) {
        rows++;
        for (int32_t i = 0; i < r->columns.n; i++) {
            mf_buf_reset(&text);
            if (cells[i].n >= 0 && r->columns.columns) {
                int put = cql_value_text(r->columns.columns[i].type, cells[i], &text, &err);
                MF_FUZZ_CHECK(put == 0 ? mf_buf_ok(&text) : text.len == 0 && err.text[0]);
            }
        }
    }
    MF_FUZZ_CHECK(rc < 0 || rows == r->nrows);
    free(cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 4 << 20};
    struct mf_error err = {0};
    struct cql_answer a;
    struct cql_frame f = {.version = data[1] & 0x80 ? 4 : 5,
                          .flags = data[1] & 0x7f,
                          .opcode = data[0],
                          .body = data + 2,
                          .len = size - 2};
    if (cql_answer_read(&f, &arena, &a, &err) < 0) {
        MF_FUZZ_CHECK(err.text[0] && (err.cls == MF_RETRY || err.cls == MF_FATAL));
        return 0;
    }
    for (uint16_t i = 0; i < a.nwarnings; i++) {
        MF_FUZZ_CHECK(strlen(a.warnings[i]) < 65536);
    }
    if (a.opcode == CQL_ERROR) {
        MF_FUZZ_CHECK(cql_server_fail(&err, &a.error) == -1 && err.code[0]);
        for (int32_t i = 0; a.error.failures && i < a.error.nfailures; i++) {
            char text[CQL_INET_TEXT];
            MF_FUZZ_CHECK(cql_inet_text(&a.error.failures[i].at, text)[0]);
        }
    } else if (a.opcode == CQL_RESULT && a.result == CQL_ROWS) {
        walk_columns(&a.rows.columns);
        walk_rows(&a.rows);
    } else if (a.opcode == CQL_RESULT && a.result == CQL_PREPARED) {
        walk_columns(&a.prepared.binds);
        walk_columns(&a.prepared.result);
        for (uint16_t i = 0; i < a.prepared.npk; i++) {
            MF_FUZZ_CHECK(a.prepared.pk[i] < a.prepared.binds.n);
        }
    } else if (a.opcode == CQL_SUPPORTED) {
        cql_supported_values(&a.supported, "COMPRESSION");
    }
    return 0;
}
