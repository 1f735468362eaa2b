"""What `check` says about MySQL servers. Each remedy that is a statement is run, and takes its finding away."""
import re

import pytest

from harness.mysql_servers import VERSIONS, ident
from harness.pgread import Read

NOTE, WARNING, BLOCKER = 0, 1, 2


@pytest.fixture
def check_source():
    made = []

    def run(url, durability=False, **named):  # the servers of the tests do not wait for the disk
        made.append(Read(url if isinstance(url, str) else url.url(), **named))
        return {(f["code"], f["object"]): f for f in made[-1].check()["findings"] if durability or f["code"] != "durability"}

    yield run
    for one in made:
        one.close()


def codes(found, severity=WARNING):
    return {c for (c, _), f in found.items() if f["severity"] >= severity}


def of(found, code):
    return {o: f for (c, o), f in found.items() if c == code}


def paste(database, remedy):
    """A remedy as an administrator would paste it, into one session."""
    database.execute(re.sub(r"--.*", "", remedy).strip().rstrip(";"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_source_has_nothing_to_say(check_source, mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    assert check_source(db) == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_that_cannot_be_moved_as_they_are(check_source, mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE, g int GENERATED ALWAYS AS (id + 1) VIRTUAL);"
               "CREATE TABLE c (id int PRIMARY KEY, p int, CONSTRAINT casc FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE);"
               "CREATE TABLE s (id int PRIMARY KEY, p int, CONSTRAINT setn FOREIGN KEY (p) REFERENCES p (u) ON UPDATE SET NULL);"
               "CREATE TABLE r (id int PRIMARY KEY, p int, CONSTRAINT rest FOREIGN KEY (p) REFERENCES p (id));"
               "CREATE TABLE my (id int PRIMARY KEY, g geometry) ENGINE=MyISAM; CREATE TABLE bare (a int NULL UNIQUE);"
               "CREATE TABLE part (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2;"
               "CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW SET NEW.id = NEW.id; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;"
               "CREATE VIEW v AS SELECT 1 AS one")
    name = db.name
    found = check_source(db)
    blockers = {k for k, f in found.items() if f["severity"] == BLOCKER}
    assert blockers == {("engine", f"table {name}.my"), ("cascade", f"foreign key setn of {name}.s")}
    assert {k for k, f in found.items() if f["severity"] == WARNING} == {("no-key", f"table {name}.bare"), ("event", f"event {name}.e")}
    assert {c for (c, _), f in found.items() if f["severity"] == NOTE} == {"cascade", "generated-column", "partitions", "spatial", "trigger"}
    for key, f in found.items():
        if key[0] in ("engine", "cascade", "event") and f["remedy"]:
            paste(db, f["remedy"])
    assert codes(check_source(db)) == {"no-key"}


def test_a_server_that_does_not_log_as_it_must(check_source, own_mysql):
    for version in ("8.0", "mariadb"):
        server = own_mysql(version, settings={"log_bin": None, "skip_log_bin": "1", "log_slave_updates": None,
                                              **({"gtid_mode": None, "enforce_gtid_consistency": None} if version == "8.0" else {})})
        assert "log-bin" in codes(check_source(server.url()), BLOCKER)
    server = own_mysql("5.7", gtid=False, settings={"binlog_format": "MIXED", "binlog_row_image": "MINIMAL", "expire_logs_days": "0"})
    found = check_source(server.url())
    assert codes(found, BLOCKER) == {"binlog-format"} and codes(found) == {"binlog-format", "binlog-row-image", "gtid-mode"}
    assert of(found, "binlog-row-image")["binlog_row_image"]["severity"] == WARNING
    for one in ("binlog-format", "binlog-row-image"):
        paste(server, found[one, one.replace("-", "_")]["remedy"])
    assert codes(check_source(server.url()), NOTE) == {"gtid-mode"}
    server = own_mysql("8.0", settings={"binlog_expire_logs_seconds": "3600", "binlog_do_db": "shop", "read_only": "1"})
    found = check_source(server.url())
    assert codes(found) == {"binlog-expiry", "binlog-filter", "read-only"}
    for code in ("binlog-expiry", "read-only"):
        for f in of(found, code).values():
            paste(server, f["remedy"])
    assert codes(check_source(server.url())) == {"binlog-filter"}


def test_a_replica(check_source, own_mysql):
    for logs in (True, False):
        server = own_mysql("5.7", settings={} if logs else {"log_slave_updates": "OFF"})
        server.execute("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_AUTO_POSITION = 1")
        assert codes(check_source(server.url())) == ({"replica"} if logs else {"log-slave-updates"})


@pytest.mark.parametrize("version", VERSIONS)
def test_generated_columns_that_go_by_the_clock(check_source, mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE t (id int PRIMARY KEY, ts timestamp NULL, at datetime, kept date AS (date(ts)) STORED, looked_up date AS (date(ts)) VIRTUAL, KEY (looked_up),"
               " read_only date AS (date(ts)) VIRTUAL, plain date AS (date(at)) STORED)")
    assert set(of(check_source(db.url()), "generated-clock")) == {f"column {db.name}.t.kept", f"column {db.name}.t.looked_up"}


def test_a_member_of_a_cluster(check_source, own_mysql):
    """Its other members would get past the gate. The server has the option and no library for it."""
    server = own_mysql("mariadb", settings={"wsrep_on": "ON", "wsrep_provider": "none"})
    assert codes(check_source(server.url()), BLOCKER) == {"several-writers"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_machine_that_may_lose_what_was_committed(check_source, own_mysql, version):
    server = own_mysql(version)
    finding = of(check_source(server.url(), durability=True), "durability")["sync_binlog"]
    assert finding["severity"] == WARNING and "innodb_flush_log_at_trx_commit is 2" in finding["reason"]
    paste(server, finding["remedy"])
    assert not of(check_source(server.url(), durability=True), "durability")
    for name in ("sync_binlog", "innodb_flush_log_at_trx_commit"):
        server.execute(f"SET GLOBAL {name} = 0")
        assert of(check_source(server.url(), durability=True), "durability")
        server.execute(f"SET GLOBAL {name} = 1")


@pytest.mark.parametrize("version,gtid", [("5.7", True), ("8.0", True), ("8.0", False)], ids=["5.7", "8.0", "8.0-files"])
def test_commits_in_another_order_than_the_log(check_source, own_mysql, version, gtid):
    server = own_mysql(version, gtid=gtid, settings={"binlog_order_commits": "OFF"})
    found = check_source(server.url())
    assert codes(found, BLOCKER) == {"binlog-order-commits"}
    paste(server, found["binlog-order-commits", "binlog_order_commits"]["remedy"])
    assert not codes(check_source(server.url()), BLOCKER)


def test_several_servers_that_write_in_one_domain(check_source, own_mysql):
    server = own_mysql("mariadb")
    server.execute("CREATE DATABASE shop; CREATE TABLE shop.t (id int PRIMARY KEY)")
    assert codes(check_source(server.url())) == set()
    server.execute("SET SESSION server_id = 77; INSERT INTO shop.t VALUES (1)")
    found = check_source(server.url())
    assert codes(found) == {"gtid-domain"} and "gtid_domain_id" in found["gtid-domain", "gtid_domain_id"]["remedy"]
    server.execute("SET GLOBAL gtid_strict_mode = ON")
    assert codes(check_source(server.url())) == set()
    server.execute("SET GLOBAL gtid_strict_mode = OFF; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1")
    assert codes(check_source(server.url())) == {"gtid-domain", "replica"}


def test_prepared_transactions_are_told(check_source, mysql_database):
    db = mysql_database("source", "8.0")
    db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    app = db.connect()
    for sql in ("XA START 'c'", "INSERT INTO t VALUES (1)", "XA END 'c'", "XA PREPARE 'c'"):
        app.cursor().execute(sql)
    found = check_source(db)
    app.cursor().execute("XA ROLLBACK 'c'")
    assert codes(found) == {"xa-prepared"} and not codes(check_source(db))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_right_that_is_missing_comes_with_its_grant(check_source, mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY); CREATE TABLE `we``ird` (id int PRIMARY KEY)")
    db.execute("CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id")
    db.server.create_account("weak", f"SELECT ON {ident(db.name)}.t")
    weak = db.url(user="weak")
    found = check_source(weak)
    assert codes(found, BLOCKER) == {"account-replication-slave", "account-replication-client", "account-rights",
                                      "account-hidden", "trust-function-creators"} | ({"account-slave-monitor"} if version == "mariadb" else set())
    assert ("account-rights", f"table {db.name}.t") in found and not any("ird" in o for _, o in found)  # it is not even seen
    told = set()
    try:
        for _ in range(4):  # what is seen now may be told now
            for f in found.values():
                if f["remedy"]:
                    paste(db.server, f["remedy"])
            found = check_source(weak)
            told |= codes(found, BLOCKER)
        assert codes(found) == set() and "trigger-definer" in told
        assert db.server.rows("SHOW GRANTS FOR weak") and any("ALTER" in r[0] for r in db.server.rows("SHOW GRANTS FOR weak"))
    finally:
        db.server.execute("SET GLOBAL log_bin_trust_function_creators = 0")
        db.server.execute("DROP USER weak")


def test_rights_by_a_role(check_source, mysql_database):
    db = mysql_database("source", "8.0")
    db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    db.server.create_account("through_role")
    s = db.server
    s.execute("CREATE ROLE mover; GRANT REPLICATION SLAVE, REPLICATION CLIENT, PROCESS, RELOAD, SUPER, XA_RECOVER_ADMIN ON *.* TO mover;"
              f"GRANT ALL ON {ident(db.name)}.* TO mover; GRANT ALL ON midflight.* TO mover; GRANT mover TO through_role;"
              "SET DEFAULT ROLE mover TO through_role")
    try:
        assert codes(check_source(db.url(user="through_role"))) == set()
    finally:
        s.execute("DROP ROLE mover; DROP USER through_role")


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")])
def test_a_good_target_has_nothing_to_say(check_target, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    for finding in of(check_target(source, target), "database-default").values():
        paste(target, finding["remedy"])
    assert codes(check_target(source, target)) == set()


def test_a_database_with_another_default(check_target, mysql_database):
    source = mysql_database("source", "8.0")
    target = mysql_database("target", "5.7", name=source.name)
    for db, collation in ((source, "utf8mb4_general_ci"), (target, "latin1_swedish_ci")):
        db.execute(f"ALTER DATABASE {ident(db.name)} COLLATE {collation}")
    source.execute("CREATE TABLE t (id int PRIMARY KEY) COLLATE utf8mb4_general_ci")
    found = of(check_target(source, target), "database-default")[f"database {source.name}"]
    assert found["severity"] == WARNING and "latin1_swedish_ci here and utf8mb4_general_ci on the source" in found["reason"]
    paste(target, found["remedy"])
    assert target.value("SELECT @@collation_database") == "utf8mb4_general_ci"
    assert not of(check_target(source, target), "database-default")
    for db in (source, target):
        db.execute(f"ALTER DATABASE {ident(db.name)} COLLATE utf8_general_ci")  # 8.0 has another name for it, or will
    assert not of(check_target(source, target), "database-default")


def test_names_that_cannot_be_told_or_kept(check_source, own_mysql):
    server = own_mysql("8.0")
    long = "é" * 64
    for name in ("c", "c.a"):
        server.create_database(name)
    server.create_database("shop").execute(f"CREATE TABLE `{long}` (id int PRIMARY KEY); CREATE TABLE `{long[1:]}` (id int PRIMARY KEY);"
                                           "CREATE TABLE c.`a.b` (id int PRIMARY KEY); CREATE TABLE `c.a`.b (id int PRIMARY KEY); CREATE TABLE c.`a.c` (id int PRIMARY KEY)")
    found = check_source(server.url())
    assert set(of(found, "name-length")) == {f"table shop.{long}"}
    assert set(of(found, "name-ambiguous")) == {"table c.a.b"}


def test_what_is_there_already(check_target, mysql_pair):
    source, target = mysql_pair
    for db in mysql_pair:
        db.execute("CREATE TABLE full_ (id int PRIMARY KEY); CREATE TABLE none (id int PRIMARY KEY)")
    target.execute("INSERT INTO full_ VALUES (1); CREATE TABLE stranger (id int PRIMARY KEY)")
    found = check_target(source, target)
    assert found["target-rows", f"table {target.name}.full_"]["severity"] == BLOCKER
    assert ("target-table", f"table {target.name}.none") in found
    assert "target-not-empty" in codes(found, NOTE)
    assert "target-rows" not in codes(check_target(source, target, exclude=[source.name + ".full_"]))
    target.execute("CREATE TABLE child (p int, FOREIGN KEY (p) REFERENCES full_ (id))")  # TRUNCATE alone would be refused (1701)
    paste(target, found["target-rows", f"table {target.name}.full_"]["remedy"])
    assert "target-rows" not in codes(check_target(source, target))


def test_what_the_target_does_in_another_way(check_target, own_mysql):
    source = own_mysql("8.0", settings={"max_allowed_packet": "32M"})
    target = own_mysql("5.7", settings={"lower_case_table_names": 1, "max_allowed_packet": "16M", "default_time_zone": "+02:00",
                                        "sql_mode": "ANSI", "log_bin_trust_function_creators": 1})
    shop = source.create_database("shop")
    shop.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(10) COLLATE utf8mb4_0900_ai_ci)")
    target.create_database("shop")
    found = check_target(shop, target.url("shop"))
    assert codes(found) == {"collation", "database-default", "lower-case-names", "max-allowed-packet", "time-zone", "sql-mode"}
    assert of(found, "collation")["column shop.t.v"]["severity"] == BLOCKER
    assert of(found, "lower-case-names")["lower_case_table_names"]["severity"] == WARNING
    shop.execute("CREATE TABLE Mixed (id int PRIMARY KEY)")
    assert of(check_target(shop, target.url("shop")), "lower-case-names")["lower_case_table_names"]["severity"] == BLOCKER


def test_one_server_is_not_two(check_target, mysql_database):
    db = mysql_database("source", "mariadb")
    other = mysql_database("source", "mariadb")
    assert {"same-server", "database-name"} <= codes(check_target(db, other), BLOCKER)


def test_another_engine(check_target, mysql_database):
    source = mysql_database("source", "5.7")
    target = mysql_database("target", "mariadb", name=source.name)
    assert "other-engine" in codes(check_target(source, target))


def test_an_account_that_may_not_make_the_schema(check_target, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    target.server.create_account("weak", f"SELECT ON {ident(target.name)}.*")
    found = check_target(source, target.url(user="weak"))
    assert codes(found, BLOCKER) == {"account-replication-slave", "account-replication-client", "account-rights",
                                      "trust-function-creators"}
    try:
        for f in found.values():
            if f["severity"] >= WARNING:
                paste(target.server, f["remedy"])
        assert codes(check_target(source, target.url(user="weak"))) == set()
    finally:
        target.server.execute("SET GLOBAL log_bin_trust_function_creators = 0; DROP USER weak")


@pytest.mark.parametrize("version", VERSIONS)
def test_events_are_invisible_without_a_right(check_source, mysql_database, version):
    db = mysql_database("source", version)
    db.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    db.server.create_account("weak", f"SELECT, SHOW VIEW ON {ident(db.name)}.*")
    try:
        found = check_source(db.url(user="weak"))
        assert found["account-events", f"database {db.name}"]["severity"] == WARNING and not of(found, "event")
        paste(db.server, found["account-events", f"database {db.name}"]["remedy"])
        found = check_source(db.url(user="weak"))
        assert of(found, "event") and not of(found, "account-events")
    finally:
        db.server.execute("DROP USER weak")


def test_no_table_is_left(mysql_pair, migration):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    said = lambda m: {(f["code"], f["object"]): f["reason"] for f in m.call("check", "--json", expect=3).json["findings"] if f["code"] == "no-table"}
    m = migration(source, target, config={"tables": {"include": [f"{source.name}.nothing"]}})
    assert said(m) == {("no-table", "tables.include, tables.exclude"): "no table is left to migrate: the account sees 1, and the filter takes none of them"}
    assert "the filter takes none" in m.call("run", expect=3).err + m.all_logs()
    source.server.create_account("weak", f"EXECUTE ON {ident(source.name)}.*")
    try:
        assert list(said(migration(source.url(user="weak"), target))) == [("no-table", "the source")]
    finally:
        source.server.execute("DROP USER weak")


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")])
def test_whose_the_objects_become(check_target, mysql_pair):
    source, target = mysql_pair
    source.server.create_account("owner", f"ALL ON {ident(source.name)}.*")
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE DEFINER = owner@'%' VIEW v AS SELECT 1 AS one; CREATE DEFINER = owner@'%' VIEW w AS SELECT 1 AS one;"
                   "CREATE DEFINER = owner@'%' PROCEDURE p() SELECT 1; CREATE DEFINER = owner@'%' TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1;"
                   "CREATE DEFINER = owner@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE DEFINER = weak@'%' VIEW ours AS SELECT 1 AS one")
    target.server.create_account("weak", f"ALL ON {ident(target.name)}.*")
    look = lambda: {k: f for k, f in check_target(source, target.url(user="weak"), accounts=True).items() if k[0].startswith("definer")}
    name, account = source.name, ("definer-missing", "account 'owner'@'%'")
    try:
        found = look()
        assert set(found) == {("definer-lost", kind) for kind in ("views", "routines", "triggers", "events")}
        assert found["definer-lost", "views"]["reason"].startswith("2 have") and f"{name}.v, {name}.w" in found["definer-lost", "views"]["reason"]
        paste(target.server, found["definer-lost", "views"]["remedy"])
        found = look()
        assert set(found) == {("definer-unseen", account[1])}
        paste(target.server, found["definer-unseen", account[1]]["remedy"])
        assert set(look()) == {account} and "5 objects" in look()[account]["reason"]
        target.server.create_account("owner", f"SELECT ON {ident(name)}.*")
        target.server.execute("GRANT SELECT ON mysql.* TO weak")
        found = look()
        assert set(found) == {("definer-rights", f"trigger {name}.tr")}
        paste(target.server, found["definer-rights", f"trigger {name}.tr"]["remedy"])
        assert look() == {}
    finally:
        for server in {source.server, target.server}:
            server.execute("DROP USER IF EXISTS owner; DROP USER IF EXISTS weak")


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")])
def test_what_carrying_accounts_needs(check_target, mysql_pair):
    source, target = mysql_pair
    source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    for db in mysql_pair:
        db.server.create_account("weak", f"SELECT ON {ident(db.name)}.*")

    def look(copy):
        found = check_target(source.url(user="weak"), target.url(user="weak"), accounts=True, copy=copy)
        return {o: f for (c, o), f in found.items() if c == "account-rights" and "accounts" in f["reason"]}

    try:
        assert look(False) == {}
        found = look(True)
        assert set(found) == {"database mysql", "table mysql.user", "weak@%", f"database {target.name}"}
        for one in found.values():
            paste((source if one["object"] == "database mysql" else target).server, one["remedy"])
        assert look(True) == {}
        target.server.execute(f"REVOKE EXECUTE ON {ident(target.name)}.* FROM weak")
        found = look(True)
        assert {f["severity"] for f in found.values()} == {WARNING}
        paste(target.server, found[f"database {target.name}"]["remedy"])
        assert look(True) == {}
    finally:
        for db in mysql_pair:
            db.server.execute("DROP USER IF EXISTS weak")
