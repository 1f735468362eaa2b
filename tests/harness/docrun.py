"""A migration of the shop's documents (doccases.py) as the tests run it, and the application when it writes to the tables."""
from __future__ import annotations

import threading
import time
from datetime import timezone

from harness.doccases import TABLES, Documents, difference, expected, found, rows_of_user, shop_map
from harness.servers import wait_for

QUICK = {"copy": {"jobs": 2, "chunk_rows": 40, "max_load": 0}, "heartbeat": "500ms", "schema_check": "500ms",
         "cutover": {"max_pause": "60s", "max_lag": "16MB", "flag_delay": "100ms"}}


def begin(migration, source, target, map_=None, **config):
    """The server is shared by tests, and so is its database midflight: each migration has a name of its own."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in QUICK.items()}
    for key, value in config.items():
        merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    url = {"source": source.url(**config.get("url", {}))}
    merged.pop("url", None)
    return migration(source, target, config={"migration": source.name[:40].lower(), **url, "map": map_ or shop_map(source.name), **merged})


def documents(source) -> dict:
    """What the documents there are as rows."""
    db = source.connect()
    try:
        return expected(list(db.users.find()), list(db.ledger.find()))
    finally:
        db.client.close()


def level(source, target, timeout: float = 90) -> None:
    """Nobody writes: waits until both sides have the same."""
    last = [""]

    def look():
        last[0] = difference(documents(source), found(target))
        return not last[0]
    try:
        wait_for(look, timeout, "both sides level", interval=0.2)
    except TimeoutError:
        raise AssertionError(last[0]) from None


def raw_documents(source, collection: str) -> dict:
    """Their bytes, by _id."""
    from bson.codec_options import CodecOptions, DatetimeConversion
    from bson.raw_bson import RawBSONDocument
    db = source.connect()
    try:
        some = db.get_collection(collection, codec_options=CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS))
        return {repr(d["_id"]) if d["_id"].__hash__ is None or isinstance(d["_id"], RawBSONDocument) else d["_id"]: bytes(d.raw) for d in some.find()}
    finally:
        db.client.close()


class Kills:
    """Runs that end by kill -9 at a fault point."""

    def __init__(self, m):
        self.m = m

    def at(self, point: str, hit: int = 1) -> None:
        self.m.start(fault=f"{point}:{hit}=kill")
        assert self.m.wait_exit(60) == -9, f"{point}:{hit}\n{self.m.tail()}"


class SqlShop:
    """The application after the cutover: one client that puts, changes and deletes users with all their rows, each in one transaction, and counts up the
    ledger. After an error it does the same once more, so that what it remembers is what is there."""

    def __init__(self, target, users: list[dict], ledger: list[dict], *, rate: float = 12.0, seed: int = 3):
        self.target, self.rate = target, rate
        self.make = Documents(seed)
        self.users, self.ledger = {d["_id"]: d for d in users}, {d["_id"]: d for d in ledger}
        self.touched: set = set()
        self.stopping, self.held, self.idle = threading.Event(), threading.Event(), threading.Event()
        self.acknowledged, self.failure, self.connection = 0, None, None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.thread.join(120)
        if self.failure and kind is None:
            raise self.failure

    def writes(self, n: int = 20, timeout: float = 90) -> None:
        before = self.acknowledged
        wait_for(lambda: self.failure or self.acknowledged >= before + n, timeout, f"{n} more writes")
        if self.failure:
            raise self.failure

    def hold(self) -> None:
        self.held.set()
        wait_for(lambda: self.failure or self.idle.is_set(), 60, "the client to stand still")

    def go_on(self) -> None:
        self.idle.clear()
        self.held.clear()

    def expected(self) -> dict:
        return expected(self.users.values(), self.ledger.values())

    def _work(self) -> None:
        try:
            while not self.stopping.is_set():
                if self.held.is_set():
                    self.idle.set()
                    time.sleep(0.01)
                    continue
                self._once()
                self.acknowledged += 1
                self.stopping.wait(self.make.random.random() * 2 / self.rate)
        except BaseException as error:
            self.failure = error
        finally:
            self.idle.set()
            self._close()

    def _once(self) -> None:
        r = self.make.random
        what = r.random()
        if what < 0.3:
            entry = dict(r.choice(list(self.ledger.values())))
            entry |= {"version": entry["version"] + 1, "value": self.make.word(30)}
            self._sure([("UPDATE ledger SET version = %s, value = %s WHERE id = %s", (entry["version"], entry["value"], entry["_id"]))])
            self.ledger[entry["_id"]] = entry
            return
        gone = what >= 0.85
        d = self.make.user() if what < 0.45 else self.users[r.choice(list(self.users))]
        if 0.45 <= what < 0.85:
            d = self.make.changed(d)
        self._sure(statements(d, gone))
        self.touched.add(d["_id"])
        if gone:
            del self.users[d["_id"]]
        else:
            self.users[d["_id"]] = d

    def _sure(self, some: list) -> None:
        end = time.monotonic() + 90
        while True:
            try:
                self._transaction(some)
                return
            except Exception as error:  # whatever this driver calls a server that is gone
                self._close()
                if time.monotonic() > end or self.stopping.is_set():
                    raise
                last = error
            time.sleep(0.1)
            del last

    def _transaction(self, some: list) -> None:
        if self.connection is None:
            self.connection = self.target.connect(autocommit=False)
        cursor = self.connection.cursor()
        for sql, values in some:
            cursor.execute(sql, values)
        self.connection.commit()

    def _close(self) -> None:
        try:
            if self.connection is not None:
                self.connection.close()
        except Exception:
            pass
        self.connection = None


def statements(d: dict, gone: bool) -> list:
    """All rows of a user anew, children first out and last in."""
    id_ = str(d["_id"])
    of = {"users": "id"}
    out = [(f"DELETE FROM {t} WHERE {of.get(t, 'users_id')} = %s", (id_,)) for t in ("user_tags", "user_order_lines", "user_orders", "user_settings", "users")]
    if gone:
        return out
    moments = {"since": lambda d, row: d.get("since"), "placed": lambda d, row: d["orders"][row[1]]["placed"]}
    for table, rows in rows_of_user(d).items():
        columns = TABLES[table].split(", ")
        for row in rows:
            values = [moments[c](d, row) if c in moments else v for c, v in zip(columns, row)]
            values = [v.astimezone(timezone.utc).isoformat(" ", "milliseconds").removesuffix("+00:00") if hasattr(v, "astimezone") else v for v in values]
            out.append((f"INSERT INTO {table} ({TABLES[table]}) VALUES ({', '.join(['%s'] * len(columns))})", tuple(values)))
    return out
