/* The nodes: their versions, whether they are up and of one mind, their clocks, and what their settings forbid. */
#include "connector/cassandra/check.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_LEAST 400
#define AGREE_MS      5000
#define SKEW_NOTED    500    /* ms */
#define SKEW_TOO_MUCH 10000  /* ms */
#define COMMITS_LOST  "10 s" /* commitlog_sync_period unless it is set */

/* "4.1.10", "5.0-beta1": 401, 500. 0: no version. */
static int version_of(const char *release)
{
    int major = 0, minor = 0;
    int n = sscanf(release, "%d.%d", &major, &minor);
    return n == 2 && major > 0 && major < 100 && minor >= 0 && minor < 100 ? 100 * major + minor : 0;
}

static void check_versions(struct cass_check *k)
{
    int least = 0, most = 0;
    for (size_t i = 0; i < k->nnodes; i++) {
        int v = version_of(k->nodes[i].release);
        if (v && v < VERSION_LEAST) {
            cass_say(k, MF_BLOCKER, "version", k->nodes[i].address, "upgrade the cluster to 4.0 or later",
                     "its version is %s, and midflight speaks to 4.0 and later", k->nodes[i].release);
        }
        least = v && (!least || v < least) ? v : least;
        most = v > most ? v : most;
    }
    if (least != most) {
        cass_say(k, MF_BLOCKER, "mixed-versions", k->facts.cluster, "finish the upgrade of all nodes first",
                 "its nodes are of different versions: the schema cannot be changed on all of them");
    }
    if (!k->facts.murmur3) {
        cass_say(k, MF_BLOCKER, "partitioner", k->facts.cluster, "use a cluster with Murmur3Partitioner",
                 "its partitioner is %s, whose tokens midflight does not know", k->facts.partitioner);
    }
}

static void check_up(struct cass_check *k)
{
    for (size_t i = 0; i < k->nnodes; i++) {
        if (!k->nodes[i].up) {
            cass_say(
                k, MF_WARNING, "node-down", k->nodes[i].address,
                "start it, or let it be reached from here; nodetool status shows what the others think",
                "no connection to this node (data centre %s) can be made: its copies lack what is written meanwhile",
                k->nodes[i].dc);
        }
    }
}

static int check_agreement(struct cass_check *k, struct mf_error *err)
{
    struct mf_error why;
    mf_error_clear(&why);
    if (mf_cql_agree(k->db->cql, AGREE_MS, &why) == 0) {
        return 0;
    }
    if (strcmp(why.code, "MFSCHEMA") != 0) {
        *err = why;
        return -1;
    }
    cass_say(k, MF_BLOCKER, "schema-disagreement", k->facts.cluster,
             "nodetool describecluster shows who has which schema; restart the node that is alone with its own",
             "its nodes do not have the same schema: %s", why.text);
    return 0;
}

/* ---- clocks ---- */

static int take_number(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    (void)err;
    *(int64_t *)ctx = cass_look_number(cells[0]);
    return 0;
}

/* What its clock is ahead of ours by, in ms, as exactly as the way there and back lets us say. */
static int read_skew(struct cass_check *k, uint32_t node, int64_t *ret, struct mf_error *err)
{
    int64_t theirs = 0, before = mf_wall_us();
    if (cass_look(k->db->cql, "SELECT toUnixTimestamp(now()) FROM system.local", 1, node, take_number, &theirs, err)) {
        return -1;
    }
    int64_t after = mf_wall_us(), early = theirs - after / 1000, late = theirs - before / 1000;
    *ret = early > 0 ? early : late < 0 ? late : 0;
    return 0;
}

static void say_skew(struct cass_check *k, const char *object, int64_t skew, const char *what)
{
    int64_t size = skew < 0 ? -skew : skew;
    if (size > SKEW_NOTED) {
        cass_say(
            k, size > SKEW_TOO_MUCH ? MF_BLOCKER : MF_WARNING, "clock-skew", object,
            "set the clocks (chronyd, ntpd) of the source's server, of all nodes, and of the machine midflight runs "
            "on",
            "its clock is %" PRId64 " ms %s ours: the last write wins by its timestamp here, %s", size,
            skew < 0 ? "behind" : "ahead of", what);
    }
}

/* Stamps begin at the source's clock. */
static int check_source_clock(struct cass_check *k, struct mf_error *err)
{
    int64_t theirs = 0, before = mf_wall_us();
    if (k->source->connector->source->clock(k->source, &theirs, NULL, err) < 0) {
        return -1;
    }
    int64_t early = theirs - mf_wall_us(), late = theirs - before;
    say_skew(
        k, "the source's server",
        (early > 0  ? early
         : late < 0 ? late
                    : 0) /
            1000,
        "and what midflight writes has the source's: what applications write here after a cutover loses against what "
        "is ahead of it");
    return 0;
}

static int check_clocks(struct cass_check *k, struct mf_error *err)
{
    if (check_source_clock(k, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < k->nnodes; i++) {
        int64_t skew = 0;
        if (!k->nodes[i].up) {
            continue;
        }
        if (read_skew(k, k->nodes[i].id, &skew, err) < 0) {
            return -1;
        }
        say_skew(k, k->nodes[i].address, skew,
                 "and what applications write through a node whose clock is behind loses against what is there");
    }
    return 0;
}

/* ---- settings ---- */

struct wanted {
    struct cass_check *k;
    const char *value;
};

static int take_setting(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct wanted *w = ctx;
    w->value = cass_look_text(&w->k->arena, cells[0]);
    return w->value ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "the settings are too large");
}

int cass_setting(struct cass_check *k, uint32_t node, const char *name, const char **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 1024};
    struct wanted w = {.k = k, .value = ""};
    mf_buf_puts(&q, "SELECT value FROM system_views.settings WHERE name = ");
    cass_put_literal(&q, name);
    if (cass_look_buf(k->db->cql, &q, 1, node, take_setting, &w, err)) {
        if (strcmp(err->code, "0x2100") != 0 && strcmp(err->code, "0x2200") != 0) {
            return -1;
        }
        mf_error_clear(err); /* not ours to read */
    }
    *ret = w.value;
    return 0;
}

static int check_settings(struct cass_check *k, const struct mf_cql_node *n, bool *periodic, struct mf_error *err)
{
    const char *sync = "", *stamps = "", *low = "", *high = "";
    if (cass_setting(k, n->id, "commitlog_sync", &sync, err) < 0 ||
        cass_setting(k, n->id, "user_timestamps_enabled", &stamps, err) < 0 ||
        cass_setting(k, n->id, "minimum_timestamp_fail_threshold", &low, err) < 0 ||
        cass_setting(k, n->id, "maximum_timestamp_fail_threshold", &high, err) < 0) {
        return -1;
    }
    *periodic = *periodic || strcmp(sync, "periodic") == 0;
    if (strcmp(stamps, "false") == 0) {
        cass_say(k, MF_BLOCKER, "user-timestamps", n->address, "user_timestamps_enabled: true in cassandra.yaml",
                 "it refuses writes with a timestamp of their own (a guardrail), and midflight's order is in those");
    }
    if (*low && strcmp(low, "null") != 0) {
        cass_say(k, MF_WARNING, "timestamp-threshold", n->address,
                 "minimum_timestamp_fail_threshold: null, for the migration",
                 "it refuses writes whose timestamp is older than %s (a guardrail): what waits longer than that in the "
                 "spool, or is loaded again, would be refused",
                 low);
    }
    if (*high && strcmp(high, "null") != 0) {
        cass_say(
            k, MF_WARNING, "timestamp-threshold", n->address,
            "maximum_timestamp_fail_threshold: null, for the migration",
            "it refuses writes whose timestamp is more than %s ahead of its clock (a guardrail): with a source whose "
            "clock is ahead, every row would be refused",
            high);
    }
    return 0;
}

int cass_check_nodes(struct cass_check *k, struct mf_error *err)
{
    bool periodic = false;
    check_versions(k);
    check_up(k);
    if (check_agreement(k, err) < 0 || check_clocks(k, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < k->nnodes; i++) {
        if (k->nodes[i].up && check_settings(k, &k->nodes[i], &periodic, err) < 0) {
            return -1;
        }
    }
    if (periodic) {
        cass_say(k, MF_WARNING, "commitlog-sync", k->facts.cluster,
                 "commitlog_sync: batch (or group) in cassandra.yaml",
                 "its nodes acknowledge a write before it is on disk (commitlog_sync: periodic, " COMMITS_LOST
                 " unless set): what all copies of a row had only in memory is gone when their machines lose power at "
                 "once, although midflight counts it as there");
    }
    return 0;
}
