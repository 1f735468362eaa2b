"""The PostgreSQL connector as a source: catalogue, stream, chunks, snapshots, digests, check, against real servers."""
import threading

import pytest

from harness import awkward
from harness.pgdrive import Refused
from harness.pgread import Read
from harness.servers import wait_for


@pytest.fixture
def read():
    made = []

    def make(database, **named) -> Read:
        made.append(Read(database if isinstance(database, str) else database.url(), **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


def make_awkward(database):
    with database.connect() as c:
        awkward.awkward_schema(c)


def fill_awkward(database, churn=0):
    with database.connect() as c:
        awkward.awkward_data(c, rows=20)
        if churn:
            awkward.awkward_churn(c, seed=1, steps=churn)


def tables(reply):
    return {f"{t['schema']}.{t['name']}": t for t in reply["tables"]}


# -- catalogue ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("versions", [(13, 13), (15, 15), (18, 18)])
def test_the_catalogue_of_an_awkward_schema(source, read):
    make_awkward(source)
    found = tables(read(source).catalog())
    key = {name: t["key"] for name, t in found.items()}
    assert key["awk.key_composite"] == ["c", "a", "b"]  # the index's order
    assert key["awk.identity_index"] == ["region", "code"]
    assert key["awk.full_with_key"] == ["id"]
    assert key["awk.nokey"] == key["awk.unique_only"] == key["awk.key_deferred"] == []
    assert key["awk.part_range_2020_h0"] == ["id", "at"]
    assert "awk.part_range" not in found and "awk.unlogged" not in found
    assert [c["name"] for c in found["awk.generated"]["columns"] if c["generated"]] == ["twice", "slug"]
    assert [c["name"] for c in found["awk.dropped"]["columns"]] == ["id", "v", "w", "later"]
    assert not any(name.startswith(("pg_catalog.", "midflight.")) for name in found)


def test_a_pattern_of_a_partitioned_table_means_its_partitions(source, read):
    make_awkward(source)
    r = read(source)
    assert set(tables(r.catalog(include=["awk.part_list"]))) == {"awk.part_list_eu", "awk.part_list_us", "awk.part_list_rest"}
    left = tables(r.catalog(include=["awk.part_*"], exclude=["awk.part_range"]))
    assert "awk.part_list_us" in left and "awk.part_range_old" not in left


# -- stream ---------------------------------------------------------------------------------------------------------

def changes(reply):
    return [(i["op"], i["table"], i.get("old"), i.get("new")) for i in reply["items"]
            if i["kind"] == "change" and i["table"] not in ("heartbeat", "checkpoint", "epoch")]


@pytest.mark.parametrize("versions", [(13, 13), (15, 15), (18, 18)])
def test_every_kind_of_change(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    c.execute("CREATE TABLE nokey (a int, big text); ALTER TABLE nokey ALTER big SET STORAGE EXTERNAL")
    c.execute("CREATE TABLE full_keyed (id int PRIMARY KEY, v text); ALTER TABLE full_keyed REPLICA IDENTITY FULL")
    c.execute("CREATE TABLE uniq (a int NOT NULL UNIQUE, v text)")
    r = read(source)
    r.catalog()
    start = r.prepare()["position"]
    assert r.prepare()["position"] == start  # idempotent
    r.stream_open(**{"from": start})
    big = "x" * 3000
    c.execute("INSERT INTO t VALUES (1, NULL, %s), (2, '', 'é')", [big])
    c.execute("UPDATE t SET v = 'new' WHERE id = 1")
    c.execute("UPDATE t SET id = 3 WHERE id = 1")
    c.execute("DELETE FROM t WHERE id = 2")
    c.execute("INSERT INTO nokey VALUES (1, %s)", [big])
    c.execute("UPDATE nokey SET a = 2")
    c.execute("DELETE FROM nokey")
    c.execute("INSERT INTO full_keyed VALUES (1, 'a')")
    c.execute("UPDATE full_keyed SET v = 'b'")
    c.execute("UPDATE full_keyed SET id = 2")
    c.execute("INSERT INTO uniq VALUES (1, 'u')")
    c.execute("UPDATE uniq SET v = 'w'")
    c.execute("TRUNCATE t, nokey RESTART IDENTITY CASCADE")
    got = r.read_until_now()
    keep = {}
    assert changes(got) == [
        ("insert", "t", None, ["1", None, big]),
        ("insert", "t", None, ["2", "", "é"]),
        ("update", "t", None, ["1", "new", keep]),
        ("update", "t", ["1", keep, keep], ["3", "new", keep]),
        ("delete", "t", ["2", keep, keep], None),
        ("insert", "nokey", None, ["1", big]),
        ("update", "nokey", ["1", big], ["2", big]),  # whole: the old row has what did not change
        ("delete", "nokey", ["2", big], None),
        ("insert", "full_keyed", None, ["1", "a"]),
        ("update", "full_keyed", None, ["1", "b"]),
        ("update", "full_keyed", ["1", keep], ["2", "b"]),
        ("insert", "uniq", None, ["1", "u"]),
        ("update", "uniq", None, ["1", "w"]),
        ("truncate", "t", None, None),
    ]
    assert [i["truncated"] for i in got["items"] if i.get("op") == "truncate"] == [2]
    shapes = {i["table"]["name"]: i["table"]["shape"] for i in got["items"] if i["kind"] == "relation"}
    known = {t["name"]: t["shape"] for t in r.catalog()["tables"]}
    assert {n: s for n, s in shapes.items() if n in known} == {n: known[n] for n in ("t", "nokey", "full_keyed", "uniq")}
    c.close()


@pytest.mark.parametrize("versions", [(13, 13), (15, 15), (18, 18)])
def test_stream_and_catalogue_agree_on_awkward_tables(source, read):
    make_awkward(source)
    r = read(source)
    r.catalog()
    r.stream_open(**{"from": r.prepare()["position"]})
    fill_awkward(source, churn=30)
    got = r.read_until_now(wait_ms=60000)
    known = tables(r.catalog())
    seen = {f"{i['table']['schema']}.{i['table']['name']}": i["table"]["shape"] for i in got["items"] if i["kind"] == "relation"}
    wrong = {name for name, shape in seen.items() if not name.startswith("midflight.") and known[name]["shape"] != shape}
    assert not wrong and len(seen) > 40


@pytest.mark.parametrize("versions", [(15, 15), (18, 18)])
def test_a_large_transaction_is_streamed_and_its_aborted_parts_are_told(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    c.execute("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'; ")
    c.execute("SELECT pg_reload_conf()")
    wait_for(lambda: source.value("SHOW logical_decoding_work_mem") == "64kB", 60, "the setting of new sessions")
    try:
        r = read(source)
        r.catalog()
        r.stream_open(**{"from": r.prepare()["position"]})
        with c.transaction():
            c.execute("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i")
            with pytest.raises(ZeroDivisionError):
                with c.transaction():
                    c.execute("INSERT INTO t SELECT i, repeat('y', 100) FROM generate_series(3001, 6000) i")
                    raise ZeroDivisionError
            c.execute("INSERT INTO t SELECT i, 'z' FROM generate_series(7001, 7010) i")
        got = r.read_until_now()
        undone = {i["subtxn"] for i in got["items"] if i["kind"] == "abort"}
        kept = [i["new"][0] for i in got["items"] if i["kind"] == "change" and i["table"] == "t" and i["subtxn"] not in undone]
        assert undone and kept == [str(i) for i in [*range(1, 3001), *range(7001, 7011)]]
        assert len([i for i in got["items"] if i["kind"] == "begin"]) > 2  # in pieces
    finally:
        c.execute("ALTER SYSTEM RESET logical_decoding_work_mem")
        c.execute("SELECT pg_reload_conf()")
        c.close()


def test_an_idle_stream_goes_on_and_acknowledges(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY)")
    r = read(source)
    r.catalog()
    r.stream_open(**{"from": r.prepare()["position"]})
    at = r.read_until_now()["reached"]
    r.stream_ack(position=at)

    def confirmed():
        return c.execute("SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = 'midflight_test_fwd'").fetchone()[0] >= at

    wait_for(confirmed, 60, "the position acknowledged")
    # Resumed from there, what came before is not sent again.
    r.stream_close()
    c.execute("INSERT INTO t VALUES (1)")
    r.stream_open(**{"from": at})
    assert changes(r.read_until_now()) == [("insert", "t", None, ["1"])]
    # What was acknowledged cannot be asked for again.
    r.stream_close()
    with pytest.raises(Refused) as refused:
        r.stream_open(**{"from": at - 1000})
    assert refused.value.code == "MFSLOT" and refused.value.cls == "fatal"
    c.close()


def test_identities_are_set_and_put_back(source, read):
    c = source.connect()
    c.execute("CREATE TABLE pk (id int PRIMARY KEY); CREATE TABLE nokey (a int); CREATE TABLE uniq (a int NOT NULL UNIQUE)")
    c.execute("CREATE TABLE nothing_ (id int PRIMARY KEY); ALTER TABLE nothing_ REPLICA IDENTITY NOTHING")
    identities = "SELECT relname, relreplident FROM pg_class WHERE relname IN ('pk', 'nokey', 'uniq', 'nothing_') ORDER BY 1"
    before = c.execute(identities).fetchall()
    r = read(source)
    r.catalog()
    r.prepare()
    assert c.execute(identities).fetchall() == [("nokey", "f"), ("nothing_", "d"), ("pk", "d"), ("uniq", "i")]
    c.execute("UPDATE nokey SET a = 1; UPDATE nothing_ SET id = 1; DELETE FROM uniq")  # an outage if it were refused
    r.drop()
    r.drop()
    assert c.execute(identities).fetchall() == before
    assert c.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)
    assert c.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'midflight_test%'").fetchone() == (0,)
    c.close()


def test_a_slot_or_publication_removed_behind_our_back_is_noticed(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY)")
    r = read(source)
    r.catalog()
    start = r.prepare()["position"]
    c.execute("ALTER PUBLICATION midflight_test_fwd DROP TABLE t")
    with pytest.raises(Refused) as refused:
        r.prepare()
    assert refused.value.code == "MFSLOT" and "public.t" in refused.value.text
    c.execute("DROP PUBLICATION midflight_test_fwd")
    with pytest.raises(Refused) as refused:
        r.prepare()
    assert refused.value.code == "MFSLOT" and "publication" in refused.value.text
    c.execute("SELECT pg_drop_replication_slot('midflight_test_fwd')")
    for call in (r.prepare, lambda: r.stream_open(**{"from": start})):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == "MFSLOT" and refused.value.cls == "fatal" and "cancel" in refused.value.hint
    c.close()


def test_a_table_locked_by_others_does_not_hold_writers_for_long(source, read):
    """The exclusive lock for an identity is waited for in short tries; meanwhile readers and writers get through."""
    c, other = source.connect(), source.connect(autocommit=False)
    c.execute("CREATE TABLE nokey (a int)")
    other.execute("INSERT INTO nokey VALUES (1)")
    r = read(source)
    r.catalog()
    done = []
    thread = threading.Thread(target=lambda: done.append(r.prepare()))
    thread.start()
    wait_for(lambda: c.execute("SELECT count(*) FROM pg_locks WHERE relation = 'nokey'::regclass AND NOT granted").fetchone()[0], 60, "waiting for the lock")
    for _ in range(10):
        c.execute("SET statement_timeout = '50s'; INSERT INTO nokey VALUES (2)")
    other.commit()
    thread.join(60)
    assert done
    other.close()
    c.close()


@pytest.mark.parametrize("versions", [(10, 15)])
def test_a_truncate_is_told_by_a_server_that_does_not_stream_it(source, read):
    """10: triggers write a row into the stream, and it comes out as the truncate of all tables of that statement."""
    c = source.connect()
    c.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); CREATE TABLE other (id int); CREATE TABLE log (v text)")
    c.execute("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO b VALUES (7, NULL); RETURN NULL; END'")
    c.execute("CREATE TRIGGER tell AFTER TRUNCATE ON a FOR EACH STATEMENT EXECUTE PROCEDURE tell()")
    r = read(source)
    assert ("truncate", f"127.0.0.1:{source.server.port}") in codes(r.check())
    r.catalog(exclude=["public.log"])
    r.stream_open(**{"from": r.prepare()["position"]})
    c.execute("INSERT INTO a VALUES (1)")
    c.execute("TRUNCATE a CASCADE")
    c.execute("BEGIN; SAVEPOINT s; TRUNCATE other; ROLLBACK TO s; INSERT INTO other VALUES (1); TRUNCATE log; COMMIT")
    c.execute("SET session_replication_role = replica; BEGIN; INSERT INTO other VALUES (2); TRUNCATE other; TRUNCATE b; INSERT INTO b VALUES (8); COMMIT")
    c.execute("RESET session_replication_role; CREATE TABLE late (id int PRIMARY KEY)")
    r.catalog(exclude=["public.log"])
    r.prepare()
    c.execute("TRUNCATE late")  # never described in the stream before
    got = r.read_until_now()
    assert changes(got) == [("insert", "a", None, ["1"]), ("truncate", "a", None, None), ("insert", "b", None, ["7", None]), ("insert", "other", None, ["1"]),
                            ("insert", "other", None, ["2"]), ("truncate", "other", None, None), ("truncate", "b", None, None), ("insert", "b", None, ["8", None]),
                            ("truncate", "late", None, None)]
    assert [i["truncated"] for i in got["items"] if i.get("op") == "truncate"] == [2, 1, 1, 1]
    r.stream_close()
    r.drop()
    r.drop()
    assert c.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall() == [("tell",)]
    assert c.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'truncate_%'").fetchone() == (0,)
    c.execute("TRUNCATE other")
    c.close()


@pytest.mark.parametrize("versions", [(10, 15)])
def test_a_migration_away_from_10_carries_truncates_and_leaves_nothing(source, target, migration):
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 100) i; CREATE TABLE child (id int, t int REFERENCES t)")
    m = migration(source, target).start()
    m.wait_phase("synced")
    source.execute("TRUNCATE t, child; INSERT INTO t VALUES (1000, 'after')")
    wait_for(lambda: target.rows("SELECT id FROM t") == [(1000,)], 60, "the truncate and what followed it")
    m.call("verify")
    m.call("cutover")
    target.execute("TRUNCATE t, child; INSERT INTO t VALUES (2000, 'new side')")
    wait_for(lambda: source.rows("SELECT id FROM t") == [(2000,)], 60, "the way back")
    m.call("verify")
    m.call("complete")
    for side in (source, target):
        assert side.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
        assert side.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'midflight'") == 0


# -- chunks ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("versions", [(13, 13), (15, 15), (18, 18)])
def test_chunks_of_every_awkward_table_cover_it_once(source, read):
    make_awkward(source)
    fill_awkward(source)
    r = read(source)
    found = tables(r.catalog())
    r.snapshot(now=True)
    for snapshot in (False, True):
        r.reader(snapshot=snapshot)
        for name, t in found.items():
            if snapshot and t["key"] and t["name"] not in ("key_composite", "toast"):
                continue  # by key, a snapshot changes nothing
            count = source.value(f"SELECT count(*) FROM ONLY {awkward_name(t)}")
            chunks = r.plan(table=name, rows=6, bytes=1 << 40)["chunks"]
            assert [c["ordinal"] for c in chunks] == list(range(len(chunks)))
            assert "lower" not in chunks[0] and "upper" not in chunks[-1]
            sizes = [r.copy(table=name, chunk=c)["rows"] for c in chunks]
            assert sum(sizes) == count, name
            rows = [row for c in chunks for row in r.rows(table=name, chunk=c)["rows"]]
            assert len(rows) == count
            if t["key"]:
                at = [[c["name"] for c in t["columns"]].index(k) for k in t["key"]]
                assert len({tuple(row[i] for i in at) for row in rows}) == count, name
            lane = r.digest(table=name)
            parts = [r.digest(table=name, chunk=c) for c in chunks]
            assert sum(p["rows"] for p in parts) == count
            assert sum(int(p["lane"], 16) for p in parts) % 2**64 == int(lane["lane"], 16), name
            for c, size in zip(chunks, sizes):
                if size > 1 and t["key"]:
                    pieces = r.split(table=name, chunk=c, n=2)["chunks"]
                    assert sum(r.digest(table=name, chunk=p)["rows"] for p in pieces) == size


def awkward_name(t):
    quote = lambda s: '"' + s.replace('"', '""') + '"'
    return f"{quote(t['schema'])}.{quote(t['name'])}"


def test_a_skewed_key_is_cut_by_quantiles(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    c.execute("INSERT INTO t SELECT CASE WHEN i < 200000 THEN i ELSE i::bigint * 1000000000 END, 'v' FROM generate_series(1, 200100) i")
    c.execute("ANALYZE t")
    r = read(source)
    r.catalog()
    r.reader()
    chunks = r.plan(table="public.t", rows=20000, bytes=1 << 40)["chunks"]
    sizes = [r.copy(table="public.t", chunk=k)["rows"] for k in chunks]
    assert sum(sizes) == 200100 and len(sizes) in (10, 11) and max(sizes) < 45000
    c.close()


def test_a_table_that_grew_since_its_statistics_is_cut_by_what_it_is(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off)")
    c.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 200) i; ANALYZE t")
    c.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(201, 200000) i")
    r = read(source)
    assert r.catalog()["tables"][0]["rows"] == 200
    r.reader()
    chunks = r.plan(table="public.t", rows=10000, bytes=1 << 40)["chunks"]
    sizes = [r.copy(table="public.t", chunk=k)["rows"] for k in chunks]
    assert sum(sizes) == 200000 and max(sizes) < 25000
    by_bytes = r.plan(table="public.t", rows=1 << 40, bytes=1 << 20)["chunks"]
    assert 6 <= len(by_bytes) <= 9  # of some 7 MB
    c.close()


def test_shape_changes_are_named(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(10))")
    r = read(source)
    r.catalog()
    r.reader()
    r.copy(table="public.t")
    for ddl, word in [("ALTER TABLE t ADD w int", "w was added"), ("ALTER TABLE t DROP w; ALTER TABLE t ALTER v TYPE varchar(20)", "another type"),
                      ("ALTER TABLE t RENAME v TO u", "renamed"), ("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v varchar(10))", "made again"),
                      ("DROP TABLE t", "does not exist")]:
        c.execute(ddl)
        with pytest.raises(Refused) as refused:
            r.copy(table="public.t")
        assert refused.value.code == "MFSHAPE" and word in refused.value.text
    c.close()


def test_row_security_is_an_error_not_a_filter(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    c.execute("CREATE POLICY odd ON t USING (id % 2 = 1)")
    c.execute("DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 'reader'; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    c.execute("GRANT SELECT ON t TO reader")
    r = read(source.url(user="reader", password="reader"))
    r.catalog()
    r.reader()
    with pytest.raises(Refused) as refused:
        r.copy(table="public.t")
    assert refused.value.code == "42501" and "row-level security" in refused.value.text
    c.close()


@pytest.mark.parametrize("text, versions", [(False, (18, 18)), (True, (15, 15))])
def test_rows_too_large_for_memory_are_read_in_slices(source, read, tmp_path, text):
    """A table with values of up to 90 MB takes a reader a few MB, and is the same when loaded again."""
    c = source.connect()
    c.execute("CREATE TYPE mood AS ENUM ('ok')")
    columns = "g int GENERATED ALWAYS AS (id + 1) STORED, id int PRIMARY KEY, t text, n text, b bytea, j jsonb" + (", m mood" if text else "")
    c.execute(f"CREATE TABLE t ({columns}); CREATE TABLE again ({columns}); ALTER TABLE t ALTER b SET STORAGE EXTERNAL")
    c.execute("INSERT INTO t (id, t) SELECT i, repeat('x', i) FROM generate_series(1, 300) i")
    c.execute("""INSERT INTO t (id, t, n, b, j) VALUES (1000, repeat(E'tab\t nl\n bs\\ é \x01', 400000), NULL, '', '[]'),
        (1001, '', '', decode(repeat('00ff0a5c', 1500000), 'hex'), NULL), (1002, NULL, NULL, NULL, (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 200000) i))""")
    c.execute("INSERT INTO t (id, b) SELECT 1003, decode(repeat(repeat('6d69646c', 1000), 22500), 'hex')")
    r = read(source)
    r.catalog()
    r.reader()
    names = "id, t, n, b, j" + (", m" if text else "")
    chunks = r.plan(table="public.t", rows=100, bytes=1 << 40)["chunks"]
    assert len(chunks) > 2
    for chunk in chunks:
        got = r.copy(table="public.t", chunk=chunk, file=str(tmp_path / "copy"))
        with open(tmp_path / "copy", "rb") as f, c.cursor() as cursor:
            with cursor.copy(f"COPY again ({names}) FROM STDIN (FORMAT {'text' if text else 'binary'})") as copy:
                while data := f.read(1 << 20):
                    copy.write(data)
            assert cursor.rowcount == got["rows"]
    with open(f"/proc/{r.process.pid}/status") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    assert peak < 64 * 1024
    same = "SELECT count(*) FROM t FULL JOIN again a USING (id) WHERE (t.g, md5(t.t), md5(t.n), md5(t.b), t.j) IS DISTINCT FROM (a.g, md5(a.t), md5(a.n), md5(a.b), a.j)"
    assert c.execute(same).fetchone() == (0,) and c.execute("SELECT count(*) FROM again").fetchone() == (304,)
    c.close()


# -- snapshots ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("versions", [(13, 13), (15, 15), (18, 18)])
def test_a_snapshot_is_exact_at_its_position(source, read):
    """Writers insert as fast as they can; what the snapshot has is exactly what the stream had committed up to its position."""
    c = source.connect()
    c.execute("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int)")
    r = read(source)
    r.catalog()
    r.stream_open(**{"from": r.prepare()["position"]})
    stop = threading.Event()

    def write(n):
        with source.connect() as w:
            while not stop.is_set():
                w.execute("INSERT INTO t (w) VALUES (%s)", [n])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: source.value("SELECT count(*) FROM t") > 0, 60, "the first row")
        seen = []
        for _ in range(8):
            at = r.snapshot()["position"]
            r.reader(snapshot=True)
            seen.append((at, {row[0] for row in r.rows(table="public.t")["rows"]}))
            wait_for(lambda: source.value("SELECT count(*) FROM t") > len(seen[-1][1]), 60, "more rows")
    finally:
        stop.set()
        for t in threads:
            t.join()
    items = r.read_until_now(wait_ms=60000)["items"]
    for at, rows in seen:
        expected, pending = set(), []
        for i in items:
            if i["kind"] == "change" and i["table"] == "t":
                pending.append(i["new"][0])
            elif i["kind"] == "commit":
                expected |= set(pending) if i["position"] <= at else set()
                pending = []
        assert rows == expected
    assert len(seen[-1][1]) > len(seen[0][1]) > 0
    c.close()


def test_a_table_rewritten_after_the_snapshot_is_not_read(source, read):
    c = source.connect()
    c.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    r = read(source)
    r.catalog()
    r.snapshot()
    r.reader(snapshot=True)
    c.execute("TRUNCATE t")
    with pytest.raises(Refused) as refused:
        r.copy(table="public.t")
    assert refused.value.code == "MFREWRITTEN" and refused.value.cls == "retry"
    # And a reader lets the table's lock go between its chunks.
    c.execute("INSERT INTO t VALUES (3)")
    r.snapshot()
    r.reader(snapshot=True)
    assert r.copy(table="public.t")["rows"] == 1
    c.execute("SET lock_timeout = '50s'; TRUNCATE t")
    c.close()


# -- digests --------------------------------------------------------------------------------------------------------

VALUES = """CREATE TABLE v (id int PRIMARY KEY, t text, n numeric, f float8, d timestamptz, b bytea, j jsonb, i int8, c char(5), ok bool, a text[],
    iv interval, r int4range, u uuid, f4 float4, x "char", bs bit(3));
INSERT INTO v VALUES (1, '', 1.50, 0, '2020-01-01', '\\x00ff', '{"a": 1.0}', 5, 'ab', true, '{a,NULL}', '1 month', '[1,5)', '00000000-0000-0000-0000-000000000001', 1.5, 'x', '101'),
 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (3, 'é', 'NaN', 'NaN', 'infinity', '', 'null', -1, '', false, '{}', '30 days', 'empty', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'NaN', '', '000')"""

CORRUPTIONS = [
    "t = NULL WHERE id = 1", "t = '' WHERE id = 2", "t = 'e' WHERE id = 3", "n = 1.5 WHERE id = 1", "n = 1.500 WHERE id = 1",
    "n = NULL WHERE id = 3", "f = '-0' WHERE id = 1", "f = 5e-324 WHERE id = 1", "f = NULL WHERE id = 3", "d = '-infinity' WHERE id = 3",
    "d = '2020-01-01 00:00:00.000001' WHERE id = 1", "b = '\\x01ff' WHERE id = 1", "b = NULL WHERE id = 3", """j = '{"a": 1}' WHERE id = 1""",
    "j = NULL WHERE id = 3", "i = 4294967301 WHERE id = 1", "i = 5::int8 << 32 WHERE id = 1", "i = 1 WHERE id = 3", "c = NULL WHERE id = 3",
    "ok = NULL WHERE id = 3", "ok = true WHERE id = 3", "a = '{a,\"NULL\"}' WHERE id = 1", "a = NULL WHERE id = 3", "iv = '30 days' WHERE id = 1",
    "iv = '720 hours' WHERE id = 3", "r = '[1,4)' WHERE id = 1", "r = NULL WHERE id = 3", "u = '00000000-0000-0000-0000-000000000002' WHERE id = 1",
    "f4 = '-0' WHERE id = 1", "x = 'y' WHERE id = 1", "bs = '001' WHERE id = 3", "id = 4 WHERE id = 3",
]


@pytest.mark.parametrize("peer", [0, 100000, 110000])
@pytest.mark.parametrize("versions", [(13, 15), (15, 18)])
def test_digests_see_every_corruption_and_nothing_else(source, target, read, peer):
    for side in (source, target):
        side.execute(VALUES)
    a, b = read(source), read(target, side="target")
    for r in (a, b):
        r.catalog()
        r.reader(peer_version=peer)
    good = a.digest(table="public.v")
    assert good["rows"] == 3 and b.digest(table="public.v")["lane"] == good["lane"]
    c = target.connect(autocommit=False)
    for corruption in CORRUPTIONS:
        c.execute(f"UPDATE v SET {corruption}")
        c.commit()
        assert b.digest(table="public.v")["lane"] != good["lane"], corruption
        c.execute("TRUNCATE v")
        c.execute(VALUES[VALUES.index("INSERT"):])
        c.commit()
        assert b.digest(table="public.v")["lane"] == good["lane"], corruption
    # A value that only changes places, and a row that is twice there.
    c.execute("CREATE TABLE p (a text, b text); INSERT INTO p VALUES ('x', 'y'), ('z', 'w')")
    c.commit()
    b.catalog()
    straight = b.digest(table="public.p")["lane"]
    for corruption in ("UPDATE p SET a = b, b = a WHERE a = 'x'", "UPDATE p SET b = CASE b WHEN 'y' THEN 'w' ELSE 'y' END", "INSERT INTO p VALUES ('x', 'y')"):
        c.execute(corruption)
        c.commit()
        assert b.digest(table="public.p")["lane"] != straight
        straight = b.digest(table="public.p")["lane"]
    c.close()


@pytest.mark.parametrize("versions", [(13, 15), (15, 18)])
def test_digests_of_awkward_tables_are_the_same_on_another_version(source, target, read):
    lanes = []
    for side in (source, target):
        make_awkward(side)
        fill_awkward(side)
        r = read(side)
        found = tables(r.catalog())
        r.reader()
        lanes.append({name: r.digest(table=name)["lane"] for name, t in found.items() if not VOLATILE & set(name.split("."))})
    common = set(lanes[0]) & set(lanes[1])
    assert {n for n in common if lanes[0][n] != lanes[1][n]} == set() and len(common) > 40


VOLATILE = {"audit", "types"}  # clocks; oids of objects, and columns only newer versions have


@pytest.mark.parametrize("peer", [0, 100000])
@pytest.mark.parametrize("encoding,word", [("LATIN1", "Zoë ÿ"), ("EUC_JP", "日本語"), ("SQL_ASCII", "日本語"), ("UTF8", "日本語")])
def test_another_encoding_has_the_same_digest(own_server, read, encoding, word, peer):
    server = own_server(15)
    lanes = []
    for name, own, other in (("a", encoding, "UTF8"), ("b", "UTF8", encoding)):
        with server.connect() as c:
            c.execute(f"CREATE DATABASE {name} ENCODING '{own}' LOCALE 'C' TEMPLATE template0")
        with server.connect(name, client_encoding="UTF8") as c:
            c.execute("CREATE TABLE t (id int PRIMARY KEY, v text, c char(12), x varchar(20), j json)")
            c.execute("INSERT INTO t VALUES (1, %s, %s, %s, to_json(%s::text)), (2, '', '', NULL, '{}')", [word] * 4)
        r = read(server.url(name))
        r.catalog()
        r.reader(peer_version=peer, peer_encoding=other)
        lanes.append(r.digest(table="public.t")["lane"])
    assert lanes[0] == lanes[1]


@pytest.mark.parametrize("versions", [(18, 18)])
@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_a_table_whose_updates_18_would_refuse_is_not_published(source, read, kind):
    """Full identity and a generated column: refused before anything is altered, for an outage is what it would be."""
    c = source.connect()
    c.execute(f"CREATE TABLE a_plain (a int); CREATE TABLE log (a int, b int GENERATED ALWAYS AS (a * 2) {kind}); INSERT INTO log VALUES (1)")
    identities = "SELECT relname, relreplident FROM pg_class WHERE relname IN ('a_plain', 'log') ORDER BY 1"
    before = c.execute(identities).fetchall()
    r = read(source)
    found = codes(r.check())["generated-identity", "table public.log"]
    assert found["severity"] == 2 and found["remedy"] == "ALTER TABLE public.log ADD PRIMARY KEY (…);"
    r.catalog()
    with pytest.raises(Refused) as refused:
        r.prepare()
    assert refused.value.code == "MFIDENTITY" and "public.log" in refused.value.text and "PRIMARY KEY" in refused.value.hint
    assert c.execute(identities).fetchall() == before
    assert c.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)
    c.execute("UPDATE log SET a = 2; DELETE FROM log; ALTER TABLE log ADD PRIMARY KEY (a)")
    r.catalog()
    r.prepare()
    c.execute("INSERT INTO log VALUES (1); UPDATE log SET a = 2; DELETE FROM log")
    c.close()


# -- check ----------------------------------------------------------------------------------------------------------

def codes(reply):
    return {(f["code"], f["object"]): f for f in reply["findings"]}


def test_check_of_a_good_source_blocks_nothing(source, read):
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    assert [f for f in read(source).check()["findings"] if f["severity"] == 2] == []


def test_check_names_what_is_wrong_and_its_remedy(own_server, read):
    server = own_server(15, settings={"wal_level": "replica", "max_slot_wal_keep_size": "64MB", "max_replication_slots": 1})
    c = server.connect()
    c.execute("CREATE TABLE nokey (a int); CREATE UNLOGGED TABLE quick (a int); CREATE TABLE secret (id int PRIMARY KEY); CREATE SEQUENCE seq")
    c.execute("CREATE TABLE uniq (a int NOT NULL UNIQUE); SELECT lo_create(0); CREATE ROLE weak LOGIN PASSWORD 'weak'; GRANT SELECT ON nokey, uniq TO weak")
    c.execute("ALTER TABLE uniq ENABLE ROW LEVEL SECURITY")
    c.execute("BEGIN; CREATE TABLE x (a int); PREPARE TRANSACTION 'p1'")
    found = codes(read(server.url(user="weak", password="weak")).check())
    assert found["wal-level", "wal_level"]["severity"] == 2
    assert found["replication-slots", "max_replication_slots"]["severity"] == 1
    assert ("slot-wal-keep-size", "max_slot_wal_keep_size") in found and ("replication-connection", f"127.0.0.1:{server.port}") in found
    assert found["role-replication", "weak"]["remedy"] == "ALTER ROLE weak REPLICATION;"
    assert found["role-create", "postgres"]["remedy"] == "GRANT CREATE ON DATABASE postgres TO weak;"
    assert found["table-select", "table public.secret"]["remedy"].endswith("GRANT SELECT ON public.secret TO weak;")
    assert found["table-owner", "table public.nokey"]["remedy"] == "GRANT postgres TO weak;"
    assert found["row-security", "table public.uniq"]["remedy"] == "ALTER ROLE weak BYPASSRLS;"
    assert ("no-key", "table public.nokey") in found and ("unlogged-table", "table public.quick") in found
    assert found["replica-identity", "table public.uniq"]["remedy"] == "ALTER TABLE ONLY public.uniq REPLICA IDENTITY USING INDEX uniq_a_key;"
    assert ("sequence-select", "sequence public.seq") in found and ("large-objects", "pg_largeobject") in found
    assert ("prepared-transaction", "prepared transaction p1") in found
    # The remedies are statements that can be pasted.
    for code in ("role-create", "table-owner", "row-security", "sequence-select", "no-key"):
        for f in (f for (k, _), f in found.items() if k == code and "…" not in f["remedy"]):
            c.execute(f["remedy"])
    c.execute("ROLLBACK PREPARED 'p1'")
    c.close()


def test_check_looks_at_tables_above_and_at_tls_and_at_idle_slots(own_server, read):
    server = own_server(18, tls=True, settings={"idle_replication_slot_timeout": "2h"})
    c = server.connect()
    c.execute("CREATE ROLE mover LOGIN REPLICATION PASSWORD 'm'; CREATE ROLE above; GRANT CREATE ON DATABASE postgres TO mover; GRANT pg_monitor TO mover; GRANT SET ON PARAMETER session_replication_role TO mover")
    c.execute("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p_1 PARTITION OF p DEFAULT; ALTER TABLE p OWNER TO above; ALTER TABLE p_1 OWNER TO mover")
    far = server.url(user="mover", password="m", sslmode="{}", hostaddr="127.0.0.1").replace("@127.0.0.1:", "@db.example:")
    found = codes(read(far.replace("%7B%7D", "require")).check())
    assert found["table-owner", "table public.p"]["remedy"] == "GRANT above TO mover;"
    assert ("table-owner", "table public.p_1") not in found and ("table-select", "table public.p") not in found
    assert "sslmode=verify-full" in found["tls-unverified", f"db.example:{server.port}"]["remedy"]
    assert "2h" in found["idle-slot-timeout", "idle_replication_slot_timeout"]["reason"]
    c.execute("GRANT above TO mover")
    found = codes(read(server.url(user="mover", password="m")).check())
    assert not [f for f in found.values() if f["severity"] == 2] and "tls-unverified" not in {code for code, _ in found}
    found = codes(read(far.replace("%7B%7D", "disable")).check())
    assert ("tls", f"db.example:{server.port}") in found
    c.close()
