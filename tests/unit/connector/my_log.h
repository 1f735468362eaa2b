/* Recorded bytes and hand-made events, for the tests of the binlog decoder. */
#ifndef MF_TESTS_UNIT_CONNECTOR_MY_LOG_H
#define MF_TESTS_UNIT_CONNECTOR_MY_LOG_H

#include "mf_test.h"

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct bytes {
    uint8_t *p;
    size_t n;
};

/* A file of tests/data/mysql, a NUL behind it. */
static inline struct bytes read_file(const char *name, const char *suffix)
{
    char path[4096];
    struct bytes b = {.p = malloc(4 << 20)};
    snprintf(path, sizeof(path), "%s/%s.%s", MF_TEST_DATA, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f || !b.p) {
        fail_msg("%s: cannot be read", path);
        abort();
    }
    b.n = fread(b.p, 1, (4 << 20) - 1, f);
    b.p[b.n] = '\0';
    fclose(f);
    return b;
}

/* Hexadecimal with blanks, as bytes; a malloc of exactly that size. */
static inline struct bytes unhex(const char *hex)
{
    struct bytes b = {.p = malloc(1)};
    for (; *hex; hex++) {
        unsigned v;
        if (*hex == ' ') {
            continue;
        }
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        b.p = realloc(b.p, b.n + 1);
        b.p[b.n++] = (uint8_t)v;
        hex++;
    }
    return b;
}

/* An event without a checksum: a header of this type, then the bytes. */
static inline void put_event(struct mf_buf *out, uint8_t type, const void *body, size_t n)
{
    uint8_t header[19] = {[4] = type, [5] = 9};
    mf_put_u32le(header + 9, (uint32_t)(sizeof(header) + n));
    mf_put_u32le(header + 13, 1000);
    mf_buf_append(out, header, sizeof(header));
    mf_buf_append(out, body, n);
}

#endif
