"""The way back into MongoDB: documents put over what is there, told from what others write at the same time; whose the migration is, and who may write.

FerretDB, read by its oplog, and the double (harness/mongo_double.py), read by a change stream. Without a map documents are put as they are given; what a map does
to them is the unit tests' of bson.
"""
import time
from contextlib import contextmanager

import pytest

from harness.mongo_servers import driver
from harness.mongo_stream import Stream, stream  # noqa: F401
from harness.pgdrive import Drive, Refused

driver()
import bson  # noqa: E402

KINDS = ("ferretdb", "double")
USERS = {"schema": "shop", "name": "users", "identity": "key", "columns": [{"name": "_id", "type": "text"}, {"name": "document", "type": "bytes"}], "key": [0]}


def key(i) -> str:
    return f'"{i}"' if isinstance(i, str) else str(i)


def put(document: dict) -> dict:
    new = [key(document["_id"]), {"hex": bson.encode(document).hex()}]
    return {"op": "replace", "old": [new[0], {}], "new": new}


def gone(i) -> dict:
    return {"old": [key(i), {}]}


@contextmanager
def way_back(s: Stream, **named):
    d = Drive(s.server.url("shop"), side="source", direction="reverse", **named)
    try:
        d("prepare")
        yield d
    finally:
        d.close()


def window(d: Drive, order: int, *documents: dict, deletes=(), **named) -> dict:
    return d.window(order, {"table": USERS, "updates": [put(x) for x in documents], "deletes": [gone(i) for i in deletes]}, fuzzy=True, **named)


def careful(d: Drive, order: int, document: dict) -> dict:
    return window(d, order, document, careful=True, keep=True)


def ids(s: Stream) -> list:
    return sorted(x["_id"] for x in s.server_users.find() if x["_id"] != "first")


@pytest.fixture
def back(stream):  # noqa: F811
    def make(kind: str) -> Stream:
        s = stream(kind)
        s.server_users = s.shop.users
        return s

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_does_not_come_back(back, kind):
    s = back(kind)
    s.shop.users.insert_one({"_id": 1, "v": 0})
    start = s.at
    s.open()
    assert len(s.changes_until_now()) == 1
    with way_back(s) as d:
        window(d, 10, {"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"v": 1, "_id": 3})
        s.shop.users.insert_one({"_id": 4, "by": "somebody"})
        window(d, 11, deletes=[3, "never"])
        assert d("checkpoint")["order"] == 11
        assert ids(s) == [1, 2, 4] and s.shop.users.find_one({"_id": 1}) == {"_id": 1, "v": 1}
        foreign = [[("insert", "users", "4", {"_id": 4, "by": "somebody"})]]
        assert s.changes_until_now() == foreign
        for at in (start, start):  # from before: what was announced is known still
            s.read.stream_close()
            s.open(at)
            assert s.changes_until_now()[1:] == foreign
        s.read.stream_ack(position=s.at[0])
        assert s.client.midflight.window.count_documents({}) == 0
        window(d, 12, {"_id": 5})
        assert s.changes_until_now() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_write_to_the_same_document_is_told(back, kind):
    s = back(kind).open()
    with way_back(s) as d:
        window(d, 10, {"_id": 1, "v": 1}, {"_id": 2, "v": 1})
        s.shop.users.replace_one({"_id": 1}, {"v": "theirs"})
        s.shop.users.delete_one({"_id": 2})
        window(d, 11, {"_id": 1, "v": 2}, {"_id": 2, "v": 2})
        window(d, 12, {"_id": 1, "v": 2})  # it is so: nothing is written
        s.shop.users.replace_one({"_id": 1}, {"v": 2, "more": 1})
        s.shop.users.replace_one({"_id": 1}, {"v": 2})  # as ours was, and by somebody: announced once, seen once
        got = [c[:3] for t in s.changes_until_now() for c in t]
        assert got == [("update", "users", "1"), ("delete", "users", "2"), ("update", "users", "1"), ("update", "users", "1")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["mongodb.window_begin", "mongodb.window_intent", "mongodb.window_rows", "mongodb.window_commit", "mongodb.window_committed"])
def test_it_is_killed_and_comes_again(back, kind, fault):
    s = back(kind).open()
    with way_back(s) as d:
        window(d, 10, {"_id": 1, "v": 1})
    with way_back(s, fault=f"{fault}=kill") as d, pytest.raises(RuntimeError):
        window(d, 20, {"_id": 1, "v": 2}, {"_id": 2, "v": 2}, deletes=[3])
    s.shop.users.insert_one({"_id": 9})
    with way_back(s) as d:
        if d("checkpoint")["order"] < 20:
            window(d, 20, {"_id": 1, "v": 2}, {"_id": 2, "v": 2}, deletes=[3])
        window(d, 30, {"_id": 1, "v": 3})
        with pytest.raises(Refused) as e:
            window(d, 20, {"_id": 1, "v": 2})
        assert (e.value.cls, e.value.code) == ("fatal", "MFTWICE")
    assert s.shop.users.find_one({"_id": 1})["v"] == 3 and ids(s) == [1, 2, 9]
    assert [c[:3] for t in s.changes_until_now() for c in t] == [("insert", "users", "9")]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_repaired_and_collections_emptied(back, kind):
    s = back(kind).open()
    with way_back(s) as d:
        window(d, 10, {"_id": 1}, {"_id": 2})
        d("repair", table=USERS, whole=[put({"_id": 1, "mended": True})["new"], put({"_id": 5})["new"]], gone=[["2", {}]])
        assert d("checkpoint")["order"] == 10 and ids(s) == [1, 5]
        d.window(11, truncate=[USERS])
        assert s.shop.users.count_documents({}) == 0
        assert [c[:3] for t in s.changes_until_now() for c in t] == []


@pytest.mark.parametrize("kind", ["java", "double"])
def test_many_documents_at_once(back, kind):
    """FerretDB takes too long for an update."""
    s = back(kind).open()
    with way_back(s) as d:
        window(d, 10, *({"_id": i, "v": "x" * 100} for i in range(1300)))
        window(d, 11, *({"_id": i, "v": "y"} for i in range(0, 1300, 2)), deletes=range(1, 1300, 2))
        assert s.shop.users.count_documents({}) == 651
        assert s.changes_until_now() == []


def test_what_is_refused_goes_to_quarantine(back):
    s = back("ferretdb").open()
    s.shop.users.create_index("mail", unique=True)
    s.shop.users.delete_one({"_id": "first"})
    with way_back(s) as d:
        window(d, 10, {"_id": 1, "mail": "a"}, {"_id": 2, "mail": "b"})
        with pytest.raises(Refused) as e:
            window(d, 11, {"_id": 3, "mail": "a"}, {"_id": 4, "mail": "d"})
        assert e.value.cls == "conflict" and "shop.users" in e.value.text
        assert careful(d, 11, {"_id": 3, "mail": "a"})["quarantined"] == 1
        entries = d("quarantine")["entries"]
        assert [(q["schema"], q["table"], q["key"]) for q in entries] == [("shop", "users", "_id=3")] and "E11000" in entries[0]["reason"]
        assert careful(d, 12, {"_id": 3, "mail": "a"})["quarantined"] == 0  # it is in it already
        careful(d, 13, {"_id": 3, "mail": "c"})
        assert d("quarantine")["entries"] == [] and {1, 2, 3} <= set(ids(s)) <= {1, 2, 3, 4}
        with pytest.raises(Refused) as e:
            window(d, 14, {"_id": 2, "v": "x" * (17 << 20)})
        assert e.value.cls == "row" and "more than the deployment takes" in e.value.text
        careful(d, 14, {"_id": 2, "v": "x" * (17 << 20)})
        assert s.shop.users.find_one({"_id": 2}) == {"_id": 2, "mail": "b"}  # it may have what no row has: nothing but a deletion takes it away
        entry = d("quarantine")["entries"][0]
        assert len(entry["row"]) < 2 << 20 and d("quarantine", drop=entry["id"])["entries"] == []
        assert [c[:3] for t in s.changes_until_now() for c in t] == [("delete", "users", '"first"')]


def test_one_that_was_asleep_writes_nothing_over_what_another_wrote(back):
    s = back("double").open()
    with way_back(s) as d, way_back(s) as other:
        window(d, 10, {"_id": 1, "v": 1})
        window(other, 11, {"_id": 1, "v": 2})
        with pytest.raises(Refused) as e:
            window(d, 11, {"_id": 1, "v": "old"})
        assert (e.value.cls, e.value.code) == ("fatal", "MFTWICE")
        window(other, 12, {"_id": 2, "v": 2})
        assert [x["v"] for x in s.shop.users.find({"_id": {"$in": [1, 2]}})] == [2, 2]


# ---- whose it is, and who writes ----

def test_the_right_to_run(back):
    s = back("ferretdb")
    with way_back(s) as one, way_back(s) as two:
        one("run_lock", wait_ms=0)
        one("run_lock", check=True)
        with pytest.raises(Refused) as e:
            two("run_lock", wait_ms=300)
        assert (e.value.cls, e.value.code) == ("fatal", "MFTWICE") and "process" in e.value.text
        one("run_lock", release=True)
        two("run_lock", wait_ms=0)
        two.process.kill()
        two.process.wait()
        one("run_lock", wait_ms=60000)  # it ends by itself
        s.client.midflight.run_lock.delete_many({})
        end = time.monotonic() + 60
        with pytest.raises(Refused) as e:
            while time.monotonic() < end:
                one("run_lock", check=True)
                time.sleep(0.1)
        assert (e.value.cls, e.value.code) == ("retry", "MFLOST")


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_decided_once_and_come_in_the_stream(back, kind):
    s = back(kind).open()
    with way_back(s) as d:
        assert d("epoch")["epoch"] == 0
        d("hold")
        d("decide", epoch=3, writer="target", open=False)
        assert [d("epoch")[k] for k in ("epoch", "writer", "open")] == [3, "target", False]
        with pytest.raises(Refused) as e:
            d("epoch", epoch=2, writer="source", open=True)
        assert (e.value.cls, e.value.code) == ("retry", "MFEPOCH")
        d("settle", wait_ms=1000)
        d("epoch", epoch=4, writer="source", open=True)
        rows = [i["new"] for i in s.items() if i["kind"] == "change" and i["table"] == "epoch"]
        assert [r[:3] for r in rows] == [["test", "3", "target"], ["test", "3", "target"], ["test", "4", "source"]]


def test_nothing_is_left_behind(back):
    s = back("ferretdb")
    with way_back(s) as d, way_back(s, migration="other") as other:
        window(d, 10, {"_id": 1})
        window(other, 10, {"_id": 1})
        d("epoch", epoch=1, writer="source", open=True)
        d("cleanup")
        d("cleanup")
        left = {name for name in s.client.midflight.list_collection_names() if s.client.midflight[name].count_documents({"migration": "test"})}
        assert left == set() and other("checkpoint")["order"] == 10
        other("cleanup")
        assert "midflight" not in s.client.list_database_names()
