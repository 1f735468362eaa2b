"""Documents into MySQL: documents a second of the copy, lag of the stream, memory.

Bulk: the same documents (users with orders and lines, the map of tests/harness/doccases.py), by midflight, and by the two scripts that guides show: an export to a
file of JSON lines by PyMongo, then a program that reads it and inserts row by row, or 1,000 rows with an executemany, into tables that were made before. Each script is timed
from the beginning of its export to its COMMIT; midflight from the start of its process to its end, its look at both databases and its tables included. All contenders' rows are
judged by the same code after their time is taken.

Then, with midflight in step: how long after the acknowledgement of its write a document's row is seen in MySQL, at 500 documents a second.

The source is our own double of a replica set (tests/harness/mongo_double.py), for want of a MongoDB: it keeps all in memory, answers ranges of _id from an index, has
change streams of the whole deployment, and is asked by all contenders. What a MongoDB would make of it was never measured.
"""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from common import Report, in_turns, log, parser, percentile, wait_for
from stages import DocumentStage

from harness.doccases import Documents, difference, expected, found, shop_map
from harness.mongo_servers import driver
from to_cassandra import Peak, copying

HERE = Path(__file__).resolve().parent
BOUND = 256 * 2**20


def fill(source, n: int) -> dict:
    """The documents; gives the rows that they are. Their words are made once and taken again, so that making them is quick."""
    db, make = source.connect(), Documents(1)
    pool = [make.user() for _ in range(2000)]
    wanted: list[dict] = []
    for at in range(0, n, 1000):
        some = [{**make.random.choice(pool), "_id": make.object_id()} for _ in range(min(1000, n - at))]
        db.users.insert_many(some)
        wanted += some
    entries = [{"_id": f"0:{i}", "client": 0, "version": 0, "value": ""} for i in range(1000)]
    db.ledger.insert_many(entries)
    db.client.close()
    return expected(wanted, entries)


class Bulk:
    def __init__(self, stage: DocumentStage, source, wanted: dict, documents: int):
        self.stage, self.source, self.wanted, self.documents = stage, source, wanted, documents
        self.peaks: list[float] = []
        self.alone: list[float] = []

    def judge(self, target) -> None:
        wrong = difference(self.wanted, found(target))
        assert not wrong, wrong

    def script(self, rows_at_once: int) -> float:
        target = self.stage.fresh_target()
        made = subprocess.run([sys.executable, HERE / "documents_script.py", self.source.url(), target.url(), str(self.stage.dir), str(rows_at_once)],
                              capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(made.stdout[-2000:] + made.stderr[-4000:])
        self.judge(target)
        return self.documents / float(made.stdout)

    def midflight(self) -> float:
        target = self.stage.fresh_target()
        m = self.stage.midflight(self.source.url(), target.url(), map=shop_map(self.source.name))
        peak = Peak(m)
        begun = time.monotonic()
        m.start("--until", "copied")
        assert m.wait_exit(3600) == 0, m.tail()
        seconds = time.monotonic() - begun
        self.peaks.append(peak.stop())
        self.alone.append(self.documents / copying(m))
        self.judge(target)
        m.call("cancel", timeout=120)
        return self.documents / seconds


def lags(source, target, seconds: float, rate: int) -> list[float]:
    """Seconds from a write's acknowledgement until the row it changed was seen; one in ten writes is looked for."""
    sent: dict[int, float] = {}
    seen: list[float] = []
    over = threading.Event()

    def observe():
        last = 0
        with closing(target.connect()) as c:
            while not over.is_set() or last < max(sent, default=0):
                cursor = c.cursor()
                cursor.execute("SELECT version FROM ledger WHERE id = 'probe'")
                row, now = cursor.fetchone(), time.monotonic()
                version = row[0] if row else 0
                for number in range(last + 1, version + 1):
                    if number % 10 == 0:
                        wait_for(lambda: number in sent, 60, "the writer")
                        seen.append(max(0.0, now - sent[number]))
                last = max(last, version)
                time.sleep(0.001)

    thread = threading.Thread(target=observe)
    thread.start()
    db, make = source.connect(), Documents(7)
    end, number, begun = time.monotonic() + seconds, 0, time.monotonic()
    db.ledger.insert_one({"_id": "probe", "client": 9, "version": 0, "value": ""})
    ids = [d["_id"] for d in db.users.find({}, {"_id": 1}).limit(500)]
    while time.monotonic() < end:
        number += 1
        if number % 10 == 0:
            db.ledger.update_one({"_id": "probe"}, {"$set": {"version": number, "value": "x"}})
            sent[number] = time.monotonic()
        else:
            db.users.replace_one({"_id": make.random.choice(ids)}, {k: v for k, v in make.user().items() if k != "_id"})
        ahead = begun + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    log(f"  {number / (time.monotonic() - begun):,.0f} documents/s were written")
    over.set()
    thread.join()
    db.client.close()
    return seen


def live(stage, source, a, report) -> None:
    target = stage.fresh_target()
    m = stage.midflight(source.url(), target.url(), map=shop_map(source.name))
    peak = Peak(m)
    m.start()
    m.wait_phase("synced", timeout=3600)
    rates = []
    for _ in range(a.runs):
        begun = time.monotonic()
        reply = m.call("verify", "--json", timeout=3600).json
        assert reply["rows_differing"] == 0, reply
        rates.append(reply["rows_compared"] / (time.monotonic() - begun))
    report.add("verify", {"midflight": rates}, unit="documents/s", smaller_is_better=False, documents=reply["rows_compared"])
    for run in range(a.runs):
        got = lags(source, target, a.seconds, a.rate)
        db = source.connect()
        db.ledger.delete_one({"_id": "probe"})
        db.client.close()
        wait_for(lambda: not target.rows("SELECT 1 FROM ledger WHERE id = 'probe'"), 60, "the probe gone")
        figures = {f"{name}_ms": percentile(got, share) * 1000 for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))}
        report.figure(f"lag, run {run + 1}", asked_a_second=a.rate, probes=len(got), **figures, aim_p99_ms=250)
    report.figure("memory", peak_mib_stream_and_verify=peak.stop() / 2**20, bound_mib=BOUND >> 20)
    m.stop()
    m.call("cancel", timeout=120)


def main() -> int:
    p = parser("documents into MySQL", runs=3)
    p.add_argument("--documents", type=int, default=100_000, help="users; each has 1.5 orders with 1.5 lines, 1.4 tags and a setting on the average")
    p.add_argument("--rate", type=int, default=500, help="documents a second while the lag is measured")
    p.add_argument("--seconds", type=int, default=30, help="of it")
    p.add_argument("--parts", default="bulk,live", help="what is measured")
    a = p.parse_args()
    report = Report("documents", a)
    with DocumentStage(a) as stage:
        source = stage.source.create_database("shop")
        wanted = fill(source, a.documents)
        report.versions(**stage.versions(), pymongo=driver().version)
        if "bulk" in a.parts:
            bulk = Bulk(stage, source, wanted, a.documents)
            contenders = {"midflight": bulk.midflight, "json-rows": lambda: bulk.script(1), "json-1000": lambda: bulk.script(1000)}
            report.add("bulk", in_turns(contenders, a.runs, a.only), unit="documents/s", smaller_is_better=False, documents=a.documents,
                       rows=sum(len(r) for r in wanted.values()), aim="5 × json-rows, 2 × json-1000")
            if bulk.peaks:
                report.figure("midflight without its start and end", **{"documents/s": sorted(bulk.alone)[len(bulk.alone) // 2]})
                report.figure("memory", peak_mib_copy=max(bulk.peaks) / 2**20, bound_mib=BOUND >> 20)
        if "live" in a.parts:
            live(stage, source, a, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
