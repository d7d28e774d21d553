"""The MQTT topics of a host."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Topics:
    """The topics below a host's prefix `base`, for example `edge-tdn/attic`."""

    base: str

    @property
    def availability(self) -> str:
        """`online`, `stopped` or `offline`, retained."""
        return f"{self.base}/availability"

    @property
    def status(self) -> str:
        """The daemon's status, retained JSON."""
        return f"{self.base}/status"

    @property
    def reply(self) -> str:
        """Answers to commands, JSON."""
        return f"{self.base}/reply"

    @property
    def commands(self) -> str:
        """The prefix of all commands, with its slash."""
        return f"{self.base}/cmd/"

    def events(self, camera: str) -> str:
        """A camera's events, JSON, never retained."""
        return f"{self.base}/{camera}/events"

    def action(self, camera: str) -> str:
        """The label of the camera's current action, or `none`, retained."""
        return f"{self.base}/{camera}/action"

    def snapshot(self, camera: str) -> str:
        """The JPEG of the camera's newest action, retained."""
        return f"{self.base}/{camera}/snapshot"

    def scores(self, camera: str) -> str:
        """A camera's top scores, JSON, with QoS 0."""
        return f"{self.base}/{camera}/scores"

    def camera_status(self, camera: str) -> str:
        """A camera's status, retained JSON."""
        return f"{self.base}/{camera}/status"

    def retained(self, cameras: Iterable[str], snapshots: bool) -> set[str]:
        """All topics of retained messages. `snapshots`: including pictures."""
        own = [kind for kind in (self.action, self.camera_status, self.snapshot) if snapshots or kind != self.snapshot]
        return {self.availability, self.status, *(kind(camera) for camera in cameras for kind in own)}
