"""The change stream of MySQL and MariaDB against real servers: what is handed out, what stops it, what it never does."""
from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager

import MySQLdb
import pytest

from harness.mystream import Stream, texts
from harness.pgdrive import Refused
from harness.pgread import Read
from harness.servers import wait_for

EVERY = [("5.7", True), ("8.0", True), ("8.0", False), ("mariadb", True)]
every = pytest.mark.parametrize("version,gtid", EVERY, ids=["5.7", "8.0", "8.0-files", "mariadb"])
T = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))"


@pytest.fixture
def streams():
    made = []
    yield made
    for s in made:
        s.read.close()
        s.app.close()


@pytest.fixture
def stream(mysql_database, streams):
    def make(version="8.0", gtid=True, *tables, settings=None, **named):
        made = Stream(mysql_database("source", version, gtid=gtid, **(settings or {})), *tables, **named)
        streams.append(made)
        return made

    return make


@every
def test_every_kind_of_change(stream, version, gtid):
    s = stream(version, gtid, T, "CREATE TABLE w (a INT, b VARCHAR(10))", "CREATE TABLE u (id INT PRIMARY KEY, big LONGBLOB)")
    s.write("INSERT INTO t VALUES (1, 'a'), (2, NULL)", "UPDATE t SET v = 'b' WHERE id = 1",
            "UPDATE t SET id = 5 WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO w VALUES (1, 'x'), (1, 'x')",
            "UPDATE w SET b = 'y'", "DELETE FROM w LIMIT 1", "BEGIN", "INSERT INTO t VALUES (7, 'x')", "SAVEPOINT p",
            "INSERT INTO t VALUES (8, 'gone')", "ROLLBACK TO p", "INSERT INTO u VALUES (1, 'q')", "COMMIT", "BEGIN",
            "INSERT INTO t VALUES (9, 'gone')", "ROLLBACK", "TRUNCATE TABLE w")
    assert s.open().lines() == [
        "I t 1|a", "I t 2|NULL", "C", "U t 1|b", "C", "U t (1|.) 5|b", "C", "D t 2|.", "C", "I w 1|x", "I w 1|x", "C",
        "U w (1|x) 1|y", "U w (1|x) 1|y", "C", "D w 1|y", "C", "I t 7|x", "I u 1|{'hex': '71'}", "C", "T w", "C"]


@every
def test_from_any_commit_the_rest_comes_and_no_more(stream, version, gtid):
    s = stream(version, gtid, T)
    for i in range(6):
        s.write(f"INSERT INTO t VALUES ({i}, 'x')")
        if i == 2:
            s.write("FLUSH BINARY LOGS")
    items = s.open().read.read_until_now()["items"]
    whole = texts(items)
    assert whole == [line for i in range(6) for line in (f"I t {i}|x", "C")]
    ends = [i for i in items if i["kind"] in ("commit", "progress")]
    orders = [i["position"] for i in ends]
    assert orders == sorted(set(orders)) and orders[0] > s.start[0]
    seen = 0
    for end in ends:
        if end["kind"] == "commit" and seen < 6:
            seen += 1
        rest = s.again((end["position"], end["position_token"])).lines()
        assert rest == whole[2 * seen:]


@every
def test_what_the_server_computes_is_left_out(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (a INT AS (id + 1) VIRTUAL, id INT PRIMARY KEY, b INT AS (id * 2) STORED, "
                              "v VARCHAR(9), KEY (a))")
    s.write("INSERT INTO t (id, v) VALUES (1, 'x')", "UPDATE t SET v = 'y'", "UPDATE t SET id = 2", "DELETE FROM t")
    assert s.open().lines() == ["I t 1|x", "C", "U t 1|y", "C", "U t (1|.) 2|y", "C", "D t 2|.", "C"]


@every
def test_xa_transactions_come_when_they_are_committed(stream, version, gtid):
    s = stream(version, gtid, T)
    other = s.database.connect()
    for n, id_ in enumerate(("'a','b',7", "'c'", "'d'")):
        s.write(f"XA START {id_}", f"INSERT INTO t VALUES ({n}, 'xa')", f"XA END {id_}")
        if n < 2:
            s.write(f"XA PREPARE {id_}")
            other.cursor().execute(f"INSERT INTO t VALUES ({n + 10}, 'between')")
            s.write(f"XA {'COMMIT' if n == 0 else 'ROLLBACK'} {id_}")
        else:
            s.write(f"XA COMMIT {id_} ONE PHASE")
    assert s.open().lines() == ["I t 10|between", "C", "I t 0|xa", "C", "I t 11|between", "C", "I t 2|xa", "C"]


@every
def test_an_xa_transaction_whose_rows_are_not_known_stops_it(stream, version, gtid):
    s = stream(version, gtid, T)
    other = s.database.connect()
    s.write("XA START 'a'", "INSERT INTO t VALUES (1, 'xa')", "XA END 'a'", "XA PREPARE 'a'")
    other.cursor().execute("INSERT INTO t VALUES (2, 'x')")
    items = s.open().read.read_until_now()["items"]
    assert texts(items) == ["I t 2|x", "C"]
    end = items[-1]
    assert " xa " in end["position_token"]  # without it: as where too many are prepared for a position to name them
    s.write("XA COMMIT 'a'")
    s.again((end["position"], end["position_token"].split()[0]))
    e = s.refused()
    assert (e.cls, e.code) == ("fatal", "MFXA") and "61,,1" in e.text and e.hint


@every
def test_a_column_added_while_it_runs(stream, version, gtid):
    s = stream(version, gtid, T).open()
    s.write("INSERT INTO t VALUES (1, 'a')")
    assert s.lines() == ["I t 1|a", "C"]
    s.write("INSERT INTO t VALUES (2, 'b')", "ALTER TABLE t ADD c DATETIME(3)", "INSERT INTO t VALUES (3, 'c', '2024-01-02')")
    items = s.read.read_until_now()["items"]
    assert texts(items) == ["I t 2|b", "C", "I t 3|c|2024-01-02 00:00:00.000", "C"]
    shapes = [[c["name"] for c in i["table"]["columns"]] for i in items if i["kind"] == "relation"]
    assert shapes == [["id", "v", "c"]]


SWAP = "ALTER TABLE t CHANGE a b INT, CHANGE b a INT"  # everything fits but the meaning


@every
def test_a_change_that_lies_ahead_is_not_seen_too_early(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
    s.write("INSERT INTO t VALUES (1, 10, 20)", SWAP, "INSERT INTO t VALUES (2, 20, 10)")
    items = s.open().read.read_until_now()["items"]
    named, rows = [], []
    for i in items:
        if i["kind"] == "relation" and i["table"]["name"] == "t":
            named = [c["name"] for c in i["table"]["columns"]]
        elif i["kind"] == "change" and i["table"] == "t":
            rows.append(dict(zip(named, i["new"])))
    assert rows == [{"id": "1", "a": "10", "b": "20"}, {"id": "2", "b": "20", "a": "10"}]
    for end in [i for i in items if i["kind"] in ("commit", "progress")]:  # wherever it is opened again
        named, rest = [], []
        for i in s.again((end["position"], end["position_token"])).read.read_until_now()["items"]:
            if i["kind"] == "relation" and i["table"]["name"] == "t":
                named = [c["name"] for c in i["table"]["columns"]]
            elif i["kind"] == "change" and i["table"] == "t":
                rest.append(dict(zip(named, i["new"])))
        assert rest == rows[len(rows) - len(rest):]


@every
def test_many_tables_are_looked_at_together(stream, version, gtid):
    """More than are asked for one by one; one of them has a column that only the server knows (8.0, MariaDB)."""
    odd = {"8.0": ", KEY ((a + b))", "mariadb": ", c TEXT, UNIQUE (c)"}.get(version, "")
    s = stream(version, gtid, *[f"CREATE TABLE t{i} (id INT PRIMARY KEY, a INT, b INT{odd if i == 7 else ''})" for i in range(40)])
    known = s.database.server.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'shape fwd' AND value LIKE 'shape %'")
    assert known == 43  # and three of our own
    for i in (3, 7):
        s.write(f"INSERT INTO t{i} (id, a, b) VALUES (1, 10, 20)", f"ALTER TABLE t{i} ADD z INT FIRST")
    null = "|NULL" if version == "mariadb" else ""
    assert s.open().lines() == ["I t3 1|10|20", "C", "I t7 1|10|20" + null, "C"]


@every
def test_rows_between_two_changes_that_nobody_saw(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
    s.write("INSERT INTO t VALUES (1, 10, 20)", SWAP, "INSERT INTO t VALUES (2, 20, 10)", SWAP,
            "INSERT INTO t VALUES (3, 30, 40)")
    e = s.open().refused()
    assert (e.cls, e.code) == ("fatal", "MFDDL")
    assert "CHANGE a b INT" in e.text and ".t " in e.text and "nothing was misread" in e.text and e.hint
    assert texts(e.reply["items"]) == ["I t 1|10|20", "C"]


@every
def test_changes_without_rows_between_them(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    s.write("INSERT INTO t VALUES (1, 10)", "ALTER TABLE t ADD x INT", "ALTER TABLE t DROP x", "ALTER TABLE t ADD y INT",
            "REPAIR TABLE t", "INSERT INTO t VALUES (2, 20, 30)")
    assert s.open().lines() == ["I t 1|10", "C", "I t 2|20|30", "C"]


@every
def test_a_table_put_in_the_place_of_another(stream, version, gtid):
    s = stream(version, gtid, T, "CREATE TABLE keep (id INT PRIMARY KEY)").open()
    s.write("INSERT INTO t VALUES (1, 'a')", "INSERT INTO keep VALUES (1)")
    items = s.read.read_until_now()["items"]
    before = items[-1]
    s.write("CREATE TABLE t_new LIKE t", "RENAME TABLE t TO t_old, t_new TO t", "INSERT INTO keep VALUES (2)")
    items = s.read.read_until_now()["items"]
    after = items[-1]
    assert texts(items) == ["I keep 2", "C"]
    s.write("INSERT INTO t VALUES (1, 'other')")
    for at in (None, before, after):
        if at:
            s.again((at["position"], at["position_token"]))
        e = s.refused()
        assert (e.cls, e.code) == ("fatal", "MFDDL") and "RENAME TABLE t TO t_old" in e.text


@pytest.mark.parametrize("version", ["8.0", "mariadb"])
@pytest.mark.parametrize("statement", ["ALTER TABLE t TRUNCATE PARTITION p0", "ALTER TABLE t DROP PARTITION p0",
                                       "ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE x"])
def test_rows_that_go_without_an_event_stop_it(stream, version, statement):
    s = stream(version, True, "CREATE TABLE t (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS "
                              "THAN (10), PARTITION p1 VALUES LESS THAN (20))", "CREATE TABLE x (id INT PRIMARY KEY)").open()
    s.write("INSERT INTO t VALUES (1)")
    assert s.lines() == ["I t 1", "C"]
    s.write(statement)
    e = s.refused()
    assert (e.cls, e.code) == ("fatal", "MFDDL") and statement in e.text


@every
def test_a_statement_instead_of_its_rows_stops_it(stream, version, gtid):
    s = stream(version, gtid, T).open()
    s.write("SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO t VALUES (1, 'lost?')")
    e = s.refused()
    assert (e.cls, e.code) == ("fatal", "MFFORMAT")
    assert "INSERT INTO t VALUES" in e.text and "binlog_format" in e.hint


@every
def test_short_images(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), big TEXT)").open()
    s.write("INSERT INTO t VALUES (1, 'a', 'large')", "SET SESSION binlog_row_image = 'MINIMAL'",
            "UPDATE t SET v = 'b'", "UPDATE t SET id = 2", "DELETE FROM t")
    assert s.lines() == ["I t 1|a|large", "C", "U t 1|b|.", "C", "U t (1|.|.) 2|.|.", "C", "D t 2|.|.", "C"]


@pytest.mark.parametrize("version,gtid", EVERY, ids=["5.7", "8.0", "8.0-files", "mariadb"])
def test_a_log_that_was_thrown_away(stream, own_mysql, streams, version, gtid):
    server = own_mysql(version, gtid=gtid, fsync=True)  # MariaDB keeps a log until the engine has flushed what is in it
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    for i in range(3):
        s.write(f"INSERT INTO t VALUES ({i}, 'x')", "FLUSH BINARY LOGS")
    last = server.rows("SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        server.execute(f"PURGE BINARY LOGS TO '{last}'")
        return server.rows("SHOW BINARY LOGS")[0][0] == last

    wait_for(purged, 60)
    with pytest.raises(Refused) as e:
        s.open().lines()
    assert (e.value.cls, e.value.code) == ("fatal", "MFSLOT") and "keep its log longer" in e.value.hint


@pytest.mark.parametrize("version,gtid", EVERY, ids=["5.7", "8.0", "8.0-files", "mariadb"])
def test_a_server_that_was_reset(own_mysql, streams, version, gtid):
    server = own_mysql(version, gtid=gtid)
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    s.write("INSERT INTO t VALUES (1, 'x')", *["FLUSH BINARY LOGS"] * 3, "INSERT INTO t VALUES (2, 'x')")
    end = s.open().read.read_until_now()["items"][-1]
    server.execute("RESET MASTER")
    with pytest.raises(Refused) as e:
        s.again((end["position"], end["position_token"])).lines()
    assert (e.value.cls, e.value.code) == ("fatal", "MFSLOT") and e.value.hint


@pytest.mark.parametrize("version", ["5.7", "8.0", "mariadb"])
def test_a_server_that_dies_and_comes_back(own_mysql, streams, version):
    server = own_mysql(version)
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    s.write("INSERT INTO t VALUES (1, 'x')")
    end = s.open().read.read_until_now()["items"][-1]
    server.kill()
    with pytest.raises(Refused) as e:
        s.read.read(until=end["position"] + 1, wait_ms=60000)
    assert e.value.cls == "retry"
    server.start()
    s.app = s.database.connect()
    s.write("INSERT INTO t VALUES (2, 'x')")
    assert s.again((end["position"], end["position_token"])).lines() == ["I t 2|x", "C"]


def test_silence_is_a_dead_connection(own_mysql, streams):
    server = own_mysql("8.0")
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    end = s.open().read.read_until_now()["items"][-1]
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(Refused) as e:
            s.read.read(until=end["position"] + 1, wait_ms=200000)
        assert e.value.cls == "retry" and time.monotonic() - began < 100
    finally:
        server.resume()


def test_heartbeats_keep_an_idle_stream_alive(own_mysql, streams):
    """Longer than the silence that counts as death."""
    server = own_mysql("8.0")
    s = Stream(server.create_database("shop"), T)
    streams.append(s)
    end = s.open().read.read_until_now()["items"][-1]
    assert s.read.read(until=end["position"] + 1, wait_ms=35000)["count"] == 0
    s.write("INSERT INTO t VALUES (1, 'x')")
    assert s.lines() == ["I t 1|x", "C"]


@every
def test_another_replica_of_the_same_number(stream, version, gtid):
    s = stream(version, gtid, T).open()
    s.write("INSERT INTO t VALUES (1, 'x')")
    end = s.read.read_until_now()["items"][-1]
    twin = Read(s.database.url())  # the same migration: as if midflight ran twice
    twin.catalog()
    twin.prepare()
    twin.stream_open(**{"from": s.start[0], "from_token": s.start[1]})
    with pytest.raises(Refused) as e:
        s.read.read(until=end["position"] + 1, wait_ms=60000)
    assert e.value.cls == "retry"
    s.write("INSERT INTO t VALUES (2, 'x')")
    assert s.again((end["position"], end["position_token"])).lines() == ["I t 2|x", "C"]
    assert texts(twin.read_until_now()["items"]) == ["I t 1|x", "C", "I t 2|x", "C"]
    twin.close()


@every
def test_a_table_added_while_it_runs(stream, version, gtid):
    s = stream(version, gtid, T).open()
    s.write("CREATE TABLE late (id INT PRIMARY KEY)", "INSERT INTO late VALUES (1)")
    assert s.lines() == []
    s.read.catalog()
    s.read.add_tables()
    s.write("INSERT INTO late VALUES (2)", "INSERT INTO t VALUES (1, 'x')")
    assert s.lines() == ["I late 2", "C", "I t 1|x", "C"]
    assert s.again().lines() == ["I late 2", "C", "I t 1|x", "C"]  # what was before it was added is in its copy


@every
def test_large_events_and_small_ones(stream, version, gtid):
    s = stream(version, gtid, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)", settings={"max-allowed-packet": "64M"}).open()
    s.write("INSERT INTO t SELECT 1, REPEAT('x', 40 * 1024 * 1024)", "INSERT INTO t VALUES (2, 'y')")
    items = s.read.read_until_now()["items"]
    values = [i["new"][1] for i in items if i["kind"] == "change" and i["table"] == "t"]
    assert [len(v["hex"]) // 2 for v in values] == [40 * 1024 * 1024, 1]


def test_bytes_that_tls_holds_back_are_not_waited_for(stream):
    """Many sizes of events, each read as soon as it is there: none may lie decrypted in the library until the next comes."""
    s = stream("8.0", True, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)", ssl_mode="required").open()
    s.lines()
    for i, size in enumerate([1, 1000, 2047, 2048, 2049, 15000, 16000, 16384, 17000, 20000, 32768, 40000, 100000]):
        s.write(f"INSERT INTO t SELECT {i}, REPEAT('x', {size})")
        end = s.read.position()["position"]
        assert s.read.read(until=end, wait_ms=8000)["reached"] >= end, size  # nothing comes after it but a heartbeat


@every
def test_told_before_it_is_shown(stream, version, gtid):
    s = stream(version, gtid, T).open()
    s.write("INSERT INTO t VALUES (1, 'x')")
    items = s.read.read_until_now()["items"]
    txn = max(i["txn"] for i in items if i["kind"] == "begin")
    assert s.read.visible(txn=txn)["visible"]
    if gtid and version != "mariadb":
        assert not s.read.visible(txn=txn + 1000)["visible"]


@every
def test_a_start_waits_for_xa_transactions(mysql_database, streams, version, gtid):
    database = mysql_database("source", version, gtid=gtid)
    app = database.connect()
    for sql in (T, "XA START 'w'", "INSERT INTO t VALUES (1, 'xa')", "XA END 'w'", "XA PREPARE 'w'"):
        app.cursor().execute(sql)
    read = Read(database.url())
    read.catalog()
    threading.Thread(target=lambda: (wait_for(lambda: database.server.value(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'midflight' AND table_name = 'settings'"), 10),
        time.sleep(0.3), app.cursor().execute("XA COMMIT 'w'"))).start()
    start = read.prepare()
    assert database.server.value(f"SELECT COUNT(*) FROM {database.name}.t") == 1
    read.stream_open(**{"from": start["position"], "from_token": start["position_token"]})
    assert texts(read.read_until_now()["items"]) == []  # its commit is known to have been seen
    read.close()


@pytest.mark.parametrize("version,table", [
    ("8.0", "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, KEY ((a + b)))"),
    ("mariadb", "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c TEXT, UNIQUE (c))")], ids=["8.0", "mariadb"])
def test_columns_that_only_the_server_knows(stream, version, table):
    """Behind an index on an expression, or a unique one on a long value: they are in the log and in no catalogue."""
    s = stream(version, True, table).open()
    s.write("INSERT INTO t (id, a, b) VALUES (1, 2, 3)", "UPDATE t SET b = 4", "ALTER TABLE t ADD z INT",
            "UPDATE t SET z = 9", "DELETE FROM t")
    c = ["NULL"] if version == "mariadb" else []
    dots = "|.|.|." + "|." * len(c)
    assert s.lines() == ["I t " + "|".join(["1", "2", "3"] + c), "C", "U t " + "|".join(["1", "2", "4"] + c), "C",
                         "U t " + "|".join(["1", "2", "4"] + c + ["9"]), "C", f"D t 1{dots}", "C"]


class Replica:
    """Rows as the stream makes them; each change must find what it changes."""

    def __init__(self):
        self.columns, self.rows, self.open = {}, {}, {}

    def take(self, items) -> dict | None:
        last = None
        for i in items:
            if i["kind"] == "relation":
                self.columns[i["table"]["name"]] = [c["name"] for c in i["table"]["columns"]]
            elif i["kind"] == "change" and i["table"] in ("a", "b"):
                names = self.columns[i["table"]]
                self.open.setdefault(i["txn"], []).append(
                    (i["op"], i["table"], dict(zip(names, i.get("old", []))), dict(zip(names, i.get("new", [])))))
            elif i["kind"] == "abort":
                assert i["subtxn"] == i["txn"]
                self.open.pop(i["txn"], None)
            elif i["kind"] == "commit":
                for change in self.open.pop(i["txn"], []):
                    self.apply(*change)
            if i["kind"] in ("commit", "progress"):
                last = i
        return last

    def apply(self, op, table, old, new) -> None:
        rows = self.rows.setdefault(table, {})
        if op == "insert":
            assert new["id"] not in rows
        elif op == "delete":
            del rows[old["id"]]
            return
        else:
            before = rows.pop(old["id"] if old else new["id"])
            assert new["id"] not in rows
            assert set(before) <= set(new)
        rows[new["id"]] = new


def work(database, seed: int, stop) -> None:
    """Transactions at random: some rolled back, some in part, some with their keys moved."""
    r, c = random.Random(seed), database.connect()
    k = c.cursor()
    keys = list(range(seed * 100, seed * 100 + 40))
    while not stop.is_set():
        try:
            k.execute("BEGIN")
            k.execute("SAVEPOINT s")
            for _ in range(r.randint(1, 6)):
                t, a, b = r.choice("ab"), r.choice(keys), r.choice(keys)
                k.execute(r.choice([
                    f"INSERT IGNORE INTO {t} (id, v) VALUES ({a}, '{r.random()}'), ({b}, NULL)",
                    f"UPDATE {t} SET v = '{r.random()}' WHERE id IN ({a}, {b})",
                    f"UPDATE IGNORE {t} SET id = {a} WHERE id = {b}", f"DELETE FROM {t} WHERE id = {a}",
                    f"REPLACE INTO {t} (id, v) VALUES ({a}, 'r{r.random()}')"]))
                if r.random() < 0.2:
                    k.execute(r.choice(["SAVEPOINT s", "ROLLBACK TO s"]))
            k.execute(r.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
        except MySQLdb.OperationalError as e:
            assert e.args[0] in (1205, 1213), e  # a deadlock: the transaction is gone
            k.execute("ROLLBACK")
    c.close()


@every
def test_writers_changes_of_tables_and_restarts(stream, version, gtid):
    r, stop = random.Random(7), threading.Event()
    table = "(id INT PRIMARY KEY, v VARCHAR(30)) ENGINE=InnoDB"
    s = stream(version, gtid, f"CREATE TABLE a {table}", f"CREATE TABLE b {table}").open()
    failures = []

    def written(n):
        try:
            work(s.database, n, stop)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=written, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    replica, added, last = Replica(), 0, None
    try:
        wait_for(lambda: s.database.value("SELECT (SELECT COUNT(*) FROM a) + (SELECT COUNT(*) FROM b)"), 60, "rows")
        for round_ in range(24):
            last = replica.take(s.read.read_until_now()["items"]) or last
            if r.random() < 0.4 and not replica.open:
                s.again((last["position"], last["position_token"]))
            if round_ % 4 == 2:
                added += 1
                s.write(f"ALTER TABLE {r.choice('ab')} ADD c{added} INT DEFAULT {added}")
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures, failures
    replica.take(s.read.read_until_now()["items"])
    for name in "ab":
        cursor = s.app.cursor()
        cursor.execute(f"SELECT id, v FROM {name}")
        assert {(row["id"], row["v"]) for row in replica.rows.get(name, {}).values()} == {(str(i), v) for i, v in cursor}
    assert any(replica.rows.values())


@pytest.mark.parametrize("version,gtid", [("5.7", False), ("8.0", False), ("mariadb", True)], ids=["5.7", "8.0", "mariadb"])
def test_a_savepoint_that_is_in_the_log(stream, version, gtid):
    """Once a table that cannot roll back is written, the log has what is undone, and that it is."""
    s = stream(version, gtid, T, "CREATE TABLE m (id INT) ENGINE=MyISAM")
    s.open()
    s.write("BEGIN", "INSERT INTO t VALUES (1, 'x')", "SAVEPOINT p", "INSERT INTO t VALUES (2, 'gone')", "SAVEPOINT q",
            "INSERT INTO t VALUES (3, 'gone')", "INSERT INTO m VALUES (1)", "ROLLBACK TO p", "INSERT INTO t VALUES (4, 'x')",
            "COMMIT", "BEGIN", "INSERT INTO t VALUES (5, 'gone')", "INSERT INTO m VALUES (2)", "ROLLBACK")
    assert [line for line in s.lines() if " t " in line] == ["I t 1|x", "I t 4|x"]


@pytest.mark.parametrize("version,gtid", [("5.7", True), ("8.0", True), ("mariadb", True)], ids=["5.7", "8.0", "mariadb"])
def test_any_number_of_savepoints(stream, version, gtid):
    """Nested transactions of an application: each is a savepoint, whose release the log does not tell."""
    s = stream(version, gtid, T)
    s.write("BEGIN")
    for i in range(1200):
        s.write("SAVEPOINT s", f"INSERT INTO t VALUES ({i}, 'x')", "RELEASE SAVEPOINT s")
    s.write("COMMIT", "BEGIN")
    for i in range(1200):
        s.write(f"SAVEPOINT s{i}", f"INSERT INTO t VALUES ({i + 5000}, 'x')")
    s.write("COMMIT")
    assert s.open().lines() == [f"I t {i}|x" for i in range(1200)] + ["C"] + [f"I t {i + 5000}|x" for i in range(1200)] + ["C"]


@every
def test_a_table_made_if_it_is_missing_is_as_it_was(stream, version, gtid):
    """Every server logs it, also when it did nothing; applications send it at each start. It says nothing of the table, whatever its name."""
    s = stream(version, gtid, T, "CREATE TABLE `größe` (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE `表` (id INT PRIMARY KEY)")
    other = s.database.connect(charset="latin1")

    def again():
        for sql in ("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)", "CREATE TABLE IF NOT EXISTS größe (id INT PRIMARY KEY)"):
            other.query(sql.encode("latin1"))
            s.write(sql, "CREATE TABLE IF NOT EXISTS 表 LIKE t")

    def known():
        return s.database.server.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'shape fwd'")

    again()
    before = known()
    s.open()
    s.write("INSERT INTO t VALUES (1, 'a')", "INSERT INTO größe VALUES (1, 'a')")
    again()
    s.write("INSERT INTO t VALUES (2, 'b')", "INSERT INTO größe VALUES (2, 'b')", "INSERT INTO 表 VALUES (1)")
    again()
    items = s.read.read_until_now()["items"]
    assert texts(items) == ["I t 1|a", "C", "I größe 1|a", "C", "I t 2|b", "C", "I größe 2|b", "C", "I 表 1", "C"]
    assert known() == before
    other.query("ALTER TABLE größe ADD w INT".encode("latin1"))
    s.write("INSERT INTO größe VALUES (3, 'c', 3)")
    assert s.lines() == ["I größe 3|c|3", "C"]
    assert known() == before + 1  # of this table alone
    other.query("DROP TABLE größe".encode("latin1"))
    s.write("CREATE TABLE IF NOT EXISTS größe (id INT PRIMARY KEY)", "INSERT INTO größe VALUES (1)")
    e = s.refused()
    assert (e.cls, e.code) == ("fatal", "MFDDL") and "DROP TABLE" in e.text
    other.close()


@contextmanager
def row_metadata(s: Stream, what: str | None):
    """What table maps tell of columns: the whole server's setting, and the default again behind it."""
    if what:
        s.database.server.execute(f"SET GLOBAL binlog_row_metadata = {what}")
    try:
        yield
    finally:
        if what:
            s.database.server.execute("SET GLOBAL binlog_row_metadata = DEFAULT")


EVERYTHING = ("CREATE TABLE every_type (id INT PRIMARY KEY, u BIGINT UNSIGNED, y YEAR, c CHAR(200), b BINARY(16), vb VARBINARY(9), v VARCHAR(20) CHARACTER SET gbk, "
              "l TEXT CHARACTER SET latin1, t TEXT, bl BLOB, j JSON, g GEOMETRY, p POINT, e ENUM('ä','b'), el ENUM('ä','b') CHARACTER SET latin1, "
              "s SET('x','я') CHARACTER SET cp1251, w VARCHAR(5) CHARACTER SET utf16, z VARCHAR(20) CHARACTER SET ascii, d DECIMAL(10,2), k BIT(3){more})")


@pytest.mark.parametrize("metadata", ["MINIMAL", "FULL"])
@pytest.mark.parametrize("version,more", [("8.0", ""), ("mariadb", ", a INET6, aa UUID, cv VARCHAR(99) CHARACTER SET latin1 COMPRESSED, ct TEXT COMPRESSED")],
                         ids=["8.0", "mariadb"])
def test_what_the_log_tells_of_columns_fits_every_type(stream, version, more, metadata):
    s = stream(version, True, EVERYTHING.format(more=more))
    with row_metadata(s, metadata):
        s.write("INSERT INTO every_type (id, v, l, t, e, el, s, w) VALUES (1, '表', 'é', 'é', 'ä', 'ä', 'x,я', 'é')")
    line = s.open().lines()[0]
    assert [x for x in line.split("|") if x != "NULL"] == ["I every_type 1", "表", "é", "é", "ä", "ä", "x,я", "é"]


UNLOGGED = [("5.7", None, "MODIFY v VARCHAR(20) CHARACTER SET utf8mb4"), ("8.0", None, "CONVERT TO CHARACTER SET utf8mb4"),
            ("mariadb", None, "MODIFY v VARCHAR(20) CHARACTER SET utf8mb4"), ("8.0", None, "MODIFY x TEXT CHARACTER SET utf8mb4"),
            ("mariadb", "MINIMAL", "MODIFY x TEXT CHARACTER SET utf8mb4"), ("8.0", "FULL", "MODIFY e ENUM('b','a')"),
            ("mariadb", "FULL", "MODIFY e ENUM('b','a')"), ("8.0", "FULL", "CHANGE a b INT, CHANGE b a INT")]


@pytest.mark.parametrize("version,metadata,what", UNLOGGED, ids=[f"{v}-{m}-{w.split()[0]}-{w.split()[1]}" for v, m, w in UNLOGGED])
def test_a_table_changed_behind_the_log_is_not_misread(stream, version, metadata, what):
    """An ALTER with sql_log_bin = 0, as for a change that is rolled over the servers one by one."""
    s = stream(version, True, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), e ENUM('a','b'), x TEXT, a INT, b INT) CHARACTER SET latin1").open()
    with row_metadata(s, metadata):
        s.write("INSERT INTO t VALUES (1, 'é', 'a', 'é', 1, 2)")
        assert s.lines() == ["I t 1|é|a|é|1|2", "C"]
        s.write("SET sql_log_bin = 0", f"ALTER TABLE t {what}", "SET sql_log_bin = 1", "INSERT INTO t VALUES (2, 'é', 'b', 'é', 3, 4)")
    e = s.refused()
    assert (e.cls, e.code) == ("fatal", "MFDDL") and "nothing was misread" in e.text and "sql_log_bin" in e.hint
    assert texts(e.reply["items"]) == []
