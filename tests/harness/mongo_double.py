"""A double of a MongoDB 7.0 replica set of one member, for tests: what no server that can be had has, change streams of a whole deployment, operationTime,
transactions whose changes appear together.

It is no MongoDB, and shares no code with it. It does what MongoDB's manual (7.0) and the drivers' specifications (github.com/mongodb/specifications) say of
the part that tests here need; what the manual leaves open is read from the server's public sources, and each file says where. Where it and a real server
differ, the real one is right.

It does not have: other indexes than that of _id (they are listed; unique ones forbid, and nothing is found by them), capped collections' limits, time to live, views,
time series, collations, $lookup and most of the other stages and expressions, positional and filtered array updates, compression, roles. Its other members are
addresses of the same data, which a change of primaries and a rollback are shown with. What it does not know it refuses by an error. A cursor reads the documents that were there when it was opened, each as it is when its
turn comes. All is in memory; the file grows for ever.

    PYTHONPATH=tests python3 -m harness.mongo_double PORT DATADIR [--replset rs0] [--auth USER:PASSWORD] [--reader USER:PASSWORD]
        [--narrow USER:PASSWORD]
        [--oplog-mb 256] [--noop-seconds 10] [--transactions no] [--also PORT,PORT] [--mongos yes]
        [--tls FILE.pem --tls-ca FILE.pem [--tls-client yes]]

It prints "Listening on PORT" when it answers. DATADIR/log has every write before it is answered (kill -9 loses nothing).

A command of its own, to any database:

    {doubleFault: 1, command: NAME, do: WHAT, nth: 1, times: 1, …}    at the n-th such command from now on
        do: "close-unread"      the connection is closed, nothing is done
            "close-unanswered"  it is done, and the connection closed without an answer
            "close-answered"    the connection is closed after the answer
            "error"             code, codeName, errmsg, labels: that error, nothing is done
            "not-primary"       error 10107, nothing is done
            "slow"              ms: so long before it is done
    {doubleFault: 1, loseOplog: Timestamp or true}                    the oplog up to then (true: all of it) is gone
    {doubleFault: 1, clear: true}                                     no faults
    {doubleHold: true or false}                                       the other members get nothing more, or all: what is written is not a majority's, writes that
                                                                      wait for one get writeConcernError 64 at their wtimeout, majority reads and change
                                                                      streams show what there was, linearizable reads wait
    {doubleStepDown: 1, to: N, ms: 500, lose: false}                  the primary is none any more: its connections end, who is within a command is told 11602; so much
                                                                      later member N is the primary (0 is PORT, 1 the first of --also). lose: what was written
                                                                      since doubleHold is rolled back

The wire is OP_MSG (manual: "MongoDB Wire Protocol"), and OP_QUERY for a first hello.
"""
from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import struct
import sys
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

try:
    import bson
except ImportError:
    from harness.mongo_servers import driver
    driver()
    import bson
from bson import Binary, Int64, Timestamp
from bson.raw_bson import RawBSONDocument

from harness.mongo_double_admin import OPEN, WRITING, Admin, Fault
from harness.mongo_double_commands import WRITES, Context
from harness.mongo_double_store import Entry, Op, Store, stamp, time_of
from harness.mongo_double_values import Refused, encode, raw_of

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MESSAGE_MAX = 48_000_000 + 16384
SIGNATURE = {"hash": Binary(bytes(20), 0), "keyId": Int64(0)}
RETRYABLE = {6, 7, 89, 91, 189, 9001, 10107, 11600, 11602, 13435, 13436}
RESUMABLE = RETRYABLE | {63, 150, 13388, 234, 133}


class Closed(Exception):
    """By a fault."""


class Connection:
    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, member: int = 0):
        self.server, self.reader, self.writer, self.number, self.member = server, reader, writer, number, member
        self.user = self.scram = None
        self.short = False  # of skipEmptyExchange

    async def serve(self) -> None:
        while True:
            head = await self.reader.readexactly(16)
            length, request, _, code = struct.unpack("<iiii", head)
            if not 16 < length <= MESSAGE_MAX or code not in (OP_QUERY, OP_MSG):  # TLS, for one
                return
            await self._message(code, request, await self.reader.readexactly(length - 16))
            await self.writer.drain()

    async def _message(self, code: int, request: int, body: bytes) -> None:
        if code == OP_QUERY:
            name = body.index(b"\0", 4)
            raw = body[name + 9:name + 9 + struct.unpack_from("<i", body, name + 9)[0]]
            said = dict(RawBSONDocument(raw).items())
            self._check_query(next(iter(said)))
            answer = encode(await self._answer(said | {"$db": "admin"}))
            payload = struct.pack("<iqii", 8, 0, 0, 1) + answer
            self.writer.write(struct.pack("<iiii", 16 + len(payload), 0, request, OP_REPLY) + payload)
        elif code == OP_MSG:
            flags = struct.unpack_from("<I", body)[0]
            said = self._sections(body, 4, len(body) - 4 * (flags & 1))
            reply, close = await self._with_faults(said)
            if not flags & 2:  # moreToCome: no answer is wanted
                payload = b"\0\0\0\0\0" + encode(reply)
                self.writer.write(struct.pack("<iiii", 16 + len(payload), 0, request, OP_MSG) + payload)
            if close:
                await self.writer.drain()
                raise Closed
        else:
            raise Closed

    @staticmethod
    def _check_query(name: str) -> None:
        if name.lower() not in ("hello", "ismaster"):
            raise Closed

    @staticmethod
    def _sections(body: bytes, at: int, end: int) -> dict:
        said, lists = {}, {}
        while at < end:
            kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
            if kind == 0:
                said = dict(RawBSONDocument(body[at + 1:at + 1 + size]).items())
            else:
                stop = body.index(b"\0", at + 5)
                found, one = lists.setdefault(body[at + 5:stop].decode(), []), stop + 1
                while one < at + 1 + size:
                    length = struct.unpack_from("<i", body, one)[0]
                    found.append(body[one:one + length])
                    one += length
            at += 1 + size
        return said | lists

    async def _with_faults(self, said: dict) -> tuple:
        fault = self.server.commands.fault(next(iter(said)))
        if fault is None:
            return await self._answer(said), False
        if fault.what == "close-unread":
            raise Closed
        if fault.what == "slow":
            await self.server.commands.pause(fault)
        if fault.what in ("error", "not-primary"):
            return self._failed(said, self._of_fault(fault)), False
        reply = await self._answer(said)
        if fault.what == "close-unanswered":
            raise Closed
        return reply, fault.what == "close-answered"

    @staticmethod
    def _of_fault(fault: Fault) -> Refused:
        if fault.what == "not-primary":
            return Refused(10107, "NotWritablePrimary", "not primary")
        spec = fault.spec
        return Refused(spec.get("code", 1), spec.get("codeName", "InternalError"), spec.get("errmsg", "asked for by doubleFault"),
                       labels=tuple(spec.get("labels", ())))

    async def _answer(self, said: dict) -> dict:
        name = next(iter(said))
        server = self.server
        server.counters[{"getMore": "getmore", "find": "query"}.get(name, name if name in WRITES else "command")] += 1
        c = Context(server.store, said, self)
        try:
            handler = getattr(server.commands, "do_" + name, None)
            if handler is None or name == "nothing":
                raise Refused(59, "CommandNotFound", f"no such command: '{name}'")
            if server.accounts and not self.user and name not in OPEN:
                raise Refused(13, "Unauthorized", f"Command {name} requires authentication")
            if self.user and not server.writes(self.user) and name in WRITING:
                raise Refused(13, "Unauthorized", f"not authorized on {c.db} to execute command {{ {name}: {c.target!r} }}")
            if self.user and self.user == server.narrow and c.db in ("admin", "local") and name in ("aggregate", "find"):
                raise Refused(13, "Unauthorized", f"not authorized on {c.db} to execute command {{ {name}: {c.target!r} }}")
            if name == "saslStart":
                self.short = bool((said.get("options") or {}).get("skipEmptyExchange"))
            self._may(said, name)
            await self._until_majority(said)
            c.open()
            return await self._acknowledged(said, await handler(c), server.term) | self._times()
        except Refused as error:
            if c.transaction and c.transaction.state == "open" and name not in ("commitTransaction",):
                server.store.abort(c.transaction)
            return self._failed(said, error)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, struct.error, bson.errors.BSONError) as error:
            traceback.print_exc(file=sys.stdout)
            return self._failed(said, Refused(2, "BadValue", f"the double failed at {name}: {type(error).__name__}: {error}"))

    def _may(self, said: dict, name: str) -> None:
        if self.member == self.server.primary or name in OPEN or name.startswith("double") or name == "killCursors":
            return
        if name in WRITES or name in WRITING or name in ("commitTransaction", "abortTransaction"):
            raise Refused(10107, "NotWritablePrimary", "not primary")
        if (said.get("$readPreference") or {}).get("mode", "primary") == "primary":
            raise Refused(13435, "NotPrimaryNoSecondaryOk", "not primary and secondaryOk=false")

    async def _held(self, seconds: float, term: int) -> bool:
        """Whether a majority does not have it after so long."""
        end = time.monotonic() + seconds
        while self.server.store.majority is not None and time.monotonic() < end:
            await asyncio.sleep(0.01)
            if self.server.term != term:
                raise Refused(11602, "InterruptedDueToReplStateChange", "operation was interrupted")
        return self.server.store.majority is not None

    async def _until_majority(self, said: dict) -> None:
        concern, held = said.get("readConcern") or {}, self.server.store.majority
        after = concern.get("afterClusterTime")
        waits = concern.get("level") == "linearizable" or (concern.get("level") == "majority" and after and held is not None and time_of(after) > held)
        if waits and await self._held(said.get("maxTimeMS", 30000) / 1000, self.server.term):
            raise Refused(50, "MaxTimeMSExpired", "operation exceeded time limit")

    async def _acknowledged(self, said: dict, reply: dict, term: int) -> dict:
        """By a majority, where that is asked for."""
        concern = said.get("writeConcern") or {}
        if concern.get("w") != "majority" or self.server.store.majority is None:
            return reply
        try:
            late = await self._held(concern.get("wtimeout", 0) / 1000 or 600, term)
            error = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
        except Refused as stepped:
            late, error = True, {"code": stepped.code, "codeName": stepped.name, "errmsg": stepped.message}
        labels = ["RetryableWriteError"] if late and error["code"] in RETRYABLE and "txnNumber" in said else []
        return reply | ({"writeConcernError": error} if late else {}) | ({"errorLabels": labels} if labels else {})

    def _times(self) -> dict:
        now = stamp(self.server.store.ts)
        return {"ok": 1.0, "$clusterTime": {"clusterTime": now, "signature": SIGNATURE}, "operationTime": now}

    def _failed(self, said: dict, error: Refused) -> dict:
        """With the labels that a 7.0 gives (retryable-writes and change-streams specifications; the server's error_labels.cpp)."""
        labels, name = list(error.labels), next(iter(said))
        inside = said.get("autocommit") is False
        if error.code in RETRYABLE and "txnNumber" in said and (not inside or name in ("commitTransaction", "abortTransaction")):
            labels.append("RetryableWriteError")
        if error.code in RETRYABLE and inside and name != "commitTransaction":
            labels.append("TransientTransactionError")
        cursor = self.server.commands.cursors.get(int(said["getMore"])) if name == "getMore" else None
        opens = name == "aggregate" and any(b"$changeStream" in raw_of(stage) for stage in said.get("pipeline", [])[:1])
        if error.code in RESUMABLE and (opens or (cursor and cursor.stream)):
            labels.append("ResumableChangeStreamError")
        if error.code in (280, 286):
            labels.append("NonResumableChangeStreamError")
        told = {"ok": 0.0, "errmsg": error.message, "code": error.code, "codeName": error.name} | error.more
        return told | ({"errorLabels": labels} if labels else {}) | {k: v for k, v in self._times().items() if k != "ok"}


class Server:
    def __init__(self, arguments):
        self.port, self.set_name, self.noop_s = arguments.port, arguments.replset, arguments.noop_seconds
        self.host = f"127.0.0.1:{arguments.port}"
        self.ports = [arguments.port, *(int(p) for p in arguments.also.split(",") if p)]
        self.hosts = [f"127.0.0.1:{port}" for port in self.ports]
        self.primary: int | None = 0
        self.term, self.writers, self.arguments = 1, {}, arguments
        self.mongos = arguments.mongos == "yes"
        self.accounts = dict(one.split(":", 1) for one in (arguments.auth, arguments.reader, arguments.narrow) if one)
        self.narrow = arguments.narrow.split(":", 1)[0] if arguments.narrow else None
        self.reader = arguments.reader.split(":", 1)[0] if arguments.reader else None
        self.transactions = arguments.transactions == "yes"
        self.salt = b"the salt of a double, 28 byte"[:28]
        self.began, self.connections, self.counters, self._numbers = time.monotonic(), 0, Counter(), 0
        self.set_id = self._its_id(Path(arguments.datadir) / "set")
        self.store = Store(Path(arguments.datadir), arguments.oplog_mb << 20)
        self.commands = Admin(self.store, self)

    def writes(self, user: str) -> bool:
        return user != self.reader

    @staticmethod
    def _its_id(kept: Path) -> bson.ObjectId:
        if not kept.exists():
            kept.write_text(str(bson.ObjectId()))
        return bson.ObjectId(kept.read_text())

    def config(self) -> dict:
        return {"_id": self.set_name, "version": 1, "term": Int64(self.term),
                "members": [{"_id": n, "host": host, "priority": 1.0, "votes": 1} for n, host in enumerate(self.hosts)],
                "settings": {"replicaSetId": self.set_id}}

    async def step_down(self, to: int, ms: int, lose: bool) -> None:
        was, self.primary = self.primary, None
        self.term += 1
        if lose:
            self.store = self.commands.store = self.store.rolled_back()
        self.store.majority = None  # who becomes the primary has all there is
        self.commands.cursors.clear()
        self.store.wake()
        for writer in [w for w, member in self.writers.items() if member == was]:
            writer.close()
        asyncio.get_running_loop().call_later(ms / 1000, self._elected, to)

    def _elected(self, to: int) -> None:
        self.primary = to
        self.store.commit([Entry([Op("n", "", "", None, raw_of({"msg": "new primary"}))])])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, member: int) -> None:
        self._numbers += 1
        self.connections += 1
        self.writers[writer] = member
        try:
            await Connection(self, reader, writer, self._numbers, member).serve()
        except (asyncio.IncompleteReadError, ConnectionError, Closed, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            self.writers.pop(writer, None)
            writer.close()

    async def _now_and_then(self) -> None:
        """The primary's no-operation when nothing else was written for a while, and transactions that are too old."""
        while True:
            await asyncio.sleep(min(self.noop_s, 1))
            self.store.expire()
            self.commands.expire()
            if self.primary is not None and time.time() - (self.store.ts >> 32) >= self.noop_s:
                self.store.commit([Entry([Op("n", "", "", None, raw_of({"msg": "periodic noop"}))])])

    async def run(self) -> None:
        stop = asyncio.Event()
        for one in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(one, stop.set)
        servers = [await asyncio.start_server(partial(self._accept, member=n), "127.0.0.1", port, limit=1 << 20, backlog=512, ssl=self._tls())
                   for n, port in enumerate(self.ports)]
        asyncio.get_running_loop().create_task(self._now_and_then())
        print(f"Listening on {self.port}", flush=True)
        await stop.wait()
        for server in servers:
            server.close()

    def _tls(self) -> ssl.SSLContext | None:
        if not self.arguments.tls:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.arguments.tls_ca)
        context.load_cert_chain(self.arguments.tls)
        context.verify_mode = ssl.CERT_REQUIRED if self.arguments.tls_client == "yes" else ssl.CERT_NONE
        return context


def main() -> None:
    parser = argparse.ArgumentParser(prog="harness.mongo_double")
    parser.add_argument("port", type=int)
    parser.add_argument("datadir")
    parser.add_argument("--replset", default="rs0")
    parser.add_argument("--auth", help="USER:PASSWORD of who may do everything")
    parser.add_argument("--reader", help="USER:PASSWORD of who may only read")
    parser.add_argument("--narrow", help="USER:PASSWORD of who may do everything in databases, and see nothing of the deployment")
    parser.add_argument("--oplog-mb", type=int, default=256)
    parser.add_argument("--transactions", default="yes", choices=("yes", "no"), help="no: one that is begun is refused, as by a server that is in no set")
    parser.add_argument("--also", default="", help="ports of other members")
    parser.add_argument("--mongos", default="no", choices=("yes", "no"), help="says that it is a router of a sharded cluster, of one shard")
    parser.add_argument("--tls", help="its key and certificate")
    parser.add_argument("--tls-ca", help="who signs certificates of clients")
    parser.add_argument("--tls-client", default="no", choices=("yes", "no"), help="clients need a certificate")
    parser.add_argument("--noop-seconds", type=float, default=10)
    asyncio.run(Server(parser.parse_args()).run())


if __name__ == "__main__":
    main()
