"""Query tables (`map:`): tables of the target that are made of a source's table, kept right while it changes. PostgreSQL into PostgreSQL."""
from zlib import crc32

import pytest

from harness.midflight import DIFFERENT, OK
from harness.servers import wait_for

ORDERS = """
CREATE TABLE customers (id int PRIMARY KEY, name text, city text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int, placed_at timestamptz NOT NULL, total numeric(12,2), note text);
INSERT INTO customers SELECT i, 'customer ' || i, 'city ' || i % 7 FROM generate_series(1, 50) i;
INSERT INTO orders SELECT i, i % 50 + 1, timestamptz '2026-01-01 00:00+00' + i * interval '1 minute', i * 1.5,
                          CASE WHEN i % 3 = 0 THEN repeat(md5(i::text), 200) END FROM generate_series(1, 3000) i;
"""
MAP = [
    {"table": "public.orders", "to": "orders_by_customer", "partition": ["customer_id"], "clustering": ["placed_at desc", "id"]},
    {"table": "public.orders", "to": "orders_by_id", "partition": ["order_id"],
     "columns": [{"name": "id", "as": "order_id"}, "customer_id", {"name": "total", "as": "amount", "type": "numeric(20,5)"}, {"name": "origin", "value": "shop"}]},
]
BY_CUSTOMER = "SELECT id, customer_id, placed_at, total, note FROM orders WHERE customer_id IS NOT NULL ORDER BY id"
BY_ID = "SELECT id, customer_id, total, 'shop' FROM orders ORDER BY id"


@pytest.fixture
def m(source, target, migration):
    source.execute(ORDERS)
    return migration(source, target, config={"map": MAP})


def equal(source, target):
    return (target.rows("SELECT id, customer_id, placed_at, total, note FROM orders_by_customer ORDER BY id") == source.rows(BY_CUSTOMER)
            and target.rows("SELECT order_id, customer_id, amount, origin FROM orders_by_id ORDER BY order_id") == source.rows(BY_ID))


def test_a_table_becomes_its_query_tables_and_they_follow(m, source, target):
    m.start()
    m.wait_phase("synced")
    assert equal(source, target)
    key = target.rows("""SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o)
                         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
                         WHERE i.indrelid = 'orders_by_customer'::regclass AND i.indisprimary ORDER BY k.o""")
    assert key == [("customer_id",), ("placed_at",), ("id",)]
    assert target.value("SELECT to_regclass('public.orders')") is None
    assert target.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'orders_by_id'::regclass AND attname = 'amount'") == "numeric(20,5)"
    assert target.value("SELECT count(*) FROM customers") == 50, "a table that is not in the map migrates as itself"
    source.execute("UPDATE orders SET customer_id = customer_id % 50 + 1 WHERE id % 5 = 0")
    source.execute("UPDATE orders SET total = total + 1, placed_at = placed_at + interval '1 day' WHERE id % 7 = 0")
    source.execute("DELETE FROM orders WHERE id % 11 = 0")
    source.execute("UPDATE orders SET id = id + 100000 WHERE id % 13 = 0")
    source.execute("INSERT INTO orders SELECT i, 1, now(), i, 'new' FROM generate_series(200001, 200100) i")
    wait_for(lambda: equal(source, target), 60, "the changes")
    assert source.value("SELECT relreplident::text FROM pg_class WHERE relname = 'orders'") == "f"
    source.execute("TRUNCATE orders")
    wait_for(lambda: target.value("SELECT (SELECT count(*) FROM orders_by_customer) + (SELECT count(*) FROM orders_by_id)") == 0,
             60, "the truncation")
    m.call("cancel")
    assert source.value("SELECT relreplident::text FROM pg_class WHERE relname = 'orders'") == "d", "what it was"


def test_a_row_with_null_in_the_key_waits_in_quarantine(m, source, target):
    source.execute("UPDATE orders SET customer_id = NULL WHERE id <= 3")
    m.start()
    m.wait_phase("synced")
    assert equal(source, target)
    kept = m.call("quarantine", "list", "--json").json["rows"]
    assert len(kept) == 3 and {row["table"] for row in kept} == {"orders_by_customer"}, kept
    assert "customer_id" in kept[0]["reason"] and "is NULL" in kept[0]["reason"]
    assert all("customer_id=?, " in row["key"] and "NULL" not in row["key"] for row in kept) and len({row["key"] for row in kept}) == 3, kept
    source.execute("UPDATE orders SET customer_id = 7 WHERE id = 1")
    source.execute("DELETE FROM orders WHERE id = 2")
    source.execute("UPDATE orders SET customer_id = NULL WHERE id = 4")
    wait_for(lambda: equal(source, target), 60, "the changes")
    kept = m.call("quarantine", "list", "--json").json["rows"]
    assert sorted("id=3" in row["key"] or "id=4" in row["key"] for row in kept) == [True, True], kept


BY_MONTH = """SELECT date_trunc('month', placed_at AT TIME ZONE 'UTC')::date, date_trunc('week', placed_at AT TIME ZONE 'UTC')::date,
                     date_trunc('hour', placed_at), id, left(note, 3), coalesce(total, -1), customer_id || ' of ' || id FROM orders ORDER BY id"""


def test_columns_that_are_made_by_expressions(source, target, migration):
    """In the key and beside it; a value that an update leaves out (a TOASTed note) is as it was."""
    source.execute(ORDERS)
    m = migration(source, target, config={"map": [
        {"table": "public.orders", "to": "by_month", "partition": ["month", "slot"], "clustering": ["hour desc", "id"],
         "columns": [{"name": "month", "expr": "month(placed_at)"}, {"name": "slot", "expr": "bucket(id, 8)"}, {"name": "week", "expr": "week(placed_at)"},
                     {"name": "hour", "expr": "hour(placed_at)"}, "id", {"name": "short", "expr": "left(note, 3)"},
                     {"name": "total", "expr": "coalesce(total, '-1')"}, {"name": "label", "expr": "concat(customer_id, ' of ', id)"}]}]})
    m.start()
    m.wait_phase("synced")

    def same():
        return target.rows("SELECT month, week, hour, id, short, total, label FROM by_month ORDER BY id") == source.rows(BY_MONTH)

    assert same()
    assert dict(target.rows("SELECT id, slot FROM by_month")) == {n: crc32(str(n).encode()) % 8 for n in range(1, 3001)}
    source.execute("UPDATE orders SET placed_at = placed_at + interval '40 days' WHERE id % 3 = 0; UPDATE orders SET total = NULL WHERE id % 5 = 0;"
                   "UPDATE orders SET customer_id = NULL, note = 'a' WHERE id % 7 = 0; DELETE FROM orders WHERE id % 11 = 0;"
                   "UPDATE orders SET id = id + 100000 WHERE id % 13 = 0; UPDATE orders SET total = 1 WHERE id % 17 = 0")
    wait_for(same, 60, "the changes")
    source.execute("UPDATE orders SET placed_at = 'infinity' WHERE id = 1")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, what="a row of no month in quarantine")
    assert "no calendar has it" in m.call("quarantine", "list", "--json").json["rows"][0]["reason"]
    source.execute("UPDATE orders SET placed_at = now() WHERE id = 1")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, what="an empty quarantine")
    wait_for(same, 60, "the last change")
    m.call("verify")
    target.execute("UPDATE by_month SET label = 'x' WHERE id = 2")
    m.call("verify", expect=DIFFERENT)


def test_killed_at_any_moment_it_goes_on(m, source, target):
    """The source's table is written to all the while; every start goes on where the target says."""
    step = 0

    def write():
        nonlocal step
        step += 1
        source.execute(f"UPDATE orders SET customer_id = (customer_id + {step}) % 50 + 1, total = total + 1 WHERE id % 40 = {step % 40}")
        source.execute(f"DELETE FROM orders WHERE id = {step * 17}")
        source.execute(f"INSERT INTO orders VALUES ({500000 + step}, {step % 50 + 1}, now(), {step}, repeat('x', 5000))")

    for fault in ("copy.chunk:1=kill", "apply.commit:2=kill", "apply.committed:3=kill", "spool.synced:4=kill"):
        m.start(fault=fault)
        wait_for(lambda: (write(), not m.running())[1], 90, f"the end by {fault}")
    m.start()
    for _ in range(20):
        write()
    m.wait_phase("synced")
    wait_for(lambda: equal(source, target), 60, "both sides to be in step")


def test_a_column_the_map_needs_is_dropped(m, source, target):
    m.start()
    m.wait_phase("synced")
    source.execute("ALTER TABLE orders ADD extra int")
    source.execute("ALTER TABLE orders DROP total")
    source.execute("INSERT INTO orders VALUES (900001, 1, now(), 'after', 1)")
    assert m.wait_exit(90) != OK
    assert "has no column" in m.log_text() and '\\"total\\"' in m.log_text(), m.tail()


def test_what_the_map_asks_is_said_before_anything_is_made(m, source, target):
    found = m.call("check", "--json", expect=None).json["findings"]
    rows = [f for f in found if f["code"] == "map-old-rows"]
    assert [f["object"] for f in rows] == ["public.orders"] and rows[0]["severity"] == "note", found
    assert any(f["code"] == "one-way" for f in found)
    ddl = m.call("plan").out
    assert "no way back" in ddl and "cutover.one_way: true" in ddl and "midflight rollback" not in ddl and "reverse stream" not in ddl, ddl
    assert "orders_by_customer" in ddl and "orders_by_id" in ddl
    m.configure(map=[{"table": "public.orders", "to": "q", "partition": ["custmer_id", "id"]}])
    blocked = m.call("check", "--json", expect=3).json["findings"]
    assert any(f["code"] == "map" and 'did you mean \\"customer_id\\"' in str(f["reason"]).replace('"', '\\"') for f in blocked), blocked
    assert target.value("SELECT to_regclass('public.q')") is None


def test_writes_do_not_move_by_accident_and_do_not_come_back(m):
    m.start()
    m.wait_phase("synced")
    said = m.call("cutover", expect=3)
    assert "cannot come back" in said.err + said.out


def test_both_sides_are_compared_and_mended(m, source, target):
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    target.execute("DELETE FROM orders_by_customer WHERE id = 7; UPDATE orders_by_id SET amount = 0 WHERE order_id = 9;"
                   "INSERT INTO orders_by_customer VALUES (1, 3, now(), 0, 'nobody has it')")
    assert m.call("verify", "--json", expect=DIFFERENT).json["rows_differing"] == 3
    m.call("verify", "--repair", expect=None)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    assert equal(source, target)


def test_writes_move_one_way_when_that_is_said(m, source, target):
    m.configure(cutover={"one_way": True})
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    m.call("cutover")
    assert m.status()["writes"] == "target"
    assert equal(source, target)
    target.execute("INSERT INTO orders_by_id VALUES (777777, 1, 1, 'shop')")
    assert "no way back" in (lambda r: r.err + r.out)(m.call("rollback", expect=3))
    m.call("complete")
    assert source.value("SELECT relreplident::text FROM pg_class WHERE relname = 'orders'") == "d"


def test_of_a_mysql_source(mysql_database, target, migration):
    """Whole old rows are in its log anyway, and its names go to the target's default schema."""
    source = mysql_database("source", "8.0")
    source.execute("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int, placed_at datetime NOT NULL, total decimal(12,2), note text)")
    source.execute("INSERT INTO orders VALUES " + ", ".join(f"({i}, {i % 5 + 1}, '2026-01-01 00:00:{i % 60:02}', {i}.5, '{'x' * (i % 9)}')" for i in range(500)))
    m = migration(source, target, config={"map": [
        {"table": "orders", "to": "by_customer", "partition": ["customer_id"], "clustering": ["placed_at desc", "id"]},
        {"table": "orders", "to": "narrow", "columns": ["id", "total"]}]})

    def same():
        return (sorted((a, b, str(d)) for a, b, d in target.rows("SELECT id, customer_id, total FROM by_customer"))
                == sorted((a, b, str(d)) for a, b, d in source.rows("SELECT id, customer_id, total FROM orders"))
                and target.value("SELECT count(*) || ' ' || sum(total) FROM narrow") == "%d %s" % source.rows("SELECT count(*), sum(total) FROM orders")[0])
    m.start()
    m.wait_phase("synced")
    assert same()
    source.execute("UPDATE orders SET customer_id = customer_id + 1 WHERE id % 3 = 0")
    source.execute("DELETE FROM orders WHERE id % 7 = 0")
    source.execute("UPDATE orders SET id = id + 1000, total = total + 1 WHERE id % 11 = 0")
    wait_for(same, 60, "the changes")
    m.call("cancel")
