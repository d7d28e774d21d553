"""The settings of a camera and of its zones, from the configuration and the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.actions.decider import Origin
from edge_tdn.actions.labels import for_model
from edge_tdn.config.resolved_zones import ResolvedZone
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.inference.engine import Engine
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.media.outline import Outline
from edge_tdn.messages import ModelRef
from edge_tdn.service.timing import DEFAULT_CAMERA_TIMING, CameraTiming


@dataclass(frozen=True)
class ZoneSettings:
    """Everything that decides how one zone is served. A reload replaces it as a whole."""

    camera: str  # its camera's name
    zone: ResolvedZone
    scores: bool  # the best labels of every clip are published
    model: Model
    engine: Engine  # computes the model
    origin: Origin  # of its events

    @classmethod
    def of(
        cls, config: Config, camera: str, zone: ResolvedZone, boot: str, model: Model, ref: ModelRef, engine: Engine
    ) -> "ZoneSettings":
        """`boot`: of the daemon, new with every start. `ref`: the model in events."""
        origin = Origin(config.host, camera, boot, ref, zone.name)
        return cls(camera, zone, config.broker.scores, model, engine, origin)

    @property
    def name(self) -> str | None:
        """The zone's name; None: the camera has no zones."""
        return self.zone.name

    @property
    def log_name(self) -> str:
        """The value of `camera=` in a log line, and the zone if it has a name: `yard`, or `yard zone=gate`."""
        return f"{self.camera} zone={self.zone.name}" if self.zone.name else self.camera

    @property
    def outline(self) -> Outline:
        """The part of the camera's picture that it sees."""
        return Outline.of(self.zone)

    @property
    def spec(self) -> InputSpec:
        """The input of the model."""
        return self.model.manifest.input

    @property
    def decide(self) -> DecideConfig:
        """The limits of the zone, as far as they concern the labels of its model."""
        return for_model(self.zone.decide, self.labels, self.background)

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels, by their numbers."""
        return self.model.labels

    @property
    def background(self) -> Sequence[str]:
        """The labels that are never an action."""
        return self.model.manifest.background

    def sees_as(self, other: "ZoneSettings") -> bool:
        """Return whether a window of one may continue with the settings of the other."""
        ours, theirs = self.zone, other.zone
        same = self.outline == other.outline and self.spec == other.spec
        return same and (ours.hop, ours.motion_gate, ours.follow) == (theirs.hop, theirs.motion_gate, theirs.follow)


@dataclass(frozen=True)
class CameraSettings:
    """Everything that decides how one camera is served.

    A reload replaces it as a whole. `base` stays the same, and so does `table`, except for its zones.
    """

    table: CameraConfig  # the camera's own: when anything but its zones changes, the camera is restarted
    config: Config
    base: Path  # where relative paths start
    zones: tuple[ZoneSettings, ...]  # at least one
    timing: CameraTiming = DEFAULT_CAMERA_TIMING

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.table.name
