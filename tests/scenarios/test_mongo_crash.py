"""kill -9 of midflight at every fault point that documents pass, there and on the way back, and of the servers, under the shop's writes: in the end the rows
are exactly those of the documents, and what the new side wrote is in the documents.

The way back is an application's on tables: its rows are judged against the documents that it must have made (harness/docrun.py)."""
import random

import pytest

from harness.cassrun import Trouble, pause
from harness.doccases import Shop, arrived, difference, found
from harness.docrun import Kills, SqlShop, begin, documents, level, raw_documents
from harness.midflight import fault_points
from harness.servers import wait_for

STARTING = ["mongodb.connect", "mongodb.borrow", "phase.prepare", "state.plan", "mongodb.book", "mongodb.stream_prepare",
            "phase.schema", "TARGET.schema_entry", "capture.open", "mongodb.stream_open"]
COPYING = ["copy.plan", "copy.chunk", "mongodb.chunk_read", "TARGET.load_begin", "shred.load", "TARGET.load_commit", "copy.commit", "TARGET.load_committed",
           "copy.committed", "copy.finish", "copy.end", "phase.keys", "phase.catch_up", "phase.indexes", "phase.reverse", "migration.writers"]
STREAMING = ["mongodb.stream_read", "capture.sync", "capture.ack", "spool.append", "spool.synced", "apply.open", "apply.begin", "TARGET.window_begin",
             "shred.apply", "apply.commit", "TARGET.window_commit", "TARGET.window_committed", "apply.committed"]
CUTOVER = ["cutover.guards", "cutover.rehearse", "cutover.hold", "cutover.fence", "cutover.drain", "cutover.decide", "mongodb.decide", "mongodb.decided"]
ROLLBACK = ["cutover.guards", "cutover.hold", "cutover.drain", "mongodb.decide", "cutover.open"]
BACK = ["shred.tell", "mongodb.window_begin", "mongodb.window_intent", "mongodb.window_rows", "mongodb.window_commit", "mongodb.window_committed"]
CLEANING = ["mongodb.cleanup"]
NEAR = ("mongodb.", "shred.", "TARGET.")  # whatever the target is; the others with one target
ELSEWHERE = ["mongodb.quarantine", "mongodb.running",  # test_mongo_quarantine.py; of a deployment that is a target
             "mongodb.exchange_gone", "mongodb.exchange_come"]  # test_mongo_exchange.py


def test_every_point_of_documents_is_in_a_sweep():
    ours = {p for p in fault_points() if p.startswith(("mongodb.", "shred."))}
    assert ours == {p for p in STARTING + COPYING + STREAMING + CUTOVER + BACK + CLEANING + ELSEWHERE if p.startswith(("mongodb.", "shred."))}


@pytest.fixture
def target(request, mysql_database, database):
    """mysql: 8.0; postgres: 15."""
    made = mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)
    made.kind = request.param
    return made


both = pytest.mark.parametrize("target", ["mysql", "postgres"], indirect=True)


def near(points: list, target) -> list:
    return [p.replace("TARGET", target.kind) for p in points if target.kind == "mysql" or p.startswith(NEAR)]


@both
def test_killed_at_each_point_on_the_way_there(target, mongo_database, migration):
    source = mongo_database("double")
    shop = Shop(source).fill()
    m = begin(migration, source, target)
    kills = Kills(m)
    with shop:
        for point in near(STARTING + COPYING, target):
            kills.at(point)
        m.start()
        m.wait_phase("synced")
        m.kill()
        for point in near(STREAMING, target):
            kills.at(point)
            if point.startswith(("mongodb.", "shred.", "apply.commit")):
                kills.at(point, 4)
        m.start()
        m.wait_phase("synced")
        shop.writes()
        assert m.call("verify", "--json").json["rows_differing"] == 0
        shop.hold()
        arrived(shop, target)
    assert not difference(documents(source), found(target))


def moved(m, points: list, command: str, to: str, between=lambda: None) -> None:
    """Moves writes with `command`, killed at each point on the way; those behind the decision are met by the run that goes on with it."""
    for point in points:
        m.start(fault=f"{point}=kill")
        m.wait(lambda s: s.get("streams_open") or not m.running(), 60, "streams", may_exit=True)
        if m.running() and m.status()["writes"] == to:
            m.kill()  # decided by the run before, and finished by this one on a way that has not this point
            break
        if m.running():
            between()
            m.call("verify", expect=None)
            m.call(command, expect=None)
        assert m.wait_exit(60) == -9, f"{point}\n{m.tail()}"
    m.start()
    m.wait(lambda s: s.get("streams_open"), 60, "streams")
    if m.status()["writes"] != to:
        m.call("verify")
        m.call(command)
    assert m.status()["writes"] == to, m.tail()


def new_side(target, shop: Shop) -> SqlShop:
    return SqlShop(target, [d for mine in shop.users for d in mine.values()], [d for mine in shop.ledger for d in mine.values()])


def untouched_is_as_it_was(before: dict, after: dict, touched: set) -> None:
    assert not [i for i in before if i not in touched and after.get(i) != before[i]]


@both
def test_killed_while_writes_move_and_come_back(target, mongo_database, migration):
    source = mongo_database("double")
    shop = Shop(source).fill()
    m = begin(migration, source, target)
    kills = Kills(m)

    def some_writes():
        shop.held.clear()
        shop.writes(5)
        shop.hold()
    with shop:
        m.start()
        m.wait_phase("synced")
        shop.writes(10)
        shop.hold()
        m.kill()
        moved(m, CUTOVER if target.kind == "mysql" else [], "cutover", "target", some_writes)
    arrived(shop, target)
    before = raw_documents(source, "users")
    with new_side(target, shop) as application:
        m.kill()
        for point in BACK:
            kills.at(point, 1 if target.kind == "mysql" else 3)
        m.start()
        m.wait_phase("cut_over")
        application.writes()
        application.hold()
        level(source, target)
        assert m.call("verify", "--json").json["rows_differing"] == 0

        def more_writes():
            application.go_on()
            application.writes(5)
            application.hold()
        m.kill()
        moved(m, ROLLBACK if target.kind == "postgres" else [], "rollback", "source", more_writes)
        level(source, target)
    assert not difference(application.expected(), found(target))
    untouched_is_as_it_was(before, raw_documents(source, "users"), application.touched)
    assert m.status()["wrong_side_writes"] == 0
    m.kill()
    m.start(fault="mongodb.cleanup=kill")
    m.wait(lambda s: s.get("streams_open"), 60, "streams")
    m.call("cancel", expect=None)
    assert m.wait_exit(60) == -9, m.tail()
    m.start()
    m.call("cancel", expect=None)
    m.wait_exit()
    with source.server.connect() as client:
        left = [name for name in client.midflight.list_collection_names() if client.midflight[name].count_documents({"migration": m.config["migration"]})]
    assert not left


@pytest.mark.parametrize("how", ["killed", "paused", "closed"])
def test_the_deployment_fails_again_and_again(how, own_mongo, mysql_database, migration):
    """While documents are copied and while changes stream. closed: connections end before, in the middle of, and after what was asked."""
    rng = random.Random(how)
    server = own_mongo("double")
    source, target = server.create_database("shop"), mysql_database("target", "8.0")
    shop = Shop(source).fill()
    m = begin(migration, source, target, retry="5m")

    def fail(i: int) -> None:
        if how == "killed":
            server.kill()
            pause(rng.uniform(0, 0.5))
            server.start()
        elif how == "paused":
            server.pause()
            pause(rng.uniform(0.2, 2.0))
            server.resume()
        else:
            for command in ("find", "getMore", "aggregate", "update", "insert", "hello"):
                server.fault(command=command, do=rng.choice(["close-unread", "close-unanswered", "close-answered"]), nth=rng.randint(1, 3))

    with shop:
        m.start()
        with Trouble(fail, pause=1.0) as trouble:
            trouble.times(3)
        if how == "closed":
            server.fault(clear=True)
        m.wait_phase_again("synced")
        with Trouble(fail, pause=1.0) as trouble:
            trouble.times(2)
        if how == "closed":
            server.fault(clear=True)
        m.wait_phase_again("synced")
        shop.writes(10)
        shop.hold()
        arrived(shop, target)
    wait_for(lambda: m.call("verify", "--json", expect=None).exit == 0, 60, "a verification that says equal", interval=1)


@both
def test_the_target_is_killed(target, own_mysql, own_server, mongo_database, migration):
    server = own_mysql("8.0") if target.kind == "mysql" else own_server(15)
    source, killed = mongo_database("double"), server.create_database("killed")
    shop = Shop(source).fill()
    m = begin(migration, source, killed, retry="5m")

    def fail(_) -> None:
        server.kill()
        server.start()

    with shop:
        m.start()
        with Trouble(fail) as trouble:
            trouble.times(2)
        m.wait_phase_again("synced")
        with Trouble(fail) as trouble:
            trouble.times(1)
        m.wait_phase_again("synced")
        shop.writes(10)
        shop.hold()
        arrived(shop, killed)
    wait_for(lambda: m.call("verify", "--json", expect=None).exit == 0, 60, "a verification that says equal", interval=1)


def test_lost_history_is_said(own_mongo, mysql_database, migration):
    """What the oplog has thrown away cannot be made up for: the run ends and says so, and again when it is started."""
    server = own_mongo("double")
    source, target = server.create_database("shop"), mysql_database("target", "8.0")
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    m.start()
    m.wait_phase("synced")
    m.kill()
    with shop:
        shop.writes(10)
        server.fault(loseOplog=True)
        shop.writes(10)
        for _ in range(2):
            m.start()
            assert m.wait_exit() == 1, m.tail()
            assert "MFSLOT" in m.log_text() and m.status()["writes"] == "source", m.tail()
        shop.hold()
