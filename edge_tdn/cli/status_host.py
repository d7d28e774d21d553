"""The last known state of one host and of its cameras, and their faults."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_tdn.cli.status_versions import Outdated
from edge_tdn.cli.terminal import age, seconds_since
from edge_tdn.messages import Payload
from edge_tdn.status_messages import CameraStatus, DaemonStatus

MAX_SILENCE_S = 60  # without a status, which an online host publishes every 10 s
HostState = Literal["well", "stopped", "failed"]
AT_REST = ("streaming", "disabled")  # states of a camera that has not failed; a command disables it


@dataclass
class Host:
    """The last known state of one host."""

    availability: str = ""  # online, stopped, offline; empty: unknown
    daemon: DaemonStatus | None = None
    cameras: dict[str, CameraStatus] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)  # by camera
    invalid: list[str] = field(default_factory=list)  # topics whose payload is not a message of edge-tdn

    @property
    def names(self) -> list[str]:
        """The cameras of the host. Statuses of cameras that it no longer has may still be retained."""
        return self.daemon.cameras if self.daemon else sorted(self.cameras)

    @property
    def state(self) -> HostState:
        """`stopped`: on purpose, after which nothing else is expected of the host."""
        if self.availability == "stopped" and not self.invalid:
            return "stopped"
        return "well" if self.well else "failed"

    @property
    def well(self) -> bool:
        """True if the host is online, computes, stores and delivers, as configured, and every camera streams."""
        return not self.faults

    @property
    def silence(self) -> str:
        """The age of a status that an online host would have replaced by now; empty if there is none, or no time."""
        at = self.daemon.at if self.daemon and self.availability == "online" else None
        if at is None or (seconds_since(at) or 0) <= MAX_SILENCE_S:
            return ""
        return f"last status {age(at)} ago: it has disappeared without the broker's notice, or the two clocks differ"

    @property
    def faults(self) -> list[str]:
        """The reasons for which the host is not well."""
        if self.availability != "online":
            return [self.availability or "availability unknown"]
        found = [f"{topic} is not a message that this version understands" for topic in self.invalid]
        daemon = self.daemon
        if daemon is None:
            return [*found, "no status"]
        if self.silence:
            found.append(self.silence)
        if daemon.delivery.state != "connected":
            found.append(f"delivery {daemon.delivery.state}: {daemon.delivery.reason}")
        if daemon.outbox.state not in ("ok", "off"):
            found.append(f"outbox {daemon.outbox.state}: {daemon.outbox.reason}")
        if daemon.config and daemon.config.state == "refused":
            found.append(f"configuration refused: {daemon.config.reason}")
        if daemon.runtime and daemon.runtime.state != "ok":
            found.append(f"runtime {daemon.runtime.state}: {runtime_reason(daemon)}")
        if daemon.metrics_fault:
            found.append(f"metrics: {daemon.metrics_fault}")
        if daemon.page_fault:
            found.append(f"page: {daemon.page_fault}")
        for name in self.names:
            one = self.cameras.get(name)
            if one is None:
                found.append(f"camera {name} unknown")
            elif one.state not in AT_REST:
                found.append(": ".join(filter(None, (f"camera {name} {one.state}", one.reason))))
        return found

    def document(self, outdated: Sequence[Outdated]) -> dict[str, Any]:
        """Return the host's part of the document that `--json` prints."""
        cameras = {
            name: {"status": _json(self.cameras.get(name)), "action": self.actions.get(name)} for name in self.names
        }
        return {
            "well": self.well,
            "state": self.state,
            "availability": self.availability or None,
            "status": _json(self.daemon),
            "cameras": cameras,
            "invalid": self.invalid,
            "outdated": {
                what: ", ".join(one.expected for one in outdated if one.what == what)
                for what in dict.fromkeys(one.what for one in outdated)
            },
        }


def runtime_reason(daemon: DaemonStatus) -> str:
    """Return the faults of the networks, by model if there are several; empty: none."""
    if len(daemon.models) < 2:
        return daemon.runtime.reason if daemon.runtime else ""
    failing = [one for one in daemon.models if one.runtime.reason]
    return "; ".join(f"{one.model.id} {one.model.precision}: {one.runtime.reason}" for one in failing)


def _json(payload: Payload | None) -> Any:
    return None if payload is None else json.loads(payload.json_bytes())
