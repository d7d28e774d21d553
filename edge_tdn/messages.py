"""What travels between the stages. READ FIRST.

    camera ─► source ─► window ─► runtime ─► decide ─► publish ─► broker
              Frame     Segment   Scores     ActionEvent

All messages are frozen. Pictures are uint8 RGB, rows first: [H, W, 3]. Times within a stream are presentation
timestamps (PTS) in nanoseconds; `received_ns` is the host's monotonic clock, for stalls and latencies; `wall_ns` is the
wall clock (the host's, or the camera's own), nanoseconds since 1970 UTC, and only ever a label.

What leaves the host (`ActionEvent`, `CameraStatus`, `DaemonStatus`, `TopScores`) is pydantic: its JSON Schema is
published in edge_tdn/schemas.
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
Rgbx = NDArray[np.uint8]  # [H, W, 4], RGB and a byte that nobody reads: how Pillow keeps its pictures
Luma = NDArray[np.uint8]  # [H, W], all 256 levels or 16 to 235, as the camera has it


class Decoded(Protocol):
    """A picture as the decoder gave it, not yet RGB: of most frames nobody needs that. See colour.py."""

    @property
    def size(self) -> tuple[int, int]:
        """Height, width."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""

    @property
    def luma(self) -> Luma: ...

    def sampled(self, step: int) -> Luma:
        """A copy of every so many pixels of every so many rows of the luma."""

    def rgbx(self, into: Rgbx) -> None:
        """Writes its pixels, all of them."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a camera, as it came, of the camera's own size."""

    decoded: Decoded
    pts_ns: int  # presentation timestamp; grows within one stream
    received_ns: int  # monotonic clock at arrival
    wall_ns: int  # wall clock at arrival; or when an RTSP camera took it, by its own clock, where that is right
    seq: int  # grows by one with every frame that this source delivered
    stream: int  # grows by one with every connect and every change of the picture's size

    @cached_property
    def picture(self) -> Picture:
        """Computed when it is first asked for."""
        rgbx = np.empty((*self.decoded.size, 4), np.uint8)
        self.decoded.rgbx(rgbx)
        return np.ascontiguousarray(rgbx[..., :3])


@dataclass(frozen=True, eq=False)
class Segment:
    """Five consecutive ticks of the grid, at the model's frame rate and size: what the segment encoder takes.

    Of an ensemble, those of all its networks, one after the other.
    """

    frames: NDArray[np.uint8]  # [5, H, W, 3], RGB, the model's size; of an ensemble [InputSpec.frames, H, W, 3]
    index: int  # place on the grid: 0 for the first segment of an unbroken stretch, then 1, 2, ...
    from_ns: int  # PTS of its first tick
    to_ns: int  # PTS of its last tick
    received_ns: int  # arrival of the frame that completed it
    ready_ns: int  # monotonic clock when it was complete: resampled and resized
    wall_ns: int  # wall clock at `to_ns`
    dropped: int  # of its ticks, how many repeat a neighbour because the camera had no frame for them
    still: bool = False  # nothing moved in it, nor since the segment before; see gate.py


@dataclass(frozen=True, eq=False)
class Scores:
    """What the network thinks of the last T segments (a clip)."""

    logits: NDArray[np.float32]  # [classes]
    from_ns: int  # PTS of the clip's first tick
    newest_ns: int  # PTS of the first tick of the clip's newest segment
    to_ns: int  # PTS of the clip's last tick
    wall_ns: int  # wall clock at `to_ns`
    frames: int  # that the network saw: five a segment
    dropped: int  # of these, how many repeat a neighbour
    received_ns: int  # monotonic clock: arrival of the clip's last frame
    ready_ns: int  # monotonic clock: its newest segment was complete
    taken_ns: int  # monotonic clock: the runtime took it
    scored_ns: int  # monotonic clock: the logits were there
    repeated: bool = False  # the logits of the clip before: nothing has moved since

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the arrival of the clip's last frame to its logits."""
        return (self.scored_ns - self.received_ns) / NS_PER_MS


def iso(wall_ns: int) -> str:
    """ISO 8601, UTC, milliseconds: `2026-03-01T12:00:00.250Z`."""
    seconds, rest = divmod(wall_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // NS_PER_MS:03d}Z"


Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="ISO 8601, UTC")]
Score = Annotated[float, Field(ge=0, le=1, description="softmax, averaged over the smoothing window")]
State = Literal["connecting", "streaming", "frozen", "stalled", "unauthorized", "unreachable", "ended", "disabled"]
Clock = Literal["camera", "host"]
EndReason = Literal["below_threshold", "superseded", "max_length", "stream_lost", "disabled", "shutdown", "interrupted"]
DeliveryState = Literal["connecting", "connected", "degraded", "unreachable", "unauthorized", "tls", "taken_over"]
AvailabilityState = Literal["online", "stopped", "offline"]
OutboxState = Literal["ok", "full", "read_only", "damaged", "off"]
ConfigState = Literal["in_force", "checking", "refused"]


class Part(BaseModel):
    """A piece of a payload."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    def json_bytes(self) -> bytes:
        """UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class Payload(Part):
    """What stands on a topic. A subscriber ignores keys that it does not know."""

    schema_: Literal[1] = Field(default=1, alias="schema", description="version of this layout")


class EventWindow(Part):
    """The clip that decided."""

    from_: Time = Field(alias="from")
    to: Time
    frames: int = Field(ge=1, description="frames that the network saw: five a segment")
    dropped: int = Field(ge=0, description="of these, repeats of a neighbour, because the camera had no frame in time")


class ModelRef(Part):
    """Which network said so."""

    id: str
    precision: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the model folder's manifest")


class Latency(Part):
    """Milliseconds, from the arrival of the clip's last frame on."""

    capture: float = Field(ge=0, description="frame arrived -> its segment complete (resampling, resizing)")
    window: float = Field(ge=0, description="segment complete -> the runtime takes it")
    infer: float = Field(ge=0, description="encode and classify")
    decide: float = Field(ge=0, description="logits -> event")
    total: float = Field(ge=0)


class ActionEvent(Payload):
    """An action starts, goes on, or ends. One `id` for all messages of one action."""

    id: str = Field(description="host/camera/boot/number, unique for ever, the same in start, update, end and re-sends")
    seq: int = Field(ge=1, description="grows by one with every event of the camera, also over restarts")
    type: Literal["start", "update", "end"] = Field(description="one start, updates while it goes on, one end")
    reason: EndReason | None = Field(
        default=None,
        description="why it ended; null unless `type` is `end`. interrupted: the daemon was killed; told at its next "
        "start",
    )
    host: str = Field(description="its name in the configuration")
    camera: str = Field(description="its name in the configuration")
    label: str = Field(description="name of the action, as the configuration reports it")
    label_index: int = Field(ge=0, description="of the model's label; of several under one name, the strongest now")
    score: Score
    peak_score: Score
    started_at: Time = Field(description="start of the segment in which the score rose, or end of the action before")
    ended_at: Time | None = Field(default=None, description="null unless `type` is `end`")
    window: EventWindow
    model: ModelRef
    latency_ms: Latency | None = Field(default=None, description="null where no clip decided (stream lost, shutdown)")
    replayed: bool = Field(default=False, description="sent again because a command asked for it")


class CameraStatus(Payload):
    """How one camera is. Retained."""

    camera: str
    state: State = Field(
        description="`streaming`: pictures come; `frozen`: always the same one; `disabled`: by command; else none come"
        ". What is wrong stays so while it is tried again, until pictures come"
    )
    reason: str = Field(description="empty while all is well")
    since: Time
    fps: float = Field(ge=0, description="frames a second that the camera delivers")
    width: int = Field(ge=0)
    height: int = Field(ge=0)
    hop: int = Field(ge=0, description="segments between two classified clips, as achieved; 0 before the first")
    latency_ms: float = Field(ge=0, description="last frame of a clip -> scores; the median of the last clips")
    clips: int = Field(ge=0, description="clips scored since the daemon started")
    gated: int = Field(ge=0, description="of these, clips of a still scene, whose scores were repeated")
    shed: int = Field(ge=0, description="segments that got no clip of their own because the host was too slow")
    gaps: int = Field(ge=0, description="times that the window was emptied: gap, reconnect, other picture size")
    decoder: str = Field(
        default="",
        description="what decodes: an element of GStreamer, such as `vah264dec` or `avdec_h264`, or `opencv`; empty "
        "before the first picture, and where pictures come raw",
    )
    clock: Clock = Field(
        default="host", description="whose clock the events' times are: the camera's, where it sends it and it is right"
    )
    frames: int = Field(default=0, ge=0, description="that the camera delivered since the daemon started")
    connects: int = Field(default=0, ge=0, description="times that pictures began to come, since the daemon started")
    repeated: int = Field(
        default=0, ge=0, description="times that the model was shown a frame twice because the camera had none for it"
    )


class Delivery(Part):
    """How it stands with the broker. `degraded`: connected, but it refuses messages on some topic."""

    state: DeliveryState = Field(description="`taken_over`: another client has the same id; `tls`: no handshake")
    reason: str = Field(description="empty while all is well")
    since: Time


class OutboxStatus(Part):
    """Events on their way to the broker. Counts are of events, over all starts of the daemon."""

    state: OutboxState = Field(description="`ok`, or why events wait in memory instead of on the disk")
    reason: str = Field(description="empty while all is well")
    waiting: int = Field(ge=0, description="not yet acknowledged by the broker")
    dropped: int = Field(
        ge=0,
        description="given up: older than the age cap, or the oldest beyond the size cap (a few of them may have been "
        "delivered)",
    )
    lost: int = Field(ge=0, description="were waiting in an outbox that was damaged or removed")
    delivered: int = Field(default=0, ge=0, description="acknowledged by the broker since the daemon started")
    size: int = Field(default=0, ge=0, description="bytes of events on the disk, those kept for replay among them")


class ConfigStatus(Part):
    """How it stands with the configuration file, as it was last read."""

    state: ConfigState = Field(
        description="`checking`: the one before is in force while this one, and its model, is tried; `refused`: it "
        "stays in force, because this one is wrong"
    )
    reason: str = Field(description="what is wrong, or what only a restart brings into force; empty while all is well")
    since: Time


@dataclass(frozen=True)
class Availability:
    """Whether the host is there: plain text on <base>/availability, retained.

    `offline`: its last will, or it connects anew because a reload wants it so.
    """

    state: AvailabilityState


class DaemonStatus(Payload):
    """How the daemon is. Retained."""

    host: str
    version: str
    boot: str = Field(description="random, new with every start of the daemon")
    started_at: Time
    model: ModelRef
    device: str
    cameras: list[str]
    segment_s: float = Field(
        default=0, ge=0, description="seconds of a segment: a clip comes every `hop` of them; 0: an older version"
    )
    session: int = Field(ge=0, description="of the connection to the broker; grows with every one")
    delivery: Delivery
    outbox: OutboxStatus
    config: ConfigStatus | None = Field(default=None, description="null: a host of an earlier version")
    connects: int = Field(default=0, ge=0, description="times that the broker let us in, since the daemon started")


class TopScores(Payload):
    """The best labels of one clip. QoS 0, never retained."""

    camera: str
    at: Time
    scores: dict[str, Score]
    latency_ms: float = Field(ge=0)


class Reply(Payload):
    """The answer to a command, on <base>/reply."""

    command: str = Field(description="its topic below <base>/cmd/")
    id: str | None = Field(description="as the command had it; null if it had none")
    ok: bool = Field(description="whether it was done")
    error: str = Field(description="empty if `ok`")
    result: dict[str, int | float | str | bool | None] = Field(description="what is so now")


PUBLISHED: dict[str, type[Payload]] = {
    "event": ActionEvent,
    "camera_status": CameraStatus,
    "daemon_status": DaemonStatus,
    "scores": TopScores,
    "reply": Reply,
}


def json_schema(name: str) -> str:
    """The JSON Schema of a payload as it stands in edge_tdn/schemas (`make schemas` writes them)."""
    return json.dumps(PUBLISHED[name].model_json_schema(by_alias=True, mode="serialization"), indent=1) + "\n"
