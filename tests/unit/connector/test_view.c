/* Query tables: what the map may say, what rows and changes of a table are in them, and how they are read; with a server in memory behind a face. */
#include "view_fixture.h"

#include "connector/face/face.h"

static const struct mf_mem_column orders[] = {{.name = "id", .in_key = true},
                                              {.name = "customer", .text = true},
                                              {.name = "note", .text = true, .toast = true},
                                              {.name = "total"}};
static const struct mf_mem_column loose[] = {{.name = "x"}, {.name = "y", .text = true}};

#define BY_CUSTOMER "map: [{table: public.orders, to: by_customer, partition: customer, clustering: [id desc]}]\n"
#define NARROW                                                                                                         \
    "map: [{table: orders, to: other.narrow, partition: [key], columns: [{name: id, as: key}, total, {name: shop, "    \
    "value: x}]}]\n"

static int setup(void **state)
{
    struct shown *s = shown_new("viewed", "mem://viewed");
    *state = s;
    assert_mf_ok(mf_mem_create_table(s->server, "public", "orders", orders, 4, &s->err), &s->err);
    assert_mf_ok(mf_mem_create_table(s->server, "public", "loose", loose, 2, &s->err), &s->err);
    return 0;
}

static int open_view(struct shown *s, const char *map)
{
    return open_view_for(s, "mem://x", map);
}

static const struct mf_table *table(struct shown *s, const char *schema, const char *name)
{
    mf_catalog_free(&s->tables);
    assert_mf_ok(s->db->connector->source->catalog(s->db, NULL, &s->tables, &s->err), &s->err);
    const struct mf_table *t = mf_catalog_find(&s->tables, schema, name);
    assert_non_null(t);
    return t;
}

static struct mf_row row(struct shown *s, const char *a, const char *b, const char *c, const char *d)
{
    return row_of(s, (const char *[]){a, b, c, d}, 4);
}

static const char *tell(struct shown *s, const struct mf_row *r)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    put_row(&b, r);
    return mf_strdup_a(&s->arena, mf_buf_str(&b));
}

static void write_row(struct shown *s, struct mf_row r)
{
    struct mf_mem_txn *x = mf_mem_begin(s->server);
    assert_mf_ok(mf_mem_insert(x, "public", "orders", &r, &s->err), &s->err);
    assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
}

/* ---- the map ---- */

static void what_the_map_cannot_mean_is_told_with_its_line(void **state)
{
    static const struct {
        const char *map, *says;
    } bad[] = {
        {"map: [{table: public.order, to: q}]\n",
         "m.yaml:3: map: the source has no table public.order; did you mean public.orders?"},
        {"map: [{table: orders, to: q, partition: [custmer, id]}]\n",
         "table public.q has no column \"custmer\"; did you mean \"customer\"?"},
        {"map: [{table: orders, to: q, partition: customer}]\n",
         "column \"id\" is of the key of the source's table, and has to be in the key of table q"},
        {"map: [{table: orders, to: q, columns: [customer]}]\n", "column \"id\" is of the key"},
        {"map: [{table: orders, to: q, columns: [id, {name: total, as: id}]}]\n",
         "table q would have column \"id\" twice"},
        {"map: [{table: orders, to: q, columns: [id, totl]}]\n",
         "table public.orders has no column \"totl\"; did you mean \"total\"?"},
        {"map: [{table: orders, to: q, columns: [id, {name: m, expr: month(id)}]}]\n", "month takes a date"},
        {"map: [{table: orders, to: q, columns: [id, {name: m, expr: \"left(nte, 3)\"}]}]\n",
         "no column \"nte\"; did you mean"},
        {"map: [{table: orders, to: q, drop: nothing}]\n", "table public.orders has no column \"nothing\""},
        {"map: [{table: orders, to: q, drop: id}]\n", "column \"id\" is of the key"},
        {"map: [{table: orders, to: q, partition: [id, id]}]\n", "column \"id\" is in the key of table q twice"},
        {"map: [{table: loose, to: q}]\n", "table public.loose has no key"},
        {"map: [{table: orders, to: q}, {table: orders, to: public.q}]\n",
         "table public.q is made twice, first on line 3"},
        {"map: [{table: orders, to: loose}]\n",
         "table public.loose is also a table of the source that migrates as itself"},
        {"map: [{table: orders, to: q, partition: id, columns: ['*', {name: id, static: true}]}]\n",
         "cannot be static"},
    };
    struct shown *s = *state;
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_mf_fails(open_view(s, bad[i].map), &s->err, MF_USAGE, bad[i].says);
        assert_string_equal(s->err.code, "MFMAP");
    }
}

static void tables_in_the_map_are_shown_as_their_query_tables(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    const struct mf_table *t = table(s, "public", "by_customer");
    uint32_t id = t->id;
    assert_null(mf_catalog_find(&s->tables, "public", "orders"));
    assert_non_null(mf_catalog_find(&s->tables, "public", "loose"));
    assert_int_equal(t->ncolumns, 4);
    assert_int_equal(t->nkey, 2);
    assert_string_equal(t->columns[t->key[0]].name, "customer");
    assert_string_equal(t->columns[t->key[1]].name, "id");
    assert_true(view_needs_old(t));
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    assert_int_equal(table(s, "public", "by_customer")->id, id); /* the state remembers it */
    assert_mf_ok(open_view(s, NARROW), &s->err);
    t = table(s, "other", "narrow");
    assert_int_not_equal(t->id, id);
    assert_int_equal(t->ncolumns, 3);
    assert_string_equal(t->columns[2].type, "text");
    assert_false(view_needs_old(t)); /* its key is the table's own */
}

static void only_what_the_map_says_migrates_where_that_is_asked(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER "map_only: true\n"), &s->err);
    table(s, "public", "by_customer");
    assert_null(mf_catalog_find(&s->tables, "public", "loose"));
}

static void a_table_may_also_stay_what_it_is(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, "map: [{table: orders, to: orders}, {table: orders, to: q, partition: [total, id]}]\n"),
                 &s->err);
    const struct mf_table *t = table(s, "public", "orders");
    assert_int_equal(t->nkey, 1);
    assert_non_null(t->made);
    const char *const include[] = {"public.q"};
    struct mf_filter f = {.include = include, .ninclude = 1};
    struct mf_catalog c = {0};
    assert_mf_ok(s->db->connector->source->catalog(s->db, &f, &c, &s->err), &s->err);
    assert_int_equal(c.n, 1); /* by the names shown */
    struct mf_position start;
    assert_mf_fails(s->db->connector->source->stream_prepare(s->db, &s->pipe, &c, &start, &s->err), &s->err, MF_USAGE,
                    "some are left out by tables.include");
    mf_catalog_free(&c);
}

static void the_schema_is_described_with_key_order_and_types(void **state)
{
    struct shown *s = *state;
    struct mf_schema d = {0};
    assert_mf_ok(open_view(s,
                           "map: [{table: orders, to: q, partition: [customer], clustering: [total desc, id], columns: "
                           "['*', {name: note, as: remark, type: blob}, {name: kind, value: order}]}]\n"),
                 &s->err);
    table(s, "public", "q");
    assert_mf_ok(s->db->connector->describe(s->db, &s->tables, &d, &s->err), &s->err);
    const struct mf_schema_table *t = mf_schema_find(&d, "public", "q");
    assert_non_null(t);
    assert_null(mf_schema_find(&d, "public", "orders"));
    assert_non_null(mf_schema_find(&d, "public", "loose"));
    assert_int_equal(t->ncolumns, 5);
    assert_string_equal(t->columns[2].name, "remark");
    assert_string_equal(t->columns[2].wanted_type, "blob");
    assert_string_equal(t->columns[4].name, "kind");
    assert_int_equal(t->columns[4].type.kind, MF_KIND_TEXT);
    assert_int_equal(t->npartition, 1);
    assert_int_equal(t->nindexes, 1);
    assert_true(t->indexes[0].primary);
    assert_int_equal(t->indexes[0].n, 3);
    assert_string_equal(t->columns[t->indexes[0].columns[1].column].name, "total");
    assert_true(t->indexes[0].columns[1].descending);
    assert_false(t->indexes[0].columns[2].descending);
    assert_true(t->columns[t->indexes[0].columns[0].column].not_null);
    mf_schema_free(&d);
}

/* ---- changes, one by one ---- */

static struct view_rows rows_of(struct shown *s, const char *schema, const char *name)
{
    struct view_rows r;
    const struct mf_table *t = table(s, schema, name);
    assert_mf_ok(view_rows_of(&s->arena, t, t->made, &r, &s->err), &s->err);
    return r;
}

static const struct mf_row none;

/* "op old -> new" of what the change is to the query table. */
static const char *seen(struct shown *s, const struct view_rows *r, enum mf_op op, struct mf_row old, struct mf_row new)
{
    struct mf_change in = {.op = op, .has_old = old.n > 0, .old_row = old, .new_row = new}, out;
    int n = -1;
    assert_mf_ok(view_change(r, &s->arena, &in, NULL, &out, &n, &s->err), &s->err);
    if (n == 0) {
        return "nothing";
    }
    static const char *const names[] = {"", "insert", "update", "delete"};
    return mf_printf_a(&s->arena, "%s%s%s%s%s", names[out.op], out.has_old ? " " : "",
                       out.has_old ? tell(s, &out.old_row) : "", out.op == MF_DELETE ? "" : " -> ",
                       out.op == MF_DELETE ? "" : tell(s, &out.new_row));
}

static void a_change_of_a_row_is_a_change_of_the_query_tables_row(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    struct view_rows r = rows_of(s, "public", "by_customer");
    struct mf_row was = row(s, "1", "ann", "long", "5");
    assert_string_equal(seen(s, &r, MF_INSERT, none, was), "insert -> 1|ann|long|5");
    assert_string_equal(seen(s, &r, MF_DELETE, was, none), "delete 1|ann|?|?");
    assert_string_equal(seen(s, &r, MF_UPDATE, was, row(s, "1", "ann", "long", "6")), "update -> 1|ann|long|6");
    /* what the stream left out is taken from the old row */
    assert_string_equal(seen(s, &r, MF_UPDATE, was, row(s, "1", "ann", "?", "6")), "update -> 1|ann|long|6");
    /* the key here moves though the table's does not, and the other way */
    assert_string_equal(seen(s, &r, MF_UPDATE, was, row(s, "1", "bob", "?", "5")), "update 1|ann|?|? -> 1|bob|long|5");
    assert_string_equal(seen(s, &r, MF_UPDATE, was, row(s, "2", "ann", "?", "5")), "update 1|ann|?|? -> 2|ann|long|5");
    assert_string_equal(seen(s, &r, MF_UPDATE, was, row(s, "1", "ann", "?", "5")), "nothing");
}

static void a_null_in_the_key_is_a_refused_row(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    struct view_rows r = rows_of(s, "public", "by_customer");
    struct mf_row whole = row(s, "1", "ann", "n", "5"), without = row(s, "1", "", "n", "5");
    assert_string_equal(seen(s, &r, MF_INSERT, none, without), "insert -> 1|!|n|5");
    assert_string_equal(seen(s, &r, MF_UPDATE, whole, without), "update 1|ann|?|? -> 1|!|n|5");
    assert_string_equal(seen(s, &r, MF_UPDATE, without, whole), "update 1|!|?|? -> 1|ann|n|5");
    assert_string_equal(seen(s, &r, MF_DELETE, without, none), "delete 1|!|?|?");
    struct mf_row out;
    assert_mf_ok(view_row(&r, &s->arena, &without, NULL, &out, &s->err), &s->err);
    assert_int_equal(mf_row_refused(&out), 1);
    assert_non_null(
        strstr(out.values[1].data, "column \"customer\" is NULL, and is in the key of table public.by_customer"));
}

static void what_the_stream_does_not_say_of_the_key_is_not_guessed(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    struct view_rows r = rows_of(s, "public", "by_customer");
    struct mf_change out, bad[] = {
                              {.op = MF_UPDATE, .new_row = row(s, "1", "ann", "n", "5")},
                              {.op = MF_DELETE, .has_old = true, .old_row = row(s, "1", "?", "?", "?")},
                              {.op = MF_UPDATE,
                               .has_old = true,
                               .old_row = row(s, "1", "?", "?", "?"),
                               .new_row = row(s, "2", "a", "n", "5")},
                          };
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        int n;
        assert_mf_fails(view_change(&r, &s->arena, &bad[i], NULL, &out, &n, &s->err), &s->err, MF_FATAL,
                        "came without the value that column \"customer\" had");
    }
}

static void a_query_table_with_its_tables_key_needs_no_old_rows(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(
        open_view(s, "map: [{table: orders, to: q, columns: [{name: id, as: key}, note, {name: shop, value: x}]}]\n"),
        &s->err);
    const struct mf_table *t = table(s, "public", "q");
    struct mf_made whole = *t->made; /* rows of the stream are as wide as the table */
    assert_int_equal(whole.base->ncolumns, 2);
    struct view_rows r;
    assert_mf_ok(view_rows_of(&s->arena, t, &whole, &r, &s->err), &s->err);
    struct mf_row a = row(s, "1", "n", "", ""), b = row(s, "1", "?", "", ""), c = row(s, "2", "?", "", ""),
                  key = row(s, "1", "?", "", "");
    a.n = b.n = c.n = key.n = 2;
    assert_string_equal(seen(s, &r, MF_INSERT, none, a), "insert -> 1|n|x");
    assert_string_equal(seen(s, &r, MF_UPDATE, none, a), "update -> 1|n|x");
    assert_string_equal(seen(s, &r, MF_UPDATE, none, b), "update -> 1|?|x"); /* not whole, as it would be of a table */
    assert_string_equal(seen(s, &r, MF_UPDATE, key, c), "update 1|?|? -> 2|?|x");
    assert_string_equal(seen(s, &r, MF_DELETE, key, none), "delete 1|?|?");
}

/* ---- reading ---- */

struct heard {
    struct shown *s;
    char text[4000];
};

static int hear_row(void *ctx, const struct mf_row *r, struct mf_error *err)
{
    (void)err;
    struct heard *h = ctx;
    size_t n = strlen(h->text);
    snprintf(h->text + n, sizeof h->text - n, "%s ", tell(h->s, r));
    return 0;
}

static int hear_digest(void *ctx, const struct mf_row *key, const struct mf_digest *d, struct mf_error *err)
{
    (void)d;
    return hear_row(ctx, key, err);
}

static int first_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    *(struct mf_chunk *)ctx = *c;
    return 0;
}

static void rows_are_read_by_the_query_tables_key(void **state)
{
    struct shown *s = *state;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    const struct mf_source_ops *ops = s->db->connector->source;
    write_row(s, row(s, "1", "ann", "n1", "5"));
    write_row(s, row(s, "2", "bob", "n2", "6"));
    write_row(s, row(s, "3", "", "n3", "7"));
    const struct mf_table *t = table(s, "public", "by_customer");
    struct mf_reader *r;
    struct heard h = {.s = s};
    struct mf_position after;
    assert_mf_ok(ops->reader_open(s->db, NULL, &r, &s->err), &s->err);
    MF_CLEANUP_FREE struct mf_chunk *c = mf_xcalloc(1, sizeof *c);
    assert_mf_ok(ops->chunk_plan(r, t, 100, 1 << 20, first_chunk, c, &s->err), &s->err);
    assert_int_equal(c->table_id, t->id);
    assert_mf_ok(ops->chunk_rows(r, t, c, hear_row, &h, &after, &s->err), &s->err);
    assert_string_equal(h.text, "1|ann|n1|5 2|bob|n2|6 3|!|n3|7 ");
    h.text[0] = '\0';
    /* a key whose other columns are not the row's now is of no row; one that is asked for twice is given once */
    struct mf_row keys[] = {row(s, "1", "ann", "?", "?"), row(s, "2", "ann", "?", "?"), row(s, "1", "ann", "?", "?"),
                            row(s, "1", "bob", "?", "?"), row(s, "9", "bob", "?", "?")};
    assert_mf_ok(ops->read_rows(r, t, keys, 5, hear_row, &h, &after, &s->err), &s->err);
    assert_string_equal(h.text, "1|ann|n1|5 ");
    h.text[0] = '\0';
    assert_mf_ok(ops->digest_rows(r, t, c, hear_digest, &h, &s->err), &s->err);
    assert_string_equal(h.text, "1|ann|?|? 2|bob|?|? 3|!|?|? ");
    struct mf_digest a;
    assert_mf_ok(ops->digest(r, t, c, &a, &s->err), &s->err);
    assert_int_equal(a.rows, 3);
    ops->reader_close(r);
}

/* ---- the stream ---- */

static void the_stream_tells_of_query_tables(void **state)
{
    struct shown *s = *state;
    static const char map[] =
        "map: [{table: orders, to: by_customer, partition: [customer, id]}, {table: orders, to: narrow, "
        "columns: [id, total]}]\nmap_only: true\n";
    struct mf_position start;
    struct mf_stream *st;
    MF_CLEANUP_BUF struct mf_buf heard = {.max = 4096};
    assert_mf_ok(open_view(s, map), &s->err);
    const struct mf_source_ops *ops = s->db->connector->source;
    table(s, "public", "narrow");
    assert_mf_ok(ops->stream_prepare(s->db, &s->pipe, &s->tables, &start, &s->err), &s->err);
    write_row(s, row(s, "1", "ann", "n", "5"));
    struct mf_row was = row(s, "1", "ann", "n", "5"), now = row(s, "1", "bob", "n", "5");
    struct mf_mem_txn *x = mf_mem_begin(s->server);
    assert_mf_ok(mf_mem_update(x, "public", "orders", &was, &now, &s->err), &s->err);
    assert_mf_ok(mf_mem_truncate(x, &(struct mf_mem_name){"public", "orders"}, 1, &s->err), &s->err);
    assert_mf_ok(mf_mem_commit(x, NULL, &s->err), &s->err);
    assert_mf_ok(ops->stream_open(s->db, &s->pipe, &start, false, &st, &s->err), &s->err);
    for (int commits = 0; commits < 2;) {
        struct mf_item i;
        assert_mf_ok(ops->stream_next(st, 0, &i, &s->err), &s->err);
        commits += i.kind == MF_ITEM_COMMIT;
        if (i.kind == MF_ITEM_RELATION) {
            mf_buf_printf(&heard, "[%s] ", i.table->name);
        } else if (i.kind == MF_ITEM_CHANGE && i.change.op == MF_TRUNCATE) {
            mf_buf_printf(&heard, "truncate %s %s", i.change.truncated[0]->name, i.change.truncated[1]->name);
        } else if (i.kind == MF_ITEM_CHANGE) {
            mf_buf_printf(&heard, "%s%s%s:%s ", i.change.table->name, i.change.has_old ? " " : "",
                          i.change.has_old ? tell(s, &i.change.old_row) : "", tell(s, &i.change.new_row));
        }
    }
    assert_string_equal(
        mf_buf_str(&heard),
        "[by_customer] [narrow] by_customer:1|ann|n|5 narrow:1|5 by_customer 1|ann|?|?:1|bob|n|5 truncate "
        "by_customer narrow");
    ops->stream_close(st);
    assert_mf_ok(ops->stream_drop(s->db, &s->pipe, &s->err), &s->err);
}

static void nothing_is_written_back(void **state)
{
    struct shown *s = *state;
    struct mf_applier *a = NULL;
    assert_mf_ok(open_view(s, BY_CUSTOMER), &s->err);
    assert_false(s->db->connector->can_target);
    assert_mf_fails(s->db->connector->target->applier_open(s->db, &s->pipe, &a, &s->err), &s->err, MF_FATAL,
                    "do not go back");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_map_cannot_mean_is_told_with_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_in_the_map_are_shown_as_their_query_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_the_map_says_migrates_where_that_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_may_also_stay_what_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(the_schema_is_described_with_key_order_and_types, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_of_a_row_is_a_change_of_the_query_tables_row, setup, teardown),
        cmocka_unit_test_setup_teardown(a_null_in_the_key_is_a_refused_row, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_stream_does_not_say_of_the_key_is_not_guessed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_table_with_its_tables_key_needs_no_old_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_read_by_the_query_tables_key, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stream_tells_of_query_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_written_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
