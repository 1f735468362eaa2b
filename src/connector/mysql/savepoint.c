/* See savepoint.h. */
#include "connector/mysql/savepoint.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void drop(struct my_savepoints *s, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++) {
        free(s->list[i].name);
    }
    memmove(s->list + from, s->list + from + n, (s->n - from - n) * sizeof *s->list);
    s->n -= n;
}

void my_savepoints_clear(struct my_savepoints *s)
{
    if (s->n) {
        drop(s, 0, s->n);
    }
    s->forgotten = false;
}

void my_savepoints_free(struct my_savepoints *s)
{
    my_savepoints_clear(s);
    free(s->list);
    *s = (struct my_savepoints){0};
}

static uint32_t hash(const char *name)
{
    uint32_t h = 0x811c9dc5;
    for (; *name; name++) {
        h = (h ^ (uint8_t)(*name | 32)) * 0x01000193;
    }
    return h;
}

/* From 1 on; 0: none. */
static size_t find(const struct my_savepoints *s, const char *name, uint32_t h)
{
    size_t i = s->n;
    while (i > 0 && (s->list[i - 1].hash != h || strcasecmp(s->list[i - 1].name, name) != 0)) {
        i--;
    }
    return i;
}

void my_savepoint_set(struct my_savepoints *s, const char *name, uint64_t sub)
{
    uint32_t h = hash(name);
    size_t old = find(s, name, h);
    if (old) {
        drop(s, old - 1, 1);
    }
    if (s->n == MY_SAVEPOINTS_MAX) {
        drop(s, 0, s->n / 2);
        s->forgotten = true;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->list = mf_xreallocarray(s->list, s->cap, sizeof *s->list);
    }
    s->list[s->n++] = (struct my_savepoint){.hash = h, .name = mf_xstrdup(name), .sub = sub};
}

int my_savepoint_back(struct my_savepoints *s, const char *name, uint64_t sub, uint64_t *ret, struct mf_error *err)
{
    size_t i = find(s, name, hash(name));
    if (i == 0 && s->forgotten) {
        mf_fail(err, MF_FATAL, "MFBIG",
                "a transaction in the log has more than %d savepoints and goes back to an early one (%.64s): what that "
                "undid cannot be told",
                MY_SAVEPOINTS_MAX, name);
        mf_hint(err, "cancel and begin the migration again; let no transaction that writes a table which cannot roll "
                     "back (MyISAM) set so many savepoints");
        return -1;
    }
    if (i == 0) {
        return mf_fail(err, MF_FATAL, "MFBINLOG", "a transaction in the log goes back to a savepoint that it has not");
    }
    *ret = s->list[i - 1].sub;
    s->list[i - 1].sub = sub;
    drop(s, i, s->n - i);
    return 0;
}
