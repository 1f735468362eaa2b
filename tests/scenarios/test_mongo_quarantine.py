"""Documents that are refused, by the map or by the target alone: whole, with every reason; what becomes of the rows they had; and each way out of the quarantine."""
import pytest

from harness.docrun import begin
from harness.midflight import DIFFERENT, FAILED, REFUSED
from harness.mongo_servers import driver
from harness.servers import wait_for

driver()
import bson  # noqa: E402


def things_map(database: str, **name) -> list[dict]:
    return [{"collection": f"{database}.things", "to": "things", "ignore": ["old"],
             "columns": [{"path": "_id", "column": "id", "type": "int32"}, {"path": "name", "type": "string(10)", **name}, {"path": "qty", "type": "int32"},
                         {"path": "note", "type": "string(20)", "missing": "null", "null": "null"}, {"path": "note", "present": "has_note"}],
             "tables": [{"path": "lines", "to": "lines", "columns": [{"path": "sku", "type": "string(10)"}, {"path": "n", "type": "int32"}]}]}]


def thing(id_: int, **more) -> dict:
    return {"_id": id_, "name": f"thing {id_}", "qty": id_, "lines": [{"sku": f"s{id_}", "n": 1}, {"sku": "b", "n": 2}], **more}


class Shop:
    """A synced migration of things 1 to 5."""

    def __init__(self, source, target, migration, **config):
        self.source, self.target = source, target
        self.db = source.connect()
        self.things = self.db.things
        self.things.insert_many([thing(i) for i in range(1, 6)])
        self.m = begin(migration, source, target, things_map(source.name), **config)

    def run(self) -> "Shop":
        self.m.start()
        self.m.wait(lambda s: s["phase"] == "synced" and s.get("streams_open"), 120, "phase synced")  # the state may still say that the last run failed
        return self

    def entries(self) -> list[dict]:
        return self.m.call("quarantine", "list", "--json").json["rows"]

    def entry(self, id_: int) -> dict:
        wait_for(lambda: [q for q in self.entries() if q["key"] == f"_id={id_}"], 60, f"document {id_} in quarantine")
        return next(q for q in self.entries() if q["key"] == f"_id={id_}")

    def healed(self) -> None:
        wait_for(lambda: not self.entries(), 60, "an empty quarantine")

    def rows(self, id_: int) -> tuple:
        return (self.target.rows(f"SELECT id, name, qty, note, has_note FROM things WHERE id = {id_}"),
                sorted(self.target.rows(f"SELECT things_id, position, sku, n FROM lines_ WHERE things_id = {id_}".replace("lines_", self.lines))))

    @property
    def lines(self) -> str:
        return "`lines`" if hasattr(self.target, "server") and self.target.kind == "mysql" else "lines"

    def differing(self) -> int:
        return self.m.call("verify", "--json", expect=(0, DIFFERENT)).json["rows_differing"]

    def is_there(self, id_: int, name: str | None = None, note=None, has_note: bool = False) -> None:
        wanted = ([(id_, name or f"thing {id_}", id_, note, has_note)], [(id_, 0, f"s{id_}", 1), (id_, 1, "b", 2)])
        wait_for(lambda: self.rows(id_) == wanted, 60, f"the rows of document {id_}")


@pytest.fixture
def target(request, mysql_database, database):
    """mysql: 8.0; postgres: 15."""
    made = mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)
    made.kind = request.param
    return made


@pytest.fixture
def shop(target, mongo_database, migration):
    made = []

    def make(kind: str = "double", transactions: str = "yes", **config) -> Shop:
        source = mongo_database(kind) if transactions == "yes" else mongo_database(kind, "without", transactions="no")
        made.append(Shop(source, target, migration, **config))
        return made[-1]

    yield make
    for one in made:
        one.db.client.close()


both = pytest.mark.parametrize("target", ["mysql", "postgres"], indirect=True)
mysql = pytest.mark.parametrize("target", ["mysql"], indirect=True)
postgres = pytest.mark.parametrize("target", ["postgres"], indirect=True)
NOTHING = ([], [])


@both
def test_a_document_is_refused_whole_with_every_reason(shop):
    s = shop()
    bad = {"_id": 9, "name": "a name of 20 letters", "qty": "12", "extra": {"a": [1]}, "lines": [{"sku": "ok", "n": 1}, {"sku": 7, "n": bson.Int64(1)}, {"n": 2}]}
    s.things.insert_one(bad)
    s.run()
    q = s.entry(9)
    for reason in ('name: "a name of 20 letters" (string)', 'qty: "12" (string)', "extra: ", "lines[1].sku: 7 (int32)", "lines[1].n: ", "lines[2].sku: it is missing"):
        assert reason in q["reason"], q["reason"]
    assert len(q["reason"].splitlines()) == 6 and not q["reason"].endswith("\n"), q["reason"]
    assert len(s.m.call("quarantine").out.splitlines()) == 2
    assert q["table"] == "things" and q["direction"] == "forward"
    shown = s.m.call("quarantine", "show", str(q["id"])).out
    for text in ("a name of 20 letters", '"lines":[{"sku":"ok","n":1},{"sku":7,"n":1},{"n":2}]', "lines[2].sku: it is missing"):
        assert text in shown, shown
    assert s.rows(9) == NOTHING
    assert s.differing() == 1
    s.m.wait(lambda status: status["quarantine"]["rows"] == 1, 60, "the status to have counted it")
    s.things.replace_one({"_id": 9}, thing(9))  # the next version heals it
    s.healed()
    s.is_there(9)
    assert s.differing() == 0


@both
@pytest.mark.parametrize("old_rows", ["delete", "keep"])
def test_what_was_there_before_goes_or_stays(shop, old_rows):
    s = shop(quarantine={"old_rows": old_rows}).run()
    s.is_there(2)
    s.things.update_one({"_id": 2}, {"$set": {"lines.0.n": "two"}})
    assert 'lines[0].n: "two"' in s.entry(2)["reason"]
    if old_rows == "keep":
        s.is_there(2)
    else:
        assert s.rows(2) == NOTHING
    assert s.differing() == 1
    s.m.restart()
    s.m.wait_phase("synced")
    assert s.differing() == 1 and len(s.entries()) == 1
    s.things.delete_one({"_id": 2})  # gone on both sides
    s.healed()
    wait_for(lambda: s.rows(2) == NOTHING, 60, "no rows")
    assert s.differing() == 0


@both
def test_missing_and_null_are_told_apart(shop):
    s = shop().run()
    s.things.insert_many([thing(11, note=None), thing(12), thing(13, note="x")])
    s.is_there(11, note=None, has_note=True)
    s.is_there(12, note=None, has_note=False)
    s.is_there(13, note="x", has_note=True)
    s.things.update_one({"_id": 11}, {"$unset": {"note": 1}})
    s.is_there(11, note=None, has_note=False)
    assert s.differing() == 0


@both
def test_drop_forgets_the_entry_and_not_the_difference(shop):
    s = shop().run()
    s.things.update_one({"_id": 3}, {"$set": {"qty": 1.5}})
    q = s.entry(3)
    said = s.m.call("quarantine", "retry", str(q["id"]), expect=REFUSED).err
    for text in (f"document _id=3 of {s.source.name}.things is refused still: qty: 1.5 (double)", "mend the document", "the map"):
        assert text in said, said
    assert len(s.entries()) == 1
    s.things.update_one({"_id": 4}, {"$set": {"qty": "four"}})
    assert s.entry(4)
    assert s.m.call("quarantine", "drop", str(q["id"]), "--json").json == {"resolved": 1, "left": 1}
    s.things.replace_one({"_id": 4}, thing(4))
    s.healed()
    said = s.m.call("verify", "--json", expect=DIFFERENT).json
    assert [(d["key"], d["kind"]) for d in said["differences"]] == [("_id=3", "missing")], said


@both
def test_the_map_is_mended(shop):
    """A rule alone needs no change of the tables; a wider column does, and the error says which."""
    s = shop()
    s.things.insert_many([thing(7, name="twelve chars"), {k: v for k, v in thing(8).items() if k != "name"}])
    s.run()
    assert {q["key"] for q in s.entries()} == {"_id=7", "_id=8"}
    assert s.m.stop() == 0
    s.m.configure(map=things_map(s.source.name, missing="default", default="none"))
    s.run()
    assert s.m.call("quarantine", "retry", str(s.entry(8)["id"]), "--json").json == {"resolved": 1, "left": 1}  # whatever document 7 is
    s.is_there(8, name="none")
    assert [q["key"] for q in s.entries()] == ["_id=7"] and s.differing() == 1
    assert s.m.stop() == 0
    s.m.configure(map=things_map(s.source.name, missing="default", default="none", type="string(30)"))
    s.m.start()
    assert s.m.wait_exit() == FAILED, s.m.tail()
    for text in ("MFSHAPE", "things", "name", "midflight plan shows the statements"):
        assert text in s.m.log_text(), s.m.log_text()
    s.target.execute("ALTER TABLE things MODIFY name varchar(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL" if s.target.kind == "mysql"
                     else "ALTER TABLE things ALTER name TYPE varchar(30)")
    s.run()
    s.m.call("quarantine", "retry", "all")
    s.is_there(7, name="twelve chars")
    assert s.entries() == [] and s.differing() == 0


@both
def test_the_target_alone_refuses(shop):
    """A unique index that somebody made there: the document is refused as a whole, and comes when there is room for it."""
    s = shop().run()
    s.target.execute("CREATE UNIQUE INDEX one_qty ON things (qty)")
    s.things.insert_one(thing(20) | {"qty": 1})
    q = s.entry(20)
    assert "one_qty" in q["reason"] and s.rows(20) == NOTHING
    s.things.update_one({"_id": 1}, {"$set": {"lines.1.n": 5}})  # others go on
    wait_for(lambda: (1, 1, "b", 5) in s.rows(1)[1], 60, "the change of another")
    assert s.differing() == 1
    s.target.execute("DROP INDEX one_qty ON things" if s.target.kind == "mysql" else "DROP INDEX one_qty")
    s.m.call("quarantine", "retry", "all")
    wait_for(lambda: s.rows(20)[0] == [(20, "thing 20", 1, None, False)], 60, "its rows")
    assert s.entries() == [] and s.differing() == 0


@both
def test_a_nul_in_a_text(shop):
    s = shop()
    s.things.insert_one(thing(6, name="a\0b"))
    s.run()
    s.things.update_one({"_id": 1}, {"$set": {"lines.0.sku": "c\0"}})
    if s.target.kind == "mysql":
        s.is_there(6, name="a\0b")
        wait_for(lambda: (1, 0, "c\0", 1) in s.rows(1)[1], 60, "the change")
        assert s.entries() == [] and s.differing() == 0
        return
    assert s.rows(6) == NOTHING and "NUL" in s.entry(6)["reason"], s.entry(6)
    assert s.entry(1) and s.rows(1) == NOTHING
    assert s.differing() == 2


@mysql
def test_too_many_stop_the_run(shop):
    s = shop(quarantine={"max_rows": 2}).run()
    s.things.update_many({"_id": {"$lte": 3}}, {"$set": {"qty": "many"}})
    assert s.m.wait_exit() == FAILED, s.m.tail()
    assert "quarantine.max_rows" in s.m.log_text(), s.m.tail()
    s.m.configure(quarantine={"max_rows": 10})
    s.run()
    wait_for(lambda: len(s.entries()) == 3, 60, "three documents in quarantine")
    for i in (1, 2, 3):
        s.things.replace_one({"_id": i}, thing(i))
    s.healed()
    assert s.differing() == 0


@mysql
def test_stop_stops_at_the_first(shop):
    s = shop(quarantine={"on_reject": "stop"}).run()
    s.things.update_one({"_id": 1}, {"$set": {"qty": "many"}})
    assert s.m.wait_exit() == FAILED and 'qty: \\"many\\"' in s.m.log_text(), s.m.tail()
    s.things.replace_one({"_id": 1}, thing(1))
    s.m.configure(quarantine={"on_reject": "keep"})
    s.run()
    s.healed()
    assert s.differing() == 0


def on_the_new_side_with_unique_names(shop, transactions: str = "yes") -> Shop:
    """MongoDB has the unique index, the new side has none."""
    s = shop(transactions=transactions)
    s.things.create_index("name", unique=True)
    for i in range(1, 6):
        s.things.update_one({"_id": i}, {"$set": {"old": -i}})
    s.run()
    s.m.call("verify")
    s.m.call("cutover")
    return s


@both
def test_the_deployment_refuses_on_the_way_back(shop):
    """A unique index there. Killed when the document is left out and not in quarantine yet; a rollback waits until it is resolved."""
    s = on_the_new_side_with_unique_names(shop)
    s.m.kill()
    s.m.start(fault="mongodb.quarantine=kill")
    s.m.wait(lambda x: x.get("streams_open"), 60, "streams")
    s.target.execute("UPDATE things SET name = 'thing 1' WHERE id = 2")
    assert s.m.wait_exit() == -9, s.m.tail()
    s.m.start()
    s.m.wait(lambda x: x.get("streams_open"), 60, "streams")
    q = s.entry(2)
    assert q["direction"] == "reverse" and "E11000" in q["reason"], q
    s.target.execute("UPDATE things SET qty = 33 WHERE id = 3")  # others go on
    wait_for(lambda: s.things.find_one({"_id": 3})["qty"] == 33, 60, "the change of another")
    s.m.call("rollback", expect=REFUSED)
    s.target.execute("UPDATE things SET name = 'another' WHERE id = 2")
    s.healed()
    wait_for(lambda: s.things.find_one({"_id": 2}) == thing(2) | {"name": "another", "old": -2}, 60, "the document")
    assert s.differing() == 0
    s.m.call("rollback")
    assert s.m.status()["writes"] == "source"


def in_one(target, *statements: str) -> None:
    """A transaction."""
    c = target.connect()
    try:
        cursor = c.cursor()
        for sql in ("BEGIN", *statements, "COMMIT"):
            cursor.execute(sql)
    finally:
        c.close()


def named(id_: int, name: str) -> str:
    return f"UPDATE things SET name = '{name}' WHERE id = {id_}"


@both
def test_values_of_a_unique_index_that_change_places_on_the_new_side(shop):
    """In one transaction, round in a ring, one by one over a third value, and beside a document that violates the index, which is the only one that waits. What no
    row has stays in each document."""
    s = on_the_new_side_with_unique_names(shop)

    def are(**names: str) -> None:
        wanted = [(int(i[1:]), name, -int(i[1:])) for i, name in names.items()]
        wait_for(lambda: [(d["_id"], d["name"], d["old"]) for d in s.things.find({"_id": {"$in": [i for i, _, _ in wanted]}}).sort("_id")] == wanted, 60, f"{wanted}")
        assert s.entries() == []

    in_one(s.target, named(1, "x"), named(2, "thing 1"), named(1, "thing 2"))
    are(_1="thing 2", _2="thing 1")
    in_one(s.target, named(3, "x"), named(5, "thing 3"), named(4, "thing 5"), named(3, "thing 4"))
    are(_3="thing 4", _4="thing 5", _5="thing 3")
    for sql in (named(1, "x"), named(3, "thing 2"), named(4, "thing 4"), named(1, "thing 5")):
        s.target.execute(sql)
    are(_1="thing 5", _3="thing 2", _4="thing 4")
    in_one(s.target, named(1, "thing 2"), named(3, "thing 5"), named(5, "thing 1"))  # 2 has thing 1 and keeps it; the new side has no index
    assert "E11000" in s.entry(5)["reason"]
    wait_for(lambda: s.things.find_one({"_id": 3})["name"] == "thing 5", 60, "the exchange beside it")
    assert {d["_id"]: d["name"] for d in s.things.find()} == {1: "thing 2", 2: "thing 1", 3: "thing 5", 4: "thing 4", 5: "thing 3"}
    assert [q["key"] for q in s.entries()] == ["_id=5"] and s.differing() == 1
    s.m.call("quarantine", "retry", "all", expect=(FAILED, REFUSED))
    s.m.call("verify", "--repair", expect=None)
    assert len(s.entries()) == 1 and s.differing() == 1
    s.m.call("rollback", expect=REFUSED)
    s.target.execute(named(2, "thing 3"))  # what 5 has there, who wants what 2 has: they meet
    are(_2="thing 3", _5="thing 1")
    assert s.differing() == 0
    s.m.call("rollback")
    assert s.m.status()["wrong_side_writes"] == 0


@mysql
def test_values_that_change_places_where_the_deployment_has_no_transactions(shop):
    """Each is in the other's way, for ever: neither retry nor repair may say that they arrived, and no rollback leaves them behind. One by one they do."""
    s = on_the_new_side_with_unique_names(shop, "no")
    in_one(s.target, named(1, "x"), named(2, "thing 1"), named(1, "thing 2"))
    wait_for(lambda: len(s.entries()) == 2, 60, "both in quarantine")
    s.m.call("quarantine", "retry", "all", expect=(FAILED, REFUSED))
    assert len(s.entries()) == 2, s.entries()
    s.m.call("verify", "--repair", expect=None)
    assert len(s.entries()) == 2 and s.differing() == 2, s.entries()
    s.m.call("rollback", expect=REFUSED)
    s.target.execute(named(1, "x"))
    wait_for(lambda: (s.things.find_one({"_id": 1}) or {}).get("name") == "x", 60, "the third value")
    s.m.call("quarantine", "retry", "all")
    assert s.things.find_one({"_id": 2})["name"] == "thing 1"
    s.target.execute(named(1, "thing 2"))
    s.healed()
    assert s.differing() == 0
    s.m.call("rollback")
