"""What `check` says about a PostgreSQL target."""
import pytest


@pytest.fixture
def check(check_target):
    return check_target


def codes(findings, severity=1):
    return {c for (c, _), f in findings.items() if f["severity"] >= severity}


def test_a_good_target_has_nothing_to_say(check, source, target):
    with source.connect() as a:
        a.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE EXTENSION hstore")
    assert codes(check(source, target)) == set()


def test_what_is_there_already(check, source, target):
    with source.connect() as a, target.connect() as b:
        for c in (a, b):
            c.execute("CREATE TABLE full_ (id int PRIMARY KEY); CREATE TABLE empty (id int PRIMARY KEY)")
        a.execute("CREATE TABLE narrow (id bigint PRIMARY KEY, n numeric(12, 4))")
        b.execute("CREATE TABLE narrow (id bigint PRIMARY KEY, n numeric(12, 2)); CREATE TABLE stranger (id int); INSERT INTO full_ VALUES (1)")
        found = check(source, target)
        assert ("target-rows", "table public.full_") in found and found["target-rows", "table public.full_"]["severity"] == 2
        assert ("target-table", "table public.empty") in found and ("column-narrower", "table public.narrow") in found
        assert any(c == "target-not-empty" for c, _ in found)
        assert "target-rows" not in codes(check(source, target, exclude=["public.full_"]))


def test_roles_that_are_missing_and_a_role_without_rights(check, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("DROP ROLE IF EXISTS check_owner; CREATE ROLE check_owner; CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t OWNER TO check_owner")
        b.execute("DROP ROLE IF EXISTS check_weak; CREATE ROLE check_weak LOGIN PASSWORD 'w'")
        try:
            found = check(source, target.url("check_weak", "w"))
            assert {"role-missing", "session-replication-role", "role-create", "role-replication", "replication-connection"} <= codes(found)
            assert found["session-replication-role", "check_weak"]["remedy"] == 'GRANT SET ON PARAMETER session_replication_role TO "check_weak";'
            assert found["role-missing", "role check_owner"]["remedy"] == 'CREATE ROLE "check_owner";'
        finally:
            a.execute("DROP OWNED BY check_owner; DROP ROLE check_owner")
            b.execute("DROP ROLE check_weak")


def test_what_cannot_be_given_to_its_owner(check, source, target):
    """The tables would belong to our role, and the application would be refused after the cutover."""
    with source.connect() as a, target.connect() as b:
        for c in (a, b):
            c.execute("CREATE ROLE check_app")
        b.execute("CREATE ROLE check_mover LOGIN PASSWORD 'w'")
        try:
            a.execute("CREATE TABLE t (id int PRIMARY KEY); GRANT CREATE ON SCHEMA public TO check_app; ALTER TABLE t OWNER TO check_app")
            found = check(source, target.url("check_mover", "w"))
            assert found["ownership", "role check_app in schema public"]["remedy"] == "GRANT CREATE ON SCHEMA public TO check_app; GRANT check_app TO check_mover;"
            b.execute("GRANT check_app TO check_mover; GRANT CREATE ON SCHEMA public TO check_app")
            assert "ownership" not in codes(check(source, target.url("check_mover", "w")))
        finally:
            for c in (a, b):
                c.execute("DROP OWNED BY check_app; DROP ROLE check_app")
            b.execute("DROP ROLE check_mover")


def test_the_same_database_and_a_downgrade(check, source, database):
    assert "same-database" in codes(check(source, source), 2)
    old = database("target", 13)
    assert {"downgrade"} <= codes(check(source, old))


def test_extensions_and_pg_dump(check, database, target):
    new = database("source", 18)
    with new.connect() as c:
        c.execute("CREATE EXTENSION hstore; CREATE TABLE t (id int PRIMARY KEY)")
        c.execute("UPDATE pg_extension SET extname = 'not_to_be_had' WHERE extname = 'hstore'")
    found = check(new, target)
    assert ("extension-missing", "extension not_to_be_had") in found
    assert "pg-dump" in codes(found, 2) and "postgresql-client" in found["pg-dump", "pg_dump"]["remedy"]


@pytest.fixture
def mover(target):
    """A role on the target that may do all a role without a superuser's powers needs, and owns nothing."""
    name = f"mover_{target.name}"[:60]
    with target.connect() as c:
        c.execute(f"CREATE ROLE {name} LOGIN REPLICATION PASSWORD 'm'; GRANT CREATE ON DATABASE {target.name} TO {name}")
        c.execute(f"GRANT CREATE ON SCHEMA public TO {name}; GRANT SET ON PARAMETER session_replication_role TO {name}")
    yield name
    with target.connect() as c:
        c.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def pasted(check, source, target, mover, *wanted):
    """What blocks is exactly that; and its remedies, pasted, resolve it."""
    found = check(source, target.url(mover, "m"))
    assert codes(found, 2) == {code for code, _ in wanted}, found
    for code, remedy in wanted:
        assert remedy in [f["remedy"] for (c, _), f in found.items() if c == code], found
        target.execute(remedy)
    found = check(source, target.url(mover, "m"))
    assert codes(found, 2) == set(), found


def test_forced_row_security_needs_a_role_that_bypasses_it(check, source, target, mover):
    source.execute("CREATE TABLE docs (id int PRIMARY KEY); ALTER TABLE docs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
                   "CREATE TABLE open_ (id int PRIMARY KEY); ALTER TABLE open_ ENABLE ROW LEVEL SECURITY")
    pasted(check, source, target, mover, ("row-security", f"ALTER ROLE {mover} BYPASSRLS;"))


def test_a_schema_that_is_there_needs_create(check, source, target, mover):
    source.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY); CREATE SCHEMA empty_")
    target.execute(f"CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO {mover}; CREATE SCHEMA empty_; CREATE SCHEMA elsewhere")
    pasted(check, source, target, mover, ("schema-create", f"GRANT CREATE, USAGE ON SCHEMA app TO {mover};"))


def test_tables_made_by_somebody_else_are_findings_and_no_end_of_the_check(check, source, target, mover):
    ddl = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p_1 PARTITION OF p DEFAULT"
    source.execute(ddl)
    target.execute(ddl + f"; CREATE TABLE stranger (id int); ALTER TABLE p_1 OWNER TO {mover}")
    found = check(source, target.url(mover, "m"))
    assert {o for c, o in found if c == "table-owner"} == {"table public.t", "table public.p"}
    assert ("table-select", "table public.t") in found and ("target-table", "table public.p_1") in found
    owner = found["table-owner", "table public.t"]["remedy"]
    assert owner == f"GRANT postgres TO {mover};"
    target.execute(owner)
    assert codes(check(source, target.url(mover, "m")), 2) == set()


@pytest.mark.parametrize("versions", [(15, 18), (18, 18)])
def test_a_generated_column_and_no_key_would_stop_the_applications_updates_on_18(check, source, target):
    source.execute("CREATE TABLE log (a int, b int GENERATED ALWAYS AS (a * 2) STORED); CREATE TABLE fine (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED);"
                   "CREATE TABLE whole (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED); ALTER TABLE whole REPLICA IDENTITY FULL; CREATE TABLE plain (a int)")
    for premade in (False, True):
        found = {o: f["remedy"] for (c, o), f in check(source, target).items() if c == "generated-identity"}
        assert found == {"table public.log": "ALTER TABLE public.log ADD PRIMARY KEY (…);",
                         "table public.whole": "ALTER TABLE ONLY public.whole REPLICA IDENTITY DEFAULT;"}
        assert codes(check(source, target, exclude=["public.log", "public.whole"]), 2) <= {"pg-dump"}
        target.execute("CREATE TABLE log (a int, b int GENERATED ALWAYS AS (a * 2) STORED); CREATE TABLE fine (a int, b int GENERATED ALWAYS AS (a * 2) STORED);"
                       "CREATE TABLE whole (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED); ALTER TABLE whole REPLICA IDENTITY FULL") if not premade else None


def test_room_for_the_spool_is_looked_at_before_there_is_a_state_directory(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    for budget, warned in (("500TB", True), ("64MB", False)):
        m = migration(source, target, config={"spool": {"budget": budget, "segment": "4MB"}})
        found = [f for f in m.call("check", "--json").json["findings"] if f["code"] == "spool-disk"]
        assert [(f["severity"], f["object"]) for f in found] == ([("warning", str(m.state_dir))] if warned else [])
