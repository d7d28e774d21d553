"""A wire between a client and a server that can be cut, reset and slowed down, and remembers what the client said."""

import asyncio
import random
import socket
import struct
import threading
import time
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
CHUNK = 65536


class Wire:
    """Forwards connections on `port` to 127.0.0.1:`target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.said = bytearray()  # by clients, one after the other
        self.accepted: list[float] = []  # monotonic seconds
        self.delay_s = 0.0  # each way
        self.bytes_per_s = float("inf")
        self.fuse_s: float | None = None  # every new connection is reset after a random time up to this
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._carry, "127.0.0.1", 0), self._loop
        ).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        """RST to both ends of what is connected."""
        self._loop.call_soon_threadsafe(self._reset, None)

    def cut(self) -> None:
        """RST, also to whoever comes until `mend`."""
        self._cut = True
        self.reset()

    def slow(self, delay_s: float, bytes_per_s: float) -> None:
        """Each way, for what is connected too."""
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s

    def mend(self) -> None:
        self._cut, self.fuse_s = False, None
        self.slow(0.0, float("inf"))

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        time.sleep(0.1)  # the resets go out
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(time.monotonic())
        if self._cut:
            self._reset({writer})
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._reset({writer})
            return
        ends = {writer, far_writer}
        self._open |= ends
        if self.fuse_s is not None:
            self._loop.call_later(random.uniform(0, self.fuse_s), self._reset, ends)
        await asyncio.gather(self._pump(reader, far_writer, self.said), self._pump(far_reader, writer, bytearray()))
        self._open -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(under_way, writer))
        with suppress(OSError):
            while data := await reader.read(CHUNK if self.bytes_per_s == float("inf") else 512):
                said += data
                await asyncio.sleep(len(data) / self.bytes_per_s)
                under_way.put_nowait((time.monotonic() + self.delay_s, data))
        under_way.put_nowait((0.0, b""))
        await delivery

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, data = await under_way.get()
                if not data:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                writer.write(data)
                await writer.drain()
        writer.close()

    def _reset(self, ends: set[asyncio.StreamWriter] | None) -> None:
        for writer in list(self._open) if ends is None else ends:
            one: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
