"""A target like a managed PostgreSQL: its master is no superuser; and a source role with only what the guide says."""
import psycopg
import pytest

from harness.awkward import AwkwardLoad, awkward_data, awkward_schema
from harness.compare import compare
from harness.servers import PASSWORD, wait_for


def blocked_by(result) -> dict[str, str]:
    """Code and remedy of what blocks, out of `check --json`."""
    return {f["code"]: f["remedy"] for f in result.json["findings"] if f["severity"] == "blocker"}


@pytest.mark.parametrize("version", [15, 14])
def test_target_master_is_no_superuser(version, own_server, source, migration):
    """From 15 on it can be granted session_replication_role. Before, `check` gives the statements of a function with which
    a superuser lets it. Triggers and foreign keys do not fire twice either way."""
    server = own_server(version, name="managed")
    server.make_master("master", replication=True)
    target = server.create_database("shop", owner="master")
    with source.connect() as c:
        awkward_schema(c)
        awkward_data(c, 80, seed=6)
        # only the awkward schema's objects that such a role may make
        c.execute("DROP COLLATION IF EXISTS awk.posix")
    m = migration(source.url(), target.url("master"))
    blocked = blocked_by(m.call("check", "--json", expect=3))
    assert blocked["row-security"] == "ALTER ROLE master BYPASSRLS;"  # of a table of the schema on which it is forced
    assert set(blocked) == {"row-security"} | ({"session-replication-role"} if version < 15 else set()), blocked
    assert version >= 15 or "CREATE FUNCTION midflight.replica_role()" in blocked["session-replication-role"]
    for remedy in blocked.values():
        target.execute(remedy)
    m.call("check")
    m.start()
    with AwkwardLoad(source.url(), seed=31, pause=0.005) as load:
        m.wait_phase("synced")
        done = load.committed
        wait_for(lambda: load.committed > done + 100, 60, "changes")
        m.call("verify")
    last = None

    def equal():
        nonlocal last
        last = compare(source.url(), target.url(), sequences="skip", skip={'"awk"."unlogged"'}, unlogged=False)
        return last.equal
    try:
        wait_for(equal, 60, "both sides equal", 0.5)
    except TimeoutError:
        raise AssertionError(f"{last}\n{m.tail()}") from None
    m.call("cutover")
    with psycopg.connect(target.url("master"), autocommit=True) as c:
        c.execute("UPDATE awk.audited SET v = 'new side' WHERE id = 10")
    wait_for(lambda: source.value("SELECT v FROM awk.audited WHERE id = 10") == "new side", 60, "the reverse stream")
    assert source.value("SELECT count(*) FROM awk.audit") == target.value("SELECT count(*) FROM awk.audit")
    m.call("complete")
    assert target.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'") == 0


def test_source_role_with_least_privileges(source, target, migration):
    """REPLICATION, SELECT, and CREATE on the database; what else the guide asks for `check` names, with its statement: the
    tables' owner (publishing, the gate) and session_replication_role (the way back writes here)."""
    role = f"least_{source.name}"[:60]
    source.execute(f"""
        CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i;
        CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}';
        GRANT CREATE, CONNECT ON DATABASE {source.name} TO {role}; GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}""")
    try:
        m = migration(source.url(role), target.url())
        blocked = blocked_by(m.call("check", "--json", expect=3))
        assert blocked == {"table-owner": f"GRANT postgres TO {role};",
                           "session-replication-role": f'GRANT SET ON PARAMETER session_replication_role TO "{role}";'}
        for remedy in blocked.values():
            source.execute(remedy)
        m.call("check")
        m.start()
        m.wait_phase("synced")
        source.execute("UPDATE t SET v = 'x' WHERE id = 1")
        wait_for(lambda: target.value("SELECT v FROM t WHERE id = 1") == "x", 60, "the change")
        m.call("verify")
        m.call("cutover")
        target.execute("UPDATE t SET v = 'y' WHERE id = 1")
        wait_for(lambda: source.value("SELECT v FROM t WHERE id = 1") == "y", 60, "the change of the new side")
        m.call("rollback")
        m.call("cancel")
    finally:
        source.drop()
        with source.server.connect() as c:
            c.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        source.server.create_database(source.name)
