"""Catching up with a backlog: midflight, PostgreSQL's own subscription, and what decoding alone costs (pg_recvlogical).

In each round all slots stand still while a load runs on the source; the last transaction writes a marker. Then each
contender, in turns, is let go on the same backlog and timed until the marker is on its target (or, for
pg_recvlogical, in its file). midflight's time includes the start of its process, the subscription's the start of its
worker.

Loads: tpcb (pgbench's small transactions), update and delete (a million rows in one transaction each), hot (a hundred
rows over and over), indexes (a table with six secondary indexes), far (tpcb with the target 20 ms away: this kernel
may have no netem, so a forwarder of our own, delay.py, delivers every byte 10 ms late each way; for the subscription
it stands between the subscriber and the source, for midflight between it and the target).
"""
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from common import DEBIAN_BIN, PASSWORD, Pgbench, Report, log, parser, wait_for
from stages import PostgresStage, open_stage
from harness.servers import free_port, url

HERE = Path(__file__).resolve().parent


class Load:
    def __init__(self, name: str, amount: float):
        self.name, self.amount, self.round = name, amount, 0

    def create(self, db) -> None:
        n = self.rows()
        with db.connect() as c:
            c.execute("CREATE TABLE marker (id int PRIMARY KEY)")
            if self.name in ("update", "delete"):
                c.execute(f"CREATE TABLE big (id int PRIMARY KEY, a int NOT NULL, b text NOT NULL); INSERT INTO big SELECT i, i, md5(i::text) FROM generate_series(1, {n}) i")
            elif self.name == "hot":
                c.execute("CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0, v text) WITH (fillfactor = 20); INSERT INTO hot SELECT i, 0, md5(i::text) FROM generate_series(1, 100) i")
            elif self.name == "indexes":
                c.execute(f"CREATE TABLE idx (id int PRIMARY KEY, a int, b text, c timestamptz, d numeric, e uuid, f int); "
                          f"INSERT INTO idx SELECT i, i, md5(i::text), now(), i / 3.0, md5(i::text)::uuid, i % 1000 FROM generate_series(1, {n}) i;"
                          + "".join(f"CREATE INDEX ON idx ({x});" for x in "abcdef"))
            c.execute("VACUUM ANALYZE")
        if self.name in ("tpcb", "far"):
            Pgbench(db.url()).initialize(10)

    def rows(self) -> int:
        return max(1000, int({"update": 1_000_000, "delete": 1_000_000, "indexes": 500_000}.get(self.name, 0) * self.amount))

    def run(self, db) -> int:
        """Makes the backlog; about how many row changes it is."""
        self.round += 1
        with db.connect() as c:
            if self.name == "update":
                c.execute("UPDATE big SET a = a + 1, b = md5(b)")
                return self.rows()
            if self.name == "delete":
                c.execute("DELETE FROM big")
                return self.rows()
        if self.name in ("tpcb", "far"):
            each = int(self.amount * (100_000 if self.name == "tpcb" else 20_000) / 8)
            self._pgbench(db, ["-b", "tpcb-like"], each)
            return each * 8 * 4
        if self.name == "hot":
            script = "\\set id random(1, 100)\nUPDATE hot SET n = n + 1, v = md5(v) WHERE id = :id;\n"
            each = int(self.amount * 300_000 / 8)
            self._pgbench(db, script, each)
            return each * 8
        script = f"\\set id random(1, {self.rows()} - 10)\nUPDATE idx SET a = a + 1, b = md5(b), c = clock_timestamp(), d = d + 1, e = gen_random_uuid(), f = f + 1 WHERE id >= :id AND id < :id + 10;\n"
        each = int(self.amount * 20_000 / 8)
        self._pgbench(db, script, each)
        return each * 80

    @staticmethod
    def _pgbench(db, script, each: int) -> None:
        what = script
        if isinstance(script, str):
            path = db.server.dir / "load.sql"
            path.write_text(script)
            what = ["-f", str(path)]
        with db.connect() as c:  # the load is not what is measured: let it run as fast as it can
            c.execute(f"ALTER ROLE postgres IN DATABASE {db.name} SET synchronous_commit = off")
        done = subprocess.run([Pgbench.program, "-n", "-c", "8", "-j", "2", "-t", str(each), *what, db.url()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with db.connect() as c:
            c.execute(f"ALTER ROLE postgres IN DATABASE {db.name} RESET synchronous_commit")

    def restore(self, db) -> None:
        """After every contender has caught up: what the next round needs."""
        if self.name == "delete":
            db.execute(f"INSERT INTO big SELECT i, i, md5(i::text) FROM generate_series(1, {self.rows()}) i")


class Native:
    """PostgreSQL's own: a publication and a subscription, switched off while the backlog grows."""

    def __init__(self, stage: PostgresStage, source, connection_url: str, version: int):
        self.stage, self.source = stage, source
        self.target = stage.target.create_database("native")
        dump = subprocess.run([str(DEBIAN_BIN / "pg_dump"), "-s", "-d", source.url()], capture_output=True, text=True, check=True).stdout
        subprocess.run([str(DEBIAN_BIN / "psql"), "-qX", "-d", self.target.url()], input=dump, text=True, check=True, capture_output=True)
        source.execute("CREATE PUBLICATION native FOR ALL TABLES")
        more = ", streaming = on, binary = true" if version >= 14 else ""
        self.target.execute(f"CREATE SUBSCRIPTION native CONNECTION '{connection_url}' PUBLICATION native WITH (slot_name = 'native'{more})")
        wait_for(lambda: self.target.value("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'") == 0, 600, "native's first copy", 0.1)
        self.target.execute("VACUUM ANALYZE")
        self.stop()

    def go(self, seen) -> float:
        begun = time.monotonic()
        self.target.execute("ALTER SUBSCRIPTION native ENABLE")
        seen(self.target)
        return time.monotonic() - begun

    def stop(self) -> None:
        self.target.execute("ALTER SUBSCRIPTION native DISABLE")
        wait_for(lambda: not self.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'native'"), 60, "native stopped")

    def close(self) -> None:
        self.target.drop()
        self.source.execute("SELECT pg_drop_replication_slot('native')")


class Decode:
    """pg_recvlogical into a file, up to the marker's position: what the server's walsender alone can do."""

    def __init__(self, stage: PostgresStage, source, version: int):
        self.stage, self.source = stage, source
        source.execute("CREATE PUBLICATION decode FOR ALL TABLES")
        source.execute("SELECT pg_create_logical_replication_slot('decode', 'pgoutput')")
        self.file = stage.dir / "decode.out"

    def go(self, seen) -> float:
        self.file.unlink(missing_ok=True)
        end = self.source.value("SELECT pg_current_wal_lsn()::text")
        begun = time.monotonic()
        done = subprocess.run(
            [str(DEBIAN_BIN / "pg_recvlogical"), "-d", self.source.url(), "-S", "decode", "--start", "-n", "-E", end, "-F", "0", "-f", str(self.file),
             "-o", "proto_version=1", "-o", "publication_names=decode", "-o", "binary=true"], capture_output=True, text=True)
        seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        self.bytes = self.file.stat().st_size
        self.file.unlink()
        return seconds

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.source.execute("SELECT pg_drop_replication_slot('decode')")


class Ours:
    def __init__(self, stage: PostgresStage, source, target_url: str, target):
        self.target = target
        self.m = stage.midflight(source.url(), target_url)
        self.m.start()
        self.m.wait_phase("synced", timeout=900)
        self.target.execute("VACUUM ANALYZE")
        self.stop()

    def go(self, seen) -> float:
        begun = time.monotonic()
        self.m.start()
        seen(self.target, lambda: self.m.running() or sys.exit(self.m.tail()))
        return time.monotonic() - begun

    def stop(self) -> None:
        self.m.stop()

    def close(self) -> None:
        self.m.call("cancel", timeout=120)


def measure(a, report: Report, name: str) -> None:
    load = Load(name, a.amount)
    # the launcher's usual 5 s between two starts of a worker is not what is measured
    with open_stage(a, wal_retrieve_retry_interval="10ms") as stage:
        source = stage.source.create_database("backlog")
        log(f"{name}: filling")
        load.create(source)
        forwarders = []
        source_url, target = source.url(), None
        if name == "far":
            for server in (stage.source, stage.target):
                port = free_port()
                forwarder = subprocess.Popen([sys.executable, str(HERE / "delay.py"), str(port), "127.0.0.1", str(server.port), str(a.distance / 2)], stdout=subprocess.PIPE)
                forwarder.stdout.readline()
                forwarders.append((forwarder, port))
            source_url = url("127.0.0.1", forwarders[0][1], source.name, "postgres", PASSWORD)
        try:
            wanted = a.only.split(",") if a.only else ["midflight", "native", "decoding alone"]
            contenders = {}
            if "midflight" in wanted:
                target = stage.target.create_database("ours")
                target_url = url("127.0.0.1", forwarders[1][1], "ours", "postgres", PASSWORD) if forwarders else target.url()
                contenders["midflight"] = Ours(stage, source, target_url, target)
            if "native" in wanted:
                contenders["native"] = Native(stage, source, source_url, int(stage.source_version))
            if "decoding alone" in wanted:
                contenders["decoding alone"] = Decode(stage, source, int(stage.source_version))
            results = {n: [] for n in contenders}
            changes = 0
            for round_ in range(a.runs):
                changes = load.run(source)
                source.execute(f"INSERT INTO marker VALUES ({round_})")
                source.execute("SELECT pg_logical_emit_message(false, 'bench', 'after the marker')")

                def seen(target, alive=lambda: True, round_=round_):
                    with target.connect() as c:
                        while not c.execute("SELECT 1 FROM marker WHERE id = %s", (round_,)).fetchone():
                            alive()
                            time.sleep(0.02)

                names = list(contenders)
                turn = round_ % len(names)
                for n in names[turn:] + names[:turn]:
                    with stage.target.connect() as c:
                        c.execute("CHECKPOINT")
                    seconds = contenders[n].go(seen)
                    results[n].append(seconds)
                    contenders[n].stop()
                    log(f"  {name} round {round_ + 1}/{a.runs}  {n:<16} {seconds:8.3f} s  {changes / seconds:12,.0f} changes/s")
                if name == "delete" and round_ + 1 < a.runs:
                    load.restore(source)
                    source.execute(f"INSERT INTO marker VALUES ({-1 - round_})")
                    for n in names:
                        def back(target, alive=lambda: True, round_=round_):
                            with target.connect() as c:
                                while not c.execute("SELECT 1 FROM marker WHERE id = %s", (-1 - round_,)).fetchone():
                                    alive()
                                    time.sleep(0.05)
                        contenders[n].go(back)
                        contenders[n].stop()
                        if n != "decoding alone":
                            contenders[n].target.execute("VACUUM big")
            report.add(f"catching up, {name}", results, changes=changes, distance_ms=a.distance if name == "far" else 0)
            for contender in contenders.values():
                contender.close()
        finally:
            for forwarder, _ in forwarders:
                forwarder.terminate()
                forwarder.wait()


def main() -> int:
    p = parser("catching up with a backlog")
    p.add_argument("--loads", default="tpcb,update,delete,hot,indexes,far")
    p.add_argument("--amount", type=float, default=1.0, help="size of the backlogs, 1 is 100,000 pgbench transactions")
    p.add_argument("--distance", type=float, default=20, help="ms of round trip for the load `far`")
    a = p.parse_args()
    report = Report("catch_up", a)
    for name in a.loads.split(","):
        measure(a, report, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
