"""Runs the conformance suite against two databases of a throw-away PostgreSQL 15: postgres.py CONFORMANCE [TEST]."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.servers import Server  # noqa: E402


def main() -> int:
    with Server(15, settings={"wal_level": "logical", "max_replication_slots": 40, "max_wal_senders": 40}) as server:
        source, target = server.create_database("conf_source"), server.create_database("conf_target")
        return subprocess.call([sys.argv[1], "postgres", source.url(), target.url(), *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
