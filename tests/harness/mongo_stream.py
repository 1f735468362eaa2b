"""The change stream of a MongoDB deployment, driven without the rest of midflight: what it hands out, and a client that writes there."""
from __future__ import annotations

import pytest

from harness.mongo_servers import driver
from harness.pgread import Read

driver()
import bson  # noqa: E402

WAYS = ("ferretdb", "java", "double")  # by the oplog, by the oplog, by a change stream


class Stream:
    def __init__(self, kind: str, server, **named):
        self.kind, self.server = kind, server
        self.client = server.connect()
        self.shop = self.client.shop
        for name in ("users", "orders"):
            self.shop[name].insert_one({"_id": "first"})
        self.read = Read(server.url("shop"), **named)
        self.read.catalog()
        start = self.read.prepare()
        self.at = start["position"], start["position_token"]

    def open(self, at=None) -> "Stream":
        order, token = at or self.at
        self.read.stream_open(**{"from": order, "from_token": token})
        return self

    def again(self) -> "Stream":
        """From where what was told ended."""
        self.read.stream_close()
        return self.open()

    def items(self, **named) -> list[dict]:
        items = self.read.read_until_now(**named)["items"]
        for i in items:
            if i["kind"] in ("commit", "progress"):
                self.at = i["position"], i["position_token"]
        return items

    def changes_until_now(self) -> list[list]:
        """Transactions with something of an application's in them."""
        out, now = [], []
        for i in self.items():
            if i["kind"] == "change" and i["table"] in ("users", "orders"):
                now.append(told(i))
            elif i["kind"] == "commit":
                out += [now] if now else []
                now = []
        assert not now
        return out

    def close(self) -> None:
        self.read.close()
        self.client.close()


def told(i: dict) -> tuple:
    key, document = i.get("new") or i["old"]
    document = bson.decode(bytes.fromhex(document["hex"])) if isinstance(document, dict) and "hex" in document else None
    return i["op"], i["table"], key, document


def state_of(transactions, state=None) -> dict:
    """What a replica has after them: the keys of the collection users."""
    state = {} if state is None else state
    for t in transactions:
        for op, table, key, document in t:
            if table == "users":
                state.pop(key, None) if op == "delete" else state.__setitem__(key, document)
    return state


@pytest.fixture
def stream(own_mongo):
    made = []

    def make(kind: str, **named) -> Stream:
        made.append(Stream(kind, own_mongo(kind), **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
