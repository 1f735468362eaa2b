"""awkward.py for MySQL and MariaDB: a schema of every type that 5.7, 8.0 and MariaDB know, rows with their extremes, and
changes of every kind. All of it follows from the seed."""
from __future__ import annotations

import random
import re

import MySQLdb

from .awkward import AwkwardLoad
from .mysql_servers import MysqlDatabase, ident, run

# column → (type, literals). One row takes one of each; NULL is added to all that may be NULL.
TYPES = {
    "c_tiny": ("tinyint", ["-128", "127", "0"]),
    "c_utiny": ("tinyint unsigned", ["255", "0"]),
    "c_bool": ("tinyint(1)", ["true", "false", "7"]),
    "c_small": ("smallint", ["-32768", "32767"]),
    "c_usmall": ("smallint unsigned", ["65535", "0"]),
    "c_medium": ("mediumint", ["-8388608", "8388607", "-1"]),
    "c_umedium": ("mediumint unsigned", ["16777215"]),
    "c_int": ("int", ["-2147483648", "2147483647", "0"]),
    "c_uint": ("int unsigned", ["4294967295", "0"]),
    "c_zero": ("int(6) unsigned zerofill", ["42", "4294967295"]),
    "c_big": ("bigint", ["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    "c_ubig": ("bigint unsigned", ["18446744073709551615", "9223372036854775808", "0"]),
    "c_dec": ("decimal(20,5)", ["123456789012345.12345", "-0.00001", "1.50000", "-999999999999999.99999"]),
    "c_dec65": ("decimal(65,30)", ["'99999999999999999999999999999999999.999999999999999999999999999999'", "-0.000000000000000000000000000001"]),
    "c_udec": ("decimal(5,0) unsigned", ["99999", "0"]),
    "c_float": ("float", ["0.1", "-0e0", "3.4028234e38", "1.17549435e-38", "1e-45", "16777216"]),
    "c_float_md": ("float(7,3)", ["1234.567", "-0.001"]),
    "c_double": ("double", ["0.1", "-0e0", "1.7976931348623157e308", "4.9406564584124654e-324", "2.2250738585072011e-308", "9007199254740993"]),
    "c_bit1": ("bit(1)", ["b'1'", "b'0'"]),
    "c_bit11": ("bit(11)", ["b'10101010101'", "b'0'"]),
    "c_bit64": ("bit(64)", ["0xFFFFFFFFFFFFFFFF", "0x8000000000000000", "b'1'"]),
    "c_year": ("year", ["1901", "2155", "0", "2026"]),
    "c_date": ("date", ["'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2020-00-00'", "'2020-02-00'", "'2000-02-29'", "'0001-01-01'"]),
    "c_time": ("time", ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    "c_time6": ("time(6)", ["'-00:00:00.000001'", "'838:59:58.999999'", "'12:34:56.789000'"]),
    "c_time3": ("time(3)", ["'-12:00:00.001'", "'01:02:03.120'"]),
    "c_dt": ("datetime", ["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2020-00-00 01:02:03'"]),
    "c_dt6": ("datetime(6)", ["'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'", "'0000-00-00 00:00:00.000000'"]),
    "c_dt2": ("datetime(2)", ["'2020-01-01 00:00:00.10'"]),
    "c_ts": ("timestamp NULL", ["'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-03-31 01:30:00'"]),
    "c_ts6": ("timestamp(6) NULL", ["'2038-01-19 03:14:07.999999'", "'1970-01-01 00:00:01.000001'", "'0000-00-00 00:00:00'"]),
    "c_ts3": ("timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)", ["'2020-10-25 00:30:00.123'", "DEFAULT"]),
    "c_char": ("char(10) CHARACTER SET utf8mb4", ["''", "'x'", "'ten chars!'", "'é漢🦩'", "'  lead'"]),
    "c_varchar": ("varchar(40) CHARACTER SET utf8mb4", ["''", "'trailing   '", "'🦩✓é漢'", "'NULL'", "'it''s \"q\" \\\\N \\0 \\n \\Z %_'", "'a\\0b'"]),
    "c_latin1": ("varchar(40) CHARACTER SET latin1", ["'é ß ÿ €'", "''", "0xA081FF01"]),
    "c_utf8": ("varchar(40) CHARACTER SET utf8", ["'é ✓ 漢'", "''"]),
    "c_sjis": ("varchar(40) CHARACTER SET sjis", ["'漢字カナ'", "'ｱｲｳ'", "'plain'"]),
    "c_ucs2": ("varchar(20) CHARACTER SET ucs2", ["'é ✓ 漢'", "'a'"]),
    "c_cp1251": ("varchar(20) CHARACTER SET cp1251 COLLATE cp1251_bin", ["'Привет'", "''"]),
    "c_ascii": ("char(5) CHARACTER SET ascii", ["'abc'", "''"]),
    "c_tinytext": ("tinytext CHARACTER SET utf8mb4", ["''", "repeat('é', 127)"]),
    "c_text": ("text CHARACTER SET latin1", ["repeat('long ', 3000)", "''"]),
    "c_medtext": ("mediumtext CHARACTER SET utf8mb4", ["repeat('漢', 5000)", "'{\"a\"}'"]),
    "c_longtext": ("longtext CHARACTER SET utf8mb4", ["concat('tab\\t nl\\n cr\\r bs\\\\', char(1 using utf8mb4))", "repeat(md5(7), 3000)"]),
    "c_binary": ("binary(8)", ["''", "0x00FF000000000000", "'abc'", "0x5C275C2200"]),
    "c_varbinary": ("varbinary(100)", ["''", "0x00", "0x00FF5C27220A0D09", "'x  '"]),
    "c_tinyblob": ("tinyblob", ["''", "0x00"]),
    "c_blob": ("blob", ["''", "repeat(0x00FF, 4000)", "unhex(md5(3))"]),
    "c_longblob": ("longblob", ["repeat(0x5C27, 40000)", "0x1A0A0D"]),
    "c_enum": ("enum('sad','it''s','é','','a b') CHARACTER SET utf8mb4", ["'sad'", "'é'", "''", "'it''s'", "5"]),
    "c_enum_l": ("enum('é','x') CHARACTER SET latin1", ["'é'", "'x'"]),
    "c_set": ("set('a','b','c d','é') CHARACTER SET utf8mb4", ["''", "'a,é'", "'a,b,c d,é'"]),
    "c_json": ("json", ["'null'", "'[]'", "'\"\"'", "'{\"b\": 1, \"a\": [true, null, -0.5, \"é🦩\"]}'", "'18446744073709551615'", "'[1e100, 0.1, -1, 2.5]'",
                        "concat('{\"k\": \"', repeat('z', 9000), '\"}')", "'{\"quo\\\\\"te\": \"\\\\\\\\ \\\\n\"}'"]),
    "c_geom": ("geometry", ["ST_GeomFromText('POINT(1 -0.5)')", "ST_GeomFromText('LINESTRING(0 0,1 1,2 0.1)')", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"]),
    "c_point": ("point", ["ST_GeomFromText('POINT(1e300 -1e-300)')"]),
    "c_poly": ("polygon", ["ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"]),
    "c_mpoint": ("multipoint", ["ST_GeomFromText('MULTIPOINT(0 0,1 1)')"]),
}
NOT_NULL = {"c_ts3"}

SCHEMA = f"""
CREATE TABLE types (id int PRIMARY KEY, {', '.join(f'{c} {t}' for c, (t, _) in TYPES.items())}) ROW_FORMAT=DYNAMIC DEFAULT CHARSET utf8mb4;
CREATE TABLE defaults (id int AUTO_INCREMENT PRIMARY KEY, a int NOT NULL DEFAULT 7, b varchar(10) NOT NULL DEFAULT 'it''s', c datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  d timestamp NOT NULL DEFAULT '0000-00-00 00:00:00', e date NOT NULL DEFAULT '0000-00-00', f bit(3) DEFAULT b'101', g decimal(5,2) DEFAULT 1.50, h varchar(5) DEFAULT NULL COMMENT 'none') COMMENT='it''s a table';
CREATE TABLE key_ci (k varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v text);
CREATE TABLE key_bin (k varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v text);
CREATE TABLE key_latin (k varchar(60) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, v int);
CREATE TABLE key_sjis (k char(20) CHARACTER SET sjis PRIMARY KEY, v int);
CREATE TABLE key_composite (a int, b varchar(20) CHARACTER SET utf8 COLLATE utf8_general_ci, c datetime(6), v text, PRIMARY KEY (a, b, c));
CREATE TABLE key_decimal (k decimal(30,10) PRIMARY KEY, v text);
CREATE TABLE key_varbinary (k varbinary(40) PRIMARY KEY, v text);
CREATE TABLE key_binary (k binary(16) PRIMARY KEY, v text);
CREATE TABLE key_ubig (k bigint unsigned PRIMARY KEY, v text);
CREATE TABLE key_date (k date, t time(3), v text, PRIMARY KEY (k, t));
CREATE TABLE key_ts (k timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), n int, v text, PRIMARY KEY (k, n));
CREATE TABLE key_enum (k enum('z','a','m') PRIMARY KEY, v text);
CREATE TABLE key_unique (a int NOT NULL, b varchar(20) NOT NULL, v text, UNIQUE KEY the_key (a, b));
CREATE TABLE key_only (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE nokey (a int, b varchar(20), c double);
CREATE TABLE nokey_index (a int, b text, KEY (a));
CREATE TABLE unique_nulls (id int PRIMARY KEY, u int, UNIQUE KEY (u));
CREATE TABLE swap (id int PRIMARY KEY, place int NOT NULL, v varchar(20), UNIQUE KEY place (place));
CREATE TABLE `gen` (id int PRIMARY KEY, base int, title varchar(40), doubled bigint GENERATED ALWAYS AS (base * 2) STORED, up varchar(50) GENERATED ALWAYS AS (upper(title)) VIRTUAL,
  KEY (doubled), KEY (up));
CREATE TABLE `Odd ``name`` é` (`I d` int PRIMARY KEY, `select` text, `qu'o"te` varchar(20), `ü` int, KEY `in dex` (`ü`));
CREATE TABLE blobs (id int PRIMARY KEY, counter int NOT NULL DEFAULT 0, big mediumtext, bin mediumblob, KEY pre (big(20)), FULLTEXT KEY words (big));
CREATE TABLE autos (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, v varchar(20)) AUTO_INCREMENT=1000;
CREATE TABLE parts (id int, at date NOT NULL, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (YEAR(at)) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN (2020), PARTITION p2 VALUES LESS THAN MAXVALUE);
CREATE TABLE `top` (id int PRIMARY KEY, v text);
CREATE TABLE mid (id int PRIMARY KEY, top_id int, v text, CONSTRAINT mid_top FOREIGN KEY (top_id) REFERENCES `top` (id));
CREATE TABLE tree (id int PRIMARY KEY, parent int, v text, CONSTRAINT tree_parent FOREIGN KEY (parent) REFERENCES tree (id));
CREATE TABLE place (id int PRIMARY KEY, p point NOT NULL, SPATIAL KEY (p));
CREATE TABLE truncated (id int AUTO_INCREMENT PRIMARY KEY, v text);
CREATE TABLE empty_table (id int PRIMARY KEY);
CREATE VIEW seen AS SELECT id, v FROM `top` WHERE id > 5;
"""
RELAXED = "SET sql_mode = '', time_zone = '+00:00'"


def _lit(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def connect(database: MysqlDatabase, minus_zero: bool = True) -> MySQLdb.Connection:
    """A session that takes zero dates, as old applications' do. minus_zero: -0 is among the values (MariaDB has none)."""
    connection = database.connect()
    connection.minus_zero = minus_zero
    connection.old_collations = getattr(database, "old_collations", False)
    connection.cursor().execute(RELAXED)
    return connection


def old_collations(database: MysqlDatabase) -> None:
    """The database's tables get collations that every server knows: MySQL 8.0 has a default of its own for utf8mb4."""
    database.execute(f"ALTER DATABASE {ident(database.name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    database.old_collations = True


def _do(connection, sql: str) -> None:
    if connection.old_collations:
        sql = re.sub(r"(CHARACTER SET|CHARSET) utf8mb4(?! COLLATE)", r"\g<0> COLLATE utf8mb4_general_ci", sql)
    run(connection, sql if connection.minus_zero else sql.replace("-0e0", "0e0"), close=False)


def types_row(rng: random.Random, id_: int, which: int | None = None) -> str:
    """INSERT of one row of types; `which` walks through every value of every column as it grows."""
    items = [str(id_)]
    for column, (_, choices) in TYPES.items():
        choices = choices + ([] if column in NOT_NULL else ["NULL"])
        items.append(choices[which % len(choices)] if which is not None else rng.choice(choices))
    return f"INSERT INTO types (id, {', '.join(TYPES)}) VALUES ({', '.join(items)})"


def _insert(table: str, rows) -> str:
    return f"INSERT INTO {table} VALUES " + ", ".join("(" + ", ".join(map(str, row)) + ")" for row in rows)


def awkward_data(connection, rows: int = 100, seed: int = 1) -> None:
    """The schema, and about `rows` rows in each ordinary table."""
    rng = random.Random(seed)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            _do(connection, statement)
    n = range(1, rows + 1)
    most = max(len(choices) for _, choices in TYPES.values()) + 1
    _do(connection, "BEGIN")
    for i in range(max(most * 2, min(rows, 60))):
        _do(connection, types_row(rng, i + 1, i if i < most * 2 else None))
    for sql in (
            "INSERT INTO defaults (a) VALUES (1), (2), (3)",
            _insert("key_ci", [(_lit(f"Key{i}"), _lit("v" * (i % 50))) for i in n] + [("''", "'empty'"), ("'é acute'", "1"), ("'漢🦩'", "NULL"), ("'Straße'", "2")]),
            _insert("key_bin", [(_lit(f"k{i}"), i) for i in n] + [("'K1'", "'other case'"), ("''", "''"), ("'nul\\0'", "''")]),
            _insert("key_latin", [(_lit(f"é{i}"), i) for i in n]),
            _insert("key_sjis", [(_lit(f"漢{i}"), i) for i in n]),
            _insert("key_composite", [(i % 10, _lit(f"b{i % 7}"), _lit(f"2020-01-{i % 28 + 1:02} 00:00:00.{i:06}"), i) for i in n] + [(1, "''", "'0000-00-00 00:00:00.000000'", "'zero'")]),
            _insert("key_decimal", [(f"{i}.10", i) for i in n] + [("-0.0000000001", "'small'"), ("99999999999999999999.9999999999", "'big'")]),
            _insert("key_varbinary", [(f"unhex(md5({i}))", i) for i in n] + [("''", "'empty'"), ("0x00", "'zero'"), ("0x0000", "'zeros'"), ("0x5C27", "'q'")]),
            _insert("key_binary", [(f"unhex(md5({i}))", i) for i in n] + [("0x00", "'zero'")]),
            _insert("key_ubig", [(i, i) for i in n] + [("18446744073709551615", "'max'"), ("9223372036854775808", "'half'"), ("0", "'zero'")]),
            _insert("key_date", [(_lit(f"2020-{i % 12 + 1:02}-01"), _lit(f"{i}:00:00.001"), i) for i in n] + [("'0000-00-00'", "'-838:59:59.000'", "'zero'")]),
            _insert("key_ts", [(_lit(f"2020-01-01 00:00:00.{i:06}"), i, i) for i in n] + [("'0000-00-00 00:00:00'", 0, "'zero'")]),
            "INSERT INTO key_enum VALUES ('z', '1'), ('a', '2'), ('m', '3')",
            _insert("key_unique", [(i, _lit(f"u{i}"), i) for i in n]),
            _insert("key_only", [(i, -i) for i in n]),
            _insert("nokey", [(i % 5, ("NULL", "''", "'dup'")[i % 3], ("NULL", "-0e0", "0.1")[i % 2]) for i in n] + [("NULL", "NULL", "NULL")] * 2),
            _insert("nokey_index", [(i % 5, "'same'") for i in n]),
            _insert("unique_nulls", [(i, i if i % 2 else "NULL") for i in n]),
            _insert("swap", [(i, i, _lit(f"s{i}")) for i in n]),
            "INSERT INTO `gen` (id, base, title) VALUES " + ", ".join(f"({i}, {i}, 'Title {i}')" for i in n),
            _insert("`Odd ``name`` é`", [(i, "'s'", "'q'", i) for i in n]),
            _insert("blobs", [(i, 0, f"repeat(md5({i}), {50 + i})", f"repeat(unhex(md5({i})), {i})") for i in n]),
            "INSERT INTO autos (v) VALUES " + ", ".join(f"('a{i}')" for i in n),
            _insert("parts", [(i, _lit(f"{1990 + i % 40}-01-01"), i) for i in n]),
            _insert("`top`", [(i, "'t'") for i in n]),
            _insert("mid", [(i, i, "'m'") for i in n]),
            _insert("tree", [(i, i // 2 if i > 1 else "NULL", "'t'") for i in n]),
            _insert("place", [(i, f"ST_GeomFromText('POINT({i} {i / 7})')") for i in n]),
            "INSERT INTO truncated (v) VALUES ('a'), ('b')",
            "COMMIT"):
        _do(connection, sql)


def awkward_churn(connection, seed: int, steps: int = 30, truncate: bool = True) -> int:
    """Changes of every kind, in transactions of one to a few statements; the number of transactions committed. A statement
    that the schema refuses rolls its transaction back, which is one more thing that must not be replayed."""
    rng = random.Random(seed)
    moves = _moves(rng, truncate)
    committed = 0
    for _ in range(steps):
        statements = [s for _ in range(rng.choice((1, 1, 2, 4))) for s in rng.choice(moves)()]
        end = "ROLLBACK" if rng.random() < 0.05 else "COMMIT"
        savepoint = rng.random() < 0.15
        try:
            _do(connection, "BEGIN")
            for statement in statements:
                if savepoint:
                    _do(connection, "SAVEPOINT p")
                _do(connection, statement)
                if savepoint and rng.random() < 0.3:
                    _do(connection, "ROLLBACK TO p")
            _do(connection, end)
            committed += end == "COMMIT"
        except MySQLdb.Error as error:
            _do(connection, "ROLLBACK")
            if error.args[0] == 1305 or isinstance(error, (MySQLdb.IntegrityError, MySQLdb.DataError)) or error.args[0] in (1205, 1213):
                continue  # 1305: a TRUNCATE ended the transaction and its savepoint
            raise
    return committed


def _moves(rng: random.Random, truncate: bool) -> list:
    r = lambda top=100: rng.randint(1, top)
    word = lambda: _lit("".join(rng.choice("abcXYZ éß漢🦩 _%\\'\"") for _ in range(rng.randint(0, 12))))

    def types_update():
        column = rng.choice(list(TYPES))
        choices = TYPES[column][1] + ([] if column in NOT_NULL else ["NULL"])
        return [f"UPDATE types SET {column} = {rng.choice(choices)} WHERE id = {r(40)}"]

    def key_change():
        table, key, new = rng.choice([
            ("key_ci", "k", lambda: _lit(f"Word{r(10**6)}")), ("key_bin", "k", lambda: _lit(f"é{r(10**6)}")), ("key_latin", "k", lambda: _lit(f"ß{r(10**6)}")),
            ("key_sjis", "k", lambda: _lit(f"字{r(10**6)}")), ("key_composite", "c", lambda: _lit(f"2021-01-01 00:00:00.{r(999999):06}")),
            ("key_decimal", "k", lambda: f"{r(10**6)}.{r(10**6)}"), ("key_varbinary", "k", lambda: f"unhex(md5({r(10**6)}))"),
            ("key_binary", "k", lambda: f"unhex(md5({r(10**6)}))"), ("key_ubig", "k", lambda: str(rng.randint(0, 2**64 - 1))),
            ("key_date", "t", lambda: _lit(f"-{r(800)}:00:00.{r(999):03}")), ("key_ts", "k", lambda: _lit(f"2021-01-01 00:00:00.{r(999999):06}")),
            ("key_unique", "b", lambda: _lit(f"n{r(10**6)}")), ("key_only", "a", lambda: str(r(10**6))), ("blobs", "id", lambda: str(r(10**6))),
            ("`Odd ``name`` é`", "`I d`", lambda: str(r(10**6))), ("autos", "id", lambda: str(10**6 + r(10**6)))])
        return [f"UPDATE {table} SET {key} = {new()} ORDER BY {key} DESC LIMIT 1", f"UPDATE {table} SET {key} = {new()} ORDER BY {key} LIMIT 1"]

    def key_case():  # equal in the collation, other bytes
        return [rng.choice([f"UPDATE key_ci SET k = upper(k) WHERE k = 'key{r()}'", f"UPDATE key_ci SET k = lower(k) WHERE k = 'key{r()}'",
                            f"UPDATE key_latin SET k = concat('E', substr(k, 2)) WHERE k = 'é{r()}'"])]

    def swap_places():
        a, b = r(), r()
        return [f"UPDATE swap SET place = -{a} WHERE id = {a}", f"UPDATE swap SET place = {10**6 + r(10**6)} WHERE id = {b}",
                f"UPDATE swap SET place = {r(10**6)} WHERE id = {a}"]

    def shift_keys():
        low = r(60)
        return [f"UPDATE swap SET id = id + 1000 WHERE id BETWEEN {low} AND {low + 5}", f"UPDATE swap SET id = id - 999 WHERE id BETWEEN {1000 + low} AND {1005 + low} ORDER BY id"]

    def reuse_key():
        k = r()
        return [f"DELETE FROM key_ubig WHERE k = {k}", f"INSERT INTO key_ubig VALUES ({k}, {word()})"]

    def upserts():
        return [rng.choice([f"REPLACE INTO key_unique VALUES ({r()}, 'u{r()}', {word()})", f"INSERT INTO key_unique VALUES ({r()}, 'u{r()}', 'x') ON DUPLICATE KEY UPDATE v = {word()}",
                            f"INSERT IGNORE INTO key_only VALUES ({r()}, -{r()})", f"REPLACE INTO unique_nulls VALUES ({r(200)}, {r(200)})"])]

    def keyless():
        return [rng.choice([
            f"INSERT INTO nokey VALUES ({r(5)}, {word()}, {r()} / 7e0)", f"INSERT INTO nokey VALUES ({r(5)}, 'dup', 0.1)", f"INSERT INTO nokey SELECT * FROM nokey LIMIT 2",
            f"UPDATE nokey SET b = {word()} WHERE a = {r(5)} LIMIT 1", f"DELETE FROM nokey WHERE a = {r(5)} LIMIT 1", f"UPDATE nokey SET c = NULL WHERE b = 'dup' LIMIT 2",
            f"INSERT INTO nokey_index VALUES ({r(5)}, 'same')", f"DELETE FROM nokey_index WHERE a = {r(5)} LIMIT 2", f"UPDATE nokey_index SET a = {r(5)} LIMIT 1"])]

    def plain():
        return [rng.choice([
            types_row(rng, rng.randint(10**6, 10**9)), f"DELETE FROM types WHERE id > 10000 LIMIT 1", f"UPDATE `gen` SET base = {r(10**6)}, title = {word()} WHERE id = {r()}",
            f"UPDATE blobs SET counter = counter + 1 WHERE id = {r()}", f"UPDATE blobs SET big = repeat({word()}, 300) WHERE id = {r()}",
            f"INSERT INTO autos (v) VALUES ({word()}), ('two')", f"DELETE FROM autos ORDER BY id LIMIT 1", f"INSERT INTO defaults (b) VALUES ({word()})",
            f"UPDATE defaults SET a = a + 1 ORDER BY id LIMIT 2", f"UPDATE parts SET at = '{rng.choice((1995, 2005, 2025))}-05-05' WHERE id = {r()}",
            f"UPDATE place SET p = ST_GeomFromText('POINT({r()} 1)') WHERE id = {r()}", f"UPDATE `Odd ``name`` é` SET `select` = {word()}, `ü` = {r()} WHERE `I d` = {r()}",
            f"UPDATE key_composite SET v = {word()} WHERE a = {r(10)}", f"UPDATE mid m JOIN `top` t ON t.id = m.top_id SET m.v = {word()}, t.v = 'joined' WHERE m.id = {r()}",
            f"UPDATE key_enum SET v = {word()}", f"INSERT INTO truncated (v) SELECT v FROM `top` LIMIT 3"])]

    def references():
        k = rng.randint(1000, 10**6)
        return rng.choice([[f"INSERT INTO `top` VALUES ({k}, 'new')", f"INSERT INTO mid VALUES ({k}, {k}, {word()})"], [f"DELETE FROM mid WHERE id = {r()}"],
                           [f"DELETE FROM `top` WHERE id = {r()}"], [f"UPDATE tree SET parent = {r()} WHERE id = {r()}"], [f"DELETE FROM tree WHERE id = {r()}"]])

    def truncates():
        return ["TRUNCATE TABLE truncated", "INSERT INTO truncated (v) VALUES ('again')"]

    moves = [types_update, types_update, types_update, key_change, key_change, key_case, swap_places, shift_keys, reuse_key, upserts, keyless, keyless,
            plain, plain, plain, references] * 12
    return moves + [truncates] if truncate else moves


class MysqlAwkwardLoad(AwkwardLoad):
    """awkward_churn in a thread until it is stopped, on one database."""

    def __init__(self, database: MysqlDatabase, seed: int = 1, truncate: bool = True, pause: float = 0.0, minus_zero: bool = True):
        super().__init__(database, seed, truncate, pause)
        self.minus_zero = minus_zero

    def _churn(self) -> None:
        connection = connect(self.url, self.minus_zero)
        try:
            self._until_stopped(lambda: awkward_churn(connection, self.seed, steps=5, truncate=self.truncate))
        finally:
            connection.close()
