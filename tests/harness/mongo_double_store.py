"""What mongo_double.py keeps: collections with versions of each document, the oplog, sessions and their transactions, and the file that all of it is
replayed from.

Every write is an Entry with a time of its own, in the file before it is seen. A time (`ts`) is an int: seconds << 32 | increment, later than all before it,
also than those of before a restart. The oplog's documents are made when they are asked for ("Replica Set Oplog" in the manual; fields as a 7.0 has them in
src/mongo/db/repl/oplog_entry.idl).
"""
from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import time
import uuid
from bisect import bisect_left, bisect_right, insort
from collections import deque
from pathlib import Path

import bson
from bson import Binary, Int64, Timestamp

from harness.mongo_double_indexes import refused_since, uniques
from harness.mongo_double_values import HIGHEST, LOWEST, RAW, Refused, document, field, join, now_ms, order, raw_of, value

HISTORY_S = 300  # minSnapshotHistoryWindowInSeconds
VERSIONS_MAX = 500_000  # that are kept for snapshots, sooner than that
TRANSACTION_S = 60  # transactionLifetimeLimitSeconds
TRANSACTION_BYTES = 16 << 20  # of operations in one entry of the oplog


def stamp(ts: int) -> Timestamp:
    return Timestamp(ts >> 32, ts & 0xFFFFFFFF)


def time_of(t) -> int:
    return t.time << 32 | t.inc


_heads: dict = {}  # of operations as they are kept: most share one
_long = struct.Struct("<q").pack


def _document(body: bytes) -> bytes:
    return struct.pack("<i", len(body) + 5) + body + b"\0"


NOBODY = hashlib.sha256(b"").digest()  # whose a session is, where nobody has to say who he is


class Blocked(Exception):
    """Somebody's transaction has written it: to be tried again when that one has ended."""

    def __init__(self, transaction: "Transaction"):
        self.transaction = transaction


class Record:
    __slots__ = ("versions", "lock")

    def __init__(self):
        self.versions: list = []  # (ts, bytes or None for deleted), by ts
        self.lock: Transaction | None = None

    def now(self):
        return self.versions[-1][1] if self.versions else None

    def at(self, ts: int):
        for when, raw in reversed(self.versions):
            if when <= ts:
                return raw
        return None


class Collection:
    def __init__(self, db: str, name: str, ui: bytes, options: dict):
        self.db, self.name, self.ui, self.options = db, name, ui, options
        self.records: dict = {}  # by order of _id; in the order of insertion
        self.keys: list = []  # sorted
        self.indexes: list = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]
        self.unique: list = []  # what of them forbids something, besides that of _id
        self.count = self.bytes = 0

    @property
    def ns(self) -> str:
        return f"{self.db}.{self.name}"

    @property
    def images(self) -> bool:
        return bool(self.options.get("changeStreamPreAndPostImages", {}).get("enabled"))

    def record(self, key: tuple) -> Record:
        found = self.records.get(key)
        if found is None:
            found = self.records[key] = Record()
            if not self.keys or self.keys[-1] < key:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        return found

    def forget(self, key: tuple) -> None:
        del self.records[key]
        del self.keys[bisect_left(self.keys, key)]

    def between(self, spans) -> list:
        """The keys in intervals, each once, in order."""
        if spans is None:
            return list(self.records)
        found, done = [], 0
        for low, with_low, high, with_high in spans:
            first = 0 if low == LOWEST else bisect_left(self.keys, low) if with_low else bisect_right(self.keys, low)
            last = len(self.keys) if high == HIGHEST else bisect_right(self.keys, high) if with_high else bisect_left(self.keys, high)
            found += self.keys[max(first, done):last]
            done = max(done, last)
        return found


class Op:
    """One operation: i, u, d of a document; c a command; n nothing. `o` is the document, the difference or the command; `post` what is there after."""
    __slots__ = ("kind", "db", "name", "ui", "o", "o2", "pre", "post", "images")

    def __init__(self, kind: str, db: str, name: str, ui: bytes | None, o: bytes, o2: bytes | None = None, pre=None, post=None, images=False):
        self.kind, self.db, self.name, self.ui, self.o, self.o2, self.pre, self.post, self.images = kind, db, name, ui, o, o2, pre, post, images

    @property
    def replaces(self) -> bool:
        return self.kind == "u" and self.o is self.post

    def logged(self) -> dict:
        """As the oplog has it, in an entry of its own or in applyOps."""
        ns = "" if self.kind == "n" else f"{self.db}.{self.name}"
        o = {"$v": 2, "diff": document(self.o)} if self.kind == "u" and not self.replaces else document(self.o)
        said = {"op": self.kind, "ns": ns} | ({"ui": Binary(self.ui, 4)} if self.ui else {}) | {"o": o}
        return said | ({"o2": document(self.o2)} if self.o2 and self.kind != "d" else {})

    def kept(self) -> bytes:
        head = _heads.get((self.kind, self.db, self.name, self.ui))
        if head is None:
            head = bson.encode({"k": self.kind, "d": self.db, "n": self.name, "u": self.ui})[4:-1]
            _heads[(self.kind, self.db, self.name, self.ui)] = head
        body = [head, b"\3o\0", self.o]
        if self.o2:
            body += [b"\3i\0", self.o2]
        if self.post is not None and self.post is not self.o:
            body += [b"\3p\0", self.post]
        if self.images:
            body.append(b"\x08m\0\1")
        return _document(b"".join(body))


class Entry:
    __slots__ = ("ts", "wall", "ops", "lsid", "number", "stmt", "result", "transaction", "parts")

    def __init__(self, ops: list, lsid: bytes | None = None, number: int | None = None, stmt: int | None = None, result: bytes | None = None,
                 transaction: bool = False):
        self.ts = self.wall = 0
        self.ops, self.lsid, self.number, self.stmt, self.result, self.transaction = ops, lsid, number, stmt, result, transaction
        self.parts: list = []  # times of the entries of the oplog before the last one, of a large transaction

    def documents(self) -> list:
        """(ts, document) as local.oplog.rs shows them: one, or several of a large transaction."""
        who = {"lsid": document(self.lsid), "txnNumber": Int64(self.number)} if self.lsid else {}
        tail = {"t": Int64(1), "v": Int64(2), "wall": bson.DatetimeMS(self.wall)}
        none = {"ts": Timestamp(0, 0), "t": Int64(-1)}
        if not self.transaction:
            retry = {"stmtId": self.stmt, "prevOpTime": none} if self.stmt is not None else {}
            return [(self.ts, bson.encode(who | self.ops[0].logged() | {"ts": stamp(self.ts)} | tail | retry))]
        found, before = [], none
        for ts, ops in zip([*self.parts, self.ts], chunks(self.ops)):
            o = {"applyOps": [op.logged() for op in ops]} | ({"partialTxn": True} if ts != self.ts else {})
            if ts == self.ts and self.parts:
                o["count"] = Int64(len(self.ops))
            found.append((ts, bson.encode(who | {"op": "c", "ns": "admin.$cmd", "o": o, "ts": stamp(ts)} | tail | {"prevOpTime": before})))
            before = {"ts": stamp(ts), "t": Int64(1)}
        return found

    def size(self) -> int:
        return 200 + sum(len(op.o) + len(op.post or b"") * (op.post is not op.o) for op in self.ops)

    def kept(self) -> bytes:
        body = [b"\x12t\0", _long(self.ts), b"\x12w\0", _long(self.wall)]
        ops = [b"\3%d\0" % n + op.kept() for n, op in enumerate(self.ops)]
        body += [b"\4o\0", _document(b"".join(ops))]
        if self.lsid:
            body += [b"\3l\0", self.lsid, b"\x12n\0", _long(self.number)]
        if self.stmt is not None:
            body += [b"\x10s\0", struct.pack("<i", self.stmt), b"\3r\0", self.result]
        if self.transaction:
            body.append(bson.encode({"x": True, "parts": [Int64(p) for p in self.parts]})[4:-1])
        return _document(b"".join(body))


def chunks(ops: list) -> list:
    found, size = [[]], 0
    for op in ops:
        more = len(op.o) + 200
        if found[-1] and size + more > TRANSACTION_BYTES - 4096:
            found.append([])
            size = 0
        found[-1].append(op)
        size += more
    return found


class Transaction:
    def __init__(self, session: "Session", number: int, read: int):
        self.session, self.number, self.read = session, number, read
        self.began = time.monotonic()
        self.state = "open"
        self.collections: dict = {}  # (db, name): made inside
        self.writes: dict = {}  # (ui, key): (record, bytes or None)
        self.ops: list = []
        self.ended: asyncio.Future | None = None


class Session:
    def __init__(self, lsid: bytes):
        self.lsid = lsid
        self.number = -1
        self.transaction: Transaction | None = None
        self.results: dict = {}  # of retryable writes with this number, by statement


class Store:
    def __init__(self, folder: Path, oplog_bytes: int):
        self.collections: dict = {}  # (db, name)
        self.sessions: dict = {}
        self.oplog: list = []  # entries
        self.gone = 0  # how many were cut off in front
        self.oplog_bytes, self.oplog_max = 0, oplog_bytes
        self.ts = 0
        self.lost = 0  # everything up to this time is no longer in the oplog
        self.superseded: deque = deque()  # (time, collection, key): the versions before that time can go when it is long ago
        self.floor = 0  # what was there before this time is no longer known
        self.waiting: list = []
        self.majority: int | None = None  # the time up to which a majority has all; None: all there is
        self.folder = folder
        self.file = os.open(folder / "log", os.O_RDWR | os.O_CREAT, 0o600)
        self._replay()
        if not self.ts:
            self.commit([Entry([Op("n", "", "", None, raw_of({"msg": "initiating set"}))])])

    # -- the file ------------------------------------------------------------------------------------------------
    def _replay(self) -> None:
        with os.fdopen(os.dup(self.file), "rb") as f:
            good = 0
            while len(head := f.read(4)) == 4:
                raw = head + f.read(max(struct.unpack("<i", head)[0] - 4, 0))
                if len(raw) < 5 or len(raw) != struct.unpack("<i", head)[0]:
                    break
                self._restore(bson.decode(raw, RAW))
                good += len(raw)
        os.ftruncate(self.file, good)  # what was being written when the process was killed has not been answered
        os.lseek(self.file, good, os.SEEK_SET)

    def _restore(self, said) -> None:
        if "lost" in said:
            self._cut(said["lost"])
            return
        ops = []
        for one in said["o"]:
            o = one["o"].raw
            ui = bytes(one["u"]) if one["u"] is not None else None
            post = one["p"].raw if "p" in one else o if one["k"] in "iu" else None
            ops.append(Op(one["k"], one["d"], one["n"], ui, o, one["i"].raw if "i" in one else None, None, post, "m" in one))
        entry = Entry(ops, said["l"].raw if "l" in said else None, said.get("n"), said.get("s"), said["r"].raw if "r" in said else None, "x" in said)
        entry.ts, entry.wall, entry.parts = int(said["t"]), int(said["w"]), [int(p) for p in said.get("parts", [])]
        self.ts = entry.ts
        self._take(entry)
        if entry.lsid:
            session = self.session(entry.lsid)
            if entry.number > session.number:
                session.number, session.results, session.transaction = int(entry.number), {}, None
            if entry.stmt is not None:
                session.results[entry.stmt] = entry.result
            if entry.transaction:
                session.transaction = Transaction(session, int(entry.number), 0)
                session.transaction.state = "committed"

    def hold(self) -> None:
        self.majority, self.majority_end = self.ts, os.lseek(self.file, 0, os.SEEK_CUR)

    def rolled_back(self) -> "Store":
        """As it was at hold(); times go on."""
        os.ftruncate(self.file, self.majority_end)
        os.close(self.file)
        new = Store(self.folder, self.oplog_max)
        new.ts = max(new.ts, self.ts)
        self.wake()
        return new

    def next(self) -> int:
        self.ts = max(self.ts + 1, int(time.time()) << 32 | 1)
        return self.ts

    def commit(self, entries: list) -> int:
        """Makes them so: times, the file, what is read, the oplog, those who wait for it."""
        out = []
        for entry in entries:
            if entry.transaction:
                entry.parts = [self.next() for _ in chunks(entry.ops)[1:]]
            entry.ts, entry.wall = self.next(), now_ms()
            out.append(entry.kept())
        data = memoryview(b"".join(out))
        while data:
            data = data[os.write(self.file, data):]
        for entry in entries:
            self._take(entry)
        self._tidy()
        self.wake()
        return self.ts

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def news(self, timeout: float) -> None:
        """Returns when something was written, or at the timeout."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            if future in self.waiting:
                self.waiting.remove(future)

    def _take(self, entry: Entry) -> None:
        for op in entry.ops:
            if op.kind in "iud":
                collection = self.collections[(op.db, op.name)]
                key = order(*field(op.o2, b"_id"))
                record = collection.record(key)
                op.pre = record.now()
                if record.versions:
                    self.superseded.append((entry.ts, collection, key))
                record.versions.append((entry.ts, op.post))
                if op.post is None:
                    self.superseded.append((entry.ts, collection, key))
                for index in collection.unique:
                    index.take(key, op.pre, op.post)
                collection.count += (op.post is not None) - (op.pre is not None)
                collection.bytes += len(op.post or b"") - len(op.pre or b"")
            elif op.kind == "c":
                self._command(op)
        self.oplog.append(entry)
        self.oplog_bytes += entry.size()
        while self.oplog_bytes > self.oplog_max and len(self.oplog) > 1:
            self._cut(self.oplog[0].ts)

    def _command(self, op: Op) -> None:
        said = bson.decode(op.o)
        what, name = next(iter(said.items()))
        if what == "create":
            options = {k: v for k, v in said.items() if k not in ("create", "idIndex")}
            self.collections[(op.db, name)] = Collection(op.db, name, op.ui, options)
        elif what == "drop":
            self.collections.pop((op.db, name), None)
        elif what == "renameCollection":
            old, new = tuple(name.split(".", 1)), tuple(said["to"].split(".", 1))
            moved = self.collections.pop(old)
            moved.db, moved.name = new
            self.collections[new] = moved
        elif what == "collMod":
            self.collections[(op.db, name)].options.update({k: v for k, v in said.items() if k != "collMod"})
        elif what in ("createIndexes", "commitIndexBuild"):
            made = said["indexes"] if what == "commitIndexBuild" else [{k: v for k, v in said.items() if k != "createIndexes"}]
            of = self.collections[(op.db, name)]
            of.indexes += made
            new = uniques(made)
            for index in new:
                index.fill(of.ns, of.records)
            of.unique += new
        elif what == "dropIndexes":
            of = self.collections[(op.db, name)]
            of.indexes = [i for i in of.indexes if i["name"] != said["index"]]
            of.unique = [i for i in of.unique if i.spec["name"] != said["index"]]

    def _cut(self, until: int) -> None:
        n = bisect_right(self.oplog, until, key=lambda e: e.ts)
        self.oplog_bytes -= sum(e.size() for e in self.oplog[:n])
        if n:
            self.lost = max(self.lost, self.oplog[n - 1].ts)
        del self.oplog[:n]
        self.gone += n

    def lose(self, until: int) -> None:
        """The oplog up to a time is gone, as if the window had moved on."""
        os.write(self.file, bson.encode({"lost": Int64(until)}))
        self._cut(until)
        self.wake()

    def _tidy(self) -> None:
        before = int(time.time()) - HISTORY_S << 32
        while self.superseded and (self.superseded[0][0] < before or len(self.superseded) > VERSIONS_MAX):
            self.floor, collection, key = self.superseded.popleft()
            record = collection.records.get(key)
            if record and len(record.versions) > 1:
                del record.versions[0]
            elif record and record.now() is None and not record.lock:
                collection.forget(key)

    # -- what is there -------------------------------------------------------------------------------------------
    def find(self, db: str, name: str, transaction: Transaction | None = None):
        found = self.collections.get((db, name))
        return found if found or not transaction else transaction.collections.get((db, name))

    def databases(self) -> list:
        return sorted({db for db, _ in self.collections})

    def read(self, collection: Collection, key: tuple, at: int | None = None, transaction: Transaction | None = None):
        if transaction:
            mine = transaction.writes.get((collection.ui, key))
            if mine:
                return mine[1]
            at = transaction.read
        if at is not None and at < self.floor:
            raise Refused(239, "SnapshotTooOld", "Read timestamp is older than the oldest available timestamp.",
                          labels=("TransientTransactionError",) if transaction else ())
        record = collection.records.get(key)
        return None if record is None else record.now() if at is None else record.at(at)

    def of(self, db: str, o: dict, ui: bytes | None = None, o2: dict | None = None) -> Op:
        return Op("c", db, "$cmd", ui, bson.encode(o), bson.encode(o2) if o2 else None)

    def made(self, db: str, name: str, options: dict | None = None) -> Op:
        return self.of(db, {"create": name} | (options or {}) | {"idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}, uuid.uuid4().bytes)

    # -- sessions and transactions -------------------------------------------------------------------------------
    def session(self, lsid: bytes) -> Session:
        key = field(lsid, b"id")[1]
        if key not in self.sessions:
            self.sessions[key] = Session(join([(b"id", 5, key), (b"uid", *value(NOBODY))]))
        return self.sessions[key]

    def begin(self, session: Session, number: int, read: int | None) -> Transaction:
        self.abort(session.transaction)
        session.number, session.results = number, {}
        session.transaction = Transaction(session, number, read or self.ts)
        return session.transaction

    def claim(self, collection: Collection, key: tuple, transaction: Transaction | None) -> Record:
        """A document that is about to be written."""
        record = collection.record(key)
        if record.lock and record.lock is not transaction:
            if not transaction:
                raise Blocked(record.lock)
            self._conflict(transaction)
        if transaction:
            if record.versions and record.versions[-1][0] > transaction.read:
                self._conflict(transaction)
            record.lock = transaction
            transaction.writes.setdefault((collection.ui, key), (record, record.now()))
        return record

    def _conflict(self, transaction: Transaction) -> None:
        self.abort(transaction)
        raise Refused(112, "WriteConflict", "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please retry your operation "
                      "or multi-document transaction.", labels=("TransientTransactionError",))

    def written(self, transaction: Transaction, collection: Collection, key: tuple, op: Op) -> None:
        transaction.writes[(collection.ui, key)] = (transaction.writes[(collection.ui, key)][0], op.post)
        transaction.ops.append(op)

    def _end(self, transaction: Transaction, state: str) -> None:
        transaction.state = state
        for record, _ in transaction.writes.values():
            if record.lock is transaction:
                record.lock = None
        transaction.writes, transaction.ops, transaction.collections = {}, [], {}
        if transaction.ended and not transaction.ended.done():
            transaction.ended.set_result(None)

    def abort(self, transaction: Transaction | None) -> None:
        if transaction and transaction.state == "open":
            self._end(transaction, "aborted")

    def finish(self, transaction: Transaction) -> None:
        for where in transaction.collections:
            if where in self.collections:
                self._conflict(transaction)
        for ui in {ui for ui, _ in transaction.writes}:
            of = next((c for c in self.collections.values() if c.ui == ui), None)
            if of and of.unique and refused_since(of, transaction):
                self._conflict(transaction)
        if transaction.ops:
            self.commit([Entry(transaction.ops, transaction.session.lsid, transaction.number, transaction=True)])
        self._end(transaction, "committed")

    def idle(self, collection: Collection) -> None:
        """Nobody's transaction has written to it."""
        for session in self.sessions.values():
            t = session.transaction
            if t and t.state == "open" and any(ui == collection.ui for ui, _ in t.writes):
                raise Blocked(t)

    def expire(self) -> None:
        for session in self.sessions.values():
            t = session.transaction
            if t and t.state == "open" and time.monotonic() - t.began > TRANSACTION_S:
                self.abort(t)
