/* See scout.h. */
#include "connector/mysql/scout.h"

#include "base/clock.h"
#include "base/mem.h"
#include "connector/mysql/dump.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FOUND     100000
#define LOOK_AT_CLOCK 64

/* One table touched by one statement; without names: any. */
struct found {
    uint64_t order;
    char schema[MY_TOKEN], table[MY_TOKEN];
    char statement[MY_WHY];
};

struct my_scout {
    struct my_relations *rels;
    struct my_dump *dump;
    struct my_binlog *log;
    struct my_place at;
    struct found *found;
    size_t n, cap;
    bool full;
    const struct my_event *now; /* the statement being read */
};

struct my_scout *my_scout_new(struct my_relations *r)
{
    struct my_scout *s = mf_xcalloc(1, sizeof *s);
    s->rels = r;
    s->log = my_binlog_new();
    return s;
}

void my_scout_free(struct my_scout *s)
{
    if (s) {
        my_dump_close(s->dump);
        my_binlog_free(s->log);
        free(s->found);
        free(s);
    }
}

static void stop(struct my_scout *s)
{
    my_dump_close(s->dump);
    s->dump = NULL;
}

/* ---- what is found ---- */

static bool concerns(const struct my_scout *s, const struct my_touched *t)
{
    for (size_t i = 0; i < s->rels->n; i++) {
        const struct my_rel *rel = s->rels->rels[i];
        if ((!t->schema[0] || my_relations_same(s->rels, rel->schema, t->schema)) &&
            (!t->table[0] || my_relations_same(s->rels, rel->name, t->table))) {
            return true;
        }
    }
    return false;
}

static void touched(void *ctx, const struct my_touched *t)
{
    struct my_scout *s = ctx;
    if (t->effect == MY_FX_THERE || t->effect >= MY_FX_EMPTIED || !concerns(s, t)) {
        return;
    }
    if (s->n >= MAX_FOUND) {
        s->full = true;
        return;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->found = mf_xreallocarray(s->found, s->cap, sizeof *s->found);
    }
    struct found *f = &s->found[s->n++];
    f->order = my_place_order(&s->at);
    mf_strlcpy(f->schema, t->schema, sizeof f->schema);
    mf_strlcpy(f->table, t->table, sizeof f->table);
    my_shown(s->now->query.text, s->now->query.len, f->statement);
}

const char *my_scout_found(struct my_scout *s, const struct my_rel *rel, const struct my_place *from)
{
    uint64_t order = my_place_order(from);
    for (size_t i = 0; i < s->n; i++) {
        const struct found *f = &s->found[i];
        if (f->order > order && (!f->schema[0] || my_relations_same(s->rels, f->schema, rel->schema)) &&
            (!f->table[0] || my_relations_same(s->rels, f->table, rel->name))) {
            return f->statement;
        }
    }
    return NULL;
}

/* What the stream has passed. */
static void forget(struct my_scout *s, uint64_t order)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->found[i].order > order) {
            s->found[n++] = s->found[i];
        }
    }
    s->n = n;
}

/* ---- going on ---- */

static int start(struct my_scout *s, const struct my_place *from, struct mf_error *err)
{
    if (my_place_order(&s->at) < my_place_order(from)) {
        s->at = *from;
    }
    forget(s, my_place_order(from));
    /* A replica cannot begin behind 4 GB: then from the file's beginning, what is before `from` is not asked about. */
    struct my_dump_start at = {
        .file = s->at.file, .offset = s->at.offset > UINT32_MAX ? 4 : s->at.offset, .to_end = true};
    my_binlog_reset(s->log);
    return my_dump_open(s->rels->db, &s->rels->pipe, "scout", &at, &s->dump, err);
}

static void look_at(struct my_scout *s, const struct my_event *e)
{
    struct my_statement ignored;
    if (e->kind == MY_EV_QUERY) {
        s->now = e;
        my_relations_statement(s->rels, e, &ignored, touched, s);
    }
}

static int take(struct my_scout *s, const void *bytes, size_t n, struct mf_error *err)
{
    struct my_event e = {0};
    if (my_binlog_event(s->log, bytes, n, &e, err) < 0) {
        return -1;
    }
    my_place_follow(&s->at, &e);
    look_at(s, &e);
    for (bool more = e.kind == MY_EV_PAYLOAD; more;) {
        struct my_event inner = {0};
        if (my_payload_next(s->log, &inner, &more, err) < 0) {
            return -1;
        }
        if (more) {
            look_at(s, &inner);
        }
    }
    return s->full ? mf_fail(err, MF_FATAL, "MFBIG", "more than %d schema changes lie ahead in the log", MAX_FOUND) : 0;
}

int my_scout_step(struct my_scout *s, const struct my_place *from, const struct my_place *to, int timeout_ms,
                  bool *ret_done, struct mf_error *err)
{
    uint64_t goal = my_place_order(to);
    int64_t until = mf_now_us() + timeout_ms * MF_US_PER_MS;
    *ret_done = goal <= my_place_order(from) || goal <= my_place_order(&s->at);
    if (*ret_done) {
        return 0;
    }
    if (!s->dump && start(s, from, err) < 0) {
        mf_error_prefix(err, "looking ahead in the log");
        return -1;
    }
    for (unsigned i = 1;; i++) {
        const void *bytes = NULL;
        size_t n = 0;
        bool end = false;
        if (my_dump_next(s->dump, timeout_ms, &bytes, &n, &end, err) < 0 || (bytes && take(s, bytes, n, err) < 0)) {
            mf_error_prefix(err, "looking ahead in the log");
            return -1;
        }
        *ret_done = end || my_place_order(&s->at) >= goal;
        if (*ret_done) {
            stop(s);
            return 0;
        }
        if (!bytes || (i % LOOK_AT_CLOCK == 0 && mf_now_us() > until)) {
            return 0;
        }
    }
}
