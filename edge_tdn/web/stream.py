"""The stream of what changes: one for each tab of a browser, for all cameras, as server-sent events.

Each client has a position in the hub's ring of notes. One that takes nothing falls behind, and is notified that notes
were missed; nothing waits for it, and the server ends it after a while.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_tdn.hub.note_ring import HubNote
from edge_tdn.messages import iso
from edge_tdn.web.answers import Refused
from edge_tdn.web.page_context import PageContext

BATCH_S = 0.25  # from one batch of notes to the next
PING_S = 2.0  # without a note
RECONNECT_MS = 2000  # after which a browser connects again
MEDIA_TYPE = "text/event-stream"
HEADERS = {"X-Accel-Buffering": "no"}  # a proxy must not wait for the end
RETRY_S = "5"  # after a stream that was refused
MAX_DIGITS = 18  # of a note's number


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""
    return [Route("/api/stream", Streams(page).open, methods=["GET"])]


class Streams:
    """All open streams, at most so many at once. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._closing = page.hub, page.closing
        self._room = page.limits.streams  # for further streams
        self._clients: set[asyncio.Event] = set()  # one each: set when there are notes to take, and at the end
        self._ending: asyncio.Task[None] | None = None

    async def open(self, request: Request) -> StreamingResponse:
        """Return a new stream. Refused: 503, there are too many."""
        if self._room == 0:
            raise Refused(503, "too many streams; try again", Retry_After=RETRY_S)
        if self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.create_task(self._end())
            self._hub.notes.attach(lambda: self._wake_from_any_thread(loop))
        self._room -= 1
        return _NoteStream(self.batches(request.headers.get("last-event-id")), self._ended)

    def _ended(self) -> None:
        self._room += 1

    async def batches(self, last_id: str | None) -> AsyncGenerator[bytes]:
        """Yield what a client is sent, until the page ends. `last_id`: of the note that it has seen last, if any."""
        boot, woken = self._hub.boot, asyncio.Event()
        last = _number(boot, last_id)
        reader = self._hub.notes.reader(last)
        self._clients.add(woken)
        try:
            start = f"retry: {RECONNECT_MS}\n".encode() + _event("hello", _json(boot=boot, now=_now()))
            yield start + (_event("resync", b"{}") if last_id and last is None else b"")
            while True:
                if last is None:  # else there may be notes already
                    await _pause(woken, PING_S)
                if self._closing.is_set():
                    return
                woken.clear()
                notes, missed = reader.take()
                resync = _event("resync", b"{}") if missed else b""
                yield (resync + b"".join(_messages(boot, notes))) or _event("ping", _json(now=_now()))
                last = None
                await _pause(self._closing, BATCH_S)
        finally:
            self._clients.discard(woken)
            reader.close()

    def _wake_from_any_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the page has ended
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for woken in self._clients:
            woken.set()

    async def _end(self) -> None:
        await self._closing.wait()
        self._wake()


class _NoteStream(StreamingResponse):
    """The answer with a stream, which is left as soon as the client is gone."""

    def __init__(self, batches: AsyncGenerator[bytes], ended: Callable[[], None]) -> None:
        """`ended` is called once, at the end."""
        self._batches, self._ended = batches, ended
        super().__init__(batches, headers=HEADERS, media_type=MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._batches):
                await super().__call__(scope, receive, send)
        finally:
            self._ended()


def _messages(boot: str, notes: Sequence[HubNote]) -> Iterator[bytes]:
    """Yield notes as server-sent events; the scores of all clips are one, the last."""
    clips = b",".join(note.data for note in notes if note.kind == "scores")
    for note in notes:
        if note.kind != "scores":
            yield _event(note.kind, note.data, f"{boot}-{note.number}")
    if clips:
        yield _event("scores", b'{"clips":[' + clips + b"]}", f"{boot}-{notes[-1].number}")


def _event(kind: str, data: bytes, id_: str = "") -> bytes:
    named = f"id: {id_}\nevent: {kind}\n" if id_ else f"event: {kind}\n"
    return named.encode() + b"data: " + data + b"\n\n"


def _number(boot: str, last_id: str | None) -> int | None:
    """Return the number of the note that a client has seen last; None: it is not of this start of the daemon."""
    of, _, digits = (last_id or "").rpartition("-")
    known = of == boot and digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    return int(digits) if known else None


def _json(**content: str) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _now() -> str:
    return iso(time.time_ns())


async def _pause(until: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()
