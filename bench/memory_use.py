"""Memory: the peak resident size of `midflight run` with 4 jobs, over a table of large values (200 MB each on PostgreSQL, 16 MB on
MySQL, where a row must pass in a packet), a table of many rows, and a single transaction that changes a million
rows. The bound is 256 MiB.
"""
from __future__ import annotations

import sys
import threading
import time

from common import Report, log, parser
from stages import open_stage

BOUND = 256 << 20


class Postgres:
    value, rows = 200, 20_000_000  # MB of a large value, rows of the long table
    # EXTERNAL: what is not compressed costs the most on the wire
    big = "CREATE TABLE big (id int PRIMARY KEY, t text, b bytea); ALTER TABLE big ALTER b SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL"
    grow = "UPDATE big SET t = t || 'y' WHERE id = 1"
    ready = "VACUUM ANALYZE"

    @staticmethod
    def binary(size: int) -> str:
        return f"decode(repeat('00ff5c27', {size // 4}), 'hex')"

    @staticmethod
    def many(first: int, n: int) -> str:
        return f"INSERT INTO many SELECT i, i % 1000, md5(i::text) FROM generate_series({first}, {first + n - 1}) i"


class Mysql:
    value, rows = 16, 3_000_000
    big = "CREATE TABLE big (id int PRIMARY KEY, t longtext, b longblob)"
    grow = "UPDATE big SET t = CONCAT(t, 'y') WHERE id = 1"
    ready = "DO 0"

    @staticmethod
    def binary(size: int) -> str:
        return f"REPEAT(RANDOM_BYTES(1000), {size // 1000})"

    @staticmethod
    def many(first: int, n: int) -> str:
        digits = "(" + " UNION ALL ".join(f"SELECT {i} AS n" for i in range(100)) + ")"
        number = "a.n + 100 * b.n + 10000 * c.n"
        return f"INSERT INTO many SELECT {first} + {number}, ({first} + {number}) % 1000, MD5({first} + {number}) FROM {digits} a, {digits} b, {digits} c WHERE {number} < {n}"


class Peak:
    """The largest VmHWM seen of the process, and of the processes it started."""

    def __init__(self, m):
        self.m, self.value, self.ended = m, 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.ended.is_set():
            try:
                self.value = max(self.value, self.m.peak_rss_bytes())
            except (OSError, AttributeError):
                pass
            time.sleep(0.05)

    def stop(self) -> int:
        self.ended.set()
        self.thread.join()
        return self.value


def main() -> int:
    p = parser("memory", runs=1, engines=("postgres", "mysql"))
    p.add_argument("--value", type=int, default=None, help="MB of each large value (postgres 200, mysql 16)")
    p.add_argument("--values", type=int, default=8, help="how many of them")
    p.add_argument("--rows", type=int, default=None, help="of the long table (postgres 20 million, mysql 3 million)")
    a = p.parse_args()
    report = Report("memory_use", a)
    sql = {"postgres": Postgres, "mysql": Mysql}[a.engine]
    size = (a.value or sql.value) * 1_000_000
    rows = a.rows or sql.rows
    worst = 0

    def text(n: int) -> str:
        return f"repeat('0123456789', {n // 10})"

    def big(source):
        source.execute(sql.big)
        for i in range(a.values):
            source.execute(f"INSERT INTO big VALUES ({i}, " + (f"{text(size)}, NULL)" if i % 2 else f"NULL, {sql.binary(size)})"))

    def big_stream(source):
        for statement in (f"INSERT INTO big VALUES (1000, repeat('x', {size}), NULL)", sql.grow, "UPDATE big SET id = id + 2000 WHERE id = 0", "DELETE FROM big WHERE id = 2"):
            source.execute(statement)

    def many(source):
        source.execute("CREATE TABLE many (id int PRIMARY KEY, a int, b text)")
        for first in range(0, rows, 1_000_000):
            source.execute(sql.many(first, min(1_000_000, rows - first)))

    def many_stream(source):
        source.execute("UPDATE many SET a = a + 1 WHERE id < 1000000")

    with open_stage(a) as stage:
        report.versions(**stage.versions())
        for name, fill, change in ((f"{size // 1_000_000} MB values", big, big_stream), (f"{rows:,} rows", many, many_stream)):
            source, target = stage.source.create_database("memory"), stage.fresh_target("memory")
            log(f"{name}: filling")
            fill(source)
            source.execute(sql.ready)
            source.execute("CREATE TABLE marker (id int PRIMARY KEY)")
            m = stage.midflight(source.url(), target.url())
            peak = Peak(m)
            begun = time.monotonic()
            m.start()
            m.wait_phase("synced", timeout=3600)
            copied, seconds = peak.value, time.monotonic() - begun
            change(source)
            source.execute("INSERT INTO marker VALUES (1)")
            while not target.value("SELECT count(*) FROM marker"):
                assert m.running(), m.tail()
                time.sleep(0.1)
            streamed = peak.value
            m.call("verify", timeout=3600)
            value = peak.stop()
            worst = max(worst, value)
            report.figure(f"memory, {name}", synced_after_s=round(seconds, 1), peak_mib_copy=round(copied / 2**20, 1), peak_mib_stream=round(streamed / 2**20, 1),
                          peak_mib_verify=round(value / 2**20, 1), bound_mib=256, holds=value <= BOUND)
            m.stop()
            m.call("cancel", timeout=120)
            source.drop()
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
