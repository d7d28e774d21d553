"""Recorders of a camera, and what they publish."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.manifest import Model
from edge_tdn.recording.action_recorder import RecordedZone
from edge_tdn.recording.recorder import Recorder
from edge_tdn.recording.timing import RecorderTiming
from tests.support.recorder import PATIENT, Make


@pytest.fixture
def published() -> list[tuple[str | None, bytes]]:
    """The JPEGs of `make_recorder`'s recorders, each after the name of its zone."""
    return []


@pytest.fixture
def make_recorder(motion: Model, tmp_path: Path, published: list[tuple[str | None, bytes]]) -> Iterator[Make]:
    """Return a function that makes a recorder of the camera `door` from keys of [record]; all are closed afterwards."""
    made: list[Recorder] = []

    def publish(jpeg: bytes, zone: str | None) -> None:
        published.append((zone, jpeg))

    def make(timing: RecorderTiming = PATIENT, zones: Sequence[RecordedZone] = (), **keys: Any) -> Recorder:
        keys = {"clip": True, "snapshot": True, "folder": "seen", "pre_roll_s": 1.0, "post_roll_s": 0.5, **keys}
        config = Config.model_validate({"record": keys, "camera": [{"name": "door", "source": "demo:"}]})
        whole = RecordedZone(None, motion.manifest.input, hop=1, min_length_s=config.decide.min_length_s)
        made.append(Recorder(config.camera[0], config, zones or [whole], tmp_path, publish, timing=timing))
        return made[-1]

    yield make
    for recorder in made:
        recorder.close()
        recorder.join(60)
