"""mode: native: the target is provisioned by the pipe, becomes a replica of the source by the servers' own means, is verified and watched as
one, and is promoted by the same cutover; from there on midflight's stream carries both ways."""
import MySQLdb
import pytest

from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import DIFFERENT, FAILED, REFUSED, fault_points
from harness.mycompare import equal_at_last, fingerprint, left_of_ours, wait_no_sessions
from harness.compare import fingerprint_differences
from harness.mysql_servers import MysqlServer
from harness.servers import PASSWORD, wait_for
from test_my_migration import Application, nothing_left

NATIVE = {"mode": "native", "copy": {"max_load": 0, "jobs": 2}, "heartbeat": "1s"}
SETTINGS = {"relay-log-recovery": "ON", "relay-log": "relay"}
PARALLEL = {"slave-parallel-workers": "3", "slave-parallel-type": "LOGICAL_CLOCK", "slave-preserve-commit-order": "ON"}  # of targets that are 8.0


class Pairs:
    """Servers of this file alone: replication is a whole server's. A target that followed another source has its history, which check
    does not let pass: it is given up then, and only then."""

    def __init__(self):
        self.made, self.followed = {}, {}

    def server(self, side: str, version: str) -> MysqlServer:
        if (side, version) not in self.made:
            self.made[side, version] = MysqlServer(version, name=side, settings=SETTINGS | (PARALLEL if (side, version) == ("target", "8.0") else {}))
        return self.made[side, version].start()

    def databases(self, name: str, versions: tuple) -> list:
        source, target = (self.server(side, v) for side, v in zip(("source", "target"), versions))
        if self.followed.get(target, source) is not source:
            target.execute("RESET MASTER")
        self.followed[target] = source
        return [source.create_database(name), target.create_database(name)]


@pytest.fixture(scope="module")
def pairs():
    all_ = Pairs()
    yield all_
    for server in all_.made.values():
        server.destroy()


@pytest.fixture
def versions():
    return "5.7", "8.0"


@pytest.fixture
def pair(pairs, versions, request):
    both = pairs.databases(f"{request.node.originalname[5:45]}_{versions[0][0]}{versions[1][0]}", versions)
    yield both
    for database in both:
        if database.server.running():
            if database.server.rows("SHOW SLAVE STATUS"):
                database.server.execute("STOP SLAVE; RESET SLAVE ALL")
            database.drop()
            database.server.drop_book()


def replica_of(database) -> list:
    return database.server.rows("SHOW SLAVE STATUS")


def follows(database) -> dict:
    connection = database.server.connect()
    shown = connection.cursor()
    shown.execute("SHOW SLAVE STATUS")
    row = dict(zip([c[0] for c in shown.description], shown.fetchone()))
    connection.close()
    return row


def created(app, source) -> None:
    connection = source.connect()
    app.create(connection)
    connection.close()
    source.execute("CREATE TABLE plain (id int PRIMARY KEY, v varchar(40), KEY (v)); INSERT INTO plain VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    source.execute("CREATE TABLE audit (id int AUTO_INCREMENT PRIMARY KEY, plain int); CREATE TABLE child (id int PRIMARY KEY, plain int, FOREIGN KEY (plain) REFERENCES plain (id) ON DELETE CASCADE)")
    source.execute("CREATE TRIGGER plain_audit AFTER INSERT ON plain FOR EACH ROW INSERT INTO audit (plain) VALUES (NEW.id)")


def touched(database, n: int) -> None:
    """A trigger's work and a cascade's, once for each row."""
    database.execute(f"INSERT INTO plain VALUES ({n}, 'n'), ({n + 1}, 'n'); INSERT INTO child VALUES ({n}, {n}), ({n + 1}, {n + 1}); DELETE FROM plain WHERE id = {n}")
    assert database.value(f"SELECT COUNT(*) FROM audit WHERE plain IN ({n}, {n + 1})") == 2 and database.value(f"SELECT COUNT(*) FROM child WHERE id >= {n}") == 1


@pytest.mark.parametrize("versions", [("5.7", "8.0"), ("5.7", "5.7"), ("8.0", "8.0")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_there_and_back_and_there(versions, pair, migration, tmp_path):
    source, target = pair
    app = Application(source, target, tmp_path)
    created(app, source)
    tls = versions[0] == "8.0"  # the 5.7 here has none
    m = migration(source.url(ssl_mode="required") if tls else source, target, config=NATIVE)
    m.hook("on_cutover", app.endpoint.switch_script(target.url("app")))
    m.hook("on_rollback", app.endpoint.switch_script(source.url("app")))
    with app.ledger, app.bank:
        m.start()
        m.wait_phase("synced")
        assert follows(target)["Master_SSL_Allowed"] == ("Yes" if tls else "No")
        with app.bank.watch(target.url()) as watch:
            app.writes()
            assert m.call("verify", "--json").json["rows_differing"] == 0
            app.writes()
            touched(source, 100)
            status = m.status()
            assert status["mode"] == "native" and status["stream"]["lag_transactions"] < 1000
            m.call("cutover")
            assert m.status()["writes"] == "target" and not replica_of(target)
            app.writes()
            touched(target, 200)
            wait_for(lambda: watch.snapshots > 10, 60, "snapshots of the target")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("rollback")
        app.writes()
        touched(source, 300)
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("cutover")
        app.writes()
    equal_at_last(m, source, target)
    app.judge(target)
    m.call("complete")
    assert m.wait_exit() == 0
    assert not app.unexpected(), f"{app.unexpected()} {app.messages()}"
    for database in pair:
        wait_no_sessions(database)
        assert not left_of_ours(database), left_of_ours(database)
    assert m.status()["wrong_side_writes"] == 0
    assert PASSWORD not in m.all_logs()


HANDOVER = ["phase.replicate", "native.begin", "native.closed", "native.attached", "native.follow"]
PROMOTION = ["native.promote", "native.promoted"]


def test_killed_on_the_way_to_the_replica_and_at_the_promotion(pair, migration, tmp_path):
    assert sorted(p for p in HANDOVER + PROMOTION if p.startswith("native.")) == sorted(p for p in fault_points() if p.startswith("native."))
    source, target = pair
    endpoint = Endpoint(tmp_path / "address", source.url("app"))
    ledger = Ledger(endpoint, clients=2, rate=60, keyless=True)
    connection = source.connect()
    ledger.create(connection)
    connection.close()
    m = migration(source, target, config=NATIVE)
    m.hook("on_cutover", endpoint.switch_script(target.url("app")))
    m.hook("on_rollback", endpoint.switch_script(source.url("app")))
    with ledger:
        for point in HANDOVER:
            m.start(fault=f"{point}=kill")
            assert m.wait_exit() == -9, f"{point}\n{m.tail()}"
        m.start(fault="native.follow:20=kill")
        assert m.wait_exit() == -9, m.tail()
        m.start()
        m.wait_phase("synced")
        m.call("verify")
        m.kill()
        for point in ["cutover.drain", "cutover.decide", "cutover.open", *PROMOTION, "cutover.done"]:
            m.start(fault=f"{point}=kill")
            seen = m.wait(lambda s: not m.running() or s["streams_open"], 60, "streams, or the end", may_exit=True)
            if m.running() and seen["writes"] == "source":
                m.call("cutover", expect=None)
            if point == "cutover.done" and m.status()["writes"] == "target":
                m.kill()  # it was finished without passing that step again
            assert m.wait_exit() == -9, f"{point}\n{m.tail()}"
        m.start()
        m.wait_phase("synced", "cut_over")
        if m.status()["writes"] == "source":
            m.call("cutover")
        done = ledger.stats.acknowledged
        wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 60, "writes on the target")
        assert not replica_of(target) and m.status()["mode"] == "stream"
        m.call("rollback")
        done = ledger.stats.acknowledged
        wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 60, "writes on the source")
    equal_at_last(m, source, target)
    problems = ledger.check(source.url())
    assert not problems, str(problems)
    assert m.status()["wrong_side_writes"] == 0
    m.call("cancel")
    assert m.wait_exit() == 0


def test_a_replica_that_broke_is_told_and_the_stream_mends_it(pair, migration):
    source, target = pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    before, bare = fingerprint(source), fingerprint(target)
    m = migration(source, target, config=NATIVE)
    m.start()
    m.wait_phase("synced")
    target.execute("SET @midflight = 'test'; DELETE FROM t WHERE id = 2")
    source.execute("UPDATE t SET v = 20 WHERE id = 2")
    source.execute("INSERT INTO t VALUES (4, 4)")
    assert m.wait_exit() == FAILED
    said = m.log_text().splitlines()[-1]
    assert "1032" in said and f"{source.name}.t" in said and "mode: stream" in said, said
    m.start()  # it tries again, and says the same
    assert m.wait_exit() == FAILED and "1032" in m.log_text().splitlines()[-1]
    assert "1032" in m.status()["last_error"]
    m.configure(mode="stream")
    m.start()
    wait_for(lambda: target.rows("SELECT * FROM t ORDER BY id") == [(1, 1), (2, 20), (3, 3), (4, 4)], 60, "the row mended by the stream")
    assert not replica_of(target)
    m.wait_phase("synced")
    equal_at_last(m, source, target)
    assert m.call("cutover", expect=REFUSED).exit == REFUSED  # mended, and not proven since
    m.call("verify")
    m.call("cutover")
    m.call("rollback")
    m.call("cancel")
    assert m.wait_exit() == 0
    nothing_left(source, before)
    nothing_left(target, bare, mine=target.name)


def test_stopped_restarted_and_told(pair, migration):
    """All databases of two servers. STOP SLAVE by somebody else, and a target that is killed and comes back without its filter."""
    source, target = pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    m = migration(source.server.url(), target.server.url(), config=NATIVE)
    m.start()
    m.wait_phase("synced")
    source.server.create_account("elsewhere")
    target.execute("STOP SLAVE")
    source.execute("INSERT INTO t VALUES (2, 2)")
    wait_for(lambda: target.value("SELECT COUNT(*) FROM t") == 2, 60, "replication going on")
    m.wait_log("stopped by somebody else")
    target.server.kill()
    source.execute("INSERT INTO t VALUES (3, 3)")
    target.server.start()
    wait_for(lambda: target.value("SELECT COUNT(*) FROM t") == 3, 60, "replication going on after a restart")
    assert follows(target)["Replicate_Wild_Ignore_Table"].startswith("midflight.%")
    assert PASSWORD not in "".join(map(str, target.server.rows("SELECT * FROM mysql.slave_master_info"))) and PASSWORD not in target.server.log_text()
    assert m.call("verify", "--json").json["rows_differing"] == 0
    book = "SELECT side FROM midflight.heartbeat"
    assert source.server.rows(book) == [("source",)] and target.server.rows(book) == [("target",)]  # neither crossed
    assert not target.server.rows("SELECT user FROM mysql.user WHERE user = 'elsewhere'")
    source.server.execute("DROP USER elsewhere")
    m.restart(fault="cutover.done=kill")
    m.wait(lambda s: s["streams_open"], 60, "streams")
    m.call("cutover", expect=None)
    assert m.wait_exit() == -9 and target.server.value("SELECT `open` FROM midflight.epoch") == 1
    assert not replica_of(target), "it takes writes and follows still"
    m.start()
    m.wait_phase("cut_over")
    m.call("rollback")
    m.call("cancel")
    assert m.wait_exit() == 0


def test_verify_repair_ddl_and_filter(pair, migration):
    source, target = pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(20)); CREATE TABLE a_b (id int PRIMARY KEY); CREATE TABLE aXb (id int PRIMARY KEY); CREATE TABLE left_out (id int PRIMARY KEY)")
    source.execute("INSERT INTO t VALUES " + ", ".join(f"({i}, 'v{i}')" for i in range(1, 2001)))
    before, bare = fingerprint(source), fingerprint(target)
    m = migration(source, target, config={**NATIVE, "tables": {"exclude": [f"{source.name}.left_out", f"{source.name}.aXb"]}, "schema_check": "200ms"})
    m.start()
    m.wait_phase("synced")
    # what is not migrated does not come, not even under a name that a pattern with _ would take
    source.execute("INSERT INTO left_out VALUES (1); INSERT INTO aXb VALUES (1); INSERT INTO a_b VALUES (1)")
    wait_for(lambda: target.value("SELECT COUNT(*) FROM a_b") == 1, 60, "a row of a_b")
    assert not target.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name IN ('left_out', 'aXb')")
    # a difference is found at an exact position, named and mended, and the way back does not bring it
    target.execute("SET @midflight = 'test'; UPDATE t SET v = 'V2' WHERE id = 2; DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (5000, 'extra')")
    found = m.call("verify", "--json", expect=DIFFERENT).json
    assert {d["key"] for d in found["differences"]} == {"id=2", "id=7", "id=5000"}
    m.call("verify", "--repair")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    # a change of the schema travels by itself, and both streams know the table afterwards
    source.execute("ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 5")
    source.execute("UPDATE t SET w = 6 WHERE id = 3")
    wait_for(lambda: (3, "v3", 6) in target.rows("SELECT * FROM t") if target.rows("SHOW COLUMNS FROM t LIKE 'w'") else False, 60, "the new column")
    m.wait_log("the new shape of table")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("freeze")
    with pytest.raises(MySQLdb.Error, match="midflight"):
        source.execute("DELETE FROM t")
    m.call("thaw")
    m.call("cutover", "--dry-run")
    assert replica_of(target)
    m.call("cutover")
    target.execute("INSERT INTO t VALUES (6000, 'new', 60); UPDATE t SET w = 7 WHERE id = 3")
    wait_for(lambda: (3, "v3", 7) in source.rows("SELECT * FROM t WHERE id = 3") and source.value("SELECT w FROM t WHERE id = 6000") == 60, 60, "the way back")
    m.call("rollback")
    source.execute("UPDATE t SET w = 8 WHERE id = 3; INSERT INTO t VALUES (7000, 'again', 70)")
    wait_for(lambda: target.rows("SELECT w FROM t WHERE id IN (3, 7000) ORDER BY id") == [(8,), (70,)], 60, "the stream there")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cancel")
    assert m.wait_exit() == 0
    source.execute("ALTER TABLE t DROP COLUMN w")
    nothing_left(source, before)
    nothing_left(target, bare, mine=target.name)


def findings(m) -> dict:
    return {f["code"]: f for f in m.call("check", "--json", expect=None).json["findings"]}


def test_what_check_says_and_what_the_servers_refuse(pair, mysql_servers, migration):
    source, target = pair
    maria = mysql_servers.get("target", "mariadb").create_database(source.name)
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    try:
        said = findings(migration(source, target, config=NATIVE))
        assert not [c for c, f in said.items() if c.startswith("native") and f["severity"] == "blocker"], said
        assert "native-engine" in findings(migration(source, maria, config=NATIVE))
        assert "native-version" in findings(migration(target, source, config=NATIVE))
        target.server.execute("SET GLOBAL slave_exec_mode = 'IDEMPOTENT', GLOBAL slave_preserve_commit_order = OFF")
        said = findings(migration(source, target, config=NATIVE))
        assert said["native-skips-errors"]["severity"] == "blocker" and said["native-commit-order"]["severity"] == "blocker"
        target.server.execute("SET GLOBAL slave_exec_mode = 'STRICT', GLOBAL slave_preserve_commit_order = ON")
        number = source.server.value("SELECT @@server_id")
        target.server.execute(f"SET GLOBAL server_id = {number}")
        assert findings(migration(source, target, config=NATIVE))["native-server-id"]["severity"] == "blocker"
        target.server.execute(f"SET GLOBAL server_id = {number - 1}")
        # a password that is not the account's: said with what to do, and never shown
        m = migration(source, target, config={**NATIVE, "native": {"user": "nobody", "password": "s3cret-and-wrong"}})
        m.start()
        assert m.wait_exit() == FAILED
        last = m.log_text().splitlines()[-1]
        assert "1045" in last and "native.user" in last and "s3cret" not in m.all_logs(), last
        target.server.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON")
        source.server.create_account("follower", "REPLICATION SLAVE ON *.*", password="right one")
        m.configure(native={"user": "follower", "password": "right one"})
        m.start()
        m.wait(lambda s: s["streams_open"], 60, "streams")
        source.execute("INSERT INTO t VALUES (1, 1)")
        wait_for(lambda: target.value("SELECT COUNT(*) FROM t") == 1, 60, "a row")
        logged = "".join(map(str, target.server.rows("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log")))
        assert "right one" not in m.all_logs() + logged and "START SLAVE IO_THREAD USER = 'follower'" in logged
        assert not target.server.rows("SELECT user FROM mysql.user WHERE user = 'follower'")
        # a table that comes later travels, and is not migrated: said
        m.configure(schema_check="200ms")
        m.restart()
        m.wait(lambda s: s["streams_open"], 60, "streams")
        source.execute("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)")
        assert m.wait_exit() == FAILED and f"{source.name}.later" in m.log_text().splitlines()[-1]
        m.configure(on_ddl="ignore")
        m.start()
        m.wait(lambda s: s["streams_open"] and s["unmigrated_tables"], 60, "streams")
        wait_for(lambda: target.value("SELECT COUNT(*) FROM later") == 1, 60, "the table's row")
        m.call("cancel")
        assert m.wait_exit() == 0 and not replica_of(target)
    finally:
        source.server.execute("DROP USER IF EXISTS follower")
        target.server.execute("SET GLOBAL general_log = OFF")
        maria.drop()


@pytest.mark.parametrize("point", ["native.closed", "native.attached", "native.follow:5"])
def test_cancelled_where_it_was_killed(point, pair, migration):
    source, target = pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    before, bare = fingerprint(source), fingerprint(target)
    m = migration(source, target, config=NATIVE)
    m.start(fault=f"{point}=kill")
    assert m.wait_exit() == -9, m.tail()
    m.call("cancel")
    assert m.status()["phase"] == "cancelled" and not replica_of(target)
    nothing_left(source, before)
    nothing_left(target, bare, mine=target.name)
