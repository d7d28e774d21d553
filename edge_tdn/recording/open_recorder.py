"""Opens a camera's recorder and its main stream where [record] asks for them.

Fonts and encoders take 4 MB, so recorder.py is imported only where something is recorded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.messages import Frame
from edge_tdn.recording.action_recorder import ActionRecorder, RecordedStream, RecordedZone
from edge_tdn.recording.timing import RecorderTiming


def open_recorder(
    camera: CameraConfig,
    config: Config,
    zones: Sequence[RecordedZone],
    base: Path,
    publish: Callable[[bytes, str | None], None],
    timing: RecorderTiming,
) -> ActionRecorder | None:
    """Return a running recorder of a camera, or None where recording is off.

    `publish`: called with each JPEG and the name of its zone. ConfigError: this machine cannot record as configured.
    """
    if not config.record.enabled:
        return None
    from edge_tdn.recording.recorder import Recorder

    return Recorder(camera, config, zones, base, publish, records_main_stream(camera, config), timing)


def open_main_stream(
    camera: CameraConfig, config: Config, base: Path, take: Callable[[Frame], None], timing: CaptureTiming
) -> RecordedStream | None:
    """Return the main stream of a camera, which hands its frames to `take`; None where it is not recorded."""
    if not records_main_stream(camera, config):
        return None
    from edge_tdn.recording.main_stream import MainStream

    return MainStream(camera, base, take, timing)


def records_main_stream(camera: CameraConfig, config: Config) -> bool:
    """Return whether the recorder's frames come from the main stream, not from the stream that the network sees."""
    return config.record.enabled and bool(camera.record_source)
