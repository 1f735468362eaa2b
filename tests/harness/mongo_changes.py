"""Change streams of a whole deployment, in front of a FerretDB, which has none: a stand-in for what no server here does.

It passes every message on, one write at a time, and notes what each did: documents by FerretDB's oplog, drops and renames (which are not in it) by the command. Of that it makes
events in the shapes that MongoDB's manual gives them, and answers aggregate with $changeStream, getMore and killCursors by itself: times that grow, tokens to resume after, a token
behind every batch, updates looked up when they are read, transactions with one time, large events in fragments, a history that can be lost.
It is not MongoDB: what a test shows with it is how midflight takes such events.
"""
from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from contextlib import contextmanager
from urllib.parse import quote

from harness.mongo_servers import FerretDB, driver

driver()
import bson  # noqa: E402
from bson import Timestamp  # noqa: E402

WRITES = ("insert", "update", "delete", "findAndModify", "findandmodify", "drop", "renameCollection", "dropDatabase")
NUMBER = itertools.count(1)


def token(when: Timestamp, n: int | None = None) -> dict:
    """Of the n-th event of its time; None: what lies before all of them, a high-water mark."""
    return {"_data": f"82{when.time:08X}{when.inc:08X}" + ("2B0229296E04" if n is None else f"2B042C{n:08X}04")}


def place(data: str) -> tuple:
    n = int(data[24:32], 16) if data[18:24] == "2B042C" else -1
    return int(data[2:10], 16), int(data[10:18], 16), n


class MongoChanges:
    """`with MongoChanges(server) as m: m.url("shop")`. Applications whose writes are to be told go through it, too: m.connect()."""

    def __init__(self, server: FerretDB):
        self.server = server
        self.lock = threading.RLock()  # of everything below, and of writes: one at a time
        self.news = threading.Condition(self.lock)
        self.events: list[dict] = []  # what was told so far, with their places
        self.forgotten = (0, 0, -1)
        self.cursors: dict[int, dict] = {}
        self.inc = 0
        self.open_transaction: dict | None = None
        self.batch_most = 1000
        self.splits = False
        self.opened: list[dict] = []  # the $changeStream stages that were asked for
        self.own = server.connect()
        self.seen = None  # the last entry of FerretDB's oplog
        self._entries()
        self.sockets: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "MongoChanges":
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()
        self.cut()
        self.own.close()

    def url(self, database: str = "", **options) -> str:
        query = "?" + "&".join(f"{k}={v}" for k, v in options.items()) if options else ""
        return f"mongodb://127.0.0.1:{self.port}/{quote(database, safe='')}{query}"

    def connect(self):
        return driver().MongoClient(self.url(), directConnection=True, serverSelectionTimeoutMS=60000)

    def cut(self) -> None:
        """Every connection ends, and the cursors with them."""
        with self.lock:
            for s in list(self.sockets):
                s.close()
            self.cursors.clear()

    def forget(self) -> None:
        """What was told so far cannot be told again."""
        with self.lock:
            if self.events:
                self.forgotten = self.events[-1]["place"]
                self.events.clear()

    @contextmanager
    def transaction(self):
        """Everything written inside has one time, and is told at its end."""
        with self.lock:
            self.open_transaction = {"events": []}
            try:
                yield
            finally:
                events, self.open_transaction = self.open_transaction["events"], None
                self._tell(events, {"txnNumber": bson.Int64(next(NUMBER)), "lsid": {"id": bson.Binary(b"0" * 16, 4)}})

    # -- what was written ----------------------------------------------------------------------------------------
    def _now(self) -> Timestamp:
        return Timestamp(1_700_000_000, self.inc)

    def _tell(self, events: list[dict], more: dict = {}) -> None:
        if not events:
            return
        self.inc += 1
        for n, e in enumerate(events):
            when = self._now()
            self.events.append({"place": (when.time, when.inc, n), "event": {"_id": token(when, n), "clusterTime": when,
                                "wallTime": bson.datetime_ms.DatetimeMS(int(time.time() * 1000)), **e, **more}})
        self.news.notify_all()

    def _entries(self) -> list[dict]:
        found = list(self.own.local["oplog.rs"].find({"ts": {"$gt": self.seen}} if self.seen else {}))
        if found:
            self.seen = max(e["ts"] for e in found)
        return found

    def _note(self, database: str, name: str, body: dict, updates: list[dict]) -> None:
        """What a write did."""
        events = []
        replaced = bool(updates) and all(not str(next(iter(u.get("u") or {"": 0}), "")).startswith("$") for u in updates)
        for e in self._entries():
            db, _, coll = e["ns"].partition(".")
            ns = {"ns": {"db": db, "coll": coll}}
            if e["op"] == "i":
                events.append({"operationType": "insert", **ns, "documentKey": {"_id": e["o"]["_id"]}, "fullDocument": e["o"]})
            elif e["op"] == "d":
                events.append({"operationType": "delete", **ns, "documentKey": {"_id": e["o"]["_id"]}})
            elif replaced:
                events.append({"operationType": "replace", **ns, "documentKey": {"_id": e["o2"]["_id"]}, "fullDocument": e["o"]["$set"]})
            else:
                events.append({"operationType": "update", **ns, "documentKey": {"_id": e["o2"]["_id"]},
                               "updateDescription": {"updatedFields": {}, "removedFields": [], "truncatedArrays": []}})
        if name == "drop":
            events.append({"operationType": "drop", "ns": {"db": database, "coll": body[name]}})
        elif name == "dropDatabase":
            events.append({"operationType": "dropDatabase", "ns": {"db": database}})
        elif name == "renameCollection":
            (db, _, coll), (to_db, _, to_coll) = body[name].partition("."), body["to"].partition(".")
            events.append({"operationType": "rename", "ns": {"db": db, "coll": coll}, "to": {"db": to_db, "coll": to_coll}})
        if self.open_transaction is not None:
            self.open_transaction["events"] += events
        else:
            for e in events:
                self._tell([e])

    # -- streams -------------------------------------------------------------------------------------------------
    @staticmethod
    def _matches(match: dict, e: dict) -> bool:
        first, second, third = match["$or"]
        return (e["ns"]["db"] == first["ns.db"] or e["operationType"] in second["operationType"]["$in"] or e["ns"] in third["ns"]["$in"])

    def _open(self, body: dict) -> dict:
        what = body["pipeline"][0]["$changeStream"]
        self.opened.append(what)
        if "resumeAfter" in what:
            after = place(what["resumeAfter"]["_data"])
        else:
            at = what.get("startAtOperationTime", self._now())
            after = (at.time, at.inc, -1)
        if after < self.forgotten:
            return {"ok": 0.0, "errmsg": "Resume of change stream was not possible, as the resume point may no longer be in the oplog.",
                    "code": 286, "codeName": "ChangeStreamHistoryLost"}
        split = any("$changeStreamSplitLargeEvent" in s for s in body["pipeline"])
        cursor = next(NUMBER) + 10**6
        self.cursors[cursor] = {"after": after, "match": body["pipeline"][1]["$match"], "split": split, "pieces": []}
        return {"ok": 1.0, "cursor": {"id": bson.Int64(cursor), "ns": "admin.$cmd.aggregate", "firstBatch": [], "postBatchResumeToken": token(self._now())}}

    def _whole(self, e: dict) -> dict:
        if e["operationType"] != "update":
            return e
        found = self.own[e["ns"]["db"]][e["ns"]["coll"]].find_one({"_id": e["documentKey"]["_id"]})
        return {**e, "fullDocument": found}

    def _pieces(self, e: dict) -> list[dict]:
        """In three, but for what has no document."""
        if not self.splits or "fullDocument" not in e:
            return [e]
        rest = {k: v for k, v in e.items() if k not in ("_id", "fullDocument", "updateDescription")}
        parts = [rest, {"updateDescription": e.get("updateDescription", {})}, {"fullDocument": e["fullDocument"]}]
        return [{"_id": {"_data": e["_id"]["_data"] + (f"F{i}" if i < 2 else "")}, "splitEvent": {"fragment": i + 1, "of": 3}, **p}
                for i, p in enumerate(parts)]

    def _batch(self, c: dict) -> list[dict]:
        batch = []
        for one in self.events:
            if len(batch) + len(c["pieces"]) >= self.batch_most:
                break
            if one["place"] > c["after"]:
                c["after"] = one["place"]
                if self._matches(c["match"], one["event"]):
                    whole = self._whole(one["event"])
                    c["pieces"] += self._pieces(whole) if c["split"] else [whole]
        batch, c["pieces"] = c["pieces"][:self.batch_most], c["pieces"][self.batch_most:]
        return batch

    def _more(self, body: dict) -> dict:
        c = self.cursors.get(body["getMore"])
        if c is None:
            return {"ok": 0.0, "errmsg": f"cursor id {body['getMore']} not found", "code": 43, "codeName": "CursorNotFound"}
        end = time.monotonic() + body.get("maxTimeMS", 1000) / 1000
        batch = self._batch(c)
        while not batch and (left := end - time.monotonic()) > 0:
            self.news.wait(left)
            batch = self._batch(c)
        # As a mongod: behind a batch with something in it is the last event's token, behind an empty one what has been looked at.
        behind = batch[-1]["_id"] if batch else token(self._now())
        return {"ok": 1.0, "cursor": {"id": bson.Int64(body["getMore"]), "ns": "admin.$cmd.aggregate", "nextBatch": batch, "postBatchResumeToken": behind},
                "operationTime": self._now()}

    # -- the protocol --------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _read(s: socket.socket) -> bytes:
        head = b""
        while len(head) < 4 or len(head) < struct.unpack("<i", head[:4])[0]:
            want = 4 - len(head) if len(head) < 4 else struct.unpack("<i", head[:4])[0] - len(head)
            got = s.recv(want)
            if not got:
                raise ConnectionError
            head += got
        return head

    @staticmethod
    def _message(to: int, doc: dict) -> bytes:
        data = b"\0\0\0\0\0" + bson.encode(doc)
        return struct.pack("<iiii", 16 + len(data), 0, to, 2013) + data

    @staticmethod
    def _sections(data: bytes) -> tuple[dict, list[dict]]:
        body, more, at = {}, [], 20
        while at < len(data):
            kind, at = data[at], at + 1
            n = struct.unpack("<i", data[at:at + 4])[0]
            if kind == 0:
                body = bson.decode(data[at:at + n])
            else:
                inner = at + 4 + data[at + 4:at + n].index(b"\0") + 1
                while inner < at + n:
                    m = struct.unpack("<i", data[inner:inner + 4])[0]
                    more.append(bson.decode(data[inner:inner + m]))
                    inner += m
            at += n
        return body, more

    def _serve(self, client: socket.socket) -> None:
        upstream = None
        try:
            self.sockets.add(client)
            upstream = socket.create_connection(("127.0.0.1", self.server.port))
            self.sockets.add(upstream)
            while True:
                data = self._read(client)
                client.sendall(self._answer(data, upstream))
        except (OSError, ConnectionError, driver().errors.PyMongoError):
            pass
        finally:
            for s in (client, upstream):
                if s:
                    self.sockets.discard(s)
                    s.close()

    def _forward(self, data: bytes, upstream: socket.socket) -> bytes:
        upstream.sendall(data)
        return self._read(upstream)

    def _answer(self, data: bytes, upstream: socket.socket) -> bytes:
        _, request, _, opcode = struct.unpack("<iiii", data[:16])
        if opcode != 2013:
            return self._forward(data, upstream)
        body, more = self._sections(data)
        name = next(iter(body))
        with self.lock:
            if name == "aggregate" and body["pipeline"] and "$changeStream" in body["pipeline"][0]:
                if not body["pipeline"][0]["$changeStream"].get("allChangesForCluster"):
                    return self._message(request, {"ok": 0.0, "errmsg": "only of the whole deployment", "code": 238})
                if len(body["pipeline"]) < 2:  # somebody asks whether there are any
                    return self._message(request, {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "admin.$cmd.aggregate", "firstBatch": []}})
                return self._message(request, self._open(body))
            if name == "getMore" and body["getMore"] > 10**6 and body["collection"] == "$cmd.aggregate":
                return self._message(request, self._more(body))
            if name == "killCursors" and body["killCursors"] == "$cmd.aggregate":
                for c in body["cursors"]:
                    self.cursors.pop(c, None)
                return self._message(request, {"ok": 1.0})
            if name in WRITES:
                reply = self._forward(data, upstream)
                self._note(body["$db"], name, body, body.get("updates", []) + (more if name == "update" else []))
                return self._timed(reply, request)
        return self._timed(self._forward(data, upstream), request)

    def _timed(self, reply: bytes, request: int) -> bytes:
        doc, _ = self._sections(reply)
        with self.lock:
            doc["operationTime"] = self._now()
        return self._message(request, doc)
