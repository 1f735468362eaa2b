"""What a load and a stream write into Cassandra beside the values: no tombstones for NULLs of a load, true deletions, nothing left in the end. And rows that
the cluster itself refuses, with an answer that comes when their call has long returned."""
from harness.cassandra import APP
from harness.cassrun import SMALL, Into, arrived, begin
from harness.servers import wait_for

TABLE = {"t": (["id", "part", "a", "b"], ["part", "id"])}


def tombstones(there, table: str) -> int:
    """What a read of the whole table goes over, as the server counts it."""
    from cassandra.query import SimpleStatement
    there.server.nodes[0].nodetool("flush", there.name, table)
    future = there.session.execute_async(SimpleStatement(f"SELECT * FROM {there.name}.{table}", fetch_size=100000), trace=True)
    assert len(list(future.result())) > 0
    said = [e.description for e in future.get_query_trace(max_wait=60).events if "tombstone" in e.description]
    assert said
    return sum(int(text.split(" tombstone")[0].split()[-1]) for text in said)


def test_nulls_of_a_load_are_nothing(source, into, migration):
    there = into()
    source.execute("CREATE TABLE t (id int, part int, a text, b int, PRIMARY KEY (part, id));"
                   "INSERT INTO t SELECT i, i % 20, CASE WHEN i % 2 = 0 THEN 'x' END, NULL FROM generate_series(1, 2000) i")
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    arrived(source, there, TABLE)
    assert tombstones(there, "t") == 0
    source.execute("INSERT INTO t SELECT i, i % 20, NULL, NULL FROM generate_series(3001, 3500) i")  # new rows have nothing under them
    arrived(source, there, TABLE)
    assert tombstones(there, "t") == 0
    source.execute("DELETE FROM t WHERE id <= 10; UPDATE t SET a = NULL WHERE id = 12; UPDATE t SET part = 99 WHERE id = 14")
    arrived(source, there, TABLE)
    assert tombstones(there, "t") > 0  # a deletion that is none would come back with the next repair of a node
    stamps = there.rows(f"SELECT id, WRITETIME(a) FROM {there.name}.t WHERE part = 99")
    loaded = there.rows(f"SELECT id, WRITETIME(a) FROM {there.name}.t WHERE part = 16 AND id = 16")
    assert stamps[0][1] > loaded[0][1], "a change has the time of its commit, a loaded row that of the stream's beginning"
    m.call("cancel")
    m.wait_exit()
    keyspaces = {r[0] for r in there.rows("SELECT keyspace_name FROM system_schema.keyspaces")}
    if "midflight" in keyspaces:  # of another test's migration on the same cluster
        for table in ("checkpoint", "chunk", "quarantine", "settings", "epoch", "run_lock"):
            assert there.name[-30:] not in {r[0] for r in there.rows(f"SELECT migration FROM midflight.{table}")}


def test_rows_that_the_cluster_refuses(source, own_cassandra, migration):
    """A bound of the server's own, which nothing tells of beforehand: the rows that break it are kept, each under its own key, and no other is lost."""
    server = own_cassandra(auth=True, settings={"column_value_size_fail_threshold": "10KiB"})
    server.create_keyspace("shop")
    server.cql(f"GRANT ALL ON ALL KEYSPACES TO {APP}")
    there = Into(server, "shop")
    large = {7, 1500, 2999, 3000}
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, CASE WHEN i IN (7, 1500, 2999, 3000) THEN repeat('x', 20000) ELSE 'v' || i END"
                   " FROM generate_series(1, 4000) i")
    m = migration(source, server.url("shop", user=APP), config={"migration": "refused", **SMALL})
    m.start()
    m.wait_phase("synced")
    kept = lambda: {int(e["key"].split("=")[1]): e for e in m.call("quarantine", "list", "--json").json["rows"]}
    assert set(kept()) == large, sorted(kept())
    assert all("10240" in e["reason"] or "threshold" in e["reason"] for e in kept().values())
    assert {r[0] for r in there.rows("SELECT id FROM shop.t")} == set(range(1, 4001)) - large
    source.execute("UPDATE t SET v = 'y' WHERE id < 20; INSERT INTO t VALUES (5001, repeat('x', 30000)), (5002, 'fine'); UPDATE t SET v = repeat('z', 15000) WHERE id = 21;"
                   "UPDATE t SET v = 'mended' WHERE id IN (7, 1500); DELETE FROM t WHERE id = 2999")
    wait_for(lambda: there.rows("SELECT id FROM shop.t WHERE id = 5002"), 60, "the stream")
    wait_for(lambda: set(kept()) == {3000, 5001, 21}, 60, "what is refused, kept")  # a window is no transaction here
    found = dict(there.rows("SELECT id, v FROM shop.t"))
    assert 21 not in found and found[7] == found[1500] == "mended" and found[5002] == "fine" and found[3] == "y"
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 3
    source.execute("UPDATE t SET v = 'good'")
    wait_for(lambda: not kept(), 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0
