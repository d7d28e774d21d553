"""The messages that pass between the stages. READ FIRST.

    camera ─► capture ─► segments ─► inference ─► actions ─► delivery ─► broker
              Frame      Segment     Scores       ActionEvent

All messages are frozen. Images are uint8, 0 to 255, rows first; colour images are RGB: [H, W, 3]. Three clocks, all in
nanoseconds: `pts_ns`, `from_ns`, `to_ns` are presentation timestamps, which start anywhere and grow within one run of a
stream; `received_ns`, `ready_ns`, `taken_ns`, `scored_ns` are the host's monotonic clock, for stalls and latencies;
`wall_ns` is the wall clock, since 1970 UTC, of the host or of the camera, and only ever a label.

The messages that leave the host (`ActionEvent`, `CameraStatus`, `DaemonStatus`, `TopScores`, `Reply`) are pydantic
models; their JSON Schemas are published in edge_tdn/schemas.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FRAMES_PER_SEGMENT = 5  # x1..x5 of the S-TDM
CENTRE = FRAMES_PER_SEGMENT // 2  # x3
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

Picture = NDArray[np.uint8]  # [H, W, 3], RGB
Rgbx = NDArray[np.uint8]  # [H, W, 4], RGB and a byte that is ignored: the layout of Pillow's images
Luma = NDArray[np.uint8]  # [H, W], 0 to 255 or 16 to 235, as the camera sends it


class Decoded(Protocol):
    """A frame as the decoder gave it, not yet RGB: most frames never need that conversion. See colour.py."""

    @property
    def size(self) -> tuple[int, int]:
        """The height and width in pixels."""

    @property
    def nbytes(self) -> int:
        """The memory that it holds, in bytes."""

    @property
    def luma(self) -> Luma: ...

    def sampled(self, step: int) -> Luma:
        """Return a copy of every `step`-th pixel of every `step`-th row of the luma."""

    def rgbx(self, into: Rgbx) -> None:
        """Write all of its pixels into an array of its size."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a camera, in the camera's own size."""

    decoded: Decoded
    pts_ns: int  # presentation timestamp; grows within one stream
    received_ns: int  # monotonic clock at arrival
    wall_ns: int  # wall clock at arrival; or when it was taken, by an RTSP camera's own clock, if that is right
    seq: int  # number of the frame: grows by one with every frame that this source delivered
    stream: int  # grows by one with every connect and every change of the frame size

    @cached_property
    def picture(self) -> Picture:
        """The frame as uint8 [H, W, 3], RGB; converted on first use."""
        rgbx = np.empty((*self.decoded.size, 4), np.uint8)
        self.decoded.rgbx(rgbx)
        return np.ascontiguousarray(rgbx[..., :3])


@dataclass(frozen=True, eq=False)
class Segment:
    """Five consecutive ticks of the grid, the input of the segment encoder.

    `frames`: uint8 [5, H, W, 3], RGB, at the model's frame rate and size, not normalised. For an ensemble the segments
    of all networks, one after the other: [InputSpec.frames, H, W, 3].
    """

    frames: NDArray[np.uint8]
    index: int  # position on the grid: 0 for the first segment of a run of the stream, then 1, 2, ...
    from_ns: int  # presentation timestamp of its first tick
    to_ns: int  # presentation timestamp of its last tick
    received_ns: int  # monotonic clock: arrival of the frame that completed it
    ready_ns: int  # monotonic clock: it was complete, resampled and resized
    wall_ns: int  # wall clock at `to_ns`
    dropped: int  # number of its ticks that repeat a neighbour because the camera had no frame for them
    still: bool = False  # nothing moved in it, nor since the segment before; see motion_gate.py


@dataclass(frozen=True, eq=False)
class Scores:
    """The network's output for one clip, which is the last T segments.

    `logits`: float32 [classes], unbounded, not yet a softmax.
    """

    logits: NDArray[np.float32]
    from_ns: int  # presentation timestamp of the clip's first tick
    newest_ns: int  # presentation timestamp of the first tick of the clip's newest segment
    to_ns: int  # presentation timestamp of the clip's last tick
    wall_ns: int  # wall clock at `to_ns`
    frames: int  # number of frames in the clip: five a segment
    dropped: int  # number of these that repeat a neighbour
    received_ns: int  # monotonic clock: arrival of the clip's last frame
    ready_ns: int  # monotonic clock: its newest segment was complete
    taken_ns: int  # monotonic clock: the runtime took it
    scored_ns: int  # monotonic clock: the logits were computed
    repeated: bool = False  # these are the logits of the clip before, since nothing has moved

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the arrival of the clip's last frame to its logits."""
        return (self.scored_ns - self.received_ns) / NS_PER_MS


def iso(wall_ns: int) -> str:
    """Return a wall clock time as ISO 8601, UTC, with milliseconds: `2026-03-01T12:00:00.250Z`."""
    seconds, rest = divmod(wall_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // NS_PER_MS:03d}Z"


Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="ISO 8601, UTC")]
Score = Annotated[float, Field(ge=0, le=1, description="probability, averaged over the clips of the last smoothing_s")]
State = Literal["connecting", "streaming", "frozen", "stalled", "unauthorized", "unreachable", "ended", "disabled"]
Clock = Literal["camera", "host"]
BreakReason = Literal["video_ended", "stream_lost", "disabled", "shutdown", "interrupted", "failed"]  # no more scores
EndReason = Literal["below_threshold", "superseded", "max_length", BreakReason]
DeliveryState = Literal["connecting", "connected", "degraded", "unreachable", "unauthorized", "tls", "taken_over"]
AvailabilityState = Literal["online", "stopped", "offline"]
OutboxState = Literal["ok", "full", "read_only", "damaged", "off"]
ConfigState = Literal["in_force", "checking", "refused"]
RuntimeState = Literal["ok", "rebuilding", "failed"]


class Part(BaseModel):
    """A part of a payload."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    def json_bytes(self) -> bytes:
        """Return it as UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class Payload(Part):
    """The JSON content of an MQTT message. A subscriber ignores keys that it does not know."""

    schema_: Literal[1] = Field(default=1, alias="schema", description="version of this layout")


class EventWindow(Part):
    """The clip that caused the event."""

    from_: Time = Field(alias="from")
    to: Time
    frames: int = Field(ge=1, description="number of frames in the clip: five a segment")
    dropped: int = Field(
        ge=0, description="number of these that repeat a neighbour, because the camera delivered no frame in time"
    )


class ModelRef(Part):
    """The model that computed the scores."""

    id: str
    precision: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the model folder's manifest")


class Latency(Part):
    """Milliseconds since the arrival of the clip's last frame, stage by stage."""

    capture: float = Field(ge=0, description="from the frame's arrival to its complete segment (resampling, resizing)")
    window: float = Field(ge=0, description="from the complete segment to the start of inference")
    infer: float = Field(ge=0, description="inference: encode and classify")
    decide: float = Field(ge=0, description="from the logits to the event")
    total: float = Field(ge=0)


class ActionEvent(Payload):
    """The start, an update or the end of an action. All events of one action have the same `id`."""

    id: str = Field(description="host/camera/boot/number: unique, and the same in start, updates, end and replays")
    seq: int = Field(
        ge=1, description="number of the event: grows by one with every event of the camera, across restarts too"
    )
    type: Literal["start", "update", "end"] = Field(description="one start, any number of updates, one end")
    reason: EndReason | None = Field(
        default=None,
        description="why the action ended; null unless `type` is `end`. `video_ended`: the video file is over, or "
        "begins again; `interrupted`: the daemon was killed, and published the end at its next start; `failed`: the "
        "network failed, or the camera's scores could not be used",
    )
    host: str = Field(description="name of the host, from the configuration")
    camera: str = Field(description="name of the camera, from the configuration")
    label: str = Field(description="name of the action: a label of the model, or a name from the configuration")
    label_index: int = Field(
        ge=0, description="index of the model's label; where several labels share the name, of the most probable one"
    )
    score: Score
    peak_score: Score
    started_at: Time = Field(description="start of the segment in which the score rose, or end of the action before it")
    ended_at: Time | None = Field(default=None, description="null unless `type` is `end`")
    window: EventWindow
    model: ModelRef
    latency_ms: Latency | None = Field(
        default=None, description="null if no clip caused the event (stream lost, shutdown)"
    )
    replayed: bool = Field(default=False, description="true: sent again because a command requested it")
    snapshot: str | None = Field(
        default=None,
        description="name of the action's JPEG below `[record] folder`, written a moment after the event that names it "
        "first; null: none is recorded",
    )
    clip: str | None = Field(
        default=None,
        description="name of the action's MP4 below `[record] folder`, complete `post_roll_s` after the end; null: "
        "none is recorded. A file that could not be written, or was deleted to make room, does not exist",
    )


class Thresholds(Part):
    """The scores at which an action starts and ends."""

    enter: float = Field(ge=0, le=1, description="score at which an action starts")
    exit: float = Field(ge=0, le=1, description="score below which it ends")


class CameraThresholds(Thresholds):
    """The thresholds of a camera's actions, as configured or as last set by a command."""

    actions: dict[str, Thresholds] = Field(
        default_factory=dict, description="those of the actions that differ, by the name of the action"
    )


class CameraStatus(Payload):
    """The state and counters of one camera. Retained."""

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
    hop: int = Field(ge=0, description="segments between the last two classified clips; 0 before the second clip")
    latency_ms: float = Field(
        ge=0, description="milliseconds from a clip's last frame to its scores; median of the last clips"
    )
    clips: int = Field(ge=0, description="clips scored since the daemon started")
    gated: int = Field(
        ge=0, description="number of these in a still scene, whose scores were repeated without inference"
    )
    shed: int = Field(ge=0, description="segments without a clip of their own because the host was too slow")
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
    repeated: int = Field(
        default=0, ge=0, description="frames that the model saw twice because the camera delivered no other in time"
    )
    thresholds: CameraThresholds | None = Field(default=None, description="null: published by an earlier version")


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


class DaemonStatus(Payload):
    """The state of the daemon. Retained."""

    host: str
    version: str
    boot: str = Field(description="random, different at every start of the daemon")
    started_at: Time
    at: Time | None = Field(default=None, description="when this was published; null: by an earlier version")
    model: ModelRef
    device: str
    cameras: list[str]
    segment_s: float = Field(
        default=0,
        ge=0,
        description="seconds from one segment to the next; a clip every `hop` segments. 0: older version",
    )
    session: int = Field(ge=0, description="number of the connection to the broker; grows with every connection")
    delivery: Delivery
    outbox: OutboxStatus
    config: ConfigStatus | None = Field(default=None, description="null: published by an earlier version")
    connects: int = Field(default=0, ge=0, description="connections that the broker accepted since the daemon started")
    runtime: RuntimeStatus | None = Field(default=None, description="null: published by an earlier version")
    metrics_fault: str = Field(default="", description="why the metrics are not served; empty: they are, or are off")


class TopScores(Payload):
    """The labels with the highest scores of one clip. QoS 0, never retained."""

    camera: str
    at: Time
    scores: dict[str, Score]
    latency_ms: float = Field(ge=0)


class Reply(Payload):
    """The reply to a command, on <base>/reply."""

    command: str = Field(description="the command's topic below <base>/cmd/")
    id: str | None = Field(description="the command's `id`; null if it had none")
    ok: bool = Field(description="true: the command was carried out")
    error: str = Field(description="why it was not carried out; empty if `ok`")
    result: dict[str, int | float | str | bool | None] = Field(description="the values that hold now")


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
