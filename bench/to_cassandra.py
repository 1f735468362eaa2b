"""PostgreSQL into one node of Cassandra: rows a second of the copy, lag of the stream, rows a second of verify, memory.

Bulk: the same rows, by midflight out of PostgreSQL, and by two drivers out of CSV files: the Python driver's own loop of prepared asynchronous inserts
(in one process, which is bound by its interpreter, and in as many as there are cores), and gocql's unlogged batches of 50. The drivers find their tables made and
are timed from their first row to their last acknowledgement; midflight from the start of its process, which looks at both databases and makes the tables, to
its end. Every contender runs once before the rounds, so that the server's code is compiled.

Then, with midflight in step: what its comparison of all rows takes, and how long after its commit on the source a row is seen on the target by the Python
driver, while pgbench commits 1,000 transactions of one change a second.
"""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import psycopg2

from common import Pgbench, Report, in_turns, log, parser, percentile, wait_for
from stages import CassandraStage

HERE = Path(__file__).resolve().parent
BOUND = 256 * 2**20
PARTS = 8  # files of each table, for the drivers
LOOK = 16  # rows that are looked for at a time

SCHEMA = """
CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer int, placed timestamptz(3), total numeric(12,2), status text, paid boolean, address text, note text);
"""
ROWS = {
    "accounts": "SELECT i, i / 100000 + 1, 0, repeat(' ', 84) FROM generate_series(1, {n}) i",
    "orders": "SELECT i, i % 9973, timestamptz '2026-01-01 00:00Z' + i * interval '17.123 s', i * 0.37, (ARRAY['new', 'paid', 'sent'])[i % 3 + 1], i % 2 = 0, "
              "'number ' || i || ', some street of a certain length, a town at the river, ' || md5(i::text), CASE WHEN i % 5 > 0 THEN repeat(md5((i + 1)::text), 4) END "
              "FROM generate_series(1, {n}) i",
}
MADE = """
CREATE TABLE {k}.accounts (aid int PRIMARY KEY, bid int, abalance int, filler text);
CREATE TABLE {k}.orders (id bigint PRIMARY KEY, customer int, placed timestamp, total decimal, status text, paid boolean, address text, note text)
"""
COLUMNS = "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = %s"


class Bulk:
    """The contenders: each writes all rows into an empty keyspace and gives rows a second."""

    def __init__(self, stage: CassandraStage, source, arguments):
        self.stage, self.source, self.arguments = stage, source, arguments
        self.total = arguments.accounts + arguments.orders
        self.peaks: list[float] = []
        self.alone: list[float] = []
        self.cpu: dict[str, list[float]] = {}
        self.files = self._export()
        self.go = stage.dir / "gocql_batches"
        subprocess.run(["go", "build", "-o", self.go, "."], cwd=HERE / "gocql", check=True)

    def _export(self) -> list[Path]:
        """In turns of the tables, so that each of several processes gets as much of both."""
        files = []
        with psycopg2.connect(self.source.url()) as c, c.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            for part in range(PARTS):
                for table, key in (("accounts", "aid"), ("orders", "id")):
                    path = self.stage.dir / f"{table}.{part}.csv"
                    with open(path, "w") as out:
                        cursor.copy_expert(f"COPY (SELECT * FROM {table} WHERE {key} % {PARTS} = {part}) TO STDOUT (FORMAT csv)", out)
                    files.append(path)
        return files

    def made(self) -> None:
        self.stage.fresh_keyspace()
        for statement in MADE.format(k="bench").split(";"):
            self.stage.target.cql(statement, timeout=60)

    def timed(self, name: str, command) -> float:
        """Rows a second; the server's share of the processors is kept."""
        before, begun = cpu(self.stage.node.process.pid), time.monotonic()
        seconds = command()
        self.cpu.setdefault(name, []).append((cpu(self.stage.node.process.pid) - before) / (time.monotonic() - begun))
        return self.total / seconds

    def program(self, *command) -> float:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        rows, seconds = done.stdout.split()
        assert int(rows) == self.total, f"{rows} rows written, {self.total} expected"
        return float(seconds)

    def inserts(self, name: str, processes: int) -> float:
        self.made()
        a = self.arguments
        return self.timed(name, lambda: self.program(sys.executable, HERE / "cassandra_inserts.py", self.stage.node.address, self.stage.target.port, "bench",
                                                     processes, a.concurrency, a.compression, *self.by_process(processes)))

    def by_process(self, processes: int) -> list[Path]:
        """cassandra_inserts.py deals its files out one by one: both tables to each."""
        pairs = [self.files[i:i + 2] for i in range(0, len(self.files), 2)]
        return [pair[i] for at in range(0, len(pairs), processes) for i in range(2) for pair in pairs[at:at + processes]]

    def batches(self) -> float:
        self.made()
        a = self.arguments
        return self.timed("gocql", lambda: self.program(self.go, f"{self.stage.node.address}:{self.stage.target.port}", "bench", 50, a.workers, a.connections,
                                                        *self.files))

    def midflight(self) -> float:
        self.stage.fresh_keyspace()
        m = self.stage.midflight(self.source.url(), url(self.stage, self.arguments), tables={"include": ["public.accounts", "public.orders"]})

        def copied():
            begun = time.monotonic()
            m.start("--until", "copied")
            assert m.wait_exit(3600) == 0, m.tail()
            return time.monotonic() - begun
        peak = Peak(m)
        rate = self.timed("midflight", copied)
        self.peaks.append(peak.stop())
        self.alone.append(self.total / copying(m))
        self.judge()
        m.call("cancel", timeout=120)
        return rate

    def judge(self) -> None:
        """What midflight made is what the others are given, and holds as many rows."""
        there = {tuple(r) for r in self.stage.target.cql(COLUMNS, ["bench"])}
        self.stage.target.cql("CREATE KEYSPACE asked WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
        for statement in MADE.format(k="asked").split(";"):
            self.stage.target.cql(statement)
        wanted = {tuple(r) for r in self.stage.target.cql(COLUMNS, ["asked"])}
        self.stage.target.cql("DROP KEYSPACE asked")
        assert there == wanted, f"midflight made other tables than the drivers are given: {there ^ wanted}"


def copying(m) -> float:
    """Seconds from the first chunk's beginning to the last one's end, by the run's own log."""
    lines = [json.loads(line) for line in m.log_text().splitlines() if line.startswith("{")]
    begun, ended = (next(line["time"] for line in lines if line["message"].startswith(what)) for what in ("copy: rows", "copied "))
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


class Peak:
    """The largest resident size of a run, looked at until stop()."""

    def __init__(self, m):
        self.m, self.value, self.ended = m, 0, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.ended.wait(0.1):
            try:
                self.value = max(self.value, self.m.peak_rss_bytes() if self.m.process else 0)
            except OSError:
                pass

    def stop(self) -> float:
        self.ended.set()
        self.thread.join()
        return self.value


def cpu(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def url(stage, arguments) -> str:
    return stage.target.url("bench") + (f"?{arguments.url}" if arguments.url else "")


def lags(source, stage, seconds: float) -> list[float]:
    """Seconds from a commit's acknowledgement until its row was seen. The observer's own look, of the next rows that are not there yet, is part of them."""
    sent: dict[int, float] = {}
    found: list[float] = []
    over = threading.Event()
    cluster = stage.target.connect()
    session = cluster.connect()
    look = session.prepare(f"SELECT id FROM bench.probe WHERE id IN ({', '.join('?' * LOOK)})")

    def observe():
        waited, until = list(range(1, LOOK + 1)), None
        while not over.is_set() or waited[0] <= len(sent):
            seen = {row.id for row in session.execute(look, waited)}
            now = time.monotonic()
            for number in seen:
                wait_for(lambda: number in sent, 60, "the writer")  # it has its acknowledgement after the row was seen
                found.append(max(0.0, now - sent[number]))
            last = waited[-1]
            waited = [n for n in waited if n not in seen]
            waited += range(last + 1, last + 1 + LOOK - len(waited))
            if over.is_set():
                until = until or now + 60
                if now > until:
                    found.append(float("inf"))
                    return
            time.sleep(0.002)

    thread = threading.Thread(target=observe)
    thread.start()
    with closing(psycopg2.connect(source.url())) as c:
        c.autocommit = True
        cursor = c.cursor()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number = len(sent) + 1
            cursor.execute("INSERT INTO probe VALUES (%s)", (number,))
            sent[number] = time.monotonic()
            time.sleep(0.02)
    over.set()
    thread.join()
    cluster.shutdown()
    return found


def live(stage, source, a, report) -> None:
    source.execute("DROP TABLE IF EXISTS probe; CREATE TABLE probe (id bigint PRIMARY KEY)")
    stage.fresh_keyspace()
    m = stage.midflight(source.url(), url(stage, a))
    peak = Peak(m)
    m.start()
    m.wait_phase("synced", timeout=3600)
    rates = []
    for _ in range(a.runs):
        begun = time.monotonic()
        reply = m.call("verify", "--json", timeout=3600).json
        assert reply["rows_differing"] == 0, reply
        rates.append(reply["rows_compared"] / (time.monotonic() - begun))
        log(f"  verify {rates[-1]:,.0f} rows/s")
    report.add("verify", {"midflight": rates}, unit="rows/s", smaller_is_better=False, rows=reply["rows_compared"], aim=50_000)
    script = stage.dir / "change.sql"
    script.write_text(f"\\set aid random(1, {a.accounts})\nUPDATE accounts SET abalance = abalance + 1 WHERE aid = :aid;\n")
    for run in range(a.runs):
        source.execute("DELETE FROM probe")
        wait_for(lambda: not stage.target.cql("SELECT id FROM bench.probe LIMIT 1"), 60, "the probe's rows gone")
        load = Pgbench(source.url()).start(a.seconds + 5, clients=4, jobs=1, rate=a.rate, script=script)
        time.sleep(2)
        got = lags(source, stage, a.seconds)
        done = load.wait()
        figures = {f"{name}_ms": percentile(got, share) * 1000 for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))}
        report.figure(f"lag, run {run + 1}", changes_a_second=round(done["tps"]), probes=len(got), **figures, aim_p99_ms=250)
    report.figure("memory", peak_mib_stream_and_verify=peak.stop() / 2**20, bound_mib=BOUND >> 20)
    m.stop()
    m.call("cancel", timeout=120)


def main() -> int:
    p = parser("PostgreSQL into Cassandra", runs=3)
    p.add_argument("--accounts", type=int, default=1_000_000, help="rows of pgbench's kind (97 bytes of text)")
    p.add_argument("--orders", type=int, default=400_000, help="wider rows of every-day types (300 bytes)")
    p.add_argument("--heap", default="2G", help="of the node")
    p.add_argument("--concurrency", type=int, default=256, help="inserts in flight of each Python process")
    p.add_argument("--processes", type=int, default=os.cpu_count(), help="of the Python driver, beside the one")
    p.add_argument("--workers", type=int, default=32, help="batches in flight of gocql")
    p.add_argument("--connections", type=int, default=2, help="of gocql to the node")
    p.add_argument("--compression", choices=("none", "lz4"), default="none", help="of the Python driver; gocql has none")
    p.add_argument("--url", default="", help="parameters of midflight's URL")
    p.add_argument("--rate", type=int, default=1000, help="changes a second while the lag is measured")
    p.add_argument("--seconds", type=int, default=30, help="of it")
    p.add_argument("--parts", default="bulk,live", help="what is measured")
    p.add_argument("--warm", type=int, default=1, help="runs of each contender before the rounds")
    a = p.parse_args()
    report = Report("to_cassandra", a)
    with CassandraStage(a, a.heap) as stage:
        source = stage.source.create_database("shop")
        source.execute(SCHEMA)
        for table, rows in ROWS.items():
            source.execute(f"INSERT INTO {table} {rows.format(n=getattr(a, table))}")
        source.execute("VACUUM ANALYZE")
        report.versions(**stage.versions(), python_driver=version(), gocql="2.1.2")
        if "bulk" in a.parts:
            bulk = Bulk(stage, source, a)
            several = f"python-{a.processes}"
            contenders = {"midflight": bulk.midflight, "python-1": lambda: bulk.inserts("python-1", 1),
                          several: lambda: bulk.inserts(several, a.processes), "gocql": bulk.batches}
            if a.warm:
                log("warming up")
                in_turns(contenders, a.warm, a.only)
                bulk.cpu.clear()
                bulk.alone.clear()
            report.add("bulk", in_turns(contenders, a.runs, a.only), unit="rows/s", smaller_is_better=False, rows=bulk.total,
                       aim="3 × python, 1 × gocql")
            report.figure("processors that the server took meanwhile", **{k: sum(v) / len(v) for k, v in bulk.cpu.items()})
            if bulk.peaks:
                report.figure("midflight without its start and end", **{"median rows/s": statistics.median(bulk.alone)})
                report.figure("memory", peak_mib_copy=max(bulk.peaks) / 2**20, bound_mib=BOUND >> 20)
        if "live" in a.parts:
            live(stage, source, a, report)
    return 0


def version() -> str:
    from harness.cassandra import driver
    return driver().__version__


if __name__ == "__main__":
    sys.exit(main())
