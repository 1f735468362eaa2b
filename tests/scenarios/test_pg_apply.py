"""The PostgreSQL target's loader and applier against a real server: strict and fuzzy windows, the careful way, quarantine,
tables without a key, repair."""
import pytest

from harness.pgdrive import Drive, Refused, table
from harness.servers import wait_for

KEEP = {}  # a column left as it is


@pytest.fixture
def drive(target):
    made = []

    def make(url=None, **named):
        made.append(Drive(url or target.url(), **named))
        made[-1]("prepare")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def accounts(target):
    """accounts(id, owner, balance, note): (connection, its shape)."""
    c = target.connect()
    c.execute("CREATE TABLE accounts (id bigint PRIMARY KEY, owner varchar(10) NOT NULL, balance numeric(12,2), note text)")
    yield c, table(c, "accounts")
    c.close()


def rows(c, sql="SELECT * FROM accounts ORDER BY 1"):
    return [tuple(None if v is None else str(v) for v in r) for r in c.execute(sql).fetchall()]


def insert(*new):
    return {"new": list(new)}


def change(old, new, **named):
    return {"old": old, "new": new, **named}


def key(*values, width=4):
    return list(values) + [KEEP] * (width - len(values))


def test_a_strict_window(drive, accounts):
    c, t = accounts
    d = drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.50", None), insert("2", "bob", "-3.00", 'a "quoted" {x,\\}'),
                                          insert("3", "čeněk", "0.00", "")]})
    assert rows(c) == [("1", "ann", "1.50", None), ("2", "bob", "-3.00", 'a "quoted" {x,\\}'), ("3", "čeněk", "0.00", "")]
    d.window(11, {"table": t,
                  "deletes": [{"old": key("3")}],
                  "updates": [change(key("1"), ["1", "ann", "2.50", KEEP]), change(key("2"), ["20", "bob", KEEP, "moved"])],
                  "inserts": [insert("4", "dan", None, None)]})
    assert rows(c) == [("1", "ann", "2.50", None), ("4", "dan", None, None), ("20", "bob", "-3.00", "moved")]
    assert d("checkpoint")["order"] == 11
    d.window(12, {"table": t, "updates": [change(key("4"), ["4", "eve", "1.00", "r"], op="replace")]})
    assert rows(c)[1] == ("4", "eve", "1.00", "r")


@pytest.mark.parametrize("what", ["update", "delete", "insert"])
def test_a_strict_window_that_does_not_fit_is_not_committed(drive, accounts, what):
    c, t = accounts
    d = drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.00", None)]})
    before = rows(c)
    wrong = {"update": {"updates": [change(key("1"), ["1", "x", KEEP, KEEP]), change(key("9"), ["9", "x", KEEP, KEEP])]},
             "delete": {"deletes": [{"old": key("1")}, {"old": key("9")}]},
             "insert": {"inserts": [insert("7", "x", None, None), insert("1", "y", None, None)]}}[what]
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, **wrong})
    assert e.value.cls == "conflict" and "public.accounts" in e.value.text
    assert rows(c) == before and d("checkpoint")["order"] == 10
    d.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})  # the same applier goes on
    assert len(rows(c)) == 2
    if what != "insert":
        with pytest.raises(Refused) as e:
            d.window(12, {"table": t, **wrong}, careful=True)
        assert e.value.code == "MFDIVERGED" and "id=9" in e.value.text and "accounts" in e.value.text
        assert d("checkpoint")["order"] == 11


@pytest.mark.parametrize("what", ["update", "delete"])
def test_a_large_strict_window_that_does_not_fit_is_not_committed(drive, accounts, what):
    """So many rows go in statements that do not check themselves; the answer is looked at before the COMMIT."""
    c, t = accounts
    many = 6000
    c.execute("INSERT INTO accounts SELECT i, 'o', 1, NULL FROM generate_series(1, %s) i", (many,))
    d = drive()
    changes = {"update": {"updates": [change(key(str(i)), [str(i), "new", KEEP, KEEP]) for i in range(1, many + 1)]},
               "delete": {"deletes": [{"old": key(str(i))} for i in range(1, many + 1)]}}[what]
    c.execute("DELETE FROM accounts WHERE id = 77")
    with pytest.raises(Refused) as e:
        d.window(10, {"table": t, **changes})
    assert e.value.cls == "conflict" and "public.accounts" in e.value.text
    assert rows(c, "SELECT count(*) FROM accounts WHERE owner = 'o'") == [(str(many - 1),)] and d("checkpoint")["order"] == 0
    c.execute("INSERT INTO accounts VALUES (77, 'o', 1, NULL)")
    d.window(10, {"table": t, **changes})
    assert rows(c, "SELECT count(*) FROM accounts WHERE owner = 'o'") == [("0",)] and d("checkpoint")["order"] == 10


def test_a_fuzzy_window_writes_over_what_is_there_and_reports_what_it_cannot(drive, accounts):
    c, t = accounts
    c.execute("INSERT INTO accounts VALUES (1, 'old', 1, 'toast'), (5, 'five', 5, 'toast5')")
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


@pytest.mark.parametrize("value, why", [
    (["1", "elevenchars", "1", None], "longer"), (["1", "tenletters  ", "1", None], "longer"), (["1", None, "1", None], "23502"),
    (["1", "x", "1.005", None], "decimal places"), (["1", "x", "99999999999.00", None], "22003"),
    (["1", "x", "1", "nul\0byte"], "22021"), (["9223372036854775808", "x", "1", None], "range")])
def test_what_the_target_cannot_hold_is_refused_and_never_changed(drive, accounts, value, why):
    """P4, and with the quarantine: the other rows of the window are written."""
    c, t = accounts
    d = drive()
    window = {"table": t, "inserts": [insert("7", "good", None, None), insert(*value)]}
    with pytest.raises(Refused) as e:
        d.window(10, window)
    assert e.value.cls == "row" and rows(c) == []
    with pytest.raises(Refused) as e:
        d.window(10, window, careful=True)
    assert f"id={value[0]}" in e.value.text and (why in e.value.text or why in e.value.code) and rows(c) == []
    reply = d.window(10, window, careful=True, keep=True)
    assert reply["quarantined"] == 1 and [r[0] for r in rows(c)] == ["7"]
    (entry,) = c.execute("SELECT schema_name, table_name, key, reason, \"row\" FROM midflight.quarantine").fetchall()
    assert entry[:3] == ("public", "accounts", f"id={value[0]}") and entry[3]
    assert d("checkpoint")["order"] == 10


def test_a_quarantined_row_stays_out_until_it_is_whole_again(drive, accounts):
    c, t = accounts
    d = drive()
    count = lambda: c.execute("SELECT count(*) FROM midflight.quarantine").fetchone()[0]
    d.window(10, {"table": t, "inserts": [insert("1", "ann", "1.00", "n"), insert("2", "bob", "1.00", "n")]})
    d.window(11, {"table": t, "updates": [change(key("1"), ["1", "far too long a name", "1.00", KEEP])]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["2"] and count() == 1  # no stale version is left
    with pytest.raises(Refused) as e:
        d.window(12, {"table": t, "updates": [change(key("1"), ["1", KEEP, "5.00", KEEP])]})
    assert e.value.cls == "conflict"
    d.window(12, {"table": t, "updates": [change(key("1"), ["1", KEEP, "5.00", KEEP])]}, careful=True, keep=True)
    assert count() == 1
    d.window(13, {"table": t, "updates": [change(key("1"), ["11", KEEP, "5.00", KEEP])]}, careful=True, keep=True)
    assert c.execute("SELECT key FROM midflight.quarantine").fetchone()[0] == "id=11"
    d.window(14, {"table": t, "updates": [change(key("11"), ["11", "ann", "5.00", "n"])]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["2", "11"] and count() == 0
    d.window(15, {"table": t, "updates": [change(key("2"), ["2", "far too long a name", "1.00", KEEP])]}, careful=True, keep=True)
    d.window(16, {"table": t, "deletes": [{"old": key("2")}]}, careful=True, keep=True)
    assert [r[0] for r in rows(c)] == ["11"] and count() == 0


def test_fuzzy_windows_heal_the_quarantine(drive, accounts):
    c, t = accounts
    d = drive()
    count = lambda: c.execute("SELECT count(*) FROM midflight.quarantine").fetchone()[0]
    d.window(10, {"table": t, "inserts": [insert("1", "far too long a name", "1.00", "n"), insert("2", "much too long a name", "1", "n")]},
             careful=True, keep=True, fuzzy=True)
    assert count() == 2 and rows(c) == []
    d.window(11, {"table": t, "updates": [change(key("1"), ["1", "ann", "1.00", "n"])], "deletes": [{"old": key("2")}]}, fuzzy=True)
    assert count() == 0 and [r[0] for r in rows(c)] == ["1"]


def test_a_swap_of_unique_values_needs_the_careful_way(drive, accounts):
    c, t = accounts
    c.execute("CREATE UNIQUE INDEX ON accounts (owner)")
    d = drive()
    d.window(10, {"table": t, "inserts": [insert("1", "a", None, None), insert("2", "b", None, None)]})
    steps = [(["1", "tmp", None, None]), (["2", "a", None, None]), (["1", "b", None, None])]
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, "updates": [change(key("1"), ["1", "b", None, None]), change(key("2"), ["2", "a", None, None])]})
    assert e.value.cls == "conflict"
    d("window", order=11, careful=True,
      batches=[{"tables": [{"table": t, "updates": [change(key(s[0]), s)]}]} for s in steps])
    assert [r[:2] for r in rows(c)] == [("1", "b"), ("2", "a")]


def test_rows_without_a_key(drive, target):
    with target.connect() as c:
        c.execute("CREATE TABLE log (a int, b text, c numeric, j json, f float8)")
        t = table(c, "log", identity="full")
        d = drive()
        a, b, n = ["1", "x", "1.0", '{"k": 1}', "-0"], ["1", "x", "1.00", '{"k": 1}', "0"], [None] * 5
        d.window(10, {"table": t, "inserts": [{**insert(*a), "count": 3}, insert(*b), {**insert(*n), "count": 2}]})
        assert c.execute("SELECT count(*) FROM log").fetchone()[0] == 6
        d.window(11, {"table": t, "deletes": [{"old": a, "count": 2}, {"old": n}],
                      "updates": [change(b, ["2", KEEP, KEEP, KEEP, KEEP])]})
        assert sorted(c.execute("SELECT a, c::text, f::text FROM log").fetchall(), key=str) == sorted(
            [(1, "1.0", "-0"), (None, None, None), (2, "1.00", "0")], key=str)
        with pytest.raises(Refused) as e:
            d.window(12, {"table": t, "deletes": [{"old": a, "count": 2}]})
        assert e.value.cls == "conflict" and c.execute("SELECT count(*) FROM log").fetchone()[0] == 3
        d("repair", table=t, whole=[n, n, a], gone=[["2", "x", "1.00", '{"k": 1}', "0"]])
        assert sorted(c.execute("SELECT a FROM log").fetchall(), key=str) == [(1,), (None,), (None,)]


def test_truncate_of_tables_that_refer_to_each_other(drive, target):
    with target.connect() as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE q (id int PRIMARY KEY REFERENCES p)")
        c.execute("INSERT INTO p VALUES (1); INSERT INTO q VALUES (1)")
        d = drive()
        d.window(10, truncate=[table(c, "p"), table(c, "q")])
        assert c.execute("SELECT (SELECT count(*) FROM p) + (SELECT count(*) FROM q)").fetchone()[0] == 0


def test_triggers_and_foreign_keys_do_not_fire_again(drive, target):
    with target.connect() as c:
        c.execute("""CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);
            CREATE TABLE fired (n int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.fired VALUES (1); RETURN NEW; END';
            CREATE TRIGGER tr AFTER INSERT OR UPDATE OR DELETE ON parent FOR EACH ROW EXECUTE FUNCTION f()""")
        parent, child = table(c, "parent"), table(c, "child")
        d = drive()
        d.window(10, {"table": child, "inserts": [insert("1", "1")]}, {"table": parent, "inserts": [insert("1")]})
        d.window(11, {"table": parent, "deletes": [{"old": ["1"]}]})
        assert c.execute("SELECT count(*) FROM child").fetchone()[0] == 1
        assert c.execute("SELECT count(*) FROM fired").fetchone()[0] == 0


def test_types_arrive_as_they_left(drive, target):
    with target.connect() as c:
        c.execute("""CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b varchar(4)); CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'no');
            CREATE TABLE t (k uuid, k2 mood, b bytea, a int[], n numeric(6,2)[], m mood[], p pair, pp pair[], s short, bp char(5), bt bit(3), vb bit varying(4), ts timestamptz(3),
              d date, j jsonb, r int4range, i inet, bool bool, f4 float4, f8 float8, tm time(0), iv interval, big int8, small int2, "Ω 'q'" text,
              g int GENERATED ALWAYS AS (small * 2) STORED, ident int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (k, k2))""")
        t = table(c, "t")
        row = ["00112233-4455-6677-8899-aabbccddeeff", "sad", "\\x00ff", "{1,NULL,3}", "{1.50,NaN}", "{ok,sad}", '(1,"a,b")', '{"(1,x)",NULL}', "yes", "ab   ", "101", "1",
               "2026-01-02 03:04:05.678+00", "infinity", '{"a": [1, null]}', "[1,5)", "10.0.0.1", "t", "0.1", "1e-300", "23:59:59", "-1 days +02:03:04", "-9223372036854775808", "-32768", "ž",
               KEEP, "7"]
        d = drive()
        d.window(10, {"table": t, "inserts": [{"new": row}]})
        got = c.execute("SELECT k::text, k2::text, b, a::text, n::text, m::text, p::text, pp::text, s, bp, bt::text, vb::text, ts = '2026-01-02 03:04:05.678+00', d::text, j::text, r::text,"
                        " i::text, bool, f4::text, f8::text, tm::text, iv::text, big, small, \"Ω 'q'\", g, ident FROM t").fetchone()
        assert got == (row[0], "sad", b"\x00\xff", row[3], row[4], row[5], row[6], row[7], "yes", "ab   ", "101", "1", True, "infinity", row[14], "[1,5)", "10.0.0.1/32", True, "0.1", "1e-300",
                       "23:59:59", row[21], -2**63, -2**15, "ž", -65536, 7)
        bad = {8: "toolong", 10: "1010", 12: "2026-01-02 03:04:05.6789+00", 20: "23:59:59.5", 18: "0.123456789012", 13: "2026-01-01 10:00:00", 23: "40000"}
        for column, value in bad.items():
            with pytest.raises(Refused) as e:
                d.window(11, {"table": t, "updates": [change(row, [*row[:column], value, *row[column + 1:]])]})
            assert e.value.cls == "row", f"{t['columns'][column]['name']}: {e.value}"
        d.window(11, {"table": t, "updates": [change(row, [*row[:24], "again", *row[25:]])]})
        d.window(12, {"table": t, "deletes": [{"old": row}]})
        assert c.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_identity_columns_that_only_the_database_may_write(drive, target):
    """GENERATED ALWAYS AS IDENTITY cannot be set by an UPDATE; the source can change one with SET c = DEFAULT."""
    with target.connect() as c:
        c.execute("""CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, big text);
                     CREATE TABLE b (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text)""")
        a, b = table(c, "a"), table(c, "b")
        d = drive()
        d.window(10, {"table": a, "inserts": [insert("1", "x", "toast"), insert("2", "y", "t2")]}, {"table": b, "inserts": [insert("1", "7", "x")]})
        d.window(11, {"table": a, "updates": [change(key("1", width=3), ["1", "xx", KEEP]), change(key("2", width=3), ["5", KEEP, KEEP])]},
                 {"table": b, "updates": [change(key("1", width=3), ["1", "8", KEEP])]})
        assert c.execute("SELECT * FROM a ORDER BY id").fetchall() == [(1, "xx", "toast"), (5, "y", "t2")]
        assert c.execute("SELECT * FROM b").fetchall() == [(1, 8, "x")]
        with pytest.raises(Refused) as e:
            d.window(12, {"table": b, "updates": [change(key("2", width=3), ["2", "8", KEEP])]})
        assert e.value.cls == "conflict"
        reply = d.window(12, {"table": b, "updates": [change(key("1", width=3), ["1", "9", "z"]), change(key("4", width=3), ["4", "8", KEEP])],
                              "inserts": [insert("3", "1", "q")]}, fuzzy=True)
        assert c.execute("SELECT * FROM b ORDER BY id").fetchall() == [(1, 9, "z"), (3, 1, "q")]
        assert [r[0] for r in reply["missing"]] == ["4"]


def test_partitions_and_children_are_written_alone(drive, target):
    with target.connect() as c:
        c.execute("""CREATE TABLE root (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (100);
            CREATE TABLE base (id int PRIMARY KEY, v text); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (base); INSERT INTO heir VALUES (1, 'heir'); INSERT INTO base VALUES (1, 'base')""")
        d = drive()
        d.window(10, {"table": table(c, "leaf"), "inserts": [insert("1", "x")]}, {"table": table(c, "base"), "updates": [change(key("1", width=2), ["1", "new"])]})
        d.window(11, {"table": table(c, "root"), "updates": [change(key("1", width=2), ["2", "y"])]})
        assert c.execute("SELECT * FROM root").fetchall() == [(2, "y")]
        assert c.execute("SELECT v FROM ONLY base").fetchall() == [("new",)] and c.execute("SELECT v FROM heir").fetchall() == [("heir",)]


def test_one_applier_at_a_time_and_only_forward(drive, accounts, target):
    c, t = accounts
    d = drive()
    d.window(10, {"table": t, "inserts": [insert("1", "ann", None, None)]})
    with pytest.raises(Refused) as e:
        d.window(9, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert e.value.code == "MFTWICE" and len(rows(c)) == 1
    second = drive()
    with pytest.raises(Refused) as e:
        second.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert (e.value.cls, e.value.code) == ("retry", "MFTWICE")
    c.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'midflight apply' AND datname = current_database()")
    with pytest.raises(Refused) as e:
        d.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert e.value.cls == "retry"
    second.window(11, {"table": t, "inserts": [insert("2", "bob", None, None)]})
    assert len(rows(c)) == 2


def test_a_lock_that_stands_in_the_way_for_long_ends_no_session(drive, accounts, target):
    """The backend waits and reads nothing, the socket is full: that is not a dead network."""
    c, t = accounts
    d = drive(target.url(tcp_user_timeout=1000))
    with target.connect() as lock:
        lock.execute("BEGIN; LOCK TABLE accounts")
        d.send("window", order=10, batches=[{"tables": [{"table": t, "inserts": [insert(str(i), "o", "1", "x" * 200_000) for i in range(100)]}]}])
        wait_for(lambda: c.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'accounts'::regclass AND clock_timestamp() - waitstart > '6 s'").fetchone(), 60, "the applier to wait for 6 s")
        lock.execute("ROLLBACK")
    d.answer()
    assert rows(c, "SELECT count(*) FROM accounts") == [("100",)]


@pytest.mark.parametrize("point, there", [("postgres.window_commit", False), ("postgres.window_committed", True)])
def test_killed_at_the_commit_the_target_knows_how_far_it_is(drive, accounts, point, there):
    c, t = accounts
    d = drive(fault=f"{point}=kill")
    with pytest.raises(RuntimeError):
        d.window(10, {"table": t, "inserts": [insert("1", "ann", None, None)]})
    again = drive()
    assert (again("checkpoint")["order"] == 10) == there == (len(rows(c)) == 1)


def test_many_rows_and_many_columns(drive, target):
    with target.connect() as c:
        c.execute("CREATE TABLE many (id int PRIMARY KEY, v text)")
        wide = ", ".join(f"c{i} int" for i in range(1599))
        c.execute(f"CREATE TABLE wide (id int PRIMARY KEY, {wide})")
        t, w = table(c, "many"), table(c, "wide")
        d = drive()
        n = 50000
        d.window(10, {"table": t, "inserts": [insert(str(i), "x" * 200) for i in range(n)]})
        d.window(11, {"table": t, "updates": [change([str(i), KEEP], [str(i), str(i)]) for i in range(n)]},
                 {"table": w, "inserts": [insert(*[str(i) for i in range(1600)])]})
        d.window(12, {"table": t, "deletes": [{"old": [str(i), KEEP]} for i in range(0, n, 2)]},
                 {"table": w, "updates": [change(key("0", width=1600), [str(i) if i % 2 == 0 else KEEP for i in range(1600)])]})
        assert c.execute("SELECT count(*), sum(v::int) FROM many").fetchone() == (n // 2, sum(range(1, n, 2)))
        assert c.execute("SELECT c1598 FROM wide").fetchone()[0] == 1599


# ---- the loader ----

def test_a_chunk_and_its_record_are_one(drive, accounts, target):
    c, t = accounts
    c.execute("CREATE DOMAIN word AS text CHECK (VALUE <> 'bad'); CREATE TABLE words (w word, n text)")
    t = table(c, "words")
    d = drive()
    d("load", table=t, table_id=5, ordinal=0, after=100, nrows=2, data="'a' & 'b'\tx\n\\N\tz\\ty\n")
    assert c.execute("SELECT w::text, n FROM words ORDER BY n").fetchall() == [("'a' & 'b'", "x"), (None, "z\ty")]
    assert c.execute("SELECT table_id, ordinal, rows, after_order FROM midflight.chunk").fetchall() == [(5, 0, 2, 100)]
    d("load", table=t, table_id=5, ordinal=0, after=200, nrows=1, data="'q'\tq\n")  # its commit was not heard of
    assert c.execute("SELECT count(*) FROM words").fetchone()[0] == 2
    with pytest.raises(Refused) as e:
        d("load", table=t, table_id=5, ordinal=1, after=200, nrows=1, data="'q'\tq\nbad\tq\n")
    assert e.value.cls == "row" and "words" in e.value.text
    with pytest.raises(Refused) as e:
        d("load", table=t, table_id=5, ordinal=1, after=200, nrows=3, data="'q'\tq\n")
    assert e.value.code == "MFCOUNT"
    d("load", table=t, table_id=5, ordinal=1, after=200, nrows=1, data="'q'\tq\n")
    assert c.execute("SELECT count(*) FROM words").fetchone()[0] == 3
    d("reset", table=t)
    assert c.execute("SELECT (SELECT count(*) FROM words) + (SELECT count(*) FROM midflight.chunk)").fetchone()[0] == 0


def test_rows_one_by_one_leave_out_what_is_refused(drive, accounts):
    c, t = accounts
    d = drive()
    source = {**t, "columns": [{**col, "type_mod": -1} for col in t["columns"]]}
    with pytest.raises(Refused) as e:  # COPY would round the numeric
        d("load", table=t, source=source, table_id=5, ordinal=0, after=1, data="PGCOPY")
    assert e.value.code == "MFNARROW" and e.value.cls == "row"
    reply = d("load", table=t, source=source, table_id=5, ordinal=0, after=1,
              rows=[["1", "ann", "1.50", "a"], ["2", "bob", "1.505", "b"], ["3", "much too long", "1", "c"], ["4", None, "1", "d"], ["5", "eve", "5", "e"]])
    assert [r[0] for r in rows(c)] == ["1", "5"] and len(reply["refused"]) == 3 and reply["together"] == 0
    assert "balance" in reply["refused"][0] and "owner" in reply["refused"][2]
    assert c.execute("SELECT count(*) FROM midflight.quarantine").fetchone()[0] == 3
    reply = d("load", table=t, source=source, table_id=5, ordinal=1, after=1, nrows=2, rows=[["6", "fay", "6.00", None], ["7", "guy", "7.25", "g"]])
    assert reply["together"] == 2 and [r[0] for r in rows(c)] == ["1", "5", "6", "7"]


@pytest.mark.parametrize("point, there", [("postgres.load_commit", False), ("postgres.load_committed", True)])
def test_killed_at_a_chunk_it_is_there_whole_or_not_at_all(drive, accounts, point, there):
    c, _ = accounts
    c.execute("CREATE DOMAIN word AS text CHECK (VALUE <> 'bad'); CREATE TABLE words (w word, n text)")
    t = table(c, "words")
    d = drive(fault=f"{point}=kill")
    with pytest.raises(RuntimeError):
        d("load", table=t, table_id=5, ordinal=0, after=100, nrows=1, data="'a'\tx\n")
    assert c.execute("SELECT (SELECT count(*) FROM words), (SELECT count(*) FROM midflight.chunk)").fetchone() == (int(there),) * 2


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


def test_a_role_without_the_right_is_told_what_to_grant(target):
    with target.connect() as c:
        c.execute("DROP ROLE IF EXISTS weak")
        c.execute("CREATE ROLE weak LOGIN PASSWORD 'w'")
        c.execute(f"GRANT CREATE ON DATABASE {target.name} TO weak")
        d = Drive(target.url("weak", "w"))
        try:
            d("prepare")
            c.execute("CREATE TABLE t (id int PRIMARY KEY)")
            with pytest.raises(Refused) as e:
                d.window(10, {"table": table(c, "t"), "inserts": [insert("1")]})
            assert e.value.code == "MFROLE" and e.value.hint == 'GRANT SET ON PARAMETER session_replication_role TO "weak"'
        finally:
            d.close()
            c.execute("DROP OWNED BY weak; DROP ROLE weak")


@pytest.mark.parametrize("versions", [(13, 13), (15, 15)])
def test_settings_of_a_database_or_a_role_do_not_change_what_is_written(source, target, migration):
    """Of a database, a role, or a server in another language: our sessions set what values and their texts hang on."""
    source.execute("CREATE TABLE arr (id int PRIMARY KEY, a text[]); INSERT INTO arr VALUES (1, ARRAY['a', NULL]);"
                   "CREATE TABLE nokey (a text[], b text); INSERT INTO nokey VALUES (ARRAY[NULL, 'b'], NULL)")
    for d in (source, target):
        d.execute(f"ALTER DATABASE {d.name} SET array_nulls = off; ALTER DATABASE {d.name} SET transform_null_equals = on; ALTER DATABASE {d.name} SET datestyle = 'SQL, DMY'")
    m = migration(source, target).start()
    m.wait_phase("synced")
    source.execute("INSERT INTO arr VALUES (2, ARRAY['a', NULL]); UPDATE nokey SET b = 'x'; INSERT INTO nokey VALUES (ARRAY[NULL, 'c'], NULL)")
    source.execute("DELETE FROM nokey WHERE b IS NULL; UPDATE arr SET a = a || ARRAY['b', NULL] WHERE id = 1")
    source.execute("INSERT INTO arr VALUES (3, NULL)")
    wait_for(lambda: target.value("SELECT count(*) FROM arr WHERE id = 3") == 1, 60, "the stream")
    assert target.rows("SELECT id, a FROM arr ORDER BY 1") == [(1, ["a", None, "b", None]), (2, ["a", None]), (3, None)]
    assert target.rows("SELECT a, b FROM nokey") == [([None, "b"], "x")]
    m.call("verify")


@pytest.mark.parametrize("versions", [(15, 14), (14, 15)])
def test_a_char_of_one_byte_is_the_same_before_and_since_15(source, target, migration):
    """Since 15 the text of a byte above 127 is \\377; older servers write the bare byte and read \\377 as a backslash."""
    source.execute("CREATE TABLE ch (id int PRIMARY KEY, c \"char\"); INSERT INTO ch SELECT i, (i - 128)::\"char\" FROM generate_series(0, 255) i;"
                   "CREATE TABLE nokey (c \"char\"); INSERT INTO nokey VALUES ((-1)::\"char\"), ('\\');"
                   "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE as_text (id int PRIMARY KEY, c \"char\", m mood); INSERT INTO as_text SELECT i, (i - 128)::\"char\", 'a' FROM generate_series(0, 255) i")
    m = migration(source, target).start()
    m.wait_phase("synced")
    source.execute("UPDATE ch SET id = id + 1000; INSERT INTO nokey VALUES ((-61)::\"char\"); DELETE FROM nokey WHERE c = (-1)::\"char\"; INSERT INTO ch VALUES (1, NULL)")
    wait_for(lambda: target.value("SELECT count(*) FROM ch WHERE id = 1 AND c IS NULL") == 1, 60, "the stream")
    same = "SELECT id, c::int4 FROM ch UNION ALL SELECT -1, c::int4 FROM nokey UNION ALL SELECT -2 - id, c::int4 FROM as_text ORDER BY 1, 2"
    assert source.rows(same) == target.rows(same)
    m.call("verify")
    m.call("cutover")
    target.execute("UPDATE ch SET id = id + 5000; UPDATE nokey SET c = (-2)::\"char\"; INSERT INTO ch VALUES (2, NULL)")
    wait_for(lambda: source.value("SELECT count(*) FROM ch WHERE id = 2") == 1, 60, "the way back")
    assert source.rows(same) == target.rows(same)
    m.call("verify")
