"""The schema of the side that takes writes changes while the migration runs: nothing of it is lost without a word.

A table made there is in no stream, a column shows in the stream only with a change of its table, and a name may stand for another table than
before. With on_ddl: stop the run ends and says which table it was; with additive what can be carried over is, rows and all; with ignore it is
told."""
import threading

import psycopg
import pytest

from harness.compare import equal_at_last
from harness.midflight import FAILED, REFUSED
from harness.servers import wait_for

QUICK = {"schema_check": "200ms"}
NEVER = {"schema_check": "1h"}  # the guards look all the same


def fill(source) -> None:
    source.execute("""
        CREATE TABLE a (id int PRIMARY KEY, v text NOT NULL, n int);
        INSERT INTO a SELECT i, md5(i::text), i % 100 FROM generate_series(1, 1000) i;
        CREATE TABLE twin (LIKE a INCLUDING ALL);
        CREATE TABLE part (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE INDEX part_v ON part (v);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        INSERT INTO part SELECT i, '2024-01-01'::date + i % 300, 'p' FROM generate_series(1, 500) i""")


def synced(migration, source, target, on_ddl: str = "stop", more: dict | None = None):
    fill(source)
    m = migration(source, target, config={"on_ddl": on_ddl, **QUICK, **(more or {})})
    m.start()
    m.wait_phase("synced")
    return m


def stopped_with(m, *words: str) -> str:
    assert m.wait_exit() == FAILED, m.tail()
    text = m.log_text().replace('\\"', '"')
    for word in words:
        assert word in text, f"{word!r} is not in the log:\n{text[-4000:]}"
    return text


def migrated(m, *tables: str) -> None:
    m.wait(lambda s: all(any(t["name"] == name and t["state"] == "live" for t in s["tables"]) for name in tables), 60, f"{tables} migrated")


class Writers:
    """Change the tables given (id, v) all the time, while they are taken in and after."""

    def __init__(self, database, *tables: str, extra: str = ""):
        self.database, self.tables, self.extra, self.stopping, self.done, self.failure = database, tables, extra, threading.Event(), 0, None

    def _run(self, table: str) -> None:
        try:
            with self.database.connect() as c:
                n = 100_000
                while not self.stopping.is_set():
                    n += 1
                    with c.transaction():
                        c.execute(f"INSERT INTO {table} (id, v{self.extra and ', ' + self.extra.split('=')[0]}) VALUES (%s, %s{self.extra and ', ' + self.extra.split('=')[1]})", (n, "written"))
                        c.execute(f"UPDATE {table} SET v = v || 'x' WHERE id = %s", (n - 3,))
                        c.execute(f"DELETE FROM {table} WHERE id = %s", (n - 7,))
                        c.execute("UPDATE a SET n = n + 1 WHERE id = %s", (n % 1000 + 1,))
                    self.done += 1
        except Exception as error:
            self.failure = error

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(t,)) for t in self.tables]
        for t in self.threads:
            t.start()
        return self

    def more(self, n: int = 20) -> None:
        goal = self.done + n
        wait_for(lambda: self.done > goal or self.failure, 60, "writes")
        assert not self.failure, self.failure

    def __exit__(self, *exc):
        self.stopping.set()
        for t in self.threads:
            t.join()
        assert exc[0] or not self.failure, self.failure


# ---- stop ----

@pytest.mark.parametrize("change, table", [
    ("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)", "public.fresh"),
    ("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01'); INSERT INTO part VALUES (1, '2025-05-05', 'x')", "public.part_2"),
    ("CREATE TABLE a2 (LIKE a INCLUDING ALL); ALTER TABLE a RENAME TO a_old; ALTER TABLE a2 RENAME TO a; INSERT INTO a VALUES (1, 'x', 1)", "public.a_old"),
    ("DROP TABLE a; CREATE TABLE a (id int PRIMARY KEY, v text NOT NULL, n int); INSERT INTO a VALUES (1, 'x', 1)", "another one"),
    ("ALTER TABLE a RENAME TO b; ALTER TABLE twin RENAME TO a; ALTER TABLE b RENAME TO twin; INSERT INTO a VALUES (1, 'twin', 1)", "another one"),
    ("ALTER PUBLICATION midflight_test_fwd DROP TABLE a; ALTER TABLE a SET UNLOGGED; INSERT INTO a VALUES (5000, 'y', 1)", "UNLOGGED"),
    ("ALTER TABLE a RENAME TO z", "public.z"),
    ("DROP TABLE a", "was dropped"),
    ("ALTER TABLE a ADD COLUMN more text", '"more"'),
    ("ALTER TABLE a DROP COLUMN n", '"n"'),
    ("ALTER TABLE a ALTER COLUMN n TYPE bigint", '"n"'),
], ids=["table", "partition", "swap", "recreate", "twins", "unlogged", "rename", "drop", "addcolumn", "dropcolumn", "type"])
@pytest.mark.parametrize("when", ["running", "stopped"])
def test_a_change_that_no_row_tells_of_stops_the_run(change, table, when, source, target, migration):
    m = synced(migration, source, target)
    if when == "stopped":
        m.stop()
    source.execute("UPDATE part SET v = 'before' WHERE id = 1")
    source.execute(change)
    if when == "stopped":
        m.start()
    stopped_with(m, table, "MFDDL" if "another" not in table else "public.a")
    assert target.value("SELECT v FROM part WHERE id = 1") == "before", "what was committed before the change is on the other side"
    assert target.value("SELECT count(*) FROM a WHERE v IN ('x', 'twin')") == 0, "rows of another table"


@pytest.mark.parametrize("column", ["n int", "v text NOT NULL DEFAULT 'new'"], ids=["last", "middle"])
def test_a_column_made_again_under_its_name_stops_the_run(column, source, target, migration):
    """No change tells that its old values are gone, and under the same name and type nothing else differs."""
    m = synced(migration, source, target, "additive")
    name = column.split()[0]
    source.execute(f"ALTER TABLE a DROP COLUMN {name}, ADD COLUMN {column}")
    stopped_with(m, "public.a", "dropped and made again", f'"{name}"', "MFDDL")


def test_a_table_that_is_excluded_or_not_migrated_by_nature_is_nobodys_business(source, target, migration):
    m = synced(migration, source, target, more={"tables": {"exclude": ["public.scratch_*"]}})
    source.execute("CREATE TABLE scratch_1 (id int); CREATE UNLOGGED TABLE u (id int); CREATE TEMP TABLE t (id int); CREATE VIEW w AS SELECT 1")
    with source.connect() as c:  # gone before anybody could miss it
        c.execute("BEGIN; CREATE TABLE passing (id int); DROP TABLE passing; COMMIT")
    source.execute("UPDATE a SET v = 'on' WHERE id = 1")
    wait_for(lambda: target.value("SELECT v FROM a WHERE id = 1") == "on", 60, "the stream")
    m.call("verify")
    m.call("cutover")


def test_after_a_stop_it_goes_on_when_the_table_is_excluded(source, target, migration):
    m = synced(migration, source, target)
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY)")
    stopped_with(m, "public.fresh", "tables.exclude")
    m.configure(tables={"exclude": ["public.fresh"]})
    m.start()
    source.execute("UPDATE a SET v = 'on' WHERE id = 1")
    wait_for(lambda: target.value("SELECT v FROM a WHERE id = 1") == "on", 60, "the stream")
    assert m.running()


def test_a_table_made_while_rows_are_copied(source, target, migration):
    fill(source)
    source.execute("INSERT INTO a SELECT i, repeat(md5(i::text), 20), 0 FROM generate_series(1001, 60000) i")
    m = migration(source, target, config={**QUICK, "copy": {"jobs": 1, "chunk_rows": 40, "max_load": 0}})
    m.start()
    m.wait(lambda s: s["phase"] == "copying" and s["copy"]["rows_done"] > 0, 60, "the copy under way")
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)")
    stopped_with(m, "public.fresh")
    m.configure(on_ddl="additive")
    m.start()
    migrated(m, "public.fresh")
    equal_at_last(m, source, target)


# ---- guards ----

def test_a_cutover_is_refused_when_the_target_would_lack_a_table(source, target, migration):
    m = synced(migration, source, target, more=NEVER)
    m.call("verify")
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)")
    refused = m.call("cutover", expect=REFUSED)
    assert "public.fresh" in refused.out + refused.err
    source.execute("DROP TABLE fresh; ALTER TABLE a ADD COLUMN more text")
    refused = m.call("cutover", expect=REFUSED)
    assert '"more"' in refused.out + refused.err and "public.a" in refused.out + refused.err
    source.execute("ALTER TABLE a DROP COLUMN more")
    m.call("cutover")


def test_a_table_made_while_writers_are_held_abandons_the_cutover(source, target, migration):
    fill(source)
    m = migration(source, target, config=NEVER)
    m.hook("on_cutover", f"{source.server.bin}/psql -q '{source.url()}' -c 'CREATE TABLE slipped (id int PRIMARY KEY)'\n")
    m.start()
    m.wait_phase("synced")
    m.call("verify")
    refused = m.call("cutover", expect=REFUSED)
    assert "public.slipped" in refused.out + refused.err and "decide" in refused.out + refused.err
    assert m.status()["writes"] == "source"
    source.execute("UPDATE a SET v = 'writers go on' WHERE id = 1")


# ---- ignore ----

def test_ignored_tables_are_told(source, target, migration):
    m = synced(migration, source, target, "ignore")
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1); UPDATE a SET v = 'on' WHERE id = 1")
    m.wait(lambda s: s["unmigrated_tables"] == ["public.fresh"], 60, "the table in status")
    m.wait_log("public.fresh was made")
    m.restart()
    m.wait(lambda s: s["running"] and s["phase"] == "synced" and s["unmigrated_tables"] == ["public.fresh"], 60, "the table in status")
    assert "public.fresh" in m.call("status").out
    wait_for(lambda: "public.fresh was made" in m.log_text(), 60, "the warning")
    m.call("verify")
    m.call("cutover")
    assert m.all_logs().count("public.fresh was made") == 2, "once a run"


# ---- additive: columns ----

def column(database, name: str, table: str = "a") -> tuple | None:
    rows = database.rows("SELECT format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
                         "WHERE attrelid = %s::regclass AND attname = %s AND NOT attisdropped", (table, name))
    return rows[0] if rows else None


@pytest.mark.parametrize("written", [False, True], ids=["untouched", "written"])
def test_columns_come_with_their_defaults(written, source, target, migration):
    m = synced(migration, source, target, "additive", QUICK if not written else NEVER)
    source.execute("""ALTER TABLE a ADD COLUMN plain text, ADD COLUMN seven int DEFAULT 7, ADD COLUMN word varchar(20) NOT NULL DEFAULT 'it''s', ADD COLUMN at timestamptz DEFAULT now(),
        ADD COLUMN list int[] DEFAULT '{1,2}', ADD COLUMN c text COLLATE "C" DEFAULT 'x'; ALTER TABLE a ALTER COLUMN seven SET DEFAULT 9; ALTER TABLE part ADD COLUMN n int DEFAULT 3""")
    if written:
        source.execute("UPDATE a SET n = 0 WHERE id = 1; INSERT INTO a (id, v) VALUES (2000, 'new'); UPDATE part SET v = 'w' WHERE id = 1")
    equal_at_last(m, source, target)
    for name in ("plain", "seven", "word", "at", "list", "c"):
        assert column(source, name) == column(target, name)
    assert column(target, "n", "part") == column(source, "n", "part")
    assert target.value("SELECT seven FROM a WHERE id = 5") == 7
    source.execute("INSERT INTO a (id, v) VALUES (2001, 'new'); UPDATE a SET plain = 'p' WHERE id = 7; INSERT INTO part VALUES (900, '2024-03-03', 'w')")
    equal_at_last(m, source, target)
    m.call("verify")
    m.call("cutover")
    target.execute("INSERT INTO a (id, v, plain) VALUES (3000, 'there', 'q')")  # the way back knows the columns
    wait_for(lambda: source.value("SELECT count(*) FROM a WHERE plain = 'q'") == 1 or not m.running(), 60, "the row on the source")
    assert m.running(), m.tail()


@pytest.mark.parametrize("definition", ["double precision DEFAULT random()", "int GENERATED ALWAYS AS IDENTITY", "int GENERATED ALWAYS AS (n + 1) STORED", "serial"], ids=["volatile", "identity", "generated", "serial"])
@pytest.mark.parametrize("written", [False, True], ids=["untouched", "written"])
def test_a_column_whose_old_values_are_not_known_stops_the_run(definition, written, source, target, migration):
    m = synced(migration, source, target, "additive")
    source.execute(f"ALTER TABLE a ADD COLUMN more {definition}" + ("; UPDATE a SET v = 'w' WHERE id = 1" if written else ""))
    stopped_with(m, "public.a", '"more"', "MFDDL")


# ---- additive: tables ----

NEW = """
    CREATE SCHEMA extra;
    CREATE TABLE fresh (id int PRIMARY KEY, v text DEFAULT 'd', a int REFERENCES a DEFAULT 5, s serial, CHECK (id > 0)); CREATE INDEX fresh_v ON fresh (v);
    INSERT INTO fresh (id, v) SELECT i, 'before' FROM generate_series(1, 3000) i;
    CREATE TABLE extra.heap (id int, v text); INSERT INTO extra.heap SELECT i % 50, 'same' FROM generate_series(1, 300) i;
    CREATE TABLE child (id int PRIMARY KEY, v text, fresh int REFERENCES fresh DEFAULT 7); INSERT INTO child (id, v) VALUES (1, 'c');
    CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01'); INSERT INTO part VALUES (1, '2025-05-05', 'x');
    CREATE TABLE other (id int, v text, k int DEFAULT 1, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE INDEX other_v ON other (v);
    CREATE TABLE other_1 PARTITION OF other FOR VALUES IN (1); INSERT INTO other VALUES (1, 'o', 1)"""
NEW_TABLES = ("public.fresh", "extra.heap", "public.child", "public.part_2", "public.other_1")


def objects(database) -> list:
    """Columns, constraints, indexes and partitions, as one can compare them."""
    return database.rows("""
        SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text IN ('public', 'extra')
        UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'extra')
        UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname IN ('public', 'extra')
        UNION ALL SELECT inhrelid::regclass::text, inhparent::regclass::text, 'inherits', '', '' FROM pg_inherits ORDER BY 1, 2, 3""")


def test_new_tables_are_taken_in_with_their_rows_under_load(source, target, migration):
    m = synced(migration, source, target, "additive")
    source.execute(NEW)
    with Writers(source, "fresh", "extra.heap", "child", "other"), Writers(source, "part", extra="at='2025-07-07'") as w:
        w.more()
        migrated(m, *NEW_TABLES)
        w.more(50)
    equal_at_last(m, source, target)
    assert objects(source) == objects(target)
    m.call("verify")
    m.call("cutover")
    target.execute("INSERT INTO fresh (id, v) VALUES (9001, 'there'); INSERT INTO part VALUES (2, '2025-06-06', 'there'); UPDATE extra.heap SET v = 'there' WHERE id = 1")
    equal_at_last(m, source, target)
    with source.connect() as c, pytest.raises(psycopg.Error):  # its gate is closed there
        c.execute("INSERT INTO fresh (id) VALUES (9002)")
    m.call("rollback")
    source.execute("INSERT INTO fresh (id, v) VALUES (9003, 'back')")
    equal_at_last(m, source, target)
    m.call("cutover", expect=(0, REFUSED))
    assert m.running()


@pytest.mark.parametrize("fault", ["adopt.create", "adopt.publish", "postgres.publish", "adopt.snapshot", "adopt.load", "copy.commit", "copy.committed", "adopt.keys", "adopt.record", "adopt.reverse", "adopt.done"])
def test_killed_while_new_tables_are_taken_in(fault, source, target, migration):
    m = synced(migration, source, target, "additive")
    m.stop()
    source.execute(NEW)
    m.start(fault=f"{fault}=kill")
    with Writers(source, "fresh", "extra.heap"), Writers(source, "part", extra="at='2025-07-07'") as w:
        wait_for(lambda: not m.running(), 60, f"the kill at {fault}")
        w.more()
        m.start()
        m.wait_phase("synced")
        migrated(m, *NEW_TABLES)
        w.more(50)
    equal_at_last(m, source, target)
    assert objects(source) == objects(target)
    m.call("verify")


def test_midflight_is_killed_at_random_while_tables_come(source, target, migration):
    m = synced(migration, source, target, "additive")
    with Writers(source, "part", extra="at='2024-07-07'") as w:
        for i in range(6):
            source.execute(f"CREATE TABLE t{i} (id int PRIMARY KEY, v text); INSERT INTO t{i} SELECT g, 'x' FROM generate_series(1, 5000) g")
            w.more(3 * i)
            m.restart()
        with Writers(source, *(f"t{i}" for i in range(6))) as more:
            more.more()
            m.wait_phase("synced")
            migrated(m, *(f"public.t{i}" for i in range(6)))
            more.more()
    equal_at_last(m, source, target)
    m.call("verify")


def test_a_transaction_that_wrote_before_the_table_was_published_is_whole(source, target, migration):
    """It began before and commits after: what of it is in the snapshot must not be lost or doubled, and the stream must not take the table for unpublished."""
    m = synced(migration, source, target, "additive")
    with source.connect() as c, source.connect() as d:
        c.autocommit = d.autocommit = False
        c.execute("UPDATE a SET n = -1 WHERE id = 3")  # has a transaction number, not the table
        source.execute("CREATE TABLE fresh (id int PRIMARY KEY, v text)")
        d.execute("INSERT INTO fresh VALUES (1, 'early')")
        m.wait_log("taking new table public.fresh")
        c.execute("INSERT INTO fresh VALUES (2, 'in the middle')")
        d.execute("INSERT INTO fresh VALUES (3, 'early too')")
        d.commit()
        c.execute("INSERT INTO fresh VALUES (4, 'in the middle too')")
        c.commit()
        migrated(m, "public.fresh")
        c.execute("INSERT INTO fresh VALUES (5, 'late')")
        c.commit()
    equal_at_last(m, source, target)


def test_a_table_made_on_the_new_side_comes_back(source, target, migration):
    m = synced(migration, source, target, "additive")
    m.call("verify")
    m.call("cutover")
    target.execute(NEW)
    with Writers(target, "fresh", "extra.heap", "child"), Writers(target, "part", extra="at='2025-07-07'") as w:
        w.more()
        migrated(m, *NEW_TABLES)
        w.more(50)
    equal_at_last(m, source, target)
    assert objects(source) == objects(target)
    m.restart()
    m.wait(lambda s: s["running"] and s["phase"] == "cut_over", 60, "the run")
    target.execute("UPDATE fresh SET v = 'again' WHERE id = 1")
    equal_at_last(m, source, target)
    m.call("rollback")
    source.execute("UPDATE fresh SET v = 'back' WHERE id = 1")
    equal_at_last(m, source, target)


def test_a_table_made_on_the_new_side_stops_a_rollback(source, target, migration):
    m = synced(migration, source, target, more=NEVER)
    target.execute("CREATE TABLE targets_own (id int)")
    m.call("verify")
    m.call("cutover")
    target.execute("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)")
    refused = m.call("rollback", expect=REFUSED)
    assert "public.fresh" in refused.out + refused.err
    target.execute("DROP TABLE fresh")
    m.call("rollback")


def test_a_table_the_target_has_already_is_not_emptied(source, target, migration):
    m = synced(migration, source, target, "additive")
    target.execute("CREATE TABLE fresh (id int PRIMARY KEY, v text); INSERT INTO fresh VALUES (1, 'theirs')")
    source.execute("CREATE TABLE fresh (id int PRIMARY KEY, v text); INSERT INTO fresh VALUES (1, 'ours')")
    stopped_with(m, "public.fresh", "1 rows")
    assert target.value("SELECT v FROM fresh") == "theirs"
    target.execute("DROP TABLE fresh")
    m.start()
    migrated(m, "public.fresh")
    equal_at_last(m, source, target)


def test_a_new_table_of_a_type_the_target_lacks(source, target, migration):
    m = synced(migration, source, target, "additive")
    source.execute("CREATE TYPE mood AS ENUM ('well', 'ill'); CREATE TABLE fresh (id int PRIMARY KEY, v mood); INSERT INTO fresh VALUES (1, 'ill')")
    stopped_with(m, "mood", "by hand")
    target.execute("CREATE TYPE mood AS ENUM ('well', 'ill')")
    m.start()
    migrated(m, "public.fresh")
    equal_at_last(m, source, target)
