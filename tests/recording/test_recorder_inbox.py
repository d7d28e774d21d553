"""The notes for a recorder's thread: few snapshots wait, and what does not fit is counted."""

import queue

import pytest

from edge_tdn.recording.recorder_inbox import MAX_WAITING_SNAPSHOTS, RecorderInbox, RecorderNote
from tests.support.actions import action_event, numbered_frame


def test_few_snapshots_wait_and_the_others_are_dropped_and_counted() -> None:
    inbox, frame = RecorderInbox(), numbered_frame(0, 0.0)
    taken = [inbox.reserve(frame) for _ in range(MAX_WAITING_SNAPSHOTS + 3)]
    assert taken == [frame] * MAX_WAITING_SNAPSHOTS + [None] * 3
    assert inbox.dropped == 3
    inbox.release()
    assert inbox.reserve(frame) is frame
    assert inbox.reserve(None) is None
    assert inbox.dropped == 4, "a frame that is gone already counts too"


def test_a_closed_inbox_hands_over_its_notes_first() -> None:
    inbox, note = RecorderInbox(), RecorderNote(action_event(1, "start", 1.0))
    inbox.put(note)
    inbox.close()
    assert inbox.get(0.0) is note
    assert inbox.get(0.0) is None
    with pytest.raises(queue.Empty):
        inbox.get(0.0)
