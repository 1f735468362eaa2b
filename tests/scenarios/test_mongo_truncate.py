"""TRUNCATE on the side of tables: somebody's write on the wrong side before the cutover; after it, of a root it is carried back, of a child table it ends the way back."""
import pytest

from harness.docrun import begin, documents, level
from harness.doccases import Shop, difference, found
from harness.midflight import DIFFERENT, FAILED
from harness.servers import wait_for


@pytest.fixture(params=["postgres", "mysql", "mariadb"])
def target(request, mysql_database, database):
    return database("target", 15) if request.param == "postgres" else mysql_database("target", "8.0" if request.param == "mysql" else "mariadb")


def truncate(target, *tables: str) -> None:
    """The tables that are named and no other, whatever refers to them."""
    if not hasattr(target.server, "drop_book"):
        return target.execute(f"TRUNCATE {', '.join(tables)}")
    connection = target.connect()
    try:
        cursor = connection.cursor()
        for statement in ("SET foreign_key_checks = 0", *(f"TRUNCATE TABLE {t}" for t in tables)):
            cursor.execute(statement)
    finally:
        connection.close()


ALL = ("user_tags", "user_order_lines", "user_orders", "user_settings", "users")


def test_before_the_cutover_it_is_a_write_on_the_wrong_side(target, mongo_database, migration):
    source = mongo_database("double")
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    with shop:
        m.start()
        m.wait_phase("synced")
        shop.writes(10)
        shop.hold()
        level(source, target)
        with_tags = sum(1 for mine in shop.users for d in mine.values() if d.get("tags"))
        truncate(target, "user_tags")
        m.wait(lambda s: s["wrong_side_writes"] == 1, 60, "the TRUNCATE to be told")
        said = m.call("verify", "--json", expect=DIFFERENT).json
        assert said["rows_differing"] == with_tags and {d["kind"] for d in said["differences"]} == {"differs"}, said
        assert all(d["where"].startswith("tags") for d in said["differences"]), said
        assert m.call("verify", "--repair", "--json").json["rows_differing"] == with_tags
        assert m.call("verify", "--json").json["rows_differing"] == 0
        level(source, target)
        truncate(target, *ALL)
        m.wait(lambda s: s["wrong_side_writes"] > 1, 60, "the root's to be told")
        assert m.call("verify", "--json", expect=DIFFERENT).json["rows_differing"] == len(documents(source)["users"])
        m.call("verify", "--repair")
        m.restart()  # what was seen is not seen again
        m.wait_phase("synced")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        shop.go_on()
        shop.writes(10)
        shop.hold()
        level(source, target)
        assert m.status()["phase"] == "synced"
        m.call("cutover")
        assert m.status()["writes"] == "target"


def test_after_the_cutover(target, mongo_database, migration):
    source = mongo_database("double")
    shop = Shop(source, rate=20).fill()
    m = begin(migration, source, target)
    m.start()
    m.wait_phase("synced")
    level(source, target)
    m.call("verify")
    m.call("cutover")
    before = documents(source)
    truncate(target, "ledger")
    wait_for(lambda: not documents(source)["ledger"], 60, "an empty ledger")
    truncate(target, "user_tags")
    for _ in range(2):
        assert m.wait_exit(60) == FAILED
        assert "MFTRUNCATE" in m.tail() and "user_tags" in m.tail() and "complete" in m.tail()
        m.start()
    assert difference({**before, "ledger": set()}, documents(source)) == ""
    assert not found(target)["user_tags"]
