"""Columns of another table in query tables of Cassandra (`{name: x, from: table.column, by: column}`): right after every change of either side. The judge is the
join that the source makes itself, against what Cassandra's driver reads."""
import random
import threading
from contextlib import closing

import pytest

from harness.casscompare import compare_rows, rows_of
from harness.cassrun import begin, pause
from harness.servers import commits_hang, wait_for

SCHEMA = [
    "CREATE TABLE customers (id int PRIMARY KEY, name varchar(200), city varchar(60), seen int)",
    "CREATE TABLE shops (land int, nr int, title varchar(60), PRIMARY KEY (land, nr))",
    "CREATE TABLE orders (id int PRIMARY KEY, customer_id int, land int, nr int, total int, note varchar(60))",
    "CREATE INDEX orders_customer ON orders (customer_id)",
    "CREATE INDEX orders_shop ON orders (land, nr)",
]
CUSTOMER = [{"name": "customer_name", "from": "customers.name", "by": "customer_id"}, {"name": "city", "from": "customers.city", "by": ["customer_id"]}]
SHOP = [{"name": "shop", "from": "shops.title", "by": ["land", "nr"]}]
MAP = [{"table": "orders", "to": "orders_by_id", "partition": ["id"], "columns": ["*", *CUSTOMER, *SHOP]},
       {"table": "orders", "to": "orders_by_customer", "partition": ["customer_id"], "clustering": ["total desc", "id"], "columns": ["customer_id", "total", "id", *CUSTOMER]},
       {"table": "orders", "to": "orders_plain", "partition": ["id"], "columns": ["id", "note"]}]
TRUTH = {
    "orders_by_id": (["id", "customer_id", "land", "nr", "total", "note", "customer_name", "city", "shop"], ["id"],
                     "SELECT o.id, customer_id, o.land, o.nr, total, note, name, city, title FROM orders o LEFT JOIN customers c ON c.id = customer_id "
                     "LEFT JOIN shops s ON s.land = o.land AND s.nr = o.nr"),
    "orders_by_customer": (["customer_id", "total", "id", "customer_name", "city"], ["customer_id", "total", "id"],
                           "SELECT customer_id, total, o.id, name, city FROM orders o LEFT JOIN customers c ON c.id = customer_id WHERE customer_id IS NOT NULL AND total IS NOT NULL"),
    "orders_plain": (["id", "note"], ["id"], "SELECT id, note FROM orders"),
}
# Each is one transaction: what happens to children, to parents, and to both.
CHANGES = [
    ["INSERT INTO orders VALUES (1001, 3, 1, 2, 10, 'new')"],
    ["INSERT INTO orders VALUES (1002, NULL, NULL, 2, 10, 'of nobody'), (1003, 777, 9, 9, 10, 'of somebody who is not there')"],
    ["UPDATE orders SET note = 'changed' WHERE id % 3 = 0"],
    ["UPDATE orders SET total = total + 5 WHERE id % 5 = 0"],
    ["UPDATE orders SET customer_id = customer_id % 20 + 1 WHERE id % 7 = 0"],
    ["UPDATE orders SET customer_id = NULL WHERE id % 11 = 0"],
    ["UPDATE orders SET id = id + 5000 WHERE id IN (5, 6, 7)"],
    ["UPDATE customers SET name = 'another', city = NULL WHERE id IN (3, 4)"],
    ["UPDATE customers SET seen = 1"],
    ["UPDATE shops SET title = 'moved' WHERE land = 1"],
    ["INSERT INTO customers VALUES (777, 'late', 'here', 0)"],
    ["DELETE FROM customers WHERE id = 8"],
    ["UPDATE customers SET id = 800 WHERE id = 9"],
    ["UPDATE customers SET id = 9 WHERE id = 10"],
    ["INSERT INTO customers VALUES (900, 'both', 'new', 0)", "INSERT INTO orders VALUES (1900, 900, 1, 1, 1, 'both')", "UPDATE customers SET name = 'both again' WHERE id = 900"],
    ["UPDATE customers SET name = 'before' WHERE id = 12", "UPDATE orders SET customer_id = 12 WHERE id IN (20, 21)", "DELETE FROM orders WHERE id = 22",
     "UPDATE customers SET name = 'after' WHERE id = 12"],
    ["DELETE FROM orders WHERE id % 13 = 0"],
    ["DELETE FROM shops WHERE land = 2"],
]


def seed(source, customers: int = 20, orders: int = 400, nulls: bool = False) -> None:
    for statement in SCHEMA:
        source.execute(statement)
    source.execute("INSERT INTO customers VALUES " + ", ".join(f"({i}, 'customer {i}', 'city {i % 7}', 0)" for i in range(1, customers + 1)))
    source.execute("INSERT INTO shops VALUES " + ", ".join(f"({a}, {b}, 'shop {a}-{b}')" for a in (1, 2, 3) for b in (1, 2, 3)))
    for at in range(1, orders + 1, 1000):
        source.execute("INSERT INTO orders VALUES " + ", ".join(
            f"({i}, {'NULL' if nulls and i % 17 == 0 else i % (customers + 3)}, {i % 4}, {i % 3 + 1}, {i % 50}, 'note {i}')" for i in range(at, min(at + 1000, orders + 1))))


def transaction(source, statements: list) -> None:
    with closing(source.connect()) as connection:
        cursor = connection.cursor()
        for statement in ["BEGIN", *statements, "COMMIT"]:
            cursor.execute(statement)


def wrong(source, there, tables=TRUTH) -> str:
    found = {name: compare_rows(source.rows(query), rows_of(there.session, there.name, name, columns), columns, key)
             for name, (columns, key, query) in tables.items()}
    return "; ".join(f"{name}: {verdict}" for name, verdict in found.items() if not verdict.equal)


def arrived(source, there, what: str = "the changes", tables=TRUTH) -> None:
    last = [""]

    def look():
        last[0] = wrong(source, there, tables)
        return not last[0]
    try:
        wait_for(look, 90, what, interval=0.2)
    except TimeoutError:
        raise AssertionError(f"{what}: {last[0]}") from None


@pytest.fixture(params=["postgres", "mysql", "mariadb"])
def source_of(request, database, mysql_database):
    if request.param == "postgres":
        return database("source", 15)
    return mysql_database("source", "8.0" if request.param == "mysql" else "mariadb")


def proven(m, source) -> None:
    """Nothing differs but rows that wait in quarantine because their key here would have a NULL."""
    waiting = source.value("SELECT count(*) FROM orders WHERE customer_id IS NULL")
    reply = m.call("verify", "--json", expect=4 if waiting else 0).json
    assert reply["rows_differing"] == waiting, reply


def test_every_change_of_either_side_arrives(source_of, migration, into):
    source, there = source_of, into()
    seed(source, nulls=True)
    m = begin(migration, source, there, map=MAP)
    m.start()
    m.wait_phase("synced")
    assert not wrong(source, there)
    for change in CHANGES:
        transaction(source, change)
        arrived(source, there, str(change))
    proven(m, source)
    source.execute("TRUNCATE TABLE shops")
    arrived(source, there, "TRUNCATE of a parent")
    source.execute("TRUNCATE TABLE orders")
    arrived(source, there, "TRUNCATE of the children")


def test_a_wrong_value_of_a_parent_is_found_and_mended(source, migration, into):
    there = into()
    seed(source)
    m = begin(migration, source, there, map=MAP, cutover={"max_pause": "20s", "one_way": True}, heartbeat="1s")
    assert "customer_name" in m.call("plan").out
    m.start()
    m.wait_phase("synced")
    there.execute(f"UPDATE {there.name}.orders_by_id SET city = 'nowhere' WHERE id = 4")
    there.execute(f"DELETE customer_name FROM {there.name}.orders_by_id WHERE id = 5")
    there.execute(f"INSERT INTO {there.name}.orders_by_id (id, city) VALUES (99999, 'surplus')")
    there.execute(f"DELETE FROM {there.name}.orders_by_customer WHERE customer_id = 6")
    missing = source.value("SELECT count(*) FROM orders WHERE customer_id = 6")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 3 + missing
    m.call("verify", "--repair")
    assert not wrong(source, there)
    source.execute("UPDATE customers SET city = 'moved' WHERE id IN (4, 5)")
    source.execute("INSERT INTO orders VALUES (3000, 4, 1, 1, 1, 'last')")
    m.call("cutover")
    assert m.status()["writes"] == "target" and not wrong(source, there)


def test_parents_that_do_not_migrate(source, migration, into):
    there = into()
    seed(source)
    m = begin(migration, source, there, map=MAP, map_only=True)
    m.start()
    m.wait_phase("synced")
    assert not wrong(source, there)
    for change in CHANGES:
        transaction(source, change)
    arrived(source, there)
    assert not [r for r in there.rows(f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{there.name}'") if r[0] in ("customers", "shops", "orders")]
    assert source.value("SELECT relreplident::text FROM pg_class WHERE relname = 'customers'") == "f"
    m.call("cancel")
    assert source.value("SELECT relreplident::text FROM pg_class WHERE relname = 'customers'") == "d", "what it was"


class Load:
    """Both sides are written to by several clients, each in transactions of its own; what they wrote is known to the source alone."""

    def __init__(self, source, clients: int = 4, customers: int = 60):
        self.source, self.customers, self.over, self.done, self.error = source, customers, threading.Event(), [0] * clients, None
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(clients)]

    def _run(self, client: int) -> None:
        rng = random.Random(client)
        order = 100000 * (client + 1)
        try:
            with self.source.connect() as connection, connection.cursor() as cursor:
                while not self.over.is_set():
                    c, other = rng.randint(1, self.customers), rng.randint(1, self.customers)
                    mine = 100000 * (client + 1) + rng.randint(0, max(order - 100000 * (client + 1), 1))
                    order += 1
                    cursor.execute(rng.choice([
                        f"UPDATE customers SET name = 'v{self.done[client]} by {client}', city = 'c{rng.randint(1, 9)}' WHERE id = {c}",
                        f"UPDATE customers SET name = 'v{self.done[client]} by {client}' WHERE id = {c}",
                        f"INSERT INTO orders VALUES ({order}, {c}, {rng.randint(1, 3)}, {rng.randint(1, 3)}, {rng.randint(1, 50)}, 'new')",
                        f"INSERT INTO orders VALUES ({order}, {c}, 1, 1, 1, 'new')",
                        f"UPDATE orders SET customer_id = {other} WHERE id = {mine}",
                        f"UPDATE orders SET total = {rng.randint(1, 50)}, note = 'n{order}' WHERE id = {mine}",
                        f"UPDATE orders SET note = 'm{order}' WHERE id = {rng.randint(1, 400)}",
                        f"DELETE FROM orders WHERE id = {mine}",
                        f"DELETE FROM customers WHERE id = {c}",
                        f"INSERT INTO customers VALUES ({c}, 'again {order}', 'x', 0) ON CONFLICT DO NOTHING",
                        f"UPDATE shops SET title = 't{order}' WHERE land = {rng.randint(1, 3)} AND nr = {rng.randint(1, 3)}",
                        f"BEGIN; UPDATE customers SET city = 'in {order}' WHERE id = {c}; INSERT INTO orders VALUES ({order + 50000}, {c}, 2, 2, 2, 'both'); COMMIT",
                    ]))
                    self.done[client] += 1
                    self.over.wait(0.15)  # a busy machine must keep up, or rows are ahead of the stream for ever
        except BaseException as error:
            self.error = error

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        for t in self.threads:
            t.join(60)
        if self.error and kind is None:
            raise self.error

    def more(self, n: int) -> None:
        """Until each client has made so many more."""
        before = list(self.done)
        wait_for(lambda: self.error or all(now >= then + n for now, then in zip(self.done, before)), 120, f"{n} more transactions")


def test_a_load_on_both_sides(source, migration, into):
    there = into()
    seed(source, customers=60)
    m = begin(migration, source, there, map=MAP, copy={"chunk_bytes": "64kB", "jobs": 2})
    with Load(source) as load:
        m.start()
        m.wait_phase("synced")
        load.more(60)
        for _ in range(3):
            assert m.call("verify", "--json").json["rows_differing"] == 0
            load.more(10)
    arrived(source, there)
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_killed_again_and_again(source, migration, into):
    rng = random.Random(7)
    there = into()
    seed(source, customers=60)
    m = begin(migration, source, there, map=MAP, copy={"chunk_bytes": "64kB", "jobs": 2})
    with Load(source) as load:
        for _ in range(3):
            m.start()
            pause(rng.uniform(0.2, 2))
            m.kill()
        m.start()
        m.wait_phase("synced")
        load.more(30)
        for hit in (1, 9, 40):
            m.restart(fault=f"view.remake:{hit}=kill")
            assert m.wait_exit(60) == -9, m.tail()
        for _ in range(4):
            m.start()
            pause(rng.uniform(0.5, 2))
            m.kill()
        m.start()
        m.wait_phase("synced")
        load.more(30)
    arrived(source, there)
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_a_parent_with_many_children(source, migration, into):
    """More than are told in one go, and all parents at once: more than are remembered one by one."""
    there = into()
    seed(source, customers=20, orders=8000)
    source.execute("UPDATE orders SET customer_id = 2 WHERE id % 2 = 0")
    m = begin(migration, source, there, map=MAP, map_only=True)
    m.start()
    m.wait_phase("synced")
    source.execute("UPDATE customers SET name = 'everybody''s' WHERE id = 2")
    arrived(source, there)
    source.execute("INSERT INTO customers SELECT i, 'c' || i, repeat('x', 50), 0 FROM generate_series(1000, 120000) i")
    source.execute("UPDATE customers SET city = 'all'")
    arrived(source, there)


def sent(source) -> None:
    """The stream has been given all there is in the log now."""
    at = source.value("SELECT pg_current_wal_insert_lsn()::text")
    wait_for(lambda: source.value(f"SELECT count(*) FROM pg_stat_replication WHERE sent_lsn >= '{at}'::pg_lsn"), 60, "the stream")


def test_a_transaction_that_is_told_before_its_commit(own_server, migration, into):
    """Its rows' parents are looked up early, and change before it is committed."""
    server, there = own_server(15, name="early"), into()
    source = server.create_database("early")
    source.execute("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'")
    source.execute("SELECT pg_reload_conf()")
    seed(source)
    m = begin(migration, source, there, map=MAP)
    m.start()
    m.wait_phase("synced")
    big = source.connect(autocommit=False)
    big.execute("INSERT INTO orders SELECT i, 3, 1, 1, 1, 'early' FROM generate_series(10000, 14000) i")
    wait_for(lambda: source.value("SELECT sum(stream_count) FROM pg_stat_replication_slots"), 60, "a piece of it")
    source.execute("UPDATE customers SET name = 'changed meanwhile' WHERE id = 3")
    arrived(source, there)
    big.commit()
    arrived(source, there)
    undone = source.connect(autocommit=False)
    undone.execute("INSERT INTO orders SELECT i, 4, 1, 1, 1, 'undone' FROM generate_series(20000, 24000) i")
    undone.execute("UPDATE customers SET name = 'undone' WHERE id = 4")
    undone.rollback()
    source.execute("UPDATE customers SET name = 'at last' WHERE id = 4")
    arrived(source, there)


def test_commits_that_nobody_sees_yet(own_server, migration, into):
    """They are in the stream, and not what children would be found by: deleted ones would be written again, new ones be missed."""
    server, there = own_server(15, name="hidden"), into()
    source = server.create_database("hidden")
    seed(source)
    m = begin(migration, source, there, map=MAP)
    m.start()
    m.wait_phase("synced")

    def standby(name: str) -> None:
        source.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        source.execute("SELECT pg_reload_conf()")
        wait_for(lambda: source.value("SHOW synchronous_standby_names") == name, 60, "the setting")

    hidden = ["DELETE FROM orders WHERE id IN (3, 26)", "INSERT INTO orders VALUES (3001, 3, 1, 1, 1, 'hidden')", "UPDATE orders SET customer_id = 3 WHERE id = 5",
              "UPDATE customers SET name = 'hidden' WHERE id = 6"]
    standby("nobody")
    commits_hang(server.url())
    writers = [threading.Thread(target=source.execute, args=(statement,), daemon=True) for statement in hidden]
    for w in writers:
        w.start()
    wait_for(lambda: source.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name NOT LIKE 'midflight %'") == len(hidden), 60, "COMMITs that hang")
    source.execute("SET synchronous_commit = local; UPDATE customers SET name = 'seen at once' WHERE id = 3")
    sent(source)
    standby("")
    for w in writers:
        w.join(60)
    arrived(source, there)
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_columns_come_and_go(source, migration, into):
    """Of a parent and of a child: one that nothing here shows, and one that is."""
    there = into()
    seed(source)
    narrow = {name: TRUTH[name] for name in ("orders_by_customer", "orders_plain")}
    m = begin(migration, source, there, map=MAP[1:], map_only=True)
    m.start()
    m.wait_phase("synced")
    source.execute("ALTER TABLE customers ADD more int, DROP seen")
    source.execute("UPDATE customers SET name = 'wider', more = 1 WHERE id = 3")
    arrived(source, there, tables=narrow)
    source.execute("ALTER TABLE orders ADD more int")
    source.execute("UPDATE customers SET name = 'wider still' WHERE id = 4; UPDATE orders SET more = 2 WHERE id = 4; UPDATE customers SET city = 'y' WHERE id = 4")
    source.execute("INSERT INTO orders VALUES (2001, 3, 1, 2, 10, 'new', 1)")
    arrived(source, there, tables=narrow)
    assert m.call("verify", "--json").json["rows_differing"] == 0
    source.execute("ALTER TABLE customers DROP city")
    source.execute("UPDATE customers SET name = 'without' WHERE id = 3")
    assert m.wait_exit(90) != 0
    assert 'has no column \\"city\\"' in m.log_text(), m.tail()


def test_what_cannot_be_kept_right_is_refused(source, migration, into, target):
    there = into()
    seed(source)
    source.execute("CREATE TABLE loose (a int); CREATE TABLE big (id bigint PRIMARY KEY, v text); ALTER TABLE orders ADD boss int;"
                   "ALTER TABLE customers ADD loud text GENERATED ALWAYS AS (upper(name)) STORED")

    def refused(says: str, *columns: dict, to=None, **config):
        entry = {"table": "orders", "to": "q", "partition": config.pop("partition", ["id"]), "columns": ["*", *columns]}
        m = migration(source, to or there.url(), config={"map": [entry], **config})
        reply = m.call("check", "--json", expect=None)
        assert reply.exit not in (0, 1) and says in (reply.out + reply.err).replace('\\"', '"'), str(reply)

    refused('the source has no table customer', {"name": "n", "from": "customer.name", "by": "customer_id"})
    refused('table public.customers has no column "nam"', {"name": "n", "from": "customers.nam", "by": "customer_id"})
    refused('table public.orders has no column "customer"', {"name": "n", "from": "customers.name", "by": "customer"})
    refused('names as many columns as the key of table shops has, in its order: 2', {"name": "n", "from": "shops.title", "by": "land"})
    refused('they are of different types', {"name": "n", "from": "big.v", "by": "customer_id"})
    refused('they are of different types', {"name": "n", "from": "customers.name", "by": "note"})
    refused('has no key to refer to', {"name": "n", "from": "loose.a", "by": "customer_id"})
    refused("of its own table", {"name": "n", "from": "orders.note", "by": "boss"})
    refused("is computed by the source", {"name": "n", "from": "customers.loud", "by": "customer_id"})
    refused("cannot be another table's", {"name": "n", "from": "customers.name", "by": "customer_id"}, partition=["n", "id"])
    refused("a target that keeps the last write", {"name": "n", "from": "customers.name", "by": "customer_id"}, to=target)
    refused("does not go with dual_writes", {"name": "n", "from": "customers.name", "by": "customer_id"}, dual_writes="on")
    refused("left out by tables.include", {"name": "n", "from": "customers.name", "by": "customer_id"}, tables={"exclude": ["public.customers"]})
    source.execute("DROP INDEX orders_customer")
    m = begin(migration, source, there, map=MAP)
    found = m.call("check", "--json", expect=None).json["findings"]
    assert [f["object"] for f in found if f["code"] == "map-parent-index"] == ["public.orders"] * 2, found
