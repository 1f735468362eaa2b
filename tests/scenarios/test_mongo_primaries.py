"""Changes of primaries: connections end, commands are answered with "not primary" and "interrupted", another member is the primary after a moment; and what no majority
had is rolled back. By the double (harness/mongo_double.py), whose members are addresses of the same data: it shows that midflight follows and loses nothing, not how long
an election takes."""
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from harness.cassrun import Trouble, pause
from harness.doccases import Shop, arrived, difference, found
from harness.docrun import SqlShop, begin, documents, level
from harness.mongo_servers import Double, driver
from harness.mongo_stream import Stream
from harness.pgdrive import Drive, Refused
from harness.servers import free_port, wait_for

from test_mongo_back import USERS, gone, put, window

driver()


@pytest.fixture
def replica_set(own_mongo):
    """Of two members."""
    return lambda: own_mongo("double", settings={"also": str(free_port())})


def step_down(server: Double, to: int, ms: int = 300, lose: bool = False) -> None:
    """Asked of the member that will be the primary: the other one's connections end. Where it is the primary already, of the other."""
    with server.connect() as client:
        primary = client.admin.command("hello")["me"]
    now = next(i for i, port in enumerate(server._ports()) if primary.endswith(f":{port}"))
    server.order(member=1 - now, doubleStepDown=1, to=to, ms=ms, lose=lose)


@pytest.mark.parametrize("lose", [False, True], ids=["nothing is lost", "what no majority had is lost"])
def test_primaries_change_again_and_again(replica_set, mysql_database, migration, lose):
    """While documents are copied, while changes stream, and on the way back; to the other member, and to the same one."""
    rng = random.Random(f"primaries {lose}")
    server = replica_set()
    source, target = server.create_database("shop"), mysql_database("target", "8.0")
    shop = Shop(source).fill()
    m = begin(migration, source, target, retry="5m")

    def fail(i: int) -> None:
        if lose:
            server.order(doubleHold=True)
            pause(rng.uniform(0.1, 0.6))
        step_down(server, to=(i + 1) % 3 % 2, ms=rng.randint(50, 800), lose=lose)

    with shop:
        m.start()
        with Trouble(fail, pause=1.0) as trouble:
            trouble.times(3)
        m.wait_phase_again("synced")
        with Trouble(fail, pause=1.0) as trouble:
            trouble.times(3)
        m.wait_phase_again("synced")
        shop.writes(10)
        shop.hold()
        arrived(shop, target)
        assert not difference(documents(source), found(target))
    wait_for(lambda: m.call("verify", "--json", expect=None).exit == 0, 60, "a verification that says equal", interval=1)
    m.call("cutover")
    application = SqlShop(target, [d for mine in shop.users for d in mine.values()], [d for mine in shop.ledger for d in mine.values()])
    with application:
        with Trouble(fail, pause=1.0) as trouble:
            trouble.times(4)
        application.writes(10)
        application.hold()
    level(source, target)
    assert not difference(application.expected(), documents(source))
    wait_for(lambda: m.call("verify", "--json", expect=None).exit == 0, 60, "a verification that says equal", interval=1)
    m.call("rollback")
    assert m.status()["wrong_side_writes"] == 0 and not m.call("quarantine", "list", "--json").json["rows"]


# ---- the way back, write by write ----

class Set:
    def __init__(self, server):
        self.server = server
        self.s = Stream("double", server)
        self.users = self.s.client.shop.users
        self.s.open().changes_until_now()

    def changes(self) -> list:
        """Also over a change of primaries, as capture reads on."""
        def read():
            try:
                return self.s.changes_until_now()
            except Refused:
                self.s.read.stream_close()
                self.s.open()
                raise
        return again(read)

    def server_time(self):
        """The end of the primary's oplog."""
        return self.s.client.local["oplog.rs"].find_one(sort=[("$natural", -1)])["ts"]

    def drive(self, **named) -> Drive:
        return Drive(self.server.url("shop"), side="source", direction="reverse", **named)


@pytest.fixture
def back(replica_set):
    made = []

    def make() -> Set:
        made.append(Set(replica_set()))
        return made[-1]

    yield make
    for one in made:
        one.s.close()


def stopped(pid: int) -> None:
    """By its fault point."""
    wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", 60, "a process that has stopped")


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def again(what, times: int = 60):
    """As the apply stage does after what may pass."""
    for _ in range(times):
        try:
            return what()
        except Refused as e:
            assert e.cls == "retry", e
            last = e
        pause(0.1)
    raise last


def versions(b: Set) -> dict:
    return {d["_id"]: d["v"] for d in b.users.find({"v": {"$exists": True}})}


@pytest.mark.parametrize("lose", [False, True])
@pytest.mark.parametrize("point", ["mongodb.window_begin", "mongodb.window_intent", "mongodb.window_rows", "mongodb.window_commit"])
def test_a_write_that_no_majority_acknowledged(back, point, lose):
    """From that point on nothing reaches a majority; the primary steps down while midflight waits for one. What fails is tried again, and ends the same."""
    b = back()
    with b.drive() as d:
        d("prepare")
        window(d, 10, {"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 3, "v": 1})
    with b.drive(fault=f"{point}=stop") as d:
        d.send("window", order=20, batches=[{"tables": [{"table": USERS, "updates": [put({"_id": 1, "v": 2}), put({"_id": 2, "v": 2})], "deletes": [gone(3)]}]}],
               fuzzy=True)
        stopped(d.process.pid)
        b.server.order(doubleHold=True)
        before = b.server_time()
        go_on(d.process.pid)
        wait_for(lambda: b.server_time() > before, 60, "something that no majority has")
        step_down(b.server, to=1, lose=lose)
        try:
            d.answer()  # the library may have tried a write again by itself
        except Refused as e:
            assert e.cls == "retry", e
            again(lambda: window(d, 20, {"_id": 1, "v": 2}, {"_id": 2, "v": 2}, deletes=[3]))
        assert d("checkpoint")["order"] == 20
    assert versions(b) == {1: 2, 2: 2}
    assert b.changes() == []


@pytest.mark.parametrize("lose", [False, True])
def test_a_checkpoint_that_no_majority_has_is_none(back, lose):
    """midflight is killed while it waits for a majority. The run after it may go on from that checkpoint only if it stays: what is before it, nobody gives again."""
    b = back()
    with b.drive() as d:
        d("prepare")
        window(d, 10, {"_id": 1, "v": 1})
    with b.drive(fault="mongodb.window_commit=stop") as d:
        d.send("window", order=20, batches=[{"tables": [{"table": USERS, "updates": [put({"_id": 1, "v": 2})]}]}], fuzzy=True)
        stopped(d.process.pid)
        b.server.order(doubleHold=True)
        go_on(d.process.pid)
        wait_for(lambda: b.s.client.midflight.checkpoint.find_one({"position_order": "20"}), 60, "the checkpoint on the primary")
        d.process.kill()
        d.process.wait()
    with b.drive() as d:
        answers = []

        def ask():
            try:
                answers.append(d("checkpoint")["order"])
            except Refused as refused:
                answers.append(refused.cls)
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(1.0)  # it does not answer yet; that it might later is the point, so no shorter wait makes this fail
        assert answers in ([], ["retry"])
        step_down(b.server, to=1, lose=lose)
        asking.join(60)
        assert answers in (["retry"], [10 if lose else 20])
        at = again(lambda: d("checkpoint")["order"])
        assert at == (10 if lose else 20)
        if at < 20:
            again(lambda: window(d, 20, {"_id": 1, "v": 2}))
        assert versions(b)[1] == 2 and d("checkpoint")["order"] == 20
    assert b.changes() == []


def test_an_exchange_is_interrupted(back):
    """A transaction ends with its primary; it is given again."""
    b = back()
    b.users.create_index("mail", unique=True)
    with b.drive() as d:
        d("prepare")
        window(d, 10, {"_id": 1, "mail": "a"}, {"_id": 2, "mail": "b"})
    for order, point in ((20, "mongodb.exchange_gone"), (30, "mongodb.exchange_come")):
        mails = ("b", "a") if order == 20 else ("a", "b")
        with b.drive(fault=f"{point}=stop") as d:
            d.send("window", order=order, batches=[{"tables": [{"table": USERS, "updates": [put({"_id": i, "mail": mail}) for i, mail in enumerate(mails, 1)]}]}],
                   fuzzy=True)
            stopped(d.process.pid)
            step_down(b.server, to=order // 10 % 2)
            go_on(d.process.pid)
            try:
                d.answer()
            except Refused as e:
                assert e.cls == "retry", e
                again(lambda: window(d, order, *({"_id": i, "mail": mail} for i, mail in enumerate(mails, 1))))
        assert tuple(x["mail"] for x in b.users.find({"_id": {"$in": [1, 2]}}).sort("_id")) == mails
        assert b.changes() == []
