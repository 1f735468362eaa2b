#include "migration/flags.h"

#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/str.h"

void mf_flags_init(struct mf_flags *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    mf_flags_set(f, MF_FLAGS_UNKNOWN, false, 0, "the run has just begun");
}

void mf_flags_destroy(struct mf_flags *f)
{
    pthread_mutex_destroy(&f->lock);
}

void mf_flags_set(struct mf_flags *f, enum mf_flags_writer writer, bool on_target, int percent, const char *why)
{
    MF_LOCK_SCOPE(&f->lock);
    f->writer = writer;
    f->on_target = on_target;
    f->percent = percent;
    mf_strlcpy(f->why, why ? why : "", sizeof f->why);
}

void mf_flags_good_until(struct mf_flags *f, int64_t until_us)
{
    MF_LOCK_SCOPE(&f->lock);
    f->good_until_us = until_us;
}

void mf_flags_hold(struct mf_flags *f, int change)
{
    MF_LOCK_SCOPE(&f->lock);
    f->holds += change;
}

void mf_flags_view(struct mf_flags *f, int64_t now_us, struct mf_flags_view *ret)
{
    MF_LOCK_SCOPE(&f->lock);
    int home = f->on_target ? 100 : 0;
    bool away = f->writer != MF_FLAGS_UNKNOWN && f->percent != home;
    ret->writer = f->writer;
    ret->lapsed = away && now_us > f->good_until_us;
    ret->percent = away && (ret->lapsed || f->holds > 0) ? home : f->percent;
    memcpy(ret->why, f->why, sizeof ret->why);
}

uint64_t mf_flag_seed(const char *migration)
{
    return XXH64(migration, strlen(migration), 0);
}

unsigned mf_flag_place(uint64_t seed, const void *key, size_t n)
{
    return (unsigned)(XXH64(key, n, seed) % MF_FLAG_PLACES);
}

bool mf_flag_in(uint64_t seed, const void *key, size_t n, int percent)
{
    return mf_flag_place(seed, key, n) < (unsigned)percent * (MF_FLAG_PLACES / 100);
}
