"""Columns that are asked to be collections or types of users: arrays, records and documents of the source arrive as those, in the copy and in the stream, or
their row is in quarantine with the reason. verify finds both sides equal whatever the order of a set, and what was tampered with."""
from decimal import Decimal as D

from harness.cassrun import SMALL, begin
from harness.servers import wait_for

from test_cass_types import kept


class Refused:
    def __init__(self, why: str):
        self.why = why


# column → (its type here, the type asked for, [(literal, what is there then)])
POSTGRES = {
    "c_ints": ("int[]", "list<int>", [("'{3,1,1}'", [3, 1, 1]), ("'{}'", []), ("'{1,NULL}'", Refused("null")), ("'[2:3]={1,2}'", Refused("not number 1"))]),
    "c_bigs": ("int8[]", "frozen<list<int>>", [("'{-2147483648}'", [-2**31]), ("'{2147483648}'", Refused("room"))]),
    "c_grid": ("int[]", "list<frozen<list<int>>>", [("'{{1,2},{3,4}}'", [[1, 2], [3, 4]]), ("'{1}'", Refused("another kind"))]),
    "c_words": ("text[]", "set<text>", [(r"""'{b,"a \"q\" \\ ''é'',","NULL",""}'""", {"b", 'a "q" \\ \'é\',', "NULL", ""}), ("'{a,b,a}'", Refused("twice"))]),
    "c_chars": ("char(3)[]", "set<text>", [("'{x,yy}'", {"x", "yy"})]),
    "c_moods": ("mood[]", "set<text>", [("'{sad,happy}'", {"sad", "happy"})]),
    "c_days": ("date[]", "set<date>", [("'{2026-11-28,0001-01-01}'", {"2026-11-28", "0001-01-01"}), ("'{infinity}'", Refused("infinity"))]),
    "c_when": ("timestamptz(3)[]", "list<timestamp>", [("'{2024-03-31 01:30:00.125+02}'", ["2024-03-30 23:30:00.125000"])]),
    "c_nums": ("numeric[]", "list<decimal>", [("'{1.50,-0.001,1e30}'", [D("1.5"), D("-0.001"), D(10**30)]), ("'{NaN}'", Refused(""))]),
    "c_reals": ("float8[]", "list<double>", [("'{0.1,-0,Infinity,1e300,3}'", [0.1, -0.0, float("inf"), 1e300, 3.0])]),
    "c_flags": ("bool[]", "list<boolean>", [("'{t,f}'", [True, False])]),
    "c_raws": ("bytea[]", "list<blob>", [("""ARRAY['\\x00ff'::bytea, '']""", [b"\x00\xff", b""])]),
    "c_ids": ("uuid[]", "set<uuid>", [("'{123e4567-e89b-12d3-a456-426614174000}'", {"123e4567-e89b-12d3-a456-426614174000"})]),
    "c_docs": ("jsonb[]", "list<text>", [("""ARRAY['{"b": 1, "a": 2}'::jsonb]""", ['{"a":2,"b":1}'])]),
    "c_count": ("jsonb", "map<text, int>", [("""'{"b": 1, "a''": 2e1, "": 0}'""", {"b": 1, "a'": 20, "": 0}), ("'{}'", {}), ("""'{"a": null}'""", Refused("null")),
                                            ("""'{"a": "1"}'""", Refused("another kind")), ("'[1]'", Refused("another kind"))]),
    "c_named": ("json", "map<int, text>", [("""'{"7": "x", "-1": "y"}'""", {7: "x", -1: "y"}), ("""'{"07": "x"}'""", Refused(""))]),
    "c_list": ("jsonb", "list<double>", [("'[1, 2.5, 1e100]'", [1.0, 2.5, 1e100]), ("'[0.1234567890123456789]'", Refused("exactly"))]),
    "c_tags": ("jsonb", "set<text>", [("""'["z", "b", "a"]'""", {"a", "b", "z"}), ("""'["a", "a"]'""", Refused("twice"))]),
    "c_home": ("place", "place", [("ROW('a \"b\", (c)', 5, '{1,2}', true)", ('a "b", (c)', 5, [1, 2], True)), ("ROW(NULL, NULL, NULL, NULL)", (None,) * 4), ("ROW('', NULL, '{}', NULL)", ("", None, [], None))]),
    "c_homes": ("place[]", "list<frozen<place>>", [("ARRAY[ROW('x', 1, NULL, false), ROW('y', NULL, '{3}', NULL)]::place[]", [("x", 1, None, False), ("y", None, [3], None)])]),
    "c_point": ("jsonb", "point", [("""'{"y": 2, "x": 1.5}'""", (1.5, 2, None)), ("""'{"x": null, "label": "p"}'""", (None, None, "p")), ("""'{"z": 1}'""", Refused("a field")),
                                   ("""'{"y": "2"}'""", Refused("another kind"))]),
}
MYSQL = {
    "c_tags": ("json", "set<text>", [("""'["z", "b"]'""", {"z", "b"}), ("""'["b", "b"]'""", Refused("twice"))]),
    "c_count": ("json", "map<text, bigint>", [("""'{"b": 9223372036854775807, "a": 1}'""", {"b": 2**63 - 1, "a": 1}), ("""'{"b": 1.5}'""", Refused("whole number"))]),
    "c_list": ("json", "list<decimal>", [("'[1.25, 3]'", [D("1.25"), D(3)])]),
    "c_set": ("set('x','y','z')", "set<text>", [("'z,x'", {"x", "z"}), ("''", set())]),
    "c_point": ("json", "point", [("""'{"x": 0.5, "y": 7}'""", (0.5, 7, None))]),
}


def value(v):
    """Of Cassandra's driver, in Python's own."""
    name = type(v).__name__
    if v is None or isinstance(v, (bool, int, float, D, bytes, str)):
        return v
    if name == "SortedSet" or isinstance(v, (set, frozenset)):
        return {value(e) for e in v}
    if hasattr(v, "items"):
        return {value(k): value(e) for k, e in v.items()}
    if isinstance(v, tuple):  # a type of a user's
        return tuple(value(e) for e in v)
    if isinstance(v, list):
        return [value(e) for e in v]
    return str(v)


def mapped(types: dict) -> list[dict]:
    return [{"table": "vals", "to": "vals", "columns": [{"name": "id"}] + [{"name": c, "type": asked} for c, (_, asked, _) in types.items()]}]


def insert(source, types: dict, first: int) -> list[tuple]:
    rows = [(first + i, column, *v) for i, (column, v) in enumerate((c, v) for c, (_, _, values) in types.items() for v in values)]
    for id_, column, literal, _ in rows:
        source.execute(f"INSERT INTO vals (id, {column}) VALUES ({id_}, {literal})")
    return rows


def check(m, there, rows: list[tuple], types: dict) -> int:
    refused = {str(id_): (column, expected.why) for id_, column, _, expected in rows if isinstance(expected, Refused)}
    wait_for(lambda: set(refused) <= set(kept(m)), 60, f"{sorted(refused)} in quarantine")
    entries, wrong = kept(m), []
    for id_, (column, why) in refused.items():
        assert entries[id_]["column"] == column and why in entries[id_]["reason"], entries[id_]
    found = {r[0]: r[1:] for r in there.session.execute(f"SELECT id, {', '.join(types)} FROM {there.name}.vals")}
    for id_, column, literal, expected in rows:
        if isinstance(expected, Refused):
            assert id_ not in found, (column, literal)
            continue
        got = value(found[id_][list(types).index(column)]) if id_ in found else "missing"
        if repr(got) != repr(expected) and got != expected:
            wrong.append((column, literal, expected, got, entries.get(str(id_), {}).get("reason")))
    assert not wrong, wrong
    return len(refused)


def through(m, source, there, types: dict) -> None:
    copied = insert(source, types, 1)
    m.start()
    m.wait_phase("synced")
    n = check(m, there, copied, types)
    streamed = insert(source, types, 1001)
    source.execute("INSERT INTO vals (id) VALUES (5000)")
    wait_for(lambda: there.rows(f"SELECT id FROM {there.name}.vals WHERE id = 5000"), 60, "the stream")
    n += check(m, there, streamed, types)
    m.wait(lambda s: s["quarantine"]["rows"] == n, 60, f"{n} rows in quarantine")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == n
    source.execute("DELETE FROM vals WHERE id IN (" + ", ".join(kept(m)) + ")")
    wait_for(lambda: not kept(m), 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def tampered(m, there, ids: list[int], column: str, literal: str) -> None:
    for id_ in ids:
        there.session.execute(f"UPDATE {there.name}.vals SET {column} = {literal} WHERE id = {id_}")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == len(ids)
    m.call("verify", "--repair")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_postgresql(source, into, migration):
    there = into()
    there.session.execute(f"CREATE TYPE {there.name}.point (x double, y int, label text)")
    source.execute("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE place AS (street text, number int, flats int[], ours boolean);"
                   "CREATE TABLE vals (id int PRIMARY KEY, " + ", ".join(f"{c} {t}" for c, (t, _, _) in POSTGRES.items()) + ")")
    m = begin(migration, source, there, map=mapped(POSTGRES), **SMALL)
    through(m, source, there, POSTGRES)
    tampered(m, there, [1, 2, 5000], "c_words", "{'new'}")
    tampered(m, there, [1], "c_home", "{street: 'elsewhere'}")
    source.execute("UPDATE vals SET c_words = array_append(c_words, 'more'), c_ints = c_ints || 5, c_count = c_count || '{\"new\": 1}', c_home.number = 6")
    source.execute("INSERT INTO vals (id) VALUES (5001)")
    wait_for(lambda: there.rows(f"SELECT id FROM {there.name}.vals WHERE id = 5001"), 60, "the stream")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_mysql(mysql_database, into, migration):
    source, there = mysql_database("source", "8.0"), into()
    there.session.execute(f"CREATE TYPE {there.name}.point (x double, y int, label text)")
    source.execute("CREATE TABLE vals (id int PRIMARY KEY, " + ", ".join(f"{c} {t}" for c, (t, _, _) in MYSQL.items()) + ")")
    m = begin(migration, source, there, map=mapped(MYSQL), **SMALL)
    through(m, source, there, MYSQL)
    tampered(m, there, [1], "c_set", "{'y'}")


def test_what_cannot_be(source, into, migration):
    """Said with the line, or with the column and a remedy, before anything is made."""
    there = into()
    source.execute("CREATE TABLE vals (id int PRIMARY KEY, n int, words text[], doc jsonb)")
    there.session.execute(f"CREATE TYPE {there.name}.tagged (tags frozen<set<text>>)")
    cases = [("words", "lsit<int>", 2, "no type of Cassandra"), ("n", "list<int>", 2, "on the source it is a"), ("words", "list<int>", 2, "on the source it is a"),
             ("words", "list<inet>", 2, "not supported"), ("doc", "nowhere", 1, "there is no type nowhere"), ("doc", "tagged", 1, "a set or a map")]
    for i, (column, asked, code, why) in enumerate(cases):
        m = migration(source, there.url(), config={"migration": f"cannot{i}", "map": [{"table": "vals", "to": "vals", "columns": [{"name": "id"}, {"name": column, "type": asked}]}]})
        said = m.call("plan", expect=code)
        assert why in said.err, (column, asked, said.err)
    there.session.execute(f"CREATE TABLE {there.name}.vals (id int PRIMARY KEY, words set<text>)")
    m = migration(source, there.url(), config={"migration": "loose", "map": [{"table": "vals", "to": "vals", "columns": [{"name": "id"}, {"name": "words", "type": "set<text>"}]}]})
    assert "not frozen" in m.call("plan", expect=1).err
