"""The gate of MySQL and MariaDB: row triggers and one row's lock, asked on each server. What is the same for every engine is in
tests/conformance/test_traffic.c."""
import os
import signal
import threading
import time

import MySQLdb
import pytest

from harness.loads import waits_of
from harness.mydrive import Drive, Refused
from harness.mysql_servers import APP, fetch, ident, run
from harness.servers import wait_for

READ_ONLY = 1290
VERSIONS = ["5.7", "8.0", "mariadb"]
PATIENT = {"max_wait_ms": 60000, "lock_ms": 300}
SHORT = {"max_wait_ms": 1000, "lock_ms": 100}

# Each is one writer's session; all must be refused while the gate is closed and work when it is open.
WRITES = {
    "insert": "INSERT INTO t VALUES (100, 'x')",
    "update": "UPDATE t SET v = 'x' WHERE id = 1",
    "delete": "DELETE FROM t WHERE id = 2",
    "replace": "REPLACE INTO t VALUES (1, 'x')",
    "upsert": "INSERT INTO t VALUES (1, 'x') ON DUPLICATE KEY UPDATE v = 'y'",
    "insert ignore": "INSERT IGNORE INTO t VALUES (101, 'x')",
    "update ignore": "UPDATE IGNORE t SET v = 'x'",
    "delete ignore": "DELETE IGNORE FROM t WHERE id = 1",
    "insert select": "INSERT INTO t SELECT id + 200, v FROM t",
    "multi-table update": "UPDATE t JOIN parent ON parent.id = t.id SET t.v = 'x'",
    "multi-table delete": "DELETE t FROM t JOIN parent ON parent.id = t.id",
    "view": "INSERT INTO seen VALUES (102, 'x')",
    "procedure": "CALL write_it()",
    "partition": "INSERT INTO p VALUES (1, 1)",
    "cascade": "DELETE FROM parent WHERE id = 1",
    "a writer of another migration's name": "SET @midflight = 'other'; INSERT INTO t VALUES (103, 'x')",
    "a limit on selects": "SET sql_select_limit = 0; INSERT INTO t VALUES (104, 'x')",
}
SCHEMA = """CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))
INSERT INTO t VALUES (1, 'one'), (2, 'two')
CREATE TABLE p (id INT, k INT, PRIMARY KEY (id, k)) PARTITION BY HASH (k) PARTITIONS 3
CREATE TABLE parent (id INT PRIMARY KEY)
INSERT INTO parent VALUES (1)
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)
INSERT INTO child VALUES (1, 1)
CREATE VIEW seen AS SELECT id, v FROM t
CREATE TABLE audit (n INT)
CREATE TRIGGER users_own BEFORE INSERT ON t FOR EACH ROW INSERT INTO audit VALUES (NEW.id)
CREATE PROCEDURE write_it() INSERT INTO t VALUES (105, 'x')"""
TABLES = ("t", "p", "parent", "child")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


class Gated:
    """A database with gates, and whoever moves it."""

    def __init__(self, database):
        self.database, self.server = database, database.server
        for statement in SCHEMA.splitlines():
            database.execute(statement)
        self.before = catalogue(self.server)
        self.tables = [{"schema": database.name, "name": name, "identity": "key", "columns": [], "key": []} for name in TABLES]
        self.drive = Drive(database.url(), side="source")
        self.drive("prepare")

    def install(self, **named):
        self.drive("gate", tables=self.tables, **({"lock_ms": 500, "total_ms": 60000} | named))

    def close_gate(self):
        epoch = self.drive("epoch")["epoch"] + 1
        self.drive("hold", **PATIENT)
        self.drive("decide", epoch=epoch, writer="target")

    def open_gate(self):
        self.drive("epoch", epoch=self.drive("epoch")["epoch"] + 1, writer="source", open=True)

    def end(self):
        """Whatever a test that failed left: a prepared transaction keeps its tables' locks for ever."""
        self.drive.process.kill()
        self.drive.close()
        self.server.end_sessions(user=APP)
        for row in self.server.rows("XA RECOVER"):
            self.server.execute(f"XA ROLLBACK '{row[3].decode() if isinstance(row[3], bytes) else row[3]}'")

    def writer(self, autocommit: bool = False):
        return self.database.connect(autocommit, user=APP)

    def waiting(self) -> int:
        """Sessions that wait for a row's lock. Asked once in a while: innodb_trx is renewed when nobody looks."""
        time.sleep(0.12)
        return self.server.value("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")


def catalogue(server) -> list:
    """Everything of the server's that a migration could leave behind."""
    return [server.rows(sql) for sql in (
        "SELECT schema_name, default_character_set_name FROM information_schema.schemata ORDER BY 1",
        "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema NOT IN"
        " ('information_schema', 'performance_schema', 'sys', 'mysql') ORDER BY 1, 2",
        "SELECT trigger_schema, trigger_name, action_order, action_statement FROM information_schema.triggers ORDER BY 1, 2",
        "SELECT routine_schema, routine_name FROM information_schema.routines WHERE routine_schema NOT IN ('sys', 'mysql') ORDER BY 1, 2",
    )]


@pytest.fixture
def gated(mysql_database, version):
    made = Gated(mysql_database("source", version))
    made.install()
    yield made
    made.end()


def outcome(connection, sql: str):
    """The number of the error, or None."""
    try:
        for statement in sql.split("; "):
            run(connection, statement, close=False)
        return None
    except MySQLdb.Error as e:
        return e.args[0]


def test_every_way_to_write_is_refused_while_closed_and_works_after(gated):
    early = gated.writer(True)
    assert outcome(early, "UPDATE t SET v = 'one' WHERE id = 1") is None
    gated.close_gate()
    state = gated.database.rows("SELECT * FROM t")
    assert outcome(early, "UPDATE t SET v = 'x' WHERE id = 1") == READ_ONLY
    for what, sql in WRITES.items():
        connection = gated.writer(True)
        assert outcome(connection, sql) == READ_ONLY, what
        connection.close()
    with pytest.raises(MySQLdb.Error) as e:
        run(early, "INSERT INTO t VALUES (1, 'x')", close=False)
    assert "read-only" in e.value.args[1] and "midflight" in e.value.args[1] and "source" in e.value.args[1]
    assert gated.database.rows("SELECT * FROM t") == state
    assert gated.database.rows("SELECT * FROM audit") == []
    assert gated.server.rows("SELECT trigger_name, action_order FROM information_schema.triggers WHERE trigger_schema = %s"
                             " AND trigger_name = 'users_own'", (gated.database.name,)) == [("users_own", 2)]
    assert gated.database.value("SELECT COUNT(*) FROM child") == 1
    ours = gated.writer(True)
    assert outcome(ours, "SET @midflight = 'test'; INSERT INTO t VALUES (300, 'ours')") is None
    gated.open_gate()
    for what, sql in WRITES.items():
        connection = gated.writer(False)
        assert outcome(connection, sql) is None, what
        connection.rollback()
        connection.close()


@pytest.mark.parametrize("isolation", ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_has_written_is_waited_for_and_a_snapshot_gets_past_no_decision(gated, isolation):
    slow, late = gated.writer(), gated.writer()
    for connection in (slow, late):
        run(connection, f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}", close=False)
        connection.commit()
    fetch(late, "SELECT * FROM parent", close=False)  # its snapshot is older than the decision
    run(slow, "UPDATE t SET v = 'slow' WHERE id = 1", close=False)
    with pytest.raises(Refused) as e:
        gated.drive("hold", **SHORT)
    assert e.value.code == "MFHOLD" and e.value.cls == "abandoned"
    run(slow, "UPDATE t SET v = 'slower' WHERE id = 2", close=False)
    slow.commit()
    gated.close_gate()
    assert outcome(late, "INSERT INTO t VALUES (200, 'late')") == READ_ONLY
    late.rollback()
    assert gated.database.value("SELECT v FROM t WHERE id = 2") == "slower"


def test_a_lock_of_the_gate_makes_no_snapshot(gated):
    """A consistent read in the trigger would, before the statement waits for its own row: the application would read what was before it."""
    first, second = gated.writer(), gated.writer()
    run(first, "UPDATE t SET v = 'first' WHERE id = 1", close=False)
    writing = threading.Thread(target=lambda: run(second, "INSERT INTO t VALUES (1, 'x') ON DUPLICATE KEY UPDATE v = CONCAT(v, ' second')", close=False))
    writing.start()
    wait_for(lambda: gated.waiting() == 1, 60, "the second writer waits")
    run(first, "INSERT INTO t VALUES (400, 'of the first')", close=False)
    first.commit()
    writing.join(60)
    assert fetch(second, "SELECT v FROM t WHERE id IN (1, 400) ORDER BY id", close=False) == [("first second",), ("of the first",)]
    second.commit()


def test_a_writer_that_waits_through_a_decision_is_refused_and_who_was_in_front_goes_on(gated):
    slow, after = gated.writer(), gated.writer(True)
    run(slow, "INSERT INTO t VALUES (300, 'in flight')", close=False)
    gated.drive.send("hold", **PATIENT)
    wait_for(lambda: gated.waiting() == 1, 60, "the hold waits")
    done = []
    writing = threading.Thread(target=lambda: done.append(outcome(after, "INSERT INTO t VALUES (301, 'waited')")))
    # A session whose row is free already waits for the hold, another one goes on until it is its turn: in the end it waits.
    run(slow, "INSERT INTO t VALUES (302, 'still in flight')", close=False)
    slow.commit()
    gated.drive.answer()
    writing.start()
    wait_for(lambda: gated.waiting() == 1, 60, "the writer waits")
    gated.drive("decide", epoch=1, writer="target")
    writing.join(60)
    assert done == [READ_ONLY]
    assert gated.database.rows("SELECT id FROM t WHERE id >= 300 ORDER BY id") == [(300,), (302,)]


@pytest.mark.parametrize("hot", [False, True])
def test_a_hold_is_had_while_many_write_and_no_writer_gets_an_error(gated, hot):
    """8.0 grants shared requests past an exclusive one that waits, once many wait; and a row that all of them change is a deadlock waiting to
    happen: it is the hold that gives way in it."""
    writers = 45
    gated.database.execute("INSERT INTO t VALUES " + ",".join(f"({i}, '')" for i in range(1000, 1000 + writers)))
    over, errors, commits = threading.Event(), [], [0] * writers

    def write(i):
        try:
            connection = gated.writer()
            while not over.is_set():
                run(connection, f"UPDATE t SET v = IF(v = 'a', 'b', 'a') WHERE id = {1000 + i}", close=False)
                if hot:
                    run(connection, "UPDATE t SET v = IF(v = 'a', 'b', 'a') WHERE id = 1", close=False)
                connection.commit()
                commits[i] += 1
            connection.close()
        except Exception as e:
            errors.append(e.args)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(writers)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: errors or sum(commits) > 10 * writers, 60, "many write")
        for _ in range(5):
            gated.drive("hold", max_wait_ms=60000, lock_ms=100)
            gated.drive("release")
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert errors == []


def test_a_prepared_transaction_is_waited_for(gated, version):
    writer = gated.writer(True)
    for statement in ("XA START 'gate'", "INSERT INTO t VALUES (500, 'prepared')", "XA END 'gate'", "XA PREPARE 'gate'"):
        run(writer, statement, close=False)
    with pytest.raises(Refused) as e:  # MariaDB has let go of the shared lock by now
        gated.drive("hold", **SHORT)
    assert e.value.code == "MFHOLD"
    writer.close()
    with pytest.raises(Refused) as e:
        gated.drive("hold", **SHORT)
    assert e.value.code == "MFHOLD"
    assert "prepared" in e.value.text or "performance_schema" in e.value.hint and version == "8.0", e.value
    gated.server.execute("XA COMMIT 'gate'")
    gated.close_gate()


def test_a_transaction_prepared_before_the_gate_is_waited_for(mysql_database, version):
    made = Gated(mysql_database("source", version))
    try:
        writer = made.writer(True)
        for statement in ("XA START 'old'", "INSERT INTO t VALUES (501, 'prepared')", "XA END 'old'", "XA PREPARE 'old'"):
            run(writer, statement, close=False)
        writer.close()
        try:
            made.install(lock_ms=100, total_ms=1000)  # where it keeps the table's metadata lock the gate is not to be had
            code = None
        except Refused as e:
            code = e.code
        if code is None:
            with pytest.raises(Refused) as e:
                made.drive("hold", **SHORT)
            code = e.value.code
        assert code in ("MFLOCK", "MFHOLD")
        made.server.execute("XA ROLLBACK 'old'")
        made.install()
        made.close_gate()
    finally:
        made.end()


def test_truncate_and_drop_are_not_stopped(gated):
    """No trigger sees them: what the gate does not cover, stated. They are in the stream, after the epoch."""
    gated.close_gate()
    gated.database.execute("TRUNCATE TABLE p")
    gated.database.execute("ALTER TABLE t ADD COLUMN more INT")


def test_a_gate_that_was_dropped_is_missed_and_put_up_anew(gated):
    name = gated.server.value("SELECT trigger_name FROM information_schema.triggers WHERE event_object_table = 'parent'"
                              " AND event_manipulation = 'DELETE' AND trigger_schema = %s", (gated.database.name,))
    gated.database.execute(f"DROP TRIGGER {ident(name)}")
    with pytest.raises(Refused) as e:
        gated.drive("hold", **PATIENT)
    assert e.value.code == "MFGATE" and "parent" in e.value.text
    assert outcome(gated.writer(True), "INSERT INTO t VALUES (600, 'writers go on')") is None
    gated.install()
    gated.close_gate()
    assert outcome(gated.writer(True), "DELETE FROM parent") == READ_ONLY


def test_a_renamed_table_keeps_its_gate_and_its_name_is_free(gated):
    gated.database.execute("RENAME TABLE t TO moved")
    gated.database.execute("CREATE TABLE t LIKE moved")
    with pytest.raises(Refused) as e:
        gated.drive("hold", **PATIENT)
    assert e.value.code == "MFGATE"
    gated.install()
    gated.close_gate()
    for table in ("t", "moved"):
        assert outcome(gated.writer(True), f"INSERT INTO {table} VALUES (601, 'x')") == READ_ONLY
    gated.drive("cleanup")
    assert "midflight" not in str(catalogue(gated.server))


@pytest.mark.parametrize("how", ["kill -9", "KILL", "SIGSTOP"])
def test_a_hold_whose_owner_is_gone_is_undone(gated, how):
    def sessions():
        return {row[0] for row in gated.server.rows(f"SELECT id FROM information_schema.processlist WHERE user <> '{APP}'")}

    before = sessions()
    gated.drive("hold", max_wait_ms=6000, lock_ms=100)
    writer = gated.writer(True)
    if how == "kill -9":
        gated.drive.process.kill()
    elif how == "KILL":
        for connection in sessions() - before:
            try:
                gated.server.execute(f"KILL {connection}")
            except MySQLdb.Error:
                pass
    else:
        os.kill(gated.drive.process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    assert outcome(writer, "INSERT INTO t VALUES (700, 'through')") is None
    assert time.monotonic() - begun < 40  # a lock is waited for 50 s
    if how == "SIGSTOP":
        os.kill(gated.drive.process.pid, signal.SIGCONT)
    if how != "kill -9":
        with pytest.raises(Refused) as e:
            gated.drive("decide", epoch=1, writer="target")
        assert e.value.cls == "retry"
    with Drive(gated.database.url(), side="source") as drive:
        drive("settle", wait_ms=20000)
        assert (drive("epoch")["epoch"], drive("epoch")["open"]) == (0, True)


def test_an_owner_killed_in_the_queue_leaves_it(gated):
    slow = gated.writer()
    run(slow, "INSERT INTO t VALUES (701, 'in flight')", close=False)
    gated.drive.send("hold", max_wait_ms=8000, lock_ms=100)
    wait_for(lambda: gated.waiting() == 1, 60, "the hold waits")
    gated.drive.process.kill()
    assert outcome(gated.writer(True), "INSERT INTO t VALUES (702, 'through')") is None
    slow.rollback()


def test_settle_waits_for_a_decision_that_is_on_its_way(gated):
    with Drive(gated.database.url(), side="source") as other:
        other("settle", wait_ms=100)
        slow = gated.writer()
        run(slow, "INSERT INTO t VALUES (703, 'in flight')", close=False)
        other("settle", wait_ms=100)  # writers are not in its way
        slow.commit()
        gated.drive("hold", **PATIENT)
        with pytest.raises(Refused) as e:
            other("settle", wait_ms=200)
        assert (e.value.code, e.value.cls) == ("MFLATE", "retry")
        gated.drive("decide", epoch=5, writer="target")
        other("settle", wait_ms=60000)
        assert other("epoch")["epoch"] == 5


# ---- transactions that do not end ----

MONITORED = {"performance_schema": "ON"}  # without it 8.0 tells nobody whose lock it is


@pytest.fixture
def monitored(mysql_database, version):
    made = Gated(mysql_database("monitored", version, **(MONITORED if version == "8.0" else {})))
    made.install()
    yield made
    made.end()


def test_those_in_the_way_are_named_and_ended_when_asked(monitored):
    slow = monitored.writer()
    run(slow, "INSERT INTO t VALUES (800, 'for ever')", close=False)
    idle = monitored.writer()  # somebody who has only read
    fetch(idle, "SELECT * FROM t", close=False)
    number = fetch(slow, "SELECT CONNECTION_ID()", close=False)[0][0]
    with pytest.raises(Refused) as e:
        monitored.drive("hold", **SHORT)
    assert f"connection {number} ({APP}" in e.value.text, e.value
    monitored.drive("hold", max_wait_ms=10000, lock_ms=100, long="end")
    monitored.drive("release")
    assert outcome(slow, "SELECT 1") in (2006, 2013)
    assert outcome(idle, "SELECT 1") is None
    assert monitored.database.value("SELECT COUNT(*) FROM t WHERE id = 800") == 0


def test_abandoning_holds_nobody(gated):
    slow, writer = gated.writer(), gated.writer(True)
    run(slow, "INSERT INTO t VALUES (801, 'long')", close=False)
    with waits_of(lambda: run(writer, "UPDATE t SET v = 'x' WHERE id = 1", close=False)) as waits:
        with pytest.raises(Refused) as e:
            gated.drive("hold", max_wait_ms=15000, lock_ms=300, long="abandon")
    assert e.value.code == "MFHOLD" and max(waits) < 8, max(waits)  # in the queue it would be fifteen seconds
    slow.rollback()
    gated.drive("hold", max_wait_ms=15000, lock_ms=10000, long="abandon")
    gated.drive("release")


def test_a_refused_transaction_that_stays_open_does_not_keep_its_side_shut(monitored):
    """It has the lock until it ends, and has changed no migrated table. Somebody else's transaction is left alone."""
    stranger, waited = monitored.writer(), monitored.writer()
    done = []
    monitored.drive("hold", **PATIENT)
    writing = threading.Thread(target=lambda: done.append(outcome(waited, "INSERT INTO t VALUES (802, 'x')")))
    writing.start()
    wait_for(lambda: monitored.waiting() == 1, 60, "the writer waits")
    monitored.drive("decide", epoch=1, writer="target")
    writing.join(60)
    fetch(stranger, "SELECT * FROM t", close=False)
    monitored.drive("epoch", epoch=2, writer="source", open=True)
    assert done == [READ_ONLY]
    assert outcome(stranger, "SELECT 1") is None
    assert outcome(monitored.writer(True), "INSERT INTO t VALUES (803, 'open')") is None


# ---- tables' locks ----

def test_a_long_transaction_costs_its_tables_users_next_to_nothing(monitored):
    """CREATE and DROP TRIGGER wait for everybody who has read the table, and everybody else behind them."""
    reader, user = monitored.writer(), monitored.writer(True)
    fetch(reader, "SELECT * FROM parent", close=False)

    def cost() -> list:
        with waits_of(lambda: fetch(user, "SELECT * FROM parent", close=False)) as waits:
            with pytest.raises(Refused) as e:
                monitored.drive("gate", remove=True, lock_ms=100, total_ms=2500)
        assert (e.value.code, e.value.cls) == ("MFLOCK", "abandoned") and "parent" in e.value.text
        return waits

    for _ in range(4):  # the machine may stand still for a moment, though not each time
        waits = cost()
        if next_to_nothing := sum(w for w in waits if w > 0.05) < 1.0 and max(waits) < 0.6:
            break
    assert next_to_nothing, sorted(waits)[-5:]
    reader.rollback()
    monitored.drive("gate", remove=True, lock_ms=500, total_ms=60000)


def test_what_is_missing_is_told_with_its_remedy(mysql_database, version):
    database = mysql_database("plain", version, log_bin_trust_function_creators="OFF")
    server = database.server
    database.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    monitor = "SLAVE MONITOR" if version == "mariadb" else "REPLICATION CLIENT"
    server.create_account("mover", "ALL ON midflight.*", f"SELECT ON {database.name}.*", f"{monitor} ON *.*")
    tables = [{"schema": database.name, "name": "t", "identity": "key", "columns": [], "key": []}]
    with Drive(database.url(user="mover"), side="source") as drive:
        drive("prepare")
        server.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        with pytest.raises(Refused) as e:
            drive("gate", tables=tables, lock_ms=500, total_ms=5000)
        assert "GRANT TRIGGER" in e.value.hint, e.value
        server.execute(f"GRANT TRIGGER ON {ident(database.name)}.* TO 'mover'@'%'")
        server.execute("SET GLOBAL log_bin_trust_function_creators = 0")
        with pytest.raises(Refused) as e:
            drive("gate", tables=tables, lock_ms=500, total_ms=5000)
        assert "log_bin_trust_function_creators" in e.value.hint, e.value
        server.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        reader = database.connect(False, user=APP)
        fetch(reader, "SELECT * FROM t", close=False)
        with pytest.raises(Refused) as e:
            drive("gate", tables=tables, lock_ms=100, total_ms=1000)
        assert e.value.code == "MFLOCK" and "GRANT PROCESS" in e.value.hint, e.value
        reader.rollback()
        drive("gate", tables=tables, lock_ms=500, total_ms=60000)
        if version == "8.0":  # the others let everybody ask for prepared transactions
            with pytest.raises(Refused) as e:
                drive("hold", **PATIENT)
            assert "GRANT PROCESS" in e.value.hint, e.value
            server.execute("GRANT PROCESS ON *.* TO 'mover'@'%'")
    with Drive(database.url(user="mover"), side="source") as drive:  # global rights are those of when a session began
        drive("hold", **PATIENT)
        drive("decide", epoch=1, writer="target")
        assert outcome(database.connect(user=APP), "INSERT INTO t VALUES (1)") == READ_ONLY
        drive("cleanup")


def test_a_replica_is_refused(own_mysql, version):
    """Its applier fires no trigger for what comes in."""
    server = own_mysql(version)
    database = server.create_database("shop")
    database.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    tables = [{"schema": "shop", "name": "t", "identity": "key", "columns": [], "key": []}]
    with Drive(database.url(), side="target") as drive:
        drive("prepare")
        drive("gate", tables=tables, lock_ms=500, total_ms=60000)
        server.execute("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x'")
        server.execute("START SLAVE SQL_THREAD")
        for operation in ({"op": "gate", "tables": tables, "lock_ms": 500, "total_ms": 5000}, {"op": "hold"} | PATIENT):
            with pytest.raises(Refused) as e:
                drive(**operation)
            assert (e.value.code, e.value.cls) == ("MFREPLICA", "abandoned"), e.value
        server.execute("STOP SLAVE")
        drive("hold", **PATIENT)


# ---- the end ----

def test_nothing_of_ours_is_left(gated):
    gated.close_gate()
    with Drive(gated.database.url(), side="source", migration="other") as other:
        other("gate", tables=gated.tables, lock_ms=500, total_ms=60000)
        gated.drive("cleanup")
        left = str(catalogue(gated.server))
        assert "midflight_test_" not in left and "midflight_other_" in left and "'settings'" in left
        assert outcome(gated.writer(True), "INSERT INTO t VALUES (900, 'x')") is None
        other("cleanup")
        gated.database.execute("DELETE FROM t WHERE id = 900")
    assert catalogue(gated.server) == gated.before
    gated.drive("cleanup")


def test_what_others_put_into_our_database_stays(gated):
    gated.server.execute("CREATE TABLE midflight.theirs (id INT)")
    gated.drive("cleanup")
    assert gated.server.rows("SHOW TABLES FROM midflight") == [("theirs",)]


def test_one_run_at_a_time(gated):
    with Drive(gated.database.url(), side="source") as other:
        gated.drive("run_lock", wait_ms=0)
        with pytest.raises(Refused) as e:
            other("run_lock", wait_ms=300)
        assert e.value.code == "MFTWICE" and "127.0.0.1" in e.value.text
        gated.drive("run_lock", check=True)
        gated.drive.process.kill()
        other("run_lock", wait_ms=60000)
        other("run_lock", check=True)
        holder = gated.server.rows("SELECT id FROM information_schema.processlist WHERE user <> %s AND command = 'Sleep'", (APP,))
        for (connection,) in holder:
            try:
                gated.server.execute(f"KILL {connection}")
            except MySQLdb.Error:
                pass  # one of the test's own, which was closed just now
        wait_for(lambda: lost(other), 60, "the lost lock is noticed")


def lost(drive) -> bool:
    try:
        drive("run_lock", check=True)
        return False
    except Refused as e:
        assert (e.code, e.cls) == ("MFLOST", "retry")
        return True
