"""Codecs, containers and sizes: GStreamer writes them, and the same picture is played."""

import struct
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_tdn.capture.video_file import Decoder, read_file
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import NS_PER_MS, Picture
from tests.support.patterns import encode, quarter_colours, quarters, still

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
ORDER = ["red", "green", "blue", "white"]
FRAMES = 4


def written(folder: Path, size: tuple[int, int], chain: str) -> Path:
    """Write a video of FRAMES equal frames with four colours, and return its path."""
    return encode(f"{still(quarters(*size), folder, FRAMES)} ! videoconvert ! {chain}", folder / "video")


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
@pytest.mark.parametrize(
    ("size", "chain"),
    [
        ((240, 320), "video/x-raw,format=I420 ! x264enc ! mp4mux"),
        ((240, 320), "video/x-raw,format=I420_10LE ! x264enc ! matroskamux"),  # High 10
        ((240, 320), "video/x-raw,format=Y444 ! x264enc ! mp4mux"),
        ((240, 320), "video/x-raw,format=I420 ! x265enc ! h265parse ! mp4mux"),
        ((240, 320), "video/x-raw,format=I420_10LE ! x265enc ! h265parse ! mp4mux"),  # Main 10
        ((240, 320), "jpegenc quality=95 ! avimux"),
        ((240, 320), "vp8enc ! webmmux"),
        ((240, 320), "vp9enc ! webmmux"),
        ((240, 320), "video/x-raw,format=RGBA ! pngenc ! qtmux"),  # alpha
        ((241, 321), "x264enc ! matroskamux"),
        ((241, 321), "vp9enc ! webmmux"),
        ((16, 16), "video/x-raw,format=I420 ! x264enc ! mp4mux"),
        ((16, 16), "jpegenc quality=95 ! avimux"),
        ((2304, 4096), "jpegenc ! avimux"),
    ],
)
def test_a_format_plays(tmp_path: Path, decoder: str, size: tuple[int, int], chain: str) -> None:
    frames = list(read_file(written(tmp_path, size, chain), decoder))  # type: ignore[arg-type]
    assert len(frames) == FRAMES
    for frame in frames:
        assert frame.decoded.size == size
        assert frame.picture.shape == (*size, 3)
        assert quarter_colours(frame.picture) == ORDER


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_grey_video_is_grey(tmp_path: Path, decoder: str) -> None:
    path = written(tmp_path, (240, 320), "video/x-raw,format=GRAY8 ! jpegenc quality=95 ! avimux")
    for frame in read_file(path, decoder):  # type: ignore[arg-type]
        picture = frame.picture.astype(int)
        assert np.abs(picture - picture.mean(axis=2, keepdims=True)).max() <= 2
        assert picture[:100, :150].mean() + 100 < picture[140:, 170:].mean()  # red is darker than white


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_a_video_with_an_alpha_channel_plays(tmp_path: Path, decoder: str) -> None:
    """VP9 stores it as a second stream beside each frame. It is ignored."""
    colour, alpha = (vp9(tmp_path, pattern) for pattern in (quarters(240, 320), np.full((240, 320, 3), 128, np.uint8)))
    path = tmp_path / "alpha.webm"
    path.write_bytes(webm_with_alpha(240, 320, colour, alpha))
    frames = list(read_file(path, decoder))  # type: ignore[arg-type]
    assert len(frames) == FRAMES
    assert all(quarter_colours(frame.picture) == ORDER for frame in frames)


def vp9(folder: Path, picture: Picture) -> list[bytes]:
    """Return FRAMES encoded frames."""
    Gst, _ = gstreamer.load()
    pictures = still(picture, folder, FRAMES)
    pipeline = Gst.parse_launch(f"{pictures} ! videoconvert ! vp9enc lag-in-frames=0 ! appsink name=sink sync=false")
    pipeline.set_state(Gst.State.PLAYING)
    try:
        buffers = [pipeline.get_by_name("sink").pull_sample().get_buffer() for _ in range(FRAMES)]
        return [bytes(buffer.extract_dup(0, buffer.get_size())) for buffer in buffers]
    finally:
        pipeline.set_state(Gst.State.NULL)


def webm_with_alpha(height: int, width: int, colour: list[bytes], alpha: list[bytes]) -> bytes:
    """Return a WebM file with two streams in one track, which no muxer here writes. RFC 9559 names the elements."""

    def element(name: str, *content: bytes | int) -> bytes:
        payload = b"".join(part.to_bytes(4) if isinstance(part, int) else part for part in content)
        return bytes.fromhex(name) + (1 << 56 | len(payload)).to_bytes(8) + payload

    video = element("E0", element("B0", width), element("BA", height), element("53C0", 1))  # AlphaMode
    codec = element("86", b"V_VP9")
    track = element("AE", element("D7", 1), element("73C5", 1), element("83", 1), element("55EE", 1), codec, video)
    groups = [
        element(
            "A0",
            element("A1", b"\x81" + (40 * n).to_bytes(2) + b"\0" + picture),  # track 1, at so many ms
            element("75A1", element("A6", element("EE", 1), element("A5", beside))),
            element("9B", 40),
        )
        for n, (picture, beside) in enumerate(zip(colour, alpha, strict=True))
    ]
    cluster = element("1F43B675", element("E7", 0), *groups)
    head = element("1A45DFA3", element("4282", b"webm"), element("4287", 4), element("4285", 2))
    info = element("1549A966", element("2AD7B1", 1_000_000))
    return head + element("18538067", info, element("1654AE6B", track), cluster)


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_a_video_of_variable_rate_keeps_its_times(tmp_path: Path, decoder: str) -> None:
    """Frames are 40 ms apart and some are missing: the others keep their times."""
    kept = [0, 1, 2, 5, 6, 10, 11, 12]
    with closing(VideoWriter(tmp_path / "variable.mp4", LIVE_ENCODERS)) as writer:
        for number in kept:
            writer.write(np.full((48, 64, 4), 15 * number, np.uint8), number * 40 * NS_PER_MS)
        writer.finish()
    frames = list(read_file(tmp_path / "variable.mp4", decoder))  # type: ignore[arg-type]
    first_ns = frames[0].pts_ns
    assert [(frame.pts_ns - first_ns) / NS_PER_MS for frame in frames] == pytest.approx([40 * n for n in kept], abs=2)
    assert [round(float(frame.picture.mean()) / 15) for frame in frames] == kept


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_a_video_that_begins_after_its_sound_is_played_whole(decoder: Decoder, tmp_path: Path) -> None:
    """A file that was cut out of a longer one often has an empty edit, until its first key frame."""
    path = tmp_path / "cut.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (320, 240))  # type: ignore[attr-defined]
    for _ in range(60):
        writer.write(quarters(240, 320))
    writer.release()
    path.write_bytes(_with_empty_edit(path.read_bytes(), 1000))
    frames = list(read_file(path, decoder=decoder))
    assert len(frames) == 60
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(frames))


def _with_empty_edit(video: bytes, ms: int) -> bytes:
    """Return an MP4 file of one track whose list of edits begins with `ms` without frames."""
    changed = bytearray(video)
    entry = struct.pack(">IiI", ms, -1, 1 << 16)  # length, no media, rate
    for box in (b"moov", b"trak", b"edts", b"elst"):
        place = changed.index(box) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", changed, place)[0] + len(entry))
    edits = changed.index(b"elst") + 8  # the number of edits
    assert struct.unpack_from(">I", changed, edits) == (1,)
    struct.pack_into(">I", changed, edits, 2)
    changed[edits + 4 : edits + 4] = entry
    return bytes(changed)
