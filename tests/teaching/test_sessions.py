"""Names of clips that are recorded one by one: by camera and hour, and no number twice."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.teaching.class_folder import ONE_RECORDING, recording_of
from edge_tdn.teaching.clip_cutter import clip_path
from edge_tdn.teaching.sessions import ClipNumbers, hour_session

NOON = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@given(st.text(min_size=1), st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)))
def test_a_session_fits_the_rule_of_the_dataset(camera: str, at: datetime) -> None:
    (pattern,) = re.findall("'(.+)'", ONE_RECORDING)
    session = hour_session(camera, at)
    clip = clip_path(Path("wave"), session, 7)
    assert recording_of(Path("dataset.toml"), pattern)(clip) == session


def test_clips_of_one_camera_and_hour_are_of_one_recording() -> None:
    session = hour_session("door", NOON)
    assert session.startswith("20260301T12")
    assert hour_session("door", NOON + timedelta(minutes=50)) == session
    assert hour_session("door", NOON.astimezone(timezone(timedelta(hours=5)))) == session
    assert hour_session("door", NOON + timedelta(hours=1)) != session
    assert hour_session("yard", NOON) != session


def test_a_number_is_not_given_twice(tmp_path: Path) -> None:
    """Not one that a clip has, of any class or discarded, nor one that was reserved."""
    clips, discarded = tmp_path / "clips", tmp_path / "discarded"
    for path in (clips / "wave/s-007.mp4", clips / "rest/s-003.mp4", discarded / "wave/s-011.mp4", clips / "wave/t-99"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    numbers = ClipNumbers(clips, discarded)
    assert numbers.reserve("s", 10) == 12
    assert numbers.reserve("s") == 22
    assert numbers.reserve("t") == 100
    assert numbers.reserve("new") == 1


def test_threads_reserve_different_numbers(tmp_path: Path) -> None:
    numbers = ClipNumbers(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        given_out = list(threads.map(lambda _: numbers.reserve("s", 2), range(50)))
    assert sorted(given_out) == list(range(1, 101, 2))
