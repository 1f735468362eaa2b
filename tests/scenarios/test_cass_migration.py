"""PostgreSQL into a real Apache Cassandra: rows copied and followed under load, proven, writes moved; judged by the databases' own drivers."""
from harness.casscompare import compare_table
from harness.cassrun import begin
from harness.servers import wait_for

ORDERS = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, placed timestamptz NOT NULL, total numeric(12,2), note text, paid boolean);
CREATE TABLE lines (order_id bigint NOT NULL REFERENCES orders, line int NOT NULL, what text, price numeric(10,2), PRIMARY KEY (order_id, line));
INSERT INTO orders SELECT i, i % 97, timestamptz '2026-01-01 00:00Z' + i * interval '1 minute 0.123456 s', i * 1.25, nullif('note ' || i % 5, 'note 3'), i % 2 = 0
  FROM generate_series(1, {rows}) i;
INSERT INTO lines SELECT i, l, 'thing ' || l, l * 0.99 FROM generate_series(1, {rows}) i, generate_series(1, 3) l;
"""
COLUMNS = {"orders": (["id", "customer", "placed", "total", "note", "paid"], ["id"]),
           "lines": (["order_id", "line", "what", "price"], ["order_id", "line"])}


def check(source, into, tables=COLUMNS) -> None:
    with source.connect() as connection:
        for table, (columns, key) in tables.items():
            verdict = compare_table(connection, into.session, into.name, table, columns, key)
            assert verdict.equal, f"{table}: {verdict}"


def test_rows_and_changes_arrive(source, migration, into):
    there = into()
    source.execute(ORDERS.format(rows=3000))
    m = begin(migration, source, there)
    m.start()
    m.wait_phase("synced")
    check(source, there)
    source.execute("UPDATE orders SET total = total + 1, note = NULL WHERE id % 3 = 0; DELETE FROM lines WHERE line = 2 AND order_id % 5 = 0;"
                   "UPDATE orders SET id = id + 100000 WHERE id IN (SELECT id FROM orders WHERE id NOT IN (SELECT order_id FROM lines)); "
                   "INSERT INTO orders SELECT i, 1, now(), NULL, NULL, NULL FROM generate_series(50000, 50100) i")
    source.execute("UPDATE lines SET line = line + 10 WHERE order_id < 100; DELETE FROM lines WHERE order_id = 7; DELETE FROM orders WHERE id = 7")
    wait_for(lambda: _same(source, there), 60, "the changes")
    check(source, there)


def _same(source, there) -> bool:
    try:
        check(source, there)
    except AssertionError:
        return False
    return True


def test_proven_moved_and_completed(source, migration, into):
    there = into()
    source.execute(ORDERS.format(rows=2000))
    m = begin(migration, source, there, cutover={"max_pause": "20s", "one_way": True}, heartbeat="1s")
    m.start()
    m.wait_phase("synced")
    reply = m.call("verify", "--json").json
    assert reply["rows_compared"] == 8000 and reply["rows_differing"] == 0
    there.session.execute(f"UPDATE {there.name}.orders SET note = 'by somebody' WHERE id = 17")
    there.session.execute(f"DELETE FROM {there.name}.lines WHERE order_id = 18 AND line = 2")
    there.session.execute(f"INSERT INTO {there.name}.lines (order_id, line, what) VALUES (18, 99, 'surplus')")
    reply = m.call("verify", "--json", expect=4).json
    assert reply["rows_differing"] == 3, reply
    m.call("cutover", expect=3)
    m.call("verify", "--repair")
    check(source, there)
    m.call("cutover")
    assert m.status()["writes"] == "target"
    m.call("rollback", expect=3)
    m.call("complete")
    m.wait_exit()
    if "midflight" in [r[0] for r in there.session.execute("SELECT keyspace_name FROM system_schema.keyspaces")]:
        for table in ("settings", "epoch"):  # kept by other tests' migrations on the same cluster
            assert m.config["migration"] not in [r[0] for r in there.session.execute(f"SELECT migration FROM midflight.{table}")], table
    check(source, there)

