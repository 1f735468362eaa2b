/*
 * How many different values, and whether any came twice, by hashes of 64 bits.
 *
 * A set of hashes while there are few. Past INFER_EXACT it goes on as a set only for a path that may be unique and has shown no value twice, within the bound
 * of all sets together; as soon as one repeats, or there is no more room, the set becomes the registers of a HyperLogLog (Flajolet and others, 2007, with linear
 * counting where few registers are used), which can be merged and take a kilobyte. That two values have the same hash (and a unique path is taken for one
 * that is not) has a chance of 1 in 2^24 for a million values.
 */
#include "bson/infer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t never_zero(uint64_t h)
{
    return h ? h : 1;
}

static bool set_put(struct infer_values *v, uint64_t h)
{
    uint32_t at = (uint32_t)(h >> 20) & (v->cap - 1);
    for (; v->set[at]; at = (at + 1) & (v->cap - 1)) {
        if (v->set[at] == h) {
            return false;
        }
    }
    v->set[at] = h;
    v->n++;
    return true;
}

static void register_put(struct infer_values *v, uint64_t h)
{
    uint32_t at = (uint32_t)(h & (INFER_REGISTERS - 1));
    uint64_t rest = h >> 10;
    uint8_t rank = rest ? (uint8_t)(__builtin_ctzll(rest) + 1) : 55;
    v->registers[at] = v->registers[at] < rank ? rank : v->registers[at];
}

static size_t counted(const struct infer_values *v) /* bytes that the bound is on */
{
    return v->set && v->cap > 2 * INFER_EXACT ? v->cap * sizeof *v->set : 0;
}

static void set_end(struct mf_infer *f, struct infer_values *v)
{
    v->registers = mf_xcalloc(INFER_REGISTERS, 1);
    for (uint32_t i = 0; i < v->cap; i++) {
        if (v->set[i]) {
            register_put(v, v->set[i]);
        }
    }
    f->unique_bytes -= counted(v);
    free(v->set);
    v->set = NULL;
    v->n = v->cap = 0;
}

/* Room for one more; false: it must not grow. */
static bool set_room(struct mf_infer *f, struct infer_values *v, bool unique)
{
    if (2 * (v->n + 1) <= v->cap) {
        return true;
    }
    uint32_t cap = v->cap ? v->cap * 2 : 16;
    if (v->n >= INFER_EXACT) {
        size_t more = cap * sizeof *v->set - counted(v);
        if (!unique || v->repeats || v->n >= INFER_UNIQUE || f->unique_bytes + more > f->unique_most) {
            v->given_up = v->given_up || (unique && !v->repeats);
            return false;
        }
        f->unique_bytes += more;
    }
    uint64_t *old = v->set;
    uint32_t n = v->cap;
    v->set = mf_xcalloc(cap, sizeof *v->set);
    v->cap = cap;
    v->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (old[i]) {
            set_put(v, old[i]);
        }
    }
    free(old);
    return true;
}

static struct infer_values *there(struct infer_values **v)
{
    *v = *v ? *v : mf_xcalloc(1, sizeof **v);
    return *v;
}

static void put(struct mf_infer *f, struct infer_values *v, uint64_t h, bool unique)
{
    if (!v->registers && !set_room(f, v, unique)) {
        set_end(f, v);
    }
    if (v->registers) {
        register_put(v, h);
        return;
    }
    if (!set_put(v, h)) {
        v->repeats = true;
    }
    if (v->repeats && v->n > INFER_EXACT) {
        set_end(f, v);
    }
}

void infer_values_add(struct mf_infer *f, struct infer_values **v, uint64_t hash, bool unique)
{
    there(v)->seen++;
    put(f, *v, never_zero(hash), unique);
}

void infer_values_merge(struct mf_infer *f, struct infer_values **into, const struct infer_values *from, bool unique)
{
    if (!from) {
        return;
    }
    struct infer_values *v = there(into);
    v->seen += from->seen;
    v->repeats = v->repeats || from->repeats;
    v->given_up = v->given_up || from->given_up;
    for (uint32_t i = 0; i < from->cap; i++) {
        if (from->set[i]) {
            put(f, v, from->set[i], unique);
        }
    }
    if (from->registers && !v->registers) {
        v->given_up = v->given_up || (unique && !v->repeats);
        set_end(f, v);
    }
    for (size_t i = 0; from->registers && i < INFER_REGISTERS; i++) {
        v->registers[i] = v->registers[i] < from->registers[i] ? from->registers[i] : v->registers[i];
    }
}

void infer_values_free(struct mf_infer *f, struct infer_values *v)
{
    if (v) {
        f->unique_bytes -= counted(v);
        free(v->set);
        free(v->registers);
        free(v);
    }
}

uint64_t infer_values_count(const struct infer_values *v, bool *ret_exact)
{
    *ret_exact = !v || !v->registers;
    if (!v || !v->registers) {
        return v ? v->n : 0;
    }
    double sum = 0, m = INFER_REGISTERS;
    unsigned free_ones = 0;
    for (size_t i = 0; i < INFER_REGISTERS; i++) {
        sum += ldexp(1, -(int)v->registers[i]);
        free_ones += v->registers[i] == 0;
    }
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (estimate <= 2.5 * m && free_ones) {
        estimate = m * log(m / free_ones);
    }
    uint64_t n = (uint64_t)llround(estimate);
    return n > v->seen ? v->seen : n;
}
