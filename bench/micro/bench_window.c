/* How many changes a second a window takes: new keys, hot keys, keyless rows; with decoding from the spool's bytes. */
#include "bench.h"

#include "change/window.h"

enum { CHANGES = 200000, ROUNDS = 11, BATCH = 50000 };

static struct bench_row *rows;
static struct mf_change *changes;

static void prepare(unsigned keys)
{
    uint64_t rnd = 42;
    for (unsigned i = 0; i < CHANGES; i++) {
        changes[i] = bench_update(&rows[i], 1, (unsigned)(bench_random(&rnd) % keys), i);
    }
}

static void run(const char *what)
{
    struct mf_error err;
    size_t written = 0;
    struct mf_window *w = mf_window_new((size_t)256 << 20);
    int64_t start = 0;
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 1) { /* the first warms up */
            start = bench_cpu_us();
        }
        written = 0;
        for (size_t i = 0; i < CHANGES;) {
            mf_window_reset(w, false, false);
            for (size_t k = 0; k < BATCH; k++) {
                enum mf_window_added added;
                bench_ok(mf_window_add(w, &changes[i++], &added, &err), &err);
                if (added != MF_WINDOW_ADDED) {
                    abort();
                }
            }
            written += mf_window_batch(w)->rows;
        }
    }
    bench_rate(what, (double)CHANGES * (ROUNDS - 1), "M changes", bench_cpu_us() - start);
    printf("    %u changes became %zu rows\n", (unsigned)CHANGES, written);
    mf_window_free(w);
}

static const struct mf_table *only_table(void *ctx, uint32_t rel)
{
    (void)rel;
    return ctx;
}

static void run_codec(void)
{
    struct mf_error err;
    struct mf_buf b;
    struct mf_arena a;
    mf_buf_init(&b, SIZE_MAX / 2);
    mf_arena_init(&a, 1 << 20);
    mf_buf_reserve(&b, (size_t)CHANGES * 130);
    memset(b.data, 0, (size_t)CHANGES * 130);
    int64_t start = bench_cpu_us();
    for (size_t i = 0; i < CHANGES; i++) {
        bench_ok(mf_encode_change(&b, &changes[i], &err), &err);
    }
    bench_rate("encode", CHANGES, "M changes", bench_cpu_us() - start);
    start = bench_cpu_us();
    for (size_t at = 0, used; at < b.len; at += used) {
        struct mf_change c;
        mf_arena_reset(&a);
        bench_ok(
            mf_decode_change(&a, b.data + at, b.len - at, only_table, (void *)(uintptr_t)&bench_table, &c, &used, &err),
            &err);
    }
    bench_rate("decode", CHANGES, "M changes", bench_cpu_us() - start);
    printf("    %.1f bytes a change\n", (double)b.len / CHANGES);
    mf_buf_free(&b);
    mf_arena_free(&a);
}

int main(void)
{
    rows = mf_xcalloc(CHANGES, sizeof(*rows));
    changes = mf_xcalloc(CHANGES, sizeof(*changes));
    prepare(1u << 30);
    run("window, every key once");
    run_codec();
    prepare(100000);
    run("window, 100,000 keys");
    prepare(100);
    run("window, 100 hot keys");
    free(rows);
    free(changes);
    return 0;
}
