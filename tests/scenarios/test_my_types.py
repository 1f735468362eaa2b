"""Values, catalogue and counters of the MySQL connector against real servers: what a strict server would still change in silence is
refused, a table whose definition is locked is not taken for a dropped one, and counters are read as they are."""
import random
import threading
from contextlib import closing
from decimal import Decimal

import pytest

from harness.mydrive import Drive, Refused, table
from harness.mysql_servers import fetch, run
from harness.servers import wait_for

VERSIONS = ["5.7", "8.0", "mariadb"]


@pytest.fixture(params=VERSIONS)
def database(mysql_database, request):
    made = mysql_database("types", request.param)
    made.mariadb = request.param == "mariadb"
    made.dictionary = request.param == "8.0"
    return made


@pytest.fixture
def c(database):
    with closing(database.connect()) as connection:
        yield connection


@pytest.fixture
def drive(database):
    with Drive(database.url()) as d:
        d("prepare")
        yield d


def do(c, *statements):
    for one in statements:
        run(c, one, close=False)


# ---- values ----

NUMBERS = """0 -0 1 -1 127 128 255 256 1.0 1.5 0.5 2.25 2.255 0.005 99999 123.456 1e2 1.5e3 1234567 9223372036854775808
 18446744073709551615 18446744073709551616 0.1 0.10000000149011612 1.234 1.2339999675750732 3.4028234663852886e38 1e39
 1.7976931348623157e308 1e309 5e-324 0.30000000000000004 16777217 9007199254740993 0.000000000000012345678901234567 1e15
 123456.7 999999.999 -5.123 2024 99 0070 0000 1900 1901 2155 2156""".split() + ["", " 1", "1 ", "1x", "0x10", "nan"]
TIMES = ["2026-11-28", "2026-02-31", "0000-00-00", "26-11-28", "20261128", "2026-11-28 01:02:03", "2026-11-28 01:02:03.5",
         "2026-11-28 01:02:03.123", "2026-11-28 01:02:03.1234", "2026-11-28 01:02:03.1234567", "2026-11-28 23:59:59.9999",
         "2026-11-28T01:02:03", "2026-11-28 01:02", "2026-11-28 01:02:03+05:00", "0000-00-00 00:00:00", "1969-12-31 23:59:59",
         "2038-01-19 03:14:07", "9999-12-31 23:59:59.999999", "01:02:03", "-838:59:59", "838:59:59.5", "01:02:03.2555", "01:02",
         "1 01:02:03", "100:00:00", "12"]
TEXTS = ["", "a", "A", "b", "Ab", "AB", "abc", "abc ", "ab ", "abcd", "abc  ", "a,b", "a,d", "A,B", "1", "2", "3", "y ", "é", "éééé", "€",
         "漢", "😀", "x" * 255 + " ", "é" * 127, "é" * 128]
TYPES = {
    "tinyint": NUMBERS, "int": NUMBERS, "int(5) unsigned zerofill": NUMBERS, "bigint unsigned": NUMBERS, "decimal(5,2)": NUMBERS,
    "decimal(65,30)": NUMBERS, "decimal(8,3) unsigned zerofill": NUMBERS, "float": NUMBERS, "float(7,3)": NUMBERS, "double": NUMBERS,
    "double(9,3)": NUMBERS, "bit(8)": NUMBERS, "bit(64)": NUMBERS, "year": NUMBERS, "date": TIMES, "time": TIMES, "time(3)": TIMES,
    "datetime": TIMES, "datetime(3)": TIMES, "datetime(6)": TIMES, "timestamp(3) null": TIMES,
    "char(3) character set utf8mb4": TEXTS, "char(5) character set latin1": TEXTS, "varchar(3) character set utf8mb4": TEXTS,
    "varchar(5) character set latin1": TEXTS, "varchar(5) character set ucs2": TEXTS, "varchar(5) character set utf8": TEXTS,
    "tinytext character set utf8mb4": TEXTS, "tinytext character set latin1": TEXTS,
    "enum('a','b','1','Ab') character set utf8mb4": TEXTS, "set('a','b','1') character set utf8mb4": TEXTS,
}


def same(kind: str, given: str, read: str) -> bool:
    """Is what was read the value that was given, whatever it looks like?"""
    base = kind.split("(")[0].split()[0]
    if base in ("float", "double"):
        return float(given) == float(read)
    if base in ("tinyint", "int", "bigint", "decimal", "bit", "year"):
        return Decimal(given) == Decimal(read)
    if base in ("datetime", "timestamp", "time"):
        full = given + " 00:00:00" if len(given) == 10 and base != "time" else given
        cut = lambda s: s.rstrip("0").rstrip(".") if "." in s else s
        return cut(full) == cut(read)
    return given == read


def test_what_a_strict_server_would_change_in_silence_is_refused(drive, c, database):
    """P4: of every value offered to every type, one that is taken reads back as the same value; the others are in the quarantine."""
    order, taken, refused = 10, 0, 0
    for kind, values in TYPES.items():
        name = f"v{order}"
        do(c, f"CREATE TABLE {name} (id int PRIMARY KEY, v {kind})")
        t = table(c, name)
        batches = [{"tables": [{"table": t, "inserts": [{"new": [str(i), value]}]}]} for i, value in enumerate(values)]
        order += 1
        before = len(drive("quarantine")["entries"])
        refused_now = drive("window", order=order, batches=batches, careful=True, keep=True)["quarantined"]
        number = "+ 0" if "bit" in kind else "* 1e0" if kind.startswith(("float", "double")) else ""
        got = {int(i): v for i, v in fetch(c, f"SELECT id, CAST(v {number} AS char) FROM {name}", close=False)}
        wrong = [(values[i], v) for i, v in got.items() if not same(kind, values[i], v)]
        assert not wrong, (kind, wrong)
        assert refused_now == len(values) - len(got) == len(drive("quarantine")["entries"]) - before, kind
        taken, refused = taken + len(got), refused + refused_now
    assert taken > 250 and refused > 400, (taken, refused)


def test_numbers_in_json_arrive_as_they_were(drive, c, database):
    """The parser behind CAST(… AS JSON) takes one double in ten for the one next to it, and a DECIMAL's zeros away."""
    if database.mariadb:
        return  # a JSON column is text there
    rnd = random.Random(20261128)
    do(c, "CREATE TABLE made (id int PRIMARY KEY, d json)", "CREATE TABLE got (id int PRIMARY KEY, d json)")
    kinds = [lambda: repr(rnd.random()) + "e0", lambda: repr(rnd.uniform(-180, 180)) + "e0", lambda: f"{rnd.randrange(1000)}.{rnd.randrange(100):02}",
             lambda: str(rnd.randrange(10 ** 18)), lambda: f"{rnd.randrange(100)}e0", lambda: f"{rnd.random()!r}e-{rnd.randrange(200)}",
             lambda: str(rnd.randrange(10 ** 24, 10 ** 25))]
    for i in range(350):
        n = kinds[i % len(kinds)]()
        do(c, f"INSERT INTO made VALUES ({i}, JSON_OBJECT('k\"\\\\\\n', {n}, 'é', JSON_ARRAY(1, {n}, 'x\\\\\"', JSON_OBJECT('z', {n}, 'n', NULL)), 'e', JSON_ARRAY()))")
    documents = dict(fetch(c, "SELECT id, d FROM made", close=False))
    t = table(c, "got")
    drive.window(10, {"table": t, "inserts": [{"new": [str(i), d]} for i, d in documents.items()]})
    assert dict(fetch(c, "SELECT id, d FROM got", close=False)) == documents
    assert fetch(c, "SELECT COUNT(*) FROM made WHERE CAST(CAST(CONVERT(d USING utf8mb4) AS json) AS char) <> CAST(d AS char)",
                 close=False)[0][0] > 20  # as a cast would have it


# ---- the catalogue ----


def names(reply) -> set[str]:
    return {t["name"] for t in reply["tables"] if t["schema"] != "midflight"}


def test_the_catalogue_waits_for_no_table(drive, c, database):
    """Open transactions, LOCK TABLES and an ALTER that waits for them keep nobody from looking."""
    do(c, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE p (t text NOT NULL, u int NOT NULL,"
       " PRIMARY KEY (t(10)), UNIQUE (u))", "CREATE VIEW w AS SELECT * FROM a", "CREATE TABLE gone (id int)",
       "CREATE VIEW broken AS SELECT * FROM gone", "DROP TABLE gone")
    with closing(database.connect(autocommit=False)) as writer, closing(database.connect()) as locker, closing(database.connect()) as ddl:
        run(writer, "INSERT INTO a VALUES (1)", close=False)
        run(locker, "LOCK TABLES b WRITE", close=False)
        altering = threading.Thread(target=lambda: run(ddl, "ALTER TABLE a ADD x int", close=False))
        altering.start()
        wait_for(lambda: fetch(c, "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata%'", close=False))
        for figures in (False, True):
            replies = [drive("shapes", figures=figures) for _ in range(4)]
            reply = min(replies, key=lambda r: r["seconds"])  # the machine may stand still for a moment, though not each time
            assert names(reply) == {"a", "b", "p"} and reply["seconds"] < 1
            assert {t["name"]: t["key"] for t in reply["tables"]}["p"] == ["u"]
        assert altering.is_alive()
        writer.rollback()
        altering.join()


def test_a_table_whose_definition_is_locked_is_not_taken_for_a_dropped_one(drive, c, database):
    """RENAME of two tables has the first for itself while it waits for the second. Where the server leaves such a table out of
    information_schema with a warning, the look has failed."""
    do(c, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    with closing(database.connect(autocommit=False)) as reader, closing(database.connect()) as ddl:
        fetch(reader, "SELECT * FROM b", close=False)
        renaming = threading.Thread(target=lambda: run(ddl, "RENAME TABLE a TO a2, b TO b2", close=False))
        renaming.start()
        wait_for(lambda: fetch(c, "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata%'", close=False))
        if database.dictionary:
            assert names(drive("shapes")) == {"a", "b"}
        else:
            with pytest.raises(Refused) as e:
                drive("shapes")
            assert e.value.cls == "retry" and e.value.code == "MFCATALOG" and "at this moment" in e.value.text
        reader.rollback()
        renaming.join()
    assert names(drive("shapes")) == {"a2", "b2"}


# ---- counters ----


def counters(drive) -> dict[str, int]:
    return {s["name"]: s["last_value"] for s in drive("counters")["sequences"] if s["schema"] != "midflight"}


def test_counters_are_read_as_they_are_and_never_lowered(drive, c, database):
    do(c, *(f"CREATE TABLE {t} (id bigint AUTO_INCREMENT PRIMARY KEY, x int)" for t in ("fresh", "used", "emptied")),
       "CREATE TABLE none (id int PRIMARY KEY)", "INSERT INTO used (x) VALUES (1), (2), (3)", "INSERT INTO emptied (x) VALUES (1), (2), (3)")
    assert counters(drive) == {"fresh": 0, "used": 3, "emptied": 3}
    do(c, "DELETE FROM emptied", "BEGIN", "INSERT INTO used (x) VALUES (4), (5)", "ROLLBACK")  # given out, and not in any row
    assert counters(drive) == {"fresh": 0, "used": 5, "emptied": 3}
    schema = fetch(c, "SELECT DATABASE()", close=False)[0][0]
    wanted = {"fresh": 40, "used": 4, "emptied": 50, "none": 9, "missing": 9}
    drive("sequences", sequences=[{"schema": schema, "name": t, "last_value": v, "is_called": True} for t, v in wanted.items()])
    assert counters(drive) == {"fresh": 40, "used": 5, "emptied": 50}
    do(c, "INSERT INTO fresh (x) VALUES (1)", "INSERT INTO emptied (x) VALUES (1)")
    assert fetch(c, "SELECT (SELECT MAX(id) FROM fresh), (SELECT MAX(id) FROM emptied)", close=False)[0] == (41, 51)


def test_a_counter_whose_table_is_in_use_is_given_up_soon(drive, c, database):
    do(c, "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY)")
    schema = fetch(c, "SELECT DATABASE()", close=False)[0][0]
    wanted = [{"schema": schema, "name": "t", "last_value": 40, "is_called": True}]
    with closing(database.connect(autocommit=False)) as reader:
        fetch(reader, "SELECT * FROM t", close=False)
        with pytest.raises(Refused) as e:
            drive("sequences", sequences=wanted)
        assert e.value.cls == "retry" and f"{schema}.t" in e.value.text
        reader.rollback()
    drive("sequences", sequences=wanted)
    assert counters(drive) == {"t": 40}
