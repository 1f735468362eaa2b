"""A TCP forwarder that delivers every byte a fixed time after it came, in both directions, at full bandwidth: distance.

    delay.py LISTEN_PORT HOST PORT MILLISECONDS_EACH_WAY

For kernels without netem. Opening a connection costs nothing extra; each request and answer costs the delay once each.
"""
import asyncio
import collections
import socket
import sys

HIGH = 64 << 20


class Line(asyncio.Protocol):
    """One direction's receiving end; `other` is the transport the bytes leave by."""

    def __init__(self, delay: float):
        self.delay, self.other, self.queue, self.queued, self.timer, self.ended = delay, None, collections.deque(), 0, None, False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.queue.append((self.loop.time() + self.delay, data))
        self.queued += len(data)
        if self.queued > HIGH:
            self.transport.pause_reading()
        self._arm()

    def eof_received(self):
        self.queue.append((self.loop.time() + self.delay, None))
        self._arm()
        return True

    def connection_lost(self, error):
        self.queue.append((self.loop.time() + self.delay, None))
        self._arm()

    def _arm(self):
        if self.timer is None and self.queue and self.other is not None:
            self.timer = self.loop.call_at(self.queue[0][0], self._deliver)

    def _deliver(self):
        self.timer = None
        now = self.loop.time() + 0.0002
        while self.queue and self.queue[0][0] <= now:
            _, data = self.queue.popleft()
            if data is None:
                self.other.close()
                self.queue.clear()
                return
            self.queued -= len(data)
            self.other.write(data)
        if self.queued < HIGH // 2:
            self.transport.resume_reading()
        self._arm()


async def main(port: int, host: str, to: int, delay: float) -> None:
    loop = asyncio.get_running_loop()

    class Front(Line):
        def connection_made(self, transport):
            super().connection_made(transport)
            loop.create_task(self.open())

        async def open(self):
            try:
                back_transport, back = await loop.create_connection(lambda: Line(delay), host, to)
            except OSError:
                self.transport.close()
                return
            self.other, back.other = back_transport, self.transport
            self._arm()
            back._arm()

    server = await loop.create_server(lambda: Front(delay), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1000))
