"""Both sides must compute the same digest although their servers differ; and no schema change may pass for equal."""
import pytest

from harness.servers import wait_for

MIXED = """CREATE TABLE keyed (id int PRIMARY KEY, v text, f float8, g real, b bytea, n numeric, c char(6));
CREATE TABLE keyless (a int, v text, f float8);
INSERT INTO keyed SELECT i, {word} || i, i / 7.0, i / 3.0, decode(md5(i::text), 'hex'), i * 1.10, {word} FROM generate_series(1, 3000) i;
INSERT INTO keyed VALUES (0, NULL, 'NaN', '-0', '', 'NaN', ''), (-1, '', '-Infinity', 1e-30, NULL, NULL, NULL);
INSERT INTO keyless SELECT i % 5, {word}, i / 7.0 FROM generate_series(1, 200) i"""


def verified(source, target, migration, word):
    with source.connect() as c:
        c.execute("SET client_encoding = 'UTF8'; " + MIXED.format(word=word))
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    with target.connect() as c:
        c.execute("SET session_replication_role = replica; UPDATE keyed SET v = v || '.' WHERE id = 7")
        c.execute("DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless)")
    assert m.call("verify", "--json", expect=4).json["rows_differing"] == 2
    return m


@pytest.mark.parametrize("versions", [(10, 15)])
def test_with_a_server_that_computes_other_hashes(source, target, migration):
    verified(source, target, migration, "'é'")


@pytest.mark.parametrize("version,encoding,word", [(15, "EUC_JP", "'日本語'"), (15, "LATIN1", "'é'"), (10, "EUC_JP", "'日本語'")])
def test_with_another_encoding(own_server, target, migration, version, encoding, word):
    server = own_server(version, encoding=encoding, locale="C", name="coded")
    verified(server.create_database("coded"), target, migration, word)


@pytest.mark.parametrize("policy", ["stop", "additive"])
def test_a_column_that_the_stream_has_not_told_of_is_seen_before_it_compares(source, target, migration, policy):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 10) i")
    m = migration(source, target, config={"on_ddl": policy})
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    source.execute("ALTER TABLE t ADD c int DEFAULT 7")
    told = m.call("verify", expect=None)
    if policy == "stop":
        assert told.exit not in (0, 4) and ("column c was added" in told.err or 'lacks the column "c"' in told.err), str(told)
        return
    assert told.exit == 0, str(told)
    assert target.rows("SELECT id, v, c FROM t ORDER BY id") == source.rows("SELECT id, v, c FROM t ORDER BY id")
    source.execute("INSERT INTO t VALUES (11, 'x', 8)")
    wait_for(lambda: target.value("SELECT count(*) FROM t WHERE id = 11 AND c = 8") == 1, 60, "the row")
    m.call("verify")


def test_a_column_that_is_another_on_the_target_is_not_equal(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(10)); INSERT INTO t SELECT i, i FROM generate_series(1, 10) i")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    target.execute("ALTER TABLE t ALTER v TYPE varchar(5)")
    told = m.call("verify", expect=None)
    assert told.exit not in (0, 4) and "column v has another type" in told.out + told.err
