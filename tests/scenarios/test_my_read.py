"""MySQL's reading side against real servers: snapshots, chunks by keys of every type, digests that are the same on every server."""
import random
import struct
import threading
import time
from contextlib import closing

import pytest

from harness.mysql_servers import fetch, run
from harness.pgdrive import Refused
from harness.pgread import Read
from harness.servers import wait_for

VERSIONS = ["5.7", "8.0", "mariadb"]
NUMBER = {"5.7": 50719, "8.0": 80015, "mariadb": 101100}
LOOSE = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'"


def do(database, *statements):
    with closing(database.connect()) as c:
        for one in (LOOSE, *statements):
            run(c, one, close=False)


def ask(database, sql):
    with closing(database.connect()) as c:
        return fetch(c, sql, close=False)


@pytest.fixture(params=VERSIONS)
def source(mysql_database, request):
    return mysql_database("source", request.param)


@pytest.fixture
def read():
    made = []

    def make(database, **named):
        made.append(Read(database.url(), **named))
        made[-1].catalog()
        return made[-1]

    yield make
    for one in made:
        one.close()


def snapshot(r, **named):
    """One that is refused because the server is busy is asked for again, as by midflight."""
    def taken():
        try:
            return r.snapshot(**named)
        except Refused as e:
            if "MFBUSY" not in str(e):
                raise
            return None
    return wait_for(taken, 60, "a snapshot")


def name(database, table):
    return f"{database.name}.{table}"


# ---- values and digests ----

EVERY_TYPE = """CREATE TABLE v (id int PRIMARY KEY, ti tinyint, tu tinyint unsigned, bi bigint, bu bigint unsigned, zf int(8) zerofill,
 dc decimal(20,6), dz decimal(10,2) zerofill, f float, d double, f2 float(7,3), d2 double(9,2), b bit(11), y year, dt date, t time(3),
 dtm datetime(6), ts timestamp(6) NULL, c char(10), cl char(10) CHARACTER SET latin1, vc varchar(50), vg varchar(50) CHARACTER SET gbk,
 v3 varchar(50) CHARACTER SET utf8, tt tinytext, lt longtext CHARACTER SET latin1, bn binary(6), vb varbinary(10), bl blob,
 e enum('a','b''c',''), s set('x','y','z'), j json, g geometry, gen int AS (id + 1) VIRTUAL) CHARACTER SET utf8mb4"""
ROWS = [
    "(id) VALUES (1)",
    "VALUES (2,-128,255,-9223372036854775808,18446744073709551615,42,-12345678901234.000001,1.5,0.1,0.1,1.2345,1.23,5,1999,'2026-02-29',"
    "'-838:59:59','2026-11-28 01:02:03.000100','2026-11-28 01:02:03.5','ab','ä','it''s \\\\ \"q\" \\n é 😀','中文','é','t','läng',x'0001',"
    "x'27',x'00275C1A','b''c','x,z','{\"b\": 1, \"aa\": [1.5, null, true, \"é\"]}',ST_GeomFromText('POINT(1 2)',0),DEFAULT)",
    "VALUES (3,0,0,0,0,0,-0.0,0,-3.4e38,1.7976931348623157e308,0,0,2047,0,'0000-00-00','00:00:00','0000-00-00 00:00:00',NULL,'','','','','',"
    "'','','','','','','','{}',ST_GeomFromText('LINESTRING(0 0,1 1)',4326),DEFAULT)",
    "(id, f, d, d2, e, j) VALUES (4, 1e-30, 5e-324, 12345.67, 0, '[1e20, 0.1, 123456789012345678, -5]')",
]


def test_a_row_has_one_text_and_one_digest_on_every_server(mysql_database, read):
    random.seed(3)
    doubles = [x for x in (struct.unpack("d", random.randbytes(8))[0] for _ in range(3000)) if x == x and abs(x) != float("inf")]
    seen, without_sha1 = {}, set()
    for version in VERSIONS:
        db = mysql_database("source", version)
        do(db, EVERY_TYPE, *[f"INSERT INTO v {r}" for r in ROWS], "CREATE TABLE n (id int PRIMARY KEY, d double)",
           "INSERT INTO n VALUES " + ",".join(f"({i}, '{x!r}')" for i, x in enumerate(doubles)))
        r = read(db)
        for peer in VERSIONS:
            r.reader(peer_version=NUMBER[peer])
            seen.setdefault((version, peer), [r.digest(table=name(db, t), chunk={})["lane"] for t in "vn"])
        r.reader(peer_version=90704)  # has no SHA-1
        without_sha1.add(r.digest(table=name(db, "n"), chunk={})["lane"])
        r.reader(peer_version=NUMBER[version])
        seen[version] = [r.rows(table=name(db, t), chunk={})["rows"] for t in "vn"]
        before = seen[version, version][0]
        for change in ("ti = 0 WHERE id = 1", "vc = 'it''s' WHERE id = 2", "d = d * 2 WHERE id = 4", "e = '' WHERE id = 4", "c = 'x' WHERE id = 3",
                       "bl = NULL WHERE id = 3", "g = ST_GeomFromText('POINT(1 2)',4326) WHERE id = 2", "zf = NULL WHERE id = 3"):
            do(db, f"UPDATE v SET {change}")
            after = r.digest(table=name(db, "v"), chunk={})["lane"]
            assert after != before, change
            before = after
    assert seen["5.7"] == seen["8.0"] == seen["mariadb"]
    for a in VERSIONS:
        for b in VERSIONS:
            assert seen[a, b] == seen[b, a], (a, b)
    assert len(without_sha1) == 1 and not without_sha1 & {lane for a in VERSIONS for lane in seen[a, a]}


def test_json_that_two_versions_show_in_two_ways_is_the_same(mysql_database, read):
    text = r'''{"a\"b.0": ["x.0\\", "1.0, 2.0", 1.0, -0.0, 10.05, 2.0, {"z": 3.0}], "c": "\\\"1.0"}'''
    lanes = {}
    for version, peer in (("5.7", "8.0"), ("8.0", "5.7"), ("8.0", "8.0")):
        db = mysql_database("source", version)
        with closing(db.connect()) as c:
            run(c, "CREATE TABLE j (id int PRIMARY KEY, j json)", close=False)
            run(c, "INSERT INTO j VALUES (1, %s), (2, '1.0'), (3, '\"1.0\"')", (text,), close=False)
        r = read(db)
        r.reader(peer_version=NUMBER[peer])
        lanes[version, peer] = r.digest(table=name(db, "j"), chunk={})["lane"]
    assert lanes["5.7", "8.0"] == lanes["8.0", "5.7"] != lanes["8.0", "8.0"]


def test_equal_rows_count_and_null_is_not_empty(source, read):
    do(source, "CREATE TABLE k (a int, b varchar(10))", "INSERT INTO k VALUES (1,'x'),(1,'x'),(2,NULL),(2,''),(NULL,NULL)")
    r = read(source)
    r.reader()
    lanes = set()
    for change in ("DO 0", "DELETE FROM k WHERE a = 1", "UPDATE k SET b = '' WHERE b IS NULL", "UPDATE k SET b = 'NULL' WHERE a = 2"):
        do(source, change)
        lanes.add(r.digest(table=name(source, "k"), chunk={})["lane"])
    assert len(lanes) == 4


def test_no_two_rows_are_written_alike(source, read):
    do(source, "CREATE TABLE w (id int PRIMARY KEY, a varchar(20), b varchar(20) NOT NULL, c varbinary(20), d varbinary(20) NOT NULL, e int, f int NOT NULL)")
    r = read(source)
    r.reader()
    lanes = []
    for row in ("'a','bc',x'','',1,11", "'ab','c',x'','',1,11", "NULL,'',NULL,'',NULL,0", "'','',NULL,'',NULL,0", "'N','',NULL,'',NULL,0", "NULL,'',x'','',NULL,0", "'','','N','',NULL,0",
                "NULL,'',x'FF31FF',x'FF',1,1", "NULL,'',x'FF31',x'FFFF',1,1", "NULL,'',x'',x'FF31FFFF',1,1", "'1','',x'00','',11,1", "'1','',x'00','',1,11"):
        do(source, "DELETE FROM w", f"INSERT INTO w VALUES (1,{row})")
        lanes.append(r.digest(table=name(source, "w"), chunk={})["lane"])
    assert len(set(lanes)) == len(lanes), lanes


def test_a_character_that_no_unicode_text_has_is_refused(source, read):
    do(source, "CREATE TABLE g (id int PRIMARY KEY, b varchar(20) CHARACTER SET gbk)", "INSERT INTO g VALUES (1, _gbk x'D6D0')")
    r = read(source)
    r.reader()
    assert r.rows(table=name(source, "g"), chunk={})["rows"] == [["1", "中"]]
    do(source, "INSERT INTO g VALUES (2, _gbk x'A2A0')")
    for op in (r.copy, r.rows):
        with pytest.raises(Refused, match="MFCHARSET"):
            op(table=name(source, "g"), chunk={})


# ---- keys ----

def quoted(letters, n):
    return ["'" + "".join(random.choice(letters) for _ in range(n)) + "'" for _ in range(300)]


def key_types():
    random.seed(1)
    return {
        "bit(40)": [str(random.getrandbits(40)) for _ in range(200)],
        "enum('z','b','a','c''x')": ["'z'", "'b'", "'a'", "'c''x'"],
        "set('z','b','a','q')": [str(i) for i in range(16)],
        "float": [f"'{random.uniform(-1e5, 1e5):.4f}'" for _ in range(200)] + ["'1e-30'", "0"],
        "double": [f"'{random.uniform(-1e5, 1e5)!r}'" for _ in range(200)] + ["'5e-324'", "'-1e300'"],
        "decimal(20,5)": [f"{random.uniform(-1e9, 1e9):.5f}" for _ in range(200)],
        "year": ["0"] + [str(y) for y in range(1901, 2156)],
        "date": ["'0000-00-00'", "'2026-02-30'"] + [f"'20{random.randrange(10, 99)}-0{random.randrange(1, 10)}-1{random.randrange(10)}'" for _ in range(200)],
        "timestamp(3) NOT NULL DEFAULT '2020-01-01'": ["'0000-00-00'"] + [f"'2026-05-{d:02} 12:13:14.{d:03}'" for d in range(1, 31)],
        "time(2)": ["'-838:59:59'", "'838:59:59'"] + [f"'{random.randrange(-800, 800)}:1{random.randrange(10)}:00.5'" for _ in range(200)],
        "bigint unsigned": [str(random.getrandbits(64)) for _ in range(200)],
        "int(6) zerofill": [str(random.getrandbits(20)) for _ in range(200)],
        "varchar(40) CHARACTER SET latin1": quoted("aAbBcÄäÖößéÿ€ x", 6),
        "varchar(40) CHARACTER SET latin1 COLLATE latin1_german2_ci": quoted("aAbBcÄäÖößés ", 6),
        "varchar(40) CHARACTER SET gbk": quoted("中文字符abcAB", 5),
        "varchar(40) CHARACTER SET utf8 COLLATE utf8_unicode_ci": quoted("aAÅåæœßsśЖж中", 5),
        "varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin": quoted(["a", "A", "😀", "\\0", "\\n", "\\\\", "''", " "], 4),
        "varchar(20) CHARACTER SET ucs2": quoted("abÄ中Ж", 4),
        "binary(5)": [f"x'{random.randbytes(random.randrange(6)).hex()}'" for _ in range(200)],
        "varbinary(50)": [f"x'{random.randbytes(random.randrange(9)).hex()}'" for _ in range(200)],
    }


def test_chunks_by_keys_of_every_type_have_every_row_once(source, read):
    types = key_types()
    for i, (kind, values) in enumerate(types.items()):
        do(source, f"CREATE TABLE s{i} (k {kind}, v int, PRIMARY KEY (k))", f"INSERT IGNORE INTO s{i} VALUES " + ",".join(f"({v}, 1)" for v in values),
           f"CREATE TABLE c{i} (x tinyint, k {kind}, y int, PRIMARY KEY (x, k, y), KEY (k))",
           f"INSERT IGNORE INTO c{i} VALUES " + ",".join(f"({random.randrange(3)}, {v}, {y})" for v in values for y in (1, 2, 3)))
    r = read(source)
    r.reader()
    for table in [f"{p}{i}" for p in "sc" for i in range(len(types))]:
        everything = r.rows(table=name(source, table), chunk={})["rows"]
        whole = int(r.digest(table=name(source, table), chunk={})["lane"], 16)
        for rows in (7, 50):
            chunks = r.plan(table=name(source, table), rows=rows, bytes=1 << 40)["chunks"]
            found = [r.rows(table=name(source, table), chunk=c)["rows"] for c in chunks]
            assert max(map(len, found)) <= rows
            assert sorted(map(str, sum(found, []))) == sorted(map(str, everything)), (table, list(types)[int(table[1:])])
        parts = r.split(table=name(source, table), chunk={}, n=5)["chunks"]
        assert sum(int(r.digest(table=name(source, table), chunk=c)["lane"], 16) for c in parts) % 2**64 == whole


def test_a_key_that_the_column_cannot_spell_is_not_there(source, read):
    do(source, "CREATE TABLE l (k varchar(10) CHARACTER SET latin1 PRIMARY KEY, v int)", "INSERT INTO l VALUES ('a', 1), ('ä', 2), ('?', 3)")
    r = read(source)
    r.reader()
    assert r.find(table=name(source, "l"), keys=[["a"], ["中"], ["ä"], ["x"], ["Ж"]])["rows"] == [["a", "1"], ["ä", "2"]]


def test_a_range_reads_no_more_of_the_index_than_it_has(source, read):
    do(source, "CREATE TABLE c (tenant int, code varchar(20), id int, PRIMARY KEY (tenant, code, id), KEY (tenant))",
       *["INSERT INTO c VALUES " + ",".join(f"({t}, 'C{n:03}', {i})" for n in range(100) for i in range(20)) for t in range(3)])
    r = read(source)
    r.reader()
    chunks = r.plan(table=name(source, "c"), rows=500, bytes=1 << 40)["chunks"]
    assert len(chunks) == 12 or len(chunks) == 13
    log = "SHOW GLOBAL STATUS LIKE 'Handler_read_next'"
    for c in chunks[1:-1]:
        before = int(ask(source, log)[0][1])
        assert len(r.rows(table=name(source, "c"), chunk=c)["rows"]) == 500
        assert int(ask(source, log)[0][1]) - before < 700  # the catalogue's own reads are among them


# ---- snapshots ----

def test_a_snapshot_is_exact_while_others_commit(source, read):
    do(source, "CREATE TABLE log (id int AUTO_INCREMENT PRIMARY KEY, v int)")
    r = read(source)
    base = r.position()["position"]
    stop = threading.Event()

    def write():
        with closing(source.connect()) as c:
            while not stop.is_set():
                run(c, "INSERT INTO log (v) VALUES (1)", close=False)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for w in writers:
        w.start()
    try:
        for now in (False, False, False, True):
            at = snapshot(r, readers=4, now=now)["position"]
            counts = set()
            for n in range(4):
                r.reader(snapshot=True, number=n)
            with pytest.raises(Refused, match="MFREADERS"):
                r.reader(snapshot=True, number=4)
            for n in range(4):
                r.choose(number=n)
                counts.add(r.digest(table=name(source, "log"), chunk={})["rows"])
            assert len(counts) == 1 and (now or counts == {at - base})
            r.reader(snapshot=False, number=1)  # gives its session back
            r.reader(snapshot=True, number=4)
            assert r.digest(table=name(source, "log"), chunk={})["rows"] in counts
    finally:
        stop.set()
        for w in writers:
            w.join()


def test_a_snapshot_stands_in_no_schema_changes_way_and_tells_of_it(source, read):
    do(source, *[f"CREATE TABLE {t} (id int PRIMARY KEY, x int)" for t in "abc"], *[f"INSERT INTO {t} VALUES (1, 1)" for t in "abc"])
    r = read(source)
    r.snapshot(readers=1)
    r.reader(snapshot=True)
    for t in "abc":
        assert r.rows(table=name(source, t), chunk={})["rows"] == [["1", "1"]]
    do(source, "SET lock_wait_timeout = 60", "TRUNCATE a", "ALTER TABLE b MODIFY x bigint", "DROP TABLE c")
    with pytest.raises(Refused, match="MFREWRITTEN"):
        r.rows(table=name(source, "a"), chunk={})
    with pytest.raises(Refused, match="MFREWRITTEN|MFSHAPE"):
        r.copy(table=name(source, "b"), chunk={})
    with pytest.raises(Refused, match="MFSHAPE"):
        r.digest(table=name(source, "c"), chunk={})


@pytest.mark.parametrize("version", ["5.7", "8.0"])
def test_nobody_waits_for_a_snapshot_behind_a_long_statement(mysql_database, read, version):
    source = mysql_database("source", version)
    r = read(source)
    with closing(source.connect()) as owner, closing(source.connect()) as slow:
        # a GTID that is owned all the time: the server never stands still
        run(owner, "SET gtid_next = 'aaaaaaaa-0000-0000-0000-000000000001:%d'" % random.randrange(1, 1 << 40), close=False)
        run(owner, "BEGIN", close=False)
        try:
            assert snapshot(r, readers=3)["position"] > 0
            sleeper = threading.Thread(target=lambda: fetch(slow, "SELECT SLEEP(300)", close=False), daemon=True)
            sleeper.start()
            wait_for(lambda: ask(source, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(300)' AND time > 1")[0][0])
            with pytest.raises(Refused, match="MFBUSY"):
                r.snapshot(readers=3)
            for (number,) in ask(source, "SELECT id FROM information_schema.processlist WHERE info = 'SELECT SLEEP(300)'"):
                do(source, f"KILL QUERY {number}")
            sleeper.join()
        finally:
            run(owner, "ROLLBACK", close=False)
            run(owner, "SET gtid_next = AUTOMATIC", close=False)


# ---- results that break off ----

def test_a_result_that_breaks_off_is_an_error(source, read):
    do(source, "CREATE TABLE b (id int PRIMARY KEY, x longtext)",
       *[f"INSERT INTO b VALUES ({i}, REPEAT('x', 4000000))" for i in range(20)])
    r = read(source)
    r.reader()
    assert r.copy(table=name(source, "b"), chunk={})["rows"] == 20
    assert r.copy(table=name(source, "b"), chunk={}, pieces=2)["rows"] == -1  # the caller has had enough
    find = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT%%.`b`%%' AND info NOT LIKE '%%processlist%%'"
    for how in ("KILL", "KILL QUERY"):
        done = threading.Event()

        def kill():
            while not done.is_set():
                try:
                    for (number,) in ask(source, find):
                        do(source, f"{how} {number}")
                except Exception:  # it has ended by itself
                    pass

        killer = threading.Thread(target=kill)
        killer.start()
        broken = tries = 0
        until = time.monotonic() + 100
        try:
            while tries < 20 or not broken and time.monotonic() < until:
                tries += 1
                try:
                    assert r.copy(table=name(source, "b"), chunk={})["rows"] == 20
                except Refused as e:
                    assert "retry" in str(e)
                    broken += 1
        finally:
            done.set()
            killer.join()
        assert broken > 0
    assert r.copy(table=name(source, "b"), chunk={})["rows"] == 20
