"""Bulk copy on MySQL: midflight, `mydumper | myloader`, and `SELECT … INTO OUTFILE` / `LOAD DATA` by parallel sessions.

Every contender starts with an empty database and ends with all rows, keys and indexes, written to the target's binary log.
midflight is timed to `synced` (rows, keys, and the stream in step: more than the others do). mydumper's version has no
pipe between its two programs: the time is that of one after the other, over files in the stage's directory, with the
tables split. Each of the OUTFILE sessions has the source write a part of a table to a file and the target load it, with
the secondary keys after the rows; it gets the schema for nothing.
"""
from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import time

import mysql_data
from common import PASSWORD, Report, in_turns, parser, run
from harness.mysql_servers import ADMIN, MysqlDatabase, fetch
from harness.mysql_servers import run as execute
from stages import open_stage


def server_arguments(server) -> list[str]:
    return ["-h", "127.0.0.1", "-P", server.port, "-u", ADMIN, "-p", PASSWORD]


def mydumper(stage, source, jobs: int, rows: int) -> float:
    target = stage.fresh_target(source.name)
    folder = stage.dir / "dump"
    shutil.rmtree(folder, ignore_errors=True)
    seconds = run(["mydumper", *server_arguments(stage.source), "-B", source.name, "-o", folder, "-t", jobs, "-r", max(10_000, rows // (4 * jobs))])
    return seconds + run(["myloader", *server_arguments(stage.target), "-s", source.name, "-B", target.name, "-d", folder, "-t", jobs, "-e"])


def without_keys(create: str) -> tuple[str, list[str]]:
    """The statement without its secondary keys, and these."""
    keys = re.findall(r"^  ((?:UNIQUE )?KEY .*?),?$", create, re.M)
    create = re.sub(r"^  (?:UNIQUE )?KEY .*\n", "", create, flags=re.M)
    return re.sub(r",\n\)", "\n)", create), keys


class Parts:
    """Sessions that take parts of tables, each with a connection to both servers."""

    def __init__(self, stage, source, target):
        self.stage, self.source, self.target = stage, source, target
        self.folder = stage.dir / "outfile"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.failure: BaseException | None = None

    def cut(self, parts: int) -> list[tuple[str, str]]:
        found = []
        for table, in self.source.rows("SHOW TABLES"):
            low, high = self.source.rows(f"SELECT MIN(id), MAX(id) + 1 FROM `{table}`")[0]
            bounds = [low + (high - low) * i // parts for i in range(parts + 1)]
            found += [(table, f"id >= {a} AND id < {b}") for a, b in zip(bounds, bounds[1:])]
        return found

    def work(self, todo: queue.Queue) -> None:
        out, into = self.source.connect(), self.target.connect()
        execute(into, "SET unique_checks = 0, foreign_key_checks = 0", close=False)
        try:
            while True:
                number, (table, where) = todo.get_nowait()
                path = self.folder / f"{number}"
                execute(out, f"SELECT * INTO OUTFILE '{path}' CHARACTER SET utf8mb4 FROM `{table}` WHERE {where}", close=False)
                execute(into, f"LOAD DATA INFILE '{path}' INTO TABLE `{table}` CHARACTER SET utf8mb4", close=False)
                path.unlink()
        except queue.Empty:
            pass
        except BaseException as error:
            self.failure = self.failure or error
        finally:
            out.close()
            into.close()

    def run(self, sessions: int, works) -> None:
        threads = [threading.Thread(target=works) for _ in range(sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failure:
            raise self.failure


def outfile(stage, source, jobs: int, rows: int) -> float:
    target = stage.fresh_target(source.name)
    parts = Parts(stage, source, target)
    keys: queue.Queue = queue.Queue()
    for table, in source.rows("SHOW TABLES"):
        create, of_table = without_keys(fetch(source.connect(), f"SHOW CREATE TABLE `{table}`")[0][1])
        target.execute(create)
        if of_table:
            keys.put(f"ALTER TABLE `{table}` " + ", ".join(f"ADD {k}" for k in of_table))
    todo: queue.Queue = queue.Queue()
    for numbered in enumerate(parts.cut(2 * jobs)):
        todo.put(numbered)

    def add_keys() -> None:
        try:
            while True:
                target.execute(keys.get_nowait())
        except queue.Empty:
            pass

    begun = time.monotonic()
    parts.run(jobs, lambda: parts.work(todo))
    parts.run(jobs, add_keys)
    return time.monotonic() - begun


def midflight(stage, source, jobs: int, rows: int) -> float:
    target = stage.fresh_target(source.name)
    m = stage.midflight(source.url(), target.url())
    begun = time.monotonic()
    m.call("run", "--until", "synced", timeout=1800)
    seconds = time.monotonic() - begun
    m.call("cancel", timeout=120)
    shutil.rmtree(m.dir, ignore_errors=True)
    return seconds


def complete(stage, source, rows: int) -> None:
    """Nobody is fast by leaving something out."""
    target = MysqlDatabase(stage.target, source.name)
    keys = "SELECT table_name, index_name, column_name FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, seq_in_index"
    assert target.rows(keys) == source.rows(keys), "keys are missing"
    assert sum(target.value(f"SELECT COUNT(*) FROM `{t}`") for t, in target.rows("SHOW TABLES")) == rows, "rows are missing"


def main() -> int:
    p = parser("bulk copy against mydumper and OUTFILE/LOAD DATA", runs=3, engines=("mysql",))
    p.add_argument("--rows", type=int, default=250_000, help="rows of each of four sysbench tables; 0 leaves them out")
    p.add_argument("--wide", type=int, default=200_000, help="rows of the wide table; 0 leaves it out")
    a = p.parse_args()
    report = Report("bulk_copy", a)
    with open_stage(a) as stage:
        said = subprocess.run(["mydumper", "--version"], capture_output=True, text=True).stdout.split(",")[0]
        report.versions(**stage.versions(), mydumper=said)
        for what, wanted in (("sysbench's tables", a.rows), ("a wide table", a.wide)):
            if not wanted:
                continue
            source = stage.source.create_database(what.split()[-1])
            if what == "a wide table":
                mysql_data.wide(source, a.wide)
            else:
                mysql_data.sbtest(source, 4, a.rows)
            size, rows = mysql_data.size(source)

            def checked(contender):
                def one() -> float:
                    seconds = contender(stage, source, a.jobs, rows)
                    complete(stage, source, rows)
                    return seconds
                return one

            contenders = {"midflight": midflight, "mydumper | myloader": mydumper, "OUTFILE / LOAD DATA": outfile}
            results = in_turns({name: checked(contender) for name, contender in contenders.items()}, a.runs, a.only)
            report.add(f"bulk copy, {what}", results, size_mb=size // 1_000_000, rows=rows, jobs=a.jobs)
            source.drop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
