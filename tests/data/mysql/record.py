#!/usr/bin/env python3
"""Records a small binary log and what the server itself says of its rows, for tests/unit/connector/test_my_binlog.c.

    record.py NAME SOCKET [ROOT]
    record.py charsets SOCKET

NAME is mysql57, mysql80, mariadb, mysql97 or mysql97_packed; SOCKET that of a throw-away server of this kind, started with --log-bin, row format
and GTIDs, whose root has no password. Writes NAME.bin (the log's file) and NAME.txt, a line a row change in the order of the log:

    I table value ...            an insert
    U table value ... > value .. an update
    D table value ...            a delete

ROOT is where the server's root directory is, when it runs in a folder of its own (tests/data/mysql/README.md).

Of a 9.7, with what 8.0.15 does not write: mysql97 has the table maps' whole metadata and tagged GTIDs, mysql97_packed the same tables and more in
compressed transactions; their texts also have

    T table type|type ...        the table's columns from here on, as coltype.h spells them
    G set                        the GTIDs of all transactions in the log, at its end
    N file position              the position a heartbeat told (mysql97_wire)

and mysql97_wire.bin is not the log's file but its packets, as a replica got them that had one transaction already: events made for the
connection, and heartbeats of both versions.

The second writes charsets.txt of a MySQL 8.0 server: for each character set a hash of all its characters and what they are in UTF-8, then the
ranges of codes that are characters.

A value is - (null), ~ (left out), . (empty), or its bytes in hexadecimal, as SELECT gave them: text in UTF-8 unless the type is binary; of
more than 100 bytes there is #, their number, and their hash.
"""
import socket
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DATADIR = sys.argv[3] if len(sys.argv) > 3 else ""
NUM, TXT, BIN, FLT, BITS, JSN = "HEX(CONCAT({}))", "HEX(CONVERT({} USING utf8mb4))", "HEX({})", "HEX(CONCAT({}*1e0))", "HEX(CONCAT({}+0))", "HEX(CAST({} AS CHAR))"
# 9.7 cuts a DOUBLE's text to 22 characters, or turns it to an exponent for them; in a document it has all digits, and a whole one ".0".
DBL = "HEX(REGEXP_REPLACE(CAST(CAST({}*1e0 AS JSON) AS CHAR), '[.]0$', ''))"

TYPES = [
    ("id", "int primary key", NUM), ("ti", "tinyint", NUM), ("tu", "tinyint unsigned", NUM), ("si", "smallint", NUM),
    ("su", "smallint unsigned", NUM), ("mi", "mediumint", NUM), ("mu", "mediumint unsigned", NUM), ("i", "int", NUM),
    ("iu", "int unsigned", NUM), ("bi", "bigint", NUM), ("bu", "bigint unsigned", NUM), ("d1", "decimal(10,2)", NUM),
    ("d2", "decimal(65,30)", NUM), ("d3", "decimal(5,5)", NUM), ("d4", "decimal(20,0)", NUM), ("f", "float", FLT),
    ("db", "double", NUM), ("b1", "bit(1)", BITS), ("b9", "bit(9)", BITS), ("b64", "bit(64)", BITS), ("y", "year", NUM),
    ("da", "date", NUM), ("t0", "time", NUM), ("t3", "time(3)", NUM), ("t6", "time(6)", NUM), ("dt0", "datetime", NUM),
    ("dt1", "datetime(1)", NUM), ("dt6", "datetime(6)", NUM), ("ts0", "timestamp null", NUM),
    ("ts4", "timestamp(4) null", NUM), ("c", "char(10) charset utf8mb4", TXT), ("c2", "char(100) charset utf8mb4", TXT),
    ("cl", "char(5) charset latin1", TXT), ("vc", "varchar(20) charset utf8mb4", TXT),
    ("vl", "varchar(300) charset latin1", TXT), ("tt", "tinytext charset utf8mb4", TXT),
    ("mt", "mediumtext charset latin1", TXT), ("bn", "binary(8)", BIN), ("vb", "varbinary(20)", BIN),
    ("tb", "tinyblob", BIN), ("lb", "longblob", BIN), ("e", "enum('a','b c','\u00e9') charset utf8mb4", TXT),
    ("e2", "enum(" + ",".join(f"'m{n}'" for n in range(1, 301)) + ") charset latin1", TXT),
    ("s", "set('x','y','z') charset utf8mb4", TXT),
    ("s2", "set(" + ",".join(f"'s{n}'" for n in range(1, 41)) + ") charset latin1", TXT), ("g", "geometry", BIN),
]

ROWS = [
    ["1"] + ["NULL"] * (len(TYPES) - 1),
    ["2", "-128", "255", "-32768", "65535", "-8388608", "16777215", "-2147483648", "4294967295", "-9223372036854775808",
     "18446744073709551615", "-12345678.90", "12345678901234567890123456789012345.123456789012345678901234567890",
     "-0.99999", "-12345678901234567890", "0.1", "0.1", "1", "b'101010101'", "x'ffffffffffffffff'", "2155", "'9999-12-31'",
     "'-838:59:59'", "'-00:00:00.001'", "'838:59:59.000000'", "'9999-12-31 23:59:59'", "'2026-11-28 01:02:03.9'",
     "'1000-01-01 00:00:00.000001'", "'2038-01-19 03:14:07'", "'2026-02-28 23:59:59.0001'", "'ab  '", "'\u00e9\u20ac\U0001f600'",
     "'\u20ac\u00e9 '", "'a \u00df \u4e2d\u6587 '", "'latin \u0152\u00fc '", "'tiny \\0 text'", "REPEAT('\u00e4', 300)",
     "x'00ff'", "x'00ff00'", "x''", "REPEAT(x'00fe', 300)", "'\u00e9'", "'m300'", "'x,z'", "'s1,s40'",
     "ST_GeomFromText('POINT(1.5 -2.25)')"],
    ["3", "127", "0", "32767", "0", "8388607", "0", "2147483647", "0", "9223372036854775807", "0", "0.00", "-0.000000000000000000000000000001",
     "0.00001", "99999999999999999999", "-3.4028234e38", "-1.7976931348623157e308", "0", "0", "0", "1901", "'0000-00-00'",
     "'00:00:00'", "'-838:59:59.000'", "'-00:00:00.000001'", "'0000-00-00 00:00:00'", "'2000-02-29 12:00:00.0'",
     "'0000-00-00 00:00:00.000000'", "'0000-00-00 00:00:00'", "'1970-01-01 00:00:01.0000'", "''", "'  lead'", "''", "''", "''", "''", "''",
     "x''", "x''", "x'00'", "x''", "'a'", "'m1'", "''", "''", "ST_GeomFromText('LINESTRING(0 0,1 1,2 0)')"],
    ["4", "0", "1", "-1", "1", "-1", "1", "-1", "1", "-1", "1", "12.34", "1", "0", "-1", "1.17549e-38", "5e-324", "1", "256",
     "9223372036854775808", "0", "'2024-02-29'", "'-12:34:56'", "'12:34:56.789'", "'-12:34:56.789012'", "'1969-12-31 23:59:59'",
     "'2026-11-28 01:02:03.1'", "'2026-11-28 01:02:03.123456'", "'1970-01-01 00:00:01'", "'2037-12-31 23:59:59.9999'", "'\u00e4'", "REPEAT('\u20ac', 100)",
     "'abcde'", "REPEAT('\u4e2d', 20)", "REPEAT('x', 300)", "REPEAT('z', 255)", "'short'", "REPEAT(x'61', 8)",
     "REPEAT(x'00', 20)", "REPEAT('b', 255)", "'blob'", "'b c'", "'m256'", "'x,y,z'", "'s9,s17,s33'", "ST_GeomFromText('POINT(0 0)', 4326)"],
]
DOUBLES = ["1e15", "1e14", "123456789012345680000", "1e-14", "1e-15", "1e-16", "0.30000000000000004", "2.5", "-0e0", "1e22", "1e23",
           "9007199254740993", "5.684341886080802e-14", "4.9406564584124654e-324", "2.2250738585072014e-308", "2.225073858507201e-308",
           "100", "123456.789", "1.5e300", "9.5367431640625e-7", "999999999999999.9", "99999999999999.98", "7.450580596923828e-9"]

CHARSETS = {
    "latin1": "\u20ac\u201a\u0192\u2122\u0178 caf\u00e9 \u0081", "latin2": "\u0104\u02d8\u0141\u00e9", "latin5": "\u011e\u0130\u015f", "latin7": "\u0104\u012e\u0100\u0106",
    "greek": "\u03b1\u03b2\u03b3\u03a9", "hebrew": "\u05d0\u05d1\u05ea", "koi8r": "\u041f\u0440\u0438\u0432\u0435\u0442", "koi8u": "\u0404\u0407\u0491",
    "cp1250": "\u0160\u017d\u0142", "cp1251": "\u0416\u0451\u2116", "cp1256": "\u0633\u0644\u0627\u0645", "cp1257": "\u0161\u017e\u0173", "cp850": "\u00e4\u2551\u2592",
    "cp852": "\u0158\u010f", "cp866": "\u0416\u2591\u0451", "macce": "\u0104\u0119", "macroman": "\u03c0\u2211\u00c5", "dec8": "\u00e9\u0152", "hp8": "\u00c0\u0178",
    "armscii8": "\u0531\u0532", "tis620": "\u0e01\u0e02", "geostd8": "\u10d0\u10d1", "swe7": "\u00e5\u00c4\u00d6\u00e9", "big5": "\u4e2d\u6587\u5b57",
    "gb2312": "\u4e2d\u6587", "gbk": "\u4e2d\u6587\u4e02", "euckr": "\ud55c\uad6d\uc5b4", "ujis": "\u65e5\u672c\u8a9e\uff76\u4e02", "eucjpms": "\u65e5\u672c\u8a9e\u2460",
    "sjis": "\u65e5\u672c\u8a9e\uff76\\", "cp932": "\u65e5\u672c\u8a9e\u2460\uff5e\\", "ucs2": "a\u4e2d", "utf16": "a\u4e2d\U0001f600", "utf16le": "a\u4e2d\U0001f600",
    "utf32": "a\u4e2d\U0001f600", "utf8": "a\u4e2d", "utf8mb4": "a\u4e2d\U0001f600", "ascii": "abc",
}

DOCUMENTS = [
    "'null'", "'true'", "'[]'", "'{}'", "'[1, -1, 32767, -32768, 65535, 32768, 2147483647, -2147483648, 4294967295, 9223372036854775807, "
    "-9223372036854775808, 18446744073709551615, 1.5, 1e30, 0.1]'",
    "'{\"b\": 1, \"a\": {\"x\": [null, true, false]}, \"longer key\": \"v\", \"\": \"empty\"}'",
    "JSON_OBJECT('s', 'quote \" back \\\\ slash / tab \\t nl \\n cr \\r bs \\b ff \f bell \x07 del \x7f \u00e9\U0001f600')",
    "JSON_ARRAY(CAST('2026-11-28' AS DATE), CAST('-12:34:56.5' AS TIME(6)), CAST('2026-11-28 01:02:03.000004' AS DATETIME(6)), "
    "CAST(1.50 AS DECIMAL(10,2)), CAST(-0.000001 AS DECIMAL(10,6)), x'00ff41', CAST(1 AS UNSIGNED), 1e0, -0e0, 1e15, 1e-20)",
    "JSON_ARRAY(REPEAT(x'01', 100), b'101')",
    "JSON_OBJECT('long', REPEAT('x', 70000), 'i', 70000, 'u', 3000000000, 's', 1, 'n', null)",
    "JSON_ARRAY(REPEAT('y', 300))",
    "CONCAT('[', REPEAT('[', 90), REPEAT(']', 90), ', 1]')",
    "JSON_ARRAY((SELECT ts0 FROM types WHERE id = 2), (SELECT y FROM types WHERE id = 2), (SELECT b9 FROM types WHERE id = 2), "
    "(SELECT e FROM types WHERE id = 2), (SELECT f FROM types WHERE id = 2), (SELECT bn FROM types WHERE id = 2), "
    "(SELECT lb FROM types WHERE id = 4))",
    "CAST(1.0e0 AS JSON)", "CAST(CAST('10:11:12' AS TIME) AS JSON)", "'\"just text\"'", "'123456789012345678901234567890'",
]

# A document and what is done to it in one UPDATE.
PATCHES = [
    ('{"a": 1, "b": [1, 2, 3], "c": {"d": "' + "x" * 200 + '"}}', [
        "JSON_SET(j, '$.a', 2)", "JSON_SET(j, '$.b[1]', 'two')", "JSON_SET(j, '$.b[7]', 'appended')", "JSON_SET(j, '$.e', CAST('[1, {}]' AS JSON))",
        "JSON_REMOVE(j, '$.b[0]')", "JSON_REMOVE(j, '$.c.d')", "JSON_REPLACE(j, '$.e[1]', JSON_OBJECT('z', null))",
        "JSON_SET(j, '$.\"a b\"', 1, '$.\"q\\\\\"uote\"', 2, '$.\"\u00e9\"', 3)", "JSON_SET(j, '$.a[0]', 'itself')", "JSON_SET(j, '$.b[last]', 'l')",
        "JSON_REMOVE(j, '$.b[last-1]')", "JSON_SET(j, '$.e[1].zz', 1, '$.e[1].a', 2)", "JSON_REMOVE(j, '$.nothing')",
        "JSON_SET(JSON_REMOVE(j, '$.a'), '$.a', REPEAT('y', 300))", "JSON_SET(j, '$', CAST('[1]' AS JSON))", "JSON_SET(j, '$[3]', 4)", "JSON_SET(j, '$.new', 4)",
    ]),
]


def fnv(data: bytes, start: int = 0xCBF29CE484222325) -> int:
    for byte in data:
        start = (start ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return start


SHAPES = ["POINT(1 2)", "LINESTRING(0 0,1 1,2 0)", "POLYGON((0 0,0 3,3 3,3 0,0 0),(1 1,1 2,2 2,2 1,1 1))", "MULTIPOINT((0 0),(1 1))",
          "MULTILINESTRING((0 0,1 1),(2 2,3 3))", "MULTIPOLYGON(((0 0,0 1,1 1,1 0,0 0)))", "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))"]


class Recorder:
    def __init__(self, name: str, socket: str) -> None:
        self.name, self.socket, self.lines = name, socket, []
        self.json = name != "mariadb"
        self.modern, self.packed = name.startswith("mysql97"), name == "mysql97_packed"
        self.setup = ("SET NAMES utf8mb4; SET time_zone = '+00:00'; SET sql_mode = 'NO_ENGINE_SUBSTITUTION'; "
                      "SET SESSION binlog_row_image = FULL; CREATE DATABASE IF NOT EXISTS rec; USE rec; ")

    def ask(self, sql: str) -> list[list[str]]:
        done = subprocess.run(["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "--batch", "--skip-column-names",
                               "--default-character-set=utf8mb4"], input=self.setup + sql, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{sql[:300]}\n{done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    @staticmethod
    def word(v: str) -> str:
        if len(v) > 200:
            return f"#{len(v) // 2}:{fnv(bytes.fromhex(v)):x}"
        return "-" if v == "NULL" else "." if v == "" else v.lower()

    def rows(self, table: str, columns: list, where: str = "1") -> list[str]:
        picks = ", ".join((DBL if self.modern and t in ("float", "double") else how).format(f"`{c}`") for c, t, how in columns)
        return [" ".join(map(self.word, r)) for r in self.ask(f"SELECT {picks} FROM {table} WHERE {where} ORDER BY id")]

    def create(self, table: str, columns: list) -> None:
        self.ask(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (" + ", ".join(f"`{c}` {t}" for c, t, _ in columns) + ") ENGINE=InnoDB")
        self.typed(table)

    def typed(self, table: str) -> None:
        """The columns' types, where the log is of a server whose texts have them."""
        if self.modern:
            types = self.ask("SELECT COLUMN_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS "
                             f"WHERE TABLE_SCHEMA = 'rec' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION")
            self.lines.append(f"T {table} " + "|".join(t if cs == "NULL" else f"{t} charset {cs}" for t, cs in types))

    def inserted(self, table: str, columns: list, where: str = "1") -> None:
        self.lines += [f"I {table} {r}" for r in self.rows(table, columns, where)]

    def updated(self, table: str, columns: list, where: str, sql: str, prefix: str = "") -> None:
        old = self.rows(table, columns, where)
        self.ask(prefix + sql)
        self.lines += [f"U {table} {a} > {b}" for a, b in zip(old, self.rows(table, columns, where)) if a != b]

    def deleted(self, table: str, columns: list, where: str) -> None:
        old = self.rows(table, columns, where)
        self.ask(f"DELETE FROM {table} WHERE {where} ORDER BY id")
        self.lines += [f"D {table} {r}" for r in old]

    def types(self) -> None:
        self.create("types", TYPES)
        self.ask("INSERT INTO types VALUES " + ", ".join("(" + ", ".join(r) + ")" for r in ROWS))
        self.inserted("types", TYPES)
        self.updated("types", TYPES, "id > 2", "UPDATE types SET ti = 5, vc = NULL, d1 = -1.5, bn = x'01', t6 = '-00:59:59.5' WHERE id > 2")
        doubles = [("id", "int primary key", NUM), ("v", "double", NUM), ("f", "float", FLT)]
        self.create("doubles", doubles)
        self.ask("INSERT INTO doubles VALUES " + ", ".join(
            f"({n}, {v}, {v if abs(float(v)) < 3e38 else 1})" for n, v in enumerate(DOUBLES)))
        self.inserted("doubles", doubles)

    def charsets(self) -> None:
        have = {r[0] for r in self.ask("SHOW CHARACTER SET")}
        columns = [("id", "int primary key", NUM)]
        columns += [(c, f"varchar(20) charset {c}", TXT) for c in CHARSETS if c in have or (c == "utf8" and "utf8mb3" in have)]
        self.create("charsets", columns)
        self.ask("INSERT INTO charsets VALUES (1, " + ", ".join("'" + CHARSETS[c].replace("\\", "\\\\") + "'" for c, _, _ in columns[1:]) + ")")
        self.ask("INSERT INTO charsets (id, sjis, ucs2) VALUES (2, 'plain ', '')")
        self.inserted("charsets", columns)
        self.columns = [c for c, _, _ in columns[1:]]

    def documents(self) -> None:
        columns = [("id", "int primary key", NUM), ("j", "json", JSN)]
        self.create("documents", columns)
        for n, d in enumerate(DOCUMENTS):
            self.ask(f"INSERT INTO documents VALUES ({n}, {d})")
        self.inserted("documents", columns)

    def images(self) -> None:
        columns = [("id", "int primary key", NUM), ("a", "int default 7", NUM), ("b", "blob", BIN), ("c", "varchar(10) charset latin1", TXT),
                   ("d", "text charset utf8mb4", TXT)]
        self.create("images", columns)
        if self.name in ("mysql80", "mariadb"):  # table maps with the columns' names
            metadata = self.ask("SELECT @@GLOBAL.binlog_row_metadata; SET GLOBAL binlog_row_metadata = FULL")[0][0]
        for image, keep_old in (("MINIMAL", {"id"}), ("NOBLOB", {"id", "a", "c"})):
            prefix = f"SET SESSION binlog_row_image = {image}; "
            minimal = image == "MINIMAL"

            def left_out(row: str, keep: set) -> str:
                return " ".join(v if c in keep else "~" for (c, _, _), v in zip(columns, row.split()))

            self.ask(prefix + "INSERT INTO images (id, c, d) VALUES (1, 'c', 'd'), (2, NULL, NULL)")
            self.lines += [f"I images {left_out(r, {'id', 'c', 'd'} if minimal else {c for c, _, _ in columns} - {'b'})}"
                           for r in self.rows("images", columns)]
            self.ask(prefix + "UPDATE images SET a = 8 WHERE id = 1")
            first = self.rows("images", columns, "id = 1")[0]
            old = " ".join("37" if c == "a" else v for (c, _, _), v in zip(columns, first.split()))
            self.lines.append(f"U images {left_out(old, keep_old)} > {left_out(first, {'a'} if minimal else keep_old)}")
            self.ask(prefix + "UPDATE images SET d = 'dd', b = x'00' WHERE id = 1")
            old, first = first, self.rows("images", columns, "id = 1")[0]
            self.lines.append(f"U images {left_out(old, keep_old)} > {left_out(first, {'b', 'd'} if minimal else keep_old | {'b', 'd'})}")
            both = self.rows("images", columns)
            self.ask(prefix + "DELETE FROM images ORDER BY id")
            self.lines += [f"D images {left_out(r, keep_old)}" for r in both]
        if self.name in ("mysql80", "mariadb"):
            self.ask(f"SET GLOBAL binlog_row_metadata = {metadata}")

    def patches(self) -> None:
        columns = [("id", "int primary key", NUM), ("other", "json", JSN), ("j", "json", JSN), ("t", "varchar(10)", TXT)]
        self.create("patches", columns)
        for n, (document, changes) in enumerate(PATCHES):
            self.ask(f"INSERT INTO patches VALUES ({n}, '{{}}', '{document}', 'x')")
            self.inserted("patches", columns, f"id = {n}")
            for change in changes:
                self.updated("patches", columns, f"id = {n}", f"UPDATE patches SET j = {change} WHERE id = {n}",
                             "SET SESSION binlog_row_value_options = PARTIAL_JSON; ")
        document = '{"a": 1, "long": "' + "z" * 100 + '"}'
        self.updated("patches", columns, "id = 0", f"UPDATE patches SET j = CAST('{document}' AS JSON) WHERE id = 0")
        # Without the old document a change to it cannot be put together.
        self.ask("SET SESSION binlog_row_value_options = PARTIAL_JSON; SET SESSION binlog_row_image = MINIMAL; "
                 "UPDATE patches SET j = JSON_SET(j, '$.a', 2) WHERE id = 0")
        self.lines.append("U patches 30 ~ ~ ~ > ~ ~ ~ ~ partial")

    def compressed(self) -> None:
        columns = [("id", "int primary key", NUM), ("t", "text charset utf8mb4", TXT)]
        self.create("packed", columns)
        on = "SET GLOBAL log_bin_compress = 1; SET GLOBAL log_bin_compress_min_len = 10; "
        self.ask(on + "INSERT INTO packed VALUES (1, REPEAT('abc', 1000)), (2, 'x')")
        self.inserted("packed", columns)
        self.updated("packed", columns, "1", "UPDATE packed SET t = REPEAT('z', 500)")
        self.deleted("packed", columns, "1")
        self.ask("CREATE TABLE after_packed (id int, t varchar(100) DEFAULT '" + "long " * 20 + "')")
        self.ask("SET GLOBAL log_bin_compress = 0")

    def addresses(self) -> None:
        columns = [("id", "int primary key", NUM), ("u", "uuid", NUM), ("six", "inet6", NUM), ("four", "inet4", NUM)]
        self.create("addresses", columns)
        values = [("123e4567-e89b-12d3-a456-426655440000", "2001:db8::ff00:42:8329", "10.0.0.1"),
                  ("123e4567-e89b-42d3-a456-426655440020", "::", "0.0.0.0"), ("00000000-0000-0000-0000-000000000000", "::1", "255.255.255.255"),
                  ("ffffffff-ffff-ffff-ffff-ffffffffffff", "::ffff:1.2.3.4", "1.2.3.32"), ("018e4567-e89b-7000-8456-426655440000", "::1.2.3.4", "1.0.0.0"),
                  ("e89b4567-0000-1000-8000-000000000001", "::1:0", "0.0.0.1"), ("20202020-2020-2020-2020-202020202020", "1::", "32.32.32.32"),
                  ("123e4567-e89b-62d3-a456-426655440000", "1:0:0:2:0:0:0:3", "0.1.0.0"), ("123e4567-e89b-32d3-a456-426655440000", "1:0:2:3:4:5:6:7", "9.9.9.9"),
                  ("123e4567-e89b-82d3-a456-426655440000", "fe80::ABCD:0:0:0", "9.9.9.9"), ("123e4567-e89b-82d3-c456-426655440000", "0:0:0:0:0:0:1:1", "9.9.9.9"),
                  ("123e4567-e89b-12d3-0456-426655440000", "2020:2020:2020:2020:2020:2020:2020:2020", "9.9.9.9"),
                  ("123e4567-e89b-12d3-e456-426655440000", "1:0:0:2:3:0:0:4", "9.9.9.9")]
        self.ask("INSERT INTO addresses VALUES " + ", ".join(f"({n}, '{u}', '{s}', '{f}')" for n, (u, s, f) in enumerate(values)))
        self.inserted("addresses", columns)

    def compressed_columns(self) -> None:
        columns = [("id", "int primary key", NUM), ("a", "varchar(2000) charset latin1 compressed", TXT), ("b", "varchar(254) charset latin1 compressed", TXT),
                   ("c", "varchar(255) charset latin1 compressed", TXT), ("d", "varbinary(300) compressed", BIN), ("e", "mediumblob compressed", BIN),
                   ("f", "text charset utf8mb4 compressed", TXT), ("g", "tinytext charset utf8mb4 compressed", TXT)]
        self.create("columns", columns)
        for wrap in (0, 1):
            self.ask(f"SET column_compression_zlib_wrap = {wrap}; INSERT INTO columns VALUES ({3 * wrap}, REPEAT('abé', 256), REPEAT('x', 254), "
                     f"REPEAT('y', 255), REPEAT('z', 300), REPEAT('abc', 60000), REPEAT('€', 200), REPEAT('ä', 100)), "
                     f"({3 * wrap + 1}, 'shört', '', 'x', x'00ff', x'00', '€', ''), ({3 * wrap + 2}, NULL, NULL, '', '', '', '', NULL)")
        self.inserted("columns", columns)

    def old_times(self) -> None:
        columns = [("id", "int primary key", NUM), ("t", "time", NUM), ("dt", "datetime", NUM), ("ts", "timestamp null", NUM)]
        self.ask("SET GLOBAL mysql56_temporal_format = OFF")
        self.create("old_times", columns)
        self.ask("INSERT INTO old_times VALUES (1, '-838:59:59', '9999-12-31 23:59:59', '2038-01-19 03:14:07'), (2, '00:00:00', 0, 0), "
                 "(3, '-00:00:01', '1000-01-01 00:00:01', '1970-01-01 00:00:01'), (4, '23:59:59', '2024-02-29 12:34:56', '2026-11-28 01:02:03')")
        self.inserted("old_times", columns)
        self.ask("SET GLOBAL mysql56_temporal_format = ON")

    # ---- what only newer servers have ----

    def shapes(self) -> None:
        columns = [("id", "int primary key", NUM)] + [(n, t, BIN) for n, t in (
            ("g", "geometry"), ("p", "point srid 4326"), ("l", "linestring"), ("o", "polygon"), ("mp", "multipoint"), ("ml", "multilinestring"),
            ("mo", "multipolygon"), ("gc", "geometrycollection"))]
        self.create("shapes", columns)
        for n, shape in enumerate(SHAPES):
            self.ask(f"INSERT INTO shapes VALUES ({n}, ST_GeomFromText('{shape}'), ST_GeomFromText('POINT({n}.5 -{n})', 4326), "
                     + ", ".join(f"ST_GeomFromText('{s}')" for s in SHAPES[1:]) + ")")
        self.inserted("shapes", columns)

    def vectors(self) -> None:
        columns = [("id", "int primary key", NUM), ("v", "vector(3)", BIN), ("i", "int unsigned", NUM), ("w", "vector", BIN), ("one", "vector(1) not null", BIN)]
        self.create("vectors", columns)
        self.ask("INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, -2.5, 3e-20]'), 4294967295, NULL, STRING_TO_VECTOR('[0]')), "
                 "(2, STRING_TO_VECTOR('[7]'), 0, STRING_TO_VECTOR(CONCAT('[', REPEAT('0.1,', 2047), '1]')), STRING_TO_VECTOR('[-0]'))")
        self.inserted("vectors", columns)
        self.updated("vectors", columns, "1", "UPDATE vectors SET v = NULL, w = STRING_TO_VECTOR('[1,2]'), i = i - 0")
        self.deleted("vectors", columns, "1")

    def hidden(self) -> None:
        """Columns that SELECT * does not show: invisible, generated, the key that the server makes, those behind an index on an expression."""
        columns = [("my_row_id", "", NUM), ("y", "year", NUM), ("u", "int unsigned invisible default 4000000000", NUM),
                   ("s", "bigint generated always as (u + 1) stored invisible", NUM), ("v", "varchar(20) generated always as (concat('<', t, '>')) virtual", TXT),
                   ("t", "varchar(10) charset latin1 default 'déf'", TXT)]
        self.ask("SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE hidden (" + ", ".join(f"`{c}` {t}" for c, t, _ in columns[1:])
                 + ", KEY k ((u * 2)), KEY l ((upper(t))))")
        self.typed("hidden")
        self.ask("INSERT INTO hidden (y) VALUES (2026), (1901); INSERT INTO hidden (y, u, t) VALUES (2155, 0, 'x')")
        order = self.rows
        self.rows = lambda table, columns, where="1": order(f"(SELECT *, my_row_id, u, s, my_row_id id FROM {table}) x", columns, where)
        self.inserted("hidden", columns)
        self.updated("hidden", columns, "1", "UPDATE hidden SET u = 7, t = 'z' WHERE y = 2155")
        self.rows = order

    def instant(self) -> None:
        """A row keeps the form of the version it was written under; the log has the one of the moment."""
        base = [("id", "int primary key", NUM), ("a", "int unsigned", NUM), ("b", "varchar(10) charset utf8mb4", TXT)]
        added = [base[0], ("n", "bigint default -5", NUM), base[1], base[2], ("z", "enum('k','l') charset latin1 default 'l'", TXT)]
        dropped = [added[0], added[1], added[3], added[4]]
        self.create("instant", base)
        self.ask("INSERT INTO instant VALUES (1, 4294967295, 'one'), (2, NULL, NULL)")
        self.inserted("instant", base)
        self.ask("ALTER TABLE instant ADD COLUMN n bigint DEFAULT -5 AFTER id, ADD COLUMN z enum('k','l') CHARSET latin1 DEFAULT 'l', ALGORITHM=INSTANT")
        self.typed("instant")
        self.updated("instant", added, "id = 1", "UPDATE instant SET b = 'two' WHERE id = 1")
        self.ask("INSERT INTO instant (id, z) VALUES (3, 'k')")
        self.inserted("instant", added, "id = 3")
        self.ask("ALTER TABLE instant DROP COLUMN a, ALGORITHM=INSTANT")
        self.typed("instant")
        self.updated("instant", dropped, "1", "UPDATE instant SET n = 0")
        self.deleted("instant", dropped, "1")

    def tags(self) -> None:
        columns = [("id", "int primary key", NUM)]
        self.create("tagged", columns)
        self.ask("SET gtid_next = 'AUTOMATIC:blue'; INSERT INTO tagged VALUES (1); INSERT INTO tagged VALUES (2); "
                 "SET gtid_next = 'AUTOMATIC:a_tag_of_32_characters_00000000'; INSERT INTO tagged VALUES (3)")
        self.ask("SET gtid_next = 'ffffffff-00ff-80ff-7fff-fffefdfcfbfa:blue:9223372036854775806'; INSERT INTO tagged VALUES (4); "
                 "SET gtid_next = '00000000-0000-0000-0000-000000000001:_:129'; INSERT INTO tagged VALUES (5); "
                 "SET gtid_next = '00000000-0000-0000-0000-000000000001:2'; INSERT INTO tagged VALUES (6)")
        self.inserted("tagged", columns)
        self.ask("SET gtid_next = 'AUTOMATIC:ddl'; CREATE TABLE tagged_too (id int)")

    def large(self) -> None:
        """A transaction of many events, some larger than what is decompressed at once, and one that does not become smaller."""
        columns = [("id", "int primary key", NUM), ("t", "longtext charset utf8mb4", TXT), ("b", "longblob", BIN)]
        self.create("large", columns)
        self.ask("INSERT INTO large WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 60) "
                 "SELECT i, REPEAT(CONCAT(i, 'ä,'), 400 * i), REPEAT(CHAR(i), i) FROM n; INSERT INTO large VALUES (1000, REPEAT('x', 1000000), '')")
        self.inserted("large", columns)
        self.ask("INSERT INTO large VALUES (2000, NULL, " + "".join(f"CONCAT(RANDOM_BYTES(1000), " for _ in range(8)) + "x'00'" + ")" * 8 + ")")
        self.inserted("large", columns, "id = 2000")
        self.ask("START TRANSACTION; DELETE FROM large WHERE id = 1; INSERT INTO xa_t VALUES (9); DELETE FROM xa_t WHERE id = 9; COMMIT; DROP TABLE large")
        self.lines += ["D large " + " ".join([b"1".hex(), self.word(("1ä," * 400).encode().hex()), "01"]), "I xa_t 39", "D xa_t 39"]

    def others(self) -> None:
        if self.modern:
            self.lines += ["T xa_t int", "T myisam_t int"]
        self.ask("CREATE TABLE xa_t (id int primary key); XA START 'g','b',3; INSERT INTO xa_t VALUES (1); XA END 'g','b',3; XA PREPARE 'g','b',3; "
                 "XA COMMIT 'g','b',3")
        self.lines.append("I xa_t 31")
        self.ask("CREATE TABLE myisam_t (id int) ENGINE=MyISAM; INSERT INTO myisam_t VALUES (1), (2); TRUNCATE myisam_t")
        self.lines += ["I myisam_t 31", "I myisam_t 32"]

    def newer(self) -> None:
        self.shapes()
        self.vectors()
        self.hidden()
        self.instant()
        self.tags()
        if self.packed:
            self.large()

    def reset(self) -> None:
        self.ask("RESET BINARY LOGS AND GTIDS; SET GLOBAL binlog_row_metadata = FULL; "
                 f"SET GLOBAL binlog_transaction_compression = {int(self.packed)}" if self.modern else "RESET MASTER")
        self.ask("DROP DATABASE rec")

    def record(self) -> None:
        self.reset()
        self.types()
        self.charsets()
        if self.json and self.name != "mysql97":
            self.documents()
        self.images()
        if self.name in ("mysql80", "mysql97_packed"):
            self.patches()
        if self.name == "mariadb":
            self.compressed()
            self.addresses()
            self.old_times()
            self.compressed_columns()
        self.others()
        if self.modern:
            self.newer()
        basename = self.ask("SELECT @@log_bin_basename")[0][0]
        executed = self.ask(("SELECT REPLACE(@@global.gtid_executed, '\\n', ''); " if self.modern else "") + "FLUSH BINARY LOGS")
        self.lines += ["G " + e[0] for e in executed]
        self.write(Path(DATADIR + basename + ".000001").read_bytes())

    def write(self, log: bytes) -> None:
        (HERE / f"{self.name}.bin").write_bytes(log)
        (HERE / f"{self.name}.txt").write_text("C " + " ".join(self.columns) + "\n" + "\n".join(self.lines) + "\n")

    # ---- packets, as a replica gets them ----

    def wire(self) -> None:
        self.columns = []
        self.reset()
        columns = [("id", "int primary key", NUM)]
        self.ask("CREATE TABLE earlier (id int)")
        self.create("tagged", columns)
        seen = self.ask("SELECT REPLACE(@@global.gtid_executed, '\n', '')")[0][0]
        self.ask("SET gtid_next = 'AUTOMATIC:blue'; INSERT INTO tagged VALUES (1); FLUSH BINARY LOGS")
        self.inserted("tagged", columns)
        file, position = self.ask("SHOW BINARY LOG STATUS")[0][:2]
        log = b""
        for flags in (0, 2):  # 2: heartbeats of version 2
            log += until_heartbeat(Replica(self.socket).dump(flags, seen), file.encode())
        self.lines = [self.lines[0], *([self.lines[1], f"N {file} {position}"] * 2)]
        self.write(b"\xfebin" + log)


def until_heartbeat(packets, file: bytes) -> bytes:
    """Some come before, while the server passes over what was seen; one at the end of the last file."""
    log, events = b"", 0
    for packet in packets:
        log += packet
        events += packet[4] == 35
        if packet[4] in (27, 41) and file in packet and events > 1:
            return log
    raise SystemExit("the server ended the stream")


class Replica:
    """A connection of the protocol's own, as root without a password."""

    def __init__(self, path: str) -> None:
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(path)
        self.packet()
        # PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH
        self.send(struct.pack("<IIB23x", 0x200 | 0x8000 | 0x80000, 1 << 24, 45) + b"root\0\0caching_sha2_password\0", 1)
        while (answer := self.packet())[0] != 0:
            if answer[0] == 0xFF:
                raise SystemExit(answer[9:].decode())

    def send(self, body: bytes, number: int = 0) -> None:
        self.s.sendall(struct.pack("<I", len(body))[:3] + bytes([number]) + body)

    def take(self, n: int) -> bytes:
        got = b""
        while len(got) < n:
            got += self.s.recv(n - len(got)) or sys.exit("the server has gone")
        return got

    def packet(self) -> bytes:
        head = self.take(4)
        return self.take(int.from_bytes(head[:3], "little"))

    def dump(self, flags: int, seen: str):
        """Every event, without the byte before it."""
        self.send(b"\x03SET @source_binlog_checksum = @@global.binlog_checksum, @source_heartbeat_period = 1000000000, "
                  b"@replica_uuid = '00000000-0000-4000-8000-000000000009'")
        if self.packet()[0] != 0:
            raise SystemExit("SET failed")
        uuid, _, interval = seen.partition(":")
        last = int(interval.rpartition("-")[2])
        encoded = struct.pack("<Q16sQQQ", 1, bytes.fromhex(uuid.replace("-", "")), 1, 1, last + 1)
        self.send(b"\x1e" + struct.pack("<HIIQI", flags, 9, 0, 4, len(encoded)) + encoded)
        while True:
            packet = self.packet()
            if packet[0] != 0:
                raise SystemExit(packet[9:].decode())
            yield packet[1:]


ONE_BYTE = ("latin1 latin2 latin5 latin7 greek hebrew koi8r koi8u cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 macce macroman dec8 hp8 "
            "tis620 armscii8 geostd8 swe7").split()
TWO_BYTES = "big5 gb2312 gbk gb18030 euckr ujis eucjpms sjis cp932".split()


def characters(recorder: Recorder, name: str):
    """Every code of up to three bytes that the server takes as one character: its bytes, and its UTF-8 or "!" where it has no meaning."""
    codes = [bytes([a]) for a in range(256 if name in ONE_BYTE or name in ("sjis", "cp932") else 128)]
    if name in TWO_BYTES:
        codes += [bytes([a, b]) for a in range(0x80, 0x100) for b in range(0x30, 0x100)]
    if name in ("ujis", "eucjpms"):
        codes += [bytes([0x8F, a, b]) for a in range(0xA1, 0xFF) for b in range(0xA1, 0xFF)]
    for at in range(0, len(codes), 2000):
        some = codes[at:at + 2000]
        answers = recorder.ask("".join(
            f"SELECT HEX(CONVERT(t USING utf8mb4)), HEX(t), CHAR_LENGTH(t) FROM (SELECT CONVERT(x'{c.hex()}' USING {name}) t) x;" for c in some))
        for code, (utf8, back, length) in zip(some, answers):
            if length == "1" and bytes.fromhex(back) == code:
                text = bytes.fromhex(utf8)
                yield code, b"!" if text == b"?" != code or text == "\ufffd".encode() else text


def record_charsets(recorder: Recorder) -> None:
    lines = []
    for name in ONE_BYTE + TWO_BYTES:
        digest, ranges = fnv(b""), []
        for code, text in characters(recorder, name):
            digest = fnv(code + text, digest)
            number = int.from_bytes(code, "big")
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        lines.append(f"{name} {digest:x} " + " ".join(f"{a:x}-{b:x}" for a, b in ranges))
    (HERE / "charsets.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__" and sys.argv[1] == "charsets":
    record_charsets(Recorder("mysql80", sys.argv[2]))
elif __name__ == "__main__" and sys.argv[1] == "mysql97_wire":
    Recorder(sys.argv[1], sys.argv[2]).wire()
elif __name__ == "__main__":
    Recorder(sys.argv[1], sys.argv[2]).record()
