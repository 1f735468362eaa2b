"""The MySQL target's loader and applier against real servers: strict and fuzzy windows, the careful way, quarantine, tables without
a key, repair; and what is special here: other unique keys, keys that differ in case only, notes, types with literals of their own."""
from contextlib import closing

import pytest

from harness.mydrive import Drive, Refused, table
from harness.mysql_servers import fetch, run
from harness.servers import wait_for

KEEP = {}  # a column left as it is
VERSIONS = ["5.7", "8.0", "mariadb"]


@pytest.fixture(params=VERSIONS)
def target(mysql_database, request):
    return mysql_database("target", request.param)


@pytest.fixture
def c(target):
    connection = target.connect()
    yield connection
    connection.close()


@pytest.fixture
def drive(target):
    made = []

    def make(**named):
        made.append(Drive(target.url(), **named))
        made[-1]("prepare")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def accounts(c):
    run(c, "CREATE TABLE accounts (id bigint PRIMARY KEY, owner varchar(10) NOT NULL, balance decimal(12,2), note text)", close=False)
    return table(c, "accounts")


def do(c, *statements):
    for one in statements:
        run(c, one, close=False)


def rows(c, sql="SELECT * FROM accounts ORDER BY 1"):
    return [tuple(None if v is None else str(v) for v in r) for r in fetch(c, sql, close=False)]


def value(c, sql):
    return fetch(c, sql, close=False)[0][0]


def insert(*new):
    return {"new": list(new)}


def change(old, new, **named):
    return {"old": old, "new": new, **named}


def key(*values, width=4):
    return list(values) + [KEEP] * (width - len(values))


def hexed(b: bytes) -> dict:
    return {"hex": b.hex()}


def test_a_strict_window(drive, c, accounts):
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.50", None), insert("2", "bob", "-3.00", "a 'quoted' \\ \"x\"\n\t%_"),
                                          insert("3", "čeněk😀", "0.00", "")]})
    assert rows(c) == [("1", "ann", "1.50", None), ("2", "bob", "-3.00", "a 'quoted' \\ \"x\"\n\t%_"), ("3", "čeněk😀", "0.00", "")]
    d.window(11, {"table": t,
                  "deletes": [{"old": key("3")}],
                  "updates": [change(key("1"), ["1", "ann", "2.50", KEEP]), change(key("2"), ["20", "bob", KEEP, "moved"])],
                  "inserts": [insert("4", "dan", None, None)]})
    assert rows(c) == [("1", "ann", "2.50", None), ("4", "dan", None, None), ("20", "bob", "-3.00", "moved")]
    assert d("checkpoint")["order"] == 11
    d.window(12, {"table": t, "updates": [change(key("4"), ["4", "eve", "1.00", "r"], op="replace")]})
    assert rows(c)[1] == ("4", "eve", "1.00", "r")
    d.window(13, {"table": t, "updates": [change(key(str(i)), [str(i), "same", "7.00", None]) for i in (1, 4, 20)]})
    d.window(14, {"table": t, "updates": [change(key(str(i)), [str(i), "same", "7.00", None]) for i in (1, 4, 20)]})  # nothing changes
    assert [r[1:] for r in rows(c)] == [("same", "7.00", None)] * 3


@pytest.mark.parametrize("what", ["update", "updates", "delete", "insert"])
def test_a_strict_window_that_does_not_fit_is_not_committed(drive, c, accounts, what):
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.00", None), insert("3", "x", None, None), insert("4", "x", None, None)]})
    before = rows(c)
    wrong = {"update": {"updates": [change(key("1"), ["1", "x", KEEP, KEEP]), change(key("9"), ["9", "x", KEEP, KEEP])]},
             "updates": {"updates": [change(key(i), [i, "x", None, None]) for i in ("1", "3", "4", "9")]},
             "delete": {"deletes": [{"old": key("1")}, {"old": key("9")}]},
             "insert": {"inserts": [insert("7", "x", None, None), insert("1", "y", None, None)]}}[what]
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, **wrong})
    assert e.value.cls == "conflict" and ".accounts" in e.value.text
    assert rows(c) == before and d("checkpoint")["order"] == 10
    d.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})  # the same applier goes on
    assert len(rows(c)) == 4
    if what != "insert":
        with pytest.raises(Refused) as e:
            d.window(12, {"table": t, **wrong}, careful=True)
        assert e.value.code == "MFDIVERGED" and "id=9" in e.value.text and "accounts" in e.value.text
        assert d("checkpoint")["order"] == 11


def test_a_fuzzy_window_writes_over_what_is_there_and_reports_what_it_cannot(drive, c, accounts):
    t = accounts
    do(c, "INSERT INTO accounts VALUES (1, 'old', 1, 'toast'), (5, 'five', 5, 'toast5')")
    d = drive()
    reply = d.window(10, {"table": t,
                          "deletes": [{"old": key("99")}],
                          "updates": [change(key("1"), ["1", "new", "2.00", KEEP]),       # found, partial
                                      change(key("2"), ["2", "two", "2.00", KEEP]),       # not found, partial: reported
                                      change(key("3"), ["3", "three", "3.00", "whole"]),  # not found, whole: written
                                      change(key("5"), ["6", "six", "6.00", KEEP])],      # moves the key and is partial: read again
                          "inserts": [insert("4", "four", None, None)]}, fuzzy=True)
    assert rows(c) == [("1", "new", "2.00", "toast"), ("3", "three", "3.00", "whole"), ("4", "four", None, None)]
    assert sorted(r[0] for r in reply["missing"]) == ["2", "6"]
    d("repair", table=t, whole=[["2", "two", "2.00", "again"], ["1", "one", "1.00", None]], gone=[key("4")])
    assert rows(c) == [("1", "one", "1.00", None), ("2", "two", "2.00", "again"), ("3", "three", "3.00", "whole")]
    assert d("checkpoint")["order"] == 10


@pytest.mark.parametrize("new, column", [
    (["1", "elevenchars", "1.00", None], "owner"), (["1", "tenletters ", "1.00", None], "owner"), (["1", None, "1.00", None], "owner"),
    (["1", "x", "1.005", None], "balance"), (["1", "x", "99999999999.00", None], "balance"), (["1", "x", "1e2", None], "balance"),
    (["1", "x", "abc", None], "balance"), (["9223372036854775808", "x", "1.00", None], "id"), (["1", "x", "1.00", hexed(b"\xff")], "note")])
def test_what_the_target_cannot_hold_is_refused_and_never_changed(drive, c, accounts, new, column):
    """P4, and with the quarantine: the other rows of the window are written."""
    t, d = accounts, drive()
    window = {"table": t, "inserts": [insert("7", "good", None, None), insert(*new)]}
    with pytest.raises(Refused) as e:
        d.window(10, window)
    assert e.value.cls == "row" and rows(c) == []
    with pytest.raises(Refused) as e:
        d.window(10, window, careful=True)
    assert f"id={new[0]}" in e.value.text and column in e.value.text and rows(c) == []
    reply = d.window(10, window, careful=True, keep=True)
    assert reply["quarantined"] == 1 and [r[0] for r in rows(c)] == ["7"]
    (entry,) = d("quarantine")["entries"]
    assert entry["table"] == "accounts" and entry["key"] == f"id={new[0]}" and entry["column"] == column and entry["reason"]
    assert d("checkpoint")["order"] == 10
    assert d("quarantine", drop=entry["id"])["entries"] == []


@pytest.mark.parametrize("column", ["x timestamp NOT NULL DEFAULT '2000-01-01 00:00:00'", "x int NOT NULL AUTO_INCREMENT UNIQUE", "x int NOT NULL"], ids=["timestamp", "counter", "int"])
def test_null_where_the_target_has_none(drive, c, column):
    """An old server, and every server for a counter, would put something of its own there."""
    run(c, f"CREATE TABLE t (id int PRIMARY KEY, {column})", close=False)
    t, d = table(c, "t"), drive()
    reply = d.window(10, {"table": t, "inserts": [insert("1", None)]}, careful=True, keep=True)
    assert reply["quarantined"] == 1 and rows(c, "SELECT * FROM t") == []
    (entry,) = d("quarantine")["entries"]
    assert entry["column"] == "x", entry


def test_no_note_passes(drive, c):
    """What a strict server only notes, or does not even note, is refused by itself and in the middle of many rows."""
    do(c, "CREATE TABLE n (id int PRIMARY KEY, v varchar(5), d datetime(3), f float, e enum('1','2','0'), y date, s varchar(5) CHARACTER SET latin1, b bit(3),"
       " t time(0), bi binary(3), se set('a','b'))")
    t, d = table(c, "n"), drive()
    good = ["1", "ok", "2026-01-01 00:00:00.000", "0.5", "2", "2026-01-01", "é", "7", "10:00:00", hexed(b"abc"), "a,b"]
    bad = {1: "12345 ", 2: "2026-01-01 00:00:00.0005", 3: "0.1234567890123", 4: "3", 5: "2026-01-01 10:00:00", 6: "中", 7: "8", 8: "10:00:00.5",
           9: hexed(b"ab"), 10: "a,c"}
    for i, (column, bad_value) in enumerate(bad.items()):
        new = [*good[:column], bad_value, *good[column + 1:]]
        new[0] = "2"
        for named in ({}, {"fuzzy": True}, {"careful": True}, {"careful": True, "fuzzy": True}):
            with pytest.raises(Refused) as e:
                d.window(100, {"table": t, "inserts": [insert(*good), insert(*new), insert("3", *[None] * 10)]}, **named)
            assert e.value.cls == "row", (t["columns"][column]["name"], str(e.value))
        assert value(c, "SELECT COUNT(*) FROM n") == 0
    d.window(100, {"table": t, "inserts": [insert(*good)]})
    for column, bad_value in bad.items():
        new = [*good[:column], bad_value, *good[column + 1:]]
        for named in ({}, {"fuzzy": True}, {"careful": True}):
            with pytest.raises(Refused) as e:
                d.window(101, {"table": t, "updates": [change(good, new)]}, **named)
            assert e.value.cls == "row", (t["columns"][column]["name"], str(e.value))
    assert d("checkpoint")["order"] == 100


def test_a_quarantined_row_stays_out_until_it_is_whole_again(drive, c, accounts):
    t, d = accounts, drive()
    keys = lambda: [e["key"] for e in d("quarantine")["entries"]]
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.00", "n"), insert("2", "bob", "1.00", "n")]})
    d.window(11, {"table": t, "updates": [change(key("1"), ["1", "far too long a name", "1.00", KEEP])]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["2"] and keys() == ["id=1"]  # no stale version is left
    with pytest.raises(Refused) as e:
        d.window(12, {"table": t, "updates": [change(key("1"), ["1", KEEP, "5.00", KEEP])]})
    assert e.value.cls == "conflict"
    d.window(12, {"table": t, "updates": [change(key("1"), ["1", KEEP, "5.00", KEEP])]}, careful=True, keep=True)
    assert keys() == ["id=1"]
    d.window(13, {"table": t, "updates": [change(key("1"), ["11", KEEP, "5.00", KEEP])]}, careful=True, keep=True)
    assert keys() == ["id=11"]
    d.window(14, {"table": t, "updates": [change(key("11"), ["11", "ann", "5.00", "n"])]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["2", "11"] and keys() == []
    d.window(15, {"table": t, "updates": [change(key("2"), ["2", "far too long a name", "1.00", KEEP])]}, careful=True, keep=True)
    d.window(16, {"table": t, "deletes": [{"old": key("2")}]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["11"] and keys() == []


def test_fuzzy_windows_heal_the_quarantine(drive, c, accounts):
    t, d = accounts, drive()
    keys = lambda: [e["key"] for e in d("quarantine")["entries"]]
    d.window(10, {"table": t, "inserts": [insert("1", "far too long a name", "1.00", "n"), insert("2", "much too long a name", "1.00", "n")]},
             careful=True, keep=True, fuzzy=True)
    assert keys() == ["id=1", "id=2"] and rows(c) == []
    d.window(11, {"table": t, "updates": [change(key("1"), ["1", "ann", "1.00", "n"])], "deletes": [{"old": key("2")}]}, fuzzy=True)
    assert keys() == [] and [r[0] for r in rows(c)] == ["1"]


# ---- other unique keys ----

OTHER = [("1", "a"), ("2", "b"), ("3", "c")]


@pytest.mark.parametrize("how", ["overwrite", "update", "insert", "fuzzy", "fuzzy insert", "repair"])
@pytest.mark.parametrize("extra", [False, True])
def test_a_row_of_another_unique_key_is_never_written_over(drive, c, how, extra):
    """ON DUPLICATE KEY UPDATE and REPLACE would take row 2 for the one to write over, because its v is taken."""
    do(c, "CREATE TABLE u (id int PRIMARY KEY, v varchar(10), UNIQUE (v))")
    t = table(c, "u")
    if extra:
        do(c, "ALTER TABLE u ADD w int DEFAULT 5")
    do(c, "INSERT INTO u (id, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    d = drive()
    two = lambda k, v: {"updates": [change([k, KEEP], [k, v])]}
    many = {"updates": [change([k, KEEP], [k, v]) for k, v in (("1", "b"), ("2", "b2"), ("3", "c"))]}
    steps = {"overwrite": lambda: d.window(10, {"table": t, **many}), "update": lambda: d.window(10, {"table": t, **two("1", "b")}),
             "insert": lambda: d.window(10, {"table": t, "inserts": [insert("9", "b")]}), "fuzzy": lambda: d.window(10, {"table": t, **two("1", "b")}, fuzzy=True),
             "fuzzy insert": lambda: d.window(10, {"table": t, "inserts": [insert("9", "b")]}, fuzzy=True), "repair": lambda: d("repair", table=t, whole=[["9", "b"]])}
    with pytest.raises(Refused) as e:
        steps[how]()
    assert (e.value.cls, e.value.code) == ("conflict", "1062")
    assert rows(c, "SELECT id, v FROM u ORDER BY id") == OTHER
    if how == "repair":
        return
    with pytest.raises(Refused) as e:  # carefully: it is not the key that is taken, so nothing is removed for it
        d.window(10, {"table": t, "inserts": [insert("9", "b")]}, careful=True, heal=True)
    assert e.value.cls == "conflict" and "id=9" in e.value.text and rows(c, "SELECT id, v FROM u ORDER BY id") == OTHER
    reply = d.window(10, {"table": t, "inserts": [insert("9", "b")]}, careful=True, keep=True)
    assert reply["quarantined"] == 1 and rows(c, "SELECT id, v FROM u ORDER BY id") == OTHER
    reply = d.window(11, {"table": t, "updates": [change(["3", KEEP], ["4", "b"])]}, careful=True, keep=True, heal=True)
    assert reply["quarantined"] == 1 and reply["diverged"] == 0 and rows(c, "SELECT id, v FROM u ORDER BY id") == OTHER[:2]


def test_a_swap_of_unique_values_needs_the_careful_way(drive, c, accounts):
    do(c, "CREATE UNIQUE INDEX o ON accounts (owner)")
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "a", None, None), insert("2", "b", None, None)]})
    steps = [(["1", "tmp", None, None]), (["2", "a", None, None]), (["1", "b", None, None])]
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, "updates": [change(key("1"), ["1", "b", None, None]), change(key("2"), ["2", "a", None, None])]})
    assert e.value.cls == "conflict"
    d("window", order=11, careful=True, batches=[{"tables": [{"table": t, "updates": [change(key(s[0]), s)]}]} for s in steps])
    assert [r[:2] for r in rows(c)] == [("1", "b"), ("2", "a")]


def test_a_key_taken_by_somebody_else_is_mended_and_told(drive, c, accounts):
    do(c, "INSERT INTO accounts VALUES (1, 'theirs', 1, NULL), (2, 'ours', 2, 'kept'), (3, 'theirs', 3, NULL)")
    t, d = accounts, drive()
    with pytest.raises(Refused) as e:
        d.window(10, {"table": t, "inserts": [insert("1", "ours", None, None)]}, careful=True)
    assert e.value.code == "MFDIVERGED"
    assert d.window(10, {"table": t, "inserts": [insert("1", "ours", None, None)]}, careful=True, heal=True)["diverged"] == 1
    assert d.window(11, {"table": t, "updates": [change(key("2"), ["3", "ours", "2.00", KEEP])]}, careful=True, heal=True)["diverged"] == 1
    assert rows(c) == [("1", "ours", None, None), ("3", "ours", "2.00", "kept")]


# ---- keys that differ only in their spelling ----

@pytest.mark.parametrize("named", [{}, {"fuzzy": True}, {"careful": True}, {"careful": True, "heal": True}, {"careful": True, "fuzzy": True}])
def test_a_key_changes_its_spelling(drive, c, named):
    do(c, "CREATE TABLE ci (k varchar(10) PRIMARY KEY, n int, v varchar(10), UNIQUE (n)) COLLATE utf8mb4_general_ci",
       "INSERT INTO ci VALUES ('a', 1, 'x'), ('b', 2, 'y'), ('c', 3, 'z'), ('D', 4, 'there'), ('e', 5, 'e')")
    t, d = table(c, "ci"), drive()
    all_ = lambda: rows(c, "SELECT * FROM ci ORDER BY n")
    reply = d.window(10, {"table": t, "updates": [change(["a", KEEP, KEEP], ["A", "1", "xx"])]}, **named)
    assert all_()[0] == ("A", "1", "xx") and reply["diverged"] == 0
    step = {"deletes": [{"old": ["b", KEEP, KEEP]}], "inserts": [insert("B", "2", "yy")]}
    if named.get("careful"):  # one change a batch
        d("window", order=11, batches=[{"tables": [{"table": t, k: v}]} for k, v in step.items()], **named)
    else:
        d.window(11, {"table": t, **step}, **named)
    assert all_()[1] == ("B", "2", "yy")
    if named.get("fuzzy"):  # the copy has read it as it became later: written over as it was, and changed again
        d.window(12, {"table": t, "updates": [change(["d", KEEP, KEEP], ["d", "4", "was"])]}, **named)
        assert all_()[3] == ("d", "4", "was")
    else:
        with pytest.raises(Refused) as e:  # another index: the row itself is not in its own way
            d.window(12, {"table": t, "updates": [change(["c", KEEP, KEEP], ["C", "5", "zz"])]}, **named)
        assert e.value.cls == "conflict"
        assert all_()[2] == ("c", "3", "z")
    assert len(all_()) == 5


def test_many_rows_under_keys_of_another_spelling(drive, c):
    do(c, "CREATE TABLE ci (k varchar(10) PRIMARY KEY, v int) COLLATE utf8mb4_general_ci", "INSERT INTO ci VALUES ('A', 0), ('B', 0), ('C', 0)")
    t, d = table(c, "ci"), drive()
    d.window(10, {"table": t, "updates": [change([k, KEEP], [k, "1"]) for k in "abc"]})  # whoever wrote them: as the source has them
    assert rows(c, "SELECT k, v FROM ci ORDER BY k") == [("a", "1"), ("b", "1"), ("c", "1")]
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, "updates": [change([k, KEEP], [k, "2"]) for k in ("a", "A", "b")]})
    assert e.value.cls == "conflict"


def by_bytes(t):
    """The origin goes by another equality than this table's collation."""
    return {**t, "columns": [{**c, "by_bytes": "charset" in c["type"]} for c in t["columns"]]}


EQUAL = {"case": ("utf8mb4_general_ci", "Bob", "bob"), "blank": ("utf8mb4_bin", "a", "a "), "latin1": ("latin1_swedish_ci", "é", "E")}


@pytest.mark.parametrize("two", [False, True], ids=["one column", "two columns"])
@pytest.mark.parametrize("which", EQUAL)
def test_a_row_whose_key_is_only_equal_here_is_another_row(drive, c, which, two):
    """The origin has both. There is room for one: the other is refused, and whatever is done to it does nothing to the one that is there."""
    collation, there, other = EQUAL[which]
    do(c, f"CREATE TABLE e (k varchar(10) NOT NULL, n int NOT NULL, v varchar(9), PRIMARY KEY ({'k, n' if two else 'k'})) CHARACTER SET {collation.split('_')[0]} COLLATE {collation}")
    do(c, "INSERT INTO e VALUES ('x', 1, 'x'), ('y', 1, 'y'), ('z', 1, 'z')")
    t, d = by_bytes(table(c, "e")), drive()
    d.window(10, {"table": t, "inserts": [insert(there, "1", "there")]})
    mine = lambda: [r[:3:2] for r in rows(c, "SELECT k, n, v FROM e WHERE v NOT IN ('x', 'y', 'z')")]
    keys = lambda: [e["key"].split(", ")[0] for e in d("quarantine")["entries"]]
    old = [other, "1", KEEP]
    steps = {"insert": {"inserts": [insert(other, "1", "other")]}, "update": {"updates": [change(old, [other, "1", "other"])]}, "part": {"updates": [change(old, [other, "1", KEEP])]},
             "move": {"updates": [change(["x", "1", KEEP], [other, "1", "other"])]}, "delete": {"deletes": [{"old": old}]},
             "many": {"updates": [change([k, "1", KEEP], [k, "1", "other"]) for k in ("x", "y", "z", other)]}, "deletes": {"deletes": [{"old": [k, "1", KEEP]} for k in ("x", "y", "z", other)]}}
    for name, step in steps.items():  # nothing of it happens
        with pytest.raises(Refused) as e:
            d.window(11, {"table": t, **step})
        assert e.value.cls == "conflict", name
        assert mine() == [(there, "there")] and value(c, "SELECT COUNT(*) FROM e") == 4, name
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, **steps["insert"]}, careful=True, heal=True)
    assert e.value.cls == "conflict" and mine() == [(there, "there")]
    order, named = 11, {"careful": True, "keep": True, "heal": True}
    for fuzzy in (False, True):
        reply = d.window(order, {"table": t, **steps["insert"]}, fuzzy=fuzzy, **named)
        assert reply["quarantined"] == 1 and reply["diverged"] == 0 and mine() == [(there, "there")] and len(keys()) == 1
        for step in ("update", "part"):
            order += 1
            reply = d.window(order, {"table": t, **steps[step]}, fuzzy=fuzzy, **named)
            assert reply["diverged"] == 0 and mine() == [(there, "there")] and len(keys()) == 1, step
        reply = d.window(order + 1, {"table": t, "updates": [change([there, "1", KEEP], [there, "1", "changed"])]}, fuzzy=fuzzy)
        assert mine() == [(there, "changed")] and len(keys()) == 1
        d.window(order + 2, {"table": t, "updates": [change([there, "1", KEEP], [there, "1", "there"])]}, fuzzy=fuzzy)
        d.window(order + 3, {"table": t, **steps["delete"]}, fuzzy=fuzzy, **named)
        assert mine() == [(there, "there")] and keys() == []
        order += 4
    d.window(order, {"table": t, **steps["delete"]}, fuzzy=True)
    assert mine() == [(there, "there")]
    with pytest.raises(Refused) as e:
        d.window(order + 1, {"table": t, **steps["insert"]}, fuzzy=True)
    assert e.value.cls == "conflict"
    with pytest.raises(Refused) as e:
        d("repair", table=t, whole=[[other, "1", "other"]])
    assert (e.value.cls, e.value.code) == ("conflict", "1062")
    d("repair", table=t, gone=[old])
    assert mine() == [(there, "there")]
    d("repair", table=t, gone=[[there, "1", KEEP]], whole=[[other, "1", "other"]])  # the one goes, the other comes
    assert mine() == [(other, "other")]


def test_many_keys_are_told_apart_by_their_bytes(drive, c):
    do(c, "CREATE TABLE e (k varchar(10) PRIMARY KEY, v int) COLLATE utf8mb4_general_ci")
    t, d = by_bytes(table(c, "e")), drive()
    d.window(10, {"table": t, "inserts": [insert(f"K{i}", "0") for i in range(1200)]})
    d.window(11, {"table": t, "updates": [change([f"K{i}", KEEP], [f"K{i}", "1"]) for i in range(1200)]})
    d.window(12, {"table": t, "deletes": [{"old": [f"k{i}", KEEP]} for i in range(1200)]}, fuzzy=True)
    assert rows(c, "SELECT v, COUNT(*) FROM e GROUP BY v") == [("1", "1200")]
    d.window(13, {"table": t, "deletes": [{"old": [f"K{i}", KEEP]} for i in range(1199)]})
    assert rows(c, "SELECT k FROM e") == [("K1199",)]
    plan = fetch(c, "EXPLAIN SELECT * FROM e WHERE k IN ('K1', 'K2') AND CAST(CONVERT(k USING utf8mb4) AS BINARY) IN (x'4B31', x'4B32')", close=False)
    assert "PRIMARY" in plan[0]  # found by the index all the same


# ---- tables without a key ----

def test_rows_without_a_key(drive, c, target):
    json = "longtext" if target.server.version == "mariadb" else "json"
    do(c, f"CREATE TABLE log (a int, b varchar(10), c decimal(6,2), j {json}, f double, e enum('x','y'), bits bit(9), bin varbinary(9), t datetime(6), y year, ti time(2), fl float, da date)"
       " COLLATE utf8mb4_general_ci")
    t, d = table(c, "log", identity="full"), drive()
    a = ["1", "x", "1.00", '{"k": 1}', "0.1", "x", "300", hexed(b"a"), "2026-01-01 00:00:00.000100", "2026", "-838:59:59.00", "0.10000000149011612", "0000-00-00"]
    b = [*a[:1], "X", *a[2:]]
    blank = [*a[:1], "x ", *a[2:]]
    j = [*a[:3], '{"k": [1]}', *a[4:]]
    bin_ = [*a[:7], hexed(b"A"), *a[8:]]
    n = [None] * 13
    d.window(10, {"table": t, "inserts": [{**insert(*a), "count": 3}, insert(*b), insert(*blank), insert(*j), insert(*bin_), {**insert(*n), "count": 2}]})
    assert value(c, "SELECT COUNT(*) FROM log") == 9
    d.window(11, {"table": t, "deletes": [{"old": a, "count": 2}, {"old": n}], "updates": [change(b, ["2", *[KEEP] * 12])]})
    left = lambda: sorted(rows(c, "SELECT a, HEX(b), HEX(bin), CAST(j AS CHAR) FROM log"), key=str)
    assert left() == sorted([("1", "78", "61", '{"k": 1}'), ("2", "58", "61", '{"k": 1}'), ("1", "7820", "61", '{"k": 1}'), ("1", "78", "61", '{"k": [1]}'),
                             ("1", "78", "41", '{"k": 1}'), (None,) * 4], key=str)
    with pytest.raises(Refused) as e:
        d.window(12, {"table": t, "deletes": [{"old": a, "count": 2}]})
    assert e.value.cls == "conflict" and value(c, "SELECT COUNT(*) FROM log") == 6
    with pytest.raises(Refused) as e:
        d.window(12, {"table": t, "deletes": [{"old": b}]}, careful=True)
    assert e.value.code == "MFDIVERGED"
    assert d.window(12, {"table": t, "deletes": [{"old": b}]}, careful=True, heal=True)["diverged"] == 1
    d("repair", table=t, whole=[n, n, a], gone=[["2", "X", *a[2:]], blank, j, bin_])
    assert left() == sorted([("1", "78", "61", '{"k": 1}'), (None,) * 4, (None,) * 4], key=str)


# ---- types ----

POINT = bytes.fromhex("00000000" "0101000000000000000000f03f0000000000000040")
TYPES = [  # type, value, how it is read back, what comes back
    ("tinyint", "-128"), ("tinyint unsigned", "255"), ("smallint", "-32768"), ("mediumint unsigned", "16777215"), ("int", "-2147483648"),
    ("bigint", "-9223372036854775808"), ("bigint unsigned", "18446744073709551615"), ("bigint", "9007199254740993"),
    ("decimal(65,30)", "-12345678901234567890123456789012345.123456789012345678901234567891"), ("decimal(5,0)", "-0"[1:]),
    ("float", "0.10000000149011612"), ("double", "1e-300"), ("double", "0.1"), ("bit(1)", "1"), ("bit(9)", "300"), ("bit(64)", "18446744073709551615"),
    ("year", "0000"), ("year", "1901"), ("date", "0000-00-00"), ("date", "2026-02-30"), ("date", "2026-00-00"), ("time", "-838:59:59"), ("time(6)", "00:00:00.000001"),
    ("datetime", "0000-00-00 00:00:00"), ("datetime(3)", "9999-12-31 23:59:59.999"), ("timestamp(6) NULL", "1970-01-01 00:00:01.000000"), ("timestamp NULL", "0000-00-00 00:00:00"),
    ("char(5)", "a  b"), ("varchar(5)", "ab  "), ("varchar(20) CHARACTER SET latin1", "é'\\\"\n"), ("varchar(20) CHARACTER SET utf8mb4", "😀\u0001"), ("varchar(20) CHARACTER SET gbk", "中文\\"),
    ("varchar(20) CHARACTER SET sjis", "表示"), ("tinytext", ""), ("mediumtext", "x" * 70000), ("enum('a','b''c','')", "b'c"), ("enum('a','b')", "b"), ("set('a','b')", ""), ("set('a','b')", "a,b"),
    ("binary(4)", hexed(b"\0a\0\0")), ("varbinary(300)", hexed(bytes(range(256)))), ("varbinary(4)", hexed(b"a\0")), ("blob", hexed(b"")), ("mediumblob", hexed(bytes(range(256)) * 300)),
    ("blob", hexed(b"\xed\xa0\x80'\\\xff" * 60)), ("point", hexed(POINT)), ("geometry", hexed(POINT)),
]


@pytest.mark.parametrize("named", [{}, {"fuzzy": True}, {"careful": True}], ids=["strict", "fuzzy", "careful"])
def test_types_arrive_as_they_left(drive, c, target, named):
    types = list(TYPES)
    if target.server.version != "mariadb":
        types.append(("json", '{"a": [1, 1.5, null, "\\"x\\" 😀"]}'))
    do(c, "CREATE TABLE t (id int PRIMARY KEY, " + ", ".join(f"c{i} {kind}" for i, (kind, *_) in enumerate(types)) + ") ROW_FORMAT=DYNAMIC")
    t, d = table(c, "t"), drive()
    row = ["1", *(v for _, v in types)]

    def check(id_):
        for i, (kind, v) in enumerate(types):
            expr = f"CAST(c{i} AS UNSIGNED)" if kind.startswith("bit") else f"c{i} * 1e0" if kind in ("float", "double") else f"HEX(c{i})" if isinstance(v, dict) else f"CAST(c{i} AS CHAR)"
            got = value(c, f"SELECT {expr} FROM t WHERE id = {id_}")
            want = v["hex"].upper() if isinstance(v, dict) else float(v) if kind in ("float", "double") else int(v) if kind.startswith("bit") else v
            assert got == want, (kind, got, want)

    d.window(10, {"table": t, "inserts": [insert(*row)]}, **named)
    check(1)
    d.window(11, {"table": t, "updates": [change(["1", *[KEEP] * len(types)], ["1", *[None] * len(types)])]}, **named)
    d.window(12, {"table": t, "updates": [change(["1", *[KEEP] * len(types)], ["1", *row[1:]])]}, **named)
    check(1)
    if not named.get("careful"):
        d.window(13, {"table": t, "inserts": [insert(str(i), *row[1:]) for i in range(2, 6)]}, **named)
        d.window(14, {"table": t, "updates": [change([str(i), *[KEEP] * len(types)], [str(i), *row[1:]]) for i in range(1, 6)]}, **named)
        check(5)


KEYS = [("bigint", ["-9223372036854775808", "9007199254740993", "9007199254740992"]), ("bigint unsigned", ["18446744073709551615", "18446744073709551614"]),
        ("decimal(20,2)", ["9007199254740993.00", "9007199254740992.00", "-0.50"]), ("double", ["1e-300", "0.1", "-5"]), ("float", ["0.10000000149011612", "0.20000000298023224"]), ("bit(60)", ["5", "53"]),
        ("year", ["0000", "2026"]), ("date", ["0000-00-00", "2026-01-01"]), ("datetime(3)", ["0000-00-00 00:00:00.000", "2026-01-01 00:00:00.123"]),
        ("timestamp(6)", ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.000002"]), ("time(2)", ["-838:59:59.00", "00:00:00.01"]), ("enum('b','a')", ["a", "b"]), ("set('x','y')", ["", "x", "x,y"]),
        ("varchar(20) CHARACTER SET latin1", ["é", "e'\\"]), ("varchar(20) COLLATE utf8mb4_bin", ["a", "A", "😀"]), ("char(5)", ["a", "b c"]), ("varbinary(10)", [hexed(b"a"), hexed(b"a\0"), hexed(b"")]),
        ("binary(3)", [hexed(b"a\0\0"), hexed(b"b\0\0")]), ("varchar(20) CHARACTER SET gbk", ["中", "表"])]


@pytest.mark.parametrize("two", [False, True], ids=["one column", "two columns"])
def test_rows_are_found_by_keys_of_every_type(drive, c, two):
    d = drive()
    order = 10
    for i, (kind, values) in enumerate(KEYS):
        do(c, f"CREATE TABLE k{i} (k {kind} NOT NULL, k2 int NOT NULL, v int, PRIMARY KEY ({'k, k2' if two else 'k'}))")
        t = table(c, f"k{i}")
        for fuzzy in (False, True):
            for careful in (False, True):
                named = {"fuzzy": fuzzy, "careful": careful}
                steps = [{"inserts": [insert(v, "1", "1") for v in values]}, {"updates": [change([v, "1", KEEP], [v, "1", "2"]) for v in values]},
                         {"updates": [change([v, "1", KEEP], [v, "1", "3"], op="replace") for v in values]}]
                for n, step in enumerate(steps):
                    order += 1
                    d.window(order, {"table": t, **step}, **named)
                    assert rows(c, f"SELECT v, COUNT(*) FROM k{i} GROUP BY v") == [(str(n + 1), str(len(values)))], (kind, named)
                order += 1
                d.window(order, {"table": t, "deletes": [{"old": [v, "1", KEEP]} for v in values[1:]]}, **named)
                assert value(c, f"SELECT COUNT(*) FROM k{i}") == 1, (kind, named)
                order += 1
                d.window(order, {"table": t, "deletes": [{"old": [values[0], "1", KEEP]}]}, **named)
                assert value(c, f"SELECT COUNT(*) FROM k{i}") == 0, (kind, named)


def test_a_key_that_the_target_cannot_spell(drive, c):
    """Its row is in quarantine, so it is not missed when it goes."""
    do(c, "CREATE TABLE l (k varchar(10) CHARACTER SET latin1 PRIMARY KEY, v int)")
    t, d = table(c, "l"), drive()
    keys = lambda: [e["key"] for e in d("quarantine")["entries"]]
    with pytest.raises(Refused) as e:
        d.window(10, {"table": t, "deletes": [{"old": ["中", KEEP]}]}, fuzzy=True)
    assert e.value.cls == "row"
    d.window(10, {"table": t, "deletes": [{"old": ["中", KEEP]}]}, fuzzy=True, careful=True)
    d.window(11, {"table": t, "inserts": [insert("中", "1"), insert("é", "2")]}, careful=True, keep=True, fuzzy=True)
    assert keys() == ["k=中"] and rows(c, "SELECT * FROM l") == [("é", "2")]
    d.window(12, {"table": t, "updates": [change(["中", KEEP], ["中", "3"])]}, careful=True, keep=True)
    assert keys() == ["k=中"]
    d.window(13, {"table": t, "deletes": [{"old": ["中", KEEP]}]}, careful=True, keep=True)
    assert keys() == []
    with pytest.raises(Refused) as e:
        d.window(14, {"table": t, "deletes": [{"old": ["中", KEEP]}]}, careful=True, keep=True)
    assert e.value.code == "MFDIVERGED"


def test_columns_the_server_fills_keep_what_they_had(drive, c):
    do(c, "CREATE TABLE f (id int PRIMARY KEY, v int, t timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), g int AS (v * 2) STORED, h int AS (v + 1) VIRTUAL)")
    t, d = table(c, "f"), drive()
    assert [x["generated"] for x in t["columns"]] == [False, False, False, True, True]
    d.window(10, {"table": t, "inserts": [insert("1", "1", "2001-01-01 00:00:00.000000", KEEP, KEEP), insert("2", "1", "2001-01-01 00:00:00.000000", "99", "99")]})
    for order, named in ((11, {}), (12, {"fuzzy": True}), (13, {"careful": True})):
        d.window(order, {"table": t, "updates": [change(["1", *[KEEP] * 4], ["1", str(order), KEEP, KEEP, KEEP])]}, **named)
        assert rows(c, "SELECT v, t, g, h FROM f WHERE id = 1") == [(str(order), "2001-01-01 00:00:00", str(order * 2), str(order + 1))]


def test_columns_that_only_the_target_has_stay(drive, c, accounts):
    """The way back: the old side may have a column that the new one does not."""
    t = accounts
    do(c, "ALTER TABLE accounts ADD mine int DEFAULT 5, ADD need int NOT NULL", "INSERT INTO accounts VALUES (1, 'a', 1, '', 7, 1), (2, 'a', 1, '', 7, 1), (3, 'a', 1, '', 7, 1)")
    d = drive()
    every = [change(key(str(i)), [str(i), "b", "2.00", "n"]) for i in (1, 2, 3)]
    mine = lambda: rows(c, "SELECT owner, mine FROM accounts")
    d.window(10, {"table": t, "updates": every})
    assert mine() == [("b", "7")] * 3
    every = [change(key(str(i)), [str(i), "c", "2.00", "n"]) for i in (1, 2, 3)]
    d.window(11, {"table": t, "updates": every}, fuzzy=True)
    assert mine() == [("c", "7")] * 3
    d("repair", table=t, whole=[["1", "d", None, None], ["2", "d", None, None], ["3", "d", None, None]])
    assert mine() == [("d", "7")] * 3
    with pytest.raises(Refused) as e:
        d.window(12, {"table": t, "inserts": [insert("4", "x", None, None)]})
    assert e.value.cls == "row" and "need" in e.value.text


def test_rows_are_put_where_the_target_has_columns_of_its_own(drive, c, accounts):
    do(c, "ALTER TABLE accounts ADD mine int DEFAULT 5", "INSERT INTO accounts VALUES (1, 'a', 1, '', 7), (3, 'a', 1, '', 7)")
    d = drive()
    d.window(10, {"table": accounts, "inserts": [insert(str(i), "b", None, None) for i in (1, 2, 3, 4)]}, fuzzy=True)
    assert rows(c, "SELECT id, owner, mine FROM accounts") == [("1", "b", "7"), ("2", "b", "5"), ("3", "b", "7"), ("4", "b", "5")]


# ---- foreign keys, TRUNCATE ----

def test_foreign_keys_do_not_act_again(drive, c):
    do(c, "CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)")
    parent, child, d = table(c, "parent"), table(c, "child"), drive()
    d.window(10, {"table": child, "inserts": [insert("1", "1")]}, {"table": parent, "inserts": [insert("1")]})
    d.window(11, {"table": parent, "deletes": [{"old": ["1"]}]})
    assert rows(c, "SELECT * FROM child") == [("1", "1")]
    d.window(12, {"table": parent, "inserts": [insert("1")]})
    d.window(13, truncate=[parent, child])
    assert value(c, "SELECT (SELECT COUNT(*) FROM parent) + (SELECT COUNT(*) FROM child)") == 0
    d.window(14, {"table": parent, "inserts": [insert("1")]})
    with pytest.raises(Refused):
        d("window", order=15, batches=[{"truncate": [parent]}, {"tables": [{"table": child, "deletes": [{"old": ["9", KEEP]}]}]}])
    assert rows(c, "SELECT * FROM parent") == [("1",)]  # the truncation is in the transaction


# ---- sessions ----

def applier(migration="test", direction="fwd"):
    """Whose the applier's lock is, as an expression: see my_session_lock."""
    h = 0xCBF29CE484222325
    for word in ("apply", migration, direction):
        for byte in word.encode() + b"\xff":
            h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"IS_USED_LOCK('midflight.apply.{h:016x}')"


def await_waiting(c, not_=None):
    """The applier's transaction that waits for a lock, another than not_. The server shows this afresh only to who has not asked for 0.1 s."""
    sql = f"SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id = {applier()}"
    return wait_for(lambda: [r[0] for r in fetch(c, sql, close=False) if r[0] != not_], 60, "the applier to wait", interval=0.2)[0]


def test_one_applier_at_a_time_and_only_forward(drive, c, accounts, target):
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", None, None)]})
    with pytest.raises(Refused) as e:
        d.window(9, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert e.value.code == "MFTWICE" and len(rows(c)) == 1
    d.window(10, {"table": t, "inserts": [insert("3", "again", None, None)]})  # rows read again are written at the checkpoint that stands
    second = drive()
    with pytest.raises(Refused) as e:
        second.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert (e.value.cls, e.value.code) == ("retry", "MFTWICE")
    do(c, f"KILL {value(c, 'SELECT ' + applier())}")
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert e.value.cls == "retry", str(e.value)
    second.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert len(rows(c)) == 3


def test_a_lock_that_stands_in_the_way_is_waited_for(drive, c, accounts, target):
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", None, None)]})
    with closing(target.connect(autocommit=False)) as other:
        do(other, "UPDATE accounts SET owner = 'x' WHERE id = 1")
        d.send("window", order=11, batches=[{"tables": [{"table": t, "updates": [change(key("1"), ["1", "eve", KEEP, KEEP])]}]}])
        await_waiting(c)
        other.rollback()
    d.answer()
    assert rows(c) == [("1", "eve", None, None)]


@pytest.mark.parametrize("careful", [False, True])
def test_a_deadlock_or_a_lock_that_stays_undoes_the_window_whole(drive, c, accounts, target, careful):
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert(str(i), "ann", None, None) for i in (1, 2)]})
    with closing(target.connect(autocommit=False)) as other:
        do(other, "UPDATE accounts SET owner = 'x' WHERE id = 2")
        batches = [{"tables": [{"table": t, "updates": [change(key(str(i)), [str(i), "eve", KEEP, KEEP])]}]} for i in (1, 2)]
        d.send("window", order=11, careful=careful, batches=batches)
        waited = await_waiting(c)
        do(c, f"KILL QUERY {value(c, 'SELECT ' + applier())}")  # the statement ends, the transaction does not
        with pytest.raises(Refused) as e:
            d.answer()
        assert e.value.cls == "retry"
        assert rows(c, "SELECT owner FROM accounts WHERE id = 1") == [("ann",)] and d("checkpoint")["order"] == 10
        d.send("window", order=11, careful=careful, batches=batches)
        await_waiting(c, waited)
        try:
            do(other, *[f"INSERT INTO accounts VALUES ({100 + i}, 'more', 1, '')" for i in range(50)], "UPDATE accounts SET owner = 'y' WHERE id = 1")
            other.commit()
            lost = True
        except Exception:
            lost = False  # the server chose the other one
    if lost:
        with pytest.raises(Refused) as e:
            d.answer()
        assert (e.value.cls, e.value.code) == ("retry", "1213")
        assert rows(c, "SELECT owner FROM accounts WHERE id < 3") == [("y",), ("x",)] and d("checkpoint")["order"] == 10
    else:
        d.answer()
        assert rows(c, "SELECT owner FROM accounts WHERE id < 3") == [("eve",), ("eve",)]


@pytest.mark.parametrize("point, there", [("mysql.window_commit", False), ("mysql.window_committed", True)])
def test_killed_at_the_commit_the_target_knows_how_far_it_is(drive, c, accounts, point, there):
    d = drive(fault=f"{point}=kill")
    with pytest.raises(RuntimeError):
        d.window(10, {"table": accounts, "inserts": [insert("1", "ann", None, None)]})
    again = drive()
    assert (again("checkpoint")["order"] == 10) == there == (len(rows(c)) == 1)


def test_the_first_row_of_every_transaction_is_the_checkpoint(drive, c, accounts):
    """What a stream from this server knows ours by; also when a window or a repair writes nothing new."""
    t, d = accounts, drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.00", None)]})
    before = fetch(c, "SHOW MASTER STATUS", close=False)[0]
    d.window(10, {"table": t, "updates": [change(key("1"), ["1", "ann", "1.00", None])]})
    d.window(11)
    d("repair", table=t, whole=[["1", "ann", "1.00", None]])
    d("repair", table=t, whole=[])
    tables, fresh, ours = [], False, 0
    for _, _, kind, _, _, info in fetch(c, f"SHOW BINLOG EVENTS IN '{before[0]}' FROM {before[1]}", close=False):
        if kind == "Gtid" or (kind == "Query" and info == "BEGIN"):
            fresh = True
        elif kind == "Table_map" and fresh:
            tables.append(info.partition("(")[2].strip(")"))
            fresh = False
    assert tables == ["midflight.checkpoint"] * 4


def test_many_rows_and_many_columns(drive, c):
    do(c, "CREATE TABLE many (id int PRIMARY KEY, v varchar(200))", "CREATE TABLE wide (id int PRIMARY KEY, " + ", ".join(f"c{i} int" for i in range(1000)) + ")",
       "CREATE TABLE pair (a int, b varchar(10), v int, PRIMARY KEY (a, b))")
    t, w, p, d = table(c, "many"), table(c, "wide"), table(c, "pair"), drive()
    n = 20000
    d.window(10, {"table": t, "inserts": [insert(str(i), "x" * 200) for i in range(n)]}, {"table": p, "inserts": [insert(str(i), f"b{i}", "0") for i in range(n)]})
    d.window(11, {"table": t, "updates": [change([str(i), KEEP], [str(i), str(i)]) for i in range(n)]},
             {"table": p, "updates": [change([str(i), f"b{i}", KEEP], [str(i), f"b{i}", "1"]) for i in range(n)]},
             {"table": w, "inserts": [insert(*[str(i) for i in range(1001)])]})
    d.window(12, {"table": t, "deletes": [{"old": [str(i), KEEP]} for i in range(0, n, 2)]}, {"table": p, "deletes": [{"old": [str(i), f"b{i}", KEEP]} for i in range(0, n, 2)]},
             {"table": w, "updates": [change(key("0", width=1001), [str(i) if i % 2 == 0 else KEEP for i in range(1001)])]})
    assert fetch(c, "SELECT COUNT(*), SUM(v) FROM many", close=False)[0] == (n // 2, sum(range(1, n, 2)))
    assert fetch(c, "SELECT COUNT(*), SUM(v) FROM pair", close=False)[0] == (n // 2, n // 2)
    assert value(c, "SELECT c998 FROM wide") == 999
    d.window(13, {"table": t, "updates": [change([str(i), KEEP], [str(i), "f"]) for i in range(1, n, 2)], "inserts": [insert(str(i), "f") for i in range(0, n, 2)]}, fuzzy=True)
    assert fetch(c, "SELECT COUNT(*), MIN(v), MAX(v) FROM many", close=False)[0] == (n, "f", "f")


def test_a_row_larger_than_the_servers_packet(target, c):
    before = value(c, "SELECT @@max_allowed_packet")
    do(c, "CREATE TABLE big (id int PRIMARY KEY, v longtext, b longblob)", "SET GLOBAL max_allowed_packet = 1048576")
    t = table(c, "big")
    try:
        with Drive(target.url()) as d:
            d("prepare")
            d.window(10, {"table": t, "inserts": [insert(str(i), "x" * 300_000, None) for i in range(9)]})  # together they are more than a packet
            d.window(11, {"table": t, "inserts": [insert("10", None, hexed(b"\xf0\x9f" * 500_000))]})
            window = {"table": t, "inserts": [insert("11", "x" * 1_100_000, None), insert("12", "y", None)]}
            for named in ({}, {"careful": True}):
                with pytest.raises(Refused) as e:
                    d.window(12, window, **named)
                assert (e.value.cls, e.value.code) == ("row", "MFPACKET") and "max_allowed_packet" in e.value.hint and "big" in e.value.text
            assert d.window(12, window, careful=True, keep=True)["quarantined"] == 1
            assert rows(c, "SELECT id, LENGTH(v), LENGTH(b) FROM big WHERE id > 8") == [("10", None, "1000000"), ("12", "1", None)]
    finally:
        do(c, f"SET GLOBAL max_allowed_packet = {before}")


def test_a_table_without_transactions_is_refused(drive, c):
    do(c, "CREATE TABLE m (id int PRIMARY KEY) ENGINE=MyISAM")
    d = drive()
    with pytest.raises(Refused) as e:
        d.window(10, {"table": table(c, "m"), "inserts": [insert("1")]})
    assert e.value.code == "MFENGINE" and value(c, "SELECT COUNT(*) FROM m") == 0


# ---- the loader ----

def test_a_chunk_and_its_record_are_one(drive, c):
    do(c, "CREATE TABLE words (w varchar(5), n text)")
    t, d = table(c, "words", identity="full"), drive()
    d("load", table=t, table_id=5, ordinal=0, after=100, nrows=2, data="('a\\'','x'),(NULL,'z\\\\y')")
    assert rows(c, "SELECT w, n FROM words ORDER BY n") == [("a'", "x"), (None, "z\\y")]
    assert rows(c, "SELECT table_id, ordinal, `rows`, after_order FROM midflight.chunk") == [("5", "0", "2", "100")]
    d("load", table=t, table_id=5, ordinal=0, after=200, nrows=1, data="('q','q')")  # its commit was not heard of
    assert value(c, "SELECT COUNT(*) FROM words") == 2
    for bad in ("('q','q'),('toolong','q')", "('q','q'),('blank ','q')"):
        with pytest.raises(Refused) as e:
            d("load", table=t, table_id=5, ordinal=1, after=200, nrows=2, data=bad)
        assert e.value.cls == "row" and "words" in e.value.text and value(c, "SELECT COUNT(*) FROM words") == 2
    with pytest.raises(Refused) as e:
        d("load", table=t, table_id=5, ordinal=1, after=200, nrows=3, data="('q','q')")
    assert e.value.code == "MFCOUNT"
    d("load", table=t, table_id=5, ordinal=1, after=200, nrows=1, data="('q','q')")
    d("load", table=t, table_id=5, ordinal=2, after=200, nrows=0)  # an empty one
    assert value(c, "SELECT COUNT(*) FROM words") == 3 and value(c, "SELECT COUNT(*) FROM midflight.chunk") == 3
    d("finish", table=t)
    d("reset", table=t)
    assert value(c, "SELECT (SELECT COUNT(*) FROM words) + (SELECT COUNT(*) FROM midflight.chunk)") == 0


def test_a_chunk_of_many_pieces(drive, c):
    do(c, "CREATE TABLE words (w varchar(5), n text)")
    t, d = table(c, "words", identity="full"), drive()
    pieces = [",".join(f"('{i % 99999}','{'x' * 200}')" for i in range(k, k + 500)) for k in range(0, 20000, 500)]
    d("load", table=t, table_id=5, ordinal=0, after=100, nrows=20000, data=pieces)
    assert value(c, "SELECT COUNT(*) FROM words") == 20000
    for at in (0, 20, 39):  # wherever the bad one is, in whatever was sent before or after it
        bad = [*pieces[:at], "('toolong','x')", *pieces[at:]]
        with pytest.raises(Refused) as e:
            d("load", table=t, table_id=5, ordinal=1, after=100, nrows=20001, data=bad)
        assert e.value.cls == "row" and "words" in e.value.text, at
        with pytest.raises(Refused) as e:
            d("load", table=t, table_id=5, ordinal=1, after=100, nrows=19999, data=pieces)
        assert e.value.code == "MFCOUNT"
    assert value(c, "SELECT COUNT(*) FROM words") == 20000
    d("load", table=t, table_id=5, ordinal=1, after=100, nrows=500, data=pieces[:1])  # the same loader goes on
    assert value(c, "SELECT COUNT(*) FROM words") == 20500


def test_rows_one_by_one_leave_out_what_is_refused(drive, c, accounts):
    t, d = accounts, drive()
    source = {**t, "columns": [dict(col) for col in t["columns"]]}
    source["columns"][2]["type"] = "double"
    with pytest.raises(Refused) as e:
        d("load", table=t, source=source, table_id=5, ordinal=0, after=1, data="(1,'a',1.5,NULL)")
    assert e.value.code == "MFNARROW" and e.value.cls == "row" and "balance" in e.value.text
    reply = d("load", table=t, source=source, table_id=5, ordinal=0, after=1,
              rows=[["1", "ann", "1.50", "a"], ["2", "bob", "1.505", "b"], ["3", "much too long", "1.00", "c"], ["4", None, "1.00", "d"], ["1", "twice", "1.00", "x"],
                    ["5", "eve", "5.00", "e"]])
    assert [r[0] for r in rows(c)] == ["1", "5"] and len(reply["refused"]) == 4 and reply["together"] == 0
    assert "balance" in reply["refused"][0] and "owner" in reply["refused"][1]
    assert len(d("quarantine")["entries"]) == 4
    reply = d("load", table=t, source=source, table_id=5, ordinal=1, after=1, nrows=2, rows=[["6", "fay", "6.00", None], ["7", "guy", "7.25", "g"]])
    assert reply["together"] == 2 and [r[0] for r in rows(c)] == ["1", "5", "6", "7"]


@pytest.mark.parametrize("point, there", [("mysql.load_commit", False), ("mysql.load_committed", True)])
def test_killed_at_a_chunk_it_is_there_whole_or_not_at_all(drive, c, point, there):
    do(c, "CREATE TABLE words (w varchar(5), n text)")
    drive()
    d = drive(fault=f"{point}=kill")
    with pytest.raises(RuntimeError):
        d("load", table=table(c, "words", identity="full"), table_id=5, ordinal=0, after=100, nrows=1, data="('a','x')")
    assert fetch(c, "SELECT (SELECT COUNT(*) FROM words), (SELECT COUNT(*) FROM midflight.chunk)", close=False)[0] == (int(there),) * 2


# ---- bookkeeping ----

def test_two_prepare_at_once(target):
    drives = [Drive(target.url(), migration=f"m{i}") for i in range(6)]
    try:
        for one in drives:
            one.send("prepare")
        for one in drives:
            one.answer()
    finally:
        for one in drives:
            one.close()


def test_an_account_without_the_right_is_told_what_to_grant(target):
    target.server.create_account("weak", f"SELECT ON `{target.name}`.*")
    with Drive(target.url(user="weak")) as d:
        with pytest.raises(Refused) as e:
            d("prepare")
    assert e.value.cls == "fatal" and e.value.hint == "GRANT ALL ON midflight.* TO weak@%"
