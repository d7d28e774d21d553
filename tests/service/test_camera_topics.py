"""The topics of a camera that leaves: nothing is published any more."""

from typing import Any

from edge_tdn.service.camera_topics import CameraTopics
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
