"""One table of PostgreSQL as several query tables of Cassandra, each with a partition of its own."""
from zlib import crc32

from harness.casscompare import compare_rows, rows_of
from harness.cassrun import begin
from harness.servers import wait_for

from test_cass_migration import ORDERS

MAP = [{"table": "public.orders", "to": "orders_by_customer", "partition": ["customer"], "clustering": ["id"],
        "columns": [{"name": "customer"}, {"name": "id"}, {"name": "total", "as": "amount"}, {"name": "note"}]},
       {"table": "public.orders", "to": "orders_by_id", "partition": ["id"]}]


def same(source, there) -> str:
    """"" when every query table holds what its table's rows make."""
    with source.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT customer, id, total, note FROM orders")
        by_customer = compare_rows([tuple(r) for r in cursor.fetchall()],
                                   rows_of(there.session, there.name, "orders_by_customer", ["customer", "id", "amount", "note"]),
                                   ["customer", "id", "amount", "note"], ["customer", "id"])
        cursor.execute("SELECT id, customer, placed, total, note, paid FROM orders")
        columns = ["id", "customer", "placed", "total", "note", "paid"]
        by_id = compare_rows([tuple(r) for r in cursor.fetchall()], rows_of(there.session, there.name, "orders_by_id", columns), columns, ["id"])
    return "".join(f"{name}: {v}" for name, v in (("by customer", by_customer), ("by id", by_id)) if not v.equal)


def test_partitions_of_a_day_and_a_bucket(source, migration, into):
    """What keeps a partition from growing for ever, as the guide shows it."""
    there = into()
    source.execute(ORDERS.format(rows=1500))
    m = begin(migration, source, there, map=[
        {"table": "public.orders", "to": "orders_by_day", "partition": ["day", "bucket"], "clustering": ["placed desc", "id"],
         "columns": ["*", {"name": "day", "expr": "day(placed)"}, {"name": "bucket", "expr": "bucket(id, 4)"}]}])
    m.start()
    m.wait_phase("synced")

    def equal():
        with source.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id, (placed AT TIME ZONE 'UTC')::date, total, note FROM orders")
            rows = [(n, day, crc32(str(n).encode()) % 4, total, note) for n, day, total, note in cursor.fetchall()]
        columns = ["id", "day", "bucket", "total", "note"]
        return compare_rows(rows, rows_of(there.session, there.name, "orders_by_day", columns), columns, ["id"]).equal

    assert equal()
    source.execute("UPDATE orders SET placed = placed + interval '3 days' WHERE id % 4 = 0; UPDATE orders SET note = 'n' WHERE id % 5 = 0;"
                   "DELETE FROM lines; DELETE FROM orders WHERE id % 7 = 0; UPDATE orders SET id = id + 10000 WHERE id < 50")
    wait_for(equal, 60, "the changes")
    assert m.call("verify", "--json").json["rows_compared"] > 1200


def test_query_tables_follow(source, migration, into):
    there = into()
    source.execute(ORDERS.format(rows=1500))
    m = begin(migration, source, there, map=MAP)
    m.start()
    m.wait_phase("synced")
    assert not same(source, there)
    source.execute("UPDATE orders SET customer = customer + 1 WHERE id % 4 = 0; UPDATE orders SET note = NULL, total = 0 WHERE id % 5 = 0;"
                   "DELETE FROM lines; DELETE FROM orders WHERE id % 7 = 0; UPDATE orders SET id = id + 10000 WHERE id < 50;"
                   "INSERT INTO orders SELECT i, 5, now(), NULL, 'new', true FROM generate_series(20000, 20050) i")
    wait_for(lambda: not same(source, there), 60, "the changes")
    reply = m.call("verify", "--json").json
    assert reply["rows_differing"] == 0 and reply["rows_compared"] > 2000
    there.session.execute(f"DELETE FROM {there.name}.orders_by_customer WHERE customer = 5 AND id = 20001")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 1
    m.call("verify", "--repair")
    assert not same(source, there)
