"""mode: native: the target is provisioned by the pipe, becomes a replica of the source by the servers' own means, is verified and watched as
one, and is promoted by the same cutover; from there on midflight's stream carries both ways."""
import pytest

from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import FAILED, REFUSED, fault_points
from harness.mycompare import equal_at_last, fingerprint, left_of_ours, wait_no_sessions
from harness.compare import fingerprint_differences
from harness.mysql_servers import MysqlServer
from harness.servers import PASSWORD, wait_for
from test_my_migration import Application

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
