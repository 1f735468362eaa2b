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
    wait_for(lambda: target.rows(sql) == source.rows(sql), 60, f"{table} equal on both sides")


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
    assert m.wait_exit() == FAILED, m.tail()
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


LOOSE = "SET SESSION sql_mode = ''; "
# Afterwards the table looks as it did, its rows have other values, and no change of a row is in the log.
MOVES = {"dropped and made again": "ALTER TABLE m DROP COLUMN note, ADD COLUMN note varchar(50) AFTER id",
         "in two statements": "ALTER TABLE m DROP COLUMN note; ALTER TABLE m ADD COLUMN note varchar(50) AFTER id",
         "names that change places": "ALTER TABLE m CHANGE a b int NULL, CHANGE b a int NULL",
         "no NULL any more": LOOSE + "ALTER TABLE m MODIFY a int NOT NULL; ALTER TABLE m MODIFY a int NULL",
         "cut and made longer": LOOSE + "ALTER TABLE m MODIFY v varchar(3); ALTER TABLE m MODIFY v varchar(50)",
         "rounded": "ALTER TABLE m MODIFY d decimal(10,1); ALTER TABLE m MODIFY d decimal(10,2)"}
NEUTRAL = ("ALTER TABLE m ADD INDEX ia (a), COMMENT = 'x', AUTO_INCREMENT = 1000", "ALTER TABLE m DROP INDEX ia, ENGINE = InnoDB, ROW_FORMAT = DYNAMIC",
           "ALTER TABLE m MODIFY a int FIRST", "ALTER TABLE m ALTER COLUMN a SET DEFAULT 5", "ALTER TABLE m MODIFY a int AFTER v",
           "CREATE INDEX ib ON m (b)", "OPTIMIZE TABLE m", "ALTER TABLE m ADD FOREIGN KEY (f) REFERENCES p (id)",
           "CREATE TABLE IF NOT EXISTS m (id int PRIMARY KEY)", "ALTER TABLE m CHANGE v v varchar(50)")
M_PAIRS = pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")


def filled(source) -> None:
    source.execute("CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2), (3); CREATE TABLE m (id int NOT NULL AUTO_INCREMENT PRIMARY KEY,"
                   " note varchar(50), v varchar(50), a int, b int, d decimal(10,2), f int);"
                   " INSERT INTO m VALUES (1, 'one', 'longer', 10, 1, 1.25, 1), (2, 'two', 'text', NULL, 2, 2.55, 2), (3, NULL, NULL, 30, 3, 3, NULL)")


def refuses_cutover_when_it_is_back(m) -> None:
    m.start()
    m.wait(lambda s: s["phase"] == "synced", 60, "the run after the one that stopped")
    m.wait_log("is known from here on")
    assert "before the schema changed" in str(m.call("cutover", expect=3))


def refuses_cutover_behind(m, source, target, statements: int) -> None:
    """The same for several statements: whoever looked between two of them has stopped for the first alone, and stops again for the next."""
    for _ in range(statements):
        number = source.value("SELECT MAX(id) + 1 FROM p")
        source.execute(f"INSERT INTO p VALUES ({number})")
        m.start()
        wait_for(lambda: not m.running() or target.value(f"SELECT COUNT(*) FROM p WHERE id = {number}") == 1, 60, "the stream past all of them")
        if m.running():
            refused = str(m.call("cutover", expect=None))
            if "before the schema changed" in refused:
                return
        assert m.wait_exit() == FAILED and "MFDDL" in m.log_text(), m.tail()
    raise AssertionError(f"stopped more often than there were statements\n{m.tail()}")


@M_PAIRS
def test_values_that_a_change_of_the_table_moves_stop_the_run_once(migration, mysql_pair, mysql_versions):
    source, target = mysql_pair
    filled(source)
    m = migration(source, target, config={"on_ddl": "stop", **QUICK})
    m.start()
    m.wait_phase("synced")
    for sql in NEUTRAL:
        source.execute(sql)
    source.execute("INSERT INTO m (id, note, v, a, b, d) VALUES (4, 'four', 'more', 4, 3, 4.44)")
    same(source, target, "(SELECT id, note, v, a, b, d FROM m) x")
    m.call("verify")
    for what in ("in two statements", "rounded") if mysql_versions[0] == "mariadb" else ("dropped and made again", "names that change places",
                                                                                         "no NULL any more", "cut and made longer"):
        source.execute("UPDATE m SET note = 'old', v = 'longer', a = NULL, b = 2, d = 1.25 WHERE id = 1")
        m.call("verify")
        source.execute(MOVES[what])
        assert m.wait_exit() == FAILED, (what, m.tail())
        told = m.log_text()
        assert "MFDDL" in told and f"{source.name}.m" in told and "verify --repair" in told, what
        refuses_cutover_behind(m, source, target, MOVES[what].removeprefix(LOOSE).count(";") + 1)
        m.call("verify", expect=4)
        m.call("verify", "--repair")
    m.call("verify")
    m.call("cutover")


def test_values_that_were_moved_are_not_forgotten_by_a_crash(migration, mysql_pair):
    """Killed after the stream has passed the statement and before anybody looked; and changed while nobody was there."""
    source, target = mysql_pair
    filled(source)
    m = migration(source, target, config={"on_ddl": "stop", "schema_check": "1h"})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    source.execute(MOVES["dropped and made again"])
    wait_for(lambda: source.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'moved fwd'") == 1, 60, "the stream past it")
    m.kill()
    refuses_cutover_when_it_is_back(m)
    m.call("verify", "--repair")
    m.call("verify")
    m.stop()
    source.execute(MOVES["dropped and made again"])
    m.start()
    wait_for(lambda: source.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'moved fwd'") == 2, 60, "the stream past it")
    assert "made again" in str(m.call("cutover", expect=3))  # its own look is the first one behind it
    m.stop()
    refuses_cutover_when_it_is_back(m)


def test_a_change_behind_the_log_that_nothing_tells_of_stops_the_run(migration, mysql_pair):
    """Rolled over both servers with sql_log_bin = 0. MySQL 5.7 tells nothing of an ENUM's members: its rows are read as they were before."""
    source, target = mysql_pair
    source.execute("CREATE TABLE en (id int PRIMARY KEY, e enum('p','q')); INSERT INTO en VALUES (1, 'p')")
    m = migration(source, target, config={"on_ddl": "stop", **QUICK})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    for side in (target, source):
        side.execute("SET SESSION sql_log_bin = 0; ALTER TABLE en MODIFY e enum('q','p')")
    source.execute("INSERT INTO en VALUES (2, 'p')")
    assert m.wait_exit(90) == FAILED, m.tail()
    assert "MFDDL" in m.log_text() and f"{source.name}.en" in m.log_text() and "verify --repair" in m.log_text()
    refuses_cutover_when_it_is_back(m)
    source.execute("INSERT INTO en VALUES (3, 'p')")
    wait_for(lambda: target.rows("SELECT e FROM en WHERE id = 3") == [("p",)], 60, "what comes now is read right")
    m.call("verify", "--repair", expect=(0, 4))
    same(source, target, "en")

    def moved() -> bool:
        """The target's table is known to be altered by its second look; a verification of before it does not count."""
        m.call("verify")
        return m.call("cutover", expect=None).exit == 0
    wait_for(moved, 60, "a cutover")
