"""What real servers print for the edge values of every type, in canonical form: read in chunks and from the stream alike, and given back to a
server in its own form it is the same value again."""
from __future__ import annotations

from contextlib import closing

import pytest

from harness import mydrive
from harness.mysql_servers import run
from harness.pgdrive import Drive
from harness.pgread import Read

DUPLICATE = "an object in it has a key twice"


def bytes_(text: str) -> dict:
    return {"hex": text}


# a column's type: (as the server is given it, its canonical form or None where that is the same)
PG_COLUMNS = {
    "boolean": ("bool", [("true", "1"), ("false", "0")]),
    "smallint": ("int(16)", ["-32768", "32767"]),
    "integer": ("int(32)", ["-2147483648", "0"]),
    "bigint": ("int(64)", ["-9223372036854775808", "9223372036854775807"]),
    "oid": ("int(32) unsigned", ["4294967295"]),
    "real": ("float(32)", ["0.1", ("1e20", "1e20"), ("3.4028235e38", "3.4028235e38"), ("1e-45", "1e-45"), "-0", "NaN", "Infinity", ("16777217", "16777216")]),
    "double precision": ("float(64)", ["0.1", ("1e15", "1e15"), ("123456789012345", "123456789012345"), ("5e-324", "5e-324"),
                                       ("1.7976931348623157e308", "1.7976931348623157e308"), "0.30000000000000004", "-0", "-Infinity", "NaN"]),
    "numeric": ("decimal", ["NaN", ("1.500", "1.5"), ("-0.0", "0"), ("1e30", "1" + "0" * 30), "0." + "0" * 40 + "1", ("100", "100"), "Infinity"]),
    "numeric(10,2)": ("decimal(10,2)", [("1.5", "1.5"), ("-12345678.90", "-12345678.9"), "0", "NaN"]),
    "numeric(5,-2)": ("decimal(5,-2)", [("12345", "12300")]),
    "bit(5)": ("bits(5) fixed", ["01010"]),
    "bit varying": ("bits", ["", "1" * 70]),
    "date": ("date", ["2026-11-28", "infinity", "-infinity", "0044-03-15 BC", "5874897-12-31", "4713-01-01 BC"]),
    "time": ("time(6)", ["00:00:00", "24:00:00", "23:59:59.999999", ("01:02:03.500", "01:02:03.5")]),
    "time(0)": ("time(0)", [("01:02:03.5", "01:02:04")]),
    "timestamp": ("datetime(6)", ["2026-11-28 01:02:03.000001", "infinity", "0044-03-15 01:02:03.5 BC", "294276-12-31 23:59:59.999999"]),
    "timestamp(3)": ("datetime(3)", [("2026-11-28 01:02:03.120", "2026-11-28 01:02:03.12")]),
    "timestamptz": ("instant(6)", [("2026-11-28 01:02:03.5+05:30", "2026-11-27 19:32:03.5"), "-infinity", "0044-03-15 01:02:03 BC"]),
    "character(5)": ("text(5) fixed", [("ab", "ab"), ("ab   ", "ab"), "", "héllo"]),
    "bpchar": ("text", ["ab  "] ),
    "varchar(5)": ("text(5)", ["ab   ", "", "h😀llo"]),
    "text": ("text", ["", " x ", "it's \\ \"q\" \n é 😀"]),
    "name": ("text(63)", ["x"]),
    '"char"': ("text(1)", ["c"]),
    "bytea": ("bytes", [(r"\x", bytes_("")), (r"\x00ff5c27", bytes_("00ff5c27"))]),
    "mood": ("enum('sad','it''s','OK')", ["sad", "it's"]),
    "mood_domain": ("enum('sad','it''s','OK')", ["OK"]),
    "short": ("text(3)", ["abc"]),
    "price": ("decimal(8,3)", [("1.250", "1.25")]),
    "longer": ("text(3)", ["xyz"]),
    "uuid": ("uuid", [("123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000")]),
    "jsonb": ("json", [('{"bb": 1.0, "a": [1e2, -0, 12345678901234567890123, "\\u20ac\\/"]}', '{"a":[100,0,1.2345678901234567890123e22,"€/"],"bb":1}'),
                       ("null", "null"), ('"\\u0001"', '"\\u0001"')]),
    "json": ("json", [('{"b" : 1e2,\n "a":"\\u00e9"}', '{"a":"é","b":100}'), ('{"a":1,"a":2}', {"refused": DUPLICATE}),
                      ('"\\u0000"', '"\\u0000"'), ('"\\ud83d\\ude00"', '"😀"')]),
    "citext": ("text", ["AbC"]),
    "interval": ("opaque", ["1 day 02:03:04"]),
    "inet": ("opaque", ["10.0.0.1/8"]),
    "integer[]": ("opaque", ["{1,NULL,3}"]),
    "moods": ("opaque", ["{sad,OK}"]),
    "int4range": ("opaque", ["[1,5)"]),
    "xml": ("opaque", ["<a>é</a>"]),
    "pair": ("opaque", ["(1,x)"]),
    "timetz": ("opaque", ["01:02:03+05"]),
    "money": ("opaque", ["$1.50"]),
}
PG_TYPES = """CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'OK'); ALTER TYPE mood ADD VALUE 'it''s' BEFORE 'OK';
 CREATE DOMAIN mood_domain AS mood; CREATE DOMAIN short AS varchar(3); CREATE DOMAIN longer AS short; CREATE DOMAIN price AS numeric(8,3) CHECK (VALUE > 0);
 CREATE DOMAIN moods AS mood[]; CREATE TYPE pair AS (a int, b text)"""

MY_COLUMNS = {
    "tinyint": ("int(8)", ["-128", "127"]),
    "tinyint(1)": ("int(8)", ["2"]),
    "tinyint unsigned": ("int(8) unsigned", ["255"]),
    "mediumint": ("int(24)", ["-8388608"]),
    "int(8) zerofill": ("int(32) unsigned", ["42"]),
    "bigint unsigned": ("int(64) unsigned", ["18446744073709551615"]),
    "decimal(20,6)": ("decimal(20,6)", [("1.5", "1.5"), ("-0.0", "0"), ("-12345678901234.000001", "-12345678901234.000001")]),
    "decimal(65,30)": ("decimal(65,30)", ["0." + "0" * 29 + "1", ("1" * 35, "1" * 35)]),
    "decimal(10,2) zerofill": ("decimal(10,2)", [("1.50", "1.5")]),
    "float": ("float(32)", ["0.1", "1e-30", ("-3.4028234663852886e38", "-3.4028235e38"), "123456.7"]),
    "double": ("float(64)", ["0.1", "1e15", "123456789012345", "5e-324", "1.7976931348623157e308", ("0.1e0 + 0.2e0", "0.30000000000000004")]),
    "float(7,3)": ("float(32)", [("1.2345", "1.234")]),
    "bit(11)": ("bits(11) fixed", [("5", "00000000101"), ("2047", "1" * 11), ("0", "0" * 11)]),
    "bit(64)": ("bits(64) fixed", [("18446744073709551615", "1" * 64)]),
    "year": ("int(16)", ["2155", ("0", "0"), "1901"]),
    "date": ("date", ["'2026-11-28'", "'0000-00-00'", "'2026-02-00'", "'9999-12-31'", "'0044-03-15'"]),
    "time": ("time(0)", ["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    "time(6)": ("time(6)", [("'-00:00:01.5'", "-00:00:01.5"), "'100:00:00'"]),
    "datetime": ("datetime(0)", ["'2026-11-28 01:02:03'", "'0000-00-00 00:00:00'"]),
    "datetime(6)": ("datetime(6)", [("'2026-11-28 01:02:03.000100'", "2026-11-28 01:02:03.0001"), "'9999-12-31 23:59:59.999999'"]),
    "timestamp(3) NULL": ("instant(3)", [("'2026-11-28 01:02:03.120'", "2026-11-28 01:02:03.12"), "'1970-01-01 00:00:01'", "'0000-00-00 00:00:00'"]),
    "char(10)": ("text(10) fixed", ["''", ("'ab  '", "ab"), "'😀é'"]),
    "varchar(10) CHARACTER SET latin1": ("text(10)", ["'ä '", "''"]),
    "varchar(10) CHARACTER SET gbk": ("text(10)", ["'中文'"]),
    "tinytext": ("text", ["'x '"]),
    "longtext CHARACTER SET utf8": ("text", ["'é'"]),
    "binary(4)": ("bytes(4) fixed", [("x'41'", bytes_("41000000"))]),
    "varbinary(4)": ("bytes(4)", [("x''", bytes_("")), ("x'00ff'", bytes_("00ff"))]),
    "blob": ("bytes", [("x'00275c1a'", bytes_("00275c1a"))]),
    "enum('a','b''c','')": ("enum('a','b''c','')", ["'a'", ("'b''c'", "b'c"), "''"]),
    "set('x','y','z')": ("set('x','y','z')", [("'z,x'", "x,z"), "''"]),
    "json": ("json", [("'{\"bb\": 1.0, \"a\": [1e2, -0.0, 0.1, \"€\"]}'", '{"a":[100,0,0.1,"€"],"bb":1}'), "'null'", "'[]'",
                      ("'[18446744073709551615, -9223372036854775808, 1e20]'", "[18446744073709551615,-9223372036854775808,100000000000000000000]")]),
    "point": ("bytes", [("ST_GeomFromText('POINT(1 2)')", bytes_("000000000101000000000000000000f03f0000000000000040"))]),
}
MYSQL_COLUMNS = {"float /* zero */": ("float(32)", ["-0e0"]), "double /* zero */": ("float(64)", ["-0e0"]),
                 "json /* made */": ("json", [("JSON_ARRAY(1.50, 123456789012345678901, 0.1e0, CAST('2026-11-28' AS date))", '[1.5,123456789012345678901,0.1,"2026-11-28"]')])}
MARIADB_COLUMNS = {
    "float /* zero */": ("float(32)", [("-0e0", "0")]), "double /* zero */": ("float(64)", [("-0e0", "0")]),
    "json /* text */": ("json", [("'{\"b\" : 1.0,\n\"a\":\"\\\\u00e9\"}'", '{"a":"é","b":1}'), ("'{\"a\":1,\"a\":2}'", {"refused": DUPLICATE}),
                                 ("'[1e400]'", "[1e400]")]),
    "longtext /* plain */": ("text", ["'{\"b\" : 1.0}'"]),
    "uuid": ("uuid", [("'123E4567-E89B-12D3-A456-426614174000'", "123e4567-e89b-12d3-a456-426614174000")]),
    "inet4": ("text(15)", ["'10.0.0.1'"]),
    "inet6": ("text(39)", [("'2001:DB8:0:0::1'", "2001:db8::1"), "'::ffff:10.0.0.1'"]),
}


def canonical(case, quoted: bool):
    """What one case of a column is given as, and the canonical form that is expected."""
    if isinstance(case, tuple):
        return case
    return case, (case.strip("'") if quoted else case).replace("e0", "")


def read_both_ways(read: Read, table: str, insert) -> list[list]:
    """The table's rows as a chunk shows them, after the stream has shown the same."""
    read.catalog()
    start = read.prepare()
    read.stream_open(**{"from": start["position"], "from_token": start["position_token"]})
    insert()
    items = read.read_until_now()["items"]
    streamed = [i["new"] for i in items if i["kind"] == "change" and i["table"] == table.split(".")[1]]
    read.stream_close()
    read.reader()
    rows = sorted(read.rows(table=table, chunk={})["rows"], key=lambda r: int(r[0]))
    assert sorted(streamed, key=lambda r: int(r[0])) == rows
    return rows


def check_rows(columns, rows, quoted: bool) -> None:
    for at, (kind, (_, cases)) in enumerate(columns.items(), 1):
        for row, case in enumerate(cases):
            want, got = canonical(case, quoted)[1], rows[row][at]
            if isinstance(want, dict) and "refused" in want:
                assert want["refused"] in got["refused"], (kind, case, got)
            else:
                assert got == want, (kind, case, got)


def own_form(read: Read, table: str, column: str, value):
    """None for a value that is refused."""
    return None if isinstance(value, dict) and "refused" in value else read.own(table=table, column=column, value=value)["value"]


def test_postgres_prints_canonical_values(database):
    made = database()
    with made.connect() as c:
        c.execute(PG_TYPES)
        c.execute("CREATE TABLE v (id int PRIMARY KEY, " + ", ".join(f"c{i} {kind}" for i, kind in enumerate(PG_COLUMNS)) + ")")
    depth = max(len(cases) for _, cases in PG_COLUMNS.values())

    def insert():
        with made.connect() as c:
            for row in range(depth):
                given = [(i, canonical(cases[row], False)[0]) for i, (_, cases) in enumerate(PG_COLUMNS.values()) if row < len(cases)]
                c.execute("INSERT INTO v (id, " + ", ".join(f"c{i}" for i, _ in given) + f") VALUES ({row}"
                          + "".join(", " + "'" + v.replace("'", "''") + "'" for _, v in given) + ")")

    with closing(Read(made.url(), side="face")) as read:
        rows = read_both_ways(read, "public.v", insert)
        shown = {t["name"]: t for t in read.catalog()["tables"]}["v"]["columns"]
        assert [c["type"] for c in shown][1:] == [kind for kind, _ in PG_COLUMNS.values()]
        check_rows(PG_COLUMNS, rows, False)
        with made.connect() as c:  # given back, the server prints the same
            c.execute("CREATE TABLE w (LIKE v)")
            for row in rows:
                given = [own_form(read, "public.v", f"c{i}", v) if v is not None else None for i, v in enumerate(row[1:])]
                c.execute(f"INSERT INTO w VALUES ({row[0]}" + ", %s" * len(given) + ")", given)
        read.catalog()
        read.reader()
        again = sorted(read.rows(table="public.w", chunk={})["rows"], key=lambda r: int(r[0]))
    assert again == [[None if isinstance(v, dict) and "refused" in v else v for v in row] for row in rows]


@pytest.mark.parametrize("version", ["5.7", "8.0", "mariadb"])
def test_mysql_prints_canonical_values(mysql_database, version):
    made = mysql_database("source", version)
    columns = MY_COLUMNS | (MARIADB_COLUMNS if version == "mariadb" else MYSQL_COLUMNS)
    depth, table = max(len(cases) for _, cases in columns.values()), f"{made.name}.v"
    made.execute("CREATE TABLE v (id int PRIMARY KEY, " + ", ".join(f"c{i} {kind.split('/*')[0]}" for i, kind in enumerate(columns))
                 + ") CHARACTER SET utf8mb4")

    def insert():
        with closing(made.connect()) as c:
            run(c, "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'", close=False)
            for row in range(depth):
                given = [(i, canonical(cases[row], True)[0]) for i, (_, cases) in enumerate(columns.values()) if row < len(cases)]
                run(c, "INSERT INTO v (id, " + ", ".join(f"c{i}" for i, _ in given) + f") VALUES ({row}" + "".join(f", {v}" for _, v in given) + ")",
                    close=False)

    with closing(Read(made.url(), side="face")) as read:
        rows = read_both_ways(read, table, insert)
        shown = {t["name"]: t for t in read.catalog()["tables"]}["v"]["columns"]
        assert [c["type"] for c in shown][1:] == [kind for kind, _ in columns.values()]
        check_rows(columns, rows, True)
        with closing(made.connect()) as c, closing(Drive(made.url())) as drive:  # given back, the server prints the same
            run(c, "SET sql_mode = 'ALLOW_INVALID_DATES'", close=False)
            run(c, "CREATE TABLE w LIKE v", close=False)
            drive("prepare")
            own = [[row[0]] + [own_form(read, table, f"c{i}", v) if v is not None else None for i, v in enumerate(row[1:])] for row in rows]
            drive.window(10, {"table": mydrive.table(c, "w"), "inserts": [{"new": row} for row in own]})
        read.catalog()
        read.reader()
        again = sorted(read.rows(table=f"{made.name}.w", chunk={})["rows"], key=lambda r: int(r[0]))
    assert again == [[None if isinstance(v, dict) and "refused" in v else v for v in row] for row in rows]
