/*
 * Documents that a unique index refuses are given anew at the end of their window, when everything else of it is written.
 *
 * Most of them come in then by themselves: the value is free. What is left stands in each other's way, because it exchanges values, or in the way of a document that
 * keeps its own. So all of it goes and comes to where it is to be in a transaction: nobody sees a moment without it, and what is refused even then undoes it all. The one that is refused
 * violates the index: it is left out, and the others try without it, since they may want what it does not give up. Where a deployment has no transactions nothing is taken away: what
 * does not come in by itself is left out.
 *
 * A document of an earlier window that was left out for the same reason takes part, with the version that its entry has: two that exchange their values
 * in windows of their own meet here.
 *
 * Everything is announced before, as any write (intent.h): that they go, and that they come.
 */
#include "connector/mongodb/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS       100 /* of the exchange, each without the one that was refused in the one before */
#define ENTRIES      100 /* of earlier windows that take part */
#define OWN_ROOM     (MONGO_GROUP - ENTRIES)
#define KEY_TEXT_MAX ((size_t)1 << 20)

static int no_memory(struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFMEM", "documents that are given anew are too large");
}

void mongo_left_clear(struct mongo_applier *a)
{
    a->nleft = a->left_bytes = 0;
    mf_arena_reset(&a->kept);
}

/* ---- keeping ---- */

static struct mongo_left *find(const struct mongo_applier *a, const char *schema, const char *name,
                               const struct mf_value *id)
{
    for (size_t i = 0; i < a->nleft; i++) {
        const struct mongo_left *l = &a->left[i];
        if (!l->over && mf_value_equal(&l->put.id, id) && mf_streq(l->name, name) && mf_streq(l->schema, schema)) {
            return (struct mongo_left *)l;
        }
    }
    return NULL;
}

void mongo_left_over(struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id)
{
    struct mongo_left *l = id->kind == MF_TEXT ? find(a, t->schema, t->name, id) : NULL;
    if (l) {
        l->over = true;
    }
}

bool mongo_is_left(const struct mongo_applier *a, const struct mf_table *t, const struct mf_value *id)
{
    return find(a, t->schema, t->name, id) != NULL;
}

static bool copy(struct mongo_applier *a, const struct mf_value *in, struct mf_value *ret)
{
    *ret = *in;
    if (in->kind != MF_NULL) {
        ret->data = mf_memdup_a(&a->kept, in->data, in->len);
    }
    return in->kind == MF_NULL || ret->data;
}

static int keep(struct mongo_applier *a, const char *schema, const char *name, const char *key,
                const struct mongo_put *p, bool entry, struct mf_error *err)
{
    struct mongo_left l = {.entry = entry, .put.code = p->code};
    l.schema = mf_strdup_a(&a->kept, schema);
    l.name = mf_strdup_a(&a->kept, name);
    l.key = mf_strdup_a(&a->kept, key);
    l.put.taken = mf_strdup_a(&a->kept, p->taken ? p->taken : "");
    if (!l.schema || !l.name || !l.key || !l.put.taken || !copy(a, &p->id, &l.put.id) ||
        !copy(a, &p->wanted, &l.put.wanted) || !copy(a, &p->there, &l.put.there) || !copy(a, &p->whole, &l.put.whole)) {
        return no_memory(err);
    }
    a->left_bytes += p->wanted.len + p->there.len + p->whole.len;
    a->left[a->nleft++] = l;
    return 0;
}

static int refuse(const struct mongo_put *p, struct mf_error *err)
{
    return mf_fail(err, MF_CONFLICT, "11000", "%s", p->taken);
}

static int take_one(struct mongo_applier *a, const struct mf_table *t, const struct mongo_put *p, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_TEXT_MAX};
    struct mf_value values[2] = {{.kind = MF_UNCHANGED}, {.kind = MF_UNCHANGED}};
    struct mf_row row = {.n = 2, .values = values};
    /* Repair looks at each row by itself, and has tried them together before. */
    if (a->mode.refused_stays || a->nleft >= OWN_ROOM || a->left_bytes > MONGO_GROUP_BYTES) {
        return refuse(p, err);
    }
    values[t->key[0]] = p->id;
    mf_put_key_text(&key, t, &row);
    return mf_buf_ok(&key) ? keep(a, t->schema, t->name, mf_buf_str(&key), p, false, err) : no_memory(err);
}

int mongo_left_take(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    for (size_t i = 0; i < a->nputs; i++) {
        struct mongo_left *before = a->nleft ? find(a, t->schema, t->name, &a->puts[i].id) : NULL;
        if (before) {
            before->over = true;
        }
        if (a->puts[i].taken && take_one(a, t, &a->puts[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- by themselves ---- */

/* Those of one collection that are not written. */
struct some {
    struct mongo_put *list[MONGO_GROUP];
    size_t n;
};

static void drop_written(struct some *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i]->taken) {
            s->list[n++] = s->list[i];
        }
    }
    s->n = n;
}

/* As long as one of them finds its value free. */
static int come_in(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    for (size_t before = s->n + 1; s->n && s->n < before;) {
        before = s->n;
        if (mongo_put_write(a, w, s->list, s->n, MONGO_WRITE_WHOLE, err) < 0) {
            return -1;
        }
        drop_written(s);
    }
    return 0;
}

/* ---- all at once ---- */

static int announce(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    return mongo_put_announce(a, w->schema, w->name, s->list, s->n, MONGO_WRITE_GONE, err) < 0
               ? -1
               : mongo_put_announce(a, w->schema, w->name, s->list, s->n, MONGO_WRITE_WHOLE, err);
}

/* In the transaction of w. The first that is refused is told, and it has ended. */
static int move_all(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    if (mongo_put_write(a, w, s->list, s->n, MONGO_WRITE_GONE, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (mongo_put_write(a, w, &s->list[i], 1, MONGO_WRITE_WHOLE, err) < 0) {
            return -1;
        }
        if (s->list[i]->taken) {
            return 0;
        }
    }
    return 0;
}

static bool any_taken(const struct some *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i]->taken) {
            return true;
        }
    }
    return false;
}

static mongoc_client_session_t *begin(struct mongo_applier *a, mongoc_client_t *c, struct mf_error *err)
{
    bson_error_t e = {0};
    mongoc_transaction_opt_t *opts = mongoc_transaction_opts_new();
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    mongoc_client_session_t *session = mongoc_client_start_session(c, NULL, &e);
    mongoc_write_concern_set_wmajority(concern, 60000);
    mongoc_write_concern_set_journal(concern, true);
    mongoc_transaction_opts_set_write_concern(opts, concern);
    if (!session || !mongoc_client_session_start_transaction(session, opts, &e)) {
        mongo_fail(mongo_db_of(a->base.db), &e, NULL, err);
        if (session) {
            mongoc_client_session_destroy(session);
        }
        session = NULL;
    }
    mongoc_write_concern_destroy(concern);
    mongoc_transaction_opts_destroy(opts);
    return session;
}

/* What says that there are none: IllegalOperation (a single server), OperationNotSupportedInTransaction, CommandNotFound. */
static bool has_none(const struct mf_error *err)
{
    return mongo_is_error(err, 20) || mongo_is_error(err, 263) || mongo_is_error(err, 59);
}

/* TransactionTooLarge, of servers that put all of one into one entry of 16 MB. */
static bool too_large(const struct mf_error *err)
{
    return mongo_is_error(err, 257) || mongo_is_error(err, 388);
}

static int in_transaction(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    struct mongo_where inside = *w;
    bson_error_t e = {0};
    bson_t reply;
    MONGO_SESSION *session = begin(a, w->client, err);
    inside.session = session;
    if (!session || announce(a, w, s, err) < 0) {
        return -1;
    }
    if (move_all(a, &inside, s, err) < 0 || any_taken(s) || MF_FAULT(err, "mongodb.exchange_gone")) {
        mongoc_client_session_abort_transaction(session, NULL);
        return any_taken(s) ? 0 : -1;
    }
    int rc = mongoc_client_session_commit_transaction(session, &reply, &e)
                 ? 0
                 : mongo_fail(mongo_db_of(a->base.db), &e, &reply, err);
    bson_destroy(&reply);
    return rc < 0 ? -1 : MF_FAULT(err, "mongodb.exchange_come");
}

static bool has_transactions(const struct mongo_applier *a)
{
    const struct mongo_can *can = &mongo_db_of(a->base.db)->can;
    return !a->no_transactions && can->sessions && can->speaks == MONGO_GENUINE &&
           (can->sharded ? can->wire >= 8 : can->replica_set && can->wire >= 7);
}

/* 0: all are written, or some have `taken` and all is as it was. *ret: the deployment could try. */
static int exchange(struct mongo_applier *a, const struct mongo_where *w, struct some *s, bool *ret,
                    struct mf_error *err)
{
    *ret = has_transactions(a);
    if (!*ret || in_transaction(a, w, s, err) == 0) {
        return 0;
    }
    bool none = has_none(err);
    if (!none && !too_large(err)) {
        return -1;
    }
    mf_error_clear(err);
    a->no_transactions = none;
    *ret = false;
    return 0;
}

/* ---- those of earlier windows ---- */

struct entries {
    struct mongo_applier *a;
    const struct mongo_where *w;
    size_t n;
};

/* The key is `_id=TEXT`, as mf_put_key_text makes it of a collection. */
static int take_entry(void *ctx, const char *key, const struct mf_value *document, struct mf_error *err)
{
    struct entries *e = ctx;
    struct mongo_applier *a = e->a;
    struct mongo_put p = {.wanted = *document};
    struct mf_error ignored = {0};
    if (e->n >= ENTRIES || a->nleft >= MONGO_GROUP || a->left_bytes > 2 * MONGO_GROUP_BYTES) {
        return 1;
    }
    if (mf_bson_id_of(&a->arena, document, &p.id, &ignored) < 0) {
        return 0;
    }
    if (find(a, e->w->schema, e->w->name, &p.id)) {
        return 0; /* a newer version of it is here */
    }
    e->n++;
    return keep(a, e->w->schema, e->w->name, key, &p, true, err);
}

/* Into the list go those that are to be written. */
static int with_entries(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    struct entries e = {a, w, 0};
    struct some more = {.n = 0};
    size_t first = a->nleft;
    if (!a->has_quarantine ||
        mongo_quarantine_taken(mongo_db_of(a->base.db), &a->pipe, w->schema, w->name, take_entry, &e, err) < 0) {
        return a->has_quarantine ? -1 : 0;
    }
    for (size_t i = first; i < a->nleft; i++) {
        struct mongo_put *p = more.list[more.n++] = &a->left[i].put;
        if (mongo_put_prepare(a, w->schema, w->name, &p, 1, err) < 0) {
            if (err->cls != MF_ROW) {
                return -1;
            }
            mf_error_clear(err); /* it cannot be written at all: its entry stays */
            a->left[i].over = true;
            more.n--;
        }
    }
    if (mongo_put_announce(a, w->schema, w->name, more.list, more.n, MONGO_WRITE_WHOLE, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < more.n; i++) {
        if (more.list[i]->nothing) {
            more.list[i]->taken = NULL;
        } else {
            s->list[s->n++] = more.list[i];
        }
    }
    return come_in(a, w, s, err);
}

/* ---- the end of a window ---- */

static int settle_collection(struct mongo_applier *a, const struct mongo_where *w, struct some *s, struct mf_error *err)
{
    if (come_in(a, w, s, err) < 0 || (s->n && with_entries(a, w, s, err) < 0)) {
        return -1;
    }
    for (int i = 0; s->n > 1 && i < ROUNDS; i++) {
        struct some now = *s;
        const char *were[MONGO_GROUP];
        bool tried;
        for (size_t k = 0; k < now.n; k++) {
            were[k] = now.list[k]->taken;
        }
        if (exchange(a, w, &now, &tried, err) < 0) {
            return -1;
        }
        if (tried && !any_taken(&now)) {
            return 0;
        }
        s->n = 0;
        for (size_t k = 0; k < now.n; k++) { /* without the refused, whose words stay */
            if (!tried || !now.list[k]->taken) {
                now.list[k]->taken = were[k];
                s->list[s->n++] = now.list[k];
            }
        }
        if (!tried) {
            return 0;
        }
    }
    return 0;
}

int mongo_left_settle(struct mongo_applier *a, struct mf_error *err)
{
    MONGO_LEASE(mongo_db_of(a->base.db), l);
    bool seen[MONGO_GROUP] = {false};
    size_t own = a->nleft;
    mf_arena_reset(&a->arena);
    if (own && mongo_borrow(l.db, &l.client, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < own; i++) {
        struct mongo_where w = {a->left[i].schema, a->left[i].name, l.client, NULL, true};
        struct some s = {.n = 0};
        for (size_t k = i; k < own; k++) {
            struct mongo_left *one = &a->left[k];
            if (!seen[k] && !one->over && mf_streq(one->schema, w.schema) && mf_streq(one->name, w.name)) {
                seen[k] = true;
                s.list[s.n++] = &one->put;
            }
        }
        if (s.n && settle_collection(a, &w, &s, err) < 0) {
            mf_error_prefix(err, "writing documents of %s.%s", w.schema, w.name);
            return -1;
        }
    }
    return 0;
}
