"""Reads by flag: the sample application with OpenFeature's own SDK between two databases, and what takes reads back."""
import http.client
import json
import threading
import time
from pathlib import Path

import pytest

from harness.cassandra import driver
from harness.flagapp import App as SampleApp
from harness.midflight import OK, REFUSED
from harness.mongo_servers import driver as pymongo_driver
from harness.servers import free_port, wait_for

TOKEN = "a token for the tests, 0123456789"
CUSTOMERS = 100
MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579,
                      2870177450012600261)


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 of less than 32 bytes, written from its description: the judge of who is in."""
    def turn(x, by):
        return ((x << by) | (x >> (64 - by))) & MASK
    assert len(data) < 32
    h, i = (seed + P5 + len(data)) & MASK, 0
    while i + 8 <= len(data):
        lane = turn(int.from_bytes(data[i:i + 8], "little") * P2 & MASK, 31) * P1 & MASK
        h, i = (turn(h ^ lane, 27) * P1 + P4) & MASK, i + 8
    if i + 4 <= len(data):
        h, i = (turn(h ^ (int.from_bytes(data[i:i + 4], "little") * P1 & MASK), 23) * P2 + P3) & MASK, i + 4
    for byte in data[i:]:
        h = turn(h ^ (byte * P5 & MASK), 11) * P1 & MASK
    h = (h ^ (h >> 33)) * P2 & MASK
    h = (h ^ (h >> 29)) * P3 & MASK
    return h ^ (h >> 32)


def expected(percent: int) -> list[int]:
    seed = xxh64(b"test")
    return [n for n in range(1, CUSTOMERS + 1) if xxh64(f"customer:{n}".encode(), seed) % 10000 < percent * 100]


class Flags:
    """The protocol by hand, for exact statuses and headers."""

    def __init__(self, port: int):
        self.port = port

    def ask(self, path: str, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body),
                               {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}",
                                **{name.replace("_", "-"): value for name, value in headers.items()}})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get("Content-Type") == "application/json"
            return answer.status, json.loads(text) if is_json else None, answer.headers
        finally:
            connection.close()

    def one(self, flag: str, customer: int = 1):
        status, document, _ = self.ask(f"/ofrep/v1/evaluate/flags/{flag}", {"context": {"targetingKey": f"customer:{customer}"}})
        return document["value"] if status == 200 else document["errorCode"]

    def readers_of_target(self) -> list[int]:
        answers = {n: self.one("midflight.reads", n) for n in range(1, CUSTOMERS + 1)}
        assert set(answers.values()) <= {True, False}, answers
        return [n for n, value in answers.items() if value]


class Events:
    """What /v1/events tells, as it comes."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self.connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
        self.answer = self.connection.getresponse()
        self.seen: list[tuple[str, dict]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        name = ""
        try:
            for line in self.answer:
                word, _, rest = line.decode().strip().partition(": ")
                if word == "event":
                    name = rest
                elif word == "data":
                    self.seen.append((name, json.loads(rest)))
        except (OSError, http.client.HTTPException, ValueError):
            pass  # the run has ended

    def of(self, name: str) -> list[dict]:
        return [facts for event, facts in list(self.seen) if event == name]


@pytest.fixture
def shop(own_server, migration, tmp_path):
    """Synced and verified, with the API on TCP; the application is started by app()."""
    class Shop:
        apps = []

        def app(self):
            self.apps.append(SampleApp(self.port, self.source.url(), self.target.url(), tmp_path, TOKEN, CUSTOMERS))
            return self.apps[-1]

        def run(self, **config):
            self.m = migration(self.source, self.target)
            self.m.configure(api={"listen": f"127.0.0.1:{self.port}", "token": TOKEN}, **config)
            self.m.start()
            self.m.wait_phase("synced")
            return self.m
    s = Shop()
    s.source = own_server(15, name="source").create_database("shop")
    s.target = own_server(15, name="target").create_database("shop")
    s.port = free_port()
    s.flags = Flags(s.port)
    s.source.execute("CREATE TABLE visit (customer int, number int, PRIMARY KEY (customer, number));"
                     "CREATE TABLE narrow (id int PRIMARY KEY, v text)")
    yield s
    s.target.server.resume()
    for app in s.apps:
        if app.process.poll() is None:
            app.process.kill()


def taken_back(m, timeout: float = 60) -> dict:
    status = m.wait(lambda s: s["reads"]["taken_back"] and s["reads_percent"] == 0, timeout, "reads to be taken back")
    return status["reads"]


def test_the_sample_application_moves_with_its_flags(shop):
    m = shop.run()
    app = shop.app()
    assert app.next_round()["reads"] == {"source": CUSTOMERS, "target": 0}
    m.call("verify")
    m.call("reads", "20")
    first, second = app.next_round(), app.next_round()
    assert first["from_target"] == second["from_target"] == expected(20)  # sticky
    assert first["writes"] == {"source": CUSTOMERS}
    m.call("reads", "30")
    assert app.next_round()["from_target"] == expected(30)
    assert set(expected(20)) <= set(expected(30))
    assert m.status()["reads_percent"] == 30 and m.metrics()["midflight_reads_percent"] == 30
    m.call("rollback")  # before a cutover: the reads
    assert shop.flags.readers_of_target() == []  # by the next question
    assert app.next_round()["reads"]["target"] == 0
    m.call("reads", "20")
    m.call("cutover")
    assert len(shop.flags.readers_of_target()) == CUSTOMERS  # reads go with the writes
    moved = app.next_round()
    assert moved["writes"] == {"target": CUSTOMERS} and moved["reads"]["source"] == 0
    assert m.status()["reads_percent"] == 100
    m.call("rollback")
    assert shop.flags.readers_of_target() == [] and shop.flags.one("midflight.writes") == "source"
    back = app.next_round()
    assert back["writes"] == {"source": CUSTOMERS} and back["reads"]["target"] == 0
    written = app.stop()
    # Nothing acknowledged is lost, and who wrote reads what it wrote wherever reads are at home.
    assert shop.source.value("SELECT count(*) FROM visit") >= written > 0
    assert all(line["stale"].get("source", 0) == 0 for line in app.lines if line["writes"] == {"source": CUSTOMERS})
    assert all(line["stale"].get("target", 0) == 0 for line in app.lines if line["writes"] == {"target": CUSTOMERS})
    counts = m.metrics()
    assert counts['midflight_flag_evaluations_total{flag="reads",result="target"}'] >= 2 * len(expected(20))
    assert counts['midflight_flag_evaluations_total{flag="writes",result="target"}'] >= CUSTOMERS


def test_the_protocol_as_its_description_has_it(shop):
    m = shop.run()
    m.call("verify")
    m.call("reads", "20")
    key = {"context": {"targetingKey": f"customer:{expected(20)[0]}"}}
    everything = "/ofrep/v1/evaluate/flags"
    status, document, headers = shop.flags.ask(everything, key)
    assert status == 200 and [f["key"] for f in document["flags"]] == ["midflight.reads", "midflight.writes", "midflight.writes-on-target"]
    assert [f["value"] for f in document["flags"]] == [True, "source", False]
    status, document, again = shop.flags.ask(everything, key, If_None_Match=headers["ETag"])
    assert status == 304 and document is None and again["ETag"] == headers["ETag"]
    m.call("reads", "0")
    status, document, changed = shop.flags.ask(everything, key, If_None_Match=headers["ETag"])
    assert status == 200 and document["flags"][0]["value"] is False and changed["ETag"] != headers["ETag"]
    one = "/ofrep/v1/evaluate/flags/midflight.reads"
    assert shop.flags.ask(one, "{")[:2] == (400, {"key": "midflight.reads", "errorCode": "PARSE_ERROR", "errorDetails": "the body is not JSON (line 1, column 1)"})
    assert shop.flags.ask(one, {"context": {}})[1]["errorCode"] == "TARGETING_KEY_MISSING"
    assert shop.flags.ask(one, {"context": 1})[1]["errorCode"] == "INVALID_CONTEXT"
    assert shop.flags.ask(one + "x", key)[:2] == (404, {"key": "midflight.readsx", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "there is no such flag"})
    assert shop.flags.ask(one, key, Authorization="Bearer wrong")[0] == 401
    assert shop.flags.ask(one, key, Authorization="", X_API_Key=TOKEN)[0] == 200
    assert shop.flags.ask(one, key, Content_Type="text/plain")[0] == 415
    assert shop.flags.ask(one, {"context": {"targetingKey": "a", "pad": "x" * 70000}})[0] == 413
    m.call("freeze")  # nobody may write: no answer, and reads have theirs
    assert shop.flags.one("midflight.writes") == shop.flags.one("midflight.writes-on-target") == "GENERAL"
    assert shop.flags.one("midflight.reads") is False
    m.call("thaw")
    assert shop.flags.one("midflight.writes") == "source"


def test_the_share_is_refused_with_its_reason(shop):
    shop.m = m = shop.run(reads={"max_lag": "3s", "require_verified": True})
    result = m.call("reads", "20", expect=REFUSED)
    assert "have not been compared" in result.err and "reads.require_verified" in result.err
    m.call("verify")
    shop.target.execute("ALTER TABLE narrow ADD CHECK (length(v) < 4)")
    shop.source.execute("INSERT INTO narrow VALUES (1, 'too long')")
    m.wait(lambda s: s["quarantine"]["rows"] == 1, 60, "the refused row")
    assert "1 rows are in quarantine" in m.call("reads", "20", expect=REFUSED).err
    shop.source.execute("DELETE FROM narrow")
    m.wait(lambda s: s["quarantine"]["rows"] == 0, 60, "the row to be gone")
    m.call("verify")
    m.call("reads", "20", expect=OK)
    m.call("reads", "0")
    with shop.target.connect() as c, c.transaction():  # replay waits behind this lock
        c.execute("LOCK TABLE narrow IN EXCLUSIVE MODE")
        shop.source.execute("INSERT INTO narrow VALUES (2, 'two')")
        m.wait(lambda s: s["stream"]["lag_seconds"] > 3.5, 60, "the lag")
        assert "s behind; reads.max_lag allows 3.0 s" in m.call("reads", "20", expect=REFUSED).err
    m.wait(lambda s: s["stream"]["lag_seconds"] < 1, 60, "to catch up")
    m.call("reads", "20")


def test_reads_are_taken_back_by_themselves_from_a_target_that_lags(shop):
    m = shop.run(reads={"max_lag": "3s"})
    app = shop.app()
    told = Events(shop.port)
    m.call("verify")
    m.call("reads", "20")
    assert app.next_round()["from_target"] == expected(20)
    with shop.target.connect() as c, c.transaction():
        c.execute("LOCK TABLE visit IN EXCLUSIVE MODE")  # reads go on, replay does not
        why = taken_back(m)
        assert why["asked_percent"] == 20 and "reads.max_lag allows 3.0 s" in why["taken_back"], why
        assert app.next_round()["reads"]["target"] == 0
    m.wait_log("taken back: 0 % of reads on the target")
    wait_for(lambda: any(e["reads_percent"] == 0 and "reads.max_lag" in (e["taken_back"] or "") for e in told.of("reads")), 60, "the event")
    m.wait(lambda s: s["stream"]["lag_seconds"] < 1, 60, "to catch up")
    assert "taken back from 20 %" in m.call("status").out
    looks = m.metrics()["midflight_transactions_applied_total"]
    m.wait(lambda s: m.metrics()["midflight_transactions_applied_total"] > looks + 100, 60, "some time of good health")
    assert m.status()["reads_percent"] == 0 and m.metrics()["midflight_reads_asked_percent"] == 20  # it does not come back by itself
    m.call("reads", "20")
    assert m.status()["reads"]["taken_back"] is None
    assert app.next_round()["from_target"] == expected(20)
    app.stop()


def test_a_target_that_does_not_answer_serves_nothing_though_the_control_thread_waits_for_it(shop):
    """And with restore_after the share comes back once all has been well for that long."""
    m = shop.run(reads={"max_lag": "3s", "restore_after": "1s"})
    m.call("verify")
    m.call("reads", "20")
    assert shop.flags.readers_of_target() == expected(20)
    shop.target.server.pause()
    began = time.monotonic()
    # Nothing is written, so nothing lags: it is its silence that counts.
    wait_for(lambda: shop.flags.readers_of_target() == [], 60, "no read to go to the target")
    # Every question was answered meanwhile, at once but for a busy machine.
    begin = time.monotonic()
    shop.flags.one("midflight.writes")
    assert time.monotonic() - begin < 10 and shop.flags.one("midflight.writes") == "source"
    assert time.monotonic() - began < 60
    assert m.status()["reads_percent"] == 0
    m.wait_log("taken back: 0 % of reads on the target")
    assert "has not answered" in m.status()["reads"]["taken_back"] or "behind" in m.status()["reads"]["taken_back"]
    shop.target.server.resume()
    m.wait(lambda s: s["reads_percent"] == 20, 90, "the share to come back")
    assert shop.flags.readers_of_target() == expected(20)
    assert "given back: 20 % of reads on the target" in m.log_text()


def test_a_rollback_takes_reads_back_from_a_target_that_does_not_answer(shop):
    """At once for the application, and the command ends."""
    m = shop.run(reads={"max_lag": "1h"})
    m.call("verify")
    m.call("reads", "20")
    assert shop.flags.readers_of_target() == expected(20)
    shop.target.server.pause()
    m.call("rollback")
    assert shop.flags.readers_of_target() == [] and m.status()["reads_percent"] == 0
    shop.target.server.resume()
    m.call("reads", "20")


def test_after_a_cutover_the_source_is_the_side_that_follows(shop):
    m = shop.run()
    m.call("verify")
    m.call("cutover")
    assert "have not been compared" in m.call("reads", "80", expect=REFUSED).err  # in this direction
    m.call("verify")
    m.call("reads", "80")
    assert shop.flags.readers_of_target() == expected(80)
    m.call("reads", "100")
    assert len(shop.flags.readers_of_target()) == CUSTOMERS
    m.call("reads", "80")
    m.call("rollback")
    assert shop.flags.readers_of_target() == [] and m.status()["reads_percent"] == 0
    m.call("cutover")  # what was asked for before writes moved is forgotten
    assert len(shop.flags.readers_of_target()) == CUSTOMERS and m.status()["reads"]["asked_percent"] == 100


def test_a_proof_gone_bad_takes_reads_back(shop):
    m = shop.run()
    shop.source.execute("INSERT INTO narrow SELECT i, 'v' FROM generate_series(1, 50) i")
    m.call("verify")
    m.call("reads", "20")
    shop.target.execute("SET session_replication_role = replica; UPDATE narrow SET v = 'x' WHERE id = 7")
    why = taken_back(m)
    assert "somebody else has written to the target" in why["taken_back"], why
    assert "somebody else" in m.call("reads", "20", expect=REFUSED).err
    m.call("verify", "--repair", expect=(0, 4))
    m.call("verify")
    m.call("reads", "20")


def test_the_share_outlives_a_crash_and_its_guard_comes_first(shop):
    m = shop.run(reads={"max_lag": "1h"})
    m.call("verify")
    m.call("reads", "20")
    m.restart()
    m.wait_phase("synced")
    wait_for(lambda: shop.flags.readers_of_target() == expected(20), 60, "the share")
    m.kill()
    m.configure(reads={"max_lag": "2s"})
    shop.source.execute("INSERT INTO visit VALUES (1, 1)")
    with shop.target.connect() as c, c.transaction():
        c.execute("LOCK TABLE visit IN EXCLUSIVE MODE")  # what was written meanwhile does not come
        m.start()
        m.wait_phase("synced")
        m.wait_log("taken back: 0 % of reads on the target")  # status says so before, too: of a guard that has not looked yet
        assert taken_back(m)["asked_percent"] == 20
        assert shop.flags.readers_of_target() == []
    m.kill()  # taken back is taken back
    m.start()
    m.wait_phase("synced")
    assert m.status()["reads"]["taken_back"] and shop.flags.readers_of_target() == []


def test_who_may_write_is_not_guessed(shop):
    """Before the databases have been asked nobody knows; the flags say so, and answer as soon as it is known."""
    m = shop.run()
    m.call("verify")
    m.call("cutover")
    assert shop.flags.one("midflight.writes") == "target"
    m.kill()
    m.start(fault="migration.writers=error")
    wait_for(lambda: m.running() and _listens(shop), 60, "the API")
    seen = set()
    def answered():
        seen.add((shop.flags.one("midflight.writes"), shop.flags.one("midflight.reads")))
        return ("target", True) in seen
    wait_for(answered, 90, "an answer")
    assert seen <= {("GENERAL", "GENERAL"), ("GENERAL", True), ("target", True)}, seen
    assert ("GENERAL", "GENERAL") in seen, seen


def test_between_the_decision_and_its_end_there_is_no_answer(shop, tmp_path):
    """The source has lost the right to write, the target cannot be opened yet: whoever were told one of them might be wrong."""
    m = shop.run()
    m.call("verify")
    at_hook, go_on = tmp_path / "at_hook", tmp_path / "go_on"
    shop.m.stop()
    m.hook("on_cutover", f"touch {at_hook}; while [ ! -e {go_on} ]; do sleep 0.02; done")
    m.start()
    m.wait_phase("synced")
    wait_for(lambda: m.call("reads", "20", expect=None).exit == 0, 60, "the share")  # replay of this run may not have begun
    done = []
    moving = threading.Thread(target=lambda: done.append(m.call("cutover", expect=None)))
    moving.start()
    try:
        wait_for(at_hook.exists, 60, "the hook")
        assert shop.flags.one("midflight.writes") == "source" and shop.flags.readers_of_target() == expected(20)
        with shop.target.connect() as c, c.transaction():
            c.execute("SELECT * FROM midflight.epoch FOR UPDATE")  # the decision is not made there
            go_on.touch()
            wait_for(lambda: shop.flags.one("midflight.writes") == "GENERAL", 60, "no answer")
            assert m.http("/v1/status")[0] == 200
            assert [shop.flags.one(f"midflight.{f}") for f in ("writes", "writes-on-target", "reads")] == ["GENERAL"] * 3
        wait_for(lambda: shop.flags.one("midflight.writes") == "target", 60, "the answer")
        assert len(shop.flags.readers_of_target()) == CUSTOMERS
    finally:
        go_on.touch()
        moving.join(120)
    assert done[0].exit == OK, str(done[0])


def _listens(shop) -> bool:
    try:
        shop.flags.one("midflight.writes")
        return True
    except OSError:
        return False


def test_the_sample_application_moves_to_cassandra(source, keyspace, migration, tmp_path):
    """The same application with a side of another kind: a fifth of the customers, then everybody."""
    server, name = keyspace()

    class There:
        @staticmethod
        def url(**options) -> str:
            return server.url(name, **options)

    port = free_port()
    source.execute("CREATE TABLE visit (customer int, number int, PRIMARY KEY (customer, number))")
    m = migration(source, There, config={"cutover": {"one_way": True}})
    m.configure(api={"listen": f"127.0.0.1:{port}", "token": TOKEN})
    m.start()
    m.wait_phase("synced")
    modules = [Path(driver().__file__).parents[1]]
    app = SampleApp(port, source.url(), server.url(name), tmp_path, TOKEN, CUSTOMERS, modules=modules)
    try:
        assert app.next_round()["reads"] == {"source": CUSTOMERS, "target": 0}
        m.call("verify")
        m.call("reads", "20")
        assert app.next_round()["from_target"] == expected(20)
        m.call("verify")
        m.call("cutover")
        moved = app.next_round()
        assert moved["writes"] == {"target": CUSTOMERS} and moved["reads"] == {"source": 0, "target": CUSTOMERS}, moved
        written = app.stop()
    finally:
        if app.process.poll() is None:
            app.process.kill()
    there = list(server.cql(f"SELECT count(*) FROM {name}.visit"))[0][0]
    assert there >= written > source.value("SELECT count(*) FROM visit")
    assert all(line["stale"].get("target", 0) == 0 for line in app.lines if line["writes"] == {"target": CUSTOMERS})


def test_the_sample_application_moves_from_documents_to_tables_and_back(own_mongo, mysql_database, migration, tmp_path):
    """Visits that are documents become rows: a fifth of the customers' reads, then everybody, then back; a freeze keeps the writers away, the fence waits for the target."""
    source, target, port = own_mongo("double").create_database("shop"), mysql_database("target", "8.0"), free_port()
    db = source.connect()
    db.create_collection("visit")
    visits = {"collection": f"{source.name}.visit", "to": "visit",
              "columns": [{"path": ["_id", k], "column": k, "type": "int32"} for k in ("customer", "number")]}
    m = migration(source, target, config={"map": [visits], "cutover": {"flag_delay": "500ms", "max_pause": "60s", "max_lag": "10GB"}})
    m.configure(api={"listen": f"127.0.0.1:{port}", "token": TOKEN})
    m.start()
    m.wait_phase("synced")
    app = SampleApp(port, source.url(), target.url(), tmp_path, TOKEN, CUSTOMERS, modules=[Path(pymongo_driver().__file__).parents[1]])
    try:
        assert app.next_round()["reads"] == {"source": CUSTOMERS, "target": 0}
        m.call("verify")
        m.call("reads", "20")
        assert app.next_round()["from_target"] == expected(20)
        m.call("freeze")
        wait_for(lambda: m.status()["frozen"], 60, "the freeze")
        status, _ = m.http("/v1/fence?timeout=30s")
        assert status == 200 and db.visit.count_documents({}) == target.value("SELECT count(*) FROM visit")
        m.call("thaw")
        app.next_round()
        m.call("verify")
        m.call("cutover")
        moved = app.next_round()
        assert moved["writes"] == {"target": CUSTOMERS} and moved["reads"] == {"source": 0, "target": CUSTOMERS}, moved
        m.call("rollback", "--max-pause", "60s")
        back = app.next_round()
        assert back["writes"] == {"source": CUSTOMERS} and back["reads"]["target"] == 0, back
        written = app.stop()
    finally:
        if app.process.poll() is None:
            app.process.kill()
    assert db.visit.count_documents({}) >= written > 0
    assert all(line["stale"].get("source", 0) == 0 for line in app.lines if line["writes"] == {"source": CUSTOMERS})
    db.client.close()
