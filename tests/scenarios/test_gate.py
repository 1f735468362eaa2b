"""The gate inside the database: every way to write meets it, and no snapshot or open session gets past a decision."""
import sys
import threading

import psycopg
import pytest

from harness.loads import waits_of
from harness.servers import wait_for

READ_ONLY = "25006"
SERIALIZATION = "40001"

WRITES = {
    "insert": "INSERT INTO t VALUES (100, 'x')",
    "update": "UPDATE t SET v = 'x' WHERE id = 1",
    "update of no row": "UPDATE t SET v = 'x' WHERE id = -1",
    "delete": "DELETE FROM t WHERE id = 2",
    "truncate": "TRUNCATE t",
    "upsert": "INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'x'",
    "writable cte": "WITH w AS (INSERT INTO t VALUES (101, 'x') RETURNING id) SELECT * FROM w",
    "function": "SELECT write_it()",
    "merge": "MERGE INTO t USING (VALUES (1)) AS s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = 'x'",
    "partition root": "INSERT INTO p VALUES (1, 1)",
    "partition leaf": "INSERT INTO p_1 VALUES (1, 1)",
    "cascade": "DELETE FROM parent WHERE id = 1",
    "replica role": "SET session_replication_role = replica; INSERT INTO t VALUES (102, 'x')",
}

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one'), (2, 'two');
CREATE TABLE p (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1, 1);
CREATE FUNCTION write_it() RETURNS void LANGUAGE sql AS 'INSERT INTO public.t VALUES (103, ''x'')';
"""


@pytest.fixture
def max_pause():
    return "30s"


soon_given_up = pytest.mark.parametrize("max_pause", ["5s"])


@pytest.fixture
def synced(source, target, migration, max_pause):
    with source.connect() as c:
        c.execute(SCHEMA)
    m = migration(source, target, config={"cutover": {"max_pause": max_pause}})
    m.start()
    m.wait_phase("synced")
    return m


def test_an_autovacuum_gives_way(own_server, target, migration):
    """It holds a lock that a gate needs, for hours on a large table."""
    source = own_server(15, name="vacuumed", settings={"autovacuum_naptime": "1s"}).create_database("vacuumed")
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    source.execute("ALTER TABLE t SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);"
                   "UPDATE t SET v = v WHERE id % 2 = 0")
    wait_for(lambda: source.value("SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid WHERE backend_type = 'autovacuum worker'"
                                  " AND l.relation = 't'::regclass AND l.mode = 'ShareUpdateExclusiveLock'"), 60, "an autovacuum of the table")
    m.call("cutover")
    assert m.status()["writes"] == "target"


def refused(connection, sql: str) -> str:
    with pytest.raises(psycopg.Error) as e:
        connection.execute(sql)
    return e.value.sqlstate


def test_every_way_to_write_is_refused_while_closed_and_works_after(synced, source):
    early = source.connect()  # a session from before the gate, with a cached plan
    early.prepare_threshold = 0
    early.execute("UPDATE t SET v = %s WHERE id = 1", ("one",))
    synced.call("freeze")
    assert refused(early, "UPDATE t SET v = 'x' WHERE id = 1") == READ_ONLY
    for what, sql in WRITES.items():
        with source.connect() as c:
            assert refused(c, sql) == READ_ONLY, what
    with source.connect() as c, pytest.raises(psycopg.Error) as e:
        with c.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write(b"104\tx\n")
    assert e.value.sqlstate == READ_ONLY
    assert "midflight" in str(e.value) and e.value.diag.message_hint
    with source.connect() as c:
        assert c.execute("SELECT count(*) FROM t").fetchone()[0] == 2
    synced.call("thaw")
    for sql in (WRITES["insert"], WRITES["partition root"], WRITES["cascade"]):
        early.execute(sql)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_from_before_the_decision_cannot_write(synced, source, isolation):
    with source.connect() as c:
        c.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        c.execute("SELECT count(*) FROM t")
        synced.call("freeze")
        assert refused(c, "INSERT INTO t VALUES (200, 'late')") in (SERIALIZATION, READ_ONLY)
        c.execute("ROLLBACK")
    with source.connect() as c:
        assert c.execute("SELECT count(*) FROM t WHERE id = 200").fetchone()[0] == 0


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_from_between_two_decisions_cannot_write(synced, source, isolation):
    synced.call("freeze")
    synced.call("thaw")
    with source.connect() as c:
        c.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        c.execute("SELECT count(*) FROM t")
        synced.call("freeze")
        assert refused(c, "INSERT INTO t VALUES (201, 'late')") in (SERIALIZATION, READ_ONLY)
        c.execute("ROLLBACK")


def test_a_writer_that_waits_through_a_decision_is_refused(synced, source):
    synced.call("freeze")
    synced.call("thaw")
    slow = source.connect(autocommit=False)
    slow.execute("INSERT INTO t VALUES (300, 'in flight')")
    outcome = {}

    def freeze():
        outcome["freeze"] = synced.call("freeze", expect=None).exit

    def write():
        try:
            with source.connect() as c:
                c.execute("INSERT INTO t VALUES (301, 'waited')")
            outcome["write"] = "went through"
        except psycopg.Error as e:
            outcome["write"] = e.sqlstate

    freezing = threading.Thread(target=freeze)
    freezing.start()

    def waiting() -> int:
        return source.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    wait_for(waiting, 60, "the hold waits for the transaction in flight")
    writing = threading.Thread(target=write)
    writing.start()
    wait_for(lambda: not writing.is_alive() or waiting() == 2, 60, "the writer waits")
    slow.execute("INSERT INTO t VALUES (302, 'still in flight')")  # holds the lock already: goes on at once
    slow.commit()
    freezing.join(60)
    writing.join(60)
    assert outcome == {"freeze": 0, "write": READ_ONLY}
    with source.connect() as c:
        assert [r[0] for r in c.execute("SELECT id FROM t WHERE id >= 300 ORDER BY id")] == [300, 302]


@soon_given_up
def test_a_transaction_that_does_not_end_leaves_everything_as_it_was(synced, source):
    synced.call("freeze")
    synced.call("thaw")
    slow = source.connect(autocommit=False)
    slow.execute("INSERT INTO t VALUES (400, 'for ever')")
    result = synced.call("freeze", expect=None)
    assert result.exit == 3 and "did not end" in result.err + result.out
    with source.connect() as c:
        c.execute("INSERT INTO t VALUES (401, 'goes through')")
    slow.rollback()


@soon_given_up
def test_a_prepared_transaction_is_waited_for(synced, source):
    synced.call("freeze")
    synced.call("thaw")
    with source.connect() as c:
        c.execute("BEGIN; INSERT INTO t VALUES (500, 'prepared'); PREPARE TRANSACTION 'gate'")
        assert synced.call("freeze", expect=None).exit == 3
        c.execute("COMMIT PREPARED 'gate'")
    synced.call("freeze")


def test_gates_switched_off_and_on_by_the_owner_are_still_removed(synced, source, target):
    """ALTER TABLE … ENABLE TRIGGER USER after a bulk load takes the gate's ALWAYS away: it must go all the same."""
    synced.call("verify")
    synced.call("cutover")
    with source.connect() as a, target.connect() as b:
        for c in (a, b):
            c.execute("ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE parent DISABLE TRIGGER USER; ALTER TABLE parent ENABLE TRIGGER USER")
            c.execute("ALTER TRIGGER midflight_gate_test ON child RENAME TO somebody_renamed_it")
        synced.call("complete")
        for c in (a, b):
            assert c.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").fetchone() == (0,)
            assert c.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'").fetchone() == (0,)


@pytest.mark.parametrize("what", ["ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE t ENABLE TRIGGER USER", "DROP TRIGGER midflight_gate_test ON parent"])
def test_a_gate_that_does_not_stand_when_writers_are_held_abandons_the_cutover(source, target, migration, what):
    """The hook runs between the gates and the hold; what somebody does to a gate there must be seen."""
    source.execute(SCHEMA)
    m = migration(source, target)
    script = m.dir / "switch_off.py"
    script.write_text(f"import psycopg\npsycopg.connect({source.url()!r}, autocommit=True).execute({what!r})\n")
    m.hook("on_before_cutover", f'test -e "{m.dir}/once" || "{sys.executable}" "{script}"\ntouch "{m.dir}/once"\n')
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    result = m.call("cutover", expect=3)
    assert "MFGATE" in result.err and ("public.parent" if "parent" in what else "public.t") in result.err, result
    assert m.status()["writes"] == "source"
    source.execute("INSERT INTO t VALUES (300, 'writers go on')")
    m.call("cutover")  # the gates are put up anew
    with target.connect() as c:
        assert c.execute("SELECT v FROM t WHERE id = 300").fetchone() == ("writers go on",)


def test_a_subscription_that_writes_past_the_gate_is_named(synced, source, target, database):
    """Apply workers fire row triggers only: no statement trigger stops them."""
    other = database("source", 15)
    other.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t")
    name = f"sub_{source.name}"[:60].lower()
    other.rows(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    with source.connect() as c:
        c.execute(f"CREATE SUBSCRIPTION {name} CONNECTION 'host={source.server.dir} port={source.server.port} user=postgres dbname={other.name}'"
                  f" PUBLICATION p WITH (create_slot = false, slot_name = '{name}', copy_data = false)")
    try:
        found = synced.call("check", expect=(0, 3)).out
        assert "(subscription)" in found and f"ALTER SUBSCRIPTION {name} DISABLE;" in found, found
        synced.call("verify")
        result = synced.call("cutover", expect=3)
        assert "MFSUBSCRIPTION" in result.err and name in result.err and "public.t" in result.err, result
        assert "MFSUBSCRIPTION" in synced.call("freeze", expect=3).err
        with source.connect() as c:
            c.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
            wait_for(lambda: c.execute("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL").fetchone() == (0,), 60, "its worker ended")
        synced.call("cutover")
    finally:
        with source.connect() as c:
            c.execute(f"ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}")


def gates(database) -> int:
    return database.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'midflight_gate_test'")


def test_a_first_freeze_that_fails_leaves_no_gate(synced, source):
    synced.stop()
    synced.start(fault="postgres.held=error")
    synced.wait(lambda s: s["running"] and s["phase"] == "synced", 60, "synced")
    assert synced.call("freeze", expect=None).exit == 3
    assert gates(source) == 0
    assert not synced.status()["frozen"]
    synced.call("freeze")
    assert gates(source) > 0
    status = synced.status()
    assert status["writes"] == "source" and status["frozen"]
    synced.call("thaw")
    status = synced.status()
    assert status["writes"] == "source" and not status["frozen"] and status["cutovers"] == 0


def test_abandoning_holds_nobody(synced, source):
    """long_transactions: abandon never stands in the writers' queue, so that a writer of that moment does not wait."""
    synced.configure(cutover={"long_transactions": "abandon", "require_verified": False})
    synced.stop()
    synced.start()
    synced.wait(lambda s: s["running"] and s["phase"] == "synced", 60, "synced")
    synced.call("freeze")
    synced.call("thaw")
    with source.connect() as slow, source.connect() as writer:
        slow.execute("BEGIN; INSERT INTO t VALUES (600, 'long')")
        with waits_of(lambda: writer.execute("UPDATE t SET v = 'x' WHERE id = 1")) as waits:
            result = synced.call("cutover", "--max-pause", "15s", expect=3)
        assert "did not end" in result.err + result.out
        assert max(waits) < 8, max(waits)  # in the queue it would be fifteen seconds
        slow.execute("ROLLBACK")


def test_a_freeze_whose_answer_is_lost_is_asked_for(synced, source):
    synced.stop()
    synced.start(fault="postgres.decided=error")
    synced.wait(lambda s: s["running"] and s["phase"] == "synced", 60, "synced")
    synced.call("freeze")
    assert synced.status()["frozen"]
    with source.connect() as c:
        assert refused(c, "INSERT INTO t VALUES (700, 'x')") == READ_ONLY
    synced.call("thaw")
    source.execute("INSERT INTO t VALUES (700, 'x')")
    assert synced.status()["cutovers"] == 0
