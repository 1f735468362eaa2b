"""The harness itself: a comparison that finds nothing, or a ledger that misses a lost write, would make every other
scenario worthless."""
import psycopg
import pytest

from harness.awkward import AwkwardLoad, awkward_churn, awkward_data, awkward_schema
from harness.compare import catalog_fingerprint, compare, fingerprint_differences, schema_differences
from harness.loads import READ_ONLY, Bank, Endpoint, Ledger
from harness.servers import is_alive, wait_for


@pytest.fixture(scope="module")
def awkward_template(servers):
    """Two servers with the same awkward database as a template, made by the same statements."""
    for role in ("source", "target"):
        server = servers.get(role)
        database = server.create_database("awkward_template")
        with database.connect() as connection:
            awkward_schema(connection)
            awkward_data(connection, 50, seed=3)
            connection.execute("TRUNCATE awk.audit")  # holds times of the clock
    yield "awkward_template"
    for role in ("source", "target"):
        with servers.get(role).connect() as connection:
            connection.execute("DROP DATABASE awkward_template WITH (FORCE)")


@pytest.fixture
def twins(database, awkward_template):
    return database("source", template=awkward_template), database("target", template=awkward_template)


def test_equal_databases_are_equal(twins):
    result = compare(twins[0].url(), twins[1].url())
    assert result.equal, str(result)
    assert result.tables > 50 and result.rows > 2000
    with twins[0].connect() as a, twins[1].connect() as b:
        assert schema_differences(a, b) == []


CORRUPTIONS = {
    "a changed bit": ("awk.types", "UPDATE awk.types SET c_bytea = '\\x01' WHERE id = (SELECT min(id) FROM awk.types WHERE c_bytea = '\\x00')"),
    "a missing row": ("awk.key_uuid", "DELETE FROM awk.key_uuid WHERE v = '7'"),
    "an extra row": ("awk.key_uuid", "INSERT INTO awk.key_uuid VALUES (gen_random_uuid(), 'extra')"),
    "one more of a duplicate": ("awk.nokey", "INSERT INTO awk.nokey SELECT * FROM awk.nokey LIMIT 1"),
    "one less of a duplicate": ("awk.nokey", "DELETE FROM awk.nokey WHERE ctid = '(0,1)'"),
    "NULL for the empty string": ("awk.types", "UPDATE awk.types SET c_text = NULL WHERE id = (SELECT min(id) FROM awk.types WHERE c_text = '')"),
    "trailing zeros": ("awk.types", "UPDATE awk.types SET c_numeric = 1.1 WHERE id = (SELECT min(id) FROM awk.types WHERE c_numeric::text = '1.10')"),
    "minus zero": ("awk.types", "UPDATE awk.types SET c_float8 = 0 WHERE id = (SELECT min(id) FROM awk.types WHERE c_float8::text = '-0')"),
    "NaN": ("awk.types", "UPDATE awk.types SET c_float4 = NULL WHERE id = (SELECT min(id) FROM awk.types WHERE c_float4 = 'NaN')"),
    "the last digit of a float": ("awk.types", "UPDATE awk.types SET c_float8 = 0.10000000000000002 WHERE id = (SELECT min(id) FROM awk.types WHERE c_float8 = 0.1)"),
    "an infinite date": ("awk.types", "UPDATE awk.types SET c_date = '5874897-12-30' WHERE id = (SELECT min(id) FROM awk.types WHERE c_date = 'infinity')"),
    "a microsecond": ("awk.types", "UPDATE awk.types SET c_ts = c_ts + interval '1 us' WHERE id = (SELECT min(id) FROM awk.types WHERE isfinite(c_ts) AND extract(year FROM c_ts) = 2024)"),
    "a trailing space": ("awk.types", "UPDATE awk.types SET c_varchar = 'trailing  ' WHERE id = (SELECT min(id) FROM awk.types WHERE c_varchar = 'trailing   ')"),
    "the spaces of a json": ("awk.types", "UPDATE awk.types SET c_json = '{\"b\": 1, \"a\":1.0, \"a\":2}' WHERE id = (SELECT min(id) FROM awk.types WHERE c_json::text LIKE '{\"b\": 1,  %')"),
    "an array's lower bound": ("awk.types", "UPDATE awk.types SET a_int = '{7,8,9}' WHERE id = (SELECT min(id) FROM awk.types WHERE a_int = '[-2:0]={7,8,9}')"),
    "a composed character": ("awk.key_text", "UPDATE awk.key_text SET k = 'é2' WHERE k = U&'e\\0301'"),
    "the end of a big value": ("awk.toast", "UPDATE awk.toast SET external = left(external, -1) || 'y' WHERE id = 5"),
    "a row in the wrong partition's table": ("awk.child", "WITH d AS (DELETE FROM ONLY awk.child WHERE id = 3 RETURNING *) INSERT INTO awk.parent SELECT id + 1000, v FROM d"),
    "a lost truncate": ("awk.trigger_kinds", "TRUNCATE awk.trigger_kinds"),
    "a row of no columns": ("awk.nothing", "INSERT INTO awk.nothing DEFAULT VALUES"),
    "a sequence behind": ("seq_down", "SELECT setval('awk.seq_down', -1)"),
    "a sequence not called": ("seq_owned", "SELECT setval('awk.seq_owned', 77, true)"),
    "a missing table": ("awk.empty", "DROP TABLE awk.empty"),
    "a missing column": ("awk.dropped", "ALTER TABLE awk.dropped DROP COLUMN later"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_corruption_is_found(name, twins):
    left, right = twins
    object_, statement = CORRUPTIONS[name]
    right.execute(statement)
    result = compare(left.url(), right.url())
    found = {d.object for d in result.differences}
    assert any(object_.replace("awk.", "") in f for f in found), f"{name}: not found ({result})"
    assert len(found) <= 3, f"{name}: too much found: {result}"


def test_schema_differences_are_found(twins):
    left, right = twins
    changes = {
        "indexes": "DROP INDEX awk.types_gin",
        "constraints": "ALTER TABLE awk.swap DROP CONSTRAINT swap_place_key",
        "triggers": "ALTER TABLE awk.audited DISABLE TRIGGER audit",
        "columns": "ALTER TABLE awk.dropped ALTER COLUMN later DROP DEFAULT",
        "policies": "DROP POLICY mine ON awk.secured",
        "functions": "DROP FUNCTION awk.touch CASCADE",
        "owners": "GRANT DELETE ON awk.empty TO PUBLIC",
        "relations": "ALTER TABLE awk.nokey REPLICA IDENTITY FULL",
        "types": "ALTER TYPE awk.mood ADD VALUE 'angry'",
        "sequences": "ALTER SEQUENCE awk.seq_cycle NO CYCLE",
    }
    with left.connect() as a, right.connect() as b:
        for kind, statement in changes.items():
            b.execute(statement)
            found = schema_differences(a, b)
            assert any(line.startswith(kind) for line in found), f"{kind}: {found}"


def test_fingerprint_finds_what_is_left_behind(source):
    leftovers = {
        "slots": "SELECT pg_create_logical_replication_slot('left_{0}', 'pgoutput')",
        "publications": "CREATE PUBLICATION left_p FOR ALL TABLES",
        "schemas": "CREATE SCHEMA left_s",
        "triggers": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON one FOR EACH ROW EXECUTE FUNCTION f()",
        "relations": "ALTER TABLE one REPLICA IDENTITY FULL",
        "settings of roles and databases": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = off', current_database()); END $$",
        "event triggers": "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER left_e ON ddl_command_end EXECUTE FUNCTION e()",
        "origins": "SELECT pg_replication_origin_create('left_{0}')",
    }
    name = source.name
    with source.connect() as connection:
        connection.execute("CREATE TABLE one (a int)")
        before = catalog_fingerprint(connection)
        for kind, statement in leftovers.items():
            connection.execute(statement.replace("{0}", name[:40].lower()))
            found = fingerprint_differences(before, catalog_fingerprint(connection))
            assert any(line.startswith(kind) for line in found), f"{kind}: {found}"
        connection.execute(f"SELECT pg_replication_origin_drop('left_{name[:40].lower()}')")


def test_ledger_finds_lost_doubled_and_bent_writes(source, tmp_path):
    ledger = Ledger(Endpoint(tmp_path / "endpoint", source.url()), clients=2, rate=None, keyless=True)
    with source.connect() as connection:
        ledger.create(connection)
        with ledger:
            wait_for(lambda: all(len(ledger.acknowledged[client]) > 120 for client in (0, 1)), 60, "120 writes of each client")
        assert not ledger.check(source.url()), str(ledger.check(source.url()))
        run = connection.execute
        run("BEGIN")
        run("CREATE TABLE kept AS SELECT * FROM ledger_event; CREATE TABLE kept_rows AS SELECT * FROM ledger")
        run("COMMIT")

        def restore():
            run("TRUNCATE ledger, ledger_event; INSERT INTO ledger_event SELECT * FROM kept; INSERT INTO ledger SELECT * FROM kept_rows")

        run("DELETE FROM ledger_event WHERE client = 1 AND number = 100")
        assert ledger.check(source.url()).lost == [("event", 1, 100)]
        restore()
        run("INSERT INTO ledger_event SELECT * FROM ledger_event WHERE client = 0 AND number = 7")
        assert ledger.check(source.url()).doubled == [("event", 0, 7, 2)]
        restore()
        run("UPDATE ledger SET value = value || ' ' WHERE id = (SELECT min(id) FROM ledger)")
        assert len(ledger.check(source.url()).wrong) == 1
        restore()
        run("DELETE FROM ledger WHERE id = (SELECT max(id) FROM ledger)")
        assert len(ledger.check(source.url()).lost) == 1
        restore()
        run("INSERT INTO ledger VALUES (-1, 0, 1, 'never written')")
        assert len(ledger.check(source.url()).extra) == 1
        restore()
        assert not ledger.check(source.url())


def test_ledger_survives_a_killed_server_and_follows_a_switch(own_server, tmp_path):
    first, second = own_server(15), own_server(15)
    one, two = first.create_database("one"), second.create_database("two")
    endpoint = Endpoint(tmp_path / "endpoint", one.url())
    ledger = Ledger(endpoint, clients=4, rate=None)
    with one.connect() as connection:
        ledger.create(connection)
    with ledger:
        wait_for(lambda: ledger.stats.acknowledged > 300, 60, "300 writes")
        for _ in range(3):
            first.kill()
            first.start()
            before = ledger.stats.acknowledged
            wait_for(lambda: ledger.stats.acknowledged > before + 200, 60, "writes after the kill")
        assert ledger.stats.errors, "nobody noticed that the server was killed"
        ledger.pause()
        assert not ledger.check(one.url()), str(ledger.check(one.url()))
        # the switch of a cutover, by hand: read-only, copied, pointed to the other side
        with one.connect() as connection:
            connection.execute('ALTER DATABASE one SET default_transaction_read_only = on')
            rows = connection.execute("SELECT id, client, version, value FROM ledger").fetchall()
            events = connection.execute("SELECT client, number, operation, id FROM ledger_event").fetchall()
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ledger'")
        with two.connect() as connection:
            ledger.create(connection)
            connection.cursor().executemany("INSERT INTO ledger VALUES (%s, %s, %s, %s)", rows)
            connection.cursor().executemany("INSERT INTO ledger_event (client, number, operation, id) VALUES (%s, %s, %s, %s)", events)
        refused = ledger.stats.errors[READ_ONLY]
        ledger.unpause()
        wait_for(lambda: ledger.stats.errors[READ_ONLY] > refused, 60, "a refused write")
        endpoint.set(two.url())
        before = ledger.stats.acknowledged
        wait_for(lambda: ledger.stats.acknowledged > before + 200, 60, "writes on the new side")
    assert not ledger.check(two.url()), str(ledger.check(two.url()))
    assert ledger.stats.longest_pause > 0.05
    assert ledger.check(one.url()).lost, "the old side has the new side's writes?"


def test_bank_holds_and_finds_a_broken_total(source):
    bank = Bank(source.url(), accounts=20, clients=3, rate=None)
    with source.connect() as connection:
        bank.create(connection)
        with bank, bank.watch(source.url()) as watch:
            wait_for(lambda: bank.transfers > 300 and watch.snapshots > 10, 60, "transfers")
        assert bank.check_snapshot(connection, full=True) is None
        assert not bank.stats.errors, bank.stats.errors
        connection.execute("UPDATE bank SET balance = balance + 1 WHERE id = 1")
        assert "not 20 with" in bank.check_snapshot(connection)
        connection.execute("UPDATE bank SET balance = balance - 1 WHERE id = 2")
        assert bank.check_snapshot(connection) is None
        assert "balances are not" in bank.check_snapshot(connection, full=True)
        connection.execute("UPDATE bank SET balance = balance - 1 WHERE id = 1; UPDATE bank SET balance = balance + 1 WHERE id = 2")
        connection.execute("DELETE FROM bank_history WHERE client = 0 AND number = 2")
        assert "not a prefix" in bank.check_snapshot(connection)


def test_churn_changes_every_kind_of_table(twins):
    left, right = twins
    with AwkwardLoad(left.url(), seed=5) as load:
        wait_for(lambda: load.committed > 400, 60, "changes")
    result = compare(left.url(), right.url())
    changed = {d.object for d in result.differences}
    for name in ("types", "toast", "toast_moving", "nokey_full", "swap", "part_list_eu", "part_range_new", "cascade_mid", "key_text", "audited", "generated"):
        assert any(f'"{name}"' in c for c in changed), f"{name} was not changed: {sorted(changed)}"


def test_churn_repeats_from_its_seed(twins):
    for one in twins:
        with one.connect() as connection:
            for seed in range(4):
                awkward_churn(connection, seed)
    result = compare(twins[0].url(), twins[1].url(), skip={'"awk"."audit"'})
    assert result.equal, str(result)


@pytest.mark.parametrize("version", [13, 14, 15, 16, 17, 18])
def test_server_starts_dies_and_comes_back(version, own_server):
    server = own_server(version)
    database = server.create_database('odd "name" é')
    database.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    assert database.value("SHOW wal_level") == "logical"
    assert database.value("SHOW server_version").startswith(str(version))
    pids = [server.process.pid, *server.children()]
    server.kill()
    assert not any(is_alive(pid) for pid in pids)
    server.start()
    assert database.value("SELECT count(*) FROM t") == 1


def test_standby_is_promoted(own_server):
    primary = own_server(15)
    database = primary.create_database("d")
    standby = primary.standby()
    try:
        database.execute("CREATE TABLE t AS SELECT 1 AS a")
        def replicated():
            try:
                return standby.connect("d").execute("SELECT a FROM t").fetchall() == [(1,)]
            except psycopg.Error:
                return False
        wait_for(replicated, 60, "the standby to follow")
        primary.kill()
        standby.promote()
        standby.connect("d").execute("INSERT INTO t VALUES (2)")
    finally:
        standby.destroy()


def test_tls_server_proves_itself(own_server):
    server = own_server(15, tls=True)
    with server.connect() as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(server.url(sslmode="verify-full", sslrootcert="/etc/ssl/certs/ca-certificates.crt"))


def test_master_role_is_as_weak_as_a_managed_servers(own_server):
    server = own_server(15)
    server.make_master()
    server.create_database("d", owner="master")
    with psycopg.connect(server.url("d", "master"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t)")
        for refused in ("ALTER TABLE t DISABLE TRIGGER ALL", "SELECT pg_replication_origin_create('x')", "CREATE PUBLICATION p FOR ALL TABLES",
                        "COPY t TO '/tmp/x'", "ALTER SYSTEM SET work_mem = '1MB'", "SELECT pg_read_file('/etc/passwd')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)
