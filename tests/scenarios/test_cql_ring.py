"""The CQL client on a ring of three: nodes die, stand still, restart and are replaced under a load, and requests go to replicas."""
from __future__ import annotations

import time

import pytest

from harness.cassandra import driver
from harness.cqlcluster import Cql, Load
from harness.pgdrive import Refused
from harness.servers import wait_for

driver()
from cassandra import ConsistencyLevel, OperationTimedOut, ReadTimeout  # noqa: E402
from cassandra.query import SimpleStatement  # noqa: E402

T = "(id int PRIMARY KEY, v text)"
BOUND = 60


@pytest.fixture
def cql():
    made = []

    def make(url: str, **named) -> Cql:
        made.append(Cql(url, **named))
        return made[-1]

    yield make
    for one in made:
        assert one.close() == 0


@pytest.fixture
def ring(cassandra_servers, keyspace):
    """A ring of three, all up, and a keyspace with three copies."""
    server, name = keyspace(nodes=3, durable=True)
    server.start()
    server.wait_up()
    return server, name


def insert(name: str) -> str:
    return f"INSERT INTO {name}.t (id, v) VALUES (?, ?)"


def written(server, name: str) -> set:
    """By a quorum, as the client wrote them; on a busy machine a page may take longer than the server waits."""
    statement = SimpleStatement(f"SELECT id FROM {name}.t", consistency_level=ConsistencyLevel.QUORUM, fetch_size=1000)
    found: set = set()

    def read() -> bool:
        try:
            found.update(row[0] for row in server.cql(statement, timeout=120))
            return True
        except (ReadTimeout, OperationTimedOut):
            return False
    wait_for(read, 4 * BOUND, "the rows to be read")
    return found


def check(load: Load, server, name: str) -> None:
    """No request failed, and every one that was acknowledged is there."""
    r = load.result
    assert r["failed"] == 0 and r["acked"] == r["sent"], r
    assert written(server, name) == set(range(r["acked"]))
    assert r["slowest_us"] < BOUND * 1e6, r


def goes_on(load: Load, rows: int = 500) -> None:
    before = load.acked()
    wait_for(lambda: load.acked() > before + rows or load.error, BOUND, "the load to go on")


def all_up(c: Cql) -> None:
    wait_for(lambda: all(n["up"] for n in c.nodes().values()), BOUND, "every node to be up for the client")


@pytest.mark.soak
def test_a_killed_node_holds_nobody_up(ring, cql, tmp_path):
    server, name = ring
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    all_up(c)
    b = server.nodes[1]
    with Load(c, tmp_path, insert(name), in_flight=300) as load:
        goes_on(load)
        b.kill()
        goes_on(load, 2000)
        b.start()
        goes_on(load)
    check(load, server, name)
    all_up(c)
    stats = c.stats()
    assert stats["connections_lost"] > 0 and stats["connects_failed"] > 0 and load.result["retries"] > 0


def test_a_node_that_stands_still_holds_nobody_up(ring, cql, tmp_path):
    server, name = ring
    c = cql(server.url(name, connect_timeout="3s", request_timeout="50s"))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    all_up(c)
    b = server.nodes[1]
    try:
        with Load(c, tmp_path, insert(name), in_flight=300) as load:
            goes_on(load)
            b.pause()
            goes_on(load, 2000)
    finally:
        b.resume()
    server.wait_up()
    check(load, server, name)
    all_up(c)


@pytest.mark.soak
def test_nodes_restarted_one_after_the_other(ring, cql, tmp_path):
    server, name = ring
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    all_up(c)
    with Load(c, tmp_path, insert(name), in_flight=100, batch_size=5) as load:
        for node in server.nodes:
            goes_on(load)
            node.restart()
            server.wait_up()
            all_up_in_facts(server, c, load)
    check(load, server, name)
    assert c("facts")["stats"]["events_status"] > 0


def all_up_in_facts(server, c: Cql, load: Load) -> None:
    """While the load has the drive for itself: it goes on with the node that came back, too."""
    goes_on(load, 1000)


def test_requests_go_to_replicas(ring, cql):
    server, name = ring
    one = server.create_keyspace(name + "_one", replication=1)
    c = cql(server.url(one))
    c("schema", text=f"CREATE TABLE {one}.t {T}")
    all_up(c)
    addresses = {n["id"]: a for a, n in c.nodes().items()}
    seen = set()
    for i in range(40):
        a = c.execute(insert(one), str(i), "x", idempotent=True, trace=True)
        assert [a["node"]] == c("replicas", keyspace=one, token=a["token"])["replicas"]
        session = a["trace"]
        # One copy: whoever it was sent to did all of it, and no other node heard of it.
        def sources():
            return {r[0] for r in server.cql("SELECT source FROM system_traces.events WHERE session_id = "
                                             f"{session[:8]}-{session[8:12]}-{session[12:16]}-{session[16:20]}-{session[20:]}")}
        wait_for(lambda: sources(), BOUND, "the trace")
        assert sources() == {addresses[a["node"]]}
        seen.add(a["node"])
    assert seen == set(addresses)
    assert c.stats()["to_other"] == 0 and c.stats()["to_replica"] >= 40
    # What is to go by an owner does, and ranges tell the same as the owner of a token.
    for after, upto, owner in c("ranges", keyspace=one)["ranges"]:
        assert c("replicas", keyspace=one, token=upto)["owner"] == owner
        assert c("replicas", keyspace=one, token=after + 1)["owner"] == owner
    server.cql(f"DROP KEYSPACE {one}")


def test_the_ring_is_the_servers_own(ring, cql):
    server, name = ring
    c = cql(server.url(name))
    nodes = c.nodes()
    ends = {}
    for line in server.nodes[0].nodetool("describering", name).splitlines():
        if "TokenRange(" in line:
            start = int(line.split("start_token:")[1].split(",")[0])
            ends[int(line.split("end_token:")[1].split(",")[0])] = start, line.split("endpoints:[")[1].split("]")[0].split(", ")
    assert len(ends) == 3 * 16
    for end, (start, endpoints) in ends.items():
        for token in (end, start + 1):
            assert [nodes[a.split(":")[0]]["id"] for a in endpoints] == c("replicas", keyspace=name, token=token)["replicas"]


def test_each_node_can_be_asked_by_itself(ring, cql):
    server, name = ring
    c = cql(server.url(name))
    all_up(c)
    for address, node in c.nodes().items():
        a = c("query", text="SELECT listen_address, toTimestamp(now()) FROM system.local", node=node["id"], only_node=True)
        assert a["rows"][0][0] == address and a["node"] == node["id"]
    b = server.nodes[1]
    id_ = c.nodes()[b.address]["id"]
    b.kill()
    try:
        wait_for(lambda: not c.nodes()[b.address]["up"], BOUND, "the node to be down for the client")
        with pytest.raises(Refused) as e:
            c("query", text="SELECT key FROM system.local", node=id_, only_node=True, timeout_ms=4000)
        assert e.value.cls == "retry"
        assert c("query", text="SELECT key FROM system.local", node=id_)["node"] != id_  # tried first is not only
    finally:
        b.start()


@pytest.mark.soak
def test_an_unavailable_consistency_ends_in_time(ring, cql):
    server, name = ring
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    b = server.nodes[1]
    b.kill()
    try:
        server.wait_down(b)
        began = time.monotonic()
        with pytest.raises(Refused) as e:
            c.execute(insert(name), "1", "x", consistency="ALL", idempotent=True, timeout_ms=5000)
        assert e.value.cls == "retry" and e.value.code == "0x1000"
        assert time.monotonic() - began < BOUND
        c.execute(insert(name), "1", "x", consistency="QUORUM")
    finally:
        b.start()
        server.wait_up()


def test_speculative_execution(ring, cql):
    server, name = ring
    c = cql(server.url(name, speculative="200ms", connect_timeout="20s"))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    all_up(c)
    for i in range(30):
        c.execute(insert(name), str(i), "x", idempotent=True)
    b = server.nodes[1]
    b.pause()
    try:
        id_ = c.nodes()[b.address]["id"]
        a = c.execute(insert(name), "100", "x", idempotent=True, node=id_)
        assert a["node"] != id_ and c.stats()["speculative"] > 0
        # Not one that may not be done twice, whatever it costs.
        before = c.stats()["speculative"]
        with pytest.raises(Refused):
            c.execute(insert(name), "101", "x", node=id_, timeout_ms=1500)
        assert c.stats()["speculative"] == before
    finally:
        b.resume()
        server.wait_up()


@pytest.mark.soak
def test_a_node_is_replaced_by_another(ring, cql, tmp_path):
    server, name = ring
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    all_up(c)
    b = server.nodes[1]
    old = c.nodes()[b.address]
    with Load(c, tmp_path, insert(name), in_flight=100) as load:
        goes_on(load)
        b.kill()
        server.wait_down(b)
        b.replace()
        server.wait_up()
        goes_on(load)
    check(load, server, name)
    all_up(c)
    # At the same address it takes over the host id of the one it replaces, too: it is the same node to everybody.
    assert c.nodes()[b.address]["host_id"] == old["host_id"] == str(b.cql("SELECT host_id FROM system.local")[0][0]) and len(c.nodes()) == 3
    a = c("query", text="SELECT key FROM system.local", node=c.nodes()[b.address]["id"], only_node=True)
    assert a["rows"] == [["local"]]


def test_the_preferred_data_centre_is_asked(own_cassandra, cql, tmp_path):
    server = own_cassandra(datacenters=["north", "south"])
    # A data centre is one for CREATE KEYSPACE when the node that is asked has its nodes' tokens: a little after it takes them for up.
    peers = lambda node: [row[0] for row in node.cql("SELECT tokens FROM system.peers_v2") if row[0]]
    wait_for(lambda: all(len(peers(node)) == 1 for node in server.nodes), BOUND, "the nodes' tokens")
    server.cql("CREATE KEYSPACE two WITH replication = {'class': 'NetworkTopologyStrategy', 'north': 1, 'south': 1}")
    c = cql(server.url("two", local_dc="south"))
    c("schema", text=f"CREATE TABLE two.t {T}")
    all_up(c)
    north, south = (c.nodes()[n.address] for n in server.nodes)
    assert (north["dc"], north["local"], south["local"]) == ("north", False, True)
    assert c("replicas", keyspace="two", token=0)["replicas"] == [south["id"], north["id"]]
    assert {c.execute(insert("two"), str(i), "x")["node"] for i in range(20)} == {south["id"]}
    server.nodes[1].kill()
    wait_for(lambda: not c.nodes()[server.nodes[1].address]["up"], BOUND, "the node to be down for the client")
    # A quorum of here is not asked of there; one node of anywhere is.
    with pytest.raises(Refused) as e:
        c.execute(insert("two"), "1", "x", idempotent=True, timeout_ms=1500)
    assert e.value.cls == "retry"
    assert c.execute(insert("two"), "2", "x", consistency="ONE", idempotent=True)["node"] == north["id"]
