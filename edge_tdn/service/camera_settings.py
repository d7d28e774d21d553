"""The settings of a camera, from the configuration and the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.actions.decider import Origin
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.service.timing import DEFAULT_CAMERA_TIMING, CameraTiming


@dataclass(frozen=True)
class CameraSettings:
    """Everything that decides how one camera is served. A reload replaces it as a whole, but for `table` and `base`."""

    table: CameraConfig  # the camera's own: when it changes, the camera is restarted
    config: Config
    base: Path  # where relative paths start
    model: Model
    origin: Origin  # of its events
    timing: CameraTiming = DEFAULT_CAMERA_TIMING

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.table.name

    @property
    def spec(self) -> InputSpec:
        """The input of the model."""
        return self.model.manifest.input

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels, by their numbers."""
        return self.model.labels

    @property
    def background(self) -> Sequence[str]:
        """The labels that are never an action."""
        return self.model.manifest.background
