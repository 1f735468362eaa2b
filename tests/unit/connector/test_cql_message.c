/* Messages of CQL's native protocol: requests as the server reads them, answers as it writes them, and tokens. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/cassandra/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unhex(const char *hex, struct mf_buf *b)
{
    for (; *hex; hex += *hex == ' ' ? 1 : 2) {
        if (*hex != ' ') {
            char two[3] = {hex[0], hex[1], '\0'};
            mf_buf_putc(b, (char)strtoul(two, NULL, 16));
        }
    }
}

static void frame_is(struct mf_buf *b, const char *hex)
{
    MF_CLEANUP_BUF struct mf_buf want = {.max = 10000};
    unhex(hex, &want);
    if (b->len != want.len || memcmp(b->data, want.data, b->len) != 0) {
        for (size_t i = 0; i < b->len; i++) {
            print_error("%02x", (unsigned char)b->data[i]);
        }
        fail_msg(" is not %s", hex);
    }
    mf_buf_reset(b);
}

static void requests(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 10000}, values = {.max = 1000};
    struct mf_error err = {0};
    assert_mf_ok(cql_put_options(&b, 4, 7, &err), &err);
    frame_is(&b, "04 00 0007 05 00000000");
    assert_mf_ok(cql_put_startup(&b, 5, 0, "lz4", NULL, &err), &err);
    frame_is(&b, "05 00 0000 01 00000028 0002 000b 43514c5f56455253494f4e 0005 332e302e30"
                 "000b 434f4d5052455353494f4e 0003 6c7a34");
    assert_mf_ok(cql_put_auth_response(&b, 5, 1, "\0u\0p", 4, &err), &err);
    frame_is(&b, "05 00 0001 0f 00000008 00000004 00750070");
    assert_mf_ok(cql_put_register(&b, 5, 1, CQL_ON_STATUS, &err), &err);
    frame_is(&b, "05 00 0001 0b 00000011 0001 000d 5354415455535f4348414e4745");
    assert_mf_ok(cql_put_prepare(&b, 5, 1, "X", "ks", &err), &err);
    frame_is(&b, "05 00 0001 09 0000000d 00000001 58 00000001 0002 6b73");
    assert_mf_ok(cql_put_prepare(&b, 4, 1, "X", "ks", &err), &err);
    frame_is(&b, "04 00 0001 09 00000005 00000001 58");

    cql_put_bytes(&values, "ab", 2);
    cql_put_null(&values);
    cql_put_unset(&values);
    struct cql_params p = {.consistency = CQL_LOCAL_QUORUM,
                           .serial = CQL_LOCAL_SERIAL,
                           .values = {.p = (uint8_t *)values.data, .len = values.len, .n = 3},
                           .skip_metadata = true,
                           .page_size = 100,
                           .paging_state = {.p = (const uint8_t *)"\xaa", .n = 1},
                           .has_timestamp = true,
                           .timestamp = 5,
                           .keyspace = "k"};
#define VALUES "0003 00000002 6162 ffffffff fffffffe"
    assert_mf_ok(cql_put_query(&b, 5, 1, "Q", &p, &err), &err);
    frame_is(&b, "05 00 0001 07 00000031 00000001 51 0006 000000bf " VALUES
                 " 00000064 00000001 aa 0009 0000000000000005 0001 6b");
    assert_mf_ok(cql_put_query(&b, 4, 1, "Q", &p, &err), &err);
    frame_is(&b, "04 00 0001 07 0000002b 00000001 51 0006 3f " VALUES " 00000064 00000001 aa 0009 0000000000000005");
    struct cql_bytes id = {.p = (const uint8_t *)"\x01\x02", .n = 2};
    struct cql_params plain = {.consistency = CQL_ONE};
    assert_mf_ok(cql_put_execute(&b, 5, 1, id, (struct cql_bytes){.p = (const uint8_t *)"\x03", .n = 1}, &plain, &err),
                 &err);
    frame_is(&b, "05 00 0001 0a 0000000d 0002 0102 0001 03 0001 00000000");
    assert_mf_ok(cql_put_execute(&b, 4, 1, id, (struct cql_bytes){0}, &plain, &err), &err);
    frame_is(&b, "04 00 0001 0a 00000007 0002 0102 0001 00");
    struct cql_batch_item items[] = {{.id = id, .values = p.values}, {.cql = "Z"}};
    assert_mf_ok(cql_put_batch(&b, 5, 1, CQL_BATCH_UNLOGGED, items, 2, &p, &err), &err);
    frame_is(&b, "05 00 0001 0d 00000033 01 0002 01 0002 0102 " VALUES
                 " 00 00000001 5a 0000 0006 000000b0 0009 0000000000000005 0001 6b");
    p = (struct cql_params){.consistency = CQL_ALL};
    assert_mf_ok(cql_put_batch(&b, 4, 1, CQL_BATCH_LOGGED, items, 0, &p, &err), &err);
    frame_is(&b, "04 00 0001 0d 00000006 00 0000 0005 00");
}

static void values_are_found(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1000};
    cql_put_bytes(&b, "ab", 2);
    cql_put_null(&b);
    cql_put_bytes(&b, "", 0);
    struct cql_values v = {.p = (uint8_t *)b.data, .len = b.len, .n = 3};
    struct cql_bytes one;
    assert_true(cql_values_at(&v, 0, &one) && one.n == 2 && memcmp(one.p, "ab", 2) == 0);
    assert_true(cql_values_at(&v, 1, &one) && one.n == CQL_LEN_NULL);
    assert_true(cql_values_at(&v, 2, &one) && one.n == 0);
    assert_false(cql_values_at(&v, 3, &one));
    v.len--;
    assert_false(cql_values_at(&v, 2, &one));
}

/* ---- answers -- */

static struct mf_arena arena = {.max_bytes = 1 << 20};

/* Reads the body, and every cut of it, which must not be read past its end: each is copied to memory of its own. */
static struct cql_answer read_answer(uint8_t version, uint8_t flags, uint8_t opcode, const char *hex)
{
    static struct mf_buf body = {.max = 10000};
    struct mf_error err = {0};
    struct cql_answer a = {0};
    mf_buf_reset(&body);
    unhex(hex, &body);
    for (size_t n = 0; n <= body.len; n++) {
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, mf_buf_str(&body), n);
        struct cql_frame f = {
            .version = version, .flags = flags, .opcode = opcode, .stream = 9, .body = copy, .len = n};
        mf_arena_reset(&arena);
        if (cql_answer_read(&f, &arena, &a, &err) < 0) {
            assert_string_equal(err.code, "MFPROTO");
        }
        free(copy);
    }
    mf_arena_reset(&arena);
    struct cql_frame f = {.version = version,
                          .flags = flags,
                          .opcode = opcode,
                          .stream = 9,
                          .body = (uint8_t *)body.data,
                          .len = body.len};
    assert_mf_ok(cql_answer_read(&f, &arena, &a, &err), &err);
    assert_int_equal(a.opcode, opcode);
    assert_int_equal(a.stream, 9);
    return a;
}

static void malformed(uint8_t opcode, const char *hex)
{
    MF_CLEANUP_BUF struct mf_buf body = {.max = 10000};
    struct mf_error err = {0};
    struct cql_answer a;
    unhex(hex, &body);
    struct cql_frame f = {.version = 5, .opcode = opcode, .body = (uint8_t *)body.data, .len = body.len};
    assert_mf_fails(cql_answer_read(&f, &arena, &a, &err), &err, MF_RETRY, "malformed");
}

static void errors(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct cql_answer a = read_answer(5, 0, CQL_ERROR, "00001000 0002 6e6f 0006 00000002 00000001");
    assert_int_equal(a.error.code, CQL_E_UNAVAILABLE);
    assert_true(a.error.consistency == CQL_LOCAL_QUORUM && a.error.required == 2 && a.error.got == 1);
    assert_mf_fails(cql_server_fail(&err, &a.error), &err, MF_RETRY, "not enough replicas are up: no");
    assert_string_equal(err.code, "0x1000");
    a = read_answer(5, 0, CQL_ERROR, "00001100 0000 0001 00000001 00000002 000e 554e4c4f474745445f4241544348");
    assert_true(a.error.got == 1 && a.error.required == 2 && a.error.write_type == CQL_WRITE_UNLOGGED_BATCH);
    a = read_answer(5, 0, CQL_ERROR, "00001100 0000 0001 00000001 00000002 0003 434153 0007");
    assert_true(a.error.write_type == CQL_WRITE_CAS && a.error.contentions == 7);
    a = read_answer(5, 0, CQL_ERROR, "00001200 0000 0001 00000001 00000002 01");
    assert_true(a.error.data_present);
    a = read_answer(5, 0, CQL_ERROR, "00001300 0000 0001 00000001 00000002 00000001 04 7f000002 0002 00");
    assert_true(a.error.nfailures == 1 && a.error.failures[0].reason == 2 && a.error.failures[0].at.len == 4);
    char text[CQL_INET_TEXT];
    assert_string_equal(cql_inet_text(&a.error.failures[0].at, text), "127.0.0.2");
    a = read_answer(4, 0, CQL_ERROR, "00001500 0000 0001 00000001 00000002 00000003 0006 53494d504c45");
    assert_true(a.error.nfailures == 3 && !a.error.failures && a.error.write_type == CQL_WRITE_SIMPLE);
    a = read_answer(5, 0, CQL_ERROR, "00001400 0000 0002 6b73 0001 66 0001 0003 696e74");
    assert_string_equal(a.error.object, "f");
    assert_string_equal(a.error.arguments[0], "int");
    a = read_answer(5, 0, CQL_ERROR, "00002400 0000 0002 6b73 0000");
    assert_string_equal(a.error.keyspace, "ks");
    assert_mf_fails(cql_server_fail(&err, &a.error), &err, MF_FATAL, "already exists");
    a = read_answer(5, 0, CQL_ERROR, "00002500 0000 0002 abcd");
    assert_true(a.error.id.n == 2 && a.error.id.p[0] == 0xab);
    a = read_answer(5, 0, CQL_ERROR, "00001700 0000 0008 00000001 00000002");
    assert_int_equal(a.error.code, CQL_E_CAS_WRITE_UNKNOWN);
    a = read_answer(5, 0, CQL_ERROR, "00007777 0004 61ff0062");
    assert_string_equal(a.error.message, "a??b");
    assert_string_equal(cql_error_name(a.error.code), "error");
    malformed(CQL_ERROR, "00001300 0000 0001 00000001 00000002 7fffffff 04 7f000002 0002 00");
}

static void rows(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct cql_bytes cells[2];
    struct cql_answer a = read_answer(5, CQL_FLAG_TRACING | CQL_FLAG_WARNING | CQL_FLAG_PAYLOAD, CQL_RESULT,
                                      "000102030405060708090a0b0c0d0e0f 0001 0002 6869 0001 0001 61 00000001 62"
                                      "00000002 0000000b 00000002 00000003 010203 0002 abcd 0002 6b73 0001 74"
                                      "0001 61 0009 0001 62 0022 000d"
                                      "00000002 00000004 00000007 ffffffff 00000000 00000001 78");
    assert_memory_equal(a.trace, "\0\1\2\3", 4);
    assert_string_equal(a.warnings[0], "hi");
    assert_int_equal(a.result, CQL_ROWS);
    assert_true(a.rows.columns.changed && a.rows.columns.result_id.n == 2 && a.rows.columns.paging_state.n == 3);
    assert_true(a.rows.columns.n == 2 && a.rows.nrows == 2);
    assert_string_equal(a.rows.columns.columns[1].table, "t");
    assert_int_equal(a.rows.columns.columns[1].type->kind, CQL_K_SET);
    assert_int_equal(a.rows.columns.columns[1].type->sub[0]->kind, CQL_K_TEXT);
    assert_mf_fails(cql_rows_next(&a.rows, cells, 1, &err), &err, MF_FATAL, "room for 1");
    assert_int_equal(cql_rows_next(&a.rows, cells, 2, &err), 1);
    assert_true(cells[0].n == 4 && cells[1].n == CQL_LEN_NULL);
    assert_int_equal(cql_rows_next(&a.rows, cells, 2, &err), 1);
    assert_true(cells[0].n == 0 && cells[1].n == 1 && cells[1].p[0] == 'x');
    assert_int_equal(cql_rows_next(&a.rows, cells, 2, &err), 0);

    a = read_answer(5, 0, CQL_RESULT, "00000002 00000004 00000001 00000001 00000001 61");
    assert_true(a.rows.columns.none && !a.rows.columns.columns && a.rows.columns.n == 1);
    malformed(CQL_RESULT, "00000002 00000004 00000001 7fffffff 00000001 61"); /* more rows than bytes */
    malformed(CQL_RESULT, "00000002 00000004 00000000 7fffffff");             /* rows of nothing */
    malformed(CQL_RESULT, "00000002 00000001 00000200 0002 6b73 0001 74");    /* more columns than bytes */
    malformed(CQL_RESULT, "00000002 00000004 ffffffff 00000001");
    malformed(CQL_RESULT, "00000002 00000001 00000001 0000 0000 0001 61 0019 00000000"); /* no such type */
    malformed(CQL_RESULT, "00000009");
    malformed(CQL_QUERY, "");
    a = read_answer(5, 0, CQL_RESULT, "00000002 00000004 00000001 00000001 0000000a 61 62 63 64");
    assert_mf_fails(cql_rows_next(&a.rows, cells, 2, &err), &err, MF_RETRY, "ends within");
    assert_int_equal(cql_rows_next(&a.rows, cells, 2, &err), -1);
}

static void other_results(void **state)
{
    (void)state;
    struct cql_answer a = read_answer(5, 0, CQL_RESULT, "00000001");
    assert_int_equal(a.result, CQL_VOID);
    a = read_answer(5, 0, CQL_RESULT, "00000003 0002 6b73");
    assert_string_equal(a.keyspace, "ks");
    a = read_answer(5, 0, CQL_RESULT,
                    "00000004 0002 0102 0001 03 00000001 00000002 00000002 0001 0000 0002 6b73 0001 74 0001 61 0009"
                    "0001 62 0030 0002 6b73 0003 756474 0001 0001 66 0031 0002 0002 0003 00000004 00000000");
    assert_true(a.prepared.npk == 2 && a.prepared.pk[0] == 1 && a.prepared.pk[1] == 0);
    assert_true(a.prepared.binds.n == 2 && a.prepared.result.none && a.prepared.result.n == 0);
    assert_string_equal(a.prepared.binds.columns[1].type->fields[0], "f");
    assert_int_equal(a.prepared.binds.columns[1].type->sub[0]->sub[1]->kind, CQL_K_BLOB);
    a = read_answer(4, 0, CQL_RESULT, "00000004 0002 0102 00000000 00000000 00000000 00000004 00000000");
    assert_true(a.prepared.id.n == 2 && !a.prepared.result_id.p);
    malformed(CQL_RESULT, "00000004 0002 0102 0000 00000001 00000001 00000001 0001 0002 6b73 0001 74 0001 61 0009"
                          "00000004 00000000"); /* a key of a marker that is not there */
    a = read_answer(5, 0, CQL_RESULT, "00000005 0007 43524541544544 0005 5441424c45 0002 6b73 0001 74");
    assert_string_equal(a.schema.object, "t");
    a = read_answer(5, 0, CQL_SUPPORTED, "0001 000b 434f4d5052455353494f4e 0002 0006 736e61707079 0003 6c7a34");
    const char *const *v = cql_supported_values(&a.supported, "COMPRESSION");
    assert_string_equal(v[1], "lz4");
    assert_null(v[2]);
    assert_null(cql_supported_values(&a.supported, "X"));
    a = read_answer(5, 0, CQL_AUTHENTICATE, "0001 50");
    assert_string_equal(a.authenticator, "P");
    a = read_answer(5, 0, CQL_AUTH_SUCCESS, "ffffffff");
    assert_null(a.token.p);
    a = read_answer(5, 0, CQL_EVENT, "000d 5354415455535f4348414e4745 0004 444f574e 04 7f000001 00002352");
    char text[CQL_INET_TEXT];
    assert_int_equal(a.event.kind, CQL_ON_STATUS);
    assert_string_equal(a.event.change, "DOWN");
    assert_string_equal(cql_inet_text(&a.event.node, text), "127.0.0.1:9042");
    a = read_answer(5, 0, CQL_EVENT,
                    "000d 534348454d415f4348414e4745 0007 44524f50504544 0008 4b45595350414345 0002 6b73");
    assert_int_equal(a.event.kind, CQL_ON_SCHEMA);
    assert_string_equal(a.event.schema.keyspace, "ks");
    malformed(CQL_EVENT, "000d 5354415455535f4348414e4745 0004 444f574e 05 7f000001 0000235200");
    malformed(CQL_AUTHENTICATE, "0002 5000");
    malformed(CQL_AUTHENTICATE, "0001 ff");
}

/* ---- tokens: as the Python driver computes them -- */

static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int64_t token;
    } known[] = {
        {"", 0},
        {"61", -8839064797231613815ll},
        {"68656c6c6f", -3758069500696749310ll},
        {"000102030405060708090a0b0c0d0e0f", 4920504430128807728ll},
        {"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffff8001", 8914415145768933332ll},
        {"ffffffffffffffffffffffffffffff", -2195530867418009455ll},
        {"8080808080808080", -1779431913235548342ll},
        {"c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8", -7339430995465112631ll},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(known); i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 100};
        unhex(known[i].hex, &b);
        assert_true(cql_token(mf_buf_str(&b), b.len) == known[i].token);
    }
    MF_CLEANUP_BUF struct mf_buf values = {.max = 1 << 20};
    struct mf_error err = {0};
    int64_t token;
    cql_put_bytes(&values, "x", 1);
    cql_put_bytes(&values, "\0\0\0\1", 4);
    cql_put_null(&values);
    cql_put_bytes(&values, "", 0);
    struct cql_values v = {.p = (uint8_t *)values.data, .len = values.len, .n = 4};
    assert_mf_ok(cql_values_token(&v, (const uint16_t[]){1, 0}, 2, &token, &err), &err);
    assert_true(token == 746584927563629270ll);
    assert_mf_ok(cql_values_token(&v, (const uint16_t[]){0, 3}, 2, &token, &err), &err);
    assert_mf_fails(cql_values_token(&v, (const uint16_t[]){0, 2}, 2, &token, &err), &err, MF_ROW, "part 2");
    assert_mf_fails(cql_values_token(&v, (const uint16_t[]){3}, 1, &token, &err), &err, MF_ROW, "0 bytes");
    assert_mf_fails(cql_values_token(&v, (const uint16_t[]){4}, 1, &token, &err), &err, MF_FATAL, "not there");
}

static void consistencies(void **state)
{
    (void)state;
    enum cql_consistency c;
    assert_true(cql_consistency_of("local_quorum", &c) && c == CQL_LOCAL_QUORUM);
    assert_false(cql_consistency_of("LOCAL", &c));
    assert_string_equal(cql_consistency_name(10), "LOCAL_ONE");
    assert_string_equal(cql_consistency_name(11), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),      cmocka_unit_test(values_are_found), cmocka_unit_test(errors),
        cmocka_unit_test(rows),          cmocka_unit_test(other_results),    cmocka_unit_test(tokens),
        cmocka_unit_test(consistencies),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mf_arena_free(&arena);
    return failed;
}
