"""MongoDB's reading side, against servers that speak its protocol: the catalogue, chunks by ranges of ids of every type, documents by range and by id.

None of them is MongoDB; the double is a stand-in of ours with its order of types, times and sessions. FerretDB takes no NaN, no Decimal128, no MinKey, MaxKey and code, has no $sample, and its positions are of its oplog;
mongo-java-server does not keep UUIDs among other binary ids when it compares,
sorts 1e300 before 2^40, samples from the middle, and sorts no code. What a test expects comes from what it wrote."""
import datetime
import os
import subprocess
import threading
import time
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.mongo_servers import driver
from harness.pgdrive import TOP, Refused
from harness.pgread import Read

driver()
import bson  # noqa: E402  (the driver's own)
from bson.codec_options import CodecOptions  # noqa: E402
from bson.raw_bson import RawBSONDocument  # noqa: E402

KINDS = ["ferretdb", "java", "double"]
RAW = CodecOptions(document_class=RawBSONDocument)


def utc(*args):
    return datetime.datetime(*args, tzinfo=datetime.timezone.utc)


IDS = [None, -5, 0, 0.5, 7, bson.Int64(2**40), -1e-7, "", "a", "b\u00e9", "\U0001f600 $x.y", {"a": 1}, {"a": 2, "b": "x"}, {"tenant": 5, "n": {"deep": "er"}}, {},
       b"\x01\x02", b"\x01\x03\xff", bson.Binary.from_uuid(uuid.UUID(int=5)), bson.Binary.from_uuid(uuid.UUID(int=2**127 + 9)), bson.Binary(b"0" * 16, 3),
       bson.ObjectId("0123456789abcdef01234567"), bson.ObjectId("f" * 24), False, True, utc(1960, 1, 1), utc(2020, 2, 29, 1, 2, 3, 4000),
       bson.Timestamp(1, 2), bson.Timestamp(2**31 + 5, 2)]
MORE = {"ferretdb": [bson.Binary(b"abc", 5), 1e300],
        "java": [float("nan"), float("-inf"), float("inf"), bson.Decimal128("3.25"), bson.MinKey(), bson.MaxKey()],
        "double": [float("nan"), float("-inf"), float("inf"), 1e300, bson.Decimal128("3.25"), bson.Decimal128("1E+40"), bson.MinKey(), bson.MaxKey(),
                   bson.Binary(b"abc", 5), bson.Code("f()"), bson.Binary(b"")]}


@pytest.fixture(params=KINDS)
def database(mongo_database, request):
    return mongo_database(request.param)


@pytest.fixture
def read():
    made = []

    def make(database, **named):
        one = Read(database if isinstance(database, str) else database.url(), **{"side": "face"} | named)
        made.append(one)
        one.catalog()
        one.reader()
        return one

    yield make
    for one in made:
        one.close()


def raw(collection) -> list[bytes]:
    """All documents as the server keeps them."""
    return [d.raw for d in collection.with_options(RAW).find()]


def chunks_rows(r, table, chunks, **named):
    return [row for c in chunks for row in r.rows(table=table, chunk=c, **named)["rows"]]


def summed(documents) -> list:
    return sorted((len(d), zlib.crc32(d)) for d in documents)


# ---- the catalogue ----

def test_collections_are_tables(database, read):
    d = database.connect()
    d.users.insert_many([{"_id": i} for i in range(10)])
    d["a.b c"].insert_one({})
    d.create_collection("empty")
    r = read(database)
    tables = {t["name"]: t for t in r.catalog()["tables"]}
    assert set(tables) == {"users", "a.b c", "empty"}
    users = tables["users"]
    assert [c["name"] for c in users["columns"]] == ["_id", "document"] and users["key"] == ["_id"]
    assert users["schema"] == database.name and users["rows"] == 10 and users["bytes"] > 0
    assert len({t["id"] for t in tables.values()}) == 3
    again = {t["name"]: t["id"] for t in read(database).catalog()["tables"]}
    assert again == {n: t["id"] for n, t in tables.items()}


def test_other_databases_are_those_that_a_pattern_names(mongo_database, read):
    one, two = mongo_database("ferretdb"), mongo_database("ferretdb")
    for db in (one, two):
        db.connect().orders.insert_one({})
        db.connect().other.insert_one({})
    r = read(one)

    def names(**named):
        return {(t["schema"], t["name"]) for t in r.catalog(**named)["tables"] if t["schema"] in (one.name, two.name)}

    assert names() == {(one.name, "orders"), (one.name, "other")}
    assert names(include=["orders"]) == {(one.name, "orders")}
    assert names(include=[f"{two.name}.orders", "other"]) == {(two.name, "orders"), (one.name, "other")}
    assert names(include=["*.*"], exclude=["other"]) == {(one.name, "orders")}
    r = read(one.server.url())
    assert names(include=["orders"]) == {(one.name, "orders"), (two.name, "orders")}


def test_what_became_of_a_collection(mongo_database, read):
    db = mongo_database("ferretdb")
    d = db.connect()
    for name in ("a", "b", "c", "d"):
        d[name].insert_one({})
    r = read(db)
    d.a.rename("renamed")
    d.b.drop()
    d.c.drop()
    d.c.insert_one({})
    became = {n: r.became(table=f"{db.name}.{n}") for n in "abcd"}
    assert became["a"]["became"] == f"was renamed to {db.name}.renamed" and not became["a"]["dropped"]
    assert became["b"]["became"] == "was dropped" and became["b"]["dropped"]
    assert became["c"]["became"] == "was dropped, and another was made under its name" and became["c"]["dropped"]
    assert became["d"]["became"] == "is there" and not became["d"]["dropped"]


# ---- ids of every type ----

@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_documents_of_every_type_of_id_are_in_one_chunk_each(database, read, rows):
    c = database.connect().m
    for i, v in enumerate(IDS + MORE[database.server.kind]):
        c.insert_one({"_id": v, "n": i})
    r = read(database)
    table = f"{database.name}.m"
    chunks = r.plan(table=table, rows=rows)["chunks"]
    assert (len(chunks) > 1) == (rows < 1000)
    assert "lower" not in chunks[0] and "upper" not in chunks[-1]
    assert [c["upper"] for c in chunks[:-1]] == [c["lower"] for c in chunks[1:]]
    got = [bytes.fromhex(row[1]["hex"]) for row in chunks_rows(r, table, chunks)]
    assert sorted(got) == sorted(raw(c))


def test_an_id_that_has_no_text_is_refused(mongo_database, read):
    """mongo-java-server takes MinKey; a collection that has one is read, and the row says why it has no key."""
    db = mongo_database("java")
    db.connect().m.insert_many([{"_id": bson.MinKey()}, {"_id": bson.MaxKey()}, {"_id": 1}])
    rows = read(db).rows(table=f"{db.name}.m", chunk={})["rows"]
    refused = [row[0]["refused"] for row in rows if isinstance(row[0], dict)]
    assert len(refused) == 2 and len(set(refused)) == 2 and len(rows) == 3


def test_documents_are_found_by_their_ids(database, read):
    c = database.connect().m
    for i, v in enumerate(IDS):
        c.insert_one({"_id": v, "n": i})
    r = read(database)
    table = f"{database.name}.m"
    rows = r.rows(table=table, chunk={})["rows"]
    keys = [[row[0]] for row in rows]
    assert len({k[0] for k in keys}) == len(IDS)
    by_key = {row[0]: row[1] for row in rows}
    for key in keys:
        assert r.find(table=table, keys=[key])["rows"] == [[key[0], by_key[key[0]]]]
    some = keys[::2]
    found = r.find(table=table, keys=some + [["no id"], ['"not there"'], ["99999"]])["rows"]
    assert sorted(f[0] for f in found) == sorted(k[0] for k in some)


# ---- many documents ----

def test_a_hundred_thousand_documents_in_parallel(mongo_database, read):
    db = mongo_database("java")
    c = db.connect().many
    documents = [bson.encode({"_id": bson.ObjectId(f"{i * 7919 % 1000003:024x}"), "name": f"n{i}", "at": i / 3}) for i in range(100_000)]
    for i in range(0, len(documents), 1000):
        c.insert_many([RawBSONDocument(d) for d in documents[i:i + 1000]])
    table = f"{db.name}.many"
    chunks = read(db).plan(table=table, rows=10_000)["chunks"]
    assert len(chunks) == 11
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda k: chunks_rows(read(db), table, chunks[k::4], brief=True), range(4)))
    assert sorted((row[1], row[2]) for rows in lists for row in rows) == summed(documents)


def test_where_there_is_no_sample_every_nth_id_is_a_bound(mongo_database, read):
    db = mongo_database("ferretdb")
    c = db.connect().many
    documents = [bson.encode({"_id": i * 7919 % 1000003, "n": i}) for i in range(12_000)]
    c.insert_many([RawBSONDocument(d) for d in documents])
    table = f"{db.name}.many"
    chunks = read(db).plan(table=table, rows=3500)["chunks"]
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda c: chunks_rows(read(db), table, [c], brief=True), chunks))
    assert [len(rows) for rows in lists] == [3000] * 4
    assert sorted((row[1], row[2]) for rows in lists for row in rows) == summed(documents)


def test_documents_of_sixteen_megabytes(database, read):
    c = database.connect().big
    documents = [bson.encode({"_id": i, "data": bytes([i]) * (16 * 1024 * 1024 - 40 - i)}) for i in range(3)]
    assert max(len(d) for d in documents) <= 16 * 1024 * 1024
    for d in documents:
        c.insert_one(RawBSONDocument(d))
    rows = read(database).rows(table=f"{database.name}.big", chunk={}, brief=True)["rows"]
    assert sorted((row[1], row[2]) for row in rows) == summed(documents)


# ---- what goes wrong ----

def test_a_server_killed_in_mid_chunk(own_mongo, read):
    """What was asked for fails as what may be tried again, and is answered once the server is back."""
    server = own_mongo("ferretdb")
    db = server.create_database("shop")
    documents = [bson.encode({"_id": i, "data": b"x" * 30_000}) for i in range(600)]
    for i in range(0, len(documents), 300):
        db.connect().t.insert_many([RawBSONDocument(d) for d in documents[i:i + 300]])
    r = read(db.url(serverSelectionTimeoutMS=20000), fault="mongodb.chunk_read:300=stop")
    outcome = []
    asking = threading.Thread(target=lambda: outcome.append(refusal(lambda: r.rows(table="shop.t", chunk={}, brief=True))))
    asking.start()
    wait_stopped(r.process.pid)
    server.kill()
    os.kill(r.process.pid, 18)  # SIGCONT
    asking.join(60)
    assert outcome and outcome[0]["class"] == "retry"
    server.start()
    rows = r.rows(table="shop.t", chunk={}, brief=True)["rows"]
    assert sorted((row[1], row[2]) for row in rows) == summed(documents)


def test_a_server_that_does_not_answer(own_mongo, read):
    server = own_mongo("ferretdb")
    db = server.create_database("shop")
    db.connect().t.insert_one({"_id": 1})
    r = read(db.url(socketTimeoutMS=1500, serverSelectionTimeoutMS=1500, connectTimeoutMS=1500))
    server.pause()
    begun = time.monotonic()
    said = refusal(lambda: r.rows(table="shop.t", chunk={}))
    server.resume()
    assert said["class"] == "retry" and said["code"] == "MFNET" and time.monotonic() - begun < 50
    assert len(r.rows(table="shop.t", chunk={})["rows"]) == 1


def refusal(call) -> dict | None:
    try:
        call()
    except Refused as e:
        return e.reply
    return None


def wait_stopped(pid: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rsplit(")", 1)[1].split()[0] == "T":
                return
        time.sleep(0.01)
    raise AssertionError("it never came to the fault point")


def opened(url: str) -> str:
    """What is said by a program that cannot open it."""
    build = os.environ.get("MIDFLIGHT_BUILD", TOP / "build")
    done = subprocess.run([f"{build}/tests/drive/pgread", "test", url], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_who_cannot_be_reached_is_told_in_bounded_time_and_without_the_password():
    for url in ("mongodb://u:s3cret@127.0.0.1:1/shop?serverSelectionTimeoutMS=1500",
                "mongodb://u:s3cret@203.0.113.7/shop?serverSelectionTimeoutMS=1500&connectTimeoutMS=1000",
                "mongodb://u:s3cret@no-such-host.invalid/shop?serverSelectionTimeoutMS=1500"):
        said = opened(url)
        assert said.startswith("MFNET: ") and "s3cret" not in said, said


def test_a_wrong_url_is_told_without_the_password():
    for url in ("mongodb://u:s3cret@/shop", "mongodb://u:s3%zzcret@h/shop", "mongodb://u:s3cret@h:99999/shop", "mongodb://u:s3cret@h/shop?readPreference=s3kret2",
                "mongodb+srv://u:s3cret@a,b/shop", "mongodb://u:s3cret@h/shop?tlsCertificateKeyFilePassword=s3cret&tls=maybe"):
        said = opened(url)
        assert said.startswith("MFURL: ") and "s3cret" not in said and "[" not in said, said


def test_a_wrong_password(own_mongo):
    server = own_mongo("double", settings={"auth": "mover:r1ght"})
    right = server.url("shop", serverSelectionTimeoutMS=20000)
    for url in (right.replace("r1ght", "s3cret"), right.replace("mover", "m0ver").replace("r1ght", "s3cret")):
        said = opened(url)
        assert said.startswith(("MFAUTH: ", "18: ")) and "s3cret" not in said and "r1ght" not in said, said


def test_an_account_that_another_server_does_not_take(database):
    """FerretDB with SQLite takes no accounts, mongo-java-server and the double no authentication: a refusal, not something to be tried again."""
    url = database.url().replace("mongodb://", "mongodb://u:s3cret@")
    said = opened(url + "?authSource=admin&serverSelectionTimeoutMS=20000")
    assert "s3cret" not in said and said.split(":")[0] in ("MFAUTH", "18", "59", "13"), said


def test_what_was_read_lies_before_the_position_behind_it(database, read):
    c = database.connect().t
    c.insert_one({"_id": 1})
    r = read(database)
    table = f"{database.name}.t"
    before = r.position()["position"]
    rows = r.rows(table=table, chunk={})
    assert len(rows["rows"]) == 1 and rows["after"] >= before > 0
    c.insert_one({"_id": 2})
    assert r.position()["position"] > before


# ---- check ----

def findings(r) -> dict:
    return {(f["code"], f["object"]): f for f in r.check()["findings"]}


def test_check_says_what_the_server_is_and_lacks(database, read):
    d = database.connect()
    d.users.insert_one({})
    found = findings(read(database))
    assert all(f["reason"] for f in found.values())
    if database.server.kind == "double":
        assert {code for code, _ in found} <= {"url-replica-set", "oplog-window", "empty"}, found
        return
    (said,) = [f for (code, _), f in found.items() if code == "not-mongodb"]
    assert said["severity"] == 1
    if database.server.kind == "ferretdb":
        assert "FerretDB" in said["reason"] and "change streams of a collection" in said["reason"]
        assert {"oplog-only", "url-replica-set"} <= {code for code, _ in found}
    else:
        assert "sessions" in said["reason"] and "of a collection" not in said["reason"]
    assert not [f for f in found.values() if f["severity"] == 2]


def test_check_says_that_it_is_a_sharded_cluster(own_mongo, read):
    """What is said through a mongos; without a right to the whole cluster's stream nothing is followed, and no oplog is looked for."""
    server = own_mongo("double", settings={"mongos": "yes", "auth": "mover:r1ght", "narrow": "clerk:r1ght"})
    source = server.create_database("shop")
    d = source.connect()
    d.users.insert_one({})
    found = {f["code"]: f for f in read(source).check()["findings"]}
    assert found["sharded-cluster"]["severity"] == 1 and "mongos" in found["sharded-cluster"]["reason"]
    assert not {"not-replica-set", "url-replica-set", "oplog-only", "oplog-window", "stream-of-all"} & set(found), found
    found = {f["code"]: f for f in read(server.url("shop").replace("mover", "clerk")).check()["findings"]}
    assert found["sharded-cluster"]["severity"] == 2 and "readAnyDatabase" in found["sharded-cluster"]["remedy"]
    assert not {"oplog-only", "stream-of-all"} & set(found), found
    d.client.close()


def test_check_of_collections(mongo_database, read):
    db = mongo_database("ferretdb")
    d = db.connect()
    d.users.insert_one({})
    d.create_collection("bare")
    d.create_collection("ring", capped=True, size=1 << 20)
    d["n" * 130].insert_one({})
    found = {(code, obj.rpartition(".")[2]): f for (code, obj), f in findings(read(db)).items()}
    assert found["empty", "bare"]["severity"] == 0
    assert found["capped", "ring"]["severity"] == 1
    assert found["name", "n" * 130]["severity"] == 2
    assert not [code for code, obj in found if obj == "users"]


def test_check_of_a_database_without_collections(database, read):
    assert [code for code, _ in findings(read(database)) if code == "no-collections"]
