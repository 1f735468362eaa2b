#include "mf_test.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define URLS "source: postgresql://a@h/shop\ntarget: postgresql://b@i/shop\n"

#define TEN      "1234567890"
#define TOO_LONG "x" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static int parse(const char *text, struct mf_config **ret, struct mf_error *err)
{
    return mf_config_parse(text, strlen(text), "m.yaml", NULL, ret, err);
}

static void refused(const char *text, const char *want)
{
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_fails(parse(text, &c, &err), &err, MF_USAGE, want);
    assert_null(c);
}

static void the_whole_example_is_understood(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    setenv("OLD_DB_PASSWORD", "p@ss/word", 1);
    assert_mf_ok(parse("migration: shop\n"
                       "source: postgresql://mover:${OLD_DB_PASSWORD}@old-db/shop\n"
                       "target: postgresql://mover@new-db/shop?sslmode=verify-full\n"
                       "tables: { include: [public.*], exclude: [public.audit_*] }\n"
                       "copy: { jobs: 8, max_load: 0.5 }\n"
                       "on_ddl: additive\n"
                       "quarantine: { on_reject: stop, max_rows: 10 }\n"
                       "verify: { every: 24h }\n"
                       "cutover: { max_pause: 500ms, max_lag: 1MB, long_transactions: end }\n"
                       "rollback_window: 7d\n",
                       &c, &err),
                 &err);
    assert_mf_ok(mf_config_finish(c, &err), &err);
    assert_string_equal(c->migration, "shop");
    assert_string_equal(c->source, "postgresql://mover:p%40ss%2Fword@old-db/shop");
    assert_int_equal(c->include.n, 1);
    assert_string_equal(c->exclude.items[0], "public.audit_*");
    assert_int_equal(c->copy.jobs, 8);
    assert_true(fabs(c->copy.max_load - 0.5) < 1e-9);
    assert_int_equal(c->on_ddl, MF_DDL_ADDITIVE);
    assert_int_equal(c->quarantine.on_reject, MF_REJECT_STOP);
    assert_int_equal(c->verify.every_ms, 24 * 3600 * 1000);
    assert_int_equal(c->cutover.max_pause_ms, 500);
    assert_int_equal(c->cutover.max_lag_bytes, 1 << 20);
    assert_int_equal(c->cutover.long_transactions, MF_POLICY_END);
    assert_int_equal(c->rollback_window_ms, INT64_C(7) * 86400 * 1000);
    assert_string_equal(c->state_dir, "./midflight-state");
    mf_config_free(c);
}

static void two_urls_are_enough(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(mf_config_from_urls("postgres://u@h:5432/Shop-2?sslmode=require", "mem://x", &c, &err), &err);
    assert_mf_ok(mf_config_finish(c, &err), &err);
    assert_string_equal(c->migration, "shop_2");
    assert_int_equal(c->copy.jobs, 4);
    assert_true(c->cutover.require_verified);
    mf_config_free(c);
}

/* Every row of the table: its default parses, and so do its bounds; what is just outside them does not. */
static void every_option_keeps_its_bounds(void **state)
{
    (void)state;
    struct mf_config *c = mf_config_new();
    struct mf_error err = {0};
    char text[64];
    for (size_t i = 0; i < mf_option_count; i++) {
        const struct mf_option *o = &mf_options[i];
        const char *unit = o->type == MF_OPT_TIME ? "ms" : "";
        assert_true(strlen(o->sentence) > 10);
        if (o->type != MF_OPT_COUNT && o->type != MF_OPT_SIZE && o->type != MF_OPT_TIME) {
            continue;
        }
        assert_true(o->min < o->max);
        const int64_t in[] = {o->min, o->max};
        const int64_t out[] = {o->min - 1, o->max + 1};
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof(text), "%lld%s", (long long)in[k], unit);
            assert_mf_ok(mf_config_set(c, o->key, text, &err), &err);
            int64_t before;
            memcpy(&before, (char *)c + o->offset, sizeof(before));
            assert_int_equal(before, in[k]);
            snprintf(text, sizeof(text), "%lld%s", (long long)out[k], unit);
            assert_mf_fails(mf_config_set(c, o->key, text, &err), &err, MF_USAGE, o->key);
            memcpy(&before, (char *)c + o->offset, sizeof(before));
            assert_int_equal(before, in[k]);
        }
        assert_mf_fails(mf_config_set(c, o->key, "", &err), &err, MF_USAGE, o->key);
        assert_mf_fails(mf_config_set(c, o->key, "12 parsecs", &err), &err, MF_USAGE, "12 parsecs");
        assert_mf_fails(mf_config_set(c, o->key, "99999999999999999999999", &err), &err, MF_USAGE, o->key);
    }
    mf_config_free(c);
}

static void flags_have_names_that_a_path_can_have(void **state)
{
    (void)state;
    static const char *const bad[] = {"a b", "a/b", ".", "..", ".a", "\xc3\xbc", "a?b", "a%62", TOO_LONG};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        struct mf_config *c = NULL;
        struct mf_error err = {0};
        assert_mf_ok(parse(URLS, &c, &err), &err);
        assert_mf_ok(mf_config_set(c, "flags.writes", bad[i], &err), &err);
        assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "flags.writes: a flag's name is");
        mf_config_free(c);
    }
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(parse(URLS "flags: { reads: shop.reads_2, writes_on_target: shop.reads_2 }\n", &c, &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "two of them have the same name");
    mf_config_free(c);
}

static void words_and_flags_take_only_theirs(void **state)
{
    (void)state;
    struct mf_config *c = mf_config_new();
    struct mf_error err = {0};
    for (size_t i = 0; i < mf_option_count; i++) {
        const struct mf_option *o = &mf_options[i];
        for (size_t k = 0; o->words && o->words[k]; k++) {
            assert_mf_ok(mf_config_set(c, o->key, o->words[k], &err), &err);
        }
        if (o->words || o->type == MF_OPT_FLAG) {
            assert_mf_fails(mf_config_set(c, o->key, "perhaps", &err), &err, MF_USAGE, "perhaps");
        }
    }
    assert_mf_ok(mf_config_set(c, "cutover.require_verified", "no", &err), &err);
    assert_false(c->cutover.require_verified);
    assert_mf_fails(mf_config_set(c, "copy.max_load", "1.001", &err), &err, MF_USAGE, "from 0 to 1");
    assert_mf_fails(mf_config_set(c, "copy.max_load", "nan", &err), &err, MF_USAGE, "copy.max_load");
    assert_mf_fails(mf_config_set(c, "copy.max_load", "0x1", &err), &err, MF_USAGE, "copy.max_load");
    assert_mf_fails(mf_config_set(c, "heartbeat", "5", &err), &err, MF_USAGE, "like 500ms");
    mf_config_free(c);
}

static void errors_have_the_line_and_the_nearest_name(void **state)
{
    (void)state;
    refused(URLS "copy:\n  jobs: 8\n  job: 9\n", "m.yaml:5: unknown key \"copy.job\"; did you mean \"copy.jobs\"?");
    refused(URLS "cuotver: { max_pause: 1s }\n", "m.yaml:3: unknown key \"cuotver\"");
    refused(URLS "jobs: 8\n", "did you mean \"copy.jobs\"?");
    refused(URLS "zzzzzzzzzzzzzz: 8\n", "m.yaml:3: unknown key \"zzzzzzzzzzzzzz\"");
    setenv("MISPLACED", "HuNtEr2", 1);
    refused(URLS "on_ddl: a${MISPLACED}\n", "on_ddl: \"a${MISPLACED}\" is not one of");
    refused(URLS "copy: { jobs: \"${MISPLACED}\" }\n", "copy.jobs: \"${MISPLACED}\" is not");
    refused(URLS "copy: { jobs: 0 }\n", "m.yaml:3: copy.jobs: \"0\" is not a whole number from 1 to 64");
    refused(URLS "copy: 8\n", "m.yaml:3: copy: it is a section");
    refused(URLS "on_ddl: { a: b }\n", "m.yaml:3: on_ddl takes stop, additive or ignore");
    refused(URLS "on_ddl: [stop]\n", "m.yaml:3: on_ddl takes");
    refused(URLS "on_ddl:\n", "m.yaml:3: on_ddl: it has no value");
    refused(URLS "\n\nsource: postgresql://c@d/e\n", "m.yaml:5: source is given twice, first on line 1");
    refused(URLS "copy: { jobs: 1 }\ncopy.jobs: 2\n", "m.yaml:4: copy.jobs is given twice, first on line 3");
    refused(URLS "source_file: /x\n", "m.yaml:3: source_file is given twice, first on line 1");
    refused(URLS "tables: { include: [[a]] }\n", "tables.include: each item");
    refused(URLS "tables: { include: [\"\"] }\n", "item 1 is empty");
    refused(URLS "migration: \"a\\0b\"\n", "m.yaml:3: migration takes text");
    refused("- a\n- b\n", "m.yaml:1: a configuration is made of keys");
    refused("", "m.yaml: it is empty");
    refused(URLS "---\n" URLS, "a second document");
    refused(URLS "copy: { jobs: 8\n", "this is not YAML");
    refused("a: *nothing\n", "this is not YAML");
    refused(URLS "\xff\xfe: x\n", "m.yaml:");
}

static void variables_come_from_the_environment(void **state)
{
    (void)state;
    struct mf_error err = {0};
    char *s = NULL;
    setenv("MF_T_A", "a@b", 1);
    setenv("MF_T_EMPTY", "", 1);
    unsetenv("MF_T_NONE");
    static const struct {
        const char *text;
        bool url;
        const char *want;
    } good[] = {
        {"x${MF_T_A}y", false, "xa@by"},
        {"$${MF_T_A}", false, "${MF_T_A}"},
        {"cost: $5", false, "cost: $5"},
        {"${MF_T_NONE:-other}", false, "other"},
        {"${MF_T_EMPTY:-other}", false, "other"},
        {"${MF_T_EMPTY}", false, ""},
        {"postgresql://u:${MF_T_A}@h/d", true, "postgresql://u:a%40b@h/d"},
        {"postgresql://u:${MF_T_NONE:-p/q}@h/d", true, "postgresql://u:p%2Fq@h/d"},
        {"postgresql://u@${MF_T_A}/d", true, "postgresql://u@a@b/d"},
        {"postgresql://h/d?x=${MF_T_A}", true, "postgresql://h/d?x=a@b"},
        {"${MF_T_A}", true, "a@b"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(good); i++) {
        assert_mf_ok(mf_config_expand(good[i].text, good[i].url, &s, &err), &err);
        assert_string_equal(s, good[i].want);
        free(s);
        s = NULL;
    }
    assert_mf_fails(mf_config_expand("${MF_T_NONE}", false, &s, &err), &err, MF_USAGE, "MF_T_NONE is not set");
    static const char *const bad[] = {"${", "${}", "${A", "${A-b}", "${9}", "${a b}", "${MF_T_A:x}"};
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        assert_mf_fails(mf_config_expand(bad[i], false, &s, &err), &err, MF_USAGE, "is not ${NAME}");
    }
    refused("source: postgresql://u:${MF_T_NONE}@h/d\n", "m.yaml:1: source: the environment variable MF_T_NONE");
}

static void secrets_come_from_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/mf-config-XXXXXX";
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_non_null(mkdtemp(dir));
    MF_CLEANUP_FREE char *path = mf_xasprintf("%s/token", dir);
    MF_CLEANUP_FREE char *hook = mf_xasprintf("%s/hook.sh", dir);
    MF_CLEANUP_FREE char *yaml = mf_xasprintf("%s/m.yaml", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("0123456789abcdef\n", f);
    fclose(f);
    f = fopen(yaml, "w");
    assert_non_null(f);
    fputs(URLS "api: { token_file: ./token, listen: \"0.0.0.0:80\" }\nhooks: { on_cutover: ./hook.sh }\n", f);
    fclose(f);
    assert_mf_ok(mf_config_load(yaml, &c, &err), &err);
    assert_string_equal(c->api.token, "0123456789abcdef");
    assert_string_equal(c->hooks.on_cutover, hook);
    assert_string_equal(c->path, yaml);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "hooks.on_cutover");
    f = fopen(hook, "w");
    assert_non_null(f);
    fclose(f);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "is not a program");
    chmod(hook, 0700);
    assert_mf_ok(mf_config_finish(c, &err), &err);
    mf_config_free(c);
    c = NULL;
    assert_int_equal(remove(path), 0);
    assert_mf_fails(mf_config_load(yaml, &c, &err), &err, MF_USAGE, "api.token_file: cannot read the file");
    assert_null(c);
    remove(hook);
    remove(yaml);
    assert_mf_fails(mf_config_load(yaml, &c, &err), &err, MF_USAGE, "cannot read the configuration");
    remove(dir);
}

static void no_error_shows_a_secret(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "source: hunter2hunter2\n",
        "source: { postgresql://u:hunter2@h/d }\n",
        "source: [postgresql://u:hunter2@h/d]\n",
        "postgresql://u:hunter2@h/d\n",
        "postgresql://u:hunter2@h/d: x\n",
        "source: \"postgresql://u:hunter2\\x01@h/d\"\n",
        "source_password: [hunter2]\n",
        "source: postgresql://u:hunter2@h/d\ntarget: postgresql://u:hunter2@h/d\nx: y\n",
        "source: postgresql://u:hunter2@h/d\n target: postgresql://u:hunter2@h/d\n",
        "source: \"postgresql://u:hunter2@h/d\n",
        "source: postgresql://u:hunter2${@h/d\n",
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(texts); i++) {
        struct mf_config *c = NULL;
        struct mf_error err = {0};
        assert_int_equal(parse(texts[i], &c, &err), -1);
        assert_null(strstr(err.text, "hunter2"));
        assert_null(strstr(err.hint, "hunter2"));
    }
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(mf_config_from_urls("postgresql://u:hunter2@h/d", "postgresql://u:hunter2@h/d", &c, &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "the same URL");
    assert_null(strstr(err.text, "hunter2"));
    assert_mf_ok(mf_config_set(c, "api.token", "hunter2", &err), &err);
    assert_mf_ok(mf_config_set(c, "source", "mem://a", &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "shorter than 16");
    assert_null(strstr(err.text, "hunter2"));
    mf_config_free(c);
}

static void the_api_beyond_loopback_needs_a_token(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(mf_config_from_urls("mem://a", "mem://b", &c, &err), &err);
    static const struct {
        const char *listen;
        bool fine;
    } cases[] = {{"127.0.0.1:80", true}, {"127.9.9.9:0", true}, {"localhost:80", true}, {"[::1]:80", true},
                 {"0.0.0.0:80", false},  {"[::]:80", false},    {"example:80", false},  {"80", false},
                 {":80", false},         {"h:", false},         {"h:65536", false},     {"h:x", false}};
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        assert_mf_ok(mf_config_set(c, "api.listen", cases[i].listen, &err), &err);
        assert_int_equal(mf_config_finish(c, &err) == 0, cases[i].fine);
    }
    mf_config_free(c);
}

static void a_missing_database_is_said(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(parse("source: mem://a\n", &c, &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "no target database");
    assert_mf_ok(mf_config_set(c, "target", "mem://b", &err), &err);
    assert_mf_ok(mf_config_set(c, "migration", "No!", &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "cannot be a name");
    assert_mf_ok(mf_config_set(c, "migration", "ok", &err), &err);
    assert_mf_ok(mf_config_set(c, "spool.segment", "4GB", &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "spool.segment");
    mf_config_free(c);
}

static void the_reference_has_every_key(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    mf_config_reference(f);
    fclose(f);
    for (size_t i = 0; i < mf_option_count; i++) {
        MF_CLEANUP_FREE char *row = mf_xasprintf("| `%s`", mf_options[i].key);
        assert_non_null(strstr(text, row));
    }
    free(text);
}

static void a_map_is_read_whole(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(parse(URLS "map:\n"
                            "  - table: public.orders\n"
                            "    to: orders_by_customer\n"
                            "    partition: [customer_id]\n"
                            "    clustering: [placed_at desc, id]\n"
                            "    drop: internal\n"
                            "    columns:\n"
                            "      - '*'\n"
                            "      - { name: x, as: y, type: timestamp }\n"
                            "      - { name: origin, value: shop, static: true }\n"
                            "      - { name: customer_name, from: public.customers.name, by: customer_id }\n"
                            "  - { table: lines, to: lines }\n"
                            "map_only: true\n",
                       &c, &err),
                 &err);
    assert_mf_ok(mf_config_finish(c, &err), &err);
    assert_int_equal(c->map->n, 2);
    assert_true(c->map->only);
    const struct mf_query_table *q = &c->map->tables[0];
    assert_int_equal(q->line, 4);
    assert_string_equal(q->table, "public.orders");
    assert_int_equal(q->npartition, 1);
    assert_string_equal(q->clustering[0].name, "placed_at");
    assert_true(q->clustering[0].descending);
    assert_string_equal(q->clustering[1].name, "id");
    assert_false(q->clustering[1].descending);
    assert_string_equal(q->drop[0], "internal");
    assert_int_equal(q->ncolumns, 4);
    assert_true(q->columns[0].every);
    assert_string_equal(q->columns[1].name, "y");
    assert_string_equal(q->columns[1].of, "x");
    assert_string_equal(q->columns[1].type, "timestamp");
    assert_string_equal(q->columns[2].value, "shop");
    assert_true(q->columns[2].is_static);
    assert_string_equal(q->columns[3].parent, "public.customers");
    assert_string_equal(q->columns[3].of, "name");
    assert_string_equal(q->columns[3].by[0], "customer_id");
    mf_config_free(c);
}

#define MAPPED(text) URLS "map:\n  - " text "\n"

static void a_map_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    refused(MAPPED("{ table: a, to: b, partitoin: [x] }"),
            "m.yaml:4: map: unknown key \"partitoin\"; did you mean \"partition\"?");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, vaule: y }] }"),
            "m.yaml:4: map.columns: unknown key \"vaule\"; did you mean \"value\"?");
    refused(MAPPED("{ table: a, table: b, to: c }"), "map.table: it is given twice");
    refused(MAPPED("{ table: a, to: \"b${MF_T_NONE:-x}\" }"), "map.to: a variable of the environment is not replaced");
    refused(MAPPED("{ collection: \"a.b${MF_T_NONE}\" }"), "map.collection: a variable of the environment");
    refused(MAPPED("{ to: b }"), "it does not say of which \"table\"");
    refused(MAPPED("{ table: a }"), "it does not say which table it goes \"to\"");
    refused(MAPPED("{ table: a, to: b, partition: [] }"), "map.partition: the list is empty");
    refused(MAPPED("{ table: a, to: b, clustering: [x] }"), "map.clustering: it needs a \"partition\"");
    refused(MAPPED("{ table: a, to: b, partition: { x: y } }"), "map.partition: it takes a list of columns");
    refused(MAPPED("{ table: a, to: b, ttl: '' }"), "map.ttl: it takes the column that says when");
    refused(MAPPED("{ table: a, to: b, columns: [{ as: x }] }"), "it has no name");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, as: y, value: z }] }"), "a constant is none");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, from: p.y }] }"), "by: the column that refers to it");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, by: y }] }"), "\"by\" goes with \"from\"");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, static: perhaps }] }"), "it takes true or false");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, expr: left(y) }] }"),
            "its last argument is a number from 1");
    refused(MAPPED("{ table: a, to: b, columns: [{ name: x, expr: day(y), value: z }] }"),
            "\"expr\" is a column called");
    refused(MAPPED("x"), "each item is made of keys and values");
    refused(URLS "map: x\n", "map: it is a list of query tables or collections, which only a file can hold");
    refused(URLS "map: []\n", "the list is empty");
    struct mf_config *c = NULL;
    struct mf_error err = {0};
    assert_mf_ok(parse(URLS "map_only: true\n", &c, &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "there is no map");
    mf_config_free(c);
    assert_mf_ok(parse(URLS "map: [{table: a, to: \"$$b$${c}$\"}]\n", &c, &err), &err);
    assert_string_equal(c->map->tables[0].to, "$$b${c}$");
    mf_config_free(c);
    assert_mf_ok(parse(URLS "mode: native\nmap: [{table: a, to: b}]\n", &c, &err), &err);
    assert_mf_fails(mf_config_finish(c, &err), &err, MF_USAGE, "map: not with mode: native");
    mf_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_example_is_understood),
        cmocka_unit_test(two_urls_are_enough),
        cmocka_unit_test(every_option_keeps_its_bounds),
        cmocka_unit_test(flags_have_names_that_a_path_can_have),
        cmocka_unit_test(words_and_flags_take_only_theirs),
        cmocka_unit_test(errors_have_the_line_and_the_nearest_name),
        cmocka_unit_test(variables_come_from_the_environment),
        cmocka_unit_test(secrets_come_from_files),
        cmocka_unit_test(no_error_shows_a_secret),
        cmocka_unit_test(the_api_beyond_loopback_needs_a_token),
        cmocka_unit_test(a_missing_database_is_said),
        cmocka_unit_test(the_reference_has_every_key),
        cmocka_unit_test(a_map_is_read_whole),
        cmocka_unit_test(a_map_says_what_is_wrong_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
