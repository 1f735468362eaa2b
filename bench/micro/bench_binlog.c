/* Decoding rows of MySQL's binary log: updates like pgbench's, one a statement and many an event, and a row of many types. */
#include "bench.h"

#include "connector/mysql/binlog.h"

#define COUNT 1000000

static const struct my_type accounts[4] = {
    {.base = MY_INT}, {.base = MY_INT}, {.base = MY_INT}, {.base = MY_CHAR, .length = 84, .charset = "utf8mb4"}};
static const struct my_type mixed[8] = {{.base = MY_BIGINT},
                                        {.base = MY_DECIMAL, .precision = 10, .scale = 2},
                                        {.base = MY_DATETIME, .scale = 6},
                                        {.base = MY_TIMESTAMP},
                                        {.base = MY_VARCHAR, .length = 20, .charset = "latin1"},
                                        {.base = MY_DOUBLE},
                                        {.base = MY_DATE},
                                        {.base = MY_VARBINARY, .length = 20}};

static void put_event(struct mf_buf *out, uint8_t type, const void *body, size_t n)
{
    uint8_t header[19] = {[4] = type};
    mf_put_u32le(header + 9, (uint32_t)(sizeof(header) + n));
    mf_buf_append(out, header, sizeof(header));
    mf_buf_append(out, body, n);
}

static void put_map(struct mf_buf *out, const uint8_t *types, uint8_t n, const void *meta, uint8_t nmeta)
{
    struct mf_buf body = {.max = 1 << 20};
    mf_buf_append(&body, "\1\0\0\0\0\0\1\0\1b\0\1t\0", 14);
    mf_buf_putc(&body, (char)n);
    mf_buf_append(&body, types, n);
    mf_buf_putc(&body, (char)nmeta);
    mf_buf_append(&body, meta, nmeta);
    mf_buf_putc(&body, (char)0xff);
    put_event(out, 19, body.data, body.len);
    mf_buf_free(&body);
}

static void put_account(struct mf_buf *body, uint32_t aid, uint32_t balance)
{
    uint8_t row[14] = {0};
    mf_put_u32le(row + 1, aid);
    mf_put_u32le(row + 5, 1);
    mf_put_u32le(row + 9, balance);
    mf_buf_append(body, row, 13);
    mf_buf_append(body, "\x0c\0filler text.", 14);
}

static void put_mixed(struct mf_buf *body)
{
    mf_buf_append(body,
                  "\0"
                  "\1\2\3\4\5\0\0\0"
                  "\x80\x12\xd6\x87\x22"
                  "\x99\xa1\x51\x7a\x21\x01\xe2\x40"
                  "\x66\x11\x22\x33"
                  "\4caf\xe9"
                  "\x9a\x99\x99\x99\x99\x99\xb9\x3f"
                  "\x7c\xd3\x0f"
                  "\3abc",
                  1 + 8 + 5 + 8 + 4 + 5 + 8 + 3 + 4);
}

/* `rows` in one event, again and again until COUNT are read. */
static void run(const char *what, const struct mf_buf *map, const struct my_type *types, uint16_t n,
                const struct mf_buf *event, unsigned rows)
{
    struct my_binlog *d = my_binlog_new();
    struct mf_arena arena = {.max_bytes = 64 << 20};
    struct mf_error err = {0};
    struct my_event e;
    bench_ok(my_binlog_event(d, map->data, map->len, &e, &err), &err);
    bench_ok(my_binlog_columns(d, 1, types, n, &err), &err);
    int64_t start = bench_cpu_us();
    for (unsigned i = 0; i < COUNT; i += rows) {
        bool more = true, partial;
        bench_ok(my_binlog_event(d, map->data, map->len, &e, &err), &err);
        bench_ok(my_binlog_event(d, event->data, event->len, &e, &err), &err);
        while (more) {
            struct mf_row old, new;
            bench_ok(my_rows_next(d, &arena, &old, &new, &partial, &more, &err), &err);
        }
        mf_arena_reset(&arena);
    }
    bench_rate(what, COUNT, "million rows", bench_cpu_us() - start);
    mf_arena_free(&arena);
    my_binlog_free(d);
}

int main(void)
{
    static const uint8_t account_types[] = {3, 3, 3, 254}, mixed_types[] = {8, 246, 18, 17, 15, 5, 10, 15};
    struct mf_buf map = {.max = 1 << 20}, mixed_map = {.max = 1 << 20};
    put_map(&map, account_types, 4, "\xee\x50", 2);
    put_map(&mixed_map, mixed_types, 8, "\x0a\x02\x06\x00\x14\x00\x08\x14\x00", 9);
    for (unsigned rows = 1; rows <= 100; rows *= 100) {
        struct mf_buf body = {.max = 1 << 24}, event = {.max = 1 << 24};
        mf_buf_append(&body, "\1\0\0\0\0\0\1\0\2\0\4\xff\xff", 13);
        for (unsigned i = 0; i < rows; i++) {
            put_account(&body, i, i);
            put_account(&body, i, i + 1000);
        }
        put_event(&event, 31, body.data, body.len);
        run(rows == 1 ? "updates of four columns, one an event" : "updates of four columns, a hundred an event", &map,
            accounts, 4, &event, rows);
        mf_buf_reset(&body);
        mf_buf_reset(&event);
        mf_buf_append(&body, "\1\0\0\0\0\0\1\0\2\0\x08\xff", 12);
        for (unsigned i = 0; i < rows; i++) {
            put_mixed(&body);
        }
        put_event(&event, 30, body.data, body.len);
        run(rows == 1 ? "inserts of eight types, one an event" : "inserts of eight types, a hundred an event",
            &mixed_map, mixed, 8, &event, rows);
        mf_buf_free(&body);
        mf_buf_free(&event);
    }
    mf_buf_free(&map);
    mf_buf_free(&mixed_map);
    return 0;
}
