"""Sequences go on at the cutover where they were, also those that a migrated table uses without owning them."""

def test_sequences_that_defaults_use_are_set(source, target, migration):
    with source.connect() as c:
        c.execute("CREATE SEQUENCE order_no; CREATE TABLE orders (id bigint DEFAULT nextval('order_no') PRIMARY KEY, v text)")
        c.execute("CREATE SEQUENCE part_no; CREATE TABLE part (id bigint DEFAULT nextval('part_no') PRIMARY KEY) PARTITION BY RANGE (id)")
        c.execute("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100000)")
        c.execute("CREATE TABLE other (id serial PRIMARY KEY); CREATE SEQUENCE other_no")
        c.execute("INSERT INTO orders (v) SELECT 'x' FROM generate_series(1, 500); INSERT INTO part SELECT FROM generate_series(1, 70)")
        for i in range(450):  # more than are read by one statement
            c.execute(f"CREATE SEQUENCE orders_{i} INCREMENT BY -1; SELECT nextval('orders_{i}'), nextval('orders_{i}')")
    m = migration(source, target, config={"tables": {"include": ["public.orders*", "public.part"]}})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    assert target.value("INSERT INTO orders (v) VALUES ('new') RETURNING id") == 501
    assert target.value("INSERT INTO part DEFAULT VALUES RETURNING id") == 71
    assert target.value("SELECT count(*) FROM pg_sequences WHERE sequencename ~ '^orders_[0-9]+$' AND last_value = -2") == 450


def test_one_that_may_not_be_read_is_named_although_its_table_does_not_own_it(own_server, target, migration):
    server = own_server(15)
    with server.connect() as c:
        c.execute("CREATE SEQUENCE order_no; CREATE TABLE orders (id bigint DEFAULT nextval('order_no') PRIMARY KEY); CREATE SEQUENCE free")
        c.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'; GRANT SELECT ON orders TO weak")
    m = migration(server.url(user="weak", password="weak"), target, config={"tables": {"include": ["public.orders"]}})
    found = {f["object"]: f for f in m.call("check", "--json", expect=3).json["findings"] if f["code"] == "sequence-select"}
    assert list(found) == ["sequence public.order_no"]
    with server.connect() as c:
        c.execute(found["sequence public.order_no"]["remedy"])
