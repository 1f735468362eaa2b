/* Which index of a MySQL table is its key. */
#include "mf_test.h"

#include "base/arena.h"
#include "connector/mysql/keys.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct mf_arena arena;
    struct mf_table t;
};

/* a varchar, b int, c bigint, n int that may be null, g generated, d int */
static void make(struct fixture *f)
{
    static const struct mf_column columns[] = {
        {.name = "a", .type = "varchar(20) charset utf8mb4", .not_null = true},
        {.name = "b", .type = "int(11)", .not_null = true},
        {.name = "c", .type = "bigint(20)", .not_null = true},
        {.name = "n", .type = "int(11)"},
        {.name = "g", .type = "int(11)", .not_null = true, .generated = true},
        {.name = "d", .type = "int(11)", .not_null = true},
    };
    mf_arena_init(&f->arena, 1 << 20);
    f->t = (struct mf_table){.schema = "s", .name = "t", .ncolumns = 6};
    f->t.columns = mf_alloc(&f->arena, sizeof columns);
    assert_non_null(f->t.columns);
    memcpy(f->t.columns, columns, sizeof columns);
}

/* The key as "b,c"; "" for none. */
static void chosen(const struct my_key_part *given, size_t n, const char *want)
{
    struct fixture f;
    struct my_key_part parts[16];
    char key[100] = "";
    bool torn = false;
    make(&f);
    for (size_t i = 0; i < n; i++) {
        parts[i] = given[i];
    }
    assert_int_equal(my_key_choose(&f.t, parts, n, &f.arena, &torn), 0);
    assert_false(torn);
    unsigned in_key = 0;
    for (uint16_t i = 0; i < f.t.nkey; i++) {
        size_t used = strlen(key);
        snprintf(key + used, sizeof key - used, "%s%s", i ? "," : "", f.t.columns[f.t.key[i]].name);
        assert_true(f.t.columns[f.t.key[i]].in_key);
    }
    for (uint16_t i = 0; i < f.t.ncolumns; i++) {
        in_key += f.t.columns[i].in_key;
    }
    assert_string_equal(key, want);
    assert_int_equal(in_key, f.t.nkey);
    assert_int_equal(f.t.identity, *want ? MF_IDENTITY_KEY : MF_IDENTITY_FULL);
    mf_arena_free(&f.arena);
}

#define CHOSEN(want, ...)                                                                                              \
    do {                                                                                                               \
        const struct my_key_part parts_[] = {__VA_ARGS__};                                                             \
        chosen(parts_, sizeof parts_ / sizeof *parts_, want);                                                          \
    } while (0)

static void the_primary_key(void **state)
{
    (void)state;
    chosen(NULL, 0, "");
    CHOSEN("c,a", {"u", "b", 1}, {"PRIMARY", "a", 2},
           {"PRIMARY", "c", 1});                    /* in its own order, and before a shorter one */
    CHOSEN("b", {"PRIMARY", "b", 1, .hash = true}); /* of a table in memory */
    CHOSEN("b", {"u", "b", 1}, {"PRIMARY", "a", 1, .prefix = true});
    CHOSEN("b", {"u", "b", 1}, {"PRIMARY", "g", 1});
}

static void the_best_unique_index(void **state)
{
    (void)state;
    CHOSEN("b", {"u1", "c", 1}, {"u1", "d", 2}, {"u2", "b", 1}); /* fewest columns */
    CHOSEN("b", {"u1", "c", 1}, {"u2", "b", 1}, {"u3", "a", 1}); /* narrowest */
    CHOSEN("d", {"uz", "b", 1}, {"ua", "d", 1});                 /* by name */
    CHOSEN("d", {"ua", "d", 1}, {"uz", "b", 1});                 /* whatever the order they come in */
    CHOSEN("", {"u", "n", 1});                                   /* may be null */
    CHOSEN("", {"u", "b", 1}, {"u", "n", 2});
    CHOSEN("", {"u", "g", 1});  /* computed */
    CHOSEN("", {"u", NULL, 1}); /* an expression */
    CHOSEN("", {"u", "b", 1}, {"u", NULL, 2});
    CHOSEN("", {"u", "a", 1, .prefix = true});
    CHOSEN("", {"u", "a", 1, .hash = true}); /* no order: chunks cannot be cut by it */
    CHOSEN("c,d", {"u1", "n", 1}, {"u2", "d", 2}, {"u2", "c", 1});
}

static void an_index_of_another_look(void **state)
{
    (void)state;
    struct fixture f;
    bool torn = false;
    make(&f);
    struct my_key_part parts[] = {{"PRIMARY", "gone", 1}, {"u", "b", 1}};
    assert_int_equal(my_key_choose(&f.t, parts, 2, &f.arena, &torn), 0);
    assert_true(torn);
    mf_arena_free(&f.arena);
    mf_arena_init(&f.arena, 1 << 20);
    make(&f);
    f.arena.max_bytes = f.arena.used; /* full */
    assert_int_equal(my_key_choose(&f.t, &(struct my_key_part){"u", "b", 1}, 1, &f.arena, &torn), -1);
    mf_arena_free(&f.arena);
}

static uint64_t rule(const char *type, const char *collation)
{
    struct my_type t;
    struct mf_error err;
    assert_mf_ok(my_type_parse(type, NULL, &t, &err), &err);
    return my_equality(&t, collation);
}

/* Which texts a collation takes as one, and which collations are of one mind. */
static void the_rule_of_equality(void **state)
{
    (void)state;
    static const struct {
        const char *type, *collation;
    } exact[] = {{"int(11)", NULL},
                 {"varbinary(9)", NULL},
                 {"varchar(9) charset utf8mb4", "utf8mb4_0900_bin"},
                 {"varchar(9) charset utf8mb4", "utf8mb4_nopad_bin"},
                 {"char(9) charset utf8mb4", "utf8mb4_bin"},
                 {"char(36) charset ascii", "ascii_bin"},
                 {"enum('a','b') charset latin1", "latin1_bin"}};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        assert_int_equal(rule(exact[i].type, exact[i].collation), 0);
    }
    const char *text = "varchar(9) charset utf8mb4", *fixed = "char(9) charset utf8mb4";
    uint64_t blanks = rule(text, "utf8mb4_bin"), letters = rule(text, "utf8mb4_general_ci");
    assert_true(blanks && letters && blanks != letters);
    assert_true(rule(fixed, "utf8mb4_general_ci") == letters);
    assert_true(rule("varchar(9) charset utf8", "utf8_general_ci") == letters);
    assert_true(rule("varchar(9) charset utf8mb3", "utf8mb3_general_ci") == letters);
    assert_true(rule("varchar(9) charset latin1", "latin1_general_ci") != letters);
    assert_true(rule(text, "utf8mb4_0900_ai_ci") != letters);
    assert_true(rule("tinytext charset utf8mb4", "utf8mb4_bin") == blanks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_key),
        cmocka_unit_test(the_best_unique_index),
        cmocka_unit_test(an_index_of_another_look),
        cmocka_unit_test(the_rule_of_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
