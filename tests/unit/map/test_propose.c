/* Keys and query tables proposed of hand-made tables and statements, and what measured sizes mean. */
#include <string.h>

#include "map/partitions.h"
#include "map/propose.h"
#include "mf_test.h"

#define COLUMN(n, k, required)                                                                                         \
    {                                                                                                                  \
        .name = n, .type = {.kind = MF_KIND_##k}, .not_null = required                                                 \
    }

static struct mf_schema_column customer_columns[] = {COLUMN("id", INT, true), COLUMN("email", TEXT, false),
                                                     COLUMN("doc", JSON, false)};
static struct mf_schema_column order_columns[] = {COLUMN("id", INT, true), COLUMN("customer_id", INT, false),
                                                  COLUMN("placed_at", INSTANT, true), COLUMN("status", TEXT, false)};
static struct mf_schema_column line_columns[] = {COLUMN("order_id", INT, true), COLUMN("line", INT, true),
                                                 COLUMN("sku", TEXT, false)};
static struct mf_schema_column log_columns[] = {COLUMN("what", TEXT, false)};
static const struct mf_schema_index_column first[] = {{.column = 0}, {.column = 1}}, second[] = {{.column = 1}};
static struct mf_schema_index one_key[] = {
    {.name = "pk", .unique = true, .primary = true, .is_key = true, .n = 1, .columns = first},
    {.name = "by_customer", .n = 1, .columns = second}};
static struct mf_schema_index two_key[] = {
    {.name = "pk", .unique = true, .primary = true, .is_key = true, .n = 2, .columns = first}};
static const uint16_t zero[] = {0}, one[] = {1};
static const char *const ref[] = {"id"};
static struct mf_schema_foreign to_customer[] = {
    {.name = "f", .ref_table = "customers", .n = 1, .columns = one, .ref_columns = ref}};
static struct mf_schema_foreign to_order[] = {
    {.name = "g", .ref_table = "orders", .n = 1, .columns = zero, .ref_columns = ref}};
static struct mf_schema_table tables[] = {
    {.schema = "public",
     .name = "customers",
     .ncolumns = 3,
     .columns = customer_columns,
     .nindexes = 1,
     .indexes = one_key},
    {.schema = "public",
     .name = "orders",
     .ncolumns = 4,
     .columns = order_columns,
     .nindexes = 2,
     .indexes = one_key,
     .nforeign = 1,
     .foreign = to_customer},
    {.schema = "public",
     .name = "lines",
     .ncolumns = 3,
     .columns = line_columns,
     .nindexes = 1,
     .indexes = two_key,
     .nforeign = 1,
     .foreign = to_order},
    {.schema = "public", .name = "log", .ncolumns = 1, .columns = log_columns},
};
static const struct mf_schema schema = {.ntables = 4, .tables = tables};

struct proposed {
    struct mf_asked asked[12];
    size_t n;
    struct mf_proposal p;
    struct mf_buf yaml;
};

static void ask(struct proposed *x, int64_t calls, const char *sql)
{
    assert_true(mf_access_parse(sql, strlen(sql), &x->asked[x->n].access));
    x->asked[x->n++].calls = calls;
}

static void propose(struct proposed *x)
{
    struct mf_error err = {0};
    x->yaml = (struct mf_buf){.max = 1 << 20};
    assert_mf_ok(mf_propose(&schema, x->asked, x->n, &x->p, &err), &err);
    for (size_t i = 0; i < x->p.n; i++) {
        mf_proposed_put_yaml(&x->yaml, &x->p.tables[i], NULL, 0);
    }
}

static void done(struct proposed *x)
{
    mf_proposal_free(&x->p);
    mf_buf_free(&x->yaml);
}

static void has(const struct proposed *x, const char *text)
{
    if (!strstr(mf_buf_str(&x->yaml), text)) {
        fail_msg("\"%s\" is not in\n%s", text, mf_buf_str(&x->yaml));
    }
}

static void test_by_keys_alone(void **state)
{
    (void)state;
    struct proposed x = {.n = 0};
    propose(&x);
    assert_int_equal(x.p.n, 4);
    assert_int_equal(x.p.nnotes, 1);
    assert_non_null(strstr(x.p.notes[0], "public.log: it has no key"));
    assert_string_equal(
        mf_buf_str(&x.yaml),
        "  # a row is found by its whole key (id)\n"
        "  - table: public.customers\n    to: customers\n    partition: [id]\n"
        "  # a row is found by its whole key (id)\n"
        "  - table: public.orders\n    to: orders\n    partition: [id]\n"
        "  # foreign key (customer_id) to customers: the rows of one of these lie together\n"
        "  # index by_customer begins with them\n"
        "  - table: public.orders\n    to: orders_by_customer_id\n    partition: [customer_id]\n    clustering: [id]\n"
        "  # its key begins with the foreign key to orders: the rows of one of these lie together\n"
        "  - table: public.lines\n    to: lines\n    partition: [order_id]\n    clustering: [line]\n");
    done(&x);
}

static void test_by_statements(void **state)
{
    (void)state;
    struct proposed x = {.n = 0};
    ask(&x, 900, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at DESC LIMIT $2");
    ask(&x, 800, "SELECT * FROM ORDERS WHERE customer_id = $1 ORDER BY placed_at");
    ask(&x, 700, "SELECT * FROM public.orders WHERE id = $1 AND status = $2");
    ask(&x, 600, "SELECT * FROM orders WHERE status = $1 AND placed_at > $2");
    ask(&x, 500, "SELECT * FROM lines WHERE order_id = $1 ORDER BY line DESC");
    ask(&x, 400, "SELECT * FROM customers WHERE email = $1");
    ask(&x, 300, "SELECT * FROM customers WHERE doc = $1");
    ask(&x, 200, "SELECT * FROM orders");
    ask(&x, 100, "SELECT * FROM \"ORDERS\" WHERE placed_at = $1");
    propose(&x);
    assert_int_equal(x.p.n, 6);
    has(&x, "900 calls: WHERE customer_id = ? ORDER BY placed_at DESC\n  # 800 calls: WHERE customer_id = ? ORDER BY "
            "placed_at\n"
            "  - table: public.orders\n    to: orders_by_customer_id\n    partition: [customer_id]\n    clustering: "
            "[placed_at desc, id]\n");
    has(&x, "  # 700 calls: WHERE id = ? AND status = ?\n  - table: public.orders\n    to: orders\n    partition: "
            "[id]\n  # ");
    has(&x, "    to: orders_by_status\n    partition: [status]\n    clustering: [placed_at, id]\n");
    has(&x, "    to: lines\n    partition: [order_id]\n    clustering: [line desc]\n");
    has(&x, "    to: customers_by_email\n    partition: [email]\n    clustering: [id]\n");
    assert_int_equal(x.p.nnotes, 2); /* log, and the scan of orders */
    done(&x);
}

static void test_two_orders_are_two_tables(void **state)
{
    (void)state;
    struct proposed x = {.n = 0};
    ask(&x, 9, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at");
    ask(&x, 8, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY status");
    ask(&x, 7, "SELECT * FROM orders WHERE customer_id = $1 AND placed_at = $2 ORDER BY status DESC");
    propose(&x);
    has(&x, "to: orders_by_customer_id\n    partition: [customer_id]\n    clustering: [placed_at, status desc, id]\n");
    has(&x, "to: orders_by_customer_id_2\n    partition: [customer_id]\n    clustering: [status, id]\n");
    done(&x);
}

static void test_an_order_the_other_way_round_is_the_same_and_a_mixed_one_is_not(void **state)
{
    (void)state;
    struct proposed x = {.n = 0};
    ask(&x, 9, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at DESC, status");
    ask(&x, 8, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at, status DESC");
    ask(&x, 7, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at, status");
    propose(&x);
    has(&x, "to: orders_by_customer_id\n    partition: [customer_id]\n    clustering: [placed_at desc, status, id]\n");
    has(&x, "to: orders_by_customer_id_2\n    partition: [customer_id]\n    clustering: [placed_at, status, id]\n");
    assert_int_equal(x.p.tables[2].calls, 17);
    done(&x);
}

static void test_no_more_than_a_few(void **state)
{
    (void)state;
    struct proposed x = {.n = 0};
    ask(&x, 10, "SELECT * FROM orders WHERE status = $1 ORDER BY placed_at");
    ask(&x, 9, "SELECT * FROM orders WHERE placed_at = $1");
    ask(&x, 8, "SELECT * FROM orders WHERE status = $1 ORDER BY customer_id");
    ask(&x, 7, "SELECT * FROM orders WHERE placed_at = $1 ORDER BY status");
    ask(&x, 6, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY status");
    ask(&x, 5, "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at");
    ask(&x, 4, "SELECT * FROM orders WHERE status = $1 AND customer_id = $2");
    propose(&x);
    size_t n = 0;
    for (size_t i = 0; i < x.p.n; i++) {
        n += strcmp(x.p.tables[i].of->name, "orders") == 0;
    }
    assert_int_equal(n, MF_PROPOSE_MOST);
    assert_non_null(strstr(x.p.notes[0], "public.orders: 5 calls are served by no table"));
    done(&x);
}

static void keep(void *ctx, const char *text)
{
    strncat(ctx, text, 2000);
    strcat(ctx, "\n");
}

static const char *judge(struct mf_key_sizes s)
{
    static char text[8000];
    const struct mf_partition_limits limits = {100000, 100 << 20};
    text[0] = 0;
    mf_partitions_judge(&s, &limits, keep, text);
    return text;
}

static void test_what_sizes_mean(void **state)
{
    (void)state;
    assert_string_equal(
        judge((struct mf_key_sizes){.part = 1, .rows = 10000, .keys = 1000, .max_rows = 20, .max_bytes = 2000}), "");
    assert_non_null(
        strstr(judge((struct mf_key_sizes){.part = 1, .rows = 10000, .nulls = 7, .keys = 1000, .max_rows = 20}),
               "7 of the 10000 rows read have NULL"));
    assert_non_null(strstr(judge((struct mf_key_sizes){.part = 0.1, .rows = 1000000, .keys = 1000, .max_rows = 200000}),
                           "about 200000 rows, more than 100000"));
    assert_non_null(
        strstr(judge((struct mf_key_sizes){.part = 1, .rows = 1000, .keys = 1000, .max_bytes = INT64_C(250) << 20}),
               "more than 100 MB (plan.partition_bytes)"));
    assert_non_null(strstr(judge((struct mf_key_sizes){.part = 1, .rows = 5000, .keys = 3, .max_rows = 2000}),
                           "only 3 partitions"));
    assert_non_null(strstr(judge((struct mf_key_sizes){.part = 1, .rows = 5000, .keys = 300, .max_rows = 2000}),
                           "40 % of all rows"));
    assert_non_null(
        strstr(judge((struct mf_key_sizes){
                   .part = 1, .rows = 500000, .keys = 300, .max_rows = 20000, .max_bytes = 100, .days = 20}),
               "1000 rows a day and is too large in about 80 days"));
    assert_string_equal(judge((struct mf_key_sizes){
                            .part = 1, .rows = 500000, .keys = 300, .max_rows = 200, .max_bytes = 100, .days = 20}),
                        "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_keys_alone),
        cmocka_unit_test(test_by_statements),
        cmocka_unit_test(test_two_orders_are_two_tables),
        cmocka_unit_test(test_no_more_than_a_few),
        cmocka_unit_test(test_what_sizes_mean),
        cmocka_unit_test(test_an_order_the_other_way_round_is_the_same_and_a_mixed_one_is_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
