"""GET /v1/fence: what was committed before the call is on the other side when it answers; in either direction, with and without dual writes, between any two engines."""
import json
import os
import threading
import time
from contextlib import closing

import pytest

from harness.midflight import FAILED
from harness.servers import wait_for

PAIRS = pytest.mark.parametrize("kinds", [("postgres", "postgres"), ("postgres", "8.0"), ("8.0", "postgres"), ("mariadb", "8.0")], ids=lambda k: "to".join(k))


@pytest.fixture
def sides(kinds, database, mysql_database):
    name = None if "postgres" in kinds else f"fence{os.getpid()}"  # between MySQL servers databases keep their names
    return tuple(database(role) if kind == "postgres" else mysql_database(role, kind, name=name) for role, kind in zip(("source", "target"), kinds))


def fence(m, timeout: str = "30s") -> tuple[int, dict]:
    status, text = m.http(f"/v1/fence?timeout={timeout}")
    return status, json.loads(text)


def begin(migration, sides, **config):
    source, target = sides
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(40))")
    m = migration(source, target, config={"copy": {"max_load": 0}, "heartbeat": "60s", **config})
    m.start()
    m.wait_phase("synced")
    wait_for(lambda: fence(m)[0] == 200, 60, "the first fence")
    return m


def holds(m, origin, replica, first: int, sessions: int = 4, each: int = 25) -> None:
    """Every session commits, calls, and looks; nothing else writes."""
    wrong: list = []
    looks: list = []

    def session(base: int) -> None:
        with closing(origin.connect()) as here, closing(replica.connect()) as there:
            writes, reads = here.cursor(), there.cursor()
            for n in range(base, base + each):
                writes.execute(f"INSERT INTO t VALUES ({n}, 'x')")
                here.commit()
                status, answer = fence(m)
                reads.execute(f"SELECT count(*) FROM t WHERE id = {n}")
                if status != 200 or reads.fetchone()[0] != 1:
                    wrong.append((n, status, answer))
                there.commit()
                looks.append(n)

    threads = [threading.Thread(target=session, args=(first + i * each,)) for i in range(sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert not wrong and len(looks) == sessions * each, wrong[:3]


@PAIRS
def test_what_was_committed_before_is_there(sides, migration):
    source, target = sides
    m = begin(migration, sides)
    status, answer = fence(m)
    assert status == 200 and answer["direction"] == "forward" and answer["position"] and answer["refused"] == 0
    holds(m, source, target, 1)
    m.call("verify")
    m.call("cutover")
    wait_for(lambda: fence(m)[1].get("direction") == "reverse", 60, "the other direction")
    holds(m, target, source, 1001)
    assert json.loads(m.call("fence", "--json").out)["direction"] == "reverse"
    assert "everything" in m.call("fence", "--timeout", "30s").out


@pytest.mark.parametrize("kinds", [("postgres", "postgres")], ids=["postgres"])
def test_not_in_time_and_not_running(sides, migration):
    source, target = sides
    m = begin(migration, sides)
    target.server.pause()
    try:
        source.execute("INSERT INTO t VALUES (1, 'late')")
        begun = time.monotonic()
        status, answer = fence(m, "300ms")
        assert status == 504 and answer["error"]["code"] == "MFFENCE" and time.monotonic() - begun > 0.29
        waiting: list = []
        late = threading.Thread(target=lambda: waiting.append(fence(m, "60s")))
        late.start()
    finally:
        target.server.resume()
    late.join(90)
    assert waiting and waiting[0][0] == 200 and target.value("SELECT count(*) FROM t WHERE id = 1") == 1
    assert fence(m, "forever")[0] == 400
    m.stop()
    assert "no migration runs" in m.call("fence", expect=FAILED).err


@pytest.mark.parametrize("kinds", [("postgres", "postgres")], ids=["postgres"])
def test_before_both_sides_are_in_step(sides, migration):
    source, target = sides
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with source.connect(autocommit=False) as open_one:  # the slot waits for it
        open_one.execute("SELECT txid_current()")
        m = migration(source, target)
        m.start()
        wait_for(lambda: (m.state_dir / "api.sock").exists(), 60, "the API")
        status, answer = fence(m, "1s")
        assert status == 503 and answer["error"]["code"] == "MFNOSTREAM", answer
        open_one.rollback()
    m.wait_phase("synced")
    assert fence(m)[0] == 200
