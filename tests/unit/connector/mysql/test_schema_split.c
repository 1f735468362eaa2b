/* SHOW CREATE TABLE taken apart, with names that hold everything. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/schema_split.h"

#include <stdio.h>
#include <string.h>

static struct mf_arena arena;

static int setup(void **state)
{
    (void)state;
    mf_arena_init(&arena, 1u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mf_arena_free(&arena);
    return 0;
}

static void split(struct my_create *c, const char *text)
{
    struct mf_error err = {0};
    assert_mf_ok(my_create_split(text, &arena, c, &err), &err);
}

static void is(struct my_piece p, const char *text)
{
    MF_CLEANUP_FREE char *s = strndup(p.n ? p.p : "", p.n);
    assert_string_equal(s, text);
}

static void a_table_is_its_columns_keys_and_tail(void **state)
{
    (void)state;
    struct my_create c;
    split(&c, "CREATE TABLE `orders` (\n"
              "  `id` int(11) NOT NULL AUTO_INCREMENT,\n"
              "  `total` decimal(10,2) DEFAULT '0.00',\n"
              "  `state` enum('new','done') COLLATE utf8mb4_bin NOT NULL,\n"
              "  PRIMARY KEY (`id`),\n"
              "  UNIQUE KEY `u` (`total`,`state`),\n"
              "  KEY `k` (`state`(3)) USING BTREE COMMENT 'c',\n"
              "  FULLTEXT KEY `ft` (`state`) /*!50100 WITH PARSER `ngram` */ ,\n"
              "  SPATIAL KEY `sp` (`g`),\n"
              "  CONSTRAINT `fk` FOREIGN KEY (`total`) REFERENCES `other` (`id`) ON DELETE CASCADE,\n"
              "  CONSTRAINT `fk2` FOREIGN KEY (`total`) REFERENCES `db 2`.`o` (`id`),\n"
              "  CONSTRAINT `ck` CHECK ((`total` > 1))\n"
              ") ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4");
    static const enum my_item_kind kinds[] = {MY_ITEM_COLUMN,  MY_ITEM_COLUMN,  MY_ITEM_COLUMN,   MY_ITEM_PRIMARY,
                                              MY_ITEM_UNIQUE,  MY_ITEM_KEY,     MY_ITEM_FULLTEXT, MY_ITEM_SPATIAL,
                                              MY_ITEM_FOREIGN, MY_ITEM_FOREIGN, MY_ITEM_CHECK};
    assert_string_equal(c.name, "orders");
    assert_int_equal(c.nitems, MF_ARRAY_LEN(kinds));
    for (size_t i = 0; i < c.nitems; i++) {
        assert_int_equal(c.items[i].kind, kinds[i]);
    }
    is(c.items[1].text, "`total` decimal(10,2) DEFAULT '0.00'");
    assert_string_equal(c.items[3].name, "PRIMARY");
    is(c.items[4].inner, "`total`,`state`");
    is(c.items[5].inner, "`state`(3)");
    assert_string_equal(c.items[6].name, "ft");
    assert_string_equal(c.items[8].ref_table, "other");
    assert_null(c.items[8].ref_schema);
    assert_string_equal(c.items[9].ref_schema, "db 2");
    assert_string_equal(c.items[9].ref_table, "o");
    is(c.items[9].inner, "`total`");
    assert_string_equal(c.items[10].name, "ck");
    is(c.tail, "ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4");
    assert_ptr_equal(my_create_find(&c, MY_ITEM_KEY, "K"), &c.items[5]);
    assert_null(my_create_find(&c, MY_ITEM_KEY, "u"));
    assert_ptr_equal(my_create_find(&c, -1, "u"), &c.items[4]);
}

static void names_and_texts_may_hold_anything(void **state)
{
    (void)state;
    struct my_create c;
    split(&c, "CREATE TABLE `a``b,(\n) ENGINE=x` (\n"
              "  `c``,\n  KEY ``x`` (` int COMMENT 'it''s, a \\'note\\') , PRIMARY KEY (`x`)',\n"
              "  `e` enum(')','a,b','`','\\\\','''') NOT NULL DEFAULT '\\\\',\n"
              "  `g` int GENERATED ALWAYS AS (if((`e` = _utf8mb4')'),1,2)) VIRTUAL,\n"
              "  KEY `k``(` (`c``,\n  KEY ``x`` (`)\n"
              ") COMMENT=') , `'");
    assert_string_equal(c.name, "a`b,(\n) ENGINE=x");
    assert_int_equal(c.nitems, 4);
    assert_string_equal(c.items[0].name, "c`,\n  KEY `x` (");
    assert_string_equal(c.items[1].name, "e");
    assert_int_equal(c.items[2].kind, MY_ITEM_COLUMN);
    assert_string_equal(c.items[3].name, "k`(");
    char name[257];
    bool whole;
    size_t pos = 0;
    assert_true(my_key_column(c.items[3].inner, &pos, name, &whole));
    assert_string_equal(name, "c`,\n  KEY `x` (");
    assert_true(whole);
    assert_false(my_key_column(c.items[3].inner, &pos, name, &whole));
    is(c.tail, "COMMENT=') , `'");
}

static void what_a_key_is_made_of(void **state)
{
    (void)state;
    static const char inner[] = "`a`,`b`(10),`c` DESC,(lower(`d`)),`e`(5) ASC, `f`";
    static const struct {
        const char *name;
        bool whole;
    } want[] = {{"a", true}, {"b", false}, {"c", true}, {"", false}, {"e", false}, {"f", true}};
    struct my_piece p = {inner, strlen(inner)};
    size_t pos = 0, n = 0;
    char name[257];
    bool whole;
    for (; my_key_column(p, &pos, name, &whole); n++) {
        assert_true(n < MF_ARRAY_LEN(want));
        assert_string_equal(name, want[n].name);
        assert_int_equal(whole, want[n].whole);
    }
    assert_int_equal(n, MF_ARRAY_LEN(want));
}

static void partitions_and_periods_are_kept(void **state)
{
    (void)state;
    struct my_create c;
    split(&c, "CREATE TABLE `p` (\n  `id` int NOT NULL,\n  `s` timestamp(6) GENERATED ALWAYS AS ROW START,\n"
              "  PERIOD FOR SYSTEM_TIME (`s`, `e`)\n) ENGINE=InnoDB\n/*!50100 PARTITION BY RANGE (id)\n"
              "(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */");
    assert_int_equal(c.nitems, 3);
    assert_int_equal(c.items[2].kind, MY_ITEM_OTHER);
    is(c.tail,
       "ENGINE=InnoDB\n/*!50100 PARTITION BY RANGE (id)\n(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */");
}

static void a_default_is_a_value_or_it_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *column;
        bool constant;
    } tests[] = {
        {"`a` int(11)", true},
        {"`a` int(11) DEFAULT NULL", true},
        {"`a` int(11) NOT NULL DEFAULT '0' COMMENT 'DEFAULT now()'", true},
        {"`a` int(11) NOT NULL DEFAULT -1", true},
        {"`a` bit(3) DEFAULT b'101'", true},
        {"`a` varchar(9) DEFAULT _utf8mb4'x'", true},
        {"`DEFAULT` int DEFAULT 1.5e3", true},
        {"`a` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", false},
        {"`a` datetime DEFAULT current_timestamp()", false},
        {"`a` binary(16) DEFAULT (uuid_to_bin(uuid()))", false},
        {"`a` varchar(36) DEFAULT uuid()", false},
        {"`a` int DEFAULT (1)", false},
        {"`a` int DEFAULT", false},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(tests); i++) {
        char text[300];
        struct my_create c;
        snprintf(text, sizeof text, "CREATE TABLE `t` (%s)", tests[i].column);
        split(&c, text);
        assert_int_equal(c.nitems, 1);
        if (my_default_is_constant(&c.items[0]) != tests[i].constant) {
            fail_msg("%s", tests[i].column);
        }
        assert_int_equal(my_item_says(&c.items[0], "ON", "UPDATE"), i == 7);
        assert_int_equal(my_item_says(&c.items[0], "NOT", NULL), strstr(tests[i].column, "NOT") != NULL);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "CREATE",
        "CREATE VIEW `v` AS SELECT 1",
        "CREATE TABLE `t",
        "CREATE TABLE `t` ",
        "CREATE TABLE `t` (",
        "CREATE TABLE `t` ()",
        "CREATE TABLE `t` (`a` int",
        "CREATE TABLE `t` (`a` int COMMENT 'x)",
        "CREATE TABLE `t` (`a` int,)",
        "CREATE TABLE `t` (KEY `k` `a`)",
        "CREATE TABLE `t` (KEY `k)",
        "CREATE TABLE `t` (CONSTRAINT `c` FOREIGN KEY (`a`) `b` (`c`))",
        "CREATE TABLE `t` (CONSTRAINT `c` WHAT (`a`))",
        "CREATE TABLE `t` (CONSTRAINT CHECK",
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        struct mf_error err = {0};
        struct my_create c;
        if (my_create_split(bad[i], &arena, &c, &err) == 0) {
            fail_msg("taken apart: %s", bad[i]);
        }
        assert_string_equal(err.code, "MFDDL");
    }
}

static void more_than_memory_allows_is_refused(void **state)
{
    (void)state;
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4u << 20};
    struct mf_error err = {0};
    struct my_create c;
    mf_buf_puts(&b, "CREATE TABLE `t` (`a` int");
    for (int i = 0; i < 20000; i++) {
        mf_buf_puts(&b, ",KEY `k` (`a`)");
    }
    mf_buf_puts(&b, ")");
    assert_mf_fails(my_create_split(mf_buf_str(&b), &arena, &c, &err), &err, MF_FATAL, "too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_is_its_columns_keys_and_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_texts_may_hold_anything, setup, teardown),
        cmocka_unit_test(what_a_key_is_made_of),
        cmocka_unit_test_setup_teardown(partitions_and_periods_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_default_is_a_value_or_it_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_memory_allows_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
