"""examples/reads-by-flag as a process: the application that asks flags where to read and to write."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from .packages import openfeature
from .servers import TOP, wait_for


class App:
    """The sample application; its lines as they come."""

    def __init__(self, port: int, source: str, target: str, directory, token: str, customers: int, pause: float = 0.05, modules: list = ()):
        """modules: folders with what a side needs besides."""
        path = os.pathsep.join(str(p) for p in [openfeature(), *modules])
        env = {**os.environ, "PYTHONPATH": path, "MIDFLIGHT_TOKEN": token, "NO_PROXY": "127.0.0.1"}
        self.errors = open(directory / "app.err", "wb")
        self.process = subprocess.Popen(
            [sys.executable, str(TOP / "examples" / "reads-by-flag" / "app.py"), "--flags", f"http://127.0.0.1:{port}",
             "--source", source, "--target", target, "--customers", str(customers), "--pause", str(pause)],
            stdout=subprocess.PIPE, stderr=self.errors, env=env, cwd=directory)
        self.lines: list[dict] = []
        self.path = directory / "app.err"
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def next_round(self) -> dict:
        """The first round that begins after this call."""
        seen = len(self.lines)
        def come():
            assert self.process.poll() is None, self.path.read_text(errors="replace")
            return len(self.lines) >= seen + 2
        wait_for(come, 60, "a round of the application")
        return self.lines[seen + 1]

    def stop(self) -> int:
        """Ends it; the visits it was told are written."""
        self.process.terminate()
        self.process.wait(60)
        self.thread.join(60)
        self.errors.close()
        return self.lines[-1]["written"] if self.lines else 0
