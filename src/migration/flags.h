/* What feature flags are answered from: a small copy of what the control thread knows, so that an answer never waits for it or for a database.
 *
 * The share of reads on the side that follows is a lease. Each time the control thread has found its guard good it says until when that
 * holds (reads.c); past that, whatever keeps the thread, every read is answered with the side that takes the writes. */
#ifndef MF_MIGRATION_FLAGS_H
#define MF_MIGRATION_FLAGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_FLAGS_WHY 256

enum mf_flags_writer { MF_FLAGS_UNKNOWN, MF_FLAGS_SOURCE, MF_FLAGS_TARGET, MF_FLAGS_FROZEN };

/* At one moment. UNKNOWN: neither reads nor writes have an answer. FROZEN: reads have one. */
struct mf_flags_view {
    enum mf_flags_writer writer;
    int percent; /* of reads on the target, as in force */
    bool lapsed; /* it would be another one, but its guard has not been looked at in time */
    char why[MF_FLAGS_WHY];
};

struct mf_flags {
    pthread_mutex_t lock; /* guards what follows; held to copy it, never longer. Any thread; taken last */
    enum mf_flags_writer writer;
    bool on_target; /* the side whose writes count; not known with UNKNOWN */
    int percent;
    int64_t good_until_us; /* monotonic */
    int holds;             /* commands under way that take reads back */
    char why[MF_FLAGS_WHY];
};
void mf_flags_init(struct mf_flags *f);
void mf_flags_destroy(struct mf_flags *f);
/* why: what to say where there is no answer; NULL otherwise. */
void mf_flags_set(struct mf_flags *f, enum mf_flags_writer writer, bool on_target, int percent, const char *why);
void mf_flags_good_until(struct mf_flags *f, int64_t until_us);
/* +1 and -1: while it is above 0 no read is answered with the side that follows. */
void mf_flags_hold(struct mf_flags *f, int change);
void mf_flags_view(struct mf_flags *f, int64_t now_us, struct mf_flags_view *ret);

/* A key's place among 10,000, always the same for a migration's name: XXH64(key, seed) % 10000, the seed being XXH64(name, 0). It is in at
 * p per cent when its place is below 100 p: whoever is in stays in when the share grows. */
#define MF_FLAG_PLACES 10000
uint64_t mf_flag_seed(const char *migration);
unsigned mf_flag_place(uint64_t seed, const void *key, size_t n);
bool mf_flag_in(uint64_t seed, const void *key, size_t n, int percent);

#endif
