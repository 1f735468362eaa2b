"""Debian's sysbench against one MySQL database: its write-only transactions, at a rate."""
from __future__ import annotations

import os
import subprocess

from .mysql_servers import APP, ADMIN, MysqlDatabase
from .servers import PASSWORD


class Sysbench:
    def __init__(self, database: MysqlDatabase):
        self.database = database
        self.process: subprocess.Popen | None = None

    def _arguments(self, user: str, tables: int, size: int, *more: str) -> list[str]:
        return ["sysbench", "oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={self.database.server.port}",
                f"--mysql-user={user}", f"--mysql-password={PASSWORD}", f"--mysql-db={self.database.name}", f"--tables={tables}",
                f"--table-size={size}", *more]

    def prepare(self, tables: int, size: int) -> None:
        subprocess.run(self._arguments(ADMIN, tables, size, "prepare"), check=True, capture_output=True, text=True)

    def start(self, seconds: int, threads: int, rate: float, tables: int, size: int) -> "Sysbench":
        self.process = subprocess.Popen(
            self._arguments(APP, tables, size, f"--threads={threads}", f"--rate={int(rate)}", f"--time={seconds}", "run"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=os.environ)
        return self

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
