"""Keys of which Cassandra thinks otherwise, and columns that it does not have."""
import pytest

from harness.midflight import REFUSED
from test_cass_moves import FAST, into, one_more_pass  # noqa: F401


@pytest.mark.parametrize("key, mapped, says", [
    ("numeric(10,2)", None, "1.5 and 1.50 are two decimals there"),
    ("text", "inet", "may be one value of that type"),
    ("interval", "duration", "may be one value of that type"),
])
def test_a_key_that_would_be_another_there_is_refused(source, migration, into, key, mapped, says):  # noqa: F811
    source.execute(f"CREATE TABLE t (id {key} PRIMARY KEY, v text)")
    columns = [{"name": "id", "type": mapped}, "v"]
    m = migration(source, into(), config={"map": [{"table": "public.t", "to": "t", "columns": columns}]} if mapped else {})
    found = m.call("check", "--json", expect=REFUSED).json["findings"]
    assert any(f["severity"] == "blocker" and says in f["reason"] for f in found), found


def test_a_decimal_is_a_text_in_a_key_where_that_is_asked_for(source, migration, into):  # noqa: F811
    there = into()
    source.execute("CREATE TABLE t (id numeric(10,2) PRIMARY KEY, v text); INSERT INTO t VALUES (19.90, 'a'), (7.00, 'b'), (-0.50, 'c')")
    m = migration(source, there, config={"map": [{"table": "public.t", "to": "t", "columns": [{"name": "id", "type": "text"}, "v"]}]})
    m.start()
    m.wait_phase("synced")
    source.execute("UPDATE t SET v = 'd' WHERE id = 7; DELETE FROM t WHERE id = -0.5")
    m.wait(lambda s: s["stream"]["changes_applied"] >= 2, what="the changes")
    assert {(r.id, r.v) for r in there.session.execute(f"SELECT id, v FROM {there.name}.t")} == {("19.9", "a"), ("7", "d")}
    m.call("verify")


@pytest.mark.parametrize("mysql", [False, True])
def test_what_the_source_computes_is_left_out(source, mysql_database, migration, into, mysql):  # noqa: F811
    there = into()
    source = mysql_database("source", "8.0") if mysql else source
    source.execute("CREATE TABLE g (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b int)")
    source.execute("INSERT INTO g (id, a, b) VALUES (1, 1, 10), (2, 2, 20)")
    m = migration(source, there, config={"migration": there.name[-30:], **FAST})
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO g (id, a, b) VALUES (3, 3, 30)")
    source.execute("UPDATE g SET a = 5 WHERE id = 1")
    source.execute("DELETE FROM g WHERE id = 2")
    m.wait(lambda s: s["stream"]["changes_applied"] >= 3, what="the changes")
    m.call("verify")
    assert {tuple(r) for r in there.session.execute(f"SELECT id, a, b FROM {there.name}.g")} == {(1, 5, 10), (3, 3, 30)}
    m.call("cutover")
    there.session.execute(f"UPDATE {there.name}.g SET a = 6, b = NULL WHERE id = 3")
    one_more_pass(m)
    m.call("rollback")
    assert source.rows("SELECT id, a, twice, b FROM g ORDER BY id") == [(1, 5, 10, 10), (3, 6, 12, None)]
    m.call("verify")
