/* What a cluster tells of itself, as JSON: nodes, ranges, replicas, facts and figures. */
#include "base/cleanup.h"
#include "cqlcluster.h"

#include <stdlib.h>

int cd_nodes(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)o;
    struct mf_cql_node *nodes = NULL;
    size_t n = 0;
    json_t *list = json_array();
    json_object_set_new(reply, "nodes", list);
    if (mf_cql_nodes(cluster, &nodes, &n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{sisssssisssssssbsb}", "id", (int)nodes[i].id, "host_id",
                                              nodes[i].host_id, "address", nodes[i].address, "port", (int)nodes[i].port,
                                              "dc", nodes[i].dc, "rack", nodes[i].rack, "release", nodes[i].release,
                                              "up", nodes[i].up, "local", nodes[i].local));
    }
    free(nodes);
    return 0;
}

int cd_ranges(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_cql_range *ranges = NULL;
    size_t n = 0;
    json_t *list = json_array();
    json_object_set_new(reply, "ranges", list);
    if (mf_cql_ranges(cluster, cd_text(o, "keyspace"), &ranges, &n, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(
            list, json_pack("[IIi]", (json_int_t)ranges[i].after, (json_int_t)ranges[i].upto, (int)ranges[i].owner));
    }
    free(ranges);
    return 0;
}

int cd_replicas(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)err;
    uint32_t ids[16];
    size_t n = mf_cql_replicas(cluster, cd_text(o, "keyspace"), cd_number(o, "token", 0), ids, MF_ARRAY_LEN(ids));
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_integer(ids[i]));
    }
    json_object_set_new(reply, "replicas", list);
    json_object_set_new(reply, "owner",
                        json_integer(mf_cql_owner(cluster, cd_text(o, "keyspace"), cd_number(o, "token", 0))));
    return 0;
}

int cd_facts(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)o;
    (void)err;
    struct mf_cql_facts f;
    struct mf_cql_stats s;
    mf_cql_facts(cluster, &f);
    mf_cql_stats(cluster, &s);
    json_object_set_new(reply, "facts",
                        json_pack("{sssssssssssisbsbsbsIsIsI}", "cluster", f.cluster, "release", f.release,
                                  "partitioner", f.partitioner, "local_dc", f.local_dc, "keyspace", f.keyspace,
                                  "protocol", f.protocol, "compressed", f.compressed, "tls", f.tls, "murmur3",
                                  f.murmur3, "nodes", (json_int_t)f.nodes, "nodes_up", (json_int_t)f.nodes_up, "ring",
                                  (json_int_t)f.ring));
    const struct {
        const char *name;
        uint64_t v;
    } all[] = {{"requests", s.requests},
               {"answers", s.answers},
               {"errors", s.errors},
               {"retries", s.retries},
               {"overloaded", s.overloaded},
               {"timeouts", s.timeouts},
               {"unprepared", s.unprepared},
               {"speculative", s.speculative},
               {"connects", s.connects},
               {"connects_failed", s.connects_failed},
               {"connections_lost", s.connections_lost},
               {"events_topology", s.events_topology},
               {"events_status", s.events_status},
               {"events_schema", s.events_schema},
               {"to_replica", s.to_replica},
               {"to_other", s.to_other},
               {"bytes_out", s.bytes_out},
               {"bytes_in", s.bytes_in},
               {"window", s.window}};
    json_t *stats = json_object();
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        json_object_set_new(stats, all[i].name, json_integer((json_int_t)all[i].v));
    }
    json_object_set_new(reply, "stats", stats);
    return 0;
}
