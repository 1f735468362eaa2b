"""Documents become rows and come back: a shop's documents under writes, into MySQL and PostgreSQL.

The judge is harness/doccases.py, which works the rows out by hand. What each server that speaks MongoDB's protocol lacks is in harness/mongo_servers.py."""
import pytest

from harness.doccases import Shop, arrived, difference, expected, found, shop_map
from harness.midflight import DIFFERENT
from harness.servers import wait_for

QUICK = {"copy": {"jobs": 2, "chunk_rows": 40, "max_load": 0}, "heartbeat": "500ms", "schema_check": "500ms",
         "cutover": {"max_pause": "60s", "max_lag": "10GB", "flag_delay": "100ms"}}


@pytest.fixture
def target(request, mysql_database, database):
    """mysql: 8.0; postgres: 15."""
    return mysql_database("target", "8.0") if request.param == "mysql" else database("target", 15)


PAIRS = [("ferretdb", "mysql"), ("java", "postgres"), ("java", "mysql"), ("ferretdb", "postgres")]
pairs = pytest.mark.parametrize("kind,target", PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS], indirect=["target"])


def begin(migration, source, target, **config):
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in QUICK.items()}
    for key, value in config.items():
        merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    return migration(source, target, config={"map": shop_map(source.name), **merged})


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
        m.call("verify", "--repair", expect=DIFFERENT)
        assert m.call("verify", "--json").json["rows_differing"] == 0
        arrived(shop, target)


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
