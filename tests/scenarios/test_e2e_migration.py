"""The whole of it: a live database with awkward everything moves under load, is verified, cut over, written on the new
side, rolled back, cut over again and completed; between servers of the same and of different major versions."""
import psycopg
import pytest

from harness.awkward import AwkwardLoad, awkward_churn, awkward_data, awkward_schema
from harness.compare import catalog_fingerprint, compare, fingerprint_differences, nothing_at_last, schema_differences
from harness.loads import READ_ONLY, Bank, Endpoint, Ledger
from harness.midflight import unhurried
from harness.servers import PASSWORD, wait_for

SKIP = {'"awk"."unlogged"'}


def fingerprint(database):
    with database.connect() as connection:
        return catalog_fingerprint(connection)


def left_of_ours(database) -> list[str]:
    """What of ours is in a database: everything by name, and every kind of thing that only a migration makes here."""
    found = fingerprint(database)
    ours = [f"{kind}: {row}" for kind, rows in found.items() for row in rows if "midflight" in str(row)]
    for kind in ("publications", "subscriptions", "event triggers", "advisory locks"):
        ours += [f"{kind}: {row}" for row in found[kind]]
    return ours


def still_and_equal(migration, source, target, **named):
    """Both sides are equal once the stream has come through; nobody may be writing."""
    last = None

    def equal():
        nonlocal last
        last = compare(source.url(), target.url(), skip=SKIP, unlogged=False, sequences=named.get("sequences", "skip"))
        return last.equal
    try:
        wait_for(equal, 180, "both sides equal", interval=0.5)
    except TimeoutError:
        raise AssertionError(f"{last}\n{migration.tail()}") from None


@pytest.fixture
def application(source, target, tmp_path):
    """A role without special powers that owns the database, its endpoint, a ledger and a bank."""
    name = f"app_{source.name}"[:60]
    for database in (source, target):
        with database.server.connect() as c:
            c.execute(f"DROP ROLE IF EXISTS {name}")
            c.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
            c.execute(f"ALTER DATABASE {database.name} OWNER TO {name}")
    endpoint = Endpoint(tmp_path / "address", source.url(name))
    ledger = Ledger(endpoint, clients=3, rate=150)
    bank = Bank(endpoint, accounts=50, clients=2, rate=60)

    class Application:
        pass
    app = Application()
    app.role, app.endpoint, app.ledger, app.bank = name, endpoint, ledger, bank
    app.source_url, app.target_url = source.url(name), target.url(name)
    yield app
    for load in (ledger, bank):
        load.stopping.set()
    for database in (source, target):
        if database.server.running():
            database.drop()
            with database.server.connect() as c:
                c.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("versions", [(15, 15), (13, 15), (15, 18), (14, 17)], ids=lambda v: f"{v[0]}to{v[1]}")
def test_live_migration_there_and_back_and_there(source, target, application, migration, versions):
    app = application
    with psycopg.connect(app.source_url, autocommit=True) as c:
        awkward_schema(c)
        awkward_data(c, 150, seed=11)
        app.ledger.create(c)
        app.bank.create(c)
    before = fingerprint(source)
    m = migration(source, target)
    m.hook("on_cutover", app.endpoint.switch_script(app.target_url))
    m.hook("on_rollback", app.endpoint.switch_script(app.source_url))
    with app.ledger, app.bank, AwkwardLoad(app.source_url, seed=100, pause=unhurried()) as awkward:
        m.call("check")
        m.start()
        m.wait_phase("synced")
        with app.bank.watch(target.url()) as watch:
            done = awkward.committed
            wait_for(lambda: awkward.committed > done + 100, 60, "changes while synced")
            verified = m.call("verify", "--json")
            assert verified.json["rows_differing"] == 0
            awkward.stop()
            m.call("cutover")
            assert m.status()["writes"] == "target"
            acknowledged = app.ledger.stats.acknowledged
            wait_for(lambda: app.ledger.stats.acknowledged > acknowledged + 50, 60, "writes on the new side")
            with pytest.raises(psycopg.Error):  # the old side refuses
                with psycopg.connect(app.source_url, autocommit=True) as c:
                    c.execute("INSERT INTO awk.key_only VALUES (-1, -1)")
            with psycopg.connect(app.target_url, autocommit=True) as c:
                for seed in range(5):
                    awkward_churn(c, 1000 + seed)
            wait_for(lambda: watch.snapshots > 10, 60, "snapshots of the target")
        m.call("rollback")
        assert m.status()["writes"] == "source"
        acknowledged = app.ledger.stats.acknowledged
        wait_for(lambda: app.ledger.stats.acknowledged > acknowledged + 50, 60, "writes on the old side again")
        with psycopg.connect(app.source_url, autocommit=True) as c:
            for seed in range(3):
                awkward_churn(c, 2000 + seed)
        m.call("cutover")
        acknowledged = app.ledger.stats.acknowledged
        wait_for(lambda: app.ledger.stats.acknowledged > acknowledged + 50, 60, "writes on the new side again")
    still_and_equal(m, source, target)
    assert not app.ledger.check(target.url()), str(app.ledger.check(target.url()))
    with target.connect() as c:
        assert app.bank.check_snapshot(c, full=True) is None
    m.call("complete")
    assert m.wait_exit() == 0
    assert m.status()["phase"] == "completed"
    unexpected = app.ledger.stats.unexpected()
    assert not unexpected, f"{unexpected} {app.ledger.stats.messages}"
    left = nothing_at_last(lambda: [l for l in fingerprint_differences(before, fingerprint(source)) if not l.startswith("sessions")])
    assert not left, left
    assert not (left := nothing_at_last(lambda: left_of_ours(target))), left
    with source.connect() as a, target.connect() as b:
        different = schema_differences(a, b)
    assert not different, "\n".join(different[:20])
    assert PASSWORD not in m.all_logs()


def test_schema_is_the_same_without_load(source, target, migration):
    with source.connect() as c:
        awkward_schema(c)
        awkward_data(c, 30, seed=2)
    m = migration(source, target)
    m.call("run", "--until", "synced")
    result = compare(source.url(), target.url(), skip=SKIP, sequences="skip", unlogged=False)
    assert result.equal, str(result)
    m.call("cancel")
    with source.connect() as a, target.connect() as b:
        assert schema_differences(a, b) == []
    for side in (source, target):
        assert not (left := nothing_at_last(lambda: left_of_ours(side))), left


def test_sequences_go_on_where_they_were(source, target, application, migration):
    source.execute("""
        CREATE TABLE s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial);
        CREATE SEQUENCE down INCREMENT -3; CREATE SEQUENCE untouched START 9;
        INSERT INTO s SELECT FROM generate_series(1, 50); SELECT nextval('down') FROM generate_series(1, 5)""")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO s SELECT FROM generate_series(1, 50); SELECT nextval('down')")
    m.call("verify")
    m.call("cutover")
    result = compare(source.url(), target.url(), sequences="at_least")
    assert result.equal, str(result)
    target.execute("INSERT INTO s SELECT FROM generate_series(1, 10)")
    m.call("rollback")
    result = compare(target.url(), source.url(), sequences="at_least")
    assert result.equal, str(result)
    source.execute("INSERT INTO s DEFAULT VALUES")


def test_status_is_the_documented_contract(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
    m = migration(source, target)
    m.start()
    status = m.wait_phase("synced")
    assert set(status) >= {"migration", "phase", "writes", "reads_percent", "copy", "stream", "verify", "quarantine", "tables", "last_error", "pause_ms"}
    assert set(status["copy"]) >= {"rows_done", "rows_total", "bytes_done", "bytes_total", "rows_per_second", "eta_seconds"}
    assert set(status["stream"]) >= {"source_position", "spooled_position", "applied_position", "lag_bytes", "lag_seconds", "changes_per_second"}
    assert set(status["verify"]) >= {"state", "tables_equal", "tables_differing", "rows_compared", "rows_differing", "finished_at"}
    assert set(status["quarantine"]) >= {"rows"}
    assert {"name", "rows_done", "rows_total", "state"} <= set(status["tables"][0])
    assert status["writes"] == "source" and status["copy"]["rows_done"] == 1000
    code, body = m.http("/v1/status")
    assert code == 200 and '"synced"' in body
    assert m.http("/healthz")[0] == 200 and m.http("/readyz")[0] == 200
    assert any(k.startswith("midflight_lag_bytes") for k in m.metrics())
    assert m.stop() == 0
    assert m.status()["phase"] == "synced"  # told from the state when nothing runs


def test_filters_choose_tables(source, target, migration):
    source.execute("""
        CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE audit_1 (id int PRIMARY KEY); CREATE SCHEMA other; CREATE TABLE other.b (id int PRIMARY KEY);
        INSERT INTO a VALUES (1); INSERT INTO audit_1 VALUES (1); INSERT INTO other.b VALUES (1)""")
    m = migration(source, target, config={"tables": {"include": ["public.*"], "exclude": ["public.audit_*"]}})
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO a VALUES (2); INSERT INTO audit_1 VALUES (2); INSERT INTO other.b VALUES (2)")
    wait_for(lambda: target.value("SELECT count(*) FROM a") == 2, 60, "the change")
    assert target.value("SELECT to_regclass('public.audit_1') IS NULL AND to_regclass('other.b') IS NULL")
    assert target.value("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public'") == 1


def test_cancel_leaves_nothing_behind_in_any_phase(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE k (a int); INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i; INSERT INTO k VALUES (1), (1)")
    before = fingerprint(source)
    for until in ("copied", "synced", None):
        m = migration(source, target)
        if until:
            m.call("run", "--until", until)
            m.call("cancel")
        else:
            m.start()
            m.wait_phase("synced")
            m.call("cancel")
            m.wait_exit()
        assert m.status()["phase"] == "cancelled"
        assert nothing_at_last(lambda: fingerprint_differences(before, fingerprint(source))) == []
        assert nothing_at_last(lambda: left_of_ours(target)) == []
        target.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_idle_source_does_not_hold_its_log(source, target, migration):
    """The slot of an idle database advances while another one on the server writes."""
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m = migration(source, target, config={"heartbeat": "1s"})
    m.start()
    m.wait_phase("synced")
    other = source.server.create_database(f"{source.name[:50]}_other")
    try:
        other.execute("CREATE TABLE noise AS SELECT i, md5(i::text) FROM generate_series(1, 50000) i")
        end = source.value("SELECT pg_current_wal_lsn()")
        wait_for(lambda: source.value("SELECT bool_and(confirmed_flush_lsn >= %s) FROM pg_replication_slots WHERE database = current_database()", (end,)), 60, "the slot to advance")
    finally:
        other.drop()


def test_writes_on_the_wrong_side_are_refused_then_seen(source, target, application, migration):
    app = application
    with psycopg.connect(app.source_url, autocommit=True) as c:
        c.execute("CREATE TABLE t (id int PRIMARY KEY)")
    m = migration(source, target)
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    m.call("cutover")
    with psycopg.connect(app.source_url, autocommit=True) as c:
        with pytest.raises(psycopg.Error) as refused:
            c.execute("INSERT INTO t VALUES (1)")
    assert refused.value.sqlstate == READ_ONLY
    assert "midflight" in str(refused.value) or "moved" in str(refused.value)
    with psycopg.connect(app.target_url, autocommit=True) as c:
        c.execute("INSERT INTO t VALUES (2)")
    wait_for(lambda: source.rows("SELECT id FROM t") == [(2,)], 60, "the write to come back")
