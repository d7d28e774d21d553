"""The stream of notes: batches, positions, what was missed, and its end."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from edge_tdn.hub.hub import Hub
from edge_tdn.hub.note_ring import MAX_NOTES
from edge_tdn.web import stream
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.stream import Streams
from tests.support.page_rig import BOOT, NoteReader, PageRig, page_rig
from tests.support.page_server import with_limits
from tests.support.waiting import PATIENCE_S, eventually


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    with page_rig(tmp_path) as running:
        yield running


def publish(rig: PageRig, kind: str, *contents: bytes) -> None:
    for content in contents:
        rig.page.hub.publish(kind, lambda content=content: content)  # type: ignore[arg-type,misc]


def test_a_stream_begins_with_the_boot_of_the_daemon(rig: PageRig) -> None:
    with rig.stream() as reader:
        headers = reader.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
        first = reader.lines()
        assert first[:2] == ["retry: 2000", "event: hello"]
        assert f'"boot":"{BOOT}"' in first[2]


def test_notes_come_in_their_order_with_the_boot_and_their_number(rig: PageRig) -> None:
    with rig.stream() as reader:
        reader.next("hello")
        publish(rig, "event", b'{"n":1}', b'{"n":2}')
        notes = [reader.next(), reader.next()]
        assert [(note.kind, note.content) for note in notes] == [("event", {"n": 1}), ("event", {"n": 2})]
        first, second = (int(note.id.removeprefix(f"{BOOT}-")) for note in notes)
        assert second == first + 1


def test_the_scores_of_a_batch_are_one_note(rig: PageRig) -> None:
    """With the number of the last one, so that none of them comes again."""

    async def batch() -> bytes:
        page = PageContext(rig.page.config, rig.page.hub, rig.page.thread.access)
        async with aclosing(Streams(page).batches(None)) as batches:
            await anext(batches)
            publish(rig, "action", b"{}")
            publish(rig, "scores", b'{"n":1}', b'{"n":2}')
            publish(rig, "action", b"{}")
            publish(rig, "scores", b'{"n":3}')
            return await anext(batches)

    reader = NoteReader(io.BytesIO(asyncio.run(batch())))  # type: ignore[arg-type]  # read in the same way
    notes = [reader.next() for _ in range(3)]
    assert [note.kind for note in notes] == ["action", "action", "scores"]
    assert notes[2].content == {"clips": [{"n": 1}, {"n": 2}, {"n": 3}]}
    numbers = [int(note.id.rpartition("-")[2]) for note in notes]
    assert numbers == [numbers[0], numbers[0] + 3, numbers[0] + 4]
    assert reader.lines() == []


def test_a_stream_without_notes_pings(rig: PageRig) -> None:
    with rig.stream() as reader:
        assert reader.next("ping").content.keys() == {"now"}


def test_a_client_that_comes_back_continues_where_it_was(rig: PageRig) -> None:
    with rig.stream() as reader:
        reader.next("hello")
        publish(rig, "event", b'{"n":1}')
        last = reader.next("event").id
    publish(rig, "event", b'{"n":2}')
    with rig.stream(last) as reader:
        kinds = [reader.next() for _ in range(2)]
        assert [(note.kind, note.content.get("n")) for note in kinds] == [("hello", None), ("event", 2)]


@pytest.mark.parametrize(
    "last_id", ["other-1", f"{BOOT}-", f"{BOOT}-999", "-", "x", f"{BOOT}-1e3", f"{BOOT}-{'9' * 40}"]
)
def test_a_client_whose_position_is_unknown_reads_everything_again(rig: PageRig, last_id: str) -> None:
    with rig.stream(last_id) as reader:
        assert [reader.next().kind for _ in range(2)] == ["hello", "resync"]
        publish(rig, "event", b'{"n":1}')
        assert reader.next().content == {"n": 1}


def test_a_client_that_was_too_slow_reads_everything_again(rig: PageRig) -> None:
    """More notes came between two batches than are kept."""

    async def first_batches() -> tuple[bytes, bytes]:
        page = PageContext(rig.page.config, Hub(BOOT), rig.page.thread.access)
        batches = Streams(page).batches(None)
        async with aclosing(batches):
            hello = await anext(batches)
            for number in range(MAX_NOTES + 1):
                page.hub.publish("event", lambda number=number: b'{"n":%d}' % number)  # type: ignore[misc]
            return hello, await anext(batches)

    hello, batch = asyncio.run(first_batches())
    assert b"resync" not in hello
    assert batch.startswith(b'event: resync\ndata: {}\n\nid: boot-2\nevent: event\ndata: {"n":1}\n\n')
    assert batch.endswith(b'data: {"n":%d}\n\n' % MAX_NOTES)


def test_streams_end_with_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are woken: there is not any ping at whose time they could find out, nor an end by force."""
    monkeypatch.setattr(stream, "PING_S", 3600.0)
    limits = with_limits(stop_s=PATIENCE_S)
    with page_rig(tmp_path, limits=limits) as rig, rig.stream() as one, rig.stream() as other:
        one.next("hello")
        other.next("hello")
        rig.page.thread.stop()
        assert one.response.read() == b""
        assert other.response.read() == b""


def test_more_streams_than_allowed_are_refused_until_one_ends(tmp_path: Path) -> None:
    with page_rig(tmp_path, limits=with_limits(streams=2)) as rig, rig.stream() as staying:
        staying.next("hello")
        with rig.stream() as leaving:
            leaving.next("hello")
            refused = rig.page.ask("/api/stream")
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")

        def opened() -> bool:
            try:
                with rig.stream() as third:
                    return third.next("hello").kind == "hello"
            except AssertionError:
                return False

        eventually(opened)


def test_a_client_that_leaves_makes_room(rig: PageRig) -> None:
    """The ring keeps no reader of those that have left."""
    for _ in range(20):
        with rig.stream() as reader:
            reader.next("hello")
    eventually(lambda: rig.page.hub.notes._readers == 0)
