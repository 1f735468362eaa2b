"""A source whose primary dies: a replica takes over behind the same address, and after a new start the stream goes on there by its GTIDs; a replica
that lacks what was read already is no continuation and is refused. And what GTID sets look like after a life of that: with gaps."""
import pytest

from harness.midflight import FAILED
from harness.mycompare import equal_at_last
from harness.mysql_servers import ADMIN, fetch, run
from harness.servers import PASSWORD, wait_for
from harness.wire import Wire

PAIRS = pytest.mark.parametrize("versions", [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")


def position(server) -> str:
    return server.value("SELECT @@global.gtid_binlog_pos" if server.version == "mariadb" else "SELECT @@global.gtid_executed")


def follow(replica, primary) -> None:
    auto = "MASTER_USE_GTID = slave_pos" if replica.version == "mariadb" else "MASTER_AUTO_POSITION = 1"
    more = ", GET_MASTER_PUBLIC_KEY = 1" if replica.version == "8.0" else ""
    replica.execute(f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port}, MASTER_USER = '{ADMIN}', MASTER_PASSWORD = '{PASSWORD}',"
                    f" MASTER_CONNECT_RETRY = 1, {auto}{more}; START SLAVE")


def promote(replica) -> None:
    replica.execute("STOP SLAVE; RESET SLAVE ALL")


class Cluster:
    """A primary and its replica behind one address, and a target."""

    def __init__(self, own_mysql, versions):
        self.old, self.new = (own_mysql(versions[0], name=name) for name in ("primary", "replica"))
        self.target = own_mysql(versions[1], name="target").create_database("shop")
        for server in (self.old, self.new):
            server.execute("RESET MASTER")
        follow(self.new, self.old)
        self.wire = Wire(self.old.port)
        self.source = self.old.create_database("shop")
        self.source.execute("CREATE TABLE a (id int PRIMARY KEY, v varchar(40), KEY (v)); INSERT INTO a VALUES (1, 'one'), (2, 'two'), (3, 'three')")

    def replicated(self) -> None:
        wait_for(lambda: position(self.new) == position(self.old), 60, "the replica to have everything")

    def fail_over(self, lacking: bool = False) -> None:
        """The address leads to the replica now. It has all that was read from the old one, unless it is to lack something."""
        self.wire.down()
        if not lacking:
            self.replicated()
        self.old.kill()
        promote(self.new)
        self.wire.to_port = self.new.port
        self.source.server = self.new
        self.wire.up()


@pytest.fixture
def cluster(own_mysql, versions):
    made = Cluster(own_mysql, versions)
    yield made
    made.wire.close()


def synced(cluster, migration):
    m = migration(cluster.wire.url(cluster.source.url()), cluster.target, config={"copy": {"max_load": 0}})
    m.start()
    m.wait_phase("synced")
    cluster.source.execute("UPDATE a SET v = 'streamed' WHERE id = 1")
    equal_at_last(m, cluster.source, cluster.target)
    return m


def another_server(m) -> None:
    """A run does not follow by itself: behind a load balancer the next connection might be led elsewhere again."""
    assert m.wait_exit() == FAILED, m.tail()
    assert "MFSERVER" in m.log_text() and "after a failover start the run again" in m.log_text(), m.tail()
    m.start()


@PAIRS
def test_a_replica_takes_over(cluster, migration):
    m = synced(cluster, migration)
    cluster.source.execute("XA START 'x'; INSERT INTO a VALUES (40, 'prepared on the old one'); XA END 'x'; XA PREPARE 'x'")
    cluster.source.execute("INSERT INTO a VALUES (4, 'last word of the old one')")
    equal_at_last(m, cluster.source, cluster.target)
    cluster.fail_over()
    cluster.source.execute("INSERT INTO a VALUES (5, 'first word of the new one'); UPDATE a SET v = 'changed' WHERE id = 4")
    another_server(m)
    cluster.source.execute("XA COMMIT 'x'")
    equal_at_last(m, cluster.source, cluster.target)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cutover")
    cluster.target.execute("INSERT INTO a VALUES (6, 'of the target')")
    equal_at_last(m, cluster.source, cluster.target)
    m.call("rollback")
    cluster.source.execute("INSERT INTO a VALUES (7, 'and back')")
    equal_at_last(m, cluster.source, cluster.target)


@PAIRS
def test_a_replica_that_lacks_what_was_read(cluster, migration):
    """What midflight has brought to the target is gone on the source: the two sides cannot be made one by going on."""
    m = synced(cluster, migration)
    cluster.replicated()
    cluster.new.execute("STOP SLAVE IO_THREAD")
    cluster.source.execute("INSERT INTO a VALUES (4, 'never replicated')")
    equal_at_last(m, cluster.source, cluster.target)
    cluster.fail_over(lacking=True)
    cluster.source.execute("INSERT INTO a VALUES (5, 'of the new one')")
    another_server(m)
    assert m.wait_exit() == FAILED, m.tail()
    assert "MFSLOT" in m.log_text() and "cancel" in m.log_text(), m.tail()
    assert cluster.target.rows("SELECT id FROM a ORDER BY id") == [(1,), (2,), (3,), (4,)]


# -- gaps ----------------------------------------------------------------------------------------------------------

def under_gtid(database, gtid: str, sql: str) -> None:
    connection = database.connect()
    run(connection, f"SET SESSION gtid_next = '{gtid}'", close=False)
    run(connection, sql, close=False)
    run(connection, "SET SESSION gtid_next = 'AUTOMATIC'")


@pytest.mark.parametrize("version", ["5.7", "8.0"])
def test_gaps_in_the_gtids_lose_nothing(version, own_mysql, migration):
    """Numbers that were left out, and are filled in later, out of order, from a server of another name too."""
    source, target = own_mysql(version, name="source").create_database("shop"), own_mysql("8.0", name="target").create_database("shop")
    source.execute("CREATE TABLE a (id int PRIMARY KEY, v varchar(40)); INSERT INTO a VALUES (1, 'one')")
    me, other = source.server.value("SELECT @@server_uuid"), "aaaaaaaa-0000-0000-0000-000000000001"
    under_gtid(source, f"{me}:1000", "INSERT INTO a VALUES (2, 'far ahead')")
    under_gtid(source, f"{other}:7", "INSERT INTO a VALUES (3, 'of another server')")
    m = migration(source, target, config={"copy": {"max_load": 0}})
    m.start()
    m.wait_phase("synced")
    for n, gtid in enumerate((f"{me}:2000", f"{other}:3", f"{me}:1500", f"{me}:999", f"{other}:8", "bbbbbbbb-0000-0000-0000-000000000001:1")):
        under_gtid(source, gtid, f"INSERT INTO a VALUES ({100 + n}, 'gap')")
        if n == 2:
            equal_at_last(m, source, target)
            m.restart()
            m.wait_phase("synced")
    source.execute("INSERT INTO a VALUES (200, 'the next free number')")
    equal_at_last(m, source, target)
    m.restart()
    m.wait_phase("synced")
    under_gtid(source, f"{me}:1600", "UPDATE a SET v = 'late' WHERE id = 1")
    equal_at_last(m, source, target)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cutover")


def test_a_history_too_long_for_a_position_is_said_by_check(own_mysql, migration):
    source, target = own_mysql("5.7", name="source").create_database("shop"), own_mysql("8.0", name="target").create_database("shop")
    source.execute("CREATE TABLE a (id int PRIMARY KEY, v varchar(40)); INSERT INTO a VALUES (1, 'one')")
    me = source.server.value("SELECT @@server_uuid")
    for i in range(200):
        under_gtid(source, f"{me}:{1000 + 2 * i}", "BEGIN; COMMIT")
    checked = migration(source, target).call("check", expect=3)
    assert "gap" in checked.out and "GTID_NEXT" in checked.out
    gone = fetch(source.connect(), "SELECT 1 FROM information_schema.schemata WHERE schema_name = 'midflight'")
    assert not gone
