"""What a MySQL source does to a migration that runs: each gives a clear error that says what to do, and loses nothing."""
import pytest

from harness.midflight import FAILED
from harness.mycompare import equal_at_last, wait_no_sessions
from harness.servers import wait_for

PAIRS = pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")


def fill(source) -> None:
    source.execute("CREATE TABLE a (id int PRIMARY KEY, v varchar(100) NOT NULL, n int); CREATE TABLE b (id int PRIMARY KEY, v text);"
                   " INSERT INTO a VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3), (7, 'seven', 7); INSERT INTO b VALUES (1, 'b')")


def synced(source, target, make, **config):
    fill(source)
    m = make(source, target, config={"copy": {"max_load": 0}, **config})
    m.start()
    m.wait_phase("synced")
    return m


def ended_with(m, *words: str) -> str:
    """The run must end by itself with status 1 and an error that has these words."""
    assert m.wait_exit() == FAILED, m.tail()
    text = m.log_text()
    for word in words:
        assert word in text, f"{word!r} is not in the log:\n{text[-4000:]}"
    return text


@pytest.fixture
def own_pair(own_mysql):
    """A source of the test's own, whose log it may spoil, and a target."""
    def make(*versions):
        return tuple(own_mysql(v, name=side).create_database("shop") for side, v in zip(("source", "target"), versions))
    return make


@pytest.mark.parametrize("how", ["purged", "reset"])
@pytest.mark.parametrize("versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_a_log_that_is_gone(how, versions, own_pair, migration):
    """What the stream still needs has been purged, or the whole log reset: it must not go on behind the gap."""
    source, target = own_pair(*versions)
    m = synced(source, target, migration)
    m.stop()
    source.execute("UPDATE a SET v = 'lost' WHERE id = 1")  # also lets the server notice that nobody reads its log
    wait_no_sessions(source)
    if how == "purged":
        def purged() -> bool:  # MariaDB keeps a log until it has noted in the next one that nothing of it is open
            source.execute(f"FLUSH BINARY LOGS; PURGE BINARY LOGS TO '{source.rows('SHOW BINARY LOGS')[-1][0]}'")
            return source.rows("SHOW BINARY LOGS")[0][0] > first
        first = source.rows("SHOW BINARY LOGS")[-1][0]
        wait_for(purged, 60, "the log purged")
    else:
        source.execute("RESET MASTER")
    source.execute("UPDATE a SET v = 'after' WHERE id = 2")
    m.start()
    ended_with(m, "cancel")
    assert target.rows("SELECT v FROM a WHERE id IN (1, 2) ORDER BY id") == [("one",), ("two",)]


@PAIRS
def test_a_session_that_logs_statements(mysql_pair, migration):
    """A statement in the log cannot be replayed as rows: nothing behind it may be applied."""
    source, target = mysql_pair
    m = synced(source, target, migration)
    source.execute("UPDATE a SET n = 100 WHERE id = 1")
    source.execute("SET SESSION binlog_format = 'STATEMENT'; UPDATE a SET n = 200 WHERE id = 2")
    source.execute("UPDATE a SET n = 300 WHERE id = 3")
    ended_with(m, "binlog_format", source.name)
    wait_for(lambda: target.value("SELECT n FROM a WHERE id = 1") == 100, 60, "what came before it")
    assert target.rows("SELECT n FROM a WHERE id IN (2, 3) ORDER BY id") == [(2,), (3,)]


def test_a_source_that_logs_statements_is_refused(mysql_database, migration):
    source = mysql_database("source", "5.7", binlog_format="STATEMENT")
    target = mysql_database("target", "8.0", name=source.name)
    fill(source)
    checked = migration(source, target).call("check", expect=3)
    assert "binlog_format" in checked.out and "SET GLOBAL binlog_format" in checked.out


@PAIRS
def test_two_migrations_of_one_source(mysql_pair, mysql_database, migration):
    """Two replicas with one number throw each other out: each migration has another."""
    source, target = mysql_pair
    other = mysql_database("source", source.server.version)
    other_target = mysql_database("target", target.server.version, name=other.name)
    m = synced(source, target, migration)
    n = synced(other, other_target, migration, migration="other")
    for i in range(20):
        source.execute(f"UPDATE a SET n = {i} WHERE id = 1")
        other.execute(f"UPDATE a SET n = {i} WHERE id = 2")
    equal_at_last(m, source, target)
    equal_at_last(n, other, other_target)
    for one in (m, n):
        assert '"level":"warning"' not in one.log_text() and '"level":"error"' not in one.log_text(), one.tail()
        one.call("cancel")
        assert one.wait_exit() == 0


@pytest.mark.parametrize("change", [
    "ALTER TABLE a ADD COLUMN more int NOT NULL DEFAULT 3", "ALTER TABLE a DROP COLUMN n", "ALTER TABLE a MODIFY n bigint",
    "ALTER TABLE a CHANGE n m int", "ALTER TABLE a MODIFY v varchar(100) CHARACTER SET latin1 NOT NULL", "RENAME TABLE a TO z"],
    ids=["add", "drop", "type", "rename", "charset", "renametable"])
def test_a_table_altered_in_mid_stream(change, mysql_pair, migration):
    source, target = mysql_pair
    m = synced(source, target, migration)
    source.execute("UPDATE a SET v = 'before' WHERE id = 1")
    source.execute(change)
    source.execute(f"UPDATE {'z' if 'TO z' in change else 'a'} SET v = 'after' WHERE id = 2")
    ended_with(m, f"{source.name}.a")
    assert target.rows("SELECT v FROM a WHERE id IN (1, 2) ORDER BY id") in ([("before",), ("two",)], [("one",), ("two",)])


@PAIRS
def test_columns_that_change_places_are_told_apart_by_name(mysql_pair, migration):
    source, target = mysql_pair
    m = synced(source, target, migration)
    source.execute("UPDATE a SET v = 'before' WHERE id = 1")
    equal_at_last(m, source, target)
    source.execute("ALTER TABLE a MODIFY n int FIRST")
    source.execute("UPDATE a SET v = 'after' WHERE id = 2; INSERT INTO a (id, v, n) VALUES (50, 'new', 5)")
    equal_at_last(m, source, target)


@PAIRS
def test_a_value_the_target_refuses_is_kept_and_counted(mysql_pair, migration):
    source, target = mysql_pair
    m = synced(source, target, migration)
    target.execute("ALTER TABLE a ADD COLUMN narrow tinyint AS (n DIV 10000) STORED")  # a trigger of theirs would be taken down
    source.execute("UPDATE a SET n = 2000000 WHERE id = 3; INSERT INTO a VALUES (500, 'fine', 1)")
    wait_for(lambda: target.value("SELECT count(*) FROM a WHERE id = 500") == 1 or not m.running(), 60, "what came after")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, 60, "one row in quarantine")
    listed = m.call("quarantine", "list", "--json").out
    assert f"{source.name}.a" in listed and "1264" in listed and "narrow" in listed
    m.call("verify", expect=4)
    target.execute("ALTER TABLE a DROP COLUMN narrow")
    m.call("quarantine", "retry", "all")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, 60, "quarantine empty")
    equal_at_last(m, source, target)
    m.call("verify")
