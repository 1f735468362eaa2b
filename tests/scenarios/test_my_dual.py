"""Dual writes: a commit of the source is answered when the target holds it, and shown to nobody before. MariaDB is the source: it has semi-synchronous
replication built in, and the MySQL servers here come without plug-ins."""
import time

import pytest

from harness.dual import DUAL, begin, degraded_and_back, held_while_the_target_is_stopped, ids, killed_in_either_order, let_go_by_a_stop, state, wait_on
from harness.dual import MyWriter as Writer
from harness.midflight import REFUSED, USAGE
from harness.mycompare import equal_at_last
from harness.servers import wait_for

# While no midflight runs nobody is to wait for one: each test lengthens the timeout for its own time.
SEMISYNC = {"rpl_semi_sync_master_enabled": "ON", "rpl_semi_sync_master_wait_point": "AFTER_SYNC", "rpl_semi_sync_master_timeout": "1"}
PATIENT = 120000
DURABLE = {"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1"}
TARGETS = pytest.mark.parametrize("mysql_versions", [("mariadb", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"to{v[1]}")


@pytest.fixture
def mysql_versions():
    return "mariadb", "mariadb"


@pytest.fixture
def pair(mysql_database, mysql_versions):
    source = mysql_database("dualsource", mysql_versions[0], **SEMISYNC, **DURABLE)
    target = mysql_database("dualtarget", mysql_versions[1], name=source.name, **DURABLE)
    source.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v varchar(40)); INSERT INTO t (v) VALUES ('first')")
    patience(source, PATIENT)
    yield source, target
    patience(source, 1)


def patience(source, ms: int) -> None:
    """How long the source waits for a replica before it goes on without."""
    source.execute(f"SET GLOBAL rpl_semi_sync_master_timeout = {ms}")


@TARGETS
def test_what_was_answered_and_what_is_seen_is_in_the_target(pair, migration):
    """Each answered commit is looked for in the target at once; and whatever any session of the source sees."""
    source, target = pair
    m = begin(migration, pair, on_sick_target="wait")
    there, here = target.connect().cursor(), source.connect().cursor()
    there.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    looks = 0
    with Writer(source) as one, Writer(source) as two:
        end = time.monotonic() + 3
        while time.monotonic() < end or looks < 100 or len(one.answered) <= 100 and not one.error and time.monotonic() < end + 120:
            answered = one.answered[-1:] + two.answered[-1:]
            here.execute("SELECT MAX(id), COUNT(*) FROM t")
            seen, rows = here.fetchone()
            there.execute("SELECT MAX(id) >= %s, COUNT(*) >= %s FROM t", (seen, rows))
            assert there.fetchone() == (1, 1), "the source shows rows that the target does not have"
            for number in answered:
                there.execute("SELECT COUNT(*) FROM t WHERE id = %s", (number,))
                assert there.fetchone()[0] == 1, "answered, and not in the target"
            looks += 1
        assert m.call("verify", "--json").json["rows_differing"] == 0
    assert not one.error and not two.error and len(one.answered) > 100
    wait_on(m)
    assert m.metrics()['midflight_dual_writes{state="on"}'] == 1
    equal_at_last(m, source, target)


def test_killed_source_and_midflight_leave_nothing_answered_behind(own_mysql, migration):
    source_server = own_mysql("mariadb", name="source", settings={**SEMISYNC, **DURABLE})
    target_server = own_mysql("mariadb", name="target", settings=DURABLE)
    source, target = source_server.create_database("shop"), target_server.create_database("shop")
    source.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v varchar(40))")
    patience(source, PATIENT)
    m = begin(migration, (source, target), on_sick_target="wait")
    killed_in_either_order(m, source, target, Writer, lambda: patience(source, PATIENT))
    equal_at_last(m, source, target)


def test_wait_holds_commits_while_the_target_is_stopped(pair, migration):
    source, target = pair
    m = begin(migration, pair, on_sick_target="wait")
    held_while_the_target_is_stopped(m, source, target, Writer)
    equal_at_last(m, source, target)


def test_a_stop_while_commits_wait_lets_them_go_at_once(pair, migration):
    source, target = pair
    m = begin(migration, pair, on_sick_target="wait")
    let_go_by_a_stop(m, source, target, Writer)  # it waits for half of the source's timeout at most
    begun = time.monotonic()
    source.execute("INSERT INTO t (v) VALUES ('alone')")
    assert time.monotonic() - begun < 60, "the source waits for a replica that has left"
    kept = source.rows("SELECT @@global.rpl_semi_sync_master_timeout, @@global.rpl_semi_sync_master_wait_no_slave")
    assert kept == [(PATIENT, 1)], "settings of the source are not as they were"
    m.start()
    m.wait_phase("synced")
    wait_on(m)
    equal_at_last(m, source, target)


def test_degraded_after_some_seconds_and_back_by_itself(pair, migration):
    source, target = pair
    m = begin(migration, pair, on_sick_target="degrade after 5s")
    degraded_and_back(m, source, target)
    equal_at_last(m, source, target)


def test_a_killed_midflight_costs_the_sources_own_timeout(pair, migration):
    source, target = pair
    m = begin(migration, pair)
    patience(source, 1500)
    try:
        m.kill()
        begun = time.monotonic()
        source.execute("INSERT INTO t (v) VALUES ('alone')")
        assert time.monotonic() - begun < 60
        m.start()
        m.wait_phase("synced")
        wait_on(m)
    finally:
        patience(source, PATIENT)
    equal_at_last(m, source, target)


def test_the_source_gives_up_first_and_status_says_so(pair, migration):
    source, target = pair
    m = begin(migration, pair, on_sick_target="wait")
    patience(source, 2000)
    target.server.pause()
    try:
        source.execute("INSERT INTO t (v) VALUES ('given up')")
        m.wait(lambda s: state(s) == "degraded" and "source" in s["dual_writes"]["why"], 60, "the source's word")
    finally:
        target.server.resume()
        patience(source, PATIENT)
    wait_on(m)
    equal_at_last(m, source, target)


def test_changes_of_tables_get_past(pair, migration):
    """An ALTER waits for its own acknowledgement with the table locked, and what the stream must know of it is read there."""
    source, target = pair
    m = begin(migration, pair, on_ddl="additive", on_sick_target="wait")
    begun = time.monotonic()
    with Writer(source) as w:
        source.execute("ALTER TABLE t ADD COLUMN n int NULL")
        source.execute("INSERT INTO t (v, n) VALUES ('with n', 7)")
        source.execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1); TRUNCATE u; INSERT INTO u VALUES (2)")
        m.wait(lambda s: any(t["name"].endswith(".u") for t in s["tables"]), 60, "the new table")
        before = len(w.answered)
        wait_for(lambda: len(w.answered) > before + 20, 60, "commits")
    assert not w.error and time.monotonic() - begun < 100, "something waited for the source's timeout"
    wait_on(m)
    equal_at_last(m, source, target)
    assert target.rows("SELECT n FROM t WHERE v = 'with n'") == [(7,)] and target.rows("SELECT id FROM u") == [(2,)]


def test_a_row_read_again_does_not_wait_for_its_own_answer(pair, migration):
    """An update that is not whole and finds no row is made up for by reading the source, which shows it only when it was answered."""
    source, target = pair
    source.execute("SET GLOBAL binlog_row_image = 'MINIMAL'")
    try:
        source.execute("CREATE TABLE wide (id int PRIMARY KEY, a int, b int); INSERT INTO wide VALUES (1, 1, 1), (2, 2, 2)")
        m = begin(migration, pair, on_sick_target="wait")
        target.execute("DELETE FROM wide WHERE id = 1")
        begun = time.monotonic()
        source.execute("UPDATE wide SET a = 9 WHERE id = 1")
        assert time.monotonic() - begun < 100
        wait_for(lambda: target.rows("SELECT * FROM wide WHERE id = 1") == [(1, 9, 1)], 60, "the row")
        wait_on(m)
    finally:
        source.execute("SET GLOBAL binlog_row_image = 'FULL'")


def test_a_refused_row_is_said_and_not_promised(pair, migration):
    source, target = pair
    m = begin(migration, pair, on_sick_target="degrade after 60s")
    target.execute("ALTER TABLE t MODIFY v varchar(5)")
    source.execute("INSERT INTO t (v) VALUES ('too long for it')")
    status = m.status()
    assert state(status) == "degraded" and "refused 1 row" in status["dual_writes"]["why"], status["dual_writes"]
    source.execute("INSERT INTO t (v) VALUES ('short')")
    assert target.value("SELECT COUNT(*) FROM t WHERE v = 'short'") == 1  # the others wait as before
    m.call("quarantine", "drop", "all")
    wait_on(m)


def test_there_and_back_with_dual_writes(pair, migration):
    """Off while the target takes writes, on again after the way back; nothing waits for a timeout on the way."""
    source, target = pair
    m = begin(migration, pair, on_sick_target="wait")
    begun = time.monotonic()
    with Writer(source) as one, Writer(source) as two:
        wait_for(lambda: one.answered and two.answered, 60, "commits")
        m.call("verify")
        m.call("cutover")
        wait_for(lambda: one.error and two.error, 60, "the old side to refuse")
    assert not {*one.answered, *two.answered} - ids(target)
    target.execute("INSERT INTO t (v) VALUES ('there')")
    m.wait(lambda s: state(s) == "off", 60, "dual writes off")
    m.call("rollback")
    source.execute("INSERT INTO t (v) VALUES ('back')")
    wait_on(m)
    source.execute("INSERT INTO t (v) VALUES ('both')")
    assert target.value("SELECT COUNT(*) FROM t WHERE v = 'both'") == 1
    assert time.monotonic() - begun < 100, "something waited for the source's timeout"
    equal_at_last(m, source, target)


def test_check_blocks_what_would_make_the_promise_empty(pair, mysql_servers, migration):
    source, target = pair
    m = migration(*pair, config=DUAL)
    on_source = {"rpl_semi_sync_master_enabled": ("OFF", "ON", "semi-sync"), "rpl_semi_sync_master_wait_point": ("AFTER_COMMIT", "AFTER_SYNC", "semi-sync-wait-point")}
    on_target = {"innodb_flush_log_at_trx_commit": ("2", "1", "target-durability"), "sync_binlog": ("0", "1", "target-durability")}
    assert "semi-sync-no-replica" in m.call("check").out
    for database, settings in ((source, on_source), (target, on_target)):
        for name, (bad, good, code) in settings.items():
            quoted = [f"'{v}'" if v.startswith("AFTER") else v for v in (bad, good)]
            database.execute(f"SET GLOBAL {name} = {quoted[0]}")
            try:
                said = m.call("check", expect=REFUSED).out
                assert code in said and name in said, said
            finally:
                database.execute(f"SET GLOBAL {name} = {quoted[1]}")
    patience(source, 100)
    assert "semi-sync-timeout" in m.call("check").out
    patience(source, PATIENT)


def test_another_semi_synchronous_replica_may_not_answer_in_our_place(pair, own_mysql, migration):
    source, target = pair
    other = own_mysql("mariadb", name="replica", settings={"rpl_semi_sync_slave_enabled": "ON"})
    m = begin(migration, pair)
    other.execute(f"""SET GLOBAL gtid_slave_pos = '{source.value("SELECT @@global.gtid_binlog_pos")}';
        CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={source.server.port}, MASTER_USER='admin',
        MASTER_PASSWORD='{__import__("harness.servers").servers.PASSWORD}', MASTER_USE_GTID=slave_pos; START SLAVE""")
    m.wait(lambda s: state(s) == "degraded" and "replicas" in s["dual_writes"]["why"], 60, "the other replica noticed")
    assert "semi-sync-replicas" in m.call("check", expect=REFUSED).out
    other.execute("STOP SLAVE")
    wait_on(m)


def test_what_cannot_be_configured_is_said(migration, tmp_path):
    m = migration("mysql://u@127.0.0.1:1/a", "mysql://u@127.0.0.1:2/a", config={"on_sick_target": "degrade after a while"})
    assert "degrade after 2s" in (said := m.call("run", expect=USAGE)).err + said.out
    m.configure(dual_writes="on", on_sick_target="wait", mode="native")
    assert "not with mode: native" in (said := m.call("run", expect=USAGE)).err + said.out
