/* See event.h. Change events first, the oplog's entries are in entry.c. */
#include "connector/mongodb/event_internal.h"

#include "base/str.h"

#include <string.h>

int mongo_event_bad(struct mf_error *err, const char *what, const char *field)
{
    mf_fail(err, MF_FATAL, "MFEVENT",
            "%s of the server cannot be understood: its field \"%.60s\" is missing or has another form", what, field);
    mf_hint(err, "leaving it out could lose a change: please report it with the server's version");
    return -1;
}

bool mongo_event_text(const bson_iter_t *it, char *out, size_t n)
{
    uint32_t len = 0;
    const char *s = BSON_ITER_HOLDS_UTF8(it) ? bson_iter_utf8(it, &len) : NULL;
    if (!s || len >= n || memchr(s, '\0', len)) {
        return false;
    }
    memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

bool mongo_event_document(const bson_iter_t *it, bson_t *view, struct mf_value *ret)
{
    const uint8_t *p = NULL;
    uint32_t len = 0;
    if (!BSON_ITER_HOLDS_DOCUMENT(it)) {
        return false;
    }
    bson_iter_document(it, &len, &p);
    if (!p || (view && !bson_init_static(view, p, len))) {
        return false;
    }
    if (ret) {
        *ret = (struct mf_value){.kind = MF_BINARY, .data = (const char *)p, .len = len};
    }
    return true;
}

uint64_t mongo_event_time(const bson_iter_t *it)
{
    uint32_t seconds = 0, increment = 0;
    if (!BSON_ITER_HOLDS_TIMESTAMP(it)) {
        return 0;
    }
    bson_iter_timestamp(it, &seconds, &increment);
    return (uint64_t)seconds << 32 | increment;
}

int64_t mongo_event_wall(const bson_iter_t *it)
{
    int64_t us = 0;
    return BSON_ITER_HOLDS_DATE_TIME(it) && !__builtin_mul_overflow(bson_iter_date_time(it), 1000, &us) ? us : 0;
}

/* ---- tokens ---- */

bool mongo_token_text(const bson_t *token, struct mf_value *ret)
{
    bson_iter_t it;
    uint32_t len = 0;
    if (!bson_iter_init_find(&it, token, "_data") || !BSON_ITER_HOLDS_UTF8(&it)) {
        return false;
    }
    const char *s = bson_iter_utf8(&it, &len);
    *ret = (struct mf_value){.kind = MF_TEXT, .data = s, .len = len};
    return len > 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* A mongod's token is a key of an index in hexadecimal, whose first field is the time: the byte 0x82 says that a timestamp follows. */
uint64_t mongo_token_time(const struct mf_value *token)
{
    uint64_t time = 0;
    if (token->kind != MF_TEXT || token->len < 18 || token->data[0] != '8' || token->data[1] != '2') {
        return 0;
    }
    for (int i = 2; i < 18; i++) {
        int d = hex_digit(token->data[i]);
        if (d < 0) {
            return 0;
        }
        time = time << 4 | (uint64_t)d;
    }
    return time;
}

/* ---- events ---- */

static const struct {
    const char *name;
    enum mongo_what what;
} kinds[] = {
    {"insert", MONGO_INSERT},
    {"update", MONGO_UPDATE},
    {"replace", MONGO_REPLACE},
    {"delete", MONGO_DELETE},
    {"drop", MONGO_DROP},
    {"rename", MONGO_RENAME},
    {"dropDatabase", MONGO_DROP_DATABASE},
    {"invalidate", MONGO_INVALIDATE},
    /* Told only where they are asked for (showExpandedEvents); none of them changes a document. */
    {"create", MONGO_NOTHING},
    {"createIndexes", MONGO_NOTHING},
    {"dropIndexes", MONGO_NOTHING},
    {"modify", MONGO_NOTHING},
    {"shardCollection", MONGO_NOTHING},
    {"refineCollectionShardKey", MONGO_NOTHING},
    {"reshardCollection", MONGO_NOTHING},
    {"startIndexBuild", MONGO_NOTHING},
    {"abortIndexBuild", MONGO_NOTHING},
    {"commitIndexBuild", MONGO_NOTHING},
};

static int read_kind(const bson_iter_t *it, enum mongo_what *ret, struct mf_error *err)
{
    char name[64];
    if (!mongo_event_text(it, name, sizeof name)) {
        return mongo_event_bad(err, "a change event", "operationType");
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (mf_streq(kinds[i].name, name)) {
            *ret = kinds[i].what;
            return 0;
        }
    }
    mf_fail(err, MF_FATAL, "MFEVENT", "the server tells of an operation that is not known here: %s", name);
    mf_hint(err, "leaving it out could lose a change: please report it with the server's version");
    return -1;
}

static bool read_ns(const bson_iter_t *it, char *database, char *collection)
{
    bson_t ns;
    bson_iter_t at;
    if (!mongo_event_document(it, &ns, NULL) || !bson_iter_init(&at, &ns)) {
        return false;
    }
    while (bson_iter_next(&at)) {
        if ((mf_streq(bson_iter_key(&at), "db") && !mongo_event_text(&at, database, MONGO_NAME_MAX)) ||
            (mf_streq(bson_iter_key(&at), "coll") && !mongo_event_text(&at, collection, MONGO_NAME_MAX))) {
            return false;
        }
    }
    return database[0] != '\0';
}

static void read_split(const bson_iter_t *it, struct mongo_event *e)
{
    bson_t split;
    bson_iter_t at;
    if (mongo_event_document(it, &split, NULL)) {
        e->fragment = bson_iter_init_find(&at, &split, "fragment") ? (int32_t)bson_iter_as_int64(&at) : -1;
        e->of = bson_iter_init_find(&at, &split, "of") ? (int32_t)bson_iter_as_int64(&at) : -1;
    } else {
        e->of = -1;
    }
}

/* NULL, or the field that is not what it has to be. */
static const char *read_field(const bson_iter_t *it, struct mongo_event *e, bool *full)
{
    const char *name = bson_iter_key(it);
    bson_t view;
    if (mf_streq(name, "_id")) {
        return mongo_event_document(it, &view, NULL) ? (mongo_token_text(&view, &e->token), NULL) : name;
    }
    if (mf_streq(name, "clusterTime")) {
        e->time = mongo_event_time(it);
        return e->time ? NULL : name;
    }
    if (mf_streq(name, "wallTime")) {
        e->wall_us = mongo_event_wall(it);
    } else if (mf_streq(name, "ns")) {
        return read_ns(it, e->database, e->collection) ? NULL : name;
    } else if (mf_streq(name, "to")) {
        return read_ns(it, e->to_database, e->to_collection) ? NULL : name;
    } else if (mf_streq(name, "documentKey")) {
        return mongo_event_document(it, &view, &e->key) ? NULL : name;
    } else if (mf_streq(name, "fullDocument")) {
        *full = true;
        return BSON_ITER_HOLDS_NULL(it) || mongo_event_document(it, &view, &e->document) ? NULL : name;
    } else if (mf_streq(name, "txnNumber")) {
        e->in_transaction = true;
    } else if (mf_streq(name, "splitEvent")) {
        read_split(it, e);
        return e->of > 0 && e->of <= MONGO_FRAGMENTS && e->fragment > 0 && e->fragment <= e->of ? NULL : name;
    }
    return NULL;
}

/* What an event of its kind must have. */
static const char *lacks(const struct mongo_event *e, bool full)
{
    bool of_document = e->what >= MONGO_INSERT && e->what <= MONGO_DELETE;
    if (e->what == MONGO_NOTHING || e->what == MONGO_INVALIDATE) {
        return NULL;
    }
    if (!e->database[0] || (e->what != MONGO_DROP_DATABASE && !e->collection[0])) {
        return "ns";
    }
    if (of_document && e->key.kind == MF_NULL) {
        return "documentKey";
    }
    if ((e->what == MONGO_INSERT || e->what == MONGO_REPLACE) && e->document.kind == MF_NULL) {
        return "fullDocument";
    }
    if (e->what == MONGO_UPDATE && !full) {
        return "fullDocument";
    }
    return e->what == MONGO_RENAME && (!e->to_database[0] || !e->to_collection[0]) ? "to" : NULL;
}

int mongo_change_read(const bson_t *event, struct mongo_event *ret, struct mf_error *err)
{
    struct mongo_event e = {0};
    bson_iter_t it;
    bool kind = false, full = false;
    if (!bson_iter_init(&it, event)) {
        return mongo_event_bad(err, "a change event", "");
    }
    while (bson_iter_next(&it)) {
        if (mf_streq(bson_iter_key(&it), "operationType")) {
            kind = true;
            if (read_kind(&it, &e.what, err) < 0) {
                return -1;
            }
            continue;
        }
        const char *bad = read_field(&it, &e, &full);
        if (bad) {
            return mongo_event_bad(err, "a change event", bad);
        }
    }
    if (it.err_off) {
        return mongo_event_bad(err, "a change event", "");
    }
    if (!e.of) { /* a fragment has some of the fields */
        const char *missing = kind ? lacks(&e, full) : "operationType";
        if (missing) {
            return mongo_event_bad(err, "a change event", missing);
        }
        e.looked_up = e.what == MONGO_UPDATE;
    }
    *ret = e;
    return 0;
}

/* ---- fragments ---- */

void mongo_fragments_end(struct mongo_fragments *f)
{
    if (f->open) {
        bson_destroy(&f->whole);
    }
    *f = (struct mongo_fragments){0};
}

static int out_of_order(struct mongo_fragments *f, const struct mongo_event *said, struct mf_error *err)
{
    int32_t next = f->open ? f->next : 1;
    mongo_fragments_end(f);
    return mf_fail(err, MF_RETRY, "MFEVENT", "fragment %d of a large change event came where fragment %d was due",
                   (int)said->fragment, (int)next);
}

int mongo_fragment_add(struct mongo_fragments *f, const bson_t *piece, const struct mongo_event *said,
                       const bson_t **ret_whole, struct mf_error *err)
{
    bson_iter_t it;
    if (f->open && f->next > f->of) { /* the one that was given out */
        mongo_fragments_end(f);
    }
    if (f->open ? said->fragment != f->next || said->of != f->of : said->fragment != 1) {
        return out_of_order(f, said, err);
    }
    if (!f->open) {
        bson_init(&f->whole);
        f->open = true;
        f->of = said->of;
    }
    f->next = said->fragment + 1;
    f->bytes += piece->len;
    if (f->bytes > MONGO_FRAGMENT_SUM) {
        mongo_fragments_end(f);
        return mf_fail(err, MF_FATAL, "MFEVENT", "a large change event has more than %zu MB", MONGO_FRAGMENT_SUM >> 20);
    }
    bool last = said->fragment == said->of, ok = bson_iter_init(&it, piece);
    while (ok && bson_iter_next(&it)) {
        const char *name = bson_iter_key(&it);
        /* The token to go on from is the last one's. */
        if (!mf_streq(name, "splitEvent") && (last || !mf_streq(name, "_id"))) {
            ok = bson_append_iter(&f->whole, NULL, -1, &it);
        }
    }
    if (!ok || it.err_off) {
        mongo_fragments_end(f);
        return mongo_event_bad(err, "a fragment of a change event", "");
    }
    *ret_whole = last ? &f->whole : NULL;
    return 0;
}
