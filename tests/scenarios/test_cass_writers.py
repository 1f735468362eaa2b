"""The application writes to both sides itself, with its own timestamps, while midflight streams. The rule: of two writes to a value the one with the greater
timestamp stays; a change of the source has the time of its commit there, a loaded row the time at which the stream began. So a newer write of the application's
is never undone, an older one never hides the source's, and what the application missed is found and mended by `verify --repair`."""
import random
import time

from harness.casscompare import compare_table
from harness.cassrun import SMALL, arrived, begin
from harness.servers import wait_for

TABLE = {"t": (["id", "v", "w"], ["id"])}


def now_us() -> int:
    return time.time_ns() // 1000


def commit_us(source, statement: str) -> int:
    """Carries it out; the source's time of the commit or a little later."""
    with source.connect() as connection:
        connection.execute(statement)
    return source.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def start(source, there, migration, rows: int = 50, **config):
    source.execute(f"CREATE TABLE t (id int PRIMARY KEY, v text, w text); INSERT INTO t SELECT i, 'source', 'w' FROM generate_series(1, {rows}) i")
    m = begin(migration, source, there, **SMALL, **config)
    m.start()
    m.wait_phase("synced")
    return m


def rows(there) -> dict:
    return {i: (v, w) for i, v, w in there.rows(f"SELECT id, v, w FROM {there.name}.t")}


def seen(source, there, marker: int) -> None:
    """All of the stream up to here."""
    source.execute(f"INSERT INTO t VALUES ({marker}, 'marker', NULL)")
    wait_for(lambda: marker in rows(there), 60, "the stream")


def test_neither_undoes_what_is_newer(source, into, migration):
    there = into()
    m = start(source, there, migration)
    t = f"{there.name}.t"
    at = commit_us(source, "UPDATE t SET v = 'first' WHERE id <= 4")
    seen(source, there, 1000)
    # Newer than the source's change, by the application's clock; older; of another column; a deletion.
    there.execute(f"INSERT INTO {t} (id, v) VALUES (1, 'newer') USING TIMESTAMP {at + 1_000_000}")
    there.execute(f"INSERT INTO {t} (id, v) VALUES (2, 'older') USING TIMESTAMP {at - 60_000_000}")
    there.execute(f"INSERT INTO {t} (id, w) VALUES (3, 'other') USING TIMESTAMP {at + 1_000_000}")
    there.execute(f"DELETE FROM {t} USING TIMESTAMP {at - 60_000_000} WHERE id = 4")
    there.execute(f"DELETE FROM {t} USING TIMESTAMP {at - 600_000_000} WHERE id = 5")
    found = rows(there)
    assert found[1] == ("newer", "w") and found[2] == ("first", "w") and found[3] == ("first", "other") and found[4] == ("first", "w") and found[5] == ("source", "w")
    # The stream read again from an earlier place, and written again, changes nothing of it.
    m.restart()
    m.wait_phase("synced")
    seen(source, there, 1001)
    assert rows(there)[1] == ("newer", "w")
    # A later change of the source is newer again.
    wait_for(lambda: now_us() > at + 2_000_000, 10, "the clock")
    source.execute("UPDATE t SET v = 'second' WHERE id = 1")
    seen(source, there, 1002)
    assert rows(there)[1] == ("second", "w")


def test_an_application_that_writes_both_sides(source, into, migration):
    """It writes the source, then the target with the time after the commit, and misses one in ten on the target, as after a crash. In the end nothing differs
    but what nobody can know: nothing."""
    there = into()
    rng = random.Random(6)
    m = start(source, there, migration, rows=200)
    t = f"{there.name}.t"
    write = there.session.prepare(f"INSERT INTO {t} (id, v, w) VALUES (?, ?, ?) USING TIMESTAMP ?")
    remove = there.session.prepare(f"DELETE FROM {t} USING TIMESTAMP ? WHERE id = ?")
    with source.connect() as connection:
        for i in range(300):
            id_, value = rng.randint(1, 250), f"n{i}"
            if rng.random() < 0.2:
                connection.execute("DELETE FROM t WHERE id = %s", (id_,))
                if rng.random() > 0.1:
                    there.session.execute(remove, (now_us(), id_))
            else:
                connection.execute("INSERT INTO t VALUES (%s, %s, 'w') ON CONFLICT (id) DO UPDATE SET v = excluded.v", (id_, value))
                if rng.random() > 0.1:
                    there.session.execute(write, (id_, value, "w", now_us()))
    arrived(source, there, TABLE)
    assert m.call("verify", "--json").json["rows_differing"] == 0


def test_what_the_application_missed_is_found_and_mended(source, into, migration):
    """Writes that only the target got, or only the source while the stream could not win: verify names them. --repair mends what is not newer than it."""
    there = into()
    m = start(source, there, migration)
    t = f"{there.name}.t"
    there.execute(f"INSERT INTO {t} (id, v, w) VALUES (900, 'only here', 'x')")
    there.execute(f"INSERT INTO {t} (id, v) VALUES (10, 'wrong here')")
    there.execute(f"DELETE FROM {t} WHERE id = 11")
    hour = now_us() + 3600 * 1_000_000
    there.execute(f"INSERT INTO {t} (id, v) VALUES (12, 'of a clock that is wrong') USING TIMESTAMP {hour}")
    source.execute("UPDATE t SET v = 'later' WHERE id = 12")  # by its time, it is older
    seen(source, there, 1000)
    reply = m.call("verify", "--json", expect=4).json
    assert reply["rows_differing"] == 4, reply
    reply = m.call("verify", "--repair", "--json", expect=4)
    found = rows(there)
    assert 900 not in found and found[10] == ("source", "w") and found[11] == ("source", "w")
    assert found[12][0] == "of a clock that is wrong"  # newer than all that anybody here may write
    reply = m.call("verify", "--json", expect=4).json
    assert reply["rows_differing"] == 1, reply
    # Whose clock it was has to be asked; what is written with a timestamp of the same time mends it.
    there.execute(f"DELETE v FROM {t} USING TIMESTAMP {hour} WHERE id = 12")
    there.execute(f"INSERT INTO {t} (id, v) VALUES (12, 'later') USING TIMESTAMP {hour + 1}")
    assert m.call("verify", "--json").json["rows_differing"] == 0
    with source.connect() as connection:
        assert compare_table(connection, there.session, there.name, "t", *TABLE["t"]).equal


def test_the_sources_clock_is_behind(source, into, migration):
    """Stamps are the source's time: the application's writes here seem newer by as much, and stay; nothing of the stream's own is lost. A row written in the
    seconds before is simply older."""
    there = into()
    m = start(source, there, migration)
    t = f"{there.name}.t"
    ahead = now_us() + 5_000_000
    there.execute(f"INSERT INTO {t} (id, v) VALUES (1, 'from ahead') USING TIMESTAMP {ahead}")
    source.execute("UPDATE t SET v = 'x' WHERE id <= 2; DELETE FROM t WHERE id = 3; UPDATE t SET id = 3 WHERE id = 4")
    seen(source, there, 1000)
    found = rows(there)
    assert found[1][0] == "from ahead" and found[2][0] == "x" and found[3] == ("source", "w") and 4 not in found
    wait_for(lambda: now_us() > ahead + 1_000_000, 20, "the clock")
    m.call("verify", expect=4)
    m.call("verify", "--repair")
    assert rows(there)[1] == ("x", "w")
