"""mode: native: the target is provisioned by the pipe, becomes a replica of the source by the servers' own means, is verified and watched as
one, and is promoted by the same cutover; from there on midflight's stream carries both ways."""
import pytest

from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import FAILED, REFUSED, fault_points
from harness.mycompare import equal_at_last, fingerprint, left_of_ours, wait_no_sessions
from harness.compare import fingerprint_differences
from harness.mysql_servers import MysqlServer
from harness.servers import PASSWORD, wait_for
from test_my_migration import Application, nothing_left

NATIVE = {"mode": "native", "copy": {"max_load": 0, "jobs": 2}, "heartbeat": "1s", "cutover": {"max_pause": "20s"}}
SETTINGS = {"relay-log-recovery": "ON", "relay-log": "relay"}


@pytest.fixture(scope="module")
def native_servers():
    """Of this file alone: replication is a whole server's."""
    made = {}

    def get(side: str, version: str) -> MysqlServer:
        if (side, version) not in made:
            made[side, version] = MysqlServer(version, name=side, settings=SETTINGS)
        return made[side, version].start()

    yield get
    for server in made.values():
        server.destroy()


@pytest.fixture
def versions():
    return "5.7", "8.0"


@pytest.fixture
def pair(native_servers, versions, request):
    name = request.node.originalname[5:45]
    if versions[0] == versions[1]:  # it followed another source in another test
        native_servers("target", versions[1]).execute("RESET MASTER")
    both = [native_servers(side, v).create_database(f"{name}_{versions[0][0]}{versions[1][0]}") for side, v in zip(("source", "target"), versions)]
    yield both
    for database in both:
        if database.server.running():
            if database.server.rows("SHOW SLAVE STATUS"):
                database.server.execute("STOP SLAVE; RESET SLAVE ALL")
            database.drop()
            database.server.drop_book()


def replica_of(database) -> list:
    return database.server.rows("SHOW SLAVE STATUS")


def created(app, source) -> None:
    connection = source.connect()
    app.create(connection)
    connection.close()
    source.execute("CREATE TABLE plain (id int PRIMARY KEY, v varchar(40), KEY (v)); INSERT INTO plain VALUES (1, 'a'), (2, 'b'), (3, 'c')")


@pytest.mark.parametrize("versions", [("5.7", "8.0"), ("5.7", "5.7"), ("8.0", "8.0")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_there_and_back_and_there(pair, migration, tmp_path):
    source, target = pair
    app = Application(source, target, tmp_path)
    created(app, source)
    m = migration(source, target, config=NATIVE)
    m.hook("on_cutover", app.endpoint.switch_script(target.url("app")))
    m.hook("on_rollback", app.endpoint.switch_script(source.url("app")))
    with app.ledger, app.bank:
        m.start()
        m.wait_phase("synced")
        assert len(replica_of(target)) == 1
        with app.bank.watch(target.url()) as watch:
            app.writes()
            assert m.call("verify", "--json").json["rows_differing"] == 0
            app.writes()
            status = m.status()
            assert status["mode"] == "native" and status["stream"]["lag_transactions"] < 1000
            m.call("cutover")
            assert m.status()["writes"] == "target" and not replica_of(target)
            app.writes()
            assert watch.snapshots > 10
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("rollback")
        app.writes()
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("cutover")
        app.writes()
    equal_at_last(m, source, target)
    app.judge(target)
    m.call("complete")
    assert m.wait_exit(30) == 0
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
            assert m.wait_exit(60) == -9, f"{point}\n{m.tail()}"
        m.start(fault="native.follow:20=kill")
        assert m.wait_exit(60) == -9, m.tail()
        m.start()
        m.wait_phase("synced")
        m.call("verify")
        m.kill()
        for point in ["cutover.drain", "cutover.decide", "cutover.open", *PROMOTION, "cutover.done"]:
            m.start(fault=f"{point}=kill")
            wait_for(lambda: not m.running() or m.status()["streams_open"], 60, "streams, or the end")
            if m.running() and m.status()["writes"] == "source":
                m.call("cutover", expect=None)
            if point == "cutover.done" and m.status()["writes"] == "target":
                m.kill()  # it was finished without passing that step again
            assert m.wait_exit(30) == -9, f"{point}\n{m.tail()}"
        m.start()
        m.wait_phase("synced", "cut_over")
        if m.status()["writes"] == "source":
            m.call("cutover")
        done = ledger.stats.acknowledged
        wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 30, "writes on the target")
        assert not replica_of(target) and m.status()["mode"] == "stream"
        m.call("rollback")
        done = ledger.stats.acknowledged
        wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 30, "writes on the source")
    equal_at_last(m, source, target)
    problems = ledger.check(source.url())
    assert not problems, str(problems)
    assert m.status()["wrong_side_writes"] == 0
    m.call("cancel")
    assert m.wait_exit(30) == 0


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
    assert m.wait_exit(60) == FAILED
    said = m.log_text().splitlines()[-1]
    assert "1032" in said and f"{source.name}.t" in said and "mode: stream" in said, said
    m.start()  # it tries again, and says the same
    assert m.wait_exit(60) == FAILED and "1032" in m.log_text().splitlines()[-1]
    assert "1032" in m.status()["last_error"]
    m.configure(mode="stream")
    m.start()
    wait_for(lambda: target.rows("SELECT * FROM t ORDER BY id") == [(1, 1), (2, 20), (3, 3), (4, 4)], 30, "the row mended by the stream")
    assert not replica_of(target)
    m.wait_phase("synced")
    equal_at_last(m, source, target)
    assert m.call("cutover", expect=REFUSED).exit == REFUSED  # mended, and not proven since
    m.call("verify")
    m.call("cutover")
    m.call("rollback")
    m.call("cancel")
    assert m.wait_exit(30) == 0
    nothing_left(source, before)
    nothing_left(target, bare, mine=target.name)


def test_stopped_restarted_and_told(pair, native_servers, migration):
    """STOP SLAVE by somebody else, and a target that is killed and comes back without its filter."""
    source, target = pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    m = migration(source, target, config=NATIVE)
    m.start()
    m.wait_phase("synced")
    target.execute("STOP SLAVE")
    source.execute("INSERT INTO t VALUES (2, 2)")
    wait_for(lambda: target.value("SELECT COUNT(*) FROM t") == 2, 30, "replication going on")
    assert "stopped by somebody else" in m.log_text()
    target.server.kill()
    source.execute("INSERT INTO t VALUES (3, 3)")
    target.server.start()
    wait_for(lambda: target.value("SELECT COUNT(*) FROM t") == 3, 60, "replication going on after a restart")
    shown = target.server.connect().cursor()
    shown.execute("SHOW SLAVE STATUS")
    row = dict(zip([c[0] for c in shown.description], shown.fetchone()))
    assert row["Replicate_Wild_Ignore_Table"].startswith("midflight.%")
    assert PASSWORD not in "".join(map(str, target.server.rows("SELECT * FROM mysql.slave_master_info"))) and PASSWORD not in target.server.log_text()
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cancel")
    assert m.wait_exit(30) == 0 and not replica_of(target)
