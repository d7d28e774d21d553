"""A folder of numbered pictures is a video: its pictures, times and gaps, and what cannot be read."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_tdn.capture.picture_folder import Pictures, parse_names
from edge_tdn.capture.video_file import length_s, read_file
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.messages import NS_PER_S

TEN = Pictures(per_second=10.0)
SHADES = (0, 50, 100, 150, 200, 250)


def fill(folder: Path, *names: str, shade: int = 90) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / name), np.full((48, 64, 3), shade, np.uint8))
    return folder


@pytest.mark.parametrize("names", ["img_{:05d}.jpg", "{:06d}.png", "image-{}.JPG", "frame{:02d}.bmp", "人{:d}.webp"])
@pytest.mark.parametrize("first", [0, 1, 7])
def test_pictures_are_frames_in_the_order_of_their_numbers(names: str, first: int, tmp_path: Path) -> None:
    """Numbers may have any width: 10 comes after 9. The first picture is at 0 s."""
    for number, shade in enumerate(SHADES, first):
        fill(tmp_path, names.format(number), shade=shade)
    frames = list(read_file(tmp_path, pictures=TEN))
    assert [frame.pts_ns for frame in frames] == [n * NS_PER_S // 10 for n in range(len(SHADES))]
    for frame, shade in zip(frames, SHADES, strict=True):
        assert np.abs(frame.picture.astype(int) - shade).max() <= 2
    assert {frame.stream for frame in frames} == {1}
    assert length_s(tmp_path, pictures=TEN) == pytest.approx(0.6)


def test_colours_are_those_of_the_picture(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(tmp_path / "1.png"), pixels)
    (frame,) = read_file(tmp_path, pictures=TEN)
    assert frame.picture[0, 0].tolist() == [200, 0, 0]
    (turned,) = read_file(tmp_path, rotate=90, pictures=TEN)
    assert turned.picture.shape == (64, 48, 3)


def test_a_missing_picture_is_a_gap_in_time(tmp_path: Path) -> None:
    fill(tmp_path, "img_00001.jpg", "img_00002.jpg", "img_00005.jpg")
    assert [frame.pts_ns / NS_PER_S for frame in read_file(tmp_path, pictures=TEN)] == [0, 0.1, 0.4]


def test_optical_flow_beside_the_pictures_is_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "img_00001.jpg", "flow_x_00001.jpg", "flow_y_00001.jpg", "x_0001.jpg", "notes.txt.png", ".1.jpg")
    assert len(list(read_file(tmp_path, pictures=TEN))) == 1


@pytest.mark.parametrize(
    ("names", "chosen", "message"),
    [
        ((), None, r"no numbered pictures in it; looked for names such as img_00001\.jpg"),
        (("a1.jpg", "b1.jpg"), None, r"pictures of several videos: a1\.jpg to a1\.jpg, b1\.jpg .*--picture-names"),
        (("a1.jpg",), "b{:d}.jpg", r"looked for bNUMBER\.jpg; it has a1\.jpg to a1\.jpg"),
        (("a1.jpg", "a01.jpg"), None, r"a01\.jpg and a1\.jpg have the same number"),
    ],
)
def test_a_folder_that_is_not_one_video_is_named(
    names: tuple[str, ...], chosen: str | None, message: str, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "f", *names)
    with pytest.raises(SourceError, match=f"^{re.escape(str(folder))}: .*{message}"):
        list(read_file(folder, pictures=Pictures(parse_names(chosen) if chosen else None, 10.0)))


@pytest.mark.parametrize(
    "damage",
    [lambda raw: b"", lambda raw: raw[: len(raw) // 2], lambda raw: b"junk" * 50, lambda raw: raw[:3]],
    ids=["empty", "truncated", "junk", "beginning"],
)
def test_a_damaged_picture_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A truncated one as well, which OpenCV would fill with grey."""
    fill(tmp_path, "1.jpg", "2.jpg")
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "2.jpg"), noise)
    (tmp_path / "2.jpg").write_bytes(damage((tmp_path / "2.jpg").read_bytes()))
    with pytest.raises(SourceError, match=r"2\.jpg: (the file is empty|damaged, or not a picture)"):
        list(read_file(tmp_path, pictures=TEN))


def test_patterns_of_names_are_those_of_published_code_and_of_ffmpeg() -> None:
    for pattern in ("img_{:05d}.jpg", "img_{:05}.jpg", "img_{}.jpg", "img_%05d.jpg", "img_%d.JPG"):
        assert parse_names(pattern) == ("img_", ".jpg")
    for wrong in ("img_.jpg", "img_{:05d}", "a/img_{:05d}.jpg", "img_{:05d}.mp4", "{:05f}.jpg", "*.jpg", ""):
        with pytest.raises(ConfigError, match="expected the name of a picture with a place for its number"):
            parse_names(wrong)
