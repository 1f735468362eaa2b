"""A session of the source that lies about the time (SET TIMESTAMP), of a server whose log has no time but that one, and a target that keeps the last write: an
application's later write there stands, and the cutover is possible."""
import time

import pytest

from harness.cassrun import begin
from harness.servers import wait_for

CUTOVER = {"reverse": {"pause": "200ms", "max_pause": "40s"}, "cutover": {"max_pause": "20s", "flag_delay": "500ms"}, "heartbeat": "1s"}


@pytest.mark.parametrize("version", ["5.7", "mariadb"])
def test_a_session_that_is_a_year_ahead(mysql_database, migration, into, version):
    there = into()
    t = f"{there.name}.t"
    source = mysql_database("source", version)
    source.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(20)); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    m = begin(migration, source, there, **CUTOVER)
    m.start()
    m.wait_phase("synced")
    year = int(time.time()) + 365 * 86400
    source.execute(f"SET TIMESTAMP = {year}; UPDATE t SET v = 'lie' WHERE id = 1; SET TIMESTAMP = DEFAULT; UPDATE t SET v = 'truth' WHERE id = 2")
    wait_for(lambda: there.value(f"SELECT v FROM {t} WHERE id = 2") == "truth", 60, "the stream")
    written = dict(there.rows(f"SELECT id, writetime(v) FROM {t}"))
    assert max(written.values()) <= (time.time() + 1) * 1e6, written
    assert written[2] > written[1] > written[3]
    wait_for(lambda: "a commit a time" in m.log_text(), 60, "the warning")
    there.execute(f"UPDATE {t} SET v = 'application' WHERE id = 2")
    assert there.value(f"SELECT v FROM {t} WHERE id = 2") == "application"
    second = int(time.time())
    wait_for(lambda: int(time.time()) > second, 60, "the next second")  # no time in those logs is finer
    source.execute("UPDATE t SET v = 'again' WHERE id = 2")
    wait_for(lambda: there.value(f"SELECT v FROM {t} WHERE id = 2") == "again", 60, "the stream")
    m.call("verify")
    m.call("cutover")
    there.execute(f"UPDATE {t} SET v = 'after' WHERE id = 1")
    assert there.value(f"SELECT v FROM {t} WHERE id = 1") == "after"
    wait_for(lambda: source.value("SELECT v FROM t WHERE id = 1") == "after", 60, "the way back")
