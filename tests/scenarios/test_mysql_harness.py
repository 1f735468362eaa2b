"""The MySQL servers of the tests are what the tests take them for."""
import MySQLdb
import pytest

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
    wait_for(gone, 10, "the session's end")
