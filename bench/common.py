"""What all benchmarks share: servers with honest settings, contenders run in turns, figures and ratios, JSON.

Contenders alternate within each round and the order turns with the rounds, so that a machine that grows slower or a
cache that grows warmer is nobody's advantage. Ratios are of medians, and of each round's pair.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from harness.loads import Pgbench  # noqa: E402,F401
from harness.midflight import Midflight, binary  # noqa: E402
from harness.servers import DEBIAN_BIN, PASSWORD, Database, Server, wait_for  # noqa: E402,F401

# A server as a careful DBA of a small machine sets it: durable, with room for a bulk load. Both sides have the same.
SETTINGS = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "off",
    "max_parallel_maintenance_workers": 2,
    "autovacuum": "off",
    "fsync": "on",
    "max_logical_replication_workers": 8,
}


def log(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def parser(description: str, runs: int = 5) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--runs", type=int, default=runs, help="rounds; every contender runs once in each")
    p.add_argument("--version", type=int, default=15, help="PostgreSQL's major version")
    p.add_argument("--jobs", type=int, default=4, help="parallel jobs of every contender")
    p.add_argument("--only", default="", help="contenders, separated by commas (all)")
    p.add_argument("--dir", default=None, help="where the throw-away servers live (the temporary directory)")
    p.add_argument("--out", default=str(TOP / "build" / "bench"), help="where the JSON goes")
    return p


class Stage:
    """A source and a target server in a throw-away directory; gone at the end, whatever happened."""

    def __init__(self, arguments, **settings):
        self.dir = Path(tempfile.mkdtemp(prefix="midflight-bench-", dir=arguments.dir))
        os.chmod(self.dir, 0o755)
        self.servers: list[Server] = []
        self.source = self._start(arguments.version, "source", settings)
        self.target = self._start(arguments.version, "target", settings)
        self.count = 0

    def _start(self, version, name, settings) -> Server:
        server = Server(version, name=f"bench-{name}-", settings={**SETTINGS, **settings}, fsync=True, directory=self.dir)
        self.servers.append(server)
        return server.start()

    def fresh_target(self, name: str = "bench") -> Database:
        """An empty database on the target, with the last one's files and dirty pages out of the way."""
        with self.target.connect() as c:
            c.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            c.execute("CHECKPOINT")
        database = self.target.create_database(name)
        with self.source.connect() as c:
            c.execute("CHECKPOINT")
        os.sync()
        return database

    def midflight(self, source: str, target: str, **config) -> Midflight:
        self.count += 1
        return Midflight(source, target, self.dir / f"midflight{self.count}",
                         config={"migration": "bench", "copy": {"jobs": 4, "max_load": 0}, **config})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.destroy()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(arguments: list[str], **named) -> float:
    """Runs a command; the seconds it took. Shows what it said when it failed."""
    begun = time.monotonic()
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, **named)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return time.monotonic() - begun


def in_turns(contenders: dict, runs: int, only: str = "", before=None) -> dict[str, list[float]]:
    """contenders: name → function returning seconds (or any figure). Results by name."""
    names = [n for n in contenders if not only or n in only.split(",")]
    results: dict[str, list[float]] = {n: [] for n in names}
    for round_ in range(runs):
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            if before:
                before(name)
            value = contenders[name]()
            results[name].append(value)
            log(f"  round {round_ + 1}/{runs}  {name:<24} {value:9.3f}")
    return results


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def machine() -> dict:
    cpu = next((l.split(":", 1)[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("model name")), "?")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    commit = subprocess.run(["git", "-C", str(TOP), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_mib": memory, "kernel": platform.release(), "commit": commit,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "load_before": os.getloadavg()[0]}


class Report:
    """Figures of one benchmark: printed as a table, saved as JSON."""

    def __init__(self, name: str, arguments):
        self.name, self.out = name, Path(arguments.out)
        self.data = {"benchmark": name, "machine": machine(), "arguments": vars(arguments), "command": " ".join(sys.argv), "results": []}

    def add(self, what: str, results: dict[str, list[float]], us: str = "midflight", unit: str = "s", smaller_is_better: bool = True, **facts) -> None:
        entry = {"what": what, "unit": unit, "runs": results, "ratios": {}, **facts}
        print(f"\n{what}" + "".join(f"  {k}={v}" for k, v in facts.items()))
        print(f"  {'':<24} {'min':>10} {'median':>10} {'max':>10} {unit}")
        for name, values in results.items():
            if values:
                print(f"  {name:<24} {min(values):>10.3f} {statistics.median(values):>10.3f} {max(values):>10.3f}")
        if results.get(us):
            mine = statistics.median(results[us])
            for name, values in results.items():
                if name != us and values:
                    better = (lambda a, b: b / a) if smaller_is_better else (lambda a, b: a / b)
                    ratio = better(mine, statistics.median(values))
                    pairs = [better(a, b) for a, b in zip(results[us], values)]
                    entry["ratios"][name] = {"of_medians": ratio, "pairs": pairs}
                    print(f"  {us} is {ratio:.2f} × {name} (pairs {min(pairs):.2f} to {max(pairs):.2f})")
        self.data["results"].append(entry)
        self.save()

    def figure(self, what: str, **facts) -> None:
        print(f"\n{what}\n" + "\n".join(f"  {k:<28} {v}" for k, v in facts.items()))
        self.data["results"].append({"what": what, **facts})
        self.save()

    def save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.name}.json"
        path.write_text(json.dumps(self.data, indent=1, default=str) + "\n")
