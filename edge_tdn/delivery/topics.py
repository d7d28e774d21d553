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

    def action(self, camera: str, zone: str | None = None) -> str:
        """The label of the current action of a camera, or of one of its zones, or `none`, retained."""
        return f"{self.base}/{_place(camera, zone)}/action"

    def snapshot(self, camera: str, zone: str | None = None) -> str:
        """The JPEG of the newest action of a camera, or of one of its zones, retained."""
        return f"{self.base}/{_place(camera, zone)}/snapshot"

    def scores(self, camera: str) -> str:
        """A camera's top scores, JSON, with QoS 0."""
        return f"{self.base}/{camera}/scores"

    def camera_status(self, camera: str) -> str:
        """A camera's status, retained JSON."""
        return f"{self.base}/{camera}/status"

    def retained(self, cameras: Iterable[str], snapshots: bool, zones: Iterable[tuple[str, str]] = ()) -> set[str]:
        """All topics of retained messages. `snapshots`: including pictures. `zones`: camera and zone of each."""
        places: list[tuple[str, str | None]] = [*((camera, None) for camera in cameras), *zones]
        topics = {self.availability, self.status, *(self.camera_status(camera) for camera, zone in places if not zone)}
        topics |= {self.action(*place) for place in places}
        return topics | ({self.snapshot(*place) for place in places} if snapshots else set())


def _place(camera: str, zone: str | None) -> str:
    return f"{camera}/{zone}" if zone else camera
