/* What a relation version means, and how its rows are written. */
#include <string.h>

#include "map/map.h"
#include "mf_test.h"

struct col {
    const char *name;
    uint32_t type;
    bool key, generated;
};

static struct mf_arena arena;

static struct mf_table *table(const char *name, const struct col *cols, uint16_t n)
{
    struct mf_table *t = mf_alloc0(&arena, sizeof(*t));
    t->schema = "public";
    t->name = name;
    t->ncolumns = n;
    t->columns = mf_alloc_array(&arena, n, sizeof(*t->columns));
    t->key = mf_alloc_array(&arena, n, sizeof(*t->key));
    t->identity = MF_IDENTITY_FULL;
    for (uint16_t i = 0; i < n; i++) {
        t->columns[i] = (struct mf_column){.name = cols[i].name,
                                           .type_id = cols[i].type,
                                           .in_key = cols[i].key,
                                           .type_mod = -1,
                                           .generated = cols[i].generated};
        if (cols[i].key) {
            t->identity = MF_IDENTITY_KEY;
            t->key[t->nkey++] = i;
        }
    }
    return t;
}

static const struct col planned[] = {
    {"id", 20, true, false}, {"a", 25, false, false}, {"b", 25, false, false}, {"g", 25, false, true}};
/* The replica's own order, and a column of its own. */
static const struct col there[] = {
    {"b", 1025, false, false}, {"id", 20, true, false}, {"own", 25, false, false}, {"a", 25, false, false}};

static struct mf_map *new_map(const struct col *o, uint16_t no, const struct col *r, uint16_t nr, enum mf_on_ddl policy)
{
    struct mf_error err;
    struct mf_map *m = NULL;
    struct mf_catalog origin = {.tables = table("t", o, no), .n = 1}, replica = {.tables = table("t", r, nr), .n = 1};
    assert_mf_ok(mf_map_new(&origin, &replica, policy, &m, &err), &err);
    return m;
}

static int setup(void **st)
{
    (void)st;
    mf_arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **st)
{
    (void)st;
    mf_arena_free(&arena);
    return 0;
}

static enum mf_map_verdict verdict(enum mf_on_ddl policy, const struct col *seen, uint16_t n, const char *says)
{
    struct mf_error err = {0};
    int added = 0;
    struct mf_map *m = new_map(planned, 4, planned, 4, policy);
    enum mf_map_verdict v = mf_map_relation(m, table("t", seen, n), &added, &err);
    if (says && !strstr(err.text, says)) {
        fail_msg("expected \"%s\" in \"%s\"", says, err.text);
    }
    mf_map_free(m);
    return v;
}

static void test_verdicts(void **st)
{
    (void)st;
    const struct col same[] = {{"id", 20, true}, {"a", 25}, {"b", 25}};
    const struct col older[] = {{"id", 20, true}, {"a", 25}};
    const struct col more[] = {{"id", 20, true}, {"a", 25}, {"b", 25}, {"c", 25}};
    const struct col typed[] = {{"id", 20, true}, {"a", 25}, {"b", 23}};
    const struct col renamed[] = {{"id", 20, true}, {"a", 25}, {"z", 25}};
    const struct col middle[] = {{"id", 20, true}, {"b", 25}};
    const struct col rekeyed[] = {{"id", 20}, {"a", 25, true}, {"b", 25}};
    const struct col full[] = {{"id", 20}, {"a", 25}, {"b", 25}};
    assert_int_equal(verdict(MF_DDL_STOP, same, 3, NULL), MF_MAP_SAME);
    assert_int_equal(verdict(MF_DDL_STOP, full, 3, NULL), MF_MAP_SAME);
    assert_int_equal(verdict(MF_DDL_STOP, older, 2, "\"b\""), MF_MAP_OLDER);
    assert_int_equal(verdict(MF_DDL_STOP, more, 4, "\"c\""), MF_MAP_ADDITIVE);
    assert_int_equal(verdict(MF_DDL_STOP, typed, 3, "type changed of column \"b\""), MF_MAP_CHANGED);
    assert_int_equal(verdict(MF_DDL_STOP, renamed, 3, "public.t"), MF_MAP_CHANGED);
    assert_int_equal(verdict(MF_DDL_STOP, middle, 2, "\"a\""), MF_MAP_CHANGED);
    assert_int_equal(verdict(MF_DDL_STOP, rekeyed, 3, "key"), MF_MAP_CHANGED);
    assert_int_equal(verdict(MF_DDL_IGNORE, more, 4, NULL), MF_MAP_SAME);
    assert_int_equal(verdict(MF_DDL_IGNORE, renamed, 3, NULL), MF_MAP_SAME);
    assert_int_equal(verdict(MF_DDL_IGNORE, typed, 3, "type"), MF_MAP_CHANGED);
}

static void test_a_table_nobody_planned(void **st)
{
    (void)st;
    struct mf_error err = {0};
    int added = 0;
    const struct col c[] = {{"id", 20, true}};
    struct mf_map *m = new_map(planned, 4, planned, 4, MF_DDL_ADDITIVE);
    assert_int_equal(mf_map_relation(m, table("u", c, 1), &added, &err), MF_MAP_NEW_TABLE);
    assert_mf_ok(mf_map_accept(m, table("u", c, 1), table("u", c, 1), &err), &err);
    assert_int_equal(mf_map_relation(m, table("u", c, 1), &added, &err), MF_MAP_SAME);
    mf_map_free(m);
}

static void test_accepted_columns_and_older_versions(void **st)
{
    (void)st;
    struct mf_error err = {0};
    int added = 0;
    const struct col old[] = {{"id", 20, true}, {"a", 25}}, new[] = {{"id", 20, true}, {"a", 25}, {"c", 25}};
    struct mf_map *m = new_map(old, 2, old, 2, MF_DDL_ADDITIVE);
    assert_int_equal(mf_map_relation(m, table("t", new, 3), &added, &err), MF_MAP_ADDITIVE);
    assert_int_equal(added, 1);
    assert_mf_ok(mf_map_accept(m, table("t", new, 3), table("t", new, 3), &err), &err);
    assert_int_equal(mf_map_relation(m, table("t", new, 3), &added, &err), MF_MAP_SAME);
    assert_int_equal(mf_map_relation(m, table("t", old, 2), &added, &err), MF_MAP_OLDER);
    const struct mf_map_rel *rel = NULL;
    assert_mf_ok(mf_map_resolve(m, table("t", old, 2), &rel, &err), &err);
    assert_int_equal(rel->table->ncolumns, 2);
    mf_map_free(m);
}

static struct mf_value text(const char *s)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s};
}

static void test_rows_take_the_replicas_place(void **st)
{
    (void)st;
    struct mf_error err = {0};
    const struct col seen[] = {{"id", 20, true}, {"a", 25}, {"b", 25}};
    struct mf_map *m = new_map(planned, 4, there, 4, MF_DDL_STOP);
    const struct mf_map_rel *rel = NULL, *again = NULL;
    assert_mf_ok(mf_map_resolve(m, table("t", seen, 3), &rel, &err), &err);
    assert_mf_ok(mf_map_resolve(m, table("t", seen, 3), &again, &err), &err);
    assert_ptr_equal(rel, again);
    assert_int_equal(rel->table->ncolumns, 3);
    assert_int_equal(rel->table->nkey, 1);
    assert_string_equal(rel->table->columns[rel->table->key[0]].name, "id");
    assert_int_equal(rel->table->columns[2].type_id, 1025); /* b, with the replica's type */
    struct mf_value v[] = {text("1"), text("x"), {.kind = MF_UNCHANGED}};
    struct mf_change in = {.op = MF_UPDATE, .new_row = {.n = 3, .values = v}}, out;
    assert_mf_ok(mf_map_project(rel, &arena, &in, &out, &err), &err);
    assert_int_equal(out.new_row.values[2].kind, MF_UNCHANGED);
    in.new_row.n = 2;
    assert_mf_fails(mf_map_project(rel, &arena, &in, &out, &err), &err, MF_FATAL, "2 values");
    mf_map_free(m);
}

static void test_whole_old_rows_fill_what_did_not_change(void **st)
{
    (void)st;
    struct mf_error err = {0};
    const struct col seen[] = {{"id", 20}, {"a", 25}, {"b", 25}};
    struct mf_map *m = new_map(planned, 4, planned, 4, MF_DDL_STOP);
    const struct mf_map_rel *rel = NULL;
    assert_mf_ok(mf_map_resolve(m, table("t", seen, 3), &rel, &err), &err);
    assert_int_equal(rel->table->identity, MF_IDENTITY_KEY); /* it has one, whatever the stream carries */
    struct mf_value old[] = {text("1"), text("x"), text("large")},
                    new[] = {text("1"), text("y"), {.kind = MF_UNCHANGED}};
    struct mf_change in = {.op = MF_UPDATE,
                           .has_old = true,
                           .old_row = {.n = 3, .values = old},
                           .new_row = {.n = 3, .values = new}},
                     out;
    assert_mf_ok(mf_map_project(rel, &arena, &in, &out, &err), &err);
    assert_true(mf_row_whole(&out.new_row));
    assert_int_equal(out.new_row.values[2].len, 5);
    mf_map_free(m);
}

static void test_pairs_leave_out_what_is_computed(void **st)
{
    (void)st;
    struct mf_error err = {0};
    struct mf_table *o, *r;
    struct mf_map *m = new_map(planned, 4, there, 4, MF_DDL_STOP);
    assert_mf_ok(mf_map_pair(m, &arena, table("t", planned, 4), &o, &r, &err), &err);
    assert_int_equal(o->ncolumns, 3);
    assert_int_equal(r->ncolumns, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(o->columns[i].name, r->columns[i].name);
    }
    assert_int_equal(r->columns[2].type_id, 1025);
    assert_mf_fails(mf_map_pair(m, &arena, table("none", planned, 4), &o, &r, &err), &err, MF_FATAL, "public.none");
    mf_map_free(m);
}

/* By bytes where the replica takes texts as equal and the origin does not, or by another rule. */
static void test_what_only_bytes_tell_apart(void **st)
{
    (void)st;
    static const struct col cols[] = {{"k", 25, true}, {"a", 25}, {"b", 25}, {"c", 25}};
    struct mf_error err = {0};
    struct mf_catalog origin = {.tables = table("t", cols, 4), .n = 1},
                      replica = {.tables = table("t", cols, 4), .n = 1};
    const uint64_t here[] = {0, 7, 7, 7}, there_too[] = {7, 7, 8, 0};
    for (int i = 0; i < 4; i++) {
        origin.tables->columns[i].equality = here[i];
        replica.tables->columns[i].equality = there_too[i];
    }
    struct mf_map *m = NULL;
    struct mf_table *o, *r;
    const struct mf_map_rel *rel = NULL;
    assert_mf_ok(mf_map_new(&origin, &replica, MF_DDL_STOP, &m, &err), &err);
    for (int again = 0; again < 2; again++) {
        assert_mf_ok(mf_map_resolve(m, table("t", cols, 4), &rel, &err), &err);
        assert_mf_ok(mf_map_pair(m, &arena, origin.tables, &o, &r, &err), &err);
        const struct mf_table *both[] = {rel->table, r};
        for (int i = 0; i < 2; i++) {
            const struct mf_column *c = both[i]->columns;
            assert_true(c[0].by_bytes && !c[1].by_bytes && c[2].by_bytes && !c[3].by_bytes);
        }
        assert_false(o->columns[0].by_bytes);
        assert_mf_ok(mf_map_accept(m, origin.tables, replica.tables, &err), &err);
    }
    mf_map_free(m);
}

static void test_names_tell_a_version_that_goes_on(void **st)
{
    (void)st;
    const struct col old[] = {{"id", 20, true}, {"a", 25}}, more[] = {{"id", 20, true}, {"a", 25}, {"c", 25}},
                     other[] = {{"id", 20, true}, {"c", 25}, {"a", 25}};
    struct mf_map_names was, now;
    mf_map_names_of(NULL, table("t", old, 2), -1, &was);
    assert_int_equal(was.n, 2);
    mf_map_names_of(NULL, table("t", more, 3), was.n, &now);
    assert_true(now.n == was.n && now.hash == was.hash);
    mf_map_names_of(NULL, table("t", other, 3), was.n, &now);
    assert_true(now.hash != was.hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_table_nobody_planned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_accepted_columns_and_older_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_take_the_replicas_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_old_rows_fill_what_did_not_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pairs_leave_out_what_is_computed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_only_bytes_tell_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_tell_a_version_that_goes_on, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
