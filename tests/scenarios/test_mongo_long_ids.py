"""An `_id` may be as long as a document. One that no key column holds is refused as any document is: whole, at the copy and in the stream, until it is deleted."""
import pytest

from harness.docrun import begin
from harness.midflight import DIFFERENT
from harness.mongo_servers import driver
from harness.servers import wait_for

driver()

LONG = {"10 KB": 10_000, "100 KB": 100_000, "3 MB": 3 << 20, "15 MB": 15 << 20}


def map_of(database: str, type_: str) -> list[dict]:
    return [{"collection": f"{database}.things", "to": "things",
             "columns": [{"path": "_id", "column": "id", "type": type_}, {"path": "name", "type": "string(20)"}]}]


def id_of(n: int, mark: str) -> str:
    """The mark is at the end: what is cut is the same for all."""
    return "é" * 40 + "x" * (n - 80 - len(mark)) + mark


@pytest.fixture(params=["mysql", "postgres"])
def target(request, mysql_database, database):
    return mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)


@pytest.fixture
def mongo(mongo_database, own_mongo):
    """FerretDB reads all of its oplog whenever it is asked what is new."""
    return lambda kind: own_mongo(kind).create_database("long_ids") if kind == "ferretdb" else mongo_database(kind)


class Things:
    def __init__(self, source, target, migration, type_: str = "string(40)"):
        self.things, self.target = source.connect().things, target
        self.things.insert_many([{"_id": f"id {i}", "name": "short"} for i in range(50)])
        self.m = begin(migration, source, target, map_of(source.name, type_))

    def entries(self) -> list[dict]:
        return self.m.call("quarantine", "list", "--json").json["rows"]

    def in_quarantine(self, n: int) -> list[dict]:
        wait_for(lambda: len(self.entries()) == n, 60, f"{n} documents in quarantine")
        return self.entries()

    def there(self) -> int:
        return self.target.value("SELECT count(*) FROM things")

    def differing(self) -> dict:
        return self.m.call("verify", "--json", expect=(0, DIFFERENT)).json


def up_to(n: int) -> dict:
    return {name: size for name, size in LONG.items() if size <= n}


# FerretDB reads all of its oplog for every look at it: nothing large is put there under way.
@pytest.mark.parametrize("kind,copied,streamed", [("double", LONG, LONG), ("java", LONG, LONG), ("ferretdb", up_to(3 << 20), up_to(100_000))], ids=["double", "java", "ferretdb"])
def test_refused_at_the_copy_and_in_the_stream(kind, copied, streamed, target, mongo, migration):
    s = Things(mongo(kind), target, migration)
    for n in copied.values():
        s.things.insert_one({"_id": id_of(n, "copied"), "name": "long"})
    s.m.start()
    s.m.wait_phase("synced")
    assert s.there() == 50
    entries = s.in_quarantine(len(copied))
    assert all("_id" in q["reason"] and len(q["key"]) < 1024 and len(q["reason"]) < 4096 for q in entries), entries
    assert len({q["key"] for q in entries}) == len(copied)
    assert all(len(line) < 2048 for line in s.m.call("quarantine", "list").out.splitlines())
    for q in entries:
        assert "xxxx" in s.m.call("quarantine", "show", str(q["id"])).out
    said = s.differing()
    assert said["rows_differing"] == said["rows_quarantined"] == len(copied), said
    for n in streamed.values():  # the same ones anew, and others beside them
        s.things.insert_one({"_id": id_of(n, "came"), "name": "long"})
        s.things.replace_one({"_id": id_of(n, "copied")}, {"name": "longer"})
        s.things.update_one({"_id": id_of(n, "came")}, {"$set": {"name": "set"}})
    s.things.insert_one({"_id": "another", "name": "short"})
    wait_for(lambda: s.there() == 51, 60, "the stream to go on")
    assert len({q["key"] for q in s.in_quarantine(len(copied) + len(streamed))}) == len(copied) + len(streamed)
    s.m.restart()
    s.m.wait_phase("synced")
    said = s.differing()
    assert said["rows_differing"] == said["rows_quarantined"] == len(copied) + len(streamed) and len(s.entries()) == len(copied) + len(streamed), said
    for n in streamed.values():
        s.things.delete_one({"_id": id_of(n, "copied")})
    s.in_quarantine(len(copied))
    for n in streamed.values():
        s.things.delete_one({"_id": id_of(n, "came")})
    left = len(copied) - len(streamed)
    s.in_quarantine(left)
    assert s.differing()["rows_differing"] == left and s.there() == 51


def test_one_that_is_long_is_one_difference(target, mongo, migration):
    """Keys that are the same for as far as they are told are told apart, and an entry counts once, whether the comparison finds it or not."""
    s = Things(mongo("double"), target, migration)
    s.things.insert_many([{"_id": id_of(10_000, mark), "name": "long"} for mark in "abc"])
    s.m.start()
    s.m.wait_phase("synced")
    first = s.in_quarantine(3)[0]
    said = s.differing()
    assert (said["rows_differing"], said["rows_quarantined"]) == (3, 3), said
    assert {d["key"] for d in said["differences"]} == {q["key"] for q in s.entries()}, said
    retried = s.m.call("quarantine", "retry", str(first["id"]), expect=None)
    assert "refused still" in retried.err + retried.out and len(s.entries()) == 3
    s.m.call("quarantine", "drop", str(first["id"]))
    said = s.differing()
    assert (said["rows_differing"], said["rows_quarantined"]) == (3, 2), said
