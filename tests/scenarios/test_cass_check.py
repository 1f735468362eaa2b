"""What `check` says about an Apache Cassandra as a target. Each remedy that is a statement is run, and takes its finding away."""
import re

import pytest

from harness.cassandra import APP

NOTE, WARNING, BLOCKER = 0, 1, 2
# Of one node for tests: one copy, and a commit log that is written later.
USUAL = {"replication-factor", "commitlog-sync"}


class Keyspace:
    def __init__(self, server, name: str, **url):
        self.server, self.name, self.options = server, name, url

    def url(self) -> str:
        return self.server.url(self.name, **self.options)

    def cql(self, text: str, **options):
        return self.server.cql(text.replace("KS", self.name), **options)

    def paste(self, remedy: str) -> None:
        self.server.cql(re.sub(r"--.*", "", remedy).strip().rstrip(";"))


@pytest.fixture
def into(keyspace):
    return lambda **named: Keyspace(*keyspace(**named))


def of(found, code):
    return {o: f for (c, o), f in found.items() if c == code}


def codes(found, severity=WARNING):
    return {c for (c, _), f in found.items() if f["severity"] >= severity} - USUAL


def test_a_good_target_has_nothing_to_say(database, into, check_target):
    source, target = database("source"), into()
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    found = check_target(source, target)
    assert codes(found) == set()
    assert "add nodes" in of(found, "replication-factor")[target.name]["remedy"]  # it has all the copies that there can be
    assert set(of(found, "replication-factor")) == {target.name} and len(of(found, "commitlog-sync")) == 1


def test_what_is_there_already(database, into, check_target):
    source, target = database("source"), into()
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE empty (id int PRIMARY KEY)")
    target.cql("CREATE TABLE KS.t (id int PRIMARY KEY, v text) WITH default_time_to_live = 60 AND gc_grace_seconds = 0")
    target.cql("CREATE INDEX by_v ON KS.t (v)")
    target.cql("CREATE TABLE KS.empty (id int PRIMARY KEY)")
    target.cql("CREATE TABLE KS.other (id int PRIMARY KEY)")
    target.cql("INSERT INTO KS.t (id) VALUES (1)")
    found = check_target(source, target)
    name = f"table {target.name}.t"
    assert {c for c, o in found if o == name} == {"target-rows", "target-index", "target-ttl", "target-gc-grace"}
    assert found["target-table", f"table {target.name}.empty"]["severity"] == NOTE
    assert "1 other tables" in found["target-other-tables", target.name]["reason"]
    assert {c for c, o in found if found[c, o]["severity"] == BLOCKER} == {"target-rows", "target-ttl", "target-gc-grace"}
    for code in ("target-rows", "target-index", "target-ttl", "target-gc-grace"):
        target.paste(found[code, name]["remedy"])
    assert codes(check_target(source, target)) == set()


def test_what_the_source_has_and_cannot_be_here(database, into, check_target):
    source, target = database("source"), into()
    source.execute('CREATE TABLE bare (a int); CREATE TABLE "order-lines" (id int PRIMARY KEY); CREATE TABLE this_name_is_longer_than_cassandras_forty_eight_chars '
                   "(id int PRIMARY KEY); CREATE TABLE good (a int, b int, PRIMARY KEY (a, b))")
    found = check_target(source, target)
    blocked = {(c, o.split(".")[-1]) for c, o in found if found[c, o]["severity"] == BLOCKER}
    assert blocked == {("keyless", "bare"), ("conversion-name", "order-lines"), ("conversion-name", "this_name_is_longer_than_cassandras_forty_eight_chars")}
    assert found["partition-key", f"table {target.name}.good"]["severity"] == NOTE


def test_how_keyspaces_are_replicated(database, own_cassandra, check_target):
    source = database("source")
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    server = own_cassandra(datacenters=["east", "west"])
    server.wait_up()  # a node that knows of one data centre finds nothing wrong with a strategy for one

    def found(how, more="", **url):
        server.cql("DROP KEYSPACE IF EXISTS k")
        server.cql(f"CREATE KEYSPACE k WITH replication = {{{how}}} {more}")
        return check_target(source, Keyspace(server, "k", local_dc="east", **url))

    simple = found("'class': 'SimpleStrategy', 'replication_factor': 3", consistency="QUORUM")
    assert {"simple-strategy", "replication-factor"} <= {c for c, _ in simple} and "unavailable" not in {c for c, _ in simple}
    # Two of three would have to be in one data centre, which has one node.
    assert ("unavailable", "k") in check_target(source, Keyspace(server, "k", local_dc="east"))
    west = found("'class': 'NetworkTopologyStrategy', 'west': 1")
    assert west["local-dc", "k"]["severity"] == BLOCKER
    server.cql("ALTER KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 1, 'west': 1}")
    assert codes(check_target(source, Keyspace(server, "k", local_dc="east"))) == set()
    lost = found("'class': 'NetworkTopologyStrategy', 'east': 1, 'west': 1", "AND durable_writes = false")
    assert lost["durable-writes", "k"]["severity"] == BLOCKER
    server.cql(lost["durable-writes", "k"]["remedy"])
    assert not of(check_target(source, Keyspace(server, "k", local_dc="east")), "durable-writes")
    server.nodes[1].kill()
    server.wait_down(server.nodes[1])
    down = check_target(source, Keyspace(server, "k", local_dc="east", consistency="QUORUM"))
    assert down["unavailable", "k"]["severity"] == BLOCKER and set(of(down, "node-down")) == {"127.0.0.2"}
    assert "unavailable" not in {c for c, _ in check_target(source, Keyspace(server, "k", local_dc="east"))}


def test_rights(database, own_cassandra, check_target):
    source = database("source")
    source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE there (id int PRIMARY KEY)")
    server = own_cassandra(auth=True)
    server.create_keyspace("k")
    server.cql("CREATE TABLE k.there (id int PRIMARY KEY)")
    target = Keyspace(server, "k")
    assert not of(check_target(source, target), "rights")  # who may do everything
    url = server.url("k", user=APP)
    for tries in range(10):
        found = check_target(source, url)
        missing = [f for (c, _), f in found.items() if c == "rights"]
        if not missing:
            break
        assert all(f["severity"] == BLOCKER for f in missing)
        for f in missing:
            target.paste(f["remedy"])
    assert not missing
    assert tries >= 1
    listed = {(r.resource, r.permission) for r in server.cql("LIST ALL PERMISSIONS OF app")}
    assert ("<all keyspaces>", "CREATE") in listed and {("<table k.there>", p) for p in ("SELECT", "MODIFY", "ALTER")} <= listed


def test_what_a_commit_that_waits_is_worth(database, into, own_cassandra, check_target):
    source, target = database("source"), into()
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    lost = check_target(source, target, durable=True)["commitlog-sync", target.name]
    assert lost["severity"] == BLOCKER and "LOCAL_QUORUM" in lost["reason"]
    durable = own_cassandra(durable=True)
    found = check_target(source, Keyspace(durable, durable.create_keyspace("k")), durable=True)
    assert codes(found) == {"one-copy"} and codes(found, BLOCKER) == set()


def test_guardrails_on_timestamps(database, own_cassandra, check_target):
    source = database("source")
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    server = own_cassandra(settings={"user_timestamps_enabled": False, "minimum_timestamp_fail_threshold": "1h"})
    target = Keyspace(server, server.create_keyspace("k"))
    found = check_target(source, target)
    assert codes(found, BLOCKER) == {"user-timestamps"} and "1h" in [*of(found, "timestamp-threshold").values()][0]["reason"]

