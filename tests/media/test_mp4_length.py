"""The length of an MP4 from its index: that of a player, for every file that we write; 0 for what is not one."""

import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.capture.video_file import length_s
from edge_tdn.media.mp4_length import mp4_length_s


def box(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(content) if length is None else length, kind) + content


def header(version: int, per_second: int, length: int) -> bytes:
    times = b"\0" * (16 if version else 8)
    return bytes([version, 0, 0, 0]) + times + struct.pack(">IQ" if version else ">II", per_second, length)


@pytest.mark.parametrize(("frames", "rate"), [(45, 15), (7, 30), (1, 15)])
def test_it_is_the_length_that_a_player_finds(make_video: Callable[..., Path], frames: int, rate: int) -> None:
    video = make_video(frames=frames, rate=rate)
    assert mp4_length_s(video) == pytest.approx(frames / rate, abs=0.04)
    assert mp4_length_s(video) == pytest.approx(length_s(video), abs=0.04)


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_the_header_are_read(version: int, tmp_path: Path) -> None:
    index = box(b"moov", box(b"iods", b"1234") + box(b"mvhd", header(version, 1000, 2500)))
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + box(b"mdat", b"\0" * 999) + index)
    assert mp4_length_s(path) == 2.5


def test_a_large_file_has_long_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    data = struct.pack(">I4sQ", 1, b"mdat", 16 + 99) + b"\0" * 99
    path.write_bytes(data + box(b"moov", box(b"mvhd", header(0, 600, 600), length=0), length=0))
    assert mp4_length_s(path) == 1.0


def test_what_is_not_an_mp4_has_no_length(tmp_path: Path) -> None:
    assert mp4_length_s(tmp_path / "gone.mp4") == 0.0
    assert mp4_length_s(tmp_path) == 0.0
    path = tmp_path / "a.mp4"
    for content in (
        b"",
        b"short",
        box(b"moov", b"", length=4),
        box(b"moov", box(b"mvhd", b"\0\0")),
        box(b"moov", box(b"mvhd", header(0, 0, 9))),
        box(b"free", b"") * 1000,
    ):
        path.write_bytes(content)
        assert mp4_length_s(path) == 0.0, content


@given(st.binary(max_size=300))
def test_no_content_is_an_error(content: bytes) -> None:
    with NamedTemporaryFile(suffix=".mp4") as file:
        file.write(box(b"moov", content))
        file.flush()
        assert mp4_length_s(Path(file.name)) >= 0.0
