/* The spool in files: append with and without compression, read back, and the time from a commit's end to its reader.
 *
 *   bench_spool [DIR]    DIR: where the spool goes (default: a new one under /tmp) */
#include "bench.h"

#include "spool/spool.h"
#include "spool/storage.h"

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

enum { PER_TXN = 50 };

static char dir[256];

static void empty_dir(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d) {
        closedir(d);
    }
}

enum { CHANGES = 100000 };

/* Encoded changes: text like pgbench's, or bytes that do not compress. ends[i]: where transaction i ends. */
struct input {
    struct mf_buf b;
    size_t ends[CHANGES / PER_TXN];
};

static void make_input(struct input *in, bool noise)
{
    struct mf_buf *b = &in->b;
    mf_buf_init(b, SIZE_MAX / 2);
    uint64_t rnd = 7;
    struct bench_row r;
    struct mf_error err;
    for (unsigned i = 0; i < CHANGES; i++) {
        struct mf_change c = bench_update(&r, 1, (unsigned)bench_random(&rnd) % 4000000, (unsigned)bench_random(&rnd));
        if (noise) {
            for (size_t k = 0; k < 84; k++) {
                r.text[sizeof(r.text) - 84 + k] = (char)bench_random(&rnd);
            }
            r.values[3].data = r.text + sizeof(r.text) - 84;
        }
        bench_ok(mf_encode_change(b, &c, &err), &err);
        in->ends[i / PER_TXN] = b->len;
    }
}

static void append(const char *what, const struct input *in, bool compress, bool read_back)
{
    struct mf_error err;
    struct mf_spool *s;
    struct mf_position p = {0};
    uint32_t rel;
    uint64_t bytes = 0, order = 0;
    empty_dir();
    struct mf_spool_storage *st = mf_spool_files(dir, 0, &err);
    if (!st) {
        bench_ok(-1, &err);
    }
    st->compress = compress;
    bench_ok(mf_spool_open(st, 0, &s, &err), &err);
    bench_ok(mf_spool_relation(s, &bench_table, &rel, &err), &err);
    int64_t start = mf_now_us(), cpu = bench_cpu_us(), synced = start;
    while (bytes < (uint64_t)2 << 30) {
        size_t at = 0;
        for (size_t i = 0; i < CHANGES / PER_TXN; i++) {
            order++;
            struct mf_txn_head h = {.txn = order, .position = {.order = order}, .changes = PER_TXN};
            bench_ok(mf_spool_begin(s, &h, &err), &err);
            bench_ok(mf_spool_write(s, in->b.data + at, in->ends[i] - at, &err), &err);
            bench_ok(mf_spool_end(s, &err), &err);
            at = in->ends[i];
        }
        bytes += in->b.len;
        if (mf_now_us() - synced > 1000000) {
            bench_ok(mf_spool_sync(s, &p, &err), &err);
            synced = mf_now_us();
        }
    }
    int64_t us = mf_now_us() - start;
    cpu = bench_cpu_us() - cpu;
    struct mf_spool_stats stats;
    bench_ok(mf_spool_sync(s, &p, &err), &err);
    mf_spool_stats(s, &stats);
    printf("%-40s %7.1f MB/s of CPU, %7.1f MB/s; %.2f bytes on disk a byte; %.0f transactions/s\n", what,
           (double)bytes / (double)cpu, (double)bytes / (double)us, (double)stats.bytes_on_disk / (double)bytes,
           (double)order / ((double)us / 1e6));
    if (read_back) {
        struct mf_spool_reader *r;
        struct mf_record rec;
        uint64_t n = 0;
        cpu = bench_cpu_us();
        bench_ok(mf_spool_reader_open(s, &(struct mf_position){0}, &r, &err), &err);
        for (;;) {
            bench_ok(mf_spool_read(r, 0, &rec, &err), &err);
            if (rec.kind == MF_RECORD_NONE) {
                break;
            }
            n += rec.kind == MF_RECORD_CHANGE;
        }
        cpu = bench_cpu_us() - cpu;
        printf("    read back and decoded: %.1f MB and %.2f M changes a second of CPU\n", (double)bytes / (double)cpu,
               (double)n / (double)cpu);
        mf_spool_reader_close(r);
    }
    mf_spool_close(s);
    mf_spool_storage_free(st);
}

struct latency {
    struct mf_spool *s;
    int64_t sum, most;
    unsigned n;
};

static void *follow(void *arg)
{
    struct latency *l = arg;
    struct mf_error err;
    struct mf_spool_reader *r;
    struct mf_record rec;
    bench_ok(mf_spool_reader_open(l->s, &(struct mf_position){0}, &r, &err), &err);
    while (l->n < 2000) {
        bench_ok(mf_spool_read(r, 1000, &rec, &err), &err);
        if (rec.kind == MF_RECORD_COMMIT) {
            int64_t us = mf_now_us() - rec.head.commit_time_us;
            l->sum += us;
            l->most = us > l->most ? us : l->most;
            l->n++;
        }
    }
    mf_spool_reader_close(r);
    return NULL;
}

static void latency(const struct input *in)
{
    struct mf_error err;
    struct latency l = {0};
    pthread_t t;
    uint32_t rel;
    empty_dir();
    struct mf_spool_storage *st = mf_spool_files(dir, 0, &err);
    bench_ok(st ? mf_spool_open(st, 0, &l.s, &err) : -1, &err);
    bench_ok(mf_spool_relation(l.s, &bench_table, &rel, &err), &err);
    pthread_create(&t, NULL, follow, &l);
    for (uint64_t n = 1; n <= 2000; n++) {
        struct mf_txn_head h = {.txn = n, .position = {.order = n}, .commit_time_us = mf_now_us()};
        bench_ok(mf_spool_begin(l.s, &h, &err), &err);
        bench_ok(mf_spool_write(l.s, in->b.data, in->ends[0], &err), &err);
        bench_ok(mf_spool_end(l.s, &err), &err);
        mf_sleep_us(200);
    }
    pthread_join(t, NULL);
    printf("%-52s mean %.1f us, most %.1f us\n", "from the end of a transaction to its reader", (double)l.sum / l.n,
           (double)l.most);
    mf_spool_close(l.s);
    mf_spool_storage_free(st);
}

int main(int argc, char **argv)
{
    bool own = argc < 2;
    snprintf(dir, sizeof(dir), "%s", own ? "/tmp/bench-spool-XXXXXX" : argv[1]);
    if (own && !mkdtemp(dir)) {
        return 1;
    }
    static struct input text, noise;
    make_input(&text, false);
    make_input(&noise, true);
    append("append, no compression", &text, false, true);
    append("append, zstd, pgbench rows", &text, true, true);
    append("append, zstd, random bytes", &noise, true, false);
    latency(&text);
    empty_dir();
    if (own) {
        rmdir(dir);
    }
    mf_buf_free(&text.b);
    mf_buf_free(&noise.b);
    return 0;
}
