"""A teaching that is a script: its clips are the files of a folder, and it keeps what it was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.teaching_access import (
    FinetuneState,
    RecordRequest,
    RecordState,
    TakeOver,
    TaughtClip,
    TaughtModel,
    TeachingOverview,
    TeachingRefused,
    TrialRequest,
    TrialState,
)
from edge_tdn.messages import ActionEvent
from edge_tdn.teaching.class_folder import DESCRIPTION
from tests.support.delivery import MOMENT

CLIP = "20260301T120000Z-1.mp4"
TAUGHT = TaughtModel(
    id="door-open",
    at=MOMENT,
    labels=("background", "door open"),
    background=("background",),
    evaluated=4,
    top1={"fp32": 1.0},
    hop_ms={"fp32": 9.5},
    confusion=((2, 0), (0, 2)),
    notes=(),
    current=False,
    serving=False,
)


@dataclass
class ScriptedTeaching:
    """Teaching for a page under test."""

    place: Path  # of the clips
    refusal: EdgeTdnError | OSError | None = None  # raised by whatever it is asked for
    asked: list[tuple[str, object]] = field(default_factory=list)
    recording: RecordState = field(default_factory=RecordState)
    training: FinetuneState = field(default_factory=FinetuneState)
    trial: TrialState = field(default_factory=TrialState)

    def put(self, label: str, name: str = CLIP, content: bytes = b"0123456789") -> Path:
        """Write a clip."""
        path = self.place / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        (self.place / DESCRIPTION).write_text("source = '(.+)-[0-9]+'\n")
        return path

    def overview(self) -> TeachingOverview:
        self._ask("overview", None)
        return TeachingOverview(
            trainer=True,
            command="edge-tdn-train finetune",
            classes=(),
            missing=(),
            archive_bytes=0,
            record=self.recording,
            finetune=self.training,
            models=(TAUGHT,),
            trial=self.trial,
            take_over=TakeOver(configured=False, model="current", toml=""),
        )

    def record(self, request: RecordRequest) -> RecordState:
        self._ask("record", request)
        self.recording = RecordState(state="ready", **request.model_dump(exclude={"seconds", "pause"}))
        return self.recording

    def stop_recording(self) -> RecordState:
        self._ask("stop_recording", None)
        self.recording = RecordState(state="done")
        return self.recording

    def clips(self, label: str | None = None) -> Sequence[TaughtClip]:
        self._ask("clips", label)
        paths = sorted(self.place.glob("*/*.mp4"))
        return [self._clip(path) for path in paths if label in (None, path.parent.name)]

    def clip_file(self, label: str, name: str) -> Path | None:
        self._ask("clip_file", (label, name))
        found = [path for path in self.place.glob("*/*") if (path.parent.name, path.name) == (label, name)]
        return found[0] if found else None

    def move(self, label: str, name: str, to: str | None) -> None:
        self._ask("move", (label, name, to))

    def label_event(self, event: ActionEvent, label: str) -> TaughtClip:
        self._ask("label_event", (event.id, label))
        return self._clip(self.put(label))

    def folder(self) -> Path:
        self._ask("folder", None)
        return self.place

    def finetune(self, model: str) -> FinetuneState:
        self._ask("finetune", model)
        self.training = FinetuneState(state="running", id=model, since=MOMENT, step=1, of=4, text="features")
        return self.training

    def stop_finetune(self) -> FinetuneState:
        self._ask("stop_finetune", None)
        self.training = FinetuneState(state="stopped")
        return self.training

    def try_model(self, request: TrialRequest) -> TrialState:
        self._ask("try_model", request)
        self.trial = TrialState(state="opening", **request.model_dump())
        return self.trial

    def stop_trial(self) -> TrialState:
        self._ask("stop_trial", None)
        self.trial = TrialState(state="ended")
        return self.trial

    def take_over(self, model: str) -> TakeOver:
        self._ask("take_over", model)
        if model != TAUGHT.id:
            raise TeachingRefused(f"no model {model!r} was trained here")
        return TakeOver(configured=False, model="current", toml='[runtime]\nmodel = "current"\n')

    def close(self) -> None:
        """Nothing is under way."""

    def _ask(self, what: str, value: object) -> None:
        self.asked.append((what, value))
        if self.refusal:
            raise self.refusal

    def _clip(self, path: Path) -> TaughtClip:
        recording = path.stem.rpartition("-")[0]
        size = path.stat().st_size
        return TaughtClip(
            label=path.parent.name, name=path.name, recording=recording, seconds=2.0, bytes=size, at=MOMENT
        )
