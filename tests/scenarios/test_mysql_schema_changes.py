"""The schema of a MySQL source changes while the migration runs: carried over, or told by name."""
import pytest

from harness.midflight import FAILED
from harness.servers import wait_for

QUICK = {"schema_check": "200ms"}


def synced(migration, source, target, on_ddl):
    source.execute("CREATE TABLE a (id int PRIMARY KEY, v text NOT NULL, n int); INSERT INTO a VALUES (1, 'x', 1), (2, 'y', 2)")
    m = migration(source, target, config={"on_ddl": on_ddl, **QUICK})
    m.start()
    m.wait_phase("synced")
    return m


def same(source, target, table):
    sql = f"SELECT * FROM {table} ORDER BY 1"
    wait_for(lambda: target.rows(sql) == source.rows(sql), 30, f"{table} equal on both sides")


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")])
def test_columns_come_with_the_values_their_rows_got(migration, mysql_pair):
    source, target = mysql_pair
    m = synced(migration, source, target, "additive")
    source.execute("ALTER TABLE a ADD c varchar(20) NOT NULL DEFAULT 'it''s', ADD e enum('p','q') NOT NULL, ADD d date NULL,"
                   " ADD b bit(3) DEFAULT b'101'")
    source.execute("INSERT INTO a (id, v, c, e, d) VALUES (3, 'z', 'own', 'q', '2026-01-01')")
    source.execute("UPDATE a SET n = 7 WHERE id = 1")
    wait_for(lambda: len(target.rows("SHOW COLUMNS FROM a")) == 7, 60, "the columns on the target")
    same(source, target, "a")
    assert target.rows("SELECT id, c, e FROM a WHERE id < 3 ORDER BY 1") == [(1, "it's", "p"), (2, "it's", "p")]
    m.call("verify")
    assert m.running()


@pytest.mark.parametrize("column", ["t timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP", "s int GENERATED ALWAYS AS (id + 1) STORED",
                                    "k bigint NOT NULL AUTO_INCREMENT UNIQUE"])
def test_a_column_whose_rows_have_values_of_their_own_stops_the_run(migration, mysql_pair, column):
    source, target = mysql_pair
    m = synced(migration, source, target, "additive")
    source.execute(f"ALTER TABLE a ADD {column}")
    source.execute("INSERT INTO a (id, v) VALUES (3, 'z')")
    assert m.wait_exit(60) == FAILED, m.tail()
    text = m.log_text().replace('\\"', '"')
    assert "MFDDL" in text and f'column "{column[0]}"' in text
    assert len(target.rows("SHOW COLUMNS FROM a")) == 3


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")])
def test_new_tables_come_with_their_rows_keys_and_indexes(migration, mysql_pair):
    source, target = mysql_pair
    m = synced(migration, source, target, "additive")
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY, a int, v varchar(20), UNIQUE KEY uv (v), KEY ka (a),"
                   " CONSTRAINT fa FOREIGN KEY (a) REFERENCES a (id)); INSERT INTO fresh VALUES (1, 1, 'one'), (2, 2, 'two')")
    m.wait(lambda s: any(t["name"] == f"{source.name}.fresh" and t["state"] == "live" for t in s["tables"]), 60, "the table migrated")
    source.execute("INSERT INTO fresh VALUES (3, 1, 'three')")
    same(source, target, "fresh")
    names = {r[2] for r in target.rows("SHOW INDEX FROM fresh")}
    assert names == {"PRIMARY", "uv", "ka"}
    assert target.value("SELECT COUNT(*) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
                        " AND constraint_name = 'fa'") == 1
    m.call("verify")
