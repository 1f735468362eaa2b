"""The commands that mongo_double.py answers: of documents and of cursors. Replies are those of the manual's "Database Commands" for 7.0, error codes those of
error_codes.yml; transactions and retryable writes as the drivers' specifications have them (transactions, retryable-writes, sessions)."""
from __future__ import annotations

import asyncio
import random
import struct
import time

import bson
from bson import Int64
from bson.raw_bson import RawBSONDocument

from harness.mongo_double_changes import Stream
from harness.mongo_double_indexes import check
from harness.mongo_double_store import HISTORY_S, Blocked, Collection, Entry, Op, Store, stamp, time_of
from harness.mongo_double_updates import updated, upserted, with_id
from harness.mongo_double_values import (EMPTY, NULL, BRACKET, Refused, at, bad, document, encode, evaluate, exact, field, intervals, join, join_array, key_of, matches,
                                         new_id, now_ms, number, order, project, python, raw_of, sorted_by, split, text, truth, value)

REPLY_MAX = 16 << 20
DOCUMENT_MAX = 16 << 20
FIRST_BATCH = 101
WRITES = {"insert", "update", "delete", "findAndModify", "findandmodify"}


class Context:
    """One command: its body, whose it is, what it reads."""

    def __init__(self, store: Store, body: dict, connection):
        self.store, self.body, self.connection = store, body, connection
        self.name, self.target = next(iter(body.items()))
        self.db = body.get("$db", "admin")
        self.session = self.transaction = self.at = None
        self.number = body.get("txnNumber")
        limit = body.get("maxTimeMS")
        self.until = time.monotonic() + limit / 1000 if limit else None

    def open(self) -> None:
        """The session, its transaction, the time that is read."""
        body, store = self.body, self.store
        if "lsid" in body:
            self.session = store.session(body["lsid"].raw)
        collation = body.get("collation")
        if collation and collation.get("locale") != "simple":
            raise Refused(238, "NotImplemented", "collations are not known here")
        concern = body.get("readConcern") or {}
        level = concern.get("level", "local")
        if "atClusterTime" in concern:
            self.at = time_of(concern["atClusterTime"])
        elif level == "snapshot" and body.get("autocommit") is not False:
            self.at = store.ts
        elif level == "majority" and store.majority is not None and body.get("autocommit") is not False and self.name in ("find", "aggregate", "count", "distinct"):
            self.at = store.majority
        if self.at is not None and self.at > store.ts:
            raise bad(f"Requested read timestamp {self.at >> 32} is later than the latest cluster time", 2)
        if self.at is not None and (self.at < store.floor or time.time() - (self.at >> 32) > HISTORY_S):
            raise Refused(239, "SnapshotTooOld", "Read timestamp is older than the oldest available timestamp.")
        after = time_of(concern["afterClusterTime"]) if "afterClusterTime" in concern else 0
        if after > store.ts:  # the server writes a no-operation to get there
            if after >> 32 > time.time() + 86400:
                raise bad("afterClusterTime is too far in the future")
            store.ts = after - 1
            store.commit([Entry([Op("n", "", "", None, encode({"msg": "noop write for afterClusterTime"}))])])
        if self.number is None or self.session is None:
            return
        session = self.session
        if self.number < session.number:
            raise Refused(225, "TransactionTooOld", f"Cannot start transaction with number {self.number}: a newer one, {session.number}, has already started",
                          labels=("TransientTransactionError",) if body.get("autocommit") is False else ())
        if body.get("autocommit") is not False:
            if self.number > session.number:
                store.abort(session.transaction)
                session.number, session.results, session.transaction = self.number, {}, None
            return
        if body.get("startTransaction"):
            if not self.connection.server.transactions:  # as a server says that is no member of a set
                raise Refused(20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos")
            if session.number == self.number and session.transaction and session.transaction.number == self.number and session.transaction.state != "aborted":
                raise Refused(117, "ConflictingOperationInProgress", "Only servers in a sharded cluster can start a new transaction at the active number")
            self.transaction = store.begin(session, int(self.number), self.at)
        else:
            self.transaction = session.transaction
            name = self.name
            if not self.transaction or self.transaction.number != self.number or (
                    self.transaction.state != "open" and not (name == "commitTransaction" and self.transaction.state == "committed")):
                raise Refused(251, "NoSuchTransaction", f"Given transaction number {self.number} does not match any in-progress transactions.",
                              labels=("TransientTransactionError",))
        self.at = None

    def collection(self, name: str | None = None):
        return self.store.find(self.db, name or self.target, self.transaction)

    def lines(self, name: str) -> list:
        """A list of documents, which may have come beside the body."""
        return [raw_of(one) for one in self.body.get(name, [])]


# ---- reading -------------------------------------------------------------------------------------------------------

def scan(c: Context, collection: Collection | None, filter_: bytes, spans=None):
    """(key, document) of what matches, by _id where the filter is about it, else in the order of insertion."""
    if collection is None:
        return
    mine = spans is None
    spans = spans if spans is not None else intervals(filter_)
    keys = collection.between(spans)
    if c.transaction:
        known = set(keys)
        own = [k for ui, k in c.transaction.writes if ui == collection.ui and k not in known]
        keys = sorted([*keys, *own]) if spans is not None else [*keys, *own]
    plain = filter_ == EMPTY or (mine and not c.transaction and exact(filter_))
    for key in keys:
        raw = c.store.read(collection, key, c.at, c.transaction)
        if raw is not None and (plain or matches(filter_, raw)):
            yield key, raw


def oplog(store: Store, filter_: bytes, backwards: bool = False, after: int = 0):
    """Entries as documents; those of a range of ts are found without reading all."""
    low = after
    for name, t, v in split(filter_):
        if name == b"ts" and t == 3:
            for op, _, ov in split(v):
                if op in (b"$gt", b"$gte") and len(ov) == 8:
                    low = max(low, int.from_bytes(ov, "little") - (op == b"$gte"))
    from bisect import bisect_right
    entries = store.oplog[bisect_right(store.oplog, low, key=lambda e: e.ts):]
    for entry in reversed(entries) if backwards else entries:
        for ts, raw in reversed(entry.documents()) if backwards else entry.documents():
            if ts > after and matches(filter_, raw):
                yield raw


class Cursor:
    """What is left of a result: documents, or a stream that waits for more."""

    def __init__(self, ns: str, docs, stream: Stream | None = None, tail=None):
        self.ns, self.docs, self.stream, self.tail = ns, iter(docs), stream, tail
        self.ahead = None
        self.used = time.monotonic()

    def batch(self, most: int) -> tuple:
        found, size = [], 0
        if self.stream:
            return self.stream.take(most), self.stream.ended
        while len(found) < most:
            one = self.ahead if self.ahead is not None else next(self.docs, None)
            self.ahead = None
            if one is None:
                return found, True
            if found and size + len(one) > REPLY_MAX - 4096:
                self.ahead = one
                break
            found.append(one)
            size += len(one) + 12
        if len(found) == most and self.ahead is None:
            self.ahead = next(self.docs, None)
            if self.ahead is None:
                return found, True
        return found, False

    def tailed(self, most: int) -> list:
        found = []
        for raw in self.tail(self):
            found.append(raw)
            self.after = int.from_bytes(field(raw, b"ts")[1], "little")
            if len(found) >= most:
                break
        return found


class Commands:
    """What every connection shares. A method named do_x answers the command x."""

    def __init__(self, store: Store):
        self.store = store
        self.cursors: dict = {}

    def _reply(self, number: int, cursor: Cursor, batch: list, first: bool) -> dict:
        body = {"firstBatch" if first else "nextBatch": [document(raw) for raw in batch]}
        if cursor.stream:
            body["postBatchResumeToken"] = {"_data": cursor.stream.water}
        return {"cursor": body | {"id": Int64(number), "ns": cursor.ns}}

    def opened(self, cursor: Cursor, size: int | None, single: bool = False, at: int | None = None) -> dict:
        most = FIRST_BATCH if size is None else size
        batch, done = cursor.batch(most) if most or cursor.stream is None else ([], False)
        number = 0
        if not (done or single):
            number = random.getrandbits(62) | 1
            self.cursors[number] = cursor
        reply = self._reply(number, cursor, batch, True)
        if at is not None:
            reply["cursor"]["atClusterTime"] = stamp(at)
        return reply

    async def do_find(self, c: Context) -> dict:
        body = c.body
        filter_ = raw_of(body.get("filter"))
        ns = f"{c.db}.{c.target}"
        limit, skip = abs(body.get("limit", 0)), body.get("skip", 0)
        sort = raw_of(body.get("sort"))
        projection = raw_of(body.get("projection"))
        if ns == "local.oplog.rs":
            return self._find_oplog(c, filter_, projection, limit, sort)
        if ns == "local.system.replset":
            return self.opened(Cursor(ns, [encode(c.connection.server.config())]), 101)
        docs = self._found(c, c.collection(), filter_, sort)
        if skip or limit:
            docs = (d for n, d in enumerate(docs) if n >= skip)
            docs = self._first(docs, limit) if limit else docs
        if projection != EMPTY:
            docs = (project(projection, d) for d in docs)
        size = body.get("batchSize")
        return self.opened(Cursor(ns, docs), size, bool(body.get("singleBatch")), c.at)

    @staticmethod
    def _first(docs, limit: int):
        for n, one in enumerate(docs, 1):
            yield one
            if n == limit:
                return

    def _found(self, c: Context, collection, filter_: bytes, sort: bytes):
        """Documents as they are when their turn comes, as a cursor of the real one reads them, but for a snapshot or a transaction."""
        spans, plain = intervals(filter_), exact(filter_)
        low, high = c.body.get("min"), c.body.get("max")
        if low is not None or high is not None:
            if "hint" not in c.body:
                raise Refused(51173, "Location51173", "When using min()/max() a hint of which index to use must be provided")
            ends = [(key_of(field(raw_of(b), b"_id")) if b is not None else d) for b, d in ((low, (-1,)), (high, (99,)))]
            spans, plain = [(ends[0], True, ends[1], False)], False
        order_ = split(sort)
        hinted = c.body.get("hint") is not None and (c.body["hint"] == "_id_" or "_id" in c.body["hint"])
        if collection is not None and hinted and spans is None:
            spans = [((-1,), True, (99,), True)]
        if len(order_) >= 1 and order_[0][0] == b"_id":
            everything = [((-1,), True, (99,), True)]
            return self._lazily(c, collection, filter_, everything if spans is None else spans, number(*order_[0][1:]) < 0, plain)
        if order_ and order_[0][0] != b"$natural":
            return sorted_by(sort, [raw for _, raw in scan(c, collection, filter_, spans)])
        return self._lazily(c, collection, filter_, spans, bool(order_) and number(*order_[0][1:]) < 0, plain)

    def _lazily(self, c: Context, collection, filter_: bytes, spans, backwards: bool, plain: bool = False):
        if collection is None:
            return []
        if c.transaction:
            found = [raw for _, raw in scan(c, collection, filter_, spans)]
            return reversed(found) if backwards else found
        keys = collection.between(spans)
        if backwards:
            keys.reverse()
        read, plain = self.store.read, plain or filter_ == EMPTY
        return (raw for raw in (read(collection, k, c.at) for k in keys) if raw is not None and (plain or matches(filter_, raw)))

    def _find_oplog(self, c: Context, filter_: bytes, projection: bytes, limit: int, sort: bytes) -> dict:
        backwards = field(sort, b"$natural") is not None and number(*field(sort, b"$natural")) < 0
        shown = lambda docs: (project(projection, d) for d in docs) if projection != EMPTY else docs
        docs = shown(oplog(self.store, filter_, backwards))
        if limit:
            docs = self._first(docs, limit)
        if not c.body.get("tailable"):
            return self.opened(Cursor("local.oplog.rs", docs), c.body.get("batchSize"), bool(c.body.get("singleBatch")))
        cursor = Cursor("local.oplog.rs", [], None, lambda cur: oplog(self.store, filter_, after=cur.after))
        cursor.after = 0
        batch = cursor.tailed(c.body.get("batchSize") or FIRST_BATCH)
        n = random.getrandbits(62) | 1
        self.cursors[n] = cursor
        return self._reply(n, cursor, batch, True)

    async def do_getMore(self, c: Context) -> dict:
        cursor = self.cursors.get(int(c.target))
        if cursor is None:
            raise Refused(43, "CursorNotFound", f"cursor id {c.target} not found")
        cursor.used = time.monotonic()
        most = c.body.get("batchSize") or 1 << 30
        if not (cursor.stream or cursor.tail):
            batch, done = cursor.batch(most)
        else:
            batch, done = await self._awaited(c, cursor, most)
        if done:
            self.cursors.pop(int(c.target), None)
        return self._reply(0 if done else int(c.target), cursor, batch, False)

    async def _awaited(self, c: Context, cursor: Cursor, most: int) -> tuple:
        end, term = c.until or time.monotonic() + 1.0, c.connection.server.term
        while True:
            try:
                batch, done = cursor.batch(most) if cursor.stream else (cursor.tailed(most), False)
            except Refused:
                self.cursors.pop(int(c.target), None)
                raise
            left = end - time.monotonic()
            if batch or done or left <= 0:
                return batch, done
            await self.store.news(left)
            if c.connection.server.term != term:
                raise Refused(11602, "InterruptedDueToReplStateChange", "operation was interrupted")
            if int(c.target) not in self.cursors:
                raise Refused(237, "CursorKilled", "cursor was killed")

    def expire(self) -> None:
        """Cursors that nobody has read for ten minutes (cursorTimeoutMillis)."""
        for n in [n for n, cursor in self.cursors.items() if time.monotonic() - cursor.used > 600]:
            del self.cursors[n]

    async def do_killCursors(self, c: Context) -> dict:
        killed = [n for n in c.body["cursors"] if self.cursors.pop(int(n), None)]
        self.store.wake()
        return {"cursorsKilled": killed, "cursorsNotFound": [n for n in c.body["cursors"] if n not in killed], "cursorsAlive": [], "cursorsUnknown": []}

    async def do_count(self, c: Context) -> dict:
        if c.transaction:
            raise Refused(263, "OperationNotSupportedInTransaction", "Cannot run 'count' in a multi-document transaction.")
        filter_, collection = raw_of(c.body.get("query")), c.collection()
        n = 0 if collection is None else collection.count if filter_ == EMPTY else sum(1 for _ in scan(c, collection, filter_))
        n = max(n - c.body.get("skip", 0), 0)
        return {"n": min(n, c.body["limit"]) if c.body.get("limit") else n}

    async def do_distinct(self, c: Context) -> dict:
        seen = {}
        for _, raw in scan(c, c.collection(), raw_of(c.body.get("query"))):
            for v in at((3, raw), c.body["key"].encode().split(b".")):
                for one in ([e[1:] for e in split(v[1])] if v and v[0] == 4 else [v]):
                    if one is not None:
                        seen.setdefault(order(*one), one)
        return {"values": [python(seen[k]) for k in sorted(seen)]}

    # -- aggregate -----------------------------------------------------------------------------------------------
    async def do_aggregate(self, c: Context) -> dict:
        stages = c.lines("pipeline")
        cursor = c.body.get("cursor")
        if cursor is None:
            raise Refused(9, "FailedToParse", "The 'cursor' option is required, except for aggregate with the explain argument")
        name = c.target if isinstance(c.target, str) else None
        ns = f"{c.db}.{name or '$cmd.aggregate'}"
        size = cursor.get("batchSize")
        if stages and field(stages[0], b"$changeStream"):
            if c.transaction:
                raise Refused(263, "OperationNotSupportedInTransaction", "$changeStream cannot be used in a transaction")
            return self.opened(Cursor(ns, [], Stream(self.store, c.db, name, stages)), size)
        docs = None
        for n, stage in enumerate(stages):
            op, t, v = split(stage)[0]
            if docs is None:
                if op in (b"$collStats", b"$currentOp", b"$listLocalSessions", b"$documents"):
                    docs = self._about(c, op, v, name)
                    continue
                if op == b"$match":
                    docs = oplog(self.store, v) if ns == "local.oplog.rs" else self._lazily(c, c.collection(), v, intervals(v), False, exact(v))
                    continue
                if op == b"$sort" and split(v)[0][0] == b"_id":
                    docs = self._found(c, c.collection(), EMPTY, v)
                    continue
                docs = oplog(self.store, EMPTY) if ns == "local.oplog.rs" else self._lazily(c, c.collection(), EMPTY, None, False)
            docs = self._stage(op, (t, v), docs)
        if docs is None:
            docs = self._lazily(c, c.collection(), EMPTY, None, False)
        return self.opened(Cursor(ns, docs), size, at=c.at)

    def _about(self, c: Context, op: bytes, v: bytes, name) -> list:
        if op != b"$collStats":
            return []
        collection = c.collection()
        found = {"ns": f"{c.db}.{name}", "host": c.connection.server.host, "localTime": bson.DatetimeMS(now_ms())}
        if field(v, b"count"):
            if collection is None:
                raise Refused(26, "NamespaceNotFound", f"Unable to retrieve count in $collStats stage :: caused by :: Collection [{c.db}.{name}] not found.")
            found["count"] = collection.count
        if field(v, b"storageStats"):
            found["storageStats"] = self.statistics(collection) if found["ns"] != "local.oplog.rs" else self.oplog_statistics()
        return [encode(found)]

    def oplog_statistics(self) -> dict:
        store = self.store
        return {"size": store.oplog_bytes, "count": len(store.oplog), "storageSize": store.oplog_bytes, "capped": True, "maxSize": store.oplog_max, "nindexes": 0}

    @staticmethod
    def statistics(of) -> dict:
        n, size = (of.count, of.bytes) if of else (0, 0)
        return {"size": size, "count": n} | ({"avgObjSize": size // n} if n else {}) | {
            "storageSize": size + 4096, "totalIndexSize": 4096 + 20 * n, "totalSize": size + 8192 + 20 * n, "capped": False, "nindexes": len(of.indexes) if of else 0,
            "numOrphanDocs": 0, "freeStorageSize": 0, "indexSizes": {i["name"]: 4096 for i in (of.indexes if of else [])}}

    def _stage(self, op: bytes, given, docs):
        t, v = given
        if op == b"$match":
            return (d for d in docs if matches(v, d))
        if op == b"$project":
            return (project(v, d) for d in docs)
        if op == b"$sort":
            return sorted_by(v, list(docs))
        if op == b"$limit":
            return self._first(docs, int(number(t, v)))
        if op == b"$skip":
            return (d for n, d in enumerate(docs) if n >= number(t, v))
        if op == b"$sample":
            listed = list(docs)
            return random.sample(listed, min(int(number(*field(v, b"size"))), len(listed)))
        if op == b"$count":
            n = sum(1 for _ in docs)
            return [join([(text(v), *value(n))])] if n else []
        if op == b"$group":
            return self._grouped(v, docs)
        if op == b"$bucketAuto":
            return self._buckets(v, list(docs))
        if op in (b"$set", b"$addFields", b"$unset", b"$replaceWith", b"$replaceRoot"):
            from harness.mongo_double_updates import piped
            return (piped(d, [join([(op, t, v)])])[0] for d in docs)
        raise Refused(40324, "Location40324", f"Unrecognized pipeline stage name: '{op.decode(errors='replace')}'")

    @staticmethod
    def _accumulate(op: bytes, values: list):
        there = [w for w in values if w is not None]
        if op == b"$sum":
            return value(sum(number(*w) for w in there if BRACKET[w[0]] == 2))
        if op == b"$count":
            return value(len(values))
        if op == b"$avg":
            numbers = [number(*w) for w in there if BRACKET[w[0]] == 2]
            return value(sum(numbers) / len(numbers)) if numbers else NULL
        if op in (b"$min", b"$max"):
            there = [w for w in there if w[0] != 10]
            return (min if op == b"$min" else max)(there, key=key_of, default=NULL)
        if op in (b"$first", b"$last"):
            return (values[0] if op == b"$first" else values[-1]) or NULL
        if op == b"$push":
            return 4, join_array(there)
        raise Refused(15952, "Location15952", f"unknown group operator '{op.decode()}'")

    def _grouped(self, v: bytes, docs) -> list:
        by = field(v, b"_id")
        groups: dict = {}
        for d in docs:
            mine = evaluate(by, d) or NULL
            groups.setdefault(order(*mine), (mine, []))[1].append(d)
        return [join([(b"_id", *mine), *self._fields(v, members, b"_id")]) for mine, members in groups.values()]

    def _fields(self, v: bytes, members: list, without: bytes) -> list:
        found = []
        for name, _, spec in split(v):
            if name != without:
                op, et, ev = split(spec)[0]
                found.append((name, *self._accumulate(op, [evaluate((et, ev), d) for d in members])))
        return found

    def _buckets(self, v: bytes, docs: list) -> list:
        by, n = field(v, b"groupBy"), int(number(*field(v, b"buckets")))
        pairs = sorted(((evaluate(by, d) or NULL, d) for d in docs), key=lambda p: order(*p[0]))
        size, found, first = max(1, round(len(pairs) / n)), [], 0
        output = field(v, b"output")
        while first < len(pairs):
            last = len(pairs) if len(found) == n - 1 else min(first + size, len(pairs))
            while last < len(pairs) and order(*pairs[last][0]) == order(*pairs[last - 1][0]):
                last += 1
            ends = join([(b"min", *pairs[first][0]), (b"max", *pairs[last if last < len(pairs) else -1][0])])
            members = [d for _, d in pairs[first:last]]
            rest = self._fields(output[1], members, b"") if output else [(b"count", *value(len(members)))]
            found.append(join([(b"_id", 3, ends), *rest]))
            first = last
        return found

    # -- writing -------------------------------------------------------------------------------------------------
    async def _whenever(self, c: Context, once):
        """Again when a transaction that is in the way has ended."""
        while True:
            try:
                return once()
            except Blocked as blocked:
                t = blocked.transaction
                t.ended = t.ended or asyncio.get_running_loop().create_future()
                left = c.until - time.monotonic() if c.until else 120
                try:
                    await asyncio.wait_for(asyncio.shield(t.ended), max(left, 0.001))
                except asyncio.TimeoutError:
                    raise Refused(50, "MaxTimeMSExpired", "operation exceeded time limit") from None

    def ensure(self, c: Context, name: str, options: dict | None = None) -> Collection:
        found = self.store.find(c.db, name, c.transaction)
        if found:
            return found
        if not name or "$" in name or "\0" in name or name.startswith("."):
            raise Refused(73, "InvalidNamespace", f"Invalid collection name: {name}")
        op = self.store.made(c.db, name, options)
        if c.transaction:
            c.transaction.ops.append(op)
            c.transaction.collections[(c.db, name)] = Collection(c.db, name, op.ui, options or {})
        else:
            self.store.commit([Entry([op])])
        return self.store.find(c.db, name, c.transaction)

    def _give(self, c: Context, collection: Collection, key: tuple, op: Op, result: dict, stmt: int | None) -> Entry | None:
        """An operation that is decided: into the transaction, else an entry to commit."""
        if op.post is not None and collection.unique:
            check(collection, key, op.post, c.transaction)
        op.images = collection.images
        if c.transaction:
            self.store.written(c.transaction, collection, key, op)
            return None
        if c.session and c.number is not None:
            kept = encode(result)
            c.session.results[stmt] = kept
            return Entry([op], c.session.lsid, int(c.number), stmt, kept)
        return Entry([op])

    def _inserted(self, c: Context, collection: Collection, raw: bytes, stmt: int, result: dict) -> Entry | None:
        if raw[4:9] != b"\x07_id\0":
            _id = field(raw, b"_id") or new_id()
            raw = with_id(raw, _id)
        else:
            _id = 7, raw[9:21]
        if _id[0] in (4, 6, 11):
            raise bad(f"The '_id' value cannot be of type {'array' if _id[0] == 4 else 'regex'}", 53, "InvalidIdField")
        if len(raw) > DOCUMENT_MAX:
            raise Refused(10334, "BSONObjectTooLarge", f"object to insert too large. size in bytes: {len(raw)}, max size: {DOCUMENT_MAX}")
        key = order(*_id)
        record = self.store.claim(collection, key, c.transaction)
        there = self.store.read(collection, key, None, c.transaction) if c.transaction else record.now()
        o2 = join([(b"_id", *_id)])
        if there is not None:
            if c.transaction:
                self.store.abort(c.transaction)
            raise Refused(11000, "DuplicateKey", f"E11000 duplicate key error collection: {collection.ns} index: _id_ dup key: {{ _id: {python(_id)!r} }}",
                          more={"keyPattern": {"_id": 1}, "keyValue": document(o2)})
        return self._give(c, collection, key, Op("i", collection.db, collection.name, collection.ui, raw, o2, None, raw), result, stmt)

    def _changed(self, c: Context, collection: Collection, raw: bytes, update, stmt, result: dict) -> tuple:
        """(entry, document after, whether it changed)"""
        _id = field(raw, b"_id")
        key = order(*_id)
        self.store.claim(collection, key, c.transaction)
        after, difference = updated(raw, update)
        if difference is None:
            return None, after, False
        if len(after) > DOCUMENT_MAX:
            raise Refused(17419, "Location17419", f"Resulting document after update is larger than {DOCUMENT_MAX}")
        o = after if difference == "replace" else difference
        op = Op("u", collection.db, collection.name, collection.ui, o, join([(b"_id", *_id)]), raw, after)
        return self._give(c, collection, key, op, result, stmt), after, True

    def _deleted(self, c: Context, collection: Collection, raw: bytes, stmt, result: dict) -> Entry | None:
        _id = field(raw, b"_id")
        key = order(*_id)
        self.store.claim(collection, key, c.transaction)
        o = join([(b"_id", *_id)])
        return self._give(c, collection, key, Op("d", collection.db, collection.name, collection.ui, o, o, raw, None), result, stmt)

    def _commit(self, entries: list) -> None:
        entries = [e for e in entries if e]
        if entries:
            self.store.commit(entries)

    async def _statements(self, c: Context, statements: list, one) -> dict:
        """Each statement by itself; what went wrong by its place."""
        reply, errors, ids = {"n": 0}, [], c.body.get("stmtIds")
        for index, statement in enumerate(statements):
            stmt = ids[index] if ids else c.body.get("stmtId", 0) + index
            known = c.session.results.get(stmt) if c.session and c.number is not None and not c.transaction else None
            try:
                result = bson.decode(known) if known else await self._whenever(c, lambda: one(statement, stmt))
            except Refused as error:
                if c.transaction and error.code != 11000:
                    raise
                if c.transaction:  # write_ops_exec.cpp, handleError: the batch ends, and so does the transaction
                    self.store.abort(c.transaction)
                    return reply | {"writeErrors": [{"index": index, "code": error.code, "errmsg": error.message} | error.more]}
                errors.append({"index": index, "code": error.code, "errmsg": error.message} | error.more)
                if c.body.get("ordered", True):
                    break
                continue
            reply["n"] += result["n"]
            if "nModified" in result:
                reply["nModified"] = reply.get("nModified", 0) + result["nModified"]
            if "upserted" in result:
                reply.setdefault("upserted", []).append({"index": index, "_id": result["upserted"]})
        return self._acknowledged(c, reply | ({"writeErrors": errors} if errors else {}))

    def _acknowledged(self, c: Context, reply: dict) -> dict:
        if c.transaction:
            return reply
        return reply | {"electionId": bson.ObjectId("7fffffff0000000000000001"), "opTime": {"ts": stamp(self.store.ts), "t": Int64(1)}}

    async def do_insert(self, c: Context) -> dict:
        documents = c.lines("documents")
        self.ensure(c, c.target)
        if c.transaction or (c.session and c.number is not None and c.session.results):
            def one(raw, stmt):
                self._commit([self._inserted(c, self.ensure(c, c.target), raw, stmt, {"n": 1})])
                return {"n": 1}
            return await self._statements(c, documents, one)
        return await self._statements_at_once(c, documents)

    async def _statements_at_once(self, c: Context, documents: list) -> dict:
        """Inserts share a write to the file; each has a time of its own."""
        entries, errors, fresh = [], [], set()
        for index, raw in enumerate(documents):
            try:
                def once(raw=raw, index=index):
                    collection = self.ensure(c, c.target)
                    if collection.unique:
                        self._commit(entries)
                        entries.clear()
                    try:
                        entry = self._inserted(c, collection, raw, index, {"n": 1})
                    except Blocked:  # others may write while we wait
                        self._commit(entries)
                        entries.clear()
                        raise
                    key = order(*field(entry.ops[0].o2, b"_id"))
                    if key in fresh:
                        self._commit(entries)
                        entries.clear()
                        return self._inserted(c, collection, raw, index, {"n": 1})
                    fresh.add(key)
                    return entry
                try:
                    entries.append(once())
                except Blocked:
                    entries.append(await self._whenever(c, once))
            except Refused as error:
                errors.append({"index": index, "code": error.code, "errmsg": error.message} | error.more)
                if c.body.get("ordered", True):
                    break
        self._commit(entries)
        n = errors[0]["index"] if errors and c.body.get("ordered", True) else len(documents) - len(errors)
        return self._acknowledged(c, {"n": n} | ({"writeErrors": errors} if errors else {}))

    async def do_update(self, c: Context) -> dict:
        return await self._statements(c, c.lines("updates"), lambda s, stmt: self._update(c, s, stmt))

    def _update(self, c: Context, statement: bytes, stmt: int) -> dict:
        if field(statement, b"arrayFilters") or field(statement, b"collation"):
            raise Refused(238, "NotImplemented", "arrayFilters and collations are not known here")
        filter_, (ut, uv) = field(statement, b"q")[1], field(statement, b"u")
        update = [e[2] for e in split(uv)] if ut == 4 else uv
        multi = truth(field(statement, b"multi"))
        if multi and ut == 3 and uv[5:6] != b"$":
            raise Refused(9, "FailedToParse", "multi update is not supported for replacement-style update")
        collection = c.collection()
        found = [raw for _, raw in scan(c, collection, filter_)] if multi else self._first((raw for _, raw in scan(c, collection, filter_)), 1)
        n = changed = 0
        entries = []
        for raw in list(found):
            n += 1
            entry, _, different = self._changed(c, collection, raw, update, None if multi else stmt, {"n": 1, "nModified": 1})
            if collection.unique:
                self._commit([entry])
            else:
                entries.append(entry)
            changed += different
        if n == 0 and truth(field(statement, b"upsert")):
            raw = upserted(filter_, update)
            _id = python(field(raw, b"_id"))
            result = {"n": 1, "nModified": 0, "upserted": _id}
            self._commit([self._inserted(c, self.ensure(c, c.target), raw, stmt, result)])
            return result
        self._commit(entries)
        return {"n": n, "nModified": changed}

    async def do_delete(self, c: Context) -> dict:
        return await self._statements(c, c.lines("deletes"), lambda s, stmt: self._delete(c, s, stmt))

    def _delete(self, c: Context, statement: bytes, stmt: int) -> dict:
        collection = c.collection()
        one = truth(field(statement, b"limit"))
        rows = (raw for _, raw in scan(c, collection, field(statement, b"q")[1]))
        found = list(self._first(rows, 1) if one else rows)
        self._commit([self._deleted(c, collection, raw, stmt if one else None, {"n": 1}) for raw in found])
        return {"n": len(found)}

    async def do_findAndModify(self, c: Context) -> dict:
        stmt = c.body.get("stmtId", 0)
        known = c.session.results.get(stmt) if c.session and c.number is not None and not c.transaction else None
        if known:
            return dict(document(known))
        return await self._whenever(c, lambda: self._find_and_modify(c, stmt))

    do_findandmodify = do_findAndModify

    def _find_and_modify(self, c: Context, stmt: int) -> dict:
        body = c.body
        filter_, sort = raw_of(body.get("query")), raw_of(body.get("sort"))
        fields = raw_of(body.get("fields"))
        shown = lambda raw: None if raw is None else document(project(fields, raw) if fields != EMPTY else raw)
        collection = c.collection()
        found = [raw for _, raw in scan(c, collection, filter_)]
        raw = (sorted_by(sort, found) if sort != EMPTY else found)[0] if found else None
        if body.get("remove"):
            result = {"lastErrorObject": {"n": int(raw is not None)}, "value": shown(raw)}
            if raw is not None:
                self._commit([self._deleted(c, collection, raw, stmt, result)])
            return result
        given = body["update"]
        update = [raw_of(s) for s in given] if isinstance(given, list) else raw_of(given)
        if raw is None:
            if not body.get("upsert"):
                return {"lastErrorObject": {"n": 0, "updatedExisting": False}, "value": None}
            new = upserted(filter_, update)
            last = {"n": 1, "updatedExisting": False, "upserted": python(field(new, b"_id"))}
            result = {"lastErrorObject": last, "value": shown(new) if body.get("new") else None}
            self._commit([self._inserted(c, self.ensure(c, c.target), new, stmt, result)])
            return result
        last = {"n": 1, "updatedExisting": True}
        after = updated(raw, update)[0]
        result = {"lastErrorObject": last, "value": shown(after if body.get("new") else raw)}
        self._commit([self._changed(c, collection, raw, update, stmt, result)[0]])
        return result

    async def do_commitTransaction(self, c: Context) -> dict:
        if c.transaction is None:
            raise Refused(20, "IllegalOperation", "commitTransaction must be run within a transaction")
        if c.transaction.state == "open":
            self.store.finish(c.transaction)
        return {}

    async def do_abortTransaction(self, c: Context) -> dict:
        if c.transaction is None:
            raise Refused(20, "IllegalOperation", "abortTransaction must be run within a transaction")
        self.store.abort(c.transaction)
        return {}

    async def do_endSessions(self, c: Context) -> dict:
        for one in c.body["endSessions"]:
            session = self.store.sessions.pop(field(one.raw, b"id")[1], None)
            if session:
                self.store.abort(session.transaction)
        return {}

    do_killSessions = do_endSessions

    async def do_refreshSessions(self, c: Context) -> dict:
        return {}
