"""Triggers of users: they stand only on the side that takes the application's writes, and do their work once for each of its rows, whatever is
abandoned, killed or turned round in between."""
import threading
import time

import MySQLdb
import pytest

from harness.midflight import REFUSED
from harness.mycompare import equal_at_last, left_of_ours, schema_differences, wait_no_sessions
from harness.servers import wait_for

SMALL = {"copy": {"jobs": 2, "max_load": 0}, "heartbeat": "1s"}
TABLES = """
CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, item varchar(20), stamp varchar(40), total int);
CREATE TABLE audit (id int AUTO_INCREMENT PRIMARY KEY, order_id int, what varchar(10));
CREATE TABLE totals (k int PRIMARY KEY, n int); INSERT INTO totals VALUES (1, 0);
"""
# Two for one event, whose order matters; one with blocks and a handler; words that are reserved in 8.0 are not used.
TRIGGERS = [
    "CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.stamp = CONCAT('é', NEW.item)",
    "CREATE TRIGGER stamp_more BEFORE INSERT ON orders FOR EACH ROW FOLLOWS stamp SET NEW.stamp = CONCAT(NEW.stamp, '!')",
    "CREATE TRIGGER count_in AFTER INSERT ON orders FOR EACH ROW BEGIN DECLARE CONTINUE HANDLER FOR 1062 BEGIN END;"
    " UPDATE totals SET n = n + 1 WHERE k = 1; INSERT INTO audit (order_id, what) VALUES (NEW.id, 'in'); END",
    "CREATE TRIGGER `count up` AFTER UPDATE ON orders FOR EACH ROW INSERT INTO audit (order_id, what) VALUES (OLD.id, 'up') -- the end",
    "CREATE TRIGGER count_out AFTER DELETE ON orders FOR EACH ROW UPDATE totals SET n = n - 1 WHERE k = 1",
]
PAIRS = pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")


def made(source) -> None:
    source.execute(TABLES)
    connection = source.connect()
    for text in TRIGGERS:
        connection.cursor().execute(text)
    connection.close()


def names(database) -> list[str]:
    rows = database.rows("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name NOT LIKE 'midflight%' ORDER BY 1")
    return [r[0] for r in rows]


ALL = sorted(["stamp", "stamp_more", "count_in", "count up", "count_out"])


def orders(database, n: int) -> None:
    database.execute(";".join(f"INSERT INTO orders (item) VALUES ('i{i}')" for i in range(n)))
    database.execute("UPDATE orders SET total = id ORDER BY id DESC LIMIT 1")
    database.execute("DELETE FROM orders ORDER BY id LIMIT 1")


def worked_once(database) -> None:
    """Each trigger once for each row: counted by what they wrote."""
    n, rows = database.value("SELECT n FROM totals"), database.value("SELECT count(*) FROM orders")
    assert n == rows, f"{n} counted, {rows} there"
    assert database.value("SELECT count(*) FROM orders WHERE stamp <> CONCAT('é', item, '!')") == 0
    assert database.value("SELECT count(*) FROM audit WHERE what = 'in'") == database.value("SELECT max(order_id) FROM audit")


def started(source, migration, target, **config):
    m = migration(source, target, config={**SMALL, **config})
    m.start()
    m.wait_phase("synced")
    return m


@PAIRS
def test_triggers_stand_where_the_application_writes(mysql_pair, migration):
    source, target = mysql_pair
    made(source)
    orders(source, 5)
    m = started(source, migration, target)
    assert names(target) == []
    orders(source, 5)
    source.execute("DROP TRIGGER count_out; CREATE TRIGGER count_out AFTER DELETE ON orders FOR EACH ROW UPDATE totals SET n = n - 1 WHERE k = 1 OR k = 2")
    m.call("verify")
    m.call("cutover")
    assert names(target) == ALL
    orders(target, 7)
    m.wait(lambda s: names(source) == [] or not s, 60, "the source's triggers are down before rows are written back")
    worked_once(target)
    m.call("verify")
    worked_once(source)
    m.call("rollback")
    assert names(source) == ALL
    orders(source, 3)
    m.wait(lambda s: names(target) == [] or not s, 60, "the target's triggers are down again")
    worked_once(source)
    m.call("verify")
    worked_once(target)
    m.call("cutover")
    orders(target, 2)
    equal_at_last(m, source, target)
    worked_once(target)
    m.call("complete")
    assert m.wait_exit() == 0
    wait_no_sessions(source)
    assert names(source) == ALL and names(target) == ALL
    assert not schema_differences(source, target)
    assert not left_of_ours(source) and not left_of_ours(target)


@PAIRS
def test_a_cutover_that_is_abandoned_after_the_triggers_were_made(mysql_pair, migration):
    source, target = mysql_pair
    made(source)
    orders(source, 3)
    m = started(source, migration, target)
    m.hook("on_cutover", "exit 1")
    m.restart()
    m.wait_phase("synced")
    orders(source, 2)
    m.call("verify")
    assert "on_cutover" in str(m.call("cutover", expect=REFUSED))
    orders(source, 4)  # applied by a session that knew the tables from before
    m.wait(lambda s: names(target) == [] or not s, 60, "taken down again")
    m.call("verify")
    worked_once(target)


def test_killed_while_triggers_come_and_go(mysql_pair, migration):
    source, target = mysql_pair
    both_made(source, target)
    orders(source, 3)
    m = started(source, migration, target)
    m.call("verify")
    m.kill()
    m.start(fault="mysql.trigger_up:7=kill")
    m.wait(lambda s: s["streams_open"], 60, "streams")
    m.call("verify", expect=None)
    m.call("cutover", expect=None)
    assert m.wait_exit() == -9
    orders(source, 2)
    m.start()
    m.wait_phase("synced")
    orders(source, 2)
    m.call("verify")
    worked_once(target)
    m.kill()
    m.start(fault="mysql.trigger_down:1=kill")  # those that the first cutover has made, on a table that got no rows since
    m.wait(lambda s: s["streams_open"], 60, "streams")
    m.call("cutover", expect=None)
    assert m.wait_exit() == -9
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    assert sorted(names(target)) == BOTH and "right" in body(target, "quiet_too")
    m.restart(fault="mysql.trigger_down:2=kill")
    orders(target, 2)
    assert m.wait_exit() == -9
    m.start()
    m.wait_phase("cut_over")
    orders(target, 2)
    m.call("verify")
    worked_once(source)
    m.call("rollback")
    assert sorted(names(source)) == sorted(THEIRS)
    orders(source, 1)
    worked_once(source)


def test_one_that_the_target_refuses_is_met_before_anything_is_decided(mysql_pair, migration):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int, `rank` int)")
    connection = source.connect()  # `rank` is a word of its own in 8.0 and must be quoted there
    connection.cursor().execute("CREATE TRIGGER wrong BEFORE INSERT ON t FOR EACH ROW SET NEW.v = (SELECT MAX(rank.id) FROM t rank)")
    connection.close()
    m = started(source, migration, target)
    source.execute("INSERT INTO t VALUES (1, 1, 1)")
    m.call("verify")
    refused = str(m.call("cutover", expect=REFUSED))
    assert "trigger wrong" in refused and "1064" in refused and "nothing has changed" in refused, refused
    source.execute("INSERT INTO t VALUES (2, 2, 2)")
    assert m.status()["writes"] == "source"
    with pytest.raises(MySQLdb.Error):
        target.execute("INSERT INTO t VALUES (3, 3, 3)")
    m.call("verify")
    wait_for(lambda: target.value("SELECT count(*) FROM t") == 2, 60, "both rows")


def prepared(target) -> None:
    """A target that was made by hand, with triggers of its own: one on a table that gets rows at once, one on a table that gets none before the
    cutover, and two that have the name of one of the source's."""
    target.execute(TABLES.replace("INSERT INTO totals VALUES (1, 0);", ""))
    target.execute("CREATE TABLE mine (what varchar(20))")
    connection = target.connect()
    for text in MINE:
        connection.cursor().execute(text)
    connection.close()


MINE = [
    "CREATE TRIGGER own_orders AFTER INSERT ON orders FOR EACH ROW INSERT INTO mine VALUES ('order')",
    "CREATE TRIGGER own_quiet AFTER INSERT ON quiet FOR EACH ROW INSERT INTO mine VALUES ('quiet')",
    "CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.stamp = 'wrong'",
    "CREATE TRIGGER quiet_too BEFORE INSERT ON quiet FOR EACH ROW SET NEW.v = 'wrong'",
]
QUIET = "CREATE TABLE quiet (id int PRIMARY KEY, v varchar(10))"
THEIRS = ALL + ["quiet_too"]
BOTH = sorted(THEIRS + ["own_orders", "own_quiet"])


def body(database, name: str) -> str:
    return database.value(f"SELECT action_statement FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name = '{name}'")


def both_made(source, target) -> None:
    for side in (source, target):
        side.execute(QUIET)
    made(source)
    source.execute("CREATE TRIGGER quiet_too BEFORE INSERT ON quiet FOR EACH ROW SET NEW.v = 'right'")
    prepared(target)


@PAIRS
def test_the_targets_own_triggers_stand_again_after_the_cutover(mysql_pair, migration):
    source, target = mysql_pair
    both_made(source, target)
    orders(source, 3)
    m = migration(source, target, config=SMALL)
    told = {f["object"]: f["reason"] for f in m.call("check", "--json").json["findings"] if f["code"] == "trigger-target"}
    assert sorted(o.split()[1] for o in told) == ["own_orders", "own_quiet", "quiet_too", "stamp"], told
    m.start()
    m.wait_phase("synced")
    assert "own_orders" not in names(target)
    for same in ("stamp", "quiet_too"):
        assert [line for line in m.log_text().splitlines() if f".{same}" in line and "the source's is made" in line], m.log_text()
    m.call("verify")
    m.call("cutover")
    assert sorted(names(target)) == BOTH
    assert "right" in body(target, "quiet_too")
    orders(target, 2)
    target.execute("INSERT INTO quiet VALUES (1, '')")
    worked_once(target)
    assert target.rows("SELECT what, count(*) FROM mine GROUP BY what ORDER BY what") == [("order", 2), ("quiet", 1)]
    # what is made on the target while the application is there is its own too, and so is what is changed there
    target.execute("CREATE TRIGGER x AFTER DELETE ON orders FOR EACH ROW INSERT INTO mine VALUES ('gone')")
    target.execute("DROP TRIGGER count_out; CREATE TRIGGER count_out AFTER DELETE ON orders FOR EACH ROW UPDATE totals SET n = n - 1 WHERE k = 1 AND n > 0")
    m.wait(lambda s: names(source) == [], 60, "the source's triggers are down")
    m.call("verify")
    m.call("rollback")
    assert sorted(names(source)) == sorted(THEIRS)
    source.execute("DROP TRIGGER stamp_more")  # made on the target from here: not one of its own
    orders(source, 2)
    m.wait(lambda s: names(target) == ["own_quiet", "quiet_too"], 60, "the triggers of the tables that get rows are down again")
    m.call("verify")
    m.call("cutover")
    assert sorted(names(target)) == sorted(set(BOTH) - {"stamp_more"} | {"x"})
    assert "n > 0" not in body(target, "count_out")
    assert [line for line in m.log_text().splitlines() if ".count_out" in line and "the source's is made" in line], m.log_text()
    assert not [line for line in m.log_text().splitlines() if ".count_in" in line and "the source's is made" in line], m.log_text()
    target.execute("DELETE FROM orders ORDER BY id LIMIT 1")
    assert target.value("SELECT count(*) FROM mine WHERE what = 'gone'") == 1
    m.call("complete")
    assert m.wait_exit() == 0
    assert sorted(names(target)) == sorted(set(BOTH) - {"stamp_more"} | {"x"})


@PAIRS
@pytest.mark.parametrize("abandoned", [False, True], ids=["at once", "after an abandoned cutover"])
def test_a_cancel_puts_the_targets_own_triggers_back(mysql_pair, migration, abandoned):
    source, target = mysql_pair
    both_made(source, target)
    orders(source, 3)
    m = migration(source, target, config=SMALL)
    m.hook("on_cutover", "exit 1")
    m.start()
    m.wait_phase("synced")
    if abandoned:
        m.call("verify")
        assert "on_cutover" in str(m.call("cutover", expect=REFUSED))
    m.call("cancel")
    assert m.wait_exit() == 0
    assert names(target) == ["own_orders", "own_quiet", "quiet_too", "stamp"]
    assert "wrong" in body(target, "quiet_too") and "wrong" in body(target, "stamp")
    assert sorted(names(source)) == sorted(THEIRS)
    assert not left_of_ours(source) and not left_of_ours(target)


@PAIRS
def test_what_was_dropped_meanwhile_does_not_come_back(mysql_pair, migration):
    source, target = mysql_pair
    made(source)
    orders(source, 3)
    m = started(source, migration, target)
    m.call("verify")
    m.call("cutover")
    orders(target, 2)
    m.wait(lambda s: names(source) == [], 60, "the source's triggers are down")
    m.call("verify")
    m.call("rollback")
    assert names(source) == ALL
    source.execute("DROP TRIGGER count_out")
    left = [n for n in ALL if n != "count_out"]
    m.call("verify")
    m.call("cutover")
    assert names(target) == left
    target.execute("INSERT INTO orders (item) VALUES ('again')")
    m.wait(lambda s: names(source) == [], 60, "the source's triggers are down again")
    m.call("verify")
    m.call("rollback")
    assert names(source) == left
    m.call("cancel")
    assert m.wait_exit() == 0
    assert names(source) == left
    assert not left_of_ours(source) and not left_of_ours(target)


class Reader:
    """Reads a table of a server over and over; `longest`: the longest that one reading took."""

    def __init__(self, database, sql: str):
        self.connection, self.sql, self.longest, self.ended = database.connect(), sql, 0.0, threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.ended.wait(0.01):
                begun = time.monotonic()
                self.connection.cursor().execute(self.sql)
                self.longest = max(self.longest, time.monotonic() - begun)
        except Exception as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(60)
        self.connection.close()
        assert not self.failure, self.failure


WATCHED = {"performance-schema": "ON", "performance-schema-instrument": "wait/lock/metadata/sql/mdl=ON"}
SEEN = pytest.mark.parametrize("versions, settings", [(("5.7", "8.0"), WATCHED), (("5.7", "8.0"), {}), (("mariadb", "mariadb"), {})],
                               ids=["5.7to8.0 that sees locks", "5.7to8.0", "mariadb"])


def pair_with(mysql_database, versions, settings):
    source = mysql_database("source", versions[0], **settings)
    return source, mysql_database("target", versions[1], name=source.name, **settings)


@SEEN
def test_a_session_in_the_way_of_the_triggers_costs_no_more_than_the_pause(mysql_database, migration, versions, settings):
    source, target = pair_with(mysql_database, versions, settings)
    made(source)
    orders(source, 3)
    m = migration(source, target, config=SMALL)
    m.hook("on_before_cutover", f"touch '{m.dir}/asked'\nuntil test -e '{m.dir}/go'; do sleep 0.05; done\n")
    m.start()
    m.wait_phase("synced")
    m.call("verify")

    def refused() -> tuple[float, float]:
        """How long the cutover took from the gates on, and the longest reading meanwhile."""
        for name in ("asked", "go"):
            (m.dir / name).unlink(missing_ok=True)
        said = []
        cutover = threading.Thread(target=lambda: said.append(m.call("cutover", "--max-pause", "2s", expect=None)))
        cutover.start()
        wait_for(lambda: (m.dir / "asked").exists(), 60, "the gates stand")
        reader = target.connect(autocommit=False)
        reader.cursor().execute("SELECT * FROM orders")
        number = reader.thread_id()
        with Reader(target, "SELECT count(*) FROM orders") as reads:
            (m.dir / "go").touch()
            begun = time.monotonic()
            cutover.join(200)
            took = time.monotonic() - begun
        reader.close()
        assert said[0].exit == REFUSED, said[0]
        told = str(said[0])
        assert "nothing has changed" in told, told
        if f"connection {number} " not in told or "orders" not in told:
            return took + 100, 0  # it did not come so far in the pause
        return took, reads.longest

    for _ in range(4):  # the machine may stand still for a moment, though not each time
        took, longest = refused()
        if took < 4.5 and longest < 4:
            break
    assert took < 4.5 and longest < 4, (took, longest)  # five seconds and more, when the server's own bound is all there is
    assert m.status()["writes"] == "source"
    source.execute("UPDATE orders SET total = 5 ORDER BY id LIMIT 1")
    m.call("verify")
    m.call("cutover")
    assert names(target) == ALL
    orders(target, 2)
    worked_once(target)


@SEEN
def test_a_session_in_the_way_of_taking_triggers_down_is_waited_for_and_named(mysql_database, migration, versions, settings):
    """For longer than `retry` allows for what fails, without holding up those who read, and told once."""
    source, target = pair_with(mysql_database, versions, settings)
    made(source)
    orders(source, 3)
    m = started(source, migration, target, retry="1s")
    m.call("verify")
    m.call("cutover")
    reader = source.connect(autocommit=False)
    reader.cursor().execute("SELECT * FROM orders")
    number = reader.thread_id()
    begun = time.monotonic()
    with Reader(source, "SELECT count(*) FROM orders") as reads:
        orders(target, 2)
        m.wait(lambda s: f"connection {number} " in (s["last_error"] or ""), 60, "the session is named in status")
        m.wait(lambda s: time.monotonic() - begun > 5, 60, "longer than `retry`")
        assert f"connection {number} " in m.status()["last_error"]
    assert reads.longest < 4, reads.longest  # five and more
    warned = [line for line in m.log_text().splitlines() if f"connection {number} " in line]
    assert len(warned) == 1, warned
    assert sorted(names(source)) == ALL
    reader.close()
    m.wait(lambda s: names(source) == [] and not s["last_error"], 60, "they are down")
    m.call("verify")
    worked_once(source)
    m.call("rollback")
    assert names(source) == ALL


def test_triggers_of_a_source_whose_target_is_of_another_kind(mysql_database, database, migration):
    source, target = mysql_database("source", "5.7"), database("target")
    made(source)
    orders(source, 3)
    m = started(source, migration, target)
    m.call("verify")
    m.call("cutover")
    target.execute("INSERT INTO orders (id, item, stamp) VALUES (50, 'far', 'é')")
    m.wait(lambda s: names(source) == [], 60, "the source's triggers are down")
    m.call("verify")
    m.call("rollback")
    assert names(source) == ALL
