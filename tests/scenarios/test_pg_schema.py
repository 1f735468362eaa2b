"""The PostgreSQL target makes the source's schema in three stages."""
import pytest

from harness.awkward import awkward_schema
from harness.compare import schema_differences
from harness.pgdrive import Drive, Refused


@pytest.fixture
def drive(tmp_path):
    made = []

    def make(source, target, **named):
        made.append(Drive(target if isinstance(target, str) else target.url(), other=source.url(), state=tmp_path, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stages(d, **named):
    return [f for stage in ("before", "keys", "after") for f in d("schema", stage=stage, **named)["findings"]]


@pytest.mark.parametrize("versions", [(15, 15), (13, 15), (15, 18)])
def test_the_awkward_schema_arrives_whole(drive, source, target, tmp_path):
    with source.connect() as a, target.connect() as b:
        awkward_schema(a)
        d = drive(source, target)
        d("schema", stage="before")
        count = lambda: b.execute("SELECT count(*) FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'pg_toast')").fetchone()[0]
        assert count() == 0
        d("schema", stage="keys")
        keys = count()
        assert keys > 20
        assert (tmp_path / "schema.sql").stat().st_mode & 0o777 == 0o600
        assert "hunter2" not in (tmp_path / "schema.sql").read_text()
        findings = d("schema", stage="after")["findings"]
        assert not (tmp_path / "schema.sql").exists()  # it may have passwords of user mappings
        assert count() > keys
        assert schema_differences(a, b) == []
        assert [f for f in findings if f["severity"] > 0] == []
        assert [f for f in stages(d) if f['severity'] > 0] == []  # again: what is there is left
        assert schema_differences(a, b) == []


def test_a_stage_that_was_killed_is_run_again(drive, source, target):
    with source.connect() as a, target.connect() as b:
        awkward_schema(a)
        for n in (5, 60, 130):
            d = drive(source, target, fault=f"postgres.schema_entry:{n}=kill")
            with pytest.raises(RuntimeError):
                stages(d)
        d = drive(source, target)
        stages(d)
        assert schema_differences(a, b) == []


def test_filters_and_what_depends_on_what_is_left_out(drive, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("""CREATE TABLE "Keep me" (id int PRIMARY KEY, other int); CREATE TABLE "drop""me" (id int PRIMARY KEY);
            ALTER TABLE "Keep me" ADD FOREIGN KEY (other) REFERENCES "drop""me"; CREATE VIEW v AS SELECT * FROM "drop""me"; CREATE VIEW w AS SELECT * FROM "Keep me";
            CREATE TABLE part (id int) PARTITION BY LIST (id); CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1)""")
        d = drive(source, target)
        findings = stages(d, exclude=['public.drop"me', "public.part"])
        assert b.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p') ORDER BY 1").fetchall() == [("Keep me",), ("w",)]
        assert sorted(f["object"].split()[0] for f in findings) == ["FK", "VIEW"], findings


def test_a_target_role_that_is_no_superuser(drive, source, target):
    with source.connect() as a, target.connect() as b:
        for c in (a, b):
            c.execute("DROP ROLE IF EXISTS schema_owner")
        a.execute("CREATE ROLE schema_owner; CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t OWNER TO schema_owner; CREATE TABLE mine (id int); CREATE EXTENSION hstore;"
                  "CREATE ROLE nobody_there; GRANT SELECT ON t TO nobody_there; GRANT SELECT ON t TO PUBLIC; COMMENT ON TABLE t IS 'x'")
        try:
            if not b.execute("SELECT 1 FROM pg_roles WHERE rolname = 'schema_master'").fetchall():
                target.server.make_master("schema_master")
            b.execute(f"GRANT CREATE ON DATABASE {target.name} TO schema_master; GRANT ALL ON SCHEMA public TO schema_master")
            d = drive(source, target.url("schema_master"))
            findings = stages(d)
            assert {(f["code"], f["object"]) for f in findings if f["severity"] > 0 and f["code"].startswith("schema-")} >= {
                ("schema-role-missing", "role schema_owner"), ("schema-owner", "role postgres")}
            assert b.execute("SELECT relowner::regrole::text, has_table_privilege('public', oid, 'SELECT') FROM pg_class WHERE relname = 't'").fetchone() == ("schema_master", True)
            assert not [f for f in findings if "hunter2" in str(f)]
        finally:
            d.close()
            b.execute("DROP OWNED BY schema_master CASCADE; DROP ROLE schema_master")
            a.execute("DROP OWNED BY nobody_there, schema_owner CASCADE; DROP ROLE nobody_there, schema_owner")


def test_text_that_looks_like_pg_dumps_own_comments_is_not_run(drive, source, target):
    with source.connect() as a, target.connect() as b:
        trap = "\n--\n-- TOC entry 9999 (class 1259 OID 99999)\n-- Name: x; Type: TABLE; Schema: public; Owner: postgres\n--\n\nCREATE TABLE public.trapped ();\n"
        a.execute(f"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN 'x'; {trap} END $f$")
        a.execute(f"CREATE TABLE t (id int PRIMARY KEY, d text DEFAULT '{trap}')")
        a.execute(f'CREATE TABLE "t{trap[:50]}" (id int)')
        a.execute(f"COMMENT ON TABLE t IS E'\\\\'' \\n{trap}\nALTER TABLE public.t OWNER TO nobody;'")
        d = drive(source, target)
        stages(d)
        assert schema_differences(a, b) == []
        assert b.execute("SELECT to_regclass('public.trapped')").fetchone()[0] is None


def test_the_identity_midflight_gave_the_source_does_not_reach_the_target(drive, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("CREATE TABLE n (a int); CREATE TABLE f (a int); ALTER TABLE f REPLICA IDENTITY FULL")
        with Drive(source.url(), side="source") as s:
            s("prepare")
        a.execute("INSERT INTO midflight.settings SELECT 'test', 'identity fwd', 'n'::regclass::oid::text, 'DEFAULT'; ALTER TABLE n REPLICA IDENTITY FULL")
        d = drive(source, target)
        stages(d)
        assert b.execute("SELECT relname, relreplident FROM pg_class WHERE relname IN ('n', 'f') ORDER BY 1").fetchall() == [("f", b"f"), ("n", b"d")] or \
            [tuple(map(str, r)) for r in b.execute("SELECT relname, relreplident FROM pg_class WHERE relname IN ('n', 'f') ORDER BY 1").fetchall()] == [("f", "f"), ("n", "d")]
        assert b.execute("SELECT to_regnamespace('midflight')").fetchone()[0] is None


def test_materialised_views_are_filled_after_the_rows(drive, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("""CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);
            CREATE MATERIALIZED VIEW z AS SELECT count(*) AS n FROM t; CREATE MATERIALIZED VIEW a AS SELECT n + 1 AS m FROM z; CREATE MATERIALIZED VIEW e AS SELECT 1 WITH NO DATA""")
        d = drive(source, target)
        d("schema", stage="before")
        d("schema", stage="keys")
        b.execute("INSERT INTO t VALUES (1), (2)")
        d("schema", stage="after")
        assert b.execute("SELECT m FROM a").fetchone()[0] == 3
        assert b.execute("SELECT relispopulated FROM pg_class WHERE relname = 'e'").fetchone()[0] is False


def test_plan_shows_the_statements_and_makes_nothing(drive, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); CREATE INDEX i ON t (u)")
        plan = drive(source, target)("schema", plan=True)["plan"]
        assert plan.index("CREATE TABLE public.t") < plan.index("PRIMARY KEY (id)") < plan.index("CREATE INDEX i") < plan.index("UNIQUE (u)") or \
            plan.index("CREATE TABLE public.t") < plan.index("PRIMARY KEY (id)") < plan.index("UNIQUE (u)")
        assert b.execute("SELECT to_regclass('public.t')").fetchone()[0] is None


def test_a_table_of_that_name_with_other_columns_is_an_error(drive, source, target):
    with source.connect() as a, target.connect() as b:
        a.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        b.execute("CREATE TABLE t (id int PRIMARY KEY)")
        with pytest.raises(Refused) as e:
            drive(source, target)("schema", stage="before")
        assert e.value.code == "MFSHAPE" and "public.t" in e.value.text
