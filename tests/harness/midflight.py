"""The program under test: its configuration, its processes, its commands, its state.

One Midflight object is one migration with one state directory. `start()` runs `midflight run` in the background,
`call()` any other command; both read the same migration.yaml. Every line of output is kept in files and shown when
something fails.
"""
from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .servers import TOP, wait_for

PHASES = ("planned", "copying", "catching_up", "synced", "cut_over", "rolled_back", "completed", "cancelled", "failed")
OK, FAILED, USAGE, REFUSED, DIFFERENT = 0, 1, 2, 3, 4


def binary() -> Path:
    """MIDFLIGHT (the path of the program), else build/midflight."""
    return Path(os.environ.get("MIDFLIGHT", TOP / "build" / "midflight"))


def unhurried() -> float:
    """Seconds between the steps of a load that a migration must keep up with, also where a sanitizer makes the program
    many times slower and other tests use the same cores."""
    return 0.005 if os.environ.get("VARIANT", "plain") == "plain" else 0.05


class SmallDisk:
    """A file system of 24 MB for what is to fill up, taken away at the end even while it is used."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> "SmallDisk":
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(self.path)], check=True)
        return self

    def grow(self) -> None:
        subprocess.run(["mount", "-o", "remount,size=400m", str(self.path)], check=True)

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=False)


def fault_points() -> list[str]:
    """The names of the program's fault points, for sweeps."""
    text = (TOP / "src" / "base" / "fault_points.h").read_text()
    return [name for name in re.findall(r'^MF_FAULT_POINT\(\s*"([a-z_.]+)"', text, re.M) if name != "base.test"]


def to_yaml(value: dict, indent: int = 0) -> str:
    """Nested dictionaries as block mappings, everything else as JSON, which is YAML too."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{' ' * indent}{key}:\n{to_yaml(item, indent + 2)}")
        else:
            lines.append(f"{' ' * indent}{key}: {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
        try:  # a socket's address has room for 107 bytes only
            self.sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(self.path)}")
        finally:
            os.close(directory)


class CommandFailed(AssertionError):
    pass


class Result:
    """What a command said and how it ended."""

    def __init__(self, arguments: list[str], exit_status: int, out: str, err: str, seconds: float):
        self.arguments, self.exit, self.out, self.err, self.seconds = arguments, exit_status, out, err, seconds

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"$ {' '.join(self.arguments)}\n{self.out}{self.err}exit {self.exit} after {self.seconds:.2f} s"


class Midflight:
    def __init__(self, source: str, target: str, directory: Path | None = None, *, config: dict | None = None,
                 environment: dict | None = None, program: Path | None = None):
        self.dir = Path(directory or tempfile.mkdtemp(prefix="midflight-run-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.config_path = self.dir / "migration.yaml"
        self.state_dir = self.dir / "state"
        self.program = Path(program or binary())
        if not self.program.exists():
            raise RuntimeError(f"{self.program} is not built: run make")
        self.environment = dict(environment or {})
        # How long a pause may be, and how far behind a stream, is judged by the tests that are about it; the others run
        # beside what takes the cores.
        self.config = {"migration": "test", "source": source, "target": target, "cutover": {"max_pause": "30s", "max_lag": "10GB"},
                       "reads": {"max_lag": "1h"}}
        self.configure(**(config or {}))
        self.process: subprocess.Popen | None = None
        self.starts = 0

    # -- configuration -------------------------------------------------------------------------------------------
    def configure(self, **settings) -> None:
        """Adds settings (a dictionary for a section is merged into it) and writes migration.yaml again."""
        for key, value in settings.items():
            if isinstance(value, dict) and isinstance(self.config.get(key), dict):
                self.config[key].update(value)
            else:
                self.config[key] = value
        self.config_path.write_text(to_yaml(self.config))

    def hook(self, name: str, script: str) -> Path:
        """Writes an executable for a hook (`on_cutover`, …) and enters it in the configuration."""
        path = self.dir / f"{name}.sh"
        path.write_text("#!/bin/sh\nset -eu\n" + script)
        path.chmod(0o755)
        self.configure(hooks={**self.config.get("hooks", {}), name: str(path)})
        return path

    def _environment(self, fault: str | None = None) -> dict:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "MIDFLIGHT_FAULT"))}
        env |= self.environment
        if fault:
            env["MIDFLIGHT_FAULT"] = fault
        return env

    def arguments(self, command: str, *more: str) -> list[str]:
        return [str(self.program), command, "--config", str(self.config_path), "--state", str(self.state_dir), *map(str, more)]

    # -- the running migration -----------------------------------------------------------------------------------
    def start(self, *more: str, fault: str | None = None) -> "Midflight":
        """Starts `midflight run` in the background; its output goes to run.N.log."""
        assert not self.running(), "already running"
        self.starts += 1
        with open(self.log_path(), "wb") as log:
            self.process = subprocess.Popen(
                self.arguments("run", *more), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment(fault), cwd=self.dir, start_new_session=True,
            )
        return self

    def log_path(self, start: int | None = None) -> Path:
        return self.dir / f"run.{start or self.starts}.log"

    def log_text(self, start: int | None = None) -> str:
        path = self.log_path(start)
        return path.read_text(errors="replace") if path.exists() else ""

    def all_logs(self) -> str:
        return "".join(f"--- run {n}\n{self.log_text(n)}" for n in range(1, self.starts + 1))

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tells_of_no_space(self) -> bool:
        """A full disk under its state: it says so, or has ended."""
        try:
            return "space" in self.log_text() or not self.running() or "space" in (self.status().get("last_error") or "")
        except CommandFailed:  # it ended between the looks, with a state that is full
            return False

    def wait_exit(self, timeout: float = 120.0) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"`midflight run` did not end in {timeout:.0f} s\n{self.tail()}") from None

    def kill(self) -> None:
        """kill -9."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def takes_signals(self) -> bool:
        """A process that has only just begun is ended by a SIGTERM instead of stopped."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return any(int(re.search(rf"^{which}:\s*(\w+)", status, re.M).group(1), 16) >> (signal.SIGTERM - 1) & 1
                   for which in ("SigBlk", "SigCgt"))

    def stop(self, timeout: float = 90.0) -> int:
        """SIGTERM; the exit status."""
        if self.running():
            wait_for(lambda: not self.running() or self.takes_signals(), 60, "the run to take signals")
            self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def restart(self, *more: str, fault: str | None = None) -> "Midflight":
        self.kill()
        return self.start(*more, fault=fault)

    def tail(self, lines: int = 60) -> str:
        status = "no status"
        try:
            facts = self.status()
            facts["tables"] = [t for t in facts.get("tables") or [] if t.get("state") not in ("copied", "waiting", "ready")][:10]
            status = json.dumps(facts)
        except Exception as error:  # the tail is for a failure's message: it must not hide that failure
            status = f"no status: {error}"
        return "\n".join(self.log_text().splitlines()[-lines:]) + "\n" + status

    def rss_bytes(self) -> int:
        """The resident size of the running process, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def peak_rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    # -- commands ------------------------------------------------------------------------------------------------
    def call(self, command: str, *more: str, expect: int | tuple | None = 0, timeout: float = 240.0, fault: str | None = None) -> Result:
        """Runs a command to its end. `expect`: the exit statuses that are right; None takes any."""
        arguments = self.arguments(command, *more)
        begin = time.monotonic()
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                                  env=self._environment(fault), cwd=self.dir, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            out = (late.stdout or b"").decode(errors="replace") + (late.stderr or b"").decode(errors="replace")
            raise TimeoutError(f"$ {' '.join(arguments)}\n{out}\nno end in {timeout:.0f} s\n{self.tail()}") from None
        result = Result(arguments, done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
        if expect is not None and result.exit not in (expect if isinstance(expect, tuple) else (expect,)):
            raise CommandFailed(f"{result}\nexpected {expect}\n{self.tail()}")
        return result

    def status(self) -> dict:
        return self.call_status().json

    def call_status(self) -> Result:
        arguments = self.arguments("status", "--json")
        done = subprocess.run(arguments, capture_output=True, text=True, env=self._environment(), cwd=self.dir, timeout=120)
        result = Result(arguments, done.returncode, done.stdout, done.stderr, 0)
        if done.returncode != 0:
            raise CommandFailed(str(result))
        return result

    def http(self, path: str, method: str = "GET", body: dict | None = None, timeout: float = 90.0) -> tuple[int, str]:
        """A request to the API on the state directory's Unix socket: (status, body)."""
        connection = _UnixConnection(str(self.state_dir / "api.sock"), timeout)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Prometheus' samples by name (and labels, where there are some)."""
        status, text = self.http("/metrics")
        assert status == 200, text
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def wait(self, condition, timeout: float = 90.0, what: str = "condition", may_exit: bool = False) -> dict:
        """Waits until condition(status) holds; fails at once when the run ends or fails on the way."""
        last: dict = {}

        def look():
            nonlocal last
            ended = not self.running()
            try:
                last = self.status()
            except (CommandFailed, ValueError):
                last = last or {}
            if last and condition(last):
                return last
            if ended and not may_exit:
                raise AssertionError(f"waiting for {what}: the run ended with {self.process.returncode if self.process else None}\n{self.tail()}")
            return None

        try:
            return wait_for(look, timeout, what, interval=0.1)
        except TimeoutError:
            stream = last.get("stream") or {}
            at = f"phase {last.get('phase')}, step {last.get('step')}, lag {stream.get('lag_seconds')} s, {stream.get('lag_bytes')} bytes"
            raise TimeoutError(f"{what}: not so after {timeout:.0f} s ({at})\n{self.tail()}") from None

    def wait_phase(self, *phases: str, timeout: float = 240.0) -> dict:
        def reached(status):
            if status["phase"] == "failed" and "failed" not in phases:
                raise AssertionError(f"the migration failed: {status.get('last_error')}\n{self.tail()}")
            # what the state says before the run has opened its streams is not what the databases decided
            live = status.get("running") or status["phase"] in ("completed", "cancelled", "failed")
            if status["phase"] in ("synced", "cut_over", "rolled_back"):
                live = status.get("streams_open")
            return status["phase"] in phases and live
        return self.wait(reached, timeout, f"phase {' or '.join(phases)}")

    def wait_log(self, text: str, timeout: float = 90.0) -> None:
        wait_for(lambda: text in self.log_text(), timeout, f"{text!r} in the log")

    def wait_phase_again(self, *phases: str) -> dict:
        """The same where the run may have met a server that was gone just as it began: it is started once more."""
        try:
            return self.wait_phase(*phases)
        except AssertionError:
            if self.running() or self.process.returncode != FAILED:
                raise
        self.start()
        return self.wait_phase(*phases)

    def close(self) -> None:
        self.kill()
