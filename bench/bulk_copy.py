"""Bulk copy: midflight, `pgcopydb clone`, and parallel COPY pipes with the keys built after.

Every contender starts with an empty database and ends with all rows, keys and indexes. midflight is timed to `synced`
(rows, keys, and the stream in step: more than the others do); pgcopydb as it comes, with its tables split alike. The
pipes are given the schema for nothing: only rows and keys are timed.
"""
from __future__ import annotations

import shutil
import subprocess
import sys
import time

from common import DEBIAN_BIN, Pgbench, Report, in_turns, log, parser, run
from stages import open_stage

PSQL = str(DEBIAN_BIN / "psql")


def wide_table(connection, size: int) -> None:
    """One table of about `size` bytes: jsonb, text and numbers; half of the text goes out of line or compresses."""
    connection.execute("""
        CREATE TABLE wide (id bigint PRIMARY KEY, made timestamptz NOT NULL, kind int NOT NULL, price numeric(12, 2), doc jsonb NOT NULL, body text NOT NULL, note text)""")
    rows = max(1, size // 2250)
    step = 20_000
    for first in range(0, rows, step):
        connection.execute(f"""
            INSERT INTO wide
            SELECT i, '2024-01-01'::timestamptz + i * interval '1 second', i % 50, (i % 100000) / 7.0,
                   jsonb_build_object('id', i, 'name', md5(i::text), 'tags', jsonb_build_array(i % 7, i % 11, md5((i + 1)::text)), 'nested', jsonb_build_object('a', i / 3.0, 'b', repeat(md5((i % 97)::text), 8))),
                   (SELECT string_agg(md5((i * 31 + j)::text), ' ') FROM generate_series(1, 45) j), CASE WHEN i % 3 = 0 THEN NULL ELSE md5((i * 7)::text) END
            FROM generate_series({first}, {min(first + step, rows) - 1}) i""")
    connection.execute("VACUUM ANALYZE wide")


def pipes(source, target, jobs: int, form: str) -> float:
    """As many `psql COPY … TO STDOUT | psql COPY … FROM STDIN` at a time as there are jobs: the largest table split
    into page ranges, the others whole, then the keys."""
    with source.connect() as c:
        tables = c.execute("SELECT c.oid::regclass::text, relpages FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY relpages DESC").fetchall()
        keys = c.execute("SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace").fetchall()
    dump = subprocess.run([str(DEBIAN_BIN / "pg_dump"), "--section=pre-data", "-d", source.url()], capture_output=True, text=True, check=True).stdout
    subprocess.run([PSQL, "-qX", "-v", "ON_ERROR_STOP=1", "-d", target.url()], input=dump, text=True, check=True, capture_output=True)
    work = []
    for table, pages in tables:
        parts = jobs if pages > 10_000 else 1
        for part in range(parts):
            low, high = pages * part // parts, pages * (part + 1) // parts
            where = "" if parts == 1 else f" WHERE ctid >= '({low},0)'" + ("" if part == parts - 1 else f" AND ctid < '({high},0)'")
            work.append((pages / parts, f"(SELECT * FROM {table}{where})" if where else table, table))
    work.sort(reverse=True)
    queue, running = list(work), []
    begun = time.monotonic()
    while queue or running:
        while queue and len(running) < jobs:
            _, what, table = queue.pop(0)
            out = subprocess.Popen([PSQL, "-qX", "-d", source.url(), "-c", f"COPY {what} TO STDOUT (FORMAT {form})"], stdout=subprocess.PIPE)
            into = subprocess.Popen([PSQL, "-qX", "-d", target.url(), "-c", f"COPY {table} FROM STDIN (FORMAT {form})"], stdin=out.stdout)
            out.stdout.close()
            running.append((out, into))
        for pair in list(running):
            if pair[1].poll() is not None:
                assert pair[0].wait() == 0 and pair[1].returncode == 0, "a pipe failed"
                running.remove(pair)
        time.sleep(0.005)
    build = [subprocess.Popen([PSQL, "-qX", "-d", target.url(), "-c", f"ALTER TABLE {t} ADD CONSTRAINT {n} {d}"]) for t, n, d in keys]
    assert all(p.wait() == 0 for p in build), "a key failed"
    return time.monotonic() - begun


def main() -> int:
    p = parser("bulk copy against pgcopydb and COPY pipes")
    p.add_argument("--scale", type=int, default=40, help="pgbench's scale; 0 leaves pgbench out")
    p.add_argument("--wide", type=float, default=5.0, help="GB of the wide table; 0 leaves it out")
    a = p.parse_args()
    report = Report("bulk_copy", a)
    with open_stage(a) as stage:
        for what, wanted in (("pgbench", a.scale), ("wide", a.wide)):
            if not wanted:
                continue
            source = stage.source.create_database(what)
            log(f"filling {what} ({wanted})")
            if what == "pgbench":
                Pgbench(source.url()).initialize(a.scale)
            else:
                with source.connect() as c:
                    wide_table(c, int(a.wide * 1e9))
            size = source.value("SELECT pg_database_size(current_database())")
            split = max(1, size // 1_000_000 // a.jobs)
            copied: list[float] = []

            def midflight() -> float:
                target = stage.fresh_target()
                m = stage.midflight(source.url(), target.url())
                begun = time.monotonic()
                m.call("run", "--until", "synced", timeout=3600)
                seconds = time.monotonic() - begun
                m.call("cancel", timeout=120)
                shutil.rmtree(m.dir, ignore_errors=True)
                return seconds

            def pgcopydb() -> float:
                target = stage.fresh_target()
                work = stage.dir / "pgcopydb"
                shutil.rmtree(work, ignore_errors=True)
                return run(["pgcopydb", "clone", "--source", source.url(), "--target", target.url(), "--dir", work, "--table-jobs", a.jobs,
                            "--index-jobs", a.jobs, "--split-tables-larger-than", f"{split} MB"])

            rows = source.value("SELECT sum(n_live_tup) FROM pg_stat_user_tables")
            results = in_turns({"midflight": midflight, "pgcopydb": pgcopydb,
                                "pipes text": lambda: pipes(source, stage.fresh_target(), a.jobs, "text"),
                                "pipes binary": lambda: pipes(source, stage.fresh_target(), a.jobs, "binary")}, a.runs, a.only)
            report.add(f"bulk copy, {what}", results, size_mb=size // 1_000_000, rows=rows, jobs=a.jobs)
            source.drop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
