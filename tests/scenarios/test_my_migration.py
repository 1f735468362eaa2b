"""The whole of it on MySQL and MariaDB: a live database with every type moves under load, is verified, cut over, written on
the new side, rolled back, cut over again and completed."""

import MySQLdb
import pytest

from harness.dialects import MYSQL_READ_ONLY
from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import DIFFERENT, FAILED, REFUSED, unhurried
from harness.myawkward import MysqlAwkwardLoad, awkward_churn, awkward_data, connect, old_collations
from harness.mycompare import counters, equal_at_last, fingerprint, left_of_ours, schema_differences, wait_no_sessions
from harness.compare import fingerprint_differences
from harness.mysql_servers import APP, VERSIONS
from harness.servers import PASSWORD, wait_for


class Application:
    """A ledger and a bank of an account without special powers, at the endpoint of the moment."""

    def __init__(self, source, target, directory):
        self.endpoint = Endpoint(directory / "address", source.url(APP))
        self.ledger = Ledger(self.endpoint, clients=3, rate=60)
        self.bank = Bank(self.endpoint, accounts=40, clients=2, rate=30)
        self.source, self.target = source, target

    def create(self, connection) -> None:
        self.ledger.create(connection)
        self.bank.create(connection)

    def writes(self, more: int = 30) -> None:
        """Waits until that many more writes have been acknowledged."""
        before, moved = self.ledger.stats.acknowledged, self.bank.transfers
        wait_for(lambda: self.ledger.failure or self.ledger.stats.acknowledged > before + more and self.bank.transfers > moved + 5, 60, "writes")

    def judge(self, database) -> None:
        problems = self.ledger.check(database.url())
        assert not problems, str(problems)
        connection = database.connect()
        assert self.bank.check_snapshot(connection, full=True) is None
        connection.close()

    def unexpected(self) -> dict:
        return {**self.ledger.stats.unexpected(), **self.bank.stats.unexpected()}

    def messages(self) -> dict:
        return {**self.ledger.stats.messages, **self.bank.stats.messages}


def there_and_back_and_there(source, target, migration, tmp_path) -> None:
    app = Application(source, target, tmp_path)
    minus_zero = "mariadb" not in (source.server.version, target.server.version)  # MariaDB has no -0
    if source.server.version == "8.0" != target.server.version:
        old_collations(source)
    with_zero_dates = connect(source, minus_zero)
    awkward_data(with_zero_dates, 100, seed=11)
    app.create(with_zero_dates)
    with_zero_dates.close()
    before, bare = fingerprint(source), fingerprint(target)
    m = migration(source, target, config={"copy": {"max_load": 0}})
    m.hook("on_cutover", app.endpoint.switch_script(target.url(APP)))
    m.hook("on_rollback", app.endpoint.switch_script(source.url(APP)))
    with app.ledger, app.bank, MysqlAwkwardLoad(source, seed=100, pause=10 * unhurried(), minus_zero=minus_zero) as awkward:
        m.call("check")
        m.start()
        m.wait_phase("synced")
        with app.bank.watch(target.url()) as watch:
            done = awkward.committed
            wait_for(lambda: awkward.committed > done + 60 or awkward.failure, 60, "changes while synced")
            assert m.call("verify", "--json").json["rows_differing"] == 0
            awkward.stop()
            m.call("cutover")
            assert m.status()["writes"] == "target"
            app.writes()
            with pytest.raises(MySQLdb.Error) as refused:  # the old side refuses
                source.execute("INSERT INTO key_only VALUES (-1, -1)")
            assert str(refused.value.args[0]) == MYSQL_READ_ONLY and "midflight" in str(refused.value)
            churn(target, 1000)
            wait_for(lambda: watch.snapshots > 10, 60, "snapshots of the target")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("rollback")
        assert m.status()["writes"] == "source"
        app.writes()
        churn(source, 2000, minus_zero)
        m.call("cutover")
        app.writes()
    equal_at_last(m, source, target)
    app.judge(target)
    old, new = counters(source), counters(target)
    assert {t: new[t] for t in old} == {t: max(n, new[t]) for t, n in old.items()}, "a counter is behind"
    m.call("complete")
    assert m.wait_exit() == 0
    assert m.status()["phase"] == "completed"
    assert not app.unexpected(), f"{app.unexpected()} {app.messages()}"
    nothing_left(source, before)
    nothing_left(target, bare, mine=target.name)
    different = schema_differences(source, target)
    assert not different, "\n".join(different[:20])
    assert PASSWORD not in m.all_logs()


def churn(database, seed: int, minus_zero: bool = True) -> None:
    connection = connect(database, minus_zero)
    assert awkward_churn(connection, seed, steps=60) > 20
    connection.close()


def nothing_left(database, before: dict, mine: str | None = None) -> None:
    wait_no_sessions(database)
    left = [line for line in fingerprint_differences(before, fingerprint(database)) if not line.startswith("sessions: gone") and not (mine and line.startswith("tables") and f"'{mine}'" in line)]
    assert not left, left
    assert not left_of_ours(database), left_of_ours(database)


@pytest.mark.parametrize("mysql_versions", [(a, b) for a in VERSIONS for b in VERSIONS], ids=lambda v: f"{v[0]}to{v[1]}")
def test_live_migration_there_and_back_and_there(mysql_pair, migration, tmp_path):
    there_and_back_and_there(*mysql_pair, migration, tmp_path)


def test_a_source_without_gtids(mysql_database, migration, tmp_path):
    """Positions are places in files."""
    source = mysql_database("source", "5.7", gtid=False)
    target = mysql_database("target", "8.0", name=source.name)
    one_way(source, target, migration, tmp_path, awkward=True)


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_a_source_with_partial_images(image, mysql_database, migration, tmp_path):
    """The log has neither the whole old row nor what did not change. Every insert here names all columns."""
    source = mysql_database("source", "5.7", binlog_row_image=image)
    target = mysql_database("target", "8.0", name=source.name)
    one_way(source, target, migration, tmp_path, awkward=False)


def test_an_insert_without_all_columns_under_minimal_images_is_not_guessed(mysql_database, migration):
    """The log leaves the columns out that took their default: their values are not in it."""
    source = mysql_database("source", "5.7", binlog_row_image="MINIMAL")
    target = mysql_database("target", "8.0", name=source.name)
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int DEFAULT 7); INSERT INTO t (id) VALUES (1)")
    m = migration(source, target, config={"copy": {"max_load": 0}})
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO t (id) VALUES (2)")
    assert m.wait_exit() == FAILED
    assert "MFIMAGE" in m.log_text() and f"{source.name}.t" in m.log_text() and "binlog_row_image" in m.log_text()
    assert target.rows("SELECT id, v FROM t") == [(1, 7)]


def one_way(source, target, migration, tmp_path, awkward: bool) -> None:
    app = Application(source, target, tmp_path)
    with_zero_dates = connect(source)
    awkward_data(with_zero_dates, 60, seed=12)
    app.create(with_zero_dates)
    with_zero_dates.close()
    m = migration(source, target, config={"copy": {"max_load": 0}})
    m.hook("on_cutover", app.endpoint.switch_script(target.url(APP)))
    churned = MysqlAwkwardLoad(source, seed=300, pause=10 * unhurried())
    with app.ledger, app.bank:
        if awkward:
            churned.start()
        m.start()
        m.wait_phase("synced")
        with app.bank.watch(target.url()):
            if awkward:
                done = churned.committed
                wait_for(lambda: churned.committed > done + 60 or churned.failure, 60, "changes while synced")
                churned.stop()
            app.writes()
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("cutover")
        app.writes()
        churn(target, 3000)
    equal_at_last(m, source, target)
    app.judge(target)
    assert not app.unexpected(), f"{app.unexpected()} {app.messages()}"


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_corruption_is_found_named_and_repaired(mysql_pair, migration):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(20), d decimal(10,2), n double, b blob)")
    source.execute("INSERT INTO t VALUES " + ", ".join(f"({i}, 'v{i}', {i}.50, {i}.1, x'00FF')" for i in range(1, 2001)))
    source.execute("UPDATE t SET v = '' WHERE id = 6")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    target.execute("""UPDATE t SET v = 'V2' WHERE id = 2; UPDATE t SET d = d + 0.01 WHERE id = 3; UPDATE t SET n = -n WHERE id = 4;
        UPDATE t SET b = x'00FE' WHERE id = 5; UPDATE t SET v = NULL WHERE id = 6; DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (5000, 'extra', 1, 1, NULL)""")
    found = m.call("verify", "--json", expect=DIFFERENT).json
    assert {d["key"] for d in found["differences"]} == {f"id={i}" for i in (2, 3, 4, 5, 6, 7, 5000)}
    assert {d["key"]: d["where"] for d in found["differences"] if d["kind"] == "differs"} == {"id=2": "v", "id=3": "d", "id=4": "n", "id=5": "b", "id=6": "v"}
    m.call("verify", "--repair")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    equal_at_last(m, source, target)


def test_a_row_that_cannot_be_repaired_keeps_no_other_from_it(mysql_pair, migration):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE u (id int PRIMARY KEY, n int)")
    for name in "tu":
        source.execute(f"INSERT INTO {name} VALUES " + ", ".join(f"({i}, {i})" for i in range(1, 101)))
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    target.execute("DELETE FROM t WHERE id BETWEEN 10 AND 20; UPDATE t SET n = 0; ALTER TABLE t ADD COLUMN narrow tinyint AS (n + 28) STORED; DELETE FROM u WHERE id = 5")
    found = m.call("verify", "--repair", "--json", expect=DIFFERENT).json
    assert found["rows_repaired"] == 100 and found["rows_differing"] == 101, found
    assert "cannot be repaired" in m.log_text() and m.running()
    assert target.rows("SELECT id, n FROM t WHERE id IN (11, 99, 100) ORDER BY id") == [(11, 11), (99, 99), (100, 0)]
    target.execute("ALTER TABLE t DROP COLUMN narrow")
    m.call("verify", "--repair")
    equal_at_last(m, source, target)


def test_a_target_that_stops_just_before_the_decision(mysql_database, own_mysql, migration):
    """The last step before it is a hook: what answered until then may not answer any more."""
    source, server = mysql_database("source", "5.7"), own_mysql("8.0")
    target = server.create_database(source.name)
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m = migration(source, target, config={"cutover": {"max_pause": "12s", "require_verified": False}})
    m.hook("on_cutover", f"[ $MIDFLIGHT_TO != target ] || kill -STOP {server.process.pid}; sleep 0.1\n")
    m.start()
    m.wait_phase("synced")
    try:
        result = m.call("cutover", expect=REFUSED)
        assert "MySQL" in result.err and "the pause has lasted its 12000 ms" in result.err and m.status()["writes"] == "source", result
    finally:
        server.resume()
    source.execute("INSERT INTO t VALUES (1)")
    wait_for(lambda: target.value("SELECT count(*) FROM t") == 1, 60, "the stream goes on")
