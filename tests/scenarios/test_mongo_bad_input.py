"""What is wrong with a map, a deployment, a target or a document: the message says it, and nothing is lost."""
import os

import pytest

from harness.docrun import begin
from harness.midflight import FAILED, USAGE, SmallDisk
from harness.mongo_servers import driver
from harness.mycompare import left_of_ours
from harness.servers import TOP, free_port, wait_for

driver()
import bson  # noqa: E402
from bson.raw_bson import RawBSONDocument  # noqa: E402


def entry(database: str, columns=(), **more) -> dict:
    return {"collection": f"{database}.things", "to": "things", "columns": [{"path": "_id", "column": "id", "type": "int32"}, *columns], **more}


@pytest.fixture
def target(mysql_database):
    return mysql_database("target", "8.0")


def refused(m, *words: str, status=(FAILED, USAGE)) -> None:
    m.start()
    ended = m.wait_exit(90)
    assert ended in status, m.tail()
    for word in words:
        assert word in m.log_text(), f"{word!r} is not in the log:\n{m.log_text()[-3000:]}"


BAD_MAPS = {
    "a path twice": (lambda db: [entry(db, [{"path": "a", "type": "int32"}, {"path": "a", "column": "b", "type": "int32"}])], ["a", "things"]),
    "a table twice": (lambda db: [entry(db), entry(db) | {"collection": f"{db}.others"}], ["things"]),
    "a collection that is not there": (lambda db: [entry(db), entry(db) | {"collection": f"{db}.thing", "to": "other"}], [".thing, which is not on the source", "did you mean"]),
    "names that fold to one": (lambda db: [entry(db, [{"path": "Name", "type": "int32"}, {"path": "name", "type": "int32"}])], ["ame"]),
    "an unknown type": (lambda db: [entry(db, [{"path": "a", "type": "number"}])], ["number"]),
    "an unknown rule": (lambda db: [entry(db, [{"path": "a", "type": "int32", "missing": "skip"}])], ["missing"]),
    "no key": (lambda db: [{"collection": f"{db}.things", "to": "things", "columns": [{"path": "a", "type": "int32"}]}], ["_id"]),
}


@pytest.mark.parametrize("what", BAD_MAPS)
def test_a_map_that_cannot_be(what, mongo_database, target, migration):
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_one({"_id": 1})
    make, words = BAD_MAPS[what]
    refused(begin(migration, source, target, make(source.name)), *words)
    assert db.things.count_documents({}) == 1 and "midflight" not in db.client.list_database_names()
    db.client.close()


def test_no_map(mongo_database, target, migration):
    """Said once, with what to do; both sides are looked at all the same."""
    source = mongo_database("double")
    with source.server.connect() as client:
        client[source.name].things.insert_one({"_id": 1})
        m = begin(migration, source, target)
        del m.config["map"]
        m.configure()
        refused(m, "map")
        found = m.call("check", "--json", expect=None).json
        assert found["facts"]["target"]["engine"] == "MySQL" and found["facts"]["source"]["database"] == source.name, found
        (said,) = [f for f in found["findings"] if f["code"] == "map"]
        assert said["severity"] == "blocker" and "plan --write-map map.yaml" in said["remedy"], said
        assert "oplog-window" in {f["code"] for f in found["findings"]}
        for side, name in (("source", "mongodb"), ("target", "mysql")):
            right = m.config[side]
            m.configure(**{side: f"{name}://root@127.0.0.1:{free_port()}/shop"})
            codes = [(f["code"], f["side"]) for f in m.call("check", "--json", expect=None).json["findings"] if f["severity"] == "blocker"]
            assert sorted(codes) == [("connect", side), ("map", "source")], codes
            m.configure(**{side: right})
        m.configure(target=mongo_database("double").url())
        assert "mongodb-target" in str(m.call("check", expect=None))
        m.configure(source=target.url())
        assert "MFPAIR" in str(m.call("check", expect=USAGE))


def test_the_guides_configuration_is_one(mongo_database, target, migration):
    """As it is printed, with URLs and a token that are there: what it lacks is the map, and that is said."""
    source = mongo_database("double")
    m = begin(migration, source, target)
    text = (TOP / "docs" / "guide" / "mongodb-to-mysql.md").read_text().split("```yaml\n")[1].split("```")[0]
    urls = {"source": source.url(), "target": target.url()}
    lines = [f"{line.split(':')[0]}: {urls[line.split(':')[0]]}" if line.split(":")[0] in urls else line for line in text.splitlines()]
    (m.dir / "token").write_text("a" * 32 + "\n")
    m.config_path.write_text("\n".join(lines).replace("/etc/midflight/token", str(m.dir / "token")) + "\n")
    found = m.call("check", "--json", expect=3).json["findings"]
    assert [f["code"] for f in found if f["severity"] == "blocker"] == ["map"], found


def test_deployments_that_cannot_be_followed_or_reached(own_mongo, target, migration):
    nx = own_mongo("nx").create_database("shop")
    with nx.server.connect() as client:
        client.shop.things.insert_one({"_id": 1})
    refused(begin(migration, nx, target, [entry("shop")]), "MFSTREAM")
    double = own_mongo("double", settings={"auth": "root:right"})
    m = begin(migration, double.create_database("shop"), target, [entry("shop")])
    m.configure(source=double.url("shop").replace("right", "wr0ng"))
    refused(m, "uthentication failed")
    assert "wr0ng" not in m.log_text()
    m = begin(migration, nx, target, [entry("shop")])
    m.configure(source=f"mongodb://127.0.0.1:{free_port()}/shop")
    refused(m, "127.0.0.1")


def test_a_table_that_is_there_with_other_columns(mongo_database, target, migration):
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_one({"_id": 1, "a": 1})
    target.execute("CREATE TABLE things (id int PRIMARY KEY, other int)")
    refused(begin(migration, source, target, [entry(source.name, [{"path": "a", "type": "int32"}])]), "things")
    assert target.value("SELECT count(*) FROM things") == 0
    db.client.close()


@pytest.mark.parametrize("how,end", [("drop", ["cancel"]), ("rename", ["cancel", "--force"]), ("rename", ["complete"])], ids=lambda x: x if isinstance(x, str) else "".join(x))
def test_a_collection_goes_while_it_runs(how, end, mongo_database, target, migration):
    """What came before is there; the run ends when its turn comes, and so can the migration: nothing of it stays behind on either side."""
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_one({"_id": 1})
    m = begin(migration, source, target, [entry(source.name)])
    m.start()
    m.wait_phase("synced")
    db.things.insert_one({"_id": 2})
    if end == ["complete"]:
        m.call("verify")
        m.call("cutover")
    db.things.drop() if how == "drop" else db.things.rename("moved")
    assert m.wait_exit() == FAILED and "MFDDL" in m.log_text() and "things" in m.log_text(), m.tail()
    assert "with writes on the target" in m.log_text() and "midflight complete" in m.log_text()
    assert target.value("SELECT count(*) FROM things") == 2
    refused(m, "which is not on the source", "after a cutover with midflight complete", status=(USAGE,))
    m.call(*end)
    assert left_of_ours(target) == []
    ours, name = db.client.midflight, source.name[:40].lower()
    assert not any(ours[c].count_documents({"migration": name}) for c in ours.list_collection_names())
    db.client.close()


def raw(id_: int, field: bytes) -> RawBSONDocument:
    body = b"\x10_id\0" + id_.to_bytes(4, "little") + field
    return RawBSONDocument((len(body) + 5).to_bytes(4, "little") + body + b"\0")


def deep(levels: int) -> dict:
    d: dict = {}
    for _ in range(levels):
        d = {"d": d}
    return d


def test_awkward_documents(mongo_database, target, migration):
    """Into a column of JSON what fits there; the others in quarantine with the reason, and everything else goes on."""
    source = mongo_database("double")
    db = source.connect()
    good = [{"_id": 1, "any": {"": 1, "a.b": 2, "$c": 3}}, {"_id": 2, "any": deep(90)}, {"_id": 3, "any": "x" * (3 << 20)}, {"_id": 4, "any": "a\0b"}]
    bad = {11: (raw(11, b"\x10twice\0\1\0\0\0\x10twice\0\2\0\0\0"), "twice"), 12: (raw(12, b"\x02any\0\3\0\0\0\xff\xfe\0"), "UTF-8"), 13: ({"_id": 13, "any": deep(180)}, "any")}
    db.things.insert_many(good[:2])
    db.things.insert_one(bad[12][0])
    columns = [{"path": "any", "type": "json", "missing": "null"}]
    m = begin(migration, source, target, [entry(source.name, columns)], copy={"jobs": 1})
    m.start()
    m.wait_phase("synced")
    for d in (good[2], good[3], bad[11][0], bad[13][0]):
        db.things.insert_one(d)
    wait_for(lambda: target.value("SELECT count(*) FROM things") == 4, 60, "the good ones")
    wait_for(lambda: len(m.call("quarantine", "--json").json["rows"]) == 3, 60, "the bad ones")
    told = {q["key"]: q["reason"] for q in m.call("quarantine", "--json").json["rows"]}
    for id_, (_, word) in bad.items():
        assert any(word in reason for key, reason in told.items() if key == f"_id={id_}" or "?" in key), told
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 3
    db.things.delete_many({"_id": {"$gt": 10}})
    wait_for(lambda: len(m.call("quarantine", "--json").json["rows"]) <= 1, 60, "those whose _id could be read gone")
    m.call("quarantine", "drop", "all", expect=None)  # nobody knows which document the other was
    assert m.call("verify", "--json").json["rows_differing"] == 0
    db.client.close()


def test_empty_collections_and_two_runs(mongo_database, target, migration):
    source = mongo_database("double")
    db = source.connect()
    db.create_collection("things")
    m, other = (begin(migration, source, target, [entry(source.name)]) for _ in range(2))
    m.start()
    m.wait_phase("synced")
    refused(other, "MFTWICE")
    db.things.insert_one({"_id": 1})
    wait_for(lambda: target.value("SELECT count(*) FROM things") == 1, 60, "the row")
    status, answer = m.http("/v1/fence?timeout=30s")
    assert status == 200, answer
    db.client.close()


def test_full_disk_under_the_spool(mongo_database, target, migration, tmp_path):
    """It says so and stops or waits, and goes on when there is room again: a document's change is kept whole or not at all."""
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_many([{"_id": i, "n": 0} for i in range(10)])
    with SmallDisk(tmp_path / "small") as disk:
        m = begin(migration, source, target, [entry(source.name, [{"path": "n", "type": "int32"}], ignore=["rest"])], spool={"segment": "1MB"})
        m.state_dir = disk.path / "state"
        m.start()
        m.wait_phase("synced")
        held = target.connect()
        held.cursor().execute("LOCK TABLES things READ")
        for i in range(200):
            db.things.update_one({"_id": i % 10}, {"$set": {"n": i, "rest": os.urandom(200_000)}})
        wait_for(m.tells_of_no_space, 60, "the full disk noticed")
        held.close()
        disk.grow()
        if not m.running():
            assert "space" in m.log_text(), m.tail()
            m.start()
        wait_for(lambda: m.running() and target.value("SELECT sum(n) FROM things") == sum(range(190, 200)), 90, "the last of each")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.kill()
    db.client.close()


def test_a_wrong_value_in_a_column_that_only_midflight_makes(mongo_database, target, migration):
    """The time of an ObjectId is no part of the document, and is compared all the same until the application writes it."""
    source = mongo_database("double")
    db = source.connect()
    first = db.things.insert_one({"by": bson.ObjectId()}).inserted_id
    m = begin(migration, source, target, [{"collection": f"{source.name}.things", "to": "things", "columns": [
        {"path": "_id", "column": "id", "type": "objectid", "time": "made_at"}, {"path": "by", "type": "objectid", "time": "by_at"}]}])
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    for column in ("made_at", "by_at"):
        target.execute(f"UPDATE things SET {column} = '2001-02-03 04:05:06'")
        said = m.call("verify", "--json", expect=4).json
        assert [d["key"] for d in said["differences"]] == [f'_id=ObjectId("{first}")'], said
        m.call("verify", "--repair")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        assert target.value(f"SELECT count(*) FROM things WHERE {column} < '2002-01-01'") == 0
    m.call("cutover")
    new = bson.ObjectId()
    target.execute(f"INSERT INTO things (id, made_at, `by`, by_at) VALUES ('{new}', '2001-02-03 04:05:06', '{first}', '2001-02-03 04:05:06')")
    wait_for(lambda: db.things.count_documents({"_id": new}) == 1, 60, "the document")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    db.client.close()


def test_ids_that_have_no_text(mongo_database, target, migration):
    """Such a document waits in quarantine, whether it was copied or came later, and goes from it with its deletion; the run goes on, also after the cutover."""
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_many([{"_id": 1, "n": 1}, {"_id": bson.MinKey(), "n": 2}])
    m = begin(migration, source, target, [entry(source.name, [{"path": "n", "type": "int32"}])])
    m.start()
    m.wait_phase("synced")
    entries = lambda: m.call("quarantine", "list", "--json").json["rows"]
    assert len(entries()) == 1 and "minkey" in entries()[0]["reason"].lower(), entries()
    odd = {"a": bson.Regex("x")}
    db.things.insert_one({"_id": odd, "n": 3})
    db.things.update_one({"_id": bson.MinKey()}, {"$set": {"n": 4}})
    db.things.insert_one({"_id": 5, "n": 5})
    wait_for(lambda: target.value("SELECT count(*) FROM things") == 2 and len(entries()) == 2, 60, "the good one, and two entries")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 2
    db.things.delete_many({"n": {"$in": [3, 4]}})
    wait_for(lambda: not entries(), 60, "the entries to go with their documents")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cutover")
    db.things.insert_one({"_id": odd, "n": 6})  # a stray write on the side that may not be written
    m.wait(lambda s: s["wrong_side_writes"] >= 1, 60, "the stray write")
    target.execute("UPDATE things SET n = 7 WHERE id = 1")
    wait_for(lambda: db.things.find_one({"_id": 1})["n"] == 7, 60, "the way back")
    assert m.running()
    db.client.close()
