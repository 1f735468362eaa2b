"""Documents into rows of their tables and back, on real servers, without a source: loaded, changed, refused, read, and told by the stream of the way back."""
from __future__ import annotations

import json
import os
import random
from contextlib import ExitStack, closing

import pytest

from harness.mysql_servers import MysqlServer
from harness.pgdrive import Drive, Refused
from harness.servers import Server

MAP = """
source: mongodb://nowhere/shop
target: %s
map:
  - collection: shop.users
    to: users
    columns:
      - {path: _id, column: id, type: objectid}
      - {path: name, type: string(20)}
      - {path: address, present: has_address}
      - {path: address.city, column: city, type: string(40), missing: "null"}
      - {path: age, type: int32, missing: "null"}
    tables:
      - path: orders
        to: user_orders
        missing: empty
        columns: [{path: sku, type: string(20)}, {path: n, type: int32}]
        tables: [{path: notes, to: order_notes, missing: empty, columns: [{path: ".", column: note, type: string(30)}]}]
      - {path: tags, to: user_tags, missing: empty, columns: [{path: ".", column: tag, type: string(20)}]}
      - {path: settings, to: user_settings, kind: map, key: name, missing: empty, columns: [{path: ".", column: value, type: string(50)}]}
"""
TABLES = ["users", "user_orders", "order_notes", "user_tags", "user_settings"]
USERS = {"schema": "shop", "name": "users", "identity": "key", "columns": [{"name": "_id"}, {"name": "document"}], "key": [0]}


@pytest.fixture(scope="module", params=["postgres", "8.0"])
def server(request):
    with ExitStack() as stack:
        yield stack.enter_context(Server(15) if request.param == "postgres" else MysqlServer("8.0", settings={"performance-schema": "ON"}))


class Shown:
    """A target that is shown as the collection shop.users."""

    def __init__(self, server, path, text=MAP, **environment):
        self.database = server.create_database(f"shred_{random.getrandbits(40):x}")
        self.mysql = isinstance(server, MysqlServer)
        self.path, self.environment, self.order = path, environment, 1000
        path.write_text(text % self.database.url())
        self.open()
        self.drive("prepare")
        self.drive("make")

    def open(self, **named) -> None:
        os.environ.update({"MIDFLIGHT_TEST_MAP": str(self.path), **self.environment})
        try:
            self.drive = Drive(self.database.url(), **named)
        finally:
            for name in ["MIDFLIGHT_TEST_MAP", *self.environment]:
                del os.environ[name]

    def reopen(self) -> None:
        self.drive.close()
        self.open()

    def close(self) -> None:
        self.drive.close()
        if self.mysql:
            self.database.execute("DROP DATABASE IF EXISTS midflight")
        self.database.drop()

    def rows(self, table: str) -> list[tuple]:
        return sorted(self.database.rows(f"SELECT * FROM {table}"), key=repr)

    def everything(self) -> dict:
        return {table: self.rows(table) for table in TABLES}

    def load(self, *docs: dict, ordinal: int = 0) -> dict:
        return self.drive("load", table=USERS, table_id=1, ordinal=ordinal, rows=[whole(d) for d in docs])

    def apply(self, *, inserts=(), updates=(), deletes=(), **mode) -> dict:
        self.order += 1
        try:
            return self.drive.window(self.order, {
                "table": USERS, "inserts": [{"new": whole(d)} for d in inserts],
                "updates": [{"op": "replace", "new": whole(d)} for d in updates],
                "deletes": [{"old": [{"id": text(d)}, {}]} for d in deletes]}, **mode)
        except Refused:
            self.order -= 1
            raise

    def documents(self, **named) -> dict:
        reply = self.drive("documents", database="shop", collection="users", **named)
        return {i: d for i, d in reply["documents"]}

    def normal(self, doc: dict) -> dict:
        return self.drive("normal", database="shop", collection="users", document=text(doc))

    def expect(self, *docs: dict) -> None:
        """Exactly these are there, in their normal form and with the digests of the source's side."""
        normal = [self.normal(d) for d in docs]
        reply = self.drive("documents", database="shop", collection="users", rows=3)
        assert {i: d for i, d in reply["documents"]} == {n["id"]: n["document"] for n in normal}
        assert reply["digests"] == {n["id"]: n["digest"] for n in normal}

    def quarantine(self) -> list[dict]:
        return self.drive("quarantine")["entries"]

    def count_writes(self) -> None:
        """From here on every row that is written to one of the tables is counted."""
        if self.mysql:  # a trigger would be taken down by whoever of ours writes
            self.counts = self.io()
            return
        self.database.execute("CREATE TABLE written (t text, op text)")
        self.database.execute("CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS "
                              "$$BEGIN INSERT INTO public.written VALUES (TG_TABLE_NAME, TG_OP); RETURN NULL; END$$")
        for t in TABLES:
            self.database.execute(f"CREATE TRIGGER count_it AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION count_it()")
            self.database.execute(f"ALTER TABLE {t} ENABLE ALWAYS TRIGGER count_it")

    def io(self) -> dict[str, int]:
        return {t: int(n) for t, n in self.database.rows(
            "SELECT object_name, count_insert + count_update FROM performance_schema.table_io_waits_summary_by_table "
            f"WHERE object_schema = '{self.database.name}'")}

    def written(self) -> dict[str, int]:
        """Rows that came or changed since it was asked last, by their table."""
        if self.mysql:
            before, self.counts = self.counts, self.io()
            return {t: n - before.get(t, 0) for t, n in self.counts.items() if n != before.get(t, 0)}
        got = dict(self.database.rows("SELECT t, COUNT(*) FROM written WHERE op <> 'DELETE' GROUP BY t"))
        self.database.execute("DELETE FROM written")
        return got


def oid(n: int) -> dict:
    return {"$oid": f"{n:024x}"}


def text(doc: dict) -> str:
    return json.dumps(doc)


def whole(doc: dict) -> list:
    return [{"id": text(doc)}, {"doc": text(doc)}]


def user(n: int, name: str = "Ann", **more) -> dict:
    return {"_id": oid(n), "name": name, "orders": [], "tags": [], "settings": {}, **more}


@pytest.fixture
def shown(server, tmp_path):
    with closing(Shown(server, tmp_path / "map.yaml")) as s:
        yield s


ANN = user(1, age=30, address={"city": "Graz"}, tags=["a", "b", "a"], settings={"lang": "de", "": "x"},
           orders=[{"sku": "A-1", "n": 2, "notes": ["soon", "gift"]}, {"sku": "B-2", "n": 1, "notes": []}])
BEA = user(2, "Bea", address={})
CID = user(3, "Cid", tags=["z"])


def test_documents_are_loaded_and_read_back_in_their_normal_form(shown):
    shown.load(ANN, BEA, CID)
    assert [len(shown.rows(t)) for t in TABLES] == [3, 2, 2, 4, 2]
    shown.expect(ANN, BEA, CID)
    ann = shown.normal(ANN)
    assert shown.documents(ids=[{"id": text(ANN)}, {"id": text(user(77))}, "nobody's"]) == {ann["id"]: ann["document"]}
    assert [(t["schema"], t["name"]) for t in shown.drive("shapes")["tables"]] == [("shop", "users")]


def test_a_refused_document_of_a_chunk_goes_to_quarantine_whole(shown):
    bad, long = user(4, age="old"), user(5, tags=["ok", "x" * 21], orders=[{"sku": "s", "n": 1, "notes": []}])
    reply = shown.load(ANN, bad, BEA, long, CID)
    assert reply["together"] == 0 and len(reply["refused"]) == 2
    shown.expect(ANN, BEA, CID)
    entries = shown.quarantine()
    assert [e["table"] for e in entries] == ["users", "users"]
    assert json.loads(entries[0]["row"])["age"] == "old" and "age" in entries[0]["reason"]
    assert json.loads(entries[1]["row"])["tags"] == ["ok", "x" * 21] and "tags" in entries[1]["reason"]


def order(sku: str) -> dict:
    return {"sku": sku, "n": 1, "notes": ["note"]}


def test_a_row_that_the_server_refuses_takes_its_document_with_it(shown):
    shown.database.execute("CREATE UNIQUE INDEX one_sku ON user_orders (sku)")
    reply = shown.load(ANN, user(4, tags=["t"], orders=[order("C-3"), order("A-1")]), BEA)
    assert reply["together"] == 0 and len(reply["refused"]) == 1
    shown.expect(ANN, BEA)
    taken = user(7, tags=["fine"], orders=[order("D-4"), order("B-2")])
    with pytest.raises(Refused) as e:
        shown.apply(inserts=[taken])
    assert e.value.cls == "conflict", e.value
    with pytest.raises(Refused) as e:
        shown.apply(inserts=[taken], careful=True)
    assert e.value.cls == "row" and f"{7:024x}" in e.value.text, e.value
    assert shown.apply(inserts=[taken], careful=True, keep=True)["quarantined"] == 1
    shown.expect(ANN, BEA)
    entry = shown.quarantine()[-1]
    assert "one_sku" in entry["reason"] and json.loads(entry["row"])["orders"][1]["sku"] == "B-2"
    shown.apply(updates=[user(7, orders=[order("D-4")])])
    assert len(shown.quarantine()) == 1
    shown.expect(ANN, BEA, user(7, orders=[order("D-4")]))


def test_elements_change_places_under_an_index_of_the_users(shown):
    """Position by position each is in the other's way."""
    shown.database.execute("CREATE UNIQUE INDEX one_sku ON user_orders (sku)")
    shown.load(ANN, user(2, orders=[order("C-3"), order("D-4"), order("E-5")], tags=["stays"]))
    for skus in (["D-4", "E-5"], ["E-5", "D-4"], ["F-6", "E-5", "D-4"]):
        d = user(2, orders=[order(sku) for sku in skus], tags=["stays"])
        try:
            shown.apply(updates=[d])
        except Refused as e:
            assert e.cls == "conflict", e
            assert shown.apply(updates=[d], careful=True, keep=True)["quarantined"] == 0
        shown.expect(ANN, d)
    assert not shown.quarantine()
    taken = user(2, orders=[order("A-1")], tags=["stays"])  # by another document
    assert shown.apply(updates=[taken], careful=True, keep=True)["quarantined"] == 1
    shown.expect(ANN)


def test_only_rows_that_differ_are_written(shown):
    shown.load(ANN, BEA)
    shown.count_writes()
    ann = json.loads(text(ANN))
    shown.apply(updates=[ann])
    assert shown.written() == {}
    ann["orders"][0]["notes"].append("late")
    shown.apply(updates=[ann, BEA])
    assert shown.written() == {"order_notes": 1}
    ann["orders"][1]["n"] = 7
    ann["settings"]["lang"] = "en"
    shown.apply(updates=[ann])
    assert shown.written() == {"user_orders": 1, "user_settings": 1}
    del ann["tags"][2]
    del ann["orders"][0]["notes"][2]
    shown.apply(updates=[ann])
    assert shown.written() == {}  # rows only went
    del ann["orders"][0]
    shown.apply(updates=[ann])
    assert shown.written() == {"user_orders": 1}  # the second became the first
    shown.expect(ann, BEA)
    shown.apply(deletes=[ann], inserts=[CID])
    shown.expect(BEA, CID)
    assert {t: len(shown.rows(t)) for t in TABLES} == {"users": 2, "user_orders": 0, "order_notes": 0, "user_tags": 1, "user_settings": 0}


def test_the_order_of_one_documents_changes_is_kept(shown):
    shown.load(ANN)
    steps = [user(1, "Ann", tags=["x"]), user(1, "Anna", tags=["x", "y"]), None, user(1, "Anne", settings={"k": "v"}),
             user(1, "Anouk", tags=["q"], settings={"k": "w"})]
    batches = []
    for i, doc in enumerate(steps):
        change = {"deletes": [{"old": [{"id": text(ANN)}, {}]}]} if doc is None else \
            {"inserts": [{"new": whole(doc)}]} if i == 3 else {"updates": [{"op": "replace", "new": whole(doc)}]}
        batches.append({"tables": [{"table": USERS, **change}]})
    for mode in ({"careful": True}, {}):
        shown.order += 1
        shown.drive("window", order=shown.order, batches=batches, **mode)
        shown.expect(steps[-1])
        shown.apply(updates=[ANN])
    shown.expect(ANN)


def test_strictly_a_document_must_be_there_or_not(shown):
    shown.load(ANN)
    for change in ({"inserts": [ANN]}, {"updates": [BEA]}, {"deletes": [BEA]}):
        with pytest.raises(Refused) as e:
            shown.apply(**change)
        assert e.value.cls == "conflict"
        with pytest.raises(Refused) as e:
            shown.apply(**change, careful=True)
        assert (e.value.cls, e.value.code) == ("fatal", "MFDIVERGED") and "users" in e.value.text
    shown.expect(ANN)
    assert shown.apply(updates=[BEA], careful=True, heal=True)["diverged"] == 1
    shown.expect(ANN, BEA)
    shown.apply(inserts=[ANN], updates=[CID], deletes=[user(9)], fuzzy=True)
    shown.expect(ANN, BEA, CID)


def test_a_document_that_becomes_invalid_is_left_out_until_it_is_whole_again(shown):
    shown.load(ANN, BEA)
    bad = {**ANN, "age": "thirty"}
    with pytest.raises(Refused) as e:
        shown.apply(updates=[bad])
    assert e.value.cls == "row"
    assert shown.apply(updates=[bad], careful=True, keep=True)["quarantined"] == 1
    shown.expect(BEA)
    assert shown.apply(updates=[{**bad, "name": "Annegret"}], careful=True, keep=True)
    assert len(shown.quarantine()) == 1
    shown.apply(updates=[{**ANN, "age": 31}])  # not there, but in quarantine
    shown.expect({**ANN, "age": 31}, BEA)
    assert shown.quarantine() == []
    shown.apply(updates=[bad], careful=True, keep=True)
    shown.apply(deletes=[ANN])
    assert shown.quarantine() == []
    shown.expect(BEA)


def test_the_old_rows_of_an_invalid_document_may_stay(server, tmp_path):
    with closing(Shown(server, tmp_path / "map.yaml", MIDFLIGHT_TEST_KEEP="1")) as shown:
        shown.load(ANN, BEA)
        shown.apply(updates=[{**ANN, "age": "thirty"}], careful=True, keep=True)
        shown.expect(ANN, BEA)
        assert len(shown.quarantine()) == 1
        shown.apply(updates=[{**ANN, "age": 32}])
        shown.expect({**ANN, "age": 32}, BEA)
        assert shown.quarantine() == []


def test_repair_writes_whole_documents(shown):
    shown.load(ANN, BEA, CID)
    shown.database.execute("DELETE FROM order_notes")
    shown.database.execute("UPDATE users SET name = 'wrong' WHERE name = 'Bea'")
    shown.drive("repair", table=USERS, whole=[whole(ANN), whole(BEA), whole(user(8))], gone=[[{"id": text(CID)}, {}]])
    shown.expect(ANN, BEA, user(8))


def test_a_kill_between_mark_and_commit_leaves_nothing(shown):
    shown.load(ANN, BEA)
    before = shown.everything()
    for fault in ("shred.apply=kill", "shred.load=kill"):
        shown.drive.close()
        shown.open(fault=fault)
        with pytest.raises(RuntimeError):
            if fault.startswith("shred.apply"):
                shown.apply(updates=[user(1, tags=["new"])], deletes=[BEA], inserts=[CID])
            else:
                shown.load(CID, user(10), ordinal=5)
        assert shown.everything() == before
    shown.open()
    shown.order += 5
    shown.apply(updates=[user(1, tags=["new"])], deletes=[BEA], inserts=[CID])
    shown.load(user(10), user(11), ordinal=5)
    shown.expect(user(1, tags=["new"]), CID, user(10), user(11))


def some_document(r: random.Random, n: int) -> dict:
    doc = user(n, r.choice(["Ann", "Bea", "Ürs ✓", ""]))
    doc["tags"] = [r.choice("abc") for _ in range(r.randrange(5))]
    doc["settings"] = {k: r.choice("uvw") for k in r.sample(["a", "b", "c.d", "", "$e"], r.randrange(4))}
    doc["orders"] = [{"sku": r.choice("xyz"), "n": r.randrange(3), "notes": [r.choice("pq") for _ in range(r.randrange(4))]}
                     for _ in range(r.randrange(4))]
    if r.random() < 0.5:
        doc["age"] = r.randrange(100)
    if r.random() < 0.5:
        doc["address"] = {"city": r.choice(["Graz", "Linz"])} if r.random() < 0.7 else {}
    return doc


def test_random_edits_give_the_rows_of_a_fresh_load(shown, server, tmp_path):
    """Whatever happened to documents, and in whatever windows: the rows are those of the documents there are now."""
    r = random.Random(20261129)
    now: dict[int, dict] = {}
    for step in range(40):
        batches = []
        for _ in range(r.randrange(1, 4)):
            change = {"inserts": [], "updates": [], "deletes": []}
            for n in r.sample(range(1, 30), r.randrange(1, 12)):
                if n not in now:
                    now[n] = some_document(r, n)
                    change["inserts"].append({"new": whole(now[n])})
                elif r.random() < 0.3:
                    change["deletes"].append({"old": [{"id": text(now.pop(n))}, {}]})
                else:
                    now[n] = some_document(r, n) if r.random() < 0.5 else {**now[n], "tags": now[n]["tags"][1:] + ["c"]}
                    change["updates"].append({"op": "replace", "new": whole(now[n])})
            batches.append({"tables": [{"table": USERS, **change}]})
        shown.order += 1
        shown.drive("window", order=shown.order, batches=batches, fuzzy=step % 3 == 0)
    with closing(Shown(server, tmp_path / "fresh.yaml")) as fresh:
        fresh.load(*now.values())
        assert shown.everything() == fresh.everything()
    shown.expect(*now.values())


def test_the_stream_tells_of_documents(shown):
    shown.load(ANN, BEA, CID)
    shown.drive("follow")

    def tell(sql: str, *more: str) -> list:
        connection = shown.database.connect(autocommit=False)
        cursor = connection.cursor()
        for statement in (sql, *more):
            cursor.execute(statement)
        connection.commit()
        connection.close()
        return shown.drive("told")["transactions"]

    ann = json.loads(text(ANN))
    ann["name"] = "Anna"
    ids = {d["name"]: shown.normal(d)["id"] for d in (ANN, BEA, CID)}
    assert tell("UPDATE users SET name = 'Anna' WHERE name = 'Ann'") == [[["update", "users", ids["Ann"], shown.normal(ann)["document"]]]]
    ann["tags"] = ["a", "b"]
    bea = {**BEA, "settings": {"k": "v"}}
    told = tell("DELETE FROM user_tags WHERE position = 2",
                f"INSERT INTO user_settings VALUES ('{2:024x}', 'k', 'v')", "DELETE FROM user_tags WHERE position = 2")
    assert told == [[["update", "users", ids["Ann"], shown.normal(ann)["document"]],
                     ["update", "users", ids["Bea"], shown.normal(bea)["document"]]]]
    assert tell("DELETE FROM user_tags WHERE tag = 'z'", "DELETE FROM users WHERE name = 'Cid'") == [[["delete", "users", ids["Cid"], None]]]
    if shown.mysql:
        shown.database.execute("SET FOREIGN_KEY_CHECKS = 0")
    shown.apply(updates=[user(2, "Beate")])  # midflight's own
    assert shown.drive("told")["transactions"] == [[["checkpoint"]]]


def test_transactions_that_have_come_are_told_together(shown):
    """Each document once for many transactions, as it is at their end; one of midflight's own stays by itself, and what is around it is told before and after."""
    shown.load(ANN, BEA, CID)
    shown.drive("follow")
    connection = shown.database.connect()
    cursor = connection.cursor()
    for i in range(40):
        cursor.execute(f"UPDATE users SET name = '{i}' WHERE id = '{1 + i % 2:024x}'")
    if shown.mysql:
        shown.database.execute("SET FOREIGN_KEY_CHECKS = 0")
    shown.apply(updates=[user(3, "Cidon")])
    for i in range(40):
        cursor.execute(f"UPDATE users SET name = 'now {i}' WHERE id = '{1 + i % 2:024x}'")
    connection.close()
    told = shown.drive("told")["transactions"]
    ours = told.index([["checkpoint"]])
    assert told.count([["checkpoint"]]) == 1
    wanted = [["update", "users", n["id"], n["document"]] for n in (shown.normal({**ANN, "name": "now 38"}), shown.normal({**BEA, "name": "now 39"}))]
    for some in (told[:ours], told[ours + 1:]):
        changes = [change for transaction in some for change in transaction]
        assert 2 <= len(changes) < 40 and all(change in wanted for change in changes) and all(one in changes for one in wanted), told


def test_a_child_table_that_is_truncated_cannot_be_told(shown):
    """It is said so, at its COMMIT; what else there was is told as ever."""
    shown.load(ANN, BEA)
    shown.drive("follow")
    shown.database.execute("TRUNCATE TABLE user_tags")
    shown.database.execute("UPDATE users SET name = 'Beate' WHERE name = 'Bea'")
    (told,), (beate,) = shown.drive("told")["transactions"]
    assert told[:2] == ["cannot", "MFTRUNCATE"] and "user_tags" in told[2] and "DELETE" in told[3] and beate[:2] == ["update", "users"]


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_a_truncate_that_a_savepoint_took_back_is_none(shown):
    """On MySQL it is a transaction of its own."""
    shown.load(ANN, BEA)
    shown.drive("follow")
    connection = shown.database.connect(autocommit=False)
    for statement in ("UPDATE users SET name = 'Anna' WHERE name = 'Ann'", "SAVEPOINT s", "TRUNCATE user_tags", "ROLLBACK TO s"):
        connection.cursor().execute(statement)
    connection.commit()
    connection.close()
    assert [c[:2] for t in shown.drive("told")["transactions"] for c in t] == [["update", "users"]]


def test_a_table_that_is_not_as_the_map_says_is_told_by_its_column(shown):
    shown.database.execute("ALTER TABLE user_tags DROP COLUMN tag")
    with pytest.raises(Refused) as e:
        shown.load(ANN)
    assert e.value.code == "MFSHAPE" and '"tag"' in e.value.text and "user_tags" in e.value.text
