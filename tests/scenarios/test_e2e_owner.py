"""A migration belongs to one state directory and is run by one process; who may write is asked of the databases; requests
wait for the streams."""
import os
import shutil
import signal
import sqlite3
import threading
import time

import pytest

from harness.compare import compare
from harness.midflight import FAILED, REFUSED
from harness.servers import wait_for
from harness.wire import Wire


def alive(m, *phases: str, timeout: float = 120):
    return m.wait(lambda s: s["running"] and s["phase"] in phases and s["streams_open"], timeout, f"running and {phases}")


def begun(m, source, rows: int = 100) -> None:
    source.execute(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, {rows}) i")
    m.start()
    alive(m, "synced")


def moved(m) -> None:
    m.call("verify")
    m.call("cutover")
    alive(m, "cut_over")


def set_state(m, key: str, value: str) -> None:
    """The run is dead: what its state directory says is changed behind its back."""
    with sqlite3.connect(m.state_dir / "state.db") as c:
        c.execute("UPDATE fact SET value = ? WHERE key = ?", (value, key))
    c.close()


@pytest.mark.parametrize("after", ["synced", "cut_over"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "stopped"])
def test_another_state_directory_is_refused(after, live, source, target, migration):
    m = migration(source, target)
    begun(m, source)
    if after == "cut_over":
        moved(m)
        target.execute("INSERT INTO t SELECT i, 'acknowledged' FROM generate_series(1001, 1100) i")
    if not live:
        m.stop()
    other = migration(source, target)
    result = other.call("run", "--until", "synced", expect=FAILED)
    assert "MFTWICE" in result.err + result.out and str(m.state_dir) in result.err + result.out, str(result)
    assert other.call("cancel", expect=FAILED).err.count(str(m.state_dir)) == 1
    if after == "cut_over":
        assert target.value("SELECT count(*) FROM t WHERE v = 'acknowledged'") == 100
        other.call("cancel", "--force", expect=REFUSED if not live else FAILED)
        assert target.value("SELECT count(*) FROM t") == 200
    if live:
        assert m.running()
        (target if after == "cut_over" else source).execute("INSERT INTO t VALUES (5000, 'still')")
        wait_for(lambda: (source if after == "cut_over" else target).value("SELECT count(*) FROM t WHERE id = 5000") == 1, 60, "it still streams")
    else:
        m.start()
        alive(m, after)
    m.call("complete" if after == "cut_over" else "cancel")


def test_a_copy_of_the_state_directory_does_not_run_beside_it(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    other = migration(source, target)
    shutil.copytree(m.state_dir, other.state_dir, ignore=shutil.ignore_patterns("*.sock", "lock"))
    result = other.call("run", "--until", "synced", expect=FAILED)
    assert "MFTWICE" in result.err + result.out, str(result)
    assert m.running()
    source.execute("INSERT INTO t VALUES (5000, 'still')")
    wait_for(lambda: target.value("SELECT count(*) FROM t WHERE id = 5000") == 1, 60, "it still streams")


def test_a_directory_that_was_moved_is_the_same_one(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    m.stop()
    moved_to = m.dir / "moved"
    m.state_dir.rename(moved_to)
    m.state_dir = moved_to
    m.start()
    alive(m, "synced")


def test_the_run_lock_is_taken_again(source, target, migration):
    m = migration(source, target)
    begun(m, source)

    def holder():
        return target.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'midflight run' AND datname = current_database()")
    first = holder()
    assert len(first) == 1
    target.execute("SELECT pg_terminate_backend(%s)", (first[0][0],))
    wait_for(lambda: holder() and holder() != first, 60, "another session")
    assert m.running()
    m.call("verify")


@pytest.mark.parametrize("command", ["cancel", "complete"])
def test_the_databases_say_who_writes(command, source, target, migration):
    """A state that is behind the databases must not let `cancel` throw the target's writes away, nor `complete` the source's."""
    m = migration(source, target)
    begun(m, source)
    if command == "cancel":
        moved(m)
    m.stop()
    if command == "cancel":
        set_state(m, "writer", "source")
    else:
        with sqlite3.connect(m.state_dir / "state.db") as c:
            c.execute("INSERT OR REPLACE INTO fact VALUES ('writer', 'target')")
        c.close()
    result = m.call(command, expect=REFUSED)
    assert ("target" if command == "cancel" else "source") in result.err + result.out
    assert source.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'") == 1


def test_a_start_that_fails_half_way_is_gone_on_with(source, target, migration):
    """Killed after the decision; at the next start one error comes between opening the streams and finishing the cutover."""
    m = migration(source, target)
    begun(m, source)
    m.call("verify")
    m.stop()
    m.start(fault="cutover.open=kill")
    alive(m, "synced")
    m.call("cutover", expect=None)
    m.wait_exit()
    m.start(fault="migration.writers=error")
    alive(m, "cut_over")
    target.execute("INSERT INTO t VALUES (6000, 'open')")
    wait_for(lambda: source.value("SELECT count(*) FROM t WHERE id = 6000") == 1, 60, "the stream back")
    m.call("verify")


def test_a_request_is_told_why_the_streams_are_not_open(source, target, migration):
    """The target goes away while they are being opened: who needs them gets the reason, readiness says no, the run lives."""
    with Wire(target.server.port) as wire:
        m = migration(source.url(), wire.url(target.url()))
        begun(m, source)
        moved(m)
        m.stop()
        m.start(fault="migration.writers=stop")
        wait_for(lambda: open(f"/proc/{m.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", 60, "it to stand")
        wire.down()
        m.process.send_signal(signal.SIGCONT)
        m.wait(lambda s: s["running"], 60, "running")
        assert m.http("/readyz")[0] == 503
        refused = m.call("verify", expect=FAILED)
        assert "streams could not be opened" in refused.err
        wire.up()
        alive(m, "cut_over")
        assert m.http("/readyz")[0] == 200
        m.call("verify")
        m.call("rollback")


def test_commands_right_after_the_start_wait_for_the_streams(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    for _ in range(3):
        m.stop()
        m.start()
        wait_for(lambda: m.call("verify", expect=None).exit == 0 if (m.state_dir / "api.sock").exists() else False, 60, "a verify")
    statuses = set()
    m.stop()
    m.start()

    def ask():
        try:
            statuses.add(m.http("/v1/verify", "POST", {})[0])
            return True
        except OSError:
            return False
    wait_for(ask, 60, "the socket", interval=0.001)
    assert statuses == {200}, statuses
    assert m.http("/readyz")[0] == 200


def test_a_cancel_that_fails_is_gone_on_with(source, target, migration):
    """The table is held, so the cleaning fails half-way; the run must not go on as if nothing had been, and the next cancel ends it."""
    source.execute("CREATE TABLE n (v int)")  # without a key: its identity has to be put back, which takes its lock
    m = migration(source, target)
    begun(m, source)
    with source.connect() as lock:
        lock.execute("BEGIN; LOCK TABLE n IN ROW EXCLUSIVE MODE")
        result = m.call("cancel", expect=FAILED)
        refused = m.call("verify", expect=(FAILED, REFUSED))
        assert "ended" in refused.err + refused.out or "no migration runs" in refused.err + refused.out, str(refused)
        lock.execute("ROLLBACK")
    assert "midflight cancel again" in result.err, str(result)
    if m.running():
        wait_for(lambda: not m.running(), 120, "the end")
    m.call("cancel", expect=(0, REFUSED))
    assert m.status()["phase"] == "cancelled"
    assert source.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'") == 0


def test_nohup_is_respected(source, target, migration):
    m = migration(source, target)
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        m.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    alive(m, "synced")
    m.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)  # nothing is to happen
    assert m.running()
    m.stop()
    m.start()
    alive(m, "synced")
    m.process.send_signal(signal.SIGHUP)
    assert m.wait_exit() == 0


def test_quarantine_of_the_way_back(source, target, migration):
    """After the cutover the source refuses a row: its entry is the reverse direction's, and rollback would lose the row."""
    m = migration(source, target)
    source.execute("CREATE TABLE f (id int PRIMARY KEY, n int)")
    begun(m, source)
    target.execute("ALTER TABLE f ADD CONSTRAINT strict CHECK (n < 100)")
    source.execute("INSERT INTO f VALUES (1, 500)")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, 60, "the forward entry")
    m.call("verify", expect=4)
    m.call("cutover", expect=REFUSED)
    m.configure(cutover={"require_verified": False})
    m.stop()
    m.start()
    alive(m, "synced")
    m.call("cutover")
    m.configure(cutover={"require_verified": True})
    m.stop()
    m.start()
    alive(m, "cut_over")
    # the forward entry is the only copy of the row that the target has: it must not go by a retry from the wrong side
    result = m.call("quarantine", "retry", "all", expect=REFUSED)
    assert "target" in result.err
    assert [r["direction"] for r in m.call("quarantine", "--json").json["rows"]] == ["forward"]
    source.execute("SET session_replication_role = replica; SET midflight.writer = 'test'; ALTER TABLE t ADD CONSTRAINT strict CHECK (v <> 'bad')")
    target.execute("INSERT INTO t VALUES (7000, 'bad'), (7001, 'good')")
    m.wait(lambda s: s["quarantine"]["rows"] == 2, 60, "both entries summed")
    rows = m.call("quarantine", "list", "--json").json["rows"]
    assert sorted(r["direction"] for r in rows) == ["forward", "reverse"]
    refused = m.call("rollback", expect=REFUSED)
    assert "quarantine" in refused.err
    m.call("quarantine", "retry", "99999", expect=FAILED)
    back = next(r["id"] for r in rows if r["direction"] == "reverse")
    m.call("quarantine", "retry", str(back), "--direction", "reverse", expect=(FAILED, REFUSED))  # refused again: the entry stays
    m.wait(lambda s: s["quarantine"]["rows"] == 2, 60, "both entries still")
    source.execute("ALTER TABLE t DROP CONSTRAINT strict")
    if not m.running():
        m.start()
        alive(m, "cut_over")
    m.call("quarantine", "retry", str(back), "--direction", "reverse")
    assert source.value("SELECT v FROM t WHERE id = 7000") == "bad"
    m.call("quarantine", "drop", "all", "--direction", "forward")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, 60, "none")
    m.call("rollback")


def test_guards_take_a_whole_verification_only(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    m.call("verify", "--table", "public.t")
    m.call("cutover", expect=REFUSED)
    m.call("verify", "--sample", "0.5")
    m.call("cutover", expect=REFUSED)
    m.call("verify")
    target.execute("SET session_replication_role = replica; UPDATE t SET v = 'bent' WHERE id = 3")
    m.call("verify", "--table", "public.t", expect=4)
    m.call("cutover", expect=REFUSED)
    repaired = m.call("verify", "--repair")
    assert "repaired" in repaired.out
    m.call("cutover", "--dry-run")


def test_a_wrong_side_write_is_settled_by_a_verification(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    target.execute("INSERT INTO t VALUES (9000, 'wrong side')")
    m.wait(lambda s: s["wrong_side_writes"] == 1, 60, "the write seen")
    m.call("verify", expect=4)
    refused = m.call("cutover", expect=REFUSED)
    assert "may not write" in refused.err or "differ" in refused.err
    m.call("verify", "--repair")
    m.call("cutover")
    assert target.value("SELECT count(*) FROM t WHERE id = 9000") == 0
    assert compare(source.url(), target.url(), sequences="skip").equal


def test_traffic_comes_before_a_verification(source, target, migration):
    """A cutover that is asked for right after a verification was must not wait for all of it, whichever moment it hits."""
    # the server is shared: what its other databases write counts as lag
    m = migration(source, target, config={"cutover": {"require_verified": False, "max_lag": "10GB"}})
    begun(m, source, rows=300_000)
    for _ in range(4):
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (m.http("/v1/verify", "POST", {}, timeout=200), ended.set()))
        thread.start()
        status, body = m.http("/v1/cutover", "POST", {"dry_run": True}, timeout=200)
        assert status == 200, body
        thread.join()
        assert ended.is_set()


def test_the_slot_of_another_database_is_left_alone(source, target, migration):
    """Names of slots are the whole server's: a migration of the same name may run in another database of it."""
    other = source.server.create_database("elsewhere")
    try:
        with other.connect() as c:
            c.execute("SELECT pg_create_logical_replication_slot('midflight_test_rev', 'pgoutput')")
        source.execute("CREATE TABLE t (id int PRIMARY KEY)")
        m = migration(source, target)
        m.start()
        m.wait_phase("synced")
        m.call("cancel")
        assert other.value("SELECT database FROM pg_replication_slots WHERE slot_name = 'midflight_test_rev'") == "elsewhere"
    finally:
        other.execute("SELECT pg_drop_replication_slot('midflight_test_rev')")
        other.drop()


def test_what_a_hook_leaves_running_does_not_keep_the_run(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m = migration(source, target)
    m.hook("on_cutover", f"sleep 300 >/dev/null 2>&1 & echo $! > '{m.dir}/daemon'\n")
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    try:
        assert m.stop() == 0, m.tail()
    finally:
        os.kill(int((m.dir / "daemon").read_text()), signal.SIGKILL)


def test_an_ended_migration_is_not_gone_on_with(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m = migration(source, target)
    assert "there is no migration" in m.call("cancel", expect=FAILED).err
    assert not m.state_dir.exists() or not (m.state_dir / "state.db").exists()
    m.start()
    m.wait_phase("synced")
    m.call("cancel")
    m.wait_exit()
    assert "to begin again" in m.call("status").out
    assert "To begin again" in m.call("run", expect=FAILED).err
