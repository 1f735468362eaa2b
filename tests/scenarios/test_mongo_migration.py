"""Documents become rows and come back: a shop's documents under writes, into MySQL and PostgreSQL.

The judge is harness/doccases.py, which works the rows out by hand. What each server that speaks MongoDB's protocol lacks is in harness/mongo_servers.py."""
import secrets

import pytest

from harness.doccases import Shop, arrived, difference, expected, found, shop_map
from harness.midflight import DIFFERENT, FAILED, REFUSED
from harness.mysql_servers import MysqlDatabase
from harness.servers import wait_for

QUICK = {"copy": {"jobs": 2, "chunk_rows": 40, "max_load": 0}, "heartbeat": "500ms", "schema_check": "500ms",
         "cutover": {"max_pause": "60s", "max_lag": "1MB", "flag_delay": "100ms"}}


@pytest.fixture
def target(request, mysql_database, database):
    """mysql: 8.0; postgres: 15."""
    return mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)


PAIRS = [("double", "mysql"), ("java", "postgres"), ("ferretdb", "mysql"), ("double", "postgres")]
pairs = pytest.mark.parametrize("kind,target", PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS], indirect=["target"])


@pytest.fixture
def mongo_database(mongo_database, own_mongo):
    """FerretDB reads all of its oplog whenever it is asked what is new: with what others wrote before, it is always late."""
    return lambda kind: own_mongo(kind).create_database(f"shop_{secrets.token_hex(4)}") if kind == "ferretdb" else mongo_database(kind)


def begin(migration, source, target, **config):
    """The server is shared by tests, and so is its database midflight: each migration has a name of its own."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in QUICK.items()}
    for key, value in config.items():
        merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    return migration(source, target, config={"migration": source.name[:40].lower(), "map": shop_map(source.name), **merged})


def documents(source) -> dict:
    db = source.connect()
    try:
        return expected(list(db.users.find()), list(db.ledger.find()))
    finally:
        db.client.close()


@pairs
def test_there_under_writes_with_a_crash(kind, target, mongo_database, migration):
    source = mongo_database(kind)
    shop = Shop(source).fill()
    m = begin(migration, source, target)
    with shop:
        m.start()
        m.wait_phase("copying", "catching_up", "synced")
        m.restart()  # kill -9
        m.wait_phase("synced")
        shop.writes()
        assert m.call("verify", "--json").json["rows_differing"] == 0
        shop.hold()
        arrived(shop, target)
    assert not difference(documents(source), found(target))


def counts(rows: dict) -> dict:
    return {table: len(of) for table, of in rows.items()}


def counted(said: dict, side: str) -> dict:
    return {of["table"].split(".")[-1]: of[side] for of in said["rows_of_documents"]}


def stray(target, id_: str) -> None:
    """A row of a child table that belongs to no document: past the foreign key, as a session with special powers can."""
    c = target.connect()
    try:
        cursor = c.cursor()
        cursor.execute("SET foreign_key_checks = 0" if isinstance(target, MysqlDatabase) else "SET session_replication_role = replica")
        cursor.execute(f"INSERT INTO user_tags (users_id, position, tag) VALUES ('{id_}', 0, 'stray')")
    finally:
        c.close()


@pairs
def test_a_wrong_row_is_named_and_mended(kind, target, mongo_database, migration):
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    with shop:
        m.start()
        m.wait_phase("synced")
        shop.writes(10)
        shop.hold()
        arrived(shop, target)
        wrong = next(id_ for id_, d in shop.users[0].items() if d["orders"])
        lost = next(id_ for id_, d in shop.users[1].items())
        target.execute(f"UPDATE user_orders SET total = 12345 WHERE users_id = '{wrong}' AND position = 0")
        for table in ("user_order_lines", "user_orders", "user_tags", "user_settings"):
            target.execute(f"DELETE FROM {table} WHERE users_id = '{lost}'")
        target.execute(f"DELETE FROM users WHERE id = '{lost}'")
        said = m.call("verify", "--json", expect=DIFFERENT).json
        assert {(d["key"], d["kind"]) for d in said["differences"]} == {(f'_id=ObjectId("{wrong}")', "differs"), (f'_id=ObjectId("{lost}")', "missing")}, said
        assert [d["where"] for d in said["differences"] if d["kind"] == "differs"] == ["orders.0.total"], said
        assert counted(said, "source") == counts(documents(source)) and counted(said, "target") == counts(found(target)), said
        assert counted(said, "source")["users"] == counted(said, "target")["users"] + 1
        shown = m.call("verify", expect=DIFFERENT).out
        assert "orders.0.total" in shown and "user_order_lines" in shown and "rows by the source" in shown, shown
        m.call("verify", "--repair")
        said = m.call("verify", "--json").json
        assert said["rows_differing"] == 0 and counted(said, "source") == counted(said, "target") == counts(found(target)), said
        arrived(shop, target)
        stray(target, "f" * 24)
        said = m.call("verify", "--json", expect=DIFFERENT).json
        assert [d["kind"] for d in said["differences"]] == ["extra"] and "user_tags" in said["differences"][0]["key"], said


@pairs
def test_a_refused_document_waits_whole_and_heals(kind, target, mongo_database, migration):
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    db = source.connect()
    ids = [next(iter(mine)) for mine in shop.users]
    db.users.update_one({"_id": ids[0]}, {"$set": {"age": "old"}})
    m = begin(migration, source, target)
    try:
        m.start()
        m.wait_phase("synced")
        db.users.update_one({"_id": ids[1]}, {"$set": {"name": "x" * 101}})
        rows = lambda: m.call("quarantine", "list", "--json").json["rows"]
        wait_for(lambda: len(rows()) == 2, 60, "two documents in quarantine")
        told = {q["key"]: q["reason"] for q in rows()}
        assert "age" in told[f'_id=ObjectId("{ids[0]}")'] and "name" in told[f'_id=ObjectId("{ids[1]}")'], told
        have = found(target)
        assert not any(row[0] in {str(i) for i in ids} for name in have if name != "ledger" for row in have[name])
        assert m.call("verify", "--json", expect=DIFFERENT).json["rows_differing"] == 2
        for mine, id_ in zip(shop.users, ids):
            db.users.replace_one({"_id": id_}, mine[id_])
        wait_for(lambda: not rows(), 60, "an empty quarantine")
        arrived(shop, target)
    finally:
        db.client.close()


SQL_USER = {
    "insert": ["INSERT INTO users (id, name, email, age, balance, has_address, address_street, address_city, note, has_note, since) "
               "VALUES ('{id}', 'new', NULL, 7, 1.5, {true}, 'street', NULL, NULL, {true}, '2026-05-06 07:08:09.123')",
               "INSERT INTO user_tags (users_id, position, tag) VALUES ('{id}', 0, 'a'), ('{id}', 1, 'b')",
               "INSERT INTO user_orders (users_id, position, number, placed, total) VALUES ('{id}', 0, 5, '2026-05-06 07:08:09', 2.5)",
               "INSERT INTO user_order_lines (users_id, position, line, sku, n) VALUES ('{id}', 0, 0, 'thing', 3)",
               "INSERT INTO user_settings (users_id, name, value) VALUES ('{id}', 'k', 'v')"],
    "update": ["UPDATE users SET name = 'changed', age = NULL WHERE id = '{id}'", "DELETE FROM user_tags WHERE users_id = '{id}'",
               "INSERT INTO user_tags (users_id, position, tag) VALUES ('{id}', 0, 'only')"],
    "delete": ["DELETE FROM user_tags WHERE users_id = '{id}'", "DELETE FROM user_order_lines WHERE users_id = '{id}'",
               "DELETE FROM user_orders WHERE users_id = '{id}'", "DELETE FROM user_settings WHERE users_id = '{id}'", "DELETE FROM users WHERE id = '{id}'"],
}


def write(target, kind: str, id_) -> None:
    """What the application does on the new side, in one transaction."""
    c = target.connect()
    try:
        if hasattr(c, "begin"):
            c.begin()
        cursor = c.cursor()
        if not hasattr(c, "begin"):
            cursor.execute("BEGIN")
        for statement in SQL_USER[kind]:
            cursor.execute(statement.format(id=id_, true="true"))
        cursor.execute("COMMIT")
    finally:
        c.close()


NO_ID = "INSERT INTO users (id, name, balance, has_address, has_note) VALUES ('{}', 'nobody', 0, {no}, {no})"


@pytest.mark.parametrize("kind,target", [PAIRS[0], PAIRS[3]], ids=["double-mysql", "double-postgres"], indirect=["target"])
def test_rows_whose_key_is_no_id(kind, target, mongo_database, migration):
    """Named by verify and taken away by its repair; after a cutover they wait in the quarantine, and no rollback leaves them behind."""
    source, no = mongo_database(kind), "0" if isinstance(target, MysqlDatabase) else "false"
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    m.start()
    m.wait_phase("synced")
    target.execute(NO_ID.format("strange", no=no))
    said = m.call("verify", "--json", expect=DIFFERENT).json
    assert [(d["key"], d["kind"]) for d in said["differences"]] == [('_id=row {"id":"strange"}', "extra")], said
    m.call("verify", "--repair")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    assert target.value("SELECT count(*) FROM users WHERE id = 'strange'") == 0
    m.call("cutover")
    db = source.connect()
    rows = lambda: m.call("quarantine", "list", "--json").json["rows"]
    try:
        target.execute(NO_ID.format("slip", no=no))
        target.execute("INSERT INTO user_tags (users_id, position, tag) VALUES ('slip', 0, 'of it')")
        wait_for(lambda: [q["key"] for q in rows()] == ['_id=row {"id":"slip"}'], 60, "the row in quarantine")
        assert m.call("verify", "--json", expect=DIFFERENT).json["rows_differing"] == 1
        m.call("rollback", expect=REFUSED)
        target.execute("DELETE FROM user_tags WHERE users_id = 'slip'")
        target.execute("UPDATE users SET id = '" + "f" * 24 + "' WHERE id = 'slip'")
        wait_for(lambda: not rows() and db.users.find_one({"name": "nobody"}), 60, "the document of the mended row")
        target.execute(NO_ID.format("gone", no=no))
        wait_for(rows, 60, "another one")
        target.execute("DELETE FROM users WHERE id = 'gone'")
        wait_for(lambda: not rows(), 60, "the entry to go with its row")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("rollback")
        assert db.users.count_documents({"name": "nobody"}) == 1
    finally:
        db.client.close()


@pairs
def test_writes_move_and_come_back(kind, target, mongo_database, migration):
    """Documents that the new side changed come back with their changes; those it did not are, byte for byte, what they were."""
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    db = source.connect()
    from bson import ObjectId
    from bson.raw_bson import RawBSONDocument
    from bson.codec_options import CodecOptions
    raw = db.get_collection("users", codec_options=CodecOptions(document_class=RawBSONDocument))
    try:
        with shop:
            m.start()
            m.wait_phase("synced")
            shop.writes(10)
            assert m.call("verify", "--json").json["rows_differing"] == 0
            shop.hold()
        m.call("cutover")
        assert m.status()["writes"] == "target"
        assert m.status()["stream"]["lag_bytes"] < 1 << 20  # its positions are moments, and no bytes
        arrived(shop, target)
        before = {d["_id"]: bytes(d.raw) for d in raw.find()}
        new, (changed, gone, *_) = ObjectId(), list(before)
        write(target, "insert", new)
        write(target, "update", changed)
        write(target, "delete", gone)
        wait_for(lambda: not difference(documents(source), found(target)), 60, "the changes to come back")
        said = m.call("verify", "--json").json
        assert said["rows_differing"] == 0 and counted(said, "source") == counted(said, "target") == counts(found(target)), said
        m.call("rollback")
        assert m.status()["writes"] == "source"
        after = {d["_id"]: bytes(d.raw) for d in raw.find()}
        assert after.keys() == before.keys() - {gone} | {new}
        assert {i for i in before if i in after and before[i] != after[i]} == {changed}
        d = db.users.find_one({"_id": changed})
        assert d["name"] == "changed" and "age" not in d and d["tags"] == ["only"] and d["_class"] == "shop.User", d
        assert m.status()["wrong_side_writes"] == 0
        db.users.update_one({"_id": new}, {"$set": {"name": "again"}})  # and the stream goes on there
        wait_for(lambda: not difference(documents(source), found(target)), 60, "the stream to go on")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        m.call("cancel")
        assert m.wait_exit() == 0
        book = db.client.midflight  # other tests' migrations may be in it
        assert not [(c, d) for c in book.list_collection_names() for d in book[c].find() if m.config["migration"] in str(d)]
    finally:
        db.client.close()


@pytest.mark.parametrize("kind,target", PAIRS[:1], ids=["double-mysql"], indirect=["target"])
def test_rows_that_are_no_document_cost_the_source_nothing(kind, target, mongo_database, migration):
    """A gap in the positions: the source's document stays as it was, with what only it has, until the rows are a document again."""
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    db = source.connect()
    try:
        m.start()
        m.wait_phase("synced")
        arrived(shop, target)
        m.call("verify")
        m.call("cutover")
        before = next(d for d in db.users.find() if "_class" in d and len(d.get("tags", [])) > 1)
        id_, rows = before["_id"], lambda: m.call("quarantine", "list", "--json").json["rows"]
        target.execute(f"DELETE FROM user_tags WHERE users_id = '{id_}' AND position = 0")
        wait_for(lambda: rows(), 60, "the document in quarantine")
        assert [q["key"] for q in rows()] == [f'_id=ObjectId("{id_}")'] and "position" in rows()[0]["reason"], rows()
        assert db.users.find_one({"_id": id_}) == before
        assert "in quarantine" in str(m.call("rollback", expect=None))
        target.execute(f"UPDATE user_tags SET position = position - 1 WHERE users_id = '{id_}' ORDER BY position")
        wait_for(lambda: not rows(), 60, "an empty quarantine")
        assert db.users.find_one({"_id": id_}) == {**before, "tags": before["tags"][1:]}
        m.call("verify")
        m.call("rollback")
        m.call("cancel")
        assert m.wait_exit() == 0
    finally:
        db.client.close()


@pytest.mark.parametrize("target", ["mysql", "postgres"], indirect=True)
def test_tables_are_named_with_their_schema(target, mongo_database, migration):
    """`to: schema.table`, where that is the schema that a name alone would be in, and another name than the source's database."""
    source = mongo_database("double")
    shop = Shop(source, rate=20).fill()
    schema = "public" if target.url().startswith("postgres") else target.name
    documents_map = [{**c, "to": f"{schema}.{c['to']}"} for c in shop_map(source.name)]
    m = begin(migration, source, target, map=[*documents_map, {**documents_map[1], "collection": "other.things", "to": "ledger"}])
    assert f"table {schema}.ledger is made twice" in str(m.call("check", expect=None))
    m.configure(map=documents_map)
    m.start()
    m.wait_phase("synced")
    arrived(shop, target)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cancel")
    assert m.wait_exit() == 0


@pytest.mark.parametrize("kind,target", PAIRS[:1], ids=["double-mysql"], indirect=["target"])
def test_a_map_that_was_changed_leaves_nothing_behind_unseen(kind, target, mongo_database, migration):
    """Between two runs. What it has no more must not stand there as if it followed; what it says otherwise is found by verification, and no cutover comes before one."""
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    m.start()
    m.wait_phase("synced")
    arrived(shop, target)
    m.call("verify")
    users, ledger = shop_map(source.name)
    m.stop()
    m.configure(map=[ledger, {"ignore": users["ignore"], **users}])  # the same in other places
    m.start()
    m.wait_phase("synced")
    tried = lambda: m.call("cutover", "--dry-run", expect=None)
    wait_for(lambda: tried().exit == 0, 60, "a cutover that could be")
    m.stop()
    less = {**users, "ignore": ["_class", "settings"], "tables": [t for t in users["tables"] if t["path"] != "settings"]}
    other = {**less, "columns": [{**c, **({"missing": "default", "default": "7"} if c["path"] == "age" else {})} for c in less["columns"]]}
    m.configure(map=[other, ledger])
    m.start()
    m.wait(lambda s: s["phase"] == "failed", 60, "an end", may_exit=True)
    assert f"the map does not have table {target.name}.user_settings any more" in m.status()["last_error"], m.status()["last_error"]
    m.wait_exit()
    target.execute("DROP TABLE user_settings")
    m.start()
    m.wait(lambda s: s["running"] and s["streams_open"] and s["phase"] == "synced", 60, "a run that is synced")
    wait_for(lambda: "the map was changed" in str(tried()), 60, "a cutover that wants a verification")
    without = sum("age" not in d for mine in shop.users for d in mine.values())
    assert without and m.call("verify", "--json", "--repair", expect=None).json["rows_differing"] == without
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cancel")
    assert m.wait_exit() == 0


def proven(kind, target, mongo_database, migration):
    """A shop at rest, both sides found equal."""
    source = mongo_database(kind)
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    m.start()
    m.wait_phase("synced")
    arrived(shop, target)
    m.call("verify")
    return source, shop, m


def leave_as_it_looks(target, table: str) -> None:
    """Dropped and made again with its rows, so that only the server's own number of it is another one; and in the publication of nobody."""
    if isinstance(target, MysqlDatabase):
        target.execute(f"CREATE TABLE again LIKE {table}; INSERT INTO again SELECT * FROM {table}; DROP TABLE {table}; RENAME TABLE again TO {table}")
    else:
        target.execute(f"CREATE TABLE again (LIKE {table} INCLUDING ALL); INSERT INTO again SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE again RENAME TO {table}")


@pytest.mark.parametrize("kind,target", [PAIRS[0], PAIRS[3]], ids=["double-mysql", "double-postgres"], indirect=["target"])
def test_tables_that_are_not_those_that_were_proven(kind, target, mongo_database, migration):
    """A child table made again before the cutover, and a column: refused until both sides are found equal, and what is written there then comes back."""
    source, shop, m = proven(kind, target, mongo_database, migration)
    moves = lambda n: isinstance(target, MysqlDatabase) and wait_for(
        lambda: target.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'moved rev'") == n, 60, "the stream past it")
    leave_as_it_looks(target, "user_tags")
    moves(2)
    assert "of the target is made of other tables" in str(m.call("cutover", expect=REFUSED)) or isinstance(target, MysqlDatabase)
    m.call("verify", "--repair", expect=None)
    m.call("verify")
    m.call("cutover", "--dry-run")
    target.execute("ALTER TABLE users DROP COLUMN email")
    target.execute("ALTER TABLE users ADD COLUMN email varchar(200)")
    moves(3)
    assert "or a column of one, dropped and made again" in str(m.call("cutover", expect=REFUSED))
    m.call("verify", expect=DIFFERENT)
    m.call("cutover", expect=REFUSED)
    m.call("verify", "--repair")
    m.call("verify")
    m.call("cutover")
    mine = next(id_ for id_, d in shop.users[0].items() if d.get("tags"))
    target.execute(f"UPDATE user_tags SET tag = 'by the target' WHERE users_id = '{mine}' AND position = 0")
    db = source.connect()
    try:
        wait_for(lambda: db.users.find_one({"tags": "by the target"}), 60, "the change to come back")
    finally:
        db.client.close()
    m.call("verify")
    m.call("rollback")


@pytest.mark.parametrize("kind,target", [PAIRS[0], PAIRS[3]], ids=["double-mysql", "double-postgres"], indirect=["target"])
def test_what_was_done_to_the_target_while_nobody_looked(kind, target, mongo_database, migration):
    """Writes are on the target. Another map is refused; so is a table in the place of one of which changes are carried back."""
    source, shop, m = proven(kind, target, mongo_database, migration)
    m.call("cutover")
    m.stop()
    users, ledger = shop_map(source.name)
    turn = {"address.street": "address_city", "address.city": "address_street"}
    m.configure(map=[{**users, "columns": [{**c, **({"column": turn[c["path"]]} if c["path"] in turn else {})} for c in users["columns"]]}, ledger])
    m.start()
    assert m.wait_exit() == FAILED
    assert "the map is another one than that by which the documents became rows" in m.log_text() and "put the map back" in m.log_text(), m.tail()
    m.configure(map=[users, ledger])
    leave_as_it_looks(target, "user_tags")
    m.start()
    if isinstance(target, MysqlDatabase):  # its log tells all of it: the rows are followed, and a rollback wants a proof
        assert m.wait_exit() == FAILED and "start midflight again, then midflight verify --repair" in m.log_text(), m.tail()
        m.start()
        m.wait(lambda s: s["running"] and s["streams_open"], 60, "a run")
        m.wait_log("is known from here on")
        assert "a column of the target was altered" in str(m.call("rollback", expect=REFUSED))
        m.call("verify", "--repair", expect=None)
        m.call("verify")
        m.call("rollback")
    else:
        assert m.wait_exit() == FAILED and "which had a table that was dropped and made again: its rows are in no stream" in m.log_text(), m.tail()
