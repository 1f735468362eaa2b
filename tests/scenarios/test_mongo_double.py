"""The double of a MongoDB replica set (harness/mongo_double.py). Its judges are PyMongo, libmongoc, and the histories that the tests write themselves."""
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.mongo_servers import SERVERS, driver
from harness.servers import wait_for


def errors():
    return driver().errors


@pytest.fixture
def shop(mongo_database):
    """A database of the shared double."""
    database = mongo_database("double")
    db = database.connect()
    yield db
    db.client.close()


@contextmanager
def watching(where, **options):
    with where.watch(max_await_time_ms=100, **options) as stream:
        yield stream


def events(stream, count: int) -> list:
    got = []

    def more() -> bool:
        while len(got) < count and (one := stream.try_next()):
            got.append(one)
        return len(got) >= count

    wait_for(more, 60, f"{count} events")
    return got


def kinds(told: list) -> list:
    return [one["operationType"] for one in told]


def fails(code: int, do):
    with pytest.raises(errors().OperationFailure) as raised:
        do()
    assert raised.value.code == code, raised.value
    return raised.value


def raw(collection):
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument
    return collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))


# ---- what it is ----------------------------------------------------------------------------------------------------

def test_it_is_found_as_a_member_of_a_set(own_mongo):
    server = own_mongo("double")
    with driver().MongoClient(server.url(replicaSet="rs0")) as client:
        assert client.admin.command("hello")["setName"] == "rs0" and client.primary == ("127.0.0.1", server.port)
        assert client.server_info()["version"].startswith("7.0.")
        assert client.local["system.replset"].find_one()["settings"]["replicaSetId"]
        assert client.admin.command("getParameter", 1, featureCompatibilityVersion=1)["featureCompatibilityVersion"]["version"] == "7.0"
        fails(59, lambda: client.admin.command("noSuchCommand"))
        client.a.x.insert_one({})
        client.b.create_collection("y", changeStreamPreAndPostImages={"enabled": True})
        assert [d["name"] for d in client.list_databases()] == ["a", "admin", "b", "config", "local"]
        one, = client.b.list_collections()
        assert (one["name"], one["type"], one["options"]) == ("y", "collection", {"changeStreamPreAndPostImages": {"enabled": True}})
        assert len(one["info"]["uuid"].bytes if hasattr(one["info"]["uuid"], "bytes") else one["info"]["uuid"]) == 16
        fails(48, lambda: client.b.command("create", "y"))
        assert client.b.command("dbStats")["objects"] == 0 and client.a.command("collStats", "x")["count"] == 1
        assert client.admin.command("serverStatus")["repl"]["setName"] == "rs0" and client.admin.command("replSetGetStatus")["myState"] == 1
        fails(26, lambda: client.a.command("listIndexes", "none"))
        fails(26, lambda: client.admin.command("renameCollection", "a.none", to="a.more"))
        fails(43, lambda: client.a.command({"getMore": 5, "collection": "x"}))
        fails(286, lambda: client.a.command("aggregate", "x", pipeline=[{"$changeStream": {"startAtOperationTime": lost(client)}}], cursor={}))


def lost(client):
    client.admin.command("doubleFault", 1, loseOplog=True)
    from bson import Timestamp
    return Timestamp(1, 1)


def test_accounts(own_mongo):
    server = own_mongo("double", settings={"auth": "mover:p:ä/ss", "reader": "eye:glass"})
    with server.connect() as client:
        client.a.x.insert_one({})
        assert client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"] == [{"user": "mover", "db": "admin"}]
    plain = f"mongodb://127.0.0.1:{server.port}/"
    with driver().MongoClient(plain, directConnection=True) as client:
        fails(13, lambda: client.a.x.find_one())
    with driver().MongoClient(plain, directConnection=True, username="mover", password="no") as client:
        fails(18, lambda: client.a.x.find_one())
    with driver().MongoClient(plain, directConnection=True, username="eye", password="glass") as client, watching(client) as stream:
        assert client.a.x.count_documents({}) == 1 and stream.try_next() is None
        fails(13, lambda: client.a.x.insert_one({}))


def test_every_answer_has_a_time(shop):
    with shop.client.start_session() as session:
        shop.x.insert_one({"_id": 1}, session=session)
        first = session.operation_time
        shop.x.find_one({"_id": 1}, session=session)
        assert session.operation_time >= first
        shop.x.insert_one({"_id": 2}, session=session)
        assert session.operation_time > first and session.cluster_time["clusterTime"] == session.operation_time


# ---- documents -----------------------------------------------------------------------------------------------------

def test_updates(shop):
    def after(update, start=None, **options):
        shop.x.replace_one({"_id": 1}, {"_id": 1, **(start or {})}, upsert=True)
        shop.x.update_one({"_id": 1}, update, **options)
        return {k: v for k, v in shop.x.find_one({"_id": 1}).items() if k != "_id"}

    assert after({"$set": {"a.b": 1, "c": 2}}) == {"a": {"b": 1}, "c": 2}
    assert after({"$unset": {"a.b": 1}}, {"a": {"b": 1, "c": 2}}) == {"a": {"c": 2}}
    assert after({"$inc": {"n": 2, "m": 1.5}}, {"n": 2**31 - 1}) == {"n": 2**31 + 1, "m": 1.5}
    assert after({"$push": {"l": 3}}, {"l": [1]}) == {"l": [1, 3]}
    assert after({"$push": {"l": {"$each": [3, 4]}}}) == {"l": [3, 4]}
    assert after({"$pull": {"l": 1}}, {"l": [1, 2, 1]}) == {"l": [2]}
    assert after({"$pull": {"l": {"$gt": 1}}}, {"l": [1, 2]}) == {"l": [1]}
    assert after({"$addToSet": {"l": 1}}, {"l": [1.0]}) == {"l": [1.0]}
    assert after({"$set": {"l.1": 5}}, {"l": [1, 2]}) == {"l": [1, 5]}
    assert after({"$set": {"l.3": 5}}, {"l": [1]}) == {"l": [1, None, None, 5]}
    assert after([{"$set": {"l": [1]}}, {"$unset": "b"}], {"l": [1, 2], "b": 1}) == {"l": [1]}
    fails(66, lambda: shop.x.update_one({"_id": 1}, {"$set": {"_id": 2}}))
    fails(40, lambda: shop.x.update_one({"_id": 1}, {"$set": {"a": 1}, "$unset": {"a.b": 1}}))
    fails(28, lambda: (shop.x.replace_one({"_id": 1}, {"a": 1}), shop.x.update_one({"_id": 1}, {"$set": {"a.b": 1}})))
    done = shop.x.update_one({"_id": 9, "k": 5}, {"$set": {"a": 1}, "$setOnInsert": {"b": 2}}, upsert=True)
    assert done.upserted_id == 9 and shop.x.find_one({"_id": 9}) == {"_id": 9, "k": 5, "a": 1, "b": 2}
    done = shop.x.update_many({}, {"$set": {"a": 1}})
    assert (done.matched_count, done.modified_count) == (2, 0)
    assert shop.x.find_one_and_update({"_id": 9}, {"$inc": {"b": 1}}) == {"_id": 9, "k": 5, "a": 1, "b": 2}
    assert shop.x.find_one_and_delete({"_id": 9}, projection={"b": 1}) == {"_id": 9, "b": 3}
    assert shop.x.delete_many({"_id": {"$gt": 5}}).deleted_count == 0 and shop.x.delete_one({"_id": 1}).deleted_count == 1
    shop.y.insert_many([{"_id": 1}, {"_id": 2}])
    with pytest.raises(errors().BulkWriteError) as raised:
        shop.y.insert_many([{"_id": 3}, {"_id": 2}, {"_id": 3}, {"_id": 4}], ordered=False)
    assert [(e["index"], e["code"]) for e in raised.value.details["writeErrors"]] == [(1, 11000), (2, 11000)]
    assert raised.value.details["nInserted"] == 2 and shop.y.count_documents({}) == 4
    with pytest.raises(errors().BulkWriteError):
        shop.y.insert_many([{"_id": 5}, {"_id": 5}, {"_id": 6}])
    assert shop.y.distinct("_id") == [1, 2, 3, 4, 5]


def test_unique_indexes(shop):
    x = shop.x
    x.create_index("mail", unique=True)
    x.create_index([("a", 1), ("l", 1)], unique=True, sparse=True)
    x.insert_many([{"_id": 1, "mail": "a"}, {"_id": 2, "mail": "b", "a": 1, "l": [1, 2]}])
    assert fails(11000, lambda: x.insert_one({"mail": "a"})).details["keyPattern"] == {"mail": 1}
    fails(11000, lambda: x.update_one({"_id": 2}, {"$set": {"mail": "a"}}))
    fails(11000, lambda: x.replace_one({"_id": 3}, {"mail": "c", "a": 1.0, "l": 2}, upsert=True))
    with pytest.raises(errors().BulkWriteError) as raised:
        x.insert_many([{"_id": 5, "mail": "e"}, {"_id": 6, "mail": "e"}])
    assert raised.value.details["nInserted"] == 1
    x.insert_one({"_id": 7})
    fails(11000, lambda: x.insert_one({"_id": 8}))  # no mail is null
    x.delete_one({"_id": 1})
    with shop.client.start_session() as session:
        with session.start_transaction():
            x.update_one({"_id": 5}, {"$set": {"mail": "a"}}, session=session)
            x.insert_one({"_id": 9, "mail": "e"}, session=session)
        session.start_transaction()
        x.insert_one({"_id": 10, "mail": "f"}, session=session)
        fails(11000, lambda: x.insert_one({"_id": 11, "mail": "f"}, session=session))
        session.abort_transaction()
        session.start_transaction()
        x.insert_one({"_id": 10, "mail": "f"}, session=session)
        x.insert_one({"_id": 11, "mail": "f"})
        fails(112, session.commit_transaction)
    fails(11000, lambda: shop.y.insert_many([{"v": 1}, {"v": 1}]) and shop.y.create_index("v", unique=True))
    x.drop_index("mail_1")
    x.insert_one({"mail": "a"})


def all_ids() -> list:
    """In the manual's order of types."""
    from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
    return [MinKey(), None, float("nan"), float("-inf"), -1, 0.5, Int64(1), Decimal128("1.5"), 2**40, float("inf"), "", "a", "ab", "b", "é", {}, {"a": 1}, {"b": 0},
            {"b": 0, "c": 1}, Binary(b"z", 0), Binary(b"ab", 0), Binary(b"a" * 16, 4), ObjectId(b"a" * 12), ObjectId(b"b" * 12), False, True, DatetimeMS(-5),
            DatetimeMS(5), Timestamp(1, 2), Timestamp(2, 0), MaxKey()]


def test_the_order_of_ids_and_ranges_of_them(shop):
    import bson
    ids = all_ids()
    shop.x.insert_many([{"_id": one} for one in reversed(ids)])
    as_bytes = lambda found: [d.raw for d in found]
    wanted = [bson.encode({"_id": one}) for one in ids]
    x = raw(shop.x)
    assert as_bytes(x.find().sort("_id", 1)) == wanted and as_bytes(x.find().sort("_id", -1)) == wanted[::-1]
    assert as_bytes(x.find()) == wanted[::-1]
    numbers = list(range(3, 10))
    for n in range(len(ids)):
        assert as_bytes(x.find({"_id": ids[n]})) == [wanted[n]]
        assert as_bytes(x.find({"$expr": {"$gte": ["$_id", {"$literal": ids[n]}]}})) == wanted[n:]
        if n:
            bounds = dict(hint={"_id": 1}, max={"_id": ids[n]})
            found = shop.command("find", "x", filter={}, batchSize=100, **bounds)["cursor"]["firstBatch"]
            assert len(found) == n
    assert as_bytes(x.find({"_id": {"$gte": -1, "$lt": 2**50}})) == [wanted[n] for n in numbers[1:6]]
    assert as_bytes(x.find({"_id": {"$lt": 5}})) == wanted[3:8]  # not NaN
    assert as_bytes(x.find({"_id": {"$lte": float("nan")}})) == as_bytes(x.find({"_id": {"$gte": float("nan")}})) == [wanted[2]]
    assert as_bytes(x.find({"_id": {"$gt": "a"}})) == wanted[12:15]
    assert as_bytes(x.find({"$or": [{"_id": {"$gte": "b"}}, {"_id": {"$type": ["object", "bool"]}}, {"_id": {"$lte": False}}]})) == [
        *wanted[13:19], *wanted[24:26]]
    assert as_bytes(x.find({"$and": [{"_id": {"$gte": False}}, {"_id": {"$in": [True, "a"]}}]})) == [wanted[25]]
    assert as_bytes(x.find({"_id": {"$in": ["b", 1, "none"]}}, batch_size=1)) == [wanted[6], wanted[13]]
    assert as_bytes(x.find().sort("_id", 1).skip(2).limit(3)) == wanted[2:5]
    fails(51173, lambda: shop.command("find", "x", filter={}, max={"_id": 1}))


def test_queries_and_projections(shop):
    shop.x.insert_many([{"_id": n, "a": {"b": n, "c": "x"}, "l": [n, n + 1], "d": n % 3} for n in range(250)])
    ids = lambda filter_, **more: [d["_id"] for d in shop.x.find(filter_, **more)]
    assert ids({"a.b": 5}) == [5] and ids({"l": 5}) == [4, 5] and ids({"a": {"b": 5, "c": "x"}}) == [5] and ids({"a": {"b": 5}}) == []
    assert ids({"none": None, "d": 1}) == list(range(1, 250, 3)) and ids({"a.c": {"$exists": False}}) == []
    assert ids({"d": {"$ne": 0}, "_id": {"$lt": 6}}) == [1, 2, 4, 5]
    assert shop.x.find_one({"_id": 3}, {"a.b": 1, "_id": 0}) == {"a": {"b": 3}}
    assert shop.x.find_one({"_id": 3}, {"a.b": 0, "l": 0}) == {"_id": 3, "a": {"c": "x"}, "d": 0}
    assert shop.x.count_documents({"d": 0}) == 84 and shop.x.estimated_document_count() == 250
    assert len(list(shop.x.aggregate([{"$sample": {"size": 7}}]))) == 7
    assert list(shop.x.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}, "to": {"$max": "$_id"}}}])) == [{"_id": None, "n": 250, "to": 249}]
    buckets = list(shop.x.aggregate([{"$match": {"_id": {"$lt": 10}}}, {"$bucketAuto": {"groupBy": "$_id", "buckets": 3}}]))
    assert [b["_id"] for b in buckets] == [{"min": 0, "max": 3}, {"min": 3, "max": 6}, {"min": 6, "max": 9}] and sum(b["count"] for b in buckets) == 10
    assert list(shop.x.aggregate([{"$sort": {"_id": -1}}, {"$limit": 1}, {"$project": {"size": {"$bsonSize": "$$ROOT"}}}]))[0]["_id"] == 249
    assert next(shop.x.aggregate([{"$collStats": {"count": {}, "storageStats": {}}}]))["count"] == 250
    fails(40324, lambda: shop.x.aggregate([{"$lookup": {}}]))
    cursor = shop.x.find({}, batch_size=100)
    assert len([next(cursor) for _ in range(100)]) == 100
    shop.x.delete_one({"_id": 200})
    shop.x.update_one({"_id": 201}, {"$set": {"new": 1}})
    rest = list(cursor)
    assert len(rest) == 149 and any(d.get("new") for d in rest)


def test_a_snapshot_is_of_one_time(shop):
    shop.x.insert_many([{"_id": n, "v": 0} for n in range(300)])
    with shop.client.start_session(snapshot=True) as session:
        cursor = shop.x.find({}, batch_size=50, session=session)
        next(cursor)
        shop.x.update_many({}, {"$set": {"v": 1}})
        shop.x.delete_many({"_id": {"$gte": 290}})
        shop.x.insert_one({"_id": 1000})
        assert [d["v"] for d in cursor] == [0] * 299
        assert len(list(shop.x.find({"v": 0}, session=session))) == 300
    assert shop.x.count_documents({"v": 0}) == 0


# ---- streams -------------------------------------------------------------------------------------------------------

def test_streams_of_all_levels(shop):
    other = shop.client[shop.name + "_b"]
    with watching(shop.x) as one, watching(shop) as database, watching(shop.client) as all_:
        shop.x.insert_one({"_id": 1})
        shop.y.insert_one({"_id": 2})
        other.z.insert_one({"_id": 3})
        shop.x.insert_one({"_id": 4})
        keys = lambda stream, n: [(e["ns"]["coll"], e["documentKey"]["_id"]) for e in events(stream, n)]
        assert keys(one, 2) == [("x", 1), ("x", 4)]
        assert keys(database, 3) == [("x", 1), ("y", 2), ("x", 4)]
        assert [e["ns"] for e in events(all_, 4)] == [{"db": d, "coll": c} for d, c in ((shop.name, "x"), (shop.name, "y"), (other.name, "z"), (shop.name, "x"))]
        assert one.try_next() is None and database.try_next() is None and all_.try_next() is None
    other.client.drop_database(other.name)


def test_events_of_documents(shop):
    from bson import Timestamp
    shop.x.insert_one({"_id": 1, "a": {"b": 1, "c": 1}, "l": [1, 2, 3, 4, 5], "m": [{"x": 1}]})
    with watching(shop.x, show_expanded_events=True) as stream, watching(shop.x) as usual:
        shop.x.update_one({"_id": 1}, {"$set": {"a.b": 2, "n": 1}, "$unset": {"a.c": 1}})
        shop.x.update_one({"_id": 1}, {"$set": {"l.1": 9, "m.0.x": 2}})
        shop.x.update_one({"_id": 1}, [{"$set": {"l": [1, 9]}}])
        shop.x.update_one({"_id": 1}, {"$set": {"a.0.1": 5}})
        shop.x.update_one({"_id": 1}, {"$set": {"a": {"b": 3}}, "$push": {"l": 7}})
        shop.x.update_one({"_id": 1}, {"$set": {"n": 1}})  # changes nothing
        shop.x.replace_one({"_id": 1}, {"z": 1})
        shop.x.delete_one({"_id": 1})
        told, plain = events(stream, 7), events(usual, 7)
    assert kinds(told) == ["update"] * 5 + ["replace", "delete"]
    said = [{k: v for k, v in e["updateDescription"].items() if v} for e in told[:5]]
    assert said == [{"updatedFields": {"a.b": 2, "n": 1}, "removedFields": ["a.c"]}, {"updatedFields": {"l.1": 9, "m.0.x": 2}},
                    {"truncatedArrays": [{"field": "l", "newSize": 2}]},
                    {"updatedFields": {"a.0": {"1": 5}}, "disambiguatedPaths": {"a.0": ["a", "0"]}}, {"updatedFields": {"a": {"b": 3}, "l.2": 7}}]
    assert set(plain[3]["updateDescription"]) == {"updatedFields", "removedFields", "truncatedArrays"}
    assert all(e["ns"] == {"db": shop.name, "coll": "x"} and e["documentKey"] == {"_id": 1} and isinstance(e["clusterTime"], Timestamp) for e in told)
    assert all("wallTime" in e and "fullDocument" not in e for e in told[:5]) and told[5]["fullDocument"] == {"_id": 1, "z": 1}
    assert all("collectionUUID" in e for e in told) and not any("collectionUUID" in e for e in plain)
    assert len({e["clusterTime"] for e in told}) == 7


def test_truncated_arrays(shop):
    shop.x.insert_one({"_id": 1, "l": ["x" * 50] * 5, "a": {"deep": [1, 2, 3, "y" * 50]}})
    with watching(shop.x) as stream:
        shop.x.update_one({"_id": 1}, [{"$set": {"l": {"$slice": ["$l", 2]}}}])
        assert events(stream, 1)[0]["updateDescription"] == {"updatedFields": {}, "removedFields": [], "truncatedArrays": [{"field": "l", "newSize": 2}]}


def test_documents_before_and_after(shop):
    shop.create_collection("x", changeStreamPreAndPostImages={"enabled": True})
    shop.x.insert_one({"_id": 1, "v": 1})
    shop.y.insert_one({"_id": 1, "v": 1})
    modes = ("updateLookup", "whenAvailable", "required")
    streams = {mode: shop.x.watch(max_await_time_ms=100, full_document=mode, full_document_before_change="whenAvailable") for mode in modes}
    with watching(shop.y, full_document="whenAvailable", full_document_before_change="whenAvailable") as without, \
            watching(shop.y, full_document="required") as must:
        for of in (shop.x, shop.y):
            of.update_one({"_id": 1}, {"$set": {"v": 2}})
            of.update_one({"_id": 1}, {"$set": {"v": 3}})
            of.delete_one({"_id": 1})
        for mode, stream in streams.items():
            told = events(stream, 3)
            after = [None, None] if mode == "updateLookup" else [{"_id": 1, "v": 2}, {"_id": 1, "v": 3}]
            assert [e["fullDocument"] for e in told[:2]] == after
            assert [e["fullDocumentBeforeChange"] for e in told] == [{"_id": 1, "v": n} for n in (1, 2, 3)]
            stream.close()
        assert [(e.get("fullDocument"), e["fullDocumentBeforeChange"]) for e in events(without, 3)] == [(None, None)] * 3
        fails(47, must.next)


def test_events_of_collections(shop):
    with watching(shop, show_expanded_events=True) as stream, watching(shop.x) as narrow, watching(shop.client) as wide, watching(shop.z) as target:
        shop.create_collection("x")
        shop.x.create_index("a", unique=True)
        shop.command("collMod", "x", changeStreamPreAndPostImages={"enabled": True})
        shop.x.drop_index("a_1")
        shop.x.rename("y")
        shop.y.insert_one({"_id": 1})
        shop.w.insert_one({"_id": 1})
        shop.y.rename("z", dropTarget=True)
        shop.z.drop()
        shop.client.drop_database(shop.name)
        told = events(stream, 13)
        assert kinds(told) == ["create", "createIndexes", "modify", "dropIndexes", "rename", "insert", "create", "insert", "rename", "drop", "drop", "dropDatabase",
                               "invalidate"]
        assert told[1]["operationDescription"]["indexes"][0]["key"] == {"a": 1} and told[3]["operationDescription"]["indexes"][0]["name"] == "a_1"
        assert told[2]["operationDescription"] == {"changeStreamPreAndPostImages": {"enabled": True}}
        assert told[4]["ns"]["coll"] == "x" and told[4]["to"] == {"db": shop.name, "coll": "y"}
        assert told[11]["ns"] == {"db": shop.name} and "ns" not in told[12]
        assert not stream.alive
        assert kinds(events(narrow, 2)) == ["rename", "invalidate"] and not narrow.alive
        assert kinds(events(target, 2)) == ["rename", "invalidate"]
        assert kinds(events(wide, 7)) == ["rename", "insert", "insert", "rename", "drop", "drop", "dropDatabase"] and wide.alive
    fails(260, lambda: shop.watch(resume_after=told[12]["_id"]))
    with watching(shop, start_after=told[12]["_id"]) as again:
        shop.x.insert_one({"_id": 5})
        assert kinds(events(again, 1)) == ["insert"]
    fails(280, lambda: shop.y.watch(resume_after=told[10]["_id"]))  # an event that this stream does not see


def history(shop) -> list:
    """Some of everything, and what a stream of the database tells of it."""
    with watching(shop, show_expanded_events=True) as stream:
        shop.x.insert_many([{"_id": n} for n in ("a", 1, 2.5, {"k": 1})])
        with shop.client.start_session() as session, session.start_transaction():
            for n in range(5):
                shop.x.insert_one({"_id": ("t", n)[n % 2] if n == 0 else n + 10}, session=session)
            shop.x.update_one({"_id": 1}, {"$set": {"v": 1}}, session=session)
            shop.x.delete_one({"_id": "a"}, session=session)
        shop.x.replace_one({"_id": 1}, {"v": 2})
        shop.x.drop()
        return events(stream, 14)


def test_a_stream_goes_on_behind_every_event(shop):
    told = history(shop)
    tokens = [e["_id"]["_data"] for e in told]
    assert tokens == sorted(set(tokens))
    times = [e["clusterTime"] for e in told]
    assert times == sorted(times) and len(set(times)) == 14 - 6
    for n, one in enumerate(told):
        with watching(shop, resume_after=one["_id"], show_expanded_events=True) as again:
            shop.client.admin.command("ping")
            assert [e["_id"] for e in (events(again, len(told) - n - 1) if n < len(told) - 1 else [])] == [e["_id"] for e in told[n + 1:]]
            assert again.try_next() is None
        with watching(shop, start_at_operation_time=one["clusterTime"], show_expanded_events=True) as again:
            first = times.index(one["clusterTime"])
            assert [e["_id"] for e in events(again, len(told) - first)] == [e["_id"] for e in told[first:]]


def test_tokens_of_batches_without_events(shop):
    other = shop.client[shop.name + "_b"]
    with watching(shop.x) as stream:
        shop.x.insert_one({"_id": 1})
        seen = events(stream, 1)[0]
        assert stream.resume_token == seen["_id"]
        other.y.insert_one({"_id": 1})
        wait_for(lambda: stream.try_next() is None and stream.resume_token["_data"] > seen["_id"]["_data"], 30, "a token of later than the event")
        token = stream.resume_token
    shop.x.insert_one({"_id": 2})
    with watching(shop.x, resume_after=token) as again:
        assert [e["documentKey"]["_id"] for e in events(again, 1)] == [2]
    other.client.drop_database(other.name)


def test_a_pipeline_of_a_stream(shop):
    with watching(shop.client, pipeline=[{"$match": {"ns.db": shop.name, "operationType": {"$in": ["insert", "delete"]}}}, {"$project": {"documentKey": 1}}]) as stream:
        shop.x.insert_one({"_id": 1})
        shop.x.update_one({"_id": 1}, {"$set": {"a": 1}})
        shop.x.delete_one({"_id": 1})
        told = events(stream, 2)
        assert [set(e) for e in told] == [{"_id", "documentKey"}] * 2
    with watching(shop.x, pipeline=[{"$project": {"_id": 0}}]) as stream:
        shop.x.insert_one({"_id": 1})
        fails(280, stream.next)
    fails(20, lambda: shop.x.watch([{"$group": {"_id": 1}}]))


def test_large_events(shop):
    shop.create_collection("x", changeStreamPreAndPostImages={"enabled": True})
    big = "x" * (9 << 20)
    asks = dict(full_document="required", full_document_before_change="required")
    splits = [{"$changeStreamSplitLargeEvent": {}}]
    shop.x.insert_one({"_id": 1, "s": big, "v": 0})
    with watching(shop.x, **asks) as stream, watching(shop.x, pipeline=splits, **asks) as split:
        shop.x.update_one({"_id": 1}, {"$set": {"v": 1}})
        shop.x.update_one({"_id": 1}, {"$set": {"s": "small"}})
        fails(10334, stream.next)
        told = events(split, 3)
    assert [e.get("splitEvent") for e in told] == [{"fragment": 1, "of": 2}, {"fragment": 2, "of": 2}, None]
    whole = told[0] | told[1]
    assert whole["fullDocument"] == {"_id": 1, "s": big, "v": 1} and whole["fullDocumentBeforeChange"] == {"_id": 1, "s": big, "v": 0}
    assert not set(told[0]) & set(told[1]) - {"_id", "splitEvent"} and told[0]["_id"]["_data"] < told[1]["_id"]["_data"]
    for n in range(2):
        with watching(shop.x, pipeline=splits, resume_after=told[n]["_id"], **asks) as again:
            assert [e["_id"] for e in events(again, 2 - n)] == [e["_id"] for e in told[n + 1:]]


def test_the_oplog_moves_on(own_mongo):
    server = own_mongo("double")
    with server.connect() as client:
        shop = client.shop
        with watching(shop) as stream:
            shop.x.insert_one({"_id": 1})
            early = events(stream, 1)[0]
        with watching(shop) as open_:
            shop.x.insert_one({"_id": 2})
            server.fault(loseOplog=True)
            fails(286, open_.next)
        shop.x.insert_one({"_id": 3})
        for options in ({"resume_after": early["_id"]}, {"start_at_operation_time": early["clusterTime"]}):
            fails(286, lambda: shop.watch(**options))
        first = client.local["oplog.rs"].find_one()["ts"]
        server.restart()
        fails(286, lambda: shop.watch(resume_after=early["_id"]))
        with watching(shop, start_at_operation_time=first) as again:
            assert [e["documentKey"]["_id"] for e in events(again, 1)] == [3]


# ---- transactions --------------------------------------------------------------------------------------------------

def test_a_transaction_is_seen_whole_or_not_at_all(shop):
    shop.x.insert_one({"_id": 1, "v": 1})
    with watching(shop) as stream, shop.client.start_session() as session:
        session.start_transaction()
        shop.x.insert_one({"_id": "in"}, session=session)
        shop.x.update_one({"_id": 1}, {"$set": {"v": 2}}, session=session)
        shop.y.insert_one({"_id": "in"}, session=session)
        shop.x.insert_one({"_id": "out"})
        assert shop.x.find_one({"_id": "in"}) is None and shop.x.find_one({"_id": 1})["v"] == 1 and shop.y.count_documents({}) == 0
        assert sorted(map(str, (d["_id"] for d in shop.x.find({}, session=session)))) == ["1", "in"]
        assert shop.x.count_documents({"_id": {"$gte": "a"}}, session=session) == 1
        assert [e["documentKey"] for e in events(stream, 1)] == [{"_id": "out"}]
        session.abort_transaction()
        assert shop.x.count_documents({}) == 2
        with session.start_transaction():
            shop.x.insert_many([{"_id": n} for n in (10, 11)], session=session)
            shop.x.update_one({"_id": 1}, {"$set": {"v": 3}}, session=session)
            shop.x.update_one({"_id": 1}, {"$set": {"v": 4}}, session=session)
            shop.x.delete_one({"_id": 10}, session=session)
        told = events(stream, 5)
        assert [(e["operationType"], e["documentKey"]["_id"]) for e in told] == [("insert", 10), ("insert", 11), ("update", 1), ("update", 1), ("delete", 10)]
        assert len({e["clusterTime"] for e in told}) == 1 and {e["txnNumber"] for e in told} == {told[0]["txnNumber"]}
        assert all(set(e["lsid"]) == {"id", "uid"} for e in told) and session.operation_time == told[0]["clusterTime"]
        entry = shop.client.local["oplog.rs"].find_one({"ts": told[0]["clusterTime"]})
        assert entry["op"] == "c" and [o["op"] for o in entry["o"]["applyOps"]] == ["i", "i", "u", "u", "d"]


def test_transactions_in_each_others_way(shop):
    shop.x.insert_one({"_id": 1, "v": 0})
    with shop.client.start_session() as one, shop.client.start_session() as two:
        one.start_transaction()
        two.start_transaction()
        shop.x.update_one({"_id": 1}, {"$inc": {"v": 1}}, session=one)
        error = fails(112, lambda: shop.x.update_one({"_id": 1}, {"$inc": {"v": 1}}, session=two))
        assert error.has_error_label("TransientTransactionError")
        error = fails(251, lambda: shop.x.find_one({}, session=two))
        assert error.has_error_label("TransientTransactionError")
        two.abort_transaction()
        writer = threading.Thread(target=lambda: shop.x.update_one({"_id": 1}, {"$inc": {"v": 10}}))
        writer.start()
        fails(50, lambda: shop.x.find_one_and_update({"_id": 1}, {"$inc": {"v": 100}}, maxTimeMS=50))
        one.commit_transaction()
        one.commit_transaction()  # again: no error
        writer.join(30)
        assert shop.x.find_one()["v"] == 11
        two.start_transaction()
        assert shop.x.find_one({}, session=two)["v"] == 11
        shop.x.update_one({"_id": 1}, {"$set": {"v": 5}})
        assert shop.x.find_one({}, session=two)["v"] == 11
        fails(112, lambda: shop.x.update_one({"_id": 1}, {"$inc": {"v": 1}}, session=two))
        two.abort_transaction()
        two.start_transaction()
        fails(11000, lambda: shop.x.insert_one({"_id": 1}, session=two))
        two.abort_transaction()
        two.with_transaction(lambda s: shop.x.update_one({"_id": 1}, {"$inc": {"v": 1}}, session=s))
        assert shop.x.find_one()["v"] == 6


def test_a_transaction_larger_than_an_entry(shop):
    with watching(shop) as stream, shop.client.start_session() as session:
        with session.start_transaction():
            for n in range(5):
                shop.x.insert_one({"_id": n, "s": "x" * (5 << 20)}, session=session)
        told = events(stream, 5)
        assert len({e["clusterTime"] for e in told}) == 1
        parts = list(shop.client.local["oplog.rs"].find({"o.applyOps.ns": f"{shop.name}.x", "txnNumber": told[0]["txnNumber"], "lsid": told[0]["lsid"]}))
        assert [len(p["o"]["applyOps"]) for p in parts] == [4, 2]  # with that which made the collection
        assert [p["o"].get("partialTxn") for p in parts] == [True, None]
        assert parts[1]["ts"] == told[0]["clusterTime"] and parts[1]["prevOpTime"]["ts"] == parts[0]["ts"]


# ---- the oplog -----------------------------------------------------------------------------------------------------

def test_entries_of_the_oplog(shop):
    shop.x.insert_one({"_id": 1, "a": {"b": 1}, "l": [1]})
    shop.x.update_one({"_id": 1}, {"$set": {"a.b": 2, "a.c": 3, "l.0": 7}, "$unset": {"none": 1}})
    shop.x.replace_one({"_id": 1}, {"z": 1})
    shop.x.delete_one({"_id": 1})
    shop.x.rename("y")
    shop.y.drop()
    oplog = shop.client.local["oplog.rs"]
    told = list(oplog.find({"ns": {"$regex": f"^{shop.name}\\."}}))
    assert [(e["op"], e["o"], e.get("o2")) for e in told[1:]] == [
        ("i", {"_id": 1, "a": {"b": 1}, "l": [1]}, {"_id": 1}),
        ("u", {"$v": 2, "diff": {"sa": {"u": {"b": 2}, "i": {"c": 3}}, "sl": {"a": True, "u0": 7}}}, {"_id": 1}),
        ("u", {"_id": 1, "z": 1}, {"_id": 1}), ("d", {"_id": 1}, None),
        ("c", {"renameCollection": f"{shop.name}.x", "to": f"{shop.name}.y", "stayTemp": False}, None), ("c", {"drop": "y"}, {"numRecords": 0})]
    assert told[0]["op"] == "c" and told[0]["o"]["create"] == "x" and all({"ts", "t", "v", "wall"} <= set(e) for e in told)
    assert shop.client.local.command("collStats", "oplog.rs")["maxSize"] == 256 << 20
    last = oplog.find().sort("$natural", -1).limit(1).next()
    cursor = oplog.find({"ts": {"$gt": told[-1]["ts"]}, "ns": f"{shop.name}.w"}, cursor_type=driver().CursorType.TAILABLE_AWAIT)
    assert next(cursor, None) is None and cursor.alive and last["ts"] >= told[-1]["ts"]
    shop.w.insert_one({"_id": 5})
    assert next(cursor)["o"] == {"_id": 5}


# ---- what can go wrong ---------------------------------------------------------------------------------------------

def test_what_was_answered_is_there_after_kill_9(own_mongo):
    server = own_mongo("double")
    acknowledged, failed = [], threading.Event()

    def write(base: int):
        try:
            with server.connect(retryWrites=False, serverSelectionTimeoutMS=300) as client, client.start_session() as session:
                for n in range(base, base + 100000):
                    if n % 10 == 0:
                        with session.start_transaction():
                            client.shop.x.insert_one({"_id": n}, session=session)
                            client.shop.x.insert_one({"_id": -n}, session=session)
                        acknowledged.append(-n)
                    else:
                        client.shop.x.insert_one({"_id": n})
                    acknowledged.append(n)
        except errors().PyMongoError:
            failed.set()

    with server.connect() as client:
        client.shop.x.insert_one({"_id": 0})
        with watching(client) as stream:
            client.shop.x.insert_one({"_id": -1})
            token = events(stream, 1)[0]["_id"]
    threads = [threading.Thread(target=write, args=(10**6 * n,)) for n in range(1, 4)]
    for one in threads:
        one.start()
    wait_for(lambda: len(acknowledged) > 500, 60, "500 writes")
    server.kill()
    for one in threads:
        one.join(60)
    assert failed.is_set()
    server.start()
    with server.connect() as client:
        found = {d["_id"] for d in client.shop.x.find()}
        assert set(acknowledged) <= found and len(found) <= len(acknowledged) + 2 + 2 * len(threads)
        assert {n for n in found if n < -1} == {-n for n in found if n >= 10**6 and n % 10 == 0}
        client.shop.x.insert_one({"_id": "after"})
        with watching(client, resume_after=token) as stream:
            told = events(stream, len(found) - 1)
        assert {e["documentKey"]["_id"] for e in told} == found - {0, -1} | {"after"}
        times = [e["ts"] for e in client.local["oplog.rs"].find({}, {"ts": 1})]
        assert times == sorted(set(times))
    server.restart()
    with server.connect() as client:
        assert {d["_id"] for d in client.shop.x.find()} == found | {"after"}


def test_a_write_that_was_not_answered_is_done_once(own_mongo):
    server = own_mongo("double")
    with server.connect() as client:
        x = client.shop.x
        x.insert_one({"_id": 1, "n": 0})
        for command, do in (("insert", lambda: x.insert_one({"_id": 2})), ("update", lambda: x.update_one({"_id": 1}, {"$inc": {"n": 1}})),
                            ("delete", lambda: x.delete_one({"_id": 2})), ("findAndModify", lambda: x.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}}))):
            server.fault(command=command, do="close-unanswered")
            done = do()
            assert command != "delete" or done.deleted_count == 1
        for n, what in enumerate(("close-unread", "not-primary")):
            server.fault(command="insert", do=what)
            x.insert_one({"_id": 5 + n})
        assert x.find_one({"_id": 1})["n"] == 2 and x.count_documents({}) == 3
        session = client.start_session()
        for what in ("close-unanswered", "not-primary"):
            with session.start_transaction():
                x.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
                server.fault(command="commitTransaction", do=what)
        assert x.find_one({"_id": 1})["n"] == 4
        session.end_session()
    with server.connect(retryWrites=False) as client:
        server.fault(command="insert", do="close-unanswered")
        with pytest.raises(errors().AutoReconnect):
            client.shop.x.insert_one({"_id": 9})
        assert client.shop.x.count_documents({"_id": 9}) == 1


def test_faults(own_mongo):
    server = own_mongo("double")
    with server.connect() as client:
        x = client.shop.x
        with watching(client) as stream:
            for n, what in enumerate(("close-unread", "close-unanswered", "close-answered", "not-primary")):
                server.fault(command="getMore", do=what)
                x.insert_one({"_id": n})
                assert [e["documentKey"]["_id"] for e in events(stream, 1)] == [n]
        server.fault(command="find", do="error", code=13, codeName="Unauthorized", errmsg="not allowed", nth=2, times=2)
        x.find_one()
        for _ in range(2):
            assert "not allowed" in str(fails(13, x.find_one))
        x.find_one()
        server.fault(command="find", do="slow", ms=300)
        start = time.monotonic()
        x.find_one()
        assert time.monotonic() - start >= 0.3
        server.fault(command="find", do="error", times=100)
        server.fault(clear=True)
        x.find_one()


def test_many_connections(own_mongo):
    server = own_mongo("double")
    with server.connect(maxPoolSize=64) as client, watching(client) as stream:
        def write(base: int):
            for n in range(base, base + 50):
                client.shop.x.insert_one({"_id": n})
        threads = [threading.Thread(target=write, args=(100 * n,)) for n in range(40)]
        for one in threads:
            one.start()
        told = events(stream, 2000)
        for one in threads:
            one.join(60)
        assert len({e["documentKey"]["_id"] for e in told}) == 2000
        times = [e["clusterTime"] for e in told]
        assert times == sorted(set(times))


def test_libmongoc_takes_it_for_a_replica_set(own_mongo, tmp_path):
    """What the C driver's program does by itself: a pool, a stream of the deployment, writes, a transaction, a resume (tests/drive/mongoprobe.c)."""
    program = tmp_path / "probe"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmongoc-1.0"], capture_output=True, text=True, check=True).stdout.split()
    source = Path(__file__).resolve().parents[1] / "drive" / "mongoprobe.c"
    subprocess.run(["cc", "-std=gnu17", "-Wall", "-Werror", "-o", str(program), str(source), *flags], check=True)
    server = own_mongo("double", settings={"auth": "mover:p:/ss"})
    done = subprocess.run([str(program), server.url(replicaSet="rs0")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["insert", "1"], ["insert", "2"], ["update", "1"], ["insert", "10"], ["insert", "11"], ["delete", "2"], ["resumed"], ["insert", "10"], ["insert", "11"],
        ["delete", "2"]]


def test_an_idle_deployment_tells_the_time(own_mongo):
    server = own_mongo("double", settings={"noop-seconds": "0.2"})
    with server.connect() as client, watching(client.shop) as stream:
        first = stream.resume_token["_data"]
        wait_for(lambda: stream.try_next() is None and int(stream.resume_token["_data"][2:18], 16) > int(first[2:18], 16) + 1, 30, "a later time")


def test_the_class_says_what_it_is():
    double = SERVERS["double"]
    assert (double.streams, double.transactions, double.keeps_data, double.refuses, double.changes) == ("deployment", "whole", True, frozenset(), frozenset())
