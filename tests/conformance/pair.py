"""Runs the conformance suite against a source of one kind and a target of another, throw-away servers: pair.py CONFORMANCE SOURCE TARGET [TEST], each
of postgres, 5.7, 8.0, mariadb; cassandra as TARGET."""
from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import cassandra  # noqa: E402
from harness.mysql_servers import APP, MysqlServer  # noqa: E402
from harness.servers import Server  # noqa: E402


def main() -> int:
    program, *kinds = sys.argv[1:4]
    with ExitStack() as stack:
        urls = []
        for kind in kinds:
            if kind == "cassandra":
                # Bounds of this kind are for accounts that are not the administrator's.
                cluster = stack.enter_context(cassandra.Cassandra(auth=True, settings={"column_value_size_fail_threshold": "10KiB"}))
                keyspace = cluster.create_keyspace("conf")
                cluster.cql(f"GRANT ALL ON ALL KEYSPACES TO {cassandra.APP}")
                urls.append(cluster.url(keyspace, user=cassandra.APP))
                continue
            if kind == "postgres":
                server = stack.enter_context(Server(15, settings={
                    "wal_level": "logical", "max_replication_slots": 40, "max_wal_senders": 40}))
            else:
                server = stack.enter_context(MysqlServer(kind, name="conf"))
            urls.append(server.create_database("conf").url())
        return subprocess.call([program, "pair", *urls, *sys.argv[4:]], env=os.environ | {"CONF_APP": APP})


if __name__ == "__main__":
    sys.exit(main())
