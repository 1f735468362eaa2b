"""What others do to the side that follows, and what a run says of it: a rollback that would lose rows, tables of the source's own, an abandoned move,
a lag that is not known, a partial verification."""
import pytest

from harness.compare import compare
from harness.midflight import REFUSED
from harness.servers import wait_for


def begun(m, source, rows: int = 100) -> None:
    source.execute(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, {rows}) i")
    source.execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)")
    m.start()
    m.wait_phase("synced")


def moved(m) -> None:
    m.call("verify")
    m.call("cutover")
    m.wait_phase("cut_over")


def past_the_gate(database, sql: str) -> None:
    """As somebody who has taken the triggers away for a moment."""
    database.execute(f"ALTER TABLE t DISABLE TRIGGER midflight_gate_test; {sql}; ALTER TABLE t ENABLE ALWAYS TRIGGER midflight_gate_test")


def lines(m, *words: str) -> int:
    return sum(all(w in line for w in words) for line in m.log_text().splitlines())


def told(m, *words: str) -> None:
    """Once in the log, where it may come after the answer."""
    wait_for(lambda: lines(m, *words), 60, f"{words} in the log")
    assert lines(m, *words) == 1


@pytest.fixture
def emptied(source, target, migration):
    """Writes are on the target; somebody has emptied the source's table, and the stream back has met three of the rows."""
    m = migration(source, target)
    begun(m, source)
    moved(m)
    past_the_gate(source, "TRUNCATE t")
    m.wait(lambda s: s["wrong_side_writes"] >= 1, 60, "the write seen")
    target.execute("UPDATE t SET v = 'there' WHERE id <= 3")
    m.wait(lambda s: s["stream"]["diverged_rows"] == 3, 60, "the rows mended")
    return m


def test_a_rollback_to_a_side_that_lost_rows_is_refused(emptied, source, target):
    m = emptied
    m.wait_log("on the side that may not write")
    text = m.call("status").out
    assert "wrong side" in text and "diverged    3 rows" in text
    for more in ((), ("--dry-run",)):
        refused = m.call("rollback", *more, expect=REFUSED)
        assert "MFGUARD" in refused.err and "written to the source" in refused.err and "3 rows mended" in refused.err
        assert "verify --repair" in refused.err and "--accept-differences" in refused.err
    assert m.status()["writes"] == "target" and source.value("SELECT count(*) FROM t") == 3
    wait_for(lambda: lines(m, "rollback was abandoned at guards", "MFGUARD") == 2, 60, "why, in the log")
    m.call("verify", expect=4)
    m.call("rollback", expect=REFUSED)
    m.call("verify", "--repair")
    status, text = m.status(), m.call("status").out
    assert status["wrong_side_settled"] and status["diverged_settled"] and "wrong side" not in text and "diverged" not in text
    m.call("rollback")
    assert source.value("SELECT count(*) FROM t") == 100
    assert compare(source.url(), target.url(), sequences="skip").equal
    assert lines(m, "on the side that may not write") == 1


def test_a_rollback_can_be_told_to_go_on(emptied, source, target):
    m = emptied
    m.call("rollback", "--accept-differences")
    assert m.status()["writes"] == "source" and source.value("SELECT count(*) FROM t") == 3
    told(m, "--accept-differences", "source as it is")
    assert target.value("SELECT count(*) FROM t") == 100
    m.call("verify", expect=4)
    m.call("cutover", expect=REFUSED)


def test_a_rollback_sees_what_was_written_right_before_it(source, target, migration):
    """The guards may look before the stream has brought it; the rehearsal carries it in."""
    m = migration(source, target)
    begun(m, source)
    moved(m)
    past_the_gate(source, "DELETE FROM t WHERE id > 50")
    m.call("rollback", expect=REFUSED)
    assert m.status()["writes"] == "target" and target.value("SELECT count(*) FROM t") == 100


def test_a_rollback_waits_for_no_proof(source, target, migration):
    """What was seen on the target before the cutover, and settled, does not stand in its way either."""
    m = migration(source, target)
    begun(m, source)
    target.execute("INSERT INTO t VALUES (9000, 'wrong side')")
    m.wait(lambda s: s["wrong_side_writes"] == 1, 60, "the write seen")
    m.call("verify", "--repair")
    moved(m)
    target.execute("INSERT INTO t VALUES (101, 'there')")
    m.call("rollback")
    assert source.value("SELECT v FROM t WHERE id = 101") == "there"


def test_a_table_made_on_the_source_meanwhile_is_its_own(source, target, migration):
    m = migration(source, target, config={"schema_check": "1s"})
    begun(m, source)
    moved(m)
    source.execute("CREATE TABLE t9 (id int PRIMARY KEY)")
    m.call("rollback")
    told(m, "public.t9", "source's own")
    source.execute("INSERT INTO t VALUES (200, 'on'); INSERT INTO t9 VALUES (1)")
    wait_for(lambda: target.value("SELECT count(*) FROM t WHERE id = 200") == 1, 60, "the stream going on")
    source.execute("CREATE TABLE t10 (id int PRIMARY KEY)")  # behind the next look: t9 was let pass by it
    wait_for(lambda: not m.running(), 60, "the look")
    assert "public.t10" in m.log_text() and lines(m, "public.t9", "MFDDL") == 0


def test_an_abandoned_cutover_is_in_the_log(source, target, migration):
    m = migration(source, target)
    m.hook("on_cutover", "exit 3\n")
    begun(m, source)
    m.call("verify")
    m.call("cutover", expect=REFUSED)
    told(m, "warn", "cutover was abandoned at hook")


def test_the_lag_grows_while_the_source_is_not_heard_of(own_server, target, migration):
    server = own_server(15)
    source = server.create_database("lagging")
    m = migration(source, target, config={"heartbeat": "1s"})
    begun(m, source)
    m.wait(lambda s: s["stream"]["lag_seconds"] < 3, 60, "even")
    server.stop()
    m.wait(lambda s: s["stream"]["lag_seconds"] > 4, 60, "a growing lag")
    assert m.metrics()["midflight_lag_seconds"] > 4
    m.kill()
    assert m.status()["stream"]["lag_seconds"] > 4
    server.start()
    m.start()
    m.wait(lambda s: s["running"] and s["stream"]["lag_seconds"] > 4 or s["streams_open"], 60, "the lag of a new run")
    m.wait(lambda s: s["streams_open"] and s["stream"]["lag_seconds"] < 3, 60, "even again")
    server.restart()
    m.wait_log("works again")
    m.stop()


def test_a_partial_verification_says_so(source, target, migration):
    m = migration(source, target)
    begun(m, source)
    m.call("verify")
    whole = m.status()["verify"]
    assert whole["sample"] == 1 and whole["table"] is None and whole["tables_total"] == 2
    m.call("verify", "--table", "public.t")
    v, text = m.status()["verify"], m.call("status").out
    assert v["table"] == "public.t" and v["last_full"]["rows_compared"] == 101 and v["last_full"]["finished_at"] == whole["finished_at"]
    assert "(1 of 2 tables, public.t)" in text and "last of every row: equal: 2 tables equal" in text
    m.call("verify", "--sample", "0.5")
    assert m.status()["verify"]["sample"] == 0.5 and "(a sample of 50 %)" in m.call("status").out
