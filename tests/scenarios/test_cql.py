"""The CQL client against a real Cassandra of one node; what it wrote is read by the Python driver, and the other way round."""
from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from harness.cassandra import ADMIN, APP
from harness.cqlcluster import Cql, Load
from harness.pgdrive import Refused
from harness.servers import PASSWORD, free_port, wait_for
from harness.wire import Wire

T = "(id int PRIMARY KEY, v text)"
BOUND = 60  # seconds within which whatever must not hang has ended, on a busy machine


@pytest.fixture
def cql():
    made = []

    def make(url: str, **named) -> Cql:
        made.append(Cql(url, **named))
        return made[-1]

    yield make
    for one in made:
        assert one.close() == 0


def insert(name: str, more: str = "") -> str:
    return f"INSERT INTO {name}.t (id, v) VALUES (?, ?){more}"


def refused(call, cls: str, code: str, *words: str) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    e = caught.value
    assert (e.cls, e.code) == (cls, code), str(e)
    for word in words:
        assert word in e.text + e.hint, str(e)
    assert PASSWORD not in str(e)
    return e


# ---- opening -------------------------------------------------------------------------------------------------------

def test_what_a_cluster_is(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    facts = c.facts()
    assert facts["release"] == "5.0.6" and facts["protocol"] == 5 and facts["compressed"] and facts["murmur3"] and not facts["tls"]
    assert facts["local_dc"] == "datacenter1" and facts["keyspace"] == name and (facts["nodes"], facts["nodes_up"]) == (1, 1)
    node, = c.nodes().values()
    host, = server.cql("SELECT host_id FROM system.local")
    assert node["host_id"] == str(host[0]) and node["up"] and node["local"] and node["port"] == server.port
    ranges = c("ranges", keyspace=name)["ranges"]
    assert ranges[0][0] == -2**63 and ranges[-1][1] == 2**63 - 1
    assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:])) and {r[2] for r in ranges} == {node["id"]}


def test_a_keyspace_that_is_not_there(keyspace, cql):
    server, _ = keyspace()
    refused(lambda: cql(server.url("nothing")), "fatal", "MFKEYSPACE", "nothing", "CREATE KEYSPACE")


def test_a_data_centre_that_is_not_there(keyspace, cql):
    server, name = keyspace()
    refused(lambda: cql(server.url(name, local_dc="mars")), "fatal", "MFDC", "mars", "datacenter1")


def test_nobody_listens(cql):
    refused(lambda: cql(f"cassandra://127.0.0.1:{free_port()}/k"), "retry", "MFNET", "refused")
    refused(lambda: cql("cassandra://no-such-host.invalid/k"), "retry", "MFNET", "no-such-host.invalid")


def test_who_listens_says_nothing(cql):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        began = time.monotonic()
        refused(lambda: cql(f"cassandra://127.0.0.1:{s.getsockname()[1]}/k", connect_ms=1500), "retry", "MFTIME", "does not answer")
        assert time.monotonic() - began < BOUND


def test_who_listens_speaks_another_protocol(cql):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)

        def answer():
            while True:
                try:
                    one, _ = s.accept()
                except OSError:
                    return
                one.recv(100)
                one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                one.close()
        threading.Thread(target=answer, daemon=True).start()
        refused(lambda: cql(f"cassandra://127.0.0.1:{s.getsockname()[1]}/k"), "retry", "MFPROTO")
        s.shutdown(socket.SHUT_RDWR)


def test_one_contact_of_several_is_enough(keyspace, cql):
    server, name = keyspace()
    url = server.url(name).replace("cassandra://", f"cassandra://127.0.0.1:{free_port()},no-such-host.invalid,")
    assert cql(url).query("SELECT key FROM system.local") == [["local"]]


def test_users_and_passwords(cassandra_servers, cql):
    server = cassandra_servers.get("auth", auth=True)
    assert cql(server.url()).query("SELECT key FROM system.local") == [["local"]]
    refused(lambda: cql(server.url(password="wrong")), "fatal", "MFAUTH", "password")
    refused(lambda: cql(server.url(user=None)), "fatal", "MFAUTH", "has no user")
    refused(lambda: cql(server.url().replace(":" + PASSWORD, "", 1)), "fatal", "MFAUTH", "no password")
    app = cql(server.url(user=APP))
    refused(lambda: app("query", text="CREATE KEYSPACE no WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"), "fatal", "0x2100",
            "no CREATE permission")
    assert ADMIN != APP


def test_tls(cassandra_servers, cql):
    server = cassandra_servers.get("tls", tls="server")
    ca = str(server.dir / "tls-ca.pem")
    for options in ({"ssl": "require"}, {"ssl": "verify-ca", "ca": ca}, {"ssl": "verify-full", "ca": ca}):
        c = cql(server.url(**options))
        assert c.facts()["tls"] and c.query("SELECT key FROM system.local") == [["local"]]
    refused(lambda: cql(server.url(ssl="verify-full")), "fatal", "MFTLS", "certificate", "ca=")
    refused(lambda: cql(server.url(ssl="verify-full", ca="/nowhere.pem")), "usage", "MFTLS", "/nowhere.pem")
    assert refused(lambda: cql(server.url()), "retry", "MFNET").hint.count("TLS")
    plain = cassandra_servers.get()
    refused(lambda: cql(plain.url(ssl="require"), connect_ms=5000), "fatal", "MFTLS")


def test_tls_to_a_host_the_certificate_is_not_for(cassandra_servers, cql):
    server = cassandra_servers.get("tls", tls="server")
    ca = str(server.dir / "tls-ca.pem")
    with socket.socket() as s:  # 127.0.0.42 is in no certificate
        s.bind(("127.0.0.42", 0))
        s.listen(8)

        def forward():
            while True:
                try:
                    one, _ = s.accept()
                except OSError:
                    return
                other = socket.create_connection(("127.0.0.1", server.port))
                for a, b in ((one, other), (other, one)):
                    threading.Thread(target=pump, args=(a, b), daemon=True).start()
        threading.Thread(target=forward, daemon=True).start()
        url = f"cassandra://127.0.0.42:{s.getsockname()[1]}/?ca={ca}&ssl="
        assert cql(url + "verify-ca").query("SELECT key FROM system.local") == [["local"]]
        refused(lambda: cql(url + "verify-full"), "fatal", "MFTLS", "mismatch")
        s.shutdown(socket.SHUT_RDWR)


def pump(a: socket.socket, b: socket.socket) -> None:
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_tls_with_a_certificate_of_the_client(cassandra_servers, cql):
    server = cassandra_servers.get("mutual", tls="mutual")
    files = {what: str(server.dir / f"tls-{name}") for what, name in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))}
    c = cql(server.url(ssl="verify-full", **files))
    c("schema", text="CREATE KEYSPACE IF NOT EXISTS m WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    c("schema", text=f"CREATE TABLE IF NOT EXISTS m.t {T}")
    assert c("load", text=insert("m"), n=2000, size=5000)["acked"] == 2000  # much of it in one turn: TLS has bytes of its own
    assert len(c("select", text="SELECT id, v FROM m.t", page_size=500)["rows"]) == 2000
    refused(lambda: cql(server.url(ssl="verify-full", ca=files["ca"]), connect_ms=5000), "retry", "MFNET")


# ---- protocol ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"compression": "none"}, {"protocol": 4}, {"protocol": 4, "compression": "none"}, {"connections": 1, "in_flight": 7}],
                         ids=["v5-lz4", "v5", "v4-lz4", "v4", "seven-streams"])
def test_every_way_of_speaking(keyspace, cql, options):
    server, name = keyspace()
    c = cql(server.url(name, **options))
    facts = c.facts()
    assert facts["protocol"] == options.get("protocol", 5) and facts["compressed"] == (options.get("compression") != "none")
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    done = c("load", text=insert(name), n=20000, in_flight=3000, size=300)
    assert (done["acked"], done["failed"]) == (20000, 0)
    rows = {r[0]: r[1] for r in server.cql(f"SELECT id, v FROM {name}.t")}
    assert len(rows) == 20000 and all(v.startswith(f"v{k}") and len(v) == 300 for k, v in rows.items())
    got = c("select", text=f"SELECT id, v FROM {name}.t", page_size=700)
    assert {int(k): v for k, v in got["rows"]} == rows and got["pages"] >= 20000 // 700
    if "in_flight" not in options:
        raw = 20000 * 300
        assert (c.stats()["bytes_out"] < raw) == facts["compressed"]


def test_version_five_is_refused(keyspace, cql):
    server, name = keyspace()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(16)

        def serve(one: socket.socket):
            head = one.recv(9, socket.MSG_PEEK | socket.MSG_WAITALL)
            if head and head[0] == 5:  # as a Cassandra 3.11 says it
                text = b"Invalid or unsupported protocol version (5); the lowest supported version is 3 and the greatest is 4"
                body = struct.pack(">iH", 0x0A, len(text)) + text
                one.sendall(struct.pack(">BBhBi", 0x84, 0, 0, 0, len(body)) + body)
                one.close()
                return
            other = socket.create_connection(("127.0.0.1", server.port))
            threading.Thread(target=pump, args=(other, one), daemon=True).start()
            pump(one, other)

        def accept():
            while True:
                try:
                    one, _ = s.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(one,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        c = cql(f"cassandra://127.0.0.1:{s.getsockname()[1]}/{name}")
        assert c.facts()["protocol"] == 4
        c("schema", text=f"CREATE TABLE {name}.t {T}")
        assert c("load", text=insert(name), n=500)["acked"] == 500
        s.shutdown(socket.SHUT_RDWR)


# ---- statements ----------------------------------------------------------------------------------------------------

def test_prepared_once_and_again_when_the_table_changed(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    first = c("prepare", text=insert(name))
    assert first["params"] == [["id", "int"], ["v", "text"]] and first["key"] == [0]
    assert c("prepare", text=insert(name))["same"] == first["same"]
    c.execute(insert(name), "1", "one")
    assert c.execute(f"SELECT * FROM {name}.t WHERE id = ?", "1")["rows"] == [["1", "one"]]
    server.cql(f"ALTER TABLE {name}.t ADD w int")
    c.execute(insert(name), "2", "two")
    assert c.execute(f"SELECT * FROM {name}.t WHERE id = ?", "2")["rows"] == [["2", "two", None]]
    assert c.stats()["unprepared"] > 0
    done = c("load", text=insert(name), n=3000, batch_size=10)
    assert done["acked"] == 3000


def test_a_table_made_anew_is_not_written_by_the_old_statement(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    text = f"SELECT id FROM {name}.t WHERE id = ?"
    c.execute(text, "1")
    # Through our own session, whose answers come in order: both are done when the second has returned.
    c("schema", text=f"DROP TABLE {name}.t")
    c("schema", text=f"CREATE TABLE {name}.t (id bigint PRIMARY KEY, v int)")
    refused(lambda: c.execute(text, "1"), "fatal", "MFSHAPE", "another now")
    assert c.execute(text, "1")["rows"] == []  # the next one is prepared for the new table


def test_batches_with_a_timestamp_for_each_row(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    text = insert(name, " USING TIMESTAMP ?")
    c("execute", text=text, batch=[["1", "new", "2000"], ["1", "old", "1000"], ["2", "x", "5"], ["3", None, "6"], ["4", {}, "7"]])
    rows = {r[0]: (r[1], r[2]) for r in server.cql(f"SELECT id, v, writetime(v) FROM {name}.t")}
    assert rows == {1: ("new", 2000), 2: ("x", 5), 3: (None, None), 4: (None, None)}
    done = c("load", text=text, n=10000, batch_size=50, first=10)
    assert done["acked"] == 10000
    assert dict(server.cql(f"SELECT id, writetime(v) FROM {name}.t WHERE id IN (10, 4711)")) == {10: 1000010, 4711: 1004711}


def test_errors_say_what_may_be_done(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t (id text PRIMARY KEY, v text)")
    refused(lambda: c.query("SELEC"), "fatal", "0x2000", "SELEC")
    refused(lambda: c.query(f"SELECT * FROM {name}.nothing"), "fatal", "0x2200", "nothing")
    refused(lambda: c("prepare", text=f"SELECT x FROM {name}.t"), "fatal", "0x2200")
    refused(lambda: c.execute(insert(name), "", "a key must not be empty"), "row", "0x2200", "empty")
    refused(lambda: c.execute(insert(name), "k" * 70000, "x"), "row", "0x2200", "65535")
    refused(lambda: c("execute", text=insert(name), batch=[["a", "x"], ["", "y"]]), "row", "0x2200")
    assert c.query(f"SELECT id FROM {name}.t") == []


def test_conditional_statements(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    once = insert(name, " IF NOT EXISTS")
    assert c.execute(once, "1", "a")["rows"] == [["true"]]
    assert c.execute(once, "1", "b")["rows"] == [["false", "1", "a"]]


def test_large_rows(own_cassandra, cql):
    server = own_cassandra(heap="1G")
    name = server.create_keyspace("large")
    c = cql(server.url(name, request_timeout="55s"))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    for i, size in enumerate((100_000, 131_071, 131_072, 1 << 20, 8 << 20, 15 << 20)):
        done = c("load", text=insert(name), first=i, n=1, size=size)
        assert done["acked"] == 1, done["error"]
        (k, v), = c("select", text=f"SELECT id, v FROM {name}.t WHERE id = {i}")["rows"]
        assert len(v) == size and v.startswith(f"v{i}")
        assert server.cql(f"SELECT v FROM {name}.t WHERE id = {i}")[0][0] == v
    assert len(c("select", text=f"SELECT id, v FROM {name}.t", page_size=1)["rows"]) == 6
    # Larger than the server takes: said, and the connection's other requests are not its fault.
    done = c("load", text=insert(name), first=100, n=1, size=17 << 20)
    assert done["failed"] == 1 and done["error"]["code"] == "0x2200" and "maximum" in done["error"]["text"], done
    assert c("load", text=insert(name), first=200, n=100)["acked"] == 100


# ---- many callers, trouble -----------------------------------------------------------------------------------------

def test_callers_on_many_threads(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    assert c("callers", text=insert(name), threads=8, n=200)["good"] == 1600
    assert len(server.cql(f"SELECT id FROM {name}.t")) == 1600


def test_closing_with_requests_on_their_way(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    done = c("close_with", text="SELECT * FROM system_schema.columns", n=400)
    assert done["closed"] + done["good"] == 200 and done["closed"] > 0


def test_a_network_that_is_dead_is_an_error_in_time(keyspace, cql):
    server, name = keyspace()
    with Wire(server.port) as wire:
        c = cql(f"cassandra://127.0.0.1:{wire.port}/{name}?connect_timeout=2s&request_timeout=8s")
        c.query("SELECT key FROM system.local")
        wire.mute()
        began = time.monotonic()
        refused(lambda: c.query("SELECT key FROM system.local"), "retry", "MFTIME", "not said anything")
        assert time.monotonic() - began < BOUND
        wait_for(lambda: c.facts()["nodes_up"] == 0, BOUND, "the idle connection to be seen as dead, too")
        began = time.monotonic()
        c("hurry", within_ms=300)
        refused(lambda: c.query("SELECT key FROM system.local"), "retry", "MFTIME")
        c("hurry", within_ms=0)
        assert time.monotonic() - began < 8
        wire.up()
        wait_for(lambda: c.facts()["nodes_up"] == 1, BOUND, "the node to be up again")
        assert c.query("SELECT key FROM system.local") == [["local"]]


def test_connections_that_are_cut_lose_nothing(keyspace, cql, tmp_path):
    server, name = keyspace()
    server.cql(f"CREATE TABLE {name}.t {T}")
    with Wire(server.port) as wire:
        c = cql(f"cassandra://127.0.0.1:{wire.port}/{name}")
        with Load(c, tmp_path, insert(name), in_flight=300) as load:
            for n in range(5):
                before = load.acked()
                wait_for(lambda: load.acked() > before + 200, BOUND, "the load to go on")
                wire.cut()
        r = load.result
        assert r["failed"] == 0 and r["acked"] == r["sent"] and r["retries"] > 0, r
        assert c.stats()["connections_lost"] >= 5
    assert len(server.cql(f"SELECT id FROM {name}.t")) == r["acked"]


def test_what_may_have_been_done_is_not_done_twice_unless_it_may_be(keyspace, cql, tmp_path):
    server, name = keyspace()
    server.cql(f"CREATE TABLE {name}.t {T}")
    with Wire(server.port) as wire:
        c = cql(f"cassandra://127.0.0.1:{wire.port}/{name}")
        with Load(c, tmp_path, insert(name), in_flight=300, not_idempotent=True) as load:
            wait_for(lambda: load.acked() > 500, BOUND, "the load")
            wire.mute()  # what is written from here on is under way when the wire is cut
            wait_for(lambda: wire.kept(), BOUND, "a request that the wire keeps")
            wire.cut()
            wire.up()
            wait_for(lambda: c_failed(load), BOUND, "the load to go on")
        r = load.result
    assert r["failed"] > 0 and r["error"]["code"] == "MFNET", r
    there = {row[0] for row in server.cql(f"SELECT id FROM {name}.t")}
    assert set(range(r["sent"])) - set(r["lost"]) <= there


def c_failed(load: Load) -> bool:
    """The load has gone on behind the cut."""
    if not hasattr(load, "mark"):
        load.mark = load.acked()
    return load.acked() > load.mark + 500


def test_a_server_that_restarts_in_the_middle(own_cassandra, cql, tmp_path):
    server = own_cassandra(durable=True)
    name = server.create_keyspace("again")
    c = cql(server.url(name, request_timeout="300s", connect_timeout="60s"))
    c("schema", text=f"CREATE TABLE {name}.t {T}")
    with Load(c, tmp_path, insert(name), in_flight=200) as load:
        wait_for(lambda: load.acked() > 500, BOUND, "the load")
        server.nodes[0].kill()
        server.start()
        before = load.acked()
        wait_for(lambda: load.acked() > before + 500, 120, "the load to go on")
    r = load.result
    there = {row[0] for row in server.cql(f"SELECT id FROM {name}.t")}
    assert set(range(r["sent"])) - set(r["lost"]) <= there and r["acked"] > 1000


def test_events_of_the_schema_are_heard(keyspace, cql):
    server, name = keyspace()
    c = cql(server.url(name))
    ring, heard = c.facts()["ring"], c.stats()["events_schema"]
    server.cql(f"CREATE KEYSPACE {name}_x WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    wait_for(lambda: c.stats()["events_schema"] > heard and c.facts()["ring"] > ring, BOUND, "the event")
    assert c("replicas", keyspace=f"{name}_x", token=0)["replicas"] == [n["id"] for n in c.nodes().values()]
    server.cql(f"DROP KEYSPACE {name}_x")
    wait_for(lambda: c("replicas", keyspace=f"{name}_x", token=0)["replicas"] == [], BOUND, "the keyspace to be forgotten")
