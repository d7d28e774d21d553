"""Time limits of the daemon and of its parts."""

from dataclasses import dataclass, field

from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.inference.rebuilding_runtime import RebuildTiming
from edge_tdn.inference.scheduler import SchedulerTiming
from edge_tdn.recording.timing import RecorderTiming


@dataclass(frozen=True)
class CameraTiming:
    """The time limits of one camera's parts."""

    capture: CaptureTiming = field(default_factory=CaptureTiming)
    recorder: RecorderTiming = field(default_factory=RecorderTiming)


@dataclass(frozen=True)
class MetricsTiming:
    """The time limits of the metrics endpoint."""

    client_timeout_s: float = 2.0  # for a client that connects and does not ask, or does not read
    poll_s: float = 0.2  # how soon `close` takes effect
    retry_s: float = 10.0  # between two attempts to open a port that is in use


@dataclass(frozen=True)
class DaemonTiming:
    """Seconds. A stop takes change_s, join_s, compute_s and record_s at most, and then the broker's goodbye.

    What one of the first three does not need, the next one may use.
    """

    status_every_s: float = 2.0  # between two statuses of a camera; a new state is published at once
    life_every_s: float = 10.0  # between two statuses of the daemon itself
    compile_s: float = 600.0  # for compiling a model: on a GPU the first time may take minutes
    change_s: float = 0.4  # a stop waits this long for a reload that has begun to change things
    join_s: float = 0.9  # for the threads of all cameras together
    compute_s: float = 0.7  # for the turn that is being computed
    record_s: float = 0.6  # for all clips together to be finished
    page_s: float = 0.3  # for the page, after the broker's goodbye
    publisher: PublisherTiming = field(default_factory=PublisherTiming)
    camera: CameraTiming = field(default_factory=CameraTiming)
    scheduler: SchedulerTiming = field(default_factory=SchedulerTiming)
    rebuild: RebuildTiming = field(default_factory=RebuildTiming)
    metrics: MetricsTiming = field(default_factory=MetricsTiming)


DEFAULT_CAMERA_TIMING = CameraTiming()
DEFAULT_METRICS_TIMING = MetricsTiming()
DEFAULT_DAEMON_TIMING = DaemonTiming()
