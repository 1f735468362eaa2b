"""Documents become tables in front of your eyes: users with their orders, and a collection as years leave it, go from a server that speaks MongoDB's protocol to MySQL or
PostgreSQL, live, and back.

No MongoDB is run: the source is the tests' own double of one (tests/harness/mongo_double.py), or mongo-java-server with --source java. What each document must be as
rows is worked out by harness/doccases.py and harness/docmess.py, which know nothing of midflight. The application asks the flag who may write before each write, and the
sample application (examples/reads-by-flag) asks where to read. Exit status 0 only when every promise held.
"""
from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

from demo import Demo, Failed, play, say  # first: the harness's path

from harness import doccases, docmess
from harness.compare import catalog_fingerprint
from harness.doccases import Shop, difference, expected, found, shop_map
from harness.docmess import Mess, mess_map
from harness.docsides import Flagged, MongoSide, SqlSide
from harness.flagapp import App
from harness.midflight import DIFFERENT, Midflight
from harness.mongo_servers import SERVERS, driver
from harness.mycompare import left_of_ours
from harness.mysql_servers import APP, MysqlServer
from harness.servers import PASSWORD, Server, free_port

ROLE = Demo.role
CUSTOMERS = 40
STANDS_IN = {
    "double": "the tests' own double of a MongoDB 7.0 replica set, written after MongoDB's manual: it has change streams of the whole deployment",
    "java": "mongo-java-server, which is no MongoDB either: changes are read from its oplog",
}


def refused(documents: list[dict]) -> list[dict]:
    """The same documents as no map of theirs takes them."""
    return [documents[0] | {"amount": "twelve"}, documents[1] | {"groups": [{"title": 7, "members": [{"who": None}]}]}]


class MongoDemo(Demo):
    def prepare(self) -> None:
        a = self.arguments
        say(f"No MongoDB is run here. In its place: {STANDS_IN[a.source]}")
        server = SERVERS[a.source](name="demo-source", directory=self.dir).start()
        self.servers.append(server)
        if a.target == "mysql":
            other = MysqlServer("8.0", name="demo-target-", fsync=True, directory=self.dir).start()
            self.account = {"user": APP}
        else:
            other = Server(15, name="demo-target-", fsync=True, directory=self.dir).start()
            self.account = {"user": ROLE}
            with other.connect() as c:
                c.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.servers.append(other)
        self.pids += [server.process.pid, other.process.pid]
        self.source, self.target = server.create_database("shop"), other.create_database("shop")
        if a.target != "mysql":
            self.target.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE}")
        say(f"{a.source} (source, port {server.port}) and {'MySQL 8.0' if a.target == 'mysql' else 'PostgreSQL 15'} (target, port {other.port}) are up")
        self.port, self.token, self.touched, self.sides = free_port(), "a token of the demo's, 0123456789", set(), []
        self.shop = Shop(self.source, clients=2, users=a.users // 2, rate=a.rate, seed=a.seed, side=self.side).fill()
        self.mess = Mess(self.source, a.messy, a.rate / 3, a.seed)
        self.db = self.source.connect(uuidRepresentation="standard")
        self.db.visit.insert_one({"_id": {"customer": 0, "number": 1}})
        self.broken_ones = [self.mess.make() for _ in range(2)]
        self.db.mess.insert_many(refused(self.broken_ones))
        self.before = self.fingerprint(self.source)
        say(f"the source holds {a.users:,} users with their orders, a ledger, and {a.messy:,} messy documents, {len(self.broken_ones)} of which no table can hold")

    def side(self) -> Flagged:
        sql = SqlSide(self.target, doccases.rows_of_user, doccases.TABLES, **self.account)
        self.sides.append(Flagged(self.port, self.token, {"source": MongoSide(self.source), "target": sql}, self.touched))
        return self.sides[-1]

    @staticmethod
    def fingerprint(database):
        """What a migration could leave behind. Of a deployment: its databases and their collections."""
        with database.server.connect() as c:
            if not hasattr(c, "list_database_names"):
                return catalog_fingerprint(c)
            return {name: sorted(c[name].list_collection_names()) for name in c.list_database_names() if name not in ("admin", "config", "local")}

    def left_on_target(self) -> list[str]:
        return left_of_ours(self.target) if self.arguments.target == "mysql" else [
            f"{kind}: {row}" for kind, rows in self.target_now().items() for row in rows if "midflight" in str(row)]

    def target_now(self) -> dict:
        with self.target.connect() as c:
            return catalog_fingerprint(c)

    def progress(self, status: dict) -> None:
        copy, stream = status.get("copy") or {}, status.get("stream") or {}
        lag = stream.get("lag_seconds") or 0.0
        if status.get("phase") == "synced":
            self.live = self.live or lag < 1.0
            self.worst_lag = max(self.worst_lag, lag) if self.live else self.worst_lag
        done, total = copy.get("rows_done") or 0, copy.get("rows_total") or 0
        share = f"{100 * done / total:3.0f} %" if total else "    "
        say(f"{status.get('phase', '?'):<12} documents {done:>8,} {share}  {copy.get('rows_per_second') or 0:>7,.0f}/s  changes {stream.get('changes_per_second') or 0:>5,.0f}/s  "
            f"lag {lag:5.2f} s  acknowledged {self.shop.acknowledged:>6,}  writes on {status.get('writes', '?')}, reads of the target {status.get('reads_percent') or 0:.0f} %")

    # -- the play ----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self.prepare()
        self.waits: list[str] = []
        visits = {"collection": "shop.visit", "to": "visit", "columns": [{"path": f"_id.{f}", "column": f, "type": "int32"} for f in ("customer", "number")]}
        self.midflight = m = Midflight(
            self.source.url(), self.target.url().replace(PASSWORD, "${DEMO_PASSWORD}"), self.dir / "migration",
            config={"migration": "demo", "copy": {"jobs": 2, "max_load": 0}, "cutover": {"max_pause": "60s", "flag_delay": "300ms"}, "on_ddl": "stop", "heartbeat": "500ms",
                    "api": {"listen": f"127.0.0.1:{self.port}", "token": self.token}, "map": [*shop_map("shop"), mess_map("shop"), visits]},
            environment={"DEMO_PASSWORD": PASSWORD})
        self.call("check")
        self.call("plan")
        begun = time.monotonic()
        say("$ midflight run &")
        m.start()
        m.wait(lambda s: s.get("writes") == "source", 60, "who may write")
        self.loads.append(self.shop.start())
        self.mess.start()
        say("the application writes, and somebody changes messy documents; no pause from here on")
        status = self.wait_phase("synced")
        copied, seconds = status["copy"]["rows_done"], time.monotonic() - begun
        self.fact("documents copied", f"{copied:,} ({copied / seconds:,.0f}/s from schema to synced)")
        self.watch_for(2)
        self.quarantine()
        self.verify("while both sides change")
        self.start_app()
        self.move_reads(20)
        self.watch_for(2)
        self.mess.stop()
        say(f"messy documents rest ({self.mess.acknowledged:,} changes); users, orders, the ledger and the visits go on")
        self.verify("right before the cutover")
        self.changes = int((m.status().get("stream") or {}).get("changes_applied") or 0)
        self.remember()
        self.move("cutover", "target")
        self.sql_on_the_mess()
        self.watch_for(3)
        self.move("rollback", "source")
        self.judge("after the rollback")
        self.untouched()
        self.verify("after the rollback")
        self.watch_for(2)
        self.move("cutover", "target")
        self.watch_for(2)
        self.judge("after the second cutover")
        self.finish()

    def quarantine(self) -> None:
        """The two documents are named with their reasons, differ, and heal when they are mended."""
        rows = lambda: self.midflight.call("quarantine", "list", "--json").json["rows"]
        self.call("quarantine", "list")
        told = {q["key"]: q["reason"] for q in rows()}
        keys = [f"_id={docmess.id_text(d['_id'])}" for d in self.broken_ones]
        self.promise(sorted(told) == sorted(keys), f"in quarantine are {list(told)}, not {keys}")
        self.promise("amount" in told.get(keys[0], "") and "groups[0].title" in told.get(keys[1], "") and "groups[0].members[0].who" in told.get(keys[1], ""),
                     f"reasons: {told}")
        said = self.midflight.call("verify", "--json", expect=DIFFERENT, timeout=120).json
        self.promise(said["rows_differing"] == 2, f"with two documents in quarantine verify finds {said['rows_differing']}")
        for d in self.broken_ones:
            self.db.mess.replace_one({"_id": d["_id"]}, d)
            self.mess.documents[docmess.id_text(d["_id"])] = d
        end = time.monotonic() + 30
        while rows() and time.monotonic() < end:
            time.sleep(0.1)
        self.promise(not rows(), f"mended documents stay in quarantine: {rows()}")
        say("verify counted both as differences; mended on the source, they left quarantine by themselves")
        self.fact("documents in quarantine", f"{len(told)}, healed when they were mended")

    def start_app(self) -> None:
        source = self.source.url(directConnection="true")
        self.app = App(self.port, source, self.target.url(*self.account.values()), self.dir, self.token, CUSTOMERS, pause=0.3, modules=[Path(driver().__file__).parents[1]])
        first = self.app.next_round()
        self.promise(first["reads"].get("target", 0) == 0, f"reads of the target before anybody asked for them: {first['reads']}")
        say(f"the sample application asks flags: {CUSTOMERS} customers visit and look; reads {first['reads']}, writes {first['writes']}")

    def move_reads(self, percent: int) -> None:
        self.call("reads", str(percent))
        seen = self.app.next_round()
        share = seen["reads"].get("target", 0)
        self.promise(0 < share < CUSTOMERS * 2.5 * percent / 100, f"reads {percent}: {seen['reads']}")
        self.promise(seen["from_target"] == self.app.next_round()["from_target"], f"reads {percent}: other customers from one round to the next")
        say(f"reads {percent}: {share} of {CUSTOMERS} customers read from the target, the same ones each time")

    def move(self, command: str, side: str) -> None:
        self.shop.longest_wait = 0.0
        self.call(command)
        status = self.midflight.status()
        self.promise(status["writes"] == side, f"after {command} writes are on {status['writes']}")
        self.shop.writes(30)
        moved = self.app.next_round()
        self.promise(moved["writes"] == {side: CUSTOMERS}, f"after {command} the sample application writes on {moved['writes']}")
        self.promise({s for s, n in moved["reads"].items() if n} == {side}, f"after {command} the sample application reads on {moved['reads']}")
        self.waits.append(f"{self.shop.longest_wait * 1000:.0f} ms")
        say(f"{command}: writes and reads are on the {side}; a write waited at most {self.waits[-1]}, midflight says {status.get('pause_ms')} ms")

    def sql_on_the_mess(self) -> None:
        """What somebody does to messy documents on the new side: a number, a group with its member, a whole document."""
        nobody = lambda d: isinstance(d.get("amount"), str) and not d.get("groups")
        changed, grown, gone = [d for d in self.mess.documents.values() if nobody(d)][:3]
        names = [docmess.id_text(d["_id"]) for d in (changed, grown, gone)]
        c = self.target.connect(autocommit=False, **self.account)
        cursor = c.cursor()
        cursor.execute("UPDATE mess SET amount = 42 WHERE id = %s", (names[0],))
        cursor.execute("INSERT INTO mess_groups (mess_id, position, title) VALUES (%s, 0, 'made with SQL')", (names[1],))
        cursor.execute("INSERT INTO mess_members (mess_id, position, member, who) VALUES (%s, 0, 0, 'Ann')", (names[1],))
        for table in reversed(docmess.TABLES):
            cursor.execute(f"DELETE FROM {table} WHERE {'id' if table == 'mess' else 'mess_id'} = %s", (names[2],))
        c.commit()
        c.close()
        self.mess.documents[names[0]] = changed | {"amount": 42}
        self.mess.documents[names[1]] = grown | {"groups": [{"title": "made with SQL", "members": [{"who": "Ann"}]}]}
        del self.mess.documents[names[2]]
        self.touched |= set(names)
        say("with SQL: one messy document gets another number, one a group with a member, one is deleted")

    def judge(self, when: str) -> None:
        """The application holds its breath; both sides must have what it was told is written, and nothing else."""
        self.shop.hold()
        wanted = [self.shop.expected(), docmess.expected(self.mess.documents.values())]
        end = time.monotonic() + 40
        while True:
            documents = [expected(list(self.db.users.find()), list(self.db.ledger.find())), docmess.expected(self.db.mess.find())]
            rows = [found(self.target), docmess.found(self.target)]
            bad = [text for have in (documents, rows) for text in (difference(wanted[0], have[0]), self.mess_differs(wanted[1], have[1])) if text]
            if not bad or time.monotonic() > end:
                break
            time.sleep(0.2)
        self.promise(not bad, f"{when}: {bad[:2]}")
        total = sum(len(r) for side in rows for r in side.values())
        self.fact(f"rows judged {when}", f"{total:,} in {len(rows[0]) + len(rows[1])} tables, of them wrong {len(bad)}")
        say(f"{when}: {total:,} rows of the target and the documents of the source are what was acknowledged")
        if when == "after the rollback":
            return  # goes on when the bytes have been looked at
        self.shop.go_on()

    @staticmethod
    def mess_differs(wanted: dict, have: dict) -> str:
        return "; ".join(f"{t}: {len(wanted[t] ^ have[t])} rows, such as {sorted(wanted[t] ^ have[t], key=repr)[:2]}" for t in wanted if wanted[t] != have[t])

    def written(self) -> dict[tuple, dict]:
        """The documents that the application was told are there; each write makes another object of one."""
        lists = {"users": self.shop.users, "ledger": self.shop.ledger, "mess": [self.mess.documents]}
        return {(name, i): d for name, some in lists.items() for mine in some for i, d in list(mine.items())}

    def raw(self) -> dict[tuple, bytes]:
        from bson import decode
        from bson.binary import UuidRepresentation
        from bson.codec_options import CodecOptions
        from bson.raw_bson import RawBSONDocument
        plain, raw = (CodecOptions(uuid_representation=UuidRepresentation.STANDARD, document_class=c) for c in (dict, RawBSONDocument))
        found = {}
        for name in ("users", "ledger", "mess"):
            for d in self.db.get_collection(name, codec_options=raw).find():
                i = decode(d.raw, codec_options=plain)["_id"]
                found[name, docmess.id_text(i) if name == "mess" else i] = bytes(d.raw)
        return found

    def remember(self) -> None:
        self.objects = self.written()
        self.bytes = self.raw()

    def untouched(self) -> None:
        """Documents that nobody has written since right before the cutover are the same byte for byte; those that the new side changed came back."""
        there, wanted = self.raw(), self.written()
        self.promise(there.keys() == wanted.keys(), f"{len(there)} documents, {len(wanted)} wanted")
        touched = sum(i in self.touched for _, i in wanted)
        still = [k for k, d in wanted.items() if k[1] not in self.touched and self.objects.get(k) is d]
        wrong = [k for k in still if there.get(k) != self.bytes.get(k)]
        self.promise(not wrong, f"documents that nobody touched are others: {wrong[:3]}")
        self.promise(touched > 0 and still, "nothing was changed on the new side, or everything")
        self.fact("documents the same, byte for byte", f"{len(still) - len(wrong):,} of {len(still):,}; changed on the new side {touched:,}")
        say(f"{len(still):,} documents that nobody wrote are the same byte for byte, {touched:,} came back changed")
        self.shop.go_on()

    def finish(self) -> None:
        for side in self.sides:
            side.stay = "target"  # the application is deployed without its flags: nobody answers them after `complete`
        lines, written = self.app.lines, self.app.stop()
        visits = {tuple(r) for r in self.target.rows("SELECT customer, number FROM visit")}
        self.promise(len(visits) - 1 >= written, f"{written} visits were acknowledged, {len(visits) - 1} are in the target")
        stale = sum(line["stale"].get("target", 0) for line in lines if line["writes"] == {"target": CUSTOMERS})
        self.promise(stale == 0, f"{stale} reads on the target did not find what was written there")
        self.verify("before complete")
        self.promise(self.midflight.status()["wrong_side_writes"] == 0, "writes on the wrong side were seen")
        self.call("complete")
        self.promise(self.midflight.wait_exit(60) == 0, "`midflight run` did not end well after complete")
        status = self.midflight.status()
        self.promise(status["phase"] == "completed", f"the phase is {status['phase']}")
        self.shop.writes(20)
        self.shop.hold()
        lost = difference(self.shop.expected(), found(self.target))
        self.promise(not lost, f"after complete: {lost}")
        self.shop.stop()
        self.loads.remove(self.shop)
        left = [f"{name}: {of}" for name, of in self.fingerprint(self.source).items() if self.before.get(name) != of]
        self.promise(not left, f"left behind on the source: {left}")
        ours = self.left_on_target()
        self.promise(not ours, f"left behind on the target: {ours[:5]}")
        self.promise(PASSWORD not in self.midflight.all_logs(), "a password is in the log")
        self.fact("changes applied", f"{self.changes:,}")
        self.fact("worst lag once live", f"{self.worst_lag:.2f} s")
        self.fact("longest wait of a write", ", ".join(self.waits) + " (cutover, rollback, cutover)")
        self.fact("writes acknowledged", f"{self.shop.acknowledged + self.mess.acknowledged:,}, of them missing {'none' if not lost else lost}")
        self.fact("visits acknowledged", f"{written:,}, of them missing {max(0, written - len(visits) + 1)}")
        self.fact("left behind", "nothing" if not left and not ours else "; ".join(left + ours))

    def watch_for(self, seconds: float) -> None:
        super().watch_for(seconds)
        if self.mess.failure:
            raise Failed(f"the messy documents: {self.mess.failure}")

    def close(self) -> None:
        if getattr(self, "app", None) and self.app.process.poll() is None:
            self.app.process.kill()
        if getattr(self, "mess", None):
            self.mess.stopping.set()
        if getattr(self, "db", None) is not None:
            self.db.client.close()
        super().close()


def main() -> int:
    parser = argparse.ArgumentParser(description="documents to MySQL or PostgreSQL, live, on throw-away servers")
    parser.add_argument("--source", choices=tuple(STANDS_IN), default="double", help="what stands in for MongoDB (double)")
    parser.add_argument("--target", choices=("mysql", "postgres"), default="mysql")
    parser.add_argument("--users", type=int, help="users with orders (6,000; mongo-java-server, which finds ranges slowly, 1,000)")
    parser.add_argument("--messy", type=int, help="messy documents (a third of the users)")
    parser.add_argument("--rate", type=float, default=90, help="the application's writes a second (90); messy documents change a third as often")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    arguments = parser.parse_args()
    arguments.users = arguments.users or (6000 if arguments.source == "double" else 1000)
    arguments.messy = arguments.messy or arguments.users // 3
    return play(MongoDemo(arguments))


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    sys.exit(main())
