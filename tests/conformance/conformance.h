/* The conformance suite: what every connector must do, as tests over struct mf_connector and a fixture.
 *
 * A fixture makes two empty databases and writes to them as an application would; the tests speak to the connector only through its
 * operations. Text stands for values everywhere; NULL is NULL. A test that fails says which operation broke its word. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "connector/connector.h"

struct conf_column {
    const char *name;
    bool text;   /* text (of a length that an engine can put in an index, where key or unique), else bigint */
    bool key;    /* primary key */
    bool toast;  /* large enough to be kept out of line: the fixture writes what it is given, tests give large values */
    bool unique; /* secondary unique constraint */
    int max_len; /* on the target only, by narrow() */
};

struct conf_tx;

struct conf_fixture {
    const char *name;
    bool faces;         /* source and target are of different kinds, each behind a face */
    char url[2][512];   /* by enum mf_side */
    bool needs_keys;    /* the target has no tables without a key */
    bool books_stamped; /* what comes late is late in a stamped target's bookkeeping, too */
    bool large_refused; /* a text as large as conf_big's is refused by the target, whatever narrow() said */
    const char *schema; /* of every table, on both sides */
    /* What an engine does in its own way. */
    enum {
        CONF_LARGE_LEFT_OUT, /* all but what is large and unchanged */
        CONF_WHOLE,
        CONF_CHANGED_ONLY,
    } images; /* an update's new row, beside its key */
    /* One statement empties several tables, in a transaction with others; else each is one of its own. */
    bool truncates_together;
    void (*create_table)(enum mf_side side, const char *table, const struct conf_column *columns, size_t n);
    void (*add_column)(enum mf_side side, const char *table, const char *column);
    void (*drop_table)(enum mf_side side, const char *table); /* absent is success */
    void (*narrow)(enum mf_side side, const char *table, const char *column, int max_len);
    struct conf_tx *(*begin)(enum mf_side side);
    /* 0, or -1: *waits when the write would have to wait. A failed write ends the transaction. */
    int (*insert)(struct conf_tx *t, const char *table, size_t n, const char *const *values, bool *waits);
    int (*update)(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                  const char *value);
    int (*remove)(struct conf_tx *t, const char *table, const char *where, const char *is);
    int (*truncate)(struct conf_tx *t, const char *a, const char *b);
    void (*savepoint)(struct conf_tx *t);
    void (*rollback_to)(struct conf_tx *t);
    int (*commit)(struct conf_tx *t);
    void (*abort)(struct conf_tx *t);
    /* Rows as `a|b|c` lines in byte order, NULL as \N; values longer than 40 bytes as their length in brackets. */
    void (*dump)(enum mf_side side, const char *table, struct mf_buf *out);
    void (*stream_large)(enum mf_side side, bool on); /* small limit for transactions decoded in memory */
    /* Things of midflight's in this database. */
    size_t (*residue)(enum mf_side side);
    /* Draws from a sequence of that name, which is made when it is missing; it is left for the next test. */
    void (*nextval)(enum mf_side side, const char *sequence, int times);
};

extern const struct conf_fixture *F;

/* What each test starts with: both databases open, a migration of its own name. */
struct conf {
    struct mf_db *db[2];
    struct mf_pipe_id forward, reverse;
    struct mf_error err;
    const struct mf_source_ops *src;
    const struct mf_target_ops *tgt;
    const struct mf_traffic_ops *traffic;
    struct mf_catalog tables; /* of the source, see conf_catalog */
    struct mf_catalog there;  /* of the target, see conf_there */
};
/* Of table u, key 3, with a reason and a code; *ctx becomes its number. */
int conf_take_quarantined(void *ctx, const struct mf_quarantined *q, struct mf_error *err);
int conf_setup(void **state);
int conf_teardown(void **state);

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        if ((expr) != 0) {                                                                                             \
            fail_msg("%s: [%s %s] %s", #expr, mf_errclass_name(C->err.cls), C->err.code, C->err.text);                 \
        }                                                                                                              \
    } while (0)

/* Tables of every test: t(id bigint key, a text, big text toast), u(id key, v text unique), w(a, b; no key), two(k1, k2 text; both key; n) */
void conf_tables(enum mf_side side);
const struct mf_table *conf_table(struct conf *C, const char *name); /* from the source's catalogue, reread */
const struct mf_table *conf_there(struct conf *C, const char *name); /* from the target's, which has it */
/* All three stages on the target. */
void conf_schema(struct conf *C);
void conf_write(enum mf_side side, const char *table, size_t n, const char *const *values);
#define WRITE(side, table, ...)                                                                                        \
    conf_write(side, table, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})
void conf_expect(enum mf_side side, const char *table, const char *rows);
const char *conf_big(char with); /* 20,000 bytes that do not compress to nothing */

/* A stream read until a marker is seen; changes as text, one line each: `I t 1|x|y`, `U t 1|..`, `U t (old) -> new`, `D t 1|.|.`, `T t,u`,
 * `B`, `C`; `.` is MF_UNCHANGED. Aborted pieces are left out; transactions in commit order. */
struct conf_stream {
    struct conf *C;
    struct mf_stream *st;
    struct mf_buf text;
    struct mf_position last; /* of the last commit or progress */
    int aborts, interleaved;
};
void conf_stream_open(struct conf *C, struct conf_stream *s, const struct mf_pipe_id *pipe, enum mf_side side,
                      const struct mf_position *from);
void conf_stream_until(struct conf_stream *s, const char *marker);
void conf_stream_close(struct conf_stream *s);
/* Bookkeeping changes are left out of the text but for `checkpoint` lines. */
void conf_stream_expect(struct conf_stream *s, const char *text);

/* Batches by hand. Values "." are MF_UNCHANGED. */
struct conf_batch {
    struct mf_batch batch;
    struct mf_batch_table table;
    struct mf_rowchange changes[16];
    struct mf_rowchange *lists[3][16];
    struct mf_value values[32][8];
    size_t n;
};
void conf_batch_start(struct conf_batch *b, const struct mf_table *t);
void conf_batch_add(struct conf_batch *b, enum mf_rowop op, const char *const *old_row, const char *const *new_row);
#define V(...) ((const char *[]){__VA_ARGS__})

extern const struct CMUnitTest conf_read_tests[], conf_load_tests[], conf_stream_tests[], conf_target_tests[],
    conf_traffic_tests[], conf_together_tests[], conf_stamped_tests[];
extern const size_t conf_read_count, conf_load_count, conf_stream_count, conf_target_count, conf_traffic_count,
    conf_together_count, conf_stamped_count;

const struct conf_fixture *conf_memory(bool faces, bool stamped);
/* The first's source and the second's target. */
const struct conf_fixture *conf_pair(const struct conf_fixture *source, const struct conf_fixture *target);
/* The URLs name one database of the same name on each side. */
const struct conf_fixture *conf_mysql(const char *source_url, const char *target_url);
/* As a target only, of what keeps the last write. */
const struct conf_fixture *conf_cassandra(const char *url);
const struct conf_fixture *conf_postgres(const char *source_url, const char *target_url);

#endif
