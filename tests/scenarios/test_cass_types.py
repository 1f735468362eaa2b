"""Every type of PostgreSQL and MySQL into a real Cassandra, with its extremes: each value arrives exactly, or its row is in quarantine with its key, its column
and a reason. In a copy and in the stream. What is mended on the source is taken in."""
import datetime
import math
import uuid
from decimal import Decimal

import pytest

from harness.casscompare import plain
from harness.cassrun import SMALL, begin
from harness.servers import wait_for


class Refused:
    def __init__(self, why: str):
        self.why = why


D = Decimal
BIG = "9" * 40
# column → (type, [(literal, what is there then)])
POSTGRES = {
    "c_int2": ("int2", [("-32768", -32768), ("32767", 32767)]),
    "c_int4": ("int4", [("-2147483648", -2147483648), ("2147483647", 2147483647)]),
    "c_int8": ("int8", [("-9223372036854775808", -2**63), ("9223372036854775807", 2**63 - 1)]),
    "c_bool": ("bool", [("true", True), ("false", False)]),
    "c_float4": ("float4", [("'-Infinity'", -math.inf), ("3.4028235e38", 3.4028234663852886e38), ("1e-45", 1.401298464324817e-45), ("'NaN'", math.nan)]),
    "c_float8": ("float8", [("'Infinity'", math.inf), ("'1.7976931348623157e308'", 1.7976931348623157e308), ("'5e-324'", 5e-324), ("'-0'", -0.0)]),
    "c_numeric": ("numeric", [("1.10", D("1.10")), (f"{BIG}.{BIG}", D(f"{BIG}.{BIG}")), ("'1e-16000'", D("1e-16000")), ("0.000", D("0.000")),
                              ("'NaN'", Refused("finite")), ("'Infinity'", Refused("finite"))]),
    "c_decimal": ("numeric(12,2)", [("9999999999.99", D("9999999999.99")), ("-0.01", D("-0.01"))]),
    "c_whole": ("numeric(38,0)", [("9" * 38, int("9" * 38)), ("-" + "9" * 38, -int("9" * 38))]),
    "c_text": ("text", [("''", ""), ("'é ✓ 漢字 🦩'", "é ✓ 漢字 🦩"), ("E'tab\\tnl\\ncr\\rbs\\\\'", "tab\tnl\ncr\rbs\\"), ("repeat('long ', 20000)", "long " * 20000)]),
    "c_varchar": ("varchar(10)", [("'ten chars!'", "ten chars!")]),
    "c_char": ("char(5)", [("'x'", "x")]),
    "c_bytea": ("bytea", [("''", b""), ("'\\x00ff5c27'", b"\x00\xff\x5c\x27")]),
    "c_date": ("date", [("'2000-02-29'", "2000-02-29"), ("'0001-01-01'", "0001-01-01"), ("'infinity'", Refused("infinity"))]),
    "c_time": ("time", [("'00:00'", "00:00:00"), ("'23:59:59.999999'", "23:59:59.999999"), ("'24:00'", Refused("24"))]),
    "c_ts": ("timestamp", [("'2024-02-29 12:00:00.000001'", "2024-02-29 12:00:00.000001"), ("'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999")]),
    "c_tstz": ("timestamptz", [("'2024-03-31 01:30:00.5+02'", "2024-03-30 23:30:00.5")]),
    "c_tstz3": ("timestamptz(3)", [("'2024-03-31 01:30:00.125+02'", "2024-03-30 23:30:00.125"), ("'infinity'", Refused("infinity"))]),
    "c_uuid": ("uuid", [("'ffffffff-ffff-ffff-ffff-ffffffffffff'", uuid.UUID(int=2**128 - 1))]),
    "c_json": ("json", [("'{\"b\": 1,  \"a\":1.0, \"a\":2}'", Refused("twice")), ("'[1.50, 12345678901234567890.0]'", "[1.5,12345678901234567890]")]),
    "c_jsonb": ("jsonb", [("'{\"n\": 12345678901234567890.123}'", "{\"n\":12345678901234567890.123}")]),
    "c_mood": ("mood", [("'sad'", "sad")]),
    "c_ints": ("int[]", [("'{1,NULL,3}'", "{1,NULL,3}")]),
    "c_interval": ("interval", [("'1 mon -1 days'", "1 mon -1 days")]),
    "c_inet": ("inet", [("'192.168.0.1/24'", "192.168.0.1/24")]),
    "c_bits": ("bit(5)", [("B'10101'", "10101")]),
}
MYSQL = {
    "c_tiny": ("tinyint", [("-128", -128), ("127", 127)]),
    "c_utiny": ("tinyint unsigned", [("255", 255)]),
    "c_umedium": ("mediumint unsigned", [("16777215", 16777215)]),
    "c_uint": ("int unsigned", [("4294967295", 4294967295)]),
    "c_big": ("bigint", [("-9223372036854775808", -2**63)]),
    "c_ubig": ("bigint unsigned", [("18446744073709551615", 2**64 - 1)]),
    "c_dec": ("decimal(65,30)", [("'99999999999999999999999999999999999.999999999999999999999999999999'", D("9" * 35 + "." + "9" * 30)), ("-0.5", D("-0.5"))]),
    "c_float": ("float", [("0.5", 0.5), ("-1.5e5", -150000.0)]),
    "c_double": ("double", [("1.7976931348623157e308", 1.7976931348623157e308), ("9007199254740993", 9007199254740992.0)]),
    "c_bit": ("bit(11)", [("b'10101010101'", "10101010101")]),
    "c_year": ("year", [("2155", 2155), ("1901", 1901)]),
    "c_date": ("date", [("'9999-12-31'", "9999-12-31"), ("'1000-01-01'", "1000-01-01"), ("'0000-00-00'", Refused("day")), ("'2020-02-00'", Refused("day"))]),
    "c_time": ("time(6)", [("'12:34:56.789000'", "12:34:56.789"), ("'838:59:58.999999'", Refused("24")), ("'-00:00:00.000001'", Refused("0"))]),
    "c_dt": ("datetime(6)", [("'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999")]),
    "c_ts": ("timestamp(3) NULL", [("'2024-03-31 01:30:00.125'", "2024-03-31 01:30:00.125")]),
    "c_char": ("char(10) CHARACTER SET utf8mb4", [("'é漢🦩'", "é漢🦩"), ("''", "")]),
    "c_latin1": ("varchar(40) CHARACTER SET latin1", [("'é ß ÿ €'", "é ß ÿ €")]),
    "c_text": ("text CHARACTER SET utf8mb4", [("repeat('漢', 5000)", "漢" * 5000)]),
    "c_blob": ("blob", [("0x00FF5C27220A0D09", b"\x00\xff\x5c\x27\x22\x0a\x0d\x09"), ("''", b"")]),
    "c_enum": ("enum('a','b''c')", [("'b''c'", "b'c")]),
    "c_set": ("set('x','y','z')", [("'x,z'", "x,z"), ("''", "")]),
    "c_json": ("json", [("'{\"a\": [1, 2]}'", "{\"a\":[1,2]}")]),
}


def same(expected, found) -> bool:
    if isinstance(expected, float):
        return isinstance(found, float) and (math.isnan(found) if math.isnan(expected) else repr(found) == repr(expected))
    if isinstance(expected, str):
        found = plain(found) if isinstance(found, datetime.datetime) else str(found)
        return found.rstrip("0").rstrip(".") == expected.rstrip("0").rstrip(".") if "." in expected and ":" in expected else found.split(".")[0] == expected if expected == "00:00:00" else found == expected
    return plain(expected) == plain(found)


def rows_of(types: dict, first: int) -> list[tuple]:
    """(id, column, literal, expected): a row for each value, and one of NULLs only."""
    values = [(column, *value) for column, (_, list_) in types.items() for value in list_]
    return [(first + i, *v) for i, v in enumerate(values)]


def insert(source, rows: list[tuple], empty: int) -> None:
    for id_, column, literal, _ in rows:
        source.execute(f"INSERT INTO vals (id, {column}) VALUES ({id_}, {literal})")
    source.execute(f"INSERT INTO vals (id) VALUES ({empty})")


def kept(m) -> dict:
    return {entry["key"].split("=")[-1]: entry for entry in m.call("quarantine", "list", "--json").json["rows"]}


def check(m, there, rows: list[tuple], empty: int, types: dict) -> None:
    refused = {str(id_): (column, expected.why) for id_, column, _, expected in rows if isinstance(expected, Refused)}
    wait_for(lambda: set(refused) <= set(kept(m)), 60, f"{sorted(refused)} in quarantine: {sorted(kept(m))}")
    entries = kept(m)
    for id_, (column, why) in refused.items():
        entry = entries[id_]
        assert entry["column"] == column and entry["table"] == "vals" and why in entry["reason"] and column in entry["row"], entry
    found = {r[0]: r[1:] for r in there.rows(f"SELECT id, {', '.join(types)} FROM {there.name}.vals")}
    names = list(types)
    wrong = []
    for id_, column, literal, expected in rows:
        if isinstance(expected, Refused):
            assert id_ not in found, f"{column} {literal}: refused, and there"
            assert str(id_) in entries
        elif id_ not in found:
            wrong.append((column, literal, "missing", entries.get(str(id_), {}).get("reason")))
        elif not same(expected, found[id_][names.index(column)]) or any(v is not None for i, v in enumerate(found[id_]) if names[i] != column):
            wrong.append((column, literal[:50], expected if len(str(expected)) < 99 else "…", str(found[id_][names.index(column)])[:99]))
    assert not wrong, wrong
    assert found[empty] == (None,) * len(names)


def through(m, source, there, types: dict) -> None:
    """The source has the table and its rows from 1 on."""
    copied = rows_of(types, 1)
    insert(source, copied, 500)
    m.start()
    m.wait_phase("synced")
    check(m, there, copied, 500, types)
    streamed = rows_of(types, 1001)
    insert(source, streamed, 1500)
    source.execute("INSERT INTO vals (id) VALUES (1501)")
    wait_for(lambda: there.rows(f"SELECT id FROM {there.name}.vals WHERE id = 1501"), 60, "the stream")
    check(m, there, copied + streamed, 1500, types)
    refused = [(id_, column) for id_, column, _, expected in copied + streamed if isinstance(expected, Refused)]
    m.wait(lambda s: s["quarantine"]["rows"] == len(refused), 60, f"{len(refused)} rows in quarantine")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == len(refused)
    # An old version that was good does not stay in the place of the one that is refused.
    id_, column, literal, _ = next(r for r in streamed if isinstance(r[3], Refused))
    source.execute(f"UPDATE vals SET {column} = {literal} WHERE id = 1500")
    wait_for(lambda: "1500" in kept(m), 60, "the update to be refused")
    assert not there.rows(f"SELECT id FROM {there.name}.vals WHERE id = 1500")
    # Mended, deleted, or given another key: nothing is kept any more.
    source.execute(f"UPDATE vals SET {column} = NULL WHERE id = 1500")
    for i, (id_, column) in enumerate(refused):
        source.execute([f"UPDATE vals SET {column} = NULL WHERE id = {id_}", f"DELETE FROM vals WHERE id = {id_}",
                        f"UPDATE vals SET id = id + 5000, {column} = NULL WHERE id = {id_}"][i % 3])
    wait_for(lambda: not kept(m), 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_postgresql(source, into, migration):
    there = into()
    source.execute("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE vals (id int PRIMARY KEY, " + ", ".join(f"{c} {t}" for c, (t, _) in POSTGRES.items()) + ")")
    through(begin(migration, source, there, **SMALL), source, there, POSTGRES)


@pytest.mark.parametrize("version", ["8.0", "5.7"])
def test_mysql(mysql_database, into, migration, version):
    source, there = mysql_database("source", version, sql_mode=""), into()
    source.execute("CREATE TABLE vals (id int PRIMARY KEY, " + ", ".join(f"{c} {t}" for c, (t, _) in MYSQL.items()) + ")")
    through(begin(migration, source, there, **SMALL), source, there, MYSQL)


def test_what_no_key_here_can_be(source, into, migration):
    """A NULL or an empty partition key, keys too long for Cassandra; rows with the same and a good key stay as they are."""
    there = into()
    source.execute("CREATE TABLE keyed (k text PRIMARY KEY, v text); CREATE TABLE two (a text, b text, v text, PRIMARY KEY (a, b));"
                   "INSERT INTO keyed VALUES ('', 'empty'), ('good', 'x'); INSERT INTO two VALUES ('', '', 'both empty'), ('a', '', 'b empty'), ('a', 'b', 'good')")
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    source.execute("UPDATE keyed SET v = v || '!' WHERE k = ''; UPDATE two SET v = v || '!'; DELETE FROM keyed WHERE k = 'nobody'; INSERT INTO keyed VALUES ('last', 'x')")
    wait_for(lambda: there.rows(f"SELECT k FROM {there.name}.keyed WHERE k = 'last'"), 60, "the stream")
    rows = m.call("quarantine", "list", "--json").json["rows"]
    assert all(entry["reason"] and "empty" in entry["reason"] for entry in rows), rows
    assert sum(entry["table"] == "keyed" for entry in rows) == 1
    found = {(a, b): v for a, b, v in there.rows(f"SELECT a, b, v FROM {there.name}.two")}
    assert found["a", "b"] == "good!" and found["a", ""] == "b empty!"
    source.execute("DELETE FROM keyed WHERE k = ''; DELETE FROM two WHERE a = ''")
    wait_for(lambda: not m.call("quarantine", "list", "--json").json["rows"], 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_a_row_that_is_too_large(source, into, migration):
    """Of one write's 16 MB; kept without the row itself, which is too large there, too."""
    there = into()
    source.execute("CREATE TABLE big (id int PRIMARY KEY, v text, w bytea); INSERT INTO big VALUES (1, 'small', NULL);"
                   "INSERT INTO big SELECT 2, repeat('x', 9000000), decode(repeat('00ff', 4500000), 'hex')")
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO big SELECT 3, repeat('y', 17500000), NULL; INSERT INTO big SELECT 4, repeat('z', 6000000), NULL; INSERT INTO big VALUES (5, 'last', NULL)")
    wait_for(lambda: there.rows(f"SELECT id FROM {there.name}.big WHERE id = 5"), 90, "the stream")
    assert set(kept(m)) == {"2", "3"}, kept(m)
    assert {r[0] for r in there.rows(f"SELECT id FROM {there.name}.big")} == {1, 4, 5}
    source.execute("UPDATE big SET v = 'short' WHERE id = 2; DELETE FROM big WHERE id = 3")
    wait_for(lambda: not kept(m), 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0
