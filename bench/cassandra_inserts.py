"""Prepared asynchronous inserts, one row each, by the Python driver's own execute_concurrent_with_args, from CSV files.

Usage: cassandra_inserts.py HOST PORT KEYSPACE PROCESSES CONCURRENCY COMPRESSION FILE...

A file's name begins with its table's name and a dot. The files are shared by the processes. Prints the rows and the seconds from the moment at which all
processes are connected and have prepared their statements until the last row is acknowledged.
"""
from __future__ import annotations

import csv
import datetime
import multiprocessing
import os
import sys
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.cassandra import driver  # noqa: E402

COLUMNS = {
    "accounts": [("aid", int), ("bid", int), ("abalance", int), ("filler", str)],
    "orders": [("id", int), ("customer", int), ("placed", datetime.datetime.fromisoformat), ("total", Decimal), ("status", str),
               ("paid", lambda v: v == "t"), ("address", str), ("note", str)],
}


def table_of(path: str) -> str:
    return os.path.basename(path).split(".")[0]


def rows(path: str, unset):
    makers = [maker for _, maker in COLUMNS[table_of(path)]]
    with open(path, newline="") as file:
        for fields in csv.reader(file):
            yield tuple(maker(v) if v else unset for maker, v in zip(makers, fields))


def work(host, port, keyspace, concurrency, compression, paths, ready, done) -> None:
    driver()
    from cassandra import ConsistencyLevel
    from cassandra.cluster import Cluster, ExecutionProfile, EXEC_PROFILE_DEFAULT
    from cassandra.concurrent import execute_concurrent_with_args
    from cassandra.policies import RoundRobinPolicy, TokenAwarePolicy
    from cassandra.query import UNSET_VALUE
    profile = ExecutionProfile(TokenAwarePolicy(RoundRobinPolicy()), consistency_level=ConsistencyLevel.LOCAL_QUORUM, request_timeout=60)
    cluster = Cluster([host], port=port, protocol_version=5, compression=compression, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect(keyspace)
    statements = {}
    for table in {table_of(path) for path in paths}:
        names = [name for name, _ in COLUMNS[table]]
        statements[table] = session.prepare(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})")
    ready.wait()
    count = 0
    for path in paths:
        for ok, result in execute_concurrent_with_args(session, statements[table_of(path)], rows(path, UNSET_VALUE), concurrency=concurrency,
                                                       raise_on_first_error=True, results_generator=True):
            count += 1
    done.put(count)
    cluster.shutdown()


def main() -> int:
    host, port, keyspace, processes, concurrency, compression, *paths = sys.argv[1:]
    processes = int(processes)
    ready, done = multiprocessing.Barrier(processes + 1), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, daemon=True, args=(host, int(port), keyspace, int(concurrency), compression == "lz4", paths[i::processes],
                                                                      ready, done)) for i in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait(120)
    begun = time.monotonic()
    count = sum(done.get(timeout=3600) for _ in workers)
    print(f"{count} {time.monotonic() - begun:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
