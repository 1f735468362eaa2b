"""What Cassandra has no type for is a text there. An application writes it as its language spells it; it means the same and comes back."""
import pytest

from test_cass_moves import FAST, into, one_more_pass  # noqa: F401

COLUMNS = "id, doc, at, local, net, span"
CREATE = ("CREATE TABLE thing (id bigint PRIMARY KEY, doc jsonb, at timestamptz(6), local timestamp(6), net inet, span interval);"
          "INSERT INTO thing SELECT i, '{\"k\": 1, \"a\": [1.50, null]}', '2026-11-28 01:02:03.123456+02', '2026-11-28 01:02:03.5', '10.0.0.1', '90 minutes'"
          " FROM generate_series(1, 20) i")


def test_other_spellings_of_the_same_come_back(source, migration, into):  # noqa: F811
    there = into()
    source.execute(CREATE)
    m = migration(source, there, config={"migration": there.name[-30:], **FAST})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    run, name = there.session.execute, f"{there.name}.thing"
    row = run(f"SELECT doc, at, local, net, span FROM {name} WHERE id = 1").one()
    assert all(isinstance(v, str) for v in row), row
    # the same as there is on the source, but for its spelling
    run(f"UPDATE {name} SET doc = '{{\"a\": [15e-1, null],\n \"k\": 1}}', at = '2026-11-28T02:02:03.123456+03:00', local = '2026-11-28T01:02:03.500', span = '1 hour 30 minutes',"
        " net = '10.0.0.1/32' WHERE id = 1")
    # and something new
    run(f"INSERT INTO {name} ({COLUMNS}) VALUES (101, '{{\"z\": true, \"b\": {{}}}}', '2026-12-31T23:30:00-01:00', '2026-02-03T04:05', '2001:DB8::1', 'P1DT2H')")
    run(f"INSERT INTO {name} ({COLUMNS}) VALUES (102, '{{\"b\": 1, \"b\": 2}}', NULL, NULL, NULL, NULL)")  # no document that can be told
    run(f"UPDATE {name} SET at = '2026-02-30T00:00:00Z' WHERE id = 3")  # no day
    one_more_pass(m)
    m.wait(lambda s: s["quarantine"]["rows"] == 2, what="what has no meaning in quarantine")
    assert source.rows("SELECT doc::text, at AT TIME ZONE 'UTC', local, net::text, span::text FROM thing WHERE id = 101") == source.rows(
        "SELECT '{\"b\": {}, \"z\": true}', timestamp '2027-01-01 00:30:00', timestamp '2026-02-03 04:05:00', '2001:db8::1/128', '1 day 02:00:00'")
    assert source.value("SELECT count(*) FROM thing WHERE id IN (1, 2) AND doc = '{\"k\": 1, \"a\": [1.5, null]}' AND span = '90 minutes' AND net = '10.0.0.1'"
                        " AND at = '2026-11-28 01:02:03.123456+02'") == 2
    assert m.status()["passes"]["trouble"] is None
    m.call("rollback", expect=3)
    run(f"DELETE FROM {name} WHERE id = 102")
    run(f"UPDATE {name} SET at = '2026-02-28T00:00:00Z' WHERE id = 3")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, what="an empty quarantine")
    m.call("rollback")
    assert m.status()["writes"] == "source"
    assert source.value("SELECT count(*) FROM thing") == 21
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
