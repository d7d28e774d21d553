"""The retained messages of one host or camera at a broker, and their removal."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from edge_tdn.cli.chosen_broker import ChosenBroker, broker_site, chosen_broker
from edge_tdn.cli.options import broker_config
from edge_tdn.cli.retained_reader import RetainedReader
from edge_tdn.cli.terminal import plain
from edge_tdn.config.checks import check_topic
from edge_tdn.config.tables import HomeAssistantConfig
from edge_tdn.config.value_types import Name
from edge_tdn.delivery.home_assistant import device_id
from edge_tdn.delivery.mqtt import Acknowledged, Lost, Message, Received
from edge_tdn.delivery.published_topics import removal_order
from edge_tdn.delivery.topics import Topics
from edge_tdn.errors import BrokerError, ConfigError, EdgeTdnError
from edge_tdn.spelling import nearest
from edge_tdn.status_messages import DaemonStatus

MAX_IN_FLIGHT = 20  # removals
AVAILABILITY = "/availability"


class Leftovers:
    """The retained messages of a host, or of one of its cameras. Drawn by rich: one line a message.

    `camera`: empty for the whole host. `base`: the host's topic prefix; `prefix`: Home Assistant's discovery prefix.
    """

    def __init__(self, host: str, camera: str, base: str, prefix: str) -> None:
        self._host, self._camera = host, camera
        self.base, self._prefix = base, prefix
        self._retained: dict[str, bytes] = {}  # by topic: below the prefix, of any program, and documents of the host
        self._availability, self._status = b"", b""  # of the host
        self._hosts: set[str] = set()  # that have published anything below edge-tdn/

    @property
    def filters(self) -> list[str]:
        """The topics to subscribe to."""
        below = f"{self.base}/{self._camera}/#" if self._camera else f"{self.base}/#"
        own = [f"{self.base}{AVAILABILITY}", f"{self.base}/status"] if self._camera else []
        documents = [f"{self._prefix}/device/+/config", f"{self._prefix}/+/+/+/config"]
        return [below, *own, *documents, f"edge-tdn/+{AVAILABILITY}"]

    def again(self) -> "Leftovers":
        """Return the same with nothing found yet."""
        return Leftovers(self._host, self._camera, self.base, self._prefix)

    def take(self, received: Received) -> None:
        """Keep a retained message of the host or camera."""
        topic, payload = received.topic, received.payload
        if topic == f"{self.base}{AVAILABILITY}":
            self._availability = payload
        if topic == f"{self.base}/status":
            self._status = payload
        if topic.startswith("edge-tdn/") and topic.endswith(AVAILABILITY) and payload:
            self._hosts.add(topic.removeprefix("edge-tdn/").removesuffix(AVAILABILITY))
        if received.retained and payload and (self._is_below(topic) or self._is_document(topic)):
            self._retained[topic] = payload
        elif not payload:
            self._retained.pop(topic, None)

    @property
    def messages(self) -> dict[str, bytes]:
        """The messages of the host or camera, by topic."""
        return {topic: payload for topic, payload in self._retained.items() if self._belongs(topic)}

    @property
    def others(self) -> str:
        """The messages of other programs or hosts below the topic prefix, in words; empty: none."""
        count = len(self._retained) - len(self.messages)
        return f"{count} other retained messages below {plain(self.base)}" if count else ""

    def check(self, force: bool) -> None:
        """Raise EdgeTdnError if there is nothing to remove, or if a running daemon would publish it again."""
        name = f"{self._host}/{self._camera}" if self._camera else self._host
        messages = self.messages
        if not messages:
            known = nearest(self._host, sorted(self._hosts), "hosts there") if self._hosts else "no host is known there"
            if self._host in self._hosts:
                known = "it has no such camera"
            below = f"none of the {self.others} is its" if self.others else f"nothing is retained below {self.base}"
            raise EdgeTdnError(f"{name}: {below}, and no document below {self._prefix}; {known}")
        other = next((base for base in map(base_of, messages.values()) if base and base != self.base), "")
        if other and not force:
            raise EdgeTdnError(
                f"{name}: its documents for Home Assistant name the topic prefix {plain(other)}, not {self.base}; "
                f"use --base {plain(other)}"
            )
        if self._availability == b"online" and self._is_served and not force:
            raise EdgeTdnError(
                f"{name} is online, and would publish everything again: "
                f"{'remove it from the configuration' if self._camera else 'stop its daemon'} first, or use --force"
            )

    def remove(self, reader: RetainedReader, patience_s: float, console: Console) -> dict[str, str]:
        """Remove the messages of the host or camera. Return the topics whose removal the broker rejected, and why."""
        waiting, sent, rejected = removal_order(self.messages)[::-1], dict[int, str](), dict[str, str]()
        total = len(waiting)
        deadline = time.monotonic() + patience_s
        with console.status("") as progress:
            while waiting or sent:
                while waiting and reader.link and len(sent) < min(MAX_IN_FLIGHT, reader.link.window):
                    topic = waiting.pop()
                    sent[reader.link.publish(Message(topic, b"", retain=True))] = topic
                done = total - len(waiting) - len(sent)
                progress.update(f"removing {done} of {total}")
                match reader.next(max(0.0, deadline - time.monotonic())):
                    case None:
                        raise BrokerError(
                            f"the broker did not answer in {patience_s:g} s; {done} of {total} messages are removed"
                        )
                    case Lost(reason=reason):
                        raise BrokerError(f"{reason}; {done} of {total} messages are removed")
                    case Acknowledged(packet_id, rejection) if packet_id in sent:
                        topic, deadline = sent.pop(packet_id), time.monotonic() + patience_s
                        if rejection:
                            rejected[topic] = rejection
        return rejected

    def report(self, console: Console, before: Collection[str], rejected: Mapping[str, str]) -> int:
        """Print which of the topics `before` still have a message. Return the exit status."""
        left = removal_order(self._retained.keys() & set(before))
        for topic in left:
            why = rejected.get(topic, "published again, or not allowed for this user")
            console.print(Text(f"still retained: {plain(topic)}: {why}", "red"), soft_wrap=True)
        total = len(before)
        console.print(f"{total - len(left)} of {total} removed" if left else f"{total} removed", soft_wrap=True)
        return 1 if left else 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        messages = self.messages
        for topic in removal_order(messages):
            yield Text(f"{plain(topic)}  {len(messages[topic])} bytes")
        if self.others:
            yield Text(f"not removed: {self.others}")

    @property
    def _is_served(self) -> bool:
        """True for a host, and for a camera unless the host's status does not list it."""
        try:
            return not self._camera or self._camera in DaemonStatus.model_validate_json(self._status).cameras
        except ValidationError:
            return True

    def _belongs(self, topic: str) -> bool:
        """Return whether this project publishes such a topic: the prefix may have other programs' below it, too."""
        if not self._is_below(topic):
            return True  # a document of the host
        *levels, _ = topic.removeprefix(f"{self.base}/").split("/")
        zones = [(levels[0], levels[1])] if len(levels) == 2 else []
        if len(levels) > 2 or topic not in Topics(self.base).retained(levels[:1], snapshots=True, zones=zones):
            return False
        return self.base == f"edge-tdn/{self._host}" or self._is_place(levels)

    def _is_place(self, levels: Sequence[str]) -> bool:
        """Return whether levels below a prefix that others may use are those of the host, a camera or a zone.

        A camera is one that its status names, a zone one that this status lists.
        """
        if not levels:
            return True
        camera, *zone = levels
        try:
            status: Any = json.loads(self._retained.get(Topics(self.base).camera_status(camera), b""))
            zones = [one["zone"] for one in status.get("zones", [])]
            return "schema" in status and status.get("camera") == camera and all(name in zones for name in zone)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False

    def _is_below(self, topic: str) -> bool:
        return topic.startswith(f"{self.base}/{self._camera}/" if self._camera else f"{self.base}/")

    def _is_document(self, topic: str) -> bool:
        levels = topic.removeprefix(f"{self._prefix}/").split("/")
        if not topic.startswith(f"{self._prefix}/") or len(levels) not in (3, 4) or levels[-1] != "config":
            return False
        if self._camera:
            return levels[1] == device_id(self._host, self._camera)
        own = device_id(self._host)
        below = levels[1].removeprefix(f"{own}_")  # a camera, or `_` and `-` of a longer name of another host
        return levels[1] == own or (below != levels[1] and below[:1].isalnum())


def chosen_leftovers(options: argparse.Namespace) -> tuple[ChosenBroker, Leftovers]:
    """Evaluate the options of `forget`. Raises ConfigError."""
    host, slash, camera = options.name.partition("/")
    for name in (host, camera) if slash else (host,):
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError:
            raise ConfigError(
                f"{options.name!r}: HOST or HOST/CAMERA, each up to 64 letters, digits, dots, dashes and underscores"
            ) from None
    path = broker_config(options)
    config = broker_site(options, path) if path else None
    own = f"edge-tdn/{host}"
    base = options.base or (config.base_topic if config and config.host == host else own)
    prefix = options.prefix or (config.home_assistant if config else HomeAssistantConfig()).prefix
    for option, topic in (("--base", base), ("--prefix", prefix)):
        try:
            check_topic(topic)
        except ValueError as error:
            raise ConfigError(f"{option} {topic!r}: {error}") from None
    options.base = base
    return chosen_broker(options), Leftovers(host, camera, base, prefix)


def base_of(document: bytes) -> str:
    """Return the topic prefix of the host in one of its discovery documents; empty if it is another document."""
    try:
        content: Any = json.loads(document)
        entities = content.get("components", {"": content}).values()
        topics = Counter(one["topic"] for entity in entities for one in entity.get("availability", []))
        return next(
            (topic.removesuffix(AVAILABILITY) for topic, _ in topics.most_common() if topic.endswith(AVAILABILITY)), ""
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
