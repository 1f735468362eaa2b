"""The MySQL servers of the tests are what the tests take them for."""
import MySQLdb
import pytest

from harness.mycompare import compare, fingerprint, left_of_ours, schema_differences
from harness.mysql_servers import APP, VERSIONS
from harness.servers import wait_for


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_logs_rows_and_survives_being_killed(own_mysql, version):
    server = own_mysql(version)
    db = server.create_database("shop")
    db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with_app = db.connect(user=APP)
    with_app.cursor().execute("INSERT INTO t VALUES (1)")
    assert server.value("SELECT @@binlog_format") == "ROW"
    server.kill()
    with pytest.raises(MySQLdb.OperationalError):
        server.connect()
    server.start()
    assert db.rows("SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_application_writes_rows_and_makes_nothing(mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    app = db.connect(user=APP)
    app.cursor().execute("UPDATE t SET id = 2")
    for sql in ("CREATE TABLE u (id int)", "TRUNCATE TABLE t", "SHOW MASTER STATUS"):
        with pytest.raises(MySQLdb.Error):
            app.cursor().execute(sql)
    app.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_server_has_transactions_with_a_gtid_and_an_identity_of_its_own(own_mysql, version):
    one, other = own_mysql(version), own_mysql(version)
    one.create_database("a")
    identity = "SELECT @@server_id" if version == "mariadb" else "SELECT @@server_uuid"
    assert one.value(identity) != other.value(identity)
    position = "SELECT @@gtid_binlog_pos" if version == "mariadb" else "SELECT @@global.gtid_executed"
    assert one.value(position) != "" and other.value(position) == ""


def test_a_server_without_gtids(own_mysql):
    server = own_mysql("5.7", gtid=False)
    server.create_database("a")
    assert server.rows("SELECT @@gtid_mode, @@global.gtid_executed") == [("OFF", "")]


def test_names_in_lower_case_and_other_settings(own_mysql):
    server = own_mysql("8.0", settings={"lower_case_table_names": 1, "binlog_row_image": "MINIMAL"})
    assert server.rows("SELECT @@lower_case_table_names, @@binlog_row_image") == [(1, "MINIMAL")]


def test_a_session_can_be_ended(mysql_database):
    db = mysql_database("source", "mariadb")
    session = db.connect()
    db.server.end_sessions(db.name)

    def gone():
        try:
            session.cursor().execute("SELECT 1")
        except MySQLdb.OperationalError:
            return True
    wait_for(gone, 60, "the session's end")


SAMPLE = """CREATE TABLE t (id int PRIMARY KEY, c varchar(20) COLLATE utf8mb4_general_ci, d double, f float, e enum('a', '', 'b'), b varbinary(9), j json, x datetime(6), k bit(9));
INSERT INTO t VALUES (1, 'word', 1e0, 0.1, 'a', 0x00, '{}', '2020-01-01 00:00:00.1', 5), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, '')"""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_judge_sees_every_difference(mysql_database, version):
    one = mysql_database("source", version)
    other = mysql_database("target", version, name=one.name)
    for side in (one, other):
        side.execute(SAMPLE)
    assert compare(one, other).equal and schema_differences(one, other) == []
    for bent in ("UPDATE t SET c = 'Word' WHERE id = 1", "UPDATE t SET c = 'word ' WHERE id = 1", "UPDATE t SET c = '' WHERE id = 2", "UPDATE t SET d = 1.0000000000000002 WHERE id = 1",
                 "UPDATE t SET f = 0.10000001 WHERE id = 1", "SET sql_mode = ''; UPDATE t SET e = 'wrong' WHERE id = 1", "UPDATE t SET b = 0x0000 WHERE id = 1",
                 "UPDATE t SET j = '[]' WHERE id = 1", "UPDATE t SET x = '2020-01-01 00:00:00.100001' WHERE id = 1", "UPDATE t SET k = 6 WHERE id = 1", "DELETE FROM t WHERE id = 2",
                 "INSERT INTO t (id) VALUES (3)", "INSERT INTO keyless VALUES (1, 'x')", "DELETE FROM keyless LIMIT 1", "UPDATE keyless SET b = NULL WHERE a = 2"):
        other.execute(f"DROP TABLE t, keyless; {SAMPLE}")
        other.execute(bent)
        assert not compare(one, other).equal, bent
    other.execute(f"DROP TABLE t, keyless; {SAMPLE}")
    for change in ("ALTER TABLE t MODIFY c varchar(21)", "ALTER TABLE t MODIFY c varchar(20) COLLATE utf8mb4_bin", "ALTER TABLE t ALTER c SET DEFAULT 'x'", "ALTER TABLE keyless ADD KEY (a)",
                   "CREATE VIEW v AS SELECT 1", "ALTER TABLE keyless COMMENT 'x'"):
        before = schema_differences(one, other)
        other.execute(change)
        assert schema_differences(one, other) != before, change


def test_the_judge_sees_what_is_left(mysql_pair):
    _, target = mysql_pair
    before = fingerprint(target)
    target.execute("CREATE TABLE t (id int); CREATE TRIGGER midflight_x BEFORE INSERT ON t FOR EACH ROW SET @a = 1; CREATE DATABASE midflight")
    assert len(left_of_ours(target)) == 2
    assert fingerprint(target)["databases"] != before["databases"]
