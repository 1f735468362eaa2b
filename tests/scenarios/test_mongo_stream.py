"""The change stream of the MongoDB connector: whole documents and their deletions, in order, from a position, in whichever way the deployment tells of them.

Servers, and what each lacks: FerretDB and mongo-java-server have an oplog (FerretDB's has no drops and renames, the other's no renames); neither has a change stream of more than a
collection. That has the double (harness/mongo_double.py), which is no MongoDB. What is expected is worked out from what the test wrote.
"""
import time

import pytest

from harness.mongo_servers import driver
from harness.mongo_stream import WAYS, stream, state_of, told  # noqa: F401
from harness.pgdrive import Refused
from harness.pgread import Read

driver()
import bson  # noqa: E402


@pytest.mark.parametrize("kind", WAYS)
def test_documents_come_whole_and_in_order(stream, kind):
    s = stream(kind).open()
    users = s.shop.users
    users.insert_one({"_id": 1, "name": "Ann", "n": 1})
    users.insert_one({"_id": "two", "a": [1, {"b": None}]})
    assert s.changes_until_now() == [[("insert", "users", "1", {"_id": 1, "name": "Ann", "n": 1})],
                                     [("insert", "users", '"two"', {"_id": "two", "a": [1, {"b": None}]})]]
    users.update_one({"_id": 1}, {"$set": {"name": "Bea"}})
    assert s.changes_until_now() == [[("update", "users", "1", {"_id": 1, "name": "Bea", "n": 1})]]
    users.update_one({"_id": 1}, {"$unset": {"n": 1}, "$set": {"x.y": 2}})
    assert s.changes_until_now() == [[("update", "users", "1", {"_id": 1, "name": "Bea", "x": {"y": 2}})]]
    users.replace_one({"_id": 1}, {"z": [True]})
    s.shop.unknown.insert_one({"_id": 5})  # is not in the catalogue of then
    users.delete_one({"_id": "two"})
    got = s.changes_until_now()
    assert got[0][0][:3] == ("update", "users", "1") and list(got[0][0][3].items()) in ([("_id", 1), ("z", [True])], [("z", [True]), ("_id", 1)])
    assert got[1:] == [[("delete", "users", '"two"', None)]]
    s.shop.orders.insert_many([{"_id": i} for i in range(3)])
    assert [c for t in s.changes_until_now() for c in t] == [("insert", "orders", str(i), {"_id": i}) for i in range(3)]


@pytest.mark.parametrize("kind", WAYS)
def test_ids_of_every_kind(stream, kind):
    s = stream(kind).open()
    ids = [bson.ObjectId("5f3e8a2b1c9d440000a1b2c3"), "it's \"5\"", 5, 2**40, 0.5, True, {"a": 1, "b": "x"}, bson.Binary(bytes(range(16)), 4)]
    for i in ids:
        s.shop.users.insert_one({"_id": i})
        s.shop.users.update_one({"_id": i}, {"$set": {"v": 1}})
    state = state_of(s.changes_until_now())
    assert [d["_id"] for d in state.values()] == ids
    assert all(d["v"] == 1 for d in state.values())
    for i in ids:
        s.shop.users.delete_one({"_id": i})
    assert state_of(s.changes_until_now(), state) == {}


@pytest.mark.parametrize("kind", WAYS)
def test_an_update_of_what_is_gone_is_left_out(stream, kind):
    s = stream(kind).open()
    s.shop.users.insert_one({"_id": 1})
    s.shop.users.update_one({"_id": 1}, {"$set": {"v": 1}})
    s.shop.users.delete_one({"_id": 1})
    s.shop.users.insert_one({"_id": 2})
    got = [c for t in s.changes_until_now() for c in t]
    assert (got[0][:3], got[-2:]) == (("insert", "users", "1"), [("delete", "users", "1", None), ("insert", "users", "2", {"_id": 2})])
    assert state_of([got]) == {"2": {"_id": 2}}


@pytest.mark.parametrize("kind", WAYS)
def test_it_goes_on_after_it_was_closed(stream, kind):
    s = stream(kind).open()
    state, expected = {}, {}
    for turn in range(4):
        for i in range(5):
            s.shop.users.insert_one({"_id": 10 * turn + i, "turn": turn})
            expected[str(10 * turn + i)] = {"_id": 10 * turn + i, "turn": turn}
        got = s.changes_until_now()
        assert len(got) == 5  # nothing twice, nothing left out
        state_of(got, state)
        s.shop.users.delete_one({"_id": 10 * turn})
        expected.pop(str(10 * turn))
        s.again()
        got = s.changes_until_now()
        assert got == [[("delete", "users", str(10 * turn), None)]]
        state_of(got, state)
    assert state == expected


@pytest.mark.parametrize("kind", WAYS)
def test_from_every_position_the_rest_comes(stream, kind):
    """A reader that is killed goes on from the last position it has kept."""
    s = stream(kind).open()
    places, ours = [s.at], False
    for i in range(6):
        s.shop.users.insert_one({"_id": i})
    items = s.items()
    for i in items:
        ours |= i["kind"] == "change" and i["table"] == "users"
        if i["kind"] == "commit" and ours:
            places, ours = [*places, (i["position"], i["position_token"])], False
    inserts = [i for i in items if i["kind"] == "change" and i["table"] == "users"]
    assert len(inserts) == 6
    for n, at in enumerate(places):
        s.read.process.kill()
        s.read.process.wait()
        s.read = Read(s.server.url("shop"))
        s.read.catalog()
        s.open(at)
        assert [c[2] for t in s.changes_until_now() for c in t] == [str(i) for i in range(n, 6)]


@pytest.mark.parametrize("kind", ["ferretdb", "double"])
def test_a_server_that_was_killed(stream, kind):
    """What was committed before comes once it is back; the reader is told to try again meanwhile."""
    s = stream(kind).open()
    s.shop.users.insert_one({"_id": 1})
    assert len(s.changes_until_now()) == 1
    s.shop.users.insert_one({"_id": 2})
    s.server.kill()
    with pytest.raises(Refused) as e:
        s.read.read(until=2**62, wait_ms=30000)
        s.read.heartbeat()
    assert e.value.cls == "retry"
    time.sleep(1.1)  # FerretDB counts times within a second from 1 again after a start
    s.server.start()
    s.client.close()
    s.client = s.server.connect()
    s.shop = s.client.shop
    s.shop.users.insert_one({"_id": 3})
    s.again()
    assert [c[2] for t in s.changes_until_now() for c in t] == ["2", "3"]


@pytest.mark.parametrize("kind", WAYS)
def test_a_quiet_stream_moves(stream, kind):
    s = stream(kind).open()
    assert s.changes_until_now() == []
    before = s.at[0]
    s.client.elsewhere.things.insert_one({"_id": 1})  # nothing of ours
    reached = s.read.heartbeat()["position"]
    got = s.read.read(until=reached, wait_ms=30000)
    assert got["reached"] >= reached > before
    assert [i["table"] for i in got["items"] if i["kind"] == "change"] == ["heartbeat"]


@pytest.mark.parametrize("kind", WAYS)
def test_a_collection_that_is_added_while_it_is_read(stream, kind):
    """What is written after stream_add_tables has returned comes, also when the stream has not been read since."""
    s = stream(kind).open()
    assert s.changes_until_now() == []
    for n in range(2):
        s.shop[f"more{n}"].insert_one({"_id": "first"})
        s.read.catalog()
        s.read.add_tables()
        s.shop[f"more{n}"].insert_one({"_id": 1})
        s.shop.users.insert_one({"_id": n})
        s.shop[f"more{n}"].delete_one({"_id": 1})
        got = [told(i)[:3] for i in s.items() if i["kind"] == "change" and i["table"] != "heartbeat"]
        assert got[-3:] == [("insert", f"more{n}", "1"), ("insert", "users", str(n)), ("delete", f"more{n}", "1")] and len(got) == 3


@pytest.mark.parametrize("kind", WAYS)
def test_a_position_is_not_before_what_has_returned(stream, kind):
    s = stream(kind).open()
    for i in range(5):
        s.shop.users.insert_one({"_id": i})
        at = s.read.position()["position"]
        s.read.heartbeat()
        got = s.read.read(until=at, wait_ms=30000)
        assert str(i) in [told(c)[2] for c in got["items"] if c["kind"] == "change" and c["table"] == "users"]


@pytest.mark.parametrize("kind,what", [("java", "drop"), ("double", "drop"), ("double", "rename"), ("double", "database"), ("double", "taken")])
def test_what_becomes_of_a_collection_ends_it(stream, kind, what):
    """FerretDB logs neither, and mongo-java-server no rename: there the catalogue tells it."""
    s = stream(kind).open()
    s.shop.other.insert_one({"_id": 1})
    s.shop.other.drop()  # does not migrate
    s.shop.users.insert_one({"_id": 1})
    assert len(s.changes_until_now()) == 1
    s.shop.users.insert_one({"_id": 2})
    if what == "drop":
        s.shop.users.drop()
    elif what == "rename":
        s.shop.users.rename("people")
    elif what == "database":
        s.client.drop_database("shop")
    else:
        s.shop.fresh.insert_one({"_id": 1})
        s.client.admin.command({"renameCollection": "shop.fresh", "to": "shop.users", "dropTarget": True})
    for _ in range(2):  # whoever tries again is told again
        with pytest.raises(Refused) as e:
            s.items()
        assert (e.value.cls, e.value.code) == ("fatal", "MFDDL")
        assert "shop" in e.value.text and "begin the migration again" in e.value.hint
        if what == "rename":
            assert "renamed to shop.people" in e.value.text and "new name" in e.value.hint
        s.again()


def test_a_stream_that_tells_nothing_is_not_built_on(own_mongo):
    """nx-27017 opens a change stream of a whole deployment, and tells nothing in it."""
    server = own_mongo("nx")
    with server.connect() as c:
        c.shop.users.insert_one({"_id": "x"})
    r = Read(server.url("shop"))
    try:
        r.catalog()
        with pytest.raises(Refused) as e:
            r.prepare()
        assert (e.value.cls, e.value.code) == ("fatal", "MFSTREAM") and "heartbeat" in e.value.text
    finally:
        r.close()


def test_an_account_that_sees_one_database_alone_is_told_so(own_mongo):
    """It may open a change stream of its database, and none of the deployment, and not read the oplog: check says it before a run does."""
    server = own_mongo("double", settings={"auth": "root:secret", "narrow": "app:secret"})
    with server.connect() as c:
        c.shop.users.insert_one({"_id": "x"})
    url = server.url("shop").replace("root:secret@", "app:secret@")
    r = Read(url)
    try:
        r.catalog()
        with pytest.raises(Refused) as e:
            r.prepare()
        assert (e.value.cls, e.value.code) == ("fatal", "MFSTREAM") and "to this account" in e.value.text and "readAnyDatabase" in e.value.hint
        assert "stream-of-all" in {f["code"] for f in r.check()["findings"] if f["severity"] == 2}
    finally:
        r.close()


# ---- change streams alone ----

def test_a_transaction_is_one(stream):
    s = stream("double").open()
    for turn in range(3):
        with s.client.start_session() as session, session.start_transaction():
            s.shop.users.insert_one({"_id": f"a{turn}"}, session=session)
            s.shop.orders.insert_one({"_id": f"b{turn}"}, session=session)
            s.shop.users.delete_one({"_id": f"a{turn}"}, session=session)
        with s.client.start_session() as session:
            session.start_transaction()
            s.shop.users.insert_one({"_id": f"never{turn}"}, session=session)
            session.abort_transaction()
        s.shop.users.insert_one({"_id": f"c{turn}"})
        got = [[c[:3] for c in t] for t in s.changes_until_now()]
        assert got == [[("insert", "users", f'"a{turn}"'), ("insert", "orders", f'"b{turn}"'), ("delete", "users", f'"a{turn}"')],
                       [("insert", "users", f'"c{turn}"')]]


def test_a_transaction_of_more_than_a_batch_is_one(stream):
    s = stream("double").open()
    with s.client.start_session() as session, session.start_transaction():
        s.shop.users.insert_many([{"_id": i} for i in range(2500)], session=session)
    got = s.changes_until_now()
    assert [len(t) for t in got] == [2500]


def test_large_events_are_put_together(stream):
    s = stream("double").open()
    for turn in range(2):
        s.shop.users.insert_one({"_id": turn, "a": "x"})
        s.shop.users.update_one({"_id": turn}, {"$set": {"a": "y" * (9 << 20)}})  # the document and what was changed of it: over 16 MB
        s.shop.users.insert_one({"_id": f"after{turn}"})
        got = [c for t in s.changes_until_now() for c in t]
        assert [c[:3] for c in got] == [("insert", "users", str(turn)), ("update", "users", str(turn)), ("insert", "users", f'"after{turn}"')]
        assert got[1][3] == {"_id": turn, "a": "y" * (9 << 20)}
        s.again()


def test_a_history_that_is_lost(stream):
    s = stream("double").open()
    at = s.at
    s.shop.users.insert_one({"_id": 1})
    assert len(s.changes_until_now()) == 1
    tokened = s.at
    assert ";82" in tokened[1] and ";" not in at[1]
    s.client.admin.command({"doubleFault": 1, "loseOplog": True})
    s.shop.users.insert_one({"_id": 2})
    for place in (at, tokened):
        s.read.stream_close()
        s.open(place)
        with pytest.raises(Refused) as e:
            s.items()
        assert (e.value.cls, e.value.code) == ("fatal", "MFSLOT")
        assert "oplog" in e.value.text and "begin it again" in e.value.hint


@pytest.mark.parametrize("do", ["close-unread", "close-unanswered", "not-primary"])
def test_trouble_on_the_way_is_told_and_nothing_is_lost(stream, do):
    s = stream("double").open()
    state = {}
    for i in range(3):
        s.shop.users.insert_one({"_id": i})
        s.client.admin.command({"doubleFault": 1, "command": "getMore", "do": do, "nth": 1, "times": 1})
        try:
            state_of(s.changes_until_now(), state)
        except Refused as e:
            assert e.cls == "retry"
            s.again()
            state_of(s.changes_until_now(), state)
        s.client.admin.command({"doubleFault": 1, "clear": True})
    assert list(state) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["ferretdb"])
def test_an_oplog_that_was_overwritten(stream, kind):
    s = stream(kind).open()
    s.shop.users.insert_one({"_id": 1})
    assert len(s.changes_until_now()) == 1
    with s.server.connect() as c:
        c.local["oplog.rs"].drop()
        c.local.create_collection("oplog.rs", capped=True, size=1 << 20)
        c.shop.users.insert_one({"_id": 2})
    with pytest.raises(Refused) as e:
        s.items()
    assert (e.value.cls, e.value.code) == ("fatal", "MFSLOT")
