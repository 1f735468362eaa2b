"""Keys of types whose operators are an extension's, not the server's: chunks, digests, rows by key, a whole migration."""
import pytest

from harness.pgread import Read
from harness.servers import wait_for

ROWS = 20000
MIXED = "CASE WHEN i % 2 = 0 THEN upper('key' || md5(i::text)) ELSE 'key' || md5(i::text) END"
TABLES = {
    "citext": ("CREATE EXTENSION citext", "k citext PRIMARY KEY", MIXED),
    "ltree": ("CREATE EXTENSION ltree", "k ltree PRIMARY KEY", "('top.a' || i)::ltree"),
    "domain": ("CREATE EXTENSION citext; CREATE DOMAIN mail AS citext CHECK (VALUE <> '')", "k mail PRIMARY KEY", MIXED),
    "first": ("CREATE EXTENSION citext", "k citext, n int, PRIMARY KEY (k, n)", f"substr({MIXED}, 1, 5), i"),
    "second": ("CREATE EXTENSION citext", "n int, k citext, PRIMARY KEY (n, k)", f"i / 1000, {MIXED}"),
    "schema": ('CREATE SCHEMA "an ""odd"" one"; CREATE EXTENSION citext SCHEMA "an ""odd"" one"', 'k "an ""odd"" one".citext PRIMARY KEY', MIXED),
    "enum": ("CREATE TYPE letter AS ENUM ('z', 'a')", "k letter, n int, PRIMARY KEY (k, n)", "CASE WHEN i % 2 = 0 THEN 'a' ELSE 'z' END::letter, i"),
}


def make(database, name):
    extra, columns, values = TABLES[name]
    with database.connect() as c:
        c.execute(extra)
        c.execute(f"CREATE TABLE t ({columns.replace(', PRIMARY', ', v text, PRIMARY') if ', PRIMARY' in columns else columns + ', v text'})")
        c.execute(f"INSERT INTO t SELECT {values}, repeat('x', 20) FROM generate_series(1, {ROWS}) i")
        c.execute("ANALYZE t")


@pytest.mark.parametrize("name", TABLES)
def test_chunks_go_by_the_order_of_the_key(name, source):
    make(source, name)
    r = Read(source.url())
    try:
        (table,) = r.catalog()["tables"]
        r.reader()
        chunks = r.plan(table="public.t", rows=1000, bytes=1 << 40)["chunks"]
        assert len(chunks) >= 19
        sizes = [r.copy(table="public.t", chunk=c)["rows"] for c in chunks]
        assert sum(sizes) == ROWS and max(sizes) < 2000
        assert sum(r.digest(table="public.t", chunk=c)["rows"] for c in chunks) == ROWS
        pieces = r.split(table="public.t", chunk=chunks[5], n=4)["chunks"]
        assert len(pieces) == 4 and sum(r.digest(table="public.t", chunk=p)["rows"] for p in pieces) == sizes[5]
        # The index finds them: a chunk reads its own rows and not the table.
        r.reader()  # the old session tells its figures when it ends
        wait_for(lambda: source.value("SELECT idx_scan > 0 FROM pg_stat_user_tables WHERE relname = 't'"), 60, "statistics")
        assert source.value("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 't'") < len(chunks) / 2
        at = [[c["name"] for c in table["columns"]].index(k) for k in table["key"]]
        rows = r.rows(table="public.t", chunk=chunks[3])["rows"]
        keys = [[row[i] for i in at] for row in rows]
        found = r.find(table="public.t", keys=keys)["rows"]
        assert sorted(map(str, found)) == sorted(map(str, rows))
    finally:
        r.close()


@pytest.mark.parametrize("name", ["citext", "ltree", "second"])
def test_a_migration_of_such_keys(name, source, target, migration):
    make(source, name)
    m = migration(source, target, config={"copy": {"chunk_rows": 1000, "jobs": 2}})
    m.start()
    m.wait_phase("synced")
    assert target.value("SELECT sum(rows) FROM midflight.chunk") == ROWS
    source.execute("UPDATE t SET v = 'new' WHERE v = repeat('x', 20) AND length(k::text) % 2 = 0; DELETE FROM t WHERE length(k::text) % 3 = 0")
    target.execute("SET session_replication_role = replica; UPDATE t SET v = 'bent' WHERE k = (SELECT k FROM t ORDER BY k DESC LIMIT 1)")
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
