"""Change streams of mongo_double.py.

Events as the manual's "Change Events" has them for 7.0, their fields in the order of the server's change_stream_event_transform; resume tokens with what
resume_token.cpp says is in them, of version 2: clusterTime, kind (event or high water mark), the operation's place in its transaction, whether it is an
invalidate's, the collection's uuid, the document's key, a fragment's number. They rise as the server's do. The key of another type than ObjectId or string is
in them as BSON, which the server does not do; nobody but the server may look.
"""
from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right

import bson
from bson import Int64

from harness.mongo_double_store import Entry, Op, Store, stamp, time_of
from harness.mongo_double_updates import description
from harness.mongo_double_values import EMPTY, Refused, bad, document, encode, field, join, matches, order, project, raw_of, split, text, value

EVENT_MAX = 16 << 20
EXPANDED = {"create", "createIndexes", "dropIndexes", "modify"}
LOST = ("Resume of change stream was not possible, as the resume point may no longer be in the oplog.")


# ---- tokens --------------------------------------------------------------------------------------------------------

def _int(n: int) -> bytes:
    if n == 0:
        return b"\x29"
    body = n << 1
    size = (body.bit_length() + 7) // 8
    return bytes((0x2A + size,)) + body.to_bytes(size, "big")


def _read_int(raw: bytes, at: int) -> tuple:
    size = raw[at] - 0x2A
    if raw[at] == 0x29:
        return 0, at + 1
    if not 1 <= size <= 8 or at + 1 + size > len(raw):
        raise ValueError
    return int.from_bytes(raw[at + 1:at + 1 + size], "big") >> 1, at + 1 + size


def _name(t: int, name: bytes) -> bytes:
    return bytes((t,)) + name + b"\0"


def _identifier(what: str, key: bytes | None) -> bytes:
    said = b"\x46" + _name(0x3C, b"operationType") + b"\x3c" + what.encode() + b"\0"
    if key is None:
        return said + b"\0"
    t, v = field(key, b"_id")
    inner = _name(0x64, b"_id") + b"\x64" + v if t == 7 else \
        _name(0x3C, b"_id") + b"\x3c" + text(v).replace(b"\0", b"\0\xff") + b"\0" if t == 2 else _name(0x1E, b"_id") + bytes((t,)) + v
    return said + _name(0x46, b"documentKey") + b"\x46" + inner + b"\0\0"


def token(ts: int, what: str | None = None, index: int = 0, ui: bytes | None = None, key: bytes | None = None, invalidate: bool = False,
          fragment: int | None = None) -> str:
    """Of an event; of a time alone when `what` is None."""
    head = b"\x82" + struct.pack(">Q", ts) + (_int(1) if what is None else _int(2))
    if what is None:
        return (head + b"\x29\x29\x6e\x04").hex().upper()
    body = _int(128) + _int(index) + (b"\x6f" if invalidate else b"\x6e") + (b"\x5a\x10\x04" + ui if ui else b"\x14") + _identifier(what, key)
    return (head + body + (b"" if fragment is None else _int(fragment)) + b"\x04").hex().upper()


class Parsed:
    def __init__(self, given):
        try:
            said = bson.decode(raw_of(given))
            self.data = said["_data"].upper()
            raw = bytes.fromhex(self.data)
            if raw[0] != 0x82 or raw[-1] != 4:
                raise ValueError
            self.ts = struct.unpack_from(">Q", raw, 1)[0]
            self.version, at = _read_int(raw, 9)
            kind, at = _read_int(raw, at)
            self.event = kind == 128
            self.index, at = _read_int(raw, at)
            self.invalidate = raw[at] == 0x6F
        except (KeyError, ValueError, IndexError, AttributeError, struct.error, bson.errors.InvalidBSON) as error:
            raise Refused(9, "FailedToParse", "Bad resume token: resume token string was not a valid hex string") from error


# ---- events --------------------------------------------------------------------------------------------------------

class Stream:
    """$changeStream: what it is asked for, and where in the oplog it is."""

    def __init__(self, store: Store, db: str, collection: str | None, stages: list):
        self.store, self.db, self.collection = store, db, collection
        spec = bson.decode(field(stages[0], b"$changeStream")[1], bson.codec_options.CodecOptions(document_class=bson.SON))
        known = {"resumeAfter", "startAfter", "startAtOperationTime", "fullDocument", "fullDocumentBeforeChange", "showExpandedEvents", "allChangesForCluster",
                 "showSystemEvents"}
        for name in spec:
            if name not in known:
                raise Refused(40415, "Location40415", f"BSON field '$changeStream.{name}' is an unknown field.")
        self.cluster = bool(spec.get("allChangesForCluster"))
        if self.cluster and (db != "admin" or collection):
            raise Refused(72, "InvalidOptions", "A $changeStream with 'allChangesForCluster:true' may only be opened on the 'admin' database")
        if not self.cluster and db in ("admin", "config", "local"):
            raise Refused(73, "InvalidNamespace", f"$changeStream may not be opened on the internal {db} database")
        self.expanded = bool(spec.get("showExpandedEvents"))
        self.full = spec.get("fullDocument", "default")
        self.before = spec.get("fullDocumentBeforeChange", "off")
        if self.full not in ("default", "updateLookup", "whenAvailable", "required") or self.before not in ("off", "whenAvailable", "required"):
            raise bad("Enumeration value for field 'fullDocument' or 'fullDocumentBeforeChange' is not a valid value.")
        self.stages = [split(s)[0] for s in stages[1:]]
        self.splits = bool(self.stages) and self.stages[-1][0] == b"$changeStreamSplitLargeEvent"
        for name, _, _ in self.stages[:-1] if self.splits else self.stages:
            if name not in (b"$match", b"$project", b"$addFields", b"$set", b"$unset"):
                raise Refused(20, "IllegalOperation", f"{name.decode()} is not permitted in a $changeStream pipeline")
        self.ended = False
        self.queue: list = []  # (token, event, time) not yet handed on, of one entry
        self.skip: Parsed | None = None
        self._start(spec)

    def _start(self, spec) -> None:
        given = [k for k in ("resumeAfter", "startAfter", "startAtOperationTime") if k in spec]
        if len(given) > 1:
            raise Refused(40674, "Location40674", "Only one type of resume option is allowed, but multiple were found")
        if not given:
            self.last = self.store.ts  # all of it has been read
            self.water = token(self.last + 1)
            return
        if given[0] == "startAtOperationTime":
            self.last = time_of(spec[given[0]]) - 1
        else:
            parsed = Parsed(spec[given[0]])
            if parsed.invalidate and given[0] == "resumeAfter":
                raise Refused(260, "InvalidResumeToken", "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.")
            self.last = parsed.ts - 1
            if parsed.event:
                self.skip = parsed
        self.water = token(self.last + 1)
        if self.last + 1 <= self.store.lost:
            raise Refused(286, "ChangeStreamHistoryLost", LOST)
        if self.skip:
            self._resume()

    def _resume(self) -> None:
        """The event of the token must be there; the stream goes on behind it."""
        wanted, n = self.skip, bisect_left(self.store.oplog, self.skip.ts, key=lambda e: e.ts)
        found = self.store.oplog[n] if n < len(self.store.oplog) and self.store.oplog[n].ts == wanted.ts else None
        self.skip = None
        events = list(self._events(found)) if found else []
        for at, (data, event, _) in enumerate(events):
            if data == wanted.data:
                self.last, self.queue, self.water = wanted.ts, events[at + 1:], data
                if wanted.invalidate:
                    self.queue = []
                return
            if wanted.data.startswith(data[:-2]):
                pieces = self._split(data, event, found.ts)
                for n, piece in enumerate(pieces):
                    if piece[0] == wanted.data:
                        self.last, self.queue, self.water = wanted.ts, pieces[n + 1:] + events[at + 1:], piece[0]
                        return
        raise Refused(280, "ChangeStreamFatalError", "cannot resume stream; the resume token was not found. {_data: \"" + wanted.data + "\"}")

    # -- which ---------------------------------------------------------------------------------------------------
    def _sees(self, db: str, name: str) -> bool:
        if name.startswith("system."):
            return False
        if self.cluster:
            return db not in ("admin", "config", "local")
        return db == self.db and (self.collection is None or name == self.collection)

    def _events(self, entry: Entry):
        """(token, event, whether the stream ends with it) of all of an entry's operations that the stream sees, without the pipeline."""
        for index, op in enumerate(entry.ops):
            if op.kind in "iud":
                if self._sees(op.db, op.name):
                    yield self._of_document(entry, op, index)
            elif op.kind == "c":
                yield from self._of_command(entry, op, index)

    def _head(self, entry: Entry, what: str, index: int, ui: bytes | None, key: bytes | None) -> tuple:
        data = token(entry.ts, what, index, ui, key)
        elements = [(b"_id", *value({"_data": data}))]
        if entry.transaction:
            elements += [(b"txnNumber", *value(Int64(entry.number))), (b"lsid", 3, entry.lsid)]
        elements += [(b"operationType", *value(what)), (b"clusterTime", *value(stamp(entry.ts)))]
        if self.expanded and ui:
            elements.append((b"collectionUUID", *value(bson.Binary(ui, 4))))
        return data, [*elements, (b"wallTime", 9, struct.pack("<q", entry.wall))]

    def _of_document(self, entry: Entry, op: Op, index: int) -> tuple:
        what = {"i": "insert", "u": "replace" if op.replaces else "update", "d": "delete"}[op.kind]
        data, elements = self._head(entry, what, index, op.ui, op.o2)
        if what in ("insert", "replace"):
            elements.append((b"fullDocument", 3, op.o))
        elements += [(b"ns", *value({"db": op.db, "coll": op.name})), (b"documentKey", 3, op.o2)]
        if what == "update":
            elements.append((b"updateDescription", 3, description(op.o, self.expanded)))
        return data, (elements, op, what), False

    def _of_command(self, entry: Entry, op: Op, index: int):
        said = bson.decode(op.o, bson.codec_options.CodecOptions(document_class=bson.SON))
        command, name = next(iter(said.items()))
        what = {"create": "create", "drop": "drop", "dropDatabase": "dropDatabase", "renameCollection": "rename", "collMod": "modify",
                "createIndexes": "createIndexes", "commitIndexBuild": "createIndexes", "dropIndexes": "dropIndexes"}.get(command)
        if what is None or (what in EXPANDED and not self.expanded):
            return
        to = None
        if what == "rename":
            (db, name), to = name.split(".", 1), said["to"].split(".", 1)
            if not self._sees(db, name) and not self._sees(*to):
                return
        elif what == "dropDatabase":
            db = op.db
            if self.collection is not None or not self._sees(db, "x"):
                return
        else:
            db = op.db
            if not self._sees(db, name):
                return
        data, elements = self._head(entry, what, index, None if what == "dropDatabase" else op.ui, None)
        if to:
            elements.append((b"to", *value({"db": to[0], "coll": to[1]})))
        elements.append((b"ns", *value({"db": db} if what == "dropDatabase" else {"db": db, "coll": name})))
        if self.expanded and what not in ("drop", "dropDatabase"):
            rest = {k: v for k, v in said.items() if k not in (command, "stayTemp")}
            if to:
                rest["to"] = {"db": to[0], "coll": to[1]}
            if what in ("createIndexes", "dropIndexes"):
                rest = {"indexes": said["indexes"]} if command == "commitIndexBuild" else {"indexes": [bson.decode(op.o2) if op.o2 else rest]}
            elements.append((b"operationDescription", *value(rest)))
            if what == "modify":
                old = bson.decode(op.o2) if op.o2 else {}
                elements.append((b"stateBeforeChange", *value({"collectionOptions": old.get("collectionOptions_old", {})})))
        yield data, (elements, op, what), False
        ends = (what in ("drop", "rename") and self.collection is not None) or (what == "dropDatabase" and not self.cluster)
        if ends:
            data = token(entry.ts, what, index, op.ui if what != "dropDatabase" else None, None, True)
            yield data, ([(b"_id", *value({"_data": data})), (b"operationType", *value("invalidate")), (b"clusterTime", *value(stamp(entry.ts))),
                          (b"wallTime", 9, struct.pack("<q", entry.wall))], op, "invalidate"), True

    # -- what they say -------------------------------------------------------------------------------------------
    def _whole(self, made: tuple) -> list:
        """With the documents that belong to it."""
        elements, op, what = made
        elements = list(elements)
        if what == "update" and self.full != "default":
            elements.append((b"fullDocument", *self._after(op)))
        if what in ("update", "replace", "delete") and self.before != "off":
            if not op.images and self.before == "required":
                self._missing("pre-image")
            elements.append((b"fullDocumentBeforeChange", *((3, op.pre) if op.images and op.pre is not None else (10, b""))))
        return elements

    def _after(self, op: Op) -> tuple:
        if self.full == "updateLookup":
            now = next((c for c in self.store.collections.values() if c.ui == op.ui), None)
            raw = self.store.read(now, order(*field(op.o2, b"_id"))) if now else None
            return (10, b"") if raw is None else (3, raw)
        if op.images:
            return 3, op.post
        if self.full == "required":
            self._missing("post-image")
        return 10, b""

    def _missing(self, which: str):
        raise Refused(47, "NoMatchingDocument", f"Change stream was configured to require a {which} for all update events, but it was not found for this event")

    def _piped(self, raw: bytes):
        """Through the pipeline; None: it is not asked for."""
        for name, t, v in self.stages:
            if name == b"$match":
                if not matches(v, raw):
                    return None
            elif name == b"$project":
                raw = project(v, raw)
            elif name in (b"$unset",):
                gone = [text(e[2]) for e in split(v)] if t == 4 else [text(v)]
                raw = project(join((n, 16, b"\0\0\0\0") for n in gone), raw)
            elif name in (b"$set", b"$addFields"):
                raise bad("$set of change events is not known here")
        if field(raw, b"_id") is None:
            raise Refused(280, "ChangeStreamFatalError", "Encountered an event whose _id field, which contains the resume token, was modified by the pipeline.")
        return raw

    def _split(self, data: str, made: tuple, ts: int) -> list:
        """Fragments of whole fields ("$changeStreamSplitLargeEvent" in the manual), as (token, bytes, end)."""
        raw = self._piped(join(self._whole(made)))
        groups, size = [[]], 0
        for element in sorted(split(raw)[1:], key=lambda e: len(e[2])):
            if groups[-1] and size + len(element[2]) > EVENT_MAX - 4096:
                groups.append([])
                size = 0
            groups[-1].append(element)
            size += len(element[2]) + len(element[0]) + 2
        found = []
        for n, group in enumerate(groups):
            mine = (bytes.fromhex(data)[:-1] + _int(n) + b"\x04").hex().upper()
            part = {"fragment": n + 1, "of": len(groups)}
            piece = join([(b"_id", *value({"_data": mine})), (b"splitEvent", *value(part)), *group])
            found.append((mine, piece, False))
        if any(len(piece) > EVENT_MAX + 16384 for _, piece, _ in found):
            self._too_large(max(len(piece) for _, piece, _ in found), data)
        return found

    def _too_large(self, size: int, data: str):
        raise Refused(10334, "BSONObjectTooLarge", f"BSONObj size: {size} (0x{size:X}) is invalid. Size must be between 0 and 16793600(16MB) First element: "
                      "_id: { _data: \"" + data + "\" }")

    # -- reading -------------------------------------------------------------------------------------------------
    def take(self, most: int) -> list:
        """The events that are there, up to so many and to 16 MB."""
        found, size = [], 0
        while len(found) < most and not self.ended:
            if not self.queue and not self._advance():
                break
            data, made, end = self.queue[0]
            if isinstance(made, tuple):
                raw = self._piped(join(self._whole(made)))
                if raw is not None and len(raw) > EVENT_MAX + 16384 - 512:
                    if not self.splits:
                        self._too_large(len(raw), data)
                    self.queue[:1] = self._split(data, made, self.last)
                    continue
            else:
                raw = made
            if raw is not None and found and size + len(raw) > EVENT_MAX:
                break
            del self.queue[0]
            self.ended = end
            if raw is not None:
                found.append(raw)
                size += len(raw)
            self.water = data
        if not self.queue and not self.ended and self.last > int(self.water[2:18], 16):
            self.water = token(self.last)
        return found

    def _advance(self) -> bool:
        """The next entry that has something for the stream; False: nothing more is there."""
        if self.last < self.store.lost:
            raise Refused(286, "ChangeStreamHistoryLost", LOST)
        n = bisect_right(self.store.oplog, self.last, key=lambda e: e.ts)
        for entry in self.store.oplog[n:n + 10000]:
            if self.store.majority is not None and entry.ts > self.store.majority:
                return False
            self.last = entry.ts
            self.queue = list(self._events(entry))
            if self.queue:
                return True
        return bool(self.store.oplog[n + 10000:n + 10001]) and self._advance()
