"""Commits that the stream tells of and no reader sees yet.

A transaction is in the stream when it is in the source's log; while its COMMIT waits for a synchronous standby nobody is shown it. What midflight
reads from the source to make up for such a change must not be from before it.
"""
from __future__ import annotations

import threading
import time

import pytest

from harness.compare import equal_at_last
from harness.servers import commits_hang, wait_for


@pytest.fixture
def hanging(own_server, target, migration):
    """source, target, a migration that is synced, and a function that runs a statement whose COMMIT hangs until the second one it gives back is called."""
    server = own_server(15, name="alone")
    source = server.create_database("alone")
    source.execute("CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
                   "INSERT INTO t SELECT i, 1, repeat(md5(i::text), 300) FROM generate_series(1, 3) i")
    m = migration(source, target, config={"on_divergence": "repair", "on_ddl": "additive"})
    m.start()
    m.wait_phase("synced")

    def standby(name: str) -> None:
        with source.connect() as c:
            c.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
            c.execute("SELECT pg_reload_conf()")
        wait_for(lambda: source.value("SHOW synchronous_standby_names") == name, 60, "the setting")
        if name:
            commits_hang(server.url())

    def hang(sql: str):
        standby("nobody")
        writer = threading.Thread(target=lambda: source.execute(sql), daemon=True)
        writer.start()
        wait_for(lambda: source.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = %s", (sql,)) == 1, 60, "a COMMIT that hangs")

        def let_go() -> None:
            standby("")
            writer.join(60)
            assert not writer.is_alive()

        return let_go

    return source, target, m, hang


def test_a_commit_from_before_the_slot_is_waited_for(own_server, target, migration):
    """It began after the server looked whom the slot must wait for, is in the log before the slot's position, and no reader sees it: the stream will never have
    it, so the copy must."""
    source = own_server(15, name="alone").create_database("alone")
    # what midflight itself commits there does not wait for the standby
    source.execute("CREATE TABLE t (id int PRIMARY KEY); ALTER DATABASE alone SET synchronous_commit = local")
    first, second = source.connect(autocommit=False), source.connect(autocommit=False)
    xid = first.execute("SELECT txid_current()").fetchone()[0]
    m = migration(source, target)
    m.start()
    with source.connect() as c:
        def waits(xid) -> bool:
            return bool(c.execute("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND transactionid = %s::text::xid", (str(xid % 2**32),)).fetchone())

        wait_for(lambda: waits(xid), 60, "the slot waits for the first transaction")
        xid = second.execute("SELECT txid_current()").fetchone()[0]
        first.commit()
        wait_for(lambda: waits(xid), 60, "the slot waits for the second one")
        hung = threading.Thread(target=lambda: source.execute("SET synchronous_commit = on; INSERT INTO t VALUES (3)"), daemon=True)
        c.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        c.execute("SELECT pg_reload_conf()")
        wait_for(lambda: c.execute("SHOW synchronous_standby_names").fetchone()[0] == "nobody", 60, "the setting")
        commits_hang(source.server.url())
        hung.start()
        wait_for(lambda: c.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%INTO t %'").fetchone(), 60, "a COMMIT that hangs")
        second.rollback()
        wait_for(lambda: c.execute("SELECT 1 FROM pg_replication_slots WHERE confirmed_flush_lsn IS NOT NULL AND NOT active").fetchone(), 60, "the slot")
        time.sleep(2)  # time in which a copy that does not wait would be over
        assert m.status()["phase"] == "planned", m.tail()
        c.execute("ALTER SYSTEM RESET synchronous_standby_names")
        c.execute("SELECT pg_reload_conf()")
    hung.join(60)
    m.wait_phase("synced")
    equal_at_last(m, source, target)
    assert target.value("SELECT count(*) FROM t") == 1


def test_a_row_is_not_read_again_as_it_was_before_the_change(hanging):
    source, target, m, hang = hanging
    target.execute("DELETE FROM t WHERE id = 1")  # somebody else's: the update finds nothing, and has not the large value
    let_go = hang("UPDATE t SET n = 2 WHERE id = 1")
    m.wait_log("does not show it yet")
    assert source.value("SELECT n FROM t WHERE id = 1") == 1
    let_go()
    wait_for(lambda: target.value("SELECT max(n) FROM t WHERE id = 1") == 2 or not m.running(), 60, "the row as it is after the change")
    equal_at_last(m, source, target)


def test_a_column_is_not_taken_for_dropped_before_it_is_shown(hanging):
    source, target, m, hang = hanging
    let_go = hang("BEGIN; ALTER TABLE t ADD COLUMN more int; UPDATE t SET more = 7 WHERE id = 2; COMMIT")
    m.wait_log("does not show it yet")
    let_go()
    wait_for(lambda: not m.running() or target.value("SELECT count(*) FROM pg_attribute WHERE attname = 'more'") == 1, 60, "the column")
    equal_at_last(m, source, target)
    assert target.value("SELECT more FROM t WHERE id = 2") == 7
