"""The list of clips: classes and recordings, what is missing, moving, and that no text reaches another folder."""

import os
from pathlib import Path

import pytest

from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.teaching.class_folder import DESCRIPTION, ONE_RECORDING
from edge_tdn.teaching.clip_list import MIN_CLIPS, ClipList, classes, missing

FIRST, SECOND = "20260301T120000Z", "20260302T120000Z"


def clip_list(folder: Path, *names: str, description: str = ONE_RECORDING) -> ClipList:
    """Return the list of a folder with empty clips of these names, each a second later than the one before."""
    clips = folder / "clips"
    for number, name in enumerate(names):
        path = clips / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"clip")
        os.utime(path, (1e9 + number, 1e9 + number))
    if description and names:
        (clips / DESCRIPTION).write_text(description)
    return ClipList(clips, folder / "discarded")


def names(found: ClipList, label: str | None = None) -> list[str]:
    return [f"{clip.label}/{clip.name}" for clip in found.clips(label)]


def test_clips_are_listed_newest_first(tmp_path: Path) -> None:
    found = clip_list(tmp_path, f"wave/{FIRST}-001.mp4", f"background/{FIRST}-002.mp4", f"wave/{SECOND}-001.mp4")
    assert names(found) == [f"wave/{SECOND}-001.mp4", f"background/{FIRST}-002.mp4", f"wave/{FIRST}-001.mp4"]
    assert names(found, "background") == [f"background/{FIRST}-002.mp4"]
    assert [clip.recording for clip in found.clips("wave")] == [SECOND, FIRST]


def test_nothing_recorded_is_an_empty_list(tmp_path: Path) -> None:
    found = clip_list(tmp_path)
    assert not found.clips()
    assert [one.code for one in missing(classes(found.clips()))] == ["no_action", "no_background"]


def test_files_that_are_not_clips_are_left_out(tmp_path: Path) -> None:
    """Hidden files such as a clip under way, links, folders and pipes."""
    found = clip_list(tmp_path, "wave/a.mp4", "wave/.b.mp4.part", ".hidden/c.mp4")
    (found.folder / "wave/link.mp4").symlink_to(found.folder / "wave/a.mp4")
    (found.folder / "wave/folder.mp4").mkdir()
    os.mkfifo(found.folder / "wave/pipe.mp4")
    (found.folder / "linked").symlink_to(found.folder / "wave")
    assert names(found) == ["wave/a.mp4"]


def test_classes_are_counted_with_their_recordings(tmp_path: Path) -> None:
    found = clip_list(tmp_path, f"Background/{FIRST}-001.mp4", f"wave/{FIRST}-002.mp4", f"wave/{SECOND}-001.mp4")
    wave, background = classes(found.clips())
    assert (wave.label, wave.background, wave.clips, wave.recordings, wave.bytes) == ("wave", False, 2, 2, 8)
    assert (background.label, background.background, background.recordings) == ("Background", True, 1)


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    many = [f"wave/{FIRST}-{number:03}.mp4" for number in range(MIN_CLIPS)]
    found = clip_list(tmp_path, *many, f"rest/{SECOND}-001.mp4", f"rest/{FIRST}-999.mp4")
    lacks = missing(classes(found.clips()))
    assert [(one.code, one.label) for one in lacks] == [
        ("no_background", "background"),
        ("few_clips", "rest"),
        ("one_recording", "wave"),
    ]
    assert "rest has 2 clip(s); record at least 10" in lacks[1].text


def test_a_complete_set_lacks_nothing(tmp_path: Path) -> None:
    every = [f"{label}/{day}-{n}.mp4" for label in ("wave", "background") for day in (FIRST, SECOND) for n in range(5)]
    assert not missing(classes(clip_list(tmp_path, *every).clips()))


def test_a_clip_is_moved_and_discarded(tmp_path: Path) -> None:
    found = clip_list(tmp_path, "wave/a.mp4", "wave/b.mp4")
    assert found.move("wave", "a.mp4", "rest") == found.folder / "rest/a.mp4"
    assert found.move("rest", "a.mp4", None) == tmp_path / "discarded/rest/a.mp4"
    assert not (found.folder / "rest").exists(), "a class without a clip cannot be trained"
    assert found.move("wave", "b.mp4", "wave") == found.folder / "wave/b.mp4"
    assert names(found) == ["wave/b.mp4"]


def test_a_clip_does_not_replace_another_one(tmp_path: Path) -> None:
    found = clip_list(tmp_path, "wave/a.mp4", "rest/a.mp4")
    with pytest.raises(EdgeTdnError, match=r"rest/a\.mp4 exists"):
        found.move("wave", "a.mp4", "rest")
    assert len(names(found)) == 2


@pytest.mark.parametrize("to", ["..", "../up", ".hidden", "", "a/b", "two\nlines", " edge ", "x" * 300, "\ud800", "\0"])
def test_a_class_that_is_not_a_folder_name_is_refused(to: str, tmp_path: Path) -> None:
    found = clip_list(tmp_path, "wave/a.mp4")
    with pytest.raises(EdgeTdnError):
        found.move("wave", "a.mp4", to)
    assert names(found) == ["wave/a.mp4"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("wave", "../a.mp4"),
        ("..", "secret.mp4"),
        ("wave/..", "a.mp4"),
        ("", "secret.mp4"),
        ("wave", ""),
        ("wave", "."),
        ("wave", ".b.mp4.part"),
        ("wave", "notes.txt"),
        ("wave", "link.mp4"),
        ("linked", "a.mp4"),
        ("wave", "\0.mp4"),
        ("\ud800", "a.mp4"),
    ],
)
def test_no_text_reaches_a_file_that_is_not_a_clip(label: str, name: str, tmp_path: Path) -> None:
    found = clip_list(tmp_path, "wave/a.mp4", "wave/.b.mp4.part", "wave/notes.txt", "secret.mp4")
    (found.folder / "wave/link.mp4").symlink_to(found.folder / "secret.mp4")
    (found.folder / "linked").symlink_to(found.folder / "wave")
    assert found.file("wave", "a.mp4")
    assert found.file(label, name) is None
    with pytest.raises(EdgeTdnError, match="any more"):
        found.move(label, name, None)


def test_a_wrong_description_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.toml: source: .* is not a regular expression"):
        clip_list(tmp_path, "wave/a.mp4", description="source = '('").clips()


def test_a_clip_without_a_length_is_listed(tmp_path: Path) -> None:
    found = clip_list(tmp_path, "wave/a.mp4")
    (clip,) = found.clips()
    assert found.length_s(clip) == 0.0
