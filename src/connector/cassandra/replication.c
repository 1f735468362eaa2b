#include "connector/cassandra/replication.h"

#include "base/str.h"
#include "connector/cassandra/look.h"

#include <stdlib.h>
#include <string.h>

static bool take(struct mf_cursor *r, char *ret, size_t n)
{
    uint32_t len = mf_read_u32be(r);
    const void *p = len < n ? mf_read_bytes(r, len) : NULL;
    if (!p) {
        return false;
    }
    memcpy(ret, p, len);
    ret[len] = 0;
    return true;
}

bool cass_replication_parse(struct cql_bytes map, struct cass_replication *ret)
{
    struct mf_cursor r;
    char key[64], value[256];
    mf_cursor_init(&r, map.p, map.n > 0 ? (size_t)map.n : 0);
    for (uint32_t n = mf_read_u32be(&r); n > 0; n--) {
        if (r.failed || !take(&r, key, sizeof key) || !take(&r, value, sizeof value)) {
            return false;
        }
        if (strcmp(key, "class") == 0) {
            const char *dot = strrchr(value, '.');
            mf_strlcpy(ret->strategy, dot ? dot + 1 : value, sizeof ret->strategy);
            continue;
        }
        if (ret->ndcs == CASS_DCS_MAX) {
            return false;
        }
        bool simple = strcmp(key, "replication_factor") == 0;
        mf_strlcpy(ret->dcs[ret->ndcs].name, simple ? "" : key, sizeof ret->dcs[0].name);
        ret->dcs[ret->ndcs++].copies = (int)strtol(value, NULL, 10); /* "3/1": three, one of them transient */
    }
    return !r.failed;
}

static int take_row(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct cass_replication *r = ctx;
    r->there = true;
    r->durable_writes = cass_look_true(cells[0]);
    return cass_replication_parse(cells[1], r)
               ? 0
               : mf_fail(err, MF_FATAL, "MFPROTO", "the replication of the keyspace cannot be read");
}

int cass_replication_read(struct mf_cql *c, const char *keyspace, struct cass_replication *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 4096};
    struct cass_replication r = {0};
    mf_buf_puts(&q, "SELECT durable_writes, replication FROM system_schema.keyspaces WHERE keyspace_name = ");
    cass_put_literal(&q, keyspace);
    if (cass_look_buf(c, &q, 2, 0, take_row, &r, err)) {
        mf_error_prefix(err, "keyspace %s", keyspace);
        return -1;
    }
    *ret = r;
    return 0;
}

int cass_copies(const struct cass_replication *r, const char *dc)
{
    int n = 0;
    for (size_t i = 0; i < r->ndcs; i++) {
        bool counts = !dc || !r->dcs[i].name[0] || mf_streq(r->dcs[i].name, dc);
        n += counts ? r->dcs[i].copies : 0;
    }
    return n;
}

bool cass_is_local(enum cql_consistency level)
{
    return level == CQL_LOCAL_QUORUM || level == CQL_LOCAL_ONE || level == CQL_LOCAL_SERIAL || level == CQL_EACH_QUORUM;
}

int cass_needed(enum cql_consistency level, int all, int local)
{
    switch (level) {
    case CQL_ANY:
    case CQL_ONE:
    case CQL_LOCAL_ONE:
        return 1;
    case CQL_TWO:
        return 2;
    case CQL_THREE:
        return 3;
    case CQL_ALL:
        return all;
    case CQL_QUORUM:
    case CQL_SERIAL:
        return all / 2 + 1;
    case CQL_LOCAL_QUORUM:
    case CQL_EACH_QUORUM:
    case CQL_LOCAL_SERIAL:
        break;
    }
    return local / 2 + 1;
}
