/* What would stop or hurt a migration away from this deployment. Every finding has a stable code, the object, the reason, and a remedy. */
#include "connector/mongodb/check.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COPY_BYTES_S ((int64_t)5 << 20) /* a second, at which a copy is expected at the least */
#define WINDOW_S     ((int64_t)24 * 3600)

void mongo_say(struct mongo_check *k, enum mf_severity severity, const char *code, const char *object,
               const char *remedy, const char *fmt, ...)
{
    char reason[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    mf_findings_add(k->out, severity, k->db->base.side, code, object, remedy, "%s", reason);
}

/* ---- which server ---- */

static void say_missing(const struct mongo_can *can, char *ret, size_t n)
{
    const struct {
        bool lacks;
        const char *what;
    } all[] = {{can->tells < MONGO_TELLS_DATABASES, "change streams of a database"},
               {can->tells < MONGO_TELLS_COLLECTIONS, "change streams of a collection"},
               {!can->sessions, "sessions"},
               {!can->majority, "reads of what a majority has"},
               {!can->times, "the time of an operation"}};
    size_t used = 0;
    mf_strlcpy(ret, "nothing", n);
    for (size_t i = 0; i < MF_ARRAY_LEN(all) && used < n; i++) {
        if (all[i].lacks) {
            used += (size_t)snprintf(ret + used, n - used, "%s%s", used ? ", " : "", all[i].what);
        }
    }
}

static void check_server(struct mongo_check *k)
{
    const struct mongo_can *can = &k->db->can;
    const char *host = k->db->facts.host;
    char missing[300];
    if (can->speaks != MONGO_GENUINE) {
        say_missing(can, missing, sizeof missing);
        mongo_say(k, MF_WARNING, "not-mongodb", host, "rehearse the whole migration on a copy first",
                  "the server is %s, not MongoDB (it says that it is version %s); of what is used here it was seen to "
                  "lack: %s",
                  can->speaks == MONGO_FERRET ? "FerretDB" : "something that speaks its protocol", k->db->facts.version,
                  missing);
    }
    if (can->wire > 0 && can->wire < 6) {
        mongo_say(k, MF_BLOCKER, "version", host,
                  "upgrade the servers to MongoDB 3.6 or later, and set featureCompatibilityVersion",
                  "version %s has no change streams", k->db->facts.version);
    } else if (can->wire == 6 && can->speaks == MONGO_GENUINE) {
        mongo_say(k, MF_WARNING, "version", host, "rehearse the migration on a copy first",
                  "MongoDB %s has change streams of single collections only", k->db->facts.version);
    }
}

static void check_set(struct mongo_check *k)
{
    const struct mongo_can *can = &k->db->can;
    const char *host = k->db->facts.host;
    bool many = mongoc_uri_get_replica_set(k->db->uri) || mongoc_uri_get_srv_hostname(k->db->uri);
    if (!can->replica_set && !can->sharded && can->tells == MONGO_TELLS_NOTHING) {
        mongo_say(k, MF_BLOCKER, "not-replica-set", host,
                  "start mongod with --replSet rs0 and run rs.initiate() once; a set of one member is enough",
                  "the server is no member of a replica set: it keeps no record of its changes that could be followed");
    }
    if (can->replica_set && !many) {
        char remedy[200];
        snprintf(remedy, sizeof remedy, "put the addresses of several members and replicaSet=%.100s into the URL",
                 can->set_name);
        mongo_say(k, MF_WARNING, "url-replica-set", host, remedy,
                  "the server is a member of replica set %s, which the URL does not name: when another member becomes "
                  "the primary, it is "
                  "not followed there",
                  can->set_name);
    }
    if ((can->replica_set || can->sharded) && !can->majority) {
        mongo_say(k, MF_WARNING, "read-concern-majority", host, "do not set enableMajorityReadConcern to false",
                  "reads cannot ask for what a majority of members has: after a change of primaries, rows may have "
                  "been copied that "
                  "the deployment has rolled back");
    }
}

/* ---- changes ---- */

/* Through a mongos: the stream of the whole cluster or nothing. */
static void check_cluster(struct mongo_check *k)
{
    const char *host = k->db->facts.host;
    if (k->db->can.tells == MONGO_TELLS_ALL) {
        mongo_say(k, MF_WARNING, "sharded-cluster", host, "rehearse the whole migration on a copy first",
                  "the URL leads to a sharded cluster (a mongos answers), which was not run: its changes are read from "
                  "one change stream, in the order of the cluster's time; what two shards wrote at one such time is "
                  "told as one transaction, and a document that moves between shards must have an _id of its own in "
                  "the whole cluster");
        return;
    }
    mongo_say(k, MF_BLOCKER, "sharded-cluster", host,
              "db.getSiblingDB(\"admin\").grantRolesToUser(…, [{role: \"readAnyDatabase\", db: \"admin\"}]); clusters "
              "before version 4.0 are upgraded first",
              "the URL leads to a sharded cluster (a mongos answers), and no change stream of all of it can be opened: "
              "streams of single databases have no order between them, and the oplogs of its shards are not read");
}

static void check_stream(struct mongo_check *k)
{
    const char *host = k->db->facts.host;
    if (k->db->can.sharded) {
        check_cluster(k);
        return;
    }
    bool alone = !k->db->can.replica_set;
    switch (k->db->can.tells) {
    case MONGO_TELLS_NOTHING:
        if (!alone) {
            mongo_say(k, MF_BLOCKER, "no-change-stream", host,
                      "grant the account the role `read` on the databases, or `readAnyDatabase` on admin",
                      "neither a change stream nor the oplog can be read");
        }
        break;
    case MONGO_TELLS_OPLOG:
        mongo_say(k, MF_WARNING, "oplog-only", host, "rehearse the whole migration on a copy first",
                  "there are no change streams: the oplog (local.oplog.rs) is read, and documents that were updated "
                  "are looked up in their "
                  "collections");
        break;
    case MONGO_TELLS_COLLECTIONS:
    case MONGO_TELLS_DATABASES:
        if (k->db->can.speaks == MONGO_GENUINE) {
            mongo_say(
                k, MF_BLOCKER, "stream-of-all", host,
                "db.getSiblingDB(\"admin\").grantRolesToUser(…, [{role: \"readAnyDatabase\", db: \"admin\"}]); on "
                "servers before 4.0 `read` on local, for the oplog",
                "the account may not open a change stream of the whole deployment, nor read the oplog: streams of "
                "single databases or collections have no order between them, and are not followed");
        } else if (k->db->can.tells == MONGO_TELLS_COLLECTIONS) {
            mongo_say(
                k, MF_WARNING, "stream-per-collection", host,
                "grant the account changeStream and find on the database, or use servers of version 4.0 or later",
                "change streams are of one collection each: what changes collections together is not told together");
        }
        break;
    case MONGO_TELLS_ALL:
        break;
    }
}

/* The time of the first or the last entry of the oplog, in seconds; 0: it cannot be read. */
static int64_t oplog_end(struct mongo_db *db, int direction)
{
    MONGO_BSON(c);
    bson_t part, reply;
    struct mf_error ignored = {0};
    BSON_APPEND_UTF8(&c, "find", "oplog.rs");
    BSON_APPEND_DOCUMENT_BEGIN(&c, "sort", &part);
    BSON_APPEND_INT32(&part, "$natural", direction);
    bson_append_document_end(&c, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "projection", &part);
    BSON_APPEND_INT32(&part, "ts", 1);
    bson_append_document_end(&c, &part);
    BSON_APPEND_INT32(&c, "limit", 1);
    BSON_APPEND_BOOL(&c, "singleBatch", true);
    if (mongo_command(db, NULL, MONGO_PRIMARY, "local", &c, &reply, &ignored) < 0) {
        return 0;
    }
    uint64_t time = mongo_timestamp(&reply, "cursor.firstBatch.0.ts");
    bson_destroy(&reply);
    return (int64_t)(time >> 32);
}

static void check_window(struct mongo_check *k)
{
    char window[40], copy[40];
    if (k->db->can.sharded || k->db->can.speaks != MONGO_GENUINE) {
        return;
    }
    int64_t first = oplog_end(k->db, 1), last = oplog_end(k->db, -1);
    int64_t copies = k->bytes / COPY_BYTES_S + 1;
    if (first == 0 || last <= first) {
        mongo_say(k, MF_NOTE, "oplog-window", "local.oplog.rs",
                  "grant read on local, or look at rs.printReplicationInfo(): the window must be longer than any "
                  "interruption",
                  "how far back the oplog reaches cannot be seen");
        return;
    }
    mf_format_duration((last - first) * MF_US_PER_SEC, window, sizeof window);
    mf_format_duration(copies * MF_US_PER_SEC, copy, sizeof copy);
    if (last - first < WINDOW_S || last - first < 2 * copies) {
        mongo_say(k, MF_WARNING, "oplog-window", "local.oplog.rs",
                  "db.adminCommand({replSetResizeOplog: 1, minRetentionHours: 48}) on every member (4.4 or later; "
                  "before, size:)",
                  "the oplog reaches back %s: when this run is interrupted for longer, its place in the stream is lost "
                  "and it begins "
                  "again (the copy is expected to take up to %s)",
                  window, copy);
    }
}

/* ---- all ---- */

int mongo_check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    struct mongo_check k = {.db = mongo_db_of(db), .filter = filter, .out = out};
    check_server(&k);
    check_set(&k);
    check_stream(&k);
    if (mongo_check_rights(&k, err) < 0 || mongo_check_collections(&k, err) < 0) {
        return -1;
    }
    check_window(&k);
    return 0;
}
