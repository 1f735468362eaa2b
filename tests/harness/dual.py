"""Dual writes, whatever the source is: what is begun and waited for, sessions that commit row after row, and what must hold of every engine.

A pair's source has a table t with an id of its own making and a v; test_pg_dual.py and test_my_dual.py have what is peculiar to theirs."""
from __future__ import annotations

import json
import random
import threading
import time

import MySQLdb
import psycopg

from .servers import wait_for

DUAL = {"dual_writes": "on", "on_sick_target": "degrade after 2s", "copy": {"max_load": 0}, "heartbeat": "1s"}


def state(status: dict) -> str:
    return status["dual_writes"]["state"]


def wait_on(m, timeout: float = 90) -> None:
    m.wait(lambda s: state(s) == "on", timeout, "dual writes on")


def begin(migration, pair, **config):
    m = migration(*pair, config={**DUAL, **config})
    m.start()
    m.wait_phase("synced")
    wait_on(m)
    wait_for(lambda: changes(m)[-1:] == ["on"], 60, "the log to say so")
    return m


def lines(m) -> list[dict]:
    return [json.loads(line) for line in m.log_text().rpartition("\n")[0].splitlines() if line.startswith("{")]


def changes(m) -> list[str]:
    """The states that the log tells of, in order."""
    return [line["message"].split(":")[0] for line in lines(m) if line["area"] == "dual-writes"]


def ids(database) -> set[int]:
    return {row[0] for row in database.rows("SELECT id FROM t")}


class _Writer:
    """One session that commits row after row, until it is told to stop or fails. `answered` are the ids whose COMMIT was answered."""

    def __init__(self, database, patience: float):
        self.database, self.patience, self.answered, self.stopping, self.error = database, patience, [], threading.Event(), None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(self.patience)
        assert not self.thread.is_alive()


class PgWriter(_Writer):
    """What was answered with a warning was not waited for, and does not count."""

    def __init__(self, database, level: str = "on"):
        super().__init__(database, 120)
        self.level = level

    def _run(self) -> None:
        try:
            with self.database.connect() as connection:
                connection.execute(f"SET synchronous_commit = {self.level}")
                warned = []
                connection.add_notice_handler(warned.append)
                while not self.stopping.is_set():
                    number = connection.execute("INSERT INTO t (v) VALUES ('w') RETURNING id").fetchone()[0]
                    if not warned:
                        self.answered.append(number)
                    warned.clear()
        except psycopg.Error as error:
            self.error = error


class MyWriter(_Writer):
    def __init__(self, database):
        super().__init__(database, 180)

    def _run(self) -> None:
        try:
            connection = self.database.connect()
            cursor = connection.cursor()
            while not self.stopping.is_set():
                cursor.execute("INSERT INTO t (v) VALUES ('w')")
                self.answered.append(cursor.lastrowid)
        except MySQLdb.Error as error:
            self.error = error


# ---- what holds of every source ----

def killed_in_either_order(m, source, target, writer, restarted=lambda: None) -> None:
    """The ledger: every commit answered while status said on is in the target when midflight and the source are killed, whichever goes first."""
    rng = random.Random(6)
    for round_ in range(4):
        wait_on(m)
        writers = [writer(source) for _ in range(3)]
        for w in writers:
            w.thread.start()
        wait_for(lambda: sum(len(w.answered) for w in writers) > 100 + rng.randrange(100), 60, "commits")
        assert state(m.status()) == "on"
        if round_ % 2:
            source.server.kill()
            m.kill()
        else:
            m.kill()
            time.sleep(rng.uniform(0, 0.05))  # the moment is what is random
            source.server.kill()
        for w in writers:
            w.thread.join(w.patience)
        answered = {i for w in writers for i in w.answered}
        lost = answered - ids(target)
        assert len(answered) > 100 and not lost, f"round {round_}: answered, and not in the target: {sorted(lost)}"
        source.server.start()
        restarted()
        m.start()
        m.wait_phase("synced")


def held_while_the_target_is_stopped(m, source, target, writer) -> None:
    """on_sick_target: wait."""
    target.server.pause()
    try:
        with writer(source) as w:
            m.wait(lambda s: s["dual_writes"]["waiting_seconds"] > 3, 60, "a commit that waits")
            before = len(w.answered)
            assert state(m.status()) == "on"  # nothing was answered that the target lacks
            assert "a commit has waited" in m.call("status").out
            assert m.metrics()["midflight_commit_wait_seconds"] > 3
            assert source.value("SELECT MAX(id) FROM t") <= max(w.answered, default=1), "a row is seen whose commit was not answered"
            assert len(w.answered) == before
            target.server.resume()
            wait_for(lambda: len(w.answered) > before + 20, 60, "commits again")
        assert "degraded" not in changes(m)[changes(m).index("on"):]
    finally:
        target.server.resume()


def let_go_by_a_stop(m, source, target, writer) -> None:
    """SIGTERM while commits wait for a target that stands still; the run has ended then."""
    target.server.pause()
    try:
        with writer(source) as w:
            m.wait(lambda s: s["dual_writes"]["waiting_seconds"] > 1.5, 60, "a commit that waits")
            before = len(w.answered)
            m.process.terminate()
            wait_for(lambda: len(w.answered) > before + 20, 60, "commits without midflight")
    finally:
        target.server.resume()
    assert m.wait_exit() == 0


def degraded_and_back(m, source, target) -> None:
    """on_sick_target: degrade after 5s."""
    told = len(changes(m))
    target.server.pause()
    try:
        begun = time.monotonic()
        source.execute("INSERT INTO t (v) VALUES ('sick')")
        took = time.monotonic() - begun
        status = m.status()
        assert 4.9 < took < 60 and state(status) == "degraded" and "target" in status["dual_writes"]["why"]
        begun = time.monotonic()
        source.execute("INSERT INTO t (v) VALUES ('sick too')")
        assert time.monotonic() - begun < 4.5, "a commit waits although they are let go"
        assert "dual writes degraded" in m.call("status").out
    finally:
        target.server.resume()
    wait_on(m)
    assert {"sick", "sick too"} <= {row[0] for row in target.rows("SELECT v FROM t")}
    wait_for(lambda: changes(m)[told:][-1:] == ["on"], 60, "the changes in the log")
    told = changes(m)[told:]
    assert told[0] == "degraded" and told.count("degraded") == 1 and told.count("on") == 1, told
    assert m.metrics()["midflight_dual_writes_degraded_total"] >= 1
