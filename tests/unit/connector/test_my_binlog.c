/*
 * The binary log decoder against files that real servers wrote (tests/data/mysql, recorded by record.py there): every row change must
 * be, in order, what the server itself answered to a SELECT of the row.
 */
#include "my_log.h"
#include "my_tables.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/gtid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define KINDS (MY_EV_INTVAR_OR_LIKE + 1)

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

/* A table's columns, where the text tells them (T). */
struct told {
    char table[64];
    struct my_type types[64];
    uint16_t n;
};

struct walk {
    struct my_binlog *d;
    struct mf_arena arena, members;
    struct told told[16];
    size_t ntold;
    struct my_gtid_set *gtids;
    struct my_table_map map;
    const char *expected; /* the lines that are left */
    struct my_type charsets[64];
    uint16_t ncharsets;
    unsigned counts[KINDS];
    unsigned rows, named;
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
        mf_buf_printf(&line, "%c %s", "IUD"[e->rows.kind], w -> map.table);
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

/* "T table type|type …" */
static struct told *read_told(struct walk *w, const char *line, size_t n)
{
    struct told t = {0};
    const char *end = line + n, *at = memchr(line + 2, ' ', n - 2);
    snprintf(t.table, sizeof(t.table), "%.*s", (int)(at - line - 2), line + 2);
    while (at < end) {
        struct mf_error err = {0};
        char type[4096];
        size_t len = strcspn(++at, "|\n");
        snprintf(type, sizeof(type), "%.*s", (int)len, at);
        assert_true(t.n < MF_ARRAY_LEN(t.types));
        assert_mf_ok(my_type_parse(type, &w->members, &t.types[t.n++], &err), &err);
        at += len;
    }
    size_t i = 0;
    while (i < w->ntold && strcmp(w->told[i].table, t.table) != 0) {
        i++;
    }
    w->ntold += i == w->ntold;
    assert_true(i < MF_ARRAY_LEN(w->told));
    w->told[i] = t;
    return &w->told[i];
}

/* What the text tells of the table at this place. */
static struct told *find_told(struct walk *w, const char *table)
{
    while (w->expected[0] == 'T') {
        size_t n = strcspn(w->expected, "\n");
        read_told(w, w->expected, n);
        w->expected += n + 1;
    }
    for (size_t i = 0; i < w->ntold; i++) {
        if (mf_streq(w->told[i].table, table)) {
            return &w->told[i];
        }
    }
    return NULL;
}

static void give_columns(struct walk *w, const struct my_table_map *map)
{
    struct mf_error err = {0};
    w->map = *map;
    if (strcmp(map->schema, "rec") != 0) {
        return;
    }
    if (map->has_names) {
        assert_string_equal(map->names[0], mf_streq(map->table, "hidden") ? "my_row_id" : "id");
        assert_true(!mf_streq(map->table, "images") || mf_streq(map->names[4], "d"));
        w->named++;
    }
    const struct told *told = find_told(w, map->table);
    if (told) {
        assert_mf_ok(my_binlog_columns(w->d, map->id, told->types, told->n, &err), &err);
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
    } else if (e->kind == MY_EV_GTID) {
        my_gtid_set_add(w->gtids, &e->gtid, NULL);
    } else if (e->kind == MY_EV_HEARTBEAT && w->expected[0] == 'N') {
        char line[600];
        snprintf(line, sizeof(line), "N %s %llu", e->rotate.file, (unsigned long long)e->rotate.position);
        expect_line(w, line);
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
    *w = (struct walk){.d = my_binlog_new(), .gtids = my_gtid_set_new(false), .expected = expected, .ncharsets = 1};
    mf_arena_init(&w->arena, 64 << 20);
    mf_arena_init(&w->members, 1 << 20);
    w->charsets[0] = types_one[0];
    const char *end = strchr(expected, '\n');
    for (const char *at = expected + 2; at < end; at += strcspn(at, " \n") + 1) {
        struct my_type *t = &w->charsets[w->ncharsets++];
        *t = (struct my_type){.base = MY_VARCHAR, .length = 20};
        snprintf(t->charset, sizeof(t->charset), "%.*s", (int)strcspn(at, " \n"), at);
        if (mf_streq(t->charset, "utf8")) {
            snprintf(t->charset, sizeof(t->charset), "utf8mb3"); /* its name in a struct my_type */
        }
    }
    w->expected = end + 1;
}

/* All of the text was met; its last line may have the GTIDs. */
static void end_walk(struct walk *w)
{
    if (w->expected[0] == 'G') {
        MF_CLEANUP_BUF struct mf_buf line = {.max = 4096};
        mf_buf_puts(&line, "G ");
        my_gtid_set_print(w->gtids, &line);
        expect_line(w, mf_buf_str(&line));
    }
    assert_string_equal(w->expected, "");
    my_binlog_free(w->d);
    my_gtid_set_free(w->gtids);
    mf_arena_free(&w->arena);
    mf_arena_free(&w->members);
}

static void every_row_is_what_the_server_showed(void **state)
{
    static const char *const servers[] = {"mysql57", "mysql80", "mariadb", "mysql97", "mysql97_packed"};
    (void)state;
    for (size_t i = 0; i < MF_ARRAY_LEN(servers); i++) {
        struct bytes log = read_file(servers[i], "bin"), text = read_file(servers[i], "txt");
        struct walk w;
        begin_walk(&w, (const char *)text.p);
        walk_events(&w, log.p + 4, log.n - 4);
        assert_int_equal(w.named > 0, i > 0); /* MySQL 5.7 tells no names */
        assert_int_equal(w.counts[MY_EV_FORMAT], 1);
        assert_int_equal(w.counts[MY_EV_ROTATE], 1);
        assert_int_equal(w.counts[MY_EV_XA_PREPARE], 1);
        assert_true(w.counts[MY_EV_GTID] > 20);
        assert_true(w.counts[MY_EV_XID] > 10 && w.counts[MY_EV_QUERY] > 10);
        assert_int_equal(w.counts[MY_EV_PAYLOAD] > 20, mf_streq(servers[i], "mysql97_packed"));
        end_walk(&w);
        free(log.p);
        free(text.p);
    }
}

/* A connection that asked for heartbeats as they were, then one that asked for version 2. */
static void a_connection_s_own_events_are_understood(void **state)
{
    (void)state;
    struct bytes log = read_file("mysql97_wire", "bin"), text = read_file("mysql97_wire", "txt");
    struct walk w;
    begin_walk(&w, (const char *)text.p);
    walk_events(&w, log.p + 4, log.n - 4);
    assert_int_equal(w.counts[MY_EV_HEARTBEAT], 4);
    assert_true(w.counts[MY_EV_ROTATE] > 4); /* the files' ends, and those made for the connection */
    end_walk(&w);
    free(log.p);
    free(text.p);
}

/* ---- the same log in other clothes ---- */

/* An event without its checksum, its length put right. */
static size_t bare_event(const uint8_t *p, size_t n, uint8_t *out)
{
    memcpy(out, p, n - 4);
    mf_put_u32le(out + 9, (uint32_t)(n - 4));
    return n - 4;
}

enum clothes { NO_CHECKSUMS, ONE_FRAME, TWO_FRAMES, NOT_COMPRESSED };

static void put_lenenc(struct mf_buf *out, uint64_t v)
{
    uint8_t eight[9] = {0xfe};
    mf_put_u64le(eight + 1, v);
    mf_buf_append(out, eight, sizeof(eight));
}

static void put_field(struct mf_buf *out, uint8_t field, uint64_t v)
{
    mf_buf_putc(out, (char)field);
    mf_buf_putc(out, 9);
    put_lenenc(out, v);
}

static void put_packed(struct mf_buf *out, const char *p, size_t n, enum clothes how)
{
    size_t half = how == TWO_FRAMES ? n / 2 : n, bound = ZSTD_compressBound(n);
    MF_CLEANUP_FREE char *packed = malloc(2 * bound);
    size_t len = how == NOT_COMPRESSED ? n : ZSTD_compress(packed, bound, p, half, 3);
    if (how == TWO_FRAMES) {
        len += ZSTD_compress(packed + len, bound, p + half, n - half, 3);
    }
    mf_buf_append(out, how == NOT_COMPRESSED ? p : packed, len);
}

/* All events but the format description in one transaction payload event. */
static void put_payload(struct mf_buf *out, const struct mf_buf *events, enum clothes how)
{
    MF_CLEANUP_BUF struct mf_buf body = {.max = 1 << 24}, packed = {.max = 1 << 24};
    put_packed(&packed, events->data, events->len, how);
    put_field(&body, 2, how == NOT_COMPRESSED ? 255 : 0);
    put_field(&body, 3, events->len);
    put_field(&body, 1, packed.len);
    mf_buf_putc(&body, 0);
    mf_buf_append(&body, packed.data, packed.len);
    uint8_t header[19] = {[4] = MY_TYPE_PAYLOAD};
    mf_put_u32le(header + 9, (uint32_t)(sizeof(header) + body.len));
    mf_buf_append(out, header, sizeof(header));
    mf_buf_append(out, body.data, body.len);
}

static void dress(const struct bytes *log, struct mf_buf *out, enum clothes how)
{
    MF_CLEANUP_BUF struct mf_buf events = {.max = 1 << 24};
    MF_CLEANUP_FREE uint8_t *event = malloc(log->n);
    for (size_t at = 4, n; at < log->n; at += n) {
        n = mf_get_u32le(log->p + at + 9);
        uint8_t type = log->p[at + 4];
        if (type == MY_TYPE_FORMAT) {
            memcpy(event, log->p + at, n);
            event[n - 5] = 0; /* no checksums */
            mf_buf_append(out, event, n);
        } else if (type != MY_TYPE_ROTATE) {
            size_t len = bare_event(log->p + at, n, event);
            mf_buf_append(how == NO_CHECKSUMS ? out : &events, event, len);
        }
    }
    if (how != NO_CHECKSUMS) {
        put_payload(out, &events, how);
    }
}

static void rows_are_the_same_in_a_compressed_transaction(void **state)
{
    (void)state;
    struct bytes log = read_file("mysql80", "bin"), text = read_file("mysql80", "txt");
    for (enum clothes how = NO_CHECKSUMS; how <= NOT_COMPRESSED; how++) {
        MF_CLEANUP_BUF struct mf_buf dressed = {.max = 1 << 24};
        struct walk w;
        dress(&log, &dressed, how);
        begin_walk(&w, (const char *)text.p);
        walk_events(&w, (const uint8_t *)dressed.data, dressed.len);
        assert_int_equal(w.counts[MY_EV_PAYLOAD], how != NO_CHECKSUMS);
        end_walk(&w);
    }
    free(log.p);
    free(text.p);
}

/* What is cut off or damaged in a compressed transaction is an error, not its end. */
static void a_damaged_payload_is_refused(void **state)
{
    (void)state;
    struct bytes log = read_file("mariadb", "bin");
    for (enum clothes how = ONE_FRAME; how <= NOT_COMPRESSED; how++) {
        MF_CLEANUP_BUF struct mf_buf dressed = {.max = 1 << 24};
        dress(&log, &dressed, how);
        struct my_binlog *d = my_binlog_new();
        struct my_event e;
        struct mf_error err = {0};
        size_t n = mf_get_u32le(dressed.data + 9), left = dressed.len - n, events = 0;
        char *payload = dressed.data + n;
        assert_mf_ok(my_binlog_event(d, dressed.data, n, &e, &err), &err);
        /* The size of the packed part is the last field, nine bytes and the end mark; cut the part by 7. */
        char *size = payload + 19 + 2 * 11 + 3;
        mf_put_u64le(size, mf_get_u64le(size) - 7);
        mf_put_u32le(payload + 9, (uint32_t)left - 7);
        assert_mf_ok(my_binlog_event(d, payload, left - 7, &e, &err), &err);
        int rc;
        for (bool more = true; (rc = my_payload_next(d, &e, &more, &err)) == 0 && more;) {
            events++;
        }
        assert_int_equal(rc, -1);
        assert_string_equal(err.code, "MFBINLOG");
        assert_true(events > 0 || how != NOT_COMPRESSED);
        my_binlog_free(d);
    }
    free(log.p);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct bytes log = read_file("mysql57", "bin");
    struct my_binlog *d = my_binlog_new();
    struct my_event e;
    struct mf_error err = {0};
    for (size_t at = 4, n; at < log.n; at += n) {
        n = mf_get_u32le(log.p + at + 9);
        for (size_t i = 0; i < n; i += 1 + n / 40) {
            if (i >= 9 && i < 13) {
                continue; /* its length */
            }
            log.p[at + i] ^= 0x10;
            if (my_binlog_event(d, log.p + at, n, &e, &err) == 0) {
                fail_msg("an event of type %u with a wrong byte at %zu of %zu passed", log.p[at + 4], i, n);
            }
            log.p[at + i] ^= 0x10;
        }
        assert_mf_ok(my_binlog_event(d, log.p + at, n, &e, &err), &err);
    }
    my_binlog_free(d);
    free(log.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_what_the_server_showed),
        cmocka_unit_test(a_connection_s_own_events_are_understood),
        cmocka_unit_test(rows_are_the_same_in_a_compressed_transaction),
        cmocka_unit_test(a_damaged_payload_is_refused),
        cmocka_unit_test(every_flipped_bit_is_found),
    };
    return cmocka_run_group_tests(tests, make_members, NULL);
}
