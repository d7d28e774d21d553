"""The protocols of a camera's recorder and of its main stream, both of which are optional."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_tdn.manifest import InputSpec
from edge_tdn.media.outline import Outline
from edge_tdn.messages import ActionEvent, Frame, Scores


@dataclass(frozen=True)
class RecordedZone:
    """The properties of a zone, or of the whole picture, that its recordings depend on."""

    name: str | None  # None: the camera has no zones
    spec: InputSpec
    hop: int  # segments
    min_length_s: float  # of an action
    outline: Outline | None = None  # drawn into its snapshots


class ActionRecorder(Protocol):
    """Records the actions of one camera: see recorder.py."""

    def frame(self, frame: Frame) -> None:
        """Keep a frame for a while, as an action may turn out to contain it."""

    def named(self, event: ActionEvent) -> ActionEvent:
        """Return an event with the names of the files that are recorded of its action."""

    def event(self, event: ActionEvent, scores: Scores | None) -> None:
        """Record what an event is about. `scores`: of the clip that decided; None where the stream broke."""

    def follow(self, zones: Sequence[RecordedZone]) -> bool:
        """Record these zones from now on. False: another recorder has to take over."""

    def close(self) -> None:
        """Ask for the files to be finished; `join` waits for that."""

    def join(self, timeout_s: float) -> None:
        """Wait until they are finished, at most this long."""


class RecordedStream(Protocol):
    """The main stream of a camera, which plays within a `with`: see main_stream.py."""

    @property
    def trouble(self) -> str:
        """Why no frames come; empty while they do."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...
