"""The status messages of the daemon, its cameras and their zones, and the list of all messages of a host."""

import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edge_tdn.messages import (
    ActionEvent,
    AvailabilityState,
    Clock,
    ConfigState,
    DeliveryState,
    ModelRef,
    OutboxState,
    Part,
    Payload,
    Reply,
    RuntimeState,
    State,
    Time,
    TopScores,
)

# figures that a zone and its camera have in common
AchievedHop = Annotated[
    int, Field(ge=0, description="segments between the last two classified clips; 0 before the second clip")
]
MedianLatency = Annotated[
    float, Field(ge=0, description="milliseconds from a clip's last frame to its scores; median of the last clips")
]
ClipCount = Annotated[int, Field(ge=0, description="clips scored since the daemon started")]
GatedCount = Annotated[
    int, Field(ge=0, description="number of these in a still scene, whose scores were repeated without inference")
]
ShedCount = Annotated[
    int, Field(ge=0, description="segments without a clip of their own because the host was too slow")
]
RepeatedCount = Annotated[
    int, Field(ge=0, description="frames that the model saw twice because the camera delivered no other in time")
]


class Thresholds(Part):
    """The scores at which an action starts and ends."""

    enter: float = Field(ge=0, le=1, description="score at which an action starts")
    exit: float = Field(ge=0, le=1, description="score below which it ends")


class CameraThresholds(Thresholds):
    """The thresholds of a camera's actions, as configured or as last set by a command."""

    actions: dict[str, Thresholds] = Field(
        default_factory=dict, description="those of the actions that differ, by the name of the action"
    )


class ZoneStatus(Part):
    """The state and counters of one zone of a camera."""

    zone: str = Field(description="name of the zone, from the configuration")
    reason: str = Field(description="what is wrong in this zone; empty if nothing is")
    action: str | None = Field(description="name of the action that is active; of several, the strongest; null: none")
    model: ModelRef
    width: int = Field(ge=0, description="of its part of the picture, pixels")
    height: int = Field(ge=0, description="of its part of the picture, pixels")
    segment_s: float = Field(ge=0, description="seconds from one segment to the next; a clip every `hop` segments")
    hop: AchievedHop
    latency_ms: MedianLatency
    clips: ClipCount
    gated: GatedCount
    shed: ShedCount
    repeated: RepeatedCount
    thresholds: CameraThresholds


class CameraStatus(Payload):
    """The state and counters of one camera. Retained.

    With zones, clips and the counters of segments are those of all zones together, and the thresholds those of the
    first zone.
    """

    camera: str
    state: State = Field(
        description="`streaming`: frames arrive; `frozen`: the same frame over and over; `disabled`: by a command; "
        "otherwise no frames arrive. A fault stays while the daemon reconnects, until frames arrive"
    )
    reason: str = Field(description="what is wrong; empty if nothing is")
    since: Time
    fps: float = Field(ge=0, description="frames per second that the camera delivers")
    width: int = Field(ge=0)
    height: int = Field(ge=0)
    hop: AchievedHop
    latency_ms: MedianLatency
    clips: ClipCount
    gated: GatedCount
    shed: ShedCount
    gaps: int = Field(
        ge=0, description="times that the window was emptied: after a gap, a reconnect or a new frame size"
    )
    decoder: str = Field(
        default="",
        description="GStreamer's decoder element, such as `vah264dec` or `avdec_h264`, or `opencv`; empty before the "
        "first frame, and if the camera sends raw frames",
    )
    clock: Clock = Field(
        default="host", description="clock of the events' times: the camera's, if it sends its time and that is right"
    )
    frames: int = Field(default=0, ge=0, description="frames that the camera delivered since the daemon started")
    connects: int = Field(default=0, ge=0, description="times that frames began to arrive since the daemon started")
    repeated: RepeatedCount = 0
    thresholds: CameraThresholds | None = Field(default=None, description="null: published by an earlier version")
    zones: tuple[ZoneStatus, ...] = Field(
        default=(), exclude_if=lambda zones: not zones, description="the camera's zones; absent if it has none"
    )


class Delivery(Part):
    """The connection to the broker. `degraded`: connected, but the broker rejects messages on some topic."""

    state: DeliveryState = Field(
        description="`taken_over`: another client has the same id; `tls`: the handshake failed"
    )
    reason: str = Field(description="what is wrong; empty if nothing is")
    since: Time


class OutboxStatus(Part):
    """The events that wait for the broker. Counters count events, over all starts of the daemon."""

    state: OutboxState = Field(description="`ok`, or why events wait in memory instead of on disk")
    reason: str = Field(description="what is wrong; empty if nothing is")
    waiting: int = Field(ge=0, description="events that the broker has not acknowledged yet")
    dropped: int = Field(
        ge=0,
        description="events given up: older than the age limit, or the oldest beyond the size limit (a few of them may "
        "have been delivered)",
    )
    lost: int = Field(ge=0, description="events that waited in an outbox that was damaged or removed")
    delivered: int = Field(
        default=0, ge=0, description="events that the broker has acknowledged since the daemon started"
    )
    size: int = Field(default=0, ge=0, description="bytes of events on disk, including those kept for replay")


class ConfigStatus(Part):
    """The state of the configuration file that was read last."""

    state: ConfigState = Field(
        description="`checking`: the previous configuration is in force while this one and its model are tried; "
        "`refused`: the previous configuration stays in force, because this one is invalid"
    )
    reason: str = Field(description="what is invalid, or what takes effect only after a restart; empty otherwise")
    since: Time


class RuntimeStatus(Part):
    """The state of the compiled network."""

    state: RuntimeState = Field(
        description="`rebuilding`: it failed while it served, and is compiled again; `failed`: it failed once more, or "
        "could not be compiled, and the daemon ends so that its supervisor starts it again"
    )
    reason: str = Field(description="what failed; empty if nothing does")
    since: Time
    rebuilds: int = Field(default=0, ge=0, description="times that it was compiled again after a failure")


@dataclass(frozen=True)
class Availability:
    """The host's availability: plain text on <base>/availability, retained.

    `offline`: published as the last will, after a failure, or while the host reconnects for a reload.
    """

    state: AvailabilityState


class ModelStatus(Part):
    """A model that is served, in one precision."""

    model: ModelRef
    device: str
    zones: int = Field(ge=0, description="cameras and zones that it serves")
    memory_mb: float = Field(ge=0, description="MB by which the process grew when it was opened, estimated")
    runtime: RuntimeStatus


class DaemonStatus(Payload):
    """The state of the daemon. Retained."""

    host: str
    version: str
    boot: str = Field(description="random, different at every start of the daemon")
    started_at: Time
    at: Time | None = Field(default=None, description="when this was published; null: by an earlier version")
    model: ModelRef = Field(description="the first model, if there are several")
    device: str
    models: tuple[ModelStatus, ...] = Field(
        default=(), description="all models that are served; empty: published by an earlier version"
    )
    cameras: list[str]
    segment_s: float = Field(
        default=0,
        ge=0,
        description="seconds from one segment of the first model to the next; a clip every `hop` segments. 0: older "
        "version",
    )
    session: int = Field(ge=0, description="number of the connection to the broker; grows with every connection")
    delivery: Delivery
    outbox: OutboxStatus
    config: ConfigStatus | None = Field(default=None, description="null: published by an earlier version")
    connects: int = Field(default=0, ge=0, description="connections that the broker accepted since the daemon started")
    runtime: RuntimeStatus | None = Field(default=None, description="null: published by an earlier version")
    metrics_fault: str = Field(default="", description="why the metrics are not served; empty: they are, or are off")
    page_fault: str = Field(default="", description="why the page is not served; empty: it is, or is off")


PUBLISHED: dict[str, type[Payload]] = {
    "event": ActionEvent,
    "camera_status": CameraStatus,
    "daemon_status": DaemonStatus,
    "scores": TopScores,
    "reply": Reply,
}


def json_schema(name: str) -> str:
    """Return the JSON Schema of a payload as edge_tdn/schemas has it (`make schemas` writes it there)."""
    return json.dumps(PUBLISHED[name].model_json_schema(by_alias=True, mode="serialization"), indent=1) + "\n"
