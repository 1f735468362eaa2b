"""verify: each kind of corruption is found and named, every time; a clean pair under load shows none, every time."""
import pytest

from harness.awkward import AwkwardLoad, awkward_data, awkward_schema
from harness.compare import compare
from harness.servers import wait_for

# table, statement on the target (triggers off), how many rows differ
CORRUPTIONS = {
    "a changed bit": ("types", "UPDATE awk.types SET c_bytea = '\\x01' WHERE id = (SELECT min(id) FROM awk.types WHERE c_bytea = '\\x00')"),
    "a missing row": ("key_uuid", "DELETE FROM awk.key_uuid WHERE v = '7'"),
    "a missing first row": ("key_domain", "DELETE FROM awk.key_domain WHERE k = (SELECT min(k) FROM awk.key_domain)"),
    "a missing last row": ("key_domain", "DELETE FROM awk.key_domain WHERE k = (SELECT max(k) FROM awk.key_domain)"),
    "an extra row": ("key_uuid", "INSERT INTO awk.key_uuid VALUES ('12345678-0000-0000-0000-000000000000', 'extra')"),
    "an extra row past the end": ("key_sparse", "INSERT INTO awk.key_sparse VALUES (9223372036854775800, 'extra')"),
    "an extra row before the start": ("key_domain", "INSERT INTO awk.key_domain VALUES (2000000000, 'extra')"),
    "a row in an empty table": ("empty", "INSERT INTO awk.empty VALUES (1, NULL)"),
    "one more of a duplicate": ("nokey_full", "INSERT INTO awk.nokey_full VALUES (1, 'nan', 'NaN')"),
    "one less of a duplicate": ("nokey_full", "DELETE FROM awk.nokey_full WHERE ctid = (SELECT min(ctid) FROM awk.nokey_full WHERE b = 'nan')"),
    "NULL for the empty string": ("types", "UPDATE awk.types SET c_text = NULL WHERE id = (SELECT min(id) FROM awk.types WHERE c_text = '')"),
    "the empty string for NULL": ("types", "UPDATE awk.types SET c_text = '' WHERE id = (SELECT min(id) FROM awk.types WHERE c_text IS NULL)"),
    "trailing zeros": ("types", "UPDATE awk.types SET c_numeric = 1.1 WHERE id = (SELECT min(id) FROM awk.types WHERE c_numeric::text = '1.10')"),
    "minus zero": ("types", "UPDATE awk.types SET c_float8 = 0 WHERE id = (SELECT min(id) FROM awk.types WHERE c_float8::text = '-0')"),
    "NaN": ("types", "UPDATE awk.types SET c_float4 = NULL WHERE id = (SELECT min(id) FROM awk.types WHERE c_float4 = 'NaN')"),
    "NaN of a numeric": ("types", "UPDATE awk.types SET c_numeric = 0 WHERE id = (SELECT min(id) FROM awk.types WHERE c_numeric = 'NaN')"),
    "an infinite date": ("types", "UPDATE awk.types SET c_date = '-infinity' WHERE id = (SELECT min(id) FROM awk.types WHERE c_date = 'infinity')"),
    "an interval that is equal but not the same": ("types", "UPDATE awk.types SET c_interval = '24:00:00' WHERE id = (SELECT min(id) FROM awk.types WHERE c_interval::text = '1 day')"),
    "the case of a citext": ("key_citext", "UPDATE awk.key_citext SET k = 'KEY5' WHERE k = 'key5'"),
    "the scale of a key": ("key_numeric", "UPDATE awk.key_numeric SET k = 11.0 WHERE k = 11.00"),
    "the end of a big value": ("toast", "UPDATE awk.toast SET external = left(external, -1) || 'y' WHERE id = 5"),
    "a column behind the thousandth": ("wide", "UPDATE awk.wide SET c1600 = 'lost' WHERE c1 = 3"),
    "two rows swapped": ("key_late", "UPDATE awk.key_late SET v = CASE k WHEN 3 THEN 'v4' ELSE 'v3' END WHERE k IN (3, 4)"),
    "an odd name": ("Tab", 'UPDATE "Sch.é ""q"""."Tab.lé ""x"" \\n" SET "quo""te" = NULL WHERE "Id" = 9'),
    "a generated column's base": ("generated", "UPDATE awk.generated SET base = base + 1 WHERE id = 4"),
    "a child's row": ("child", "DELETE FROM ONLY awk.child WHERE id = 3"),
    "a partition's row": ("part_", "UPDATE awk.part_range SET v = 'x' WHERE id = 6"),
    "a sequence-like shift": ("key_only", "UPDATE awk.key_only SET b = b - 1 WHERE a = 8"),
}


@pytest.fixture(scope="module")
def synced(servers, tmp_path_factory):
    """One synced migration of the awkward database for the whole module; each test puts back what it broke."""
    from harness.midflight import Midflight
    source = servers.get("source").create_database("verify_source")
    target = servers.get("target").create_database("verify_target")
    with source.connect() as c:
        awkward_schema(c)
        awkward_data(c, 120, seed=4)
    m = Midflight(source.url(), target.url(), tmp_path_factory.mktemp("verify"))
    m.start()
    try:
        m.wait_phase("synced")
        yield m, source, target
    finally:
        m.close()
        print(m.all_logs()[-20000:])
        source.drop()
        target.drop()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_found_named_and_repaired(name, synced):
    m, source, target = synced
    table, statement = CORRUPTIONS[name]
    with target.connect() as c:
        c.execute("SET session_replication_role = replica")
        assert c.execute(statement).rowcount > 0, "nothing was corrupted"
    result = m.call("verify", "--json", expect=4)
    assert result.json["rows_differing"] >= 1
    assert table in result.out, result.out
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
    found = compare(source.url(), target.url(), sequences="skip", unlogged=False)
    assert found.equal, str(found)


def test_only_one_table(synced):
    m, source, target = synced
    target.execute("SET session_replication_role = replica; UPDATE awk.key_late SET v = 'bent' WHERE k = 1")
    m.call("verify", "--table", "awk.key_only")
    m.call("verify", "--table", "awk.key_late", expect=4)
    m.call("verify", "--table", "awk.key_late", "--repair", expect=(0, 4))
    m.call("verify")


def test_verify_writes_nothing_without_repair(synced):
    m, source, target = synced
    target.execute("SET session_replication_role = replica; DELETE FROM awk.key_only WHERE a = 2")
    for _ in range(2):
        m.call("verify", expect=4)
    assert target.value("SELECT count(*) FROM awk.key_only WHERE a = 2") == 0
    m.call("verify", "--repair", expect=(0, 4))


def test_no_false_difference_under_load(synced):
    """Both sides change all the time, and every comparison must still find them equal."""
    m, source, target = synced
    with AwkwardLoad(source.url(), seed=77, truncate=True) as load:
        for round_ in range(8):
            done = load.committed
            result = m.call("verify", "--json", expect=None)
            assert result.exit == 0, f"round {round_}: {result.out[:2000]}"
            wait_for(lambda: load.committed > done + 20, 60, "changes")


def test_corruption_under_load_is_found(synced):
    m, source, target = synced
    with AwkwardLoad(source.url(), seed=500, truncate=False):
        target.execute("SET session_replication_role = replica; UPDATE awk.wide SET c4 = 'bent' WHERE c1 = 11")
        result = m.call("verify", "--json", expect=4)
        assert "wide" in result.out
        assert result.json["rows_differing"] == 1, result.out
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
