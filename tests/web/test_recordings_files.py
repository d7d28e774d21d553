"""Recordings are found by their names: nothing else can be reached."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_tdn.web.recordings_files import has_recording, may_come, recorded_file

NAME = "20260301T120000.250Z_left_1.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = tmp_path / "recordings"
    (recordings / "door").mkdir(parents=True)
    (recordings / "door" / NAME).write_bytes(b"jpeg")
    return recordings


def test_a_recording_is_found(folder: Path) -> None:
    file = recorded_file(folder, {"door"}, "door", NAME)
    assert file
    assert (file.path, file.status.st_size, file.media_type) == (folder / "door" / NAME, 4, "image/jpeg")
    assert has_recording(folder, {"door"}, f"door/{NAME}")


@pytest.mark.parametrize("event", [None, "", "door", f"door/{NAME}/", f"yard/{NAME}", f"door/../door/{NAME}"])
def test_an_event_whose_file_is_not_there_has_no_recording(folder: Path, event: str | None) -> None:
    assert not has_recording(folder, {"door"}, event)


@pytest.mark.parametrize(
    ("camera", "name"),
    [
        ("yard", NAME),
        ("..", NAME),
        ("", NAME),
        ("door", f"../door/{NAME}"),
        ("door", f"{NAME}\n"),
        ("door", "/etc/passwd"),
        ("door", "20260301T120000.250Z_left_2.jpg"),
        ("door", "secret.jpg"),
        ("door", f".{NAME}.part"),
    ],
)
def test_nothing_else_is_found(folder: Path, camera: str, name: str) -> None:
    (folder / "door" / "secret.jpg").write_bytes(b"secret")
    (folder / "door" / f".{NAME}.part").write_bytes(b"unfinished")
    (folder / NAME).write_bytes(b"of no camera")
    assert recorded_file(folder, {"door"}, camera, name) is None


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / NAME
    secret.write_bytes(b"secret")
    linked = "20260301T120000.250Z_left_2.jpg"
    (folder / "door" / linked).symlink_to(secret)
    (folder / "yard").symlink_to(tmp_path)
    assert recorded_file(folder, {"door"}, "door", linked) is None
    assert recorded_file(folder, {"yard"}, "yard", NAME) is None


def test_only_regular_files_are_found(folder: Path) -> None:
    """A pipe without a writer is passed over at once."""
    pipe, directory = "20260301T120000.250Z_left_3.mp4", "20260301T120000.250Z_left_4.mp4"
    os.mkfifo(folder / "door" / pipe)
    (folder / "door" / directory).mkdir()
    assert recorded_file(folder, {"door"}, "door", pipe) is None
    assert recorded_file(folder, {"door"}, "door", directory) is None


def test_nothing_is_found_where_nothing_is_recorded(folder: Path) -> None:
    assert recorded_file(None, {"door"}, "door", NAME) is None
    assert recorded_file(folder / "gone", {"door"}, "door", NAME) is None


def test_a_recording_may_come_while_it_is_written_or_its_action_has_just_begun(folder: Path) -> None:
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    missing = "20260301T120000.250Z_left_2.jpg"
    assert may_come(folder, {"door"}, "door", missing, start + timedelta(seconds=5))
    assert not may_come(folder, {"door"}, "door", missing, start + timedelta(minutes=1))
    assert not may_come(folder, {"door"}, "yard", missing, start)
    assert not may_come(folder, {"door"}, "door", "20269901T120000.250Z_left_2.jpg", start)
    (folder / "door" / f".{missing}.part").write_bytes(b"jp")
    assert may_come(folder, {"door"}, "door", missing, start + timedelta(minutes=1))
