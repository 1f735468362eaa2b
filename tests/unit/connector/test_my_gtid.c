/* Sets of transactions of MySQL and MariaDB, and positions made of them. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/gtid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "00000000-0000-0000-0000-00000000000b"

static struct my_gtid_set *set(bool mariadb, const char *text)
{
    struct mf_error err = {0};
    struct my_gtid_set *s = my_gtid_set_new(mariadb);
    assert_mf_ok(my_gtid_set_parse(s, text, &err), &err);
    return s;
}

static void prints(bool mariadb, const char *text, const char *want, uint64_t count)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = 10000};
    struct my_gtid_set *s = set(mariadb, text);
    my_gtid_set_print(s, &out);
    assert_string_equal(mf_buf_str(&out), want);
    assert_int_equal(my_gtid_set_count(s), count);
    my_gtid_set_free(s);
}

static void intervals_are_merged(void **state)
{
    (void)state;
    prints(false, "", "", 0);
    prints(false, " \n ", "", 0);
    prints(false, A ":1", A ":1", 1);
    prints(false, A ":1-5", A ":1-5", 5);
    prints(false, A ":1-5:7", A ":1-5:7", 6);
    prints(false, A ":7:1-5", A ":1-5:7", 6);
    prints(false, A ":1-5:6", A ":1-6", 6);
    prints(false, A ":6:1-5", A ":1-6", 6);
    prints(false, A ":1-5:3-9", A ":1-9", 9);
    prints(false, A ":1-5:2", A ":1-5", 5);
    prints(false, A ":1:3:5:7:2-6", A ":1-7", 7);
    prints(false, A ":1:3:5:7:9:3-6", A ":1:3-7:9", 7);
    prints(false, A ":10-20:1-3:5-6:4", A ":1-6:10-20", 17);
    prints(false, A ":1-5,\n" B ":1-9", B ":1-9," A ":1-5", 14);
    prints(false, "3E11FA47-71CA-11E1-9E33-C80AA9429562:1 - 5 : 7", A ":1-5:7", 6);
    prints(false, A ":1-5," A ":6-8", A ":1-8", 8);
    prints(false, A ":9223372036854775806", A ":9223372036854775806", 1);
}

static void without(const char *text, const char *gtid, const char *want)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = 10000};
    struct my_gtid_set *s = set(false, text), *kept = my_gtid_set_clone(s);
    struct my_gtid g = {0};
    assert_true(my_gtid_parse(gtid, false, &g));
    my_gtid_set_remove(s, &g);
    my_gtid_set_print(s, &out);
    assert_string_equal(mf_buf_str(&out), want);
    assert_false(my_gtid_set_has(s, &g));
    mf_buf_reset(&out);
    my_gtid_set_print(kept, &out);
    assert_string_equal(mf_buf_str(&out), text);
    my_gtid_set_free(s);
    my_gtid_set_free(kept);
}

static void one_is_taken_out(void **state)
{
    (void)state;
    without(A ":1-5", A ":5", A ":1-4");
    without(A ":1-5", A ":1", A ":2-5");
    without(A ":1-5", A ":3", A ":1-2:4-5");
    without(A ":1-5:7:9-10", A ":7", A ":1-5:9-10");
    without(A ":1-5:7:9-10", A ":9", A ":1-5:7:10");
    without(A ":1-5:7:9-10", A ":6", A ":1-5:7:9-10");
    without(B ":1-5," A ":7", A ":7", B ":1-5");
    without(A ":7", A ":7", "");
    without(A ":1-5:tag:7", A ":tag:7", A ":1-5");
    without(A ":1-5", B ":5", A ":1-5");
}

static void domains_are_lowered(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf out = {.max = 10000};
    struct my_gtid_set *s = set(true, "0-1-42,1-2-7,3-1-1");
    struct my_gtid g = {0};
    assert_true(my_gtid_set_last(s, 1, &g));
    assert_true(g.server == 2 && g.number == 7 && g.mariadb);
    assert_false(my_gtid_set_last(s, 2, &g));
    assert_true(my_gtid_parse("0-5-40", true, &g));
    my_gtid_set_lower(s, 0, &g);
    assert_true(my_gtid_parse("1-5-40", true, &g));
    my_gtid_set_lower(s, 1, &g);
    my_gtid_set_lower(s, 3, NULL);
    my_gtid_set_lower(s, 4, NULL);
    my_gtid_set_print(s, &out);
    assert_string_equal(mf_buf_str(&out), "0-5-40,1-2-7");
    my_gtid_set_free(s);
}

static void one_transaction(void **state)
{
    (void)state;
    static const char *const ones[] = {A ":7", A ":tag:7", B ":9223372036854775806"};
    struct my_gtid g = {0}, h = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(ones); i++) {
        MF_CLEANUP_BUF struct mf_buf out = {.max = 10000};
        assert_true(my_gtid_parse(ones[i], false, &g));
        my_gtid_print(&g, &out);
        assert_string_equal(mf_buf_str(&out), ones[i]);
        assert_true(my_gtid_same(&g, &g));
        assert_false(my_gtid_same(&g, &h));
        h = g;
    }
    static const char *const none[] = {"", A, A ":1-2", A ":1:3", A ":1," B ":1", A ":x", "0-1-2"};
    for (size_t i = 0; i < MF_ARRAY_LEN(none); i++) {
        assert_false(my_gtid_parse(none[i], false, &g));
    }
    assert_false(my_gtid_parse("0-1-2,1-1-2", true, &g));
    assert_false(my_gtid_parse(A ":1", true, &g));
}

/* A tag is that of the numbers behind it; each tag counts for itself. */
static void tags(void **state)
{
    (void)state;
    prints(false, A ":tag:1-5", A ":tag:1-5", 5);
    prints(false, A ":b:1-5:3:7:a:2:1-3:b:6", A ":a:1-3:b:1-7", 10);
    prints(false, A ":1-2:B_2:1," B ":b:4", B ":b:4," A ":1-2:b_2:1", 4);
    prints(false, A ":a2345678901234567890123456789012:1", A ":a2345678901234567890123456789012:1", 1);
    prints(false, A ":1 : t : 2-3 : 5", A ":1:t:2-3:5", 4);
    struct my_gtid_set *s = set(false, A ":1-3:t:1-5"), *plain = set(false, A ":1-5");
    assert_false(my_gtid_set_contains(s, plain) || my_gtid_set_contains(plain, s));
    struct my_gtid g = {
        .uuid = {0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62},
        .number = 5};
    assert_false(my_gtid_set_has(s, &g));
    memcpy(g.tag, "t", 2);
    assert_true(my_gtid_set_has(s, &g));
    memcpy(g.tag, "u", 2);
    bool new = false;
    my_gtid_set_add(s, &g, &new);
    assert_true(new &&my_gtid_set_has(s, &g) && my_gtid_set_count(s) == 9);
    my_gtid_set_free(s);
    my_gtid_set_free(plain);
}

static void domains(void **state)
{
    (void)state;
    prints(true, "", "", 0);
    prints(true, "0-1-42", "0-1-42", 42);
    prints(true, "1-2-7, 0-1-42", "0-1-42,1-2-7", 49);
    prints(true, "0-1-42,0-2-43", "0-2-43", 43);
    prints(true, "0-1-42,0-2-41", "0-1-42", 42);
    prints(true, "0-1-18446744073709551615,1-1-5", "0-1-18446744073709551615,1-1-5", UINT64_MAX);
}

static void malformed(void **state)
{
    (void)state;
    static const char *const mysql[] = {
        "x",
        A,
        A ":",
        A ":0",
        A ":1-",
        A ":5-3",
        A ":1,",
        "," A ":1",
        A ":1;",
        A ":1-2-3",
        A ":tag",
        A ":1:tag",
        A ":1tag:1",
        A ":tag:",
        A ":t-g:1",
        A ":tag:tag:1",
        A ":a23456789012345678901234567890123:1",
        A ":-1",
        A ":1 2",
        "0-1-42",
        A ":9223372036854775807",
        A ":99999999999999999999999",
        "3e11fa4771ca11e19e33c80aa9429562:1",
        "3e11fa47-71ca-11e1-9e33-c80aa942956:1",
        "3e11fa47-71ca-11e1-9e33-c80aa942956g:1",
    };
    static const char *const mariadb[] = {
        "x",      "0",      "0-1",    "0-1-",           "0-1-2-3",        "0-1-x",
        "0--1-2", "0-1-2,", ",0-1-2", "4294967296-1-2", "0-4294967296-2", "0-1-18446744073709551616",
        A ":1"};
    struct mf_error err = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(mysql) + MF_ARRAY_LEN(mariadb); i++) {
        bool maria = i >= MF_ARRAY_LEN(mysql);
        const char *text = maria ? mariadb[i - MF_ARRAY_LEN(mysql)] : mysql[i];
        struct my_gtid_set *s = my_gtid_set_new(maria);
        if (my_gtid_set_parse(s, text, &err) == 0) {
            fail_msg("taken for a set: %s", text);
        }
        assert_string_equal(err.code, "MFGTID");
        my_gtid_set_free(s);
    }
    my_gtid_set_free(NULL);
}

/* ---- adding one by one, against a plain array ---- */

#define NUMBERS 64

static void adding_one_by_one(void **state)
{
    (void)state;
    srandom(20261128);
    for (int round = 0; round < 200; round++) {
        bool there[NUMBERS + 2] = {false};
        struct my_gtid_set *s = my_gtid_set_new(false);
        struct my_gtid g = {.uuid = {1, 2, 3}};
        uint64_t count = 0;
        for (int step = 0; step < NUMBERS; step++) {
            bool new;
            g.number = (uint64_t)(random() % NUMBERS) + 1;
            my_gtid_set_add(s, &g, &new);
            assert_int_equal(new, !there[g.number]);
            there[g.number] = true;
            count += new;
        }
        assert_int_equal(my_gtid_set_count(s), count);
        for (g.number = 1; g.number <= NUMBERS; g.number++) {
            assert_int_equal(my_gtid_set_has(s, &g), there[g.number]);
        }
        MF_CLEANUP_BUF struct mf_buf text = {.max = 10000};
        my_gtid_set_print(s, &text);
        struct my_gtid_set *again = set(false, mf_buf_str(&text));
        assert_true(my_gtid_set_contains(s, again) && my_gtid_set_contains(again, s));
        my_gtid_set_free(again);
        my_gtid_set_free(s);
    }
}

static void what_is_not_a_number_of_one(void **state)
{
    (void)state;
    struct my_gtid_set *s = my_gtid_set_new(false);
    bool new;
    my_gtid_set_add(s, &(struct my_gtid){.anonymous = true, .number = 5}, &new);
    my_gtid_set_add(s, &(struct my_gtid){.mariadb = true, .number = 5}, NULL);
    my_gtid_set_add(s, &(struct my_gtid){.number = 0}, NULL);
    my_gtid_set_add(s, &(struct my_gtid){.number = UINT64_MAX}, NULL);
    assert_true(new);
    assert_int_equal(my_gtid_set_count(s), 0);
    assert_false(my_gtid_set_has(s, &(struct my_gtid){.anonymous = true, .number = 5}));
    my_gtid_set_free(s);
}

static void adding_to_a_domain(void **state)
{
    (void)state;
    struct my_gtid_set *s = set(true, "0-1-5");
    bool new;
    my_gtid_set_add(s, &(struct my_gtid){.mariadb = true, .domain = 0, .server = 2, .number = 5}, &new);
    assert_false(new);
    my_gtid_set_add(s, &(struct my_gtid){.mariadb = true, .domain = 0, .server = 2, .number = 6}, &new);
    assert_true(new);
    my_gtid_set_add(s, &(struct my_gtid){.mariadb = true, .domain = 3, .server = 2, .number = 1}, &new);
    assert_true(new);
    MF_CLEANUP_BUF struct mf_buf text = {.max = 100};
    my_gtid_set_print(s, &text);
    assert_string_equal(mf_buf_str(&text), "0-2-6,3-2-1");
    my_gtid_set_free(s);
}

static void contains(bool mariadb, const char *a, const char *b, bool want)
{
    struct my_gtid_set *x = set(mariadb, a), *y = set(mariadb, b);
    if (my_gtid_set_contains(x, y) != want) {
        fail_msg("%s and %s", a, b);
    }
    my_gtid_set_free(x);
    my_gtid_set_free(y);
}

static void one_in_another(void **state)
{
    (void)state;
    contains(false, A ":1-5", "", true);
    contains(false, "", A ":1", false);
    contains(false, A ":1-5", A ":2-4", true);
    contains(false, A ":1-5", A ":1-6", false);
    contains(false, A ":1-5:7-9", A ":4-7", false);
    contains(false, A ":1-5:7-9", A ":5:7:9", true);
    contains(false, A ":1-5:7-9", A ":6", false);
    contains(false, A ":1-5", B ":1", false);
    contains(false, A ":1-5," B ":1", B ":1", true);
    contains(true, "0-1-5", "0-1-5", true);
    contains(true, "0-1-5", "0-2-5", false); /* two servers wrote number 5: two histories */
    contains(true, "0-1-5", "0-2-4", true);
    contains(true, "0-1-5", "0-1-6", false);
    contains(true, "0-1-5", "1-1-1", false);
    struct my_gtid_set *mysql = set(false, A ":1"), *mariadb = set(true, "0-1-1"), *none = set(true, "");
    assert_false(my_gtid_set_contains(mysql, mariadb));
    assert_true(my_gtid_set_contains(mysql, none));
    my_gtid_set_free(mysql);
    my_gtid_set_free(mariadb);
    my_gtid_set_free(none);
}

static void as_a_replica_sends_it(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf out = {.max = 1000};
    static const uint8_t want[] = {
        2,    0,    0,    0,    0,    0,    0,    0, /* two servers */
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x0b, /* B */
        1,    0,    0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    0,    0,    0,    0,
        0,    1,    0,    0,    0,    0,    0,    0, /* 1 to before 256 */
        0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62, /* A */
        2,    0,    0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    0,    0,    0,    0,
        6,    0,    0,    0,    0,    0,    0,    0,                                                 /* 1 to before 6 */
        7,    0,    0,    0,    0,    0,    0,    0,    8,    0,    0,    0,    0,    0,    0,    0, /* 7 */
    };
    struct my_gtid_set *s = set(false, A ":1-5:7," B ":1-255");
    my_gtid_set_encode(s, &out);
    assert_int_equal(out.len, sizeof want);
    assert_memory_equal(out.data, want, sizeof want);
    my_gtid_set_free(s);
    mf_buf_reset(&out);
    /* With a tag, as a 9.7 wrote it into its log (PREVIOUS_GTIDS). */
    static const uint8_t tagged[] =
        {
            1,    2,    0,    0,    0,    0,    0,    1, /* two, between marks */
            0x09, 0x0c, 0x27, 0x14, 0xeb, 0x42, 0x11, 0xf1, 0x9b, 0x02, 0x02, 0xfc, 0, 0, 0, 1, 0, /* no tag */
            1,    0,    0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    0, 0, 0, 0, 6,
            0,    0,    0,    0,    0,    0,    0, /* 1 to before 6 */
            0x09, 0x0c, 0x27, 0x14, 0xeb, 0x42, 0x11, 0xf1, 0x9b, 0x02, 0x02, 0xfc, 0, 0, 0, 1, 8,
            'b',  'l',  'u',  'e',  1,    0,    0,    0,    0,    0,    0,    0,    1, 0, 0, 0, 0,
            0,    0,    0,    3,    0,    0,    0,    0,    0,    0,    0, /* 1 to before 3 */
        };
    s = set(false, "090c2714-eb42-11f1-9b02-02fc00000001:1-5:blue:1-2");
    my_gtid_set_encode(s, &out);
    assert_int_equal(out.len, sizeof tagged);
    assert_memory_equal(out.data, tagged, sizeof tagged);
    my_gtid_set_free(s);
    mf_buf_reset(&out);
    s = my_gtid_set_new(false);
    my_gtid_set_encode(s, &out);
    assert_int_equal(out.len, 8);
    my_gtid_set_free(s);
}

/* ---- positions ---- */

static void positions_of_sets(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_position p = {0};
    struct my_gtid_set *s = set(false, A ":1-5:7");
    assert_mf_ok(my_gtid_set_position(s, &p, &err), &err);
    assert_int_equal(p.order, 6);
    assert_string_equal(p.token, A ":1-5:7");
    for (uint64_t i = 100; i < 900; i += 2) {
        my_gtid_set_add(s, &(struct my_gtid){.uuid = {9}, .number = i}, NULL);
    }
    assert_mf_fails(my_gtid_set_position(s, &p, &err), &err, MF_FATAL, "a position holds 511");
    assert_string_equal(err.code, "MFGTID");
    assert_int_equal(p.order, 6);
    my_gtid_set_free(s);
}

static void positions_in_files(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct mf_position a = {0}, b = {0}, c = {0};
    char file[64];
    uint64_t offset = 0;
    assert_mf_ok(my_file_position("binlog.000003", 1234, &a, &err), &err);
    assert_string_equal(a.token, "binlog.000003:1234");
    assert_int_equal(a.order, ((uint64_t)3 << 40) + 1234);
    assert_mf_ok(my_file_position("binlog.000004", 4, &b, &err), &err);
    assert_mf_ok(my_file_position("binlog.1000000", 4, &c, &err), &err);
    assert_true(a.order < b.order && b.order < c.order);
    assert_true(my_parse_file_position(a.token, file, sizeof file, &offset));
    assert_string_equal(file, "binlog.000003");
    assert_int_equal(offset, 1234);
    assert_mf_fails(my_file_position("binlog", 4, &a, &err), &err, MF_FATAL, "no position");
    assert_mf_fails(my_file_position("binlog.x", 4, &a, &err), &err, MF_FATAL, "no position");
    assert_mf_fails(my_file_position("binlog.0", 4, &a, &err), &err, MF_FATAL, "no position");
    assert_mf_fails(my_file_position("binlog.99999999", 4, &a, &err), &err, MF_FATAL, "no position");
    assert_mf_fails(my_file_position("binlog.000001", (uint64_t)1 << 40, &a, &err), &err, MF_FATAL, "no position");
    static const char *const not [] = {"",       ":",  "binlog.000003", "binlog.000003:", "binlog.000003:x", "0-1-42",
                                       A ":1-5", "x:5"};
    for (size_t i = 0; i < MF_ARRAY_LEN(not ); i++) {
        if (my_parse_file_position(not [i], file, sizeof file, &offset)) {
            fail_msg("taken for a file's position: %s", not [i]);
        }
    }
    assert_false(my_parse_file_position("a-log-whose-name-is-longer.000003:5", file, 10, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_merged),
        cmocka_unit_test(one_is_taken_out),
        cmocka_unit_test(domains_are_lowered),
        cmocka_unit_test(one_transaction),
        cmocka_unit_test(tags),
        cmocka_unit_test(domains),
        cmocka_unit_test(malformed),
        cmocka_unit_test(adding_one_by_one),
        cmocka_unit_test(what_is_not_a_number_of_one),
        cmocka_unit_test(adding_to_a_domain),
        cmocka_unit_test(one_in_another),
        cmocka_unit_test(as_a_replica_sends_it),
        cmocka_unit_test(positions_of_sets),
        cmocka_unit_test(positions_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
