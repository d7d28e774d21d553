"""What the page may ask of the daemon: a protocol, so that the page knows nothing of the service."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ValidationError

from edge_tdn.config.checks import Point, Region
from edge_tdn.config.tables import DecideConfig
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import ActionEvent, ModelRef, Reply
from edge_tdn.status_messages import CameraStatus, CameraThresholds, DaemonStatus


@dataclass(frozen=True)
class ZonePlace:
    """One zone of a camera, or its whole picture."""

    name: str | None  # None: the camera has no zones
    region: Region
    polygon: tuple[Point, ...]  # in place of `region`; empty: none
    labels: tuple[str, ...]  # of the model
    background: tuple[str, ...]  # of these, what is never reported
    actions: tuple[str, ...]  # the names under which actions are reported
    decide: DecideConfig  # the limits that hold here
    thresholds: CameraThresholds  # of these, as last commanded
    model: ModelRef
    spec: InputSpec  # of the model
    hop: int  # segments from one clip to the next
    action: str | None  # that is under way, as last published; None: none


@dataclass(frozen=True)
class CameraPlace:
    """A camera as the page may know it: never its source."""

    name: str
    zones: tuple[ZonePlace, ...]  # at least one
    snapshots: bool  # taken of each action
    clips: bool  # recorded
    main_stream: bool  # clips are of another stream than the model sees
    max_gap_s: float
    enabled: bool  # not switched off by command

    def zone(self, name: str | None) -> ZonePlace | None:
        """Return a zone by its name; None: there is none such."""
        return next((zone for zone in self.zones if zone.name == name), None)


@dataclass(frozen=True)
class EventCursor:
    """A place among the events: those before it are older."""

    by: Literal["number", "seq"]  # of the outbox; or of one camera
    value: int

    def __str__(self) -> str:
        """Return it as text: `n123` or `s45`."""
        return f"{self.by[0]}{self.value}"

    @classmethod
    def parse(cls, text: str) -> "EventCursor":
        """Return the cursor for a text. ValueError: it is none."""
        by, digits = text[:1], text[1:]
        if by not in ("n", "s") or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise ValueError("not a cursor")
        return cls("number" if by == "n" else "seq", int(digits))


@dataclass(frozen=True)
class EventPage:
    """Some events, newest first."""

    payloads: tuple[bytes, ...]  # as they were published: JSON
    next: EventCursor | None  # for the events before these; None: there are none

    def events(self) -> Iterator[ActionEvent]:
        """Yield the events, but for those of another version that cannot be read."""
        for payload in self.payloads:
            with suppress(ValidationError):
                yield ActionEvent.model_validate_json(payload)


class HostAccess(Protocol):
    """The daemon, for its page. Every method may be called from any thread; none waits."""

    def admits(self) -> bool:
        """Count a command, and return whether one more is allowed: MQTT and the page share a limit."""

    def command(self, topic: str, payload: bytes) -> Reply:
        """Carry out a command as if it came on <base>/cmd/<topic>, and return its reply. It is not counted again."""

    def events(self, cursor: EventCursor | None, camera: str | None, limit: int) -> "Future[EventPage]":
        """Return the newest events before a cursor, None: of all; of one camera, None: of all.

        At most `limit` are read. ValueError: the cursor is one of all events, and a camera is named, or the reverse.
        """

    def daemon_status(self) -> DaemonStatus:
        """Return the daemon's status as it is now."""

    def camera_statuses(self) -> list[CameraStatus]:
        """Return the status of each camera as it is now."""

    def places(self) -> Sequence[CameraPlace]:
        """Return the cameras that are served, in the order of the configuration."""

    def recordings(self) -> Path | None:
        """Return the folder of snapshots and clips; None: none are kept."""
