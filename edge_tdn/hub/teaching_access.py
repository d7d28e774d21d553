"""What the page may ask of teaching: to record clips, to train a model of them, to try it, and to serve it.

A protocol and its values, so that the page knows nothing of the service. The values are JSON as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import ActionEvent
from edge_tdn.teaching.clip_list import ListedClass, Missing

RecordingPhase = Literal["idle", "ready", "recording", "done", "failed"]  # ready: the countdown before a clip
FinetunePhase = Literal["idle", "running", "done", "failed", "stopped"]
TrialPhase = Literal["idle", "opening", "running", "ended", "failed"]


class TeachingRefused(EdgeTdnError):
    """Something that cannot be done now. The text is for the person in front of the page, and says what to do."""


class TeachingValue(BaseModel):
    """A part of what the page shows of teaching."""

    model_config = ConfigDict(frozen=True)

    def json_bytes(self) -> bytes:
        """Return it as one line of JSON."""
        return self.model_dump_json().encode()


class RecordRequest(TeachingValue):
    """Clips to record from a camera. `seconds`: of each. `pause`: seconds before each, with a countdown."""

    camera: str
    zone: str | None = None
    label: str
    count: int
    seconds: float
    pause: float


class RecordState(TeachingValue):
    """The recording under way, or the last one."""

    state: RecordingPhase = "idle"
    camera: str = ""
    zone: str | None = None
    label: str = ""
    number: int = 0  # of the clip under way, from 1
    count: int = 0  # of the clips to record
    left_s: float = 0.0  # seconds until the clip begins, or ends
    share: float = 0.0  # of this phase that is done, 0 to 1
    made: int = 0  # clips that are complete
    text: str = ""  # why it failed


class FinetuneState(TeachingValue):
    """The training under way, or the last one."""

    state: FinetunePhase = "idle"
    id: str = ""  # of the model
    since: str = ""  # time: ISO 8601, UTC
    step: int = 0  # from 1
    of: int = 0  # steps
    text: str = ""  # the phase; or why it failed
    done: float = 0.0
    total: float = 0.0  # of what the phase counts; 0: unknown
    left_s: float | None = None  # seconds, of this phase; None: unknown
    log: tuple[str, ...] = ()  # the last lines


class TrialRequest(TeachingValue):
    """A model to try on a camera, beside the one that serves."""

    model: str
    camera: str
    zone: str | None = None


class TrialState(TeachingValue):
    """The trial under way, or the last one."""

    state: TrialPhase = "idle"
    model: str = ""
    camera: str = ""
    zone: str | None = None
    labels: tuple[str, ...] = ()  # of its actions
    left_s: float = 0.0
    clips: int = 0  # scored so far
    action: str | None = None  # under way
    scores: dict[str, float] = Field(default_factory=dict)  # of the last clip, by action
    events: tuple["TrialAction", ...] = ()  # the last ones, newest first
    text: str = ""  # why it ended, or failed


class TrialAction(TeachingValue):
    """An action that the model on trial has recognised."""

    label: str
    started_at: str  # time: ISO 8601, UTC
    ended_at: str | None  # None: under way
    peak: float


class TaughtClip(TeachingValue):
    """A clip to learn from."""

    label: str
    name: str  # of the file
    recording: str  # clips of one are never divided between training and evaluation
    seconds: float
    bytes: int
    at: str  # time when it was written: ISO 8601, UTC


class TaughtModel(TeachingValue):
    """A model that was trained here."""

    id: str
    at: str  # time: ISO 8601, UTC
    labels: tuple[str, ...]
    background: tuple[str, ...]
    evaluated: int  # held-out clips
    top1: dict[str, float]  # share of them that is named right, by precision
    hop_ms: dict[str, float]  # of a hop on this machine, by precision
    confusion: tuple[tuple[int, ...], ...]  # row: the true class; column: the class that was named
    notes: tuple[str, ...]
    current: bool  # taken over
    serving: bool  # used by a camera or zone now


class TakeOver(TeachingValue):
    """How a model is taken over. `configured`: the configuration names the folder `current`, so one click does it."""

    configured: bool
    model: str  # path of the folder `current`, for `toml`
    toml: str  # the lines that an operator writes once


class TeachingOverview(TeachingValue):
    """All that the Teach page shows."""

    trainer: bool  # this host can train
    command: str  # that trains elsewhere, or by hand; several lines
    classes: tuple[ListedClass, ...]
    missing: tuple[Missing, ...]
    archive_bytes: int  # of all clips
    record: RecordState
    finetune: FinetuneState
    models: tuple[TaughtModel, ...]  # newest first
    trial: TrialState
    take_over: TakeOver


class Teaching(Protocol):
    """Teaching, for the page. Any thread may call it; what reads folders takes some time. TeachingRefused: not now."""

    def overview(self) -> TeachingOverview:
        """Return all that the page shows. Reads folders."""

    def record(self, request: RecordRequest) -> RecordState:
        """Begin to record clips."""

    def stop_recording(self) -> RecordState:
        """Stop recording; the clip under way is deleted."""

    def clips(self, label: str | None = None) -> Sequence[TaughtClip]:
        """Return the clips of a class, None: of all; newest first. Reads folders."""

    def clip_file(self, label: str, name: str) -> Path | None:
        """Return the file of a clip; None: there is none such. No text of a client reaches another folder."""

    def move(self, label: str, name: str, to: str | None) -> None:
        """Put a clip into another class; None: discard it."""

    def label_event(self, event: ActionEvent, label: str) -> TaughtClip:
        """Cut an action out of its clip, and put that into a class. `event`: its end. Takes seconds."""

    def folder(self) -> Path:
        """Return the folder of the clips, as `edge-tdn record` writes it."""

    def finetune(self, model: str) -> FinetuneState:
        """Begin to train a model of this id."""

    def stop_finetune(self) -> FinetuneState:
        """Stop the training; it can be continued."""

    def try_model(self, request: TrialRequest) -> TrialState:
        """Begin to try a model for ten minutes."""

    def stop_trial(self) -> TrialState:
        """End the trial."""

    def take_over(self, model: str) -> TakeOver:
        """Make a model the one that `current` names, and have the configuration read again."""

    def close(self) -> None:
        """End what is under way, in little time."""
