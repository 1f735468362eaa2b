"""What `plan` proposes for an Apache Cassandra target: keys and query tables from PostgreSQL's keys and statements, measured by the data; the proposal used in a run."""
import pytest

from harness.midflight import OK
from harness.servers import wait_for

SCHEMA = """
CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int REFERENCES customers, placed_at timestamptz NOT NULL, status text NOT NULL, total numeric(12,2));
CREATE INDEX orders_customer ON orders (customer_id);
CREATE TABLE lines (order_id bigint REFERENCES orders, line int, sku text, quantity int, PRIMARY KEY (order_id, line));
CREATE TABLE "Odd" ("The Key" int PRIMARY KEY, "desc" text);
INSERT INTO customers SELECT i, 'customer ' || i, 'c' || i || '@example.com' FROM generate_series(1, 50) i;
INSERT INTO orders SELECT i, CASE WHEN i <= 1500 THEN 7 ELSE i % 50 + 1 END, timestamptz '2026-01-01 00:00+00' + i * interval '1 hour', 'status ' || i % 3, i * 1.5
  FROM generate_series(1, 3000) i;
INSERT INTO lines SELECT i, l, 'sku ' || (i + l) % 100, l FROM generate_series(1, 3000) i, generate_series(1, 2) l;
INSERT INTO "Odd" VALUES (1, 'x');
ANALYZE;
"""
STATEMENTS = [("SELECT * FROM orders WHERE customer_id = %s ORDER BY placed_at DESC LIMIT 10", 12), ("SELECT total FROM public.orders WHERE id = %s", 9),
              ("SELECT sku FROM lines WHERE order_id = %s ORDER BY line", 8), ("SELECT id FROM customers WHERE email = %s::text", 5),
              ("SELECT count(*) FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.id = %s", 3)]
EXPECTED = """  - table: public.{}
    to: {}
    partition: [{}]
"""


class Into:
    """A keyspace as what Midflight takes for a target."""

    def __init__(self, server, name: str):
        self.server, self.name = server, name

    def url(self, **options) -> str:
        return self.server.url(self.name, **options)

    def rows(self, cql: str) -> list:
        return sorted(tuple(r) for r in self.server.cql(cql.replace("KS", self.name)))

    def key(self, table: str) -> list:
        rows = self.server.cql("SELECT column_name, kind, position, clustering_order FROM system_schema.columns"
                               f" WHERE keyspace_name = '{self.name}' AND table_name = '{table}'")
        kinds = {"partition_key": 0, "clustering": 1}
        return [(r.column_name, r.clustering_order) for r in sorted((r for r in rows if r.kind in kinds), key=lambda r: (kinds[r.kind], r.position))]


@pytest.fixture
def there(keyspace):
    return Into(*keyspace())


def begin(migration, source, there, **config):
    return migration(source, there, config={"migration": there.name[-30:], **config})


def entry(plan: dict, to: str) -> dict:
    found = [t for t in plan["modelling"]["tables"] if t["to"] == to]
    assert len(found) == 1, plan["modelling"]
    return found[0]


def test_proposed_by_statements_and_used(database, there, migration):
    source = database("source", shared_preload_libraries="pg_stat_statements")
    source.execute(SCHEMA)
    source.execute("CREATE EXTENSION pg_stat_statements")
    source.execute("SELECT public.pg_stat_statements_reset()")
    for sql, calls in STATEMENTS:
        for i in range(calls):
            source.rows(sql, [i])
    m = begin(migration, source, there, tables={"exclude": ["public.Odd"]})
    file = m.dir / "map.yaml"
    plan = m.call("plan", "--json", "--write-map", str(file)).json
    text = file.read_text()
    assert text == plan["modelling"]["map"]
    assert "WITH A MAP THERE IS NO ROLLBACK" in text and any("a map costs the rollback" in n for n in plan["modelling"]["notes"])
    steps = "\n".join(plan["runbook"])
    assert "midflight rollback" in steps and "passes" in steps and "the flag midflight.writes" in steps and "reverse stream" not in steps, steps
    assert plan["rollback_pause_ms_at_most"] == 600_000
    found = m.call("check", "--json").json["findings"]
    assert [f["severity"] for f in found if f["code"] == "way-back"] == ["note"] and "one-way" not in {f["code"] for f in found}
    by_customer = entry(plan, "orders_by_customer_id")
    assert by_customer["partition"] == "customer_id" and by_customer["clustering"] == "placed_at desc, id" and by_customer["calls"] == 12
    assert any("12 calls: WHERE customer_id = ? ORDER BY placed_at DESC" in why for why in by_customer["why"])
    assert any("foreign key (customer_id) to customers" in why for why in by_customer["why"])
    assert by_customer["partitions"] == 50 and by_customer["largest_rows"] >= 1500 and by_customer["part_read"] == 1
    assert any("of all rows (a hot partition)" in w for w in by_customer["warnings"]), by_customer
    assert entry(plan, "orders")["calls"] == 9 and entry(plan, "orders")["partition"] == "id"
    assert entry(plan, "lines")["partition"] == "order_id" and entry(plan, "lines")["clustering"] == "line" and entry(plan, "lines")["calls"] == 8
    assert entry(plan, "customers_by_email")["clustering"] == "id" and entry(plan, "customers_by_email")["calls"] == 5
    assert {t["to"] for t in plan["modelling"]["tables"]} == {"customers", "customers_by_email", "orders", "orders_by_customer_id", "lines"}
    for table, to, by in (("orders", "orders_by_customer_id", "customer_id"), ("lines", "lines", "order_id"), ("customers", "customers", "id")):
        assert EXPECTED.format(table, to, by) in text, text
    assert "# 12 calls: WHERE customer_id = ? ORDER BY placed_at DESC" in text and "# WARNING: one partition has" in text

    again = m.call("plan", "--write-map", str(file), expect=2)
    assert "exists" in again.err.lower() and file.read_text() == text

    m.config_path.write_text(m.config_path.read_text() + text)
    found = {f["code"]: f["severity"] for f in m.call("check", "--json", expect=OK).json["findings"]}
    assert found["one-way"] == "warning" and "way-back" not in found
    checked = m.call("plan", "--json").json
    assert "map" not in checked["modelling"]
    assert entry(checked, "public.orders_by_customer_id")["largest_rows"] == by_customer["largest_rows"]
    assert any("hot partition" in w for w in checked["modelling"]["warnings"])
    assert "--write-map" in m.call("plan", "--write-map", str(m.dir / "other"), expect=2).err and not (m.dir / "other").exists()

    m.start()
    m.wait_phase("synced")
    assert there.key("orders_by_customer_id") == [("customer_id", "none"), ("placed_at", "desc"), ("id", "asc")]
    source.execute("UPDATE orders SET customer_id = 8 WHERE id % 10 = 0; DELETE FROM lines WHERE order_id = 5")
    orders = source.rows("SELECT id, customer_id, status FROM orders ORDER BY 1")
    wait_for(lambda: there.rows("SELECT id, customer_id, status FROM KS.orders_by_customer_id") == orders
             and there.rows("SELECT id, customer_id, status FROM KS.orders") == orders
             and there.rows("SELECT order_id, line, sku FROM KS.lines") == source.rows("SELECT order_id, line, sku FROM lines ORDER BY 1, 2"),
             60, "the changes")
    reply = m.call("verify", "--json").json
    assert reply["rows_differing"] == 0 and reply["rows_compared"] == 50 * 2 + 3000 * 2 + 5998


def test_proposed_by_keys_alone_and_warned_of(source, there, migration):
    source.execute(SCHEMA)
    source.execute("UPDATE orders SET customer_id = NULL WHERE id > 2990")
    m = begin(migration, source, there, plan={"partition_rows": 1000, "partition_bytes": "50kB"})
    plan = m.call("plan", "--json").json
    assert any("pg_stat_statements is not in this database" in n for n in plan["modelling"]["notes"]), plan["modelling"]["notes"]
    assert {t["to"] for t in plan["modelling"]["tables"]} == {"customers", "orders", "orders_by_customer_id", "lines", "Odd"}
    by_customer = entry(plan, "orders_by_customer_id")
    assert by_customer["rows_with_null"] == 10 and by_customer["why"][-1] == "index orders_customer begins with them"
    warned = "\n".join(by_customer["warnings"])
    assert "10 of the 3000 rows read have NULL" in warned and "rows, more than 1000 (plan.partition_rows)" in warned and "(plan.partition_bytes)" in warned
    assert entry(plan, "lines")["warnings"] == []
    assert '  - table: public.Odd\n    to: Odd\n    partition: ["The Key"]\n' in plan["modelling"]["map"]
    shown = m.call("plan").out
    assert "modelling" in shown and "# WARNING: 10 of the 3000 rows read have NULL" in shown
    source.execute("CREATE EXTENSION pg_stat_statements")  # made, and not loaded by the server
    assert any("pg_stat_statements cannot be read" in n for n in m.call("plan", "--json").json["modelling"]["notes"])
    # The same customers more slowly: nothing is too large yet, and it is said when it will be.
    m.configure(plan={"partition_rows": 5000, "partition_bytes": "1GB"})
    warned = "\n".join(entry(m.call("plan", "--json").json, "orders_by_customer_id")["warnings"])
    assert "nothing bounds a partition in time" in warned and "more than" not in warned


def test_a_large_table_is_read_in_part(source, there, migration):
    source.execute("CREATE TABLE big (a int, b bigint, filler text, PRIMARY KEY (a, b));"
                   "INSERT INTO big SELECT CASE WHEN i % 4 = 0 THEN 0 ELSE i % 1000 END, i, repeat('x', 200) FROM generate_series(1, 40000) i; ANALYZE big;"
                   "CREATE TABLE child (a int, b bigint, c int, PRIMARY KEY (a, b, c), FOREIGN KEY (a, b) REFERENCES big)")
    m = begin(migration, source, there, plan={"sample": "1MB", "partition_rows": 8000})
    plan = m.call("plan", "--json").json
    child = entry(plan, "child")
    assert child["partition"] == "a, b" and child["clustering"] == "c" and child["partitions"] == 0
    m.configure(map=[{"table": "public.big", "to": "big", "partition": ["a"], "clustering": ["b"]}])
    big = entry(m.call("plan", "--json").json, "public.big")
    assert 0 < big["part_read"] < 0.3
    assert 8000 < big["largest_rows"] < 12000 and "about" in big["warnings"][0], big


def test_a_mysql_source(own_mysql, there, migration):
    source = own_mysql("8.0", settings={"performance_schema": "ON"}).create_database("shop")
    source.execute("CREATE TABLE customers (id int PRIMARY KEY, name varchar(20))")
    source.execute("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int, placed_at datetime NOT NULL, total decimal(12,2),"
                   " FOREIGN KEY (customer_id) REFERENCES customers (id))")
    source.execute("INSERT INTO customers VALUES (1, 'a'), (2, 'b')")
    source.execute("INSERT INTO orders VALUES (1, 1, '2026-01-01 10:00', 1), (2, 1, '2026-01-05 10:00', 1), (3, 2, '2026-01-02 10:00', 1), (4, NULL, '2026-01-02', 1)")
    source.execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
    for i in range(6):
        source.rows(f"SELECT id, total FROM orders WHERE customer_id = {i} AND placed_at > '2026-01-01' ORDER BY placed_at DESC LIMIT 3")
    m = begin(migration, source, there)
    plan = m.call("plan", "--json").json
    by_customer = entry(plan, "orders_by_customer_id")
    assert by_customer["clustering"] == "placed_at desc, id" and by_customer["calls"] == 6, by_customer
    assert (by_customer["partitions"], by_customer["largest_rows"], by_customer["p99_rows"], by_customer["rows_with_null"]) == (2, 2, 2, 1)
    assert by_customer["warnings"] == ["1 of the 4 rows read have NULL in a column of its key: they would wait in quarantine"]
