"""A TCP proxy between client and server that can be cut, reset and slowed down, and records what clients send."""

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
    """Forwards connections on `port` to 127.0.0.1:`target`, in a thread with an event loop."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.sent = bytearray()  # by all clients, in the order of arrival
        self.answered = bytearray()  # by the server, to all of them
        self.accepted: list[float] = []  # monotonic seconds
        self.delay_s = 0.0  # each way
        self.bytes_per_s = float("inf")
        self.fuse_s: float | None = None  # if set, every new connection is reset after a random time up to this
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
        """Reset both ends of all connections."""
        self._loop.call_soon_threadsafe(self._reset, None)

    def cut(self) -> None:
        """Reset all connections, and every new one until `mend`."""
        self._cut = True
        self.reset()

    def slow(self, delay_s: float, bytes_per_s: float) -> None:
        """Limit each direction, also of open connections."""
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s

    def mend(self) -> None:
        """Forward normally again."""
        self._cut, self.fuse_s = False, None
        self.slow(0.0, float("inf"))

    def close(self) -> None:
        self.cut()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """Close the port, and wait until nothing is carried any more and the resets are sent."""
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)

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
        await asyncio.gather(self._pump(reader, far_writer, self.sent), self._pump(far_reader, writer, self.answered))
        self._open -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytearray) -> None:
        in_transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(in_transit, writer))
        with suppress(OSError):
            while data := await reader.read(CHUNK if self.bytes_per_s == float("inf") else 512):
                sent += data
                await asyncio.sleep(len(data) / self.bytes_per_s)
                in_transit.put_nowait((time.monotonic() + self.delay_s, data))
        in_transit.put_nowait((0.0, b""))
        await delivery

    async def _deliver(self, in_transit: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, data = await in_transit.get()
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
