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

    def view(self, rows: slice, columns: slice) -> "Decoded":
        """Return these rows and columns (even in number and start), which share the memory of this frame."""

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
Zone = Annotated[
    str | None, Field(description="name of the camera's zone, from the configuration; absent if the camera has none")
]
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
    zone: Zone = Field(default=None, exclude_if=lambda zone: zone is None)
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


class TopScores(Payload):
    """The labels with the highest scores of one clip. QoS 0, never retained."""

    camera: str
    zone: Zone = Field(default=None, exclude_if=lambda zone: zone is None)
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
