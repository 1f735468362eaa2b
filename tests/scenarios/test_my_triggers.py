"""Triggers of users: they stand only on the side that takes the application's writes, and do their work once for each of its rows, whatever is
abandoned, killed or turned round in between."""
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
    m.wait(lambda s: names(source) == [] or not s, 30, "the source's triggers are down before rows are written back")
    worked_once(target)
    m.call("verify")
    worked_once(source)
    m.call("rollback")
    assert names(source) == ALL
    orders(source, 3)
    m.wait(lambda s: names(target) == [] or not s, 30, "the target's triggers are down again")
    worked_once(source)
    m.call("verify")
    worked_once(target)
    m.call("cutover")
    orders(target, 2)
    equal_at_last(m, source, target)
    worked_once(target)
    m.call("complete")
    assert m.wait_exit(30) == 0
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
    m.wait(lambda s: names(target) == [] or not s, 30, "taken down again")
    m.call("verify")
    worked_once(target)


def test_killed_while_triggers_come_and_go(mysql_pair, migration):
    source, target = mysql_pair
    made(source)
    orders(source, 3)
    m = started(source, migration, target)
    m.call("verify")
    m.kill()
    m.start(fault="mysql.trigger_up:3=kill")
    m.wait(lambda s: s["streams_open"], 60, "streams")
    m.call("verify", expect=None)
    m.call("cutover", expect=None)
    assert m.wait_exit(30) == -9
    orders(source, 2)
    m.start()
    m.wait_phase("synced")
    orders(source, 2)
    m.call("verify")
    worked_once(target)
    m.call("cutover")
    m.restart(fault="mysql.trigger_down:2=kill")
    orders(target, 2)
    assert m.wait_exit(30) == -9
    m.start()
    m.wait_phase("cut_over")
    orders(target, 2)
    m.call("verify")
    worked_once(source)
    m.call("rollback")
    assert names(source) == ALL
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
    wait_for(lambda: target.value("SELECT count(*) FROM t") == 2, 20, "both rows")
