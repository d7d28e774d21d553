"""The folder of a class: recordings by the names of their clips, and calls that begin in the same second."""

import re
from pathlib import Path

import pytest

from edge_tdn.errors import ConfigError
from edge_tdn.teaching.class_folder import open_class, recording_of


def test_a_name_without_the_optional_recording_is_a_recording_of_its_own() -> None:
    recording = recording_of(Path("dataset.toml"), "(cam[0-9])?.*")
    assert recording(Path("wave/cam1-7.mp4")) == "cam1"
    assert recording(Path("wave/hall.mp4")) == "wave/hall.mp4"


def test_calls_of_the_same_second_have_different_names(tmp_path: Path) -> None:
    """A finished clip keeps its name, and no call removes the folder in which another one records."""
    folder = tmp_path / "clips/wave"
    with open_class(folder) as first:
        assert re.fullmatch("[0-9]{8}T[0-9]{6}Z", first)
        with open_class(folder) as second:
            assert second > first
        assert folder.is_dir()
        (folder / f"{first}-001.mp4").touch()
    with open_class(folder) as third:
        assert third not in (first, "")
    assert [path.name for path in folder.iterdir()] == [f"{first}-001.mp4"]


def test_a_class_without_a_clip_is_not_created(tmp_path: Path) -> None:
    with open_class(tmp_path / "wave"):
        assert (tmp_path / "wave").is_dir()
    assert not (tmp_path / "wave").exists()


def test_a_class_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another folder with --out"), open_class(tmp_path / "file/wave"):
        pass
