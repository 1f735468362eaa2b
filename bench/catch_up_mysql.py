"""Catching up on MySQL: midflight, and MySQL's own replica, 5.7 to 8.0, on one backlog of sysbench's write-only transactions.

The source is durable while the backlog grows, so that its commits come in groups as a real one's do: these are what the
replica's parallel appliers live on. All targets stand still meanwhile; the last transaction writes a marker. Then each
contender, in turns, is let go on the same backlog and timed until the marker is on its target. midflight's time includes
the start of its process, the replica's is from START SLAVE and includes reading the log into its relay log.

Replicas: `native` is 8.0.15 as it comes, which is without parallel appliers; `native, 4 appliers` has what later versions come with
(LOGICAL_CLOCK, 4 workers, commits in order). Every contender has a server of its own with the same settings. A replica commits each
transaction by itself and waits for the disk each time, midflight a window of many: `--relaxed` shows what is left when nobody waits.
"""
from __future__ import annotations

import subprocess
import sys
import time

import MySQLdb

import mysql_data
from common import PASSWORD, Report, log, parser
from harness.mysql_servers import ADMIN, MysqlDatabase
from stages import MysqlStage, open_stage


def marked(server, number: int, alive=lambda: None) -> None:
    """Waits for the transaction that wrote the marker."""
    connection = server.connect()
    cursor = connection.cursor()
    while True:
        try:
            if cursor.execute("SELECT 1 FROM sbtest.marker WHERE id = %s", (number,)):
                return connection.close()
        except MySQLdb.Error:
            pass  # a replica that has only begun does not know the table yet
        alive()
        time.sleep(0.02)


class Native:
    def __init__(self, stage: MysqlStage, workers: int):
        later = {"slave-parallel-type": "LOGICAL_CLOCK", "slave-parallel-workers": workers, "slave-preserve-commit-order": "1"}
        self.server = stage.server(stage.target_version, f"native{workers}", **{"skip-slave-start": "1"}, **(later if workers else {}))
        self.server.execute("RESET MASTER; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_AUTO_POSITION = 1, MASTER_CONNECT_RETRY = 1,"
                            f" MASTER_PORT = {stage.source.port}, MASTER_USER = '{ADMIN}', MASTER_PASSWORD = '{PASSWORD}'")

    def failed(self) -> None:
        connection = self.server.connect()
        cursor = connection.cursor()
        cursor.execute("SHOW SLAVE STATUS")
        state = dict(zip([d[0] for d in cursor.description], cursor.fetchone()))
        connection.close()
        if state["Last_Error"] or state["Last_IO_Error"]:
            raise RuntimeError(f"the replica stopped: {state['Last_Error']} {state['Last_IO_Error']}")

    def go(self, number: int) -> float:
        begun = time.monotonic()
        self.server.execute("START SLAVE")
        marked(self.server, number, self.failed)
        seconds = time.monotonic() - begun
        self.server.execute("STOP SLAVE")
        return seconds

    def close(self) -> None:
        self.server.destroy()


class Ours:
    def __init__(self, stage: MysqlStage, source: MysqlDatabase):
        self.server = stage.target
        target = stage.target.create_database(source.name)
        self.m = stage.midflight(source.url(), target.url())
        self.m.start()
        self.m.wait_phase("synced", timeout=900)
        self.m.stop()

    def go(self, number: int) -> float:
        begun = time.monotonic()
        self.m.start()
        marked(self.server, number, lambda: self.m.running() or sys.exit(self.m.tail()))
        seconds = time.monotonic() - begun
        self.m.stop()
        return seconds

    def close(self) -> None:
        self.m.call("cancel", timeout=120)


def backlog(source: MysqlDatabase, a, number: int) -> int:
    """Sysbench's transactions, four changes each; then the marker."""
    done = subprocess.run(
        ["sysbench", "oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={source.server.port}", f"--mysql-user={ADMIN}",
         f"--mysql-password={PASSWORD}", f"--mysql-db={source.name}", f"--tables={a.tables}", f"--table-size={a.rows}", f"--threads={a.threads}",
         f"--events={a.transactions}", "--time=0", f"--rand-seed={number + 1}", "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    source.execute("INSERT INTO marker VALUES (%s)", (number,))
    return 4 * a.transactions


def main() -> int:
    p = parser("catching up with a backlog, against native replication", runs=3, engines=("mysql",))
    p.add_argument("--tables", type=int, default=4, help="tables of sysbench")
    p.add_argument("--rows", type=int, default=100_000, help="rows of each")
    p.add_argument("--transactions", type=int, default=15_000, help="of each round's backlog")
    p.add_argument("--threads", type=int, default=8, help="sessions that write it")
    p.add_argument("--relaxed", action="store_true", help="no server waits for its disk at a commit")
    a = p.parse_args()
    report = Report("catch_up", a)
    relaxed = {"innodb-flush-log-at-trx-commit": "2", "sync-binlog": "0"} if a.relaxed else {}
    with open_stage(a, **relaxed) as stage:
        report.versions(**stage.versions(), sysbench=subprocess.run(["sysbench", "--version"], capture_output=True, text=True).stdout.split()[1])
        made = {"midflight": lambda: Ours(stage, source), "native": lambda: Native(stage, 0), "native, 4 appliers": lambda: Native(stage, 4)}
        source = stage.source.create_database("sbtest")
        mysql_data.sbtest(source, a.tables, a.rows)
        source.execute("CREATE TABLE marker (id int PRIMARY KEY); INSERT INTO marker VALUES (-1)")
        contenders = {name: make() for name, make in made.items() if not a.only or name in a.only.split(";")}
        for contender in contenders.values():  # from the very first transaction on
            contender.go(-1)
        results = {name: [] for name in contenders}
        for round_ in range(a.runs):
            changes = backlog(source, a, round_)
            names = list(contenders)
            turn = round_ % len(names)
            for name in names[turn:] + names[:turn]:
                stage.settle()
                results[name].append(contenders[name].go(round_))
                log(f"  round {round_ + 1}/{a.runs}  {name:<24} {results[name][-1]:8.3f} s  {changes / results[name][-1]:10,.0f} changes/s")
        check(source, contenders)
        report.add("catching up, sysbench write-only", results, transactions=a.transactions, changes=changes, tables=a.tables, rows=a.rows, threads=a.threads, durable=not a.relaxed)
        for contender in contenders.values():
            contender.close()
    return 0


def check(source: MysqlDatabase, contenders: dict) -> None:
    """All have applied all of it."""
    for name, contender in contenders.items():
        other = MysqlDatabase(contender.server, source.name)
        for table, in source.rows("SHOW TABLES"):
            sums = [d.value(f"SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(CONCAT_WS('#', {'id' if table == 'marker' else 'id, k, c, pad'})))) FROM `{table}`") for d in (source, other)]
            assert sums[0] == sums[1], f"{name}: {table} differs"


if __name__ == "__main__":
    sys.exit(main())
