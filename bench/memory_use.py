"""Memory: the peak resident size of `midflight run` with 4 jobs, over a table of 200 MB values, a table of 20 million
rows, and a single transaction that changes a million rows. The bound is 256 MiB.
"""
from __future__ import annotations

import sys
import threading
import time

from common import Report, log, parser
from stages import open_stage

BOUND = 256 << 20


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
    p = parser("memory", runs=1)
    p.add_argument("--value", type=int, default=200, help="MB of each big value")
    p.add_argument("--values", type=int, default=8, help="how many of them")
    p.add_argument("--rows", type=int, default=20_000_000)
    a = p.parse_args()
    report = Report("memory_use", a)
    worst = 0

    def big(source):
        # bytea EXTERNAL: what is not compressed costs the most on the wire
        source.execute("CREATE TABLE big (id int PRIMARY KEY, t text, b bytea); ALTER TABLE big ALTER b SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL")
        for i in range(a.values):
            half = a.value * 1_000_000 // 2
            source.execute(f"INSERT INTO big VALUES ({i}, " + (f"repeat('0123456789', {a.value * 100_000})" if i % 2 else f"NULL") + ", " + ("NULL" if i % 2 else f"decode(repeat('00ff5c27', {half // 2}), 'hex')") + ")")

    def big_stream(source, target):
        source.execute(f"INSERT INTO big VALUES (1000, repeat('x', {a.value * 1_000_000}), NULL)")
        source.execute("UPDATE big SET t = t || 'y' WHERE id = 1; UPDATE big SET id = id + 2000 WHERE id = 0; DELETE FROM big WHERE id = 2")

    def many(source):
        source.execute(f"CREATE TABLE many (id int PRIMARY KEY, a int, b text)")
        for first in range(0, a.rows, 1_000_000):
            source.execute(f"INSERT INTO many SELECT i, i % 1000, md5(i::text) FROM generate_series({first}, {min(a.rows, first + 1_000_000) - 1}) i")

    def many_stream(source, target):
        source.execute(f"UPDATE many SET a = a + 1 WHERE id < 1000000")

    with open_stage(a) as stage:
        for name, fill, change in (("200 MB values", big, big_stream), ("20 million rows", many, many_stream)):
            source, target = stage.source.create_database("memory"), stage.fresh_target()
            log(f"{name}: filling")
            fill(source)
            source.execute("VACUUM ANALYZE")
            source.execute("CREATE TABLE marker (id int PRIMARY KEY)")
            m = stage.midflight(source.url(), target.url())
            peak = Peak(m)
            begun = time.monotonic()
            m.start()
            m.wait_phase("synced", timeout=3600)
            copied, seconds = peak.value, time.monotonic() - begun
            change(source, target)
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
