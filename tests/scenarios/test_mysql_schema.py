"""A MySQL target makes the source's schema in three stages."""
import re

import MySQLdb
import pytest

from harness.mydrive import Drive, Refused
from harness.mysql_servers import fetch, ident, run

PAIRS = [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")]

AWKWARD = r"""
CREATE TABLE parent (id int NOT NULL AUTO_INCREMENT, code varchar(20) CHARACTER SET latin1 COLLATE latin1_german1_ci NOT NULL,
 PRIMARY KEY (id), UNIQUE KEY code (code)) AUTO_INCREMENT=100 ROW_FORMAT=DYNAMIC COMMENT='it''s; a \n "comment", AUTO_INCREMENT=5';
CREATE TABLE `we``ird, (name` (`a``b,
 c` int NOT NULL COMMENT ') , KEY `x` (', `select` enum('a,b',')','''','\\','`') NOT NULL DEFAULT '''',
 ts timestamp NOT NULL DEFAULT '0000-00-00 00:00:00', dt datetime(3) DEFAULT '0000-00-00 00:00:00.000',
 ts2 timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), u text CHARACTER SET utf8 COLLATE utf8_unicode_ci,
 l longtext CHARACTER SET latin1, PRIMARY KEY (`a``b,
 c`), KEY `k``,(` (`select`,`u`(10)), FULLTEXT KEY ft (u));
CREATE TABLE nokey (a int, b varchar(10), KEY ka (a), UNIQUE KEY ub (b));
CREATE TABLE ukey (x int NOT NULL, y varchar(30) NOT NULL, z int, UNIQUE KEY uz (z), UNIQUE KEY uxy (y,x), KEY kz (z));
CREATE TABLE counting (id int NOT NULL, seq bigint unsigned NOT NULL AUTO_INCREMENT, v json, g int GENERATED ALWAYS AS (id+1) VIRTUAL,
 gs int GENERATED ALWAYS AS (id*2) STORED, PRIMARY KEY (id), UNIQUE KEY useq (seq), KEY kg (g));
CREATE TABLE child (id int NOT NULL, p int, q int, PRIMARY KEY (id), KEY kp (p), CONSTRAINT fkp FOREIGN KEY (p) REFERENCES parent (id),
 CONSTRAINT self FOREIGN KEY (q) REFERENCES child (id));
CREATE TABLE searched (id int NOT NULL PRIMARY KEY, a text, b text, g geometry NOT NULL, FULLTEXT KEY fa (a), FULLTEXT KEY fb (b),
 FULLTEXT KEY fab (a,b), SPATIAL KEY sg (g), KEY kb (b(20)));
CREATE TABLE part (id int NOT NULL, d date NOT NULL, PRIMARY KEY (id,d), KEY kd (d))
 PARTITION BY RANGE (year(d)) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE VIEW v2 AS SELECT id FROM parent;
CREATE VIEW v1 AS SELECT * FROM v2;
CREATE DEFINER='gone'@'nowhere' SQL SECURITY INVOKER VIEW v3 AS SELECT 'ü' AS u, code FROM parent;
CREATE PROCEDURE p1(IN a int) COMMENT 'x' SELECT a, 'ü; DELIMITER';
CREATE FUNCTION f1(a int) RETURNS int DETERMINISTIC RETURN a+1;
CREATE EVENT e1 ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT 'ENABLE' DO SELECT 1;
"""

LOOKS = {
    "columns": "SELECT table_name, ordinal_position, column_name, LOWER(column_type), is_nullable, column_default, character_set_name, collation_name,"
               " REPLACE(LOWER(extra), 'default_generated ', ''), column_comment, column_key FROM information_schema.columns"
               " WHERE table_schema = DATABASE() ORDER BY 1, 2",
    "indexes": "SELECT table_name, index_name, seq_in_index, column_name, non_unique, sub_part, index_type FROM information_schema.statistics"
               " WHERE table_schema = DATABASE() ORDER BY 1, 2, 3",
    "foreign keys": "SELECT table_name, constraint_name, referenced_table_name, update_rule, delete_rule"
                    " FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() ORDER BY 1, 2",
    "tables": "SELECT table_name, table_type, engine, table_collation, table_comment FROM information_schema.tables"
              " WHERE table_schema = DATABASE() ORDER BY 1",
    "views": "SELECT table_name, definer, security_type, character_set_client, collation_connection FROM information_schema.views"
             " WHERE table_schema = DATABASE() ORDER BY 1",
    "routines": "SELECT routine_name, routine_type, definer, character_set_client, collation_connection, routine_definition"
                " FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1",
    "partitions": "SELECT table_name, partition_name, partition_method, partition_description FROM information_schema.partitions"
                  " WHERE table_schema = DATABASE() AND partition_name IS NOT NULL ORDER BY 1, 2",
}


def looks(database) -> dict:
    """What the server itself says a database holds; what only one version's spelling is apart."""
    def plain(value):
        if not isinstance(value, str):
            return value
        value = re.sub(r"\b(tiny|small|medium|big)?int\(\d+\)", lambda m: (m.group(1) or "") + "int", value)
        return value.replace("utf8mb3", "utf8").replace("current_timestamp(6)", "CURRENT_TIMESTAMP(6)")

    with_connection = database.connect()
    try:
        # A referential rule of one name in 5.7 is another's in 8.0: both mean that nothing is done.
        return {what: [tuple("NO ACTION" if v == "RESTRICT" else plain(v) for v in row) for row in fetch(with_connection, sql, close=False)]
                for what, sql in LOOKS.items()}
    finally:
        with_connection.close()


def awkward(database) -> None:
    connection = database.connect()
    run(connection, "SET sql_mode = 'ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'", close=False)
    for statement in AWKWARD.split(";\n"):
        if statement.strip():
            run(connection, statement, close=False)
    connection.close()


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


def uniques(database) -> set:
    return set(database.rows("SELECT table_name, index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND non_unique = 0"))


@pytest.mark.parametrize("mysql_versions", PAIRS)
def test_the_awkward_schema_arrives_whole(drive, mysql_pair):
    source, target = mysql_pair
    awkward(source)
    d = drive(source, target)
    d("schema", stage="before")
    primary = {(t, "PRIMARY") for t in ("parent", "we`ird, (name", "counting", "child", "searched", "part")}
    assert uniques(target) == primary | {("ukey", "uxy")}  # no other unique index before the rows are exact
    d("schema", stage="keys")
    findings = d("schema", stage="after")["findings"]
    assert looks(target) == looks(source)
    assert {(f["code"], f["object"]) for f in findings if f["severity"] > 0} == {("schema-event", f"EVENT {source.name}.e1")}
    assert target.value("SELECT status FROM information_schema.events WHERE event_schema = DATABASE()") == "DISABLED"
    assert [f for f in stages(d) if f["severity"] > 0] == []  # again: what is there is left
    assert looks(target) == looks(source)


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0")])
def test_text_compares_as_on_the_source(drive, mysql_pair):
    """5.7 leaves its default collation out of what it prints, and 8.0 has another default: keys that differ there would be equal here."""
    source, target = mysql_pair
    source.execute("CREATE TABLE t (k varchar(10) NOT NULL PRIMARY KEY, o varchar(10) CHARACTER SET utf8mb4) DEFAULT CHARSET=utf8mb4;"
                   "INSERT INTO t VALUES ('\U0001F600', 'x')")
    with pytest.raises(MySQLdb.IntegrityError):
        source.execute("INSERT INTO t VALUES ('\U0001F601', 'x')")  # all such characters are one to it
    stages(drive(source, target))
    target.execute("INSERT INTO t VALUES ('\U0001F600', 'x')")
    with pytest.raises(MySQLdb.IntegrityError):
        target.execute("INSERT INTO t VALUES ('\U0001F601', 'x')")


def test_a_stage_that_was_cut_short_is_run_again(drive, mysql_pair):
    source, target = mysql_pair
    awkward(source)
    dead = drive(source, target, fault="mysql.schema_entry:5=kill")
    with pytest.raises(RuntimeError):
        stages(dead, jobs=1)
    assert 0 < target.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()") < 8
    stages(drive(source, target))
    assert looks(target) == looks(source)


def test_a_plan_shows_it_and_makes_nothing(drive, mysql_pair):
    source, target = mysql_pair
    awkward(source)
    plan = drive(source, target)("schema", plan=True)["plan"]
    assert target.rows("SHOW TABLES") == []
    for text in ("CREATE TABLE IF NOT EXISTS", "DROP KEY `useq`, ADD UNIQUE KEY `useq`", "ADD CONSTRAINT `fkp`", "VIEW `", "EVENT `e1`", "DISABLE"):
        assert text in plan
    assert plan.index("ADD UNIQUE KEY `useq`") < plan.index("ADD CONSTRAINT `fkp`") < plan.index("EVENT `e1`")


def test_indexes_are_built_while_rows_change(drive, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(50), UNIQUE KEY ua (a), KEY kb (b), FULLTEXT KEY fb (b))")
    d = drive(source, target)
    d("schema", stage="before")
    connection = target.connect(autocommit=False)
    run(connection, "INSERT INTO t SELECT a.n * 100 + b.n * 10 + c.n, a.n * 100 + b.n * 10 + c.n, 'words' FROM " + ", ".join(
        "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7"
        f" UNION SELECT 8 UNION SELECT 9) {x}" for x in "abc"), close=False)
    connection.commit()
    d.send("schema", stage="after")
    for i in range(300):
        run(connection, f"UPDATE t SET b = 'other {i}' WHERE id = {i}", close=False)
        connection.commit()
    connection.close()
    assert d.answer()["findings"] == []
    assert looks(target)["indexes"] == looks(source)["indexes"]
    assert target.value("SELECT COUNT(*) FROM t WHERE b LIKE 'other %'") == 300


def test_a_table_of_the_targets_own(drive, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, ts timestamp NULL, v int)")
    target.execute("CREATE TABLE t (id int PRIMARY KEY, ts timestamp NULL)")
    with pytest.raises(Refused) as refused:
        stages(drive(source, target))
    assert refused.value.code == "MFSHAPE" and '"v"' in refused.value.text
    target.execute("ALTER TABLE t ADD v int, MODIFY ts timestamp NULL ON UPDATE CURRENT_TIMESTAMP")
    with pytest.raises(Refused) as refused:
        stages(drive(source, target))
    assert refused.value.code == "MFSHAPE" and "time of each update" in refused.value.text
    target.execute("ALTER TABLE t MODIFY ts timestamp NULL, ADD extra int")
    assert stages(drive(source, target)) == []


def test_what_cannot_be_made_is_told(drive, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE outside (id int PRIMARY KEY);"
                   "CREATE TABLE c (id int PRIMARY KEY, o int, CONSTRAINT fo FOREIGN KEY (o) REFERENCES outside (id));"
                   "CREATE VIEW broken AS SELECT * FROM t; DROP TABLE t; CREATE TABLE t (x int PRIMARY KEY)")
    found = {(f["code"], f["object"]) for f in stages(drive(source, target), exclude=[source.name + ".outside"])}
    assert ("schema-foreign-key", f"table {source.name}.c") in found
    assert ("schema-object", f"VIEW {source.name}.broken") in found


def test_an_account_without_powers_makes_what_it_may(drive, mysql_pair):
    """On 8.0 only an administrator may say who a view belongs to."""
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE DEFINER='boss'@'%' VIEW v AS SELECT id FROM t")
    target.server.create_account("maker", f"ALL PRIVILEGES ON {ident(target.name)}.*")
    found = stages(drive(source, target.url("maker")))
    assert {f["code"] for f in found if f["severity"] > 0} == {"schema-definer"}
    assert target.rows("SELECT table_name, definer FROM information_schema.views WHERE table_schema = DATABASE()") == [("v", "maker@%")]
