/* The join of verify: rows of two sides into the store, and put to each other. Figures are rows of both sides, per second of the clock with one
 * job and with two, and with a store that fits in memory and one that does not. bench_join [ROWS [DIR]] */
#include "bench.h"
#include "verify/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

struct side {
    struct vf_store *s;
    enum vf_side side;
    uint64_t from, upto;
};

/* Keys as verify writes those of a bigint. The replica has them in another order, as by token. */
static void *add(void *arg)
{
    const struct side *a = arg;
    struct mf_error err = {0};
    struct vf_writer w = {0};
    vf_writer_begin(&w, a->s, a->side);
    for (uint64_t i = a->from; i < a->upto; i++) {
        uint64_t id = a->side == VF_ORIGIN ? i : (i ^ 0x5555) + (1000000000u);
        id = a->side == VF_ORIGIN ? id + 1000000000u : id;
        char key[16] = {2, 10};
        for (int k = 11; k > 1; k--, id /= 10) {
            key[k] = (char)('0' + id % 10);
        }
        uint64_t v = i;
        v = a->side == VF_ORIGIN ? v : v ^ 0x5555;
        struct mf_digest d = {.rows = 1, .lane1 = v * 0x9e3779b97f4a7c15u, .lane2 = v * 0xc2b2ae3d27d4eb4fu};
        bench_ok(vf_writer_add(&w, &d, key, 12, &err), &err);
    }
    bench_ok(vf_writer_end(&w, true, &err), &err);
    vf_writer_free(&w);
    return NULL;
}

struct joining {
    struct vf_store *s;
    atomic_uint next;
    atomic_ullong rows, unmatched;
};

static int told(void *ctx, const struct vf_unmatched *u, struct mf_error *err)
{
    (void)u, (void)err;
    atomic_fetch_add(&((struct joining *)ctx)->unmatched, 1);
    return 0;
}

static void *join(void *arg)
{
    struct joining *j = arg;
    struct mf_error err = {0};
    for (uint32_t i; (i = atomic_fetch_add(&j->next, 1)) < vf_store_pieces(j->s);) {
        struct vf_joined n;
        bench_ok(vf_store_join(j->s, i, told, j, &n, &err), &err);
        atomic_fetch_add(&j->rows, n.rows[0] + n.rows[1]);
    }
    return NULL;
}

static void threads(int n, void *(*fn)(void *), void *args, size_t size)
{
    pthread_t t[16];
    for (int i = 0; i < n; i++) {
        pthread_create(&t[i], NULL, fn, (char *)args + (size_t)i * size);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(t[i], NULL);
    }
}

static void rate(const char *what, uint64_t rows, int jobs, int64_t us)
{
    printf("%-34s %d jobs %10.2f million rows a second (%.3f s)\n", what, jobs, (double)rows / (double)us,
           (double)us / 1e6);
}

static void run(uint64_t rows, uint64_t memory, int jobs, const char *dir)
{
    struct mf_error err = {0};
    struct vf_store_options o = {.dir = dir, .memory = memory, .disk = UINT64_C(1) << 40, .jobs = jobs};
    struct vf_store *s = vf_store_new(&o);
    int64_t start = mf_now_us();
    for (int side = 0; side < 2; side++) {
        struct side a[16];
        for (int i = 0; i < jobs; i++) {
            uint64_t step = rows / (uint64_t)jobs;
            a[i] = (struct side){s, (enum vf_side)side, step * (uint64_t)i, i + 1 == jobs ? rows : step * ((uint64_t)i + 1)};
        }
        threads(jobs, add, a, sizeof(a[0]));
    }
    bench_ok(vf_store_seal(s, &err), &err);
    int64_t added = mf_now_us();
    rate("added, rows of both sides", rows * 2, jobs, added - start);
    struct vf_store_stats is;
    vf_store_stats(s, &is);
    struct joining j = {.s = s};
    threads(jobs, join, &j, 0);
    int64_t joined = mf_now_us();
    rate("joined, rows of both sides", j.rows, jobs, joined - added);
    rate("together, rows of the origin", rows, jobs, joined - start);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("  %u pieces, %llu MB on disk, %llu unmatched, at most %ld MB of memory\n", vf_store_pieces(s),
           (unsigned long long)(is.disk >> 20), (unsigned long long)j.unmatched, u.ru_maxrss / 1024);
    vf_store_free(s);
}

int main(int argc, char **argv)
{
    uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1u << 21;
    const char *dir = argc > 2 ? argv[2] : "/tmp";
    setvbuf(stdout, NULL, _IOLBF, 0);
    rows &= ~(uint64_t)0xffff; /* so that the two orders have the same rows */
    for (int jobs = 1; jobs <= 2; jobs++) {
        printf("%llu rows a side, 64 MB of memory\n", (unsigned long long)rows);
        run(rows, 64u << 20, jobs, dir);
    }
    if (rows <= 10000000) {
        printf("%llu rows a side, 1 GB of memory\n", (unsigned long long)rows);
        run(rows, 1u << 30, 2, dir);
    }
    return 0;
}
