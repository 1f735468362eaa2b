"""Runs the conformance suite against databases of two throw-away servers: mysql.py CONFORMANCE SOURCE TARGET [TEST], with versions
5.7, 8.0, mariadb. The application writes as an account without powers. Environment: CONF_ROW_IMAGE=minimal for a source whose log has only
what changed, CONF_GTID=off for positions in files (MySQL)."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.mysql_servers import APP, MysqlServer  # noqa: E402


def main() -> int:
    program, source, target = sys.argv[1:4]
    gtid = os.environ.get("CONF_GTID", "on") != "off"
    settings = {"binlog-row-image": os.environ.get("CONF_ROW_IMAGE", "full")}
    with MysqlServer(source, name="conf", settings=settings, gtid=gtid) as a, \
         MysqlServer(target, name="conf", settings=settings, gtid=gtid) as b:
        urls = [server.create_database("conf").url() for server in (a, b)]
        return subprocess.call([program, "mysql", *urls, *sys.argv[4:]], env=os.environ | {"CONF_APP": APP})


if __name__ == "__main__":
    sys.exit(main())
