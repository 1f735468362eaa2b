/* Single events of the binary log, made by hand: what each tells, and what is refused. */
#include "my_log.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/number_text.h"

#include <string.h>
#include <time.h>
#include <zlib.h>

static int decode(struct my_binlog *d, uint8_t type, const char *hex, struct my_event *e, struct mf_error *err)
{
    static struct mf_buf event = {.max = 1 << 20}; /* stays, as the caller's bytes must */
    struct bytes body = unhex(hex);
    mf_buf_free(&event);
    put_event(&event, type, body.p, body.n);
    int rc = my_binlog_event(d, event.data, event.len, e, err);
    free(body.p);
    return rc;
}

static void each_small_event_tells_its_own(void **state)
{
    (void)state;
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_error err = {0};
    assert_mf_ok(decode(d, 4, "04000000 00000000 62696e2e303031", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_ROTATE);
    assert_string_equal(e.rotate.file, "bin.001");
    assert_int_equal(e.rotate.position, 4);
    assert_int_equal(e.server_id, 9);

    assert_mf_ok(decode(d, 27, "62696e2e303031", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_HEARTBEAT);
    assert_string_equal(e.rotate.file, "bin.001");
    assert_int_equal(e.rotate.position, 1000);

    /* Version 2: a position that 32 bits do not hold. */
    assert_mf_ok(decode(d, 41, "01 07 62696e2e303031 02 09 fe0000000001000000 00", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_HEARTBEAT);
    assert_string_equal(e.rotate.file, "bin.001");
    assert_int_equal(e.rotate.position, (uint64_t)1 << 32);

    assert_mf_ok(decode(d, 33, "01 000102030405060708090a0b0c0d0e0f 0500000000000000 02 0000", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_GTID);
    assert_false(e.gtid.anonymous || e.gtid.mariadb);
    assert_int_equal(e.gtid.uuid[15], 15);
    assert_int_equal(e.gtid.number, 5);
    assert_mf_ok(decode(d, 34, "01 00000000000000000000000000000000 0000000000000000", &e, &err), &err);
    assert_true(e.gtid.anonymous);

    assert_mf_ok(decode(d, 162, "0700000000000000 03000000 01 000000000000", &e, &err), &err);
    assert_true(e.gtid.mariadb && e.gtid.standalone);
    assert_int_equal(e.gtid.domain, 3);
    assert_int_equal(e.gtid.server, 9);
    assert_int_equal(e.gtid.number, 7);

    assert_mf_ok(decode(d, 2, "01000000 00000000 02 9a04 0300 aabbcc 6462 00 424547494e", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_QUERY);
    assert_string_equal(e.query.schema, "db");
    assert_int_equal(e.query.error, 1178);
    assert_int_equal(e.query.len, 5);
    assert_memory_equal(e.query.text, "BEGIN", 5);
    assert_true(e.query.utf8);
    assert_false(e.query.has_sql_mode);

    /* In its client's character set: latin1, GBK (whose second byte may be a backslash), UTF-8, one that is not known, none. */
    assert_mf_ok(decode(d, 2,
                        "01000000 00000000 02 0000 1a00 00 00000000 01 2000200000000000 06 03 737464 04 0800 2d00 2d00"
                        " 6462 00 4752 d6df",
                        &e, &err),
                 &err);
    assert_true(e.query.utf8 && e.query.has_sql_mode);
    assert_int_equal(e.query.sql_mode, 0x200020);
    assert_int_equal(e.query.len, 6);
    assert_memory_equal(e.query.text, "GR\xc3\x96\xc3\x9f", 6);
    assert_mf_ok(decode(d, 2, "01000000 00000000 02 0000 0700 04 1c00 2d00 2d00 6462 00 60 815c 60", &e, &err), &err);
    assert_true(e.query.utf8);
    assert_int_equal(e.query.len, 5);
    assert_memory_equal(e.query.text, "`\xe4\xb9\x97`", 5);
    assert_mf_ok(decode(d, 2, "01000000 00000000 02 0000 0700 04 ff00 2d00 2d00 6462 00 c3a9", &e, &err), &err);
    assert_true(e.query.utf8);
    assert_memory_equal(e.query.text, "\xc3\xa9", 2);
    assert_mf_ok(decode(d, 2, "01000000 00000000 02 0000 0700 04 0f27 2d00 2d00 6462 00 e9", &e, &err), &err);
    assert_false(e.query.utf8);
    assert_mf_ok(decode(d, 2, "01000000 00000000 02 0000 0000 6462 00 e9", &e, &err), &err);
    assert_false(e.query.utf8);
    assert_memory_equal(e.query.text, "\xe9", 1);

    assert_mf_ok(decode(d, 38, "01 ffffffff 01000000 00000000 78", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_XA_PREPARE);
    assert_true(e.xa.one_phase);
    assert_string_equal(e.xa.id, "x'78',x'',4294967295");

    assert_mf_ok(decode(d, 26, "0100 05 6c6f73742e", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_INCIDENT);
    assert_string_equal(e.incident.message, "lost.");

    static const uint8_t statements[] = {5, 13, 14, 17, 18}, nothing[] = {28, 29, 35, 36, 37, 160, 161, 163, 164};
    for (size_t i = 0; i < sizeof(statements); i++) {
        assert_mf_ok(decode(d, statements[i], "00", &e, &err), &err);
        assert_int_equal(e.kind, MY_EV_INTVAR_OR_LIKE);
    }
    for (size_t i = 0; i < sizeof(nothing); i++) {
        assert_mf_ok(decode(d, nothing[i], "00", &e, &err), &err);
        assert_int_equal(e.kind, MY_EV_OTHER);
    }
    assert_mf_ok(decode(d, 3, "", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_STOP);
    my_binlog_free(d);
}

static void what_is_not_understood_is_an_error(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        const char *body, *says;
    } cases[] = {
        {200, "00", "type 200"},
        {42, "00", "GTID with a tag"},
        {42, "02 04 1a 04 04", "GTID with a tag"},
        {42, "02 06 00 02 0000", "GTID with a tag"},
        {42, "02 06 00 04 00 06 02 61", "GTID with a tag"},
        {42, "02 06 00 04 06 06 02 61", "GTID with a tag"},
        {42, "02 06 00 04 04 06 02 31", "GTID with a tag"},
        {42, "02 06 00 04 04 06 02 41", "GTID with a tag"},
        {42, "02 06 00 04 04 06 42", "GTID with a tag"},
        {20, "000000000000 0000 01 ff", "MySQL 5.1's first"},
        {33, "01 0001", "GTID"},
        {33, "01 000102030405060708090a0b0c0d0e0f 0000000000000000", "GTID"},
        {162, "0000000000000000 03000000 01", "GTID"},
        {2, "01000000 00000000 05 0000 0000 6462", "statement"},
        {38, "00 01000000 41000000 00000000 78", "XA"},
        {4, "04000000 00000000", "file"},
        {41, "02 01 05 00", "file"},
        {19, "010000000000 0100 01 61 00 01 62", "name"},
        {19, "010000000000 0100 01 61 00 01 62 00 fb", "columns"},
        {19, "010000000000 0100 01 61 00 01 62 00 02 03", "columns"},
        {30, "010000000000 0100 0200 01 ff", "not announced"},
        {165, "01000000 00000000 00 0000 0000 00 81 20 789c", "compressed part"},
        {165, "01000000 00000000 00 0000 0000 00 84 7fffffff 789c", "larger"},
        {165, "01000000 00000000 00 0000 0000 00 91 20 789c", "unknown way"},
        {40, "02 01 01 00 00", "unknown way"},
        {40, "01 01 05 00 00", "ends early"},
        {15, "0300", "format description"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        struct my_binlog *d = my_binlog_new();
        struct my_event e;
        struct mf_error err = {0};
        if (decode(d, cases[i].type, cases[i].body, &e, &err) == 0 || !strstr(err.text, cases[i].says)) {
            fail_msg("type %u, %s: \"%s\"", cases[i].type, cases[i].body, err.text);
        }
        assert_int_equal(err.cls, MF_FATAL);
        my_binlog_free(d);
    }
}

/* A file that is being written says so in its first event, after the sum was made; what the server makes for a connection has a sum or none, as
 * the connection asked, and a wrong one is found where sums are due. */
static void sums_are_where_they_are_due(void **state)
{
    (void)state;
    struct bytes log = read_file("mysql80", "bin");
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_error err = {0};
    uint8_t rotate[19 + 8 + 7 + 4] = {[4] = 4, [9] = 19 + 8 + 7 + 4, [17] = 0x20, [19] = 4};
    memcpy(rotate + 27, "bin.001", 7);
    mf_put_u32le(rotate + 34, (uint32_t)crc32_z(0, rotate, 34));
    assert_mf_ok(my_binlog_event(d, rotate, sizeof(rotate), &e, &err), &err);
    assert_string_equal(e.rotate.file, "bin.001");

    uint8_t *format = log.p + 4;
    format[17] |= 1;
    assert_mf_ok(my_binlog_event(d, format, mf_get_u32le(format + 9), &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_FORMAT);
    assert_mf_ok(my_binlog_event(d, rotate, sizeof(rotate), &e, &err), &err);
    assert_string_equal(e.rotate.file, "bin.001");
    rotate[30] ^= 1;
    assert_mf_fails(my_binlog_event(d, rotate, sizeof(rotate), &e, &err), &err, MF_FATAL, "checksum");
    my_binlog_free(d);
    free(log.p);
}

/* ---- shapes ---- */

#define MAP_HEAD "010000000000 0100 01 61 00 01 62 00 "

static void a_type_that_does_not_fit_the_map_is_refused(void **state)
{
    (void)state;
    static const char *two[] = {"a", "b"};
    static const struct {
        const char *map; /* columns, types, metadata, nullable, optional */
        struct my_type type;
        const char *says; /* NULL: it fits */
    } cases[] = {
        {"01 03 00 00", {.base = MY_INT}, NULL},
        {"01 03 00 00", {.base = MY_BIGINT}, "a.b: column 1: the binary log has another type of it: another kind"},
        {"01 03 00 00 01 01 80", {.base = MY_INT}, "another sign"},
        {"01 03 00 00 01 01 80", {.base = MY_INT, .is_unsigned = true}, NULL},
        {"01 03 00 00 01 01 00", {.base = MY_INT, .is_unsigned = true}, "another sign"},
        {"02 0303 00 00", {.base = MY_INT}, "has 2 columns of it, the catalogue 1"},
        {"01 f6 02 0a02 00", {.base = MY_DECIMAL, .precision = 10, .scale = 3}, "precision"},
        {"01 f6 02 0a02 00", {.base = MY_DECIMAL, .precision = 10, .scale = 2}, NULL},
        {"01 12 01 06 00", {.base = MY_DATETIME, .scale = 3}, "fractional"},
        {"01 0c 00 00", {.base = MY_DATETIME}, NULL},
        {"01 0c 00 00", {.base = MY_DATETIME, .scale = 3}, "before MySQL 5.6"},
        {"01 0f 02 1400 00", {.base = MY_VARCHAR, .length = 20, .charset = "latin1"}, NULL},
        {"01 0f 02 1400 00", {.base = MY_VARCHAR, .length = 5, .charset = "utf8mb4"}, NULL},
        {"01 0f 02 1400 00", {.base = MY_VARCHAR, .length = 6, .charset = "utf8mb4"}, "length"},
        {"01 0f 02 1400 00", {.base = MY_VARBINARY, .length = 20}, NULL},
        {"01 0f 02 1400 00", {.base = MY_VARBINARY, .length = 10}, "length"},
        {"01 0f 02 1400 00", {.base = MY_CHAR, .length = 20, .charset = "latin1"}, "VARCHAR"},
        {"01 0f 02 1400 00", {.base = MY_VARCHAR, .length = 20, .charset = "filename"}, "character set \"filename\""},
        {"01 fc 01 02 00", {.base = MY_BLOB, .length = 65535}, NULL},
        {"01 fc 01 02 00", {.base = MY_BLOB, .length = 255}, "size"},
        {"01 fc 01 02 00", {.base = MY_JSON}, "TEXT or BLOB"},
        {"01 fe 02 f701 00", {.base = MY_ENUM, .nmembers = 2, .members = two}, NULL},
        {"01 fe 02 f702 00", {.base = MY_ENUM, .nmembers = 2, .members = two}, "members"},
        {"01 fe 02 f701 00", {.base = MY_SET, .nmembers = 2, .members = two}, "ENUM or SET"},
        {"01 fe 02 f801 00", {.base = MY_SET, .nmembers = 2}, "members"},
        /* CHAR(255) of four bytes each: the length's high bits are in the byte of the type. */
        {"01 fe 02 cefc 00", {.base = MY_CHAR, .length = 255, .charset = "utf8mb4"}, NULL},
        {"01 10 02 0101 00", {.base = MY_BIT, .length = 9}, NULL},
        {"01 10 02 0101 00", {.base = MY_BIT, .length = 10}, "bits"},
        {"01 8c 01 02 00", {.base = MY_BLOB, .length = 65535}, NULL},
        {"01 8d 02 1500 00", {.base = MY_VARBINARY, .length = 20}, NULL},
        {"01 8d 02 1500 00", {.base = MY_VARBINARY, .length = 21}, "length"},
        {"01 f2 01 04 00", {.base = MY_VECTOR, .length = 3}, NULL},
        {"01 f2 01 04 00", {.base = MY_BLOB, .length = 65535}, "another kind"},
        {"01 f3 01 04 00", {.base = MY_BLOB, .length = 65535}, "(243) that cannot be read"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        char hex[256];
        struct my_binlog *d = my_binlog_new();
        struct my_event e;
        struct mf_error err = {0};
        snprintf(hex, sizeof(hex), MAP_HEAD "%s", cases[i].map);
        assert_mf_ok(decode(d, 19, hex, &e, &err), &err);
        int rc = my_binlog_columns(d, 1, &cases[i].type, 1, &err);
        if ((rc == 0) != !cases[i].says || (rc < 0 && !strstr(err.text, cases[i].says))) {
            fail_msg("case %zu, %s: \"%s\"", i, cases[i].map, err.text);
        }
        assert_true(rc == 0 || mf_streq(err.code, "MFSHAPE"));
        my_binlog_free(d);
    }
}

static void names_are_told_when_the_server_is_set_to(void **state)
{
    (void)state;
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_error err = {0};
    assert_mf_ok(decode(d, 19, MAP_HEAD "02 0303 00 00 04 05 01 78 02 7979", &e, &err), &err);
    assert_true(e.map.has_names);
    assert_string_equal(e.map.schema, "a");
    assert_string_equal(e.map.table, "b");
    assert_string_equal(e.map.names[0], "x");
    assert_string_equal(e.map.names[1], "yy");
    my_binlog_free(d);
}

/* Early servers of 8.0 have no bit for a YEAR, later ones and MariaDB have: either is right, and a sign that fits neither is found. */
static void a_year_may_have_a_sign(void **state)
{
    (void)state;
    static const struct my_type types[3] = {{.base = MY_YEAR}, {.base = MY_INT, .is_unsigned = true}, {.base = MY_INT}};
    static const struct {
        const char *bits;
        bool fits;
    } cases[] = {{"80", true}, {"c0", true}, {"40", true}, {"20", false}, {"e0", false}, {"00", false}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        char hex[256];
        struct my_binlog *d = my_binlog_new();
        struct my_event e;
        struct mf_error err = {0};
        snprintf(hex, sizeof(hex), MAP_HEAD "03 0d0303 00 00 01 01 %s", cases[i].bits);
        assert_mf_ok(decode(d, 19, hex, &e, &err), &err);
        if ((my_binlog_columns(d, 1, types, 3, &err) == 0) != cases[i].fits) {
            fail_msg("%s: \"%s\"", cases[i].bits, err.text);
        }
        my_binlog_free(d);
    }
}

/* ---- rows ---- */

static const struct my_type ints[2] = {{.base = MY_INT}, {.base = MY_INT}};

static struct my_binlog *with_map(void)
{
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_error err = {0};
    assert_mf_ok(decode(d, 19, MAP_HEAD "02 0303 00 03", &e, &err), &err);
    assert_mf_ok(my_binlog_columns(d, 1, ints, 2, &err), &err);
    return d;
}

static int next(struct my_binlog *d, struct mf_arena *a, struct mf_row *old, struct mf_row *new, bool *more,
                struct mf_error *err)
{
    bool partial;
    return my_rows_next(d, a, old, new, &partial, more, err);
}

static void rows_that_end_early_or_tell_nothing_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        const char *body, *says;
    } cases[] = {
        {30, "010000000000 0100 0200 02 03 00 01000000",
         "a.b: an event of the binary log is not understood: a row that ends early"},
        {30, "010000000000 0100 0200 02 03 00 01000000 02000000 00", "ends early"},
        {30, "010000000000 0100 0200 02 00", "without one column"},
        {31, "010000000000 0100 0200 02 03 00 00 01000000 02000000", "without one column"},
        {31, "010000000000 0100 0200 02 03 03 00 01000000 02000000", "ends early"},
        {166, "010000000000 0100 02 03 81", "compressed"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
        struct my_binlog *d = with_map();
        struct my_event e;
        struct mf_row old, new;
        struct mf_error err = {0};
        bool more = true;
        int rc = 0;
        assert_mf_ok(decode(d, cases[i].type, cases[i].body, &e, &err), &err);
        while (more && (rc = next(d, &arena, &old, &new, &more, &err)) == 0) {}
        if (rc == 0 || !strstr(err.text, cases[i].says)) {
            fail_msg("case %zu: \"%s\"", i, err.text);
        }
        assert_int_equal(next(d, &arena, &old, &new, &more, &err), -1);
        my_binlog_free(d);
    }
}

/* Table maps are good for one statement; the columns given for one stay when the next statement's map is the same. */
static void a_map_holds_for_its_statement(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    static const char row[] = "010000000000 0100 0200 02 ff 02 07000000",
                      more_to_come[] = "010000000000 0000 0200 02 ff 02 07000000";
    struct my_binlog *d = with_map();
    struct my_event e;
    struct mf_row old, new;
    struct mf_error err = {0};
    bool more;
    assert_mf_ok(decode(d, 30, more_to_come, &e, &err), &err);
    assert_false(e.rows.statement_end);
    assert_mf_ok(decode(d, 30, row, &e, &err), &err);
    assert_true(e.rows.statement_end);
    assert_mf_ok(next(d, &arena, &old, &new, &more, &err), &err);
    assert_true(more && old.n == 0 && new.n == 2);
    assert_memory_equal(new.values[0].data, "7", 1);
    assert_int_equal(new.values[1].kind, MF_NULL);
    assert_mf_fails(decode(d, 30, row, &e, &err), &err, MF_FATAL, "not announced");

    assert_mf_ok(decode(d, 19, MAP_HEAD "02 0303 00 03", &e, &err), &err);
    assert_mf_ok(decode(d, 30, row, &e, &err), &err);
    assert_mf_ok(next(d, &arena, &old, &new, &more, &err), &err);
    assert_true(more);
    /* Another map by the same id: its columns are not known. */
    assert_mf_ok(decode(d, 19, MAP_HEAD "02 0303 00 00", &e, &err), &err);
    assert_mf_ok(decode(d, 30, row, &e, &err), &err);
    assert_mf_fails(next(d, &arena, &old, &new, &more, &err), &err, MF_FATAL, "columns are not known");
    /* An event that only ends a statement. */
    assert_mf_ok(decode(d, 30, "ffffff000000 0100 0200 00", &e, &err), &err);
    assert_int_equal(e.kind, MY_EV_OTHER);
    my_binlog_free(d);
}

static void an_arena_that_is_full_is_an_error(void **state)
{
    (void)state;
    struct my_binlog *d = with_map();
    struct my_event e;
    struct mf_row old, new;
    struct mf_error err = {0};
    bool more;
    for (size_t max = 0; max < 80; max += 16) {
        MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = max};
        assert_mf_ok(decode(d, 19, MAP_HEAD "02 0303 00 03", &e, &err), &err);
        assert_mf_ok(decode(d, 30, "010000000000 0100 0200 02 03 00 01000000 02000000", &e, &err), &err);
        int rc = next(d, &arena, &old, &new, &more, &err);
        assert_int_equal(rc, max < 64 ? -1 : 0);
        assert_true(rc == 0 || mf_streq(err.code, "MFBIG"));
    }
    my_binlog_free(d);
}

/* Servers leave the blanks out themselves, as far as it is known. */
static void blanks_behind_a_char_are_no_part_of_it(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena arena = {.max_bytes = 1 << 20};
    static const struct my_type types[2] = {{.base = MY_CHAR, .length = 5, .charset = "latin1"},
                                            {.base = MY_CHAR, .length = 5, .charset = "utf16"}};
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_row old, new;
    struct mf_error err = {0};
    bool more;
    assert_mf_ok(decode(d, 19, MAP_HEAD "02 fefe 04 fe05 fe14 00", &e, &err), &err);
    assert_mf_ok(my_binlog_columns(d, 1, types, 2, &err), &err);
    assert_mf_ok(decode(d, 30, "010000000000 0100 0200 02 03 00 03 206120 08 0061 0020 0062 0020", &e, &err), &err);
    assert_mf_ok(next(d, &arena, &old, &new, &more, &err), &err);
    assert_int_equal(new.values[0].len, 2);
    assert_memory_equal(new.values[0].data, " a", 2);
    assert_int_equal(new.values[1].len, 3);
    assert_memory_equal(new.values[1].data, "a b", 3);
    my_binlog_free(d);
}

/* ---- the text of numbers ---- */

static void every_day_has_its_date(void **state)
{
    (void)state;
    for (uint64_t seconds = 1; seconds <= UINT32_MAX; seconds += 86399) {
        time_t at = (time_t)seconds;
        struct tm tm;
        struct my_time t;
        gmtime_r(&at, &tm);
        my_time_of_unix((uint32_t)seconds, 0, &t);
        if ((int)t.year != tm.tm_year + 1900 || (int)t.month != tm.tm_mon + 1 || (int)t.day != tm.tm_mday ||
            (int)t.hour != tm.tm_hour || (int)t.minute != tm.tm_min || (int)t.second != tm.tm_sec) {
            fail_msg("%llu: %u-%u-%u", (unsigned long long)seconds, t.year, t.month, t.day);
        }
    }
}

static void a_double_has_the_fewest_digits(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        double v;
        uint64_t bits = i < 2046 ? (uint64_t)i << 52 : x; /* powers of two first */
        memcpy(&v, &bits, sizeof(v));
        if (v - v != 0) {
            continue;
        }
        char text[MY_NUMBER_TEXT + 1], other[64];
        size_t n = mf_put_double(text, v);
        text[n] = '\0';
        assert_true(n < MY_NUMBER_TEXT);
        double back = strtod(text, NULL);
        if (memcmp(&back, &v, sizeof(v)) != 0) {
            fail_msg("%.17g became %s", v, text);
        }
        int digits = 0;
        for (const char *p = text + strspn(text, "-0."); *p && *p != 'e'; p++) {
            digits += *p >= '0' && *p <= '9';
        }
        snprintf(other, sizeof(other), "%.*e", digits > 2 ? digits - 2 : 0, v);
        if (digits > 1 && strtod(other, NULL) == v && !strchr(text, 'e')) {
            size_t zeros = 0;
            while (n > zeros && text[n - 1 - zeros] == '0') {
                zeros++;
            }
            assert_true(zeros > 0); /* 1200: its zeros are not digits that tell anything */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_small_event_tells_its_own),
        cmocka_unit_test(what_is_not_understood_is_an_error),
        cmocka_unit_test(a_type_that_does_not_fit_the_map_is_refused),
        cmocka_unit_test(a_year_may_have_a_sign),
        cmocka_unit_test(names_are_told_when_the_server_is_set_to),
        cmocka_unit_test(rows_that_end_early_or_tell_nothing_are_refused),
        cmocka_unit_test(a_map_holds_for_its_statement),
        cmocka_unit_test(an_arena_that_is_full_is_an_error),
        cmocka_unit_test(sums_are_where_they_are_due),
        cmocka_unit_test(blanks_behind_a_char_are_no_part_of_it),
        cmocka_unit_test(every_day_has_its_date),
        cmocka_unit_test(a_double_has_the_fewest_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
