"""Accounts with rights on what migrates, where the configuration asks for them."""
import MySQLdb
import pytest

from harness.mysql_servers import ident

SECRET = "pass of the application"


def grants(server, account: str) -> set[str]:
    return {r[0].replace('"', "`") for r in server.rows(f"SHOW GRANTS FOR {account}")}


@pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("8.0", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")
def test_accounts_with_rights_on_what_migrates_are_made(mysql_versions, own_mysql, migration):
    source, target = own_mysql(mysql_versions[0], name="source"), own_mysql(mysql_versions[1], name="target")
    name = "shop_1"
    here, there = source.create_database(name), target.create_database(name)
    here.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    source.create_database("other")
    for user in ("cashier", "reader", "elsewhere", "known", "mighty"):
        source.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{SECRET}'")
    escaped = name.replace("_", "\\_")
    source.execute(f"GRANT SELECT, INSERT ON `{escaped}`.* TO 'cashier'@'%'; GRANT SELECT (id) ON {ident(name)}.t TO 'reader'@'%';"
                   f"GRANT ALL ON other.* TO 'elsewhere'@'%'; GRANT SELECT ON {ident(name)}.* TO 'known'@'%';"
                   f"GRANT SELECT ON {ident(name)}.* TO 'mighty'@'%'; GRANT RELOAD ON *.* TO 'mighty'@'%'; GRANT SELECT ON other.* TO 'cashier'@'%'")
    target.execute("CREATE USER 'known'@'%' IDENTIFIED BY 'its own'")
    m = migration(here, there, config={"accounts": "copy", "copy": {"max_load": 0}})
    assert SECRET not in str(m.call("plan")) and "*" + "0" * 3 not in str(m.call("plan"))
    m.start()
    m.wait_phase("synced")
    stored = source.value("SELECT authentication_string FROM mysql.user WHERE User = 'cashier'")
    assert stored not in m.all_logs() and "its rights on the whole server were not given" in m.all_logs()
    made = {r[0] for r in target.rows("SELECT User FROM mysql.user WHERE User IN ('cashier', 'reader', 'elsewhere', 'known', 'mighty')")}
    assert made == {"cashier", "reader", "known", "mighty"}
    assert not any("other" in g for g in grants(target, "'cashier'@'%'"))
    assert any("SELECT, INSERT ON" in g for g in grants(target, "'cashier'@'%'")) and any("RELOAD" not in g for g in grants(target, "'mighty'@'%'"))
    connection = there.connect(user="cashier", password=SECRET)  # with the password it has on the source
    connection.cursor().execute("SELECT * FROM t")
    connection.close()
    assert len(grants(target, "'known'@'%'")) == 1  # left as it was
    with pytest.raises(MySQLdb.Error):
        there.connect(user="known", password=SECRET)
    m.call("cancel")
    assert m.wait_exit() == 0
