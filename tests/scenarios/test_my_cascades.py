"""Foreign keys by which InnoDB changes rows by itself. None of that is in the log: it is done on the other side when the change that caused
it comes, in the copy's time as well, there and back."""
import random
import threading

import MySQLdb
import pytest

from harness.midflight import DIFFERENT, FAILED, unhurried
from harness.mycompare import equal_at_last
from harness.servers import wait_for

SMALL = {"copy": {"jobs": 2, "chunk_rows": 50, "max_load": 0}, "heartbeat": "1s"}
TABLES = """
CREATE TABLE parent (id int PRIMARY KEY, v int);
CREATE TABLE child (id int AUTO_INCREMENT PRIMARY KEY, p int NOT NULL, v int, CONSTRAINT c1 FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE grandchild (id int AUTO_INCREMENT PRIMARY KEY, c int NOT NULL, seen timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
                         CONSTRAINT c2 FOREIGN KEY (c) REFERENCES child (id) ON DELETE CASCADE);
CREATE TABLE tag (p int NOT NULL, t varchar(10), KEY (p), CONSTRAINT c3 FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE maybe (id int AUTO_INCREMENT PRIMARY KEY, p int, seen timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
                    CONSTRAINT c4 FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE tree (id int PRIMARY KEY, up int, CONSTRAINT c5 FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
CREATE TABLE pair (a varchar(20), b int, PRIMARY KEY (a, b));
CREATE TABLE line (a varchar(20), b int, n int, PRIMARY KEY (a, b, n), CONSTRAINT c6 FOREIGN KEY (a, b) REFERENCES pair (a, b) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE part (id int AUTO_INCREMENT PRIMARY KEY, a varchar(20), b int, n int, CONSTRAINT c7 FOREIGN KEY (a, b, n) REFERENCES line (a, b, n) ON DELETE SET NULL ON UPDATE CASCADE);
"""


def families(cursor, rng: random.Random, n: int) -> None:
    """Some with all that refers to them."""
    for _ in range(n):
        p = rng.randrange(1, 400)
        cursor.execute("INSERT IGNORE INTO parent VALUES (%s, %s)", (p, rng.randrange(99)))
        for _ in range(rng.randrange(4)):
            cursor.execute("INSERT INTO child (p, v) VALUES (%s, %s)", (p, rng.randrange(99)))
            cursor.executemany("INSERT INTO grandchild (c) VALUES (%s)", [(cursor.lastrowid,)] * rng.randrange(3))
        cursor.executemany("INSERT INTO tag VALUES (%s, %s)", [(p, rng.choice("abc"))] * rng.randrange(3))
        cursor.executemany("INSERT INTO maybe (p) VALUES (%s)", [(p,)] * rng.randrange(2))
        t = rng.randrange(1, 200)
        cursor.execute("INSERT IGNORE INTO tree SELECT %s, (SELECT id FROM tree WHERE id < %s ORDER BY rand() LIMIT 1)", (t, t))
        a, b = rng.choice(["x", "y", "Z"]), rng.randrange(40)
        cursor.execute("INSERT IGNORE INTO pair VALUES (%s, %s)", (a, b))
        for k in range(rng.randrange(3)):
            cursor.execute("INSERT IGNORE INTO line VALUES (%s, %s, %s)", (a, b, k))
            cursor.execute("INSERT INTO part (a, b, n) VALUES (%s, %s, %s)", (a, b, k))


def step(cursor, rng: random.Random) -> None:
    what = rng.randrange(9)
    if what < 3:
        families(cursor, rng, 2)
    elif what == 3:
        cursor.execute("DELETE FROM parent ORDER BY rand() LIMIT %s", (rng.randrange(1, 4),))
    elif what == 4:
        cursor.execute("UPDATE IGNORE parent SET id = %s ORDER BY rand() LIMIT 1", (rng.randrange(1, 400),))
    elif what == 5:
        cursor.execute("DELETE FROM child ORDER BY rand() LIMIT 1")
    elif what == 6:
        cursor.execute("DELETE FROM tree ORDER BY rand() LIMIT 1")
    elif what == 7:
        cursor.execute("DELETE FROM pair ORDER BY rand() LIMIT 1")
    else:
        cursor.execute("UPDATE IGNORE pair SET a = %s, b = %s ORDER BY rand() LIMIT 1", (rng.choice(["x", "X", "z"]), rng.randrange(40)))


class Families:
    """Changes without end from one session, which a cutover may end."""

    def __init__(self, database, seed: int):
        self.database, self.rng, self.done, self.failure = database, random.Random(seed), 0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection = self.database.connect(autocommit=False)
        try:
            while not self._stop.is_set():
                cursor = connection.cursor()
                for _ in range(self.rng.randrange(1, 4)):
                    try:
                        step(cursor, self.rng)
                    except MySQLdb.Error as e:
                        if e.args[0] != 1761:  # two rows that cascade would get one key: 8.0 refuses the statement even with IGNORE
                            raise
                connection.rollback() if self.rng.randrange(8) == 0 else connection.commit()
                self.done += 1
                self._stop.wait(0.01 * unhurried())
        except MySQLdb.Error as e:
            self.failure = e
        finally:
            connection.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def more(self, n: int) -> None:
        before = self.done
        wait_for(lambda: self.failure or self.done >= before + n, 60, "changes")
        assert not self.failure, self.failure


def made(source, seed: int) -> None:
    source.execute(TABLES)
    connection = source.connect()
    families(connection.cursor(), random.Random(seed), 200)
    connection.close()


def changes(database, seed: int, n: int = 30) -> None:
    with Families(database, seed) as f:
        f.more(n)


def orphans(database) -> int:
    return database.value("SELECT (SELECT count(*) FROM child WHERE p NOT IN (SELECT id FROM parent)) + (SELECT count(*) FROM grandchild WHERE c NOT IN (SELECT id FROM child))"
                          " + (SELECT count(*) FROM tag WHERE p NOT IN (SELECT id FROM parent)) + (SELECT count(*) FROM tree WHERE up NOT IN (SELECT * FROM (SELECT id FROM tree) t))")


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_cascades_there_and_back(mysql_pair, migration):
    source, target = mysql_pair
    made(source, 1)
    m = migration(source, target, config=SMALL)
    with Families(source, 2) as f:
        m.start()
        m.wait_phase("synced")
        f.more(50)
    m.call("verify")
    assert orphans(target) == 0
    m.call("cutover")
    changes(target, 3)
    m.call("verify")
    m.call("rollback")
    changes(source, 4)
    equal_at_last(m, source, target)


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0")], ids=["5.7to8.0"])
def test_killed_in_the_middle_of_a_cascade(mysql_pair, migration):
    source, target = mysql_pair
    made(source, 11)
    m = migration(source, target, config=SMALL)
    with Families(source, 12) as f:
        for hit in (1, 7, 40):
            m.start(fault=f"apply.cascade:{hit}=kill")
            assert m.wait_exit() == -9
        m.start()
        m.wait_phase("synced")
        f.more(30)
    equal_at_last(m, source, target)


def test_a_session_that_does_not_check_foreign_keys(mysql_pair, migration):
    """Then nothing cascades, and the log says so."""
    source, target = mysql_pair
    source.execute("CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2), (3);"
                   "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3)")
    m = migration(source, target, config=SMALL)
    m.start()
    m.wait_phase("synced")
    connection = source.connect()
    connection.cursor().execute("SET foreign_key_checks = 0")
    connection.cursor().execute("DELETE FROM parent WHERE id = 1")
    connection.cursor().execute("UPDATE parent SET id = 20 WHERE id = 2")
    connection.close()
    source.execute("DELETE FROM parent WHERE id = 3")
    equal_at_last(m, source, target)
    assert target.rows("SELECT * FROM child ORDER BY id") == [(1, 1), (2, 2)]


FAMILY = ("CREATE TABLE parent (id int PRIMARY KEY, v int); INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);"
          "CREATE TABLE child (id int PRIMARY KEY, p int NOT NULL, KEY (p)); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)")
CASCADES = "ALTER TABLE child ADD CONSTRAINT late FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE"
NO_MORE = "ALTER TABLE child DROP FOREIGN KEY late"


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("change", [CASCADES, NO_MORE], ids=["added", "dropped"])
def test_a_foreign_key_changed_on_the_way(change, running, mysql_pair, migration):
    """What it did before midflight knew cannot be known for certain: it is said, and no cutover goes by a proof from before."""
    source, target = mysql_pair
    source.execute(FAMILY)
    if change == NO_MORE:
        source.execute(CASCADES)
    m = migration(source, target, config=SMALL)
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    if not running:
        m.stop()
    source.execute(change)
    source.execute("DELETE FROM parent WHERE id IN (1, 2)")
    if running:
        assert m.wait_exit() == FAILED, m.tail()
        assert "MFDDL" in m.log_text() and f"{source.name}.child" in m.log_text() and "verify --repair" in m.log_text()
    m.start()
    m.wait(lambda status: status.get("streams_open") and status["phase"] == "synced", 60, "the next start")
    if not running:
        m.wait_log("added or dropped while midflight was away")
    m.call("verify", "--repair", expect=(0, DIFFERENT))
    target.execute(change)
    source.execute("DELETE FROM parent WHERE id = 3")
    equal_at_last(m, source, target)
    assert source.value("SELECT count(*) FROM child") == (2 if change == CASCADES else 5)
    m.call("cutover")
    target.execute("DELETE FROM parent WHERE id = 4")
    equal_at_last(m, source, target)


def test_a_new_table_whose_rows_go_with_others(mysql_pair, migration):
    source, target = mysql_pair
    source.execute(FAMILY)
    m = migration(source, target, config={**SMALL, "on_ddl": "additive", "schema_check": "300ms"})
    m.start()
    m.wait_phase("synced")
    source.execute("DELETE FROM parent WHERE id = 1")  # its shape has been seen
    source.execute("CREATE TABLE late (id int PRIMARY KEY, p int NOT NULL, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE); INSERT INTO late VALUES (2, 2), (3, 3), (4, 4), (5, 5)")
    m.wait_log(f"table {source.name}.late is migrated from here on")
    source.execute("DELETE FROM parent WHERE id = 2")
    equal_at_last(m, source, target)
    assert target.value("SELECT count(*) FROM late") == 3
    m.call("verify")
    m.call("cutover")
    target.execute("DELETE FROM parent WHERE id = 3")
    equal_at_last(m, source, target)
    assert source.value("SELECT count(*) FROM late") == 2
    assert m.starts == 1


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_a_key_that_changes_its_spelling_with_thousands_that_refer_to_it(mysql_pair, migration):
    """After the change they still refer to it as it was, as far as the collation goes."""
    source, target = mysql_pair
    source.execute("CREATE TABLE firm (name varchar(20) PRIMARY KEY) COLLATE utf8mb4_general_ci; INSERT INTO firm VALUES ('acme'), ('other');"
                   "CREATE TABLE staff (firm varchar(20), n int, PRIMARY KEY (firm, n), CONSTRAINT s1 FOREIGN KEY (firm) REFERENCES firm (name) ON DELETE CASCADE ON UPDATE CASCADE) COLLATE utf8mb4_general_ci;"
                   "CREATE TABLE desk (id int PRIMARY KEY, firm varchar(20), n int, CONSTRAINT s2 FOREIGN KEY (firm, n) REFERENCES staff (firm, n) ON DELETE CASCADE ON UPDATE CASCADE) COLLATE utf8mb4_general_ci")
    connection = source.connect(autocommit=False)
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO staff VALUES (%s, %s)", [(("acme", "Acme", "ACME")[i % 100 if i % 100 < 3 else 0], i) for i in range(4500)] + [("other", 1)])
    cursor.executemany("INSERT INTO desk VALUES (%s, %s, %s)", [(i, "aCme" if i == 7 else "acme", i) for i in range(0, 4500, 9)])
    connection.commit()
    m = migration(source, target, config=SMALL)
    m.start()
    m.wait_phase("synced")
    for name in ("ACME", "AcmE", "Firm"):
        source.execute(f"UPDATE firm SET name = '{name}' WHERE name <> 'other'")
        equal_at_last(m, source, target)
        assert target.rows(f"SELECT DISTINCT BINARY firm FROM staff WHERE firm <> 'other'") == [(name.encode(),)]
    source.execute("DELETE FROM firm WHERE name = 'firm'")
    equal_at_last(m, source, target)
    assert target.value("SELECT (SELECT count(*) FROM staff) + (SELECT count(*) FROM desk)") == 1
