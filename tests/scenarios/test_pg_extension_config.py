"""Tables in which an extension keeps its own rows and the user's (like PostGIS's spatial_ref_sys): both come across."""
import pytest

EXTENSION = {
    "midflight_toyref.control": "comment = 'for tests of midflight'\ndefault_version = '1.0'\nrelocatable = true\n",
    "midflight_toyref--1.0.sql": "CREATE TABLE ref_sys (srid int PRIMARY KEY, name text);\n"
                                 "INSERT INTO ref_sys SELECT i, 'std ' || i FROM generate_series(1, 500) i;\n"
                                 "SELECT pg_catalog.pg_extension_config_dump('ref_sys', 'WHERE NOT (srid BETWEEN 1 AND 500)');\n",
}
pytestmark = pytest.mark.parametrize("versions", [(13, 13)])  # of ours alone: its directories may be written to


@pytest.fixture
def toyref(source, target):
    folder = source.server.bin.parent / "share" / "postgresql" / "extension"
    for name, text in EXTENSION.items():
        (folder / name).write_text(text)
    source.execute("CREATE EXTENSION midflight_toyref; CREATE TABLE t (id int PRIMARY KEY, srid int REFERENCES ref_sys)")
    source.execute("INSERT INTO ref_sys VALUES (90001, 'mine'); UPDATE ref_sys SET name = 'changed' WHERE srid = 7; INSERT INTO t VALUES (1, 90001)")


@pytest.mark.parametrize("made_before", [False, True])
def test_configuration_of_an_extension_is_copied_whole(toyref, source, target, migration, made_before):
    if made_before:
        target.execute("CREATE EXTENSION midflight_toyref")
    m = migration(source, target)
    found = m.call("check", "--json", expect=0).out
    assert "extension-config" in found and "target-rows" not in found
    m.start()
    m.wait_phase("synced")
    everything = "SELECT srid, name FROM ref_sys ORDER BY 1"
    assert target.rows(everything) == source.rows(everything)
    assert target.value("SELECT count(*) FROM midflight.quarantine") == 0
    m.call("verify")
    m.call("cutover")


def test_rows_of_others_in_it_are_left_alone(toyref, source, target, migration):
    target.execute("CREATE EXTENSION midflight_toyref; INSERT INTO ref_sys VALUES (90002, 'theirs')")
    m = migration(source, target)
    assert "target-rows" in m.call("check", "--json", expect=3).out
    assert target.value("SELECT count(*) FROM ref_sys") == 501
