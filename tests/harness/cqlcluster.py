"""The CQL client, driven without the rest of midflight (tests/drive/cqlcluster.c)."""
from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

from harness.pgdrive import TOP, Refused


class Cql:
    """One process, one cluster object; commands are methods. Not for use from several threads."""

    def __init__(self, url: str, *, connect_ms: int = 20000, request_ms: int = 60000):
        build = Path(os.environ.get("MIDFLIGHT_BUILD", TOP / "build"))
        self.process = subprocess.Popen([str(build / "tests/drive/cqlcluster"), url, str(connect_ms), str(request_ms)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.answer()
        except BaseException:
            self.close()
            raise

    def send(self, op: str, **named) -> None:
        self.process.stdin.write(json.dumps({"op": op, **named}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"cqlcluster ended with {self.process.wait()}")
        reply = json.loads(line)
        if not reply["ok"]:
            raise Refused(reply)
        return reply

    def __call__(self, op: str, **named) -> dict:
        self.send(op, **named)
        return self.answer()

    def query(self, text: str, **named) -> list:
        return self("query", text=text, **named)["rows"]

    def execute(self, text: str, *values, **named) -> dict:
        return self("execute", text=text, values=list(values), **named)

    def facts(self) -> dict:
        return self("facts")["facts"]

    def stats(self) -> dict:
        return self("facts")["stats"]

    def nodes(self) -> dict:
        """By address."""
        return {n["address"]: n for n in self("nodes")["nodes"]}

    def close(self) -> int:
        """What it ended with: a sanitizer that found something shows in it."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        return self.process.returncode

    def __enter__(self) -> "Cql":
        return self

    def __exit__(self, kind, *_) -> None:
        code = self.close()
        assert kind or code == 0, f"cqlcluster ended with {code}"


class Load:
    """Rows written as long as the block lasts: `with Load(cql, …) as load: …`; load.result is the reply."""

    def __init__(self, cql: Cql, folder: Path, text: str, **named):
        self.cql, self.text, self.named = cql, text, named
        self.until, self.progress = folder / "until", folder / "progress"
        self.result: dict | None = None
        self.error: BaseException | None = None
        self.until.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)

    def acked(self) -> int:
        try:
            return int(self.progress.read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def _run(self) -> None:
        try:
            self.result = self.cql("load", text=self.text, until=str(self.until), progress=str(self.progress),
                                   **{"n": 100_000_000, **self.named})
        except BaseException as error:
            self.error = error

    def __enter__(self) -> "Load":
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.until.touch()
        self.thread.join()
        if self.error:
            raise self.error
