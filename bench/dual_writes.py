"""What dual writes add to a commit: the time of one COMMIT on a MariaDB source (--engine postgres: PostgreSQL 15), with dual_writes off and on, and with a native
synchronous replica in midflight's place, in turns on the same two servers' settings.

Two figures a contender: one session that commits one row after the other (every commit waits alone), and several at once (commits share the wait). All servers
are durable (innodb_flush_log_at_trx_commit = 1, sync_binlog = 1; fsync = on). A native replica acknowledges what is in its relay log (PostgreSQL: on its disk, or with
remote_apply what it has applied): midflight acknowledges what the target has committed. The data directories are in memory where there is plenty: on a disk its syncs come on top, once on the source, once on the
target.
"""
from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from common import Report, log, parser, percentile

from harness.midflight import Midflight
from harness.mysql_servers import ADMIN, MysqlServer
from harness.servers import PASSWORD, Server, wait_for

SEMISYNC = {"rpl-semi-sync-master-enabled": "ON", "rpl-semi-sync-master-wait-point": "AFTER_SYNC", "rpl-semi-sync-master-timeout": "1"}


def commits(database, sessions: int, seconds: float) -> list[float]:
    """Seconds that each commit took."""
    times: list[list[float]] = [[] for _ in range(sessions)]
    ended = threading.Event()

    def client(mine: list[float]) -> None:
        connection = database.connect()
        cursor = connection.cursor()
        while not ended.is_set():
            begun = time.monotonic()
            cursor.execute("INSERT INTO t (v) VALUES ('a row of a few bytes')")
            mine.append(time.monotonic() - begun)
        connection.close()

    threads = [threading.Thread(target=client, args=(mine,)) for mine in times]
    for t in threads:
        t.start()
    time.sleep(seconds)
    ended.set()
    for t in threads:
        t.join()
    return [x for mine in times for x in mine]


def pg_commits(database, sessions: int, seconds: float, level: str = "on") -> list[float]:
    times: list[list[float]] = [[] for _ in range(sessions)]
    ended = threading.Event()

    def client(mine: list[float]) -> None:
        with database.connect() as connection:
            connection.execute(f"SET synchronous_commit = {level}")
            while not ended.is_set():
                begun = time.monotonic()
                connection.execute("INSERT INTO t (v) VALUES ('a row of a few bytes')")
                mine.append(time.monotonic() - begun)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in times]
    for t in threads:
        t.start()
    time.sleep(seconds)
    ended.set()
    for t in threads:
        t.join()
    return [x for mine in times for x in mine]


def measure(report: Report, name: str, database, a, turn: int, commits=commits) -> None:
    for sessions in (1, a.clients):
        commits(database, sessions, 0.5)
        took = commits(database, sessions, a.seconds)
        report.figure(f"{name}, {sessions} session{'s' if sessions > 1 else ''}, turn {turn + 1}", commits_per_second=round(len(took) / a.seconds),
                      p50_ms=round(percentile(took, 0.5) * 1000, 2), p99_ms=round(percentile(took, 0.99) * 1000, 2))


def semisync_on(source) -> bool:
    return source.value("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_STATUS'") == "ON"


def ours(report, source_server, target_server, a, turn: int) -> None:
    source, target = source_server.create_database("shop"), target_server.create_database("shop")
    source.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v varchar(40))")
    for dual in ("off", "on"):
        with tempfile.TemporaryDirectory() as folder:
            m = Midflight(source.url(), target.url(), Path(folder), config={"dual_writes": dual, "copy": {"max_load": 0}})
            m.start()
            m.wait_phase("synced")
            if dual == "on":
                source.execute("SET GLOBAL rpl_semi_sync_master_timeout = 60000")
                m.wait(lambda s: s["dual_writes"]["state"] == "on", 30, "dual writes on")
            measure(report, f"midflight, dual_writes {dual}", source, a, turn)
            if dual == "on":
                assert m.status()["dual_writes"]["state"] == "on"
            m.stop()
            source.execute("SET GLOBAL rpl_semi_sync_master_timeout = 1")
            m.call("cancel", timeout=60)
            target.execute("DROP TABLE t")
            m.close()
    source.drop()
    target.drop()


def native(report, source_server, a, turn: int) -> None:
    source = source_server.create_database("shop")
    replica = MysqlServer("mariadb", name="replica", fsync=True, settings={"rpl-semi-sync-slave-enabled": "ON"}).start()
    try:
        replica.execute(f"""SET GLOBAL gtid_slave_pos = '{source.value("SELECT @@global.gtid_binlog_pos")}';
            CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={source_server.port}, MASTER_USER='{ADMIN}', MASTER_PASSWORD='{PASSWORD}',
            MASTER_USE_GTID=slave_pos; START SLAVE""")
        replica.execute("CREATE DATABASE IF NOT EXISTS shop")
        source.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v varchar(40))")
        source.execute("SET GLOBAL rpl_semi_sync_master_timeout = 60000")
        wait_for(lambda: source.execute("INSERT INTO t (v) VALUES ('x')") or semisync_on(source), 30, "the replica")
        measure(report, "native semi-synchronous replica", source, a, turn)
        assert semisync_on(source)
    finally:
        source.execute("SET GLOBAL rpl_semi_sync_master_timeout = 1")
        replica.destroy()
    source.drop()


def pg_ours(report, source_server, target_server, a, turn: int) -> None:
    source, target = source_server.create_database("shop"), target_server.create_database("shop")
    source.execute("CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v varchar(40))")
    for dual in ("off", "on"):
        with tempfile.TemporaryDirectory() as folder:
            m = Midflight(source.url(), target.url(), Path(folder), config={"dual_writes": dual, "copy": {"max_load": 0}})
            m.start()
            m.wait_phase("synced")
            if dual == "on":
                m.wait(lambda s: s["dual_writes"]["state"] == "on", 30, "dual writes on")
            measure(report, f"midflight, dual_writes {dual}", source, a, turn, pg_commits)
            if dual == "on":
                assert m.status()["dual_writes"]["state"] == "on"
            m.stop()
            m.call("cancel", timeout=60)
            target.execute("DROP TABLE t")
            m.close()
    source.drop()
    target.drop()


def pg_native(report, source_server, a, turn: int) -> None:
    source = source_server.create_database("shop")
    source.execute("CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v varchar(40))")
    replica = source_server.standby(name="replica", settings={"cluster_name": "replica"})
    try:
        with source.connect() as c:
            c.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
            c.execute("SELECT pg_reload_conf()")
        wait_for(lambda: source.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1, 30, "the standby")
        measure(report, "native standby, on", source, a, turn, pg_commits)
        measure(report, "native standby, remote_apply", source, a, turn, lambda *b: pg_commits(*b, level="remote_apply"))
    finally:
        with source.connect() as c:
            c.execute("ALTER SYSTEM RESET synchronous_standby_names")
            c.execute("SELECT pg_reload_conf()")
        replica.destroy()
    source.drop()


def main() -> int:
    p = parser("the latency that dual writes add to a commit", runs=3, engines=("mariadb", "postgres"))
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--clients", type=int, default=16)
    a = p.parse_args()
    report = Report("dual_writes", a)
    if a.engine == "postgres":
        with Server(15, name="source", fsync=True).start() as source, Server(15, name="target", fsync=True).start() as target:
            for turn in range(a.runs):
                log(f"turn {turn + 1}")
                pg_ours(report, source, target, a, turn)
                pg_native(report, source, a, turn)
        return 0
    with MysqlServer("mariadb", name="source", fsync=True, settings=SEMISYNC) as source, MysqlServer("mariadb", name="target", fsync=True) as target:
        for turn in range(a.runs):
            log(f"turn {turn + 1}")
            ours(report, source, target, a, turn)
            native(report, source, a, turn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
