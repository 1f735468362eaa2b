"""The commands of mongo_double.py that are not about documents: what it is, databases and collections, accounts, faults."""
from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import time

import bson
from bson import Binary, Int64, Timestamp

from harness.mongo_double_commands import Commands, Context
from harness.mongo_double_indexes import uniques
from harness.mongo_double_store import Entry, stamp, time_of
from harness.mongo_double_values import Refused, bad, encode, field, now_ms, raw_of, join

VERSION = "7.0.14"
WRITING = {"insert", "update", "delete", "findAndModify", "findandmodify", "create", "drop", "dropDatabase", "renameCollection", "collMod", "createIndexes",
           "dropIndexes", "appendOplogNote", "setParameter", "replSetResizeOplog"}
OPEN = {"hello", "ismaster", "isMaster", "saslStart", "saslContinue", "ping", "buildInfo", "buildinfo", "endSessions", "logout", "connectionStatus"}
ITERATIONS = 4096


def plain(thing):
    """As Python's own, for what is kept as options."""
    return bson.decode(thing.raw) if hasattr(thing, "raw") else thing


class Fault:
    """What is to go wrong with a command: at the n-th from now on, so many times."""

    def __init__(self, spec: dict):
        self.command, self.what = spec["command"], spec["do"]
        self.skip, self.times = spec.get("nth", 1) - 1, spec.get("times", 1)
        self.spec = spec
        if self.what not in ("close-unread", "close-unanswered", "close-answered", "error", "not-primary", "slow"):
            raise bad(f"doubleFault: unknown do: {self.what}")

    def now(self, name: str) -> bool:
        if name.lower() != self.command.lower() or self.times <= 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Admin(Commands):
    def __init__(self, store, server):
        super().__init__(store)
        self.server = server
        self.faults: list = []

    # -- what it is ----------------------------------------------------------------------------------------------
    async def do_hello(self, c: Context) -> dict:
        server, me = self.server, c.connection.member
        first = me == server.primary
        said = {"helloOk": True, "isWritablePrimary" if c.name == "hello" else "ismaster": first}
        last = {"ts": stamp(self.store.ts), "t": Int64(server.term)}
        when = bson.DatetimeMS((self.store.ts >> 32) * 1000)
        said |= {"hosts": server.hosts, "setName": server.set_name, "setVersion": 1, "secondary": not first, "me": server.hosts[me],
                 **({"primary": server.hosts[server.primary]} if server.primary is not None else {}),
                 **({"electionId": bson.ObjectId(f"7fffffff{server.term:016x}")} if first else {}),
                 "lastWrite": {"opTime": last, "lastWriteDate": when, "majorityOpTime": last, "majorityWriteDate": when},
                 "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "localTime": bson.DatetimeMS(now_ms()),
                 "logicalSessionTimeoutMinutes": 30, "connectionId": c.connection.number, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False}
        if "saslSupportedMechs" in c.body:
            said["saslSupportedMechs"] = ["SCRAM-SHA-256"] if self.server.accounts else []
        if server.mongos:
            gone = ("hosts", "setName", "setVersion", "secondary", "primary", "me", "electionId", "lastWrite")
            said = {k: v for k, v in said.items() if k not in gone} | {"msg": "isdbgrid"}
        return said

    do_isMaster = do_ismaster = do_hello

    async def do_ping(self, c: Context) -> dict:
        return {}

    async def do_buildInfo(self, c: Context) -> dict:
        return {"version": VERSION, "gitVersion": "0" * 40, "modules": [], "allocator": "tcmalloc", "javascriptEngine": "none", "sysInfo": "deprecated",
                "versionArray": [7, 0, 14, 0], "bits": 64, "debug": False, "maxBsonObjectSize": 16777216, "storageEngines": ["wiredTiger"], "openssl": {}}

    do_buildinfo = do_buildInfo

    async def do_getParameter(self, c: Context) -> dict:
        known = {"featureCompatibilityVersion": {"version": "7.0"}, "transactionLifetimeLimitSeconds": 60, "periodicNoopIntervalSecs": self.server.noop_s,
                 "authenticationMechanisms": ["SCRAM-SHA-256"], "minSnapshotHistoryWindowInSeconds": 300}
        wanted = known if c.target == "*" else {k: v for k, v in known.items() if k in c.body}
        if not wanted:
            raise Refused(72, "InvalidOptions", "no option found to get")
        return dict(wanted)

    async def do_nothing(self, c: Context) -> dict:
        return {}

    do_setParameter = do_fsync = do_logout = do_replSetResizeOplog = do_killOp = do_nothing

    async def do_connectionStatus(self, c: Context) -> dict:
        user = c.connection.user
        role = "root" if user and self.server.writes(user) else "readAnyDatabase"
        return {"authInfo": {"authenticatedUsers": [{"user": user, "db": "admin"}] if user else [],
                             "authenticatedUserRoles": [{"role": role, "db": "admin"}] if user else []}}

    async def do_serverStatus(self, c: Context) -> dict:
        return {"host": self.server.host, "version": VERSION, "process": "mongod", "pid": Int64(os.getpid()), "uptime": time.monotonic() - self.server.began,
                "localTime": bson.DatetimeMS(now_ms()), "connections": {"current": self.server.connections, "available": 10000, "active": 1},
                "globalLock": {"currentQueue": {"total": 0, "readers": 0, "writers": 0}, "activeClients": {"total": 1, "readers": 0, "writers": 0}},
                "opcounters": dict(self.server.counters), "storageEngine": {"name": "wiredTiger"}, "repl": await self.do_hello(c),
                "metrics": {"cursor": {"open": {"total": Int64(len(self.cursors))}}},
                "oplogTruncation": {"totalTimeTruncatingMicros": Int64(0)}}

    async def do_replSetGetStatus(self, c: Context) -> dict:
        last = {"ts": stamp(self.store.ts), "t": Int64(1)}
        return {"set": self.server.set_name, "date": bson.DatetimeMS(now_ms()), "myState": 1, "term": Int64(1), "heartbeatIntervalMillis": Int64(2000),
                "optimes": {"lastCommittedOpTime": last, "readConcernMajorityOpTime": last, "appliedOpTime": last, "durableOpTime": last},
                "members": [{"_id": 0, "name": self.server.host, "health": 1.0, "state": 1, "stateStr": "PRIMARY", "optime": last, "self": True}]}

    async def do_replSetGetConfig(self, c: Context) -> dict:
        return {"config": self.server.config()}

    async def do_currentOp(self, c: Context) -> dict:
        return {"inprog": []}

    # -- databases and collections -------------------------------------------------------------------------------
    async def do_listDatabases(self, c: Context) -> dict:
        found = []
        for name in sorted({*self.store.databases(), "admin", "config", "local"}):
            size = sum(of.bytes for (db, _), of in self.store.collections.items() if db == name)
            found.append({"name": name} if c.body.get("nameOnly") else {"name": name, "sizeOnDisk": Int64(size + 4096), "empty": False})
        filter_ = raw_of(c.body.get("filter"))
        from harness.mongo_double_values import matches
        found = [one for one in found if matches(filter_, encode(one))]
        return {"databases": found} | ({} if c.body.get("nameOnly") else {"totalSize": Int64(sum(d["sizeOnDisk"] for d in found))})

    async def do_listCollections(self, c: Context) -> dict:
        from harness.mongo_double_commands import Cursor
        from harness.mongo_double_values import matches
        found = []
        for (db, name), of in sorted(self.store.collections.items()):
            if db == c.db:
                one = {"name": name, "type": "collection"}
                if not c.body.get("nameOnly"):
                    one |= {"options": of.options, "info": {"readOnly": False, "uuid": Binary(of.ui, 4)}, "idIndex": of.indexes[0]}
                found.append(encode(one))
        if c.db == "local":
            found.append(encode({"name": "oplog.rs", "type": "collection", "options": {"capped": True, "size": self.store.oplog_max}, "info": {"readOnly": False}}))
        filter_ = raw_of(c.body.get("filter"))
        size = (c.body.get("cursor") or {}).get("batchSize")
        return self.opened(Cursor(f"{c.db}.$cmd.listCollections", [d for d in found if matches(filter_, d)]), size)

    async def do_create(self, c: Context) -> dict:
        options = {k: plain(v) for k, v in c.body.items() if k in ("capped", "size", "max", "validator", "validationLevel", "validationAction",
                                                                  "changeStreamPreAndPostImages", "collation", "expireAfterSeconds")}
        if self.store.find(c.db, c.target, c.transaction):
            raise Refused(48, "NamespaceExists", f"Collection {c.db}.{c.target} already exists.")
        if "viewOn" in c.body or "timeseries" in c.body:
            raise Refused(238, "NotImplemented", "views and time series are not known here")
        self.ensure(c, c.target, options)
        return {}

    def _must(self, c: Context, name: str):
        found = self.store.find(c.db, name)
        if not found:
            raise Refused(26, "NamespaceNotFound", f"ns not found: {c.db}.{name}")
        return found

    def _dropped(self, of) -> Entry:
        self.store.idle(of)
        return Entry([self.store.of(of.db, {"drop": of.name}, of.ui, {"numRecords": of.count})])

    async def do_drop(self, c: Context) -> dict:
        of = self.store.find(c.db, c.target)
        if not of:  # 7.0: no error ("drop" in the manual)
            return {}
        said = {"nIndexesWas": len(of.indexes), "ns": of.ns}
        await self._whenever(c, lambda: self._commit([self._dropped(of)]))
        return said

    async def do_dropDatabase(self, c: Context) -> dict:
        def once():
            mine = [of for (db, _), of in sorted(self.store.collections.items()) if db == c.db]
            if mine:
                self._commit([self._dropped(of) for of in mine] + [Entry([self.store.of(c.db, {"dropDatabase": 1})])])
            return {"dropped": c.db}
        return await self._whenever(c, once)

    async def do_renameCollection(self, c: Context) -> dict:
        (db, name), (to_db, to_name) = c.target.split(".", 1), c.body["to"].split(".", 1)

        def once():
            of, there = self.store.find(db, name), self.store.find(to_db, to_name)
            if not of:
                raise Refused(26, "NamespaceNotFound", f"Source collection {c.target} does not exist")
            if there and not c.body.get("dropTarget"):
                raise Refused(48, "NamespaceExists", "target namespace exists")
            self.store.idle(of)
            o = {"renameCollection": c.target, "to": c.body["to"], "stayTemp": False} | ({"dropTarget": Binary(there.ui, 4)} if there else {})
            self._commit([Entry([self.store.of(db, o, of.ui)])])
            return {}
        return await self._whenever(c, once)

    async def do_collMod(self, c: Context) -> dict:
        of = self._must(c, c.target)
        new = {k: plain(v) for k, v in c.body.items() if k in ("changeStreamPreAndPostImages", "validator", "validationLevel", "validationAction",
                                                              "expireAfterSeconds", "index", "hidden")}
        old = {"collectionOptions_old": {"uuid": Binary(of.ui, 4)} | of.options}
        self._commit([Entry([self.store.of(c.db, {"collMod": c.target} | new, of.ui, old)])])
        return {}

    async def do_createIndexes(self, c: Context) -> dict:
        made = not self.store.find(c.db, c.target)
        of = self.ensure(c, c.target)
        before = len(of.indexes)
        new = []
        for one in c.body["indexes"]:
            spec = {"v": 2} | plain(one)
            there = next((i for i in of.indexes if i["name"] == spec["name"]), None)
            if there and there["key"] != spec["key"]:
                raise Refused(86, "IndexKeySpecsConflict", f"An existing index has the same name as the requested index: {spec['name']}")
            if not there and spec["key"] != {"_id": 1}:
                new.append(spec)
        for index in uniques(new):
            index.fill(of.ns, of.records)  # refuses what the documents do not allow
        if new and of.count:
            self._commit([Entry([self.store.of(c.db, {"commitIndexBuild": c.target, "indexes": new}, of.ui)])])
        else:
            self._commit([Entry([self.store.of(c.db, {"createIndexes": c.target} | spec, of.ui)]) for spec in new])
        return {"numIndexesBefore": before, "numIndexesAfter": len(of.indexes), "createdCollectionAutomatically": made}

    async def do_listIndexes(self, c: Context) -> dict:
        from harness.mongo_double_commands import Cursor
        of = self._must(c, c.target)
        return self.opened(Cursor(f"{c.db}.{c.target}", [encode(i) for i in of.indexes]), (c.body.get("cursor") or {}).get("batchSize"))

    async def do_dropIndexes(self, c: Context) -> dict:
        of, which = self._must(c, c.target), c.body["index"]
        names = [i["name"] for i in of.indexes[1:] if which == "*" or i["name"] == which]
        if not names and which != "*":
            raise Refused(27, "IndexNotFound", f"index not found with name [{which}]")
        was = len(of.indexes)
        by_name = {i["name"]: i for i in of.indexes}
        self._commit([Entry([self.store.of(c.db, {"dropIndexes": c.target, "index": n}, of.ui, by_name[n])]) for n in names])
        return {"nIndexesWas": was}

    async def do_dbStats(self, c: Context) -> dict:
        mine = [of for (db, _), of in self.store.collections.items() if db == c.db]
        n, size = sum(of.count for of in mine), sum(of.bytes for of in mine)
        return {"db": c.db, "collections": Int64(len(mine)), "views": Int64(0), "objects": Int64(n), "avgObjSize": size / n if n else 0.0,
                "dataSize": float(size), "storageSize": float(size), "indexes": Int64(sum(len(of.indexes) for of in mine)), "indexSize": 4096.0,
                "totalSize": float(size + 4096), "scaleFactor": Int64(1), "fsUsedSize": 1e10, "fsTotalSize": 1e11}

    do_dbstats = do_dbStats

    async def do_collStats(self, c: Context) -> dict:
        if (c.db, c.target) == ("local", "oplog.rs"):
            return {"ns": "local.oplog.rs"} | self.oplog_statistics()
        return {"ns": f"{c.db}.{c.target}"} | self.statistics(self.store.find(c.db, c.target))

    do_collstats = do_collStats

    async def do_appendOplogNote(self, c: Context) -> dict:
        from harness.mongo_double_store import Op
        self._commit([Entry([Op("n", "", "", None, raw_of(c.body["data"]))])])
        return {}

    # -- accounts: SCRAM-SHA-256 (RFC 5802, 7677; the drivers' auth specification) --------------------------------
    async def do_saslStart(self, c: Context) -> dict:
        if c.body["mechanism"] != "SCRAM-SHA-256":
            raise Refused(334, "MechanismUnavailable", f"Received authentication for mechanism {c.body['mechanism']} which is not enabled")
        bare = bytes(c.body["payload"]).decode()[3:]
        said = dict(part.split("=", 1) for part in bare.split(","))
        nonce, salt = said["r"] + base64.b64encode(os.urandom(18)).decode(), base64.b64encode(self.server.salt).decode()
        first = f"r={nonce},s={salt},i={ITERATIONS}"
        c.connection.scram = (said["n"], bare + "," + first, nonce)
        return {"conversationId": 1, "done": False, "payload": first.encode()}

    async def do_saslContinue(self, c: Context) -> dict:
        if c.connection.scram is None:
            raise Refused(17, "ProtocolError", "No SASL session state found")
        user, so_far, nonce = c.connection.scram
        if c.connection.user:  # the empty exchange at the end
            return {"conversationId": 1, "done": True, "payload": b""}
        final = bytes(c.body["payload"]).decode()
        without, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.server.accounts.get(user, "").encode(), self.server.salt, ITERATIONS)
        client = hmac.digest(salted, b"Client Key", "sha256")
        message = f"{so_far},{without}".encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        right = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        if user not in self.server.accounts or not hmac.compare_digest(proof, right) or f"r={nonce}" not in without:
            c.connection.scram = None
            raise Refused(18, "AuthenticationFailed", "Authentication failed.")
        c.connection.user = user
        mine = base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")).decode()
        return {"conversationId": 1, "done": False, "payload": f"v={mine}".encode()} if not c.connection.short else \
            {"conversationId": 1, "done": True, "payload": f"v={mine}".encode()}

    # -- faults --------------------------------------------------------------------------------------------------
    async def do_doubleFault(self, c: Context) -> dict:
        body = {k: plain(v) for k, v in c.body.items()}
        if body.get("clear"):
            self.faults.clear()
        if "command" in body:
            self.faults.append(Fault(body))
        if "loseOplog" in body:
            until = body["loseOplog"]
            self.store.lose(time_of(until) if isinstance(until, Timestamp) else self.store.ts)
        return {"faults": len(self.faults)}

    async def do_doubleHold(self, c: Context) -> dict:
        if c.target:
            self.store.hold()
        else:
            self.store.majority = None
            self.store.wake()
        return {}

    async def do_doubleStepDown(self, c: Context) -> dict:
        await self.server.step_down(int(c.body.get("to", 0)), int(c.body.get("ms", 500)), bool(c.body.get("lose")))
        return {}

    def fault(self, name: str) -> Fault | None:
        return next((f for f in self.faults if f.now(name)), None) if self.faults else None

    async def pause(self, fault: Fault) -> None:
        await asyncio.sleep(fault.spec.get("ms", 1000) / 1000)
