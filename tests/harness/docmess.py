"""A collection as years of an application leave it, what it is as rows, and somebody who goes on changing it.

Ids of many types, numbers whose type drifts, fields that are missing or null, one field that holds anything, data as keys, arrays within arrays, and fields that nobody
knows. As in doccases.py the rows are worked out here by hand.
"""
from __future__ import annotations

import json
import random
import threading
from datetime import datetime, timezone
from uuid import UUID

from harness.doccases import ms
from harness.mongo_servers import driver

TABLES = {
    "mess": "id, amount, value, note, has_note, extra",
    "mess_days": "mess_id, day, visits",
    "mess_groups": "mess_id, position, title",
    "mess_members": "mess_id, position, member, who",
    "mess_roles": "mess_id, position, member, role, name",
}
KNOWN = {"_id", "amount", "value", "note", "days", "groups", "legacy"}


def mess_map(database: str) -> dict:
    return {"collection": f"{database}.mess", "to": "mess", "ignore": ["legacy"], "rest": "extra",
            "columns": [
                {"path": "_id", "column": "id", "type": "id(100)"},
                {"path": "amount", "type": "int", "missing": "null", "wrong": "coerce"},
                {"path": "value", "type": "json", "missing": "null"},
                {"path": "note", "type": "string(50)", "missing": "null", "null": "null"},
                {"path": "note", "present": "has_note"},
            ],
            "tables": [
                {"path": "days", "to": "mess_days", "kind": "map", "key": "day", "key_type": "string(10)", "missing": "empty",
                 "columns": [{"path": ".", "column": "visits", "type": "int", "wrong": "coerce"}]},
                {"path": "groups", "to": "mess_groups", "missing": "empty", "null": "empty",
                 "columns": [{"path": "title", "type": "string(50)"}],
                 "tables": [{"path": "members", "to": "mess_members", "position": "member", "missing": "empty", "columns": [{"path": "who", "type": "string(50)"}],
                             "tables": [{"path": "roles", "to": "mess_roles", "position": "role", "missing": "empty",
                                         "columns": [{"path": ".", "column": "name", "type": "string(30)"}]}]}]},
            ]}


def id_text(i) -> str:
    """What docs/guide/documents.md says of `id(n)`."""
    from bson import ObjectId
    if isinstance(i, ObjectId):
        return f'ObjectId("{i}")'
    if isinstance(i, UUID):
        return f'UUID("{i}")'
    if isinstance(i, datetime):
        return f"Date({ms(i)})"
    if isinstance(i, dict):
        return "Document {" + ",".join(f"{json.dumps(k)}:{id_text(v)}" for k, v in i.items()) + "}"
    if isinstance(i, bool):
        return "true" if i else "false"
    if isinstance(i, str):
        return json.dumps(i, ensure_ascii=False)
    return str(int(i)) if float(i).is_integer() else repr(i)


def extended(value) -> str | None:
    from bson.json_util import CANONICAL_JSON_OPTIONS, dumps
    return spelled(json.loads(dumps(value, json_options=CANONICAL_JSON_OPTIONS)))


def spelled(value) -> str:
    return json.dumps(value, sort_keys=True)


def rows_of_mess(d: dict) -> dict[str, list[tuple]]:
    i = id_text(d["_id"])
    amount, rest = d.get("amount"), {k: v for k, v in d.items() if k not in KNOWN}
    groups = d.get("groups") or []
    members = [(g, m, member) for g, group in enumerate(groups) for m, member in enumerate(group.get("members", []))]
    return {
        "mess": [(i, None if amount is None else int(amount), extended(d["value"]) if "value" in d else None, d.get("note"), "note" in d, extended(rest) if rest else None)],
        "mess_days": [(i, day, int(n)) for day, n in d.get("days", {}).items()],
        "mess_groups": [(i, g, group["title"]) for g, group in enumerate(groups)],
        "mess_members": [(i, g, m, member["who"]) for g, m, member in members],
        "mess_roles": [(i, g, m, r, role) for g, m, member in members for r, role in enumerate(member.get("roles", []))],
    }


def expected(documents) -> dict[str, set[tuple]]:
    rows: dict[str, set[tuple]] = {name: set() for name in TABLES}
    for d in documents:
        for name, some in rows_of_mess(d).items():
            rows[name] |= set(some)
    return rows


def found(target) -> dict[str, set[tuple]]:
    rows, connection = {}, target.connect()
    try:
        cursor = connection.cursor()
        for name, columns in TABLES.items():
            if "MySQLdb" not in type(connection).__module__:  # psycopg gives JSON as what it stands for, a null as NULL
                columns = columns.replace("value", "value::text").replace("extra", "extra::text")
            cursor.execute(f"SELECT {columns} FROM {name}")
            rows[name] = cursor.fetchall()
        document = lambda v: None if v is None else spelled(json.loads(v))
        rows["mess"] = [(i, amount, document(value), note, bool(has), document(extra)) for i, amount, value, note, has, extra in rows["mess"]]
        rows = {name: {tuple(row) for row in some} for name, some in rows.items()}
    finally:
        connection.close()
    return rows


class Mess:
    """What was acknowledged is in `documents`, by the id's text."""

    def __init__(self, database, documents: int, rate: float, seed: int):
        driver()
        from bson import Decimal128, Int64, ObjectId
        self.int64, self.object_id, self.decimal = Int64, ObjectId, Decimal128
        self.random, self.pause, self.database = random.Random(seed), 1 / rate, database
        self.documents: dict[str, dict] = {}
        self.number, self.acknowledged, self.failure = 0, 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        db = database.connect(uuidRepresentation="standard")
        some = [self.make() for _ in range(documents)]
        db.mess.insert_many(some)
        db.client.close()
        self.documents = {id_text(d["_id"]): d for d in some}

    def drifting(self, n: int):
        """A whole number as an int32, an int64, a double or a text."""
        return self.random.choice([n, self.int64(n), float(n), str(n)])

    def anything(self):
        r = self.random
        return r.choice([r.randrange(100), self.int64(1 << 40), 0.5, "text", True, None, self.decimal("12.34"), self.object_id(),
                         datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc), [1, "two", [3.5]], {"a": {"b": None}}, b"bytes", {}])

    def some_days(self) -> dict:
        return {f"2026-03-{day:02}": self.drifting(self.random.randrange(1000)) for day in self.random.sample(range(1, 29), self.random.randint(0, 4))}

    def some_groups(self) -> list:
        r = self.random
        return [{"title": f"group {r.randrange(100)}",
                 "members": [{"who": r.choice(["Ann", "Žofie", "李"]), "roles": r.sample(["reads", "writes", "owns"], r.randint(0, 3))} for _ in range(r.randint(0, 3))]}
                for _ in range(r.randint(0, 3))]

    def make(self) -> dict:
        r = self.random
        self.number += 1
        n = self.number
        d = {"_id": [self.object_id(), f'key "{n}"', n, self.int64((1 << 40) + n), n + 0.5, UUID(int=r.getrandbits(128)), {"region": f"r{n % 7}", "nr": n},
                     datetime.fromtimestamp(1_700_000_000 + n, timezone.utc)][n % 8]}
        fields = {"amount": self.drifting(r.randrange(-10 ** 9, 10 ** 9)), "value": self.anything(), "note": r.choice([None, "a note", ""]), "days": self.some_days(),
                  "groups": r.choice([None, self.some_groups()]), "legacy": {"v": n}, f"unknown {n % 5}": self.anything()}
        return d | {k: fields[k] for k in r.sample(list(fields), r.randint(2, len(fields)))}

    def start(self) -> "Mess":
        self.thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(60)
        if self.failure:
            raise self.failure

    def _once(self, db) -> None:
        r = self.random
        name = r.choice(list(self.documents))
        old = self.documents[name]
        match r.randrange(5):
            case 0:
                new = self.make()
                db.mess.insert_one(new)
                self.documents[id_text(new["_id"])] = new
            case 1:
                db.mess.delete_one({"_id": old["_id"]})
                del self.documents[name]
            case 2:
                new = self.make() | {"_id": old["_id"]}
                db.mess.replace_one({"_id": old["_id"]}, new)
                self.documents[name] = new
            case _:
                some = {"amount": self.drifting(r.randrange(1000)), "groups": self.some_groups(), "note": r.choice([None, "another"])}
                some = {k: some[k] for k in r.sample(list(some), r.randint(1, 3))}
                db.mess.update_one({"_id": old["_id"]}, {"$set": some})
                self.documents[name] = old | some

    def _work(self) -> None:
        db = self.database.connect(uuidRepresentation="standard")
        try:
            while not self.stopping.wait(self.pause):
                self._once(db)
                self.acknowledged += 1
        except Exception as error:  # shown by whoever watches
            self.failure = error
        finally:
            db.client.close()
