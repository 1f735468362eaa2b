#include "base/fault.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MF_FAULT_POINT(name, sentence) {name, sentence},
static const struct mf_fault_point points[] = {
#include "base/fault_points.h"
};
#undef MF_FAULT_POINT
#define NPOINTS (sizeof(points) / sizeof(points[0]))

enum action { ACT_NONE, ACT_KILL, ACT_ERROR, ACT_STOP };

/* One slot a point. Written under arm_lock while nothing is armed; hits only decrement `left`. */
static struct {
    enum action action;
    atomic_long left; /* hits until it fires; 0 or less: spent */
} armed[NPOINTS];

static pthread_mutex_t arm_lock = PTHREAD_MUTEX_INITIALIZER; /* guards reading the environment and arming */
atomic_int mf_fault_state;

static size_t find(const char *name, size_t len)
{
    for (size_t i = 0; i < NPOINTS; i++) {
        if (strlen(points[i].name) == len && memcmp(points[i].name, name, len) == 0) {
            return i;
        }
    }
    return NPOINTS;
}

static enum action parse_action(const char *s, size_t len)
{
    if (len == 4 && memcmp(s, "kill", len) == 0) {
        return ACT_KILL;
    }
    if (len == 5 && memcmp(s, "error", len) == 0) {
        return ACT_ERROR;
    }
    if (len == 4 && memcmp(s, "stop", len) == 0) {
        return ACT_STOP;
    }
    return ACT_NONE;
}

/* name[:nth]=action */
static int arm_one(const char *s, size_t len, struct mf_error *err)
{
    const char *eq = memchr(s, '=', len);
    if (!eq) {
        return mf_fail(err, MF_USAGE, "MFFLT", "fault \"%.*s\" has no \"=action\"", (int)len, s);
    }
    const char *colon = memchr(s, ':', (size_t)(eq - s));
    size_t i = find(s, (size_t)((colon ? colon : eq) - s));
    if (i == NPOINTS) {
        return mf_fail(err, MF_USAGE, "MFFLT", "fault \"%.*s\" names no fault point", (int)len, s);
    }
    long nth = 1;
    if (colon) {
        char *end;
        nth = strtol(colon + 1, &end, 10);
        if (end != eq || nth < 1) {
            return mf_fail(err, MF_USAGE, "MFFLT", "fault \"%.*s\" has no count from 1 after the colon", (int)len, s);
        }
    }
    enum action action = parse_action(eq + 1, len - (size_t)(eq + 1 - s));
    if (action == ACT_NONE) {
        return mf_fail(err, MF_USAGE, "MFFLT", "fault \"%.*s\" has an action other than kill, error, stop", (int)len,
                       s);
    }
    armed[i].action = action;
    atomic_store(&armed[i].left, nth);
    return 0;
}

static int arm_locked(const char *spec, struct mf_error *err)
{
    int state = 1;
    for (size_t i = 0; i < NPOINTS; i++) {
        armed[i].action = ACT_NONE;
        atomic_store(&armed[i].left, 0);
    }
    for (const char *s = spec; s && *s;) {
        size_t len = strcspn(s, ",");
        if (arm_one(s, len, err) < 0) {
            atomic_store(&mf_fault_state, 1);
            return -1;
        }
        state = 2;
        s += len + (s[len] == ',');
    }
    atomic_store(&mf_fault_state, state);
    return 0;
}

int mf_fault_arm(const char *spec, struct mf_error *err)
{
    pthread_mutex_lock(&arm_lock);
    int rc = arm_locked(spec, err);
    pthread_mutex_unlock(&arm_lock);
    return rc;
}

static void arm_from_environment(void)
{
    pthread_mutex_lock(&arm_lock);
    if (atomic_load(&mf_fault_state) == 0) {
        struct mf_error err = {0};
        if (arm_locked(getenv("MIDFLIGHT_FAULT"), &err) < 0) {
            /* A sweep whose fault never fires would prove nothing: better no run at all. */
            fprintf(stderr, "midflight: MIDFLIGHT_FAULT: %s\n", err.text);
            abort();
        }
    }
    pthread_mutex_unlock(&arm_lock);
}

int mf_fault_hit_slow(const char *name)
{
    if (atomic_load(&mf_fault_state) == 0) {
        arm_from_environment();
    }
    size_t i = find(name, strlen(name));
    assert(i < NPOINTS && "a fault point that is not in fault_points.h");
    if (i == NPOINTS || armed[i].action == ACT_NONE || atomic_fetch_sub(&armed[i].left, 1) != 1) {
        return 0;
    }
    switch (armed[i].action) {
    case ACT_KILL:
        raise(SIGKILL);
        break;
    case ACT_STOP:
        raise(SIGSTOP);
        break;
    case ACT_ERROR:
        return -1;
    case ACT_NONE:
        break;
    }
    return 0;
}

size_t mf_fault_count(void)
{
    return NPOINTS;
}

const struct mf_fault_point *mf_fault_point(size_t i)
{
    return &points[i];
}
