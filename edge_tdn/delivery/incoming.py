"""Messages that the host receives: commands, and what other clients publish on its own topics."""

import json
from dataclasses import dataclass

from edge_tdn.delivery.mqtt import Received
from edge_tdn.delivery.topics import Topics

ONLINE = b"online"


@dataclass(frozen=True)
class CommandReceived:
    """A command. `topic`: below <base>/cmd/."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class AvailabilityOverwritten:
    """Another client declared the host offline: an older connection's will, or the goodbye of a second daemon."""


@dataclass(frozen=True)
class SecondDaemon:
    """Another daemon publishes with the same `host`. `boot`: the beginning of its boot id."""

    boot: str


@dataclass(frozen=True)
class DashboardStarted:
    """A dashboard has started, and needs all retained messages."""


@dataclass(frozen=True)
class StateRemoved:
    """Another client has removed our status, and perhaps all that is retained: a host that had this prefix before."""


Incoming = CommandReceived | AvailabilityOverwritten | SecondDaemon | DashboardStarted | StateRemoved


class IncomingMessages:
    """The host's subscriptions, and the meaning of what arrives. Owned by the publisher's thread."""

    def __init__(self, topics: Topics, boot: str) -> None:
        self._topics, self._boot = topics, boot
        self._birth_topic = ""
        self._status_acknowledged = False  # the broker has had our status
        self._status_replaced = 0  # times since then that it held the status of another boot

    @property
    def subscriptions(self) -> list[str]:
        own = [f"{self._topics.commands}#", self._topics.availability, self._topics.status]
        return [*own, *filter(None, [self._birth_topic])]

    def follow_dashboard(self, birth_topic: str) -> bool:
        """Expect `online` on `birth_topic`. Return whether the subscriptions have changed."""
        changed = birth_topic != self._birth_topic
        self._birth_topic = birth_topic
        return changed

    def acknowledged(self, topic: str) -> None:
        """Record that the broker has our retained message on this topic."""
        self._status_acknowledged = self._status_acknowledged or topic == self._topics.status

    def interpret(self, received: Received) -> Incoming | None:
        """Return the meaning of a message; None if there is nothing to do."""
        topic, payload = received.topic, received.payload
        if topic.startswith(self._topics.commands):
            if received.retained:  # of the past: the broker sends it at every connect
                return None
            return CommandReceived(topic.removeprefix(self._topics.commands), payload)
        if topic == self._topics.availability:
            return AvailabilityOverwritten() if payload != ONLINE and not received.retained else None
        if topic == self._topics.status:
            return self._second_daemon(received) if payload else StateRemoved()
        if topic == self._birth_topic and payload == ONLINE:
            return DashboardStarted()
        return None

    def _second_daemon(self, received: Received) -> SecondDaemon | None:
        """Compare the boot id of a daemon's status with our own.

        Two daemons with one client id are never connected together: each finds the other's status in place of its own.
        When that happens once, the broker may have restored an old state.
        """
        boot = _boot(received.payload)
        if boot in (None, self._boot):
            return None
        self._status_replaced += received.retained and self._status_acknowledged
        return SecondDaemon(str(boot)) if not received.retained or self._status_replaced > 1 else None


def _boot(payload: bytes) -> str | None:
    """Return the beginning of the boot id in a daemon's status, or None if it is not one."""
    try:
        return str(json.loads(payload)["boot"])[:16]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
