/*
 * Whose a migration is, the right to run it, and who may write.
 *
 * A deployment has no locks of sessions. The right to run is a document with the moment at which it ends, MF_LEASE_S after it was written, by the primary's clock:
 * what is told of that clock before a write is earlier than the write, so an end that has passed by it has passed.
 *
 * Epoch, owner and right are changed by conditions on what was read (mongo_book_swap): of two that want to, one has done it first.
 *
 * Nothing here can hold writers or refuse them. The application's writes follow the flag (docs/guide), and a hold waits until it must have heard of it; what is
 * written on the wrong side comes in the stream and is told.
 */
#include "connector/lease.h"
#include "connector/mongodb/book.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 10

/* ---- owner ---- */

static int write_owner(struct mongo_db *db, const char *migration, const char *claim, const char *theirs,
                       struct mf_error *err)
{
    MONGO_BSON(if_);
    MONGO_BSON(doc);
    char id[MONGO_BOOK_ID];
    bool done;
    snprintf(id, sizeof id, "%s/owner/state", migration);
    BSON_APPEND_UTF8(&if_, "_id", id);
    BSON_APPEND_UTF8(&if_, "value", theirs);
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_UTF8(&doc, "migration", migration);
    BSON_APPEND_UTF8(&doc, "kind", "owner");
    BSON_APPEND_UTF8(&doc, "object", "state");
    BSON_APPEND_UTF8(&doc, "value", claim);
    return mongo_book_swap(db, "settings", &if_, theirs[0] != '\0', &doc, &done, err);
}

static int owner(struct mf_db *base, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    char theirs[4096];
    for (int i = 0; i < TRIES; i++) {
        if (mongo_kept(db, pipe->migration, "owner", "state", theirs, sizeof theirs, err) < 0) {
            return -1;
        }
        size_t word = strcspn(theirs, " ");
        bool ours = claim && strcspn(claim, " ") == word && strncmp(claim, theirs, word) == 0;
        if (!claim || (theirs[0] && !ours) || strcmp(theirs, claim) == 0) {
            mf_strlcpy(ret, theirs, n);
            return 0;
        }
        if (write_owner(db, pipe->migration, claim, theirs, err) < 0) {
            return -1;
        }
    }
    return mf_fail(err, MF_RETRY, "MFTWICE", "the owner of this migration (%s) is being changed by another session",
                   pipe->migration);
}

/* ---- the right to run: a lease (connector/lease.h) ---- */

static void put_lock(bson_t *doc, const struct mf_lease *l, int64_t until_us)
{
    BSON_APPEND_UTF8(doc, "_id", l->migration);
    BSON_APPEND_UTF8(doc, "migration", l->migration);
    BSON_APPEND_UTF8(doc, "holder", l->holder);
    BSON_APPEND_UTF8(doc, "host", l->host);
    BSON_APPEND_DATE_TIME(doc, "until", until_us / MF_US_PER_MS);
}

static int take(struct mf_lease *l, bool renew, char *ret_who, size_t n, struct mf_error *err)
{
    MONGO_BSON(if_);
    MONGO_BSON(doc);
    struct mongo_db *db = mongo_db_of(l->base.db);
    bson_t was;
    bool there, done = false;
    char holder[64] = "", host[128] = "?";
    bson_iter_t at;
    int64_t now;
    if (mongo_clock_us(db, &now, err) < 0 || mongo_book_get(db, "run_lock", l->migration, &was, &there, err) < 0) {
        return -1;
    }
    int64_t until = 0;
    if (there) {
        mongo_text(&was, "holder", holder, sizeof holder);
        mongo_text(&was, "host", host, sizeof host);
        until =
            bson_iter_init_find(&at, &was, "until") && BSON_ITER_HOLDS_DATE_TIME(&at) ? bson_iter_date_time(&at) : 0;
        bson_destroy(&was);
    }
    bool ours = mf_streq(holder, l->holder), over = until <= now / MF_US_PER_MS;
    if (renew ? !ours : !ours && !over) {
        snprintf(ret_who, n, "%s", there ? host : "nobody");
        return 0;
    }
    BSON_APPEND_UTF8(&if_, "_id", l->migration);
    BSON_APPEND_UTF8(&if_, "holder", holder);
    BSON_APPEND_DATE_TIME(&if_, "until", until);
    put_lock(&doc, l, now + MF_LEASE_S * MF_US_PER_SEC);
    if (mongo_book_swap(db, "run_lock", &if_, there, &doc, &done, err) < 0) {
        return -1;
    }
    mf_strlcpy(ret_who, done ? "" : "another one that came first", n);
    return 0;
}

static void drop(struct mf_lease *l)
{
    MONGO_BSON(filter);
    struct mf_error ignored = {0};
    BSON_APPEND_UTF8(&filter, "_id", l->migration);
    BSON_APPEND_UTF8(&filter, "holder", l->holder);
    mongo_book_delete(mongo_db_of(l->base.db), "run_lock", &filter, &ignored);
}

static const char *host_of(struct mf_db *db)
{
    return mongo_db_of(db)->facts.host;
}

static const struct mf_lease_how how = {
    .fault = "mongodb.running",
    .where = "the deployment of",
    .into = "with the deployment of",
    .take = take,
    .drop = drop,
    .host = host_of,
};

static int run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err)
{
    return mf_lease_take(db, pipe, &how, wait_ms, ret, err);
}

/* ---- the epoch ---- */

/* settled: of a condition, so that a write which was sent before it grew and comes after changes nothing. */
struct epoch_row {
    struct mf_epoch e;
    int64_t settled;
    bool there;
};

static int read_epoch(struct mongo_db *db, const char *migration, struct epoch_row *ret, struct mf_error *err)
{
    struct epoch_row r = {.e = {.open = true}};
    bson_t doc;
    if (mongo_book_get_for_good(db, "epoch", migration, &doc, &r.there, err) < 0) {
        return -1;
    }
    if (r.there) {
        r.e.epoch = (uint64_t)mongo_int(&doc, "epoch", 0);
        mongo_text(&doc, "writer", r.e.writer, sizeof r.e.writer);
        r.e.open = mongo_true(&doc, "open");
        r.settled = mongo_int(&doc, "settled", 0);
        bson_destroy(&doc);
    }
    *ret = r;
    return 0;
}

int mongo_epoch_number(struct mongo_db *db, const char *migration, int64_t *ret, struct mf_error *err)
{
    struct epoch_row r;
    if (read_epoch(db, migration, &r, err) < 0) {
        return -1;
    }
    *ret = (int64_t)r.e.epoch;
    return 0;
}

static int epoch_read(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err)
{
    struct epoch_row r;
    if (read_epoch(mongo_db_of(db), pipe->migration, &r, err) < 0) {
        return -1;
    }
    *ret = r.e;
    return 0;
}

static int write_epoch(struct mongo_db *db, const char *migration, const struct epoch_row *was,
                       const struct mf_epoch *e, int64_t settled, bool *ret_done, struct mf_error *err)
{
    MONGO_BSON(if_);
    MONGO_BSON(doc);
    BSON_APPEND_UTF8(&if_, "_id", migration);
    BSON_APPEND_INT64(&if_, "epoch", (int64_t)was->e.epoch);
    BSON_APPEND_BOOL(&if_, "open", was->e.open);
    BSON_APPEND_INT64(&if_, "settled", was->settled);
    BSON_APPEND_UTF8(&doc, "_id", migration);
    BSON_APPEND_UTF8(&doc, "migration", migration);
    BSON_APPEND_INT64(&doc, "epoch", (int64_t)e->epoch);
    BSON_APPEND_UTF8(&doc, "writer", e->writer);
    BSON_APPEND_BOOL(&doc, "open", e->open);
    BSON_APPEND_INT64(&doc, "settled", settled);
    return mongo_book_swap(db, "epoch", &if_, was->there, &doc, ret_done, err);
}

static int epoch_write(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_epoch *e,
                       struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    for (int i = 0; i < TRIES; i++) {
        struct epoch_row now;
        bool done;
        if (read_epoch(db, pipe->migration, &now, err) < 0) {
            return -1;
        }
        const struct mf_epoch *was = &now.e;
        if (now.there && was->epoch == e->epoch && strcmp(was->writer, e->writer) == 0 && was->open == e->open) {
            return 0; /* by the condition that was just met, or by an earlier try whose answer was lost */
        }
        if (now.there && (was->epoch > e->epoch || (was->epoch == e->epoch && was->open && was->epoch))) {
            return mf_fail(err, MF_RETRY, "MFEPOCH",
                           "epoch %" PRIu64 " is not recorded: the deployment has epoch %" PRIu64 ", writer %s",
                           e->epoch, was->epoch, was->writer);
        }
        if (MF_FAULT(err, "mongodb.decide") || write_epoch(db, pipe->migration, &now, e, now.settled, &done, err) < 0 ||
            MF_FAULT(err, "mongodb.decided")) {
            return -1;
        }
    }
    return mf_fail(err, MF_RETRY, "MFEPOCH", "the epoch in the deployment is being changed by another session");
}

/* A write that was sent and not answered may still be carried out: until what it is conditional on has changed. */
static int settle(struct mf_db *base, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err)
{
    struct mongo_db *db = mongo_db_of(base);
    (void)wait_ms; /* the statement timeout bounds it */
    for (int i = 0; i < TRIES; i++) {
        struct epoch_row now;
        bool done;
        if (read_epoch(db, pipe->migration, &now, err) < 0 ||
            write_epoch(db, pipe->migration, &now, &now.e, now.settled + 1, &done, err) < 0) {
            return -1;
        }
        if (done) {
            return 0;
        }
    }
    return mf_fail(err, MF_RETRY, "MFEPOCH", "the epoch in the deployment is being changed by another session");
}

/* ---- no gate ---- */

static int gate_install(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err)
{
    (void)db, (void)pipe, (void)tables, (void)o, (void)err;
    return 0;
}

static int gate_remove(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err)
{
    (void)db, (void)pipe, (void)o, (void)err;
    return 0;
}

/* Of nobody: see mf_connector.soft_hold. What it is for is the decision. */
struct mongo_hold {
    struct mf_hold base;
    struct mf_pipe_id pipe;
};

static int hold(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err)
{
    (void)o, (void)err;
    struct mongo_hold *h = mf_xcalloc(1, sizeof *h);
    h->base.db = db;
    h->pipe = *pipe;
    *ret = &h->base;
    return 0;
}

static int hold_decide(struct mf_hold *base, const struct mf_epoch *e, struct mf_error *err)
{
    struct mongo_hold *h = (struct mongo_hold *)base;
    int rc = epoch_write(h->base.db, &h->pipe, e, err);
    free(h);
    return rc;
}

static void hold_release(struct mf_hold *h)
{
    free(h);
}

const struct mf_traffic_ops mongo_traffic_ops = {
    .owner = owner,
    .run_lock = run_lock,
    .run_lock_check = mf_lease_check,
    .run_lock_release = mf_lease_release,
    .gate_install = gate_install,
    .gate_remove = gate_remove,
    .hold = hold,
    .hold_decide = hold_decide,
    .hold_release = hold_release,
    .epoch_read = epoch_read,
    .settle = settle,
    .epoch_write = epoch_write,
    .hurry = mongo_hurry,
    .cleanup = mongo_cleanup,
};
