"""Data sets: reading, errors, and decoded frames that equal those of the live path."""

import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_training.data.augment import centre_crop, decoded_short_side
from edge_tdn_training.data.dataset import DataSet, Video, open_data
from edge_tdn_training.data.split import hold_out
from edge_tdn_training.data.video_cache import decode
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.capture.video_file import read_file
from edge_tdn.demo.scene import Pose, Scene
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.segments.window import Window
from tests.conftest import number_in
from tests.support.waiting import eventually

pytestmark = pytest.mark.training

ODD = ("açaí & co.", "door 'propped' open", "人が転ぶ", "100 %", "-rf", "a;b")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/deeper/x.MP4" for name in ODD), ".hidden/x.mp4", f"{ODD[0]}/notes.txt", "stray.mkv")
    data = open_data(tmp_path)
    assert data.labels == tuple(sorted(ODD))
    assert [data.labels[video.label] for video in data.videos] == sorted(ODD)
    assert data.skipped == (f"{tmp_path / 'stray.mkv'}: is not in the folder of a class",)
    assert len({video.source for video in data.videos}) == len(ODD)


def test_a_list_file_in_all_its_forms(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "my clip 3.mp4", "clips/b.mp4")
    (tmp_path / "frames").mkdir()
    (tmp_path / "labels.txt").write_text("up\ndown\n")
    (tmp_path / "train.txt").write_text(
        "a.mp4 1\nclips/b.mp4 120 0\n\nmy clip 3.mp4 0\nmy clip 3.mp4 33 1\na.mp4#t=1.5,4 0\na.mp4#t=2 1\n"
        f"{tmp_path / 'a.mp4'} 0\ngone.mp4 5 0\nframes 30 1\n"
    )
    data = open_data(tmp_path / "train.txt")
    found = [(v.path.relative_to(tmp_path).as_posix(), v.label, v.from_s, v.to_s) for v in data.videos]
    assert found == [
        ("a.mp4", 1, 0, None),
        ("clips/b.mp4", 0, 0, None),
        ("my clip 3.mp4", 0, 0, None),
        ("my clip 3.mp4", 1, 0, None),
        ("a.mp4", 0, 1.5, 4),
        ("a.mp4", 1, 2, None),
        ("a.mp4", 0, 0, None),
        ("frames", 1, 0, None),
    ]
    assert [video.frames for video in data.videos] == [None] * 7 + [30], "a folder of pictures has a number of them"
    assert data.videos[0].source == data.videos[4].source, "parts of one file are of one recording"
    assert [reason.split(": ", 1)[1] for reason in data.skipped] == [f"{tmp_path / 'gone.mp4'}: no such video"]


def test_names_of_videos_may_end_with_a_number(tmp_path: Path) -> None:
    """Only if none of them exists, the three numbers of each line are taken for several labels."""
    for name in ("take 1", "take 2"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.txt").write_text("up\ndown\n")
    (tmp_path / "train.txt").write_text("take 1 30 0\ntake 2 30 1\n")
    data = open_data(tmp_path / "train.txt")
    assert [(video.path.name, video.label, video.frames) for video in data.videos] == [
        ("take 1", 0, 30),
        ("take 2", 1, 30),
    ]


def test_dataset_toml_defines_mirror_images_and_recordings(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "turn left/hall-1.mp4",
        "turn left/hall-2.mp4",
        "turn right/hall-3.mp4",
        "turn right/x.mp4",
        "go/y.mp4",
    )
    (tmp_path / "dataset.toml").write_text('source = \'(.+)-[0-9]+\'\n[flip]\n"turn left" = "turn right"\n')
    data = open_data(tmp_path)
    assert data.labels == ("go", "turn left", "turn right")
    assert data.swaps == (0, 2, 1)
    assert [video.source for video in data.videos] == ["go/y.mp4", "hall", "hall", "hall", "turn right/x.mp4"]
    assert data.sideways == ()
    (tmp_path / "dataset.toml").unlink()
    assert open_data(tmp_path).sideways == ("turn left", "turn right")


@pytest.mark.parametrize(
    ("files", "description", "message"),
    [
        ([], "", "no class in it"),
        (["a/x.mp4", "b/x.txt"], "", "b: no video of this class"),
        (["a/x.mp4", "b /x.mp4"], "", "'b ' in "),
        (["a/x.mp4", "b\nc/x.mp4"], "", "not a valid class name"),
        (["a/x.mp4"], "flip = 3", "flip: 3 is not a table"),
        (
            ["left/x.mp4", "right/x.mp4"],
            '[flip]\nleft = "rihgt"',
            "flip: 'rihgt' is not a label; did you mean 'right'?",
        ),
        (["a/x.mp4", "b/x.mp4", "c/x.mp4"], '[flip]\na = "b"\nb = "c"', "flip: 'b' cannot become both 'a' and 'c'"),
        (["a/x.mp4"], "flips = 3", "flips: unknown key; allowed: source, flip"),
        (["a/x.mp4"], "source = '('", "is not a regular expression"),
        (["a/x.mp4"], "source = 'x'", "must have one group, the recording"),
        (["a/x.mp4"], "[flip", "dataset.toml: "),
    ],
)
def test_invalid_data_is_named(files: list[str], description: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path, *files)
    if description:
        (tmp_path / "dataset.toml").write_text(description)
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_data(tmp_path)


@pytest.mark.parametrize("line", ["a.mp4", "a.mp4 2", "a.mp4 -1", "a.mp4 up", "a.mp4#t=4,2 0", "a.mp4#t=1.2.3 0"])
def test_an_invalid_line_of_a_list_is_named(line: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "labels.txt").write_text("up\ndown\n")
    (tmp_path / "train.txt").write_text(f"a.mp4 0\n{line}\n")
    with pytest.raises(ConfigError, match=r"train\.txt:2"):
        open_data(tmp_path / "train.txt")


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=1, max_size=40),
    st.floats(0.05, 0.6),
    st.integers(0, 3),
)
def test_no_recording_is_on_both_sides(drawn: list[tuple[int, int]], share: float, seed: int) -> None:
    """Every class is on both sides, or an error gives the reason."""
    videos = tuple(Video(Path(f"{n}.mp4"), label, f"s{source}") for n, (label, source) in enumerate(drawn))
    data = DataSet(("a", "b", "c"), videos, (0, 1, 2))
    recordings = {label: {v.source for v in videos if v.label == label} for label, _ in drawn}
    apart = all(len({label for label, own in recordings.items() if v.source in own}) == 1 for v in videos)
    try:
        kept, held = hold_out(data, share, seed)
    except ConfigError:
        kept = held = data
    if kept is data:
        assert not apart or min(map(len, recordings.values())) == 1
        return
    assert sorted(v.path for v in kept.videos + held.videos) == sorted(v.path for v in videos)
    assert not {v.source for v in kept.videos} & {v.source for v in held.videos}
    labels = {v.label for v in videos}
    assert {v.label for v in kept.videos} == {v.label for v in held.videos} == labels


def test_a_class_of_one_recording_is_not_held_out() -> None:
    videos = (*(Video(Path(f"{n}.mp4"), 0, f"s{n}") for n in range(5)), Video(Path("x.mp4"), 1, "x"))
    with pytest.raises(ConfigError, match="class 'b': nothing can be held out of its 1 video"):
        hold_out(DataSet(("a", "b"), videos, (0, 1)), 0.2, 1)


@pytest.mark.parametrize(("rate", "height", "width"), [(15, 96, 128), (25, 160, 90)])
def test_decoded_frames_are_those_of_the_live_path(rate: int, height: int, width: int, tmp_path: Path) -> None:
    """Pixel for pixel, and the same frame for every tick, with a centre crop of textured pictures."""
    video = tmp_path / "textured.mp4"
    scene = Scene(np.random.default_rng(1), height, width)
    write_video((scene.draw(Pose(0.3 + n / 500, 0.5, 0.4)) for n in range(3 * rate)), rate, video)
    spec = InputSpec(
        segments=8, height=64, width=64, resize="short_side_centre_crop", short_side=73, frame_rate=12, segment_stride=3
    )
    window = Window(spec, 0.5)
    segments = [segment for frame in read_file(video) for segment in window.push(frame)]
    data = DataSet(("a",), (Video(video, 0, "x"),), (0,))
    (frames,) = decode(data, spec.frame_rate, decoded_short_side(spec), tmp_path / "cache").frames
    assert min(frames.shape[1:3]) == 73
    assert len(np.unique(frames.take(np.arange(1)))) > 100
    assert len(segments) >= 8
    for segment in segments:
        ticks = spec.starts[0] + segment.index * spec.segment_stride + np.arange(FRAMES_PER_SEGMENT)
        assert np.array_equal(centre_crop(frames.take(ticks), spec), segment.frames)


def test_a_part_begins_and_ends_at_its_seconds(make_video: Callable[..., Path], tmp_path: Path) -> None:
    video = make_video(60, 15)
    parts = (Video(video, 0, "x", 1.0, 2.0), Video(video, 0, "x", 2.0), Video(video, 0, "x", 90.0))
    decoded = decode(DataSet(("a",), parts, (0,)), 15, 48, tmp_path / "cache")
    numbers = [[number_in(picture) for picture in f.take(np.arange(len(f)))] for f in decoded.frames]
    assert numbers == [list(range(15, 30)), list(range(30, 60))]
    assert decoded.data.skipped == (f"{video}#t=90: 0 frames at 15 a second; a segment has five",)


def test_unusable_videos_are_named_and_the_rest_is_kept(make_video: Callable[..., Path], tmp_path: Path) -> None:
    good, short, bad = make_video(20, name="good.mp4"), make_video(3, name="short.mp4"), tmp_path / "bad.mp4"
    bad.write_bytes(os.urandom(5000))
    data = DataSet(("a",), tuple(Video(path, 0, path.name) for path in (bad, good, short)), (0,), ("before",))
    reported: list[str] = []
    decoded = decode(data, 15, 48, tmp_path / "cache", reported.append)
    assert [video.path for video in decoded.data.videos] == [good]
    assert len(decoded.frames[0]) == 20
    assert decoded.data.skipped[0] == "before"
    assert decoded.data.skipped[1].startswith(f"{bad}: ")
    assert decoded.data.skipped[2] == f"{short}: 3 frames at 15 a second; a segment has five"
    assert reported == ["bad.mp4", "good.mp4", "short.mp4"]
    with pytest.raises(ConfigError, match="none of 1 videos can be used"):
        decode(DataSet(("a",), (Video(bad, 0, "b"),), (0,)), 15, 48, tmp_path / "cache")


def test_a_video_is_decoded_once_and_again_when_it_changes(make_video: Callable[..., Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    data = DataSet(("a",), (Video(make_video(20), 0, "x"),), (0,))

    def files(rate: float = 15) -> dict[str, int]:
        decode(data, rate, 48, cache)
        return {str(path): path.stat().st_ino for path in cache.rglob("*") if path.is_file()}

    first = files()
    assert files() == first
    make_video(25)
    changed = files()
    assert len(changed) == 1
    assert changed != first
    assert len(decode(data, 15, 48, cache).frames[0]) == 25
    assert len(files(rate=5)) == 2


def test_a_killed_decoder_leaves_no_file_that_looks_complete(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL while it writes; the next decoder deletes what was left, and returns every frame."""
    cache, video = tmp_path / "cache", make_video(300)
    program = (
        "import sys; from pathlib import Path; from edge_tdn_training.data.dataset import *\n"
        "from edge_tdn_training.data.video_cache import decode\n"
        "decode(DataSet(('a',), (Video(Path(sys.argv[1]), 0, 'x'),), (0,)), 15, 256, Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(video), str(cache)])
    eventually(lambda: any(path.stat().st_size > 1 << 20 for path in cache.rglob(".*")) or process.poll() is not None)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the decoder ended before it was killed"
    (left,) = (path for path in cache.rglob("*") if path.is_file())
    assert left.suffix != ".npy"
    others = [left.with_name(left.name.replace(platform.node(), "elsewhere")), left.with_name(".nfs0001")]
    for other in others:  # of a host that shares the cache, and of something unknown
        other.touch()
    decoded = decode(DataSet(("a",), (Video(video, 0, "x"),), (0,)), 15, 256, cache)
    assert len(decoded.frames[0]) == 300
    assert [path.suffix for path in cache.rglob("*") if path.is_file() and path not in others] == [".npy"]
    assert all(other.exists() for other in others)


def test_ctrl_c_stops_decoding_at_once(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """The other decoders stop in the middle of their videos, and leave no files."""
    names = [f"{n}.mp4" for n in range(2)]
    make_video(12, name=names[0])
    make_video(900, name=names[1])
    data = DataSet(("a",), tuple(Video(tmp_path / name, 0, name) for name in names), (0,))
    cache = tmp_path / "cache"

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(data, 15, 512, cache, interrupt)
    assert [path.suffix for path in cache.rglob("*") if path.is_file()] == [".npy"]
