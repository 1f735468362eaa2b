/*
 * Findings about this cluster as the target of a source of another kind: what would stop or hurt the migration, said before it begins. What concerns the nodes, the
 * keyspaces, the role and the tables is in a file each.
 */
#include "connector/cassandra/check.h"

#include "base/mem.h"
#include "connector/conversion.h"

#include <stdlib.h>
#include <string.h>

void cass_say(struct cass_check *k, enum mf_severity severity, const char *code, const char *object, const char *remedy,
              const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *reason = mf_xvasprintf(fmt, ap);
    va_end(ap);
    mf_findings_add(k->out, severity, MF_TARGET, code, object, remedy, "%s", reason);
}

static int open_check(struct cass_check *k, struct mf_error *err)
{
    mf_arena_init(&k->arena, (size_t)64 << 20);
    mf_cql_facts(k->db->cql, &k->facts);
    k->consistency = k->facts.consistency == CQL_ANY ? CQL_LOCAL_QUORUM : k->facts.consistency;
    return mf_cql_nodes_up(k->db->cql, CASS_NODES_WAIT_MS, &k->nodes, &k->nnodes, err);
}

static void close_check(struct cass_check *k)
{
    free(k->nodes);
    mf_schema_free(&k->schema);
    mf_catalog_free(&k->tables);
    mf_catalog_free(&k->here);
    mf_arena_free(&k->arena);
}

int cass_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                      struct mf_error *err)
{
    struct cass_check k = {.db = cass_db_of(db), .source = src, .filter = filter, .out = out};
    int rc = open_check(&k, err);
    rc = rc < 0 ? -1 : mf_conversion_read(db, src, filter, &k.schema, &k.tables, err);
    rc = rc < 0 ? -1 : cass_catalog_read(k.db->cql, NULL, false, &k.here, err);
    if (rc == 0) {
        rc = cass_check_nodes(&k, err) < 0 || cass_check_keyspaces(&k, err) < 0 || cass_check_rights(&k, err) < 0 ||
                     cass_check_schema(&k, err) < 0 || cass_check_contents(&k, err) < 0
                 ? -1
                 : 0;
    }
    close_check(&k);
    return rc;
}

/* ---- dual writes ---- */

static int check_durable(struct cass_check *k, struct mf_error *err)
{
    struct cass_replication r;
    const char *keyspace = k->db->keyspace, *sync = "";
    bool periodic = false;
    if (cass_replication_read(k->db->cql, keyspace, &r, err) < 0) {
        return -1;
    }
    int needed = cass_needed(k->consistency, cass_copies(&r, NULL), cass_copies(&r, k->facts.local_dc));
    for (size_t i = 0; i < k->nnodes; i++) {
        if (k->nodes[i].up && cass_setting(k, k->nodes[i].id, "commitlog_sync", &sync, err) < 0) {
            return -1;
        }
        periodic = periodic || (k->nodes[i].up && strcmp(sync, "periodic") == 0);
    }
    if (r.there && !r.durable_writes) {
        cass_say_not_durable(k, keyspace);
    }
    if (periodic && needed < 2) {
        cass_say(k, MF_BLOCKER, "commitlog-sync", keyspace,
                 "commitlog_sync: batch (or group) in cassandra.yaml of every node; or three copies and QUORUM or "
                 "LOCAL_QUORUM",
                 "a commit would be answered when one copy has it in memory (commitlog_sync: periodic, %s): when that "
                 "node's machine loses power, the row is gone",
                 cql_consistency_name((uint16_t)k->consistency));
    } else if (periodic) {
        cass_say(
            k, MF_WARNING, "commitlog-sync", keyspace, "commitlog_sync: batch (or group) in cassandra.yaml",
            "a commit is answered when %d copies have it in memory (commitlog_sync: periodic): when the machines of "
            "all of them lose power in the same seconds, the row is gone",
            needed);
    } else if (needed < 2) {
        cass_say(
            k, MF_WARNING, "one-copy", keyspace, "three copies, and QUORUM or LOCAL_QUORUM",
            "a commit is answered when one copy has it: while that node is down, or when its disk is lost, so is the "
            "row");
    }
    return 0;
}

int cass_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err)
{
    struct cass_check k = {.db = cass_db_of(db), .out = out};
    int rc = open_check(&k, err) < 0 ? -1 : check_durable(&k, err);
    close_check(&k);
    return rc;
}
