"""PostgreSQL becomes Cassandra in front of your eyes: pgbench's tables and orders with their lines, under load, into one throw-away node.

Beside pgbench and orders works the sample application that asks flags where to read and to write (examples/reads-by-flag): it sees a share of its reads move, then all
of them, then its writes. Then writes come back and move again. Both databases' own drivers judge the rows. Exit status 0 only when every promise held.
"""
from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from demo import Demo, Failed, play, say  # first: the harness's path

from harness.cassandra import Cassandra, driver
from harness.casscompare import compare_rows, rows_of
from harness.compare import catalog_fingerprint, fingerprint_differences
from harness.flagapp import App
from harness.loads import Pgbench
from harness.midflight import Midflight
from harness.servers import PASSWORD, Server, free_port

ROLE = Demo.role
CUSTOMERS = 100
KEYSPACE = "shop"
SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, placed timestamptz NOT NULL, total numeric(12,2) NOT NULL, note text, paid boolean NOT NULL DEFAULT false);
CREATE TABLE lines (order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE, line int NOT NULL, what text NOT NULL, price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE visit (customer int, number int, PRIMARY KEY (customer, number));
ALTER TABLE pgbench_history ADD COLUMN number bigserial PRIMARY KEY
"""
ROWS = """
INSERT INTO orders SELECT i, i % 997, timestamptz '2026-01-01 00:00Z' + i * interval '1 minute 0.123456 s', i * 1.25, nullif('note ' || i % 5, 'note 3'), i % 2 = 0
  FROM generate_series(1, {n}) i;
INSERT INTO lines SELECT i, l, 'thing ' || l, l * 0.99 FROM generate_series(1, {n}) i, generate_series(1, 3) l
"""
TABLES = {"pgbench_accounts": ["aid"], "pgbench_branches": ["bid"], "pgbench_tellers": ["tid"], "pgbench_history": ["number"],
          "orders": ["id"], "lines": ["order_id", "line"], "visit": ["customer", "number"]}


class Orders:
    """Orders come with their lines, are paid, change, and are deleted; each a transaction. stop() says how many were committed."""

    def __init__(self, database, rows: int, rate: float, seed: int):
        self.database, self.rows, self.pause, self.random = database, rows, 1 / rate, random.Random(seed)
        self.stopping, self.failure, self.committed = threading.Event(), None, 0
        self.thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> "Orders":
        self.thread.start()
        return self

    def _once(self, c, number: int) -> None:
        old = self.random.randint(1, self.rows)
        with c.transaction():
            match number % 4:
                case 0:
                    new = self.rows + 1 + number
                    c.execute("INSERT INTO orders VALUES (%s, %s, now(), 0, NULL)", (new, number % 997))
                    for line in range(1, 4):
                        c.execute("INSERT INTO lines VALUES (%s, %s, %s, %s)", (new, line, f"thing {line}", line * 1.1))
                    c.execute("UPDATE orders SET total = (SELECT sum(price) FROM lines WHERE order_id = id) WHERE id = %s", (new,))
                case 1:
                    c.execute("UPDATE orders SET paid = true, note = NULL WHERE id = %s", (old,))
                case 2:
                    c.execute("UPDATE lines SET line = line + 10, price = price * 2 WHERE order_id = %s AND line < 10", (old,))
                case 3:
                    c.execute("DELETE FROM orders WHERE id = %s", (old,))

    def _work(self) -> None:
        try:
            with self.database.connect(user=ROLE) as c:
                number = 0
                while not self.stopping.wait(self.pause):
                    self._once(c, number)
                    number += 1
                    self.committed += 1
        except Exception as error:  # shown by whoever watches
            self.failure = error

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(30)


class CassandraDemo(Demo):
    def prepare(self) -> None:
        a = self.arguments
        settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}
        source = Server(a.source_version, name="demo-source-", fsync=True, settings=settings, directory=self.dir).start()
        self.servers.append(source)
        self.cluster = Cassandra(1, heap="1G", directory=self.dir)
        self.servers.append(self.cluster)
        self.cluster.start()
        self.pids += [source.process.pid, self.cluster.nodes[0].process.pid]
        with source.connect() as c:
            c.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.source = source.create_database("shop", owner=ROLE)
        self.cluster.create_keyspace(KEYSPACE)
        self.target_url = self.cluster.url(KEYSPACE)
        self.session = self.cluster.connect().connect()
        say(f"PostgreSQL {a.source_version} (port {source.port}) and one node of Cassandra (port {self.cluster.port}) are up")
        Pgbench(self.source.url(ROLE)).initialize(a.scale)
        with self.source.connect(user=ROLE) as c:
            c.execute(SCHEMA)
            c.execute(ROWS.format(n=a.orders))
        with self.source.connect() as c:
            self.before = catalog_fingerprint(c)
        say(f"the source holds pgbench at scale {a.scale} ({a.scale * 100_000:,} accounts), {a.orders:,} orders and their lines")

    # -- watching ----------------------------------------------------------------------------------------------------
    def progress(self, status: dict) -> None:
        copy, stream = status.get("copy") or {}, status.get("stream") or {}
        lag = stream.get("lag_seconds") or 0.0
        if status.get("phase") == "synced":
            self.live = self.live or lag < 1.0
            self.worst_lag = max(self.worst_lag, lag) if self.live else self.worst_lag
        rows, total = copy.get("rows_done") or 0, copy.get("rows_total") or 0
        share = f"{100 * rows / total:3.0f} %" if total else "    "
        say(f"{status.get('phase', '?'):<12} rows {rows:>10,} {share}  {copy.get('rows_per_second') or 0:>9,.0f} rows/s  changes {stream.get('changes_per_second') or 0:>6,.0f}/s  "
            f"lag {lag:6.2f} s  writes on {status.get('writes', '?')}, reads of the target {status.get('reads_percent', 0):.0f} %")

    # -- the application that asks flags -----------------------------------------------------------------------------
    def start_load(self) -> None:
        self.one_sided.append(Pgbench(self.source.url(ROLE)).start(600, clients=2, rate=self.arguments.rate))
        self.orders = Orders(self.source, self.arguments.orders, self.arguments.rate / 4, self.arguments.seed).start()
        self.loads.append(self.orders)
        say("the application writes: pgbench, and orders with their lines; no pause from here on")

    def start_app(self) -> None:
        self.app = App(self.port, self.source.url(ROLE), self.target_url, self.dir, self.token, CUSTOMERS, modules=[Path(driver().__file__).parents[1]])
        first = self.app.next_round()
        self.promise(first["reads"].get("target", 0) == 0, f"reads of the target before anybody asked for them: {first['reads']}")
        say(f"an application asks flags: {CUSTOMERS} customers visit and look; reads {first['reads']}, writes {first['writes']}")

    def move_reads(self, percent: int) -> None:
        self.call("reads", str(percent))
        seen = self.app.next_round()
        share = seen["reads"].get("target", 0)
        self.promise(0 < share < 2.5 * percent, f"reads {percent}: {seen['reads']}")
        self.promise(seen["from_target"] == self.app.next_round()["from_target"], f"reads {percent}: other customers from one round to the next")
        say(f"reads {percent}: {share} of {CUSTOMERS} customers read from Cassandra, the same ones each time")

    # -- the play ----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self.prepare()
        self.moves: list[str] = []
        self.port, self.token = free_port(), "a token of the demo's, 0123456789"
        self.midflight = m = Midflight(
            self.source.url().replace(PASSWORD, "${DEMO_PASSWORD}"), self.target_url, self.dir / "migration",
            config={"migration": "demo", "copy": {"jobs": 2, "max_load": 0}, "cutover": {"max_pause": "10s"}, "reverse": {"pause": "2s"}, "on_ddl": "stop",
                    "api": {"listen": f"127.0.0.1:{self.port}", "token": self.token}},
            environment={"DEMO_PASSWORD": PASSWORD})
        self.call("check")
        self.call("plan")
        self.start_load()
        begun = time.monotonic()
        say("$ midflight run &")
        m.start()
        status = self.wait_phase("synced")
        self.fact("rows copied", f"{status['copy']['rows_done']:,}")
        self.fact("rows/s", f"{status['copy']['rows_done'] / (time.monotonic() - begun):,.0f} (schema to synced)")
        self.start_app()
        self.watch_for(3)
        self.verify("while both sides change")
        self.move_reads(20)
        self.watch_for(3)
        self.settle()
        self.move("cutover", "target")
        self.watch_for(3)
        self.move("rollback", "source")
        with closing(self.source.connect()) as c:
            written, there = self.app.lines[-1]["written"], c.execute("SELECT count(*) FROM visit").fetchone()[0]
        self.promise(there >= written, f"after the rollback the source has {there} of {written} visits")
        self.judge({t: key for t, key in TABLES.items() if t not in ("visit", "pgbench_accounts")}, "after the rollback")
        self.verify("after the rollback")
        self.move("cutover", "target")
        self.watch_for(2)
        self.finish()

    def settle(self) -> None:
        """pgbench and the orders know one address only and end here; the application goes through everything."""
        self.orders.stop()
        self.loads.remove(self.orders)
        for load in self.one_sided:
            load.stop()
        if self.orders.failure:
            raise Failed(f"the orders: {self.orders.failure}")
        say(f"pgbench and the orders end ({self.orders.committed:,} transactions of orders); the application that asks flags goes on")
        self.judge({t: key for t, key in TABLES.items() if t != "visit"}, "before the cutover")
        self.verify("right before the cutover")
        self.changes = int((self.midflight.status().get("stream") or {}).get("changes_applied") or 0)

    def move(self, command: str, side: str) -> None:
        self.call(command, timeout=180)
        status = self.midflight.status()
        self.promise(status["writes"] == side, f"after {command} writes are on {status['writes']}")
        moved = self.app.next_round()
        self.promise(moved["writes"] == {side: CUSTOMERS}, f"after {command} the application writes on {moved['writes']}")
        self.promise({s for s, n in moved["reads"].items() if n} == {side}, f"after {command} the application reads on {moved['reads']}")
        self.moves.append(f"{status.get('pause_ms')} ms")
        say(f"{command}: the application reads and writes on the {side}")

    def judge(self, tables: dict, when: str) -> None:
        """By the databases' own drivers, once the stream has brought what is still on its way."""
        end = time.monotonic() + 40
        while True:
            bad, rows = [], 0
            with closing(self.source.connect()) as c:
                for table, key in tables.items():
                    types = c.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", (table,)).fetchall()
                    # a char's spaces at the end are nothing to PostgreSQL, and not part of its text
                    there = c.execute(f"SELECT {', '.join(f'{n}::text' if t == 'character' else n for n, t in types)} FROM {table}").fetchall()
                    names = [n for n, _ in types]
                    verdict = compare_rows(there, rows_of(self.session, KEYSPACE, table, names), names, key)
                    rows += verdict.rows
                    bad += [] if verdict.equal else [f"{table}: {verdict}"]
            if not bad or time.monotonic() > end:
                break
            time.sleep(0.2)
        self.promise(not bad, f"{when} the sides differ: {bad[:3]}")
        self.fact(f"rows compared {when}", f"{rows:,}, tables differing {len(bad)}")

    def finish(self) -> None:
        self.call("complete")
        self.promise(self.midflight.wait_exit(60) == 0, "`midflight run` did not end well after complete")
        status = self.midflight.status()
        self.promise(status["phase"] == "completed", f"the phase is {status['phase']}")
        lines = self.app.lines
        written = self.app.stop()  # nobody answers flags any more: it ends here, or would with its defaults
        there = {tuple(r) for r in self.session.execute(f"SELECT customer, number FROM {KEYSPACE}.visit")}
        self.promise(len(there) >= written, f"{written} visits were acknowledged, {len(there)} are in Cassandra")
        with closing(self.source.connect()) as c:
            lost = {tuple(r) for r in c.execute("SELECT customer, number FROM visit")} - there
        self.promise(not lost, f"{len(lost)} visits of the source are not in Cassandra")
        stale = sum(line["stale"].get("target", 0) for line in lines if line["writes"] == {"target": CUSTOMERS})
        self.promise(stale == 0, f"{stale} reads on Cassandra did not find what was written there")
        with closing(self.source.connect()) as c:
            left = [l for l in fingerprint_differences(self.before, catalog_fingerprint(c)) if not l.startswith("sessions")]
        self.promise(not left, "left behind on the source: " + "; ".join(left[:5]))
        ours = [r[0] for r in self.session.execute("SELECT keyspace_name FROM system_schema.keyspaces") if "midflight" in r[0]]
        self.promise(not ours, f"left behind on the target: {ours}")
        self.promise(PASSWORD not in self.midflight.all_logs(), "a password is in the log")
        self.fact("pauses of cutover, rollback, cutover", ", ".join(self.moves))
        self.fact("changes applied", f"{self.changes:,}")
        self.fact("worst lag once live", f"{self.worst_lag:.2f} s")
        self.fact("visits acknowledged", f"{written:,}, of them missing {max(0, written - len(there))}")
        self.fact("left behind", "nothing" if not left and not ours else "; ".join(left + ours))

    def close(self) -> None:
        if getattr(self, "app", None) and self.app.process.poll() is None:
            self.app.process.kill()
        if getattr(self, "session", None):
            self.session.cluster.shutdown()
        super().close()


def main() -> int:
    parser = argparse.ArgumentParser(description="PostgreSQL to Cassandra, live, on throw-away servers")
    parser.add_argument("--scale", type=int, default=2, help="pgbench's scale (2)")
    parser.add_argument("--orders", type=int, default=30_000, help="orders, with three lines each (30,000)")
    parser.add_argument("--rate", type=float, default=100, help="pgbench's transactions a second (100); orders change a quarter as often")
    parser.add_argument("--source-version", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    return play(CassandraDemo(parser.parse_args()))


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    sys.exit(main())
