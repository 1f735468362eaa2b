"""Loads whose outcome is known: what an application would notice if the migration lost, doubled or bent a write.

Bank     N accounts and clients that move money between them. In every snapshot the total is the same, and each
         client's transfers are a prefix of what it did: a torn or reordered transaction breaks one or the other.
Ledger   every acknowledged write is remembered by the client that made it. In the end each is found exactly once.
         Follows an Endpoint that changes while it runs (cutover, rollback) and resolves unknown outcomes by looking.
Pgbench  Debian's pgbench.

PostgreSQL and MySQL: what differs is in dialects.py. Clients are threads: the drivers leave the interpreter's lock while
the server works, so that a thousand writes a second cost about a third of a core.
"""
from __future__ import annotations

import collections
import os
import random
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .dialects import MYSQL_READ_ONLY, READ_ONLY, dialect_of, values

__all__ = ["READ_ONLY", "Bank", "Client", "Endpoint", "Ledger", "Pgbench", "Problems", "Stats", "Watch", "waits_of"]


@contextmanager
def waits_of(action):
    """Calls action over and over in a thread while the body runs: how long each call took. It must not have failed by the end of the body."""
    waits, over = [], threading.Event()

    def use():
        while not over.is_set():
            begun = time.monotonic()
            action()
            waits.append(time.monotonic() - begun)

    using = threading.Thread(target=use)
    using.start()
    try:
        yield waits
        assert using.is_alive()
    finally:
        over.set()
        using.join(60)


class Endpoint:
    """The address the application uses. Kept in a file, so that a cutover hook can switch it: the hook writes the
    new URL to a temporary name and renames it over the file."""

    def __init__(self, path: Path, url: str):
        self.path = Path(path)
        self.set(url)

    def set(self, url: str) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(url)
        os.replace(temporary, self.path)

    def get(self) -> str:
        return self.path.read_text().strip()

    def switch_script(self, url: str) -> str:
        """Shell lines for a hook that switches to that URL."""
        return f"cat > '{self.path}.new' <<'URL'\n{url}\nURL\nmv '{self.path}.new' '{self.path}'\n"


@dataclass
class Problems:
    """What a check found; true when anything is wrong."""
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    extra: list = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong or self.extra)

    def __str__(self) -> str:
        parts = [f"{len(v)} {k}: {v[:5]}" for k, v in vars(self).items() if v]
        return "; ".join(parts) or "nothing wrong"


class _Load:
    """Threads that run until stop(); the first unexpected exception is kept and raised by stop()."""

    def __init__(self):
        self.stopping = threading.Event()
        self.threads: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def _spawn(self, function, *arguments) -> None:
        def body():
            try:
                function(*arguments)
            except BaseException as error:  # told by stop(), in the thread that asked for the load
                self.failure = self.failure or error
        thread = threading.Thread(target=body, daemon=True)
        self.threads.append(thread)
        thread.start()

    def stop(self, timeout: float = 90.0) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(f"{type(self).__name__}: a client did not end in {timeout:.0f} s")
        self.threads.clear()
        if self.failure:
            raise self.failure

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except BaseException:
            if kind is None:
                raise


class _Pace:
    """Spreads calls evenly over time; no catching up after a stall."""

    def __init__(self, per_second: float | None):
        self.gap = 1.0 / per_second if per_second else 0.0
        self.next = time.monotonic()

    def wait(self, stopping: threading.Event) -> None:
        if not self.gap:
            return
        now = time.monotonic()
        self.next = max(self.next + self.gap, now - self.gap)
        if self.next > now:
            stopping.wait(self.next - now)


class Client:
    """A connection of an application that survives: reconnects to the endpoint of the moment, tells the outcome of
    each statement as one of `done`, `failed` (certainly not committed) and `unknown`."""

    def __init__(self, endpoint: Endpoint, stats: "Stats", stopping: threading.Event):
        self.endpoint, self.stats, self.stopping = endpoint, stats, stopping
        self.dialect = dialect_of(endpoint.get())
        self.connection = None
        self.url: str | None = None
        self.session = None

    def close(self) -> None:
        if self.connection is not None:
            try:
                self.connection.close()
            except self.dialect.Error:
                pass
        self.connection = None

    def connect(self) -> bool:
        """One attempt; False when the server cannot be reached now."""
        self.close()
        self.url = self.endpoint.get()
        try:
            self.connection = self.dialect.connect(self.url, "ledger")
            self.session = self.dialect.session(self.connection)
            return True
        except self.dialect.Error as error:
            self.stats.error("connect", str(error))
            self.connection = None
            return False

    def moved(self) -> bool:
        return self.url is not None and self.endpoint.get() != self.url

    def fetch(self, sql: str, parameters=None):
        """('done', rows) | ('failed', code) | ('unknown', code)"""
        def ask():
            with self.connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall()
        return self._run(ask)

    def write(self, statements: list[str], parameters=None):
        """One transaction: ('done', rows changed by the last statement) | ('failed', code) | ('unknown', code)"""
        return self._run(lambda: self.dialect.write(self.connection, statements, parameters))

    def _run(self, function):
        if self.connection is None and not self.connect():
            return "failed", "connect"
        try:
            return "done", function()
        except self.dialect.Error as error:
            state = self.dialect.code(error)
            self.stats.error(state or "lost", str(error))
            if self.dialect.lost(self.connection, error):
                self.close()
                # an error the server sent before the commit is certain, but a session that was ended may have been
                # ended after it: only looking tells
                return "unknown", state
            return "failed", state


class Stats:
    """Counts shared by a load's clients; one lock for all of it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = 0
        self.errors: collections.Counter = collections.Counter()
        self.messages: dict[str, str] = {}
        self.unknown = 0
        self.longest_pause = 0.0
        self.longest_pause_at = 0.0
        self.pauses: list[tuple[float, float]] = []  # (when it ended, seconds) of those above 50 ms

    def error(self, state: str, message: str) -> None:
        with self.lock:
            self.errors[state] += 1
            self.messages.setdefault(state, message.strip())

    def acknowledge(self, pause: float) -> None:
        with self.lock:
            self.acknowledged += 1
            if pause > 0.05:
                self.pauses.append((time.monotonic(), pause))
            if pause > self.longest_pause:
                self.longest_pause, self.longest_pause_at = pause, time.monotonic()

    def reset_pause(self) -> None:
        with self.lock:
            self.longest_pause = 0.0

    def unexpected(self) -> dict[str, int]:
        """Errors other than the fence's own answer (read-only), which a migration without a proxy must give."""
        return {state: count for state, count in self.errors.items() if state not in (READ_ONLY, MYSQL_READ_ONLY)}


class Ledger(_Load):
    """Writers who remember. Each client owns its rows, so that the expected state does not depend on scheduling.

    Tables: `ledger` (the rows), `ledger_event` (one line a write, in the same transaction). `ledger_event` has no key
    that could hide a doubled write: `keyless` leaves it without any, else its key is an identity column.
    """

    def __init__(self, endpoint: Endpoint, clients: int = 4, rate: float | None = 200, schema: str | None = None, keyless: bool = False, seed: int = 1):
        super().__init__()
        self.endpoint, self.clients, self.rate, self.seed, self.keyless = endpoint, clients, rate, seed, keyless
        self.dialect = dialect_of(endpoint.get())
        self.rows = self.dialect.table(schema, "ledger")
        self.events = self.dialect.table(schema, "ledger_event")
        self.stats = Stats()
        self.expected: list[dict[int, tuple[int, str]]] = [{} for _ in range(clients)]
        self.acknowledged: list[set[int]] = [set() for _ in range(clients)]
        self.open: dict[int, int] = {}  # client → number of a write whose outcome was not known when it stopped
        self.next: list[int] = [1] * clients
        self.paused = threading.Event()
        self.idle = [False] * clients

    def create(self, connection) -> None:
        key = "" if self.keyless else self.dialect.event_key
        for statement in (
                f"CREATE TABLE {self.rows} (id bigint PRIMARY KEY, client int NOT NULL, version int NOT NULL, value text)",
                f"CREATE INDEX ledger_client ON {self.rows} (client)",
                f"CREATE TABLE {self.events} ({key}client int NOT NULL, number int NOT NULL, operation text NOT NULL, id bigint NOT NULL)",
                f"CREATE INDEX ledger_event_client ON {self.events} (client, number)"):
            connection.cursor().execute(statement)

    def start(self) -> "Ledger":
        self.stopping.clear()
        for client in range(self.clients):
            self._spawn(self._client, client)
        return self

    def pause(self) -> None:
        """Holds the writers between two writes until unpause()."""
        self.paused.set()
        end = time.monotonic() + 60
        while not all(self.idle):
            if self.failure:
                raise self.failure
            if time.monotonic() > end:
                raise TimeoutError("the ledger's writers did not pause in 60 s")
            time.sleep(0.005)

    def unpause(self) -> None:
        self.paused.clear()

    def _statement(self, rng: random.Random, client: int, number: int) -> tuple[list[str], dict, int, tuple | None]:
        """The next write: its statements, parameters, row id, the row after it (None when deleted)."""
        mine = self.expected[client]
        kind = rng.random()
        row = rng.choice(list(mine)) if mine and len(mine) < 64 else (rng.choice(self._sample(rng, mine)) if mine else None)
        if row is None or (kind < 0.4 and len(mine) < 2000):
            row = number * 1000 + client
            after = (1, f"c{client} n{number} " + "é✓x" * rng.randint(0, 20))
            change = f"INSERT INTO {self.rows} VALUES (%(id)s, %(client)s, %(version)s, %(value)s)"
            operation = "insert"
        elif kind < 0.85:
            after = (mine[row][0] + 1, f"c{client} n{number} u")
            change = f"UPDATE {self.rows} SET version = version + 1, value = %(value)s WHERE id = %(id)s"
            operation = "update"
        else:
            after = None
            change = f"DELETE FROM {self.rows} WHERE id = %(id)s"
            operation = "delete"
        event = f"INSERT INTO {self.events} (client, number, operation, id) VALUES (%(client)s, %(number)s, %(operation)s, %(id)s)"
        parameters = {"id": row, "client": client, "number": number, "operation": operation,
                      "version": after[0] if after else 0, "value": after[1] if after else None}
        return [event, change], parameters, row, after

    @staticmethod
    def _sample(rng: random.Random, mine: dict) -> list[int]:
        # the youngest rows are hot, an old one now and then: no list of all keys for each write
        keys = []
        for index, key in enumerate(reversed(mine)):
            keys.append(key)
            if index >= 32:
                break
        keys.append(next(iter(mine)))
        return keys

    def _client(self, number_of_client: int) -> None:
        rng = random.Random(self.seed * 1000 + number_of_client)
        client = Client(self.endpoint, self.stats, self.stopping)
        pace = _Pace(self.rate / self.clients if self.rate else None)
        last = None
        while not self.stopping.is_set():
            self.idle[number_of_client] = False  # before the look at `paused`, which is set before anybody looks here
            if self.paused.is_set():
                self.idle[number_of_client] = True
                self.stopping.wait(0.005)
                last = None
                continue
            pace.wait(self.stopping)
            number = self.next[number_of_client]
            statements, parameters, row, after = self._statement(rng, number_of_client, number)
            begun = time.monotonic()
            if not self._until_done(client, number_of_client, number, statements, parameters):
                break
            now = time.monotonic()
            self.stats.acknowledge(now - (begun if last is None else max(begun, last)))
            last = now
            self._remember(number_of_client, number, row, after)
        self.idle[number_of_client] = True
        client.close()

    def _remember(self, client: int, number: int, row: int, after: tuple | None) -> None:
        if after is None:
            self.expected[client].pop(row, None)
        else:
            self.expected[client][row] = after
        self.acknowledged[client].add(number)
        self.next[client] = number + 1

    def _until_done(self, client: Client, who: int, number: int, statements: list[str], parameters: dict) -> bool:
        """Tries until the write is acknowledged or found; False when the load was stopped first."""
        while True:
            before = client.session, client.url
            outcome, detail = client.write(statements, parameters)
            if outcome == "done":
                if detail != 1:
                    raise AssertionError(f"ledger client {who}, write {number}: the row it wrote is gone ({parameters})")
                return True
            if outcome == "unknown":
                with self.stats.lock:
                    self.stats.unknown += 1
                self.open[who] = number
                found = self._look(client, who, number, before)
                if found is None:
                    return False
                del self.open[who]
                if found:
                    return True
            if self.stopping.is_set():
                return False
            if client.moved() or detail == "connect":
                client.close()
            self.stopping.wait(0.01)

    def _look(self, client: Client, who: int, number: int, session: tuple) -> bool | None:
        """Was a write of unknown outcome committed? Looks when the session that sent it is gone. None: stopped."""
        stop_by = None
        while True:
            if self.stopping.is_set():
                stop_by = stop_by or time.monotonic() + 40
                if time.monotonic() > stop_by:
                    return None
            if client.connection is None and not client.connect():
                time.sleep(0.05)
                continue
            if client.url == session[1]:
                outcome, rows = client.fetch(self.dialect.alive, (session[0],))
                if outcome == "done" and rows[0][0]:
                    time.sleep(0.02)
                    continue
            outcome, rows = client.fetch(f"SELECT 1 FROM {self.events} WHERE client = %s AND number = %s", (who, number))
            if outcome == "done":
                return bool(rows)
            time.sleep(0.02)

    def total_acknowledged(self) -> int:
        return sum(map(len, self.acknowledged))

    def check(self, url: str) -> Problems:
        """Compares a database with what the clients remember. The load must be stopped or paused, the database still."""
        problems = Problems()
        connection = self.dialect.connect(url, "check")
        try:
            cursor = connection.cursor()
            cursor.execute(self.dialect.begin_snapshot)
            cursor.execute(f"SELECT client, number, count(*) FROM {self.events} GROUP BY 1, 2")
            seen = {(client, number): count for client, number, count in cursor}
            for client in range(self.clients):
                for number in self.acknowledged[client]:
                    if (client, number) not in seen:
                        problems.lost.append(("event", client, number))
            for (client, number), count in seen.items():
                if count > 1:
                    problems.doubled.append(("event", client, number, count))
                if number not in self.acknowledged[client] and self.open.get(client) != number:
                    problems.extra.append(("event", client, number))
            cursor.execute(f"SELECT id, client, version, value FROM {self.rows}")
            found: dict[int, tuple] = {}
            for row, client, version, value in cursor:
                if row in found:
                    problems.doubled.append(("row", row))
                found[row] = (client, version, value)
            uncertain = {(client, number) for client, number in self.open.items()}
            for client, mine in enumerate(self.expected):
                for row, (version, value) in mine.items():
                    got = found.pop(row, None)
                    if got is None:
                        if not any(c == client for c, _ in uncertain):
                            problems.lost.append(("row", row, version))
                    elif got != (client, version, value) and not any(c == client for c, _ in uncertain):
                        problems.wrong.append(("row", row, got, (client, version, value)))
            problems.extra += [("row", row, got) for row, got in found.items() if got[0] not in self.open]
        finally:
            connection.close()
        return problems


class Bank(_Load):
    """Money moves, the total does not. `check_snapshot` holds for every snapshot of a database that is an atomic
    prefix; `history` also lets each account be recomputed."""

    def __init__(self, url: str | Endpoint, accounts: int = 100, clients: int = 4, rate: float | None = 200, schema: str | None = None, seed: int = 1):
        super().__init__()
        self.url, self.accounts, self.clients, self.rate, self.seed = url, accounts, clients, rate, seed
        self.dialect = dialect_of(self._address())
        self.table = self.dialect.table(schema, "bank")
        self.history = self.dialect.table(schema, "bank_history")
        self.total = accounts * 1000
        self.transfers = 0
        self.snapshots = 0
        self.broken: list[str] = []
        self.stats = Stats()

    def create(self, connection) -> None:
        for statement in (
                f"CREATE TABLE {self.table} (id int PRIMARY KEY, balance numeric NOT NULL, note text)",
                f"CREATE TABLE {self.history} (client int, number int, payer int NOT NULL, payee int NOT NULL, amount numeric NOT NULL, PRIMARY KEY (client, number))",
                f"INSERT INTO {self.table} VALUES {values((i, 1000, 'x' * (i % 50)) for i in range(1, self.accounts + 1))}"):
            connection.cursor().execute(statement)

    def start(self) -> "Bank":
        self.stopping.clear()
        for client in range(self.clients):
            self._spawn(self._client, client)
        return self

    def _address(self) -> str:
        return self.url.get() if isinstance(self.url, Endpoint) else self.url

    def _client(self, who: int) -> None:
        rng = random.Random(self.seed * 1000 + who)
        pace = _Pace(self.rate / self.clients if self.rate else None)
        connection = None
        number = None
        while not self.stopping.is_set():
            pace.wait(self.stopping)
            try:
                if connection is None:
                    connection = self.dialect.connect(self._address(), "bank")
                    number = None
                if number is None:  # also after an unknown outcome: what is in the table is what counts
                    cursor = connection.cursor()
                    cursor.execute(f"SELECT coalesce(max(number), 0) FROM {self.history} WHERE client = %s", (who,))
                    number = cursor.fetchone()[0]
                payer, payee = rng.sample(range(1, self.accounts + 1), 2)
                amount = rng.randint(1, 50)
                first, second = (payer, -amount), (payee, amount)
                if first > second:  # one order for all: no deadlocks
                    first, second = second, first
                note = f", note = {self.dialect.random_text}" if rng.random() < 0.2 else ""
                self.dialect.write_plain(connection, [
                    f"UPDATE {self.table} SET balance = balance + %s{note} WHERE id = %s",
                    f"UPDATE {self.table} SET balance = balance + %s WHERE id = %s",
                    f"INSERT INTO {self.history} VALUES (%s, %s, %s, %s, %s)"],
                    (first[1], first[0], second[1], second[0], who, number + 1, payer, payee, amount))
                number += 1
                with self.stats.lock:
                    self.transfers += 1
            except self.dialect.Error as error:
                self.stats.error(self.dialect.code(error) or "lost", str(error))
                try:
                    connection and connection.close()
                except self.dialect.Error:
                    pass
                connection = None
                self.stopping.wait(0.05)
        if connection is not None:
            connection.close()

    def check_snapshot(self, connection, full: bool = False) -> str | None:
        """What is broken in one snapshot; None when nothing is. The connection must be in no transaction."""
        cursor = connection.cursor()
        cursor.execute(self.dialect.begin_snapshot)
        try:
            cursor.execute(f"SELECT count(*), sum(balance) FROM {self.table}")
            count, total = cursor.fetchone()
            if count != self.accounts or total != self.total:
                return f"the bank has {count} accounts with {total}, not {self.accounts} with {self.total}"
            cursor.execute(f"SELECT client, count(*), max(number), min(number) FROM {self.history} GROUP BY 1")
            for client, transfers, last, first in cursor.fetchall():
                if transfers != last or first != 1:
                    return f"client {client} has {transfers} transfers numbered {first} to {last}: not a prefix"
            if full:
                cursor.execute(f"""
                    SELECT id, balance, 1000 + coalesce(d, 0) FROM {self.table} LEFT JOIN (
                        SELECT account, sum(a) d FROM (SELECT payer account, -amount a FROM {self.history} UNION ALL SELECT payee, amount FROM {self.history}) m GROUP BY 1) s
                    ON account = id WHERE balance <> 1000 + coalesce(d, 0)""")
                wrong = cursor.fetchall()
                if wrong:
                    return f"{len(wrong)} balances are not what their transfers say: {wrong[:5]}"
        finally:
            cursor.execute("ROLLBACK")
        return None

    def watch(self, url: str, every: float = 0.02) -> "Watch":
        """A thread that opens one snapshot after another on that database until it is stopped."""
        return Watch(self, url, every)


class Watch(_Load):
    """Checks a Bank's snapshots for as long as it runs; stop() fails when one was broken."""

    def __init__(self, bank: Bank, url: str, every: float):
        super().__init__()
        self.bank, self.url, self.every = bank, url, every
        self.snapshots = 0
        self.broken: list[str] = []

    def start(self) -> "Watch":
        self._spawn(self._look)
        return self

    def _look(self) -> None:
        connection = None
        while not self.stopping.is_set():
            try:
                if connection is None:
                    connection = self.bank.dialect.connect(self.url, "watch")
                broken = self.bank.check_snapshot(connection, full=self.snapshots % 10 == 0)
                self.snapshots += 1
                if broken:
                    self.broken.append(broken)
            except self.bank.dialect.Error as error:
                if connection is not None and not self.bank.dialect.lost(connection, error):
                    raise
                try:  # the server was killed on purpose: look again when it is back
                    connection and connection.close()
                except self.bank.dialect.Error:
                    pass
                connection = None
            self.stopping.wait(self.every)
        if connection is not None:
            connection.close()

    def stop(self, timeout: float = 90.0) -> None:
        super().stop(timeout)
        assert not self.broken, f"{len(self.broken)} of {self.snapshots} snapshots were broken: {self.broken[:3]}"


class Pgbench:
    """Debian's pgbench against one database."""

    program = "/usr/lib/postgresql/15/bin/pgbench"

    def __init__(self, url: str):
        self.url = url
        self.process: subprocess.Popen | None = None

    def initialize(self, scale: int, foreign_keys: bool = False) -> None:
        subprocess.run([self.program, "-i", "-q", "-s", str(scale), *(["--foreign-keys"] if foreign_keys else []), self.url],
                       check=True, capture_output=True, text=True)

    def start(self, seconds: int, clients: int = 2, jobs: int = 1, rate: float | None = None, script: str | None = None,
              builtin: str = "tpcb-like", more: tuple = ()) -> "Pgbench":
        source = ["-b", builtin] if script is None else ["-f", script]
        self.process = subprocess.Popen(
            [self.program, "-n", "-T", str(seconds), "-c", str(clients), "-j", str(jobs), *source,
             *(["-R", str(rate)] if rate else []), *more, self.url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        return self

    def wait(self, expect_success: bool = True) -> dict:
        out, err = self.process.communicate()
        if expect_success and self.process.returncode != 0:
            raise AssertionError(f"pgbench failed:\n{out}{err}")
        def number(pattern):
            found = re.search(pattern, out)
            return float(found.group(1)) if found else None
        return {"tps": number(r"tps = ([\d.]+)"), "transactions": number(r"actually processed: (\d+)"),
                "latency_ms": number(r"latency average = ([\d.]+)"), "text": out + err}

    def run(self, *arguments, **named) -> dict:
        return self.start(*arguments, **named).wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate()
