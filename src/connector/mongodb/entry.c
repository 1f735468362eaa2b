/*
 * Entries of the oplog.
 *
 *   {ts, op: "i", ns, o: document, o2: key}           o2 from 4.4 on, where the collection is sharded
 *   {ts, op: "u", ns, o: {$set…, $unset…}, o2: key}   some fields (before 5.0; with $v: 1)
 *   {ts, op: "u", ns, o: {$v: 2, diff: …}, o2: key}   some fields (5.0)
 *   {ts, op: "u", ns, o: document, o2: key}           a replacement
 *   {ts, op: "d", ns, o: key}
 *   {ts, op: "c", ns: "db.$cmd", o: {command: …}}
 *   {ts, op: "n", …}                                  nothing
 *
 * A transaction of several documents is one command applyOps with all of its operations, at the time of its commit. One that is too large for one entry is a chain
 * of them, each with the place of the one before in prevOpTime, all but the last with partialTxn. A prepared one ends with prepare: true, and is done when a further entry
 * says commitTransaction. So the chain is read backwards from the entry that ends it, whenever that is met: nothing of a transaction that is open has to be
 * kept, and a reader that begins in the middle of one misses nothing.
 *
 * prevOpTime stands also in statements that can be retried, for another reason; there it is no chain (multiOpType 1; operations that are no applyOps).
 *
 * A $set with an _id is no change of some fields, for an _id does not change: servers that are not MongoDB (FerretDB 1) write a document so, all of it.
 */
#include "connector/mongodb/event_internal.h"

#include "base/str.h"

#include <string.h>

/* One operation: an entry, or one within applyOps. */
struct op {
    char op[4], ns[2 * MONGO_NAME_MAX];
    bson_t o, o2;
    bool has_o, has_o2;
    struct mf_value o_value, o2_value;
    uint64_t time, before;
    int64_t wall_us;
    int64_t multi; /* multiOpType */
    bool in_session;
};

static int bad(struct mf_error *err, const char *field)
{
    return mongo_event_bad(err, "an entry of the oplog", field);
}

static uint64_t time_before(const bson_iter_t *it)
{
    bson_t prev;
    bson_iter_t at;
    return mongo_event_document(it, &prev, NULL) && bson_iter_init_find(&at, &prev, "ts") ? mongo_event_time(&at) : 0;
}

static const char *read_field(const bson_iter_t *it, struct op *ret)
{
    const char *name = bson_iter_key(it);
    if (mf_streq(name, "op")) {
        return mongo_event_text(it, ret->op, sizeof ret->op) ? NULL : name;
    }
    if (mf_streq(name, "ns")) {
        return mongo_event_text(it, ret->ns, sizeof ret->ns) ? NULL : name;
    }
    if (mf_streq(name, "o")) {
        ret->has_o = mongo_event_document(it, &ret->o, &ret->o_value);
        return ret->has_o ? NULL : name;
    }
    if (mf_streq(name, "o2")) { /* a no-op has something else there, too */
        ret->has_o2 = mongo_event_document(it, &ret->o2, &ret->o2_value);
        return NULL;
    }
    if (mf_streq(name, "ts")) {
        ret->time = mongo_event_time(it);
        return ret->time ? NULL : name;
    }
    if (mf_streq(name, "wall")) {
        ret->wall_us = mongo_event_wall(it);
    } else if (mf_streq(name, "prevOpTime")) {
        ret->before = time_before(it);
    } else if (mf_streq(name, "multiOpType")) {
        ret->multi = bson_iter_as_int64(it);
    } else if (mf_streq(name, "txnNumber")) {
        ret->in_session = true;
    }
    return NULL;
}

static int read_op(const bson_t *doc, struct op *ret, struct mf_error *err)
{
    bson_iter_t it;
    *ret = (struct op){0};
    if (!bson_iter_init(&it, doc)) {
        return bad(err, "");
    }
    while (bson_iter_next(&it)) {
        const char *wrong = read_field(&it, ret);
        if (wrong) {
            return bad(err, wrong);
        }
    }
    return it.err_off ? bad(err, "") : !ret->op[0] ? bad(err, "op") : 0;
}

/* The command's name: the first field. */
static const char *command(const struct op *o, bson_iter_t *it)
{
    return o->has_o && bson_iter_init(it, &o->o) && bson_iter_next(it) ? bson_iter_key(it) : "";
}

static bool flag(const bson_t *o, const char *name)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, o, name) && bson_iter_as_bool(&it);
}

int mongo_entry_read(const bson_t *entry, struct mongo_entry *ret, struct mf_error *err)
{
    struct op o;
    bson_iter_t it;
    if (read_op(entry, &o, err) < 0) {
        return -1;
    }
    if (!o.time) {
        return bad(err, "ts");
    }
    struct mongo_entry e = {.kind = MONGO_ENTRY_OPS, .time = o.time, .wall_us = o.wall_us};
    if (mf_streq(o.op, "c")) {
        const char *name = command(&o, &it);
        if (mf_streq(name, "commitTransaction")) {
            e.kind = MONGO_ENTRY_COMMIT;
            e.before = o.before;
        } else if (mf_streq(name, "applyOps")) {
            e.before = o.multi == 1 ? 0 : o.before;
            e.kind = flag(&o.o, "partialTxn") || flag(&o.o, "prepare") ? MONGO_ENTRY_PART : MONGO_ENTRY_OPS;
        }
    }
    if (e.before >= e.time) {
        return bad(err, "prevOpTime"); /* or a chain could have no end */
    }
    if (e.kind == MONGO_ENTRY_COMMIT && !e.before) {
        return bad(err, "prevOpTime");
    }
    *ret = e;
    return 0;
}

/* ---- operations ---- */

static bool split_ns(const char *ns, char *database, char *collection)
{
    const char *dot = strchr(ns, '.');
    if (!dot || dot == ns || !dot[1] || (size_t)(dot - ns) >= MONGO_NAME_MAX) {
        return false;
    }
    memcpy(database, ns, (size_t)(dot - ns));
    database[dot - ns] = '\0';
    return mf_strlcpy(collection, dot + 1, MONGO_NAME_MAX);
}

struct walk {
    mongo_event_fn *each;
    void *ctx;
    const struct op *entry; /* the one all of them are in */
    bool in_transaction;
    struct mf_error *err;
};

static int give(const struct walk *w, struct mongo_event *e)
{
    e->time = w->entry->time;
    e->wall_us = w->entry->wall_us;
    e->in_transaction = w->in_transaction;
    return w->each(w->ctx, e, w->err);
}

/* Whether o has operators; *ret: the document, where all of it is there. */
static bool updates_fields(const struct op *o, struct mf_value *ret)
{
    bson_iter_t it, set;
    bson_t fields;
    bool operators = false;
    *ret = o->o_value;
    if (!bson_iter_init(&it, &o->o)) {
        return true;
    }
    while (bson_iter_next(&it)) {
        const char *name = bson_iter_key(&it);
        operators |= name[0] == '$';
        if (mf_streq(name, "$set") && mongo_event_document(&it, &fields, ret) &&
            bson_iter_init_find(&set, &fields, "_id")) {
            return false;
        }
    }
    return operators;
}

static int document_op(const struct walk *w, const struct op *o, struct mongo_event *e)
{
    if (!o->has_o) {
        return bad(w->err, "o");
    }
    if (!split_ns(o->ns, e->database, e->collection)) {
        return bad(w->err, "ns");
    }
    if (o->op[0] == 'u' && !o->has_o2) {
        return bad(w->err, "o2");
    }
    e->key = o->op[0] == 'u' ? o->o2_value : o->o_value;
    if (o->op[0] == 'd') {
        e->what = MONGO_DELETE;
    } else if (o->op[0] == 'i') {
        e->what = MONGO_INSERT;
        e->document = o->o_value;
    } else if (updates_fields(o, &e->document)) {
        e->what = MONGO_UPDATE;
        e->document = (struct mf_value){.kind = MF_NULL};
    } else {
        e->what = MONGO_REPLACE;
    }
    return give(w, e);
}

static int rename_op(const struct walk *w, const struct op *o, const bson_iter_t *first, struct mongo_event *e)
{
    char from[2 * MONGO_NAME_MAX], to[2 * MONGO_NAME_MAX];
    bson_iter_t it;
    if (!mongo_event_text(first, from, sizeof from) || !split_ns(from, e->database, e->collection)) {
        return bad(w->err, "renameCollection");
    }
    if (!bson_iter_init_find(&it, &o->o, "to") || !mongo_event_text(&it, to, sizeof to) ||
        !split_ns(to, e->to_database, e->to_collection)) {
        return bad(w->err, "to");
    }
    /* What had the new name is dropped with it: true, or its UUID. */
    if (bson_iter_init_find(&it, &o->o, "dropTarget") && (BSON_ITER_HOLDS_BINARY(&it) || bson_iter_as_bool(&it))) {
        struct mongo_event dropped = {.what = MONGO_DROP};
        mf_strlcpy(dropped.database, e->to_database, sizeof dropped.database);
        mf_strlcpy(dropped.collection, e->to_collection, sizeof dropped.collection);
        int rc = give(w, &dropped);
        if (rc) {
            return rc;
        }
    }
    e->what = MONGO_RENAME;
    return give(w, e);
}

static int walk_ops(const struct walk *w, const struct op *o, unsigned depth);

static int command_op(const struct walk *w, const struct op *o, struct mongo_event *e, unsigned depth)
{
    bson_iter_t first;
    const char *name = command(o, &first);
    char collection[MONGO_NAME_MAX];
    if (mf_streq(name, "applyOps")) {
        return walk_ops(w, o, depth + 1);
    }
    if (mf_streq(name, "renameCollection")) {
        return rename_op(w, o, &first, e);
    }
    bool drop = mf_streq(name, "drop"), emptied = mf_streq(name, "emptycapped") || mf_streq(name, "convertToCapped");
    if (!drop && !emptied && !mf_streq(name, "dropDatabase")) {
        return 0;
    }
    if (!split_ns(o->ns, e->database, collection)) {
        return bad(w->err, "ns");
    }
    if ((drop || emptied) && !mongo_event_text(&first, e->collection, sizeof e->collection)) {
        return bad(w->err, name);
    }
    e->what = drop || emptied ? MONGO_DROP : MONGO_DROP_DATABASE; /* the documents are gone, or others */
    return give(w, e);
}

static int walk_op(const struct walk *w, const struct op *o, unsigned depth)
{
    struct mongo_event e = {.what = MONGO_NOTHING};
    if (mf_streq(o->op, "i") || mf_streq(o->op, "u") || mf_streq(o->op, "d")) {
        return document_op(w, o, &e);
    }
    if (mf_streq(o->op, "c")) {
        return command_op(w, o, &e, depth);
    }
    if (mf_streq(o->op, "n") || mf_streq(o->op, "db") || mf_streq(o->op, "xi") || mf_streq(o->op, "xd") ||
        mf_streq(o->op, "km") || mf_streq(o->op, "ki") || mf_streq(o->op, "kd") || mf_streq(o->op, "ci") ||
        mf_streq(o->op, "cd")) {
        return 0; /* nothing; keys of indexes; containers of the storage engine */
    }
    return bad(w->err, "op");
}

static int walk_ops(const struct walk *w, const struct op *o, unsigned depth)
{
    bson_iter_t list, it;
    bson_t doc;
    struct op one;
    if (depth > MONGO_NESTED || !bson_iter_init_find(&list, &o->o, "applyOps") || !BSON_ITER_HOLDS_ARRAY(&list) ||
        !bson_iter_recurse(&list, &it)) {
        return bad(w->err, "applyOps");
    }
    while (bson_iter_next(&it)) {
        if (!mongo_event_document(&it, &doc, NULL)) {
            return bad(w->err, "applyOps");
        }
        int rc = read_op(&doc, &one, w->err);
        rc = rc ? rc : walk_op(w, &one, depth);
        if (rc) {
            return rc;
        }
    }
    return it.err_off ? bad(w->err, "applyOps") : 0;
}

int mongo_entry_each(const bson_t *entry, mongo_event_fn *each, void *ctx, struct mf_error *err)
{
    struct op o;
    if (read_op(entry, &o, err) < 0) {
        return -1;
    }
    struct walk w = {
        .each = each, .ctx = ctx, .entry = &o, .in_transaction = mf_streq(o.op, "c") && o.in_session, .err = err};
    return walk_op(&w, &o, 0);
}
