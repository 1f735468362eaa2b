"""A target that was emptied or altered while it, or before it, takes the writes: what is missing there is not deleted on the source."""
import time

import pytest

from harness.servers import wait_for

ROWS = 500
REVERSE = {"pause": "200ms", "max_pause": "5m"}


def begin(migration, source, there):
    source.execute(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, {ROWS}) i;"
                   "CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (1, 'x')")
    m = migration(source, there, config={"migration": there.name[-30:], "reverse": dict(REVERSE), "heartbeat": "1s",
                                               "cutover": {"max_pause": "20s", "flag_delay": "500ms"}})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    return m


def whole(m, more: int = 2) -> None:
    """So many passes more; of two, one began after this call."""
    at = m.status()["passes"]["whole"]
    m.wait(lambda s: s["passes"]["whole"] >= at + more, what="whole passes")


def trouble(m, code: str, text: str = "") -> str:
    said = lambda s: ((s.get("passes") or {}).get("trouble") or "")
    return said(m.wait(lambda s: f"({code})" in said(s) and text in said(s), what=f"passes that say {code} {text}"))


def again(m, **reverse) -> None:
    m.configure(reverse={**REVERSE, **reverse})
    m.restart()
    m.wait(lambda s: s.get("streams_open"), what="the streams of a new run")


def counted(source) -> tuple:
    return tuple(source.rows("SELECT count(*), count(v) FROM t")[0])


def drop_and_create(there, with_id: str = "") -> None:
    there.session.execute(f"DROP TABLE {there.name}.t")
    there.session.execute(f"CREATE TABLE {there.name}.t (id int PRIMARY KEY, v text){with_id}")


def refill(there) -> None:
    put = there.session.prepare(f"INSERT INTO {there.name}.t (id, v) VALUES (?, 'v')")
    for i in range(1, ROWS + 1):
        there.session.execute(put, (i,))


def test_a_truncated_table_does_not_empty_the_source(source, migration, into):
    there = into()
    m = begin(migration, source, there)
    m.call("cutover")
    for i in range(1, 91):  # what goes in the ordinary way goes
        there.session.execute(f"DELETE FROM {there.name}.t WHERE id = {i}")
    wait_for(lambda: counted(source) == (ROWS - 90, ROWS - 90), 60, "the deletions")
    there.session.execute(f"TRUNCATE {there.name}.t")
    there.session.execute(f"INSERT INTO {there.name}.u (id, v) VALUES (2, 'y')")
    told = trouble(m, "MFEMPTIED")
    assert "public.t" in told and f"{ROWS - 90} of the source's {ROWS - 90} rows" in told and "reverse.max_deletes" in told, told
    reply = m.call("rollback", expect=3)
    assert "MFEMPTIED" in reply.err + reply.out, reply
    assert m.status()["writes"] == "target" and counted(source)[0] == ROWS - 90
    refill(there)
    whole(m)
    assert m.status()["passes"]["trouble"] is None and counted(source) == (ROWS, ROWS)
    there.session.execute(f"TRUNCATE {there.name}.t")
    trouble(m, "MFEMPTIED")
    again(m, max_deletes=100)
    wait_for(lambda: counted(source)[0] == 0, 60, "what the user has allowed")
    m.call("rollback")
    assert source.value("SELECT count(*) FROM u") == 2


def test_a_table_that_was_truncated_before_the_cutover_is_seen_by_the_first_pass(source, migration, into):
    there = into()
    m = begin(migration, source, there)
    there.session.execute(f"TRUNCATE {there.name}.t")
    assert there.value(f"SELECT count(*) FROM {there.name}.t") == 0
    m.call("cutover")
    trouble(m, "MFEMPTIED")
    m.call("rollback", expect=3)
    assert counted(source) == (ROWS, ROWS)


def table_id(there) -> str:
    return str(there.value("SELECT id FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 't'", (there.name,)))


@pytest.mark.parametrize("restart", [False, True])
def test_a_table_that_was_made_again_does_not_empty_the_source(source, migration, into, restart):
    there = into()
    m = begin(migration, source, there)
    m.call("cutover")
    whole(m, 1)
    was = table_id(there)
    drop_and_create(there)
    if restart:
        again(m)
    trouble(m, "MFGUARD", "public.t of the target is another one")
    reply = m.call("rollback", expect=3)
    assert "public.t" in reply.err + reply.out, reply
    assert counted(source) == (ROWS, ROWS) and m.status()["writes"] == "target"
    drop_and_create(there, f" WITH id = {was}")
    refill(there)
    whole(m)
    if not restart:
        m.call("rollback")
        assert counted(source) == (ROWS, ROWS)


@pytest.mark.parametrize("restart", [False, True])
def test_a_table_that_was_made_again_before_the_cutover(source, migration, into, restart):
    there = into()
    m = begin(migration, source, there)
    drop_and_create(there)
    reply = m.call("cutover", expect=3)
    assert "public.t of the target is another one" in reply.err + reply.out, reply
    if restart:
        again(m)
    m.call("cutover", expect=3)
    m.call("verify", expect=4)
    m.call("cutover", expect=3)
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
    m.call("cutover")
    whole(m)
    assert m.status()["passes"]["trouble"] is None and counted(source) == (ROWS, ROWS)
    m.call("rollback")
    assert counted(source) == (ROWS, ROWS)


def column_again(there) -> None:
    there.session.execute(f"ALTER TABLE {there.name}.t DROP v")
    there.session.execute(f"ALTER TABLE {there.name}.t ADD v text")


@pytest.mark.parametrize("restart", [False, True])
def test_a_column_that_was_made_again_before_the_cutover(source, migration, into, restart):
    there = into()
    m = begin(migration, source, there)
    column_again(there)
    if restart:
        again(m)
    reply = m.call("cutover", expect=3)
    assert '"v" (or itself) dropped and made again' in reply.err + reply.out, reply
    assert m.status()["writes"] == "source" and counted(source) == (ROWS, ROWS)
    m.call("verify", expect=4)
    m.call("cutover", expect=3)
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
    m.call("cutover")
    m.call("rollback")
    assert counted(source) == (ROWS, ROWS)


@pytest.mark.parametrize("restart", [False, True])
def test_a_column_that_was_made_again_after_the_cutover(source, migration, into, restart):
    there = into()
    m = begin(migration, source, there)
    m.call("cutover")
    whole(m, 1)
    column_again(there)
    if restart:
        again(m)
    trouble(m, "MFGUARD")
    m.call("rollback", expect=3)
    assert counted(source) == (ROWS, ROWS)


def test_keys_that_only_the_source_takes_for_equal_do_not_hold_writers(source, migration, into):
    there = into()
    source.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                   "CREATE TABLE k (id text COLLATE ci PRIMARY KEY, v text); INSERT INTO k SELECT 'ann' || i, 'first' FROM generate_series(1, 20) i")
    m = begin(migration, source, there)
    m.call("cutover")
    for i in range(1, 21):
        there.session.execute(f"INSERT INTO {there.name}.k (id, v) VALUES ('Ann{i}', 'second')")
    m.wait(lambda s: s["passes"]["rows_left"] > 0, what="rows that do not come back")
    began = time.monotonic()
    reply = m.call("rollback", expect=3)
    assert "MFLEFT" in reply.err + reply.out, reply
    assert time.monotonic() - began < 150, "of reverse.max_pause, 300 s"
    assert m.status()["writes"] == "target"
    for i in range(1, 21):
        there.session.execute(f"DELETE FROM {there.name}.k WHERE id = 'Ann{i}'")
    m.call("rollback")
    assert source.rows("SELECT count(*), count(*) FILTER (WHERE v = 'first') FROM k") == [(20, 20)]
