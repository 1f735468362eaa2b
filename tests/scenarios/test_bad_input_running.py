"""What the world does to a migration that runs: each gives a clear error that says what to do, or is survived, and
loses nothing."""
import os

import psycopg
import pytest

from harness.compare import equal_at_last
from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import FAILED, SmallDisk
from harness.servers import wait_for
from harness.wire import Wire


def fill(source, rows: int = 50_000) -> None:
    source.execute(f"""
        CREATE TABLE a (id int PRIMARY KEY, v text NOT NULL, n int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, v text); CREATE INDEX ON a (n);
        INSERT INTO a SELECT i, md5(i::text), i % 100 FROM generate_series(1, {rows}) i; INSERT INTO b SELECT i, i, 'b' FROM generate_series(1, {rows // 10}) i""")


def ended_with(m, *words: str, timeout: float = 90) -> str:
    """The run must end by itself with status 1 and an error that has these words."""
    assert m.wait_exit(timeout) == FAILED, m.tail()
    text = m.log_text()
    for word in words:
        assert word in text, f"{word!r} is not in the log:\n{text[-4000:]}"
    return text


SMALL_CHUNKS = {"copy": {"jobs": 2, "chunk_bytes": "256kB", "max_load": 0}}


@pytest.mark.parametrize("side", ["source", "target"])
def test_connections_dropped_in_every_phase(side, source, target, migration, tmp_path):
    fill(source)
    bank = Bank(source.url(), accounts=20, clients=2, rate=100)
    with source.connect() as c:
        bank.create(c)
    with Wire((source if side == "source" else target).server.port) as wire:
        m = migration(wire.url(source.url()) if side == "source" else source.url(), wire.url(target.url()) if side == "target" else target.url(), config=SMALL_CHUNKS)
        with bank:
            m.start()
            for cut_after in (2_000, 20_000, 200_000, 400_000, 800_000):  # connecting, schema, copy
                wire.cut_after = cut_after
                wait_for(lambda: wire.cut_after is None or not m.running() or "synced: " in m.log_text(), 60, "the cut")
                if not m.running():  # a server that cannot be reached when a run begins is told at once
                    assert m.wait_exit() == FAILED and side in m.log_text(), m.tail()
                    m.start()
            m.wait_phase_again("synced")
            for _ in range(3):  # streaming
                wire.cut()
                done = bank.transfers
                wait_for(lambda: bank.transfers > done + 20, 60, "transfers")
        equal_at_last(m, source, target)
        assert m.running()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_host_that_comes_back_after_a_while(side, source, target, migration):
    fill(source, 1000)
    with Wire((source if side == "source" else target).server.port) as wire:
        m = migration(wire.url(source.url()) if side == "source" else source.url(), wire.url(target.url()) if side == "target" else target.url())
        m.start()
        m.wait_phase("synced")
        refused = wire.connections
        wire.down()
        source.execute("UPDATE a SET n = n + 1")
        m.wait(lambda s: s.get("last_error"), 60, "an error in status")
        assert m.running(), "a lost connection is tried again for a while"
        wire.up()
        wait_for(lambda: wire.connections > refused, 60, "a new connection")
        equal_at_last(m, source, target)
        m.wait(lambda s: not s.get("last_error"), 60, "no error in status")


def test_a_host_that_never_comes_back_ends_the_run(source, target, migration):
    fill(source, 1000)
    with Wire(target.server.port) as wire:
        m = migration(source.url(), wire.url(target.url()), config={"retry": "3s"})
        m.start()
        m.wait_phase("synced")
        wire.down()
        source.execute("UPDATE a SET n = n + 1")
        ended_with(m, "target")
        wire.up()
        m.start()
        equal_at_last(m, source, target)


def test_a_slot_removed_behind_our_back(source, target, migration):
    fill(source, 1000)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.stop()
    slot, = source.rows("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")[0]
    wait_for(lambda: not source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)), 60, "the slot let go")
    source.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    source.execute("UPDATE a SET n = n + 1 WHERE id < 10")
    m.start()
    text = ended_with(m, slot)
    assert "cancel" in text, "it does not say what to do"


def test_a_slot_dropped_while_streaming(source, target, migration):
    fill(source, 1000)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    with source.connect() as c:
        slot = c.execute("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()").fetchone()[0]

        def dropped():
            c.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active", (slot,))
            try:
                c.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
                return True
            except psycopg.errors.ObjectInUse:
                return False
        wait_for(dropped, 60, "the slot dropped", interval=0.001)
    ended_with(m, slot)


def test_a_slot_that_was_lost(database, target, migration):
    """max_slot_wal_keep_size ran out: wal_status is `lost`."""
    source = database("source_keep", max_slot_wal_keep_size="16MB", max_wal_size="32MB", wal_keep_size=0)
    fill(source, 1000)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.stop()
    with source.connect() as c:
        c.execute("CREATE TABLE filler (v text)")
        for _ in range(20):
            c.execute("INSERT INTO filler SELECT repeat(md5(i::text), 30) FROM generate_series(1, 10000) i")
            c.execute("SELECT pg_switch_wal()")
            c.execute("CHECKPOINT")
            if c.execute("SELECT wal_status FROM pg_replication_slots WHERE database = current_database()").fetchone()[0] == "lost":
                break
        else:
            raise AssertionError("the slot was not lost")
    m.start()
    ended_with(m, "max_slot_wal_keep_size", "cancel")


@pytest.mark.parametrize("change", [
    "ALTER TABLE a ADD COLUMN more int NOT NULL DEFAULT 3", "ALTER TABLE a DROP COLUMN n", "ALTER TABLE a ALTER COLUMN n TYPE bigint",
    "ALTER TABLE a RENAME COLUMN n TO m", "DROP TABLE a CASCADE", "ALTER TABLE a RENAME TO z"], ids=["add", "drop", "type", "rename", "droptable", "renametable"])
def test_schema_change_while_streaming_stops_before_it_misreads(change, source, target, migration):
    fill(source, 1000)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    source.execute("UPDATE a SET v = 'before' WHERE id = 1")
    source.execute(change)
    gone = "DROP TABLE" in change
    if not gone:
        source.execute(f"UPDATE {'z' if 'TO z' in change else 'a'} SET v = 'after' WHERE id = 2")
        ended_with(m, "public.a")
    wait_for(lambda: target.value("SELECT v FROM a WHERE id = 1") == "before", 60, "what was committed before the change")
    assert target.value("SELECT v FROM a WHERE id = 2") != "after"


def test_added_nullable_column_is_carried_over_when_asked(source, target, migration):
    fill(source, 1000)
    m = migration(source, target, config={"on_ddl": "additive"})
    m.start()
    m.wait_phase("synced")
    source.execute("ALTER TABLE a ADD COLUMN more text; UPDATE a SET more = 'x' WHERE id = 5")
    wait_for(lambda: not m.running() or target.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'a'::regclass AND attname = 'more'"), 60, "the column")
    equal_at_last(m, source, target)
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY, v text); INSERT INTO fresh VALUES (1, 'new')")
    equal_at_last(m, source, target)
    assert m.running()


@pytest.mark.parametrize("change", ["DROP TABLE b", "ALTER TABLE b DROP COLUMN v"], ids=["drop", "alter"])
def test_table_changed_while_it_is_copied(change, source, target, migration):
    fill(source, 100_000)
    m = migration(source, target, config={"copy": {"jobs": 1, "chunk_rows": 40, "max_load": 0}})  # long enough to be met in it
    m.start()
    m.wait(lambda s: s["phase"] == "copying" and s["copy"]["rows_done"] > 0, 60, "the copy under way")
    source.execute(change)
    ended_with(m, "public.b")


def test_target_row_written_by_someone_else(source, target, migration):
    """An insert that finds its key taken must not be lost, nor end the run in a loop; verify names what differs."""
    fill(source, 1000)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    target.execute("SET session_replication_role = replica; INSERT INTO a VALUES (2000, 'foreign', 0); DELETE FROM a WHERE id = 7; UPDATE a SET v = 'bent' WHERE id = 8")
    source.execute("INSERT INTO a VALUES (2000, 'ours', 1); UPDATE a SET v = 'seven' WHERE id = 7")
    wait_for(lambda: target.value("SELECT v FROM a WHERE id = 2000") == "ours" or not m.running(), 60, "the insert")
    result = m.call("verify", "--json", expect=4)
    assert result.json["rows_differing"] >= 1
    assert "8" in str(result.json)
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
    equal_at_last(m, source, target)


def test_what_someone_else_wrote_is_told_and_no_cutover_before_a_proof(source, target, migration):
    """The row is not whole in the stream (a large value did not change): it is read again. Without a key: the new copy comes."""
    fill(source, 100)
    source.execute("""CREATE TABLE big (id int PRIMARY KEY, n int, v text); ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
        INSERT INTO big SELECT i, 0, repeat(md5(i::text), 500) FROM generate_series(1, 5) i;
        CREATE TABLE bare (x int, y text); INSERT INTO bare VALUES (1, 'one'), (2, 'two')""")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    target.execute("SET session_replication_role = replica; DELETE FROM big WHERE id IN (2, 3); DELETE FROM bare WHERE x = 1")
    source.execute("UPDATE big SET n = 1 WHERE id = 2")
    source.execute("UPDATE bare SET y = 'uno' WHERE x = 1")
    wait_for(lambda: target.value("SELECT count(*) FROM bare WHERE y = 'uno'") == 1 or not m.running(), 60, "the change after it")
    wait_for(lambda: target.value("SELECT n FROM big WHERE id = 2") == 1 or not m.running(), 60, "the row read again")
    status = m.wait(lambda s: s["stream"]["diverged_rows"] >= 2, 60, "the rows counted") or m.status()
    assert status["stream"]["diverged_rows"] == 2
    wait_for(lambda: "public.big, row id=2: an update found no row" in m.log_text(), 60, "the row named in the log")
    refused = m.call("cutover", expect=3)
    assert "not been found equal since" in refused.err
    m.call("verify", "--repair")  # row 3, which the stream did not meet
    m.call("cutover")
    assert m.status()["writes"] == "target"


def corrupt(path, offset: int, size: int = 2048) -> None:
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(os.urandom(size))


def killed_with_a_full_spool(m, source, target) -> None:
    """Apply stands, so that the spool has something to read; then kill -9."""
    fill(source, 1000)
    m.start()
    m.wait_phase("synced")
    with target.connect() as lock:
        lock.execute("BEGIN; LOCK TABLE a")
        source.execute("UPDATE a SET n = n + 1; UPDATE a SET n = n - 1")
        m.wait(lambda s: s["stream"]["lag_bytes"] > 10_000 and s["stream"]["spool_bytes"] > 10_000, 60, "something in the spool")
        m.kill()
        lock.execute("ROLLBACK")


def test_corrupt_spool_is_noticed(source, target, migration):
    """What was acknowledged is lost with the spool: it must be said, and no wrong row written."""
    m = migration(source, target)
    killed_with_a_full_spool(m, source, target)
    wanted = [p for p in m.state_dir.glob("spool-*/*") if p.is_file() and p.stat().st_size > 4096]
    assert wanted
    for path in wanted:
        corrupt(path, path.stat().st_size // 2)
    m.start()
    text = ended_with(m, "spool")
    assert "cancel" in text or "again" in text
    assert target.value("SELECT count(*) FROM a") == 1000


@pytest.mark.parametrize("how", ["file", "wal_gone", "wal_cut", "wal_garbage", "gone"])
def test_corrupt_state_is_noticed(how, source, target, migration):
    """state.db is one page, the rest is in its log: whatever of both is damaged, the run says so and touches no row."""
    m = migration(source, target)
    killed_with_a_full_spool(m, source, target)
    db, wal = m.state_dir / "state.db", m.state_dir / "state.db-wal"
    assert db.stat().st_size >= 4096
    if how == "file":
        wal.unlink()
        corrupt(db, 0)
    elif how == "wal_gone":
        wal.unlink()
    elif how == "wal_cut":
        os.truncate(wal, 5000)
    elif how == "wal_garbage":
        corrupt(wal, 0)
    else:
        db.unlink()
        wal.unlink()
    m.start()
    text = ended_with(m, str(m.state_dir))
    assert "from a copy" in text and "--force" in text
    assert target.value("SELECT count(*) FROM a") == 1000
    m.call("cancel", expect=(1, 2))
    source.execute("UPDATE a SET n = n + 1")
    m.state_dir = m.dir / "other"
    m.call("cancel", expect=1)
    assert target.value("SELECT count(*) FROM a") == 1000
    m.call("cancel", "--force")
    for side in (source, target):
        assert side.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'") == 0
        assert side.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == 0


def test_full_disk_under_the_spool(source, target, migration, tmp_path):
    """The disk fills up: midflight says so and stops or waits, and goes on when there is room again."""
    fill(source, 20_000)
    with SmallDisk(tmp_path / "small") as disk:
        m = migration(source, target, config={"spool": {"segment": "1MB"}})
        m.state_dir = disk.path / "state"
        m.start()
        m.wait_phase("synced")
        with target.connect() as lock:
            lock.execute("BEGIN; LOCK TABLE a")
            with source.connect() as c:
                for i in range(60):
                    c.execute(f"UPDATE a SET v = (SELECT string_agg(md5(random()::text || g), '') FROM generate_series(a.id, a.id + 19) g) WHERE id % 10 = {i % 10}")
            wait_for(m.tells_of_no_space, 60, "the full disk noticed")
            lock.execute("ROLLBACK")
        disk.grow()
        if not m.running():
            assert "space" in m.log_text()
            m.start()
        equal_at_last(m, source, target)
        m.kill()


def test_spool_budget_pushes_back_and_nothing_is_lost(source, target, migration):
    fill(source, 20_000)
    m = migration(source, target, config={"spool": {"budget": "16MB", "segment": "1MB"}})
    m.start()
    m.wait_phase("synced")
    spool = m.state_dir
    with target.connect() as lock:
        lock.execute("BEGIN; LOCK TABLE a")
        with source.connect() as c:
            for i in range(40):
                c.execute(f"UPDATE a SET v = (SELECT string_agg(md5(random()::text || g), '') FROM generate_series(a.id, a.id + 19) g) WHERE id % 10 = {i % 10}")
        m.wait(lambda s: s["stream"].get("stalled_on_budget"), 60, "the budget reached")
        size = sum(p.stat().st_size for p in spool.rglob("*") if p.is_file())
        assert size < 40 << 20, f"{size >> 20} MiB on disk"
        lock.execute("ROLLBACK")
    equal_at_last(m, source, target)


def test_server_restarts_on_either_side(own_server, migration, tmp_path):
    one, two = own_server(15, name="source"), own_server(15, name="target")
    source, target = one.create_database("s"), two.create_database("t")
    fill(source, 5000)
    ledger = Ledger(Endpoint(tmp_path / "address", source.url()), clients=2, rate=100)
    with source.connect() as c:
        ledger.create(c)
    m = migration(source, target)
    with ledger:
        m.start()
        m.wait_phase("synced")
        for server in (one, two, one, two):
            server.kill()
            server.start()
            done = ledger.stats.acknowledged
            wait_for(lambda: ledger.stats.acknowledged > done + 30, 60, "writes")
            assert m.running(), m.tail()
    equal_at_last(m, source, target)
    assert not ledger.check(target.url()), str(ledger.check(target.url()))


def test_a_value_the_target_cannot_hold_is_kept_and_counted(source, target, migration):
    """A stricter constraint on the target: the row goes to quarantine, is listed, counts as a difference, can be retried."""
    fill(source, 100)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    target.execute("ALTER TABLE a ADD CONSTRAINT strict CHECK (n < 1000000)")
    source.execute("UPDATE a SET n = 2000000 WHERE id = 3; INSERT INTO a VALUES (500, 'fine', 1)")
    wait_for(lambda: target.value("SELECT count(*) FROM a WHERE id = 500") == 1, 60, "what came after")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, 60, "one row in quarantine")
    listed = m.call("quarantine", "list")
    assert "public.a" in listed.out and "3" in listed.out and "23514" in listed.out + m.call("quarantine", "list", "--json").out
    m.call("verify", expect=4)
    target.execute("ALTER TABLE a DROP CONSTRAINT strict")
    m.call("quarantine", "retry", expect=2)
    m.call("quarantine", "retry", "all")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, 60, "quarantine empty")
    equal_at_last(m, source, target)
    m.call("verify")
