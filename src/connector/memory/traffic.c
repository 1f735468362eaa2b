/* Gates, holds and epochs. A hold belongs to a connection: when midflight or the server dies, it is gone. */
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "connector/defaults.h"
#include "connector/memory/internal.h"

#define MEM_HOLD_ROUNDS 12

struct mem_hold {
    struct mf_hold base;
    struct mem_conn conn;
    struct mf_pipe_id pipe;
    uint64_t number;
};

/* A gate is of a migration, whichever of its pipes asks. */
static struct mem_gate *gate_find(struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    for (size_t i = 0; i < s->ngates; i++) {
        if (mf_streq(s->gates[i].pipe.migration, pipe->migration)) {
            return &s->gates[i];
        }
    }
    return NULL;
}

/* The gate reads the epoch row, which stands before it: a new one says that the source writes. */
static int gate_row(struct mf_mem_server *s, const struct mf_pipe_id *pipe, struct mem_gate *g, struct mf_error *err)
{
    struct mf_epoch e;
    mem_book_read_epoch(s, pipe, &e);
    if (e.writer[0]) {
        g->open = e.open;
        return 0;
    }
    e = (struct mf_epoch){.writer = "source", .open = g->open};
    struct mf_mem_txn *t = mem_txn_begin(s, true);
    if (mem_book_epoch(t, pipe, &e, err)) {
        mem_txn_abort(t);
        return -1;
    }
    return mem_txn_commit(t, NULL, err);
}

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "traffic.gate_install", &after, err)) {
        return -1;
    }
    if (s->knobs.silent) {
        return after ? mem_lost_db(db, "traffic.gate_install", err) : 0;
    }
    struct mem_gate *g = gate_find(s, pipe);
    if (!g) {
        if (s->ngates == sizeof s->gates / sizeof s->gates[0]) {
            return mf_fail(err, MF_FATAL, "53400", "too many gates on %s", s->name);
        }
        g = &s->gates[s->ngates++];
        *g = (struct mem_gate){.pipe = *pipe, .open = o->open};
        if (gate_row(s, pipe, g, err) < 0) {
            s->ngates--;
            return -1;
        }
    }
    for (size_t i = 0; tables && i < tables->n; i++) {
        const struct mem_table *t = mem_table_find(s, tables->tables[i].schema, tables->tables[i].name);
        bool there = t == NULL;
        for (size_t k = 0; k < g->ntables; k++) {
            there = there || g->tables[k] == t;
        }
        if (!there) {
            g->tables[g->ntables++] = t;
        }
    }
    return after ? mem_lost_db(db, "traffic.gate_install", err) : 0;
}

static void gate_drop(struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    struct mem_gate *g = gate_find(s, pipe);
    if (g) {
        *g = s->gates[--s->ngates];
    }
}

static int gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    (void)o;
    MEM_LOCKED;
    bool after;
    if (mem_enter_db(db, "traffic.gate_remove", &after, err)) {
        return -1;
    }
    gate_drop(mem_server(db), pipe);
    return after ? mem_lost_db(db, "traffic.gate_remove", err) : 0;
}

static void kill_writers(struct mf_mem_server *s)
{
    for (struct mf_mem_txn *t = s->open, *next; t; t = next) {
        next = t->next;
        if (!t->ours && t->wrote) {
            mem_txn_kill(t);
        }
    }
}

static int hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    struct mem_conn conn = mem_connect(s);
    if (mem_enter(&conn, "traffic.hold", NULL, err)) {
        return -1;
    }
    if (s->held) {
        return mf_fail(err, MF_RETRY, "55P03", "writes on %s are held already", s->name);
    }
    s->held = !s->knobs.silent;
    for (int round = 0; s->held && mem_txns_writing(s) > 0 && !mem_broken(s, "hold-no-wait"); round++) {
        if (mem_enter(&conn, "traffic.hold_wait", NULL, err)) {
            s->held = false;
            return -1;
        }
        if (round < MEM_HOLD_ROUNDS && !(o->long_transactions == MF_LONG_ABANDON && round > 2)) {
            continue;
        }
        if (o->long_transactions == MF_LONG_END) {
            kill_writers(s);
            break;
        }
        s->held = false;
        return mf_fail(err, MF_ABANDONED, "MFLONG", "transactions on %s did not end in time", s->name);
    }
    struct mem_hold *h = mf_xcalloc(1, sizeof *h);
    h->base.db = db;
    h->conn = conn;
    h->pipe = *pipe;
    h->number = s->held_by = ++s->next_hold;
    *ret = &h->base;
    return 0;
}

static void hold_end(struct mem_hold *h)
{
    struct mf_mem_server *s = h->conn.server;
    if (s->held && s->held_by == h->number && h->conn.generation == s->generation) {
        s->held = false;
    }
    free(h);
}

static void hold_release(struct mf_hold *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    hold_end((struct mem_hold *)base);
}

/* Never over a newer one. */
static int epoch_commit(struct mf_mem_server *s, const struct mf_pipe_id *pipe, const struct mf_epoch *e,
                        struct mf_error *err)
{
    struct mf_epoch now;
    mem_book_read_epoch(s, pipe, &now);
    if (now.writer[0] && now.epoch == e->epoch && now.open && e->open && mf_streq(now.writer, e->writer)) {
        return 0;
    }
    if (now.writer[0] && (now.epoch > e->epoch || (now.epoch == e->epoch && now.open))) {
        return mf_fail(err, MF_RETRY, "MFEPOCH", "%s has a newer epoch than %llu", s->name,
                       (unsigned long long)e->epoch);
    }
    struct mf_mem_txn *t = mem_txn_begin(s, true);
    if (mem_book_epoch(t, pipe, e, err)) {
        mem_txn_abort(t);
        return -1;
    }
    if (mem_txn_commit(t, NULL, err)) {
        return -1;
    }
    struct mem_gate *g = gate_find(s, pipe);
    if (g) {
        g->open = e->open;
    }
    return 0;
}

void mem_late_ends(struct mf_mem_server *s, bool commit)
{
    struct mem_late l = s->late;
    struct mf_error ignored = {0};
    s->late.set = false;
    s->held = false;
    if (commit) {
        epoch_commit(s, &l.pipe, &l.epoch, &ignored);
    }
}

static int hold_decide(struct mf_hold *base, const struct mf_epoch *e, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_hold *h = (struct mem_hold *)base;
    struct mf_mem_server *s = h->conn.server;
    struct mem_conn conn = h->conn;
    bool after = false;
    int rc = mem_enter(&conn, "traffic.hold_decide", &after, err);
    if (rc == 0 && !s->knobs.silent && !(s->held && s->held_by == h->number)) {
        rc = mf_fail(err, MF_RETRY, "MFHOLDLOST", "the hold on %s was released by the server", s->name);
    }
    if (rc == 0 && after && s->knobs.shadows) { /* sent, and not made yet */
        s->late = (struct mem_late){.set = true, .pipe = h->pipe, .epoch = *e};
        free(h);
        return mem_lost(&conn, "traffic.hold_decide", err);
    }
    if (rc == 0 && !mem_broken(s, "decide-nothing")) {
        rc = epoch_commit(s, &h->pipe, e, err);
    }
    hold_end(h);
    return rc == 0 && after ? mem_lost(&conn, "traffic.hold_decide", err) : rc;
}

static int settle(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    (void)pipe, (void)wait_ms;
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "traffic.settle", NULL, err)) {
        return -1;
    }
    if (s->late.set && !mem_broken(s, "settle-nothing")) {
        return mf_fail(err, MF_RETRY, "MFLATE", "a decision is still being committed on %s", s->name);
    }
    return 0;
}

static int epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    if (mem_enter_db(db, "traffic.epoch_read", NULL, err)) {
        return -1;
    }
    struct mf_epoch e;
    mem_book_read_epoch(s, pipe, &e);
    if (!e.writer[0]) {
        e.open = true;
    }
    *ret = e;
    return 0;
}

static int epoch_write(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    MEM_LOCKED;
    bool after;
    if (mem_enter_db(db, "traffic.epoch_write", &after, err) || epoch_commit(mem_server(db), pipe, e, err)) {
        return -1;
    }
    return after ? mem_lost_db(db, "traffic.epoch_write", err) : 0;
}

/* ---- whose it is ---- */

static int owner(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err)
{
    (void)pipe;
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "traffic.owner", &after, err)) {
        return -1;
    }
    size_t word = claim ? strcspn(claim, " ") : 0;
    bool same = claim && strcspn(s->owner, " ") == word && strncmp(claim, s->owner, word) == 0;
    if (claim && (!s->owner[0] || same)) {
        mf_strlcpy(s->owner, claim, sizeof s->owner);
    }
    mf_strlcpy(ret, s->owner, n);
    return after ? mem_lost_db(db, "traffic.owner", err) : 0;
}

struct mem_run_lock {
    struct mf_run_lock base;
    struct mem_conn conn;
    uint64_t number;
};

static int run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err)
{
    (void)wait_ms; /* nothing here ever waits */
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    struct mem_conn conn = mem_connect(s);
    if (mem_enter(&conn, "traffic.run_lock", NULL, err)) {
        return -1;
    }
    if (s->run_lock && s->run_generation == s->generation) {
        return mf_fail(err, MF_FATAL, "MFTWICE", "another midflight runs this migration (%s) on %s", pipe->migration,
                       s->name);
    }
    struct mem_run_lock *l = mf_xcalloc(1, sizeof *l);
    l->base.db = db;
    l->conn = conn;
    l->number = s->run_lock = ++s->next_run;
    s->run_generation = s->generation;
    *ret = &l->base;
    return 0;
}

static bool run_lock_held(const struct mem_run_lock *l)
{
    const struct mf_mem_server *s = l->conn.server;
    return s->run_lock == l->number && s->run_generation == s->generation && l->conn.generation == s->generation;
}

static int run_lock_check(struct mf_run_lock *base, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_run_lock *l = (struct mem_run_lock *)base;
    return run_lock_held(l) ? 0 : mf_fail(err, MF_RETRY, "08006", "the session on %s was lost", l->conn.server->name);
}

static void run_lock_release(struct mf_run_lock *base)
{
    if (!base) {
        return;
    }
    MEM_LOCKED;
    struct mem_run_lock *l = (struct mem_run_lock *)base;
    if (run_lock_held(l)) {
        l->conn.server->run_lock = 0;
    }
    free(l);
}

static void forget_pipe(struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    const char *migration = pipe->migration;
    size_t n = 0;
    for (size_t i = 0; i < s->nslots; i++) {
        if (!mf_streq(s->slots[i].pipe.migration, migration)) {
            s->slots[n++] = s->slots[i];
        }
    }
    s->nslots = mem_broken(s, "leave-slot") ? s->nslots : n;
    n = 0;
    for (size_t i = 0; i < s->nchunks; i++) {
        if (!mf_streq(s->chunks[i].pipe.migration, migration)) {
            s->chunks[n++] = s->chunks[i];
        }
    }
    s->nchunks = n;
    n = 0;
    for (size_t i = 0; i < s->nquarantined; i++) {
        if (!mf_streq(s->quarantined[i].pipe.migration, migration)) {
            s->quarantined[n++] = s->quarantined[i];
        } else {
            mem_quarantined_free(&s->quarantined[i].q);
        }
    }
    s->nquarantined = n;
}

static int cleanup(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    bool after;
    if (mem_enter_db(db, "traffic.cleanup", &after, err)) {
        return -1;
    }
    for (size_t i = 0; i < s->nslots; i++) {
        if (s->slots[i].active && mf_streq(s->slots[i].pipe.migration, pipe->migration)) {
            return mf_fail(err, MF_RETRY, "55006", "the stream of %s on %s is in use", pipe->migration, s->name);
        }
    }
    gate_drop(s, pipe);
    if (mem_enter_db(db, "traffic.cleanup_more", NULL, err)) {
        return -1;
    }
    forget_pipe(s, pipe);
    mem_book_drop(s, pipe);
    s->owner[0] = '\0';
    return after ? mem_lost_db(db, "traffic.cleanup", err) : 0;
}

const struct mf_traffic_ops mem_traffic_ops = {
    .owner = owner,
    .run_lock = run_lock,
    .run_lock_check = run_lock_check,
    .run_lock_release = run_lock_release,
    .gate_install = gate_install,
    .gate_remove = gate_remove,
    .hold = hold,
    .hold_decide = hold_decide,
    .hold_release = hold_release,
    .settle = settle,
    .epoch_read = epoch_read,
    .epoch_write = epoch_write,
    .hurry = mf_default_hurry,
    .cleanup = cleanup,
};
