"""TRUNCATE of tables that others refer to which the stream never names."""
from harness.servers import wait_for

SCHEMA = """CREATE TABLE customers (id int PRIMARY KEY, v text); INSERT INTO customers SELECT i, i FROM generate_series(1, 10) i;
CREATE TABLE orders (id int, d date, c int REFERENCES customers, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY RANGE (id);
CREATE TABLE orders_2_x PARTITION OF orders_2 DEFAULT;
CREATE TABLE nothing (id int, c int REFERENCES customers) PARTITION BY LIST (id);
CREATE UNLOGGED TABLE carts (id int PRIMARY KEY, c int REFERENCES customers);
CREATE UNLOGGED TABLE "Cart é" (cart int REFERENCES carts);
INSERT INTO orders VALUES (1, '2026-02-02', 1), (2, '2027-02-02', 2); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)"""


def through(source, target, n):
    source.execute(f"INSERT INTO other VALUES ({n})")
    wait_for(lambda: target.value(f"SELECT count(*) FROM other WHERE id = {n}") == 1, 60, "the row after it")


def test_what_the_stream_does_not_name_is_emptied_with_the_rest(source, target, migration):
    source.execute(SCHEMA)
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    target.execute("SET session_replication_role = replica; INSERT INTO carts VALUES (1, 1)")
    source.execute("TRUNCATE customers CASCADE")
    through(source, target, 2)
    assert [target.value(f'SELECT count(*) FROM {t}') for t in ("customers", "orders", "carts")] == [0, 0, 0]
    assert target.value("SELECT count(*) FROM other") == 2
    m.call("verify")


def test_tables_that_do_not_migrate_are_left_alone(source, target, migration):
    source.execute(SCHEMA.replace("UNLOGGED ", ""))
    m = migration(source, target, config={"tables": {"include": ["public.customers", "public.other"]}})
    m.start()
    m.wait_phase("synced")
    target.execute("CREATE TABLE invoices (id int PRIMARY KEY, c int REFERENCES customers); INSERT INTO invoices VALUES (1, 1)")
    source.execute("TRUNCATE customers CASCADE")
    through(source, target, 2)
    assert target.value("SELECT count(*) FROM customers") == 0 and target.value("SELECT count(*) FROM invoices") == 1
    m.call("verify")
