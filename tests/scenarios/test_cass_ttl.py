"""Rows that end by themselves: the map's `ttl` names the column that says when. They go on the target at that moment, however often they are written, and verify finds
both sides equal before, while, and after; what is wrong in one it names."""
from harness.cassrun import SMALL, begin
from harness.servers import wait_for

SESSIONS = ("CREATE TABLE sessions (id int PRIMARY KEY, who text NOT NULL, ends timestamptz, note text);"
            "INSERT INTO sessions VALUES (1, 'a', NULL, 'never'), (2, 'a', now() - interval '1 second', 'over'), (3, 'b', now() + interval '1 hour', 'later'),"
            " (4, 'b', now() + interval '15 seconds', NULL)")
MAP = [{"table": "sessions", "to": "by_who", "partition": ["who"], "clustering": ["id"], "ttl": "ends"},
       {"table": "sessions", "to": "by_id", "partition": ["id"], "columns": ["*", {"name": "ends", "as": "ended", "type": "timestamp"}], "ttl": "ended"},
       {"table": "sessions", "to": "kept", "columns": ["id", "note"]}]


def do(source, sql: str) -> None:
    """In whole milliseconds: a timestamp of Cassandra has no more."""
    source.execute(sql.replace("now()", "date_trunc('milliseconds', now())"))


def ids(there, table: str) -> set:
    return {r[0] for r in there.rows(f"SELECT id FROM {there.name}.{table}")}


def gone_at(there, id_: int):
    """The second in which the row ends, by the node's clock; None: never; 0: it is not there."""
    rows = there.rows(f"SELECT TTL(who), toUnixTimestamp(now()) FROM {there.name}.by_id WHERE id = {id_}")
    return 0 if not rows else None if rows[0][0] is None else rows[0][1] // 1000 + rows[0][0]


def about(there, id_: int, second: float) -> bool:
    at = gone_at(there, id_)
    return bool(at) and abs(at - second) <= 3


def equal(m) -> None:
    assert m.call("verify", "--json").json["rows_differing"] == 0


def end_of(source, id_: int) -> float:
    return float(source.value(f"SELECT extract(epoch FROM ends) FROM sessions WHERE id = {id_}"))


def test_rows_end_when_their_column_says(source, into, migration):
    there = into()
    do(source, SESSIONS)
    m = begin(migration, source, there, map=MAP, **SMALL)
    m.start()
    m.wait_phase("synced")
    for table in ("by_who", "by_id"):
        assert ids(there, table) - {4} == {1, 3}, table
    assert ids(there, "kept") == {1, 2, 3, 4}
    assert gone_at(there, 1) is None and about(there, 3, end_of(source, 3))
    equal(m)
    wait_for(lambda: 4 not in ids(there, "by_id") | ids(there, "by_who"), 60, "the row to end")
    assert 4 in ids(there, "kept")
    equal(m)
    # Moved, taken away, given.
    do(source, "UPDATE sessions SET ends = ends + interval '1 hour' WHERE id = 3")
    wait_for(lambda: about(there, 3, end_of(source, 3)), 60, "a later end")
    do(source, "UPDATE sessions SET ends = now() + interval '10 minutes' WHERE id = 3")
    wait_for(lambda: about(there, 3, end_of(source, 3)), 60, "an earlier end")
    do(source, "UPDATE sessions SET ends = NULL WHERE id = 3; UPDATE sessions SET ends = now() + interval '1 hour' WHERE id = 1")
    wait_for(lambda: gone_at(there, 3) is None and about(there, 1, end_of(source, 1)), 60, "no end, and one")
    equal(m)
    do(source, "UPDATE sessions SET ends = now() - interval '1 day' WHERE id IN (1, 3); INSERT INTO sessions VALUES (5, 'c', now() - interval '1 minute', 'late'), (6, 'c', NULL, 'x')")
    wait_for(lambda: ids(there, "by_who") == ids(there, "by_id") == {6}, 60, "rows that are over to go")
    equal(m)
    do(source, "UPDATE sessions SET ends = NULL WHERE id = 1; UPDATE sessions SET ends = now() + interval '1 hour', who = 'z' WHERE id = 3; UPDATE sessions SET note = 'y'")
    wait_for(lambda: ids(there, "by_who") == {1, 3, 6} and about(there, 3, end_of(source, 3)), 60, "rows to come back")
    equal(m)
    # Somebody else's write to a row that ends, and one that takes its end away.
    there.execute(f"UPDATE {there.name}.by_id SET note = 'tampered' WHERE id = 3")
    there.execute(f"DELETE FROM {there.name}.by_who WHERE who = 'z' AND id = 3")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 2
    m.call("verify", "--repair")
    equal(m)
    assert about(there, 3, end_of(source, 3))


def test_a_row_that_should_be_over_is_named(source, into, migration):
    """Somebody else wrote it to the target without its end."""
    there = into()
    do(source, SESSIONS + "; INSERT INTO sessions VALUES (7, 'd', now() + interval '10 seconds', 'x')")
    m = begin(migration, source, there, map=MAP, **SMALL)
    m.start()
    m.wait_phase("synced")
    there.execute(f"INSERT INTO {there.name}.by_id (id, who, ended, note) VALUES (7, 'd', '{source.value('SELECT ends FROM sessions WHERE id = 7').isoformat(timespec='milliseconds')}', 'x')")
    wait_for(lambda: not {4, 7} & ids(there, "by_who"), 60, "the rows to end")
    assert 7 in ids(there, "by_id")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 1
    m.call("verify", "--repair")
    assert 7 not in ids(there, "by_id")
    equal(m)


def test_mysql(mysql_database, into, migration):
    """A moment, and a time without a zone, which is taken as one in UTC."""
    source, there = mysql_database("source", "8.0"), into()
    source.execute("CREATE TABLE sessions (id int PRIMARY KEY, who varchar(20) NOT NULL, ends timestamp NULL, done datetime(6), note text)")
    source.execute("INSERT INTO sessions VALUES (1, 'a', now() + interval 1 hour, utc_timestamp(6) + interval 2 hour, 'x'), (2, 'b', now() - interval 1 hour, NULL, 'y'), (3, 'c', NULL, utc_timestamp(6) - interval 1 second, 'z')")
    m = begin(migration, source, there, map=[{"table": "sessions", "to": "by_id", "ttl": "ends"}, {"table": "sessions", "to": "by_over", "ttl": "done"}], **SMALL)
    m.start()
    m.wait_phase("synced")
    lasts = lambda table, id_: there.value(f"SELECT TTL(who) FROM {there.name}.{table} WHERE id = {id_}")
    assert ids(there, "by_id") == {1, 3} and ids(there, "by_over") == {1, 2}
    assert 3000 < lasts("by_id", 1) <= 3601 < 6600 < lasts("by_over", 1) <= 7201 and lasts("by_id", 3) is None
    source.execute("UPDATE sessions SET ends = now() + interval 3 hour, note = 'new' WHERE id > 1")
    wait_for(lambda: ids(there, "by_id") == {1, 2, 3}, 60, "the stream")
    wait_for(lambda: lasts("by_id", 3), 60, "its end")
    assert ids(there, "by_over") == {1, 2}
    equal(m)


def test_rows_that_end_all_the_time_are_no_differences(source, into, migration):
    there = into()
    do(source, SESSIONS + "; INSERT INTO sessions SELECT i, 'w' || i % 7, now() + make_interval(secs => i % 40), 'n' FROM generate_series(100, 3000) i")
    m = begin(migration, source, there, map=MAP, **SMALL)
    m.start()
    m.wait_phase("synced")
    while len(ids(there, "by_id")) > 2:
        equal(m)
    equal(m)
    assert ids(there, "by_who") == ids(there, "by_id") == {1, 3}


def test_a_replay_lengthens_no_life(source, into, migration):
    there = into()
    do(source, SESSIONS)
    m = begin(migration, source, there, map=MAP, **SMALL)
    m.start()
    m.wait_phase("synced")
    m.kill()
    do(source, "UPDATE sessions SET ends = now() + interval '30 minutes' WHERE id = 3; INSERT INTO sessions VALUES (7, 'd', now() + interval '20 minutes', 'x')")
    m.start(fault="cassandra.window_commit:1=kill")
    m.wait_exit()
    first = {i: gone_at(there, i) for i in (3, 7)}
    assert all(about(there, i, end_of(source, i)) for i in first)
    # Some seconds later all of it is written again.
    wait_for(lambda: there.value("SELECT toUnixTimestamp(now()) FROM system.local") / 1000 > end_of(source, 7) - 1200 + 5, 60, "time to pass")
    m.start()
    m.wait_phase("synced")
    do(source, "INSERT INTO sessions VALUES (8, 'd', NULL, 'last')")
    wait_for(lambda: 8 in ids(there, "by_id"), 60, "the stream")
    for i, at in first.items():
        assert abs(gone_at(there, i) - at) <= 1, (i, gone_at(there, i), at)
    equal(m)


def test_what_cannot_be(source, into, migration):
    """A life that is too long waits in quarantine; a column that says no moment is refused with the line."""
    there = into()
    do(source, SESSIONS + "; ALTER TABLE sessions ADD seconds int, ADD day date; INSERT INTO sessions VALUES (9, 'e', now() + interval '21 years', 'x')")
    for i, (ttl, why) in enumerate([("seconds", "must be a time stamp"), ("day", "no time stamp"), ("nothing", "no column"), ("note", "no time stamp")]):
        m = migration(source, there.url(), config={"migration": f"ends{i}", "map": [{"table": "sessions", "to": "by_id", "ttl": ttl}]})
        assert why in m.call("plan", expect=2).err
    m = begin(migration, source, there, map=MAP, **SMALL)
    m.start()
    m.wait_phase("synced")
    kept = lambda: {(e["table"], e["key"]) for e in m.call("quarantine", "list", "--json").json["rows"]}
    wait_for(lambda: len(kept()) == 2, 60, "both in quarantine")
    assert 9 not in ids(there, "by_id") | ids(there, "by_who") and 9 in ids(there, "kept")
    do(source, "UPDATE sessions SET ends = NULL WHERE id = 9")
    wait_for(lambda: not kept() and 9 in ids(there, "by_id"), 60, "the row")
    equal(m)
