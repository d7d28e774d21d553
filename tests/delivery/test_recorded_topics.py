"""The line about messages that an earlier broker may still hold: in the log of one start, not of each."""

from pathlib import Path

import pytest

from edge_tdn.delivery.recorded_topics import RecordedTopics
from edge_tdn.delivery.topic_record import RECORD, TopicRecord


@pytest.fixture
def start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> "Start":
    caplog.set_level("INFO")
    return Start(tmp_path, caplog)


class Start:
    """A start of a host that publishes one topic at a broker; returns the lines of its log."""

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self._folder, self._caplog = folder, caplog

    def __call__(self, broker: str) -> list[str]:
        self._caplog.clear()
        topics = RecordedTopics(TopicRecord(self._folder))
        topics.add(broker, {"edge-tdn/attic/status"})
        topics.synchronise(broker)
        return [record.getMessage() for record in self._caplog.records]


def test_messages_at_an_earlier_broker_are_reported_once(start: Start) -> None:
    """Again only if that broker was used in between."""
    assert start("old:1883") == []
    (line,) = start("new:1883")
    assert line.startswith("broker=old:1883 may still hold 1 retained messages of this host; `edge-tdn forget`")
    assert start("new:1883") == []
    (line,) = start("third:1883")
    assert line.startswith("broker=new:1883 may still hold")
    (line,) = start("old:1883")
    assert line.startswith("broker=third:1883 may still hold")
    assert [line.partition(" ")[0] for line in start("third:1883")] == ["broker=old:1883"]


def test_a_record_of_an_earlier_version_is_still_read(start: Start, tmp_path: Path) -> None:
    """It has no list of the brokers that were reported, and its checksum is the same."""
    start("old:1883")
    text = (tmp_path / RECORD).read_text()
    (tmp_path / RECORD).write_text(text.replace(' "reported": [],\n', ""))
    assert "reported" not in (tmp_path / RECORD).read_text()
    (line,) = start("new:1883")
    assert line.startswith("broker=old:1883 ")
