"""The folder of recordings: names that sort by time, and room for new files."""

from pathlib import Path

import pytest

from edge_tdn.recording.recordings import OURS, Recordings, file_name
from tests.support.actions import action_event


def test_only_the_oldest_of_our_own_files_are_deleted_to_make_room(tmp_path: Path) -> None:
    foreign = [
        tmp_path / "holiday.mp4",
        tmp_path / "door/20200101.jpg",
        tmp_path / "door/20260301T115959.000Z_a_1.mp4x",
    ]
    (tmp_path / "yard").mkdir()
    door = Recordings(tmp_path, "door", 2500)
    yard = Recordings(tmp_path, "yard", 2500)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes(bytes(5000))
    (tmp_path / "yard/20260101T000000.000Z_link_1.jpg").symlink_to(outside)
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(5000))
    kept = []
    for number, camera in enumerate(("yard", "door", "yard", "door"), 1):
        recordings = {"yard": yard, "door": door}[camera]
        scratch = recordings.begin(f"{camera}/20260301T12000{number}.000Z_left_{number}.jpg")
        scratch.write_bytes(bytes(1000))
        assert not OURS.fullmatch(scratch.name)
        kept.append(recordings.keep(scratch))
    assert [path.exists() for path in kept] == [False, False, True, True]
    assert (door.removed, yard.removed) == (1, 1)
    assert all(path.exists() for path in foreign)
    assert outside.exists()
    assert (tmp_path / "yard/20260101T000000.000Z_link_1.jpg").is_symlink()


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Pull (hard)/away", "Pull-hard-away"),
        ("走路", "label-1"),
        ("Öffnen", "Offnen"),
        ("x" * 300, "x" * 60),
        ("..", "label-1"),
    ],
)
def test_a_label_is_safe_in_a_file_name(label: str, part: str) -> None:
    name = file_name(action_event(12, "start", 0.25, label=label), "jpg")
    assert name == f"door/20260301T120000.250Z_{part}_12.jpg"
    assert OURS.fullmatch(name.removeprefix("door/"))
