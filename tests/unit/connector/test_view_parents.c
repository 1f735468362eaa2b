/* Columns of parents in query tables: what the map may say, how rows are read, and what the stream tells of changes of either side; with a server in memory. */
#include "view_fixture.h"

static const struct mf_mem_column orders[] = {
    {.name = "id", .in_key = true}, {.name = "customer", .text = true}, {.name = "note", .text = true}};
static const struct mf_mem_column customers[] = {
    {.name = "key", .text = true, .in_key = true}, {.name = "name", .text = true}, {.name = "seen"}};
static const struct mf_mem_column loose[] = {{.name = "x", .text = true}};

#define NAME "{name: who, from: customers.name, by: customer}"
#define MAP  "map: [{table: orders, to: q, columns: ['*', " NAME "]}]\nmap_only: true\n"

static int setup(void **state)
{
    struct shown *s = shown_new("joined", "mem://joined");
    *state = s;
    assert_mf_ok(mf_mem_create_table(s->server, "public", "orders", orders, 3, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "customers", customers, 3, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "loose", loose, 1, &s->err), &s->err);
    return 0;
}

static struct mf_row row(struct shown *s, const char *a, const char *b, const char *c)
{
    return row_of(s, (const char *[]){a, b, c}, 3);
}

/* One transaction: of the table's row, what it was and what it is; a NULL of either: an insert, a delete. */
static void change(struct shown *s, struct mf_mem_txn *in, const char *table, const struct mf_row *old,
                   const struct mf_row *new)
{
    struct mf_mem_txn *x = in ? in : mf_mem_begin(s->server);
    int rc = !old  ? mf_mem_insert(x, "public", table, new, &s->err)
             : new ? mf_mem_update(x, "public", table, old, new, &s->err)
                   : mf_mem_delete(x, "public", table, old, &s->err);
    assert_mf_ok(rc, &s->err);
    if (!in) {
        assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
    }
}

static void add(struct shown *s, const char *table, const char *a, const char *b, const char *c)
{
    struct mf_row r = row(s, a, b, c);
    change(s, NULL, table, NULL, &r);
}

static void follow(struct shown *s)
{
    const struct mf_source_ops *ops = s->db->connector->source;
    struct mf_position start;
    assert_mf_ok(ops->catalog(s->db, NULL, &s->tables, &s->err), &s->err);
    assert_mf_ok(ops->stream_prepare(s->db, &s->pipe, &s->tables, &start, &s->err), &s->err);
    assert_mf_ok(ops->stream_open(s->db, &s->pipe, &start, false, &s->stream, &s->err), &s->err);
}

/* What the stream tells up to the next commit. */
static const char *heard(struct shown *s)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    for (;;) {
        struct mf_item i;
        assert_mf_ok(s->db->connector->source->stream_next(s->stream, 0, &i, &s->err), &s->err);
        if (i.kind == MF_ITEM_COMMIT) {
            return mf_strdup_a(&s->arena, mf_buf_str(&b));
        }
        if (i.kind == MF_ITEM_CHANGE && i.change.op == MF_TRUNCATE) {
            mf_buf_puts(&b, "truncate ");
        } else if (i.kind == MF_ITEM_CHANGE) {
            mf_buf_printf(&b, "%c ", "?iud"[i.change.op]);
            if (i.change.has_old) {
                put_row(&b, &i.change.old_row);
                mf_buf_puts(&b, i.change.op == MF_DELETE ? " " : ">");
            }
            if (i.change.op != MF_DELETE) {
                put_row(&b, &i.change.new_row);
                mf_buf_puts(&b, " ");
            }
        }
    }
}

/* ---- tests ---- */

static void what_cannot_be_kept_right_is_refused(void **state)
{
    static const struct {
        const char *column, *says;
    } bad[] = {
        {"{name: n, from: customer.name, by: customer}", "the source has no table customer"},
        {"{name: n, from: customers.nam, by: customer}", "table public.customers has no column \"nam\""},
        {"{name: n, from: customers.name, by: custome}", "table public.orders has no column \"custome\""},
        {"{name: n, from: customers.name, by: id}",
         "column \"id\" cannot refer to \"key\": they are of different types"},
        {"{name: n, from: customers.name, by: [customer, note]}",
         "\"by\" names as many columns as the key of table customers has, in its order: 1"},
        {"{name: n, from: loose.x, by: customer}", "table loose has no key to refer to"},
        {"{name: n, from: orders.note, by: id}", "of its own table"},
    };
    struct shown *s = *state;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        MF_CLEANUP_FREE char *map = mf_xasprintf("map: [{table: orders, to: q, columns: ['*', %s]}]\n", bad[i].column);
        assert_mf_fails(open_view_for(s, "mems://x", map), &s->err, MF_USAGE, bad[i].says);
        assert_string_equal(s->err.code, "MFMAP");
    }
    assert_mf_fails(
        open_view_for(s, "mems://x", "map: [{table: orders, to: q, partition: [who, id], columns: ['*', " NAME "]}]\n"),
        &s->err, MF_USAGE, "and cannot be another table's");
    assert_mf_fails(open_view_for(s, "mem://x", MAP), &s->err, MF_USAGE, "a target that keeps the last write");
    assert_mf_fails(open_view_for(s, "mems://x", MAP "dual_writes: on\n"), &s->err, MF_USAGE,
                    "does not go with dual_writes");
}

static void a_parent_is_in_the_stream_whole(void **state)
{
    struct shown *s = *state;
    struct mf_catalog real = {0};
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    assert_true(s->db->connector->retells);
    assert_mf_ok(s->db->connector->source->catalog(s->db, NULL, &s->tables, &s->err), &s->err);
    assert_int_equal(s->tables.n, 1);
    assert_mf_ok(view_catalog_own(view_of(s->db), &s->tables, VIEW_WHOLE_SETS | VIEW_PARENTS, &real, &s->err), &s->err);
    assert_int_equal(real.n, 2);
    assert_true(real.tables[0].old_whole && real.tables[1].old_whole);
    assert_string_equal(real.tables[1].name, "customers");
    mf_catalog_free(&real);
    assert_mf_ok(view_catalog_own(view_of(s->db), &s->tables, 0, &real, &s->err), &s->err);
    assert_int_equal(real.n, 1); /* nobody keeps writers away from a table that does not migrate */
    mf_catalog_free(&real);
}

static void a_parent_that_is_left_out_is_refused(void **state)
{
    struct shown *s = *state;
    struct mf_catalog real = {0};
    const char *const include[] = {"public.q"};
    struct mf_filter f = {.include = include, .ninclude = 1};
    assert_mf_ok(open_view_for(s, "mems://x", "map: [{table: orders, to: q, columns: ['*', " NAME "]}]\n"), &s->err);
    assert_mf_ok(s->db->connector->source->catalog(s->db, &f, &s->tables, &s->err), &s->err);
    assert_mf_fails(view_catalog_own(view_of(s->db), &s->tables, VIEW_WHOLE_SETS | VIEW_PARENTS, &real, &s->err),
                    &s->err, MF_USAGE, "table public.customers, whose columns are another's here, is left out");
}

struct hearing {
    struct mf_buf text;
    size_t n;
};

static int hear_row(void *ctx, const struct mf_row *r, struct mf_error *err)
{
    (void)err;
    struct hearing *h = ctx;
    h->n++;
    if (h->text.len < 200) {
        put_row(&h->text, r);
        mf_buf_puts(&h->text, " ");
    }
    return 0;
}

static int first_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    *(struct mf_chunk *)ctx = *c;
    return 0;
}

static void rows_are_read_with_their_parents(void **state)
{
    struct shown *s = *state;
    struct mf_reader *r;
    struct mf_position after;
    struct hearing h = {.text = {.max = 4096}};
    MF_CLEANUP_FREE struct mf_chunk *c = mf_xcalloc(1, sizeof *c);
    add(s, "customers", "a", "ann", "1");
    add(s, "orders", "1", "a", "n1");
    add(s, "orders", "2", "", "n2");
    add(s, "orders", "3", "z", "n3");
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    const struct mf_source_ops *ops = s->db->connector->source;
    assert_mf_ok(ops->catalog(s->db, NULL, &s->tables, &s->err), &s->err);
    const struct mf_table *t = &s->tables.tables[0];
    assert_mf_ok(ops->reader_open(s->db, NULL, &r, &s->err), &s->err);
    assert_mf_ok(ops->chunk_plan(r, t, 10000, 1 << 20, first_chunk, c, &s->err), &s->err);
    assert_mf_ok(ops->chunk_rows(r, t, c, hear_row, &h, &after, &s->err), &s->err);
    assert_string_equal(mf_buf_str(&h.text), "1|a|n1|ann 2||n2| 3|z|n3| ");
    mf_buf_reset(&h.text);
    struct mf_row one = row(s, "1", "a", "n1");
    struct mf_value v[4] = {one.values[0], {.kind = MF_UNCHANGED}, {.kind = MF_UNCHANGED}, {.kind = MF_UNCHANGED}};
    struct mf_row key = {.n = 4, .values = v};
    assert_mf_ok(ops->read_rows(r, t, &key, 1, hear_row, &h, &after, &s->err), &s->err);
    assert_string_equal(mf_buf_str(&h.text), "1|a|n1|ann ");
    for (int i = 10; i < 1000; i++) { /* more than are looked up at once */
        add(s, "orders", mf_printf_a(&s->arena, "%d", i), "a", "n");
    }
    h.n = 0;
    assert_mf_ok(ops->chunk_rows(r, t, c, hear_row, &h, &after, &s->err), &s->err);
    assert_int_equal(h.n, 993);
    ops->reader_close(r);
    mf_buf_free(&h.text);
}

static void the_stream_tells_children_of_their_parents(void **state)
{
    struct shown *s = *state;
    add(s, "customers", "a", "ann", "1");
    add(s, "customers", "b", "bob", "1");
    add(s, "orders", "1", "a", "old");
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    follow(s);
    struct mf_row ann = row(s, "a", "ann", "1"), sue = row(s, "a", "sue", "1"), seen = row(s, "a", "sue", "2");
    struct mf_row o1 = row(s, "1", "a", "old"), o1b = row(s, "1", "b", "old"), o1n = row(s, "1", "b", "new");
    struct mf_row o2 = row(s, "2", "a", "x"), moved = row(s, "7", "b", "new"), bob = row(s, "b", "bob", "1");

    add(s, "orders", "2", "a", "x");
    assert_string_equal(heard(s), "i 2|a|x|ann ");
    change(s, NULL, "customers", &ann, &sue);
    assert_string_equal(heard(s), "u 1|?|?|sue u 2|?|?|sue ");
    add(s, "orders", "3", "a", "y"); /* and not what was looked up before */
    assert_string_equal(heard(s), "i 3|a|y|sue ");
    change(s, NULL, "customers", &sue, &seen); /* nothing that is shown */
    assert_string_equal(heard(s), "");
    change(s, NULL, "orders", &o1, &o1b);
    assert_string_equal(heard(s), "u 1|b|old|bob ");
    change(s, NULL, "orders", &o1b, &o1n);
    assert_string_equal(heard(s), "u 1|b|new|? ");
    change(s, NULL, "orders", &o1n, &moved);
    assert_string_equal(heard(s), "u 1|?|?|?>7|b|new|bob ");
    change(s, NULL, "customers", &bob, NULL);
    assert_string_equal(heard(s), "u 7|?|?| ");
    add(s, "orders", "8", "b", "z");
    assert_string_equal(heard(s), "i 8|b|z| ");
    add(s, "customers", "b", "ben", "1");
    assert_string_equal(heard(s), "u 7|?|?|ben u 8|?|?|ben ");
    change(s, NULL, "orders", &o2, NULL);
    assert_string_equal(heard(s), "d 2|?|?|? ");
}

static void a_key_of_a_parent_moves(void **state)
{
    struct shown *s = *state;
    add(s, "customers", "a", "ann", "1");
    add(s, "orders", "1", "a", "x");
    add(s, "orders", "2", "b", "y");
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    follow(s);
    struct mf_row a = row(s, "a", "ann", "1"), b = row(s, "b", "ann", "1");
    change(s, NULL, "customers", &a, &b);
    const char *told = heard(s);
    assert_non_null(strstr(told, "u 1|?|?| "));
    assert_non_null(strstr(told, "u 2|?|?|ann "));
}

static void one_transaction_of_both(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    follow(s);
    struct mf_row a = row(s, "a", "ann", "1"), a2 = row(s, "a", "amy", "1"), o = row(s, "1", "a", "x");
    struct mf_mem_txn *x = mf_mem_begin(s->server);
    change(s, x, "customers", NULL, &a);
    change(s, x, "orders", NULL, &o);
    change(s, x, "customers", &a, &a2);
    assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
    const char *told = heard(s);
    assert_string_equal(told, "i 1|a|x|amy u 1|?|?|amy ");
}

static void a_truncated_parent_is_nobodys(void **state)
{
    struct shown *s = *state;
    add(s, "customers", "a", "ann", "1");
    for (int i = 0; i < 1000; i++) {
        add(s, "orders", mf_printf_a(&s->arena, "%d", i), i % 2 ? "a" : "", "n");
    }
    assert_mf_ok(open_view_for(s, "mems://x", MAP), &s->err);
    follow(s);
    struct mf_mem_txn *x = mf_mem_begin(s->server);
    assert_mf_ok(mf_mem_truncate(x, &(struct mf_mem_name){"public", "customers"}, 1, &s->err), &s->err);
    assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
    int n = 0;
    for (const char *p = heard(s); (p = strstr(p, "|?|?| ")); p++) {
        n++;
    }
    assert_int_equal(n, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_right_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_parent_is_in_the_stream_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_parent_that_is_left_out_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_read_with_their_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stream_tells_children_of_their_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_of_a_parent_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(one_transaction_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(a_truncated_parent_is_nobodys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
