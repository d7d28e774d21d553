"""The same small data set in every published format of lists: a bar that crosses the picture, to the left or right."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from edge_tdn_export.lists.video_list import Part
from edge_tdn_export.video_files import AS_IT_IS, Reading

from edge_tdn.capture.video_file import read_file
from edge_tdn.messages import Picture

FRAMES = 24  # of each video of `make_clips`
CLASSES = ("left", "right")


@dataclass(frozen=True)
class PublishedList:
    """A data set as it is published: its list, how it is read, and what the user is to be shown of it."""

    path: Path
    shown: str
    reading: Reading = AS_IT_IS
    part: Part | None = None
    videos: int = 4
    skipped: tuple[str, ...] = field(default=())


def write_pictures(folder: Path, pictures: Iterable[Picture], names: str = "img_{:05d}.jpg", first: int = 1) -> Path:
    """Write pictures, uint8 RGB, as numbered files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, first):
        assert cv2.imwrite(str(folder / names.format(number)), picture[..., ::-1])
    return folder


def _videos(clips: Path) -> list[tuple[str, int, Path]]:
    """Return class, number and file of two videos of each class."""
    return [(name, n, clips / name / f"take-{n}.mp4") for name in CLASSES for n in range(2)]


def _pictures(clips: Path, folder: Path, name: Callable[[str, int], str], pattern: str = "img_{:05d}.jpg") -> None:
    for label, n, video in _videos(clips):
        write_pictures(folder / name(label, n), (frame.picture for frame in read_file(video)), pattern)


def _files(clips: Path, folder: Path, name: Callable[[str, int], str]) -> None:
    for label, n, video in _videos(clips):
        target = folder / name(label, n)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _each(line: Callable[[str, int], str]) -> list[str]:
    return [line(name, n) for name in CLASSES for n in range(2)]


def tsn(clips: Path, folder: Path) -> PublishedList:
    """TSN, TSM, TDN: frame folders, their number of pictures, a number from 0; optical flow beside the pictures."""
    _pictures(clips, folder, "img/{}-{}".format)
    for flow in ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg"):
        _pictures(clips, folder, "img/{}-{}".format, flow)
    _write(folder / "category.txt", CLASSES)
    lines = _each(lambda name, n: f"img/{name}-{n} {FRAMES} {CLASSES.index(name)}")
    return PublishedList(
        _write(folder / "train_videofolder.txt", lines), "list of frame folders, as of TSN and TDN, 0-based"
    )


def something_frames(clips: Path, folder: Path) -> PublishedList:
    """Something-Something V1: `id;label`, labels one per line, frame folders of `00001.jpg`."""
    _pictures(clips, folder / "v1", lambda name, n: str(100218 + 10 * CLASSES.index(name) + n), "{:05d}.jpg")
    _write(folder / "something-something-v1-labels.csv", ["Moving something right", "Moving something left"])
    _write(folder / "something-something-v2-labels.json", [json.dumps({"Of another list": "0"})])
    lines = _each(lambda name, n: f"{100218 + 10 * CLASSES.index(name) + n};Moving something {name}")
    listed = _write(folder / "something-something-v1-train.csv", lines)
    return PublishedList(
        listed, "Something-Something CSV; 4 videos, 2 labels of something-something-v1", _in(folder / "v1")
    )


def something_json(clips: Path, folder: Path) -> PublishedList:
    """Something-Something V2: JSON with templates in brackets, and its labels file without."""
    _files(clips, folder / "v2", lambda name, n: f"{78687 + 10 * CLASSES.index(name) + n}.webm")
    labels = {"Moving something left": "0", "Moving something right": "1"}
    (folder / "something-something-v2-labels.json").write_text(json.dumps(labels))
    entries = [
        {
            "id": str(78687 + 10 * CLASSES.index(name) + n),
            "label": f"moving cup {name}",
            "template": f"Moving [something] {name}",
            "placeholders": ["cup"],
        }
        for name in CLASSES
        for n in range(2)
    ]
    listed = folder / "something-something-v2-train.json"
    listed.write_text(json.dumps(entries))
    return PublishedList(
        listed, "Something-Something JSON; 4 videos, 2 labels of something-something-v2", _in(folder / "v2")
    )


def mmaction2_commas(clips: Path, folder: Path) -> PublishedList:
    _files(clips, folder, "videos/{}/clip {}.mp4".format)
    _write(folder / "label_map.txt", CLASSES)
    lines = _each(lambda name, n: f"videos/{name}/clip {n}.mp4,{CLASSES.index(name)}")
    return PublishedList(_write(folder / "val.csv", lines), "list of videos, 0-based")


def mmaction2_frames(clips: Path, folder: Path) -> PublishedList:
    _pictures(clips, folder, "rawframes/{}/{}".format, "frame{:06d}.png")
    _write(folder / "labels.txt", CLASSES)
    lines = _each(lambda name, n: f"rawframes/{name}/{n} {FRAMES} {CLASSES.index(name)}")
    return PublishedList(_write(folder / "list.txt", lines), "list of frame folders, as of TSN and TDN, 0-based")


def tabs(clips: Path, folder: Path) -> PublishedList:
    """Tabs between path, number of frames, which is ignored for a video file, and label."""
    _files(clips, folder, "videos/{} {}.mp4".format)
    _write(folder / "labels.txt", CLASSES)
    lines = _each(lambda name, n: f"videos/{name} {n}.mp4\t30\t{CLASSES.index(name)}")
    return PublishedList(_write(folder / "list.txt", lines), "list of videos, 0-based")


def odd_paths(clips: Path, folder: Path) -> PublishedList:
    """Quotation marks, backslashes, commas within a path, blanks, and the byte order mark of Windows."""
    _files(clips, folder, lambda name, n: f"videos/{name}, take {n}.mp4")
    _write(folder / "labels.txt", CLASSES)
    lines = [
        '"videos/left, take 0.mp4",0',
        "'videos/left, take 1.mp4' 0",
        "videos\\right, take 0.mp4, 1",
        '"videos\\right, take 1.mp4"\t120\t1',
    ]
    listed = folder / "list.txt"
    listed.write_bytes("\r\n".join(lines).encode("utf-16"))
    return PublishedList(listed, "list of videos, 0-based")


def from_one(clips: Path, folder: Path) -> PublishedList:
    """A list that counts from 1, though its labels have no numbers; semicolons in the paths."""
    _files(clips, folder, "videos/{};{}.mp4".format)
    _write(folder / "labels.txt", CLASSES)
    lines = _each(lambda name, n: f"videos/{name};{n}.mp4 {CLASSES.index(name) + 1}")
    return PublishedList(_write(folder / "list.txt", lines), "list of videos, 1-based")


def ucf101(clips: Path, folder: Path) -> PublishedList:
    """UCF101: a train list with numbers from 1, those of classInd.txt; the videos are in another folder."""
    _files(clips, folder / "UCF-101", _ucf_name)
    _write(folder / "ucfTrainTestlist/classInd.txt", ["1 Right", "2 Left", ""])
    lines = _each(lambda name, n: f"{_ucf_name(name, n)} {1 if name == 'right' else 2}")
    listed = _write(folder / "ucfTrainTestlist/trainlist01.txt", lines)
    return PublishedList(listed, "UCF101 list, 1-based; 4 videos, 2 labels of classInd.txt", _in(folder / "UCF-101"))


def ucf101_test(clips: Path, folder: Path) -> PublishedList:
    """UCF101: a test list without numbers."""
    published = ucf101(clips, folder)
    listed = _write(published.path.with_name("testlist01.txt"), _each(_ucf_name))
    return PublishedList(listed, "UCF101 list, classes by folder; 4 videos", published.reading)


def hmdb51_train(clips: Path, folder: Path) -> PublishedList:
    """HMDB51: a file for each class; marks 1 for training, 2 for tests, 0 for neither."""
    _files(clips, folder / "videos", lambda name, n: f"turn_{name}/{n}_turn_{name}_f_cm_np1_ba_med_0.avi")
    for name in CLASSES:
        marks = [f"{n}_turn_{name}_f_cm_np1_ba_med_0.avi {mark} " for n, mark in ((0, 1), (1, 2), (2, 0))]
        _write(folder / f"splits/turn_{name}_test_split1.txt", marks)
        _write(folder / f"splits/turn_{name}_test_split2.txt", ["gone.avi 1"])
    listed = folder / "splits/turn_left_test_split1.txt"
    return PublishedList(listed, "HMDB51 split 1, its train part; 2 videos", _in(folder / "videos"), "train", videos=2)


def hmdb51_test(clips: Path, folder: Path) -> PublishedList:
    one = hmdb51_train(clips, folder)
    return PublishedList(one.path, "HMDB51 split 1, its test part; 2 videos", one.reading, "test", videos=2)


def kinetics(clips: Path, folder: Path) -> PublishedList:
    """Kinetics: CSV; clips that are cut out, or the whole video, whose seconds are stated."""
    _files(clips, folder, lambda name, n: f"train/moving_{name}/-id{name}{n}" + ("_000010_000012.mp4" if n else ".mkv"))
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for name in CLASSES:
            rows.writerow([f"moving {name}", f"-id{name}1", 10, 12, "train"])
            rows.writerow([f"moving {name}", f"-id{name}0", 0, 2, "train"])
        rows.writerow(["moving, fast", "gone", 3, 13, "train"])
    return PublishedList(
        folder / "train.csv",
        "Kinetics CSV; 4 videos, 3 labels, sorted",
        skipped=("gone_000003_000013: no such video",),
    )


def kinetics_json(clips: Path, folder: Path) -> PublishedList:
    published = kinetics(clips, folder)
    entries = {
        f"-id{name}1": {
            "annotations": {"label": f"moving {name}", "segment": [10.0, 12.0]},
            "subset": subset,
            "duration": 2.0,
        }
        for name, subset in zip(CLASSES, ("train", "train"), strict=True)
    } | {"gone": {"annotations": {"label": "moving left", "segment": [1.0, 9.0]}, "subset": "test"}}
    listed = published.path.with_suffix(".json")
    listed.write_text(json.dumps(entries))
    return PublishedList(listed, "Kinetics JSON, its split 'train'; 2 videos", part="train", videos=2)


ALL = (
    tsn,
    something_frames,
    something_json,
    mmaction2_commas,
    mmaction2_frames,
    tabs,
    odd_paths,
    from_one,
    ucf101,
    ucf101_test,
    hmdb51_train,
    hmdb51_test,
    kinetics,
    kinetics_json,
)


def _ucf_name(name: str, n: int) -> str:
    return f"{name.title()}/v_{name.title()}_g0{n + 1}_c01.avi"


def _in(folder: Path) -> Reading:
    return Reading(videos_in=folder)
