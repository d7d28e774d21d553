"""Time limits of a recorder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RecorderTiming:
    """Seconds; the defaults are for a camera that is served."""

    late_s: float = 1.0  # an event may come this much after its last frame, and every frame is still kept
    tick_s: float = 0.1  # between two looks at the frames that an open clip takes
    silent_s: float = 2.0  # without a frame, after which a clip whose action has ended is finished
    close_s: float = 0.5  # for finishing the files when the recorder is closed
    disk_s: float = 60.0  # for one piece of work of a disk or an encoder, before the watchdog takes it for a hang
    log_every_s: float = 10.0  # between two lines about files that cannot be written


DEFAULT_TIMING = RecorderTiming()
