"""The source's half of the PostgreSQL connector, driven without the rest of midflight (tests/drive/pgread.c)."""
from __future__ import annotations

import json
import os
import subprocess

from harness.pgdrive import TOP, Refused


class Read:
    """One process, one database; commands are methods: r.catalog(), r.plan(table="public.t", rows=1000). Not for use
    from several threads. side "face": a source behind a face, which shows values in canonical form."""

    def __init__(self, url: str, *, migration: str = "test", side: str = "source", fault: str | None = None):
        build = os.environ.get("MIDFLIGHT_BUILD", TOP / "build")
        environment = dict(os.environ) | ({"MIDFLIGHT_FAULT": fault} if fault else {})
        self.process = subprocess.Popen(
            [f"{build}/tests/drive/pgread", migration, url] + ([] if side == "source" else [side]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def __getattr__(self, op: str):
        def call(**named) -> dict:
            self.process.stdin.write(json.dumps({"op": op, **named}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"pgread ended with {self.process.wait()}")
            reply = json.loads(line)
            if not reply["ok"]:
                raise Refused(reply)
            return reply

        return call

    def read_until_now(self, *, quiet: bool = False, wait_ms: int = 60000) -> dict:
        """What the stream has up to a heartbeat written now."""
        return self.read(until=self.heartbeat(marker="now")["position"], wait_ms=wait_ms, quiet=quiet)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
