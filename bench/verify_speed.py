"""verify: midflight against a client that fetches both tables and compares them (two `psql COPY … ORDER BY key` streams
into cmp: about the fastest that can be done with ordinary tools). Same data on both sides, nothing else running.
"""
from __future__ import annotations

import subprocess
import sys
import time

from bulk_copy import wide_table
from common import DEBIAN_BIN, Pgbench, Report, in_turns, log, parser
from stages import open_stage

PSQL = str(DEBIAN_BIN / "psql")


def fetch_and_compare(source, target) -> float:
    with source.connect() as c:
        tables = c.execute("""SELECT c.oid::regclass::text, coalesce((SELECT string_agg(quote_ident(attname), ', ' ORDER BY array_position(i.indkey::int2[], attnum)) FROM pg_attribute JOIN pg_index i ON i.indrelid = attrelid AND indisprimary AND attnum = ANY (indkey) WHERE attrelid = c.oid), '1')
                              FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace""").fetchall()
    begun = time.monotonic()
    for table, key in tables:
        copy = f"COPY (SELECT * FROM {table} ORDER BY {key}) TO STDOUT"
        streams = [subprocess.Popen([PSQL, "-qX", "-d", d.url(), "-c", copy], stdout=subprocess.PIPE) for d in (source, target)]
        fds = [s.stdout.fileno() for s in streams]
        done = subprocess.run(["cmp", f"/dev/fd/{fds[0]}", f"/dev/fd/{fds[1]}"], pass_fds=fds)
        assert done.returncode == 0, f"{table} differs"
        for s in streams:
            s.stdout.close()
            s.wait()
    return time.monotonic() - begun


def main() -> int:
    p = parser("verify against fetching and comparing")
    p.add_argument("--scale", type=int, default=40, help="pgbench's scale; 0 leaves it out")
    p.add_argument("--wide", type=float, default=1.0, help="GB of the wide table; 0 leaves it out")
    a = p.parse_args()
    report = Report("verify_speed", a)
    with open_stage(a) as stage:
        for what, wanted in (("pgbench", a.scale), ("wide", a.wide)):
            if not wanted:
                continue
            source = stage.source.create_database(what)
            log(f"filling {what} ({wanted})")
            if what == "pgbench":
                Pgbench(source.url()).initialize(a.scale)
                # pgbench_history has no key and is empty: leave it
            else:
                with source.connect() as c:
                    wide_table(c, int(a.wide * 1e9))
            target = stage.fresh_target()
            m = stage.midflight(source.url(), target.url(), verify={"jobs": a.jobs})
            m.start()
            m.wait_phase("synced", timeout=1800)
            target.execute("VACUUM ANALYZE")

            def midflight() -> float:
                begun = time.monotonic()
                m.call("verify", timeout=1800)
                return time.monotonic() - begun

            report.add(f"verify, {what}", in_turns({"midflight": midflight, "fetch and compare": lambda: fetch_and_compare(source, target)}, a.runs, a.only),
                       size_mb=source.value("SELECT pg_database_size(current_database()) / 1000000"))
            m.stop()
            m.call("cancel", timeout=120)
            source.drop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
