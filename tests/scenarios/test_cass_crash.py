"""kill -9 of midflight at each of the Cassandra connector's fault points and at random, and of the only node, under load: in the end the keyspace has what
every acknowledged commit of the source made, once. The node writes its commit log before it answers: else it may lose what it said it had."""
import random

import pytest

from harness.cassrun import LEDGER, SMALL, Trouble, arrived, begin, judge, pause, writes_more
from harness.loads import Endpoint, Ledger
from harness.midflight import fault_points, unhurried
from harness.servers import wait_for

BULK = {"bulk": (["id", "v", "n"], ["id"])}
# Where each point of the connector is met: at the start, while rows are copied, while changes stream, with a cutover, at the end.
STARTING = ["book", "instance", "running", "schema_entry"]
COPYING = ["load_rows", "load_commit", "load_committed"]
STREAMING = ["window_begin", "window_rows", "window_commit", "window_committed"]
REFUSING = ["quarantine"]
MOVING = ["decide", "decided"]
CLEANING = ["cleanup"]


def bulk(source, rows: int = 4000) -> None:
    source.execute(f"CREATE TABLE bulk (id int PRIMARY KEY, v text, n int); INSERT INTO bulk SELECT i, md5(i::text), nullif(i % 3, 0) FROM generate_series(1, {rows}) i")


def made(source, tmp_path, clients: int = 2, rate: float = 60) -> Ledger:
    ledger = Ledger(Endpoint(tmp_path / "address", source.url()), clients=clients, rate=rate)
    with source.connect() as connection:
        ledger.create(connection)
    bulk(source)
    return ledger


def test_killed_at_each_fault_point(source, into_own, migration, tmp_path):
    """One migration from end to end, killed at every point on its way, and at later hits of those where changes stream."""
    ours = {p.removeprefix("cassandra.") for p in fault_points() if p.startswith("cassandra.")}
    assert sorted(STARTING + COPYING + STREAMING + REFUSING + MOVING + CLEANING) == sorted(ours)
    there = into_own()
    ledger = made(source, tmp_path)
    m = begin(migration, source, there, **SMALL)
    m.configure(cutover={"one_way": True})

    def killed(point: str, hit: int = 1) -> None:
        m.start(fault=f"cassandra.{point}:{hit}=kill")
        assert m.wait_exit(60) == -9, f"cassandra.{point}:{hit}\n{m.tail()}"

    with ledger:
        for point in STARTING + COPYING:
            killed(point)
        killed("load_rows", 5)
        m.start()
        m.wait_phase("synced")
        m.kill()
        for point in STREAMING:
            for hit in (1, 5):
                killed(point, hit)
        m.start()
        m.wait_phase("synced")
        writes_more(ledger)
    judge(source, there, ledger, BULK)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.kill()
    for point in MOVING:
        m.start(fault=f"cassandra.{point}=kill")
        m.wait(lambda s: s.get("streams_open") or not m.running(), 60, "streams", may_exit=True)
        if m.running():  # else it has met the point while it went on with what was decided
            m.call("verify", expect=None)
            m.call("cutover", expect=None)
        assert m.wait_exit() == -9, f"cassandra.{point}\n{m.tail()}"
    m.start()
    m.wait_phase("synced", "cut_over")
    if m.status()["writes"] == "source":
        m.call("verify")
        m.call("cutover")
    m.kill()
    m.start(fault="cassandra.cleanup=kill")
    m.wait_phase("cut_over")
    m.call("complete", expect=None)
    assert m.wait_exit() == -9, m.tail()
    m.start()
    m.call("complete", expect=None)
    m.wait_exit()
    judge(source, there, ledger, BULK)


def test_midflight_is_killed_again_and_again(source, into, migration, tmp_path):
    rng = random.Random(5)
    there = into()
    ledger = made(source, tmp_path)
    m = begin(migration, source, there, **SMALL)
    with ledger:
        for _ in range(5):
            m.start()
            pause(rng.uniform(0.05, 2.5))
            assert m.running(), m.tail()
            m.kill()
        m.start()
        m.wait_phase("synced")
        for _ in range(4):
            pause(rng.uniform(0.05, 1.5))
            m.restart()
        m.wait_phase("synced")
        writes_more(ledger)
    judge(source, there, ledger, BULK)
    assert m.call("verify", "--json").json["rows_differing"] == 0


@pytest.mark.parametrize("how", ["killed", "paused", pytest.param("restarted", marks=pytest.mark.soak)])
def test_the_node_fails_again_and_again(source, into_own, migration, tmp_path, how):
    """While rows are copied, while changes stream, while both sides are compared. Paused for longer than a request may take, too."""
    rng = random.Random(how)
    there = into_own(durable=True)
    node = there.server.nodes[0]
    ledger = made(source, tmp_path)
    m = begin(migration, source, there, url={"request_timeout": "1500ms"}, **SMALL, retry="5m")

    def fail(i: int) -> None:
        pause(rng.uniform(0.3, 1.5))
        if how == "paused":
            node.pause()
            pause(4 if i % 2 else 0.5)
            node.resume()
        elif how == "killed":
            node.kill()
            node.start()
        else:
            node.restart()

    with ledger:
        m.start()
        with Trouble(fail) as trouble:
            trouble.times(2)
        m.wait_phase_again("synced")
        with Trouble(fail) as trouble:
            trouble.times(2)
            m.call("verify", "--json", expect=None)
        m.wait_phase_again("synced")
        writes_more(ledger)
    judge(source, there, ledger, BULK)
    wait_for(lambda: m.call("verify", "--json", expect=None).exit == 0, 90, "a verification that says equal", interval=1)
