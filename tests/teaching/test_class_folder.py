"""The folder of a class: recordings by the names of their clips."""

from pathlib import Path

from edge_tdn.teaching.class_folder import recording_of


def test_a_name_without_the_optional_recording_is_a_recording_of_its_own() -> None:
    recording = recording_of(Path("dataset.toml"), "(cam[0-9])?.*")
    assert recording(Path("wave/cam1-7.mp4")) == "cam1"
    assert recording(Path("wave/hall.mp4")) == "wave/hall.mp4"
