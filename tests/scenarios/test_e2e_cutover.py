"""Cutover and rollback: guards, dry run, hooks, long transactions, abandoned and unchanged, and killed at every step."""
import threading
import time

import psycopg
import pytest

from harness.compare import compare
from harness.loads import READ_ONLY, Endpoint, Ledger, Pgbench
from harness.midflight import OK, REFUSED, fault_points
from harness.servers import PASSWORD, TOP, wait_for

STEPS = [p for p in fault_points() if p.startswith("cutover.") and p != "cutover.pass"]  # where there is no stream: test_cass_moves.py
DECIDED = ("cutover.open", "cutover.done")


@pytest.fixture
def shop(source, target, migration, tmp_path):
    """A synced and verified migration with a ledger that follows it."""
    class Shop:
        pass
    s = Shop()
    s.source, s.target = source, target
    s.endpoint = Endpoint(tmp_path / "address", source.url())
    s.ledger = Ledger(s.endpoint, clients=3, rate=200)
    with source.connect() as c:
        s.ledger.create(c)
        c.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one')")
    s.m = migration(source, target)
    s.m.hook("on_cutover", s.endpoint.switch_script(target.url()))
    s.m.hook("on_rollback", s.endpoint.switch_script(source.url()))
    s.ledger.start()
    s.m.start()
    s.m.wait_phase("synced")
    s.m.call("verify")
    yield s
    s.ledger.stopping.set()
    for thread in s.ledger.threads:
        thread.join(60)


def goes_on(shop, writes: int = 30) -> None:
    before = shop.ledger.stats.acknowledged
    wait_for(lambda: shop.ledger.stats.acknowledged > before + writes or shop.ledger.failure, 60, "writes")


def settled(shop, side: str) -> None:
    """Writers stop; nothing is missing on the side that has the writes, and both sides become equal."""
    shop.ledger.stop()
    database = shop.target if side == "target" else shop.source
    problems = shop.ledger.check(database.url())
    assert not problems, str(problems)
    wait_for(lambda: compare(shop.source.url(), shop.target.url(), sequences="skip").equal, 60, "both sides equal", 0.3)


def test_dry_run_changes_nothing(shop):
    result = shop.m.call("cutover", "--dry-run")
    assert result.out.strip()
    status = shop.m.status()
    assert status["writes"] == "source" and status["phase"] == "synced"
    goes_on(shop)
    assert not shop.ledger.stats.errors, shop.ledger.stats.errors
    settled(shop, "source")


def test_cutover_and_rollback_lose_nothing(shop):
    for _ in range(2):
        shop.m.call("cutover")
        goes_on(shop)
        assert shop.m.status()["pause_ms"] < 30_000
        shop.m.call("rollback")
        goes_on(shop)
    assert not shop.ledger.stats.unexpected(), shop.ledger.stats.messages
    settled(shop, "source")


def test_a_failing_hook_abandons_the_cutover(shop):
    shop.m.hook("on_before_cutover", "echo the load balancer is not ready >&2; exit 7\n")
    shop.m.stop()
    shop.m.start()
    shop.m.wait_phase("synced")
    result = shop.m.call("cutover", expect=REFUSED)
    assert "on_before_cutover" in result.out + result.err and "7" in result.out + result.err
    assert "mend the hook" in result.out + result.err
    assert shop.m.status()["writes"] == "source"
    goes_on(shop)
    settled(shop, "source")


def test_hooks_get_the_facts(shop):
    out = shop.m.dir / "facts"
    shop.m.hook("on_before_cutover", f"env | grep ^MIDFLIGHT_ > '{out}'\n")
    shop.m.stop()
    shop.m.start()
    shop.m.wait_phase("synced")
    shop.m.call("cutover")
    facts = out.read_text()
    for name in ("MIDFLIGHT_HOOK=on_before_cutover", "MIDFLIGHT_MIGRATION=", "MIDFLIGHT_TARGET_HOST=127.0.0.1\n", f"MIDFLIGHT_TARGET_PORT={shop.target.server.port}\n", "MIDFLIGHT_TARGET_DATABASE="):
        assert name in facts, facts
    assert PASSWORD not in facts


def test_a_long_transaction_abandons_the_cutover_within_the_pause(shop):
    with shop.source.connect() as c:
        c.execute("BEGIN; UPDATE t SET v = 'held' WHERE id = 1")
        shop.ledger.stats.reset_pause()
        begun = time.monotonic()
        result = shop.m.call("cutover", "--max-pause", "500ms", expect=REFUSED)
        assert time.monotonic() - begun < 60  # the transaction does not end
        assert "transaction" in result.out + result.err
        assert shop.m.status()["writes"] == "source"
        c.execute("COMMIT")
    goes_on(shop)
    assert shop.ledger.stats.longest_pause < 8  # its table's lock is waited for 10 s in all
    shop.m.call("cutover")
    assert shop.target.value("SELECT v FROM t WHERE id = 1") == "held"
    goes_on(shop)
    settled(shop, "target")


def test_long_transactions_are_ended_when_the_policy_says_so(shop):
    shop.m.configure(cutover={"long_transactions": "end"})
    shop.m.stop()
    shop.m.start()
    shop.m.wait_phase("synced")
    with shop.source.connect() as c:
        c.execute("BEGIN; UPDATE t SET v = 'held' WHERE id = 1")
        shop.m.call("cutover")
        with pytest.raises(psycopg.Error):
            c.execute("SELECT 1")
    assert shop.target.value("SELECT v FROM t WHERE id = 1") == "one"
    goes_on(shop)
    settled(shop, "target")


def test_a_prepared_transaction_is_not_forgotten(shop):
    with shop.source.connect() as c:
        c.execute("BEGIN; UPDATE t SET v = 'prepared' WHERE id = 1; PREPARE TRANSACTION 'shop-1'")
        result = shop.m.call("cutover", "--max-pause", "500ms", expect=REFUSED)
        assert "prepared" in (result.out + result.err).lower() or "shop-1" in result.out + result.err
        c.execute("COMMIT PREPARED 'shop-1'")
    shop.m.call("cutover")
    assert shop.target.value("SELECT v FROM t WHERE id = 1") == "prepared"


def test_a_writer_waits_then_fails_clearly(shop):
    """A session with an open transaction that has not written yet: its first write after the cutover is refused, not lost."""
    with shop.source.connect() as idle, shop.source.connect() as late:
        idle.execute("BEGIN; SELECT 1")
        shop.m.call("cutover")
        with pytest.raises(psycopg.Error) as refused:
            idle.execute("INSERT INTO t VALUES (2, 'late')")
        assert refused.value.sqlstate == READ_ONLY
        with pytest.raises(psycopg.Error):
            late.execute("DELETE FROM t")
        with pytest.raises(psycopg.Error):
            late.execute("TRUNCATE t")
        assert late.execute("SELECT count(*) FROM t").fetchone() == (1,)  # reading goes on
    settled(shop, "target")


def test_an_unverified_migration_is_not_cut_over(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    result = m.call("cutover", expect=REFUSED)
    assert "verif" in result.out + result.err
    target.execute("SET session_replication_role = replica; DELETE FROM t")
    m.call("verify", expect=4)
    assert "differ" in (r := m.call("cutover", expect=REFUSED)).out + r.err or "verif" in r.out + r.err


def test_cutover_before_synced_is_refused(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 100000) i")
    m = migration(source, target, config={"copy": {"jobs": 1, "chunk_rows": 40}})  # long enough to be met in it
    m.start()
    m.wait_phase("copying")
    m.call("cutover", expect=REFUSED)
    m.call("rollback", expect=(OK, REFUSED))
    m.wait_phase("synced")


def test_writes_go_on_while_the_gates_are_put_up(shop):
    """A long read must not make the gate's lock queue every writer behind it."""
    with shop.source.connect() as reader:
        reader.execute("BEGIN; SELECT count(*) FROM ledger")
        shop.ledger.stats.reset_pause()
        shop.m.call("cutover", "--max-pause", "10s", expect=(OK, REFUSED))
    assert shop.ledger.stats.longest_pause < 20, shop.ledger.stats.longest_pause  # gates are given up after 40 s
    goes_on(shop)
    settled(shop, shop.m.status()["writes"])


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step_of_a_cutover(shop, step):
    """kill -9 just as the step begins; writers are let go by the server itself until the decision; the next run resumes
    or undoes, and nothing is lost either way."""
    shop.m.stop()
    shop.m.start(fault=f"{step}=kill")
    shop.m.wait_phase("synced")
    shop.m.call("cutover", expect=None)
    assert shop.m.wait_exit() == -9, shop.m.tail()
    if step not in DECIDED:
        goes_on(shop, 5)
    shop.m.start()
    status = shop.m.wait_phase("synced", "cut_over", "rolled_back")
    assert status["writes"] == ("target" if step in DECIDED else "source"), status
    goes_on(shop)
    if status["writes"] == "source":
        shop.m.call("cutover")
        goes_on(shop)
    settled(shop, "target")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step_of_a_rollback(shop, step):
    shop.m.call("cutover")
    shop.m.stop()
    shop.m.start(fault=f"{step}=kill")
    shop.m.wait_phase("cut_over")
    shop.m.call("rollback", expect=None)
    try:
        assert shop.m.wait_exit() == -9, shop.m.tail()
    except TimeoutError:
        pytest.fail(f"a rollback does not pass {step}: {shop.m.tail()}")
    shop.m.start()
    status = shop.m.wait_phase("synced", "cut_over", "rolled_back")
    goes_on(shop)
    if status["writes"] == "target":
        shop.m.call("rollback")
        goes_on(shop)
    settled(shop, "source")


def restart(m, **named) -> dict:
    m.stop()
    m.start(**named)
    return m.wait(lambda s: s["running"] and s["phase"] in ("synced", "cut_over", "rolled_back") and (s.get("stream") or {}).get("applied_position"),
                  120, "a run that is synced and has begun to replay")


def record_script(out) -> str:
    return f"env | grep ^MIDFLIGHT_ | sort | tr '\\n' ' ' >> '{out}'; echo >> '{out}'\n"


def test_hook_facts_when_a_cutover_is_undone(shop):
    """FROM, TO and EPOCH of the hook that takes the applications back are those of the way back."""
    out = shop.m.dir / "facts"
    switch = shop.endpoint.switch_script
    shop.m.hook("on_cutover", record_script(out) + switch(shop.target.url()) + "exit 1\n")
    shop.m.hook("on_rollback", record_script(out) + switch(shop.source.url()))
    restart(shop.m)
    shop.m.call("cutover", expect=REFUSED)
    there, back = out.read_text().splitlines()
    for fact in ("HOOK=on_cutover", "FROM=source", "TO=target", "EPOCH=1 "):
        assert f"MIDFLIGHT_{fact}" in there, there
    for fact in ("HOOK=on_rollback", "FROM=target", "TO=source", "EPOCH=0 "):
        assert f"MIDFLIGHT_{fact}" in back, back
    goes_on(shop)
    settled(shop, "source")


@pytest.mark.parametrize("back", [False, True], ids=["cutover", "rollback"])
def test_the_opposite_hook_runs_after_a_crash_whatever_the_epoch(shop, back):
    """Killed between the hook and the decision, with cutovers before it: the next start takes the applications back."""
    out = shop.m.dir / "facts"
    shop.m.call("cutover")
    if not back:
        shop.m.call("rollback")
    shop.m.hook("on_cutover", record_script(out) + shop.endpoint.switch_script(shop.target.url()))
    shop.m.hook("on_rollback", record_script(out) + shop.endpoint.switch_script(shop.source.url()))
    restart(shop.m, fault="cutover.decide=kill")
    shop.m.call("rollback" if back else "cutover", expect=None)
    assert shop.m.wait_exit() == -9, shop.m.tail()
    shop.m.start()
    writer, other = ("target", "source") if back else ("source", "target")
    status = shop.m.wait(lambda s: s["running"] and s["phase"] in ("cut_over", "rolled_back"), 120, "a run that is synced")
    assert status["writes"] == writer, status
    wait_for(lambda: out.read_text().count("\n") == 2, 60, "the opposite hook")
    there, again = out.read_text().splitlines()
    assert f"FROM={writer}" in there and f"TO={other}" in there, there
    assert f"FROM={other}" in again and f"TO={writer}" in again, again
    assert f"EPOCH={1 if back else 2} " in again, again
    goes_on(shop)
    settled(shop, writer)


@pytest.fixture
def one_table(own_server, target, migration):
    """A migration whose source is a server of its own, synced and verified."""
    source = own_server(15, name="alone").create_database("alone")
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one')")
    return source, migration(source, target)


def standby_script(source, value: str) -> str:
    """Sets who must have a COMMIT; one that nobody is waits for it from then on."""
    admin = source.server.url()
    hang = f"import sys\nsys.path.insert(0, {str(TOP / 'tests')!r})\nfrom harness.servers import commits_hang\ncommits_hang({admin!r})\n" if value else ""
    return (f"/usr/bin/python3 - <<'PY'\nimport psycopg\nc = psycopg.connect({admin!r}, autocommit=True)\n"
            f"c.execute(\"ALTER SYSTEM SET synchronous_standby_names = '{value}'\")\nc.execute('SELECT pg_reload_conf()')\n{hang}PY\n")


def deciding(source) -> bool:
    with source.connect() as c:
        return bool(c.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'midflight hold' AND wait_event = 'SyncRep'").fetchone())


def test_a_decision_that_hangs_while_midflight_dies_is_waited_for(one_table, target):
    """A synchronous standby is lost just before the decision: its COMMIT is made whenever the standby is given up, and until then
    nobody may conclude that it was not."""
    source, m = one_table
    m.hook("on_cutover", standby_script(source, "nobody"))
    m.hook("on_rollback", f"touch '{m.dir}/undone'\n")
    m.start()
    m.wait(lambda s: s["running"] and s["phase"] == "synced", 120, "synced")
    m.call("verify")
    moving = threading.Thread(target=lambda: m.call("cutover", expect=None))
    moving.start()
    wait_for(lambda: deciding(source), 60, "the decision hangs")
    m.kill()
    moving.join(60)
    m.start()
    m.wait_log("a decision is still being committed")
    assert deciding(source)
    assert not (m.dir / "undone").exists()
    with source.connect() as c:  # nothing is taken away while it is not known
        assert c.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'midflight_gate_test'").fetchone()[0] == 1
        c.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.Error):
            c.execute("INSERT INTO t VALUES (2, 'not now')")
    with source.connect() as c:
        c.execute("ALTER SYSTEM RESET synchronous_standby_names")
        c.execute("SELECT pg_reload_conf()")
    status = m.wait(lambda s: s["running"] and s["phase"] == "cut_over", 60, "cut_over")
    assert status["writes"] == "target" and status["cutovers"] == 1 and status["pause_ms"] > 0, status
    with source.connect() as c, pytest.raises(psycopg.Error) as refused:
        c.execute("INSERT INTO t VALUES (2, 'late')")
    assert refused.value.sqlstate == READ_ONLY
    target.execute("INSERT INTO t VALUES (3, 'new side')")
    wait_for(lambda: source.value("SELECT count(*) FROM t WHERE id = 3") == 1, 60, "the write comes back")
    assert not (m.dir / "undone").exists()


@pytest.mark.parametrize("given_up", [False, True], ids=["asked_until_known", "asked_again_later"])
def test_a_decision_that_takes_longer_than_its_answer(one_table, target, given_up):
    """The same with midflight alive: it asks until it knows, and tells the pause as it was; where the command has given up asking, the run has not."""
    source, m = one_table
    later = standby_script(source, "").replace("python3 - <<", "python3 - >/dev/null 2>&1 <<")
    wait = f"until test -e '{m.dir}/given_up'; do sleep 0.1; done" if given_up else "sleep 8"
    m.hook("later", f"{wait}\n{later}")
    del m.config["hooks"]["later"]
    m.hook("on_cutover", standby_script(source, "nobody") + f"setsid '{m.dir}/later.sh' >/dev/null 2>&1 &\n")
    m.configure(retry="15s" if given_up else "60s")
    m.start()
    m.wait(lambda s: s["running"] and s["phase"] == "synced", 120, "synced")
    m.call("verify")
    if given_up:
        assert "who may write" in (r := m.call("cutover", expect=1)).out + r.err
        (m.dir / "given_up").touch()
        m.wait(lambda s: s["running"] and s["writes"] == "target", 60, "the decision")
    else:
        told = m.call("cutover", "--json").json
        assert told["writes"] == "target" and told["pause_ms"] > 5000, told
        assert abs(m.status()["pause_ms"] - told["pause_ms"]) < 1
    status = m.status()
    assert status["writes"] == "target" and status["pause_ms"] > 5000 and status["cutovers"] == 1, status


def test_an_answer_that_is_lost_is_asked_for(shop):
    restart(shop.m, fault="postgres.decided=error")
    shop.m.call("cutover")
    status = shop.m.status()
    assert status["writes"] == "target" and status["cutovers"] == 1 and status["pause_ms"] > 0, status
    goes_on(shop)
    settled(shop, "target")


def test_a_statement_that_hangs_does_not_lengthen_the_pause(shop):
    """Somebody locks a table that the fence is written to, when the rehearsal is over."""
    there = shop.m.dir / "locked"
    (shop.m.dir / "lock.py").write_text(
        f"import pathlib, psycopg, time\nc = psycopg.connect({shop.source.url(application_name='lock')!r})\n"
        f"c.execute('LOCK TABLE midflight.heartbeat IN EXCLUSIVE MODE')\npathlib.Path({str(there)!r}).touch()\ntime.sleep(300)\n")
    shop.m.hook("on_before_cutover", f"setsid /usr/bin/python3 '{shop.m.dir}/lock.py' >/dev/null 2>&1 &\nuntil test -e '{there}'; do sleep 0.1; done\n")
    restart(shop.m)
    shop.ledger.stats.reset_pause()
    try:
        result = shop.m.call("cutover", "--max-pause", "3s", expect=REFUSED)
        assert "fence" in result.out + result.err
        goes_on(shop)
        assert shop.ledger.stats.longest_pause < 20, shop.ledger.stats.longest_pause  # the lock stays
    finally:
        shop.source.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lock'")
    settled(shop, "source")


def test_a_slow_hook_does_not_lengthen_the_pause(shop):
    shop.m.hook("on_cutover", "sleep 90\n")
    shop.m.configure(hooks={**shop.m.config["hooks"], "timeout": "80s"})
    restart(shop.m)
    shop.ledger.stats.reset_pause()
    begun = time.monotonic()
    result = shop.m.call("cutover", "--max-pause", "3s", expect=REFUSED)
    assert "on_cutover" in result.out + result.err
    assert time.monotonic() - begun < 60
    goes_on(shop)
    assert shop.ledger.stats.longest_pause < 40, shop.ledger.stats.longest_pause
    settled(shop, "source")


def test_ending_long_transactions_ends_no_others(own_server, target, migration):
    """40 clients and one transaction that does not end: that one is ended, and the cutover goes through."""
    server = own_server(15, name="busy")
    source = server.create_database("busy")
    pgbench = Pgbench(source.url())
    pgbench.initialize(10)
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    m = migration(source, target, config={"cutover": {"max_pause": "16s", "long_transactions": "end", "require_verified": False}})
    m.start()
    m.wait(lambda s: s["running"] and s["phase"] == "synced", 120, "synced")
    m.call("freeze")  # the gates stand from here on
    m.call("thaw")
    pgbench.start(300, clients=40, jobs=2, rate=200)
    wait_for(lambda: (source.value("SELECT count(*) FROM pgbench_history") or 0) > 200, 60, "pgbench writes")
    with source.connect() as c:
        c.execute("BEGIN; INSERT INTO t VALUES (1, 'long')")
        m.call("cutover")
        with pytest.raises(psycopg.Error):
            c.execute("SELECT 1")
    pgbench.stop()
    assert server.log_text().count("terminating connection due to administrator command") == 1, server.log_text()[-4000:]
    assert target.value("SELECT count(*) FROM t") == 0
    assert target.value("SELECT count(*) FROM pgbench_history") == source.value("SELECT count(*) FROM pgbench_history")


def test_a_stop_gives_up_a_cutover_that_waits(shop):
    with shop.source.connect() as c:
        c.execute("BEGIN; UPDATE t SET v = 'held' WHERE id = 1")
        result = {}
        asking = threading.Thread(target=lambda: result.update(r=shop.m.call("cutover", "--max-pause", "60s", expect=None)))
        asking.start()
        shop.m.wait(lambda s: s.get("cutover_step") == "gates", 60, "the gates")
        begun = time.monotonic()
        shop.m.stop()
        assert time.monotonic() - begun < 40  # of the minute that it was to wait
        asking.join(60)
        assert result["r"].exit != OK
    shop.m.start()
    assert shop.m.wait(lambda s: s["running"] and s["phase"] == "synced", 60, "synced")["writes"] == "source"
    goes_on(shop)
    settled(shop, "source")


def test_readers_do_not_queue_behind_the_gates_of_an_abandoned_cutover(shop):
    """A long reader keeps the triggers from being dropped: they stay, open, nobody waits for that, and the next start takes them away."""
    shop.m.hook("on_before_cutover", "exit 7\n")
    restart(shop.m)
    with shop.source.connect() as reader:
        reader.execute("BEGIN; SELECT count(*) FROM ledger")
        time.sleep(1)
        shop.m.call("cutover", expect=REFUSED)
        goes_on(shop, 100)  # the reader stays: who queued behind it would not
        assert shop.source.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'midflight_gate_test'") > 0
    restart(shop.m)
    wait_for(lambda: shop.source.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'midflight_gate_test'") == 0, 60, "the gates go")
    settled(shop, "source")


def test_status_after_a_cutover_tells_the_way_back(shop):
    shop.m.configure(rollback_window="1s")
    restart(shop.m)
    shop.m.call("reads", "20")
    shop.m.call("rollback", "--dry-run")
    assert shop.m.status()["reads_percent"] == 20  # a dry run changes nothing
    assert shop.m.status()["rollback_until"] is None
    shop.m.call("cutover")
    status = shop.m.wait(lambda s: s["rollback_window_over"], 60, "the end of the window")
    assert status["rollback_until"] < time.time()
    shop.m.call("rollback")
    status = shop.m.status()
    assert status["rollback_until"] is None and not status["rollback_window_over"]
    settled(shop, "source")


def test_a_side_that_forgot_who_writes_is_closed_again(shop):
    """As after a standby took over that had not the decision: the source believes that it may be written to."""
    shop.m.call("cutover")
    goes_on(shop)
    shop.m.stop()
    shop.source.execute("UPDATE midflight.epoch SET epoch = epoch - 1, writer = 'source', open = true")
    shop.source.execute("INSERT INTO t VALUES (2, 'nobody stops it')")
    shop.m.start()
    shop.m.wait_phase("cut_over")
    with pytest.raises(psycopg.Error) as refused:
        shop.source.execute("INSERT INTO t VALUES (3, 'somebody does')")
    assert refused.value.sqlstate == READ_ONLY
    assert "has forgotten" in shop.m.all_logs()
    goes_on(shop)
    assert shop.m.status()["writes"] == "target"
