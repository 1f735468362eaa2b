"""The servers that speak MongoDB's protocol: each starts, keeps what it says it keeps, and has what its class says, no less and no more: a test that
works around a gap is told when the gap is gone."""
import threading

import pytest

from harness.mongo_servers import KINDS, SERVERS, driver
from harness.servers import wait_for

STREAMS = [k for k in KINDS if SERVERS[k].streams != "none"]
OPLOGS = [k for k in KINDS if SERVERS[k].oplog]
EVERY = [*KINDS, "double"]  # where the double fits; test_mongo_double.py has the rest of it
LEVELS = ["collection", "database", "deployment"]


def errors():
    return driver().errors


def values() -> dict:
    """Of every BSON type that a client can write, by the names of MongoServer.refuses."""
    driver()
    from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
    sixteen = bytes(range(16))
    deep = 1
    for _ in range(97):
        deep = {"a": deep}
    return {"double": 1.5, "whole double": 5.0, "nan": float("nan"), "infinity": float("-inf"), "negative zero": -0.0, "int32": 5, "int64": Int64(5),
            "large int64": Int64(2**63 - 1), "string": "å", "string with a NUL": "a\0b", "regex": Regex("a", "i"), "timestamp": Timestamp(1, 2),
            "date": DatetimeMS(1), "date after 9999": DatetimeMS(253402300800000), "date before 1": DatetimeMS(-2**63), "decimal": Decimal128("1.50"),
            "uuid 4": Binary(sixteen, 4), "uuid 3": Binary(sixteen, 3), "binary": Binary(b"ab", 0), "binary 2": Binary(b"ab", 2),
            "binary 128": Binary(b"ab", 128), "ObjectId": ObjectId(), "null": None, "bool": True, "minkey": MinKey(), "maxkey": MaxKey(),
            "code": Code("x"), "array": [1, "a", None, {"b": 1}], "nested array": [[1]], "empty document": {}, "empty array": [], "depth 98": deep,
            "dotted name": {"a.b": 1}, "dollar name": {"$a": 1}, "empty name": {"": 1}, "order of names": {"z": 1, "a": 2, "m": 3}}


def raw(database):
    """As bytes say it: nothing is converted."""
    driver()
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument
    return database.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))


def watch(database, level: str = "collection", **options):
    where = {"collection": database.people, "database": database, "deployment": database.client}[level]
    return where.watch(max_await_time_ms=100, **options)


def events(stream, count: int) -> list:
    """The next so many."""
    got = []
    wait_for(lambda: len(got) >= count or ((one := stream.try_next()) and got.append(one)), 30, f"{count} events (there: {got})")
    return got


def test_every_kind_is_known():
    assert KINDS == ("ferretdb", "java", "nx")


@pytest.mark.parametrize("kind", EVERY)
def test_a_server_survives_what_it_should(own_mongo, kind):
    server = own_mongo(kind)
    with server.connect() as client:
        client.shop.people.insert_one({"_id": 1})
        server.pause()
        with server.connect(socketTimeoutMS=300, serverSelectionTimeoutMS=300) as other:
            with pytest.raises(errors().PyMongoError):
                other.admin.command("ping")
        server.resume()
        assert client.shop.people.count_documents({}) == 1
    for end in (server.kill, server.stop):
        port = server.port
        end()
        assert not server.running()
        server.start()
        assert server.port == port
        with server.connect() as client:
            assert client.shop.people.count_documents({}) == (1 if server.keeps_data else 0)
            client.shop.people.replace_one({"_id": 1}, {"_id": 1}, upsert=True)
            assert (client.local["oplog.rs"].find_one({"ns": "shop.people"}) is not None) == server.oplog


def test_a_server_that_does_not_start_says_why(own_mongo):
    with pytest.raises(RuntimeError, match="unknown flag --no-such-option"):
        own_mongo("ferretdb", settings={"no-such-option": "1"})


@pytest.mark.parametrize("kind", KINDS)
def test_connections(mongo_database, kind):
    database = mongo_database(kind)
    server = database.server
    assert database.url(replicaSet="rs0") == f"mongodb://127.0.0.1:{server.port}/{database.name}?replicaSet=rs0"
    with server.connect() as client:
        assert client.admin.command("isMaster").get("setName") == server.replica_set
        if server.hello:
            assert client.admin.command("hello")["isWritablePrimary"]
        else:
            with pytest.raises(errors().OperationFailure, match="no such command"):
                client.admin.command("hello")
        if server.sessions:
            with client.start_session() as session:
                client[database.name].people.insert_one({}, session=session)
                assert session.operation_time is None and session.cluster_time is None
        else:
            with pytest.raises(errors().ConfigurationError, match="Sessions are not supported"):
                with client.start_session() as session:
                    client[database.name].people.insert_one({}, session=session)
        if server.transactions == "none":
            with pytest.raises((errors().ConfigurationError, errors().OperationFailure)):
                with client.start_session() as session, session.start_transaction():
                    client[database.name].people.insert_one({"_id": "in"}, session=session)


@pytest.mark.parametrize("kind", [k for k in KINDS if SERVERS[k].transactions == "undone"])
def test_a_transaction_is_seen_at_once_and_can_be_rolled_back(mongo_database, kind):
    db = mongo_database(kind).connect()
    db.people.insert_one({"_id": 0})
    with watch(db) as stream, db.client.start_session() as session:
        session.start_transaction()
        db.people.insert_one({"_id": "in"}, session=session)
        assert db.people.count_documents({}) == 2
        assert [one["fullDocument"] for one in events(stream, 1)] == [{"_id": "in"}]
        session.abort_transaction()
        assert db.people.count_documents({}) == 1
        assert stream.try_next() is None
    db.client.close()


@pytest.mark.parametrize("kind", EVERY)
def test_values(mongo_database, kind):
    database = mongo_database(kind)
    refused, changed = set(), set()
    import bson
    with database.server.connect() as client:
        db = client[database.name]
        for name, value in values().items():
            document = bson.encode({"_id": name, "v": value})
            try:
                with database.server.connect() as its_own:  # which some values end
                    its_own[database.name].kinds.insert_one(bson.raw_bson.RawBSONDocument(document))
            except errors().PyMongoError:
                refused.add(name)
                continue
            if raw(db).kinds.find_one({"_id": name}).raw != document:
                changed.add(name)
    assert refused == database.server.refuses
    assert changed == database.server.changes


@pytest.mark.parametrize("kind", EVERY)
def test_order_and_ranges_of_ids(mongo_database, kind):
    database = mongo_database(kind)
    with database.server.connect() as client:
        from bson import ObjectId
        people, numbers = client[database.name].people, client[database.name].numbers
        ids = [ObjectId(b"%012d" % n) for n in range(50)] + [f"s{n:02}" for n in range(50)]
        people.insert_many([{"_id": one} for one in reversed(ids)])
        asked = lambda collection, condition: [d["_id"] for d in collection.find({"_id": condition}).sort("_id", 1)]
        assert asked(people, {"$gt": ids[9], "$lte": ids[30]}) == ids[10:31]
        assert asked(people, {"$gt": ids[59], "$lte": ids[80]}) == ids[60:81]
        assert asked(people, {"$gt": ids[30]}) == ids[31:50]
        people.insert_many([{"_id": 7}, {"_id": True}])
        assert (asked(people, {"$gt": False}) == [True]) == database.server.bools_apart
        numbers.insert_many([{"_id": n} for n in (10, 2, 2.5, -1, 2**40)])
        assert asked(numbers, {"$gte": -1}) == [-1, 2, 2.5, 10, 2**40]
        assert ([d["_id"] for d in numbers.find().sort("_id", 1)] == [-1, 2, 2.5, 10, 2**40]) == database.server.sorts_numbers
        assert asked(numbers, {"$gt": 2, "$lt": 11}) == [2.5, 10]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("level", LEVELS)
def test_levels_of_streams(mongo_database, kind, level):
    database = mongo_database(kind)
    db = database.connect()
    db.people.insert_one({"_id": 0})
    try:
        with watch(db, level) as stream:
            db.people.insert_one({"_id": 1})
            with watch(db) as narrow:  # what a stream tells of the next change, the wide one has told of too, if ever
                db.people.insert_one({"_id": 2})
                events(narrow, 1)
            told = stream.try_next() is not None
    except errors().OperationFailure:
        told = False
    claimed = database.server.streams
    assert told == (claimed in LEVELS and LEVELS.index(claimed) >= LEVELS.index(level))
    db.client.close()


@pytest.mark.parametrize("kind", STREAMS)
def test_what_a_stream_tells(mongo_database, kind):
    database = mongo_database(kind)
    server, db = database.server, database.connect()
    from bson import Timestamp
    db.people.insert_one({"_id": 1, "x": 1, "y": 1})
    with watch(db, full_document="updateLookup") as stream:
        db.people.insert_one({"_id": 2})
        db.people.update_one({"_id": 1}, {"$set": {"x": 2}})
        first = events(stream, 2)
        db.people.replace_one({"_id": 1}, {"_id": 1, "z": 3})
        first += events(stream, 1)
        db.people.delete_one({"_id": 2})
        first += events(stream, 1)
        assert [one["operationType"] for one in first] == ["insert", "update", "update", "delete"]
        assert [one["fullDocument"] for one in first[:3]] == [{"_id": 2}, {"_id": 1, "x": 2, "y": 1}, {"_id": 1, "z": 3}]
        assert first[3]["fullDocument"] == ({"_id": 2} if server.full_document == "recorded" else None)
        keys = {"update": [{"_id": 2}, {"$set": {"x": 2}}, {"_id": 1, "z": 3}, {"_id": 2}], "text": [{"_id": "2"}, {"_id": "1"}, {"_id": "1"}, {"_id": "2"}]}
        assert [one["documentKey"] for one in first] == keys[server.document_key]
        assert all(isinstance(one["clusterTime"], Timestamp) == (server.cluster_time == "timestamp") for one in first)
        with watch(db, resume_after=first[1]["_id"]) as again:
            assert [one["_id"] for one in events(again, 2)] == [one["_id"] for one in first[2:]]
        with watch(db, start_after=first[2]["_id"]) as again:
            assert [one["_id"] for one in events(again, 1)] == [first[3]["_id"]]
        since = first[0]["clusterTime"] if server.start_at_operation_time else Timestamp(1, 1)
        with watch(db, start_at_operation_time=since) as again:
            if server.start_at_operation_time:
                assert [one["_id"] for one in events(again, 4)] == [one["_id"] for one in first]
            else:
                assert again.try_next() is None
        db.people.drop()
        db.other.drop()
        db.people.insert_one({"_id": 3})
        last = [one["operationType"] for one in (events(stream, 2) if server.stream_drops else [stream.try_next() or {"operationType": ""}])]
        assert last == (["drop", "insert"] if server.stream_drops else [""])
    # Without asking for it: what was recorded, or what the update itself had.
    with watch(db) as stream:
        db.people.replace_one({"_id": 3}, {"_id": 3, "a": 1})
        assert (events(stream, 1)[0]["fullDocument"] == {"_id": 3, "a": 1}) == (server.full_document == "recorded")
    db.client.close()


@pytest.mark.parametrize("kind", [k for k in EVERY if SERVERS[k].streams != "none" and SERVERS[k].keeps_data])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_resume_token_outlives_the_server(own_mongo, kind, end):
    server = own_mongo(kind)
    with server.connect() as client:
        with watch(client.shop) as stream:
            for n in (1, 2, 3):
                client.shop.people.insert_one({"_id": n})
            token = events(stream, 1)[0]["_id"]
    getattr(server, end)()
    server.start()
    with server.connect() as client:
        client.shop.people.insert_one({"_id": 4})
        with watch(client.shop, resume_after=token) as stream:
            client.shop.people.insert_one({"_id": 5})
            assert [one["fullDocument"]["_id"] for one in events(stream, 4)] == [2, 3, 4, 5]


@pytest.mark.parametrize("kind", OPLOGS)
def test_what_an_oplog_has(mongo_database, kind):
    database = mongo_database(kind)
    server = database.server
    with server.connect() as client:
        db, book, oplog = client[database.name], client[database.name + "_b"], client.local["oplog.rs"]
        db.people.insert_one({"_id": 1, "x": 1, "y": 1})
        book.notes.insert_one({"_id": "a"})
        db.people.update_one({"_id": 1}, {"$set": {"x": 2}, "$unset": {"y": 1}})
        db.people.replace_one({"_id": 1}, {"_id": 1, "z": 3})
        book.notes.replace_one({"_id": "a"}, {"_id": "a", "n": 1}, upsert=True)
        db.people.delete_one({"_id": 1})
        db.people.drop()
        namespaces = {"$in": [f"{db.name}.people", f"{db.name}.$cmd", f"{book.name}.notes"]}
        entries = list(oplog.find({"ns": namespaces}).sort("$natural", 1))
        said = [(one["op"], one["ns"].partition(".")[0] == db.name, one.get("o2"), one["o"]) for one in entries]
        sent = server.oplog_updates == "operators"
        whole = lambda document: document if sent else {"$v": 1, "$set": document}
        assert said == [("i", True, None, {"_id": 1, "x": 1, "y": 1}), ("i", False, None, {"_id": "a"}),
                        ("u", True, {"_id": 1}, {"$set": {"x": 2}, "$unset": {"y": 1}} if sent else {"$v": 1, "$set": {"_id": 1, "x": 2}}),
                        ("u", True, {"_id": 1}, whole({"_id": 1, "z": 3})), ("u", False, {"_id": "a"}, whole({"_id": "a", "n": 1})),
                        ("d", True, None, {"_id": 1})] + ([("c", True, None, {"drop": "people"})] if server.oplog_drops else [])
        db.people.insert_one({"_id": 2})
        db.people.find_one_and_update({"_id": 2}, {"$set": {"x": 1}})
        assert (oplog.find_one({"op": "u", "ns": namespaces, "o2": {"_id": 2}}) is not None) == server.finds_and_modifies_logged
        times = [one["ts"] for one in entries]
        assert times == sorted(set(times))
        assert oplog.find_one({"ts": {"$gt": times[1]}, "ns": namespaces}, sort=[("$natural", 1)])["ts"] == times[2]
        client.drop_database(book.name)


@pytest.mark.parametrize("kind", [*OPLOGS, "double"])
def test_polls_of_an_oplog_see_everything(own_mongo, kind):
    """Of several connections that write at once where the class says that ts is in order then, of one alone else."""
    server = own_mongo(kind)
    writers = 4 if server.oplog_ordered else 1
    seen, failures, done = [], [], threading.Event()
    from bson import Timestamp

    def poll():
        with server.connect() as client:
            last, ended = Timestamp(1, 1), False
            while not ended:
                ended = done.is_set()  # before the look: what it finds is all
                for one in client.local["oplog.rs"].find({"ts": {"$gt": last}, "ns": "shop.people"}).sort("$natural", 1):
                    seen.append(one["o"]["_id"])
                    last = max(last, one["ts"])

    def write(base: int):
        try:
            with server.connect() as client:
                for n in range(base, base + 300):
                    client.shop.people.insert_one({"_id": n})
                client.shop.people.insert_many([{"_id": n} for n in range(base + 300, base + 400)])
        except errors().PyMongoError as error:
            failures.append(error)

    reader, threads = threading.Thread(target=poll), [threading.Thread(target=write, args=(1000 * n,)) for n in range(writers)]
    for one in (reader, *threads):
        one.start()
    for one in threads:
        one.join(60)
    done.set()
    reader.join(60)
    assert not failures
    for n in range(writers):
        assert [one for one in seen if one // 1000 == n] == list(range(1000 * n, 1000 * n + 400))
