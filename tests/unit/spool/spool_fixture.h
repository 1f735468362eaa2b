/* A table, changes and transactions for the tests of the spool. */
#ifndef SPOOL_FIXTURE_H
#define SPOOL_FIXTURE_H

#include "base/mem.h"
#include "change/codec.h"
#include "spool/spool.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static inline uint64_t random_below(uint64_t *s, uint64_t n)
{
    return (next_random(s) >> 11) % n;
}

/* A new directory, in memory where there is such a place: thousands of syncs. */
static inline void make_dir(char *dir, size_t n, const char *name)
{
    snprintf(dir, n, "%s/%s-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", name);
    assert_non_null(mkdtemp(dir));
}

static inline struct mf_position position_at(uint64_t order)
{
    struct mf_position p = {.order = order};
    snprintf(p.token, sizeof(p.token), "0/%" PRIX64, order);
    return p;
}

/* Table number n, in its version v: v + 1 columns, the first is the key. */
struct test_table {
    struct mf_table t;
    struct mf_column columns[8];
    uint16_t key[1];
    char name[16];
};

static inline void make_table(struct test_table *t, uint32_t n, unsigned version)
{
    static const char *const names[8] = {"id", "a", "b", "c", "d", "e", "f", "g"};
    memset(t, 0, sizeof(*t));
    snprintf(t->name, sizeof(t->name), "t%u", n);
    for (unsigned i = 0; i <= version && i < 8; i++) {
        t->columns[i] = (struct mf_column){.name = names[i], .type_id = 25, .type_mod = -1, .in_key = i == 0};
    }
    t->t = (struct mf_table){.id = 1000 + n,
                             .schema = "public",
                             .name = t->name,
                             .ncolumns = (uint16_t)(version + 1),
                             .nkey = 1,
                             .columns = t->columns,
                             .key = t->key,
                             .rows_estimate = -1};
}

static inline struct mf_value text_value(const char *s, size_t n)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)n, .data = s};
}

/* One insert whose only text is `size` bytes made from seed; appended to out. */
static inline void encode_insert(struct mf_buf *out, uint32_t rel, const struct mf_table *t, uint64_t seed, size_t size)
{
    struct mf_value values[8];
    char *text = mf_xmalloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)('a' + (seed * 31 + i * (1 + seed % 7)) % 26);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        values[i] = i == 0 ? text_value(text, size) : (struct mf_value){.kind = MF_NULL};
    }
    struct mf_change c = {.op = MF_INSERT, .rel = rel, .table = t, .new_row = {.n = t->ncolumns, .values = values}};
    struct mf_error err;
    if (mf_encode_change(out, &c, &err) < 0) {
        abort();
    }
    free(text);
}

/* Removes a directory of plain files. */
static inline void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d) {
        closedir(d);
    }
    rmdir(dir);
}

#endif
