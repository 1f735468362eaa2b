"""kill -9 of midflight at every fault point that documents pass, there and on the way back, and of the servers, under the shop's writes: in the end the rows
are exactly those of the documents, and what the new side wrote is in the documents.

The way back is an application's on tables: its rows are judged against the documents that it must have made (harness/docrun.py)."""
import random
import time

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
CUTOVER = ["cutover.guards", "cutover.rehearse", "cutover.hold", "cutover.fence", "cutover.drain", "cutover.decide", "mongodb.decide", "mongodb.decided",
           "TARGET.decided", "cutover.open", "cutover.done"]
BACK = ["shred.tell", "mongodb.window_begin", "mongodb.window_intent", "mongodb.window_rows", "mongodb.window_commit", "mongodb.window_committed"]
CLEANING = ["mongodb.cleanup"]
ELSEWHERE = ["mongodb.quarantine", "mongodb.running"]  # test_mongo_quarantine.py; of a deployment that is a target


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


def of(points: list, target) -> list:
    return [p.replace("TARGET", target.kind) for p in points]


@both
def test_killed_at_each_point_on_the_way_there(target, mongo_database, migration):
    source = mongo_database("double")
    shop = Shop(source).fill()
    m = begin(migration, source, target)
    kills = Kills(m)
    with shop:
        for point in of(STARTING + COPYING, target):
            t = time.monotonic()
            kills.at(point)
            print(point, time.monotonic() - t)
        m.start()
        m.wait_phase("synced")
        m.kill()
        for point in of(STREAMING, target):
            for hit in (1, 4) if point != "apply.open" else (1,):
                t = time.monotonic()
                kills.at(point, hit)
                print(point, hit, time.monotonic() - t)
        m.start()
        m.wait_phase("synced")
        shop.writes()
        assert m.call("verify", "--json").json["rows_differing"] == 0
        shop.hold()
        arrived(shop, target)
    assert not difference(documents(source), found(target))


def moved(m, kills: Kills, points: list, command: str, to: str, between=lambda: None) -> None:
    """Moves writes with `command`, killed at each point on the way; those behind the decision are met by the run that goes on with it."""
    for point in points:
        m.start(fault=f"{point}=kill")
        m.wait(lambda s: s.get("streams_open") or not m.running(), 60, "streams", may_exit=True)
        if m.running() and m.status()["writes"] != to:
            between()
            m.call("verify", expect=None)
            m.call(command, expect=None)
        if m.status()["writes"] == to and m.running():  # it was decided before the point came: the next way there is another migration's
            print("NOT MET", point)
            m.kill()
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
        moved(m, kills, of(CUTOVER, target) if target.kind == "mysql" else [], "cutover", "target", some_writes)
    arrived(shop, target)
    before = raw_documents(source, "users")
    with new_side(target, shop) as application:
        m.kill()
        for point in BACK:
            for hit in (1, 4):
                t = time.monotonic()
                kills.at(point, hit)
                print(point, hit, time.monotonic() - t)
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
        moved(m, kills, of(CUTOVER, target) if target.kind == "postgres" else [], "rollback", "source", more_writes)
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
