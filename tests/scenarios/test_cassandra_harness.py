"""The harness's Cassandra: nodes that start, die, stand still and are replaced as told, and say so."""
import pytest

from harness.cassandra import ADMIN, APP, driver
from harness.servers import PASSWORD, wait_for

driver()
from cassandra import AuthenticationFailed, ConsistencyLevel, Unauthorized  # noqa: E402
from cassandra.cluster import NoHostAvailable  # noqa: E402
from cassandra.query import SimpleStatement  # noqa: E402


def at(level, text):
    return SimpleStatement(text, consistency_level=level)


def test_one_node_answers_in_protocol_five(keyspace):
    server, name = keyspace()
    assert server.cql("SELECT release_version FROM system.local")[0][0] == "5.0.6"
    server.cql(f"CREATE TABLE {name}.t (a int PRIMARY KEY, b text)")
    server.cql(f"INSERT INTO {name}.t (a, b) VALUES (%s, %s)", (1, "x"))
    assert server.cql(f"SELECT a, b FROM {name}.t") == [(1, "x")]


def test_a_killed_durable_node_keeps_what_it_acknowledged(own_cassandra):
    server = own_cassandra(durable=True)
    name = server.create_keyspace("kept")
    server.cql(f"CREATE TABLE {name}.t (a int PRIMARY KEY)")
    for a in range(200):
        server.cql(f"INSERT INTO {name}.t (a) VALUES ({a})")
    server.nodes[0].kill()
    assert not server.running()
    server.start()
    assert sorted(r.a for r in server.cql(f"SELECT a FROM {name}.t")) == list(range(200))


@pytest.mark.soak
def test_a_ring_goes_on_without_a_node_and_takes_another(keyspace):
    server, name = keyspace(nodes=3)
    server.cql(f"CREATE TABLE {name}.t (a int PRIMARY KEY)")
    a, b, c = server.nodes
    b.kill()
    server.wait_down(b)
    for n in range(20):
        c.cql(at(ConsistencyLevel.QUORUM, f"INSERT INTO {name}.t (a) VALUES ({n})"))
    b.replace()
    server.wait_up()
    wait_for(lambda: len(b.cql(f"SELECT * FROM {name}.t")) == 20, 60, "the rows on the new node")
    c.pause()
    server.wait_down(c)
    assert len(a.cql(at(ConsistencyLevel.QUORUM, f"SELECT * FROM {name}.t"))) == 20
    c.resume()
    server.wait_up()
    assert a.nodetool("status").count("UN") == 3


def test_accounts_and_certificates(own_cassandra):
    server = own_cassandra(auth=True, tls="mutual")
    assert server.cql("SELECT count(*) FROM system.local")[0][0] == 1
    with pytest.raises(Unauthorized):
        server.cql("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", user=APP)
    with pytest.raises(NoHostAvailable) as refused:
        server.connect(user=ADMIN, password="not " + PASSWORD).connect()
    assert any(isinstance(e, AuthenticationFailed) for e in refused.value.errors.values())


def test_data_centres(own_cassandra):
    server = own_cassandra(datacenters=["east", "west"])
    seen = {(r.peer, r.data_center) for r in server.nodes[0].cql("SELECT peer, data_center FROM system.peers_v2")}
    assert seen == {("127.0.0.2", "west")}
    assert server.nodes[0].cql("SELECT data_center FROM system.local")[0][0] == "east"
