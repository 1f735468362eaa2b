"""Nothing is rounded in silence where the target's own tables have narrower arrays or domains than the source's."""
import pytest

from harness.servers import wait_for

SOURCE = """CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN prices AS price[]; CREATE DOMAIN word AS varchar(10);
CREATE TABLE t (id int PRIMARY KEY, a numeric(10,2)[], d price, ds prices, at timestamp[], w word);
INSERT INTO t VALUES (1, '{1.2}', 1.2, '{1.2,NULL}', '{"2026-01-01 00:00:00"}', 'abc'), (2, '{1.2,1.25}', 1, NULL, NULL, NULL), (3, NULL, 1.25, NULL, NULL, NULL),
 (4, NULL, NULL, '{1.25}', NULL, NULL), (5, NULL, NULL, NULL, '{"2026-01-01 00:00:00.5"}', NULL), (6, NULL, NULL, NULL, NULL, 'ab    ')"""
NARROWER = """CREATE DOMAIN price AS numeric(10,1); CREATE DOMAIN prices AS price[]; CREATE DOMAIN word AS varchar(4);
CREATE TABLE t (id int PRIMARY KEY, a numeric(10,1)[], d price, ds prices, at timestamp(0)[], w word)"""
REFUSED = ["a", "at", "d", "ds", "w"]




def test_what_would_be_rounded_is_refused_by_copy_and_stream(source, target, migration):
    source.execute(SOURCE)
    target.execute(NARROWER)
    m = migration(source, target)
    assert "column-narrower" in m.call("check", "--json", expect=(0, 3)).out
    m.start()
    m.wait_phase("synced")
    assert target.rows("SELECT id FROM t") == [(1,)]
    reasons = sorted(reason for reason, in target.rows("SELECT reason FROM midflight.quarantine"))
    assert len(reasons) == 5 and all(any(f'"{column}"' in r or f".{column} " in r for r in reasons) for column in REFUSED), reasons
    source.execute("INSERT INTO t SELECT id + 10, a, d, ds, at, w FROM t")
    wait_for(lambda: target.value("SELECT count(*) FROM midflight.quarantine") == 10, 60, "the refusals of the stream")
    assert target.rows("SELECT id FROM t ORDER BY 1") == [(1,), (11,)]


def test_the_same_domains_are_copied_unread(source, target, migration):
    source.execute(SOURCE)
    target.execute(SOURCE[:SOURCE.index("INSERT")])
    m = migration(source, target)
    assert "column-narrower" not in m.call("check", "--json", expect=0).out
    m.start()
    m.wait_phase("synced")
    m.call("verify")


@pytest.mark.parametrize("kind", ["", "[]"])
def test_json_does_not_become_jsonb(source, target, migration, kind):
    source.execute(f"CREATE TABLE t (id int PRIMARY KEY, j json{kind})")
    target.execute(f"CREATE TABLE t (id int PRIMARY KEY, j jsonb{kind})")
    m = migration(source, target)
    m.start()
    m.wait_phase("failed")
    assert "repeated keys" in m.status()["last_error"]
