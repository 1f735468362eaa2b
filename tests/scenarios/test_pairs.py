"""Databases of two kinds: MySQL, MariaDB and PostgreSQL into each other and back, with every type that both know, under writes.

The judge is harness/pairs.py, which reads both sides with their own drivers and knows nothing of midflight's translation."""
import signal

import pytest

from harness.midflight import DIFFERENT, unhurried
from harness.pairs import KINDS_OF_MYSQL, KINDS_OF_POSTGRES, Load, differences, fill, tables_of, wait_same
from harness.servers import wait_for
from harness.wire import Wire

REFUSED_BY_POSTGRES = {  # id → column, value as MySQL has it, a word of the reason
    1: ("d", "'0000-00-00'", "0000-00-00"),
    2: ("x", "'a\\0b'", "NUL"),
    3: ("t", "'838:59:59'", "838:59:59"),
}
REFUSED_BY_MYSQL = {
    1: ("n", "1e-40::numeric", "digits"),
    2: ("d", "'infinity'", "infinity"),
    3: ("j", "'{\"a\": 1e400}'", "1e400"),
}
REFUSED_BY_MARIADB = REFUSED_BY_MYSQL | {3: ("f", "'-0'", "-0")}  # its JSON is a text, and has every number


def refusals(kind: str, other: str):
    if kind == "postgres":
        return (REFUSED_BY_MARIADB if other == "mariadb" else REFUSED_BY_MYSQL,
                "CREATE TABLE refused (id int PRIMARY KEY, n numeric, d date, j jsonb, f real)")
    return REFUSED_BY_POSTGRES, "CREATE TABLE refused (id int PRIMARY KEY, d date, x text, t time)"


def make_refused(database, kind: str, other: str) -> dict:
    """Rows that the other side has no room for, and one that it has."""
    rows, table = refusals(kind, other)
    database.execute(table)
    database.execute("INSERT INTO refused (id) VALUES (0)")
    lax = "" if kind == "postgres" else "SET sql_mode = ''; "
    for number, (column, value, _) in rows.items():
        database.execute(f"{lax}INSERT INTO refused (id, {column}) VALUES ({number}, {value})")
    return {f"id={number}": word for number, (_, _, word) in rows.items()}


def named_in_quarantine(m, expected: dict) -> None:
    """Each refused row by its key, with the reason."""
    listed = m.call("quarantine", "list", "--json").json["rows"]
    told = {q["key"]: q["reason"] for q in listed if q["table"].endswith("refused")}
    assert told.keys() == expected.keys(), listed
    assert all(word in told[key] for key, word in expected.items()), told


def there_and_back(source, target, migration, kinds: tuple[str, str]) -> None:
    tables = tables_of(*kinds)
    for t in tables:
        source.execute(t.create(kinds[0]))
    fill(source, kinds[0], tables, rows=120, seed=5)
    bad = make_refused(source, *kinds)
    m = migration(source, target, config={"copy": {"max_load": 0, "chunk_rows": 40}, "schema_check": "500ms"})
    m.call("check")
    with Load(source, kinds[0], tables, seed=6, pause=10 * unhurried()) as load:
        m.start()
        m.wait_phase("copying", "catching_up", "synced")
        m.restart()  # kill -9
        m.wait_phase("synced")
        load.more(40)
        found = m.call("verify", "--json", expect=DIFFERENT).json
        assert {d["key"] for d in found["differences"]} == bad.keys() and {d["kind"] for d in found["differences"]} == {"quarantined"}, found
        named_in_quarantine(m, bad)
        m.call("verify", "--repair", expect=DIFFERENT)  # what has no form there cannot be mended
        named_in_quarantine(m, bad)
        source.execute("DELETE FROM refused WHERE id > 0")  # mended where it is wrong
        wait_for(lambda: not m.call("quarantine", "list", "--json").json["rows"], 60, "an empty quarantine")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        load.stop()
        m.call("cutover")
    wait_same(m, source, target, kinds, tables)
    with Load(target, kinds[1], tables, seed=7, pause=10 * unhurried()) as load:
        load.more(40)
        assert m.call("verify", "--json").json["rows_differing"] == 0
        load.stop()
        m.call("rollback")
    wait_same(m, source, target, kinds, tables)
    with Load(source, kinds[0], tables, seed=8, pause=10 * unhurried()) as load:
        load.more(20)
    wait_same(m, source, target, kinds, tables)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cancel")


def side(kind: str, role: str, database, mysql_database):
    return database(role) if kind == "postgres" else mysql_database(role, kind)


@pytest.mark.parametrize("kinds", [("8.0", "postgres"), ("5.7", "postgres"), ("mariadb", "postgres"), ("postgres", "8.0"), ("postgres", "5.7"),
                                   ("postgres", "mariadb")], ids="to".join)
def test_there_and_back(kinds, database, mysql_database, migration):
    source, target = (side(k, role, database, mysql_database) for k, role in zip(kinds, ("source", "target")))
    there_and_back(source, target, migration, kinds)


def test_refused_rows_of_a_table_without_a_key(database, mysql_database, migration):
    """What the copy left out is known to the stream, and goes with its row."""
    source, target = database("source"), mysql_database("target", "8.0")
    source.execute("CREATE TABLE n (d date, v int); ALTER TABLE n REPLICA IDENTITY FULL; INSERT INTO n VALUES ('2026-01-01', 1), ('infinity', 2), ('-infinity', NULL)")
    m = migration(source, target, config={"copy": {"max_load": 0}, "on_divergence": "stop"})
    m.start()
    m.wait_phase("synced")
    listed = lambda: sorted(q["key"] for q in m.call("quarantine", "list", "--json").json["rows"])
    assert listed() == ["d=-infinity, v=NULL", "d=infinity, v=2"]
    source.execute("DELETE FROM n WHERE d = 'infinity'")
    wait_for(lambda: len(listed()) == 1, 60, "one entry gone")
    source.execute("UPDATE n SET d = '2026-02-02' WHERE d = '-infinity'")
    wait_for(lambda: not listed(), 60, "an empty quarantine")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    assert target.value("SELECT count(*) FROM n") == 2


def test_a_commit_that_comes_about_late(database, own_mysql, migration):
    """Its answer was lost with the connection, and it waits in the server for a replica; meanwhile the chunk is copied again. Then its rows are refused as
    duplicates of themselves, which is no reason to keep them out."""
    source, target = database("source"), own_mysql("mariadb", settings={"rpl_semi_sync_master_timeout": 600000, "rpl_semi_sync_master_wait_point": "AFTER_SYNC"}).create_database("shop")
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 500) i")
    doing = lambda what: [r for r in target.rows("SHOW FULL PROCESSLIST") if what in f"{r[6]} {r[7]}" and "PROCESSLIST" not in str(r[7])]
    with Wire(target.server.port) as wire:
        m = migration(source, wire.url(target.url()), config={"copy": {"max_load": 0, "jobs": 1}, "quarantine": {"on_reject": "stop"}})
        m.start(fault="mysql.load_commit=stop")
        wait_for(lambda: open(f"/proc/{m.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", 60, "the stop")
        target.execute("SET GLOBAL rpl_semi_sync_master_enabled = ON")
        m.process.send_signal(signal.SIGCONT)
        wait_for(lambda: doing("semi-sync ACK"), 60, "the commit to wait")
        wire.cut()
        wait_for(lambda: doing("INSERT INTO `shop`.`t`"), 60, "the chunk to be copied again")
        target.execute("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
        m.wait_phase("synced")
        assert m.call("verify", "--json").json["rows_differing"] == 0
        assert not m.call("quarantine", "list", "--json").json["rows"]
