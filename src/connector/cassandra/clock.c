/*
 * The cluster's time, which is its nodes', and what stands in for positions.
 *
 * A write that carries no timestamp gets that of the node it is sent to, so the time that counts is not one but as many as there are nodes: the
 * earliest, where something of ours must be older than whatever comes; the latest, where it must be newer than whatever came. Nodes that are down write
 * nothing. A position is the earliest time, and later than every position asked for before, whichever nodes are up: so of two of them the later one was
 * asked for later.
 */
#include "connector/cassandra/cass.h"
#include "connector/cassandra/look.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* A timeuuid: 100 ns since 1582. */
static int take_time(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    const uint8_t *p = cells[0].p;
    if (cells[0].n != 16) {
        return mf_fail(err, MF_RETRY, "MFCLOCK", "a node did not tell the time");
    }
    uint64_t t = (uint64_t)(p[6] & 0x0f) << 56 | (uint64_t)p[7] << 48 | (uint64_t)p[4] << 40 | (uint64_t)p[5] << 32 |
                 (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
    *(int64_t *)ctx = (int64_t)((t - UINT64_C(0x01b21dd213814000)) / 10);
    return 0;
}

int cass_clock(struct mf_db *base, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    MF_CLEANUP_FREE struct mf_cql_node *nodes = NULL;
    size_t n = 0;
    int64_t first = INT64_MAX, last = 0;
    if (mf_cql_nodes(db->cql, &nodes, &n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t now = 0;
        if (!nodes[i].up) {
            continue;
        }
        if (cass_look(db->cql, "SELECT now() FROM system.local", 1, nodes[i].id, take_time, &now, err) < 0) {
            return -1;
        }
        first = now < first ? now : first;
        last = now > last ? now : last;
    }
    if (last == 0) {
        return mf_fail(err, MF_RETRY, "MFCLOCK", "no node of the cluster told the time");
    }
    *ret_us = first;
    if (ret_latest_us) {
        *ret_latest_us = last;
    }
    return 0;
}

int cass_position(struct mf_db *base, struct mf_position *ret, struct mf_error *err)
{
    int64_t now = 0;
    struct tm tm;
    if (cass_clock(base, &now, NULL, err) < 0) {
        return -1;
    }
    struct cass_db *db = cass_db_of(base);
    pthread_mutex_lock(&db->lock);
    now = db->position_us = now > db->position_us ? now : db->position_us + 1;
    pthread_mutex_unlock(&db->lock);
    time_t s = (time_t)(now / 1000000);
    char text[32] = "";
    if (gmtime_r(&s, &tm)) {
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    *ret = (struct mf_position){.order = (uint64_t)now};
    snprintf(ret->token, sizeof ret->token, "%s.%06" PRId64 "Z", text, now % 1000000);
    return 0;
}
