"""A whole migration in front of your eyes: two throw-away PostgreSQL servers, a database with pgbench's tables and awkward
types, an application that never stops writing, and everything midflight promises checked from outside at the end.

The application is a role without special powers. It keeps a ledger of every write that was acknowledged to it and a
bank whose total must never change; it follows the cutover as a real one would: a hook writes the new address to a
file. Exit status 0 only when every promise held. Whatever happens, the servers and directories are gone afterwards.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from harness.awkward import AwkwardLoad, awkward_data, awkward_schema  # noqa: E402
from harness.compare import catalog_fingerprint, compare, fingerprint_differences  # noqa: E402
from harness.loads import Bank, Endpoint, Ledger, Pgbench  # noqa: E402
from harness.midflight import CommandFailed, Midflight  # noqa: E402
from harness.servers import PASSWORD, Server, is_alive  # noqa: E402

ROLE = "app"
BEGIN = time.monotonic()
TTY = sys.stdout.isatty()


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGIN:6.1f}s  {text}", flush=True)


class Failed(Exception):
    """A promise did not hold; the demo goes on where it can and ends with a non-zero status."""


class Demo:
    role = ROLE

    def __init__(self, arguments):
        self.arguments = arguments
        self.dir = Path(tempfile.mkdtemp(prefix="midflight-demo-"))
        os.chmod(self.dir, 0o755)
        self.broken: list[str] = []
        self.facts: list[tuple[str, str]] = []
        self.servers: list[Server] = []
        self.midflight: Midflight | None = None
        self.loads: list = []
        self.one_sided: list = []  # loads that know one address only
        self.worst_lag, self.live = 0.0, False
        self.pids: list[int] = []
        self.pauses: list[float] = []

    # -- the stage ---------------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        a = self.arguments
        settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}
        for name, version in (("source", a.source_version), ("target", a.target_version)):
            self.servers.append(Server(version, name=f"demo-{name}-", fsync=True, settings=settings, directory=self.dir).start())
        source, target = self.servers
        for server in self.servers:
            with server.connect() as c:
                c.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
            self.pids.append(server.process.pid)
        self.source = source.create_database("shop", owner=ROLE)
        self.target = target.create_database("shop", owner=ROLE)
        say(f"PostgreSQL {a.source_version} (source, port {source.port}) and {a.target_version} (target, port {target.port}) are up")
        Pgbench(self.source.url(ROLE)).initialize(a.scale)
        with self.source.connect(user=ROLE) as c:
            awkward_schema(c)
            awkward_data(c, 1000, seed=a.seed)
            self.endpoint = Endpoint(self.dir / "address", self.source.url(ROLE))
            self.ledger = Ledger(self.endpoint, clients=4, rate=a.rate, seed=a.seed)
            self.bank = Bank(self.endpoint, accounts=200, clients=2, rate=a.rate / 3, seed=a.seed)
            self.ledger.create(c)
            self.bank.create(c)
        self.before = self.fingerprint(self.source)
        say(f"the source holds pgbench at scale {a.scale} ({a.scale * 100_000:,} accounts) and 60 awkward tables")

    @staticmethod
    def fingerprint(database):
        with database.connect() as c:
            return catalog_fingerprint(c)

    def start_load(self) -> None:
        for load in (self.ledger, self.bank):
            self.loads.append(load.start())
        self.awkward = self.awkward_load(self.source, self.arguments.seed).start()
        self.loads.append(self.awkward)
        self.one_sided.append(self.bench_load())
        say(f"the application writes: ledger, bank, {self.bench_name}, and awkward changes; no pause from here on")

    def awkward_load(self, database, seed: int):
        return AwkwardLoad(database.url(ROLE), seed=seed, pause=0.02)

    bench_name = "pgbench"

    def bench_load(self):
        return Pgbench(self.source.url(ROLE)).start(600, clients=2, rate=self.arguments.rate)

    def compare(self):
        return compare(self.source.url(), self.target.url(), skip={'"awk"."unlogged"'}, sequences="skip", unlogged=False)

    def left_on_target(self) -> list[str]:
        after = self.fingerprint(self.target)
        ours = [f"{kind}: {row}" for kind in after for row in after[kind] if re.search("midflight", str(row))]
        for kind in ("slots", "publications", "subscriptions", "origins", "event triggers", "settings of roles and databases"):
            ours += [f"{kind}: {row}" for row in after[kind]]
        return ours

    # -- watching ----------------------------------------------------------------------------------------------------
    def progress(self, status: dict) -> None:
        copy, stream = status.get("copy") or {}, status.get("stream") or {}
        lag = stream.get("lag_seconds") or 0.0
        if status.get("phase") in ("synced", "cut_over", "rolled_back"):
            self.live = self.live or lag < 1.0  # what piled up while the indexes were built is worked off first
            if self.live:
                self.worst_lag = max(self.worst_lag, lag)
        rows, total = copy.get("rows_done") or 0, copy.get("rows_total") or 0
        share = f"{100 * rows / total:3.0f} %" if total else "    "
        line = (f"{status.get('phase', '?'):<12} rows {rows:>10,} {share}  {copy.get('rows_per_second') or 0:>9,.0f} rows/s  "
                f"changes {stream.get('changes_per_second') or 0:>6,.0f}/s  lag {lag:6.2f} s  acknowledged {self.ledger.stats.acknowledged:>7,}  writes on {status.get('writes', '?')}")
        say(line)

    def wait_phase(self, *phases: str, timeout: float = 150.0) -> dict:
        last = 0.0

        def reached(status):
            nonlocal last
            if time.monotonic() - last > 1.0:
                last = time.monotonic()
                self.progress(status)
            if status["phase"] == "failed":
                raise Failed(f"the migration failed: {status.get('last_error')}")
            return status["phase"] in phases

        return self.midflight.wait(reached, timeout, " or ".join(phases))

    def watch_for(self, seconds: float) -> None:
        """Lets the application run on for a while, watching."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.progress(self.midflight.status())
            for load in self.loads:
                if load.failure:
                    raise Failed(f"{type(load).__name__}: {load.failure}")
            time.sleep(1.0)

    def promise(self, holds, text: str) -> None:
        if not holds:
            self.broken.append(text)
            say(f"BROKEN: {text}")

    def call(self, *command: str, timeout: float = 120.0):
        say("$ midflight " + " ".join(command))
        result = self.midflight.call(*command, timeout=timeout)
        for line in result.out.strip().splitlines()[-4:]:
            say("    " + line)
        return result

    # -- the play ----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self.prepare()
        self.midflight = m = Midflight(
            self.source.url().replace(PASSWORD, "${DEMO_PASSWORD}"), self.target.url().replace(PASSWORD, "${DEMO_PASSWORD}"),
            self.dir / "migration",
            config={"migration": "demo", "copy": {"jobs": 2, "max_load": 0}, "cutover": {"max_pause": "3s"}, "on_ddl": "stop"},
            environment={"DEMO_PASSWORD": PASSWORD})
        m.hook("on_cutover", self.endpoint.switch_script(self.target.url(self.role)))
        m.hook("on_rollback", self.endpoint.switch_script(self.source.url(self.role)))
        self.call("check")
        self.start_load()
        begun = time.monotonic()
        say("$ midflight run &")
        m.start()
        self.wait_phase("catching_up", "synced")
        copied = time.monotonic() - begun
        status = self.wait_phase("synced")
        rows = status["copy"]["rows_done"]
        self.fact("rows copied", f"{rows:,}")
        self.fact("rows/s while copying", f"{rows / copied:,.0f} (schema to last row, {copied:.1f} s)")
        self.watch = self.bank.watch(self.target.url(), every=0.1).start()
        self.watch_for(5)
        self.verify("while both sides change")
        self.settle_source()

        self.move("cutover", "target", self.target)
        self.new_side = self.awkward_load(self.target, self.arguments.seed + 10_000).start()
        self.loads.append(self.new_side)
        self.watch_for(6)
        self.new_side.stop()
        self.loads.remove(self.new_side)
        self.move("rollback", "source", self.source)
        self.watch_for(4)
        self.move("cutover", "target", self.target)
        self.watch_for(4)
        self.finish()

    def fact(self, name: str, value: str) -> None:
        self.facts.append((name, value))

    def verify(self, when: str) -> None:
        result = self.midflight.call("verify", expect=None, timeout=120)
        for line in result.out.strip().splitlines()[-3:]:
            say("    " + line)
        verified = self.midflight.status().get("verify") or {}
        self.promise(result.exit == 0, f"verify {when}: exit {result.exit}\n{result}")
        self.promise((verified.get("rows_differing") or 0) == 0, f"verify {when}: {verified}")
        say(f"verified {when}: {verified.get('tables_equal')} tables equal, {verified.get('rows_compared') or 0:,} rows compared, {verified.get('rows_differing')} differ")

    def settle_source(self) -> None:
        """Ends the two writers that know only one address; the ledger and the bank go through everything."""
        self.awkward.stop()
        self.loads.remove(self.awkward)
        for load in self.one_sided:
            load.stop()
        say(f"awkward changes: {self.awkward.committed:,} transactions; the ledger and the bank go on")

    def move(self, command: str, side: str, database) -> None:
        self.ledger.stats.reset_pause()
        self.call(command)
        status = self.midflight.status()
        self.promise(status["writes"] == side, f"after {command} writes are on {status['writes']}")
        before = self.ledger.stats.acknowledged
        end = time.monotonic() + 20
        while self.ledger.stats.acknowledged < before + 50 and time.monotonic() < end:
            time.sleep(0.02)
        self.promise(self.ledger.stats.acknowledged >= before + 50, f"after {command} the application cannot write on the {side}")
        self.promise(self.endpoint.get() == database.url(self.role), f"after {command} the address is not the {side}'s")
        pause = self.ledger.stats.longest_pause
        self.pauses.append(pause)
        say(f"{command}: writes are on the {side}; clients waited at most {pause * 1000:.0f} ms, midflight says {status.get('pause_ms')} ms")

    def finish(self) -> None:
        """Stops the clock for a comparison of everything with everything, then completes under load."""
        self.ledger.pause()
        self.bank.stop()
        self.loads.remove(self.bank)
        say("the application holds its breath for the final comparison")
        self.drain_reverse()
        for _ in range(3):  # the bank's last transfers may still be on their way back
            result = self.compare()
            if result.equal:
                break
        self.promise(result.equal, f"the sides differ: {result}")
        self.differences = len(result.differences)
        self.rows_compared = result.rows
        self.ledger.unpause()
        self.watch_for(2)
        self.count_changes()
        self.call("complete")
        self.promise(self.midflight.wait_exit(30) == 0, "`midflight run` did not end well after complete")
        status = self.midflight.status()
        self.promise(status["phase"] == "completed", f"the phase is {status['phase']}")
        before = self.ledger.stats.acknowledged
        time.sleep(0.5)
        self.promise(self.ledger.stats.acknowledged > before, "no writes after complete")
        self.ledger.stop()
        self.loads.remove(self.ledger)
        self.check_promises()

    def drain_reverse(self) -> None:
        """Until the last acknowledged write is on the other side: the status may be a moment old."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if not self.ledger.check(self.source.url()):
                return
            time.sleep(0.1)

    def check_promises(self) -> None:
        ledger = self.ledger
        problems = ledger.check(self.target.url())
        self.promise(not problems, f"the ledger: {problems}")
        self.watch.stop()
        with closing(self.target.connect()) as c:
            self.promise(self.bank.check_snapshot(c, full=True) is None, f"the bank: {self.bank.check_snapshot(c, full=True)}")
        left = fingerprint_differences(self.before, self.fingerprint(self.source))
        left = [l for l in left if not l.startswith("sessions")]
        self.promise(not left, "left behind on the source: " + "; ".join(left[:5]))
        ours = self.left_on_target()
        self.promise(not ours, "left behind on the target: " + "; ".join(ours[:5]))
        unexpected = ledger.stats.unexpected()
        self.promise(not unexpected, f"the clients saw errors that are not the fence's: {unexpected} {ledger.stats.messages}")
        logs = self.midflight.all_logs()
        self.promise(PASSWORD not in logs, "a password is in the log")
        self.fact("changes applied", f"{self.changes:,}")
        self.fact("worst lag once live", f"{self.worst_lag:.2f} s")
        self.fact("longest pause of a client", ", ".join(f"{p * 1000:.0f} ms" for p in self.pauses) + " (cutover, rollback, cutover)")
        self.fact("client errors", f"{sum(unexpected.values())}, and {sum(ledger.stats.errors.values()) - sum(unexpected.values())} writes refused by the fence and tried again")
        self.fact("writes acknowledged", f"{ledger.total_acknowledged():,} in the ledger, {self.bank.transfers:,} transfers")
        self.fact("acknowledged writes missing", str(len(problems.lost) + len(problems.wrong)))
        self.fact("acknowledged writes doubled", str(len(problems.doubled) + len(problems.extra)))
        self.fact("snapshots with the bank's total", f"{self.watch.snapshots:,}, broken {len(self.watch.broken)}")
        self.fact("rows compared from outside", f"{self.rows_compared:,}")
        self.fact("tables differing", str(self.differences))

    def count_changes(self) -> None:
        """Remembers the engine's counters of applied changes, of both directions, while it runs."""
        status = self.midflight.status()
        self.changes = sum(int((status.get(stream) or {}).get("changes_applied") or 0) for stream in ("stream", "other_stream"))

    # -- the end -----------------------------------------------------------------------------------------------------
    def close(self) -> None:
        for load in self.loads:
            load.stopping.set()
        if getattr(self, "watch", None):
            self.watch.stopping.set()
        for load in self.one_sided:
            load.stop()
        if self.midflight:
            if self.midflight.running():
                self.pids.append(self.midflight.process.pid)
            self.midflight.close()
        for load in self.loads:
            for thread in load.threads if hasattr(load, "threads") else [load.thread]:
                thread.join(15)
        for server in self.servers:
            server.destroy()
        if not self.arguments.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        left = [p for p in self.pids if is_alive(p)] + ([str(self.dir)] if self.dir.exists() and not self.arguments.keep else [])
        self.promise(not left, f"the demo left behind: {left}")

    def table(self) -> None:
        width = max((len(n) for n, _ in self.facts), default=0)
        print()
        for name, value in self.facts:
            print(f"  {name:<{width}}  {value}")
        seconds = time.monotonic() - BEGIN
        print(f"\n  {'every promise held' if not self.broken else f'{len(self.broken)} promises BROKEN'} in {seconds:.0f} s", flush=True)
        for text in self.broken:
            print(f"  BROKEN: {text}", flush=True)


def play(demo: Demo) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    try:
        demo.run()
    except (Failed, CommandFailed, AssertionError, TimeoutError, RuntimeError) as error:
        demo.broken.append(f"{type(error).__name__}: {error}")
        say(f"BROKEN: {error}")
    finally:
        demo.close()
    demo.table()
    return 1 if demo.broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="a whole live migration on throw-away servers")
    parser.add_argument("--scale", type=int, default=20, help="pgbench's scale (20)")
    parser.add_argument("--rate", type=float, default=200, help="ledger writes a second (200); the other writers follow it")
    parser.add_argument("--source-version", type=int, default=15)
    parser.add_argument("--target-version", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    return play(Demo(parser.parse_args()))


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    sys.exit(main())
