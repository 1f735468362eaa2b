"""Live lag: from a commit on the source to its commit on the target, under half of what the machine sustains.

First pgbench runs as fast as it can with the contender attached, for the ceiling (the rate at which the contender still
keeps up is at most that); then at half of the measured rate, while a probe commits a row every 20 ms with the clock's
time and an observer looks for it on the target every 2 ms. Both sides are on one machine, so there is one clock.
"""
from __future__ import annotations

import subprocess
import sys
import threading
import time

import psycopg2

from common import Pgbench, Report, log, parser, percentile, wait_for
from stages import open_stage
from catch_up import Native


def probe(source_url: str, target_url: str, seconds: float) -> list[float]:
    """Lags in seconds. The observer's own look (2 ms and its query) is part of them."""
    sent: dict[int, float] = {}
    lags: list[float] = []
    ended = threading.Event()

    def observe():
        connection = psycopg2.connect(target_url)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT coalesce(max(id), 0) FROM probe")
        last = cursor.fetchone()[0]
        while not (ended.is_set() and last >= max(sent, default=0)):
            cursor.execute("SELECT max(id) FROM probe")
            found, now = cursor.fetchone()[0] or 0, time.monotonic()
            for number in range(last + 1, found + 1):
                if number in sent:
                    lags.append(now - sent[number])
            last = max(last, found)
            if ended.is_set() and time.monotonic() - ended_at > 60:
                lags.append(float("inf"))
                return
            time.sleep(0.002)

    connection = psycopg2.connect(source_url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SELECT coalesce(max(id), 0) FROM probe")
    number = cursor.fetchone()[0]
    observer = threading.Thread(target=observe)
    observer.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        cursor.execute("INSERT INTO probe VALUES (%s)", (number,))
        sent[number] = time.monotonic()  # its commit was acknowledged now; the observer may see it only after
        time.sleep(0.02)
    ended_at = time.monotonic()
    ended.set()
    observer.join()
    return lags


def main() -> int:
    p = parser("live lag under a steady load", runs=3)
    p.add_argument("--scale", type=int, default=10)
    p.add_argument("--seconds", type=int, default=30)
    p.add_argument("--clients", type=int, default=4)
    a = p.parse_args()
    report = Report("live_lag", a)
    contenders = a.only.split(",") if a.only else ["midflight", "native"]
    for name in contenders:
        with open_stage(a, wal_retrieve_retry_interval="10ms") as stage:
            source = stage.source.create_database("live")
            Pgbench(source.url()).initialize(a.scale)
            source.execute("CREATE TABLE probe (id bigint PRIMARY KEY)")
            if name == "native":
                contender = Native(stage, source, source.url(), int(stage.source_version))
                target = contender.target
                target.execute("ALTER SUBSCRIPTION native ENABLE")
            else:
                target = stage.target.create_database("ours")
                m = stage.midflight(source.url(), target.url())
                m.start()
                m.wait_phase("synced", timeout=600)
            target.execute("ANALYZE")
            source.execute("INSERT INTO probe VALUES (1)")
            wait_for(lambda: target.value("SELECT count(*) FROM probe") == 1, 60, "the probe")
            sustained, rates = [], []
            # what is sustained counts the time until the target has everything
            for _ in range(2):
                begun = time.monotonic()
                done = Pgbench(source.url()).run(10, clients=a.clients, jobs=2)
                number = source.value("INSERT INTO probe SELECT max(id) + 1 FROM probe RETURNING id")
                wait_for(lambda: (target.value("SELECT max(id) FROM probe") or 0) >= number, 300, "the target to catch up")
                sustained.append(done["transactions"] / (time.monotonic() - begun))
            rate = min(sustained) / 2
            log(f"{name}: sustains {min(sustained):,.0f} transactions/s; steady at {rate:,.0f}")
            for run in range(a.runs):
                load = Pgbench(source.url()).start(a.seconds + 5, clients=a.clients, jobs=2, rate=rate)
                time.sleep(2)
                lags = probe(source.url(), target.url(), a.seconds)
                rates.append(load.wait()["tps"])
                figures = {s: percentile(lags, v) * 1000 for s, v in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))}
                report.figure(f"live lag, {name}, run {run + 1}", sustained_tps=round(min(sustained)), tps=round(rates[-1]), probes=len(lags),
                              **{f"{k}_ms": round(v, 1) for k, v in figures.items()})
            if name == "midflight":
                m.stop()
                m.call("cancel", timeout=60)
            else:
                contender.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
