"""The change stream of a MySQL or MariaDB database, driven without the rest of midflight: what it hands out, as text."""
from __future__ import annotations

import pytest

from harness.pgdrive import Refused
from harness.pgread import Read


class Stream:
    """A stream of all tables of one database, and a session that writes there."""

    def __init__(self, database, *tables: str, migration: str = "test", **url):
        self.database, self.server = database, database.server
        self.app = database.connect()
        self.write(*tables)
        self.read = Read(database.url(**url), migration=migration)
        self.read.catalog()
        start = self.read.prepare()
        self.start = start["position"], start["position_token"]

    def write(self, *statements: str) -> None:
        cursor = self.app.cursor()
        for s in statements:
            cursor.execute(s)

    def open(self, at=None) -> "Stream":
        order, token = at or self.start
        self.read.stream_open(**{"from": order, "from_token": token})
        return self

    def again(self, at=None) -> "Stream":
        self.read.stream_close()
        return self.open(at)

    def lines(self, wait_ms: int = 60000) -> list[str]:
        """What comes up to now, as text: whole transactions in their order."""
        return texts(self.read.read_until_now(wait_ms=wait_ms)["items"])

    def refused(self) -> Refused:
        with pytest.raises(Refused) as e:
            self.lines()
        return e.value


def row(values) -> str:
    return "|".join("NULL" if v is None else "." if v == {} else str(v) for v in values)


def texts(items) -> list[str]:
    open_, out = {}, []
    for i in items:
        if i["kind"] == "change" and i["table"] != "heartbeat":
            old = f"({row(i['old'])}) " if "old" in i and "new" in i else ""
            new = row(i["new"]) if "new" in i else row(i["old"]) if "old" in i else ""
            open_.setdefault(i["txn"], []).append((i["subtxn"], f"{i['op'][0].upper()} {i['table']} {old}{new}".strip()))
        elif i["kind"] == "abort":
            kept = open_.get(i["txn"], [])
            open_[i["txn"]] = [c for c in kept if i["subtxn"] not in (i["txn"], c[0])]
        elif i["kind"] == "commit":
            changes = open_.pop(i["txn"], [])
            if changes:
                out += [c for _, c in changes] + ["C"]
    return out
