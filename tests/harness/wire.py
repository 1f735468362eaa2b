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
        self.to_port, self.port = to_port, free_port()
        self.state = "up"
        self.lock = threading.Lock()  # guards pairs and state
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.connections = 0
        self.bytes = 0
        self.closing = False
        self.cut_after: int | None = None  # cut once, when so many more bytes have passed
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
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
                server = socket.create_connection(("127.0.0.1", self.to_port), timeout=5)
            except OSError:
                _reset(client)
                continue
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while not self.closing:
                readable, _, _ = select.select([client, server], [], [], 0.5)
                for one in readable:
                    if self.state == "mute":
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
        self.bytes += n
        if self.cut_after is not None:
            self.cut_after -= n
            if self.cut_after <= 0:
                self.cut_after = None
                self.cut()

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
        self.state = "mute"

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


def _reset(s: socket.socket) -> None:
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()
