"""PublishedList lists of videos and of frame folders as data sets: every video has the label of what it shows."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unicodedata import category

import cv2
import numpy as np
import pytest
from edge_tdn_export.clips import find_videos
from edge_tdn_export.lists.labels import find_labels
from edge_tdn_export.video_files import Reading
from edge_tdn_training.data.augment import centre_crop, decoded_short_side
from edge_tdn_training.data.copies import copies_are_one
from edge_tdn_training.data.dataset import DataSet, open_data, open_evaluation_data
from edge_tdn_training.data.sampling import centre_segments
from edge_tdn_training.data.split import check_evaluation_data
from edge_tdn_training.data.video_cache import decode

from edge_tdn.capture.picture_folder import Pictures, parse_names
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import InputSpec
from tests.support import published_lists
from tests.support.published_lists import CLASSES, FRAMES, PublishedList, write_pictures
from tests.support.training_clips import SPEC, make_clips, moves

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders left and right, with two videos each."""
    return make_clips(tmp_path_factory.mktemp("clips"), each=2)


def shown(data: DataSet, cache: Path, spec: InputSpec = SPEC) -> list[tuple[str, str]]:
    """Return label and direction of the bar of every video that can be decoded."""
    decoded = decode(data, spec.frame_rate, decoded_short_side(spec), cache)
    found = []
    for video, frames in zip(decoded.data.videos, decoded.frames, strict=True):
        clip = centre_crop(frames.take(centre_segments(len(frames), spec.segments)), spec)
        found.append((decoded.labels[video.label], moves(clip)))
    return found


@pytest.mark.parametrize("write", published_lists.ALL, ids=lambda write: write.__name__)
def test_every_published_format_gives_each_video_the_label_of_what_it_shows(
    write: Callable[[Path, Path], PublishedList], clips: Path, tmp_path: Path
) -> None:
    """The format is stated in one line."""
    published = write(clips, tmp_path / "data")
    data = open_data(published.path, published.reading, published.part)
    (note,) = data.notes
    assert note.startswith(f"{published.path}: {published.shown}"), note
    assert [reason.partition("/data/")[2].rpartition("/")[2] for reason in data.skipped] == list(published.skipped)
    found = shown(data, tmp_path / "cache")
    assert len(found) == published.videos
    assert {direction for _, direction in found} == set(CLASSES)
    assert all(label.lower().endswith(direction) for label, direction in found), found


def test_pictures_of_a_frame_folder_are_the_frames_of_the_clip(clips: Path, tmp_path: Path) -> None:
    """Each picture is one frame at the model's rate, whatever that is, as in the published sampling."""
    published = published_lists.tsn(clips, tmp_path)
    data = open_data(published.path)
    for rate in (12.0, 30.0):
        decoded = decode(data, rate, 80, tmp_path / "cache")
        assert {len(frames) for frames in decoded.frames} == {FRAMES}
    slow = open_data(published.path, Reading(pictures=Pictures(per_second=24.0)))
    assert {len(frames) for frames in decode(slow, 12.0, 80, tmp_path / "cache").frames} == {FRAMES // 2}
    video, (frames, *_) = data.videos[0], decode(data, 12.0, 80, tmp_path / "cache").frames
    first = cv2.imread(str(video.path / "img_00001.jpg"))[..., ::-1]
    assert np.array_equal(frames.take(np.array([0]))[0], first), "80 pixels high: not even resized"


def test_a_list_states_how_many_pictures_are_used(clips: Path, tmp_path: Path) -> None:
    """More than it states are left out; if the folder ends half a second before, it is named and left out."""
    published = published_lists.tsn(clips, tmp_path)
    counts = ("left-0 12 0", "left-1 24 0", "right-0 26 1", "right-1 60 1", "right-1 20 1")
    published.path.write_text("".join(f"img/{count}\n" for count in counts))
    decoded = decode(open_data(published.path), 12.0, 80, tmp_path / "cache")
    assert [len(frames) for frames in decoded.frames] == [12, 24, 24, 20]
    (reason,) = decoded.data.skipped
    assert "right-1: the last 3.0 s of the 60 pictures that the list states are missing" in reason


def test_changed_pictures_are_decoded_again(clips: Path, tmp_path: Path) -> None:
    published = published_lists.tsn(clips, tmp_path)
    data = open_data(published.path)
    before = decode(data, 12.0, 80, tmp_path / "cache").frames[0].take(np.arange(FRAMES))
    folder = data.videos[0].path
    times = folder.stat()
    write_pictures(folder, [np.full((80, 112, 3), 200, np.uint8)] * FRAMES)
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))  # pictures that are overwritten do not change it
    after = decode(data, 12.0, 80, tmp_path / "cache").frames[0].take(np.arange(FRAMES))
    assert before.std() > 10
    assert after.std() < 1


def test_other_names_of_pictures_are_found_or_chosen(clips: Path, tmp_path: Path) -> None:
    """Where a folder has several videos, one is chosen with an option; both are named until then."""
    published = published_lists.tsn(clips, tmp_path)
    for folder in (tmp_path / "img").iterdir():
        write_pictures(folder, [np.full((80, 112, 3), 9, np.uint8)] * FRAMES, "depth-{:03d}.png")
    with pytest.raises(
        ConfigError, match=r"pictures of several videos: .*depth-001\.png to depth-024\.png.*--picture-n"
    ):
        decode(open_data(published.path), 12.0, 80, tmp_path / "cache")
    chosen = Reading(pictures=Pictures(parse_names("img_{:05d}.jpg")))
    assert all(label == direction for label, direction in shown(open_data(published.path, chosen), tmp_path / "cache"))
    other = Reading(pictures=Pictures(parse_names("depth-%03d.png")))
    assert (
        decode(open_data(published.path, other), 12.0, 80, tmp_path / "cache").frames[0].take(np.arange(5)).max() < 20
    )


def test_class_folders_may_contain_folders_of_pictures(clips: Path, tmp_path: Path) -> None:
    for label in CLASSES:
        shutil.copytree(clips / label, tmp_path / "data" / label)
        write_pictures(tmp_path / "data" / label / "deeper/take-9", [np.zeros((80, 112, 3), np.uint8)] * 9)
    data = open_data(tmp_path / "data")
    assert [video.path.name for video in data.videos] == ["take-9", "take-0.mp4", "take-1.mp4"] * 2
    assert data.skipped == ()
    assert data.notes == (
        f"{tmp_path}/data: 2 folders of pictures are read as videos: left/deeper/take-9, right/deeper/take-9",
    )
    assert [len(frames) for frames in decode(data, 12.0, 80, tmp_path / "cache").frames] == [9, 24, 24] * 2
    for number in range(60):
        write_pictures(tmp_path / f"data/left/{number:02}", [np.zeros((80, 112, 3), np.uint8)])
    (note,) = open_data(tmp_path / "data").notes
    assert note.startswith(f"{tmp_path}/data: 62 folders of pictures are read as videos: left/00, left/01, ")
    assert note.endswith(", left/49 and 12 more")


def test_frames_beside_their_video_are_not_a_second_recording(clips: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "data"))
    write_pictures(folder / "left/take-0", [np.zeros((80, 112, 3), np.uint8)] * 9)
    data = open_data(folder)
    assert [video.path.name for video in data.videos] == ["take-0.mp4", "take-1.mp4"] * 2
    assert data.skipped == (f"{folder}/left/take-0: its frames are those of take-0.mp4",)
    assert data.notes == ()
    assert find_videos(folder / "left") == [folder / "left/take-0.mp4", folder / "left/take-1.mp4"]


def test_files_that_are_not_read_are_named(clips: Path, tmp_path: Path) -> None:
    """Dangling links, unknown suffixes and loose pictures are; notes beside videos are not. Other videos are read."""
    folder = tmp_path / "data"
    shutil.copytree(clips, folder)
    names = ("a.wmv", "b.3gp", "c.flv", "d.MTS", "e.rmvb", "notes.txt", ".hidden.mp4", "cover.jpg")
    for name in names:
        shutil.copy(clips / "left/take-0.mp4", folder / "left" / name)
    (folder / "left/gone.mp4").symlink_to("/nowhere.mp4")
    (folder / "left/folder").symlink_to("/nowhere")
    (folder / "up").symlink_to("/nowhere")
    (folder / "right/linked").symlink_to(clips / "right")
    (folder / "right/itself").symlink_to(folder / "right")
    write_pictures(folder / "right", [np.zeros((80, 112, 3), np.uint8)] * 9).joinpath("take-0.mp4").unlink()
    (folder / "right/take-1.mp4").unlink()
    data = open_data(folder)
    read = [video.path.relative_to(folder).as_posix() for video in data.videos]
    expected = [f"left/{name}" for name in ("a.wmv", "b.3gp", "c.flv", "d.MTS", "take-0.mp4", "take-1.mp4")]
    assert read == [*expected, "right/linked/take-0.mp4", "right/linked/take-1.mp4"]
    assert [reason.removeprefix(f"{folder}/") for reason in data.skipped] == [
        "up: a link that leads nowhere",
        "left/e.rmvb: the suffix .rmvb is not known as a video's; rename or convert it",
        "left/folder: a link to /nowhere, which does not exist",
        "left/gone.mp4: a link to /nowhere.mp4, which does not exist",
        "right: pictures of a class; each video needs a folder of its own for its pictures",
    ]
    assert len(decode(data, 12.0, 80, tmp_path / "cache").frames) == 8, "every one of them is a video"


def test_a_video_under_two_labels_is_named(clips: Path, tmp_path: Path) -> None:
    """The same file, one linked, and a copy; not two parts of a file."""
    folder = Path(shutil.copytree(clips, tmp_path / "data"))
    (folder / "right/linked.mp4").symlink_to(folder / "left/take-0.mp4")
    shutil.copy(folder / "left/take-1.mp4", folder / "right/copied.mp4")
    data = open_data(folder)
    (note,) = data.notes
    assert note.startswith(f"{folder}/left/take-0.mp4, 'left', and {folder}/right/linked.mp4, 'right': one video under")
    _, notes = copies_are_one(data)
    (copied,) = (note for note in notes if "under two labels" in note)
    assert copied.startswith(f"{folder}/left/take-1.mp4, 'left', and {folder}/right/copied.mp4, 'right': one video")
    (tmp_path / "labels.txt").write_text("left\nright\n")
    (tmp_path / "list.txt").write_text(f"{folder}/left/take-0.mp4#t=0,1 0\n{folder}/left/take-0.mp4#t=1,2 1\n")
    assert len(open_data(tmp_path / "list.txt").notes) == 1, "its format only"


def test_copies_of_frame_folders_are_found(clips: Path, tmp_path: Path) -> None:
    published = published_lists.tsn(clips, tmp_path / "train")
    shutil.copytree(tmp_path / "train/img/left-0", tmp_path / "other/elsewhere")
    (tmp_path / "other/labels.txt").write_text("left\nright\n")
    (tmp_path / "other/list.txt").write_text("elsewhere 24 0\n")
    with pytest.raises(ConfigError, match=r"elsewhere: would be evaluated on and is trained on, as .*left-0"):
        check_evaluation_data(open_data(published.path), open_data(tmp_path / "other/list.txt"))


def put(folder: Path, content: str, labels: str = "left\nright\n", name: str = "list.txt") -> Path:
    (folder / "left").mkdir(exist_ok=True)
    for video in ("a.mp4", "b.mp4", "left/a.mp4"):
        (folder / video).touch()
    (folder / "labels.txt").write_text(labels)
    (folder / name).write_text(content)
    return folder / name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.mp4 0\nb.mp4 2\n", r"list\.txt:2: label 2, in a list of videos that counts from 0; .* 0 to 1 are allowed"),
        ("a.mp4 1\nb.mp4 3\n", r"list\.txt:1?2: label 3, in a list of videos that counts from 0"),
        ("a.mp4 0\nb.mp4 right\n", r"list\.txt:2: 'b\.mp4 right'; expected: path, number of frames"),
        ("path label\na.mp4 0\n", r"list\.txt:1: .*remove the header line"),
        ("0 a.mp4\n1 b.mp4\n", r"list\.txt:1: .*a number comes first: is it a file of labels"),
        ("a.mp4\nb.mp4\n", r"list\.txt:1: 'a\.mp4'; .*it has no label: a test set\?"),
        ("a.mp4 5 0 1\nb.mp4 5 1 0\n", r"list\.txt:1: .*three numbers after the path.*several labels or offsets"),
        ("gone.mp4 0\nC:\\clips\\b.mp4 1\n", r"none of its videos exists below .*--videos-in\n.*\n.*a path of Windows"),
        ("\n \n", r"list\.txt: no video in it"),
        ("<!DOCTYPE html>\n<html></html>\n", r"list\.txt: is a web page, not the file itself"),
        ("17;Rotating something\n", r"list\.txt:1: unknown label 'Rotating something'; it is not in .*labels\.txt"),
        ("17\n18\n", r"list\.txt:1: '17'"),
        ("./ 0\na.mp4 1\n", r"list\.txt:1: .*an empty path"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_data(put(tmp_path, content))


def test_how_a_list_counts_is_found_stated_or_asked_for(tmp_path: Path) -> None:
    """By the number 0, by the number of labels, by the folders of the classes; never silently by assumption."""
    labels = "up\nleft\ndown\n"
    numbers = [1, 1, 1]
    ambiguous = "a.mp4 1\nb.mp4 1\na.mp4#t=1 1\n"
    with pytest.raises(ConfigError, match=r"list\.txt:1: .*may count from 0 or from 1; add `first_label = 0` or"):
        open_data(put(tmp_path, ambiguous, labels))
    for first, label in ((0, 1), (1, 0)):
        (tmp_path / "dataset.toml").write_text(f"first_label = {first}\n")
        data = open_data(put(tmp_path, ambiguous, labels))
        assert [video.label for video in data.videos] == [label] * len(numbers)
        assert f", {first}-based; " in data.notes[0]
    (tmp_path / "dataset.toml").write_text("first_label = 2\n")
    with pytest.raises(ConfigError, match="first_label: 2 is neither 0 nor 1"):
        open_data(put(tmp_path, ambiguous, labels))
    (tmp_path / "dataset.toml").unlink()
    by_folder = open_data(put(tmp_path, "left/a.mp4 2\na.mp4 2\nb.mp4 1\n", labels))
    assert [video.label for video in by_folder.videos] == [1, 1, 0]
    (tmp_path / "classInd.txt").write_text("1 up\n2 left\n3 down\n")
    for content, expected in ((ambiguous, [0, 0, 0]), ("a.mp4 0\nb.mp4 2\n", [0, 2])):
        data = open_data(put(tmp_path, content, labels), Reading(labels=tmp_path / "classInd.txt"))
        assert [video.label for video in data.videos] == expected, "as classInd.txt counts, unless the list has a 0"
    few = open_data(put(tmp_path, "a.mp4 1\nb.mp4 1\n", labels))
    assert [video.label for video in few.videos] == [1, 1], "a few lines of a list count from 0, as documented"
    assert "list of videos, assumed to count from 0; `first_label` in dataset.toml states it; 2 videos" in few.notes[0]
    assert (
        open_data(put(tmp_path, "a.mp4 0\nb.mp4 1\n", labels))
        .notes[0]
        .startswith(f"{tmp_path}/list.txt: list of videos, 0-based; 2 videos")
    )


def test_evaluation_data_count_as_the_list_that_is_trained_on(tmp_path: Path) -> None:
    """A list of a few lines does not show how it counts, alone; a list that counts otherwise is refused."""
    labels = "".join(f"{letter}\n" for letter in "cdefghijkl")
    (tmp_path / "other").mkdir()

    def evaluated(train: str, val: str, folder: Path = tmp_path) -> list[str]:
        where = put(tmp_path, train, labels, "train.txt")
        data = open_data(where)
        data = replace(data, labels=(*data.labels, "background"), swaps=(*data.swaps, 10))  # as finetune extends it
        other = open_evaluation_data(put(folder, val, labels, "val.txt"), Reading(), data, where)
        return [other.labels[video.label] for video in other.videos]

    for folder in (tmp_path, tmp_path / "other"):
        assert evaluated("a.mp4 1\nb.mp4 10\n", "a.mp4 1\nleft/a.mp4 5\n", folder) == ["c", "g"]
        assert evaluated("a.mp4 0\nb.mp4 9\n", "a.mp4 1\nleft/a.mp4 5\n", folder) == ["d", "h"]
        for train, val, counts in (
            ("a.mp4 1\nb.mp4 10\n", "left/a.mp4 0\n", (0, 1)),
            ("a.mp4 1\nb.mp4 5\n", "left/a.mp4 10\n", (1, 0)),
        ):
            message = (
                rf"val\.txt: counts its labels from {counts[0]}, but .*train\.txt, .* from {counts[1]}; .*first_label"
            )
            with pytest.raises(ConfigError, match=message):
                evaluated(train, val, folder)
    (tmp_path / "other/dataset.toml").write_text("first_label = 0\n")
    assert evaluated("a.mp4 1\nb.mp4 10\n", "left/a.mp4 0\na.mp4 1\n", tmp_path / "other") == ["c", "d"]


def test_labels_in_another_order_than_the_folders_of_the_list_are_refused(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("left\nright\n")
    (tmp_path / "list.txt").write_text(f"{clips}/left/take-0.mp4 1\n{clips}/right/take-0.mp4 0\n")
    with pytest.raises(ConfigError, match=r"list\.txt:1: label 1 is 'right', but the video is in a folder of 'left'"):
        open_data(tmp_path / "list.txt")
    (tmp_path / "dataset.toml").write_text("first_label = 0\n")  # the folders are of two cameras
    assert [video.label for video in open_data(tmp_path / "list.txt").videos] == [1, 0]


def test_labels_of_a_list_are_chosen_with_an_option(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{clips}/left/take-0.mp4 0\n{clips}/right/take-0.mp4 1\n")
    with pytest.raises(
        ConfigError, match=r"no labels beside it; looked for labels\.txt, classInd\.txt.*--labels-of-list"
    ):
        open_data(tmp_path / "list.txt")
    (tmp_path / "one-labels.csv").write_text("left\nright\n")
    (tmp_path / "two-labels.csv").write_text("right\nleft\n")
    with pytest.raises(ConfigError, match=r"several files of labels beside it: one-labels\.csv, two-labels\.csv"):
        open_data(tmp_path / "list.txt")
    data = open_data(tmp_path / "list.txt", Reading(labels=tmp_path / "one-labels.csv"))
    assert data.labels == ("left", "right")


@pytest.mark.parametrize("label", ["a\x1b[31mb", "a\tb", "a\u2028b", "a\u0085b"])
def test_labels_with_control_characters_are_refused_wherever_they_are_read(label: str, tmp_path: Path) -> None:
    """As names of class folders are: they are printed, logged and published."""
    put(tmp_path, "a.mp4 0\nb.mp4 1\n")
    (tmp_path / "labels.txt").write_text(f"left\n{label}\n")
    (tmp_path / "l.json").write_text(json.dumps({"left": 0, label: 1}))
    (tmp_path / "classInd.txt").write_text(f"1 left\n2 {label}\n")
    (tmp_path / "s.json").write_text(json.dumps([{"id": "a", "label": "left"}, {"id": "b", "label": label}]))
    for name in ("labels.txt", "l.json", "classInd.txt"):
        with pytest.raises(ModelError, match="has a control character"):
            open_data(tmp_path / "list.txt", Reading(labels=tmp_path / name))
    (tmp_path / "labels.txt").unlink()
    (tmp_path / "classInd.txt").unlink()
    with pytest.raises(ModelError, match="has a control character"):
        open_data(tmp_path / "s.json")


HOSTILE = (
    *("\0", "\x1b[2J", "\udcff", "\u2028", "\ufeff", "\r", "\t\t", "  ", ",,", ";;", '"', "'", "\\", "..", "/", "#t="),
    *(
        "#t=1.2.3",
        "#t=9,1",
        "-1",
        "0",
        "1",
        "2",
        "1e9",
        "9" * 400,
        "9" * 5000,
        "٣",
        "²",
        "NaN",
        "null",
        "{}",
        "[[",
        "]",
    ),
    *("[" * 3000, "x" * 5000, "/" * 300, "id;label", "label,youtube_id", "\\ud800", "../../etc/passwd", "/dev/zero"),
    *("%s%n", "{:05d}", "a.mp4", "left", ".mp4", "\n", "\n\n", "_test_split1.txt"),
)


def hostile(valid: str, rng: random.Random) -> bytes:
    """Return a text that was damaged in a few places, as bytes in one of several encodings."""
    text = valid
    for _ in range(rng.randrange(1, 6)):
        at, until = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        until = min(until, at + rng.randrange(12))
        text = text[:at] + rng.choice((*HOSTILE, "", text[at : until + 30])) + text[until:]
    raw = text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")
    if rng.random() < 0.2:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.randbytes(rng.randrange(8)) + raw[at:]
    return raw


def test_hostile_lists_and_labels_are_read_or_refused_without_a_traceback(clips: Path, tmp_path: Path) -> None:
    """1,000 damaged lists, of all formats, and 1,000 damaged files of labels; an error is one that users understand."""
    examples = [write(clips, tmp_path / write.__name__) for write in published_lists.ALL]
    with_labels = [(one, found) for one in examples if (found := find_labels(one.path))]
    rng = random.Random(16)
    counts = {"lists": [0, 0], "labels": [0, 0]}
    for n in range(2000):
        what = ("lists", "labels")[n % 2]
        one, labels = with_labels[n // 2 % len(with_labels)] if n % 2 else (examples[n // 2 % len(examples)], None)
        path = labels or one.path
        whole = path.read_bytes()
        encoding = "utf-16" if whole[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        path.write_bytes(hostile(whole.decode(encoding), rng))
        chosen = Reading(one.reading.videos_in, labels)
        try:
            data = open_data(one.path, chosen, one.part)
            assert all(0 <= video.label < len(data.labels) for video in data.videos)
            assert not {category(c) for label in data.labels for c in label} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
            counts[what][0] += 1
        except (ConfigError, ModelError):  # a status of 78, and no traceback; any other exception fails the test
            counts[what][1] += 1
        finally:
            path.write_bytes(whole)
    for what, (read, refused) in counts.items():
        print(f"{read + refused} hostile {what}: {read} read, {refused} refused, 0 tracebacks")  # noqa: T201
        assert read + refused == 1000
        assert min(read, refused) > 100, "inputs of both kinds"
