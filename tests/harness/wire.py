"""A TCP forwarder that a test can cut: for dropped connections, dead hosts and silence, without touching the servers."""
from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time

from .servers import free_port


class Wire:
    """Forwards 127.0.0.1:port to a server. cut() resets every connection; down() also refuses new ones until up();
    mute() swallows bytes without closing anything until up(). Use as a context manager."""

    def __init__(self, to_port: int):
        self.to_port = to_port
        self.state = "up"
        self.lock = threading.Lock()  # guards pairs, counts, and what state means for them
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.connections = 0
        self.bytes = 0
        self.closing = False
        self.asked_in_vain = False
        self._cut_after: int | None = None
        self.listener, self.port = _listen()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def url(self, url: str) -> str:
        """That URL through this wire."""
        return re.sub(r"@127\.0\.0\.1:\d+/", f"@127.0.0.1:{self.port}/", url)

    def _accept(self) -> None:
        while not self.closing:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.state == "down":
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.to_port), timeout=30)
            except OSError:
                _reset(client)
                continue
            for s in (client, server):
                s.settimeout(None)  # who does not read for long is not gone
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                down = self.state == "down"  # since it was looked at above
                if not down:
                    self.connections += 1
                    self.pairs.append((client, server))
            if down:
                _reset(client)
                _reset(server)
                continue
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while not self.closing:
                readable, _, _ = select.select([client, server], [], [], 0.5)
                for one in readable:
                    if self.state == "mute":
                        self.asked_in_vain = self.asked_in_vain or one is client
                        time.sleep(0.01)
                        continue
                    data = one.recv(65536)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)
                    self._count(len(data))
        except (OSError, ValueError):
            pass
        finally:
            for s in (client, server):
                s.close()
            with self.lock:
                self.pairs = [p for p in self.pairs if p[0] is not client]

    def _count(self, n: int) -> None:
        with self.lock:
            self.bytes += n
            if self._cut_after is None:
                return
            self._cut_after -= n
            cut = self._cut_after <= 0
            if cut:
                self._cut_after = None
        if cut:
            self.cut()

    @property
    def cut_after(self) -> int | None:
        """Cut once, when so many more bytes have passed."""
        return self._cut_after

    @cut_after.setter
    def cut_after(self, n: int | None) -> None:
        with self.lock:
            self._cut_after = n

    def cut(self) -> None:
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                _reset(s)

    def down(self) -> None:
        self.state = "down"
        self.cut()

    def mute(self) -> None:
        self.asked_in_vain = False
        self.state = "mute"

    def kept(self) -> bool:
        """A client has sent something since mute()."""
        return self.asked_in_vain

    def up(self) -> None:
        self.state = "up"

    def close(self) -> None:
        self.closing = True
        self.listener.close()
        self.cut()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _listen() -> tuple[socket.socket, int]:
    for _ in range(20):  # another process may take the port between the look and the listening
        port = free_port()
        try:
            return socket.create_server(("127.0.0.1", port), backlog=64), port
        except OSError:
            continue
    raise RuntimeError("no free port")


def _reset(s: socket.socket) -> None:
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()
