"""MySQL 5.7 becomes 8.0 in front of your eyes: the play of demo.py on two throw-away MySQL servers, with sysbench's write-only load
beside the ledger and the bank.

The application is an account with rights on rows only. Exit status 0 only when every promise held.
"""
from __future__ import annotations

import argparse
import sys
import threading
from contextlib import closing

from demo import Demo, play, say
from harness.loads import Bank, Endpoint, Ledger
from harness.myawkward import MysqlAwkwardLoad, awkward_data, connect
from harness.mycompare import compare, fingerprint, left_of_ours
from harness.mysql_servers import APP, MysqlServer
from harness.sysbench import Sysbench


class MysqlDemo(Demo):
    bench_name = "sysbench"

    def prepare(self) -> None:
        a = self.arguments
        for name, version in (("source", a.source_version), ("target", a.target_version)):
            self.servers.append(MysqlServer(version, name=f"demo-{name}-", fsync=True, directory=self.dir).start())
            self.pids.append(self.servers[-1].process.pid)
        self.source, self.target = (server.create_database("shop") for server in self.servers)
        say(f"MySQL {a.source_version} (source, port {self.servers[0].port}) and {a.target_version} (target, port {self.servers[1].port}) are up")
        Sysbench(self.source).prepare(a.tables, a.size)
        with closing(connect(self.source)) as c:
            awkward_data(c, 500, seed=a.seed)
        self.endpoint = Endpoint(self.dir / "address", self.source.url(APP))
        self.ledger = Ledger(self.endpoint, clients=4, rate=a.rate, seed=a.seed)
        self.bank = Bank(self.endpoint, accounts=200, clients=2, rate=a.rate / 3, seed=a.seed)
        with closing(self.source.connect()) as c:
            self.ledger.create(c)
            self.bank.create(c)
        self.before = self.fingerprint(self.source)
        say(f"the source holds {a.tables} tables of sysbench with {a.size:,} rows each and awkward tables of every type")

    role = APP

    @staticmethod
    def fingerprint(database):
        return fingerprint(database)

    def awkward_load(self, database, seed: int):
        return MysqlAwkwardLoad(database, seed=seed, truncate=False, pause=0.05)

    def bench_load(self):
        return Sysbench(self.source).start(600, threads=2, rate=self.arguments.rate / 4, tables=self.arguments.tables, size=self.arguments.size)

    def compare(self):
        return compare(self.source, self.target)

    def left_on_target(self) -> list[str]:
        return left_of_ours(self.target)


def main() -> int:
    parser = argparse.ArgumentParser(description="MySQL 5.7 to 8.0, live, on throw-away servers")
    parser.add_argument("--tables", type=int, default=4, help="sysbench's tables (4)")
    parser.add_argument("--size", type=int, default=100_000, help="rows of each (100,000)")
    parser.add_argument("--rate", type=float, default=120, help="ledger writes a second (120); the other writers follow it")
    parser.add_argument("--source-version", default="5.7", choices=("5.7", "8.0", "mariadb"))
    parser.add_argument("--target-version", default="8.0", choices=("5.7", "8.0", "mariadb"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    return play(MysqlDemo(parser.parse_args()))


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    sys.exit(main())
