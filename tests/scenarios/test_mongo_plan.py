"""A plan for documents: what is said of collections whose contents are known, the map that follows, and what is said of a map that does not fit.

FerretDB and mongo-java-server stand for MongoDB; what each lacks is in harness/mongo_servers.py."""
import datetime

import pytest
import yaml

from harness.mongo_servers import driver
from harness.servers import free_port
from test_mongo_migration import QUICK

driver()
import bson  # noqa: E402  (the driver's own)

USERS, ENTRIES = 300, 200


def user(i: int) -> dict:
    d = {"_id": i, "name": f"user {i}", "email": f"u{i}@example.org", "userName": i, "user_name": str(i),
         "tags": [f"t{k}" for k in range(i % 4)], "scores": {str(1000 + i): i, str(5000 + 2 * i): 1},
         "orders": [{"sku": f"s{k}", "count": k, "price": k * 1.5} for k in range(i % 3)]}
    if i % 3:
        d["age"] = None if i % 7 == 1 else i
    if i % 10 != 3:
        d["address"] = {} if i == 5 else {"city": "x" * (i % 20), "zip": str(i)}
    return d


def entry(i: int) -> dict:
    d = {"_id": bson.ObjectId(f"{i:024x}"), "userId": i if i < 190 else 10_000 + i, "amount": i if i % 2 else i + 0.25,
         "at": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=i)}
    if i % 5 == 0:
        d["note"] = "text" if i % 2 else i
    return d


@pytest.fixture
def messy(mongo_database):
    def make(kind):
        source = mongo_database(kind)
        db = source.connect()
        db.users.insert_many([user(i) for i in range(USERS)])
        db.ledger.insert_many([entry(i) for i in range(ENTRIES)])
        db.client.close()
        return source
    return make


@pytest.fixture
def target(request, mysql_database, database):
    return mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)


pairs = pytest.mark.parametrize("kind,target", [("ferretdb", "mysql"), ("java", "postgres")], ids=["ferretdb-mysql", "java-postgres"],
                                indirect=["target"])


def proposed(m, tmp_path, *more) -> tuple[dict, dict]:
    """What a plan says of the documents, and the map that it writes."""
    file = tmp_path / "map.yaml"
    facts = m.call("plan", "--json", "--write-map", str(file), *more).json
    return facts, yaml.load(file.read_text(), Loader=yaml.BaseLoader)  # a key "null" stays a word


def seen(facts, collection, path) -> dict:
    return next(p["seen"] for p in facts["documents"]["paths"] if p["collection"] == collection and p["path"] == path)


def refused(facts) -> dict:
    return {(r["collection"].split(".")[1], r["path"]): r for r in facts["documents"]["refused"]}


def columns(mapped, collection, *tables) -> dict:
    at = next(c for c in mapped["map"] if c["collection"].endswith("." + collection))
    for name in tables:
        at = next(t for t in at["tables"] if t["to"] == name)
    return {c["path"]: c for c in at["columns"]}


@pairs
def test_what_is_there_is_told_and_becomes_a_map(kind, target, messy, migration, tmp_path):
    source = messy(kind)
    m = migration(source, target, config=QUICK)
    facts, mapped = proposed(m, tmp_path, "--full")
    users, ledger = f"{source.name}.users", f"{source.name}.ledger"
    expected = [user(i) for i in range(USERS)]
    # ---- the numbers ----
    read = {c["collection"]: c["read"] for c in facts["documents"]["collections"]}
    assert read == {users: USERS, ledger: ENTRIES}
    age = seen(facts, users, "age")
    assert age["types"] == {"int32": sum(isinstance(d.get("age"), int) for d in expected), "null": sum("age" in d and d["age"] is None for d in expected)}
    assert age["missing"] == sum("age" not in d for d in expected)
    assert age["min"] == min(d["age"] for d in expected if d.get("age") is not None) and age["max"] == USERS - 1
    assert seen(facts, users, "name")["characters"] == len("user 299")
    assert seen(facts, users, "address")["empty_documents"] == 1
    tags = seen(facts, users, "tags")
    assert (tags["elements_min"], tags["elements_max"], tags["empty_arrays"]) == (0, 3, sum(not d["tags"] for d in expected))
    assert seen(facts, users, "orders[].sku")["there"] == sum(len(d["orders"]) for d in expected)
    assert seen(facts, users, "scores")["keys_are_data"]
    assert seen(facts, users, "scores.*")["there"] == 2 * USERS
    amount = seen(facts, ledger, "amount")["types"]
    assert amount == {"int32": ENTRIES // 2, "double": ENTRIES // 2}
    # ---- keys, references, names ----
    keys = {(k["collection"], k["path"]) for k in facts["documents"]["candidate_keys"]}
    assert {(users, "_id"), (users, "email"), (ledger, "_id"), (ledger, "at")} <= keys and (users, "age") not in keys
    (reference,) = [r for r in facts["documents"]["references"] if r["path"] == "userId"]
    assert (reference["collection"], reference["refers_to"]) == (ledger, users)
    assert reference["by_name"] and 0 < reference["looked_up"] <= 32 and reference["orphans"] < reference["looked_up"]
    assert any("userName and user_name" in n for n in facts["documents"]["notes"])
    # ---- the map ----
    own = columns(mapped, "users")
    assert own["_id"]["type"] == "int" and own["name"]["type"] == "string(10)" and "missing" not in own["name"]
    assert own["age"] == {"path": "age", "column": "age", "type": "int32", "present": "has_age", "null": "null"}
    assert own["address"] == {"path": "address", "present": "has_address"}
    assert {own["userName"]["column"], own["user_name"]["column"]} == {"user_name", "user_name_2"}
    assert columns(mapped, "users", "users_orders")["price"]["type"] == "double"
    assert columns(mapped, "users", "users_scores")["."]["type"] == "int32"
    other = columns(mapped, "ledger")
    assert other["_id"]["type"] == "objectid" and other["at"]["type"] == "date"
    assert other["amount"] == {"path": "amount", "column": "amount", "type": "double", "wrong": "coerce"}
    assert other["note"] == {"path": "note", "column": "note", "type": "json", "missing": "null"}
    ddl = "\n".join(facts["ddl"].values())
    assert all(table in ddl for table in ("users_orders", "users_tags", "users_scores", "ledger"))
    assert "users" in m.call("plan").out  # as text, too


@pairs
def test_the_proposed_map_is_good_as_it_is(kind, target, messy, migration, tmp_path):
    source = messy(kind)
    _, mapped = proposed(migration(source, target, config=QUICK), tmp_path)
    m = migration(source, target, config={**QUICK, **mapped})
    facts = m.call("plan", "--json", "--full").json
    assert facts["documents"]["refused"] == [] and "map" not in facts["documents"]
    assert all(c["refused"] == 0 for c in facts["documents"]["collections"])
    assert facts["documents"]["never_filled"] == []
    rows = {t["table"]: t["rows"] for t in facts["documents"]["rows"]}
    assert rows == {"users": USERS, "users_tags": sum(i % 4 for i in range(USERS)), "users_scores": 2 * USERS,
                    "users_orders": sum(i % 3 for i in range(USERS)), "ledger": ENTRIES}
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0


@pytest.mark.parametrize("target", ["mysql"], indirect=True)
def test_an_edited_maps_faults_are_named(target, messy, migration, tmp_path):
    source = messy("ferretdb")
    _, mapped = proposed(migration(source, target, config=QUICK), tmp_path, "--full")
    users = next(c for c in mapped["map"] if c["collection"].endswith(".users"))
    by_path = {c["path"]: c for c in users["columns"]}
    by_path["name"]["type"] = "string(7)"
    by_path["age"] = {"path": "age", "type": "int32"}
    users["columns"] = [by_path[p] for p in by_path if p != "email"] + [{"path": "nick", "type": "string(20)", "missing": "null"}]
    users["ignore"] = ["userName"]
    users["columns"] = [c for c in users["columns"] if c["path"] != "userName"]
    next(t for t in users["tables"] if t["to"] == "users_orders")["columns"][0]["type"] = "string(1)"
    facts = migration(source, target, config={**QUICK, **mapped}).call("plan", "--json", "--full").json
    at = refused(facts)
    expected = [user(i) for i in range(USERS)]
    assert set(at) == {("users", p) for p in ("name", "age", "email", "orders[].sku")}
    name = at["users", "name"]
    assert (name["documents"], name["first"], name["value"]) == (200, "100", '"user 100" (string)')
    assert name["why"] == "it is longer than the column (up to 8 characters)"
    assert at["users", "email"]["why"] == "the map does not speak of it" or "map does not speak" in at["users", "email"]["why"]
    assert at["users", "email"]["documents"] == USERS
    ages = [r for r in facts["documents"]["refused"] if r["path"] == "age"]
    assert {r["why"]: r["documents"] for r in ages} == {
        "it is missing": sum("age" not in d for d in expected), "it is null": sum("age" in d and d["age"] is None for d in expected)}
    assert at["users", "orders[].sku"]["values"] == sum(len(d["orders"]) for d in expected)
    assert {c["collection"].split(".")[1]: c["refused"] for c in facts["documents"]["collections"]} == {"users": USERS, "ledger": 0}
    assert "table users: no row" in facts["documents"]["never_filled"]
    assert [(i["path"], i["documents"]) for i in facts["documents"]["ignored"]] == [("userName", USERS)]


@pairs
def test_what_only_the_target_refuses_is_told(kind, target, mongo_database, migration, tmp_path):
    """MySQL has no NaN, PostgreSQL no NUL in a text; the map takes both. (mongo-java-server keeps a NaN; FerretDB does not.)"""
    source = mongo_database("java")
    db = source.connect()
    db.odd.insert_many([{"_id": 1, "ratio": 0.5, "text": "plain"}, {"_id": 2, "ratio": float("nan"), "text": "plain"},
                        {"_id": 3, "ratio": 1.5, "text": "a\0b"}])
    db.client.close()
    of = f"{source.name}.odd"
    columns = [{"path": "_id", "column": "id", "type": "int"}, {"path": "ratio", "type": "double"}, {"path": "text", "type": "string(10)"}]
    facts = migration(source, target, config={**QUICK, "map": [{"collection": of, "columns": columns}]}).call("plan", "--json").json
    (one,) = facts["documents"]["refused"]
    assert (one["path"], one["first"]) == (("odd.ratio", "2") if kind == "ferretdb" else ("odd.text", "3"))
    assert one["why"] == "the target has no such value in this column" and one["documents"] == 1
    _, mapped = proposed(migration(source, target, config=QUICK), tmp_path)
    at = {c["path"]: c["type"] for c in mapped["map"][0]["columns"]}
    again = migration(source, target, config={**QUICK, **mapped}).call("plan", "--json").json["documents"]["refused"]
    if kind == "ferretdb":  # a column of JSON takes it
        assert at["ratio"] == "json" and at["text"] == "string(10)" and again == []
    else:  # PostgreSQL's jsonb has no NUL either: no column would take it
        assert at["ratio"] == "double" and at["text"] == "string(10)" and [r["path"] for r in again] == ["odd.text"]
    assert ("# REFUSED: 1 with a NUL" in (tmp_path / "map.yaml").read_text()) == (kind == "java")


def test_a_file_that_cannot_be_written_is_told_before_anything_is_read(mongo_database, migration, mysql_database):
    source = mongo_database("double")
    db = source.connect()
    db.things.insert_one({"_id": 1})
    m = migration(source, mysql_database("target", "8.0"), config=QUICK)
    there = m.dir / "there.yaml"
    there.write_text("mine")
    found, m.config["source"] = m.config["source"], f"mongodb://127.0.0.1:{free_port()}/shop"
    m.configure()  # nobody is there: who asks the source first says so
    for file, why in ((there, "File exists"), (m.dir / "none" / "map.yaml", "No such file"), (there / "map.yaml", "Not a directory")):
        said = m.call("plan", "--write-map", str(file), expect=2)
        assert "--write-map" in said.err and why in said.err and not said.out, said
    assert there.read_text() == "mine"
    m.configure(source=found, map=[{"collection": f"{source.name}.things", "columns": [{"path": "_id", "column": "id", "type": "int"}]}])
    said = m.call("plan", "--write-map", str(m.dir / "map.yaml"), expect=2)  # found out at the end
    assert "has a map already" in said.err and "things" in said.out and not (m.dir / "map.yaml").exists(), said
    said = m.call("plan", "--json", "--write-map", str(m.dir / "map.yaml"), expect=2).json
    assert said["error"]["code"] == "MFUSAGE" and said["documents"]["collections"][0]["read"] == 1, said
    db.client.close()


@pytest.mark.parametrize("target", ["postgres"], indirect=True)
def test_a_sample_is_from_all_over_and_full_is_all(target, mongo_database, migration):
    source = mongo_database("ferretdb")
    db = source.connect()
    db.big.insert_many([{"_id": i, "part": i // 500, **({"late": i} if i >= 1500 else {})} for i in range(2000)])
    db.client.close()
    m = migration(source, target, config={**QUICK, "plan": {"documents": 200}})
    facts = m.call("plan", "--json").json
    big = f"{source.name}.big"
    assert 150 <= facts["documents"]["collections"][0]["read"] <= 400
    assert seen(facts, big, "part")["different"] == 4 and seen(facts, big, "late")["missing"] > 0
    whole = m.call("plan", "--json", "--full")
    assert whole.json["documents"]["collections"][0]["read"] == 2000
    assert seen(whole.json, big, "late")["there"] == 500
