/* Servers, their tables, and the door every operation comes through. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/memory/stamped.h"

#define MEM_ARENA_MAX (64u << 20)

/* The lock's data: every server, and everything that hangs from one. */
pthread_mutex_t mem_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct mf_mem_server *servers;
static uint32_t server_number;

struct mf_mem_server *mem_server_find(const char *name)
{
    for (struct mf_mem_server *s = servers; s; s = s->next) {
        if (mf_streq(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

struct mf_mem_server *mf_mem_server_new(const char *name)
{
    MEM_LOCKED;
    struct mf_mem_server *s = mf_xcalloc(1, sizeof *s);
    mf_strlcpy(s->name, name, sizeof s->name);
    mf_arena_init(&s->arena, MEM_ARENA_MAX);
    server_number =
        servers ? server_number + 1 : 1; /* begins anew with the first server: histories are alike in any order */
    s->next_id = 1000 * server_number;   /* ids of one server must never be mistaken for another's */
    s->lsn = 1000 + server_number * 7;
    s->next_xid = 700 + server_number;
    s->next = servers;
    servers = s;
    return s;
}

static void change_free(struct mem_change *c)
{
    if (c) {
        mem_row_unref(c->old_row);
        mem_row_unref(c->new_row);
        free(c->truncated);
        free(c);
    }
}

void mf_mem_server_free(struct mf_mem_server *s)
{
    if (!s) {
        return;
    }
    MEM_LOCKED;
    for (struct mf_mem_server **at = &servers; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    while (mf_mem_shadow_ends(s, false)) {}
    mem_stamped_free(s->stamped);
    for (size_t i = 0; i < s->nlog; i++) {
        change_free(s->log[i].change);
    }
    for (size_t i = 0; i < s->ntables; i++) {
        mem_rows_unref(s->tables[i]->rows);
        free(s->tables[i]->max_len);
        free(s->tables[i]);
    }
    for (size_t i = 0; i < s->nquarantined; i++) {
        mem_quarantined_free(&s->quarantined[i].q);
    }
    free(s->log);
    free(s->commits);
    free(s->locks);
    free(s->chunks);
    free(s->quarantined);
    mf_arena_free(&s->arena);
    free(s);
}

const char *mf_mem_name(const struct mf_mem_server *s)
{
    return s->name;
}

void mf_mem_set_hook(struct mf_mem_server *s, mf_mem_hook *hook, void *ctx)
{
    s->hook = hook;
    s->hook_ctx = ctx;
}

void mf_mem_on_commit(struct mf_mem_server *s, void (*fn)(void *, struct mf_mem_server *), void *ctx)
{
    s->on_commit = fn;
    s->on_commit_ctx = ctx;
}

struct mf_mem_knobs *mf_mem_knobs(struct mf_mem_server *s)
{
    return &s->knobs;
}

uint64_t mf_mem_answered(const struct mf_mem_server *s)
{
    return s->answered;
}

const char *mf_mem_violation(const struct mf_mem_server *s)
{
    return s->violation;
}

void mem_violate(struct mf_mem_server *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!s->violation[0]) {
        vsnprintf(s->violation, sizeof s->violation, fmt, ap);
    }
    va_end(ap);
}

static void end_transactions(struct mf_mem_server *s, bool ours_only)
{
    s->generation++;
    s->held = s->late.set;
    for (size_t i = 0; i < s->nslots; i++) {
        s->slots[i].active = false;
    }
    for (struct mf_mem_txn *t = s->open, *next; t; t = next) {
        next = t->next;
        if ((t->ours && t != s->shadow.txn) || !ours_only) {
            mem_txn_kill(t);
        }
    }
}

void mf_mem_disconnect(struct mf_mem_server *s)
{
    MEM_LOCKED;
    s->midflight_dead = false;
    end_transactions(s, true);
}

void mem_shadow_take(struct mf_mem_server *s, struct mf_mem_txn **txn, struct mem_pending *pending,
                     const struct mf_pipe_id *pipe, const struct mf_chunk_done *done)
{
    if (!s->knobs.shadows || s->shadow.txn || (*txn)->dead) {
        return;
    }
    s->shadow = (struct mem_shadow){.txn = *txn, .pipe = *pipe, .window = !done, .pending = *pending};
    if (done) {
        s->shadow.done = *done;
    }
    *txn = NULL;
    *pending = (struct mem_pending){0};
}

bool mf_mem_shadow_ends(struct mf_mem_server *s, bool commit)
{
    MEM_LOCKED;
    struct mem_shadow h = s->shadow;
    struct mf_error ignored;
    if (s->late.set) {
        mem_late_ends(s, commit);
        return true;
    }
    if (!h.txn) {
        return false;
    }
    s->shadow.txn = NULL;
    commit = commit && !h.txn->dead;
    if (commit && mem_txn_commit(h.txn, NULL, &ignored) == 0) {
        if (!h.window) {
            mem_chunk_record_add(s, &h.pipe, &h.done);
        }
        mem_pending_commit(&h.pending, s, &h.pipe);
    } else if (!commit) {
        mem_txn_abort(h.txn);
    }
    mem_pending_drop(&h.pending);
    free(h.pending.q);
    return true;
}

void mf_mem_restart(struct mf_mem_server *s)
{
    MEM_LOCKED;
    while (mf_mem_shadow_ends(s, false)) {}
    end_transactions(s, false);
}

void mf_mem_lose_slots(struct mf_mem_server *s)
{
    MEM_LOCKED;
    for (size_t i = 0; i < s->nslots; i++) {
        s->slots[i].lost = true;
    }
    s->generation++;
}

/* ---- the door ---- */

struct mem_conn mem_connect(struct mf_mem_server *s)
{
    return (struct mem_conn){.server = s, .generation = s->generation};
}

int mem_lost(struct mem_conn *c, const char *op, struct mf_error *err)
{
    c->dead = true;
    if (c->server->midflight_dead) {
        return mf_fail(err, MF_CRASH, "MFCRASH", "simulated crash at %s on %s", op, c->server->name);
    }
    return mf_fail(err, MF_RETRY, "08006", "connection to %s lost at %s", c->server->name, op);
}

int mem_enter(struct mem_conn *c, const char *op, bool *ret_after, struct mf_error *err)
{
    mem_stamped_chance(c->server);
    struct mf_mem_server *s = c->server;
    enum mf_mem_fate fate = MF_MEM_GO;
    if (!s->midflight_dead && !c->dead && c->generation == s->generation && s->hook) {
        fate = s->hook(s->hook_ctx, s, op);
    }
    if (c->generation != s->generation) {
        c->dead = true;
    }
    if (s->midflight_dead || c->dead) {
        return mem_lost(c, op, err);
    }
    if (fate == MF_MEM_CRASH_BEFORE || fate == MF_MEM_CRASH_AFTER) {
        s->midflight_dead = true;
    }
    bool after = fate == MF_MEM_LOST_AFTER || fate == MF_MEM_CRASH_AFTER;
    if (ret_after) {
        *ret_after = after;
    }
    if (fate == MF_MEM_GO || (after && ret_after)) {
        return 0;
    }
    return mem_lost(c, op, err);
}

int mem_enter_db(struct mf_db *db, const char *op, bool *ret_after, struct mf_error *err)
{
    struct mem_conn c = mem_connect(mem_server(db));
    return mem_enter(&c, op, ret_after, err);
}

int mem_lost_db(struct mf_db *db, const char *op, struct mf_error *err)
{
    struct mem_conn c = mem_connect(mem_server(db));
    return mem_lost(&c, op, err);
}

struct mf_position mem_position(uint64_t lsn)
{
    struct mf_position p = {.order = lsn};
    snprintf(p.token, sizeof p.token, "0/%" PRIX64, lsn);
    return p;
}

bool mem_pipe_equal(const struct mf_pipe_id *a, const struct mf_pipe_id *b)
{
    return a->direction == b->direction && mf_streq(a->migration, b->migration);
}

size_t mf_mem_residue(const struct mf_mem_server *s)
{
    size_t n = s->nslots + s->ngates + (s->held ? 1 : 0) + s->nchunks + s->nquarantined;
    for (size_t i = 0; i < s->ntables; i++) {
        n += s->tables[i]->book && !s->tables[i]->dropped;
    }
    return n;
}

bool mf_mem_held(const struct mf_mem_server *s)
{
    return s->held;
}

size_t mf_mem_commits(const struct mf_mem_server *s)
{
    return s->ncommits;
}

const struct mf_mem_commit *mf_mem_commit_at(const struct mf_mem_server *s, size_t i)
{
    return &s->commits[i];
}

bool mf_mem_gated(const struct mf_mem_server *s)
{
    return s->ngates > 0;
}

bool mf_mem_writable(struct mf_mem_server *s, const char *schema, const char *table)
{
    MEM_LOCKED;
    const struct mem_table *t = mem_table_find(s, schema, table);
    for (size_t i = 0; t && i < s->ngates; i++) {
        for (size_t k = 0; (s->held || !s->gates[i].open) && k < s->gates[i].ntables; k++) {
            if (s->gates[i].tables[k] == t) {
                return false;
            }
        }
    }
    return t != NULL;
}

int64_t mf_mem_nextval(struct mf_mem_server *s, const char *schema, const char *name)
{
    MEM_LOCKED;
    for (size_t i = 0; i < s->nsequences; i++) {
        if (mf_streq(s->sequences[i].schema, schema) && mf_streq(s->sequences[i].name, name)) {
            s->sequences[i].is_called = true;
            return ++s->sequences[i].last_value;
        }
    }
    if (s->nsequences == MF_ARRAY_LEN(s->sequences)) {
        return -1;
    }
    struct mf_sequence *q = &s->sequences[s->nsequences++];
    *q = (struct mf_sequence){
        .last_value = 1, .increment = 1, .cache = 1, .min = 1, .max = INT64_MAX, .is_called = true};
    mf_strlcpy(q->schema, schema, sizeof q->schema);
    mf_strlcpy(q->name, name, sizeof q->name);
    return 1;
}
