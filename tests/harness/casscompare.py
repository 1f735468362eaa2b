"""Judges whether a Cassandra keyspace holds what a PostgreSQL or MySQL database holds, by drivers of their own: nothing of midflight's is used.

Both sides' rows are read whole and each value is put into one form of Python's: what PostgreSQL's driver gives for a value against what Cassandra's driver
gives for the column it was made into. Rows are matched by their key.
"""
from __future__ import annotations

import datetime
import decimal
import json
import uuid
from dataclasses import dataclass, field


@dataclass
class Verdict:
    rows: int = 0
    missing: list = field(default_factory=list)
    surplus: list = field(default_factory=list)
    different: list = field(default_factory=list)  # (key, column, there, here)

    @property
    def equal(self) -> bool:
        return not (self.missing or self.surplus or self.different)

    def __str__(self) -> str:
        return (f"{self.rows} rows; missing {len(self.missing)} {self.missing[:5]}; surplus {len(self.surplus)} {self.surplus[:5]}; "
                f"different {len(self.different)} {self.different[:5]}")


def _seconds(text: str) -> str:
    """Without zeros at the end of the fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value):
    """One form for what two drivers give for the same value."""
    if value is None or isinstance(value, (bool, int)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else value.normalize() if value.is_finite() else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return _seconds(moment.strftime("%Y-%m-%d %H:%M:%S.%f"))
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return _seconds(value.strftime("%H:%M:%S.%f"))
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, uuid.UUID):
        return str(value)
    return value if isinstance(value, str) else str(value)


def _number(text: str):
    try:
        return plain(decimal.Decimal(text))
    except decimal.InvalidOperation:
        return text


def same(there, here) -> bool:
    """A source's value against the one in Cassandra: columns that became texts are compared as such."""
    a, b = plain(there), plain(here)
    if a == b:
        return True
    if isinstance(a, str) and isinstance(b, str):
        try:
            return json.loads(a) == json.loads(b)
        except ValueError:
            return False
    if isinstance(b, str):
        return _number(b) == a or b == str(a)
    if isinstance(a, str):
        return _number(a) == b or a == str(b)
    return False


def rows_of(session, keyspace: str, table: str, columns: list[str]) -> list[tuple]:
    names = ", ".join(f'"{c}"' for c in columns)
    rows = session.execute(f'SELECT {names} FROM "{keyspace}"."{table}"', timeout=120)
    return [tuple(r) for r in rows]


def compare_rows(there: list[tuple], here: list[tuple], columns: list[str], key: list[str]) -> Verdict:
    at = [columns.index(k) for k in key]
    v = Verdict(rows=len(there))
    mine = {tuple(plain(r[i]) for i in at): r for r in here}
    if len(mine) != len(here):
        v.surplus.append("a key twice")
    for row in there:
        k = tuple(plain(row[i]) for i in at)
        other = mine.pop(k, None)
        if other is None:
            v.missing.append(k)
            continue
        v.different += [(k, c, x, y) for c, x, y in zip(columns, row, other) if not same(x, y)]
    v.surplus += list(mine)
    return v


def compare_table(connection, session, keyspace: str, table: str, columns: list[str], key: list[str], to: str | None = None) -> Verdict:
    """connection: a DB-API connection of the source; table may be qualified there."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")
        there = [tuple(r) for r in cursor.fetchall()]
    return compare_rows(there, rows_of(session, keyspace, to or table.split(".")[-1], columns), columns, key)
