"""The guide's settings and grants, as they stand there, are enough for a migration there and back."""
import re

import pytest

from harness.mycompare import equal_at_last
from harness.mysql_servers import ident
from harness.servers import PASSWORD, TOP

GUIDE = (TOP / "docs" / "guide" / "mysql-5.7-to-8.0.md").read_text()


def granted(server, database: str, only: str) -> None:
    """Runs the GRANTs of the guide that come after this heading."""
    section = GUIDE.split(only)[1].split("\n## ")[0]
    for grant in re.findall(r"^GRANT .*?;", section, re.M):
        only_of = {"mysql.proc": server.version != "8.0", "SLAVE MONITOR": server.version == "mariadb", "performance_schema": False}
        if not all(here for word, here in only_of.items() if word in grant):
            continue
        server.execute(grant.replace("shop.*", f"{ident(database)}.*"))


@pytest.mark.parametrize("versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_the_grants_of_the_guide_are_enough(versions, own_mysql, migration):
    source, target = (own_mysql(v, name=name, settings={"log_bin_trust_function_creators": "ON"}).create_database("shop")
                      for v, name in zip(versions, ("source", "target")))
    for database in (source, target):
        database.server.execute(f"CREATE USER mover@'%' IDENTIFIED BY '{PASSWORD}'")
        granted(database.server, "shop", "## The source")
    granted(target.server, "shop", "## The target")
    source.execute("CREATE TABLE parent (id int AUTO_INCREMENT PRIMARY KEY, v varchar(20) UNIQUE); CREATE TABLE child (id int AUTO_INCREMENT PRIMARY KEY, p int NOT NULL,"
                   " FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE); CREATE VIEW both_of AS SELECT p.v FROM parent p JOIN child c ON c.p = p.id;"
                   " INSERT INTO parent (v) VALUES ('a'), ('b'); INSERT INTO child (p) VALUES (1), (2)")
    m = migration(source.url(user="mover"), target.url(user="mover"), config={"copy": {"max_load": 0}})
    m.call("check")
    m.start()
    m.wait_phase("synced")
    source.execute("INSERT INTO parent (v) VALUES ('c'); DELETE FROM parent WHERE v = 'a'")
    equal_at_last(m, source, target)
    m.call("verify")
    m.call("cutover")
    connection = target.connect(autocommit=False)
    connection.cursor().execute("INSERT INTO parent (v) VALUES ('never committed')")
    connection.rollback()
    connection.close()
    target.execute("INSERT INTO child (p) VALUES (2)")
    m.call("rollback")
    source.execute("INSERT INTO parent (v) VALUES ('d')")
    assert source.value("SELECT id FROM parent WHERE v = 'd'") == 5
    equal_at_last(m, source, target)
    m.call("cancel")
    assert m.wait_exit(30) == 0
