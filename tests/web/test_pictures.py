"""Live pictures: their size, what they are made of, and that one is made for all who ask."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_tdn.messages import Frame
from edge_tdn.web import pictures
from edge_tdn.web.limits import HttpLimits
from tests.support.page_rig import PageRig, noise, page_rig
from tests.support.page_server import PageAnswer, with_limits
from tests.support.waiting import eventually

PICTURE = "/api/camera/door/picture"
LIMITS = with_limits(picture_age_s=3600.0, picture_wait_s=3600.0)


@pytest.fixture
def limits() -> HttpLimits:
    return LIMITS


@pytest.fixture
def rig(tmp_path: Path, limits: HttpLimits, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageRig]:
    monkeypatch.setattr(pictures, "FORGET_S", 3600.0)
    with page_rig(tmp_path, limits=limits) as running:
        running.page.hub.view("door").look(3600.0)
        yield running


def size_of(answer: PageAnswer) -> tuple[int, ...]:
    """Return the height and width of a JPEG."""
    decoded = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return tuple(decoded.shape[:2])


def count_encodings(patch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the list that will have the number of each frame that is encoded, and the width asked for."""
    made: list[tuple[int, int]] = []
    encode = pictures.encode

    def counted(frame: Frame, max_width: int) -> bytes:
        made.append((frame.seq, max_width))
        return encode(frame, max_width)

    patch.setattr(pictures, "encode", counted)
    return made


def test_a_picture_is_a_jpeg_of_the_newest_frame(rig: PageRig) -> None:
    green = np.zeros((90, 160, 3), np.uint8)
    green[..., 1] = 200
    rig.frame(green)
    answer = rig.page.ask(f"{PICTURE}?w=160")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["x-taken"] == "2026-03-01T12:00:00.250Z"
    assert answer.headers["x-size"] == "160x90"
    assert answer.headers["cache-control"] == "no-store"
    decoded = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.allclose(decoded.mean((0, 1)), (0, 200, 0), atol=8)


def test_a_picture_is_made_smaller_and_never_larger(rig: PageRig) -> None:
    rig.frame(noise(480, 641))
    assert size_of(rig.page.ask(f"{PICTURE}?w=160")) == (120, 160)
    assert size_of(rig.page.ask(PICTURE)) == (479, 640)
    large = rig.page.ask(f"{PICTURE}?w=1280")
    assert size_of(large) == (480, 641)
    assert large.headers["x-size"] == "641x480"


def test_one_picture_is_made_for_all_who_ask_for_the_same(rig: PageRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for the next frame together."""
    made = count_encodings(monkeypatch)
    with ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(rig.page.ask, PICTURE) for _ in range(8)]
        eventually(lambda: any(future.running() for future in asked))
        rig.frame(noise())
        bodies = {future.result().body for future in asked}
    assert (len(bodies), made) == (1, [(1, 640)])
    assert rig.page.ask(PICTURE).body in bodies
    rig.frame(noise(), seq=2)
    assert rig.page.ask(f"{PICTURE}?w=320").status == 200
    assert made == [(1, 640), (2, 320)]


@pytest.mark.parametrize("limits", [with_limits(picture_age_s=0.0, picture_wait_s=3600.0)])
def test_a_frame_is_encoded_once(rig: PageRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for those who ask long after one another."""
    made = count_encodings(monkeypatch)
    rig.frame(noise())
    first = rig.page.ask(PICTURE)
    assert rig.page.ask(PICTURE).body == first.body
    rig.frame(noise(), seq=2)
    rig.page.ask(PICTURE)
    assert made == [(1, 640), (2, 640)]


@pytest.mark.parametrize("limits", [with_limits(picture_wait_s=0.2)])
def test_a_camera_without_frames_has_no_picture(rig: PageRig) -> None:
    """An error it is not: a browser writes each answer of 400 and more to its console."""
    answer = rig.page.ask(PICTURE)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (204, "2", b"")


def test_an_unknown_camera_or_width_is_refused(rig: PageRig) -> None:
    unknown = rig.page.ask("/api/camera/attic/picture")
    assert (unknown.status, unknown.error) == (404, "no camera 'attic'")
    refused = rig.page.ask(f"{PICTURE}?w=700")
    assert (refused.status, refused.error) == (422, "w = '700': one of 160, 320, 640, 960, 1280")
