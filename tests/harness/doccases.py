"""Documents of a shop, what they are as rows, and an application that never stops writing them.

What a document's rows are is worked out here, by hand for this one map: nothing of midflight's is asked. A judge compares what the target has with what the
documents of the source must have become, and with what the application was told is written.
"""
from __future__ import annotations

import random
import threading
import time
from datetime import datetime, timedelta, timezone

from harness.docsides import MongoSide
from harness.mongo_servers import driver
from harness.servers import wait_for

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def shop_map(database: str) -> list[dict]:
    """`map:` of the two collections, to tables whose names have no schema."""
    return [
        {"collection": f"{database}.users", "to": "users", "ignore": ["_class"],
         "columns": [
             {"path": "_id", "column": "id", "type": "objectid"},
             {"path": "name", "type": "string(100)"},
             {"path": "email", "type": "string(200)", "missing": "null"},
             {"path": "age", "type": "int", "missing": "null"},
             {"path": "balance", "type": "double"},
             {"path": "address", "present": "has_address"},
             {"path": "address.street", "type": "string(100)", "missing": "null"},
             {"path": "address.city", "type": "string(100)", "missing": "null"},
             {"path": "note", "type": "string(500)", "missing": "null", "null": "null"},
             {"path": "note", "present": "has_note"},
             {"path": "since", "type": "date", "missing": "null"},
         ],
         "tables": [
             {"path": "tags", "to": "user_tags", "missing": "empty", "columns": [{"path": ".", "column": "tag", "type": "string(40)"}]},
             {"path": "orders", "to": "user_orders", "columns": [
                 {"path": "number", "type": "int32"}, {"path": "placed", "type": "date"}, {"path": "total", "type": "double"}],
              "tables": [{"path": "lines", "to": "user_order_lines", "position": "line", "columns": [
                  {"path": "sku", "type": "string(40)"}, {"path": "n", "type": "int32"}]}]},
             {"path": "settings", "to": "user_settings", "kind": "map", "key": "name", "missing": "empty",
              "columns": [{"path": ".", "column": "value", "type": "string(100)"}]},
         ]},
        {"collection": f"{database}.ledger", "to": "ledger",
         "columns": [{"path": "_id", "column": "id", "type": "string(40)"}, {"path": "client", "type": "int32"}, {"path": "version", "type": "int32"},
                     {"path": "value", "type": "string(100)"}]},
    ]


TABLES = {
    "users": "id, name, email, age, balance, has_address, address_street, address_city, note, has_note, since",
    "user_tags": "users_id, position, tag",
    "user_orders": "users_id, position, number, placed, total",
    "user_order_lines": "users_id, position, line, sku, n",
    "user_settings": "users_id, name, value",
    "ledger": "id, client, version, value",
}


def ms(moment) -> int | None:
    """A moment as milliseconds since 1970, whatever a driver gives for it."""
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def rows_of_user(d: dict) -> dict[str, list[tuple]]:
    id_, address = str(d["_id"]), d.get("address")
    users = [(id_, d["name"], d.get("email"), d.get("age"), d["balance"], "address" in d, (address or {}).get("street"), (address or {}).get("city"),
              d.get("note"), "note" in d, ms(d.get("since")))]
    orders = d["orders"]
    return {
        "users": users,
        "user_tags": [(id_, i, tag) for i, tag in enumerate(d.get("tags", []))],
        "user_orders": [(id_, i, o["number"], ms(o["placed"]), o["total"]) for i, o in enumerate(orders)],
        "user_order_lines": [(id_, i, l, line["sku"], line["n"]) for i, o in enumerate(orders) for l, line in enumerate(o["lines"])],
        "user_settings": [(id_, k, v) for k, v in d.get("settings", {}).items()],
    }


def expected(users, ledger) -> dict[str, set[tuple]]:
    rows: dict[str, set[tuple]] = {name: set() for name in TABLES}
    for d in users:
        for name, some in rows_of_user(d).items():
            rows[name] |= set(some)
    rows["ledger"] = {(d["_id"], d["client"], d["version"], d["value"]) for d in ledger}
    return rows


def found(target) -> dict[str, set[tuple]]:
    """What the target has: anything with connect() of a DB-API."""
    rows = {}
    connection = target.connect()
    try:
        cursor = connection.cursor()
        for name, columns in TABLES.items():
            cursor.execute(f"SELECT {columns} FROM {name}")
            fetched = [tuple(r) for r in cursor.fetchall()]
            moments = [i for i, c in enumerate(columns.split(", ")) if c in ("placed", "since")]
            truths = [i for i, c in enumerate(columns.split(", ")) if c.startswith("has_")]
            rows[name] = {tuple(ms(v) if i in moments else bool(v) if i in truths else v for i, v in enumerate(row)) for row in fetched}
            if len(rows[name]) != len(fetched):
                raise AssertionError(f"{name} has a row twice")
    finally:
        connection.close()
    return rows


def difference(wanted: dict, got: dict) -> str:
    """"" when there is none."""
    parts = []
    for name in TABLES:
        missing, extra = wanted[name] - got[name], got[name] - wanted[name]
        if missing or extra:
            parts.append(f"{name}: {len(missing)} missing {sorted(missing, key=repr)[:2]}, {len(extra)} extra {sorted(extra, key=repr)[:2]}")
    return "; ".join(parts)


class Documents:
    """Makes documents by chance. plain: without what the poorer servers have not (nested arrays are in none)."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        driver()
        from bson import Int64, ObjectId
        self.int64, self.object_id = Int64, ObjectId

    def word(self, most: int = 12) -> str:
        return "".join(self.random.choice("abcdeéñ漢字😀 '\"\\%_") for _ in range(self.random.randint(1, most))) or "x"

    def moment(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=self.random.randrange(30_000_000_000))

    def order(self) -> dict:
        r = self.random
        return {"number": r.randrange(1 << 31), "placed": self.moment(), "total": r.randrange(10 ** 6) / 100,
                "lines": [{"sku": self.word(), "n": r.randint(1, 9)} for _ in range(r.randint(0, 3))]}

    def user(self) -> dict:
        r = self.random
        d = {"_id": self.object_id(), "name": self.word(), "balance": r.choice([0.1, 1e300, 5.0, r.random()]), "_class": "shop.User",
             "orders": [self.order() for _ in range(r.randint(0, 3))]}
        if r.random() < 0.7:
            d["email"] = f"{r.randrange(10 ** 9)}@example.org"
        if r.random() < 0.7:
            d["age"] = r.choice([r.randint(0, 100), self.int64(r.randint(1 << 32, 1 << 40))])
        if r.random() < 0.6:
            d["address"] = {k: self.word() for k in r.sample(["street", "city"], r.randint(0, 2))}
        match r.randint(0, 2):
            case 0:
                d["note"] = None
            case 1:
                d["note"] = self.word(200)
        if r.random() < 0.5:
            d["since"] = self.moment()
        if r.random() < 0.7:
            d["tags"] = [self.word() for _ in range(r.randint(0, 4))]
        if r.random() < 0.5:
            d["settings"] = {f"k{i}": self.word() for i in r.sample(range(20), r.randint(0, 4))}
        return d

    def changed(self, d: dict) -> dict:
        """Another document of the same id: a few things are different."""
        r, new = self.random, self.user()
        kept = {k: v for k, v in d.items() if k not in r.sample(["name", "orders", "tags", "settings", "address", "note", "age", "email"], 3)}
        for k, v in new.items():
            if k not in ("_id",) and k not in kept:
                kept[k] = v
        if r.random() < 0.5 and kept["orders"]:
            kept["orders"] = [*kept["orders"][: r.randint(0, len(kept["orders"]))], self.order()]
        return kept


class Shop:
    """The application: `clients` threads, each with documents of its own. Users are replaced, set in part, deleted and made anew; the ledger's
    entries count up. What was acknowledged is remembered. longest_wait: of one write, with all its attempts."""

    def __init__(self, database, *, clients: int = 2, users: int = 60, rate: float = 60.0, seed: int = 1, side=None):
        """side: makes what a client writes by (harness/docsides.py); unless said, the documents' own database."""
        self.database, self.clients, self.rate, self.seed, self.users_each = database, clients, rate, seed, users
        self.side, self.longest_wait = side or (lambda: MongoSide(database)), 0.0
        self.stopping, self.held = threading.Event(), threading.Event()
        self.users: list[dict] = [{} for _ in range(clients)]
        self.ledger: list[dict] = [{} for _ in range(clients)]
        self.acknowledged, self.failure = 0, None
        self.idle = [threading.Event() for _ in range(clients)]
        self.threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(clients)]

    def fill(self) -> "Shop":
        """Before anybody looks."""
        db = self.database.connect()
        for client in range(self.clients):
            make = Documents(self.seed * 1000 + client)
            some = [make.user() for _ in range(self.users_each)]
            db.users.insert_many(some)
            self.users[client] = {d["_id"]: d for d in some}
            entries = [{"_id": f"{client}:{n}", "client": client, "version": 0, "value": ""} for n in range(20)]
            db.ledger.insert_many(entries)
            self.ledger[client] = {d["_id"]: d for d in entries}
        db.client.close()
        return self

    def start(self) -> "Shop":
        for thread in self.threads:
            thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
        if self.failure:
            raise self.failure

    def hold(self) -> None:
        """Nobody writes from here on, as an application that has heard of the flag."""
        self.held.set()
        wait_for(lambda: self.failure or all(e.is_set() for e in self.idle), 60, "the clients to stand still")

    def go_on(self) -> None:
        self.held.clear()

    def writes(self, n: int = 30, timeout: float = 90) -> None:
        before = self.acknowledged
        wait_for(lambda: self.failure or self.acknowledged >= before + n, timeout, f"{n} more writes")
        if self.failure:
            raise self.failure

    def expected(self) -> dict:
        return expected([d for mine in self.users for d in mine.values()], [d for mine in self.ledger for d in mine.values()])

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
        if self.failure and kind is None:
            raise self.failure

    # ---- a client ----
    def _work(self, client: int) -> None:
        make = Documents(self.seed * 7919 + client)
        side = self.side()
        try:
            while not self.stopping.is_set():
                if self.held.is_set():
                    self.idle[client].set()
                    time.sleep(0.01)
                    continue
                self.idle[client].clear()
                begun = time.monotonic()
                self._once(side, client, make)
                self.longest_wait = max(self.longest_wait, time.monotonic() - begun)
                self.acknowledged += 1
                self.stopping.wait(self.clients / self.rate * make.random.random() * 2)
        except BaseException as error:
            self.failure = error
        finally:
            self.idle[client].set()
            side.close()

    def _once(self, side, client: int, make: Documents) -> None:
        r, mine = make.random, self.users[client]
        what = r.random()
        if what < 0.3:
            entry = dict(r.choice(list(self.ledger[client].values())))
            entry |= {"version": entry["version"] + 1, "value": make.word(30)}
            self._sure(side, lambda: side.count(entry))
            self.ledger[client][entry["_id"]] = entry
        elif what < 0.5 or not mine:
            d = make.user()
            self._sure(side, lambda: side.insert(d))
            mine[d["_id"]] = d
        elif what < 0.65:
            id_ = r.choice(list(mine))
            self._sure(side, lambda: side.delete(id_))
            del mine[id_]
        else:
            d = make.changed(mine[r.choice(list(mine))])
            self._sure(side, lambda: side.replace(d))
            mine[d["_id"]] = d

    def _sure(self, side, action) -> None:
        """Until it is acknowledged: after an error nobody knows whether it was done, and all of it may be done again."""
        end = time.monotonic() + 120
        while True:
            try:
                action()
                return
            except side.errors:
                if time.monotonic() > end or self.stopping.is_set():
                    raise
            time.sleep(0.02)


def arrived(shop: Shop, target, timeout: float = 90) -> None:
    """The application stands still: waits until the target has what it was told is written."""
    wanted, last = shop.expected(), [""]

    def look():
        last[0] = difference(wanted, found(target))
        return not last[0]
    try:
        wait_for(look, timeout, "the rows", interval=0.2)
    except TimeoutError:
        raise AssertionError(last[0]) from None
