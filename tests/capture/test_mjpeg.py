"""The pictures in MJPEG, whatever is written between them."""

import logging
import os
import random
import time
from collections.abc import Callable

import cv2
import pytest

from edge_tdn.capture.mjpeg import MAX_PICTURE_BYTES, JpegExtractor, MjpegForm, is_regular
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.media import gstreamer
from tests.support.http_camera import answering, noisy_jpeg, serving
from tests.support.patterns import edge
from tests.support.running_source import RunningSource

FUZZED = int(os.environ.get("EDGE_TDN_FUZZ", "20"))  # inputs that are played; 1000 take ten minutes
log = logging.getLogger(__name__)
Run = Callable[..., RunningSource]


def progressive(quality: int) -> bytes:
    """Return a JPEG of several scans, with restart markers in them."""
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4, cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", edge(96, 128), options)[1].tobytes()


PICTURES = [*(noisy_jpeg(n) for n in range(4)), progressive(60), progressive(99)]
PICTURES += [  # a thumbnail in its EXIF data; fill bytes before a marker
    b"\xff\xd8\xff\xe1" + (2 + len(PICTURES[0])).to_bytes(2) + PICTURES[0] + PICTURES[1][2:],
    PICTURES[2][:2] + b"\xff\xff" + PICTURES[2][2:],
]


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """Cut data as a network may."""
    longest = rng.choice([40, 500, 4096, 100_000])
    found = []
    while data:
        size = rng.randint(1, longest)
        found.append(data[:size])
        data = data[size:]
    return found


def head(rng: random.Random, size: int) -> bytes:
    """Return what a camera may write before a picture: a boundary and headers, mutilated."""
    line = rng.choice([b"\r\n", b"\n", b"\r", b""])
    lines = [
        rng.choice(
            [b"--next", b"next", b"----next", b"--", b"", b"--next--", b"--" + bytes([rng.randrange(255)]) * 300]
        ),
        rng.choice(
            [b"Content-Type: image/jpeg", b"content-type:image/jpg", b"Content-Type", b"", b"Content-Type: a/b"]
        ),
        rng.choice(
            [b"Content-Length: %d" % size, b"Content-Length: -1", b"content-length: 9" + b"9" * 30, b"X: \xff\xd8"]
        ),
        rng.choice([b"", b"X-Time: 17.5", bytes(rng.randrange(255) for _ in range(rng.randrange(200)))]),
        b"",
    ]
    rng.shuffle(lines)
    if rng.random() < 0.5:
        lines = [one for one in lines if rng.random() < 0.8]
    return line.join(lines) + line


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_mutilated_streams_give_every_picture(seed: int) -> None:
    """In ten parts of 100. Nothing is invented, nothing is lost, however the bytes are cut."""
    for number in range(100):
        rng = random.Random(f"{seed} {number}")
        chosen = rng.choices(PICTURES, k=rng.randint(1, 4))
        between = [head(rng, len(one)).replace(b"\xff\xd8\xff", b"") for one in chosen]
        stream = b"".join(before + picture for before, picture in zip(between, chosen, strict=True))
        extractor = JpegExtractor()
        found = [one for piece in pieces(stream, rng) for one in extractor.feed(piece)]
        assert found == chosen, (seed, number)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_pictures_neither_fail_nor_hide_those_after_them(seed: int) -> None:
    """A thousand inputs, in ten parts."""
    for number in range(100):
        rng = random.Random(f"{seed} {number}")
        damaged = bytearray(rng.choice(PICTURES))
        for _ in range(rng.randint(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        extractor = JpegExtractor()
        stream = bytes(damaged[: rng.randint(0, len(damaged))]) + bytes(70_000) + PICTURES[3] + PICTURES[4]
        found = [one for piece in pieces(stream, rng) for one in extractor.feed(piece)]
        assert found[-1] == PICTURES[4], (seed, number)


@pytest.mark.parametrize(
    "repeated", [b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\xff\xff", b"\xff\xd8\xff\xda\0\2a", b"a"]
)
def test_nonsense_is_dropped_in_linear_time(repeated: bytes) -> None:
    """4 MB take seconds at most; a time that grew with the square would be hours."""
    extractor = JpegExtractor()
    began = time.process_time()
    chunk = repeated * (65_536 // len(repeated))
    for _ in range(64):
        extractor.feed(chunk)
    assert time.process_time() - began < 60


def test_a_picture_without_end_does_not_fill_the_memory() -> None:
    extractor = JpegExtractor()
    extractor.feed(PICTURES[0][:-2])
    for _ in range(40):
        extractor.feed(bytes(1 << 20))
        assert len(extractor._bytes) <= MAX_PICTURE_BYTES
    assert extractor.feed(PICTURES[1]) == [PICTURES[1]]


def test_a_picture_without_its_end_is_given_one() -> None:
    extractor = JpegExtractor()
    cut = PICTURES[0][:-2]
    assert extractor.feed(cut + PICTURES[1]) == [PICTURES[0], PICTURES[1]]


# Which content GStreamer takes apart by itself

JPEG = PICTURES[0]
TYPE = b"Content-Type: image/jpeg\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(JPEG)


@pytest.mark.parametrize(
    ("body", "regular"),
    [
        (b"--next\r\n" + TYPE + LENGTH + b"\r\n" + JPEG, True),
        (b"\r\n--next\r\n" + TYPE + LENGTH + b"\r\n" + JPEG, True),
        (b"--next\n" + TYPE.replace(b"\r", b"") + b"\n", True),
        (b"--next\r\n" + TYPE + b"\r\n", True),
        (b"--next\r\nCONTENT-TYPE:image/png\r\n\r\n", True),  # not ours to judge
        (b"--next\r\n" + TYPE + LENGTH + b"\r\n" + JPEG[:-1], None),
        (b"--next\r\n" + TYPE, None),
        (b"-", None),
        (b"", None),
        (b"--next\r\n" + TYPE + b"X: " + b"x" * 5000, False),
        (b"--next\r\n" + TYPE + b"Content-Length: 10\r\n\r\n" + JPEG, False),
        (b"--next\r\n" + TYPE + b"Content-Length: 99999999999999999999\r\n\r\n" + JPEG, False),
        (b"--next\r\nContent-Type: image/jpg\r\n\r\n", False),
        (b"--next\r\nContent-Type : image/jpeg\r\n\r\n", False),
        (b"--next\r\n\r\n" + JPEG, False),
        (TYPE + LENGTH + b"\r\n" + JPEG, False),
        (b"next\r\n" + TYPE, False),
        (JPEG, False),
    ],
)
def test_regular_content_is_recognised(body: bytes, regular: bool | None) -> None:
    """None: too short to decide."""
    assert is_regular(body) is regular


@pytest.mark.parametrize("size", [1, 10, 100, 10_000])
def test_regular_content_is_passed_on_unchanged(size: int) -> None:
    body = (b"--next\r\n" + TYPE + LENGTH + b"\r\n" + JPEG + b"\r\n") * 3
    form = MjpegForm()
    assert b"".join(part for at in range(0, len(body), size) for part in form.feed(body[at : at + size])) == body
    assert form.pictures == 0


# With GStreamer


@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
def test_a_mutilated_stream_never_hangs_a_camera(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """Each plays, or fails with a reason; EDGE_TDN_FUZZ=1000 plays a thousand."""
    types = [
        "multipart/x-mixed-replace; boundary=next",
        "multipart/mixed",
        "image/jpeg",
        "text/html",
        "",
        "\xff;;=",
        "a/b",
    ]
    ended: dict[str, int] = {}
    for number in range(FUZZED):
        rng = random.Random(f"play {number}")
        body = b"".join(head(rng, len(one)) + one for one in rng.choices(PICTURES, k=rng.randint(0, 5)))
        body = body[: rng.choice([len(body), rng.randint(0, len(body))])]
        with serving(answering(body, rng.choice(types))) as address:
            source = run(f"{address}/live", timing=CaptureTiming(first_frame_s=3.0, stall_s=1.0))
            source.wait(lambda: source.state not in ("", "connecting", "streaming"))  # noqa: B023
            source.close()
        failed = [(state, reason) for state, reason in source.states if state not in ("connecting", "streaming")]
        assert all(reason for _, reason in failed)
        ended[failed[0][0]] = ended.get(failed[0][0], 0) + 1
    log.info("%d streams: %s", FUZZED, ended)
    assert "Traceback" not in capfd.readouterr().err
