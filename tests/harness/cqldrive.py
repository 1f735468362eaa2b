"""The codec of CQL's native protocol, driven without the rest of midflight (tests/drive/cqldrive.c): values by their types, and a connection whose
every byte it makes and reads while this side has the socket."""
from __future__ import annotations

import json
import os
import socket
import subprocess

from harness.pgdrive import TOP, Refused


class CqlDrive:
    """One process; commands are methods. Not for use from several threads."""

    def __init__(self):
        build = os.environ.get("MIDFLIGHT_BUILD", TOP / "build")
        self.process = subprocess.Popen([f"{build}/tests/drive/cqldrive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.socket: socket.socket | None = None

    def __getattr__(self, op: str):
        def call(**named) -> dict:
            self.process.stdin.write(json.dumps({"op": op, **named}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"cqldrive ended with {self.process.wait()}")
            reply = json.loads(line)
            if not reply["ok"]:
                raise Refused(reply)
            return reply

        return call

    def bytes_of(self, type_: str, text: str) -> bytes:
        return bytes.fromhex(self.put(type=type_, text=text.encode().hex())["bytes"])

    def text_of(self, type_: str, value: bytes) -> str:
        return bytes.fromhex(self.text(type=type_, bytes=value.hex())["text"]).decode()

    # -- a connection --------------------------------------------------------------------------------------------
    def connect(self, host: str, port: int, version: int = 5, lz4: bool = False, user: str | None = None, password: str = "",
                max_frame: int = 64 << 20) -> list[dict]:
        """Up to READY or AUTH_SUCCESS; the answers on the way."""
        self.hang_up()
        self.socket = socket.create_connection((host, port), 60)
        self.speak(version=version, new=True, max_frame=max_frame)
        answers = [self.ask(what="options")]
        self.speak(version=version, lz4=lz4 and version < 5)  # the answer may be packed
        answers.append(self.ask(what="startup", **({"compression": "lz4"} if lz4 else {})))
        self.speak(version=version, segments=version >= 5, lz4=lz4)
        if answers[-1]["opcode"] == 3 and user is not None:
            answers.append(self.ask(what="auth", token=f"\0{user}\0{password}".encode().hex()))
        return answers

    def hang_up(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket = None

    def send(self, *requests: dict) -> None:
        self.socket.sendall(bytes.fromhex(self.request(requests=list(requests))["wire"]))

    def receive(self, n: int, step: int = 65536) -> list[dict]:
        """The next n answers, from as many bytes as come, step at a time at most."""
        answers: list[dict] = []
        while len(answers) < n:
            data = self.socket.recv(step)
            if not data:
                raise ConnectionError("the server hung up")
            answers += self.feed(bytes=data.hex())["answers"]
        return answers

    def ask(self, **request) -> dict:
        self.send(request)
        return self.receive(1)[0]

    def close(self) -> None:
        self.hang_up()
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
