"""Tables of the target that are no more those that were proven: dropped and made again, or a column of them. No stream of the source tells of it, and the rows look deleted."""
import pytest

from harness.midflight import DIFFERENT, FAILED, REFUSED
from harness.servers import wait_for

KINDS = ["postgres", "8.0", "mariadb"]
ROWS = 200
REMADE = {"postgres": "CREATE TABLE t2 (LIKE t INCLUDING ALL); DROP TABLE t; ALTER TABLE t2 RENAME TO t"}
MADE_AGAIN = {"postgres": "ALTER TABLE t DROP v, ADD v varchar(50)"}


@pytest.fixture
def sides(request, mysql_versions):
    """Of one kind, and of one name where it is MySQL."""
    return request.getfixturevalue("mysql_pair") if mysql_versions else (request.getfixturevalue("source"), request.getfixturevalue("target"))


def proven(sides, migration):
    source, target = sides
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(50)); CREATE TABLE u (id int PRIMARY KEY)")
    source.execute("INSERT INTO t VALUES " + ", ".join(f"({i}, 'v{i}')" for i in range(ROWS)))
    m = migration(source, target, config={"schema_check": "200ms"})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    return m


def remade(target, kind: str) -> None:
    target.execute(REMADE.get(kind, "CREATE TABLE t2 LIKE t; DROP TABLE t; RENAME TABLE t2 TO t"))


def made_again(target, kind: str) -> None:
    target.execute(MADE_AGAIN.get(kind, "ALTER TABLE t DROP v; ALTER TABLE t ADD v varchar(50)"))


def there(database) -> tuple:
    """Rows, and values."""
    return database.value("SELECT count(*) FROM t"), database.value("SELECT count(v) FROM t")


@pytest.mark.parametrize("mysql_versions,kind", [(None if k == "postgres" else (k, k), k) for k in KINDS], ids=KINDS)
@pytest.mark.parametrize("done", [remade, made_again], ids=["table", "column"])
def test_before_the_cutover(sides, kind, migration, done):
    """Refused until a verification that began later has found, or made, both sides equal; and what the new table then takes comes back."""
    source, target = sides
    m = proven(sides, migration)
    done(target, kind)
    if kind != "postgres":  # its own log tells of it, after a moment
        wait_for(lambda: target.value("SELECT COUNT(*) FROM midflight.settings WHERE kind = 'moved rev'") == (2 if done is remade else 1), 60, "the stream past it")
    refused = m.call("cutover", expect=REFUSED)
    assert "MFGUARD" in refused.err and ".t of the target" in refused.err, refused
    m.restart()
    m.wait_phase("synced")
    m.call("cutover", expect=REFUSED)
    assert m.status()["writes"] == "source" and there(source) == (ROWS, ROWS)
    m.call("verify", expect=DIFFERENT)
    m.call("cutover", expect=REFUSED)
    m.call("verify", "--repair")
    m.call("verify")
    m.call("cutover")
    target.execute(f"INSERT INTO t VALUES ({ROWS}, 'there')")
    wait_for(lambda: there(source) == (ROWS + 1, ROWS + 1), 60, "the row of the target on the source")
    m.call("rollback")
    assert there(target) == there(source) == (ROWS + 1, ROWS + 1)


@pytest.mark.parametrize("what,again", [("ALTER TABLE t DROP v", "ALTER TABLE t ADD v varchar(50)"),
                                        ("DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY, v varchar(50))")], ids=["column", "table"])
def test_gone_before_the_cutover(source, target, migration, what, again):
    """No verification may take what is left for what is to be there, whatever is started again; made again, it is filled by repair."""
    m = proven((source, target), migration)
    target.execute(what)
    for restart in (False, True):
        if restart:
            m.stop()
            m.start()
            m.wait(lambda s: s["running"], 60, "a run", may_exit=True)
        refused = m.call("cutover", expect=(REFUSED, FAILED))
        assert "of the target" in refused.err, refused
        m.call("verify", expect=(REFUSED, FAILED))
    target.execute(again)
    m.stop()
    m.start()
    m.wait_phase("synced")
    m.call("verify", "--repair", expect=None)
    m.call("verify")
    m.call("cutover")
    assert there(target) == (ROWS, ROWS)
    target.execute(f"INSERT INTO t VALUES ({ROWS}, 'there')")
    wait_for(lambda: there(source) == (ROWS + 1, ROWS + 1), 60, "the row of the target on the source")


def test_a_type_altered_before_the_cutover(source, target, migration):
    m = proven((source, target), migration)
    target.execute("ALTER TABLE t ALTER v TYPE varchar(2) USING left(v, 2)")
    assert '"v" (or itself)' in m.call("cutover", expect=REFUSED).err
    m.call("verify", expect=FAILED)  # of another shape than this run knows
    m.call("cutover", expect=REFUSED)
    m.restart()
    m.wait_phase("synced")
    m.call("cutover", expect=REFUSED)
    m.call("verify", expect=DIFFERENT)
    m.call("cutover", expect=REFUSED)


def test_dropped_on_both_sides(source, target, migration):
    """Nobody misses it."""
    m = proven((source, target), migration)
    for side in (source, target):
        side.execute("DROP TABLE u")
    m.call("cutover")


def test_a_column_altered_after_the_cutover_while_nobody_looked(source, target, migration):
    """The target's values are the right ones; a rollback waits until the source has them."""
    m = proven((source, target), migration)
    m.call("cutover")
    m.stop()
    made_again(target, "postgres")
    m.start()
    m.wait_log("the new shape of table public.t is known")
    assert there(source) == (ROWS, ROWS)
    refused = m.call("rollback", expect=REFUSED)
    assert "a column of the target was altered" in refused.err and "--accept-differences" in refused.err, refused
    m.call("verify", "--repair")
    m.call("verify")
    m.call("rollback")
    assert there(source) == there(target) == (ROWS, 0)


def test_a_rollback_knows_what_verification_found(source, target, migration):
    """Past the gate and its triggers, so that nothing but the comparison tells."""
    m = proven((source, target), migration)
    m.call("cutover")
    source.execute("SET session_replication_role = replica; ALTER TABLE t DISABLE TRIGGER USER; ALTER PUBLICATION midflight_test_fwd DROP TABLE t;"
                   " DELETE FROM t WHERE id < 3; ALTER PUBLICATION midflight_test_fwd ADD TABLE ONLY t; ALTER TABLE t ENABLE TRIGGER USER")
    m.call("rollback", "--dry-run")  # it waits for no proof
    m.call("verify", expect=DIFFERENT)
    refused = m.call("rollback", expect=REFUSED)
    assert "verification found 3 rows of the source" in refused.err, refused
    m.call("verify", "--repair")
    m.call("rollback")
    assert there(source) == (ROWS, ROWS)


@pytest.mark.parametrize("mysql_versions", [("8.0", "8.0"), ("mariadb", "mariadb")], ids="to".join)
def test_a_table_swapped_after_the_cutover(mysql_pair, migration):
    """As tools do that change a schema online. The name is what counts: the rows written to the new one are followed, and the source is made as it is."""
    source, target = mysql_pair
    m = proven((source, target), migration)
    m.call("cutover")
    target.execute("CREATE TABLE t2 LIKE t; ALTER TABLE t2 ADD KEY (v); INSERT INTO t2 SELECT * FROM t WHERE id > 0")
    target.execute("RENAME TABLE t TO old, t2 TO t; DROP TABLE old")
    target.execute(f"INSERT INTO t VALUES ({ROWS}, 'there')")
    assert m.wait_exit() == FAILED and "dropped and made again" in m.log_text(), m.tail()
    m.start()
    m.wait_log("is known from here on")
    target.execute(f"INSERT INTO t VALUES ({ROWS + 1}, 'and there')")
    wait_for(lambda: source.value(f"SELECT count(*) FROM t WHERE id >= {ROWS}") == 2, 60, "rows of the new table on the source")
    assert "was altered" in m.call("rollback", expect=REFUSED).err
    assert m.call("verify", "--repair", "--json", expect=None).json["rows_differing"] == 1
    m.call("verify")
    m.call("rollback")
    assert there(source) == there(target) == (ROWS + 1, ROWS + 1)
