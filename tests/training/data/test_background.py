"""The class background, made of negatives."""

from collections.abc import Callable
from pathlib import Path

import pytest
from edge_tdn_training.data.background import with_background
from edge_tdn_training.data.dataset import DataSet, Video, open_data
from edge_tdn_training.data.video_cache import decode

from edge_tdn.capture.video_file import read_file
from tests.support.published_lists import write_pictures

pytestmark = pytest.mark.training


def test_background_is_made_of_unlabelled_intervals(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Half a second beside labelled intervals is left out; a file that is labelled as a whole gives none."""
    make_video(frames=150, name="long.mp4")  # 10 s
    make_video(frames=30, name="whole.mp4")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "list.txt").write_text("long.mp4#t=2,3 0\nlong.mp4#t=3.5,5 1\nwhole.mp4 0\n")
    data, notes = with_background(open_data(tmp_path / "list.txt"), None)
    assert data.labels == ("a", "b", "background")
    made = [(v.path.name, v.from_s, v.to_s) for v in data.videos if v.label == 2]
    assert made == [("long.mp4", 0, 1.5), ("long.mp4", 5.5, pytest.approx(10))]
    assert len({video.source for video in data.videos if video.path.name == "long.mp4"}) == 1
    assert notes == ("class 'background': 2 interval(s) outside of the labelled ones",)
    (tmp_path / "list.txt").write_text("whole.mp4 0\nwhole.mp4 1\n")
    same, notes = with_background(open_data(tmp_path / "list.txt"), None)
    assert same.labels == ("a", "b")
    assert "no class 'background'" in notes[0]


def test_negatives_of_one_call_of_record_are_one_recording(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Otherwise some would be held out while others are trained on. `dataset.toml` is in the parent folder."""
    (tmp_path / "negatives").mkdir()
    for number in (1, 2):
        make_video(frames=6, name=f"day-{number}.mp4").rename(tmp_path / f"negatives/day-{number}.mp4")
    data = DataSet(("a",), (Video(tmp_path / "x.mp4", 0, "x"),), (0,))
    for description, count in (("", 3), ("source = '(.+)-[0-9]+'\n", 2)):
        (tmp_path / "dataset.toml").write_text(description)
        both, _ = with_background(data, tmp_path / "negatives")
        assert len({video.source for video in both.videos}) == count


def test_negatives_may_be_frame_folders_and_are_named_as_other_data_is(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """Folders of pictures are videos; a dangling link is skipped; a video that an action has as well is named."""
    action = make_video(frames=30)
    folder = tmp_path / "negatives"
    write_pictures(folder / "street", (frame.picture for frame in read_file(action)))
    (folder / "linked.mp4").symlink_to(action)
    (folder / "gone.mkv").symlink_to("/nowhere.mkv")
    data, notes = with_background(DataSet(("a",), (Video(action, 0, "x"),), (0,)), folder)
    assert notes == (
        f"{folder}: 1 folder of pictures is read as a video: street",
        f"class 'background': 2 video(s) of {folder}",
    )
    assert len(with_background(data, folder / "street")[1]) == 0, "it was named itself"
    assert data.skipped == (f"{folder}/gone.mkv: a link to /nowhere.mkv, which does not exist",)
    (note,) = data.notes
    assert note.startswith(f"{action}, 'a', and {folder}/linked.mp4, 'background': one video under two labels")
    assert [len(frames) for frames in decode(data, 15.0, 48, tmp_path / "cache").frames] == [30, 30, 30]
