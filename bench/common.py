"""What all benchmarks share: contenders run in turns, figures and ratios, JSON. The servers are in stages.py.

Contenders alternate within each round and the order turns with the rounds, so that a machine that grows slower or a
cache that grows warmer is nobody's advantage. Ratios are of medians, and of each round's pair.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from harness.loads import Pgbench  # noqa: E402,F401
from harness.servers import DEBIAN_BIN, PASSWORD, wait_for  # noqa: E402,F401

def log(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def parser(description: str, runs: int = 5, engines: tuple = ("postgres",)) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--runs", type=int, default=runs, help="rounds; every contender runs once in each")
    p.add_argument("--engine", choices=engines, default=engines[0])
    p.add_argument("--versions", default=None, help="of the source and the target, with a comma; one for both (postgres: 15, mysql: 5.7,8.0)")
    p.add_argument("--jobs", type=int, default=4, help="parallel jobs of every contender")
    p.add_argument("--only", default="", help="contenders, separated by commas (all)")
    p.add_argument("--dir", default=None, help="where the throw-away servers live (the temporary directory)")
    p.add_argument("--out", default=str(TOP / "build" / "bench"), help="where the JSON goes")
    return p


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
        self.name, self.out = name + ("" if arguments.engine == "postgres" else f"_{arguments.engine}"), Path(arguments.out)
        self.data = {"benchmark": name, "machine": machine(), "arguments": vars(arguments), "command": " ".join(sys.argv), "results": []}

    def versions(self, **versions: str) -> None:
        """What was compared: printed first and kept with the figures."""
        self.data["versions"] = versions
        print("versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()), flush=True)

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
                    share = lambda a, b: a / b if b else float("inf")  # noqa: E731
                    better = (lambda a, b: share(b, a)) if smaller_is_better else share
                    ratio = better(mine, statistics.median(values))
                    pairs = [better(a, b) for a, b in zip(results[us], values)]
                    entry["ratios"][name] = {"of_medians": ratio, "pairs": pairs}
                    print(f"  {us} is {ratio:.2f} × {name} (pairs {min(pairs):.2f} to {max(pairs):.2f})")
        self.data["results"].append(entry)
        self.save()

    def figure(self, what: str, **facts) -> None:
        print(f"\n{what}\n" + "\n".join(f"  {k:<28} {round(v, 1) if isinstance(v, float) else v}" for k, v in facts.items()))
        self.data["results"].append({"what": what, **facts})
        self.save()

    def save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.name}.json"
        path.write_text(json.dumps(self.data, indent=1, default=str) + "\n")
