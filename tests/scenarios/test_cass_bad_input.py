"""What is wrong about a Cassandra target, before the copy and in mid-run: said with its name, never taken for success, and mended by what the message says."""
import os
import signal

import pytest

from harness.cassandra import APP
from harness.cassrun import SMALL, arrived, begin, judge, writes_more
from harness.servers import PASSWORD, wait_for
from test_cass_crash import BULK, made

SIMPLE = "CREATE TABLE t (id int PRIMARY KEY, v text, n int); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 200) i"
TABLE = {"t": (["id", "v", "n"], ["id"])}


def refused_at_once(m, *words: str) -> str:
    """run and check both say so; nothing of a password."""
    said = m.call("check", expect=None)
    m.start()
    assert m.wait_exit(60) != 0, m.tail()
    text = said.out + said.err + m.log_text()
    for word in words:
        assert word in said.out + said.err and word in m.log_text(), f"{word!r} in\n{text}"
    assert PASSWORD not in text
    assert said.exit != 0
    return text


def goes_on(m) -> None:
    """Started again after it had failed: the state says so until the run is under way."""
    m.start()
    m.wait(lambda s: s["phase"] == "synced" and s.get("streams_open"), 120, "the run to go on")


# ---- before anything is made ----

def test_no_such_keyspace(source, into, migration):
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there)
    m.configure(target=there.server.url("nowhere"))
    refused_at_once(m, "nowhere", "keyspace", "'datacenter1': 1}")


def test_no_keyspace_and_nobody_there(source, into, migration):
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there)
    m.configure(target=there.server.url(""))
    refused_at_once(m, "keyspace")
    m.configure(target="cassandra://127.0.0.1:1/shop?connect_timeout=1s", retry="1s")
    refused_at_once(m, "127.0.0.1")


def test_credentials_and_tls(source, own_cassandra, migration):
    server = own_cassandra(auth=True, tls="server")
    source.execute(SIMPLE)
    server.create_keyspace("shop")
    ca = str(server.dir / "tls-ca.pem")
    good = dict(ssl="verify-full", ca=ca)
    m = migration(source, server.url("shop", **good), config={"migration": "creds"})
    for wrong, words in (
            (server.url("shop", password="not-the-one", **good), ["user", "password"]),
            (server.url("shop", user="nobody", **good), ["user", "password"]),
            (server.url("shop", user=None, **good), ["user"]),
            (server.url("shop", ssl="verify-full", ca="/nowhere/ca.pem"), ["/nowhere/ca.pem"]),
            (server.url("shop", ssl="verify-full"), ["certificate"]),
            (server.url("shop", ssl="off"), [server.nodes[0].address])):
        m.configure(target=wrong + ("&" if "?" in wrong else "?") + "connect_timeout=3s", retry="1s")
        refused_at_once(m, *words)
        assert "not-the-one" not in m.all_logs()
    m.configure(target=server.url("shop", user=APP, **good))
    text = refused_at_once(m, "GRANT")
    assert APP in text
    m.configure(target=server.url("shop", **good))
    m.start()
    m.wait_phase("synced")
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_a_keyspace_whose_copies_there_are_no_nodes_for(source, into, migration):
    there = into()
    source.execute(SIMPLE)
    there.execute(f"ALTER KEYSPACE {there.name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}")
    m = begin(migration, source, there)
    refused_at_once(m, there.name)


def test_a_table_that_is_there_with_another_shape(source, into, migration):
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there)
    for ddl, words in (
            ("CREATE TABLE {t} (id int PRIMARY KEY, v text)", ["n"]),
            ("CREATE TABLE {t} (v text PRIMARY KEY, id int, n int)", ["key"]),
            ("CREATE TABLE {t} (id int PRIMARY KEY, v blob, n boolean)", ["n"]),
            ("CREATE TABLE {t} (id int PRIMARY KEY, n counter)", ["t"])):
        there.execute(ddl.format(t=f"{there.name}.t"))
        refused_at_once(m, "t", *words)
        there.execute(f"DROP TABLE {there.name}.t")
    there.execute(f"CREATE TABLE {there.name}.t (id int, v text, n int, more text, PRIMARY KEY (id))")  # one that has all
    goes_on(m)
    arrived(source, there, TABLE)


# ---- in mid-run ----

def test_a_table_is_dropped_in_mid_run(source, into, migration, tmp_path):
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL, retry="3s")
    m.start()
    m.wait_phase("synced")
    shape = "(id int PRIMARY KEY, v text, n int)"
    there.execute(f"DROP TABLE {there.name}.t")
    source.execute("UPDATE t SET n = n + 1 WHERE id = 7")
    assert m.wait_exit(90) == 1
    assert f"{there.name}.t" in m.log_text() or "table t" in m.log_text(), m.tail()
    # What was in it is gone, and only the user knows why: it says so again rather than make an empty table and go on.
    m.start()
    assert m.wait_exit(90) == 1
    there.execute(f"CREATE TABLE {there.name}.t {shape}")
    goes_on(m)
    assert m.call("verify", "--json", expect=4).json["rows_differing"] >= 199
    m.call("verify", "--repair")
    arrived(source, there, TABLE)


def test_a_table_is_made_anew_in_mid_run(source, into, migration):
    """The same name, another shape: statements that were prepared for the old one are not written into the new one."""
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL, retry="3s")
    m.start()
    m.wait_phase("synced")
    there.execute(f"DROP TABLE {there.name}.t")
    there.execute(f"CREATE TABLE {there.name}.t (id int PRIMARY KEY, v int, n text)")
    source.execute("UPDATE t SET n = n + 1 WHERE id = 7")
    assert m.wait_exit(90) == 1, m.tail()
    assert "t" in m.log_text()
    there.execute(f"DROP TABLE {there.name}.t")
    there.execute(f"CREATE TABLE {there.name}.t (id int PRIMARY KEY, v text, n int)")
    goes_on(m)
    m.call("verify", expect=4)
    m.call("verify", "--repair")
    arrived(source, there, TABLE)


def test_the_bookkeeping_is_dropped_in_mid_run(source, into_own, migration):
    """It said which rows were left out, and how far the others are: the run ends, and so does the next one. Begun again all is well."""
    there = into_own()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL, retry="3s")
    m.start()
    m.wait_phase("synced")
    there.execute("DROP KEYSPACE midflight")
    source.execute("UPDATE t SET n = n + 1 WHERE id = 7")
    assert m.wait_exit(120) == 1, m.tail()
    assert "midflight" in m.log_text().rpartition('"level":"error"')[2]
    m.start()
    assert m.wait_exit(120) == 1, m.tail()
    assert "MFNOBOOK" in m.log_text() and "somebody removed it" in m.log_text()
    m.call("cancel")
    there.execute(f"TRUNCATE {there.name}.t")
    again = begin(migration, source, there, **SMALL)
    again.start()
    again.wait_phase("synced")
    arrived(source, there, TABLE)


@pytest.mark.soak
def test_a_schema_that_does_not_agree(source, into_own, migration):
    """A node that does not learn of new tables while it counts as up: they are waited for, or it is taken for down, and the run goes on."""
    there = into_own(nodes=3, heap="384M")
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL, url={"request_timeout": "6s"})
    other = there.server.nodes[2]
    other.pause()
    try:
        m.start()
        m.wait_phase_again("synced")
        arrived(source, there, TABLE)
    finally:
        other.resume()
    there.server.wait_up()
    source.execute("UPDATE t SET n = n + 1")
    arrived(source, there, TABLE)
    assert m.call("verify", "--json").json["rows_differing"] == 0


# ---- who runs it ----

def test_two_of_one_name(source, into, migration, tmp_path):
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    other = begin(migration, source, there, **SMALL)
    other.start()
    assert other.wait_exit(60) == 1
    assert "another" in other.log_text() and there.name[-30:] in other.log_text()
    assert m.status()["phase"] == "synced" and m.running()


def test_held_up_for_longer_than_the_right_to_run_lasts(source, into, migration, tmp_path):
    """SIGSTOP past the lease; another run of the same state takes it over. The one that wakes up notices, and has undone nothing."""
    there = into()
    ledger = made(source, tmp_path, rate=40)
    m = begin(migration, source, there, **SMALL)
    with ledger:
        m.start()
        m.wait_phase("synced")
        os.kill(m.process.pid, signal.SIGSTOP)
        first, first_log = m.process, m.log_path()
        try:
            row = wait_for(lambda: not there.rows("SELECT holder FROM midflight.run_lock WHERE migration = %s", (there.name[-30:],)), 60, "the lease to end")
            assert row
            there.execute("INSERT INTO midflight.run_lock (migration, holder, host) VALUES (%s, 'somebody', 'somewhere') USING TTL 600", (there.name[-30:],))
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert m.wait_exit(120) == 1, m.tail()
        assert "somewhere" in m.log_text() or "right to run" in m.log_text(), m.tail()
        there.execute("DELETE FROM midflight.run_lock WHERE migration = %s", (there.name[-30:],))
        m.start()
        m.wait(lambda s: s["running"] and s["phase"] == "synced", 120, "synced")  # what is read first may be of the run before
        writes_more(ledger)
    judge(source, there, ledger, BULK)
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_held_up_and_nobody_came(source, into, migration, tmp_path):
    """The same without another run: it takes the right again and goes on."""
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    os.kill(m.process.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: not there.rows("SELECT holder FROM midflight.run_lock WHERE migration = %s", (there.name[-30:],)), 60, "the lease to end")
    finally:
        os.kill(m.process.pid, signal.SIGCONT)
    source.execute("UPDATE t SET n = n + 1")
    arrived(source, there, TABLE)
    wait_for(lambda: there.rows("SELECT holder FROM midflight.run_lock WHERE migration = %s", (there.name[-30:],)), 60, "the right to run again")
    assert m.running() and m.status()["phase"] == "synced"


def test_the_source_is_read_while_a_run_waits_for_a_killed_one(source, into, migration):
    """What a killed run left ends by itself: the next one waits for that long, and no longer."""
    there = into()
    source.execute(SIMPLE)
    m = begin(migration, source, there, **SMALL)
    m.start()
    m.wait_phase("synced")
    m.restart()
    m.wait_phase("synced", timeout=60)
    assert m.starts == 2
