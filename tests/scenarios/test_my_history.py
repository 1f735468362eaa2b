"""A source whose history is not what it was: a server that went back and wrote other transactions under the numbers that were read already. And
transactions that are prepared when the stream is opened again."""
import shutil
import threading

import MySQLdb
import pytest

from harness.midflight import FAILED
from harness.mycompare import equal_at_last
from harness.mysql_servers import run
from harness.mystream import Stream, texts
from harness.pgdrive import Refused
from harness.servers import _own, wait_for
from harness.wire import Wire

GTIDS = pytest.mark.parametrize("version", ["5.7", "8.0", "mariadb"])
EVERY = pytest.mark.parametrize("version,gtid", [("5.7", True), ("8.0", True), ("8.0", False), ("mariadb", True)],
                                ids=["5.7", "8.0", "8.0-files", "mariadb"])
T = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))"


# -- a server that goes back ---------------------------------------------------------------------------------------

def keep(server) -> None:
    """A copy of the data directory, as a backup or a snapshot of the machine has it."""
    server.stop()
    shutil.copytree(server.data, server.dir / "kept", symlinks=True)
    server.start()


def go_back(server) -> None:
    server.kill()
    shutil.rmtree(server.data)
    shutil.copytree(server.dir / "kept", server.data, symlinks=True)
    _own(server.data)
    server.start()


@pytest.fixture
def streams():
    made = []
    yield made
    for s in made:
        s.read.close()
        if s.server.running():
            end_prepared(s.server)


def end_prepared(server) -> None:
    """What a test that failed left: no database is dropped while it is there."""
    server.end_sessions()
    for format_, n, _, data in server.rows("XA RECOVER"):
        data = data.decode() if isinstance(data, bytes) else data
        server.execute(f"XA ROLLBACK '{data[:n]}', '{data[n:]}', {format_}")


@GTIDS
def test_a_server_that_goes_back_and_overtakes_its_own_numbers(own_mysql, streams, version):
    server = own_mysql(version)
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    keep(server)
    s.app = s.database.connect()
    s.open()
    for i in range(5):
        s.write(f"INSERT INTO t VALUES ({i}, 'lost')")
    end = s.read.read_until_now()["items"][-1]
    s.read.stream_close()
    go_back(server)
    s.app = s.database.connect()
    for i in range(20):
        s.write(f"INSERT INTO t VALUES ({i}, 'other')")
    with pytest.raises(Refused) as e:
        s.open((end["position"], end["position_token"])).lines()
    assert (e.value.cls, e.value.code) == ("fatal", "MFSLOT") and "earlier" in e.value.text and "cancel" in e.value.hint


@pytest.mark.parametrize("restart", [False, True], ids=["cut", "restarted"])
def test_nothing_of_another_history_is_applied(own_mysql, migration, restart):
    server, target = own_mysql("8.0", name="source"), own_mysql("8.0", name="target").create_database("shop")
    source, wire = server.create_database("shop"), Wire(server.port)
    try:
        source.execute(T)
        m = migration(wire.url(source.url()), target, config={"copy": {"max_load": 0}})
        m.start()
        m.wait_phase("synced")
        m.stop()
        keep(server)
        m.start()
        m.wait_phase("synced")
        for i in range(5):
            source.execute(f"INSERT INTO t VALUES ({i}, 'lost')")
        equal_at_last(m, source, target)
        wire.down()
        if restart:
            m.stop()
        go_back(server)
        for i in range(500):
            source.execute(f"INSERT INTO t VALUES ({i}, 'other')")
        wire.up()
        if restart:
            m.start()
        assert m.wait_exit() == FAILED, m.tail()
        assert "MFSLOT" in m.log_text() and "cancel" in m.log_text(), m.tail()
        assert set(target.rows("SELECT v FROM t")) == {("lost",)}
    finally:
        wire.close()


@GTIDS
def test_what_was_read_last_may_have_been_thrown_away(own_mysql, streams, version):
    """Then it cannot be compared, and the stream goes on without."""
    server = own_mysql(version, fsync=True)  # MariaDB keeps a log until the engine has flushed what is in it
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    s.write("INSERT INTO t VALUES (1, 'x')")
    end = s.open().read.read_until_now()["items"][-1]
    s.write("FLUSH BINARY LOGS")
    last = server.rows("SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        server.execute(f"PURGE BINARY LOGS TO '{last}'")
        return server.rows("SHOW BINARY LOGS")[0][0] == last

    wait_for(purged, 60)
    s.write("INSERT INTO t VALUES (2, 'x')")
    assert s.again((end["position"], end["position_token"])).lines() == ["I t 2|x", "C"]


# -- prepared transactions -----------------------------------------------------------------------------------------

@pytest.fixture
def stream(mysql_database, streams):
    def make(version="8.0", gtid=True, *tables):
        made = Stream(mysql_database("source", version, gtid=gtid), *tables)
        streams.append(made)
        return made

    return make


def prepare(database, id_: str, *statements: str):
    c = database.connect()
    for sql in (f"XA START '{id_}'", *statements, f"XA END '{id_}'", f"XA PREPARE '{id_}'"):
        c.cursor().execute(sql)
    return c


@EVERY
def test_a_prepared_transaction_survives_the_stream(stream, version, gtid):
    """Wherever the stream is opened again: what is prepared there comes whole, what had ended comes no more."""
    s = stream(version, gtid, T, "CREATE TABLE u (id INT PRIMARY KEY)").open()
    first = prepare(s.database, "first", "INSERT INTO t VALUES (1, 'first')", "INSERT INTO t VALUES (2, 'first')")
    gone = prepare(s.database, "gone", "INSERT INTO u VALUES (1)")
    s.write("INSERT INTO t VALUES (3, 'x')", "FLUSH BINARY LOGS")
    third = prepare(s.database, "third", "INSERT INTO t VALUES (4, 'third')")
    gone.cursor().execute("XA COMMIT 'gone'")
    s.write("ALTER TABLE u ADD c INT", "INSERT INTO u VALUES (2, 2)")  # u is another table than the one 'gone' wrote
    items = s.read.read_until_now()["items"]
    for i in (i for i in items if i["kind"] in ("commit", "progress")):
        s.again((i["position"], i["position_token"])).lines()
    end = items[-1]
    assert s.again((end["position"], end["position_token"])).lines() == []
    s.write("INSERT INTO t VALUES (5, 'x')")
    end = s.read.read_until_now()["items"][-1]  # opened again, it knows them still
    s.again((end["position"], end["position_token"]))
    third.cursor().execute("XA COMMIT 'third'")
    first.cursor().execute("XA COMMIT 'first'")
    items = s.read.read_until_now()["items"]
    assert texts(items) == ["I t 4|third", "C", "I t 1|first", "I t 2|first", "C"]
    end = items[-1]
    s.write("INSERT INTO t VALUES (6, 'x')")
    assert s.again((end["position"], end["position_token"])).lines() == ["I t 6|x", "C"]


@EVERY
def test_a_prepared_transaction_that_is_rolled_back_after_the_stream_was_opened_again(stream, version, gtid):
    s = stream(version, gtid, T).open()
    c = prepare(s.database, "a", "INSERT INTO t VALUES (1, 'gone')")
    s.write("INSERT INTO t VALUES (2, 'x')")
    end = s.read.read_until_now()["items"][-1]
    s.again((end["position"], end["position_token"]))
    c.cursor().execute("XA ROLLBACK 'a'")
    s.write("INSERT INTO t VALUES (3, 'x')")
    assert s.lines() == ["I t 3|x", "C"]


@GTIDS
def test_a_prepared_transaction_keeps_its_tables_as_they_are(stream, version):
    """So its rows can be read again, with the shape that the table has where the stream is opened. Also when its session is gone."""
    s = stream(version, True, T)
    prepare(s.database, "a", "INSERT INTO t VALUES (1, 'x')").close()
    wait_for(lambda: s.server.value("SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s", (s.database.name,)) == 1, 60)
    s.write("SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1")
    for alter in ("ALTER TABLE t ADD c INT", "ALTER TABLE t CHANGE id v2 INT", "ALTER TABLE t CHANGE v w VARCHAR(20)", "ALTER TABLE t ADD c INT, ALGORITHM = INPLACE",
                  "ALTER TABLE t ADD c INT, ALGORITHM = COPY", *([] if version == "5.7" else ["ALTER TABLE t ADD c INT, ALGORITHM = INSTANT"])):
        with pytest.raises(MySQLdb.OperationalError) as e:
            s.write(alter)
        assert e.value.args[0] == 1205, alter


@EVERY
def test_a_table_that_is_added_waits_for_what_is_prepared(stream, version, gtid):
    """Its rows are in none of what the stream hands out: they must be there before the table is read."""
    s = stream(version, gtid, T).open()
    s.write("CREATE TABLE n (id INT PRIMARY KEY)")
    c = prepare(s.database, "x", "INSERT INTO n VALUES (1)")
    assert s.lines() == []  # the stream is past it, not knowing n
    s.read.catalog()
    published = ("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'published fwd' AND object LIKE %s", ("%`n`",))
    returned = threading.Event()

    def commit() -> None:
        wait_for(lambda: s.server.value(*published), 60)
        returned.wait(1)  # it must not return before
        c.cursor().execute("XA COMMIT 'x'")

    end = threading.Thread(target=commit)
    end.start()
    s.read.add_tables()
    there = s.database.rows("SELECT id FROM n")
    returned.set()
    assert there == [(1,)]
    end.join()
    s.write("INSERT INTO n VALUES (2)")
    assert s.lines() == ["I n 2", "C"]


@pytest.mark.parametrize("version", ["5.7", "8.0"])
def test_a_prepared_transaction_is_visible_at_its_commit(stream, version):
    """What readers are asked about is the commit, not the prepare, which was counted long before."""
    s = stream(version, True, T).open()
    c = prepare(s.database, "a", "INSERT INTO t VALUES (1, 'xa')")
    s.write("INSERT INTO t VALUES (2, 'x')")
    c.cursor().execute("XA COMMIT 'a'")
    commits = [i for i in s.read.read_until_now()["items"] if i["kind"] == "commit"]
    xa = next(i for i in commits if i["shown"])
    assert xa["shown"] == xa["position"] > xa["txn"] + 1
    assert s.read.visible(txn=xa["shown"])["visible"]


# -- what GTIDs there are ------------------------------------------------------------------------------------------

def test_a_position_that_is_too_long_for_a_moment_is_asked_for_again(own_mysql, streams):
    """Only with what is under way: nobody gives up for that."""
    server = own_mysql("8.0")
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    own, n = server.value("SELECT @@server_uuid"), 0
    while len(server.value("SELECT @@global.gtid_executed").replace("\n", "")) < 480:
        n += 1
        run(s.app, f"SET gtid_next = '{own}:{1000 + 2 * n}'; BEGIN; COMMIT; SET gtid_next = 'AUTOMATIC'", close=False)
    assert s.read.position()["position"] > 0
    under_way = server.connect()
    run(under_way, "SET gtid_next = 'aaaaaaaa-0000-0000-0000-000000000001:1'", close=False)
    with pytest.raises(Refused) as e:
        s.read.position()
    assert (e.value.cls, e.value.code) == ("retry", "MFGTID")
    under_way.close()
    wait_for(lambda: not server.value("SELECT @@global.gtid_owned"), 60)
    assert s.read.position()["position"] > 0
