"""Tables that two kinds of databases can both have, an application that writes to either, and a judge that compares them.

A column is of a kind ("int", "instant", …). For each the two engines have a type, values of Python that both can hold, and the judge a form in which
what their drivers give is the same. Nothing here knows how midflight translates anything."""
from __future__ import annotations

import json
import random
import struct
import threading
import time
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

import MySQLdb
import psycopg

from .compare import wait_equal
from .mysql_servers import fetch
from .servers import wait_for

UTC = timezone.utc
TEXTS = ["", "a", "A", " x ", "tab\there", "new\nline", "back\\slash", "'quoted'", '"', "%", "é", "€uro", "漢字", "😀", "x" * 39, "NULL", "\\N"]
BYTES = [b"", b"\0", b"\0\xff\x80'\\", bytes(range(20)), b"text"]
INT = lambda bits: [0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 42]
MOMENTS = [datetime(2026, 11, 28, 1, 2, 3, 500000), datetime(1970, 1, 2, 0, 0, 0), datetime(2037, 12, 31, 23, 59, 59, 999000), datetime(2000, 2, 29, 12, 0, 0, 1000)]
JSONS = [{}, [], {"a": 1, "b": [True, None, "x"]}, "text", 1.5, 12345678901234567, {"é": "\n\"\\", "z": {"y": -0.25}}]


class Kind(NamedTuple):
    mysql: str
    postgres: str
    values: list
    where: str = "both"  # the engines whose source tables have it


KINDS = {
    "tiny": Kind("tinyint", "smallint", INT(8)),
    "small": Kind("smallint", "smallint", INT(16)),
    "int": Kind("int", "integer", INT(32)),
    "big": Kind("bigint", "bigint", INT(64)),
    "ubig": Kind("bigint unsigned", "numeric(20,0)", [0, 1, 2 ** 64 - 1, 2 ** 63], "mysql"),
    "uint": Kind("int unsigned", "bigint", [0, 2 ** 32 - 1, 7], "mysql"),
    "year": Kind("year", "smallint", [1901, 2026, 2155], "mysql"),
    "bool": Kind("tinyint(1)", "boolean", [True, False], "postgres"),
    "dec": Kind("decimal(20,5)", "numeric(20,5)", [Decimal(v) for v in ("0", "-1.5", "123456789012345.12345", "0.00001", "-999999999999999.99999", "10.10")]),
    "float": Kind("float", "real", [0.0, 1.5, -0.1, 3.4e38, 1e-30, 16777216.0]),
    "double": Kind("double", "double precision", [0.0, 0.1, -1.7976931348623157e308, 5e-300, 1 / 3, 1e15, 123456789.123]),
    "date": Kind("date", "date", [date(2026, 11, 28), date(1000, 1, 1), date(9999, 12, 31), date(2000, 2, 29)]),
    "time": Kind("time(3)", "time(3)", [timedelta(0), timedelta(hours=23, minutes=59, seconds=59, milliseconds=999), timedelta(seconds=1.5)]),
    "datetime": Kind("datetime(6)", "timestamp(6)", MOMENTS + [datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    "instant": Kind("timestamp(3) NULL", "timestamptz(3)", MOMENTS),
    "char": Kind("char(10)", "char(10)", ["", "abc", "é漢", "ten chars."]),
    "varchar": Kind("varchar(40)", "varchar(40)", TEXTS),
    "text": Kind("longtext", "text", TEXTS + ["y" * 70000]),
    "varbinary": Kind("varbinary(20)", "bytea", BYTES, "mysql"),
    "blob": Kind("longblob", "bytea", BYTES + [b"\0z" * 40000]),
    "bits": Kind("bit(10)", "bit(10)", [0, 1, 2 ** 10 - 1, 341]),
    "json": Kind("json", "jsonb", JSONS),
    "enum": Kind("enum('red','it''s','blåbær')", "colour", ["red", "it's", "blåbær"]),
    "set": Kind("set('a','b','c')", "text", ["", "a", "a,c", "a,b,c"], "mysql"),
    "uuid": Kind("char(36)", "uuid", ["123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000"], "postgres"),
    "interval": Kind("longtext", "interval", ["1 day 02:03:04.5", "-00:00:01", "1 year 2 mons"], "postgres"),
    "inet": Kind("longtext", "inet", ["10.0.0.1", "::1", "192.168.0.0/24"], "postgres"),
    "ints": Kind("longtext", "integer[]", ["{}", "{1,2,3}", "{NULL,5}"], "postgres"),
}
KINDS_OF_MYSQL = [k for k, v in KINDS.items() if v.where != "postgres"]
KINDS_OF_POSTGRES = [k for k, v in KINDS.items() if v.where != "mysql"]


class Column(NamedTuple):
    name: str
    kind: str


class Table(NamedTuple):
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    made_by: str  # the engine whose own types it has

    def create(self, engine: str) -> str:
        postgres = engine == "postgres"
        types = [f"{c.name} {KINDS[c.kind].postgres if postgres else KINDS[c.kind].mysql}{' NOT NULL' if c.name in self.key else ''}" for c in self.columns]
        key = [f"PRIMARY KEY ({', '.join(self.key)})"] if self.key else []
        enum = "DO $$ BEGIN CREATE TYPE colour AS ENUM ('red', 'it''s', 'blåbær'); EXCEPTION WHEN duplicate_object THEN NULL; END $$; " if postgres else ""
        tail = "" if postgres else " DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_bin"
        return f"{enum}CREATE TABLE {self.name} ({', '.join(types + key)}){tail}"


def tables_of(source: str, target: str) -> list[Table]:
    """What a source of that kind has, as far as the target knows it."""
    of = KINDS_OF_POSTGRES if source == "postgres" else KINDS_OF_MYSQL
    every = Table("kinds", (Column("id", "big"), *(Column(f"c_{k}", k) for k in of)), ("id",), source)
    words = Table("words", (Column("w", "varchar"), Column("n", "int")), ("w",), source)
    two = Table("two", (Column("a", "int"), Column("b", "date"), Column("v", "text")), ("a", "b"), source)
    loose = Table("loose", (Column("a", "int"), Column("b", "varchar")), (), source)
    moments = Table("moments", (Column("at", "datetime"), Column("v", "text")), ("at",), source)
    return [every, words, two, loose, moments]


# -- writing -----------------------------------------------------------------------------------------------------

def _place(engine: str, kind: str, t: Table) -> str:
    """A parameter of that kind, as its type."""
    if engine == "postgres" and (t.made_by == "postgres" or kind not in ("enum",)):
        casts = {"bits": "%s::bit(10)", "json": "%s::jsonb", "time": "%s::time", "enum": "%s::colour", "uuid": "%s::uuid", "interval": "%s::interval",
                 "inet": "%s::inet", "ints": "%s::integer[]", "bool": "%s::boolean"}
        return casts.get(kind, "%s")
    return "%s"


def _value(engine: str, kind: str, v):
    if v is None:
        return None
    if kind == "json":
        return json.dumps(v)
    if kind == "bits" and engine == "postgres":
        return format(v, "010b")
    if kind == "time":
        return str(v) if v.microseconds == 0 else f"{v.seconds // 3600:02}:{v.seconds // 60 % 60:02}:{v.seconds % 60:02}.{v.microseconds // 1000:03}"
    if kind == "instant" and engine == "postgres":
        return v.replace(tzinfo=UTC)
    if kind == "bool" and engine != "postgres":
        return int(v)
    return v


def random_value(rng: random.Random, column: Column, key: bool):
    if column.kind == "big" and column.name == "id":
        return rng.randrange(1, 400)
    if not key and rng.random() < 0.12:
        return None
    if column.kind == "varchar" and not key and rng.random() < 0.3:
        return f"word {rng.randrange(1000)}"
    if column.kind == "varchar" and key:  # a blank at the end tells no keys apart everywhere
        return rng.choice(TEXTS).rstrip(" ") or f"w{rng.randrange(60)}"
    if column.kind == "datetime" and key:
        return rng.choice(MOMENTS) + timedelta(seconds=rng.randrange(100))
    if column.kind == "int" and rng.random() < 0.5:
        return rng.randrange(30)
    return rng.choice(KINDS[column.kind].values)


class Writer:
    """A session that writes rows of random values."""

    def __init__(self, database, engine: str):
        self.engine = engine
        self.connection = database.connect(autocommit=False)
        self.duplicate = psycopg.errors.UniqueViolation if engine == "postgres" else MySQLdb.IntegrityError
        if engine != "postgres":
            self.run("SET time_zone = '+00:00'")

    def run(self, sql: str, parameters=()) -> int:
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, parameters or None)
            return cursor.rowcount
        finally:
            cursor.close()

    def insert(self, t: Table, row: list) -> None:
        places = ", ".join(_place(self.engine, c.kind, t) for c in t.columns)
        names = ", ".join(c.name for c in t.columns)
        self.run(f"INSERT INTO {t.name} ({names}) VALUES ({places})", tuple(_value(self.engine, c.kind, v) for c, v in zip(t.columns, row)))

    def update(self, t: Table, column: Column, value, where: Column, is_) -> int:
        return self.run(f"UPDATE {t.name} SET {column.name} = {_place(self.engine, column.kind, t)} WHERE {where.name} = {_place(self.engine, where.kind, t)}",
                        (_value(self.engine, column.kind, value), _value(self.engine, where.kind, is_)))

    def delete(self, t: Table, where: Column, is_) -> int:
        return self.run(f"DELETE FROM {t.name} WHERE {where.name} = {_place(self.engine, where.kind, t)}", (_value(self.engine, where.kind, is_),))


def fill(database, engine: str, tables: list[Table], rows: int, seed: int) -> None:
    """Every value of every kind at least once, then rows of chance."""
    rng = random.Random(seed)
    w = Writer(database, engine)
    every = tables[0]
    most = max(len(KINDS[c.kind].values) for c in every.columns)
    for i in range(most):
        w.insert(every, [1000 + i, *(KINDS[c.kind].values[i % len(KINDS[c.kind].values)] for c in every.columns[1:])])
    w.insert(every, [1000 + most, *([None] * (len(every.columns) - 1))])
    w.connection.commit()
    for _ in range(rows):
        for t in tables:
            one_step(w, rng, t, insert=1.0)
    w.connection.commit()
    w.connection.close()


def one_step(w: Writer, rng: random.Random, t: Table, insert: float) -> None:
    """One statement; what collides is undone alone."""
    key = t.columns[0]
    some = lambda column: random_value(rng, column, column.name in t.key)
    w.run("SAVEPOINT s")
    try:
        what = rng.random()
        if what < insert:
            w.insert(t, [some(c) for c in t.columns])
        elif what < insert + 0.35:
            column = rng.choice(t.columns[1:] if rng.random() < 0.8 else t.columns)
            w.update(t, column, some(column), key, some(key))
        else:
            w.delete(t, key, some(key))
    except w.duplicate:
        w.run("ROLLBACK TO SAVEPOINT s")


class Load:
    """An application that writes to one side in a thread of its own until it is stopped."""

    def __init__(self, database, engine: str, tables: list[Table], seed: int, pause: float):
        self.w, self.tables, self.rng, self.pause = Writer(database, engine), tables, random.Random(seed), pause
        self.committed, self.failure = 0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _step(self) -> None:
        one_step(self.w, self.rng, self.rng.choice(self.tables), insert=0.4)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for _ in range(self.rng.randrange(1, 5)):
                    self._step()
                self.w.connection.commit()
                self.committed += 1
                time.sleep(self.pause)
        except Exception as error:
            self.failure = error
        finally:
            self.w.connection.close()

    def more(self, n: int) -> None:
        before = self.committed
        wait_for(lambda: self.failure or self.committed > before + n, 60, "writes")
        assert not self.failure, self.failure

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(90)
        assert not self.failure and not self._thread.is_alive(), repr(self.failure)


# -- judging -----------------------------------------------------------------------------------------------------

def _read_as(engine: str, c: Column) -> str:
    if engine == "postgres":  # concat prints as the server does, a cast of an inet to text adds its /32
        return {"json": f"{c.name}::text", "interval": f"{c.name}::text", "inet": f"NULLIF(concat({c.name}), '')", "ints": f"{c.name}::text", "uuid": f"{c.name}::text",
                "enum": f"{c.name}::text", "time": f"extract(epoch FROM {c.name})", "bits": f"{c.name}::text", "float": f"{c.name}::float8"}.get(c.kind, c.name)
    return {"float": f"{c.name} * 1e0", "bits": f"{c.name} + 0", "json": f"CAST({c.name} AS char)"}.get(c.kind, c.name)


def _same(kind: str, v):
    """What either driver gives, in one form."""
    if v is None:
        return None
    if kind in ("dec", "ubig"):
        return Decimal(v).normalize() + 0
    if kind == "bits":
        return int(v, 2) if isinstance(v, str) else int(v)
    if kind == "bool":
        return bool(v)
    if kind == "float":
        return struct.pack("<f", v)
    if kind == "double":
        return struct.pack("<d", v)
    if kind == "json":
        return json.dumps(json.loads(v), sort_keys=True)
    if kind == "time":
        return round(v.total_seconds() * 1e6) if isinstance(v, timedelta) else round(v * 1000000)
    if kind == "instant":
        return v.astimezone(UTC).replace(tzinfo=None) if v.tzinfo else v
    if kind == "char":
        return v.rstrip(" ")
    if kind == "set" and not isinstance(v, str):
        return ",".join(sorted(v))
    if isinstance(v, memoryview):
        return bytes(v)
    return v


def rows_of(database, engine: str, t: Table) -> list[tuple]:
    connection = database.connect()
    sql = f"SELECT {', '.join(_read_as(engine, c) for c in t.columns)} FROM {t.name}"
    if engine == "postgres":
        rows = connection.execute(sql).fetchall()
        connection.close()
    else:
        fetch(connection, "SET time_zone = '+00:00'", close=False)
        rows = fetch(connection, sql)
    return sorted((tuple(_same(c.kind, v) for c, v in zip(t.columns, row)) for row in rows), key=repr)


def differences(source, target, kinds: tuple[str, str], tables: list[Table]) -> list[str]:
    found = []
    for t in tables:
        a, b = rows_of(source, kinds[0], t), rows_of(target, kinds[1], t)
        if a != b:
            only = [("source", r) for r in a if r not in b][:3] + [("target", r) for r in b if r not in a][:3]
            found += [f"{t.name}: {len(a)} and {len(b)} rows; {who} alone has {str(r)[:600]}" for who, r in only] or [f"{t.name}: copies"]
    return found


def wait_same(m, source, target, kinds: tuple[str, str], tables: list[Table], timeout: float = 180) -> None:
    last: list[str] = []

    def same() -> bool:
        last[:] = differences(source, target, kinds, tables)
        return not last
    try:
        wait_for(same, timeout, "both sides to be the same", interval=0.3)
    except TimeoutError:
        raise AssertionError("\n".join(last) + "\n" + m.tail()) from None
