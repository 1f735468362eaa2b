"""What a user may get wrong before anything runs: each gives its exit status and an error that says what to do, names
the object, and shows no secret."""
import socket

import pytest

from harness.midflight import FAILED, REFUSED, USAGE
from harness.servers import PASSWORD, free_port


def said(result) -> str:
    assert PASSWORD not in result.out + result.err
    return result.out + result.err


@pytest.fixture
def m(source, target, migration):
    return migration(source, target)


@pytest.mark.parametrize("text, wanted", [
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\ncopy: { jbos: 4 }\n", ["4", "jbos", "jobs"]),
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\nsorce: y\n", ["4", "sorce", "source"]),
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\ncopy: { jobs: many }\n", ["4", "jobs"]),
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\ncopy: { jobs: 0 }\n", ["4", "jobs"]),
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\ncutover: { max_pause: 5 parsecs }\n", ["4", "max_pause"]),
    ("migration: x\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\non_ddl: maybe\n", ["4", "on_ddl", "additive"]),
    ("migration: x\nsource: postgresql://a:${NOT_THERE_AT_ALL}@h/d\ntarget: postgresql://a@h2/d\n", ["2", "NOT_THERE_AT_ALL"]),
    ("migration: x\nsource: postgresql://a@h/d\n", ["target"]),
    ("migration: x\nsource: oracle://a@h/d\ntarget: postgresql://a@h2/d\n", ["oracle"]),
    ("migration: x\nsource: not a url\ntarget: postgresql://a@h2/d\n", ["source"]),
    ("migration: x\n  source: [\n", ["2"]),
    ("", []),
    ("- a\n- b\n", []),
    ("migration: 'Bad Name!'\nsource: postgresql://a@h/d\ntarget: postgresql://a@h2/d\n", ["migration"]),
    ("\x00\x01\x02", []),
], ids=range(15))
def test_config_errors_name_line_and_key(m, text, wanted):
    m.config_path.write_text(text)
    result = m.call("check", expect=USAGE)
    for word in wanted:
        assert word in said(result), f"{word!r} is not in: {result}"
    assert str(m.config_path.name) in said(result) or not wanted


def test_unknown_command_and_option(m):
    assert "statsu" in said(m.call("statsu", expect=USAGE))
    assert "--untill" in said(m.call("run", "--untill", "synced", expect=USAGE))
    assert "elsewhere" in said(m.call("run", "--until", "elsewhere", expect=USAGE))


def test_dead_host(m, source):
    port = free_port()
    m.configure(target=f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/x")
    result = m.call("check", expect=(FAILED, REFUSED))
    assert "target" in said(result) and str(port) in said(result)
    assert "source: PostgreSQL" in result.out and "target: not opened" in result.out and ": , " not in result.out
    result = m.call("run", expect=FAILED)
    assert "target" in said(result)


def test_host_that_answers_nothing(m):
    """A listening socket that never says a word: a bound on every wait, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        m.configure(target=f"postgresql://postgres:{PASSWORD}@127.0.0.1:{mute.getsockname()[1]}/x")
        result = m.call("check", expect=(FAILED, REFUSED))
        assert "target" in said(result)


def test_wrong_password_and_missing_database(m, source):
    m.configure(source=source.url(password="not-the-password"))
    result = m.call("check", expect=(FAILED, REFUSED))
    assert "28P01" in said(result) or "password authentication failed" in said(result)
    assert "not-the-password" not in said(result)
    m.configure(source=source.url().replace(source.name, "no_such_database"))
    result = m.call("check", expect=(FAILED, REFUSED))
    assert "no_such_database" in said(result)


def test_source_and_target_are_the_same(m, source):
    m.configure(target=source.url())
    result = m.call("check", expect=(USAGE, FAILED, REFUSED))
    assert "same" in said(result)
    m.configure(target=source.url().replace("127.0.0.1", "localhost"))
    result = m.call("run", expect=(USAGE, FAILED, REFUSED))
    assert "same" in said(result), "the same database under another name"


def test_wal_level_is_not_logical(database, migration, target):
    source = database("source_replica", wal_level="replica")
    m = migration(source, target)
    result = m.call("check", expect=REFUSED)
    assert "wal_level" in said(result) and "ALTER SYSTEM SET wal_level" in said(result)
    result = m.call("run", expect=(FAILED, REFUSED))
    assert "wal_level" in said(result)


def test_no_slot_is_free(database, migration, target):
    source = database("source_slots", max_replication_slots=1)
    source.execute("SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
    m = migration(source, target)
    result = m.call("check", expect=REFUSED)
    assert "max_replication_slots" in said(result)


def test_target_is_not_empty(m, source, target):
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    target.execute("CREATE TABLE t (id int PRIMARY KEY, other text); INSERT INTO t VALUES (7, 'precious')")
    result = m.call("check", expect=REFUSED)
    assert "not empty" in said(result) or "already" in said(result)
    m.call("run", "--until", "synced", expect=(FAILED, REFUSED))
    assert target.rows("SELECT id, other FROM t") == [(7, "precious")]


def test_no_table_is_included(m, source, target):
    m.configure(tables={"include": ["public.nothing"]})
    assert "the account sees no table" in said(m.call("check", expect=REFUSED))
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    assert "the filter takes none of them" in said(m.call("check", expect=REFUSED))
    assert "the filter takes none of them" in said(m.call("run", expect=REFUSED))


def test_a_pattern_that_takes_no_table_is_told(m, source, target):
    source.execute("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE lines (id int PRIMARY KEY)")
    m.configure(tables={"exclude": ["shop.orders", "lin*"]})
    found = {f["object"]: f for f in m.call("check", "--json").json["findings"] if f["code"] == "no-such-table"}
    assert set(found) == {"shop.orders"} and found["shop.orders"]["severity"] == "warning"
    assert found["shop.orders"]["reason"] == "tables.exclude names it, and no table has such a name; did you mean public.orders?"
    m.configure(tables={"exclude": ["public.orders", "lines_of_old"]})
    found = [f["object"] for f in m.call("check", "--json").json["findings"] if f["code"] == "no-such-table"]
    assert found == ["lines_of_old"]


def test_role_without_privileges(m, source, target):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    role = f"weak_{source.name}"[:60]
    source.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'weak-secret'")
    try:
        m.configure(source=source.url(role, "weak-secret"))
        result = m.call("check", expect=REFUSED)
        assert "REPLICATION" in said(result).upper() and "GRANT" in said(result)
        assert "weak-secret" not in said(result)
    finally:
        source.execute(f"DROP ROLE {role}")


def test_findings_as_json(m, source):
    source.execute("CREATE TABLE nokey (a int); CREATE UNLOGGED TABLE u (id int PRIMARY KEY)")
    findings = m.call("check", "--json", expect=(0, REFUSED)).json
    listed = findings["findings"] if isinstance(findings, dict) else findings
    assert listed
    for finding in listed:
        assert {"severity", "object", "reason", "remedy"} <= set(finding), finding
    assert any("nokey" in str(f["object"]) for f in listed)
    assert any("u" in str(f["object"]) and "nlogged" in str(f) for f in listed)


def test_commands_without_a_run_say_so(m):
    for command in ("cutover", "rollback", "verify"):
        result = m.call(command, expect=(FAILED, USAGE, REFUSED))
        assert "run" in said(result), str(result)
    m.call("status", expect=(0, FAILED))


def test_two_runs_of_one_migration(m, source):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m.start()
    m.wait_phase("synced")
    result = m.call("run", expect=FAILED)
    assert "running" in said(result) or "already" in said(result)
    assert m.running() and m.status()["phase"] == "synced"


def test_two_runs_of_one_migration_from_two_state_directories(m, source, target, migration):
    """The state directory's lock is not the only one: the databases know too."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    m.start()
    m.wait_phase("synced")
    other = migration(source, target)
    result = other.call("run", "--until", "synced", expect=(FAILED, REFUSED))
    assert said(result).strip()
    source.execute("INSERT INTO t VALUES (2)")
    from harness.servers import wait_for
    wait_for(lambda: target.value("SELECT count(*) FROM t") == 2, 60, "the first one still streams")
    assert m.running()


def test_state_directory_that_cannot_be_written(m):
    m.state_dir = m.dir / "file"
    m.state_dir.write_text("I am a file")
    result = m.call("run", expect=(FAILED, USAGE))
    assert str(m.state_dir) in said(result)
