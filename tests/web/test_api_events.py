"""The endpoints of events: one entry an action, in pages; and their snapshots and clips."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.web import event_reader, recordings_files
from tests.support.page_rig import PageRig, action, page_rig
from tests.support.page_server import with_limits
from tests.support.waiting import eventually

NAME = "20260301T120000.250Z_left_1"
LIMITS = with_limits(event_queries=1000)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    with page_rig(tmp_path, limits=LIMITS) as running:
        running.daemon.folder = tmp_path / "recordings"
        yield running


def ask(rig: PageRig, query: str = "") -> tuple[list[tuple[str, str, int]], str | None]:
    """Return camera, type and seq of the events of an answer, and where the next one begins."""
    answer = rig.page.ask(f"/api/events?{query}")
    assert answer.status == 200, answer.body
    events = [entry["event"] for entry in answer.content["actions"]]
    return [(event["camera"], event["type"], event["seq"]) for event in events], answer.content["next"]


def test_each_action_has_one_entry_with_its_newest_event(rig: PageRig) -> None:
    rig.daemon.put(*action(1, "start", "update", "end"), *action(2, "start", first_seq=4))
    assert ask(rig) == ([("door", "start", 4), ("door", "end", 3)], None)


def test_an_entry_has_the_event_as_it_was_published(rig: PageRig) -> None:
    (event,) = action(1, "start", label="a <b> & é", zone="gate")
    rig.daemon.put(event)
    (entry,) = rig.page.ask("/api/events").content["actions"]
    assert type(event).model_validate(entry["event"]) == event
    assert entry["event"]["window"]["from"] == event.window.from_
    assert (entry["playable"], entry["picture"]) == (False, False)


def test_older_events_come_in_pages(rig: PageRig) -> None:
    rig.daemon.put(
        *(event for number in range(5) for event in action(number, "start", "end", first_seq=2 * number + 1))
    )
    seen: list[int] = []
    query, pages = "limit=2", 0
    while True:
        events, after = ask(rig, query)
        seen += [seq for _, _, seq in events]
        pages += 1
        if after is None:
            break
        query = f"limit=2&before={after}"
    assert [seq for seq in seen if seq % 2 == 0] == [10, 8, 6, 4, 2]
    assert pages >= 2


def test_events_of_one_camera_have_positions_of_their_own(rig: PageRig) -> None:
    """Also where that camera has left."""
    for number in (1, 2, 3):
        rig.daemon.put(*action(number, "start", first_seq=number, camera="door"))
        rig.daemon.put(*action(number, "start", first_seq=number, camera="attic"))
    assert ask(rig, "camera=attic&limit=2") == ([("attic", "start", 3), ("attic", "start", 2)], "s2")
    assert ask(rig, "camera=attic&limit=2&before=s2") == ([("attic", "start", 1)], None)
    assert ask(rig, "camera=cellar") == ([], None)


def test_actions_are_filtered_by_their_label(rig: PageRig) -> None:
    for number in range(1, 601):
        rig.daemon.put(*action(number, "start", first_seq=number, label="wave" if number == 1 else "left"))
    assert ask(rig, "label=wave") == ([("door", "start", 1)], None)
    assert ask(rig, "label=jump") == ([], None)


def test_events_that_cannot_be_read_are_left_out(rig: PageRig) -> None:
    """Those of an earlier version may lack what is needed now."""
    rig.daemon.outbox.put([("door", 1, b'{"schema":0}')])
    rig.daemon.put(*action(2, "start", first_seq=2))
    assert ask(rig) == ([("door", "start", 2)], None)


@pytest.mark.parametrize("state", ["is_busy", "is_stopping"])
def test_a_publisher_that_does_not_answer_is_not_waited_for(tmp_path: Path, state: str) -> None:
    with page_rig(tmp_path, limits=with_limits(reply_s=0.2)) as rig:
        setattr(rig.daemon, state, True)
        answer = rig.page.ask("/api/events")
        assert (answer.status, answer.headers["retry-after"]) == (503, "3")
        assert answer.error == "the events cannot be read now; try again"


@pytest.mark.parametrize(("window_s", "status"), [(0.1, 200), (3600.0, 503)])
def test_more_reads_than_are_allowed_wait_for_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_s: float, status: int
) -> None:
    """Those that would wait too long are refused. This answer takes two reads."""
    monkeypatch.setattr(event_reader, "WINDOW_S", window_s)
    with page_rig(tmp_path, limits=with_limits(event_queries=1)) as rig:
        rig.daemon.put(*action(1, "start"), *action(2, "start", "end", first_seq=2))
        answer = rig.page.ask("/api/events?limit=2")
        assert answer.status == status
        assert status == 200 or answer.error == "too many ask for events; try again"


def test_a_recording_is_played_in_parts(rig: PageRig) -> None:
    assert rig.daemon.folder
    (rig.daemon.folder / "door").mkdir(parents=True)
    (rig.daemon.folder / "door" / f"{NAME}.mp4").write_bytes(b"0123456789")
    clip, snapshot = f"door/{NAME}.mp4", f"door/{NAME}.jpg"
    rig.daemon.put(*action(1, "start", "end", clip=clip, snapshot=snapshot))
    (entry,) = rig.page.ask("/api/events").content["actions"]
    assert (entry["playable"], entry["labelable"], entry["picture"]) == (True, True, False)
    whole = rig.page.ask(f"/api/recording/{clip}")
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, b"0123456789", "video/mp4")
    assert (whole.headers["accept-ranges"], whole.headers["cache-control"]) == ("bytes", "no-store")
    part = rig.page.ask(f"/api/recording/{clip}", Range="bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert rig.page.ask(f"/api/recording/{clip}", Range="bytes=10-").status == 416
    head = rig.page.ask(f"/api/recording/{clip}", "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, "10")
    missing = rig.page.ask(f"/api/recording/{snapshot}")
    assert (missing.status, missing.error) == (404, "this recording is not there; the oldest are deleted to make room")


def test_an_action_that_has_not_ended_cannot_be_labelled(rig: PageRig) -> None:
    assert rig.daemon.folder
    (rig.daemon.folder / "door").mkdir(parents=True)
    (rig.daemon.folder / "door" / f"{NAME}.mp4").write_bytes(b"0123456789")
    rig.daemon.put(*action(1, "start", "update", clip=f"door/{NAME}.mp4"), *action(2, "end", first_seq=3))
    entries = rig.page.ask("/api/events").content["actions"]
    assert [(entry["playable"], entry["labelable"]) for entry in entries] == [(False, False), (True, False)]


def test_a_recording_that_is_just_being_written_is_waited_for(rig: PageRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event that names a snapshot comes before the file; a clip is complete a while after its action."""
    monkeypatch.setattr(recordings_files, "WRITTEN_S", 3600.0)
    assert rig.daemon.folder
    door = rig.daemon.folder / "door"
    door.mkdir(parents=True)
    snapshot = f"{datetime.now(UTC):%Y%m%dT%H%M%S}.000Z_left_1.jpg"
    (door / f".{NAME}.mp4.part").write_bytes(b"01")
    with ThreadPoolExecutor(2) as clients:
        asked = [clients.submit(rig.page.ask, f"/api/recording/door/{name}") for name in (snapshot, f"{NAME}.mp4")]
        eventually(lambda: all(future.running() for future in asked))
        (door / ".scratch").write_bytes(b"jpeg")
        (door / ".scratch").replace(door / snapshot)
        (door / f".{NAME}.mp4.part").replace(door / f"{NAME}.mp4")
        assert [future.result().body for future in asked] == [b"jpeg", b"01"]


@pytest.mark.parametrize(
    "path", ["door/..", "door/secret.jpg", "../secret.jpg", "attic/x.jpg", "door/%2e%2e%2fsecret.jpg"]
)
def test_no_other_file_is_served(rig: PageRig, path: str) -> None:
    assert rig.daemon.folder
    (rig.daemon.folder / "door").mkdir(parents=True)
    (rig.daemon.folder / "door" / "secret.jpg").write_bytes(b"secret")
    (rig.daemon.folder.parent / "secret.jpg").write_bytes(b"secret")
    answer = rig.page.ask(f"/api/recording/{path}")
    assert answer.status in (400, 404)
    assert b"secret" not in answer.body


def test_events_need_a_session(rig: PageRig) -> None:
    answer: Any = rig.page.ask("/api/events", session=False)
    assert answer.status == 401
