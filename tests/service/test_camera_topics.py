"""The topics of a camera and of its zones, and of one that leaves."""

import json
from collections.abc import Callable
from typing import Any

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.mqtt import Connection, Inbox, Message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.hub.hub import Hub
from edge_tdn.service.camera_topics import CameraTopics
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, raise_failure
from tests.support.fakes import PublisherLog


def test_a_camera_that_has_left_publishes_nothing_more() -> None:
    """A late recorder must not bring back the picture of a camera that was removed."""
    publisher: Any = PublisherLog()
    topics = CameraTopics(publisher, "door")
    topics.action("left")
    topics.snapshot(b"jpeg")
    topics.close()
    assert topics.closed
    topics.action("right")
    topics.snapshot(b"late")
    assert publisher.actions == ["left"]
    assert publisher.snapshots == [b"jpeg"]


def test_a_camera_shows_the_newest_action_of_its_zones() -> None:
    publisher: Any = PublisherLog()
    topics = CameraTopics(publisher, "door")
    for label, zone in (("left", "gate"), ("right", "path"), ("up", "gate"), (None, "gate"), (None, "path")):
        topics.action(label, zone)
    assert publisher.zone_actions == [
        ("gate", "left"),
        ("path", "right"),
        ("gate", "up"),
        ("gate", None),
        ("path", None),
    ]
    assert publisher.actions == ["left", "right", "up", "right", None]


def test_the_cameras_action_is_published_only_when_it_changes(broker: Mosquitto) -> None:
    """At a real broker: an automation that acts on every message must not act on the end of an older action."""

    def connect(will: Callable[[int], Message], inbox: Inbox) -> Connection:
        return Connection(broker.config(), "daemon", None, will, inbox)

    recorder = DeliveryRecorder(broker.port)
    publisher = Publisher(BASE, "b007", Outbox(None, OutboxConfig()), connect, raise_failure)
    publisher.start()
    topics = CameraTopics(publisher, "door")

    def publish(label: str | None, zone: str, newest: bytes) -> None:
        topics.action(label, zone)
        expected = [(label or "none").encode(), newest]
        recorder.wait_for(lambda: [recorder.last(f"door/{zone}/action"), recorder.last("door/action")] == expected)

    publish(None, "gate", b"none")
    publish(None, "path", b"none")
    publish("left", "gate", b"left")
    publish("right", "path", b"right")
    publish(None, "gate", b"right")
    publish("up", "gate", b"up")
    publish(None, "path", b"up")
    publish(None, "gate", b"none")
    publisher.stop()
    recorder.wait_for(lambda: recorder.last("availability") == b"stopped")
    published = [message.payload for message in recorder.below("door/action")]
    assert published == [b"none", b"left", b"right", b"up", b"none"]
    recorder.close()


def test_a_picture_of_a_zone_is_the_cameras_newest_too() -> None:
    publisher: Any = PublisherLog()
    topics = CameraTopics(publisher, "door")
    topics.snapshot(b"one", "gate")
    topics.snapshot(b"two")
    assert publisher.zone_snapshots == [("gate", b"one")]
    assert publisher.snapshots == [b"one", b"two"]


def test_a_late_picture_of_an_older_action_does_not_replace_that_of_the_newest() -> None:
    publisher: Any = PublisherLog()
    topics = CameraTopics(publisher, "door")
    topics.action("wave", "gate")
    topics.action("left", "path")
    topics.snapshot(b"path", "path")
    topics.snapshot(b"gate, better", "gate")
    assert publisher.snapshots == [b"path"]
    assert publisher.zone_snapshots == [("path", b"path"), ("gate", b"gate, better")]
    topics.action(None, "path")
    topics.snapshot(b"gate, best", "gate")
    assert publisher.snapshots == [b"path", b"gate, best"]


def test_the_page_gets_what_is_published_until_the_camera_has_left() -> None:
    publisher: Any = PublisherLog()
    hub = Hub("b007")
    reader = hub.notes.reader()
    topics = CameraTopics(publisher, "door", hub.publish)
    topics.action("left", "gate")
    topics.clip(lambda: {"zone": "gate"})
    topics.close()
    topics.action("right", "gate")
    topics.clip(lambda: {"zone": "gate"})
    notes, _ = reader.take()
    assert [(note.kind, json.loads(note.data)) for note in notes] == [
        ("action", {"camera": "door", "zone": "gate", "label": "left"}),
        ("scores", {"camera": "door", "zone": "gate"}),
    ]
