"""A ring of three with three copies of each row, asked at LOCAL_QUORUM: with one node gone everything goes on; with all gone it waits, for as long as
`retry` says, and goes on where it was."""
import random

import pytest

from harness.cassrun import SMALL, begin, judge, pause, writes_more
from harness.loads import Endpoint, Ledger
from harness.servers import wait_for
from test_cass_crash import BULK, made

FAST = {"url": {"request_timeout": "10s", "connect_timeout": "2s"}}


def load(source, tmp_path) -> Ledger:
    return made(source, tmp_path, clients=2, rate=40)


def test_one_of_three_is_killed_and_one_is_replaced(source, into_own, migration, tmp_path):
    """Killed in mid-copy and left away, back while changes stream; another is lost with all it had, and a new one takes its place."""
    rng = random.Random(3)
    there = into_own(nodes=3, heap="384M", durable=True)
    one, two, three = there.server.nodes
    ledger = load(source, tmp_path)
    m = begin(migration, source, there, **FAST, **SMALL)
    with ledger:
        m.start()
        m.wait(lambda s: s.get("step") not in (None, "", "prepare"), 60, "the schema or the copy")
        pause(rng.uniform(0, 0.5))
        two.kill()
        m.wait_phase("synced")
        assert m.starts == 1 and m.running()
        writes_more(ledger)
        wait_for(lambda: m.status()["stream"]["lag_seconds"] < 5, 60, "the stream to be up to date with a node away")
        two.start()
        writes_more(ledger)
        # What one and three took while two was away is on two of three, as a quorum is; the hints for it are lost with whoever keeps them. Who takes a node
        # away before they are handed over loses one of the two, and its successor may be filled from the one that never had it.
        there.server.wait_up()
        two.nodetool("repair", "--full", there.name)
        three.replace()
        writes_more(ledger)
        three.pause()  # its sockets stay open: longer than a request may take
        pause(12)
        writes_more(ledger)
        three.resume()
        writes_more(ledger)
    there.server.wait_up()
    judge(source, there, ledger, BULK)
    assert m.starts == 1 and m.running()
    assert m.call("verify", "--json").json["rows_differing"] == 0
    # And by each node as the only one to be killed: what two others have is what is there.
    one.kill()
    judge(source, there, ledger, BULK)


@pytest.mark.soak
def test_a_truncate_goes_on_with_a_node_away(source, into_own, migration):
    there = into_own(nodes=3, heap="384M")
    source.execute("CREATE TABLE t (a int, b int, v text, PRIMARY KEY (a, b)); INSERT INTO t SELECT i / 10, i, 'x' FROM generate_series(1, 500) i")
    m = begin(migration, source, there, **FAST, **SMALL)
    m.start()
    m.wait_phase("synced")
    there.server.nodes[2].kill()
    there.server.wait_down(there.server.nodes[2])
    source.execute("BEGIN; INSERT INTO t VALUES (900, 1, 'before'); TRUNCATE t; INSERT INTO t VALUES (1, 1, 'after'); COMMIT")
    wait_for(lambda: [tuple(r) for r in there.rows(f"SELECT a, b, v FROM {there.name}.t")] == [(1, 1, "after")], 60, "the truncate")
    there.server.nodes[2].start()
    there.server.wait_up()
    assert m.call("verify", "--json").json["rows_differing"] == 0
    there.server.nodes[0].kill()  # what came back has it, too
    assert there.rows(f"SELECT a, b, v FROM {there.name}.t") == [(1, 1, "after")]


def test_every_node_is_down(source, into_own, migration, tmp_path):
    """Shorter than `retry`: it goes on by itself. Longer: the run ends, says why, and can be started again."""
    there = into_own(durable=True)
    node = there.server.nodes[0]
    ledger = load(source, tmp_path)
    m = begin(migration, source, there, **FAST, **SMALL, retry="60s")
    with ledger:
        m.start()
        m.wait_phase("synced")
        node.kill()
        writes_more(ledger, 60)
        assert m.running() and m.status()["phase"] == "synced"
        node.start()
        wait_for(lambda: m.running() and m.status()["stream"]["lag_seconds"] < 3, 90, "the stream to come back")
        assert m.starts == 1
        m.stop()
        m.configure(retry="5s")
        m.start()
        m.wait_phase("synced")
        node.kill()
        assert m.wait_exit(120) == 1
        assert "again" in m.log_text() or "retry" in m.log_text()
        m.start()  # against nobody
        assert m.wait_exit(120) == 1
        assert "127.0.0.1" in m.log_text()
        node.start()
        m.start()
        m.wait(lambda s: s["phase"] == "synced" and s.get("streams_open"), 120, "the run to go on")
        writes_more(ledger)
    judge(source, there, ledger, BULK)
    assert m.call("verify", "--json").json["rows_differing"] == 0
