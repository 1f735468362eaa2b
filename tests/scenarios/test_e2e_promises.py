"""Promises that need a scenario of their own: the source is safe (P3), secrets stay secret (P10), memory is bounded."""
import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.compare import equal_at_last
from harness.loads import Bank
from harness.midflight import CommandFailed
from harness.servers import PASSWORD, wait_for

MIB = 1 << 20


def test_no_transaction_or_lock_is_held_for_the_copy(source, target, migration):
    """The copy takes seconds; no transaction of it on the source lives as long, and none locks a table against anything
    an application does."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 600000) i")
    m = migration(source, target, config={"copy": {"jobs": 1, "chunk_bytes": "64kB", "max_load": 0}})
    oldest, locks, backends = 0.0, set(), set()
    with source.connect() as c:
        m.start()
        begun = None
        while True:
            assert m.running(), m.tail()
            try:
                status = m.status()
            except CommandFailed:  # it has no state yet
                continue
            if status["phase"] == "copying":
                begun = begun or time.monotonic()
                rows = c.execute("SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").fetchall()
                oldest = max([oldest, *(age or 0 for _, age in rows)])
                backends |= {pid for pid, _ in rows}
                locks |= {mode for (mode,) in c.execute("SELECT mode FROM pg_locks WHERE relation = 't'::regclass AND pid <> pg_backend_pid()")}
            elif status["phase"] in ("catching_up", "synced"):
                break
    took = time.monotonic() - begun if begun else 0
    assert took > 2, "the copy was too quick to show anything"
    assert oldest < max(1.5, took / 2), f"a transaction was open for {oldest:.1f} s of a copy of {took:.1f} s"
    assert locks <= {"AccessShareLock", "RowShareLock", "ShareUpdateExclusiveLock"}, locks


def test_a_target_that_stands_does_not_hold_the_sources_log(source, target, migration):
    """What is durable in the spool is acknowledged, whatever the target does."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    with target.connect() as lock, source.connect() as c:
        lock.execute("BEGIN; LOCK TABLE t")
        for i in range(10):
            c.execute("UPDATE t SET v = md5(v || %s)", (str(i),))
        end = c.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
        wait_for(lambda: c.execute("SELECT bool_and(confirmed_flush_lsn >= %s) FROM pg_replication_slots WHERE database = current_database()", (end,)).fetchone()[0],
                 60, "the slot to be acknowledged while the target stands")
        assert m.status()["stream"]["lag_bytes"] > 0
        m.kill()  # and what was acknowledged survives
        lock.execute("ROLLBACK")
    m.start()
    equal_at_last(m, source, target)


def test_secrets_are_nowhere(source, target, migration, tmp_path):
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    m = migration(source.url().replace(PASSWORD, "${SOURCE_PW}"), target.url().replace(PASSWORD, "${TARGET_PW}"),
                  environment={"SOURCE_PW": PASSWORD, "TARGET_PW": PASSWORD}, config={"log": {"level": "debug"}})
    said = [m.call(command, expect=None) for command in ("check", "plan")]
    m.start()
    seen = ""
    while m.running():
        for pid in [m.process.pid, *children(m.process.pid)]:
            try:
                seen += Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") + "\n"
            except OSError:
                pass
        try:
            if m.status()["phase"] == "synced":
                break
        except (AssertionError, ValueError):
            pass
    said += [m.call(command, expect=None) for command in ("status", "verify", "cutover", "rollback")]
    texts = seen + m.all_logs() + "".join(r.out + r.err for r in said) + m.http("/v1/status")[1] + m.http("/metrics")[1]
    assert PASSWORD not in texts
    for path in m.state_dir.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    for database in (source, target):  # neither in what it left in the databases nor in what they logged
        dump = subprocess.run(["/usr/lib/postgresql/15/bin/pg_dump", "-d", database.url()], capture_output=True, text=True).stdout
        assert PASSWORD not in dump
    m.stop()
    # a password on the command line is not shown in the process's title
    other = migration(source, target)
    argument = ["--source", source.url(), "--target", target.url()]
    process = subprocess.Popen([str(other.program), "run", "--state", str(m.state_dir), *argument], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: PASSWORD.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes(), 60, "the title without the password")
        assert process.poll() is None, process.stdout.read()
    finally:
        process.kill()
        assert PASSWORD.encode() not in process.communicate()[0]


def children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
            except OSError:
                pass
    return found


@pytest.mark.timeout(800)  # twenty seconds alone; much is written and compared
def test_big_values_and_transactions_in_little_memory(source, target, migration):
    """256 MiB resident with four jobs: values of 200 MB copied and verified, a transaction of 400,000 rows streamed. A
    large value in the stream is what libpq makes of it, and costs six times its size (docs/performance.md)."""
    source.execute("""
        CREATE TABLE big (id int PRIMARY KEY, t text, b bytea); ALTER TABLE big ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
        INSERT INTO big SELECT i, repeat('0123456789', 20000000), NULL FROM generate_series(1, 2) i;
        INSERT INTO big SELECT 10, NULL, decode(repeat('00ff5c27', 50000000), 'hex');
        CREATE TABLE many (id int PRIMARY KEY, a int, v text); INSERT INTO many SELECT i, i, md5(i::text) FROM generate_series(1, 400000) i""")
    m = migration(source, target, config={"copy": {"jobs": 4, "max_load": 0}})
    m.start()
    m.wait_phase("synced", timeout=240)
    copied = m.peak_rss_bytes()
    source.execute("UPDATE many SET a = a + 1, v = md5(v)")
    wait_for(lambda: target.value("SELECT a FROM many WHERE id = 1") == 2, 180, "the large transaction")
    m.call("verify", timeout=240)
    peak = m.peak_rss_bytes()
    assert peak <= 256 * MIB, f"{copied / MIB:.0f} MiB after the copy, {peak / MIB:.0f} MiB with a large transaction and verified"
    source.execute("DELETE FROM big WHERE id < 10; UPDATE big SET id = id + 100 WHERE id = 10; INSERT INTO big VALUES (50, repeat('ab', 15000000), NULL); UPDATE big SET t = t || 'x' WHERE id = 50")
    # A comparison reads all of it and takes its time: first the last change.
    wait_for(lambda: target.value("SELECT max(length(t)) FROM big WHERE id = 50") == 30000001, 180, "the large values")
    equal_at_last(m, source, target)
    streamed = m.peak_rss_bytes()
    print(f"{copied / MIB:.0f} MiB copied, {peak / MIB:.0f} MiB streamed and verified, {streamed / MIB:.0f} MiB with values of 30 MB in the stream")
    assert streamed <= (256 + 6 * 30) * MIB, f"{streamed / MIB:.0f} MiB with values of 30 MB in the stream"


def test_large_transactions_interleave_with_small_ones_and_aborts(source, target, migration):
    """Streamed before they end: two large transactions beside each other, savepoints rolled back inside, one aborted."""
    source.execute("CREATE TABLE many (id int PRIMARY KEY, v text)")
    bank = Bank(source.url(), accounts=20, clients=2, rate=100)
    with source.connect() as c:
        bank.create(c)
    m = migration(source, target, config={"spool": {"memory": "1MB"}})
    m.start()
    m.wait_phase("synced")
    with bank, bank.watch(target.url()), source.connect() as one, source.connect() as two, source.connect() as three:
        for c in (one, two, three):
            c.execute("SET logical_decoding_work_mem = '64kB'; BEGIN")
        for part in range(10):
            base = part * 2000
            one.execute(f"INSERT INTO many SELECT i, 'one' FROM generate_series({base}, {base + 1999}) i")
            two.execute(f"INSERT INTO many SELECT 100000 + i, 'two' FROM generate_series({base}, {base + 1999}) i")
            three.execute(f"INSERT INTO many SELECT 200000 + i, 'three' FROM generate_series({base}, {base + 1999}) i")
            one.execute("SAVEPOINT s; UPDATE many SET v = 'undone'; ROLLBACK TO s")
            two.execute("SAVEPOINT s; UPDATE many SET v = 'kept' WHERE id % 10 = 3; RELEASE s")
        two.execute("COMMIT")
        three.execute("ROLLBACK")
        one.execute("COMMIT")
        wait_for(lambda: target.value("SELECT count(*) FROM many") == 40000, 60, "both transactions")
    equal_at_last(m, source, target)


def test_very_many_tables(source, target, migration):
    """700 small tables, 100 of them without a key."""
    with source.connect() as c:
        c.execute("CREATE SCHEMA m")
        for first in range(0, 700, 100):
            c.execute("; ".join(f"CREATE TABLE m.t{i} (id int {'PRIMARY KEY' if i % 7 else ''}, v text); INSERT INTO m.t{i} VALUES (1, 'a'), (2, NULL)" for i in range(first, first + 100)))
    m = migration(source, target)
    m.start()
    m.wait_phase("synced", timeout=240)
    with source.connect() as c:
        c.execute("; ".join(f"UPDATE m.t{i} SET v = 'b' WHERE id = 2" for i in range(0, 700, 3)))
    equal_at_last(m, source, target)
    m.call("verify", timeout=240)


def test_a_transaction_open_at_the_start_is_named(source, target, migration):
    """A slot cannot be made before every transaction that is open has ended: the run says whom it waits for."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    with source.connect(application_name="nightly-report") as c:
        c.execute("BEGIN; INSERT INTO t VALUES (2)")
        pid = c.info.backend_pid
        m = migration(source, target)
        m.start()
        wait_for(lambda: str(pid) in m.log_text() or "nightly-report" in m.log_text() or not m.running(), 60, "the log to name the session")
        assert m.running(), m.tail()
        c.execute("COMMIT")
    m.wait_phase("synced")
    equal_at_last(m, source, target)


def test_the_copy_gives_way_to_the_sources_own_load(source, target, migration):
    """copy.max_load: with the server busy the copy is slowed, and without it, it is not."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 150000) i")
    m = migration(source, target, config={"copy": {"jobs": 2, "chunk_bytes": "1MB", "max_load": 0.01}})
    busy = [subprocess.Popen(["/usr/lib/postgresql/15/bin/psql", "-qX", "-d", source.url(), "-c", "SELECT count(*) FROM generate_series(1, 2000000000)"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        wait_for(lambda: source.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 2000000000)' AND state = 'active'"
                                      " AND pid <> pg_backend_pid() AND leader_pid IS NULL") == 4, 60, "the load")
        m.start()
        m.wait(lambda s: s["phase"] == "copying" and s["copy"].get("throttled"), 60, "the copy throttled")
    finally:
        for p in busy:
            p.terminate()
            p.wait()
    with source.connect() as c:
        c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 2000000000)' AND pid <> pg_backend_pid()")
    m.wait_phase("synced")
    equal_at_last(m, source, target)


def test_the_planner_has_statistics_when_synced(source, target, migration):
    """Of columns, of indexes on expressions and extended ones: the first queries on the new side must not be planned blind."""
    source.execute("""
        CREATE TABLE t (id int PRIMARY KEY, a int, b int, v text); INSERT INTO t SELECT i, i % 10, i % 10, 'V' || i % 7 FROM generate_series(1, 5000) i;
        CREATE INDEX t_lower ON t (lower(v)); CREATE STATISTICS t_ab (dependencies) ON a, b FROM t""")
    m = migration(source, target)
    m.call("run", "--until", "synced")
    assert target.value("SELECT count(*) FROM pg_stats WHERE tablename = 't'") == 4
    assert target.value("SELECT count(*) FROM pg_stats WHERE tablename = 't_lower'") == 1
    assert target.value("SELECT count(*) FROM pg_statistic_ext_data") == 1
    assert target.value("SELECT reltuples FROM pg_class WHERE relname = 't'") == 5000
    m.call("cancel")
