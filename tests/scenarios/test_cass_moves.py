"""Writes move from PostgreSQL (and MySQL) to a real Apache Cassandra and come back: an application follows the writes flag, passes bring back what it wrote, and
what it was told is written is there, whoever dies."""
import json
import random
import threading
from contextlib import closing
import time

import pytest

from harness.servers import wait_for

CREATE = "CREATE TABLE account (id bigint PRIMARY KEY, owner int NOT NULL, version int NOT NULL, note {text})"
COLUMNS = ["id", "owner", "version", "note"]
FAST = {"reverse": {"pause": "200ms", "max_pause": "2m"}, "cutover": {"max_pause": "20s", "flag_delay": "500ms"}, "heartbeat": "1s"}


class Into:
    """A keyspace as what Midflight takes for a target."""

    def __init__(self, server, name: str):
        self.server, self.name = server, name
        self.session = server.connect().connect()

    def url(self, **options) -> str:
        return self.server.url(self.name, **options)


@pytest.fixture
def into(keyspace):
    def make(**named) -> Into:
        return Into(*keyspace(**named))

    return make


class Stale(Exception):
    pass


class Application:
    """Writes one row after the other to the side that the flag names, and keeps an answer for no longer than it may. What it was told is written it remembers;
    of a write that failed it does not know, and both outcomes are right."""

    KEEP = 0.2  # seconds; cutover.flag_delay allows more

    def __init__(self, m, source, there, placeholder="%s", seed: int = 1):
        self.m, self.source, self.there, self.rng = m, source, there, random.Random(seed)
        self.side, self.asked = None, 0.0
        self.rows: dict[int, tuple[int, int, str | None]] = {}
        self.open: dict[int, tuple | None] = {}  # id -> the row as it may also be
        self.writes = {"source": 0, "target": 0}
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self.connection = None
        name = f"{there.name}.account"
        self.put = there.session.prepare(f"INSERT INTO {name} (id, owner, version, note) VALUES (?, ?, ?, ?)")
        self.remove = there.session.prepare(f"DELETE FROM {name} WHERE id = ?")
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Application":
        self.thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.connection:
            self.connection.close()
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._write()
                time.sleep(0.002)
        except BaseException as error:
            self.failure = error

    def _flag(self) -> str | None:
        """The side, or None: nobody knows, or nobody may."""
        asked = time.monotonic()
        if self.side and asked - self.asked < self.KEEP:
            return self.side
        self.side = None
        try:
            status, text = self.m.http("/ofrep/v1/evaluate/flags/midflight.writes", "POST", {"context": {"targetingKey": "one"}}, timeout=10)
        except OSError:
            return None
        if status == 200:
            self.side, self.asked = json.loads(text)["value"], asked
        return self.side

    def _row(self) -> tuple[int, tuple | None]:
        kind = self.rng.random()
        known = [k for k in self.rows if k not in self.open]
        if known and kind < 0.2:
            return self.rng.choice(known), None
        if known and kind < 0.6:
            key = self.rng.choice(known)
            return key, (self.rows[key][0], self.rows[key][1] + 1, self.rng.choice([None, "é✓ " * self.rng.randint(1, 9)]))
        key = 1_000_000 + self.writes["source"] + self.writes["target"] + len(self.open)
        return key, (self.rng.randint(1, 9), 1, f"row {key}")

    def _write(self) -> None:
        side = self._flag()
        if side is None:
            time.sleep(0.02)
            return
        key, row = self._row()
        try:
            (self._to_target if side == "target" else self._to_source)(key, row)
        except Stale:
            self.side = None  # refused by the gate, for certain: nothing was written
            return
        except Exception:
            self.open[key] = row
            self.side = None
            return
        self.writes[side] += 1
        if row is None:
            del self.rows[key]
        else:
            self.rows[key] = row

    def _to_target(self, key: int, row) -> None:
        if row is None:
            self.there.session.execute(self.remove, (key,))
        else:
            self.there.session.execute(self.put, (key, *row))

    def _to_source(self, key: int, row) -> None:
        self.connection = self.connection or self.source.connect()
        try:
            with closing(self.connection.cursor()) as cursor:
                if row is None:
                    cursor.execute("DELETE FROM account WHERE id = %s", (key,))
                elif key in self.rows:
                    cursor.execute("UPDATE account SET owner = %s, version = %s, note = %s WHERE id = %s", (*row, key))
                else:
                    cursor.execute("INSERT INTO account (id, owner, version, note) VALUES (%s, %s, %s, %s)", (key, *row))
            self.connection.commit()
        except Exception as error:
            gate = "midflight" in str(error)
            try:
                self.connection.rollback()
            except Exception:
                pass
            self.connection.close()
            self.connection = None
            raise (Stale() if gate else error) from error

    def check(self, rows: dict[int, tuple]) -> None:
        """Every acknowledged write is there, as it was written last, and no other row of the application's."""
        for key, row in self.rows.items():
            assert key in self.open or rows.get(key) == row, f"row {key}: {rows.get(key)} instead of {row}"
        for key, row in self.open.items():
            assert rows.get(key) in (row, self.rows.get(key)), f"row {key}: {rows.get(key)}"
        surplus = [k for k in rows if k >= 1_000_000 and k not in self.rows and k not in self.open]
        assert not surplus, f"rows that are nobody's: {surplus[:5]}"


def rows_of_source(source) -> dict[int, tuple]:
    with closing(source.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT id, owner, version, note FROM account")
        return {r[0]: tuple(r[1:]) for r in cursor.fetchall()}


def rows_of_target(there) -> dict[int, tuple]:
    return {r.id: (r.owner, r.version, r.note) for r in there.session.execute(f"SELECT * FROM {there.name}.account", timeout=60)}


def equal(source, there) -> bool:
    return rows_of_source(source) == rows_of_target(there)


def begin(migration, source, there, text="text", rows=2000, **config):
    source.execute(CREATE.format(text=text))
    with closing(source.connect()) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.executemany("INSERT INTO account (id, owner, version, note) VALUES (%s, %s, 1, %s)", [(i, i % 7, f"note {i}") for i in range(1, rows + 1)])
        connection.commit()
    m = migration(source, there, config={"migration": there.name[-30:], **FAST, **config})
    m.start()
    m.wait_phase("synced")
    return m


def passes(m) -> int:
    return (m.status().get("passes") or {}).get("whole", 0)


def one_more_pass(m) -> None:
    """Waits for a pass that began after this call."""
    now = passes(m)
    m.wait(lambda s: ((s.get("passes") or {}).get("whole", 0) >= now + 2), what="two whole passes")


def written(app, side: str, more: int = 100) -> None:
    at = app.writes[side]
    wait_for(lambda: app.failure or app.writes[side] >= at + more, 60, f"writes to the {side}")


def test_writes_move_and_come_back(source, migration, into):
    there = into()
    m = begin(migration, source, there)
    m.call("verify")
    app = Application(m, source, there).start()
    written(app, "source")
    m.call("cutover")
    assert m.status()["writes"] == "target"
    written(app, "target", 300)
    one_more_pass(m)
    status = m.status()
    assert status["passes"]["rows_carried"] > 0 and status["passes"]["trouble"] is None, status["passes"]
    assert status["stream"]["lag_seconds"] < 60
    m.call("rollback")
    assert m.status()["writes"] == "source"
    written(app, "source", 300)
    m.call("verify")
    m.call("cutover")
    written(app, "target", 200)
    app.stop()
    wait_for(lambda: equal(source, there), 60, "what was written last")
    app.check(rows_of_target(there))
    app.check(rows_of_source(source))
    m.call("rollback")
    app.check(rows_of_source(source))
    m.call("verify")


def alive(m) -> None:
    m.restart()
    m.wait(lambda s: s.get("streams_open"), what="the streams of a new run")


def died(m, command: str) -> None:
    """The command whose run is killed."""
    m.call(command, expect=None)
    m.wait_exit()


@pytest.mark.parametrize("points", [["passes.begin:2", "passes.whole:1", "verify.repair:1", "verify.check:1"]])
def test_killed_in_a_pass(source, migration, into, points):
    there = into()
    m = begin(migration, source, there)
    m.call("verify")
    m.call("cutover")
    app = Application(m, source, there).start()
    for point in points:
        m.stop()
        m.start(fault=f"{point}=kill")
        m.wait_exit()
        alive(m)
        assert m.status()["writes"] == "target"
        written(app, "target", 30)
    one_more_pass(m)
    m.call("rollback")
    app.stop()
    app.check(rows_of_source(source))
    m.call("verify")


STEPS = ["guards", "gates", "rehearse", "hold", "fence", "drain", "pass", "sequences", "triggers", "decide", "open", "done"]


OFTEN = ["gates", "hold", "drain", "pass", "decide", "open"]


@pytest.mark.parametrize("steps", [OFTEN, pytest.param([s for s in STEPS if s not in OFTEN], marks=pytest.mark.soak)])
def test_killed_in_a_rollback(source, migration, into, steps):
    there = into()
    m = begin(migration, source, there, rows=300)
    m.call("verify")
    app = Application(m, source, there).start()
    for step in steps:
        written(app, "source", 30)
        m.call("verify")
        m.call("cutover")
        written(app, "target", 100)
        m.stop()
        m.start(fault=f"cutover.{step}:1=kill")
        m.wait(lambda s: s.get("streams_open"), what="the streams of a new run")
        died(m, "rollback")
        alive(m)
        on_source = m.status()["writes"] == "source"
        assert on_source == (step in ("open", "done")), step
        if not on_source:
            written(app, "target", 30)
            m.call("rollback")
        written(app, "source", 30)
    app.stop()
    app.check(rows_of_source(source))
    wait_for(lambda: equal(source, there), 60, "the last changes")
    m.call("verify")


def test_a_row_that_the_source_refuses_does_not_stop_the_others(source, migration, into):
    there = into()
    m = begin(migration, source, there, rows=50)
    source.execute("ALTER TABLE account ADD CONSTRAINT odd CHECK (owner <> 66); CREATE UNIQUE INDEX one_note ON account (note)")
    m.call("verify")
    m.call("cutover")
    run, name = there.session.execute, f"{there.name}.account"
    run(f"INSERT INTO {name} (id, owner, version, note) VALUES (901, 66, 1, 'refused')")
    run(f"INSERT INTO {name} (id, owner, version, note) VALUES (902, 1, 1, 'good')")
    # two exchange what is unique on the source, and one takes what another has given up
    run(f"UPDATE {name} SET note = 'note 2' WHERE id = 1")
    run(f"UPDATE {name} SET note = 'note 1' WHERE id = 2")
    run(f"UPDATE {name} SET note = 'note 4' WHERE id = 3")
    run(f"DELETE FROM {name} WHERE id = 4")
    one_more_pass(m)
    rows = rows_of_source(source)
    assert rows[902] == (1, 1, "good") and 901 not in rows and 4 not in rows
    assert (rows[1][2], rows[2][2], rows[3][2]) == ("note 2", "note 1", "note 4")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, what="the refused row in quarantine")
    assert m.status()["passes"]["trouble"] is None
    for refused in (m.call("rollback", expect=3), m.call("quarantine", "retry", "all", expect=3)):
        assert "mend the rows on the target, delete them there" in refused.err and "drop" not in refused.err, refused.err
    run(f"UPDATE {name} SET owner = 65 WHERE id = 901")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, what="an empty quarantine")
    m.call("rollback")
    assert rows_of_source(source)[901] == (65, 1, "refused")
    m.call("verify")


def test_a_row_that_is_refused_in_the_rollback_itself_stops_it(source, migration, into):
    """Written after the last pass, so that the guards know nothing of it."""
    there = into()
    m = begin(migration, source, there, rows=50, reverse={**FAST["reverse"], "pause": "1h"})
    source.execute("ALTER TABLE account ADD CONSTRAINT odd CHECK (owner <> 66)")
    m.call("verify")
    m.call("cutover")
    m.wait(lambda s: s["passes"]["whole"] == 1, what="the first pass")
    run, name = there.session.execute, f"{there.name}.account"
    run(f"INSERT INTO {name} (id, owner, version, note) VALUES (901, 66, 1, 'refused')")
    refused = m.call("rollback", expect=3)
    assert "1 rows are in quarantine: the source does not have them" in refused.err, refused.err
    assert m.status()["writes"] == "target"
    run(f"UPDATE {name} SET owner = 65 WHERE id = 901")
    m.call("rollback", expect=3)  # the guards: it is in quarantine until a pass has seen that it is mended
    m.configure(reverse={"pause": "200ms"})
    m.restart()
    # a run that has just begun has not counted yet
    m.wait(lambda s: s["passes"] and s["passes"]["whole"] > 0 and s["quarantine"]["rows"] == 0, what="an empty quarantine")
    m.call("rollback")
    assert rows_of_source(source)[901] == (65, 1, "refused")


def test_frozen_it_is_compared_and_a_rollback_that_takes_too_long_changes_nothing(source, migration, into):
    there = into()
    m = begin(migration, source, there, rows=500)
    m.call("verify")
    m.call("cutover")
    app = Application(m, source, there).start()
    written(app, "target")
    m.call("verify", expect=3)
    m.call("freeze")
    frozen = app.writes["target"]
    one_more_pass(m)
    reply = m.call("verify", "--json").json
    assert reply["rows_differing"] == 0 and reply["rows_compared"] > 0
    assert app.writes["target"] == frozen
    m.call("thaw")
    written(app, "target")
    one_more_pass(m)
    m.call("reads", "90")  # the proof in this direction: the source may serve a share
    reply = m.call("rollback", "--max-pause", "300ms", expect=3)
    assert "pause" in reply.err or "pause" in reply.out
    assert m.status()["writes"] == "target"
    written(app, "target")
    m.call("rollback")
    app.stop()
    app.check(rows_of_source(source))


def test_numbers_go_on_behind_what_came_back(source, migration, into):
    there = into()
    source.execute("CREATE TABLE counted (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, small serial, word text)")
    source.execute("INSERT INTO counted (word) SELECT 'w' FROM generate_series(1, 10)")
    m = begin(migration, source, there, rows=10)
    m.call("verify")
    m.call("cutover")
    there.session.execute(f"INSERT INTO {there.name}.counted (id, small, word) VALUES (5000, 7, 'x')")
    m.call("rollback")
    with closing(source.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("INSERT INTO counted (word) VALUES ('y') RETURNING id, small")
        assert cursor.fetchone() == (5001, 11)


def test_without_a_way_back(source, migration, into):
    there = into()
    m = begin(migration, source, there, rows=10, cutover={**FAST["cutover"], "one_way": True})
    m.call("verify")
    m.call("cutover")
    assert m.status()["passes"] is None
    m.call("rollback", expect=3)


def test_mysql_writes_move_and_come_back(mysql_database, migration, into):
    source, there = mysql_database("source", "8.0"), into()
    m = begin(migration, source, there, text="text CHARACTER SET utf8mb4")
    m.call("verify")
    app = Application(m, source, there).start()
    written(app, "source")
    m.call("cutover")
    written(app, "target", 300)
    one_more_pass(m)
    m.call("rollback")
    written(app, "source", 100)
    app.stop()
    app.check(rows_of_source(source))
    wait_for(lambda: equal(source, there), 60, "what was written last")
    m.call("verify")
