"""The way back from a real Apache Cassandra, as it goes wrong: rows that the source refuses, references to nothing, rows that cannot be carried, and the end."""
from contextlib import closing

import pytest

from harness.servers import wait_for
from test_cass_moves import FAST, begin, one_more_pass, passes, rows_of_source


def entries(m) -> list[dict]:
    return m.call("quarantine", "list", "--json").json["rows"]


def moved(m) -> None:
    m.call("verify")
    m.call("cutover")


@pytest.fixture(params=["postgres", "mysql"])
def origin(request):
    if request.param == "postgres":
        return request.getfixturevalue("source"), "text"
    return request.getfixturevalue("mysql_database")("source", "8.0"), "text CHARACTER SET utf8mb4"


# What the source refuses is `owner` without a value, which is NOT NULL there.


def test_what_the_source_has_of_a_refused_row_stays(origin, migration, into):
    (source, text), there = origin, into()
    m = begin(migration, source, there, text=text, rows=50)
    moved(m)
    run, name = there.session.execute, f"{there.name}.account"
    run(f"UPDATE {name} SET owner = null, version = 5 WHERE id = 7")
    run(f"UPDATE {name} SET owner = null WHERE id = 8")
    run(f"UPDATE {name} SET version = 2 WHERE id = 9")
    one_more_pass(m)
    one_more_pass(m)
    rows = rows_of_source(source)
    assert rows[7] == (0, 1, "note 7") and rows[8] == (1, 1, "note 8") and rows[9] == (2, 2, "note 9")
    m.wait(lambda s: s["quarantine"]["rows"] == 2 and s["passes"]["rows_refused"] == 2, what="two refused rows")
    assert m.status()["passes"]["trouble"] is None
    assert sorted(e["key"] for e in entries(m)) == ["id=7", "id=8"]
    m.call("rollback", expect=3)
    run(f"UPDATE {name} SET owner = 3 WHERE id IN (7, 8)")
    m.wait(lambda s: s["quarantine"]["rows"] == 0 and s["passes"]["rows_refused"] == 0, what="nothing refused any more")
    m.call("rollback")
    assert rows_of_source(source)[7] == (3, 5, "note 7")


def test_many_refused_rows_cost_a_pass_little_and_never_leave_quarantine(origin, migration, into):
    (source, text), there = origin, into()
    m = begin(migration, source, there, text=text, rows=3000, reverse={**FAST["reverse"], "max_deletes": 100})  # the end empties the table
    moved(m)
    put = there.session.prepare(f"INSERT INTO {there.name}.account (id, owner, version, note) VALUES (?, null, 2, 'refused')")
    for wave in range(10):
        for answer in [there.session.execute_async(put, (i,)) for i in range(1 + wave * 100, 101 + wave * 100)]:
            answer.result()
    m.wait(lambda s: s["quarantine"]["rows"] == 1000, what="the refused rows in quarantine")
    begun, seen = passes(m), set()
    wait_for(lambda: seen.add(len(entries(m))) or passes(m) >= begun + 3, 60, "three passes")
    status = m.status()["passes"]
    assert seen == {1000} and status["rows_refused"] == 1000 and status["trouble"] is None
    assert status["last_seconds"] < 20, status  # 50 s when each row costs a commit
    assert rows_of_source(source)[1] == (1, 1, "note 1")
    there.session.execute(f"TRUNCATE {there.name}.account")
    m.wait(lambda s: s["quarantine"]["rows"] == 0 and s["passes"]["rows_refused"] == 0, what="an empty quarantine")


def test_more_refused_rows_than_quarantine_takes_are_told_and_the_run_goes_on(source, migration, into):
    there = into()
    m = begin(migration, source, there, rows=50, quarantine={"max_rows": 5})
    moved(m)
    there.session.execute(f"UPDATE {there.name}.account SET owner = null WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8)")
    m.wait(lambda s: "quarantine.max_rows" in ((s["passes"] or {}).get("trouble") or ""), what="the trouble")
    assert m.status()["quarantine"]["rows"] == 0
    there.session.execute(f"UPDATE {there.name}.account SET owner = 1 WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8)")
    m.wait(lambda s: s["passes"]["trouble"] is None, what="no trouble any more")
    m.call("rollback")
    assert rows_of_source(source)[8] == (1, 1, "note 8")


FAMILY = ["CREATE TABLE parent (id int, kind int, PRIMARY KEY (id, kind))",
          "CREATE TABLE child (id int PRIMARY KEY, parent_id int, kind int, CONSTRAINT of_parent FOREIGN KEY (parent_id, kind) REFERENCES parent (id, kind))",
          "INSERT INTO parent VALUES (1, 1), (2, 1)", "INSERT INTO child VALUES (1, 1, 1), (2, 2, 1), (3, null, null), (4, 9, null)"]


def test_a_rollback_is_refused_while_a_foreign_key_is_broken(origin, migration, into):
    (source, text), there = origin, into()
    for statement in FAMILY:
        source.execute(statement)
    m = begin(migration, source, there, text=text, rows=10)
    moved(m)
    run, name = there.session.execute, there.name
    run(f"INSERT INTO {name}.child (id, parent_id, kind) VALUES (5, 7, 1)")
    run(f"DELETE FROM {name}.parent WHERE id = 2 AND kind = 1")
    for command in (["rollback", "--dry-run"], ["rollback"]):
        refused = m.call(*command, expect=3)
        assert "foreign key of_parent of" in refused.err and ".child is broken" in refused.err, refused.err
        assert "parent_id=7, kind=1" in refused.err or "parent_id=2, kind=1" in refused.err, refused.err
        assert "abandoned at rehearse" in refused.err  # before anybody was held
    assert m.status()["writes"] == "target"
    run(f"INSERT INTO {name}.parent (id, kind) VALUES (2, 1)")
    assert "parent_id=7, kind=1" in m.call("rollback", expect=3).err
    run(f"DELETE FROM {name}.child WHERE id = 5")
    m.call("rollback")
    assert m.status()["writes"] == "source"


def test_a_broken_foreign_key_does_not_stop_who_says_so(source, migration, into):
    there = into()
    for statement in FAMILY:
        source.execute(statement)
    m = begin(migration, source, there, rows=10, cutover={**FAST["cutover"], "require_verified": False})
    m.call("cutover")
    there.session.execute(f"INSERT INTO {there.name}.child (id, parent_id, kind) VALUES (5, 7, 1)")
    m.call("rollback")
    with closing(source.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT parent_id FROM child WHERE id = 5")
        assert cursor.fetchone() == (7,)


def test_a_key_that_the_source_does_not_hold_rows_to_stops_nothing(source, migration, into):
    there = into()
    for statement in FAMILY[:1] + ["CREATE TABLE child (id int PRIMARY KEY, parent_id int, kind int)", FAMILY[2], "INSERT INTO child VALUES (1, 8, 1)"]:
        source.execute(statement)
    source.execute("ALTER TABLE child ADD FOREIGN KEY (parent_id, kind) REFERENCES parent (id, kind) NOT VALID")
    m = begin(migration, source, there, rows=10)
    moved(m)
    m.call("rollback")


def test_a_row_that_cannot_be_carried_is_named_before_writers_are_held(source, migration, into):
    """Somebody's trigger, which fires for us too, keeps what is written from being what was written."""
    there = into()
    m = begin(migration, source, there, rows=50)
    source.execute("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.version := 0; RETURN NEW; END $$; "
                   "CREATE TRIGGER spoil BEFORE UPDATE ON account FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION spoil(); "
                   "ALTER TABLE account ENABLE ALWAYS TRIGGER spoil")
    moved(m)
    run, name = there.session.execute, f"{there.name}.account"
    run(f"UPDATE {name} SET version = 5 WHERE id IN (6, 7, 8)")
    m.wait(lambda s: "account (id=7)" in ((s["passes"] or {}).get("trouble") or ""), what="the row in the trouble")
    run(f"UPDATE {name} SET version = 6 WHERE id IN (6, 8)")
    refused = m.call("rollback", expect=3)
    assert "1 rows could not be carried back, the first: public.account (id=7)" in refused.err, refused.err
    assert "abandoned at rehearse" in refused.err, refused.err
    source.execute("DROP TRIGGER spoil ON account")
    m.call("rollback")
    assert rows_of_source(source)[7][1] == 5


NO_PASSES = {"reverse": {**FAST["reverse"], "pause": "1h"}}


def test_frozen_it_is_compared_when_everything_is_back(source, migration, into):
    there = into()
    m = begin(migration, source, there, rows=500, **NO_PASSES)
    moved(m)
    m.wait(lambda s: s["passes"]["whole"] == 1, what="the first pass")
    run, name = there.session.execute, f"{there.name}.account"
    put = there.session.prepare(f"INSERT INTO {name} (id, owner, version, note) VALUES (?, 1, 2, 'later')")
    for i in range(1, 101):
        run(put, (i,))
    m.call("freeze")
    found = m.call("verify", "--json").json
    assert found["rows_differing"] == 0 and found["rows_compared"] == 500, found
    m.call("thaw")
    run(f"UPDATE {name} SET owner = null WHERE id = 7")
    m.call("freeze")
    found = m.call("verify", "--json", expect=4).json
    assert [d["key"] for d in found["differences"]] == ["id=7"], found
    m.call("thaw")


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_what_has_ended_makes_no_books_again(source, migration, into, end):
    there = into()
    m = begin(migration, source, there, rows=10)
    if end == "complete":
        moved(m)
    m.call(end)
    m.wait_exit()
    there.session.execute("DROP KEYSPACE IF EXISTS midflight")  # of other tests' migrations on the same cluster
    for command in ("complete", "cancel"):
        assert "has ended already" in m.call(command, expect=3).err
    m.start()
    assert m.wait_exit() == (0 if end == "complete" else 1)
    keyspaces = [r[0] for r in there.session.execute("SELECT keyspace_name FROM system_schema.keyspaces")]
    assert "midflight" not in keyspaces
    with closing(source.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'")
        assert cursor.fetchone() == (0,)
