"""The guide's settings and grants, as they stand there, are enough for a migration there and back."""
import re

import pytest

from harness.mycompare import equal_at_last
from harness.mysql_servers import ident
from harness.servers import PASSWORD, TOP

GUIDE = (TOP / "docs" / "guide" / "mysql-5.7-to-8.0.md").read_text()
NAMES = {"5.7": "MySQL 5.7", "8.0": "MySQL 8.0", "mariadb": "MariaDB"}
DEFINERS = {"8.0": "SET_USER_ID", "mariadb": "SET USER"}  # by the guide's table


def granted(server, database: str, section: str, without: tuple = ()) -> None:
    """Runs the GRANTs of this section of the guide, in its order."""
    block = GUIDE.split(section + "\n")[1].split("\n## ")[0].split("```sql")[1].split("```")[0]
    for grant, comment in re.findall(r"^(GRANT .*?;)(.*)$", block, re.M):
        servers = [version for version, name in NAMES.items() if name in comment]
        if (not servers or server.version in servers) and not any(word in grant + comment for word in without):
            server.execute(grant.replace("shop.*", f"{ident(database)}.*"))


OBJECTS = ("CREATE DEFINER = keeper@'%' VIEW of_app AS SELECT v FROM parent; CREATE DEFINER = keeper@'%' VIEW over_it AS SELECT v FROM of_app; CREATE DEFINER = keeper@'%' PROCEDURE look() SELECT v FROM parent;"
           "CREATE DEFINER = keeper@'%' EVENT tick ON SCHEDULE EVERY 1 DAY DO DELETE FROM parent WHERE v = 'old'")
TRIGGER = "CREATE DEFINER = keeper@'%' TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.p = NEW.p"
LISTS = ("SELECT table_name, definer FROM information_schema.views", "SELECT routine_name, definer FROM information_schema.routines",
         "SELECT event_name, definer FROM information_schema.events", "SELECT trigger_name, definer FROM information_schema.triggers")


def definers(database) -> dict:
    """Of views, routines, events and triggers that are not ours."""
    columns = ("table_schema", "routine_schema", "event_schema", "trigger_schema")
    return {name: who for sql, column in zip(LISTS, columns)
            for name, who in database.rows(f"{sql} WHERE {column} = %s", (database.name,)) if not name.startswith("midflight")}


@pytest.mark.parametrize("versions", [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_the_grants_of_the_guide_are_enough(versions, own_mysql, migration):
    source, target = (own_mysql(v, name=name, settings={"log_bin_trust_function_creators": "ON"}).create_database("shop")
                      for v, name in zip(versions, ("source", "target")))
    for database, section in ((source, "## The source"), (target, "## The target")):
        database.server.execute(f"CREATE USER mover@'%' IDENTIFIED BY '{PASSWORD}'")
        granted(database.server, "shop", section)
    source.server.create_account("keeper", "ALL ON shop.*")
    source.execute("CREATE TABLE parent (id int AUTO_INCREMENT PRIMARY KEY, v varchar(20) UNIQUE); CREATE TABLE child (id int AUTO_INCREMENT PRIMARY KEY, p int NOT NULL,"
                   " FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE); CREATE VIEW both_of AS SELECT p.v FROM parent p JOIN child c ON c.p = p.id;"
                   " INSERT INTO parent (v) VALUES ('a'), ('b'); INSERT INTO child (p) VALUES (1), (2)")
    source.execute(OBJECTS)
    m = migration(source.url(user="mover"), target.url(user="mover"), config={"copy": {"max_load": 0}, "accounts": "copy"})
    if versions[0] in DEFINERS:  # 5.7 has SUPER for it only
        source.execute(TRIGGER)
        assert "trigger-definer" in m.call("check", expect=3).out
        source.server.execute(f"GRANT {DEFINERS[versions[0]]} ON *.* TO mover@'%'")
    was = definers(source)
    found = {f["code"] for f in m.call("check", "--json").json["findings"] if f["severity"] != "note"}
    assert not [c for c in found if c.startswith(("account", "definer"))], found
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO parent (v) VALUES ('c'); DELETE FROM parent WHERE v = 'a'")
    equal_at_last(m, source, target)
    m.call("verify")
    m.call("cutover")
    assert definers(target) == was and target.value("SELECT count(*) FROM mysql.user WHERE user = 'keeper'") == 1
    connection = target.connect(autocommit=False)
    connection.cursor().execute("INSERT INTO parent (v) VALUES ('never committed')")
    connection.rollback()
    connection.close()
    target.execute("INSERT INTO child (p) VALUES (2)")
    m.call("rollback")
    source.execute("INSERT INTO parent (v) VALUES ('d')")
    assert source.value("SELECT id FROM parent WHERE v = 'd'") == 5
    assert definers(source) == was
    equal_at_last(m, source, target)
    m.call("cancel")
    assert m.wait_exit() == 0


def test_without_the_right_to_name_definers_check_says_whose_objects_become(own_mysql, migration):
    """And nothing is refused: they are made as the account's own."""
    source, target = (own_mysql(v, name=name, settings={"log_bin_trust_function_creators": "ON"}).create_database("shop") for v, name in (("5.7", "source"), ("8.0", "target")))
    for database, section in ((source, "## The source"), (target, "## The target")):
        database.server.execute(f"CREATE USER mover@'%' IDENTIFIED BY '{PASSWORD}'")
        granted(database.server, "shop", section, without=("SET_USER_ID", "accounts: copy"))
    source.server.create_account("keeper", "ALL ON shop.*")
    source.execute("CREATE TABLE parent (id int PRIMARY KEY, v varchar(20))")
    source.execute(OBJECTS)
    m = migration(source.url(user="mover"), target.url(user="mover"), config={"copy": {"max_load": 0}})
    lost = {f["object"]: f["reason"] for f in m.call("check", "--json").json["findings"] if f["code"] == "definer-lost"}
    assert set(lost) == {"views", "routines", "events"} and "shop.of_app" in lost["views"]
    m.start()
    m.wait_phase("synced")
    assert set(definers(target).values()) == {"mover@%"}
    m.call("cancel")
    assert m.wait_exit() == 0
