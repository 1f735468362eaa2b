"""verify on MySQL: midflight, 5.7 against 8.0, and pt-table-checksum against a native replica of the same versions.

Both compare every row of the same tables, with nothing else running. Beside the time it is shown what the comparison asked
of the source: rows its storage engine was asked for and rows written, processor time of the server's process, and the
longest transaction that was seen open (looked for five times a second). pt-table-checksum runs with its defaults but for the two it cannot run
without here: where its replica is (a table of DSNs, since the port is not the default), and that the replica's own log is
in rows.
"""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import mysql_data
from catch_up_mysql import Native, marked
from common import PASSWORD, Report, in_turns, parser
from harness.mysql_servers import ADMIN, MysqlDatabase, fetch
from stages import open_stage

OPEN = "SELECT trx_id, trx_started FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0"
EVERY = 0.2  # seconds; asked more often than every 0.1 s, the server answers with what it said before


def cpu(server) -> float:
    stat = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


class Cost:
    """What was asked of the source between two moments, and how much both servers worked."""

    def __init__(self, source, other):
        self.source, self.other, self.ended, self.seen = source, other, threading.Event(), {}
        self.before = self._read()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _read(self) -> dict[str, float]:
        status = dict(self.source.rows("SHOW GLOBAL STATUS WHERE variable_name LIKE 'Handler_read%' OR variable_name IN ('Innodb_rows_inserted', 'Innodb_rows_updated', 'Innodb_rows_deleted')"))
        return {"rows read on the source": sum(int(v) for k, v in status.items() if k.startswith("Handler_read")),
                "rows written on the source": sum(int(v) for k, v in status.items() if k.startswith("Innodb_rows")),
                "processor time of the source, s": cpu(self.source), "processor time of both servers, s": cpu(self.source) + cpu(self.other)}

    def _watch(self) -> None:
        connection = self.source.connect()
        while not self.ended.wait(EVERY):
            now = time.monotonic()
            for transaction in fetch(connection, OPEN, close=False):
                self.seen.setdefault(transaction, [now, now])[1] = now
        connection.close()

    def stop(self) -> dict[str, float]:
        self.ended.set()
        self.thread.join()
        after = self._read()
        longest = max((last - first for first, last in self.seen.values()), default=0.0)
        return {k: after[k] - v for k, v in self.before.items()} | {"longest transaction on the source, s": longest}


def checksum(stage, source, replica) -> float:
    begun = time.monotonic()
    done = subprocess.run(
        ["pt-table-checksum", f"h=127.0.0.1,P={stage.source.port},u={ADMIN},p={PASSWORD}", "--databases", source.name, "--no-check-binlog-format", "--no-version-check",
         "--recursion-method", f"dsn=h=127.0.0.1,P={stage.source.port},u={ADMIN},p={PASSWORD},D=bench,t=dsns"], capture_output=True, text=True)
    seconds = time.monotonic() - begun
    diffs = [line.split() for line in done.stdout.splitlines() if f" {source.name}." in line]
    assert done.returncode == 0 and diffs and all(d[1] == d[2] == "0" for d in diffs), f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert replica.server.value("SELECT COUNT(*) FROM percona.checksums") > 0, "the replica has computed nothing"
    return seconds


def main() -> int:
    p = parser("verify against pt-table-checksum", runs=3, engines=("mysql",))
    p.add_argument("--rows", type=int, default=500_000, help="rows of each of four sysbench tables")
    p.add_argument("--wide", type=int, default=100_000, help="rows of the wide table; 0 leaves it out")
    a = p.parse_args()
    report = Report("verify_speed", a)
    with open_stage(a) as stage:
        said = subprocess.run(["pt-table-checksum", "--version"], capture_output=True, text=True).stdout.split()[1]
        report.versions(**stage.versions(), **{"pt-table-checksum": said})
        source = stage.source.create_database("sbtest")
        mysql_data.sbtest(source, 4, a.rows)
        if a.wide:
            mysql_data.wide(source, a.wide)
        size, rows = mysql_data.size(source)
        replica = Native(stage, 0)
        stage.source.execute("CREATE DATABASE bench; CREATE TABLE bench.dsns (id int AUTO_INCREMENT PRIMARY KEY, parent_id int, dsn varchar(255) NOT NULL)")
        stage.source.execute("INSERT INTO bench.dsns (dsn) VALUES (%s)", (f"h=127.0.0.1,P={replica.server.port},u={ADMIN},p={PASSWORD}",))
        source.execute("CREATE TABLE marker (id int PRIMARY KEY); INSERT INTO marker VALUES (-1)")
        replica.server.execute("START SLAVE")
        marked(replica.server, -1, replica.failed)
        mysql_data.size(MysqlDatabase(replica.server, source.name))  # it skips a table of which a replica's old figures say that it is larger
        m = stage.midflight(source.url(), stage.target.create_database(source.name).url(), verify={"jobs": a.jobs})
        m.start()
        m.wait_phase("synced", timeout=1800)
        costs: dict[str, list] = {"midflight": [], "pt-table-checksum": []}

        def measured(name, contender, other):
            def one() -> float:
                stage.settle()
                cost = Cost(stage.source, other)
                seconds = contender()
                costs[name].append(cost.stop())
                return seconds
            return one

        def midflight() -> float:
            begun = time.monotonic()
            m.call("verify", timeout=1800)
            return time.monotonic() - begun

        results = in_turns({"midflight": measured("midflight", midflight, stage.target),
                            "pt-table-checksum": measured("pt-table-checksum", lambda: checksum(stage, source, replica), replica.server)}, a.runs, a.only)
        report.add("verify", results, size_mb=size // 1_000_000, rows=rows, jobs=a.jobs)
        for what in costs["midflight"][0]:
            report.add(f"verify: {what}", {name: [c[what] for c in of] for name, of in costs.items()}, unit="")
        m.stop()
        m.call("cancel", timeout=120)
    return 0


if __name__ == "__main__":
    sys.exit(main())
