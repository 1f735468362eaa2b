"""What `check` says about a source that is to become a newer MySQL: every check provoked where 5.7.19 lets one do it, and nothing
said of a schema that has none of it. Each remedy that is a whole statement is run, and takes its finding away."""
import MySQLdb
import pytest

from harness.mydrive import Drive
from harness.mysql_servers import MysqlServer, ident, run
from harness.pgdrive import Refused
from harness.pgread import Read

NOTE, WARNING, BLOCKER = 0, 1, 2
# What is told of two servers with default settings, whatever their schema.
OF_SERVERS = {"server-setting", "sql-mode", "target-table", "target-not-empty", "binlog-image"}


@pytest.fixture
def check(check_target):
    return check_target


def keys(found, severity=None):
    return {k for k, f in found.items() if k[0] not in OF_SERVERS and severity in (None, f["severity"])}


def test_a_clean_schema_has_nothing_to_say(check, mysql_pair):
    source, target = mysql_pair
    source.execute(
        "CREATE TABLE p (id int PRIMARY KEY, v varchar(200), d datetime(3), j json, e enum('a','b'), g geometry, f double, KEY (v));"
        "CREATE TABLE c (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, p int, t timestamp NULL, n decimal(10,2),"
        " l int GENERATED ALWAYS AS (p + 1) VIRTUAL, FOREIGN KEY (p) REFERENCES p (id)) PARTITION BY HASH (id) PARTITIONS 2"
        .replace(", FOREIGN KEY (p) REFERENCES p (id)", "") + ";"
        "CREATE VIEW v AS SELECT p, count(*) AS n FROM c GROUP BY p ORDER BY p;"
        "CREATE PROCEDURE pr(IN a int) BEGIN INSERT INTO p (id, v) VALUES (a, concat('a', a)); SELECT v FROM p ORDER BY v DESC; END;"
        "CREATE FUNCTION fu(a int) RETURNS int DETERMINISTIC RETURN a + 1;"
        "CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW SET NEW.v = coalesce(NEW.v, '');"
        "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM p WHERE d < now() - INTERVAL 1 YEAR;"
        "INSERT INTO p (id, d, g) VALUES (1, '2020-01-02', ST_GeomFromText('POINT(1 2)'))")
    target.execute(f"ALTER DATABASE {ident(target.name)} COLLATE {source.value('SELECT @@collation_database')}")
    assert keys(check(source, target)) == set()


def test_what_would_stop_the_schema(check, mysql_pair):
    source, target = mysql_pair
    long = "x" * 256
    source.execute(
        f"CREATE TABLE en (id int PRIMARY KEY, e enum('a', '{long}'), s set('{long}é'), ok enum('{long[1:]}'));"
        "CREATE TABLE ix (id int PRIMARY KEY, v varchar(300), KEY big (v), KEY small (v(100)));"
        "ALTER TABLE ix ROW_FORMAT = COMPACT;"
        "CREATE TABLE ge (id int PRIMARY KEY, s varchar(100), h varchar(100) GENERATED ALWAYS AS (encode(s, 'k')) VIRTUAL)")
    found = check(source, target)
    name = source.name
    assert keys(found, BLOCKER) == {
        ("enum-member", f"column {name}.en.e"), ("enum-member", f"column {name}.en.s"), ("index-too-large", f"index big of {name}.ix"),
        ("generated-function", f"column {name}.ge.h")}
    assert "257" in found["enum-member", f"column {name}.en.s"]["reason"]
    assert "encode() (AES_ENCRYPT)" in found["generated-function", f"column {name}.ge.h"]["reason"]
    source.execute(found["index-too-large", f"index big of {name}.ix"]["remedy"])
    assert "index-too-large" not in {c for c, _ in check(source, target)}
    # They are what the target says, too.
    for table in ("en", "ge"):
        with pytest.raises(Exception):
            target.execute(source.rows(f"SHOW CREATE TABLE {table}")[0][1])


def test_names(check, mysql_pair):
    source, target = mysql_pair
    source.execute(
        "CREATE TABLE `groups` (id int PRIMARY KEY, `rank` int, `$cost` int, KEY `window` (`rank`)); CREATE TABLE `intersect` (id int PRIMARY KEY);"
        "CREATE VIEW `system` AS SELECT 1 AS `lead`; CREATE PROCEDURE pr(`of` int) SELECT 1; CREATE FUNCTION `lag`() RETURNS int DETERMINISTIC RETURN 1;"
        "CREATE TRIGGER `rows` BEFORE INSERT ON `groups` FOR EACH ROW SET NEW.id = NEW.id; CREATE EVENT `empty` ON SCHEDULE EVERY 1 DAY DO SELECT 1;"
        "CREATE TABLE `#mysql50#a-b` (id int PRIMARY KEY)")
    found = check(source, target)
    name = source.name
    said = {o: f for (c, o), f in found.items() if c == "reserved-word"}
    assert set(said) == {
        f"table {name}.groups", f"column {name}.groups.rank", f"index window of {name}.groups", f"view {name}.system", f"column {name}.system.lead",
        f"parameter of of procedure {name}.pr", f"function {name}.lag", f"trigger {name}.rows", f"event {name}.empty", f"table {name}.intersect"}
    assert said[f"table {name}.intersect"]["severity"] == NOTE and "8.0.31" in said[f"table {name}.intersect"]["reason"]
    assert said[f"column {name}.groups.rank"]["severity"] == WARNING
    assert found["dollar-name", f"column {name}.groups.$cost"]["severity"] == NOTE
    assert found["old-name", f"table {name}.#mysql50#a-b"]["severity"] == WARNING
    assert not {c for c, o in check(source, target, exclude=[f"{name}.groups"]) if "groups" in o}


def test_the_list_of_words_is_the_servers(mysql_pair, check):
    """Every word that 8.0 reserves and 5.7 takes is found as a column, and no other."""
    source, target = mysql_pair
    words = [w for w, in target.rows("SELECT word FROM information_schema.keywords WHERE reserved = 1")]
    free = []
    for word in words:
        try:
            source.execute(f"CREATE TABLE x_{word} ({word} int)")
            free.append(word)
        except Exception as error:
            assert error.args[0] == 1064, (word, error)
    found = check(source, target)
    told = {o.rpartition(".")[2] for (c, o), f in found.items() if c == "reserved-word" and f["severity"] == WARNING}
    assert len(free) > 20 and told == set(free)


def test_values_of_json_that_are_no_texts(check, mysql_pair):
    """What SQL put into a document as a DATETIME is found; what came as text is not, whatever it looks like."""
    source, target = mysql_pair
    name = source.name
    source.execute("CREATE TABLE made (id int PRIMARY KEY, j json); CREATE TABLE plain (id int PRIMARY KEY, j json);"
                   "INSERT INTO made VALUES (1, NULL), (2, '{}'), (3, JSON_OBJECT('a', JSON_ARRAY(1, CAST('2020-01-02 03:04:05' AS DATETIME)))), (4, JSON_ARRAY(CAST(x'00ff' AS BINARY)));"
                   """INSERT INTO plain VALUES (1, '{"a": "2020-01-02 03:04:05.000000", "b": [1.0, 1e100, -0.1, 12345678901234567890, null, true]}'), (2, JSON_OBJECT('d', 1.50))""")
    found = check(source, target)
    assert {o for c, o in found if c == "json-values"} == {f"column {name}.made.j"}
    told = found["json-values", f"column {name}.made.j"]
    assert told["severity"] == WARNING and "(2 in the first and last" in told["reason"], told
    source.execute(told["remedy"].split(";")[0])
    assert not [k for k in check(source, target) if k[0] == "json-values"]


def test_routines_triggers_events_and_views(check, mysql_pair):
    source, target = mysql_pair
    source.execute(
        "CREATE TABLE t (id int PRIMARY KEY, g int, c varchar(20), KEY (g));"
        "CREATE PROCEDURE word() SELECT rank FROM (SELECT 1 AS rank) AS x;"
        "CREATE PROCEDURE cache() SELECT SQL_CACHE 1;"
        "CREATE PROCEDURE dotted() SELECT * FROM .t;"
        "CREATE PROCEDURE crypt() SELECT encrypt(c), X(c), t.c FROM t;"
        "CREATE PROCEDURE grouped() SELECT g, count(*) FROM t GROUP BY g DESC;"
        "CREATE PROCEDURE unordered() SELECT g, count(*) FROM t GROUP BY g;"
        "CREATE PROCEDURE quoted() SELECT 'password(1) rank GROUP BY a ASC', `rank` FROM (SELECT 1 AS `rank`) AS x -- encrypt(1)\n;"
        "CREATE FUNCTION lost() RETURNS varchar(100) DETERMINISTIC RETURN password('x');"
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN DECLARE row_number int; SET NEW.id = row_number; END;"
        "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT groups FROM (SELECT 1 AS groups) AS x;"
        "CREATE VIEW vg AS SELECT g, count(*) AS n FROM t GROUP BY g DESC;"
        "CREATE VIEW ve AS SELECT encode('a', 'b') AS x;"
        "SET sql_mode = 'MAXDB'; CREATE PROCEDURE modes() SELECT 1;"
        "SET sql_mode = 'ANSI_QUOTES'; CREATE PROCEDURE ansi() SELECT \"id\" FROM t;"
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE PROCEDURE slash() SELECT '\\', 'encrypt(1)'")
    found = check(source, target)
    name = source.name
    said = keys(found) - {k for k in found if k[0] in ("trigger", "event")}
    assert said == {
        ("database-default", f"database {name}"),
        ("object-refused", f"procedure {name}.word"), ("object-refused", f"procedure {name}.cache"), ("object-refused", f"procedure {name}.dotted"),
        ("object-refused", f"trigger {name}.tr"), ("object-refused", f"event {name}.ev"),
        ("removed-function", f"procedure {name}.crypt"), ("removed-function", f"function {name}.lost"), ("removed-function", f"view {name}.ve"),
        ("group-by-order", f"procedure {name}.grouped"), ("group-by-order", f"view {name}.vg"),
        ("group-by-unordered", f"procedure {name}.unordered"), ("object-sql-mode", f"procedure {name}.modes")}
    assert "near 'FROM (SELECT 1 AS rank)" in found["object-refused", f"procedure {name}.word"]["reason"]
    assert "encrypt() (SHA2), X() (ST_X)" in found["removed-function", f"procedure {name}.crypt"]["reason"]
    assert target.rows("SELECT routine_name FROM information_schema.routines WHERE routine_schema = %s", (name,)) == []  # nothing is made


def test_what_may_not_be_read_is_said(check, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PROCEDURE pr() SELECT 1")
    source.server.create_account("weak", f"SELECT, EXECUTE, SHOW VIEW ON {ident(source.name)}.*")
    drive = Drive(target.url(), other=source.url(user="weak"))
    try:
        found = [f for f in drive("check")["findings"] if f["code"] == "account-routines"]
        assert len(found) == 1
        source.server.execute(found[0]["remedy"])
        assert "account-routines" not in {f["code"] for f in drive("check")["findings"]}
    finally:
        drive.close()
        source.server.execute("DROP USER weak")


def test_values_and_formats(check, mysql_pair):
    source, target = mysql_pair
    name = source.name
    source.execute(
        "SET sql_mode = '';"
        "CREATE TABLE zd (id int PRIMARY KEY, d date NOT NULL DEFAULT '0000-00-00', t timestamp NOT NULL DEFAULT '0000-00-00 00:00:00', n date,"
        " m datetime); INSERT INTO zd VALUES (1, '2020-01-01', '2020-01-01', NULL, '2020-01-01'), (2, '2020-01-01', '2020-01-01', '2020-00-01', '2020-01-01');"
        "CREATE TABLE bare (d date); INSERT INTO bare VALUES ('0000-00-00');"
        "CREATE TABLE sp (id int PRIMARY KEY, flat geometry, round_ point);"
        "INSERT INTO sp VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(1 2)', 4326));"
        "CREATE TABLE u3 (id int PRIMARY KEY, a varchar(10) CHARACTER SET utf8, b text CHARACTER SET utf8, c text);"
        "CREATE TABLE pd (id int, d date) PARTITION BY RANGE COLUMNS (d) (PARTITION a VALUES LESS THAN ('2020.01.01'));"
        "CREATE TABLE gc (id int PRIMARY KEY, v varchar(20), d date GENERATED ALWAYS AS (CAST(v AS date)) STORED);"
        "CREATE TABLE ty (id float PRIMARY KEY AUTO_INCREMENT, z int(5) ZEROFILL, fu float UNSIGNED, fd double(7,2), w int(3))")
    found = check(source, target)
    want = {("zero-date-default", f"column {name}.zd.d"): WARNING, ("zero-date-default", f"column {name}.zd.t"): WARNING,
            ("zero-date", f"column {name}.zd.n"): WARNING, ("zero-date", f"column {name}.bare.d"): WARNING,
            ("spatial-srid", f"column {name}.sp.round_"): WARNING, ("utf8mb3", f"table {name}.u3"): NOTE,
            ("partition-dates", f"table {name}.pd"): NOTE, ("generated-cast", f"column {name}.gc.d"): NOTE,
            ("deprecated-type", f"column {name}.ty.id"): NOTE, ("deprecated-type", f"column {name}.ty.z"): NOTE,
            ("deprecated-type", f"column {name}.ty.fu"): NOTE, ("deprecated-type", f"column {name}.ty.fd"): NOTE}
    assert {k: f["severity"] for k, f in found.items() if k[0] in {c for c, _ in want}} == want
    assert "a, b" in found["utf8mb3", f"table {name}.u3"]["reason"] and "4326" in found["spatial-srid", f"column {name}.sp.round_"]["reason"]
    # Zero dates are no matter where the target takes them.
    mode = target.server.value("SELECT @@GLOBAL.sql_mode")
    try:
        target.server.execute("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'")
        assert not {c for c, _ in check(source, target)} & {"zero-date", "zero-date-default"}
    finally:
        target.server.execute("SET GLOBAL sql_mode = %s", (mode,))


def patch(database, table, replacements):
    """Changes bytes of a table's definition file while nobody has it open."""
    path = database.server.data / database.name / f"{table}.frm"
    database.execute("FLUSH TABLES")
    raw = path.read_bytes()
    for old, new in replacements:
        assert raw.count(old) == 1
        raw = raw.replace(old, new)
    path.write_bytes(raw)
    database.execute("FLUSH TABLES")
    return path


def test_files_of_older_servers(check, mysql_pair):
    """Definitions as servers before 5.6.4 wrote them, and what the server itself cannot open."""
    source, target = mysql_pair
    name = source.name
    source.execute("CREATE TABLE old (id int PRIMARY KEY, ti time, ts timestamp NULL); CREATE TABLE torn (id int PRIMARY KEY);"
                   "CREATE TABLE gone (id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM gone; DROP TABLE gone")
    patch(source, "old", [(b"\x80\0\0\0\x13\x08", b"\x80\0\0\0\x0b\x08"), (b"\x80\0\0\0\x11\x08", b"\x80\0\0\0\x07\x08")])
    path = source.server.data / name / "torn.frm"
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    source.execute("FLUSH TABLES")
    read = Read(source.url())
    try:
        with pytest.raises(Refused, match=f"{name}.torn cannot be read"):
            check(source, target)
        found = check(source, target, exclude=[f"{name}.torn"])
        assert "ti, ts" in found["old-temporal", f"table {name}.old"]["reason"]
        assert found["old-temporal", f"table {name}.old"]["severity"] == NOTE
    finally:
        path.write_bytes(whole)
        source.execute("FLUSH TABLES")
    try:
        assert {(f["code"], f["object"]): f["severity"] for f in read.check()["findings"] if f["code"] != "durability"} == {("view-broken", f"view {name}.v"): WARNING}
    finally:
        read.close()


def test_places_and_orphans(check, mysql_pair):
    source, target = mysql_pair
    name = source.name
    space = f"s{name}"
    source.execute(f"CREATE TABLESPACE {ident(space)} ADD DATAFILE '{space[:40]}.ibd' ENGINE = InnoDB")
    try:
        source.execute(
            f"CREATE TABLE pt (id int PRIMARY KEY) PARTITION BY HASH (id) (PARTITION a TABLESPACE {ident(space)}, PARTITION b);"
            f"CREATE TABLE wh (id int PRIMARY KEY) TABLESPACE {ident(space)}; CREATE TABLE own (id int PRIMARY KEY);"
            "CREATE PROCEDURE orphaned() SELECT 1; UPDATE mysql.proc SET db = 'nowhere' WHERE name = 'orphaned'")
        found = check(source, target)
        assert {k: f["severity"] for k, f in found.items() if k[0] in ("shared-tablespace", "orphan")} == {
            ("shared-tablespace", f"table {name}.pt"): NOTE, ("shared-tablespace", f"table {name}.wh"): NOTE, ("orphan", "procedure nowhere.orphaned"): NOTE}
        # Whoever does not see databases cannot tell; the routines of sys are seen by the same right.
        source.server.create_account("weak", f"SELECT ON {ident(name)}.*", "SELECT ON mysql.proc")
        try:
            assert not [k for k in check(source.url(user="weak"), target) if k[0] == "orphan"]
        finally:
            source.server.execute("DROP USER weak")
    finally:
        source.execute("DELETE FROM mysql.proc WHERE db = 'nowhere'; DROP TABLE IF EXISTS pt, wh")
        source.execute(f"DROP TABLESPACE {ident(space)}")


def test_servers_that_are_set_otherwise(check, own_mysql):
    source = own_mysql("5.7", settings={"query_cache_type": "1", "query_cache_size": "1M", "log_warnings": "1", "sql_mode": "MAXDB,ANSI",
                                        "max_connections": "120", "transaction_isolation": "READ-COMMITTED", "character_set_server": "latin1"})
    target = own_mysql("8.0")
    shop = source.create_database("shop")
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(10))")
    source.execute("CREATE USER sha@'%' IDENTIFIED WITH sha256_password; CREATE USER older@'%' IDENTIFIED BY 'x';"
                   "UPDATE mysql.user SET plugin = 'mysql_old_password' WHERE user = 'older'")
    found = check(shop, target.url("shop"))
    assert found["variable-removed", "query_cache_type"]["severity"] == WARNING
    assert found["variable-removed", "log_warnings"]["severity"] == NOTE
    assert {o for c, o in found if c == "variable-removed"} == {"query_cache_type", "log_warnings", "tx_isolation"}
    assert "MAXDB" in found["sql-mode-removed", "sql_mode"]["reason"]
    settings = {o: f["severity"] for (c, o), f in found.items() if c == "server-setting"}
    assert settings["max_connections"] == WARNING and settings["transaction_isolation"] == WARNING
    assert settings["default_authentication_plugin"] == NOTE and settings["default_collation_for_utf8mb4"] == NOTE
    assert found["account-plugin", "plug-in mysql_old_password"]["severity"] == WARNING
    target.execute(found["server-setting", "max_connections"]["remedy"].partition(";")[0])
    assert ("server-setting", "max_connections") not in check(shop, target.url("shop"))


@pytest.mark.parametrize("mysql_versions", [("8.0", "8.0"), ("5.7", "mariadb"), ("mariadb", "mariadb"), ("5.7", "5.7")])
def test_where_nothing_is_upgraded(check, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text CHARACTER SET utf8, `$c` int)")
    assert {c for c, _ in keys(check(source, target))} <= {"dollar-name", "other-engine"}


# ---- statements that the source has seen -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def busy():
    """A 5.7 and an 8.0 with their lists of statements on."""
    pair = [MysqlServer(version, name="busy", settings={"performance_schema": "ON"}).start() for version in ("5.7", "8.0")]
    yield pair
    for server in pair:
        server.destroy()


TABLES = ("CREATE TABLE o (id int PRIMARY KEY, c varchar(20), d datetime, n int, KEY c (c), KEY d (d));"
          "CREATE TABLE p (id int PRIMARY KEY, o int, KEY o (o))")


def fill(database):
    database.execute(TABLES)
    database.execute("INSERT INTO o SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n, CONCAT('c', a.n + 10 * b.n + 100 * c.n), NOW(), 1 FROM "
                     + ", ".join(f"({' UNION ALL '.join(f'SELECT {i} AS n' for i in range(10))}) {x}" for x in "abce")
                     + "; INSERT INTO p SELECT id, id FROM o; ANALYZE TABLE o, p")


def seen(database, statements):
    """The statements, run once each by an application that may do anything; refused ones are none of ours."""
    connection = database.connect()
    for statement in statements:
        try:
            run(connection, statement, close=False)
        except MySQLdb.Error as error:
            assert error.args[0] in (1146, 1305), (statement, error)
    connection.close()


GOOD = ["SELECT * FROM o WHERE id = 5", "SELECT c FROM o WHERE c LIKE 'a%' AND d BETWEEN '2020-01-01' AND NOW()", "SELECT IFNULL(c, 'x'), DATE_FORMAT(d, '%Y') FROM o WHERE c = 'c7'",
        "SELECT * FROM o WHERE id IN (1, 2, 3) ORDER BY c LIMIT 5, 10", "SELECT o.c FROM o LEFT JOIN p ON p.o = o.id AND p.id = 4 WHERE o.d > DATE_SUB(NOW(), INTERVAL 3 DAY) AND o.id = 7",
        "INSERT INTO o (id, c) VALUES (100001, 'a'), (100002, 'b')", "INSERT INTO o VALUES (100003, 'a', NULL, 1)", "UPDATE o SET c = CONCAT(c, 'x') WHERE id = 100001",
        "DELETE FROM o WHERE id > 100000", "SELECT CAST(n AS decimal(10, 1)), -n FROM o WHERE n > -1.5 LIMIT 1", "SELECT @a := id FROM o LIMIT 1", "SELECT * FROM o WHERE (id, c) IN ((1, 'a'), (2, 'b'))",
        "SELECT CASE WHEN id = 1 THEN 'a' ELSE 'b' END FROM o WHERE id <> 1 AND id % 2 = 0 AND c REGEXP 'q' FOR UPDATE", "SELECT id FROM o WHERE c = 'a' UNION SELECT id FROM o WHERE c = 'b'",
        "INSERT INTO p (id, o) SELECT id + 200000, id FROM o WHERE id < 3", "SET @x = 1", "REPLACE INTO p SET id = 200000, o = 1"]


@pytest.fixture
def queries(busy, request, tmp_path):
    """queries(statements) → findings of check --queries on a schema both sides have, after the source has seen the statements."""
    made = []
    name = "q_" + request.node.name[:40].replace("[", "_").replace("]", "")
    source, target = (server.create_database(name) for server in busy)

    def look(statements=(), prepare=lambda: None, user=None, max=500, **named):
        if not made:
            fill(source)
            fill(target)
        busy[0].execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
        prepare()
        seen(source, statements)
        made.append(Drive(target.url(), other=source.url(user=user) if user else source.url(), state=tmp_path))
        found = made[-1]("check", queries=max, **named)["findings"]
        return found

    look.source, look.target = source, target
    yield look
    for one in made:
        one.close()
    source.drop()
    target.drop()


def named(found, code):
    return [f for f in found if f["code"] == code]


def counts(found):
    summary, = named(found, "queries")
    return summary["reason"]


def test_statements_that_both_take_alike(queries):
    found = queries(GOOD)
    assert [f["code"] for f in found] == ["queries"]
    assert counts(found).startswith(f"{len(GOOD)} of the source's statements were looked at: 0 are not understood here, 0 of 13 plans are worse"), counts(found)
    assert "4 were parsed only" in counts(found) and "of 0 nothing can be said" in counts(found)


def test_statements_that_are_refused(queries):
    found = queries(["SELECT SQL_CACHE c FROM o WHERE id = 1", "SELECT encrypt(c) FROM o WHERE id = 1", "SELECT c, COUNT(*) FROM o GROUP BY c DESC", "SELECT \\N FROM o WHERE id = 2",
                     "SELECT c, COUNT(*) FROM o GROUP BY c", "SELECT n AS rank FROM o WHERE id = 3", "SELECT c FROM gone", "SELECT @@tx_isolation", "SET SESSION tx_isolation = 'READ-COMMITTED'",
                     "SELECT " + " + ".join(["n"] * 400) + " FROM o"])
    refused = named(found, "query-refused")
    assert len(refused) == 5 and all(f["severity"] == WARNING and f["side"] == 1 for f in refused)
    text = " ".join(f["object"] for f in refused)
    assert "SQL_CACHE" in text and "encrypt" in text and "GROUP BY `c` DESC" in text
    assert any("1305" in f["reason"] for f in refused) and any("near 'DESC'" in f["reason"] for f in refused)
    assert sum("tx_isolation" in f["object"] and "1193" in f["reason"] for f in refused) == 2
    word, = named(found, "query-reserved-word")
    assert word["object"] == "RANK" and word["severity"] == WARNING
    order, = named(found, "query-group-by")
    assert order["reason"].startswith("1 statements") or order["reason"].startswith("2 statements")
    assert "of 1 nothing can be said" in counts(found)  # the text that was cut


def test_plans_that_are_worse(queries):
    statements = ["SELECT * FROM o WHERE c = 'c5' AND n = 1", "SELECT o.c FROM o JOIN p ON p.o = o.id WHERE o.c = 'c5' AND p.id > 0", "UPDATE o SET n = 2 WHERE c = 'nobody'",
                  "SELECT * FROM o WHERE id = 5"]
    assert not named(queries(statements), "query-plan")
    queries.target.execute("ALTER TABLE o DROP KEY c, ADD KEY c (d, c)")  # as many indexes, and of no use
    found = named(queries(statements), "query-plan")
    assert len(found) == 3 and all(f["severity"] == WARNING for f in found)
    for f in found:
        assert "o is read whole (" in f["reason"] and ") where an index was used (r" in f["reason"] and "On the source: o r" in f["reason"] and "Here: o " in f["reason"], f
    queries.target.execute("ALTER TABLE o DROP KEY c")
    found = queries(statements)
    assert not named(found, "query-plan") and "has 4 of the source's 5 indexes" in named(found, "queries-no-plans")[0]["reason"]


def test_nothing_is_executed(queries):
    source, target = queries.source, queries.target
    queries()
    for db in (source, target):
        db.execute("CREATE TABLE traces (n int); CREATE FUNCTION marks_it() RETURNS int DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO traces VALUES (1); RETURN 1; END;"
                   "CREATE VIEW v AS SELECT marks_it() AS x, id FROM o; CREATE VIEW w AS SELECT * FROM v; CREATE VIEW fine AS SELECT count(*) AS n FROM o WHERE id < 5;"
                   "CREATE PROCEDURE walks() INSERT INTO traces VALUES (2)")
    statements = ["SELECT marks_it()", "SELECT * FROM o WHERE id = marks_it()", "SELECT * FROM (SELECT marks_it() AS x) AS y", "SELECT x FROM v WHERE id = 1", "SELECT x FROM w WHERE id = 1",
                  "SELECT * FROM o WHERE id = (SELECT SLEEP(0))", "SELECT * FROM fine", "CALL walks()", "INSERT INTO traces VALUES (3)", "DELETE FROM p WHERE id = 9", "UPDATE p SET o = 0",
                  "SELECT GET_LOCK('x', 0)", "TRUNCATE TABLE traces"]
    rows = lambda db: [db.rows("SELECT COUNT(*), SUM(o) FROM p"), db.rows("SELECT COUNT(*) FROM traces")]
    holder = {}

    def note():
        holder["before"] = rows(target)
    found = queries(statements, prepare=note)
    after = rows(source)
    assert rows(target) == holder["before"] and after[1] == [(0,)]
    assert "7 of them because they call functions that may do something" in counts(found), counts(found)
    assert rows(source) == after


def test_a_schema_that_is_not_there_yet(queries):
    queries()
    queries.target.drop()
    found = queries(["SELECT c, COUNT(*) FROM o GROUP BY c DESC", "SELECT * FROM o WHERE id = 1"])
    assert len(named(found, "query-refused")) == 1 and len(named(found, "queries-no-plans")) == 1
    queries.target.server.create_database(queries.target.name)


def test_where_there_is_no_list(queries, check, mysql_pair, tmp_path):
    source, target = mysql_pair  # with performance_schema off
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    drive = Drive(target.url(), other=source.url(), state=tmp_path)
    assert [(f["code"], f["object"], f["severity"]) for f in drive("check", queries=500)["findings"]] == [("queries-off", "performance_schema", NOTE)]
    drive.close()
    server = queries.source.server
    server.create_account("weak", f"SELECT, INSERT, UPDATE, DELETE ON {ident(queries.source.name)}.*")
    off, = queries(user="weak")
    assert off["code"] == "queries-off"
    server.execute(off["remedy"])
    try:
        assert [f["code"] for f in queries(["SELECT * FROM o WHERE id = 1"], user="weak")] == ["queries"]
        server.execute("UPDATE performance_schema.setup_consumers SET ENABLED = 'NO' WHERE NAME = 'statements_digest'")
        off, = queries()
        assert off["object"] == "statements_digest"
        server.execute(off["remedy"])
    finally:
        server.execute("DROP USER weak; UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'statements_digest'")


def test_only_so_many_are_looked_at(queries):
    found = queries(["SELECT c FROM o WHERE id = 1", "SELECT d FROM o WHERE id = 1", "SELECT n FROM o WHERE id = 1"], max=2)
    assert counts(found).startswith("2 of the source's statements")


def test_the_command(queries, migration):
    """From two servers to a migration that is in step: statements are parsed at once, and planned when the indexes are there."""
    queries()
    source, target = queries.source, queries.target
    target.drop()
    seen(source, GOOD + ["SELECT c, COUNT(*) FROM o GROUP BY c DESC"])
    m = migration(source, target, config={"queries": {"max": 100}, "copy": {"max_load": 0}})
    look = lambda: {f["code"] for f in m.call("check", "--queries", "--json").json["findings"]}
    assert {"queries", "queries-no-plans", "query-refused"} <= look()
    assert "queries" not in {f["code"] for f in m.call("check", "--json").json["findings"]}
    m.start("--until", "synced")
    assert m.wait_exit() == 0
    found = look()
    assert "query-refused" in found and not found & {"queries-no-plans", "query-plan"}
    assert "query-refused" in m.call("check", "--queries").out
    m.call("cancel")


def test_mariadb_keeps_them_too(own_mysql, tmp_path):
    source, target = (own_mysql("mariadb", settings={"performance_schema": "ON"}).create_database("shop") for _ in "st")
    fill(source)
    fill(target)
    source.execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
    seen(source, ["SELECT * FROM o WHERE c = 'c5' AND n = 1", "SELECT c FROM o WHERE id = 7"])
    target.execute("ALTER TABLE o DROP KEY c, ADD KEY c (d, c)")
    drive = Drive(target.url(), other=source.url(), state=tmp_path)
    found = drive("check", queries=500)["findings"]
    drive.close()
    assert [f["code"] for f in found] == ["query-plan", "queries"] and "o ALL" in found[0]["reason"]
