"""kill -9 of midflight, of the source, of the target, at random moments and at each of the MySQL connector's fault points,
under load; in the end everything is there once."""
import random
import time

import pytest

from harness.loads import Bank, Endpoint, Ledger
from harness.midflight import fault_points, unhurried
from harness.mycompare import equal_at_last, fingerprint, left_of_ours, wait_no_sessions
from harness.compare import fingerprint_differences
from harness.myawkward import MysqlAwkwardLoad, awkward_data, connect
from harness.servers import wait_for

SMALL = {"copy": {"jobs": 2, "chunk_bytes": "64kB", "max_load": 0}, "spool": {"segment": "1MB"}, "heartbeat": "1s"}
PAIRS = pytest.mark.parametrize("mysql_versions", [("5.7", "8.0"), ("mariadb", "mariadb")], ids=lambda v: f"{v[0]}to{v[1]}")


def bulk(database, rows: int = 20_000) -> None:
    """A table of many chunks: doubled until it is large enough."""
    database.execute("CREATE TABLE bulk (id int AUTO_INCREMENT PRIMARY KEY, v varchar(40)); INSERT INTO bulk (v) VALUES (md5(1)), (md5(2)), (md5(3)), (md5(4)), (md5(5))")
    while database.value("SELECT count(*) FROM bulk") < rows:
        database.execute("INSERT INTO bulk (v) SELECT md5(rand()) FROM bulk")


def made(source, *loads) -> None:
    bulk(source)
    connection = connect(source)
    for load in loads:
        load.create(connection)
    connection.close()


def judge(ledger, target) -> None:
    problems = ledger.check(target.url())
    assert not problems, str(problems)


@PAIRS
def test_midflight_is_killed_again_and_again(mysql_pair, migration, tmp_path):
    source, target = mysql_pair
    rng = random.Random(5)
    ledger = Ledger(Endpoint(tmp_path / "address", source.url()), clients=2, rate=60, keyless=True)
    bank = Bank(source.url(), accounts=30, clients=2, rate=30)
    made(source, ledger, bank)
    connection = connect(source)
    awkward_data(connection, 60, seed=5)
    connection.close()
    m = migration(source, target, config=SMALL)
    with ledger, bank, MysqlAwkwardLoad(source, seed=5000, pause=10 * unhurried()):
        for _ in range(7):
            m.start()
            time.sleep(rng.uniform(0.02, 1.0))  # not a wait for something: the moment is what is random
            assert m.running(), m.tail()
            m.kill()
        m.start()
        m.wait_phase("synced")
        with bank.watch(target.url()) as watch:
            for _ in range(4):
                time.sleep(rng.uniform(0.05, 0.5))
                m.restart()
            m.wait_phase("synced")
            seen = watch.snapshots
            wait_for(lambda: watch.snapshots > seen + 10, 60, "snapshots of the target")
    equal_at_last(m, source, target)
    judge(ledger, target)
    m.call("verify")


@pytest.mark.parametrize("victim,versions", [("source", ("5.7", "8.0")), ("target", ("5.7", "8.0")), ("source", ("mariadb", "mariadb"))], ids=["source", "target", "mariadb"])
def test_a_server_is_killed_again_and_again(victim, versions, own_mysql, mysql_servers, migration, tmp_path):
    rng = random.Random(victim)
    servers = {side: own_mysql(v, name=side) if side == victim else mysql_servers.get(side, v) for side, v in zip(("source", "target"), versions)}
    source, target = (servers[side].create_database(f"killed_{victim}_{versions[0].replace('.', '')}") for side in ("source", "target"))
    ledger = Ledger(Endpoint(tmp_path / "address", source.url()), clients=2, rate=60)
    made(source, ledger)
    m = migration(source, target, config=SMALL)
    try:
        with ledger:
            m.start()
            for _ in range(5):
                time.sleep(rng.uniform(0.1, 1.0))  # the moment is what is random
                servers[victim].kill()
                servers[victim].start()
                if not m.running():  # it may give up on a server that is gone, and must go on when it is started again
                    m.start()
            m.wait_phase_again("synced")
            done = ledger.stats.acknowledged
            wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 60, "writes")
        equal_at_last(m, source, target)
        judge(ledger, target)
        m.call("cancel")
        m.wait_exit()
    finally:
        for database in (source, target):
            database.drop()
            database.server.drop_book()


# Where each point of the connector is met: while tables are copied, while changes stream, in a cutover, while it cleans up.
COPYING = ["connect", "stream_made", "schema_entry", "chunk_open", "chunk_read", "load_begin", "load_data", "load_commit", "load_committed"]
STREAMING = ["dump", "stream_next", "stream_ack", "heartbeat", "window_begin", "window_commit", "window_committed"]
CUTOVER = ["held", "decided"]
CLEANING = ["streams_dropped"]
ELSEWHERE = ["trigger_up", "trigger_down"]  # test_my_triggers.py


@PAIRS
def test_killed_at_each_fault_point(mysql_pair, migration, tmp_path):
    """One migration from end to end, killed at every point on its way; where changes stream also later than at the first."""
    assert sorted(COPYING + STREAMING + CUTOVER + CLEANING + ELSEWHERE) == sorted({p.removeprefix("mysql.") for p in fault_points() if p.startswith("mysql.")})
    source, target = mysql_pair
    endpoint = Endpoint(tmp_path / "address", source.url())
    ledger = Ledger(endpoint, clients=2, rate=60, keyless=True)
    made(source, ledger)
    before = fingerprint(source)
    m = migration(source, target, config=SMALL)
    m.hook("on_cutover", endpoint.switch_script(target.url()))

    def killed(point: str, hit: int) -> None:
        assert m.wait_exit() == -9, f"mysql.{point}:{hit}\n{m.tail()}"

    with ledger:
        for point in COPYING:
            m.start(fault=f"mysql.{point}=kill")
            killed(point, 1)
        m.start()
        m.wait_phase("synced")
        m.kill()
        for point in STREAMING:
            for hit in (1, 4):
                if hit == 4 and point == "dump":
                    continue
                m.start(fault=f"mysql.{point}:{hit}=kill")
                killed(point, hit)
        m.start()
        m.wait_phase("synced")
        m.call("verify")
        m.kill()
        for point in CUTOVER:
            m.start(fault=f"mysql.{point}=kill")
            m.wait(lambda s: s["streams_open"], 60, "streams")
            m.call("verify", expect=None)
            m.call("cutover", expect=None)
            killed(point, 1)
        m.start()
        m.wait_phase("synced", "cut_over")
        if m.status()["writes"] == "source":
            m.call("verify")
            m.call("cutover")
        done = ledger.stats.acknowledged
        wait_for(lambda: ledger.failure or ledger.stats.acknowledged > done + 30, 60, "writes on the new side")
    equal_at_last(m, source, target)
    judge(ledger, target)
    for point in CLEANING:
        m.restart(fault=f"mysql.{point}=kill")
        m.wait_phase("cut_over")
        m.call("complete", expect=None)
        killed(point, 1)
    m.call("complete", expect=None)
    assert m.status()["phase"] == "completed"
    wait_no_sessions(source)
    left = [line for line in fingerprint_differences(before, fingerprint(source)) if not line.startswith("sessions: gone")]
    assert not left and not left_of_ours(target), (left, left_of_ours(target))
