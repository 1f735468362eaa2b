/*
 * The binary log decoder against files that real servers wrote (tests/data/mysql, recorded by record.py there): every row change must
 * be, in order, what the server itself answered to a SELECT of the row.
 */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/binlog_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define KINDS (MY_EV_INTVAR_OR_LIKE + 1)

/* ---- the tables of record.py ---- */

#define NUM(b)          {.base = MY_##b}
#define UNSIGNED(b)     {.base = MY_##b, .is_unsigned = true}
#define DECIMAL(p, s)   {.base = MY_DECIMAL, .precision = (p), .scale = (s)}
#define BITS(n)         {.base = MY_BIT, .length = (n)}
#define TIMED(b, s)     {.base = MY_##b, .scale = (s)}
#define CHARS(b, n, cs) {.base = MY_##b, .length = (n), .charset = cs}
#define BYTES(b, n)     {.base = MY_##b, .length = (n)}
#define MEMBERS(b, n, list, cs)                                                                                        \
    {                                                                                                                  \
        .base = MY_##b, .nmembers = (n), .members = (list), .charset = cs                                              \
    }

static const char *enum3[] = {"a", "b c", "\u00e9"}, *set3[] = {"x", "y", "z"};
static const char *enum300[300], *set40[40];
static char member_text[340][8];

static const struct my_type types_types[] = {
    NUM(INT), NUM(TINYINT), UNSIGNED(TINYINT), NUM(SMALLINT), UNSIGNED(SMALLINT), NUM(MEDIUMINT), UNSIGNED(MEDIUMINT), NUM(INT),
    UNSIGNED(INT), NUM(BIGINT), UNSIGNED(BIGINT), DECIMAL(10, 2), DECIMAL(65, 30), DECIMAL(5, 5), DECIMAL(20, 0), NUM(FLOAT),
    NUM(DOUBLE), BITS(1), BITS(9), BITS(64), NUM(YEAR), NUM(DATE), TIMED(TIME, 0), TIMED(TIME, 3), TIMED(TIME, 6), TIMED(DATETIME, 0),
    TIMED(DATETIME, 1), TIMED(DATETIME, 6), TIMED(TIMESTAMP, 0), TIMED(TIMESTAMP, 4), CHARS(CHAR, 10, "utf8mb4"), CHARS(CHAR, 100, "utf8mb4"),
    CHARS(CHAR, 5, "latin1"), CHARS(VARCHAR, 20, "utf8mb4"), CHARS(VARCHAR, 300, "latin1"), CHARS(TEXT, 255, "utf8mb4"),
    CHARS(TEXT, 16777215, "latin1"), BYTES(BINARY, 8), BYTES(VARBINARY, 20), BYTES(BLOB, 255), BYTES(BLOB, 4294967295),
    MEMBERS(ENUM, 3, enum3, "utf8mb4"), MEMBERS(ENUM, 300, enum300, "latin1"), MEMBERS(SET, 3, set3, "utf8mb4"),
    MEMBERS(SET, 40, set40, "latin1"), NUM(GEOMETRY),
};
static const struct my_type types_doubles[] = {NUM(INT), NUM(DOUBLE), NUM(FLOAT)};
static const struct my_type types_documents[] = {NUM(INT), NUM(JSON)};
static const struct my_type types_images[] = {NUM(INT), NUM(INT), BYTES(BLOB, 65535), CHARS(VARCHAR, 10, "latin1"),
                                              CHARS(TEXT, 65535, "utf8mb4")};
static const struct my_type types_patches[] = {NUM(INT), NUM(JSON), NUM(JSON), CHARS(VARCHAR, 10, "latin1")};
static const struct my_type types_packed[] = {NUM(INT), CHARS(TEXT, 65535, "utf8mb4")};
static const struct my_type types_one[] = {NUM(INT)};

static const struct {
    const char *table;
    const struct my_type *types;
    uint16_t n;
} tables[] = {
    {"types", types_types, MF_ARRAY_LEN(types_types)},       {"doubles", types_doubles, 3}, {"documents", types_documents, 2},
    {"images", types_images, MF_ARRAY_LEN(types_images)},    {"patches", types_patches, 4}, {"packed", types_packed, 2},
    {"xa_t", types_one, 1},                                  {"myisam_t", types_one, 1},
};

static int make_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < 340; i++) {
        snprintf(member_text[i], sizeof(member_text[i]), i < 300 ? "m%zu" : "s%zu", i < 300 ? i + 1 : i - 299);
        (i < 300 ? enum300 : set40)[i < 300 ? i : i - 300] = member_text[i];
    }
    return 0;
}

/* ---- files ---- */

struct bytes {
    uint8_t *p;
    size_t n;
};

static struct bytes read_file(const char *name, const char *suffix)
{
    char path[4096];
    struct bytes b = {.p = malloc(4 << 20)};
    snprintf(path, sizeof(path), "%s/%s.%s", MF_TEST_DATA, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f || !b.p) {
        fail_msg("%s: cannot be read", path);
    }
    b.n = fread(b.p, 1, (4 << 20) - 1, f);
    b.p[b.n] = '\0';
    fclose(f);
    return b;
}

/* ---- a row change as record.py writes it ---- */

static uint64_t fnv(const struct mf_value *v)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (uint32_t i = 0; i < v->len; i++) {
        hash = (hash ^ (uint8_t)v->data[i]) * 0x100000001b3;
    }
    return hash;
}

static void put_row(struct mf_buf *out, const struct mf_row *row)
{
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        mf_buf_putc(out, ' ');
        if (v->kind == MF_NULL || v->kind == MF_UNCHANGED) {
            mf_buf_putc(out, v->kind == MF_NULL ? '-' : '~');
        } else if (v->len == 0) {
            mf_buf_putc(out, '.');
        } else if (v->len > 100) {
            mf_buf_printf(out, "#%u:%llx", v->len, (unsigned long long)fnv(v));
        }
        for (uint32_t k = 0; v->kind >= MF_TEXT && v->len <= 100 && k < v->len; k++) {
            mf_buf_printf(out, "%02x", (uint8_t)v->data[k]);
        }
    }
}

struct walk {
    struct my_binlog *d;
    struct mf_arena arena;
    struct my_table_map map;
    const char *expected; /* the lines that are left */
    struct my_type charsets[64];
    uint16_t ncharsets;
    unsigned counts[KINDS];
    unsigned rows;
    bool upside_down; /* hand out no columns: rows must be refused */
};

static void expect_line(struct walk *w, const char *line)
{
    size_t n = strcspn(w->expected, "\n");
    if (strlen(line) != n || memcmp(line, w->expected, n) != 0) {
        size_t at = 0;
        while (at < n && line[at] == w->expected[at]) {
            at++;
        }
        size_t from = at > 60 ? at - 60 : 0, word = 0;
        for (size_t i = 0; i < at; i++) {
            word += line[i] == ' ';
        }
        fail_msg("row %u differs at word %zu:\n  decoded  %.200s\n  expected %.*s\n%.40s", w->rows, word, line + from,
                 (int)(n - from < 200 ? n - from : 200), w->expected + from, line);
    }
    w->expected += n + 1;
    w->rows++;
}

static void check_rows(struct walk *w, const struct my_event *e)
{
    MF_CLEANUP_BUF struct mf_buf line = {.max = 4 << 20};
    struct mf_error err = {0};
    if (strcmp(w->map.schema, "rec") != 0) {
        return;
    }
    for (;;) {
        struct mf_row old, new;
        bool partial, more;
        mf_arena_reset(&w->arena);
        mf_buf_reset(&line);
        assert_mf_ok(my_rows_next(w->d, &w->arena, &old, &new, &partial, &more, &err), &err);
        if (!more) {
            return;
        }
        mf_buf_printf(&line, "%c %s", "IUD"[e->rows.kind], w->map.table);
        if (e->rows.kind != MY_ROWS_INSERT) {
            put_row(&line, &old);
        }
        if (e->rows.kind == MY_ROWS_UPDATE) {
            mf_buf_puts(&line, " >");
        }
        if (e->rows.kind != MY_ROWS_DELETE) {
            put_row(&line, &new);
        }
        mf_buf_puts(&line, partial ? " partial" : "");
        expect_line(w, mf_buf_str(&line));
    }
}

static void give_columns(struct walk *w, const struct my_table_map *map)
{
    struct mf_error err = {0};
    w->map = *map;
    if (strcmp(map->schema, "rec") != 0) {
        return;
    }
    if (mf_streq(map->table, "charsets")) {
        assert_mf_ok(my_binlog_columns(w->d, map->id, w->charsets, w->ncharsets, &err), &err);
        return;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(tables); i++) {
        if (mf_streq(map->table, tables[i].table)) {
            assert_mf_ok(my_binlog_columns(w->d, map->id, tables[i].types, tables[i].n, &err), &err);
            return;
        }
    }
    fail_msg("no types for %s", map->table);
}

static void check_event(struct walk *w, const struct my_event *e)
{
    struct mf_error err = {0};
    w->counts[e->kind]++;
    if (e->kind == MY_EV_TABLE_MAP) {
        give_columns(w, &e->map);
    } else if (e->kind == MY_EV_ROWS) {
        check_rows(w, e);
    } else if (e->kind == MY_EV_XA_PREPARE) {
        assert_string_equal(e->xa.id, "x'67',x'62',3");
        assert_false(e->xa.one_phase);
    } else if (e->kind == MY_EV_PAYLOAD) {
        for (bool more = true; more;) {
            struct my_event inner;
            assert_mf_ok(my_payload_next(w->d, &inner, &more, &err), &err);
            if (more) {
                check_event(w, &inner);
            }
        }
    }
}

static void walk_events(struct walk *w, const uint8_t *p, size_t n)
{
    while (n) {
        struct mf_error err = {0};
        struct my_event e;
        assert_true(n >= 19);
        size_t len = mf_get_u32le(p + 9);
        assert_true(len <= n);
        /* A copy of exactly that size, so that a checker sees a read past the end. */
        MF_CLEANUP_FREE uint8_t *copy = malloc(len);
        memcpy(copy, p, len);
        assert_mf_ok(my_binlog_event(w->d, copy, len, &e, &err), &err);
        check_event(w, &e);
        p += len;
        n -= len;
    }
}

/* The first line names the character sets of the table of them: "C latin1 …". */
static void begin_walk(struct walk *w, const char *expected)
{
    *w = (struct walk){.d = my_binlog_new(), .expected = expected, .ncharsets = 1};
    mf_arena_init(&w->arena, 64 << 20);
    w->charsets[0] = types_one[0];
    const char *end = strchr(expected, '\n');
    for (const char *at = expected + 2; at < end; at += strcspn(at, " \n") + 1) {
        struct my_type *t = &w->charsets[w->ncharsets++];
        *t = (struct my_type){.base = MY_VARCHAR, .length = 20};
        snprintf(t->charset, sizeof(t->charset), "%.*s", (int)strcspn(at, " \n"), at);
    }
    w->expected = end + 1;
}

static void end_walk(struct walk *w)
{
    my_binlog_free(w->d);
    mf_arena_free(&w->arena);
}

static void every_row_is_what_the_server_showed(void **state)
{
    static const char *const servers[] = {"mysql57", "mysql80", "mariadb"};
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(servers); i++) {
        struct bytes log = read_file(servers[i], "bin"), text = read_file(servers[i], "txt");
        struct walk w;
        begin_walk(&w, (const char *)text.p);
        walk_events(&w, log.p + 4, log.n - 4);
        assert_string_equal(w.expected, "");
        assert_int_equal(w.counts[MY_EV_FORMAT], 1);
        assert_int_equal(w.counts[MY_EV_ROTATE], 1);
        assert_int_equal(w.counts[MY_EV_XA_PREPARE], 1);
        assert_true(w.counts[MY_EV_GTID] > 20);
        assert_true(w.counts[MY_EV_XID] > 10 && w.counts[MY_EV_QUERY] > 10);
        end_walk(&w);
        free(log.p);
        free(text.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_what_the_server_showed),
    };
    return cmocka_run_group_tests(tests, make_members, NULL);
}
