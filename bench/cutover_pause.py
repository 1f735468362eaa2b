"""Cutover without a proxy under a steady load: how long nobody could write, as midflight measures it from inside (fence
to writable target) and as the clients of a ledger felt it. Each round is a cutover and a rollback; both are figures,
and in the end no acknowledged write may be missing or doubled.
"""
from __future__ import annotations

import sys
import time
from contextlib import closing

from common import Report, log, parser, percentile
from stages import open_stage
from harness.loads import Endpoint, Ledger


def main() -> int:
    p = parser("the pause of a cutover", runs=30, engines=("postgres", "mysql"))
    p.add_argument("--rate", type=float, default=1000, help="writes a second")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--between", type=float, default=2, help="seconds of undisturbed load before each move")
    a = p.parse_args()
    report = Report("cutover_pause", a)
    with open_stage(a) as stage:
        report.versions(**stage.versions())
        source, target = stage.application("shop")
        endpoint = Endpoint(stage.dir / "address", source.url(*stage.app))
        ledger = Ledger(endpoint, clients=a.clients, rate=a.rate)
        with closing(stage.owner(source)) as c:
            ledger.create(c)
        m = stage.midflight(source.url(), target.url())
        m.hook("on_cutover", endpoint.switch_script(target.url(*stage.app)))
        m.hook("on_rollback", endpoint.switch_script(source.url(*stage.app)))
        pauses = {"cutover": [], "rollback": []}
        felt = {"cutover": [], "rollback": []}
        with ledger:
            m.start()
            m.wait_phase("synced", timeout=300)
            m.call("verify", timeout=600)
            for round_ in range(a.runs):
                for command in ("cutover", "rollback"):
                    before, began = ledger.stats.acknowledged, time.monotonic()
                    time.sleep(a.between)
                    tps = (ledger.stats.acknowledged - before) / (time.monotonic() - began)
                    ledger.stats.reset_pause()
                    m.call(command, timeout=120)
                    after = ledger.stats.acknowledged
                    while ledger.stats.acknowledged < after + 100:
                        time.sleep(0.01)
                    pauses[command].append(float(m.status()["pause_ms"]))
                    felt[command].append(ledger.stats.longest_pause * 1000)
                    log(f"  round {round_ + 1}/{a.runs}  {command:<9} {pauses[command][-1]:8.1f} ms inside, {felt[command][-1]:8.1f} ms felt, at {tps:,.0f} writes/s")
        where = source
        problems = ledger.check(where.url())
        for command in pauses:
            for kind, values in (("inside", pauses[command]), ("felt by the clients", felt[command])):
                report.figure(f"{command}, {kind}", count=len(values), min_ms=min(values), p50_ms=percentile(values, 0.5), p99_ms=percentile(values, 0.99), max_ms=max(values))
        report.figure("the ledger", acknowledged=ledger.total_acknowledged(), problems=str(problems), unexpected_errors=ledger.stats.unexpected())
        m.call("complete", timeout=60, expect=None)
        m.close()
        return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
