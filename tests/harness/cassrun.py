"""A migration into a Cassandra: the keyspace it goes to, what the loads' tables must be in the end, and nodes that fail meanwhile."""
from __future__ import annotations

import threading
import time

from harness.cassandra import driver
from harness.casscompare import compare_table
from harness.loads import Ledger, Problems
from harness.servers import wait_for

SMALL = {"copy": {"jobs": 2, "chunk_bytes": "64kB", "max_load": 0}, "spool": {"segment": "1MB"}, "heartbeat": "1s"}
LEDGER = {"ledger": (["id", "client", "version", "value"], ["id"]), "ledger_event": (["event_id", "client", "number", "operation", "id"], ["event_id"])}


class Into:
    """A keyspace as what Midflight takes for a target. The session is the Python driver's; it goes on when nodes come back."""

    def __init__(self, server, name: str):
        self.server, self.name = server, name
        driver()
        from cassandra import ConsistencyLevel
        from cassandra.cluster import EXEC_PROFILE_DEFAULT
        from cassandra.policies import ConstantReconnectionPolicy
        self.session = server.connect(reconnection_policy=ConstantReconnectionPolicy(0.5, max_attempts=None)).connect()
        self.session.get_execution_profile(EXEC_PROFILE_DEFAULT).consistency_level = ConsistencyLevel.QUORUM

    def url(self, **options) -> str:
        return self.server.url(self.name, **options)

    def rows(self, statement: str, parameters=None) -> list[tuple]:
        """Also while nodes come and go: asked again until it is answered."""
        return [tuple(r) for r in wait_for(lambda: self._asked(statement, parameters), 90, f"an answer to {statement}")[0]]

    def _asked(self, statement: str, parameters):
        try:
            return [list(self.session.execute(statement, parameters, timeout=60))]
        except Exception as error:  # the driver has many for nodes that are gone, and no common one
            if "Invalid" in type(error).__name__ or "Syntax" in type(error).__name__:
                raise
            return None

    def value(self, statement: str, parameters=None):
        return self.rows(statement, parameters)[0][0]

    def execute(self, statement: str, parameters=None) -> None:
        self.rows(statement, parameters)


def begin(migration, source, there: Into, *, url: dict | None = None, **config):
    """The cluster is shared by tests, and so is its keyspace midflight: each migration has a name of its own."""
    return migration(source, there.url(**(url or {})), config={"migration": there.name[-30:], **config})


def differences(source, there: Into, tables: dict) -> str:
    """Of the tables, columns and keys; "" when there are none. source: anything with connect() of a DB-API."""
    with source.connect() as connection:
        found = {name: compare_table(connection, there.session, there.name, name, *what) for name, what in tables.items()}
    return "; ".join(f"{name}: {verdict}" for name, verdict in found.items() if not verdict.equal)


def arrived(source, there: Into, tables: dict, timeout: float = 90) -> None:
    """The source is still: waits until the keyspace has what it has."""
    last = [""]

    def look():
        try:
            last[0] = differences(source, there, tables)
        except Exception as error:  # the driver's, of nodes that have only just come back
            if type(error).__module__.split(".")[0] != "cassandra":
                raise
            last[0] = str(error)
        return not last[0]
    try:
        wait_for(look, timeout, "the changes", interval=0.3)
    except TimeoutError:
        raise AssertionError(last[0]) from None


def ledger_problems(ledger: Ledger, there: Into) -> Problems:
    """The judge: what the ledger's clients remember against what the keyspace has. The load is stopped, the stream has passed."""
    problems = Problems()
    seen: dict = {}
    for client, number in there.rows(f"SELECT client, number FROM {there.name}.ledger_event"):
        seen[client, number] = seen.get((client, number), 0) + 1
    problems.lost += [("event", c, n) for c in range(ledger.clients) for n in ledger.acknowledged[c] if (c, n) not in seen]
    problems.doubled += [("event", key, count) for key, count in seen.items() if count > 1]
    problems.extra += [("event", c, n) for c, n in seen if n not in ledger.acknowledged[c] and ledger.open.get(c) != n]
    found = {row: (client, version, value) for row, client, version, value in there.rows(f"SELECT id, client, version, value FROM {there.name}.ledger")}
    for client, mine in enumerate(ledger.expected):
        if client in ledger.open:
            continue
        for row, (version, value) in mine.items():
            got = found.pop(row, None)
            if got is None:
                problems.lost.append(("row", row, version))
            elif got != (client, version, value):
                problems.wrong.append(("row", row, got, (client, version, value)))
    problems.extra += [("row", row, got) for row, got in found.items() if got[0] not in ledger.open]
    return problems


def judge(source, there: Into, ledger: Ledger, more: dict | None = None) -> None:
    arrived(source, there, {**LEDGER, **(more or {})})
    problems = ledger_problems(ledger, there)
    assert not problems, str(problems)


class Trouble:
    """Does `action(i)` over and over while the body runs, with a pause between; ends with what it does finished."""

    def __init__(self, action, pause: float = 0.5):
        self.action, self.pause, self.done, self.over, self.error = action, pause, 0, threading.Event(), None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self.over.is_set():
                self.action(self.done)
                self.done += 1
                self.over.wait(self.pause)
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(300)
        if self.error and kind is None:
            raise self.error

    def times(self, n: int, timeout: float = 240) -> None:
        wait_for(lambda: self.done >= n or self.error, timeout, f"{n} times trouble")
        if self.error:
            raise self.error


def writes_more(ledger: Ledger, n: int = 30, timeout: float = 90) -> None:
    before = ledger.stats.acknowledged
    wait_for(lambda: ledger.failure or ledger.stats.acknowledged >= before + n, timeout, f"{n} more writes")


def pause(seconds: float) -> None:
    """Not a wait for something: the moment is what is random."""
    time.sleep(seconds)
