"""A schema of PostgreSQL or MySQL is made in a real Apache Cassandra, and what has no like there is told."""
from contextlib import closing

import pytest

from harness.pgdrive import Drive, Refused
from harness.pgread import Read
from test_conversion import BLOCKER, MYSQL, POSTGRES, STAGES, mysql_script, plan, run_with_kills

KEYLESS = ["*.nokey"]


class Keyspace:
    """A keyspace as what is migrated into."""

    def __init__(self, server, name: str):
        self.server, self.name = server, name

    def url(self, **options) -> str:
        return self.server.url(self.name, **options)

    def cql(self, text: str, *values):
        return self.server.cql(text.replace("KS", self.name), values or None)

    def columns(self, table: str) -> dict:
        return {r.column_name: r.type for r in self.cql(f"SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = 'KS' AND table_name = '{table}'")}

    def key(self, table: str) -> list:
        rows = self.cql("SELECT column_name, kind, position, clustering_order FROM system_schema.columns"
                        f" WHERE keyspace_name = 'KS' AND table_name = '{table}'")
        kinds = {"partition_key": 0, "clustering": 1}
        return [(r.column_name, r.kind, r.clustering_order) for r in sorted((r for r in rows if r.kind in kinds), key=lambda r: (kinds[r.kind], r.position))]

    def tables(self) -> set:
        return {r.table_name for r in self.cql("SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'KS'")}


@pytest.fixture
def into(keyspace):
    return lambda **named: Keyspace(*keyspace(**named))


@pytest.fixture
def drive(tmp_path):
    made = []

    def make(source, target, **named):
        made.append(Drive(target.url(), other=source.url(), state=tmp_path, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_postgres(database, into, drive):
    source, target = database("source"), into()
    source.execute(POSTGRES)
    source.execute('ALTER TABLE "Order ""x""" RENAME TO "Orders"')
    d = drive(source, target)
    with pytest.raises(Refused, match="nokey cannot be made in Cassandra: it has no key"):
        d("schema", stage="before")
    check = d("check", exclude=KEYLESS)["findings"]
    planned = d("schema", plan=True, exclude=KEYLESS)["plan"]
    assert target.tables() == set() and "CREATE TABLE" in planned
    found = {s: d("schema", stage=s, exclude=KEYLESS)["findings"] for s in STAGES}

    assert target.columns("customers") == {
        "id": "bigint", "email": "text", "name": "text", "mood": "text", "active": "boolean", "born": "date", "created": "text", "local": "text", "t": "time",
        "balance": "decimal", "any_number": "decimal", "ratio": "float", "big": "double", "doc": "text", "pic": "blob", "u": "uuid", "net": "text",
        "tags": "text", "bits": "text", "long_bits": "text", "code": "text", "p": "int", "note": "text", "expr": "int"}
    assert target.key("customers") == [("id", "partition_key", "none")]
    assert target.key("lines") == [("order_id", "partition_key", "none"), ("line_no", "clustering", "asc"), ("sku", "clustering", "asc")]
    assert target.key("ukey") == [("a", "partition_key", "none"), ("b", "clustering", "asc")]
    assert target.columns("Orders")["select"] == "int"
    assert target.cql("SELECT comment FROM system_schema.tables WHERE keyspace_name = 'KS' AND table_name = 'customers'")[0].comment == 'who buys; it\'s "us"'

    by_code = {}
    for f in check:
        by_code.setdefault(f["code"], []).append(f["object"] + " " + f["reason"])
    said = lambda code, part: any(part in r for r in by_code.get(code, []))
    assert said("conversion-index", "customers_name (name, born)") and said("conversion-unique", "customers_email (email)")
    assert said("conversion-foreign-key", "fk to") and said("conversion-counter", "customers.id") and said("conversion-default", "customers.mood")
    assert said("conversion-generated", "total") and said("conversion-left", "view public.v") and said("conversion-not-null", "customers.email")
    assert said("conversion-comment", "customers.email") and said("partition-key", "(order_id)") and said("conversion-type", "created")
    assert not [f for f in check if f["severity"] == BLOCKER], [f for f in check if f["severity"] == BLOCKER]
    told = {(f["code"], f["object"], f["reason"]) for s in STAGES for f in found[s]}
    assert told <= {(f["code"], f["object"], f["reason"]) for f in check}  # nothing that the check did not say

    # Every statement that was shown is one that the server takes, and what is there is left alone.
    assert d("schema", plan=True, exclude=KEYLESS)["plan"].strip() == ""
    before = {t: target.columns(t) for t in target.tables()}
    for stage in STAGES:
        d("schema", stage=stage, exclude=KEYLESS)
    assert {t: target.columns(t) for t in target.tables()} == before
    target.cql("DROP TABLE KS.customers")
    for statement in planned.split(";\n\n"):
        if '"customers"' in statement:
            target.cql(statement)
    assert target.columns("customers") == before["customers"]

    source.execute("ALTER TABLE lines ADD c varchar(10), ADD e int NOT NULL DEFAULT 3, ADD f numeric(5,1)")
    for _ in range(2):
        d("add_column", schema="public", table="lines", column="c")
        d("add_column", schema="public", table="lines", column="f")
    assert {target.columns("lines")[c] for c in "cf"} == {"text", "decimal"}
    with pytest.raises(Refused, match="Cassandra has no defaults"):
        d("add_column", schema="public", table="lines", column="e")


@pytest.mark.parametrize("version", ["5.7", "8.0"])
def test_mysql(mysql_database, into, drive, version):
    source, target = mysql_database("source", version), into()
    mysql_script(source, MYSQL)
    d = drive(source, target)
    leave = [*KEYLESS, "*.a_very_long*", '*."weird ta""ble"']
    check = {(f["code"], f["object"]): f for f in d("check", exclude=leave)["findings"]}
    for stage in STAGES:
        d("schema", stage=stage, exclude=leave)
    assert target.columns("customers") == {
        "id": "varint", "email": "text", "name": "text", "flag": "tinyint", "small": "int", "med": "int", "i": "bigint", "b": "varint", "y": "smallint",
        "f": "float", "d": "double", "price": "decimal", "bits": "text", "dt": "date", "zero": "date", "tm": "time", "dtm": "text", "ts": "timestamp",
        "txt": "text", "bin": "blob", "bl": "blob", "e": "text", "s": "text", "j": "text", "g": "blob", "l1": "text"}
    assert target.key("ukey") == [("y", "partition_key", "none"), ("x", "clustering", "asc")]
    # What MySQL's server does by itself is in no stream.
    assert check["cascade", f"table {source.name}.orders"]["severity"] == BLOCKER
    every = d("check")["findings"]
    blocked = {f["object"].split(".")[-1]: f["code"] for f in every if f["severity"] == BLOCKER and f["code"] != "cascade"}
    assert blocked == {"nokey": "keyless", 'weird ta"ble': "conversion-name", "a_very_long_table_name_that_has_sixty_characters_in_it_12345": "conversion-name"}


def test_a_table_that_is_there(database, into, drive):
    source, target = database("source"), into()
    source.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, doc jsonb); CREATE TABLE u (a int, b int, v text, PRIMARY KEY (a, b))")
    target.cql("CREATE TABLE KS.t (id int PRIMARY KEY, at timestamp, doc text, mine int)")  # timestamp: somebody wants it so
    target.cql("CREATE TABLE KS.u (a int, b int, v text, PRIMARY KEY ((a, b)))")
    d = drive(source, target)
    for stage in STAGES:
        d("schema", stage=stage)
    for ddl, why in [("(a int PRIMARY KEY, b int, v text)", '"b" of it is not part of its key'), ("(a int, b int, PRIMARY KEY (a, b))", '"v" of it is missing'),
                     ("(a int, b int, v int, PRIMARY KEY (a, b))", '"v" of it is a int, which does not hold a text'),
                     ("(a int, b int, c int, v text, PRIMARY KEY (a, b, c))", '"c" of it is part of its key')]:
        target.cql("DROP TABLE KS.u")
        target.cql(f"CREATE TABLE KS.u {ddl}")
        with pytest.raises(Refused, match=f"MFSHAPE.*{why}"):
            d("schema", stage="before")
        assert any(f["code"] == "conversion-schema" and f["severity"] == BLOCKER for f in d("check")["findings"])


def test_a_keyspace_that_is_not_there_is_the_owners_to_make(database, into, drive):
    source, target = database("source"), into()
    source.execute("CREATE SCHEMA sales_of_test; CREATE TABLE sales_of_test.t (id int PRIMARY KEY)")
    d = drive(source, target)
    [missing] = [f for f in d("check")["findings"] if f["code"] == "keyspace"]
    assert missing["severity"] == BLOCKER and missing["object"] == "sales_of_test"
    assert "-- CREATE KEYSPACE" in plan(d)
    with pytest.raises(Refused, match="MFKEYSPACE"):
        d("schema", stage="before")
    target.cql(missing["remedy"])
    try:
        d("schema", stage="before")
        assert not [f for f in d("check")["findings"] if f["code"] == "keyspace"]
    finally:
        target.cql("DROP KEYSPACE sales_of_test")


def test_kills_between_tables(database, into, drive):
    source, whole, killed = database("source"), into(), into()
    source.execute("".join(f"CREATE TABLE t{i} (id int PRIMARY KEY, v text);" for i in range(5)))
    for stage in STAGES:
        drive(source, whole)("schema", stage=stage)
    assert run_with_kills(drive, source, killed, "cassandra.schema_entry") == 5
    assert {t: killed.columns(t) for t in killed.tables()} == {t: whole.columns(t) for t in whole.tables()}


def test_the_catalogue(into):
    target = into()
    target.cql("CREATE TYPE KS.place (street text, number int)")
    target.cql('CREATE TABLE KS."Mixed" ("B" int, a text, "at" timestamp, s text STATIC, m map<text, frozen<place>>, PRIMARY KEY ((a, "B"), "at"))'
               ' WITH CLUSTERING ORDER BY ("at" DESC)')
    for i in range(400):
        target.cql(f"INSERT INTO KS.\"Mixed\" (a, \"B\", \"at\", s) VALUES ('k', {i}, 0, '{'x' * 100}')")
    node = target.server.nodes[0]
    node.nodetool("flush", target.name)
    node.nodetool("refreshsizeestimates")
    with closing(Read(target.url())) as r:
        def catalogue():
            [table] = [t for t in r.catalog()["tables"] if t["schema"] == target.name]
            return table
        table = catalogue()
        assert [(c["name"], c["type"]) for c in table["columns"]] == [
            ("a", "text"), ("B", "int"), ("at", "timestamp"), ("m", "map<text, frozen<place>>"), ("s", "text")]
        assert table["key"] == ["a", "B", "at"] and 300 <= table["rows"] <= 600 and table["bytes"] > 20000
        target.cql('ALTER TABLE KS."Mixed" ADD more int')
        assert catalogue()["id"] == table["id"] and catalogue()["shape"] != table["shape"]
        target.cql('DROP TABLE KS."Mixed"')
        target.cql('CREATE TABLE KS."Mixed" (a int PRIMARY KEY)')
        assert catalogue()["id"] != table["id"]
