/* Chance and time, both the world's. The functions of base/clock.h are defined here, so that the program links these and not the real ones. */
#include <string.h>

#include "base/clock.h"
#include "sim.h"

struct world *the_world;

uint64_t sim_random(struct world *w)
{
    uint64_t z = w->rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned sim_below(struct world *w, unsigned n)
{
    return (unsigned)((sim_random(w) >> 32) * n >> 32);
}

bool sim_chance(struct world *w, unsigned of_thousand)
{
    return sim_below(w, 1000) < of_thousand;
}

int64_t mf_now_us(void)
{
    return the_world ? ++the_world->now_us : 0;
}

int64_t mf_lease_us(void)
{
    return mf_now_us();
}

int64_t mf_wall_us(void)
{
    return INT64_C(1700000000000000) + mf_now_us();
}

void mf_sleep_us(int64_t us)
{
    if (the_world && us > 0) {
        the_world->now_us += us;
    }
}

char *mf_format_utc(int64_t wall_us, char *buf, size_t size)
{
    snprintf(buf, size, "%lld", (long long)wall_us);
    return buf;
}
